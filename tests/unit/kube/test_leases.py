"""Leases as the API server has them. Its own answers are in tests/integration/test_leases.py.

Aspects: making one · an answer that is lost · renewing what is ours, gone or another's · giving up and deleting · which are seen · deadlines · names.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeVar

import pytest

from cvstate_operator import errors
from cvstate_operator.kube.leases import LEASE_REQUEST_SECONDS, Leases, name_of
from cvstate_operator.plan.membership import Lease
from tests.support.own_time import Loop, play
from tests.unit.kube.lease_server import LeaseServer

Result = TypeVar("Result")
MEMBER = "web-0_7b4d"
NAME = "group-web-0-7b4d"


def ask(server: LeaseServer, work: Callable[[Leases], Awaitable[Result]]) -> Result:
    async def whole(loop: Loop) -> Result:
        return await work(Leases(server.client(), namespace="system", now=lambda: datetime(2026, 5, 4, 3, 2, 1, 987, UTC)))

    return play(whole)


def taken(server: LeaseServer, member: str = MEMBER, group: str = "group") -> Lease:
    return ask(server, lambda leases: leases.take(member=member, group=group, webhook="http://10.0.0.7:9292"))


def test_a_lease_says_whose_it_is_and_how_to_reach_him():
    server = LeaseServer()
    lease = taken(server)
    assert (lease.name, lease.holder, lease.webhook) == (NAME, MEMBER, "http://10.0.0.7:9292")
    (made,) = server.leases.values()
    assert made["metadata"]["labels"] == {"cvstate.io/group": "group", "app.kubernetes.io/component": "member"}
    times = {"acquireTime": "2026-05-04T03:02:01.000987Z", "renewTime": "2026-05-04T03:02:01.000987Z"}
    assert made["spec"] == {"holderIdentity": MEMBER, "leaseDurationSeconds": 12, **times}


def test_whoever_did_not_hear_that_his_lease_was_made_finds_and_renews_it():
    server = LeaseServer()
    server.lost["create"] = 1
    with pytest.raises(errors.ServerTimeoutError):
        taken(server)
    (made,) = server.leases.values()
    before = made["metadata"]["resourceVersion"]
    lease = taken(server)
    assert lease.uid == made["metadata"]["uid"]
    assert lease.version != before


def test_a_lease_that_another_holds_is_not_taken():
    server = LeaseServer()
    taken(server)
    server.edit(NAME, holderIdentity="somebody")
    with pytest.raises(errors.SettingsError, match="somebody"):
        taken(server)


def test_a_lease_is_renewed_whatever_else_was_changed_in_it():
    server = LeaseServer()
    lease = taken(server)
    server.edit(NAME, leaseTransitions=4)
    renewed = ask(server, lambda leases: leases.renew(lease))
    assert renewed is not None
    assert (renewed.uid, renewed.holder) == (lease.uid, MEMBER)
    assert renewed.version != lease.version


@pytest.mark.parametrize("how", ["deleted", "made anew", "in other hands", "given up"])
def test_a_lease_that_is_not_ours_any_more_is_not_renewed(how: str):
    server = LeaseServer()
    lease = taken(server)
    match how:
        case "deleted":
            server.leases.clear()
        case "made anew":
            server.leases.clear()
            taken(server)
        case "in other hands":
            server.edit(NAME, holderIdentity="somebody")
        case _:
            server.edit(NAME, holderIdentity="")
    before = {name: dict(each["metadata"]) for name, each in server.leases.items()}
    assert ask(server, lambda leases: leases.renew(lease)) is None
    assert ask(server, lambda leases: leases.release(lease)) is None
    assert {name: each["metadata"] for name, each in server.leases.items()} == before


@pytest.mark.parametrize(
    "refusal", [errors.InvalidError("a field"), errors.AdmissionDeniedError("a policy says no"), errors.ForbiddenError("RBAC")]
)
def test_a_renewal_that_is_refused_while_the_lease_is_ours_is_an_error_and_no_loss(refusal: errors.CvstateError):
    server = LeaseServer()
    lease = taken(server)
    server.failures["patch"] = refusal
    with pytest.raises(type(refusal)):
        ask(server, lambda leases: leases.renew(lease))


def test_a_lease_that_is_given_up_is_held_by_nobody_and_then_deleted():
    server = LeaseServer()
    lease = taken(server)
    released = ask(server, lambda leases: leases.release(lease))
    assert released is not None
    assert released.holder == ""
    with pytest.raises(errors.StaleError):
        ask(server, lambda leases: leases.delete(lease))
    ask(server, lambda leases: leases.delete(released))
    ask(server, lambda leases: leases.delete(released))
    assert server.leases == {}


def test_all_leases_of_the_group_are_seen_and_no_others():
    server = LeaseServer()
    ours = {taken(server, f"pod-{number}_x") for number in range(3)}
    taken(server, "stranger_x", group="another")
    assert set(ask(server, lambda leases: leases.look("group"))) == ours


def test_what_a_lease_does_not_say_is_empty():
    server = LeaseServer()
    lease = taken(server)
    server.leases[NAME]["metadata"]["annotations"] = None
    server.leases[NAME]["spec"] = None
    (found,) = ask(server, lambda leases: leases.look("group"))
    assert found == replace(lease, holder="", webhook="")


@pytest.mark.parametrize("verb", ["list", "create", "patch", "delete"])
def test_no_request_takes_longer_than_its_deadline(verb: str):
    server = LeaseServer()
    lease = taken(server)
    server.delays[verb] = 600.0
    calls: dict[str, Callable[[Leases], Awaitable[object]]] = {
        "list": lambda leases: leases.look("group"),
        "create": lambda leases: leases.take(member="other_x", group="group", webhook=""),
        "patch": lambda leases: leases.renew(lease),
        "delete": lambda leases: leases.delete(lease),
    }

    async def whole(loop: Loop) -> float:
        with pytest.raises(errors.ServerTimeoutError):
            await calls[verb](Leases(server.client(), namespace="system", now=lambda: datetime(2026, 1, 1, tzinfo=UTC)))
        return loop.time()

    assert play(whole) == pytest.approx(LEASE_REQUEST_SECONDS)


@pytest.mark.parametrize(
    ("member", "group", "name"),
    [
        ("web-0_7b4d", "cvstate", "cvstate-web-0-7b4d"),
        ("My.Laptop.local_7b4d", "cvstate", "cvstate-my-laptop-local-7b4d"),
        ("näme-_7b4d", "a.b", "a-b-n-me-7b4d"),
    ],
)
def test_the_name_of_a_lease_is_one_that_kubernetes_takes(member: str, group: str, name: str):
    assert name_of(member, group) == name
