"""S9, growth: how what a scenario costs grows with the number of declared objects, from the runs that are kept. Pure; read by `report`.

For S7 that is growth with the number of declaring objects too, ten of the former for each. Cells with foreign objects are left out.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from bench.cells import Cell, family
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
    "caused_cpu_seconds",
    "caused_cpu_seconds_per_round",
    "peak_pss_bytes",
)
"""What is fitted, besides the figure that a scenario is about."""


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
    """Declared objects, from and to."""
    points: int
    """Runs behind it."""
    growth: Growth

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
    plain = [cell for cell in found if cell.key.n and not cell.key.m]
    return [fit for _, group in groupby(plain, key=lambda cell: cell.key[:3]) for fit in _of_group(list(group))]


def _of_group(found: Sequence[Cell]) -> Iterable[Exponent]:
    tools = list(dict.fromkeys(family(tool) for cell in found for tool in cell.runs))
    for figure in dict.fromkeys((found[0].main, *FIGURES)):
        for tool in tools:
            points = [
                (float(cell.key.n), value)
                for cell in found
                for name in cell.runs
                if family(name) == tool
                for value in cell.values(name, figure)
            ]
            sizes = {size for size, _ in points}
            if len(points) >= 3 and len(sizes) >= 2 and min(value for _, value in points) > 0:
                key = found[0].key
                size = (int(min(sizes)), int(max(sizes)), len(points))
                yield Exponent(key.scenario, key.variant, key.world, figure, tool, *size, growth(points))
