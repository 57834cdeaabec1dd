"""What is done to the tools: one module per scenario, each with ``run(stage, tool, parameters) -> Record`` and ``SIZES``.

A scenario gets a fresh stage and a tool that has been made and not started. To add one, write a module here, build it from what `Stage` offers, and name
it in `MODULES`; command line and report take its name from there.
"""

import importlib
from collections.abc import Mapping
from typing import Final, Protocol

from bench.parameters import Parameters
from bench.results import Record
from bench.stage import Stage
from bench.tools import Tool


class Scenario(Protocol):
    """A module of this package."""

    SIZES: tuple[int, ...]
    """Numbers of objects that `python -m bench all` measures it with."""

    def run(self, stage: Stage, tool: Tool, parameters: Parameters) -> Record:
        """Run the tool through it once, and say what it cost. The tool may be left running; the caller stops it."""


MODULES: Final[Mapping[str, str]] = {"S1": "bench.scenarios.s1", "S2": "bench.scenarios.s2"}
"""Name → module with ``run``; `all` runs them in this order."""


def named(name: str) -> Scenario:
    """Return a scenario by its name.

    Raises:
        KeyError: there is none of that name.
    """
    found: Scenario = importlib.import_module(MODULES[name])
    return found
