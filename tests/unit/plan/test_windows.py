"""Change windows: what they allow at a time, and when that changes.

Aspects: Deny and Allow · spans that overlap, touch, cross midnight, months and years · clocks that are set · which window is named · classes of
changes · since and until, exactly, as far as the horizon · bounded effort · agreement with a slow model that goes minute by minute.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import accumulate, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cvstate_operator.api.windows import Window, WindowAction, WindowKind
from cvstate_operator.plan import windows as change_windows
from cvstate_operator.plan.windows import HORIZON_DAYS, ActionState, state

ROME, NEW_YORK, LORD_HOWE, KATHMANDU = "Europe/Rome", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"
MINUTE = timedelta(minutes=1)
REVISION = WindowAction.NEW_REVISION


def deny(schedule: str, duration: str, zone: str = "UTC", *actions: str) -> Window:
    return Window.model_validate({"kind": "Deny", "schedule": schedule, "duration": duration, "timeZone": zone, "actions": actions})


def allow(schedule: str, duration: str, zone: str = "UTC", *actions: str) -> Window:
    return Window.model_validate({"kind": "Allow", "schedule": schedule, "duration": duration, "timeZone": zone, "actions": actions})


def at(text: str) -> datetime:
    """A time as `2026-03-29 02:00`, in UTC if it names no offset."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def answer(windows: Sequence[Window], text: str, action: WindowAction = REVISION) -> ActionState:
    return state(windows, at(text)).of(action)


def spans(windows: Sequence[Window], first: str, last: str) -> list[tuple[str, str]]:
    """The spans with the answer `blocked` that start in between, found by following `until`, each in UTC to the minute."""
    found = []
    t = at(first)
    while t < at(last):
        now = state(windows, t).of(REVISION)
        if now.until is None:
            break
        if not now.is_allowed and now.since is not None and now.since >= at(first):
            found.append((f"{now.since:%m-%d %H:%M}", f"{now.until:%m-%d %H:%M}"))
        t = now.until
    return found


# Deny and Allow


def test_without_windows_everything_is_allowed_for_ever() -> None:
    now = state([], at("2026-05-01"))
    assert (now.blocked, now.next_change) == ((), None)
    assert [found.action for found in now.actions] == list(WindowAction)
    assert all(
        (found.is_allowed, found.window, found.text, found.since, found.until) == (True, None, "", None, None) for found in now.actions
    )


@pytest.mark.parametrize(
    ("time", "is_allowed", "since", "until"),
    [
        pytest.param("2026-05-01 15:59:59", True, "2026-04-27 04:00", "2026-05-01 16:00", id="before"),
        pytest.param("2026-05-01 16:00", False, "2026-05-01 16:00", "2026-05-04 04:00", id="first-instant"),
        pytest.param("2026-05-04 03:59:59.999999", False, "2026-05-01 16:00", "2026-05-04 04:00", id="last-instant"),
        pytest.param("2026-05-04 04:00", True, "2026-05-04 04:00", "2026-05-08 16:00", id="first-instant-after"),
        pytest.param("2026-05-04 06:00+02:00", True, "2026-05-04 04:00", "2026-05-08 16:00", id="any-zone-for-now"),
    ],
)
def test_a_deny_window_blocks_from_its_start_up_to_its_end(time: str, is_allowed: bool, since: str, until: str) -> None:
    found = answer([deny("0 18 * * 5", "60h", ROME)], time)
    assert (found.is_allowed, found.since, found.until) == (is_allowed, at(since), at(until))


def test_an_allow_window_blocks_outside_of_itself() -> None:
    windows = [allow("0 9 * * 1-5", "8h")]
    assert answer(windows, "2026-05-01 16:59").is_allowed
    found = answer(windows, "2026-05-01 17:00")
    assert (found.is_allowed, found.since, found.until) == (False, at("2026-05-01 17:00"), at("2026-05-04 09:00"))


def test_one_open_allow_window_of_several_is_enough() -> None:
    assert spans([allow("0 8 * * *", "4h"), allow("0 11 * * *", "4h")], "2026-05-01", "2026-05-02") == [("05-01 15:00", "05-02 08:00")]


