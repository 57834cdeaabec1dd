"""What is done about drift: the pipeline by spec.drift and spec.apply.conflicts.

Aspects: Alert and Ignore · Approve: what is waited for, what an approval covers and for how long · transientFor · fights that end, and start again, and what is
no fight · fields of others by conflicts · extra fields · a new commit while a field is left alone · objects of which memory has no room for a snapshot.
"""

from datetime import timedelta
from random import Random
from typing import Any

import pytest

from cvstate_operator import errors
from cvstate_operator.plan.changes import Action, Change
from cvstate_operator.reconcile.outcome import Outcome
from tests.unit.builders import body, ref
from tests.unit.reconcile.fakes import Stage, actions, spec, states

A = body("a", data={"colour": "blue", "size": "small"})
B = body("b", data={"colour": "blue"})
COLOUR = "/data/colour"


def rule(action: str, **match: list[str]) -> dict[str, Any]:
    return {"match": match, "action": action}


async def staged(**fields: Any) -> Stage:
    """A ClusterState with this spec, and A and B applied."""
    stage = Stage()
    stage.spec = spec(**fields)
    await stage.commit(A, B)
    return stage


def data(stage: Stage, name: str = "a") -> dict[str, str]:
    return dict(stage.cluster.objects[ref(name)]["data"])


def remedies(stage: Stage) -> list[tuple[Any, ...]]:
    """Drift that was counted as ended."""
    return [one for one in stage.meter.counted if one[0] == "remedied"]


async def paint(stage: Stage, colour: str = "red", *, manager: str = "kubectl-edit") -> Outcome:
    """Somebody paints A, and a pass follows."""
    stage.cluster.set_field(ref("a"), "data/colour", colour, manager=manager)
    return await stage.run()


async def test_an_object_of_which_there_is_no_snapshot_is_read_and_repaired_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = await staged()
    monkeypatch.setattr(stage.index, "_snapshot_limit", 0)
    outcome = await paint(stage)
    assert (actions(outcome), data(stage)["colour"], stage.cluster.reads) == ({"a": Action.REPAIR}, "blue", ["a"])
    assert (await stage.run(full=True)).is_converged


# -- Alert, Ignore -----------------------------------------------------------------------------------------------------


async def test_an_alert_is_told_once_and_left_as_it_is() -> None:
    stage = await staged(drift={"rules": [rule("Alert")]})
    outcome = await paint(stage)
    assert (states(outcome), data(stage)["colour"]) == ({COLOUR: "Alerted"}, "red")
    assert [event.reason for event in stage.events] == ["DriftDetected"]
    for full in (False, True):
        outcome = await stage.run(full=full)
        assert (states(outcome), outcome.done, stage.events) == ({COLOUR: "Alerted"}, (), [])
    assert (stage.condition("Drifted"), outcome.next_pass_at) == (("True", "DriftDetected"), None)


async def test_what_a_person_puts_right_is_counted_as_ended_once() -> None:
    stage = await staged(drift={"rules": [rule("Alert")]})
    await paint(stage)
    stage.clock.seconds += 60
    for _ in range(2):
        outcome = await paint(stage, "blue")
        assert (states(outcome), outcome.is_converged, remedies(stage)) == ({}, True, [("remedied", "Alert", 60.0)])


async def test_what_is_ignored_from_now_on_did_not_end() -> None:
    stage = await staged(drift={"rules": [rule("Alert")]})
    await paint(stage)
    stage.spec = spec(drift={"ignore": [{"paths": [COLOUR]}]})
    assert (states(await stage.run(full=True)), remedies(stage)) == ({}, [])


async def test_what_was_open_of_an_object_that_is_gone_ends_when_it_is_made_anew() -> None:
    alerted = {"rules": [rule("Alert", paths=[COLOUR])]}
    stage = await staged(drift=alerted)
    await paint(stage)
    stage.clock.seconds += 60
    stage.spec = spec(drift=alerted, suspend=True)
    stage.cluster.delete(ref("a"))
    for _ in range(2):
        outcome = await stage.run(full=True)
        assert (states(outcome), remedies(stage)) == ({"": "Held", COLOUR: "Held"}, [])
    stage.clock.seconds += 60
    stage.spec = spec(drift=alerted)
    outcome = await stage.run(full=True)
    assert (states(outcome), data(stage)["colour"]) == ({}, "blue")
    assert sorted(remedies(stage)) == [("remedied", "Alert", 120.0), ("remedied", "Auto", 60.0)]


