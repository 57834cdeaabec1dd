"""The stream: what kopf's watches tell of our own kinds, handed on as it comes.

By itself kopf has a task and a queue for each object, and puts together for each event whatever a handler may ask for. That is for handlers that take long and note on the object how
far they came. Ours only remember what they are told: that takes 0.1 ms, and kopf's way to them three times as much (measured), for each event about each ClusterState,
whichever replica has it. So for these kinds the way ends at kopf's watch: to log in, to list, to watch and to begin anew stays with kopf.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from kopf._cogs.clients import watching
from kopf._core.reactor import queueing

from cvstate_operator.api import names

BREATH_EVENTS: Final = 10
"""After so many objects of a list others get their turn: to take a ClusterState up takes 1 ms (measured)."""

Handler = Callable[[Mapping[str, Any]], None]
"""Told of one event, `{"type": …, "object": …}`; quick. The type is DELETED for an object that is gone."""

_log = logging.getLogger(__name__)
_queue = queueing.watcher
"""kopf's own way, for all other kinds."""


def hand_on(handlers: Mapping[str, Handler]) -> None:
    """Have kopf hand events about these kinds on from now on, whatever handlers it has for them. Of the process: it runs one operator.

    Args:
        handlers: by the plural name of a kind of our group.
    """

    async def watcher(**given: Any) -> None:
        resource = given["resource"]
        handler = handlers.get(resource.plural) if resource.group == names.GROUP else None
        await (_queue(**given) if handler is None else _watch(handler, given))

    queueing.watcher = watcher


async def _watch(handler: Handler, given: Mapping[str, Any]) -> None:
    """In place of kopf's `queueing.watcher`, with its arguments."""
    number, listed = 0, given.get("resource_indexed")
    events = watching.infinite_watch(
        settings=given["settings"], resource=given["resource"], namespace=given["namespace"], operator_paused=given.get("operator_paused")
    )
    async for event in events:
        if isinstance(event, watching.Bookmark):
            if event is watching.Bookmark.LISTED and listed is not None:
                await given["operator_indexed"].drop_toggle(listed)  # others wait until every kind was listed
            continue
        if event["type"] == "BOOKMARK":
            continue
        try:
            handler(event)
        except Exception:  # one object must never stop the others, whatever is in it
            _log.exception("an event could not be understood", extra={"object": _name(event), "resource": given["resource"].plural})
        number += 1
        if number % BREATH_EVENTS == 0:
            await asyncio.sleep(0)


def _name(event: Mapping[str, Any]) -> str:
    meta = event["object"].get("metadata") or {}
    return f"{meta.get('namespace')}/{meta.get('name')}"
