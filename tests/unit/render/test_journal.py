"""The journal of renders, and whose turn it is.

Aspects: what is under way when a process dies · who is suspected, and who refused · what ends suspicion · a clock that was wrong · damage · turns.
"""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from cvstate_operator.render import turns as turns_module
from cvstate_operator.render.journal import KEPT_SECONDS, REFUSED_SECONDS, Journal
from cvstate_operator.render.turns import Turns

_dead: list[object] = []


def end(journal: Journal, *renders: str, is_lasting: bool = True) -> None:
    """The process dies while these are under way, for some seconds already: no `with` statement ends."""
    _dead.append(under_way := journal.under_way(renders))
    lasts = under_way.__enter__()
    if is_lasting:
        lasts()


def die(directory: Path, *renders: str, now: float = 0.0, is_lasting: bool = True) -> None:
    """A process begins, and dies while these are under way."""
    end(Journal(directory, now=lambda: now), *renders, is_lasting=is_lasting)


def life(directory: Path, now: float = 0.0) -> Journal:
    return Journal(directory, now=lambda: now)


def test_nothing_is_suspected_at_first(tmp_path: Path) -> None:
    journal = life(tmp_path / "journal")
    assert not journal.is_suspect("a")
    assert journal.refused_seconds("a") == 0


def test_what_was_under_way_at_a_death_is_suspected_and_nothing_else(tmp_path: Path) -> None:
    journal = life(tmp_path)
    with journal.under_way(["before"]):
        pass
    end(journal, "a", "b")
    after = life(tmp_path)
    assert [after.is_suspect(name) for name in ("a", "b", "before")] == [True, True, False]
    assert after.refused_seconds("a") == 0


def test_a_suspect_that_ends_in_any_way_is_suspected_no_more(tmp_path: Path) -> None:
    die(tmp_path, "a", "b")
    journal = life(tmp_path)
    with pytest.raises(ValueError, match="no"), journal.under_way(["a"]):
        raise ValueError("no")
    for one in (journal, life(tmp_path)):
        assert (one.is_suspect("a"), one.is_suspect("b")) == (False, True)


def test_after_the_second_death_it_is_refused_for_a_while(tmp_path: Path) -> None:
    die(tmp_path, "a")
    die(tmp_path, "a", now=10.0)
    assert life(tmp_path, now=20.0).refused_seconds("a") == REFUSED_SECONDS
    assert life(tmp_path, now=30.0).refused_seconds("a") == REFUSED_SECONDS - 10
    later = life(tmp_path, now=20.0 + REFUSED_SECONDS)
    assert later.refused_seconds("a") == 0
    assert later.is_suspect("a")  # tried again, but alone


def test_a_death_that_was_counted_is_not_counted_again(tmp_path: Path) -> None:
    die(tmp_path, "a")
    for _ in range(3):
        assert life(tmp_path).refused_seconds("a") == 0


def test_one_death_counts_once_however_often_it_was_under_way(tmp_path: Path) -> None:
    journal = life(tmp_path)
    for _ in range(3):
        end(journal, "a")
    assert life(tmp_path).refused_seconds("a") == 0


def test_a_death_right_after_the_begin_counts_half(tmp_path: Path) -> None:
    for deaths in range(1, 5):
        die(tmp_path, "a", now=10.0, is_lasting=False)
        journal = life(tmp_path, now=10.0)
        assert journal.is_suspect("a")
        assert (journal.refused_seconds("a") > 0) == (deaths == 4)


def test_a_process_that_was_asked_to_end_accuses_nobody_and_clears_nobody(tmp_path: Path) -> None:
    die(tmp_path, "suspect")
    journal = life(tmp_path)
    end(journal, "a")
    with journal.under_way(["suspect"]) as lasts:
        journal.close()
        lasts()
    end(journal, "b")
    after = life(tmp_path)
    assert [after.is_suspect(name) for name in ("a", "b", "suspect")] == [False, False, True]


