"""Turns: who may render when. Ordinary renders go side by side; a suspect (`journal.py`) goes last, and while it works nothing else does.

So if the process dies of it, it alone is to blame, and everybody else was done before.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

PATIENCE_SECONDS: Final = 60.0
"""How long a suspect waits for a moment in which nobody wants to render; then it is its turn after those that are at work."""


class Turns:
    """Of one process."""

    def __init__(self) -> None:
        self._wanting = 0
        """Ordinary renders that wait or work."""
        self._working = 0
        self._is_alone = False
        """A suspect works, or is next."""
        self._suspects = asyncio.Lock()
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def ordinary(self) -> AsyncIterator[None]:
        """Render beside others."""
        self._wanting += 1
        try:
            async with self._changed:
                await self._changed.wait_for(lambda: not self._is_alone)
                self._working += 1
            try:
                yield
            finally:
                self._working -= 1
        finally:
            self._wanting -= 1
            await self._tell()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Render while nobody else does."""
        async with self._suspects:
            try:
                async with self._changed:
                    try:
                        async with asyncio.timeout(PATIENCE_SECONDS):
                            await self._changed.wait_for(lambda: not self._wanting)
                    except TimeoutError:
                        pass  # others never cease to want something; from now on they wait
                    self._is_alone = True
                    await self._changed.wait_for(lambda: not self._working)
                yield
            finally:
                self._is_alone = False
                await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()
