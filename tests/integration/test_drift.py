"""Drift on a real API server: what is repaired, what is left alone, and what is told.

Aspects: kinds of edits · who wrote it · deletion and lost labels · fields of others · no write without a difference.
"""

import time

import pytest

from tests.support.objects import config_map, deployment, manifest, text
from tests.support.waiting import until
from tests.support.world import World

pytestmark = pytest.mark.integration

REPAIR_SECONDS = 1.0
"""The goal of the project for one hand edit."""


@pytest.fixture
def shop(world: World) -> World:
    service = manifest(
        "Service",
        "svc",
        labels={"app": "svc", "tier": "front"},
        spec={"clusterIP": "None", "selector": {"app": "d"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
    )
    binding = manifest(
        "RoleBinding",
        "rb",
        api_version="rbac.authorization.k8s.io/v1",
        roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        subjects=[{"kind": "User", "name": "alice", "apiGroup": "rbac.authorization.k8s.io"}],
    )
    secret = manifest("Secret", "s", stringData={"password": "correct horse"})
    world.commit({"a.yaml": text(config_map("cm", k="v", other="w"), deployment("d", replicas=2), service, binding, secret)})
    world.declare()
    world.wait_applied(world.repository.git("rev-parse", "HEAD").strip())
    return world


def edit_config_map(world):
    path = world.path("configmaps", "cm")
    world.api.merge(path, {"data": {"k": "HACKED"}}, manager="kubectl-edit")
    return path, lambda o: o["data"]["k"] == "v", "/data/k was HACKED instead of v, written by kubectl-edit"


def remove_key(world):
    path = world.path("configmaps", "cm")
    world.api.merge(path, {"data": {"other": None}}, manager="kubectl-edit")
    return path, lambda o: o["data"].get("other") == "w", "/data/other was (none) instead of w"


def scale(world):
    path = world.path("deployments", "d", group="apps/v1")
    world.api.merge(path + "/scale", {"spec": {"replicas": 7}}, manager="kubectl")
    return path, lambda o: o["spec"]["replicas"] == 2, "/spec/replicas was 7 instead of 2, written by kubectl"


def change_image(world):
    path = world.path("deployments", "d", group="apps/v1")
    patch = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "evil:1"}]
    code, answer = world.api.request("PATCH", path + "?fieldManager=rogue", patch, "application/json-patch+json")
    assert code == 200, answer
    good = "registry.example/app:1"
    where = "/spec/template/spec/containers/0/image"
    return (
        path,
        lambda o: o["spec"]["template"]["spec"]["containers"][0]["image"] == good,
        f"{where} was evil:1 instead of {good}, written by rogue",
    )


def remove_label(world):
    path = world.path("services", "svc")
    world.api.merge(path, {"metadata": {"labels": {"tier": None}}})
    return path, lambda o: o["metadata"]["labels"].get("tier") == "front", "/metadata/labels/tier was (none) instead of front"


def change_port(world):
    path = world.path("services", "svc")
    patch = [{"op": "replace", "path": "/spec/ports/0/targetPort", "value": 9999}]
    assert world.api.request("PATCH", path, patch, "application/json-patch+json")[0] == 200
    return path, lambda o: o["spec"]["ports"][0]["targetPort"] == 8080, "/spec/ports/0/targetPort was 9999 instead of 8080"


def add_subject(world):
    path = world.path("rolebindings", "rb", group="rbac.authorization.k8s.io/v1")
    patch = [{"op": "add", "path": "/subjects/-", "value": {"kind": "User", "name": "mallory", "apiGroup": "rbac.authorization.k8s.io"}}]
    assert world.api.request("PATCH", path, patch, "application/json-patch+json")[0] == 200
    return path, lambda o: [s["name"] for s in o["subjects"]] == ["alice"], "/subjects was"


def change_secret(world):
    path = world.path("secrets", "s")
    world.api.merge(path, {"data": {"password": "aGFja2Vk"}}, manager="thief")
    return path, lambda o: o["data"]["password"] == "Y29ycmVjdCBob3JzZQ==", "/data/password was *** instead of ***, written by thief"


EDITS = [edit_config_map, remove_key, scale, change_image, remove_label, change_port, add_subject, change_secret]


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.__name__)
def test_an_edit_is_repaired_within_a_second_in_one_write_and_its_writer_named(shop: World, edit):
    mark = shop.cluster.audit.mark()
    path, is_right, told = edit(shop)
    until("the edit is repaired", lambda: is_right(shop.api.get(path)), seconds=REPAIR_SECONDS, every=0.005)
    until("an Event tells it", lambda: any(told in note for note in shop.events("DriftRepaired")))
    assert len(shop.writes(mark)) == 1
    assert shop.condition()["status"] == "True"


