"""Objects that were there before, and objects that ask to be left alone: the pipeline by spec.apply.adoption and annotations.

Aspects: Never, Unowned, Force · other tools' objects · what a ClusterState that is gone left behind · IfNotPresent, Ignore, reconcile Disabled, in Git and
on the live object.
"""

from typing import Any

import pytest

from cvstate_operator.plan.changes import Action
from tests.unit.builders import OWNER, RIVAL, applied, body, ref
from tests.unit.reconcile.fakes import Stage, actions, spec, states

A = body("a", data={"colour": "blue"})
A_RED = body("a", data={"colour": "red"})
PART_OF = "applyset.kubernetes.io/part-of"


def asking(colour: str = "blue", name: str = "a", **annotations: str) -> dict[str, Any]:
    made = body(name, data={"colour": colour})
    made["metadata"]["annotations"] = {f"cvstate.io/{key}": value for key, value in annotations.items()}
    return made


def colour(stage: Stage) -> str:
    return str(stage.cluster.objects[ref("a")]["data"]["colour"])


def owner(stage: Stage) -> str:
    return str((stage.cluster.objects[ref("a")]["metadata"].get("labels") or {}).get(PART_OF, ""))


@pytest.fixture
def stage() -> Stage:
    return Stage()


# -- adoption ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("adoption", "there", "reason", "after"),
    [
        pytest.param("Never", A, "OwnerConflict", "blue", id="never-although-it-is-the-same"),
        pytest.param("Unowned", A, "", "blue", id="unowned-and-the-same"),
        pytest.param("Unowned", A_RED, "FieldConflict", "red", id="unowned-but-another-value"),
        pytest.param("Force", A_RED, "", "blue", id="force-with-another-value"),
    ],
)
async def test_what_was_there_before_is_adopted_by_the_spec(
    stage: Stage, adoption: str, there: dict[str, Any], reason: str, after: str
) -> None:
    stage.cluster.put(there)
    stage.spec = spec(apply={"adoption": adoption})
    outcome = await stage.commit(A)
    assert ([p.reason for p in outcome.problems], colour(stage)) == ([reason] if reason else [], after)
    assert owner(stage) == ("" if reason else OWNER)


async def test_a_refused_adoption_names_the_setting_that_would_let_git_win(stage: Stage) -> None:
    stage.cluster.put(A_RED)
    outcome = await stage.commit(A)
    assert "spec.apply.adoption: Force" in outcome.problems[0].message
    assert "conflicts" not in outcome.problems[0].message


@pytest.mark.parametrize("adoption", ["Never", "Unowned", "Force"])
async def test_what_is_ours_is_ours_whatever_the_spec_says(stage: Stage, adoption: str) -> None:
    await stage.commit(A)
    stage.spec = spec(apply={"adoption": adoption})
    stage.cluster.set_field(ref("a"), "data/colour", "green")
    await stage.run()
    assert colour(stage) == "blue"
    stage.cluster.set_field(ref("a"), f"metadata/labels/{PART_OF}".replace("applyset.kubernetes.io/part-of", PART_OF), None)
    await stage.run(full=True)
    assert colour(stage) == "blue"


@pytest.mark.parametrize("adoption", ["Never", "Unowned", "Force"])
async def test_an_object_of_another_clusterstate_is_never_taken(stage: Stage, adoption: str) -> None:
    stage.cluster.restore(applied("a", owner=RIVAL))
    stage.spec = spec(apply={"adoption": adoption})
    outcome = await stage.commit(A)
    assert [p.reason for p in outcome.problems] == ["OwnerConflict"]
    assert owner(stage) == RIVAL


@pytest.mark.parametrize(("adoption", "taken"), [("Unowned", False), ("Force", True)])
async def test_an_object_of_another_tool_is_taken_by_force_only(stage: Stage, adoption: str, taken: bool) -> None:
    theirs = body("a", data={"colour": "red"})
    theirs["metadata"]["labels"] = {"kustomize.toolkit.fluxcd.io/name": "apps"}
    stage.cluster.put(theirs)
    stage.spec = spec(apply={"adoption": adoption})
    outcome = await stage.commit(A)
    assert (colour(stage), [p.reason for p in outcome.problems]) == (("blue", []) if taken else ("red", ["OwnerConflict"]))


# -- orphans -----------------------------------------------------------------------------------------------------------


async def test_what_a_clusterstate_that_is_gone_left_behind_is_taken_over(stage: Stage) -> None:
    stage.cluster.restore(applied("a", owner=RIVAL, uid="uid-theirs"))
    stage.cluster.clusterstates = {OWNER}
    outcome = await stage.commit(A)
    assert (outcome.problems, owner(stage), outcome.is_converged) == ((), OWNER, True)
    assert stage.cluster.objects[ref("a")]["metadata"]["uid"] == "uid-theirs"


