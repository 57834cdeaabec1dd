"""Charts: from a commit to what `helm template` makes of it. Used in the render child only."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pygit2

from cvstate_operator.objects.recipe import HelmRecipe
from cvstate_operator.render import checkout, export, helm


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
    path = checkout.path_of(request)
    recipe = HelmRecipe(**{**request["helm"], "values_documents": tuple(map(tuple, request["helm"]["values_documents"]))})
    source = checkout.write(repository, root, [path], home, most_bytes=checkout.part_bytes(request))
    limits = checkout.program_limits(request, helm.DEFAULT_LIMITS)
    # Values files may lie beside the chart, and are read from the commit itself.
    made = helm.template(source, path, recipe, program=_program(request["tools"]), files=export.TreeFiles(repository, root), limits=limits)
    return made.text, [str(notice) for notice in made.notices]


def _program(tools: Mapping[str, str]) -> Path:
    return checkout.program_of(tools, "helm", wanted=helm.HELM_VERSION)
