"""The parent's side: run one task in a confined child process of its own, and get its answer or a clear failure.

A child gets an empty environment, a home of its own that is removed afterwards, its request on a socket (never on a command line, where everyone
could read a credential), and a deadline that is enforced from outside: libgit2 has no total deadline, and a server that drips a byte a second holds a
call for ever (measured).
"""

import asyncio
import contextlib
import itertools
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import orjson

from cvstate_operator import errors

MAX_ANSWER_BYTES: Final = 256 * 2**20
"""Longest answer that is read; an index of 100,000 objects is about 20 MB."""
START_SECONDS: Final = 20.0
"""Longest that the fork server may take to take an order; it loads its modules in 0.3 s on a quiet machine."""
_CHUNK_BYTES: Final = 2**18
_HOME: Final = "child-"
_CRASHES: Final = (signal.SIGABRT, signal.SIGBUS, signal.SIGSEGV)
"""How C and Rust libraries end that do not expect an allocation to fail."""
_MUCH: Final = 1 / 3
"""Part of its memory from which on such an end is believed to come of a want of it: one large piece may be refused long before all is in use. orjson ends so when
its buffer is to be doubled (tried with 3.13)."""
_NO_AUTHORITIES: Final = {"SSL_CERT_FILE": "/dev/null", "SSL_CERT_DIR": "/"}
"""libgit2 reads the certificate authorities of the machine when it is loaded: 0.8 MB (measured, 140 authorities), for connections that it never makes
(`source/relay.py`). Children clear their environment (`isolation/task.py`), so what they open themselves is checked against those of the machine."""
_PYTHON: Final = (sys.executable, "-I", "-X", "utf8")
"""-I: neither the working directory nor the environment can bring other modules in."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a child may use; the rest of the limits are fixed in `isolation/task.py`."""

    wall_seconds: float
    """After this the child is killed, with everything it started."""
    memory_bytes: int = 1024 * 2**20
    """Memory of its own, beside what it shares with the fork server (`isolation/memory.py` says who may have how much)."""
    file_bytes: int = 4 * 2**30
    """Largest file it may write."""
    is_most: bool = False
    """Whether it has as much memory as any child may have: then only what surely comes of a want of it is told so."""


class ChildFailedError(errors.CvstateError):
    """The child ended without an answer: killed, crashed, or out of memory."""

    reason = "ChildFailed"


class ChildTimeoutError(ChildFailedError):
    """The child was killed at its deadline."""

    reason = "ChildTimeout"


class ChildStarvedError(ChildFailedError):
    """The child may do better with larger limits: it said so, or a signal ended it, as C libraries end when an allocation fails."""

    reason = "ChildStarved"

    def __init__(self, message: str, *, lacks: Literal["memory", "room", ""] = "", of: str = "") -> None:
        super().__init__(message)
        self.of = of
        """What it has no room for, as the task names it; may be empty."""
        self.lacks = lacks
        """What it said that it lacks: memory, or room for files; empty if it died without a word."""


class Children:
    """Starts children; owns the fork server, which is started when first needed and again should it die."""

    def __init__(self, scratch: Path, *, preload: Sequence[str]) -> None:
        """
        Args:
            scratch: where the children's homes are made; made if absent.
            preload: modules that the fork server loads beforehand, so that its children need not; above all those with tasks.
        """
        self._scratch = scratch
        self._preload = tuple(preload)
        self._lock = asyncio.Lock()
        self._server: _Server | None = None
        self._is_closed = False
        self.fault = ""
        """Why no child could be given a home the last time, and what to do; empty if one could."""

    async def warm(self) -> None:
        """Start the fork server now, so that the first child need not wait for its imports. What goes wrong is told by whoever needs a child.

        Homes of an earlier life are removed: a process that was killed could not, and they would take room for ever.
        """
        with contextlib.suppress(OSError, ChildFailedError):
            self._scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
            if self._server is None:
                await asyncio.to_thread(self._sweep)
            await self._running()

    async def run(self, task: str, request: dict[str, Any], *, limits: Limits) -> dict[str, Any]:
        """Run `task`, a module with a function `handle(request) -> answer`; both are JSON data.

        Raises:
            ChildTimeoutError: not finished in time.
            ChildStarvedError: it may do better with larger limits.
            ChildFailedError: died without an answer, or could not be started.
            CvstateError: whatever error of our tree the task raised.
        """
        home = self._home()
        try:
            server = await self._running()
            answer, end = await server.run(task, orjson.dumps(request), home=home, limits=limits)
        finally:
            await asyncio.to_thread(shutil.rmtree, home, ignore_errors=True)
        return _read(answer, end, limits)

    async def close(self) -> None:
        """End the fork server; children that still run are killed, and there are no others."""
        self._is_closed = True
        if self._server:
            await self._server.close()
            self._server = None

    def _sweep(self) -> None:
        for left in self._scratch.glob(f"{_HOME}*"):
            shutil.rmtree(left, ignore_errors=True)

    def _home(self) -> str:
        try:
            self._scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
            home = tempfile.mkdtemp(dir=self._scratch, prefix=_HOME)
        except OSError as exc:
            self.fault = f"the cache directory cannot be written: {exc.strerror}; free or mend it, or choose another with --cache"
            raise ChildFailedError(self.fault) from exc
        self.fault = ""
        return home

    async def _running(self) -> "_Server":
        async with self._lock:
            if self._is_closed:
                raise ChildFailedError("the operator stops")
            if self._server is None or self._server.is_dead:
                try:
                    self._server = await _Server.start(self._preload, self._scratch)
                except OSError as exc:
                    raise ChildFailedError(f"the fork server does not start: {exc.strerror}") from exc
            return self._server


