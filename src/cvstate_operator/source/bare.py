"""Bare: a repository of the cache on disk, as the fetch child opens it: alone, swept, and made anew if it cannot be read. Used in the fetch child only."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pygit2
from pygit2.enums import RepositoryOpenFlag

LIBGIT2_ERRORS: Final = (pygit2.GitError, KeyError, ValueError)
"""What pygit2 raises for any fault of a server, of an object, or of a file."""

_PLAIN: Final = RepositoryOpenFlag.NO_SEARCH | RepositoryOpenFlag.NO_DOTGIT | RepositoryOpenFlag.BARE
"""This directory itself: by default libgit2 takes the next repository above it, should it be damaged."""


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Two fetches into one repository go one after the other."""
    directory.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(directory.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def open_swept(directory: Path) -> pygit2.Repository:
    """The bare repository, swept; one that cannot be opened is made anew. Under the lock only."""
    _sweep(directory)
    try:
        return pygit2.Repository(str(directory), _PLAIN)
    except LIBGIT2_ERRORS:
        remove(directory)
    try:
        return pygit2.init_repository(str(directory), bare=True)
    except LIBGIT2_ERRORS as exc:
        raise OSError(str(exc)) from exc


def _sweep(directory: Path) -> None:
    """Remove what a killed fetch left: a lock of libgit2 would fail every later fetch, half a pack takes room for ever. Ours is the only writer."""
    left = [*directory.glob("*.lock"), *directory.glob("refs/**/*.lock"), *directory.glob("objects/pack/*.lock")]
    left += [
        path for path in directory.glob("objects/pack/*") if "_git2_" in path.name or path.name.startswith("tmp_") or path.suffix == ".keep"
    ]
    for path in left:
        path.unlink(missing_ok=True)


def remove(directory: Path) -> None:
    """Remove a repository, or whatever else is in its place; a link is removed itself."""
    if directory.is_dir() and not directory.is_symlink():
        shutil.rmtree(directory, ignore_errors=True)
    else:
        directory.unlink(missing_ok=True)
