"""An informer and the watches of a kind, against a scripted stream: orders of events that a live API server gives only by chance.

Aspects: a list beside the stream · broken streams · silent streams · what blinds a kind and what does not · objects that cannot be understood · whose object it is.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from cvstate_operator import errors
from cvstate_operator.kube import informer, watches
from cvstate_operator.kube.informer import Informer
from cvstate_operator.objects.identity import ApiResource, GroupKind, ObjectRef
from cvstate_operator.reconcile.live_index import LiveIndex
from tests.unit.builders import CONFIG_MAP, OWNER, applied, ref

Json = dict[str, Any]
OTHER = CONFIG_MAP._replace(gvk=CONFIG_MAP.gvk._replace(version="v2"))


class Script:
    """What the API server says: lists in turn, and a queue of events; an exception breaks the list or the stream."""

    def __init__(self, *lists: list[Json] | Exception) -> None:
        self.lists = list(lists)
        self.events: asyncio.Queue[Json | Exception] = asyncio.Queue()
        self.opened_at: list[str] = []
        """Resource versions that streams began at."""
        self.refusal: Exception | None = None
        """What the next streams are refused with."""
        self.before_items: Callable[[], Any] | None = None
        self.versions = ["50"]
        """Of the lists in turn."""
        self.listed = 0
        """How many lists were asked for."""
        self.asked: list[Json] = []
        """Parameters of the streams."""
        self.opens = True
        """Whether the server says that it agrees to a watch."""

    async def pages(self, path: str, *, params: Json) -> AsyncIterator[Json]:
        self.listed += 1
        found = self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]
        version = self.versions.pop(0) if len(self.versions) > 1 else self.versions[0]
        if isinstance(found, Exception):
            raise found
        if self.before_items:
            await self.before_items()
        yield {"metadata": {"resourceVersion": version}, "items": found}

    async def watch(self, path: str, *, params: Json, opened: Callable[[], None]) -> AsyncIterator[Json]:
        if self.refusal:
            raise self.refusal
        self.asked.append(params)
        if not self.opens:
            await asyncio.Event().wait()
        opened()
        self.opened_at.append(params["resourceVersion"])
        while True:
            event = await self.events.get()
            if isinstance(event, Exception):
                raise event
            yield event


class Watched:
    """An informer on a script, and what it told."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.index = LiveIndex(lambda owner, ref: None)
        self.informer = Informer(script, CONFIG_MAP, selector="x", sink=self.index)  # type: ignore[arg-type]

    async def __aenter__(self) -> "Watched":
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.informer.stop()

    async def tell(self, event: Json | Exception) -> None:
        self.script.events.put_nowait(event)
        await self.until(self.script.events.empty)
        await asyncio.sleep(0)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not holds():
                await asyncio.sleep(0.001)

    @property
    def names(self) -> set[str]:
        return {ref.name for ref in self.index.members(OWNER)}


def event(kind: str, live: Json) -> Json:
    return {"type": kind, "object": live}


# -- a list beside the stream --------------------------------------------------------------------------------------------


async def test_what_was_deleted_while_a_list_was_under_way_does_not_come_back() -> None:
    script = Script([applied(version="50")])
    async with Watched(script) as watched:
        await watched.informer.synced()
        script.before_items = lambda: watched.tell(event("DELETED", applied(version="100")))
        await watched.informer.resync(since=asyncio.get_running_loop().time() + 1)
        assert watched.names == set()


async def test_a_list_tells_what_the_stream_lost_and_does_not_move_it() -> None:
    script = Script([applied("a", version="40"), applied("b", version="41")], [applied("b", version="41"), applied("c", version="45")])
    async with Watched(script) as watched:
        await watched.informer.synced()
        await watched.tell(event("MODIFIED", applied("b", version="60")))
        await watched.informer.resync(since=asyncio.get_running_loop().time() + 1)
        assert watched.names == {"b", "c"}
        await watched.tell(errors.NetworkError("reset"))
        await watched.until(lambda: len(script.opened_at) == 2)
        assert script.opened_at == ["50", "60"]


