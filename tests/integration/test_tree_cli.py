"""`cvstate tree` against a real cluster with controllers: what stands below the objects of a ClusterState, and what is wrong with it.

Aspects: a ClusterState that is well, in two namespaces · crash loops, images, Pods without a node · claims and custom resources · the filter and the depth · how many
requests it takes · rights in one namespace, and none · errors.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from cvstate_operator import errors
from cvstate_operator.cli.demo.git_server import GitServer
from tests.cluster.control_plane import Cluster
from tests.conftest import install_crd
from tests.support import accounts, commands
from tests.support.api import Api, Json
from tests.support.objects import RBAC, config_map, definition, deployment, manifest, text
from tests.support.operator import Operator
from tests.support.waiting import until
from tests.support.world import World

pytestmark = pytest.mark.integration

FATE = "test.cvstate.io/fate"
PULL_MESSAGE = 'Back-off pulling image "registry.example/app:1"'
READS = [{"apiGroups": ["cvstate.io"], "resources": ["clusterstates"], "verbs": ["get"]}]
"""What everybody needs who looks at a ClusterState."""


def crashing(name: str) -> Json:
    body = deployment(name, replicas=2)
    body["spec"]["template"]["metadata"]["labels"][FATE] = "crash-loop"
    return body


def without_node(body: Json) -> Json:
    body["spec"]["template"]["spec"]["nodeSelector"] = {"no": "such"}
    return body


def stateful_set(name: str) -> Json:
    claim = {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "main", "image": "registry.example/app:1"}]}}
    spec = {"serviceName": name, "selector": {"matchLabels": {"app": name}}, "template": template, "volumeClaimTemplates": [claim]}
    return manifest("StatefulSet", name, api_version="apps/v1", spec=spec)


@pytest.fixture(scope="module")
def shop(git: GitServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two ClusterStates: `well` in two namespaces, and `state` with everything that is wrong."""
    with Cluster.start(nodes=2) as cluster:
        api = Api(cluster.admin_kubeconfig)
        install_crd(api)
        api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition("example.io", "Widget"))
        with Operator(cluster.operator_kubeconfig, tmp_path_factory.mktemp("operator")) as operator:
            world = World(cluster, api, git, operator)
            fill(world)
            yield world


def fill(world: World) -> None:
    """Commit, apply, and wait until the controllers have done what they can."""
    api = world.api
    two = f"{world.name}-two"
    well = (config_map("settings"), deployment("web", replicas=3), manifest("Namespace", two), deployment("far", namespace=two))
    widget = manifest("Widget", "main", api_version="example.io/v1", spec={})
    ill = (crashing("api"), without_node(deployment("nowhere")), deployment("pull"), stateful_set("db"), widget)
    world.repository.commit({"well/a.yaml": text(*well), "ill/a.yaml": text(*ill)})
    world.declare("well", git={"path": "well"})
    world.declare("state", git={"path": "ill"})
    world.wait_ready("well")
    path = world.path("widgets", "main", group="example.io/v1")
    owner = until("the Widget is there", lambda: api.get(path))
    made = deployment("made")
    made["metadata"]["ownerReferences"] = [
        {"apiVersion": "example.io/v1", "kind": "Widget", "name": "main", "uid": owner["metadata"]["uid"], "controller": True}
    ]
    api.create(world.path("deployments", group="apps/v1"), made)
    until("the controllers have done their work", lambda: is_settled(world), seconds=60, every=0.2)
    (pod,) = pods(world, "pull")
    waits = {"waiting": {"reason": "ImagePullBackOff", "message": PULL_MESSAGE}}
    status = {
        "conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady"}],
        "containerStatuses": [{"name": "main", "image": "x", "imageID": "", "ready": False, "restartCount": 0, "state": waits}],
    }
    spoiled = world.path("pods", f"{pod['metadata']['name']}/status")
    assert api.request("PATCH", spoiled, {"status": status}, "application/strategic-merge-patch+json")[0] == 200
    until("its Deployment says so", lambda: not ready_replicas(world, "pull"), seconds=60)


def pods(world: World, app: str) -> list[Json]:
    return list(world.api.request("GET", f"{world.path('pods')}?labelSelector=app%3D{app}")[1]["items"])


def ready_replicas(world: World, name: str, namespace: str | None = None) -> int:
    found = world.api.get(world.path("deployments", name, group="apps/v1", namespace=namespace)) or {}
    return int(found.get("status", {}).get("readyReplicas", 0))


