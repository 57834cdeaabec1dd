"""What an apply would change, asked of a real API server; nothing is changed by asking.

Aspects: new objects · changes, and who holds the fields · no difference, however it is written · what the server refuses · Secrets · what came of it.
Every preview in here is checked for leaving all objects as they are, and for costing two requests, of which the second is a dry run.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from cvstate_operator import errors
from cvstate_operator.api.names import DIGEST, FIELD_MANAGER
from cvstate_operator.drift import difference
from cvstate_operator.drift.difference import Difference
from cvstate_operator.kube.client import Client
from cvstate_operator.kube.cluster import Cluster
from cvstate_operator.objects import ownership
from cvstate_operator.objects.identity import ApiResource, GroupKind, Gvk
from cvstate_operator.objects.manifest import BodyRef, Manifest, Origin
from cvstate_operator.objects.preview import Preview
from tests.cluster.control_plane import Cluster as ControlPlane
from tests.support import ours
from tests.support.api import Api, Json
from tests.support.objects import config_map, deployment, manifest

pytestmark = pytest.mark.integration

OWNER = "applyset-of-the-test-v1"
PLURALS = {"ConfigMap": "configmaps", "Secret": "secrets", "Service": "services", "Deployment": "deployments"}
_counter = itertools.count(1)


class Unwatched:
    """Nothing is watched here, so that there is nothing to be told of."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        raise AssertionError(f"nobody should have called {name}")


@dataclass(frozen=True)
class Corner:
    """A namespace of one test."""

    cluster: ControlPlane
    api: Api
    name: str

    def path(self, body: Json) -> str:
        gvk = Gvk.parse(body["apiVersion"], body["kind"])
        return ApiResource(gvk, PLURALS[gvk.kind], True).path(self.name, body["metadata"]["name"])

    def apply(self, body: Json, digest: str = "d1") -> Json:
        """As the operator does it."""
        sent = ownership.marked(body, owner=OWNER, digest=digest, namespace=self.name)
        return self.ask(lambda client: client.apply(self.path(body), sent, manager=FIELD_MANAGER, force=True))

    def ask(self, work: Callable[[Client], Any]) -> Any:
        return ours.ask(self.cluster.operator_kubeconfig, work)

    def preview(self, body: Json, digest: str = "d1", namespace: str | None = None) -> Preview:
        """The preview of one object, which must leave everything as it is."""
        gvk = Gvk.parse(body["apiVersion"], body["kind"])
        where = self.name if namespace is None else namespace
        desired = Manifest(gvk, where, body["metadata"]["name"], digest, Origin("a.yaml", 1, 1), BodyRef("", 0, 0))

        async def look(client: Client) -> Preview:
            cluster = Cluster(client, Unwatched())  # type: ignore[arg-type]
            await cluster.discover()
            return await cluster.preview(desired, body, owner=OWNER)

        before, mark = self._everything(), self.cluster.audit.mark()
        found = self.ask(look)
        assert self._everything() == before
        requests = self.cluster.audit.requests(mark, user="cvstate-operator")
        assert [(r.verb, r.is_dry_run) for r in requests if r.namespace == where] == [("get", False), ("patch", True)]
        return found

    def _everything(self) -> str:
        """All objects of the namespace as the API server writes them, with their versions and managed fields."""
        return repr([(code, answer.get("items")) for code, answer in map(self._list, ("Deployment", "ConfigMap", "Secret", "Service"))])

    def _list(self, kind: str) -> tuple[int, Json]:
        root = "/apis/apps/v1" if kind == "Deployment" else "/api/v1"
        return self.api.request("GET", f"{root}/namespaces/{self.name}/{PLURALS[kind]}")

    def difference(self, body: Json, digest: str = "d1") -> Difference:
        found = self.preview(body, digest)
        assert found.error is None
        assert found.planned is not None
        return difference.differences(found.live, found.planned, manager=FIELD_MANAGER)

    def told(self, body: Json) -> list[tuple[str, str, Any, Any, str]]:
        return [(c.shown, c.kind.value, c.before, c.after, c.manager) for c in self.difference(body).changes]


@pytest.fixture
def corner(cluster: ControlPlane, api: Api) -> Corner:
    name = f"preview{next(_counter)}"
    api.create("/api/v1/namespaces", manifest("Namespace", name))
    return Corner(cluster, api, name)


