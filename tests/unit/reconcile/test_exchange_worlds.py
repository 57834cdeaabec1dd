"""Random worlds of ClusterStates that share one cluster and one repository, on two replicas of the operator.

Aspects: nothing is deleted that another one declares which may have it, whatever happens in whatever order: commits, suspensions, restarts, moves between replicas, statuses that are
heard late · what nobody declares goes, whatever somebody without the right declares · in the end all is as Git says, and at rest nobody writes · no mark is left.
"""

import os
import random
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from cvstate_operator import errors
from cvstate_operator.api.names import CLAIMED_BY
from cvstate_operator.objects.identity import ApiResource, ObjectRef
from cvstate_operator.objects.manifest import Body
from cvstate_operator.objects.ownership import PART_OF_LABEL
from cvstate_operator.reconcile.claims import RETURN_SECONDS, Claims
from cvstate_operator.reconcile.live_index import LiveIndex
from cvstate_operator.reconcile.pipeline import Pipeline
from cvstate_operator.reconcile.stages import Identity
from tests.unit.builders import CONFIG_MAP, body
from tests.unit.reconcile.fake_cluster import FakeCluster
from tests.unit.reconcile.fakes import FakeClock, Stage, spec

NAMES = ("a", "b", "c")
REPLICAS = ("left", "right")
SEEDS = int(os.environ.get("CVSTATE_EXCHANGE_SEEDS", "10"))
"""How many worlds."""
ROUND_SECONDS = 4.0
"""In so long everybody has looked at Git once: less than anybody waits for."""


@dataclass
class Api:
    """What every replica sees of the API server."""

    objects: dict[ObjectRef, Body] = field(default_factory=dict)
    version: int = 10
    uids: int = 0
    clusters: list["SharedCluster"] = field(default_factory=list)
    deleted: list[tuple[str, ObjectRef]] = field(default_factory=list)
    """By whom, and what."""
    writes: int = 0


class SharedCluster(FakeCluster):
    """The API server as one ClusterState's account sees it."""

    def __init__(self, index: LiveIndex, api: Api, owner: str, *, is_weak: bool) -> None:
        self.api, self.owner, self.is_weak = api, owner, is_weak
        super().__init__(index)
        self.objects = api.objects
        api.clusters.append(self)

    @property
    def _version(self) -> int:
        return self.api.version

    @_version.setter
    def _version(self, value: int) -> None:
        self.api.version = max(value, self.api.version)

    @property
    def _uids(self) -> int:
        return self.api.uids

    @_uids.setter
    def _uids(self, value: int) -> None:
        self.api.uids = max(value, self.api.uids)

    def _maybe_fail(self, name: str) -> None:
        if self.is_weak:
            raise errors.ForbiddenError("may not write it")
        super()._maybe_fail(name)

    def _store(self, ref: ObjectRef, live: Body) -> Body:
        self.api.writes += 1
        answer = super()._store(ref, live)
        for peer in self.api.clusters:
            if peer is not self and ref.group_kind in peer._watched:
                peer.index.observed(CONFIG_MAP, dict(answer))
        return answer

    def delete(self, ref: ObjectRef) -> None:
        self.api.writes += 1
        self.api.deleted.append((self.owner, ref))
        super().delete(ref)
        for peer in self.api.clusters:
            if peer is not self and ref.group_kind in peer._watched:
                peer.index.gone(CONFIG_MAP, ref, str(self.api.version))


