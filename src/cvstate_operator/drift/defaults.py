"""Defaults: values that the API server gives a field of a built-in kind if nobody does. Pure.

Server-side apply lists no defaults in `managedFields`. A create or update by any other verb does, under the name of whoever sent it, as if it had been
set; so that a default cannot be told from a choice by who holds it, only by its value. For kinds of CustomResourceDefinitions nothing is known here.

Read by drift/extras.py: a field that would come back by itself is no extra one. Source: SetDefaults functions of Kubernetes 1.31 to 1.34 by their
effect; tests/integration/test_extras_live.py creates objects of every kind below on a live API server and finds none of their defaults.
"""

from collections.abc import Mapping
from typing import Any, Final

_DEFAULTS: Final[Mapping[str, tuple[Any, ...]]] = {
    # Containers. Which policy is the default depends on the tag of the image.
    "imagePullPolicy": ("Always", "IfNotPresent"),
    "terminationMessagePath": ("/dev/termination-log",),
    "terminationMessagePolicy": ("File",),
    "protocol": ("TCP",),
    # Probes; the timeouts also of webhooks and of sticky sessions.
    "failureThreshold": (3,),
    "periodSeconds": (10,),
    "successThreshold": (1,),
    "timeoutSeconds": (1, 10, 10800),
    "scheme": ("HTTP",),
    # Pods and their volumes.
    "dnsPolicy": ("ClusterFirst",),
    "restartPolicy": ("Always",),
    "schedulerName": ("default-scheduler",),
    "terminationGracePeriodSeconds": (30,),
    "enableServiceLinks": (True,),
    "defaultMode": (0o644,),
    "expirationSeconds": (3600,),
    "apiVersion": ("v1",),
    "divisor": ("0",),
    # Workloads. `type` and `maxUnavailable` are of Deployments, DaemonSets and StatefulSets, `type` of Services and Secrets too.
    "replicas": (1,),
    "revisionHistoryLimit": (10,),
    "progressDeadlineSeconds": (600,),
    "type": ("RollingUpdate", "ClusterIP", "Opaque", ""),
    "maxSurge": ("25%", 0),
    "maxUnavailable": ("25%", 1),
    "partition": (0,),
    "podManagementPolicy": ("OrderedReady",),
    "whenDeleted": ("Retain",),
    "whenScaled": ("Retain",),
    "backoffLimit": (6,),
    "completions": (1,),
    "parallelism": (1,),
    "completionMode": ("NonIndexed",),
    "manualSelector": (False,),
    "suspend": (False,),
    "podReplacementPolicy": ("TerminatingOrFailed", "Failed"),
    "concurrencyPolicy": ("Allow",),
    "failedJobsHistoryLimit": (1,),
    "successfulJobsHistoryLimit": (3,),
    "minReplicas": (1,),
    # Services.
    "sessionAffinity": ("None",),
    "internalTrafficPolicy": ("Cluster",),
    "externalTrafficPolicy": ("Cluster",),
    "allocateLoadBalancerNodePorts": (True,),
    # Storage.
    "volumeMode": ("Filesystem",),
    "persistentVolumeReclaimPolicy": ("Retain",),
    "reclaimPolicy": ("Delete",),
    "volumeBindingMode": ("Immediate",),
    "preemptionPolicy": ("PreemptLowerPriority",),
    # Admission webhooks and policies.
    "failurePolicy": ("Fail",),
    "matchPolicy": ("Equivalent",),
    "reinvocationPolicy": ("Never",),
    "port": (443,),
    # NetworkPolicies: by which rules they have.
    "policyTypes": (["Ingress"], ["Ingress", "Egress"]),
}
"""By field name, wherever it stands: names mean the same in all built-in kinds, and a value that is a default of another kind is told as drift by nobody."""

_COPIES: Final = {"serviceAccount": "serviceAccountName", "targetPort": "port", "hostPort": "containerPort"}
"""Fields that take the value of a field beside them."""


def is_builtin(api_version: str) -> bool:
    """Whether a kind of this `apiVersion` is built into the API server: its group is empty, has no dot, or ends in `.k8s.io`."""
    group = api_version.rpartition("/")[0]
    return "." not in group or group.endswith(".k8s.io")


def is_default(name: str, value: Any, beside: Mapping[str, Any]) -> bool:
    """Whether a field of a built-in kind has a value that it gets by itself.

    Args:
        name: of the field.
        value: its live value. A map is a default if all that is in it is; an empty value always is one.
        beside: the map that the field stands in.
    """
    if value is None or value == {} or value == []:
        return True
    if isinstance(value, dict):
        return all(is_default(below, inner, value) for below, inner in value.items())
    known = _DEFAULTS.get(name, ())
    # `True == 1` in Python, not in JSON.
    if any(value == default and isinstance(value, bool) == isinstance(default, bool) for default in known):
        return True
    return name in _COPIES and value == beside.get(_COPIES[name])
