"""The live index.

Aspects: whose objects there are · copied labels · the echo of our own writes · changes while we write · what matters and what does not · changing owners ·
who is told that an object became free · what is gone · verifying · replaced objects · versions of one kind · room for snapshots.
"""

import tracemalloc
from typing import Any

import orjson
import pytest

from cvstate_operator.api.names import FIELD_MANAGER
from cvstate_operator.objects.identity import ObjectRef
from cvstate_operator.reconcile.live_index import LiveIndex
from tests.unit.builders import CONFIG_MAP, OWNER, RIVAL, applied, ref

A = ref("a")
CONFIG_MAP_V2 = CONFIG_MAP._replace(gvk=CONFIG_MAP.gvk._replace(version="v2"))
CONTROLLER = {"kind": "Service", "name": "s", "uid": "uid-2", "controller": True}
Touched = list[tuple[str, ObjectRef]]


@pytest.fixture
def touched() -> Touched:
    return []


@pytest.fixture
def index(touched: Touched) -> LiveIndex:
    return LiveIndex(lambda owner, ref: touched.append((owner, ref)))


def drifted(version: str, **more: Any) -> dict[str, Any]:
    """The object after someone else gave our field another value."""
    live = applied(version=version, data={"colour": "red"}, **more)
    live["metadata"]["managedFields"][0]["fieldsV1"].pop("f:data")
    theirs = {"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:data": {"f:colour": {}}}}
    live["metadata"]["managedFields"].append(theirs)
    return live


def scaled(version: str) -> dict[str, Any]:
    """The object after someone else added a field of their own."""
    live = applied(version=version, data={"colour": "blue", "size": "big"})
    live["metadata"]["managedFields"].append({"manager": "x", "operation": "Update", "fieldsV1": {"f:data": {"f:size": {}}}})
    return live


def write(index: LiveIndex, answer: dict[str, Any] | None, *meanwhile: dict[str, Any]) -> None:
    """Our own write: what is observed meanwhile, then the answer."""
    index.writing(A)
    for live in meanwhile:
        index.observed(CONFIG_MAP, live)
    index.written(A, answer, CONFIG_MAP)


# -- whose objects there are -------------------------------------------------------------------------------------------


def test_an_unknown_object_is_nobodys(index: LiveIndex) -> None:
    assert index.get(A) is None
    assert (index.members(OWNER), index.count(OWNER), index.known(CONFIG_MAP)) == ({}, 0, frozenset())


def test_what_many_objects_have_in_common_is_kept_once(index: LiveIndex) -> None:
    for name in ("a", "b"):
        index.observed(CONFIG_MAP, orjson.loads(orjson.dumps(applied(name, digest="d2"))))
    (first, one), (second, other) = index.members(OWNER).items()
    assert first.namespace is second.namespace
    assert one.owner is other.owner
    assert one.digest is other.digest


def test_an_observed_object_is_a_member_of_its_owner(index: LiveIndex, touched: Touched) -> None:
    index.observed(CONFIG_MAP, applied())
    assert set(index.members(OWNER)) == index.known(CONFIG_MAP) == {A}
    assert index.count(OWNER) == 1
    assert touched == [(OWNER, A)]


def test_what_is_remembered_is_what_decisions_need(index: LiveIndex) -> None:
    index.observed(CONFIG_MAP, applied(version="7", digest="d9"))
    live = index.get(A)
    assert live is not None
    assert (live.version, live.uid, live.owner, live.digest, live.terminating, live.baseline) == ("7", "uid-1", OWNER, "d9", False, None)
    assert live.resource is CONFIG_MAP


@pytest.mark.parametrize(
    ("metadata", "digest", "is_member"),
    [
        pytest.param({}, "d1", True, id="applied"),
        pytest.param({"managedFields": [{}]}, "d1", True, id="stripped"),
        pytest.param({"managedFields": []}, "", False, id="label-only"),
        pytest.param({"managedFields": [], "ownerReferences": [CONTROLLER]}, "d1", False, id="marks-copied-by-a-controller"),
        pytest.param({"ownerReferences": [CONTROLLER]}, "d1", True, id="applied-and-then-taken-by-a-controller"),
    ],
)
def test_a_label_alone_makes_no_member(index: LiveIndex, touched: Touched, metadata: dict[str, Any], digest: str, is_member: bool) -> None:
    index.observed(CONFIG_MAP, applied(digest=digest, **metadata))
    assert index.count(OWNER) == is_member
    assert (touched == [(OWNER, A)]) is is_member
    live = index.get(A)
    assert live is not None
    assert live.owner == OWNER
    index.gone(CONFIG_MAP, A, "9")
    assert (len(touched) == 2) is is_member


