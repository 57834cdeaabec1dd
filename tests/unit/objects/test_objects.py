"""Small values: waves, resource versions, problems, manifests.

Aspects: which kinds come before which · which state is newer · how a problem reads · moving a manifest to a namespace.
"""

from dataclasses import replace

import pytest

from cvstate_operator.objects.identity import GroupKind
from cvstate_operator.objects.live import is_newer
from cvstate_operator.objects.ordering import Wave, wave
from cvstate_operator.objects.problem import Problem
from tests.unit.builders import live, manifest, ref


@pytest.mark.parametrize(
    ("kind", "stage"),
    [
        pytest.param(GroupKind("", "Namespace"), Wave.FOUNDATION, id="namespace"),
        pytest.param(GroupKind("apiextensions.k8s.io", "CustomResourceDefinition"), Wave.FOUNDATION, id="crd"),
        pytest.param(GroupKind("", "Secret"), Wave.BASIS, id="secret"),
        pytest.param(GroupKind("rbac.authorization.k8s.io", "RoleBinding"), Wave.BASIS, id="rights"),
        pytest.param(GroupKind("apps", "Deployment"), Wave.MAIN, id="workload"),
        pytest.param(GroupKind("example.io", "Namespace"), Wave.MAIN, id="same-name-in-another-group"),
        pytest.param(GroupKind("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"), Wave.GATES, id="webhook"),
        pytest.param(GroupKind("apiregistration.k8s.io", "APIService"), Wave.GATES, id="api-service"),
    ],
)
def test_a_kind_comes_in_its_wave(kind: GroupKind, stage: Wave) -> None:
    assert wave(kind) is stage


@pytest.mark.parametrize(
    ("version", "than", "newer"),
    [
        pytest.param("10", "9", True, id="compared-as-numbers"),
        pytest.param("9", "10", False, id="older"),
        pytest.param("9", "9", False, id="equal"),
        pytest.param("b", "a", True, id="no-number-and-different"),
        pytest.param("a", "b", True, id="no-number-in-either-order"),
        pytest.param("a", "a", False, id="no-number-and-equal"),
        pytest.param("", "5", True, id="unknown"),
    ],
)
def test_resource_versions_are_ordered(version: str, than: str, newer: bool) -> None:
    assert is_newer(version, than) is newer


def test_an_object_is_settled_only_with_a_baseline_that_it_matches() -> None:
    assert live().is_settled
    assert not live(baseline=None).is_settled
    assert not live(baseline=b"other").is_settled


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        pytest.param(Problem("a.yaml", 2, "Pod/x", "Invalid", "is wrong"), "a.yaml document 2 (Pod/x): is wrong", id="all-known"),
        pytest.param(Problem("a.yaml", 0, "", "Invalid", "is wrong"), "a.yaml: is wrong", id="file"),
        pytest.param(Problem("", 0, "Pod/x", "Invalid", "is wrong"), "Pod/x: is wrong", id="object"),
        pytest.param(Problem("", 0, "", "Invalid", "is wrong"), "is wrong", id="nothing-known"),
    ],
)
def test_a_problem_reads_as_one_line_that_says_where(problem: Problem, text: str) -> None:
    assert str(problem) == text


def test_a_manifest_in_its_own_namespace_is_itself() -> None:
    m = manifest(namespace="web")
    assert m.in_namespace("web") is m
    assert m.in_namespace("shop").ref.namespace == "shop"
    assert m.ref.namespace == "web"


def test_a_manifest_goes_into_one_namespace_after_the_other() -> None:
    m = manifest("a", namespace="")
    for namespace in ("shop", "bank", "shop", ""):
        moved = m.in_namespace(namespace)
        assert (moved.namespace, moved.ref) == (namespace, ref("a", namespace=namespace))
        assert (moved.digest, moved.origin, moved.body, moved.directives) == (m.digest, m.origin, m.body, m.directives)


def test_a_manifest_that_is_moved_again_is_the_same_value() -> None:
    m = manifest(namespace="")
    assert m.in_namespace("shop") is m.in_namespace("shop")


def test_a_manifest_that_is_changed_has_the_identity_of_what_it_became() -> None:
    m = manifest("a", namespace="")
    m.in_namespace("shop")
    assert replace(m, name="b").ref == ref("b", namespace="")
    assert replace(m, name="b").in_namespace("shop").ref == ref("b", namespace="shop")


def test_what_a_manifest_remembers_does_not_make_it_another_one() -> None:
    fresh, moved = manifest(namespace=""), manifest(namespace="")
    moved.in_namespace("shop")
    assert (moved == fresh, hash(moved) == hash(fresh)) == (True, True)
