"""Makes many objects at once, over several connections, as the benchmark's own user: so that making them is not what a run measures."""

import subprocess
import sys
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final

import orjson

from bench.witness import ROOT

WIDTH: Final = 8
"""Connections. More make an API server on two cores no faster."""
BATCH: Final = 2000
"""Objects that are prepared at a time, a few megabytes."""


class BulkError(Exception):
    """Something could not be made."""


def create(kubeconfig: Path, wanted: Iterable[tuple[str, Any]]) -> None:
    """Make objects, in no particular order; none of them may be there.

    Args:
        kubeconfig: of a user who may make anything, no tool's.
        wanted: URL path of the collection, body.

    Raises:
        BulkError: the API server refuses one.
    """
    waiting = (("POST", path, orjson.dumps(body).decode()) for path, body in wanted)
    command = (sys.executable, "-m", "bench.tools.sender", str(kubeconfig), str(WIDTH))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as sender:
        assert sender.stdin
        assert sender.stdout
        _answer(sender.stdout)
        while batch := list(islice(waiting, BATCH)):
            sender.stdin.write(orjson.dumps({"prepare": batch}) + b"\n" + orjson.dumps({"go": True}) + b"\n")
            sender.stdin.flush()
            _answer(sender.stdout)
            if failed := _answer(sender.stdout)["failed"]:
                raise BulkError(f"objects could not be made: {', '.join(failed)}")


def _answer(answers: IO[bytes]) -> dict[str, Any]:
    line = answers.readline()
    if not line:
        raise BulkError("the process that makes objects ended; its error is above")
    found: dict[str, Any] = orjson.loads(line)
    return found