def test_a_member_that_loses_our_marks_is_none_any_more(index: LiveIndex, touched: Touched) -> None:
    write(index, applied(version="5"))
    index.observed(CONFIG_MAP, applied(version="6", digest="", managedFields=[]))
    assert (index.count(OWNER), touched) == (0, [(OWNER, A)])


# -- our own writes ----------------------------------------------------------------------------------------------------


def test_the_answer_to_our_write_is_the_baseline(index: LiveIndex, touched: Touched) -> None:
    write(index, applied(version="5"))
    live = index.get(A)
    assert live is not None
    assert live.is_settled
    assert live.snapshot is None
    assert touched == []


def test_the_echo_of_our_write_is_dropped(index: LiveIndex, touched: Touched) -> None:
    write(index, applied(version="5"))
    index.observed(CONFIG_MAP, applied(version="5"))
    assert touched == []


def test_the_echo_may_come_before_the_answer(index: LiveIndex, touched: Touched) -> None:
    write(index, applied(version="5"), applied(version="5"))
    assert touched == []
    live = index.get(A)
    assert live is not None
    assert live.is_settled


def test_an_older_event_after_the_answer_changes_nothing(index: LiveIndex, touched: Touched) -> None:
    write(index, applied(version="5"))
    index.observed(CONFIG_MAP, drifted("4"))
    assert touched == []
    live = index.get(A)
    assert live is not None
    assert live.version == "5"


def test_versions_are_compared_as_numbers(index: LiveIndex, touched: Touched) -> None:
    write(index, applied(version="9"))
    index.observed(CONFIG_MAP, drifted("10"))
    assert touched == [(OWNER, A)]


def test_drift_that_is_newer_than_the_answer_is_seen_at_once(index: LiveIndex, touched: Touched) -> None:
    write(index, applied(version="5"), drifted("6"))
    assert touched == [(OWNER, A)]
    live = index.get(A)
    assert live is not None
    assert not live.is_settled
    assert live.baseline is not None
    assert live.snapshot is not None


def test_a_harmless_change_that_is_newer_than_the_answer_is_no_drift(index: LiveIndex, touched: Touched) -> None:
    write(index, applied(version="5"), scaled("6"))
    assert touched == []
    live = index.get(A)
    assert live is not None
    assert (live.version, live.is_settled, live.snapshot) == ("6", True, None)


def test_an_object_that_went_away_during_our_write_is_not_held_for_there(index: LiveIndex, touched: Touched) -> None:
    index.writing(A)
    index.observed(CONFIG_MAP, applied(version="5"))
    index.gone(CONFIG_MAP, A, "6")
    index.written(A, applied(version="5"), CONFIG_MAP)
    assert index.get(A) is None
    assert touched == [(OWNER, A)]


def test_an_older_deletion_during_our_write_is_history(index: LiveIndex, touched: Touched) -> None:
    index.observed(CONFIG_MAP, applied(version="3", uid="old"))
    touched.clear()
    index.writing(A)
    index.gone(CONFIG_MAP, A, "4")
    index.written(A, applied(version="5", uid="new"), CONFIG_MAP)
    live = index.get(A)
    assert live is not None
    assert live.uid == "new"
    assert touched == []


def test_an_object_that_began_to_go_during_our_write_is_looked_at(index: LiveIndex, touched: Touched) -> None:
    write(index, applied(version="5"), applied(version="6", deletionTimestamp="2026-01-01T00:00:00Z"))
    assert touched == [(OWNER, A)]


def test_an_object_that_was_taken_over_during_our_write_concerns_both(index: LiveIndex, touched: Touched) -> None:
    write(index, applied(version="5"), applied(version="6", owner=RIVAL))
    assert sorted(touched) == sorted([(OWNER, A), (RIVAL, A)])
    assert (index.count(OWNER), index.count(RIVAL)) == (0, 1)


def test_an_object_that_was_replaced_during_our_write_is_looked_at(index: LiveIndex, touched: Touched) -> None:
    write(index, applied(version="5", uid="old"), applied(version="7", uid="new"))
    assert touched == [(OWNER, A)]
    live = index.get(A)
    assert live is not None
    assert (live.uid, live.baseline) == ("new", None)