def test_deny_wins_over_allow() -> None:
    windows = [allow("0 8 * * *", "4h"), deny("0 9 * * *", "1h")]
    assert spans(windows, "2026-05-01 08:00", "2026-05-01 20:00") == [("05-01 09:00", "05-01 10:00"), ("05-01 12:00", "05-02 08:00")]


def test_a_deny_window_that_ends_outside_of_an_allow_window_changes_nothing() -> None:
    found = answer([allow("0 8 * * *", "4h"), deny("0 11 * * *", "6h")], "2026-05-01 11:30")
    assert (found.since, found.until) == (at("2026-05-01 11:00"), at("2026-05-02 08:00"))


def test_a_window_is_about_the_classes_it_names_and_leaves_others_alone() -> None:
    windows = [
        deny("0 0 * * *", "1h", "UTC", "NewRevision", "Prune"),
        allow("30 0 * * *", "2h", "UTC", "Rollback"),
        deny("0 6 * * *", "1h"),
    ]
    now = state(windows, at("2026-05-01 00:10"))
    assert now.blocked == (WindowAction.NEW_REVISION, WindowAction.PRUNE, WindowAction.ROLLBACK)
    assert now.of(WindowAction.DRIFT_REPAIR).until == at("2026-05-01 06:00")
    assert now.of(WindowAction.PRUNE).until == at("2026-05-01 01:00")
    assert now.of(WindowAction.ROLLBACK).until == at("2026-05-01 00:30")
    assert now.next_change == at("2026-05-01 00:30")


# Spans


@pytest.mark.parametrize(
    ("windows", "first", "last", "blocked"),
    [
        pytest.param([deny("0 22 * * *", "4h")], "2026-05-01", "2026-05-02", [("05-01 22:00", "05-02 02:00")], id="across-midnight"),
        pytest.param([deny("0 12 31 12 *", "24h")], "2026-12-01", "2027-01-02", [("12-31 12:00", "01-01 12:00")], id="across-the-year"),
        pytest.param(
            [deny("0 12 31 * *", "24h")],
            "2026-03-01",
            "2026-06-02",
            [("03-31 12:00", "04-01 12:00"), ("05-31 12:00", "06-01 12:00")],
            id="months-without-that-day-are-left-out",
        ),
        pytest.param([deny("0 0 29 2 *", "1h")], "2027-06-01", "2028-03-01", [("02-29 00:00", "02-29 01:00")], id="leap-day"),
        pytest.param([deny("0 */8 1 * *", "9h")], "2026-05-01", "2026-05-03", [("05-01 00:00", "05-02 01:00")], id="longer-than-its-period"),
        pytest.param([deny("0 */8 1 * *", "8h")], "2026-05-01", "2026-05-03", [("05-01 00:00", "05-02 00:00")], id="spans-that-touch"),
        pytest.param([deny("0 1 1-3 5 *", "36h")], "2026-05-01", "2026-05-09", [("05-01 01:00", "05-04 13:00")], id="days-that-overlap"),
        pytest.param(
            [deny("0 10 1 5 *", "90m"), deny("0 11 1 5 *", "2h")], "2026-05-01", "2026-05-02", [("05-01 10:00", "05-01 13:00")], id="two-windows"
        ),
        pytest.param(
            [deny("0 0 13 * 5", "1h")],
            "2026-05-08",
            "2026-05-16",
            [("05-08 00:00", "05-08 01:00"), ("05-13 00:00", "05-13 01:00"), ("05-15 00:00", "05-15 01:00")],
            id="day-of-month-or-day-of-week",
        ),
        pytest.param([deny("0 0 1-7 * */7", "1h")], "2026-05-01", "2026-05-03", [("05-01 00:00", "05-01 01:00"), ("05-02 00:00", "05-02 01:00")], id="a-step-restricts"),
    ],
)  # fmt: skip
def test_spans_are_merged_whatever_borders_they_cross(windows: list[Window], first: str, last: str, blocked: list[tuple[str, str]]) -> None:
    assert spans(windows, first, last) == blocked


