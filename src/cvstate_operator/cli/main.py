"""The command `cvstate` (and `kubectl cvstate`). Commands import what they need when they run, so that `--help` is quick."""

import sys
from typing import Annotated

import typer

from cvstate_operator import __version__
from cvstate_operator.cli import check, consent, diff, rollback, run, status, switches
from cvstate_operator.cli.demo import command as demo
from cvstate_operator.cli.plan import command as plan
from cvstate_operator.errors import CvstateError

app = typer.Typer(
    name="cvstate",
    help="GitOps for Kubernetes: makes clusters match Git, repairs drift field by field, and says how things stand.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run.run)
app.command("status")(status.status)
app.command("check")(check.check)
app.command("plan")(plan.plan)
app.command("diff")(diff.diff)
app.command("approve")(consent.approve)
app.command("reconcile")(switches.reconcile)
app.command("suspend")(switches.suspend)
app.command("resume")(switches.resume)
app.command("stop")(switches.stop)
app.command("rollback")(rollback.rollback)
app.command("demo")(demo.demo)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"cvstate {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.", callback=_print_version, is_eager=True)] = False,
) -> None:
    """Options of every command."""


@app.command()
def version() -> None:
    """Print the version."""
    _print_version(True)


def main() -> None:
    """Entry point: our own errors become one line and exit code 2."""
    try:
        app()
    except CvstateError as exc:
        typer.secho(f"cvstate: {exc.message}", fg=typer.colors.RED, err=True)
        sys.exit(2)
