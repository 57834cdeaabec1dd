"""The pipeline, on fakes of its ports.

Aspects: a commit comes into the cluster · nothing to do is nothing done · drift · failures of single objects · pruning, and everything that holds it ·
CRDs and their custom resources · kinds that cannot be seen · restart · failures half-way · the source · stopping.
"""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from cvstate_operator import errors
from cvstate_operator.objects.identity import GroupKind, ObjectRef
from cvstate_operator.plan import changes
from cvstate_operator.plan.changes import Action
from cvstate_operator.reconcile import decide_stage, summary
from cvstate_operator.reconcile.source_stage import News
from tests.unit.builders import CONFIG_MAP, CRD, DEPLOYMENT, NAMESPACE, OWNER, RIVAL, SECRET, WEBHOOK, WIDGET, applied, body, problem, ref
from tests.unit.reconcile.fakes import Stage, actions, spec

A, B, C = (body(name, data={"colour": "blue"}) for name in "abc")
A_RED = body("a", data={"colour": "red"})
WIDGETS_CRD = body(
    "widgets.example.io",
    of=CRD,
    spec={
        "group": "example.io",
        "scope": "Namespaced",
        "names": {"kind": "Widget", "plural": "widgets"},
        "versions": [{"name": "v1", "served": True}],
    },
)
A_WIDGET = body("w", of=WIDGET, spec={"size": 1})


@pytest.fixture
def stage() -> Stage:
    return Stage()


def is_red(stage: Stage) -> bool:
    return bool(stage.cluster.objects[ref("a")]["data"]["colour"] == "red")


# -- a commit comes into the cluster -----------------------------------------------------------------------------------


async def test_the_first_pass_creates_everything(stage: Stage) -> None:
    outcome = await stage.commit(A, B)
    assert actions(outcome) == {"a": Action.CREATE, "b": Action.CREATE}
    assert stage.names() == {"a", "b"}
    assert outcome.is_converged
    assert (outcome.desired, outcome.members) == (2, 2)


async def test_before_the_first_fetch_nothing_is_claimed_or_done(stage: Stage) -> None:
    outcome = await stage.run(full=True)
    assert not outcome.evaluated
    assert not outcome.is_converged
    assert stage.cluster.writes == []


@pytest.mark.parametrize("full", [False, True])
async def test_a_second_pass_over_an_unchanged_world_writes_nothing(stage: Stage, full: bool) -> None:
    await stage.commit(A, B)
    outcome = await stage.run(full=full)
    assert (outcome.done, stage.cluster.writes) == ((), [])
    assert outcome.is_converged
    assert len(stage.reporter.parents) == 1


async def test_only_what_a_commit_changes_is_written(stage: Stage) -> None:
    await stage.commit(A, B)
    outcome = await stage.commit(A_RED, B, C)
    assert actions(outcome) == {"a": Action.UPDATE, "c": Action.CREATE}
    assert is_red(stage)


async def test_the_kinds_of_members_are_told_before_the_first_object_is_written(stage: Stage) -> None:
    stage.cluster.before_answer = lambda change: seen.append(len(stage.reporter.parents))
    seen: list[int] = []
    await stage.commit(A)
    assert seen == [1]
    assert stage.reporter.parents[0].group_kinds == {GroupKind("", "ConfigMap")}
    await stage.commit(A, body("s", of=SECRET))
    assert stage.reporter.parents[-1].group_kinds == {GroupKind("", "ConfigMap"), GroupKind("", "Secret")}


async def test_waves_come_one_after_the_other(stage: Stage) -> None:
    stage.cluster.served |= {WEBHOOK}
    await stage.commit(
        body("hook", of=WEBHOOK), body("app", of=DEPLOYMENT, namespace="web"), body("cm", namespace="web"), body("web", of=NAMESPACE)
    )
    assert [name for _, name in stage.cluster.writes] == ["web", "cm", "app", "hook"]


async def test_objects_of_a_wave_are_written_together_but_never_more_than_allowed() -> None:
    stage = Stage(writers=3)
    await stage.commit(*(body(f"cm-{n}") for n in range(20)))
    assert stage.cluster.most_writing == 3
    assert len(stage.names()) == 20


# -- drift -------------------------------------------------------------------------------------------------------------


async def test_a_drifted_field_is_put_back_and_told(stage: Stage) -> None:
    await stage.commit(A)
    stage.clock.seconds += 5
    stage.cluster.set_field(ref("a"), "data/colour", "red")
    stage.clock.seconds += 0.25
    outcome = await stage.run()
    ((done),) = outcome.done
    assert done.action is Action.REPAIR
    assert [(d.path, d.desired, d.live, d.manager) for d in done.drift] == [("/data/colour", "blue", "red", "kubectl-edit")]
    assert done.seconds == pytest.approx(0.25)
    assert not is_red(stage)
    assert outcome.is_converged
    assert ("drifted", "ConfigMap", "Medium") in stage.meter.counted


async def test_what_was_only_repaired_is_told_by_the_next_pass(stage: Stage) -> None:
    await stage.commit(A, B)
    for name in ("a", "b"):
        stage.cluster.set_field(ref(name), "data/colour", "red")
        await stage.pipeline.repair(stage.spec)
        assert stage.cluster.objects[ref(name)]["data"]["colour"] == "blue"
    outcome = await stage.run()
    assert actions(outcome) == {"a": Action.REPAIR, "b": Action.REPAIR}
    assert [event.reason for event in stage.events] == ["DriftRepaired"]
    assert (await stage.run()).done == ()


