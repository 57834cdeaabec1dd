"""Reading `spec.windows`.

Aspects: defaults · schedules: every form of a field, names, days · what is refused, saying what to write and not repeating it · durations · zones,
with and without a tz database · the schema for the API server.
"""

import re
import subprocess
import sys
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from cvstate_operator.api.crd import structural_schema
from cvstate_operator.api.windows import (
    MOST_WINDOWS,
    SCHEDULE_PATTERN,
    ZONE_PATTERN,
    Window,
    WindowAction,
    Windows,
    read_schedule,
    time_zone,
)


class Spec(BaseModel):
    """Stands for ClusterStateSpec."""

    windows: Windows = []


def window(**changes: Any) -> dict[str, Any]:
    return {"kind": "Deny", "schedule": "0 18 * * 5", "duration": "60h", **changes}


def days_of(schedule: str, year: int = 2026) -> list[str]:
    """The days of a year on which a schedule matches, as `month-day`."""
    days = map(date.fromordinal, range(date(year, 1, 1).toordinal(), date(year + 1, 1, 1).toordinal()))
    return [f"{day:%m-%d}" for day in days if read_schedule(schedule).matches(day)]


def test_kind_schedule_and_duration_are_enough() -> None:
    found = Window.model_validate(window())
    assert (found.time_zone, found.actions) == ("UTC", [])
    assert all(found.concerns(action) for action in WindowAction)


def test_a_window_with_actions_concerns_no_others() -> None:
    found = Window.model_validate(window(actions=["Prune", "NewRevision"], timeZone="Europe/Rome"))
    assert [action for action in WindowAction if found.concerns(action)] == [WindowAction.NEW_REVISION, WindowAction.PRUNE]


# Schedules


@pytest.mark.parametrize(
    ("field", "minutes"),
    [
        pytest.param("7", [7], id="number"),
        pytest.param("07", [7], id="leading-zero"),
        pytest.param("*", list(range(60)), id="every"),
        pytest.param("3-6", [3, 4, 5, 6], id="range"),
        pytest.param("5-5", [5], id="range-of-one"),
        pytest.param("50,3,4-5,5", [3, 4, 5, 50], id="list"),
        pytest.param("*/20", [0, 20, 40], id="step"),
        pytest.param("10-30/10", [10, 20, 30], id="step-in-a-range"),
        pytest.param("41/9", [41, 50, 59], id="step-to-the-end"),
        pytest.param("*/99", [0], id="step-beyond-the-end"),
    ],
)
def test_a_field_is_read_as_cron_does(field: str, minutes: list[int]) -> None:
    assert list(read_schedule(f"{field} 0 * * *").minutes) == minutes


@pytest.mark.parametrize(
    ("schedule", "days"),
    [
        pytest.param("0 0 29 2 *", [], id="no-leap-year"),
        pytest.param("0 0 31 */2 *", ["01-31", "03-31", "05-31", "07-31"], id="month-step"),
        pytest.param("0 0 1 JAN,mar-May *", ["01-01", "03-01", "04-01", "05-01"], id="names-of-months"),
        pytest.param("0 0 * 2 0", ["02-01", "02-08", "02-15", "02-22"], id="sunday-as-0"),
        pytest.param("0 0 * 2 7", ["02-01", "02-08", "02-15", "02-22"], id="sunday-as-7"),
        pytest.param("0 0 * 2 SUN", ["02-01", "02-08", "02-15", "02-22"], id="sunday-by-name"),
        pytest.param("0 0 * 2 6-7", ["02-01", "02-07", "02-08", "02-14", "02-15", "02-21", "02-22", "02-28"], id="range-up-to-7"),
        pytest.param("0 0 * 2 5/1", ["02-06", "02-07", "02-13", "02-14", "02-20", "02-21", "02-27", "02-28"], id="weekdays-to-the-end-are-to-6"),
        pytest.param("0 0 13 2 FRI", ["02-06", "02-13", "02-20", "02-27"], id="either-day-that-coincides"),
        pytest.param("0 0 10 2 1", ["02-02", "02-09", "02-10", "02-16", "02-23"], id="either-day"),
        pytest.param("0 0 1 2 1", ["02-01", "02-02", "02-09", "02-16", "02-23"], id="a-weekday-stays-in-its-months"),
        pytest.param("0 0 1-3 2 */7", ["02-01", "02-02", "02-03", "02-08", "02-15", "02-22"], id="a-step-restricts"),
        pytest.param("0 0 */1 2 1", ["02-02", "02-09", "02-16", "02-23"], id="a-step-of-1-does-not"),
        pytest.param("0 0 5,* 2 1", ["02-02", "02-09", "02-16", "02-23"], id="a-star-in-a-list-does-not"),
    ],
)  # fmt: skip
def test_days_match_as_in_a_cron_job(schedule: str, days: list[str]) -> None:
    assert days_of(schedule) == days


