"""Waves in passes of the pipeline: objects that name a wave come after those of the earlier ones.

Aspects: later waves wait until what is before them is applied and ready · what fails or is not ready holds only later waves · repairs do not wait ·
a newer commit pre-empts · deletes wait for all · the kinds' own order within a wave.
"""

from typing import Any

import pytest

from cvstate_operator import errors
from cvstate_operator.objects.identity import ApiResource
from cvstate_operator.plan.changes import Action
from tests.unit.builders import CONFIG_MAP, DEPLOYMENT, NAMESPACE, WIDGET, body, ref
from tests.unit.reconcile.fakes import Stage, actions, spec


def of_wave(name: str, wave: int, *, of: ApiResource = CONFIG_MAP, **fields: Any) -> dict[str, Any]:
    made = body(name, of=of, **fields)
    made["metadata"]["annotations"] = {"cvstate.io/wave": str(wave)}
    return made


def web(wave: int = 1, *, image: str = "web:1") -> dict[str, Any]:
    return of_wave("web", wave, of=DEPLOYMENT, spec={"replicas": 1, "image": image})


WEB = ref("web", of=DEPLOYMENT)
BASE, LATE, LAST = body("base"), of_wave("late", 2), of_wave("last", 3)


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def test_waves_are_applied_in_the_order_of_their_numbers(stage: Stage) -> None:
    await stage.commit(LAST, of_wave("first", -1), LATE, BASE)
    assert [name for _, name in stage.cluster.writes] == ["first", "base", "late", "last"]


async def test_the_number_counts_more_than_the_order_of_kinds(stage: Stage) -> None:
    await stage.commit(body("base"), of_wave("team", 1, of=NAMESPACE), of_wave("after", 1))
    assert [name for _, name in stage.cluster.writes] == ["base", "team", "after"]


async def test_a_later_wave_waits_until_the_earlier_one_is_ready(stage: Stage) -> None:
    outcome = await stage.commit(BASE, web(), LATE)
    assert (stage.names(), outcome.held.later) == ({"base", "web"}, 1)
    assert stage.ready() == ("False", "WaveNotReady")
    assert "apps/Deployment/default/web" in stage.message()
    stage.cluster.bring_up(WEB, is_up=False)
    await stage.run()
    assert stage.names() == {"base", "web"}
    stage.cluster.bring_up(WEB)
    outcome = await stage.run()
    assert actions(outcome) == {"late": Action.CREATE}
    assert outcome.is_converged


async def test_without_waiting_a_wave_has_only_to_be_applied(stage: Stage) -> None:
    stage.spec = spec(apply={"wait": False})
    outcome = await stage.commit(BASE, web(), LATE)
    assert (stage.names(), outcome.is_converged) == ({"base", "web", "late"}, True)


async def test_an_object_that_no_controller_looked_at_holds_nothing_and_is_not_healthy(stage: Stage) -> None:
    stage.cluster.served.add(WIDGET._replace(has_status=True))
    outcome = await stage.commit(of_wave("gear", 1, of=WIDGET), LATE)
    assert (stage.names(), outcome.is_converged) == ({"gear", "late"}, True)
    assert stage.condition("Healthy")[0] == "Unknown"
    assert stage.status["vital"]["objects"]["unknown"] == 1
    stage.cluster.tell(ref("gear", of=WIDGET), {"conditions": [{"type": "Ready", "status": "False"}]})
    await stage.run()
    assert stage.condition("Healthy")[0] == "False"
    stage.cluster.tell(ref("gear", of=WIDGET), {"conditions": [{"type": "Ready", "status": "True"}]})
    await stage.run()
    assert stage.condition("Healthy")[0] == "True"


async def test_an_update_makes_later_waves_wait_until_it_is_rolled_out(stage: Stage) -> None:
    stage.cluster.comes_up = lambda live: True
    await stage.commit(web(), LATE)
    stage.cluster.comes_up = None
    outcome = await stage.commit(web(image="web:2"), of_wave("late", 2, data={"x": "y"}))
    assert actions(outcome) == {"web": Action.UPDATE}
    stage.cluster.bring_up(WEB)
    assert actions(await stage.run()) == {"late": Action.UPDATE}


