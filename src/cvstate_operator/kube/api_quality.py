"""API quality: how well the API server answers us, over the last five minutes, in a fixed amount of memory.

Input: the end of every request, from the client's callback. Output: `Requests` for the indicators APIErrors and APISeconds. Requests are counted in slots of ten
seconds and by their duration, in steps of 9 %: so the 99 % are told at most 9 % too long, never too short.
"""

import math
import time
from array import array
from bisect import bisect_left
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from cvstate_operator import errors
from cvstate_operator.vital.cluster.indicators import Requests

SLOT_SECONDS: Final = 10
SLOTS: Final = 30
"""Of SLOT_SECONDS each: five minutes, of which the newest slot is not full."""
SHARE: Final = 0.99
"""Of requests that the time holds for. Source: Kubernetes scalability SLOs, "API call latency", told as the 99th percentile."""
STEPS: Final = tuple(0.001 * 2 ** (step / 8) for step in range(128))
"""Upper ends of the steps of duration, seconds: from a millisecond to a minute, which is longer than any request may take."""

_UNCONNECTED: Final = frozenset({errors.NetworkError.reason, errors.TargetUnreachableError.reason})
"""No connection; of a remote cluster, or no answer in time (`remote_client.py`)."""
_FAILED: Final = _UNCONNECTED | {errors.ServerTimeoutError.reason, errors.ServerError.reason, errors.WebhookUnavailableError.reason}
"""Results that are the API server's failure: no connection, no answer in time, 5xx. A webhook that cannot be asked is an HTTP 500 too. What it refuses for a
reason of its own (4xx, and 500 for a field of a wrong type, which is Invalid) is an answer."""
_CANCELLED: Final = "Cancelled"
"""We did not wait for the answer."""


class _Slot:
    """Requests that ended in ten seconds."""

    __slots__ = ("durations", "failed", "longest", "number", "total")

    def __init__(self) -> None:
        self.durations = array("L", bytes((len(STEPS) + 1) * array("L").itemsize))
        """Requests by step; the last one is for those above all steps."""
        self.clear(-1)

    def clear(self, number: int) -> None:
        """Begin anew, as this slot since the clock's zero."""
        self.number, self.total, self.failed, self.longest = number, 0, 0, 0.0
        for step in range(len(self.durations)):
            self.durations[step] = 0


class ApiQuality:
    """See the module."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """
        Args:
            clock: seconds, monotonic.
        """
        self._clock = clock
        self._slots = tuple(_Slot() for _ in range(SLOTS))
        self._slot = self._slots[0]
        """The one that is filled now."""
        self._slot_ends = -math.inf
        self._newest: float | None = None

    def observe_request(self, *, action: str, result: str, seconds: float) -> None:
        """A request ended; see `client.Observe`. Takes half a microsecond."""
        if result == _CANCELLED:
            return
        self._newest = now = self._clock()
        slot = self._slot if now < self._slot_ends else self._next_slot(now)
        slot.total += 1
        if result in _FAILED:
            slot.failed += 1
            if result in _UNCONNECTED:
                return  # it may end at once, and is no answer
        slot.durations[bisect_left(STEPS, seconds)] += 1
        if seconds > slot.longest:
            slot.longest = seconds

    def _next_slot(self, now: float) -> _Slot:
        number = int(now) // SLOT_SECONDS
        self._slot, self._slot_ends = self._slots[number % SLOTS], (number + 1) * SLOT_SECONDS
        self._slot.clear(number)
        return self._slot

    @property
    def idle_seconds(self) -> float:
        """How long ago the last request ended; infinite if there was none."""
        return math.inf if self._newest is None else self._clock() - self._newest

    def requests(self, now: datetime) -> Requests:
        """Requests of the last five minutes; `now` is the same moment as the clock's, in UTC."""
        oldest = int(self._clock()) // SLOT_SECONDS - SLOTS
        slots = [slot for slot in self._slots if slot.number > oldest]
        total = sum(slot.total for slot in slots)
        return Requests(
            total=total,
            failed=sum(slot.failed for slot in slots),
            seconds=_within(slots),
            newest_at=now - timedelta(seconds=self.idle_seconds) if total else None,
        )


def _within(slots: list[_Slot]) -> float | None:
    """The duration that SHARE of the requests did not exceed; None if there were none."""
    durations = [sum(step) for step in zip(*(slot.durations for slot in slots), strict=True)]
    left = math.ceil(sum(durations) * SHARE)
    if not left:
        return None
    longest = max(slot.longest for slot in slots)
    for step, count in enumerate(durations[: len(STEPS)]):
        left -= count
        if left <= 0:
            return min(STEPS[step], longest)
    return longest
