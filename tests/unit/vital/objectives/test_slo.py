"""SLOs.

Aspects: met, burning, exhausted, unknown · budget, burn rate and level against numbers worked out by hand · hysteresis and the gate · no traffic · answers of
different ages · series of Sloth and Pyrra · the status, restarts, hostile statuses · what the score reads · how long it takes.
"""

import json
import math
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator.api.vital import Slo
from cvstate_operator.vital import signals
from cvstate_operator.vital.item import ItemKind
from cvstate_operator.vital.objectives import slo as slos
from cvstate_operator.vital.objectives import slo_queries
from cvstate_operator.vital.objectives.burn import DAY, Level
from cvstate_operator.vital.objectives.slo import SloState, State
from cvstate_operator.vital.reading import Gap
from tests.unit.vital.objectives.slo_answers import all_counted, at, counted, kept, near, none_of, pyrra, slo, sloth
from tests.unit.vital.test_signals import HOSTILE, reading, signal

AVAILABILITY = slo()
RANK = {State.MET: 0, State.BURNING: 1, State.EXHAUSTED: 2}
CALM = {"*": 0.0001}
"""A tenth of the budget, in all windows."""
BURNS = {"5m": 0.02, "30m": 0.02, "1h": 0.0144, "6h": 0.003, "2h": 0.008, "1d": 0.001, "3d": 0.0005, "30d": 0.0003}
"""An outage that began within the hour."""


def judged(ratios: dict[str, float], *, of: Slo = AVAILABILITY, before: SloState | None = None, seconds: float = 0, **how: Any) -> SloState:
    return slos.judge(of, before, all_counted(of, ratios, seconds, **how), at(seconds))


def test_a_burn_is_told_with_the_numbers_of_the_workbook() -> None:
    found = judged(BURNS)
    assert found.state is State.BURNING
    assert found.burn_rate == near(14.4)
    assert found.short_burn_rate == near(20)
    assert found.budget_left == near(0.7)
    assert found.exhausted_in == near(0.7 * 30 * DAY / 14.4)
    assert found.taken_at == at(-15)


@pytest.mark.parametrize(
    ("ratios", "state", "left", "rate", "level"),
    [
        pytest.param({"*": 0}, State.MET, 1, 0, Level.NONE, id="no-errors"),
        pytest.param(CALM, State.MET, 0.9, 0.1, Level.NONE, id="few-errors"),
        pytest.param({"*": 0.0009}, State.MET, 0.1, 0.9, Level.NONE, id="nearly-all-of-the-budget"),
        pytest.param({"*": 0.001}, State.EXHAUSTED, 0, 1, Level.NONE, id="all-of-the-budget"),
        pytest.param({"*": 0.003}, State.EXHAUSTED, -2, 3, Level.TICKET, id="overdrawn"),
        pytest.param(CALM | {"5m": 0.0051, "1h": 0.0051}, State.BURNING, 0.9, 5.1, Level.NONE, id="above-the-limit-in-both"),
        pytest.param(CALM | {"5m": 0.0051, "1h": 0.0049}, State.MET, 0.9, 4.9, Level.NONE, id="above-the-limit-in-the-last-five-minutes-only"),
        pytest.param(CALM | {"5m": 0.0049, "1h": 0.0051}, State.MET, 0.9, 5.1, Level.NONE, id="above-the-limit-in-the-last-hour-only"),
        pytest.param(CALM | {"5m": 0.02, "1h": 0.015}, State.BURNING, 0.9, 15, Level.PAGE, id="a-page"),
        pytest.param(CALM | {"30m": 0.007, "6h": 0.007}, State.MET, 0.9, 0.1, Level.PAGE, id="a-page-of-six-hours"),
        pytest.param(CALM | {"2h": 0.004, "1d": 0.004}, State.MET, 0.9, 0.1, Level.TICKET, id="a-ticket"),
        pytest.param({"*": 1.0}, State.EXHAUSTED, -999, 1000, Level.PAGE, id="nothing-but-errors"),
    ],
)  # fmt: skip
def test_an_slo_is_judged_by_its_windows(ratios: dict[str, float], state: State, left: float, rate: float, level: Level) -> None:
    found = judged(ratios)
    assert (found.state, found.level, found.last_known, found.gap) == (state, level, state, None), found
    assert found.budget_left == near(left, abs=1e-9)
    assert found.burn_rate == near(rate, abs=1e-9)


