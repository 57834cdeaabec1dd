"""Lapses: objects that are not ready, since when, and how that counts. Rolled, scaled and moved objects are not ready for a while, and nothing is wrong.

Input is the readiness of each object (`readiness`), whenever somebody looked at it; readers are the score, the status and the judge of roll-outs. Pure:
time is an argument. Objects that are ready cost nothing: there are entries only for lapses.

| the object is | it counts as |
|---|---|
| Current, or waits for its first Pod | Ready. If it was Degraded or Failed: Degraded, until it was ready for SETTLE_SECONDS |
| InProgress or Terminating | Progressing; Degraded once `degraded_after` has passed since the lapse began, or if the lapse was so bad before |
| Failed | Failed, at once |
| declared, and not there | Missing |
| Unknown | Unknown; if it was Degraded, Failed or Missing it stays that, and is not known now: a gap mends nothing |

A lapse begins when an object is seen not to be ready, and ends when it was ready for SETTLE_SECONDS. So a crash loop that is ready for ten seconds of each
minute is one lapse and becomes Degraded, while a roll-out of half a minute never does.
"""

import heapq
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from cvstate_operator.objects.identity import GroupKind, ObjectRef
from cvstate_operator.objects.redaction import one_line
from cvstate_operator.vital import saved
from cvstate_operator.vital.state import MESSAGE_CHARACTERS, Readiness, Status

SETTLE_SECONDS: Final = 30.0
"""So long an object must be ready for a lapse to be over. Longer than the pauses of a crash loop at its start (10 s, 20 s; Kubernetes documentation, "Pod
Lifecycle"), and shorter than anybody waits for the end of a roll-out. Later pauses are longer, but by then the Pod is told as Failed (CrashLoop)."""
SHOWN: Final = 20
"""Lapses that `worst` tells, unless it is asked for more or fewer: what a person reads."""
_SETTLE: Final = timedelta(seconds=SETTLE_SECONDS)
_SPARE_ALARMS: Final = 64


class Level(StrEnum):
    """How an object counts; the set is closed, so it may be a metric label."""

    READY = "Ready"
    PROGRESSING = "Progressing"
    """On its way, and not for too long."""
    DEGRADED = "Degraded"
    """Not ready for too long, or not ready for long enough again."""
    FAILED = "Failed"
    """Its controller gave up, or backs off."""
    MISSING = "Missing"
    """Declared, and not there."""
    UNKNOWN = "Unknown"


LASTING: Final = frozenset({Level.DEGRADED, Level.FAILED, Level.MISSING})
"""Levels that are kept while nothing is known."""
_WORST_FIRST: Final = {
    level: rank for rank, level in enumerate((Level.FAILED, Level.MISSING, Level.DEGRADED, Level.UNKNOWN, Level.PROGRESSING, Level.READY))
}


@dataclass(frozen=True, slots=True)
class HealthCounts:
    """Declared objects by their level."""

    ready: int = 0
    progressing: int = 0
    degraded: int = 0
    failed: int = 0
    missing: int = 0
    unknown: int = 0
    outdated: int = 0
    """How many of those degraded, failed or missing cannot be seen now: for the confidence."""

    @property
    def total(self) -> int:
        """All of them."""
        return self.ready + self.progressing + self.degraded + self.failed + self.missing + self.unknown

    def count(self, level: Level) -> int:
        """Objects of one level."""
        return int(getattr(self, level.value.lower()))


