"""A server that a tenant calls a cluster: it proves who it is, and answers so that whoever reads it runs out of memory, or stumbles."""

import asyncio
import contextlib
import ssl
import zlib
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Final

from aiohttp import web

from cvstate_operator.cli.demo.loopback import HOST, LoopbackServer

MOST_BYTES: Final = 3 * 2**29
"""What is sent, or unpacked, at most: enough to be seen, and not enough to bring the machine down that tests it."""
_PIECE: Final = b" " * 2**20
_VERBS: Final = ["list", "watch", "patch", "delete"]
_SLOW_PIECES: Final = 300
"""For half a minute: twice as long as the operator waits for an answer."""

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def endless(request: web.Request) -> web.StreamResponse:
    """A body that does not end."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):  # whoever reads it had enough
        for _ in range(MOST_BYTES // len(_PIECE)):
            await response.write(_PIECE)
    return response


async def bomb(request: web.Request) -> web.StreamResponse:
    """A small body that unpacks to a large one."""
    return web.Response(body=_packed(), headers={"Content-Type": "application/json", "Content-Encoding": "gzip"})


async def announced(request: web.Request) -> web.StreamResponse:
    """A body whose length is announced as more than anybody has, and that comes slowly."""
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(2**50)})
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        for _ in range(_SLOW_PIECES):
            await response.write(b" ")
            await asyncio.sleep(0.1)
    return response


async def garbage(request: web.Request) -> web.StreamResponse:
    """JSON, and nothing that an API server says."""
    return web.Response(body=b'[{"items": 5, "metadata": [null]}]', headers={"Content-Type": "application/json"})


async def generous(request: web.Request) -> web.StreamResponse:
    """As an API server answers, but lists of ten times what was asked for, again and again, of objects that nobody asked for."""
    if request.path in ("/api", "/apis"):
        kind = {"resource": "configmaps", "responseKind": {"kind": "ConfigMap"}, "scope": "Namespaced", "verbs": _VERBS}
        group = {"metadata": {"name": ""}, "versions": [{"version": "v1", "resources": [kind]}]}
        return web.json_response({"items": [group] if request.path == "/api" else []})
    if request.path == "/version":
        return web.json_response({"gitVersion": "v1.36.0"})
    asked = int(request.query.get("limit", "1"))
    items = [{"metadata": {"name": f"a{number}", "uid": "u", "resourceVersion": "1"}} for number in range(10 * asked)]
    return web.json_response({"metadata": {"resourceVersion": "1", "continue": "more"}, "items": items})


@lru_cache(maxsize=1)
def _packed() -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return b"".join([*(packer.compress(_PIECE) for _ in range(MOST_BYTES // len(_PIECE))), packer.flush()])


class HostileCluster(LoopbackServer):
    """Answers every request in the same way, at https://127.0.0.1:PORT."""

    def __init__(self, answer: Answer, tls: ssl.SSLContext) -> None:
        """
        Args:
            answer: to every request.
            tls: which certificate is shown.
        """
        super().__init__(name="hostile cluster")
        self._answer = answer
        self._tls = tls
        self.asked = 0
        """Requests so far."""
        self._lines: set[asyncio.Transport] = set()

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self.port}"

    async def _serve(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._receive)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, HOST, self.port, ssl_context=self._tls)
            await site.start()
            self.port = runner.addresses[0][1]
            self._bound.set()
            await self._stopped.wait()
            await site.stop()
            for _ in range(3):  # also those that were being made when it stopped
                for line in [*self._lines, *(one.transport for one in runner.server.connections if one.transport)] if runner.server else ():
                    line.abort()  # to close one takes as long as the other end likes
                await asyncio.sleep(0.3)
        finally:
            await runner.cleanup()
            await asyncio.sleep(0.1)

    async def _receive(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        if request.transport:
            self._lines.add(request.transport)
        return await self._answer(request)
