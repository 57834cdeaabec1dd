"""Files: which ones below a directory the operator would read, by the rules it reads a commit with.

Two differences, since a checkout is no commit: `.git` at the root is passed over, and files that are not committed are read too.
"""

import os
import re
import stat
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from cvstate_operator import errors
from cvstate_operator.objects.problem import Problem
from cvstate_operator.objects.redaction import one_line
from cvstate_operator.render import listing
from cvstate_operator.render.globs import MANIFEST_SUFFIXES

_SUBMODULE: Final = re.compile(r"^\s*path\s*=\s*(.+)$", re.MULTILINE)
_MAX_PATH = 400
"""Longest path shown in a problem."""


def listed(root: Path, repository: Path) -> tuple[list[str], list[Problem]]:
    """Manifest files below `root`, relative to it and sorted, and what is never read; a file is its own only entry.

    Args:
        root: directory or file.
        repository: the checkout that `root` is in; links must stay in it, and it says where submodules are.

    Raises:
        PathNotFoundError: there is nothing at `root`.
        RepoTooLargeError: more files than the operator takes.
    """
    try:
        mode = root.stat().st_mode
    except (OSError, ValueError) as exc:
        raise errors.PathNotFoundError(
            f"{one_line(str(root), _MAX_PATH)} cannot be read: {_why(exc)}; give a directory, a file, or -"
        ) from exc
    if not stat.S_ISDIR(mode):
        return [""], []
    files: list[str] = []
    problems: list[Problem] = []
    for number, (path, problem) in enumerate(_walk(root, repository.resolve(), _submodules(repository))):
        if number >= listing.MAX_ENTRIES or len(files) > listing.MAX_FILES:
            raise errors.RepoTooLargeError(f"more than {listing.MAX_FILES} manifest files below the path; give a narrower one")
        if problem:
            shown = path.encode(errors="surrogateescape").decode(errors="backslashreplace")
            problems.append(Problem(one_line(shown, _MAX_PATH), 0, "", *problem))
        elif path:
            files.append(path)
    return sorted(files), sorted(problems)


def read(root: Path, path: str) -> bytes:
    """The content of one listed file; links put in its place meanwhile are not followed.

    Raises:
        SourceInvalidError: it cannot be read.
    """
    try:
        descriptor = os.open(root / path if path else root, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (os.O_NOFOLLOW if path else 0))
        with open(descriptor, "rb") as file:
            content = file.read(listing.MAX_FILE_BYTES + 1)
    except OSError as exc:
        raise errors.SourceInvalidError(f"cannot be read: {_why(exc)}") from exc
    if len(content) > listing.MAX_FILE_BYTES:
        raise errors.RenderTooLargeError(_too_large())
    return content


def _submodules(repository: Path) -> set[Path]:
    """Where the checkout has submodules, fetched or not. Source: gitmodules(5)."""
    try:
        text = (repository / ".gitmodules").read_text(errors="replace")
    except OSError:
        return set()
    return {repository.resolve() / found[1].strip() for found in _SUBMODULE.finditer(text)}


def _walk(root: Path, repository: Path, submodules: Collection[Path]) -> Iterator[tuple[str, tuple[str, str] | None]]:
    """Every entry below: the path of a manifest file, a path with reason and message, or an empty path for what is of no interest."""
    pending = [""]
    place = root.resolve()
    while pending:
        where = pending.pop()
        try:
            with os.scandir(root / where) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as exc:
            yield where, ("BuildFailed", f"cannot be read: {_why(exc)}; change its permissions, or leave it out with --exclude")
            continue
        if where and (any(entry.name == ".git" for entry in found) or place / where.rstrip("/") in submodules):
            yield (
                where,
                (
                    "BuildFailed",
                    "is a submodule or a repository of its own, which is not followed; copy its files, or leave it out with --exclude",
                ),
            )
            continue
        for entry in found:
            path = where + entry.name
            if not where and entry.name == ".git":
                continue
            if entry.is_dir(follow_symlinks=False):
                pending.append(path + "/")
                yield "", None
            elif entry.is_symlink() or entry.name.endswith(MANIFEST_SUFFIXES):
                objection = _objection(entry, path, repository)
                yield path if objection or entry.name.endswith(MANIFEST_SUFFIXES) else "", objection
            else:
                yield "", None


def _objection(entry: "os.DirEntry[str]", path: str, repository: Path) -> tuple[str, str] | None:
    if not entry.name.isprintable() or len(path.encode(errors="replace")) > listing.MAX_NAME_BYTES:
        return "BuildFailed", "file name not allowed; rename it"
    if entry.is_symlink():
        if not Path(os.path.realpath(entry.path)).is_relative_to(repository):
            return "SymlinkEscapes", "is a symbolic link that leads out of the repository; commit the file itself"
        if os.path.isdir(entry.path):
            return "BuildFailed", "is a symbolic link to a directory, which is not followed; copy the files"
        if not entry.name.endswith(MANIFEST_SUFFIXES):
            return None
        return "BuildFailed", "is a symbolic link, which is never followed; copy the file"
    if not entry.is_file(follow_symlinks=False):
        return "BuildFailed", "is no ordinary file; remove it"
    return None


def _too_large() -> str:
    return f"larger than {listing.MAX_FILE_BYTES // 2**20} MiB; split the file"


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
