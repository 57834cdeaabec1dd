"""Consent: which writes are approved, and until when.

Aspects: what makes two writes the same · the digest of a plan · consent goes by digest, through a plan that is known or through what waits now · it
goes on when writes are done or come up · forged plans and foreign approvals · expiry, to the microsecond · broken and hostile objects · effort.
"""

import base64
import time
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator.api.change_plan import MAX_FINGERPRINTS, ClusterStatePlanSpec, PlanAction
from cvstate_operator.objects.identity import ObjectRef
from cvstate_operator.plan import consent
from cvstate_operator.plan.consent import Approvals, Item, plan_digest

UID, OTHER_UID = "6e1c2f6e-0001-4a53-9d6e-000000000001", "6e1c2f6e-0002-4a53-9d6e-000000000002"
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)

PRUNE = Item(PlanAction.PRUNE, ObjectRef("", "ConfigMap", "web", "old"), "u1")
RECREATE = Item(PlanAction.RECREATE, ObjectRef("batch", "Job", "web", "migrate"), "u2", digest="d1")
DRIFT = Item(
    PlanAction.DRIFT, ObjectRef("apps", "StatefulSet", "web", "db"), "u3", "d2", "/spec/replicas", "2026-11-21T11:00:00Z", "hash-of-5"
)
LATER = Item(PlanAction.PRUNE, ObjectRef("", "Secret", "web", "new"), "u4")


def approval(digest: str, **spec: Any) -> dict[str, Any]:
    """A StateApproval, created an hour ago."""
    metadata = {"name": "a", "namespace": "team-a", "creationTimestamp": stamp(NOW - HOUR)}
    return {"metadata": metadata, "spec": {"planDigest": digest, "reason": "agreed", **spec}}


def plan(*items: Item, uid: str = UID, **spec: Any) -> dict[str, Any]:
    """A ClusterStatePlan, as the operator writes it."""
    owner = {"apiVersion": "cvstate.io/v1alpha1", "kind": "ClusterState", "name": "shop", "uid": uid}
    body = {"digest": plan_digest(uid, items), "fingerprints": consent.fingerprints(items), **spec}
    return {"metadata": {"namespace": "team-a", "ownerReferences": [owner]}, "spec": body}


def read(*approvals: Any, plans: Any = (), waiting: Any = ()) -> Approvals:
    return Approvals.read(cluster_state_uid=UID, namespace="team-a", approvals=approvals, plans=plans, waiting=waiting)


def covered(found: Approvals, *items: Item, now: datetime = NOW) -> list[bool]:
    return [found.covers(item, now) for item in items]


def stamp(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


# -- what a write is known by --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        replace(DRIFT, action=PlanAction.RECREATE),
        replace(DRIFT, ref=DRIFT.ref._replace(group="")),
        replace(DRIFT, ref=DRIFT.ref._replace(kind="Deployment")),
        replace(DRIFT, ref=DRIFT.ref._replace(namespace="")),
        replace(DRIFT, ref=DRIFT.ref._replace(name="dc")),
        replace(DRIFT, uid="u4"),
        replace(DRIFT, digest="d3"),
        replace(DRIFT, path="/spec/replica"),
        replace(DRIFT, since="2026-11-21T11:00:01Z"),
        replace(DRIFT, value="hash-of-6"),
    ],
)
def test_a_write_that_differs_in_anything_is_another_one(other: Item) -> None:
    assert other.fingerprint != DRIFT.fingerprint
    found = read(approval(plan_digest(UID, [DRIFT])), plans=[plan(DRIFT)])
    assert covered(found, DRIFT, other) == [True, False]


def test_every_field_of_a_write_counts() -> None:
    assert {field.name for field in fields(Item)} == {"action", "ref", "uid", "digest", "path", "since", "value"}


@given(st.lists(st.text(max_size=4), min_size=9, max_size=9), st.lists(st.text(max_size=4), min_size=9, max_size=9))
def test_text_that_moves_from_one_field_to_the_next_makes_another_write(first: list[str], second: list[str]) -> None:
    def item(texts: list[str]) -> Item:
        return Item(PlanAction.DRIFT, ObjectRef(*texts[:4]), *texts[4:])

    assert (item(first).fingerprint == item(second).fingerprint) == (first == second)
    moved = [first[0] + first[1], "", *first[2:]]
    assert (item(first).fingerprint == item(moved).fingerprint) == (first == moved)


def test_a_fingerprint_is_twelve_bytes_and_stays_the_same_over_versions() -> None:
    assert all(len(base64.urlsafe_b64decode(item.fingerprint)) == 12 for item in (PRUNE, RECREATE, DRIFT))
    # Written down: a new version of the operator must not void what was approved.
    assert DRIFT.fingerprint == "ZcvJtdSIyQOQmYu3"
    assert plan_digest(UID, [PRUNE, DRIFT]) == "sha256:9f844da9f5570964d0899335abd07d31050cece1ab72c7b024f6f164aabfd099"


