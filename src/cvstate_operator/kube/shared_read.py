"""A shared read: one question to the API server for all who ask it, however many they are and however often they ask."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final, Generic

from cvstate_operator import errors
from cvstate_operator.objects.redaction import one_line
from cvstate_operator.plan.backoff import LONGEST_ASKED_SECONDS
from cvstate_operator.vital.cluster.look import Found, Look, Seen, Unseen
from cvstate_operator.vital.reading import gap_of

REST: Final = 50
"""A read that worked is not repeated before so many times of what it took have passed: so each keeps the API server busy for 2 % of the time at most, however large its
answer. After one that failed only the server itself can ask for a rest: it should be seen soon when it is back."""
MESSAGE_CHARACTERS: Final = 300


class SharedRead(Generic[Found]):
    """See the module."""

    def __init__(self, read: Callable[[], Awaitable[Found]], *, gate: asyncio.Semaphore, clock: Callable[[], datetime]) -> None:
        """
        Args:
            read: asks; raises CvstateError.
            gate: how many reads may be under way at a time.
            clock: UTC.
        """
        self._read = read
        self._gate = gate
        self._clock = clock
        self._look: Look[Found] | None = None
        self._begun = 0.0
        """When the last read was begun, monotonic seconds."""
        self._rest_until = 0.0
        self._task: asyncio.Task[Look[Found]] | None = None

    async def look(self, *, max_age_seconds: float) -> Look[Found]:
        """What was read last if that is no older, or if the API server is to have its rest; else what a new read finds. Who comes during a read shares it."""
        now = asyncio.get_running_loop().time()
        if self._task is None:
            if self._look is not None and (now < self._begun + max_age_seconds or now < self._rest_until):
                return self._look
            self._task = asyncio.create_task(self._run(), name="vital read")
        return await asyncio.shield(self._task)

    def cancel(self) -> asyncio.Task[Look[Found]] | None:
        """End a read that is under way; its task, to be waited for."""
        if self._task:
            self._task.cancel()
        return self._task

    async def _run(self) -> Look[Found]:
        loop = asyncio.get_running_loop()
        try:
            async with self._gate:
                self._begun, asked_at = loop.time(), self._clock()
                try:
                    self._look = Seen(await self._read(), asked_at)
                    rest = REST * (loop.time() - self._begun)
                except errors.CvstateError as exc:
                    self._look = unseen(exc, as_of=_as_of(self._look))
                    asked = exc.retry_after_seconds if isinstance(exc, errors.TransientError) else None
                    rest = min(asked or 0.0, LONGEST_ASKED_SECONDS)
                self._rest_until = loop.time() + rest
                return self._look
        finally:
            self._task = None


def unseen(error: errors.CvstateError, *, as_of: datetime | None) -> Unseen:
    """What an error means to who wanted to look; `as_of` is when it was known last."""
    return Unseen(gap_of(error), one_line(error.message, MESSAGE_CHARACTERS), as_of)


def _as_of(look: Look[Found] | None) -> datetime | None:
    return look.as_of if look else None
