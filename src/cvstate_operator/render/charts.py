"""Charts: from a commit to what `helm template` makes of it. Used in the render child only."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pygit2

from cvstate_operator import errors


def tool(tools: Mapping[str, str]) -> str:
    raise errors.ToolMissingError("TODO")


def build(repository: pygit2.Repository, root: pygit2.Tree, request: Mapping[str, Any], home: Path) -> tuple[bytes, list[str]]:
    raise errors.ToolMissingError("TODO")
