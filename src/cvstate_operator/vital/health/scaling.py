"""Objects that act on the Pods of others: HorizontalPodAutoscalers and PodDisruptionBudgets. They are judged by whether they can do their work."""

from typing import Final

import orjson

from cvstate_operator.vital.facts import conditions
from cvstate_operator.vital.facts.conditions import Conditions
from cvstate_operator.vital.facts.fields import Fields, MalformedError
from cvstate_operator.vital.health import generic, state
from cvstate_operator.vital.health.state import Readiness, Reason

_V1_CONDITIONS: Final = "autoscaling.alpha.kubernetes.io/conditions"
"""Annotation with the conditions as JSON, in version v1 only (Kubernetes documentation, "Well-Known Labels, Annotations and Taints")."""

_REFUSED: Final = ("InvalidSelector", "InvalidMetricSourceType", "AmbiguousSelector")
"""Reasons of ScalingActive that no waiting will change."""


def autoscaler(live: Fields) -> Readiness:
    """Able to read its metrics and to scale its target; whether it is about to scale does not matter. kstatus has no rule, and says Current always.

    Source: Kubernetes documentation, "HorizontalPodAutoscaler Walkthrough", "Appendix: Horizontal Pod Autoscaler Status Conditions".
    """
    status = live.below("status")
    told = _told(live)
    able, active = told.find("AbleToScale"), told.find("ScalingActive")
    if able is None and active is None:
        return state.in_progress(Reason.NOT_OBSERVED, "its controller has not seen it yet")
    if able and able.status != conditions.TRUE:
        return state.in_progress(Reason.TARGET_MISSING, f"cannot scale its target: {able.told}")
    if active and active.status != conditions.TRUE:
        if active.reason == "ScalingDisabled":
            return state.current(Reason.SUSPENDED, "its target is scaled to zero")
        if active.reason in _REFUSED:
            return state.failed(Reason.SPEC_REFUSED, active.told)
        return state.in_progress(Reason.METRICS_MISSING, f"cannot tell how many replicas are needed: {active.told}")
    if active is None:
        return state.in_progress(Reason.METRICS_MISSING, "has not read its metrics yet")
    return state.current(Reason.READY, f"wants {status.count('desiredReplicas')} replicas; {status.count('currentReplicas')} are there")


def disruption_budget(live: Fields) -> Readiness:
    """Computed for its newest spec; whether enough Pods are healthy is told by their owners, as in kstatus (README, "Challenges").

    That it could not be computed (`SyncFailed`) is Failed; kstatus overlooks it. Source: Kubernetes API reference, PodDisruptionBudgetStatus.
    """
    status = live.below("status")
    if unseen := generic.not_observed(status):
        return unseen
    allowed = Conditions.of(status).find("DisruptionAllowed")
    if allowed and allowed.reason == "SyncFailed":
        return state.failed(Reason.SPEC_REFUSED, f"cannot be computed: {allowed.told}")
    healthy, wanted = status.count("currentHealthy"), status.count("desiredHealthy")
    return state.current(Reason.READY, f"{healthy} healthy, {wanted} needed, {status.count('disruptionsAllowed')} disruptions allowed")


def _told(live: Fields) -> Conditions:
    """The conditions, wherever its version keeps them."""
    text = live.below("metadata").below("annotations").text(_V1_CONDITIONS)
    if live.text("apiVersion") != "autoscaling/v1" or not text:
        return Conditions.of(live.below("status"))
    try:
        entries = orjson.loads(text)
    except orjson.JSONDecodeError as exc:
        raise MalformedError(f"annotation {_V1_CONDITIONS} is no JSON") from exc
    return Conditions.of(Fields({"conditions": entries}, f"annotation {_V1_CONDITIONS}"))
