"""The vital stage: score, completeness and verdict in passes of the pipeline. What an outcome comes to as a configuration is in test_configuration.py.

Aspects: the patience with a source · an API server that tells nothing any more · since when · more that is wrong is
never better · restarts · what must not happen.
"""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cvstate_operator import errors
from cvstate_operator.api.drift import DriftAction, Severity
from cvstate_operator.drift.coverage import FieldDrift
from cvstate_operator.drift.ledger import Entry, State
from cvstate_operator.reconcile import telemetry_stage, vital_stage
from cvstate_operator.reconcile.health import Health
from cvstate_operator.reconcile.outcome import Outcome
from cvstate_operator.reconcile.vital_stage import VitalStage
from cvstate_operator.reconcile.vitals import Signals
from cvstate_operator.vital.health.lapse import HealthCounts, Level
from cvstate_operator.vital.reading import Gap
from cvstate_operator.vital.verdicts.compliance import Fault
from tests.unit.builders import CONFIG_MAP, DEPLOYMENT, SECRET, body, problem, ref
from tests.unit.reconcile.fakes import Stage, spec
from tests.unit.reconcile.vital_specs import ERRORS, QUERY, Life, converged, watching

KIND = CONFIG_MAP.gvk.group_kind
NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
AWAY = errors.FetchFailedError("cannot read it: refused")
REFUSED = errors.AuthFailedError("wants other credentials")


def made(**changes: Any) -> Outcome:
    """Ten objects, all as declared."""
    return replace(converged(10, health=Health(counts=HealthCounts(ready=10)), kinds=(CONFIG_MAP.gvk.group_kind,)), **changes)


def entry(severity: Severity, *, minutes: int = 0) -> Entry:
    seen = NOW - timedelta(minutes=minutes)
    return Entry(FieldDrift("/data/x", "a", "b", "kubectl", ""), severity, DriftAction.AUTO, State.REPAIRING, seen)


# -- the stage ---------------------------------------------------------------------------------------------------------


def judge(stage: VitalStage, outcome: Outcome, now: datetime = NOW) -> Any:
    return stage.judge(spec(), outcome, Signals(), pods=(), causes={}, now=now)


def test_where_all_is_well_the_score_is_full_and_acceptable() -> None:
    found = judge(VitalStage(status={}, now=NOW), made())
    assert (found.score.score, found.score.confidence, found.verdict.status, found.completeness.ratio) == (100, 100, True, 1.0)


def test_a_source_that_is_away_for_a_moment_changes_nothing() -> None:
    stage = VitalStage(status={}, now=NOW)
    patience = timedelta(seconds=vital_stage.SOURCE_PATIENCE_SECONDS)
    assert judge(stage, made(source_error=AWAY)).score.confidence == 100
    assert stage.next_change(NOW) == NOW + patience
    assert judge(stage, made(source_error=AWAY), NOW + patience - timedelta(seconds=1)).score.confidence == 100
    late = judge(stage, made(source_error=AWAY), NOW + patience)
    assert late.score.confidence < 100
    assert late.score.score == 100, "nothing is known to be worse"
    assert judge(stage, made(), NOW + patience).score.confidence == 100
    after = stage.next_change(NOW + patience)
    assert after is None or after > NOW + patience, "what is over is never named"


def test_the_patience_begins_anew_after_each_success() -> None:
    stage = VitalStage(status={}, now=NOW)
    for minutes in range(0, 40, 4):
        at = NOW + timedelta(minutes=minutes)
        assert judge(stage, made(source_error=AWAY), at).score.confidence == 100
        judge(stage, made(), at + timedelta(minutes=1))


def test_a_source_that_refuses_us_is_not_known_at_once() -> None:
    assert judge(VitalStage(status={}, now=NOW), made(source_error=REFUSED)).score.confidence < 100


def test_what_pulls_tells_since_when() -> None:
    outcome = made(
        drift=(
            (ref("a"), (entry(Severity.HIGH, minutes=5),)),
            (ref("b"), (entry(Severity.HIGH, minutes=9), entry(Severity.LOW, minutes=30))),
        ),
        health=Health(counts=HealthCounts(ready=9, degraded=1), oldest={Level.DEGRADED: NOW - timedelta(minutes=2)}),
    )
    since = {pull.name: pull.since for pull in judge(VitalStage(status={}, now=NOW), outcome).score.pulls}
    assert since[Fault.HIGH_DRIFT.value] == NOW - timedelta(minutes=9)
    assert since[Level.DEGRADED.value] == NOW - timedelta(minutes=2)


