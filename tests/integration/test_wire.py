"""Requests over connections that are kept, to a server that does as it is told.

Aspects: one connection serves one request after another · each of several at a time has its own · a connection that was closed meanwhile · a request that is
given up · a server that closes after each answer · a redirect, silence, and what is no HTTP.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest

from cvstate_operator import errors
from cvstate_operator.kube import client as clients
from cvstate_operator.kube import wire
from cvstate_operator.kube.client import Client
from cvstate_operator.kube.connection import Connection

pytestmark = pytest.mark.integration

PATH = "/api/v1/namespaces/x/configmaps/x"


class Server:
    """Answers with what it was asked; counts connections and requests."""

    def __init__(self) -> None:
        self.connections = 0
        self.requests: list[str] = []
        self.answer: Callable[[asyncio.StreamWriter], Awaitable[None]] = self.echo
        self.writers: list[asyncio.StreamWriter] = []
        self.extra = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                length = next((int(line.split(":")[1]) for line in head.splitlines() if line.lower().startswith("content-length")), 0)
                await reader.readexactly(length)
                self.requests.append(head.splitlines()[0])
                await self.answer(writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def echo(self, writer: asyncio.StreamWriter) -> None:
        body = json.dumps({"asked": self.requests[-1]}).encode()
        await asyncio.sleep(0.01)
        writer.write(b"HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n" % (self.extra.encode(), len(body)) + body)

    async def say(self, writer: asyncio.StreamWriter, what: bytes) -> None:
        writer.write(what)

    async def silence(self, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(3600)

    async def hang_up(self) -> None:
        for writer in self.writers:
            writer.close()
        await asyncio.sleep(0.05)


async def nobody() -> str | None:
    return None


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    yield server
    listener.close()
    await server.hang_up()


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    connector = aiohttp.TCPConnector()
    client = Client(Connection(f"http://127.0.0.1:{server.port}/behind", connector, nobody), observe=lambda **_: None)  # type: ignore[attr-defined]
    yield client
    await client.close()
    await connector.close()


async def test_one_connection_serves_one_request_after_another(server: Server, client: Client) -> None:
    for number in range(5):
        assert await client.get(f"{PATH}{number}") == {"asked": f"GET /behind{PATH}{number} HTTP/1.1"}
    assert server.connections == 1


async def test_each_of_several_at_a_time_gets_its_own_answer(server: Server, client: Client) -> None:
    async def ask(number: int) -> None:
        for _ in range(3):
            await client.get(f"{PATH}{number}")

    await asyncio.gather(*(ask(number) for number in range(8)))
    assert server.connections == 8
    assert len(server.requests) == 24


async def test_a_connection_that_was_closed_meanwhile_is_not_used(server: Server, client: Client) -> None:
    await client.get(PATH)
    await server.hang_up()
    await client.apply(PATH, {}, manager="x", force=False)
    assert server.connections == 2


async def test_connections_that_nobody_needs_any_more_are_closed(server: Server, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "KEEPALIVE_SECONDS", 0.05)
    await asyncio.gather(*(client.get(PATH) for _ in range(4)))
    await asyncio.sleep(0.1)
    await client.get(PATH)
    assert server.connections == 5
    await asyncio.sleep(0.05)
    assert sum(not writer.is_closing() for writer in server.writers) == 1


async def test_only_what_may_come_twice_is_sent_again(server: Server, client: Client) -> None:
    async def close_the_first(writer: asyncio.StreamWriter) -> None:
        server.answer = server.echo
        writer.close()

    await client.get(PATH)
    server.answer = close_the_first
    assert await client.get(PATH)
    assert len(server.requests) == 3, "the second one came twice"
    server.answer = close_the_first
    with pytest.raises(errors.NetworkError):
        await client.apply(PATH, {}, manager="x", force=False)
    assert len(server.requests) == 4


async def test_a_token_that_no_header_can_hold_is_told(server: Server) -> None:
    async def token() -> str:
        return "Bearer \u20ac"

    connector = aiohttp.TCPConnector()
    client = Client(Connection(f"http://127.0.0.1:{server.port}", connector, token), observe=lambda **_: None)  # type: ignore[attr-defined]
    with pytest.raises(errors.NetworkError, match="header"):
        await client.get(PATH)
    await client.close()
    await connector.close()


async def test_the_answer_to_a_request_that_was_given_up_is_nobody_elses(server: Server, client: Client) -> None:
    server.answer = server.silence
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await client.get(f"{PATH}1")
    server.answer = server.echo
    assert await client.get(f"{PATH}2") == {"asked": f"GET /behind{PATH}2 HTTP/1.1"}
    assert server.connections == 2


async def test_a_server_may_close_after_each_answer(server: Server, client: Client) -> None:
    server.extra = "Connection: close\r\n"
    for _ in range(3):
        await client.apply(PATH, {}, manager="x", force=False)
    assert server.connections == 3


async def test_silence_ends_at_the_deadline(server: Server, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "REQUEST_SECONDS", 0.1)
    server.answer = server.silence
    with pytest.raises(errors.ServerTimeoutError):
        await client.get(PATH)


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n",
        b"go away\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    ],
    ids=["redirect", "no-http", "no-json"],
)
async def test_what_no_api_server_says_is_a_fault_of_the_network(server: Server, client: Client, said: bytes) -> None:
    server.answer = lambda writer: server.say(writer, said)
    with pytest.raises(errors.NetworkError):
        await client.get(PATH)


async def test_nobody_listens(server: Server) -> None:
    connector = aiohttp.TCPConnector()
    client = Client(Connection("http://127.0.0.1:1", connector, nobody), observe=lambda **_: None)
    with pytest.raises(errors.NetworkError):
        await client.get(PATH)
    await client.close()
    await connector.close()
