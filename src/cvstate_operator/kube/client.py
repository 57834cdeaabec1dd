"""Client: requests to one API server, as plain JSON, with our errors.

No models, no retries, no hidden requests: who calls decides. Every answer is read fully so that connections are reused.
"""

import asyncio
import re
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, Final, Protocol
from urllib.parse import quote, urlencode

import aiohttp
import orjson
from yarl import URL

from cvstate_operator import errors
from cvstate_operator.api.propagation import PropagationPolicy
from cvstate_operator.kube import nesting, verdict
from cvstate_operator.kube.answers import Answer, WireError
from cvstate_operator.kube.connection import Connection
from cvstate_operator.kube.pace import Pace
from cvstate_operator.kube.wire import Fence, NotSentError, Wire, not_fenced
from cvstate_operator.objects.manifest import Body

REQUEST_SECONDS: Final = 15.0
"""Deadline of one request. With etcd frozen, writes hang for 34 s and reads for 60 s before the API server gives up (measured)."""
PAGE_OBJECTS: Final = 500
"""Objects per page of a LIST; client-go's default page size."""
MAX_PAGES: Final = 4000
"""Two million objects of a kind; a list that goes on is none. Here and below: who writes a ClusterState chooses the server of a remote cluster."""
MAX_LINE_BYTES: Final = 16 * 2**20
"""Longest event of a watch. An object has 3 MiB at most, the API server's own limit of a request."""
MAX_PIECES: Final = 1000
"""So many pieces of a line are put together: a server may send it byte by byte, and a piece takes 34 bytes besides."""
MAX_VALUES: Final = 1_000_000
"""Most values in an answer of a server that a tenant chose: 500 objects of 2,000 each. As Python objects they take 50 bytes and more, however little they take on the wire."""
MAX_REFUSAL_BYTES: Final = 2**20
"""So much is read of the answer that refuses a watch."""
PROBES: Final = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 20, "TCP_KEEPCNT": 3}
"""TCP keepalive of a watch: seconds of silence before the first probe, seconds to the next, and how many unanswered ones end it. So the kernel finds a peer that is
gone within two minutes, also where no bookmarks come. Source: tcp(7); other systems lack some of these."""

APPLY: Final = "application/apply-patch+yaml"
JSON_PATCH: Final = "application/json-patch+json"

Params = Mapping[str, str]
_PLAIN: Final = "/:@!$&'()*+,;=~"
"""What may stand in a path as it is (RFC 3986, section 3.3)."""
_NEEDS_NO_QUOTES: Final = re.compile(r"[-A-Za-z0-9_.~/]*")
"""Nearly every path; to see that takes a third of the time of quoting."""


class Observe(Protocol):
    """Told of every finished request."""

    def __call__(self, *, action: str, result: str, seconds: float) -> None:
        """`action`: get, list, watch, apply …; `result`: ok or the reason of an error."""


