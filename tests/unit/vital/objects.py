"""Builders of live objects: each gives what an API server gives when all is well, of which a test changes only what it is about."""

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

MADE = "2026-03-01T10:00:00Z"


def live(api_version: str, kind: str, *, spec: Any = None, status: Any = None, generation: int | None = None, **meta: Any) -> Json:
    """A live object; `spec` and `status` are left out when None."""
    body: Json = {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": "web", "namespace": "shop", "uid": "u", "creationTimestamp": MADE},
    }
    if generation is not None:
        body["metadata"]["generation"] = generation
    body["metadata"].update(meta)
    if spec is not None:
        body["spec"] = spec
    if status is not None:
        body["status"] = status
    return body


def condition(kind: str, status: str, reason: str = "", message: str = "", **more: Any) -> Json:
    return {
        "type": kind,
        "status": status,
        "lastTransitionTime": MADE,
        **({"reason": reason} if reason else {}),
        "message": message,
        **more,
    }


def conditions(*entries: Json) -> Json:
    return {"conditions": list(entries)}


PROGRESSED = condition("Progressing", "True", "NewReplicaSetAvailable", 'ReplicaSet "web-5d" has successfully progressed.')
DEADLINE = condition("Progressing", "False", "ProgressDeadlineExceeded", 'ReplicaSet "web-5d" has timed out progressing.')
QUOTA = condition("ReplicaFailure", "True", "FailedCreate", 'pods "web-" is forbidden: exceeded quota: pods')


def deployment(*entries: Json, wanted: int | None = 3, paused: bool = False, observed: int = 4, **counts: int) -> Json:
    """A complete roll-out of three Pods; `counts` by the names of the status, of which zeros are left out as the API server does."""
    numbers = {"replicas": 3, "updatedReplicas": 3, "readyReplicas": 3, "availableReplicas": 3} | counts
    spec = {**({} if wanted is None else {"replicas": wanted}), **({"paused": True} if paused else {}), "progressDeadlineSeconds": 600}
    status = {"observedGeneration": observed, **_present(numbers), **conditions(*(entries or (PROGRESSED,)))}
    return live("apps/v1", "Deployment", spec=spec, status=status, generation=4)


def replica_set(*entries: Json, kind: str = "ReplicaSet", wanted: int = 2, **counts: int) -> Json:
    numbers = {"replicas": 2, "fullyLabeledReplicas": 2, "readyReplicas": 2, "availableReplicas": 2} | counts
    status = {"observedGeneration": 1, **_present(numbers), **(conditions(*entries) if entries else {})}
    return live("apps/v1" if kind == "ReplicaSet" else "v1", kind, spec={"replicas": wanted}, status=status, generation=1)


def stateful_set(*, wanted: int = 3, strategy: Json | None = None, old: str = "web-a", new: str = "web-a", **counts: int) -> Json:
    """Three Pods of one revision."""
    numbers = {"replicas": 3, "readyReplicas": 3, "currentReplicas": 3, "updatedReplicas": 3, "availableReplicas": 3} | counts
    spec = {"replicas": wanted, "updateStrategy": strategy or {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}}
    status = {"observedGeneration": 2, **_present(numbers), "currentRevision": old, "updateRevision": new, "collisionCount": 0}
    return live("apps/v1", "StatefulSet", spec=spec, status=status, generation=2)


def daemon_set(*, strategy: str = "RollingUpdate", **counts: int) -> Json:
    names = ("desiredNumberScheduled", "currentNumberScheduled", "updatedNumberScheduled", "numberReady", "numberAvailable")
    status = {"observedGeneration": 1, "numberMisscheduled": 0, **_present(dict.fromkeys(names, 5) | counts)}
    return live("apps/v1", "DaemonSet", spec={"updateStrategy": {"type": strategy}}, status=status, generation=1)


