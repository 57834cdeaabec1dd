"""Requests to a server that somebody chose: how much of the memory its answers may take, whatever it sends.

Aspects: a small answer waits for nobody · a large one for its slot, however it comes · what came before it was its turn · one that takes too long.
"""

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from cvstate_operator.isolation.fair import FairSlots
from cvstate_operator.kube.answers import WireError
from cvstate_operator.kube.connection import Bound, Connection
from cvstate_operator.kube.wire import Wire

SMALL = 10_000
MOST = 5_000_000
LARGE_BODY = b"x" * 3_000_000


def sized(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def packed(body: bytes) -> bytes:
    body = gzip.compress(body)
    return b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def open_ended(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body


class Server:
    """Answers each request with the same bytes."""

    def __init__(self, answer: bytes, *, is_closing: bool = False, at_once: int = 0) -> None:
        """
        Args:
            answer: what is sent.
            is_closing: whether the connection ends with it.
            at_once: bytes after which it waits for `go`; 0: it does not.
        """
        self._answer = answer
        self._is_closing = is_closing
        self._at_once = at_once
        self.go = asyncio.Event()
        self.sent = 0
        self.under_way: set[asyncio.Task[Any] | None] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.under_way.add(asyncio.current_task())
        try:
            await self._serve(reader, writer)
        except ConnectionError:
            pass  # whoever asked had enough
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if self._at_once:
            writer.write(self._answer[: self._at_once])
            await self.go.wait()
        for at in range(self._at_once, len(self._answer), 100_000):
            writer.write(self._answer[at : at + 100_000])
            await writer.drain()
            self.sent = at
        if not self._is_closing:
            await reader.read()  # until whoever asked closes it


@asynccontextmanager
async def wire(server: Server, slots: FairSlots, *, most: int = MOST) -> AsyncIterator[Wire]:
    async def authorize() -> str | None:
        return None

    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        connector: Any = None  # of watches alone
        made = Wire(Connection(f"http://127.0.0.1:{port}", connector, authorize, bound=Bound(most, SMALL, partial(slots.turn, "a"))))
        yield made
        await made.close()
        server.go.set()
        await asyncio.gather(*(task for task in server.under_way if task))


async def ask(made: Wire) -> bytes:
    return (await made.exchange("GET", "/", accept="application/json")).body


@pytest.mark.parametrize("form", [sized, packed])
async def test_a_small_answer_waits_for_nobody(form: Callable[[bytes], bytes]) -> None:
    slots = FairSlots(1)
    async with slots.turn("b"), wire(Server(form(b"x" * SMALL)), slots) as made, asyncio.timeout(5):
        assert await ask(made) == b"x" * SMALL


@pytest.mark.parametrize(
    "server",
    [
        pytest.param(lambda: Server(sized(LARGE_BODY)), id="sized"),
        pytest.param(lambda: Server(packed(LARGE_BODY)), id="packed"),
        pytest.param(lambda: Server(open_ended(LARGE_BODY), is_closing=True), id="open-ended"),
    ],
)
async def test_a_large_answer_waits_for_its_turn_and_is_whole(server: Callable[[], Server]) -> None:
    slots, sending = FairSlots(1), server()
    async with wire(sending, slots) as made:
        async with slots.turn("b"):
            asked = asyncio.create_task(ask(made))
            assert not (await asyncio.wait({asked}, timeout=0.2))[0]
        async with asyncio.timeout(5):
            assert await asked == LARGE_BODY
    assert slots.is_idle


async def test_what_is_not_taken_stays_with_the_server() -> None:
    slots, server = FairSlots(1), Server(sized(b"x" * 50_000_000))
    async with slots.turn("b"), wire(server, slots, most=100_000_000) as made:
        asked = asyncio.create_task(ask(made))
        await asyncio.wait({asked}, timeout=0.2)
        assert server.sent < 20_000_000, "what the kernel holds for both"
        asked.cancel()
        await asyncio.wait({asked})


@pytest.mark.parametrize("form", [sized, packed])
async def test_one_that_is_larger_than_any_may_be_is_refused_when_it_is_its_turn(form: Callable[[bytes], bytes]) -> None:
    slots = FairSlots(1)
    async with wire(Server(form(LARGE_BODY)), slots, most=100_000) as made:
        with pytest.raises(WireError, match="larger than"):
            await ask(made)
    assert slots.is_idle


async def test_a_connection_that_breaks_while_its_answer_waits_is_told() -> None:
    slots, server = FairSlots(1), Server(sized(LARGE_BODY)[:20_000], is_closing=True)
    async with wire(server, slots) as made:
        async with slots.turn("b"):
            asked = asyncio.create_task(ask(made))
            await asyncio.wait({asked}, timeout=0.1)
        with pytest.raises(WireError, match="closed"):
            await asked


async def test_a_large_answer_that_does_not_end_is_ended_when_others_wait() -> None:
    slots, server = FairSlots(1, seconds=0.1), Server(sized(LARGE_BODY), at_once=20_000)
    async with wire(server, slots) as made:
        asked = asyncio.create_task(ask(made))
        await asyncio.wait({asked}, timeout=0.1)
        async with slots.turn("b"):
            with pytest.raises(WireError, match="a large answer was not finished"):
                await asked