class Party(Stage):
    """One ClusterState in a shared world."""

    def __init__(self, world: "World", owner: str, replica: str, *, is_weak: bool) -> None:
        self.shared, self.owner, self.replica, self.is_weak = world, owner, replica, is_weak
        self.resumed_at = 0
        """Number of commits when it was resumed last: of a later one nobody has to wait for it."""
        self.busy = 0
        """Rounds in which it does not come to a pass: its first render after it was taken up takes long."""
        super().__init__()
        self.clock = world.clock

    def begin(self) -> None:
        """Its replica takes it up: with its status, and nothing else."""
        world = self.shared
        claims, before = world.claims[self.replica], getattr(self, "index", None)
        world.api.clusters[:] = [one for one in world.api.clusters if before is None or one.index is not before]
        self.index = LiveIndex(
            self._touched, now=self.clock.now, claims=claims, is_elsewhere=lambda owner: world.parties[owner].replica != self.replica
        )
        self.cluster = SharedCluster(self.index, world.api, self.owner, is_weak=self.is_weak)
        self.world = self._world()
        self.pipeline = Pipeline(
            self.world,
            who=Identity(self.owner, f"uid-of-{self.owner}", self.owner, "default"),
            name_owner=str,
            known_kinds=frozenset({CONFIG_MAP.gvk.group_kind}),
            status=self.status,
            generation=1,
        )
        self.busy = world.random.choice((0, 0, 5, 10, 30)) if self.status else 0
        claims.join(self.owner, self.clock.seconds, source=world.source, told=self.status.get("claims") or (), returns=bool(self.status))

    def _world(self) -> Any:
        async def may_have(owner: str, resource: ApiResource, ref: ObjectRef) -> bool:
            return not self.shared.parties[owner].is_weak

        return replace(
            self.world,
            cluster=self.cluster,
            home=self.cluster,
            index=self.index,
            clock=self.clock,
            is_elsewhere=lambda owner: self.shared.parties[owner].replica != self.replica,
            may_have=may_have,
        )

    @property
    def works_with(self) -> set[str]:
        """Names of what it declares, as of its last pass."""
        wanted = self.pipeline._stages.place.desired
        return {one.name for one in wanted.objects} if wanted else set()

    def _touched(self, owner: str, ref: ObjectRef) -> None:
        if owner in self.shared.parties:
            party = self.shared.parties[owner]
            if party.replica == self.replica:
                party.pipeline.ledger.touch(ref, self.clock.seconds)


