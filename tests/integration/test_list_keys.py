"""Keys of list items on a live API server: what becomes of an item of ours that somebody gave another key.

Aspects: an apply alone cannot put it right · the patch of drift/rekeyed.py and an apply do, for ports, environment and containers · the object is then held
as if nothing had happened, so that the next change of Git goes through · an apply that comes late still does it · a write in between makes the patch a
conflict · an item that somebody declares, or that was put beside ours, stays.
"""

from typing import Any

import pytest

from cvstate_operator.drift.coverage import field_drifts
from cvstate_operator.drift.field_set import ownership
from cvstate_operator.drift.rekeyed import rekeyed
from tests.support.api import Api, Json
from tests.support.objects import deployment, manifest, text
from tests.support.waiting import until
from tests.support.world import World

pytestmark = pytest.mark.integration

US = "cvstate-operator"
PATCH = "application/json-patch+json"
SERVICES = "/api/v1/namespaces/default/services"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
POD = "/spec/template/spec"


def service(name: str, *ports: Json) -> Json:
    return manifest("Service", name, spec={"selector": {"app": name}, "ports": list(ports)})


def web(*, env: str = "A") -> Json:
    body = deployment("keys")
    container = body["spec"]["template"]["spec"]["containers"][0]
    container.update(ports=[{"name": "http", "containerPort": 8080}], env=[{"name": env, "value": "1"}])
    return body


HTTP, ADMIN = {"name": "http", "port": 80, "targetPort": 8080}, {"name": "admin", "port": 81, "targetPort": 8081}
CASES = [
    pytest.param(f"{SERVICES}/keys", service("keys", HTTP, ADMIN), "/spec/ports/0/port", 8088, id="port of a Service"),
    pytest.param(f"{SERVICES}/keys", service("keys", {"port": 80}), "/spec/ports/0/port", 8088, id="the only port, without a name"),
    pytest.param(f"{SERVICES}/keys", service("keys", HTTP), "/spec/ports/0/protocol", "UDP", id="a key field that Git leaves out"),
    pytest.param(f"{DEPLOYMENTS}/keys", web(), f"{POD}/containers/0/ports/0/containerPort", 9090, id="containerPort"),
    pytest.param(f"{DEPLOYMENTS}/keys", web(), f"{POD}/containers/0/env/0/name", "B", id="environment variable"),
    pytest.param(f"{DEPLOYMENTS}/keys", web(), f"{POD}/containers/0/name", "hacked", id="container"),
]


@pytest.fixture(autouse=True)
def clean(api: Api) -> Any:
    yield
    for path in (f"{SERVICES}/keys", f"{DEPLOYMENTS}/keys"):
        api.delete(path)


def applied(api: Api, path: str, body: Json, *, manager: str = US) -> Json:
    code, answer = api.apply(path, body, manager=manager)
    assert code < 300, answer
    return answer


def patched(api: Api, path: str, *operations: Json, manager: str = "kubectl-patch") -> Json:
    code, answer = api.request("PATCH", f"{path}?fieldManager={manager}", list(operations), PATCH)
    assert code < 300, answer
    return answer


def operations(desired: Json, live: Json) -> list[Json]:
    drifts = field_drifts(desired, live, ownership(live, US).ours, manager=US)
    assert drifts, "it drifted"
    return rekeyed(desired, live, drifts, manager=US)


def held(live: Json) -> dict[tuple[str, str], Json]:
    """Who holds what."""
    return {(entry["manager"], entry["operation"]): entry["fieldsV1"] for entry in live["metadata"]["managedFields"]}


@pytest.mark.parametrize(("path", "body", "pointer", "value"), CASES)
def test_an_item_with_another_key_is_put_right_by_the_patch_and_an_apply(api: Api, path: str, body: Json, pointer: str, value: Any):
    before = applied(api, path, body)
    drifted = patched(api, path, {"op": "replace", "path": pointer, "value": value})
    handed = patched(api, path, *operations(body, drifted), manager=US)
    assert handed["spec"] == drifted["spec"], "the patch alone changes no value"
    after = applied(api, path, body)
    assert after["spec"] == before["spec"]
    assert held(after)[US, "Apply"] == held(before)[US, "Apply"]
    assert (US, "Update") not in held(after), "nothing that would hold the item after it left Git"
    assert not field_drifts(body, after, ownership(after, US).ours, manager=US)