def test_a_kind_that_cannot_be_seen_is_a_gap() -> None:
    stage = VitalStage(status={}, now=NOW)
    outcome = made(health=Health(blind={KIND: Gap.UNREACHABLE}, counts=HealthCounts(unknown=10)), blind_objects={KIND: 10})
    found = judge(stage, outcome).completeness
    assert [(one.name, one.gap) for one in found.missing] == [(str(KIND), Gap.UNREACHABLE)]
    assert judge(stage, made(), NOW + timedelta(minutes=4)).completeness.missing == ()


WORSE: dict[str, dict[str, Any]] = {
    "low drift": {"drift": ((ref("a"), (entry(Severity.LOW),)),)},
    "more drift": {"drift": ((ref("a"), (entry(Severity.LOW),)), (ref("b"), (entry(Severity.MEDIUM),)))},
    "worse drift": {"drift": ((ref("a"), (entry(Severity.LOW),)), (ref("b"), (entry(Severity.CRITICAL),)))},
    "and missing": {"drift": ((ref("b"), (entry(Severity.CRITICAL),)),), "missing": (ref("a"),)},
    "and not applied": {"drift": ((ref("b"), (entry(Severity.CRITICAL),)),), "missing": (ref("a"),), "failing": (ref("c"),)},
    "and unreadable": {
        "drift": ((ref("b"), (entry(Severity.CRITICAL),)),),
        "missing": (ref("a"),),
        "failing": (ref("c"),),
        "left_out": (replace(problem(), object=""),),
    },
}


def test_each_step_to_the_worse_is_no_better() -> None:
    scores = [judge(VitalStage(status={}, now=NOW), made(**changes)).score for changes in ({}, *WORSE.values())]
    configurations = [found.configuration for found in scores]
    assert configurations == sorted(configurations, reverse=True)
    assert [found.score for found in scores] == sorted((found.score for found in scores), reverse=True)


# -- in passes ---------------------------------------------------------------------------------------------------------


def web(image: str = "v1") -> dict[str, Any]:
    return body("web", of=DEPLOYMENT, spec={"replicas": 1, "image": image})


WEB = ref("web", of=DEPLOYMENT)


def score(stage: Stage) -> int | None:
    found = stage.status["cv"].get("score")
    return None if found is None else int(found)


async def alive(**fields: Any) -> Life:
    """All is well for a while."""
    stage = Stage()
    stage.cluster.comes_up = lambda live: live["spec"]["image"] != "bad"
    stage.telemetry.values[QUERY] = 0.001
    stage.spec = watching(ERRORS, **fields)
    await stage.ask()
    life = Life(stage, await stage.commit(web(), body("a", data={"colour": "blue"})))
    await life.goes_on(120)
    assert (score(stage), stage.condition("Accepted")[0]) == (100, "True")
    return life


async def test_a_restart_takes_the_verdict_up_again() -> None:
    life = await alive()
    await life.restarts()
    assert life.stage.condition("Accepted")[0] == "True"


async def test_where_all_is_well_hardly_anything_is_written_and_nothing_is_busy() -> None:
    life = await alive()
    life.passes = life.writes = 0
    life.stage.telemetry.values[QUERY] = 0.002
    await life.goes_on(3600)
    assert life.writes == 0
    assert life.passes <= 15, "for example when the sample that was told last is too old"


async def test_a_value_that_moves_all_the_time_writes_no_status() -> None:
    life = await alive()
    life.passes = life.writes = 0
    for number in range(120):
        life.stage.telemetry.values[QUERY] = 0.001 + number / 100_000
        await life.goes_on(30)
    assert life.writes == 0


async def test_a_gap_lowers_the_confidence_and_not_the_score() -> None:
    life = await alive()
    life.stage.telemetry.values[QUERY] = Gap.UNREACHABLE
    await life.goes_on(60)
    assert score(life.stage) == 100
    assert life.stage.status["cv"]["confidence"] < 100
    assert life.stage.condition("TelemetryComplete")[0] == "False"


# -- kinds of which nothing is told any more ---------------------------------------------------------------------------

SILENT = errors.ServerTimeoutError("the API server has told nothing for too long")
WORKLOAD = DEPLOYMENT.gvk.group_kind