def test_the_limit_is_the_spec_s() -> None:
    assert judged(BURNS, of=slo(burnLimit="14")).state is State.BURNING
    assert judged(BURNS, of=slo(burnLimit="14.5")).state is State.MET


@pytest.mark.parametrize(
    ("steps", "closed"),
    [
        pytest.param([(6, 6)], [True], id="closes-above-the-limit"),
        pytest.param([(6, 6), (4.9, 4.9)], [True, True], id="stays-closed-just-below-it"),
        pytest.param([(6, 6), (4.4, 4.9)], [True, False], id="opens-when-the-last-five-minutes-are-below-nine-tenths"),
        pytest.param([(6, 6), (4.9, 4.4)], [True, False], id="opens-when-the-last-hour-is-below-nine-tenths"),
        pytest.param([(6, 6), (4.9, 4.9), (4.4, 6), (4.9, 4.9)], [True, True, False, False], id="does-not-close-just-below-it"),
        pytest.param([(6, 6), None], [True, True], id="a-gap-does-not-open-it"),
        pytest.param([(1, 1), None], [False, False], id="a-gap-does-not-close-it"),
        pytest.param([None], [False], id="nor-does-one-at-first"),
        pytest.param([(6, 6), None, (4.9, 4.9)], [True, True, True], id="after-a-gap-it-goes-on"),
    ],
)
def test_the_gate(steps: list[tuple[float, float] | None], closed: list[bool]) -> None:
    state, was_closed, found = None, False, []
    for number, rates in enumerate(steps):
        seconds = number * 30.0
        answers = none_of(AVAILABILITY, seconds=seconds)
        if rates is not None:
            answers = all_counted(AVAILABILITY, CALM | {"5m": rates[0] / 1000, "1h": rates[1] / 1000}, seconds)
        state = slos.judge(AVAILABILITY, state, answers, at(seconds))
        was_closed = slos.is_gate_closed(state, was_closed)
        found.append(was_closed)
    assert found == closed


def test_a_used_up_budget_closes_the_gate_until_a_hundredth_is_back() -> None:
    exhausted = judged({"*": 0.001})
    assert slos.is_gate_closed(exhausted, was_closed=False)
    nearly = judged({"*": 0.000995}, before=exhausted, seconds=30)
    assert (nearly.state, slos.is_gate_closed(nearly, was_closed=True)) == (State.EXHAUSTED, True)
    back = judged({"*": 0.00098}, before=nearly, seconds=60)
    assert (back.state, slos.is_gate_closed(back, was_closed=True)) == (State.MET, False)


@pytest.mark.parametrize("was_closed", [True, False])
def test_a_gate_nobody_judged_stays_as_it_was(was_closed: bool) -> None:
    assert slos.is_gate_closed(None, was_closed) is was_closed


def test_no_traffic_is_no_error_and_is_told() -> None:
    found = judged({}, events=0)
    assert (found.state, found.burn_rate, found.budget_left) == (State.MET, 0.0, 1.0)
    assert found.message == "no traffic for 1h: nothing is used up"


def test_new_pods_that_only_fail_burn_though_they_have_no_good_series_yet() -> None:
    found = judged(BURNS, leave={"5m good"})
    assert (found.state, found.short_burn_rate) == (State.BURNING, near(1000))


def test_more_good_events_than_events_is_told() -> None:
    found = judged({"*": -0.1})
    assert (found.state, found.burn_rate) == (State.MET, 0.0)
    assert found.message == "the error budget lasts; good is above total, and taken as total"


@pytest.mark.parametrize(
    ("how", "why"),
    [
        pytest.param({"leave": {"good", "total"}}, Gap.NO_DATA, id="no-series"),
        pytest.param({"leave": {"total"}}, Gap.NO_DATA, id="no-total"),
        pytest.param({"leave": {"good"}}, Gap.NO_DATA, id="no-good-in-any-window"),
        pytest.param({"leave": {"5m good", "5m total"}, "age": None}, Gap.STALE, id="the-counter-is-gone"),
        pytest.param({"age": None}, Gap.STALE, id="no-sample-now"),
        pytest.param({"age": 300}, Gap.STALE, id="an-old-sample"),
        pytest.param({"events": math.nan}, Gap.NOT_A_NUMBER, id="nan"),
        pytest.param({"events": math.inf}, Gap.NOT_A_NUMBER, id="infinite"),
    ],
)
def test_what_cannot_be_told_is_unknown_and_keeps_what_was_known(how: dict[str, Any], why: Gap) -> None:
    before = judged(BURNS)
    found = judged(BURNS, before=before, seconds=3000, **how)
    assert (found.state, found.gap, found.last_known, found.since) == (State.UNKNOWN, why, State.BURNING, at(3000))
    assert found.budget_left == near(0.7)
    assert slos.judge(AVAILABILITY, None, all_counted(AVAILABILITY, BURNS, 3000, **how), at(3000)).state is State.UNKNOWN


