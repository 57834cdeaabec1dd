"""Servers that answer as no Prometheus should, on the loopback interface."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler, **site: Any) -> AsyncIterator[str]:
    """Its URL; `handler` gets every request, whatever its path."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0)
    await runner.setup()
    try:
        listening = web.TCPSite(runner, "127.0.0.1", 0, **site)
        await listening.start()
        port = runner.addresses[0][1]
        yield f"{'https' if site.get('ssl_context') else 'http'}://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def sending(*pieces: bytes, seconds_between: float = 0.0, close: bool = True) -> AsyncIterator[str]:
    """A server that sends just these bytes to everyone, whatever was asked, and then closes the connection or waits."""
    ended = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read(1)
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                if seconds_between:
                    await asyncio.sleep(seconds_between)
            if not close:
                await ended.wait()
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        ended.set()
        server.close()
        await server.wait_closed()


def vector(*values: float | str, at: float = 1_700_000_000.0, **extra: Any) -> dict[str, Any]:
    """An answer with so many series."""
    result = [{"metric": {"__name__": "x", "n": str(number)}, "value": [at, str(value)]} for number, value in enumerate(values)]
    return {"status": "success", "data": {"resultType": "vector", "result": result}, **extra}


def newest(*times: float | str, at: float = 1_700_000_000.0) -> dict[str, Any]:
    """An answer that tells when the newest sample of each selector was taken."""
    result = [{"metric": {"cvstate_selector": str(number)}, "value": [at, str(time)]} for number, time in enumerate(times)]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


def scripted(value: dict[str, Any], ages: dict[str, Any], seen: list[str] | None = None) -> Handler:
    """Answers the question for a value and that for its age."""

    async def answer(request: web.Request) -> web.Response:
        query = str((await request.post())["query"])
        if seen is not None:
            seen.append(query)
        return web.json_response(ages if "cvstate_selector" in query else value)

    return answer


def constant(status: int, body: str | bytes, headers: Iterable[tuple[str, str]] = ()) -> Handler:
    """Answers everything so."""

    async def answer(request: web.Request) -> web.Response:
        content = body if isinstance(body, bytes) else body.encode()
        return web.Response(status=status, body=content, headers=dict(headers))

    return answer
