"""Revisions that are judged by signals, SLOs and health, in passes of the pipeline.

Aspects: what is worse after a commit gives it up at once, with the evidence · nobody is blamed for what was there before, until it is over · what waits on
purpose is waited for · how long a revision is watched ·
what is not known is never good, and no reason to roll back · time in which nothing is heard does not count · without spec.rollback nothing is given up · restarts in the middle.
"""

from typing import Any

import pytest

from cvstate_operator import errors
from cvstate_operator.objects.identity import ApiResource, GroupKind, Gvk
from cvstate_operator.reconcile.outcome import Outcome
from cvstate_operator.vital.health.children import Child
from cvstate_operator.vital.objectives.burn import GATE_LONG, GATE_SHORT
from cvstate_operator.vital.reading import Gap
from tests.unit.builders import DEPLOYMENT, body, ref
from tests.unit.reconcile.fakes import Stage, spec
from tests.unit.reconcile.vital_specs import ERRORS, GOOD, QUERY, SLO, Life, watching

WEB, API = ref("web", of=DEPLOYMENT), ref("api", of=DEPLOYMENT)
ROLLOUT = ApiResource(Gvk("argoproj.io", "v1alpha1", "Rollout"), "rollouts", True)
SHOP = ref("shop", of=ROLLOUT)
ROLLBACK: dict[str, Any] = {"rollback": {"onUnhealthyFor": "5m", "watchFor": "2m"}}


def web(image: str = "v1") -> dict[str, Any]:
    return body("web", of=DEPLOYMENT, spec={"replicas": 1, "image": image})


def api(image: str = "v1") -> dict[str, Any]:
    return body("api", of=DEPLOYMENT, spec={"replicas": 1, "image": image})


def image(stage: Stage) -> str:
    return str(stage.cluster.objects[WEB]["spec"]["image"])


def outcomes(stage: Stage) -> list[str]:
    return [entry["outcome"] for entry in stage.status["history"]]


async def made(*signals: dict[str, Any], slos: bool = False, **fields: Any) -> Life:
    """A good revision that was watched to its end; all is well."""
    stage = Stage()
    stage.cluster.comes_up = lambda live: not live["spec"]["image"].startswith("bad")
    stage.telemetry.values[QUERY] = 0.001
    stage.telemetry.samples[GOOD] = 0.0
    stage.spec = watching(*signals, slos=[SLO] if slos else [], **(fields or ROLLBACK))
    await stage.ask()
    life = Life(stage, await stage.commit(web(), api()))
    await life.goes_on(200)
    return life


@pytest.fixture
async def life() -> Life:
    return await made(dict(ERRORS))


# -- watched to the end ------------------------------------------------------------------------------------------------


async def test_a_revision_is_good_when_it_stayed_well_as_long_as_it_is_watched(life: Life) -> None:
    assert outcomes(life.stage) == ["Healthy"]
    await life.commits(web("v2"), api())
    await life.goes_on(100)
    assert outcomes(life.stage) == ["Applied", "Healthy"]
    await life.goes_on(40)
    assert outcomes(life.stage) == ["Healthy", "Healthy"]


async def test_without_a_watch_ready_is_good() -> None:
    life = await made(dict(ERRORS), rollback={"onUnhealthyFor": "5m"})
    await life.commits(web("v2"), api())
    assert outcomes(life.stage) == ["Healthy", "Healthy"]


async def test_once_it_is_good_nothing_gives_it_up(life: Life) -> None:
    await life.commits(web("v2"), api())
    await life.goes_on(200)
    life.stage.telemetry.values[QUERY] = 0.5
    outcome = await life.goes_on(1200)
    assert (image(life.stage), outcome.quarantined) == ("v2", {})
    assert life.stage.condition("Healthy") == ("False", "SignalBreached")


# -- worse than before -------------------------------------------------------------------------------------------------


