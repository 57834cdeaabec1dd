"""Change windows: which classes of changes may be written now, by which window, and when that changes.

Input is `spec.windows` (`api/windows.py`) and the time; readers are the pipeline, which holds what is blocked and looks again at `next_change`, and
the status. Observing is never blocked: windows are about writes. Pure: no clock; the tz database counts as a constant.

**Open.** A window is open from each time its schedule matches, for its duration: `[start, start + duration)`. Spans of one window may touch or
overlap; then it stays open. Source: Argo CD, Sync Windows; FEATURES B20.

**Deny wins; Allow confines.** An action is blocked while a Deny window about it is open; if there are Allow windows about it, it is also blocked
while none of those is open. Without windows everything is allowed. Source: Argo CD, Sync Windows. Unlike there, each window names the actions it is
about, so a freeze of releases need not stop repairs (argo-cd#8207).

**Time zones.** A schedule speaks of a clock on a wall, a duration of time that passes: `0 18 * * 5` for 60h ends at 7:00 on the Monday after clocks
went forward, and at 5:00 after they went back. Clocks that are set make two cases, both decided so that no Deny window is missed:

- a local time that does not exist (clocks go forward): the window opens when the clocks are set, as cron of Debian runs such a job at once. A
  CronJob would leave it out, and a freeze would silently not happen.
- a local time that exists twice (clocks go back): it opens at both, as a CronJob runs at both (kubernetes#121594). A window from 2:00 for 1h is
  open whenever clocks show 2:something.

The tz database decides, so an old one errs where governments changed their mind; times far ahead are forecasts.

**Cost.** Days are looked at, not minutes: about a microsecond each, and at most HORIZON_DAYS and the duration to either side. Windows that open and
close all the time beneath each other are followed for MOST_STEPS steps; past that the answer is "not before", never "never".
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final, TypeAlias

from cvstate_operator.api.duration import parse_seconds
from cvstate_operator.api.windows import Window, WindowAction, WindowKind, read_schedule, time_zone

HORIZON_DAYS: Final = 400
"""How far is looked, back and ahead: more than a year, so that yearly windows are seen."""
MOST_STEPS: Final = 1000
"""Openings and closings followed for one answer: more than 2 a day until the horizon."""

_SECOND: Final = 1_000_000
_MINUTE: Final = 60 * _SECOND
_DAY: Final = 24 * 60 * _MINUTE
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY: Final = _EPOCH.toordinal()
_FOREVER: Final = 1 << 62

Instant: TypeAlias = int
"""Microseconds since 1970 in UTC: exact, and quick to compare."""
Span: TypeAlias = tuple[Instant, Instant]
"""From, and up to but without."""


@dataclass(frozen=True, slots=True)
class ActionState:
    """The answer for one class of changes."""

    action: WindowAction
    is_allowed: bool
    window: int | None
    """Index in `spec.windows` of the window that decides: the first open Deny; of closed Allows the one that opens next; the first open Allow.
    None if no window is open or needed."""
    text: str
    """That window for people, without times: `inside spec.windows[0] (Deny "0 18 * * 5" for 60h, Europe/Rome)`. Empty if there is none."""
    since: datetime | None
    """When the answer became what it is; None if it did not change within HORIZON_DAYS. After MOST_STEPS steps: a time since which it did not."""
    until: datetime | None
    """When the answer changes; None if it does not within HORIZON_DAYS. After MOST_STEPS steps: a time before which it does not."""


@dataclass(frozen=True, slots=True)
class WindowState:
    """The answer for every class of changes, in the order of WindowAction."""

    actions: tuple[ActionState, ...]

    @property
    def next_change(self) -> datetime | None:
        """When to look again: the earliest `until`."""
        return min((found.until for found in self.actions if found.until), default=None)

    @property
    def blocked(self) -> tuple[WindowAction, ...]:
        """What may not be written now."""
        return tuple(found.action for found in self.actions if not found.is_allowed)

    def of(self, action: WindowAction) -> ActionState:
        """The answer for one class of changes."""
        return next(found for found in self.actions if found.action is action)


def state(windows: Sequence[Window], now: datetime) -> WindowState:
    """Say what `windows` allow at `now`.

    Args:
        windows: as in the spec; their order decides only which window is named.
        now: with a time zone, whichever.

    Raises:
        ValueError: `now` has no time zone.
    """
    if now.tzinfo is None:
        raise ValueError("now needs a time zone")
    at, horizon = _instant(now), HORIZON_DAYS * _DAY
    calendars = [_calendar(window.schedule, window.duration, window.time_zone) for window in windows]
    ahead = [_Cursor(calendar, at + horizon, mirrored=False) for calendar in calendars]
    # Looking back is looking ahead in a mirror: instant t becomes -t - 1, so that spans stay half-open.
    back = [_Cursor(calendar, horizon - at, mirrored=True) for calendar in calendars]
    answers: dict[tuple[int, ...], _Answer] = {}
    found = []
    for action in WindowAction:
        concerned = tuple(index for index, window in enumerate(windows) if window.concerns(action))
        if concerned not in answers:
            answers[concerned] = _answer(_course(windows, concerned, ahead), _course(windows, concerned, back), at, horizon)
        answer = answers[concerned]
        text = "" if answer.window is None else _text(windows[answer.window], answer)
        found.append(ActionState(action, answer.is_allowed, answer.window, text, answer.since, answer.until))
    return WindowState(tuple(found))


@dataclass(frozen=True, slots=True)
class _Answer:
    is_allowed: bool
    is_inside: bool
    window: int | None
    since: datetime | None
    until: datetime | None


def _answer(ahead: "_Course", back: "_Course", at: Instant, horizon: int) -> _Answer:
    is_allowed, is_inside, window = ahead.named(at)
    until, since = ahead.flip(at, at + horizon), back.flip(-at - 1, horizon - at)
    return _Answer(
        is_allowed=is_allowed,
        is_inside=is_inside,
        window=window,
        since=None if since is None else _moment(-since),
        until=None if until is None else _moment(until),
    )


def _text(window: Window, answer: _Answer) -> str:
    where = "inside" if answer.is_inside else "outside"
    return f'{where} spec.windows[{answer.window}] ({window.kind} "{window.schedule}" for {window.duration}, {window.time_zone})'


class _Cursor:
    """The spans of one window in one direction; remembers what it found, since several classes of changes ask for the same."""

    __slots__ = ("_calendar", "_horizon", "_known", "_mirrored")

    def __init__(self, calendar: "_Calendar", horizon: Instant, *, mirrored: bool) -> None:
        self._calendar = calendar
        self._horizon = horizon
        self._mirrored = mirrored
        self._known: list[tuple[Instant, Span]] = []
        """When it was asked, and the answer: good for every instant from then up to the end of the span. Sorted."""

    def at(self, t: Instant) -> Span:
        """The span that is open at `t`, or else the next one; merged with those that touch it."""
        place = bisect_right(self._known, t, key=_first)
        if place and t < (span := self._known[place - 1][1])[1]:
            return span
        span = _span_after(self._calendar, t, self._horizon, mirrored=self._mirrored)
        self._known.insert(place, (t, span))
        return span


@dataclass(frozen=True, slots=True)
class _Course:
    """How the answer for one action goes on in time, or back in a mirror. Windows by their index."""

    denies: Mapping[int, _Cursor]
    allows: Mapping[int, _Cursor]

    def hold(self, t: Instant) -> tuple[bool, Instant]:
        """The answer at `t`, and an instant before which it cannot change."""
        denied = [cursor.at(t) for cursor in self.denies.values()]
        if ends := [end for start, end in denied if start <= t]:
            return False, max(ends)
        limit = _FOREVER
        if self.allows:
            allowed = [cursor.at(t) for cursor in self.allows.values()]
            ends = [end for start, end in allowed if start <= t]
            if not ends:
                return False, min(start for start, _ in allowed)
            limit = max(ends)
        return True, min([limit, *(start for start, _ in denied)])

    def flip(self, t: Instant, horizon: Instant) -> Instant | None:
        """The first instant after `t` with another answer; None if there is none up to `horizon`."""
        first, t = self.hold(t)
        for _ in range(MOST_STEPS):
            if t > horizon:
                return None
            answer, after = self.hold(t)
            if answer is not first:
                return t
            t = after
        return t

    def named(self, t: Instant) -> tuple[bool, bool, int | None]:
        """The answer at `t`, whether it is given inside or outside of a window, and the index of that window."""
        for index, cursor in self.denies.items():
            if cursor.at(t)[0] <= t:
                return False, True, index
        if not self.allows:
            return True, False, None
        start, index = min((max(cursor.at(t)[0], t), index) for index, cursor in self.allows.items())
        return start <= t, start <= t, index


def _course(windows: Sequence[Window], concerned: Iterable[int], cursors: Sequence[_Cursor]) -> _Course:
    by_kind: dict[WindowKind, dict[int, _Cursor]] = {kind: {} for kind in WindowKind}
    for index in concerned:
        by_kind[windows[index].kind][index] = cursors[index]
    return _Course(denies=by_kind[WindowKind.DENY], allows=by_kind[WindowKind.ALLOW])


@dataclass(frozen=True, slots=True)
class _Calendar:
    """The times of one window."""

    schedule_text: str
    zone_name: str
    duration: int
    """In microseconds."""
    ahead: tuple[Span, ...]
    """The spans of an ordinary day, since its midnight."""
    back: tuple[Span, ...]
    """The same in a mirror."""

    def days(self, first: int, last: int) -> Iterator[int]:
        """The days on which the window may open, from `first` to `last` in their order, a few more at the end."""
        step = 1 if first <= last else -1
        year, end = (date.fromordinal(day).year for day in (first, last))
        for number in range(year, end + step, step):
            days = _days_of_year(self.schedule_text, self.zone_name, number)
            yield from days[bisect_left(days, first) :] if step > 0 else reversed(days[: bisect_right(days, first)])

    def spans(self, day: int, *, mirrored: bool) -> tuple[Instant, tuple[Span, ...]]:
        """The spans that start on one of `days`, sorted and merged, and the instant they are counted from."""
        base, is_ordinary = _day(self.zone_name, day)
        if is_ordinary:
            return (-base, self.back) if mirrored else (base, self.ahead)
        ahead = _spans_of_odd_day(self.schedule_text, self.zone_name, self.duration, day)
        return 0, _mirror(ahead) if mirrored else ahead


@lru_cache(maxsize=128)
def _calendar(schedule_text: str, duration_text: str, zone_name: str) -> _Calendar:
    duration = round(parse_seconds(duration_text) * _SECOND)
    ahead = _merged((minute * _MINUTE for minute in read_schedule(schedule_text).minutes), duration)
    return _Calendar(schedule_text, zone_name, duration, ahead, _mirror(ahead))


def _span_after(calendar: _Calendar, t: Instant, horizon: Instant, *, mirrored: bool) -> Span:
    """The first span that ends after `t`, merged with those that touch it as far as `horizon`; beyond all time if there is none."""
    zone, duration = calendar.zone_name, calendar.duration
    # Where clocks are set near midnight, a start can lie a day off its date.
    if mirrored:
        first, last = _local_day(zone, -t - 1) + 1, _local_day(zone, -horizon - duration) - 1
    else:
        first, last = _local_day(zone, t - duration) - 1, _local_day(zone, horizon) + 1
    found: Span | None = None
    for day in calendar.days(first, last):
        # No span of this day, or of those that follow, starts before this.
        least = -_day(zone, day + 1)[0] - duration if mirrored else _day(zone, day)[0]
        if least > (found[1] if found else horizon) or (found and found[1] > horizon):
            break
        base, spans = calendar.spans(day, mirrored=mirrored)
        for start, end in spans[bisect_right(spans, t - base, key=_end) :]:
            if found is None:
                found = (base + start, base + end)
            elif base + start <= found[1]:
                found = (found[0], max(found[1], base + end))
            else:
                return found
    return found or (_FOREVER, _FOREVER)


def _first(known: tuple[Instant, Span]) -> Instant:
    return known[0]


def _end(span: Span) -> Instant:
    return span[1]


def _merged(starts: Iterable[Instant], duration: int) -> tuple[Span, ...]:
    spans: list[Span] = []
    for start in starts:
        if spans and start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], start + duration)
        else:
            spans.append((start, start + duration))
    return tuple(spans)


def _mirror(spans: tuple[Span, ...]) -> tuple[Span, ...]:
    return tuple((-end, -start) for start, end in reversed(spans))


@lru_cache(maxsize=8192)
def _day(zone_name: str, day: int) -> tuple[Instant, bool]:
    """When a day begins in a zone, and whether clocks are not set on it, nor in the minute before.

    A day begins at its midnight, the first of two; where that does not exist, at the instant that clocks not yet set would show it: days follow each
    other without gap or overlap in any case.
    """
    zone = time_zone(zone_name)
    midnight = datetime.fromordinal(day)
    offset = _offset(zone.utcoffset(midnight))
    begin = (day - _EPOCH_DAY) * _DAY - offset
    checked = (begin - _MINUTE, begin, begin + _DAY)
    return begin, all(_offset_at(zone, t) == offset for t in checked)


@lru_cache(maxsize=512)
def _days_of_year(schedule_text: str, zone_name: str, year: int) -> tuple[int, ...]:
    """The days of a year that fit a schedule, or on which clocks are set."""
    schedule = read_schedule(schedule_text)
    days = range(date(year, 1, 1).toordinal(), date(year + 1, 1, 1).toordinal())
    return tuple(day for day in days if schedule.matches(date.fromordinal(day)) or not _day(zone_name, day)[1])


@lru_cache(maxsize=256)
def _spans_of_odd_day(schedule_text: str, zone_name: str, duration: int, day: int) -> tuple[Span, ...]:
    """The spans that start on a day on which clocks are set, found minute by minute: also where a time matches that is left out."""
    schedule, zone = read_schedule(schedule_text), time_zone(zone_name)
    begin, end = _day(zone_name, day)[0], _day(zone_name, day + 1)[0]
    minutes = frozenset(schedule.minutes)
    shown = (begin - _MINUTE + _offset_at(zone, begin - _MINUTE)) // _MINUTE
    starts = []
    for t in range(begin, end, _MINUTE):
        before, shown = shown, (t + _offset_at(zone, t)) // _MINUTE
        for wall in range(min(before + 1, shown), shown + 1):
            number, minute = divmod(wall, 24 * 60)
            if minute in minutes and schedule.matches(date.fromordinal(_EPOCH_DAY + number)):
                starts.append(t)
                break
    return _merged(starts, duration)


def _local_day(zone_name: str, t: Instant) -> int:
    return _EPOCH_DAY + (t + _offset_at(time_zone(zone_name), t)) // _DAY


def _offset_at(zone: tzinfo, t: Instant) -> int:
    return _offset(_moment(t).astimezone(zone).utcoffset())


def _offset(offset: timedelta | None) -> int:
    return (offset or timedelta()) // timedelta(microseconds=1)


def _instant(moment: datetime) -> Instant:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _moment(t: Instant) -> datetime:
    return _EPOCH + timedelta(microseconds=t)
