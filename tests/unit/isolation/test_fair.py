"""Fair slots.

Aspects: how many work · tenants by turns · who holds a slot for long while others wait · who is cancelled.
"""

import asyncio
from contextlib import AsyncExitStack

import pytest

from cvstate_operator.isolation.fair import FairSlots, TurnEndedError


async def work(slots: FairSlots, tenant: str, done: list[str]) -> None:
    async with slots.turn(tenant):
        await asyncio.sleep(0)
        done.append(tenant)


async def hang(slots: FairSlots, tenant: str, seconds: float) -> None:
    async with slots.turn(tenant):
        await asyncio.sleep(seconds)


async def test_no_more_work_than_there_are_slots() -> None:
    slots, done = FairSlots(2), []
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(slots.turn("a"))
        third = asyncio.create_task(work(slots, "a", done))
        await asyncio.sleep(0.01)
        assert not done
    await third
    assert slots.is_idle


async def test_tenants_have_turns_however_many_of_one_wait() -> None:
    slots, done = FairSlots(1), []
    async with slots.turn("many"):
        waiting = [asyncio.create_task(work(slots, tenant, done)) for tenant in ["many"] * 5 + ["one"]]
        await asyncio.sleep(0.01)
    await asyncio.gather(*waiting)
    assert done == ["one"] + ["many"] * 5


async def test_a_slot_is_kept_for_long_only_while_nobody_waits() -> None:
    slots, done = FairSlots(1, seconds=0.02), []
    async with slots.turn("a"):
        await asyncio.sleep(0.05)
    kept = asyncio.create_task(hang(slots, "a", 5))
    await asyncio.sleep(0)
    await work(slots, "b", done)
    with pytest.raises(TurnEndedError, match="others waited"):
        await kept
    assert (done, slots.is_idle) == (["b"], True)


async def test_only_as_many_are_ended_as_wait() -> None:
    slots, done = FairSlots(3, seconds=0.02), []
    hanging = [asyncio.create_task(hang(slots, tenant, 0.3)) for tenant in "abc"]
    await asyncio.sleep(0)
    await work(slots, "d", done)
    ended = await asyncio.gather(*hanging, return_exceptions=True)
    assert [isinstance(one, TurnEndedError) for one in ended] == [True, False, False]
    assert done == ["d"]


async def test_a_timeout_of_the_work_itself_is_its_own() -> None:
    with pytest.raises(TimeoutError):
        async with FairSlots(1, seconds=60).turn("a"):
            raise TimeoutError


async def test_who_is_cancelled_while_he_waits_takes_no_slot() -> None:
    slots, done = FairSlots(1, seconds=0.02), []
    async with slots.turn("a"):
        waiting = asyncio.create_task(work(slots, "b", done))
        await asyncio.sleep(0.001)
        waiting.cancel()
        await asyncio.wait({waiting})
        await asyncio.sleep(0.05)  # and ends nobody
    assert slots.is_idle
    await work(slots, "c", done)
    assert done == ["c"]
