"""A vital watch against a scripted stream: orders of events that a live API server gives only by chance.

Aspects: a list, then its changes · a stream that ends, breaks, expires, falls silent · what it is as of · refusals · a tally that fails · pages.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cvstate_operator import errors
from cvstate_operator.kube import informer, vital_watch
from cvstate_operator.kube.vital_watch import VitalWatch

Json = dict[str, Any]
NOW = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)


def item(name: str, version: str = "1") -> Json:
    return {"metadata": {"name": name, "resourceVersion": version}}


def event(kind: str, name: str, version: str) -> Json:
    return {"type": kind, "object": item(name, version)}


class Script:
    """What the API server says: lists in turn, the last one for ever, and a queue of events; an exception breaks the list or the stream, None ends it."""

    def __init__(self, *lists: list[list[Json]] | Exception) -> None:
        self.lists = list(lists)
        self.events: asyncio.Queue[Json | Exception | None] = asyncio.Queue()
        self.begun_at: list[str] = []
        """Resource versions that streams began at."""
        self.refusal: Exception | None = None
        """What the next streams are refused with."""

    async def pages(self, path: str, *, params: Json) -> AsyncIterator[Json]:
        found = self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]
        if isinstance(found, Exception):
            raise found
        for page in found:
            yield {"metadata": {"resourceVersion": "50"}, "items": page}

    async def watch(self, path: str, *, params: Json, opened: Callable[[], None]) -> AsyncIterator[Json]:
        if self.refusal:
            raise self.refusal
        self.begun_at.append(params["resourceVersion"])
        opened()
        while (told := await self.events.get()) is not None:
            if isinstance(told, Exception):
                raise told
            yield told


class Told:
    """A tally that writes down what it is told."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.known_until: list[datetime | None] = []
        self.failure: Exception | None = None

    def begin(self, now: datetime, *, known_until: datetime | None) -> None:
        self.names.append("begin")
        self.known_until.append(known_until)

    def listed(self, now: datetime) -> None:
        self.names.append("listed")

    def seen(self, live: Mapping[str, Any], now: datetime) -> None:
        if self.failure:
            raise self.failure
        self.names.append(live["metadata"]["name"])

    def gone(self, live: Mapping[str, Any], now: datetime) -> None:
        self.names.append(f"-{live['metadata']['name']}")


