"""Remote clusters: the way to the API server that a tenant's kubeconfig names. Where that may lead is judged each time a connection is opened (`network/resolver.py`)."""

from functools import partial
from typing import Final

import aiohttp

from cvstate_operator import errors
from cvstate_operator.isolation.fair import FairSlots
from cvstate_operator.kube import kubeconfig
from cvstate_operator.kube.connection import KEEPALIVE_SECONDS, USER_AGENT, Bound, Connection
from cvstate_operator.kube.kubeconfig import RemoteCluster
from cvstate_operator.network.lookups import Lookups
from cvstate_operator.network.resolver import Judge, JudgingResolver
from cvstate_operator.objects.address import AddressPolicy, IPAddress, check_address

MAX_ANSWER_BYTES: Final = 32 * 2**20
"""Longest answer of a remote cluster: a page of 500 objects of 60 KB has 30 MB. A tenant chose the server, and the memory is everybody's."""
SMALL_ANSWER_BYTES: Final = 2**20
"""Answers up to here are taken at once, as many as come: few are longer."""
LARGE_SECONDS: Final = 5.0
"""How long a large answer may take to come while others wait: at 7 MB a second it does."""
_LARGE: Final = FairSlots(2, seconds=LARGE_SECONDS)
"""Of all remote clusters: so many large answers are taken at a time, namespaces by turns. Each takes its length twice while it is put together."""
_LOOKUPS: Final = Lookups(32, each=4)
"""Of all remote clusters: of a thousand, few are looked up at a time. Eight tenants whose name servers are silent take all threads, and others are told so after seconds."""


def connect(cluster: RemoteCluster, policy: AddressPolicy, *, tenant: str = "", user_agent: str = USER_AGENT) -> Connection:
    """The way to a remote cluster; nothing is sent yet.

    Args:
        cluster: where it is, and who we are there.
        policy: which addresses may be connected to.
        tenant: who shares the turns at name servers, such as a namespace.
        user_agent: as for our own API server.

    Raises:
        KubeConfigInvalidError: its certificates or its key cannot be used.
    """
    tls = kubeconfig.tls(cluster)

    async def authorize() -> str | None:
        return cluster.authorization

    resolver = JudgingResolver(judging(policy), lookups=_LOOKUPS, tenant=tenant)
    connector = aiohttp.TCPConnector(limit=0, ssl=tls, keepalive_timeout=KEEPALIVE_SECONDS, resolver=resolver, use_dns_cache=False)
    return Connection(
        cluster.server,
        connector,
        authorize,
        tls=tls,
        user_agent=user_agent,
        resolve=resolver.addresses,
        bound=Bound(MAX_ANSWER_BYTES, SMALL_ANSWER_BYTES, partial(_LARGE.turn, tenant)),
    )


def judging(policy: AddressPolicy) -> Judge:
    """What says which addresses the server of a kubeconfig may have."""

    def judge(address: IPAddress, host: str) -> None:
        try:
            check_address(address, host, policy)
        except errors.URLNotAllowedError as exc:
            # No option allows a single host here: only the operator's owner may reach what only the operator reaches.
            raise errors.URLNotAllowedError(f"{exc.message.partition(';')[0]}; correct the server of the kubeconfig") from None

    return judge
