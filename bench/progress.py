"""How far a session is, and about how long the rest takes: by the table of `bench.plan`, corrected by what runs of the same session took."""

import math
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from bench import plan, tools
from bench.parameters import Parameters
from bench.plan import Run
from bench.results import Record
from bench.scenarios import s2, s3

Planned: TypeAlias = tuple[Run, Parameters]


def seconds(run: Run, parameters: Parameters) -> float:
    """Return about how long a run takes, by the table alone."""
    rounds = s2.rounds(tools.make(run.tool), parameters) if run.cell.scenario == "S2" else parameters.rounds
    idle = parameters.idle_seconds + min(parameters.idle_seconds, s3.MOST_WITHOUT_SECONDS)
    source = tools.make(run.tool).source_seconds
    idle += 0.0 if math.isinf(source) else -parameters.idle_seconds % source + s3.LOOK_SECONDS
    live = plan.LIVE_SECONDS if run.cell.world == "live" else 0.0
    return live + plan.seconds(run.cell.scenario, run.tool, n=parameters.n, m=parameters.m, rounds=rounds, idle_seconds=idle)


class Progress:
    """Of the runs of one session."""

    def __init__(self, runs: Sequence[Planned], kept: Iterable[Record] = ()) -> None:
        """
        Args:
            runs: all that are to be made, in their order, also those that are kept already.
            kept: what was made before, of this session.
        """
        self._runs = runs
        self._expected = 0.0
        self._taken = 0.0
        """Seconds of the runs so far: by the table, and by the clock."""
        for record in kept:
            self.note(record)

    def note(self, record: Record) -> None:
        """Learn from a run how long runs take here."""
        if record.run_seconds and record.is_right:
            cell = plan.Cell(record.scenario, record.n, (record.tool,), m=record.m, variant=record.variant, world=record.world)
            self._expected += seconds(Run(cell, record.turn, record.tool), Parameters.of_settings(record.settings))
            self._taken += record.run_seconds

    @property
    def factor(self) -> float:
        """How much longer than the table says runs took so far."""
        return self._taken / self._expected if self._expected else 1.0

    def line(self, waiting: Sequence[Planned]) -> str:
        """Say what comes now, as ``S2 n=5000 flux turn 3/5, 41 of 180 runs, about 52 min left``.

        Args:
            waiting: runs that are still to be made; the first comes now.
        """
        run, parameters = waiting[0]
        turns = 1 + max(other.turn for other, _ in self._runs if other.cell == run.cell and other.tool == run.tool)
        left = self.factor * sum(seconds(*each) for each in waiting)
        world = "" if run.cell.world == "quiet" else run.cell.world
        what = " ".join(part for part in (run.cell.scenario, parameters.variant, world) if part)
        size = f"n={parameters.n}" + (f" m={parameters.m}" if parameters.m else "")
        number = len(self._runs) - len(waiting) + 1
        return f"{what} {size} {run.tool} turn {run.turn + 1}/{turns}, {number} of {len(self._runs)} runs, about {left / 60:.0f} min left"


def table(runs: Sequence[Planned]) -> str:
    """Return the cells of a plan with the number of runs and the minutes of each, as text."""
    lines = [f"{'cell':<36}{'tools':<96}{'runs':>5}{'minutes':>9}"]
    total = 0.0
    for cell in dict.fromkeys(run.cell for run, _ in runs):
        some = [(run, parameters) for run, parameters in runs if run.cell == cell]
        took = sum(seconds(*each) for each in some) / 60
        total += took
        first = some[0][1]
        name = " ".join(
            (cell.scenario, first.variant, f"n={first.n}", f"m={first.m}" if first.m else "", "" if cell.world == "quiet" else cell.world)
        ).split()
        lines.append(f"{' '.join(name):<36}{_who(some):<96}{len(some):>5}{took:>9.0f}")
    return "\n".join((*lines, f"{'together':<132}{len(runs):>5}{total:>9.0f}"))


def _who(some: Sequence[Planned]) -> str:
    """Tools with their runs: ``cvstate 5, flux 2``."""
    names = [run.tool for run, _ in some]
    return ", ".join(f"{name} {names.count(name)}" for name in dict.fromkeys(names))
