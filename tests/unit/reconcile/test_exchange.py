"""Handing objects over between ClusterStates of two replicas, which know of each other by what stands in the cluster alone.

Aspects: who wants an object of another's says so on it, once · who would delete it gives it away instead · nobody elsewhere wants it: it is deleted as ever · what is asked for
by a ClusterState that is gone, or here, counts for nothing · nothing is deleted before those elsewhere have come as far · who may not write asks by its status.
"""

from typing import Any

import pytest

from cvstate_operator import errors
from cvstate_operator.api.names import CLAIMED_BY
from cvstate_operator.objects.identity import ApiResource, ObjectRef
from cvstate_operator.objects.ownership import PART_OF_LABEL
from cvstate_operator.reconcile.claims import CATCH_UP_SECONDS
from cvstate_operator.reconcile.exchange import Operations
from tests.unit.builders import OWNER, RIVAL, body, ref
from tests.unit.reconcile.fakes import Stage, spec

A, B = (body(name, data={"colour": "blue"}) for name in "ab")


def mark(stage: Stage, name: str = "b", by: str = RIVAL) -> None:
    """Another replica marks an object as wanted."""
    live = stage.cluster.objects[ref(name)]
    stage.cluster._put(live, ["metadata", "annotations", CLAIMED_BY], by, manager="cvstate-operator")
    stage.cluster._store(ref(name), live)


def claimed_by(stage: Stage, name: str) -> str:
    return str(stage.cluster.objects[ref(name)]["metadata"].get("annotations", {}).get(CLAIMED_BY, ""))


def owner(stage: Stage, name: str) -> str:
    return str(stage.cluster.objects[ref(name)]["metadata"]["labels"][PART_OF_LABEL])


# -- who wants it ------------------------------------------------------------------------------------------------------


@pytest.fixture
async def wanting() -> Stage:
    """An object of a rival's, which another replica has, that we declare as well."""
    stage = Stage()
    stage.elsewhere.add(RIVAL)
    await stage.commit(A, B)
    live = stage.cluster.objects[ref("b")]
    live["metadata"]["labels"][PART_OF_LABEL] = RIVAL
    stage.cluster._store(ref("b"), live)
    stage.cluster.writes.clear()
    return stage


async def test_an_object_of_another_replicas_is_marked_once(wanting: Stage) -> None:
    outcome = await wanting.run()
    assert claimed_by(wanting, "b") == OWNER
    assert [problem.reason for problem in outcome.problems] == ["OwnerConflict"]
    await wanting.run(full=True)
    assert wanting.cluster.writes == []


async def test_what_is_given_to_us_is_ours_from_then_on(wanting: Stage) -> None:
    await wanting.run()
    live = wanting.cluster.objects[ref("b")]
    wanting.cluster._put(live, ["metadata", "labels", PART_OF_LABEL], OWNER, manager="cvstate-operator")
    wanting.cluster._store(ref("b"), live)
    outcome = await wanting.run(full=True)
    assert outcome.problems == ()
    assert owner(wanting, "b") == OWNER


