"""An informer and the watches of a kind, against a scripted stream: orders of events that a live API server gives only by chance.

Aspects: a list beside the stream · broken streams · silent streams · what blinds a kind and what does not · what is not known any more · objects that cannot be
understood · whose object it is · who is told of doubts.
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
        self.ends_with: Exception | None = None
        """What streams end with as soon as they are open."""
        self.is_empty = False
        """Whether streams end in good order as soon as they are open, as an answer 200 without a body does."""

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
        if self.ends_with:
            raise self.ends_with
        if self.is_empty:
            return
        while True:
            event = await self.events.get()
            if isinstance(event, Exception):
                raise event
            if not event:
                return
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


class Later:
    """How much later it is for informers than for the event loop: their timers do not go off by it."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return asyncio.get_running_loop().time() + self.seconds


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Later:
    found = Later()
    monkeypatch.setattr(informer, "_now", found.now)
    return found


# -- a list beside the stream --------------------------------------------------------------------------------------------


async def test_what_was_deleted_while_a_list_was_under_way_does_not_come_back() -> None:
    script = Script([applied(version="50")])
    async with Watched(script) as watched:
        await watched.informer.synced()
        script.before_items = lambda: watched.tell(event("DELETED", applied(version="100")))
        await watched.informer.resync(since=asyncio.get_running_loop().time() + 1)
        assert watched.names == set()


async def test_what_is_deleted_while_nothing_is_listed_is_not_kept_in_mind() -> None:
    async with Watched(Script([])) as watched:
        await watched.informer.synced()
        for number in range(50):
            await watched.tell(event("DELETED", applied(f"n{number}", version=str(100 + number))))
        assert watched.informer._gone_meanwhile == set()


async def test_a_list_that_more_deletions_overtake_than_are_kept_in_mind_is_begun_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(informer, "MAX_GONE", 3)
    script = Script([applied("n4", version="50")], [applied("n4", version="50")], [])
    async with Watched(script) as watched:
        await watched.informer.synced()

        async def delete() -> None:
            script.before_items = None
            for number in range(5):
                await watched.tell(event("DELETED", applied(f"n{number}", version=str(100 + number))))
            assert len(watched.informer._gone_meanwhile) == 3

        script.before_items = delete
        await watched.informer.resync(since=asyncio.get_running_loop().time() + 1)
        assert (script.listed, watched.names, watched.informer._gone_meanwhile) == (3, set(), set())


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


async def test_who_waits_for_the_first_list_of_a_watch_that_is_ended_is_told_that_there_is_none() -> None:
    script = Script([])
    script.before_items = asyncio.Event().wait
    async with Watched(script) as watched:
        waiting = asyncio.create_task(watched.informer.synced())
        await watched.until(lambda: script.listed == 1)
        await watched.informer.stop()
        with pytest.raises(errors.TransientError, match="before it had begun"):
            await asyncio.wait_for(waiting, 1)


async def test_a_watch_that_is_ended_later_is_blind_for_nothing_that_it_told() -> None:
    async with Watched(Script([applied("a")])) as watched:
        await watched.informer.synced()
        await watched.informer.stop()
        await watched.informer.synced()


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


async def test_a_stream_that_goes_on_telling_is_left_open(later: Later) -> None:
    """No time passes but what the test lets pass: how fast it runs does not matter."""
    script = Script([])
    async with Watched(script) as watched:
        await watched.informer.synced()
        for version in range(60, 100):
            later.seconds += 60
            await watched.tell(bookmark(str(version)))
            assert watched.informer._guard is not None
            assert watched.informer._guard.when() == pytest.approx(later.now() + informer.SILENCE_SECONDS, abs=5)
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


# -- what is not known any more ----------------------------------------------------------------------------------------

AWAY = errors.NetworkError("the API server cannot be reached")
KNOWN_SECONDS = informer.SILENCE_SECONDS + informer.ANSWER_SECONDS


async def opened(watched: Watched, times: int = 1) -> None:
    await watched.until(lambda: len(watched.script.opened_at) >= times)


async def breaks(watched: Watched, error: errors.CvstateError = AWAY) -> None:
    """The stream breaks, and is not resumed."""
    watched.script.refusal = error
    await watched.tell(errors.NetworkError("reset"))
    await watched.until(lambda: watched.informer._trouble is error)


async def test_what_was_heard_a_moment_ago_is_believed_although_the_stream_broke(later: Later) -> None:
    async with Watched(Script([applied("a")])) as watched:
        await opened(watched)
        await breaks(watched)
        later.seconds += KNOWN_SECONDS - 5
        assert watched.informer.doubt is None
        assert watched.informer.failure is None


async def test_what_was_heard_long_ago_is_in_doubt_for_the_reason_that_was_met_last_and_blinds_nobody(later: Later) -> None:
    async with Watched(Script([applied("a")])) as watched:
        await opened(watched)
        await breaks(watched)
        later.seconds += KNOWN_SECONDS
        assert watched.informer.doubt is AWAY
        assert watched.informer.failure is None
        assert watched.names == {"a"}


