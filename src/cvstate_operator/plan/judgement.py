"""Judgement: what becomes of a revision that was begun: good, to be rolled back with the evidence for it, or neither.

Input are the lapses of objects, the signals and SLOs, and what was wrong with them when the revision was begun; the reader is the revision stage. Pure: time is
an argument. The first row that holds decides:

| when | state |
|---|---|
| a signal or SLO is breached that was not, nor was outside its range, when the revision was begun | Breached |
| the deadline is over, and the revision never was applied, since something is wrong with it | Breached |
| the deadline is over, and an object is not ready that was not Degraded or Failed before, and does not wait on purpose | Breached |
| the deadline is over, all were ready since, and an object is Degraded or Failed again | Breached |
| the revision was not ready yet, or its watch is not over | Watching |
| nothing is in doubt | Good |
| something is not applied or cannot be seen, and nobody knows what it will show; or an object waits on purpose | Watching |
| something else is in doubt, for PATIENCE_SECONDS after the watch, or after the deadline if it never was ready | Watching |
| something is in doubt for longer | Unjudged |

In doubt is what is not known (a signal that was known since the revision was begun, an object, a kind that cannot be seen), what was wrong before and still
is, and an object that is just not ready. So Unknown is never good, nor is it a reason to roll back, and nobody is blamed for what was there before. A
revision that is Unjudged is not given up any more, whatever comes; it is Good as soon as nothing is in doubt.

An excuse ends. Once everything is applied and ready, every object is this revision's; a signal or SLO is once it was measured after that, and is well.

A canary that waits for a person, or for its next step, waits as long as it does. Time in which an object waits does not count for it, nor for what comes after it:
once something has waited, an object is late only when it was not ready for as long as the deadline allows, without its own waits. Nor does time in which nobody
could see it: the deadline is without that, and an object that was late by its own time has all of that again once it is seen.

The watch begins when everything is applied and ready. With a watch of 0 s signals and SLOs are no doubt: ready is good, as without them.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import chain
from typing import Final

from cvstate_operator.objects.identity import GroupKind, ObjectRef
from cvstate_operator.vital.health.lapse import Lapse, Level
from cvstate_operator.vital.item import Item, ItemKind

PATIENCE_SECONDS: Final = 600.0
"""How long a doubt may last: twice the default of staleAfter, so that a Prometheus that is restarted in the middle decides nothing."""
MOST_EVIDENCE: Final = 10
"""Lines of evidence that are kept; more say no more to a person."""
_PATIENCE: Final = timedelta(seconds=PATIENCE_SECONDS)
_BAD: Final = frozenset({Level.DEGRADED, Level.FAILED})


class State(StrEnum):
    """What is to be said of a revision; the set is closed."""

    WATCHING = "Watching"
    GOOD = "Good"
    """Everything is applied and ready, and stayed well as long as it was watched."""
    BREACHED = "Breached"
    """It made something worse, or did not become ready."""
    UNJUDGED = "Unjudged"
    """It cannot be told, and is not given up any more."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One thing that speaks against a revision, or keeps it in doubt."""

    subject: str
    """`signal error-rate`, `SLO availability`, `apps/Deployment/web/api`, or `revision`."""
    message: str
    """What is there and what should be; one line."""
    value: str = ""
    """What was measured last; empty for objects, and if it is not told."""
    since: datetime | None = None
    """When it began, UTC; None if it is not remembered."""

    def __str__(self) -> str:
        return f"{self.subject}: {self.message}" + (f" (is {self.value})" if self.value else "")


