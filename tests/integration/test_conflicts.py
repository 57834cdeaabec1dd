"""Others who have a say: field managers, tools, and whoever was there before.

Aspects: conflicts Force, Abort and Yield · adoption Never, Unowned and Force · kubectl scale, kubectl edit and an autoscaler in the drift ledger ·
fields that Git does not have.
"""

from tests.support.objects import config_map, deployment, text
from tests.support.waiting import never, until
from tests.support.world import World


def sample(world: World) -> dict:
    return until("the drift is told", lambda: world.state()["status"].get("drift"))["sample"][0]


def data(world: World, name: str = "a") -> dict:
    return world.api.get(world.path("configmaps", name))["data"]


def test_abort_leaves_the_object_alone_and_names_the_manager(world: World):
    world.commit({"a.yaml": text(config_map("a", k="v", free="x"))})
    world.declare(apply={"conflicts": "Abort"})
    world.wait_ready()
    world.api.merge(world.path("configmaps", "a"), {"data": {"k": "HACKED"}}, manager="other-controller")
    world.commit({"a.yaml": text(config_map("a", k="v", free="new"))})
    world.wait_failed("FieldConflict", mentions="other-controller")
    assert data(world) == {"k": "HACKED", "free": "x"}


def test_yield_leaves_the_field_and_writes_the_rest(world: World):
    world.commit({"a.yaml": text(config_map("a", k="v", free="x"))})
    world.declare(apply={"conflicts": "Yield"})
    world.wait_ready()
    world.api.merge(world.path("configmaps", "a"), {"data": {"k": "HACKED"}}, manager="other-controller")
    found = sample(world)
    assert (found["state"], found["manager"], found["path"]) == ("Yielded", "other-controller", "/data/k")
    assert found["writtenAt"]
    assert found["since"]
    world.commit({"a.yaml": text(config_map("a", k="newer", free="new"))})
    until("the rest is written", lambda: data(world) == {"k": "HACKED", "free": "new"})


def test_yield_holds_where_both_had_the_same_value(world: World):
    world.commit({"a.yaml": text(config_map("a", k="v", free="x"))})
    world.declare(apply={"conflicts": "Yield"})
    world.wait_ready()
    shared = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}}
    assert world.api.apply(world.path("configmaps", "a"), shared, manager="other-controller")[0] == 200
    world.commit({"a.yaml": text(config_map("a", k="newer", free="new"))})
    until("the rest is written", lambda: data(world)["free"] == "new")
    assert data(world)["k"] == "v"
    assert sample(world)["manager"] == "other-controller"


def test_what_was_there_before_is_left_alone_if_nothing_may_be_adopted(world: World):
    world.api.create(world.path("configmaps"), config_map("a", k="before"))
    world.commit({"a.yaml": text(config_map("a", k="v"))})
    world.declare(apply={"adoption": "Never"})
    world.wait_failed("OwnerConflict", mentions="spec.apply.adoption is Never")
    assert data(world) == {"k": "before"}


def test_what_was_there_before_is_taken_with_all_fields_by_consent(world: World):
    body = config_map("a", k="before", theirs="x")
    body["metadata"]["labels"] = {"kustomize.toolkit.fluxcd.io/name": "apps"}
    world.api.create(world.path("configmaps"), body)
    world.commit({"a.yaml": text(config_map("a", k="v"))})
    world.declare(apply={"adoption": "Unowned"})
    world.wait_failed("OwnerConflict", mentions="Flux Kustomization apps")
    world.declare(apply={"adoption": "Force"})
    until("it is ours", lambda: data(world) == {"k": "v", "theirs": "x"})
    world.wait_ready()


def test_kubectl_scale_is_told_with_its_manager_and_repaired(world: World):
    world.commit({"a.yaml": text(deployment("web", replicas=2))})
    world.declare(drift={"rules": [{"match": {"kinds": ["Deployment"], "paths": ["/spec/replicas"]}, "action": "Alert"}]})
    world.wait_ready()
    path = world.path("deployments", "web", group="apps/v1")
    world.api.merge(path + "/scale", {"spec": {"replicas": 5}}, manager="kubectl")
    found = sample(world)
    assert (found["path"], found["live"], found["desired"], found["state"], found["action"]) == (
        "/spec/replicas",
        "5",
        "2",
        "Alerted",
        "Alert",
    )
    assert found["since"]
    world.declare()
    until("it is repaired", lambda: world.api.get(path)["spec"]["replicas"] == 2)


def test_an_autoscaler_is_left_its_field(world: World):
    world.commit({"a.yaml": text(deployment("web", replicas=2))})
    world.declare(drift={"ignore": [{"paths": ["/spec/replicas"], "target": {"kind": "Deployment"}}]})
    world.wait_ready()
    path = world.path("deployments", "web", group="apps/v1")
    world.api.merge(path + "/scale", {"spec": {"replicas": 7}}, manager="kube-controller-manager")
    world.api.merge(path, {"spec": {"paused": True}}, manager="kubectl-edit")
    container = {"name": world.api.get(path)["spec"]["template"]["spec"]["containers"][0]["name"], "image": "hacked"}
    strategic = {"spec": {"template": {"spec": {"containers": [container]}}}}
    world.api.request("PATCH", path + "?fieldManager=kubectl-edit", strategic, "application/strategic-merge-patch+json")
    until("the image is repaired", lambda: world.api.get(path)["spec"]["template"]["spec"]["containers"][0]["image"] != "hacked")
    commit = world.commit({"a.yaml": text(deployment("web", replicas=3))})
    world.wait_applied(commit)
    assert world.api.get(path)["spec"]["replicas"] == 7
    assert "drift" not in world.state()["status"]


def test_fields_that_git_does_not_have_are_told_or_taken_away_if_the_spec_says_so(world: World):
    world.commit({"a.yaml": text(config_map("a", k="v"))})
    world.declare(drift={"extraFields": "Report"})
    world.wait_ready()
    world.api.merge(world.path("configmaps", "a"), {"data": {"extra": "mine"}}, manager="kubectl-edit")
    found = sample(world)
    assert (found["path"], found["live"], found["state"], found["manager"]) == ("/data/extra", "mine", "Alerted", "kubectl-edit")
    never("it is taken away", lambda: data(world) == {"k": "v"}, seconds=1)
    world.declare(drift={"extraFields": "Remove"})
    until("it is taken away", lambda: data(world) == {"k": "v"})
    world.wait_ready()
    world.declare()
    world.request()
    world.api.merge(world.path("configmaps", "a"), {"data": {"extra": "mine"}}, manager="kubectl-edit")
    never("it is taken away", lambda: data(world) == {"k": "v"}, seconds=1)


def test_younger_drift_is_left_to_pass(world: World):
    world.commit({"a.yaml": text(config_map("a", k="v"))})
    world.declare(drift={"transientFor": "3s"})
    world.wait_ready()
    path = world.path("configmaps", "a")
    world.api.merge(path, {"data": {"k": "HACKED"}})
    assert sample(world)["state"] == "Transient"
    never("it is repaired at once", lambda: data(world)["k"] == "v", seconds=1.5)
    until("it is repaired", lambda: data(world)["k"] == "v", seconds=5)