@pytest.mark.parametrize("why", list(Gap))
def test_no_answer_is_unknown_whatever_the_reason(why: Gap) -> None:
    found = slos.judge(AVAILABILITY, judged(CALM), none_of(AVAILABILITY, why, 30), at(30))
    assert (found.state, found.gap, found.last_known) == (State.UNKNOWN, why, State.MET)
    assert found.message == "there is no data: connection refused"


FAST, SLOW, RARE = slo_queries.queries(AVAILABILITY)


def test_without_the_whole_window_it_may_burn_but_is_not_met() -> None:
    burning = slos.judge(AVAILABILITY, None, [counted(FAST, BURNS)], at(0))
    assert (burning.state, burning.budget_left, burning.exhausted_in) == (State.BURNING, None, None)
    calm = slos.judge(AVAILABILITY, None, [counted(FAST, CALM)], at(0))
    assert (calm.state, calm.gap) == (State.UNKNOWN, Gap.NOT_ASKED)


def test_a_used_up_budget_that_cannot_be_asked_for_is_not_better_because_it_burns() -> None:
    exhausted = judged({"*": 0.02})
    found = slos.judge(AVAILABILITY, exhausted, [counted(FAST, BURNS, 4000)], at(4000))
    assert (found.state, found.last_known) == (State.UNKNOWN, State.EXHAUSTED)


def test_a_long_window_holds_until_its_next_answer_is_due_and_a_little_longer() -> None:
    state = judged(CALM)
    for seconds in (1799, 2099):
        assert slos.judge(AVAILABILITY, state, [counted(FAST, CALM, seconds)], at(seconds)).state is State.MET
    found = slos.judge(AVAILABILITY, state, [counted(FAST, CALM, 2100)], at(2100))
    assert (found.state, found.gap, found.message) == (State.UNKNOWN, Gap.STALE, "there is no data: the last answer for 30d is too old")


def test_a_long_window_that_could_not_be_asked_for_once_is_still_known() -> None:
    failed = slo_queries.no_answer(RARE, Gap.UNREACHABLE, "timed out", asked_at=at(1800))
    found = slos.judge(AVAILABILITY, judged(CALM), [counted(FAST, CALM, 1800), failed], at(1800))
    assert (found.state, found.budget_left) == (State.MET, near(0.9))
    found = slos.judge(AVAILABILITY, found, [counted(FAST, CALM, 2100)], at(2100))
    assert found.state is State.UNKNOWN


def test_a_short_window_that_could_not_be_asked_for_is_not_known_at_once() -> None:
    failed = slo_queries.no_answer(FAST, Gap.REFUSED, "403", asked_at=at(30))
    assert slos.judge(AVAILABILITY, judged(CALM), [failed], at(30)).gap is Gap.REFUSED


@pytest.mark.parametrize(
    ("query", "ratios", "seconds"),
    [
        pytest.param(FAST, CALM, 30, id="short-windows-every-30-s"),
        pytest.param(SLOW, CALM, 180, id="up-to-six-hours-every-3-min"),
        pytest.param(RARE, CALM, 1800, id="longer-ones-every-30-min"),
        pytest.param(FAST, BURNS, 30, id="short-ones-no-more-often-while-it-burns"),
        pytest.param(RARE, BURNS, 125, id="long-ones-more-often-while-it-burns"),
    ],
)
def test_when_to_ask_next(query: slo_queries.BudgetQuery, ratios: dict[str, float], seconds: float) -> None:
    found = slos.ask_next(judged(ratios), query, at(10))
    assert (found - at(0)).total_seconds() == near(seconds)


def test_what_was_never_asked_or_is_due_is_asked_now() -> None:
    assert slos.ask_next(None, RARE, at(7)) == at(7)
    assert slos.ask_next(slos.from_json(TOLD), RARE, at(7)) == at(7)
    assert slos.ask_next(judged(CALM), FAST, at(31)) == at(31)


