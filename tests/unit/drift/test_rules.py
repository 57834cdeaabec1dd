"""Remediation rules.

Aspects: the first match decides · what a rule matches · parts and wholes · default severities. What becomes of an object with several drifts is in
test_remedy.py.
"""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator.api.drift import DriftAction, Rule, Severity
from cvstate_operator.drift import rules
from cvstate_operator.drift.coverage import FieldDrift
from cvstate_operator.drift.rules import Verdict
from cvstate_operator.objects.identity import ObjectRef

DEPLOYMENT = ObjectRef("apps", "Deployment", "shop", "web")
ROLE = ObjectRef("rbac.authorization.k8s.io", "ClusterRole", "", "reader")
RBAC = "rbac.authorization.k8s.io"
MAIN = {"name": "main", "image": "web:1", "env": [{"name": "A", "value": "b"}]}
SIDE = {"name": "side", "env": [{"name": "A", "value": "b"}]}
BODY: dict[str, Any] = {
    "metadata": {"labels": {"app": "web"}, "annotations": {"a.io/x": "1"}},
    "spec": {"replicas": 2, "template": {"spec": {"containers": [MAIN, SIDE]}}},
    "data": {"image": "logo.png"},
}
CONTAINERS = "/spec/template/spec/containers"


def rule(action: str = "Auto", severity: str | None = None, **match: list[str]) -> Rule:
    return Rule.model_validate({"match": match, "severity": severity, "action": action})


def drift(path: str = "/spec/replicas", *, desired: Any = 2, live: Any = 5, manager: str = "kubectl-edit") -> FieldDrift:
    return FieldDrift(path, desired, live, manager, "2026-01-01T00:00:00Z")


def decide(*given_rules: Rule, of: FieldDrift | None = None, ref: ObjectRef = DEPLOYMENT) -> Verdict:
    return rules.decide(given_rules, of or drift(), ref, BODY)


def test_without_rules_a_drift_is_repaired_at_once() -> None:
    assert decide() == Verdict(Severity.MEDIUM, DriftAction.AUTO, None)


def test_the_first_rule_that_matches_decides() -> None:
    found = decide(rule("Alert", kinds=["Service"]), rule("Approve", "Low", kinds=["Deployment"]), rule("Ignore"))
    assert found == Verdict(Severity.LOW, DriftAction.APPROVE, 1)


def test_a_rule_without_severity_leaves_it_to_kind_and_field() -> None:
    assert decide(rule("Alert"), ref=ROLE) == Verdict(Severity.CRITICAL, DriftAction.ALERT, 0)


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        pytest.param({}, True, id="nothing-asked"),
        pytest.param({"kinds": ["Deployment"]}, True, id="kind"),
        pytest.param({"kinds": ["Deployment.apps"]}, True, id="kind-with-group"),
        pytest.param({"kinds": ["Deployment.extensions"]}, False, id="kind-of-another-group"),
        pytest.param({"kinds": ["Service", "Deployment"]}, True, id="one-of-two-kinds"),
        pytest.param({"namespaces": ["shop"]}, True, id="namespace"),
        pytest.param({"namespaces": ["sh*"]}, True, id="namespaces-that-start-so"),
        pytest.param({"namespaces": ["web"]}, False, id="another-namespace"),
        pytest.param({"managers": ["kubectl*"]}, True, id="manager"),
        pytest.param({"managers": ["helm"]}, False, id="another-manager"),
        pytest.param({"paths": ["/spec/replicas"]}, True, id="path"),
        pytest.param({"paths": ["/metadata", "/spec"]}, True, id="one-of-two-paths-around-it"),
        pytest.param({"paths": ["/spec/template"]}, False, id="another-path"),
        pytest.param({"kinds": ["Deployment"], "managers": ["helm"]}, False, id="only-one-of-two-that-are-asked"),
        pytest.param({"kinds": ["Deployment"], "namespaces": ["shop"], "paths": ["/spec"], "managers": ["*"]}, True, id="all-asked"),
    ],
)
@pytest.mark.parametrize("action", ["Alert", "Ignore"])
def test_a_rule_matches_if_everything_it_asks_for_does(match: dict[str, list[str]], expected: bool, action: str) -> None:
    assert (decide(rule(action, **match)).rule == 0) is expected


def test_an_object_without_namespace_is_in_none() -> None:
    assert decide(rule(namespaces=["*"]), ref=ROLE).rule is None


def test_a_container_that_is_gone_waits_for_consent_if_its_image_would() -> None:
    gone = drift(f"{CONTAINERS}/0", desired=MAIN, live=None)
    assert decide(rule("Approve", paths=["/**/image"]), of=gone).action is DriftAction.APPROVE
    assert decide(rule("Approve", paths=["/**/image"]), of=drift(f"{CONTAINERS}/1", desired=SIDE, live=None)).action is DriftAction.AUTO


def test_to_ignore_a_part_is_not_to_ignore_the_whole() -> None:
    gone = drift(f"{CONTAINERS}/0", desired=MAIN, live=None)
    assert decide(rule("Ignore", paths=["/**/image"]), of=gone).action is DriftAction.AUTO


@pytest.mark.parametrize("action", ["Alert", "Approve", "Ignore"])
def test_an_object_that_is_gone_is_no_matter_of_paths(action: str) -> None:
    gone = drift("", desired="present", live=None)
    assert decide(rule(action, paths=["/*", "/**"]), of=gone).rule is None
    assert decide(rule(action, kinds=["Deployment"]), of=gone).rule == 0


