"""Difference: what a server-side apply would change in a live object, field by field.

Input is the live object and the API server's answer to a dry run of the apply: both complete, in the server's normal form, so that defaulting,
conversion and webhooks are no difference. Readers are the preview and whoever approves a plan.

How a list is compared, `managedFields` of the two objects says: `k:` elements make it a map by these key fields, `v:` elements a set, and a leaf is
one value as a whole (structured-merge-diff, fieldpath/serialize-pe.go). Of a list that nobody manages, items that all have a unique `name` or `key`
are matched by it. The order of items that are matched is no difference.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, NamedTuple

import orjson

from cvstate_operator.api.names import DIGEST
from cvstate_operator.drift.field_set import FieldTree
from cvstate_operator.objects import redaction
from cvstate_operator.objects.identity import GroupKind
from cvstate_operator.objects.ownership import PART_OF_LABEL

MAX_CHANGES: Final = 500
"""Changes of one object that are told; more are counted. Nobody reads more, and an object of 1.5 MiB may hold 100 000 fields."""
SHOWN_CHARACTERS: Final = 512
"""Longest `FieldChange.shown`: that of a path pattern (api/path_pattern.py)."""

_SERVER_FIELDS: Final = frozenset({"managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink"})
"""Of `metadata`: written by the API server alone (Kubernetes API conventions, "Metadata")."""
_MARKS: Final = (("labels", PART_OF_LABEL), ("annotations", DIGEST))
_GUESSED_KEYS: Final = ("name", "key")


class Kind(StrEnum):
    """What would happen to a field."""

    ADDED = "Added"
    CHANGED = "Changed"
    REMOVED = "Removed"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field that an apply would change. A map that comes or goes is told field by field; a list and a list item as one."""

    path: str
    """JSON pointer (RFC 6901), empty for the object as a whole. List items by their position in the planned object, a removed one by that in the live one."""
    shown: str
    """The same for people, on one line: list items by their key, as in `/spec/containers[name=app]/image`."""
    kind: Kind
    before: Any = field(repr=False)
    """None if it is added. Not masked; see `shown`."""
    after: Any = field(repr=False)
    """None if it is removed. Not masked; see `shown`."""
    manager: str
    """Field manager that holds the field now; of several another before ourselves, then who wrote last. Empty if nobody does."""
    since: str
    """When that manager last wrote, RFC 3339; empty if nobody holds the field or the time is unknown."""


@dataclass(frozen=True, slots=True)
class Difference:
    """All that an apply would change in one object; false if that is nothing."""

    changes: tuple[FieldChange, ...] = ()
    """At most `MAX_CHANGES`, sorted by field name, list items as they stand in the planned object."""
    more: int = 0
    """How many changes there are beyond these."""
    only_marks: bool = False
    """Whether nothing changes but our own marks: the owner's label and the digest annotation. Otherwise they are left out."""

    def __bool__(self) -> bool:
        return bool(self.changes)


def differences(live: Mapping[str, Any] | None, planned: Mapping[str, Any], *, manager: str) -> Difference:
    """What an apply would change.

    Args:
        live: the object as it is, with `managedFields`; None if there is none: then it is added as a whole.
        planned: the answer to the dry run. Neither may be nested deeper than 200 levels (kube/nesting.py).
        manager: our field manager.
    """
    after, marks_after = _parted(planned)
    if live is None:
        return Difference((FieldChange("", "", Kind.ADDED, None, after, "", ""),))
    before, marks_before = _parted(live)
    claims = (*_claims(live, manager), *(claim._replace(writer=None) for claim in _claims(planned, manager)))
    found = _Found()
    found.compare(before, after, _ROOT, claims)
    only_marks = not found.changes
    if only_marks:
        found.compare(marks_before, marks_after, _ROOT, claims)
    return Difference(tuple(found.changes), found.more, only_marks and bool(found.changes))


