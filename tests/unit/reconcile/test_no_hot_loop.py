"""Objects that failed and then may not be written: their pause ends while nothing can be tried, and no pass may be due at once for that.

Aspects: by gate · by a wave that is not ready · by annotation · in a rollback · while a kind cannot be seen · they are tried when the way is free.
"""

from collections.abc import Callable
from typing import Any

import pytest

from cvstate_operator import errors
from tests.unit.builders import CONFIG_MAP, DEPLOYMENT, body, ref
from tests.unit.reconcile.fakes import Stage, spec

A, B = body("a", data={"colour": "blue"}), body("b", data={"colour": "blue"})
A_RED = body("a", data={"colour": "red"})


def suspend(stage: Stage) -> None:
    stage.spec = spec(suspend=True)


def stop(stage: Stage) -> None:
    stage.stop_reason = "oops"


def close(stage: Stage) -> None:
    stage.spec = spec(windows=[{"kind": "Deny", "schedule": "0 0 * * *", "duration": "1h", "timeZone": "UTC"}])


def blind(stage: Stage) -> None:
    stage.cluster.forbidden[CONFIG_MAP.gvk.group_kind] = errors.ForbiddenError("cannot list")


async def passes(stage: Stage, seconds: float = 60.0) -> int:
    """How often the pipeline runs by itself within that time."""
    begin, count = stage.clock.seconds, 0
    outcome = await stage.run()
    while outcome.next_pass_at is not None and outcome.next_pass_at <= begin + seconds and count < 1000:
        stage.clock.seconds = max(outcome.next_pass_at, stage.clock.seconds)
        outcome = await stage.run()
        count += 1
    return count


@pytest.mark.parametrize("gate", [suspend, stop, close, blind])
@pytest.mark.parametrize("is_new", [True, False], ids=["new-object", "new-manifest"])
async def test_a_failed_object_behind_a_closed_gate_keeps_nobody_busy(gate: Callable[[Stage], None], is_new: bool) -> None:
    stage = Stage()
    await stage.commit(B) if is_new else await stage.commit(A, B)
    stage.cluster.failures["a"] = [errors.ServerError("HTTP 500")]
    await stage.commit(A_RED, B)
    gate(stage)
    assert await passes(stage) <= 20


@pytest.mark.parametrize("gate", [suspend, stop, close])
async def test_a_failed_repair_behind_a_closed_gate_keeps_nobody_busy(gate: Callable[[Stage], None]) -> None:
    stage = Stage()
    await stage.commit(A, B)
    stage.cluster.failures["a"] = [errors.ServerError("HTTP 500")]
    stage.cluster.set_field(ref("a"), "data/colour", "red")
    await stage.run()
    gate(stage)
    assert await passes(stage) <= 20


@pytest.mark.parametrize("gate", [suspend, stop, close])
async def test_a_failed_delete_behind_a_closed_gate_keeps_nobody_busy(gate: Callable[[Stage], None]) -> None:
    stage = Stage()
    await stage.commit(A, B)
    stage.cluster.failures["b"] = [errors.ServerError("HTTP 500")]
    await stage.settle(await stage.commit(A_RED))
    gate(stage)
    assert await passes(stage) <= 20


async def test_a_failed_object_of_a_later_wave_keeps_nobody_busy_while_that_waits() -> None:
    stage = Stage()
    web = body("web", of=DEPLOYMENT, spec={"replicas": 1})
    late: dict[str, Any] = body("late")
    late["metadata"]["annotations"] = {"cvstate.io/wave": "1"}
    stage.cluster.comes_up = lambda live: True
    stage.cluster.failures["late"] = [errors.ServerError("HTTP 500")]
    await stage.commit(web, late)
    stage.cluster.bring_up(ref("web", of=DEPLOYMENT), is_up=False)
    assert await passes(stage) <= 20


async def test_a_failed_object_that_is_not_to_be_reconciled_any_more_keeps_nobody_busy() -> None:
    stage = Stage()
    await stage.commit(A, B)
    stage.cluster.failures["a"] = [errors.ServerError("HTTP 500")]
    await stage.commit(A_RED, B)
    quiet: dict[str, Any] = body("a", data={"colour": "green"})
    quiet["metadata"]["annotations"] = {"cvstate.io/reconcile": "Disabled"}
    outcome = await stage.commit(quiet, B)
    assert outcome.problems == ()
    assert await passes(stage) == 0


async def test_a_failed_stateful_set_that_a_rollback_leaves_keeps_nobody_busy() -> None:
    stage = Stage()
    stage.spec = spec(rollback={"onUnhealthyFor": "10s", "excludeKinds": ["ConfigMap"]})
    await stage.commit(A, B)
    stage.cluster.failures["a"] = [errors.ServerError("HTTP 500")]
    await stage.commit(A_RED, B)
    stage.clock.seconds += 10
    await stage.run()
    assert await passes(stage) <= 20


@pytest.mark.parametrize("gate", [suspend, stop, close])
async def test_what_failed_is_tried_again_when_the_gate_opens(gate: Callable[[Stage], None]) -> None:
    stage = Stage()
    await stage.commit(B)
    stage.cluster.failures["a"] = [errors.ServerError("HTTP 500")]
    await stage.commit(A, B)
    gate(stage)
    await passes(stage, 5)
    stage.cluster.failures.clear()
    stage.spec, stage.stop_reason = spec(), ""
    outcome = await stage.run()
    while not outcome.is_converged:
        outcome = await stage.wait(outcome)
    assert stage.names() == {"a", "b"}
