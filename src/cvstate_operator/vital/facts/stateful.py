"""Stateful kinds: those whose objects hold what Git does not. Read by the rollback policy: going back, or making them anew, may lose data."""

from typing import Final

from cvstate_operator.objects.identity import GroupKind

STATEFUL: Final = frozenset(
    {
        GroupKind("apps", "StatefulSet"),  # an older program may not read what a newer one wrote to its volumes
        GroupKind("", "PersistentVolumeClaim"),  # made anew, it gets an empty volume; made smaller, it is refused
        GroupKind("", "PersistentVolume"),  # deleted, it may take the data with it, by its reclaim policy
        GroupKind("", "Namespace"),  # deleted, it takes everything in it
        GroupKind("apiextensions.k8s.io", "CustomResourceDefinition"),  # fields it no longer knows are dropped from stored objects
        GroupKind("snapshot.storage.k8s.io", "VolumeSnapshot"),
        GroupKind("snapshot.storage.k8s.io", "VolumeSnapshotContent"),
    }
)
"""Custom resources of databases are not here: their group does not tell; `rollback.excludeKinds` names them. A Secret is not either: Git holds it."""


def is_stateful(kind: GroupKind) -> bool:
    """Whether an object of this kind is neither reverted nor made anew without being asked for by name or approved."""
    return kind in STATEFUL
