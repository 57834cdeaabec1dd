"""What is to be reached, and what was: each goal is judged by the runs of one session in one cell. Pure; read by `report`.

A goal is a limit for a figure of ours: its median, or its ratio to the lower bound or to the better setting of the peer. A limit is met when the value is not
above it; the word says besides when not every run, or not all of the ratio's interval, is on the same side, and when there were fewer runs than FEWEST.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from bench.cells import BOUND, OURS, PEER, Cell
from bench.exponents import Exponent
from bench.rows import Row, number, ratio, row
from bench.statistics import Interval, quantile

FEWEST: Final = 5
"""Turns below which a goal counts as met or missed with that said."""
MEGABYTE: Final = 1e6
_MET: Final = "met"
_NOT_MET: Final = "**not met**"


@dataclass(frozen=True, slots=True)
class Goal:
    """One line of the table."""

    scenario: str
    n: int
    figure: str
    limit: float
    """Of the figure, in its own unit; or of its ratio."""
    against: str = ""
    """BOUND or PEER: the limit is one of the ratio to it."""
    m: int = 0
    variant: str = ""
    world: str = "quiet"
    share: float | None = None
    """From 0 to 1: judged is this quantile of the single values of all runs, kept as samples of `seconds`, and not the figure."""
    title: str = ""
    """In place of the row's."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a goal, as text where it is only shown."""

    scenario: str
    what: str
    limit: str
    ours: str = "–"
    peer: str = "–"
    bound: str = "–"
    ratio: str = "–"
    runs: str = "0"
    word: str = "not measured"


def _s4(rate: str, p99: float) -> tuple[Goal, ...]:
    def goal(figure: str, limit: float, *, share: float | None = None, title: str = "") -> Goal:
        return Goal("S4", 5000, figure, limit, variant=f"{rate} per second", share=share, title=title)

    return (
        goal("seconds", 0.010, share=0.5, title="drift answered → repaired, p50 of all runs' drifts"),
        goal("p99_seconds", p99, share=0.99, title="drift answered → repaired, p99 of all runs' drifts"),
        goal("missed", 0),
        goal("false_repairs", 0),
        goal("object_writes_per_drift", 1.0),
        goal("other_drift_seconds", p99),
        goal("second_drift_seconds", p99),
    )


def _s3(n: int, m: int) -> tuple[Goal, ...]:
    return (
        Goal("S3", n, "writes_per_hour", 0, m=m),
        Goal("S3", n, "requests_per_hour_and_1000", 10, m=m),
        Goal("S3", n, "cpu_seconds_per_hour", 12 + 0.5 * n / 1000, m=m),
    )


GOALS: Final = (
    *(Goal("S1", n, "seconds", 1.3, against=BOUND) for n in (1000, 5000, 10000)),
    *(Goal("S1", n, "seconds", limit, against=PEER) for n, limit in ((1000, 0.3), (5000, 0.17), (10000, 0.17))),
    *(Goal("S1", n, "requests_per_object", 1.02) for n in (1000, 5000, 10000)),
    Goal("S2", 10000, "seconds", 0.3, share=0.5, title="push → applied, p50 of all runs' commits"),
    Goal("S2", 10000, "max_seconds", 1.0, share=0.99, title="push → applied, p99 of all runs' commits"),
    Goal("S2", 10000, "requests_per_round", 3, title="requests per commit that changes one object"),
    Goal("S2", 1000, "seconds", 1 / 12, against=PEER),
    Goal("S2", 5000, "seconds", 1 / 100, against=PEER),
    *_s3(1000, 0),
    *_s3(10000, 50000),
    *_s4("20", 0.060),
    *_s4("100", 0.300),
    Goal("S5", 10000, "seconds", 3, variant="unchanged"),
    Goal("S5", 10000, "requests", 60, variant="unchanged"),
    Goal("S5", 10000, "surplus_writes", 0, variant="unchanged"),
    *(Goal("S6", n, "pss_bytes", 90e6 + 1000 * n) for n in (1000, 10000)),
    *(Goal("S6", n, "peak_ratio", 1.5) for n in (1000, 10000)),
    Goal("S7", 10000, "seconds", 30),
    Goal("S7", 10000, "status_writes_per_unit", 2),
    Goal("S7", 10000, "one_seconds", 0.5),
    Goal("S8", 10000, "seconds", 30, variant="all alive"),
    Goal("S8", 10000, "seconds", 30, variant="one dead"),
    Goal("S8", 10000, "pss_bytes", 250e6, variant="all alive"),
)
FOREIGN_MOST: Final = 100_000
FOREIGN_BYTES: Final = 5 * MEGABYTE
"""How much memory FOREIGN_MOST foreign objects may take."""
EXPONENTS: Final = (
    ("S1", "", 1.05),
    ("S2", "", 0.15),
    ("S4", "20 per second", 0.1),
    ("S5", "unchanged", 1.0),
    ("S7", "", 1.05),
    ("S8", "all alive", 1.0),
)
"""Scenario, form, limit of the exponent of its main figure."""


