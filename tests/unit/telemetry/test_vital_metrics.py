"""Metrics of vital state. Aspects: series only with data · what goes with a ClusterState · counts fall to zero · how objects compare · cardinality."""

import time
from collections.abc import Mapping

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from cvstate_operator.api.drift import Severity
from cvstate_operator.telemetry.vital_metrics import VitalMetrics, VitalStanding, compared
from cvstate_operator.vital.verdicts.compliance import Configuration

SHOP, OTHER = ("team", "shop"), ("team", "other")
FULL = VitalStanding(
    compared={"AsDeclared": 3, "HighDrift": 1},
    completeness=0.5,
    missing={"NoData": 1},
    objects={"Ready": 3, "Degraded": 1},
    signals={"Passing": 2},
    slos={"Met": 1},
    indicators={"Evictions": 2.0},
    pods_ready=0.75,
    budget_left=0.4,
    burn_rate=1.5,
    exhausted_in=3600.0,
)
CV = {"score": 97, "confidence": 90, "configuration": 100, "vital": 94, "completeness": 50}
ACCEPTED = {"type": "Accepted", "status": "True"}
ALWAYS = {"cvstate_confidence", "cvstate_accepted"}


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> VitalMetrics:
    return VitalMetrics(registry)


def series(registry: CollectorRegistry, name: str = "shop") -> dict[str, float]:
    """Samples of a ClusterState, by name and remaining label."""
    found = {}
    for line in generate_latest(registry).decode().splitlines():
        if not line.startswith("#") and f'name="{name}"' in line:
            labels, value = line.rsplit(" ", 1)
            found[labels.replace(f'name="{name}",namespace="team"', "").replace(f'namespace="team",name="{name}"', "")] = float(value)
    return found


def names(registry: CollectorRegistry) -> set[str]:
    return {one.split("{")[0] for one in series(registry)}


def say(metrics: VitalMetrics, *, standing: VitalStanding = FULL, cv: Mapping[str, int] = CV, accepted: str = "True") -> None:
    """What a pass tells at its end."""
    metrics.tell(SHOP, standing)
    metrics.tell_status(SHOP, {"cv": cv, "conditions": [{**ACCEPTED, "status": accepted}]})


def test_only_what_is_known_has_a_series(registry: CollectorRegistry, metrics: VitalMetrics) -> None:
    say(metrics, standing=VitalStanding(), cv={}, accepted="Unknown")
    assert names(registry) == ALWAYS
    assert series(registry)["cvstate_accepted{}"] == -1


def test_every_metric_is_told_of(registry: CollectorRegistry, metrics: VitalMetrics) -> None:
    say(metrics)
    assert len(names(registry)) == len(list(metrics.all))
    assert series(registry)["cvstate_score{}"] == 97
    assert series(registry)['cvstate_objects_by_health{,result="Degraded"}'] == 1


def test_what_is_not_known_any_more_has_no_series_any_more(registry: CollectorRegistry, metrics: VitalMetrics) -> None:
    say(metrics)
    say(metrics, standing=VitalStanding(), cv={"confidence": 0})
    counted = {"objects_by_health", "signals", "slos"}
    assert names(registry) - ALWAYS == {f"cvstate_{name}" for name in counted}


def test_counts_fall_to_zero(registry: CollectorRegistry, metrics: VitalMetrics) -> None:
    metrics.tell(SHOP, VitalStanding(signals={"Breached": 2}, objects={"Failed": 3}))
    metrics.tell(SHOP, VitalStanding(signals={"Passing": 2}, objects={"Ready": 3}))
    found = series(registry)
    assert (found['cvstate_signals{,result="Breached"}'], found['cvstate_signals{,result="Passing"}']) == (0, 2)
    assert found['cvstate_objects_by_health{,result="Failed"}'] == 0


def test_an_indicator_that_is_not_known_any_more_has_no_series(registry: CollectorRegistry, metrics: VitalMetrics) -> None:
    metrics.tell(SHOP, VitalStanding(indicators={"Evictions": 0.0, "Restarts": 4.0}))
    metrics.tell(SHOP, VitalStanding(indicators={"Restarts": 5.0}))
    assert {one: value for one, value in series(registry).items() if "indicator" in one} == {'cvstate_indicator{kind="Restarts",}': 5.0}