async def test_what_could_not_be_repaired_is_told_and_tried_again(stage: Stage) -> None:
    await stage.commit(A)
    stage.cluster.failures["a"] = [errors.ServerError("HTTP 500")]
    stage.cluster.set_field(ref("a"), "data/colour", "red")
    await stage.pipeline.repair(stage.spec)
    outcome = await stage.run()
    assert [problem.reason for problem in outcome.problems] == ["ServerError"]
    stage.cluster.failures.clear()
    assert actions(await stage.wait(outcome)) == {"a": Action.REPAIR}


async def test_after_a_repair_there_is_nothing_to_do(stage: Stage) -> None:
    await stage.commit(A)
    stage.cluster.set_field(ref("a"), "data/colour", "red")
    await stage.run()
    assert (await stage.run(full=True)).done == ()


async def test_an_object_that_vanished_is_made_again(stage: Stage) -> None:
    await stage.commit(A, B)
    stage.cluster.delete(ref("a"))
    outcome = await stage.run()
    assert actions(outcome) == {"a": Action.REPAIR}
    assert stage.names() == {"a", "b"}


async def test_a_field_of_others_is_left_alone(stage: Stage) -> None:
    await stage.commit(A)
    stage.cluster.set_field(ref("a"), "data/size", "big", manager="somebody")
    outcome = await stage.run()
    assert (outcome.done, stage.cluster.writes) == ((), [])
    assert stage.cluster.objects[ref("a")]["data"]["size"] == "big"


async def test_an_object_on_its_way_out_is_waited_for_and_then_made_again(stage: Stage) -> None:
    await stage.commit(A)
    stage.cluster.terminate(ref("a"))
    outcome = await stage.run()
    assert [p.reason for p in outcome.problems] == ["Terminating"]
    assert stage.cluster.writes == []
    stage.cluster.delete(ref("a"))
    assert (await stage.run()).is_converged


async def test_drift_that_cannot_be_repaired_stays_open(stage: Stage) -> None:
    await stage.commit(A)
    stage.cluster.failures["a"] = [errors.ForbiddenError("no")]
    stage.cluster.set_field(ref("a"), "data/colour", "red")
    outcome = await stage.run()
    ((drifted, found),) = outcome.drift
    assert drifted == ref("a")
    assert [entry.drift.path for entry in found] == ["/data/colour"]
    assert not outcome.is_converged


async def test_drift_that_went_away_by_itself_is_closed(stage: Stage) -> None:
    await stage.commit(A)
    before = stage.cluster.objects[ref("a")]
    stage.cluster.failures["a"] = [errors.ForbiddenError("no")]
    stage.cluster.set_field(ref("a"), "data/colour", "red")
    await stage.run()
    stage.cluster.restore(before)
    outcome = await stage.run(full=True)
    assert (outcome.drift, outcome.problems) == ((), ())


async def test_a_field_that_another_manager_holds_with_our_value_is_taken_back(stage: Stage) -> None:
    await stage.commit(A)
    stage.cluster.set_field(ref("a"), "data/colour", "red")
    stage.cluster.set_field(ref("a"), "data/colour", "blue")
    assert actions(await stage.run()) == {"a": Action.REPAIR}
    assert (await stage.run(full=True)).done == ()


async def test_drift_during_our_own_write_is_repaired_too(stage: Stage) -> None:
    stage.cluster.before_answer = lambda change: stage.cluster.set_field(change.ref, "data/colour", "red")
    await stage.commit(A)
    stage.cluster.before_answer = lambda change: None
    outcome = await stage.run()
    assert actions(outcome) == {"a": Action.REPAIR}
    assert not is_red(stage)


async def test_an_object_that_vanishes_during_our_own_write_is_made_again(stage: Stage) -> None:
    stage.cluster.before_answer = lambda change: stage.cluster.delete(change.ref)
    await stage.commit(A)
    stage.cluster.before_answer = lambda change: None
    assert stage.names() == set()
    await stage.run()
    assert stage.names() == {"a"}


# -- failures of single objects ----------------------------------------------------------------------------------------


async def test_one_failing_object_does_not_stop_its_siblings_and_is_tried_again_after_its_pause(stage: Stage) -> None:
    stage.cluster.failures["b"] = [errors.ServerError("HTTP 500")]
    outcome = await stage.commit(A, B, C)
    assert stage.names() == {"a", "c"}
    assert [(p.object, p.reason, p.file, p.retryable) for p in outcome.problems] == [("ConfigMap/default/b", "ServerError", "b.yaml", True)]
    assert outcome.next_pass_at == stage.clock.seconds + 0.5
    assert (await stage.run()).problems == outcome.problems
    assert stage.cluster.writes == []
    del stage.cluster.failures["b"]
    outcome = await stage.wait(outcome)
    assert actions(outcome) == {"b": Action.CREATE}
    assert outcome.is_converged
    assert outcome.next_pass_at is None


async def test_pauses_grow_while_an_object_keeps_failing(stage: Stage) -> None:
    stage.cluster.failures["a"] = [errors.ServerError("HTTP 500")]
    outcome = await stage.commit(A)
    pauses = []
    for _ in range(4):
        assert outcome.next_pass_at is not None
        pauses.append(outcome.next_pass_at - stage.clock.seconds)
        outcome = await stage.wait(outcome)
    assert pauses == [0.5, 1, 2, 4]


