"""Generic rules: what holds for every kind, and what is left for kinds without rules of their own.

Source: sigs.k8s.io/cli-utils, pkg/kstatus/README.md, "Conditions" and "The Ready Condition". Where we differ:

- Stalled outweighs Reconciling; kstatus takes the one that stands first, so the order of a list would decide.
- A condition of an older generation does not count (metav1.Condition, `observedGeneration`), where the status as a whole names no generation. Gateway
  API and others tell the generation nowhere else; kstatus reads such a condition as new.
- Without Ready, `Available` or `Established` decides, which many kinds have instead; kstatus calls those objects Current.
- Kinds that nobody can list, as providers of clouds have them by the hundred, are told by their conditions: Crossplane's Synced, ACK's own two.
- Without a condition that sums up, Degraded, Failed or Error that is True speaks against an object; kstatus overlooks them.
- Where only a controller can write a status, an object without one is Unknown; kstatus and Argo CD call it Current and Healthy.
"""

from typing import Final

from cvstate_operator.vital.facts import conditions
from cvstate_operator.vital.facts.conditions import Condition, Conditions
from cvstate_operator.vital.facts.fields import Fields
from cvstate_operator.vital.health import state
from cvstate_operator.vital.health.state import Readiness, Reason, Status

SUMMARIES: Final = ("Ready", "Available", "Established", "ACK.ResourceSynced")
"""Conditions that sum an object up; the first that is there decides. Ready is kstatus' own; OpenShift's operators and APIService tell Available,
CustomResourceDefinition Established, and the AWS Controllers for Kubernetes ACK.ResourceSynced (their documentation, "Conditions")."""

APPLIED: Final = "Synced"
"""False where Crossplane could not apply the newest spec, while what it applied before stays Ready (crossplane-runtime, common/v1 TypeSynced)."""
ON_HOLD: Final = "ReconcilePaused"
"""Its reason where somebody asked for that (crossplane-runtime, common/v1 ReasonReconcilePaused)."""
TROUBLES: Final = ("Failed", "Error", "Degraded")
"""Conditions that are True when something is wrong (Kubernetes API conventions, "Typical status properties": of abnormal-true polarity); the first that is
counts."""
TERMINAL: Final = "ACK.Terminal"
"""True where the AWS Controllers for Kubernetes need another spec before they try again (aws-controllers-k8s/runtime, core/v1alpha1 ConditionTypeTerminal)."""
_UNWRITTEN: Final = (
    "no controller has written its status yet: see whether the one of its kind runs, or say in spec.vital.healthExprs that none does"
)


def first(live: Fields) -> Readiness | None:
    """What decides for every kind, before its own rules; None if nothing does."""
    meta, status = live.below("metadata"), live.below("status")
    if meta.text("deletionTimestamp"):
        return terminating(meta)
    generation, observed = meta.generation("generation"), status.generation("observedGeneration")
    if generation is not None and observed is not None and generation != observed:
        return state.in_progress(Reason.NOT_OBSERVED, f"generation {generation} is not seen by its controller, only {observed}")
    told = Conditions.of(status)
    if (stalled := told.true("Stalled")) and not _is_outdated(stalled, live):
        return state.failed(Reason.STALLED, stalled.told)
    if reconciling := told.true("Reconciling"):
        return state.in_progress(Reason.RECONCILING, reconciling.told)
    return None


def by_controller(live: Fields) -> Readiness:
    """A kind without rules of its own, whose status nobody but a controller writes.

    Without one nobody looked at the object, or nobody ever tells. The object does not say which, so it is neither Current nor late.
    """
    if not live.has("status"):
        return state.unknown(Reason.NOT_OBSERVED, _UNWRITTEN)
    return by_conditions(live)


def by_conditions(live: Fields) -> Readiness:
    """A kind without rules of its own."""
    if not live.has("status"):
        return state.current(Reason.NO_STATUS, "has no status")
    told = Conditions.of(live.below("status"))
    if terminal := told.true(TERMINAL):
        return state.failed(Reason.SPEC_REFUSED, terminal.told)
    found = next((summary for kind in SUMMARIES if (summary := told.find(kind))), None)
    found = found or next((trouble for kind in TROUBLES if (trouble := told.true(kind))), None)
    if found is None:
        return state.current(Reason.NO_KNOWN_CONDITION, "no condition that we know speaks against it")
    if _is_outdated(found, live):
        return state.in_progress(Reason.NOT_OBSERVED, f"{found.type} speaks of generation {found.generation}, not of the newest")
    if found.type in TROUBLES:
        return _not_ready(found)
    applied = told.find(APPLIED)
    if found.status == conditions.TRUE and applied and applied.status == conditions.FALSE and applied.reason != ON_HOLD:
        return summed_up(applied)
    return summed_up(found)


def summed_up(condition: Condition) -> Readiness:
    """What a condition says that is True when all is well. False may be a start or the end; only time tells, so it is InProgress."""
    if condition.status == conditions.TRUE:
        return state.current(Reason.READY, f"{condition.type} is True")
    return _not_ready(condition)


def _not_ready(condition: Condition) -> Readiness:
    why = condition.message or condition.reason
    told = f"{condition.type} is {condition.status or 'not told'}"
    return state.in_progress(Reason.NOT_READY, f"{told}: {why}" if why else told)


def not_observed(status: Fields) -> Readiness | None:
    """For kinds whose controller always names the generation that it saw: InProgress until it did once; then None."""
    if status.has("observedGeneration"):
        return None
    return state.in_progress(Reason.NOT_OBSERVED, "its controller has not seen it yet")


def terminating(meta: Fields) -> Readiness:
    """An object that is being deleted, and what it waits for."""
    waits = ", ".join(sorted(meta.texts("finalizers")))
    return Readiness(Status.TERMINATING, Reason.DELETING, f"is being deleted; waits for {waits}" if waits else "is being deleted")


def _is_outdated(condition: Condition, live: Fields) -> bool:
    if live.below("status").has("observedGeneration") or condition.generation is None:
        return False
    return condition.generation < (live.below("metadata").generation("generation") or 0)
