"""Ordering: which kinds must be there before which others can be.

Only what the API server insists on, or what would do harm for a moment, is ordered; everything within a wave goes in parallel.
"""

from enum import IntEnum
from typing import Final

from cvstate_operator.objects.identity import GroupKind


class Wave(IntEnum):
    """Stages of an apply, in order; pruning goes backwards."""

    FOUNDATION = 0
    """What other objects live in or are kinds of: Namespaces and CustomResourceDefinitions. Without them the API server answers 404."""
    BASIS = 1
    """What Pods refer to when they start: classes, quotas, accounts, rights, configuration, storage."""
    MAIN = 2
    """Everything else, custom resources included."""
    GATES = 3
    """What can refuse all of the above: admission webhooks and policies, and APIServices whose backend must run first."""


_WAVES: Final = {
    GroupKind("", "Namespace"): Wave.FOUNDATION,
    GroupKind("apiextensions.k8s.io", "CustomResourceDefinition"): Wave.FOUNDATION,
    **dict.fromkeys(
        (
            GroupKind("scheduling.k8s.io", "PriorityClass"),
            GroupKind("storage.k8s.io", "StorageClass"),
            GroupKind("networking.k8s.io", "IngressClass"),
            GroupKind("node.k8s.io", "RuntimeClass"),
            GroupKind("", "ResourceQuota"),
            GroupKind("", "LimitRange"),
            GroupKind("", "ServiceAccount"),
            GroupKind("", "Secret"),
            GroupKind("", "ConfigMap"),
            GroupKind("", "PersistentVolume"),
            GroupKind("", "PersistentVolumeClaim"),
            GroupKind("rbac.authorization.k8s.io", "ClusterRole"),
            GroupKind("rbac.authorization.k8s.io", "ClusterRoleBinding"),
            GroupKind("rbac.authorization.k8s.io", "Role"),
            GroupKind("rbac.authorization.k8s.io", "RoleBinding"),
            GroupKind("networking.k8s.io", "NetworkPolicy"),
        ),
        Wave.BASIS,
    ),
    **dict.fromkeys(
        (
            GroupKind("apiregistration.k8s.io", "APIService"),
            GroupKind("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
            GroupKind("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
            GroupKind("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"),
            GroupKind("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"),
        ),
        Wave.GATES,
    ),
}


def wave(kind: GroupKind) -> Wave:
    """The stage in which objects of `kind` are applied."""
    return _WAVES.get(kind, Wave.MAIN)
