"""The report: docs/benchmark.md and pictures beside it, from the runs that are kept. Written anew each time; no figure of these runs is typed by hand."""

import statistics
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

from bench import cells, chapters, goals, rows
from bench.cells import BOUND, OURS, Cell, Key
from bench.chapters import PICTURES, ordered, row_of
from bench.exponents import Exponent, exponents
from bench.goals import Verdict
from bench.reference import REFERENCE
from bench.results import Record

DIRECTORY: Final = Path(__file__).parent.parent / "docs"
PAGE: Final = "benchmark.md"
_MOST_BROKEN: Final = 40
_INTRODUCTION: Final = """\
# Benchmark

Written by `python -m bench report` from the runs kept in `bench/results`; do not edit. `make bench` makes them anew; [how](benchmarking.md).
"""
_METHOD: Final = """\
## How it was measured

- **Who is right decides an observer**, a process of its own with its own watches. No tool's status is trusted. The clock starts when the repository has the commit, packed as a server keeps what was pushed.
- **Requests** are counted in the API server's audit log, from the push until the tool is silent, status and events included.
- **A run counts only if its end state is right**: every declared field has its value, no other field was set, nothing of others was touched.
- **Runs take turns** (ABBA) on a fresh cluster each; all tools act as one ServiceAccount, with the same API priority.
- **`flux`** is Flux's kustomize-controller as released, at its defaults; **`flux-tuned`** at the settings that its documentation advises for large clusters. Ratios are to
  `flux-tuned` where `flux` ran in fewer turns or not at all; in S1 at 1,000 objects both ran in all, and the faster counts. In S4 it is `flux-60s`. It is given ready archives (in S7
  they are packed while the clock runs), so its figures hold no clone and no source-controller: they are lower bounds of the whole of Flux.
- **One object declares everything** in S1 to S6: one ClusterState, one Kustomization. Flux works on several Kustomizations at once and on the objects of each one after
  another, so a repository that is split into many suits it better; that is S7.
- **`bound`** is no tool: only the necessary requests, made before the clock runs, over the best of several numbers of connections.
- **Caused server CPU** is that of API server and etcd, less what they use when nothing happens. Memory is the proportional set of all processes of a tool;
  its highest value is that of samples a second apart, so a child that lives shorter may be in none.
- **Ratios** are of medians within one session, over the turns in which both runs count; how many these are stands beside each. From five turns on they come
  with the bootstrap's 95 % interval, which holds the truth in about 93 of 100 cases at five turns; below, with the least and the most of the single turns.
- API server, etcd (without fsync) and tools share the machine, so nothing here compares with figures of other machines. *Quiet*: only etcd and the API
  server run. *Live*: the controllers too.
- **Many clusters** (S8) are stubs in one process beside the tool, which also says when an object has arrived, and counts what was asked of it; real ones are tried in tests, two at a time.
- **Not measured**: commits that change one in a hundred objects or rename one, and commits that no webhook tells (S2); kustomize overlays (S1); drift at
  0.1 and 1 a second, for longer than half a minute, and of many ClusterStates (S4); a restart after commits, and beside 50,000 foreign objects (S5).
"""


def write(records: Sequence[Record], directory: Path) -> str:
    """Write the report and its pictures; returns one line that says so.

    Args:
        records: all that are kept.
        directory: gets PAGE, and PICTURES as a directory; pictures of an earlier report go.
    """
    found = cells.cells(records)
    drawn = dict(chapters.pictures(found))
    where = directory / PICTURES
    where.mkdir(parents=True, exist_ok=True)
    for old in where.glob("*.svg"):
        old.unlink()
    for name, text in drawn.items():
        (where / name).write_text(text)
    (directory / PAGE).write_text(page(records))
    return f"{directory / PAGE}: {len(records)} runs, {len(found)} cells, {len(drawn)} pictures"


def page(records: Sequence[Record]) -> str:
    """Return the text of the report."""
    found = cells.cells(records)
    fits = exponents(found)
    parts = [_INTRODUCTION, *_goals(found, fits), *_lost(found), *_machines(found), _METHOD]
    parts += chapters.chapters(found)
    parts += _growth(fits)
    parts += [REFERENCE, "## Runs that do not count\n", "\n".join(_broken(records)) or "None.", "", *_superseded(found)]
    return "\n".join(parts).rstrip() + "\n"


def _goals(found: Sequence[Cell], fits: Sequence[Exponent]) -> Iterator[str]:
    verdicts = goals.verdicts(found, fits)
    yield "## Goals\n"
    yield f"{goals.summary(verdicts)}\n"
    yield (
        "Medians of runs, unless the line says otherwise; a ratio is cvstate's figure over the other's, with its turns and its 95 % interval, or least and most "
        "below five turns. *Flux* is `flux-tuned`, in S1 at 1,000 objects the faster of both settings. Where no goal compares with it, it ran in few turns and at few sizes.\n"
    )
    yield row_of(("", "what", "goal", "cvstate", "Flux", "lower bound", "ratio", "runs", "result"))
    yield row_of(("---", "---", "---", "--:", "--:", "--:", "--:", "--:", "---"))
    for each, is_first in zip(verdicts, _first(verdicts), strict=True):
        yield row_of(
            (
                f"**{each.scenario}**" if is_first else "",
                each.what,
                each.limit,
                each.ours,
                each.peer,
                each.bound,
                each.ratio,
                each.runs,
                each.word,
            )
        )
    yield ""


def _first(verdicts: Sequence[Verdict]) -> Iterator[bool]:
    """Whether each is the first of its scenario."""
    before = ""
    for each in verdicts:
        yield each.scenario != before
        before = each.scenario


