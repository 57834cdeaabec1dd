"""Whatever ends the benchmark, nothing stays behind: the work is done in a child process, and this one ends what the work has left.

The kernel gives this process every orphan below it (prctl(2), PR_SET_CHILD_SUBREAPER): so no tool, server or observer has to be told of, and none that
went into a session of its own is missed. Signals are passed on to the work, which then puts its things in order. If this process is killed itself, the
kernel asks the work to end (PR_SET_PDEATHSIG), and the work ends what it has started. Linux only.
"""

import ctypes
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench import count

VARIABLE: Final = "CVSTATE_BENCH_GUARD"
"""Environment: process id of the guard, which is in the names of all temporary directories."""
GRACE_SECONDS: Final = 20.0
"""How long what is left may take to end when asked: as long as a cluster needs to stop its programs in their order."""
MEMORY: Final = Path("/dev/shm")  # noqa: S108 - only what we have named is touched in it
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
"""Source of both: Linux `include/uapi/linux/prctl.h`."""
_PASSED_ON: Final = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
_POLL_SECONDS: Final = 0.1
_libc = ctypes.CDLL(None, use_errno=True)


def run(work: Callable[[], int]) -> int:
    """Do the work in a child process; when it has ended, however that was, end all that it left. Returns twice: in the child, and here.

    In the child SIGTERM and SIGHUP raise SystemExit, so that `with` blocks end in order.

    Args:
        work: gives an exit code.

    Returns:
        The exit code; 128 and its number after a signal.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    guard = os.getpid()
    os.environ[VARIABLE] = str(guard)
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    heard = frozenset(number for number in _PASSED_ON if signal.getsignal(number) is not signal.SIG_IGN)  # `nohup` ignores SIGHUP
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {*heard, signal.SIGCHLD})
    worker = os.fork()
    if not worker:
        _follow(guard, heard)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return work()
    code = _wait(worker, heard)
    _end_all()
    _remove_directories()
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return code


def directory(parent: Path | None = None) -> Path:
    """Make a directory for one run, which the guard removes if nobody else does.

    Args:
        parent: where; None for where temporary files go. Else MEMORY: the guard looks nowhere else.
    """
    return Path(tempfile.mkdtemp(prefix=_prefix(os.environ.get(VARIABLE, str(os.getpid()))), dir=parent))


def _prefix(guard: str) -> str:
    return f"cvstate-bench-{guard}-"


def _follow(guard: int, heard: frozenset[signal.Signals]) -> None:
    """In the child: end in order when asked, and when the guard is gone."""
    for number in {signal.SIGTERM, *heard} - {signal.SIGINT}:
        signal.signal(number, lambda received, _: sys.exit(128 + received))
    os.setpgid(0, 0)  # a terminal's Ctrl-C reaches the guard alone, which passes it on
    _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != guard:
        os._exit(128 + signal.SIGTERM)


def _wait(worker: int, heard: frozenset[signal.Signals]) -> int:
    """Pass signals on, and bury the dead, until the work has ended; its exit code."""
    while True:
        number = signal.sigwait({*heard, signal.SIGCHLD})
        if number in heard:
            os.kill(worker, number)
        while found := _buried():
            pid, status = found
            if pid == worker:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code


def _buried() -> tuple[int, int] | None:
    """A child that has ended, and how; None if there is none."""
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, status) if pid else None


def _end_all() -> None:
    """Ask everything below this process to end, wait, and kill what is left."""
    asked: set[int] = set()
    deadline = time.monotonic() + GRACE_SECONDS
    while left := _left():
        is_over = time.monotonic() > deadline
        for pid in left if is_over else left - asked:
            try:
                os.kill(pid, signal.SIGKILL if is_over else signal.SIGTERM)
            except ProcessLookupError:
                continue
        asked |= left
        time.sleep(_POLL_SECONDS)


def _left() -> set[int]:
    while _buried():
        pass
    return count.family([os.getpid()]) - {os.getpid()}


def _remove_directories() -> None:
    for parent in (Path(tempfile.gettempdir()), MEMORY):
        for path in parent.glob(f"{_prefix(str(os.getpid()))}*"):
            shutil.rmtree(path, ignore_errors=True)
