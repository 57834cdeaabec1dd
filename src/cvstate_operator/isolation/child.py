"""The parent's side: run one task in a child process of its own, and get its answer or a clear failure.

The child gets an empty environment, its request on standard input (never on the command line, where everyone could read a credential), and a
deadline that is enforced from outside: libgit2 has no total deadline, and a server that drips a byte a second holds a call for ever (measured).
"""

import asyncio
import contextlib
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from cvstate_operator import errors

MAX_ANSWER_BYTES: Final = 256 * 2**20
"""Longest answer that is read; an index of 100,000 objects is about 20 MB."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a child may use; the rest of the limits are fixed in `isolation/task.py`."""

    wall_seconds: float
    """After this the child is killed."""
    memory_bytes: int = 1024 * 2**20
    """Address space. 120 MB of blobs take 31 MB; 1 GiB leaves room for a large pack."""


class ChildFailedError(errors.CvstateError):
    """The child ended without an answer: killed, crashed, or out of memory."""

    reason = "ChildFailed"


class ChildTimeoutError(ChildFailedError):
    """The child was killed at its deadline."""

    reason = "ChildTimeout"


async def run(task: str, request: dict[str, Any], *, limits: Limits, home: Path) -> dict[str, Any]:
    """Run `task` (a module with a function `handle(request) -> answer`) in a child process.

    Args:
        task: dotted name of the module.
        request: JSON data.
        limits: of this run.
        home: an existing directory that is the child's HOME and working directory.

    Raises:
        ChildTimeoutError: not finished in time.
        ChildFailedError: died without an answer.
        CvstateError: whatever error of our tree the task raised.
    """
    command = (sys.executable, "-I", "-X", "utf8", "-m", "cvstate_operator.isolation.task", task, str(limits.memory_bytes))
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"HOME": str(home), "PATH": os.defpath, "LC_ALL": "C.UTF-8"},
        cwd=home,
        start_new_session=True,
        limit=MAX_ANSWER_BYTES,
    )
    try:
        async with asyncio.timeout(limits.wall_seconds):
            out, err = await process.communicate(orjson.dumps(request))
    except TimeoutError as exc:
        raise ChildTimeoutError(f"not finished within {limits.wall_seconds:.0f} s") from exc
    finally:
        await _end(process)
    return _answer(out, err, process.returncode)


def _answer(out: bytes, err: bytes, code: int | None) -> dict[str, Any]:
    try:
        answer = orjson.loads(out)
    except orjson.JSONDecodeError as exc:
        last = err.decode(errors="replace").strip().rpartition("\n")[2]
        how = f"signal {signal.Signals(-code).name}" if code and code < 0 else f"exit code {code}"
        raise ChildFailedError(f"the child process ended with {how}{f': {last}' if last else ''}") from exc
    if error := answer.get("error"):
        kind = getattr(errors, str(error["type"]), errors.TerminalError)
        raise kind(str(error["message"]))
    return dict(answer["ok"])


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill the child and everything it started; harmless if it ended by itself."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
