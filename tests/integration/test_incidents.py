"""Incidents of other tools, told again to ours: renders, revisions and specs. docs/incidents.md has them all, with links.

Aspects: values that are gone · a chart that broke, also before a restart · a chart that shrank · what a commit changed outside of the path · a parent whose
path was emptied · a namespace of another name · specs that are changed and changed back.
"""

import random
import signal
from collections.abc import Mapping
from typing import Any

import pytest

from tests.support.api import CLUSTER_STATES, Json
from tests.support.objects import config_map, deployment, manifest, text
from tests.support.waiting import never, until
from tests.support.world import World

pytestmark = pytest.mark.integration

CHART = "apiVersion: v2\nname: shop\nversion: 1.0.0\n"


def chart(values: str, **templates: str) -> dict[str, str]:
    """Files of a chart below apps/."""
    return {"Chart.yaml": CHART, "values.yaml": values, **{f"templates/{name}.yaml": content for name, content in templates.items()}}


def templated(name: str, value: str) -> str:
    """A ConfigMap whose key `k` is a template."""
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{k: {value}}}\n"


def data(world: World, name: str) -> Any:
    """What a ConfigMap holds; None if it is not there."""
    found = world.api.get(world.path("configmaps", name))
    return found and found["data"]


def kustomization(**fields: Any) -> str:
    return text({"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", **fields})


# -- renders that fail -----------------------------------------------------------------------------------------------------


def without_its_file(world: World) -> None:
    world.commit({"prod.yaml": None})


def without_its_config_map(world: World) -> None:
    world.api.delete(world.path("configmaps", "prod"))
    world.request()


@pytest.mark.parametrize("lose", [without_its_file, without_its_config_map], ids=["file", "configmap"])
def test_values_that_are_gone_are_never_taken_for_defaults(world: World, lose):
    """argo-cd#21739: a full disk lost values files, `ignoreMissingValueFiles` let that pass, and applications went back to defaults without any commit."""
    if lose is without_its_file:
        values = {"valuesFiles": ["prod.yaml"]}
    else:
        world.api.create(world.path("configmaps"), config_map("prod", **{"values.yaml": "size: large\n"}))
        values = {"valuesFrom": [{"kind": "ConfigMap", "name": "prod"}]}
    files = chart("size: small\n", a=templated("a", "{{ .Values.size }}"), b=templated("b", "v"))
    world.declare(render={"helm": values})
    world.wait_applied(world.commit({**files, "prod.yaml": "size: large\n"}))
    mark = world.cluster.audit.mark()
    lose(world)
    until("it is told", lambda: world.condition().get("status") == "False" and "prod" in world.condition()["message"])
    world.request()
    assert world.writes(mark) == []
    assert data(world, "a") == {"k": "large"}


def test_a_chart_that_broke_brings_no_old_revision_back(own: World):
    """argo-cd#23547 and #29716: a chart that failed to render made Argo CD apply some older commit, once 3401 commits old, and itself was downgraded."""
    own.operator.start()
    own.declare(render={"helm": {}})
    for value in ("one", "two"):
        own.wait_applied(own.commit(chart(f"k: {value}\n", a=templated("a", "{{ .Values.k }}"), b=templated("b", "v"))))
    mark = own.cluster.audit.mark()
    own.commit({"values.yaml": "k: *undefined_anchor\n"})
    broken = own.wait_failed("BuildFailed", mentions="values.yaml")
    assert "undefined_anchor" in broken["message"]
    own.operator.end(signal.SIGKILL)
    own.operator.start()
    own.request()
    own.wait_failed("BuildFailed")
    assert own.writes(mark) == []
    assert data(own, "a") == {"k": "two"}
    own.wait_applied(own.commit({"values.yaml": "k: three\n"}))
    assert data(own, "a") == {"k": "three"}


def test_a_chart_that_suddenly_makes_a_fraction_is_held(world: World):
    """argo-cd#15058 and #7412: manifests that came back incomplete pruned nearly a whole application."""
    parts = {f"p{number}": f"{{{{- if .Values.parts }}}}\n{templated(f'p{number}', 'v')}{{{{- end }}}}\n" for number in range(6)}
    world.declare(render={"helm": {}})
    world.wait_applied(world.commit(chart("parts: true\n", a=templated("a", "v"), **parts)))
    mark = world.cluster.audit.mark()
    world.commit({"values.yaml": "part: true\n"})
    world.wait_failed("PruneHeld", mentions="6 of 7")
    world.request()
    assert [write for write in world.writes(mark) if write.startswith("delete configmaps")] == []
    world.wait_applied(world.commit({"values.yaml": "parts: true\n"}))
    assert all(data(world, name) for name in parts)


# -- revisions ---------------------------------------------------------------------------------------------------------------


