"""Burn rates.

Aspects: the table of the SRE workbook, for 30 days and scaled · which windows an SLO needs, and how often · budget and burn rate against numbers worked out by
hand · time to exhaustion · levels · windows of other programs.
"""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator.vital.objectives import burn
from cvstate_operator.vital.objectives.burn import DAY, HOUR, Level
from tests.unit.vital.objectives.slo_answers import near

MINUTE = 60.0
THREE_NINES = burn.budget(Decimal("99.9"))


@pytest.mark.parametrize(
    ("window", "pairs"),
    [
        pytest.param(
            30 * DAY,
            [("Page", HOUR, 5 * MINUTE, 14.4), ("Page", 6 * HOUR, 30 * MINUTE, 6), ("Ticket", DAY, 2 * HOUR, 3), ("Ticket", 3 * DAY, 6 * HOUR, 1)],
            id="30d-is-the-workbook's-table",
        ),
        pytest.param(
            28 * DAY,
            [("Page", HOUR, 5 * MINUTE, 13.44), ("Page", 6 * HOUR, 30 * MINUTE, 5.6), ("Ticket", DAY, 2 * HOUR, 2.8), ("Ticket", 3 * DAY, 6 * HOUR, 1)],
            id="28d",
        ),
        pytest.param(
            7 * DAY,
            [("Page", HOUR, 5 * MINUTE, 3.36), ("Page", 6 * HOUR, 30 * MINUTE, 1.4), ("Ticket", DAY, 2 * HOUR, 1), ("Ticket", 3 * DAY, 6 * HOUR, 1)],
            id="7d-no-rate-below-1",
        ),
        pytest.param(12 * HOUR, [("Page", HOUR, 5 * MINUTE, 1), ("Page", 6 * HOUR, 30 * MINUTE, 1)], id="12h-no-pair-as-long-as-the-window"),
        pytest.param(HOUR, [], id="1h-has-no-pairs"),
    ],
)  # fmt: skip
def test_pairs_of_windows_follow_the_workbook(window: float, pairs: list[tuple[str, float, float, float]]) -> None:
    found = [(str(alert.level), alert.long, alert.short, near(alert.rate)) for alert in burn.alerts(window)]
    assert found == pairs


def test_pairs_of_a_program_that_scales_them_keep_their_rates() -> None:
    scaled = burn.alerts(14 * DAY, 0.5)
    assert [(alert.long, alert.short) for alert in scaled][:2] == [(30 * MINUTE, 150.0), (3 * HOUR, 15 * MINUTE)]
    assert [alert.rate for alert in scaled] == near([alert.rate for alert in burn.alerts(28 * DAY)], rel=1e-9)


@pytest.mark.parametrize(
    ("window", "asked"),
    [
        pytest.param(30 * DAY, [[5 * MINUTE, 30 * MINUTE, HOUR], [2 * HOUR, 6 * HOUR], [DAY, 3 * DAY, 30 * DAY]], id="30d"),
        pytest.param(3 * DAY, [[5 * MINUTE, 30 * MINUTE, HOUR], [2 * HOUR, 6 * HOUR], [DAY, 3 * DAY]], id="3d"),
        pytest.param(HOUR, [[5 * MINUTE, HOUR]], id="1h"),
        pytest.param(1.5 * HOUR, [[5 * MINUTE, HOUR], [1.5 * HOUR]], id="90m"),
    ],
)
def test_windows_that_are_asked_for_equally_often_belong_together(window: float, asked: list[list[float]]) -> None:
    assert [list(tier) for tier in burn.tiers(burn.windows(window))] == asked


@pytest.mark.parametrize(
    ("window", "rate", "seconds"),
    [
        pytest.param(5 * MINUTE, 1, 30, id="five-minutes"),
        pytest.param(HOUR, 1, 30, id="an-hour"),
        pytest.param(6 * HOUR, 1, 180, id="six-hours"),
        pytest.param(30 * DAY, 1, 1800, id="a-month"),
        pytest.param(30 * DAY, 0, 1800, id="a-month-that-does-not-burn"),
        pytest.param(30 * DAY, 14.4, 125, id="a-month-that-burns"),
        pytest.param(30 * DAY, 1000, 30, id="a-month-that-burns-down"),
        pytest.param(5 * MINUTE, 1000, 30, id="short-ones-are-never-asked-for-more-often"),
    ],
)
def test_short_windows_are_asked_for_often_and_long_ones_while_the_budget_burns(window: float, rate: float, seconds: float) -> None:
    assert burn.refresh_seconds(window, rate) == near(seconds)


@given(st.sampled_from(burn.windows(30 * DAY)), st.floats(0, 1e6))
def test_every_window_is_asked_for_at_least_ten_times_within_itself(window: float, rate: float) -> None:
    assert burn.refresh_seconds(window, rate) <= window / 10