async def test_an_event_does_not_cut_a_pause_short_but_a_full_pass_does(stage: Stage) -> None:
    await stage.commit(A)
    stage.cluster.failures["a"] = [errors.ForbiddenError("no")]
    await stage.commit(A_RED)
    del stage.cluster.failures["a"]
    stage.cluster.set_field(ref("a"), "data/colour", "green")
    assert (await stage.run()).done == ()
    assert actions(await stage.run(full=True)) == {"a": Action.UPDATE}


async def test_a_new_manifest_of_a_failed_object_is_tried_at_once(stage: Stage) -> None:
    stage.cluster.failures["a"] = [errors.InvalidError("bad", field="data"), errors.InvalidError("bad", field="data")]
    outcome = await stage.commit(A)
    assert [(p.reason, p.field) for p in outcome.problems] == [("Invalid", "data")]
    del stage.cluster.failures["a"]
    assert (await stage.commit(A_RED)).is_converged


async def test_an_object_of_another_owner_is_left_to_it(stage: Stage) -> None:
    stage.cluster.put(applied("a", owner=RIVAL))
    outcome = await stage.commit(A, B)
    assert [(p.reason, p.object) for p in outcome.problems] == [("OwnerConflict", "ConfigMap/default/a")]
    assert f"ClusterState {RIVAL}" in outcome.problems[0].message
    assert stage.names() == {"a", "b"}
    assert stage.cluster.objects[ref("a")]["metadata"]["labels"]["applyset.kubernetes.io/part-of"] == RIVAL


async def test_a_failed_object_that_left_git_is_forgotten(stage: Stage) -> None:
    stage.cluster.failures["a"] = [errors.InvalidError("bad")]
    await stage.commit(A, B)
    outcome = await stage.commit(B)
    assert outcome.is_converged
    assert (await stage.wait(outcome)).next_pass_at is None, "but for the moment at which the whole is acceptable again"


async def test_the_meter_counts_what_was_written_and_what_could_not_be(stage: Stage) -> None:
    stage.cluster.failures["b"] = [errors.ForbiddenError("no")]
    await stage.commit(A, B)
    assert ("changed", "ConfigMap", "create", "ok") in stage.meter.counted
    assert ("changed", "ConfigMap", "create", "Forbidden") in stage.meter.counted


# -- pruning -----------------------------------------------------------------------------------------------------------


async def test_an_object_that_left_git_is_deleted(stage: Stage) -> None:
    await stage.commit(A, B)
    outcome = await stage.settle(await stage.commit(A))
    assert actions(outcome) == {"b": Action.PRUNE}
    assert stage.names() == {"a"}
    assert outcome.is_converged
    assert outcome.members == 1


async def test_an_object_of_nobody_or_of_another_is_never_deleted(stage: Stage) -> None:
    stage.cluster.put(applied("x", owner=RIVAL))
    stage.cluster.put(applied("y", owner=None))
    await stage.commit(A)
    await stage.run(full=True)
    assert stage.names() == {"a", "x", "y"}


@pytest.mark.parametrize(
    ("remaining", "words"),
    [
        pytest.param([A], "not every file", id="partial-render"),
        pytest.param([], "not every file", id="partial-and-empty-render"),
    ],
)
async def test_a_partial_render_never_deletes(stage: Stage, remaining: list[dict[str, Any]], words: str) -> None:
    await stage.commit(A, B)
    outcome = await stage.commit(*remaining, problems=[problem()])
    assert stage.names() == {"a", "b"}
    assert ref("b") in outcome.pruning.held
    assert words in outcome.pruning.objection
    assert problem() in outcome.problems


async def test_an_empty_render_never_deletes_and_is_told(stage: Stage) -> None:
    await stage.commit(A, B)
    outcome = await stage.commit()
    assert stage.names() == {"a", "b"}
    assert [p.reason for p in outcome.problems] == ["EmptyRender"]
    assert not outcome.is_converged
    await stage.run(full=True)
    assert stage.names() == {"a", "b"}


async def test_a_render_that_fails_as_a_whole_never_deletes_and_drift_is_still_repaired(stage: Stage) -> None:
    await stage.commit(A, B)
    stage.git.build_error = errors.BuildFailedError("no")
    outcome = await stage.commit(A)
    assert [p.reason for p in outcome.problems] == ["BuildFailed"]
    assert not outcome.evaluated
    stage.cluster.set_field(ref("a"), "data/colour", "red")
    outcome = await stage.run()
    assert stage.names() == {"a", "b"}
    assert not is_red(stage)


async def test_an_object_that_could_not_be_applied_holds_every_delete(stage: Stage) -> None:
    await stage.commit(A, B)
    stage.cluster.failures["c"] = [errors.ServerError("HTTP 500")]
    outcome = await stage.commit(A, C)
    assert (stage.names(), outcome.pruning.held) == ({"a", "b"}, (ref("b"),))
    del stage.cluster.failures["c"]
    outcome = await stage.settle(await stage.wait(outcome))
    assert (stage.names(), outcome.pruning.held) == ({"a", "c"}, ())
    assert outcome.is_converged


