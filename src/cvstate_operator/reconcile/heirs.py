"""The heirs: which other ClusterStates declare an object that ours would delete, and may have it.

Anybody may declare anything. So whoever would delete what another one declares asks whether that one's account may write it, as the API server says now; whose may not has no say.
It is asked only about what is claimed, and before anything is decided; who comes to declare an object meanwhile keeps it until the next look.
"""

from collections.abc import Iterable
from typing import Final

from cvstate_operator.objects.identity import ObjectRef
from cvstate_operator.reconcile import exchange
from cvstate_operator.reconcile.ports import World

NOBODY: Final = ""


class Heirs:
    """Of the objects of one ClusterState. Not for concurrent use."""

    def __init__(self, world: World, *, owner: str) -> None:
        """
        Args:
            world: everything outside.
            owner: ApplySet id of the ClusterState.
        """
        self._world = world
        self._owner = owner
        self._refused: set[tuple[str, ObjectRef]] = set()
        """Who declares which object and may not write it, as of the last look."""

    async def look(self, refs: Iterable[ObjectRef]) -> None:
        """Ask about each of these objects that somebody else declares. A request only where that is another account, and its answer is not known from a moment ago."""
        self._refused.clear()
        index = self._world.index
        for ref in refs:
            for claimant in self._claimants(ref):
                if (live := index.get(ref)) and not await self._world.may_have(claimant, live.resource, ref):
                    self._refused.add((claimant, ref))

    def first(self, ref: ObjectRef) -> str:
        """ApplySet id of a ClusterState that declares the object and may have it; empty if there is none."""
        return next(iter(self._of(ref)), NOBODY)

    def asker(self, ref: ObjectRef) -> str:
        """Of these, the one of another replica that asked for the object, if it is ours to give; empty if nobody did."""
        live = self._world.index.get(ref)
        if live is None or live.controller or live.owner != self._owner:
            return NOBODY
        return exchange.asker(live, self._of(ref), self._world.is_elsewhere)

    def is_idle(self, ref: ObjectRef) -> bool:
        """Whether an object of ours is marked by somebody who does not declare it, or may not have it."""
        live = self._world.index.get(ref)
        return live is not None and live.owner == self._owner and live.claimed_by not in (NOBODY, self._owner, *self._of(ref))

    def may_come(self, ref: ObjectRef, since: float, now: float) -> bool:
        """Whether somebody marked the object and may not have been able yet to say that it declares it; for a moment after `since` (monotonic seconds)."""
        live, claims = self._world.index.get(ref), self._world.index.claims
        if live is None or live.claimed_by in (NOBODY, self._owner) or live.claimed_by in claims.claimants(ref):
            return False
        return claims.may_come(live.claimed_by, since, now)

    def _of(self, ref: ObjectRef) -> tuple[str, ...]:
        return tuple(claimant for claimant in self._claimants(ref) if (claimant, ref) not in self._refused)

    def _claimants(self, ref: ObjectRef) -> tuple[str, ...]:
        return tuple(claimant for claimant in self._world.index.claims.claimants(ref) if claimant != self._owner)
