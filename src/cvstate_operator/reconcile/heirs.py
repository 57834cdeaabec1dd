"""The heirs: which other ClusterStates declare an object that ours would delete, and may have it.

Anybody may declare anything. So whoever would delete what another one declares asks whether that one's account may write it, as the API server says; whose may not has no say.
It is asked only about what is claimed, and before anything is decided; who comes to declare an object meanwhile keeps it until the next look.

A right that was just granted is not known to every authorizer yet, so a refusal is an observation like any other: nothing is deleted, and no mark taken away, by one that is not
old enough (`may_come`), or that does not hold when it is asked for once more (`ask_again`).

Somebody may declare ten thousand objects that he may not write, each a request. A look takes a moment for them and no more; the next one goes on. Until each was asked about nothing
of what was refused is deleted: piece by piece it would pass the limits of pruning that it exceeds as a whole.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cvstate_operator.objects.identity import ObjectRef
from cvstate_operator.plan.prune import AGREEING_SECONDS
from cvstate_operator.reconcile import exchange
from cvstate_operator.reconcile.ports import World

NOBODY: Final = ""
LOOK_SECONDS: Final = 1.0
"""How long one look asks, and one request more: some hundred objects that are refused each by its name. What is known from a moment ago costs nothing."""
ASKED_SECONDS: Final = 60.0
"""How long nobody asks again who was refused, unless something is to be done about it."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """Whether somebody may have an object. Monotonic seconds."""

    may: bool
    since: float
    """When that was told first."""
    asked: float
    """When it was told last."""


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
        self._answers: dict[tuple[str, ObjectRef], _Answer] = {}
        """Of those who declare objects, as of the last look."""
        self._declared: dict[ObjectRef, tuple[str, ...]] = {}
        """Who else declares the objects that were looked at; empty where nobody does."""
        self._state = -1
        """Of the claims when that was so."""
        self.unasked: tuple[ObjectRef, ...] = ()
        """Objects of which it is in doubt who may have them, since the last look had no time for them; sorted."""

    async def look(self, refs: Iterable[ObjectRef]) -> None:
        """Ask about each of these objects that somebody else declares. A request only where that is another account, and its answer is not known from a moment ago."""
        index, looked_at, now = self._world.index, frozenset(refs), self._world.clock.monotonic()
        among = index.claims.among(looked_at, but=self._owner)
        pairs = [(claimant, ref) for ref, claimants in among.items() for claimant in claimants if index.get(ref)]
        known = {pair: answer for pair in pairs if (answer := self._answers.get(pair))}
        self._answers = dict(known)
        again = [pair for pair, answer in known.items() if answer.may or now >= answer.asked + ASKED_SECONDS]
        again.sort(key=lambda pair: known[pair].asked)
        await self._ask([*(pair for pair in pairs if pair not in known), *again], until=now + LOOK_SECONDS)
        self.unasked = tuple(sorted({pair[1] for pair in pairs if pair not in self._answers}))
        # Again, for others may have said meanwhile what they declare; of one who did it is not known yet that he may not.
        found = index.claims.among(looked_at, but=self._owner)
        self._declared, self._state = {ref: found.get(ref, ()) for ref in looked_at}, index.claims.state

    async def ask_again(self, ref: ObjectRef) -> None:
        """Ask once more about those who were refused an object, right before something is done about it. No request if nobody was."""
        await self._ask([(claimant, ref) for claimant in self._refused(ref)], until=float("inf"))

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
        live, now = self._world.index.get(ref), self._world.clock.monotonic()
        if live is None or live.owner != self._owner or live.claimed_by in (NOBODY, self._owner, *self._of(ref)):
            return False
        answer = self._answers.get((live.claimed_by, ref))
        return answer is None or answer.since + AGREEING_SECONDS <= now

    def may_come(self, ref: ObjectRef, since: float, now: float) -> bool:
        """Whether somebody else may turn out to have the object: a refusal is young, or others of the same look are not asked for yet; or somebody marked it who may not have been
        able yet to say that he declares it, for a moment after `since` (monotonic seconds)."""
        live, claims = self._world.index.get(ref), self._world.index.claims
        if live is None:
            return False
        if any(self.unasked or now < self._answers[claimant, ref].since + AGREEING_SECONDS for claimant in self._refused(ref)):
            return True
        if live.claimed_by in (NOBODY, self._owner) or live.claimed_by in claims.claimants(ref):
            return False
        return claims.may_come(live.claimed_by, since, now)

    async def _ask(self, pairs: Iterable[tuple[str, ObjectRef]], *, until: float) -> None:
        """Ask about these, in this order, as long as there is time (monotonic seconds) and anything may be written at all."""
        world = self._world
        for claimant, ref in pairs:
            if world.clock.monotonic() >= until or world.stopped():
                return
            if live := world.index.get(ref):
                may, before = await world.may_have(claimant, live.resource, ref), self._answers.get((claimant, ref))
                now = world.clock.monotonic()
                self._answers[claimant, ref] = _Answer(may, before.since if before and before.may == may else now, now)

    def _of(self, ref: ObjectRef) -> tuple[str, ...]:
        return tuple(claimant for claimant in self._claimants(ref) if not self._is_refused(claimant, ref))

    def _refused(self, ref: ObjectRef) -> tuple[str, ...]:
        return tuple(claimant for claimant in self._claimants(ref) if self._is_refused(claimant, ref))

    def _is_refused(self, claimant: str, ref: ObjectRef) -> bool:
        answer = self._answers.get((claimant, ref))
        return answer is not None and not answer.may

    def _claimants(self, ref: ObjectRef) -> tuple[str, ...]:
        """One object after the other costs by all ClusterStates for each, so what the look found is used as long as nobody said anything since."""
        claims = self._world.index.claims
        if claims.state == self._state and ref in self._declared:
            return self._declared[ref]
        return tuple(claimant for claimant in claims.claimants(ref) if claimant != self._owner)
