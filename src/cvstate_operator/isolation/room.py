"""Room: the bytes of the cache directory, shared by everything that is kept there.

A volume that runs full ends its Pod (an emptyDir with a sizeLimit), or keeps every ClusterState from being carried out. So nothing is written before
there is room for it: what is kept and was used least recently goes first, what somebody reads right now never does. A third of the directory is for
renders at work, and a part of the rest for fetches that write little: neither waits for room, nor removes anything. What is left is for what is kept, and for
one fetch at a time that writes more, which is lent as much as it may write.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from cvstate_operator import errors
from cvstate_operator.isolation.fair import FairSlots
from cvstate_operator.isolation.keeper import Keeper, Kept

WORK_DIVISOR: Final = 3
"""This part of the room is for renders at work: the files that they give to kustomize and Helm, and what they write."""
FETCH_DIVISOR: Final = 128
"""This part of what is kept is lent to a fetch at first."""
SMALL_DIVISOR: Final = 5
"""This part of what is not for renders is for such fetches: for 32 at a time, as many as there may be (`memory.FETCHES`, but for those that only read)."""
FETCH_GROWTH: Final = 4
"""So many times more is lent to a fetch that did not do with less: never more than that of what its server sent. It begins anew, so all tries together bring a
third too much."""
LOAN_SECONDS: Final = 60.0
"""How long a fetch may keep a large loan although another waits for one: its server says how long it takes."""
MOST_OF_ONE_DIVISOR: Final = 2
"""One repository has at most this part of what is kept, so that it cannot take the place of all others."""
NO_LIMIT: Final = 2**62
"""Bytes of a directory that nobody bounds."""
HOLD_SECONDS: Final = 15.0
"""How long a repository is spared after a fetch, for the render that follows."""


class RoomLackError(errors.CvstateError):
    """There is no room, and nothing that could make place."""

    reason = "RoomLack"


class Room:
    """What is kept in one directory, and who may write how much to it. Not for use from several threads."""

    def __init__(self, max_bytes: int = NO_LIMIT, keepers: Mapping[str, Keeper] = MappingProxyType({})) -> None:
        """
        Args:
            max_bytes: of the directory.
            keepers: by name; all that write to it, but for renders at work.
        """
        self.max_bytes = max_bytes
        self.work_bytes = max_bytes // WORK_DIVISOR
        """For renders at work, all together."""
        self.small_bytes = (max_bytes - self.work_bytes) // SMALL_DIVISOR
        """For fetches under way that do with what is lent at first."""
        self.keep_bytes = max_bytes - self.work_bytes - self.small_bytes
        """For what is kept, and for a fetch that needs more."""
        self._keepers = dict(keepers)
        self._kept: dict[tuple[str, str], Kept] | None = None if keepers else {}
        """By keeper and path; None before the disk was read."""
        self._totals = dict.fromkeys(keepers, 0)
        """Bytes of each keeper."""
        self._lent = self._lent_small = 0
        self._large = FairSlots(1, seconds=LOAN_SECONDS)
        self._reading: Counter[str] = Counter()
        self._held: dict[str, float] = {}
        """Path to when it need not be spared any longer (monotonic seconds)."""
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()
        self._missed: set[tuple[str, str]] | None = None
        """What was noted while the disk was read; None while it is not."""

    def used_bytes(self, keeper: str) -> int:
        """What one of the keepers has, as of the last look at each thing. May be asked from another thread."""
        return self._totals[keeper]

    def has(self, keeper: str, path: str) -> bool:
        """Whether something is kept there that is worth mention: an empty repository is made before anything is fetched into it."""
        found = (self._kept or {}).get((keeper, path))
        return found is not None and found.size_bytes >= self.first_bytes

    def size_bytes(self, keeper: str, path: str) -> int:
        """What one thing took when it was looked at last; 0 if it is not known."""
        found = (self._kept or {}).get((keeper, path))
        return found.size_bytes if found else 0

    def used(self, keeper: str, path: str) -> None:
        """Something is used again, and so goes later."""
        if self._kept and (found := self._kept.get((keeper, path))):
            self._kept[keeper, path] = replace(found, used_at=time.time())

    @property
    def first_bytes(self) -> int:
        """What a fetch is lent at first."""
        return self.keep_bytes // FETCH_DIVISOR

    @property
    def most_bytes(self) -> int:
        """What a fetch can be lent at most."""
        return self.keep_bytes // MOST_OF_ONE_DIVISOR

    async def open(self) -> None:
        """Read what is kept, unless that was done already."""
        async with self._turn:
            if self._kept is None:
                await self._survey()

    async def survey(self) -> None:
        """Read anew what is kept."""
        async with self._turn:
            await self._survey()

    async def note(self, keeper: str, path: str) -> None:
        """Something was written, used or removed there."""
        if self._missed is not None:
            self._missed.add((keeper, path))
        if self._kept is None or keeper not in self._keepers:
            return  # the first survey will find it; or nobody bounds it
        found = await asyncio.to_thread(self._keepers[keeper].measure, path)
        if before := self._kept.pop((keeper, path), None):
            self._totals[keeper] -= before.size_bytes
        if found:
            self._kept[keeper, path] = found
            self._totals[keeper] += found.size_bytes

    @asynccontextmanager
    async def lend(self, size_bytes: int, *, path: str = "", tenant: str = "") -> AsyncIterator[None]:
        """So much may be written inside of the `async with` statement; what was is to be noted before its end.

        What is lent at first is there at once. More is lent to one at a time, tenants by turns, who waits for what is in use for a moment.

        Args:
            size_bytes: how much.
            path: what the borrower reads himself, and writes.
            tenant: for whom.

        Raises:
            RoomLackError: there is not so much room, and will not be soon.
            TurnEndedError: others wait for so much room too, and it was kept too long.
        """
        if size_bytes <= self.first_bytes and self._lent_small + size_bytes <= self.small_bytes:
            self._lent_small += size_bytes
            try:
                yield
            finally:
                self._lent_small -= size_bytes
            return
        async with self._large.turn(tenant, path):
            await self._take(size_bytes, path)
            try:
                yield
            finally:
                self._lent -= size_bytes
                self._tell()

    async def settle(self) -> None:
        """Remove what is more than may be kept, as far as it can be done at once."""
        async with self._turn:
            await self._free(0, is_partial=True)

    def require(self) -> None:
        """Nothing else fits if what is in use leaves no room.

        Raises:
            RoomLackError: so it is.
        """
        if sum(self._totals.values()) <= self.keep_bytes:
            return  # what is in use is asked of every ClusterState, and each of them asks this
        in_use = self._spared()
        if sum(kept.size_bytes for key, kept in (self._kept or {}).items() if key in in_use) > self.keep_bytes:
            raise RoomLackError(f"what is in use takes all of the {self.keep_bytes // 2**20} MiB that are for it")

    @contextmanager
    def reading(self, path: str) -> Iterator[None]:
        """What is there is not removed inside of the `with` statement."""
        self._reading[path] += 1
        self._held.pop(path, None)
        try:
            yield
        finally:
            self._reading[path] -= 1
            if not self._reading[path]:
                del self._reading[path]
            self._tell()

    def readers(self, path: str) -> int:
        """How many read what is there."""
        return self._reading[path]

    def hold(self, path: str) -> None:
        """Somebody is about to read what is there."""
        self._held[path] = asyncio.get_running_loop().time() + HOLD_SECONDS

    async def _take(self, size_bytes: int, path: str) -> None:
        """Wait for so much room."""
        while True:
            changed = self._changed
            async with self._turn:
                if await self._free(size_bytes):
                    self._lent += size_bytes
                    return
                if size_bytes > self.keep_bytes or not (self._lent or self._reading.keys() - {path} or self._held):
                    raise RoomLackError(
                        f"{size_bytes // 2**20} MiB are not to be had of the {self.keep_bytes // 2**20} MiB that are kept at most"
                    )
            # Not under the turn: others need not wait for the same.
            await self._pause(changed)

    async def _survey(self) -> None:
        """Under the turn only: what goes or comes meanwhile is looked at again."""
        self._missed = set()
        try:
            found = await asyncio.to_thread(lambda: {name: keeper.kept() for name, keeper in self._keepers.items()})
        finally:
            missed, self._missed = self._missed, None
        self._kept = {(name, path): kept for name, things in found.items() for path, kept in things.items()}
        self._totals = {name: sum(kept.size_bytes for kept in things.values()) for name, things in found.items()}
        for keeper, path in missed:
            await self.note(keeper, path)

    async def _free(self, size_bytes: int, *, is_partial: bool = False) -> bool:
        """Make room; False if there is not so much now: then nothing is removed, unless a part will do. Under the turn only, so that nobody takes what another
        made."""
        if self._kept is None:
            await self._survey()
        while (lack := self._lent + size_bytes + sum(self._totals.values()) - self.keep_bytes) > 0:
            in_use, kept = self._spared(), self._kept or {}
            loose = sorted((one.used_at, key) for key, one in kept.items() if key not in in_use and one.size_bytes)
            if not is_partial and sum(kept[key].size_bytes for _, key in loose) < lack:
                return False
            for _, (keeper, path) in loose:
                await asyncio.to_thread(self._keepers[keeper].remove, path)
                await self.note(keeper, path)
                if (keeper, path) not in (self._kept or {}):
                    break
            else:
                return False
        return True

    async def _pause(self, changed: asyncio.Event) -> None:
        """Until something is let go, or need not be held any longer."""
        now = asyncio.get_running_loop().time()
        seconds = min((at - now for at in self._held.values()), default=HOLD_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds) + 0.01):
                await changed.wait()

    def _tell(self) -> None:
        """Wake everybody who waits."""
        self._changed.set()
        self._changed = asyncio.Event()

    def _spared(self) -> set[tuple[str, str]]:
        now = asyncio.get_running_loop().time()
        self._held = {path: at for path, at in self._held.items() if at > now}
        busy = self._reading.keys() | self._held.keys()
        found = {(name, path) for name, keeper in self._keepers.items() for path in keeper.spared()}
        return found | {(name, path) for name in self._keepers for path in busy}