async def test_a_protected_kind_is_kept_and_told(stage: Stage) -> None:
    await stage.commit(A, B, body("web", of=NAMESPACE))
    outcome = await stage.settle(await stage.commit(A))
    assert stage.names() == {"a", "web"}
    ((kept),) = outcome.pruning.kept
    assert kept.refs == (ref("web", of=NAMESPACE),)
    assert "protectedKinds" in kept.by
    assert outcome.is_converged


async def test_pruning_that_is_switched_off_keeps_everything(stage: Stage) -> None:
    stage.spec = spec(prune=False)
    await stage.commit(A, B)
    outcome = await stage.commit(A)
    assert stage.names() == {"a", "b"}
    assert [kept.refs for kept in outcome.pruning.kept] == [(ref("b"),)]
    assert outcome.is_converged
    stage.spec = spec()
    outcome = await stage.settle(await stage.run(full=True))
    assert (stage.names(), outcome.pruning.kept) == ({"a"}, ())


async def test_a_kind_that_is_no_longer_declared_is_still_pruned_after_a_restart(stage: Stage) -> None:
    await stage.commit(A, body("s", of=SECRET))
    stage.restart(known_kinds=stage.reporter.parents[-1].group_kinds)
    await stage.settle(await stage.commit(A))
    assert stage.names() == {"a"}


async def test_a_kind_that_no_member_is_of_any_more_is_no_longer_told(stage: Stage) -> None:
    await stage.commit(A, body("s", of=SECRET))
    await stage.settle(await stage.commit(A))
    assert stage.reporter.parents[-1].group_kinds == {GroupKind("", "ConfigMap"), GroupKind("", "Secret")}
    await stage.run(full=True)
    assert stage.reporter.parents[-1].group_kinds == {GroupKind("", "ConfigMap")}


@pytest.mark.parametrize("error", [errors.ServerError("HTTP 500"), errors.ForbiddenError("no")], ids=["transient", "terminal"])
async def test_a_failed_delete_is_tried_again_after_its_pause(stage: Stage, error: errors.CvstateError) -> None:
    await stage.commit(A, B)
    stage.cluster.failures["b"] = [error]
    outcome = await stage.settle(await stage.commit(A))
    assert [(p.object, p.reason) for p in outcome.problems] == [("ConfigMap/default/b", error.reason)]
    outcome = await stage.wait(outcome)
    assert [p.reason for p in outcome.problems] == [error.reason]
    del stage.cluster.failures["b"]
    outcome = await stage.wait(outcome)
    assert stage.names() == {"a"}
    assert outcome.is_converged
    assert outcome.next_pass_at is None


async def test_an_event_does_not_cut_the_pause_of_a_failed_delete_short_but_a_full_pass_does(stage: Stage) -> None:
    await stage.commit(A, B)
    stage.cluster.failures["b"] = [errors.ForbiddenError("no")]
    await stage.settle(await stage.commit(A))
    del stage.cluster.failures["b"]
    stage.cluster.set_field(ref("b"), "data/colour", "red")
    await stage.run()
    assert stage.names() == {"a", "b"}
    await stage.run(full=True)
    assert stage.names() == {"a"}


async def test_a_failed_delete_does_not_hold_the_others(stage: Stage) -> None:
    await stage.commit(A, B, C)
    stage.cluster.failures["b"] = [errors.ForbiddenError("no")]
    outcome = await stage.settle(await stage.commit(A))
    assert stage.names() == {"a", "b"}
    assert outcome.pruning.held == ()


async def test_a_failed_delete_of_what_then_vanished_by_itself_is_no_problem_any_more(stage: Stage) -> None:
    await stage.commit(A, B)
    stage.cluster.failures["b"] = [errors.ForbiddenError("no")]
    await stage.settle(await stage.commit(A))
    stage.cluster.delete(ref("b"))
    outcome = await stage.run()
    assert outcome.is_converged
    assert outcome.next_pass_at is None


async def test_a_failed_delete_of_what_is_then_kept_is_no_problem_any_more(stage: Stage) -> None:
    await stage.commit(A, B)
    stage.cluster.failures["b"] = [errors.ServerError("HTTP 500")]
    outcome = await stage.settle(await stage.commit(A))
    stage.spec = spec(prune=False)
    outcome = await stage.wait(outcome)
    assert (outcome.problems, outcome.pruning.kept[0].refs, outcome.next_pass_at) == ((), (ref("b"),), None)
    stage.spec = spec(protected=["ConfigMap"])
    outcome = await stage.run(full=True)
    assert (outcome.problems, outcome.pruning.kept[0].refs, outcome.next_pass_at) == ((), (ref("b"),), None)


async def test_an_object_that_changed_while_it_was_to_be_deleted_is_not_claimed_to_be_gone(stage: Stage) -> None:
    await stage.commit(A, B)
    stage.cluster.failures["b"] = [errors.StaleError("the object changed since")]
    outcome = await stage.settle(await stage.commit(A))
    assert outcome.pending == (ref("b"),)
    assert (outcome.problems, outcome.is_converged) == ((), False)
    outcome = await stage.wait(outcome)
    assert outcome.pending == (ref("b"),)
    del stage.cluster.failures["b"]
    outcome = await stage.wait(outcome)
    assert (stage.names(), outcome.pending, outcome.next_pass_at) == ({"a"}, (), None)
    assert outcome.is_converged


