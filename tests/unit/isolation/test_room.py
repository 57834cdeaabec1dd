"""Room in the cache directory.

Aspects: what was used least recently goes · what is read, held or spared does not · who waits, and who is refused · what is lent counts · what cannot be removed.
"""

import asyncio
from collections.abc import Collection, Mapping
from contextlib import AsyncExitStack

import pytest

from cvstate_operator.isolation import room as module
from cvstate_operator.isolation.keeper import Kept
from cvstate_operator.isolation.room import Room, RoomLackError


class Shelf:
    """Keeps things in memory."""

    def __init__(self, **sizes: int) -> None:
        self.things = {name: Kept(size, float(number)) for number, (name, size) in enumerate(sizes.items())}
        self.used: set[str] = set()
        self.stuck: set[str] = set()

    def kept(self) -> Mapping[str, Kept]:
        return dict(self.things)

    def measure(self, path: str) -> Kept | None:
        return self.things.get(path)

    def remove(self, path: str) -> None:
        if path not in self.stuck:
            del self.things[path]

    def spared(self) -> Collection[str]:
        return self.used


def room_of(shelf: Shelf, keep_bytes: int = 100, **others: Shelf) -> Room:
    """Room for so many bytes that are kept, a quarter as many for small fetches, and more for renders."""
    return Room(keep_bytes * 5 // 4 * 3 // 2, {"shelf": shelf, **others})


async def test_while_there_is_room_nothing_goes() -> None:
    shelf = Shelf(a=40, b=40)
    async with room_of(shelf).lend(20):
        assert set(shelf.things) == {"a", "b"}


async def test_what_was_used_least_recently_goes_first_and_no_more_than_needed() -> None:
    shelf = Shelf(oldest=40, older=40, newest=20)
    async with room_of(shelf).lend(30):
        assert set(shelf.things) == {"older", "newest"}


async def test_the_age_counts_whoever_keeps_it() -> None:
    git, rendered = Shelf(), Shelf()
    git.things = {"new": Kept(50, 9.0)}
    rendered.things = {"old": Kept(50, 1.0)}
    async with room_of(git, rendered=rendered).lend(10):
        assert (set(git.things), set(rendered.things)) == ({"new"}, set())


async def test_what_somebody_reads_or_uses_or_is_about_to_read_stays() -> None:
    shelf = Shelf(read=20, used=20, held=20, other=20)
    shelf.used.add("used")
    room = room_of(shelf)
    room.hold("held")
    with room.reading("read"):
        async with room.lend(40):
            assert set(shelf.things) == {"read", "used", "held"}


async def test_who_does_not_find_room_now_waits_until_it_is_let_go() -> None:
    shelf = Shelf(read=80)
    room = room_of(shelf)
    with room.reading("read"):
        waiting = asyncio.create_task(_lent(room, 50))
        await asyncio.sleep(0.01)
        assert not waiting.done()
    await waiting
    assert not shelf.things


async def test_what_is_held_is_let_go_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HOLD_SECONDS", 0.02)
    shelf = Shelf(held=80)
    room = room_of(shelf)
    room.hold("held")
    async with asyncio.timeout(5), room.lend(50):
        assert not shelf.things


async def test_what_is_lent_is_lent_to_nobody_else() -> None:
    room = room_of(Shelf())
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(room.lend(60))
        waiting = asyncio.create_task(_lent(room, 60))
        await asyncio.sleep(0.01)
        # Nothing is kept that could go, so who comes second is told at once only if nobody will give back.
        assert not waiting.done()
    await waiting


async def test_more_than_there_is_is_refused_at_once() -> None:
    with pytest.raises(RoomLackError):
        await _lent(room_of(Shelf()), 101)


async def test_what_is_in_use_for_long_is_waited_for_by_nobody() -> None:
    shelf = Shelf(used=80)
    shelf.used.add("used")
    with pytest.raises(RoomLackError):
        await _lent(room_of(shelf), 30)
    assert shelf.things


async def test_what_cannot_be_removed_does_not_keep_the_others() -> None:
    shelf = Shelf(stuck=40, other=40)
    shelf.stuck.add("stuck")
    async with room_of(shelf).lend(50):
        assert set(shelf.things) == {"stuck"}


async def test_what_was_written_counts_and_what_is_too_much_goes() -> None:
    shelf = Shelf(old=40)
    room = room_of(shelf)
    await room.survey()
    shelf.things["new"] = Kept(90, 5.0)
    await room.note("shelf", "new")
    assert room.used_bytes("shelf") == 130
    await room.settle()
    assert set(shelf.things) == {"new"}
    assert room.used_bytes("shelf") == 90


async def test_as_long_as_there_is_room_nobody_is_asked_what_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every render asks for room, and what is in use is known to ClusterStates alone: all of them together would ask with the square of their number."""
    shelf = Shelf(used=100)
    room = room_of(shelf)
    await room.survey()
    monkeypatch.setattr(Shelf, "spared", lambda self: pytest.fail("asked"))
    room.require()


async def test_when_all_is_in_use_nothing_more_is_rendered() -> None:
    shelf = Shelf(used=101)
    room = room_of(shelf)
    await room.survey()
    room.require()
    shelf.used.add("used")
    with pytest.raises(RoomLackError):
        room.require()


async def test_the_parts_add_up_and_one_repository_has_no_more_than_half() -> None:
    room = room_of(Shelf(), 1280)
    assert room.keep_bytes + room.small_bytes + room.work_bytes == room.max_bytes
    assert room.small_bytes >= 32 * room.first_bytes
    assert (room.first_bytes, room.most_bytes) == (10, 640)


async def test_what_would_not_suffice_is_not_removed() -> None:
    shelf = Shelf(used=60, other=30)
    shelf.used.add("used")
    with pytest.raises(RoomLackError):
        await _lent(room_of(shelf), 60)
    assert set(shelf.things) == {"used", "other"}


async def test_a_little_is_lent_at_once_although_everything_is_in_use() -> None:
    shelf = Shelf(used=1280)
    shelf.used.add("used")
    room = room_of(shelf, 1280)
    async with AsyncExitStack() as stack, asyncio.timeout(2):
        for _ in range(32):
            await stack.enter_async_context(room.lend(room.first_bytes))
    assert shelf.things


async def test_much_is_lent_to_one_at_a_time_and_tenants_have_turns() -> None:
    room, order = room_of(Shelf()), []

    async def borrow(tenant: str) -> None:
        async with room.lend(20, tenant=tenant):
            order.append(tenant)

    async with room.lend(20, tenant="a"):
        waiting = [asyncio.create_task(borrow(tenant)) for tenant in "aab"]
        await asyncio.sleep(0.01)
        assert not order
    await asyncio.gather(*waiting)
    assert order == ["b", "a", "a"]


async def test_what_the_borrower_reads_himself_is_not_waited_for() -> None:
    shelf = Shelf(read=80)
    room = room_of(shelf)
    with room.reading("read"), pytest.raises(RoomLackError):
        async with asyncio.timeout(2), room.lend(50, path="read"):
            pass


async def test_what_is_written_while_the_disk_is_read_counts() -> None:
    shelf = Shelf(a=10)
    room = room_of(shelf)
    await room.survey()

    def kept() -> Mapping[str, Kept]:
        found = dict(shelf.things)
        shelf.things["b"] = Kept(20, 2.0)
        asyncio.run_coroutine_threadsafe(room.note("shelf", "b"), loop).result(5)
        return found

    loop = asyncio.get_running_loop()
    shelf.kept = kept  # type: ignore[method-assign]
    await room.survey()
    assert room.used_bytes("shelf") == 30


async def _lent(room: Room, size_bytes: int) -> None:
    async with room.lend(size_bytes):
        pass