async def test_what_the_api_server_tells_nothing_of_any_more_is_neither_healthy_nor_known() -> None:
    life = await alive()
    life.stage.cluster.silent = {KIND: SILENT, WORKLOAD: SILENT}
    await life.runs()
    assert life.stage.condition("Healthy") == ("Unknown", "TargetUnreachable")
    assert life.stage.condition("TelemetryComplete") == ("False", "TelemetryGap")
    assert "(Unreachable)" in life.stage.message("TelemetryComplete")
    assert life.stage.condition("Accepted")[0] == "Unknown"
    assert life.stage.status["vital"]["objects"] == {"ready": 0, "unknown": 2}
    assert life.stage.status["cv"]["confidence"] < 50
    life.stage.cluster.silent = {}
    await life.runs()
    assert life.stage.condition("Healthy")[0] == "True"
    assert life.stage.condition("TelemetryComplete")[0] == "True"
    assert life.stage.status["cv"]["confidence"] == 100


async def test_one_kind_that_is_silent_takes_nothing_from_the_others() -> None:
    life = await alive()
    life.stage.cluster.silent = {WORKLOAD: SILENT}
    await life.runs()
    assert life.stage.condition("Healthy") == ("Unknown", "TelemetryGap")
    assert life.stage.status["vital"]["objects"] == {"ready": 1, "unknown": 1}


async def test_kinds_of_others_that_are_silent_concern_nobody_else() -> None:
    life = await alive()
    life.stage.cluster.silent = {SECRET.gvk.group_kind: SILENT}
    await life.runs()
    assert life.stage.condition("Healthy")[0] == "True"
    assert life.stage.condition("TelemetryComplete")[0] == "True"
    assert not life.stage.pipeline.observes({SECRET.gvk.group_kind})
    assert life.stage.pipeline.observes({SECRET.gvk.group_kind, KIND})


async def test_objects_of_a_silent_kind_are_written_all_the_same() -> None:
    life = await alive()
    life.stage.cluster.silent = {KIND: SILENT, WORKLOAD: SILENT}
    life.stage.cluster.set_field(ref("a"), "data/colour", "green")
    await life.runs()
    assert [name for _, name in life.stage.cluster.writes] == ["a"]
    await life.commits(web("v2"), body("a", data={"colour": "red"}))
    assert {name for _, name in life.stage.cluster.writes} == {"web", "a"}


async def test_nothing_is_deleted_by_what_was_heard_long_ago() -> None:
    life = await alive()
    life.stage.cluster.silent = {WORKLOAD: SILENT}
    await life.commits(web())
    await life.goes_on(60)
    assert "not every kind can be seen" in life.outcome.pruning.objection
    assert "a" in life.stage.names()
    life.stage.cluster.silent = {}
    await life.runs()
    await life.goes_on(60)
    assert "a" not in life.stage.names()


async def test_who_was_degraded_when_the_api_server_fell_silent_still_is() -> None:
    life = await alive()
    life.stage.cluster.bring_up(WEB, is_up=False)
    await life.runs()
    await life.goes_on(400)
    life.stage.cluster.silent = {WORKLOAD: SILENT}
    await life.runs()
    assert life.stage.condition("Healthy") == ("False", "Degraded")
    assert life.stage.status["vital"]["objects"] == {"ready": 1, "degraded": 1}


async def test_a_revision_is_not_called_good_by_what_was_heard_long_ago() -> None:
    life = await alive()
    life.stage.cluster.silent = {WORKLOAD: SILENT}
    await life.commits(web("v2"), body("a", data={"colour": "blue"}))
    life.stage.cluster.bring_up(WEB)
    await life.runs()
    assert life.stage.status["history"][0]["outcome"] != "Healthy"
    life.stage.cluster.silent = {}
    await life.runs()
    assert life.stage.status["history"][0]["outcome"] == "Healthy"


async def test_pods_of_workloads_that_nobody_tells_of_are_not_counted_and_why_is_told() -> None:
    life = await alive()
    life.stage.spec = watching({"name": "pods", "indicator": "PodsReady", "min": "0.9"})
    await life.goes_on(60)
    assert life.stage.status["vital"]["signals"][0]["state"] == "Passing"
    life.stage.cluster.silent = {WORKLOAD: SILENT}
    await life.runs()
    await life.goes_on(60)
    (told,) = life.stage.status["vital"]["signals"]
    assert (told["state"], told["gap"]) == ("Unknown", "Unreachable")


async def test_as_long_as_the_api_server_is_away_nobody_is_kept_busy_by_it() -> None:
    life = await alive()
    life.stage.cluster.silent = {KIND: SILENT, WORKLOAD: SILENT}
    await life.runs()
    life.passes = 0
    await life.goes_on(3600)
    assert life.passes <= 15


