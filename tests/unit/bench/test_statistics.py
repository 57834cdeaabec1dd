"""What is said from few runs.

Aspects: quantiles · ratio of medians and its interval, pairs kept together, the same each time · growth and its error · what cannot be said is refused.
"""

import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.statistics import growth, quantile, ratio

POSITIVE = st.floats(min_value=0.001, max_value=1000)


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([5.0], 0.99, 5.0), ([1.0, 2.0], 0.5, 1.5), ([3.0, 1.0, 2.0], 0.5, 2.0), ([1.0, 2.0], 0.0, 1.0), ([1.0, 2.0], 1.0, 2.0)],
)
def test_a_quantile_lies_between_its_neighbours(values: list[float], share: float, expected: float):
    assert quantile(values, share) == expected


@given(st.lists(POSITIVE, min_size=2, max_size=50))
def test_quantiles_agree_with_the_standard_library(values: list[float]):
    assert quantile(values, 0.25) == pytest.approx(statistics.quantiles(values, n=4, method="inclusive")[0])


def test_a_ratio_is_that_of_the_medians():
    found = ratio([1.0, 2.0, 30.0], [4.0, 8.0, 12.0])
    assert found.value == 0.25
    assert found.low <= found.value <= found.high


def test_equal_runs_leave_no_doubt():
    found = ratio([2.0] * 5, [4.0] * 5)
    assert (found.low, found.value, found.high) == (0.5, 0.5, 0.5)


def test_runs_of_a_turn_stay_together():
    # Each turn was slow for both: the ratio is the same in every turn, so nothing is in doubt although the times are.
    found = ratio([1.0, 10.0, 100.0, 1.0, 10.0], [2.0, 20.0, 200.0, 2.0, 20.0])
    assert found.is_interval
    assert (found.low, found.high) == (0.5, 0.5)


def test_scattered_runs_widen_the_interval():
    calm, wild = ratio([1.0, 1.1, 0.9, 1.0, 1.05], [2.0] * 5), ratio([1.0, 3.0, 0.3, 1.0, 2.0], [2.0] * 5)
    assert wild.high - wild.low > 5 * (calm.high - calm.low)


def test_the_same_runs_give_the_same_interval():
    ours, theirs = [1.0, 2.0, 3.0, 4.0, 5.0], [3.0, 2.0, 1.0, 3.0, 2.0]
    assert ratio(ours, theirs) == ratio(ours, theirs)


def test_few_turns_have_no_interval_but_least_and_most():
    found = ratio([1.0, 2.0, 3.0, 4.0], [2.0, 2.0, 2.0, 2.0])
    assert (found.turns, found.is_interval, found.low, found.value, found.high) == (4, False, 0.5, 1.25, 2.0)


@given(st.lists(st.tuples(POSITIVE, POSITIVE), min_size=1, max_size=4))
def test_a_ratio_of_few_turns_lies_between_those_of_the_turns(pairs: list[tuple[float, float]]):
    ours, theirs = zip(*pairs, strict=True)
    found = ratio(ours, theirs)
    assert found.low <= found.value * (1 + 1e-9)
    assert found.value <= found.high * (1 + 1e-9)


def test_from_five_turns_on_the_interval_holds_the_truth_mostly(monkeypatch: pytest.MonkeyPatch):
    # 93 of 100 are said; of 200 sessions the share is within four hundredths of that nearly always. A few draws suffice to see it.
    monkeypatch.setattr("bench.statistics.RESAMPLES", 400)
    chance = random.Random(1)
    sessions = [ratio([chance.gauss(10, 1) for _ in range(5)], [chance.gauss(20, 2) for _ in range(5)]) for _ in range(200)]
    assert 0.88 <= sum(each.low <= 0.5 <= each.high for each in sessions) / len(sessions) <= 0.99


@pytest.mark.parametrize(("ours", "theirs"), [([], []), ([1.0], [1.0, 2.0]), ([0.0], [1.0]), ([1.0], [-1.0])])
def test_what_is_no_pair_above_zero_has_no_ratio(ours: list[float], theirs: list[float]):
    with pytest.raises(ValueError, match=r"no pairs|above 0"):
        ratio(ours, theirs)


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0, 2.0])
def test_growth_finds_the_exponent_of_a_power(exponent: float):
    found = growth([(size, 3 * size**exponent) for size in (1000.0, 2000.0, 5000.0, 10000.0)])
    assert found.exponent == pytest.approx(exponent, abs=1e-9)
    assert found.error == pytest.approx(0, abs=1e-6)
    assert found.factor == pytest.approx(3)


def test_the_error_of_growth_is_the_standard_error_of_the_slope():
    # Logarithms 0, 1, 2 against 0, 1, 3: slope 1.5, squared residuals 1/6, so sqrt(1/6 / 1 / 2). By hand.
    found = growth([(1.0, 1.0), (10.0, 10.0), (100.0, 1000.0)])
    assert found.exponent == pytest.approx(1.5)
    assert found.error == pytest.approx((1 / 12) ** 0.5)


@pytest.mark.parametrize(
    "points", [[], [(1.0, 1.0), (2.0, 2.0)], [(1.0, 0.0), (2.0, 1.0), (3.0, 1.0)], [(5.0, 1.0), (5.0, 2.0), (5.0, 3.0)]]
)
def test_too_little_has_no_growth(points: list[tuple[float, float]]):
    with pytest.raises(ValueError, match="growth needs"):
        growth(points)
