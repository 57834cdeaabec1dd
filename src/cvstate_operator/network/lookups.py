"""Lookups: names that the system is asked for, in threads of our own.

The system's resolver blocks, for half a minute if a name server is silent, and whoever chooses a name chooses its name server. So a name that many ask for holds up one thread,
and one tenant holds up a few. Whoever waits too long for a thread is told so, and does not wait for as long as others like. No answer is kept.
"""

import asyncio
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import Final, NamedTuple
from weakref import WeakValueDictionary

from cvstate_operator.objects.address import as_address

WAIT_SECONDS: Final = 5.0
"""How long a lookup may wait for its turn. A name server that answers does so in milliseconds, so that hundreds have their turn in that time."""


class Found(NamedTuple):
    """One address of a host."""

    address: str
    family: socket.AddressFamily
    protocol: int


class Lookups:
    """See the module."""

    def __init__(self, threads: int, *, each: int) -> None:
        """
        Args:
            threads: so many lookups at a time; a thread is begun when it is needed.
            each: so many of one tenant.
        """
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="resolver")
        self._free = asyncio.Semaphore(threads)
        self._each = each
        self._tenants: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        """Turns of those who have one, or wait for one."""
        self._asking: dict[tuple[str, int], asyncio.Task[Sequence[Found]]] = {}
        """Lookups that have their thread. What waits for one is its tenant's alone: nobody else is to wait with it."""

    async def find(self, host: str, family: socket.AddressFamily, *, tenant: str = "") -> Sequence[Found]:
        """All addresses of `host`, in the system's order; an address is its own, and nobody is asked.

        Raises:
            OSError: there are none, no name server answers, or other lookups held up this one for WAIT_SECONDS.
        """
        if found := _literal(host, family):
            return (found,)
        asked = (host.lower(), int(family))
        task = self._asking.get(asked)
        if task is None:
            turn = await self._turn(tenant)
            task = self._asking.get(asked)
            if task is None:
                task = self._asking[asked] = asyncio.create_task(self._look_up(host, family, turn), name=f"resolve {host}")
                task.add_done_callback(lambda done: self._forget(asked, done))
            else:
                await turn.aclose()
        return await asyncio.shield(task)

    def close(self) -> None:
        """Give up the threads; one that waits for a name server ends with its answer."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _turn(self, tenant: str) -> AsyncExitStack:
        own = self._tenants.get(tenant)
        if own is None:
            own = self._tenants[tenant] = asyncio.Semaphore(self._each)
        whose = "the same tenant"
        try:
            async with asyncio.timeout(WAIT_SECONDS), AsyncExitStack() as turn:
                await turn.enter_async_context(own)
                whose = "other tenants"
                await turn.enter_async_context(self._free)
                return turn.pop_all()
        except TimeoutError:
            why = f"too many names of {whose} are being looked up, and their name servers do not answer"
            raise socket.gaierror(socket.EAI_AGAIN, why) from None

    async def _look_up(self, host: str, family: socket.AddressFamily, turn: AsyncExitStack) -> Sequence[Found]:
        """Held by a turn until the thread is free again, whoever has given up meanwhile."""
        try:
            async with turn:
                places = await asyncio.get_running_loop().run_in_executor(
                    self._threads, lambda: socket.getaddrinfo(host, None, family, socket.SOCK_STREAM)
                )
        except UnicodeError as exc:  # a label of more than 63 characters
            raise socket.gaierror(socket.EAI_NONAME, "no host can have that name") from exc
        return [Found(str(address).partition("%")[0], kind, protocol) for kind, _, protocol, _, (address, *_) in places]

    def _forget(self, asked: tuple[str, int], task: asyncio.Task[Sequence[Found]]) -> None:
        del self._asking[asked]
        if not task.cancelled():
            task.exception()  # seen, also if whoever asked has given up meanwhile


def _literal(host: str, family: socket.AddressFamily) -> Found | None:
    """The address that `host` is; None if it is a name."""
    if (address := as_address(host)) is None:
        return None
    own = socket.AF_INET if address.version == 4 else socket.AF_INET6
    if family not in (socket.AF_UNSPEC, own):
        raise socket.gaierror(socket.EAI_ADDRFAMILY, f"{host} is an address of another family")
    return Found(host.partition("%")[0], own, socket.IPPROTO_TCP)
