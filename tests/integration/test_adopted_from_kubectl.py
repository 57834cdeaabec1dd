"""Objects that were made by `kubectl apply` and then adopted, on a real API server with a real kubectl.

Aspects: what Git declares is held by us alone · a list item whose key changes in Git, and one that leaves Git · what Git never declared stays, with its
holder · another value is a conflict, another key invalid, and nothing is given up · the same value in another spelling is none · other commands of kubectl,
other managers, and objects older than managedFields · who works on goes on · objects of Helm are refused as ever · what that costs.
"""

import json
from collections.abc import Mapping

import pytest

from tests.support.api import Json
from tests.support.objects import config_map, deployment, manifest, text
from tests.support.world import World

pytestmark = pytest.mark.integration

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def service(port: int, **spec: str) -> Json:
    ports = [{"name": "http", "port": port, "targetPort": 8080}]
    return manifest("Service", "web", spec={"selector": {"app": "web"}, "ports": ports, **spec})


def web(*, replicas: int = 1, sidecar: bool = False, **env: str) -> Json:
    """A Deployment with these environment variables."""
    body = deployment("web", replicas=replicas)
    containers = body["spec"]["template"]["spec"]["containers"]
    containers[0]["env"] = [{"name": name, "value": value} for name, value in env.items()]
    containers += [{"name": "sidecar", "image": "registry.example/sidecar:1", "ports": [{"containerPort": 9090}]}] if sidecar else []
    return body


def kubectl_apply(world: World, *objects: Json, manager: str = "") -> None:
    listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    options = [f"--field-manager={manager}"] if manager else []
    world.cluster.kubectl("apply", "-n", world.name, *options, "-f", "-", input=json.dumps(listed))


def adopt(world: World, *objects: Json, **spec: object) -> None:
    world.declare(**spec)
    world.wait_applied(world.commit({"a.yaml": text(*objects)}))


def live(world: World, plural: str) -> Json:
    found = world.api.get(world.path(plural, "web", group="apps/v1" if plural == "deployments" else ""))
    assert found is not None
    return found


def held(obj: Json) -> Mapping[tuple[str, str], Json]:
    """Who holds what."""
    return {(entry["manager"], entry["operation"]): entry["fieldsV1"] for entry in obj["metadata"]["managedFields"]}


def environment(world: World) -> Mapping[str, str]:
    container = live(world, "deployments")["spec"]["template"]["spec"]["containers"][0]
    return {variable["name"]: variable["value"] for variable in container.get("env", ())}


def ports(world: World) -> list[tuple[str, int]]:
    return [(port["name"], port["port"]) for port in live(world, "services")["spec"]["ports"]]


def test_what_git_declares_is_held_by_us_alone_and_the_last_configuration_stays(world: World):
    kubectl_apply(world, service(80), web(A="1"))
    before = live(world, "services")
    adopt(world, service(80), web(A="1"))
    after = live(world, "services")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["spec"] == before["spec"]
    annotation = {"f:metadata": {"f:annotations": {f"f:{LAST_APPLIED}": {}}}}
    rest = held(after)["kubectl-client-side-apply", "Update"]
    assert rest["f:metadata"] == annotation["f:metadata"]
    assert "f:ports" not in rest.get("f:spec", {})
    assert "f:template" not in held(live(world, "deployments"))["kubectl-client-side-apply", "Update"].get("f:spec", {})
    assert ("cvstate-operator", "Update") not in held(after)


@pytest.mark.parametrize("manager", ["", "kubectl", "somebody"])
def test_a_port_that_changes_in_git_is_changed(world: World, manager: str):
    kubectl_apply(world, service(80), manager=manager)
    adopt(world, service(80))
    world.wait_applied(world.commit({"a.yaml": text(service(81))}))
    assert ports(world) == [("http", 81)]


@pytest.mark.parametrize("manager", ["kubectl-create", "kubectl-edit"])
def test_what_other_commands_of_kubectl_wrote_is_taken_over_too(world: World, manager: str):
    code, answer = world.api.request("POST", world.path("services") + f"?fieldManager={manager}", service(80))
    assert code == 201, answer
    adopt(world, service(80))
    world.wait_applied(world.commit({"a.yaml": text(service(81))}))
    assert ports(world) == [("http", 81)]


def test_items_that_leave_git_leave_the_cluster(world: World):
    kubectl_apply(world, web(A="1", B="2", sidecar=True))
    adopt(world, web(A="1", B="2", sidecar=True))
    world.wait_applied(world.commit({"a.yaml": text(web(A="1"))}))
    assert environment(world) == {"A": "1"}
    assert len(live(world, "deployments")["spec"]["template"]["spec"]["containers"]) == 1


