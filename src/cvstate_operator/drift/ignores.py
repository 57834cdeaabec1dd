"""Ignores: fields of an object that are left to others, and how an apply leaves them alone.

Server-side apply gives no way to say "as it is". A field that we stop sending is *removed* if we alone hold it (`spec.replicas` then falls back to
its default of 1), and given up if somebody else holds it too (Kubernetes documentation, "Server-Side Apply", "Transferring Ownership").
A field that we send becomes ours. So a field that is left out of an apply goes into the body by who holds it, as `managedFields` says:

    we alone                sent with its live value: nothing changes, and we stay its holder until somebody else writes it
    we and others           not sent: its value stays, it is theirs from now on
    others                  not sent: as it was
    nobody, or it is gone   not sent: a default stays a default, a removed field stays removed
    the object is new       the whole body is sent: Git gives the first value

The first row holds for fields that Git does not have any more too, so that nobody who hands a field over by ignoring it, and then takes it out of Git,
loses its value. Two things of a list item are not left out: its key fields, without which it would be another item, and anything in an item that
does not exist, since it is made as Git has it. An item that left Git goes with everything in it, unless a pattern means the item itself.
An atomic list or map has one holder as a whole: what is left out inside one is sent with its live value. Identity and our own marks always stay.

A body that carries live values carries `metadata.resourceVersion` of the live object too: if somebody wrote meanwhile, the API server refuses it (409)
instead of putting the old value back.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

import orjson

from cvstate_operator.api.drift import Ignore, IgnoreTarget
from cvstate_operator.api.label_selector import parse_selector
from cvstate_operator.api.names import DIGEST
from cvstate_operator.api.path_pattern import Pattern, exact, parse_pattern
from cvstate_operator.drift import matching
from cvstate_operator.drift.coverage import FieldDrift, Item, Step
from cvstate_operator.drift.field_set import FieldTree
from cvstate_operator.drift.rules import is_kind
from cvstate_operator.objects.identity import ObjectRef
from cvstate_operator.objects.manifest import Body
from cvstate_operator.objects.ownership import PART_OF_LABEL

_ALWAYS_SENT: Final = frozenset(
    {
        ("apiVersion",),
        ("kind",),
        *(("metadata", name) for name in ("name", "namespace", "uid", "resourceVersion")),
        ("metadata", "labels", PART_OF_LABEL),
        ("metadata", "annotations", DIGEST),
    }
)
"""Without its digest an object would never count as up to date; without its label it would leave the set."""

_MARKED: Final = frozenset({("metadata",), ("metadata", "labels"), ("metadata", "annotations")})
"""Maps that hold some of them, and are therefore never left out as one."""

_ABSENT: Final[Any] = object()


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What an apply to one object leaves alone."""

    patterns: tuple[Pattern, ...] = ()
    managers: tuple[str, ...] = ()
    """Field managers whose fields are left alone; a `*` at the end stands for any rest."""

    def __bool__(self) -> bool:
        return bool(self.patterns or self.managers)

    def with_fields(self, pointers: Iterable[str]) -> "LeftOut":
        """These fields too, by JSON pointers into the body: drifts that wait, or that a breaker holds."""
        return replace(self, patterns=(*self.patterns, *(exact(pointer) for pointer in pointers)))

    def covers(self, drift: FieldDrift, body: Mapping[str, Any]) -> bool:
        """Whether a drift is none, because its field, or who wrote it, is left alone. Never so of an object that is gone.

        Args:
            drift: one field.
            body: what its path points into.
        """
        steps = matching.locate(drift.path, body)
        return bool(steps) and (
            matching.is_named(drift.manager, self.managers) or any(matching.covers(pattern, steps) for pattern in self.patterns)
        )


def select(ignores: Sequence[Ignore], ref: ObjectRef, labels: Mapping[str, str]) -> LeftOut:
    """What the ignores of a ClusterState come to for one object.

    Args:
        ignores: `spec.drift.ignore`.
        ref: the object.
        labels: those it has in Git. A label that somebody puts on the live object must not switch off its repair.
    """
    chosen = [ignore for ignore in ignores if _is_target(ignore.target, ref, labels)]
    return LeftOut(
        tuple(_parsed(path) for ignore in chosen for path in ignore.paths), tuple(name for ignore in chosen for name in ignore.managers)
    )


