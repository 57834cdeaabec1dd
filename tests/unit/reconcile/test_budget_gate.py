"""The gate of the error budget, and what spec.gates makes of gates, in passes of the pipeline.

Aspects: while a budget burns new revisions wait, and nothing else does · a person lets one commit pass · Warn and Off · the gate opens by itself · what is not
known leaves it as it was · starts and restarts.
"""

from typing import Any

import pytest

from cvstate_operator import errors
from cvstate_operator.vital.reading import Gap
from tests.unit.builders import DEPLOYMENT, body, ref
from tests.unit.reconcile.fakes import Stage, spec
from tests.unit.reconcile.vital_specs import GOOD, SLO, Life, watching

WEB = ref("web", of=DEPLOYMENT)
BURNING = 0.01
"""Share of errors; ten times what the budget of 99.9 % allows."""


def web(image: str = "v1") -> dict[str, Any]:
    return body("web", of=DEPLOYMENT, spec={"replicas": 1, "image": image})


def image(stage: Stage) -> str:
    return str(stage.cluster.objects[WEB]["spec"]["image"])


async def made(**fields: Any) -> Life:
    """A good revision, and an error budget that lasts."""
    stage = Stage()
    stage.cluster.comes_up = lambda live: not live["spec"]["image"].startswith("bad")
    stage.telemetry.samples[GOOD] = 0.0
    stage.spec = watching(slos=[SLO], **fields)
    await stage.ask()
    life = Life(stage, await stage.commit(web(), body("a", data={"colour": "blue"}), body("b")))
    await life.goes_on(60)
    assert stage.ready()[0] == "True"
    return life


async def burns(life: Life, share: float | Gap = BURNING) -> None:
    """From now on so many events fail, and that is known."""
    life.stage.telemetry.samples[GOOD] = share
    await life.goes_on(120)


@pytest.fixture
async def life() -> Life:
    return await made()


A, B = body("a", data={"colour": "blue"}), body("b")


# -- what waits --------------------------------------------------------------------------------------------------------


async def test_a_budget_that_burns_holds_a_new_revision_and_says_so(life: Life) -> None:
    await burns(life)
    await life.commits(web("v2"), A, B)
    assert (image(life.stage), life.stage.ready()) == ("v1", ("False", "ErrorBudgetBurning"))
    assert "SLO availability" in life.stage.message()
    assert "--fix" in life.stage.message()


async def test_a_budget_that_lasts_holds_nothing(life: Life) -> None:
    await life.commits(web("v2"), A, B)
    assert image(life.stage) == "v2"


# -- what goes on ------------------------------------------------------------------------------------------------------


async def test_repairs_go_on(life: Life) -> None:
    await burns(life)
    await life.commits(web("v2"), A, B)
    life.stage.cluster.set_field(ref("a"), "data/colour", "red")
    await life.runs()
    assert life.stage.cluster.objects[ref("a")]["data"]["colour"] == "blue"
    life.stage.cluster.delete(ref("b"))
    await life.runs()
    assert "b" in life.stage.names()


async def test_what_left_git_before_is_still_deleted(life: Life) -> None:
    outcome = await life.commits(web(), A)
    assert outcome.pending
    life.stage.telemetry.samples[GOOD] = BURNING
    life.stage.clock.seconds += 30
    await life.stage.ask()
    await life.stage.settle(outcome)
    assert life.stage.names() == {"web", "a"}


async def test_a_rollback_goes_on() -> None:
    life = await made(rollback={"onUnhealthyFor": "5m"})
    await life.commits(web("bad"), A, B)
    await burns(life, 0.0)
    life.stage.telemetry.samples[GOOD] = BURNING
    await life.goes_on(320)
    assert (image(life.stage), life.stage.ready()) == ("v1", ("False", "RolledBack"))


async def test_a_revision_that_was_begun_before_goes_on(life: Life) -> None:
    life.stage.cluster.failures["web"] = [errors.ServerError("HTTP 500")] * 3
    await life.commits(web("v2"), body("a", data={"colour": "red"}), B)
    assert life.stage.cluster.objects[ref("a")]["data"]["colour"] == "red"
    life.stage.telemetry.samples[GOOD] = BURNING
    life.stage.clock.seconds += 30
    await life.stage.ask()
    life.stage.cluster.failures.clear()
    await life.goes_on(300)
    assert image(life.stage) == "v2"


# -- a person lets it pass ---------------------------------------------------------------------------------------------


async def test_a_person_lets_exactly_one_commit_pass(life: Life) -> None:
    await burns(life)
    await life.commits(web("v2"), A, B)
    assert life.stage.git.head is not None
    life.stage.told(fix="f" * 40)
    await life.runs()
    assert image(life.stage) == "v1"
    life.stage.told(fix=life.stage.git.head.commit)
    await life.runs()
    assert (image(life.stage), life.stage.ready()[0]) == ("v2", "True")
    await life.commits(web("v3"), A, B)
    assert (image(life.stage), life.stage.ready()) == ("v2", ("False", "ErrorBudgetBurning"))


# -- Warn and Off ------------------------------------------------------------------------------------------------------


async def test_a_gate_that_warns_tells_once_and_holds_nothing() -> None:
    life = await made(gates={"errorBudget": "Warn"})
    await burns(life)
    await life.commits(web("v2"), A, B)
    assert image(life.stage) == "v2"
    told = [event for event in life.stage.events if event.reason == "ErrorBudgetBurning"]
    assert [event.kind for event in told] == ["Warning"]
    await life.runs()
    assert not [event for event in life.stage.events if event.reason == "ErrorBudgetBurning"]