async def test_an_object_with_a_copy_of_our_label_is_neither_counted_nor_deleted(stage: Stage) -> None:
    await stage.commit(A)
    copied = applied("copy", digest="")
    stage.cluster.put(copied)
    outcome = await stage.commit(A_RED)
    assert stage.names() == {"a", "copy"}
    assert (outcome.members, outcome.is_converged) == (1, True)


async def test_what_another_clusterstate_declares_is_let_go_and_not_deleted(stage: Stage) -> None:
    claims = stage.index.claims
    for owner in (OWNER, RIVAL):
        claims.join(owner, 0.0)
    await stage.commit(A, B)
    assert stage.git.head is not None
    claims.want(RIVAL, {ref("b")}, stage.git.head, stage.clock.seconds)
    outcome = await stage.commit(A)
    stage.clock.seconds += 60
    outcome = await stage.run(full=True)
    assert stage.names() == {"a", "b"}
    assert claims.is_free(ref("b"), OWNER)
    assert RIVAL in outcome.pruning.kept[0].by
    assert outcome.is_converged
    claims.want(RIVAL, (), stage.git.head, stage.clock.seconds)
    outcome = await stage.settle(await stage.wait(outcome))
    assert (stage.names(), outcome.next_pass_at) == ({"a"}, None), "nobody wants it any more"


async def test_a_delete_waits_for_who_has_not_come_to_the_same_commit(stage: Stage) -> None:
    claims = stage.index.claims
    for owner in (OWNER, RIVAL):
        claims.join(owner, 0.0)
    await stage.commit(A, B)
    claims.want(RIVAL, (), stage.git.head, stage.clock.seconds)
    outcome = await stage.commit(A)
    assert (stage.names(), outcome.pending, outcome.is_converged) == ({"a", "b"}, (ref("b"),), False)
    outcome = await stage.wait(outcome)
    assert stage.names() == {"a", "b"}
    claims.want(RIVAL, (), stage.git.head, stage.clock.seconds)
    outcome = await stage.settle(await stage.wait(outcome))
    assert (stage.names(), outcome.pending) == ({"a"}, ())
    assert outcome.is_converged


async def test_what_another_clusterstate_let_go_is_taken_over_with_one_write(stage: Stage) -> None:
    claims = stage.index.claims
    for owner in (OWNER, RIVAL):
        claims.join(owner, 0.0)
    stage.cluster.restore(applied("a", owner=RIVAL))
    outcome = await stage.commit(A)
    assert [p.reason for p in outcome.problems] == ["OwnerConflict"]
    stage.index.let_go(RIVAL, [ref("a")])
    outcome = await stage.run()
    assert stage.cluster.writes == [("update", "a")]
    assert outcome.is_converged
    assert set(stage.index.members(OWNER)) == {ref("a")}


async def test_nothing_the_api_server_says_of_a_secret_shows_a_value(stage: Stage) -> None:
    secret = body("s", of=SECRET, data={"password": "aHVudGVyMg==", "bad": "hunter2!"})
    said = 'field is aHVudGVyMg== or hunter2 or "x": expected string, got &value.valueUnstructured{Value:1}'
    stage.cluster.failures["s"] = [errors.InvalidError(said)]
    outcome = await stage.commit(secret)
    ((found),) = outcome.problems
    assert "hunter2" not in found.message
    assert found.message == "field is *** or *** or ***: expected string, got ***"
    assert found.field == "data.bad"


async def test_an_object_that_changed_since_we_looked_is_looked_at_again(stage: Stage) -> None:
    await stage.commit(A, B)
    stage.cluster.failures["b"] = [errors.StaleError("changed"), errors.StaleError("changed")]
    outcome = await stage.settle(await stage.commit(A))
    assert (stage.names(), outcome.problems) == ({"a", "b"}, ())
    del stage.cluster.failures["b"]
    await stage.run()
    assert stage.names() == {"a"}


async def test_an_object_that_comes_back_to_git_is_not_deleted(stage: Stage) -> None:
    await stage.commit(A, B)
    stage.cluster.failures["b"] = [errors.ServerError("HTTP 500")]
    await stage.commit(A)
    del stage.cluster.failures["b"]
    outcome = await stage.commit(A, B)
    assert stage.names() == {"a", "b"}
    assert outcome.is_converged


# -- kinds -------------------------------------------------------------------------------------------------------------


async def test_a_crd_and_its_custom_resource_come_with_one_commit(stage: Stage) -> None:
    outcome = await stage.commit(A_WIDGET, WIDGETS_CRD)
    assert [name for _, name in stage.cluster.writes] == ["widgets.example.io", "w"]
    assert outcome.is_converged
    stage.cluster.set_field(ref("w", of=WIDGET), "spec/size", 2)
    assert actions(await stage.run()) == {"w": Action.REPAIR}


async def test_a_discovery_that_fails_while_waiting_for_a_crd_is_asked_again(stage: Stage) -> None:
    stage.git.commit(A_WIDGET, WIDGETS_CRD)
    await stage.look()
    stage.cluster.before_answer = lambda change: stage.cluster.discover_errors.append(errors.NetworkError("reset"))
    outcome = await stage.run()
    assert stage.names() == {"w", "widgets.example.io"}
    assert outcome.is_converged


async def test_a_crd_that_is_never_served_holds_only_its_own_objects(stage: Stage) -> None:
    stage.cluster.failures["widgets.example.io"] = [errors.AdmissionDeniedError("no")]
    outcome = await stage.commit(A, A_WIDGET, WIDGETS_CRD)
    assert stage.names() == {"a"}
    assert {p.object: p.reason for p in outcome.problems} == {
        "apiextensions.k8s.io/CustomResourceDefinition/widgets.example.io": "AdmissionDenied",
        "example.io/Widget/default/w": "KindUnknown",
    }


