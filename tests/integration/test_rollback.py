"""Rollback: a revision that does not become healthy.

Aspects: back to the last good one · a commit that changes nothing · quarantine · what holds data is left, named, repaired
and made anew as it was left · the next commit is taken · by hand · a restart in the middle.
"""

import re
import signal

from tests.integration.test_waves import roll_out
from tests.support.api import CLUSTER_STATES
from tests.support.objects import config_map, deployment, manifest, text
from tests.support.waiting import never, until
from tests.support.world import World


def image(world: World) -> str:
    live = world.api.get(world.path("deployments", "web", group="apps/v1"))
    return live["spec"]["template"]["spec"]["containers"][0]["image"]


def web(tag: str) -> str:
    body = deployment("web")
    body["spec"]["template"]["spec"]["containers"][0]["image"] = tag
    return text(body)


def healthy(world: World, **spec: object) -> str:
    """A ClusterState whose first revision is good."""
    commit = world.commit({"a.yaml": web("good:1"), "b.yaml": text(config_map("b", k="good"))})
    world.declare(**spec)
    world.wait_applied(commit)
    roll_out(world, "web")
    until("it is good", lambda: commit in world.state()["status"].get("lastGoodRevision", ""))
    return commit


def test_what_does_not_become_healthy_is_rolled_back_and_the_next_commit_is_taken(world: World):
    good = healthy(world, rollback={"onUnhealthyFor": "2s"})
    bad = world.commit({"a.yaml": web("bad:1"), "b.yaml": text(config_map("b", k="bad"))})
    until("the bad one is applied", lambda: image(world) == "bad:1")
    until("the good one is back", lambda: image(world) == "good:1")
    ready = world.wait_failed("RolledBack", mentions=bad)
    assert good in ready["message"]
    assert "not healthy within 2s" in ready["message"]
    assert "Deployment" in ready["message"]
    assert world.api.get(world.path("configmaps", "b"))["data"] == {"k": "good"}
    status = world.state()["status"]
    assert bad in status["quarantined"][0]["revision"]
    assert [entry["outcome"] for entry in status["history"]][1:] == ["Unhealthy", "Healthy"]
    roll_out(world, "web")
    world.request()
    assert image(world) == "good:1"
    until("it is told", lambda: world.events("RolledBack"))
    better = world.commit({"a.yaml": web("better:1")})
    until("the next one is taken", lambda: image(world) == "better:1")
    roll_out(world, "web")
    world.wait_applied(better)
    assert "quarantined" not in world.state()["status"]


def test_a_commit_that_changes_nothing_is_not_blamed_for_what_was_there(world: World):
    healthy(world, rollback={"onUnhealthyFor": "2s"}, vital={"degradedAfter": "1s"})
    world.api.merge(world.path("deployments", "web", group="apps/v1") + "/status", {"status": {"readyReplicas": 0, "availableReplicas": 0}})
    until("it is seen", lambda: world.condition("Healthy").get("status") == "False")
    commit = world.commit({"README.md": "Nothing of this is an object."})
    until("it is the good one now", lambda: commit in world.state()["status"]["lastGoodRevision"])
    never("it is given up", lambda: "quarantined" in world.state()["status"], seconds=4)
    assert world.condition()["status"] == "True"


def test_without_a_rollback_policy_a_sick_revision_stays_and_is_told(world: World):
    healthy(world)
    world.commit({"a.yaml": web("bad:1")})
    until("it is told", lambda: world.condition("Healthy").get("status") == "False")
    never("it is rolled back", lambda: image(world) == "good:1", seconds=3)


def db(tag: str) -> str:
    labels = {"app": "db"}
    spec = {
        "serviceName": "db",
        "replicas": 0,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": tag}]}},
    }
    return text(manifest("StatefulSet", "db", api_version="apps/v1", spec=spec))


def data(world: World) -> str:
    """The image of the StatefulSet; empty if it is not there."""
    live = world.api.get(world.path("statefulsets", "db", group="apps/v1"))
    return live["spec"]["template"]["spec"]["containers"][0]["image"] if live else ""