def test_a_long_window_without_an_answer_is_asked_again_within_minutes_and_not_at_once() -> None:
    never = slos.judge(AVAILABILITY, None, none_of(AVAILABILITY), at(0))
    assert slos.ask_next(never, RARE, at(10)) == at(180)
    failed = slo_queries.no_answer(RARE, Gap.UNREACHABLE, "timed out", asked_at=at(1800))
    kept_on = slos.judge(AVAILABILITY, judged(CALM), [counted(FAST, CALM, 1800), failed], at(1800))
    assert slos.ask_next(kept_on, RARE, at(1810)) == at(1980)


def test_series_are_asked_for_every_30_seconds() -> None:
    of = sloth()
    state = slos.judge(of, None, [kept(of, SLOTHS, {"objective": 0.999, "seconds": 30 * DAY})], at(0))
    assert slos.ask_next(state, slo_queries.queries(of)[0], at(1)) == at(30)


def test_time_alone_makes_it_unknown_when_told() -> None:
    state = judged(CALM)
    due = state.changes_at
    assert due == at(-15 + 300)
    assert slos.judge(AVAILABILITY, state, (), at(284)).state is State.MET
    assert slos.judge(AVAILABILITY, state, (), due).gap is Gap.STALE
    assert slos.judge(AVAILABILITY, state, (), due).changes_at is None


def test_what_is_over_already_is_no_change_to_come() -> None:
    """It burns on without its whole window, whose answer of half an hour ago is too old; what changes next is that the newest sample is."""
    state = judged(BURNS)
    for seconds in (2070, 2130):
        state = slos.judge(AVAILABILITY, state, [counted(FAST, BURNS, seconds)], at(seconds))
    end = at(2130 - 15 + 300)
    assert (state.state, state.changes_at) == (State.BURNING, end)
    assert slos.judge(AVAILABILITY, state, (), end).state is State.UNKNOWN


def test_the_end_of_a_long_window_s_answer_is_a_change_to_come() -> None:
    state = slos.judge(AVAILABILITY, judged(BURNS), [counted(FAST, BURNS, 2070)], at(2070))
    assert state.changes_at == at(1800 + 300)


def test_what_the_status_told_holds_until_its_data_is_too_old() -> None:
    told = slos.from_json(slos.to_json(judged(CALM)))
    assert slos.judge(AVAILABILITY, told, (), at(60)).changes_at == at(-15 + 300)


def test_since_tells_when_the_state_began() -> None:
    state = judged(CALM)
    assert judged(CALM, before=state, seconds=30).since == at(0)
    assert judged(BURNS, before=state, seconds=60).since == at(60)


def test_the_message_is_the_same_until_the_state_changes() -> None:
    state = judged(BURNS)
    assert state.message == "the error budget burns more than 5 times faster than evenly, over 1h and 5m"
    assert judged(BURNS | {"1h": 0.02}, before=state, seconds=30).message == state.message


def test_an_slo_over_an_hour_is_judged_by_that_hour() -> None:
    found = judged({"*": 0.0004}, of=slo(window="1h"))
    assert (found.state, found.budget_left, found.burn_rate) == (State.MET, near(0.6), near(0.4))


SLOTHS = {"5m": 0.02, "30m": 0.02, "1h": 0.0144, "2h": 0.008, "6h": 0.003, "1d": 0.001, "3d": 0.0005, "30d": 0.0003}


def test_series_of_sloth_give_the_same_judgement_as_counters() -> None:
    of = sloth()
    found = slos.judge(of, None, [kept(of, SLOTHS, {"objective": 0.999, "seconds": 30 * DAY})], at(0))
    assert (found.state, found.level) == (State.BURNING, judged(BURNS).level)
    assert found.burn_rate == near(14.4)
    assert found.budget_left == near(0.7)
    assert slos.to_json(found)["objective"] == "99.9"


def test_series_of_pyrra_are_read_by_their_own_windows() -> None:
    of = pyrra()
    ratios = {"3m": 0.5, "15m": 0.5, "30m": 0.5, "1h": 0.5, "3h": 0.5, "12h": 0.1, "2d": 0.05}
    found = slos.judge(of, None, [kept(of, ratios, {"objective": 0.99, "seconds": 14 * DAY, "availability": 0.995})], at(0))
    assert (found.state, found.level, found.budget_left) == (State.BURNING, Level.PAGE, near(0.5))
    assert found.burn_rate == near(50)
    assert found.message.endswith("over 30m and 3m")


