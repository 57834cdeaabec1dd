"""Requests that fail and answers that are lost: the operator waits, tries again, and ends where it should.

Aspects: answers of an API server in trouble · lost requests and lost replies · etcd · what may not be written · kinds that cannot be seen · objects and
namespaces on their way out · commits that cannot be read · several faults at once. README.md has the rows of the fault matrix.
"""

import math
import random
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import pytest

from tests.faults.runs import CONVERGE_SECONDS, NETWORKING, Run, each_seed, edit, is_repaired, judge, long, some
from tests.support import fault_actions as act
from tests.support import invariants
from tests.support.fault_proxy import FaultProxy, Rule
from tests.support.objects import config_map, definition, manifest
from tests.support.waiting import never, until

pytestmark = pytest.mark.integration

Faults = Callable[[random.Random, str], tuple[Rule, ...]]


# -- single requests -------------------------------------------------------------------------------------------------------


def throttled(dice: random.Random, where: str) -> tuple[Rule, ...]:
    return (
        Rule(
            act.throttled(dice.randint(1, 2)), path=f"{where}/configmaps/c[01]$", method="PATCH", count=dice.randint(1, 2), each_path=True
        ),
    )


def trouble(dice: random.Random, where: str) -> tuple[Rule, ...]:
    answers = dice.sample(act.TROUBLE, 3)
    return tuple(
        Rule(answer(), path=f"{where}/{plural}/", method="PATCH", count=dice.randint(1, 2), each_path=True)
        for plural, answer in zip(("configmaps", "services", "roles"), answers, strict=True)
    )


def webhook(dice: random.Random, where: str) -> tuple[Rule, ...]:
    return (Rule(act.webhook_down(), path=f"{where}/configmaps/", method="PATCH", count=dice.randint(1, 2), each_path=True),)


def slow(dice: random.Random, where: str) -> tuple[Rule, ...]:
    return (Rule(act.Delay(dice.uniform(1.0, 2.0)), path=f"{where}/configmaps/", method="PATCH", count=2, every=dice.randint(1, 2)),)


def unsent(dice: random.Random, where: str) -> tuple[Rule, ...]:
    return (Rule(act.Reset(), path=f"{where}/(configmaps|services)/", method="PATCH", count=dice.randint(1, 2), each_path=True),)


def unanswered(dice: random.Random, where: str) -> tuple[Rule, ...]:
    return (Rule(act.Reset(forwarded=True), path=f"{where}/(configmaps|roles)/", method="PATCH", count=1, each_path=True, first=1),)


def stale(dice: random.Random, where: str) -> tuple[Rule, ...]:
    return (Rule(act.stale(), path=f"{where}/configmaps/", method="PATCH", count=dice.randint(1, 3), each_path=True),)


def held(dice: random.Random, where: str) -> tuple[Rule, ...]:
    return (Rule(act.held_by("rival"), path=f"{where}/configmaps/c{dice.randrange(5)}$", method="PATCH", count=1),)


REQUESTS: Mapping[str, Faults] = {fault.__name__: fault for fault in (throttled, trouble, webhook, slow, unsent, unanswered, stale, held)}


@each_seed
@pytest.mark.parametrize("fault", REQUESTS)
def test_a_write_that_fails_is_tried_again_and_delays_no_other(run: Run, fault: str, seed: int):
    rules = run.ground.proxy.rules = REQUESTS[fault](random.Random(seed), f"/namespaces/{run.name}")
    run.wish(some())
    run.declare()
    judge(run)
    assert sum(rule.hits for rule in rules) > 0
    disturbed = {seen.path for seen in run.requests() if seen.fault}
    first_retry = min(
        (seen.at for seen in run.requests() if seen.path in disturbed and not seen.fault and seen.method == "PATCH"), default=math.inf
    )
    others = [seen for seen in run.requests() if seen.status == 201 and seen.path not in disturbed and seen.method == "PATCH"]

    assert fault in ("stale", "held", "slow") or all(seen.at <= first_retry for seen in others), "the others went first"
    created = [entry.key for entry in run.entries() if entry.verb == "patch" and entry.code == 201]
    assert len(created) == len(set(created)), "nothing was made twice"