def container(body: Json) -> Json:
    found: Json = body["spec"]["template"]["spec"]["containers"][0]
    return found


# -- new objects -------------------------------------------------------------------------------------------------------


def test_a_new_object_is_previewed_with_its_defaults_and_marks_and_is_not_there_afterwards(corner: Corner) -> None:
    found = corner.preview(deployment("x"))
    assert found.live is None
    assert found.error is None
    assert found.planned is not None
    assert found.planned["spec"]["revisionHistoryLimit"] == 10
    assert found.planned["metadata"]["labels"] == {ownership.PART_OF_LABEL: OWNER}
    assert found.planned["metadata"]["annotations"] == {DIGEST: "d1"}
    assert corner.api.get(corner.path(deployment("x"))) is None


def test_a_new_object_is_one_change(corner: Corner) -> None:
    (change,) = corner.difference(config_map("x", k="v")).changes
    assert (change.path, change.kind.value, change.before, change.after["data"]) == ("", "Added", None, {"k": "v"})


def test_an_object_that_is_new_and_invalid_is_told_as_such(corner: Corner) -> None:
    found = corner.preview({**config_map("x"), "data": {"k": 1}})
    assert (found.live, found.planned) == (None, None)
    assert isinstance(found.error, errors.InvalidError)


def test_a_new_object_in_a_namespace_that_is_not_there_yet_is_told_as_such(corner: Corner) -> None:
    found = corner.preview(config_map("x"), namespace="not-there-yet")
    assert isinstance(found.error, errors.NamespaceMissingError)


# -- changes -----------------------------------------------------------------------------------------------------------


def test_a_changed_field_is_told_with_its_values_and_its_holder(corner: Corner) -> None:
    body = deployment("x", replicas=0)
    corner.apply(body)
    corner.api.merge(corner.path(body) + "/scale", {"spec": {"replicas": 7}}, manager="kubectl")
    assert corner.told(body) == [("/spec/replicas", "Changed", 7, 0, "kubectl")]


def test_a_field_that_left_git_is_removed_and_ours(corner: Corner) -> None:
    corner.apply(config_map("x", k="v", old="w"))
    assert corner.told(config_map("x", k="v")) == [("/data/old", "Removed", "w", None, FIELD_MANAGER)]


def test_a_field_of_another_stays_and_is_no_change(corner: Corner) -> None:
    body = config_map("x", k="v")
    corner.apply(body)
    corner.api.merge(corner.path(body), {"data": {"theirs": "w"}, "metadata": {"labels": {"example.io/theirs": "yes"}}})
    assert corner.told(body) == []


def test_a_label_with_dots_and_a_slash_is_told_by_its_name(corner: Corner) -> None:
    corner.apply(manifest("ConfigMap", "x", labels={"app.example.io/tier": "front"}))
    assert corner.told(manifest("ConfigMap", "x", labels={"app.example.io/tier": "back"})) == [
        ("/metadata/labels/app.example.io~1tier", "Changed", "front", "back", FIELD_MANAGER)
    ]


def test_list_items_are_told_by_their_key(corner: Corner) -> None:
    corner.apply(deployment("x", replicas=0))
    body = deployment("x", replicas=0, image="registry.example/app:2")
    container(body)["env"] = [{"name": "B", "value": "2"}, {"name": "A", "value": "1"}]
    main = "/spec/template/spec/containers[name=main]"
    assert corner.told(body) == [
        (f"{main}/env[name=B]", "Added", None, {"name": "B", "value": "2"}, ""),
        (f"{main}/image", "Changed", "registry.example/app:1", "registry.example/app:2", FIELD_MANAGER),
    ]


def test_list_items_with_several_key_fields_are_told_by_all_of_them(corner: Corner) -> None:
    def service(target: int) -> Json:
        ports = [{"name": p.lower(), "port": 53, "protocol": p, "targetPort": 5353} for p in ("TCP", "UDP")]
        ports[1]["targetPort"] = target
        return manifest("Service", "x", spec={"clusterIP": "None", "selector": {"app": "x"}, "ports": ports})

    corner.apply(service(5353))
    assert corner.told(service(5454)) == [("/spec/ports[port=53,protocol=UDP]/targetPort", "Changed", 5353, 5454, FIELD_MANAGER)]


