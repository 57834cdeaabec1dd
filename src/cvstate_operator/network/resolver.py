"""Names of hosts that users chose, resolved to addresses that may be asked.

Whoever writes a ClusterState, or a Secret that it names, chooses hosts: of Prometheus, of a remote cluster. A name is resolved and judged each time a connection is opened, and
only addresses that were judged are connected to, so that a name cannot lead elsewhere the second time (DNS rebinding). What may be asked is told in `objects/address.py`.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Final, NamedTuple

from aiohttp.abc import AbstractResolver, ResolveResult

from cvstate_operator.objects.address import IPAddress

_THREADS: Final = 8
"""The system's resolver blocks, for many seconds if a name server is silent. Threads of our own, so that such a name holds up no other work."""

Judge = Callable[[IPAddress, str], None]
"""Raises URLNotAllowedError for an address that a host, in lower case and without a dot at its end, may not lead to."""


class _Found(NamedTuple):
    """One address of a host."""

    address: str
    family: socket.AddressFamily
    protocol: int


class JudgingResolver(AbstractResolver):
    """Resolves by the system, and refuses a host if any of its addresses may not be asked. Nothing is kept; who asks for the same at the same time shares an answer."""

    def __init__(self, judge: Judge, *, threads: Executor | None = None) -> None:
        """
        Args:
            judge: of each address.
            threads: shared with others; None: some of its own, which end with it.
        """
        self._judge = judge
        self._own = ThreadPoolExecutor(_THREADS, thread_name_prefix="resolver") if threads is None else None
        self._threads = threads or self._own
        self._asking: dict[tuple[str, int, int], asyncio.Task[Sequence[_Found]]] = {}

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        """All addresses of `host`, each once, in the system's order.

        Raises:
            OSError: there are none, or no name server answers.
            URLNotAllowedError: one of them may not be asked.
        """
        return list(dict.fromkeys(found.address for found in await self._ask(host, port, socket.AF_UNSPEC)))

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        """The same, as aiohttp asks for it."""
        return [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=protocol, flags=socket.AI_NUMERICHOST)
            for address, kind, protocol in await self._ask(host, port, family)
        ]

    async def close(self) -> None:
        """Give up our own threads; one that waits for a name server ends with its answer."""
        if self._own:
            self._own.shutdown(wait=False, cancel_futures=True)

    async def _ask(self, host: str, port: int, family: socket.AddressFamily) -> Sequence[_Found]:
        asked = (host, port, int(family))
        if (task := self._asking.get(asked)) is None:
            # However many connections a silent name server holds up, it holds up one thread.
            task = self._asking[asked] = asyncio.create_task(self._look_up(host, port, family), name=f"resolve {host}")
            task.add_done_callback(lambda done: self._forget(asked, done))
        return await asyncio.shield(task)

    def _forget(self, asked: tuple[str, int, int], task: asyncio.Task[Sequence[_Found]]) -> None:
        del self._asking[asked]
        if not task.cancelled():
            task.exception()  # seen, also if whoever asked has given up meanwhile

    async def _look_up(self, host: str, port: int, family: socket.AddressFamily) -> Sequence[_Found]:
        loop, name = asyncio.get_running_loop(), host.lower().rstrip(".")
        places = await loop.run_in_executor(self._threads, lambda: socket.getaddrinfo(host, port, family, socket.SOCK_STREAM))
        found = []
        for kind, _, protocol, _, (address, *_) in places:
            plain = str(address).partition("%")[0]
            self._judge(ipaddress.ip_address(plain), name)
            found.append(_Found(plain, kind, protocol))
        return found