async def test_a_signal_that_is_breached_after_a_commit_gives_it_up_at_once_with_the_evidence(life: Life) -> None:
    await life.commits(web("v2"), api())
    commit = life.stage.git.head.commit if life.stage.git.head else ""
    life.stage.telemetry.values[QUERY] = 0.5
    outcome = await life.goes_on(40)
    assert image(life.stage) == "v1", "long before onUnhealthyFor"
    assert list(outcome.quarantined) == [commit]
    assert [entry["outcome"] for entry in life.stage.status["history"]][1] == "Unhealthy"
    assert life.stage.status["history"][1]["evidence"] == ["signal errors: should be <= 0.01 and is not (is 0.5)"]
    assert life.stage.ready() == ("False", "RolledBack")
    assert "signal errors" in life.stage.status["quarantined"][0]["message"]


async def test_an_slo_that_burns_after_a_commit_gives_it_up_at_once() -> None:
    life = await made(slos=True)
    await life.commits(web("v2"), api())
    life.stage.telemetry.samples[GOOD] = 0.5
    outcome = await life.goes_on(40)
    assert (image(life.stage), len(outcome.quarantined)) == ("v1", 1)
    assert life.stage.status["history"][1]["evidence"][0].startswith("SLO availability: ")


async def test_a_signal_has_to_be_outside_for_as_long_as_it_says() -> None:
    life = await made({**ERRORS, "for": "1m"})
    await life.commits(web("v2"), api())
    life.stage.telemetry.values[QUERY] = 0.5
    await life.goes_on(55)
    assert image(life.stage) == "v2"
    await life.goes_on(60)
    assert image(life.stage) == "v1"


async def test_a_signal_that_is_breached_while_objects_are_on_their_way_does_not_wait_for_them(life: Life) -> None:
    await life.commits(web("bad"), api())
    life.stage.telemetry.values[QUERY] = 0.5
    await life.goes_on(40)
    assert image(life.stage) == "v1"


async def test_an_object_that_is_not_ready_in_time_gives_it_up_with_its_cause(life: Life) -> None:
    crash = Child("Pod default/web-x", "web", "container", "CrashLoopBackOff", "exit code 1", None, 3)
    life.stage.causes.children = (crash,)
    await life.commits(web("bad"), api())
    await life.goes_on(320)
    evidence = life.stage.status["history"][1]["evidence"]
    assert image(life.stage) == "v1"
    assert len(evidence) == 1
    assert evidence[0].startswith(f"{WEB}: ")
    assert "CrashLoopBackOff" in evidence[0]


# -- nobody is blamed for what was there before ------------------------------------------------------------------------


async def test_a_signal_that_was_breached_before_is_not_blamed_and_keeps_it_from_being_good(life: Life) -> None:
    life.stage.telemetry.values[QUERY] = 0.5
    await life.goes_on(60)
    await life.commits(web("v2"), api())
    outcome = await life.goes_on(1200)
    assert (image(life.stage), outcome.quarantined) == ("v2", {})
    assert outcomes(life.stage) == ["Applied", "Healthy"]
    life.stage.telemetry.values[QUERY] = 0.001
    await life.goes_on(90)
    assert outcomes(life.stage) == ["Healthy", "Healthy"]


async def test_a_signal_that_was_outside_already_when_it_was_begun_is_not_blamed() -> None:
    life = await made({**ERRORS, "for": "3m"})
    life.stage.telemetry.values[QUERY] = 0.5
    await life.goes_on(60)
    await life.commits(web("v2"), api())
    outcome = await life.goes_on(600)
    assert life.stage.condition("Healthy") == ("False", "SignalBreached")
    assert (image(life.stage), outcome.quarantined) == ("v2", {})


async def test_an_object_that_was_degraded_before_is_not_blamed(life: Life) -> None:
    life.stage.cluster.bring_up(API, is_up=False)
    await life.runs()
    await life.goes_on(320)
    assert life.stage.condition("Healthy") == ("False", "Degraded")
    await life.commits(web("v2"), api())
    outcome = await life.goes_on(1200)
    assert (image(life.stage), outcome.quarantined) == ("v2", {})


