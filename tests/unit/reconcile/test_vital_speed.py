"""What vital state costs with 10,000 objects, 1,000 of them not ready, and 100 signals: CPU time and memory, never wall time.

The bounds are generous, about five times what was measured on one core of a cheap machine: they catch what grows with the square, not what is a little slower.

Aspects: everything at once · after one event · a whole pass over one drifted object · with all telemetry away · memory.
"""

import asyncio
import gc
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from cvstate_operator.reconcile.outcome import Outcome
from cvstate_operator.reconcile.readiness_index import ReadinessIndex
from cvstate_operator.reconcile.vital_side import VitalSide
from cvstate_operator.vital.reading import Gap
from tests.unit.builders import CONFIG_MAP, DEPLOYMENT, OWNER, body, ref
from tests.unit.reconcile.fakes import Stage
from tests.unit.reconcile.vital_specs import watching

OBJECTS, UNREADY, SIGNALS = 10_000, 1_000, 100
WORKLOADS = 5_000
OF = watching(*({"name": f"s{number}", "query": f"q{number}", "max": "1"} for number in range(SIGNALS)))


@dataclass
class Big:
    """All of these objects, after one pass."""

    runner: asyncio.Runner
    stage: Stage
    outcome: Outcome


async def made() -> tuple[Stage, Outcome]:
    stage = Stage()
    stage.spec = OF
    stage.telemetry.values = {f"q{number}": 0.5 for number in range(SIGNALS)}
    stage.cluster.comes_up = lambda live: int(live["metadata"]["name"]) >= UNREADY
    workloads = [body(str(number), of=DEPLOYMENT, spec={"replicas": 3}) for number in range(WORKLOADS)]
    plain = [body(str(number), data={"colour": "blue"}) for number in range(OBJECTS - WORKLOADS)]
    return stage, await stage.commit(*workloads, *plain)


@pytest.fixture(scope="module")
def big() -> Iterator[Big]:
    """What is garbage by then is no cost of ours."""
    with asyncio.Runner() as runner:
        stage, outcome = runner.run(made())
        assert outcome.desired == OBJECTS
        gc.collect()
        gc.freeze()
        yield Big(runner, stage, outcome)
        gc.unfreeze()


def side(stage: Stage) -> VitalSide:
    return VitalSide(stage.world, stage.pipeline._stages.revision, owner=OWNER, namespace="default", status={})


def evaluate(stage: Stage, of: VitalSide, outcome: Outcome) -> Outcome:
    """As the pipeline does at the end of a pass."""
    health = of.look(OF, stage.pipeline._stages.place.desired, unseen={}, missing=())
    return of.tell(OF, replace(outcome, health=health), fault="")


def seconds(work: Callable[[], Any], *, times: int = 3) -> float:
    """CPU seconds, of several tries the least."""
    found = []
    for _ in range(times):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return min(found)


def test_everything_at_once(big: Big) -> None:
    stage, outcome = big.stage, big.outcome
    fresh = side(stage)
    big.runner.run(fresh.ask(OF))
    began = time.process_time()
    found = evaluate(stage, fresh, outcome)
    took = time.process_time() - began
    print(f"{1e3 * took:.1f} ms of CPU time")
    assert found.health.counts.progressing == UNREADY
    assert found.health.counts.total == OBJECTS
    assert took < 0.2


def test_after_one_event(big: Big) -> None:
    stage, outcome = big.stage, big.outcome
    warm = side(stage)
    big.runner.run(warm.ask(OF))
    evaluate(stage, warm, outcome)
    one, is_up = ref("7", of=DEPLOYMENT), False

    def event() -> None:
        nonlocal is_up
        is_up = not is_up
        stage.cluster.bring_up(one, is_up=is_up)
        evaluate(stage, warm, outcome)

    took = seconds(event, times=4)
    print(f"{1e3 * took:.1f} ms of CPU time")
    assert took < 0.06


def test_without_an_event(big: Big) -> None:
    stage, outcome = big.stage, big.outcome
    warm = side(stage)
    big.runner.run(warm.ask(OF))
    evaluate(stage, warm, outcome)
    took = seconds(lambda: evaluate(stage, warm, outcome))
    print(f"{1e3 * took:.1f} ms of CPU time")
    assert took < 0.04


def test_with_all_telemetry_away(big: Big) -> None:
    stage, outcome = big.stage, big.outcome
    warm = side(stage)
    stage.telemetry.values = {f"q{number}": Gap.UNREACHABLE for number in range(SIGNALS)}
    big.runner.run(warm.ask(OF))
    stage.telemetry.values = {f"q{number}": 0.5 for number in range(SIGNALS)}
    evaluate(stage, warm, outcome)
    took = seconds(lambda: evaluate(stage, warm, outcome))
    print(f"{1e3 * took:.1f} ms of CPU time")
    assert took < 0.1


def test_a_whole_pass_over_one_drifted_object(big: Big) -> None:
    stage = big.stage
    big.runner.run(stage.pipeline.run(OF, full=False))
    found = []
    for colour in ("red", "green", "yellow"):
        stage.cluster.set_field(ref("7"), "data/colour", colour)
        began = time.process_time()
        outcome = big.runner.run(stage.pipeline.run(OF, full=False))
        found.append(time.process_time() - began)
        assert [done.ref.name for done in outcome.done] == ["7"]
    print(f"{1e3 * min(found):.1f} ms of CPU time")
    assert min(found) < 0.25


# -- memory ------------------------------------------------------------------------------------------------------------


def live(number: int, *, is_workload: bool) -> dict[str, Any]:
    """One that is ready."""
    if not is_workload:
        return body(str(number))
    found = body(str(number), of=DEPLOYMENT, spec={"replicas": 3})
    found["metadata"]["generation"] = 1
    counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), 3)
    return {**found, "status": {"observedGeneration": 1, **counts}}


@pytest.mark.parametrize(("is_workload", "most"), [(False, 8), (True, 512)], ids=["without-pods", "workload"])
def test_an_object_that_is_ready_takes_hardly_any_room(is_workload: bool, most: int) -> None:
    known = [
        (ref(str(number), of=DEPLOYMENT if is_workload else CONFIG_MAP), live(number, is_workload=is_workload)) for number in range(OBJECTS)
    ]
    index = ReadinessIndex()
    gc.collect()
    tracemalloc.start()
    for one, state in known:
        index.judge(one, OWNER, state)
    gc.collect()
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert not index.unready_of(OWNER)
    print(f"{size / OBJECTS:.0f} bytes for each")
    assert size / OBJECTS <= most


def test_what_is_kept_of_one_that_is_not_ready_is_bounded() -> None:
    known = [
        (ref(str(number), of=DEPLOYMENT), {**live(number, is_workload=True), "status": {"observedGeneration": 1}})
        for number in range(UNREADY)
    ]
    index = ReadinessIndex()
    tracemalloc.start()
    for one, state in known:
        index.judge(one, OWNER, state)
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(index.unready_of(OWNER)) == UNREADY
    print(f"{size / UNREADY:.0f} bytes for each")
    assert size / UNREADY <= 2048
