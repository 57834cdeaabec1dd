"""What a run costs: requests by the API server's audit log, processor time and memory by /proc. Linux only.

Times of processes include their children, also those that have ended and were waited for.
"""

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.cluster.audit import WRITE_VERBS, Audit, Request

SILENCE_SECONDS: Final = 1.5
"""So long nobody may have asked for anything before a phase is counted: longer than a tool puts together what it reports (one second)."""
SAMPLE_SECONDS: Final = 1.0
_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
_KEEPING_ALIVE: Final = frozenset({"leases"})
"""Resources that are written every few seconds by whoever uses leader election; not work, so no reason to wait."""


# -- requests --------------------------------------------------------------------------------------------------------------


def wait_for_silence(audit: Audit, user: str, *, seconds: float = 60.0) -> None:
    """Wait until the user has asked for nothing for SILENCE_SECONDS, by the audit log, at most so long.

    That is also how long the log is waited for: a line may be written after its answer.
    """
    end = time.monotonic() + seconds
    mark, last = audit.mark(), time.monotonic()
    while time.monotonic() < end and time.monotonic() - last < SILENCE_SECONDS:
        time.sleep(0.1)
        now = audit.mark()
        if now != mark and any(request.resource not in _KEEPING_ALIVE for request in audit.requests(mark, user=user)):
            last = time.monotonic()
        mark = now


def by_sort(requests: Iterable[Request]) -> dict[str, int]:
    """Count requests as ``patch configmaps``, ``list deployments``, ``patch clusterstates/status dry-run``; sorted."""
    return dict(sorted(Counter(map(_sort, requests)).items()))


def writes(requests: Mapping[str, int], resources: Collection[str]) -> int:
    """Return how many of these requests, as `by_sort` has them, wrote objects of these resources, their subresources too; dry runs do not count.

    ``deployments/status`` means that subresource alone.
    """
    sorts = ((sort.split(" "), number) for sort, number in requests.items())
    return sum(
        number
        for (verb, *rest), number in sorts
        if verb in WRITE_VERBS and len(rest) == 1 and not {rest[0], rest[0].partition("/")[0]}.isdisjoint(resources)
    )


def _sort(request: Request) -> str:
    resource = "/".join(part for part in (request.resource or request.uri.partition("?")[0], request.subresource) if part)
    return f"{request.verb} {resource}{' dry-run' if request.is_dry_run else ''}"


# -- processor time --------------------------------------------------------------------------------------------------------


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the user and system time so far of these processes and all below them; what has gone counts nothing.

    Source: proc(5), `/proc/PID/stat`, fields 14 to 17. Exact to a tick, 10 ms.
    """
    return sum(sum(map(int, fields[11:15])) for pid in family(pids) if (fields := _stat(pid))) / _TICKS_PER_SECOND


def family(pids: Iterable[int]) -> set[int]:
    """Return these processes and all below them, by their ids."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found: set[int] = set()
    waiting = list(pids)
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting += children.get(pid, ())
    return found


def _stat(pid: int) -> list[str]:
    """The fields of `/proc/PID/stat` from the third on; empty if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return []


# -- memory ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Memory:
    """Of a tool's processes together, in bytes."""

    rss: int
    """Resident; pages that several of them share count for each."""
    pss: int
    """Resident; shared pages count once. This is what the tool takes from the machine."""
    high_water: int
    """Sum of the peaks of the processes that run now: of those that have ended nothing is left, so it may lie below what was held together."""


def memory(pids: Iterable[int]) -> Memory:
    """Return what these processes and all below them hold now.

    Source: proc(5), `smaps_rollup` (Rss, Pss) and `status` (VmHWM).
    """
    found = [(_kilobytes(pid, "smaps_rollup"), _kilobytes(pid, "status")) for pid in family(pids)]
    return Memory(
        rss=1024 * sum(rollup.get("Rss", 0) for rollup, _ in found),
        pss=1024 * sum(rollup.get("Pss", 0) for rollup, _ in found),
        high_water=1024 * sum(status.get("VmHWM", 0) for _, status in found),
    )


def _kilobytes(pid: int, file: str) -> dict[str, int]:
    try:
        lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    except OSError:
        return {}
    fields = (line.partition(":") for line in lines if line.endswith(" kB"))
    return {name: int(value.split()[0]) for name, _, value in fields}


class MemorySampler:
    """Looks once a second at the memory of a tool, in a thread of its own, for the duration of a `with` block.

    A peak is the highest of these samples: a child that lives for less than a second may be in none of them. More often would cost the machine what is
    measured, since the kernel walks all pages of a process to answer.
    """

    def __init__(self, pids: Callable[[], Sequence[int]]) -> None:
        """
        Args:
            pids: the tool's processes now.
        """
        self._pids = pids
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="memory", daemon=True)
        self.samples: list[Memory] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()

    def figures(self) -> Mapping[str, int]:
        """The last sample and the peaks, as figures of a record; all 0 for a tool without processes."""
        last = self.samples[-1] if self.samples else Memory(0, 0, 0)
        return {
            "rss_bytes": last.rss,
            "pss_bytes": last.pss,
            "peak_rss_bytes": max((sample.rss for sample in self.samples), default=0),
            "peak_pss_bytes": max((sample.pss for sample in self.samples), default=0),
            "high_water_bytes": last.high_water,
        }

    def _look(self) -> None:
        while True:
            self.samples.append(memory(self._pids()))
            if self._over.wait(SAMPLE_SECONDS):
                self.samples.append(memory(self._pids()))
                return
