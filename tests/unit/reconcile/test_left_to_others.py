"""Objects that are to be left as they are (`cvstate.io/apply`), and that another ClusterState has.

Aspects: they are no conflict · they are claimed, so that nobody deletes them · they become ours when their owner lets them go, and nothing of them changes but whose they are · on one
replica as on two · who may not write takes nothing · who wants more goes before.
"""

import copy
from typing import Any

import pytest

from cvstate_operator import errors
from cvstate_operator.api.names import CLAIMED_BY
from cvstate_operator.objects.ownership import PART_OF_LABEL
from cvstate_operator.reconcile.decide_stage import DecideStage
from cvstate_operator.reconcile.drift_stage import DriftStage
from cvstate_operator.reconcile.ledger import Ledger
from tests.unit.builders import OWNER, RIVAL, body, ref
from tests.unit.reconcile.fakes import Stage, decide_anew, spec

THIRD = "applyset-of-a-third-v1"
A = body("a", data={"colour": "blue"})
LEFT_ALONE = ("IfNotPresent", "Ignore")
Json = dict[str, Any]


def wished(how: str, colour: str = "red") -> Json:
    """B in Git, to be left as it is."""
    found = body("b", data={"colour": colour})
    found["metadata"]["annotations"] = {"cvstate.io/apply": how}
    return found


async def sharing(how: str, *, elsewhere: bool = False) -> Stage:
    """B is the rival's; our Git has it too by now, as something that is to be left as it is."""
    stage = Stage()
    for owner in (OWNER, RIVAL):
        stage.index.claims.join(owner, 0.0)
    await stage.commit(A, body("b", data={"colour": "blue"}))
    live = stage.cluster.objects[ref("b")]
    live["metadata"]["labels"][PART_OF_LABEL] = RIVAL
    stage.cluster._store(ref("b"), live)
    if elsewhere:
        stage.elsewhere.add(RIVAL)
    else:
        stage.index.claims.want(RIVAL, {ref("b")}, stage.git.head, stage.clock.seconds)
    stage.git.commit(A, wished(how))
    await stage.look()
    return stage


@pytest.fixture(params=LEFT_ALONE)
async def here(request: pytest.FixtureRequest) -> Stage:
    """The rival is on our replica."""
    return await sharing(request.param)


@pytest.fixture(params=LEFT_ALONE)
async def apart(request: pytest.FixtureRequest) -> Stage:
    """Another replica has the rival."""
    return await sharing(request.param, elsewhere=True)


def let_go(stage: Stage) -> None:
    """B has left the rival's Git, which is at the same commit."""
    stage.index.claims.want(RIVAL, (), stage.git.head, stage.clock.seconds)
    stage.index.let_go(RIVAL, [ref("b")])


def live(stage: Stage) -> Json:
    return copy.deepcopy(stage.cluster.objects[ref("b")])


def owner(stage: Stage) -> str:
    return str(live(stage)["metadata"]["labels"][PART_OF_LABEL])


def claimed_by(stage: Stage) -> str:
    return str(live(stage)["metadata"]["annotations"].get(CLAIMED_BY, ""))


def content(found: Json) -> Json:
    """All of an object but whose it is."""
    meta = {key: value for key, value in found["metadata"].items() if key not in ("resourceVersion", "managedFields")}
    meta["labels"] = {key: value for key, value in meta["labels"].items() if key != PART_OF_LABEL}
    meta["annotations"] = {key: value for key, value in meta["annotations"].items() if key != CLAIMED_BY}
    return {**found, "metadata": meta}


# -- on one replica ----------------------------------------------------------------------------------------------------


async def test_what_its_owner_still_declares_is_claimed_and_left_to_it(here: Stage) -> None:
    before = live(here)
    outcome = await here.run()
    assert (outcome.problems, outcome.exempt, here.ready(), live(here)) == ((), (ref("b"),), ("True", "Reconciled"), before)
    assert here.status["claims"] == [str(ref("b"))]


async def test_what_its_owner_lets_go_becomes_ours_and_nothing_else_of_it_changes(here: Stage) -> None:
    await here.run()
    before = live(here)
    let_go(here)
    outcome = await here.run()
    assert (owner(here), here.cluster.writes, outcome.problems) == (OWNER, [("edit", "b")], ())
    assert content(live(here)) == content(before)
    outcome = await here.run(full=True)
    assert (here.cluster.writes, outcome.is_converged, "claims" in here.status) == ([], True, False)


async def test_it_is_ours_from_then_on_and_goes_when_it_leaves_git(here: Stage) -> None:
    await here.run()
    let_go(here)
    await here.run()
    here.git.commit(A)
    await here.look()
    here.index.claims.want(RIVAL, (), here.git.head, here.clock.seconds)
    await here.settle(await here.run())
    assert here.names() == {"a"}


@pytest.mark.parametrize("gate", ["stop", "suspend", "observe"])
async def test_who_may_not_write_claims_it_and_takes_it_later(here: Stage, gate: str) -> None:
    here.stop_reason = "oops" if gate == "stop" else ""
    here.spec = spec(suspend=gate == "suspend", mode="Observe" if gate == "observe" else "Enforce")
    let_go(here)
    await here.run(full=True)
    assert (owner(here), here.status["claims"], here.cluster.writes) == (RIVAL, [str(ref("b"))], [])
    here.stop_reason, here.spec = "", spec()
    await here.run(full=True)
    assert owner(here) == OWNER


async def test_what_a_third_one_declares_as_well_is_left_to_that_one(here: Stage) -> None:
    here.index.claims.join(THIRD, 0.0)
    here.index.claims.want(THIRD, {ref("b")}, here.git.head, here.clock.seconds)
    let_go(here)
    await here.run(full=True)
    assert (owner(here), here.cluster.writes) == (RIVAL, [])
    here.index.claims.leave(THIRD)
    await here.run(full=True)
    assert owner(here) == OWNER