@pytest.mark.parametrize("known", [None, {OWNER, RIVAL}], ids=["cannot-be-told", "is-there"])
async def test_nothing_is_taken_from_a_clusterstate_that_may_be_there(stage: Stage, known: set[str] | None) -> None:
    stage.cluster.restore(applied("a", owner=RIVAL))
    stage.cluster.clusterstates = known
    outcome = await stage.commit(A)
    assert ([p.reason for p in outcome.problems], owner(stage)) == (["OwnerConflict"], RIVAL)


async def test_an_object_with_a_copy_of_a_label_is_no_orphan(stage: Stage) -> None:
    stage.cluster.put(applied("a", owner="applyset-of-kubectl-v1", digest=""))
    stage.cluster.clusterstates = {OWNER}
    outcome = await stage.commit(A)
    assert ([p.reason for p in outcome.problems], owner(stage)) == (["OwnerConflict"], "applyset-of-kubectl-v1")


async def test_an_object_whose_clusterstate_goes_later_is_taken_over_then(stage: Stage) -> None:
    stage.cluster.restore(applied("a", owner=RIVAL))
    stage.cluster.clusterstates = {OWNER, RIVAL}
    outcome = await stage.commit(A)
    stage.cluster.clusterstates = {OWNER}
    outcome = await stage.wait(outcome)
    assert (owner(stage), outcome.is_converged) == (OWNER, True)


# -- annotations -------------------------------------------------------------------------------------------------------


async def test_an_object_to_be_there_is_made_and_never_touched_again(stage: Stage) -> None:
    await stage.commit(asking(apply="IfNotPresent"))
    assert colour(stage) == "blue"
    stage.cluster.set_field(ref("a"), "data/colour", "green")
    outcome = await stage.commit(asking("red", apply="IfNotPresent"))
    assert (outcome.done, outcome.is_converged, outcome.exempt, colour(stage)) == ((), True, (ref("a"),), "green")
    assert "left as they are, as their annotations ask: ConfigMap/default/a" in stage.message()
    stage.cluster.delete(ref("a"))
    await stage.run()
    assert colour(stage) == "red"


async def test_an_object_to_be_there_is_left_alone_if_somebody_else_made_it(stage: Stage) -> None:
    stage.cluster.put(A_RED)
    outcome = await stage.commit(asking(apply="IfNotPresent"))
    assert (outcome.problems, colour(stage), owner(stage)) == ((), "red", "")


async def test_an_object_to_be_ignored_is_never_written_and_never_deleted(stage: Stage) -> None:
    outcome = await stage.commit(asking(apply="Ignore"), body("b"))
    assert (stage.names(), outcome.is_converged) == ({"b"}, True)
    await stage.commit(asking(), body("b"))
    assert colour(stage) == "blue"
    stage.cluster.set_field(ref("a"), "data/colour", "green")
    outcome = await stage.settle(await stage.commit(asking("red", apply="Ignore"), body("b")))
    assert (colour(stage), outcome.is_converged) == ("green", True)


@pytest.mark.parametrize("where", ["git", "live"])
async def test_an_object_that_is_not_to_be_reconciled_is_told_and_left_as_it_is(stage: Stage, where: str) -> None:
    await stage.commit(A)
    if where == "live":
        stage.cluster.set_field(
            ref("a"),
            "metadata/annotations",
            {**stage.cluster.objects[ref("a")]["metadata"]["annotations"], "cvstate.io/reconcile": "Disabled"},
        )
        await stage.run()
    wish = {"reconcile": "Disabled"} if where == "git" else {}
    await stage.commit(asking("red", **wish) if wish else A_RED)
    assert colour(stage) == "blue"
    stage.cluster.set_field(ref("a"), "data/colour", "green")
    outcome = await stage.run()
    assert colour(stage) == "green"
    assert states(outcome).get("/data/colour") in ("Held", None)
    if where == "live":
        await stage.settle(await stage.commit(body("b")))
        assert "a" in stage.names()


async def test_an_object_that_is_not_to_be_reconciled_is_not_made(stage: Stage) -> None:
    outcome = await stage.commit(asking(reconcile="Disabled"))
    assert (stage.names(), outcome.is_converged, outcome.exempt) == (set(), True, (ref("a"),))
    assert stage.message().startswith("0 objects match")


async def test_an_object_that_is_to_be_reconciled_again_is_brought_up_to_date(stage: Stage) -> None:
    await stage.commit(A)
    await stage.commit(asking("red", reconcile="Disabled"))
    outcome = await stage.commit(asking("red"))
    assert (actions(outcome), outcome.exempt, colour(stage)) == ({"a": Action.UPDATE}, (), "red")