def test_a_leap_day_matches_in_leap_years() -> None:
    assert days_of("0 0 29 2 *", 2028) == ["02-29"]


# Schedules in this table hold a word that must not come back in the message.
@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        pytest.param("", "five fields", id="empty"),
        pytest.param("0 99 * *", "five fields", id="four-fields"),
        pytest.param("0 0 99 * * *", "five fields", id="six-fields"),
        pytest.param("@daily", "five fields", id="macro"),
        pytest.param("@every 99m", "five fields", id="every"),
        pytest.param("CRON_TZ=UTC 0 0 99 * *", "five fields", id="zone-inside"),
        pytest.param("0 0 ? * 99", "five fields", id="question-mark"),
        pytest.param("0\t0 * * 99", "five fields", id="tab"),
        pytest.param("0 0 * * 99\n", "five fields", id="newline"),
        pytest.param("٣ 0 * * 99", "five fields", id="other-digits"),
        pytest.param("99 0 * * *", "minute; write *, or 0 to 59", id="minute"),
        pytest.param("60 0 * * *", "minute", id="minute-60"),
        pytest.param("0 24 * * *", "hour; write *, or 0 to 23", id="hour-24"),
        pytest.param("0 0 0 * *", "day of month; write *, or 1 to 31", id="day-0"),
        pytest.param("0 0 32 * *", "day of month", id="day-32"),
        pytest.param("0 0 L * *", "day of month", id="last-day"),
        pytest.param("0 0 * 13 *", "month; write *, or 1 to 12 or JAN to DEC", id="month-13"),
        pytest.param("0 0 * fri *", "month", id="weekday-as-month"),
        pytest.param("0 0 * january *", "month", id="long-name"),
        pytest.param("0 0 * * 8", "day of week; write *, or 0 to 6 or SUN to SAT", id="weekday-8"),
        pytest.param("0 jan * * *", "hour", id="name-as-hour"),
        pytest.param("0 */0 * * *", "hour", id="step-0"),
        pytest.param("0 */ * * *", "hour", id="step-of-nothing"),
        pytest.param("0 *-5 * * *", "hour", id="range-from-every"),
        pytest.param("0 1-2-3 * * *", "hour", id="two-hyphens"),
        pytest.param("0 1/2/3 * * *", "hour", id="two-slashes"),
        pytest.param("0 1,,2 * * *", "hour", id="nothing-in-a-list"),
        pytest.param("0 -1 * * *", "hour", id="negative"),
        pytest.param("0 999999999999 * * *", "hour", id="endless-number"),
        pytest.param("0 22-2 * * *", "range of hour that starts after its end; write two", id="range-backwards"),
        pytest.param("0 0 * * fri-mon", "range of day of week that starts after its end", id="weekdays-backwards"),
        pytest.param("0 0 30 2 *", "never comes", id="february-30"),
        pytest.param("0 0 31 2,4,6,9,11 *", "never comes", id="months-without-31"),
    ],
)  # fmt: skip
def test_a_wrong_schedule_is_refused_saying_what_to_write(schedule: str, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Window.model_validate(window(schedule=schedule))
    (fault,) = caught.value.errors()
    assert fault["loc"] == ("schedule",)
    assert message in fault["msg"]
    assert "write" in fault["msg"]
    assert "99" not in fault["msg"]


def test_a_day_that_months_lack_is_accepted_if_a_weekday_is_enough() -> None:
    assert days_of("0 0 30 2 1") == ["02-02", "02-09", "02-16", "02-23"]


@given(st.text(st.sampled_from("0123456789*,/- anjfriu?@\n"), max_size=30))
def test_any_text_is_read_or_refused_and_the_api_server_takes_all_that_is_read(text: str) -> None:
    try:
        found = read_schedule(text)
    except ValueError:
        return
    assert re.search(SCHEDULE_PATTERN, text)
    assert found.minutes == tuple(sorted(set(found.minutes)))
    assert 0 <= found.minutes[0] <= found.minutes[-1] < 24 * 60
    assert any(found.matches(date.fromordinal(day)) for day in range(date(2026, 1, 1).toordinal(), date(2029, 1, 1).toordinal()))


# Durations and the rest


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        pytest.param({"duration": "59s"}, "duration", id="less-than-a-minute"),
        pytest.param({"duration": "0h"}, "duration", id="nothing"),
        pytest.param({"duration": "1d"}, "duration", id="days"),
        pytest.param({"duration": "8785h"}, "duration", id="more-than-a-year"),
        pytest.param({"kind": "deny"}, "kind", id="kind-in-small-letters"),
        pytest.param({"actions": ["Create"]}, "actions", id="no-such-action"),
        pytest.param({"actions": ["Prune"] * 5}, "actions", id="more-actions-than-there-are"),
        pytest.param({"schedule": "0 " * 100}, "schedule", id="endless-schedule"),
        pytest.param({"timeZone": "Mars/Olympus"}, "timeZone", id="no-such-zone"),
    ],
)
def test_a_wrong_field_is_refused(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Window.model_validate(window(**changes))
    assert {str(fault["loc"][0]) for fault in caught.value.errors()} == {field}


def test_more_windows_than_anybody_can_oversee_are_refused() -> None:
    assert len(Spec.model_validate({"windows": [window()] * MOST_WINDOWS}).windows) == MOST_WINDOWS
    with pytest.raises(ValidationError):
        Spec.model_validate({"windows": [window()] * (MOST_WINDOWS + 1)})


# Time zones


@pytest.mark.parametrize(
    "name", ["Europe/Rome", "America/Argentina/Buenos_Aires", "America/Port-au-Prince", "Etc/GMT+5", "EST5EDT", "Zulu"]
)
def test_names_of_the_tz_database_are_known(name: str) -> None:
    assert str(time_zone(name)) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Mars/Olympus",
        "Local",
        "localtime",
        "posixrules",
        "europe/rome",
        "Europe",
        "Europe/",
        "../../etc/passwd",
        "/etc/localtime",
        "Europe/../UTC",
        "right/Europe/Rome",
        "posix/Europe/Rome",
        "zone.tab",
        "tzdata.zi",
        "UTC+2",
        "+02:00",
        "Europe/Rome\n",
        "Europe/Rome\0",
        "Europe/Röme",
        "A" * 64,
    ],
)
def test_what_is_no_zone_is_refused_saying_what_to_write(name: str) -> None:
    with pytest.raises(ValueError, match=r"no time zone.*; write an IANA time zone, such as Europe/Rome or UTC"):
        time_zone(name)