async def test_what_was_left_behind_by_one_that_is_gone_becomes_ours(here: Stage) -> None:
    here.index.claims.leave(RIVAL)
    here.cluster.clusterstates = {OWNER}
    await here.run(full=True)
    assert owner(here) == OWNER


async def test_who_only_asks_what_would_be_done_takes_nothing(here: Stage) -> None:
    here.index.claims.leave(RIVAL)
    here.cluster.clusterstates = {OWNER}
    ledger, drift = Ledger(), DriftStage(here.world, owner=OWNER, status={})
    asked = DecideStage(here.world, ledger, drift, lambda *failure: None, owner=OWNER, name_owner=str, status={}, is_dry=True)
    await here.run()
    here.cluster.restore(live(here) | {"metadata": live(here)["metadata"] | {"labels": {PART_OF_LABEL: RIVAL}}})
    here.cluster.writes.clear()
    assert here.pipeline._stages.place.desired
    await decide_anew(asked, here.pipeline._stages.place.desired, ref("b"))
    assert here.cluster.writes == []


async def test_what_became_ours_so_is_taken_over_by_the_next_when_we_are_gone(here: Stage) -> None:
    """The label is not part of an apply then, and still nobody else's."""
    let_go(here)
    await here.run(full=True)
    found = here.index.get(ref("b"))
    assert found
    assert found.is_labelled_by_us


async def test_what_may_not_be_written_is_no_problem_of_ours(here: Stage) -> None:
    let_go(here)
    here.cluster.failures["b"] = [errors.ForbiddenError("may not patch it")]
    outcome = await here.run(full=True)
    assert (outcome.problems, owner(here)) == ((), RIVAL)


async def test_what_could_not_be_taken_is_told_and_tried_again(here: Stage) -> None:
    let_go(here)
    here.cluster.failures["b"] = [errors.ServerError("not now")]
    outcome = await here.run(full=True)
    assert [problem.reason for problem in outcome.problems] == ["ServerError"]
    here.cluster.failures.clear()
    outcome = await here.wait(outcome)
    assert (outcome.problems, owner(here)) == ((), OWNER)


@pytest.mark.parametrize("how", LEFT_ALONE)
async def test_what_asks_on_the_object_itself_not_to_be_written_is_not(how: str) -> None:
    stage = await sharing(how)
    stage.cluster.set_field(ref("b"), "metadata/annotations/cvstate.io~1reconcile".replace("~1", "/"), None)
    found = live(stage)
    found["metadata"]["annotations"]["cvstate.io/reconcile"] = "Disabled"
    stage.cluster.restore(found)
    let_go(stage)
    await stage.run(full=True)
    assert (owner(stage), stage.cluster.writes) == (RIVAL, [])


# -- on two ------------------------------------------------------------------------------------------------------------


async def test_what_another_replicas_has_is_claimed_and_marked_once(apart: Stage) -> None:
    before = live(apart)
    outcome = await apart.run()
    assert (claimed_by(apart), apart.cluster.writes) == (OWNER, [("edit", "b")])
    assert (outcome.problems, apart.status["claims"], content(live(apart))) == ((), [str(ref("b"))], content(before))
    for _ in range(3):
        await apart.run(full=True)
        assert apart.cluster.writes == []


async def test_what_is_given_to_us_is_left_as_it_is(apart: Stage) -> None:
    await apart.run()
    given = live(apart)
    given["metadata"]["labels"][PART_OF_LABEL] = OWNER
    apart.cluster._store(ref("b"), given)
    outcome = await apart.run(full=True)
    assert (outcome.problems, outcome.exempt, live(apart)["data"]) == ((), (ref("b"),), {"colour": "blue"})


async def test_who_may_not_write_marks_nothing_and_claims_it(apart: Stage) -> None:
    apart.spec = spec(suspend=True)
    await apart.run(full=True)
    assert (claimed_by(apart), apart.status["claims"], apart.cluster.writes) == ("", [str(ref("b"))], [])


def claims_it_too(stage: Stage, *, told: bool = True) -> None:
    """A third one, elsewhere, says by its status that it declares B; or that it does so no more."""
    assert stage.git.head
    source = (stage.git.head.repository, stage.git.head.ref)
    stage.elsewhere.add(THIRD)
    stage.index.claims.elsewhere(THIRD, source, stage.git.head.commit, stage.clock.seconds, told=[str(ref("b"))] if told else [])


async def test_what_a_third_one_claims_is_left_to_that_one(apart: Stage) -> None:
    claims_it_too(apart)
    await apart.run(full=True)
    assert (claimed_by(apart), apart.cluster.writes) == ("", [])


async def test_our_mark_makes_place_for_one_who_may_want_more(apart: Stage) -> None:
    await apart.run()
    claims_it_too(apart)
    await apart.run(full=True)
    assert (claimed_by(apart), apart.cluster.writes) == ("", [("edit", "b")])
    await apart.run(full=True)
    assert apart.cluster.writes == []
    claims_it_too(apart, told=False)
    await apart.run(full=True)
    assert claimed_by(apart) == OWNER


async def test_what_is_nobodys_that_the_operator_knows_is_left_as_it_is(apart: Stage) -> None:
    apart.elsewhere.clear()
    apart.index.claims.leave(RIVAL)
    apart.cluster.clusterstates = {OWNER, RIVAL}
    await apart.run(full=True)
    assert (owner(apart), claimed_by(apart), apart.cluster.writes) == (RIVAL, "", [])
