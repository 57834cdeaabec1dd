"""Progress: how far a workload has come with what it is asked for, in numbers that two looks can be compared by.

Input: a live object that is not ready, as for `readiness`. Read by the lapses: what goes forward is not late, however long it takes. Pure, and never an error.

The rule is that of Kubernetes for a Deployment, where `progressDeadlineSeconds` counts from the last progress and not from the start (Kubernetes
documentation, "Deployments", "Failed Deployment" and "Deployment status"): more Pods are of the newest template, ready, or available. There each look is
compared with the one before; here with the best one so far, so that Pods that come up and crash go forward once.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from cvstate_operator.objects.identity import GroupKind, Gvk
from cvstate_operator.vital.facts.fields import Fields

TEMPLATE_CHARACTERS: Final = 64
"""What is kept of the name of a template: those that Kubernetes has are half as long."""
REVISION: Final = "deployment.kubernetes.io/revision"
"""Annotation of a Deployment with the number of its newest template (Kubernetes documentation, "Well-Known Labels, Annotations and Taints")."""
_TEXT: Final = re.compile(rf"(?P<template>.{{0,{TEMPLATE_CHARACTERS}}})/(?P<updated>[0-9]{{1,10}})/(?P<up>[0-9]{{1,10}})")


class Progress(NamedTuple):
    """How far it is."""

    template: str
    """Which roll-out it is on; another one begins anew. Not the generation: who only scales writes that too, as often as it likes."""
    updated: int
    """Pods of the newest template; of a Job, those that succeeded."""
    up: int
    """Pods that are ready, and once more those that are available."""

    @property
    def text(self) -> str:
        """In one word, for `parsed`: `7/15/40`."""
        return f"{self.template}/{self.updated}/{self.up}"


def parsed(text: object) -> Progress | None:
    """The progress of which this is the `text`; None if it is none."""
    found = _TEXT.fullmatch(text) if isinstance(text, str) else None
    return Progress(found["template"], int(found["updated"]), int(found["up"])) if found else None


def further(best: Progress | None, found: Progress | None) -> Progress | None:
    """The best of both, if `found` is further in anything than the `best` so far; None if it is not, or tells nothing."""
    if found is None or best is None or found.template != best.template:
        return found
    if found.updated <= best.updated and found.up <= best.up:
        return None
    return Progress(best.template, max(found.updated, best.updated), max(found.up, best.up))


def of(live: Mapping[str, Any]) -> Progress | None:
    """How far a live object is; None if its kind does not tell, or what it tells cannot be read."""
    try:
        found = Fields.of(live)
        read = _READERS.get(Gvk.parse(found.text("apiVersion"), found.text("kind")).group_kind)
        return read(found, found.below("status")) if read else None
    except ValueError:  # MalformedError is one too
        return None


def _deployment(live: Fields, status: Fields) -> Progress:
    revision = live.below("metadata").below("annotations").text(REVISION)
    return Progress(revision[:TEMPLATE_CHARACTERS], status.count("updatedReplicas"), _up(status))


def _stateful_set(_: Fields, status: Fields) -> Progress:
    return Progress(status.text("updateRevision")[:TEMPLATE_CHARACTERS], status.count("updatedReplicas"), _up(status))


def _replica_set(_: Fields, status: Fields) -> Progress:
    """Neither ReplicaSet nor ReplicationController rolls Pods out."""
    return Progress("", status.count("replicas"), _up(status))


def _daemon_set(_: Fields, status: Fields) -> Progress:
    """Nobody scales it, so each generation is a roll-out."""
    up = status.count("numberReady") + status.count("numberAvailable")
    return Progress(str(status.count("observedGeneration")), status.count("updatedNumberScheduled"), up)


def _job(_: Fields, status: Fields) -> Progress:
    """Pods that failed are no progress, though they are counted in the same way."""
    return Progress("", status.count("succeeded"), 0)


def _rollout(_: Fields, status: Fields) -> Progress:
    """Source: Argo Rollouts, v1alpha1 RolloutStatus: currentPodHash, updatedReplicas, readyReplicas, availableReplicas."""
    return Progress(status.text("currentPodHash")[:TEMPLATE_CHARACTERS], status.count("updatedReplicas"), _up(status))


def _up(status: Fields) -> int:
    return status.count("readyReplicas") + status.count("availableReplicas")


_READERS: Final[Mapping[GroupKind, Callable[[Fields, Fields], Progress]]] = {
    GroupKind("apps", "Deployment"): _deployment,
    GroupKind("apps", "StatefulSet"): _stateful_set,
    GroupKind("apps", "ReplicaSet"): _replica_set,
    GroupKind("", "ReplicationController"): _replica_set,
    GroupKind("apps", "DaemonSet"): _daemon_set,
    GroupKind("batch", "Job"): _job,
    GroupKind("argoproj.io", "Rollout"): _rollout,
}
