"""Completeness: how much of the telemetry that should be there is there. A gap is told by name; it is never healthy, and never left out.

Input is one Source for everything that is expected to give data: each declared signal, each SLO, and each kind of which a ClusterState has objects.
Readers are the condition TelemetryComplete, the status and the metrics. Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cvstate_operator.objects.redaction import one_line
from cvstate_operator.vital.reading import Gap

NAMED: Final = 10
"""Sources that the text names; more say no more to a person."""


class SourceKind(StrEnum):
    """What gives data; the set is closed, so it may be a metric label. As it is told to people."""

    SIGNAL = "signal"
    SLO = "SLO"
    OBJECTS = "objects"
    """Objects of one kind, as the API server lists and watches them."""


class Reason(StrEnum):
    """What is to be said of all together, in one word."""

    COMPLETE = "TelemetryComplete"
    GAP = "TelemetryGap"
    NOTHING_EXPECTED = "NothingExpected"


@dataclass(frozen=True, slots=True)
class Source:
    """Something that is expected to give data."""

    kind: SourceKind
    name: str
    """Of the signal or SLO, or the kind of the objects, as `Deployment.apps`."""
    gap: Gap | None = None
    """Why there is no data now; None if there is."""

    def __str__(self) -> str:
        named = f"{self.kind.value} {one_line(self.name)}"
        return f"{named} ({self.gap.value})" if self.gap else named


@dataclass(frozen=True, slots=True)
class Completeness:
    """What was expected, and what came."""

    expected: int
    missing: tuple[Source, ...] = ()
    """Sources without data, sorted by kind and name."""

    @property
    def received(self) -> int:
        """Sources that give data now."""
        return self.expected - len(self.missing)

    @property
    def ratio(self) -> float | None:
        """0 to 1; None if nothing is expected."""
        return self.received / self.expected if self.expected else None

    @property
    def reason(self) -> Reason:
        """For the condition; it is True unless this is TelemetryGap."""
        if not self.expected:
            return Reason.NOTHING_EXPECTED
        return Reason.GAP if self.missing else Reason.COMPLETE

    @property
    def text(self) -> str:
        """For people: the same as long as the same sources are missing, for the same reasons; no times."""
        if not self.expected:
            return "no telemetry is expected"
        if not self.missing:
            return f"all {self.expected} sources of telemetry give data" if self.expected > 1 else "the only source of telemetry gives data"
        named = ", ".join(map(str, self.missing[:NAMED]))
        more = f" and {len(self.missing) - NAMED} more" if len(self.missing) > NAMED else ""
        return f"{len(self.missing)} of {self.expected} without data: {named}{more}"


def evaluate(sources: Iterable[Source]) -> Completeness:
    """Put together what is expected and what is missing; a source that is named twice counts once, as missing if it is so once."""
    by_name: dict[tuple[SourceKind, str], Source] = {}
    for source in sources:
        key = (source.kind, source.name)
        if key not in by_name or (source.gap and not by_name[key].gap):
            by_name[key] = source
    rank = list(SourceKind)
    missing = sorted((each for each in by_name.values() if each.gap), key=lambda each: (rank.index(each.kind), each.name))
    return Completeness(len(by_name), tuple(missing))
