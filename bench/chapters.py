"""One chapter of the report for each scenario: a picture, and the tools side by side. Pure; read by `report`."""

import importlib
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final, TypeAlias

from bench import cells, plot, rows, scenarios
from bench.cells import BOUND, OURS, PEER, Cell
from bench.plot import Point
from bench.rows import Row

PICTURES: Final = "benchmark"
Group: TypeAlias = tuple[str, str, str]
"""Scenario, its form, world."""
_BYTES: Final = "_bytes"
_NOTES: Final[Mapping[str, str]] = {
    "S2": "A tool that looks at everything after each commit has two rounds in a run of 5,000 objects or more; the others have as many as the settings say.",
    "S3": "An hour is put together: silence is watched for about two minutes, whole pauses between looks at the repository, and scaled by about thirty, and with it its "
    "errors; the full looks and comparisons that the tool makes in an hour are measured once and added. A comparison is measured with the answer to the change that "
    "asks for it, so own CPU is rather too high.",
    "S4": "Flux finds drift when its interval is over: `flux-60s` has the shortest interval that its documentation advises.",
    "S5": "Necessary is one write for the object that somebody edited while the tool was down, and one for each that a commit changed.",
    "S6": "The proportional set of all processes of the tool. Steady: when all is still. Peak: of its whole life.",
    "S7": "Ten objects for each declaring object: a ClusterState, a Kustomization.",
    "S8": "A hundred objects in each of n/100 clusters, which are stubs that hold ConfigMaps in memory: what is shown is the tool's own cost, not theirs. No peer: its "
    "controller makes a dry run of each object, which the stubs answer without any of what makes one cost.",
}


def chapters(found: Sequence[Cell]) -> Iterator[str]:
    """Return the text of all chapters.

    Args:
        found: as `cells.cells` returns them.
    """
    are_several = len({cell.session for cell in found}) > 1
    for scenario, of_scenario in groupby(found, key=lambda cell: cell.key.scenario):
        yield f"## {_title(scenario)}\n"
        if scenario in _NOTES:
            yield f"{_NOTES[scenario]}\n"
        for group, some in groupby(of_scenario, key=group_of):
            of_group = list(some)
            yield from _section(group, of_group)
            if are_several:
                yield f"{_origin(of_group)}\n"


def commit_of(cell: Cell) -> str:
    """`, commit 0123abc`; nothing if nobody looked."""
    return f", commit {' and '.join(cell.commits)}" if cell.commits else ""


def _origin(found: Sequence[Cell]) -> str:
    """Of which session each size is; their figures are not to be compared across sessions."""
    sessions: dict[str, list[Cell]] = {}
    for cell in found:
        sessions.setdefault(cell.session, []).append(cell)
    told = []
    for name, some in sessions.items():
        sizes = "" if len(sessions) == 1 else f" ({', '.join(f'{cell.key.n:,}' for cell in some)} objects)"
        told.append(f"session {name}{commit_of(some[0])}{sizes}")
    return f"Measured in {'; '.join(told)}."


def pictures(found: Sequence[Cell]) -> Iterator[tuple[str, str]]:
    """Return name and content of every picture that the chapters show."""
    for group, some in groupby(found, key=group_of):
        cells_here = list(some)
        if series := _series(cells_here):
            shown = rows.row(group[0], cells_here[0].main)
            yield _picture(group), plot.draw(_heading(group), "declared objects", shown.name, series)


def group_of(cell: Cell) -> Group:
    """What makes one section and one picture."""
    return cell.key.scenario, cell.key.variant, cell.key.world


def ordered(tools: Iterable[str]) -> list[str]:
    """Return tools as they are shown: ours first, the lower bound last."""
    return sorted(tools, key=lambda name: (name != OURS, name.startswith(BOUND), name))


def _title(scenario: str) -> str:
    """The first words of the scenario's own docstring: `S1, cold convergence`."""
    if scenario not in scenarios.MODULES:
        return scenario
    return (importlib.import_module(scenarios.MODULES[scenario]).__doc__ or scenario).partition(":")[0]


def _heading(group: Group) -> str:
    scenario, variant, world = group
    return ", ".join(part for part in (_title(scenario), variant, f"{world} world") if part)


def _picture(group: Group) -> str:
    """Name of its file."""
    return f"{'-'.join(part.replace(' ', '-') for part in group if part)}.svg"


