"""Signals.

Aspects: inside and outside · `for` and the clock that stands still without data · how long it settles, and flapping · no data, stale data, data from the future · the worst
of several series · what time alone changes, whenever one asks · the status, restarts, hostile statuses · what the score reads.
"""

import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator.api.duration import parse_seconds
from cvstate_operator.api.vital import Signal
from cvstate_operator.vital import signals
from cvstate_operator.vital.item import ItemKind
from cvstate_operator.vital.reading import Gap, Reading, gap
from cvstate_operator.vital.signals import SignalState, State

START = datetime(2026, 11, 20, 14, 0, 0, tzinfo=UTC)
GOOD, BAD = 0.001, 0.2
RANK = {State.PASSING: 0, State.PENDING: 1, State.BREACHED: 2}


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def signal(**fields: Any) -> Signal:
    told = {"name": "error-rate", "query": "errors", "for": "5m", "staleAfter": "5m", "interval": "20s", "timeout": "10s"} | fields
    return Signal.model_validate(told if "min" in told or "max" in told else told | {"max": "0.01"})


def reading(value: float, seconds: float, *, age: float = 0) -> Reading:
    return Reading(at(seconds), value, value, at(seconds - age))


def no_data(seconds: float, why: Gap = Gap.NO_DATA) -> Reading:
    return gap(why, "the answer is empty", asked_at=at(seconds))


def story(of: Signal, *steps: tuple[float, float | Gap]) -> SignalState:
    """What is judged after all steps: seconds, and the value or why there is none."""
    state = None
    for seconds, told in steps:
        asked = no_data(seconds, told) if isinstance(told, Gap) else reading(told, seconds)
        state = signals.judge(of, state, asked, at(seconds))
    assert state is not None
    return state


ERROR_RATE = signal()


@pytest.mark.parametrize(
    ("limits", "value", "state", "bound"),
    [
        pytest.param({"max": "0.01"}, 0.004, State.PASSING, "<= 0.01", id="below-the-highest"),
        pytest.param({"max": "0.01"}, 0.01, State.PASSING, "<= 0.01", id="the-highest-itself"),
        pytest.param({"max": "0.01"}, 0.0101, State.BREACHED, "<= 0.01", id="above-the-highest"),
        pytest.param({"min": "0.99"}, 1.0, State.PASSING, ">= 0.99", id="above-the-lowest"),
        pytest.param({"min": "0.99"}, 0.98, State.BREACHED, ">= 0.99", id="below-the-lowest"),
        pytest.param({"min": "1", "max": "5"}, 3, State.PASSING, ">= 1 and <= 5", id="between-both"),
        pytest.param({"min": "1", "max": "5"}, 0.5, State.BREACHED, ">= 1 and <= 5", id="below-both"),
        pytest.param({"min": "1", "max": "5"}, 6, State.BREACHED, ">= 1 and <= 5", id="above-both"),
        pytest.param({"max": "0"}, 0, State.PASSING, "<= 0", id="zero-may-be-the-limit"),
        pytest.param({"max": "-5"}, -7, State.PASSING, "<= -5", id="limits-may-be-below-zero"),
    ],
)
def test_a_value_has_to_be_in_its_range(limits: dict[str, str], value: float, state: State, bound: str) -> None:
    found = story(signal(**limits, **{"for": "0s"}), (0, value))
    assert (found.state, found.bound, found.value, found.taken_at, found.gap) == (state, bound, value, START, None)


