"""Deletion of a ClusterState, and what becomes of its objects.

Aspects: orphans by default · deletionPolicy Delete · what settings and annotations keep · finalizers that hang · an operator that is away meanwhile ·
orphans taken over under another name.
"""

import signal

from tests.support.api import CLUSTER_STATES
from tests.support.objects import config_map, text
from tests.support.waiting import never, until
from tests.support.world import World


def state_path(world: World, name: str = "state") -> str:
    return f"{CLUSTER_STATES.format(world.name)}/{name}"


def held(world: World, name: str) -> str:
    """A ConfigMap that says more in its annotations."""
    body = config_map(name, k="v")
    body["metadata"]["annotations"] = {"cvstate.io/prune": "Disabled"}
    return text(body)


def test_objects_go_first_where_the_policy_says_so(world: World):
    world.commit({"a.yaml": text(config_map("a", k="v"), config_map("b", k="v")), "c.yaml": held(world, "kept")})
    world.declare(deletionPolicy="Delete")
    world.wait_ready()
    until("it carries our finalizer", lambda: "cvstate.io/finalizer" in world.state()["metadata"].get("finalizers", ()))
    world.api.delete(state_path(world))
    until("it is gone", lambda: world.api.get(state_path(world)) is None)
    left = [cm["metadata"]["name"] for cm in world.api.get(world.path("configmaps"))["items"]]
    assert left == ["kept"]


def test_by_default_objects_stay_and_no_finalizer_is_put(world: World):
    world.commit({"a.yaml": text(config_map("a", k="v"))})
    world.declare()
    world.wait_ready()
    assert not world.state()["metadata"].get("finalizers")
    world.api.delete(state_path(world))
    until("it is gone", lambda: world.api.get(state_path(world)) is None)
    never("the object goes", lambda: world.api.get(world.path("configmaps", "a")) is None, seconds=2)


def test_a_finalizer_that_hangs_is_named(world: World):
    world.commit({"a.yaml": text(config_map("a", k="v"))})
    world.declare(deletionPolicy="Delete")
    world.wait_ready()
    path = world.path("configmaps", "a")
    world.api.merge(path, {"metadata": {"finalizers": ["example.test/hold"]}})
    world.api.delete(state_path(world))
    until("it says who keeps it", lambda: "finalizers" in world.condition("Ready").get("message", ""))
    assert world.condition("Ready")["reason"] == "Deleting"
    world.api.merge(path, {"metadata": {"finalizers": None}})
    until("it is gone", lambda: world.api.get(state_path(world)) is None)


def test_a_finalizer_that_hangs_after_a_prune_is_told(world: World):
    body = config_map("a", k="v")
    world.commit({"a.yaml": text(body), "b.yaml": text(config_map("b", k="v"))})
    world.declare()
    world.wait_ready()
    path = world.path("configmaps", "a")
    world.api.merge(path, {"metadata": {"finalizers": ["example.test/hold"]}})
    world.commit({"a.yaml": None})
    until("it is told", lambda: "example.test/hold" in world.condition("Ready").get("message", ""))
    assert world.condition("Ready")["status"] == "Unknown"
    world.api.merge(path, {"metadata": {"finalizers": None}})
    world.wait_ready()


def test_changing_ones_mind_takes_the_finalizer_away(world: World):
    world.commit({"a.yaml": text(config_map("a", k="v"))})
    world.declare(deletionPolicy="Delete")
    until("it carries our finalizer", lambda: "cvstate.io/finalizer" in world.state()["metadata"].get("finalizers", ()))
    world.api.merge(state_path(world), {"spec": {"deletionPolicy": "Orphan"}})
    until("it is taken away", lambda: not world.state()["metadata"].get("finalizers"))


def test_what_was_deleted_while_the_operator_was_away_is_finished_after_its_start(own: World):
    own.operator.start()
    own.commit({"a.yaml": text(config_map("a", k="v"))})
    own.declare(deletionPolicy="Delete")
    own.wait_ready()
    until("it carries our finalizer", lambda: "cvstate.io/finalizer" in own.state()["metadata"].get("finalizers", ()))
    own.operator.end(signal.SIGKILL)
    own.api.delete(state_path(own))
    own.operator.start()
    until("it is gone", lambda: own.api.get(state_path(own)) is None)
    assert own.api.get(own.path("configmaps", "a")) is None


def test_another_name_takes_over_what_was_left_behind_and_no_uid_changes(world: World):
    commit = world.commit({"a.yaml": text(config_map("a", k="v"))})
    world.declare("old")
    world.wait_applied(commit, "old")
    uid = world.api.get(world.path("configmaps", "a"))["metadata"]["uid"]
    world.api.delete(state_path(world, "old"))
    until("it is gone", lambda: world.api.get(state_path(world, "old")) is None)
    world._declared.discard("old")
    world.declare("new")
    world.wait_applied(commit, "new")
    found = world.api.get(world.path("configmaps", "a"))["metadata"]
    label = world.state("new")["metadata"]["labels"]["applyset.kubernetes.io/id"]
    assert (found["uid"], found["labels"]["applyset.kubernetes.io/part-of"]) == (uid, label)
