"""The process that holds the programs of one cluster and sees to it that nothing is left when it is no longer wanted.

Started by `control_plane`, one per cluster, in a session of its own. It ends, with every program and the state directory, when one of these happens:

- its owner closes the pipe it got, or ends in any way, SIGKILL included (unless it was told to outlive the owner);
- it gets SIGTERM or SIGINT (``down``).

Should it be killed itself, the kernel kills the programs (`processes.start`). That guarantee is bound to the thread that started them, which is why a
process with a single thread does it, and not the test's, which may start clusters from any thread.

What it prints: one line of JSON on stdout, ``{"ready": true}`` or ``{"error": ..., "remedy": ...}``. What it takes: the byte ``d`` on the pipe to
outlive its owner; on the control socket one line of JSON per connection, ``{"restart": "kube-apiserver"}``.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from tests.cluster import state
from tests.cluster.errors import ClusterError
from tests.cluster.stack import Stack
from tests.cluster.state import StateDirectory

CLEAN_CODES = (0, 2)
"""Exit codes after which nothing is left: the cluster was stopped, or did not start. Any other means that the directory may still be there."""

DETACH = b"d"
"""What the owner writes into the pipe to let the cluster outlive it."""

_LOOK_SECONDS = 0.5
"""How often it looks for ended programs and a new parent, besides waking at once for every order."""


class _Unwanted(Exception):
    """The cluster is not wanted any more: the owner is gone, or a signal asks to stop."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a supervisor is started for.

    Attributes:
        name: The name of the cluster; its directory exists.
        binaries: The programs to run.
        stage_files: What kwok simulates.
        nodes: How many nodes to simulate.
        pipe: The descriptor it reads its owner's wishes from.
    """

    name: str
    binaries: Mapping[str, Path]
    stage_files: tuple[Path, ...]
    nodes: int
    pipe: int

    def to_json(self) -> str:
        """Return the order as one argument of a command line."""
        binaries = {name: str(path) for name, path in self.binaries.items()}
        stage_files = [str(path) for path in self.stage_files]
        return json.dumps({"name": self.name, "binaries": binaries, "stage_files": stage_files, "nodes": self.nodes, "pipe": self.pipe})

    @classmethod
    def from_json(cls, text: str) -> Order:
        """Return the order that `to_json` wrote."""
        found = json.loads(text)
        binaries = {name: Path(path) for name, path in found["binaries"].items()}
        stage_files = tuple(Path(path) for path in found["stage_files"])
        return cls(name=found["name"], binaries=binaries, stage_files=stage_files, nodes=found["nodes"], pipe=found["pipe"])


class Supervisor:
    """Holds one cluster from start to end."""

    def __init__(self, order: Order) -> None:
        """Prepare; nothing runs yet. The parent at this moment is the owner."""
        self._pipe = order.pipe
        self._owner = os.getppid()
        self._is_detached = False
        self._is_asked_to_stop = False
        self._woken, self._waker = socket.socketpair()
        self._waker.setblocking(False)  # `set_wakeup_fd` demands it
        self._directory: StateDirectory = state.at(order.name)
        self._stack = Stack(
            self._directory, order.binaries, stage_files=order.stage_files, nodes=order.nodes, check=self._raise_if_unwanted
        )

    def run(self) -> int:
        """Start the cluster, hold it, and clean up whatever happens; returns the exit code."""
        try:
            self._listen_for_signals()
            with self._control_socket() as control:
                self._stack.start()
                self._directory.write_record(self._stack.record())
                _report({"ready": True})
                self._hold(control)
        except _Unwanted:
            return 0
        except ClusterError as error:
            _report({"error": error.message, "remedy": error.remedy})
            return 2
        finally:
            self._stack.stop()
            self._directory.remove()
        return 0

    def _hold(self, control: socket.socket) -> None:
        """Serve until the cluster is not wanted any more."""
        while True:
            self._raise_if_unwanted()
            self._stack.reap()
            sources: list[socket.socket | int] = [control, self._woken]
            if not self._is_detached:
                sources.append(self._pipe)
            readable, _, _ = select.select(sources, [], [], _LOOK_SECONDS)
            if control in readable:
                self._serve(control)

    def _listen_for_signals(self) -> None:
        """Let SIGTERM and SIGINT ask for the end. They only leave a note, so that none can interrupt the clean-up."""
        signal.set_wakeup_fd(self._waker.fileno())  # ends a `select` at once
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note_signal)

    def _note_signal(self, number: int, frame: FrameType | None) -> None:
        self._is_asked_to_stop = True

    def _raise_if_unwanted(self) -> None:
        """Read the owner's wish, if there is one, and notice that the owner is gone.

        The closed pipe tells at once. The new parent tells when a process forked by the owner still holds the pipe open.
        """
        if self._is_asked_to_stop:
            raise _Unwanted
        if self._is_detached:
            return
        if select.select([self._pipe], [], [], 0)[0]:
            if os.read(self._pipe, 1) != DETACH:
                raise _Unwanted
            self._is_detached = True
            self._directory.mark_detached()
            return
        if os.getppid() != self._owner:
            raise _Unwanted

    def _control_socket(self) -> socket.socket:
        # A socket's path may have about 100 characters only; relative to the working directory it is always short.
        os.chdir(self._directory.path)
        control = socket.socket(socket.AF_UNIX)
        control.bind(self._directory.control_socket.name)
        control.listen()
        return control

    def _serve(self, control: socket.socket) -> None:
        """Take one order and answer it. An asker that goes away is no reason to stop the cluster."""
        connection, _ = control.accept()
        with connection, contextlib.suppress(OSError, ValueError, KeyError):
            connection.settimeout(_LOOK_SECONDS)
            asked = json.loads(connection.makefile().readline())
            connection.settimeout(None)
            connection.sendall(json.dumps(self._restart(asked["restart"])).encode() + b"\n")

    def _restart(self, program: str) -> dict[str, Any]:
        try:
            self._stack.restart(program)
        except ClusterError as error:
            return {"error": error.message, "remedy": error.remedy}
        finally:
            self._directory.write_record(self._stack.record())
        return {}


def ask(directory: StateDirectory, request: Mapping[str, str]) -> None:
    """Send an order to a running supervisor and wait for its answer. May be called from any process.

    Raises:
        ClusterError: The supervisor is gone, or the order failed.
    """
    try:
        folder = os.open(directory.path, os.O_PATH | os.O_DIRECTORY)
    except FileNotFoundError as exc:
        raise ClusterError(f"cluster {directory.name} is not running", remedy="start it first") from exc
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(f"/proc/self/fd/{folder}/{directory.control_socket.name}")  # short, see `_control_socket`
            connection.sendall(json.dumps(dict(request)).encode() + b"\n")
            answer = json.loads(
                connection.makefile().readline() or '{"error": "the supervisor ended", "remedy": "start the cluster again"}'
            )
    except OSError as exc:
        raise ClusterError(f"the supervisor of {directory.name} does not answer: {exc}", remedy="start the cluster again") from exc
    finally:
        os.close(folder)
    if "error" in answer:
        raise ClusterError(answer["error"], remedy=answer["remedy"])


def _report(line: dict[str, Any]) -> None:
    """Tell the owner how the start went, and close stdout: its end tells that no more follows. The owner may be gone."""
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
    # From now on nobody reads; standard output goes where the supervisor's errors go.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())


def main() -> int:
    """Run the supervisor for the order in the first argument."""
    return Supervisor(Order.from_json(sys.argv[1])).run()


if __name__ == "__main__":
    sys.exit(main())