@pytest.mark.parametrize(
    ("steps", "state", "since"),
    [
        pytest.param([(0, GOOD), (30, BAD)], State.PENDING, 30, id="outside-for-a-moment-is-pending"),
        pytest.param([(0, BAD), (299, BAD)], State.PENDING, 0, id="outside-for-less-than-for-is-pending"),
        pytest.param([(0, BAD), (150, BAD), (300, BAD)], State.BREACHED, 300, id="outside-for-as-long-as-for-is-breached"),
        pytest.param([(0, BAD), (290, BAD), (320, BAD)], State.BREACHED, 300, id="breached-since-the-moment-it-was-due"),
        pytest.param([(0, BAD), (200, GOOD), (230, BAD), (400, BAD)], State.PENDING, 230, id="one-good-value-starts-the-time-anew"),
        pytest.param([(0, BAD), (180, Gap.NO_DATA)], State.UNKNOWN, 180, id="no-data-is-unknown-at-once"),
        pytest.param([(0, BAD), (180, Gap.NO_DATA), (300, BAD)], State.PENDING, 300, id="the-clock-stands-still-without-data"),
        pytest.param([(0, BAD), (180, Gap.NO_DATA), (300, BAD), (420, BAD)], State.BREACHED, 420, id="three-minutes-outside-and-two-more-are-five"),
        pytest.param([(0, BAD), (180, Gap.NO_DATA), (300, BAD), (419, BAD)], State.PENDING, 300, id="three-minutes-outside-and-less-than-two-are-not"),
        pytest.param([(0, BAD), (180, Gap.NO_DATA), (300, GOOD)], State.PASSING, 300, id="a-good-value-after-a-gap-passes"),
        pytest.param([(0, BAD), (290, BAD), (310, Gap.UNREACHABLE), (900, BAD)], State.BREACHED, 900, id="a-gap-ends-no-breach"),
        pytest.param([(0, BAD), (290, BAD), (310, BAD), (320, GOOD)], State.BREACHED, 300, id="a-breach-does-not-end-with-the-first-good-value"),
        pytest.param([(0, BAD), (290, BAD), (310, BAD), (320, GOOD), (350, GOOD)], State.PASSING, 350, id="it-ends-after-a-tenth-of-for"),
        pytest.param([(0, BAD), (290, BAD), (310, GOOD), (330, BAD), (350, GOOD)], State.BREACHED, 300, id="flapping-is-one-breach"),
        pytest.param([(0, BAD), (290, BAD), (310, GOOD), (330, Gap.NO_DATA), (900, GOOD)], State.BREACHED, 900, id="a-recovery-stands-still-without-data"),
        pytest.param([(0, BAD), (290, BAD), (310, GOOD), (330, Gap.NO_DATA), (900, GOOD), (915, GOOD)], State.PASSING, 910, id="and-goes-on-after-it"),
        pytest.param([(0, Gap.NO_DATA), (60, Gap.UNREACHABLE)], State.UNKNOWN, 0, id="unknown-since-the-first-gap"),
    ],
)  # fmt: skip
def test_how_long_counts(steps: list[tuple[float, float | Gap]], state: State, since: float) -> None:
    found = story(ERROR_RATE, *steps)
    assert (found.state, found.since) == (state, at(since)), found


def test_without_for_the_first_value_outside_is_a_breach_and_the_second_inside_ends_it() -> None:
    at_once = signal(**{"for": "0s"})
    assert story(at_once, (0, BAD)).state is State.BREACHED
    assert story(at_once, (0, BAD), (20, GOOD), (40, GOOD)).state is State.BREACHED
    found = story(at_once, (0, BAD), (20, GOOD), (40, GOOD), (60, GOOD))
    assert (found.state, found.since) == (State.PASSING, at(20 + 20 + 10))