async def test_of_two_that_want_a_list_at_once_the_second_waits_for_that_of_the_first() -> None:
    script = Script([])
    async with Watched(script) as watched:
        await watched.informer.synced()
        release = asyncio.Event()
        script.before_items, script.lists = release.wait, [[applied("a")]]
        since = asyncio.get_running_loop().time() - 0.001
        watched.informer._listed_at = 0.0
        both = [asyncio.create_task(watched.informer.resync(since=since)) for _ in range(2)]
        await asyncio.sleep(0.01)
        assert not any(task.done() for task in both)
        release.set()
        await asyncio.gather(*both)
        assert watched.names == {"a"}


async def test_a_list_that_breaks_is_tried_again() -> None:
    script = Script([], errors.NetworkError("reset"), errors.ServerError("busy"), [applied("a")])
    async with Watched(script) as watched:
        await watched.informer.synced()
        await watched.informer.resync(since=asyncio.get_running_loop().time() + 1)
        assert watched.names == {"a"}


# -- broken streams, and what blinds ---------------------------------------------------------------------------------------


async def test_a_stream_that_breaks_blinds_nothing_and_goes_on_where_it_was() -> None:
    script = Script([applied(version="40")])
    async with Watched(script) as watched:
        await watched.informer.synced()
        await watched.tell(event("BOOKMARK", {"metadata": {"resourceVersion": "70"}}))
        script.refusal = errors.NetworkError("refused")
        await watched.tell(errors.NetworkError("reset"))
        await asyncio.sleep(0.1)
        await watched.informer.synced()
        script.refusal = None
        await watched.until(lambda: len(script.opened_at) == 2)
        assert script.opened_at == ["50", "70"]


async def test_after_an_expired_version_the_kind_is_listed_again() -> None:
    script = Script([applied("a")], [applied("b")])
    async with Watched(script) as watched:
        await watched.informer.synced()
        await watched.tell(errors.StaleError("410"))
        await watched.until(lambda: watched.names == {"b"})


@pytest.mark.parametrize("error", [errors.ForbiddenError("no"), errors.KindUnknownError("no"), errors.UnauthorizedError("no")])
async def test_a_refused_stream_blinds_until_it_is_allowed(error: errors.CvstateError) -> None:
    script = Script([])
    script.refusal = error
    async with Watched(script) as watched:
        with pytest.raises(type(error)):
            await watched.informer.synced()
        script.refusal = None
        await watched.until(lambda: watched.informer.failure is None)
        await watched.informer.synced()


async def test_a_kind_that_cannot_be_listed_blinds() -> None:
    async with Watched(Script(errors.ForbiddenError("no"))) as watched:
        with pytest.raises(errors.ForbiddenError):
            await watched.informer.synced()


async def test_a_fault_that_nobody_foresaw_lets_nobody_wait_for_ever() -> None:
    script = Script([])
    script.refusal = RuntimeError("what is this")
    async with Watched(script) as watched:
        with pytest.raises(errors.InternalError):
            await watched.informer.synced()


# -- silent streams --------------------------------------------------------------------------------------------------------


