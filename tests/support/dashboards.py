"""The dashboards of the chart as their generator knows them, and their queries as Grafana would ask them."""

import hashlib
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
    "PICTURES",
    "ROOT",
    "Panel",
    "asked",
    "digest",
    "drawn",
    "file",
    "note_drawn",
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
PICTURES: Final = ROOT / "docs" / "pictures"
_DRAWN: Final = "dashboards.json"
_NOT_DRAWN: Final = frozenset({"description", "links", "tags", "uid", "schemaVersion"})


def file(name: str) -> Path:
    """Where the chart keeps a dashboard."""
    return dashboards.DIRECTORY / f"{name}.json"


def text(name: str) -> str:
    """What has to be in it."""
    return dashboards.text(name)


def drawn(name: str, directory: Path = PICTURES) -> str:
    """Of which state of a dashboard its picture was drawn, as `digest` says it; empty if that is not told."""
    kept = directory / _DRAWN
    return str(json.loads(kept.read_text()).get(name, "")) if kept.exists() else ""


def note_drawn(directory: Path) -> None:
    """Write beside the pictures of which dashboards they are: those of now."""
    (directory / _DRAWN).write_text(json.dumps({name: digest(name) for name in BOARDS}, indent=2) + "\n")


def digest(name: str) -> str:
    """Of what a picture of a dashboard shows: queries, layout, units, colours. What a panel says in its description and where it leads to is not drawn."""
    return hashlib.sha256(json.dumps(_visible(json.loads(file(name).read_text())), sort_keys=True).encode()).hexdigest()


def _visible(node: object) -> object:
    if isinstance(node, dict):
        return {key: _visible(value) for key, value in node.items() if key not in _NOT_DRAWN}
    return [_visible(each) for each in node] if isinstance(node, list) else node


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