@pytest.mark.parametrize(
    ("objective", "ratio", "rate"),
    [
        pytest.param("99.9", 0.0144, 14.4, id="1.44-percent-of-99.9"),
        pytest.param("99.9", 0.001, 1, id="the-budget-itself-is-evenly"),
        pytest.param("99.9", 0, 0, id="no-errors"),
        pytest.param("99.9", 1, 1000, id="nothing-but-errors"),
        pytest.param("99", 0.05, 5, id="5-percent-of-99"),
        pytest.param("99.99", 0.0006, 6, id="0.06-percent-of-99.99"),
        pytest.param("50", 0.25, 0.5, id="half"),
    ],
)
def test_a_burn_rate_is_errors_by_budget(objective: str, ratio: float, rate: float) -> None:
    assert burn.burn_rate(ratio, burn.budget(Decimal(objective))) == near(rate, abs=1e-12)


@pytest.mark.parametrize(
    ("rate", "hours", "share"),
    [
        pytest.param(14.4, 1, 0.02, id="14.4-for-an-hour-is-2-percent"),
        pytest.param(6, 6, 0.05, id="6-for-six-hours-is-5-percent"),
        pytest.param(3, 24, 0.10, id="3-for-a-day-is-10-percent"),
        pytest.param(1, 72, 0.10, id="1-for-three-days-is-10-percent"),
        pytest.param(1000, 0.72, 1.0, id="an-outage-of-43-minutes-is-all-of-it"),
    ],
)
def test_a_burn_for_some_hours_uses_up_the_share_that_the_workbook_tells(rate: float, hours: float, share: float) -> None:
    errors_over_the_window = rate * THREE_NINES * hours / 720
    assert 1 - burn.budget_left(burn.burn_rate(errors_over_the_window, THREE_NINES)) == near(share)


@pytest.mark.parametrize(
    ("left", "rate", "seconds"),
    [
        pytest.param(1.0, 14.4, 50 * HOUR, id="all-of-it-at-14.4-is-50-hours"),
        pytest.param(0.5, 5, 3 * DAY, id="half-of-it-at-5-is-3-days"),
        pytest.param(0.01, 0.9, 8 * HOUR, id="the-last-of-it-goes-even-at-less-than-1"),
        pytest.param(1.0, 1.0, None, id="evenly-is-never"),
        pytest.param(0.3, 0.0, None, id="no-errors-is-never"),
        pytest.param(0.0, 0.0, 0, id="used-up"),
        pytest.param(-2.0, 5, 0, id="overdrawn"),
    ],
)
def test_time_to_exhaustion(left: float, rate: float, seconds: float | None) -> None:
    found = burn.exhausted_in(left, rate, 30 * DAY)
    assert found == (None if seconds is None else near(seconds))


@pytest.mark.parametrize(
    ("rates", "level"),
    [
        pytest.param({300: 20, 3600: 20}, Level.PAGE, id="both-of-the-first-pair"),
        pytest.param({300: 2, 3600: 20}, Level.NONE, id="over-by-now"),
        pytest.param({300: 20, 3600: 2}, Level.NONE, id="too-short-to-matter"),
        pytest.param({3600: 20}, Level.NONE, id="half-a-pair"),
        pytest.param({300: 14.4, 3600: 14.4}, Level.NONE, id="the-rate-itself-is-not-above-it"),
        pytest.param({1800: 7, 21600: 7}, Level.PAGE, id="the-second-pair"),
        pytest.param({7200: 4, 86400: 4}, Level.TICKET, id="the-third-pair"),
        pytest.param({21600: 1.1, 259200: 1.1}, Level.TICKET, id="the-fourth-pair"),
        pytest.param({300: 20, 3600: 20, 7200: 4, 86400: 4}, Level.PAGE, id="a-page-is-louder-than-a-ticket"),
        pytest.param({}, Level.NONE, id="nothing-known"),
    ],
)
def test_a_level_needs_both_windows_of_a_pair(rates: dict[float, float], level: Level) -> None:
    assert burn.level(rates, burn.alerts(30 * DAY)) is level


@given(st.dictionaries(st.sampled_from(burn.windows(30 * DAY)), st.floats(0, 2000)), st.floats(0, 10))
def test_a_faster_burn_is_never_told_of_more_quietly(rates: dict[float, float], more: float) -> None:
    order = list(Level)
    one, other = (burn.level(each, burn.alerts(30 * DAY)) for each in (rates, {window: rate + more for window, rate in rates.items()}))
    assert order.index(other) >= order.index(one)


@pytest.mark.parametrize(
    ("found", "wanted", "nearest"),
    [
        pytest.param([300, 3600], 3600, 3600, id="itself"),
        pytest.param([300, 3840], 3857, 3840, id="rounded-to-minutes"),
        pytest.param([300, 3600], 900, None, id="nothing-near"),
        pytest.param([], 900, None, id="nothing-at-all"),
    ],
)
def test_a_window_of_another_program_stands_for_one_that_is_near(found: list[float], wanted: float, nearest: float | None) -> None:
    assert burn.nearest(found, wanted) == nearest
