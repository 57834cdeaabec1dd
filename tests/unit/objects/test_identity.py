"""Identities.

Aspects: reading apiVersion · texts for people · URL paths.
"""

import pytest

from cvstate_operator.objects.identity import ApiResource, GroupKind, Gvk, ObjectRef


@pytest.mark.parametrize(
    ("api_version", "gvk"),
    [
        pytest.param("v1", Gvk("", "v1", "X"), id="core"),
        pytest.param("apps/v1", Gvk("apps", "v1", "X"), id="group"),
        pytest.param("cvstate.io/v1alpha1", Gvk("cvstate.io", "v1alpha1", "X"), id="dotted-group"),
    ],
)
def test_an_api_version_is_split_and_put_together_again(api_version: str, gvk: Gvk) -> None:
    assert Gvk.parse(api_version, "X") == gvk
    assert gvk.api_version == api_version


@pytest.mark.parametrize("api_version", ["", "/", "/v1", "apps/", "a/b/v1"])
def test_an_api_version_of_another_shape_is_refused(api_version: str) -> None:
    with pytest.raises(ValueError, match="GROUP/VERSION"):
        Gvk.parse(api_version, "X")


def test_a_kind_without_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="GROUP/VERSION"):
        Gvk.parse("v1", "")


@pytest.mark.parametrize(
    ("thing", "text"),
    [
        pytest.param(ObjectRef("apps", "Deployment", "web", "api"), "apps/Deployment/web/api", id="all-parts"),
        pytest.param(ObjectRef("", "Namespace", "", "web"), "Namespace/web", id="core-and-cluster-scoped"),
        pytest.param(GroupKind("apps", "Deployment"), "Deployment.apps", id="kind-of-a-group"),
        pytest.param(GroupKind("", "Secret"), "Secret", id="core-kind"),
    ],
)
def test_empty_parts_are_left_out_of_texts(thing: object, text: str) -> None:
    assert str(thing) == text


def test_an_object_is_the_same_in_every_version() -> None:
    assert Gvk("apps", "v1", "Deployment").group_kind == Gvk("apps", "v1beta1", "Deployment").group_kind
    assert ObjectRef("apps", "Deployment", "a", "b").group_kind == GroupKind("apps", "Deployment")


@pytest.mark.parametrize(
    ("resource", "namespace", "name", "path"),
    [
        pytest.param(ApiResource(Gvk("", "v1", "Pod"), "pods", True), "web", "a", "/api/v1/namespaces/web/pods/a", id="core-object"),
        pytest.param(ApiResource(Gvk("", "v1", "Pod"), "pods", True), "", "", "/api/v1/pods", id="all-namespaces"),
        pytest.param(ApiResource(Gvk("apps", "v1", "D"), "ds", True), "web", "", "/apis/apps/v1/namespaces/web/ds", id="collection"),
        pytest.param(
            ApiResource(Gvk("", "v1", "Namespace"), "namespaces", False), "", "web", "/api/v1/namespaces/web", id="cluster-scoped"
        ),
        pytest.param(
            ApiResource(Gvk("x.io", "v1", "C"), "cs", False), "web", "a", "/apis/x.io/v1/cs/a", id="cluster-scoped-ignores-namespace"
        ),
    ],
)
def test_the_path_is_where_the_api_server_serves_it(resource: ApiResource, namespace: str, name: str, path: str) -> None:
    assert resource.path(namespace, name) == path


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ("", True),
        ("apps", True),
        ("networking.k8s.io", True),
        ("gateway.networking.k8s.io", False),
        ("snapshot.storage.k8s.io", False),
        ("example.io", False),
    ],
)
def test_kinds_of_kubernetes_itself_are_told_from_those_of_definitions(group: str, expected: bool) -> None:
    assert GroupKind(group, "X").is_built_in is expected
