"""The intake: what is taken of a server that a tenant chose, before it comes to the index, which one process keeps for all tenants.

It was asked for objects with the owner label, and may answer whatever it likes: objects without it, a name of a megabyte, a million objects that nobody made. The first are not
taken; for the others the kind is refused as a whole, so that whoever looks at its objects is told that nobody knows them. Large objects are nobody's fault: of those the
index only keeps no more snapshots than have room.

Its own limits stand in `client.py` (pages and lines) and `remote.py` (answers). A server that a cluster's owner chose needs none.
"""

from collections.abc import Mapping
from typing import Any, Final, Protocol

from cvstate_operator import errors
from cvstate_operator.api.names import CLAIMED_BY, DIGEST
from cvstate_operator.kube.informer import Sink
from cvstate_operator.objects.identity import ApiResource, ObjectRef
from cvstate_operator.objects.ownership import PART_OF_LABEL

MAX_OBJECTS: Final = 100_000
"""Objects of one remote cluster, as one user sees it: ten times what one ClusterState is measured with (docs/performance.md). Half a kilobyte is kept of each."""
MAX_SNAPSHOT_BYTES: Final = 32 * 2**20
"""What snapshots of objects of one remote cluster, as one user sees it, may take: ten thousand of 3 KB, all of them not looked at yet. One that does not fit costs a request
when it is looked at."""
MAX_NAME: Final = 253
"""Longest name of an object, or of a namespace. Source: Kubernetes, "Object Names and IDs" (DNS subdomain names, RFC 1123)."""
MAX_MARK: Final = 256
"""Longest of what else is kept as it comes: uid, resourceVersion, owner, digest. An API server's own have 36, 20, 63 and 71 characters at most."""


class Index(Sink, Protocol):
    """Where objects are kept."""

    @property
    def size(self) -> int:
        """How many there are."""

    def get(self, ref: ObjectRef) -> object | None:
        """What is known of one; None if there is no such object."""


class Intake:
    """See the module. A sink before the sink."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def observed(self, resource: ApiResource, live: dict[str, Any]) -> None:
        """Pass it on if it is what was asked for.

        Raises:
            TargetUnreachableError: it is more than anybody can keep.
        """
        meta = live["metadata"]
        _check(meta.get("namespace", ""), meta["name"], *_marks(live))
        ref = ObjectRef(resource.gvk.group, resource.gvk.kind, meta.get("namespace", ""), meta["name"])
        if PART_OF_LABEL not in (meta.get("labels") or {}):
            self._index.gone(resource, ref, meta["resourceVersion"])
            return
        if self._index.size >= MAX_OBJECTS and self._index.get(ref) is None:
            raise errors.TargetUnreachableError(
                f"that cluster tells of more than {MAX_OBJECTS} objects with the label {PART_OF_LABEL}; remove it from those that nobody applies any more"
            )
        self._index.observed(resource, live)

    def gone(self, resource: ApiResource, ref: ObjectRef, resource_version: str) -> None:
        """Pass it on. Whoever tells it keeps the name in mind for a while, also of an object that was never taken.

        Raises:
            TargetUnreachableError: no object can be called so.
        """
        _check(ref.namespace, ref.name, resource_version)
        self._index.gone(resource, ref, resource_version)

    def known(self, resource: ApiResource, namespace: str = "") -> frozenset[ObjectRef]:
        """As the index says."""
        return self._index.known(resource, namespace)


def _marks(live: Mapping[str, Any]) -> tuple[Any, ...]:
    """What is kept of an object as it comes."""
    meta = live["metadata"]
    labels, annotations = meta.get("labels") or {}, meta.get("annotations") or {}
    return (
        meta["uid"],
        meta["resourceVersion"],
        labels.get(PART_OF_LABEL, ""),
        annotations.get(DIGEST, ""),
        annotations.get(CLAIMED_BY, ""),
    )


def _check(namespace: Any, name: Any, *marks: Any) -> None:
    if not (_fits(namespace, MAX_NAME) and _fits(name, MAX_NAME) and all(_fits(mark, MAX_MARK) for mark in marks)):
        raise errors.TargetUnreachableError(
            "that cluster tells of an object that no API server can have: its name or its marks are no text, or too long"
        )


def _fits(found: Any, limit: int) -> bool:
    # A list of one text has the length 1, whatever it takes.
    return isinstance(found, str) and len(found) <= limit
