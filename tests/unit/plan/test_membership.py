"""Who shares the work, and who may write what.

Aspects: how ClusterStates are divided · when a member counts as live · when it is fenced, and when it settles · leaving, and a Lease that vanishes · what is cleared
away · random worlds in which no two may ever write the same, and the mistakes that such a world finds.
"""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import pytest

from cvstate_operator.plan import membership
from cvstate_operator.plan.membership import (
    EXPIRY_SECONDS,
    FENCE_SECONDS,
    GARBAGE_SECONDS,
    HANDING_OVER_SECONDS,
    RENEW_SECONDS,
    SETTLING_SECONDS,
    Lease,
    Membership,
    Times,
)
from tests.unit.plan import membership_model
from tests.unit.plan.membership_model import World

OWNERS = [f"applyset-{number}-v1" for number in range(3000)]
WORLDS = int(os.environ.get("CVSTATE_WORLDS", "300"))
WORLD_SECONDS = 160


def lease(holder: str, version: int = 1, *, uid: str = "", webhook: str = "") -> Lease:
    return Lease(f"lease of {holder}", uid or f"uid of {holder}", str(version), holder, webhook)


def look(known: Membership, at: float, *others: Lease, seconds: float = 0.0) -> Membership:
    """After a look that saw these, and our own Lease if we hold one."""
    ours = (lease(known.member),) if known.uid else ()
    return known.looked((*ours, *others), begun=at, ended=at + seconds)


def renew(known: Membership, at: float, *, seconds: float = 0.0) -> Membership:
    return known.renewed(lease(known.member), begun=at, ended=at + seconds)


def settled(member: str = "a", *others: Lease, at: float = 100.0) -> Membership:
    """A member that has been there for long, with these, all seen just now."""
    known = renew(Membership(member), at - SETTLING_SECONDS)
    return look(renew(replace(known, renewed_at=at), at), at, *others)


# -- how they are divided ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 10])
def test_each_member_gets_about_the_same(count: int):
    names = [f"pod-{number}_uuid" for number in range(count)]
    known = settled(names[0], *map(lease, names[1:]))
    found = Counter(known.keeper(owner, 100.0) for owner in OWNERS)
    fair = len(OWNERS) / count
    assert found.keys() == set(names)
    assert all(abs(share - fair) < 4 * fair**0.5 + 1 for share in found.values())


def test_a_member_that_goes_moves_nothing_but_its_own():
    members = [f"pod-{number}" for number in range(5)]
    for owner in OWNERS[:500]:
        before = max(members, key=lambda member: membership.weight(member, owner))
        after = max(members[1:], key=lambda member: membership.weight(member, owner))
        assert after == before or before == members[0]


def test_whoever_knows_the_same_members_agrees_and_each_clusterstate_has_one():
    everybody = [lease(name) for name in "abcd"]
    views = [settled(each.holder, *(other for other in everybody if other != each)) for each in everybody]
    owners = Counter(sum(view.owns(owner, 100.0) for view in views) for owner in OWNERS[:300])
    assert owners == {1: 300}
    assert {view.keeper("x", 100.0) for view in views} == {views[0].keeper("x", 100.0)}


# -- live --------------------------------------------------------------------------------------------------------------


def test_a_lease_that_does_not_change_makes_its_holder_dead_after_the_expiry_by_two_looks_that_far_apart():
    known = settled("a", lease("b"))
    assert set(look(known, 100 + EXPIRY_SECONDS - 0.1, lease("b")).others) == {"b"}
    assert set(look(known, 100 + EXPIRY_SECONDS, lease("b")).others) == set()


def test_the_time_is_counted_from_the_end_of_the_first_look_since_it_may_have_been_renewed_during_that():
    known = look(settled("a"), 102.0, lease("b"), seconds=1.5)
    assert set(look(known, 102 + EXPIRY_SECONDS, lease("b")).others) == {"b"}
    assert set(look(known, 103.5 + EXPIRY_SECONDS, lease("b")).others) == set()


def test_time_alone_makes_nobody_dead_only_a_look_does():
    known = settled("a", lease("b"))
    assert set(known.others) == {"b"}
    assert known.fence(100 + 3 * EXPIRY_SECONDS)