async def test_what_was_open_goes_on_if_the_object_comes_back_with_it() -> None:
    stage = await staged(drift={"rules": [rule("Alert")]})
    begun = (await paint(stage)).drift
    live = stage.cluster.objects[ref("a")]
    stage.cluster.delete(ref("a"))
    await stage.run()
    stage.clock.seconds += 60
    stage.cluster.restore(live)
    outcome = await stage.run()
    assert [(entry.drift.path, entry.first_seen) for _, (entry,) in outcome.drift] == [(COLOUR, begun[0][1][0].first_seen)]
    assert remedies(stage) == [("remedied", "Alert", 60.0)], "the absence alone has ended"


@pytest.mark.parametrize("now", [{"extraFields": "Ignore"}, {"extraFields": "Report", "ignore": [{"managers": ["kubectl-edit"]}]}])
async def test_extra_fields_that_are_not_looked_at_any_more_did_not_end(now: dict[str, Any]) -> None:
    stage = await staged(drift={"extraFields": "Report"})
    stage.cluster.set_field(ref("a"), "data/more", "yes", manager="kubectl-edit")
    assert states(await stage.run()) == {"/data/more": "Alerted"}
    stage.spec = spec(drift=now)
    assert (states(await stage.run(full=True)), remedies(stage)) == ({}, [])


async def test_an_extra_field_that_a_person_takes_away_has_ended() -> None:
    stage = await staged(drift={"extraFields": "Report"})
    stage.cluster.set_field(ref("a"), "data/more", "yes", manager="kubectl-edit")
    await stage.run()
    stage.cluster.set_field(ref("a"), "data/more", None, manager="kubectl-edit")
    assert (states(await stage.run()), remedies(stage)) == ({}, [("remedied", "Alert", 0.0)])


async def test_an_alert_is_not_repaired_in_passing_with_another_field() -> None:
    stage = await staged(drift={"rules": [rule("Alert", paths=[COLOUR])]})
    stage.cluster.set_field(ref("a"), "data/size", "large")
    outcome = await paint(stage)
    assert actions(outcome) == {"a": Action.REPAIR}
    assert data(stage) == {"colour": "red", "size": "small"}
    outcome = await stage.run(full=True)
    assert (outcome.done, states(outcome)) == ((), {COLOUR: "Alerted"})


async def test_an_alert_is_not_repaired_in_passing_by_a_new_commit_either() -> None:
    stage = await staged(drift={"rules": [rule("Alert", paths=[COLOUR])]})
    await paint(stage)
    outcome = await stage.commit(body("a", data={"colour": "blue", "size": "huge"}), B)
    assert actions(outcome) == {"a": Action.UPDATE}
    assert data(stage) == {"colour": "red", "size": "huge"}
    assert states(await stage.run(full=True)) == {COLOUR: "Alerted"}


async def test_what_a_rule_ignores_is_neither_told_nor_written() -> None:
    stage = await staged(drift={"rules": [rule("Ignore", paths=[COLOUR])]})
    outcome = await paint(stage)
    assert (outcome.drift, outcome.done, outcome.is_converged, data(stage)["colour"]) == ((), (), True, "red")
    await stage.commit(body("a", data={"colour": "green", "size": "huge"}), B)
    assert data(stage) == {"colour": "red", "size": "huge"}
    assert (await stage.run(full=True)).is_converged


@pytest.mark.parametrize("ignore", [{"paths": ["/data/colour"]}, {"managers": ["kubectl*"]}], ids=["by-path", "by-manager"])
async def test_what_the_spec_ignores_is_neither_told_nor_written(ignore: dict[str, Any]) -> None:
    stage = await staged(drift={"ignore": [ignore]})
    outcome = await paint(stage)
    assert (outcome.drift, outcome.done, outcome.is_converged, data(stage)["colour"]) == ((), (), True, "red")
    await stage.commit(body("a", data={"colour": "green", "size": "huge"}), B)
    assert data(stage) == {"colour": "red", "size": "huge"}
    assert (await stage.run(full=True)).is_converged


async def test_an_ignored_field_has_the_value_from_git_when_the_object_is_made() -> None:
    stage = await staged(drift={"ignore": [{"paths": ["/data/colour"]}]})
    assert data(stage)["colour"] == "blue"
    stage.cluster.delete(ref("a"))
    await stage.run()
    assert data(stage)["colour"] == "blue"


# -- Approve -----------------------------------------------------------------------------------------------------------

