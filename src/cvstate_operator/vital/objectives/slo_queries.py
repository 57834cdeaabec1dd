"""SLO queries: what Prometheus is asked for one SLO, and what its answers say of the errors in each window.

Windows that are asked for equally often are one query: its parts are joined by `or`, and tell by two labels what they are. The Prometheus adapter asks and
hands the series over as they are; the judgement of the SLO reads the errors. Nothing is counted here: the counters and their past are Prometheus'.

For `good` and `total` we ask for their sums over each window. Of Sloth and Pyrra we read the series that their recording rules keep, with their windows:

- Sloth: slo:sli_error:ratio_rate5m … ratio_rate30d (an error ratio), slo:objective:ratio, slo:time_period:days; label sloth_id. Source: slok/sloth, the
  rules that `sloth generate` prints.
- Pyrra: <metric>:burnrate5m … burnrate4d (an error ratio, in spite of the name), and from its generic rules (`--generic-rules`) pyrra_objective,
  pyrra_window (seconds), pyrra_availability (over the whole window); label slo. Source: pyrra-dev/pyrra, slo/rules.go.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Final

from cvstate_operator.api.duration import parse_seconds
from cvstate_operator.api.vital import Slo, window_seconds
from cvstate_operator.vital import saved
from cvstate_operator.vital.language import promql
from cvstate_operator.vital.objectives import burn
from cvstate_operator.vital.reading import Gap

WINDOW_LABEL: Final = "cvstate_window"
"""Holds the window, as `5m`, in the series of an answer."""
SIDE_LABEL: Final = "cvstate_side"
"""Holds what the number is (`Side`)."""
MAX_SERIES: Final = 64
"""Series of an answer that are looked at: there are two for each window, and a few more."""
NONSENSE: Final = 2.0
"""More than so many times more good events than events: one of the two queries is wrong. Less is skew between scrapes, or a counter that started anew."""
_SKEW: Final = 1.01
"""Up to so many times more is not worth a word: Prometheus extrapolates (documentation of `increase`)."""
_DAYS_OF_PYRRA: Final = 28 * burn.DAY
"""Pyrra's windows are 5m, 1h and so on for an SLO over 28 days, and in proportion for others. Source: pyrra-dev/pyrra, slo/rules.go, Windows."""


class Side(StrEnum):
    """What a number in an answer is."""

    GOOD = "good"
    TOTAL = "total"
    ERRORS = "errors"
    """Ratio of errors, 0 to 1."""
    AVAILABILITY = "availability"
    """Ratio of good events over the SLO's own window, 0 to 1."""
    OBJECTIVE = "objective"
    """Ratio, 0 to 1."""
    SECONDS = "seconds"
    """The SLO's own window."""
    TAKEN = "taken"
    """When the newest sample was taken, seconds since 1970."""


@dataclass(frozen=True, slots=True)
class BudgetQuery:
    """One question."""

    name: str
    """Which of the SLO's queries it is: `1h` for that whose longest window is an hour; `series`."""
    text: str
    """PromQL; one line if the user's is."""
    windows: tuple[float, ...]
    """Seconds, from short to long; empty if the series themselves tell theirs."""
    refresh_seconds: float
    """How often to ask; long windows more often while the budget burns (`burn.refresh_seconds`)."""
    has_newest: bool
    """Whether the answer tells when the newest sample was taken."""

    @property
    def is_first(self) -> bool:
        """Whether it has the windows that the gate looks at."""
        return not self.windows or self.windows[0] == burn.GATE_SHORT


