"""ClusterState, `spec.windows`: when changes may be written, and when not.

What a schedule, a duration and a time zone may look like is decided here; when a window is open is decided in `plan/windows.py`.

A schedule has the five fields of cron: minute, hour, day of month, month, day of week. As in a Kubernetes CronJob: `*`, numbers, `1-5`, `1,3`, steps
(`*/2`, `1-9/2`; `5/2` goes on to the end), English names of three letters for months and weekdays; Sunday is 0 or 7. If both the day of month and the
day of week are restricted, a day that fits one of them is enough; `*/2` is a restriction, `*` and `*/1` are none. There are no macros such as `@daily`.
Source: POSIX.1-2024, crontab (POSIX would let a weekday match outside the months given; no cron does, nor do we); robfig/cron v3, parser.go, which
CronJob and Argo CD use (sevens as Sunday come from Vixie cron).

The tz database is read as if it were a constant table; a name is never a path of its own. `UTC` works without any database.
"""

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, date, tzinfo
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field

from cvstate_operator.api.duration import PATTERN as DURATION_PATTERN
from cvstate_operator.api.duration import parse_seconds
from cvstate_operator.api.model import ApiModel, rule

SCHEDULE_PATTERN: Final = r"^[0-9A-Za-z*,/-]+( +[0-9A-Za-z*,/-]+){4}$"
"""Five words; the API server checks no more than that, since CEL cannot read cron."""
ZONE_PATTERN: Final = r"^[A-Z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$"
"""Names of zones, and neither paths (`../x`), nor a machine's own time (`localtime`), nor other files beside them (`zone.tab`, `right/…`)."""
SHORTEST_SECONDS: Final = 60.0
"""Shorter windows are mistakes: a schedule is in minutes."""
MOST_WINDOWS: Final = 32