def test_taking_over_an_object_of_another_names_them(corner: Corner) -> None:
    corner.api.apply(corner.path(config_map("x")), config_map("x", k="theirs"), manager="rival")
    assert corner.told(config_map("x", k="ours")) == [("/data/k", "Changed", "theirs", "ours", "rival")]


# -- no difference -----------------------------------------------------------------------------------------------------


def test_a_quantity_in_another_spelling_is_no_difference(corner: Corner) -> None:
    body = deployment("x", replicas=0)
    live = corner.apply(body)
    assert container(live)["resources"] == {"limits": {"cpu": "1"}, "requests": {"cpu": "100m", "memory": "128Mi"}}
    assert container(body)["resources"]["limits"] == {"cpu": "1000m"}
    assert not corner.difference(body)


def test_the_order_of_items_alone_is_no_difference(corner: Corner) -> None:
    body = deployment("x", replicas=0)
    container(body)["env"] = [{"name": name, "value": "1"} for name in "ABC"]
    corner.apply(body)
    container(body)["env"].reverse()
    assert not corner.difference(body)


def test_another_digest_alone_is_a_change_of_our_marks(corner: Corner) -> None:
    corner.apply(config_map("x", k="v"), digest="d1")
    found = corner.difference(config_map("x", k="v"), digest="d2")
    assert found.only_marks
    assert [(c.path, c.before, c.after) for c in found.changes] == [("/metadata/annotations/cvstate.io~1digest", "d1", "d2")]


# -- refused -----------------------------------------------------------------------------------------------------------


def test_a_field_that_is_fixed_at_creation_needs_a_new_object(corner: Corner) -> None:
    corner.apply(deployment("x", replicas=0))
    found = corner.preview(deployment("x", replicas=0, app="other"))
    assert found.needs_recreate
    assert found.planned is None
    assert found.live is not None


@pytest.mark.parametrize(("change", "field"), [({"replicas": "many"}, "spec.replicas"), ({"replicas": -1}, "spec.replicas")])
def test_an_invalid_change_is_told_with_its_field(corner: Corner, change: Mapping[str, Any], field: str) -> None:
    body = deployment("x", replicas=0)
    corner.apply(body)
    found = corner.preview({**body, "spec": {**body["spec"], **change}})
    assert isinstance(found.error, errors.InvalidError)
    assert (found.error.field.lstrip("."), found.needs_recreate, found.planned) == (field, False, None)


def test_a_body_made_from_an_older_state_is_not_previewed_against_a_newer_one(corner: Corner) -> None:
    body = config_map("x", k="v")
    version = corner.apply(body)["metadata"]["resourceVersion"]
    composed = {**body, "metadata": {"name": "x", "resourceVersion": version}}
    assert corner.preview(composed).error is None
    corner.api.merge(corner.path(body), {"data": {"k": "w"}})
    assert isinstance(corner.preview(composed).error, errors.StaleError)


def test_a_kind_that_is_not_served_is_told_before_anything_is_asked(corner: Corner) -> None:
    with pytest.raises(errors.KindUnknownError):
        corner.preview(manifest("Nothing", "x", api_version="nowhere.example/v1"))


# -- Secrets -----------------------------------------------------------------------------------------------------------


def test_of_a_secret_the_key_is_shown_and_no_value(corner: Corner) -> None:
    corner.apply(manifest("Secret", "x", data={"password": "aHVudGVyMg=="}))
    found = corner.preview(manifest("Secret", "x", data={"password": "c2VzYW1l"}))
    assert found.planned is not None
    changes = difference.differences(found.live, found.planned, manager=FIELD_MANAGER).changes
    assert [(c.path, c.before, c.after) for c in changes] == [("/data/password", "aHVudGVyMg==", "c2VzYW1l")]
    assert difference.shown(changes[0], GroupKind("", "Secret")).startswith("/data/password: *** → ***, held by cvstate-operator")
    assert "aHVudGVyMg" not in repr((found, changes))


# -- what came of it ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exists", [False, True], ids=["new", "there"])
def test_an_apply_then_does_what_was_previewed(corner: Corner, exists: bool) -> None:
    if exists:
        corner.apply(deployment("x", replicas=0))
    body = deployment("x", replicas=1, image="registry.example/app:2")
    planned = corner.preview(body).planned
    applied = corner.apply(body)
    assert planned is not None
    assert difference.differences(applied, planned, manager=FIELD_MANAGER) == Difference()
    assert not corner.difference(body)
