"""What waits for a person, and what follows an approval: deletes over the limits, annotations that ask, recreates.

Aspects: a prune over its limits waits as a whole, goes when approved, and goes on after an interruption · two looks before each delete · kinds of consent
that are needed at once · fields that cannot be changed, by policy, kind and annotation.
"""

from typing import Any

import pytest

from cvstate_operator import errors
from cvstate_operator.objects.identity import ApiResource
from cvstate_operator.plan.changes import Action
from cvstate_operator.plan.prune import AGREEING_SECONDS
from cvstate_operator.reconcile.outcome import Outcome
from tests.unit.builders import CONFIG_MAP, STATEFUL_SET, body, ref
from tests.unit.reconcile.fake_cluster import FakeCluster
from tests.unit.reconcile.fakes import Stage, actions, spec


def asking(name: str = "a", *, of: ApiResource = CONFIG_MAP, colour: str = "blue", **annotations: str) -> dict[str, Any]:
    """An object with annotations of ours."""
    fields = {"spec": {"replicas": 1, "colour": colour}} if of is STATEFUL_SET else {"data": {"colour": colour}}
    made = body(name, of=of, **fields)
    made["metadata"]["annotations"] = {f"cvstate.io/{name}": value for name, value in annotations.items()}
    return made


MANY = [body(f"cm-{number}") for number in range(10)]
FEW = MANY[:5]
STAYING = {one["metadata"]["name"] for one in FEW}
LIMITS: dict[str, Any] = {"prune": {"maxDeletes": 3, "maxPercent": 100}}


@pytest.fixture
async def stage() -> Stage:
    """Ten objects, of which no more than three may go unasked."""
    stage = Stage()
    stage.spec = spec(**LIMITS)
    await stage.commit(*MANY)
    return stage


async def shrunk(stage: Stage) -> Outcome:
    """Half of them leave Git."""
    return await stage.settle(await stage.commit(*FEW))


# -- deletes -----------------------------------------------------------------------------------------------------------


async def test_what_is_superfluous_is_deleted_only_after_a_second_look_that_agrees(stage: Stage) -> None:
    outcome = await stage.commit(*MANY[1:])
    assert (outcome.pending, stage.names()) == ((ref("cm-0"),), {one["metadata"]["name"] for one in MANY})
    assert outcome.next_pass_at == stage.clock.seconds + AGREEING_SECONDS
    stage.clock.seconds += AGREEING_SECONDS / 2
    await stage.run(full=True)
    assert "cm-0" in stage.names()
    outcome = await stage.wait(outcome)
    assert actions(outcome) == {"cm-0": Action.PRUNE}
    assert (outcome.is_converged, outcome.next_pass_at) == (True, None)


async def test_an_object_that_is_made_anew_between_two_looks_is_looked_at_anew(stage: Stage) -> None:
    outcome = await stage.commit(*MANY[1:])
    old = stage.cluster.objects[ref("cm-0")]
    stage.cluster.delete(ref("cm-0"))
    stage.cluster.restore({**old, "metadata": {**old["metadata"], "uid": "uid-new"}})
    outcome = await stage.wait(outcome)
    assert "cm-0" in stage.names()
    await stage.wait(outcome)
    assert "cm-0" not in stage.names()


async def test_an_object_that_comes_back_between_two_looks_is_kept(stage: Stage) -> None:
    await stage.commit(*MANY[1:])
    stage.clock.seconds += AGREEING_SECONDS
    await stage.commit(*MANY)
    assert "cm-0" in stage.names()
    await stage.commit(*MANY[1:])
    assert "cm-0" in stage.names(), "the first look was before it came back"


async def test_more_than_the_limits_allow_waits_as_a_whole(stage: Stage) -> None:
    outcome = await shrunk(stage)
    assert len(stage.names()) == 10
    assert {one.item.ref.name for one in outcome.consent.waits} == {f"cm-{number}" for number in range(5, 10)}
    assert (stage.ready(), stage.condition("Stalled")[0]) == (("False", "PruneHeld"), "True")
    assert "spec.prune.maxDeletes" in stage.message()
    assert (stage.status["plan"]["prune"], outcome.next_pass_at) == (5, None)


async def test_what_is_approved_is_deleted(stage: Stage) -> None:
    stage.approve(await shrunk(stage))
    outcome = await stage.settle(await stage.run())
    assert stage.names() == STAYING
    assert (outcome.is_converged, outcome.consent.waits) == (True, ())


async def test_nothing_that_was_not_approved_goes_with_it(stage: Stage) -> None:
    stage.approve(await shrunk(stage))
    await stage.settle(await stage.commit(MANY[0]))
    assert stage.names() == STAYING, "four more than were approved would be over the limits by themselves"


async def test_an_approved_prune_that_is_interrupted_half_way_goes_on(stage: Stage) -> None:
    stage.approve(await shrunk(stage))
    stage.cluster.failures["cm-6"] = [errors.ServerError("HTTP 500")]
    outcome = await stage.settle(await stage.run())
    assert stage.names() == STAYING | {"cm-6"}
    del stage.cluster.failures["cm-6"]
    outcome = await stage.wait(outcome)
    assert stage.names() == STAYING
    assert outcome.is_converged


