"""Checkout: what an official program needs of a commit, as files on disk. Used in the render child only."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

import pygit2

from cvstate_operator import errors
from cvstate_operator.objects.redaction import one_line
from cvstate_operator.render import export, paths
from cvstate_operator.render import program as runner

PARTS: Final = 4
"""A render may write so many times the part of its room that each of these may take: what is given to a program, Helm's copy of a chart, what the program
writes, and the objects of a process that failed. When objects are made anew, the second and third of these are gone."""

_Limits = TypeVar("_Limits", bound=runner.Limits)


def path_of(request: Mapping[str, Any]) -> str:
    """The path that is rendered, relative to the repository; the empty path is the repository itself."""
    return paths.inside(request["path"].strip("/"), f"path {request['path']}")


def program_of(tools: Mapping[str, str], name: str, *, wanted: str) -> Path:
    """Where a program is.

    Args:
        tools: path of each program that is installed.
        name: `kustomize` or `helm`.
        wanted: version to install, for people.

    Raises:
        ToolMissingError: it is not installed.
    """
    if name not in tools:
        raise errors.ToolMissingError(
            f"the path needs {name}, which is not installed beside the operator; install {name} {wanted}, or set render.type: Plain"
        )
    return Path(tools[name])


def part_bytes(request: Mapping[str, Any]) -> int:
    """What each thing that a render writes may take of its room (`PARTS`)."""
    return int(request["room"]) // PARTS


def program_limits(request: Mapping[str, Any], usual: _Limits) -> _Limits:
    """What a program may use: of the memory of a render three quarters, since the rest is for this process; and no more output than there is room for."""
    return replace(usual, memory_bytes=int(request["memory"]) * 3 // 4, max_output_bytes=min(usual.max_output_bytes, part_bytes(request)))


def write(repository: pygit2.Repository, root: pygit2.Tree, directories: Iterable[str], home: Path, *, most_bytes: int) -> Path:
    """Write directories of a commit below `home`, and return where its root is.

    Args:
        repository: where the commit is.
        root: its tree.
        directories: that are needed.
        home: of this process.
        most_bytes: content of all files.

    Raises:
        BuildFailedError: a file is only a pointer to Git LFS.
        CvstateError: whatever `export.export` refuses.
    """
    into = home / "source"
    into.mkdir(mode=0o700)
    limits = export.Limits(max_bytes=min(export.Limits().max_bytes, most_bytes))
    written = export.export(repository, root, into, directories, limits=limits)
    if written.lfs_pointers:
        raise lfs_pointer(written.lfs_pointers[0])
    return into


def lfs_pointer(path: str) -> errors.BuildFailedError:
    """The error for a file whose content is elsewhere."""
    return errors.BuildFailedError(f"{one_line(path, 200)} is a Git LFS pointer, not the file itself; commit the file without LFS")