def test_an_object_older_than_managed_fields_is_taken_over_too(world: World):
    world.api.create(world.path("services"), service(80))
    cleared = world.api.merge(world.path("services", "web"), {"metadata": {"managedFields": [{}]}})
    assert not cleared["metadata"].get("managedFields")
    # Not before our own apply is it listed, as `before-first-apply`.
    adopt(world, service(80))
    world.wait_applied(world.commit({"a.yaml": text(service(81))}))
    assert ports(world) == [("http", 81)]


def test_what_git_never_declared_stays_and_so_does_its_holder(world: World):
    kubectl_apply(world, web(A="1", B="2"), config_map("web", a="1", b="2"))
    adopt(world, web(A="1"), config_map("web", a="1"))
    assert environment(world) == {"A": "1", "B": "2"}
    found = live(world, "configmaps")
    assert found["data"] == {"a": "1", "b": "2"}
    assert held(found)["kubectl-client-side-apply", "Update"]["f:data"] == {"f:b": {}}


def test_extra_fields_of_kubectl_are_removed_if_the_spec_says_so(world: World):
    kubectl_apply(world, web(A="1", B="2"), config_map("web", a="1", b="2"))
    adopt(world, web(A="1"), config_map("web", a="1"), drift={"extraFields": "Remove"})
    world.request()
    assert environment(world) == {"A": "1"}
    assert live(world, "configmaps")["data"] == {"a": "1"}


def test_another_value_stays_a_conflict_and_nothing_is_given_up(world: World):
    kubectl_apply(world, web(A="1", replicas=5))
    before = live(world, "deployments")
    world.commit({"a.yaml": text(web(A="1", replicas=2))})
    world.declare()
    condition = world.wait_failed("FieldConflict", mentions="kubectl-client-side-apply")
    assert ".spec.replicas" in condition["message"]
    assert live(world, "deployments")["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


@pytest.mark.parametrize("adoption", ["Unowned", "Force"])
def test_another_key_under_the_same_name_is_refused_and_nothing_is_given_up(world: World, adoption: str):
    kubectl_apply(world, service(80))
    before = live(world, "services")
    world.commit({"a.yaml": text(service(81))})
    world.declare(apply={"adoption": adoption})
    world.wait_failed("Invalid", mentions="Duplicate value")
    assert live(world, "services") == before


def test_a_value_that_is_only_spelled_otherwise_is_no_conflict(world: World):
    kubectl_apply(world, web(A="1"))
    before = live(world, "deployments")
    git = web(A="1")
    git["spec"]["template"]["spec"]["containers"][0]["resources"] = {
        "requests": {"cpu": "100m", "memory": "128.0Mi"},
        "limits": {"cpu": "1.0"},
    }
    adopt(world, git)
    assert live(world, "deployments")["spec"] == before["spec"]


def test_another_value_is_taken_by_force_and_the_rest_with_it(world: World):
    kubectl_apply(world, web(A="1", B="2", replicas=5))
    adopt(world, web(A="1", B="2", replicas=2), apply={"adoption": "Force"})
    assert live(world, "deployments")["spec"]["replicas"] == 2
    world.wait_applied(world.commit({"a.yaml": text(web(A="1", replicas=2))}))
    assert environment(world) == {"A": "1"}


def test_who_writes_besides_kubectl_keeps_what_is_theirs(world: World):
    kubectl_apply(world, config_map("web", a="1"))
    world.api.merge(world.path("configmaps", "web"), {"data": {"theirs": "1"}}, manager="platform-team")
    adopt(world, config_map("web", a="1"))
    found = live(world, "configmaps")
    assert found["data"] == {"a": "1", "theirs": "1"}
    assert held(found)["platform-team", "Update"] == {"f:data": {"f:theirs": {}}}


def test_kubectl_apply_after_the_adoption_is_drift_as_any_other(world: World):
    kubectl_apply(world, service(80, sessionAffinity="ClientIP"))
    adopt(world, service(80, sessionAffinity="ClientIP"))
    kubectl_apply(world, service(80, sessionAffinity="None"))
    world.request()
    assert live(world, "services")["spec"]["sessionAffinity"] == "ClientIP"


def test_an_object_of_helm_is_refused_and_not_touched(world: World):
    body = config_map("web", a="1")
    body["metadata"]["annotations"] = {"meta.helm.sh/release-name": "shop"}
    kubectl_apply(world, body)
    before = live(world, "configmaps")
    world.commit({"a.yaml": text(config_map("web", a="1"))})
    world.declare()
    world.wait_failed("OwnerConflict", mentions="Helm release shop")
    assert live(world, "configmaps") == before


def test_only_what_kubectl_applied_costs_more_requests(world: World):
    world.api.create(world.path("configmaps"), config_map("web", a="1"))
    kubectl_apply(world, service(80))
    mark = world.cluster.audit.mark()
    adopt(world, service(80), config_map("web", a="1"))
    writes = [line.split()[1] for line in world.writes(mark)]
    # The create that finds it there, and the apply; in between the handover. Dry runs are no writes.
    assert (writes.count("configmaps"), writes.count("services")) == (2, 3)
