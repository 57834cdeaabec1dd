"""View: what of an object expressions are given, since all that they are given is copied for them.

A field that no expression names cannot change its answer, and may be large: an Application of Argo CD lists a thousand resources in its status, which
took 30 ms to judge and takes 0.1 ms without (measured). The text alone decides what is named, to two levels (`self.status.phase`). Where it uses a
level as a whole (`size(self.status)`, `self['status']`), that level is given as a whole.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from cvstate_operator.vital.facts.fields import Fields

_NAMED: Final = re.compile(r"\bself\b(?:\s*\.\s*\??\s*(?P<first>[A-Za-z_]\w*)(?:\s*\.\s*\??\s*(?P<second>[A-Za-z_]\w*)(?P<call>\s*\()?)?)?")
_KEPT: Final = 256
"""Sets of expressions whose names are kept; the library has some 140, a spec 64 at most."""


@dataclass(frozen=True, slots=True)
class _Names:
    is_all: bool
    """The object is used as a whole."""
    whole: frozenset[str]
    """Fields that are used as a whole."""
    parts: Mapping[str, frozenset[str]]
    """Fields of which only some fields are used."""


def of(live: Fields, expressions: tuple[str, ...]) -> dict[str, Any]:
    """What these expressions can name of an object, and perhaps more; never `managedFields`, which are half of it, nor a status that is null.

    Raises:
        MalformedError: its metadata is no map.
    """
    names = _names(expressions)
    seen: dict[str, Any] = {}
    for name, value in live.values.items():
        if name == "metadata":
            seen[name] = {key: inner for key, inner in live.below(name).values.items() if key != "managedFields"}
        elif value is None:
            continue
        elif names.is_all or name in names.whole:
            seen[name] = value
        elif name in names.parts:
            seen[name] = {key: value[key] for key in names.parts[name] if key in value} if isinstance(value, dict) else value
    return seen


@lru_cache(maxsize=_KEPT)
def _names(expressions: tuple[str, ...]) -> _Names:
    whole: set[str] = set()
    parts: dict[str, set[str]] = {}
    is_all = False
    for match in (match for text in expressions for match in _NAMED.finditer(text)):
        if match["first"] is None:
            is_all = True
        elif match["second"] is None or match["call"]:
            whole.add(match["first"])
        else:
            parts.setdefault(match["first"], set()).add(match["second"])
    return _Names(is_all, frozenset(whole), {name: frozenset(inner) for name, inner in parts.items()})
