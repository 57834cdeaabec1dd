"""S7, many teams: one repository with n/10 directories of ten objects, each declared by an object of its own (a ClusterState, a Kustomization).

Cold: all of them are declared at once, and the clock runs from then until the observer saw the last object right. Then commits that change one value in one
directory, several times, and at last one that changes a value in each; their clock runs from the moment the repository has the commit. Making the
declaring objects is in the cold time, over several connections, the same for every tool.
"""

import time
from collections.abc import Mapping
from typing import Final

from bench import count, objects, statistics
from bench.parameters import Parameters
from bench.results import Record
from bench.stage import Cost, Stage
from bench.tools import NotOfferedError, Tool

TOOLS: Final = ("cvstate", "flux", "flux-tuned")
MOST_ROUNDS: Final = 5
"""Commits to one directory: for a tool that looks at everything each time, each may take minutes."""


def run(stage: Stage, tool: Tool, parameters: Parameters) -> Record:
    """See `scenarios.Scenario`."""
    if not tool.unit:
        raise NotOfferedError(f"{tool.name} knows no units")
    files = objects.units(parameters.n, parameters.seed)
    paths = [file.rpartition("/")[0] for file in files]
    stage.start(tool, parameters)
    stage.idle(parameters)
    stage.ground.commit(files)
    expected = stage.expect(files)
    with stage.measured(tool) as cost:
        begin = time.monotonic()
        tool.declare(stage.ground, paths)
        times = stage.witness.wait(expected, seconds=parameters.patience_seconds)
        stage.settle(tool, seconds=parameters.patience_seconds)
        cold = cost()
    seed = parameters.seed * 1000
    ones = [_commit(stage, tool, objects.change(stage.files, seed + turn, 1), parameters) for turn in range(_rounds(parameters))]
    everywhere, all_cost = _commit(stage, tool, _change_in_each(stage.files, seed + MOST_ROUNDS), parameters)
    latencies = [seconds for seconds, _ in ones]
    figures = {
        "seconds": max(times) - begin,
        "units": float(len(paths)),
        "one_seconds": statistics.quantile(latencies, 0.5),
        "one_max_seconds": max(latencies),
        "one_requests": statistics.quantile([cost.figures["requests"] for _, cost in ones], 0.5),
        "one_cpu_seconds": statistics.quantile([cost.figures["cpu_seconds"] for _, cost in ones], 0.5),
        "one_status_writes_per_unit": statistics.quantile([_status_writes(tool, cost) / len(paths) for _, cost in ones], 0.5),
        "all_seconds": everywhere,
        "all_requests": all_cost.figures["requests"],
        "all_cpu_seconds": all_cost.figures["cpu_seconds"],
        "all_status_writes_per_unit": _status_writes(tool, all_cost) / len(paths),
        "status_writes_per_unit": _status_writes(tool, cold) / len(paths),
        "unit_writes_per_unit": count.writes(cold.requests, {tool.unit}) / len(paths),
        "requests_per_object": cold.figures["requests"] / parameters.n,
        **cold.figures,
    }
    return stage.record("S7", tool, parameters, figures, cold.requests, {"one_seconds": tuple(latencies)})


def _rounds(parameters: Parameters) -> int:
    return min(parameters.rounds, MOST_ROUNDS)


def _commit(stage: Stage, tool: Tool, files: Mapping[str, str], parameters: Parameters) -> tuple[float, Cost]:
    """Push files; seconds from the push until all of it was right, and what it cost until the tool was silent."""
    expected = stage.expect(files)
    with stage.measured(tool) as cost:
        push = tool.push(stage.ground, files)
        seconds = max(stage.witness.wait(expected, seconds=parameters.patience_seconds)) - push.monotonic_seconds
        stage.settle(tool, seconds=parameters.patience_seconds)
        return seconds, cost()


def _change_in_each(now: Mapping[str, str], seed: int) -> objects.Files:
    """One changed value in every file."""
    return {path: text for file in now for path, text in objects.change({file: now[file]}, seed, 1).items()}


def _status_writes(tool: Tool, cost: Cost) -> int:
    """The tool's writes to the status of the objects that declare."""
    return count.writes(cost.requests, {f"{tool.unit}/status"})