def without(body: Mapping[str, Any], left_out: LeftOut, *, live: Mapping[str, Any] | None, manager: str) -> Body:
    """The body to apply so that what is left out keeps its live value; see the table at the top of this module.

    Made for one apply, to this very live object: after a 409 it has to be made again from a newer one.

    Args:
        body: the object as Git has it, with our marks or without; not changed.
        left_out: what to leave alone.
        live: the object as it is, with `managedFields`; None if there is none.
        manager: our field manager.
    """
    if live is None or not left_out:
        return dict(body)
    ours, others = _holders(live, manager)
    ignored = [tree for name, tree in others if matching.is_named(name, left_out.managers)]
    walk = [(pattern, matching.start(pattern)) for pattern in left_out.patterns]
    taken: list[Any] = []
    result = _merged_map(body, _Node(live, ours, tuple(tree for _, tree in others), tuple(ignored), tuple(walk), (), taken))
    version = live.get("metadata", {}).get("resourceVersion")
    return {**result, "metadata": {**result.get("metadata", {}), "resourceVersion": version}} if taken and version else result


def _is_target(target: IgnoreTarget, ref: ObjectRef, labels: Mapping[str, str]) -> bool:
    return (
        (target.kind is None or is_kind(ref, target.kind))
        and (target.group is None or target.group == ref.group)
        and (target.name is None or matching.is_named(ref.name, (target.name,)))
        and (target.namespace is None or matching.is_named(ref.namespace, (target.namespace,)))
        and (target.label_selector is None or all(part.holds(labels) for part in parse_selector(target.label_selector)))
    )


@lru_cache(maxsize=1024)
def _parsed(path: str) -> Pattern:
    return parse_pattern(path)


# -- the walk through desired, live and who holds what --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Node:
    """One place in the object, but for what Git wants there."""

    live: Any
    """`_ABSENT` if there is nothing."""
    ours: FieldTree | None
    """What we hold below here; empty: all of it; None: nothing."""
    others: tuple[FieldTree, ...]
    """The same of everyone else who holds something here."""
    ignored: tuple[FieldTree, ...]
    """Those of them that are left alone."""
    walk: tuple[tuple[Pattern, matching.Cursor], ...]
    """Patterns that may still mean something here or below."""
    path: tuple[str, ...]
    """Names from the root, as long as there is no list on the way; for `_ALWAYS_SENT`."""
    taken: list[Any]
    """Live values that went into the body; one list for the whole walk."""

    @property
    def is_left_out(self) -> bool:
        """Whether a pattern means this place, or one around it, or a manager that is left alone holds it as a whole."""
        return any(len(pattern) in cursor for pattern, cursor in self.walk) or any(not tree for tree in self.ignored)

    @property
    def is_untouched(self) -> bool:
        """Whether nothing is left out here or below."""
        return not self.walk and not self.ignored

    @property
    def trees(self) -> tuple[FieldTree, ...]:
        """What anyone holds here, we first."""
        return self.others if self.ours is None else (self.ours, *self.others)

    @property
    def is_atomic(self) -> bool:
        """Whether it is held as a whole: somebody does, and nobody holds anything in it."""
        return bool(self.trees) and not any(self.trees)

    def below(self, step: Step, live: Any, element: str | None) -> "_Node":
        """The place one step further; `element` is how `managedFields` spells it (None if nobody holds it)."""
        moved = ((pattern, matching.advance(pattern, cursor, step)) for pattern, cursor in self.walk)
        return _Node(
            live,
            self.ours.get(element) if self.ours and element else None,
            tuple(tree[element] for tree in self.others if element in tree) if element else (),
            tuple(tree[element] for tree in self.ignored if element in tree) if element else (),
            tuple((pattern, cursor) for pattern, cursor in moved if cursor),
            (*self.path, step) if isinstance(step, str) else ("[]",),
            self.taken,
        )

    def kept(self) -> Any:
        """What is sent for a place that is left out; `_ABSENT` for nothing."""
        return self.taking(_held_by_us_alone(self.live, self.ours, self.others))

    def taking(self, value: Any) -> Any:
        """`value`, which is a live one, noted."""
        if value is not _ABSENT:
            self.taken.append(value)
        return value


