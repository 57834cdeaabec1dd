"""Lapses: the objects of one ClusterState that are not ready, and what time makes of them (`lapse` says how each counts).

Input is the readiness of each object, whenever somebody looked at it; readers are the score, the status and the judge of roll-outs. Pure: time is an argument.
Objects that are ready cost nothing: there are entries only for lapses.

After a restart, what an earlier process told goes on: since when, how far the object was, and when it went forward last. Of one that tells no counts, or of
which none were told, the first look is taken for progress.
"""

import heapq
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from cvstate_operator.objects.identity import GroupKind, ObjectRef
from cvstate_operator.vital.health.lapse import LASTING, SETTLE, HealthCounts, Lapse, Level, following, forward, recalled, recovered
from cvstate_operator.vital.health.state import Readiness, Status

SHOWN: Final = 20
"""Lapses that `worst` tells, unless it is asked for more or fewer: what a person reads."""
_SPARE_ALARMS: Final = 64
_WORST_FIRST: Final = {
    level: rank for rank, level in enumerate((Level.FAILED, Level.MISSING, Level.DEGRADED, Level.UNKNOWN, Level.PROGRESSING, Level.READY))
}


class Lapses:
    """The lapses of one ClusterState. Mutable; owned by one reconciler."""

    def __init__(self, degraded_after_seconds: float) -> None:
        """
        Args:
            degraded_after_seconds: spec.vital.degradedAfter; 0 or more.
        """
        self._after = timedelta(seconds=degraded_after_seconds)
        self._lapses: dict[ObjectRef, Lapse] = {}
        self._numbers: Counter[tuple[GroupKind, Level, bool]] = Counter()
        """Lapses by kind, level, and whether that is known now."""
        self._alarms: list[tuple[datetime, ObjectRef]] = []
        """A heap of moments at which time alone may change a lapse; some are out of date."""
        self._remembered: dict[str, Lapse] = {}
        """What an earlier process told, by object; of objects that were not looked at since."""

    # -- what is seen ----------------------------------------------------------------------------------------------

    def note(self, ref: ObjectRef, found: Readiness | None, now: datetime) -> bool:
        """An object was looked at; True if it counts otherwise than before.

        Args:
            ref: a declared object.
            found: what it says of itself; None: it lacks nothing.
            now: UTC.
        """
        if (found is None or found.is_well) and self._is_settling(ref, now):
            return False
        was = self._counted(ref)
        self._catch_up(ref, found, now)
        before = self._before(ref, now)
        if before is None and (found is None or found.is_well):
            return was != self._counted(ref)
        is_same = before and found and not before.ready_at and (found.status, found.reason) == (before.status, before.reason)
        if not (is_same and before and found and found.message == before.message and found.is_down is bool(before.down_since)):
            self._set(ref, following(before, found, now, after=self._after))
        return was != self._counted(ref)

    def note_missing(self, ref: ObjectRef, now: datetime) -> bool:
        """A declared object is not there; True if it counts otherwise than before."""
        was = self._counted(ref)
        before = self._before(ref, now)
        since = before.since if before and before.is_seen else now
        was_degraded = bool(before and before.was_degraded)
        self._set(ref, Lapse(since, Level.MISSING, None, Level.MISSING.value, "is not there", was_degraded=was_degraded))
        return was != self._counted(ref)

    def forget(self, refs: Iterable[ObjectRef]) -> None:
        """Objects that are not declared any more."""
        for ref in refs:
            self._remembered.pop(str(ref), None)
            self._set(ref, None)

    # -- time ------------------------------------------------------------------------------------------------------

    def advance(self, now: datetime, *, blind: Collection[GroupKind] = ()) -> tuple[ObjectRef, ...]:
        """Let time pass; the objects that count otherwise now.

        Args:
            now: UTC.
            blind: kinds that cannot be seen: of their objects nobody knows whether they still are not ready.
        """
        changed, hidden = [], []
        while self._alarms and self._alarms[0][0] <= now:
            at, ref = heapq.heappop(self._alarms)
            if ref.group_kind in blind:
                hidden.append((at, ref))
                continue
            was = self._counted(ref)
            self._let_pass(ref, now)
            if was != self._counted(ref):
                changed.append(ref)
        for alarm in hidden:
            heapq.heappush(self._alarms, alarm)
        return tuple(changed)

    @property
    def next_change(self) -> datetime | None:
        """When time alone changes something next; None: never."""
        while self._alarms:
            at, ref = self._alarms[0]
            if (lapse := self._lapses.get(ref)) and self._alarm(lapse) == at:
                return at
            heapq.heappop(self._alarms)
        return None

    def reconfigure(self, degraded_after_seconds: float) -> None:
        """spec.vital.degradedAfter is another now. What is degraded stays so until it is ready."""
        self._after = timedelta(seconds=degraded_after_seconds)
        self._set_alarms()

    # -- what it comes to ------------------------------------------------------------------------------------------

    def counts(self, declared: Mapping[GroupKind, int], *, blind: frozenset[GroupKind] = frozenset()) -> HealthCounts:
        """All declared objects by level; costs as much as there are kinds, however many objects there are.

        Args:
            declared: how many objects of each kind Git declares.
            blind: kinds that cannot be seen now. Their objects are Unknown, whatever was noted, but for those of a lasting level.
        """
        found: Counter[Level] = Counter()
        outdated = 0
        hidden = sum(declared.get(kind, 0) for kind in blind)
        for (kind, level, is_known), number in self._numbers.items():
            if level in LASTING:
                found[level] += number
                outdated += 0 if is_known and kind not in blind else number
                hidden -= number if kind in blind else 0
            elif level is not Level.READY and kind not in blind:
                found[level] += number
        unknown = found[Level.UNKNOWN] + max(0, hidden)
        bad = {level: found[level] for level in (Level.PROGRESSING, *LASTING)}
        ready = max(0, sum(declared.values()) - sum(bad.values()) - unknown)
        return HealthCounts(ready, bad[Level.PROGRESSING], bad[Level.DEGRADED], bad[Level.FAILED], bad[Level.MISSING], unknown, outdated)

    def of(self, ref: ObjectRef) -> Lapse | None:
        """The lapse of an object; None if it is ready."""
        return self._lapses.get(ref)

    def is_down(self, *, blind: Collection[GroupKind] = ()) -> bool:
        """Whether a workload that was ready has no ready Pod now; kinds that cannot be seen say nothing."""
        return any(lapse.is_down and ref.group_kind not in blind for ref, lapse in self._lapses.items())

    @property
    def open(self) -> Mapping[ObjectRef, Lapse]:
        """All lapses; also of objects that are ready again, and not for long enough."""
        return self._lapses

    def oldest(self) -> Mapping[Level, datetime]:
        """Since when there is an object of each level without a pause."""
        found: dict[Level, datetime] = {}
        for lapse in self._lapses.values():
            found[lapse.level] = min(lapse.since, found.get(lapse.level, lapse.since))
        return found

    def worst(self, limit: int = SHOWN) -> tuple[tuple[ObjectRef, Lapse], ...]:
        """The worst ones that are not Ready, of equally bad ones the oldest first."""
        shown = ((ref, lapse) for ref, lapse in self._lapses.items() if lapse.level is not Level.READY)
        return tuple(heapq.nsmallest(limit, shown, key=lambda item: (_WORST_FIRST[item[1].level], item[1].since, item[0])))

    # -- over a restart --------------------------------------------------------------------------------------------

    def recall(self, told: Iterable[Mapping[str, object]]) -> None:
        """Take over since when objects are not ready from `status.vital.unready` of an earlier process; what cannot be read is left out.

        Args:
            told: entries with `object` (an ObjectRef as text), `state` (a Level), `reason`, `since`, `progress` and `progressedAt`; anybody may have written them.
        """
        for entry in told:
            match entry:
                case {"object": str(name)} if lapse := recalled(entry):
                    self._remembered[name] = lapse

    def settle(self) -> None:
        """Every declared object was looked at since the start: what an earlier process told of one that is ready by now is over."""
        self._remembered.clear()

    # -- bookkeeping -----------------------------------------------------------------------------------------------

    def _counted(self, ref: ObjectRef) -> tuple[Level, bool]:
        lapse = self._lapses.get(ref)
        return (lapse.level, lapse.is_known) if lapse else (Level.READY, True)

    def _is_settling(self, ref: ObjectRef, now: datetime) -> bool:
        """Whether an object was well when it was looked at last, not for long enough: as long as it stays so, only time changes that."""
        lapse = self._lapses.get(ref)
        return lapse is not None and lapse.is_known and lapse.ready_at is not None and now < lapse.ready_at + SETTLE

    def _before(self, ref: ObjectRef, now: datetime) -> Lapse | None:
        """What was known of an object until now, also by an earlier process."""
        self._let_pass(ref, now)
        if (lapse := self._lapses.get(ref)) or not self._remembered:
            return lapse
        told = self._remembered.pop(str(ref), None)
        return (
            replace(told, since=min(told.since, now), progressed_at=told.progressed_at and min(told.progressed_at, now)) if told else None
        )

    def _catch_up(self, ref: ObjectRef, found: Readiness | None, now: datetime) -> None:
        """What went forward, or got ready, since the last look was not late meanwhile; so this comes before time passes."""
        lapse = self._lapses.get(ref)
        if lapse is None or lapse.level is not Level.PROGRESSING:
            return
        if found is None or found.is_well:
            self._set(ref, recovered(lapse, now))
            return
        ahead = forward(lapse, found, now)
        if lapse.down_since and found.status is not Status.UNKNOWN and not found.is_down:
            ahead = replace(ahead, down_since=None)
        if ahead is not lapse:
            self._set(ref, ahead)

    def _let_pass(self, ref: ObjectRef, now: datetime) -> None:
        """What time alone makes of a lapse."""
        lapse = self._lapses.get(ref)
        alarm = self._alarm(lapse) if lapse else None
        if lapse and alarm and alarm <= now:
            self._set(ref, None if lapse.ready_at else replace(lapse, level=Level.DEGRADED, was_degraded=True))

    def _set(self, ref: ObjectRef, lapse: Lapse | None) -> None:
        before, kind = self._lapses.pop(ref, None), ref.group_kind
        if before:
            self._numbers[kind, before.level, before.is_known] -= 1
            if not self._numbers[kind, before.level, before.is_known]:
                del self._numbers[kind, before.level, before.is_known]
        if lapse:
            self._lapses[ref] = lapse
            self._numbers[kind, lapse.level, lapse.is_known] += 1
            alarm = self._alarm(lapse)
            if alarm and (before is None or alarm != self._alarm(before)):
                self._push(alarm, ref)

    def _alarm(self, lapse: Lapse) -> datetime | None:
        """When time alone changes a lapse; None: never."""
        if lapse.ready_at:
            return lapse.ready_at + SETTLE
        return lapse.late_at(self._after) if lapse.level is Level.PROGRESSING and not lapse.waits else None

    def _push(self, alarm: datetime, ref: ObjectRef) -> None:
        # Something that goes back and forth leaves alarms that are out of date; they must not pile up.
        if len(self._alarms) > 2 * len(self._lapses) + _SPARE_ALARMS:
            self._set_alarms()
        else:
            heapq.heappush(self._alarms, (alarm, ref))

    def _set_alarms(self) -> None:
        self._alarms = [(alarm, ref) for ref, lapse in self._lapses.items() if (alarm := self._alarm(lapse))]
        heapq.heapify(self._alarms)