async def test_an_approved_prune_goes_on_after_a_restart_in_the_middle(stage: Stage) -> None:
    stage.approve(await shrunk(stage))
    stage.cluster.after_delete = stage.pipeline.stop
    await stage.settle(await stage.run())
    assert len(stage.names()) == 9
    stage.cluster.after_delete = lambda: None
    stage.restart(known_kinds=stage.reporter.parents[-1].group_kinds, status=stage.status)
    await stage.look()
    await stage.settle(await stage.run(full=True))
    assert stage.names() == STAYING


async def test_an_approval_deletes_no_object_of_the_same_name_that_was_made_later(stage: Stage) -> None:
    outcome = await shrunk(stage)
    for number in range(5, 10):
        old = stage.cluster.objects[ref(f"cm-{number}")]
        stage.cluster.delete(ref(f"cm-{number}"))
        stage.cluster.restore({**old, "metadata": {**old["metadata"], "uid": f"uid-new-{number}"}})
    stage.approve(outcome)
    await stage.settle(await stage.run(full=True))
    assert len(stage.names()) == 10


async def test_a_plan_of_another_clusterstate_or_namespace_approves_nothing(stage: Stage) -> None:
    stage.approve(await shrunk(stage))
    stage.approvals[0]["metadata"]["namespace"] = "elsewhere"
    await stage.settle(await stage.run())
    assert len(stage.names()) == 10


async def test_raised_limits_let_it_go_without_an_approval(stage: Stage) -> None:
    await shrunk(stage)
    stage.spec = spec(prune={"maxDeletes": 5, "maxPercent": 50})
    await stage.settle(await stage.run())
    assert stage.names() == STAYING


async def test_an_object_whose_annotation_asks_is_deleted_when_that_is_approved() -> None:
    stage = Stage()
    await stage.commit(body("a"), asking("b", prune="Confirm"), body("c"))
    outcome = await stage.settle(await stage.commit(body("a")))
    assert stage.names() == {"a", "b"}
    assert stage.ready() == ("False", "PruneHeld")
    stage.approve(outcome)
    await stage.settle(await stage.run())
    assert stage.names() == {"a"}


async def test_an_object_whose_annotation_forbids_it_is_kept() -> None:
    stage = Stage()
    await stage.commit(body("a"), asking("b", prune="Disabled"))
    outcome = await stage.settle(await stage.commit(body("a")))
    assert (stage.names(), outcome.is_converged) == ({"a", "b"}, True)
    assert "cvstate.io/prune" in stage.message()


# -- fields that cannot be changed ---------------------------------------------------------------------------------------


async def recreated(policy: str, before: dict[str, Any], after: dict[str, Any]) -> tuple[Stage, Outcome]:
    """An object whose colour cannot be changed, and a commit that changes it."""
    stage = Stage()
    stage.spec = spec(apply={"recreate": policy})
    stage.cluster.comes_up = lambda live: True
    stage.cluster.fixed = {"ConfigMap": ("data", "colour"), "StatefulSet": ("spec", "colour")}
    await stage.commit(before)
    return stage, await stage.commit(after)


def uid(stage: Stage, of: ApiResource = CONFIG_MAP) -> str:
    return str(stage.cluster.objects[ref(of=of)]["metadata"]["uid"])


async def test_by_default_a_field_that_cannot_be_changed_is_a_problem() -> None:
    stage, outcome = await recreated("Never", asking(), asking(colour="red"))
    assert [(p.reason, p.field) for p in outcome.problems] == [("Immutable", "data.colour")]
    assert (outcome.consent.waits, uid(stage)) == ((), "uid-1")


async def test_an_object_is_made_anew_if_the_spec_says_so() -> None:
    stage, outcome = await recreated("IfImmutable", asking(), asking(colour="red"))
    assert actions(outcome) == {"a": Action.RECREATE}
    outcome = await stage.run()
    assert (uid(stage), stage.cluster.objects[ref()]["data"]["colour"], outcome.is_converged) == ("uid-2", "red", True)
    assert actions(outcome) == {"a": Action.CREATE}


async def test_an_object_that_is_away_to_be_made_anew_is_not_claimed_to_be_there() -> None:
    _, outcome = await recreated("IfImmutable", asking(), asking(colour="red"))
    assert not outcome.is_rolled_out


CLOSED: dict[str, Any] = {"windows": [{"kind": "Deny", "schedule": "0 0 * * *", "duration": "24h", "timeZone": "UTC"}]}


async def test_a_recreate_that_was_begun_is_finished_although_a_window_closes() -> None:
    stage, _ = await recreated("IfImmutable", asking(), asking(colour="red"))
    stage.spec = spec(apply={"recreate": "IfImmutable"}, **CLOSED)
    assert actions(await stage.run()) == {"a": Action.CREATE}