def _merged(desired: Any, node: _Node) -> Any:
    """What to send at one place; `_ABSENT` for nothing."""
    if node.path in _ALWAYS_SENT or node.is_untouched:
        return desired
    if node.is_left_out and node.path not in _MARKED:
        return node.kept()
    if node.is_atomic:
        return _overlaid(desired, node)
    # What Git does not have may be held by us, and left out, inside what is there.
    shape = node.live if desired is _ABSENT else desired
    if isinstance(shape, Mapping):
        # A map or list of which nothing is left is not sent either, but where it is empty in Git.
        return _merged_map({} if desired is _ABSENT else desired, node) or (_ABSENT if desired else {})
    if isinstance(shape, list):
        return _merged_list([] if desired is _ABSENT else desired, node) or (_ABSENT if desired else [])
    return desired


def _merged_map(desired: Mapping[str, Any], node: _Node) -> dict[str, Any]:
    live = node.live if isinstance(node.live, Mapping) else {}
    gone = (element[2:] for element in node.ours or () if element.startswith("f:") and element[2:] not in desired)
    result = {}
    for name in (*desired, *gone):
        value = _merged(desired.get(name, _ABSENT), node.below(name, live.get(name, _ABSENT), "f:" + name))
        if value is not _ABSENT:
            result[name] = value
    return result


def _merged_list(desired: Sequence[Any], node: _Node) -> list[Any]:
    items = _LiveItems(node)
    result = []
    for index, value in enumerate(desired):
        element, live = items.find(value)
        below = node.below(Item(value, index), live, element)
        sent = value if live is _ABSENT and not below.is_left_out else _merged(value, below)
        if sent is not _ABSENT:
            result.append({**items.key_fields(value), **sent} if isinstance(sent, dict) and isinstance(value, Mapping) else sent)
    for element, live in items.not_in(desired):
        below = node.below(Item(live, -1), live, element)
        sent = below.kept() if below.is_left_out else _ABSENT
        if sent is not _ABSENT:
            result.append({**_parse_key(element), **sent} if isinstance(sent, dict) else sent)
    return result


def _overlaid(desired: Any, node: _Node) -> Any:
    """A value that has one holder as a whole, with the live values of what is left out inside."""
    if isinstance(desired, Mapping):
        live = node.live if isinstance(node.live, Mapping) else {}
        steps: Iterator[tuple[Any, Step, Any]] = ((name, name, live.get(name, _ABSENT)) for name in {**desired, **live})
        below = {name: _overlaid_step(desired.get(name, _ABSENT), node.below(step, value, None)) for name, step, value in steps}
        return {name: value for name, value in below.items() if value is not _ABSENT}
    if isinstance(desired, list):
        old = node.live if isinstance(node.live, list) and len(node.live) == len(desired) else desired
        return [_overlaid_step(value, node.below(Item(value, at), old[at], None)) for at, value in enumerate(desired)]
    return desired


def _overlaid_step(desired: Any, node: _Node) -> Any:
    if node.is_left_out:
        return node.taking(node.live)
    return _ABSENT if desired is _ABSENT else _overlaid(desired, node)


def _held_by_us_alone(live: Any, ours: FieldTree | None, others: Sequence[FieldTree]) -> Any:
    """What of a live value goes away if we stop sending it; `_ABSENT` if nothing does."""
    if live is _ABSENT or ours is None or any(not tree for tree in others):
        return _ABSENT
    if not ours:
        theirs = {element[2:] for tree in others for element in tree if element.startswith("f:")}
        return {name: value for name, value in live.items() if name not in theirs} if isinstance(live, Mapping) else live
    if isinstance(live, Mapping):
        result = {}
        for element, below in ours.items():
            value = _held_by_us_alone(live.get(element[2:], _ABSENT), below, _under(others, element)) if element != "." else _ABSENT
            if value is not _ABSENT:
                result[element[2:]] = value
        return result or _ABSENT
    return _items_held_by_us_alone(live, ours, others) if isinstance(live, list) else _ABSENT


