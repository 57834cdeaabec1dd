"""Whether a workload that was ready has nothing left.

Aspects: down and on its way are told apart, by kind · first roll-outs, new templates, scaling from 0 · the first sight, as after a restart · another object of the
same name · anything may stand in an object.
"""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator.vital.facts import standing
from cvstate_operator.vital.facts.progress import REVISION
from cvstate_operator.vital.facts.replicas import replicas
from cvstate_operator.vital.facts.standing import Standing

KINDS = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")


def workload(
    ready: int, *, kind: str = "Deployment", wanted: int = 2, template: str = "1", generation: int = 1, seen: int | None = None, **more: Any
) -> dict[str, Any]:
    observed = generation if seen is None else seen
    if kind == "DaemonSet":
        counts = {"desiredNumberScheduled": wanted, "numberReady": ready, "numberAvailable": ready, "updatedNumberScheduled": wanted}
    else:
        counts = {"replicas": wanted, "updatedReplicas": wanted, "readyReplicas": ready, "availableReplicas": ready}
    meta = {"name": "web", "uid": "u1", "generation": generation, "annotations": {REVISION: template} if kind == "Deployment" else {}}
    revision = {"updateRevision": template} if kind == "StatefulSet" else {}
    status = {"observedGeneration": observed, **counts, **revision, **more}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": meta, "spec": {"replicas": wanted}, "status": status}


def follow(*seen: dict[str, Any]) -> Standing | None:
    """What a story comes to; Current is what has all it wants, and was seen by its controller."""
    found: Standing | None = None
    for live in seen:
        status = live["status"]
        counts = replicas(live)
        assert counts is not None
        is_seen = status["observedGeneration"] == live["metadata"]["generation"]
        found = standing.follow(found, live, is_current=is_seen and counts.ready == counts.desired)
    return found


def is_down(*seen: dict[str, Any]) -> bool:
    found = follow(*seen)
    return found is not None and found.is_down


ROLLED_OUT: dict[str, Any] = {
    "conditions": [{"type": "Available", "status": "False"}, {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}]
}
ROLLING_OUT: dict[str, Any] = {
    "conditions": [{"type": "Available", "status": "False"}, {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"}]
}


@pytest.mark.parametrize("kind", KINDS)
def test_one_that_was_ready_and_has_no_ready_pod_left_is_down_until_one_is_ready(kind: str) -> None:
    up, half, none = (workload(ready, kind=kind) for ready in (2, 1, 0))
    assert is_down(up, none)
    assert is_down(up, half, none)
    assert not is_down(up, half)
    assert not is_down(up, none, half)
    assert is_down(up, none, half, none)
    assert not is_down(up, none, up)


@pytest.mark.parametrize("kind", KINDS)
def test_a_first_roll_out_is_not_down(kind: str) -> None:
    assert not is_down(workload(0, kind=kind), workload(1, kind=kind), workload(0, kind=kind))


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_template_is_a_roll_out_though_it_stops_all_pods_first(kind: str) -> None:
    up = workload(2, kind=kind)
    fresh = [workload(0, kind=kind, template="2", generation=2, seen=seen) for seen in (1, 2)]
    assert not is_down(up, *fresh)
    done = workload(2, kind=kind, template="2", generation=2)
    assert is_down(up, *fresh, done, fresh[1])


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_scaled_from_zero_is_on_its_way(kind: str) -> None:
    assert not is_down(workload(2, kind=kind), workload(0, kind=kind, wanted=0), workload(0, kind=kind))


def test_a_scale_to_zero_and_back_that_its_controller_did_not_see_counts_too() -> None:
    zero = workload(2, wanted=0, generation=2, seen=1)
    assert not is_down(workload(2), zero, workload(0, generation=3))


def test_one_that_is_down_and_scaled_up_is_down_still() -> None:
    asked, seen = (workload(0, wanted=5, generation=2, seen=seen) for seen in (1, 2))
    assert is_down(workload(2), workload(0), asked)
    assert is_down(workload(2), workload(0), asked, seen)


def test_a_deployment_tells_at_first_sight_that_its_roll_out_was_done() -> None:
    assert is_down(workload(0, **ROLLED_OUT))
    assert not is_down(workload(1, **ROLLED_OUT))
    assert is_down(workload(1, **ROLLED_OUT), workload(0, **ROLLED_OUT))
    assert not is_down(workload(0, **ROLLING_OUT))
    assert not is_down(workload(0, wanted=0, **ROLLED_OUT), workload(0, **ROLLED_OUT)), "was scaled from 0"
    assert not is_down(workload(0, kind="StatefulSet", **ROLLED_OUT))


def test_another_object_of_the_same_name_was_never_ready() -> None:
    other = workload(0)
    other["metadata"]["uid"] = "u2"
    assert not is_down(workload(2), other)


@pytest.mark.parametrize("kind", ["Pod", "Job", "ConfigMap"])
def test_other_kinds_do_not_stand(kind: str) -> None:
    live = {"apiVersion": {"Job": "batch/v1"}.get(kind, "v1"), "kind": kind, "metadata": {"generation": 1}, "status": {"active": 1}}
    assert standing.follow(None, live, is_current=False) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["observedGeneration", "readyReplicas", "conditions", "type"]), inner)
    ),
    max_leaves=8,
)


@given(status=JSON, spec=JSON, meta=JSON, kind=st.sampled_from([*KINDS, "Pod", ""]))
def test_whatever_stands_in_it_nothing_is_raised(status: Any, spec: Any, meta: Any, kind: str) -> None:
    live = {"apiVersion": "apps/v1", "kind": kind, "metadata": meta, "spec": spec, "status": status}
    before = Standing("u1", "1", True, False)
    found = standing.follow(before, live, is_current=False)
    assert found is None or isinstance(found, Standing)