def is_settled(world: World) -> bool:
    stuck = [one for name in ("nowhere", "db") for pod in pods(world, name) for one in pod["status"].get("conditions", ())]
    return (
        ready_replicas(world, "web") == 3
        and all(ready_replicas(world, name) == 1 for name in ("pull", "made"))
        and ready_replicas(world, "far", f"{world.name}-two") == 1
        and [pod["status"].get("phase") for pod in pods(world, "api")] == ["Running"] * 2
        and [one["reason"] for one in stuck if one["type"] == "PodScheduled"] == ["Unschedulable"] * 2
    )


def run(world: World, name: str, *options: str, user: Path | None = None, columns: int = 200) -> tuple[int, str]:
    """Exit code and output of the command.

    Raises:
        CvstateError: the error that ends the program with 2.
    """
    return commands.run(world, "tree", name, "-n", world.name, *options, user=user, columns=columns)


def tree(world: World, name: str, *options: str, user: Path | None = None) -> tuple[int, dict[str, Any]]:
    code, output = run(world, name, "-o", "json", *options, user=user)
    return code, json.loads(output)


def leaf(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """The first object at the end of the way."""
    return leaf(node["children"][0]) if node.get("children") else node


def named(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    (one,) = (node for node in found["tree"] if node["object"].endswith(f"/{name}"))
    return one


# -- what is shown -------------------------------------------------------------------------------------------------


def test_a_cluster_state_that_is_well_ends_with_0_and_shows_its_pods_in_every_namespace(shop: World) -> None:
    code, found = tree(shop, "well")
    assert (code, found["objects"], found["statuses"], found["notListed"]) == (0, 4, {"Current": 10}, [])
    (replica_set,) = named(found, "web")["children"]
    assert [pod["object"].split("/")[:2] for pod in replica_set["children"]] == [["Pod", shop.name]] * 3
    assert leaf(named(found, "far"))["object"].startswith(f"Pod/{shop.name}-two/far-")
    assert "All 10 objects are Current." in run(shop, "well")[1]


def test_a_crash_loop_is_told_down_to_the_container(shop: World) -> None:
    code, found = tree(shop, "state")
    api = named(found, "api")
    assert (code, api["status"], api["message"]) == (1, "InProgress", "0 of 2 replicas are ready")
    pod = leaf(api)
    (why,) = pod["why"]
    assert (pod["status"], pod["reason"]) == ("Failed", "CrashLoop")
    assert (why["reason"], why["container"], why["restarts"], why["message"]) == (
        "CrashLoopBackOff",
        "main",
        3,
        "ends with exit code 1 (Error)",
    )
    assert why["since"].startswith("20")
    assert why["endedAt"].startswith("20")


@pytest.mark.parametrize(
    ("name", "reason", "message"), [("nowhere", "Unschedulable", "0/2 nodes are available"), ("pull", "ImagePullBackOff", PULL_MESSAGE)]
)
def test_what_keeps_a_pod_from_running_is_told_in_the_words_of_who_refuses(shop: World, name: str, reason: str, message: str) -> None:
    (why,) = leaf(named(tree(shop, "state")[1], name))["why"]
    assert why["reason"] == reason
    assert message in why["message"]


def test_claims_are_below_their_stateful_set_and_what_a_custom_resource_owns_below_it(shop: World) -> None:
    found = tree(shop, "state")[1]
    assert [child["object"] for child in named(found, "db")["children"]] == [
        f"PersistentVolumeClaim/{shop.name}/data-db-0",
        f"Pod/{shop.name}/db-0",
    ]
    (made,) = named(found, "main")["children"]
    assert made["object"] == f"apps/Deployment/{shop.name}/made"
    assert leaf(made)["object"].startswith(f"Pod/{shop.name}/made-")


@pytest.mark.parametrize("columns", [80, 160])
def test_people_see_the_tree_with_what_is_wrong_beside_it(shop: World, columns: int) -> None:
    code, output = run(shop, "state", columns=columns)
    assert code == 1
    lines = output.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("Deployment/api "))
    assert "InProgress" in lines[at]
    assert lines[at + 1] == "│  0 of 2 replicas are ready"
    assert lines[at + 2].startswith("└─ ReplicaSet/api-")
    assert lines[at + 4].startswith("   ├─ Pod/api-")
    assert lines[at + 5].startswith("   │     container main: CrashLoopBackOff for ")
    assert "\x1b" not in output
    assert all(len(line) <= columns for line in lines)


def test_the_filter_leaves_out_what_is_current(shop: World) -> None:
    output = run(shop, "state", "--unhealthy")[1]
    assert all(name in output for name in ("Deployment/api", "Deployment/nowhere", "Deployment/pull", "StatefulSet/db"))
    assert "Widget" not in output
    code, output = run(shop, "well", "--unhealthy")
    assert (code, "Deployment" in output, "All 10 objects are Current." in output) == (0, False, True)


# -- requests and rights -------------------------------------------------------------------------------------------


def member_kinds(*verbs: str) -> list[Json]:
    return [{"apiGroups": ["", "apps", "batch", "example.io"], "resources": ["*"], "verbs": list(verbs)}]


def lists(world: World, name: str, user: Path, account: str, *options: str) -> list[tuple[str, str]]:
    """Resource and namespace of every LIST that the command made."""
    audit, mark = world.cluster.audit, world.cluster.audit.mark()
    tree(world, name, *options, user=user)
    asked = f"system:serviceaccount:{world.name}:{account}"
    audit.mark()  # gives the log a moment
    return sorted((one.resource, one.namespace) for one in audit.requests(mark, user=asked) if one.verb == "list")


def test_each_kind_is_listed_once_and_children_only_where_their_owners_are(shop: World, tmp_path: Path) -> None:
    user = accounts.kubeconfig(shop, accounts.token(shop, "all"), tmp_path / "user")
    accounts.grant(shop, "all", [*READS, *member_kinds("list")])
    members = [("configmaps", ""), ("deployments", ""), ("namespaces", "")]
    where = (shop.name, f"{shop.name}-two")
    assert lists(shop, "well", user, "all", "--depth", "1") == members
    assert lists(shop, "well", user, "all") == sorted([*members, *((kind, one) for kind in ("pods", "replicasets") for one in where)])


def test_with_rights_in_one_namespace_its_objects_are_shown_and_the_rest_is_told(shop: World, tmp_path: Path) -> None:
    user = accounts.kubeconfig(shop, accounts.token(shop, "tenant"), tmp_path / "user")
    access = f"/apis/{RBAC}/namespaces/{shop.name}"
    subject = {"kind": "ServiceAccount", "name": "tenant", "namespace": shop.name}
    reference = {"apiGroup": RBAC.partition("/")[0], "kind": "Role", "name": "tenant"}
    role = manifest("Role", "tenant", api_version=RBAC, rules=[*READS, *member_kinds("list")])
    shop.api.create(f"{access}/roles", role)
    shop.api.create(f"{access}/rolebindings", manifest("RoleBinding", "tenant", api_version=RBAC, roleRef=reference, subjects=[subject]))
    code, found = tree(shop, "well", user=user)
    assert code == 1
    assert [node["object"].split("/")[-1] for node in found["tree"]] == ["settings", "web"]
    told = {one["kind"]: one["message"] for one in found["notListed"]}
    assert told.keys() == {"ConfigMap", "Deployment.apps", "Namespace"}
    assert f"only in namespace {shop.name}" in told["Deployment.apps"]
    assert "may not list namespaces" in told["Namespace"]

    code, found = tree(shop, "state", user=user)
    assert (found["objects"], found["notListed"]) == (5, [])


def test_kinds_that_may_not_be_listed_are_told_and_the_rest_is_shown(shop: World, tmp_path: Path) -> None:
    user = accounts.kubeconfig(shop, accounts.token(shop, "narrow"), tmp_path / "user")
    accounts.grant(shop, "narrow", [*READS, {"apiGroups": ["apps"], "resources": ["deployments", "replicasets"], "verbs": ["list"]}])
    code, found = tree(shop, "state", user=user)
    assert code == 1
    assert [node["object"].split("/")[-1] for node in found["tree"]] == ["api", "nowhere", "pull"]
    assert {one["kind"] for one in found["notListed"]} == {"Pod", "StatefulSet.apps", "Widget.example.io"}
    assert f"may not list pods in {shop.name}" in run(shop, "state", user=user)[1]


def test_without_the_right_to_read_the_cluster_state_or_without_one_it_is_an_error(shop: World, tmp_path: Path) -> None:
    with pytest.raises(errors.NotFoundError, match="there is no ClusterState"):
        run(shop, "missing")
    user = accounts.kubeconfig(shop, accounts.token(shop, "nobody"), tmp_path / "user")
    with pytest.raises(errors.ForbiddenError, match="may not get clusterstates"):
        run(shop, "state", user=user)
