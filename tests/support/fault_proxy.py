"""A proxy before the API server that understands HTTP, and does to single requests what networks, load balancers and API servers do on bad days.

It ends TLS itself and asks the API server with the client certificate of the kubeconfig it was given, so the audit log names the same user as without it;
a bearer token is passed on as it comes. What it does is said by rules: which requests, which of them, and one action of `fault_actions`.

    with FaultProxy(cluster.operator_kubeconfig, folder) as proxy:
        proxy.rules = (Rule(Reset(forwarded=True), method="PATCH", path="/configmaps/a$", count=2),)
        ... start something with proxy.kubeconfig ...
"""

import asyncio
import base64
import contextlib
import random
import re
import socket
import ssl
import struct
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import aiohttp
import yaml
from aiohttp import web
from yarl import URL

from cvstate_operator.cli.demo.loopback import HOST, LoopbackServer
from tests.cluster.certificates import Authority, KeyPair
from tests.support.fault_actions import (
    TROUBLE,
    Action,
    Answer,
    Cut,
    Delay,
    Expire,
    Freeze,
    Repeat,
    Replay,
    Reset,
    Shape,
    Silence,
    Watched,
)

_OWN_HEADERS: Final = frozenset({"host", "connection", "content-length", "transfer-encoding", "accept-encoding"})
"""Headers that each of the two connections has for itself."""
_WRITES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class Moment(StrEnum):
    """Where a writing request stands when `FaultProxy.on_write` is called."""

    BEFORE = "before"
    """It has not been forwarded."""
    LOST = "lost"
    """The API server has carried it out, and its reply has not been passed on."""
    AFTER = "after"
    """The reply has been passed on."""


@dataclass(slots=True)
class Seen:
    """One request that came."""

    method: str
    path: str
    """Without the query."""
    query: Mapping[str, str]
    at: float
    """When it came, monotonic seconds."""
    status: int = 0
    """What was answered; 0: nothing, or not yet."""
    ended: float = 0.0
    """When the answer was complete or nobody waited for it any more, monotonic seconds; 0: not yet."""
    retry_after: float = 0.0
    """What the answer asked for, seconds."""
    fault: str = ""
    """The action that was taken; empty if none."""

    @property
    def is_watch(self) -> bool:
        """Whether it asks for a stream of events."""
        return self.query.get("watch") in ("true", "1")

    @property
    def is_write(self) -> bool:
        """Whether it was meant to change something; a question by POST does not count."""
        return self.method in _WRITES and not self.path.endswith("reviews")


@dataclass(slots=True)
class Rule:
    """Which requests, and what is done to them. The first rule that matches a request decides."""

    action: Action
    path: str = ""
    """A regular expression that is found in the path."""
    method: str = ""
    """A regular expression for the whole method; empty: any."""
    first: int = 1
    """The first match that counts, from 1."""
    count: int | None = None
    """How many matches count from there on; None: all."""
    every: int = 1
    """Only each so manyth of these."""
    lists: bool = False
    """No watches."""
    each_path: bool = False
    """Matches are counted for each path by itself."""
    hits: int = 0
    """How often the action was taken."""
    _matches: Counter[str] = field(default_factory=Counter)

    def takes(self, seen: Seen) -> bool:
        """Whether the action is taken for this request; counts it."""
        if (isinstance(self.action, Watched) and not seen.is_watch) or (self.lists and seen.is_watch):
            return False
        if isinstance(self.action, Replay) and (seen.is_watch or seen.path not in self.action.lists):
            return False
        if (self.method and not re.fullmatch(self.method, seen.method)) or not re.search(self.path, seen.path):
            return False
        key = seen.path if self.each_path else ""
        self._matches[key] += 1
        number = self._matches[key] - self.first
        hit = number >= 0 and (self.count is None or number < self.count) and number % self.every == 0
        self.hits += hit
        return hit


class _Lost(Exception):
    """The connection is to be reset now."""


OnWrite = Callable[[Seen, Moment], bool]