class _End(NamedTuple):
    status: int
    """Exit code; negative: a signal."""
    grown_bytes: int
    """Memory that the child had at most, beside what it shares with the fork server."""


class _Server:
    """One fork server process."""

    def __init__(self, process: asyncio.subprocess.Process, control: socket.socket) -> None:
        self._process = process
        self._control = control
        self._numbers = itertools.count(1)
        self._ended: dict[int, asyncio.Future[_End]] = {}
        self.is_dead = False
        asyncio.get_running_loop().add_reader(control, self._hear)

    @classmethod
    async def start(cls, preload: Sequence[str], scratch: Path) -> "_Server":
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *(*_PYTHON, "-m", "cvstate_operator.isolation.forkserver", str(theirs.fileno()), *preload),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env={"HOME": str(scratch), "PATH": os.defpath, "LC_ALL": "C.UTF-8", **_NO_AUTHORITIES},
                cwd=scratch,
                start_new_session=True,
            )
        ours.setblocking(False)
        return cls(process, ours)

    async def run(self, task: str, request: bytes, *, home: str, limits: Limits) -> tuple[bytes, _End]:
        """The answer (empty if there is none) and how the child ended."""
        number = next(self._numbers)
        ended = self._ended[number] = asyncio.get_running_loop().create_future()
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                order = {"start": number, "task": task, "home": home, "limits": [limits.memory_bytes, limits.file_bytes, limits.is_most]}
                await self._send(orjson.dumps(order), [theirs.fileno()])
            try:
                async with asyncio.timeout(limits.wall_seconds):
                    answer = await _converse(ours, request)
                    return answer, await ended
            except TimeoutError as exc:
                raise ChildTimeoutError(f"not finished within {limits.wall_seconds:.0f} s") from exc
        finally:
            ours.close()
            if not ended.done():
                await self._kill(number, ended)
            self._ended.pop(number, None)

    async def close(self) -> None:
        self._lose("the operator stops")
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    async def _send(self, message: bytes, descriptors: Sequence[int] = ()) -> None:
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        while True:
            try:
                socket.send_fds(self._control, [message], descriptors)
                return
            except BlockingIOError as exc:
                if asyncio.get_running_loop().time() > deadline:
                    raise ChildFailedError("the fork server takes no orders") from exc
                await asyncio.sleep(0.005)
            except OSError as exc:
                self._lose("the fork server is gone")
                raise ChildFailedError("the fork server is gone") from exc

    async def _kill(self, number: int, ended: "asyncio.Future[_End]") -> None:
        """Kill the child and everything it started, and see it gone, so that nothing of it still writes."""
        with contextlib.suppress(ChildFailedError):
            await self._send(orjson.dumps({"kill": number}))
            await asyncio.wait({ended}, timeout=START_SECONDS)

    def _hear(self) -> None:
        try:
            while message := self._control.recv(4096):
                report = orjson.loads(message)
                future = self._ended.get(report["ended"])
                if future and not future.done():
                    future.set_result(_End(report["status"], report["grown"]))
        except BlockingIOError:
            return
        except OSError:
            pass
        self._lose("the fork server is gone")

    def _lose(self, why: str) -> None:
        """From now on another server has to be started; whoever waits for a child of this one is told."""
        if self.is_dead:
            return
        self.is_dead = True
        asyncio.get_running_loop().remove_reader(self._control)
        self._control.close()
        for future in self._ended.values():
            if not future.done():
                future.set_exception(ChildFailedError(why))
                future.exception()  # seen, should nobody wait


async def _converse(connection: socket.socket, request: bytes) -> bytes:
    """Send the request and read the answer until the child closes its end."""
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    answer = bytearray()
    with contextlib.suppress(ConnectionError):  # a child that died; its exit code says how
        await loop.sock_sendall(connection, request)
        connection.shutdown(socket.SHUT_WR)
        while chunk := await loop.sock_recv(connection, _CHUNK_BYTES):
            answer += chunk
            if len(answer) > MAX_ANSWER_BYTES:
                raise ChildFailedError(f"the answer is longer than {MAX_ANSWER_BYTES // 2**20} MiB")
    return bytes(answer)


def _read(raw: bytes, end: _End, limits: Limits) -> dict[str, Any]:
    try:
        answer = orjson.loads(raw)
    except orjson.JSONDecodeError as exc:
        how = f"signal {signal.Signals(-end.status).name}" if end.status < 0 else f"exit code {end.status}"
        message = f"the child process ended with {how}"
        if -end.status not in _CRASHES:
            raise ChildFailedError(message) from exc
        raise ChildStarvedError(message, lacks="memory" if end.grown_bytes > limits.memory_bytes * _MUCH else "") from exc
    if lacks := answer.get("lacks"):
        raise ChildStarvedError(answer["why"], lacks=lacks, of=answer.get("of", ""))
    if crash := answer.get("crash"):
        raise ChildFailedError(f"the child process failed: {crash}")
    if error := answer.get("error"):
        raise errors.from_data(error)
    return dict(answer["ok"])