def test_a_duration_that_is_no_whole_minute_ends_on_its_second() -> None:
    found = answer([deny("0 0 * * *", "1m0.5s")], "2026-05-01 00:01:00.499999")
    assert (found.is_allowed, found.until) == (False, at("2026-05-01 00:01:00.500000"))


# Clocks that are set


@pytest.mark.parametrize(
    ("window", "first", "last", "blocked"),
    [
        pytest.param(deny("0 18 * * 5", "60h", ROME), "2026-03-27", "2026-03-31", [("03-27 17:00", "03-30 05:00")], id="forward-inside-a-window"),
        pytest.param(deny("0 18 * * 5", "60h", ROME), "2026-10-23", "2026-10-27", [("10-23 16:00", "10-26 04:00")], id="back-inside-a-window"),
        pytest.param(deny("30 2 * * *", "1h", ROME), "2026-03-29", "2026-03-30", [("03-29 01:00", "03-29 02:00")], id="time-that-does-not-exist"),
        pytest.param(deny("*/20 2 * * *", "5m", ROME), "2026-03-29", "2026-03-30", [("03-29 01:00", "03-29 01:05")], id="three-that-do-not-exist"),
        pytest.param(
            deny("30 2 * * *", "10m", ROME),
            "2026-10-25",
            "2026-10-26",
            [("10-25 00:30", "10-25 00:40"), ("10-25 01:30", "10-25 01:40")],
            id="time-that-exists-twice",
        ),
        pytest.param(deny("0 2 * * *", "1h", ROME), "2026-10-25", "2026-10-26", [("10-25 00:00", "10-25 02:00")], id="open-in-both-hours"),
        pytest.param(deny("0 0 25,26 10 *", "24h", ROME), "2026-10-24", "2026-10-28", [("10-24 22:00", "10-25 22:00"), ("10-25 23:00", "10-26 23:00")], id="a-day-of-25-hours-has-a-gap"),
        pytest.param(deny("15 2 * * *", "10m", LORD_HOWE), "2026-10-03 12:00", "2026-10-04", [("10-03 15:30", "10-03 15:40")], id="half-an-hour-forward"),
        pytest.param(
            deny("45 1 * * *", "10m", LORD_HOWE),
            "2026-04-04 12:00",
            "2026-04-05",
            [("04-04 14:45", "04-04 14:55"), ("04-04 15:15", "04-04 15:25")],
            id="half-an-hour-back",
        ),
        pytest.param(deny("0 0 * * *", "1h", KATHMANDU), "2026-05-01", "2026-05-02", [("05-01 18:15", "05-01 19:15")], id="offset-of-45-minutes"),
        pytest.param(deny("0 0 24 4 *", "1h", "Africa/Cairo"), "2026-04-23", "2026-04-25", [("04-23 22:00", "04-23 23:00")], id="midnight-does-not-exist"),
        pytest.param(
            deny("0 0 1 11 *", "10m", "America/Havana"),
            "2026-10-31",
            "2026-11-02",
            [("11-01 04:00", "11-01 04:10"), ("11-01 05:00", "11-01 05:10")],
            id="midnight-exists-twice",
        ),
        pytest.param(deny("0 12 30 12 *", "1h", "Pacific/Apia"), "2011-12-29", "2012-01-01", [("12-30 10:00", "12-30 11:00")], id="a-day-that-does-not-exist"),
    ],
)  # fmt: skip
def test_no_deny_window_is_missed_when_clocks_are_set(window: Window, first: str, last: str, blocked: list[tuple[str, str]]) -> None:
    assert spans([window], first, last) == blocked


# Which window is named


def test_the_first_open_deny_window_is_named() -> None:
    windows = [allow("0 0 * * *", "24h"), deny("0 5 * * *", "1h"), deny("0 0 * * *", "8h", ROME), deny("0 1 * * *", "9h")]
    found = answer(windows, "2026-05-01 04:00")
    assert (found.window, found.text) == (2, 'inside spec.windows[2] (Deny "0 0 * * *" for 8h, Europe/Rome)')