def test_what_a_commit_changed_outside_of_the_path_is_rendered_anew(world: World):
    """argo-cd#26530: a render of an older checkout stood in the cache under the new commit, and old objects were called Synced for hours."""
    overlay = {
        "apps/kustomization.yaml": kustomization(resources=["../base"]),
        "base/kustomization.yaml": kustomization(resources=["a.yaml"]),
    }
    world.repository.commit({**overlay, "base/a.yaml": text(config_map("a", k="0"))})
    world.declare()
    world.wait_ready()
    for number in range(1, 4):
        commit = world.repository.commit({"base/a.yaml": text(config_map("a", k=str(number)))})
        world.trigger()
        world.wait_applied(commit)
        assert data(world, "a") == {"k": str(number)}, "an applied revision is what is in the cluster"


def test_commits_in_quick_succession_end_with_the_last_one(world: World):
    """argo-cd#7680: two lookups of one branch were of different age, and the older commit was deployed after the newer one."""
    world.commit({"a.yaml": text(config_map("a", k="start"))})
    world.declare()
    world.wait_ready()
    seen = set()
    for number in range(8):
        last = world.commit({"a.yaml": text(config_map("a", k=str(number)))})
        seen.add(data(world, "a")["k"])
    world.wait_applied(last)
    assert data(world, "a") == {"k": "7"}
    never("an older one comes back", lambda: data(world, "a") != {"k": "7"}, seconds=1)


# -- parents and namespaces --------------------------------------------------------------------------------------------------


def test_a_parent_whose_path_was_emptied_leaves_its_children_and_theirs(world: World):
    """argo-cd#3473: an app of apps got nothing from a Git host in trouble, and every application with everything in it was deleted."""

    def child(name: str) -> Json:
        source = {"git": {"url": world.git.url(world.name), "path": name, "interval": "10m"}}
        return manifest("ClusterState", name, api_version="cvstate.io/v1alpha1", spec={"source": source, "deletionPolicy": "Delete"})

    children = ("one", "two")
    world.repository.commit({f"{name}/a.yaml": text(config_map(f"{name}-a", k="v")) for name in children})
    commit = world.commit({f"{name}.yaml": text(child(name)) for name in children})
    world.declare()
    world.wait_applied(commit)
    for name in children:
        until(f"{name} is ready", lambda name=name: world.condition(name=name).get("status") == "True")
    world.commit({**{f"{name}.yaml": None for name in children}, "README": "nothing here"})
    world.wait_failed("EmptyRender")
    world.request()
    for name in children:
        assert "deletionTimestamp" not in world.state(name)["metadata"]
        assert data(world, f"{name}-a") == {"k": "v"}


def test_an_emptied_path_is_refused_whatever_else_carries_our_label(world: World):
    """argo-cd#23645: a foreign object with a copied label was counted as one that stays, so the guard against empty repositories let everything go."""
    commit = world.commit({f"{name}.yaml": text(config_map(name, k="v")) for name in "ab"})
    world.declare()
    world.wait_applied(commit)
    labels = world.api.get(world.path("configmaps", "a"))["metadata"]["labels"]
    world.api.create(world.path("configmaps"), manifest("ConfigMap", "copy", labels=labels, data={"k": "v"}))
    mark = world.cluster.audit.mark()
    world.commit({"a.yaml": None, "b.yaml": None, "README": "nothing here"})
    world.wait_failed("EmptyRender")
    world.request()
    assert world.writes(mark) == []


def test_a_target_namespace_renames_no_namespace_and_deletes_none(world: World):
    """flux2#4570 and #3949: `targetNamespace` renamed a Namespace in Git to flux-system, which was then owned, pruned, and gone with Flux in it."""
    extra = f"{world.name}-extra"
    world.declare(render={"targetNamespace": world.name}, deletionPolicy="Delete", prune={"maxPercent": 100})
    space = {"kustomization.yaml": kustomization(resources=["ns.yaml", "a.yaml", "b.yaml"]), "ns.yaml": text(manifest("Namespace", extra))}
    objects = {f"{name}.yaml": text(manifest("ConfigMap", name, namespace="elsewhere", data={"k": "v"})) for name in "ab"}
    world.wait_applied(world.commit({**space, **objects}))
    assert world.api.get(f"/api/v1/namespaces/{extra}"), "it has the name it has in Git"
    mine = world.api.get(f"/api/v1/namespaces/{world.name}")
    assert "applyset.kubernetes.io/part-of" not in mine["metadata"]["labels"]
    mark = world.cluster.audit.mark()
    world.wait_applied(world.commit({"kustomization.yaml": kustomization(resources=["a.yaml"]), "ns.yaml": None, "b.yaml": None}))
    world.api.delete(f"{CLUSTER_STATES.format(world.name)}/state")
    until("the ClusterState is gone", lambda: world.api.get(f"{CLUSTER_STATES.format(world.name)}/state") is None)
    assert data(world, "a") is None
    assert not [write for write in world.writes(mark) if write.startswith("delete namespaces")]
    assert all("deletionTimestamp" not in world.api.get(f"/api/v1/namespaces/{name}")["metadata"] for name in (world.name, extra))


# -- specs that are changed and changed back ---------------------------------------------------------------------------------