@pytest.mark.parametrize(
    ("configuration", "counts"),
    [
        pytest.param(Configuration(0), {"AsDeclared": 0}, id="nothing is declared"),
        pytest.param(Configuration(4), {"AsDeclared": 4}, id="all is well"),
        pytest.param(
            Configuration(9, drift={Severity.CRITICAL: 1, Severity.LOW: 2}, failed=1, held=1, unjudged=1),
            {"AsDeclared": 3, "CriticalDrift": 1, "LowDrift": 2, "NotApplied": 1, "Held": 1, "Unjudged": 1},
            id="each counts once",
        ),
        pytest.param(Configuration(4, leaving=3), {"AsDeclared": 4}, id="what left Git is not declared"),
        pytest.param(Configuration(4, unseen=4), {"AsDeclared": 4}, id="a gap breaks nothing"),
        pytest.param(Configuration(1, failed=2), {"AsDeclared": 0, "NotApplied": 2}, id="a mistake of the counting is no negative number"),
        pytest.param(Configuration(4, is_evaluated=False), {}, id="never compared"),
    ],
)
def test_declared_objects_are_counted_by_how_they_compare(configuration: Configuration, counts: dict[str, int]) -> None:
    assert compared(configuration) == counts


def test_one_that_is_gone_leaves_nothing_and_takes_nothing_from_others(registry: CollectorRegistry, metrics: VitalMetrics) -> None:
    metrics.tell(SHOP, FULL)
    metrics.tell(OTHER, FULL)
    before = series(registry, "other")
    metrics.forget(SHOP)
    assert (series(registry), series(registry, "other")) == ({}, before)


def test_a_namesake_begins_without_old_words(registry: CollectorRegistry, metrics: VitalMetrics) -> None:
    metrics.tell(SHOP, VitalStanding(signals={"Breached": 2}))
    metrics.forget(SHOP)
    metrics.tell(SHOP, VitalStanding(signals={"Passing": 1}))
    assert [one for one in series(registry) if "signals" in one] == ['cvstate_signals{,result="Passing"}']


@pytest.mark.parametrize(("status", "number"), [("True", 1), ("False", 0), ("Unknown", -1)])
def test_accepted_tells_not_known_from_no(registry: CollectorRegistry, metrics: VitalMetrics, status: str, number: int) -> None:
    say(metrics, accepted=status)
    assert series(registry)["cvstate_accepted{}"] == number


def test_what_a_status_does_not_say_any_more_is_not_told_any_more(registry: CollectorRegistry, metrics: VitalMetrics) -> None:
    """A pass that broke off, and a spec that was refused, write a status without a word of the verdict."""
    say(metrics)
    metrics.tell_status(SHOP, {"cv": {"score": 97, "confidence": 0}, "conditions": []})
    found = series(registry)
    assert (found["cvstate_accepted{}"], found["cvstate_confidence{}"], found["cvstate_score{}"]) == (-1, 0, 97)
    gone = {
        "cvstate_configuration_score",
        "cvstate_vital_score",
        "cvstate_objects_by_configuration",
        "cvstate_telemetry_completeness_ratio",
    }
    assert names(registry).isdisjoint({*gone, "cvstate_telemetry_missing_sources"})


def test_series_grow_with_clusterstates_and_not_with_time(registry: CollectorRegistry, metrics: VitalMetrics) -> None:
    for number in range(200):
        metrics.tell(SHOP, VitalStanding(completeness=number / 200, missing={("NoData", "Stale")[number % 2]: number}))
    assert len(series(registry)) == 1 + 2


def test_labels_are_a_closed_set(metrics: VitalMetrics) -> None:
    assert {label for each in metrics.all for label in each._labelnames} == {"namespace", "name", "kind", "reason", "result"}


def cost(clusterstates: int) -> float:
    """CPU seconds of one report, the least of a few, while there are so many ClusterStates."""
    metrics = VitalMetrics(CollectorRegistry())
    for number in range(clusterstates):
        metrics.tell(("team", f"n{number}"), FULL)
    found = []
    for _ in range(5):
        began = time.process_time()
        for _ in range(20):
            metrics.tell(("team", "n5"), VitalStanding(completeness=1.0))
        found.append(time.process_time() - began)
    return min(found)


def test_a_report_costs_no_more_when_there_are_many_clusterstates() -> None:
    assert cost(1000) < 5 * cost(10)
