"""Names of hosts that users chose, resolved to addresses that may be asked.

Whoever writes a ClusterState, or a Secret that it names, chooses hosts: of Prometheus, of a remote cluster. A name is resolved and judged each time a connection is opened, and
only addresses that were judged are connected to, so that a name cannot lead elsewhere the second time (DNS rebinding). What may be asked is told in `objects/address.py`.
"""

import ipaddress
import socket
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult

from cvstate_operator.network.lookups import Found, Lookups
from cvstate_operator.objects.address import IPAddress

_THREADS: Final = 8
"""Of a resolver that shares none, whose names nobody but the operator's owner chose: a name whose name server is silent holds up no other work."""

Judge = Callable[[IPAddress, str], None]
"""Raises URLNotAllowedError for an address that a host, in lower case and without a dot at its end, may not lead to."""


class JudgingResolver(AbstractResolver):
    """Resolves by the system, and refuses a host if any of its addresses may not be asked. Nothing is kept; who asks for the same at the same time shares an answer."""

    def __init__(self, judge: Judge, *, lookups: Lookups | None = None, tenant: str | ContextVar[str] = "") -> None:
        """
        Args:
            judge: of each address.
            lookups: shared with others; None: its own, which end with it.
            tenant: who chose the names; empty: all together. A variable, if one connector serves many: it says who did in the context of whoever connects, since aiohttp
                hands on the name alone.
        """
        self._judge = judge
        self._lookups = lookups or Lookups(_THREADS, each=_THREADS)
        self._is_own = lookups is None
        self._tenant = tenant

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        """All addresses of `host`, each once, in the system's order.

        Raises:
            OSError: there are none, or no name server answers.
            URLNotAllowedError: one of them may not be asked.
        """
        return list(dict.fromkeys(found.address for found in await self._ask(host, socket.AF_UNSPEC)))

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        """The same, as aiohttp asks for it."""
        return [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=protocol, flags=socket.AI_NUMERICHOST)
            for address, kind, protocol in await self._ask(host, family)
        ]

    async def close(self) -> None:
        """Give up our own threads; one that waits for a name server ends with its answer."""
        if self._is_own:
            self._lookups.close()

    async def _ask(self, host: str, family: socket.AddressFamily) -> Sequence[Found]:
        tenant = self._tenant if isinstance(self._tenant, str) else self._tenant.get()
        places, name = await self._lookups.find(host, family, tenant=tenant), host.lower().rstrip(".")
        for found in places:
            self._judge(ipaddress.ip_address(found.address), name)
        return places