@pytest.mark.parametrize("error", [AWAY, REFUSED], ids=["away", "refused"])
async def test_a_source_that_is_away_for_long_keeps_nobody_busy(error: errors.CvstateError) -> None:
    stage = Stage()
    stage.spec = spec()
    life = Life(stage, await stage.commit(body("a")))
    stage.git.error = error
    await stage.look()
    await life.runs()
    await life.goes_on(vital_stage.SOURCE_PATIENCE_SECONDS)
    life.passes = 0
    await life.goes_on(600)
    assert life.passes <= 20


@pytest.mark.parametrize("seconds", [100, 900])
async def test_a_restart_makes_nothing_unknown_if_it_is_answered_at_once(seconds: float) -> None:
    life = await alive()
    await life.goes_on(seconds)
    written = len(life.stage.telemetry.asked)
    await life.restarts()
    assert life.stage.condition("Healthy")[0] == "True"
    assert life.stage.condition("Accepted")[0] == "True"
    assert (len(life.stage.telemetry.asked) > written) is (seconds > 300), "what is young enough is waited for by nobody"


async def test_a_restart_long_after_what_was_known_was_measured_makes_it_unknown_until_the_first_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(telemetry_stage, "FIRST_ANSWERS_SECONDS", 0.01)
    life = await alive()
    await life.goes_on(900)
    answer = life.stage.telemetry.answers = asyncio.Event()
    await life.restarts()
    assert life.stage.condition("Healthy") == ("Unknown", "TelemetryGap")
    answer.set()
    await life.goes_on(5)
    assert life.stage.condition("Healthy")[0] == "True"
    await life.goes_on(60)
    assert life.stage.condition("Accepted")[0] == "True"


async def test_what_a_restart_recalled_is_told_to_be_too_old_although_nobody_answers() -> None:
    life = await alive()
    told = datetime.fromisoformat(life.stage.status["vital"]["signals"][0]["takenAt"])
    await life.goes_on((told + timedelta(minutes=5) - life.stage.clock.now()).total_seconds() - 5)
    await life.restarts()
    assert life.stage.condition("Healthy")[0] == "True"
    assert life.outcome.next_pass_at is not None
    assert life.outcome.next_pass_at <= life.stage.clock.seconds + 15
    life.stage.clock.seconds = life.outcome.next_pass_at
    await life.runs()
    assert life.stage.condition("Healthy") == ("Unknown", "TelemetryGap")


async def test_pods_are_not_counted_before_the_cluster_was_looked_at() -> None:
    stage = Stage()
    stage.cluster.comes_up = lambda live: True
    stage.spec = spec(vital={"signals": [{"name": "pods", "indicator": "PodsReady", "min": "0.9", "interval": "5m", "staleAfter": "6m"}]})
    await stage.ask()  # as the actor does: beside the first look at Git
    life = Life(stage, await stage.commit(web()))
    await life.goes_on(30)
    assert stage.condition("TelemetryComplete")[0] == "True"


async def test_a_commit_that_cannot_be_rendered_does_not_hide_that_an_object_is_degraded() -> None:
    life = await alive()
    life.stage.cluster.bring_up(WEB, is_up=False)
    await life.runs()
    await life.goes_on(400)
    assert life.stage.condition("Healthy") == ("False", "Degraded")
    life.stage.git.commit(web("v2"))
    assert life.stage.git.head is not None
    life.stage.git.unbuilt.add(life.stage.git.head.commit)
    await life.stage.look()
    await life.runs()
    assert life.stage.condition("Healthy") == ("False", "Degraded")


async def test_drift_of_an_object_that_cannot_be_applied_makes_nothing_better() -> None:
    scores = []
    for is_drifted in (False, True):
        life = await alive()
        life.stage.cluster.failures["a"] = [errors.InvalidError("the API server refuses it")]
        if is_drifted:
            life.stage.cluster.set_field(ref("a"), "data/colour", "green")
            await life.runs()
        await life.commits(web(), body("a", data={"colour": "red"}))
        scores.append(score(life.stage) or 0)
    assert scores[0] < 100
    assert scores[1] <= scores[0]


async def test_a_signal_that_is_seldom_asked_for_is_known_all_the_time() -> None:
    stage = Stage()
    stage.telemetry.values[QUERY] = 0.001
    stage.spec = watching({**ERRORS, "interval": "10m", "staleAfter": "601s"})
    await stage.ask()
    life, words = Life(stage, await stage.commit(body("a"))), set()
    for _ in range(60):
        await life.goes_on(60)
        words.add(stage.condition("TelemetryComplete")[0])
    assert words == {"True"}


