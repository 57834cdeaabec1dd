"""Decisions.

Aspects: every row of the table in plan/changes.py · what is left over and in which order it goes · what holds a prune.
"""

from dataclasses import replace

import pytest

from cvstate_operator.objects.identity import ApiResource
from cvstate_operator.objects.live import Live
from cvstate_operator.objects.ordering import Wave
from cvstate_operator.plan.changes import Action, Change, Hold, PruneGuard, decide, leftovers
from tests.unit.builders import CONFIG_MAP, CRD, DEPLOYMENT, NAMESPACE, OWNER, RIVAL, SECRET, WEBHOOK, live, manifest, ref


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
    assert Change(ref(of=of), Action.CREATE, manifest(of=of), None).wave is wave


def test_members_that_are_not_desired_are_left_over() -> None:
    members = {ref("kept"): live(), ref("gone"): live()}
    assert leftovers(members, [ref("kept"), ref("new")]) == (Change(ref("gone"), Action.PRUNE, None, members[ref("gone")]),)


def test_what_is_on_its_way_out_already_is_not_left_over() -> None:
    assert leftovers({ref("a"): live(terminating=True)}, []) == ()


def test_left_over_objects_go_gates_first_and_foundations_last() -> None:
    members = {ref("x", of=of): live(of=of) for of in (NAMESPACE, DEPLOYMENT, SECRET, WEBHOOK, CRD, CONFIG_MAP)}
    assert [change.ref.kind for change in leftovers(members, [])] == [
        "ValidatingWebhookConfiguration",
        "Deployment",
        "ConfigMap",
        "Secret",
        "Namespace",
        "CustomResourceDefinition",
    ]


SURE = PruneGuard(enabled=True, complete=True, empty=False, applied=True, observed=True)


def test_a_prune_is_allowed_if_everything_is_sure() -> None:
    assert SURE.objection == ""


@pytest.mark.parametrize(
    ("guard", "words"),
    [
        pytest.param(replace(SURE, enabled=False), "spec.prune.enabled", id="switched-off"),
        pytest.param(replace(SURE, complete=False), "not every file", id="incomplete"),
        pytest.param(replace(SURE, empty=True), "no objects at all", id="empty"),
        pytest.param(replace(SURE, applied=False), "not everything could be applied", id="not-applied"),
        pytest.param(replace(SURE, observed=False), "not every kind can be seen", id="not-observed"),
    ],
)
def test_each_doubt_alone_holds_a_prune_and_says_why(guard: PruneGuard, words: str) -> None:
    assert words in guard.objection
