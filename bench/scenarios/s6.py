"""S6, memory: what all processes of a tool hold together, with n declared objects and m foreign ones of the same kinds.

The peak is the highest sample of its whole life, one each second, from the start over the first commit until all is still; steady is the median of the time
after that.
"""

import time
from typing import Final

from bench import objects, statistics, tools
from bench.count import MemorySampler
from bench.parameters import Parameters
from bench.results import Record
from bench.stage import Stage
from bench.tools import Tool

STEADY_SECONDS: Final = 20.0
"""How long it is looked at when all is still: a sample each second."""


def run(stage: Stage, tool: Tool, parameters: Parameters) -> Record:
    """See `scenarios.Scenario`.

    Raises:
        NotOfferedError: the tool keeps nothing in mind.
    """
    tools.must_watch(tool)
    with MemorySampler(tool.pids) as life:
        stage.prepare(tool, parameters)
        if parameters.n:
            stage.converge(tool, objects.files(parameters.n, parameters.seed), parameters)
        stage.rest(tool, parameters)
        still = len(life.samples)
        time.sleep(STEADY_SECONDS)
    samples = life.samples[still:]
    figures = {
        "pss_bytes": statistics.quantile([sample.pss for sample in samples], 0.5),
        "rss_bytes": statistics.quantile([sample.rss for sample in samples], 0.5),
        **{name: value for name, value in life.figures().items() if name.startswith(("peak", "high"))},
    }
    figures["peak_ratio"] = figures["peak_pss_bytes"] / figures["pss_bytes"]
    return stage.record("S6", tool, parameters, figures, {}, main="pss_bytes")