# -- what Healthy may be called ----------------------------------------------------------------------------------------


async def test_a_revision_that_is_given_up_for_not_being_healthy_does_not_become_healthy_by_that() -> None:
    stage = Stage()
    night = {"kind": "Deny", "schedule": "0 0 * * *", "duration": "24h", "actions": ["Rollback"]}
    stage.spec = spec(rollback={"onUnhealthyFor": "2m"}, windows=[night])
    life = Life(stage, await stage.commit(body("web", of=DEPLOYMENT)))
    stage.cluster.bring_up(ref("web", of=DEPLOYMENT))
    await life.runs()
    await life.goes_on(100)
    assert stage.condition("Healthy")[0] == "True"
    stage.cluster.comes_up = lambda live: False
    await life.commits(body("web", of=DEPLOYMENT, spec={"replicas": 1, "image": "two"}))
    told = []
    for _ in range(30):
        await life.goes_on(10)
        told.append((stage.condition("Ready")[1], stage.condition("Healthy")[0]))
    assert ("Quarantined", "False") in told
    assert {status for _, status in told} == {"False"}


@pytest.mark.parametrize("is_deleted", [False, True], ids=["failed", "missing"])
async def test_an_object_that_is_bad_is_not_healthy_because_its_file_cannot_be_read(is_deleted: bool) -> None:
    stage, web = Stage(), ref("web", of=DEPLOYMENT)
    gave_up = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "late"}
    await stage.commit(body("a"), body("web", of=DEPLOYMENT))
    stage.cluster.bring_up(web)
    await stage.run()
    if is_deleted:
        stage.spec = spec(suspend=True)
        stage.cluster.delete(web)
    else:
        stage.cluster.tell(web, {"observedGeneration": 1, "replicas": 1, "conditions": [gave_up]})
    await stage.run()
    assert stage.condition("Healthy")[0] == "False"
    await stage.commit(body("a"), problems=[problem("web.yaml", reason="YAMLInvalid")])
    assert stage.condition("Healthy") == ("False", "Degraded")
    assert "web" in stage.message("Healthy")
    stage.restart(status=stage.status)
    await stage.look()
    await stage.run()
    assert stage.condition("Healthy")[0] != "True", "who never saw it cannot say, and what is gone is remembered"
    assert "web" in stage.message("Healthy")


async def test_of_what_cannot_be_seen_nobody_says_that_it_is_on_its_way() -> None:
    stage, web = Stage(), ref("web", of=DEPLOYMENT)
    await stage.commit(body("a"), body("web", of=DEPLOYMENT))
    stage.cluster.bring_up(web, is_up=False)
    await stage.run()
    assert stage.condition("Healthy") == ("False", "Progressing")
    stage.cluster.silent = {DEPLOYMENT.gvk.group_kind: AWAY}
    await stage.run()
    assert stage.condition("Healthy") == ("Unknown", "TelemetryGap")


async def test_what_never_ran_is_not_accepted_yet() -> None:
    stage, web = Stage(), ref("web", of=DEPLOYMENT)
    stage.cluster.comes_up = lambda live: False
    life = Life(stage, await stage.commit(body("a"), body("web", of=DEPLOYMENT)))
    await life.goes_on(100)
    assert stage.condition("Accepted") == ("Unknown", "NotEvaluated")
    stage.cluster.bring_up(web)
    await life.runs()
    assert stage.condition("Accepted")[0] == "True"
    stage.cluster.bring_up(web, is_up=False)
    await life.runs()
    assert stage.condition("Accepted")[0] == "True", "what ran once may be rolled and moved"


async def test_a_workload_that_has_no_pod_left_is_not_called_on_its_way() -> None:
    stage, web = Stage(), ref("web", of=DEPLOYMENT)
    life = Life(stage, await stage.commit(body("a"), body("web", of=DEPLOYMENT, spec={"replicas": 2})))
    stage.cluster.bring_up(web)
    await life.runs()
    await life.goes_on(100)
    assert stage.condition("Healthy")[0] == "True"
    generation = stage.cluster.objects[web]["metadata"]["generation"]
    stage.cluster.tell(web, {"observedGeneration": generation, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 0})
    await life.runs()
    assert stage.condition("Healthy") == ("False", "Progressing")
    await life.goes_on(35)
    assert stage.condition("Healthy") == ("False", "Degraded")
    assert stage.condition("Accepted")[0] == "False"
