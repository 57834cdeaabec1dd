"""`cvstate` as a person runs it: with the rights of the cluster's admin or of somebody else, in this process or at a terminal of its own."""

import contextlib
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from typer.testing import CliRunner

from cvstate_operator.cli.main import app
from tests.support.api import Json
from tests.support.world import World

READ: Final[Json] = {"apiGroups": ["cvstate.io"], "resources": ["clusterstates", "clusterstateplans"], "verbs": ["get", "list"]}
"""A rule for `accounts.grant`: to look at ClusterStates and what waits in them, and no more."""

_ONE_AT_A_TIME: Final = threading.Lock()
"""A command in this process has sys.stdout for itself: two threads would close each other's."""


def run(
    world: World, *arguments: str, user: Path | None = None, columns: int = 300, environment: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Exit code and output of a command.

    Args:
        world: whose cluster is meant.
        arguments: of the command line, without --kubeconfig.
        user: kubeconfig of somebody else than the admin.
        columns: width of the terminal.
        environment: more variables.

    Raises:
        CvstateError: the error that ends the program with 2.
    """
    kubeconfig = str(user or world.cluster.admin_kubeconfig)
    with _ONE_AT_A_TIME:
        result = CliRunner(env={"COLUMNS": str(columns), **(environment or {})}).invoke(app, [*arguments, "--kubeconfig", kubeconfig])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def on_a_terminal(world: World, answer: str, *arguments: str) -> tuple[int, str]:
    """Exit code and output of a command that is answered as soon as it asks."""
    program = "from cvstate_operator.cli.main import main; main()"
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", program, *arguments, "--kubeconfig", str(world.cluster.admin_kubeconfig)]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True) as process:
        os.close(theirs)
        output = ""
        with contextlib.suppress(OSError):  # EIO: the other side is closed
            while piece := os.read(ours, 65536):
                asked_before, output = "[y/N]" in output, output + piece.decode()
                if "[y/N]" in output and not asked_before:
                    os.write(ours, f"{answer}\n".encode())
        os.close(ours)
        return process.wait(timeout=30), output
