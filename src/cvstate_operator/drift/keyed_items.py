"""Keyed items: the items of a list, found by the key fields that `managedFields` knows them by. Pure; items are never changed."""

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any, Final

import orjson

ABSENT: Final[Any] = object()
"""Nothing, where null is something."""

_MAX_KEYS: Final = 4
"""Most key fields of an associative list, and sets of them in one; those of the built-in kinds have two and one."""


class Items:
    """Items of a list by their key fields, in time that grows with the list and not with its square."""

    def __init__(self, items: Sequence[Any]) -> None:
        self._items = items
        self._by_names: dict[tuple[str, ...], dict[tuple[bytes | None, ...], list[int]]] = {}

    def find(self, key: Any, *, is_value: bool) -> list[int]:
        """Positions of the items with this key, or of this value."""
        if is_value:
            return self._positions(()).get((_dumped(key),), [])
        if not isinstance(key, dict) or not 0 < len(key) <= _MAX_KEYS:
            return []
        return self._positions(tuple(sorted(key))).get(tuple(_dumped(key[name]) for name in sorted(key)), [])

    def like(self, key: Any, may_be_filled_in: Callable[[str, Any], bool], *, is_value: bool) -> Any:
        """The item that has this key once the server has filled in key fields that are left out (`protocol: TCP`); `ABSENT` if none.

        Args:
            key: key fields and their values, or a value.
            may_be_filled_in: whether the server may have given a key field its value.
            is_value: which of the two it is.
        """
        at = self.find(key, is_value=is_value)
        if not at and not is_value and isinstance(key, dict) and 1 < len(key) <= _MAX_KEYS:
            names = tuple(sorted(key))
            choices = ((_dumped(key[name]), *((None,) if may_be_filled_in(name, key[name]) else ())) for name in names)
            positions = self._positions(names)
            at = next((positions[signature] for signature in product(*choices) if any(signature) and signature in positions), [])
        return self._items[at[0]] if at else ABSENT

    def _positions(self, names: tuple[str, ...]) -> dict[tuple[bytes | None, ...], list[int]]:
        if names not in self._by_names:
            if len(self._by_names) >= _MAX_KEYS:
                # No list has so many sets of key fields; somebody wrote them to keep us busy.
                return {}
            index: dict[tuple[bytes | None, ...], list[int]] = {}
            for at, item in enumerate(self._items):
                if isinstance(item, Mapping) == bool(names):
                    signature = tuple(_dumped(item[name]) if name in item else None for name in names) if names else (_dumped(item),)
                    index.setdefault(signature, []).append(at)
            self._by_names[names] = index
        return self._by_names[names]


def _dumped(value: Any) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # deeper than orjson follows, or a number that has more than 64 bits: nobody's key
        return b""
