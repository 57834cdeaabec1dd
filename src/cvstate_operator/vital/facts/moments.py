"""Moments: the times that stand in objects."""

from datetime import UTC, datetime
from typing import Any


def moment(value: Any) -> datetime | None:
    """A time of RFC 3339 with its zone, in UTC; None for anything else. Types metav1.Time (whole seconds) and metav1.MicroTime."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
        return found.astimezone(UTC) if found.tzinfo else None
    except (ValueError, OverflowError):
        return None
