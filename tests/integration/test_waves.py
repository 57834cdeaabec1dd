"""Waves: in which order objects of a commit are applied.

Aspects: readiness of an earlier wave · a failure in it · a newer commit takes over from a slow one · Argo CD's annotation · repairs do not wait.
"""

from tests.support.objects import config_map, deployment, text
from tests.support.waiting import never, until
from tests.support.world import World


def in_wave(body: dict, number: int, *, annotation: str = "cvstate.io/wave") -> dict:
    body["metadata"].setdefault("annotations", {})[annotation] = str(number)
    return body


def exists(world: World, plural: str, name: str, *, group: str = "") -> bool:
    return world.api.get(world.path(plural, name, group=group)) is not None


def roll_out(world: World, name: str) -> None:
    """What the controllers of a real cluster would write."""
    path = world.path("deployments", name, group="apps/v1")
    live = world.api.get(path)
    count = live["spec"].get("replicas", 1)
    status = {
        "observedGeneration": live["metadata"]["generation"],
        "replicas": count,
        "updatedReplicas": count,
        "readyReplicas": count,
        "availableReplicas": count,
        "conditions": [{"type": "Available", "status": "True"}],
    }
    world.api.merge(path + "/status", {"status": status})


def test_a_later_wave_waits_until_the_earlier_one_is_ready(world: World):
    world.commit({"a.yaml": text(deployment("first"), in_wave(config_map("second", k="v"), 1), in_wave(config_map("third", k="v"), 2))})
    world.declare()
    ready = world.wait_failed("WaveNotReady", mentions="Deployment")
    assert "2 objects of later waves" in ready["message"]
    never("a later wave was begun", lambda: exists(world, "configmaps", "second"), seconds=1)
    roll_out(world, "first")
    until("the later waves follow", lambda: exists(world, "configmaps", "third"))
    world.wait_ready()


def test_without_waiting_waves_are_an_order_and_no_more(world: World):
    world.commit({"a.yaml": text(deployment("first"), in_wave(config_map("second", k="v"), 1, annotation="argocd.argoproj.io/sync-wave"))})
    world.declare(apply={"wait": False})
    until("both are there", lambda: exists(world, "configmaps", "second"))
    world.wait_ready()


def test_what_fails_in_a_wave_holds_up_later_ones_and_nothing_else(world: World):
    bad = config_map("bad", k="v")
    bad["data"] = {"k": 1}
    world.commit({"a.yaml": text(config_map("good", k="v"), in_wave(config_map("late", k="v"), 1)), "b.yaml": text(bad)})
    world.declare()
    world.wait_failed("Invalid")
    assert exists(world, "configmaps", "good")
    assert not exists(world, "configmaps", "late")
    world.commit({"b.yaml": None})
    until("the later wave follows", lambda: exists(world, "configmaps", "late"))


def test_a_newer_commit_takes_over_from_one_that_waits(world: World):
    world.commit({"a.yaml": text(deployment("slow"), in_wave(config_map("late", k="old"), 1))})
    world.declare()
    world.wait_failed("WaveNotReady")
    commit = world.commit({"a.yaml": text(in_wave(config_map("late", k="new"), 1))})
    world.wait_applied(commit)
    assert world.api.get(world.path("configmaps", "late"))["data"] == {"k": "new"}


def test_drift_in_a_later_wave_is_repaired_while_an_earlier_one_is_not_ready(world: World):
    commit = world.commit({"b.yaml": text(in_wave(config_map("late", k="v"), 1))})
    world.declare()
    world.wait_applied(commit)
    world.commit({"a.yaml": text(deployment("slow")), "b.yaml": text(in_wave(config_map("late", k="new"), 1))})
    world.wait_failed("WaveNotReady")
    world.api.merge(world.path("configmaps", "late"), {"data": {"k": "HACKED"}})
    roll_out(world, "slow")
    until("it is as in Git", lambda: world.api.get(world.path("configmaps", "late"))["data"]["k"] == "new")
