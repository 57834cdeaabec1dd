"""Pods: one Pod, by its phase, its conditions and what its containers wait for.

Source: Kubernetes documentation, "Pod Lifecycle". Where we differ from kstatus:

- A Pod that ended with an error is Failed; kstatus calls it Current, as completed. So is one that ended although it was always to be restarted.
- An unschedulable Pod is InProgress for any time: a node may come. kstatus says Failed once it is 15 s old; here there is no clock.
- Back-off of an image pull, and containers that initialise, are seen; kstatus looks for crash loops of a running Pod only.
"""

from collections.abc import Iterator
from typing import Final

from cvstate_operator.vital import conditions, state
from cvstate_operator.vital.conditions import Conditions
from cvstate_operator.vital.fields import Fields, MalformedError
from cvstate_operator.vital.state import Readiness, Reason

_GIVEN_UP: Final = {
    "CrashLoopBackOff": Reason.CRASH_LOOP,
    "ImagePullBackOff": Reason.IMAGE_PULL_FAILED,
    "InvalidImageName": Reason.IMAGE_PULL_FAILED,
    "ErrImageNeverPull": Reason.IMAGE_PULL_FAILED,
}
"""What a container waits for after the kubelet tried more than once, or will not try at all (kubelet, images/types.go and container/sync_result.go).
Others (`ErrImagePull`, `CreateContainerConfigError`: a ConfigMap that comes a moment later) are a first try."""

_ORDINARY: Final = ("ContainerCreating", "PodInitializing")
"""What every container waits for at first."""


def pod(live: Fields) -> Readiness:
    """Ready, or completed if it was to end."""
    status = live.below("status")
    match status.text("phase"):
        case "":
            return state.in_progress(Reason.NOT_OBSERVED, "no phase is told yet")
        case "Succeeded":
            return _succeeded(live.below("spec").text("restartPolicy"))
        case "Failed":
            why = status.text("message") or status.text("reason") or _exit(status)
            return state.failed(Reason.POD_FAILED, f"ended with an error: {why}" if why else "ended with an error")
        case "Running" | "Pending":
            return _under_way(status)
        case "Unknown":
            return state.unknown(Reason.HEARTBEAT_LOST, "its node does not answer")
        case _:
            raise MalformedError("/status/phase is none that Pods have")


def _succeeded(restart_policy: str) -> Readiness:
    if restart_policy in ("Never", "OnFailure"):
        return state.current(Reason.COMPLETED, "completed")
    return state.failed(Reason.POD_FAILED, "ended, though its containers were to be restarted always")  # by a node that went down, say


def _under_way(status: Fields) -> Readiness:
    told = Conditions.of(status)
    if told.true("Ready"):
        return state.current(Reason.READY, "is ready")
    waiting = tuple(_waiting(status))
    for container, reason, message in waiting:
        if reason in _GIVEN_UP:
            return state.failed(_GIVEN_UP[reason], f"container {container}: {reason}{_also(message)}")
    scheduled = told.find("PodScheduled")
    if scheduled and scheduled.status == conditions.FALSE:
        reason = Reason.UNSCHEDULABLE if scheduled.reason == "Unschedulable" else Reason.PENDING
        return state.in_progress(reason, f"no node yet: {scheduled.told}")
    for container, reason, message in waiting:
        if reason not in _ORDINARY:
            return state.in_progress(Reason.CONTAINER_WAITING, f"container {container} waits: {reason}{_also(message)}")
    if status.text("phase") == "Pending":
        return state.in_progress(Reason.PENDING, "its containers are about to start")
    ready = told.find("Ready")
    return state.in_progress(Reason.NOT_READY, f"runs, and is not ready: {ready.told}" if ready else "runs, and is not ready")


def _waiting(status: Fields) -> Iterator[tuple[str, str, str]]:
    """Name, reason and message of each container that waits, those that initialise first."""
    for name in ("initContainerStatuses", "containerStatuses"):
        for container in status.items(name):
            waiting = container.below("state").below("waiting")
            if reason := waiting.text("reason"):
                yield container.text("name"), reason, waiting.text("message")


def _exit(status: Fields) -> str:
    """How the first container that failed ended; empty if none did."""
    for name in ("initContainerStatuses", "containerStatuses"):
        for container in status.items(name):
            end = container.below("state").below("terminated")
            if code := end.count("exitCode"):
                return f"container {container.text('name')} exited with {code}{_also(end.text('reason'))}"
    return ""


def _also(text: str) -> str:
    return f" ({text})" if text else ""
