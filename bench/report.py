"""The report: docs/benchmark.md and pictures beside it, from the runs that are kept. Written anew each time; nothing in it is typed by hand."""

import importlib
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final, TypeAlias

from bench import cells, plot, scenarios
from bench.cells import BOUND, OURS, PEER, Cell, Key
from bench.exponents import exponents
from bench.plot import Point
from bench.results import Record
from bench.statistics import Interval

DIRECTORY: Final = Path(__file__).parent.parent / "docs"
PAGE: Final = "benchmark.md"
PICTURES: Final = "benchmark"
Group: TypeAlias = tuple[str, str, str]
"""Scenario, its form, world."""
_BYTES: Final = "_bytes"
"""Such figures are shown in megabytes."""
_MOST_BROKEN: Final = 20
_FEWEST_FOR_INTERVAL: Final = 3
"""Turns below which an interval would only repeat the ratio."""
_INTRODUCTION: Final = """\
# Benchmark

Written by `python -m bench report` from the runs kept in `bench/results`; do not edit. `make bench` makes them anew, `python -m bench --help` says how to make one.

- **Who is right decides an observer**, a process of its own with its own watches. No tool's status is trusted.
- **Requests** are counted in the API server's audit log, from the push until the tool is silent, status and events included.
- **A run counts only if its end state is right**: every declared field has its value, no other field was set, nothing of others was touched.
- **Runs take turns** (ABBA) on a fresh cluster each; all tools act as one ServiceAccount, with the same API priority.
- **`bound`** is no tool: only the necessary requests, made before the clock runs, over the best of several numbers of connections.
- **Caused server CPU** is that of API server and etcd, less what they use when nothing happens. Memory is the proportional set of all processes of a tool.
- **Ratios** are of medians within one session, with the bootstrap's 95 % interval over turns. Below five turns that interval says little.
- API server, etcd (without fsync) and tools share the machine, so nothing here compares with figures of other machines. *quiet*: only etcd and the API
  server run. *live*: the controllers too.
"""

_REQUESTS: Final = ("requests_per_object", "requests_per_drift", "requests_per_round", "requests")
"""The first that a scenario has is shown."""


@dataclass(frozen=True, slots=True, eq=False)
class _Column:
    titles: Mapping[str, str]
    """Figure → title. The first figure that a run has is the one shown."""
    scale: float
    digits: int
    is_cost: bool = True
    """Whether less is better, all else being equal."""

    def shown(self, cell: Cell, tool: str) -> tuple[str, float] | None:
        """Title and median; None if the tool's runs have none of the figures."""
        found = ((title, cell.median(tool, figure)) for figure, title in self.titles.items())
        return next(((title, value) for title, value in found if value is not None), None)

    def text(self, value: float) -> str:
        """A value as the report has it."""
        return f"{value * self.scale:.{self.digits}f}"


_COLUMNS: Final = (
    _Column({"p99_seconds": "p99 of a run's events, s"}, 1, 3),
    _Column({"max_seconds": "longest of a run's events, s"}, 1, 3),
    _Column({"missed": "missed"}, 1, 0),
    _Column({"false_repairs": "false repairs"}, 1, 0),
    _Column({"second_drift_seconds": "second drift of an object, s"}, 1, 3),
    _Column({"other_drift_seconds": "drift of another then, s"}, 1, 3),
    _Column({"one_seconds": "commit to one, s"}, 1, 3),
    _Column({"all_seconds": "commit to all, s"}, 1, 2),
    _Column({"status_writes_per_unit": "status writes per unit, cold"}, 1, 2),
    _Column({"one_status_writes_per_unit": "status writes per unit, commit to one"}, 1, 2),
    _Column({name: name.replace("_", " ") for name in _REQUESTS}, 1, 2),
    _Column({"writes_per_drift": "writes per drift"}, 1, 2),
    _Column({"requests_per_hour_and_1000": "of these for 1,000 objects"}, 1, 1, is_cost=False),
    _Column({"writes_per_hour": "writes per hour", "surplus_writes": "writes beyond the necessary"}, 1, 0),
    _Column({"response_bytes_per_hour": "answers to reads per hour, MB"}, 1e-6, 2),
    _Column(
        {"cpu_seconds_per_round": "own CPU per round, s", "cpu_seconds_per_hour": "own CPU per hour, s", "cpu_seconds": "own CPU, s"}, 1, 2
    ),
    _Column(
        {
            "caused_cpu_seconds_per_round": "caused server CPU per round, s",
            "caused_cpu_seconds_per_hour": "caused server CPU per hour, s",
            "caused_cpu_seconds": "caused server CPU, s",
        },
        1,
        2,
    ),
    _Column({"peak_pss_bytes": "peak memory, MB"}, 1e-6, 0),
    _Column({"peak_ratio": "peak over steady"}, 1, 2, is_cost=False),
)


