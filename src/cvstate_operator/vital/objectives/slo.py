"""SLOs: whether an objective is met, how much of its error budget is left, and whether it burns too fast. Answers come from Prometheus (`slo_queries`); the
score, the status and the gate for new revisions read the judgement.

It is judged by three windows: its own, for the budget, and the last hour and the last five minutes, for the gate. Nothing is added up here: the budget is
asked for anew each time, so a restart forgets nothing. What was not answered is Unknown, with what was known before; a gap neither closes the gate nor
opens it.

Each answer has an age. The last hour and less are asked for twice a minute: no answer, or a newest sample as old as `staleAfter`, is a gap at once. Longer
windows change slowly: their last answer holds for the time until the next one is due, and for `staleAfter` more, if the next one fails.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

from cvstate_operator.api.duration import span
from cvstate_operator.api.vital import Slo
from cvstate_operator.vital import saved
from cvstate_operator.vital.item import Item, ItemKind
from cvstate_operator.vital.objectives import burn, slo_queries
from cvstate_operator.vital.objectives.burn import Level
from cvstate_operator.vital.objectives.slo_queries import Answer, BudgetQuery, Errors, Terms
from cvstate_operator.vital.reading import Gap

CALM_SHARE: Final = 0.9
"""An SLO that burns is done with it once one of the two windows is below this share of the limit: a rate that flaps around the limit is one burn."""
BUDGET_BACK: Final = 0.01
"""A used-up budget is back once this share of it is left: old errors leave the window one by one."""
RETRY_SECONDS: Final = 180.0
"""A long window that had no answer is asked for again after so long: such a question costs the server much, and may be why there was none."""


class State(StrEnum):
    """What an SLO is judged to be; the set is closed, so it may be a metric label."""

    MET = "Met"
    """There is budget left, and it does not burn too fast."""
    BURNING = "Burning"
    """Above the burn limit, in the last hour and in the last five minutes."""
    EXHAUSTED = "Exhausted"
    """The budget is used up."""
    UNKNOWN = "Unknown"
    """One of the three windows is not known."""


_VALUES: Final = {State.MET: 1.0, State.BURNING: 0.5, State.EXHAUSTED: 0.0}


@dataclass(frozen=True, slots=True)
class SloState:
    """The judgement of one SLO. Times are UTC; numbers are the last known ones."""

    name: str
    state: State
    since: datetime
    """When this state was first found."""
    message: str
    """For people, one line; without numbers that change and without times, so that it is the same until the state changes."""
    last_known: State | None = None
    """Met, Burning or Exhausted: the state, or the one before it became Unknown. None: it never was known."""
    objective: Decimal | None = None
    """Percent; None if it is not known yet."""
    budget_left: float | None = None
    """Share of the budget: 1 is all of it, below 0 it is overdrawn."""
    burn_rate: float | None = None
    """Of the last hour: 1 is evenly."""
    short_burn_rate: float | None = None
    """Of the last five minutes."""
    exhausted_in: float | None = None
    """Seconds until the budget is used up if it burns on as in the last hour. None: not within the window, or not known."""
    level: Level = Level.NONE
    """How loudly the SRE workbook would tell of it, by the windows that are known."""
    taken_at: datetime | None = None
    """When the newest sample behind it was taken."""
    gap: Gap | None = None
    """Why it is Unknown; None if it is not."""
    errors: tuple[Errors, ...] = ()
    """What is known of each window, from short to long; not in the status."""
    terms: Terms | None = None
    """What was asked for; not in the status."""
    changes_at: datetime | None = None
    """When time alone makes something else of it: what it was judged by is too old then. None: never; not in the status."""


def judge(slo: Slo, before: SloState | None, answers: Iterable[Answer], now: datetime) -> SloState:
    """What new answers, or time alone, make of the SLO.

    Args:
        slo: What to meet. One whose queries changed is a new one: give no `before` then.
        before: The judgement so far, or what the status told before a restart: then it holds until there are answers, or its data is too old. None for the
            first time.
        answers: The new ones, to any of the queries; none if only time has passed.
        now: UTC.
    """
    given = sorted(answers, key=lambda answer: answer.query.is_first)  # Long windows first: they know whether `good` was ever seen.
    terms = _terms(slo, before, given)
    was = before or SloState(slo.name, State.UNKNOWN, now, "")
    return _judged(was, _Seen(slo, terms, _merged(slo, before, given, terms, now), _taken_at(was, given), now))


def ask_next(state: SloState | None, query: BudgetQuery, now: datetime) -> datetime:
    """When to ask a query again; `now` if it is due, or was never asked.

    Long windows are asked more often while the budget burns, and a few minutes after they had no answer: a service that just started has no long past yet.
    """
    known = [each for each in state.errors if each.window in query.windows or not query.windows] if state else []
    if state is None or not known:
        return now
    seconds = burn.refresh_seconds(known[0].window if query.windows else burn.GATE_SHORT, state.burn_rate or 0.0)
    if any(each.ratio is None or each.tried_at for each in known):
        seconds = min(seconds, RETRY_SECONDS)
    asked_at = max(each.tried_at or each.asked_at for each in known)
    return max(now, asked_at + timedelta(seconds=seconds))


def is_gate_closed(state: SloState | None, was_closed: bool) -> bool:
    """Whether new revisions are held: while it burns too fast, or is exhausted. While it is unknown, or not judged yet, the gate stays as it was.

    Whether it still burns has its hysteresis in the state itself (`CALM_SHARE`, `BUDGET_BACK`), so the gate and the state always agree.
    """
    if state is None or state.state is State.UNKNOWN:
        return was_closed
    return state.state is not State.MET


def item(slo: Slo, state: SloState | None) -> Item:
    """What the score reads of it, by what was last known: 1 if it is met, 0.5 while it burns, 0 if it is exhausted. None: nobody asked yet."""
    known = state.last_known if state else None
    return Item(
        name=slo.name,
        kind=ItemKind.SLO,
        weight=slo.weight,
        value=None if known is None else _VALUES[known],
        is_known=state is not None and state.state is not State.UNKNOWN,
        is_critical=slo.critical,
        is_breached=known in (State.BURNING, State.EXHAUSTED),
        message=state.message if state else "nobody has asked yet",
        since=state.since if state else None,
    )


def to_json(state: SloState) -> dict[str, str]:
    """As the status tells it: text only, times to the second, nothing that is empty."""
    return saved.without_empty(
        {
            "name": state.name,
            "state": state.state,
            "budgetLeft": None if state.budget_left is None else saved.number_text(state.budget_left),
            "burnRate": None if state.burn_rate is None else saved.number_text(state.burn_rate),
            "exhaustedIn": None if state.exhausted_in is None else saved.length_text(state.exhausted_in, 2),
            "objective": None if state.objective is None else f"{state.objective:f}",
            "level": None if state.level is Level.NONE else state.level,
            "since": saved.moment_text(state.since),
            "takenAt": saved.moment_text(state.taken_at) if state.taken_at else None,
            "lastKnown": state.last_known if state.state is State.UNKNOWN else None,
            "gap": state.gap,
            "message": state.message,
        }
    )


def from_json(told: Any) -> SloState | None:
    """What `to_json` told; None if it is anything else. What is known of each window is not told: that is asked for anew."""
    head = saved.head(told, State, unknown=State.UNKNOWN)
    if head is None:
        return None
    objective = saved.number(told.get("objective"))
    return SloState(
        name=head.name,
        state=head.state,
        since=head.since,
        message=head.message,
        last_known=head.last_known,
        objective=Decimal(told["objective"]) if objective is not None and 0 < objective < 100 else None,
        budget_left=saved.number(told.get("budgetLeft")),
        burn_rate=saved.number(told.get("burnRate")),
        exhausted_in=saved.length(told.get("exhaustedIn")),
        level=saved.word(Level, told.get("level")) or Level.NONE,
        taken_at=head.taken_at,
        gap=head.gap,
    )


@dataclass(frozen=True, slots=True)
class _Seen:
    """All that is known at one moment."""

    slo: Slo
    terms: Terms
    errors: Mapping[float, Errors]
    taken_at: datetime | None
    now: datetime

    def at(self, wanted: float) -> Errors:
        """The errors of a window that hold now; or without a ratio, and why."""
        window: float | None = wanted
        if wanted not in self.errors:
            window = burn.nearest(self.errors, wanted) if self.slo.series is not None else None
        if window is None:
            if self.slo.series is None or not self.errors:
                return Errors(wanted, self.now, gap=Gap.NOT_ASKED, message=f"nobody has asked for {saved.length_text(wanted)} yet")
            return Errors(wanted, self.now, gap=Gap.NO_DATA, message=f"there is no series for {saved.length_text(wanted)}")
        found = self.errors[window]
        if found.ratio is None:
            return found
        if self.now - found.asked_at >= _lasting(self.slo, window):
            return replace(found, ratio=None, gap=Gap.STALE, message=f"the last answer for {saved.length_text(window)} is too old")
        if window <= burn.GATE_LONG and (self.taken_at is None or self.now - self.taken_at >= span(self.slo.stale_after)):
            return replace(found, ratio=None, gap=Gap.STALE, message=f"its newest sample is older than {self.slo.stale_after}")
        return found


def _judged(was: SloState, seen: _Seen) -> SloState:
    """The state by the three windows, and every number that is known."""
    slo, terms = seen.slo, seen.terms
    alerts = burn.alerts(terms.window, terms.scale)
    short, long, whole = (seen.at(wanted) for wanted in _wanted(terms))
    rates = {wanted: rate for wanted in _paired(alerts) if (rate := _rate(terms, seen.at(wanted))) is not None}
    short_rate, rate, whole_rate = _rate(terms, short), _rate(terms, long), _rate(terms, whole)
    left = None if whole_rate is None else burn.budget_left(whole_rate)
    errors = tuple(sorted(seen.errors.values(), key=lambda each: each.window))
    state = _state(slo, was.last_known, short_rate, rate, left)
    if state is State.UNKNOWN:
        lacking = _lacking(seen, (short, long, whole))
        if lacking.gap is Gap.NOT_ASKED and lacking.window not in seen.errors and _still_holds(was, seen):
            return replace(was, errors=errors, terms=terms, changes_at=_stale_at(slo, was.taken_at))
        gap, message = lacking.gap, saved.line(f"there is no data: {lacking.message or lacking.gap}", saved.MAX_MESSAGE)
    else:
        gap, message = None, _message(slo, state, short, long, whole)
    return SloState(
        name=slo.name,
        state=state,
        since=was.since if was.state is state else seen.now,
        message=message,
        last_known=was.last_known if state is State.UNKNOWN else state,
        objective=terms.objective,
        budget_left=was.budget_left if left is None else left,
        burn_rate=was.burn_rate if rate is None else rate,
        short_burn_rate=was.short_burn_rate if short_rate is None else short_rate,
        exhausted_in=None if left is None or rate is None else burn.exhausted_in(left, rate, terms.window),
        level=burn.level(rates, alerts),
        taken_at=seen.taken_at,
        gap=gap,
        errors=errors,
        terms=terms,
        changes_at=None if state is State.UNKNOWN else _next_end(seen, (short, long, whole)),
    )


def _lacking(seen: _Seen, windows: Iterable[Errors]) -> Errors:
    """The first window that is not known, and why; if all are, it is the objective."""
    objective = Errors(seen.terms.window, seen.now, gap=Gap.NO_DATA, message="nobody tells an objective, or it leaves no budget")
    return next((found for found in windows if found.gap is not None), objective)


def _next_end(seen: _Seen, windows: Iterable[Errors]) -> datetime | None:
    """When the first of what holds now is too old. A window that is too old already changes nothing any more: it may burn without."""
    ends = [found.asked_at + _lasting(seen.slo, found.window) for found in windows if found.ratio is not None]
    return min([*ends, *([end] if (end := _stale_at(seen.slo, seen.taken_at)) else [])], default=None)


def _stale_at(slo: Slo, taken_at: datetime | None) -> datetime | None:
    return taken_at + span(slo.stale_after) if taken_at else None


def _still_holds(was: SloState, seen: _Seen) -> bool:
    """Whether a judgement that the status told is young enough to go on with."""
    return was.gap is None and was.taken_at is not None and abs(seen.now - was.taken_at) < span(seen.slo.stale_after)


def _rate(terms: Terms, found: Errors) -> float | None:
    """The burn rate of a window; None if its errors, or the budget, are not known."""
    if found.ratio is None or terms.objective is None:
        return None
    return burn.burn_rate(found.ratio, burn.budget(terms.objective))


def _state(slo: Slo, last_known: State | None, short_rate: float | None, rate: float | None, left: float | None) -> State:
    """The worst that is known. That it is met takes all three windows; that it burns takes two; a used-up budget takes all to be over."""
    if short_rate is None or rate is None:
        return State.UNKNOWN
    limit = _number(slo.burn_limit) * (CALM_SHARE if last_known is State.BURNING else 1.0)
    is_burning = short_rate > limit and rate > limit
    was_exhausted = last_known is State.EXHAUSTED
    if left is None:
        return State.BURNING if is_burning and not was_exhausted else State.UNKNOWN
    if left <= (BUDGET_BACK if was_exhausted else 0.0):
        return State.EXHAUSTED
    return State.BURNING if is_burning else State.MET


def _message(slo: Slo, state: State, short: Errors, long: Errors, whole: Errors) -> str:
    skew = "; good is above total, and taken as total" if short.is_skewed or long.is_skewed or whole.is_skewed else ""
    if state is State.EXHAUSTED:
        return f"the error budget is used up{skew}"
    if state is State.BURNING:
        over = f"{saved.length_text(long.window)} and {saved.length_text(short.window)}"
        return f"the error budget burns more than {slo.burn_limit} times faster than evenly, over {over}{skew}"
    if short.is_idle and long.is_idle:
        return f"no traffic for {saved.length_text(long.window)}: nothing is used up"
    return f"the error budget lasts{skew}"


def _terms(slo: Slo, before: SloState | None, given: Iterable[Answer]) -> Terms:
    """What is asked for. Series tell theirs; while they do not answer, it is what they told last."""
    told = [answer for answer in given if answer.gap is None]
    if slo.series is not None and not told and before is not None and before.terms is not None:
        return before.terms
    return slo_queries.terms(slo, told)


def _taken_at(was: SloState, given: Iterable[Answer]) -> datetime | None:
    """When the newest sample was taken, by the newest answer that tells it."""
    found = [at for answer in given if answer.gap is None and answer.query.is_first and (at := slo_queries.taken_at(answer)) is not None]
    return max(found, default=was.taken_at)


def _merged(slo: Slo, before: SloState | None, given: Iterable[Answer], terms: Terms, now: datetime) -> dict[float, Errors]:
    """What is known of each window. A gap does not replace what still holds of a window longer than an hour."""
    known = {each.window: each for each in before.errors} if before else {}
    for answer in given:
        told = slo_queries.errors(answer, known.values(), terms.window)
        is_gone = answer.gap is None and answer.query.is_first and slo_queries.taken_at(answer) is None and bool(answer.samples)
        if not answer.query.windows:
            known = {}
        for each in told:
            kept = known.get(each.window)
            if is_gone and each.window <= burn.GATE_LONG:
                each = replace(
                    each, ratio=None, gap=Gap.STALE, message=f"there is no sample now: the newest is older than {slo.stale_after}"
                )
            holds = kept is not None and kept.ratio is not None and now - kept.asked_at < _lasting(slo, each.window)
            if kept is not None and each.ratio is None and holds and not answer.query.is_first:
                each = replace(kept, tried_at=answer.asked_at)
            known[each.window] = each
    if slo.series is None:
        return {window: known[window] for window in burn.windows(terms.window) if window in known}
    return known


def _wanted(terms: Terms) -> tuple[float, float, float]:
    """The windows by which it is judged: short, long, its own."""
    return burn.GATE_SHORT * terms.scale, min(burn.GATE_LONG * terms.scale, terms.window), terms.window


def _paired(alerts: Iterable[burn.Alert]) -> set[float]:
    """The windows of the alerts."""
    return {window for alert in alerts for window in (alert.long, alert.short)}


def _lasting(slo: Slo, window: float) -> timedelta:
    """How long an answer for a window holds."""
    return _refresh(window) + span(slo.stale_after)


@lru_cache(maxsize=256)
def _refresh(window: float) -> timedelta:
    return timedelta(seconds=burn.refresh_seconds(window))


@lru_cache(maxsize=256)
def _number(text: str) -> float:
    return float(text)
