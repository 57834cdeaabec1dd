"""The judges themselves: each one speaks up for the request that breaks it, and is silent for the one beside it that does not."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.support import invariants
from tests.support.api import Json
from tests.support.fault_proxy import Seen
from tests.support.invariants import Entry, Wish

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SURE = {"preconditions": {"uid": "u", "resourceVersion": "7"}}


def entry(
    verb: str, key: str = "configmaps n/a", *, after: float = 0, code: int = 200, sent: Json | None = None, answered: Json | None = None
) -> Entry:
    return Entry(verb, key, key.split()[0], code, NOON + timedelta(seconds=after), sent or {}, answered or {}, "")


def seen(at: float, status: int, *, retry_after: float = 0) -> Seen:
    return Seen("PATCH", "/api/v1/namespaces/n/configmaps/a", {}, at, status, at, retry_after)


def wish(after: float, *names: str, is_sound: bool = True) -> Wish:
    return Wish(NOON + timedelta(seconds=after), frozenset(f"configmaps n/{name}" for name in names), is_sound)


def test_s1_goes_by_the_newest_sound_wish():
    wishes = [wish(0, "a"), wish(10), wish(20, "a"), wish(30, is_sound=False)]
    found = [bool(invariants.s1_nothing_desired_is_deleted([entry("delete", after=second)], wishes)) for second in (5, 15, 25, 35)]
    assert found == [True, False, True, True]


def test_s1_lets_go_what_may_be_made_anew():
    again = Wish(NOON, frozenset({"configmaps n/a", "configmaps n/b"}), replaceable=frozenset({"configmaps n/a"}))
    assert not invariants.s1_nothing_desired_is_deleted([entry("delete")], [again])
    assert invariants.s1_nothing_desired_is_deleted([entry("delete", "configmaps n/b")], [again])


def test_s2_knows_others_by_name_and_by_their_controller():
    owned = {"metadata": {"ownerReferences": [{"controller": True}]}}
    assert invariants.s2_nothing_foreign_is_written([entry("patch")], ["configmaps n/a"])
    assert invariants.s2_nothing_foreign_is_written([entry("patch", answered=owned)])
    assert not invariants.s2_nothing_foreign_is_written([entry("patch"), entry("patch", code=409, answered=owned)])


def look(*, after: float, version: str = "7", uid: str = "u") -> Entry:
    return entry("get", after=after, answered={"metadata": {"uid": uid, "resourceVersion": version}})


@pytest.mark.parametrize("missing", ["uid", "resourceVersion"])
def test_s3_wants_both_preconditions(missing: str):
    half = {"preconditions": {key: value for key, value in SURE["preconditions"].items() if key != missing}}
    assert invariants.s3_deletes_are_conditional([look(after=-1), entry("delete", sent=half)])
    assert invariants.s3_deletes_are_conditional([look(after=-1), entry("deletecollection", sent=SURE)])
    assert not invariants.s3_deletes_are_conditional([look(after=-1), entry("delete", sent=SURE)])


@pytest.mark.parametrize("found", [look(after=-5), look(after=1), look(after=-1, version="6"), look(after=-1, uid="v")])
def test_s3_wants_a_look_just_before_that_found_exactly_this(found: Entry):
    assert invariants.s3_deletes_are_conditional([entry("delete", sent=SURE), found])
    assert not invariants.s3_deletes_are_conditional([entry("delete", sent=SURE), found, look(after=-4)])


def test_s3_wants_two_seconds_since_an_object_left_git():
    wishes = [wish(0, "a", "b"), wish(10, "b"), wish(11, is_sound=False), wish(13), wish(20, "a"), wish(30)]
    found = [
        bool(invariants.s3_what_left_git_is_looked_at_twice([entry("delete", after=second)], wishes)) for second in (5, 11, 12, 14, 31)
    ]
    assert found == [False, True, False, False, True]
    farewell = Wish(NOON, frozenset(), is_farewell=True)
    assert not invariants.s3_what_left_git_is_looked_at_twice([entry("delete")], [wish(-1, "a"), farewell])


def test_s4_goes_by_spans_and_by_wishes_that_cannot_be_rendered():
    span = (NOON, NOON + timedelta(seconds=5))
    wishes = [wish(10, is_sound=False), wish(20)]
    found = [bool(invariants.s4_nothing_is_deleted_in_doubt([entry("delete", after=second)], [span], wishes)) for second in (1, 6, 12, 22)]
    assert found == [True, False, True, False]


def test_s9_allows_one_status():
    status = entry("patch", "clusterstates n/state/status")
    assert not invariants.s9_a_second_look_writes_nothing([status, entry("get")])
    assert invariants.s9_a_second_look_writes_nothing([status, status])
    assert invariants.s9_a_second_look_writes_nothing([entry("patch")])
    assert invariants.s9_a_second_look_writes_nothing([entry("create", "events n/")])


def test_s10_wants_retry_after_and_growing_pauses():
    assert invariants.s10_retries_wait([seen(0, 429, retry_after=2), seen(1, 200)], path="")
    assert not invariants.s10_retries_wait([seen(0, 429, retry_after=2), seen(2.1, 200)], path="")
    assert invariants.s10_retries_wait([seen(second, 500) for second in range(60)], path="")
    assert not invariants.s10_retries_wait([seen(second, 500) for second in (0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5)], path="")


def test_s10_wants_a_429_to_stop_all_writes():
    other = Seen("PATCH", "/api/v1/namespaces/n/configmaps/b", {}, 1.0, 200, 1.1)
    refused = seen(0, 429, retry_after=2)
    assert invariants.s10_nobody_starts_while_it_is_throttled([refused, other], path="")
    assert not invariants.s10_nobody_starts_while_it_is_throttled([refused, other], path="/a$")
    for at in (0.1, 2.1):
        other.at = at
        assert not invariants.s10_nobody_starts_while_it_is_throttled([refused, other], path="")


def test_most_at_a_time_counts_what_has_not_ended():
    spans = [(0, 2), (1, 3), (2, 4), (2.5, 0), (5, 6)]
    assert invariants.most_at_a_time([Seen("PATCH", "/", {}, at, 200, ended) for at, ended in spans]) == 3
    assert invariants.most_at_a_time([]) == 0


def test_s11_wants_a_second_between_attempts_in_the_long_run():
    assert invariants.s11_no_hot_loop([seen(second * 0.4, 500) for second in range(4)])
    assert not invariants.s11_no_hot_loop([seen(second, 500) for second in (0, 0.4, 1.2, 2.8)])


def test_l1_compares_every_declared_field_and_what_must_be_gone():
    live = {"/a": {"data": {"k": "v"}, "metadata": {"uid": "u"}, "items": [1, 2]}}
    assert not invariants.l1_live_is_desired(live.get, {"/a": {"data": {"k": "v"}}}, ["/b"])
    for wrong in ({"data": {"k": "w"}}, {"data": {"x": "v"}}, {"items": [1]}):
        assert invariants.l1_live_is_desired(live.get, {"/a": wrong})
    assert invariants.l1_live_is_desired(live.get, {"/b": {}})
    assert invariants.l1_live_is_desired(live.get, {}, ["/a"])