def shown(change: FieldChange, kind: GroupKind) -> str:
    """The change as one line for people, cut, and masked if it may be the content of a Secret.

    Args:
        change: what changes.
        kind: kind of the object it is in.
    """
    if not change.path:
        return "the object is created"
    before, after = (redaction.shown(kind, change.path, value) for value in (change.before, change.after))
    held = f", held by {redaction.one_line(change.manager)}" if change.manager else ""
    since = f" since {redaction.one_line(change.since)}" if change.manager and change.since else ""
    return f"{change.shown}: {before} → {after}{held}{since}"


# -- who holds what ----------------------------------------------------------------------------------------------------


class _Writer(NamedTuple):
    """One entry of `managedFields`; the greatest is the one to name."""

    is_other: bool
    since: str
    manager: str


class _Claim(NamedTuple):
    """What one entry of `managedFields` says of the field at hand."""

    tree: FieldTree
    """Its part of the field set; a leaf stands for everything below it."""
    writer: _Writer | None
    """None if it tells only how lists are compared: it is of the planned object."""


_Claims = Sequence[_Claim]


def _claims(obj: Mapping[str, Any], manager: str) -> Iterator[_Claim]:
    for entry in obj.get("metadata", {}).get("managedFields") or ():
        if tree := entry.get("fieldsV1"):
            ours = entry.get("manager") == manager and entry.get("operation") == "Apply" and not entry.get("subresource")
            yield _Claim(tree, _Writer(not ours, entry.get("time") or "", entry.get("manager") or ""))


def _below(claims: _Claims, name: str) -> _Claims:
    """What they say of a field of the map at hand."""
    found = []
    for claim in claims:
        tree = claim.tree.get("f:" + name) if claim.tree else claim.tree
        if tree is not None:
            found.append(_Claim(tree, claim.writer))
    return found


# -- lists -------------------------------------------------------------------------------------------------------------


class _Identity(NamedTuple):
    """What makes an item of a list the same item in another state of the list."""

    keys: tuple[str, ...]
    """Names of its key fields; none for the item itself, an element of a set."""

    def of(self, item: Any) -> bytes:
        return orjson.dumps([item.get(key) for key in self.keys] if self.keys else item, option=orjson.OPT_SORT_KEYS)

    def shown(self, item: Any) -> str:
        pairs = [(key, item.get(key)) for key in self.keys] or [("", item)]
        return "[" + ",".join(f"{_escaped(key)}={_escaped(_text(value))}" for key, value in pairs) + "]"


_SET: Final = _Identity(())


def _identity(before: Sequence[Any], after: Sequence[Any], claims: _Claims) -> _Identity | None:
    """How items of a list are matched; None if it is one value as a whole."""
    items = (*before, *after)
    are_maps = all(isinstance(item, Mapping) for item in items)
    for element in (element for claim in claims for element in claim.tree):
        if element.startswith("k:") and are_maps and isinstance(key := _parsed(element), Mapping):
            return _Identity(tuple(sorted(key)))
        if element.startswith("v:"):
            return _SET
    if claims or not are_maps:
        return None
    return next((_Identity((key,)) for key in _GUESSED_KEYS if _is_unique(key, before) and _is_unique(key, after)), None)


def _is_unique(key: str, items: Sequence[Mapping[str, Any]]) -> bool:
    values = [item.get(key) for item in items]
    return all(isinstance(value, str) for value in values) and len(set(values)) == len(values)


def _by_identity(items: Sequence[Any], identity: _Identity) -> dict[tuple[bytes, int], int]:
    """Position of each item by what identifies it; where items are alike (the API server lets old objects have them) by their order too."""
    seen: Counter[bytes] = Counter()
    found = {}
    for position, item in enumerate(items):
        key = identity.of(item)
        found[key, seen[key]] = position
        seen[key] += 1
    return found


def _claims_by_item(claims: _Claims, identity: _Identity) -> dict[bytes, list[_Claim]]:
    """What they say of each item of a list; under the empty key what they say of all."""
    found: dict[bytes, list[_Claim]] = {b"": []}
    for claim in claims:
        if not claim.tree:
            found[b""].append(claim)
        for element, below in claim.tree.items():
            if element.startswith("v:") and not identity.keys:
                found.setdefault(identity.of(_parsed(element)), []).append(_Claim(below, claim.writer))
            elif element.startswith("k:") and identity.keys and isinstance(key := _parsed(element), Mapping):
                found.setdefault(identity.of(key), []).append(_Claim(below, claim.writer))
    return found


