"""Decisions.

Aspects: every row of the table in plan/changes.py · what is left over and in which order it goes · what holds a prune · what is kept and by whom ·
what is let go.
"""

from dataclasses import replace

import pytest

from cvstate_operator.objects.identity import ApiResource
from cvstate_operator.objects.live import Live
from cvstate_operator.objects.ordering import Wave
from cvstate_operator.plan.changes import Action, Change, Hold, PruneGuard, Pruning, decide, leftovers, prune
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


SURE = PruneGuard(complete=True, empty=False, applied=True, observed=True)


def test_a_prune_is_allowed_if_everything_is_sure() -> None:
    assert SURE.objection == ""


@pytest.mark.parametrize(
    ("guard", "words"),
    [
        pytest.param(replace(SURE, complete=False), "not every file", id="incomplete"),
        pytest.param(replace(SURE, empty=True), "no objects at all", id="empty"),
        pytest.param(replace(SURE, applied=False), "not everything could be applied", id="not-applied"),
        pytest.param(replace(SURE, observed=False), "not every kind can be seen", id="not-observed"),
    ],
)
def test_each_doubt_alone_holds_a_prune_and_says_why(guard: PruneGuard, words: str) -> None:
    assert words in guard.objection


def pruned(
    *members: Live, guard: PruneGuard = SURE, enabled: bool = True, protected: tuple[str, ...] = (), claims: dict[str, str] | None = None
) -> Pruning:
    """What becomes of these members, o0, o1, …, none of which is desired."""
    surplus = leftovers({ref(f"o{i}", of=member.resource): member for i, member in enumerate(members)}, [])
    return prune(surplus, guard, enabled=enabled, protected_kinds=protected, claimant=lambda ref: (claims or {}).get(ref.name, ""))


def test_what_we_made_and_nobody_else_wants_is_doomed() -> None:
    found = pruned(live())
    assert [change.ref for change in found.doomed] == [ref("o0")]
    assert (found.held, found.objection, found.kept, found.handed_over) == ((), "", (), ())


@pytest.mark.parametrize(
    "member",
    [
        pytest.param(replace(live(), applied=False), id="managed-fields-stripped"),
        pytest.param(replace(live(), controller="Database d"), id="taken-by-a-controller"),
    ],
)
def test_what_may_not_be_our_work_is_held_with_a_remedy_and_holds_nothing_else(member: Live) -> None:
    found = pruned(member, live())
    assert found.held == (ref("o0"),)
    assert [change.ref for change in found.doomed] == [ref("o1")]
    assert "managedFields" in found.objection
    assert "remove their label" in found.objection


def test_a_doubt_holds_everything_and_lets_nothing_go() -> None:
    guard = replace(SURE, complete=False)
    found = pruned(live(), live(), guard=guard, claims={"o0": "ClusterState x/y"})
    assert (found.doomed, found.held, found.objection) == ((), (ref("o0"), ref("o1")), guard.objection)
    assert (found.free, found.kept) == ((), ())


@pytest.mark.parametrize("guard", [SURE, replace(SURE, complete=False)], ids=["sure", "in-doubt"])
def test_what_a_setting_keeps_is_no_doubt(guard: PruneGuard) -> None:
    found = pruned(live(), live(of=NAMESPACE), guard=guard, enabled=False)
    assert (found.doomed, found.held, found.objection) == ((), (), "")
    ((kept),) = found.kept
    assert set(kept.refs) == {ref("o0"), ref("o1", of=NAMESPACE)}
    assert kept.by.startswith("spec.prune.enabled: false; ")


def test_a_protected_kind_is_kept_and_the_others_go() -> None:
    found = pruned(live(), live(of=NAMESPACE), protected=("Namespace",))
    assert [change.ref for change in found.doomed] == [ref("o0")]
    ((kept),) = found.kept
    assert kept.refs == (ref("o1", of=NAMESPACE),)
    assert kept.by.startswith("spec.prune.protectedKinds; ")


def test_what_another_clusterstate_declares_is_let_go_and_not_deleted() -> None:
    found = pruned(live(), live(), claims={"o0": "ClusterState x/y"})
    assert [change.ref for change in found.doomed] == [ref("o1")]
    assert (found.free, found.handed_over) == ((ref("o0"), ref("o1")), (ref("o0"),))
    assert found.kept[0].by.startswith("ClusterState x/y")


def test_two_that_wait_for_each_others_objects_let_go_all_the_same() -> None:
    """What was declared by another could not be applied yet: that holds deletes, not what is handed over."""
    found = pruned(live(), live(), guard=replace(SURE, applied=False), claims={"o0": "ClusterState x/y"})
    assert (found.free, found.handed_over, found.held) == ((ref("o0"), ref("o1")), (ref("o0"),), (ref("o1"),))


def test_what_a_controller_holds_is_not_handed_over() -> None:
    found = pruned(replace(live(), controller="Database d"), claims={"o0": "ClusterState x/y"})
    assert (found.free, found.handed_over, found.held) == ((), (), (ref("o0"),))