class Followed:
    """A vital watch on a script; the clock is moved by hand."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.told = Told()
        self.now = NOW
        self.watch = VitalWatch(script, "/api/v1/pods", self.told, gate=asyncio.Semaphore(4), clock=lambda: self.now)  # type: ignore[arg-type]

    async def __aenter__(self) -> "Followed":
        await self.watch.settled()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await asyncio.gather(self.watch.cancel(), return_exceptions=True)

    async def tell(self, told: Json | Exception | None) -> None:
        self.script.events.put_nowait(told)
        await self.until(self.script.events.empty)
        await asyncio.sleep(0)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not holds():
                await asyncio.sleep(0.001)

    @property
    def as_of(self) -> datetime | None:
        return self.watch.as_of(self.now)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vital_watch, "RETRY_SECONDS", (0.001, 0.004))


async def test_a_list_is_told_page_by_page_and_then_every_change():
    async with Followed(Script([[item("a"), item("b")], [item("c")]])) as followed:
        await followed.tell(event("ADDED", "d", "51"))
        await followed.tell(event("MODIFIED", "a", "52"))
        await followed.tell(event("DELETED", "b", "53"))
        assert followed.told.names == ["begin", "a", "b", "c", "listed", "d", "a", "-b"]
        assert followed.told.known_until == [None]
        assert followed.script.begun_at == ["50"]


@pytest.mark.parametrize("end", [None, errors.NetworkError("reset")], ids=["ended", "broken"])
async def test_a_stream_goes_on_where_it_was(end: Exception | None):
    async with Followed(Script([[item("a")]])) as followed:
        await followed.tell(event("MODIFIED", "a", "60"))
        await followed.tell({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "77"}}})
        await followed.tell(end)
        await followed.until(lambda: len(followed.script.begun_at) == 2)
        assert followed.script.begun_at == ["50", "77"]
        assert followed.told.names.count("begin") == 1


async def test_a_version_that_expired_brings_a_list_that_knows_since_when_nothing_was_told():
    async with Followed(Script([[item("a")]])) as followed:
        followed.now += timedelta(seconds=30)
        await followed.tell(event("MODIFIED", "a", "60"))
        followed.now += timedelta(minutes=5)
        await followed.tell(errors.StaleError("too old"))
        await followed.until(lambda: len(followed.script.begun_at) == 2)
        assert followed.told.known_until == [None, NOW + timedelta(seconds=30)]
        assert followed.script.begun_at == ["50", "50"]


async def test_what_is_known_is_as_of_now_while_the_stream_is_believed():
    async with Followed(Script([[item("a")]])) as followed:
        await followed.until(lambda: followed.script.begun_at != [])
        followed.now += timedelta(seconds=informer.SILENCE_SECONDS - 1)
        assert followed.as_of == followed.now
        followed.now += timedelta(seconds=1)
        assert followed.as_of == NOW
        await followed.tell({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "77"}}})
        assert followed.as_of == followed.now


async def test_what_is_known_is_as_old_as_the_stream_that_broke():
    async with Followed(Script([[item("a")]])) as followed:
        await followed.tell(event("MODIFIED", "a", "60"))
        followed.script.refusal = errors.NetworkError("away")
        await followed.tell(errors.NetworkError("reset"))
        await followed.until(lambda: followed.watch.failure is followed.script.refusal)
        followed.now += timedelta(seconds=10)
        assert followed.as_of == NOW
        followed.script.refusal = None
        await followed.until(lambda: len(followed.script.begun_at) == 2)
        assert followed.watch.failure is None
        assert followed.as_of == followed.now


async def test_a_refusal_is_known_at_once_and_ends_by_itself():
    async with Followed(Script(errors.ForbiddenError("may not"), [[item("a")]])) as followed:
        assert isinstance(followed.watch.failure, errors.ForbiddenError)
        assert followed.as_of is None
        await followed.until(lambda: followed.script.begun_at == ["50"])
        assert followed.watch.failure is None
        assert followed.as_of == NOW


async def test_a_stream_that_falls_silent_twice_begins_anew(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(informer, "SILENCE_SECONDS", 0.01)
    async with Followed(Script([[item("a")]])) as followed:
        await followed.until(lambda: followed.told.names.count("listed") >= 2)
        assert followed.script.begun_at[:2] == ["50", "50"]


async def test_a_server_that_does_not_agree_to_a_watch_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(vital_watch, "OPENING_SECONDS", 0.01)

    class Mute(Script):
        async def watch(self, path: str, *, params: Json, opened: Callable[[], None]) -> AsyncIterator[Json]:
            await asyncio.Event().wait()
            yield {}

    async with Followed(Mute([[item("a")]])) as followed:
        await followed.until(lambda: isinstance(followed.watch.failure, errors.ServerTimeoutError))
        assert followed.as_of == NOW


async def test_a_tally_that_fails_ends_no_stream(caplog: pytest.LogCaptureFixture):
    async with Followed(Script([[item("a")]])) as followed:
        followed.told.failure = RuntimeError("unforeseen")
        await followed.tell(event("MODIFIED", "a", "60"))
        await followed.until(lambda: isinstance(followed.watch.failure, errors.InternalError))
        followed.told.failure = None
        await followed.until(lambda: followed.told.names[-2:] == ["a", "listed"] and len(followed.script.begun_at) > 1)
        assert "nobody foresaw" in caplog.text


async def test_a_list_that_breaks_half_way_is_told_anew_from_its_beginning():
    class Breaking(Script):
        broken = False

        async def pages(self, path: str, *, params: Json) -> AsyncIterator[Json]:
            yield {"metadata": {"resourceVersion": "50"}, "items": [item("a")]}
            if not self.broken:
                self.broken = True
                raise errors.NetworkError("reset")
            yield {"metadata": {"resourceVersion": "50"}, "items": [item("b")]}

    async with Followed(Breaking()) as followed:
        assert followed.as_of is None
        await followed.until(lambda: followed.told.names[-1] == "listed")
        assert followed.told.names == ["begin", "a", "begin", "a", "b", "listed"]
        assert followed.told.known_until == [None, None]