def test_of_closed_allow_windows_the_one_that_opens_next_is_named() -> None:
    windows = [allow("0 9 * * *", "1h"), allow("0 3 * * *", "1h"), allow("0 3 * * *", "2h")]
    found = answer(windows, "2026-05-01 01:00")
    assert (found.is_allowed, found.window, found.text) == (False, 1, 'outside spec.windows[1] (Allow "0 3 * * *" for 1h, UTC)')


def test_of_open_allow_windows_the_first_is_named() -> None:
    windows = [deny("0 9 * * *", "1h"), allow("0 3 * * *", "1h"), allow("0 2 * * *", "9h"), allow("0 1 * * *", "9h")]
    found = answer(windows, "2026-05-01 02:30")
    assert (found.is_allowed, found.window, found.text) == (True, 2, 'inside spec.windows[2] (Allow "0 2 * * *" for 9h, UTC)')


def test_closed_deny_windows_are_not_named() -> None:
    found = answer([deny("0 9 * * *", "1h")], "2026-05-01 02:30")
    assert (found.is_allowed, found.window, found.text) == (True, None, "")


# The horizon


def test_a_window_that_is_always_open_never_changes() -> None:
    found = answer([deny("* * * * *", "1m")], "2026-05-01")
    assert (found.is_allowed, found.since, found.until) == (False, None, None)


def test_a_daily_window_of_24_hours_has_a_gap_only_where_clocks_go_back() -> None:
    found = answer([allow("0 0 * * *", "24h", ROME)], "2026-05-01")
    assert (found.is_allowed, found.since, found.until) == (True, at("2025-10-26 23:00"), at("2026-10-25 22:00"))


def test_a_leap_day_beyond_the_horizon_is_not_seen_and_one_before_it_is() -> None:
    windows = [deny("0 0 29 2 *", "1h")]
    leap_day = at("2028-02-29")
    assert state(windows, leap_day - timedelta(days=HORIZON_DAYS)).next_change == leap_day
    assert state(windows, leap_day - timedelta(days=HORIZON_DAYS, microseconds=1)).next_change is None
    end = leap_day + timedelta(hours=1)
    assert state(windows, end + timedelta(days=HORIZON_DAYS)).of(REVISION).since == end
    assert state(windows, end + timedelta(days=HORIZON_DAYS, microseconds=1)).of(REVISION).since is None


def test_windows_of_a_year_are_followed_to_their_end() -> None:
    found = answer([deny("0 0 1 1 *", "8760h")], "2024-12-31")  # 2024 has a day more
    assert (found.is_allowed, found.since, found.until) == (True, at("2024-12-31"), at("2025-01-01"))
    found = answer([deny("0 0 1 1 *", "8760h")], "2024-12-30")
    assert (found.is_allowed, found.since, found.until) == (False, None, at("2024-12-31"))  # blocked since 2021: beyond the horizon


def test_endless_changes_beneath_each_other_end_in_a_time_before_which_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change_windows, "MOST_STEPS", 10)
    found = answer([deny("*/2 * * * *", "1m"), deny("1-59/2 * * * *", "1m")], "2026-05-01")
    assert not found.is_allowed
    assert found.until == at("2026-05-01 00:11")
    assert found.since == at("2026-04-30 23:50")


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        state([], datetime(2026, 5, 1))  # noqa: DTZ001 - what is refused


# Agreement with the model

CLOCKS_SET = {
    ROME: ("2026-03-29 01:00", "2026-10-25 01:00"),
    NEW_YORK: ("2026-03-08 07:00", "2026-11-01 06:00"),
    LORD_HOWE: ("2026-04-04 15:00", "2026-10-03 15:30"),
    KATHMANDU: ("2026-02-28 12:00",),
    "UTC": ("2026-12-31 12:00", "2028-02-29 12:00"),
    "America/Nuuk": ("2026-03-28 01:00", "2026-10-25 01:00"),  # back from midnight into the day before
    "America/St_Johns": ("2010-03-14 03:31", "2010-11-07 02:31"),  # one minute after midnight
    "America/Havana": ("2026-03-08 05:00", "2026-11-01 05:00"),
    "Africa/Cairo": ("2026-04-23 22:00", "2026-10-29 21:00"),
    "Pacific/Apia": ("2011-12-30 10:00",),
    "America/Toronto": ("1919-03-31 04:30",),  # forward from half an hour before midnight to half an hour after
}
"""When clocks are set, in UTC; where they are not, months that end."""
EITHER_SIDE = timedelta(days=9)
LONGEST = timedelta(hours=80)

