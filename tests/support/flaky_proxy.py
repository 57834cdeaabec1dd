"""A TCP proxy before the API server that cuts connections when told: what a load balancer, a restart or a network does."""

import asyncio
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml


class FlakyProxy:
    """Runs in a thread of its own; `with FlakyProxy(kubeconfig, folder) as proxy:` and use `proxy.kubeconfig`."""

    def __init__(self, kubeconfig: Path, folder: Path) -> None:
        self._config: dict[str, Any] = yaml.safe_load(kubeconfig.read_text())
        target = urlsplit(self._config["clusters"][0]["cluster"]["server"])
        self._target = (target.hostname or "127.0.0.1", target.port or 443)
        self.kubeconfig = folder / "through-the-proxy.kubeconfig"
        """As the one given, but by way of the proxy."""
        self._writers: set[asyncio.StreamWriter] = set()
        self._started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="flaky proxy")

    def __enter__(self) -> "FlakyProxy":
        self._thread.start()
        self._loop, self._end = self._started.result(10)
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)

    def cut(self) -> int:
        """Reset every connection; returns how many there were. New ones are served at once."""
        return asyncio.run_coroutine_threadsafe(self._cut(), self._loop).result(10)

    async def _run(self) -> None:
        end = asyncio.Event()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self.kubeconfig.write_text(yaml.safe_dump(self._config))
        self._started.set_result((asyncio.get_running_loop(), end))
        await end.wait()
        server.close()
        for _ in range(2):  # one that was being made at first is cut the second time
            await self._cut()
            await asyncio.sleep(0.2)  # until the transports have closed their sockets

    async def _cut(self) -> int:
        cut = len(self._writers)
        for writer in list(self._writers):
            writer.transport.abort()
        return cut // 2

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(*self._target)
        pair = {writer, back}
        self._writers |= pair
        await asyncio.gather(_pump(reader, back), _pump(there, writer))
        self._writers -= pair


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
