"""A push that is passed on to other replicas.

Aspects: it comes as it came, marked, and to everybody · whoever does not answer holds up nobody · there is a limit.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from cvstate_operator.operator import forwarder
from cvstate_operator.operator.forwarder import MARK, Forwarder

HEADERS = {"x-hub-signature-256": "sha256=abc", "x-github-event": "push"}


class Peer:
    """Another replica's webhook."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.status = 202
        self.is_silent = False
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        if self.is_silent:
            await asyncio.sleep(60)
        self.got.append((request.path, dict(request.headers), await request.read()))
        return web.Response(status=self.status)


@pytest.fixture
async def peers() -> AsyncIterator[list[Peer]]:
    made, runners = [Peer(), Peer()], []
    for peer in made:
        app = web.Application()
        app.router.add_post("/hook", peer.take)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        peer.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        runners.append(runner)
    yield made
    for runner in runners:
        await runner.cleanup()


async def counted(counts: list[str], number: int) -> list[str]:
    async with asyncio.timeout(5):
        while len(counts) < number:
            await asyncio.sleep(0.005)
    return counts


async def test_every_replica_gets_it_as_it_came_and_marked(peers: list[Peer]) -> None:
    counts: list[str] = []
    made = Forwarder(lambda: tuple(peer.url for peer in peers), path="/hook", count=counts.append)
    made.forward(HEADERS, b'{"ref": "main"}')
    assert await counted(counts, 2) == ["ok", "ok"]
    for peer in peers:
        ((path, headers, body),) = peer.got
        assert (path, body) == ("/hook", b'{"ref": "main"}')
        assert {name: headers[name] for name in (*HEADERS, MARK)} == {**HEADERS, MARK: "1"}
    await made.close()


async def test_one_that_is_silent_holds_up_nobody(peers: list[Peer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarder, "FORWARD_SECONDS", 0.1)
    peers[0].is_silent, counts = True, list[str]()
    made = Forwarder(lambda: tuple(peer.url for peer in peers), path="/hook", count=counts.append)
    made.forward(HEADERS, b"{}")
    assert sorted(await counted(counts, 2)) == ["failed", "ok"]
    assert len(peers[1].got) == 1
    await made.close()


async def test_a_refusal_and_a_dead_peer_have_failed(peers: list[Peer]) -> None:
    peers[0].status, counts = 401, list[str]()
    made = Forwarder(lambda: (peers[0].url, "http://127.0.0.1:1"), path="/hook", count=counts.append)
    made.forward(HEADERS, b"{}")
    assert sorted(await counted(counts, 2)) == ["failed", "failed"]
    await made.close()


async def test_there_is_a_limit_to_what_is_on_its_way(peers: list[Peer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarder, "PENDING", 1)
    peers[0].is_silent, counts = True, list[str]()
    made = Forwarder(lambda: (peers[0].url,), path="/hook", count=counts.append)
    made.forward(HEADERS, b"{}")
    made.forward(HEADERS, b"{}")
    assert counts == ["dropped"]
    await made.close()


async def test_alone_there_is_nobody_to_tell() -> None:
    counts: list[str] = []
    made = Forwarder(tuple, path="/hook", count=counts.append)
    made.forward(HEADERS, b"{}")
    assert counts == []
    await made.close()
