"""A time of our own: an event loop in which waiting costs nothing."""

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

Result = TypeVar("Result")


class _Skipping(selectors.SelectSelector):
    """Waits for nothing: what would have been waited is added to the time."""

    now = 0.0
    rounds = 0
    """How often the loop went round: one that waits busily never stops counting."""

    def select(self, timeout: float | None = None) -> Any:
        self.rounds += 1
        assert timeout is not None, "everybody waits for ever"
        self.now += timeout
        return super().select(0)


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only while everybody waits; it begins at 0."""

    def __init__(self) -> None:
        self.skipping = _Skipping()
        super().__init__(self.skipping)

    def time(self) -> float:
        return self.skipping.now


def play(work: Callable[[Loop], Awaitable[Result]]) -> Result:
    """Run `work` to its end; nothing may be left over."""
    loop = Loop()

    async def whole() -> Result:
        result = await work(loop)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(whole())
