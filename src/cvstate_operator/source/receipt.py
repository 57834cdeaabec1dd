"""Receipt: how much a look at a server brings is counted while it comes, whatever it comes by, and ended before it is more than there is room for."""

from typing import Any, Final

import pygit2

from cvstate_operator.isolation.task import OutOfRoomError

INDEX_BYTES: Final = 40
"""What the index of a pack takes for each object, at most: 20 of its name, 4 of its checksum, 4 or 12 of its place. Source: Git, gitformat-pack(5)."""


class Receipt(pygit2.RemoteCallbacks):
    """Counts what libgit2 receives by one or several fetches, and raises OutOfRoomError out of the one that goes too far."""

    def __init__(self, most_bytes: int) -> None:
        """
        Args:
            most_bytes: that packs and their indexes may take together.
        """
        super().__init__()
        self._most_bytes = most_bytes
        self._before = self._now = 0

    def begin(self) -> None:
        """Another fetch follows."""
        self._before, self._now = self._before + self._now, 0

    def transfer_progress(self, stats: Any) -> None:
        """libgit2 tells how far it is."""
        self._now = stats.received_bytes + stats.total_objects * INDEX_BYTES
        if self._before + self._now > self._most_bytes:
            raise OutOfRoomError(f"more than {self._most_bytes // 2**20} MiB")