@pytest.mark.parametrize("lasting", ["0s", "1s", "1m"])
@pytest.mark.parametrize("interval", ["1s", "20s", "4m"])
def test_a_value_that_flaps_is_one_breach_however_often_it_is_asked_for(lasting: str, interval: str) -> None:
    of = signal(interval=interval, **{"for": lasting})
    pause = parse_seconds(interval)
    state, seconds, seen = None, 0.0, []
    for number in range(200):
        is_flapping = parse_seconds(lasting) < seconds and number % 2
        state = signals.judge(of, state, reading(GOOD if is_flapping else BAD, seconds), at(seconds))
        seconds += pause + 0.9 * min(pause, 10)  # the next answer comes late, just within its timeout
        state = signals.aged(of, state, at(seconds))
        seen.append(state.state)
    first = seen.index(State.BREACHED)
    assert set(seen[first:]) == {State.BREACHED}


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        pytest.param({"for": "0s", "interval": "30s", "timeout": "10s"}, 40, id="until-the-next-answer-is-there"),
        pytest.param({"for": "1m", "interval": "30s", "timeout": "10s"}, 40, id="also-if-a-tenth-of-for-is-less"),
        pytest.param({"for": "10m", "interval": "30s", "timeout": "10s"}, 60, id="a-tenth-of-for-if-that-is-more"),
        pytest.param({"for": "0s", "interval": "5s", "timeout": "10m"}, 10, id="two-intervals-at-most"),
    ],
)
def test_how_long_a_breached_signal_settles(fields: dict[str, str], seconds: float) -> None:
    assert signals.settle_time(signal(staleAfter="15m", **fields)) == timedelta(seconds=seconds)


@pytest.mark.parametrize("why", list(Gap))
def test_no_value_is_unknown_whatever_the_reason_and_keeps_what_was_known(why: Gap) -> None:
    found = story(ERROR_RATE, (0, GOOD), (30, why))
    assert (found.state, found.gap, found.last_known, found.value, found.taken_at) == (State.UNKNOWN, why, State.PASSING, GOOD, START)
    assert ("older than 5m" if why is Gap.STALE else "the answer is empty") in found.message


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        pytest.param(Reading(START), Gap.NO_DATA, id="nothing"),
        pytest.param(Reading(START, math.nan, math.nan, START), Gap.NOT_A_NUMBER, id="nan"),
        pytest.param(Reading(START, 0.0, math.inf, START), Gap.NOT_A_NUMBER, id="infinite"),
        pytest.param(Reading(START, 0.001, 0.001, START - timedelta(minutes=5)), Gap.STALE, id="stale"),
        pytest.param(Reading(START, 0.001, 0.001, START, gap=Gap.REFUSED), Gap.REFUSED, id="a-gap-with-a-value"),
    ],
)
def test_what_is_no_value_never_passes(asked: Reading, why: Gap) -> None:
    found = signals.judge(ERROR_RATE, None, asked, START)
    assert (found.state, found.gap, found.last_known, found.value) == (State.UNKNOWN, why, None, None)


def test_a_sample_counts_by_its_own_time_and_not_by_when_it_was_asked_for() -> None:
    found = signals.judge(ERROR_RATE, None, reading(GOOD, 0, age=299), START)
    assert found.state is State.PASSING
    assert signals.next_change(ERROR_RATE, found) == at(1)
    assert signals.aged(ERROR_RATE, found, at(1)).state is State.UNKNOWN


def test_a_sample_from_the_future_is_one_of_now() -> None:
    found = signals.judge(ERROR_RATE, None, reading(GOOD, 0, age=-3600), START)
    assert (found.state, found.taken_at) == (State.PASSING, START)


def test_a_status_from_the_future_is_not_believed() -> None:
    found = signals.aged(ERROR_RATE, story(ERROR_RATE, (3600, GOOD)), START)
    assert (found.state, found.gap) == (State.UNKNOWN, Gap.STALE)


def test_a_clock_from_the_future_starts_now() -> None:
    told = signals.to_json(story(ERROR_RATE, (0, BAD))) | {"outsideSince": "2150-01-01T00:00:00Z", "since": "2150-01-01T00:00:00Z"}
    state = signals.judge(ERROR_RATE, signals.from_json(told), reading(BAD, 30), at(30))
    assert (state.state, state.outside_since) == (State.PENDING, at(30))
    told = signals.to_json(story(ERROR_RATE, (0, BAD), (290, BAD), (310, GOOD))) | {"insideSince": "2150-01-01T00:00:00Z"}
    state = signals.judge(ERROR_RATE, signals.from_json(told), reading(GOOD, 330), at(330))
    assert (state.state, state.inside_since) == (State.BREACHED, at(330))


