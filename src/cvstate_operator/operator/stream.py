"""The stream: what kopf's watches tell of our own kinds, handed on as it comes.

By itself kopf has a task and a queue for each object, and puts together for each event whatever a handler may ask for. That is for handlers that take long and note on the object how
far they came. Ours only remember what they are told: that takes 0.1 ms, and kopf's way to them three times as much (measured), for each event about each ClusterState,
whichever replica has it. So for these kinds the way ends at kopf's watch: to log in, to list, to watch and to begin anew stays with kopf.

When kopf lists anew (410, 429, a connection that broke while it listed) it tells of what there is, and nobody of what went meanwhile: that is found here, by what was told before.
"""

import asyncio
import inspect
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

from kopf._cogs.clients import watching
from kopf._core.reactor import queueing

from cvstate_operator.api import names

BREATH_EVENTS: Final = 10
"""After so many objects of a list others get their turn: to take a ClusterState up takes 1 ms (measured)."""

Handler = Callable[[Mapping[str, Any]], None]
"""Told of one event, `{"type": …, "object": …}`; quick. The type is DELETED for an object that is gone; if that was found by a list, the object is only what KEPT names."""

KEPT: Final = ("namespace", "name", "uid", "ownerReferences")
"""Fields of the metadata that are kept of each object, to tell of it when it is gone."""

_Known = dict[tuple[str, str], Mapping[str, Any]]
"""By namespace (empty without) and name: metadata of the objects that were told of, as they were last."""

_WATCHER: Final = frozenset({"resource", "settings", "namespace", "operator_paused", "operator_indexed", "resource_indexed"})
_INFINITE_WATCH: Final = frozenset({"settings", "resource", "namespace", "operator_paused", "_iterations"})
"""What kopf's functions have to take, for ours to be put in the place of the first and to call the second."""

_log = logging.getLogger(__name__)
_queue = queueing.watcher
"""kopf's own way, for all other kinds."""


def hand_on(handlers: Mapping[str, Handler]) -> bool:
    """Have kopf hand events about these kinds on from now on, whatever handlers it has for them. Of the process: it runs one operator.

    Args:
        handlers: by the plural name of a kind of our group.

    Returns:
        Whether this kopf is one that it can be done with. With any other all stays as it is: its own handlers are called, later, and not for what goes unseen.
    """
    if why := _unlike():
        _log.warning(
            "kopf is not as expected: its own queues are used, and what is deleted while a watch is down goes unseen", extra={"why": why}
        )
        return False
    known: dict[tuple[str, str | None], _Known] = defaultdict(dict)
    """By kind and watched namespace: of the process, as kopf ends a watch and begins another when a CRD changes."""

    async def watcher(**given: Any) -> None:
        resource = given["resource"]
        handler = handlers.get(resource.plural) if resource.group == names.GROUP else None
        await (_queue(**given) if handler is None else _watch(handler, given, known[resource.plural, given["namespace"]]))

    queueing.watcher = watcher
    return True


def _unlike() -> str:
    """What of kopf is not as it was when this was written: these are no parts that it promises to keep. Empty if all is."""
    for function, taken in (_queue, _WATCHER), (watching.infinite_watch, _INFINITE_WATCH):
        if missing := taken - inspect.signature(function).parameters.keys():
            return f"{function.__qualname__} takes no {', '.join(sorted(missing))}"
    return "" if hasattr(watching.Bookmark, "LISTED") else "nothing tells that a list is over"


async def _watch(handler: Handler, given: Mapping[str, Any], known: _Known) -> None:
    """In place of kopf's `queueing.watcher`, with its arguments; and what was told of before, which it keeps up."""
    while True:
        await _list_and_watch(handler, given, known)


async def _list_and_watch(handler: Handler, given: Mapping[str, Any], known: _Known) -> None:
    """One list, and one watch from there until kopf has to list anew. A list that broke off tells of nothing that is gone."""
    number, listed = 0, given.get("resource_indexed")
    there: set[tuple[str, str]] = set()
    events: AsyncIterator[Any] = watching.infinite_watch(
        settings=given["settings"],
        resource=given["resource"],
        namespace=given["namespace"],
        operator_paused=given.get("operator_paused"),
        _iterations=1,
    )
    async for event in events:
        if event is watching.Bookmark.LISTED:
            for key in known.keys() - there:
                meta = known.pop(key)
                _log.info("was deleted while nothing was heard of it", extra={"object": _name(meta), "resource": given["resource"].plural})
                _tell(handler, {"type": "DELETED", "object": {"metadata": meta}}, given)
            if listed is not None:
                await given["operator_indexed"].drop_toggle(listed)  # others wait until every kind was listed
        if isinstance(event, watching.Bookmark) or event["type"] == "BOOKMARK":
            continue
        meta = event["object"].get("metadata") or {}
        key = meta.get("namespace") or "", meta.get("name") or ""
        if event["type"] is None:
            there.add(key)
        if event["type"] == "DELETED":
            known.pop(key, None)
        else:
            known[key] = {field: meta[field] for field in KEPT if field in meta}
        _tell(handler, event, given)
        number += 1
        if number % BREATH_EVENTS == 0:
            await asyncio.sleep(0)


def _tell(handler: Handler, event: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    try:
        handler(event)
    except Exception:  # one object must never stop the others, whatever is in it
        named = _name(event["object"].get("metadata") or {})
        _log.exception("an event could not be understood", extra={"object": named, "resource": given["resource"].plural})


def _name(meta: Mapping[str, Any]) -> str:
    return f"{meta.get('namespace')}/{meta.get('name')}"