# -- the digest of a plan ------------------------------------------------------------------------------------------


@given(st.permutations([PRUNE, RECREATE, DRIFT, LATER]), st.sampled_from([PRUNE, RECREATE]))
def test_the_digest_knows_no_order_and_no_repetition(items: list[Item], again: Item) -> None:
    assert plan_digest(UID, [*items, again]) == plan_digest(UID, [PRUNE, RECREATE, DRIFT, LATER])
    assert consent.fingerprints([*items, again]) == consent.fingerprints([PRUNE, RECREATE, DRIFT, LATER])


def test_plans_that_differ_in_one_write_or_in_their_clusterstate_have_different_digests() -> None:
    plans = [(UID, [PRUNE]), (UID, [PRUNE, DRIFT]), (UID, [DRIFT]), (UID, []), (OTHER_UID, [PRUNE]), (OTHER_UID, [])]
    assert len({plan_digest(uid, items) for uid, items in plans}) == len(plans)


def test_the_operators_plan_fits_the_schema() -> None:
    many = [replace(PRUNE, uid=str(number)) for number in range(MAX_FINGERPRINTS)]
    spec = {"clusterState": "shop", "digest": plan_digest(UID, many), "total": len(many), "fingerprints": consent.fingerprints(many)}
    assert len(ClusterStatePlanSpec.model_validate(spec).fingerprints) == MAX_FINGERPRINTS * 16


# -- what an approval approves -------------------------------------------------------------------------------------


def test_an_approval_covers_what_stands_in_the_plan_and_nothing_else() -> None:
    found = read(approval(plan_digest(UID, [PRUNE, DRIFT])), plans=[plan(PRUNE, DRIFT)])
    assert covered(found, PRUNE, DRIFT, RECREATE) == [True, True, False]


def test_without_an_approval_nothing_is_covered() -> None:
    assert covered(read(plans=[plan(PRUNE)], waiting=[PRUNE]), PRUNE) == [False]
    assert covered(Approvals(), PRUNE) == [False]


def test_a_plan_interrupted_half_way_goes_on() -> None:
    found = read(approval(plan_digest(UID, [PRUNE, RECREATE, DRIFT])), plans=[plan(PRUNE, RECREATE, DRIFT)], waiting=[DRIFT])
    assert covered(found, DRIFT) == [True]


def test_something_new_that_waits_is_not_approved_and_takes_consent_from_nothing() -> None:
    found = read(approval(plan_digest(UID, [PRUNE])), plans=[plan(PRUNE), plan(PRUNE, LATER)], waiting=[PRUNE, LATER])
    assert covered(found, PRUNE, LATER) == [True, False]


def test_what_waits_now_needs_no_plan_in_the_cluster() -> None:
    found = read(approval(plan_digest(UID, [PRUNE, DRIFT])), waiting=[DRIFT, PRUNE])
    assert covered(found, PRUNE, DRIFT, LATER) == [True, True, False]


def test_a_digest_that_nobody_knows_approves_nothing() -> None:
    found = read(approval(plan_digest(UID, [PRUNE])), plans=[plan(DRIFT)], waiting=[PRUNE, DRIFT])
    assert covered(found, PRUNE, DRIFT) == [False, False]


def test_several_approvals_add_up() -> None:
    found = read(approval(plan_digest(UID, [PRUNE])), approval(plan_digest(UID, [DRIFT])), plans=[plan(PRUNE), plan(DRIFT)])
    assert covered(found, PRUNE, DRIFT) == [True, True]


def test_a_plan_too_large_for_its_fingerprints_is_approved_while_nothing_changes() -> None:
    many = [replace(PRUNE, uid=str(number)) for number in range(MAX_FINGERPRINTS + 1)]
    assert consent.fingerprints(many) == ""
    plans = [plan(*many)]
    assert covered(read(approval(plan_digest(UID, many)), plans=plans, waiting=many), many[0], many[-1]) == [True, True]
    assert covered(read(approval(plan_digest(UID, many)), plans=plans, waiting=many[1:]), many[-1]) == [False]


# -- forged and foreign --------------------------------------------------------------------------------------------


def test_a_plan_with_anothers_digest_is_worthless() -> None:
    approved = plan_digest(UID, [PRUNE])
    forged = plan(DRIFT, digest=approved)
    assert covered(read(approval(approved), plans=[forged]), DRIFT) == [False]
    assert covered(read(approval(approved), plans=[forged, plan(PRUNE)]), PRUNE, DRIFT) == [True, False]


