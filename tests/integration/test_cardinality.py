"""How many series there are: 1,000 ClusterStates with 10,000 objects, through the metrics that the operator serves.

Aspects: series and bytes, and how long they take to be written out, as docs/slis.md states them · they grow with ClusterStates, and not with time, objects or
commits · what anybody may commit is bounded · all of it is given back.

Nothing here needs a cluster: the numbers are those of the real registry, filled as a pass fills it.
"""

import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

import pytest
from prometheus_client.exposition import generate_latest

from cvstate_operator.api.conditions import Condition, ConditionType, merge
from cvstate_operator.objects.identity import ObjectRef
from cvstate_operator.plan.history import Entry, Stage
from cvstate_operator.telemetry.metrics import ClusterStateMeter, Metrics, Standing, Step
from cvstate_operator.telemetry.rollout_metrics import MAX_KINDS
from cvstate_operator.telemetry.vital_metrics import VitalStanding

CLUSTERSTATES: Final = 1000
OBJECTS: Final = 10
"""Of each."""
KINDS: Final = (
    "Deployment",
    "Service",
    "ConfigMap",
    "Secret",
    "ServiceAccount",
    "Role",
    "RoleBinding",
    "Ingress",
    "PodDisruptionBudget",
    "NetworkPolicy",
)
MOST_A_CLUSTERSTATE: Final = 130
"""Series of one that uses everything, and had drift and failures of several kinds."""
MOST_OF_THE_PROCESS: Final = 500
"""Series that belong to no ClusterState, with ten kinds."""
NOON: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
PAGE: Final = Path(__file__).parents[2] / "docs" / "slis.md"

pytestmark = pytest.mark.integration


def standing(number: int) -> Standing:
    """Of one with signals, SLOs, an indicator, drift in some, and a closed gate in others."""
    has_drift, is_held = number % 5 == 0, number % 10 == 1
    return Standing(
        objects=OBJECTS,
        desired=OBJECTS,
        problems=0,
        drift={"High": 1} if has_drift else {},
        drift_since=NOON.timestamp() if has_drift else None,
        breakers=0,
        waiting=int(is_held),
        leaving=0,
        closed={"NewRevision": "WindowClosed", "Prune": "WindowClosed"} if is_held else {},
        vital=VitalStanding(
            compared={"AsDeclared": OBJECTS - 1, "HighDrift": 1} if has_drift else {"AsDeclared": OBJECTS},
            completeness=1.0,
            objects={"Ready": OBJECTS - 1, "Progressing": 1},
            signals={"Passing": 2},
            slos={"Met": 1},
            indicators={"Evictions": 0.0},
            pods_ready=1.0,
            budget_left=0.9,
            burn_rate=0.5,
        ),
    )


def status(number: int) -> dict[str, Any]:
    """Of the same."""
    is_ready = number % 5 != 0
    found = [
        Condition(ConditionType.READY, is_ready, "Reconciled" if is_ready else "DriftDetected"),
        Condition(ConditionType.HEALTHY, True, "Healthy"),
        Condition(ConditionType.ACCEPTED, True, "RequirementsMet"),
    ]
    return {
        "cv": {"score": 97, "confidence": 100, "configuration": 98, "vital": 97, "completeness": 100},
        "conditions": merge((), found, generation=1, now="2026-01-01T12:00:00Z"),
    }


def live(meter: ClusterStateMeter, number: int, *, passes: int) -> None:
    """What one ClusterState counts from its first commit on."""
    meter.recall(())
    for turn in range(passes):
        commit = f"{turn:040x}"
        written = {ObjectRef("", kind, "web", f"o{place}"): 0.1 for place, kind in enumerate(islice(cycle(KINDS), OBJECTS))}
        began = NOON + timedelta(hours=turn)
        meter.fetched(result="ok" if turn % 7 else "FetchFailed", seconds=0.2)
        for ref in written:
            meter.changed(kind=ref.kind, action="update" if turn else "create", result="ok")
        if number % 5 == 0:
            meter.drifted(kind=KINDS[turn % 3], severity="High")
            meter.remedied(action="Auto", severity="High", seconds=1.0)
            meter.repaired(seconds=0.05)
        meter.reconciled(result=("ok", "Progressing", "ServerError")[turn % 3], seconds=0.2)
        meter.stands(standing(number))
        meter.stepped(Step((Entry(f"main@sha1:{commit}", commit, began, Stage.HEALTHY, 30.0),), began, written))
        meter.status(status(number))