@dataclass(frozen=True, slots=True)
class Lapse:
    """One object that is not ready, or was not a moment ago."""

    since: datetime
    """When it was first seen not to be ready, UTC; while nothing but Unknown was seen, when that began."""
    level: Level
    status: Status | None
    """What it said last; None: it is not there, or that is not remembered."""
    reason: str
    """A word of state.Reason, or `Missing`."""
    message: str
    """For people; one line."""
    is_known: bool = True
    """Whether the level holds now, and is not one from before a gap."""
    is_seen: bool = True
    """Whether it was seen not to be ready; False while all that is known is that it is Unknown."""
    was_degraded: bool = False
    """Whether it was Degraded or Failed since the lapse began."""
    generation: int | None = None
    """Of the object when it was not ready last; None if that is not known."""
    ready_at: datetime | None = None
    """Since when it is ready again, UTC; None: it is not."""


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
        self._remembered: dict[str, tuple[datetime, Level]] = {}
        """What an earlier process told, by object; of objects that were not looked at since."""

    # -- what is seen ----------------------------------------------------------------------------------------------

    def note(self, ref: ObjectRef, found: Readiness | None, now: datetime) -> bool:
        """An object was looked at; True if it counts otherwise than before.

        Args:
            ref: a declared object.
            found: what it says of itself; None: it lacks nothing.
            now: UTC.
        """
        was = self._counted(ref)
        before = self._before(ref, now)
        if before is None and (found is None or not found.holds_up):
            return was != self._counted(ref)
        is_same = before and found and not before.ready_at and (found.status, found.reason) == (before.status, before.reason)
        if not (is_same and before and found and found.message == before.message):
            self._set(ref, _next(before, found, now, after=self._after))
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
            told: entries with `object` (an ObjectRef as text), `state` (a Level) and `since`; anybody may have written them.
        """
        for entry in told:
            match entry:
                case {"object": str(name), "state": told_level, "since": told_since}:
                    level, since = saved.word(Level, told_level), saved.moment(told_since)
                    if level and since and level is not Level.READY:
                        self._remembered[name] = (since, level)

    def settle(self) -> None:
        """Every declared object was looked at since the start: what an earlier process told of one that is ready by now is over."""
        self._remembered.clear()

    def _recalled(self, ref: ObjectRef, now: datetime) -> Lapse | None:
        """The lapse that an earlier process told of."""
        found = self._remembered.pop(str(ref), None)
        if found is None:
            return None
        since, level = min(found[0], now), found[1]
        was_degraded = level in (Level.DEGRADED, Level.FAILED)
        return Lapse(since, level, None, "", "", is_known=False, is_seen=level is not Level.UNKNOWN, was_degraded=was_degraded)

    # -- bookkeeping -----------------------------------------------------------------------------------------------

    def _counted(self, ref: ObjectRef) -> tuple[Level, bool]:
        lapse = self._lapses.get(ref)
        return (lapse.level, lapse.is_known) if lapse else (Level.READY, True)

    def _before(self, ref: ObjectRef, now: datetime) -> Lapse | None:
        """What was known of an object until now, also by an earlier process."""
        self._let_pass(ref, now)
        lapse = self._lapses.get(ref)
        return self._recalled(ref, now) if lapse is None and self._remembered else lapse

    def _let_pass(self, ref: ObjectRef, now: datetime) -> None:
        """What time alone makes of a lapse."""
        lapse = self._lapses.get(ref)
        alarm = self._alarm(lapse) if lapse else None
        if lapse and alarm and alarm <= now:
            self._set(ref, None if lapse.ready_at else replace(lapse, level=Level.DEGRADED, was_degraded=True))

    def _set(self, ref: ObjectRef, lapse: Lapse | None) -> None:
        before = self._lapses.pop(ref, None)
        kind = ref.group_kind
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
            return lapse.ready_at + _SETTLE
        return lapse.since + self._after if lapse.level is Level.PROGRESSING else None

    def _push(self, alarm: datetime, ref: ObjectRef) -> None:
        # Something that goes back and forth leaves alarms that are out of date; they must not pile up.
        if len(self._alarms) > 2 * len(self._lapses) + _SPARE_ALARMS:
            self._set_alarms()
        else:
            heapq.heappush(self._alarms, (alarm, ref))

    def _set_alarms(self) -> None:
        self._alarms = [(alarm, ref) for ref, lapse in self._lapses.items() if (alarm := self._alarm(lapse))]
        heapq.heapify(self._alarms)


def _next(before: Lapse | None, found: Readiness | None, now: datetime, *, after: timedelta) -> Lapse | None:
    """The lapse after a look at the object; None if it is over, or never was."""
    if found is None or not found.holds_up:
        return _ready(before, now)
    if found.status is Status.UNKNOWN:
        return _unseen(before, found, now)
    if (
        before
        and before.ready_at
        and not before.was_degraded
        and None not in (before.generation, found.generation)
        and before.generation != found.generation
    ):
        before = None  # it was ready, and is asked for something else now: scaled step by step, it is never late
    since = before.since if before and before.is_seen else now
    was_degraded = bool(before and before.was_degraded) or found.status is Status.FAILED or now - since >= after
    if found.status is Status.FAILED:
        level = Level.FAILED
    else:
        level = Level.DEGRADED if was_degraded else Level.PROGRESSING
    return Lapse(
        since,
        level,
        found.status,
        found.reason.value,
        _line(found.message),
        was_degraded=was_degraded,
        generation=found.generation,
    )


def _ready(before: Lapse | None, now: datetime) -> Lapse | None:
    if before is None or not before.is_seen:
        return None
    ready_at = before.ready_at or now
    if now - ready_at >= _SETTLE:
        return None
    level, message = (
        (Level.DEGRADED, f"is ready again, not yet for {SETTLE_SECONDS:g} s") if before.was_degraded else (Level.READY, "is ready")
    )
    return replace(before, level=level, status=Status.CURRENT, message=message, is_known=True, ready_at=ready_at)


def _unseen(before: Lapse | None, found: Readiness, now: datetime) -> Lapse:
    level = before.level if before and before.level in LASTING else Level.UNKNOWN
    told = found.reason.value, _line(found.message)
    if before is None:
        return Lapse(now, level, found.status, *told, is_known=False, is_seen=False)
    return replace(before, level=level, status=found.status, reason=told[0], message=told[1], is_known=False, ready_at=None)


def _line(message: str) -> str:
    """One line of a message; that of a Readiness mostly is one, which is told much faster than made."""
    return message if len(message) <= MESSAGE_CHARACTERS and message.isprintable() else one_line(message, MESSAGE_CHARACTERS)