async def test_a_stream_that_is_open_and_silent_for_too_long_is_in_doubt(later: Later) -> None:
    async with Watched(Script([])) as watched:
        await opened(watched)
        later.seconds += KNOWN_SECONDS - 5
        assert watched.informer.doubt is None
        later.seconds += 10
        assert isinstance(watched.informer.doubt, errors.ServerTimeoutError)


@pytest.mark.parametrize("kind", ["ADDED", "MODIFIED", "DELETED", "BOOKMARK"])
async def test_every_word_of_the_stream_is_believed_as_long_as_the_first(later: Later, kind: str) -> None:
    async with Watched(Script([])) as watched:
        await opened(watched)
        later.seconds += KNOWN_SECONDS + 5
        assert watched.informer.doubt
        await watched.tell(event(kind, applied(version="90")))
        assert watched.informer.doubt is None
        later.seconds += KNOWN_SECONDS - 5
        assert watched.informer.doubt is None


async def test_a_list_that_works_is_a_word_while_the_watch_does_not(later: Later) -> None:
    async with Watched(Script([])) as watched:
        await opened(watched)
        await breaks(watched)
        later.seconds += KNOWN_SECONDS
        await watched.informer.resync(since=later.now())
        assert watched.informer.doubt is None
        later.seconds += KNOWN_SECONDS
        assert watched.informer.doubt


