"""Charts: from a commit to what `helm template` makes of it. Used in the render child only."""

import posixpath
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pygit2

from cvstate_operator import errors
from cvstate_operator.objects.recipe import HelmRecipe
from cvstate_operator.objects.redaction import one_line
from cvstate_operator.render import export, helm


def tool(tools: Mapping[str, str]) -> str:
    """Program and version, for people and for the key of the result.

    Raises:
        ToolMissingError: it is not installed.
    """
    return f"helm {helm.version(_program(tools))}"


def build(repository: pygit2.Repository, root: pygit2.Tree, request: Mapping[str, Any], home: Path) -> tuple[bytes, list[str]]:
    """A stream of YAML documents, and warnings.

    Raises:
        BuildFailedError: whatever is wrong; then there is nothing.
    """
    path = "" if request["path"] in (".", "./") else request["path"].strip("/")
    recipe = HelmRecipe(**{**request["helm"], "values_documents": tuple(map(tuple, request["helm"]["values_documents"]))})
    exported = home / "source"
    exported.mkdir(mode=0o700)
    written = export.export(repository, root, exported, [path])
    if written.lfs_pointers:
        raise errors.BuildFailedError(
            f"{one_line(written.lfs_pointers[0])} is a Git LFS pointer, not the file itself; commit the file without LFS"
        )
    _add_values_files(export.TreeFiles(repository, root), exported, path, recipe)
    text, warnings = helm.template(exported, path, recipe, program=_program(request["tools"]))
    return text, list(warnings)


def _add_values_files(files: export.TreeFiles, exported: Path, path: str, recipe: HelmRecipe) -> None:
    """Values files may lie beside the chart, so that one chart serves many environments."""
    for name in recipe.values_files:
        where = posixpath.normpath(posixpath.join(path, name))
        target = exported / where
        if where.startswith("../") or target.exists():
            continue  # refused by name, or there with the chart
        content = files.read(where)
        if content is not None:
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            target.write_bytes(content)


def _program(tools: Mapping[str, str]) -> Path:
    if "helm" not in tools:
        raise errors.ToolMissingError(
            f"the path holds a chart, and Helm is not installed beside the operator; install {helm.HELM_VERSION}, or set render.type: Plain"
        )
    return Path(tools["helm"])
