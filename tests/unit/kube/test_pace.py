"""How many requests that write are under way at a time, in a time of our own: waiting costs nothing here.

Aspects: turns and their order · cancelling · growing and halving · slow answers · pauses that the server asks for · numbers that make no sense.
"""

import asyncio
import random
from collections.abc import Callable, Sequence

import pytest

from cvstate_operator import errors
from cvstate_operator.kube.pace import SLOW_ANSWERS, Pace
from cvstate_operator.plan.backoff import JITTER, LONGEST_ASKED_SECONDS
from tests.support.own_time import Loop, play


def pace(loop: Loop, initial: int, limit: int = 64, *, chance: Callable[[], float] = lambda: 0.5) -> Pace:
    return Pace(initial=initial, limit=limit, clock=loop.time, random=chance)


class Server:
    """Takes some time for each write, and remembers who started when and how many were there at a time."""

    def __init__(self, turns: Pace, seconds: float = 0.01) -> None:
        self.turns = turns
        self.seconds = seconds
        self.started: list[tuple[int, float]] = []
        self.pauses: list[tuple[float, float]] = []
        """When one was asked for, and until when."""
        self.most = 0
        self._busy = 0

    async def write(self, number: int = 0, error: errors.CvstateError | None = None, *, told: bool = True) -> None:
        loop = asyncio.get_running_loop()
        async with self.turns:
            self.started.append((number, loop.time()))
            self._busy += 1
            self.most = max(self.most, self._busy)
            try:
                await asyncio.sleep(self.seconds)
            finally:
                self._busy -= 1
            if told:
                self.turns.report(self.seconds, error)
                if isinstance(error, errors.ThrottledError):
                    self.pauses.append((loop.time(), loop.time() + (error.retry_after_seconds or 0.0)))

    async def write_all(self, count: int, *, told: bool = True) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                group.create_task(self.write(number, told=told))


def throttled(seconds: float | None) -> errors.ThrottledError:
    return errors.ThrottledError("later", retry_after_seconds=seconds)


# -- turns -------------------------------------------------------------------------------------------------------------


def test_no_more_start_than_the_width_and_in_the_order_they_came() -> None:
    async def work(loop: Loop) -> Server:
        server = Server(pace(loop, 3))
        await server.write_all(20, told=False)
        assert (server.turns.busy, server.turns.waiting) == (0, 0)
        return server

    server = play(work)
    assert server.most == 3
    assert [number for number, _ in server.started] == list(range(20))


def test_one_that_comes_later_does_not_pass_those_that_wait() -> None:
    async def work(loop: Loop) -> Server:
        server = Server(pace(loop, 1))
        first = [asyncio.create_task(server.write(number)) for number in range(3)]
        await asyncio.sleep(0.005)
        await asyncio.gather(*first, asyncio.create_task(server.write(3)))
        return server

    assert [number for number, _ in play(work).started] == [0, 1, 2, 3]


def test_one_that_comes_when_a_pause_is_just_over_does_not_pass_those_that_waited_for_it() -> None:
    async def work(loop: Loop) -> Server:
        server = Server(pace(loop, 1))
        server.turns.report(0.01, throttled(5.0))
        tasks = [asyncio.create_task(server.write(number)) for number in range(2)]
        await asyncio.sleep(0)
        loop.skipping.now += 60.0  # the loop was busy with something else: its timers are late
        await server.write(2)
        await asyncio.gather(*tasks)
        return server

    assert [number for number, _ in play(work).started] == [0, 1, 2]


def test_a_failure_inside_gives_the_turn_back() -> None:
    async def work(loop: Loop) -> int:
        turns = pace(loop, 1)
        with pytest.raises(errors.InvalidError):
            async with turns:
                raise errors.InvalidError("no")
        async with turns:
            return turns.busy

    assert play(work) == 1


def test_those_who_wait_wait_without_work() -> None:
    async def work(loop: Loop) -> int:
        turns = pace(loop, 4)
        turns.report(0.01, throttled(30.0))
        server = Server(turns)
        tasks = [asyncio.create_task(server.write(number)) for number in range(50)]
        await asyncio.sleep(0)
        before = loop.skipping.rounds
        await asyncio.sleep(29.0)
        idle = loop.skipping.rounds - before
        await asyncio.gather(*tasks)
        return idle

    assert play(work) <= 3


# -- cancelling --------------------------------------------------------------------------------------------------------


def test_one_that_is_cancelled_while_it_waits_takes_no_turn() -> None:
    async def work(loop: Loop) -> Sequence[int]:
        server = Server(pace(loop, 1))
        tasks = [asyncio.create_task(server.write(number)) for number in range(4)]
        await asyncio.sleep(0.001)
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return [number for number, _ in server.started]

    assert play(work) == [0, 2, 3]


