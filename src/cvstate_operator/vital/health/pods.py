"""Pods: one Pod, by its phase, its conditions and what its containers wait for.

Source: Kubernetes documentation, "Pod Lifecycle". Where we differ from kstatus:

- A Pod that ended with an error is Failed; kstatus calls it Current, as completed. So is one that ended although it was always to be restarted.
- An unschedulable Pod is InProgress for any time: a node may come. kstatus says Failed once it is 15 s old; here there is no clock.
- Back-off of an image pull, and containers that initialise, are seen; kstatus looks for crash loops of a running Pod only.
"""

from collections.abc import Sequence

from cvstate_operator.vital.facts import conditions, containers
from cvstate_operator.vital.facts.conditions import Conditions
from cvstate_operator.vital.facts.containers import Container
from cvstate_operator.vital.facts.fields import Fields, MalformedError
from cvstate_operator.vital.health import state
from cvstate_operator.vital.health.state import Readiness, Reason


def pod(live: Fields) -> Readiness:
    """Ready, or completed if it was to end."""
    status = live.below("status")
    match status.text("phase"):
        case "":
            return state.in_progress(Reason.NOT_OBSERVED, "no phase is told yet")
        case "Succeeded":
            return _succeeded(live.below("spec").text("restartPolicy"))
        case "Failed":
            why = status.text("message") or status.text("reason") or _exit(containers.of(live))
            return state.failed(Reason.POD_FAILED, f"ended with an error: {why}" if why else "ended with an error")
        case "Running" | "Pending":
            return _under_way(live)
        case "Unknown":
            return state.unknown(Reason.HEARTBEAT_LOST, "its node does not answer")
        case _:
            raise MalformedError("/status/phase is none that Pods have")


def _succeeded(restart_policy: str) -> Readiness:
    if restart_policy in ("Never", "OnFailure"):
        return state.current(Reason.COMPLETED, "completed")
    return state.failed(Reason.POD_FAILED, "ended, though its containers were to be restarted always")  # by a node that went down, say


def _under_way(live: Fields) -> Readiness:
    status = live.below("status")
    told = Conditions.of(status)
    if told.true("Ready"):
        return state.current(Reason.READY, "is ready")
    found = containers.of(live)
    for container in found:
        if container.has_given_up:
            reason = Reason.CRASH_LOOP if container.waits == containers.CRASH_LOOP else Reason.IMAGE_PULL_FAILED
            return state.failed(reason, f"container {container.name}: {container.waits}{_also(container.waits_told)}")
    scheduled = told.find("PodScheduled")
    if scheduled and scheduled.status == conditions.FALSE:
        reason = Reason.UNSCHEDULABLE if scheduled.reason == "Unschedulable" else Reason.PENDING
        return state.in_progress(reason, f"no node yet: {scheduled.told}")
    for container in found:
        if container.is_held_up:
            return state.in_progress(
                Reason.CONTAINER_WAITING, f"container {container.name} waits: {container.waits}{_also(container.waits_told)}"
            )
    if status.text("phase") == "Pending":
        return state.in_progress(Reason.PENDING, "its containers are about to start")
    ready = told.find("Ready")
    return state.in_progress(Reason.NOT_READY, f"runs, and is not ready: {ready.told}" if ready else "runs, and is not ready")


def _exit(found: Sequence[Container]) -> str:
    """How the first container that failed ended; empty if none did."""
    for container in found:
        if container.end and not container.end.is_good:
            return f"container {container.name} exited with {container.end.exit_code}{_also(container.end.reason)}"
    return ""


def _also(text: str) -> str:
    return f" ({text})" if text else ""