_SCHEDULE_HELP: Final = 'write five fields: minute, hour, day of month, month, day of week, as in "0 18 * * 5"'
_ZONE_HELP: Final = "write an IANA time zone, such as Europe/Rome or UTC"
_ITEM: Final = re.compile(r"(\*|[0-9]{1,2}|[a-z]{3})(?:-([0-9]{1,2}|[a-z]{3}))?(?:/([0-9]{1,2}))?")
_MONTHS: Final = {
    name: number for number, name in enumerate(("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1)
}
_WEEKDAYS: Final = {name: number for number, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}
_LEAP_YEAR: Final = 2024


@dataclass(frozen=True, slots=True)
class Schedule:
    """A cron schedule that was read: minutes of a day, and which days."""

    minutes: tuple[int, ...]
    """Minutes since local midnight, 0 to 1439, sorted."""
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    """0 is Sunday."""
    either: bool
    """Whether a day that fits only one of `days` and `weekdays` is enough."""

    def matches(self, day: date) -> bool:
        """Whether there is a match on this day of the calendar."""
        if day.month not in self.months:
            return False
        fits_day, fits_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return fits_day or fits_weekday if self.either else fits_day and fits_weekday


@dataclass(frozen=True, slots=True)
class _Cell:
    """One of the five fields: its name for people, its numbers, and names for them."""

    name: str
    low: int
    high: int
    names: dict[str, int]

    def read(self, text: str) -> frozenset[int]:
        found: set[int] = set()
        for item in text.lower().split(","):
            found.update(self._item(item))
        return frozenset(found)

    def _item(self, text: str) -> range:
        match = _ITEM.fullmatch(text)
        if not match:
            raise self._wrong()
        first, last, step = match.groups()
        if first == "*":
            low, high = self.low, self.high
            if last:
                raise self._wrong()
        else:
            low = self._number(first)
            high = self._number(last) if last else max(low, self.high) if step else low
        if low > high:
            raise ValueError(f"has a range of {self.name} that starts after its end; write two, as in 22-23,0-2")
        if step and not int(step):
            raise self._wrong()
        return range(low, high + 1, int(step or 1))

    def _number(self, text: str) -> int:
        number = int(text) if text.isdigit() else self.names.get(text, -1)
        if not self.low <= number <= (7 if self.names is _WEEKDAYS else self.high):
            raise self._wrong()
        return number

    def _wrong(self) -> ValueError:
        names = f" or {next(iter(self.names)).upper()} to {list(self.names)[-1].upper()}" if self.names else ""
        low = self.low
        return ValueError(
            f"has a wrong {self.name}; write *, or {low} to {self.high}{names}, as in {low + 1}, {low + 1}-{low + 4}, {low + 1},{low + 3} or */2"
        )


_MINUTE: Final = _Cell("minute", 0, 59, {})
_HOUR: Final = _Cell("hour", 0, 23, {})
_DAY: Final = _Cell("day of month", 1, 31, {})
_MONTH: Final = _Cell("month", 1, 12, _MONTHS)
_WEEKDAY: Final = _Cell("day of week", 0, 6, _WEEKDAYS)
_EVERY: Final = frozenset({"*", "*/1"})


@lru_cache(maxsize=128)
def read_schedule(text: str) -> Schedule:
    """Read a cron schedule of five fields.

    Raises:
        ValueError: it is none, or no day of any year fits; says what to write and does not repeat the text.
    """
    if not re.fullmatch(SCHEDULE_PATTERN, text):
        raise ValueError(f"is no schedule; {_SCHEDULE_HELP}")
    minute, hour, day, month, weekday = text.split()
    minutes, hours = _MINUTE.read(minute), _HOUR.read(hour)
    schedule = Schedule(
        minutes=tuple(h * 60 + m for h in sorted(hours) for m in sorted(minutes)),
        days=_DAY.read(day),
        months=_MONTH.read(month),
        weekdays=frozenset(number % 7 for number in _WEEKDAY.read(weekday)),
        either=not _EVERY.intersection(day.split(",")) and not _EVERY.intersection(weekday.split(",")),
    )
    longest = max(calendar.monthrange(_LEAP_YEAR, number)[1] for number in schedule.months)
    if not schedule.either and min(schedule.days) > longest:
        raise ValueError("never comes: its months have no such day; write a day of month that exists")
    return schedule


@lru_cache(maxsize=1024)
def time_zone(name: str) -> tzinfo:
    """The rules of an IANA time zone.

    Raises:
        ValueError: there is none of that name in the tz database, or this machine has no tz database.
    """
    if name == "UTC":
        return UTC
    if not re.fullmatch(ZONE_PATTERN, name):
        raise ValueError(f"is no time zone; {_ZONE_HELP}")
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as exc:  # unknown; no rules in that file; a directory, as Europe is
        raise ValueError(f"is no time zone known here; {_ZONE_HELP}") from exc


def _check_schedule(text: str) -> str:
    read_schedule(text)
    return text


def _check_zone(name: str) -> str:
    time_zone(name)
    return name


def _check_duration(text: str) -> str:
    if parse_seconds(text) < SHORTEST_SECONDS:
        raise ValueError("must be one minute or longer, such as 1h30m")
    return text


class WindowKind(StrEnum):
    """What a window does while it is open."""

    ALLOW = "Allow"
    DENY = "Deny"


class WindowAction(StrEnum):
    """Classes of changes."""

    NEW_REVISION = "NewRevision"
    DRIFT_REPAIR = "DriftRepair"
    PRUNE = "Prune"
    ROLLBACK = "Rollback"


class Window(ApiModel):
    """A repeated span of time in which changes are allowed or denied."""

    kind: WindowKind = Field(
        description="Deny: no changes while it is open. Allow: changes only while it, or another Allow window, is open. Deny wins over Allow."
    )
    schedule: Annotated[str, AfterValidator(_check_schedule)] = Field(
        description="When it opens: minute, hour, day of month, month, day of week, as in a CronJob.",
        max_length=128,
        json_schema_extra={"x-kubernetes-validations": [rule(f"self.matches('{SCHEDULE_PATTERN}')", _SCHEDULE_HELP)]},
    )
    duration: Annotated[str, Field(pattern=DURATION_PATTERN, max_length=32), AfterValidator(_check_duration)] = Field(
        description="How long it stays open, for example 60h: time that passes, whatever clocks are set to meanwhile.",
        json_schema_extra={
            "x-kubernetes-validations": [rule("duration(self) >= duration('1m')", "must be one minute or longer, such as 1h30m")]
        },
    )
    time_zone: Annotated[str, AfterValidator(_check_zone)] = Field(
        "UTC",
        description="Whose clock the schedule means, for example Europe/Rome.",
        max_length=64,
        json_schema_extra={"x-kubernetes-validations": [rule(f"self.matches('{ZONE_PATTERN}')", _ZONE_HELP)]},
    )
    actions: list[WindowAction] = Field([], description="The changes it is about. Empty: all of them.", max_length=len(WindowAction))

    def concerns(self, action: WindowAction) -> bool:
        """Whether the window is about `action`."""
        return not self.actions or action in self.actions


Windows = Annotated[list[Window], Field(max_length=MOST_WINDOWS)]
"""A pydantic field type for `spec.windows`."""