def verdicts(found: Sequence[Cell], fits: Sequence[Exponent]) -> list[Verdict]:
    """Return what came of every goal, in the order of the scenarios.

    Args:
        found: as `cells.cells` returns them.
        fits: as `exponents.exponents` returns them.
    """
    judged = [*(_judge(goal, found) for goal in GOALS), _foreign(found), *(_growth(*each, fits) for each in EXPONENTS)]
    return sorted(judged, key=lambda verdict: verdict.scenario)


def _judge(goal: Goal, found: Iterable[Cell]) -> Verdict:
    shown = row(goal.scenario, goal.figure)
    what, limit = _what(goal, shown), _limit(goal, shown)
    cell = _cell(goal, found)
    if cell is None or cell.median(OURS, goal.figure) is None:
        return Verdict(goal.scenario, what, limit)
    other = cell.best(goal.against or PEER)
    interval = cell.ratio_of(OURS, other, goal.figure)
    turns = cell.common_turns(OURS, other, goal.figure) if goal.against else len(cell.values(OURS, goal.figure))
    if goal.against and interval is None:
        return Verdict(goal.scenario, what, limit, _with_unit(shown, _ours(goal, cell)), word="not measured: nobody to compare with")
    return Verdict(
        goal.scenario,
        what,
        limit,
        ours=_with_unit(shown, _ours(goal, cell)),
        peer=_of(cell, cell.best(PEER), goal, shown),
        bound=_of(cell, cell.best(BOUND), goal, shown),
        ratio=_short(goal, interval) if interval and (goal.against or shown.is_cost) else "–",
        runs=_runs(cell, turns) + _singles(goal, cell),
        word=_of_ratio(interval, goal.limit, turns) if goal.against and interval else _of_value(goal, cell, turns),
    )


def _what(goal: Goal, shown: Row) -> str:
    size = f"{goal.n:,} objects" + (f", {goal.m:,} foreign" if goal.m else "")
    form = f", {goal.variant}" if goal.variant else ""
    return f"{size}{form}: {goal.title or shown.title}"


def _limit(goal: Goal, shown: Row) -> str:
    """The limit as it was set: `≤ 1.3 × bound`, `≤ 1/12 × Flux`, `≤ 300 ms`, `0`."""
    if goal.against:
        part = 1 / goal.limit
        share = f"1/{part:.0f}" if part > 10 and abs(part - round(part)) < 1e-6 else f"{goal.limit:g}"
        return f"≤ {share} × {'bound' if goal.against == BOUND else 'Flux'}"
    value = f"{goal.limit * shown.scale:g}"
    return value if value == "0" else f"≤ {value} {shown.unit}".strip()


def _cell(goal: Goal, found: Iterable[Cell]) -> Cell | None:
    key = (goal.scenario, goal.variant, goal.world, goal.m, goal.n)
    return next((cell for cell in found if cell.key == key), None)


def _ours(goal: Goal, cell: Cell) -> float:
    value = cell.median(OURS, goal.figure)
    assert value is not None, "the caller has looked"
    samples = _samples(cell)
    return quantile(samples, goal.share) if goal.share is not None and samples else value


def _samples(cell: Cell) -> list[float]:
    return [sample for record in cell.runs[OURS] for sample in record.samples.get("seconds", ())]


def _singles(goal: Goal, cell: Cell) -> str:
    """How many single values a quantile is of: the p99 of a hundred is the second longest."""
    number = len(_samples(cell))
    return f", {number:,} values" if goal.share is not None and number else ""


def _with_unit(shown: Row, value: float) -> str:
    return " ".join(part for part in (shown.text(value), shown.unit) if part)


def _of(cell: Cell, tool: str | None, goal: Goal, shown: Row) -> str:
    value = cell.median(tool, goal.figure) if tool else None
    return "–" if value is None else f"{_with_unit(shown, value)} ({tool})"


def _short(goal: Goal, interval: Interval) -> str:
    """A ratio, and to whom: to the one that the goal names, or else to Flux."""
    return f"{ratio(interval)} × {'bound' if goal.against == BOUND else 'Flux'}"


def _runs(cell: Cell, turns: int) -> str:
    broken = sum(record.tool == OURS for record in cell.broken)
    return f"{turns}, and {broken} that do not count" if broken else str(turns)


