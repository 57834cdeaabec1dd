"""Fair slots.

Aspects: how many work · tenants by turns · who holds a slot for long while others wait · work that was ended is given longer · who is cancelled.
"""

import asyncio
from contextlib import AsyncExitStack, suppress

import pytest

from cvstate_operator.isolation.fair import FairSlots, TurnEndedError


async def work(slots: FairSlots, tenant: str, done: list[str]) -> None:
    async with slots.turn(tenant):
        await asyncio.sleep(0)
        done.append(tenant)


async def hang(slots: FairSlots, tenant: str, seconds: float, what: str = "") -> None:
    async with slots.turn(tenant, what):
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


async def test_work_that_was_ended_is_given_longer_the_next_time_so_that_two_do_not_end_each_other_for_ever() -> None:
    slots, done = FairSlots(1, seconds=0.02), []

    async def again(tenant: str) -> None:
        while tenant not in done:
            with suppress(TurnEndedError):
                async with slots.turn(tenant, "large"):
                    await asyncio.sleep(0.06)
                    done.append(tenant)

    async with asyncio.timeout(5):
        await asyncio.gather(again("a"), again("b"))
    assert slots.is_idle


async def test_what_never_ends_is_not_given_longer_and_longer() -> None:
    slots, clock = FairSlots(1, seconds=0.01), asyncio.get_running_loop().time
    spans = []
    for _ in range(5):
        hanging = asyncio.create_task(hang(slots, "a", 5, "large"))
        await asyncio.sleep(0)
        began = clock()
        await work(slots, "b", [])
        spans.append(clock() - began)
        with pytest.raises(TurnEndedError):
            await hanging
    assert [span >= least for span, least in zip(spans, (0.01, 0.02, 0.04, 0.04, 0.04), strict=True)] == [True] * 5
    assert max(slots._granted.values()) == 0.04


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


@pytest.mark.parametrize("others", ["bc", "bbc"], ids=["alone in line", "before others of the same tenant"])
async def test_who_is_cancelled_in_the_moment_in_which_a_slot_is_let_go_takes_it_from_nobody(others: str) -> None:
    slots, done = FairSlots(1), []
    async with slots.turn("a"):
        gone, *waiting = [asyncio.create_task(work(slots, tenant, done)) for tenant in others]
        await asyncio.sleep(0)
        gone.cancel()  # and it does not run before the slot is let go
    async with asyncio.timeout(5):
        await asyncio.gather(*waiting)
    assert (sorted(done), slots.is_idle, slots._free) == (sorted(others[1:]), True, 1)


async def test_slots_are_there_again_when_all_who_waited_are_gone() -> None:
    slots = FairSlots(1)
    async with slots.turn("a"):
        gone = asyncio.create_task(work(slots, "b", []))
        await asyncio.sleep(0)
        gone.cancel()
    await asyncio.wait({gone})
    assert (slots.is_idle, slots._free) == (True, 1)
