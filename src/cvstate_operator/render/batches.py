"""Batches: small renders that wait for a child share one.

A child costs 12 ms of CPU, a small render one or two (measured). When 1,000 ClusterStates of one repository have to be rendered, those that wait are done by one
child after another, several by each. Only what may share a process anyway does: directories of one cached repository, for one tenant. What turns out not to be
small, or fails together, is done alone.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

MOST: Final = 32
"""Renders that share a child: its own cost is divided enough by then."""

Answer = Mapping[str, Any] | None
"""What a child told of one render; None if it has to be done alone."""


@dataclass(slots=True, eq=False)
class _Want:
    request: Mapping[str, Any]
    answer: asyncio.Future[Answer]


class Batches:
    """Whoever wants a render waits here; those who share go to `serve` together."""

    def __init__(
        self, serve: Callable[[Sequence[Mapping[str, Any]]], Awaitable[Sequence[Answer]]], slots: asyncio.Semaphore, *, at_once: int
    ) -> None:
        """
        Args:
            serve: renders them all, and gives an answer to each; what it raises everyone of them gets.
            slots: one is held while it works. Others may take them too.
            at_once: how many there are.
        """
        self._serve = serve
        self._slots = slots
        self._at_once = self._free = at_once
        self._lines: OrderedDict[tuple[str, str], deque[_Want]] = OrderedDict()
        """By what may share; the one whose turn it is comes first."""
        self._workers: set[asyncio.Task[None]] = set()

    async def run(self, key: tuple[str, str], request: Mapping[str, Any]) -> Answer:
        """The answer to one request, which shares a child at most with others of its key."""
        want = _Want(request, asyncio.get_running_loop().create_future())
        self._lines.setdefault(key, deque()).append(want)
        if self._free:
            self._free -= 1
            worker = asyncio.create_task(self._work(), name="render")
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)
        return await want.answer

    async def _work(self) -> None:
        try:
            while self._lines:
                async with self._slots:
                    await self._settle(self._next())
        finally:
            self._free += 1

    async def _settle(self, batch: Sequence[_Want]) -> None:
        """Nobody is left without an answer, whatever happens."""
        try:
            answers = await self._serve([want.request for want in batch]) if batch else ()
            for want, answer in zip(batch, answers, strict=True):
                if not want.answer.done():
                    want.answer.set_result(answer)
        except Exception as exc:  # it is theirs to judge
            for want in batch:
                if not want.answer.done():
                    want.answer.set_exception(exc)

    def _next(self) -> list[_Want]:
        """Those whose turn it is; empty if nobody waits. Who does not wait any more is passed over."""
        while self._lines:
            key, line = self._lines.popitem(last=False)
            # A few are divided among the children that there may be, so that no core waits.
            share, batch = min(MOST, -(-len(line) // self._at_once)), list[_Want]()
            while line and len(batch) < share:
                if not (want := line.popleft()).answer.done():
                    batch.append(want)
            if line:
                self._lines[key] = line
            if batch:
                return batch
        return []
