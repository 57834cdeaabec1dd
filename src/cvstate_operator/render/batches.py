"""Batches: small renders that wait for a child share one.

A child costs 12 ms of CPU, a small render one or two (measured). When 1,000 ClusterStates of one repository have to be rendered, those that wait are done by one
child after another, several by each. Only what may share a process anyway does: directories of one cached repository, for one tenant. What turns out not to be
small, or fails together, is done alone. Tenants have turns, and of each tenant its repositories.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cvstate_operator.isolation.fair import FairSlots

MOST: Final = 32
"""Renders that share a child: its own cost is divided enough by then."""

Answer = Mapping[str, Any] | None
"""What a child told of one render; None if it has to be done alone."""


@dataclass(slots=True, eq=False)
class _Want:
    request: Mapping[str, Any]
    answer: asyncio.Future[Answer]


@dataclass(slots=True, eq=False)
class _Tenant:
    """What one tenant wants."""

    lines: OrderedDict[str, deque[_Want]] = field(default_factory=OrderedDict)
    """By repository; the one whose turn it is comes first."""
    workers: int = 0
    """Tasks that serve these lines, as many as there are slots at most."""


class Batches:
    """Whoever wants a render waits here; those who share go to `serve` together."""

    def __init__(
        self, serve: Callable[[Sequence[Mapping[str, Any]]], Awaitable[Sequence[Answer]]], slots: FairSlots, *, at_once: int
    ) -> None:
        """
        Args:
            serve: renders them all, and gives an answer to each; what it raises everyone of them gets.
            slots: one is held while it works, as the tenant whose requests they are. Others may take them too.
            at_once: how many there are.
        """
        self._serve = serve
        self._slots = slots
        self._at_once = at_once
        self._tenants: dict[str, _Tenant] = {}
        """Those who wait or are served."""
        self._workers: set[asyncio.Task[None]] = set()

    async def run(self, tenant: str, repository: str, request: Mapping[str, Any]) -> Answer:
        """The answer to one request, which shares a child at most with others of the same tenant and repository."""
        want = _Want(request, asyncio.get_running_loop().create_future())
        own = self._tenants.setdefault(tenant, _Tenant())
        own.lines.setdefault(repository, deque()).append(want)
        if own.workers < self._at_once:
            own.workers += 1
            worker = asyncio.create_task(self._work(tenant, own), name="render")
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)
        return await want.answer

    async def _work(self, tenant: str, own: _Tenant) -> None:
        try:
            while own.lines:
                async with self._slots.turn(tenant):
                    await self._settle(self._next(own.lines))
        finally:
            own.workers -= 1
            if not (own.workers or own.lines):
                del self._tenants[tenant]

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

    def _next(self, lines: OrderedDict[str, deque[_Want]]) -> list[_Want]:
        """Those of a tenant whose turn it is; empty if nobody waits. Who does not wait any more is passed over."""
        while lines:
            repository, line = lines.popitem(last=False)
            # A few are divided among the children that there may be, so that no core waits.
            share, batch = min(MOST, -(-len(line) // self._at_once)), list[_Want]()
            while line and len(batch) < share:
                if not (want := line.popleft()).answer.done():
                    batch.append(want)
            if line:
                lines[repository] = line
            if batch:
                return batch
        return []
