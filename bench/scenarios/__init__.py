"""What is done to the tools: one module per scenario, each with ``run(stage, tool, parameters) -> Record``, and perhaps ``VARIANTS`` and ``TOOLS``.

A scenario gets a fresh stage and a tool that has been made and not started. To add one, write a module here, build it from what `Stage` offers, and name
it in `MODULES`; command line and report take its name from there. With which sizes it is measured stands in `bench.plan`, and nowhere else.
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

    def run(self, stage: Stage, tool: Tool, parameters: Parameters) -> Record:
        """Run the tool through it once, and say what it cost. The tool may be left running; the caller stops it."""


MODULES: Final[Mapping[str, str]] = {
    "S1": "bench.scenarios.s1",
    "S2": "bench.scenarios.s2",
    "S3": "bench.scenarios.s3",
    "S4": "bench.scenarios.s4",
    "S5": "bench.scenarios.s5",
    "S6": "bench.scenarios.s6",
    "S7": "bench.scenarios.s7",
    "S8": "bench.scenarios.s8",
}
"""Name → module with ``run``; `all` runs them in this order."""
DEFAULT_TOOLS: Final = ("cvstate", "flux", "flux-tuned", "bound")


def variants(name: str) -> tuple[str, ...]:
    """Return the forms in which a scenario is measured, `VARIANTS` of its module; one without a name if it has none."""
    found: tuple[str, ...] = getattr(importlib.import_module(MODULES[name]), "VARIANTS", ("",))
    return found


def tools(name: str) -> tuple[str, ...]:
    """Return who takes part in a scenario unless the command line says otherwise, `TOOLS` of its module; DEFAULT_TOOLS if it does not say."""
    found: tuple[str, ...] = getattr(importlib.import_module(MODULES[name]), "TOOLS", DEFAULT_TOOLS)
    return found


def named(name: str) -> Scenario:
    """Return a scenario by its name.

    Raises:
        KeyError: there is none of that name.
    """
    found: Scenario = importlib.import_module(MODULES[name])
    return found
