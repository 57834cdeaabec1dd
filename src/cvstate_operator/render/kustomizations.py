"""Kustomizations: from a commit to what `kustomize build` makes of it. Used in the render child only."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pygit2

from cvstate_operator import errors
from cvstate_operator.render import export, kustomize


def tool(tools: Mapping[str, str]) -> str:
    """Program and version, for people and for the key of the result.

    Raises:
        ToolMissingError: it is not installed.
    """
    return f"kustomize {kustomize.version(_program(tools))}"


def build(repository: pygit2.Repository, root: pygit2.Tree, request: Mapping[str, Any], home: Path) -> tuple[bytes, list[str]]:
    """A stream of YAML documents, and warnings.

    Raises:
        BuildFailedError: whatever is wrong; then there is nothing.
    """
    path = "" if request["path"] in (".", "./") else request["path"].strip("/")
    files = export.TreeFiles(repository, root)
    exported = home / "source"
    exported.mkdir(mode=0o700)
    written = export.export(repository, root, exported, kustomize.roots(files, path))
    if written.lfs_pointers:
        raise errors.BuildFailedError(f"{written.lfs_pointers[0]} is a Git LFS pointer, not the file itself; commit the file without LFS")
    return kustomize.build(exported, path, program=_program(request["tools"])), []


def _program(tools: Mapping[str, str]) -> Path:
    if "kustomize" not in tools:
        raise errors.ToolMissingError(
            f"the path holds a kustomization, and kustomize is not installed beside the operator; install {kustomize.KUSTOMIZE_VERSION}, or set render.type: Plain"
        )
    return Path(tools["kustomize"])
