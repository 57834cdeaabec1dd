"""What is counted of the Pods of a namespace, from a list and the changes after it.

Aspects: restarts, watched and found in a list · evictions of three kinds, each counted once · waits for a node, ended and not · Pods that nobody schedules · windows that
move on · lists after a gap · memory · whatever stands in an object.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator.vital.cluster.pod_tally import MAX_EVICTED, PodCounts, PodTally, pod_facts

Json = dict[str, Any]
NOW = datetime(2026, 3, 1, 10, 0, 30, tzinfo=UTC)


def ago(**span: float) -> str:
    return (NOW - timedelta(**span)).strftime("%Y-%m-%dT%H:%M:%SZ")


def pod(name: str = "web-1", *, created: str = ago(days=3), node: str = "a", scheduled: str | None = None, **status: Any) -> Json:
    """A Pod that was scheduled at once and runs; without `node` it waits for one."""
    spec = {"nodeName": node} if node else {}
    entry = {"type": "PodScheduled", "status": "True" if node else "False", "lastTransitionTime": scheduled or created}
    entries = [entry, *status.pop("conditions", [])]
    meta = {"name": name, "uid": f"uid-{name}", "creationTimestamp": created}
    return {"metadata": meta, "spec": spec, "status": {"phase": "Running" if node else "Pending", "conditions": entries, **status}}


def container(restarts: int, *, finished: str | None = None) -> Json:
    ended = {"lastState": {"terminated": {"finishedAt": finished, "exitCode": 1}}} if finished else {}
    return {"name": "main", "restartCount": restarts, **ended}


def listed(*pods: Json, at: datetime = NOW) -> PodTally:
    tally = PodTally()
    relisted(tally, *pods, at=at)
    return tally


def relisted(tally: PodTally, *pods: Json, at: datetime, known_until: datetime | None = None) -> None:
    tally.begin(at, known_until=known_until)
    for each in pods:
        tally.seen(each, at)
    tally.listed(at)


# -- restarts ------------------------------------------------------------------------------------------------------------


def test_nothing_happened_in_a_namespace_without_pods():
    assert listed().counts(NOW) == PodCounts()


def test_each_restart_that_is_watched_counts():
    tally = listed(pod(containerStatuses=[container(0)]))
    tally.seen(pod(containerStatuses=[container(1)]), NOW)
    tally.seen(pod(containerStatuses=[container(1)]), NOW)
    tally.seen(pod(containerStatuses=[container(4)]), NOW)
    assert (tally.counts(NOW).restarts, tally.counts(NOW).restarted) == (4, "web-1")


def test_restarts_of_all_containers_count_also_of_those_that_initialise():
    tally = listed(pod())
    tally.seen(pod(initContainerStatuses=[container(2)], containerStatuses=[container(1), container(3)]), NOW)
    assert tally.counts(NOW).restarts == 6


def test_a_pod_of_the_same_name_begins_anew():
    tally = listed(pod("db-0", containerStatuses=[container(5, finished=ago(hours=5))]))
    again = pod("db-0", created=ago(minutes=1), containerStatuses=[container(2)])
    again["metadata"]["uid"] = "another"
    tally.gone(pod("db-0", containerStatuses=[container(5)]), NOW)
    tally.seen(again, NOW)
    assert tally.counts(NOW).restarts == 2


def test_a_restart_that_the_last_state_of_a_pod_tells_counts():
    tally = listed(pod())
    tally.gone(pod(containerStatuses=[container(1)]), NOW)
    assert tally.counts(NOW).restarts == 1


@pytest.mark.parametrize(
    ("found", "certain"),
    [
        pytest.param(pod(containerStatuses=[container(500, finished=ago(minutes=5))]), 1, id="old Pod: the last restart is certain"),
        pytest.param(pod(containerStatuses=[container(500, finished=ago(minutes=61))]), 0, id="old Pod whose last restart is long ago"),
        pytest.param(pod(containerStatuses=[container(500)]), 0, id="old Pod that does not tell when"),
        pytest.param(
            pod(containerStatuses=[container(9, finished=ago(minutes=5)), container(7, finished=ago(minutes=6))]), 2, id="two containers"
        ),
        pytest.param(
            pod(created=ago(minutes=50), containerStatuses=[container(7, finished=ago(minutes=5))]), 7, id="young Pod: all of them"
        ),
        pytest.param(pod(created=ago(minutes=50), containerStatuses=[container(7)]), 7, id="young Pod that does not tell when"),
    ],
)
def test_of_restarts_before_the_first_look_those_count_that_were_in_the_last_hour_for_sure(found: Json, certain: int):
    assert listed(found).counts(NOW).restarts == certain


def test_restarts_are_forgotten_after_an_hour():
    tally = listed(pod(created=ago(minutes=50), containerStatuses=[container(2, finished=ago(minutes=40))]))
    tally.seen(pod(containerStatuses=[container(3)]), NOW)
    assert tally.counts(NOW).restarts == 3
    assert tally.counts(NOW + timedelta(minutes=21)).restarts == 1
    assert tally.counts(NOW + timedelta(minutes=61)) == PodCounts()


def test_a_list_after_a_short_gap_brings_every_restart_that_was_missed():
    tally = listed(pod(containerStatuses=[container(3, finished=ago(hours=4))]))
    at = NOW + timedelta(minutes=10)
    relisted(tally, pod(containerStatuses=[container(9)]), pod("new", containerStatuses=[container(2)]), at=at, known_until=NOW)
    assert tally.counts(at).restarts == 8


def test_a_list_after_a_long_gap_brings_what_is_certain():
    tally = listed(pod(containerStatuses=[container(3, finished=ago(hours=4))]))
    at = NOW + timedelta(hours=5)
    last = (at - timedelta(minutes=2)).isoformat()
    relisted(tally, pod(containerStatuses=[container(90, finished=last)]), at=at, known_until=NOW)
    assert tally.counts(at).restarts == 1
    tally.seen(pod(containerStatuses=[container(91)]), at)
    assert tally.counts(at).restarts == 2


# -- evictions -----------------------------------------------------------------------------------------------------------


def disrupted(reason: str, **span: float) -> Json:
    return {"type": "DisruptionTarget", "status": "True", "reason": reason, "lastTransitionTime": ago(**(span or {"minutes": 1}))}


def leaving(body: Json) -> Json:
    return {**body, "metadata": {**body["metadata"], "deletionTimestamp": ago(minutes=1)}}


BY_KUBELET = pod(phase="Failed", reason="Evicted", conditions=[disrupted("TerminationByKubelet")])
BY_API = leaving(pod(conditions=[disrupted("EvictionByEvictionAPI")]))
BY_TAINT = leaving(pod(conditions=[disrupted("DeletionByTaintManager")]))
UNREADY = {"type": "Ready", "status": "False", "lastTransitionTime": ago(minutes=1)}
BY_OLD_KUBELET = pod(phase="Failed", reason="Evicted", conditions=[UNREADY])


@pytest.mark.parametrize(
    "evicted", [BY_KUBELET, BY_API, BY_TAINT, BY_OLD_KUBELET], ids=["kubelet", "api", "taint", "kubelet without DisruptionTarget"]
)
def test_an_evicted_pod_counts_once_however_often_it_is_told(evicted: Json):
    tally = listed(pod())
    tally.seen(evicted, NOW)
    tally.seen(evicted, NOW)
    tally.gone(evicted, NOW)
    relisted(tally, evicted, at=NOW, known_until=NOW)
    assert (tally.counts(NOW).evictions, tally.counts(NOW).evicted) == (1, "web-1")
    assert tally.counts(NOW + timedelta(minutes=62)).evictions == 0


def test_an_eviction_that_only_the_last_state_tells_counts():
    tally = listed(pod())
    tally.gone(pod(conditions=[disrupted("EvictionByEvictionAPI")]), NOW)
    assert tally.counts(NOW).evictions == 1


@pytest.mark.parametrize(
    "spared",
    [
        pytest.param(pod(conditions=[disrupted("EvictionByEvictionAPI")]), id="marked, and not deleted"),
        pytest.param(leaving(pod()), id="deleted by a person"),
        pytest.param(leaving(pod(conditions=[disrupted("PreemptionByScheduler")])), id="preempted"),
        pytest.param(pod(phase="Failed", reason="Error"), id="failed"),
        pytest.param(pod(phase="Failed", reason="NodeShutdown", conditions=[disrupted("TerminationByKubelet")]), id="shut down"),
        pytest.param(pod(reason="Evicted"), id="still running"),
    ],
)
def test_what_ends_otherwise_is_no_eviction(spared: Json):
    assert listed(spared).counts(NOW).evictions == 0


def test_an_eviction_that_is_longer_ago_than_an_hour_does_not_count_at_the_first_look():
    for entry in (disrupted("TerminationByKubelet", hours=2), UNREADY | {"lastTransitionTime": ago(hours=2)}):
        tally = listed(pod(phase="Failed", reason="Evicted", conditions=[entry]))
        assert tally.counts(NOW).evictions == 0
        tally.gone(pod(phase="Failed", reason="Evicted", conditions=[entry]), NOW)  # somebody tidies up
        assert tally.counts(NOW).evictions == 0


def test_the_pod_that_was_evicted_last_is_named():
    found = listed(
        pod("late", phase="Failed", reason="Evicted", conditions=[disrupted("TerminationByKubelet", minutes=3)]),
        pod("early", phase="Failed", reason="Evicted", conditions=[disrupted("TerminationByKubelet", minutes=9)]),
    )
    assert found.counts(NOW).evicted == "late"


def test_old_evictions_take_no_room_from_new_ones():
    tally = PodTally()
    for number in range(MAX_EVICTED):
        tally.gone(pod(f"old{number}", phase="Failed", reason="Evicted", conditions=[disrupted("TerminationByKubelet", hours=2)]), NOW)
    tally.seen(BY_KUBELET, NOW)
    assert tally.counts(NOW).evictions == 1


def test_evictions_beyond_what_is_remembered_are_not_counted():
    tally = PodTally()
    for number in range(MAX_EVICTED + 5):
        tally.seen(pod(f"p{number}", created=ago(minutes=5), phase="Failed", reason="Evicted"), NOW)
    assert tally.counts(NOW).evictions == MAX_EVICTED


# -- waits for a node ----------------------------------------------------------------------------------------------------


def test_a_pod_is_pending_after_a_minute_without_a_node():
    tally = listed(pod("new", created=ago(seconds=60), node=""), pod("old", created=ago(seconds=61), node=""))
    found = tally.counts(NOW)
    assert (found.pending, found.longest_pending) == (1, "old")
    assert (found.longest_wait_seconds, found.longest_waiting) == (61.0, "old")
    assert tally.counts(NOW + timedelta(seconds=1)).pending == 2


def test_a_wait_that_ended_is_told_for_ten_minutes_and_to_the_second():
    tally = listed(pod(created=ago(seconds=90), node=""))
    tally.seen(pod(created=ago(seconds=90), scheduled=ago(seconds=20)), NOW)
    assert tally.counts(NOW).pending == 0
    assert (tally.counts(NOW).longest_wait_seconds, tally.counts(NOW).longest_waiting) == (70.0, "web-1")
    assert tally.counts(NOW + timedelta(minutes=9)).longest_wait_seconds == 70.0
    assert tally.counts(NOW + timedelta(minutes=11)).longest_wait_seconds == 0.0


def test_the_first_look_knows_waits_that_ended_shortly_before():
    tally = listed(
        pod("a", created=ago(minutes=20), scheduled=ago(minutes=5)), pod("b", created=ago(minutes=50), scheduled=ago(minutes=11))
    )
    assert tally.counts(NOW).longest_wait_seconds == 900.0


@pytest.mark.parametrize("how", ["deleted", "not in the list", "failed"])
def test_a_pod_that_went_while_it_waited_did_wait(how: str):
    waiting = pod(created=ago(seconds=90), node="")
    tally = listed(waiting)
    match how:
        case "deleted":
            tally.gone(waiting, NOW)
        case "failed":
            tally.seen({**waiting, "status": {"phase": "Failed"}}, NOW)
        case _:
            relisted(tally, at=NOW, known_until=NOW)
    assert tally.counts(NOW).pending == 0
    assert tally.counts(NOW).longest_wait_seconds == 90.0


def test_a_pod_behind_a_gate_does_not_wait_for_a_node():
    gated = pod(created=ago(hours=1), node="")
    gated["spec"]["schedulingGates"] = [{"name": "queue"}]
    assert listed(gated).counts(NOW) == PodCounts()


def test_a_pod_that_is_being_deleted_waits_no_more():
    tally = listed(leaving(pod(created=ago(hours=1), node="")))
    assert tally.counts(NOW) == PodCounts()


def test_a_pod_that_was_made_for_a_node_did_not_wait():
    own = pod(created=ago(seconds=90))
    own["status"] = {"phase": "Pending"}
    assert listed(own).counts(NOW) == PodCounts()


def test_clocks_that_differ_give_no_wait_below_zero():
    ahead = (NOW + timedelta(minutes=2)).isoformat()
    assert listed(pod(created=ahead, node="")).counts(NOW) == PodCounts()


# -- whatever comes ------------------------------------------------------------------------------------------------------


def test_nothing_is_kept_of_pods_that_run_or_are_gone():
    tally = listed(*(pod(f"p{number}") for number in range(50)), pod("w", node=""), pod("r", containerStatuses=[container(1)]))
    assert (len(tally._waiting), len(tally._restarted)) == (1, 1)
    tally.gone(pod("r", containerStatuses=[container(1)]), NOW)
    tally.seen(pod("s", containerStatuses=[container(1)]), NOW)
    assert len(tally._restarted) == 1
    relisted(tally, at=NOW, known_until=NOW)
    assert (len(tally._waiting), len(tally._restarted)) == (0, 0)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("2026-03-01T10:00:00Z"),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "uid", "conditions", "type", "status", "reason"]), inner)
    ),
    max_leaves=12,
)
FIELDS = {
    "metadata": st.fixed_dictionaries({}, optional={"name": JSON, "uid": JSON, "creationTimestamp": JSON, "deletionTimestamp": JSON}),
    "spec": st.fixed_dictionaries({}, optional={"nodeName": JSON, "schedulingGates": JSON}),
    "status": st.fixed_dictionaries(
        {}, optional={"phase": JSON, "conditions": JSON, "containerStatuses": JSON, "initContainerStatuses": JSON}
    ),
}


@given(st.fixed_dictionaries({}, optional=FIELDS) | st.dictionaries(st.sampled_from(["metadata", "spec", "status"]), JSON))
def test_no_object_makes_it_fail(live: Json):
    tally = PodTally()
    relisted(tally, live, at=NOW)
    tally.gone(live, NOW)
    assert tally.counts(NOW).pending == 0
    assert pod_facts([]) is None  # type: ignore[arg-type]
