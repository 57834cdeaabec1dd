"""S9, growth: how what a scenario costs grows with the number of declared objects, from the runs that are kept. Pure; read by `report`.

For S7 that is growth with the number of declaring objects too, ten of the former for each. Cells with foreign objects are left out, but for S6: there memory
is fitted over the foreign ones too. Each line is of one session.
"""

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from bench.cells import Cell, family, of_one_session
from bench.results import Record
from bench.statistics import Growth, growth

FIGURES: Final = (
    "one_seconds",
    "all_seconds",
    "requests",
    "requests_per_round",
    "requests_per_drift",
    "one_requests",
    "cpu_seconds",
    "cpu_seconds_per_round",
    "cpu_seconds_per_drift",
    "caused_cpu_seconds",
    "caused_cpu_seconds_per_round",
    "caused_cpu_seconds_per_drift",
    "peak_pss_bytes",
)
"""What is fitted, besides the figure that a scenario is about."""
_OF_THE_WHOLE: Final = frozenset({"requests", "cpu_seconds", "caused_cpu_seconds"})
"""Of S4 no growth: how many drifts a run has depends on the number of objects."""


@dataclass(frozen=True, slots=True)
class Exponent:
    """One line of the table."""

    scenario: str
    variant: str
    world: str
    figure: str
    tool: str
    """`bound` for the lower bound, at the best width of each size."""
    fewest: int
    most: int
    """Objects, from and to."""
    points: int
    """Runs behind it."""
    sizes: int
    """How many numbers of objects these had."""
    turns: int
    """Runs at the smallest or at the largest size, of which there are fewer: they decide the exponent."""
    growth: Growth
    is_foreign: bool = False
    """Whether the objects are foreign ones; else they are declared."""

    @property
    def text(self) -> str:
        """The exponent and its standard error: ``1.02 ± 0.03``."""
        return f"{round(self.growth.exponent, 2) + 0.0:.2f} ± {self.growth.error:.2f}"


def exponents(found: Sequence[Cell]) -> list[Exponent]:
    """Return what can be fitted, in the order of the cells: a figure above 0 in every run, of at least two sizes and three runs.

    Each run is a point, so that the error holds the spread of runs too.

    Args:
        found: as `cells.cells` returns them.
    """
    groups = [list(group) for _, group in groupby(found, key=lambda cell: cell.key[:3])]
    return [fit for group in groups for fit in (*_declared(group), *_foreign(group))]


def _declared(found: Iterable[Cell]) -> Iterable[Exponent]:
    plain = of_one_session(cell for cell in found if cell.key.n and not cell.key.m)
    if not plain:
        return ()
    left_out = _OF_THE_WHOLE if plain[0].key.scenario == "S4" else frozenset()
    figures = dict.fromkeys((plain[0].main, *(name for name in FIGURES if name not in left_out)))
    return _of_group(plain, figures, is_foreign=False)


def _foreign(found: Iterable[Cell]) -> Iterable[Exponent]:
    """Memory over foreign objects, beside as many declared ones in every cell: as most have."""
    some = [cell for cell in found if cell.key.scenario == "S6" and cell.key.m]
    numbers = [cell.key.n for cell in some]
    usual = max(numbers, key=numbers.count, default=0)
    return _of_group(of_one_session(cell for cell in some if cell.key.n == usual), ("pss_bytes",), is_foreign=True)


def _of_group(found: Sequence[Cell], figures: Iterable[str], *, is_foreign: bool) -> Iterable[Exponent]:
    tools = list(dict.fromkeys(family(tool) for cell in found for tool in cell.runs))
    for figure in figures:
        for tool in tools:
            runs = [(cell.key, record) for cell in found for name in cell.runs if family(name) == tool for record in cell.runs[name]]
            rounds = min((len(some) for _, record in runs if (some := record.samples.get(figure))), default=0)
            points = [
                (float(key.m if is_foreign else key.n), _value(record, figure, rounds)) for key, record in runs if figure in record.figures
            ]
            sizes = Counter(size for size, _ in points)
            if len(points) >= 3 and len(sizes) >= 2 and min(value for _, value in points) > 0:
                key = found[0].key
                ends = min(sizes), max(sizes)
                size = (int(ends[0]), int(ends[1]), len(points), len(sizes), min(sizes[end] for end in ends))
                yield Exponent(key.scenario, key.variant, key.world, figure, tool, *size, growth(points), is_foreign)


def _value(record: Record, figure: str, rounds: int) -> float:
    """A figure of a run; the median of S2 is that of as many commits as the shortest run has, since each leaves a pack in the cache of a tool."""
    single = record.samples.get(figure)
    return statistics.median(single[:rounds]) if single and record.scenario == "S2" else record.figures[figure]