async def test_a_recreate_that_was_begun_waits_while_a_person_suspends_it() -> None:
    stage, _ = await recreated("IfImmutable", asking(), asking(colour="red"))
    stage.spec = spec(apply={"recreate": "IfImmutable"}, suspend=True)
    assert (await stage.run()).done == ()
    stage.spec = spec(apply={"recreate": "IfImmutable"})
    assert actions(await stage.run()) == {"a": Action.CREATE}


async def test_nothing_is_deleted_for_an_object_that_the_api_server_would_not_take() -> None:
    stage = Stage()
    stage.spec = spec(apply={"recreate": "IfImmutable"})
    stage.cluster.fixed = {"ConfigMap": ("data", "colour")}
    await stage.commit(asking())
    stage.cluster.failures["a-trial"] = [errors.InvalidError("no such colour")]
    outcome = await stage.commit(asking(colour="red"))
    assert [p.reason for p in outcome.problems] == ["Invalid"]
    assert uid(stage) == "uid-1"


@pytest.mark.parametrize(
    ("policy", "of", "annotations"),
    [
        pytest.param("Approve", CONFIG_MAP, {}, id="by-the-spec"),
        pytest.param("IfImmutable", STATEFUL_SET, {}, id="a-kind-that-holds-data"),
        pytest.param("Never", STATEFUL_SET, {"recreate": "Enabled"}, id="a-kind-that-holds-data-by-its-annotation"),
    ],
)
async def test_a_recreate_that_needs_an_approval_waits_for_it(policy: str, of: ApiResource, annotations: dict[str, str]) -> None:
    stage, outcome = await recreated(policy, asking(of=of, **annotations), asking(of=of, colour="red", **annotations))
    assert [(one.item.action.value, one.item.ref.name) for one in outcome.consent.waits] == [("Recreate", "a")]
    assert uid(stage, of) == "uid-1"
    digest = outcome.consent.digest
    stage.clock.seconds += 1000
    outcome = await stage.run(full=True)
    assert (outcome.consent.digest, uid(stage, of)) == (digest, "uid-1")
    stage.approve(outcome)
    await stage.run()
    await stage.run()
    assert uid(stage, of) == "uid-2"


async def test_a_recreate_is_shown_with_the_fields_that_it_would_change() -> None:
    before, after = asking(), asking(colour="red")
    after["data"]["size"] = "small"
    stage, outcome = await recreated("Approve", before, after)
    expected = ("/data/colour: blue → red", "/data/size: (none) → small")
    assert outcome.consent.waits[0].changes == expected
    assert stage.plan(outcome)["spec"]["items"][0]["changes"] == list(expected)
    assert (await stage.run(full=True)).consent.waits[0].changes == expected


async def test_a_recreate_that_cannot_be_looked_at_waits_all_the_same_and_is_looked_at_later(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = errors.ServerError("HTTP 500")

    async def fails(*_: object, **__: object) -> None:
        raise refused

    with monkeypatch.context() as patch:
        patch.setattr(FakeCluster, "preview", fails)
        stage, outcome = await recreated("Approve", asking(), asking(colour="red"))
    assert [one.changes for one in outcome.consent.waits] == [()]
    assert (await stage.run(full=True)).consent.waits[0].changes == ("/data/colour: blue → red",)


async def test_an_approved_recreate_is_made_at_once_whatever_pause_its_failure_has() -> None:
    stage, outcome = await recreated("Approve", asking(), asking(colour="red"))
    stage.approve(outcome)
    assert actions(await stage.run()) == {"a": Action.RECREATE}


async def test_an_approval_of_a_recreate_is_for_that_manifest_only() -> None:
    stage, outcome = await recreated("Approve", asking(), asking(colour="red"))
    stage.approve(outcome)
    await stage.commit(asking(colour="green"))
    assert uid(stage) == "uid-1"


@pytest.mark.parametrize(
    ("policy", "annotation", "gone"),
    [
        pytest.param("IfImmutable", "Disabled", False, id="disabled"),
        pytest.param("Approve", "Disabled", False, id="disabled-and-never-asked-for"),
        pytest.param("Never", "Enabled", True, id="enabled"),
        pytest.param("Approve", "Enabled", True, id="enabled-without-asking"),
    ],
)
async def test_the_annotation_of_an_object_counts_more_than_the_spec(policy: str, annotation: str, gone: bool) -> None:
    stage, outcome = await recreated(policy, asking(recreate=annotation), asking(recreate=annotation, colour="red"))
    await stage.run()
    assert (uid(stage) == "uid-2", outcome.consent.waits) == (gone, ())


async def test_what_waits_is_forgotten_when_git_wants_it_no_more() -> None:
    stage, outcome = await recreated("Approve", asking(), asking(colour="red"))
    assert outcome.consent.waits
    outcome = await stage.commit(asking())
    assert (outcome.consent.waits, outcome.is_converged) == ((), True)
