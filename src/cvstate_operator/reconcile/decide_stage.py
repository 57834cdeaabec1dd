"""The decide stage of one ClusterState: what to do with each object now, and what has to wait."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cvstate_operator import errors
from cvstate_operator.objects.directives import Apply
from cvstate_operator.objects.identity import ObjectRef
from cvstate_operator.objects.live import Live
from cvstate_operator.objects.manifest import Manifest
from cvstate_operator.plan import adoption, changes, waves
from cvstate_operator.plan.changes import Action, Change, Hold
from cvstate_operator.plan.desired import Desired, is_applied_from
from cvstate_operator.plan.gates import PASSING, Block
from cvstate_operator.plan.waves import Frontier
from cvstate_operator.reconcile import exchange
from cvstate_operator.reconcile.drift_stage import DriftStage
from cvstate_operator.reconcile.ledger import Ledger
from cvstate_operator.reconcile.orders import Orders
from cvstate_operator.reconcile.ports import World

BREATH_OBJECTS: Final = 1000
"""After so many objects others get their turn: deciding on one takes 5 µs (measured), and the event loop must not lag."""

Fail = Callable[[ObjectRef, Manifest | None, errors.CvstateError], None]


@dataclass(slots=True)
class Decision:
    """What a pass is to do with the desired objects."""

    plan: list[Change] = field(default_factory=list)
    """To be carried out now. Repairs that may not be made are here too: they are looked at, and not written."""
    held: list[Change] = field(default_factory=list)
    """Creates and updates that a gate holds."""
    block: Block | None = None
    """Which gate; None if nothing is held by one."""
    later: list[Change] = field(default_factory=list)
    """Creates and updates of later waves."""
    frontier: Frontier | None = None
    """What those wait for; None if nothing does."""


class DecideStage:
    """Not for concurrent use."""

    def __init__(
        self,
        world: World,
        ledger: Ledger,
        drift: DriftStage,
        fail: Fail,
        *,
        owner: str,
        name_owner: adoption.NameOwner,
        status: Mapping[str, Any],
        is_dry: bool = False,
    ) -> None:
        """
        Args:
            world: everything outside.
            ledger: what needs no look, and what failed.
            drift: told of objects that are as declared.
            fail: called with what cannot be brought to its desired state.
            owner: ApplySet id.
            name_owner: names other ApplySets for people.
            status: of an earlier life of the operator.
            is_dry: whether no mark is to be put on any object either: it is only asked what would be done.
        """
        self._world = world
        self._is_dry = is_dry
        self._ledger = ledger
        self._drift = drift
        self._fail = fail
        self._owner = owner
        self._name_owner = name_owner
        self._is_accepted = True
        self._pending: Collection[ObjectRef] = ()
        self._is_blocked = False
        self._orphans: dict[str, bool] = {}
        """ApplySet ids met in this pass: whether their ClusterState is gone."""
        self.uncompared: set[ObjectRef] = set()
        """Desired objects that a rollback leaves alone, and that were applied from neither of the two revisions, or from one that cannot be read."""
        self._claimed = frozenset(map(str, status.get("claims") or ()))
        """What an earlier life of the operator found to be another's."""
        self._of_others: set[ObjectRef] = set()
        """Desired objects that another ApplySet has, whatever is done about that."""

    @property
    def claims(self) -> tuple[ObjectRef, ...]:
        """Desired objects that another ApplySet has; sorted."""
        index = self._world.index
        return tuple(sorted(ref for ref in self._of_others if (live := index.get(ref)) is None or live.owner != self._owner))

    async def decide(
        self,
        wanted: Desired,
        refs: Iterable[ObjectRef],
        unseen: Callable[[ObjectRef], errors.CvstateError | None],
        *,
        rules: str,
        block: Block | None,
        is_accepted: bool,
        pending: Collection[ObjectRef],
        left_as_is: Callable[[ObjectRef], bool],
        retry_all: bool,
    ) -> Decision:
        """Decide on each object; what is wrong with one becomes a failure in the ledger.

        Args:
            wanted: all desired objects.
            refs: those to decide on.
            unseen: why an object cannot be seen; None if it can.
            rules: by which fields are left out of an apply.
            block: what keeps newer manifests from being applied; None if nothing does.
            is_accepted: whether these manifests were ever begun to be applied; if not, what is absent is new, and did not vanish.
            pending: objects whose newer manifest waited in the pass before: one of them that is absent waits for its turn, too.
            left_as_is: whether an object is not to be brought to this revision, as in a rollback.
            retry_all: whether pauses after failures count for nothing.
        """
        now = self._world.clock.monotonic()
        self._orphans.clear()
        self._is_accepted, self._pending, self._is_blocked = is_accepted, pending, block is not None
        found = Decision(block=block)
        if self.uncompared:  # a set is compared with each key of a mapping, so that it would cost with the number of all objects
            self.uncompared.intersection_update(wanted.objects)
        if self._of_others:
            self._of_others.intersection_update(wanted.objects)
        for number, ref in enumerate(refs, 1):
            if number % BREATH_OBJECTS == 0:
                await self._world.clock.sleep(0)
            if ref not in wanted.objects:
                continue
            self.uncompared.discard(ref)
            self._note_owner(ref, unseen)
            manifest = wanted.manifest_for(ref, self._world.index.get(ref))
            if manifest is None:
                self._set_aside(ref)
            elif not retry_all and self._ledger.is_paused(ref, manifest, now):
                continue
            elif error := unseen(ref):
                self._fail(ref, manifest, error)
            elif change := await self._change(ref, manifest, rules, now):
                self._sort(change, found, wanted, left_as_is)
        return found

    def _note_owner(self, ref: ObjectRef, unseen: Callable[[ObjectRef], errors.CvstateError | None]) -> None:
        """Note whether a desired object is another's. Of one that cannot be seen since the start, that is known from before."""
        live = self._world.index.get(ref)
        if live.owner != self._owner if live else exchange.is_listed(ref, self._claimed) and unseen(ref) is not None:
            self._of_others.add(ref)
        else:
            self._of_others.discard(ref)

    def advance(self, wanted: Desired, found: Decision, orders: Orders, *, left_as_is: Callable[[ObjectRef], bool]) -> Decision:
        """Take out of the plan what belongs to waves that may not be begun yet."""
        pending = {change.ref: change for change in (*found.plan, *found.held, *found.later) if _is_revision(change)}

        def lacks(ref: ObjectRef) -> str:
            if left_as_is(ref):
                return ""
            if failure := self._ledger.failures.get(ref):
                return failure.problem.message
            if ref in pending:
                return "it is not applied yet"
            return self._unready(ref) if orders.spec.apply.wait else ""

        found.plan = [*found.plan, *found.later]
        found.later, found.frontier = [], waves.frontier(wanted.waves, lacks)
        if found.frontier:
            limit = found.frontier.wave
            found.later = [change for change in found.plan if _is_revision(change) and change.wave[0] > limit]
            for change in found.later:
                self._ledger.excuse(change.ref)
            found.plan = [change for change in found.plan if not (_is_revision(change) and change.wave[0] > limit)]
        return found

    def _unready(self, ref: ObjectRef) -> str:
        readiness = self._world.index.unready(ref)
        return readiness.message if readiness and readiness.holds_up else ""

    def _set_aside(self, ref: ObjectRef) -> None:
        """Nothing is known that the object could be compared with."""
        self.uncompared.add(ref)
        self._ledger.excuse(ref)
        self._drift.calm(ref, self._world.index.get(ref))

    def _sort(self, change: Change, found: Decision, wanted: Desired, left_as_is: Callable[[ObjectRef], bool]) -> None:
        if not _is_revision(change):
            found.plan.append(change)
        elif left_as_is(change.ref) and _is_of_another(change):
            self._set_aside(change.ref)
        elif _stays(change):
            self._leave_alone(change.ref, change.live)
        elif change.action is Action.CREATE and not wanted.may_be_new(change.ref):
            self._ledger.excuse(change.ref)
            self._drift.calm(change.ref, change.live)
        elif found.block and not self._is_remade(change, found.block):
            self._ledger.excuse(change.ref)
            found.held.append(change)
        else:
            found.plan.append(change)

    def _is_remade(self, change: Change, block: Block) -> bool:
        """Whether the object went only to be made anew, before a gate closed that does not forbid everything."""
        return self._is_accepted and change.action is Action.CREATE and change.ref in self._ledger.remaking and block.reason in PASSING

    def _leave_alone(self, ref: ObjectRef, live: Live | None) -> None:
        """Annotations ask us not to write the object as it is."""
        self._ledger.exempt.add(ref)
        self._ledger.excuse(ref)
        self._drift.calm(ref, live)

    async def _change(self, ref: ObjectRef, manifest: Manifest, rules: str, now: float) -> Change | None:
        """What to do with one object; None for nothing, or if it failed."""
        claims, live = self._world.index.claims, self._world.index.get(ref)
        self._ledger.exempt.discard(ref)
        if _is_left_alone(manifest, live) or (live is None and ref in self._ledger.left):
            if live and (error := await self._succeed(ref, live)):
                self._fail(ref, manifest, error)
            else:
                self._leave_alone(ref, live)
            return None
        is_free = live is not None and live.owner != self._owner and (claims.is_free(ref, live.owner) or await self._is_orphan(live))
        match changes.decide(
            ref,
            manifest,
            live,
            owner=self._owner,
            was_applied=self._is_accepted and self._was_there(ref),
            is_free=is_free,
            rules=rules,
        ):
            case Hold.OWNER_CONFLICT:
                claims.catch_up(self._owner, now)
                self._fail(ref, manifest, await self._ask_for(ref, live) or adoption.conflict(self._name_owner(live.owner if live else "")))
                if live and (given := self._world.index.get(ref)) and given.owner != live.owner:
                    self._ledger.touch(ref, now)  # while it was asked for: the event came before there was a pause that it could end
            case Hold.TERMINATING:
                self._ledger.remaking.add(ref)
                self._fail(ref, manifest, errors.TerminatingError("the object is being deleted; it is applied again when it is gone"))
            case Change() as change:
                return change
            case None:
                self._ledger.done(ref)
                self._drift.calm(ref, live)
        return None

    async def _ask_for(self, ref: ObjectRef, live: Live | None) -> errors.CvstateError | None:
        """Mark an object that a ClusterState of another replica has as wanted; what went wrong with that."""
        if live is None or not self._may_mark or not self._world.is_elsewhere(live.owner) or not self._comes_before(ref, live):
            return None
        return await self._edit(ref, live, exchange.request(live, self._owner, self._world.index.labels))

    @property
    def _may_mark(self) -> bool:
        """Whether objects of others may be marked now."""
        return not (self._is_dry or self._is_blocked or self._world.stopped())

    def _comes_before(self, ref: ObjectRef, live: Live) -> bool:
        """Whether our mark is to be put where another one may stand: of several who declare an object the one with the lowest id has its mark there, so that they come to rest.

        A mark of one who declares it no more, or has it by now, is in nobody's way.
        """
        other = live.claimed_by
        if other == self._owner:
            return False
        return other == live.owner or self._owner < other or other not in self._world.index.claims.claimants(ref)

    def _is_known(self, owner: str) -> bool:
        """Whether there is a ClusterState with this ApplySet id, as far as this process heard."""
        return self._world.is_elsewhere(owner) or self._world.index.claims.knows(owner)

    async def _succeed(self, ref: ObjectRef, live: Live) -> errors.CvstateError | None:
        """See to it that an object that is to be left as it is becomes ours when its owner wants it no more; nothing but whose it is changes. What went wrong with that.

        If another one declares it too, that one may want more than that it is there, and goes before; as long as anybody declares it, the owner keeps it.
        """
        if live.owner == self._owner or not live.is_member or live.terminating or not live.directives.reconcile or not self._may_mark:
            return None
        claims, labels = self._world.index.claims, self._world.index.labels
        if not {self._owner, live.owner}.issuperset(claims.claimants(ref)):
            operations = exchange.withdraw(live, labels) if live.claimed_by == self._owner else ()
        elif claims.is_free(ref, live.owner) or (not self._is_known(live.owner) and await self._is_orphan(live)):
            operations = exchange.take(live, self._owner, labels)
        elif self._world.is_elsewhere(live.owner) and self._comes_before(ref, live):
            operations = exchange.request(live, self._owner, labels)
        else:
            operations = ()
        error = await self._edit(ref, live, operations) if operations else None
        return None if isinstance(error, errors.ForbiddenError) else error  # who may not write it has no say in whose it is

    async def _edit(self, ref: ObjectRef, live: Live, operations: exchange.Operations) -> errors.CvstateError | None:
        """Change a mark on an object of somebody else's; what went wrong with that."""
        try:
            await self._world.cluster.edit(live.resource, ref, operations)
        except (errors.StaleError, errors.InvalidError):  # a JSON patch whose test fails is answered 422
            return None  # it changed hands meanwhile; the event about it brings us back
        except errors.CvstateError as exc:
            return exc
        return None

    def _was_there(self, ref: ObjectRef) -> bool:
        """Whether the object, if it is absent, vanished, so that to make it is a repair; what this process did not see an earlier one may have told."""
        return ref not in self._pending and (ref in self._ledger.present or self._drift.remembers_loss(ref))

    async def _is_orphan(self, live: Live) -> bool:
        """Whether the object was left behind by a ClusterState that is gone: one that deletes nothing gives its objects up."""
        if not (live.digest and live.is_labelled_by_us):
            return False
        if live.owner not in self._orphans:
            self._orphans[live.owner] = not await self._world.cluster.owner_exists(live.owner, asked_by=self._owner)
        return self._orphans[live.owner]


def _is_left_alone(manifest: Manifest, live: Live | None) -> bool:
    """Whether annotations ask us not to write the object as it is."""
    wish = manifest.directives
    if wish.apply is Apply.IGNORE:
        return True
    if live is None:
        return not wish.reconcile
    return wish.apply is Apply.IF_NOT_PRESENT


def _is_of_another(change: Change) -> bool:
    """Whether an object that exists was applied from another manifest."""
    return not (change.live is None or change.manifest is None or is_applied_from(change.manifest, change.live))


def _stays(change: Change) -> bool:
    """Whether an object that exists does not get its newer manifest."""
    return change.live is not None and not (change.live.directives.reconcile and _wants(change.manifest))


def _wants(manifest: Manifest | None) -> bool:
    return manifest is None or manifest.directives.reconcile


def _is_revision(change: Change) -> bool:
    """Whether it brings a newer manifest; repairs bring back what was there before."""
    return change.action in (Action.CREATE, Action.UPDATE)
