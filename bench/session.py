"""A session: runs that took turns on one machine, each on a fresh cluster, each kept as soon as it has ended. It may be stopped, and continued later."""

import dataclasses
import sys
import time
import traceback
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from bench import results, scenarios, stage, tools
from bench.parameters import Parameters
from bench.plan import Run
from bench.results import Record
from bench.tools import NotOfferedError


class Key(NamedTuple):
    """Which run of a session."""

    scenario: str
    variant: str
    world: str
    n: int
    m: int
    seed: int
    tool: str
    turn: int


class Session:
    """What the runs of one session have in common."""

    def __init__(self, name: str, *, is_quiet: bool, directory: Path) -> None:
        """
        Args:
            name: `results.stamp` of its begin.
            is_quiet: only etcd and the API server run.
            directory: where runs are kept.
        """
        self.name = name
        self._world = "quiet" if is_quiet else "live"
        self._is_quiet = is_quiet
        self._directory = directory
        self._not_offered: set[tuple[str, str]] = set()
        """Scenario and tool."""

    def waiting(self, runs: Iterable[tuple[Run, Parameters]], kept: Iterable[Record]) -> list[tuple[Run, Parameters]]:
        """Return the runs that this session does not have yet.

        One that broke is not made again: else a session could be repeated until it pleases. More turns can be asked for instead.
        """
        there = {_of_record(record) for record in kept if record.session == self.name}
        return [(run, parameters) for run, parameters in runs if self._of_run(run, parameters) not in there]

    def make(self, run: Run, parameters: Parameters) -> Record | None:
        """Make a run and keep it; None if the tool does not offer it. A run that breaks is kept too, with what broke it under `faults`."""
        scenario = run.cell.scenario
        if (scenario, run.tool) in self._not_offered:
            return None
        started, machine, begin = datetime.now(UTC), results.machine(), time.monotonic()
        found = self._once(scenario, run.tool, parameters)
        if found is None:
            self._not_offered.add((scenario, run.tool))
            return None
        record = dataclasses.replace(
            found,
            settings={**parameters.settings(), **found.settings},
            machine=machine,
            session=self.name,
            turn=run.turn,
            started=started.isoformat(timespec="seconds"),
            run_seconds=time.monotonic() - begin,
        )
        results.append(record, self._directory / f"{scenario}-{self.name}.jsonl")
        return record

    def _of_run(self, run: Run, parameters: Parameters) -> Key:
        size = (parameters.n, parameters.m, parameters.seed)
        return Key(run.cell.scenario, parameters.variant, self._world, *size, run.tool, run.turn)

    def _once(self, scenario: str, name: str, parameters: Parameters) -> Record | None:
        """One run; None if the tool does not offer it."""
        tool = tools.make(name)
        try:
            with stage.raised(is_quiet=self._is_quiet) as raised:
                try:
                    return scenarios.named(scenario).run(raised, tool, parameters)
                finally:
                    tool.stop()
        except NotOfferedError:
            return None
        except Exception as exc:
            # Whatever one run meets, the others go on, and it is told in the report.
            traceback.print_exc(file=sys.stderr)
            fault = f"broken: {type(exc).__name__}: {' '.join(str(exc).split())[:500]}"
            size = (parameters.n, parameters.m, parameters.seed)
            return Record(scenario, name, self._world, *size, figures={}, requests={}, faults=(fault,), variant=parameters.variant)


def _of_record(record: Record) -> Key:
    size = (record.n, record.m, record.seed)
    return Key(record.scenario, record.variant, record.world, *size, record.tool, record.turn)