APPROVE: dict[str, Any] = {"drift": {"rules": [rule("Approve", paths=[COLOUR])]}}


async def test_a_repair_that_needs_an_approval_waits_and_is_shown() -> None:
    stage = await staged(**APPROVE)
    outcome = await paint(stage)
    assert (states(outcome), data(stage)["colour"]) == ({COLOUR: "AwaitingApproval"}, "red")
    assert stage.ready() == ("False", "AwaitingApproval")
    assert stage.condition("Stalled")[0] == "True"
    plan = stage.plan(outcome)["spec"]
    assert (plan["total"], plan["counts"]["drift"]) == (1, 1)
    assert plan["items"][0]["object"] == "ConfigMap/default/a"
    assert "red" in plan["items"][0]["detail"]


async def test_the_digest_of_what_waits_is_stable_over_passes_and_restarts() -> None:
    stage = await staged(**APPROVE)
    digest = (await paint(stage)).consent.digest
    for _ in range(3):
        stage.clock.seconds += 60
        assert (await stage.run(full=True)).consent.digest == digest
    stage.restart(status=stage.status)
    await stage.look()
    assert (await stage.run(full=True)).consent.digest == digest


async def test_an_approval_repairs_exactly_what_was_approved() -> None:
    stage = await staged(**APPROVE)
    stage.approve(await paint(stage))
    stage.cluster.set_field(ref("b"), "data/colour", "red")
    outcome = await stage.run()
    assert actions(outcome) == {"a": Action.REPAIR}
    assert (data(stage)["colour"], data(stage, "b")["colour"]) == ("blue", "red")
    assert [one.item.ref.name for one in outcome.consent.waits] == ["b"]


async def test_an_approval_is_used_without_another_event() -> None:
    stage = await staged(**APPROVE)
    stage.approve(await paint(stage))
    assert (await stage.run()).is_converged


async def test_an_approval_outlives_a_restart() -> None:
    stage = await staged(**APPROVE)
    stage.approve(await paint(stage))
    stage.restart(status=stage.status)
    await stage.look()
    assert actions(await stage.run(full=True)) == {"a": Action.REPAIR}


async def test_what_changed_after_it_was_approved_waits_anew() -> None:
    stage = await staged(**APPROVE)
    stage.approve(await paint(stage))
    stage.clock.seconds += 1
    outcome = await paint(stage, "green")
    assert (states(outcome), data(stage)["colour"]) == ({COLOUR: "AwaitingApproval"}, "green")


async def test_the_same_edit_made_again_waits_anew() -> None:
    stage = await staged(**APPROVE)
    stage.approve(await paint(stage))
    assert (await stage.run()).is_converged
    stage.clock.seconds += 1
    outcome = await paint(stage)
    assert (states(outcome), data(stage)["colour"]) == ({COLOUR: "AwaitingApproval"}, "red")


async def test_an_approval_that_is_over_approves_nothing() -> None:
    stage = await staged(**APPROVE)
    expires = (stage.clock.now() + timedelta(seconds=60)).isoformat().replace("+00:00", "Z")
    outcome = await paint(stage)
    stage.clock.seconds += 60
    stage.approve(outcome, expires_at=expires)
    assert states(await stage.run(full=True)) == {COLOUR: "AwaitingApproval"}


async def test_it_is_looked_at_again_when_an_approval_ends() -> None:
    stage = await staged(**APPROVE)
    outcome = await paint(stage)
    expires = (stage.clock.now() + timedelta(seconds=60)).isoformat().replace("+00:00", "Z")
    stage.approve(outcome, expires_at=expires)
    outcome = await stage.run()
    assert outcome.is_converged
    assert outcome.next_pass_at == stage.clock.seconds + 60
    outcome = await stage.wait(outcome)
    assert outcome.next_pass_at is None


async def test_an_approval_of_an_object_that_cannot_be_written_is_used_when_it_can() -> None:
    stage = await staged(**APPROVE)
    outcome = await paint(stage)
    stage.stop_reason = "oops"
    stage.approve(outcome)
    await stage.run()
    assert data(stage)["colour"] == "red"
    stage.stop_reason = ""
    assert actions(await stage.run()) == {"a": Action.REPAIR}


