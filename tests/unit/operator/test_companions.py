"""Companions: StateApprovals, ClusterStatePlans and EmergencyStops as events tell of them.

Aspects: what an EmergencyStop says · who is told of which change · approvals by namespace, plans by owner · hostile bodies.
"""

from typing import Any

import pytest

from cvstate_operator.operator.companions import Companions


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
