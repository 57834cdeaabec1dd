"""One read for all who ask, in a time that a test moves.

Aspects: who comes during a read · how long an answer is used · the rest after an answer that took long · failures · who gives up · how many at a time.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from cvstate_operator import errors
from cvstate_operator.kube.shared_read import REST, SharedRead
from cvstate_operator.vital.cluster.look import Seen, Unseen
from cvstate_operator.vital.reading import Gap

NOW = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)


class Asked:
    """A question that is answered with how often it was asked; in `seconds` each."""

    def __init__(self, move: Callable[[float], None], *, seconds: float = 0.0) -> None:
        self.times = 0
        self.failure: Exception | None = None
        self.let_go = asyncio.Event()
        self.let_go.set()
        self.at_once = self.most_at_once = 0
        self._move = move
        self._seconds = seconds

    async def __call__(self) -> int:
        self.times += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await self.let_go.wait()
        self._move(self._seconds)
        self.at_once -= 1
        if self.failure:
            raise self.failure
        return self.times


class Time:
    """The loop's time and the clock, moved by hand."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def move(self, seconds: float) -> None:
        self.seconds += seconds

    def clock(self) -> datetime:
        return NOW + timedelta(seconds=self.seconds - 1000.0)


@pytest.fixture
async def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    found = Time()
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: found.seconds)
    return found


def shared(asked: Asked, time: Time, *, gate: asyncio.Semaphore | None = None) -> SharedRead[int]:
    return SharedRead(asked, gate=gate or asyncio.Semaphore(4), clock=time.clock)


async def test_all_who_come_during_a_read_share_it(time: Time):
    asked = Asked(time.move)
    read = shared(asked, time)
    asked.let_go.clear()
    waiting = [asyncio.ensure_future(read.look(max_age_seconds=0)) for _ in range(5)]
    await asyncio.sleep(0)
    asked.let_go.set()
    assert await asyncio.gather(*waiting) == [Seen(1, NOW)] * 5


async def test_an_answer_is_used_until_it_is_too_old_for_who_asks(time: Time):
    asked = Asked(time.move)
    read = shared(asked, time)
    assert await read.look(max_age_seconds=30) == Seen(1, NOW)
    time.move(29)
    assert await read.look(max_age_seconds=30) == Seen(1, NOW)
    assert await read.look(max_age_seconds=20) == Seen(2, NOW + timedelta(seconds=29))


async def test_an_answer_that_took_the_api_server_long_is_used_longer(time: Time):
    asked = Asked(time.move, seconds=3.0)
    read = shared(asked, time)
    await read.look(max_age_seconds=0)
    time.move(3.0 * REST - 1)
    assert await read.look(max_age_seconds=0) == Seen(1, NOW)
    time.move(1)
    assert (await read.look(max_age_seconds=0)) == Seen(2, NOW + timedelta(seconds=3 + 3 * REST))


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (errors.ForbiddenError("no"), Gap.REFUSED),
        (errors.UnauthorizedError("no"), Gap.REFUSED),
        (errors.NetworkError("no"), Gap.UNREACHABLE),
        (errors.ServerTimeoutError("no"), Gap.UNREACHABLE),
        (errors.ServerError("no"), Gap.UNREACHABLE),
        (errors.ThrottledError("no"), Gap.UNREACHABLE),
        (errors.StaleError("no"), Gap.UNREACHABLE),
        (errors.NotFoundError("no"), Gap.NO_DATA),
        (errors.KindUnknownError("no"), Gap.QUERY_FAILED),
    ],
)
async def test_a_failure_is_a_gap_that_says_when_it_was_known_last(time: Time, error: errors.CvstateError, why: Gap):
    asked = Asked(time.move)
    read = shared(asked, time)
    asked.failure = error
    assert await read.look(max_age_seconds=0) == Unseen(why, "no", None)
    asked.failure = None
    time.move(1)
    await read.look(max_age_seconds=0)
    asked.failure = error
    for _ in range(2):
        time.move(10)
        assert await read.look(max_age_seconds=0) == Unseen(why, "no", NOW + timedelta(seconds=1))


async def test_after_a_deadline_that_passed_it_is_tried_again_as_soon_as_somebody_asks(time: Time):
    asked = Asked(time.move, seconds=15.0)
    read = shared(asked, time)
    asked.failure = errors.ServerTimeoutError("no answer")
    assert isinstance(await read.look(max_age_seconds=10), Unseen)
    asked.failure = None
    assert await read.look(max_age_seconds=10) == Seen(2, NOW + timedelta(seconds=15))


async def test_who_is_asked_for_fewer_requests_is_left_alone_for_so_long(time: Time):
    asked = Asked(time.move)
    read = shared(asked, time)
    asked.failure = errors.ThrottledError("later", retry_after_seconds=60)
    await read.look(max_age_seconds=0)
    time.move(59)
    await read.look(max_age_seconds=0)
    assert asked.times == 1
    time.move(1)
    await read.look(max_age_seconds=0)
    assert asked.times == 2


async def test_who_gives_up_ends_nothing_for_the_others(time: Time):
    asked = Asked(time.move)
    read = shared(asked, time)
    asked.let_go.clear()
    impatient, patient = (asyncio.ensure_future(read.look(max_age_seconds=0)) for _ in range(2))
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.gather(impatient, return_exceptions=True)
    asked.let_go.set()
    assert await patient == Seen(1, NOW)
    assert await read.look(max_age_seconds=30) == Seen(1, NOW)


async def test_the_gate_says_how_many_are_read_at_a_time(time: Time):
    gate, asked = asyncio.Semaphore(4), Asked(time.move)
    reads = [shared(asked, time, gate=gate) for _ in range(20)]
    asked.let_go.clear()
    looks = asyncio.gather(*(read.look(max_age_seconds=0) for read in reads))
    for _ in range(10):
        await asyncio.sleep(0)
    asked.let_go.set()
    await looks
    assert (asked.times, asked.most_at_once) == (20, 4)


async def test_a_read_that_is_ended_leaves_nothing_behind(time: Time):
    asked = Asked(time.move)
    read = shared(asked, time)
    assert read.cancel() is None
    asked.let_go.clear()
    looking = asyncio.ensure_future(read.look(max_age_seconds=0))
    await asyncio.sleep(0)
    task = read.cancel()
    assert task is not None
    await asyncio.gather(task, looking, return_exceptions=True)
    assert task.cancelled()
    assert asyncio.all_tasks() == {asyncio.current_task()}
