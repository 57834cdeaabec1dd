"""The bare lower bound: what the API server needs for the necessary requests alone, so many at a time.

It is told by the benchmark which objects differ: one server-side-apply PATCH for each that is new or has changed, one DELETE for each that went. It
fetches, parses, compares and reports nothing, and its requests are made before the clock runs. No tool can be faster by doing its work better; the ratio to
the best width says what a tool adds. ``bound-16`` has 16 connections; ``bound`` on the command line stands for several widths.
"""

import math
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import orjson

from bench import objects
from bench.ground import Ground
from bench.tools import NotOfferedError, Push
from bench.witness import ROOT

DEFAULT_WIDTH: Final = 16
STOP_SECONDS: Final = 10.0
_MANAGER: Final = "bound"


class Bound:
    """See `bench.tools.Tool`."""

    unit: Final = ""
    is_watching: Final = False

    def __init__(self, name: str, width: int) -> None:
        """
        Args:
            name: as on the command line.
            width: connections, each with one request at a time; 1 to 64 is sensible.
        """
        self.name = name
        self.user = ""
        self._width = width
        self._files: dict[str, str] = {}
        self._under_way = 0
        """Orders to go that were not answered yet."""
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def period_seconds(self) -> float:
        """See `bench.tools.Tool`."""
        return math.inf

    @property
    def compare_seconds(self) -> float:
        """See `bench.tools.Tool`."""
        return math.inf

    @property
    def source_seconds(self) -> float:
        """See `bench.tools.Tool`."""
        return math.inf

    def compare(self) -> None:
        """See `bench.tools.Tool`."""
        raise NotOfferedError(f"{self.name} compares nothing with what it knows")

    def look(self) -> None:
        """See `bench.tools.Tool`."""
        raise NotOfferedError("the lower bound watches nothing")

    def facts(self) -> Mapping[str, str]:
        """See `bench.tools.Tool`."""
        return {"width": str(self._width), "python": sys.version.split()[0]}

    def start(self, ground: Ground) -> None:
        """See `bench.tools.Tool`."""
        self.user = ground.user
        command = (sys.executable, "-m", "bench.tools.sender", str(ground.kubeconfig), str(self._width))
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
        self._read()

    def declare(self, ground: Ground, paths: Sequence[str] = (Ground.PATH,)) -> None:
        """See `bench.tools.Tool`."""
        names = ground.repository.git("ls-files", *paths).split()
        files = {name: (ground.repository.directory / name).read_text() for name in names}
        self._prepare(files)
        self._go()

    def push(self, ground: Ground, files: Mapping[str, str | None]) -> Push:
        """See `bench.tools.Tool`."""
        self._prepare(files)
        commit = ground.commit(files)
        pushed = time.monotonic()
        self._go()
        return Push(commit, pushed)

    def settled(self) -> bool:
        """See `bench.tools.Tool`."""
        while self._under_way and self._is_readable():
            self._take(self._read())
        return not self._under_way

    def pids(self) -> Sequence[int]:
        """See `bench.tools.Tool`."""
        return (self._child.pid,) if self._child else ()

    def stop(self, *, kill: bool = False) -> None:
        """See `bench.tools.Tool`."""
        if self._child:
            self._child.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
            try:
                self._child.communicate(timeout=STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.communicate()
            self._child = None

    def restart(self) -> None:
        """See `bench.tools.Tool`."""
        raise NotOfferedError("the lower bound watches nothing, so a restart is nothing")

    @property
    def _process(self) -> subprocess.Popen[bytes]:
        assert self._child, "start comes first"
        return self._child

    def _prepare(self, files: Mapping[str, str | None]) -> None:
        before = objects.parse(self._files[path] for path in files if path in self._files)
        after = objects.parse(text for text in files.values() if text is not None)
        self._files = {path: text for path, text in {**self._files, **files}.items() if text is not None}
        self._say({"prepare": list(requests(before, after))})
        while "prepared" not in (answer := self._read()):
            self._take(answer)

    def _go(self) -> None:
        self._under_way += 1
        self._say({"go": True})

    def _take(self, answer: Mapping[str, Any]) -> None:
        self._under_way -= 1
        if answer["failed"]:
            raise RuntimeError(f"requests of the lower bound failed: {', '.join(answer['failed'])}")

    def _is_readable(self) -> bool:
        assert self._process.stdout
        return bool(select.select([self._process.stdout], [], [], 0)[0])

    def _say(self, order: Mapping[str, Any]) -> None:
        assert self._process.stdin
        self._process.stdin.write(orjson.dumps(order) + b"\n")
        self._process.stdin.flush()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the process of the lower bound ended; its error is above")
        answer: dict[str, Any] = orjson.loads(line)
        return answer


def requests(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterable[tuple[str, str, str]]:
    """Return the necessary requests, as (method, path, body), that make one set of objects another; both by URL path."""
    for path, body in after.items():
        if before.get(path) != body:
            yield "PATCH", f"{path}?fieldManager={_MANAGER}&force=true", orjson.dumps(body).decode()
    for path in before:
        if path not in after:
            yield "DELETE", path, ""


def make(name: str) -> Bound:
    """Return the tool, not started; a number at the end of the name is its width."""
    _, _, number = name.partition("-")
    return Bound(name, int(number or DEFAULT_WIDTH))