def test_what_nobody_asks_for_is_forgotten(tmp_path: Path) -> None:
    die(tmp_path, "a")
    life(tmp_path)
    assert life(tmp_path, now=KEPT_SECONDS - 1).is_suspect("a")
    assert not life(tmp_path, now=KEPT_SECONDS + 1).is_suspect("a")


YEARS = 10 * 365 * 24 * 3600.0


def test_a_clock_that_was_years_ahead_refuses_for_no_longer_than_any_other(tmp_path: Path) -> None:
    for _ in range(2):
        die(tmp_path, "a", now=YEARS)
    noted = life(tmp_path, now=YEARS)
    assert noted.refused_seconds("a") == REFUSED_SECONDS
    assert life(tmp_path, now=100.0).refused_seconds("a") == REFUSED_SECONDS  # put right: still refused, from now on
    assert life(tmp_path, now=200.0).refused_seconds("a") == REFUSED_SECONDS - 100
    assert life(tmp_path, now=100.0 + REFUSED_SECONDS).refused_seconds("a") == 0
    assert not life(tmp_path, now=101.0 + KEPT_SECONDS).is_suspect("a")


def test_a_clock_that_is_put_right_meanwhile_refuses_for_no_longer_either(tmp_path: Path) -> None:
    for _ in range(2):
        die(tmp_path, "a", now=YEARS)
    now = YEARS
    journal = Journal(tmp_path, now=lambda: now)
    now = 100.0
    assert journal.refused_seconds("a") == REFUSED_SECONDS
    now += REFUSED_SECONDS
    assert journal.refused_seconds("a") == 0


@pytest.mark.parametrize("content", [b"", b"[", b"1", b'{"a": 1}', b'{"a": [1]}', b'{"blame": 1, "renders": "a"}', b"\xff"])
def test_a_damaged_journal_is_an_empty_one(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "deaths.json").write_bytes(content)
    (tmp_path / "under-way-1").write_bytes(content)
    assert not life(tmp_path).is_suspect("a")


def test_a_disk_that_cannot_be_written_keeps_nothing_from_being_rendered(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("a file")
    journal = life(tmp_path / "journal")
    with journal.under_way(["a"]):
        assert not journal.is_suspect("a")


# -- turns -------------------------------------------------------------------------------------------------------------


async def test_ordinary_ones_go_side_by_side_and_a_suspect_after_all_of_them() -> None:
    turns, done = Turns(), []
    async with AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(turns.ordinary())
        suspect = asyncio.create_task(_alone(turns, done))
        await asyncio.sleep(0.01)
        assert not done
    await suspect
    assert done == ["alone"]


async def test_while_a_suspect_works_nothing_else_begins() -> None:
    turns, done = Turns(), []
    async with turns.alone():
        other, second = asyncio.create_task(_ordinary(turns, done)), asyncio.create_task(_alone(turns, done))
        await asyncio.sleep(0.01)
        assert not done
    await asyncio.gather(other, second)
    assert done == ["ordinary", "alone"]


async def test_a_suspect_gets_its_turn_although_others_always_want_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns_module, "PATIENCE_SECONDS", 0.02)
    turns, done = Turns(), []
    stop = asyncio.Event()

    async def busy() -> None:
        while not stop.is_set():
            async with turns.ordinary():
                await asyncio.sleep(0.001)

    others = [asyncio.create_task(busy()) for _ in range(3)]
    async with asyncio.timeout(5):
        await _alone(turns, done)
    stop.set()
    await asyncio.gather(*others)


async def test_a_suspect_that_is_cancelled_holds_up_nobody() -> None:
    turns, done = Turns(), []
    async with turns.ordinary():
        suspect = asyncio.create_task(_alone(turns, done))
        await asyncio.sleep(0.01)
        suspect.cancel()
        await asyncio.wait({suspect})
        async with asyncio.timeout(5):
            await _ordinary(turns, done)
    assert done == ["ordinary"]


async def _alone(turns: Turns, done: list[str]) -> None:
    async with turns.alone():
        done.append("alone")


async def _ordinary(turns: Turns, done: list[str]) -> None:
    async with turns.ordinary():
        done.append("ordinary")