def write(records: Sequence[Record], directory: Path) -> str:
    """Write the report and its pictures; returns one line that says so.

    Args:
        records: all that are kept.
        directory: gets PAGE, and PICTURES as a directory.
    """
    found = cells.cells(records)
    pictures = {_picture(group): text for group, text in _pictures(found)}
    (directory / PICTURES).mkdir(parents=True, exist_ok=True)
    for name, text in pictures.items():
        (directory / PICTURES / name).write_text(text)
    (directory / PAGE).write_text(page(records))
    return f"{directory / PAGE}: {len(records)} runs, {len(found)} cells, {len(pictures)} pictures"


def page(records: Sequence[Record]) -> str:
    """Return the text of the report."""
    found = cells.cells(records)
    parts = [_INTRODUCTION, _machines(found)]
    for _, group in groupby(found, key=_group):
        parts += _chapter(list(group))
    parts += _growth(found)
    parts += [
        "## Where we lose\n",
        "\n".join(_losses(found)) or ("Against no peer in these runs." if any(map(_peers, found)) else "No peer took part in these runs."),
        "",
    ]
    parts += ["## Runs that do not count\n", "\n".join(_broken(found)) or "None.", ""]
    return "\n".join(parts).rstrip() + "\n"


def _machines(found: Iterable[Cell]) -> str:
    runs = [record for cell in found for each in cell.runs.values() for record in each]
    machines = sorted({(m.cores, m.processor, m.memory_bytes, m.kernel) for record in runs if (m := record.machine)})
    lines = [f"- {cores} cores of {processor}, {memory / 2**30:.0f} GiB, Linux {kernel}" for cores, processor, memory, kernel in machines]
    loads = [record.machine.load_average for record in runs if record.machine]
    if loads:
        lines.append(f"- load average when runs began: median {statistics.median(loads):.1f}, highest {max(loads):.1f}")
    tools = {record.tool: ", ".join(f"{name} {value}" for name, value in sorted(record.facts.items())) for record in runs}
    lines += [f"- `{tool}`: {facts}" for tool, facts in sorted(tools.items())]
    return "\n".join(("## Machine and tools\n", *lines, ""))


# -- a scenario in a world -------------------------------------------------------------------------------------------------


def _group(cell: Cell) -> Group:
    """What makes one chapter and one picture."""
    return cell.key.scenario, cell.key.variant, cell.key.world


def _picture(group: Group) -> str:
    """Name of its file."""
    return f"{'-'.join(part.replace(' ', '-') for part in group if part)}.svg"


def _heading(group: Group) -> str:
    scenario, variant, world = group
    return f"{_title(scenario)}{', ' + variant if variant else ''} ({world})"


def _chapter(found: Sequence[Cell]) -> Iterator[str]:
    group = _group(found[0])
    yield f"## {_heading(group)}\n"
    if _series(found):
        yield f"![{', '.join(part for part in group if part)}: {_words(found[0].main)} by objects]({PICTURES}/{_picture(group)})\n"
    columns = {column: title for column in _COLUMNS if (title := _header(found, column))}
    head = (
        "objects",
        "tool",
        "runs",
        f"{_words(found[0].main)}, median",
        "least – most",
        *columns.values(),
        "× bound",
        "× best Flux",
    )
    yield _row(head)
    yield _row("---" for _ in head)
    for cell in found:
        for tool in sorted(cell.runs, key=lambda name: (name != OURS, name)):
            yield _row(_figures(cell, tool, columns))
    yield ""
    if found[0].main.endswith(_BYTES) and (slopes := list(_slopes(found))):
        yield f"Growth of {_words(found[0].main)} with each object: {'; '.join(slopes)}.\n"


def _title(scenario: str) -> str:
    """The first words of the scenario's own docstring: `S1, cold convergence`."""
    if scenario not in scenarios.MODULES:
        return scenario
    return (importlib.import_module(scenarios.MODULES[scenario]).__doc__ or scenario).partition(":")[0]


def _header(found: Iterable[Cell], column: _Column) -> str:
    """The title of a column in a chapter, the same for every tool; empty if the scenario has no such figure."""
    titles = (shown[0] for cell in found for tool in cell.runs if (shown := column.shown(cell, tool)))
    return next(titles, "")


def _figures(cell: Cell, tool: str, columns: Iterable[_Column]) -> Iterator[str]:
    values = cell.values(tool, cell.main)
    key = cell.key
    yield f"{key.n}" + (f" + {key.m} foreign" if key.m else "")
    yield tool
    yield str(len(values))
    scale = _scale(cell.main)
    yield _number(statistics.median(values) * scale)
    yield f"{_number(min(values) * scale)} – {_number(max(values) * scale)}"
    for column in columns:
        shown = column.shown(cell, tool)
        yield column.text(shown[1]) if shown else ""
    for other in (cell.best(BOUND), cell.best(PEER)):
        found = cell.ratio(tool, other) if other != tool else None
        yield _ratio(found, len(values)) if found else ""