async def test_an_object_that_vanished_waits_for_its_approval_after_a_restart_with_another_commit_too() -> None:
    stage = await staged(drift={"rules": [rule("Approve", kinds=["ConfigMap"])]})
    stage.cluster.delete(ref("a"))
    await stage.run()
    stage.restart(status=stage.status)
    stage.git.commit(A, B, body("new"))
    await stage.look()
    outcome = await stage.run(full=True)
    assert (actions(outcome), states(outcome)) == ({"new": Action.CREATE}, {"": "AwaitingApproval"})
    assert stage.condition("Healthy") == ("False", "Degraded")


async def test_an_object_that_vanished_waits_for_its_approval_too() -> None:
    stage = await staged(drift={"rules": [rule("Approve", kinds=["ConfigMap"])]})
    stage.cluster.delete(ref("a"))
    outcome = await stage.run()
    assert (states(outcome), stage.names()) == ({"": "AwaitingApproval"}, {"b"})
    stage.approve(outcome)
    await stage.run()
    assert stage.names() == {"a", "b"}


# -- transientFor ------------------------------------------------------------------------------------------------------


async def test_a_young_drift_is_repaired_when_it_is_old_enough_and_not_before() -> None:
    stage = await staged(drift={"transientFor": "30s"})
    outcome = await paint(stage)
    assert (states(outcome), outcome.next_pass_at) == ({COLOUR: "Transient"}, stage.clock.seconds + 30)
    stage.clock.seconds += 10
    assert states(await stage.run(full=True)) == {COLOUR: "Transient"}
    outcome = await stage.wait(outcome)
    assert actions(outcome) == {"a": Action.REPAIR}
    assert (outcome.is_converged, outcome.next_pass_at) == (True, None)


async def test_how_long_a_drift_lasts_is_remembered_over_a_restart() -> None:
    stage = await staged(drift={"transientFor": "30s"})
    await paint(stage)
    stage.clock.seconds += 30
    stage.restart(status=stage.status)
    await stage.look()
    assert actions(await stage.run(full=True)) == {"a": Action.REPAIR}


async def test_a_drift_that_passes_by_itself_is_never_written() -> None:
    stage = await staged(drift={"transientFor": "30s"})
    before = stage.cluster.objects[ref("a")]
    outcome = await paint(stage)
    stage.cluster.restore(before)
    outcome = await stage.wait(outcome)
    assert (outcome.done, outcome.drift, outcome.next_pass_at) == ((), (), None)


# -- fights ------------------------------------------------------------------------------------------------------------

BREAKER: dict[str, Any] = {"drift": {"breaker": {"reversals": 3, "within": "10m", "halfOpenAfter": "30m"}}}


async def fight(stage: Stage, rounds: int = 10) -> list[str]:
    """Somebody paints A again and again; what A looks like after each pass."""
    seen = []
    for number in range(rounds):
        stage.clock.seconds += 1
        await paint(stage, f"red-{number}", manager="hpa")
        seen.append(data(stage)["colour"])
    return seen


async def test_a_fight_ends_after_as_many_repairs_as_allowed_and_the_rival_is_named() -> None:
    stage = await staged(**BREAKER)
    assert await fight(stage) == ["blue"] * 3 + [f"red-{number}" for number in range(3, 10)]
    assert stage.ready() == ("False", "BreakerOpen")
    assert "hpa" in stage.message()
    assert stage.status["breakers"][0]["manager"] == "hpa"


async def test_a_fight_over_one_field_stops_no_other_repair() -> None:
    stage = await staged(**BREAKER)
    await fight(stage)
    stage.cluster.set_field(ref("a"), "data/size", "large")
    stage.cluster.set_field(ref("b"), "data/colour", "red")
    outcome = await stage.run()
    assert actions(outcome) == {"a": Action.REPAIR, "b": Action.REPAIR}
    assert data(stage) == {"colour": "red-9", "size": "small"}


async def test_after_a_while_one_probe_is_made_and_if_it_is_undone_it_is_quiet_again() -> None:
    stage = await staged(**BREAKER)
    await fight(stage)
    outcome = await stage.run()
    opened = stage.clock.seconds
    outcome = await stage.wait(outcome)
    assert opened + 1790 <= stage.clock.seconds <= opened + 1800
    assert (actions(outcome), data(stage)["colour"]) == ({"a": Action.REPAIR}, "blue")
    assert await fight(stage, 5) == [f"red-{number}" for number in range(5)]


async def test_a_probe_that_lasts_ends_the_fight() -> None:
    stage = await staged(**BREAKER)
    await fight(stage)
    outcome = await stage.wait(await stage.run())
    stage.clock.seconds += 600
    outcome = await stage.run()
    assert (outcome.is_converged, stage.ready()) == (True, ("True", "Reconciled"))
    assert await fight(stage, 4) == ["blue"] * 3 + ["red-3"]