def bookmark(version: str) -> Json:
    return event("BOOKMARK", {"metadata": {"resourceVersion": version}})


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A word is missed after 20 ms."""
    monkeypatch.setattr(informer, "SILENCE_SECONDS", 0.02)
    monkeypatch.setattr(informer, "RETRY_SECONDS", (0.001, 0.01))


@pytest.mark.usefixtures("hurried")
async def test_a_stream_that_says_nothing_is_resumed_where_it_was_without_a_list() -> None:
    script = Script([applied("a")])
    async with Watched(script) as watched:
        await watched.until(lambda: len(script.opened_at) == 2)
        assert script.opened_at == ["50", "50"]
        assert script.listed == 1


@pytest.mark.usefixtures("hurried")
async def test_a_stream_that_stays_silent_has_lost_nothing_after_the_list_that_follows_and_goes_on_where_it_was() -> None:
    script = Script([applied("a", version="40")], [applied("a", version="40"), applied("b", version="55")])
    script.versions = ["50", "60"]
    async with Watched(script) as watched:
        await watched.until(lambda: len(script.opened_at) == 3)
        assert script.opened_at == ["50", "50", "50"]
        assert watched.names == {"a", "b"}


@pytest.mark.usefixtures("hurried")
async def test_a_bookmark_makes_up_for_streams_that_were_silent() -> None:
    script = Script([])
    async with Watched(script) as watched:
        await watched.until(lambda: len(script.opened_at) == 2)
        await watched.tell(bookmark("70"))
        await watched.until(lambda: len(script.opened_at) == 3)
        assert script.opened_at == ["50", "50", "70"]
        assert script.listed == 1


async def test_a_stream_that_goes_on_telling_is_left_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(informer, "SILENCE_SECONDS", 0.2)
    script = Script([])
    async with Watched(script) as watched:
        await watched.informer.synced()
        for version in range(60, 100):
            await watched.tell(bookmark(str(version)))
            await asyncio.sleep(0.01)
        assert script.opened_at == ["50"]


@pytest.mark.usefixtures("hurried")
async def test_who_lists_for_a_silent_stream_does_not_list_again_because_the_next_one_breaks() -> None:
    script = Script([])
    async with Watched(script) as watched:
        await watched.until(lambda: len(script.opened_at) == 3)
        await watched.tell(errors.NetworkError("reset"))
        await watched.until(lambda: len(script.opened_at) == 4)
        assert script.listed == 2


@pytest.mark.usefixtures("hurried")
async def test_what_was_put_back_to_an_earlier_state_is_known_as_it_is_and_the_stream_goes_on_from_there() -> None:
    script = Script([applied("a", version="190"), applied("b", version="195")], [applied("a", version="90", data={"colour": "red"})])
    script.versions = ["200", "100"]
    async with Watched(script) as watched:
        await watched.until(lambda: len(script.opened_at) == 3)
        assert script.opened_at == ["200", "200", "100"]
        assert watched.names == {"a"}
        live = watched.index.get(ref("a"))
        assert live is not None
        assert live.version == "90"


@pytest.mark.parametrize(("silences", "seconds"), [(0, 70), (1, 70), (2, 140), (3, 280), (7, 3600), (10**6, 3600)])
def test_who_never_sends_bookmarks_is_asked_more_and_more_seldom(silences: int, seconds: int) -> None:
    assert informer.patience(silences) == seconds


async def test_a_server_that_does_not_answer_a_watch_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(informer, "OPENING_SECONDS", 0.02)
    script = Script([])
    script.opens = False
    async with Watched(script) as watched:
        await watched.until(lambda: len(script.asked) == 2)
        script.opens = True
        await watched.informer.synced()


async def test_nobody_waits_for_ever_for_a_kind_whose_watch_is_never_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(informer, "OPENING_SECONDS", 0.02)
    monkeypatch.setattr(informer, "PATIENCE_SECONDS", 0.05)
    script = Script([])
    script.opens = False
    async with Watched(script) as watched:
        with pytest.raises(errors.ServerTimeoutError):
            async with asyncio.timeout(5):
                await watched.informer.synced()
        script.opens = True
        await watched.until(lambda: watched.informer.failure is None)


async def test_a_watch_is_asked_for_hours_and_for_bookmarks() -> None:
    script = Script([])
    async with Watched(script) as watched:
        await watched.informer.synced()
        await watched.until(lambda: len(script.asked) == 1)
        assert int(script.asked[0]["timeoutSeconds"]) > 3600
        assert script.asked[0]["allowWatchBookmarks"] == "true"


async def test_a_list_of_long_ago_counts_while_the_stream_is_open_and_not_while_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(informer, "DOUBTFUL_SECONDS", -1.0)
    script = Script([])
    async with Watched(script) as watched:
        await watched.informer.synced()
        await watched.informer.resync(since=0.0)
        assert script.listed == 1
        script.refusal = errors.NetworkError("refused")
        await watched.tell(errors.NetworkError("reset"))
        await watched.informer.resync(since=0.0)
        assert script.listed == 2


async def test_a_kind_that_may_not_be_listed_any_more_is_asked_for_anew_although_its_stream_is_open() -> None:
    script = Script([], errors.ForbiddenError("no"))
    async with Watched(script) as watched:
        await watched.informer.synced()
        script.refusal = errors.ForbiddenError("no")
        with pytest.raises(errors.ForbiddenError):
            await watched.informer.resync(since=asyncio.get_running_loop().time() + 1)
        await watched.until(lambda: isinstance(watched.informer.failure, errors.ForbiddenError))


# -- objects that cannot be understood -------------------------------------------------------------------------------------


def deep(levels: int) -> Json:
    value: Json = {}
    for _ in range(levels):
        value = {"x": value}
    return value


async def test_an_object_that_is_too_deep_to_be_kept_is_kept_without_its_depths() -> None:
    async with Watched(Script([applied("a", annotated=deep(500)), applied("b")])) as watched:
        await watched.informer.synced()
        assert watched.names == {"a", "b"}


async def test_an_object_that_cannot_be_understood_is_left_out_alone() -> None:
    strange = applied("a", managedFields=[{"manager": "cvstate-operator", "operation": "Apply", "fieldsV1": {"?:": {}}}])
    async with Watched(Script([strange, applied("b")])) as watched:
        await watched.informer.synced()
        await watched.tell(event("ADDED", applied("c")))
        assert watched.names == {"b", "c"}


# -- whose object it is ----------------------------------------------------------------------------------------------------


class Discovery:
    """Every version is served that is not taken away."""

    def __init__(self) -> None:
        self.served = {resource.gvk: resource for resource in (CONFIG_MAP, OTHER)}

    def resource(self, gvk: Any) -> ApiResource | None:
        return self.served.get(gvk)

    async def refresh(self) -> None:
        """What is served is set by the test."""


class ByVersion(Script):
    """A cluster that serves each object in every version."""

    async def pages(self, path: str, *, params: Json) -> AsyncIterator[Json]:
        async for page in super().pages(path, params=params):
            yield {**page, "items": [{**item, "apiVersion": path.split("/")[2]} for item in page["items"]]}


def applied_as(name: str, version: str) -> Json:
    live = applied(name)
    live["metadata"]["managedFields"][0]["apiVersion"] = version
    return live


async def versions(script: Script, *resources: ApiResource) -> tuple[watches.Watches, LiveIndex, Discovery]:
    index, discovery = LiveIndex(lambda owner, ref: None), Discovery()
    watching = watches.Watches(script, discovery, index)  # type: ignore[arg-type]
    for resource in resources:
        assert await watching.want([resource]) == {}
    return watching, index, discovery


def told_as(index: LiveIndex, name: str) -> str:
    live = index.get(ref(name))
    return live.resource.gvk.version if live else ""


@pytest.mark.parametrize("order", [(CONFIG_MAP, OTHER), (OTHER, CONFIG_MAP)])
async def test_an_object_is_told_in_the_version_it_was_applied_in(order: tuple[ApiResource, ...]) -> None:
    watching, index, _ = await versions(ByVersion([applied_as("a", "v1"), applied_as("b", "v2")]), *order)
    assert (told_as(index, "a"), told_as(index, "b")) == ("v1", "v2")
    await watching.close()


async def test_one_version_is_enough_to_know_all_objects_of_a_kind() -> None:
    watching, index, _ = await versions(ByVersion([applied_as("a", "v1"), applied_as("b", "v2")]), OTHER)
    assert index.known(OTHER) == {ref("a"), ref("b")}
    await watching.close()


async def test_a_version_that_is_not_served_any_more_leaves_its_objects_to_another() -> None:
    script = ByVersion([applied_as("a", "v1"), applied_as("b", "v2")])
    watching, index, discovery = await versions(script, CONFIG_MAP, OTHER)
    del discovery.served[CONFIG_MAP.gvk]
    watching._informers[CONFIG_MAP.gvk].failure = errors.KindUnknownError("404")
    assert await watching.want([CONFIG_MAP, OTHER]) == {}
    assert index.known(OTHER) == {ref("a"), ref("b")}
    assert index.known(CONFIG_MAP) == frozenset()
    await watching.close()


async def test_a_kind_that_is_not_served_any_more_holds_nothing_and_is_not_blind() -> None:
    watching, index, discovery = await versions(ByVersion([applied_as("a", "v1")]), CONFIG_MAP)
    discovery.served.clear()
    watching._informers[CONFIG_MAP.gvk].failure = errors.KindUnknownError("404")
    assert await watching.want([CONFIG_MAP]) == {}
    assert index.get(ref("a")) is None
    assert watching.version_of(GroupKind("", "ConfigMap")) is None
    await watching.close()


async def test_a_version_that_nobody_uses_is_not_watched_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    script = ByVersion([applied_as("a", "v2")])
    watching, index, _ = await versions(script, CONFIG_MAP, OTHER)
    monkeypatch.setattr(watches, "IDLE_SECONDS", -1.0)
    await watching.want([OTHER])
    assert watching.version_of(GroupKind("", "ConfigMap")) == OTHER
    assert isinstance(next(iter(index.known(OTHER))), ObjectRef)
    await watching.close()