def _machines(found: Iterable[Cell]) -> Iterator[str]:
    runs = [record for cell in found for each in cell.runs.values() for record in each]
    yield "## Machine and tools\n"
    machines = sorted({(m.cores, m.processor, m.memory_bytes, m.kernel) for record in runs if (m := record.machine)})
    for cores, processor, memory, kernel in machines:
        yield f"- {cores} cores of {processor}, {memory / 2**30:.0f} GiB, Linux {kernel}"
    loads = [record.machine.load_average for record in runs if record.machine]
    if loads:
        yield f"- load average when runs began: median {statistics.median(loads):.1f}, highest {max(loads):.1f}"
    days = sorted({record.started[:10] for record in runs if record.started})
    if days:
        yield f"- measured {' – '.join(dict.fromkeys((days[0], days[-1])))}"
    yield from _sessions(found)
    servers = sorted({record.settings["kubernetes"] for record in runs if "kubernetes" in record.settings})
    if servers:
        yield f"- Kubernetes {', '.join(servers)}"
    facts: dict[str, dict[str, None]] = {}
    for record in runs:
        text = ", ".join(f"{name} {value}" for name, value in sorted(record.facts.items()))
        facts.setdefault(record.tool, {})[text] = None
    for tool in ordered(facts):
        yield f"- `{tool}`: {'; or '.join(facts[tool])}"
    yield ""


def _sessions(found: Iterable[Cell]) -> Iterator[str]:
    """One line for each session: its commit, and what it is shown of."""
    for name, some in groupby(sorted(found, key=lambda cell: cell.session), key=lambda cell: cell.session):
        of_session = list(some)
        runs = sum(len(each) for cell in of_session for each in cell.runs.values())
        scenarios = ", ".join(dict.fromkeys(cell.key.scenario for cell in of_session))
        yield f"- session {name}{chapters.commit_of(of_session[0])}: {runs} runs of {scenarios}"


def _growth(fits: Sequence[Exponent]) -> Iterator[str]:
    if not fits:
        return
    tools = ordered({fit.tool for fit in fits})
    yield "## S9, growth\n"
    yield (
        "cost ≈ factor × objects ^ exponent: the exponent ± its standard error, over the runs of one session without foreign objects, and of memory over the foreign ones. 1: twice the objects cost twice "
        "as much; 0: the same. In S7 the ClusterStates grow too, one for ten objects. Of the commits of S2 as many are taken of each run as the shortest has. Bytes for each object are under S6.\n"
    )
    yield row_of(("scenario", "cost", "objects", *tools))
    yield row_of(("---", "---", "---", *("--:" for _ in tools)))
    for (scenario, variant, world, figure, is_foreign), group in groupby(
        fits, key=lambda fit: (fit.scenario, fit.variant, fit.world, fit.figure, fit.is_foreign)
    ):
        some = list(group)
        texts = {fit.tool: fit.text for fit in some}
        sizes = f"{min(fit.fewest for fit in some):,} – {max(fit.most for fit in some):,}{' foreign' if is_foreign else ''}"
        name = " ".join(part for part in (scenario, variant, world) if part)
        yield row_of((name, rows.row(scenario, figure).title, sizes, *(texts.get(tool, "") for tool in tools)))
    yield ""


# -- what is not to be overlooked ------------------------------------------------------------------------------------------


def _lost(found: Sequence[Cell]) -> Iterator[str]:
    yield "## Where we lose\n"
    losses = list(_losses(found))
    if losses:
        yield "Figures of these runs in which a peer is better than cvstate:\n"
        yield from losses
    else:
        yield "Against no peer in these runs." if any(map(_peers, found)) else "No peer took part in these runs."
    yield ""


def _losses(found: Iterable[Cell]) -> Iterator[str]:
    """Medians of the turns in which both runs count."""
    for cell in found:
        for shown in rows.ROWS.get(cell.key.scenario) or (rows.row(cell.key.scenario, cell.main),):
            for tool in _peers(cell) if shown.is_cost else ():
                ours, theirs = cell.pairs(OURS, tool, shown.figure)
                if ours and statistics.median(theirs) < statistics.median(ours):
                    doubt = "" if len(ours) == 1 or min(ours) > max(theirs) else ", within the spread of the runs"
                    told = f"{shown.text(statistics.median(ours))} against {shown.text(statistics.median(theirs))} of {tool}"
                    yield f"- {_name(cell.key)}: {shown.name}: {told} ({len(ours)} {'turn' if len(ours) == 1 else 'turns'}{doubt})"


def _peers(cell: Cell) -> list[str]:
    return [name for name in ordered(cell.runs) if name != OURS and not name.startswith(BOUND)]


def _superseded(found: Iterable[Cell]) -> Iterator[str]:
    if number := sum(cell.superseded for cell in found):
        yield f"Kept, but not shown: {number:,} {'run' if number == 1 else 'runs'}; another session has the same cells with more tools, or more runs, or is newer.\n"


def _broken(records: Iterable[Record]) -> Iterator[str]:
    """Of all sessions."""
    lines = [
        f"- {_name(key)}, {record.tool}, turn {record.turn + 1} of session {record.session}: {record.faults[0]}"
        for key, record in sorted(((cells.key_of(record), record) for record in records if not record.is_right), key=lambda pair: pair[0])
    ]
    yield from lines[:_MOST_BROKEN]
    if len(lines) > _MOST_BROKEN:
        yield f"- and {len(lines) - _MOST_BROKEN} more"


def _name(key: Key) -> str:
    return f"{' '.join(part for part in key[:3] if part)}, {key.n:,} objects" + (f" and {key.m:,} foreign" if key.m else "")
