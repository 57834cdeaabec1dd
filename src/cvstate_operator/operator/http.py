"""HTTP: /metrics for Prometheus, /healthz and /readyz for the kubelet; by TLS if there is a certificate (`serving_tls.py`).

Neither probe asks the API server: a Pod that is not ready loses its endpoints, and metrics are wanted most while something else is away (docs/failures.md).
"""

import asyncio
import errno
from collections.abc import Callable
from pathlib import Path
from typing import Final

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from cvstate_operator import errors
from cvstate_operator.kube.connection import in_cluster
from cvstate_operator.operator.serving_tls import ServingTls
from cvstate_operator.telemetry.exposition import Exposition
from cvstate_operator.telemetry.metrics import Metrics

PORT: Final = 8080

Check = Callable[[], str]
"""Says what is wrong; empty if nothing is."""


class HttpServer:
    """Serves until closed."""

    def __init__(self, metrics: Metrics, *, alive: Check, ready: Check) -> None:
        self._exposition = Exposition(metrics.expose)
        app = web.Application()
        app.router.add_get("/metrics", self._expose)
        app.router.add_get("/healthz", _probe(alive))
        app.router.add_get("/readyz", _probe(ready))
        self._runner = web.AppRunner(app, access_log=None)
        self._renewal: asyncio.Task[None] | None = None

    async def start(self, listen: str | None, tls_directory: Path | None = None) -> str:
        """Bind and serve; returns the address as a URL.

        Args:
            listen: HOST:PORT; None for the default.
            tls_directory: of certificate and key; None: plain HTTP.

        Raises:
            SettingsError: the address is taken or is no address, or the certificate cannot be used.
        """
        host, port = _address(listen)
        tls = None
        if tls_directory:
            serving = ServingTls(tls_directory)
            tls = serving.context
            self._renewal = asyncio.create_task(serving.run(), name="certificate of the HTTP server")
        await self._runner.setup()
        try:
            site = web.TCPSite(self._runner, host, port, ssl_context=tls)
            await site.start()
        except OSError as exc:
            if listen or in_cluster() or exc.errno != errno.EADDRINUSE:
                raise errors.SettingsError(f"cannot listen on {host}:{port}: {exc.strerror}; choose another address with --listen") from exc
            await web.TCPSite(self._runner, host, 0, ssl_context=tls).start()
        host, port = self._runner.addresses[0][:2]
        return f"{'https' if tls else 'http'}://{host}:{port}"

    async def close(self) -> None:
        """Stop serving."""
        if self._renewal:
            self._renewal.cancel()
            await asyncio.gather(self._renewal, return_exceptions=True)
        await self._runner.cleanup()

    async def _expose(self, request: web.Request) -> web.Response:
        return web.Response(body=await self._exposition.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _address(listen: str | None) -> tuple[str, int]:
    if listen is None:
        return ("0.0.0.0", PORT) if in_cluster() else ("127.0.0.1", PORT)  # noqa: S104 - a Pod is reached by its own address
    host, _, port = listen.rpartition(":")
    if not port.isdecimal() or not 0 <= int(port) <= 65535:
        raise errors.SettingsError(f"{listen!r} is no address; write HOST:PORT, for example 127.0.0.1:8080")
    return host.strip("[]") or "127.0.0.1", int(port)


def _probe(check: Check) -> Callable[[web.Request], "asyncio.Future[web.Response]"]:
    async def answer(request: web.Request) -> web.Response:
        fault = check()
        return web.Response(status=503 if fault else 200, text=(fault or "ok") + "\n")

    return answer  # type: ignore[return-value]
