"""Kustomizations: from a commit to what `kustomize build` makes of it. Used in the render child only."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pygit2

from cvstate_operator.render import checkout, export, kustomize


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
    path = checkout.path_of(request)
    needed = kustomize.roots(export.TreeFiles(repository, root), path)
    source = checkout.write(repository, root, needed, home, most_bytes=checkout.part_bytes(request))
    limits = checkout.program_limits(request, kustomize.DEFAULT_LIMITS)
    return kustomize.build(source, path, program=_program(request["tools"]), limits=limits), []


def _program(tools: Mapping[str, str]) -> Path:
    return checkout.program_of(tools, "kustomize", wanted=kustomize.KUSTOMIZE_VERSION)
