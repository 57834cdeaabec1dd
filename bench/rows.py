"""What the report shows of each scenario, line by line, and how a value is written. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bench.statistics import Interval


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of the records, as people read it."""

    figure: str
    title: str
    unit: str = ""
    """Of the value as it is shown; empty for a number."""
    scale: float = 1.0
    """What the figure is multiplied with to be in that unit."""
    is_cost: bool = True
    """Whether less is better, all else being equal."""

    @property
    def name(self) -> str:
        """Title and unit."""
        return f"{self.title}, {self.unit}" if self.unit else self.title

    def text(self, value: float) -> str:
        """A value, without its unit. What is counted has no digits after the point that were not there."""
        shown = value * self.scale
        return f"{shown:,.0f}" if not self.unit and shown == round(shown) else number(shown)


def number(value: float) -> str:
    """Return three digits that count, and no more than are before the point; 0 is 0."""
    if value < 0:
        return f"-{number(-value)}"
    if value == 0 or value >= 100:
        return f"{value:,.0f}"
    if value == round(value) and value < 10:
        return f"{value:.0f}"
    return f"{value:.{min(4, max(0, 2 - math.floor(math.log10(value))))}f}"


def ratio(found: Interval) -> str:
    """Return a ratio, in how many turns both sides have it, and where it lies: ``0.25 (5 turns, 95 %: 0.23 – 0.27)``, ``0.25 (2 turns, from 0.24 to 0.26)``."""
    if found.turns == 1:
        return f"{number(found.value)} (1 turn)"
    ends = number(found.low), number(found.high)
    where = f"95 %: {' – '.join(ends)}" if found.is_interval else f"from {' to '.join(ends)}"
    return f"{number(found.value)} ({found.turns} turns, {where})"


def _cpu(suffix: str = "", per: str = "") -> tuple[Row, ...]:
    return (
        Row(f"cpu_seconds{suffix}", f"own CPU{per}", "s"),
        Row(f"caused_cpu_seconds{suffix}", f"caused server CPU{per}", "s"),
    )


_PEAK: Final = Row("peak_pss_bytes", "memory, highest of samples a second apart", "MB", 1e-6)
_STEADY: Final = Row("pss_bytes", "memory", "MB", 1e-6)
ROWS: Final[Mapping[str, Sequence[Row]]] = {
    "S1": (
        Row("seconds", "push → last object right", "s"),
        Row("requests_per_object", "requests per object"),
        *_cpu(),
        _PEAK,
    ),
    "S2": (
        Row("seconds", "push → applied, median of a run's commits", "s"),
        Row("max_seconds", "push → applied, longest of a run", "s"),
        Row("requests_per_round", "requests per commit"),
        *_cpu("_per_round", " per commit"),
        _PEAK,
    ),
    "S3": (
        Row("requests_per_hour", "requests per hour"),
        Row("requests_per_hour_and_1000", "requests per hour and 1,000 objects", is_cost=False),
        Row("writes_per_hour", "writes per hour"),
        Row("response_bytes_per_hour", "answers to reads per hour", "MB", 1e-6),
        *_cpu("_per_hour", " per hour"),
        Row("silence_seconds", "silence that was scaled to the hour", "s", is_cost=False),
        Row("source_looks", "looks at the repository in it", is_cost=False),
        _STEADY,
    ),
    "S4": (
        Row("seconds", "drift answered → repaired, p50 of a run", "ms", 1e3),
        Row("sent_seconds", "drift sent → repaired, p50 of a run", "ms", 1e3),
        Row("p99_seconds", "drift answered → repaired, p99 of a run", "ms", 1e3),
        Row("max_seconds", "drift answered → repaired, longest of a run", "ms", 1e3),
        Row("missed", "drifts missed"),
        Row("false_repairs", "false repairs"),
        Row("second_drift_seconds", "second drift of the same ten objects, p50", "ms", 1e3),
        Row("other_drift_seconds", "then ten others, p50", "ms", 1e3),
        Row("object_writes_per_drift", "writes of objects per drift"),
        Row("requests_per_drift", "requests per drift"),
        Row("cpu_seconds_per_drift", "own CPU per drift", "ms", 1e3),
        Row("caused_cpu_seconds_per_drift", "caused server CPU per drift", "ms", 1e3),
    ),
    "S5": (
        Row("seconds", "start → a drift is repaired", "s"),
        Row("done_seconds", "start → all that changed is right", "s"),
        Row("requests", "requests"),
        Row("surplus_writes", "writes beyond the necessary"),
        *_cpu(),
        _PEAK,
    ),
    "S6": (
        Row("pss_bytes", "steady", "MB", 1e-6),
        _PEAK,
        Row("peak_ratio", "highest sample over steady", is_cost=False),
    ),
    "S7": (
        Row("seconds", "declared → last object right", "s"),
        Row("one_seconds", "commit to one → applied, median", "s"),
        Row("all_seconds", "commit to all → last object right", "s"),
        Row("status_writes_per_unit", "status writes per declaring object, cold"),
        Row("unit_writes_per_unit", "all writes to it, cold: status, finalizer, annotations"),
        Row("one_status_writes_per_unit", "status writes per declaring object, commit to one"),
        Row("requests_per_object", "requests per object, cold"),
        Row("one_requests", "requests, commit to one"),
        *_cpu("", ", cold"),
        _PEAK,
    ),
    "S8": (
        Row("seconds", "declared → last object right in the last cluster", "s"),
        Row("median_seconds", "declared → last object right, median of the clusters", "s"),
        Row("one_seconds", "commit to one object → right in the last cluster", "s"),
        Row("clusters", "clusters", is_cost=False),
        Row("far_requests_per_object", "requests to the clusters per object, cold"),
        Row("surplus_writes", "writes beyond the necessary"),
        Row("cluster_bytes", "memory for each cluster", "MB", 1e-6),
        Row("sockets_per_cluster", "open sockets for each cluster"),
        *_cpu("", ", cold"),
        _STEADY,
        _PEAK,
    ),
}
"""Scenario → its rows, the figure that it is about first."""


def row(scenario: str, figure: str) -> Row:
    """Return the row of a figure; of one that this scenario does not show another's, and of one that none shows the name."""
    rows = (*ROWS.get(scenario, ()), *(each for some in ROWS.values() for each in some))
    return next((each for each in rows if each.figure == figure), Row(figure, figure.replace("_", " ")))
