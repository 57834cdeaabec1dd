"""The forwarder: passes a push on to the other replicas, since whoever has the ClusterState that it concerns may be any of them.

What is passed on is the body as it came, with the headers that it is judged by, so that each replica judges its signature itself and believes nobody; a token in clear is
never among them (`source/push.py`). It is passed on once: a delivery that was, is marked.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final

import aiohttp

FORWARD_SECONDS: Final = 3.0
"""How long a replica may take to answer. One that does not finds the commit by its own polling."""
PENDING: Final = 32
"""Deliveries on their way at a time; each is held in memory. What comes then is left to polling."""
MARK: Final = "X-Cvstate-Forwarded"
"""Header of what was passed on. Whoever sets it himself only keeps his own delivery from being passed on."""

_log = logging.getLogger(__name__)

Count = Callable[[str], None]
"""Counts what became of one copy: ok, failed (no answer, or an error status), dropped (too many at a time)."""


class Forwarder:
    """Belongs to one event loop."""

    def __init__(self, peers: Callable[[], tuple[str, ...]], *, path: str, count: Count) -> None:
        """
        Args:
            peers: base URLs of the other replicas, as they are now.
            path: of the webhook there.
            count: told of each copy.
        """
        self._peers = peers
        self._path = path
        self._count = count
        self._session: aiohttp.ClientSession | None = None
        self._under_way: set[asyncio.Task[None]] = set()

    def forward(self, headers: Mapping[str, str], body: bytes) -> None:
        """Pass a delivery on to everybody else, beside everything else; with these headers and a mark, so nothing secret may be among them."""
        peers = self._peers()
        if not peers:
            return
        if len(self._under_way) >= PENDING:
            for _ in peers:
                self._count("dropped")
            return
        task = asyncio.create_task(self._send_all(peers, {**headers, MARK: "1"}, body), name="forward a push")
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def close(self) -> None:
        """Give up what is on its way."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        if self._session:
            await self._session.close()

    async def _send_all(self, peers: tuple[str, ...], headers: Mapping[str, str], body: bytes) -> None:
        await asyncio.gather(*(self._send(peer, headers, body) for peer in peers))

    async def _send(self, peer: str, headers: Mapping[str, str], body: bytes) -> None:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                trust_env=False,
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=FORWARD_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        try:
            async with self._session.post(f"{peer}{self._path}", headers=headers, data=body, allow_redirects=False) as response:
                result = "ok" if response.status < 300 else "failed"
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            result = "failed"
            _log.info("a push could not be passed on", extra={"peer": peer, "error": type(exc).__name__})
        self._count(result)