async def test_a_kind_whose_crd_was_refused_is_not_waited_for(stage: Stage) -> None:
    stage.cluster.failures["widgets.example.io"] = [errors.InvalidError("no")]
    before = stage.clock.seconds
    outcome = await stage.commit(A, A_WIDGET, WIDGETS_CRD)
    for _ in range(3):
        outcome = await stage.run(full=True)
    assert stage.clock.seconds == before
    assert not outcome.is_converged


async def test_a_kind_that_is_never_served_is_waited_for_only_in_the_pass_that_applied_its_crd_and_not_while_something_else_drifts(
    stage: Stage,
) -> None:
    stage.cluster.serves_crds = False
    before = stage.clock.seconds
    drift = asyncio.create_task(stage.commit(A, A_WIDGET, WIDGETS_CRD))
    while stage.clock.seconds == before:
        await asyncio.sleep(0)
    stage.cluster.set_field(ref("a"), "data/colour", "red")
    outcome = await drift
    assert stage.clock.seconds - before < 1
    assert [p.reason for p in outcome.problems] == ["KindUnknown"]
    assert actions(await stage.run()) == {"a": Action.REPAIR}
    await stage.run(full=True)
    assert stage.clock.seconds - before < 1


async def test_an_unknown_kind_is_told_holds_no_other_and_is_tried_again(stage: Stage) -> None:
    await stage.commit(A, B)
    outcome = await stage.commit(A, A_WIDGET)
    assert [(p.reason, p.object) for p in outcome.problems] == [("KindUnknown", "example.io/Widget/default/w")]
    assert stage.names() == {"a", "b"}
    stage.cluster.served |= {WIDGET}
    outcome = await stage.settle(await stage.wait(outcome))
    assert stage.names() == {"a", "w"}
    assert outcome.is_converged


async def test_pauses_grow_while_a_kind_stays_unknown(stage: Stage) -> None:
    outcome = await stage.commit(A_WIDGET)
    pauses = []
    for _ in range(4):
        assert outcome.next_pass_at is not None
        pauses.append(outcome.next_pass_at - stage.clock.seconds)
        outcome = await stage.wait(outcome)
    assert pauses == [1, 2, 4, 8]


async def test_objects_of_a_kind_that_cannot_be_seen_are_marked_and_nothing_is_deleted(stage: Stage) -> None:
    await stage.commit(A, B)
    stage.cluster.forbidden[SECRET.gvk.group_kind] = errors.ForbiddenError("cannot list secrets")
    outcome = await stage.commit(A, body("s", of=SECRET))
    assert [(p.object, p.reason) for p in outcome.problems] == [("Secret/default/s", "Forbidden")]
    assert stage.names() == {"a", "b"}
    assert outcome.pruning.held == (ref("b"),)


async def test_once_a_kind_can_be_seen_its_objects_wait_no_longer_and_pruning_goes_on(stage: Stage) -> None:
    await stage.commit(A, B)
    kind = SECRET.gvk.group_kind
    stage.cluster.forbidden[kind] = errors.ForbiddenError("cannot list secrets")
    outcome = await stage.commit(A, body("s", of=SECRET))
    assert outcome.next_pass_at is not None
    assert outcome.next_pass_at - stage.clock.seconds <= summary.BLIND_SECONDS
    del stage.cluster.forbidden[kind]
    outcome = await stage.settle(await stage.wait(outcome))
    assert outcome.is_converged
    assert stage.names() == {"a", "s"}


async def test_a_former_kind_that_cannot_be_seen_holds_every_delete(stage: Stage) -> None:
    await stage.commit(A, B)
    stage.restart(known_kinds=frozenset({CONFIG_MAP.gvk.group_kind, SECRET.gvk.group_kind}))
    stage.cluster.forbidden[SECRET.gvk.group_kind] = errors.ForbiddenError("cannot list secrets")
    outcome = await stage.commit(A)
    assert stage.names() == {"a", "b"}
    assert "not every kind can be seen" in outcome.pruning.objection


async def test_a_list_that_fails_in_a_full_pass_stops_no_repair(stage: Stage) -> None:
    await stage.commit(A)
    stage.cluster.set_field(ref("a"), "data/colour", "red")
    stage.cluster.resync_errors = [errors.ServerError("HTTP 500")]
    outcome = await stage.run(full=True)
    assert actions(outcome) == {"a": Action.REPAIR}


# -- restart -----------------------------------------------------------------------------------------------------------


async def test_after_a_restart_an_unchanged_world_is_verified_without_a_write(stage: Stage) -> None:
    await stage.commit(A, B)
    stage.restart()
    await stage.look()
    outcome = await stage.run(full=True)
    assert (outcome.done, stage.cluster.writes) == ((), [])
    assert outcome.is_converged


async def test_drift_that_happened_while_we_were_away_is_found_by_field(stage: Stage) -> None:
    await stage.commit(A, B)
    stage.cluster.set_field(ref("a"), "data/colour", "red")
    stage.restart()
    await stage.look()
    outcome = await stage.run(full=True)
    ((done),) = outcome.done
    assert (done.ref, done.action) == (ref("a"), Action.REPAIR)
    assert [(d.path, d.live, d.manager) for d in done.drift] == [("/data/colour", "red", "kubectl-edit")]


