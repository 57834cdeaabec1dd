"""The mark of a ClusterState that is being restored from a backup: the operator does not look at it before it is whole.

A new object cannot bring its status with it (the API server leaves that out of a create), and the operator reads the status once, when it first sees a
ClusterState. So `cvstate restore` makes it with this mark, puts the status back, and takes the mark away: what the operator sees first has its past with it.
"""

from collections.abc import Mapping
from typing import Any, Final

from cvstate_operator.api.names import GROUP

MARK: Final = f"{GROUP}/restoring"
"""Annotation on a ClusterState; its value says nothing."""


def is_marked(body: Mapping[str, Any]) -> bool:
    """Whether a ClusterState is being restored."""
    return MARK in ((body.get("metadata") or {}).get("annotations") or {})