@pytest.mark.parametrize(
    ("ref", "of", "expected"),
    [
        pytest.param(ROLE, drift("/rules"), Severity.CRITICAL, id="rbac"),
        pytest.param(ROLE, drift(f"/metadata/labels/{RBAC}~1aggregate-to-admin"), Severity.CRITICAL, id="aggregation-label"),
        pytest.param(ObjectRef("example.io", "Role", "a", "b"), drift("/rules"), Severity.MEDIUM, id="a-role-that-is-none"),
        pytest.param(
            ObjectRef("admissionregistration.k8s.io", "ValidatingWebhookConfiguration", "", "w"),
            drift("/webhooks/0/failurePolicy"),
            Severity.CRITICAL,
            id="webhook",
        ),
        pytest.param(
            ObjectRef("admissionregistration.k8s.io", "ValidatingAdmissionPolicy", "", "p"), drift("/spec"), Severity.CRITICAL, id="policy"
        ),
        pytest.param(ObjectRef("networking.k8s.io", "NetworkPolicy", "a", "n"), drift("/spec/ingress"), Severity.HIGH, id="network-policy"),
        pytest.param(
            ObjectRef("apiextensions.k8s.io", "CustomResourceDefinition", "", "c"), drift("/spec/versions/0"), Severity.HIGH, id="crd"
        ),
        pytest.param(ObjectRef("", "Secret", "a", "s"), drift("/data/token"), Severity.HIGH, id="secret"),
        pytest.param(DEPLOYMENT, drift("", desired="present", live=None), Severity.HIGH, id="gone"),
        pytest.param(DEPLOYMENT, drift(f"{CONTAINERS}/0/image"), Severity.HIGH, id="image"),
        pytest.param(DEPLOYMENT, drift(f"{CONTAINERS}/0", desired=MAIN), Severity.HIGH, id="container-with-its-image"),
        pytest.param(DEPLOYMENT, drift(CONTAINERS, desired=[MAIN, SIDE]), Severity.HIGH, id="all-containers"),
        pytest.param(DEPLOYMENT, drift(f"{CONTAINERS}/0/securityContext/privileged"), Severity.HIGH, id="security-context"),
        pytest.param(DEPLOYMENT, drift("/spec/template/spec/hostNetwork"), Severity.HIGH, id="host-network"),
        pytest.param(ObjectRef("", "Pod", "a", "p"), drift("/spec/serviceAccountName"), Severity.HIGH, id="service-account-of-a-pod"),
        pytest.param(
            ObjectRef("", "Namespace", "", "a"),
            drift("/metadata/labels/pod-security.kubernetes.io~1enforce"),
            Severity.HIGH,
            id="pod-security-label",
        ),
        pytest.param(DEPLOYMENT, drift("/metadata/finalizers/0"), Severity.HIGH, id="finalizer"),
        pytest.param(DEPLOYMENT, drift("/spec/replicas"), Severity.MEDIUM, id="replicas"),
        pytest.param(DEPLOYMENT, drift(f"{CONTAINERS}/1/env/0/value"), Severity.MEDIUM, id="variable"),
        pytest.param(ObjectRef("", "ConfigMap", "a", "c"), drift("/data/image"), Severity.MEDIUM, id="a-key-that-is-called-image"),
        pytest.param(DEPLOYMENT, drift("/metadata/labels/app"), Severity.LOW, id="label"),
        pytest.param(DEPLOYMENT, drift("/metadata/annotations/a.io~1x"), Severity.LOW, id="annotation"),
        pytest.param(DEPLOYMENT, drift("/spec/template/metadata/labels/app"), Severity.MEDIUM, id="label-of-a-pod-template"),
    ],
)
def test_the_default_severity_is_by_kind_and_field(ref: ObjectRef, of: FieldDrift, expected: Severity) -> None:
    assert rules.default_severity(of, ref, BODY) is expected


IMAGE = drift(f"{CONTAINERS}/0/image", desired="web:1", live="web:2")
NOTE = drift("/metadata/annotations/a.io~1x")
LABEL = drift("/metadata/labels/app")
REPLICAS = drift(manager="hpa")


RULES = st.lists(
    st.builds(
        lambda action, severity, paths, managers: rule(action, severity, paths=paths, managers=managers),
        st.sampled_from([str(action) for action in DriftAction]),
        st.none() | st.sampled_from([str(severity) for severity in Severity]),
        st.lists(st.sampled_from(["/spec", "/**/image", "/metadata/*", f"{CONTAINERS}/[name=main]", "/spec/replicas"]), max_size=2),
        st.lists(st.sampled_from(["hpa", "kubectl*", "*"]), max_size=2),
    ),
    max_size=5,
)


@given(RULES, st.sampled_from([IMAGE, NOTE, LABEL, REPLICAS]))
def test_a_rule_behind_the_one_that_decides_changes_nothing(given_rules: list[Rule], one: FieldDrift) -> None:
    verdict = rules.decide(given_rules, one, DEPLOYMENT, BODY)
    if verdict.rule is not None:
        assert rules.decide(given_rules[: verdict.rule + 1], one, DEPLOYMENT, BODY) == verdict
