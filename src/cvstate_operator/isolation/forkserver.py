"""The fork server: a small process that never touches foreign bytes, and forks one confined child for each task.

Started once by the operator as `python -I -m cvstate_operator.isolation.forkserver FD MODULE …`. A fresh interpreter with pygit2 costs 0.15–0.2 CPU-seconds,
a fork of a warm one 5 milliseconds (measured), and a poll of Git needs a child each time.

On the control socket (SOCK_SEQPACKET) come `{"start": id, "task", "home", "limits"}` with one stream socket attached, and `{"kill": id}`; back goes
`{"ended": id, "status", "grown"}` once a child and everything it started is gone. Only this process reaps, so a process group is always killed before
its number can be used again.
"""

import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson

from cvstate_operator.isolation import imports, task

MAX_MESSAGE_BYTES: Final = 4096
"""Longest control message; requests themselves travel on the task's own socket."""
UNUSED: Final = ("tarfile", "html.entities")
"""What pygit2 writes archives with, and what http.server never asks for: 0.9 MB (measured). Children that read a packed chart load the first one."""


def main() -> None:
    """Serve until the operator closes the control socket, then kill what still runs."""
    control = socket.socket(fileno=int(sys.argv[1]))
    task.die_with_parent(os.getppid())
    task.adopt_orphans()
    with imports.without(*UNUSED):
        for module in sys.argv[2:]:
            importlib.import_module(module)
    gc.collect()
    gc.freeze()  # what is loaded by now stays shared with the children
    with _ended_children() as ended:
        _serve(control, ended)


class _Children:
    """The children that run, by the id that the operator gave them."""

    def __init__(self) -> None:
        self._ids: dict[int, int] = {}
        self._shared_bytes = task.status_bytes("VmRSS")
        """What every child has from the start."""

    def start(self, order: dict[str, Any], connection: socket.socket, inherited: list[int]) -> None:
        pid = os.fork()
        if pid == 0:
            for descriptor in inherited:
                os.close(descriptor)
            task.run(connection, order["task"], home=order["home"], limits=task.Limits(*order["limits"]))
        self._ids[pid] = order["start"]

    def kill(self, number: int) -> None:
        for pid, known in self._ids.items():
            if known == number:
                _kill_group(pid)

    def reap(self) -> list[dict[str, int]]:
        """Take leave of every child that ended, and of whatever it left behind, also of what left its group: orphans become ours, and no task is to have any."""
        reports = []
        for pid in _adopted() - self._ids.keys():
            _kill_group(pid)
        with contextlib.suppress(ChildProcessError):  # none is left
            while found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                _kill_group(found.si_pid)
                _, status, used = os.wait4(found.si_pid, 0)
                if found.si_pid in self._ids:
                    grown = max(0, used.ru_maxrss * 1024 - self._shared_bytes)  # Linux counts in KiB
                    reports.append({"ended": self._ids.pop(found.si_pid), "status": os.waitstatus_to_exitcode(status), "grown": grown})
        return reports

    def kill_all(self) -> None:
        for pid in self._ids:
            _kill_group(pid)


@contextlib.contextmanager
def _ended_children() -> Iterator[tuple[int, int]]:
    """A descriptor that becomes readable when a child ends."""
    readable, writable = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    try:
        yield (readable, writable)
    finally:
        signal.set_wakeup_fd(-1)


def _serve(control: socket.socket, ended: tuple[int, int]) -> None:
    children = _Children()
    inherited = [control.fileno(), *ended]
    while True:
        ready, _, _ = select.select([control.fileno(), ended[0]], [], [])
        if ended[0] in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(ended[0], 4096)
        for report in children.reap():
            with contextlib.suppress(OSError):  # the operator is gone; the next read says so
                control.send(orjson.dumps(report))
        if control.fileno() in ready:
            message, descriptors, _, _ = socket.recv_fds(control, MAX_MESSAGE_BYTES, 1)
            if not message:
                children.kill_all()
                return
            order = orjson.loads(message)
            if "kill" in order:
                children.kill(order["kill"])
                continue
            with socket.socket(fileno=descriptors[0]) as connection:
                children.start(order, connection, inherited)


def _adopted() -> set[int]:
    """Every child of this process. Source: proc(5), /proc/PID/task/TID/children; a kernel without it leaves orphans to the end of this process."""
    pid = os.getpid()
    try:
        return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    except OSError:
        return set()


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)  # one that has not made its own group yet


if __name__ == "__main__":
    main()
