"""Kinds that a commit brings itself.

Aspects: what is a CRD · which resources it will bring · malformed definitions.
"""

from typing import Any

import pytest

from cvstate_operator.objects.identity import ApiResource, GroupKind, Gvk
from cvstate_operator.plan.crds import declared_resources, is_crd


def definition(**spec: Any) -> dict[str, Any]:
    versions = [{"name": "v1", "served": True}, {"name": "v2", "served": True}, {"name": "v0", "served": False}]
    whole = {"group": "example.io", "scope": "Namespaced", "names": {"kind": "Widget", "plural": "widgets"}, "versions": versions, **spec}
    return {"spec": {key: value for key, value in whole.items() if value is not None}}


def test_every_served_version_is_a_resource() -> None:
    assert declared_resources([definition()]) == {
        Gvk("example.io", version, "Widget"): ApiResource(Gvk("example.io", version, "Widget"), "widgets", True) for version in ("v1", "v2")
    }


def test_the_scope_is_taken_from_the_definition() -> None:
    found = declared_resources([definition(scope="Cluster")])
    assert {resource.namespaced for resource in found.values()} == {False}


def test_whether_there_is_a_status_is_taken_from_each_version() -> None:
    versions = [
        {"name": "v1", "served": True, "subresources": {"status": {}, "scale": {}}},
        {"name": "v2", "served": True, "subresources": {}},
        {"name": "v3", "served": True, "subresources": None},
        {"name": "v4", "served": True, "subresources": "status"},
    ]
    found = declared_resources([definition(versions=versions)])
    assert {gvk.version: resource.has_status for gvk, resource in found.items()} == {"v1": True, "v2": False, "v3": False, "v4": False}


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param({}, id="no-spec"),
        pytest.param({"spec": None}, id="null-spec"),
        pytest.param({"spec": "text"}, id="text"),
        pytest.param({"spec": []}, id="list"),
        pytest.param(definition(names=None), id="no-names"),
        pytest.param(definition(names={"kind": "Widget"}), id="no-plural"),
        pytest.param(definition(names=["Widget"]), id="names-as-a-list"),
        pytest.param(definition(group=None), id="no-group"),
        pytest.param(definition(versions=None), id="no-versions"),
        pytest.param(definition(versions=5), id="versions-as-a-number"),
        pytest.param(definition(versions=["v1"]), id="versions-as-texts"),
        pytest.param(definition(versions=[{"served": True}]), id="version-without-a-name"),
    ],
)
def test_a_malformed_definition_brings_nothing_and_harms_no_other(broken: dict[str, Any]) -> None:
    assert set(declared_resources([broken, definition()])) == set(declared_resources([definition()]))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        pytest.param(GroupKind("apiextensions.k8s.io", "CustomResourceDefinition"), True, id="crd"),
        pytest.param(GroupKind("", "CustomResourceDefinition"), False, id="other-group"),
        pytest.param(GroupKind("apiextensions.k8s.io", "Other"), False, id="other-kind"),
    ],
)
def test_only_crds_define_kinds(kind: GroupKind, expected: bool) -> None:
    assert is_crd(kind) is expected
