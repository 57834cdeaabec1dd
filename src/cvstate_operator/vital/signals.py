"""Signals: a number is in its range or not, and since when. Readings come from Prometheus or from what is counted in the cluster; score, status and
roll-back read the judgement.

A signal that leaves its range is Pending, and Breached once it was outside for `for`. It passes again once it settled (`settle_time`): a value that flaps
around its bound is one breach. Without data it is Unknown, with what was known before: clocks stand still then, and only a good reading ends a breach.

Every change that time alone brings has its own moment (`next_change`), and `since` tells that moment: it makes no difference how often one asks.
"""

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

from cvstate_operator.api.duration import span
from cvstate_operator.api.vital import Signal
from cvstate_operator.vital import saved
from cvstate_operator.vital.item import Item, ItemKind
from cvstate_operator.vital.reading import Gap, Reading

RECOVERY_SHARE: Final = 0.1
"""Share of `for` that a breached signal has to be inside again. Long enough to sit out a value that flaps, short enough to tell a repair soon."""


class State(StrEnum):
    """What a signal is judged to be; the set is closed, so it may be a metric label."""

    PASSING = "Passing"
    """In its range."""
    PENDING = "Pending"
    """Outside, but not for long enough yet; counts as well."""
    BREACHED = "Breached"
    """Outside for long enough, and not inside again for long enough."""
    UNKNOWN = "Unknown"
    """There is no data, or it is too old."""


@dataclass(frozen=True, slots=True)
class SignalState:
    """The judgement of one signal. Times are UTC."""

    name: str
    state: State
    since: datetime
    """When this state began: for what time brings, the moment it was due."""
    bound: str
    """What the value has to be: `<= 0.01`, `>= 0.99`, `>= 1 and <= 5`."""
    message: str
    """For people, one line; without the value and without times, so that it is the same until the state changes."""
    last_known: State | None = None
    """Passing, Pending or Breached: the state, or the one before it became Unknown. None: there never was data."""
    value: float | None = None
    """The last known one, of several series the worst: furthest outside the range, or nearest to its edge."""
    taken_at: datetime | None = None
    """When that was measured."""
    series: str = ""
    """Labels of the worst series, cut; empty if there is one only."""
    outside_since: datetime | None = None
    """Start of the time that counts against `for`, moved on by the time without data. None while inside."""
    inside_since: datetime | None = None
    """While Breached: since when it is inside again. None otherwise."""
    gap: Gap | None = None
    """Why it is Unknown; None if it is not."""


def settle_time(signal: Signal) -> timedelta:
    """How long a breached signal has to be inside again: a tenth of `for`, but no less than until the next answer is there, at the end of its timeout.

    So it takes two good answers in a row. Without it, a signal with `for: 0s` whose value flapped was told 119 times an hour (measured). A timeout that is longer
    than the interval counts as long as that: it is a guess at what is rare, and should not make every end late.
    """
    interval = span(signal.interval)
    return max(span(signal.for_) * RECOVERY_SHARE, interval + min(interval, span(signal.timeout)))


def bound(signal: Signal) -> str:
    """What the value has to be, for people."""
    parts = [f"{sign} {limit}" for sign, limit in ((">=", signal.min), ("<=", signal.max)) if limit is not None]
    return " and ".join(parts)


def judge(signal: Signal, before: SignalState | None, reading: Reading, now: datetime) -> SignalState:
    """What a new reading makes of the signal.

    Args:
        signal: Its bounds and times. A signal whose query changed is a new one: give no `before` then.
        before: The judgement so far, or what the status told before a restart; None for the first time. One with another bound is not taken into account.
            One that was known, and is too old only now, keeps its `since` if it is judged the same again: nobody was told of a gap.
        reading: The newest answer. A value whose sample is `staleAfter` old is no data, and a sample from the future is one of now.
        now: UTC.
    """
    must_be = bound(signal)
    told = before if before is not None and before.bound == must_be else None
    before = aged(signal, told, now) if told is not None else None
    taken_at = min(reading.taken_at or reading.asked_at, now)
    found = _worst(signal, reading)
    if found is None:
        why = _gap(reading)
        return _unknown(signal, before, why, _stale_message(signal) if why is Gap.STALE else reading.message, since=now)
    if now - taken_at >= span(signal.stale_after):
        return _unknown(signal, before, Gap.STALE, _stale_message(signal), since=now)
    value, series, is_inside = found
    outside_since, inside_since = _clocks(before, now) if before is not None else (None, None)
    if before is not None and before.last_known is State.BREACHED:
        state, outside_since, inside_since = State.BREACHED, outside_since or now, (inside_since or now) if is_inside else None
    elif is_inside:
        state, outside_since = State.PASSING, None
    else:
        state, outside_since = State.PENDING, outside_since or now
    made = SignalState(
        name=signal.name,
        state=state,
        since=_since(state, told, before, now),
        bound=must_be,
        message=_message(signal, state, must_be, is_recovering=inside_since is not None),
        last_known=state,
        value=value,
        taken_at=taken_at,
        series=series and saved.line(series, saved.MAX_SERIES),
        outside_since=outside_since,
        inside_since=inside_since,
    )
    return aged(signal, made, now)


