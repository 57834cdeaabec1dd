"""S2, a small commit: of n objects that are as declared, a commit changes k, one value each; several times, with silence in between.

The clock runs from the moment the repository has the commit until the observer saw the last changed object right. Some of the objects carry an annotation
of somebody else, which must be there at the end.

A tool that looks at everything after each commit has MOST_PASSES rounds at most where that takes long: its rounds hardly differ, and ten of them would
take longer than all the rest. How many there were is in the settings of each run.
"""

import dataclasses
import math
from collections import Counter
from typing import Final

from bench import objects, statistics
from bench.parameters import Parameters
from bench.results import Record
from bench.stage import Cost, Stage
from bench.tools import Tool

MARKED: Final = 10
"""Objects with somebody else's annotation; those that the first rounds change are among them."""
LARGE: Final = 5000
"""Declared objects from which on it takes long to look at all of them."""
MOST_PASSES: Final = 2
_PER_ROUND: Final = ("requests", "writes", "cpu_seconds", "server_cpu_seconds", "caused_cpu_seconds")
_OF_MEMORY: Final = ("rss_bytes", "pss_bytes", "peak_rss_bytes", "peak_pss_bytes", "high_water_bytes")


def run(stage: Stage, tool: Tool, parameters: Parameters) -> Record:
    """See `scenarios.Scenario`."""
    parameters = dataclasses.replace(parameters, rounds=rounds(tool, parameters))
    stage.prepare(tool, parameters)
    stage.converge(tool, objects.files(parameters.n, parameters.seed), parameters)
    changes = _Changes(stage, parameters)
    for path in changes.first_objects()[:MARKED]:
        stage.bystanders.mark(stage.ground.api, path, "keep")
    stage.rest(tool, parameters)
    latencies: list[float] = []
    costs: list[Cost] = []
    for turn in range(parameters.rounds):
        files = changes.of(turn)
        expected = stage.expect(files)
        with stage.measured(tool) as cost:
            push = tool.push(stage.ground, files)
            latencies.append(max(stage.witness.wait(expected, seconds=parameters.patience_seconds)) - push.monotonic_seconds)
            stage.settle(tool, seconds=parameters.patience_seconds)
            costs.append(cost())
    figures = {
        "seconds": statistics.quantile(latencies, 0.5),
        "p99_seconds": statistics.quantile(latencies, 0.99),
        "max_seconds": max(latencies),
        **{f"{name}_per_round": statistics.quantile([cost.figures[name] for cost in costs], 0.5) for name in _PER_ROUND},
        "most_requests_per_round": max(cost.figures["requests"] for cost in costs),
        **{name: max(cost.figures[name] for cost in costs) for name in _OF_MEMORY},
    }
    requests: Counter[str] = sum((Counter(cost.requests) for cost in costs), Counter())
    samples = {"seconds": tuple(latencies), "requests": tuple(cost.figures["requests"] for cost in costs)}
    return stage.record("S2", tool, parameters, figures, dict(sorted(requests.items())), samples)


def rounds(tool: Tool, parameters: Parameters) -> int:
    """Return how many rounds a run of this tool has."""
    looks_at_everything = not tool.is_watching and math.isfinite(tool.period_seconds)
    return min(parameters.rounds, MOST_PASSES) if looks_at_everything and parameters.n >= LARGE else parameters.rounds


class _Changes:
    """The commits of one run: which files each brings."""

    def __init__(self, stage: Stage, parameters: Parameters) -> None:
        self._stage, self._parameters = stage, parameters

    def of(self, turn: int) -> objects.Files:
        """The files that round changes; the rounds before it have been declared."""
        return objects.change(self._stage.files, self._parameters.seed * 1000 + turn, self._parameters.changes)

    def first_objects(self) -> list[str]:
        """URL paths of objects that early rounds change, and others of their files."""
        changed = [path for turn in range(MARKED) for path in objects.changed(self._stage.files, self.of(turn))]
        return list(dict.fromkeys(changed))
