"""The actor of one ClusterState, on a real pipeline with the fakes of its ports.

Aspects: a pass that breaks off, and a fault of our own, are told in the status, and survived · another spec is announced to the other ClusterStates.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import pytest

from cvstate_operator import errors
from cvstate_operator.api.conditions import ConditionType
from cvstate_operator.operator.actor import Actor
from cvstate_operator.reconcile.outcome import Consent
from cvstate_operator.telemetry.metrics import Standing
from tests.unit.builders import OWNER, body
from tests.unit.reconcile.fakes import UID, FakeMeter, FakeReporter, Stage, spec


class Reporter(FakeReporter):
    """One that can be closed."""

    def __init__(self) -> None:
        super().__init__()
        self.plans: list[tuple[Consent, set[str]]] = []
        """What was shown to wait, and which digests are approved, after each pass."""
        self.finalizers: list[bool] = []
        """Whether ours was wanted, each time it was looked at."""

    async def write_plan(self, consent: Consent, *, revision: str, known: Iterable[object], needed: Collection[str]) -> None:
        self.plans.append((consent, set(needed)))

    async def write_finalizer(self, *, wanted: bool, found: Sequence[str]) -> None:
        self.finalizers.append(wanted)

    async def close(self) -> None:
        return

    def ready(self) -> dict[str, Any]:
        """The Ready condition that was written last."""
        conditions = self.statuses[-1]["conditions"] if self.statuses else ()
        return next((c for c in conditions if c["type"] == ConditionType.READY), {})


class Meter(FakeMeter):
    """One that takes what an actor counts as well."""

    def __init__(self) -> None:
        super().__init__()
        self.standings: list[Standing] = []

    def stands(self, standing: Standing) -> None:
        self.standings.append(standing)

    def close(self) -> None:
        return


def clusterstate(*, generation: int = 1, annotations: Mapping[str, str] | None = None, **fields: Any) -> dict[str, Any]:
    metadata = {"name": "state", "namespace": "default", "uid": UID, "generation": generation, "annotations": dict(annotations or {})}
    return {"metadata": metadata, "spec": spec(**fields).model_dump(by_alias=True, exclude_none=True, mode="json")}


async def until(claim: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not claim():
            await asyncio.sleep(0.005)


@pytest.fixture
def stage() -> Stage:
    stage = Stage()
    stage.git.commit(body("a", data={"colour": "blue"}))
    stage.index.claims.join(OWNER, stage.clock.monotonic())
    return stage


@pytest.fixture
def reporter() -> Reporter:
    return Reporter()


@pytest.fixture
def meter() -> Meter:
    return Meter()


@pytest.fixture
async def actor(stage: Stage, reporter: Reporter, meter: Meter) -> AsyncIterator[Actor]:
    actor = Actor(
        clusterstate(),
        pipeline=stage.pipeline,
        reporter=reporter,  # type: ignore[arg-type]
        meter=meter,  # type: ignore[arg-type]
        consents=stage.world.consents,
        edges={},
    )
    yield actor
    await actor.close(seconds=1)


async def test_a_pass_that_breaks_off_is_told(stage: Stage, reporter: Reporter, actor: Actor) -> None:
    stage.reporter.failures = [errors.ForbiddenError("may not patch ClusterStates; grant it")]
    await until(lambda: reporter.ready().get("reason") == "Forbidden")
    assert "may not patch ClusterStates" in reporter.ready()["message"]
    assert reporter.ready()["status"] == "False"


async def test_a_fault_of_our_own_is_told_and_does_not_stop_it(stage: Stage, reporter: Reporter, actor: Actor) -> None:
    await until(lambda: reporter.ready().get("status") == "True")
    stage.git.error = ZeroDivisionError("nobody foresaw this")  # type: ignore[assignment]
    actor.look_now()
    await until(lambda: reporter.ready().get("reason") == "InternalError")
    assert reporter.ready()["status"] == "False"
    assert "nobody foresaw this" not in reporter.ready()["message"], "the log has the details"
    stage.git.error = None
    stage.git.commit(body("a", data={"colour": "blue"}), body("b", data={"colour": "red"}))
    actor.look_now()
    await until(lambda: reporter.ready().get("status") == "True" and "b" in stage.names())


async def test_another_spec_has_the_others_wait_until_it_is_answered(stage: Stage, reporter: Reporter, actor: Actor) -> None:
    await until(lambda: reporter.ready().get("status") == "True")
    claims, now = stage.index.claims, stage.clock.monotonic()
    assert not claims.catch_up("another", now)
    actor.update(clusterstate(generation=2))
    assert claims.catch_up("another", now)
    await until(lambda: not claims.catch_up("another", now))