BASE: Mapping[str, Any] = {"prune": {"maxPercent": 100, "maxDeletes": 100}}
MUTATIONS: Mapping[str, Mapping[str, Any]] = {
    "labels": {"render": {"commonLabels": {"team": "blue"}}},
    "variables": {"render": {"substitute": {"colour": "red"}}},
    "release": {"render": {"type": "Kustomize"}},
    "namespace": {"render": {"targetNamespace": "default"}},
    "include": {"source": {"git": {"include": ["a.yaml"]}}},
    "path": {"source": {"git": {"path": "other"}}},
    "branch": {"source": {"git": {"ref": {"branch": "aside"}}}},
    "nowhere": {"source": {"git": {"ref": {"branch": "nowhere"}}}},
    "ignore": {"drift": {"ignore": [{"paths": ["/data/k", "/spec/replicas"]}]}},
    "strip": {"drift": {"extraFields": "Remove"}},
    "alert": {"drift": {"rules": [{"match": {"kinds": ["ConfigMap"]}, "severity": "High", "action": "Alert"}]}},
    "yield": {"apply": {"conflicts": "Yield"}},
    "renew": {"apply": {"recreate": "IfImmutable", "adoption": "Force"}},
    "keep": {"prune": {"enabled": False, "maxPercent": 100, "maxDeletes": 100}},
    "delete": {"deletionPolicy": "Delete"},
    "observe": {"mode": "Observe"},
    "suspend": {"suspend": True},
    "closed": {"windows": [{"kind": "Deny", "schedule": "* * * * *", "duration": "1h"}]},
    "waiting": {"dependsOn": [{"apiVersion": "cvstate.io/v1alpha1", "kind": "ClusterState", "name": "absent"}]},
    "interval": {"interval": "1m", "history": {"limit": 3}},
}
"""One field each, or two that go together. `release` makes the render fail: the directory holds no kustomization."""


def declared(world: World, names: list[str]) -> None:
    """Put the base and these mutations into the spec, and wait until that was looked at."""
    spec: dict[str, Any] = dict(BASE)
    git: Mapping[str, Any] = {}
    for name in names:
        for key, value in MUTATIONS[name].items():
            if key == "source":
                git = {**git, **value["git"]}
            else:
                spec[key] = {**spec[key], **value} if isinstance(spec.get(key), dict) else value
    world.declare(git=git, **spec)
    world.request()


def managed(world: World) -> Mapping[str, Any]:
    """What there is of the objects in Git, without what tells when and by whom each was made."""
    found = {}
    for space in (world.name, "default"):
        for plural, group in (("configmaps", ""), ("services", ""), ("deployments", "apps/v1")):
            for item in world.api.get(world.path(plural, group=group, namespace=space))["items"]:
                meta = item["metadata"]
                if meta["name"].startswith(world.name):
                    kept = {"labels": meta.get("labels"), "annotations": meta.get("annotations"), "finalizers": meta.get("finalizers")}
                    held = sorted((entry["manager"], str(entry["fieldsV1"])) for entry in meta["managedFields"])
                    found[f"{plural} {space}/{meta['name']}"] = {
                        **kept,
                        "held": held,
                        **{k: item[k] for k in ("data", "spec") if k in item},
                    }
    return found


def test_what_git_changed_while_it_was_ignored_is_written_once_it_is_not(world: World):
    """Acto (SOSP '23), the shortest of such sequences that we fell for: ignore a field, change it in Git, ignore it no more."""
    world.declare()
    world.wait_applied(world.commit({"a.yaml": text(config_map("a", k="one"))}))
    world.declare(drift={"ignore": [{"paths": ["/data/k"]}]})
    world.wait_applied(world.commit({"a.yaml": text(config_map("a", k="two"))}))
    assert data(world, "a") == {"k": "one"}
    world.declare()
    world.request()
    until("it is as in Git", lambda: data(world, "a") == {"k": "two"}, seconds=5)


@pytest.mark.parametrize("seed", range(10))
def test_a_spec_that_is_changed_and_changed_back_leaves_everything_as_it_was(world: World, seed: int):
    """Acto (SOSP '23): operators that were given A, then B, then A again did not end as after A in 56 ways."""
    dice, name = random.Random(seed), world.name
    service = manifest("Service", f"{name}-s", spec={"clusterIP": "None", "ports": [{"port": 80}], "selector": {"app": "a"}})
    files = {"a.yaml": text(config_map(f"{name}-a", k="${colour:=blue}")), "s.yaml": text(service), "d.yaml": text(deployment(f"{name}-d"))}
    world.repository.commit({"other/a.yaml": text(config_map(f"{name}-a", k="other"), config_map(f"{name}-x"))})
    commit = world.commit(files)
    world.repository.git("checkout", "-q", "-b", "aside")
    world.commit({"a.yaml": text(config_map(f"{name}-a", k="aside"))})
    world.repository.git("checkout", "-q", "main")
    declared(world, [])
    world.wait_applied(commit)
    start, applied = managed(world), []
    assert len(start) == 3
    chosen = dice.sample(sorted(MUTATIONS), 4)
    for mutation in chosen:
        applied.append(mutation)
        declared(world, applied)
    while applied:
        applied.remove(dice.choice(applied))
        declared(world, applied)
    until(f"it is as it was before {chosen}", lambda: managed(world) == start and world.condition().get("status") == "True", seconds=8)