@pytest.mark.parametrize(("path", "body", "pointer", "value"), CASES)
def test_an_apply_alone_is_refused_or_leaves_two_where_there_was_one(api: Api, path: str, body: Json, pointer: str, value: Any):
    before = applied(api, path, body)
    patched(api, path, {"op": "replace", "path": pointer, "value": value})
    code, answer = api.apply(path, body, manager=US)
    assert code == 422 or answer["spec"] != before["spec"]


def test_what_git_changes_afterwards_goes_through(api: Api):
    path, before = f"{SERVICES}/keys", service("keys", HTTP)
    applied(api, path, before)
    drifted = patched(api, path, {"op": "replace", "path": "/spec/ports/0/port", "value": 8088})
    patched(api, path, *operations(before, drifted), manager=US)
    applied(api, path, before)
    after = applied(api, path, service("keys", {**HTTP, "port": 90}, ADMIN))
    assert [port["port"] for port in after["spec"]["ports"]] == [90, 81]


def test_an_apply_that_comes_late_needs_no_other_patch(api: Api):
    path, body = f"{SERVICES}/keys", service("keys", HTTP)
    applied(api, path, body)
    drifted = patched(api, path, {"op": "replace", "path": "/spec/ports/0/port", "value": 8088})
    handed = patched(api, path, *operations(body, drifted), manager=US)
    assert operations(body, handed) == [], "it is drift still, and theirs no more"
    assert applied(api, path, body)["spec"]["ports"] == [{**HTTP, "protocol": "TCP"}]


def test_a_write_in_between_makes_the_patch_a_conflict(api: Api):
    path, body = f"{SERVICES}/keys", service("keys", HTTP)
    applied(api, path, body)
    drifted = patched(api, path, {"op": "replace", "path": "/spec/ports/0/port", "value": 8088})
    api.merge(path, {"metadata": {"labels": {"in": "between"}}})
    code, answer = api.request("PATCH", f"{path}?fieldManager={US}", operations(body, drifted), PATCH)
    assert (code, answer["reason"]) == (409, "Conflict")


def test_an_item_that_somebody_declares_is_not_taken(api: Api):
    path, body = f"{SERVICES}/keys", service("keys", HTTP)
    applied(api, path, body)
    drifted = patched(api, path, {"op": "replace", "path": "/spec/ports/0/port", "value": 8088})
    code, drifted = api.apply(path, manifest("Service", "keys", spec={"ports": [{"name": "http", "port": 8088}]}), manager="platform-team")
    assert code == 200, drifted
    assert operations(body, drifted) == []


def test_an_item_that_was_put_beside_ours_is_not_taken(api: Api):
    path, body = f"{SERVICES}/keys", service("keys", HTTP, ADMIN)
    applied(api, path, body)
    patched(api, path, {"op": "add", "path": "/spec/ports/-", "value": {"name": "more", "port": 99}})
    drifted = patched(api, path, {"op": "replace", "path": "/spec/ports/0/port", "value": 8088})
    patched(api, path, *operations(body, drifted), manager=US)
    after = applied(api, path, body)
    assert sorted((port["name"], port["port"]) for port in after["spec"]["ports"]) == [("admin", 81), ("http", 80), ("more", 99)]


def test_the_same_by_kubectl_edit_which_sends_a_strategic_merge(api: Api):
    path, body = f"{SERVICES}/keys", service("keys", HTTP)
    before = applied(api, path, body)
    edit = {"spec": {"$setElementOrder/ports": [{"port": 8088}], "ports": [{**HTTP, "port": 8088}, {"$patch": "delete", "port": 80}]}}
    code, drifted = api.request("PATCH", f"{path}?fieldManager=kubectl-edit", edit, "application/strategic-merge-patch+json")
    assert code == 200, drifted
    patched(api, path, *operations(body, drifted), manager=US)
    assert applied(api, path, body)["spec"] == before["spec"]


def test_the_operator_puts_a_changed_key_back(world: World):
    service = manifest("Service", "web", spec={"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80}]})
    world.commit({"a.yaml": text(service, deployment("web"))})
    world.declare()
    world.wait_ready()
    path = world.path("services", "web")
    patch = [{"op": "replace", "path": "/spec/ports/0/port", "value": 8080}]
    assert world.api.request("PATCH", path + "?fieldManager=kubectl-patch", patch, "application/json-patch+json")[0] == 200
    until("the port is back, and alone", lambda: [port["port"] for port in world.api.get(path)["spec"]["ports"]] == [80])
    world.wait_ready()