async def test_a_gate_that_is_off_says_nothing() -> None:
    life = await made(gates={"errorBudget": "Off"})
    await burns(life)
    await life.commits(web("v2"), A, B)
    assert image(life.stage) == "v2"
    assert not [event for event in life.stage.events if event.reason == "ErrorBudgetBurning"]


CLOSED = [{"kind": "Deny", "schedule": "0 0 * * *", "duration": "1h", "timeZone": "UTC"}]


@pytest.mark.parametrize(("mode", "applied", "warned"), [("Hold", False, False), ("Warn", True, True), ("Off", True, False)])
async def test_what_closed_windows_do_is_said_by_the_spec_too(mode: str, applied: bool, warned: bool) -> None:
    stage = Stage()
    stage.spec = spec(windows=CLOSED, gates={"windows": mode})
    await stage.commit(body("a"))
    assert ("a" in stage.names()) is applied
    assert bool([event for event in stage.events if event.reason == "WindowClosed" and "only warns" in event.message]) is warned


async def test_a_closed_window_that_only_warns_is_told_once() -> None:
    stage = Stage()
    stage.spec = spec(windows=CLOSED, gates={"windows": "Warn"})
    await stage.commit(body("a"))
    assert len([event for event in stage.events if event.reason == "WindowClosed"]) == 1


async def test_an_emergency_stop_is_never_only_warned_of() -> None:
    life = await made(gates={"errorBudget": "Off", "windows": "Off"})
    life.stage.stop_reason = "red button"
    await life.commits(web("v2"), A, B)
    assert image(life.stage) == "v1"


# -- it opens ----------------------------------------------------------------------------------------------------------


async def test_when_the_budget_lasts_again_the_held_revision_goes_out_by_itself(life: Life) -> None:
    await burns(life)
    await life.commits(web("v2"), A, B)
    life.stage.telemetry.samples[GOOD] = 0.0
    await life.goes_on(2400)
    assert (image(life.stage), life.stage.ready()[0]) == ("v2", "True")


async def test_what_is_not_known_leaves_it_closed(life: Life) -> None:
    await burns(life)
    await life.commits(web("v2"), A, B)
    life.stage.telemetry.samples[GOOD] = Gap.UNREACHABLE
    await life.goes_on(7200, step=15)
    assert image(life.stage) == "v1"


async def test_what_is_not_known_leaves_it_open(life: Life) -> None:
    await burns(life, Gap.UNREACHABLE)
    await life.goes_on(3600, step=15)
    await life.commits(web("v2"), A, B)
    assert image(life.stage) == "v2"


# -- starts and restarts -----------------------------------------------------------------------------------------------


async def test_the_first_commit_waits_for_the_first_answer_and_no_longer() -> None:
    stage = Stage()
    stage.telemetry.samples[GOOD] = 0.0
    stage.spec = watching(slos=[SLO])
    life = Life(stage, await stage.commit(web()))
    assert stage.names() == set()
    await life.goes_on(5)
    assert stage.names() == {"web"}


async def test_a_closed_gate_stays_closed_over_a_restart(life: Life) -> None:
    await burns(life)
    await life.commits(web("v2"), A, B)
    good = next(one for one in life.stage.git.pushed.values() if one is not life.stage.git.head)
    life.stage.git.kept[good.commit] = good
    life.stage.telemetry.samples[GOOD] = Gap.UNREACHABLE
    await life.restarts()
    await life.goes_on(600)
    assert image(life.stage) == "v1"


async def test_a_commit_that_is_found_at_the_start_waits_for_the_first_answer_and_no_longer(life: Life) -> None:
    life.stage.git.commit(web("v2"), A, B)
    await life.restarts()
    await life.goes_on(60)
    assert image(life.stage) == "v2"


async def test_a_gate_that_warns_says_nothing_before_it_was_asked() -> None:
    stage = Stage()
    stage.telemetry.samples[GOOD] = 0.0
    stage.spec = watching(slos=[SLO], gates={"errorBudget": "Warn"})
    await stage.commit(web())
    assert not [event for event in stage.events if event.reason == "ErrorBudgetBurning"]


async def test_what_burns_is_not_kept_in_place_by_its_own_gate() -> None:
    life = await made(rollback={"onUnhealthyFor": "5m", "watchFor": "10m"})
    await life.goes_on(660, step=60)
    assert [entry["outcome"] for entry in life.stage.status["history"]] == ["Healthy"]
    await life.commits(web("v2"), A, B)
    life.stage.git.commit(web("v3"), A, B)
    life.stage.telemetry.samples[GOOD] = BURNING
    life.stage.clock.seconds += 30
    await life.stage.ask()
    await life.stage.look()
    await life.runs()
    await life.goes_on(600, step=15)
    assert image(life.stage) == "v1", "back to what was good; the newer one goes on from the bad one, and waits"
    assert life.stage.ready() == ("False", "RolledBack")
    assert "v3" not in image(life.stage)
    told = life.stage.message()
    assert "worse since it was begun: SLO availability" in told
    assert "waits: SLO availability" in told
    life.stage.telemetry.samples[GOOD] = 0.0
    await life.goes_on(600, step=15)
    assert image(life.stage) == "v3"
    assert life.stage.status.get("quarantined") is None
