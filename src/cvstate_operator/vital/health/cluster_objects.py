"""What a cluster itself is made of: nodes, namespaces, kinds, and APIs that others serve."""

from typing import Final

from cvstate_operator.vital.facts import conditions
from cvstate_operator.vital.facts.conditions import Conditions
from cvstate_operator.vital.facts.fields import Fields, MalformedError
from cvstate_operator.vital.health import generic, state
from cvstate_operator.vital.health.state import Readiness, Reason

_PRESSURES: Final = ("MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable")
"""Conditions of a node that are True when something is short (Kubernetes documentation, "Node Status")."""


def node(live: Fields) -> Readiness:
    """Ready as its kubelet says; a silent kubelet (Ready is Unknown) is no answer at all, where kstatus says InProgress.

    A node that is short of something, or cordoned, is still there; that is told, and weighed elsewhere.
    Source: Kubernetes documentation, "Node Status", "Conditions".
    """
    told = Conditions.of(live.below("status"))
    ready = told.find("Ready")
    if ready is None:
        return state.in_progress(Reason.NOT_OBSERVED, "its kubelet has not told anything yet")
    if ready.status == conditions.UNKNOWN:
        return state.unknown(Reason.HEARTBEAT_LOST, f"its kubelet is silent: {ready.told}")
    if ready.status != conditions.TRUE:
        return generic.summed_up(ready)
    notes = [kind for kind in _PRESSURES if told.true(kind)]
    if live.below("spec").flag("unschedulable"):
        notes.append("cordoned")
    return state.current(Reason.READY, f"is ready; {', '.join(notes)}" if notes else "is ready")


def namespace(live: Fields) -> Readiness:
    """Active. Source: Kubernetes API reference, NamespaceStatus."""
    match live.below("status").text("phase"):
        case "Active":
            return state.current(Reason.READY, "is active")
        case "Terminating":
            return generic.terminating(live.below("metadata"))
        case "":
            return state.in_progress(Reason.NOT_OBSERVED, "no phase is told yet")
        case _:
            raise MalformedError("/status/phase is none that namespaces have")


def definition(live: Fields) -> Readiness:
    """A CustomResourceDefinition whose names were accepted and whose kind is served, as in kstatus.

    Source: Kubernetes API reference, CustomResourceDefinitionConditionType.
    """
    told = Conditions.of(live.below("status"))
    names, established = told.find("NamesAccepted"), told.find("Established")
    if names and names.status == conditions.FALSE:
        return state.failed(Reason.SPEC_REFUSED, names.told)
    if established is None:
        return state.in_progress(Reason.NOT_OBSERVED, "its kind is not served yet")
    if established.status == conditions.FALSE and established.reason != "Installing":
        return state.failed(Reason.SPEC_REFUSED, established.told)
    return generic.summed_up(established)


def api_service(live: Fields) -> Readiness:
    """An APIService whose backend answers; it may come late, so False is InProgress. kstatus has no rule, and says Current always.

    Source: Kubernetes documentation, "Kubernetes API Aggregation Layer"; APIServiceConditionType `Available`.
    """
    available = Conditions.of(live.below("status")).find("Available")
    return generic.summed_up(available) if available else state.in_progress(Reason.NOT_OBSERVED, "its backend was not asked yet")