def _items_held_by_us_alone(live: Sequence[Any], ours: FieldTree, others: Sequence[FieldTree]) -> Any:
    result = []
    for value in live:
        element = _element_of(value, ours)
        sent = _held_by_us_alone(value, ours[element], _under(others, element)) if element else _ABSENT
        if element and sent is not _ABSENT:
            result.append({**_parse_key(element), **sent} if isinstance(sent, dict) else sent)
    return result or _ABSENT


def _under(trees: Sequence[FieldTree], element: str) -> tuple[FieldTree, ...]:
    return tuple(tree[element] for tree in trees if element in tree)


# -- items of associative lists ---------------------------------------------------------------------------------------


class _LiveItems:
    """The items of a live list, found by the key fields that `managedFields` knows them by."""

    def __init__(self, node: _Node) -> None:
        self._items: list[Any] = node.live if isinstance(node.live, list) else []
        self._ours = node.ours or {}
        self._elements = {element: tree for tree in node.trees for element, tree in tree.items()}
        self._keys = {name for element in self._elements if element.startswith("k:") for name in _parse_key(element)}

    def find(self, desired: Any) -> tuple[str | None, Any]:
        """How a desired item is spelled in field sets (None if nobody holds it), and its live value (`_ABSENT` if there is none)."""
        live = next((item for item in self._items if self._is_same(item, desired)), _ABSENT)
        return _element_of(desired if live is _ABSENT else live, self._elements), live

    def key_fields(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """Those that Git spells out."""
        return {name: item[name] for name in item if name in self._keys}

    def not_in(self, desired: Sequence[Any]) -> Iterator[tuple[str, Any]]:
        """Live items that we hold and Git does not have."""
        for item in self._items:
            element = _element_of(item, self._ours)
            if element and not any(self._is_same(item, wanted) for wanted in desired):
                yield element, item

    def _is_same(self, live: Any, desired: Any) -> bool:
        if not isinstance(live, Mapping) or not isinstance(desired, Mapping):
            return bool(live == desired)
        # A key field that Git leaves out was defaulted by the server (`protocol: TCP`).
        named = [name for name in self._keys if name in desired]
        return bool(named) and all(live.get(name) == desired[name] for name in named)


def _element_of(item: Any, tree: FieldTree) -> str | None:
    """The path element of `tree` that means this list item; None if none does."""
    for element in tree:
        if element.startswith("k:") and isinstance(item, Mapping):
            if all(item.get(name, value) == value for name, value in _parse_key(element).items()):
                return element
        elif element.startswith("v:") and not isinstance(item, Mapping) and orjson.loads(element[2:]) == item:
            return element
    return None


def _parse_key(element: str) -> dict[str, Any]:
    key = orjson.loads(element[2:])
    return key if isinstance(key, dict) else {}


def _holders(live: Mapping[str, Any], manager: str) -> tuple[FieldTree, list[tuple[str, FieldTree]]]:
    """What we applied, and everyone else's fields by manager.

    Entries of another version of the API do not count: their paths may mean something else. A field that is taken for ours alone by that is sent with
    its live value, which changes nothing.
    """
    ours: FieldTree = {}
    others: list[tuple[str, FieldTree]] = []
    for entry in live.get("metadata", {}).get("managedFields") or ():
        tree: FieldTree = entry.get("fieldsV1") or {}
        if entry.get("manager") == manager and entry.get("operation") == "Apply" and not entry.get("subresource"):
            ours = tree
        elif entry.get("apiVersion", live.get("apiVersion")) == live.get("apiVersion"):
            others.append((str(entry.get("manager", "")), tree))
    return ours, others