async def test_an_object_that_fails_holds_later_waves_and_no_others(stage: Stage) -> None:
    stage.cluster.failures["base"] = [errors.ServerError("HTTP 500")]
    outcome = await stage.commit(BASE, body("beside"), of_wave("before", -1), LATE)
    assert stage.names() == {"before", "beside"}
    assert [p.object for p in outcome.problems] == ["ConfigMap/default/base"]
    del stage.cluster.failures["base"]
    outcome = await stage.wait(outcome)
    assert stage.names() == {"before", "beside", "base", "late"}
    assert outcome.is_converged


async def test_an_object_of_the_last_wave_that_is_not_ready_holds_nothing(stage: Stage) -> None:
    outcome = await stage.commit(BASE, web())
    assert (outcome.is_converged, outcome.held.frontier) == (True, None)


async def test_repairs_of_later_waves_do_not_wait(stage: Stage) -> None:
    stage.cluster.comes_up = lambda live: True
    await stage.commit(web(), LATE)
    stage.cluster.bring_up(WEB, is_up=False)
    stage.cluster.delete(ref("late"))
    assert actions(await stage.run()) == {"late": Action.REPAIR}


async def test_an_object_of_a_later_wave_that_is_deleted_while_its_newer_manifest_waits_is_made_in_its_turn(stage: Stage) -> None:
    stage.cluster.comes_up = lambda live: True
    await stage.commit(web(), LATE)
    stage.cluster.comes_up = None
    await stage.commit(web(image="web:2"), of_wave("late", 2, data={"x": "y"}))
    stage.cluster.delete(ref("late"))
    outcome = await stage.run()
    assert (outcome.done, outcome.held.later) == ((), 1)
    stage.cluster.bring_up(WEB)
    assert actions(await stage.run()) == {"late": Action.CREATE}


async def test_a_newer_commit_takes_the_place_of_one_that_waits(stage: Stage) -> None:
    await stage.commit(web(image="bad"), LATE)
    outcome = await stage.commit(web(image="good"), of_wave("late", 2, data={"x": "y"}))
    assert actions(outcome) == {"web": Action.UPDATE}
    stage.cluster.bring_up(WEB)
    await stage.run()
    assert stage.cluster.objects[ref("late")]["data"] == {"x": "y"}
    assert stage.status["history"][1]["outcome"] == "Superseded"


async def test_a_commit_that_is_stuck_in_a_wave_lets_what_left_git_go_only_at_its_end(stage: Stage) -> None:
    await stage.commit(BASE, body("old"))
    outcome = await stage.settle(await stage.commit(BASE, web(), LATE))
    outcome = await stage.settle(outcome)
    assert "old" in stage.names()
    stage.cluster.bring_up(WEB)
    await stage.settle(await stage.run())
    assert stage.names() == {"base", "web", "late"}


async def test_a_wave_that_waits_costs_no_pass_by_itself(stage: Stage) -> None:
    outcome = await stage.commit(BASE, web(), LATE)
    assert outcome.next_pass_at == stage.clock.seconds + 300, "nothing but the moment at which what it waits for counts as degraded"
    assert (await stage.wait(outcome)).next_pass_at is None


async def test_after_a_restart_a_wave_that_waits_goes_on_where_it_was(stage: Stage) -> None:
    await stage.commit(BASE, web(), LATE)
    stage.restart(status=stage.status)
    await stage.look()
    outcome = await stage.run(full=True)
    assert (outcome.done, outcome.held.later) == ((), 1)
    stage.cluster.bring_up(WEB)
    assert actions(await stage.run()) == {"late": Action.CREATE}


async def test_after_a_restart_what_a_later_wave_brings_is_new_and_did_not_vanish(stage: Stage) -> None:
    stage.cluster.comes_up = lambda live: live["spec"]["image"] == "web:1"
    await stage.commit(web())
    await stage.commit(web(image="web:2"), LATE)
    stage.restart(status=stage.status)
    await stage.look()
    outcome = await stage.run(full=True)
    assert (outcome.done, outcome.held.later, stage.names()) == ((), 1, {"web"})