@pytest.mark.parametrize(
    ("ratios", "facts", "why"),
    [
        pytest.param({}, {}, Gap.NO_DATA, id="no-series-at-all"),
        pytest.param(SLOTHS, {}, Gap.NO_DATA, id="no-objective"),
        pytest.param({"1h": 0.0, "30d": 0.0}, {"objective": 0.999}, Gap.NO_DATA, id="no-five-minutes"),
        pytest.param({"5m": 0.0, "1h": 0.0}, {"objective": 0.999}, Gap.NO_DATA, id="no-whole-window"),
        pytest.param({"5m": math.nan, "1h": 0.0, "30d": 0.0}, {"objective": 0.999}, Gap.NOT_A_NUMBER, id="nan"),
        pytest.param({"5m": 0.0, "1h": 0.0, "30d": math.nan}, {"objective": 0.999}, Gap.NOT_A_NUMBER, id="whole-window-nan"),
    ],
)
def test_series_that_lack_something_are_unknown(ratios: dict[str, float], facts: dict[str, float], why: Gap) -> None:
    of = sloth()
    found = slos.judge(of, None, [kept(of, ratios, facts)], at(0))
    assert (found.state, found.gap) == (State.UNKNOWN, why)


def test_series_that_are_not_there_are_asked_for_again_after_a_while() -> None:
    of = sloth()
    for answer in (kept(of, {}, {}), kept(of, SLOTHS, {}), none_of(of)[0]):
        state = slos.judge(of, None, [answer], at(0))
        assert slos.ask_next(state, answer.query, at(1)) == at(30)


def test_series_that_vanish_are_unknown_by_the_terms_they_told() -> None:
    of = sloth()
    before = slos.judge(of, None, [kept(of, SLOTHS, {"objective": 0.999, "seconds": 30 * DAY})], at(0))
    found = slos.judge(of, before, none_of(of, seconds=30), at(30))
    assert (found.state, found.gap, found.last_known, found.terms) == (State.UNKNOWN, Gap.UNREACHABLE, State.BURNING, before.terms)
    assert slos.judge(of, before, [kept(of, {"30d": 0.0}, {"objective": 0.999}, 60)], at(60)).gap is Gap.NO_DATA


RATIOS = st.fixed_dictionaries({name: st.sampled_from([0.0, 0.0001, 0.0009, 0.001, 0.0046, 0.0051, 0.02, 1.0]) for name in BURNS})
STEPS = st.lists(st.one_of(RATIOS, st.sampled_from([Gap.NO_DATA, Gap.UNREACHABLE])), min_size=1, max_size=5)


def story(steps: list[dict[str, float] | Gap], of: Slo = AVAILABILITY) -> SloState:
    """The judgement after answers that came every 30 seconds."""
    state = None
    for number, step in enumerate(steps):
        seconds = number * 30.0
        answers = none_of(of, step, seconds) if isinstance(step, Gap) else all_counted(of, step, seconds)
        state = slos.judge(of, state, answers, at(seconds))
    assert state is not None
    return state


@given(STEPS, RATIOS, st.fixed_dictionaries({name: st.sampled_from([0.0, 0.0001, 0.003, 0.5]) for name in BURNS}))
def test_more_errors_never_give_a_better_state(steps: list[Any], ratios: dict[str, float], more: dict[str, float]) -> None:
    before, seconds = story(steps), len(steps) * 30.0
    worse = {name: min(1.0, ratio + more[name]) for name, ratio in ratios.items()}
    one, other = (judged(each, before=before, seconds=seconds) for each in (ratios, worse))
    assert RANK[other.state] >= RANK[one.state]
    assert (other.budget_left or 0) <= (one.budget_left or 0)
    assert list(Level).index(other.level) >= list(Level).index(one.level)


@given(STEPS)
def test_the_score_reads_the_last_known_judgement(steps: list[Any]) -> None:
    of = slo(weight=5, critical=True)
    state = story(steps, of)
    item = slos.item(of, state)
    assert (item.kind, item.name, item.weight, item.is_critical, item.is_known) == (
        ItemKind.SLO,
        "availability",
        5,
        True,
        state.gap is None,
    )
    assert item.value == {State.MET: 1.0, State.BURNING: 0.5, State.EXHAUSTED: 0.0, None: None}[state.last_known]
    assert item.is_breached is (state.last_known in (State.BURNING, State.EXHAUSTED))


