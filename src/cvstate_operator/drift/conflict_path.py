"""Conflict paths: which desired field the API server means when it says that somebody else holds one.

A 409 with reason FieldManagerConflict names fields as structured-merge-diff prints a path, and not as a JSON pointer:

    .spec.replicas                                      a field
    .metadata.labels.app.kubernetes.io/name             a field; dots and brackets in names are not escaped
    .spec.ports[port=80,protocol="TCP"].targetPort      a list item by its key fields, those that the server defaulted among them
    .metadata.finalizers[="example.com/hold"]           an item of a set
    .spec.args[2]                                       an item by its index

Such a text alone can be read in several ways, so it is read along the desired body: only what is there is meant.
Input comes from `FieldConflictError.fields`; readers are the drift report and whatever is left out of an apply.
Source: structured-merge-diff, fieldpath/element.go and value/value.go (`String`, `ToString`); tests/integration/test_conflict_paths.py asks a live server.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Final, TypeAlias

from cvstate_operator.drift import coverage
from cvstate_operator.drift.coverage import Item, Step

LONGEST_FIELD: Final = 4096
"""Characters of a path that is looked at; the longest label key has 317, and names are looked for up to every dot."""

_BOUNDARY: Final = re.compile(r"[.\[]|\Z")
"""Where a name may end."""
_TEXT: Final = r'"(?:[^"\\]|\\.)*"'
_NUMBER: Final = r"-?[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?"
_SCALAR: Final = rf"(?:{_TEXT}|{_NUMBER}|true|false|null)"
_BRACKET: Final = re.compile(
    rf"\[(?:(?P<index>[0-9]+)|=(?P<value>{_SCALAR})|(?P<key>[^=\[\],\"]+={_SCALAR}(?:,[^=\[\],\"]+={_SCALAR})*))\](?=[.\[]|\Z)", re.DOTALL
)
_KEY_FIELD: Final = re.compile(rf"(?P<name>[^=\[\],\"]+)=(?P<value>{_SCALAR})", re.DOTALL)
_ESCAPE: Final = re.compile(r'\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8})|([abfnrtv\\"]))')
_ESCAPED: Final = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", '"': '"'}
_LAST_CODE_POINT: Final = 0x10FFFF

_Scalar: TypeAlias = str | int | float | bool | None

_WORDS: Final[Mapping[str, _Scalar]] = {"true": True, "false": False, "null": None}


def pointer_of(field: str, body: Mapping[str, Any]) -> str | None:
    """The JSON pointer of the field that `field` means in `body`; None if nothing there matches.

    Where two readings exist, longer names win: of `.data.a.b` the key `a.b`, not the `b` in `a`. Of several items that leave key fields out, the one that
    spells out most of them wins, then the first. List items are told by their index in the desired list, as `coverage.pointer` does it.

    Args:
        field: as the API server wrote it.
        body: the desired object. It may be of any form; the work is bounded by its size.
    """
    if not field or len(field) > LONGEST_FIELD:
        return None
    # A stack and not recursion: the depth of `body` is not ours. The last one is the best.
    readings = [_Reading(body, 0, ())]
    while readings:
        reading = readings.pop()
        if reading.at == len(field):
            return coverage.pointer(reading.path)
        readings.extend(reversed(list(_next(field, reading))))
    return None


@dataclass(frozen=True, slots=True)
class _Reading:
    """A beginning of the text, and what it means."""

    value: Any
    at: int
    """Where the rest begins."""
    path: tuple[Step, ...]


def _next(field: str, reading: _Reading) -> Iterator[_Reading]:
    """What one more step may be, best first."""
    if field[reading.at] == "." and isinstance(reading.value, Mapping):
        begin = reading.at + 1
        last = begin + max(map(len, reading.value), default=0)
        ends = takewhile(lambda end: end <= last, (match.start() for match in _BOUNDARY.finditer(field, begin)))
        for end in reversed(list(ends)):
            if (name := field[begin:end]) in reading.value:
                yield _Reading(reading.value[name], end, (*reading.path, name))
    elif isinstance(reading.value, list) and (match := _BRACKET.match(field, reading.at)):
        for position in _positions(reading.value, match):
            item = reading.value[position]
            yield _Reading(item, match.end(), (*reading.path, Item(item, position)))


def _positions(items: list[Any], bracket: re.Match[str]) -> Iterator[int]:
    """Indices of the items that a bracket may mean, best first."""
    if bracket["index"] is not None:
        # Longer ones are no index, and Python refuses to read numbers without end.
        index = int(bracket["index"]) if len(bracket["index"]) < 10 else len(items)
        yield from (index,) if index < len(items) else ()
    elif bracket["value"] is not None:
        wanted = _scalar(bracket["value"])
        yield from (at for at, item in enumerate(items) if _is_same(item, wanted))
    else:
        key = {match["name"]: _scalar(match["value"]) for match in _KEY_FIELD.finditer(bracket["key"])}
        # The server prints key fields that the desired item leaves to a default (`protocol: TCP`).
        fitting = (
            (sum(name not in item for name in key), at)
            for at, item in enumerate(items)
            if isinstance(item, Mapping) and all(name not in item or _is_same(item[name], value) for name, value in key.items())
        )
        yield from (at for _, at in sorted(fitting))


def _is_same(value: Any, printed: _Scalar) -> bool:
    """Equality of JSON, in which true is not 1; a whole number is the same with and without a fraction, as for the server."""
    return isinstance(value, bool) == isinstance(printed, bool) and bool(value == printed)


def _scalar(text: str) -> _Scalar:
    if text[0] == '"':
        return _ESCAPE.sub(_unescaped, text[1:-1])
    if text in _WORDS:
        return _WORDS[text]
    return int(text) if text.lstrip("-").isdecimal() and len(text) < 21 else float(text)


def _unescaped(match: re.Match[str]) -> str:
    """One escape of Go's %q."""
    byte, short, long, letter = match.groups()
    if letter:
        return _ESCAPED[letter]
    code = int(byte or short or long, 16)
    return chr(code) if code <= _LAST_CODE_POINT else match[0]