class FaultProxy(LoopbackServer):
    """See the module."""

    def __init__(self, kubeconfig: Path, folder: Path) -> None:
        """
        Args:
            kubeconfig: of the user who is to be seen by the API server, with embedded certificates.
            folder: where `kubeconfig` is written.
        """
        super().__init__(name="fault proxy")
        self._config: dict[str, Any] = yaml.safe_load(kubeconfig.read_text())
        cluster, user = self._config["clusters"][0]["cluster"], self._config["users"][0]["user"]
        self._target: str = cluster["server"]
        self._client_tls = ssl.create_default_context(cadata=_decoded(cluster["certificate-authority-data"]).decode())
        if "client-certificate-data" in user:
            _load(self._client_tls, KeyPair(_decoded(user["client-certificate-data"]), _decoded(user["client-key-data"])))
        authority = Authority("fault proxy")
        self._server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        _load(self._server_tls, authority.server("fault proxy", addresses=[HOST], names=["localhost"]))
        self._authority = base64.b64encode(authority.certificate).decode()
        self.kubeconfig = folder / "through-the-fault-proxy.kubeconfig"
        """As the one given, but by way of the proxy; exists once the proxy runs."""
        self.rules: tuple[Rule, ...] = ()
        """May be replaced at any time; what is under way goes on as it began."""
        self.requests: list[Seen] = []
        """Everything that came so far, in order."""
        self.on_write: OnWrite | None = None
        """Told of every write at each moment, in the proxy's thread; True resets the connection there and then."""
        self._thaw = asyncio.Event()
        self._transports: dict[asyncio.Transport, str] = {}
        """Connections, and what was asked last on each."""

    @staticmethod
    def plan(seed: int, *, path: str) -> tuple[Rule, ...]:
        """Several faults at once, drawn by a seed, each a few times: to writes below a path (a regular expression) and to any watch."""
        dice = random.Random(seed)
        writes: list[Action] = [Reset(), Reset(forwarded=True), Delay(dice.uniform(0.1, 1.5)), *(answer() for answer in TROUBLE)]
        streams: list[Action] = [Cut(dice.randrange(3)), Expire(), Repeat(dice.randint(2, 4))]
        chosen = [Rule(action, path=path, method="PATCH|DELETE") for action in dice.sample(writes, 3)]
        chosen += [Rule(action, path="/(configmaps|services)$", method="GET") for action in dice.sample(streams, 2)]
        for rule in chosen:
            rule.first, rule.count, rule.every = dice.randint(1, 4), dice.randint(1, 4), dice.randint(1, 2)
        return tuple(chosen)

    def cut(self, path: str = "") -> None:
        """Reset every connection, or those on which a path was asked last (a regular expression); new ones are served at once."""
        asyncio.run_coroutine_threadsafe(self._cut(path), self._loop).result(10)

    def ask(self, path: str) -> bytes:
        """What the API server answers to a GET now, for the operator's user."""

        async def get() -> bytes:
            async with self._session.get(URL(self._target + path, encoded=True)) as answer:
                return await answer.read()

        return asyncio.run_coroutine_threadsafe(get(), self._loop).result(10)

    def calm(self) -> float:
        """End every fault, streams that were tampered with included; the monotonic time from which nothing is disturbed."""
        tampered = any(isinstance(rule.action, Watched | Replay) for rule in self.rules)
        self.rules, self.on_write = (), None
        if tampered:
            self.cut()
        return time.monotonic()

    def since(self, number: int, *, path: str = "", method: str = "") -> list[Seen]:
        """Requests from this one on (what `len(requests)` was) whose path holds a regular expression."""
        chosen = [seen for seen in self.requests[number:] if re.search(path, seen.path)]
        return [seen for seen in chosen if not method or re.fullmatch(method, seen.method)]

    # -- serving -----------------------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        app = web.Application(client_max_size=2**30)
        app.router.add_route("*", "/{tail:.*}", self._receive)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        connector = aiohttp.TCPConnector(ssl=self._client_tls, limit=0)
        try:
            async with aiohttp.ClientSession(connector=connector, skip_auto_headers=("Accept-Encoding", "Content-Type")) as session:
                self._session = session
                await web.TCPSite(runner, HOST, self.port, ssl_context=self._server_tls).start()
                self.port = runner.addresses[0][1]
                self._config["clusters"][0]["cluster"] |= {
                    "server": f"https://{HOST}:{self.port}",
                    "certificate-authority-data": self._authority,
                }
                self.kubeconfig.write_text(yaml.safe_dump(self._config))
                self._bound.set()
                await self._stopped.wait()
                await self._cut()
        finally:
            await runner.cleanup()

    async def _receive(self, request: web.Request) -> web.StreamResponse:
        if request.transport:
            self._transports = {each: path for each, path in self._transports.items() if not each.is_closing()}
            self._transports[request.transport] = request.path
        seen = Seen(request.method, request.path, dict(request.query), time.monotonic())
        self.requests.append(seen)
        try:
            response = await self._treat(request, seen, await request.read())
            seen.status = response.status
            return response
        except (_Lost, aiohttp.ClientError, OSError):
            if request.transport:
                _reset(request.transport)
            return web.Response()  # nobody gets it
        finally:
            seen.ended = time.monotonic()

    async def _treat(self, request: web.Request, seen: Seen, body: bytes) -> web.StreamResponse:
        self._tell(seen, Moment.BEFORE)
        rule = next((rule for rule in self.rules if rule.takes(seen)), None)
        seen.fault = type(rule.action).__name__ if rule else ""
        match rule.action if rule else None:
            case Answer(code, text, headers):
                seen.retry_after = float(headers.get("Retry-After", 0))
                return web.Response(status=code, body=text, headers=headers)
            case Reset(forwarded=False):
                raise _Lost
            case Reset():
                await self._forward(request, seen, body)
                raise _Lost
            case Delay(seconds):
                await asyncio.sleep(seconds)
            case Freeze():
                await asyncio.Event().wait()
            case Replay(lists):
                return web.Response(body=lists[seen.path], content_type="application/json")
            case Silence():
                return await self._stream(request, None)
            case Watched() as watched:
                return await self._stream(request, watched.shape())
        if seen.is_watch:
            return await self._stream(request, lambda event: [event])
        response = await self._forward(request, seen, body)
        self._tell(seen, Moment.LOST)
        await response.prepare(request)
        await response.write_eof()
        self._tell(seen, Moment.AFTER)
        return response

    async def _forward(self, request: web.Request, seen: Seen, body: bytes) -> web.Response:
        async with self._ask(request, body) as answer:
            payload = await answer.read()
            seen.retry_after = float(answer.headers.get("Retry-After", 0))
            return web.Response(status=answer.status, body=payload, headers=_passed_on(answer.headers))

    async def _stream(self, request: web.Request, shape: Shape | None) -> web.StreamResponse:
        """Pass a watch on, each event through `shape`; without one it opens and stays silent."""
        if shape is None:
            response = web.StreamResponse(headers={"Content-Type": "application/json"})
            await response.prepare(request)
            await asyncio.Event().wait()
        async with self._ask(request, b"") as answer:
            if answer.status != 200:
                return web.Response(status=answer.status, body=await answer.read(), headers=_passed_on(answer.headers))
            response = web.StreamResponse(headers=_passed_on(answer.headers))
            await response.prepare(request)
            assert shape is not None
            for opening in shape(b""):
                await response.write(opening or b"")
            async for line in _lines(answer.content):
                for event in shape(line):
                    if event is None:
                        raise _Lost
                    await response.write(event + b"\n")
            return response

    def _ask(self, request: web.Request, body: bytes) -> Any:
        url = URL(self._target + request.raw_path, encoded=True)
        timeout = aiohttp.ClientTimeout(total=None)
        return self._session.request(request.method, url, data=body or None, headers=_passed_on(request.headers), timeout=timeout)

    def _tell(self, seen: Seen, moment: Moment) -> None:
        if seen.is_write and self.on_write and self.on_write(seen, moment):
            raise _Lost

    async def _cut(self, path: str = "") -> None:
        for transport, asked in list(self._transports.items()):
            if re.search(path, asked):
                _reset(transport)
        await asyncio.sleep(0)


def _passed_on(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _OWN_HEADERS}


async def _lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in stream.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line


def _reset(transport: asyncio.BaseTransport) -> None:
    """Close at once, with a TCP reset and not with an orderly end."""
    with contextlib.suppress(OSError, AttributeError):  # asyncio's TLS transport knows its socket no more once it is closed
        raw: socket.socket | None = transport.get_extra_info("socket")
        if raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if isinstance(transport, asyncio.Transport):
        transport.abort()


def _decoded(text: str) -> bytes:
    return base64.b64decode(text)


def _load(context: ssl.SSLContext, pair: KeyPair) -> None:
    with tempfile.NamedTemporaryFile("wb") as file:
        file.write(pair.certificate + b"\n" + pair.key)
        file.flush()
        context.load_cert_chain(file.name)
