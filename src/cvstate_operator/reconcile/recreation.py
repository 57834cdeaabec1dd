"""Recreations: which fields a recreate would change, for the person who is to agree to it.

The API server refuses to say what such an object would be. So what Git declares is compared with what is there, and defaults are no difference.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from cvstate_operator import errors
from cvstate_operator.api.change_plan import MAX_CHANGE, MAX_CHANGES, MAX_ITEMS
from cvstate_operator.api.names import FIELD_MANAGER
from cvstate_operator.drift.difference import Difference, differences
from cvstate_operator.objects import redaction
from cvstate_operator.objects.identity import GroupKind
from cvstate_operator.objects.manifest import Manifest
from cvstate_operator.plan.consent import Item
from cvstate_operator.plan.desired import Desired
from cvstate_operator.reconcile.outcome import Waits
from cvstate_operator.reconcile.ports import World


class Recreations:
    """Of one ClusterState. Not for concurrent use."""

    def __init__(self, world: World, *, owner: str) -> None:
        """
        Args:
            world: everything outside.
            owner: ApplySet id.
        """
        self._world = world
        self._owner = owner
        self._known: dict[Item, tuple[str, ...]] = {}

    async def look(self, waits: Iterable[Waits], wanted: Desired) -> None:
        """Learn what those that are new would change; nothing else is asked of the API server. One that cannot be looked at now is looked at in a later pass."""
        items = [one.item for one in waits][:MAX_ITEMS]
        self._known = {item: self._known[item] for item in items if item in self._known}
        for item in items:
            if item in self._known or (manifest := wanted.objects.get(item.ref)) is None:
                continue
            try:
                self._known[item] = await self._changes(manifest)
            except errors.CvstateError:
                return

    def told(self, waits: Iterable[Waits]) -> tuple[Waits, ...]:
        """The same with what is known of each."""
        return tuple(replace(one, changes=self._known.get(one.item, ())) for one in waits)

    async def _changes(self, manifest: Manifest) -> tuple[str, ...]:
        body = self._world.renderer.body(manifest)
        preview = await self._world.cluster.preview(manifest, body, owner=self._owner)
        return lines(manifest.ref.group_kind, declared(preview.live, body)) if preview.live else ()


def declared(live: Mapping[str, Any], body: Mapping[str, Any]) -> Difference:
    """What is in a live object otherwise than `body` declares it."""
    found = differences(live, body, manager=FIELD_MANAGER)
    changes = () if found.only_marks else tuple(change for change in found.changes if change.after is not None)
    return replace(found, changes=changes)


def lines(kind: GroupKind, difference: Difference) -> tuple[str, ...]:
    """One line per field, masked in Secrets; what is too much is counted."""
    told = []
    for change in difference.changes[:MAX_CHANGES]:
        before, after = (redaction.shown(kind, change.path, value) for value in (change.before, change.after))
        told.append(redaction.one_line(f"{change.shown}: {before} → {after}", MAX_CHANGE))
    more = len(difference.changes) + difference.more - len(told)
    return (*told, f"… and {more} more") if more else tuple(told)