def _section(group: Group, found: Sequence[Cell]) -> Iterator[str]:
    _, variant, world = group
    yield f"### {', '.join(part for part in (variant, f'{world} world') if part).capitalize()}\n"
    if _series(found):
        shown = rows.row(group[0], found[0].main)
        yield f"![{_heading(group)}: {shown.name}, by declared objects; medians, least and most]({PICTURES}/{_picture(group)})\n"
    tools = ordered({cells.family(tool) for cell in found for tool in cell.runs})
    if not tools:
        yield "No run counts; what broke is told below.\n"
        return
    yield row_of(("objects", "median (least – most)", *tools))
    yield row_of(("--:", "---", *("--:" for _ in tools)))
    for cell in found:
        for texts in _lines(cell, tools):
            yield row_of(texts)
    yield ""
    if found[0].main.endswith(_BYTES) and (slopes := list(_slopes(found))):
        yield f"Growth of memory with each object: {'; '.join(slopes)}.\n"


def _lines(cell: Cell, tools: Sequence[str]) -> Iterator[tuple[str, ...]]:
    names = [_of_family(cell, tool) for tool in tools]
    shown = [each for each in _rows(cell) if any(name and cell.values(name, each.figure) for name in names)]
    size = f"**{cell.key.n:,}**" + (f" + {cell.key.m:,} foreign" if cell.key.m else "")
    for index, each in enumerate(shown):
        title = f"**{each.name}**" if index == 0 else each.name
        yield (size if index == 0 else "", title, *(_spread(cell, name, each) for name in names))
        if index == 0:
            yield ("", "runs", *(_runs(cell, name) for name in names))
            for title, other in (("× lower bound", cell.best(BOUND)), ("× better Flux", cell.best(PEER))):
                ratios = [_ratio(cell, name, other) for name in names]
                if any(ratios):
                    yield ("", title, *ratios)


def _rows(cell: Cell) -> Sequence[Row]:
    """The rows of a scenario, or the one figure of one that has none."""
    return rows.ROWS.get(cell.key.scenario) or (rows.row(cell.key.scenario, cell.main),)


def _of_family(cell: Cell, tool: str) -> str | None:
    """The tool itself; for the lower bound its best width."""
    return next((name for name in cell.runs if cells.family(name) == tool), None)


def _spread(cell: Cell, tool: str | None, shown: Row) -> str:
    values = cell.values(tool, shown.figure) if tool else []
    if not values:
        return ""
    low, median, high = (shown.text(value) for value in (min(values), statistics.median(values), max(values)))
    return median if low == high else f"{median} ({low} – {high})"


def _runs(cell: Cell, tool: str | None) -> str:
    if tool is None:
        return ""
    width = tool.removeprefix(f"{BOUND}-")
    return str(len(cell.runs[tool])) + (f", {width} wide{_at_the_edge(cell, width)}" if width != tool else "")


def _at_the_edge(cell: Cell, width: str) -> str:
    """Says so where another width, that was not tried, may be better."""
    ends = {str(cell.widths[0]): "narrowest", str(cell.widths[-1]): "widest"} if len(cell.widths) > 1 else {}
    if len(cell.widths) == 1:
        return ", no other tried"
    return f", the {ends[width]} tried" if width in ends else ""


def _ratio(cell: Cell, tool: str | None, other: str | None) -> str:
    found = cell.ratio(tool, other) if tool and tool != other else None
    return rows.ratio(found) if found else ""


def row_of(texts: Iterable[str]) -> str:
    """Return a row of a table."""
    return f"| {' | '.join(texts)} |"


def _slopes(found: Sequence[Cell]) -> Iterator[str]:
    for tool in ordered({tool for cell in found for tool in cell.runs}):
        slopes = zip(cells.per_object(found, tool), ("declared", "foreign"), strict=True)
        texts = [f"{slope:.0f} bytes for each {sort} one" for slope, sort in slopes if slope is not None]
        if texts:
            yield f"{tool} {', '.join(texts)}"


def _series(found: Sequence[Cell]) -> Mapping[str, list[Point]]:
    """Tool, the widths of the lower bound as one → its medians by number of objects; cells with foreign objects are left out."""
    series: dict[str, list[Point]] = {}
    for cell in cells.of_one_session(cell for cell in found if cell.runs):
        scale = rows.row(cell.key.scenario, cell.main).scale
        for tool in cell.runs if cell.key.n and not cell.key.m else ():
            values = [value * scale for value in cell.values(tool, cell.main)]
            if min(values) > 0:
                series.setdefault(cells.family(tool), []).append(Point(cell.key.n, min(values), statistics.median(values), max(values)))
    return {tool: series[tool] for tool in ordered(series)}
