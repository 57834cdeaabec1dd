"""`python -m bench`: run scenarios, and write the report from the runs that are kept.

Input and exit codes: `--help`. Progress goes to stderr, each run as one line of JSON to stdout.
"""

import argparse
import dataclasses
import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bench import report, results, scenarios, tools
from bench.parameters import Parameters
from bench.results import Record
from bench.session import Session
from tests.cluster import builds, programs

DEFAULT_WIDTHS: Final = "8,16,32"
"""Connections of the lower bound: the best of them is its figure. On 2 cores it lies here."""
EXAMPLES: Final = """\
examples:
  python -m bench S1                                   1000 objects, every tool, one run each
  python -m bench S1 --n 1000,5000,10000 --runs 5
  python -m bench S2 --tools cvstate,bound --width 4 --rounds 20
  python -m bench all --runs 5                         every scenario in all its sizes, then the report; hours
  python -m bench report                               docs/benchmark.md from bench/results

exit codes: 0 every run counts, 1 some do not, 2 nothing to do or a wrong command line
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says, and return the exit code."""
    options = _parser().parse_args(arguments)
    if options.what == "report":
        return _report(options)
    name, is_quiet = results.stamp(datetime.now(UTC)), options.world == "quiet"
    builds.ensure(programs.QUIET if is_quiet else programs.FULL)
    is_right, made = True, 0
    for scenario in scenarios.MODULES if options.what == "all" else (options.what,):
        session = Session(name, _tools(options, scenario), options.runs, is_quiet, options.results)
        sizes = options.n or (scenarios.named(scenario).SIZES if options.what == "all" else (Parameters().n,))
        chosen = [each for each in scenarios.variants(scenario) if not options.variants or each in options.variants]
        foreign = options.m or (scenarios.foreign(scenario) if options.what == "all" else (Parameters().m,))
        for m, n, variant in itertools.product(foreign, sizes, chosen):
            parameters = dataclasses.replace(_parameters(options), n=n, m=m, variant=variant)
            for record in session.run(scenario, parameters):
                made, is_right = made + 1, is_right and record.is_right
                _tell(record)
    if options.what == "all":
        _report(options)
    if not made:
        print("nothing was run: no tool offers this, or no form of it has such a name", file=sys.stderr)
        return 2
    return 0 if is_right else 1


def _parser() -> argparse.ArgumentParser:
    default = Parameters()
    parser = argparse.ArgumentParser(
        "python -m bench",
        description="Run scenarios, and write the report from the runs that are kept.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=(*scenarios.MODULES, "all", "report"), help="scenario, all of them, or only the report")
    parser.add_argument(
        "--n", type=_sizes, metavar="N[,N...]", help=f"declared objects; default {default.n}, for all: each scenario's own sizes"
    )
    parser.add_argument(
        "--m",
        type=_sizes,
        metavar="M[,M...]",
        help=f"objects of the same kinds that nobody declares; default {default.m}, for all: each scenario's own numbers",
    )
    parser.add_argument(
        "--runs",
        type=_positive,
        default=1,
        help="turns; each tool runs once in each; default %(default)s, for figures to publish 5 or more",
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
        "--world", choices=("quiet", "live"), default="quiet", help="quiet: only etcd and the API server; live: controllers too"
    )
    parser.add_argument("--seed", type=int, default=default.seed, help="of objects and changes; default %(default)s")
    parser.add_argument("--rounds", type=_positive, default=default.rounds, help="single events measured in a run; default %(default)s")
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
        default=default.idle_seconds,
        metavar="SECONDS",
        help="how long S3 watches an idle tool, below 600; default %(default)s",
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


def _tools(options: argparse.Namespace, scenario: str) -> tuple[str, ...]:
    """Who takes part: as the command line says, or else the scenario; `bound` in each of its widths."""
    names = options.tools or scenarios.tools(scenario)
    return tuple(each for name in names for each in (_widths(options.width) if name == "bound" else (name,)))


def _widths(numbers: Sequence[int]) -> Iterator[str]:
    return (f"bound-{number}" for number in numbers)


def _parameters(options: argparse.Namespace) -> Parameters:
    return Parameters(
        seed=options.seed,
        rounds=options.rounds,
        changes=options.changes,
        drift_seconds=min(options.drift, 120.0),
        idle_seconds=options.idle,
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
        f"{record.scenario} {record.variant} n={record.n} turn {record.turn} {record.tool}: {what} {verdict}", file=sys.stderr, flush=True
    )


def _report(options: argparse.Namespace) -> int:
    kept = results.read(options.results)
    if not kept:
        print(f"there are no runs in {options.results}; make some: python -m bench S1", file=sys.stderr)
        return 2
    print(report.write(kept, options.docs), file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
