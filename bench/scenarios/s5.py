"""S5, a restart: the tool is killed with SIGKILL while n objects are as declared, and is started again.

While it was down somebody edited one object, and in the form ``changed`` a commit changed one in a hundred. The clock runs from the start of the new process
until the observer saw the edit repaired: from then on the tool is aware again. The costs are those of the new process alone, until it is silent.
"""

import time
from typing import Final

from bench import count, objects, tools
from bench.gate import STRANGER
from bench.parameters import Parameters
from bench.results import Record
from bench.stage import Stage
from bench.tools import Tool

VARIANTS: Final = ("unchanged", "changed")
CHANGED_SHARE: Final = 0.01
EDIT: Final = {"data": {"setting-00": "edited while nobody looked"}}


def run(stage: Stage, tool: Tool, parameters: Parameters) -> Record:
    """See `scenarios.Scenario`.

    Raises:
        NotOfferedError: the tool has nothing to become aware of.
    """
    tools.must_watch(tool)
    stage.prepare(tool, parameters)
    stage.converge(tool, objects.files(parameters.n, parameters.seed), parameters)
    stage.rest(tool, parameters)
    tool.stop(kill=True)
    changes = max(1, round(parameters.n * CHANGED_SHARE)) if parameters.variant == "changed" else 0
    files = objects.change(stage.files, parameters.seed, changes)
    changed = stage.expect(files)
    if files:
        tool.push(stage.ground, files)
    edited = _edit(stage)
    time.sleep(parameters.rest_seconds)
    with stage.measured(tool) as cost:
        started = time.monotonic()
        tool.restart()
        [aware] = stage.witness.wait(edited, seconds=parameters.patience_seconds)
        applied = stage.witness.wait(changed, seconds=parameters.patience_seconds)
        stage.settle(tool, seconds=parameters.patience_seconds)
        spent = cost()
    figures = {
        "seconds": aware - started,
        "done_seconds": max([aware, *applied]) - started,
        "surplus_writes": float(count.writes(spent.requests, objects.PLURALS) - 1 - changes),
        **spent.figures,
    }
    return stage.record("S5", tool, parameters, figures, spent.requests)


def _edit(stage: Stage) -> str:
    """Change a declared value; returns what the observer waits for, the repair."""
    path = next(path for path, body in objects.parse(stage.files.values()).items() if body["kind"] == "ConfigMap")
    edited = stage.ground.api.merge(path, EDIT, manager=STRANGER)
    return stage.witness.expect({path: stage.declared[path]}, after=int(edited["metadata"]["resourceVersion"]))
