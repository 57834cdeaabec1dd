"""Burn rates: over which windows the errors of an SLO are counted, how often, and how fast they use up its error budget.

An error budget is the share of events that may fail: 0.1 % for an objective of 99.9 %. A burn rate of 1 uses it up evenly, within exactly the window of the
SLO; one of 14.4 over an hour uses up 2 % of a budget of 30 days. Numbers come from the answers to the queries of the SLO; its judgement reads the result.

Source: Google, The Site Reliability Workbook, chapter 5, "Alerting on SLOs", section 6, "Multiwindow, Multi-Burn-Rate Alerts".
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from itertools import groupby
from typing import Final

HOUR: Final = 3600.0
DAY: Final = 86400.0

GATE_SHORT: Final = 300.0
GATE_LONG: Final = HOUR
"""The burn limit has to be exceeded over both: the long window says that it matters, the short one that it goes on. Source: the workbook's first pair."""

_TIERS: Final = ((HOUR, 30.0), (6 * HOUR, 180.0), (float("inf"), 1800.0))
"""Windows up to so long are asked so often, in seconds: at least ten times within the shortest of them, so that no answer is ever off by more than a tenth
of what it counts. A window of 30 days reads 172,800 samples of each series that is scraped every 15 s: a server should not do that twice a minute."""
_OFTEN: Final = _TIERS[0][1]

NEAR: Final = 1.5
"""A window that another program keeps stands for one that is so many times longer or shorter: Pyrra rounds to minutes."""


class Level(StrEnum):
    """How loudly the workbook would tell of it; the set is closed, so it may be a metric label."""

    NONE = "None"
    TICKET = "Ticket"
    """Somebody should look at it within days."""
    PAGE = "Page"
    """Somebody should look at it now."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One pair of windows. It holds if the burn rate is above `rate` over both."""

    level: Level
    long: float
    """Seconds."""
    short: float
    """Seconds; a twelfth of `long`: the error has to go on."""
    rate: float


_SHARES: Final = (
    (Level.PAGE, 0.02, HOUR, 300.0),
    (Level.PAGE, 0.05, 6 * HOUR, 1800.0),
    (Level.TICKET, 0.10, DAY, 2 * HOUR),
    (Level.TICKET, 0.10, 3 * DAY, 6 * HOUR),
)
"""Level, share of the budget, long and short window. Source: the workbook, table 5-8 and, for the third, the example that follows it (3 over 24h and 2h)."""


@lru_cache(maxsize=64)
def alerts(window: float, scale: float = 1.0) -> tuple[Alert, ...]:
    """The pairs of windows for an SLO over `window` seconds, the loudest first.

    Of 30 days: 14.4 over 1h and 5m, 6 over 6h and 30m, 3 over 1d and 2h, 1 over 3d and 6h. The rate follows from the share of the budget that may be used up
    within the long window; it is never below 1, which never uses up a budget. Pairs as long as the SLO's window are left out.

    Args:
        window: Of the SLO, seconds.
        scale: What the pairs' windows are multiplied with; for programs that keep theirs in proportion to the SLO's.
    """
    scaled = [(level, share, long * scale, short * scale) for level, share, long, short in _SHARES]
    return tuple(Alert(level, long, short, max(1.0, share * window / long)) for level, share, long, short in scaled if long < window)


@lru_cache(maxsize=64)
def windows(window: float) -> tuple[float, ...]:
    """All windows, in seconds, that have to be asked for an SLO over `window` seconds, from short to long: those of the gate, of the alerts, and its own."""
    paired = {length for alert in alerts(window) for length in (alert.long, alert.short)}
    return tuple(sorted(paired | {GATE_SHORT, min(GATE_LONG, window), window}))


def refresh_seconds(window: float, burn_rate: float = 1.0) -> float:
    """How often a window has to be asked for: 30 s up to an hour, 3 min up to six hours, 30 min beyond.

    Long ones are asked more often while the budget burns: divided by the burn rate, but not below 30 s.

    Args:
        window: Seconds.
        burn_rate: Of the last hour; below 1 it makes no difference.
    """
    often = next(often for up_to, often in _TIERS if window <= up_to)
    return max(_OFTEN, often / max(1.0, burn_rate))


def tiers(lengths: Iterable[float]) -> tuple[tuple[float, ...], ...]:
    """Windows that are asked for equally often, together: from short to long."""
    return tuple(tuple(group) for _, group in groupby(sorted(lengths), refresh_seconds))


def nearest(found: Iterable[float], wanted: float) -> float | None:
    """The window that stands for the wanted one: the nearest, if it is near at all (`NEAR`)."""
    near = min(found, key=lambda window: max(window, wanted) / min(window, wanted), default=None)
    return near if near is not None and max(near, wanted) <= NEAR * min(near, wanted) else None


def budget(objective: Decimal) -> float:
    """Share of events that may fail: 0.001 for an objective of 99.9 percent. Above 0 if the objective is below 100."""
    return float((100 - objective) / 100)


def burn_rate(error_ratio: float, of_budget: float) -> float:
    """How many times faster than evenly the budget is used up: 14.4 for 1.44 % errors under 99.9 %. 0 without errors."""
    return error_ratio / of_budget


def budget_left(rate: float) -> float:
    """Share of the budget that is left, by the burn rate over the whole window: 1 is all of it, 0 none, below 0 it is overdrawn."""
    return 1.0 - rate


def exhausted_in(left: float, rate: float, window: float) -> float | None:
    """Seconds until the budget is used up if it burns on at `rate`; 0 if it is. None: not within the window, by when all errors of today have left it.

    At the traffic of the last hour. Errors that leave the window until then are not taken into account; with more traffic it is used up sooner.
    """
    if left <= 0:
        return 0.0
    seconds = left * window / rate if rate > 0 else window
    return seconds if seconds < window else None


def level(rates: Mapping[float, float], alerts_of: Iterable[Alert]) -> Level:
    """The loudest pair that holds; windows without a rate hold nothing.

    Args:
        rates: Burn rate by window, in seconds.
        alerts_of: As of `alerts`, the loudest first.
    """
    for alert in alerts_of:
        long, short = rates.get(alert.long), rates.get(alert.short)
        if long is not None and short is not None and long > alert.rate and short > alert.rate:
            return alert.level
    return Level.NONE
