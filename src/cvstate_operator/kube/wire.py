"""The wire: single requests to one server over HTTP/1.1, on connections that are kept open.

Why not aiohttp, which carries the watches: for each request it costs twice the processor time of everything else together, for what is not needed here: cookies,
redirects, proxies, streams (docs/performance.md).

Requests are not repeated, but for one case: a connection that was kept is closed by the server in the same moment in which a request is sent that may come twice:
a GET, or a DELETE, which names the object by its uid.
Source: RFC 9112 (HTTP/1.1), section 9.3.1 (repeating requests).
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Final, cast
from urllib.parse import urlsplit

from cvstate_operator.isolation.fair import TurnEndedError
from cvstate_operator.kube.answers import Answer, Answering, WireError, too_large
from cvstate_operator.kube.connection import KEEPALIVE_SECONDS, Bound, Connection, impersonate

_REPEATABLE: Final = frozenset({"GET", "DELETE"})
"""Sent twice they change no more than once (RFC 9110, section 9.2.2). So does an apply, but whoever applies judges himself when it is tried again: others go first."""


class NotSentError(Exception):
    """Nothing was sent, since the fence says why not."""


Fence = Callable[[], str]
"""Says why nothing may be sent now; empty if it may."""


def not_fenced() -> str:
    """Nothing keeps this process from writing: there is no other that could."""
    return ""


class _ClosedError(WireError):
    """A connection that was kept had been closed by the server, before a byte of the answer came."""


class _Link(asyncio.Protocol):
    """One connection, with at most one request under way."""

    def __init__(self, bound: Bound | None) -> None:
        """`bound`: of answers; None: they may be as large as they like."""
        self._bound = bound
        self._transport: asyncio.Transport | None = None
        self._answering: Answering | None = None
        self._waiter: asyncio.Future[Answer | None] | None = None
        self._may_be_large = False
        self._came: Answer | WireError | None = None
        """What came although reading was paused: what had been received by then, or the end of the connection."""
        self.is_open = False
        self.is_used = False
        """Whether it carried a request before."""
        self.idle_since = 0.0
        self.lost = asyncio.Event()
        """Nothing of it is left."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport, self.is_open = cast(asyncio.Transport, transport), True  # uvloop's are not of its class

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if self._answering is None:
            self.close()  # nobody asked
            return
        try:
            answer = self._answering.feed(data)
        except WireError as exc:
            self.close()
            self._fail(exc)
            return
        if answer:
            self._succeed(answer)
        elif self._bound and not self._may_be_large and self._answering.body_bytes > self._bound.small_bytes and self._transport:
            self._transport.pause_reading()  # what else was sent stays with whoever sent it
            self._succeed(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self.is_open = False
        self.lost.set()
        if self._answering is None:
            return
        try:
            answer = None if exc else self._answering.end()
        except WireError as error:
            self._fail(error)
            return
        if answer:
            self._succeed(answer)
        elif self.is_used and self._answering.is_untouched:
            self._fail(_ClosedError("the connection was closed meanwhile"))
        else:
            self._fail(WireError(f"the connection broke: {type(exc).__name__}" if exc else "the connection was closed"))

    async def ask(self, request: bytes, fence: Fence) -> Answer:
        """Send a request and wait for its answer.

        Raises:
            WireError: there is none.
            NotSentError: the fence forbids it.
        """
        assert self._transport is not None  # it was made  # noqa: S101
        # The last thing before it is sent: a process that is stopped while it connects must not send, when it goes on, what was allowed a minute ago.
        if why := fence():
            raise NotSentError(why)
        self._answering, self._may_be_large, self._came = Answering(max_bytes=self._bound.max_bytes if self._bound else 0), False, None
        waiter = self._waiter = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            answer: Answer | None = await waiter
            if answer and answer.unpack(self._bound.small_bytes if self._bound else 0):
                return answer
            assert self._bound is not None  # without one nothing is too large  # noqa: S101
            async with self._bound.large():
                return await self._rest(answer, self._bound)
        except TurnEndedError as exc:
            self.abort()
            raise WireError(f"a large answer was {exc.message}") from exc
        except BaseException:
            self.abort()  # an answer that nobody waits for any more must not be taken for the next one
            raise
        finally:
            self._answering = self._waiter = None
            self.is_used = True

    async def _rest(self, answer: Answer | None, bound: Bound) -> Answer:
        """A large answer: what is left to come of it, or to be unpacked."""
        assert self._transport is not None  # it was made  # noqa: S101
        if isinstance(self._came, WireError):
            raise self._came
        answer = answer or self._came
        if answer is None:
            self._may_be_large, waiter = True, asyncio.get_running_loop().create_future()
            self._waiter = waiter
            self._transport.resume_reading()
            answer = await waiter
        assert answer is not None  # nothing is paused twice  # noqa: S101
        if not answer.unpack(bound.max_bytes):
            raise too_large(bound.max_bytes)
        return answer

    def close(self) -> None:
        """End it, and take leave of the server."""
        self.is_open = False
        if self._transport:
            self._transport.close()

    def abort(self) -> None:
        """End it at once."""
        self.is_open = False
        if self._transport:
            self._transport.abort()

    def _succeed(self, answer: Answer | None) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(answer)
        elif answer:
            self._came = answer

    def _fail(self, error: WireError) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_exception(error)
        else:
            self._came = error


class Wire:
    """Requests to one server, each on a connection of its own while it lasts."""

    def __init__(self, connection: Connection, *, act_as: str = "") -> None:
        """
        Args:
            connection: where the server is, and who we are there.
            act_as: user in whose name everything is asked for; empty: our own.
        """
        server = urlsplit(connection.server)
        is_secret = server.scheme == "https"
        self._host, self._port = server.hostname or "", server.port or (443 if is_secret else 80)
        self._tls: ssl.SSLContext | None = connection.tls if is_secret else None
        self._authorize = connection.authorize
        self._resolve = connection.resolve
        self._prefix = server.path
        self._bound = connection.bound
        fixed = {"Host": server.netloc.rpartition("@")[2], "User-Agent": connection.user_agent, **impersonate(act_as)}
        self._common = " HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fixed.items())
        self._idle: list[_Link] = []
        """The one that was used last comes last, and is taken first."""
        self._is_closed = False

    async def exchange(
        self, method: str, target: str, *, accept: str, content_type: str = "", body: bytes = b"", fence: Fence = not_fenced
    ) -> Answer:
        """Send one request; its answer, whatever its status.

        Args:
            method: of the request.
            target: path and query, quoted.
            accept: media type that is wanted.
            content_type: of `body`.
            body: empty for none.
            fence: asked right before it is sent.

        Raises:
            WireError: the connection broke, or what came is no HTTP.
            OSError: the server cannot be reached.
            NotSentError: the fence forbids it.
        """
        head = f"{method} {self._prefix}{target}{self._common}Accept: {accept}\r\n"
        if value := await self._authorize():
            head += f"Authorization: {' '.join(value.split())}\r\n"
        if method == "GET":
            head += "Accept-Encoding: gzip\r\n"
        if body or method != "GET":
            head += (
                f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n" if content_type else f"Content-Length: {len(body)}\r\n"
            )
        try:
            request = f"{head}\r\n".encode("latin-1") + body
        except UnicodeEncodeError as exc:
            raise WireError("the token, or the path, holds what cannot be sent in a header") from exc
        link = self._kept()
        if link:
            try:
                return await self._ask(link, request, fence)
            except _ClosedError:
                if method not in _REPEATABLE:
                    raise
        return await self._ask(await self._open(), request, fence)

    async def close(self) -> None:
        """End every connection, and wait until nothing is left of it; those in use end when their answer came."""
        self._is_closed = True
        for link in self._drop():
            await link.lost.wait()

    def _drop(self) -> list[_Link]:
        """End every connection that is kept; those."""
        links, self._idle = self._idle, []
        for link in links:
            link.abort()
        return links

    async def _ask(self, link: _Link, request: bytes, fence: Fence) -> Answer:
        try:
            answer = await link.ask(request, fence)
        except NotSentError:
            link.close()
            raise
        except BaseException:
            # Where one hangs or broke, those beside it most likely do too, and each would cost a deadline to find out.
            self._drop()
            raise
        if self._is_closed or answer.is_last:
            link.close()
        elif link.is_open:
            link.idle_since = asyncio.get_running_loop().time()
            self._idle.append(link)
        return answer

    def _kept(self) -> _Link | None:
        """A connection that is open and idle; None if there is none. Those that have been idle too long are closed."""
        oldest = asyncio.get_running_loop().time() - KEEPALIVE_SECONDS
        while self._idle and (self._idle[0].idle_since < oldest or not self._idle[0].is_open):
            self._idle.pop(0).close()
        while self._idle:
            if (link := self._idle.pop()).is_open:
                return link
        return None

    async def _open(self) -> _Link:
        loop = asyncio.get_running_loop()
        link = _Link(self._bound)
        if self._resolve is None:
            await loop.create_connection(lambda: link, self._host, self._port, ssl=self._tls)
            return link
        problem: OSError | None = None
        for address in await self._resolve(self._host, self._port):
            try:
                await loop.create_connection(
                    lambda: link, address, self._port, ssl=self._tls, server_hostname=self._host if self._tls else None
                )
                return link
            except OSError as exc:
                problem = exc
        raise problem or OSError("no address")
