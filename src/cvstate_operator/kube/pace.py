"""Pace: how many requests that write are under way at a time, as the API server can bear it.

Additive increase, multiplicative decrease: a round of successes at full width makes room for one more, a sign of overload halves the width. It is
what lets many clients share one server fairly without knowing of each other (Chiu and Jain, "Analysis of the Increase and Decrease Algorithms for
Congestion Avoidance in Computer Networks", 1989). Signs of overload: 429, 5xx, no answer, and answers that take much longer than they used to.

API Priority and Fairness sheds load by 429 with Retry-After (Kubernetes documentation, "API Priority and Fairness"). Until then nobody starts,
since the next request would meet the same full queue; afterwards the first ones start one by one, at random distances.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from cvstate_operator import errors
from cvstate_operator.plan.backoff import JITTER, LONGEST_ASKED_SECONDS

SLOW_FACTOR: Final = 4.0
"""An average so many times the best one means that requests queue up in the server."""
SLOW_SECONDS: Final = 0.25
"""No average below this is slow, whatever the best was: ten times what a write takes with 16 at a time on a 2-core server (26 ms, measured), and a
quarter of what Kubernetes promises for a mutating request (scalability SLO: 99 % within 1 s)."""
SLOW_ANSWERS: Final = 8
"""So many slow answers at least, and a whole round of them, before the width is halved: a single slow webhook is no overload."""
AVERAGE_WEIGHT: Final = 1 / 8
"""Of the newest answer in the running average (RFC 6298, section 2, alpha)."""
FORGETTING: Final = 1 / 512
"""By this share the best average grows at each answer, so that after about 700 a server that is slower for good is taken as it is."""

_OVERLOAD: Final = (errors.ThrottledError, errors.ServerTimeoutError, errors.ServerError, errors.NetworkError)
"""A connection that breaks may be a server that fell over. A webhook, a quota or a conflict says nothing about the API server's load."""


class Pace:
    """Where whoever wants to write waits for its turn: `async with pace: ...`, first come, first served. Belongs to one event loop."""

    def __init__(self, *, initial: int, limit: int, clock: Callable[[], float], random: Callable[[], float]) -> None:
        """
        Args:
            initial: requests at a time to begin with, at least 1.
            limit: at most, at least `initial`.
            clock: monotonic seconds, as the event loop's own.
            random: from 0 to 1.
        """
        if not 1 <= initial <= limit:
            raise ValueError(f"a pace of {initial}, at most {limit}: give 1 <= initial <= limit")
        self.width = initial
        """Requests at a time now, from 1 to the limit."""
        self.paused_until = 0.0
        """No request starts before, by the clock; in the past if nothing is paused."""
        self._limit = limit
        self._clock = clock
        self._random = random
        self._busy = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._not_before = 0.0
        """When the next one may start; 0 for at once, so that the clock is read only after a pause."""
        self._apart = 0
        """How many more start one by one."""
        self._gap = 0.0
        """Seconds between two of these, on average."""
        self._timer: asyncio.TimerHandle | None = None
        self._successes = 0
        self._slow = 0
        self._average = 0.0
        """Seconds; 0 before the first answer."""
        self._best = float("inf")
        """Lowest average, slowly forgotten."""
        self._halved_at = float("-inf")

    @property
    def busy(self) -> int:
        """How many are under way."""
        return self._busy

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return len(self._waiting)

    # -- turns -----------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> None:
        """Wait for a turn."""
        if not self._waiting and self._may_start():
            self._start()
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # the turn came in the same moment: on to the next
                self._end()
            else:
                with suppress(ValueError):  # it was its turn, but for that
                    self._waiting.remove(turn)
            raise

    async def __aexit__(self, *_: object) -> None:
        """Let the next one start."""
        self._end()

    def _may_start(self) -> bool:
        return self._busy < self.width and (not self._not_before or self._clock() >= self._not_before)

    def _start(self) -> None:
        self._busy += 1
        if self._apart:
            self._apart -= 1
            self._not_before = self._clock() + self._gap * 2 * self._random()
        else:
            self._not_before = 0.0

    def _end(self) -> None:
        self._busy -= 1
        self._admit()

    def _admit(self) -> None:
        """Start those who wait, as far as they may; if it is only a matter of time, come again when it is over."""
        while self._waiting and self._may_start():
            turn = self._waiting.popleft()
            if not turn.done():  # or it was cancelled, and does not know yet
                self._start()
                turn.set_result(None)
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._waiting and self._busy < self.width:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, self._not_before - self._clock()), self._admit)

    # -- what answers say ------------------------------------------------------------------------------------------

    def report(self, seconds: float, error: errors.CvstateError | None) -> None:
        """Note how a request that writes went.

        Args:
            seconds: how long it took.
            error: how it failed; None if it did not.
        """
        if isinstance(error, _OVERLOAD):
            self._successes = 0
            self._halve(started=self._clock() - seconds)
            self._pause(error.retry_after_seconds)
            return
        if error is None and self._is_slow(seconds):
            self._successes = 0
            if self._slow >= max(self.width, SLOW_ANSWERS):
                self._halve(started=self._clock())
            return
        self._successes += self._busy >= self.width  # who does not use the width learns nothing about a larger one
        if self._successes >= self.width < self._limit:
            self._successes = 0
            self.width += 1
            self._admit()

    def _is_slow(self, seconds: float) -> bool:
        self._average += (seconds - self._average) * (AVERAGE_WEIGHT if self._average else 1.0)
        self._best = min(self._average, self._best * (1 + FORGETTING))
        if self._average <= max(SLOW_SECONDS, SLOW_FACTOR * self._best):
            self._slow = 0
            return False
        self._slow += self._clock() - seconds >= self._halved_at  # what started before may be slow from then
        return True

    def _halve(self, *, started: float) -> None:
        """Halve the width, but once for requests that were under way together (as TCP does: RFC 6582)."""
        if started < self._halved_at:
            return
        self._halved_at = self._clock()
        self._slow = 0
        self.width = max(1, self.width // 2)

    def _pause(self, asked: float | None) -> None:
        """Let nobody start for as long as the server asked, and a random part of it more."""
        pause = min(asked or 0.0, LONGEST_ASKED_SECONDS)
        if not pause > 0:
            return
        until = self._clock() + pause * (1 + JITTER * self._random())
        if until > self.paused_until:
            self.paused_until = until
            self._not_before = max(self._not_before, until)
            self._apart = self.width
            self._gap = JITTER * pause / self.width
