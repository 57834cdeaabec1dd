"""A session: runs that took turns on one machine, each on a fresh cluster, each kept as soon as it has ended. It may be stopped, and continued later."""

import dataclasses
import sys
import time
import traceback
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from bench import results, revision, scenarios, stage, tools
from bench.parameters import Parameters
from bench.plan import Run
from bench.results import Record
from bench.scenarios import s2
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

    def __init__(self, name: str, *, directory: Path) -> None:
        """
        Args:
            name: `results.stamp` of its begin.
            directory: where runs are kept.
        """
        self.name = name
        self._directory = directory
        self._not_offered: set[tuple[str, str]] = set()
        """Scenario and tool."""

    def waiting(self, runs: Iterable[tuple[Run, Parameters]], kept: Iterable[Record]) -> list[tuple[Run, Parameters]]:
        """Return the runs that this session does not have yet.

        One that broke is not made again: else a session could be repeated until it pleases. More turns can be asked for instead.
        """
        there = {_of_record(record) for record in kept if record.session == self.name}
        return [(run, parameters) for run, parameters in runs if _of_run(run, parameters) not in there]

    def make(self, run: Run, parameters: Parameters) -> Record | None:
        """Make a run and keep it; None if the tool does not offer it. A run that breaks is kept too, with what broke it under `faults`."""
        scenario = run.cell.scenario
        if (scenario, run.tool) in self._not_offered:
            return None
        started, machine, begin = datetime.now(UTC), results.machine(), time.monotonic()
        found = _once(run, parameters)
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
            commit=revision.current(),
            run_seconds=time.monotonic() - begin,
        )
        results.append(record, self._directory / f"{scenario}-{self.name}.jsonl")
        return record


def conflicts(runs: Iterable[tuple[Run, Parameters]], kept: Iterable[Record], commit: str) -> list[str]:
    """Return why a session cannot be continued so, one line each: figures of two commits, or of two settings, are no figures of one session.

    Args:
        runs: all that are to be made, also those that are kept.
        kept: of the session.
        commit: that is checked out.
    """
    asked = {_any_turn(_of_run(run, parameters)): _as_made(run.cell.scenario, run.tool, parameters) for run, parameters in runs}
    found: dict[str, None] = {}
    for record in kept:
        there = record.commit or commit
        if there != commit:
            found[f"it was measured with the commit {there}, and {commit} is checked out"] = None
        wanted = asked.get(_any_turn(_of_record(record)))
        if wanted and record.settings:
            made = _as_made(record.scenario, record.tool, Parameters.of_settings(record.settings)).settings()
            for name, value in wanted.settings().items():
                if made[name] != value:
                    found[f"{record.scenario} was measured with {name} {made[name]}, and {value} is asked for"] = None
    return list(found)


def _any_turn(key: Key) -> Key:
    """The runs that are compared with this one, of whatever turn and seed."""
    return key._replace(turn=0, seed=0)


def _as_made(scenario: str, tool: str, parameters: Parameters) -> Parameters:
    """Parameters as a run keeps them: some tools have fewer rounds than were asked for."""
    if scenario != "S2":
        return parameters
    return dataclasses.replace(parameters, rounds=s2.rounds(tools.make(tool), parameters))


def _once(run: Run, parameters: Parameters) -> Record | None:
    """One run; None if the tool does not offer it."""
    scenario, world = run.cell.scenario, run.cell.world
    tool = tools.make(run.tool)
    try:
        with stage.raised(is_quiet=world == "quiet") as raised:
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
        return Record(scenario, run.tool, world, *size, figures={}, requests={}, faults=(fault,), variant=parameters.variant)


def _of_run(run: Run, parameters: Parameters) -> Key:
    size = (parameters.n, parameters.m, parameters.seed)
    return Key(run.cell.scenario, parameters.variant, run.cell.world, *size, run.tool, run.turn)


def _of_record(record: Record) -> Key:
    size = (record.n, record.m, record.seed)
    return Key(record.scenario, record.variant, record.world, *size, record.tool, record.turn)