class Client:
    """One API server, one identity."""

    def __init__(
        self, connection: Connection | None, *, observe: Observe, pace: Pace | None = None, act_as: str = "", fence: Fence = not_fenced
    ) -> None:
        """
        Args:
            connection: where the API server is, and who we are there; stays open when the client is closed. None: it is told later (`_attach`).
            observe: told of every finished request.
            pace: told how requests that write went, to learn what the API server can bear. Waiting for a turn is left to who calls.
            act_as: user in whose name everything is asked for; empty: our own.
            fence: asked before each request that writes, as the last thing before it is sent: a replica that was not heard of for too long may have been replaced.
        """
        self._connection: Connection | None = None
        self._act_as = act_as
        self._observe = observe
        self._pace = pace
        self._fence = fence
        if connection:
            self._connection = connection
            self._session, self._wire = connection.session(act_as=act_as), Wire(connection, act_as=act_as)

    async def close(self) -> None:
        """Close the session; the connection stays open for others."""
        if self._connection:
            await self._wire.close()
            await self._session.close()

    async def _attach(self, connection: Connection) -> None:
        """Ask by this connection from now on."""
        before = (self._wire, self._session) if self._connection else None
        self._connection = connection
        self._session, self._wire = connection.session(act_as=self._act_as), Wire(connection, act_as=self._act_as)
        if before:
            await before[0].close()
            await before[1].close()

    async def get(self, path: str, *, params: Params | None = None, accept: str = "application/json") -> Body | None:
        """One object or any other JSON document; None if the API server has no such object.

        Raises:
            KindUnknownError: the path itself is not served.
            CvstateError: any other verdict.
        """
        try:
            return await self._send("GET", path, params=params, action="get", accept=accept)
        except (errors.NotFoundError, errors.NamespaceMissingError):
            return None

    async def pages(self, path: str, *, params: Params | None = None) -> AsyncIterator[Body]:
        """All pages of a consistent LIST; each holds `items` and `metadata`.

        Raises:
            StaleError: the list took so long that its snapshot was compacted; start again.
        """
        query = {"limit": str(PAGE_OBJECTS), **(params or {})}
        for _ in range(MAX_PAGES):
            page = await self._send("GET", path, params=query, action="list")
            yield page
            token = page.get("metadata", {}).get("continue")
            if not token:
                return
            query = {**query, "continue": token}
        raise errors.NetworkError(f"the list of {path} does not end after {MAX_PAGES} pages")

    async def apply(self, path: str, body: Mapping[str, Any], *, manager: str, force: bool, dry_run: bool = False) -> Body:
        """Server-side apply; the answer is the object as it is now, after defaulting and webhooks; after a dry run as it would be."""
        params = {"fieldManager": manager, **({"force": "true"} if force else {}), **({"dryRun": "All"} if dry_run else {})}
        action = "preview" if dry_run else "apply"
        return await self._send("PATCH", path, params=params, body=orjson.dumps(body), content_type=APPLY, action=action)

    async def create(self, path: str, body: Mapping[str, Any], *, dry_run: bool = False) -> Body:
        """POST one object; in a dry run the API server checks it and keeps nothing."""
        params = {"dryRun": "All"} if dry_run else None
        return await self._send("POST", path, params=params, body=orjson.dumps(body), content_type="application/json", action="create")

    async def patch(self, path: str, operations: Sequence[Mapping[str, Any]], *, manager: str) -> Body:
        """JSON patch (RFC 6902)."""
        params = {"fieldManager": manager}
        return await self._send("PATCH", path, params=params, body=orjson.dumps(operations), content_type=JSON_PATCH, action="patch")

    async def delete(
        self, path: str, *, uid: str, resource_version: str, propagation: PropagationPolicy = PropagationPolicy.BACKGROUND
    ) -> bool:
        """Delete exactly the object we know; a missing one is fine.

        Args:
            path: of the object.
            uid: it has.
            resource_version: it has.
            propagation: what becomes of its dependents.

        Returns:
            Whether it is gone. If not, it is marked as being deleted, and stays until its finalizers are gone.

        Raises:
            StaleError: the object is another one, or changed since.
        """
        options = {"preconditions": {"uid": uid, "resourceVersion": resource_version}, "propagationPolicy": propagation.value}
        try:
            answer = await self._send("DELETE", path, body=orjson.dumps(options), content_type="application/json", action="delete")
        except errors.NotFoundError:
            return True
        # A Status, or the object: as it was last (Services), or as it is while something keeps it.
        return "deletionTimestamp" not in (answer.get("metadata") or {})

    async def watch(self, path: str, *, params: Params, opened: Callable[[], None] = lambda: None) -> AsyncIterator[Body]:
        """Events of a watch until the server ends it; each is `{"type": …, "object": …}`. `opened` is called when the server has agreed to it.

        How long it may be silent is for the caller to judge: a frozen API server keeps streams open without an error.

        Raises:
            StaleError: the resource version is too old (410, which comes inside a 200 answer): list again.
            NetworkError: the stream broke.
        """
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=REQUEST_SECONDS)
        try:
            async with self._session.get(self._url(path, {**params, "watch": "true"}), timeout=timeout) as response:
                if response.status >= 400:
                    raise self._error(response.status, await _beginning(response.content), response.headers.get("Retry-After"))
                _probe(response)
                opened()
                async for line in _lines(response.content):
                    event: Body = nesting.read(line)
                    if event["type"] == "ERROR":
                        raise verdict.error_for(int(event["object"].get("code") or 500), event["object"], act_as=self._act_as)
                    yield event
        except (aiohttp.ClientError, TimeoutError, OSError, orjson.JSONDecodeError) as exc:
            raise errors.NetworkError(f"the watch of {path} broke: {type(exc).__name__}") from exc

    def _url(self, path: str, params: Params | None) -> URL:
        """Quoted here, at once: aiohttp would take it apart and put it together again for each part."""
        assert self._connection is not None  # noqa: S101 - whoever has none yet gets one first
        return URL(f"{self._connection.server}{_target(path, params)}", encoded=True)

    async def _send(
        self,
        method: str,
        path: str,
        *,
        action: str,
        params: Params | None = None,
        body: bytes | None = None,
        content_type: str = "",
        accept: str = "application/json",
    ) -> Body:
        started = time.perf_counter()
        result, error = "ok", None
        try:
            return await self._exchange(method, path, _target(path, params), accept, content_type, body or b"")
        except errors.CvstateError as exc:
            result, error = exc.reason, exc
            raise
        except asyncio.CancelledError:
            result = "Cancelled"
            raise
        finally:
            seconds = time.perf_counter() - started
            self._observe(action=action, result=result, seconds=seconds)
            if self._pace and method != "GET" and result != "Cancelled":
                self._pace.report(seconds, error)

    async def _exchange(self, method: str, path: str, target: str, accept: str, content_type: str, body: bytes) -> Body:
        fence = self._fence if method != "GET" else not_fenced
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                answer = await self._wire.exchange(method, target, accept=accept, content_type=content_type, body=body, fence=fence)
        except NotSentError as exc:
            raise errors.FencedError(f"{method} {path} was not sent: {exc}") from None
        except TimeoutError as exc:
            raise errors.ServerTimeoutError(f"the API server did not answer {method} {path} within {REQUEST_SECONDS:.0f} s") from exc
        except WireError as exc:
            raise errors.NetworkError(f"the API server cannot be reached: {exc}") from exc
        except OSError as exc:
            raise errors.NetworkError(f"the API server cannot be reached: {type(exc).__name__}") from exc
        found = self._parsed(answer, f"{method} {path}")
        if isinstance(found, errors.CvstateError):
            answer.body = b""  # who keeps an error keeps what its traceback leads to
            raise found
        return found

    def _parsed(self, answer: Answer, what: str) -> Body | errors.CvstateError:
        """What an answer says. An error is returned, without a cause: one of orjson's holds the whole text."""
        if answer.status >= 400:
            return self._error(answer.status, answer.body, answer.headers.get("retry-after"))
        if answer.status >= 300:
            return errors.NetworkError(f"{what} is answered by a redirect; give the API server's own URL")
        if self._connection and self._connection.bound and _values(answer.body) > MAX_VALUES:
            return errors.NetworkError(f"the answer to {what} holds more than {MAX_VALUES} values")
        with suppress(orjson.JSONDecodeError):
            found: Body = nesting.read(answer.body)
            return found
        return errors.NetworkError(f"the answer to {what} is no JSON; what stands between us and the API server?")

    def _error(self, code: int, payload: bytes, retry_after: str | None) -> errors.CvstateError:
        try:
            status = orjson.loads(payload)
        except orjson.JSONDecodeError:
            status = None
        return verdict.error_for(code, status if isinstance(status, dict) else None, retry_after=retry_after, act_as=self._act_as)


