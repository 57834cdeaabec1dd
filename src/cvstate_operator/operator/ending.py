"""The ending: the time that an actor has to end, and what is done in it. It may become less while it runs: a ClusterState that ends may be handed over meanwhile.

| until | what |
|---|---|
| it is cut off | objects in hand are finished |
| the end | the last status and the last Events are written |
| after that | nothing goes on |
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Final

LAST_WORD_SECONDS: Final = 2.0
"""What the last status and the last Events have of the time at most, when everything else takes all there is."""
LAST_WORD_SHARE: Final = 1 / 3
"""The same as a part of the time, if that is short: what is handed over has to end in time, its last word included."""

_log = logging.getLogger(__name__)


class Ending:
    """Of one actor."""

    def __init__(self) -> None:
        self._cut_at = self._end_at = float("inf")
        """Monotonic seconds; infinity before it is to end."""
        self._cut: asyncio.Timeout | None = None
        self._end: asyncio.Timeout | None = None
        """What runs out then; None while nothing waits for it."""

    def hasten(self, *, seconds: float) -> None:
        """Leave no more time than this from now on; more than there is changes nothing."""
        self._end_at = min(self._end_at, asyncio.get_running_loop().time() + seconds)
        self._cut_at = min(self._cut_at, self._end_at - min(LAST_WORD_SECONDS, seconds * LAST_WORD_SHARE))
        for timeout, at in (self._end, self._end_at), (self._cut, self._cut_at):
            if timeout and not timeout.expired():  # one that ran out cannot be moved, also while what it cut off still comes to its end
                timeout.reschedule(at)

    async def finish(
        self,
        work: asyncio.Task[None],
        *,
        others: Callable[[], Collection[asyncio.Task[Any]]],
        last_word: Callable[[], Awaitable[None]],
        about: Mapping[str, str],
    ) -> None:
        """Wait for what is in hand, cut off what is left, and say the last word; whatever is not done in time is given up.

        Args:
            work: what is in hand.
            others: what runs beside it and is not waited for; asked when the work is over.
            last_word: writes what is left to be told.
            about: fields of every log line.
        """
        try:
            async with asyncio.timeout_at(self._end_at) as self._end:
                try:
                    async with asyncio.timeout_at(self._cut_at) as self._cut:
                        await asyncio.wait({work})
                except TimeoutError:
                    _log.warning("cut off while writing", extra=about)
                finally:
                    self._cut = None
                await _cancelled(work, *others())
                await last_word()
        except TimeoutError:
            _log.info("last status or Events not written in time", extra=about)
        finally:
            self._end = None
            for task in (work, *others()):
                task.cancel()


async def _cancelled(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
