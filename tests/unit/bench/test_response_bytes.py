"""Bytes that the API server answered to reads.

Aspects: all series of one sort are added up · other metrics are passed over · only what the tool reads counts · what is new counts from nothing.
"""

from bench import response_bytes
from tests.unit.bench.builders import request

TEXT = """\
# HELP apiserver_response_sizes [STABLE] Response size distribution in bytes
apiserver_response_sizes_bucket{component="apiserver",group="",resource="configmaps",scope="cluster",verb="LIST",le="1000"} 2
apiserver_response_sizes_sum{component="apiserver",group="",resource="configmaps",scope="cluster",subresource="",verb="LIST",version="v1"} 1.5e+03
apiserver_response_sizes_sum{component="apiserver",group="",resource="configmaps",scope="namespace",subresource="",verb="LIST",version="v1"} 500
apiserver_response_sizes_sum{component="apiserver",group="",resource="secrets",scope="resource",subresource="",verb="GET",version="v1"} 7
apiserver_response_sizes_count{component="apiserver",group="",resource="secrets",scope="resource",subresource="",verb="GET",version="v1"} 1
"""


def test_all_series_of_one_sort_are_added_up_and_other_metrics_passed_over():
    assert response_bytes.parse(TEXT) == {("list", "configmaps"): 2000.0, ("get", "secrets"): 7.0}


def test_only_what_the_tool_reads_counts():
    after = {("list", "configmaps"): 2500.0, ("get", "secrets"): 70.0}
    asked = [request("list", "configmaps"), request("list", "configmaps"), request("watch", "secrets")]
    assert response_bytes.between(response_bytes.parse(TEXT), after, asked) == 500.0


def test_a_sort_that_was_never_read_before_counts_from_nothing():
    assert response_bytes.between({}, {("get", "secrets"): 7.0}, [request("get", "secrets")]) == 7.0