def _of_ratio(interval: Interval, limit: float, turns: int) -> str:
    is_met = interval.value <= limit
    is_sure = interval.high <= limit if is_met else interval.low > limit
    doubt = "the interval holds the goal" if interval.is_interval else "not so in every turn"
    return _word(is_met=is_met, doubt="" if is_sure else doubt, turns=turns)


def _of_value(goal: Goal, cell: Cell, turns: int) -> str:
    value = _ours(goal, cell)
    runs = _of_runs(goal, cell)
    below = sum(run <= goal.limit for run in runs)
    is_met = value <= goal.limit
    is_one_sided = below == (len(runs) if is_met else 0)
    return _word(is_met=is_met, doubt="" if is_one_sided else f"{below} of {len(runs)} runs meet it", turns=turns)


def _of_runs(goal: Goal, cell: Cell) -> list[float]:
    """The figure of each run, or the quantile of its own single values."""
    samples = [some for record in cell.runs[OURS] if (some := record.samples.get("seconds"))]
    return [quantile(some, goal.share) for some in samples] if goal.share is not None and samples else cell.values(OURS, goal.figure)


def _word(*, is_met: bool, doubt: str, turns: int) -> str:
    few = f"only {turns} {'run' if turns == 1 else 'runs'}" if turns < FEWEST else ""
    notes = "; ".join(part for part in (doubt, few) if part)
    return (_MET if is_met else _NOT_MET) + (f" ({notes})" if notes else "")


def _foreign(found: Iterable[Cell]) -> Verdict:
    """Memory that foreign objects take: the difference of two cells with as many declared objects."""
    what, limit = f"{FOREIGN_MOST:,} foreign objects: memory more than without", f"≤ {FOREIGN_BYTES / MEGABYTE:g} MB"
    medians = {
        cell.key: (value, cell) for cell in found if cell.key.scenario == "S6" and (value := cell.median(OURS, "pss_bytes")) is not None
    }
    for key, (value, cell) in medians.items():
        without = medians.get(key._replace(m=0))
        if key.m == FOREIGN_MOST and without and cell.session == without[1].session:
            more, turns = value - without[0], min(len(each.values(OURS, "pss_bytes")) for each in (cell, without[1]))
            return Verdict(
                "S6",
                what,
                limit,
                f"{number(more / MEGABYTE)} MB",
                runs=str(turns),
                word=_word(is_met=more <= FOREIGN_BYTES, doubt="", turns=turns),
            )
    return Verdict("S6", what, limit)


def _growth(scenario: str, variant: str, limit: float, fits: Iterable[Exponent]) -> Verdict:
    what = f"growth of {scenario}{f', {variant}' if variant else ''}: {row(scenario, 'seconds').title}"
    wanted = (scenario, variant, "quiet", "seconds")
    own = [fit for fit in fits if (fit.scenario, fit.variant, fit.world, fit.figure) == wanted and not fit.is_foreign]
    texts = {fit.tool: fit.text for fit in own}
    ours = next((fit for fit in own if fit.tool == OURS), None)
    if ours is None:
        return Verdict("S9", what, f"exponent ≤ {limit:g}")
    value, error = ours.growth.exponent, ours.growth.error
    is_met = value <= limit
    is_sure = value + 2 * error <= limit if is_met else value - 2 * error > limit
    peer = max((fit for fit in own if fit.tool.startswith(PEER)), key=lambda fit: fit.points, default=None)
    doubt = "" if is_sure else "within two standard errors"
    word = _word(is_met=is_met, doubt=doubt, turns=ours.turns)
    return Verdict(
        "S9",
        what,
        f"exponent ≤ {limit:g}",
        texts[OURS],
        f"{peer.text} ({peer.tool})" if peer else "–",
        texts.get(BOUND, "–"),
        runs=f"{ours.points} at {ours.sizes} sizes",
        word=word,
    )


def summary(found: Sequence[Verdict]) -> str:
    """Say how many goals were met, and name in plain words those that were not."""
    missed = [verdict for verdict in found if verdict.word.startswith(_NOT_MET)]
    met = sum(verdict.word.startswith(_MET) for verdict in found)
    lines = [f"**{met} of {len(found)} goals are met**, {len(missed)} are not, {len(found) - met - len(missed)} were not measured."]
    lines += [f"- Not met: {each.scenario}, {each.what}: {each.ours}{_beside(each)}; the goal is {each.limit}" for each in missed]
    return "\n".join(lines)


def _beside(verdict: Verdict) -> str:
    return f", {verdict.ratio}" if verdict.ratio != "–" and "×" in verdict.limit else ""