def test_after_a_failed_write_what_was_seen_meanwhile_counts(index: LiveIndex, touched: Touched) -> None:
    write(index, applied(version="5"))
    write(index, None, drifted("6"))
    assert touched == [(OWNER, A)]


def test_after_a_failed_write_an_unchanged_object_is_still_settled(index: LiveIndex, touched: Touched) -> None:
    write(index, applied(version="5"))
    write(index, None)
    assert touched == []


# -- what matters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("live", "matters"),
    [
        pytest.param(drifted("6"), True, id="field-of-ours-changed"),
        pytest.param(scaled("6"), False, id="field-of-others-added"),
        pytest.param(applied(version="6"), False, id="nothing-but-the-version"),
        pytest.param(applied(version="6", deletionTimestamp="2026-01-01T00:00:00Z"), True, id="being-deleted"),
        pytest.param(applied(version="6", digest="other"), True, id="applied-from-another-manifest"),
        pytest.param(applied(version="6", uid="new"), True, id="another-object-of-the-name"),
        pytest.param(applied(version="5", data={"colour": "red"}), False, id="same-version"),
    ],
)
def test_only_a_change_that_concerns_us_touches_the_owner(index: LiveIndex, touched: Touched, live: dict[str, Any], matters: bool) -> None:
    write(index, applied(version="5"))
    index.observed(CONFIG_MAP, live)
    assert touched == ([(OWNER, A)] if matters else [])


def test_an_object_is_kept_whole_only_while_it_must_be_looked_at(index: LiveIndex) -> None:
    write(index, applied(version="5"))
    index.observed(CONFIG_MAP, drifted("6"))
    live = index.get(A)
    assert live is not None
    assert live.snapshot is not None
    assert b"kubectl-edit" in live.snapshot
    write(index, applied(version="7"))
    live = index.get(A)
    assert live is not None
    assert live.snapshot is None


def test_another_object_of_the_name_has_no_baseline(index: LiveIndex) -> None:
    write(index, applied(version="5"))
    index.observed(CONFIG_MAP, applied(version="6", uid="new"))
    live = index.get(A)
    assert live is not None
    assert live.baseline is None


def test_drift_that_is_undone_touches_once_more_so_that_it_is_closed(index: LiveIndex, touched: Touched) -> None:
    write(index, applied(version="5"))
    index.observed(CONFIG_MAP, drifted("6"))
    index.observed(CONFIG_MAP, applied(version="7"))
    assert touched == [(OWNER, A), (OWNER, A)]
    live = index.get(A)
    assert live is not None
    assert live.is_settled
    index.observed(CONFIG_MAP, applied(version="8"))
    assert len(touched) == 2


# -- owners ------------------------------------------------------------------------------------------------------------


def test_a_label_that_moves_to_another_owner_concerns_both(index: LiveIndex, touched: Touched) -> None:
    write(index, applied(version="5"))
    index.observed(CONFIG_MAP, applied(version="6", owner=RIVAL))
    assert sorted(touched) == sorted([(OWNER, A), (RIVAL, A)])
    assert (index.count(OWNER), index.count(RIVAL)) == (0, 1)
    assert set(index.members(RIVAL)) == {A}


@pytest.mark.parametrize("echo", [(), (applied(version="6"),)], ids=["answer-first", "event-first"])
def test_an_owner_is_told_of_what_another_took_over(index: LiveIndex, touched: Touched, echo: tuple[dict[str, Any], ...]) -> None:
    index.observed(CONFIG_MAP, applied(version="5", owner=RIVAL))
    touched.clear()
    write(index, applied(version="6"), *echo)
    assert touched == [(RIVAL, A)]
    assert (index.count(OWNER), index.count(RIVAL)) == (1, 0)


def test_who_declares_an_object_is_told_when_its_label_changes_and_when_it_is_gone(index: LiveIndex, touched: Touched) -> None:
    index.claims.join("third", 0.0)
    index.claims.want("third", {A}, None, 0.0)
    write(index, applied(version="5"))
    index.observed(CONFIG_MAP, applied(version="6", owner=RIVAL))
    assert ("third", A) in touched
    touched.clear()
    index.gone(CONFIG_MAP, A, "7")
    assert touched == [(RIVAL, A), ("third", A)]


