"""Fair slots: few work at a time, tenants by turns, and nobody keeps a slot for long that another waits for.

A lock that serves in order of arrival belongs to the tenant who asks most often, and one without a bound to the server that answers most slowly.
"""

import asyncio
import math
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cvstate_operator import errors


class TurnEndedError(errors.CvstateError):
    """Somebody else waited for the slot, and it was held for as long as is granted."""

    reason = "TurnEnded"


class FairSlots:
    """So many slots. Not for use from several threads."""

    def __init__(self, number: int, *, seconds: float = math.inf) -> None:
        """
        Args:
            number: how many may work at a time, at least 1.
            seconds: how long a slot may be kept although others wait for one; while nobody does, for as long as one likes.
        """
        self._free = number
        self._seconds = seconds
        self._lines: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        """Who waits, by tenant; the tenant whose turn it is comes first."""
        self._held: dict[asyncio.Timeout, float] = {}
        """By what ends it: when a slot was taken (monotonic seconds)."""

    @property
    def is_idle(self) -> bool:
        """Whether nobody holds a slot, or waits for one."""
        return not (self._held or self._lines)

    @asynccontextmanager
    async def turn(self, tenant: str) -> AsyncIterator[None]:
        """Hold a slot inside of the `async with` statement.

        Args:
            tenant: whose turn it is.

        Raises:
            TurnEndedError: out of the statement, which is cancelled.
        """
        await self._enter(tenant)
        bound = asyncio.timeout(None)
        try:
            async with bound:
                self._held[bound] = asyncio.get_running_loop().time()
                self._press()
                yield
        except TimeoutError as exc:
            if bound.expired():
                raise TurnEndedError(f"not finished within {self._seconds:.0f} s, and others waited") from exc
            raise
        finally:
            self._held.pop(bound, None)
            self._leave(tenant)

    async def _enter(self, tenant: str) -> None:
        if self._free:
            self._free -= 1
            return
        waiter = asyncio.get_running_loop().create_future()
        self._lines.setdefault(tenant, deque()).append(waiter)
        self._press()
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._leave(tenant)  # it came in the same moment
            elif line := self._lines.get(tenant):
                line.remove(waiter)
                if not line:
                    del self._lines[tenant]
                self._press()
            raise

    def _leave(self, tenant: str) -> None:
        """Hand a slot on; the tenant who had it comes last."""
        if tenant in self._lines:
            self._lines.move_to_end(tenant)
        if not self._lines:
            self._free += 1
            return
        tenant, line = self._lines.popitem(last=False)
        line.popleft().set_result(None)
        if line:
            self._lines[tenant] = line

    def _press(self) -> None:
        """Have as many end in time as others wait for, those first that began first."""
        now, waiting = asyncio.get_running_loop().time(), sum(map(len, self._lines.values()))
        for number, (bound, began) in enumerate(self._held.items()):
            if not bound.expired():
                bound.reschedule(max(now, began + self._seconds) if number < waiting and self._seconds < math.inf else None)
