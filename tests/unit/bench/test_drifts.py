"""The plan of drift.

Aspects: same seed, same plan · shares, rate and order · each object once, half of them never · every sort makes its object wrong, and what undoes it right ·
what nobody declared makes nothing wrong · repeated edits.
"""

import copy
from collections import Counter
from typing import Any

import pytest

from bench import comparison, drifts, objects
from bench.drifts import SHARES, Drift, Sort

DECLARED = objects.parse(objects.files(1000, seed=7).values())
PLAN = drifts.plan(DECLARED, rate=20, seconds=20, seed=7)


def merged(body: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    found = dict(body) if isinstance(body, dict) else {}
    for name, value in patch.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = merged(found.get(name), value)
    return found


def drifted(drift: Drift) -> Any:
    """The object as it is after the drift; None: gone."""
    return None if drift.patch is None else merged(copy.deepcopy(DECLARED[drift.path]), drift.patch)


def test_the_same_seed_makes_the_same_plan_and_another_another():
    assert drifts.plan(DECLARED, rate=20, seconds=20, seed=7) == PLAN
    assert drifts.plan(DECLARED, rate=20, seconds=20, seed=8) != PLAN


def test_sorts_have_their_shares():
    tens = PLAN[: len(PLAN) // 10 * 10]
    assert Counter(drift.sort for drift in tens) == {sort: share * len(tens) // 10 for sort, share in SHARES.items()}


def test_times_are_in_order_within_the_time_and_about_as_many_as_the_rate_says():
    times = [drift.seconds for drift in PLAN]
    assert times == sorted(times)
    assert 0 < times[0] < times[-1] < 20
    assert 320 < len(PLAN) < 480


def test_each_object_drifts_once_and_half_of_them_never():
    long = drifts.plan(DECLARED, rate=100, seconds=120, seed=7)
    assert len({drift.path for drift in long}) == len(long) <= len(DECLARED) // 2


@pytest.mark.parametrize("sort", [Sort.FIELD, Sort.LABEL, Sort.ADDED, Sort.DELETED])
def test_what_has_to_be_repaired_is_wrong_after_the_drift_and_right_as_declared(sort: Sort):
    some = [drift for drift in PLAN if drift.sort is sort]
    assert some
    for drift in some:
        live = drifted(drift)
        assert live is None or not comparison.holds(drift.wanted, live)
        assert comparison.holds(drift.wanted, DECLARED[drift.path])


def test_a_field_that_nobody_declared_leaves_the_object_as_declared():
    some = [drift for drift in PLAN if drift.sort is Sort.UNDECLARED]
    assert {DECLARED[drift.path]["kind"] for drift in some} == set(objects.KINDS)
    for drift in some:
        assert comparison.holds(DECLARED[drift.path], drifted(drift))
        assert comparison.holds(drift.wanted, drifted(drift))
        assert not comparison.holds(drift.wanted, DECLARED[drift.path])


def test_every_kind_is_edited_and_some_objects_lose_every_label():
    assert {DECLARED[drift.path]["kind"] for drift in PLAN if drift.sort is Sort.FIELD} == set(objects.KINDS)
    assert any(drift.patch == {"metadata": {"labels": None}} for drift in PLAN)


def test_two_edits_of_one_object_differ():
    path = next(iter(DECLARED))
    [one], [two] = (drifts.edits(DECLARED, [path], value) for value in ("a", "b"))
    assert one.patch != two.patch
    assert not comparison.holds(one.wanted, drifted(one))
