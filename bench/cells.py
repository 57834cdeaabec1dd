"""Runs put together for comparison: a cell is one scenario in one form, world and size; in it each tool has the runs of one session. Pure; read by `report`.

Of several sessions with the same cell the one with the most tools counts, of those the one with the most runs, then the newest: figures of different
sessions are never mixed, and none is chosen for its figures.
"""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from bench.results import Record, counted
from bench.statistics import Interval, ratio

OURS: Final = "cvstate"
BOUND: Final = "bound"
PEER: Final = "flux"


class Key(NamedTuple):
    """Which cell; sorts as the report shows them."""

    scenario: str
    variant: str
    world: str
    m: int
    n: int


@dataclass(frozen=True, slots=True)
class Cell:
    """The runs of a session in one cell."""

    key: Key
    session: str
    runs: Mapping[str, Sequence[Record]]
    """Tool → its runs that count, by turn; of the lower bound only the best width. Tools without one are not in it."""
    broken: Sequence[Record]
    """Runs that do not count."""
    commits: Sequence[str] = ()
    """What was measured: one commit, unless somebody changed files in the session; none if nobody looked."""
    superseded: int = 0
    """How many runs that count other sessions have of this cell."""
    widths: Sequence[int] = ()
    """Connections that the lower bound was tried with, sorted."""

    @property
    def main(self) -> str:
        """The figure that the scenario is about."""
        return next((record.main for each in self.runs.values() for record in each), "seconds")

    def values(self, tool: str, figure: str) -> list[float]:
        """A figure of each run of a tool that has it."""
        return [record.figures[figure] for record in self.runs.get(tool, ()) if figure in record.figures]

    def median(self, tool: str, figure: str) -> float | None:
        """The median of a figure, or None if there is none."""
        values = self.values(tool, figure)
        return statistics.median(values) if values else None

    def best(self, family: str) -> str | None:
        """The tool whose name begins so with the lowest main figure, of those with at least half as many runs as any of them; None if there is none."""
        found = {tool: len(runs) for tool, runs in self.runs.items() if tool.startswith(family) and self.values(tool, self.main)}
        often = [tool for tool, number in found.items() if 2 * number >= max(found.values())]
        return min(often, key=lambda tool: (self.median(tool, self.main), tool), default=None)

    def ratio(self, tool: str, other: str | None) -> Interval | None:
        """A tool's main figure over another's, by the turns in which both runs count; None if there are none, or a value is 0."""
        return self.ratio_of(tool, other, self.main)

    def ratio_of(self, tool: str, other: str | None, figure: str) -> Interval | None:
        """As `ratio`, of any figure."""
        mine, theirs = self.pairs(tool, other or "", figure)
        return ratio(mine, theirs) if mine and min(*mine, *theirs) > 0 else None

    def common_turns(self, tool: str, other: str | None, figure: str) -> int:
        """How many turns there are in which both have that figure."""
        return len(self.pairs(tool, other or "", figure)[0])

    def pairs(self, tool: str, other: str, figure: str) -> tuple[list[float], list[float]]:
        """A figure of both, of the turns in which both have it."""
        mine, theirs = self._by_turn(tool, figure), self._by_turn(other, figure)
        turns = sorted(mine.keys() & theirs.keys())
        return [mine[turn] for turn in turns], [theirs[turn] for turn in turns]

    def _by_turn(self, tool: str, figure: str) -> dict[int, float]:
        return {record.turn: record.figures[figure] for record in self.runs.get(tool, ()) if figure in record.figures}


def cells(records: Iterable[Record]) -> list[Cell]:
    """Return all cells, sorted."""
    found: dict[Key, dict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))
    commits: dict[str, set[str]] = defaultdict(set)
    for record in records:
        found[key_of(record)][record.session].append(record)
        commits[record.session].update({record.commit} - {""})
    return [_cell(key, sessions, commits) for key, sessions in sorted(found.items(), key=lambda item: _place(item[0]))]


def key_of(record: Record) -> Key:
    """The cell that a run belongs to."""
    return Key(record.scenario, record.variant, record.world, record.m, record.n)


def of_one_session(found: Iterable[Cell]) -> list[Cell]:
    """Return those of some cells that were measured in one session: where there are several, the one with the most cells, then runs, then the newest."""
    sessions: dict[str, list[Cell]] = {}
    for cell in found:
        sessions.setdefault(cell.session, []).append(cell)

    def worth(name: str) -> tuple[int, int, str]:
        return len(sessions[name]), sum(len(runs) for cell in sessions[name] for runs in cell.runs.values()), name

    return sessions[max(sessions, key=worth)] if sessions else []


def _place(key: Key) -> tuple[str, ...]:
    """By which cells are sorted: numbers in names by their value, the live world after the quiet one."""
    key = key._replace(world="~live" if key.world == "live" else key.world)
    return tuple(" ".join(word.zfill(12) if word.isdecimal() else word for word in str(part).split(" ")) for part in key)


def family(tool: str) -> str:
    """Return the name of a tool; `bound` for the lower bound of any width."""
    return BOUND if tool.startswith(BOUND) else tool


def per_object(found: Iterable[Cell], tool: str) -> tuple[float | None, float | None]:
    """Return by how much a tool's main figure grows with each declared and with each foreign object: slopes of straight lines, by least squares.

    The first is that of cells without foreign objects, the second of cells with as many declared ones as most have; None where there is only one size.

    Args:
        found: the cells of one scenario, form and world; those of one session are taken.
        tool: whose.
    """
    found = of_one_session(found)
    medians = {cell.key: median for cell in found if (median := cell.median(tool, cell.main)) is not None}
    sizes = [key.n for key in medians]
    usual = max(sizes, key=sizes.count, default=0)
    declared = [(key.n, median) for key, median in medians.items() if not key.m]
    foreign = [(key.m, median) for key, median in medians.items() if key.n == usual]
    return _slope(declared), _slope(foreign)


def _slope(points: Sequence[tuple[int, float]]) -> float | None:
    if len(points) < 2:
        return None
    sizes, values = zip(*points, strict=True)
    return statistics.linear_regression(sizes, values).slope


def _cell(key: Key, sessions: Mapping[str, Sequence[Record]], commits: Mapping[str, Iterable[str]]) -> Cell:
    def worth(session: str) -> tuple[int, int, str]:
        right = counted(sessions[session])
        return len({record.tool.partition("-")[0] for record in right}), len(right), session

    chosen = max(sessions, key=worth)
    runs: dict[str, list[Record]] = {}
    for record in sorted(counted(sessions[chosen]), key=lambda record: record.turn):
        runs.setdefault(record.tool, []).append(record)
    broken = [record for record in sessions[chosen] if not record.is_right]
    best = Cell(key, chosen, runs, broken).best(BOUND)
    kept = {tool: each for tool, each in runs.items() if not tool.startswith(BOUND) or tool == best}
    widths = sorted(int(number) for tool in runs if tool.startswith(BOUND) and (number := tool.partition("-")[2]))
    superseded = sum(len(counted(some)) for session, some in sessions.items() if session != chosen)
    return Cell(key, chosen, kept, broken, sorted(commits[chosen]), superseded, widths)
