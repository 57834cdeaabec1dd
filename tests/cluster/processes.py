"""Child processes that cannot outlive their parent, and process ids that cannot be mistaken for another process.

Readers: `stack` starts and stops the programs of a cluster, `state` and `control_plane` signal them by identity. Linux only.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.errors import ClusterError

POLL_SECONDS = 0.03
"""How often a condition is looked at while waiting: short beside the seconds a start takes, long beside one look."""

_PR_SET_PDEATHSIG = 1
"""Source: Linux `include/uapi/linux/prctl.h`."""

_libc = ctypes.CDLL(None, use_errno=True)  # loaded here, because nothing may be loaded between fork and exec


@dataclass(frozen=True, slots=True)
class Identity:
    """A process, safe against reuse of its id.

    Attributes:
        pid: The process id.
        start_ticks: When it started, in clock ticks since boot. Source: proc(5), `/proc/PID/stat` field 22.
    """

    pid: int
    start_ticks: int

    @property
    def is_alive(self) -> bool:
        """Say whether this very process still runs; a zombie does not."""
        return identify(self.pid) == self

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal if this very process still runs, and say whether it did."""
        if not self.is_alive:
            return False
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True

    def wait_gone(self, *, seconds: float) -> bool:
        """Wait until the process has ended, at most so long, and say whether it has. It need not be a child of ours."""
        return wait_until(lambda: not self.is_alive, seconds=seconds)

    @property
    def resident_bytes(self) -> int:
        """The memory the process occupies now, 0 when it is gone. Source: proc(5), `/proc/PID/statm` field 2."""
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        except OSError:
            return 0
        return pages * os.sysconf("SC_PAGE_SIZE")


def identify(pid: int) -> Identity | None:
    """Return the identity of a running process, None when there is none or it is a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The second field is the program's name in parentheses and may itself hold blanks and parentheses: split after the last one.
    state, *fields = text.rpartition(")")[2].split()
    return None if state in ("Z", "X") else Identity(pid, int(fields[18]))


def start(command: Sequence[str], *, log: Path, directory: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a program in a process group of its own; the kernel kills it when the calling thread ends, however that ends.

    Only the main thread may call this: the kernel's promise is bound to the thread that started the child (prctl(2), PR_SET_PDEATHSIG).

    Args:
        log: A file its output is appended to.
        directory: Its working directory.
        environment: Its whole environment.
    """
    parent = os.getpid()

    def die_with_parent() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:  # the parent died before the line above: nobody would tell us
            os._exit(1)

    with log.open("ab") as output:
        return subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=directory,
            env=dict(environment),
            process_group=0,  # a terminal's Ctrl-C must reach the owner only, which then stops us in order
            preexec_fn=die_with_parent,  # safe, since the caller has a single thread
        )


def stop(children: Iterable[subprocess.Popen[bytes]], *, grace_seconds: float) -> None:
    """End children of ours: ask all of them, wait at most so long in all, then kill what is left. Returns when none is left."""
    running = [child for child in children if child.poll() is None]
    for child in running:
        # A paused program acts on SIGTERM only once it continues.
        for number in (signal.SIGTERM, signal.SIGCONT):
            _signal_group(child, number)
    wait_until(lambda: all(child.poll() is not None for child in running), seconds=grace_seconds)
    for child in running:
        if child.poll() is None:
            _signal_group(child, signal.SIGKILL)
        child.wait()


def _signal_group(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, number)  # `process_group=0` made the child's id the id of its group


def wait_until(condition: Callable[[], bool], *, seconds: float) -> bool:
    """Wait until the condition holds, at most so long, and say whether it does. The condition may raise to end the wait."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def tail(log: Path, *, lines: int = 15) -> str:
    """Return the last lines of a log, or a note that there are none."""
    try:
        text = log.read_text(errors="replace").strip()
    except OSError:
        text = ""
    return "\n".join(line[:400] for line in text.splitlines()[-lines:]) or f"({log.name} is empty)"


def died(name: str, code: int, log: Path) -> ClusterError:
    """Return the error for a program that ended on its own."""
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    return ClusterError(f"{name} {how}; the end of its log:\n{tail(log)}", remedy=_remedy_for(tail(log)))


def _remedy_for(log: str) -> str:
    if "address already in use" in log:
        return "another program took the port in the meantime: run it again"
    if "no space left" in log:
        return "free space in the runtime folder ($XDG_RUNTIME_DIR, else the temporary folder)"
    return "read the log above; `python -m tests.cluster build` makes sure the programs are whole"
