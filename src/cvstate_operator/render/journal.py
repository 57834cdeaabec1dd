"""The journal: which renders are under way, on disk, so that the next life of the process knows what this one died of.

A render that takes the whole container with it would do so again after each restart, and no ClusterState would ever be carried out. So what was under way when the
process died is suspected: it is tried once more, alone and last. What was under way at `MOST_DEATHS` deaths is refused for a while; another commit or another
recipe is another render. What ends in any way at all, also by an error, is suspected no more.

The files lie in the cache directory: the volume of a Pod outlives restarts of its containers, and a new Pod begins without suspicion.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import orjson

MOST_DEATHS: Final = 2
"""One death may have been chance: others were under way, or somebody ended the process. The second happened while nothing else was rendered."""
REFUSED_SECONDS: Final = 6 * 3600.0
"""How long it is refused; then it is tried again, alone. The container may have more memory by now."""
KEPT_SECONDS: Final = 7 * 24 * 3600.0
"""A suspicion that nobody asked for since is forgotten: the ClusterState is gone, or has another commit."""

_UNDER_WAY: Final = "under-way-"
_DEATHS: Final = "deaths.json"


class Journal:
    """The journal of one process. Disk that fails costs the memory of deaths, never a render."""

    def __init__(self, directory: Path, *, now: Callable[[], float] = time.time) -> None:
        """Read what the last life left, and count its death against what was under way.

        Args:
            directory: for the journal alone; made if absent.
            now: seconds since 1970, by which the memory of deaths ends.
        """
        self._directory = directory
        self._now = now
        self._numbers = 0
        self._deaths: dict[str, tuple[int, float]] = {}
        """By render: how many, and when the last of them was noticed (seconds since 1970)."""
        with contextlib.suppress(OSError):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._deaths = self._read()
        self._count()

    def is_suspect(self, render: str) -> bool:
        """Whether it was under way when a process died, and did not end since."""
        return render in self._deaths

    def refused_seconds(self, render: str) -> float:
        """For how long it is not to be tried; 0 if it may be."""
        deaths, at = self._deaths.get(render, (0, 0.0))
        return max(0.0, at + REFUSED_SECONDS - self._now()) if deaths >= MOST_DEATHS else 0.0

    @contextmanager
    def under_way(self, renders: Sequence[str]) -> Iterator[None]:
        """These are rendered inside of the `with` statement, by one child."""
        self._numbers += 1
        file = self._directory / f"{_UNDER_WAY}{self._numbers}"
        with contextlib.suppress(OSError):
            file.write_bytes(orjson.dumps(list(renders)))
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                file.unlink()
            if not self._deaths.keys().isdisjoint(renders):
                self._deaths = {key: value for key, value in self._deaths.items() if key not in renders}
                self._write()

    def _count(self) -> None:
        found: set[str] = set()
        left = sorted(self._directory.glob(f"{_UNDER_WAY}*"))
        for file in left:
            with contextlib.suppress(OSError, ValueError, TypeError):  # half a file: it died as it began
                found.update(_texts(orjson.loads(file.read_bytes())))
        now = self._now()
        for render in found:
            self._deaths[render] = (self._deaths.get(render, (0, 0.0))[0] + 1, now)
        self._deaths = {key: (deaths, at) for key, (deaths, at) in self._deaths.items() if now < at + KEPT_SECONDS}
        if left:
            self._write()  # before they go: a death that comes now must not be forgotten
        for file in left:
            with contextlib.suppress(OSError):
                file.unlink()

    def _read(self) -> dict[str, tuple[int, float]]:
        try:
            told: dict[str, Any] = orjson.loads((self._directory / _DEATHS).read_bytes())
            return {str(render): (int(deaths), float(at)) for render, (deaths, at) in told.items()}
        except (OSError, ValueError, TypeError, AttributeError):  # none yet, or damaged
            return {}

    def _write(self) -> None:
        with contextlib.suppress(OSError):
            new = self._directory / f"{_DEATHS}.new"
            new.write_bytes(orjson.dumps(self._deaths))
            os.replace(new, self._directory / _DEATHS)


def _texts(told: Any) -> list[str]:
    if not isinstance(told, list) or not all(isinstance(one, str) for one in told):
        raise ValueError("no list of renders")
    return told