def _parsed(element: str) -> Any:
    """The JSON of a path element; None if there is none."""
    with suppress(orjson.JSONDecodeError):
        return orjson.loads(element[2:])
    return None


# -- the comparison ----------------------------------------------------------------------------------------------------


class _Place(NamedTuple):
    """Where a value stands, in the two spellings of `FieldChange`."""

    path: str
    shown: str

    def field(self, name: str) -> "_Place":
        step = "/" + _escaped(name)
        return _Place(self.path + step, self.shown + step)

    def item(self, position: int, text: str) -> "_Place":
        return _Place(f"{self.path}/{position}", self.shown + text)


_ROOT: Final = _Place("", "")


@dataclass(slots=True)
class _Found:
    """The changes found so far. A null is an absent field: the API server drops it or not, as it likes."""

    changes: list[FieldChange] = field(default_factory=list)
    more: int = 0

    def compare(self, before: Any, after: Any, place: _Place, claims: _Claims) -> None:
        """Note what is different at `place` and below."""
        present = [value for value in (before, after) if value is not None]
        if any(present) and all(isinstance(value, Mapping) for value in present):
            self._compare_maps(before or {}, after or {}, place, claims)
        elif isinstance(before, list) and isinstance(after, list) and (identity := _identity(before, after, claims)):
            self._compare_items(before, after, place, claims, identity)
        elif not _is_same(before, after):
            self._note(before, after, place, claims)

    def _compare_maps(self, before: Mapping[str, Any], after: Mapping[str, Any], place: _Place, claims: _Claims) -> None:
        for name in sorted({*before, *after}):
            self.compare(before.get(name), after.get(name), place.field(name), _below(claims, name))

    def _compare_items(self, before: Sequence[Any], after: Sequence[Any], place: _Place, claims: _Claims, identity: _Identity) -> None:
        old, new = _by_identity(before, identity), _by_identity(after, identity)
        by_item = _claims_by_item(claims, identity)
        for key, position in (*new.items(), *((key, position) for key, position in old.items() if key not in new)):
            item = after[position] if key in new else before[position]
            here = place.item(position, identity.shown(item))
            below = by_item[b""] + by_item.get(key[0], [])
            if key in old and key in new:
                self.compare(before[old[key]], item, here, below)
            else:
                self._note(item if key in old else None, item if key in new else None, here, below)

    def _note(self, before: Any, after: Any, place: _Place, claims: _Claims) -> None:
        if len(self.changes) == MAX_CHANGES:
            self.more += 1
            return
        kind = Kind.ADDED if before is None else Kind.REMOVED if after is None else Kind.CHANGED
        nobody = _Writer(True, "", "")
        writer = max((claim.writer for claim in claims if claim.writer and before is not None), default=nobody)
        text = redaction.one_line(place.shown, SHOWN_CHARACTERS)
        self.changes.append(FieldChange(place.path, text, kind, before, after, writer.manager, writer.since))


def _is_same(before: Any, after: Any) -> bool:
    """Equal as JSON: in Python `True == 1`."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        return before.keys() == after.keys() and all(_is_same(value, after[name]) for name, value in before.items())
    if isinstance(before, list) and isinstance(after, list):
        return len(before) == len(after) and all(map(_is_same, before, after))
    return bool(before == after) and isinstance(before, bool) == isinstance(after, bool)


def _parted(obj: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """An object without what only the API server and controllers write, and without our marks; and these marks alone."""
    meta = {name: value for name, value in obj["metadata"].items() if name not in _SERVER_FIELDS}
    marks = {}
    for where, name in _MARKS:
        values = dict(meta.pop(where, None) or {})
        if name in values:
            marks[where] = {name: values.pop(name)}
        if values:
            meta[where] = values
    rest = {name: value for name, value in obj.items() if name != "status"}
    return {**rest, "metadata": meta}, {"metadata": marks}


def _escaped(name: str) -> str:
    """A name as a step of a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()