def test_who_declares_an_object_is_told_once_that_it_was_let_go(index: LiveIndex, touched: Touched) -> None:
    for owner in (OWNER, RIVAL):
        index.claims.join(owner, 0.0)
    index.claims.want(RIVAL, {A}, None, 0.0)
    write(index, applied(version="5"))
    index.let_go(OWNER, [A])
    index.let_go(OWNER, [A])
    assert touched == [(RIVAL, A)]


# -- gone --------------------------------------------------------------------------------------------------------------


def test_an_object_that_is_gone_is_forgotten_and_told(index: LiveIndex, touched: Touched) -> None:
    write(index, applied(version="5"))
    index.gone(CONFIG_MAP, A, "6")
    assert index.get(A) is None
    assert (index.count(OWNER), index.known(CONFIG_MAP)) == (0, frozenset())
    assert touched == [(OWNER, A)]


def test_an_old_deletion_is_ignored(index: LiveIndex, touched: Touched) -> None:
    write(index, applied(version="5"))
    index.gone(CONFIG_MAP, A, "5")
    index.gone(CONFIG_MAP, A, "4")
    assert index.count(OWNER) == 1
    assert touched == []


def test_the_deletion_of_an_unknown_object_is_ignored(index: LiveIndex, touched: Touched) -> None:
    index.gone(CONFIG_MAP, A, "6")
    assert touched == []


# -- verifying ---------------------------------------------------------------------------------------------------------


def test_a_verified_object_is_settled(index: LiveIndex, touched: Touched) -> None:
    index.observed(CONFIG_MAP, applied(version="5"))
    seen = index.get(A)
    assert seen is not None
    touched.clear()
    index.verified(A, seen)
    index.observed(CONFIG_MAP, scaled("6"))
    assert touched == []
    index.observed(CONFIG_MAP, drifted("7"))
    assert touched == [(OWNER, A)]


def test_drift_between_looking_and_verifying_is_not_taken_for_our_own(index: LiveIndex, touched: Touched) -> None:
    index.observed(CONFIG_MAP, applied(version="5"))
    seen = index.get(A)
    assert seen is not None
    index.observed(CONFIG_MAP, drifted("6"))
    index.verified(A, seen)
    live = index.get(A)
    assert live is not None
    assert not live.is_settled
    assert live.snapshot is not None
    assert touched[-1] == (OWNER, A)


@pytest.mark.parametrize("what", ["gone", "replaced"])
def test_verifying_what_is_not_there_any_more_does_nothing(index: LiveIndex, what: str) -> None:
    index.observed(CONFIG_MAP, applied(version="5"))
    seen = index.get(A)
    assert seen is not None
    if what == "gone":
        index.gone(CONFIG_MAP, A, "6")
    else:
        index.observed(CONFIG_MAP, applied(version="6", uid="new"))
    index.verified(A, seen)
    live = index.get(A)
    assert live is None or live.baseline is None


def test_an_object_without_managed_fields_or_labels_is_tolerated(index: LiveIndex, touched: Touched) -> None:
    live = applied(version="5", owner=None)
    live["metadata"].update(labels=None, annotations=None)
    del live["metadata"]["managedFields"]
    index.observed(CONFIG_MAP, live)
    assert index.known(CONFIG_MAP) == {A}
    assert index.count("") == 0
    assert FIELD_MANAGER not in str(touched)


# -- versions ----------------------------------------------------------------------------------------------------------


def test_a_baseline_does_not_hold_in_another_version(index: LiveIndex, touched: Touched) -> None:
    write(index, applied(version="5"))
    index.observed(CONFIG_MAP_V2, applied(version="6"))
    live = index.get(A)
    assert live is not None
    assert (live.baseline, live.snapshot is None, touched) == (None, False, [(OWNER, A)])


def test_the_state_that_is_known_is_news_in_another_version(index: LiveIndex) -> None:
    index.observed(CONFIG_MAP, applied(version="5"))
    index.observed(CONFIG_MAP_V2, applied(version="5"))
    assert (index.known(CONFIG_MAP), index.known(CONFIG_MAP_V2)) == (frozenset(), {A})


def test_an_older_state_is_history_in_every_version(index: LiveIndex) -> None:
    index.observed(CONFIG_MAP, applied(version="5"))
    index.observed(CONFIG_MAP_V2, applied(version="4"))
    assert index.known(CONFIG_MAP) == {A}