@dataclass(frozen=True, slots=True)
class Errors:
    """What is known of the events of one window."""

    window: float
    """Seconds."""
    asked_at: datetime
    ratio: float | None = None
    """Share of errors, 0 to 1; 0 without events. None: unknown."""
    is_idle: bool = False
    """There is data, and no event in it."""
    is_skewed: bool = False
    """More good events than events: taken as no errors."""
    has_good: bool = False
    """Good events were told of."""
    tried_at: datetime | None = None
    """When it was asked for again and there was no answer, while this one still holds; None if that was not so."""
    gap: Gap | None = None
    """Why there is no ratio; None if there is one."""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back to one query."""

    query: BudgetQuery
    asked_at: datetime
    """UTC."""
    samples: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """Number by window (as `5m`; empty for what belongs to none) and side."""
    gap: Gap | None = None
    """Why there is no answer; None if there is one, even an empty one."""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Terms:
    """What the SLO asks for, by its spec or by the series."""

    objective: Decimal | None
    """Percent, above 0 and below 100. None: nobody tells one, or one that leaves no budget."""
    window: float
    """Seconds."""
    scale: float = 1.0
    """What the windows of the alerts are multiplied with (`burn.alerts`)."""


def queries(slo: Slo) -> tuple[BudgetQuery, ...]:
    """What to ask for an SLO, the most urgent first. Make them once for a spec: it takes a while to read PromQL.

    How old the data is, is asked of `total`, of its stalest selector; as far back as data may be old, but no further than an hour.

    Raises:
        PromqlError: `good` or `total` is no PromQL from which a question can be made.
    """
    if slo.series is not None:
        text = _sloth(slo.series.sloth) if slo.series.sloth is not None else _pyrra(slo.series.pyrra or "")
        return (BudgetQuery("series", text, (), burn.refresh_seconds(burn.GATE_SHORT), has_newest=True),)
    good, total = slo.good or "", slo.total or ""
    reach = min(max(burn.GATE_SHORT, parse_seconds(slo.stale_after)), burn.HOUR)
    newest = promql.newest_sample(promql.over(total, saved.length_text(reach)))
    made = []
    for number, windows in enumerate(burn.tiers(burn.windows(window_seconds(slo.window)))):
        lengths = [(saved.length_text(window), window) for window in windows]
        parts = [
            _marked(_sum(query, length), side, length) for length, _ in lengths for query, side in ((good, Side.GOOD), (total, Side.TOTAL))
        ]
        asks_newest = number == 0 and newest is not None
        if asks_newest:
            parts.append(_marked(f"min({newest})", Side.TAKEN))
        made.append(BudgetQuery(lengths[-1][0], " or ".join(parts), windows, burn.refresh_seconds(windows[0]), asks_newest))
    return tuple(made)


def answer(query: BudgetQuery, series: Iterable[tuple[Mapping[str, str], float]], *, asked_at: datetime) -> Answer:
    """An answer from the instant vector that Prometheus sent: labels and value of each series. Those without our labels are left out."""
    samples: dict[tuple[str, str], float] = {}
    for labels, value in series:
        if (side := labels.get(SIDE_LABEL)) is not None and len(samples) < MAX_SERIES:
            samples[labels.get(WINDOW_LABEL, ""), side] = value
    return Answer(query, asked_at, samples)


def no_answer(query: BudgetQuery, why: Gap, message: str, *, asked_at: datetime) -> Answer:
    """No answer, and why."""
    return Answer(query, asked_at, gap=why, message=message)


def terms(slo: Slo, answers: Iterable[Answer] = ()) -> Terms:
    """What the SLO asks for. Of series: theirs, and the spec's for what they do not tell."""
    objective = Decimal(slo.objective) if slo.objective is not None else None
    window, scale = _window(slo.window), 1.0
    if slo.series is None:
        return Terms(objective, window)
    for each in answers:
        ratio, seconds = each.samples.get(("", Side.OBJECTIVE)), each.samples.get(("", Side.SECONDS))
        if ratio is not None:
            told = Decimal(f"{ratio * 100:.9g}") if math.isfinite(ratio) else Decimal(0)
            objective = told if 0 < told < 100 else None
        if seconds is not None and burn.HOUR <= seconds <= 366 * burn.DAY:
            window = seconds
    if slo.series.pyrra is not None:
        scale = window / _DAYS_OF_PYRRA
    return Terms(objective, window, scale)


def taken_at(given: Answer) -> datetime | None:
    """When the newest sample was taken: never later than it was asked for; the time of asking if that cannot be asked. None: there is no sample now."""
    if not given.query.has_newest:
        return given.asked_at
    seconds = given.samples.get(("", Side.TAKEN))
    if seconds is None or not 0 < seconds < math.inf:
        return None
    return datetime.fromtimestamp(min(seconds, given.asked_at.timestamp()), UTC)


def errors(given: Answer, before: Iterable[Errors], period: float) -> tuple[Errors, ...]:
    """What an answer says of each of its windows, from short to long.

    A window without a series of good events, but with events, has failed throughout, if good events are told of in a longer window: so it is while all new
    Pods fail. If they are not, the selector may be wrong, and nothing is known.

    Args:
        given: The answer, or why there is none.
        before: What is known of other windows.
        period: The SLO's own window, seconds.
    """
    if given.query.windows:
        longest_good = max((each.window for each in before if each.has_good and each.window not in given.query.windows), default=0.0)
        longest_good = max((saved.length(text) or 0.0 for text, side in given.samples if side == Side.GOOD), default=longest_good)
        return tuple(_counted(given, window, has_good=window <= longest_good) for window in given.query.windows)
    found = {period: _ratio(given, period, 1.0 - given.samples["", Side.AVAILABILITY])} if ("", Side.AVAILABILITY) in given.samples else {}
    for (text, side), value in given.samples.items():
        if side == Side.ERRORS and (window := saved.length(text)):
            found[window] = _ratio(given, window, value)
    for window in (burn.GATE_SHORT, burn.GATE_LONG, period):
        if given.gap is not None or not found:
            found[window] = Errors(
                window, given.asked_at, gap=given.gap or Gap.NO_DATA, message=given.message or "there are no such series"
            )
    return tuple(found[window] for window in sorted(found))


