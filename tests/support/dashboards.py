"""The dashboards of the chart as their generator knows them, and their queries as Grafana would ask them."""

import json
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]

# The generator is a program and no package: `python deploy/monitoring/dashboards.py`.
sys.path.append(str(ROOT / "deploy" / "monitoring"))

import dashboards  # noqa: E402
import executive  # noqa: E402
import preview  # noqa: E402
import promql_pieces  # noqa: E402
from grafana import COLUMNS, DOWN, Panel  # noqa: E402

__all__ = [
    "BOARDS",
    "COLUMNS",
    "DOWN",
    "FAILURES",
    "IDS",
    "PANELS",
    "ROOT",
    "Panel",
    "asked",
    "file",
    "preview",
    "promql_pieces",
    "queries",
    "text",
    "written",
]

FAILURES: Final = executive.FAILURES
BOARDS: Final = dashboards.BOARDS
PANELS: Final = tuple((name, panel) for name, board in BOARDS.items() for panel in board.panels)
IDS: Final = tuple(f"{name}: {panel.title}" for name, panel in PANELS)
_INTERVALS: Final = {"$__rate_interval": "5m", "$__range": "15m"}
"""What Grafana would put in their place; long enough for everything that a test does."""


def file(name: str) -> Path:
    """Where the chart keeps a dashboard."""
    return dashboards.DIRECTORY / f"{name}.json"


def text(name: str) -> str:
    """What has to be in it."""
    return dashboards.text(name)


def asked(expr: str, *, namespace: str = ".*", name: str = ".*") -> str:
    """A query with its variables filled in; regular expressions."""
    for variable, value in _INTERVALS.items():
        expr = expr.replace(variable, value)
    for variable, value in (("$namespace", namespace), ("$name", name)):
        expr = expr.replace(f'=~"{variable}"', f'=~"{value}"').replace(f'="{variable}"', f'=~"{value}"')
    return expr


def written(name: str) -> list[tuple[str, str]]:
    """The queries of the tiles and tables of a dashboard as Grafana reads them from the chart, each with the title of its panel; every ClusterState chosen."""
    panels = json.loads(file(name).read_text())["panels"]
    return [(one["title"], asked(found["expr"])) for one in panels if one["type"] in ("stat", "table") for found in one["targets"]]


def queries(panel: Panel) -> tuple[str, ...]:
    """All queries of a panel, with every ClusterState chosen."""
    return tuple(asked(query.expr) for query in panel.queries)