def test_a_lease_that_changes_keeps_its_holder_alive_and_revives_one_that_was_dead():
    known = settled("a", lease("b"))
    for number in range(20):
        known = look(known, 102.0 + 2 * number, lease("b", 2 + number))
        assert set(known.others) == {"b"}
    known = look(known, 200.0, lease("b", 21))
    assert set(known.others) == set()
    assert set(look(known, 202.0, lease("b", 22)).others) == {"b"}


def test_a_member_whose_lease_was_made_anew_counts_once():
    known = look(settled("a", lease("b")), 102.0, lease("b", 5, uid="another"))
    assert list(known.others) == list(known.begin_at) == ["b"]


def test_webhooks_are_those_of_live_members():
    known = settled("a", lease("b", webhook="http://b:9292"), lease("c"))
    assert known.others == {"b": "http://b:9292", "c": ""}


# -- leaving -----------------------------------------------------------------------------------------------------------


def test_a_member_that_gave_up_its_lease_is_gone_at_the_next_look():
    known = settled("a", lease("b"))
    released = replace(lease("b", 2), holder="")
    assert set(look(known, 102.0, released).others) == set()
    assert set(look(look(known, 102.0, released), 104.0).others) == set()


def test_a_lease_that_vanished_counts_for_as_long_as_its_holder_may_still_write():
    known = look(settled("a", lease("b")), 102.0, seconds=0.5)
    assert set(known.others) == {"b"}
    assert set(look(known, 102.5 + EXPIRY_SECONDS - 0.1).others) == {"b"}
    assert set(look(known, 102.5 + EXPIRY_SECONDS).others) == set()


def test_a_lease_of_the_dead_that_is_cleared_away_revives_nobody():
    known = look(settled("a", lease("b")), 100 + EXPIRY_SECONDS, lease("b"))
    assert set(look(known, 102 + EXPIRY_SECONDS).others) == set()


def test_a_lease_that_passes_to_another_hand_makes_nobody_leave():
    known = look(settled("a", lease("b")), 102.0, replace(lease("b", 2), holder="c"))
    assert set(known.others) == {"b", "c"}


# -- fence -------------------------------------------------------------------------------------------------------------


def test_a_member_is_fenced_when_its_last_renewal_began_too_long_ago_however_late_it_was_answered():
    known = look(renew(settled("a"), 104.0, seconds=1.9), 106.0)
    assert known.fence(104 + FENCE_SECONDS - 0.1) == ""
    assert "renewed" in known.fence(104 + FENCE_SECONDS)


def test_a_member_is_fenced_when_its_last_look_began_too_long_ago():
    known = renew(look(settled("a"), 104.0, seconds=1.9), 106.0)
    assert known.fence(104 + FENCE_SECONDS - 0.1) == ""
    assert "seen" in known.fence(104 + FENCE_SECONDS)


def test_a_newcomer_owns_nothing_until_everybody_who_may_still_write_has_seen_it():
    known = renew(Membership("a"), 100.0, seconds=1.0)
    for at in range(102, 116, 2):
        known = look(renew(known, at), at)
    assert known.fence(101 + SETTLING_SECONDS - 0.1)
    assert not known.owns("x", 101 + SETTLING_SECONDS - 0.1)
    assert known.settles_in(101 + SETTLING_SECONDS - 0.1) == pytest.approx(0.1)
    assert known.fence(101 + SETTLING_SECONDS) == ""
    assert known.owns("x", 101 + SETTLING_SECONDS)


def test_a_renewal_that_comes_after_the_fence_makes_its_member_settle_anew():
    known = look(renew(settled("a"), 100.0), 109.0)
    in_time, too_late = renew(known, 108.0, seconds=1.9), renew(known, 108.0, seconds=2.0)
    assert (in_time.settles_in(110.0), too_late.settles_in(110.0)) == (0.0, SETTLING_SECONDS)


def test_renewals_in_time_never_make_a_member_settle_again():
    known = settled("a")
    for number in range(50):
        known = renew(known, 100 + RENEW_SECONDS * number, seconds=1.9)
        assert known.settles_in(102 + RENEW_SECONDS * number) == 0.0


