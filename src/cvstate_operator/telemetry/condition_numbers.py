"""Conditions as numbers of metrics, from `status.conditions` as it is written."""

from collections.abc import Mapping
from typing import Any, Final

_NUMBERS: Final = {"True": 1, "False": 0}


def ternary(condition: Mapping[str, Any] | None) -> int:
    """A condition as a number: 1 True, 0 False, -1 Unknown or not said at all (None)."""
    return _NUMBERS.get(str((condition or {}).get("status")), -1)
