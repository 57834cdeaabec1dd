"""Facts about the API server that the code rests on, asked of a live one through our own client.

Aspects: a create cannot touch what is there · an update cannot take a recreated object for the old one · a delete hits only what was looked at ·
what each answer means.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from cvstate_operator import errors
from cvstate_operator.kube.client import Client
from cvstate_operator.kube.cluster import NO_SUCH_VERSION
from cvstate_operator.kube.connection import connect
from tests.integration.test_reconcile import deployment
from tests.support.waiting import until
from tests.support.world import World, config_map, manifest

pytestmark = pytest.mark.integration

Result = TypeVar("Result")
RBAC = "rbac.authorization.k8s.io/v1"


def ask(world: World, work: Callable[[Client], Awaitable[Result]]) -> Result:
    """Do something with our own client, as the operator's user."""

    async def run() -> Result:
        connection = await connect(world.cluster.operator_kubeconfig)
        client = Client(connection, observe=lambda **_: None)
        try:
            return await work(client)
        finally:
            await client.close()
            await connection.close()

    return asyncio.run(run())


def apply(world: World, path: str, body: dict[str, Any], *, force: bool = False, **meta: str) -> dict[str, Any]:
    whole = {**body, "metadata": {**body["metadata"], **meta}}
    return ask(world, lambda client: client.apply(path, whole, manager="cvstate-operator", force=force))


@pytest.mark.parametrize("kind", ["configmap", "deployment", "clusterrole"])
def test_an_apply_with_an_impossible_resource_version_creates_but_never_changes(world: World, kind: str):
    path, body, edit = {
        "configmap": (world.path("configmaps", "x"), config_map("x", k="v"), {"data": {"k": "other"}}),
        "deployment": (world.path("deployments", "x", group="apps/v1"), deployment("x"), {"spec": {"replicas": 3}}),
        "clusterrole": (
            f"/apis/{RBAC}/clusterroles/{world.name}",
            manifest("ClusterRole", world.name, api_version=RBAC, rules=[]),
            {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]},
        ),
    }[kind]
    created = apply(world, path, body, resourceVersion=NO_SUCH_VERSION)
    assert created["metadata"]["uid"]
    changed = {**body, **edit} if kind != "deployment" else deployment("x", replicas=3)
    with pytest.raises(errors.StaleError):
        apply(world, path, changed, resourceVersion=NO_SUCH_VERSION)
    with pytest.raises(errors.StaleError):
        apply(world, path, changed, force=True, resourceVersion=NO_SUCH_VERSION)
    assert world.api.get(path)["metadata"]["resourceVersion"] == created["metadata"]["resourceVersion"]


def test_an_apply_with_the_uid_of_a_gone_object_neither_creates_nor_changes(world: World):
    path = world.path("configmaps", "x")
    old = apply(world, path, config_map("x", k="v"))["metadata"]["uid"]
    world.api.delete(path)
    with pytest.raises(errors.StaleError):
        apply(world, path, config_map("x", k="v"), force=True, uid=old)
    assert world.api.get(path) is None
    world.api.create(world.path("configmaps"), config_map("x", k="theirs"))
    with pytest.raises(errors.StaleError):
        apply(world, path, config_map("x", k="v"), force=True, uid=old)
    assert world.api.get(path)["data"] == {"k": "theirs"}


def test_a_delete_hits_only_the_object_and_state_that_was_looked_at(world: World):
    path = world.path("configmaps", "x")
    seen = world.api.create(world.path("configmaps"), config_map("x", k="v"))["metadata"]
    world.api.merge(path, {"data": {"k": "changed"}})

    def delete(**seen: str) -> None:
        ask(world, lambda client: client.delete(path, **seen))

    with pytest.raises(errors.StaleError):
        delete(uid=seen["uid"], resource_version=seen["resourceVersion"])
    now = world.api.get(path)["metadata"]
    with pytest.raises(errors.StaleError):
        delete(uid="00000000-0000-0000-0000-000000000000", resource_version=now["resourceVersion"])
    delete(uid=now["uid"], resource_version=now["resourceVersion"])
    assert world.api.get(path) is None
    delete(uid=now["uid"], resource_version=now["resourceVersion"])


def quota(world: World) -> None:
    world.api.create(world.path("resourcequotas"), manifest("ResourceQuota", "none", spec={"hard": {"count/secrets": "0"}}))
    path = world.path("resourcequotas", "none/status")
    world.api.merge(path, {"status": {"hard": {"count/secrets": "0"}, "used": {"count/secrets": "0"}}})


def terminating(world: World) -> None:
    world.api.delete(f"/api/v1/namespaces/{world.name}")
    until("it is on its way out", lambda: "deletionTimestamp" in world.api.get(f"/api/v1/namespaces/{world.name}")["metadata"])


def held(world: World) -> None:
    world.api.apply(world.path("configmaps", "x"), config_map("x", k="theirs"), manager="rival")


def selector(world: World) -> None:
    world.api.create(world.path("deployments", group="apps/v1"), deployment("x"))


def other_selector() -> dict[str, Any]:
    body = deployment("x")
    body["spec"]["selector"]["matchLabels"] = body["spec"]["template"]["metadata"]["labels"] = {"app": "other"}
    return body


def nothing(world: World) -> None:
    """The case needs no preparation."""


HUGE = {"k": "x" * 1_100_000}
ANSWERS = {
    "wrong-type": (nothing, "services", manifest("Service", "x", spec={"ports": "no"}), errors.InvalidError, "spec.ports"),
    "unknown-field": (nothing, "services", manifest("Service", "x", spec={"prots": []}), errors.InvalidError, "spec.prots"),
    "bad-name": (nothing, "configmaps", config_map("No_Name"), errors.InvalidError, "metadata.name"),
    "too-large": (nothing, "configmaps", config_map("x", **HUGE), errors.InvalidError, None),
    "immutable": (selector, "deployments", other_selector(), errors.ImmutableError, "spec.selector"),
    "field-conflict": (held, "configmaps", config_map("x", k="ours"), errors.FieldConflictError, None),
    "quota": (quota, "secrets", manifest("Secret", "x"), errors.QuotaExceededError, None),
    "terminating-namespace": (terminating, "configmaps", config_map("x"), errors.NamespaceTerminatingError, None),
    "unknown-kind": (nothing, "nopes", manifest("Nope", "x"), errors.KindUnknownError, None),
}


@pytest.mark.parametrize(("prepare", "plural", "body", "error", "field"), ANSWERS.values(), ids=ANSWERS.keys())
def test_an_answer_of_the_api_server_means_what_our_table_says(world: World, prepare, plural, body, error, field):
    prepare(world)
    group = "apps/v1" if plural == "deployments" else ""

    def refused() -> Exception | None:
        try:
            apply(world, world.path(plural, body["metadata"]["name"], group=group), body, force=error is errors.ImmutableError)
        except errors.CvstateError as exc:
            return exc
        return None

    # The quota plugin learns of a new quota by a watch of its own.
    found = until("it is refused", refused)
    assert type(found) is error
    if field is not None:
        assert getattr(found, "field", None) == field


def test_a_missing_namespace_and_a_missing_object_are_told_apart(world: World):
    with pytest.raises(errors.NamespaceMissingError, match="nowhere"):
        apply(world, "/api/v1/namespaces/nowhere/configmaps/x", config_map("x"))
    assert ask(world, lambda client: client.get(world.path("configmaps", "x"))) is None
