"""The real time and real chance."""

import asyncio
import random
import time
from datetime import UTC, datetime


class SystemClock:
    """See the port Clock."""

    def monotonic(self) -> float:
        """Seconds that only go forward, on the event loop's own clock."""
        return time.monotonic()

    def now(self) -> datetime:
        """The time of day, UTC."""
        return datetime.now(UTC)

    def random(self) -> float:
        """From 0 to 1; only spreads retries."""
        return random.random()  # noqa: S311

    async def sleep(self, seconds: float) -> None:
        """Let others work meanwhile."""
        await asyncio.sleep(seconds)
