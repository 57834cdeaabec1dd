"""Watches and lists that lie or end: what was missed is found, and nothing is deleted or written by what is not true.

Aspects: streams that are cut, expired, silent, incomplete or out of order · lists of the past · lists that are throttled.
"""

import random
import time
from collections.abc import Callable, Mapping

import pytest

from tests.faults.runs import Run, each_seed, edit, is_repaired, judge, long, some
from tests.support import fault_actions as act
from tests.support import invariants
from tests.support.fault_proxy import Rule
from tests.support.objects import config_map
from tests.support.waiting import until

pytestmark = pytest.mark.integration


# -- streams ---------------------------------------------------------------------------------------------------------------


def lists(run: Run, since: int) -> int:
    return sum(not seen.is_watch for seen in run.ground.proxy.since(since, path="/api/v1/configmaps$", method="GET"))


@pytest.mark.usefixtures("fresh")
@each_seed
def test_a_watch_that_is_cut_goes_on_where_it_was_without_a_list(installed: Run, seed: int):
    dice, proxy = random.Random(seed), installed.ground.proxy
    proxy.rules = (Rule(act.Cut(dice.randint(0, 2)), path="/configmaps$", count=3),)
    proxy.cut()
    since = len(proxy.requests)
    for name in dice.choices(("c0", "c1", "c2"), k=3):
        edit(installed, name)
        until("the edit is repaired", lambda name=name: is_repaired(installed, name), seconds=20)
    assert lists(installed, since) == 0
    judge(installed)


@pytest.mark.usefixtures("fresh")
@each_seed
def test_an_expired_watch_is_listed_anew_and_nothing_is_taken_for_deleted(installed: Run, seed: int):
    dice, proxy = random.Random(seed), installed.ground.proxy
    proxy.rules = (Rule(act.Expire(), path="/configmaps$", count=dice.randint(1, 3)),)
    since = len(proxy.requests)
    proxy.cut()
    name = f"c{dice.randrange(5)}"
    edit(installed, name)
    until("the edit is repaired", lambda: is_repaired(installed, name), seconds=20)
    assert lists(installed, since) == proxy.rules[0].hits
    writes = [entry.key for entry in invariants.managed_writes(installed.entries()) if entry.code == 200]
    assert writes == [f"configmaps {installed.name}/{name}"]
    judge(installed)


STREAMS: Mapping[str, Callable[[int], act.Action]] = {
    "dropped": lambda seed: act.Drop(),
    "repeated": lambda seed: act.Repeat(1 + seed),
    "shuffled": lambda seed: act.Shuffle(seed, held=2),
}


@pytest.mark.usefixtures("fresh")
@each_seed
@pytest.mark.parametrize("fault", STREAMS)
def test_events_that_are_lost_repeated_or_out_of_order_do_no_harm_that_a_full_reconcile_leaves(installed: Run, fault: str, seed: int):
    proxy = installed.ground.proxy
    proxy.rules = (Rule(STREAMS[fault](seed), path="/configmaps$"),)
    proxy.cut()
    until("the watch is tampered with", lambda: proxy.rules[0].hits > 0)
    time.sleep(0.2)
    edit(installed, "c0")
    installed.ground.api.delete(installed.world.path("configmaps", "c1"))
    edit(installed, "c2")
    time.sleep(0.3)
    installed.world.request()
    judge(installed)
    if fault == "repeated":
        writes = sorted(entry.key for entry in invariants.managed_writes(installed.entries())[len(some()) :])
        assert writes == [f"configmaps {installed.name}/c{i}" for i in range(3)], "an event that is told again repairs nothing again"


@long
def test_a_watch_that_falls_silent_is_noticed(installed: Run):
    proxy = installed.ground.proxy
    proxy.rules = (Rule(act.Silence(), path="/configmaps$", count=1),)
    proxy.cut()
    until("the watch is silent", lambda: proxy.rules[0].hits == 1)
    edit(installed, "c0")
    until("the edit is repaired", lambda: is_repaired(installed, "c0"), seconds=80)
    judge(installed)


# -- time travel -----------------------------------------------------------------------------------------------------------


def snapshot(run: Run) -> Mapping[str, bytes]:
    """What LISTs of ConfigMaps answer now."""
    return {"/api/v1/configmaps": run.ground.proxy.ask("/api/v1/configmaps?labelSelector=applyset.kubernetes.io/part-of")}


@each_seed
def test_an_operator_that_starts_from_a_stale_list_deletes_nothing_that_is_wanted_or_not_ours(installed: Run, seed: int):
    proxy, api = installed.ground.proxy, installed.ground.api
    past = snapshot(installed)
    installed.wish(some(without=("c0", "c1")))
    installed.converge()
    api.create(installed.world.path("configmaps"), config_map("c1", key="somebody else's"))
    installed.operator.kill()
    installed.operator.wait()
    proxy.rules = (Rule(act.Replay(past)), Rule(act.Silence(), path="/api/v1/configmaps$"))
    wanted = some(without=("c1",))
    wanted[0]["data"]["key"] = "back again"
    installed.wish(wanted)
    installed.operator.start()
    installed.world.request()
    time.sleep(random.Random(seed).uniform(0, 1))
    proxy.calm()
    until("c0 is back", lambda: api.get(installed.world.path("configmaps", "c0")), seconds=20)
    kept = api.get(installed.world.path("configmaps", "c1"))
    assert kept is not None
    assert kept["data"] == {"key": "somebody else's"}
    api.delete(installed.world.path("configmaps", "c1"))
    log = installed.entries()
    gone = [entry for entry in log if entry.verb == "delete" and entry.code == 200]
    assert sorted(entry.key for entry in gone) == [f"configmaps {installed.name}/c{i}" for i in (0, 1)], "only what left Git, once"
    judge(installed)


# -- a throttled list ------------------------------------------------------------------------------------------------------


def test_a_list_that_is_throttled_waits_as_long_as_it_was_asked_to(installed: Run):
    proxy = installed.ground.proxy
    proxy.rules = (
        Rule(act.Expire(), path="/configmaps$", count=1),
        Rule(act.throttled(2), path="^/api/v1/configmaps$", method="GET", count=1),
    )
    since = len(proxy.requests)
    proxy.cut()
    until("it was throttled and tried again", lambda: proxy.rules[1].hits and lists(installed, since) > 1)
    first, second = [seen for seen in proxy.since(since, path="^/api/v1/configmaps$") if not seen.is_watch][:2]
    assert second.at - first.ended >= 2
