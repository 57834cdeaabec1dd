"""Keys of lists: in a list of `x-kubernetes-list-type: map` no two items may have the same key. Pure.

Source: structured-merge-diff v6, which server-side apply reads every object with; JSON Schema has no word for it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

KEYWORD: Final = "x-cvstate-list-keys"
"""Our JSON Schema keyword. Its value: {"keys": [names], "defaults": {name: value}}."""


class DuplicateKeyError(ValueError):
    """Two items of a list have the same key; the message says which."""


class UniqueKeys:
    """The keyword, in the form the validator asks for."""

    def __init__(self, parent: Mapping[str, Any], value: Mapping[str, Any], path: Sequence[str | int]) -> None:
        self._keys: list[str] = value["keys"]
        self._defaults: Mapping[str, Any] = value.get("defaults", {})

    def validate(self, instance: Any) -> None:
        """Compare the keys of all items; what is no list of mappings is not for this keyword to judge.

        Raises:
            DuplicateKeyError: two are equal.
        """
        if not isinstance(instance, list) or len(instance) < 2:
            return
        seen: dict[str, int] = {}
        for index, item in enumerate(instance):
            if not isinstance(item, dict):
                continue
            key = repr([item.get(name, self._defaults.get(name)) for name in self._keys])
            if key in seen:
                raise DuplicateKeyError(f"items {seen[key]} and {index} have the same {' and '.join(self._keys)}; keep one of them")
            seen[key] = index
