"""`python -m bench`: run scenarios, and write the report from the runs that are kept.

Input and exit codes: `--help`. Progress goes to stderr, each run as one line of JSON to stdout.
"""

import argparse
import dataclasses
import itertools
import json
import signal
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bench import guard, plan, progress, report, results, revision, scenarios, tools
from bench.parameters import Parameters
from bench.plan import Cell
from bench.progress import Planned, Progress
from bench.results import Record
from bench.session import Session, conflicts
from tests.cluster import builds, programs

DEFAULT_WIDTHS: Final = "8,16,32"
"""Connections of the lower bound: the best of them is its figure. On 2 cores it lies here."""
EXAMPLES: Final = """\
examples:
  python -m bench S1                                   1000 objects, every tool, one run each
  python -m bench S1 --n 1000,5000,10000 --runs 5
  python -m bench S2 --tools cvstate,bound --width 4 --rounds 20
  python -m bench all --runs 5                         every cell of the goals (bench/plan.py), then the report; four hours
  python -m bench all --runs 5 --resume 20260131T235959Z     what that session does not have yet
  python -m bench all --scenarios S4,S7 --runs 5       only these of them
  python -m bench plan --runs 5                        what `all` would measure, and how long it takes
  python -m bench report                               docs/benchmark.md from all of bench/results
  python -m bench report --session 20260131T235959Z    from the runs of one session

exit codes: 0 every run counts, 1 some do not, 2 nothing to do or a wrong command line
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says, and return the exit code."""
    options = _parser().parse_args(arguments)
    if options.what == "report":
        return _report(options, options.session)
    planned = [(run, _parameters(options, run.cell)) for cell in _cells(options) for run in plan.order(cell, options.runs)]
    if options.what == "plan":
        print(progress.table(planned))
        return 0
    session = Session(options.resume or results.stamp(datetime.now(UTC)), directory=options.results)
    kept = [record for record in results.read(options.results) if record.session == session.name]
    if options.resume and not kept:
        print(f"no session {options.resume} in {options.results}; its name is in those of the files there", file=sys.stderr)
        return 2
    if against := conflicts(planned, kept, revision.current()):
        print(f"session {session.name} cannot be continued: {'; '.join(against)}", file=sys.stderr)
        return 2
    if revision.current().endswith(revision.DIRTY):
        print("files differ from the commit that is checked out: these figures are not of any commit", file=sys.stderr)
    return guard.run(lambda: _measure(options, planned, session, kept))


def _measure(options: argparse.Namespace, planned: Sequence[Planned], session: Session, kept: Sequence[Record]) -> int:
    """Make the runs that are not kept yet, and say how far we are; returns the exit code."""
    waiting = session.waiting(planned, kept)
    far, made = Progress(planned, kept), list[Record]()
    try:
        is_live = any(run.cell.world == "live" for run, _ in waiting)
        servers = programs.FULL if is_live else programs.QUIET
        builds.ensure(dict.fromkeys([*servers, *(name for run, _ in waiting for name in tools.programs(run.tool))]))
        for index, (run, parameters) in enumerate(waiting):
            print(far.line(waiting[index:]), file=sys.stderr, flush=True)
            if record := session.make(run, parameters):
                made.append(record)
                far.note(record)
                _tell(record)
    except (KeyboardInterrupt, SystemExit) as exc:
        how = f"to go on, give the same command with --resume {session.name}" if made or kept else "no run had ended, so nothing was kept"
        print(f"stopped; {how}", file=sys.stderr, flush=True)
        return exc.code if isinstance(exc, SystemExit) and isinstance(exc.code, int) else 128 + signal.SIGINT
    if options.what == "all":
        _report(options, (session.name,))
    if not made and not kept:
        print("nothing was run: no tool offers this, or no form of it has such a name", file=sys.stderr)
        return 2
    return 0 if all(record.is_right for record in (*kept, *made)) else 1


def _cells(options: argparse.Namespace) -> Iterator[Cell]:
    """What is to be measured: the plan, with other tools if the command line names some; or every form and size that the command line asks for."""
    names = _tools(options)
    is_all = options.what in ("all", "plan")
    if is_all and not (options.n or options.m or options.variants):
        for cell in plan.CELLS:
            if options.world in (None, cell.world) and cell.scenario in (options.scenarios or scenarios.MODULES):
                yield dataclasses.replace(cell, tools=names) if names else cell
        return
    for scenario in options.scenarios or scenarios.MODULES if is_all else (options.what,):
        sizes, foreign = options.n or (Parameters().n,), options.m or (Parameters().m,)
        chosen = [each for each in scenarios.variants(scenario) if not options.variants or each in options.variants]
        for m, n, variant in itertools.product(foreign, sizes, chosen):
            yield Cell(scenario, n, names or _tools(options, scenario), m=m, variant=variant, world=options.world or "quiet")