Wall = tuple[int, int, int, int]
"""Minute of the day, day of month, month, day of week (0 is Sunday)."""


@lru_cache(maxsize=64)
def walls(zone: str, first: datetime, minutes: int) -> tuple[tuple[Wall, ...], ...]:
    """What the clock on the wall comes to show at each minute: mostly one time, several where some are left out."""
    shown = [(first + n * MINUTE).astimezone(ZoneInfo(zone)).replace(tzinfo=None) for n in range(-1, minutes)]
    found = []
    for before, now in pairwise(shown):
        passed = [now] if now <= before else [before + n * MINUTE for n in range(1, (now - before) // MINUTE + 1)]
        found.append(tuple((wall.hour * 60 + wall.minute, wall.day, wall.month, wall.isoweekday() % 7) for wall in passed))
    return tuple(found)


@dataclass(frozen=True)
class Fields:
    """A schedule as sets; None is `*`."""

    minutes: frozenset[int] | None
    hours: frozenset[int] | None
    days: frozenset[int] | None
    months: frozenset[int] | None
    weekdays: frozenset[int] | None

    def text(self) -> str:
        parts = (self.minutes, self.hours, self.days, self.months, self.weekdays)
        return " ".join("*" if part is None else ",".join(map(str, sorted(part))) for part in parts)

    def fits(self, wall: Wall) -> bool:
        minute, day, month, weekday = wall
        if self.minutes is not None and minute % 60 not in self.minutes:
            return False
        if self.hours is not None and minute // 60 not in self.hours:
            return False
        if self.months is not None and month not in self.months:
            return False
        if self.days is not None and self.weekdays is not None:
            return day in self.days or weekday in self.weekdays
        return (self.days is None or day in self.days) and (self.weekdays is None or weekday in self.weekdays)


@dataclass(frozen=True)
class Case:
    """A window as text, and what the model needs of it."""

    window: Window
    fields: Fields
    minutes: int

    def is_open(self, first: datetime, minutes: int) -> list[bool]:
        """For each minute from `first`, looking back as far as the longest duration."""
        back = LONGEST // MINUTE
        seen = walls(self.window.time_zone, first - LONGEST, minutes + back)
        starts = (n if any(map(self.fields.fits, shown)) else -back for n, shown in enumerate(seen))
        return [n - start < self.minutes for n, start in enumerate(accumulate(starts, max))][back:]


Model = Mapping[WindowAction, tuple[Sequence[bool], Sequence[int]]]
"""For each class of changes: whether it is allowed at each minute, and the minutes at which that changes."""


def modelled(cases: Sequence[Case], first: datetime, minutes: int) -> Model:
    """The slow truth, from `first` on."""
    opens = [case.is_open(first, minutes) for case in cases]
    model = {}
    for action in WindowAction:
        by_kind: dict[WindowKind, list[list[bool]]] = {kind: [] for kind in WindowKind}
        for case, is_open in zip(cases, opens, strict=True):
            if not case.window.actions or action in case.window.actions:
                by_kind[case.window.kind].append(is_open)
        denied = map(any, zip([False] * minutes, *by_kind[WindowKind.DENY], strict=True))
        allows = by_kind[WindowKind.ALLOW] or [[True] * minutes]
        answers = [not deny and any(allow) for deny, *allow in zip(denied, *allows, strict=True)]
        model[action] = answers, changes_of(answers)
    return model


def some(values: Sequence[int], most: int) -> st.SearchStrategy[frozenset[int]]:
    return st.frozensets(st.sampled_from(values), min_size=1, max_size=most)


fields = st.builds(
    Fields,
    minutes=st.one_of(st.none(), some((0, 1, 15, 30, 31, 45, 59), 4)),
    hours=st.one_of(st.none(), some((0, 1, 2, 3, 4, 12, 22, 23), 4)),
    days=st.one_of(st.none(), st.none(), some(range(1, 29), 12)),
    months=st.one_of(st.none(), st.none(), some(range(1, 13), 8)),
    weekdays=st.one_of(st.none(), st.none(), some(range(7), 4)),
)


@st.composite
def cases(draw: st.DrawFn, zones: st.SearchStrategy[str]) -> Case:
    drawn = draw(fields)
    minutes = draw(st.sampled_from((1, 7, 30, 60, 90, 60 * 23, 60 * 24, 60 * 25, 60 * 60, 60 * 80)))
    window = Window(
        kind=draw(st.sampled_from(WindowKind)),
        schedule=drawn.text(),
        duration=f"{minutes}m",
        time_zone=draw(zones),
        actions=draw(st.one_of(st.just([]), st.lists(st.sampled_from(WindowAction), max_size=3))),
    )
    return Case(window, drawn, minutes)


@st.composite
def situations(draw: st.DrawFn) -> tuple[list[Case], datetime]:
    zone = draw(st.sampled_from(sorted(CLOCKS_SET)))
    middle = at(draw(st.sampled_from(CLOCKS_SET[zone])))
    zones = st.one_of(st.just(zone), st.just(zone), st.sampled_from(("UTC", ROME, KATHMANDU)))
    return draw(st.lists(cases(zones), min_size=1, max_size=4)), middle


def changes_of(answers: Sequence[bool]) -> list[int]:
    """The minutes with another answer than the minute before."""
    return [n for n, (before, now) in enumerate(pairwise(answers), 1) if before is not now]


def check(cases: Sequence[Case], first: datetime, n: int, model: Model) -> int | None:
    """Compare at minute `n`; return the minute of the next change, None if the model ends before."""
    found = state([case.window for case in cases], first + n * MINUTE)
    following = []
    for action, (answers, changes) in model.items():
        now = found.of(action)
        place = bisect_right(changes, n)
        assert now.is_allowed is answers[n]
        if place == len(changes):
            assert now.until is None or now.until >= first + len(answers) * MINUTE
        else:
            assert now.until == first + changes[place] * MINUTE
            following.append(changes[place])
        if place == 0:
            assert now.since is None or now.since <= first
        else:
            assert now.since == first + changes[place - 1] * MINUTE
    if following:
        assert found.next_change == first + min(following) * MINUTE
    return min(following, default=None)


@settings(max_examples=60)
@given(situations(), st.lists(st.integers(0, 2 * EITHER_SIDE // MINUTE - 1), min_size=5, max_size=5))
def test_the_answer_and_its_changes_are_those_of_the_model_over_weeks_around_set_clocks(
    situation: tuple[list[Case], datetime], samples: list[int]
) -> None:
    cases, middle = situation
    first, minutes = middle - EITHER_SIDE, 2 * EITHER_SIDE // MINUTE
    model = modelled(cases, first, minutes)
    around = [EITHER_SIDE // MINUTE + n for n in (-61, -60, -31, -30, -1, 0, 1, 29, 30, 59, 60)]
    for n in (*samples, *around):
        check(cases, first, n, model)
    n = 0
    for _ in range(60):  # from change to change
        following = check(cases, first, n, model)
        if following is None:
            break
        check(cases, first, following - 1, model)
        n = following


@pytest.mark.parametrize("zone", sorted(CLOCKS_SET))
def test_the_answer_is_that_of_the_model_at_every_minute_around_set_clocks(zone: str) -> None:
    hour, half = frozenset({0, 1, 2, 3, 23}), frozenset({0, 30})
    plain = (Fields(half, hour, None, None, None), 20), (Fields(frozenset({15, 45}), None, None, None, None), 7)
    cases = [
        Case(Window(kind=kind, schedule=fields.text(), duration=f"{minutes}m", time_zone=zone, actions=[]), fields, minutes)
        for kind, (fields, minutes) in zip((WindowKind.ALLOW, WindowKind.DENY), plain, strict=True)
    ]
    for middle in map(at, CLOCKS_SET[zone]):
        first, minutes = middle - timedelta(hours=14), 28 * 60
        model = modelled(cases, first, minutes)
        assert len(model[REVISION][1]) > 10  # or else nothing is compared
        for n in range(minutes):
            check(cases, first, n, model)