def _target(path: str, params: Params | None) -> str:
    """Path and query of a URL, quoted."""
    quoted = path if _NEEDS_NO_QUOTES.fullmatch(path) else quote(path, safe=_PLAIN)
    return f"{quoted}?{_query(tuple(params.items()))}" if params else quoted


@lru_cache(maxsize=64)
def _query(params: tuple[tuple[str, str], ...]) -> str:
    return urlencode(params)


def _probe(response: aiohttp.ClientResponse) -> None:
    """Have the kernel look whether the other end is still there."""
    link = response.connection.transport if response.connection else None
    if line := link.get_extra_info("socket") if link else None:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in PROBES.items():
            if hasattr(socket, option):
                line.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def _values(text: bytes) -> int:
    """Values in JSON text, at most: each comes after one of these. Counting takes 1 ms for a MiB."""
    return text.count(b",") + text.count(b"[") + text.count(b"{")


async def _beginning(stream: aiohttp.StreamReader) -> bytes:
    """The answer to a watch that is refused, or as much of it as is of interest."""
    found = b""
    async for chunk in stream.iter_any():
        found += chunk
        if len(found) >= MAX_REFUSAL_BYTES:
            break
    return found[:MAX_REFUSAL_BYTES]


async def _lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines of any length up to MAX_LINE_BYTES; aiohttp's own iterator stops at 64 KiB, and one object may have 1.5 MiB.

    Raises:
        NetworkError: one is longer.
    """
    rest: list[bytes] = []
    held = 0
    async for chunk in stream.iter_any():
        *ends, tail = chunk.split(b"\n")
        for end in ends:
            line = b"".join((*rest, end)) if rest else end
            rest, held = [], 0
            if line:
                yield line
        if tail:
            rest.append(tail)
            held += len(tail)
        if held > MAX_LINE_BYTES:
            raise errors.NetworkError(f"the watch broke: a line of it is longer than {MAX_LINE_BYTES // 2**20} MiB")
        if len(rest) > MAX_PIECES:
            rest = [b"".join(rest)]
