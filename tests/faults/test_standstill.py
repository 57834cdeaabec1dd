"""Everything stands still for a while: too many requests, no answers, no credentials, a frozen process. Nobody storms, and afterwards it goes on.

Aspects: a throttled client · answers that come too late · credentials that are refused · a frozen operator · a frozen API server.
"""

import signal
import time
from collections import Counter

import pytest

from tests.faults.runs import WATCHED_SECONDS, Run, edit, is_repaired, judge, long, some
from tests.support import fault_actions as act
from tests.support import invariants
from tests.support.api import Json
from tests.support.fault_proxy import Rule
from tests.support.objects import config_map
from tests.support.waiting import until

pytestmark = pytest.mark.integration

WRITERS = 16
"""`settings.writers` by default."""
MANAGED = "/(?!clusterstates|clusterstateplans|events)[a-z]+/[^/]+$"
"""Paths of what is not the operator's own, below a namespace."""


def many(count: int = 60) -> list[Json]:
    return [config_map(f"c{i}", key="v") for i in range(count)]


def test_one_429_slows_all_writes_down(run: Run):
    where = f"/namespaces/{run.name}"
    run.ground.proxy.rules = (Rule(act.throttled(3), path=f"{where}/configmaps/c7$", method="PATCH", count=1),)
    run.wish(many())
    run.declare()
    judge(run)
    assert run.ground.proxy.rules[0].hits == 1
    assert invariants.s10_nobody_starts_while_it_is_throttled(run.requests(), path=where + MANAGED) == []
    refused = next(seen for seen in run.requests() if seen.status == 429)
    assert sum(seen.at > refused.ended and seen.method == "PATCH" for seen in run.requests()) > WRITERS, "there was something to hold up"


@long
def test_answers_that_come_too_late_do_not_pile_up(run: Run):
    """15 s is the deadline of a request."""
    where = f"/namespaces/{run.name}"
    run.ground.proxy.rules = (Rule(act.Delay(20.0), path=f"{where}/configmaps/", method="PATCH"),)
    run.wish(many())
    run.declare()
    time.sleep(40)
    slow = [seen for seen in run.requests() if seen.fault]
    assert 0 < invariants.most_at_a_time(slow) <= WRITERS
    assert len(slow) < 3 * WRITERS, "fewer at a time, since nothing comes back"
    run.ground.proxy.calm()
    judge(run)
    assert invariants.most_at_a_time(seen for seen in run.requests() if seen.is_write and "/configmaps/" in seen.path) <= WRITERS


A_FEW = 12 + WATCHED_SECONDS
"""Requests for one path while it is refused."""
OBJECTS = r"^/(api/v1|apis/(networking|rbac\.authorization)\.k8s\.io/v1)/"
"""Paths of the kinds of `some`; nothing that kopf watches."""


def refuse(run: Run, *, path: str) -> Counter[str]:
    """Answer 401 to these for a while, in which an edit is to be repaired and a commit to be carried out; what was refused, and how often."""
    proxy = run.ground.proxy
    since = len(proxy.requests)
    proxy.rules = (Rule(act.unauthorized(), path=path),)
    proxy.cut(path)
    edit(run, "c0")
    run.wish(some(without=("c4",)))
    for _ in range(3):
        run.world.trigger()
        time.sleep(WATCHED_SECONDS / 3)
    refused = [seen for seen in proxy.since(since) if seen.status == 401]
    proxy.calm()
    return Counter(f"{seen.method} {seen.path}" for seen in refused)


def test_credentials_that_are_refused_for_objects_are_no_reason_to_storm_and_accepted_again_need_nobody_who_asks(installed: Run):
    asked = refuse(installed, path=OBJECTS)
    assert 0 < max(asked.values()) <= A_FEW, asked
    judge(installed)


def test_credentials_that_are_refused_for_clusterstates_are_no_reason_to_storm(installed: Run):
    asked = refuse(installed, path="/emergencystops$")
    judge(installed)
    assert 0 < max(asked.values()) <= A_FEW, asked


def test_credentials_that_are_refused_for_everything_are_no_end_without_a_restart(installed: Run):
    """To end, or to say by /healthz that it is of no use any more, is fine: it is restarted then."""
    refuse(installed, path="")
    operator = installed.operator
    until(
        "it works or asks to be restarted",
        lambda: not operator.is_running or operator.http("/healthz")[0] != 200 or is_repaired(installed, "c0"),
        seconds=30,
    )
    if not is_repaired(installed, "c0"):
        if operator.is_running:
            operator.end(signal.SIGKILL)
        operator.start()
    judge(installed)


def test_an_operator_that_was_frozen_catches_up(installed: Run):
    api = installed.ground.api
    installed.operator.pause()
    try:
        edit(installed, "c0")
        api.delete(installed.world.path("configmaps", "c1"))
        wanted = some(without=("c4",))
        wanted[2]["data"]["key"] = "new"
        installed.wish(wanted)
        time.sleep(WATCHED_SECONDS)
    finally:
        installed.operator.resume()
    judge(installed)


@long
def test_an_api_server_that_is_frozen_is_waited_for(installed: Run):
    """The commit is found by a poll: nobody can be told of it."""
    cluster = installed.ground.cluster
    wanted = many(40)
    cluster.pause("kube-apiserver")
    try:
        since = len(installed.ground.proxy.requests)
        installed.wish([*some(), *wanted[5:]], tell=False)
        time.sleep(20)
        asked = installed.ground.proxy.since(since)
    finally:
        cluster.resume("kube-apiserver")
    writes = [seen for seen in asked if seen.is_write]
    assert 0 < invariants.most_at_a_time(writes) <= WRITERS
    assert len(asked) < 100
    judge(installed)
