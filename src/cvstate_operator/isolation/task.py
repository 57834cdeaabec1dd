"""The child's side: limits first, then one task, then the answer on its socket. Forked by `forkserver.py`, never returns."""

import contextlib
import ctypes
import importlib
import os
import resource
import signal
import socket
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, NoReturn

import orjson

from cvstate_operator import errors

CPU_SECONDS: Final = 600
OPEN_FILES: Final = 256
ADDRESS_SPACE_BYTES: Final = 8 * 2**30
"""What a child may map, files included: packs of the largest repository, and twice what Go programs reserve and do not use."""
PROGRAM_RESERVE_BYTES: Final = 64 * 2**20
"""What the kernel counts as private memory of a Go program although it is not used: kustomize v5.8.2 does not start below 76 MiB, Helm v4.3.1 not below 84 MiB,
while they use 20 (measured). A child leaves so much room above its own limit for a program that it runs."""
INHERITED_BYTES: Final = 8 * 2**20
"""What a child writes to of the memory that it shares with the fork server, so that it has a copy of its own: at most so much, and part of its limit."""

_OUT_OF_MEMORY: Final = "out of memory"
_given_bytes = 0
"""Memory that this process was given, if another may have more; else 0."""
_began_bytes = 0
"""What was resident when it began, most of it shared."""
_MEMORY: Final = "memory"
_ROOM: Final = "room"

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_PR_SET_NO_NEW_PRIVS: Final = 38
_LIBC: Final = ctypes.CDLL(None)


class Limits(NamedTuple):
    """What the parent says of this process: `child.Limits`, but for what it sees to itself."""

    memory_bytes: int
    file_bytes: int
    is_most: bool


class OutOfRoomError(Exception):
    """What is to be written to disk is more than this child may write."""

    of = ""
    """What would have been written, as the task names it; empty if it does not."""


def run(connection: socket.socket, module: str, *, home: str, limits: Limits) -> NoReturn:
    """Confine this process, read the request, let `module.handle` answer it, and end. Errors of our tree travel as data, others as one line."""
    code = 1
    try:
        _confine(home, limits)
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
    except MemoryError as exc:
        return {"lacks": _MEMORY, "why": str(exc) or "out of memory"}
    except OutOfRoomError as exc:
        return {"lacks": _ROOM, "why": str(exc) or "out of room", "of": exc.of}
    except Exception as exc:  # the parent tells it as a failed stage
        where = exc.__traceback__
        while where and where.tb_next:
            where = where.tb_next
        place = f"{os.path.basename(where.tb_frame.f_code.co_filename)}:{where.tb_lineno}" if where else module
        what = f"{type(exc).__name__} ({exc.strerror})" if isinstance(exc, OSError) and exc.strerror else type(exc).__name__
        return {"crash": f"{what} in {place}"}


def free_memory_bytes() -> int:
    """How much more memory of its own this process may have; what it may map if nothing else limits it."""
    limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
    return ADDRESS_SPACE_BYTES if limit == resource.RLIM_INFINITY else max(0, limit - _data_bytes())


@contextlib.contextmanager
def restricted(memory_bytes: int) -> Iterator[None]:
    """Have only so much more memory inside of the `with` statement; an allocation beyond it is a MemoryError."""
    before, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (_least(before, _data_bytes() + memory_bytes), most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (before, most))


@contextlib.contextmanager
def lending(memory_bytes: int | None) -> Iterator[None]:
    """Have so much less inside of the `with` statement, since a program has it that this process runs; None for a program without a limit.

    A process that has more by then is not harmed, but gets no more: an allocation is a MemoryError. Without a limit of its own it keeps none.
    """
    before, most = resource.getrlimit(resource.RLIMIT_DATA)
    if memory_bytes is None or before == resource.RLIM_INFINITY:
        yield
        return
    resource.setrlimit(resource.RLIMIT_DATA, (max(0, before - memory_bytes), most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (before, most))


def raise_if_short(error: Exception) -> None:
    """Raise MemoryError in place of an error of a C library that may come of a want of memory.

    libgit2 says "Out of memory" of large pieces, and anything of small ones ("failed to init zlib stream", tried with 1.9.7). So the error is also doubted if this
    process had much; who tries again with a larger one loses nothing but time.
    """
    if _OUT_OF_MEMORY in str(error).lower() or _has_much():
        raise MemoryError from error


def _has_much() -> bool:
    """Whether so much was in use that an allocation may have failed: a third of what this process was given, since one large piece may
    be refused long before all is in use. Source: proc(5), VmHWM."""
    return _given_bytes > 0 and status_bytes("VmHWM") - _began_bytes > _given_bytes // 3


def _least(one: int, other: int) -> int:
    """The lower of two limits; RLIM_INFINITY is a negative number."""
    return other if one == resource.RLIM_INFINITY else min(one, other)


def _data_bytes() -> int:
    """Private memory of this process that may be written, used or not."""
    return status_bytes("VmData")


def status_bytes(name: str) -> int:
    """A size of this process, by its name there: VmRSS, VmHWM, VmData. Source: proc(5), /proc/PID/status."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(f"{name}:"))


def _confine(home: str, limits: Limits) -> None:
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
        (resource.RLIMIT_AS, ADDRESS_SPACE_BYTES),
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))
    _limit_memory(limits)


def _limit_memory(limits: Limits) -> None:
    """Limit the memory that this process may have of its own.

    What is counted is what may be written and is nobody else's (RLIMIT_DATA, which since Linux 4.7 counts what is mapped): unlike address space it is close to
    what is used, also by Go programs. Files that are only mapped do not count; the kernel drops these when memory is short.
    """
    global _given_bytes, _began_bytes
    limit = _data_bytes() + limits.memory_bytes - INHERITED_BYTES
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit + PROGRAM_RESERVE_BYTES))
    _given_bytes, _began_bytes = (0 if limits.is_most else limits.memory_bytes), status_bytes("VmRSS")