# An SLO of 99.9 % burns from 0.5 % errors on, in the last hour and the last five minutes.
@pytest.mark.parametrize(
    "before",
    [
        pytest.param({GATE_SHORT: 0.5}, id="it-burns-in-the-last-five-minutes"),
        pytest.param({GATE_LONG: 0.02}, id="it-burned-in-the-last-hour"),
        pytest.param({30 * 86400.0: 0.000991}, id="hardly-any-budget-is-left"),
    ],
)
async def test_an_slo_that_was_about_to_burn_when_it_was_begun_is_not_blamed(before: dict[float, float]) -> None:
    life = await made(slos=True)
    life.stage.telemetry.samples[GOOD] = before
    await life.goes_on(1900)  # the longest window is asked for every half hour
    assert life.stage.condition("Healthy") == ("True", "Healthy")
    await life.commits(web("v2"), api())
    life.stage.telemetry.samples[GOOD] = 0.5
    outcome = await life.goes_on(90)
    assert life.stage.condition("Healthy") == ("False", "SignalBreached")
    assert (image(life.stage), outcome.quarantined) == ("v2", {})


async def test_an_slo_that_burns_below_its_limit_when_a_commit_comes_is_no_excuse() -> None:
    life = await made(slos=True)
    life.stage.telemetry.samples[GOOD] = {GATE_SHORT: 0.004, GATE_LONG: 0.004}
    await life.goes_on(60)
    await life.commits(web("v2"), api())
    life.stage.telemetry.samples[GOOD] = 0.5
    await life.goes_on(90)
    assert image(life.stage) == "v1"


async def test_a_signal_that_was_breached_before_and_recovers_is_blamed_if_it_is_breached_again(life: Life) -> None:
    life.stage.telemetry.values[QUERY] = 0.5
    await life.goes_on(60)
    await life.commits(web("v2"), api())
    life.stage.telemetry.values[QUERY] = 0.001
    await life.goes_on(90)
    life.stage.telemetry.values[QUERY] = 0.5
    await life.goes_on(40)
    assert image(life.stage) == "v1"


async def test_an_object_that_was_degraded_before_and_recovers_is_blamed_if_it_fails_again() -> None:
    life = await made(dict(ERRORS), rollback={"onUnhealthyFor": "1m", "watchFor": "30m"})
    await life.goes_on(1800)
    life.stage.cluster.bring_up(API, is_up=False)
    await life.runs()
    await life.goes_on(320)
    await life.commits(web("v2"), api())
    life.stage.cluster.bring_up(API)
    await life.runs()
    await life.goes_on(90)
    life.stage.cluster.bring_up(API, is_up=False)
    await life.runs()
    await life.goes_on(25)
    assert image(life.stage) == "v2"
    await life.goes_on(10)
    assert image(life.stage) == "v1"


# -- what waits on purpose ---------------------------------------------------------------------------------------------


def shop(image: str, **directives: str) -> dict[str, Any]:
    found = body("shop", of=ROLLOUT, spec={"replicas": 2, "image": image, "strategy": {"canary": {"steps": [{"pause": {}}]}}})
    found["metadata"]["annotations"] = {f"cvstate.io/{name}": value for name, value in directives.items()}
    return found


def says(life: Life, phase: str, **status: Any) -> None:
    """The controller of the Rollout writes its status."""
    generation = life.stage.cluster.objects[SHOP]["metadata"]["generation"]
    life.stage.cluster.tell(SHOP, {"observedGeneration": str(generation), "phase": phase, **status})


def pauses(life: Life) -> None:
    says(life, "Paused", message="CanaryPauseStep", pauseConditions=[{"reason": "CanaryPauseStep", "startTime": "2026-01-01T12:00:00Z"}])


@pytest.fixture
async def canary() -> Life:
    """A good revision with a Rollout, and a second one whose Rollout is at a pause that a person has to end."""
    stage = Stage()
    stage.cluster.served.add(ROLLOUT)
    stage.cluster.comes_up = lambda live: not live["spec"]["image"].startswith("bad")
    stage.telemetry.values[QUERY] = 0.001
    stage.spec = watching(ERRORS, **ROLLBACK)
    await stage.ask()
    life = Life(stage, await stage.commit(shop("v1", wave="0"), web()))
    says(life, "Healthy")
    await life.runs()
    await life.goes_on(200)
    assert outcomes(stage) == ["Healthy"]
    await life.commits(shop("v2", wave="0"), web("v2"))
    says(life, "Progressing", message="more replicas need to be updated")
    await life.goes_on(30)
    pauses(life)
    await life.runs()
    return life