def _counted(given: Answer, window: float, *, has_good: bool) -> Errors:
    """The errors of one window, from its good and all events."""
    text = saved.length_text(window)
    good, total = given.samples.get((text, Side.GOOD)), given.samples.get((text, Side.TOTAL))
    missing = Errors(window, given.asked_at, has_good=good is not None)
    if given.gap is not None:
        return _without(missing, given.gap, given.message)
    if total is None:
        return _without(missing, Gap.NO_DATA, f"total has no series within {text}")
    if good is None and total and not has_good:
        return _without(missing, Gap.NO_DATA, "good has no series, nor in a longer window: no event was good yet, or the query is wrong")
    good = good or 0.0
    if not (math.isfinite(good) and math.isfinite(total)):
        return _without(missing, Gap.NOT_A_NUMBER, "good or total is not a number")
    if good < 0 or total < 0:
        return _without(missing, Gap.NOT_A_NUMBER, "good or total is below zero, as no count is")
    if good > NONSENSE * total:
        return _without(missing, Gap.QUERY_FAILED, "good is more than twice total: one of the queries is wrong")
    ratio = max(0.0, (total - good) / total) if total else 0.0
    return Errors(window, given.asked_at, ratio, is_idle=not total, is_skewed=good > _SKEW * total, has_good=missing.has_good)


def _ratio(given: Answer, window: float, value: float) -> Errors:
    """The errors of one window, from a ratio that was kept."""
    if not math.isfinite(value):
        return Errors(window, given.asked_at, gap=Gap.NOT_A_NUMBER, message="the ratio is not a number: no events, or no data")
    return Errors(window, given.asked_at, min(1.0, max(0.0, value)), has_good=True)


def _without(window: Errors, why: Gap, message: str) -> Errors:
    return Errors(window.window, window.asked_at, has_good=window.has_good, gap=why, message=message)


def _sum(query: str, window: str) -> str:
    """One number over a window. A selector is summed as it is; of anything else the series are. A comment may not swallow what comes after it."""
    asked = promql.over(query, window)
    if promql.is_selector(query):
        return asked
    return f"sum({asked}\n)" if "#" in asked else f"sum({asked})"


def _marked(query: str, side: Side, window: str = "") -> str:
    """A query whose series say what they are. A label that is no label's copy: source and pattern are empty (Prometheus documentation, label_replace)."""
    told = f'label_replace({query}, "{SIDE_LABEL}", "{side}", "", "")'
    return f'label_replace({told}, "{WINDOW_LABEL}", "{window}", "", "")' if window else told


def _kept(selector: str, name: str) -> str:
    """Error ratios that are kept under names that end in their window; of several with one window, as of replicas, the worst."""
    windowed = f'label_replace({selector}, "{WINDOW_LABEL}", "$1", "__name__", "{name}([0-9].*)")'
    return _marked(f"max by ({WINDOW_LABEL}) ({windowed})", Side.ERRORS)


def _sloth(sloth_id: str) -> str:
    label = f"sloth_id={_quoted(sloth_id)}"
    parts = (
        _kept(f'{{__name__=~"slo:sli_error:ratio_rate[0-9].*",{label}}}', "slo:sli_error:ratio_rate"),
        _marked(f"max(slo:objective:ratio{{{label}}})", Side.OBJECTIVE),
        _marked(f"max(slo:time_period:days{{{label}}}) * {burn.DAY:.0f}", Side.SECONDS),
        _marked(f"max(timestamp(slo:sli_error:ratio_rate5m{{{label}}}))", Side.TAKEN),
    )
    return " or ".join(parts)


def _pyrra(name: str) -> str:
    label = f"slo={_quoted(name)}"
    parts = (
        _kept(f'{{__name__=~".+:burnrate[0-9].*",{label}}}', ".+:burnrate"),
        _marked(f"min(pyrra_availability{{{label}}})", Side.AVAILABILITY),
        _marked(f"max(pyrra_objective{{{label}}})", Side.OBJECTIVE),
        _marked(f"max(pyrra_window{{{label}}})", Side.SECONDS),
        _marked(f"max(timestamp(pyrra_availability{{{label}}}))", Side.TAKEN),
    )
    return " or ".join(parts)


def _quoted(text: str) -> str:
    """A string of PromQL, which reads strings as Go does: JSON's escapes are among Go's, but for pairs of surrogates, which therefore stay out."""
    return json.dumps(text.encode(errors="replace").decode(), ensure_ascii=False)


@lru_cache(maxsize=64)
def _window(text: str) -> float:
    return window_seconds(text)
