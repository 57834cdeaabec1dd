"""The prune stage of one ClusterState: deletes what left Git, if everything that has to be sure is, and lets others have what they declare now."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from cvstate_operator import errors
from cvstate_operator.api.change_plan import PlanAction
from cvstate_operator.api.conditions import Reason
from cvstate_operator.api.prune import Prune
from cvstate_operator.api.windows import WindowAction
from cvstate_operator.objects.identity import ObjectRef
from cvstate_operator.objects.live import Live
from cvstate_operator.plan import adoption, backoff, prune
from cvstate_operator.plan.changes import Action, Change
from cvstate_operator.plan.consent import Item
from cvstate_operator.plan.desired import Desired
from cvstate_operator.plan.prune import AGREEING_SECONDS, PruneGuard, Pruning
from cvstate_operator.reconcile import exchange
from cvstate_operator.reconcile.heirs import Heirs
from cvstate_operator.reconcile.ledger import Ledger
from cvstate_operator.reconcile.orders import Orders
from cvstate_operator.reconcile.outcome import Done, Waits
from cvstate_operator.reconcile.ports import World
from cvstate_operator.reconcile.writer import Writer

WAITING_SECONDS: Final = 0.25
"""How often a prune looks whether it still has to wait, at first. Costs no request."""
WAITING_SHARE: Final = 1 / 40
"""The same later, as a share of how long it has waited already: every quarter of a second for ten seconds, every 15 s after ten minutes."""
HANDED_OVER_SECONDS: Final = 10.0
"""How often it looks whether who declares an object still does; that it was taken over is told by an event."""


@dataclass(frozen=True, slots=True)
class _Suspect:
    """An object that was found superfluous."""

    uid: str
    since: float
    """Monotonic seconds."""


class PruneStage:
    """Not for concurrent use."""

    def __init__(self, world: World, ledger: Ledger, writer: Writer, *, owner: str, name_owner: adoption.NameOwner) -> None:
        self._world = world
        self._ledger = ledger
        self._writer = writer
        self._owner = owner
        self._name_owner = name_owner
        self._heirs = Heirs(world, owner=owner)
        self._suspects: dict[ObjectRef, _Suspect] = {}
        self._lingering: set[ObjectRef] = set()
        """Objects that were deleted in this pass and are there still; the event about it says what keeps them."""
        self._stuck: dict[ObjectRef, str] = {}
        """Objects whose mark we cannot take away: the version in which that was tried."""
        self.pruning = Pruning()
        """What was decided last."""
        self.pending: tuple[ObjectRef, ...] = ()
        """Objects that are about to be deleted."""
        self.leaving: tuple[tuple[ObjectRef, str], ...] = ()
        """Objects that left Git and are being deleted: since when, and what keeps them, for people."""
        self.again_at: float | None = None
        """When to run again, monotonic seconds; None if only with news."""

    @property
    def waiting(self) -> tuple[Waits, ...]:
        """Deletes that a person has to agree to."""
        return tuple(
            Waits(_item(change), Reason.PRUNE_HELD, waiting.objection) for waiting in self.pruning.waiting for change in waiting.changes
        )

    @property
    def is_open(self) -> bool:
        """Whether something is to be looked at again without news."""
        return bool(self.pruning.held or self.pruning.deferred or self.pruning.waiting or self.leaving) or self.again_at is not None

    async def prune(
        self, wanted: Desired, guard: PruneGuard, orders: Orders, *, keeps: Callable[[ObjectRef], bool], retry_all: bool
    ) -> list[Done]:
        """Delete members that left Git, or let others have them; and ask for nothing any more that is not ours to declare.

        Args:
            wanted: all desired objects.
            guard: what is sure.
            orders: what may be done.
            keeps: whether an object is to be kept although it is not desired, as in a rollback.
            retry_all: whether pauses after failures count for nothing.
        """
        self.again_at = None
        block = orders.block(WindowAction.PRUNE)
        members = self._world.index.members(self._owner)
        superfluous = {ref: live for ref, live in members.items() if ref not in wanted.objects}
        await self._heirs.look(superfluous)
        self.leaving = tuple(sorted((ref, live.leaving) for ref, live in superfluous.items() if live.terminating))
        self.pruning = prune.decide(
            members,
            wanted.objects,
            guard,
            owner=self._owner,
            spec=orders.spec.prune,
            claimant=self._claimant,
            policy=lambda change: prune.ROLLBACK if keeps(change.ref) else change.live.directives.prune.value if change.live else "",
            approved=lambda change: orders.agreed(_item(change)),
            deferral=block.message if block else "",
        )
        doomed = {change.ref: change for change in self.pruning.doomed}
        # A prune that failed before is of no interest once its object is gone or held.
        self._ledger.forget([ref for ref in self._ledger.failures if ref not in wanted.objects and ref not in doomed])
        waiting = [change for found in self.pruning.waiting for change in found.changes]
        self._lingering.clear()
        agreed = self._agreed(self.pruning.doomed, waiting)
        done = [] if await self._hand_over(orders) else await self._delete(agreed, orders.spec.prune, retry_all=retry_all)
        gone = {item.ref for item in done} - self._lingering
        self.pending = tuple(ref for ref in doomed if ref not in gone and ref not in self._ledger.failures)
        if not guard.doubt and not block:
            await self._withdraw(wanted)
        return done

    def _agreed(self, doomed: Sequence[Change], waiting: Sequence[Change]) -> list[Change]:
        """Of the doomed those that were found superfluous long enough ago already; the others, and what waits, are noted."""
        now = self._world.clock.monotonic()
        before, self._suspects = self._suspects, {}
        for change in (*doomed, *waiting):
            uid, known = change.live.uid if change.live else "", before.get(change.ref)
            self._suspects[change.ref] = known if known and known.uid == uid else _Suspect(uid, now)
        young = [since for change in doomed if (since := self._suspects[change.ref].since) + AGREEING_SECONDS > now]
        if young:
            self._run_again(min(young) + AGREEING_SECONDS)
        return [change for change in doomed if self._suspects[change.ref].since + AGREEING_SECONDS <= now]

    async def _delete(self, doomed: Iterable[Change], spec: Prune, *, retry_all: bool) -> list[Done]:
        claims, clock = self._world.index.claims, self._world.clock
        done: list[Done] = []
        for change in doomed:
            now = clock.monotonic()
            if self._writer.is_cut_short or self._world.stopped() or (not retry_all and self._ledger.is_paused(change.ref, None, now)):
                continue
            # Each delete takes requests, and others say meanwhile what they declare.
            may_come = self._heirs.may_come(change.ref, self._suspects[change.ref].since, now)
            if not may_come:
                await self._heirs.ask_again(change.ref)
            if may_come or self._world.stopped() or self._claimant(change.ref) or claims.catch_up(self._owner, now):
                self._run_again(now + self._pause(now))
                continue
            if await self._deleted(change, spec):
                done.append(Done(change.ref, Action.PRUNE))
        return done

    async def _deleted(self, change: Change, spec: Prune) -> bool:
        """Delete one object. One that changed since we looked is decided on anew, soon or when the event about it came."""
        assert change.live is not None  # what left Git is there  # noqa: S101
        world, result = self._world, "ok"
        try:
            if not await world.cluster.prune(change, propagation=prune.propagation(change.live, spec)):
                self._lingering.add(change.ref)
        except errors.StaleError as exc:
            result = exc.reason
            self._run_again(world.clock.monotonic() + backoff.pause_seconds(exc, 1, random=world.clock.random()))
        except errors.CvstateError as exc:
            result = exc.reason
            self._writer.fail(change.ref, None, exc)
        world.meter.changed(kind=change.ref.kind, action=Action.PRUNE.value, result=result)
        if result in ("ok", errors.StaleError.reason):
            self._ledger.forget([change.ref])
        return result == "ok"

    def _claimant(self, ref: ObjectRef) -> str:
        """Another ClusterState that declares the object and may have it, for people; empty if there is none."""
        heir = self._heirs.first(ref)
        return self._name_owner(heir) if heir else ""

    async def _hand_over(self, orders: Orders) -> bool:
        """Let others have what left Git; True if nothing may be deleted yet, since one of them may come to declare it."""
        index, now = self._world.index, self._world.clock.monotonic()
        handed_over = () if orders.block(WindowAction.PRUNE) else self.pruning.handed_over
        for ref in handed_over:
            if self._heirs.is_idle(ref):
                await self._heirs.ask_again(ref)
        # What is given to another replica is nobody's here: whoever took it would write beside the one that has it by then.
        index.let_go(self._owner, [ref for ref in self.pruning.free if not self._heirs.asker(ref)])
        for ref in handed_over:
            if (live := index.get(ref)) and not self._world.stopped():
                await self._pass_on(ref, live)
        is_waiting = bool(self.pruning.doomed) and index.claims.catch_up(self._owner, now)
        if is_waiting or self.pruning.handed_over:
            self._run_again(now + (self._pause(now) if is_waiting else HANDED_OVER_SECONDS))
        return is_waiting

    async def _pass_on(self, ref: ObjectRef, live: Live) -> None:
        """Give an object to the ClusterState of another replica that asked for it. If one asked that may not have it, take its mark away: it may be in the way of one that may."""
        labels = self._world.index.labels
        if self._heirs.asker(ref):
            operations = exchange.grant(live, labels)
        elif self._heirs.is_idle(ref):
            operations = exchange.withdraw(live, labels)
        else:
            return
        try:
            await self._world.cluster.edit(live.resource, ref, operations)
        except (errors.StaleError, errors.InvalidError):  # a JSON patch whose test fails is answered 422
            return  # another one's by now, or gone: the event about it says so
        except errors.CvstateError as exc:
            self._writer.fail(ref, None, exc)

    async def _withdraw(self, wanted: Desired) -> None:
        """Take our mark away from what we declare no more, or have by now. Who has the object gives by what we declare, so one that stays does no harm."""
        index = self._world.index
        marked = {ref: live for ref in index.claimed(self._owner) if (live := index.get(ref))}
        stale = {ref: live for ref, live in marked.items() if ref not in wanted.objects or live.owner == self._owner}
        self._stuck = {ref: version for ref, version in self._stuck.items() if ref in stale}
        for ref, live in stale.items():
            if self._stuck.get(ref) == live.version or self._world.stopped():
                continue
            try:
                await self._world.cluster.edit(live.resource, ref, exchange.withdraw(live, index.labels))
            except errors.TransientError:
                continue  # the next look tries it again
            except errors.CvstateError:
                self._stuck[ref] = live.version

    def _pause(self, now: float) -> float:
        """How long until it is looked again whether others still may come to declare something, seconds."""
        waited = now - min((one.since for one in self._suspects.values()), default=now)
        return max(WAITING_SECONDS, waited * WAITING_SHARE)

    def _run_again(self, at: float) -> None:
        self.again_at = at if self.again_at is None else min(at, self.again_at)


def _item(change: Change) -> Item:
    """A delete, as people agree to it."""
    return Item(PlanAction.PRUNE, change.ref, change.live.uid if change.live else "")