@each_seed
def test_several_faults_at_once(run: Run, seed: int):
    run.ground.proxy.rules = FaultProxy.plan(seed, path=f"/namespaces/{run.name}/(?!clusterstates)")
    run.ground.proxy.cut()
    run.wish(some())
    run.declare()
    run.converge(seconds=CONVERGE_SECONDS)
    edit(run, "c0")
    until("the edit is repaired", lambda: is_repaired(run, "c0"), seconds=CONVERGE_SECONDS)
    run.wish(some(without=("c4",)))
    judge(run)


@long
@pytest.mark.parametrize("action", [act.Reset(), act.Reset(forwarded=True), act.internal()], ids=["unsent", "unanswered", "500"])
def test_a_status_that_could_not_be_written_is_written_later(run: Run, action: act.Action):
    run.ground.proxy.rules = (Rule(action, path=f"{run.name}/clusterstates/state/status$", method="PATCH", count=1),)
    run.wish(some())
    run.declare()
    judge(run)


def test_clusterstates_that_may_not_be_seen_for_long_are_carried_out_when_they_may(run: Run, fresh: None):
    """An API server that starts answers so until it has read its roles; whoever gives up then ends the process."""
    run.ground.proxy.rules = (Rule(act.forbidden("list", "clusterstates"), path="/clusterstates$", method="GET"),)
    operator = run.ground.operator()
    run.wish(some())
    run.declare()
    never("the operator ends", lambda: not operator.is_running, seconds=60)
    assert not [seen for seen in run.requests() if seen.is_write]
    run.ground.proxy.calm()
    judge(run)


# -- the other side --------------------------------------------------------------------------------------------------------


def test_etcd_that_is_killed_during_an_apply(run: Run):
    count = 60
    run.wish([config_map(f"c{i}", key="v") for i in range(count)])
    run.declare()
    until("some are written", lambda: sum(seen.status == 201 for seen in run.requests()) > 10, every=0.002)
    run.ground.cluster.kill("etcd")
    time.sleep(0.5)
    run.ground.cluster.restart("etcd")
    judge(run)


@each_seed
def test_what_may_not_be_written_stops_itself_and_the_prune(installed: Run, seed: int):
    name = f"c{random.Random(seed).randint(1, 4)}"
    proxy, api = installed.ground.proxy, installed.ground.api
    proxy.rules = (Rule(act.forbidden("patch", "configmaps"), path=f"{installed.name}/configmaps/{name}$", method="PATCH"),)
    begun = datetime.now(UTC)
    wanted = some(without=("s0",))
    for each in wanted[:5]:
        each["data"]["key"] = "new"
    installed.wish(wanted)
    installed.world.wait_failed("Forbidden", mentions="cannot patch")
    assert [line.split()[1].partition(".")[0] for line in installed.away()] == [
        installed.world.path("configmaps", name),
        installed.world.path("secrets", "s0") + ":",
    ], "all others are applied"
    proxy.calm()
    doubt = (begun, datetime.now(UTC))
    installed.world.request()
    judge(installed)
    assert invariants.s4_nothing_is_deleted_in_doubt(installed.entries(), [doubt]) == []
    assert api.get(installed.world.path("secrets", "s0")) is None


def test_a_quota_is_asked_rarely_and_holds_up_no_other(run: Run):
    proxy = run.ground.proxy
    proxy.rules = (Rule(act.over_quota(), path=f"{run.name}/configmaps/c0$", method="PATCH"),)
    run.wish(some())
    run.declare()
    run.world.wait_failed("QuotaExceeded")
    time.sleep(2)
    assert len(run.away()) == 1
    assert proxy.rules[0].hits == 1
    proxy.calm()
    run.world.request()
    judge(run)


@pytest.mark.parametrize("answer", [act.not_served(), pytest.param(act.unavailable(), marks=long), pytest.param(act.Reset(), marks=long)])
def test_a_kind_that_cannot_be_seen_is_not_taken_for_empty(installed: Run, answer: act.Action):
    proxy, api = installed.ground.proxy, installed.ground.api
    proxy.rules = (Rule(answer, path=f"/apis/{NETWORKING}/networkpolicies$", method="GET"),)
    installed.restart()
    begun = datetime.now(UTC)
    installed.wish(some(without=("c0", "n0")))
    installed.world.request()
    assert api.get(installed.world.path("configmaps", "c0")) is not None
    assert api.get(installed.world.path("networkpolicies", "n0", group=NETWORKING)) is not None
    assert installed.world.condition()["status"] != "True"
    doubt = (begun, datetime.now(UTC))
    proxy.calm()
    installed.world.request()
    judge(installed)
    until("n0 is pruned", lambda: api.get(installed.world.path("networkpolicies", "n0", group=NETWORKING)) is None)
    assert invariants.s4_nothing_is_deleted_in_doubt(installed.entries(), [doubt]) == []


