"""Coverage: which desired fields we do not hold in a live object, and who does.

By server-side apply a manager holds exactly the fields it declared, and loses a field when another manager gives it another value or removes it
(Kubernetes documentation, "Server-Side Apply", field management). So desired fields that our entry in `managedFields` does not cover are the fields
that drifted, even if nobody watched. Needed after a restart, when no baseline fingerprint is known, and to name the fields of a drift.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

import orjson

from cvstate_operator.drift.field_set import FieldTree

_NOT_MANAGED: Final = (("apiVersion",), ("kind",), ("metadata", "name"), ("metadata", "namespace"), ("metadata", "uid"))
"""Fields of every object that `managedFields` never lists. Compared one by one: a path through a list item has no hash."""

_LIKELY_KEYS: Final = ("name", "key", "containerPort", "port", "mountPath", "devicePath", "ip", "uid", "topologyKey", "type")
"""Key fields of the built-in associative lists (`x-kubernetes-list-map-keys`), to find a live item for display."""


class Item(NamedTuple):
    """A step into a list: the desired item itself, since a list item is known by its key fields and not by its index."""

    value: Any
    position: int


Step: TypeAlias = str | Item
"""One step of a path: a field name, or a list item."""


@dataclass(frozen=True, slots=True)
class FieldDrift:
    """One desired field that is not as declared."""

    path: str
    """JSON pointer into the desired object (RFC 6901), for example `/spec/replicas`; empty for the object as a whole."""
    desired: Any
    live: Any
    """None if the field is gone."""
    manager: str
    """Field manager that holds the field now; if nobody does (it was removed) the last other writer of the object; empty if unknown."""
    since: str
    """When that manager last wrote, RFC 3339; empty if unknown."""
    is_held: bool = False
    """Whether that manager holds the field now; if not, the field was removed, or defaulted."""

    @property
    def is_absence(self) -> bool:
        """Whether the object as a whole is not there."""
        return not self.path and self.desired is not None and self.live is None

    @property
    def is_extra(self) -> bool:
        """Whether Git has no such field; then the path points into the live object."""
        return bool(self.path) and self.desired is None


def lost_fields(desired: Mapping[str, Any], ours: FieldTree) -> Iterator[tuple[Step, ...]]:
    """Yield the path of every desired field that our field set `ours` does not cover, in document order.

    Null values and empty maps and lists are not counted: the API server may drop them, and does not always list them.
    """
    yield from _lost(desired, ours, ())


def field_drifts(desired: Mapping[str, Any], live: Mapping[str, Any], ours: FieldTree, *, manager: str) -> tuple[FieldDrift, ...]:
    """Every lost field with its live value and its writer; empty if `ours` covers `desired`."""
    others = [e for e in live.get("metadata", {}).get("managedFields") or () if not _is_ours(e, manager)]
    taken = _taken(desired, live, ours, tuple(e.get("fieldsV1") or {} for e in others), ())
    return tuple(_describe(desired, live, path, others) for path in (*lost_fields(desired, ours), *taken))


def pointer(path: Sequence[Step]) -> str:
    """JSON pointer for `path`; list items by their index in the desired list."""
    parts = (str(step.position) if isinstance(step, Item) else step.replace("~", "~0").replace("/", "~1") for step in path)
    return "".join("/" + part for part in parts)


def _is_ours(entry: Mapping[str, Any], manager: str) -> bool:
    return entry.get("manager") == manager and entry.get("operation") == "Apply" and not entry.get("subresource")


def _lost(desired: Any, tree: FieldTree, path: tuple[Step, ...]) -> Iterator[tuple[Step, ...]]:
    if isinstance(desired, Mapping):
        for name, value in desired.items():
            here = (*path, name)
            if value is None or value in ({}, []) or here in _NOT_MANAGED:
                continue
            below = tree.get("f:" + name)
            if below is None:
                yield from _leaves(value, here)
            elif below:
                yield from _lost(value, below, here)
    elif isinstance(desired, list):
        for index, value in enumerate(desired):
            here = (*path, Item(value, index))
            below = _item_tree(tree, value)
            if below is None:
                yield here
            elif below:
                yield from _lost(value, below, here)


def _taken(desired: Any, live: Any, tree: FieldTree, others: Sequence[FieldTree], path: tuple[Step, ...]) -> Iterator[tuple[Step, ...]]:
    """What others took out of a map that our field set names as a leaf.

    Of a map whose last field of ours was taken the map itself stays in our set, as `f:spec: {}`, just as one that we hold as a whole. Whoever holds
    something inside it tells the two apart, and so does a field that is gone.
    """
    if not isinstance(desired, Mapping) or not isinstance(live, Mapping):
        return
    for name, value in desired.items():
        element, here = "f:" + name, (*path, name)
        if element not in tree or here in _NOT_MANAGED or not isinstance(value, Mapping):
            continue
        below = tuple(other[element] for other in others if element in other)
        if tree[element]:
            yield from _taken(value, live.get(name), tree[element], below, here)
        elif value and isinstance(inside := live.get(name), Mapping):
            held = {found for other in below for found in other}
            for field, wanted in value.items():
                if "f:" + field in held or field not in inside:
                    yield from _leaves(wanted, (*here, field))


def _leaves(value: Any, path: tuple[Step, ...]) -> Iterator[tuple[Step, ...]]:
    """A map that is lost as a whole is told field by field; lists and scalars as one."""
    if isinstance(value, Mapping) and value:
        for name, below in value.items():
            yield from _leaves(below, (*path, name))
    elif value is not None and value not in ({}, []) and path not in _NOT_MANAGED:
        yield path


def _item_tree(tree: FieldTree, item: Any) -> FieldTree | None:
    """The subtree that a field set has for a list item; None if it does not hold it.

    A key field that the desired item leaves out was defaulted by the server (`protocol: TCP`), so it is not compared.
    """
    for element, below in tree.items():
        kind, _, rest = element.partition(":")
        if kind == "k" and isinstance(item, Mapping):
            key = orjson.loads(rest)
            if all(item.get(name, value) == value for name, value in key.items()):
                return below
        elif kind == "v" and not isinstance(item, Mapping) and orjson.loads(rest) == item:
            return below
    return None


def _describe(desired: Any, live: Any, path: tuple[Step, ...], others: Sequence[Mapping[str, Any]]) -> FieldDrift:
    holders = [e for e in others if _holds(e.get("fieldsV1", {}), path)]
    candidates = holders or [e for e in others if e.get("subresource") != "status"]
    writer = max(candidates, key=lambda e: e.get("time", ""), default={})
    return FieldDrift(
        pointer(path),
        value_at(desired, path),
        value_at(live, path),
        writer.get("manager", ""),
        writer.get("time", ""),
        is_held=bool(holders),
    )


def _holds(tree: FieldTree, path: tuple[Step, ...]) -> bool:
    for step in path:
        if not tree:
            return True
        below = tree.get("f:" + step) if isinstance(step, str) else _item_tree(tree, step.value)
        if below is None:
            return False
        tree = below
    return True


def value_at(obj: Any, path: Sequence[Step]) -> Any:
    """What stands at a place of an object; None if there is nothing."""
    for step in path:
        if isinstance(step, str):
            obj = obj.get(step) if isinstance(obj, Mapping) else None
        else:
            obj = _find_item(obj, step.value)
        if obj is None:
            return None
    return obj


def _find_item(items: Any, wanted: Any) -> Any:
    if not isinstance(items, list):
        return None
    if not isinstance(wanted, Mapping):
        return wanted if wanted in items else None
    keys = [key for key in _LIKELY_KEYS if key in wanted][:1]
    return next((item for item in items if isinstance(item, Mapping) and keys and item.get(keys[0]) == wanted[keys[0]]), None)
