"""Keepers: who keeps things in the cache directory that can be made again, as `room.py` looks after them. The fork server loads it, so it is light."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Kept:
    """Something that can be removed, and made again."""

    size_bytes: int
    used_at: float
    """Seconds since 1970."""


class Keeper(Protocol):
    """One who keeps things in the directory, each under its path."""

    def kept(self) -> Mapping[str, Kept]:
        """Everything, by path. Reads the disk: not for the event loop."""

    def measure(self, path: str) -> Kept | None:
        """One of them; None if it is not there. Reads the disk."""

    def remove(self, path: str) -> None:
        """Remove one, unless that cannot be now."""

    def spared(self) -> Collection[str]:
        """Paths of what is in use for longer than somebody reads it."""
