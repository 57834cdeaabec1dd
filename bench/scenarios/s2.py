"""S2, a small commit: of n objects that are as declared, a commit changes k, one value each; several times, with silence in between.

The clock runs from the moment the repository has the commit until the observer saw the last changed object right. Some of the objects carry an annotation
of somebody else, which must be there at the end.
"""

from collections import Counter
from typing import Final

from bench import objects, statistics
from bench.parameters import Parameters
from bench.results import Record
from bench.stage import Cost, Stage
from bench.tools import Tool

SIZES: Final = (1000, 5000, 10000)
MARKED: Final = 10
"""Objects with somebody else's annotation; those that the first rounds change are among them."""
_PER_ROUND: Final = ("requests", "writes", "cpu_seconds", "server_cpu_seconds", "caused_cpu_seconds")
_OF_MEMORY: Final = ("rss_bytes", "pss_bytes", "peak_rss_bytes", "peak_pss_bytes", "high_water_bytes")


def run(stage: Stage, tool: Tool, parameters: Parameters) -> Record:
    """See `scenarios.Scenario`."""
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
