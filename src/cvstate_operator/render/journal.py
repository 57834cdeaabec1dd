"""The journal: which renders are under way, on disk, so that the next life of the process knows what this one died of.

A render that takes the whole container with it would do so again after each restart, and no ClusterState would ever be carried out. So what was under way when the
process died is suspected: it is tried once more, alone and last. What was under way at too many deaths is refused for a while; another commit or another
recipe is another render. What ends in any way at all, also by an error, is suspected no more, and a process that was asked to end accuses nobody.

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

MOST_BLAME: Final = 4
"""From so much blame on a render is refused. One death may have been chance: others were under way, or somebody ended the process. The second happened while
nothing else was rendered."""
BLAME_LASTING: Final = 2
"""Of a death while the render had lasted for `LASTING_SECONDS`."""
BLAME_SHORT: Final = 1
"""Of a death right after its begin, which is more often that of something else beside it; but what eats memory fast must be refused too."""
LASTING_SECONDS: Final = 3.0
"""A process that dies of itself again and again does so at any moment of a render; few moments of it are this early."""
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
        self._is_closed = False
        self._deaths: dict[str, tuple[int, float]] = {}
        """By render: its blame, and when the last death was noticed (seconds since 1970), never in the future."""
        with contextlib.suppress(OSError):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._deaths = self._read()
        self._count()

    def is_suspect(self, render: str) -> bool:
        """Whether it was under way when a process died, and did not end since."""
        return render in self._deaths

    def refused_seconds(self, render: str) -> float:
        """For how long it is not to be tried; 0 if it may be."""
        now = self._now()
        self._correct(now)
        blame, at = self._deaths.get(render, (0, 0.0))
        return max(0.0, at + REFUSED_SECONDS - now) if blame >= MOST_BLAME else 0.0

    @contextmanager
    def under_way(self, renders: Sequence[str]) -> Iterator[Callable[[], None]]:
        """These are rendered inside of the `with` statement, by one child. Yields what is to be called when they last for `LASTING_SECONDS`."""
        self._numbers += 1
        file = self._directory / f"{_UNDER_WAY}{self._numbers}"

        def write(blame: int) -> None:
            if not self._is_closed:
                with contextlib.suppress(OSError):
                    file.write_bytes(orjson.dumps({"blame": blame, "renders": list(renders)}))

        write(BLAME_SHORT)
        try:
            yield lambda: write(BLAME_LASTING)
        finally:
            with contextlib.suppress(OSError):
                file.unlink()
            if not self._is_closed and not self._deaths.keys().isdisjoint(renders):
                self._deaths = {key: value for key, value in self._deaths.items() if key not in renders}
                self._write()

    def close(self) -> None:
        """The process was asked to end: what is under way is not to blame, and what is suspected and ends now remains so."""
        self._is_closed = True
        with contextlib.suppress(OSError):
            for file in self._directory.glob(f"{_UNDER_WAY}*"):
                file.unlink(missing_ok=True)

    def _count(self) -> None:
        found: dict[str, int] = {}
        left = sorted(self._directory.glob(f"{_UNDER_WAY}*"))
        for file in left:
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError):  # half a file: it died as it began
                told = orjson.loads(file.read_bytes())
                blame = int(told["blame"])
                found.update({render: max(blame, found.get(render, 0)) for render in _texts(told["renders"])})
        now = self._now()
        self._correct(now)
        for render, blame in found.items():
            self._deaths[render] = (self._deaths.get(render, (0, 0.0))[0] + blame, now)
        self._deaths = {key: (blame, at) for key, (blame, at) in self._deaths.items() if now < at + KEPT_SECONDS}
        if left:
            self._write()  # before they go: a death that comes now must not be forgotten
        for file in left:
            with contextlib.suppress(OSError):
                file.unlink()

    def _correct(self, now: float) -> None:
        """What was noted by a clock that was fast, and was put right since, counts as noted now; else it would be refused for as long as that clock was ahead."""
        if any(at > now for _, at in self._deaths.values()):
            self._deaths = {render: (blame, min(at, now)) for render, (blame, at) in self._deaths.items()}
            self._write()

    def _read(self) -> dict[str, tuple[int, float]]:
        try:
            told: dict[str, Any] = orjson.loads((self._directory / _DEATHS).read_bytes())
            return {str(render): (int(blame), float(at)) for render, (blame, at) in told.items()}
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
