"""Events: each situation is told once.

Aspects: what waits, over a pass so long that the status says it is under way · a fight that is given up · what Ready says while nothing may be written.
"""

import time

from cvstate_operator.operator.event_writer import TOGETHER_SECONDS
from tests.integration.test_gates import specify
from tests.support.objects import config_map, text
from tests.support.waiting import until
from tests.support.world import World

BY_HAND = {"rules": [{"match": {"paths": ["/data/k"]}, "action": "Approve"}]}
MANY = 1500
"""Objects whose creation takes well over a second; then the status says that a pass is under way."""


def scribble(world: World, value: str) -> None:
    """Somebody writes a field of ours."""
    world.api.merge(world.path("configmaps", "a"), {"data": {"k": value}}, manager="kubectl-edit")


def painted(world: World, **spec: object) -> None:
    """A ClusterState with one object, of which a field drifted."""
    world.commit({"a.yaml": text(config_map("a", k="v"))})
    world.declare(**spec)
    world.wait_ready()
    scribble(world, "red")


def test_what_waits_is_not_told_again_after_a_long_pass(world: World):
    painted(world, drift=BY_HAND)
    message = world.wait_failed("AwaitingApproval")["message"]
    until("it is told", lambda: world.events("AwaitingApproval"))
    commit = world.commit({"many.yaml": text(*(config_map(f"cm{number}", k="v") for number in range(MANY)))})
    until("the status says that it is under way", lambda: world.condition()["reason"] == "Progressing")
    until("it is applied", lambda: commit in world.state()["status"]["lastAppliedRevision"], seconds=60)
    until("the Event of the commit is there", lambda: any(commit in note for note in world.events("Applied")))
    assert world.wait_failed("AwaitingApproval")["message"] == message
    world.request()
    time.sleep(2 * TOGETHER_SECONDS)
    assert world.events("AwaitingApproval") == [message]


def test_a_fight_that_is_given_up_is_one_event(world: World):
    painted(world, drift={"breaker": {"reversals": 2, "within": "10m", "halfOpenAfter": "30m"}})
    for number in range(2):
        until("it is repaired", lambda: world.api.get(world.path("configmaps", "a"))["data"]["k"] == "v")
        scribble(world, f"red-{number}")
    world.wait_failed("BreakerOpen", mentions="kubectl-edit")
    until("it is told", lambda: world.events("BreakerOpen"))
    world.request()
    time.sleep(2 * TOGETHER_SECONDS)
    assert (len(world.events("BreakerOpen")), world.events("DriftDetected")) == (1, [])


def test_who_is_suspended_says_so_before_asking_for_an_approval(world: World):
    painted(world, drift=BY_HAND)
    specify(world, suspend=True)
    message = world.wait_failed("Suspended")["message"]
    assert "1 repair awaits approval" in message
    assert "cvstate resume" in message
