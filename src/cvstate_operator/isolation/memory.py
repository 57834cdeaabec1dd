"""Memory: how much of it children may have, so that the operator and all of them together never reach the limit of their container.

Since Kubernetes 1.28 the kernel ends every process of a container whose memory runs out (memory.oom.group of cgroup v2): one source that needs too
much would end the operator, again after each restart. So each child has a limit of its own (`task.py`), and the limits of all that may run at a time
add up to less than there is. Many children may have a little; one at a time, of any kind, may have much (`Memory.alone`), for what did not do with a
little.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MIB: Final = 2**20
OWN_DIVISOR: Final = 2
"""Half of the memory is for the operator itself and the fork server: docs/capacity.md has their sizes, and says to set the limit at twice these."""
ALONE_DIVISOR: Final = 2
"""Half of what children may have is for the one that has much; a quarter for renders, a quarter for fetches."""
MOST_ALONE_BYTES: Final = 4096 * MIB
"""No source needs more; on a large machine a hostile one should not get it."""
RENDER_BYTES: Final = (64 * MIB, 512 * MIB)
"""Least and most of a small render. 500 Deployments take kustomize 49 MB with its own code, which does not count here (measured)."""
RENDERS: Final = (2, 5)
"""Least and most small renders at a time; each keeps a core busy."""
FETCH_BYTES: Final = (16 * MIB, 256 * MIB)
"""Least and most of a small fetch; a look, and a clone of 20 files, take 3 MB (measured)."""
FETCHES: Final = (4, 36)
"""Least and most small fetches at a time; each mostly waits for the network."""
_CGROUP_FILES: Final = ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Limit of the container as it sees it itself, in version 2 and 1. Source: Linux, admin-guide/cgroup-v2 and cgroup-v1/memory."""
_MEMINFO: Final = "proc/meminfo"


@dataclass(frozen=True, slots=True)
class Share:
    """What the small children of one kind may have."""

    size_bytes: int
    """Of each."""
    at_once: int
    """How many there may be."""


@dataclass(frozen=True, slots=True)
class Division:
    """Who may have how much."""

    renders: Share
    fetches: Share
    alone_bytes: int
    """Of the one that has much."""

    @property
    def total_bytes(self) -> int:
        """Of all children that may run at a time."""
        return sum(share.size_bytes * share.at_once for share in (self.renders, self.fetches)) + self.alone_bytes


def divide(limit_bytes: int) -> Division:
    """Divide what a container has. Below 1 GiB the least shares are more than half of it; then the operator itself has less.

    Args:
        limit_bytes: of the container, or of the machine.
    """
    children = limit_bytes // OWN_DIVISOR
    alone = min(children // ALONE_DIVISOR, MOST_ALONE_BYTES)
    quarter = (children - children // ALONE_DIVISOR) // 2
    return Division(_share(quarter, RENDER_BYTES, RENDERS), _share(quarter, FETCH_BYTES, FETCHES), max(alone, RENDER_BYTES[0]))


def limit_bytes(root: Path = Path("/")) -> int:
    """What this container may use; without a limit what the machine has.

    Args:
        root: where `sys` and `proc` are.

    Raises:
        OSError, ValueError: not even the machine tells.
    """
    total = next(int(line.split()[1]) * 1024 for line in (root / _MEMINFO).read_text().splitlines() if line.startswith("MemTotal:"))
    for name in _CGROUP_FILES:
        try:
            # `max` is no number; version 1 says 2^63 less a page for no limit, and a container may be given more than there is.
            return min(int((root / name).read_text()), total)
        except (OSError, ValueError):
            continue
    return total


class Memory:
    """What the children of this process may have."""

    def __init__(self, limit: int | None = None) -> None:
        """
        Args:
            limit: bytes that the operator and its children may use together; None: what the container has.
        """
        self.division = divide(limit_bytes() if limit is None else limit)
        self.alone = asyncio.Lock()
        """Held by the child that has `division.alone_bytes`."""


def _share(total: int, sizes: tuple[int, int], numbers: tuple[int, int]) -> Share:
    """As many as may be, each with the least; with what is left, each with more."""
    number = min(max(total // sizes[0], numbers[0]), numbers[1])
    return Share(min(max(total // number, sizes[0]), sizes[1]), number)
