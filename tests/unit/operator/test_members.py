"""A replica's own part in sharing the work, in a time of its own.

Aspects: coming · sharing · leaving in good order, and without · an API server that is away, slow, or does not answer · a Lease that is deleted · a process that stood
still · a fault of ours on the way · what is told, and how often · what is cleared away · being alone.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from cvstate_operator import errors
from cvstate_operator.kube.leases import Leases
from cvstate_operator.operator.members import JUDGE_SECONDS, LINGER_SECONDS, Alone, Members, MemberState, new_member, since_boot
from cvstate_operator.plan.membership import (
    EXPIRY_SECONDS,
    FENCE_SECONDS,
    GARBAGE_SECONDS,
    HANDING_OVER_SECONDS,
    LOOK_SECONDS,
    RENEW_SECONDS,
    SETTLING_SECONDS,
)
from tests.support.own_time import Loop, play
from tests.unit.kube.lease_server import LeaseServer

OWNERS = [f"applyset-{number}-v1" for number in range(200)]


@dataclass
class Stage:
    """An API server, and replicas that share its clock."""

    loop: Loop
    server: LeaseServer = field(default_factory=LeaseServer)
    ahead: float = 0.0
    """How much the clock ran on while the loop stood still."""
    told: list[tuple[float, str]] = field(default_factory=list)
    """When each was told that something may have changed."""
    deaf: set[str] = field(default_factory=set)
    """Those that cannot be told."""

    def replica(self, member: str, *, advertise: str = "") -> Members:
        """One that has not joined."""
        leases = Leases(self.server.client(), namespace="system", now=lambda: datetime(2026, 5, 4, tzinfo=UTC))

        def changed() -> None:
            self.told.append((self.loop.time(), member))
            if member in self.deaf:
                raise RuntimeError("a fault of ours")

        clock: Callable[[], float] = lambda: self.loop.time() + self.ahead  # noqa: E731 - what passes for a clock here
        return Members(leases, member=member, group="group", advertise=advertise, changed=changed, clock=clock)

    @asynccontextmanager
    async def joined(self, *members: str) -> AsyncIterator[list[Members]]:
        """These, settled; they leave in the end."""
        found = [self.replica(member, advertise=f"http://{member}:9292") for member in members]
        for each in found:
            await each.join()
        await asyncio.sleep(SETTLING_SECONDS + RENEW_SECONDS)
        try:
            yield found
        finally:
            self.server.failures.clear()
            self.server.delays.clear()
            for each in found:
                await each.leave()


def counts(*members: Members) -> dict[int, int]:
    """How many ClusterStates are owned by how many of these."""
    found: dict[int, int] = {}
    for owner in OWNERS:
        number = sum(each.is_mine(owner) and not each.fenced() for each in members)
        found[number] = found.get(number, 0) + 1
    return found


# -- coming and sharing ------------------------------------------------------------------------------------------------


def test_a_newcomer_owns_nothing_before_it_has_settled_and_is_told_when_it_has():
    async def work(loop: Loop) -> None:
        stage = Stage(loop)
        replica = stage.replica("a_1")
        await replica.join()
        assert replica.state == MemberState(members=1, settled=False, fenced=replica.fenced())
        assert replica.fenced()
        assert counts(replica) == {0: len(OWNERS)}
        await asyncio.sleep(SETTLING_SECONDS - 0.1)
        assert replica.fenced()
        stage.told.clear()
        await asyncio.sleep(0.7)
        assert len(stage.told) == 1
        assert counts(replica) == {1: len(OWNERS)}
        assert replica.state == MemberState(members=1, settled=True, fenced="")
        await replica.leave()

    play(work)


def test_members_share_everything_and_know_each_others_webhooks():
    async def work(loop: Loop) -> None:
        async with Stage(loop).joined("a_1", "b_2", "c_3") as replicas:
            assert counts(*replicas) == {1: len(OWNERS)}
            assert all(sum(map(each.is_mine, OWNERS)) > len(OWNERS) / 6 for each in replicas)
            assert replicas[0].peers == ("http://b_2:9292", "http://c_3:9292")
            assert [each.state.members for each in replicas] == [3, 3, 3]

    play(work)


def test_one_more_takes_its_share_when_the_others_have_handed_it_over_and_little_time_is_lost():
    async def work(loop: Loop) -> None:
        stage = Stage(loop)
        async with stage.joined("a_1", "b_2") as replicas:
            newcomer = stage.replica("c_3")
            await newcomer.join()
            idle = 0.0
            for _ in range(int((SETTLING_SECONDS + 2) / 0.25)):
                found = counts(*replicas, newcomer)
                assert set(found) <= {0, 1}
                idle += 0.25 * (0 in found)
                await asyncio.sleep(0.25)
            assert counts(*replicas, newcomer) == {1: len(OWNERS)}
            assert sum(map(newcomer.is_mine, OWNERS)) > len(OWNERS) / 6
            assert idle <= SETTLING_SECONDS - FENCE_SECONDS + LOOK_SECONDS + 0.5
            await newcomer.leave()

    play(work)


def test_whoever_hands_something_over_is_told_in_time_and_how_long_it_may_take():
    async def work(loop: Loop) -> None:
        stage = Stage(loop)
        async with stage.joined("a_1") as (replica,):
            newcomer = stage.replica("b_2")
            await newcomer.join()
            begins_at = loop.time() + SETTLING_SECONDS
            while all(map(replica.is_mine, OWNERS)):
                await asyncio.sleep(0.1)
            at, lost = loop.time(), next(owner for owner in OWNERS if not replica.is_mine(owner))
            assert HANDING_OVER_SECONDS - 0.2 < replica.hand_over_seconds(lost) <= HANDING_OVER_SECONDS
            assert at + replica.hand_over_seconds(lost) <= begins_at - 1.9
            await asyncio.sleep(0.6)
            assert [member for when, member in stage.told if when > at - 0.2 and member == "a_1"] == ["a_1"]
            await newcomer.leave()

    play(work)


@pytest.mark.parametrize("failing", ["create", "list"])
def test_who_cannot_join_is_told_why_and_leaves_nothing_running(failing: str):
    async def work(loop: Loop) -> None:
        stage = Stage(loop)
        stage.server.failures[failing] = errors.ForbiddenError("leases: RBAC")
        replica = stage.replica("a_1")
        with pytest.raises(errors.ForbiddenError):
            await replica.join()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        stage.server.failures.clear()
        await replica.join()
        assert stage.server.holders() == ["a_1"]
        await replica.leave()

    play(work)


# -- going -------------------------------------------------------------------------------------------------------------


def test_when_one_leaves_others_own_its_share_after_their_next_look_and_its_lease_goes():
    async def work(loop: Loop) -> None:
        stage = Stage(loop)
        async with stage.joined("a_1", "b_2") as (first, second):
            before = loop.time()
            leaving = asyncio.create_task(first.leave())
            await asyncio.sleep(RENEW_SECONDS + 0.1)
            assert counts(second) == {1: len(OWNERS)}
            assert stage.server.holders() == ["", "b_2"]
            await leaving
            assert loop.time() - before == pytest.approx(LINGER_SECONDS)
            assert stage.server.holders() == ["b_2"]
            assert first.fenced()
            assert counts(first) == {0: len(OWNERS)}

    play(work)


def test_the_last_one_leaves_at_once():
    async def work(loop: Loop) -> None:
        stage = Stage(loop)
        async with stage.joined("a_1") as (replica,):
            before = loop.time()
            await replica.leave()
            assert loop.time() == before
            assert stage.server.leases == {}

    play(work)


def test_who_cannot_say_that_it_leaves_goes_all_the_same_and_others_wait_for_the_expiry():
    async def work(loop: Loop) -> None:
        stage = Stage(loop)
        async with stage.joined("a_1", "b_2") as (first, second):
            stage.server.failures["patch"] = errors.NetworkError("gone")
            await first.leave()
            stage.server.failures.clear()
            await asyncio.sleep(EXPIRY_SECONDS - RENEW_SECONDS - 0.5)
            assert counts(second).get(0)
            await asyncio.sleep(3 * RENEW_SECONDS + 0.5)
            assert counts(second) == {1: len(OWNERS)}
            assert first.fenced()

    play(work)


# -- an API server that is away ----------------------------------------------------------------------------------------


def test_who_cannot_renew_writes_nothing_after_the_fence_and_settles_anew_when_it_can():
    async def work(loop: Loop) -> None:
        stage = Stage(loop)
        async with stage.joined("a_1") as (replica,):
            stage.server.failures["*"] = errors.NetworkError("gone")
            await asyncio.sleep(FENCE_SECONDS - RENEW_SECONDS - 0.1)
            assert replica.fenced() == ""
            assert replica.state.is_able
            stage.told.clear()
            await asyncio.sleep(RENEW_SECONDS + 0.6)
            assert "renewed" in replica.fenced()
            assert not replica.state.is_able
            assert len(stage.told) == 1
            await asyncio.sleep(60)
            stage.server.failures.clear()
            await asyncio.sleep(RENEW_SECONDS + 0.1)
            assert replica.fenced()
            assert not replica.is_mine("x")
            assert not replica.state.settled
            await asyncio.sleep(SETTLING_SECONDS + 0.1)
            assert replica.fenced() == ""
            assert replica.is_mine("x")

    play(work)


def test_who_cannot_look_writes_nothing_after_the_fence():
    async def work(loop: Loop) -> None:
        stage = Stage(loop)
        async with stage.joined("a_1") as (replica,):
            stage.server.failures["list"] = errors.ThrottledError("later")
            await asyncio.sleep(FENCE_SECONDS + 0.1)
            assert "seen" in replica.fenced()
            stage.server.failures.clear()
            await asyncio.sleep(RENEW_SECONDS + 0.1)
            assert replica.fenced() == ""

    play(work)


def test_requests_that_hang_leave_time_for_others_before_the_fence():
    async def work(loop: Loop) -> None:
        stage = Stage(loop)
        async with stage.joined("a_1") as (replica,):
            for _ in range(10):
                stage.server.delays = {"patch": 3600.0, "list": 3600.0}
                await asyncio.sleep(6.0)
                stage.server.delays = {}
                await asyncio.sleep(2.1)
                assert replica.fenced() == ""

    play(work)


def test_a_slow_list_does_not_hold_up_the_renewals():
    async def work(loop: Loop) -> None:
        stage = Stage(loop)
        async with stage.joined("a_1") as (replica,):
            stage.server.delays["list"] = 1.9
            stage.server.requests.clear()
            await asyncio.sleep(60)
            renewals = [at for at, verb in stage.server.requests if verb == "patch"]
            assert len(renewals) == pytest.approx(30, abs=1)
            assert replica.fenced() == ""

    play(work)


def test_nothing_unforeseen_ends_the_renewing(caplog: pytest.LogCaptureFixture):
    async def work(loop: Loop) -> None:
        stage = Stage(loop)
        async with stage.joined("a_1") as (replica,):
            stage.server.failures["*"] = RuntimeError("a fault of ours")  # type: ignore[assignment]
            await asyncio.sleep(5)
            stage.server.failures.clear()
            await asyncio.sleep(20)
            assert replica.fenced() == ""

    play(work)
    assert any(record.exc_info for record in caplog.records)


def test_who_cannot_be_told_of_a_change_is_told_again_until_it_can_and_stays_in_touch(caplog: pytest.LogCaptureFixture):
    async def work(loop: Loop) -> None:
        stage = Stage(loop)
        async with stage.joined("a_1") as (replica,):
            stage.deaf.add("a_1")
            other = stage.replica("b_2")
            await other.join()
            await asyncio.sleep(2 * RENEW_SECONDS)
            stage.deaf.clear()
            stage.told.clear()
            await asyncio.sleep(JUDGE_SECONDS)
            assert [member for _, member in stage.told if member == "a_1"] == ["a_1"], "what was not told is not forgotten"
            await asyncio.sleep(60)
            assert (replica.fenced(), replica.broken) == ("", "")
            await other.leave()

    play(work)
    assert sum(bool(record.exc_info) for record in caplog.records) == 1, "logged once, however often it is tried"


@pytest.mark.parametrize("number", range(3))
def test_a_task_that_keeps_in_touch_and_ended_is_told(number: int):
    async def work(loop: Loop) -> None:
        stage = Stage(loop)
        async with stage.joined("a_1") as (replica,):
            assert replica.broken == ""
            task = replica._tasks[number]
            task.cancel()
            await asyncio.wait({task})
            assert replica.broken == f"the task to {task.get_name()} ended"
        assert replica.broken == "", "that one left is no fault"

    play(work)


# -- what happens to a Lease, and to a process -------------------------------------------------------------------------


def test_who_lost_its_lease_stops_at_once_makes_another_and_settles():
    async def work(loop: Loop) -> None:
        stage = Stage(loop)
        async with stage.joined("a_1", "b_2") as replicas:
            stage.server.leases.clear()
            for _ in range(int(SETTLING_SECONDS / 0.25)):
                assert set(counts(*replicas)) <= {0, 1}
                await asyncio.sleep(0.25)
            assert counts(*replicas) == {0: len(OWNERS)}
            await asyncio.sleep(RENEW_SECONDS + 0.6)
            assert counts(*replicas) == {1: len(OWNERS)}
            assert stage.server.holders() == ["a_1", "b_2"]

    play(work)


def test_while_somebody_else_holds_its_lease_a_member_writes_nothing():
    async def work(loop: Loop) -> None:
        stage = Stage(loop)
        async with stage.joined("a_1") as (replica,):
            (name,) = stage.server.leases
            stage.server.edit(name, holderIdentity="somebody")
            await asyncio.sleep(60)
            assert "no Lease" in replica.fenced()
            stage.server.leases.clear()
            await asyncio.sleep(RENEW_SECONDS + SETTLING_SECONDS + 0.6)
            assert replica.fenced() == ""

    play(work)


def test_a_process_that_stood_still_knows_it_before_it_writes():
    async def work(loop: Loop) -> None:
        stage = Stage(loop)
        async with stage.joined("a_1") as (replica,):
            stage.ahead = FENCE_SECONDS
            assert replica.fenced()
            await asyncio.sleep(RENEW_SECONDS + 0.1)
            assert "come just now" in replica.fenced()
            await asyncio.sleep(SETTLING_SECONDS)
            assert replica.fenced() == ""

    play(work)


# -- what is told ------------------------------------------------------------------------------------------------------


def test_while_nothing_changes_nothing_is_told():
    async def work(loop: Loop) -> None:
        stage = Stage(loop)
        async with stage.joined("a_1", "b_2"):
            stage.told.clear()
            await asyncio.sleep(600)
            assert stage.told == []

    play(work)


def test_trouble_is_logged_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)

    async def work(loop: Loop) -> None:
        stage = Stage(loop)
        async with stage.joined("a_1"):
            stage.server.failures["list"] = errors.NetworkError("gone")
            await asyncio.sleep(120)
            stage.server.failures.clear()
            await asyncio.sleep(5)

    play(work)
    said = [record.message for record in caplog.records]
    assert said.count("failing, trying again") == 1
    assert said.count("works again") == 1
    assert said.count("writing nothing") == 2, "at the beginning, and when it had seen nobody for too long"


def test_who_comes_and_goes_is_logged(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)

    async def work(loop: Loop) -> None:
        stage = Stage(loop)
        async with stage.joined("a_1"):
            other = stage.replica("b_2")
            await other.join()
            await asyncio.sleep(5)
            await other.leave()

    play(work)
    told = [(record.message, record.__dict__.get("other")) for record in caplog.records]
    assert ("another replica joined", "b_2") in told
    assert ("another replica is gone", "b_2") in told


# -- what is cleared away ----------------------------------------------------------------------------------------------


def test_leases_of_those_who_were_killed_are_deleted_in_the_end_and_no_others():
    async def work(loop: Loop) -> None:
        stage = Stage(loop)
        async with stage.joined("a_1", "b_2"):
            for number in range(25):
                leases = Leases(stage.server.client(), namespace="system", now=lambda: datetime(2026, 5, 4, tzinfo=UTC))
                await leases.take(member=f"dead-{number}", group="group", webhook="")
            await asyncio.sleep(GARBAGE_SECONDS - 10)
            assert len(stage.server.leases) == 27
            stage.server.requests.clear()
            await asyncio.sleep(60)
            assert stage.server.holders() == ["a_1", "b_2"]
            assert [verb for _, verb in stage.server.requests].count("delete") == 25, "one of the two does it"

    play(work)


# -- alone -------------------------------------------------------------------------------------------------------------


def test_a_process_without_leases_owns_everything_and_is_never_fenced():
    async def work(loop: Loop) -> None:
        alone = Alone("a_1")
        await alone.join()
        assert alone.is_mine("x")
        assert (alone.fenced(), alone.peers) == ("", ())
        assert alone.state == MemberState(members=1, settled=True, fenced="")
        assert alone.hand_over_seconds("x") == float("inf")
        await alone.leave()

    play(work)


def test_no_two_processes_have_the_same_id():
    assert len({new_member() for _ in range(100)}) == 100


def test_the_clock_goes_on():
    before = since_boot()
    assert since_boot() >= before > 0