@dataclass(frozen=True, slots=True)
class Watch:
    """What is remembered of a revision while it is watched."""

    objects: frozenset[ObjectRef] = frozenset()
    """Objects that were Degraded or Failed when it was begun; none any more once everything was ready."""
    breached: frozenset[tuple[ItemKind, str]] = frozenset()
    """Signals and SLOs that were breached when it was begun, or about to be; without those that were well after everything was ready."""
    known: frozenset[tuple[ItemKind, str]] = frozenset()
    """Signals and SLOs that were known when it was begun, or known to be well since. Of others nobody can say that it made them worse."""
    ready_at: datetime | None = None
    """When everything was applied and ready first, UTC; None: it never was."""
    has_waited: bool = False
    """Whether an object waited on purpose since it was begun."""
    is_over: bool = False
    """Whether it was Unjudged: the revision is not blamed for anything any more."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What is there now."""

    is_applied: bool
    """Whether every object of the revision is written."""
    fault: str = ""
    """What is wrong with the revision itself, so that it cannot be applied; empty if nothing is, or it only waits."""
    lapses: Mapping[ObjectRef, Lapse] = field(default_factory=dict)
    """Of declared objects."""
    blind: frozenset[GroupKind] = frozenset()
    """Declared kinds that cannot be seen."""
    seen_since: Mapping[GroupKind, datetime] = field(default_factory=dict)
    """When kinds could be seen again that could not for a while since the revision was begun, UTC."""
    items: Sequence[Item] = ()
    """Signals and SLOs."""
    pending: Collection[tuple[ItemKind, str]] = frozenset()
    """Those that are about to be breached, by kind and name."""
    taken: Mapping[tuple[ItemKind, str], datetime] = field(default_factory=dict)
    """When the newest data behind them was taken, by kind and name, UTC; what is missing is as of now."""
    values: Mapping[tuple[ItemKind, str], str] = field(default_factory=dict)
    """What was measured last of these, by kind and name, for people."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is said of a revision now."""

    state: State
    watch: Watch
    """To be handed in the next time."""
    until: datetime | None = None
    """While Watching: when time alone may change that, UTC. None: only events do."""
    evidence: tuple[Evidence, ...] = ()
    """Breached: what speaks against it. Unjudged, and Watching after its time: what is in doubt. Sorted by subject, MOST_EVIDENCE at most."""

    @property
    def text(self) -> str:
        """The evidence in one line; empty if there is none."""
        return "; ".join(map(str, self.evidence))


def begin(
    started_at: datetime,
    lapses: Mapping[ObjectRef, Lapse],
    items: Sequence[Item],
    *,
    pending: Collection[tuple[ItemKind, str]] = (),
) -> Watch:
    """Remember what is wrong already when a revision is begun.

    After a restart it is told from what is wrong then and is not known to have begun later: in doubt nobody is blamed.

    Args:
        started_at: when the revision was begun, UTC; what began later is no excuse.
        lapses: of declared objects, as of now.
        items: signals and SLOs, as of now.
        pending: those that are outside their range, and not for long enough yet to be breached, by kind and name: what makes them so is there already.
    """
    objects = frozenset(
        ref for ref, lapse in lapses.items() if lapse.level in _BAD and lapse.ready_at is None and lapse.since <= started_at
    )
    # Of one that is not known `since` tells when the gap began.
    breached = frozenset(
        _key(item) for item in items if item.is_breached and not (item.is_known and item.since and item.since > started_at)
    )
    return Watch(objects, breached | frozenset(pending), frozenset(_key(item) for item in items if item.is_known))


def judge(
    watch: Watch, sight: Sight, *, deadline: datetime | None, late_after_seconds: float, watch_for_seconds: float, now: datetime
) -> Judgement:
    """What is to be said of a revision; to be asked again at each change, and at `until`, as long as it is Watching.

    Args:
        watch: of `begin`, or of the judgement before.
        sight: what is there now.
        deadline: when everything has to be applied and ready, UTC; None if the revision cannot be gone back from, and takes as long as it takes.
        late_after_seconds: how long an object may take that could not begin in time, since something waited on purpose before.
        watch_for_seconds: how long it is watched once it is ready; 0 for not at all.
        now: UTC.
    """
    watch = _followed(watch, sight)
    late = _late(watch, sight, deadline, timedelta(seconds=late_after_seconds)) if deadline and not watch.is_over else {}
    if not watch.is_over and (against := _against(watch, sight, late, is_late=deadline is not None and now >= deadline, now=now)):
        return Judgement(State.BREACHED, watch, evidence=_sorted(against))
    if watch.ready_at is None and not _is_whole(sight):
        return _undecided(watch, sight, _lagging(watch, sight), ends=[deadline, *late.values()] if deadline else None, now=now)
    ready_at = watch.ready_at or now
    watch = replace(watch, ready_at=ready_at, objects=frozenset())
    end = ready_at + timedelta(seconds=watch_for_seconds)
    doubts: Iterable[Evidence] = chain(_lagging(watch, sight), _unclear(watch, sight) if watch_for_seconds else ())
    if now >= end and not (doubts := list(doubts)):
        return Judgement(State.GOOD, watch)
    return _undecided(watch, sight, doubts, ends=[end], now=now)


def _followed(watch: Watch, sight: Sight) -> Watch:
    """What is remembered after another look."""
    well = {_key(item) for item in sight.items if item.is_known and not item.is_breached}
    has_waited = watch.has_waited or any(lapse.waits for lapse in sight.lapses.values())
    watch = replace(watch, known=watch.known | well, has_waited=has_waited)
    ready_at = watch.ready_at
    if ready_at is None:
        return watch
    over = {key for key in well.difference(sight.pending) if sight.taken.get(key, ready_at) >= ready_at}
    return replace(watch, breached=watch.breached - over)