async def test_a_person_who_asks_need_not_wait_for_the_next_probe() -> None:
    stage = await staged(**BREAKER)
    await fight(stage)
    outcome = await stage.run(full=True)
    assert (outcome.done, stage.ready()) == ((), ("False", "BreakerOpen"))
    outcome = await stage.run(full=True, reset=True)
    assert (actions(outcome), data(stage)["colour"]) == ({"a": Action.REPAIR}, "blue")


async def test_a_rival_who_goes_on_is_left_alone_again_after_one_try_that_a_person_asked_for() -> None:
    stage = await staged(**BREAKER)
    await fight(stage)
    await stage.run(full=True, reset=True)
    outcome = await paint(stage, "red-again", manager="hpa")
    assert (outcome.done, states(outcome), data(stage)["colour"]) == ((), {COLOUR: "BreakerOpen"}, "red-again")
    assert (await stage.run(full=True)).done == ()


async def test_a_fight_is_remembered_over_a_restart() -> None:
    stage = await staged(**BREAKER)
    await fight(stage)
    stage.restart(status=stage.status)
    await stage.look()
    outcome = await stage.run(full=True)
    assert (outcome.done, states(outcome)) == ((), {COLOUR: "BreakerOpen"})
    outcome = await stage.wait(outcome)
    assert actions(outcome) == {"a": Action.REPAIR}


async def test_a_fight_that_did_not_come_to_its_end_is_remembered_over_a_restart() -> None:
    stage = await staged(**BREAKER)
    await fight(stage, 2)
    stage.restart(status=stage.status)
    await stage.look()
    await stage.run(full=True)
    assert await fight(stage, 3) == ["blue", "red-1", "red-2"]


async def test_an_object_that_is_deleted_again_and_again_is_left_alone_after_a_while() -> None:
    stage = await staged(**BREAKER)
    seen = []
    for _ in range(6):
        stage.clock.seconds += 1
        if ref("a") in stage.cluster.objects:
            stage.cluster.delete(ref("a"))
        await stage.run()
        seen.append("a" in stage.names())
    assert seen == [True, True, True, False, False, False]


@pytest.mark.parametrize(
    "error",
    [
        errors.NetworkError("refused"),
        errors.ServerTimeoutError("no answer"),
        errors.ServerError("503"),
        errors.ThrottledError("429"),
        errors.WebhookUnavailableError("no answer from a webhook"),
        errors.StaleError("changed meanwhile"),
        errors.ForbiddenError("not allowed"),
    ],
    ids=lambda error: error.reason,
)
async def test_an_api_server_that_is_away_for_minutes_opens_no_breaker(error: errors.CvstateError) -> None:
    stage = await staged(**BREAKER)
    stage.cluster.failures["a"] = [error]
    outcome, tries, until = await paint(stage), 1, stage.clock.seconds + 600
    while stage.clock.seconds < until:
        outcome, tries = await stage.wait(outcome), tries + 1
    assert (tries > 3, stage.status.get("breakers"), data(stage)["colour"]) == (True, None, "red")
    stage.cluster.failures.clear()
    outcome = await stage.run(full=True)
    assert (actions(outcome), outcome.is_converged) == ({"a": Action.REPAIR}, True)
    assert await fight(stage, 4) == ["blue", "blue", "red-2", "red-3"]  # the repair before was a real one


@pytest.mark.parametrize("seed", range(5))
async def test_a_fight_ends_although_three_of_ten_answers_are_lost(seed: int) -> None:
    stage, random, written = await staged(**BREAKER), Random(seed), 0

    def lose(change: Change) -> None:
        if random.random() < 0.3:
            raise errors.NetworkError("the connection broke after the write")

    stage.cluster.before_answer = lose
    for number in range(100):
        stage.clock.seconds += 10
        await paint(stage, f"red-{number}", manager="hpa")
        written += len(stage.cluster.writes)
    assert (data(stage)["colour"], written < 15) == ("red-99", True)
    assert stage.status["breakers"][0]["openedAt"]