@pytest.mark.parametrize(
    "lost",
    [
        lambda known: known.lost(),
        lambda known: known.looked((), begun=102.0, ended=102.0),
        lambda known: known.looked((replace(lease("a"), holder=""),), begun=102.0, ended=102.0),
        lambda known: known.looked((lease("a", uid="another"),), begun=102.0, ended=102.0),
    ],
    ids=["told", "not there", "given up by hand", "replaced"],
)
def test_whoever_lost_its_lease_writes_nothing_and_settles_when_it_has_another(lost):
    known = lost(settled("a"))
    assert known.fence(102.0)
    assert not known.owns("x", 102.0)
    again = known.renewed(lease("a", uid="new"), begun=103.0, ended=103.0)
    assert again.settles_in(103.0) == SETTLING_SECONDS


def test_a_look_from_before_our_lease_was_made_does_not_say_that_it_is_lost():
    known = renew(Membership("a"), 100.0, seconds=1.0)
    assert known.looked((), begun=100.5, ended=102.0).entered_at == 101.0


def test_nothing_may_be_written_before_the_first_renewal_and_the_first_look():
    assert Membership("a").fence(0.0)
    assert renew(Membership("a"), 0.0).fence(100.0)


# -- handing over ------------------------------------------------------------------------------------------------------


def of_b(known: Membership) -> str:
    """A ClusterState that b has the higher weight for."""
    return next(owner for owner in OWNERS if membership.weight("b", owner) > membership.weight(known.member, owner))


@pytest.mark.parametrize("looked_at", [102.0, 106.0, 109.9])
def test_a_newcomers_share_is_kept_as_long_as_possible_and_handed_over_in_time(looked_at: float):
    """It came at any time after our last look, at 100, and settles for 15 s; 2 s before the end the last write has to be sent."""
    known = renew(look(settled("a"), looked_at, lease("b")), looked_at)
    theirs = of_b(known)
    assert known.owns(theirs, 100 + FENCE_SECONDS - 0.1)
    for later in (known, look(known, looked_at + 0.05, lease("b", 2))):
        assert not later.owns(theirs, 100 + FENCE_SECONDS)
        assert later.hand_over_seconds(theirs, 100 + FENCE_SECONDS) == HANDING_OVER_SECONDS
        assert later.hand_over_seconds(theirs, 102 + FENCE_SECONDS) == HANDING_OVER_SECONDS - 2
        assert later.hand_over_seconds(theirs, 105 + FENCE_SECONDS) == 0.0


def test_one_that_was_away_settles_before_it_gets_anything_back():
    known = look(settled("a", lease("b")), 100 + EXPIRY_SECONDS, lease("b"))
    known = look(renew(replace(known, renewed_at=112.0), 114.0), 114.0, lease("b", 2))
    assert known.owns(of_b(known), 112 + FENCE_SECONDS - 0.1)
    assert known.hand_over_seconds(of_b(known), 112 + FENCE_SECONDS) == HANDING_OVER_SECONDS


def test_of_several_newcomers_the_first_one_says_until_when_something_may_be_finished():
    known = look(settled("a"), 101.0, lease("b"))
    known = look(renew(known, 109.0), 109.0, lease("b", 2), lease("c"))
    owners = (owner for owner in OWNERS if sorted("abc", key=lambda member: membership.weight(member, owner)) == ["a", "b", "c"])
    theirs = next(owners)
    assert known.keeper(theirs, 111.5) == "c"
    assert known.hand_over_seconds(theirs, 111.5) == 1.5


def test_who_was_there_before_us_is_never_waited_for():
    known = settled("a", lease("b"))
    assert not known.owns(of_b(known), 100.0)
    assert known.hand_over_seconds(of_b(known), 100.0) == 0.0


def test_what_others_took_over_is_not_finished_by_whoever_was_away():
    known = look(settled("a"), 109.0, lease("b"))
    again = renew(known, 120.0)
    assert again.hand_over_seconds(of_b(again), 110.5) == 0.0


# -- what is cleared away ----------------------------------------------------------------------------------------------


def test_only_the_member_with_the_lowest_id_clears_away_and_only_what_is_long_dead():
    old, young = lease("x"), lease("y")
    for member, expected in (("a", (old,)), ("c", ())):
        known = look(settled(member, lease("b"), old), 3000.0, lease("b", 2), old, young)
        known = look(known, 100 + GARBAGE_SECONDS, lease("b", 3), old, young)
        known = replace(known, settled_at=0.0)
        assert known.garbage(100 + GARBAGE_SECONDS) == expected
        assert known.garbage(99 + GARBAGE_SECONDS) == ()


