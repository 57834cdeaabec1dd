"""What kopf's watches tell of our own kinds. Aspects: events go to the handler in order · other kinds go kopf's way · what cannot be understood stops nothing · others get their turn ·
whoever waits for the list hears that it is over.

That kopf does call what is put in place here the tests with a real API server show: nothing is reconciled otherwise.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
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
    return {"type": kind, "object": {"metadata": {"namespace": "team", "name": name}}}


class Kopf:
    """What kopf's watch tells, and what went the way of kopf's queues."""

    def __init__(self, *events: Any) -> None:
        self.events = events
        self.queued: list[Any] = []

    async def infinite_watch(self, **given: Any) -> AsyncIterator[Any]:
        for each in self.events:
            yield each

    async def queue(self, *, resource: Any, **given: Any) -> None:
        self.queued.append(resource)


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queueing, "watcher", queueing.watcher)


async def watched(kopf: Kopf, monkeypatch: pytest.MonkeyPatch, handler: stream.Handler, *, resource: Any = OURS, **given: Any) -> None:
    """Have kopf watch a kind."""
    monkeypatch.setattr(watching, "infinite_watch", kopf.infinite_watch)
    monkeypatch.setattr(stream, "_queue", kopf.queue)
    stream.hand_on({names.CLUSTER_STATES: handler})
    assert orchestration.queueing.watcher is queueing.watcher, "from there kopf calls it"
    whole = {"settings": None, "namespace": None, "processor": None, "operator_paused": None, **given}
    await queueing.watcher(resource=resource, **whole)


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
