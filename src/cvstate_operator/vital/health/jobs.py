"""Jobs and CronJobs.

Where we differ from kstatus:

- A Job that runs is InProgress until it is complete; kstatus calls it Current from its start. Who depends on a migration needs its end, so
  Flux judges Jobs by a reader of its own as well (kubernetes-sigs/cli-utils#350, fluxcd/kustomize-controller#553).
- A Job is suspended only if its spec still says so: the condition stays for a moment after it was resumed.
"""

from cvstate_operator.vital.facts.conditions import Conditions
from cvstate_operator.vital.facts.fields import Fields
from cvstate_operator.vital.health import state
from cvstate_operator.vital.health.state import Readiness, Reason


def job(live: Fields) -> Readiness:
    """Complete, failed, suspended, or running.

    `FailureTarget` and `SuccessCriteriaMet` tell the outcome before the last Pods are gone: the former is Failed at once, the latter not yet complete.
    Source: Kubernetes documentation, "Jobs", "Terminal Job conditions".
    """
    spec, status = live.below("spec"), live.below("status")
    told = Conditions.of(status)
    progress = _progress(spec, status)
    if told.true("Complete"):
        return state.current(Reason.COMPLETED, f"completed: {progress}")
    if why := told.true("Failed") or told.true("FailureTarget"):
        return state.failed(Reason.JOB_FAILED, f"failed: {why.told}")
    if spec.flag("suspend") and told.true("Suspended"):
        return state.current(Reason.SUSPENDED, f"is suspended: {progress}")
    if not status.has("startTime"):
        return state.in_progress(Reason.NOT_OBSERVED, "is not started yet")
    return state.in_progress(Reason.RUNNING, progress)


def cron_job(live: Fields) -> Readiness:
    """Current as soon as it is there, as in kstatus: its status tells times, and not how its Jobs ended."""
    spec, status = live.below("spec"), live.below("status")
    active = len(status.items("active"))
    if spec.flag("suspend"):
        return state.current(Reason.SUSPENDED, "is suspended")
    last = status.text("lastSuccessfulTime")
    return state.current(Reason.READY, f"{active} Jobs are active; the last success was {f'at {last}' if last else 'never'}")


def _progress(spec: Fields, status: Fields) -> str:
    """What is done, runs and failed. Without `completions` one success ends the Job (a work queue)."""
    succeeded, active, failures = status.count("succeeded"), status.count("active"), status.count("failed")
    what = "indexes" if spec.text("completionMode") == "Indexed" else "Pods"
    done = f"{succeeded} of {spec.count('completions')}" if spec.has("completions") else f"{succeeded}"
    parts = [f"{done} {what} succeeded", f"{active} active"]
    if failures:
        parts.append(f"{failures} failed")
    if indexes := status.text("failedIndexes"):
        parts.append(f"indexes given up: {indexes}")
    return ", ".join(parts)
