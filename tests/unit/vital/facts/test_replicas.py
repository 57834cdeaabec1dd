"""Pods that a workload asks for, and that are ready, by its own status.

Aspects: every kind that asks for Pods · surplus · what is completed, suspended or not looked at yet · kinds that ask for none · what cannot be read.
"""

from typing import Any

import pytest

from cvstate_operator.vital.facts.replicas import Replicas, replicas
from tests.unit.vital import objects
from tests.unit.vital.objects import condition, conditions, live


def job(**status: Any) -> dict[str, Any]:
    return live("batch/v1", "Job", spec={"parallelism": 3}, status=status)


def pod(phase: str, *, ready: str = "False") -> dict[str, Any]:
    return live("v1", "Pod", spec={}, status={"phase": phase, **conditions(condition("Ready", ready))})


DAEMONS = {"desiredNumberScheduled": 4, "currentNumberScheduled": 4, "numberReady": 3}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(objects.deployment(), Replicas(3, 3), id="Deployment"),
        pytest.param(objects.deployment(readyReplicas=1), Replicas(3, 1), id="Deployment, some not ready"),
        pytest.param(objects.deployment(wanted=None, readyReplicas=0), Replicas(1, 0), id="Deployment, one by default"),
        pytest.param(objects.deployment(wanted=2, readyReplicas=3), Replicas(2, 2), id="Deployment, old Pods are still there"),
        pytest.param(objects.deployment(wanted=0, readyReplicas=0), Replicas(0, 0), id="Deployment, scaled to nothing"),
        pytest.param(objects.replica_set(readyReplicas=1), Replicas(2, 1), id="ReplicaSet"),
        pytest.param(objects.replica_set(kind="ReplicationController"), Replicas(2, 2), id="ReplicationController"),
        pytest.param(live("apps/v1", "StatefulSet", spec={"replicas": 3}, status={"readyReplicas": 2}), Replicas(3, 2), id="StatefulSet"),
        pytest.param(live("apps/v1", "StatefulSet", spec={"replicas": 3}), Replicas(3, 0), id="StatefulSet, just made"),
        pytest.param(live("apps/v1", "DaemonSet", spec={}, status=DAEMONS), Replicas(4, 3), id="DaemonSet"),
        pytest.param(live("apps/v1", "DaemonSet", spec={}, status={}), Replicas(0, 0), id="DaemonSet that nobody looked at yet"),
        pytest.param(job(active=2, ready=1), Replicas(2, 1), id="Job"),
        pytest.param(job(succeeded=3), Replicas(0, 0), id="Job, completed"),
        pytest.param(pod("Running", ready="True"), Replicas(1, 1), id="Pod"),
        pytest.param(pod("Pending"), Replicas(1, 0), id="Pod, pending"),
        pytest.param(pod("Failed"), Replicas(1, 0), id="Pod that failed"),
        pytest.param(pod("Succeeded"), Replicas(0, 0), id="Pod that ended well"),
    ],
)
def test_a_workload_tells_its_pods(body: dict[str, Any], expected: Replicas):
    assert replicas(body) == expected


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(live("v1", "ConfigMap"), id="ConfigMap"),
        pytest.param(live("batch/v1", "CronJob", spec={}), id="CronJob, which has Jobs"),
        pytest.param(live("example.io/v1", "Deployment", spec={"replicas": 3}), id="the same name in another group"),
        pytest.param({}, id="nothing"),
        pytest.param({"apiVersion": "a/b/c", "kind": "Pod"}, id="no kind"),
        pytest.param({"apiVersion": 1, "kind": []}, id="no texts"),
    ],
)
def test_what_is_no_workload_asks_for_no_pods(body: dict[str, Any]):
    assert replicas(body) is None


@pytest.mark.parametrize("count", ["3", -1, True, 2**63, 1.5])
def test_counts_that_cannot_be_read_are_never_ready(count: Any):
    assert replicas(live("apps/v1", "Deployment", spec={"replicas": count}, status={"readyReplicas": 3})) == Replicas(1, 0)
    assert replicas(live("apps/v1", "Deployment", spec={"replicas": 3}, status={"readyReplicas": count})) == Replicas(1, 0)
