"""S1, cold convergence: one commit brings n objects to a tool that runs, is declared and has nothing to do.

The clock runs from the moment the repository has the commit until the observer saw the last object right. The costs run on until the tool is silent,
so that status and events that follow are in them.
"""

from bench import objects
from bench.parameters import Parameters
from bench.results import Record
from bench.stage import Stage
from bench.tools import Tool


def run(stage: Stage, tool: Tool, parameters: Parameters) -> Record:
    """See `scenarios.Scenario`."""
    stage.prepare(tool, parameters)
    files = objects.files(parameters.n, parameters.seed)
    expected = stage.expect(files)
    with stage.measured(tool) as cost:
        push = tool.push(stage.ground, files)
        times = stage.witness.wait(expected, seconds=parameters.patience_seconds)
        stage.settle(tool, seconds=parameters.patience_seconds)
        spent = cost()
    seconds = max(times) - push.monotonic_seconds
    figures = {
        "seconds": seconds,
        "first_seconds": min(times) - push.monotonic_seconds,
        "objects_per_second": parameters.n / seconds,
        "requests_per_object": spent.figures["requests"] / parameters.n,
        **spent.figures,
    }
    return stage.record("S1", tool, parameters, figures, spent.requests)