@pytest.mark.parametrize(
    ("limits", "low", "high", "value", "series", "state"),
    [
        pytest.param({"max": "0.01"}, 0.0, 0.5, 0.5, "h", State.BREACHED, id="of-a-highest-the-highest-counts"),
        pytest.param({"max": "0.01"}, -9.0, 0.0, 0.0, "h", State.PASSING, id="of-a-highest-the-lowest-does-not"),
        pytest.param({"min": "0.9"}, 0.1, 1.0, 0.1, "l", State.BREACHED, id="of-a-lowest-the-lowest-counts"),
        pytest.param({"min": "10", "max": "20"}, 5, 15, 5, "l", State.BREACHED, id="the-one-that-is-below"),
        pytest.param({"min": "10", "max": "20"}, 15, 25, 25, "h", State.BREACHED, id="the-one-that-is-above"),
        pytest.param({"min": "10", "max": "20"}, 5, 22, 5, "l", State.BREACHED, id="half-of-the-lowest-is-worse-than-a-tenth-above"),
        pytest.param({"min": "10", "max": "20"}, 9, 40, 40, "h", State.BREACHED, id="twice-the-highest-is-worse-than-a-tenth-below"),
        pytest.param({"min": "10", "max": "1000"}, 1, 1500, 1, "l", State.BREACHED, id="each-is-compared-with-its-own-limit"),
        pytest.param({"min": "10", "max": "20"}, 10.5, 15, 10.5, "l", State.PASSING, id="inside-the-one-nearest-to-its-edge"),
        pytest.param({"min": "0", "max": "0"}, -1, 0.5, -1, "l", State.BREACHED, id="both-limits-may-be-zero"),
    ],
)  # fmt: skip
def test_of_several_series_the_worst_counts(
    limits: dict[str, str], low: float, high: float, value: float, series: str, state: State
) -> None:
    asked = Reading(START, low, high, START, low_series="l", high_series="h")
    found = signals.judge(signal(**limits, **{"for": "0s"}), None, asked, START)
    assert (found.value, found.series, found.state) == (value, series, state)


def test_labels_of_a_series_are_one_short_line() -> None:
    asked = Reading(START, 1.0, 1.0, START, high_series='{path="\n\x1b[31m' + "x" * 1000 + '"}')
    found = signals.judge(ERROR_RATE, None, asked, START)
    assert found.series.isprintable()
    assert len(found.series) <= 128


def test_another_bound_starts_anew() -> None:
    before = story(signal(max="0.1"), (0, BAD), (290, BAD), (310, BAD))
    found = signals.judge(signal(max="0.15"), before, reading(BAD, 330), at(330))
    assert (before.state, found.state, found.outside_since) == (State.BREACHED, State.PENDING, at(330))


def test_the_message_is_the_same_until_the_state_changes() -> None:
    one, other = story(ERROR_RATE, (0, 0.5)), story(ERROR_RATE, (0, 0.5), (30, 0.7))
    assert one.message == other.message == "should be <= 0.01 and is not; counts once that lasted 5m"


def test_time_alone_makes_a_pending_signal_breached_and_then_unknown() -> None:
    short = signal(**{"for": "1m"})
    pending = story(short, (0, BAD))
    assert signals.next_change(short, pending) == at(60)
    breached = signals.aged(short, pending, at(70))
    assert (breached.state, breached.since, signals.next_change(short, breached)) == (State.BREACHED, at(60), at(300))
    unknown = signals.aged(short, breached, at(1000))
    assert (unknown.state, unknown.since, unknown.gap, unknown.last_known) == (State.UNKNOWN, at(300), Gap.STALE, State.BREACHED)
    assert signals.next_change(short, unknown) is None


def test_what_is_pending_when_its_data_gets_stale_never_becomes_breached_by_that() -> None:
    found = signals.aged(signal(**{"for": "10m"}), story(signal(**{"for": "10m"}), (0, BAD)), at(3600))
    assert (found.state, found.last_known, found.since) == (State.UNKNOWN, State.PENDING, at(300))


