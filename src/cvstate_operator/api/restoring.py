"""The mark of a ClusterState that is being restored from a backup: the operator does not look at it before it is whole.

A new object cannot bring its status with it (the API server leaves that out of a create), and the operator reads the status once, when it first sees
a ClusterState. So `cvstate restore` makes it with this mark, puts the status back, and takes the mark away: what the operator sees first has its past
with it. In place of the mark comes the digest of what it was restored from: a restore that broke off and is run again tells by it what it made from
what was there.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import orjson

from cvstate_operator.api.names import GROUP

MARK: Final = f"{GROUP}/restoring"
"""Annotation on a ClusterState that is not whole yet: `digest` of what stands in the backup. Whatever its value, it is not looked at."""
RESTORED_FROM: Final = f"{GROUP}/restored-from"
"""Annotation on what was restored, whole: `digest` of what stood in the backup."""


def digest(document: Mapping[str, Any]) -> str:
    """What tells one object of a backup from all others: `sha256:` and 64 hex digits, whatever the order of its keys."""
    return f"sha256:{hashlib.sha256(orjson.dumps(document, option=orjson.OPT_SORT_KEYS)).hexdigest()}"


def is_marked(body: Mapping[str, Any]) -> bool:
    """Whether a ClusterState is being restored."""
    return MARK in _annotations(body)


def is_begun(body: Mapping[str, Any], document: Mapping[str, Any]) -> bool:
    """Whether a ClusterState that is not whole yet is being restored from exactly this one of a backup."""
    return _annotations(body).get(MARK) == digest(document)


def is_restored(body: Mapping[str, Any], document: Mapping[str, Any]) -> bool:
    """Whether an object was restored from exactly this one of a backup, and is whole. What became of it since does not matter."""
    return not is_marked(body) and _annotations(body).get(RESTORED_FROM) == digest(document)


def _annotations(body: Mapping[str, Any]) -> Mapping[str, str]:
    return (body.get("metadata") or {}).get("annotations") or {}
