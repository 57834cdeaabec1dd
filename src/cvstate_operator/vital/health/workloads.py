"""Workloads: kinds that keep a number of Pods. They are judged by the counts that their controller writes in one go.

What a person holds back by the spec (`paused`, `OnDelete`, `partition`) is not waited for; what runs must still be there and be ready. Where we differ
from kstatus:

- An `OnDelete` StatefulSet without ready Pods is not Current, as kstatus has it; an `OnDelete` DaemonSet need not be updated.
- A paused Deployment whose Pods are available is Current. kstatus waits for a roll-out that will not come, even if there is nothing to roll out.
- Available counts, so `minReadySeconds` does, also of a StatefulSet.
- `fullyLabeledReplicas` is not asked: adopted Pods may lack a label of the template for ever.
- `observedGeneration` must be there; kstatus asks that of a DaemonSet only, so a new ReplicaSet with 0 replicas is Current before anybody saw it.
"""

from dataclasses import dataclass

from cvstate_operator.vital.facts import conditions
from cvstate_operator.vital.facts.conditions import Condition, Conditions
from cvstate_operator.vital.facts.fields import Fields
from cvstate_operator.vital.health import generic, state
from cvstate_operator.vital.health.state import Readiness, Reason

ON_DELETE = "OnDelete"


@dataclass(frozen=True, slots=True)
class Pods:
    """The Pods of one object, counted by its controller."""

    wanted: int
    existing: int
    ready: int
    available: int
    """Ready for `minReadySeconds`."""
    updated: int
    """Made from the newest template."""
    to_update: int
    """How many must be; 0 where somebody updates by hand."""
    failure: Condition | None = None
    """Why Pods cannot be made, if that is told."""
    allows_surplus: bool = False
    """Whether more Pods than wanted may stay."""


def deployment(live: Fields) -> Readiness:
    """Complete when all Pods are updated and available and no old one is left; failed when its deadline passed.

    Source: Kubernetes documentation, "Deployments", "Complete Deployment", "Failed Deployment", "Pausing and Resuming".
    """
    spec, status = live.below("spec"), live.below("status")
    if unseen := generic.not_observed(status):
        return unseen
    told = Conditions.of(status)
    progressing = told.find("Progressing")
    if progressing and progressing.status == conditions.FALSE and progressing.reason == "ProgressDeadlineExceeded":
        return state.failed(Reason.PROGRESS_DEADLINE_EXCEEDED, progressing.told)
    wanted, is_paused = spec.count("replicas", 1), spec.flag("paused")
    pods = Pods(
        wanted=wanted,
        existing=status.count("replicas"),
        ready=status.count("readyReplicas"),
        available=status.count("availableReplicas"),
        updated=status.count("updatedReplicas"),
        to_update=0 if is_paused else wanted,
        failure=told.true("ReplicaFailure"),
        allows_surplus=is_paused,
    )
    if missing := _missing(pods):
        return missing
    return state.current(Reason.PAUSED, f"is paused; {_of(pods.updated, wanted)} updated") if is_paused else _complete(pods)


def replica_set(live: Fields) -> Readiness:
    """As many available Pods as asked for, and no more. ReplicaSet and ReplicationController; neither updates Pods.

    Source: Kubernetes API reference, ReplicaSetStatus and ReplicationControllerStatus.
    """
    spec, status = live.below("spec"), live.below("status")
    if unseen := generic.not_observed(status):
        return unseen
    pods = Pods(
        wanted=spec.count("replicas", 1),
        existing=status.count("replicas"),
        ready=status.count("readyReplicas"),
        available=status.count("availableReplicas"),
        updated=0,
        to_update=0,
        failure=Conditions.of(status).true("ReplicaFailure"),
    )
    return _missing(pods) or _complete(pods)


def stateful_set(live: Fields) -> Readiness:
    """All Pods ready, and those from `partition` on updated. Its controller never tells a failure.

    Once a roll-out is done, current and update revision are the same; then no count is needed. The partition counts Pods, whatever ordinal they start
    with, and may be larger than their number. Source: Kubernetes documentation, "StatefulSets", "Update strategies"; helm/helm#10387.
    """
    spec, status = live.below("spec"), live.below("status")
    if unseen := generic.not_observed(status):
        return unseen
    wanted, strategy = spec.count("replicas", 1), spec.below("updateStrategy")
    revision = status.text("updateRevision")
    if strategy.text("type") == ON_DELETE or (revision and revision == status.text("currentRevision")):
        to_update = 0
    else:
        to_update = max(0, wanted - strategy.below("rollingUpdate").count("partition"))
    ready = status.count("readyReplicas")
    pods = Pods(
        wanted=wanted,
        existing=status.count("replicas"),
        ready=ready,
        available=status.count("availableReplicas", ready),  # told since Kubernetes 1.22
        updated=status.count("updatedReplicas"),
        to_update=to_update,
    )
    return _missing(pods) or _complete(pods)


def daemon_set(live: Fields) -> Readiness:
    """An updated and available Pod on every node that is to have one. Pods where none should be are not waited for: a taint leaves them for ever.

    Source: Kubernetes API reference, DaemonSetStatus.
    """
    spec, status = live.below("spec"), live.below("status")
    if unseen := generic.not_observed(status):
        return unseen
    wanted = status.count("desiredNumberScheduled")
    pods = Pods(
        wanted=wanted,
        existing=status.count("currentNumberScheduled"),
        ready=status.count("numberReady"),
        available=status.count("numberAvailable"),
        updated=status.count("updatedNumberScheduled"),
        to_update=0 if spec.below("updateStrategy").text("type") == ON_DELETE else wanted,
        allows_surplus=True,
    )
    return _missing(pods) or _complete(pods)


def _missing(pods: Pods) -> Readiness | None:
    """The first thing that is missing; None if nothing is."""
    if pods.existing < pods.wanted:
        return _unmade(pods, Reason.REPLICAS_MISSING, f"{_of(pods.existing, pods.wanted)} there")
    if pods.updated < pods.to_update:
        return _unmade(pods, Reason.REPLICAS_OUTDATED, f"{_of(pods.updated, pods.to_update)} updated")
    if pods.ready < pods.wanted:
        return state.in_progress(Reason.REPLICAS_NOT_READY, f"{_of(pods.ready, pods.wanted)} ready")
    if pods.available < pods.wanted:
        return state.in_progress(Reason.REPLICAS_NOT_AVAILABLE, f"{_of(pods.available, pods.wanted)} available")
    if pods.existing > pods.wanted and not pods.allows_surplus:
        return state.in_progress(Reason.REPLICAS_SURPLUS, f"{pods.existing} replicas are there, and {pods.wanted} are wanted")
    return None


def _unmade(pods: Pods, reason: Reason, message: str) -> Readiness:
    """Pods are yet to be made, or cannot be."""
    if pods.failure:
        return state.in_progress(Reason.REPLICA_FAILURE, f"{message}: {pods.failure.told}")
    return state.in_progress(reason, message)


def _complete(pods: Pods) -> Readiness:
    return state.current(Reason.READY, f"{_of(pods.wanted, pods.wanted)} ready" if pods.wanted else "no replicas are asked for")


def _of(found: int, wanted: int) -> str:
    return f"{found} of {wanted} replicas are"