async def test_a_canary_that_waits_for_a_person_is_neither_degraded_nor_given_up(canary: Life) -> None:
    outcome = await canary.goes_on(6 * 3600, step=60)
    assert (outcomes(canary.stage), outcome.quarantined) == (["Applied", "Healthy"], {})
    assert canary.stage.condition("Healthy") == ("False", "Progressing")
    (told,) = canary.stage.status["vital"]["unready"]
    assert (told["state"], told["reason"], told["message"]) == (
        "Progressing",
        "Waits",
        "waits on purpose: phase is Paused: CanaryPauseStep",
    )


async def test_once_a_person_lets_it_go_on_it_has_its_time_and_is_good(canary: Life) -> None:
    await canary.goes_on(6 * 3600, step=60)
    says(canary, "Progressing")
    await canary.runs()
    await canary.goes_on(240)
    assert outcomes(canary.stage) == ["Applied", "Healthy"]
    says(canary, "Healthy")
    await canary.runs()
    await canary.goes_on(200)
    assert outcomes(canary.stage) == ["Healthy", "Healthy"]


async def test_one_that_does_not_come_up_after_its_wait_is_given_up(canary: Life) -> None:
    await canary.goes_on(3600, step=60)
    says(canary, "Progressing")
    await canary.runs()
    await canary.goes_on(320)
    assert outcomes(canary.stage)[1] == "Unhealthy"
    assert canary.stage.status["history"][1]["evidence"][0].startswith(f"{SHOP}: ")


async def test_a_canary_that_its_controller_aborts_is_given_up(canary: Life) -> None:
    await canary.goes_on(3600, step=60)
    says(canary, "Degraded", message="RolloutAborted: metric errors failed")
    await canary.runs()
    await canary.goes_on(320)
    assert outcomes(canary.stage)[1] == "Unhealthy"


async def test_a_signal_that_is_breached_while_a_canary_waits_gives_it_up_at_once(canary: Life) -> None:
    await canary.goes_on(60)
    canary.stage.telemetry.values[QUERY] = 0.5
    await canary.goes_on(40)
    assert outcomes(canary.stage)[1] == "Unhealthy"


async def test_a_restart_while_a_canary_waits_gives_nothing_up(canary: Life) -> None:
    await canary.goes_on(3600, step=60)
    await canary.restarts()
    outcome = await canary.goes_on(3600, step=60)
    assert (outcomes(canary.stage), outcome.quarantined) == (["Applied", "Healthy"], {})


# -- what is not known -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("minutes", [5, 30])
async def test_a_signal_that_is_not_known_makes_it_neither_good_nor_bad(life: Life, minutes: int) -> None:
    await life.commits(web("v2"), api())
    life.stage.telemetry.values[QUERY] = Gap.UNREACHABLE
    outcome = await life.goes_on(60 * minutes)
    assert (image(life.stage), outcome.quarantined) == ("v2", {})
    assert outcomes(life.stage) == ["Applied", "Healthy"]
    assert life.stage.condition("Healthy") == ("Unknown", "TelemetryGap")


async def test_when_it_is_known_again_the_revision_is_good(life: Life) -> None:
    await life.commits(web("v2"), api())
    life.stage.telemetry.values[QUERY] = Gap.UNREACHABLE
    await life.goes_on(300)
    life.stage.telemetry.values[QUERY] = 0.001
    await life.goes_on(90)
    assert outcomes(life.stage) == ["Healthy", "Healthy"]


async def test_a_kind_that_cannot_be_seen_makes_it_not_good(life: Life) -> None:
    await life.commits(web("v2"), api())
    life.outcome = await life.stage.run(full=True)
    health = life.outcome.health
    assert not health.blind
    life.stage.telemetry.values[QUERY] = Gap.NO_DATA
    await life.goes_on(150)
    assert outcomes(life.stage)[0] == "Applied"


# -- while nothing is heard ---------------------------------------------------------------------------------------------

SILENCE = errors.NetworkError("nothing was heard")
KIND, CANARY = DEPLOYMENT.gvk.group_kind, ROLLOUT.gvk.group_kind


async def rolling() -> Life:
    """A second revision that was begun 20 s ago, and is on its way."""
    stage = Stage()
    stage.cluster.comes_up = lambda live: live["spec"]["image"] == "v1"
    stage.spec = spec(rollback={"onUnhealthyFor": "5m"})
    life = Life(stage, await stage.commit(web()))
    await life.goes_on(100)
    await life.commits(web("v2"))
    await life.goes_on(20)
    return life


