"""Reading `spec.dependsOn`.

Aspects: defaults · what is accepted · what is refused · two entries for one object · the schema is bounded.
"""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from cvstate_operator.api.dependencies import MAX_DEPENDENCIES, Dependencies, Dependency

ADAPTER: TypeAdapter[list[Dependency]] = TypeAdapter(Dependencies)


def read(*dependencies: dict[str, Any]) -> list[Dependency]:
    return ADAPTER.validate_python(list(dependencies))


def test_a_name_alone_means_a_cluster_state() -> None:
    found = read({"name": "crds"})[0]
    assert (found.api_version, found.kind, found.name, found.ready_expr) == ("cvstate.io/v1alpha1", "ClusterState", "crds", "")
    assert found.is_cluster_state
    assert str(found) == "ClusterState crds"


@pytest.mark.parametrize(
    ("dependency", "is_ours"),
    [
        ({"apiVersion": "cvstate.io/v1beta1", "name": "x"}, True),
        ({"apiVersion": "v1", "kind": "Secret", "name": "x"}, False),
        ({"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"}, False),
        ({"apiVersion": "example.io/v1", "kind": "ClusterState", "name": "x"}, False),
        ({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "name": "system:node"}, False),
        ({"apiVersion": "db.example.io/v1alpha1", "kind": "Db", "name": "a.b-c", "readyExpr": "dep.status.phase == 'Ready'"}, False),
    ],
)
def test_any_kind_may_be_named(dependency: dict[str, Any], is_ours: bool) -> None:
    assert read(dependency)[0].is_cluster_state is is_ours


@pytest.mark.parametrize(
    "dependency",
    [
        {},
        {"name": ""},
        {"name": "a/b"},
        {"name": ".."},
        {"name": "a b"},
        {"name": "a\n"},
        {"name": "a%2fb"},
        {"name": "x" * 254},
        {"name": "x", "kind": ""},
        {"name": "x", "kind": "deployments"},
        {"name": "x", "kind": "A/B"},
        {"name": "x", "apiVersion": ""},
        {"name": "x", "apiVersion": "a/b/v1"},
        {"name": "x", "apiVersion": "/v1"},
        {"name": "x", "apiVersion": "apps/"},
        {"name": "x", "readyExpr": "x" * 4097},
    ],
)
def test_what_names_no_object_is_refused(dependency: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        read(dependency)


def test_one_object_is_named_once() -> None:
    assert len(read({"name": "a"}, {"name": "b"}, {"name": "a", "apiVersion": "apps/v1", "kind": "Deployment"})) == 3
    with pytest.raises(ValidationError, match="ClusterState a twice"):
        read({"name": "a"}, {"name": "b"}, {"name": "a", "readyExpr": "true"})


def test_there_is_a_limit() -> None:
    names = [{"name": f"d{n}"} for n in range(MAX_DEPENDENCIES + 1)]
    assert len(read(*names[:-1])) == MAX_DEPENDENCIES
    with pytest.raises(ValidationError):
        read(*names)


def test_the_schema_tells_the_server_that_one_object_is_named_once() -> None:
    schema = ADAPTER.json_schema(by_alias=True)
    assert schema["maxItems"] == MAX_DEPENDENCIES
    assert schema["x-kubernetes-list-map-keys"] == ["apiVersion", "kind", "name"]
