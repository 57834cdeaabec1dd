"""Decisions about what left Git.

Aspects: every row of the table in plan/prune.py · what is left over and in which order it goes · what holds a prune · what is kept and by whom · what
is let go · limits · approvals · what is put off · reading `spec.prune`.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from cvstate_operator.api.prune import Prune
from cvstate_operator.objects.directives import Directives
from cvstate_operator.objects.identity import ApiResource, Gvk
from cvstate_operator.objects.live import Live
from cvstate_operator.plan import prune
from cvstate_operator.plan.changes import Action, Change
from cvstate_operator.plan.prune import PruneGuard, Pruning
from tests.unit.builders import CONFIG_MAP, CRD, DEPLOYMENT, NAMESPACE, OWNER, RIVAL, SECRET, WEBHOOK, WIDGET, live, ref

SURE = PruneGuard(complete=True, fresh=True, applied=True, observed=True)
INCOMPLETE = replace(SURE, complete=False)
DESIRED = ref("desired")
NO_LIMITS = {"max_deletes": 1000, "max_percent": 100, "protected_kinds": []}


def pruned(
    *gone: Live,
    guard: PruneGuard = SURE,
    claims: Mapping[str, str] | None = None,
    policies: Mapping[str, str] | None = None,
    approved: str = "",
    deferral: str = "",
    stay: int = 1,
    **spec: Any,
) -> Pruning:
    """What becomes of these objects, o0, o1, …, none of which is desired, beside `stay` that are; without limits unless `spec` says otherwise."""
    cluster = {ref(f"o{i}", of=one.resource): one for i, one in enumerate(gone)}
    desired = [DESIRED, *(ref(f"d{i}") for i in range(1, stay))][:stay]
    return prune.decide(
        cluster | dict.fromkeys(desired, live()),
        desired,
        guard,
        owner=OWNER,
        spec=Prune(**{**NO_LIMITS, **spec}),
        claimant=lambda ref: (claims or {}).get(ref.name, ""),
        policy=lambda change: (policies or {}).get(change.ref.name, "Enabled"),
        approved=lambda change: change.ref.name in approved.split(),
        deferral=deferral,
    )


def names(*changes: Change) -> str:
    return " ".join(change.ref.name for change in changes)


def fate(found: Pruning) -> dict[str, str]:
    """Which list each object is in."""
    lists = {
        "doomed": [change.ref for change in found.doomed],
        "deferred": [change.ref for change in found.deferred],
        "waiting": [change.ref for waiting in found.waiting for change in waiting.changes],
        "held": found.held,
        "kept": [ref for kept in found.kept for ref in kept.refs],
    }
    return {ref.name: name for name, refs in lists.items() for ref in refs}


# What is left over


def test_members_that_are_not_desired_are_left_over() -> None:
    members = {ref("kept"): live(), ref("gone"): live()}
    assert prune.leftovers(members, [ref("kept"), ref("new")]) == [Change(ref("gone"), Action.PRUNE, None, members[ref("gone")])]


def test_left_over_objects_go_gates_first_and_foundations_last() -> None:
    gone = [live(of=of) for of in (NAMESPACE, DEPLOYMENT, SECRET, WEBHOOK, CRD, CONFIG_MAP)]
    assert [change.ref.kind for change in pruned(*gone).doomed] == [
        "ValidatingWebhookConfiguration",
        "Deployment",
        "ConfigMap",
        "Secret",
        "Namespace",
        "CustomResourceDefinition",
    ]


def test_what_an_annotation_put_into_a_later_wave_goes_earlier() -> None:
    first, last = (replace(live(of=of), directives=Directives(wave=wave)) for of, wave in ((NAMESPACE, 1), (WEBHOOK, -1)))
    assert names(*pruned(last, live(), first).doomed) == "o2 o1 o0"


@pytest.mark.parametrize(
    "one",
    [
        pytest.param(live(terminating=True), id="being-deleted"),
        pytest.param(live(owner=RIVAL), id="another-owners"),
        pytest.param(replace(live(digest=""), applied=False), id="label-only"),
        pytest.param(replace(live(), applied=False, controller="Service s"), id="label-copied-by-a-controller"),
    ],
)
def test_what_is_not_ours_or_goes_already_is_in_no_list(one: Live) -> None:
    assert pruned(one) == Pruning()


def test_what_is_desired_is_in_no_list() -> None:
    found = pruned(live(), stay=3)
    assert fate(found) == {"o0": "doomed"}
    assert found.free == (ref("o0"),)


# Rows of the table

DOUBTS = [
    pytest.param(INCOMPLETE, "not every file", id="incomplete"),
    pytest.param(replace(SURE, fresh=False), "there may be a newer commit", id="stale"),
    pytest.param(replace(SURE, applied=False), "not everything is applied yet", id="not-applied"),
    pytest.param(replace(SURE, observed=False), "not every kind can be seen", id="not-observed"),
]
UNCERTAIN = [
    pytest.param(replace(live(), applied=False), id="managed-fields-stripped"),
    pytest.param(replace(live(), controller="Database d"), id="taken-by-a-controller"),
]
KEPT = [
    pytest.param({"enabled": False}, "spec.prune.enabled: false; ", id="switched-off"),
    pytest.param({"protected_kinds": ["ConfigMap"]}, "spec.prune.protectedKinds; ", id="protected-kind"),
    pytest.param({"policies": {"o0": "Disabled"}}, "its annotation cvstate.io/prune: Disabled", id="annotation"),
]


def test_what_we_made_and_nobody_else_wants_is_doomed() -> None:
    found = pruned(live())
    assert found == Pruning(doomed=(Change(ref("o0"), Action.PRUNE, None, live()),), free=(ref("o0"),))


@pytest.mark.parametrize(("guard", "words"), DOUBTS)
def test_each_doubt_alone_holds_everything_and_says_why(guard: PruneGuard, words: str) -> None:
    found = pruned(live(), live(), guard=guard)
    assert fate(found) == {"o0": "held", "o1": "held"}
    assert words in found.objection


@pytest.mark.parametrize(("guard", "words"), DOUBTS)
def test_no_approval_overrides_a_doubt(guard: PruneGuard, words: str) -> None:
    assert fate(pruned(live(), guard=guard, approved="o0")) == {"o0": "held"}


@pytest.mark.parametrize("one", UNCERTAIN)
def test_what_may_not_be_our_work_is_held_with_a_remedy_and_holds_nothing_else(one: Live) -> None:
    found = pruned(one, live())
    assert fate(found) == {"o0": "held", "o1": "doomed"}
    assert "managedFields" in found.objection
    assert "remove their label" in found.objection


@pytest.mark.parametrize("one", UNCERTAIN)
def test_no_approval_deletes_what_may_not_be_our_work(one: Live) -> None:
    assert fate(pruned(one, approved="o0")) == {"o0": "held"}


@pytest.mark.parametrize(("settings", "by"), KEPT)
@pytest.mark.parametrize("guard", [SURE, INCOMPLETE], ids=["sure", "in-doubt"])
@pytest.mark.parametrize("approved", ["", "o0"], ids=["unasked", "approved"])
def test_what_the_user_keeps_is_kept_whatever_else(settings: dict[str, Any], by: str, guard: PruneGuard, approved: str) -> None:
    found = pruned(live(), guard=guard, approved=approved, **settings)
    (kept,) = found.kept
    assert (fate(found), found.objection) == ({"o0": "kept"}, "")
    assert kept.by.startswith(by)


def test_each_setting_names_what_it_keeps_and_the_others_go() -> None:
    found = pruned(live(), live(of=SECRET), live(), protected_kinds=["Secret"], policies={"o0": "Disabled"})
    assert fate(found) == {"o0": "kept", "o1": "kept", "o2": "doomed"}
    assert [kept.refs for kept in found.kept] == [(ref("o0"),), (ref("o1", of=SECRET),)]


PROJECT = ApiResource(Gvk("example.io", "v1", "Namespace"), "namespaces", True)


@pytest.mark.parametrize(
    ("entry", "kept"),
    [
        pytest.param("Namespace", {"o0", "o1"}, id="of-any-group"),
        pytest.param("Namespace.example.io", {"o1"}, id="of-one-group"),
        pytest.param("Namespace.other.io", set[str](), id="of-another-group"),
        pytest.param("Widget", {"o2"}, id="of-a-group-that-is-not-named"),
    ],
)
def test_a_protected_kind_may_name_its_group(entry: str, kept: set[str]) -> None:
    found = fate(pruned(live(of=NAMESPACE), live(of=PROJECT), live(of=WIDGET), protected_kinds=[entry]))
    assert {name for name, where in found.items() if where == "kept"} == kept


def test_what_another_clusterstate_declares_is_let_go_and_not_deleted() -> None:
    found = pruned(live(), live(), claims={"o0": "ClusterState x/y"})
    assert fate(found) == {"o0": "kept", "o1": "doomed"}
    assert (found.free, found.handed_over) == ((ref("o0"), ref("o1")), (ref("o0"),))
    assert found.kept[0].by.startswith("ClusterState x/y")


def test_two_that_wait_for_each_others_objects_let_go_all_the_same() -> None:
    """What was declared by another could not be applied yet: that holds deletes, not what is handed over."""
    found = pruned(live(), live(), guard=replace(SURE, applied=False), claims={"o0": "ClusterState x/y"})
    assert (found.free, found.handed_over, found.held) == ((ref("o0"), ref("o1")), (ref("o0"),), (ref("o1"),))


@pytest.mark.parametrize("guard", [INCOMPLETE, replace(SURE, fresh=False)], ids=["incomplete", "stale"])
def test_nothing_is_let_go_while_it_is_not_sure_what_git_declares(guard: PruneGuard) -> None:
    found = pruned(live(), live(), guard=guard, claims={"o0": "ClusterState x/y"})
    assert (found.free, found.handed_over, fate(found)) == ((), (), {"o0": "held", "o1": "held"})


def test_what_a_controller_holds_is_not_handed_over() -> None:
    found = pruned(replace(live(), controller="Database d"), claims={"o0": "ClusterState x/y"})
    assert (found.free, found.handed_over, found.held) == ((), (), (ref("o0"),))


# Empty commits


def test_an_empty_commit_deletes_nothing_approved_or_not_and_lets_nothing_go() -> None:
    found = pruned(live(), live(), stay=0, approved="o0 o1", claims={"o0": "ClusterState x/y"})
    assert fate(found) == {"o0": "held", "o1": "held"}
    assert "spec.prune.allowEmpty" in found.objection
    assert found.free == ()


def test_an_empty_commit_that_is_meant_deletes_within_the_limits() -> None:
    assert fate(pruned(live(), live(), stay=0, allow_empty=True)) == {"o0": "doomed", "o1": "doomed"}
    assert fate(pruned(live(), live(), stay=0, allow_empty=True, max_percent=99)) == {"o0": "waiting", "o1": "waiting"}


def test_all_files_being_wrong_is_not_taken_for_an_empty_commit() -> None:
    assert "not every file" in pruned(live(), stay=0, guard=INCOMPLETE, allow_empty=True).objection


# Limits


@pytest.mark.parametrize(
    ("gone", "stay", "limits", "goes"),
    [
        pytest.param(10, 90, {"max_deletes": 10}, True, id="as-many-as-allowed"),
        pytest.param(11, 89, {"max_deletes": 10}, False, id="one-more-than-allowed"),
        pytest.param(1, 99, {"max_deletes": 0}, False, id="none-allowed"),
        pytest.param(20, 80, {"max_percent": 20}, True, id="as-many-percent-as-allowed"),
        pytest.param(21, 79, {"max_percent": 20}, False, id="one-percent-more"),
        pytest.param(2, 7, {"max_percent": 20}, False, id="percentage-rounded-down"),
        pytest.param(1, 0, {"max_percent": 0, "allow_empty": True}, True, id="one-may-always-go"),
        pytest.param(2, 98, {"max_percent": 0}, False, id="but-not-two"),
        pytest.param(1, 0, {"max_deletes": 0, "allow_empty": True}, False, id="not-even-one-if-the-count-says-so"),
        pytest.param(11, 89, {"max_deletes": 10, "max_percent": 20}, False, id="percentage-alone-does-not-help"),
        pytest.param(9, 11, {"max_deletes": 10, "max_percent": 20}, False, id="count-alone-does-not-help"),
        pytest.param(500, 0, {"allow_empty": True}, True, id="both-switched-off"),
    ],
)
def test_a_prune_goes_as_a_whole_or_waits_as_a_whole(gone: int, stay: int, limits: dict[str, Any], goes: bool) -> None:
    found = pruned(*[live()] * gone, stay=stay, **limits)
    assert (len(found.doomed), sum(len(waiting.changes) for waiting in found.waiting)) == ((gone, 0) if goes else (0, gone))


@pytest.mark.parametrize("members", range(2, 101))
def test_sixty_percent_of_anything_but_a_single_object_wait(members: int) -> None:
    gone = max(2, -(-members * 6 // 10))
    found = pruned(*[live()] * gone, stay=members - gone, max_percent=20, allow_empty=True)
    assert (found.doomed, found.deferred, len(found.waiting[0].changes)) == ((), (), gone)


@pytest.mark.parametrize(
    ("gone", "stay", "message"),
    [
        pytest.param(
            12,
            88,
            "12 of 100 objects would go at once, but spec.prune.maxDeletes allows 10; "
            "approve the plan (`cvstate approve NAME -n NAMESPACE`), or raise spec.prune.maxDeletes",
            id="count",
        ),
        pytest.param(
            3,
            8,
            "3 of 11 objects would go at once, but spec.prune.maxPercent (20 %) allows 2; "
            "approve the plan (`cvstate approve NAME -n NAMESPACE`), or raise spec.prune.maxPercent",
            id="percentage",
        ),
        pytest.param(
            30,
            20,
            "30 of 50 objects would go at once, but spec.prune.maxDeletes allows 10 and spec.prune.maxPercent (20 %) allows 10; "
            "approve the plan (`cvstate approve NAME -n NAMESPACE`), or raise spec.prune.maxDeletes and spec.prune.maxPercent",
            id="both",
        ),
    ],
)
def test_the_objection_names_the_numbers_the_limits_and_the_remedy(gone: int, stay: int, message: str) -> None:
    (waiting,) = pruned(*[live()] * gone, stay=stay, max_deletes=10, max_percent=20).waiting
    assert waiting.objection == message


@pytest.mark.parametrize(
    ("others", "settings"),
    [
        pytest.param([live(of=SECRET)] * 5, {"protected_kinds": ["Secret"]}, id="protected"),
        pytest.param([live()] * 5, {"policies": {f"o{i}": "Disabled" for i in range(2, 7)}}, id="kept-by-annotation"),
        pytest.param([live()] * 5, {"policies": {f"o{i}": "Confirm" for i in range(2, 7)}}, id="to-be-confirmed"),
        pytest.param([live()] * 5, {"claims": {f"o{i}": "ClusterState x/y" for i in range(2, 7)}}, id="handed-over"),
        pytest.param([live()] * 5, {"approved": "o2 o3 o4 o5 o6"}, id="approved"),
        pytest.param([replace(live(), controller="Database d")] * 5, {}, id="held"),
        pytest.param([live(terminating=True)] * 5, {}, id="going-already"),
        pytest.param([live(owner=RIVAL)] * 5, {}, id="another-owners"),
    ],
)
def test_only_what_would_go_unasked_is_counted(others: list[Live], settings: dict[str, Any]) -> None:
    found = fate(pruned(live(), live(), *others, max_deletes=2, **settings))
    assert (found["o0"], found["o1"]) == ("doomed", "doomed")


@pytest.mark.parametrize("one", [live(terminating=True), live(owner=RIVAL)], ids=["going-already", "another-owners"])
def test_only_members_that_stay_make_a_percentage(one: Live) -> None:
    assert fate(pruned(live(), live(), *[one] * 50, stay=7, max_percent=20)) == {"o0": "waiting", "o1": "waiting"}


@pytest.mark.parametrize("percent", [0, 10, 20, 33, 50, 99, 100])
@pytest.mark.parametrize("members", [1, 2, 5, 10, 33])
def test_a_prune_that_was_cut_short_stays_within_its_limits(percent: int, members: int) -> None:
    settings = {"max_percent": percent, "allow_empty": True}
    most = max(gone for gone in range(1, members + 1) if pruned(*[live()] * gone, stay=members - gone, **settings).doomed)
    for rest in range(most, 0, -1):
        assert len(pruned(*[live()] * rest, stay=members - most, **settings).doomed) == rest


# Approvals


def test_what_is_above_the_limits_goes_when_it_is_approved() -> None:
    assert fate(pruned(live(), live(), max_deletes=0, approved="o0 o1")) == {"o0": "doomed", "o1": "doomed"}


def test_what_was_approved_goes_and_the_others_wait() -> None:
    found = pruned(live(), live(), live(), max_deletes=1, approved="o1")
    assert fate(found) == {"o0": "waiting", "o1": "doomed", "o2": "waiting"}
    assert found.waiting[0].objection.startswith("2 of 4 objects")


def test_an_approval_of_something_else_changes_nothing() -> None:
    assert fate(pruned(live(), live(), max_deletes=1, approved="desired o7")) == {"o0": "waiting", "o1": "waiting"}


@pytest.mark.parametrize("policy", ["Confirm", "confrim", ""])
def test_an_annotation_that_is_not_plainly_enabled_asks_for_an_approval_whatever_the_counts(policy: str) -> None:
    found = pruned(live(), live(), policies={"o0": policy})
    assert fate(found) == {"o0": "waiting", "o1": "doomed"}
    assert "cvstate.io/prune: Confirm" in found.waiting[0].objection
    assert "cvstate approve" in found.waiting[0].objection


def test_what_asks_for_an_approval_goes_with_one() -> None:
    assert fate(pruned(live(), policies={"o0": "Confirm"}, approved="o0")) == {"o0": "doomed"}


def test_what_waits_for_itself_and_what_waits_with_all_are_told_apart() -> None:
    found = pruned(live(), live(), live(), policies={"o1": "Confirm"}, max_deletes=1)
    assert [names(*waiting.changes) for waiting in found.waiting] == ["o1", "o0 o2"]


def test_approved_or_not_the_order_of_deletes_is_the_same() -> None:
    gone = [live(of=NAMESPACE), live(of=WEBHOOK), live(), live(of=CRD)]
    assert names(*pruned(*gone, approved="o0 o2").doomed) == names(*pruned(*gone).doomed) == "o1 o2 o0 o3"


# What is put off


def test_what_may_not_be_written_now_is_put_off_with_the_reason_and_not_lost() -> None:
    found = pruned(live(), live(), approved="o1", deferral="outside spec.windows[0]")
    assert (names(*found.deferred), found.deferral, found.doomed) == ("o0 o1", "outside spec.windows[0]", ())


def test_what_waits_or_is_held_is_not_put_off_but_told_as_what_it_is() -> None:
    found = pruned(replace(live(), controller="Database d"), live(), policies={"o1": "Confirm"}, deferral="suspended")
    assert (fate(found), found.deferral) == ({"o0": "held", "o1": "waiting"}, "")


# spec.prune


def test_every_field_has_a_default() -> None:
    found = Prune()
    assert (found.enabled, found.max_deletes, found.max_percent, found.allow_empty) == (True, 10, 20, False)
    assert found.protected_kinds == ["Namespace", "PersistentVolumeClaim", "CustomResourceDefinition"]


def test_names_are_read_in_camel_case() -> None:
    raw = {"maxDeletes": 0, "maxPercent": 100, "allowEmpty": True, "protectedKinds": ["CephCluster.ceph.rook.io"]}
    assert Prune.model_validate(raw) == Prune(
        max_deletes=0, max_percent=100, allow_empty=True, protected_kinds=["CephCluster.ceph.rook.io"]
    )


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        pytest.param({"maxDeletes": -1}, "maxDeletes", id="less-than-none"),
        pytest.param({"maxDeletes": 1.5}, "maxDeletes", id="half-an-object"),
        pytest.param({"maxPercent": -1}, "maxPercent", id="less-than-no-percent"),
        pytest.param({"maxPercent": 101}, "maxPercent", id="more-than-all"),
        pytest.param({"protectedKinds": ["namespace"]}, "protectedKinds", id="a-kind-that-would-protect-nothing"),
        pytest.param({"protectedKinds": ["apps/Deployment"]}, "protectedKinds", id="a-kind-spelt-as-nobody-reads-it"),
        pytest.param({"protectedKinds": ["Secret"] * 65}, "protectedKinds", id="too-many-kinds"),
    ],
)
def test_what_cannot_be_meant_is_refused(raw: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        Prune.model_validate(raw)


def test_the_schema_has_the_same_ranges() -> None:
    fields = Prune.model_json_schema()["properties"]
    assert fields["maxDeletes"]["minimum"] == 0
    assert (fields["maxPercent"]["minimum"], fields["maxPercent"]["maximum"]) == (0, 100)
    assert fields["protectedKinds"]["items"]["pattern"]
