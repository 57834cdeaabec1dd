"""The vital stage: what an outcome comes to as a configuration, and score, completeness and verdict in passes of the pipeline.

Aspects: each fault counts once, by its worst · what waits · what cannot be read, or seen · the patience with a source · since when · more that is wrong is
never better · restarts · what must not happen.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cvstate_operator import errors
from cvstate_operator.api.change_plan import PlanAction
from cvstate_operator.api.drift import DriftAction, Severity
from cvstate_operator.drift.coverage import FieldDrift
from cvstate_operator.drift.ledger import Entry, State
from cvstate_operator.objects.live import Live
from cvstate_operator.plan.changes import Action, Change
from cvstate_operator.plan.consent import Item
from cvstate_operator.plan.prune import Pruning, Waiting
from cvstate_operator.reconcile import vital_stage
from cvstate_operator.reconcile.health import Health
from cvstate_operator.reconcile.outcome import Consent, Held, Outcome, Waits
from cvstate_operator.reconcile.vital_stage import VitalStage, configuration_of
from cvstate_operator.reconcile.vitals import Signals
from cvstate_operator.vital import compliance
from cvstate_operator.vital.compliance import Doubt, Fault
from cvstate_operator.vital.lapse import HealthCounts, Level
from cvstate_operator.vital.reading import Gap
from tests.unit.builders import CONFIG_MAP, DEPLOYMENT, artifact, body, live, problem, ref
from tests.unit.reconcile.fakes import Stage, spec
from tests.unit.reconcile.vital_specs import ERRORS, QUERY, Life, watching

KIND = CONFIG_MAP.gvk.group_kind
NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
AWAY = errors.FetchFailedError("cannot read it: refused")
REFUSED = errors.AuthFailedError("wants other credentials")


def made(**changes: Any) -> Outcome:
    """Ten objects, all as declared."""
    plain = Outcome(
        artifact=artifact(),
        url="https://git.example.com/a",
        source_error=None,
        rendered=None,
        evaluated=True,
        digest="d",
        desired=10,
        members=10,
        done=(),
        problems=(),
        next_pass_at=None,
        health=Health(counts=HealthCounts(ready=10)),
        kinds=(CONFIG_MAP.gvk.group_kind,),
    )
    return replace(plain, **changes)


def entry(severity: Severity, *, minutes: int = 0) -> Entry:
    seen = NOW - timedelta(minutes=minutes)
    return Entry(FieldDrift("/data/x", "a", "b", "kubectl", ""), severity, DriftAction.AUTO, State.REPAIRING, seen)


def pruned(name: str) -> Change:
    return Change(ref(name), Action.PRUNE, None, known())


def known() -> Live:
    return live()


# -- the configuration -------------------------------------------------------------------------------------------------


def test_where_all_is_as_declared_nothing_is_wrong() -> None:
    found = configuration_of(made())
    assert (compliance.share(found), found.doubts) == (1.0, ())


@pytest.mark.parametrize("severity", list(Severity))
def test_drift_counts_by_its_severity(severity: Severity) -> None:
    found = configuration_of(made(drift=((ref("a"), (entry(severity),)),)))
    assert found.drift == {severity: 1}


def test_an_object_counts_once_by_its_worst_field() -> None:
    found = configuration_of(made(drift=((ref("a"), (entry(Severity.LOW), entry(Severity.CRITICAL), entry(Severity.MEDIUM))),)))
    assert found.drift == {Severity.CRITICAL: 1}


def test_what_is_missing_is_not_applied_and_no_drift_besides() -> None:
    found = configuration_of(made(missing=(ref("a"),), drift=((ref("a"), (entry(Severity.HIGH),)),)))
    assert (found.failed, dict(found.drift)) == (1, {})


def test_what_could_not_be_applied_is_not_applied() -> None:
    assert configuration_of(made(failing=(ref("a"), ref("b")))).failed == 2
    assert configuration_of(made(unjudged=(ref("a"), ref("b")))).failed == 0, "nothing was tried"


def test_a_file_that_cannot_be_read_declares_something_that_is_not_there() -> None:
    found = configuration_of(made(problems=(replace(problem(), object=""),)))
    assert (found.desired, found.failed) == (11, 1)


def test_the_problem_of_an_object_is_not_counted_besides_the_object() -> None:
    found = configuration_of(made(problems=(problem(),), failing=(ref("1"),)))
    assert (found.desired, found.failed) == (10, 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"held": Held(creates=2)},
        {"held": Held(updates=2)},
        {"held": Held(later=2)},
        {"held": Held(left=(ref("a"), ref("b")))},
        {"pruning": Pruning(deferred=(pruned("x"), pruned("y")))},
        {"consent": Consent(tuple(Waits(Item(PlanAction.RECREATE, ref(name), "uid"), "why") for name in "ab"))},
    ],
    ids=["creates", "updates", "later", "left", "deferred", "recreate"],
)
def test_what_waits_is_held(changes: dict[str, Any]) -> None:
    assert configuration_of(made(**changes)).held == 2


def test_every_object_that_waits_to_be_deleted_is_held() -> None:
    assert configuration_of(made(pruning=Pruning(waiting=(Waiting((pruned("x"), pruned("y")), "limits"),)))).held == 2


def test_what_left_git_and_may_not_be_deleted_is_held() -> None:
    assert configuration_of(made(pruning=Pruning(held=(ref("x"), ref("y")), objection="not sure"))).held == 2


def test_never_more_is_held_than_there_is() -> None:
    found = configuration_of(made(held=Held(creates=50), missing=(ref("a"),)))
    assert (found.held, found.failed) == (9, 1)


def test_what_was_compared_once_and_cannot_be_seen_now_is_a_doubt() -> None:
    found = configuration_of(made(blind_objects={KIND: 3}), seen={KIND})
    assert (found.doubts, compliance.share(found)) == ((Doubt.UNSEEN,), 1.0)


def test_what_never_was_compared_is_not_taken_for_as_declared() -> None:
    found = configuration_of(made(blind_objects={KIND: 3}))
    assert (found.unjudged, found.doubts) == (3, ())


def test_without_a_comparison_nothing_is_said() -> None:
    assert compliance.share(configuration_of(made(evaluated=False, kinds=()))) is None


def test_while_a_newer_commit_cannot_be_rendered_what_is_in_force_is_judged() -> None:
    assert compliance.share(configuration_of(made(evaluated=False))) == 1.0


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


def test_a_kind_that_cannot_be_seen_is_a_gap_since_that_was_found() -> None:
    stage = VitalStage(status={}, now=NOW)
    outcome = made(health=Health(blind=frozenset({KIND}), counts=HealthCounts(unknown=10)), blind_objects={KIND: 10})
    judge(stage, outcome)
    found = judge(stage, outcome, NOW + timedelta(minutes=3)).completeness
    assert [(one.name, one.gap, one.since) for one in found.missing] == [(str(KIND), Gap.REFUSED, NOW)]
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
        "problems": (replace(problem(), object=""),),
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


async def test_a_restart_long_after_the_last_change_makes_nothing_unknown() -> None:
    life = await alive()
    await life.goes_on(900)
    await life.restarts()
    assert life.stage.condition("Healthy")[0] == "True"
    assert life.stage.condition("Accepted")[0] == "True"


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