async def test_a_list_that_fails_is_no_word(later: Later, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(informer, "PATIENCE_SECONDS", -1.0)
    async with Watched(Script([], AWAY)) as watched:
        await opened(watched)
        later.seconds += KNOWN_SECONDS
        with pytest.raises(errors.NetworkError):
            await watched.informer.resync(since=later.now())
        assert watched.informer.doubt


async def test_a_stream_that_is_opened_again_ends_the_doubt_once_it_stayed_open(later: Later) -> None:
    script = Script([])
    async with Watched(script) as watched:
        await opened(watched)
        await breaks(watched)
        later.seconds += KNOWN_SECONDS
        script.refusal = None
        await opened(watched, 2)
        assert watched.informer.doubt is AWAY
        later.seconds += informer.HEALTHY_SECONDS
        assert watched.informer.doubt is None


@pytest.mark.usefixtures("hurried")
async def test_streams_that_are_agreed_to_and_end_at_once_with_an_error_tell_nothing(later: Later, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(informer, "SILENCE_SECONDS", 70.0)
    broken, script = errors.ServerError("conversion webhook failed"), Script([])
    async with Watched(script) as watched:
        await opened(watched)
        script.ends_with = broken
        await watched.tell(errors.NetworkError("reset"))
        later.seconds += KNOWN_SECONDS
        await opened(watched, 10)
        assert watched.informer.doubt is broken


async def ends_and_stays_empty(watched: Watched) -> None:
    """The stream ends in good order, and so does each that follows, at once."""
    watched.script.is_empty = True
    await watched.tell({})
    await opened(watched, 10)


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("silences", [0, 7])
async def test_streams_that_end_in_good_order_before_they_tell_anything_tell_nothing(
    later: Later, monkeypatch: pytest.MonkeyPatch, silences: int
) -> None:
    monkeypatch.setattr(informer, "SILENCE_SECONDS", 70.0)
    async with Watched(Script([applied("a")], AWAY)) as watched:
        watched.informer._silences = silences
        await opened(watched)
        await ends_and_stays_empty(watched)
        later.seconds += informer.SILENCE_SECONDS
        await watched.until(lambda: watched.informer._trouble is AWAY)
        assert watched.informer.doubt is None
        later.seconds += informer.ANSWER_SECONDS
        assert watched.informer.doubt is AWAY
        assert watched.informer.failure is None


@pytest.mark.usefixtures("hurried")
async def test_lists_tell_beside_streams_that_end_before_they_tell_anything_and_no_oftener_than_they_must(
    later: Later, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(informer, "SILENCE_SECONDS", 70.0)
    script = Script([applied("a")], [applied("a"), applied("b")])
    async with Watched(script) as watched:
        await opened(watched)
        await ends_and_stays_empty(watched)
        assert script.listed == 1
        for lists in (2, 3, 4):
            later.seconds += informer.SILENCE_SECONDS
            await watched.until(lambda lists=lists: script.listed == lists)  # type: ignore[misc]
            assert watched.informer.doubt is None
        assert watched.names == {"a", "b"}


async def test_a_stream_that_tells_of_nothing_since_nothing_happens_is_resumed_without_a_list(later: Later) -> None:
    """A proxy ends it each minute; it was kept to for longer than a moment."""
    script = Script([])
    async with Watched(script) as watched:
        for times in range(1, 6):
            await opened(watched, times)
            later.seconds += 60
            assert watched.informer.doubt is None
            await watched.tell({})
        assert script.listed == 1


async def test_a_list_that_fails_casts_doubt_on_a_stream_that_sends_no_bookmarks_until_one_works(
    later: Later, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(informer, "PATIENCE_SECONDS", -1.0)
    async with Watched(Script([], AWAY, [])) as watched:
        watched.informer._silences = 7
        await opened(watched)
        later.seconds += KNOWN_SECONDS
        with pytest.raises(errors.NetworkError):
            await watched.informer.resync(since=later.now())
        assert watched.informer.doubt is None
        later.seconds += informer.ANSWER_SECONDS
        assert watched.informer.doubt is AWAY
        await watched.informer.resync(since=later.now())
        assert watched.informer.doubt is None


async def test_who_sends_no_bookmarks_is_believed_for_as_long_as_it_may_be_silent(later: Later) -> None:
    async with Watched(Script([])) as watched:
        watched.informer._silences = 7
        await opened(watched)
        later.seconds += informer.LONGEST_SILENCE_SECONDS + informer.ANSWER_SECONDS - 5
        assert watched.informer.doubt is None
        later.seconds += 10
        assert watched.informer.doubt


async def test_who_sends_no_bookmarks_is_in_doubt_soon_after_its_stream_broke(later: Later) -> None:
    async with Watched(Script([])) as watched:
        watched.informer._silences = 7
        await opened(watched)
        later.seconds += 1000
        await breaks(watched)
        later.seconds += informer.ANSWER_SECONDS - 5
        assert watched.informer.doubt is None
        later.seconds += 10
        assert watched.informer.doubt is AWAY


async def test_a_server_that_agrees_to_no_watch_any_more_is_in_doubt(later: Later, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(informer, "OPENING_SECONDS", 0.02)
    script = Script([])
    async with Watched(script) as watched:
        await opened(watched)
        script.opens = False
        await watched.tell(errors.NetworkError("reset"))
        await watched.until(lambda: isinstance(watched.informer._trouble, errors.ServerTimeoutError))
        later.seconds += KNOWN_SECONDS
        assert isinstance(watched.informer.doubt, errors.ServerTimeoutError)


@pytest.mark.usefixtures("later")
async def test_what_is_refused_is_in_doubt_at_once_and_what_is_not_served_is_not() -> None:
    no, none = errors.ForbiddenError("no"), errors.KindUnknownError("404")
    async with Watched(Script([])) as watched:
        await opened(watched)
        await breaks(watched, no)
        assert watched.informer.doubt is no
        watched.script.refusal = none
        await watched.until(lambda: watched.informer.failure is none)
        assert watched.informer.doubt is None


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
    watching._informers[CONFIG_MAP.gvk, ""].failure = errors.KindUnknownError("404")
    assert await watching.want([CONFIG_MAP, OTHER]) == {}
    assert index.known(OTHER) == {ref("a"), ref("b")}
    assert index.known(CONFIG_MAP) == frozenset()
    await watching.close()


async def test_a_kind_that_is_not_served_any_more_holds_nothing_and_is_not_blind() -> None:
    watching, index, discovery = await versions(ByVersion([applied_as("a", "v1")]), CONFIG_MAP)
    discovery.served.clear()
    watching._informers[CONFIG_MAP.gvk, ""].failure = errors.KindUnknownError("404")
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


# -- who is told of doubts ---------------------------------------------------------------------------------------------


async def test_who_made_the_watches_is_told_when_a_kind_comes_into_doubt_and_when_it_is_heard_again(
    later: Later, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watches, "LOOK_SECONDS", (0.001, 0.001))
    script, told, kind = ByVersion([]), asyncio.Queue[frozenset[GroupKind]](), CONFIG_MAP.gvk.group_kind
    watching = watches.Watches(script, Discovery(), LiveIndex(lambda owner, ref: None), doubtful=told.put_nowait)  # type: ignore[arg-type]
    await watching.want([CONFIG_MAP])
    assert watching.unheard() == {}
    later.seconds += KNOWN_SECONDS + 5
    async with asyncio.timeout(5):
        assert await told.get() == {kind}
        assert set(watching.unheard()) == {kind}
        script.events.put_nowait(bookmark("90"))
        assert await told.get() == {kind}
    assert watching.unheard() == {}
    assert told.empty()
    await watching.close()


async def test_a_kind_is_in_doubt_if_one_of_its_versions_is(later: Later) -> None:
    watching, _, _ = await versions(ByVersion([]), CONFIG_MAP, OTHER)
    later.seconds += KNOWN_SECONDS + 5
    watching._informers[OTHER.gvk, ""]._heard_at = later.now()
    assert set(watching.unheard()) == {CONFIG_MAP.gvk.group_kind}
    await watching.close()


async def test_who_fails_at_being_told_is_told_the_next_time(later: Later, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches, "LOOK_SECONDS", (0.001, 0.001))
    told: list[frozenset[GroupKind]] = []

    def take(kinds: frozenset[GroupKind]) -> None:
        told.append(kinds)
        raise ValueError

    script = ByVersion([])
    watching = watches.Watches(script, Discovery(), LiveIndex(lambda owner, ref: None), doubtful=take)  # type: ignore[arg-type]
    await watching.want([CONFIG_MAP])
    later.seconds += KNOWN_SECONDS + 5
    async with asyncio.timeout(5):
        while not told:
            await asyncio.sleep(0.001)
        script.events.put_nowait(bookmark("90"))
        while len(told) < 2:
            await asyncio.sleep(0.001)
    await watching.close()
