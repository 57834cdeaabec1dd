"""Durations.

Aspects: Go's syntax · what is refused · texts for people.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator.api.duration import MAX_SECONDS, human, parse_seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        pytest.param("300ms", 0.3, id="milliseconds"),
        pytest.param("90s", 90, id="seconds"),
        pytest.param("10m", 600, id="minutes"),
        pytest.param("1h30m", 5400, id="combined"),
        pytest.param("1.5h", 5400, id="fraction"),
        pytest.param("1m0.5s", 60.5, id="fraction-at-the-end"),
        pytest.param("5m5m", 600, id="a-unit-twice-adds-up"),
        pytest.param("0s", 0, id="zero"),
        pytest.param("8784h", MAX_SECONDS, id="a-leap-year"),
    ],
)
def test_a_go_duration_is_read_as_seconds(text: str, seconds: float) -> None:
    assert parse_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1y",
        "1d",
        "-1s",
        "+1s",
        "5m5",
        "5",
        "m",
        "1e9h",
        "1 h",
        " 1h",
        "1h\n",
        "1us",
        "1H",
        ".5s",
        "1.s",
        "infs",
        "٣s",
        "8785h",
        "9" * 400 + "h",
    ],
)
def test_anything_else_and_more_than_a_year_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is "):
        parse_seconds(text)


@given(st.integers(0, 8000), st.integers(0, 59), st.integers(0, 59))
def test_hours_minutes_and_seconds_add_up(hours: int, minutes: int, seconds: int) -> None:
    assert parse_seconds(f"{hours}h{minutes}m{seconds}s") == hours * 3600 + minutes * 60 + seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        pytest.param(0.0, "0.00 s", id="nothing"),
        pytest.param(0.4321, "0.43 s", id="fraction"),
        pytest.param(12.4, "12 s", id="seconds"),
        pytest.param(59.9, "1 m", id="rounded-up-to-a-minute"),
        pytest.param(200, "3 m 20 s", id="minutes"),
        pytest.param(7500, "2 h 5 m", id="hours"),
        pytest.param(356_400, "4 d 3 h", id="days"),
        pytest.param(3_600_001, "41 d 16 h", id="two-units-at-most"),
    ],
)
def test_a_duration_for_people_has_two_units_at_most(seconds: float, text: str) -> None:
    assert human(seconds) == text
