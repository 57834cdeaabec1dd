"""Gates: what holds writes back, while looking goes on.

Aspects: suspend · mode Observe · EmergencyStop · change windows · dependsOn · directives of objects.
"""

import time
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.api import CLUSTER_STATES
from tests.support.objects import config_map, text
from tests.support.waiting import never, until
from tests.support.world import World

STOPS = "/apis/cvstate.io/v1alpha1/emergencystops"


@pytest.fixture
def shop(world: World) -> World:
    world.commit({"a.yaml": text(config_map("a", k="v")), "b.yaml": text(config_map("b", k="v"))})
    world.declare()
    world.wait_ready()
    return world


def value(world: World, name: str = "a") -> str:
    return world.api.get(world.path("configmaps", name))["data"]["k"]


def specify(world: World, **spec: object) -> None:
    world.api.merge(f"{CLUSTER_STATES.format(world.name)}/state", {"spec": spec})


def seen_but_left(world: World) -> dict:
    """Somebody edits an object; returns what is told of it, when it was left as it is."""
    world.api.merge(world.path("configmaps", "a"), {"data": {"k": "HACKED"}}, manager="kubectl-edit")
    found = until("the drift is told", lambda: world.state()["status"].get("drift"))
    never("it is repaired", lambda: value(world) == "v", seconds=1.5)
    return found["sample"][0]


def test_a_suspended_one_reports_drift_and_writes_nothing(shop: World):
    specify(shop, suspend=True)
    time.sleep(0.5)
    mark = shop.cluster.audit.mark()
    sample = seen_but_left(shop)
    assert (sample["state"], sample["manager"], sample["live"]) == ("Held", "kubectl-edit", "HACKED")
    shop.commit({"b.yaml": text(config_map("b", k="new"))})
    ready = shop.wait_failed("Suspended", mentions="cvstate resume")
    assert "waits" in ready["message"]
    assert value(shop, "b") == "v"
    assert shop.writes(mark) == []
    specify(shop, suspend=False)
    until("both are as in Git", lambda: (value(shop), value(shop, "b")) == ("v", "new"))
    shop.wait_ready()


def test_one_that_observes_tells_what_differs_and_never_writes(world: World):
    world.commit({"a.yaml": text(config_map("a", k="v"))})
    mark = world.cluster.audit.mark()
    world.declare(mode="Observe")
    ready = world.wait_failed("ObserveOnly")
    assert "1 to create" in ready["message"]
    assert world.writes(mark) == []


def test_an_emergency_stop_holds_everything_within_seconds_and_looking_goes_on(shop: World):
    shop.api.create(
        STOPS, {"apiVersion": "cvstate.io/v1alpha1", "kind": "EmergencyStop", "metadata": {"name": "stop"}, "spec": {"reason": "fire"}}
    )
    try:
        time.sleep(1)
        sample = seen_but_left(shop)
        assert sample["state"] == "Held"
        shop.commit({"b.yaml": text(config_map("b", k="new"))})
        shop.wait_failed("EmergencyStop", mentions="fire")
    finally:
        shop.api.delete(f"{STOPS}/stop")
    until("both are as in Git", lambda: (value(shop), value(shop, "b")) == ("v", "new"))


def test_a_closed_window_holds_new_revisions_and_lets_repairs_through(shop: World):
    now = datetime.now(UTC)
    minute = (now - timedelta(minutes=1)).minute
    specify(shop, windows=[{"kind": "Deny", "schedule": f"{minute} * * * *", "duration": "3m", "actions": ["NewRevision"]}])
    shop.commit({"b.yaml": text(config_map("b", k="new"))})
    shop.wait_failed("WindowClosed", mentions="waits")
    status = shop.state()["status"]
    assert status["window"]["state"] == "Closed"
    assert status["window"]["blocks"] == ["NewRevision"]
    assert status["window"]["nextChange"]
    shop.api.merge(shop.path("configmaps", "b"), {"data": {"k": "HACKED"}})
    until("it is repaired to what was accepted", lambda: value(shop, "b") == "v")
    assert status["lastAttemptedRevision"] != status["source"]["revision"]
    specify(shop, windows=[])
    until("the commit goes out", lambda: value(shop, "b") == "new")


def test_a_window_that_closes_repairs_reports_them(shop: World):
    now = datetime.now(UTC)
    minute = (now - timedelta(minutes=1)).minute
    specify(shop, windows=[{"kind": "Deny", "schedule": f"{minute} * * * *", "duration": "3m", "actions": ["DriftRepair"]}])
    time.sleep(0.5)
    assert seen_but_left(shop)["state"] == "Held"
    shop.commit({"b.yaml": text(config_map("b", k="new"))})
    until("new revisions go out", lambda: value(shop, "b") == "new")


def test_a_dependency_is_waited_for(world: World):
    world.commit({"a.yaml": text(config_map("a", k="v"))})
    world.declare(dependsOn=[{"apiVersion": "v1", "kind": "ConfigMap", "name": "first", "readyExpr": "dep.data.ready == 'yes'"}])
    world.wait_failed("DependencyNotReady", mentions="does not exist")
    world.api.create(world.path("configmaps"), config_map("first", ready="no"))
    world.wait_failed("DependencyNotReady", mentions="readyExpr is false")
    world.api.merge(world.path("configmaps", "first"), {"data": {"ready": "yes"}})
    until("it is applied", lambda: world.api.get(world.path("configmaps", "a")))


def test_a_circle_of_dependencies_is_refused_by_name(world: World):
    world.commit({"a.yaml": text(config_map("a", k="v"))})
    world.declare("one", dependsOn=[{"name": "two"}])
    world.declare("two", dependsOn=[{"name": "one"}])
    world.wait_failed("InvalidSpec", "one", mentions="one -> two -> one")
    world.wait_failed("InvalidSpec", "two", mentions="two -> one -> two")


def test_annotations_keep_objects_from_being_written(world: World):
    left = {"cvstate.io/reconcile": "Disabled"}
    once = {"cvstate.io/apply": "IfNotPresent"}
    world.commit({"a.yaml": text(config_map("a", k="v"), annotated("once", once), annotated("never", {"cvstate.io/apply": "Ignore"}))})
    world.declare()
    world.wait_ready()
    assert world.api.get(world.path("configmaps", "never")) is None
    world.api.merge(world.path("configmaps", "once"), {"data": {"k": "mine"}})
    world.api.merge(world.path("configmaps", "a"), {"metadata": {"annotations": left}})
    world.api.merge(world.path("configmaps", "a"), {"data": {"k": "HACKED"}})
    until("the drift is told", lambda: world.state()["status"].get("drift"))
    never("they are written", lambda: (value(world, "once"), value(world)) != ("mine", "HACKED"), seconds=2)


def annotated(name: str, annotations: dict[str, str]) -> dict:
    body = config_map(name, k="v")
    body["metadata"]["annotations"] = annotations
    return body
