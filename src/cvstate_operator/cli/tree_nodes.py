"""What `cvstate tree` shows: the members of a ClusterState, what controllers made for them, and the health of each. No I/O: the objects are given.

Whose an object is, its ownerReferences say. Claims that a StatefulSet made have none by default and are known by their names. ControllerRevisions and
EndpointSlices are left out: their health says nothing. So are ReplicaSets without replicas and Pods, which are the history of a Deployment.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from cvstate_operator.objects.identity import GroupKind, Gvk, ObjectRef
from cvstate_operator.objects.redaction import one_line
from cvstate_operator.vital.health import children as pods
from cvstate_operator.vital.health.children import Child
from cvstate_operator.vital.health.custom_health import HealthRule
from cvstate_operator.vital.health.readiness import readiness
from cvstate_operator.vital.health.state import Readiness, Status

POD: Final = GroupKind("", "Pod")
CLAIM: Final = GroupKind("", "PersistentVolumeClaim")
JOB: Final = GroupKind("batch", "Job")
CRON_JOB: Final = GroupKind("batch", "CronJob")
REPLICA_SET: Final = GroupKind("apps", "ReplicaSet")
DEPLOYMENT: Final = GroupKind("apps", "Deployment")
STATEFUL_SET: Final = GroupKind("apps", "StatefulSet")
DAEMON_SET: Final = GroupKind("apps", "DaemonSet")

_BELOW: Final[Mapping[GroupKind, frozenset[GroupKind]]] = {
    DEPLOYMENT: frozenset({REPLICA_SET, POD}),
    REPLICA_SET: frozenset({POD}),
    GroupKind("", "ReplicationController"): frozenset({POD}),
    STATEFUL_SET: frozenset({POD, CLAIM}),
    DAEMON_SET: frozenset({POD}),
    JOB: frozenset({POD}),
    CRON_JOB: frozenset({JOB, POD}),
}
"""Kinds that the controllers of Kubernetes make objects of."""
_BELOW_CUSTOM: Final = frozenset({DEPLOYMENT, STATEFUL_SET, DAEMON_SET, CRON_JOB}).union(*_BELOW.values())
"""Kinds below a custom resource that are looked for: those that run something."""
LEVELS: Final = 10
"""Deepest tree: a custom resource, a Deployment, a ReplicaSet and a Pod are four. What anybody may chain up must not go on for ever."""


@dataclass(frozen=True, slots=True)
class Node:
    """One object of the tree."""

    ref: ObjectRef
    readiness: Readiness
    created_at: str
    """RFC 3339, as the API server has it; empty if it does not say."""
    why: tuple[Child, ...] = ()
    """Of a Pod that is not ready, what is wrong with it and its containers; empty if that says no more than `readiness`."""
    children: tuple["Node", ...] = ()
    """By kind and name."""

    @property
    def is_current(self) -> bool:
        """Whether this object alone is as asked for."""
        return self.readiness.status is Status.CURRENT

    @property
    def is_well(self) -> bool:
        """Whether everything here is Current, this and all below."""
        return self.is_current and all(node.is_well for node in self.children)


def kinds_below(kind: GroupKind) -> frozenset[GroupKind]:
    """Kinds that objects below one of this kind may be of, at any level; empty if nothing is made for it."""
    return _BELOW.get(kind, frozenset()) if kind.is_built_in else _BELOW_CUSTOM


def build(
    members: Iterable[Mapping[str, Any]],
    others: Iterable[Mapping[str, Any]],
    rules: Mapping[GroupKind, HealthRule] = MappingProxyType({}),
    *,
    with_status: Collection[GroupKind] = frozenset(),
) -> tuple[Node, ...]:
    """The trees below the members.

    Args:
        members: full objects with `apiVersion` and `kind`, as the API server gave them. Each is a root, also if another one owns it.
        others: what may be below them; most of it need not be.
        rules: of the ClusterState, in place of the built-in ones (`vital/health/readiness`).
        with_status: kinds of members that have the subresource `status`.

    Returns:
        One node for each member, by namespace, kind and name.
    """
    roots = {_uid(live): live for live in members}
    found = {_uid(live): live for live in others if _uid(live) not in roots}
    below: dict[str, list[Mapping[str, Any]]] = {}
    known = roots.keys() | found.keys()
    claims = _Claims([*roots.values(), *found.values()])
    for live in found.values():
        if parent := _owner(live, known) or claims.owner(live):
            below.setdefault(parent, []).append(live)

    def judged(live: Mapping[str, Any]) -> Readiness:
        return readiness(live, rules, has_status=ref_of(live).group_kind in with_status)

    return _sorted(_node(live, below, judged, LEVELS) for live in roots.values())


def unwell(nodes: Iterable[Node]) -> tuple[Node, ...]:
    """What is not Current, and what leads to it."""
    return tuple(replace(node, children=unwell(node.children)) for node in nodes if not node.is_well)


def cut(nodes: Iterable[Node], depth: int) -> tuple[Node, ...]:
    """The first `depth` levels, 1 or more."""
    return tuple(replace(node, children=cut(node.children, depth - 1) if depth > 1 else ()) for node in nodes)


def count(nodes: Iterable[Node]) -> Counter[Status]:
    """How many objects are how, all levels together."""
    found: Counter[Status] = Counter()
    for node in nodes:
        found[node.readiness.status] += 1
        found += count(node.children)
    return found


def _node(
    live: Mapping[str, Any],
    below: Mapping[str, Sequence[Mapping[str, Any]]],
    judged: Callable[[Mapping[str, Any]], Readiness],
    levels: int,
) -> Node:
    # An object has one owner here, and members have none, so that no way leads in a circle.
    nodes = (_node(child, below, judged, levels - 1) for child in below.get(_uid(live), ())) if levels > 1 else ()
    ref, found = ref_of(live), judged(live)
    why = pods.explain((live,)) if ref.group_kind == POD and found.status is not Status.CURRENT else ()
    created_at = one_line(str(live["metadata"].get("creationTimestamp") or ""))
    return Node(ref, found, created_at, why, _sorted(node for node in nodes if not _is_history(node)))


def ref_of(live: Mapping[str, Any]) -> ObjectRef:
    """Which object it is."""
    meta, gvk = live["metadata"], Gvk.parse(live["apiVersion"], live["kind"])
    return ObjectRef(gvk.group, gvk.kind, meta.get("namespace", ""), meta["name"])


def _uid(live: Mapping[str, Any]) -> str:
    return str(live["metadata"]["uid"])


def _owner(live: Mapping[str, Any], known: Iterable[str]) -> str:
    """The uid of the object that it was made for, its controller if it has one; empty if that is none of those that are known."""
    owners = live["metadata"].get("ownerReferences") or ()
    return next((owner["uid"] for owner in sorted(owners, key=lambda one: not one.get("controller")) if owner["uid"] in known), "")


def _is_history(node: Node) -> bool:
    return node.ref.group_kind == REPLICA_SET and not node.children and node.is_current


def _sorted(nodes: Iterable[Node]) -> tuple[Node, ...]:
    return tuple(sorted(nodes, key=lambda node: (node.ref.namespace, node.ref.kind, node.ref.group, node.ref.name)))


class _Claims:
    """Which StatefulSet made a claim: it is named TEMPLATE-SET-ORDINAL (Kubernetes documentation, "StatefulSets", "Stable Storage")."""

    def __init__(self, objects: Iterable[Mapping[str, Any]]) -> None:
        self._sets: dict[tuple[str, str], str] = {}
        """Namespace and name of a claim without its ordinal → uid of the set."""
        for live in objects:
            if (ref := ref_of(live)).group_kind == STATEFUL_SET:
                for template in (live.get("spec") or {}).get("volumeClaimTemplates") or ():
                    self._sets[ref.namespace, f"{template['metadata']['name']}-{ref.name}"] = _uid(live)

    def owner(self, live: Mapping[str, Any]) -> str:
        """The uid of the set; empty if it is no claim of one."""
        ref = ref_of(live)
        found = re.fullmatch(r"(.+)-\d+", ref.name) if ref.group_kind == CLAIM else None
        return self._sets.get((ref.namespace, found[1]), "") if found else ""
