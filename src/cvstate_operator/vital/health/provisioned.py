"""What somebody outside the API server has to provide: addresses and volumes."""

from typing import Final

from cvstate_operator.vital.facts.conditions import Conditions
from cvstate_operator.vital.facts.fields import Fields, MalformedError
from cvstate_operator.vital.health import state
from cvstate_operator.vital.health.state import Readiness, Reason

_ASKED: Final = (
    "volume.kubernetes.io/selected-node",
    "volume.kubernetes.io/storage-provisioner",
    "volume.beta.kubernetes.io/storage-provisioner",
)
"""Annotations of a claim for which a volume is being made: the scheduler chose a node, or a provisioner was asked (Kubernetes documentation, "Well-Known
Labels, Annotations and Taints")."""

_CHANGE_ERRORS: Final = ("ControllerResizeError", "NodeResizeError", "ModifyVolumeError")
_CHANGES: Final = ("Resizing", "ModifyingVolume")
"""Conditions of a claim (Kubernetes API reference, PersistentVolumeClaimConditionType). Not `FileSystemResizePending`: it waits for a Pod to mount."""


def service(live: Fields) -> Readiness:
    """Ready at once, but for a load balancer without an address.

    kstatus asks for a cluster IP only, which is there from the start. Argo CD asks for an address, as we do (docs/operator-manual/health.md).
    """
    addresses = _addresses(live.below("status"))
    if live.below("spec").text("type") != "LoadBalancer":
        return state.current(Reason.READY, "needs nobody to provide it")
    if not addresses:
        return state.in_progress(Reason.PENDING, "the load balancer has no address yet")
    return state.current(Reason.READY, f"the load balancer has {', '.join(addresses)}")


def ingress(live: Fields) -> Readiness:
    """Current with or without an address, as in kstatus.

    Many controllers never write one, and objects that wait for it wait for ever (Argo CD, FAQ, "Why is my application stuck in Progressing state").
    """
    addresses = _addresses(live.below("status"))
    if not addresses:
        return state.current(Reason.NO_ADDRESS, "no address is told; many controllers never do")
    return state.current(Reason.READY, f"has {', '.join(addresses)}")


def volume_claim(live: Fields) -> Readiness:
    """Bound, and not being changed.

    A class with `WaitForFirstConsumer` leaves its claims Pending until a Pod uses them, and the claim alone does not tell the class' mode. So a Pending claim
    for which nobody asked a provisioner gets a reason of its own: a wave that waits for it before it makes the Pods would wait for ever.
    Differs from kstatus, where every bound claim is Current and a lost one in progress.
    """
    status = live.below("status")
    match status.text("phase"):
        case "Bound":
            return _bound(Conditions.of(status))
        case "Pending" | "":
            annotations = live.below("metadata").below("annotations")
            if any(annotations.has(name) for name in _ASKED):
                return state.in_progress(Reason.PENDING, "its volume is being made")
            return state.in_progress(Reason.AWAITS_CONSUMER, "is not bound; it may wait for the first Pod that uses it")
        case "Lost":
            return state.failed(Reason.VOLUME_LOST, "its volume is gone")
        case _:
            raise MalformedError("/status/phase is none that claims have")


def volume(live: Fields) -> Readiness:
    """A PersistentVolume that can be used, is used or was used. Failed: its reclamation failed. kstatus has no rule for it.

    Source: Kubernetes documentation, "Persistent Volumes", "Phase".
    """
    status = live.below("status")
    match status.text("phase"):
        case "Available" | "Bound" | "Released" as phase:
            return state.current(Reason.READY, f"is {phase}")
        case "Pending" | "":
            return state.in_progress(Reason.PENDING, "is not available yet")
        case "Failed":
            why = status.text("message") or status.text("reason")
            return state.failed(Reason.VOLUME_CHANGE_FAILED, f"reclaiming it failed: {why}" if why else "reclaiming it failed")
        case _:
            raise MalformedError("/status/phase is none that volumes have")


def _bound(told: Conditions) -> Readiness:
    for kind in _CHANGE_ERRORS:
        if error := told.true(kind):
            return state.failed(Reason.VOLUME_CHANGE_FAILED, f"{kind}: {error.told}")
    for kind in _CHANGES:
        if change := told.true(kind):
            return state.in_progress(Reason.RESIZING, f"{kind}: {change.told}")
    return state.current(Reason.READY, "is bound")


def _addresses(status: Fields) -> list[str]:
    points = status.below("loadBalancer").items("ingress")
    return [address for point in points if (address := point.text("hostname") or point.text("ip"))]
