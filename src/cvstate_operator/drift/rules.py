"""Rules: how much a drift matters, and what is done about it. The first rule that matches decides; without one it is repaired at once.

What a verdict comes to in the apply of the whole object is told in drift/remedy.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from cvstate_operator.api.drift import DriftAction, Rule, Severity
from cvstate_operator.api.path_pattern import Pattern, parse_pattern
from cvstate_operator.drift import matching
from cvstate_operator.drift.coverage import FieldDrift, Step
from cvstate_operator.objects.identity import ObjectRef

_CRITICAL_KINDS: Final = frozenset(
    {
        # Who may do what. A label counts as much as a rule: aggregation labels hand on rights.
        ("rbac.authorization.k8s.io", "Role"),
        ("rbac.authorization.k8s.io", "RoleBinding"),
        ("rbac.authorization.k8s.io", "ClusterRole"),
        ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
        # What the API server lets in, and who sees every request on its way.
        ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
        ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"),
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"),
        ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"),
        ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"),
        # Who answers for a whole API group.
        ("apiregistration.k8s.io", "APIService"),
    }
)
_HIGH_KINDS: Final = frozenset(
    {
        ("networking.k8s.io", "NetworkPolicy"),  # who may talk to whom
        ("apiextensions.k8s.io", "CustomResourceDefinition"),  # a narrower schema loses data of every object of the kind
        ("", "Secret"),  # credentials
        ("", "ServiceAccount"),  # identities, and image pull credentials
    }
)
_CONTAINERS: Final = ("/spec/**/containers/*/", "/spec/**/initContainers/*/")
_HIGH_FIELDS: Final = tuple(
    parse_pattern(text)
    for text in (
        # What runs, and with which rights. Below /spec only: a key of a ConfigMap may be called `image`.
        *(prefix + name for prefix in _CONTAINERS for name in ("image", "command", "args", "securityContext")),
        "/spec/**/securityContext",
        "/spec/**/serviceAccountName",
        "/spec/**/hostNetwork",
        "/spec/**/hostPID",
        "/spec/**/hostIPC",
        "/spec/**/volumes/*/hostPath",
        # Which Pods a namespace admits (Pod Security Admission).
        "/metadata/labels/pod-security.kubernetes.io~1*",
        # What keeps data from being deleted.
        "/metadata/finalizers",
    )
)
_LOW_FIELDS: Final = (parse_pattern("/metadata/labels"), parse_pattern("/metadata/annotations"))
"""Mostly for people and dashboards. Those of a pod template are not here: a change of them restarts Pods."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one drift comes to."""

    severity: Severity
    action: DriftAction
    rule: int | None
    """Position of the rule that decided; None if none matched."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A drift and its verdict."""

    drift: FieldDrift
    verdict: Verdict


def decide(rules: Sequence[Rule], drift: FieldDrift, ref: ObjectRef, body: Mapping[str, Any]) -> Verdict:
    """The verdict on one drift: of the first rule that matches; without one Auto, with the severity of `default_severity`.

    A path pattern matches a drift of the field it means, or of anything in that. A drift of more than that (a list item is gone, with all its fields)
    is matched too, unless the rule says Ignore: to ignore a part is not to ignore the whole. An object that is gone has no fields, so that only
    rules without paths match.

    Args:
        rules: in the order of the spec.
        drift: one field.
        ref: whose.
        body: what `drift.path` points into: the object as Git has it (for a field that Git does not have, the live object).
    """
    steps = matching.locate(drift.path, body)
    for number, rule in enumerate(rules):
        if _matches(rule, drift, ref, steps):
            return Verdict(rule.severity or default_severity(drift, ref, body), rule.action, number)
    return Verdict(default_severity(drift, ref, body), DriftAction.AUTO, None)


def default_severity(drift: FieldDrift, ref: ObjectRef, body: Mapping[str, Any]) -> Severity:
    """How much a drift matters if no rule says so.

    Critical: RBAC, admission webhooks and policies, APIServices. High: NetworkPolicies, CustomResourceDefinitions, Secrets, ServiceAccounts; an object that
    is gone; images, commands, security contexts and host access of Pods; Pod Security labels; finalizers. Low: other labels and annotations.
    Medium: the rest, such as replicas.
    """
    if (ref.group, ref.kind) in _CRITICAL_KINDS:
        return Severity.CRITICAL
    if (ref.group, ref.kind) in _HIGH_KINDS or not drift.path:
        return Severity.HIGH
    steps = matching.locate(drift.path, body)
    if any(matching.touches(pattern, steps, drift.desired) for pattern in _HIGH_FIELDS):
        return Severity.HIGH
    return Severity.LOW if any(matching.covers(pattern, steps) for pattern in _LOW_FIELDS) else Severity.MEDIUM


def _matches(rule: Rule, drift: FieldDrift, ref: ObjectRef, steps: Sequence[Step]) -> bool:
    wanted = rule.match
    return (
        (not wanted.kinds or any(is_kind(ref, kind) for kind in wanted.kinds))
        and (not wanted.namespaces or bool(ref.namespace and matching.is_named(ref.namespace, wanted.namespaces)))
        and (not wanted.managers or matching.is_named(drift.manager, wanted.managers))
        and (not wanted.paths or _in_paths(tuple(wanted.paths), drift, steps, whole=rule.action is DriftAction.IGNORE))
    )


def is_kind(ref: ObjectRef, kind: str) -> bool:
    """Whether an object is of a kind as users spell it: `Role`, in any API group, or `Role.rbac.authorization.k8s.io`."""
    name, dot, group = kind.partition(".")
    return ref.kind == name and (not dot or ref.group == group)


def _in_paths(paths: tuple[str, ...], drift: FieldDrift, steps: Sequence[Step], *, whole: bool) -> bool:
    if not steps:
        return False
    if whole:
        return any(matching.covers(pattern, steps) for pattern in _parsed(paths))
    return any(matching.touches(pattern, steps, drift.desired) for pattern in _parsed(paths))


@lru_cache(maxsize=1024)
def _parsed(paths: tuple[str, ...]) -> tuple[Pattern, ...]:
    """Patterns of a rule. Rules are the same for every drift of a ClusterState, and reading them costs more than matching."""
    return tuple(parse_pattern(path) for path in paths)
