"""Turns of questions to Prometheus.

Aspects: how many of one server, of one namespace and in all · who waits holds up nobody but his own · namespaces by turns · no turn is kept for long while others wait ·
who gives up · nothing is kept of who asks no more.
"""

import asyncio
import gc
from collections.abc import AsyncIterator

import pytest

from cvstate_operator.isolation.fair import TurnEndedError
from cvstate_operator.telemetry import question_turns
from cvstate_operator.telemetry.question_turns import IN_FLIGHT, IN_FLIGHT_PER_NAMESPACE, IN_FLIGHT_PER_SERVER, Turns

SHARED = "http://prometheus.monitoring:9090"


class Asking:
    """Questions that keep their turns until they are told to end, and in which order they had them."""

    def __init__(self) -> None:
        self.turns = Turns()
        self.had: list[tuple[str, str]] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.answered = asyncio.Event()

    async def begin(self, namespace: str, *servers: str, each: int = 1) -> None:
        """Begin so many questions to each server, and wait until those have a turn that get one."""
        self.tasks += [asyncio.create_task(self._ask(namespace, server)) for server in servers for _ in range(each)]
        for _ in range(10):  # for each of the bounds once, and more
            await asyncio.sleep(0)

    async def end(self) -> None:
        self.answered.set()
        await asyncio.gather(*self.tasks)

    async def _ask(self, namespace: str, server: str) -> None:
        async with self.turns.turn(namespace, server):
            self.had.append((namespace, server))
            await self.answered.wait()


@pytest.fixture
async def asking() -> AsyncIterator[Asking]:
    made = Asking()
    yield made
    made.answered.set()
    for task in made.tasks:
        task.cancel()
    await asyncio.gather(*made.tasks, return_exceptions=True)


def hanging(number: int, of: str = "evil") -> list[str]:
    return [f"http://{of}-{each}:9090" for each in range(number)]


async def test_one_server_is_asked_few_questions_at_a_time_by_all_namespaces_together(asking: Asking) -> None:
    for namespace in ("a", "b", "c"):
        await asking.begin(namespace, SHARED, each=4)
    assert len(asking.had) == IN_FLIGHT_PER_SERVER
    await asking.end()
    assert len(asking.had) == 12


async def test_a_namespace_whose_servers_hang_leaves_turns_to_others(asking: Asking) -> None:
    await asking.begin("evil", *hanging(40), each=IN_FLIGHT_PER_SERVER)
    assert len(asking.had) == IN_FLIGHT_PER_NAMESPACE < IN_FLIGHT
    await asking.begin("good", SHARED)
    assert asking.had[-1] == ("good", SHARED)


async def test_a_namespace_without_turns_holds_none_of_a_server_that_others_ask(asking: Asking) -> None:
    await asking.begin("evil", *hanging(2), each=IN_FLIGHT_PER_SERVER)
    await asking.begin("evil", SHARED, each=IN_FLIGHT_PER_SERVER)
    assert ("evil", SHARED) not in asking.had
    await asking.begin("good", SHARED)
    assert asking.had[-1] == ("good", SHARED)


async def test_a_server_that_hangs_leaves_turns_to_other_servers_of_its_namespace(asking: Asking) -> None:
    await asking.begin("shop", *hanging(1), each=60)
    await asking.begin("shop", SHARED)
    assert asking.had[-1] == ("shop", SHARED)


async def test_at_a_server_namespaces_have_turns_however_many_questions_of_one_wait(asking: Asking) -> None:
    await asking.begin("many", SHARED, each=IN_FLIGHT_PER_SERVER)
    await asking.begin("other", SHARED, each=20)
    await asking.begin("one", SHARED)
    await asking.end()
    later = [namespace for namespace, _ in asking.had[IN_FLIGHT_PER_SERVER:]]
    assert later.index("one") <= 1
    assert later.count("other") == 20


async def test_who_hangs_while_all_turns_are_taken_is_ended_and_no_more_of_them_than_wait(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(question_turns, "HELD_SECONDS", 0.01)
    asking.turns = Turns()
    await asking.begin("evil", *hanging(2), each=IN_FLIGHT_PER_SERVER)
    await asking.begin("worse", *hanging(2, of="worse"), each=IN_FLIGHT_PER_SERVER)
    async with asyncio.timeout(5), asking.turns.turn("good", SHARED):
        ended = [task for task in asking.tasks if task.done()]
    assert [type(task.exception()) for task in ended] == [TurnEndedError]


async def test_who_gives_up_leaves_his_place_to_others(asking: Asking) -> None:
    await asking.begin("shop", SHARED, each=IN_FLIGHT_PER_SERVER)
    await asking.begin("shop", SHARED, each=3)
    for task in asking.tasks[:2] + asking.tasks[-3:-1]:
        task.cancel()
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(asking.had) == IN_FLIGHT_PER_SERVER + 1, "one waited still, and has a turn"
    asking.answered.set()
    await asyncio.gather(*asking.tasks, return_exceptions=True)
    assert asking.turns._all.is_idle


async def test_nothing_is_kept_of_namespaces_and_servers_that_ask_no_more(asking: Asking) -> None:
    for number in range(50):
        async with asking.turns.turn(f"team-{number}", f"http://server-{number}"):
            assert len(asking.turns._servers) == 1
    gc.collect()
    assert (len(asking.turns._servers), len(asking.turns._own)) == (0, 0)
