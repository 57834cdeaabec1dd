"""The child's side: limits first, then one task, then the answer on its socket. Forked by `forkserver.py`, never returns."""

import ctypes
import importlib
import os
import resource
import signal
import socket
from typing import Any, Final, NoReturn

import orjson

from cvstate_operator import errors

CPU_SECONDS: Final = 600
OPEN_FILES: Final = 256
FILE_BYTES: Final = 4 * 2**30
"""Largest file a child may write: a pack of the largest repository we take."""

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_PR_SET_NO_NEW_PRIVS: Final = 38
_LIBC: Final = ctypes.CDLL(None)


def run(connection: socket.socket, module: str, *, home: str, memory_bytes: int) -> NoReturn:
    """Confine this process, read the request, let `module.handle` answer it, and end. Errors of our tree travel as data, others as one line."""
    code = 1
    try:
        _confine(home, memory_bytes)
        with connection.makefile("rb") as stream:
            request = orjson.loads(stream.read())
        connection.sendall(orjson.dumps(_answer(module, request)))
        code = 0
    finally:
        # Libraries may hold threads and large heaps; there is nothing left to clean up, and the server's own stack must not be unwound.
        os._exit(code)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when `parent` is gone, also if it already is."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Have what a killed child leaves behind become this process's child, to be reaped: in a Pod nobody else would."""
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _answer(module: str, request: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"ok": importlib.import_module(module).handle(request)}
    except errors.CvstateError as exc:
        return {"error": errors.to_data(exc)}
    except MemoryError:
        return {"crash": "out of memory"}
    except Exception as exc:  # the parent tells it as a failed stage
        where = exc.__traceback__
        while where and where.tb_next:
            where = where.tb_next
        place = f"{os.path.basename(where.tb_frame.f_code.co_filename)}:{where.tb_lineno}" if where else module
        what = f"{type(exc).__name__} ({exc.strerror})" if isinstance(exc, OSError) and exc.strerror else type(exc).__name__
        return {"crash": f"{what} in {place}"}


def _confine(home: str, memory_bytes: int) -> None:
    parent = os.getppid()
    os.setsid()
    die_with_parent(parent)
    _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update({"HOME": home, "PATH": os.defpath, "LC_ALL": "C.UTF-8", "TMPDIR": home})
    os.chdir(home)
    for limit, value in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_FSIZE, FILE_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))
