"""Memory: how much of it children may have, so that the operator and all of them together never reach the limit of their container.

Since Kubernetes 1.28 the kernel ends every process of a container whose memory runs out (memory.oom.group of cgroup v2): one source that needs too
much would end the operator, again after each restart. So each child has a limit of its own (`task.py`), which holds for it and the program that it runs
together, and the limits of all that may run at a time add up to less than there is. Many children may have a little; one render and one fetch at a time may
have much (`Memory.render_alone`, `Memory.fetch_alone`), for what did not do with a little.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cvstate_operator.isolation.fair import FairSlots

MIB: Final = 2**20
OWN_DIVISOR: Final = 2
"""Half of the memory is for the operator itself and the fork server: docs/capacity.md has their sizes, and says to set the limit at twice these."""
ALONE_DIVISOR: Final = 2
"""Half of what children may have is for the two that have much; a quarter for small renders, a quarter for small fetches."""
FETCH_ALONE_DIVISOR: Final = 4
"""This part of what the two have is for the fetch; a render shares its part with a program."""
ALONE_SECONDS: Final = 60.0
"""How long a fetch may have much although another waits for it: its server says how long it takes. A render ends by its own limit of time."""
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
    render_alone_bytes: int
    """Of the render that has much."""
    fetch_alone_bytes: int
    """Of the fetch that has much."""

    @property
    def total_bytes(self) -> int:
        """Of all children that may run at a time."""
        small = sum(share.size_bytes * share.at_once for share in (self.renders, self.fetches))
        return small + self.render_alone_bytes + self.fetch_alone_bytes


def divide(limit_bytes: int) -> Division:
    """Divide what a container has. Below 1 GiB the least shares are more than half of it, and the operator itself has less: 192 MiB of 512.

    Args:
        limit_bytes: of the container, or of the machine.
    """
    children = limit_bytes // OWN_DIVISOR
    alone = min(children // ALONE_DIVISOR, MOST_ALONE_BYTES)
    quarter = (children - children // ALONE_DIVISOR) // 2
    fetch = alone // FETCH_ALONE_DIVISOR
    return Division(
        _share(quarter, RENDER_BYTES, RENDERS),
        _share(quarter, FETCH_BYTES, FETCHES),
        render_alone_bytes=max(alone - fetch, RENDER_BYTES[0]),
        fetch_alone_bytes=max(fetch, FETCH_BYTES[0]),
    )


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
            limit: bytes that the operator and its children may use together, if there are as many; None: what the container has.
        """
        self.division = divide(min(found for found in (limit, limit_bytes()) if found is not None))
        self.render_alone = FairSlots(1)
        """Held by the child that has `division.render_alone_bytes`."""
        self.fetch_alone = FairSlots(1, seconds=ALONE_SECONDS)
        """Held by the child that has `division.fetch_alone_bytes`."""


def _share(total: int, sizes: tuple[int, int], numbers: tuple[int, int]) -> Share:
    """As many as may be, each with the least; with what is left, each with more."""
    number = min(max(total // sizes[0], numbers[0]), numbers[1])
    return Share(min(max(total // number, sizes[0]), sizes[1]), number)
