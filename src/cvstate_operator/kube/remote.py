"""Remote clusters: the way to the API server that a tenant's kubeconfig names.

Who writes a ClusterState chooses the host, so its addresses are judged each time a connection is opened, and only those that were judged are connected to: a name cannot
lead elsewhere the second time.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from cvstate_operator import errors
from cvstate_operator.kube import kubeconfig
from cvstate_operator.kube.connection import KEEPALIVE_SECONDS, USER_AGENT, Connection, Resolve
from cvstate_operator.kube.kubeconfig import RemoteCluster
from cvstate_operator.objects.address import AddressPolicy, check_address

MAX_ANSWER_BYTES: Final = 32 * 2**20
"""Longest answer of a remote cluster: a page of 500 objects of 60 KB has 30 MB. A tenant chose the server, and the memory is everybody's."""


def connect(cluster: RemoteCluster, policy: AddressPolicy, *, user_agent: str = USER_AGENT) -> Connection:
    """The way to a remote cluster; nothing is sent yet.

    Args:
        cluster: where it is, and who we are there.
        policy: which addresses may be connected to.
        user_agent: as for our own API server.

    Raises:
        KubeConfigInvalidError: its certificates or its key cannot be used.
    """
    tls = kubeconfig.tls(cluster)

    async def authorize() -> str | None:
        return cluster.authorization

    async def resolve(host: str, port: int) -> Sequence[str]:
        return await addresses(host, port, policy=policy)

    connector = aiohttp.TCPConnector(
        limit=0, ssl=tls, keepalive_timeout=KEEPALIVE_SECONDS, resolver=_Resolver(resolve), use_dns_cache=False
    )
    return Connection(
        cluster.server,
        connector,
        authorize,
        tls=tls,
        user_agent=user_agent,
        resolve=resolve,
        max_answer_bytes=MAX_ANSWER_BYTES,
    )


async def addresses(host: str, port: int, *, policy: AddressPolicy) -> Sequence[str]:
    """Where a host may be connected to.

    Raises:
        OSError: it has no address, or no name server answers.
        URLNotAllowedError: one of its addresses may not be asked.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    plain = [str(place[0]).partition("%")[0] for *_, place in found]
    for address in plain:
        try:
            check_address(ipaddress.ip_address(address), host.lower().rstrip("."), policy)
        except errors.URLNotAllowedError as exc:
            # No option allows a single host here: only the operator's owner may reach what only the operator reaches.
            raise errors.URLNotAllowedError(f"{exc.message.partition(';')[0]}; correct the server of the kubeconfig") from None
    return list(dict.fromkeys(plain))


class _Resolver(AbstractResolver):
    """The same for aiohttp, which carries the watches."""

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        """See AbstractResolver."""
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in await self._resolve(host, port)
        ]

    async def close(self) -> None:
        """Nothing is kept."""