async def test_drift_after_a_restart_is_seen_like_before(stage: Stage) -> None:
    await stage.commit(A)
    stage.restart()
    await stage.look()
    await stage.run(full=True)
    stage.cluster.set_field(ref("a"), "data/colour", "red")
    assert actions(await stage.run()) == {"a": Action.REPAIR}


async def test_a_commit_that_came_while_we_were_away_is_applied_where_it_differs(stage: Stage) -> None:
    await stage.commit(A, B)
    stage.restart()
    assert actions(await stage.commit(A_RED, B)) == {"a": Action.UPDATE}


# -- failures half-way -------------------------------------------------------------------------------------------------


async def test_a_commit_is_not_lost_if_the_api_server_fails_while_it_is_placed(stage: Stage) -> None:
    await stage.commit(A)
    stage.cluster.discover_errors = [errors.NetworkError("refused")]
    stage.cluster.served |= {WIDGET}
    with pytest.raises(errors.NetworkError):
        await stage.commit(A_RED, A_WIDGET)
    await stage.run()
    assert stage.names() == {"a", "w"}
    assert is_red(stage)


async def test_a_pass_that_an_error_ended_is_made_up_for_by_the_next(stage: Stage) -> None:
    await stage.commit(A, B)
    stage.reporter.failures = [errors.ServerError("HTTP 500")]
    with pytest.raises(errors.ServerError):
        await stage.commit(A_RED, body("s", of=SECRET))
    outcome = await stage.run()
    assert actions(outcome) == {"a": Action.UPDATE, "s": Action.CREATE}
    outcome = await stage.settle(outcome)
    assert actions(outcome) == {"b": Action.PRUNE}
    assert outcome.is_converged


async def test_a_fault_of_our_own_concerns_only_the_object_it_happens_with(stage: Stage) -> None:
    fault = AttributeError("of our own")
    stage.cluster.failures["b"] = [fault]
    outcome = await stage.commit(A, B, C)
    assert stage.names() == {"a", "c"}
    assert [(p.object, p.reason) for p in outcome.problems] == [("ConfigMap/default/b", "InternalError")]
    assert "of our own" not in outcome.problems[0].message
    assert stage.reporter.faults == [fault]
    del stage.cluster.failures["b"]
    assert (await stage.wait(outcome)).is_converged


async def test_a_body_that_the_store_lost_is_rendered_anew(stage: Stage) -> None:
    await stage.commit(A, B)
    stage.git.lost.add("a")
    stage.cluster.set_field(ref("a"), "data/colour", "red")
    outcome = await stage.run()
    assert [p.reason for p in outcome.problems] == ["BuildFailed"]
    outcome = await stage.wait(outcome)
    assert actions(outcome) == {"a": Action.REPAIR}
    assert outcome.is_converged


async def test_a_commit_that_cannot_be_built_is_not_built_again_at_every_event(stage: Stage) -> None:
    await stage.commit(A)
    stage.git.build_error = errors.BuildFailedError("no")
    await stage.commit(A_RED)
    renders = stage.git.renders
    stage.cluster.set_field(ref("a"), "data/colour", "green")
    await stage.run()
    assert stage.git.renders == renders
    stage.git.build_error = None
    stage.clock.seconds += 60
    assert (await stage.run(full=True)).is_converged
    assert is_red(stage)


async def test_a_commit_that_cannot_be_built_does_not_make_the_pipeline_run_in_circles(stage: Stage) -> None:
    outcome = await stage.commit(A_WIDGET)
    assert outcome.next_pass_at is not None
    stage.clock.seconds = outcome.next_pass_at + 1
    stage.git.build_error = errors.BuildFailedError("no")
    outcome = await stage.commit(A)
    renders, pauses = stage.git.renders, []
    # The last good commit stays in use, so its unknown kind is asked for again: later and later, and without a render.
    for _ in range(4):
        assert outcome.next_pass_at is not None
        pauses.append(outcome.next_pass_at - stage.clock.seconds)
        stage.clock.seconds = outcome.next_pass_at
        outcome = await stage.run()
    assert pauses[0] > 0
    assert pauses == sorted(set(pauses))
    assert stage.git.renders == renders


# -- the source --------------------------------------------------------------------------------------------------------


async def test_a_fetch_tells_whether_there_is_news(stage: Stage) -> None:
    stage.git.commit(A)
    assert [await stage.look(), await stage.look()] == [News.CONTENT, News.NONE]
    await stage.run()
    assert await stage.look() is News.NONE
    stage.git.error = errors.FetchFailedError("refused")
    assert [await stage.look(), await stage.look()] == [News.CONTENT, News.NONE]
    stage.git.error = None
    assert await stage.look() is News.CONTENT
    assert ("fetched", "FetchFailed") in stage.meter.counted


async def test_a_commit_that_changes_nothing_here_is_another_revision_only(stage: Stage) -> None:
    await stage.commit(A)
    stage.git.commit(A, elsewhere=True)
    assert await stage.look() is News.REVISION
    outcome = await stage.run()
    assert outcome.artifact is stage.git.head
    assert (stage.git.renders, stage.cluster.writes) == (1, [])
    stage.git.commit(B)
    assert await stage.look() is News.CONTENT


