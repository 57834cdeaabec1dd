"""What kubelets and the node controller write about Pods and nodes, where a test lets something happen that the simulated ones never do.

Source: Kubernetes documentation, "Pod Lifecycle", "Node-pressure Eviction", "Node Heartbeats"; pkg/controller/util/node, MarkPodsNotReady.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tests.support.api import Api, Json
from tests.support.beside import beside
from tests.support.objects import manifest
from tests.support.world import World

LEASES: Final = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
NODES: Final = "/api/v1/nodes"
RENEW_SECONDS: Final = 5.0
_TAINT: Final = "test.cvstate.io/own"


def pods(world: World, app: str) -> list[Json]:
    """The Pods with that label which are not about to go, by name."""
    found = world.api.request("GET", f"{world.path('pods')}?labelSelector=app%3D{app}")[1]["items"]
    return sorted((one for one in found if "deletionTimestamp" not in one["metadata"]), key=lambda one: str(one["metadata"]["name"]))


def runs(api: Api, pod: Json) -> None:
    """All containers of the Pod run and are ready."""
    _tell(api, pod, "True", {"running": {"startedAt": _now()}, "waiting": None})


def crashes(api: Api, pod: Json) -> None:
    """All containers of the Pod have ended again and again, and wait for their next try."""
    ended = {"exitCode": 1, "reason": "Error", "startedAt": _now(), "finishedAt": _now()}
    waits = {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting failed container"}
    _tell(api, pod, "False", {"running": None, "waiting": waits}, restartCount=5, lastState={"terminated": ended})


def evicts(api: Api, pod: Json) -> None:
    """The Pod has to make room on its node; its controller makes another one."""
    _patch(api, path(pod), {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."})


def _tell(api: Api, pod: Json, ready: str, state: Json, **more: Any) -> None:
    """The Pod runs, and each of its containers is in that state; `more` of a container."""
    reason = {"reason": None} if ready == "True" else {"reason": "ContainersNotReady"}
    conditions = [{"type": kind, "status": ready, "lastTransitionTime": _now(), **reason} for kind in ("Ready", "ContainersReady")]
    statuses = [
        {"name": one["name"], "image": one["image"], "imageID": "", "ready": ready == "True", "state": state, **more}
        for one in pod["spec"]["containers"]
    ]
    _patch(api, path(pod), {"phase": "Running", "conditions": conditions, "containerStatuses": statuses})


# -- a node of the test's own ----------------------------------------------------------------------------------------


def join(api: Api, name: str) -> None:
    """A node comes that no simulated kubelet takes for its own, with a fresh heartbeat. Only Pods that name it and tolerate its taint get there: `pinned`."""
    beat(api, name)
    api.create(NODES, manifest("Node", name, labels={_TAINT: name}, spec={"taints": [{"key": _TAINT, "effect": "NoSchedule"}]}))
    room = {"cpu": "8", "memory": "8Gi", "pods": "10"}
    conditions = [{"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": _now()}]
    _patch(api, f"{NODES}/{name}", {"conditions": conditions, "allocatable": room, "capacity": room})


def pinned(workload: Json, node: str) -> Json:
    """The workload, with its Pods on that node."""
    workload["spec"]["template"]["spec"] |= {"nodeSelector": {_TAINT: node}, "tolerations": [{"key": _TAINT, "operator": "Exists"}]}
    return workload


def beat(api: Api, name: str, *, seconds_ago: float = 0.0) -> None:
    """The kubelet of a node renews its Lease, or did so a while ago."""
    renewed = (datetime.now(UTC) - timedelta(seconds=seconds_ago)).isoformat(timespec="microseconds")
    spec = {"holderIdentity": "the test", "leaseDurationSeconds": 3600, "renewTime": renewed}
    code, answer = api.apply(f"{LEASES}/{name}", manifest("Lease", name, api_version="coordination.k8s.io/v1", spec=spec))
    assert code < 300, answer


@contextmanager
def beating(api: Api, name: str) -> Iterator[None]:
    """Renew the Lease of a node all the time."""

    def go_on(is_over: threading.Event) -> None:
        beat(api, name)
        while not is_over.wait(RENEW_SECONDS):
            beat(api, name)

    with beside(go_on):
        yield


def give_up(api: Api, name: str, lost: list[Json]) -> None:
    """What the node controller writes about a silent node, and about the Pods on it."""
    silent = {"reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status."}
    _patch(api, f"{NODES}/{name}", {"conditions": [{"type": "Ready", "status": "Unknown", **silent}]})
    for pod in lost:
        _patch(api, path(pod), {"conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": _now()}]})


def come_back(api: Api, name: str, found: list[Json]) -> None:
    """A node is heard of again, and the Pods on it are as they were."""
    _patch(api, f"{NODES}/{name}", {"conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": ""}]})
    for pod in found:
        runs(api, pod)


def path(pod: Json) -> str:
    """Where a Pod is in the API."""
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"


def _patch(api: Api, path: str, status: Json) -> None:
    code, answer = api.request("PATCH", f"{path}/status", {"status": status}, "application/strategic-merge-patch+json")
    assert code == 200, answer


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
