"""Decisions.

Aspects: every row of the table in plan/changes.py · whose turn is when. What is not desired is in tests/unit/plan/test_prune_guard.py.
"""

from dataclasses import replace

import pytest

from cvstate_operator.objects.directives import Directives
from cvstate_operator.objects.identity import ApiResource
from cvstate_operator.objects.live import Live
from cvstate_operator.objects.ordering import Wave
from cvstate_operator.plan.changes import Action, Change, Hold, decide
from tests.unit.builders import DEPLOYMENT, NAMESPACE, OWNER, RIVAL, live, manifest, ref


@pytest.mark.parametrize(
    ("seen", "was_applied", "expected"),
    [
        pytest.param(None, False, Action.CREATE, id="absent-and-new"),
        pytest.param(None, True, Action.REPAIR, id="absent-although-applied"),
        pytest.param(live(owner=RIVAL), True, Hold.OWNER_CONFLICT, id="owned-by-another"),
        pytest.param(live(owner=RIVAL, digest="d0", terminating=True), True, Hold.OWNER_CONFLICT, id="owned-by-another-whatever-else"),
        pytest.param(live(terminating=True), True, Hold.TERMINATING, id="being-deleted"),
        pytest.param(live(terminating=True, digest="d0"), True, Hold.TERMINATING, id="being-deleted-with-an-old-manifest"),
        pytest.param(live(digest="d0"), True, Action.UPDATE, id="applied-from-another-manifest"),
        pytest.param(live(digest="", baseline=None), False, Action.UPDATE, id="ours-by-label-never-applied"),
        pytest.param(live(digest="d0", fingerprint=b"drifted"), True, Action.UPDATE, id="another-manifest-and-drifted"),
        pytest.param(live(baseline=None), False, Action.VERIFY, id="unverified"),
        pytest.param(live(fingerprint=b"drifted"), True, Action.REPAIR, id="drifted"),
        pytest.param(live(), True, None, id="as-applied"),
        pytest.param(live(), False, None, id="as-applied-before-this-process"),
    ],
)
def test_each_situation_has_one_decision(seen: Live | None, was_applied: bool, expected: Action | Hold | None) -> None:
    found = decide(ref(), manifest(), seen, owner=OWNER, was_applied=was_applied)
    if isinstance(expected, Action):
        assert found == Change(ref(), expected, manifest(), seen)
    else:
        assert found is expected


@pytest.mark.parametrize(
    ("of", "wave"),
    [
        pytest.param(NAMESPACE, Wave.FOUNDATION, id="namespace"),
        pytest.param(DEPLOYMENT, Wave.MAIN, id="workload"),
    ],
)
def test_a_change_belongs_to_the_wave_of_its_kind(of: ApiResource, wave: Wave) -> None:
    assert Change(ref(of=of), Action.CREATE, manifest(of=of), None).wave == (0, wave)


def test_the_wave_that_an_object_names_counts_more_than_that_of_its_kind() -> None:
    last = Change(ref(of=NAMESPACE), Action.CREATE, replace(manifest(of=NAMESPACE), directives=Directives(wave=1)), None)
    first = Change(ref(of=DEPLOYMENT), Action.CREATE, replace(manifest(of=DEPLOYMENT), directives=Directives(wave=-1)), None)
    middle = Change(ref(of=DEPLOYMENT), Action.CREATE, manifest(of=DEPLOYMENT), None)
    assert sorted([last, middle, first], key=lambda change: change.wave) == [first, middle, last]


def test_what_is_to_be_deleted_is_in_the_wave_that_it_names_itself() -> None:
    assert Change(ref(), Action.PRUNE, None, replace(live(), directives=Directives(wave=7))).wave[0] == 7


def test_what_another_owner_let_go_is_taken_over() -> None:
    theirs = live(owner=RIVAL)
    taken = decide(ref(), manifest(), theirs, owner=OWNER, was_applied=False, is_free=True)
    assert taken == Change(ref(), Action.UPDATE, manifest(), theirs)


def test_what_another_owner_let_go_but_is_being_deleted_is_waited_for() -> None:
    theirs = live(owner=RIVAL, terminating=True)
    assert decide(ref(), manifest(), theirs, owner=OWNER, was_applied=False, is_free=True) is Hold.TERMINATING


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(replace(live(digest=""), applied=False), id="label-only"),
        pytest.param(replace(live(), applied=False, controller="Service s"), id="copied-by-a-controller"),
    ],
)
def test_an_object_with_a_copy_of_our_label_is_looked_at_before_it_is_written(seen: Live) -> None:
    assert decide(ref(), manifest(), seen, owner=OWNER, was_applied=True) == Change(ref(), Action.UPDATE, manifest(), None)
