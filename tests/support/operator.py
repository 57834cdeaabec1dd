"""The operator as a process of its own, as a user runs it."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.cluster import builds, programs
from tests.support.waiting import until

CVSTATE = Path(sys.executable).with_name("cvstate")


def tools() -> str:
    """Where kustomize and Helm are that the project builds itself."""
    return os.pathsep.join(str(path.parent) for path in builds.ensure(programs.RENDERERS).values())


class Operator:
    """`cvstate run` with a log file."""

    def __init__(self, kubeconfig: Path, directory: Path, *options: str) -> None:
        self._command = (CVSTATE, "run", "--kubeconfig", kubeconfig, "--cache", directory / "cache", "--listen", "127.0.0.1:0", *options)
        self.log = directory / "operator.log"
        directory.mkdir(parents=True, exist_ok=True)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Operator":
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self.is_running:
            self.end(signal.SIGTERM)

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, *, wait: bool = True) -> None:
        """Start it, and wait until it is ready to act."""
        self.log.write_bytes(b"")
        with self.log.open("ab") as sink:
            self._process = subprocess.Popen(
                self._command,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
                cwd=self.log.parent,
                env={**os.environ, "CVSTATE_TOOLS": tools()},
            )
        if wait:
            until("the operator is ready", lambda: self.http("/readyz")[0] == 200, seconds=30)

    def end(self, number: int, *, seconds: float = 30.0) -> int:
        """Send a signal, wait for the end, and return the exit code."""
        assert self._process is not None
        os.killpg(self._process.pid, number)
        return self._process.wait(seconds)

    def wait(self, seconds: float = 30.0) -> int:
        """Wait until it ends by itself; its exit code."""
        assert self._process is not None
        return self._process.wait(seconds)

    def lines(self) -> list[dict[str, Any]]:
        """Log lines so far; what is not JSON comes under `message`."""
        found = []
        for line in self.log.read_text().splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                found.append({"message": line})
        return found

    def http(self, path: str) -> tuple[int, str]:
        """Ask its HTTP server; code 0 if it does not listen yet."""
        address = next((line["http"] for line in self.lines() if line["message"] == "started"), None)
        if address is None:
            return 0, ""
        try:
            with urllib.request.urlopen(address + path, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""
