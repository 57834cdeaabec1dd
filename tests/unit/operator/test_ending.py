"""The time that an actor has to end, in a time of its own.

Aspects: work that ends in time · work that does not · a last word that does not · less time than at first · no time at all · what runs
beside · less time when it ran out already.
"""

import asyncio
import time
from dataclasses import dataclass, field

import pytest

from cvstate_operator.operator.ending import LAST_WORD_SECONDS, Ending
from tests.support.own_time import Loop, play


@dataclass
class Scene:
    """Work and a last word that take so long, and when what of them was over."""

    loop: Loop
    work_seconds: float = 0.0
    word_seconds: float = 0.0
    done: dict[str, float] = field(default_factory=dict)
    ending: Ending = field(default_factory=Ending)

    async def step(self, name: str, seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.done[f"{name} cut off"] = self.loop.time()
            raise
        self.done[name] = self.loop.time()

    async def end(self, *, seconds: float) -> float:
        """End it; when that was over."""
        work = asyncio.create_task(self.step("work", self.work_seconds))
        beside = asyncio.create_task(self.step("beside", 3600))
        await asyncio.sleep(0)
        self.ending.hasten(seconds=seconds)
        await self.ending.finish(work, others=lambda: [beside], last_word=lambda: self.step("word", self.word_seconds), about={})
        over = self.loop.time()
        await asyncio.gather(work, beside, return_exceptions=True)
        return over


@pytest.mark.parametrize(
    ("work", "word", "seconds", "expected"),
    [
        pytest.param(3, 1, 25, {"work": 3, "beside cut off": 3, "word": 4}, id="in time"),
        pytest.param(99, 1, 25, {"work cut off": 23, "beside cut off": 23, "word": 24}, id="work is late"),
        pytest.param(99, 99, 25, {"work cut off": 23, "beside cut off": 23, "word cut off": 25}, id="both are late"),
        pytest.param(3, 99, 25, {"work": 3, "beside cut off": 3, "word cut off": 25}, id="the last word is late"),
        pytest.param(99, 99, 3, {"work cut off": 2, "beside cut off": 2, "word cut off": 3}, id="handed over"),
        pytest.param(99, 0, 0, {"work cut off": 0, "beside cut off": 0}, id="no time at all"),
    ],
)
def test_nothing_goes_on_after_the_time_there_is_and_the_last_word_has_some_of_it(
    work: float, word: float, seconds: float, expected: dict[str, float]
):
    async def act(loop: Loop) -> None:
        scene = Scene(loop, work, word)
        assert await scene.end(seconds=seconds) == max(expected.values()) <= seconds
        assert scene.done == expected

    play(act)


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        pytest.param(99, {"work cut off": 12, "beside cut off": 12, "word cut off": 13}, id="while it works"),
        pytest.param(9, {"work": 9, "beside cut off": 9, "word cut off": 13}, id="while it says its last word"),
    ],
)
def test_a_hand_over_leaves_less_time_to_one_that_is_ending_already(work: float, expected: dict[str, float]):
    async def act(loop: Loop) -> None:
        scene = Scene(loop, work, 99)
        ending = asyncio.create_task(scene.end(seconds=30))
        await asyncio.sleep(10)
        scene.ending.hasten(seconds=3)
        assert await ending == 13
        assert scene.done == expected

    play(act)


def test_nothing_gives_it_more_time_than_it_has():
    async def act(loop: Loop) -> None:
        scene = Scene(loop, 99, 99)
        ending = asyncio.create_task(scene.end(seconds=10))
        await asyncio.sleep(1)
        scene.ending.hasten(seconds=3600)
        assert await ending == 10
        assert scene.done["work cut off"] == 10 - LAST_WORD_SECONDS

    play(act)


@pytest.mark.parametrize("cut_off_takes", [0.0, 0.5])
@pytest.mark.parametrize("at", [23, 25], ids=["what it works at", "all of it"])
def test_who_is_told_to_hurry_when_time_ran_out_and_it_is_still_being_cut_off_ends_all_the_same(at: float, cut_off_takes: float):
    """Every change of the members tells every actor that ends, whatever state it is in."""

    async def act(loop: Loop) -> None:
        scene = Scene(loop, 99, 99)
        step = scene.step

        async def step_that_ends_slowly(name: str, seconds: float) -> None:
            try:
                await step(name, seconds)
            finally:
                await asyncio.sleep(cut_off_takes)

        scene.step = step_that_ends_slowly  # type: ignore[method-assign]
        told = 0

        def tell() -> None:
            nonlocal told
            scene.ending.hasten(seconds=3)
            told += 1

        ending = asyncio.create_task(scene.end(seconds=25))
        # In the same round of the loop, right after the time ran out: whoever it ran out for does not know yet.
        loop.call_at(at + time.get_clock_info("monotonic").resolution / 2, tell)
        loop.call_at(at + 0.2, tell)
        assert await ending <= 25 + cut_off_takes
        await asyncio.sleep(1)
        assert told == 2

    play(act)
