"""`cvstate diff` against a real API server: it says of the cluster what the operator's own condition Drifted says.

Aspects: every kind of edit, with its writer · Secrets · one object · what is not drift · agreement with status.drift · output for people · errors.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cvstate_operator import errors
from cvstate_operator.cli.main import app
from cvstate_operator.objects.redaction import as_text
from tests.support import accounts
from tests.support.objects import config_map, deployment, manifest, text
from tests.support.waiting import until
from tests.support.world import World

pytestmark = pytest.mark.integration

LABEL = "applyset.kubernetes.io/part-of"


def run(world: World, *options: str, user: Path | None = None) -> tuple[int, str]:
    """Exit code and output of the command.

    Raises:
        CvstateError: the error that ends the program with 2.
    """
    arguments = ["diff", "state", "-n", world.name, "--kubeconfig", str(user or world.cluster.admin_kubeconfig), *options]
    result = CliRunner(env={"COLUMNS": "200", "XDG_CACHE_HOME": str(world.operator.log.parent / "cli")}).invoke(app, arguments)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def diff(world: World, *options: str, user: Path | None = None) -> tuple[int, dict[str, Any]]:
    code, output = run(world, "-o", "json", *options, user=user)
    return code, json.loads(output)


def told(world: World) -> set[tuple[str, str]]:
    """Object and path of what the operator tells."""
    sample = world.state()["status"].get("drift", {}).get("sample", ())
    return {(one["object"], one["path"]) for one in sample}


@pytest.fixture
def shop(world: World) -> World:
    """Applied, and drift of it only reported."""
    service = manifest(
        "Service",
        "svc",
        labels={"app": "svc", "tier": "front"},
        spec={"clusterIP": "None", "selector": {"app": "d"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
    )
    secret = manifest("Secret", "s", stringData={"password": "correct horse"})
    objects = (config_map("cm", k="v", other="w"), config_map("gone", a="b"), deployment("d", replicas=2), service, secret)
    world.commit({"a.yaml": text(*objects)})
    world.declare(drift={"rules": [{"action": "Alert"}]})
    world.wait_applied(world.repository.git("rev-parse", "HEAD").strip())
    return world


def spoil(world: World) -> set[tuple[str, str]]:
    """Edit everything there is; returns objects and paths of what differs then."""
    api, name = world.api, world.name
    api.merge(world.path("configmaps", "cm"), {"data": {"k": "HACKED", "other": None}}, manager="kubectl-edit")
    api.delete(world.path("configmaps", "gone"))
    api.merge(world.path("deployments", "d", group="apps/v1") + "/scale", {"spec": {"replicas": 7}}, manager="kubectl")
    image = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "evil:1"}]
    path = world.path("deployments", "d", group="apps/v1") + "?fieldManager=rogue"
    assert api.request("PATCH", path, image, "application/json-patch+json")[0] == 200
    port = [{"op": "replace", "path": "/spec/ports/0/targetPort", "value": 9999}]
    assert api.request("PATCH", world.path("services", "svc"), port, "application/json-patch+json")[0] == 200
    api.merge(world.path("services", "svc"), {"metadata": {"labels": {"tier": None}}}, manager="kubectl-label")
    api.merge(world.path("secrets", "s"), {"data": {"password": "aGFja2Vk"}}, manager="thief")
    return {
        (f"ConfigMap/{name}/cm", "/data/k"),
        (f"ConfigMap/{name}/cm", "/data/other"),
        (f"ConfigMap/{name}/gone", ""),
        (f"apps/Deployment/{name}/d", "/spec/replicas"),
        (f"apps/Deployment/{name}/d", "/spec/template/spec/containers/0/image"),
        (f"Service/{name}/svc", "/spec/ports/0/targetPort"),
        (f"Service/{name}/svc", "/metadata/labels/tier"),
        (f"Secret/{name}/s", "/data/password"),
    }


def test_a_cluster_that_is_as_declared_has_no_drift(shop: World):
    code, found = diff(shop)
    assert (code, found["fields"], found["objects"], found["drifted"]) == (0, [], 5, {"objects": 0, "fields": 0})
    assert "No drift" in run(shop)[1]
    assert shop.condition("Drifted")["status"] == "False"


def test_every_edit_is_told_with_its_writer_and_as_the_operator_tells_it(shop: World):
    expected = spoil(shop)
    until("the operator tells all of it", lambda: told(shop) == expected)
    assert shop.condition("Drifted")["status"] == "True"
    code, found = diff(shop)
    assert code == 1
    fields = {(one["object"], one["path"]): one for one in found["fields"]}
    assert fields.keys() == expected
    sample = {(one["object"], one["path"]): one for one in shop.state()["status"]["drift"]["sample"]}
    for key, one in fields.items():
        told_by_operator = sample[key]
        assert one["firstSeen"] == told_by_operator["since"]
        assert {k: one.get(k) for k in ("severity", "action", "state", "manager")} == {
            k: told_by_operator.get(k) for k in ("severity", "action", "state", "manager")
        }, key
        assert {k: as_text(one[k]) for k in ("live", "desired") if k in one} == {
            k: told_by_operator[k] for k in ("live", "desired") if k in told_by_operator
        }, key
    name = shop.name
    edited = fields[f"ConfigMap/{name}/cm", "/data/k"]
    assert (edited["live"], edited["desired"], edited["manager"], edited["action"], edited["state"]) == (
        "HACKED",
        "v",
        "kubectl-edit",
        "Alert",
        "Alerted",
    )
    assert edited["writtenAt"].startswith("20")
    scaled = fields[f"apps/Deployment/{name}/d", "/spec/replicas"]
    assert (scaled["live"], scaled["desired"], scaled["manager"]) == (7, 2, "kubectl")
    secret = fields[f"Secret/{name}/s", "/data/password"]
    assert (secret["live"], secret["desired"], secret["manager"]) == ("***", "***", "thief")


def test_people_see_it_grouped_by_object_and_nothing_secret(shop: World):
    spoil(shop)
    code, output = run(shop)
    assert code == 1
    assert output.count(f"ConfigMap/{shop.name}/cm") == 1
    assert all(word in output for word in ("HACKED", "kubectl-edit", "is gone", "8 fields of 5 objects drifted"))
    assert "aGFja2Vk" not in output
    assert "hacked" not in output


def test_one_object_can_be_chosen(shop: World):
    spoil(shop)
    code, found = diff(shop, "--object", "configmap/cm")
    assert (code, found["objects"], {one["path"] for one in found["fields"]}) == (1, 1, {"/data/k", "/data/other"})
    with pytest.raises(errors.NotFoundError, match="Deployment/nope is not declared"):
        diff(shop, "--object", "Deployment/nope")


def test_fields_of_others_are_no_drift(shop: World):
    shop.api.merge(shop.path("configmaps", "cm"), {"data": {"foreign": "mine"}}, manager="somebody")
    assert diff(shop)[0] == 0


def test_a_newer_commit_that_is_not_applied_yet_is_no_drift(shop: World):
    shop.declare(suspend=True, drift={"rules": [{"action": "Alert"}]})
    until("it is suspended", lambda: shop.state()["status"]["observedGeneration"] == shop.state()["metadata"]["generation"])
    commit = shop.commit({"b.yaml": text(config_map("later", a="b"))})
    until("the commit is read", lambda: commit in shop.state()["status"]["source"]["revision"])
    code, found = diff(shop)
    assert (code, found["fields"]) == (0, [])


def test_without_the_right_to_list_objects_are_looked_at_one_by_one(shop: World, tmp_path: Path):
    user = accounts.kubeconfig(shop, accounts.token(shop, "reader"), tmp_path / "user")
    read = [{"apiGroups": ["cvstate.io"], "resources": ["clusterstates"], "verbs": ["get"]}]
    accounts.grant(
        shop, "reader", [*read, {"apiGroups": ["", "apps"], "resources": ["configmaps", "services", "deployments"], "verbs": ["get"]}]
    )
    shop.api.merge(shop.path("configmaps", "cm"), {"data": {"k": "HACKED"}}, manager="kubectl-edit")
    code, found = diff(shop, user=user)
    assert (code, [one["path"] for one in found["fields"]]) == (1, ["/data/k"])
    assert found["notReadable"] == [f"Secret/{shop.name}/s"]


def test_before_there_is_a_revision_it_says_so(world: World):
    world.declare(git={"url": world.git.url(world.name) + "-nothing"})
    with pytest.raises(errors.NotFoundError, match="works with no revision yet"):
        diff(world)
