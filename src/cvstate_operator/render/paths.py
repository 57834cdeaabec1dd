"""Paths: how what a user or a file names becomes a path in the repository. Pure."""

import posixpath
from typing import Final

from cvstate_operator import errors
from cvstate_operator.objects.redaction import one_line

CHART_FILE: Final = "Chart.yaml"
"""What makes a directory a Helm chart."""


def inside(path: str, where: str) -> str:
    """`path` without `.`, `..` and needless slashes; the empty path is the repository.

    Args:
        path: relative to the repository.
        where: what names it, for people.

    Raises:
        PathEscapesError: it leads out of the repository, or is no path.
    """
    normal = posixpath.normpath(path or ".")
    if "\0" in path or normal == ".." or normal.startswith(("../", "/")):
        raise errors.PathEscapesError(f"{one_line(where, 200)} leads out of the repository; keep what it needs inside")
    return "" if normal == "." else normal
