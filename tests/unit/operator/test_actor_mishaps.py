"""The actor of one ClusterState while its passes break off, on a real pipeline with the fakes of its ports.

Aspects: how often a new spec is tried whose pass breaks off.
"""

import asyncio
from typing import Any

import pytest

from cvstate_operator import errors
from tests.unit.builders import body
from tests.unit.operator.test_actor import Meter, Reporter, made
from tests.unit.reconcile.fakes import Stage

INTERVAL_SECONDS = 1
"""The shortest that a source may have."""


@pytest.fixture
def stage() -> Stage:
    stage = Stage()
    stage.git.commit(body("a", data={"colour": "blue"}))
    return stage


@pytest.mark.parametrize(
    "error", [ZeroDivisionError("nobody foresaw this"), errors.ServerTimeoutError("no answer")], ids=["fault", "timeout"]
)
async def test_a_new_spec_whose_pass_breaks_off_is_not_tried_all_the_time(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    passes = 0

    async def run(*_: Any, **__: Any) -> Any:
        nonlocal passes
        passes += 1
        raise error

    monkeypatch.setattr(stage.pipeline, "run", run)
    actor = made(stage, Reporter(), Meter(), source={"git": {"url": "https://git.example/web", "interval": f"{INTERVAL_SECONDS}s"}})
    await asyncio.sleep(1.5 * INTERVAL_SECONDS)
    await actor.close(seconds=1)
    assert 1 <= passes <= 5