def test_a_deleted_object_comes_back_in_one_write(shop: World):
    mark = shop.cluster.audit.mark()
    shop.api.delete(shop.path("configmaps", "cm"))
    until("it is back", lambda: shop.api.get(shop.path("configmaps", "cm")), seconds=REPAIR_SECONDS)
    until("an Event tells it", lambda: any("ConfigMap" in note and "was missing" in note for note in shop.events("DriftRepaired")))
    assert len(shop.writes(mark)) == 1


def test_a_removed_ownership_label_comes_back(shop: World):
    label = "applyset.kubernetes.io/part-of"
    shop.api.merge(shop.path("configmaps", "cm"), {"metadata": {"labels": {label: None}}})

    def labelled():
        return label in shop.api.get(shop.path("configmaps", "cm"))["metadata"].get("labels", {})

    until("the label is back", labelled, seconds=REPAIR_SECONDS)


def test_fields_that_git_does_not_declare_are_left_alone(shop: World):
    mark = shop.cluster.audit.mark()
    shop.api.merge(shop.path("configmaps", "cm"), {"data": {"foreign": "mine"}, "metadata": {"annotations": {"note": "x"}}})
    sidecar = {"name": "sidecar", "image": "mesh:1"}
    patch = [{"op": "add", "path": "/spec/template/spec/containers/-", "value": sidecar}]
    path = shop.path("deployments", "d", group="apps/v1")
    assert shop.api.request("PATCH", path, patch, "application/json-patch+json")[0] == 200
    medium = [{"op": "add", "path": "/spec/template/spec/volumes/0/emptyDir/medium", "value": "Memory"}]
    assert shop.api.request("PATCH", path, medium, "application/json-patch+json")[0] == 200
    shop.api.merge(path + "/status", {"status": {"replicas": 2, "observedGeneration": 1}})
    shop.request()
    assert shop.writes(mark) == []
    assert shop.api.get(shop.path("configmaps", "cm"))["data"]["foreign"] == "mine"
    spec = shop.api.get(path)["spec"]["template"]["spec"]
    assert [c["name"] for c in spec["containers"]] == ["main", "sidecar"]
    assert spec["volumes"][0]["emptyDir"] == {"medium": "Memory"}


def test_a_repair_keeps_what_others_added(shop: World):
    path = shop.path("deployments", "d", group="apps/v1")
    patch = [{"op": "add", "path": "/spec/template/spec/containers/-", "value": {"name": "sidecar", "image": "mesh:1"}}]
    assert shop.api.request("PATCH", path, patch, "application/json-patch+json")[0] == 200
    shop.api.merge(path + "/scale", {"spec": {"replicas": 9}})
    until("repaired", lambda: shop.api.get(path)["spec"]["replicas"] == 2, seconds=REPAIR_SECONDS)
    assert [c["name"] for c in shop.api.get(path)["spec"]["template"]["spec"]["containers"]] == ["main", "sidecar"]


def test_drift_is_repaired_while_git_is_away(shop: World):
    good = shop.git.url(shop.name)
    shop.declare(git={"url": good + "-gone", "interval": "1s"})
    shop.wait_failed("FetchFailed")
    shop.api.merge(shop.path("configmaps", "cm"), {"data": {"k": "HACKED"}})
    until("repaired", lambda: shop.api.get(shop.path("configmaps", "cm"))["data"]["k"] == "v", seconds=REPAIR_SECONDS)


def test_somebody_who_keeps_undoing_us_does_not_make_us_write_without_end(shop: World):
    path = shop.path("configmaps", "cm")
    mark = shop.cluster.audit.mark()
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        if shop.api.get(path)["data"]["k"] == "v":
            shop.api.merge(path, {"data": {"k": "RIVAL"}}, manager="rival")
    assert 3 <= len(shop.writes(mark)) <= 6
    open_drift = until("the drift is told", lambda: shop.state()["status"].get("drift"))
    sample = open_drift["sample"][0]
    assert sample["object"] == f"ConfigMap/{shop.name}/cm"
    assert (sample["path"], sample["live"], sample["desired"]) == ("/data/k", "RIVAL", "v")
    assert (sample["manager"], sample["severity"], sample["action"], sample["state"]) == ("rival", "Medium", "Auto", "BreakerOpen")
    assert shop.condition("Drifted")["status"] == "True"
    shop.api.merge(shop.path("services", "svc"), {"metadata": {"labels": {"tier": "x"}}})
    until(
        "another object is repaired at once",
        lambda: shop.api.get(shop.path("services", "svc"))["metadata"]["labels"]["tier"] == "front",
        seconds=REPAIR_SECONDS,
    )
