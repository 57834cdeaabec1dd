"""Readings of the indicators that the operator counts itself.

Aspects: values and the object that counts most · nothing to count · one namespace of many that cannot be read · which gap is told · how old a value is · heartbeats by Lease
and by status · requests · one value each.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cvstate_operator.vital.cluster import indicators
from cvstate_operator.vital.cluster.holdings import Claims, QuotaUse
from cvstate_operator.vital.cluster.indicators import Requests
from cvstate_operator.vital.cluster.look import Look, Seen, Unseen
from cvstate_operator.vital.cluster.node_facts import NodeFacts
from cvstate_operator.vital.cluster.pod_tally import PodCounts
from cvstate_operator.vital.facts.replicas import Replicas
from cvstate_operator.vital.reading import Gap, Reading

NOW = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)
EARLIER = NOW - timedelta(seconds=40)
REFUSED = Unseen(Gap.REFUSED, "pods is forbidden")
SILENT = Unseen(Gap.UNREACHABLE, "no answer", EARLIER)
Join = Callable[..., Reading]


def value(reading: Reading) -> float:
    """The one value of a reading."""
    assert reading.gap is None, reading
    assert reading.low is not None
    assert (reading.low, reading.low_series) == (reading.high, reading.high_series)
    return reading.low


def seen(found: Any, *, as_of: datetime = NOW) -> Seen[Any]:
    return Seen(found, as_of)


# -- Pods ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("workloads", "ratio"),
    [
        pytest.param([Replicas(3, 3), Replicas(1, 1)], 1.0, id="all"),
        pytest.param([Replicas(3, 0), Replicas(1, 1)], 0.25, id="by Pods, not by workloads"),
        pytest.param([Replicas(0, 0)], 1.0, id="scaled to nothing"),
        pytest.param([Replicas(2, 0)], 0.0, id="none"),
    ],
)
def test_ready_pods_are_told_of_those_asked_for(workloads: list[Replicas], ratio: float):
    assert value(indicators.pods_ready(workloads, now=NOW)) == ratio


def test_without_workloads_no_pods_are_ready_or_not():
    assert indicators.pods_ready([], now=NOW).gap is Gap.NO_DATA


COUNTS = {
    "a": seen(PodCounts(restarts=1, restarted="a-1", evictions=4, evicted="a-2", pending=1, longest_pending="a-3")),
    "b": seen(PodCounts(restarts=5, restarted="b-1", longest_wait_seconds=77.0, longest_waiting="b-2")),
}


@pytest.mark.parametrize(
    ("join", "expected", "series"),
    [
        (indicators.restarts, 6, '{namespace="b",pod="b-1"}'),
        (indicators.evictions, 4, '{namespace="a",pod="a-2"}'),
        (indicators.pods_pending, 1, '{namespace="a",pod="a-3"}'),
        (indicators.scheduling_seconds, 77, '{namespace="b",pod="b-2"}'),
    ],
)
def test_pods_of_all_namespaces_are_joined_and_the_one_that_counts_most_is_named(join: Join, expected: float, series: str):
    reading = join(COUNTS, now=NOW)
    assert (value(reading), reading.high_series) == (expected, series)


@pytest.mark.parametrize("join", [indicators.restarts, indicators.evictions, indicators.pods_pending, indicators.scheduling_seconds])
def test_what_did_not_happen_is_zero_and_names_nobody(join: Join):
    reading = join({"a": seen(PodCounts())}, now=NOW)
    assert (value(reading), reading.high_series) == (0.0, "")


# -- what cannot be read -------------------------------------------------------------------------------------------------

BY_NAMESPACE: Mapping[Join, Any] = {
    indicators.restarts: PodCounts(),
    indicators.evictions: PodCounts(),
    indicators.pods_pending: PodCounts(),
    indicators.scheduling_seconds: PodCounts(),
    indicators.volumes_bound: Claims(1, 1),
    indicators.quota_used: (QuotaUse("q", "pods", 0.5, is_told=True),),
}
each_join = pytest.mark.parametrize("join", BY_NAMESPACE, ids=lambda join: join.__name__)


@each_join
def test_one_namespace_that_may_not_be_read_leaves_no_value(join: Join):
    reading = join({"a": seen(BY_NAMESPACE[join]), "b": REFUSED}, now=NOW)
    assert (reading.gap, reading.low, reading.high) == (Gap.REFUSED, None, None)
    assert reading.message == "namespace b: pods is forbidden"


@each_join
def test_a_refusal_is_told_before_what_may_pass(join: Join):
    reading = join({"a": SILENT, "b": seen(BY_NAMESPACE[join]), "c": REFUSED}, now=NOW)
    assert (reading.gap, reading.message) == (Gap.REFUSED, "namespace c and 1 more: pods is forbidden")


@each_join
def test_a_gap_says_when_it_was_known_last(join: Join):
    reading = join({"a": SILENT}, now=NOW)
    assert (reading.gap, reading.taken_at, reading.asked_at) == (Gap.UNREACHABLE, EARLIER, NOW)


@each_join
def test_without_namespaces_there_is_nothing_to_read(join: Join):
    assert join({}, now=NOW).gap is Gap.NO_DATA


@each_join
def test_a_value_is_as_old_as_its_oldest_part(join: Join):
    found = BY_NAMESPACE[join]
    assert join({"a": seen(found, as_of=EARLIER), "b": seen(found)}, now=NOW).taken_at == EARLIER


# -- nodes ---------------------------------------------------------------------------------------------------------------


def node(name: str, *pressures: str, ready: bool = True, tells: bool = True, heard: float | None = 100) -> NodeFacts:
    return NodeFacts(name, ready, pressures, tells, None if heard is None else NOW - timedelta(seconds=heard))


def beats(**ages: float) -> Look[Mapping[str, datetime]]:
    return Seen({name: NOW - timedelta(seconds=age) for name, age in ages.items()}, NOW)


def nodes(*found: NodeFacts) -> Look[tuple[NodeFacts, ...]]:
    return Seen(found, NOW)


def test_a_node_counts_if_it_is_ready_and_was_heard_of_within_a_minute():
    reading = indicators.nodes_ready(nodes(node("a"), node("b", ready=False), node("c"), node("d")), beats(a=9, b=9, c=61, d=59), now=NOW)
    assert (value(reading), reading.low_series) == (0.5, '{node="b"}')


def test_a_lease_gets_no_older_by_our_not_looking():
    leases = Seen({"a": EARLIER - timedelta(seconds=30)}, EARLIER)
    reading = indicators.nodes_ready(nodes(node("a")), leases, now=NOW)
    assert (value(reading), reading.taken_at) == (1.0, EARLIER)


@pytest.mark.parametrize(("heard", "ratio"), [(299, 1.0), (359, 1.0), (361, 0.0), (None, 0.0)])
def test_without_a_lease_the_status_of_a_node_has_to_do(heard: float | None, ratio: float):
    for leases in (beats(), Unseen(Gap.REFUSED, "leases is forbidden")):
        assert value(indicators.nodes_ready(nodes(node("a", heard=heard)), leases, now=NOW)) == ratio


def test_leases_that_did_not_come_are_no_silent_nodes():
    reading = indicators.nodes_ready(nodes(node("a")), SILENT, now=NOW)
    assert (reading.gap, reading.low, reading.taken_at) == (Gap.UNREACHABLE, None, EARLIER)


def test_nodes_that_may_not_be_read_are_neither_ready_nor_short():
    assert indicators.nodes_ready(REFUSED, beats(), now=NOW).gap is Gap.REFUSED
    assert indicators.nodes_under_pressure(REFUSED, now=NOW).gap is Gap.REFUSED


def test_a_cluster_without_nodes_tells_nothing():
    assert indicators.nodes_ready(nodes(), beats(), now=NOW).gap is Gap.NO_DATA
    assert indicators.nodes_under_pressure(nodes(), now=NOW).gap is Gap.NO_DATA


def test_nodes_that_are_short_of_something_count_once_each():
    reading = indicators.nodes_under_pressure(
        nodes(node("a"), node("b", "DiskPressure", "PIDPressure"), node("c", "MemoryPressure")), now=NOW
    )
    assert (value(reading), reading.high_series) == (2.0, '{node="b",condition="DiskPressure"}')


def test_silent_nodes_are_under_no_pressure_that_is_known_unless_all_are_silent():
    assert value(indicators.nodes_under_pressure(nodes(node("a"), node("b", tells=False)), now=NOW)) == 0.0
    assert indicators.nodes_under_pressure(nodes(node("a", tells=False), node("b", tells=False)), now=NOW).gap is Gap.NO_DATA


# -- claims and quotas ---------------------------------------------------------------------------------------------------


def test_bound_claims_are_told_of_all():
    reading = indicators.volumes_bound({"a": seen(Claims(3, 3)), "b": seen(Claims(1, 0, "data"))}, now=NOW)
    assert (value(reading), reading.low_series) == (0.75, '{namespace="b",persistentvolumeclaim="data"}')


def test_without_claims_none_are_bound_or_not():
    assert indicators.volumes_bound({"a": seen(Claims())}, now=NOW).gap is Gap.NO_DATA


def test_the_fullest_quota_counts():
    uses = {
        "a": seen((QuotaUse("small", "pods", 0.2, is_told=True), QuotaUse("large", "pods", 1.25, is_told=True))),
        "b": seen(()),
    }
    reading = indicators.quota_used(uses, now=NOW)
    assert (value(reading), reading.high_series) == (1.25, '{namespace="a",resourcequota="large",resource="pods"}')


def test_while_one_quota_is_not_told_the_fullest_is_not_known():
    uses = {"a": seen((QuotaUse("told", "pods", 0.2, is_told=True),)), "b": seen((QuotaUse("new", "", 0.0, is_told=False),))}
    reading = indicators.quota_used(uses, now=NOW)
    assert (reading.gap, reading.message) == (Gap.NO_DATA, "ResourceQuota b/new does not tell yet what is used")


def test_without_quotas_nothing_is_used():
    assert indicators.quota_used({"a": seen(())}, now=NOW).gap is Gap.NO_DATA


# -- the API server ------------------------------------------------------------------------------------------------------


def test_requests_give_a_ratio_and_a_time_as_old_as_the_newest():
    requests = Requests(total=8, failed=2, seconds=0.25, newest_at=EARLIER)
    assert value(indicators.api_errors(requests, now=NOW)) == 0.25
    assert value(indicators.api_seconds(requests, now=NOW)) == 0.25
    assert indicators.api_errors(requests, now=NOW).taken_at == EARLIER


def test_no_requests_are_no_errors_and_no_answers_no_time():
    none = Requests(total=0, failed=0, seconds=None, newest_at=None)
    assert indicators.api_errors(none, now=NOW).gap is Gap.NO_DATA
    assert indicators.api_seconds(none, now=NOW).gap is Gap.NO_DATA
    refused = Requests(total=3, failed=3, seconds=None, newest_at=NOW)
    assert value(indicators.api_errors(refused, now=NOW)) == 1.0
    assert indicators.api_seconds(refused, now=NOW).gap is Gap.NO_DATA