@pytest.mark.parametrize("elsewhere", [True, False], ids=["elsewhere", "here"])
async def test_a_pass_in_progress_ends_early_only_for_a_commit_that_changes_something_here(stage: Stage, elsewhere: bool) -> None:
    """For another one everything that is left would be looked at twice."""
    many = [body(f"n{number}") for number in range(200)]
    stage.git.commit(*many)
    await stage.look()
    work = asyncio.create_task(stage.run())
    while not stage.cluster.writes:
        await asyncio.sleep(0)
    stage.git.commit(*many, elsewhere=elsewhere)
    assert await stage.look() is (News.REVISION if elsewhere else News.CONTENT)
    await work
    assert (len(stage.names()) == len(many)) is elsewhere


async def test_while_the_source_cannot_be_read_drift_is_repaired_but_nothing_is_claimed(stage: Stage) -> None:
    await stage.commit(A)
    stage.git.error = errors.FetchFailedError("refused")
    await stage.look()
    stage.cluster.set_field(ref("a"), "data/colour", "red")
    outcome = await stage.run()
    assert not is_red(stage)
    assert outcome.source_error is stage.git.error
    assert not outcome.is_converged
    assert stage.names() == {"a"}


async def test_a_file_that_the_fetch_left_out_holds_every_delete(stage: Stage) -> None:
    await stage.commit(A, B)
    outcome = await stage.commit(A, problems=[problem(reason="RenderTooLarge")])
    assert stage.names() == {"a", "b"}
    assert outcome.pruning.held == (ref("b"),)
    assert outcome.problems == (problem(reason="RenderTooLarge"),)


async def test_a_commit_that_is_fetched_during_a_pass_is_not_claimed_by_it(stage: Stage) -> None:
    stage.git.commit(A)
    await stage.look()
    first = stage.git.head

    async def push() -> None:
        stage.git.commit(A_RED)
        await stage.look()

    stage.cluster.before_answer = lambda change: push()
    outcome = await stage.run()
    assert outcome.artifact is first
    stage.cluster.before_answer = lambda change: None
    outcome = await stage.run()
    assert outcome.artifact is stage.git.head
    assert is_red(stage)


async def test_news_are_announced_once(stage: Stage) -> None:
    assert stage.pipeline.news({}) == ""
    await stage.commit(A)
    assert stage.git.head is not None
    assert stage.git.head.revision in stage.pipeline.news({})
    assert stage.pipeline.news({"lastAttemptedRevision": stage.git.head.revision}) == ""


# -- stopping ----------------------------------------------------------------------------------------------------------


async def test_stop_finishes_the_objects_in_hand_and_starts_no_others() -> None:
    stage = Stage(writers=1)
    stage.git.commit(A, B, C)
    await stage.look()
    started, answer = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        started.set()
        await answer.wait()

    stage.cluster.before_answer = lambda change: hold()
    running = asyncio.create_task(stage.run())
    await started.wait()
    stage.pipeline.stop()
    answer.set()
    outcome = await running
    assert stage.names() == {"a"}
    assert actions(outcome) == {"a": Action.CREATE}
    assert stage.cluster.writing == 0


async def test_a_stopped_pipeline_deletes_nothing(stage: Stage) -> None:
    await stage.commit(A, B)
    stage.pipeline.stop()
    await stage.settle(await stage.commit(A))
    assert stage.names() == {"a", "b"}


async def test_stop_between_two_deletes_keeps_the_rest(stage: Stage) -> None:
    await stage.commit(A, B, C)
    stage.cluster.after_delete = stage.pipeline.stop
    await stage.settle(await stage.commit(A))
    assert stage.names() == {"a", "c"}


async def test_the_owner_is_on_every_member(stage: Stage) -> None:
    await stage.commit(A, body("s", of=SECRET))
    assert set(stage.index.members(OWNER)) == {ref("a"), ObjectRef("", "Secret", "default", "s")}


# -- the work that a commit makes --------------------------------------------------------------------------------------


@pytest.fixture
def decided(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the objects that were decided on, by all passes."""
    found: list[str] = []

    def decide(ref: ObjectRef, *args: Any, **kwargs: Any) -> Any:
        found.append(ref.name)
        return changes.decide(ref, *args, **kwargs)

    monkeypatch.setattr(decide_stage, "changes", SimpleNamespace(decide=decide))
    return found


async def test_a_commit_has_only_that_decided_on_which_it_changes(stage: Stage, decided: list[str]) -> None:
    await stage.commit(*(body(name) for name in "abcd"))
    assert sorted(decided) == ["a", "b", "c", "d"]
    decided.clear()
    outcome = await stage.settle(await stage.commit(body("a"), body("b", data={"x": "y"}), body("c"), body("new")))
    assert decided == ["b", "new"]
    assert (stage.names(), outcome.is_converged) == ({"a", "b", "c", "new"}, True)


@pytest.mark.parametrize(
    "other", [{"drift": {"extraFields": "Report"}}, {"windows": [{"kind": "Deny", "schedule": "0 0 * * *", "duration": "24h"}]}]
)
async def test_a_commit_with_another_spec_has_everything_decided_on(stage: Stage, decided: list[str], other: dict[str, Any]) -> None:
    await stage.commit(body("a"), body("b"))
    decided.clear()
    stage.spec = spec(**other)
    await stage.commit(body("a"), body("b", data={"x": "y"}))
    assert {"a", "b"} <= set(decided)
