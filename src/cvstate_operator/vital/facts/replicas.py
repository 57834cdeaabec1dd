"""Replicas: how many Pods a workload asks for, and how many of them are ready, by its own status; no Pod is read.

Input: a live object of a member, as for `readiness`. Read by the live index; summed up by `indicators.pods_ready`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cvstate_operator.objects.identity import GroupKind, Gvk
from cvstate_operator.vital.facts.conditions import Conditions
from cvstate_operator.vital.facts.fields import Fields, MalformedError


@dataclass(frozen=True, slots=True)
class Replicas:
    """Pods of one workload."""

    desired: int
    ready: int
    """From 0 to `desired`: what is ready beyond that makes up for no other workload."""


NONE: Final = Replicas(0, 0)


def total(workloads: Iterable[Replicas]) -> Replicas:
    """The Pods of all of them."""
    found = tuple(workloads)
    return Replicas(sum(one.desired for one in found), sum(one.ready for one in found))


def replicas(live: Mapping[str, Any]) -> Replicas | None:
    """Pods of a live object, None if its kind asks for none; never raises.

    Where the counts cannot be read, one Pod is asked for and none is ready: what is not known is never well.
    """
    try:
        found = Fields.of(live)
        count = _COUNTS.get(Gvk.parse(found.text("apiVersion"), found.text("kind")).group_kind)
    except ValueError:  # MalformedError is one too
        return None
    if count is None:
        return None
    try:
        desired, ready = count(found.below("spec"), found.below("status"))
    except MalformedError:
        return Replicas(1, 0)
    return Replicas(desired, min(ready, desired))


def _scaled(spec: Fields, status: Fields) -> tuple[int, int]:
    return spec.count("replicas", 1), status.count("readyReplicas")


def _daemon_set(_: Fields, status: Fields) -> tuple[int, int]:
    """As many as its controller says there shall be; none before it looked."""
    return status.count("desiredNumberScheduled"), status.count("numberReady")


def _job(_: Fields, status: Fields) -> tuple[int, int]:
    """Those that run now; one that has ended, is suspended or waits for its next try asks for none. `ready` is told since Kubernetes 1.24."""
    return status.count("active"), status.count("ready")


def _pod(_: Fields, status: Fields) -> tuple[int, int]:
    """Itself, unless it was to end and ended well."""
    if status.text("phase") == "Succeeded":
        return 0, 0
    return 1, int(Conditions.of(status).true("Ready") is not None)


_COUNTS: Final[Mapping[GroupKind, Callable[[Fields, Fields], tuple[int, int]]]] = {
    GroupKind("apps", "Deployment"): _scaled,
    GroupKind("apps", "StatefulSet"): _scaled,
    GroupKind("apps", "ReplicaSet"): _scaled,
    GroupKind("", "ReplicationController"): _scaled,
    GroupKind("apps", "DaemonSet"): _daemon_set,
    GroupKind("batch", "Job"): _job,
    GroupKind("", "Pod"): _pod,
}
"""A CronJob asks for Pods by its Jobs, which are not members."""

WORKLOADS: Final = frozenset(_COUNTS)
"""Kinds that ask for Pods: `replicas` is None for all others."""