async def test_an_extra_field_that_cannot_be_taken_away_hides_no_fight_over_another() -> None:
    stage = await staged(drift={**BREAKER["drift"], "extraFields": "Remove"})
    stage.cluster.set_field(ref("a"), "data/shape", "round")
    # The apply is answered, the request that follows it is not.
    stage.cluster.before_answer = lambda change: stage.cluster.failures.update(a=[errors.ServerError("503")])
    seen = []
    for number in range(8):
        stage.clock.seconds += 100
        stage.cluster.failures.clear()
        await paint(stage, f"red-{number}", manager="hpa")
        seen.append(data(stage)["colour"])
    assert seen == ["blue"] * 3 + [f"red-{number}" for number in range(3, 8)]
    assert [breaker["path"] for breaker in stage.status["breakers"]] == [COLOUR]


async def test_a_fight_that_is_given_up_is_one_event() -> None:
    stage, seen = await staged(**BREAKER), []
    for number in range(6):
        stage.clock.seconds += 1
        await paint(stage, f"red-{number}", manager="hpa")
        seen += [event.reason for event in stage.events]
    assert seen == ["DriftRepaired"] * 3 + ["BreakerOpen"]


# -- conflicts ---------------------------------------------------------------------------------------------------------


async def test_by_force_git_wins() -> None:
    stage = await staged(apply={"conflicts": "Force"})
    assert actions(await paint(stage)) == {"a": Action.REPAIR}


async def test_with_abort_the_object_is_not_written_and_the_manager_is_named() -> None:
    stage = await staged(apply={"conflicts": "Abort"})
    outcome = await paint(stage, manager="hpa")
    assert [(p.reason, p.object) for p in outcome.problems] == [("FieldConflict", "ConfigMap/default/a")]
    assert "hpa" in outcome.problems[0].message
    assert "spec.apply.conflicts: Force" in outcome.problems[0].message
    assert "adoption" not in outcome.problems[0].message
    assert data(stage)["colour"] == "red"
    stage.cluster.set_field(ref("b"), "data/colour", None)
    assert actions(await stage.run()) == {"b": Action.REPAIR}


async def test_with_yield_the_field_is_left_to_the_other_manager_and_shown() -> None:
    stage = await staged(apply={"conflicts": "Yield"})
    outcome = await paint(stage, manager="hpa")
    assert (states(outcome), data(stage)["colour"], outcome.problems) == ({COLOUR: "Yielded"}, "red", ())
    await stage.commit(body("a", data={"colour": "green", "size": "huge"}), B)
    assert data(stage) == {"colour": "red", "size": "huge"}
    assert states(await stage.run(full=True)) == {COLOUR: "Yielded"}


async def test_with_yield_a_conflict_nobody_saw_coming_leaves_only_that_field() -> None:
    stage = await staged(apply={"conflicts": "Yield"})
    stage.cluster.set_field(ref("a"), "data/shape", "round", manager="hpa")
    await stage.run()
    outcome = await stage.commit(body("a", data={"colour": "blue", "size": "huge", "shape": "flat"}), B)
    assert (outcome.problems, data(stage)) == ((), {"colour": "blue", "size": "huge", "shape": "round"})


async def test_with_yield_what_is_gone_is_put_back() -> None:
    stage = await staged(apply={"conflicts": "Yield"})
    stage.cluster.set_field(ref("a"), "data/colour", None)
    assert actions(await stage.run()) == {"a": Action.REPAIR}
    assert data(stage)["colour"] == "blue"


# -- extra fields ------------------------------------------------------------------------------------------------------


async def test_extra_fields_are_left_alone_told_or_taken_away() -> None:
    seen = {}
    for wish in ("Ignore", "Report", "Remove"):
        stage = await staged(drift={"extraFields": wish})
        stage.cluster.set_field(ref("a"), "data/shape", "round")
        outcome = await stage.run()
        seen[wish] = (states(outcome), "shape" in data(stage))
        assert (await stage.run(full=True)).done == ()
    assert seen == {"Ignore": ({}, True), "Report": ({"/data/shape": "Alerted"}, True), "Remove": ({}, False)}


async def test_fields_that_another_applier_declares_are_not_extra() -> None:
    stage = await staged(drift={"extraFields": "Remove"})
    live = stage.cluster.objects[ref("a")]
    theirs = {"manager": "flux", "operation": "Apply", "fieldsV1": {"f:data": {"f:shape": {}}}, "time": "2026-01-01T00:00:00Z"}
    meta = {**live["metadata"], "managedFields": [*live["metadata"]["managedFields"], theirs]}
    stage.cluster.restore({**live, "metadata": meta, "data": {**live["data"], "shape": "round"}})
    assert (await stage.run(full=True)).done == ()
    assert data(stage)["shape"] == "round"
