"""Nesting: how deep the objects may be that we look at. Anyone may store deeper ones, and must not blind us by it.

The API server takes JSON of 10 000 levels, orjson reads 1024 and writes 254. What lies deeper than `LEVELS` becomes null: it cannot be ours, since a rendered manifest
has 100 levels at most. Source: k8s.io/apimachinery, util/json and sigs.k8s.io/json (maxNestingDepth); orjson's README.
"""

import re
from typing import Any, Final

import orjson

LEVELS: Final = 200
"""Deeper than any manifest that is rendered (render/yaml_reader.py), and little enough for orjson and for Python's own recursion."""

_TOKEN: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)
"""A string, or a bracket outside of strings."""


def read(payload: bytes) -> Any:
    """Parse JSON of any depth: whole if orjson can read it, else with null for what lies deeper than `LEVELS`.

    Raises:
        orjson.JSONDecodeError: it is no JSON.
    """
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError:
        return orjson.loads(b"".join(_shallow(payload)))


def cut(value: Any, levels: int = LEVELS) -> Any:
    """The same value with null for every list and object that lies deeper than `levels`."""
    if not isinstance(value, dict | list):
        return value
    if not levels:
        return None
    if isinstance(value, dict):
        return {key: cut(item, levels - 1) for key, item in value.items()}
    return [cut(item, levels - 1) for item in value]


def _shallow(payload: bytes) -> list[bytes]:
    """The text without what lies too deep."""
    kept, start, depth = [], 0, 0
    for token in _TOKEN.finditer(payload):
        mark = token[0]
        if mark in (b"{", b"["):
            depth += 1
            if depth == LEVELS + 1:
                kept.append(payload[start : token.start()])
        elif mark in (b"}", b"]"):
            if depth == LEVELS + 1:
                kept.append(b"null")
                start = token.end()
            depth -= 1
    return [*kept, payload[start:]]
