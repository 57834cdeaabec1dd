"""Compliance: how far the cluster is as Git declares it.

Aspects: what each fault costs · nothing declared, nothing compared · what is known · a fault made right · counts that cannot be.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator.api.drift import Severity
from cvstate_operator.vital.verdicts import compliance
from cvstate_operator.vital.verdicts.compliance import TENTHS, Configuration, Doubt, Fault

ONE_OF_EACH = Configuration(20, dict.fromkeys(Severity, 1), failed=1, held=1, unjudged=1)


@pytest.mark.parametrize(
    ("configuration", "expected"),
    [
        pytest.param(Configuration(10), 1.0, id="as-declared"),
        pytest.param(Configuration(10, {Severity.LOW: 1}), 0.99, id="Low"),
        pytest.param(Configuration(10, {Severity.MEDIUM: 1}), 0.97, id="Medium"),
        pytest.param(Configuration(10, {Severity.HIGH: 1}), 0.94, id="High"),
        pytest.param(Configuration(10, {Severity.CRITICAL: 1}), 0.9, id="Critical"),
        pytest.param(Configuration(10, failed=1), 0.9, id="not-applied"),
        pytest.param(Configuration(10, held=1), 0.99, id="held"),
        pytest.param(Configuration(10, unjudged=1), 0.95, id="never-compared"),
        pytest.param(Configuration(10, unseen=10, is_source_fresh=False), 1.0, id="not-seen-now"),
        pytest.param(Configuration(10, {Severity.LOW: 2, Severity.HIGH: 3}, failed=1), 0.7, id="several"),
        pytest.param(Configuration(0), 1.0, id="nothing-declared"),
        pytest.param(Configuration(10, failed=99), 0.0, id="more-faults-than-objects"),
        pytest.param(Configuration(10, is_evaluated=False), None, id="nothing-compared"),
    ],
)
def test_each_object_costs_what_the_table_says(configuration: Configuration, expected: float | None) -> None:
    assert compliance.share(configuration) == expected


@pytest.mark.parametrize(
    ("configuration", "expected"),
    [
        pytest.param(Configuration(10), 1.0, id="all-seen"),
        pytest.param(Configuration(10, failed=10), 1.0, id="what-is-wrong-is-known"),
        pytest.param(Configuration(10, unjudged=1, unseen=3), 0.6, id="some-not"),
        pytest.param(Configuration(10, is_source_fresh=False), 0.5, id="git-is-away"),
        pytest.param(Configuration(0), 1.0, id="nothing-declared"),
        pytest.param(Configuration(0, unseen=1), 0.0, id="cannot-be"),
        pytest.param(Configuration(10, is_evaluated=False), 0.0, id="nothing-compared"),
    ],
)
def test_evidence_is_what_is_seen_now(configuration: Configuration, expected: float) -> None:
    assert compliance.known_share(configuration) == expected


@pytest.mark.parametrize("fault", list(Fault))
def test_a_fault_made_right_gives_back_exactly_its_cost(fault: Fault) -> None:
    mended = ONE_OF_EACH.without(fault)
    assert [other for other in Fault if mended.count(other)] == [other for other in Fault if other is not fault]
    before, after = compliance.share(ONE_OF_EACH), compliance.share(mended)
    assert before is not None
    assert after is not None
    assert after - before == pytest.approx(TENTHS[fault] / 200)


def test_doubts_cost_no_points_and_can_be_told() -> None:
    doubtful = Configuration(10, unseen=2, is_source_fresh=False)
    assert doubtful.doubts == (Doubt.SOURCE_STALE, Doubt.UNSEEN)
    assert doubtful.certain(Doubt.UNSEEN).certain(Doubt.SOURCE_STALE) == Configuration(10)
    assert Configuration(10).doubts == ()


@given(st.integers(-5, 50), st.lists(st.integers(-5, 50), min_size=7, max_size=7))
def test_whatever_is_counted_the_share_is_a_share(desired: int, counts: list[int]) -> None:
    low, medium, high, critical, failed, held, unjudged = counts
    drift = dict(zip(Severity, (low, medium, high, critical), strict=True))
    configuration = Configuration(desired, drift, failed, held, unjudged, unseen=low)
    share, known = compliance.share(configuration), compliance.known_share(configuration)
    assert share is not None
    assert 0 <= share <= 1
    assert 0 <= known <= 1
    assert (share == 1) == all(count <= 0 for count in counts)