async def hears_nothing(life: Life, seconds: float, *kinds: GroupKind) -> Outcome:
    """Nothing is told of these kinds for so long; then all is again."""
    life.stage.cluster.silent = dict.fromkeys(kinds or (KIND,), SILENCE)
    await life.runs()
    await life.goes_on(seconds)
    life.stage.cluster.silent = {}
    return await life.runs()


@pytest.mark.parametrize("outage", [200, 420, 6 * 3600])
async def test_after_an_outage_a_revision_has_the_time_that_was_left_and_becomes_good(outage: int) -> None:
    life = await rolling()
    await hears_nothing(life, outage)
    await life.goes_on(270)
    assert (image(life.stage), outcomes(life.stage)) == ("v2", ["Applied", "Healthy"])
    life.stage.cluster.bring_up(WEB)
    await life.runs()
    await life.goes_on(60)
    assert (image(life.stage), outcomes(life.stage)) == ("v2", ["Healthy", "Healthy"])


@pytest.mark.parametrize("outage", [200, 420])
async def test_one_that_is_stuck_is_given_up_in_the_time_that_was_left_after_an_outage(outage: int) -> None:
    life = await rolling()
    await hears_nothing(life, outage)
    await life.goes_on(290)
    assert (image(life.stage), len(life.outcome.quarantined)) == ("v1", 1)


async def test_an_outage_that_comes_again_and_again_counts_once_each_time() -> None:
    life = await rolling()
    for _ in range(5):
        await hears_nothing(life, 200)
        await life.goes_on(50)
    assert image(life.stage) == "v2"
    await life.goes_on(40)
    assert image(life.stage) == "v1"


async def test_time_that_is_lost_for_two_reasons_at_once_counts_once() -> None:
    life = await rolling()
    stage = life.stage
    stage.cluster.silent = {KIND: SILENCE}
    await life.runs()
    await life.goes_on(100)
    stage.spec = spec(suspend=True, rollback={"onUnhealthyFor": "5m"})
    await life.runs()
    await life.goes_on(100)
    stage.cluster.silent = {}
    await life.runs()
    await life.goes_on(100)
    stage.spec = spec(rollback={"onUnhealthyFor": "5m"})
    await life.runs()
    await life.goes_on(270)
    assert image(stage) == "v2"
    await life.goes_on(20)
    assert image(stage) == "v1"


async def test_a_kind_that_can_never_be_seen_puts_nothing_off() -> None:
    life = await rolling()
    stage = life.stage
    stage.cluster.served.add(ROLLOUT)
    await life.commits(web("v3"), shop("v1"))
    for kinds, seconds in ((CANARY,), 100), ((CANARY, KIND), 100), ((CANARY,), 190):
        stage.cluster.silent = dict.fromkeys(kinds, SILENCE)
        await life.runs()
        await life.goes_on(seconds)
    assert image(stage) == "v3"
    await life.goes_on(20)
    assert image(stage) == "v1", "no later than without the kind that is never seen"


async def test_one_that_waited_on_purpose_and_goes_on_has_its_time_after_an_outage(canary: Life) -> None:
    await canary.goes_on(3600, step=60)
    says(canary, "Progressing")
    await canary.runs()
    await hears_nothing(canary, 420, CANARY, KIND)
    await canary.goes_on(240)
    assert outcomes(canary.stage) == ["Applied", "Healthy"]
    await canary.goes_on(70)
    assert outcomes(canary.stage)[1] == "Unhealthy", "for as long as it may take, and no longer"


# -- without spec.rollback ---------------------------------------------------------------------------------------------


async def test_without_rollback_nothing_is_given_up_but_it_does_not_become_good() -> None:
    life = await made(dict(ERRORS), apply={})
    life.stage.cluster.comes_up = lambda live: False
    await life.commits(web("v2"), api())
    life.stage.telemetry.values[QUERY] = 0.5
    await life.goes_on(40)
    life.stage.cluster.bring_up(WEB)
    await life.runs()
    outcome = await life.goes_on(1200)
    assert (image(life.stage), outcome.quarantined, outcomes(life.stage)) == ("v2", {}, ["Applied", "Healthy"])
    life.stage.telemetry.values[QUERY] = 0.001
    await life.goes_on(90)
    assert outcomes(life.stage) == ["Healthy", "Healthy"]


