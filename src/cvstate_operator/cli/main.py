"""The command `cvstate` (and `kubectl cvstate`). Only the command that is called is imported, and imports what it needs when it runs."""

import importlib
import sys
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup
from typer.main import get_command_from_info
from typer.models import CommandInfo

from cvstate_operator import __version__
from cvstate_operator.cli import imports
from cvstate_operator.errors import CvstateError

COMMANDS: Final = {
    "run": "run:run",
    "status": "status:status",
    "tree": "tree:tree",
    "check": "check:check",
    "plan": "plan.command:plan",
    "diff": "diff:diff",
    "approve": "consent:approve",
    "reconcile": "switches:reconcile",
    "suspend": "switches:suspend",
    "resume": "switches:resume",
    "stop": "switches:stop",
    "rollback": "rollback:rollback",
    "backup": "backup.command:backup",
    "restore": "backup.restore:restore",
    "demo": "demo.command:demo",
}
"""Name → module below `cvstate_operator.cli` and function, in the order of `--help`."""


class _Commands(TyperGroup):
    """Imports a command when it is asked for. An operator runs for months: what the other commands need has no place in its memory."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*COMMANDS, *(name for name in self.commands if name not in COMMANDS)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        # For a name that is not there all are loaded: those that are much like it are suggested.
        for name in (cmd_name,) if cmd_name in self.list_commands(ctx) else COMMANDS:
            if name not in self.commands:
                module, _, function = COMMANDS[name].partition(":")
                callback = getattr(importlib.import_module(f"cvstate_operator.cli.{module}"), function)
                self.add_command(
                    get_command_from_info(
                        CommandInfo(name=name, callback=callback),
                        pretty_exceptions_short=True,
                        rich_markup_mode=self.rich_markup_mode,
                    )
                )
        return self.commands.get(cmd_name)


app = typer.Typer(
    name="cvstate",
    cls=_Commands,
    help="GitOps for Kubernetes: makes clusters match Git, repairs drift field by field, and says how things stand.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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
    imports.leave_out_unused()
    try:
        app()
    except CvstateError as exc:
        typer.secho(f"cvstate: {exc.message}", fg=typer.colors.RED, err=True)
        sys.exit(2)
