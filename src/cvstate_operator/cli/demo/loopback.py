"""A server on the loopback interface with an event loop in a thread of its own, for as long as a `with` block lasts."""

import asyncio
import threading
from abc import ABC, abstractmethod
from typing import Final, Self

HOST: Final = "127.0.0.1"


class LoopbackServer(ABC):
    """See the module."""

    def __init__(self, *, name: str, port: int = 0) -> None:
        """
        Args:
            name: of the thread.
            port: to listen on; 0 takes a free one, which `port` tells once it runs.
        """
        self._loop = asyncio.new_event_loop()
        self._stopped = asyncio.Event()
        self._bound = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.port = port

    def __enter__(self) -> Self:
        self._thread.start()
        self._bound.wait()
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()

    @abstractmethod
    async def _serve(self) -> None:
        """Listen, set `port` and `_bound`, and serve until `_stopped` is set."""

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._serve())
        finally:
            self._bound.set()
