"""Facts about the API server that the code rests on, asked of a live one through our own client.

Aspects: a create cannot touch what is there · an update cannot take a recreated object for the old one · a delete hits only what was looked at,
and says whether it is gone · an apply without a difference costs no version · an apply to an object on its way out answers 200 all the same.
"""

from dataclasses import dataclass

import pytest

from cvstate_operator import errors
from cvstate_operator.kube.cluster import NO_SUCH_VERSION
from tests.support import ours
from tests.support.api import Json
from tests.support.objects import RBAC, config_map, definition, deployment, manifest
from tests.support.waiting import until
from tests.support.world import World

pytestmark = pytest.mark.integration


@dataclass(frozen=True)
class Probe:
    """One object in two states."""

    path: str
    first: Json
    second: Json


def probe(world: World, kind: str) -> Probe:
    if kind == "ConfigMap":
        return Probe(world.path("configmaps", "x"), config_map("x", k="v"), config_map("x", k="other"))
    if kind == "Deployment":
        return Probe(world.path("deployments", "x", group="apps/v1"), deployment("x"), deployment("x", replicas=3))
    if kind == "ClusterRole":
        rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
        first, second = (manifest("ClusterRole", world.name, api_version=RBAC, rules=r) for r in ([], rules))
        return Probe(f"/apis/{RBAC}/clusterroles/{world.name}", first, second)
    group = f"{world.name}.cluster.test"
    world.api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition(group, "Widget"))
    until("Widgets are served", lambda: world.api.request("GET", world.path("widgets", group=f"{group}/v1"))[0] == 200)
    first, second = (manifest("Widget", "x", api_version=f"{group}/v1", spec={"size": size}) for size in (1, 2))
    return Probe(world.path("widgets", "x", group=f"{group}/v1"), first, second)


KINDS = ["ConfigMap", "Deployment", "ClusterRole", "custom resource"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_apply_with_an_impossible_resource_version_creates_but_never_changes(world: World, kind: str):
    it = probe(world, kind)
    mark = world.cluster.audit.mark()
    created = ours.apply(world, it.path, it.first, resourceVersion=NO_SUCH_VERSION)
    assert created["metadata"]["uid"]
    for force in (False, True):
        with pytest.raises(errors.StaleError):
            ours.apply(world, it.path, it.second, force=force, resourceVersion=NO_SUCH_VERSION)
    assert world.api.get(it.path) == created
    assert [
        r.code
        for r in world.cluster.audit.requests(mark, user="cvstate-operator")
        if r.verb == "patch" and r.name == it.first["metadata"]["name"] and r.namespace in ("", world.name)
    ] == [201, 409, 409]


@pytest.mark.parametrize("kind", KINDS)
def test_an_apply_with_the_uid_of_a_gone_object_neither_creates_nor_changes(world: World, kind: str):
    it = probe(world, kind)
    old = ours.apply(world, it.path, it.first)["metadata"]["uid"]
    world.api.delete(it.path)
    until("it is gone", lambda: world.api.get(it.path) is None)
    with pytest.raises(errors.StaleError):
        ours.apply(world, it.path, it.second, force=True, uid=old)
    assert world.api.get(it.path) is None
    theirs = world.api.create(it.path.rpartition("/")[0], it.first)
    with pytest.raises(errors.StaleError):
        ours.apply(world, it.path, it.second, force=True, uid=old)
    assert world.api.get(it.path) == theirs


def test_a_delete_hits_only_the_object_and_state_that_was_looked_at(world: World):
    path = world.path("configmaps", "x")
    seen = world.api.create(world.path("configmaps"), config_map("x", k="v"))["metadata"]
    world.api.merge(path, {"data": {"k": "changed"}})

    def delete(uid: str, version: str) -> None:
        ours.ask(world.cluster.operator_kubeconfig, lambda client: client.delete(path, uid=uid, resource_version=version))

    with pytest.raises(errors.StaleError):
        delete(seen["uid"], seen["resourceVersion"])
    now = world.api.get(path)["metadata"]
    with pytest.raises(errors.StaleError):
        delete("00000000-0000-0000-0000-000000000000", now["resourceVersion"])
    delete(now["uid"], now["resourceVersion"])
    assert world.api.get(path) is None
    delete(now["uid"], now["resourceVersion"])


@pytest.mark.parametrize(
    ("plural", "body", "finalizers", "is_gone"),
    [
        pytest.param("configmaps", config_map("x", k="v"), [], True, id="gone"),
        pytest.param("configmaps", config_map("x", k="v"), ["cluster.test/hold"], False, id="kept-by-a-finalizer"),
        pytest.param("services", manifest("Service", "x", spec={"clusterIP": "None"}), [], True, id="a-kind-that-answers-with-the-object"),
    ],
)
def test_a_delete_says_whether_the_object_is_gone(world: World, plural: str, body: Json, finalizers: list[str], is_gone: bool):
    made = world.api.create(world.path(plural), {**body, "metadata": {**body["metadata"], "finalizers": finalizers}})["metadata"]
    path = world.path(plural, "x")
    told = ours.ask(
        world.cluster.operator_kubeconfig,
        lambda client: client.delete(path, uid=made["uid"], resource_version=made["resourceVersion"]),
    )
    assert (told, world.api.get(path) is None) == (is_gone, is_gone)
    if not is_gone:
        world.api.merge(path, {"metadata": {"finalizers": None}})


def test_an_apply_without_a_difference_leaves_the_version_as_it_is(world: World):
    path = world.path("deployments", "x", group="apps/v1")
    first, again = (ours.apply(world, path, deployment("x")) for _ in range(2))
    assert first["metadata"]["resourceVersion"] == again["metadata"]["resourceVersion"]


def test_an_apply_to_an_object_on_its_way_out_succeeds_and_does_not_save_it(world: World):
    path = world.path("configmaps", "x")
    body = config_map("x", k="v")
    world.api.create(world.path("configmaps"), {**body, "metadata": {"name": "x", "finalizers": ["cluster.test/hold"]}})
    world.api.delete(path)
    answer = ours.apply(world, path, config_map("x", k="new"), force=True)
    assert "deletionTimestamp" in answer["metadata"]
    world.api.merge(path, {"metadata": {"finalizers": None}})
    until("it is gone all the same", lambda: world.api.get(path) is None)