def test_a_signal_that_does_not_change_stays_the_same_object() -> None:
    passing = story(ERROR_RATE, (0, GOOD))
    assert signals.aged(ERROR_RATE, passing, at(299)) is passing


STEPS = st.lists(
    st.tuples(st.integers(1, 900), st.one_of(st.sampled_from([GOOD, BAD, 0.01, 0.011]), st.sampled_from([Gap.NO_DATA, Gap.UNREACHABLE]))),
    min_size=1,
    max_size=12,
).map(lambda steps: [(float(sum(pause for pause, _ in steps[: number + 1])), told) for number, (_, told) in enumerate(steps)])
LENGTHS = st.sampled_from(["0s", "30s", "5m", "20m"])


@given(STEPS, LENGTHS, st.integers(0, 4000), st.integers(0, 4000))
def test_it_makes_no_difference_how_often_one_asks(steps: list[tuple[float, float | Gap]], lasting: str, first: int, second: int) -> None:
    of = signal(**{"for": lasting})
    state = story(of, *steps)
    early, late = sorted((at(steps[-1][0] + first), at(steps[-1][0] + second)))
    assert signals.aged(of, signals.aged(of, state, early), late) == signals.aged(of, state, late)


@given(STEPS, LENGTHS)
def test_nothing_changes_before_the_next_change_and_something_does_then(steps: list[tuple[float, float | Gap]], lasting: str) -> None:
    of = signal(**{"for": lasting})
    state = story(of, *steps)
    due = signals.next_change(of, state)
    if due is None:
        assert state.state is State.UNKNOWN
    else:
        assert due > at(steps[-1][0])
        assert signals.aged(of, state, due - timedelta(microseconds=1)) == state
        assert signals.aged(of, state, due).state is not state.state


@given(STEPS, LENGTHS, st.floats(-10, 10), st.floats(0, 10), st.booleans())
def test_a_worse_reading_never_gives_a_better_state(
    steps: list[tuple[float, float | Gap]], lasting: str, value: float, more: float, is_min: bool
) -> None:
    of = signal(**{"for": lasting} | ({"min": "0.5"} if is_min else {"max": "0.01"}))
    before, now = story(of, *steps), steps[-1][0] + 15
    worse = value - more if is_min else value + more
    one, other = (signals.judge(of, before, reading(each, now), at(now)).state for each in (value, worse))
    assert RANK[other] >= RANK[one]


@given(STEPS, LENGTHS, st.sampled_from(list(Gap)))
def test_a_reading_without_a_value_is_always_unknown(steps: list[tuple[float, float | Gap]], lasting: str, why: Gap) -> None:
    of = signal(**{"for": lasting})
    before, now = story(of, *steps), steps[-1][0] + 15
    found = signals.judge(of, before, no_data(now, why), at(now))
    assert (found.state, found.gap, found.value) == (State.UNKNOWN, why, before.value)


@given(STEPS, LENGTHS)
def test_the_score_reads_the_last_known_judgement(steps: list[tuple[float, float | Gap]], lasting: str) -> None:
    of = signal(weight=7, critical=True, **{"for": lasting})
    state = story(of, *steps)
    item = signals.item(of, state)
    assert (item.kind, item.name, item.weight, item.is_critical) == (ItemKind.SIGNAL, "error-rate", 7, True)
    assert item.is_known is (state.gap is None)
    assert item.value == {State.PASSING: 1.0, State.PENDING: 1.0, State.BREACHED: 0.0, None: None}[state.last_known]
    assert item.is_breached is (state.last_known is State.BREACHED)


def test_a_signal_nobody_asked_for_has_no_value_and_is_not_known() -> None:
    item = signals.item(ERROR_RATE, None)
    assert (item.value, item.is_known, item.is_breached) == (None, False, False)