def edit(world: World) -> None:
    """Somebody changes the StatefulSet by hand."""
    containers = [{"name": "c", "image": "evil:1"}]
    path = world.path("statefulsets", "db", group="apps/v1")
    world.api.merge(path, {"spec": {"template": {"spec": {"containers": containers}}}}, manager="kubectl-edit")


def left_newer(world: World) -> str:
    """The cluster is rolled back from a revision with a newer database; that revision."""
    path = world.path("statefulsets", "db", group="apps/v1")
    commit = world.commit({"db.yaml": db("db:1"), "a.yaml": web("good:1")})
    world.declare(rollback={"onUnhealthyFor": "3s"})
    world.wait_applied(commit)
    world.api.merge(path + "/status", {"status": {"observedGeneration": 1, "replicas": 0, "currentRevision": "a", "updateRevision": "a"}})
    roll_out(world, "web")
    until("it is good", lambda: commit in world.state()["status"].get("lastGoodRevision", ""))
    bad = world.commit({"db.yaml": db("db:2"), "a.yaml": web("bad:1")})
    until("the bad one is applied", lambda: image(world) == "bad:1")
    until("the good one is back", lambda: image(world) == "good:1")
    world.wait_failed("RolledBack", mentions=bad)
    return bad


def test_what_holds_data_is_left_as_it_is_and_named(world: World):
    bad = left_newer(world)
    assert data(world) == "db:2"
    message = world.condition()["message"]
    assert re.search(rf"; left at \S*{bad}: apps/StatefulSet/{world.name}/db\.", message), message


def test_a_hand_edit_of_what_a_rollback_left_is_undone(world: World):
    left_newer(world)
    edit(world)
    until("the edit is undone", lambda: data(world) == "db:2")
    until("it is told", lambda: any("was evil:1 instead of db:2" in told for told in world.events("DriftRepaired")))


def test_what_a_rollback_left_is_made_anew_as_it_was_left(world: World):
    left_newer(world)
    world.api.delete(world.path("statefulsets", "db", group="apps/v1"))
    assert until("it is there again", lambda: data(world)) == "db:2"
    never("it becomes an older one", lambda: data(world) != "db:2", seconds=2)


def test_what_a_rollback_left_is_known_after_a_restart(own: World):
    own.operator.start()
    bad = left_newer(own)
    own.operator.end(signal.SIGKILL)
    edit(own)
    own.operator.start()
    until("the edit is undone", lambda: data(own) == "db:2")
    own.api.delete(own.path("statefulsets", "db", group="apps/v1"))
    assert until("it is there again", lambda: data(own)) == "db:2"
    own.operator.end(signal.SIGKILL)
    own.api.delete(own.path("statefulsets", "db", group="apps/v1"))
    own.operator.start()
    assert until("it is there again", lambda: data(own)) == "db:2"
    assert f"{bad}: apps/StatefulSet" in own.wait_failed("RolledBack", mentions=bad)["message"]


def test_a_person_rejects_a_revision_and_releases_it(world: World):
    healthy(world)
    bad = world.commit({"a.yaml": web("bad:1")})
    until("it is applied", lambda: image(world) == "bad:1")
    state = f"{CLUSTER_STATES.format(world.name)}/state"
    world.api.merge(state, {"metadata": {"annotations": {"reconcile.cvstate.io/rejected": bad}}})
    until("the good one is back", lambda: image(world) == "good:1")
    world.wait_failed("RolledBack", mentions="rejected")
    world.api.merge(state, {"metadata": {"annotations": {"reconcile.cvstate.io/rejected": None}}})
    until("it is taken again", lambda: image(world) == "bad:1")


def test_a_restart_remembers_what_is_quarantined(own: World):
    own.operator.start()
    healthy(own, rollback={"onUnhealthyFor": "2s"})
    bad = own.commit({"a.yaml": web("bad:1")})
    until("the bad one is applied", lambda: image(own) == "bad:1")
    own.wait_failed("RolledBack", mentions=bad)
    own.operator.end(signal.SIGKILL)
    own.operator.start()
    own.request()
    never("the bad one comes back", lambda: image(own) == "bad:1", seconds=3)
    own.wait_failed("RolledBack", mentions=bad)
