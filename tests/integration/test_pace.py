"""How our client tells the pace what it met, on a server that answers as it is told.

Aspects: writes that succeed · overload and Retry-After · reads · requests that were given up.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web

from cvstate_operator import errors
from cvstate_operator.kube.client import Client
from cvstate_operator.kube.connection import Connection
from cvstate_operator.kube.pace import Pace

pytestmark = pytest.mark.integration

PATH = "/api/v1/namespaces/x/configmaps/x"
BODY = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}


class Server:
    """Gives one answer to everything; 0 for none until it is closed."""

    def __init__(self) -> None:
        self.code = 200
        self.closed = asyncio.Event()
        self.headers: dict[str, str] = {}

    async def answer(self, _: web.Request) -> web.Response:
        if not self.code:
            await self.closed.wait()
            return web.Response()
        status = {"kind": "Status", "code": self.code, "message": "as told", "details": {"name": "x"}}
        return web.Response(status=self.code, headers=self.headers, text=json.dumps(BODY if self.code < 400 else status))


async def unauthorized() -> None:
    """Nobody is asked who we are."""


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def pace() -> Pace:
    return Pace(initial=4, limit=8, clock=time.monotonic, random=lambda: 0.0)


@pytest.fixture
async def client(server: Server, pace: Pace) -> AsyncIterator[Client]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0]
    connection = Connection(f"http://{host}:{port}", aiohttp.TCPConnector(), unauthorized)
    found = Client(connection, observe=lambda **_: None, pace=pace)
    yield found
    await found.close()
    await connection.close()
    server.closed.set()
    await runner.cleanup()


WRITES: list[Callable[[Client], Awaitable[object]]] = [
    lambda client: client.apply(PATH, BODY, manager="m", force=True),
    lambda client: client.apply(PATH, BODY, manager="m", force=True, dry_run=True),
    lambda client: client.create(PATH, BODY),
    lambda client: client.patch(PATH, [], manager="m"),
    lambda client: client.delete(PATH, uid="u", resource_version="1"),
]
KINDS = ["apply", "preview", "create", "patch", "delete"]


@pytest.mark.parametrize("write", WRITES, ids=KINDS)
async def test_a_refused_write_narrows_the_width_and_pauses_all(
    server: Server, client: Client, pace: Pace, write: Callable[[Client], Awaitable[object]]
) -> None:
    server.code, server.headers = 429, {"Retry-After": "7"}
    before = time.monotonic()
    with pytest.raises(errors.ThrottledError):
        await write(client)
    assert pace.width == 2
    assert before + 7 <= pace.paused_until <= time.monotonic() + 7


@pytest.mark.parametrize("code", [500, 503, 504])
async def test_a_server_that_fails_narrows_the_width(server: Server, client: Client, pace: Pace, code: int) -> None:
    server.code = code
    with pytest.raises(errors.TransientError):
        await WRITES[0](client)
    assert pace.width == 2


async def test_writes_that_succeed_at_full_width_make_room_for_more(client: Client, pace: Pace) -> None:
    async def write() -> None:
        async with pace:
            await WRITES[0](client)

    await asyncio.gather(*(write() for _ in range(60)))
    assert pace.width > 4


async def test_a_read_says_nothing(server: Server, client: Client, pace: Pace) -> None:
    server.code = 503
    with pytest.raises(errors.ServerError):
        await client.get(PATH)
    assert pace.width == 4


async def test_a_write_that_was_given_up_says_nothing_and_gives_its_turn_back(server: Server, client: Client, pace: Pace) -> None:
    server.code = 0

    async def write() -> None:
        async with pace:
            await WRITES[0](client)

    task = asyncio.create_task(write())
    await asyncio.sleep(0.05)
    assert pace.busy == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (pace.width, pace.busy) == (4, 0)