def _parser() -> argparse.ArgumentParser:
    default = Parameters()
    parser = argparse.ArgumentParser(
        "python -m bench",
        description="Run scenarios, and write the report from the runs that are kept.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "what", choices=(*scenarios.MODULES, "all", "plan", "report"), help="scenario, all of them, or only the plan or the report"
    )
    parser.add_argument("--n", type=_sizes, metavar="N[,N...]", help=f"declared objects; default {default.n}, for all: as the plan says")
    parser.add_argument(
        "--m",
        type=_sizes,
        metavar="M[,M...]",
        help=f"objects of the same kinds that nobody declares; default {default.m}, for all: as the plan says",
    )
    parser.add_argument(
        "--runs",
        type=_positive,
        default=1,
        help="turns; each tool runs once in each; default %(default)s, for figures to publish 5 or more",
    )
    parser.add_argument("--resume", default="", metavar="SESSION", help="continue a session: make only the runs that it does not have yet")
    parser.add_argument(
        "--scenarios",
        type=_scenarios,
        metavar="NAME[,NAME...]",
        help="for all and plan: only these; default all",
    )
    parser.add_argument(
        "--session",
        type=lambda text: tuple(text.split(",")),
        default=(),
        metavar="NAME[,NAME...]",
        help="for report: only runs of these sessions; default all that are kept. `all` reports its own",
    )
    parser.add_argument(
        "--tools",
        type=_names,
        metavar="NAME[,NAME...]",
        help=f"of {', '.join(tools.MODULES)}; default {', '.join(scenarios.DEFAULT_TOOLS)}, for S4: {', '.join(scenarios.tools('S4'))}",
    )
    parser.add_argument(
        "--variants",
        type=lambda text: tuple(text.split(",")),
        metavar="NAME[,NAME...]",
        help="of scenarios with several forms only these; default all",
    )
    parser.add_argument(
        "--width", type=_numbers, default=_numbers(DEFAULT_WIDTHS), metavar="W[,W...]", help=f"of `bound`; default {DEFAULT_WIDTHS}"
    )
    parser.add_argument(
        "--world",
        choices=("quiet", "live"),
        help="quiet: only etcd and the API server; live: controllers too; default quiet, for all: both, as the plan says",
    )
    parser.add_argument("--seed", type=int, default=default.seed, help="of objects and changes; default %(default)s")
    parser.add_argument(
        "--rounds", type=_positive, help=f"single events measured in a run; default {default.rounds}, for all: as the plan says"
    )
    parser.add_argument("--changes", type=_positive, default=default.changes, help="objects that change in each; default %(default)s")
    parser.add_argument(
        "--drift",
        type=float,
        default=default.drift_seconds,
        metavar="SECONDS",
        help="how long objects are changed in S4, at most 120; default %(default)s",
    )
    parser.add_argument(
        "--idle",
        type=float,
        metavar="SECONDS",
        help=f"how long S3 watches an idle tool at least, below 500; default {default.idle_seconds:.0f}, for all: as the plan says",
    )
    parser.add_argument(
        "--rest", type=float, default=default.rest_seconds, metavar="SECONDS", help="idle before measuring; default %(default)s"
    )
    parser.add_argument(
        "--patience", type=float, default=default.patience_seconds, metavar="SECONDS", help="limit of any wait; default %(default)s"
    )
    parser.add_argument(
        "--results", type=Path, default=results.DIRECTORY, metavar="DIRECTORY", help="where runs are kept; default bench/results"
    )
    parser.add_argument("--docs", type=Path, default=report.DIRECTORY, metavar="DIRECTORY", help="where the report goes; default docs")
    return parser


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(_positive(part) for part in text.split(","))


def _sizes(text: str) -> tuple[int, ...]:
    if not all(part.isdecimal() for part in text.split(",")):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers from 0")
    return tuple(map(int, text.split(",")))


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return int(text)


def _names(text: str) -> tuple[str, ...]:
    for name in (names := tuple(text.split(","))):
        try:
            tools.make(name)
        except KeyError:
            raise argparse.ArgumentTypeError(f"no tool is called {name!r}; there are {', '.join(tools.MODULES)} and bound-WIDTH") from None
    return names


def _scenarios(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := [name for name in names if name not in scenarios.MODULES]:
        raise argparse.ArgumentTypeError(f"no scenario is called {unknown[0]!r}; there are {', '.join(scenarios.MODULES)}")
    return names


def _tools(options: argparse.Namespace, scenario: str | None = None) -> tuple[str, ...]:
    """Who takes part: as the command line says, or else the scenario, or else nobody; `bound` in each of its widths."""
    names = options.tools or (scenarios.tools(scenario) if scenario else ())
    return tuple(each for name in names for each in ([f"bound-{number}" for number in options.width] if name == "bound" else [name]))


def _parameters(options: argparse.Namespace, cell: Cell) -> Parameters:
    return Parameters(
        n=cell.n,
        m=cell.m,
        variant=cell.variant,
        seed=options.seed,
        rounds=options.rounds or cell.rounds or Parameters().rounds,
        changes=options.changes,
        drift_seconds=min(options.drift, 120.0),
        idle_seconds=options.idle or cell.idle_seconds or Parameters().idle_seconds,
        rest_seconds=options.rest,
        patience_seconds=options.patience,
    )


def _tell(record: Record) -> None:
    print(json.dumps(dataclasses.asdict(record), sort_keys=True), flush=True)
    value = record.figures.get(record.main)
    requests = record.figures.get("requests", record.figures.get("requests_per_round"))
    what = "" if value is None else f"{record.main} {value:.4g}" + ("" if requests is None else f", {requests:.0f} requests")
    verdict = "" if record.is_right else f"does not count: {'; '.join(record.faults)}"
    print(
        f"{record.scenario} {record.variant} n={record.n} turn {record.turn + 1} {record.tool}: {what} {verdict}",
        file=sys.stderr,
        flush=True,
    )


def _report(options: argparse.Namespace, sessions: Sequence[str]) -> int:
    """Of the runs of these sessions; of all if none is named."""
    kept = results.read(options.results)
    if not kept:
        print(f"there are no runs in {options.results}; make some: python -m bench S1", file=sys.stderr)
        return 2
    if unknown := sorted(set(sessions) - {record.session for record in kept}):
        print(f"no session {unknown[0]} in {options.results}; its name is in those of the files there", file=sys.stderr)
        return 2
    kept = [record for record in kept if record.session in (sessions or (record.session,))]
    print(report.write(kept, options.docs), file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
