"""The main job on a real API server, judged by live objects and the audit log.

Aspects: a commit becomes objects · one PATCH each · nothing is written twice · refs and paths · order · what kubectl shows.
"""

import json

import pytest

from tests.support.objects import config_map, deployment, manifest, mixed, text
from tests.support.world import World

pytestmark = pytest.mark.integration


def test_a_thousand_objects_converge_in_one_patch_each_and_a_second_reconcile_writes_nothing(world: World):
    count = 1000
    commit = world.commit(mixed(count, world.name))
    mark = world.cluster.audit.mark()
    world.declare()
    world.wait_applied(commit, seconds=60)
    writes = world.writes(mark)
    assert len(writes) == len(set(writes)) == count
    assert all(write.startswith("patch ") for write in writes)
    requests = [r for r in world.cluster.audit.requests(mark, user="cvstate-operator") if r.resource not in ("clusterstates", "events")]
    assert len(requests) <= 1.02 * count + 10

    mark = world.cluster.audit.mark()
    world.request()
    assert world.writes(mark) == []

    state = world.state()
    assert state["status"]["inventory"]["objects"] == count
    assert "problems" not in state["status"]


def test_a_reconcile_of_an_unchanged_world_writes_only_its_own_answer(world: World):
    world.declare()
    world.wait_applied(world.commit({"a.yaml": text(config_map("a", k="v"))}))
    world.request()
    mark = world.cluster.audit.mark()
    world.request()
    own = [r for r in world.cluster.audit.requests(mark, user="cvstate-operator") if r.is_write]
    assert [(r.verb, r.resource, r.subresource) for r in own] == [("patch", "clusterstates", "status")]


def test_a_commit_writes_only_what_it_changed(world: World):
    world.commit({"a.yaml": text(*(config_map(f"a{i}", k="v") for i in range(20)))})
    world.declare()
    world.wait_applied(world.commit({"b.yaml": text(config_map("b", k="v"))}))
    mark = world.cluster.audit.mark()
    changed = text(*(config_map(f"a{i}", k="new" if i == 7 else "v") for i in range(20)))
    world.wait_applied(world.commit({"a.yaml": changed}))
    assert world.writes(mark) == [f"patch configmaps {world.name}/a7"]


def test_moving_an_object_to_another_file_writes_nothing(world: World):
    world.commit({"a.yaml": text(config_map("a", k="v")), "b.yaml": text(config_map("b", k="v"))})
    world.declare()
    world.wait_applied(world.repository.git("rev-parse", "HEAD").strip())
    mark = world.cluster.audit.mark()
    world.wait_applied(world.commit({"a.yaml": None, "sub/c.yaml": text(config_map("a", k="v"))}))
    assert world.writes(mark) == []


def test_an_object_that_left_git_is_pruned(world: World):
    world.commit({"a.yaml": text(config_map("a", k="v")), "b.yaml": text(config_map("b", k="v"))})
    world.declare()
    world.wait_applied(world.repository.git("rev-parse", "HEAD").strip())
    mark = world.cluster.audit.mark()
    world.wait_applied(world.commit({"a.yaml": None}))
    assert world.api.get(world.path("configmaps", "a")) is None
    assert world.api.get(world.path("configmaps", "b")) is not None
    assert world.writes(mark) == [f"delete configmaps {world.name}/a"]


def test_pruning_can_be_switched_off(world: World):
    world.commit({"a.yaml": text(config_map("a", k="v")), "b.yaml": text(config_map("b", k="v"))})
    world.declare(prune={"enabled": False})
    world.wait_applied(world.repository.git("rev-parse", "HEAD").strip())
    world.wait_applied(world.commit({"a.yaml": None}))
    assert "spec.prune.enabled" in world.condition()["message"]
    assert world.api.get(world.path("configmaps", "a")) is not None


def test_a_namespace_that_left_git_is_kept_and_told(world: World):
    other = f"{world.name}-kept"
    world.commit({"ns.yaml": text(manifest("Namespace", other)), "a.yaml": text(config_map("a", k="v"))})
    world.declare()
    world.wait_applied(world.repository.git("rev-parse", "HEAD").strip())
    world.wait_applied(world.commit({"ns.yaml": None}))
    message = world.condition()["message"]
    assert f"1 object left Git (Namespace/{other}), kept by spec.prune.protectedKinds" in message
    assert world.api.get(f"/api/v1/namespaces/{other}")["status"]["phase"] == "Active"