def test_a_lease_that_was_given_up_and_not_deleted_is_cleared_away_too():
    released = replace(lease("x", 2), holder="")
    known = look(settled("a", released), 100 + GARBAGE_SECONDS, released)
    assert known.garbage(100 + GARBAGE_SECONDS) == (released,)


# -- random worlds -----------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights are asked for millions of times, and are always the same."""
    monkeypatch.setattr(membership, "weight", lru_cache(maxsize=None)(membership.weight))


def played(seed: int, **world) -> World:
    made = World(seed, **world)
    for _ in range(made.dice.randint(3, 12)):
        made.at(made.dice.uniform(15, WORLD_SECONDS - 20), made.trouble)
    made.run(WORLD_SECONDS)
    return made


def test_in_no_world_may_two_members_write_the_same_at_a_time():
    worlds = [played(seed) for seed in range(WORLDS)]
    assert {seed: world.doubles[:3] for seed, world in enumerate(worlds) if world.doubles} == {}
    # These worlds are not so bad that nobody ever writes, nor so good that nothing ever moves.
    assert sum(sum(world.owned_seconds.values()) for world in worlds) > 0.2 * WORLDS * WORLD_SECONDS * len(membership_model.OWNERS)
    assert sum(world.takeovers for world in worlds) > 2 * WORLDS


class Forgetful(Membership):
    """Goes on after a fence as if nothing had been."""

    __slots__ = ()

    def renewed(self, lease: Lease, *, begun: float, ended: float) -> Membership:
        after = super().renewed(lease, begun=begun, ended=ended)
        return after if self.entered_at is None else replace(after, entered_at=self.entered_at, settled_at=self.settled_at)


class Trusting(Membership):
    """Takes a Lease that is not there for one that was given up."""

    __slots__ = ()

    def _missed(self, leases, begun, ended):
        return {}


class Unhurried(Membership):
    """Writes what is in hand to the moment in which another one may begin."""

    __slots__ = ()

    def hand_over_seconds(self, owner: str, now: float) -> float:
        begins_at = self.begin_at.get(self.keeper(owner, now), 0.0)
        return max(0.0, begins_at - now)


class Hasty(Membership):
    """Begins at once if its first look shows no other Lease: then nobody else is there, or somebody's Lease was deleted who may still write."""

    __slots__ = ()

    def looked(self, leases: Sequence[Lease], *, begun: float, ended: float) -> Membership:
        after = super().looked(leases, begun=begun, ended=ended)
        is_alone = self.looked_at is None and after.entered_at is not None and all(lease.uid == after.uid for lease in leases)
        return replace(after, settled_at=ended) if is_alone else after


@pytest.mark.parametrize(
    "wrong",
    [
        {"times": Times(expiry_seconds=6.0)},
        {"times": Times(settling_seconds=0.0)},
        {"times": Times(fence_seconds=30.0)},
        {"make": Forgetful},
        {"make": Trusting},
        {"make": Unhurried},
        {"make": Hasty},
    ],
    ids=[
        "expiry before the fence",
        "no settling",
        "a fence beyond the expiry",
        "no settling after a fence",
        "vanished is left",
        "handed over to the last moment",
        "no settling for who sees nobody",
    ],
)
def test_a_mistake_in_the_rules_shows_in_these_worlds(wrong):
    assert any(played(seed, **wrong).doubles for seed in range(WORLDS))


def test_without_trouble_everything_is_owned_after_settling_and_taken_over_in_time():
    """Reliability goal L3: the first write after a SIGKILL comes within 20 s."""
    for seed in range(20):
        world = World(seed, is_calm=True)
        members = [world.join() for _ in range(3)]
        world.run(SETTLING_SECONDS + 5)
        assert all(any(each.may_write(owner, world.now) for each in members) for owner in world.owned_seconds)
        world.kill(members[0])
        world.run(EXPIRY_SECONDS + 3 * RENEW_SECONDS)
        assert all(any(each.may_write(owner, world.now) for each in members) for owner in world.owned_seconds)
        world.leave(members[1])
        world.run(3 * RENEW_SECONDS)
        assert all(members[2].may_write(owner, world.now) for owner in world.owned_seconds)
        assert world.doubles == []
