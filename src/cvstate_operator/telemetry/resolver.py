"""Names of hosts that users chose, resolved to addresses that may be asked. The client for Prometheus connects to nothing else."""

import asyncio
import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult

from cvstate_operator.objects.address import AddressPolicy, check_address
from cvstate_operator.telemetry.endpoint import check_plain

_THREADS: Final = 8
"""The system's resolver blocks, for many seconds if a name server is silent. Threads of our own, so that such a name holds up no other work."""


class JudgingResolver(AbstractResolver):
    """Resolves by the system, and refuses a host if any of its addresses may not be asked. Nothing is kept: each connection is judged anew."""

    def __init__(self, policy: AddressPolicy, *, is_plain: bool) -> None:
        """
        Args:
            policy: what the operator's owner allows.
            is_plain: for http://, which stays in private networks.
        """
        self._policy = policy
        self._is_plain = is_plain
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="resolver")

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        """All addresses of `host`.

        Raises:
            OSError: there are none, or no name server answers.
            URLNotAllowedError: one of them may not be asked.
        """
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, lambda: socket.getaddrinfo(host, port, family, socket.SOCK_STREAM))
        name = host.lower().rstrip(".")
        addresses = []
        for kind, _, protocol, _, (address, *_) in found:
            plain = str(address).partition("%")[0]
            judged = ipaddress.ip_address(plain)
            check_address(judged, name, self._policy)
            if self._is_plain:
                check_plain(judged, name, self._policy)
            addresses.append(ResolveResult(hostname=host, host=plain, port=port, family=kind, proto=protocol, flags=socket.AI_NUMERICHOST))
        return addresses

    async def close(self) -> None:
        """Give up the threads; one that waits for a name server ends with its answer."""
        self._threads.shutdown(wait=False, cancel_futures=True)
