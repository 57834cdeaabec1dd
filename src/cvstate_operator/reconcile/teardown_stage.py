"""The teardown stage: what happens to the objects of a ClusterState that is being deleted with `deletionPolicy: Delete`.

Level-based: each run deletes what may go now, last wave first, and says what is left. Objects that settings, annotations or other ClusterStates keep stay; what a ClusterState of
another replica asked for is given to it (`exchange.py`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from cvstate_operator import errors
from cvstate_operator.api.windows import WindowAction
from cvstate_operator.objects.directives import Prune
from cvstate_operator.objects.identity import ObjectRef
from cvstate_operator.objects.live import Live
from cvstate_operator.plan import prune
from cvstate_operator.plan.changes import Action, Change
from cvstate_operator.plan.desired import Desired
from cvstate_operator.plan.prune import AGREEING_SECONDS
from cvstate_operator.reconcile import exchange, wording
from cvstate_operator.reconcile.heirs import Heirs
from cvstate_operator.reconcile.observe_stage import ObserveStage
from cvstate_operator.reconcile.orders import Orders
from cvstate_operator.reconcile.ports import World

AGAIN_SECONDS: Final = 2.0
"""How often it looks whether what stood in its way is gone; that an object is gone is told by an event."""
_OUT_OF_REACH: Final = (
    errors.ForbiddenError,
    errors.UnauthorizedError,
    errors.TargetUnreachableError,
    errors.ReferenceMissingError,
    errors.KubeConfigInvalidError,
    errors.URLNotAllowedError,
)
"""What keeps anybody from getting at the objects: their account or its rights are gone, or their cluster, or the Secret that leads to it."""


@dataclass(frozen=True, slots=True)
class Departure:
    """How far the teardown is."""

    left: tuple[ObjectRef, ...]
    """Objects that have to go first; empty: the ClusterState may go."""
    why: str
    """What is being waited for, for people."""
    kept: int
    """Objects that stay."""
    is_refused: bool = False
    """Whether what stands in the way is that nobody gets at the objects: the account or its rights, the cluster or its Secret were most likely deleted before the ClusterState, or
    together with it."""


class TeardownStage:
    """Not for concurrent use."""

    def __init__(self, world: World, observe: ObserveStage, *, owner: str) -> None:
        self._world = world
        self._observe = observe
        self._owner = owner
        self._heirs = Heirs(world, owner=owner)
        self._has_listed = False
        self._since: float | None = None
        """When it was first seen that objects are to go, monotonic seconds."""

    async def run(self, orders: Orders) -> Departure:
        """Delete what may go now."""
        index, now = self._world.index, self._world.clock.monotonic()
        index.claims.want(self._owner, (), None, now)
        try:
            await self._observe.observe(Desired(), resync_before=None if self._has_listed else now)
        except _OUT_OF_REACH as exc:
            if not self._observe.kinds:
                raise
            # After a restart not even what is served can be asked; of which kinds the objects are is known from before.
            left = tuple(sorted(index.members(self._owner))) or tuple(ObjectRef(*kind, "", "") for kind in sorted(self._observe.kinds))
            return Departure(left, exc.message, 0, is_refused=True)
        self._has_listed = self._observe.seen_all
        members = dict(index.members(self._owner))
        await self._heirs.look(members)
        going = {
            ref: live for ref, live in members.items() if live.terminating or self._heirs.asker(ref) or self._may_go(ref, live, orders)
        }
        kept = len(members) - len(going)
        if (
            self._observe.blind
        ):  # nothing is declared, so no namespace is closed: what is there and may not be seen was never made by this account
            kind, error = next(iter(self._observe.blind.items()))
            left = tuple(going) or (ObjectRef(kind.group, kind.kind, "", ""),)
            return Departure(left, f"{kind} cannot be seen: {error.message}", kept, isinstance(error, _OUT_OF_REACH))
        unsure = self._heirs.unasked
        if not going and not unsure:
            return Departure((), "", kept)
        if not going or index.claims.catch_up(self._owner, now) or not self._is_agreed(now) or self._may_be_claimed(going, now):
            return Departure(tuple(sorted(going)) or unsure, "a second look, and other ClusterStates that may come to declare them", kept)
        if block := orders.block(WindowAction.PRUNE):
            return Departure(tuple(sorted(going)), block.message, kept)
        last = max(_change(ref, live).wave for ref, live in going.items())
        problem, is_refused = await self._dismiss({ref: live for ref, live in going.items() if _change(ref, live).wave == last}, orders)
        waiting = [ref for ref, live in going.items() if live.terminating]
        why = problem or (f"their finalizers, first of {wording.named(sorted(waiting))}" if waiting else "the API server")
        return Departure(tuple(sorted(going)), why, kept, is_refused)

    def _is_agreed(self, now: float) -> bool:
        """Whether the first look is long enough ago (S3 of RELIABILITY: two observations that agree)."""
        self._since = now if self._since is None else self._since
        return now >= self._since + AGREEING_SECONDS

    def _may_be_claimed(self, going: Iterable[ObjectRef], now: float) -> bool:
        """Whether somebody marked one of the objects who has had no time yet to say why."""
        return self._since is not None and any(self._heirs.may_come(ref, self._since, now) for ref in going)

    async def _dismiss(self, doomed: Mapping[ObjectRef, Live], orders: Orders) -> tuple[str, bool]:
        """Delete these, or give them away; returns what went wrong with the first that could not be, for people, and whether it was all refused."""
        problem, tried, refused = "", 0, 0
        for ref, live in sorted(doomed.items()):
            if not live.terminating:
                await self._heirs.ask_again(ref)
            if live.terminating or self._world.stopped():
                continue
            # Each takes requests, and others say meanwhile what they declare.
            is_asked = bool(self._heirs.asker(ref))
            if not (is_asked or self._may_go(ref, live, orders)):
                continue
            tried += 1
            try:
                await (self._give(ref, live) if is_asked else self._delete(ref, live, orders))
            except errors.StaleError:
                continue  # the event about it says what it is now
            except errors.CvstateError as exc:
                problem = problem or f"{ref}: {exc.message}"
                refused += isinstance(exc, _OUT_OF_REACH)
        return problem, tried > 0 and refused == tried

    async def _give(self, ref: ObjectRef, live: Live) -> None:
        """Put an object under the label of the ClusterState of another replica that asked for it."""
        await self._world.cluster.edit(live.resource, ref, exchange.grant(live, self._world.index.labels))

    async def _delete(self, ref: ObjectRef, live: Live, orders: Orders) -> None:
        try:
            await self._world.cluster.prune(_change(ref, live), propagation=prune.propagation(live, orders.spec.prune))
        except errors.CvstateError as exc:
            self._world.meter.changed(kind=ref.kind, action=Action.PRUNE.value, result=exc.reason)
            raise
        self._world.meter.changed(kind=ref.kind, action=Action.PRUNE.value, result="ok")

    def _may_go(self, ref: ObjectRef, live: Live, orders: Orders) -> bool:
        protected = orders.spec.prune.protected_kinds
        wish = live.directives
        return (
            live.is_certain
            and wish.prune is Prune.ENABLED
            and wish.delete_with_parent
            and not {ref.kind, str(ref.group_kind)} & set(protected)
            and not self._heirs.first(ref)
        )


def _change(ref: ObjectRef, live: Live) -> Change:
    return Change(ref, Action.PRUNE, None, live)