def test_without_a_tz_database_utc_works_and_other_zones_are_refused() -> None:
    code = """
import sys
sys.modules["tzdata"] = None  # as if it were not installed
from cvstate_operator.api.windows import time_zone
time_zone("UTC")
try:
    time_zone("Europe/Rome")
except ValueError as exc:
    print(exc)
"""
    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONTZPATH": ""}, capture_output=True, text=True, check=True)
    assert done.stdout == "is no time zone known here; write an IANA time zone, such as Europe/Rome or UTC\n"


# The schema


def test_the_api_server_says_what_to_write_as_well() -> None:
    properties = structural_schema(Spec)["properties"]["windows"]["items"]["properties"]
    for name in ("schedule", "duration", "timeZone"):
        (found,) = properties[name]["x-kubernetes-validations"]
        assert "such as" in found["message"] or "as in" in found["message"]
    assert SCHEDULE_PATTERN in properties["schedule"]["x-kubernetes-validations"][0]["rule"]
    assert ZONE_PATTERN in properties["timeZone"]["x-kubernetes-validations"][0]["rule"]
    assert properties["schedule"]["maxLength"] == 128
    assert properties["actions"]["items"]["enum"] == ["NewRevision", "DriftRepair", "Prune", "Rollback"]


def test_patterns_stand_in_a_cel_string_as_they_are() -> None:
    for pattern in (SCHEDULE_PATTERN, ZONE_PATTERN):
        assert "'" not in pattern
        assert "\\" not in pattern
