"""Paths in conflicts, as a real API server writes them: each names a field of the desired object.

Aspects: fields · names with dots and slashes · list items by one key and by several, with defaulted ones · sets · atomic lists and maps ·
custom resources · names that could be read in several ways.
"""

import itertools
from dataclasses import dataclass
from typing import Any

import pytest

from cvstate_operator.drift import conflict_path
from tests.cluster.control_plane import Cluster
from tests.support.api import Api, Json
from tests.support.objects import config_map, deployment, manifest
from tests.support.waiting import until

pytestmark = pytest.mark.integration


@dataclass(frozen=True)
class Case:
    """What somebody else applied, and what Git has; they contradict each other in the fields `at`, and nowhere else."""

    theirs: Json
    ours: Json
    at: tuple[str, ...]
    plural: str
    group: str = ""


def labelled(**labels: str) -> Json:
    return manifest("ConfigMap", "x", labels=labels)


def annotated(**annotations: str) -> Json:
    return manifest("ConfigMap", "x", annotations=annotations)


def with_container(**fields: Any) -> Json:
    """A Deployment whose second container differs by `fields` from that of another call."""
    body = deployment("x")
    del body["spec"]["template"]["spec"]["containers"][0]["resources"]
    body["spec"]["template"]["spec"]["containers"].append({"name": "side", "image": "side:1", **fields})
    return body


def service(*ports: Json, **spec: Any) -> Json:
    return manifest("Service", "x", spec={"selector": {"app.kubernetes.io/name": "x"}, "ports": list(ports), **spec})


def widget(**spec: Any) -> Json:
    return manifest("Widget", "x", api_version="conflicts.test/v1", spec=spec)


MAIN, SIDE = "/spec/template/spec/containers/0", "/spec/template/spec/containers/1"
DNS = {"name": "dns", "port": 53}
CASES = {
    "a number": Case(
        manifest("PodDisruptionBudget", "x", api_version="policy/v1", spec={"maxUnavailable": 1}),
        manifest("PodDisruptionBudget", "x", api_version="policy/v1", spec={"maxUnavailable": 2}),
        ("/spec/maxUnavailable",),
        "poddisruptionbudgets",
        "policy/v1",
    ),
    # Both mean the same, but the server compares with what it made of the first one: 0.1 is 100m.
    "quantities that the server spells otherwise": Case(
        deployment("x"),
        deployment("x"),
        (MAIN + "/resources/limits/cpu", MAIN + "/resources/requests/cpu", MAIN + "/resources/requests/memory"),
        "deployments",
        "apps/v1",
    ),
    "a key of data with dots": Case(
        config_map("x", **{"app.conf.yaml": "theirs", "app": "same"}),
        config_map("x", **{"app.conf.yaml": "ours", "app": "same"}),
        ("/data/app.conf.yaml",),
        "configmaps",
    ),
    "labels with dots and slashes": Case(
        labelled(**{"app": "a", "app.kubernetes.io/name": "a", "app.kubernetes.io/part-of": "a"}),
        labelled(**{"app": "b", "app.kubernetes.io/name": "b", "app.kubernetes.io/part-of": "a"}),
        ("/metadata/labels/app", "/metadata/labels/app.kubernetes.io~1name"),
        "configmaps",
    ),
    "an annotation": Case(
        annotated(**{"example.com/a.b_c": "theirs"}),
        annotated(**{"example.com/a.b_c": "ours"}),
        ("/metadata/annotations/example.com~1a.b_c",),
        "configmaps",
    ),
    "a field of a list item by its name": Case(
        with_container(image="side:2"), with_container(image="side:3"), (SIDE + "/image",), "deployments", "apps/v1"
    ),
    "an item in a list in an item": Case(
        with_container(env=[{"name": "A.b", "value": "1"}]),
        with_container(env=[{"name": "first"}, {"name": "A.b", "value": "2"}]),
        (SIDE + "/env/1/value",),
        "deployments",
        "apps/v1",
    ),
    "an atomic list": Case(with_container(args=["a"]), with_container(args=["b", "c"]), (SIDE + "/args",), "deployments", "apps/v1"),
    "a quantity": Case(
        with_container(resources={"limits": {"example.com/gpu": "1"}}),
        with_container(resources={"limits": {"example.com/gpu": "2"}}),
        (SIDE + "/resources/limits/example.com~1gpu",),
        "deployments",
        "apps/v1",
    ),
    "an item by two keys, one of them defaulted": Case(
        service({"port": 80, "name": "http", "targetPort": 1}, {**DNS, "protocol": "UDP", "targetPort": 1}),
        service({**DNS, "protocol": "UDP", "targetPort": 2}, {"port": 80, "name": "http", "targetPort": 2}),
        ("/spec/ports/0/targetPort", "/spec/ports/1/targetPort"),
        "services",
    ),
    "two ports of one number": Case(
        service({**DNS, "targetPort": 1}, {**DNS, "name": "dns-udp", "protocol": "UDP", "targetPort": 1}),
        service({**DNS, "name": "dns-udp", "protocol": "UDP", "targetPort": 2}, {**DNS, "targetPort": 2}),
        ("/spec/ports/0/targetPort", "/spec/ports/1/targetPort"),
        "services",
    ),
    "an atomic map": Case(
        service({"port": 80}, selector={"a": "b"}), service({"port": 80}, selector={"a": "c"}), ("/spec/selector",), "services"
    ),
    "an item by a number and a flag": Case(
        widget(parts=[{"number": 7, "spare": False, "size": 1}]),
        widget(parts=[{"number": 7, "spare": True, "size": 5}, {"number": 7, "spare": False, "size": 2}]),
        ("/spec/parts/1/size",),
        "widgets",
        "conflicts.test/v1",
    ),
    "an item whose key is a text with brackets": Case(
        widget(named=[{"name": 'a "b" ].c=[\t\\é', "size": 1}]),
        widget(named=[{"name": "a", "size": 1}, {"name": 'a "b" ].c=[\t\\é', "size": 2}]),
        ("/spec/named/1/size",),
        "widgets",
        "conflicts.test/v1",
    ),
    "names that hold what separates names": Case(
        widget(free={"a.b": {"c[d]": 1}, "a": {"b": {"c[d]": 1}}, "x/~[y=1]": 1}),
        widget(free={"a.b": {"c[d]": 2}, "a": {"b": {"e": 1}}, "x/~[y=1]": 2}),
        ("/spec/free/a.b/c[d]", "/spec/free/x~1~0[y=1]"),
        "widgets",
        "conflicts.test/v1",
    ),
}
"""By what is contradicted."""