def test_a_plan_with_more_fingerprints_than_were_approved_is_worthless() -> None:
    more = consent.fingerprints([PRUNE]) + DRIFT.fingerprint
    assert covered(read(approval(plan_digest(UID, [PRUNE])), plans=[plan(PRUNE, fingerprints=more)]), PRUNE, DRIFT) == [False, False]


def test_a_plan_of_another_clusterstate_is_worthless_here() -> None:
    theirs = plan(PRUNE, uid=OTHER_UID)
    assert covered(read(approval(theirs["spec"]["digest"]), plans=[theirs]), PRUNE) == [False]
    renamed = plan(PRUNE, uid=OTHER_UID)
    renamed["metadata"]["ownerReferences"][0]["uid"] = UID
    assert covered(read(approval(renamed["spec"]["digest"]), plans=[renamed]), PRUNE) == [False]


def test_a_plan_that_nobody_owns_is_not_believed() -> None:
    orphan = plan(PRUNE)
    orphan["metadata"]["ownerReferences"] = []
    assert covered(read(approval(plan_digest(UID, [PRUNE])), plans=[orphan]), PRUNE) == [False]


def test_an_approval_in_another_namespace_approves_nothing() -> None:
    elsewhere = approval(plan_digest(UID, [PRUNE]))
    elsewhere["metadata"]["namespace"] = "team-b"
    assert covered(read(elsewhere, plans=[plan(PRUNE)], waiting=[PRUNE]), PRUNE) == [False]


# -- until when ----------------------------------------------------------------------------------------------------


MICROSECOND = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("spec", "end"),
    [
        pytest.param({}, NOW + 23 * HOUR, id="a day after creation"),
        pytest.param({"expiresAt": stamp(NOW + HOUR)}, NOW + HOUR, id="named"),
        pytest.param({"expiresAt": "2026-11-21T15:00:00.25+02:00"}, NOW + HOUR + timedelta(seconds=0.25), id="with fraction and zone"),
        pytest.param({"expiresAt": "2027-11-21T12:00:00Z"}, NOW.replace(year=2027), id="longer than a day"),
    ],
)
def test_an_approval_ends_at_its_moment(spec: dict[str, Any], end: datetime) -> None:
    found = read(approval(plan_digest(UID, [PRUNE]), **spec), waiting=[PRUNE])
    assert covered(found, PRUNE, now=end - MICROSECOND) == [True]
    assert covered(found, PRUNE, now=end) == [False]
    assert (found.next_expiry(end - MICROSECOND), found.next_expiry(end)) == (end, None)


def test_the_zone_of_the_clock_does_not_matter() -> None:
    found = read(approval(plan_digest(UID, [PRUNE]), expiresAt=stamp(NOW)), waiting=[PRUNE])
    kathmandu = timezone(timedelta(hours=5, minutes=45))
    assert covered(found, PRUNE, now=(NOW - MICROSECOND).astimezone(kathmandu)) == [True]
    assert covered(found, PRUNE, now=NOW.astimezone(kathmandu)) == [False]


def test_of_two_approvals_of_a_plan_the_longer_one_counts() -> None:
    digest = plan_digest(UID, [PRUNE])
    both = [approval(digest, expiresAt=stamp(NOW + hours * HOUR)) for hours in (1, 3, 2)]
    assert read(*both, waiting=[PRUNE]).next_expiry(NOW) == NOW + 3 * HOUR


def test_the_next_expiry_is_the_first_of_those_that_are_good() -> None:
    ends = {PRUNE: NOW - HOUR, DRIFT: NOW + HOUR, RECREATE: NOW + 2 * HOUR}
    approvals = [approval(plan_digest(UID, [item]), expiresAt=stamp(end)) for item, end in ends.items()]
    found = read(*approvals, plans=[plan(item) for item in ends])
    assert covered(found, *ends) == [False, True, True]
    assert found.next_expiry(NOW) == NOW + HOUR
    assert found.next_expiry(NOW + HOUR) == NOW + 2 * HOUR
    assert found.next_expiry(NOW + 2 * HOUR) is None


def test_an_approval_of_an_unknown_digest_has_no_expiry_to_wait_for() -> None:
    assert read(approval(plan_digest(UID, [PRUNE])), waiting=[DRIFT]).next_expiry(NOW) is None


def test_an_approval_that_is_being_deleted_approves_nothing() -> None:
    taken_back = approval(plan_digest(UID, [PRUNE]))
    taken_back["metadata"]["deletionTimestamp"] = stamp(NOW + HOUR)
    assert covered(read(taken_back, waiting=[PRUNE]), PRUNE) == [False]


def test_a_clock_without_a_zone_is_refused() -> None:
    found = read(approval(plan_digest(UID, [PRUNE])), waiting=[PRUNE])
    for ask in (lambda now: found.covers(PRUNE, now), found.next_expiry):
        with pytest.raises(ValueError, match="time zone"):
            ask(NOW.replace(tzinfo=None))


