"""Companions: StateApprovals, ClusterStatePlans and EmergencyStops as events tell of them.

Aspects: what an EmergencyStop says · who is told of which change · a list of them that events overtake · approvals by namespace, plans by owner · hostile bodies.
"""

from collections.abc import Callable
from typing import Any, cast

import pytest

from cvstate_operator.kube.client import Client
from cvstate_operator.operator.companions import LOOKS, Companions


class Heard:
    """Companions, and for which namespaces a change was told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.companions = Companions(self.told.append)


@pytest.fixture
def heard() -> Heard:
    return Heard()


def stop(name: str = "red", reason: Any = "oops") -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"reason": reason}}


def approval(name: str = "yes", namespace: str = "web") -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"planDigest": "sha256:x"}}


def plan(name: str = "plan", uid: str = "uid-1", kind: str = "ClusterState") -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "web", "ownerReferences": [{"kind": kind, "uid": uid}]}}


def test_without_an_emergency_stop_everything_may_be_written(heard: Heard) -> None:
    assert heard.companions.stopped() == ""


def test_an_emergency_stop_is_told_by_name_and_reason_to_everybody(heard: Heard) -> None:
    heard.companions.stop_seen(stop(), gone=False)
    assert heard.companions.stopped() == "red (oops)"
    assert heard.told == [""]


def test_one_that_is_seen_again_is_no_news(heard: Heard) -> None:
    for _ in range(3):
        heard.companions.stop_seen(stop(), gone=False)
    assert heard.told == [""]


def test_while_one_of_two_is_left_nothing_may_be_written(heard: Heard) -> None:
    heard.companions.stop_seen(stop("a", ""), gone=False)
    heard.companions.stop_seen(stop("b", "too"), gone=False)
    heard.companions.stop_seen(stop("a"), gone=True)
    assert heard.companions.stopped() == "b (too)"
    heard.companions.stop_seen(stop("b"), gone=True)
    assert heard.companions.stopped() == ""


def test_one_that_goes_without_having_been_seen_is_no_news(heard: Heard) -> None:
    heard.companions.stop_seen(stop(), gone=True)
    assert (heard.companions.stopped(), heard.told) == ("", [])


@pytest.mark.parametrize("spec", [None, {}, {"reason": ""}, {"reason": None}, {"reason": 5}])
def test_one_stops_everything_whatever_its_spec_says(heard: Heard, spec: Any) -> None:
    heard.companions.stop_seen({"metadata": {"name": "red"}, "spec": spec}, gone=False)
    assert heard.companions.stopped().startswith("red")


def test_a_reason_is_told_on_one_line(heard: Heard) -> None:
    heard.companions.stop_seen(stop(reason="a\nb\x1b[2J"), gone=False)
    assert heard.companions.stopped().isprintable()


# -- lists that events overtake ----------------------------------------------------------------------------------------


class Slow:
    """An API server whose lists are read before something happens, and answered after the watch told of it."""

    def __init__(self, *lists: list[dict[str, Any]], meanwhile: Callable[[], None] = lambda: None) -> None:
        """`lists`: the answers; the last one from then on. `meanwhile`: happens during each request for which another answer is left."""
        self.lists, self.meanwhile, self.asked = list(lists), meanwhile, 0

    async def get(self, path: str) -> dict[str, Any]:
        self.asked += 1
        found = self.lists[0]
        if len(self.lists) > 1:
            del self.lists[0]
            self.meanwhile()
        return {"items": found}


async def load(heard: Heard, api: Slow) -> None:
    await heard.companions.load(cast(Client, api))


async def test_a_list_tells_what_events_missed(heard: Heard) -> None:
    heard.companions.stop_seen(stop("old"), gone=False)
    api = Slow([stop("new", "fire")])
    await load(heard, api)
    assert (heard.companions.stopped(), api.asked) == ("new (fire)", 1)


async def test_an_emergency_stop_that_comes_while_they_are_listed_stays_in_force(heard: Heard) -> None:
    told: list[str] = []

    def comes() -> None:
        heard.companions.stop_seen(stop("halt", "fire"), gone=False)
        told.append(heard.companions.stopped())

    api = Slow([], [stop("halt", "fire")], meanwhile=comes)
    await load(heard, api)
    assert (heard.companions.stopped(), told, api.asked) == ("halt (fire)", ["halt (fire)"], 2)
    assert heard.told == [""], "it was never lifted, not even for a moment"


async def test_an_emergency_stop_that_goes_while_they_are_listed_is_over(heard: Heard) -> None:
    heard.companions.stop_seen(stop("halt"), gone=False)
    api = Slow([stop("halt")], [], meanwhile=lambda: heard.companions.stop_seen(stop("halt"), gone=True))
    await load(heard, api)
    assert (heard.companions.stopped(), api.asked) == ("", 2)
    assert heard.told == ["", ""], "it was not taken up again"


async def test_what_no_event_spoke_of_is_taken_from_the_list_all_the_same(heard: Heard) -> None:
    heard.companions.stop_seen(stop("missed"), gone=False)
    api = Slow([], [stop("halt")], meanwhile=lambda: heard.companions.stop_seen(stop("halt"), gone=False))
    await load(heard, api)
    assert heard.companions.stopped() == "halt (oops)"


async def test_events_without_an_end_do_not_keep_it_listing_and_are_believed(heard: Heard) -> None:
    api = Slow(*[[]] * 100, meanwhile=lambda: heard.companions.stop_seen(stop("halt"), gone=False))
    await load(heard, api)
    assert (heard.companions.stopped(), api.asked) == ("halt (oops)", LOOKS)


def test_approvals_are_those_of_the_namespace_and_plans_those_of_the_clusterstate(heard: Heard) -> None:
    for body in (approval(), approval("no", "elsewhere")):
        heard.companions.approval_seen(body, gone=False)
    for body in (plan(), plan("other", "uid-2"), plan("foreign", "uid-1", kind="Deployment")):
        heard.companions.plan_seen(body, gone=False)
    found = heard.companions.consents("web", "uid-1")
    assert (list(found.approvals), list(found.plans)) == ([approval()], [plan()])
    assert heard.told == ["web", "elsewhere"]


def test_what_goes_is_forgotten_and_told(heard: Heard) -> None:
    heard.companions.approval_seen(approval(), gone=False)
    heard.companions.plan_seen(plan(), gone=False)
    heard.companions.approval_seen(approval(), gone=True)
    heard.companions.plan_seen(plan(), gone=True)
    found = heard.companions.consents("web", "uid-1")
    assert (found.approvals, found.plans) == ((), ())
    assert heard.told == ["web", "web"]


def test_the_newest_state_of_one_counts(heard: Heard) -> None:
    changed = {**approval(), "spec": {"planDigest": "sha256:y"}}
    heard.companions.approval_seen(approval(), gone=False)
    heard.companions.approval_seen(changed, gone=False)
    assert list(heard.companions.consents("web", "uid-1").approvals) == [changed]
