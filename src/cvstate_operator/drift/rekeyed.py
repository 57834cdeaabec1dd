"""Rekeyed items: list items of ours that somebody gave another key, and so made into items of their own.

By server-side apply a list item is known by its key fields. Whoever changes one (the `port` of a Service, the `name` of a container) takes our item away
and puts another one beside, which they hold. Our apply alone would add ours again and leave theirs: refused as a duplicate name (422), or two of what
was to be one. To replace theirs by a patch would be listed under the operation Update of our own name, and hold the item after it left Git.

So only the word on who holds it is changed: it is made ours. The apply that follows then takes it away, as what we held and do not declare any more, and
adds what we declare, both in one write.

Read by the repair. Pure: no clock, no I/O; arguments are never changed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import orjson

from cvstate_operator.drift import defaults, matching
from cvstate_operator.drift.coverage import FieldDrift, Item, Step
from cvstate_operator.drift.extras import extras
from cvstate_operator.drift.field_set import FieldTree
from cvstate_operator.drift.keyed_items import ABSENT, Items

MAX_LISTS: Final = 100
"""Most lists that are looked at in one object; the rest keeps its strangers until the next turn."""

Elements = tuple[str, ...]
"""Path through a field set."""


def rekeyed(
    desired: Mapping[str, Any],
    live: Mapping[str, Any],
    drifts: Sequence[FieldDrift],
    *,
    manager: str,
    left_alone: Callable[[str], bool] = lambda _: False,
) -> list[dict[str, Any]]:
    """A JSON patch (RFC 6902) to be sent before the apply that repairs `drifts`; empty if none of our items was given another key.

    It changes nothing but `managedFields`, and only of this very state of the object: a write in between is a conflict (409). Theirs was made of ours if
    ours is gone and theirs has the same `name`; or if each is the only one of its sort and the list is as long as declared. Nothing is touched that
    anybody declares, or a controller, a component of the cluster or a manager that is left alone holds: see drift/extras.py.

    Args:
        desired: the object as Git has it.
        live: the object as it is, with `managedFields`.
        drifts: what is about to be repaired, with pointers into `desired`.
        manager: our field manager.
        left_alone: whether the fields of a manager are none of our business.
    """
    entries: Sequence[Mapping[str, Any]] = live.get("metadata", {}).get("managedFields") or ()
    lists = [found for path in _lists(desired, drifts) if (found := _list(desired, live, entries, path))]
    if not lists or not any(_is_ours(entry, manager) for entry in entries):
        return []
    foreign = {drift.path for drift in extras(desired, live, manager=manager, left_alone=left_alone)}
    taken = [element for found in lists for element in _made_of_ours(found, foreign)]
    if not taken:
        return []
    return [
        {"op": "replace", "path": "/metadata/managedFields", "value": list(_handed_over(entries, taken, manager))},
        # Set and not tested: a write in between is then a conflict (409), and no invalid request (422).
        {"op": "replace", "path": "/metadata/resourceVersion", "value": live["metadata"].get("resourceVersion")},
    ]


# -- the lists --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _List:
    """One list that lost items of ours."""

    pointer: str
    """JSON pointer into the live object."""
    elements: Elements
    desired: list[Any]
    live: list[Any]
    keys: Mapping[int, tuple[str, Mapping[str, Any]]]
    """Of live items by their index: the element of the field set, and the key fields."""


class _At(NamedTuple):
    """Where a walk through the live object is."""

    live: Any
    trees: Sequence[FieldTree]
    pointer: str
    elements: Elements


def _lists(desired: Mapping[str, Any], drifts: Sequence[FieldDrift]) -> list[tuple[Step, ...]]:
    """Paths of the lists in which items are to be put right, each once."""
    found: dict[str, tuple[Step, ...]] = {}
    for drift in drifts:
        if drift.is_extra or not drift.path:
            continue
        path = matching.locate(drift.path, desired)
        if isinstance(path[-1], Item):
            found.setdefault(drift.path.rpartition("/")[0], path[:-1])
        elif isinstance(drift.desired, list):
            found.setdefault(drift.path, path)
    return list(found.values())[:MAX_LISTS]


def _list(
    desired: Mapping[str, Any], live: Mapping[str, Any], entries: Sequence[Mapping[str, Any]], path: tuple[Step, ...]
) -> _List | None:
    """The list at a path into `desired`; None if there is none in `live`, or its items have no keys."""
    at = _At(live, [entry.get("fieldsV1") or {} for entry in entries], "", ())
    wanted: Any = desired
    for step in path:
        below = _item(at, step) if isinstance(step, Item) else _field(at, step)
        if below is None:
            return None
        at, wanted = below, step.value if isinstance(step, Item) else wanted.get(step)
    if not isinstance(at.live, list) or not isinstance(wanted, list):
        return None
    keys = dict(_keys(at))
    return _List(at.pointer, at.elements, wanted, at.live, keys) if keys else None


def _field(at: _At, name: str) -> _At | None:
    if not isinstance(at.live, Mapping) or name not in at.live:
        return None
    return _below(at, at.live[name], "f:" + name, name.replace("~", "~0").replace("/", "~1"))


def _item(at: _At, step: Item) -> _At | None:
    """The live item that has the key of a desired one."""
    for index, (element, key) in _keys(at):
        if Items([step.value]).like(key, _may_be_filled_in, is_value=False) is not ABSENT:
            return _below(at, at.live[index], element, str(index))
    return None


def _below(at: _At, live: Any, element: str, part: str) -> _At:
    return _At(live, [tree[element] for tree in at.trees if element in tree], f"{at.pointer}/{part}", (*at.elements, element))


def _keys(at: _At) -> Iterator[tuple[int, tuple[str, Mapping[str, Any]]]]:
    """Live items that somebody holds by key fields; those that cannot be told apart are left out."""
    items = Items(at.live if isinstance(at.live, list) else [])
    for element in dict.fromkeys(element for tree in at.trees for element in tree):
        if not element.startswith("k:"):
            continue
        try:
            key = orjson.loads(element[2:])
        except orjson.JSONDecodeError:
            continue
        found = items.find(key, is_value=False)
        if len(found) == 1:
            yield found[0], (element, key)


def _may_be_filled_in(name: str, value: Any) -> bool:
    """Whether the API server may have given a key field this value."""
    return defaults.is_default(name, value, {})


# -- what was made of what --------------------------------------------------------------------------------------------


def _made_of_ours(found: _List, foreign: set[str]) -> Iterator[Elements]:
    """Items that were made of ours, as paths through a field set."""
    wanted = Items(found.desired)
    present = {id(wanted.like(key, _may_be_filled_in, is_value=False)) for _, key in found.keys.values()}
    lost = [item for item in found.desired if isinstance(item, Mapping) and id(item) not in present]
    strange = [index for index in sorted(found.keys) if f"{found.pointer}/{index}" in foreign]
    named = [index for index in strange if any(_has_name_of(item, found.live[index]) for item in lost)]
    if not named and len(lost) == len(strange) == 1 and len(found.live) == len(found.desired):
        named = strange
    yield from ((*found.elements, found.keys[index][0]) for index in named)


def _has_name_of(item: Mapping[str, Any], other: Any) -> bool:
    return isinstance(other, Mapping) and item.get("name") is not None and item["name"] == other.get("name")


# -- who holds it -----------------------------------------------------------------------------------------------------


def _is_ours(entry: Mapping[str, Any], manager: str) -> bool:
    return entry.get("manager") == manager and entry.get("operation") == "Apply" and not entry.get("subresource")


def _handed_over(entries: Sequence[Mapping[str, Any]], taken: Sequence[Elements], manager: str) -> Iterator[dict[str, Any]]:
    """The entries with the items in ours, and in no other."""
    for entry in entries:
        tree: FieldTree = entry.get("fieldsV1") or {}
        for path in taken:
            tree = _with(tree, path) if _is_ours(entry, manager) else _without(tree, path)
        if tree:
            yield {**entry, "fieldsV1": tree}


def _with(tree: FieldTree, path: Elements) -> FieldTree:
    if not path:
        return {".": {}}
    return {**tree, path[0]: _with(tree.get(path[0], {}), path[1:])}


def _without(tree: FieldTree, path: Elements) -> FieldTree:
    """Without one place, and without what held nothing else: empty, it would stand for all that is there."""
    first, *rest = path
    if first not in tree:
        return tree
    below = _without(tree[first], tuple(rest)) if rest else {}
    if rest and below == tree[first]:
        return tree
    others = {name: inside for name, inside in tree.items() if name != first}
    return {**others, first: below} if below else others