def meters(metrics: Metrics, count: int) -> Iterator[ClusterStateMeter]:
    return (ClusterStateMeter(metrics, namespace=f"team-{number % 50}", name=f"application-{number}") for number in range(count))


def series(exposed: bytes) -> int:
    return sum(not line.startswith(b"#") for line in exposed.splitlines())


def filled(count: int, *, passes: int = 4) -> Metrics:
    """Metrics of an operator that carried out so many ClusterStates."""
    metrics = Metrics()
    for action in ("get", "list", "apply", "patch", "delete", "create", "preview"):
        for result in ("ok", "Stale", "Throttled"):
            metrics.observe_request(action=action, result=result, seconds=0.01)
    metrics.observe_question("success", 0.01)
    for number, meter in enumerate(meters(metrics, count)):
        live(meter, number, passes=passes)
    return metrics


@pytest.fixture(scope="module")
def many() -> Metrics:
    return filled(CLUSTERSTATES)


def test_a_thousand_clusterstates_have_as_many_series_as_the_page_says(many: Metrics) -> None:
    began = time.process_time()
    exposed = many.expose()
    seconds = time.process_time() - began
    found, size = series(exposed), len(exposed) / 1e6
    print(
        f"{CLUSTERSTATES} ClusterStates, {CLUSTERSTATES * OBJECTS} objects: {found} series, {size:.1f} MB, {seconds:.2f} s of CPU to write out"
    )
    told = re.search(r"([\d,]+) series, ([\d.]+) MB", PAGE.read_text())
    assert told, "docs/slis.md states the figures"
    assert found == pytest.approx(int(told[1].replace(",", "")), rel=0.02)
    assert size == pytest.approx(float(told[2]), rel=0.05)


def cpu_seconds(write: Callable[[], object]) -> float:
    """Of this thread, the least of three: the first time labels are written too."""
    found = []
    for _ in range(3):
        began = time.thread_time()
        write()
        found.append(time.thread_time() - began)
    return min(found)


def test_a_scrape_costs_a_fraction_of_what_the_client_library_takes(many: Metrics) -> None:
    ours, theirs = cpu_seconds(many.expose), cpu_seconds(lambda: generate_latest(many.registry))
    print(f"{ours:.2f} s of CPU to write out, {theirs:.2f} s by prometheus-client")
    assert ours < theirs / 3


def test_each_clusterstate_has_a_bounded_number(many: Metrics) -> None:
    of_process = series(filled(0).expose())
    assert of_process < MOST_OF_THE_PROCESS
    assert (series(many.expose()) - of_process) / CLUSTERSTATES < MOST_A_CLUSTERSTATE


def test_series_do_not_grow_with_time() -> None:
    # Both end with a look at the source that succeeded: while one fails there is a series that says so.
    assert series(filled(20, passes=410).expose()) == series(filled(20, passes=41).expose())


def test_nobody_can_make_more_kinds_than_the_limit() -> None:
    metrics = filled(1)
    before = series(metrics.expose())
    meter = ClusterStateMeter(metrics, namespace="team-0", name="application-0")
    for number in range(10 * MAX_KINDS):
        meter.changed(kind=f"Kind{number}", action="create", result="ok")
        meter.stepped(Step(written={ObjectRef("x", f"Kind{number}", "web", "o"): 0.1}))
    buckets = sum(b"cvstate_convergence_seconds" in line and b'kind="ConfigMap"' in line for line in metrics.expose().splitlines())
    assert series(metrics.expose()) - before <= (MAX_KINDS + 1) * (1 + buckets)


def test_all_of_it_is_given_back(many: Metrics) -> None:
    for meter in meters(many, CLUSTERSTATES):
        meter.close()
    left = [line for line in many.expose().decode().splitlines() if 'name="application-' in line]
    assert left == []