_counter = itertools.count(1)


@dataclass(frozen=True)
class Place:
    """A namespace of its own for each test."""

    api: Api
    namespace: str

    def path(self, case: Case) -> str:
        root = f"/apis/{case.group}" if case.group else "/api/v1"
        return f"{root}/namespaces/{self.namespace}/{case.plural}/x"

    def apply(self, case: Case, body: Json, manager: str) -> tuple[int, Json]:
        """Server-side apply that is not forced."""
        return self.api.request("PATCH", f"{self.path(case)}?fieldManager={manager}", body, "application/apply-patch+yaml")


@pytest.fixture
def place(second_cluster: Cluster) -> Place:
    api = Api(second_cluster.admin_kubeconfig)
    found = Place(api, f"conflicts{next(_counter)}")
    api.create("/api/v1/namespaces", manifest("Namespace", found.namespace))
    return found


@pytest.fixture
def widgets(place: Place) -> None:
    """A kind with lists by several keys, with a set and with free fields."""
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    if place.api.get(f"{path}/widgets.conflicts.test") is None:
        whole, text, flag = {"type": "integer"}, {"type": "string"}, {"type": "boolean"}
        by = {"type": "array", "x-kubernetes-list-type": "map"}
        parts = {**by, "x-kubernetes-list-map-keys": ["number", "spare"]}
        parts["items"] = {"type": "object", "required": ["number", "spare"], "properties": {"number": whole, "spare": flag, "size": whole}}
        named = {**by, "x-kubernetes-list-map-keys": ["name"]}
        named["items"] = {"type": "object", "required": ["name"], "properties": {"name": text, "size": whole}}
        tags = {"type": "array", "x-kubernetes-list-type": "set", "items": text}
        spec = {"parts": parts, "named": named, "tags": tags, "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
        schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": spec}}}
        version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
        names = {"plural": "widgets", "kind": "Widget", "listKind": "WidgetList", "singular": "widget"}
        body = {"group": "conflicts.test", "scope": "Namespaced", "names": names, "versions": [version]}
        meta = "apiextensions.k8s.io/v1"
        place.api.create(path, manifest("CustomResourceDefinition", "widgets.conflicts.test", api_version=meta, spec=body))
    until("the kind is served", lambda: place.api.request("GET", "/apis/conflicts.test/v1/widgets")[0] == 200)


def conflicts(place: Place, case: Case) -> list[str]:
    """What the server says about the fields when both are applied."""
    code, answer = place.apply(case, case.theirs, "rival")
    assert code < 300, answer
    code, answer = place.apply(case, case.ours, "ours")
    assert code == 409, answer
    return [cause["field"] for cause in answer["details"]["causes"]]


@pytest.mark.usefixtures("widgets")
@pytest.mark.parametrize("name", CASES)
def test_every_field_in_a_conflict_is_found_in_the_desired_object(place: Place, name: str) -> None:
    case = CASES[name]
    fields = conflicts(place, case)
    found = [conflict_path.pointer_of(field, case.ours) for field in fields]
    assert sorted(map(str, found)) == sorted(case.at), fields


@pytest.mark.usefixtures("widgets")
def test_nobody_contradicts_another_about_an_item_of_a_set(place: Place) -> None:
    case = Case(widget(tags=["a", "example.com/b"]), widget(tags=["example.com/b", "c"]), (), "widgets", "conflicts.test/v1")
    for body, manager in ((case.theirs, "rival"), (case.ours, "ours")):
        code, answer = place.apply(case, body, manager)
        assert code < 300, answer
    assert answer["spec"]["tags"] == ["a", "example.com/b", "c"]
