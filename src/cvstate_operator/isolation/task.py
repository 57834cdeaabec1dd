"""The child's side: limits first, then one task, then the answer on standard output.

Run as `python -I -m cvstate_operator.isolation.task MODULE MEMORY_BYTES`; nothing else imports it.
"""

import ctypes
import importlib
import os
import resource
import signal
import sys
from typing import Final

import orjson

from cvstate_operator.errors import CvstateError

CPU_SECONDS: Final = 600
OPEN_FILES: Final = 256
FILE_BYTES: Final = 4 * 2**30
"""Largest file a child may write: a pack of the largest repository we take."""

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38


def main() -> None:
    """Read the request, run the task, write the answer; errors of our tree travel as data."""
    module, memory = sys.argv[1], int(sys.argv[2])
    _confine(memory)
    request = orjson.loads(sys.stdin.buffer.read())
    try:
        answer = {"ok": importlib.import_module(module).handle(request)}
    except CvstateError as exc:
        answer = {"error": {"type": type(exc).__name__, "message": exc.message}}
    sys.stdout.buffer.write(orjson.dumps(answer))
    sys.stdout.buffer.flush()
    # Libraries may hold threads and large heaps; there is nothing left to clean up.
    os._exit(0)


def _confine(memory_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


if __name__ == "__main__":
    main()
