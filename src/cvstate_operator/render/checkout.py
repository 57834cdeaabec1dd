"""Checkout: what an official program needs of a commit, as files on disk. Used in the render child only."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pygit2

from cvstate_operator import errors
from cvstate_operator.objects.redaction import one_line
from cvstate_operator.render import export, paths


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


def write(repository: pygit2.Repository, root: pygit2.Tree, directories: Iterable[str], home: Path) -> Path:
    """Write directories of a commit below `home`, and return where its root is.

    Raises:
        BuildFailedError: a file is only a pointer to Git LFS.
        CvstateError: whatever `export.export` refuses.
    """
    into = home / "source"
    into.mkdir(mode=0o700)
    written = export.export(repository, root, into, directories)
    if written.lfs_pointers:
        raise lfs_pointer(written.lfs_pointers[0])
    return into


def lfs_pointer(path: str) -> errors.BuildFailedError:
    """The error for a file whose content is elsewhere."""
    return errors.BuildFailedError(f"{one_line(path, 200)} is a Git LFS pointer, not the file itself; commit the file without LFS")
