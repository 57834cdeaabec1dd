"""The Git cache: bare repositories on disk, one per URL and Secret. All of it can be made again; what is not used is collected."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cvstate_operator.isolation.keeper import Kept

MAX_BYTES: Final = 10 * 2**30
"""Of a cache that nobody bounds otherwise: above this, repositories are removed, those first that were used least recently."""
MAX_IDLE_SECONDS: Final = 7 * 24 * 3600.0
"""A repository that nobody used for so long is removed."""
MAX_PACKS: Final = 100
"""Each fetch of something new leaves a pack; a repository with more is made anew, since libgit2 cannot repack in place."""


@dataclass(frozen=True, slots=True)
class _Entry:
    directory: Path
    size_bytes: int
    used_at: float
    packs: int


class GitCache:
    """Directories of one operator process."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def repository(self, url: str, secret: str) -> Path:
        """Where the repository of a URL is kept, as read with a Secret (`namespace/name`, or empty)."""
        return self._root / hashlib.sha256(f"{url}\0{secret}".encode()).hexdigest()[:32]

    def used(self, repository: str) -> None:
        """Note that a repository is in use."""
        with contextlib.suppress(OSError):
            os.utime(repository)

    def discard(self, repository: str) -> bool:
        """Remove a repository, unless a child works in it right now; then it is that child's to mend. Returns whether it is gone."""
        directory = Path(repository)
        try:
            with open(directory.with_suffix(".lock"), "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(directory, ignore_errors=True)
        except OSError:
            return False
        return not directory.exists()

    def kept(self) -> Mapping[str, Kept]:
        """Every repository, by path."""
        return {str(entry.directory): Kept(entry.size_bytes, entry.used_at) for entry in self._entries()}

    def measure(self, path: str) -> Kept | None:
        """One repository."""
        try:
            return Kept(_size(Path(path)), os.stat(path).st_mtime)
        except OSError:
            return None

    def remove(self, path: str) -> None:
        """Remove a repository, unless a child works in it right now; it is fetched again when somebody wants it."""
        self.discard(path)

    def spared(self) -> Collection[str]:
        """None: a repository is in use only while somebody reads it."""
        return ()

    def collect(self, *, max_bytes: int = MAX_BYTES) -> int:
        """Remove what is too old, too scattered or too much; returns the bytes that are left. Takes a while: not for the event loop."""
        now = time.time()
        entries = sorted(self._entries(), key=lambda entry: entry.used_at, reverse=True)
        total = 0
        for entry in entries:
            total += entry.size_bytes
            if total > max_bytes or now - entry.used_at > MAX_IDLE_SECONDS or entry.packs > MAX_PACKS:
                self.discard(str(entry.directory))
                if not entry.directory.exists():
                    total -= entry.size_bytes
        self._remove_locks()
        return total

    def _remove_locks(self) -> None:
        """Remove the locks of repositories that are gone for so long that nobody can be about to take them; taking one makes it young."""
        for lock in self._root.glob("*.lock"):
            with contextlib.suppress(OSError):
                if time.time() - lock.stat().st_mtime > MAX_IDLE_SECONDS and not lock.with_suffix("").exists():
                    lock.unlink()

    def _entries(self) -> list[_Entry]:
        found = []
        with contextlib.suppress(OSError):
            for directory in self._root.iterdir():
                if directory.is_dir():
                    with contextlib.suppress(OSError):
                        packs = len(list(directory.glob("objects/pack/*.pack")))
                        found.append(_Entry(directory, _size(directory), directory.stat().st_mtime, packs))
        return found


def _size(directory: Path) -> int:
    total = 0
    for where, _, files in os.walk(directory):
        for name in files:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(where, name)).st_size
    return total
