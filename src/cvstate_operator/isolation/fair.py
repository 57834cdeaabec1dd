"""Fair slots: few work at a time, tenants by turns, and nobody keeps a slot for long that another waits for.

A lock that serves in order of arrival belongs to the tenant who asks most often, and one without a bound to the server that answers most slowly.
"""

import asyncio
import math
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from cvstate_operator import errors

LONGEST_FACTOR: Final = 4
"""Work that was ended for others is given twice as long the next time, and at most so many times the usual: else two that need longer would end each other for
ever, and without an end one that hangs would soon hold a slot for hours."""
REMEMBERED: Final = 1024
"""Of so much work it is remembered that it was ended; a tenant must not make us remember more."""


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
        """By what ends it: when a slot may be taken away from its holder (monotonic seconds)."""
        self._granted: OrderedDict[tuple[str, str], float] = OrderedDict()
        """By tenant and work, of work that was ended for others: how long it is given the next time; the latest comes last."""

    @property
    def is_idle(self) -> bool:
        """Whether nobody holds a slot, or waits for one."""
        return not (self._held or self._lines)

    @asynccontextmanager
    async def turn(self, tenant: str, work: str = "") -> AsyncIterator[None]:
        """Hold a slot inside of the `async with` statement.

        Args:
            tenant: whose turn it is.
            work: what for, if it begins anew when it was ended: then it is given longer.

        Raises:
            TurnEndedError: out of the statement, which is cancelled.
        """
        await self._enter(tenant)
        bound, seconds = asyncio.timeout(None), self._granted.pop((tenant, work), self._seconds)
        try:
            async with bound:
                self._held[bound] = asyncio.get_running_loop().time() + seconds
                self._press()
                yield
        except TimeoutError as exc:
            if bound.expired():
                if work:
                    self._grant(tenant, work, min(2 * seconds, LONGEST_FACTOR * self._seconds))
                raise TurnEndedError(f"not finished within {seconds:.0f} s, and others waited") from exc
            raise
        finally:
            self._held.pop(bound, None)
            self._leave(tenant)

    def _grant(self, tenant: str, work: str, seconds: float) -> None:
        """So long next time."""
        self._granted[tenant, work] = seconds
        if len(self._granted) > REMEMBERED:
            self._granted.popitem(last=False)

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
            elif (line := self._lines.get(tenant)) and waiter in line:
                line.remove(waiter)
                if not line:
                    del self._lines[tenant]
                self._press()
            raise

    def _leave(self, tenant: str) -> None:
        """Hand a slot on; the tenant who had it comes last."""
        if tenant in self._lines:
            self._lines.move_to_end(tenant)
        while self._lines:
            tenant, line = self._lines.popitem(last=False)
            while line:
                waiter = line.popleft()
                if waiter.done():
                    continue  # cancelled, and its task did not run yet: it waits for nothing any more
                waiter.set_result(None)
                if line:
                    self._lines[tenant] = line
                return
        self._free += 1

    def _press(self) -> None:
        """Have as many end in time as others wait for, those first whose time is over first."""
        now, waiting = asyncio.get_running_loop().time(), sum(map(len, self._lines.values()))
        for number, (bound, until) in enumerate(sorted(self._held.items(), key=lambda one: one[1])):
            if not bound.expired():
                bound.reschedule(max(now, until) if number < waiting and until < math.inf else None)
