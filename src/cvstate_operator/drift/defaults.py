"""Defaults: values that the API server gives a field of a built-in kind if nobody does. Pure.

Server-side apply lists no defaults in `managedFields`. A create or update by any other verb does, under the name of whoever sent it, as if it had been
set; so that a default cannot be told from a choice by who holds it, only by its value. For kinds of CustomResourceDefinitions nothing is known here.

Read by drift/extras.py: a field that would come back by itself is no extra one. Measured on Kubernetes 1.36:
tests/integration/test_extras_live.py creates objects of every kind that has some on a live API server, and finds none of their defaults.
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
    "service": ("",),
    "iscsiInterface": ("default",),
    "pool": ("rbd",),
    "user": ("admin",),
    "keyring": ("/etc/ceph/keyring",),
    "cachingMode": ("ReadWrite",),
    "storageMode": ("ThinProvisioned",),
    "kind": ("Shared",),
    "fsType": ("ext4", "xfs"),
    "readOnly": (False,),
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
    # Autoscalers.
    "minReplicas": (1,),
    "metrics": ([{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}],),
    "selectPolicy": ("Max",),
    "policies": (
        [{"type": "Pods", "value": 4, "periodSeconds": 15}, {"type": "Percent", "value": 100, "periodSeconds": 15}],
        [{"type": "Percent", "value": 100, "periodSeconds": 15}],
    ),
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
    "attachRequired": (True,),
    "podInfoOnMount": (False,),
    "volumeLifecycleModes": (["Persistent"],),
    "storageCapacity": (False,),
    "fsGroupPolicy": ("ReadWriteOnceWithFSType",),
    "requiresRepublish": (False,),
    "seLinuxMount": (False,),
    # Priorities, of Pods and of requests.
    "matchingPrecedence": (1000,),
    "preemptionPolicy": ("PreemptLowerPriority",),
    # Admission webhooks and policies.
    "failurePolicy": ("Fail",),
    "matchPolicy": ("Equivalent",),
    "reinvocationPolicy": ("Never",),
    "port": (443,),
    "scope": ("Cluster",),
    # NetworkPolicies: by which rules they have.
    "policyTypes": (["Ingress"], ["Ingress", "Egress"]),
}
"""By field name, wherever it stands: names mean much the same in all built-in kinds. The price is that a value which is only a default elsewhere
is not told."""

_COPIES: Final = {"serviceAccount": "serviceAccountName", "targetPort": "port", "hostPort": "containerPort"}
"""Fields that take the value of a field beside them."""


_GROUPS: Final = frozenset(
    {
        "",
        "apps",
        "autoscaling",
        "batch",
        "policy",
        *(
            f"{name}.k8s.io"
            for name in (
                "admissionregistration",
                "apiextensions",
                "apiregistration",
                "certificates",
                "coordination",
                "discovery",
                "events",
                "flowcontrol.apiserver",
                "networking",
                "node",
                "rbac.authorization",
                "resource",
                "scheduling",
                "storage",
            )
        ),
    }
)
"""Spelled out, because there are CustomResourceDefinitions in groups that end in `.k8s.io` too, for example those of the Gateway API."""

_MAX_NESTED: Final = 8
"""Deepest map whose fields are looked at; `behavior` of an autoscaler is two deep. Foreign values may be of any depth."""


def is_builtin(api_version: str) -> bool:
    """Whether kinds of this `apiVersion` are built into the API server, so that their defaults are known here."""
    return api_version.rpartition("/")[0] in _GROUPS


def is_default(name: str, value: Any, beside: Mapping[str, Any], depth: int = 0) -> bool:
    """Whether a field of a built-in kind has a value that it gets by itself.

    Args:
        name: of the field.
        value: its live value. A map is a default if all that is in it is; an empty value always is one.
        beside: the map that the field stands in.
        depth: how deep the walk through a map is.
    """
    if value is None or value == {} or value == []:
        return True
    if isinstance(value, dict):
        return depth < _MAX_NESTED and all(is_default(below, inner, value, depth + 1) for below, inner in value.items())
    known = _DEFAULTS.get(name, ())
    # `True == 1` in Python, not in JSON.
    if any(value == default and isinstance(value, bool) == isinstance(default, bool) for default in known):
        return True
    return name in _COPIES and value == beside.get(_COPIES[name])
