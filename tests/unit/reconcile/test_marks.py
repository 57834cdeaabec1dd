"""Several ClusterStates that want an object which another replica's has: whose mark stands on it.

Aspects: the one with the lowest id · who is gone, declares it no more, or has it already, is in nobody's way · nobody writes in a world that stays as it is, however many they are · the next one
asks when the first one does so no more.
"""

from itertools import permutations

import pytest

from cvstate_operator.api.names import CLAIMED_BY
from cvstate_operator.objects.ownership import PART_OF_LABEL
from cvstate_operator.reconcile.decide_stage import DecideStage
from cvstate_operator.reconcile.drift_stage import DriftStage
from cvstate_operator.reconcile.ledger import Ledger
from tests.unit.builders import OWNER, RIVAL, body, ref
from tests.unit.reconcile.fakes import Stage, decide_anew

LOWER, HIGHER = "applyset-A-v1", "applyset-z-v1"
A, B = (body(name, data={"colour": "blue"}) for name in "ab")


@pytest.fixture
async def wanting() -> Stage:
    """An object of a rival's, which another replica has, that we declare as well; so do two more, which are elsewhere too."""
    stage = Stage()
    stage.index.claims.join(OWNER, 0.0)
    stage.elsewhere.update((RIVAL, LOWER, HIGHER))
    await stage.commit(A, B)
    for owner in (LOWER, HIGHER):
        says(stage, owner, str(ref("b")))
    live = stage.cluster.objects[ref("b")]
    live["metadata"]["labels"][PART_OF_LABEL] = RIVAL
    stage.cluster._store(ref("b"), live)
    return stage


def says(stage: Stage, owner: str, *claims: str) -> None:
    """The status of one of another replica tells what it claims."""
    assert stage.git.head
    source = (stage.git.head.repository, stage.git.head.ref)
    stage.index.claims.elsewhere(owner, source, stage.git.head.commit, stage.clock.seconds, told=claims)


def mark(stage: Stage, by: str) -> None:
    """Another replica marks B as wanted by one of its ClusterStates; empty: it takes the mark away."""
    live = stage.cluster.objects[ref("b")]
    stage.cluster._put(live, ["metadata", "annotations", CLAIMED_BY], by or None, manager="cvstate-operator")
    stage.cluster._store(ref("b"), live)


def claimed_by(stage: Stage) -> str:
    return str(stage.cluster.objects[ref("b")]["metadata"]["annotations"].get(CLAIMED_BY, ""))


@pytest.mark.parametrize("by", ["", HIGHER, RIVAL, "applyset-1-of-nobody-v1"])
async def test_a_mark_of_one_who_comes_after_us_or_wants_it_no_more_is_replaced_once(wanting: Stage, by: str) -> None:
    mark(wanting, by)
    await wanting.run(full=True)
    assert (claimed_by(wanting), wanting.cluster.writes) == (OWNER, [("edit", "b")])
    await wanting.run(full=True)
    assert wanting.cluster.writes == []


async def test_a_mark_of_one_who_comes_before_us_stays(wanting: Stage) -> None:
    mark(wanting, LOWER)
    for _ in range(3):
        outcome = await wanting.run(full=True)
        assert (claimed_by(wanting), wanting.cluster.writes) == (LOWER, [])
    assert [problem.reason for problem in outcome.problems] == ["OwnerConflict"]


async def test_one_of_our_own_replica_comes_before_us_too(wanting: Stage) -> None:
    wanting.elsewhere.discard(LOWER)
    wanting.index.claims.join(LOWER, 0.0)
    wanting.index.claims.want(LOWER, {ref("b")}, wanting.git.head, 0.0)
    mark(wanting, LOWER)
    await wanting.run(full=True)
    assert (claimed_by(wanting), wanting.cluster.writes) == (LOWER, [])


async def test_the_next_one_asks_when_the_first_one_is_gone(wanting: Stage) -> None:
    mark(wanting, LOWER)
    await wanting.run(full=True)
    wanting.elsewhere.discard(LOWER)
    wanting.index.claims.leave(LOWER)
    await wanting.run(full=True)
    assert claimed_by(wanting) == OWNER


async def test_the_next_one_asks_when_the_first_one_declares_it_no_more_and_leaves_its_mark(wanting: Stage) -> None:
    mark(wanting, LOWER)
    await wanting.run(full=True)
    says(wanting, LOWER)
    await wanting.run(full=True)
    assert claimed_by(wanting) == OWNER


async def test_the_next_one_asks_at_once_when_the_first_one_takes_its_mark_away(wanting: Stage) -> None:
    mark(wanting, LOWER)
    await wanting.run(full=True)
    mark(wanting, "")
    await wanting.run()
    assert claimed_by(wanting) == OWNER


async def test_the_next_one_asks_whoever_it_was_given_to(wanting: Stage) -> None:
    mark(wanting, LOWER)
    await wanting.run(full=True)
    live = wanting.cluster.objects[ref("b")]
    live["metadata"]["labels"][PART_OF_LABEL] = LOWER
    wanting.cluster._store(ref("b"), live)
    await wanting.run()
    assert claimed_by(wanting) == OWNER


@pytest.mark.parametrize("order", tuple(permutations((OWNER, LOWER, HIGHER))))
async def test_however_many_want_it_they_come_to_rest(wanting: Stage, order: tuple[str, ...]) -> None:
    await wanting.run(full=True)
    mark(wanting, "")
    wanted = wanting.pipeline._stages.place.desired
    assert wanted
    claimants = [
        DecideStage(
            wanting.world,
            Ledger(),
            DriftStage(wanting.world, owner=owner, status={}),
            lambda *failure: None,
            owner=owner,
            name_owner=str,
            status={},
        )
        for owner in order
    ]
    writes = []
    for _ in range(4):
        wanting.cluster.writes.clear()
        for claimant in claimants:
            await decide_anew(claimant, wanted, ref("b"))
        writes.append(len(wanting.cluster.writes))
    assert (claimed_by(wanting), writes[0] <= len(order), writes[1:]) == (LOWER, True, [0, 0, 0])