def container(name: str = "main", *, waits: str = "", exited: int | None = None, message: str = "") -> Json:
    """The status of one container: running, unless it waits or ended."""
    if waits:
        state: Json = {"waiting": {"reason": waits, **({"message": message} if message else {})}}
    elif exited is not None:
        state = {"terminated": {"exitCode": exited, "reason": "Completed" if exited == 0 else "Error"}}
    else:
        state = {"running": {"startedAt": MADE}}
    return {"name": name, "ready": not waits and exited is None, "restartCount": 0, "image": "web:1", "state": state}


def pod(phase: str, *entries: Json, containers: Any = (), init: Any = (), restart: str = "Always", **status: Any) -> Json:
    body = {
        **({"phase": phase} if phase else {}),
        **conditions(*entries),
        **({"containerStatuses": list(containers)} if containers else {}),
        **({"initContainerStatuses": list(init)} if init else {}),
        **status,
    }
    return live("v1", "Pod", spec={"restartPolicy": restart, "containers": [{"name": "main", "image": "web:1"}]}, status=body)


def job(*entries: Json, spec: Json | None = None, **status: Any) -> Json:
    """A Job that was started."""
    asked = {"parallelism": 1, "completions": 1, "backoffLimit": 6, "suspend": False} | (spec or {})
    told = {"startTime": MADE, **(conditions(*entries) if entries else {}), **status}
    asked, told = ({key: value for key, value in part.items() if value is not None} for part in (asked, told))
    return live("batch/v1", "Job", spec=asked, status=told, generation=1)


def claim(phase: str, *entries: Json, **meta: Any) -> Json:
    status = {**({"phase": phase} if phase else {}), **(conditions(*entries) if entries else {})}
    return live("v1", "PersistentVolumeClaim", spec={"accessModes": ["ReadWriteOnce"], "storageClassName": "fast"}, status=status, **meta)


def service(kind: str, *addresses: Mapping[str, str]) -> Json:
    load_balancer = {"ingress": list(addresses)} if addresses else {}
    return live("v1", "Service", spec={"type": kind, "clusterIP": "10.96.0.7"}, status={"loadBalancer": load_balancer})


def ingress(*addresses: Mapping[str, str]) -> Json:
    return live(
        "networking.k8s.io/v1", "Ingress", spec={}, status={"loadBalancer": {"ingress": list(addresses)} if addresses else {}}, generation=1
    )


ABLE = condition("AbleToScale", "True", "ReadyForNewScale")
ACTIVE = condition("ScalingActive", "True", "ValidMetricFound")


def autoscaler(*entries: Json) -> Json:
    status = {"currentReplicas": 2, "desiredReplicas": 4, **conditions(*entries)}
    return live("autoscaling/v2", "HorizontalPodAutoscaler", spec={"maxReplicas": 9}, status=status)


def disruption_budget(*entries: Json, **status: int) -> Json:
    told = {"observedGeneration": 1, "currentHealthy": 3, "desiredHealthy": 2, "disruptionsAllowed": 1, "expectedPods": 3} | status
    return live("policy/v1", "PodDisruptionBudget", spec={"minAvailable": 2}, status={**told, **conditions(*entries)}, generation=1)


def node(*entries: Json, spec: Json | None = None) -> Json:
    return live("v1", "Node", spec=spec or {}, status=conditions(*entries))


def namespace(phase: str, *, finalizers: tuple[str, ...] = ("kubernetes",), **meta: Any) -> Json:
    return live("v1", "Namespace", spec={"finalizers": list(finalizers)}, status={"phase": phase} if phase else {}, **meta)


def definition(*entries: Json) -> Json:
    return live("apiextensions.k8s.io/v1", "CustomResourceDefinition", spec={}, status=conditions(*entries), generation=1)


def api_service(*entries: Json) -> Json:
    return live("apiregistration.k8s.io/v1", "APIService", spec={}, status=conditions(*entries) if entries else {})


def widget(*entries: Json, generation: int | None = 3, **status: Any) -> Json:
    """A custom resource with these conditions."""
    return live("example.io/v1", "Widget", spec={}, status={**conditions(*entries), **status}, generation=generation)


def _present(counts: Mapping[str, int]) -> Json:
    return {name: count for name, count in counts.items() if count}