def test_an_slo_nobody_asked_for_has_no_value_and_is_not_known() -> None:
    item = slos.item(AVAILABILITY, None)
    assert (item.value, item.is_known, item.is_breached) == (None, False, False)


def test_the_status_tells_it_in_text() -> None:
    assert slos.to_json(judged(BURNS)) == {
        "name": "availability",
        "state": "Burning",
        "budgetLeft": "0.7",
        "burnRate": "14.4",
        "exhaustedIn": "1d11h",
        "objective": "99.9",
        "since": "2026-11-20T14:00:00Z",
        "takenAt": "2026-11-20T13:59:45Z",
        "message": "the error budget burns more than 5 times faster than evenly, over 1h and 5m",
    }


@given(STEPS, RATIOS)
def test_a_restart_forgets_nothing(steps: list[Any], ratios: dict[str, float]) -> None:
    state = story(steps)
    told = slos.to_json(state)
    assert json.loads(json.dumps(told)) == told
    restored = slos.from_json(told)
    assert restored is not None
    assert slos.to_json(restored) == told
    seconds = len(steps) * 30.0
    assert judged(ratios, before=restored, seconds=seconds) == judged(ratios, before=state, seconds=seconds)


def test_what_the_status_told_holds_until_there_are_answers() -> None:
    restored = slos.from_json(slos.to_json(judged(CALM)))
    assert slos.judge(AVAILABILITY, restored, (), at(10)).state is State.MET
    first = slos.judge(AVAILABILITY, restored, [counted(FAST, CALM, 10)], at(10))
    assert (first.state, first.since) == (State.MET, at(0))
    assert slos.judge(AVAILABILITY, first, [counted(RARE, CALM, 20)], at(20)).since == at(0)
    assert slos.judge(AVAILABILITY, restored, [counted(FAST, BURNS, 10)], at(10)).state is State.BURNING
    assert slos.judge(AVAILABILITY, restored, none_of(AVAILABILITY, seconds=10), at(10)).state is State.UNKNOWN


def test_what_the_status_told_does_not_hold_for_longer_than_its_data() -> None:
    restored = slos.from_json(slos.to_json(judged(CALM)))
    waiting = slos.judge(AVAILABILITY, restored, [counted(FAST, CALM, 10)], at(10))
    found = slos.judge(AVAILABILITY, waiting, [counted(FAST, CALM, 290)], at(290))
    assert (found.state, found.gap, found.last_known) == (State.UNKNOWN, Gap.NOT_ASKED, State.MET)


TOLD = slos.to_json(judged(BURNS))


@given(
    st.one_of(HOSTILE, st.dictionaries(st.sampled_from(sorted({*TOLD, "gap", "lastKnown", "level"})), HOSTILE).map(lambda bad: TOLD | bad))
)
def test_a_hostile_status_is_read_or_refused_and_never_raises(told: Any) -> None:
    restored = slos.from_json(told)
    if restored is not None:
        assert restored.message.isprintable()
        assert len(json.dumps(slos.to_json(restored))) < 2000
        for answers in ((), all_counted(AVAILABILITY, CALM), none_of(AVAILABILITY)):
            assert slos.judge(AVAILABILITY, restored, answers, at(0)).state in State


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"state": "Fine"}, id="no-such-state"),
        pytest.param({"name": 7}, id="no-name"),
        pytest.param({"since": "now"}, id="no-time"),
        pytest.param({"gap": "Stale"}, id="known-with-a-gap"),
        pytest.param({"state": "Unknown"}, id="unknown-without-a-reason"),
    ],
)
def test_a_status_that_contradicts_itself_is_refused(change: dict[str, Any]) -> None:
    assert slos.from_json(TOLD) is not None
    assert slos.from_json(TOLD | change) is None


def test_a_hundred_signals_and_twenty_slos_are_judged_within_milliseconds() -> None:
    of = signal(**{"for": "5m"})
    passing, burning = signals.judge(of, None, reading(0.001, 0), at(0)), judged(BURNS)
    fast, asked = [counted(FAST, BURNS, 30)], reading(0.5, 30)
    times = []
    for _ in range(20):
        started = time.perf_counter()
        for _ in range(100):
            signals.judge(of, passing, asked, at(30))
        for _ in range(20):
            slos.judge(AVAILABILITY, burning, fast, at(30))
        times.append(time.perf_counter() - started)
    assert min(times) < 0.005  # 1.5 ms on a busy machine; more than twice that is a mistake
