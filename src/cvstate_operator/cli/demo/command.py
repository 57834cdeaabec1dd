"""`cvstate demo`: the main job, live, on a cluster of its own."""

import json
import signal
import sys
from collections.abc import Coroutine, Mapping
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cvstate_operator.cli.demo.wish import Transport, Wish
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
    git: Annotated[
        Transport,
        typer.Option(
            help="How the operator reads the repository: http, or ssh with a host key and a key pair made on the spot, in a Secret."
        ),
    ] = Transport.HTTP,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running at the end, to play with, until Ctrl-C.")] = False,
    pace: Annotated[float, typer.Option(min=0, max=60, help="Seconds to read what comes next, before each step.")] = 1.5,
    result: Annotated[Path | None, typer.Option("--json", help="Write what was measured to this file.", dir_okay=False)] = None,
) -> None:
    """Show the whole job live: from a commit to a cluster that matches it, and stays so.

    Starts a Kubernetes control plane (in a checkout; the first time its programs
    are built, which takes minutes), a Git server with a web shop of 50 objects,
    and the operator. Then fields are edited and objects deleted by hand, and
    another controller fights over a field. Commits come: one brings an image that
    crashes and is rolled back, one lacks the signature that is asked for, one is
    broken, one removes a file, and one so much that it waits until somebody
    approves. Each step is timed by the demo's own watch of the API server.
    Nothing is left behind.

    Exit codes: 0 everything was seen, 1 something was not, 2 the demo could not
    run, 130 Ctrl-C.

    Examples:

      cvstate demo                           about 45 seconds

      cvstate demo --git ssh                 the same, read over SSH

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
    wish = Wish(kubeconfig=kubeconfig, transport=git, keep=keep, pace_seconds=pace)
    findings = show.Findings()
    try:
        seen_on = screen.make(Console(highlight=False, markup=False, emoji=False), git)
        asyncio.run(_until_interrupted(show.play(wish, seen_on, findings), findings))
    except KeyboardInterrupt:
        if not (keep and findings.is_complete):
            typer.echo("stopped; nothing was left running", err=True)
            raise typer.Exit(INTERRUPTED) from None
    if result:
        result.write_text(json.dumps(_as_data(findings), indent=2) + "\n")
    if findings.missed:
        raise typer.Exit(NOT_SEEN)


async def _until_interrupted(play: Coroutine[Any, Any, None], findings: "Findings") -> None:
    """Play; Ctrl-C, SIGTERM and a closed terminal end it alike, and nothing disturbs it while it puts everything away.

    Raises:
        KeyboardInterrupt: it was ended before it was over.
    """
    import asyncio

    show = asyncio.ensure_future(play)

    def interrupt() -> None:
        if not (findings.is_over or show.cancelling()):
            show.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, interrupt)
    try:
        await show
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def _as_data(findings: "Findings") -> Mapping[str, Any]:
    missed = findings.missed
    return {
        "ok": missed is None,
        "seconds": findings.seconds,
        "steps": {key: {"summary": seen.summary, "seconds": seen.seconds, **seen.measures} for key, seen in findings.seen.items()},
        "missed": missed and {"expected": missed.expected, "seen": missed.found},
        "log": findings.log and str(findings.log),
    }
