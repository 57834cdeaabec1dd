"""Turns of questions to Prometheus: how many are asked at a time of one server, by one namespace, and in all.

Whoever writes a ClusterState chooses the server, and how long its answer may take: up to ten minutes, of a server that says nothing, or of a name server that does.
So turns of a namespace are bounded, free ones go to the namespaces by turns, and while others wait none is kept for long.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from weakref import WeakValueDictionary

from cvstate_operator.isolation.fair import FairSlots

IN_FLIGHT: Final = 32
"""Questions that are asked at a time, in all."""
IN_FLIGHT_PER_NAMESPACE: Final = 16
"""Of one namespace: two servers of it may hang, and hold up its own questions only."""
IN_FLIGHT_PER_SERVER: Final = 8
"""Prometheus itself runs 20 queries at a time by default (--query.max-concurrency); people and rules want theirs too."""
HELD_SECONDS: Final = 10.0
"""How long a question may keep a turn while all turns are taken and others wait: the usual timeout of signals, and that of SLOs."""


class Turns:
    """Of all questions. Not for use from several threads."""

    def __init__(self) -> None:
        self._all = FairSlots(IN_FLIGHT, seconds=HELD_SECONDS)
        self._servers: WeakValueDictionary[str, FairSlots] = WeakValueDictionary()
        self._own: WeakValueDictionary[tuple[str, str], asyncio.Semaphore] = WeakValueDictionary()
        """By namespace and server, and by namespace alone; as the servers, kept while somebody asks."""

    @asynccontextmanager
    async def turn(self, namespace: str, server: str) -> AsyncIterator[None]:
        """Have a turn inside of the `async with` statement; waits for it, for as long as it takes.

        What is everybody's is taken last: who waits for a slow server takes no turn away from others, and whose namespace has none left takes none of a server.

        Args:
            namespace: of those who ask.
            server: its origin.

        Raises:
            TurnEndedError: out of the statement, which is cancelled: HELD_SECONDS are over, and others wait.
        """
        own_at_server = self._bound((namespace, server), IN_FLIGHT_PER_SERVER)
        own = self._bound((namespace, ""), IN_FLIGHT_PER_NAMESPACE)
        at_server = self._servers.setdefault(server, FairSlots(IN_FLIGHT_PER_SERVER))
        async with own_at_server, own, at_server.turn(namespace), self._all.turn(namespace):
            yield

    def _bound(self, whose: tuple[str, str], number: int) -> asyncio.Semaphore:
        return self._own.setdefault(whose, asyncio.Semaphore(number))
