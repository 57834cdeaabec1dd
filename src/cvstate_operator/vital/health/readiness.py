"""Readiness: whether one live object is as its spec asks for. Level-based: the object alone is judged, not its past and not its children.

The semantics are those of kstatus (sigs.k8s.io/cli-utils, pkg/kstatus), so `kubectl wait`, Flux and we mostly agree; each module of this package says
where its rules differ, and why. Two differences hold everywhere: nothing depends on the clock, and what cannot be read is Unknown instead of an error.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from cvstate_operator.objects.identity import GroupKind, Gvk
from cvstate_operator.vital.facts.fields import Fields, MalformedError
from cvstate_operator.vital.health import cluster_objects, custom_health, generic, jobs, pods, provisioned, scaling, state, workloads
from cvstate_operator.vital.health.custom_health import HealthRule
from cvstate_operator.vital.health.library import silent
from cvstate_operator.vital.health.library.catalog import LIBRARY
from cvstate_operator.vital.health.state import Readiness, Reason

Rule: TypeAlias = Callable[[Fields], Readiness]
"""Judges an object that is not being deleted, whose newest generation was seen, and that is neither stalled nor reconciling."""

RULES: Final[Mapping[GroupKind, Rule]] = {
    GroupKind("apps", "Deployment"): workloads.deployment,
    GroupKind("apps", "ReplicaSet"): workloads.replica_set,
    GroupKind("", "ReplicationController"): workloads.replica_set,
    GroupKind("apps", "StatefulSet"): workloads.stateful_set,
    GroupKind("apps", "DaemonSet"): workloads.daemon_set,
    GroupKind("", "Pod"): pods.pod,
    GroupKind("batch", "Job"): jobs.job,
    GroupKind("batch", "CronJob"): jobs.cron_job,
    GroupKind("", "Service"): provisioned.service,
    GroupKind("networking.k8s.io", "Ingress"): provisioned.ingress,
    GroupKind("", "PersistentVolumeClaim"): provisioned.volume_claim,
    GroupKind("", "PersistentVolume"): provisioned.volume,
    GroupKind("autoscaling", "HorizontalPodAutoscaler"): scaling.autoscaler,
    GroupKind("policy", "PodDisruptionBudget"): scaling.disruption_budget,
    GroupKind("", "Node"): cluster_objects.node,
    GroupKind("", "Namespace"): cluster_objects.namespace,
    GroupKind("apiextensions.k8s.io", "CustomResourceDefinition"): cluster_objects.definition,
    GroupKind("apiregistration.k8s.io", "APIService"): cluster_objects.api_service,
}
"""Built-in kinds with a rule of their own. Other kinds go by the library if it has them, and else by their conditions. A kind is the same in all its versions."""

KINDS_KNOWN: Final = 1024
"""Kinds whose rule is looked up once; a cluster serves some hundred."""

_NO_RULES: Final[Mapping[GroupKind, HealthRule]] = MappingProxyType({})
_SILENT: Final = generic.by_conditions(Fields({}))
"""Said of an object without a status."""
_JUDGED: Final = frozenset({"deletionTimestamp", "generation"})
"""What the rules for every kind read in the metadata of such an object."""


def readiness(live: Mapping[str, Any], rules: Mapping[GroupKind, HealthRule] = _NO_RULES, *, has_status: bool = False) -> Readiness:
    """Judge one object as the API server gave it; never raises, whatever is in it.

    A custom resource that neither `rules` nor the library knows, and that has no status, is Unknown (NotObserved) where only a controller could have
    written one; where nobody knows that, it looks like a ConfigMap: Current (NoStatus).

    Args:
        live: the object.
        rules: of the user (`custom_health.Rules`), in place of the built-in ones and of the library, for each kind that they have.
        has_status: whether its kind has the subresource `status`, as discovery tells (`ApiResource`).
    """
    try:
        fields = Fields.of(live)
        api_version, kind = fields.text("apiVersion"), fields.text("kind")
        rule = _rule(api_version, kind, has_status)
        if rules and (own := rules.get(_group_kind(api_version, kind))):
            return custom_health.judge(own, live)
        if rule is generic.by_conditions and _tells_nothing(live):
            return _SILENT
        if isinstance(rule, HealthRule):
            return custom_health.judge(rule, live)
        found = generic.first(fields) or rule(fields)
    except MalformedError as exc:
        found = state.unknown(Reason.MALFORMED, str(exc))
    return state.told(found, live)


def _tells_nothing(live: Mapping[str, Any]) -> bool:
    """Whether no rule has anything to read, as in a ConfigMap: most of what is applied is such, and this takes an eighth of the time of the rules (measured)."""
    meta = live.get("metadata")
    return live.get("status") is None and isinstance(meta, dict) and meta.keys().isdisjoint(_JUDGED)


@lru_cache(maxsize=KINDS_KNOWN)
def _rule(api_version: str, kind: str, has_status: bool) -> Rule | HealthRule:
    """What judges objects of a kind, where the user says nothing else.

    Raises:
        MalformedError: they do not name a kind.
    """
    found = _group_kind(api_version, kind)
    other = generic.by_controller if has_status and not silent.needs_no_status(found) else generic.by_conditions
    return RULES.get(found) or LIBRARY.get(found) or other


@lru_cache(maxsize=KINDS_KNOWN)
def _group_kind(api_version: str, kind: str) -> GroupKind:
    try:
        return Gvk.parse(api_version, kind).group_kind
    except ValueError as exc:
        raise MalformedError("apiVersion and kind do not name a kind") from exc