def test_a_custom_resource_whose_crd_is_in_the_same_commit_converges_in_the_same_reconcile(world: World):
    other = f"{world.name}-new"
    group = f"{world.name}.demo.example.test"
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}}
    crd = manifest(
        "CustomResourceDefinition",
        f"widgets.{group}",
        api_version="apiextensions.k8s.io/v1",
        spec={
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": "Widget", "plural": "widgets", "singular": "widget"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    )
    widget = manifest("Widget", "w", api_version=f"{group}/v1", namespace=other, spec={"size": 3})
    files = {
        "a-widget.yaml": text(widget),
        "b-crd.yaml": text(crd),
        "c-ns.yaml": text(manifest("Namespace", other)),
        "d.yaml": text(config_map("d")),
    }
    commit = world.commit(files)
    mark = world.cluster.audit.mark()
    world.declare()
    world.wait_applied(commit, seconds=30)
    assert world.api.get(world.path("widgets", "w", group=f"{group}/v1", namespace=other))["spec"] == {"size": 3}
    assert len(world.writes(mark)) == 4, "each object is written once, none is tried too early"

    world.api.merge(world.path("widgets", "w", group=f"{group}/v1", namespace=other), {"spec": {"size": 9}})
    world.request()
    repaired = world.api.get(world.path("widgets", "w", group=f"{group}/v1", namespace=other))
    assert repaired["spec"] == {"size": 3}


def test_branch_tag_commit_and_path_choose_what_is_applied(world: World):
    first = world.commit({"a.yaml": text(config_map("a", k="first"))})
    world.repository.git("tag", "-a", "v1", "-m", "one")
    world.commit({"a.yaml": text(config_map("a", k="second")), "sub/b.yaml": text(config_map("b", k="v"))})
    world.repository.git("checkout", "-q", "-b", "feature/x")
    branch = world.commit({"a.yaml": text(config_map("a", k="branch"))})
    world.repository.git("checkout", "-q", "main")

    def value():
        return world.api.get(world.path("configmaps", "a"))["data"]["k"]

    world.declare(git={"ref": {"tag": "v1"}}, prune={"enabled": False})
    world.wait_applied(first)
    assert value() == "first"
    assert world.state()["status"]["lastAppliedRevision"] == f"v1@sha1:{first}"
    world.declare(git={"ref": {"branch": "feature/x"}}, prune={"enabled": False})
    world.wait_applied(branch)
    assert value() == "branch"
    world.declare(git={"ref": {"branch": "main", "commit": first}})
    world.wait_applied(first)
    assert value() == "first"
    assert world.api.get(world.path("configmaps", "b")) is None, "b is not in that commit"


def test_an_object_without_a_namespace_goes_into_the_namespace_of_the_clusterstate(world: World):
    world.declare()
    world.wait_applied(world.commit({"a.yaml": text(config_map("plain", k="v"))}))
    assert world.api.get(world.path("configmaps", "plain"))["data"] == {"k": "v"}


def test_kubectl_applies_waits_and_shows_columns_and_events(world: World):
    commit = world.commit({"a.yaml": text(config_map("a", k="v"))})
    source = {"git": {"url": world.git.url(world.name), "path": "apps"}}
    world.cluster.kubectl(
        "apply",
        "-n",
        world.name,
        "-f",
        "-",
        input=text(manifest("ClusterState", "state", api_version="cvstate.io/v1alpha1", spec={"source": source})),
    )
    world.cluster.kubectl("wait", "-n", world.name, "--for=condition=Ready", "cst/state", "--timeout=20s")
    head, row = world.cluster.kubectl("get", "cst", "-n", world.name).splitlines()
    assert head.split() == ["NAME", "READY", "DRIFT", "HEALTH", "SCORE", "REVISION", "AGE"]
    assert row.split()[:6] == ["state", "True", "False", "True", "100", f"main@sha1:{commit}"]
    wide = world.cluster.kubectl("get", "cst", "-n", world.name, "-o", "wide")
    assert "STATUS" in wide
    assert f"1 object matches main@sha1:{commit}" in wide
    assert "1 created" in world.cluster.kubectl("events", "-n", world.name, "--for", "clusterstate/state")
    assert json.loads(world.cluster.kubectl("get", "gitops", "-n", world.name, "-o", "json"))["items"], "the category lists it"


def test_deleting_the_clusterstate_leaves_its_objects_and_a_new_one_takes_them_over_without_a_write(world: World):
    commit = world.commit({"a.yaml": text(config_map("a", k="v"), deployment("d"))})
    world.declare()
    world.wait_applied(commit)
    mark = world.cluster.audit.mark()
    world.api.delete(f"/apis/cvstate.io/v1alpha1/namespaces/{world.name}/clusterstates/state")
    world.declare()
    world.wait_applied(commit)
    assert world.writes(mark) == []
    assert world.api.get(world.path("deployments", "d", group="apps/v1")) is not None
