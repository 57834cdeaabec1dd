"""A session: every tool through a scenario, several times, taking turns (ABBA), each run on a fresh cluster, each run kept as soon as it has ended."""

import dataclasses
import sys
import traceback
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench import results, scenarios, stage, tools
from bench.parameters import Parameters
from bench.results import Record
from bench.tools import NotOfferedError


def order(names: Sequence[str], runs: int) -> list[tuple[int, str]]:
    """Return who runs when, as (turn, tool): every second turn goes backwards, so that none always comes first."""
    return [(turn, name) for turn in range(runs) for name in (names if turn % 2 == 0 else tuple(reversed(names)))]


@dataclasses.dataclass(frozen=True, slots=True)
class Session:
    """What the runs of one session have in common."""

    name: str
    """`results.stamp` of its begin."""
    tools: tuple[str, ...]
    runs: int
    """Turns for each scenario and size."""
    is_quiet: bool
    directory: Path
    """Where runs are kept."""

    def run(self, scenario: str, parameters: Parameters) -> Iterator[Record]:
        """Make all runs of a scenario in one size, and give each when it has ended and is kept.

        A run that breaks is kept too, with what broke it under `faults`.
        """
        for turn, name in order(self.tools, self.runs):
            started, machine = datetime.now(UTC), results.machine()
            found = self._once(scenario, name, parameters)
            if found is None:
                continue
            record = dataclasses.replace(
                found,
                settings={**found.settings, **{name: str(value) for name, value in dataclasses.asdict(parameters).items()}},
                machine=machine,
                session=self.name,
                turn=turn,
                started=started.isoformat(timespec="seconds"),
            )
            results.append(record, self.directory / f"{scenario}-{self.name}.jsonl")
            yield record

    def _once(self, scenario: str, name: str, parameters: Parameters) -> Record | None:
        """One run; None if the tool does not offer it."""
        tool = tools.make(name)
        try:
            with stage.raised(is_quiet=self.is_quiet) as raised:
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
            world = "quiet" if self.is_quiet else "live"
            size = (parameters.n, parameters.m, parameters.seed)
            return Record(scenario, name, world, *size, figures={}, requests={}, faults=(fault,), variant=parameters.variant)