def test_a_turn_that_comes_in_the_moment_of_cancelling_goes_to_the_next() -> None:
    async def work(loop: Loop) -> Sequence[int]:
        turns = pace(loop, 1)
        server = Server(turns)
        await turns.__aenter__()
        tasks = [asyncio.create_task(server.write(number)) for number in range(3)]
        await asyncio.sleep(0)
        await turns.__aexit__()  # the first has its turn, but has not run yet
        tasks[0].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert turns.busy == 0
        return [number for number, _ in server.started]

    assert play(work) == [1, 2]


def test_a_turn_is_not_given_to_one_that_was_cancelled_in_the_same_moment() -> None:
    async def work(loop: Loop) -> Sequence[int]:
        turns = pace(loop, 1)
        server = Server(turns)
        await turns.__aenter__()
        tasks = [asyncio.create_task(server.write(number)) for number in range(3)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        await turns.__aexit__()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert turns.busy == 0
        return [number for number, _ in server.started]

    assert play(work) == [1, 2]


@pytest.mark.parametrize("seed", range(60))
def test_whoever_is_cancelled_whenever_no_turn_is_lost_and_none_is_made_up(seed: int) -> None:
    chance = random.Random(seed)

    async def work(loop: Loop) -> None:
        turns = pace(loop, chance.randint(1, 4), 8, chance=chance.random)
        server = Server(turns)
        tasks = []
        for number in range(80):
            server.seconds = chance.choice([0.0, 0.01, 0.02])
            error = chance.choice([None, None, None, throttled(0.1), errors.ServerTimeoutError("late"), errors.InvalidError("no")])
            tasks.append(asyncio.create_task(server.write(number, error)))
            await asyncio.sleep(chance.choice([0.0, 0.0, 0.005]))
            for task in chance.sample(tasks, min(len(tasks), chance.randint(0, 3))):
                task.cancel()
            assert 0 <= turns.busy <= 8
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (turns.busy, turns.waiting) == (0, 0)
        starts = [at for _, at in sorted(server.started)]
        assert starts == sorted(starts)
        assert server.most <= 8
        assert not [at for at in starts for begin, end in server.pauses if begin < at < end]
        width = turns.width
        after = Server(turns)
        await after.write_all(20, told=False)
        assert after.most == width

    play(work)


# -- growing and halving -----------------------------------------------------------------------------------------------


def test_a_round_of_successes_makes_room_for_one_more_up_to_the_limit() -> None:
    async def work(loop: Loop) -> Server:
        server = Server(pace(loop, 2, 6))
        widths = []
        for number in range(18):
            server.turns._busy = server.turns.width  # as if all turns were taken
            server.turns.report(0.01, None)
            widths.append((number + 1, server.turns.width))
        server.turns._busy = 0
        assert [first for first, width in widths if width == 3][:1] == [2]
        assert [first for first, width in widths if width == 4][:1] == [2 + 3]
        assert [first for first, width in widths if width == 6][:1] == [2 + 3 + 4 + 5]
        await server.write_all(100)
        return server

    server = play(work)
    assert (server.turns.width, server.most) == (6, 6)


def test_the_width_grows_while_there_is_more_to_do() -> None:
    async def work(loop: Loop) -> Server:
        server = Server(pace(loop, 1, 8))
        await server.write_all(200)
        return server

    server = play(work)
    assert (server.turns.width, server.most) == (8, 8)


def test_who_does_not_use_the_width_does_not_grow_it() -> None:
    async def work(loop: Loop) -> int:
        server = Server(pace(loop, 4))
        for number in range(100):
            await server.write(number)
        return server.turns.width

    assert play(work) == 4


OVERLOAD = [errors.ThrottledError, errors.ServerTimeoutError, errors.ServerError, errors.NetworkError]


@pytest.mark.parametrize("kind", OVERLOAD)
def test_a_sign_of_overload_halves_the_width_down_to_one(kind: type[errors.CvstateError]) -> None:
    async def work(loop: Loop) -> list[int]:
        turns = pace(loop, 16)
        widths = []
        for _ in range(6):
            await asyncio.sleep(1.0)
            turns.report(0.1, kind("no"))
            widths.append(turns.width)
        return widths

    assert play(work) == [8, 4, 2, 1, 1, 1]


@pytest.mark.parametrize(
    "kind", [errors.InvalidError, errors.StaleError, errors.WebhookUnavailableError, errors.QuotaExceededError, errors.ForbiddenError]
)
def test_an_answer_that_is_no_sign_of_overload_is_an_answer(kind: type[errors.CvstateError]) -> None:
    async def work(loop: Loop) -> int:
        turns = pace(loop, 1)
        async with turns:
            turns.report(0.1, kind("no"))
        return turns.width

    assert play(work) == 2


def test_requests_that_were_under_way_together_halve_the_width_once() -> None:
    async def work(loop: Loop) -> list[int]:
        server = Server(pace(loop, 16), seconds=15.0)
        widths = []
        for _ in range(2):
            async with asyncio.TaskGroup() as group:
                for number in range(server.turns.width):
                    group.create_task(server.write(number, errors.ServerTimeoutError("late")))
            widths.append(server.turns.width)
        return widths

    assert play(work) == [8, 4]


def test_a_narrower_width_holds_for_those_who_come_and_ends_nobody() -> None:
    async def work(loop: Loop) -> tuple[int, list[float]]:
        server = Server(pace(loop, 4), seconds=1.0)
        tasks = [asyncio.create_task(server.write(number, told=False)) for number in range(8)]
        await asyncio.sleep(0.5)
        server.turns.report(0.1, errors.ServerError("no"))
        busy = server.turns.busy
        await asyncio.gather(*tasks)
        return busy, [at for _, at in server.started]

    busy, starts = play(work)
    assert busy == 4
    assert starts == [0.0] * 4 + [1.0] * 2 + [2.0] * 2


def test_after_a_failure_the_width_comes_back() -> None:
    async def work(loop: Loop) -> int:
        server = Server(pace(loop, 8, 8))
        server.turns.report(0.01, errors.NetworkError("gone"))
        assert server.turns.width == 4
        await server.write_all(100)
        return server.turns.width

    assert play(work) == 8


# -- slow answers ------------------------------------------------------------------------------------------------------


async def answer(turns: Pace, seconds: float, count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(seconds)
        turns.report(seconds, None)


def test_answers_that_stay_much_slower_than_the_best_halve_the_width() -> None:
    async def work(loop: Loop) -> list[int]:
        turns = pace(loop, 16)
        await answer(turns, 0.1, 20)
        widths = []
        for answers in (15, 1, SLOW_ANSWERS - 1, 1, SLOW_ANSWERS, SLOW_ANSWERS, SLOW_ANSWERS):
            await answer(turns, 3.0, answers)
            widths.append(turns.width)
        return widths

    assert play(work) == [16, 8, 8, 4, 2, 1, 1]


def test_slow_answers_to_requests_that_were_under_way_together_halve_the_width_once() -> None:
    async def work(loop: Loop) -> int:
        server = Server(pace(loop, 16, 16), seconds=0.1)
        await server.write_all(32)
        server.seconds = 10.0
        async with asyncio.TaskGroup() as group:
            for number in range(16):
                group.create_task(server.write(number))
        for _ in range(40):
            server.turns.report(10.0, None)
        return server.turns.width

    assert play(work) == 8


def test_a_few_slow_answers_are_no_overload() -> None:
    async def work(loop: Loop) -> int:
        turns = pace(loop, 4)
        for _ in range(20):
            await answer(turns, 0.1, 20)
            await answer(turns, 3.0, 2)
        return turns.width

    assert play(work) == 4


def test_a_server_that_is_always_slow_is_no_overload() -> None:
    async def work(loop: Loop) -> int:
        turns = pace(loop, 16)
        await answer(turns, 3.0, 100)
        return turns.width

    assert play(work) == 16


def test_no_answer_of_a_quick_server_is_slow_however_quick_it_was_before() -> None:
    async def work(loop: Loop) -> int:
        turns = pace(loop, 16)
        await answer(turns, 0.003, 20)
        await answer(turns, 0.2, 100)
        return turns.width

    assert play(work) == 16


def test_a_server_that_became_slower_for_good_is_taken_as_it_is() -> None:
    async def work(loop: Loop) -> tuple[int, int]:
        server = Server(pace(loop, 8, 8), seconds=0.1)
        await server.write_all(50)
        server.seconds = 1.0
        await server.write_all(5 * SLOW_ANSWERS)
        narrowed = server.turns.width
        await server.write_all(2000)
        return narrowed, server.turns.width

    narrowed, later = play(work)
    assert narrowed <= 2
    assert later == 8


# -- pauses ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [errors.ThrottledError, errors.ServerError])
@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_nobody_starts_before_the_server_wants_it(kind: Callable[..., errors.CvstateError], chance: float) -> None:
    async def work(loop: Loop) -> list[float]:
        server = Server(pace(loop, 8, chance=lambda: chance))
        await asyncio.sleep(100.0)
        server.turns.report(0.01, kind("later", retry_after_seconds=10.0))
        assert server.turns.paused_until == pytest.approx(110.0 + 10.0 * JITTER * chance)
        await server.write_all(20)
        return [at for _, at in server.started]

    starts = play(work)
    assert min(starts) == pytest.approx(110.0 + 10.0 * JITTER * chance)
    assert max(starts) < 110.0 + 10.0 * JITTER * 4


def test_those_who_waited_do_not_come_together() -> None:
    chance = random.Random(7)

    async def work(loop: Loop) -> list[float]:
        server = Server(pace(loop, 8, chance=chance.random))
        server.turns.report(0.01, throttled(10.0))
        await server.write_all(4)
        return [at for _, at in server.started]

    starts = play(work)
    assert len(set(starts)) == 4
    assert starts == sorted(starts)
    assert starts[-1] - starts[0] > 0.1 * JITTER * 10.0


def test_two_operators_do_not_come_together() -> None:
    chances = [random.Random(seed) for seed in (1, 2)]

    async def work(loop: Loop) -> list[float]:
        each = [pace(loop, 1, chance=chance.random) for chance in chances]
        for turns in each:
            turns.report(0.01, throttled(10.0))
        return [turns.paused_until for turns in each]

    first, second = play(work)
    assert abs(first - second) > 0.1


def test_a_later_pause_holds_those_who_wait_already_and_an_earlier_one_changes_nothing() -> None:
    async def work(loop: Loop) -> float:
        server = Server(pace(loop, 8, chance=lambda: 0.0))
        server.turns.report(0.01, throttled(5.0))
        task = asyncio.create_task(server.write())
        await asyncio.sleep(4.0)
        server.turns.report(0.01, throttled(20.0))
        server.turns.report(0.01, throttled(1.0))
        await task
        return server.started[0][1]

    assert play(work) == pytest.approx(24.0)


def test_requests_under_way_end_while_others_are_paused() -> None:
    async def work(loop: Loop) -> list[float]:
        server = Server(pace(loop, 2, chance=lambda: 0.0))
        first = asyncio.create_task(server.write(1))
        await asyncio.sleep(0.001)
        server.turns.report(0.01, throttled(5.0))
        second = asyncio.create_task(server.write(2))
        await first
        ended = loop.time()
        await second
        return [ended, server.started[1][1]]

    assert play(work) == [pytest.approx(0.01), pytest.approx(5.001)]


def test_a_pause_that_ended_before_anybody_came_keeps_nobody() -> None:
    async def work(loop: Loop) -> float:
        server = Server(pace(loop, 4))
        server.turns.report(0.01, throttled(1.0))
        await asyncio.sleep(60.0)
        await server.write()
        return server.started[0][1]

    assert play(work) == 60.0


def test_one_that_is_cancelled_in_a_pause_does_not_keep_the_others() -> None:
    async def work(loop: Loop) -> Sequence[int]:
        server = Server(pace(loop, 1, chance=lambda: 0.0))
        server.turns.report(0.01, throttled(5.0))
        tasks = [asyncio.create_task(server.write(number)) for number in range(3)]
        await asyncio.sleep(1.0)
        tasks[0].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return [number for number, _ in server.started]

    assert play(work) == [1, 2]


# -- numbers that make no sense ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [None, 0.0, -5.0, float("nan"), float("-inf")])
def test_a_retry_after_that_makes_no_sense_pauses_nobody(asked: float | None) -> None:
    async def work(loop: Loop) -> float:
        server = Server(pace(loop, 4))
        server.turns.report(0.01, throttled(asked))
        await server.write()
        return server.started[0][1]

    assert play(work) == 0.0


@pytest.mark.parametrize("asked", [1e300, float("inf")])
def test_a_retry_after_without_measure_is_believed_for_ten_minutes(asked: float) -> None:
    async def work(loop: Loop) -> float:
        turns = pace(loop, 4)
        turns.report(0.01, throttled(asked))
        return turns.paused_until

    assert LONGEST_ASKED_SECONDS <= play(work) <= LONGEST_ASKED_SECONDS * (1 + JITTER)


@pytest.mark.parametrize(("initial", "limit"), [(0, 4), (-1, 4), (5, 4)])
def test_a_width_that_is_impossible_is_refused(initial: int, limit: int) -> None:
    with pytest.raises(ValueError, match="initial"):
        Pace(initial=initial, limit=limit, clock=lambda: 0.0, random=lambda: 0.0)
