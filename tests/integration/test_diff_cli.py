"""`cvstate diff` against a real API server: it says of the cluster what the operator's own condition Drifted says.

Aspects: every kind of edit, with its writer · Secrets · one object · what is not drift · agreement with status.drift · mode Observe · what could not be applied,
is held, or is left alone · a rollback · a rewound Git · output for people · errors.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from cvstate_operator import errors
from cvstate_operator.api.names import REJECTED
from cvstate_operator.objects.redaction import as_text
from tests.support import accounts, commands
from tests.support.api import CLUSTER_STATES
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
    cache = {"XDG_CACHE_HOME": str(world.operator.log.parent / "cli")}
    return commands.run(world, "diff", "state", "-n", world.name, *options, user=user, columns=200, environment=cache)


def diff(world: World, *options: str, user: Path | None = None) -> tuple[int, dict[str, Any]]:
    code, output = run(world, "-o", "json", *options, user=user)
    return code, json.loads(output)


def told(world: World) -> set[tuple[str, str]]:
    """Object and path of what the operator tells."""
    sample = world.state().get("status", {}).get("drift", {}).get("sample", ())
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
    assert all(word in output for word in ("HACKED", "kubectl-edit", "is not there", "8 fields of 5 objects drifted"))
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


# -- mode Observe ------------------------------------------------------------------------------------------------------


def test_in_mode_observe_it_tells_what_the_operator_tells_also_of_objects_that_are_not_ours(world: World):
    name = world.name
    world.api.create(world.path("configmaps"), config_map("there", k="theirs", same="s"))
    world.commit({"a.yaml": text(config_map("there", k="ours", same="s"), config_map("missing", k="v"))})
    world.declare(mode="Observe")
    until("it is surveyed", lambda: len(told(world)) == 2)
    code, found = diff(world)
    fields = {(one["object"], one["path"]): one for one in found["fields"]}
    assert (code, fields.keys()) == (1, told(world))
    edited = fields[f"ConfigMap/{name}/there", "/data/k"]
    assert (edited["live"], edited["desired"], edited["state"]) == ("theirs", "ours", "Held")
    assert "Observe" in edited["why"]
    assert edited["firstSeen"]
    assert fields[f"ConfigMap/{name}/missing", ""]["gone"] is True
    assert (found["compared"], found["notCompared"]["objects"], found["notApplied"]) == (2, 0, 0)
    assert found["revision"] == world.state()["status"]["source"]["revision"]


# -- what is not compared ----------------------------------------------------------------------------------------------


def test_no_drift_is_claimed_of_an_object_whose_adoption_is_refused(world: World):
    world.api.create(world.path("configmaps"), config_map("there", a="9"))
    world.commit({"a.yaml": text(config_map("there", a="1", b="2"), config_map("ours", k="v"))})
    world.declare()
    condition = world.wait_failed("FieldConflict")
    assert "spec.apply.adoption: Force" in condition["message"]
    code, found = diff(world)
    assert (code, found["fields"], found["compared"], found["notCompared"]["objects"]) == (1, [], 1, 1)
    (one,) = found["notCompared"]["sample"]
    assert (one["object"], one["reason"]) == (f"ConfigMap/{world.name}/there", "FieldConflict")
    output = run(world)[1]
    assert "No drift in 1 object; 1 object could not be compared." in output
    assert "every field is as declared" not in output
    assert world.condition("Drifted")["status"] != "False"


def test_a_hand_edit_of_an_object_whose_new_manifest_is_refused_is_told(shop: World):
    service = shop.repository.git("show", "HEAD:apps/a.yaml").replace("port: 80\n", "port: 99999\n")
    shop.commit({"a.yaml": service})
    shop.wait_failed("Invalid")
    edit = [{"op": "replace", "path": "/spec/selector/app", "value": "evil"}]
    assert shop.api.request("PATCH", shop.path("services", "svc") + "?fieldManager=rogue", edit, "application/json-patch+json")[0] == 200
    code, found = diff(shop, "--object", "Service/svc")
    (field,) = found["fields"]
    assert (code, field["path"], field["live"], field["desired"], field["manager"]) == (1, "/spec/selector/app", "evil", "d", "rogue")
    assert [(one["object"], one["reason"]) for one in found["notCompared"]["sample"]] == [(f"Service/{shop.name}/svc", "Invalid")]


def test_what_waits_while_it_is_suspended_is_not_taken_for_compared(world: World):
    stuck = config_map("stuck", k="v")
    world.commit({"a.yaml": text(stuck, config_map("last", k="v"))})
    world.declare()
    world.wait_applied(world.repository.git("rev-parse", "HEAD").strip())
    bad = manifest("Service", "bad", spec={"ports": [{"port": 99999}]})
    later = config_map("last", k="new")
    later["metadata"]["annotations"] = {"cvstate.io/wave": "1"}
    world.commit({"a.yaml": text(stuck, bad, later)})
    world.wait_failed("Invalid")
    world.declare(suspend=True)
    until("it is seen", lambda: world.state()["status"]["observedGeneration"] == world.state()["metadata"]["generation"])
    world.api.merge(world.path("configmaps", "last"), {"data": {"k": "HACKED"}}, manager="kubectl-edit")
    code, found = diff(world)
    reasons = {one["object"].split("/")[-1]: one["reason"] for one in found["notCompared"]["sample"]}
    assert (code, reasons["last"], "bad" in reasons) == (1, "Suspended", True)
    (field,) = found["fields"]
    assert (field["path"], field["live"], field["desired"], field["state"]) == ("/data/k", "HACKED", "new", "Held")
    assert "suspend" in field["why"]


def test_a_hand_edit_in_a_wave_that_waits_for_another_is_told(shop: World):
    later = config_map("cm", k="new", other="w")
    later["metadata"]["annotations"] = {"cvstate.io/wave": "1"}
    rest = (config_map("gone", a="b"), deployment("d", replicas=3))
    shop.commit({"a.yaml": text(later, *rest)})
    until("it waits", lambda: shop.state()["status"].get("plan", {}).get("update") == 1)
    shop.api.merge(shop.path("configmaps", "cm"), {"data": {"other": "HACKED"}}, manager="kubectl-edit")
    code, found = diff(shop, "--object", "ConfigMap/cm")
    (field,) = found["fields"]
    assert (code, field["path"], field["live"], field["desired"]) == (1, "/data/other", "HACKED", "w")
    assert [one["reason"] for one in found["notCompared"]["sample"]] == ["WaveNotReady"]


def test_a_repair_that_is_refused_is_not_told_as_being_made(shop: World):
    shop.declare(apply={"conflicts": "Abort"})
    until("it is seen", lambda: shop.state()["status"]["observedGeneration"] == shop.state()["metadata"]["generation"])
    shop.api.merge(shop.path("configmaps", "cm"), {"data": {"k": "HACKED"}}, manager="rival")
    condition = shop.wait_failed("FieldConflict")
    assert "spec.apply.conflicts: Force" in condition["message"]
    (field,) = diff(shop)[1]["fields"]
    assert (field["path"], field["state"]) == ("/data/k", "Refused")
    assert field["why"].startswith("FieldConflict: ")


def test_objects_that_are_left_alone_are_named(world: World):
    never, once = config_map("never", a="1"), config_map("once", a="1")
    never["metadata"]["annotations"] = {"cvstate.io/reconcile": "Disabled"}
    once["metadata"]["annotations"] = {"cvstate.io/apply": "IfNotPresent"}
    world.declare()
    world.wait_applied(world.commit({"a.yaml": text(never, once, config_map("usual", a="1"))}))
    world.api.merge(world.path("configmaps", "once"), {"data": {"a": "hand"}}, manager="kubectl-edit")
    code, found = diff(world)
    assert (code, found["fields"], found["compared"]) == (0, [], 1)
    assert found["leftAlone"] == {"objects": 2, "sample": [f"ConfigMap/{world.name}/never", f"ConfigMap/{world.name}/once"]}
    assert "every field is as declared" not in run(world)[1]


def test_what_a_rollback_leaves_alone_is_compared_with_the_revision_that_it_is_left_at(world: World):
    rules = {"rules": [{"action": "Alert"}]}
    world.declare(rollback={"onUnhealthyFor": "1h", "excludeKinds": ["ConfigMap"]}, drift=rules)
    good = world.commit({"a.yaml": text(config_map("left", k="1"))})
    until("it is good", lambda: good in world.state().get("status", {}).get("lastGoodRevision", ""))
    bad = world.commit({"a.yaml": text(config_map("left", k="2"))})
    world.wait_applied(bad)
    path = f"{CLUSTER_STATES.format(world.name)}/state"
    world.api.merge(path, {"metadata": {"annotations": {REJECTED: bad}}}, manager="person")
    world.wait_failed("RolledBack")
    code, found = diff(world)
    assert (code, found["fields"], found["compared"], good in found["revision"]) == (0, [], 1, True)
    world.api.merge(world.path("configmaps", "left"), {"data": {"k": "HACKED"}}, manager="kubectl-edit")
    until("the operator tells it", lambda: len(told(world)) == 1)
    code, found = diff(world)
    (field,) = found["fields"]
    assert (code, field["live"], field["desired"], field["state"]) == (1, "HACKED", "2", "Alerted")


def test_a_git_that_was_rewound_is_told_as_such(shop: World):
    applied = shop.state()["status"]["lastAppliedRevision"]
    shop.repository.git("checkout", "-q", "--orphan", "other")
    shop.commit({"a.yaml": text(config_map("cm", k="other"))})
    shop.repository.git("branch", "-f", "main")
    shop.repository.git("checkout", "-q", "main")
    shop.wait_failed("RewindRefused")
    assert shop.state()["status"]["lastAppliedRevision"] == applied
    with pytest.raises(errors.RefNotFoundError, match=r"Git was rewound; .*spec\.source\.git\.allowRewind"):
        diff(shop)


def test_before_there_is_a_revision_it_says_so(world: World):
    world.declare(git={"url": world.git.url(world.name) + "-nothing"})
    with pytest.raises(errors.NotFoundError, match="works with no revision yet"):
        diff(world)
