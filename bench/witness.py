"""The benchmark's end of the line to the observer's process."""

import queue
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import orjson

ROOT = Path(__file__).parent.parent
"""Where `python -m bench` works."""


class NotReachedError(Exception):
    """The cluster did not become what was declared in time, or the observer ended."""


class Witness:
    """An observer for the duration of a `with` block."""

    def __init__(self, kubeconfig: Path) -> None:
        """
        Args:
            kubeconfig: of a user who may see everything.
        """
        self._command = (sys.executable, "-m", "bench.observer", str(kubeconfig))
        self._orders = 0
        self._said: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._kept: list[Any] = []
        """Answers that nobody has asked for yet."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
        threading.Thread(target=self._listen, name="witness", daemon=True).start()
        try:
            self._answer("ready", time.monotonic() + 30)
        except BaseException:  # an interrupt too: without an observer nobody calls `__exit__`
            self._process.kill()
            self._process.wait()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def expect(self, wanted: Mapping[str, Any], *, after: int = 0, again: bool = False) -> str:
        """Say what is declared from now on; returns a name to ask for.

        Args:
            wanted: URL path → body, or None for what must go.
            after: only states with a greater resourceVersion count.
            again: each must be seen otherwise first.
        """
        self._orders += 1
        name = f"e{self._orders}"
        self._say({"expect": name, "objects": list(wanted.items()), "after": after, "again": again})
        return name

    def wait(self, name: str, *, seconds: float) -> list[float]:
        """Wait until all of it was seen; the CLOCK_MONOTONIC times, in the order of the objects, at which each was first right.

        Raises:
            NotReachedError: it was not within that time; the message names what is missing.
        """
        try:
            return [float(found) for found in self._answer("done", time.monotonic() + seconds, name)["times"]]
        except TimeoutError:
            self._say({"ask": name})
            missing = self._answer("asked", time.monotonic() + 30, name)["missing"]
            raise NotReachedError(f"after {seconds:.0f} s not as declared: {', '.join(missing)}") from None

    def times(self, name: str) -> list[float | None]:
        """As `wait`, of what was not waited for in vain so far: None for what was not yet right."""
        self._say({"ask": name})
        found: list[float | None] = self._answer("asked", time.monotonic() + 30, name)["times"]
        return found

    def state(self, paths: Sequence[str]) -> list[Any]:
        """Objects as they were seen last; None for what is not there."""
        self._say({"state": list(paths)})
        found: list[Any] = self._answer("state", time.monotonic() + 60)["state"]
        return found

    def _say(self, order: Mapping[str, Any]) -> None:
        assert self._process.stdin
        self._process.stdin.write(orjson.dumps(order) + b"\n")
        self._process.stdin.flush()

    def _listen(self) -> None:
        assert self._process.stdout
        with self._process.stdout as answers:
            for line in answers:
                self._said.put(line)
        self._said.put(b"")

    def _answer(self, field: str, deadline: float, name: str | None = None) -> dict[str, Any]:
        """The next answer with that field, and that name in it."""
        while True:
            for index, answer in enumerate(self._kept):
                if field in answer and name in (None, answer[field]):
                    found: dict[str, Any] = self._kept.pop(index)
                    return found
            try:
                line = self._said.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise TimeoutError from None
            if not line:
                raise NotReachedError("the observer ended; its error is above")
            self._kept.append(orjson.loads(line))