def test_the_status_tells_it_in_text() -> None:
    asked = Reading(at(330), 0.0, 1 / 3, at(325.5), high_series='{instance="a"}')
    state = signals.judge(ERROR_RATE, story(ERROR_RATE, (0, BAD), (290, BAD), (310, BAD)), asked, at(330))
    assert signals.to_json(state) == {
        "name": "error-rate",
        "state": "Breached",
        "value": "0.333333",
        "bound": "<= 0.01",
        "since": "2026-11-20T14:05:00Z",
        "takenAt": "2026-11-20T14:05:25Z",
        "outsideSince": "2026-11-20T14:00:00Z",
        "series": '{instance="a"}',
        "message": "should be <= 0.01 and is not",
    }


@given(STEPS, LENGTHS)
def test_a_restart_forgets_nothing(steps: list[tuple[float, float | Gap]], lasting: str) -> None:
    of = signal(**{"for": lasting})
    told = signals.to_json(story(of, *steps))
    assert json.loads(json.dumps(told)) == told
    restored = signals.from_json(told)
    assert restored is not None
    assert signals.to_json(restored) == told
    now = steps[-1][0] + 20
    for value in (GOOD, BAD):
        assert signals.judge(of, restored, reading(value, now), at(now)) == signals.judge(
            of, story(of, *steps), reading(value, now), at(now)
        )


@pytest.mark.parametrize(("value", "since"), [pytest.param(GOOD, 0, id="the-same-again"), pytest.param(BAD, 7200, id="another-state")])
def test_a_restart_after_a_while_keeps_since_if_nothing_changed(value: float, since: float) -> None:
    restored = signals.from_json(signals.to_json(story(ERROR_RATE, (0, GOOD))))
    assert signals.judge(ERROR_RATE, restored, reading(value, 7200), at(7200)).since == at(since)


def test_a_gap_that_was_told_of_ends_what_was() -> None:
    assert story(ERROR_RATE, (0, GOOD), (30, Gap.NO_DATA), (60, GOOD)).since == at(60)


TOLD = signals.to_json(story(ERROR_RATE, (0, BAD), (290, BAD), (310, GOOD)))
ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=6,
)
HOSTILE = st.one_of(
    ANYTHING,
    st.sampled_from(
        ["nan", "inf", "1e999", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "2026-11-20T14:00:00", "Unknown", "Stale", "x" * 9999]
    ),
)


@given(
    st.one_of(HOSTILE, st.dictionaries(st.sampled_from(sorted({*TOLD, "gap", "lastKnown", "series"})), HOSTILE).map(lambda bad: TOLD | bad))
)
def test_a_hostile_status_is_read_or_refused_and_never_raises(told: Any) -> None:
    restored = signals.from_json(told)
    if restored is not None:
        assert restored.message.isprintable()
        assert len(json.dumps(signals.to_json(restored))) < 2000
        for now in (START, at(10**7)):
            assert signals.aged(ERROR_RATE, restored, now).name
            for asked in (reading(GOOD, 0), reading(BAD, 0), no_data(0)):
                assert signals.judge(ERROR_RATE, restored, asked, now).state in State


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"state": "Healthy"}, id="no-such-state"),
        pytest.param({"value": None}, id="known-without-a-value"),
        pytest.param({"value": "nan"}, id="known-and-not-a-number"),
        pytest.param({"takenAt": None}, id="known-without-a-time"),
        pytest.param({"since": "9999-12-31T23:59:59Z"}, id="a-time-near-the-end-of-the-calendar"),
        pytest.param({"outsideSince": None}, id="breached-and-never-outside"),
        pytest.param({"state": "Passing"}, id="passing-and-outside"),
        pytest.param({"gap": "Stale"}, id="known-with-a-gap"),
        pytest.param({"state": "Unknown", "lastKnown": "Passing"}, id="unknown-without-a-reason"),
        pytest.param({"state": "Unknown", "gap": "Stale", "lastKnown": "Unknown"}, id="unknown-before-unknown"),
    ],
)
def test_a_status_that_contradicts_itself_is_refused(change: dict[str, Any]) -> None:
    assert signals.from_json(TOLD) is not None
    assert signals.from_json(TOLD | change) is None