def test_discovery_that_fails_at_the_start_is_waited_for(installed: Run):
    installed.operator.kill()
    installed.operator.wait()
    installed.ground.proxy.rules = (Rule(act.unavailable(), path="^/apis$", count=1),)
    edit(installed, "c0")
    installed.operator.start()
    judge(installed)


def test_an_object_in_a_namespace_on_its_way_out_is_not_fought_for(installed: Run):
    """Nothing finishes the namespace here: no controller runs."""
    api, away = installed.ground.api, f"{installed.name}-away"
    api.create("/api/v1/namespaces", manifest("Namespace", away))
    there = manifest("ConfigMap", "x", namespace=away, data={"key": "v"})
    installed.wish([*some(), there])
    installed.converge()
    api.delete(f"/api/v1/namespaces/{away}")
    api.delete(f"/api/v1/namespaces/{away}/configmaps/x")
    installed.world.wait_failed("NamespaceTerminating")
    edit(installed, "c0")
    until("others are repaired", lambda: is_repaired(installed, "c0"), seconds=5)
    time.sleep(2)
    assert installed.world.condition()["status"] == "False"
    assert installed.violations() == []
    installed.wish(some())
    judge(installed)


def test_a_finalizer_that_stays_costs_one_delete(installed: Run):
    api, path = installed.ground.api, installed.world.path("configmaps", "c4")
    api.merge(path, {"metadata": {"finalizers": ["example.test/stays"]}})
    installed.wish(some(without=("c4",)))
    until("it is on its way out", lambda: "deletionTimestamp" in (api.get(path) or {"metadata": {}})["metadata"])
    time.sleep(2)
    installed.world.request()
    assert sum(entry.verb == "delete" for entry in installed.entries()) == 1
    api.merge(path, {"metadata": {"finalizers": None}})
    judge(installed)


def test_a_commit_that_cannot_be_read_prunes_nothing_before_and_after_a_restart(installed: Run):
    installed.wish(some(without=("c0",)), sound=False)
    installed.world.wait_failed("YAMLInvalid")
    installed.restart()
    installed.world.request()
    assert installed.ground.api.get(installed.world.path("configmaps", "c0")) is not None
    installed.wish(some(without=("c0",)))
    judge(installed)


# -- found here, and mended -------------------------------------------------------------------------------------------------


def test_a_custom_resource_that_was_edited_while_the_operator_was_away_is_repaired(run: Run):
    """Of a map of a schemaless custom resource our managedFields entry says `f:spec: {}` only."""
    group = f"{run.name}.example.test"
    run.wish([definition(group, "Widget"), manifest("Widget", "w", api_version=f"{group}/v1", spec={"size": 1})])
    run.declare()
    run.converge()
    run.operator.kill()
    run.operator.wait()
    run.ground.api.merge(run.path(run.wanted[1]), {"spec": {"size": 99}}, manager="kubectl-edit")
    run.operator.start()
    run.world.request()
    assert run.away() == []


def test_a_prune_that_was_held_by_a_failed_list_goes_on_when_lists_work_again(installed: Run):
    proxy = installed.ground.proxy
    proxy.rules = (Rule(act.unavailable(), path=f"/apis/{NETWORKING}/networkpolicies$", method="GET", lists=True),)
    installed.wish(some(without=("c0",)))
    installed.world.wait_failed("PruneHeld")
    proxy.calm()
    installed.converge(seconds=15)


def test_a_status_that_is_refused_waits_as_long_as_it_was_asked_to(run: Run):
    path = f"{run.name}/clusterstates/state/status$"
    run.ground.proxy.rules = (Rule(act.unavailable(), path=path, method="PATCH", count=1),)
    run.wish(some())
    run.declare()
    until(
        "it was refused and sent again", lambda: len([seen for seen in run.requests() if seen.path.endswith("/status") and seen.status]) > 1
    )
    assert invariants.s10_retries_wait(run.requests(), path=path) == []