def aged(signal: Signal, state: SignalState, now: datetime) -> SignalState:
    """What time alone makes of it: `for` elapses, a recovery lasts, data gets too old. The same object if nothing changes."""
    if state.state is State.UNKNOWN or state.taken_at is None:
        return state
    stale_after = span(signal.stale_after)
    if state.taken_at - now >= stale_after:  # No clock errs so far: somebody wrote that, or our own clock was set back.
        return _unknown(signal, state, Gap.STALE, "its newest sample is from the future", since=now)
    stale_at = state.taken_at + stale_after
    due = _due(signal, state)
    if due is not None and due <= now and due < stale_at:
        state = _moved(signal, state, due)
    if stale_at <= now:
        return _unknown(signal, state, Gap.STALE, _stale_message(signal), since=stale_at)
    return state


def next_change(signal: Signal, state: SignalState) -> datetime | None:
    """When `aged` makes something else of it. None: only a reading changes it."""
    if state.state is State.UNKNOWN or state.taken_at is None:
        return None
    stale_at = state.taken_at + span(signal.stale_after)
    due = _due(signal, state)
    return min(due, stale_at) if due is not None else stale_at


def item(signal: Signal, state: SignalState | None) -> Item:
    """What the score reads of it: 0 if it is breached, by what was last known; 1 if not. None: nobody asked yet."""
    known = state.last_known if state else None
    return Item(
        name=signal.name,
        kind=ItemKind.SIGNAL,
        weight=signal.weight,
        value=None if known is None else 0.0 if known is State.BREACHED else 1.0,
        is_known=state is not None and state.state is not State.UNKNOWN,
        is_critical=signal.critical,
        is_breached=known is State.BREACHED,
        message=state.message if state else "nobody has asked yet",
        since=state.since if state else None,
    )


def to_json(state: SignalState) -> dict[str, str]:
    """As the status tells it: text only, times to the second, nothing that is empty."""
    return saved.without_empty(
        {
            "name": state.name,
            "state": state.state,
            "value": None if state.value is None else saved.number_text(state.value),
            "bound": state.bound,
            "since": saved.moment_text(state.since),
            "takenAt": saved.moment_text(state.taken_at) if state.taken_at else None,
            "outsideSince": saved.moment_text(state.outside_since) if state.outside_since else None,
            "insideSince": saved.moment_text(state.inside_since) if state.inside_since else None,
            "lastKnown": state.last_known if state.state is State.UNKNOWN else None,
            "gap": state.gap,
            "series": state.series,
            "message": state.message,
        }
    )


def from_json(told: Any) -> SignalState | None:
    """What `to_json` told; None if it is anything else. One who knows tells what is measured, and when."""
    head = saved.head(told, State, unknown=State.UNKNOWN)
    if head is None:
        return None
    last_known, value = head.last_known, saved.number(told.get("value"))
    outside_since, inside_since = saved.moment(told.get("outsideSince")), saved.moment(told.get("insideSince"))
    if (last_known is None) is not (value is None or head.taken_at is None):
        return None
    if (outside_since is None) is not (last_known in (None, State.PASSING)) or (inside_since and last_known is not State.BREACHED):
        return None
    return SignalState(
        name=head.name,
        state=head.state,
        since=head.since,
        bound=saved.line(told.get("bound"), saved.MAX_SERIES),
        message=head.message,
        last_known=last_known,
        value=value,
        taken_at=head.taken_at,
        series=saved.line(told.get("series"), saved.MAX_SERIES),
        outside_since=outside_since,
        inside_since=inside_since,
        gap=head.gap,
    )


