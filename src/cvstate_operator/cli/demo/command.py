"""`cvstate demo`: the main job, live, on a cluster of its own."""

import json
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cvstate_operator.errors import SettingsError

if TYPE_CHECKING:
    from cvstate_operator.cli.demo.show import Findings

NOT_SEEN = 1
"""Exit code if a step did not happen."""
INTERRUPTED = 130
"""Exit code after Ctrl-C (128 + SIGINT)."""


def demo(
    kubeconfig: Annotated[
        Path | None,
        typer.Option(
            envvar="CVSTATE_KUBECONFIG",
            help="Play on this cluster instead of starting one: as its admin, in namespaces of the demo's own, which are removed at the end.",
            dir_okay=False,
            resolve_path=True,
        ),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running at the end, to play with, until Ctrl-C.")] = False,
    pace: Annotated[float, typer.Option(min=0, max=60, help="Seconds to read what comes next, before each step.")] = 1.5,
    result: Annotated[Path | None, typer.Option("--json", help="Write what was measured to this file.", dir_okay=False)] = None,
) -> None:
    """Show the whole job live: from a commit to a cluster that matches it, and stays so.

    Starts a Kubernetes control plane (in a checkout; the first time its programs are built, which takes minutes), a Git server with a web shop of 50
    objects, and the operator. Then fields are edited and objects deleted by hand, commits come, one is broken, files go. Each step is timed by the
    demo's own watch of the API server. Nothing is left behind.

    Exit codes: 0 everything was seen, 1 something was not, 2 the demo could not run, 130 Ctrl-C.

    Examples:

      cvstate demo                           about half a minute

      cvstate demo --keep                    and then it is yours to play with

      cvstate demo --pace 0 --json out.json  for machines

      cvstate demo --kubeconfig kind.yaml    on a cluster you have
    """
    import asyncio

    from rich.console import Console

    from cvstate_operator.cli.demo import screen, show

    if result and not result.parent.is_dir():
        raise SettingsError(f"{result.parent} is no directory; choose another place for --json")
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without UTF-8 shows question marks instead of ending the demo
    wish = show.Wish(kubeconfig=kubeconfig, keep=keep, pace_seconds=pace)
    findings = show.Findings()
    try:
        with _termination_as_interrupt():
            asyncio.run(show.play(wish, screen.make(Console(highlight=False, markup=False, emoji=False)), findings))
    except KeyboardInterrupt:
        if not (keep and findings.is_complete):
            typer.echo("stopped; nothing was left running", err=True)
            raise typer.Exit(INTERRUPTED) from None
    if result:
        result.write_text(json.dumps(_as_data(findings), indent=2) + "\n")
    if findings.missed:
        raise typer.Exit(NOT_SEEN)


@contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """SIGTERM and a closed terminal end the demo as Ctrl-C does: everything is put away."""
    before = {number: signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT)) for number in (signal.SIGTERM, signal.SIGHUP)}
    # A shell starts background jobs with SIGINT ignored; then the others would be lost too.
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _as_data(findings: "Findings") -> Mapping[str, Any]:
    missed = findings.missed
    return {
        "ok": missed is None,
        "seconds": findings.seconds,
        "steps": {key: {"summary": seen.summary, "seconds": seen.seconds, **seen.measures} for key, seen in findings.seen.items()},
        "missed": missed and {"expected": missed.expected, "seen": missed.found},
        "log": findings.log and str(findings.log),
    }
