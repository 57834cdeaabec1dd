"""Writes the Grafana dashboards of the chart.

    python deploy/monitoring/dashboards.py      (`make dashboards`)

What they show stands in executive.py, on_call.py and debug.py; a test keeps the JSON in step, and asks a real Prometheus every query.
"""

import json
from pathlib import Path
from typing import Final

import debug
import executive
import on_call
from grafana import Board, dashboard

DIRECTORY: Final = Path(__file__).resolve().parents[1] / "charts" / "cvstate-operator" / "dashboards"
BOARDS: Final[dict[str, Board]] = {"executive": executive.BOARD, "on-call": on_call.BOARD, "debug": debug.BOARD}
"""By the name of their file."""


def text(name: str) -> str:
    """The file of one dashboard."""
    board = BOARDS[name]
    others = [other for other in BOARDS.values() if other is not board]
    return json.dumps(dashboard(board, others=others), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for each in BOARDS:
        (DIRECTORY / f"{each}.json").write_text(text(each))
