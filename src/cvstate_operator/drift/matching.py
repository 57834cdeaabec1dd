"""Matching: whether a field of an object is one that a path pattern speaks of.

A pattern means a field with everything in it. Matching walks pattern and path together and keeps every position the pattern may be at, so that
many `**` cost no more than their number.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cvstate_operator.api.path_pattern import AnyDepth, Keyed, Pattern, PatternStep, unescape
from cvstate_operator.drift.coverage import Item, Step

Cursor = frozenset[int]
"""Positions in a pattern that a walk from the root may have come to. The pattern's length stands for: this field, or one around it, is meant."""


def start(pattern: Pattern) -> Cursor:
    """Where a walk begins: at the root."""
    return _closed(pattern, (0,))


def advance(pattern: Pattern, cursor: Cursor, step: Step) -> Cursor:
    """Where a walk is after one more step; empty if the pattern speaks of nothing there."""
    if len(pattern) in cursor:
        return cursor
    stays = (at for at in cursor if isinstance(pattern[at], AnyDepth))
    goes = (at + 1 for at in cursor if _matches(pattern[at], step))
    return _closed(pattern, (*stays, *goes))


def covers(pattern: Pattern, path: Sequence[Step]) -> bool:
    """Whether the pattern means the field at `path`, or one around it."""
    cursor = start(pattern)
    for step in path:
        cursor = advance(pattern, cursor, step)
    return len(pattern) in cursor


def touches(pattern: Pattern, path: Sequence[Step], value: Any) -> bool:
    """Whether the pattern covers `path`, or means a field inside `value`, which stands there."""
    cursor = start(pattern)
    for step in path:
        cursor = advance(pattern, cursor, step)
    return _reaches(pattern, cursor, value)


def locate(pointer: str, obj: Any) -> tuple[Step, ...]:
    """The steps of a JSON pointer into `obj`; where `obj` has no list, a position is read as a name."""
    steps: list[Step] = []
    for part in pointer.split("/")[1:]:
        name = unescape(part)
        if isinstance(obj, list) and name.isdecimal() and int(name) < len(obj):
            obj = obj[int(name)]
            steps.append(Item(obj, int(name)))
        else:
            obj = obj.get(name) if isinstance(obj, Mapping) else None
            steps.append(name)
    return tuple(steps)


def is_named(name: str, wildcards: Iterable[str]) -> bool:
    """Whether `name` is one of `wildcards`; a `*` at the end of one stands for any rest."""
    return any(name.startswith(word[:-1]) if word.endswith("*") else name == word for word in wildcards)


def _closed(pattern: Pattern, positions: Iterable[int]) -> Cursor:
    """`**` stands for no step too: whoever is before one is also behind it."""
    found = set()
    for at in positions:
        found.add(at)
        while at < len(pattern) and isinstance(pattern[at], AnyDepth):
            at += 1
            found.add(at)
    return frozenset(found)


def _reaches(pattern: Pattern, cursor: Cursor, value: Any) -> bool:
    if not cursor or len(pattern) in cursor:
        return bool(cursor)
    return any(_reaches(pattern, advance(pattern, cursor, step), below) for step, below in _children(value))


def _children(value: Any) -> Iterable[tuple[Step, Any]]:
    if isinstance(value, Mapping):
        return value.items()
    return ((Item(item, index), item) for index, item in enumerate(value)) if isinstance(value, list) else ()


def _matches(wanted: PatternStep, step: Step) -> bool:
    match wanted:
        case AnyDepth():
            return False
        case Keyed():
            return isinstance(step, Item) and all(_has(step.value, name, value) for name, value in wanted.keys)
        case _:
            name = str(step.position) if isinstance(step, Item) else step
            return name.startswith(wanted.name) if wanted.is_prefix else name == wanted.name


def _has(item: Any, key: str, text: str) -> bool:
    if key:
        return isinstance(item, Mapping) and key in item and _text(item[key]) == text
    return not isinstance(item, Mapping) and _text(item) == text


def _text(value: Any) -> str:
    """A value as a pattern spells it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
