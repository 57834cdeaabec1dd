"""Compliance: how far the cluster is as Git declares it, 0 to 100. Input are counts of the last comparison; the score reads the answer.

    100 x (1 - sum of the penalties of all objects / objects declared)

| an object that | costs |
|---|---|
| is as declared | 0 |
| has drift, by its worst: Low, Medium, High, Critical | 0.1, 0.3, 0.6, 1 |
| could not be applied, is missing, or was never made, whatever holds it | 1 |
| is there, and its newer manifest waits: a gate, a window, a wave or a rollback holds it, or it just failed and is tried again | 0.1 |
| left Git, and is not deleted yet | 0.1 |
| was never compared | 0.5 |

An object that cannot be seen now counts as it was found last. So the number is a share of objects: 10 with Low drift weigh as much as one that is not there. Most clusters have thousands of objects that nobody ever
changes, and one wrong ClusterRole would not show in a mean: what outweighs all the rest is said by the vetoes of the score, not by higher penalties.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from cvstate_operator.api.drift import Severity

STALE_SHARE: Final = 0.5
"""What the evidence is worth while Git cannot be read: the cluster is still compared, with a commit that may not be the newest."""


class Fault(StrEnum):
    """What may be wrong with the configuration of an object; the set is closed, so it may be a metric label."""

    CRITICAL_DRIFT = "CriticalDrift"
    HIGH_DRIFT = "HighDrift"
    MEDIUM_DRIFT = "MediumDrift"
    LOW_DRIFT = "LowDrift"
    NOT_APPLIED = "NotApplied"
    """It could not be applied, is missing, or was never made."""
    HELD = "Held"
    """It is there, and not as Git has it because a gate, a window, a wave or a rollback holds the change."""
    UNJUDGED = "Unjudged"
    """It was never compared."""


class Doubt(StrEnum):
    """What makes the comparison itself less certain; costs confidence, and no points."""

    SOURCE_STALE = "SourceStale"
    """The newest commit is not known."""
    UNSEEN = "Unseen"
    """Objects cannot be seen now; they count as they were found last."""


_DRIFTS: Final[Mapping[Fault, Severity]] = {
    Fault.CRITICAL_DRIFT: Severity.CRITICAL,
    Fault.HIGH_DRIFT: Severity.HIGH,
    Fault.MEDIUM_DRIFT: Severity.MEDIUM,
    Fault.LOW_DRIFT: Severity.LOW,
}
TENTHS: Final[Mapping[Fault, int]] = {
    Fault.CRITICAL_DRIFT: 10,
    Fault.NOT_APPLIED: 10,
    Fault.HIGH_DRIFT: 6,
    Fault.UNJUDGED: 5,
    Fault.MEDIUM_DRIFT: 3,
    Fault.LOW_DRIFT: 1,
    Fault.HELD: 1,
}
"""What an object costs, in tenths: whole numbers, so that a sum of many is exact.

Ours. Low is told, and hurts nobody (a label); Critical gives rights away, and is no better than an object that is not there. What is held is held on
purpose, but the cluster is not as Git says. Of what was never compared nothing is assumed: half.
"""


@dataclass(frozen=True, slots=True)
class Configuration:
    """How the declared objects compare with the cluster: each is counted once, by the worst that is known of it; those not counted are as declared."""

    desired: int
    """Objects that Git declares."""
    drift: Mapping[Severity, int] = field(default_factory=dict)
    """Objects with open drift, by their worst."""
    failed: int = 0
    """Objects that could not be applied, are missing, or were never made."""
    held: int = 0
    """Objects that are in Git as they shall be, and wait for a gate, a window, a wave, another try, or the end of a rollback."""
    unjudged: int = 0
    """Objects that were never compared."""
    unseen: int = 0
    """How many of the others cannot be seen now, and count as they were found last: a gap mends nothing, and breaks nothing."""
    leaving: int = 0
    """Objects that left Git, and wait to be deleted; none of `desired`."""
    absent: int = 0
    """How many of `failed` health counts as Missing, so that it need not be told twice."""
    is_evaluated: bool = True
    """Whether there ever was a comparison."""
    is_source_fresh: bool = True
    """Whether the newest commit is known."""

    def count(self, fault: Fault) -> int:
        """Objects with this fault; 0 or more."""
        match fault:
            case Fault.NOT_APPLIED:
                found = self.failed
            case Fault.HELD:
                return max(0, self.held) + max(0, self.leaving)
            case Fault.UNJUDGED:
                found = self.unjudged
            case _:
                found = self.drift.get(_DRIFTS[fault], 0)
        return max(0, found)

    def without(self, fault: Fault) -> "Configuration":
        """The same, with the objects of one fault as declared."""
        match fault:
            case Fault.NOT_APPLIED:
                return replace(self, failed=0, absent=0)
            case Fault.HELD:
                return replace(self, held=0, leaving=0)
            case Fault.UNJUDGED:
                return replace(self, unjudged=0)
            case _:
                return replace(self, drift={**self.drift, _DRIFTS[fault]: 0})

    @property
    def doubts(self) -> tuple[Doubt, ...]:
        """What makes the comparison less certain."""
        found = ((Doubt.SOURCE_STALE, not self.is_source_fresh), (Doubt.UNSEEN, self.unseen > 0))
        return tuple(doubt for doubt, holds in found if holds)

    def certain(self, doubt: Doubt) -> "Configuration":
        """The same without a doubt."""
        return replace(self, is_source_fresh=True) if doubt is Doubt.SOURCE_STALE else replace(self, unseen=0)


def share(configuration: Configuration) -> float | None:
    """How much is as declared, 0 to 1; 1 if nothing is declared, None if nothing was ever compared. Exactly 1 only if nothing is wrong."""
    if not configuration.is_evaluated:
        return None
    counts = {fault: configuration.count(fault) for fault in TENTHS}
    if not any(counts.values()):
        return 1.0
    desired = max(0, configuration.desired) or max(0, configuration.leaving)
    # What left Git is none of the declared objects: however many wait to be deleted, they cost no more than if everything else waited.
    rest = desired - sum(number for fault, number in counts.items() if fault is not Fault.HELD)
    counts[Fault.HELD] = min(counts[Fault.HELD], max(rest, configuration.held, 0))
    cost = sum(TENTHS[fault] * number for fault, number in counts.items())
    whole = 10 * desired
    # More faults than objects are a mistake of the counting, and no reason to raise here.
    return (whole - cost) / whole if cost < whole else 0.0


def known_share(configuration: Configuration) -> float:
    """How much of that is known now, 0 to 1: 0 before the first comparison, half while the newest commit is not known."""
    if not configuration.is_evaluated:
        return 0.0
    unknown, whole = configuration.count(Fault.UNJUDGED) + max(0, configuration.unseen), max(0, configuration.desired)
    known = 1.0 if not unknown else max(0.0, (whole - unknown) / whole) if whole else 0.0
    return known if configuration.is_source_fresh else known * STALE_SHARE
