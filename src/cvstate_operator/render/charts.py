"""Charts: from a commit to what `helm template` makes of it. Used in the render child only."""

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
    made = helm.template(exported, path, recipe, program=_program(request["tools"]), files=export.TreeFiles(repository, root))
    return made.text, [f"{notice.reason}: {notice.message}" for notice in made.notices]


def _program(tools: Mapping[str, str]) -> Path:
    if "helm" not in tools:
        raise errors.ToolMissingError(
            f"the path holds a chart, and Helm is not installed beside the operator; install {helm.HELM_VERSION}, or set render.type: Plain"
        )
    return Path(tools["helm"])