def _worst(signal: Signal, reading: Reading) -> tuple[float, str, bool] | None:
    """The value that is furthest outside, or nearest to the edge; its series; whether it is inside. None: there is no value.

    Distances from two bounds are compared as shares of the bound, or of the range if the bound is zero.
    """
    low, high = reading.low, reading.high
    if reading.gap is not None or low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return None
    least, most = _limit(signal.min), _limit(signal.max)
    if least is None:
        return (high, reading.high_series, high <= most) if most is not None else None
    if most is None:
        return low, reading.low_series, low >= least
    width = most - least or 1.0
    is_low_worse = (least - low) / (abs(least) or width) > (high - most) / (abs(most) or width)
    if low >= least and high <= most:
        return (low, reading.low_series, True) if is_low_worse else (high, reading.high_series, True)
    if low < least and (is_low_worse or high <= most):
        return low, reading.low_series, False
    return high, reading.high_series, False


def _gap(reading: Reading) -> Gap:
    if reading.gap is not None:
        return reading.gap
    return Gap.NO_DATA if reading.low is None or reading.high is None else Gap.NOT_A_NUMBER


def _unknown(signal: Signal, before: SignalState | None, gap: Gap, why: str, *, since: datetime) -> SignalState:
    """No data, and what was known before."""
    if before is None:
        before = SignalState(signal.name, State.UNKNOWN, since, bound(signal), "")
    told = saved.line(f"there is no data: {why or gap}", saved.MAX_MESSAGE)
    began = before.since if before.state is State.UNKNOWN else since
    return replace(before, state=State.UNKNOWN, since=began, gap=gap, message=told)


def _clocks(before: SignalState, now: datetime) -> tuple[datetime | None, datetime | None]:
    """Since when it is outside, and inside again: moved on by the time without data, and never in the future."""
    outside, inside = before.outside_since, before.inside_since
    paused = max(now - before.since, timedelta()) if before.state is State.UNKNOWN else timedelta()
    return outside and min(min(outside, now) + paused, now), inside and min(min(inside, now) + paused, now)


def _since(state: State, told: SignalState | None, before: SignalState | None, now: datetime) -> datetime:
    """Since when it is in `state`: as `before`, which is `told` aged until now; as `told`, if that became Unknown only by being aged."""
    if told is None or before is None or before.last_known is not state:
        return now
    if before.state is state:
        return before.since
    return told.since if told.state is state else now


def _due(signal: Signal, state: SignalState) -> datetime | None:
    """When `for`, or the recovery, has lasted."""
    if state.state is State.PENDING and state.outside_since is not None:
        return state.outside_since + span(signal.for_)
    if state.state is State.BREACHED and state.inside_since is not None:
        return state.inside_since + settle_time(signal)
    return None


def _moved(signal: Signal, state: SignalState, due: datetime) -> SignalState:
    """Pending becomes Breached, a recovered one Passing, at the moment it is due."""
    if state.state is State.PENDING:
        message = _message(signal, State.BREACHED, state.bound)
        return replace(state, state=State.BREACHED, last_known=State.BREACHED, since=due, message=message)
    message = _message(signal, State.PASSING, state.bound)
    return replace(state, state=State.PASSING, last_known=State.PASSING, since=due, message=message, outside_since=None, inside_since=None)


def _message(signal: Signal, state: State, must_be: str, *, is_recovering: bool = False) -> str:
    if state is State.PASSING:
        return f"is {must_be}, as it should be"
    if state is State.PENDING:
        return f"should be {must_be} and is not; counts once that lasted {signal.for_}"
    if is_recovering:
        return f"should be {must_be} and is so again, but not for long enough yet"
    return f"should be {must_be} and is not"


def _stale_message(signal: Signal) -> str:
    return f"its newest sample is older than {signal.stale_after}"


@lru_cache(maxsize=1024)
def _number(text: str) -> float:
    return float(text)


def _limit(text: str | None) -> float | None:
    return None if text is None else _number(text)