# -- restarts ----------------------------------------------------------------------------------------------------------


async def test_a_restart_in_the_middle_of_the_watch_forgives_nothing(life: Life) -> None:
    await life.commits(web("v2"), api())
    await life.goes_on(30)
    await life.restarts()
    life.stage.telemetry.values[QUERY] = 0.5
    outcome = await life.goes_on(60)
    assert (image(life.stage), len(outcome.quarantined)) == ("v1", 1)


async def test_after_a_restart_a_signal_that_was_breached_before_is_not_blamed(life: Life) -> None:
    life.stage.telemetry.values[QUERY] = 0.5
    await life.goes_on(60)
    await life.commits(web("v2"), api())
    await life.goes_on(30)
    await life.restarts()
    outcome = await life.goes_on(1200)
    assert (image(life.stage), outcome.quarantined) == ("v2", {})


async def test_a_restart_after_it_was_given_up_leaves_it_given_up(life: Life) -> None:
    await life.commits(web("v2"), api())
    good = life.stage.git.pushed[next(iter(life.stage.git.pushed))]
    life.stage.git.kept[good.commit] = good
    life.stage.telemetry.values[QUERY] = 0.5
    await life.goes_on(40)
    assert image(life.stage) == "v1"
    life.stage.telemetry.values[QUERY] = 0.001
    await life.restarts()
    outcome = await life.goes_on(600)
    assert (image(life.stage), len(outcome.quarantined)) == ("v1", 1)


async def test_after_a_restart_an_object_that_was_degraded_before_is_not_blamed(life: Life) -> None:
    life.stage.cluster.bring_up(API, is_up=False)
    await life.runs()
    await life.goes_on(320)
    assert life.stage.condition("Healthy") == ("False", "Degraded")
    await life.commits(web("v2"), api())
    await life.goes_on(30)
    await life.restarts()
    outcome = await life.goes_on(1200)
    assert (image(life.stage), outcome.quarantined) == ("v2", {})


async def test_a_commit_that_is_found_at_the_start_is_not_blamed_for_what_was_degraded_before(life: Life) -> None:
    life.stage.cluster.bring_up(API, is_up=False)
    await life.runs()
    await life.goes_on(320)
    life.stage.git.commit(web("v2"), api())
    await life.restarts()
    outcome = await life.goes_on(1200)
    assert (image(life.stage), outcome.quarantined) == ("v2", {})


# -- what must not happen ----------------------------------------------------------------------------------------------


async def test_a_signal_of_which_nothing_was_known_before_is_no_evidence() -> None:
    life = await made()
    life.stage.telemetry.values[QUERY] = 0.5  # and it was so all the time
    life.stage.spec = watching(ERRORS, **ROLLBACK)
    await life.commits(web("v2"), api())
    outcome = await life.goes_on(60)
    assert (image(life.stage), outcome.quarantined) == ("v2", {})


async def test_one_that_was_healthy_in_time_is_not_told_to_be_late() -> None:
    life = await made(dict(ERRORS), rollback={"onUnhealthyFor": "5m", "watchFor": "30m"})
    await life.goes_on(1800)
    await life.commits(web("v2"), api())
    await life.goes_on(900)
    life.stage.telemetry.values[QUERY] = 0.5
    await life.goes_on(60)
    assert image(life.stage) == "v1"
    assert "not healthy within" not in life.stage.status["quarantined"][0]["message"]


async def test_a_value_that_flaps_around_its_bound_is_one_breach_if_it_has_a_time() -> None:
    life = await made({**ERRORS, "for": "10m"}, rollback={"onUnhealthyFor": "5m"})
    life.stage.telemetry.values[QUERY] = 0.5
    await life.goes_on(660)
    words = set()
    for number in range(40):
        life.stage.telemetry.values[QUERY] = 0.5 if number % 2 else 0.001
        await life.goes_on(30)
        words.add(life.stage.condition("Healthy"))
    assert words == {("False", "SignalBreached")}
