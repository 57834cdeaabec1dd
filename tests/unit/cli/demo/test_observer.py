"""How the demo waits for what it watches.

Aspects: who waits is told of a change, and can be called off at any moment, also in the very one in which something changes.
"""

import asyncio
import json
import math
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from cvstate_operator.cli.demo.observer import Observer
from cvstate_operator.kube.connection import Connection

HOPS = range(8)
"""Turns of the event loop between a change and the cancellation; a waiting task needs fewer to go on."""


class Server:
    """An API server that knows one watch."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[str] = asyncio.Queue()

    def tell(self, name: str) -> None:
        """Something of this name was made."""
        body = {"kind": "Thing", "metadata": {"name": name, "namespace": "a"}}
        self.events.put_nowait(json.dumps({"type": "ADDED", "object": body}) + "\n")

    async def watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write((await self.events.get()).encode())


async def nobody() -> None:
    """No Authorization header."""


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def eyes(server: Server) -> AsyncIterator[Observer]:
    app = web.Application()
    app.router.add_get("/things", server.watch)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    connection = Connection(f"http://{host}:{port}", aiohttp.TCPConnector(), nobody)
    async with Observer(connection) as observer:
        yield observer
    await connection.close()
    await runner.cleanup()


async def test_who_waits_is_told_when_the_claim_holds(server: Server, eyes: Observer) -> None:
    eyes.mirror(["/things"])
    server.tell("one")
    sight = await eyes.until(lambda: next(iter(eyes.objects), None), seconds=5, check=lambda: None)
    assert sight is not None
    assert sight.value.name == "one"


async def test_claim_that_never_holds_ends_with_none(eyes: Observer) -> None:
    assert await eyes.until(lambda: None, seconds=0.01, check=lambda: None) is None


@pytest.mark.parametrize("hops", HOPS)
async def test_waiting_is_called_off_however_soon_after_a_change(server: Server, eyes: Observer, hops: int) -> None:
    loop = asyncio.get_running_loop()

    def cancel_after(left: int) -> None:
        if left:
            loop.call_soon(cancel_after, left - 1)
        else:
            waiting.cancel()

    def seen(change: str, body: Any) -> None:
        cancel_after(hops)

    waiting: asyncio.Task[Any] = asyncio.create_task(eyes.until(lambda: None, seconds=math.inf, check=lambda: None))
    eyes.follow("/things", seen)
    server.tell("one")
    await asyncio.wait((waiting,), timeout=10)
    assert waiting.cancelled()