def test_an_object_that_was_seen_in_another_version_during_our_write_is_looked_at(index: LiveIndex, touched: Touched) -> None:
    index.writing(A)
    index.observed(CONFIG_MAP_V2, applied(version="6"))
    index.written(A, applied(version="5"), CONFIG_MAP)
    live = index.get(A)
    assert live is not None
    assert (live.baseline, touched) == (None, [(OWNER, A)])


def test_the_namespaces_of_an_applyset_are_those_of_its_members(index: LiveIndex) -> None:
    index.observed(CONFIG_MAP, applied("a"))
    index.observed(CONFIG_MAP, applied("b", owner=RIVAL, namespace="theirs"))
    assert index.namespaces(OWNER) == frozenset({"default"})
    assert index.namespaces(RIVAL) == frozenset({"theirs"})
    assert index.namespaces("nobody") == frozenset()


# -- snapshots ---------------------------------------------------------------------------------------------------------


def test_no_more_snapshots_are_kept_than_have_room_and_the_objects_are_known_all_the_same(touched: Touched) -> None:
    size = len(orjson.dumps(applied(version="5")))
    index = LiveIndex(lambda owner, ref: touched.append((owner, ref)), snapshot_bytes=2 * size)
    for name in "abc":
        index.observed(CONFIG_MAP, applied(name, version="5"))
    assert {ref.name for ref, live in index.members(OWNER).items() if live.snapshot} == {"a", "b"}
    assert (index.count(OWNER), len(touched)) == (3, 3)


@pytest.mark.parametrize("how", ["verified", "gone", "written", "let-go"])
def test_there_is_room_again_for_a_snapshot_when_another_is_not_needed_any_more(how: str) -> None:
    size = len(orjson.dumps(applied(version="5")))
    index = LiveIndex(lambda owner, ref: None, snapshot_bytes=size)
    index.observed(CONFIG_MAP, applied("a", version="5"))
    before = index.get(A)
    assert before is not None
    if how == "verified":
        index.verified(A, before)
    elif how == "gone":
        index.gone(CONFIG_MAP, A, "6")
    elif how == "written":
        write(index, applied(version="6"))
    else:
        index.observed(CONFIG_MAP, applied(version="6", digest="", managedFields=[]))
    index.observed(CONFIG_MAP, applied("b", version="7"))
    live = index.get(ref("b"))
    assert live is not None
    assert live.snapshot is not None


def test_one_snapshot_of_an_object_has_room_however_often_it_changes() -> None:
    index = LiveIndex(lambda owner, ref: None, snapshot_bytes=len(orjson.dumps(applied(version="10"))))
    for version in range(10, 60):
        index.observed(CONFIG_MAP, applied(version=str(version)))
        live = index.get(A)
        assert live is not None
        assert live.snapshot is not None


def test_a_snapshot_takes_no_more_than_its_text(index: LiveIndex) -> None:
    tracemalloc.start()
    try:
        index.observed(CONFIG_MAP, applied(version="5"))
        live = index.get(A)
        assert live is not None
        assert live.snapshot is not None
        (trace,) = (
            each for each in tracemalloc.take_snapshot().traces if tracemalloc.get_object_traceback(live.snapshot) == each.traceback
        )
    finally:
        tracemalloc.stop()
    assert trace.size < len(live.snapshot) + 64


# -- what it costs -----------------------------------------------------------------------------------------------------


def test_nothing_is_left_of_owners_that_an_object_had(index: LiveIndex) -> None:
    """Anybody may label objects with whatever they like, as often as they like."""
    for version in range(1, 101):
        index.observed(CONFIG_MAP, applied(version=str(version), owner=f"applyset-{version}-v1"))
        index.observed(CONFIG_MAP, applied("copy", version=str(version), owner=f"applyset-copy-{version}-v1", digest=""))
    assert (len(index._members), len(index._joined)) == (2, 2)
    for name in ("a", "copy"):
        index.gone(CONFIG_MAP, ref(name), "1000")
    assert (index._members, index._joined) == ({}, {})


def test_another_member_is_another_number_also_after_there_was_none(index: LiveIndex) -> None:
    found = [index.membership_of(OWNER)]
    for version in (1, 3):
        index.observed(CONFIG_MAP, applied(version=str(version)))
        found.append(index.membership_of(OWNER))
        index.gone(CONFIG_MAP, A, str(version + 1))
    assert found[0] == index.membership_of(OWNER) == 0
    assert len(set(found)) == 3
