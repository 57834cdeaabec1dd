"""The drift ledger: every field that is not as declared, since when, how much it matters, and what is being done about it. Pure: time is an argument.

An entry is opened when a drift is first seen and stays, with its first moment, until the field is as declared again, whoever did it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from cvstate_operator.api.drift import DriftAction, Severity
from cvstate_operator.drift.coverage import FieldDrift
from cvstate_operator.objects.identity import ObjectRef


class State(StrEnum):
    """What is being done about a drift; also a metric label."""

    REPAIRING = "Repairing"
    """It is repaired now, or as soon as the API server lets us."""
    TRANSIENT = "Transient"
    """Younger than spec.drift.transientFor: it may pass by itself."""
    ALERTED = "Alerted"
    """A rule says to report it and no more."""
    AWAITING_APPROVAL = "AwaitingApproval"
    """A rule says that a person has to agree."""
    BREAKER_OPEN = "BreakerOpen"
    """Somebody undoes every repair; it is left alone for a while."""
    YIELDED = "Yielded"
    """spec.apply.conflicts leaves it to the other manager."""
    HELD = "Held"
    """Nothing may be written now: suspended, a closed window, an EmergencyStop, mode Observe, or an annotation of the object."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One field of one object that is not as declared."""

    drift: FieldDrift
    severity: Severity
    action: DriftAction
    state: State
    first_seen: datetime


@dataclass(slots=True)
class DriftLedger:
    """The open drift of one ClusterState. Mutable; owned by one reconciler."""

    _entries: dict[ObjectRef, tuple[Entry, ...]] = field(default_factory=dict)
    _remembered: dict[str, dict[str, datetime]] = field(default_factory=dict)
    """First moments told by an earlier life, by object and path; of objects that were not looked at since."""

    def recall(self, sample: Iterable[Mapping[str, object]]) -> None:
        """Take over when drifts were first seen from `status.drift.sample` of an earlier life; entries that cannot be read are left out."""
        for entry in sample:
            match entry:
                case {"object": str(name), "path": str(path), "since": str(since)}:
                    try:
                        moment = datetime.fromisoformat(since)
                    except ValueError:
                        continue
                    if moment.tzinfo is not None:
                        self._remembered.setdefault(name, {})[path] = moment

    def of(self, ref: ObjectRef) -> tuple[Entry, ...]:
        """The open drift of one object, that which matters most first; empty if it has none."""
        return self._entries.get(ref, ())

    def first_seen(self, ref: ObjectRef, path: str, now: datetime) -> datetime:
        """When a drift that is there now was first seen; `now` if it is news."""
        known = next((entry.first_seen for entry in self.of(ref) if entry.drift.path == path), None)
        remembered = self._remembered.get(str(ref), {}).get(path)
        return min(known or remembered or now, now)

    def remembers(self, ref: ObjectRef, path: str) -> bool:
        """Whether an earlier process told of this drift, and the object was not looked at since."""
        return path in self._remembered.get(str(ref), ())

    def wants_another(self, ref: ObjectRef, drift: FieldDrift) -> bool:
        """Whether Git declares another value of a drifted field than when it was looked at last."""
        return any(entry.drift.path == drift.path and entry.drift.desired != drift.desired for entry in self.of(ref))

    def note(self, ref: ObjectRef, found: Sequence[Entry]) -> tuple[Entry, ...]:
        """The object was looked at and this is all its drift; returns what was not known before."""
        before = {entry.drift.path for entry in self.of(ref)}
        self._remembered.pop(str(ref), None)
        if found:
            self._entries[ref] = tuple(sorted(found, key=lambda entry: (-entry.severity.rank, entry.drift.path)))
        else:
            self._entries.pop(ref, None)
        return tuple(entry for entry in found if entry.drift.path not in before)

    def repaired(self, ref: ObjectRef) -> tuple[Entry, ...]:
        """What was being repaired is as declared now; returns it. What is left alone stays open."""
        if not (self.of(ref) or self._remembered):
            return ()
        gone = tuple(entry for entry in self.of(ref) if entry.state is State.REPAIRING)
        self.note(ref, [entry for entry in self.of(ref) if entry.state is not State.REPAIRING])
        return gone

    def forget(self, refs: Iterable[ObjectRef]) -> None:
        """Objects that are no longer desired, or are as desired."""
        for ref in refs:
            self._entries.pop(ref, None)
            if self._remembered:
                self._remembered.pop(str(ref), None)

    @property
    def open(self) -> Mapping[ObjectRef, tuple[Entry, ...]]:
        """All open drift, by object."""
        return self._entries