def _undecided(watch: Watch, sight: Sight, doubts: Iterable[Evidence], *, ends: Sequence[datetime] | None, now: datetime) -> Judgement:
    """Go on watching until all `ends`, None for ever; then as long as patience lasts, or until what cannot be seen is seen, and nothing waits on purpose."""
    if ends is None:
        return Judgement(State.WATCHING, watch)
    if until := min((end for end in ends if now < end), default=None):
        return Judgement(State.WATCHING, watch, until)
    patience = max(ends) + _PATIENCE
    is_unseen = not sight.is_applied or bool(sight.blind) or any(lapse.waits or not lapse.is_known for lapse in sight.lapses.values())
    if watch.is_over or (now >= patience and not is_unseen):
        return Judgement(State.UNJUDGED, replace(watch, is_over=True), evidence=_sorted(doubts))
    return Judgement(State.WATCHING, watch, None if is_unseen else patience, _sorted(doubts))


def _against(watch: Watch, sight: Sight, late: Mapping[ObjectRef, datetime], *, is_late: bool, now: datetime) -> list[Evidence]:
    """What the revision is to blame for."""
    found = [_of_item(sight, item) for item in sight.items if item.is_breached and _key(item) in watch.known - watch.breached]
    if is_late and sight.fault and not sight.is_applied and watch.ready_at is None:
        found.append(Evidence("revision", sight.fault))
    return found + [_of_object(ref, sight.lapses[ref]) for ref, at in late.items() if now >= at]


def _late(watch: Watch, sight: Sight, deadline: datetime, late_after: timedelta) -> dict[ObjectRef, datetime]:
    """Objects that the revision is to blame for unless they are ready by then."""
    found = {}
    for ref, lapse in sight.lapses.items():
        is_lagging = lapse.level in _BAD if watch.ready_at else lapse.level is not Level.READY and not lapse.waits
        if is_lagging and lapse.is_known and lapse.ready_at is None and ref not in watch.objects and ref.group_kind not in sight.blind:
            own = max(lapse.since, lapse.waited_until or lapse.since, sight.seen_since.get(ref.group_kind, lapse.since)) + late_after
            found[ref] = max(deadline, own) if watch.has_waited and watch.ready_at is None else deadline
    return found


def _is_whole(sight: Sight) -> bool:
    """Whether nothing lags: asked for at each event, so nothing is put into words for it."""
    return sight.is_applied and not sight.blind and all(lapse.level is Level.READY for lapse in sight.lapses.values())


def _lagging(watch: Watch, sight: Sight) -> Iterator[Evidence]:
    """What is not applied, or not known to be ready for good."""
    if not sight.is_applied:
        yield Evidence("revision", "is not applied")
    for kind in sorted(sight.blind):
        yield Evidence(f"objects {kind}", "cannot be seen now")
    for ref, lapse in sight.lapses.items():
        if lapse.level is not Level.READY:
            yield _of_object(ref, lapse, " (as before)" if ref in watch.objects else "")


def _unclear(watch: Watch, sight: Sight) -> Iterator[Evidence]:
    """Signals and SLOs that say nothing for the revision."""
    for item in sight.items:
        if item.is_breached:
            yield _of_item(sight, item, " (as before)" if _key(item) in watch.breached else "")
        elif not item.is_known and _key(item) in watch.known:
            yield _of_item(sight, item, " (not known now)")
        elif watch.ready_at and sight.taken.get(_key(item), watch.ready_at) < watch.ready_at:
            yield _of_item(sight, item, " (not asked for since)")


def _of_item(sight: Sight, item: Item, remark: str = "") -> Evidence:
    kind = "SLO" if item.kind is ItemKind.SLO else "signal"
    return Evidence(f"{kind} {item.name}", item.message + remark, sight.values.get(_key(item), ""), item.since)


def _of_object(ref: ObjectRef, lapse: Lapse, remark: str = "") -> Evidence:
    return Evidence(str(ref), lapse.message + remark, since=lapse.since)


def _sorted(evidence: Iterable[Evidence]) -> tuple[Evidence, ...]:
    return tuple(sorted(evidence, key=str)[:MOST_EVIDENCE])


def _key(item: Item) -> tuple[ItemKind, str]:
    return item.kind, item.name