class World:
    """Three ClusterStates, one of whose accounts may write nothing of what they share."""

    def __init__(self, seed: int, *, has_weak: bool) -> None:
        self.random = random.Random(seed)
        self.clock, self.api = FakeClock(), Api()
        self.claims = {name: Claims(freed=self._freed) for name in REPLICAS}
        self.commits = 0
        self.declared: dict[str, set[str]] = {}
        self.unheard: list[tuple[str, str, dict[str, Any]]] = []
        """Statuses that a replica has not heard of yet: replica, owner, status."""
        self.source = ("", "")
        self.parties: dict[str, Party] = {}
        for number, owner in enumerate(("one", "three", "two")):
            self.parties[owner] = Party(self, owner, self.random.choice(REPLICAS), is_weak=has_weak and number == 1)
        self.commit()
        head = self.parties["one"].git.head
        assert head
        self.source = (head.repository, head.ref)
        for party in self.parties.values():
            party.begin()

    def _freed(self, owner: str, ref: ObjectRef) -> None:
        self.parties[owner].pipeline.ledger.touch(ref, self.clock.seconds)

    # -- what happens --------------------------------------------------------------------------------------------------

    def commit(self, *, is_clear: bool = False) -> None:
        """Everything may be somebody else's, of two, or nobody's; everybody declares one object that is his alone. `is_clear`: of those who may write, one at most declares it."""
        self.commits += 1
        strong = [owner for owner, party in self.parties.items() if not party.is_weak]
        for owner in self.parties:
            self.declared[owner] = {f"own-{owner}"}
        for name in NAMES:
            who = self.random.sample(sorted(self.parties), self.random.choice((0, 1, 1, 1, 2)))
            for owner in (
                [*self.random.sample(strong, self.random.choice((0, 1))), *(one for one in who if one not in strong)] if is_clear else who
            ):
                self.declared[owner].add(name)
        for owner, party in self.parties.items():
            party.git.commit(*(body(name, data={"of": owner}) for name in sorted(self.declared[owner])))

    def suspend(self) -> None:
        party = self.random.choice(list(self.parties.values()))
        is_suspended = not party.spec.suspend
        party.spec = spec(suspend=is_suspended)
        if not is_suspended:
            party.resumed_at = self.commits

    def restart(self) -> None:
        """A replica starts anew: it hears of everybody's status, and takes up what is its own."""
        name = self.random.choice(REPLICAS)
        self.claims[name] = Claims(freed=self._freed)
        self._members_changed()
        self.unheard = [one for one in self.unheard if one[0] != name]
        for owner, party in self.parties.items():
            if party.replica == name:
                party.begin()
            else:
                self.hear(name, owner, party.status)

    def move(self) -> None:
        """A ClusterState comes to the other replica; each hears of that by itself."""
        party = self.random.choice(list(self.parties.values()))
        before, party.replica = party.replica, next(name for name in REPLICAS if name != party.replica)
        self._members_changed()
        self.claims[before].move_away(party.owner, self.clock.seconds)
        self.unheard = [one for one in self.unheard if one[:2] != (party.replica, party.owner)]
        party.begin()

    def _members_changed(self) -> None:
        """As the Leases tell every replica when one ends or begins."""
        for claims in self.claims.values():
            claims.move_about(self.clock.seconds)

    def hear(self, replica: str, owner: str, status: dict[str, Any]) -> None:
        commit = str(status.get("lastAttemptedRevision") or "").rpartition(":")[2]
        self.claims[replica].elsewhere(owner, self.source, commit, self.clock.seconds, looks_each=60.0, told=status.get("claims") or ())

    async def look(self, party: Party, *, full: bool = False) -> None:
        before = len(self.api.deleted)
        await party.look()
        await party.run(full=full)
        for owner, gone in self.api.deleted[before:]:
            self.judge(owner, gone)
        for name in REPLICAS:
            if name != party.replica:
                self.unheard.append((name, party.owner, dict(party.status)))

    def judge(self, giver: str, gone: ObjectRef) -> None:
        """Nobody who may have what was deleted declares it, or is about to."""
        for owner, party in self.parties.items():
            if owner == giver or party.is_weak:
                continue
            assert gone.name not in party.works_with or (not party.spec.suspend and gone.name not in self.declared[owner]), (
                f"{owner} declares {gone.name}"
            )
            is_coming = not party.spec.suspend and party.resumed_at < self.commits
            assert not (is_coming and gone.name in self.declared[owner]), f"{owner} is about to declare {gone.name}"

    async def round(self, *, full: bool = False) -> None:
        """Everybody looks at Git, in any order, and hears of the others in between."""
        order = list(self.parties.values())
        self.random.shuffle(order)
        for party in order:
            self.clock.seconds += ROUND_SECONDS / len(order)
            party.busy -= 1
            if party.busy < 0:
                await self.look(party, full=full)
            while self.unheard and self.random.random() < 0.7:
                self.hear(*self.unheard.pop(0))
        while self.unheard:
            self.hear(*self.unheard.pop(0))


@pytest.mark.parametrize("has_weak", [False, True], ids=["all may write", "one may write nothing"])
@pytest.mark.parametrize("seed", range(SEEDS))
async def test_whatever_happens_nothing_is_lost_and_nothing_is_kept_for_ever(seed: int, has_weak: bool) -> None:
    world = World(seed, has_weak=has_weak)
    for _ in range(3):
        await world.round()
    for _ in range(25):
        happens = world.random.choice((world.commit, world.commit, world.suspend, world.restart, world.move, lambda: None))
        happens()
        for _ in range(world.random.choice((1, 1, 2, 4))):
            await world.round(full=world.random.random() < 0.2)
    for party in world.parties.values():
        party.spec = spec()
        party.resumed_at = world.commits
    world.commit(is_clear=True)
    for _ in range(45):  # some have much else to do before
        await world.round()
    world.clock.seconds += RETURN_SECONDS
    for _ in range(8):
        await world.round(full=True)
    strong = {owner: party for owner, party in world.parties.items() if not party.is_weak}
    wanted = set().union(*(world.declared[owner] for owner in strong))
    assert {one.name for one in world.api.objects} == wanted
    for one, live in world.api.objects.items():
        meta = live["metadata"]
        assert one.name in world.declared[meta["labels"][PART_OF_LABEL]], "whoever has it declares it"
        assert CLAIMED_BY not in meta["annotations"], "no mark is left"
    world.api.writes = 0
    for _ in range(3):
        world.clock.seconds += RETURN_SECONDS
        await world.round(full=True)
    assert world.api.writes == 0