def _number(value: float) -> str:
    """Four digits that count."""
    return f"{value:.{max(0, 3 - math.floor(math.log10(value)))}f}" if value > 0 else "0"


def _words(figure: str) -> str:
    return f"{figure.removesuffix(_BYTES)} MB" if figure.endswith(_BYTES) else figure.replace("_", " ")


def _scale(figure: str) -> float:
    """What the values of a figure are multiplied with to be shown in the unit that `_words` says."""
    return 1e-6 if figure.endswith(_BYTES) else 1


def _ratio(found: Interval, runs: int) -> str:
    return f"{found.value:.2f}" + (f" ({found.low:.2f} – {found.high:.2f})" if runs >= _FEWEST_FOR_INTERVAL else "")


def _row(texts: Iterable[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _slopes(found: Sequence[Cell]) -> Iterator[str]:
    for tool in sorted({tool for cell in found for tool in cell.runs}, key=lambda name: (name != OURS, name)):
        slopes = zip(cells.per_object(found, tool), ("declared", "foreign"), strict=True)
        texts = [f"{slope:.0f} bytes for each {sort} one" for slope, sort in slopes if slope is not None]
        if texts:
            yield f"{tool} {', '.join(texts)}"


def _series(found: Sequence[Cell]) -> Mapping[str, list[Point]]:
    """Tool, the widths of the lower bound as one → its medians by number of objects; cells with foreign objects are left out."""
    series: dict[str, list[Point]] = {}
    for cell in found:
        for tool in cell.runs if cell.key.n and not cell.key.m else ():
            values = [value * _scale(cell.main) for value in cell.values(tool, cell.main)]
            name = BOUND if tool.startswith(BOUND) else tool
            if min(values) > 0:
                series.setdefault(name, []).append(Point(cell.key.n, min(values), statistics.median(values), max(values)))
    return dict(sorted(series.items(), key=lambda item: (item[0] != OURS, item[0])))


def _pictures(found: Sequence[Cell]) -> Iterator[tuple[Group, str]]:
    for group, some in groupby(found, key=_group):
        cells_here = list(some)
        if series := _series(cells_here):
            yield group, plot.draw(_heading(group), "declared objects", _words(cells_here[0].main), series)


# -- growth ----------------------------------------------------------------------------------------------------------------


def _growth(found: Sequence[Cell]) -> Iterator[str]:
    fits = exponents(found)
    if not fits:
        return
    tools = sorted({fit.tool for fit in fits}, key=lambda name: (name != OURS, name))
    yield "## S9, growth\n"
    yield "cost ≈ factor × objects ^ exponent: the exponent ± its standard error, over the runs above. 1: twice the objects cost twice as much; 0: the same.\n"
    head = ("scenario", "cost", "objects", *tools)
    yield _row(head)
    yield _row("---" for _ in head)
    for (scenario, variant, world, figure), group in groupby(fits, key=lambda fit: (fit.scenario, fit.variant, fit.world, fit.figure)):
        some = list(group)
        texts = {fit.tool: f"{fit.growth.exponent:.2f} ± {fit.growth.error:.2f}" for fit in some}
        sizes = f"{min(fit.fewest for fit in some)} – {max(fit.most for fit in some)}"
        name = " ".join(part for part in (scenario, variant, world) if part)
        yield _row((name, _words(figure), sizes, *(texts.get(tool, "") for tool in tools)))
    yield ""


# -- what is not to be overlooked ------------------------------------------------------------------------------------------


def _losses(found: Iterable[Cell]) -> Iterator[str]:
    for cell in found:
        for tool in _peers(cell):
            for column in (_Column({cell.main: _words(cell.main)}, _scale(cell.main), 3), *_COLUMNS):
                mine, theirs = column.shown(cell, OURS), column.shown(cell, tool)
                if column.is_cost and mine and theirs and mine[1] > theirs[1]:
                    yield f"- {_name(cell.key)}: {mine[0]}: {column.text(mine[1])} against {column.text(theirs[1])} of {tool}"


def _peers(cell: Cell) -> list[str]:
    return [name for name in cell.runs if name != OURS and not name.startswith(BOUND)]


def _broken(found: Iterable[Cell]) -> Iterator[str]:
    lines = [f"- {_name(cell.key)}, {record.tool}, turn {record.turn}: {record.faults[0]}" for cell in found for record in cell.broken]
    yield from lines[:_MOST_BROKEN]
    if len(lines) > _MOST_BROKEN:
        yield f"- and {len(lines) - _MOST_BROKEN} more"


def _name(key: Key) -> str:
    return f"{' '.join(part for part in key[:3] if part)}, {key.n} objects" + (f" and {key.m} foreign" if key.m else "")