# -- broken and hostile --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "moment",
    [
        *("", "soon", "2099-01-01", "2099-01-01T00:00:00", "2099-01-01T00:00:00z", "2099-13-01T00:00:00Z", "2099-02-30T00:00:00Z"),
        *("2099-01-01T24:00:00Z", "2099-01-01T00:00:60Z", "2099-01-01T00:00:00Z\n", " 2099-01-01T00:00:00Z", "٢٠٩٩-01-01T00:00:00Z"),
        *("9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "0000-01-01T00:00:00Z", "2099-01-01T00:00:00+99:99"),
        *(None, 4070908800, True, ["2099-01-01T00:00:00Z"], {"seconds": 1}, "9" * 100_000),
    ],
)
def test_an_expiry_that_cannot_be_read_approves_nothing(moment: Any) -> None:
    digest = plan_digest(UID, [PRUNE])
    assert covered(read(approval(digest, expiresAt=moment), waiting=[PRUNE]), PRUNE) == [False]
    no_expiry = approval(digest)
    no_expiry["metadata"]["creationTimestamp"] = moment
    assert covered(read(no_expiry, waiting=[PRUNE]), PRUNE) == [False]


def test_a_creation_at_the_end_of_time_is_no_error() -> None:
    late = approval(plan_digest(UID, [PRUNE]))
    late["metadata"]["creationTimestamp"] = "9999-12-31T23:59:59Z"
    assert covered(read(late, waiting=[PRUNE]), PRUNE) == [False]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8) | st.just(UID) | st.just("team-a"),
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("metadata", "spec", "planDigest", "digest", "fingerprints", "ownerReferences", "uid"),
                    *("namespace", "expiresAt", "creationTimestamp", "deletionTimestamp", "x"),
                ]
            ),
            below,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.lists(JSON, max_size=3), st.lists(JSON, max_size=3))
def test_whatever_stands_in_the_cluster_nothing_raises_and_what_is_sound_still_counts(approvals: list[Any], plans: list[Any]) -> None:
    sound = approval(plan_digest(UID, [PRUNE]))
    found = read(*approvals, sound, plans=[*plans, plan(PRUNE)])
    assert covered(found, PRUNE, DRIFT) == [True, False]


@given(
    st.sampled_from(["planDigest", "expiresAt"]),
    st.sampled_from(["digest", "fingerprints"]),
    JSON,
)
def test_one_broken_field_approves_nothing(in_approval: str, in_plan: str, value: Any) -> None:
    digest = plan_digest(UID, [PRUNE])
    assert covered(read(approval(digest, **{in_approval: value}), plans=[plan(PRUNE)]), PRUNE) == [False]
    assert covered(read(approval(digest), plans=[plan(PRUNE, **{in_plan: value})]), PRUNE) == [False]
    broken = plan(PRUNE)
    broken["metadata"]["ownerReferences"] = value
    assert covered(read(approval(digest), plans=[broken]), PRUNE) in ([False], [_is_owner(value)])


def _is_owner(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(owner, dict) and owner.get("uid") == UID for owner in value)


def test_texts_with_half_characters_are_no_error() -> None:
    half = "\ud800"
    item = replace(PRUNE, uid=half)
    digest = plan_digest(half, [item])
    found = read(approval(plan_digest(UID, [item])), approval(half), plans=[plan(PRUNE, fingerprints=half)], waiting=[item])
    assert covered(found, item, PRUNE) == [True, False]
    assert digest != plan_digest(UID, [item])


# -- effort --------------------------------------------------------------------------------------------------------


def test_no_more_digests_are_followed_than_the_limit_and_those_that_last_longest() -> None:
    items = [replace(PRUNE, uid=str(number)) for number in range(consent.MAX_APPROVED + 5)]
    approvals = [approval(plan_digest(UID, [item]), expiresAt=stamp(NOW + (1 + number) * HOUR)) for number, item in enumerate(items)]
    found = read(*approvals, plans=[plan(item) for item in items])
    assert covered(found, *items) == [False] * 5 + [True] * consent.MAX_APPROVED


def test_a_text_of_fingerprints_longer_than_any_is_not_looked_at() -> None:
    huge = "A" * (16 * (MAX_FINGERPRINTS + 1))
    assert covered(read(approval(plan_digest(UID, [PRUNE])), plans=[plan(PRUNE, fingerprints=huge)]), PRUNE) == [False]


def test_twenty_thousand_writes_are_judged_in_a_moment() -> None:
    many = [replace(PRUNE, uid=str(number)) for number in range(MAX_FINGERPRINTS)]
    digest, started = plan_digest(UID, many), time.process_time()
    found = read(approval(digest), plans=[plan(*many)], waiting=many[1:])
    assert all(found.covers(item, NOW) for item in many)
    assert time.process_time() - started < 3