async def test_what_is_given_before_the_answer_to_our_mark_is_looked_at_at_once(wanting: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    edit = wanting.cluster.edit

    async def given(resource: ApiResource, asked: ObjectRef, operations: Operations) -> dict[str, Any]:
        live = await edit(resource, asked, operations)
        wanting.cluster._put(live, ["metadata", "labels", PART_OF_LABEL], OWNER, manager="cvstate-operator")
        return wanting.cluster._store(asked, live)

    monkeypatch.setattr(wanting.cluster, "edit", given)
    await wanting.run()
    outcome = await wanting.run()
    assert (outcome.problems, owner(wanting, "b")) == ((), OWNER)


@pytest.mark.parametrize("why", ["here", "suspended"])
async def test_nobody_asks_who_need_not_or_may_not(wanting: Stage, why: str) -> None:
    if why == "here":
        wanting.elsewhere.clear()
    else:
        wanting.stop_reason = "stop"
    await wanting.run(full=True)
    assert claimed_by(wanting, "b") == ""


async def test_a_mark_that_may_not_be_made_is_told_as_that(wanting: Stage) -> None:
    wanting.cluster.failures["b"] = [errors.ForbiddenError("may not patch it")]
    outcome = await wanting.run()
    assert [problem.reason for problem in outcome.problems] == ["Forbidden"]


CLOSED = {"kind": "Deny", "schedule": "0 0 * * *", "duration": "24h", "timeZone": "UTC"}


@pytest.mark.parametrize("gate", ["stop", "suspend", "observe", "window"])
async def test_who_may_not_write_marks_nothing_and_tells_by_its_status_what_it_declares(wanting: Stage, gate: str) -> None:
    wanting.stop_reason = "oops" if gate == "stop" else ""
    windows = [CLOSED] if gate == "window" else []
    wanting.spec = spec(suspend=gate == "suspend", mode="Observe" if gate == "observe" else "Enforce", windows=windows)
    await wanting.run(full=True)
    assert claimed_by(wanting, "b") == ""
    assert [problem["object"] for problem in wanting.status["problems"]] == [str(ref("b"))]


# -- who has it --------------------------------------------------------------------------------------------------------


@pytest.fixture
async def having() -> Stage:
    """Objects of ours, one of which leaves Git; another replica has a rival."""
    stage = Stage()
    stage.elsewhere.add(RIVAL)
    stage.index.claims.join(OWNER, 0.0)
    await stage.commit(A, B)
    return stage


async def left(stage: Stage) -> None:
    """B leaves Git, and everything is looked at until nothing changes any more."""
    stage.git.commit(A)
    await stage.look()
    outcome = await stage.settle(await stage.run())
    for _ in range(5):
        if outcome.next_pass_at is None or not outcome.pending:
            break
        outcome = await stage.wait(outcome)


async def test_what_somebody_elsewhere_asked_for_is_given_and_not_deleted(having: Stage) -> None:
    mark(having)
    await left(having)
    assert having.names() == {"a", "b"}
    assert owner(having, "b") == RIVAL
    assert not any(verb == "delete" for verb, _ in having.cluster.writes)


async def test_what_nobody_asked_for_is_deleted(having: Stage) -> None:
    await left(having)
    assert having.names() == {"a"}


@pytest.mark.parametrize("by", [OWNER, "applyset-of-nobody-v1"])
async def test_a_mark_of_nobody_else_keeps_nothing(having: Stage, by: str) -> None:
    mark(having, by=by)
    await left(having)
    assert having.names() == {"a"}


async def test_what_is_declared_is_given_to_nobody(having: Stage) -> None:
    mark(having, "a")
    await having.run(full=True)
    assert owner(having, "a") == OWNER


async def test_what_cannot_be_given_is_kept_and_told(having: Stage) -> None:
    mark(having)
    having.cluster.failures["b"] = [errors.ForbiddenError("may not patch it")]
    await left(having)
    assert having.names() == {"a", "b"}
    assert having.ready()[0] == "False"


async def test_nothing_is_deleted_before_those_elsewhere_have_come_to_the_commit(having: Stage) -> None:
    having.git.commit(A)
    await having.look()
    assert having.git.head
    source = (having.git.head.repository, having.git.head.ref)
    having.index.claims.elsewhere(RIVAL, source, "1" * 40, having.clock.seconds)
    outcome = await having.settle(await having.run())
    assert having.names() == {"a", "b"}
    having.index.claims.elsewhere(RIVAL, source, having.git.head.commit, having.clock.seconds)
    await having.wait(outcome)
    assert having.names() == {"a"}


async def test_one_elsewhere_that_never_comes_keeps_nothing_alive(having: Stage) -> None:
    having.git.commit(A)
    await having.look()
    assert having.git.head
    having.index.claims.elsewhere(RIVAL, (having.git.head.repository, having.git.head.ref), "1" * 40, having.clock.seconds)
    await having.settle(await having.run())
    having.clock.seconds += CATCH_UP_SECONDS + 1
    await having.run()
    assert having.names() == {"a"}


def told(stage: Stage, *problems: str, is_cut: bool = False) -> None:
    """The status of the rival says that it has come to the commit, and what it has a problem with."""
    assert stage.git.head
    source = (stage.git.head.repository, stage.git.head.ref)
    stage.index.claims.elsewhere(RIVAL, source, stage.git.head.commit, stage.clock.seconds, told=problems, is_cut=is_cut)


async def test_what_one_elsewhere_declares_and_may_not_ask_for_is_kept_until_it_does_so_no_more(having: Stage) -> None:
    having.git.commit(A)
    told(having, str(ref("b")))
    await having.look()
    outcome = await having.settle(await having.run())
    for _ in range(5):
        outcome = await having.wait(outcome)
    assert (having.names(), owner(having, "b"), having.cluster.writes) == ({"a", "b"}, OWNER, [])
    assert having.ready() == ("True", "Reconciled")
    assert f"kept by ClusterState {RIVAL}" in having.message("Ready")
    told(having)
    for _ in range(3):
        outcome = await having.wait(outcome) if outcome.next_pass_at else outcome
    assert having.names() == {"a"}


async def test_what_is_kept_for_one_elsewhere_is_given_as_soon_as_it_asks(having: Stage) -> None:
    having.git.commit(A)
    told(having, str(ref("b")))
    await having.look()
    outcome = await having.settle(await having.run())
    mark(having)
    await having.wait(outcome)
    assert owner(having, "b") == RIVAL


async def test_nothing_is_deleted_while_one_elsewhere_has_more_problems_than_its_status_lists(having: Stage) -> None:
    having.git.commit(A)
    told(having, str(ref("x")), is_cut=True)
    await having.look()
    outcome = await having.settle(await having.run())
    having.clock.seconds += 100 * CATCH_UP_SECONDS
    outcome = await having.run()
    assert having.names() == {"a", "b"}
    assert having.ready() == ("False", "PruneHeld")
    assert RIVAL in having.message("Ready")
    told(having, str(ref("x")))
    for _ in range(3):
        outcome = await having.wait(outcome) if outcome.next_pass_at else outcome
    assert having.names() == {"a"}
