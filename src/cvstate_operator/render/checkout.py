"""Checkout: what an official program needs of a commit, as files on disk. Used in the render child only."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import pygit2

from cvstate_operator import errors
from cvstate_operator.objects.redaction import one_line
from cvstate_operator.render import export, paths

PARTS: Final = 4
"""A render may write so many times the part of its room that each of these may take: what is given to a program, Helm's copy of a chart, and objects, of which
those of a process that failed are written again."""


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


def program_memory_bytes(request: Mapping[str, Any]) -> int:
    """What a program may have of the memory of a render; the rest is for this process, which holds what the program wrote."""
    return int(request["memory"]) * 3 // 4


def write(repository: pygit2.Repository, root: pygit2.Tree, directories: Iterable[str], home: Path, *, room_bytes: int) -> Path:
    """Write directories of a commit below `home`, and return where its root is.

    Args:
        repository: where the commit is.
        root: its tree.
        directories: that are needed.
        home: of this process.
        room_bytes: what the whole render may write.

    Raises:
        BuildFailedError: a file is only a pointer to Git LFS.
        CvstateError: whatever `export.export` refuses.
    """
    into = home / "source"
    into.mkdir(mode=0o700)
    limits = export.Limits(max_bytes=min(export.Limits().max_bytes, room_bytes // PARTS))
    written = export.export(repository, root, into, directories, limits=limits)
    if written.lfs_pointers:
        raise lfs_pointer(written.lfs_pointers[0])
    return into


def lfs_pointer(path: str) -> errors.BuildFailedError:
    """The error for a file whose content is elsewhere."""
    return errors.BuildFailedError(f"{one_line(path, 200)} is a Git LFS pointer, not the file itself; commit the file without LFS")
