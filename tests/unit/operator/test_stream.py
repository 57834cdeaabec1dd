"""What kopf's watches tell of our own kinds. Aspects: events go to the handler in order · other kinds go kopf's way · what cannot be understood stops nothing · others get their turn ·
whoever waits for the list hears that it is over · what went while nothing was heard of it is found by the next list · a kopf that is not as expected keeps its own way.

That kopf does call what is put in place here the tests with a real API server show: nothing is reconciled otherwise.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from kopf._cogs.clients import watching
from kopf._core.reactor import orchestration, queueing

from cvstate_operator.api import names
from cvstate_operator.operator import stream

OURS = SimpleNamespace(group=names.GROUP, plural=names.CLUSTER_STATES)
OTHERS = SimpleNamespace(group="apiextensions.k8s.io", plural="customresourcedefinitions")
Event = dict[str, Any]


def event(kind: str | None, name: str) -> Event:
    return {"type": kind, "object": {"metadata": {"namespace": "team", "name": name, "uid": f"uid-{name}"}, "spec": {}}}


class Kopf:
    """What kopf's watch tells from one list to the next, until it is ended; and what went the way of kopf's queues."""

    def __init__(self, *events: Any, again: Sequence[Sequence[Any]] = ()) -> None:
        self.rounds = [events, *again]
        self.queued: list[Any] = []

    async def infinite_watch(
        self, *, settings: Any, resource: Any, namespace: Any, operator_paused: Any = None, _iterations: int | None = None
    ) -> AsyncIterator[Any]:
        assert _iterations == 1
        if not self.rounds:
            raise asyncio.CancelledError
        for each in self.rounds.pop(0):
            yield each

    async def queue(
        self,
        *,
        namespace: Any,
        settings: Any,
        resource: Any,
        processor: Any,
        operator_paused: Any,
        operator_indexed: Any,
        resource_indexed: Any,
    ) -> None:
        self.queued.append(resource)


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queueing, "watcher", queueing.watcher)


async def watched(kopf: Kopf, monkeypatch: pytest.MonkeyPatch, handler: stream.Handler, *, resource: Any = OURS, **given: Any) -> None:
    """Have kopf watch a kind."""
    monkeypatch.setattr(watching, "infinite_watch", kopf.infinite_watch)
    monkeypatch.setattr(stream, "_queue", kopf.queue)
    assert stream.hand_on({names.CLUSTER_STATES: handler})
    assert orchestration.queueing.watcher is queueing.watcher, "from there kopf calls it"
    await watch(resource=resource, **given)


async def watch(*, resource: Any = OURS, **given: Any) -> None:
    """As kopf does, until it ends it."""
    whole = {
        "settings": None,
        "namespace": None,
        "processor": None,
        "operator_paused": None,
        "operator_indexed": None,
        "resource_indexed": None,
    }
    with suppress(asyncio.CancelledError):
        await queueing.watcher(resource=resource, **{**whole, **given})


async def test_events_are_handed_on_in_the_order_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[tuple[str | None, str]] = []
    told = [event(None, "a"), watching.Bookmark.LISTED, event("MODIFIED", "a"), {"type": "BOOKMARK", "object": {}}, event("DELETED", "a")]
    await watched(Kopf(*told), monkeypatch, lambda one: found.append((one["type"], one["object"]["metadata"]["name"])))
    assert found == [(None, "a"), ("MODIFIED", "a"), ("DELETED", "a")]


async def test_other_kinds_go_the_way_of_kopf(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Any] = []
    kopf = Kopf(event(None, "a"))
    await watched(kopf, monkeypatch, found.append, resource=OTHERS)
    namesake = SimpleNamespace(group="example.com", plural=names.CLUSTER_STATES)
    await watched(kopf, monkeypatch, found.append, resource=namesake)
    assert (kopf.queued, found) == ([OTHERS, namesake], [])


async def test_what_cannot_be_understood_is_logged_and_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    found: list[str] = []

    def handler(one: Any) -> None:
        if one["object"]["metadata"]["name"] == "bad":
            raise TypeError("nobody foresaw this")
        found.append(one["object"]["metadata"]["name"])

    caplog.set_level(logging.ERROR)
    await watched(Kopf(event("ADDED", "bad"), event("ADDED", "good")), monkeypatch, handler)
    assert found == ["good"]
    assert [record.__dict__["object"] for record in caplog.records] == ["team/bad"]


async def test_others_get_their_turn_in_a_long_list(monkeypatch: pytest.MonkeyPatch) -> None:
    turns, found = 0, []

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    await watched(Kopf(*(event(None, str(number)) for number in range(100))), monkeypatch, found.append)
    task.cancel()
    assert len(found) == 100
    assert turns >= 100 / stream.BREATH_EVENTS


async def test_whoever_waits_for_the_list_hears_that_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    dropped: list[Any] = []

    async def drop_toggle(toggle: Any) -> None:
        dropped.append(toggle)

    waiting = SimpleNamespace(drop_toggle=drop_toggle)
    await watched(Kopf(watching.Bookmark.LISTED), monkeypatch, lambda one: None, operator_indexed=waiting, resource_indexed="ours")
    assert dropped == ["ours"]


LISTED = watching.Bookmark.LISTED


def told(found: list[tuple[str | None, str]]) -> stream.Handler:
    """Keeps the type and the name of each event."""
    return lambda one: found.append((one["type"], one["object"]["metadata"]["name"]))


@pytest.mark.parametrize(
    ("first", "again", "gone"),
    [
        pytest.param([event(None, "a"), event(None, "b"), LISTED], [[event(None, "a"), LISTED]], ["b"], id="listed before"),
        pytest.param([LISTED, event("ADDED", "b")], [[LISTED]], ["b"], id="watched before"),
        pytest.param([event(None, "a"), LISTED, event("DELETED", "a")], [[LISTED]], [], id="told of"),
        pytest.param([event(None, "a"), event(None, "b"), LISTED], [[event(None, "a")]], [], id="a list that breaks off says nothing"),
        pytest.param(
            [event(None, "a"), event(None, "b"), LISTED], [[event(None, "b")], [event(None, "a"), LISTED]], ["b"], id="nor for the next one"
        ),
        pytest.param([event(None, "a"), LISTED], [[LISTED], [LISTED]], ["a"], id="once"),
    ],
)
async def test_what_went_while_nothing_was_heard_of_it_is_told_after_the_next_list(
    monkeypatch: pytest.MonkeyPatch, first: list[Any], again: list[list[Any]], gone: list[str]
) -> None:
    found: list[tuple[str | None, str]] = []
    await watched(Kopf(*first, again=again), monkeypatch, told(found))
    by_kopf = sum(isinstance(each, dict) and each["type"] == "DELETED" for each in first)
    assert [name for kind, name in found if kind == "DELETED"][by_kopf:] == gone


async def test_of_what_went_unheard_handlers_are_told_by_what_they_know_it(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = event(None, "a")
    plan["object"]["metadata"] |= {"ownerReferences": [{"kind": "ClusterState", "uid": "x"}], "annotations": {"large": "x" * 1000}}
    found: list[Any] = []
    await watched(Kopf(plan, LISTED, again=[[LISTED]]), monkeypatch, found.append)
    meta = {"namespace": "team", "name": "a", "uid": "uid-a", "ownerReferences": [{"kind": "ClusterState", "uid": "x"}]}
    assert found[1:] == [{"type": "DELETED", "object": {"metadata": meta}}]


async def test_a_watch_that_kopf_begins_anew_finds_what_went_since_the_one_before_and_no_other_namespace_is_concerned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found: list[tuple[str | None, str]] = []
    kopf = Kopf(event(None, "a"), LISTED)
    await watched(kopf, monkeypatch, told(found))
    kopf.rounds = [[LISTED]]
    await watch(namespace="other")
    assert found == [(None, "a")]
    kopf.rounds = [[LISTED]]
    await watch()
    assert found == [(None, "a"), ("DELETED", "a")]


async def test_one_that_cannot_be_told_of_as_gone_stops_no_other(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    found: list[str] = []

    def handler(one: Any) -> None:
        if one["type"] == "DELETED":
            found.append(one["object"]["metadata"]["name"])
            raise TypeError("nobody foresaw this")

    await watched(Kopf(event(None, "a"), event(None, "b"), LISTED, again=[[LISTED]]), monkeypatch, handler)
    assert sorted(found) == ["a", "b"]


@pytest.mark.parametrize("part", ["watcher", "infinite_watch", "Bookmark"])
async def test_a_kopf_that_is_not_as_expected_keeps_its_own_way_and_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, part: str
) -> None:
    async def other(*, resource: Any) -> None:
        return

    match part:
        case "watcher":
            monkeypatch.setattr(stream, "_queue", other)
        case "infinite_watch":
            monkeypatch.setattr(watching, "infinite_watch", other)
        case _:
            monkeypatch.setattr(watching, "Bookmark", SimpleNamespace())
    before = queueing.watcher
    assert not stream.hand_on({names.CLUSTER_STATES: lambda one: None})
    assert queueing.watcher is before
    (record,) = caplog.records
    assert record.__dict__["why"]


def test_the_kopf_that_is_installed_is_as_expected() -> None:
    assert stream.hand_on({})
