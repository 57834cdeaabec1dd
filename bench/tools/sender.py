"""Sends requests that were made before, as fast as so many connections carry them: the process of `bench.tools.bound`.

    python -m bench.tools.sender KUBECONFIG WIDTH

It opens WIDTH connections, one request at a time on each, and takes orders as one JSON a line:

    {"prepare": [[method, path, body], ...]}    {"go": true}    →    {"done": how many, "failed": ["PATCH /api/… 409", ...]}

Nothing is read of an answer but its status and its end: a client that does less than this cannot be written with HTTP/1.1 and TLS in Python.
"""

import asyncio
import re
import sys
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias
from urllib.parse import urlsplit

import orjson

from bench import access

MOST_LINE: Final = 1 << 28
"""Bytes of one order: 10,000 objects are 15 MB."""
MOST_NAMED: Final = 10
_LENGTH: Final = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
_CHUNKED_END: Final = b"\r\n0\r\n\r\n"
"""How a chunked body without trailers ends. Inside of one it cannot occur: JSON has no carriage returns. Source: RFC 9112, section 7.1."""


class Request(NamedTuple):
    """A request that only needs to be written."""

    name: str
    data: bytes


Waiting: TypeAlias = "deque[Request]"


class Connection(asyncio.Protocol):
    """One connection: sends a request, waits for the end of its answer, sends the next, until none waits."""

    def __init__(self, waiting: Waiting, failed: list[str]) -> None:
        """
        Args:
            waiting: requests that nobody has sent; shared by all connections.
            failed: gets the name and status of every answer that is no success.
        """
        self._waiting, self._failed = waiting, failed
        self._answer = b""
        self._name = ""
        self.finished = asyncio.Event()
        """Nothing is under way here and nothing waits."""
        self.finished.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        if not self.finished.is_set():
            self._failed.append(f"{self._name}: the connection was lost")
            self.finished.set()

    def next(self) -> None:
        """Send one of the waiting requests, if there are any."""
        if not self._waiting:
            self.finished.set()
            return
        self.finished.clear()
        self._answer = b""
        self._name, data = self._waiting.popleft()
        self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._answer += data
        if is_whole(self._answer):
            status = self._answer[9:12]
            if not status.startswith(b"2"):
                self._failed.append(f"{self._name} {status.decode()}")
            self.next()


def is_whole(answer: bytes) -> bool:
    """Say whether an answer, from its first byte on, has come to its end."""
    head = answer.find(b"\r\n\r\n")
    if head < 0:
        return False
    length = _LENGTH.search(answer, 0, head + 2)
    return len(answer) == head + 4 + int(length[1]) if length else answer.endswith(_CHUNKED_END)


async def run(kubeconfig: Path, width: int) -> None:
    """Obey until the end of the input."""
    user = access.read(kubeconfig)
    where = urlsplit(user.server)
    host, port = where.hostname or "", where.port or 443
    waiting: Waiting = deque()
    failed: list[str] = []
    loop = asyncio.get_running_loop()
    connections = []
    for _ in range(width):
        _, connection = await loop.create_connection(lambda: Connection(waiting, failed), host, port, ssl=user.tls)
        connections.append(connection)
    reader = asyncio.StreamReader(limit=MOST_LINE)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    _say({"ready": True})
    headers = "".join(f"{name}: {value}\r\n" for name, value in {"Host": where.netloc, "User-Agent": "bound", **user.headers}.items())
    while line := await reader.readline():
        order = orjson.loads(line)
        if "prepare" in order:
            waiting.extend(_request(method, path, body, headers) for method, path, body in order["prepare"])
            _say({"prepared": len(waiting)})
        else:
            count = len(waiting)
            for connection in connections:
                connection.next()
            await asyncio.gather(*(connection.finished.wait() for connection in connections))
            _say({"done": count, "failed": failed[:MOST_NAMED]})
            failed.clear()


def _request(method: str, path: str, body: str, headers: str) -> Request:
    data = body.encode()
    content = "application/apply-patch+yaml" if method == "PATCH" else "application/json"
    head = f"{method} {path} HTTP/1.1\r\n{headers}Content-Type: {content}\r\nContent-Length: {len(data)}\r\n\r\n"
    return Request(f"{method} {path.partition('?')[0]}", head.encode() + data)


def _say(answer: Mapping[str, Any]) -> None:
    sys.stdout.buffer.write(orjson.dumps(answer) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), int(sys.argv[2])))
