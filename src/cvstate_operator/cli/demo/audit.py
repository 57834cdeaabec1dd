"""The API server's own word on what the operator wrote: its audit log, one JSON event per request (level Metadata).

Input: the log of a cluster that `python -m tests.cluster up` started; an existing cluster shows none.
"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from cvstate_operator.api import names

_WRITES: Final = frozenset({"create", "update", "patch", "delete", "deletecollection"})
_REPORTS: Final = frozenset({names.CLUSTER_STATES, names.CLUSTER_STATE_PLANS, "events"})
"""Resources by which the operator reports; every other write is to the world it manages."""


@dataclass(frozen=True, slots=True)
class Write:
    """One request of the operator that was meant to change something."""

    verb: str
    resource: str
    """Plural, as in `deployments`; with a subresource as in `deployments/scale`."""
    namespace: str
    name: str

    @property
    def is_report(self) -> bool:
        """Whether it only tells: a status, a plan or an Event."""
        return self.resource.partition("/")[0] in _REPORTS


class AuditLog:
    """A reader of one log. The server writes a request's line before it ends its answer, so nothing seen is missing."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def mark(self) -> int:
        """The end of the log now, in bytes."""
        return self._path.stat().st_size

    def writes(self, since: int) -> tuple[Write, ...]:
        """What the operator wrote after a mark."""
        with self._path.open("rb") as log:
            log.seek(since)
            whole, _, _ = log.read().rpartition(b"\n")
        events = (json.loads(line) for line in whole.splitlines() if b'"cvstate-operator/' in line)
        return tuple(_write(event) for event in events if _is_write(event))


def to_objects(writes: Iterable[Write]) -> tuple[Write, ...]:
    """Without reports."""
    return tuple(write for write in writes if not write.is_report)


def tally(writes: Iterable[Write]) -> str:
    """`53 PATCHes`."""
    words = {"patch": ("PATCH", "PATCHes"), "delete": ("DELETE", "DELETEs")}
    parts = []
    for verb, count in sorted(Counter(write.verb for write in writes).items()):
        one, many = words.get(verb, (verb.upper(), verb.upper()))
        parts.append(f"{count} {one if count == 1 else many}")
    return ", ".join(parts) or "no write"


def as_data(writes: Iterable[Write] | None) -> list[dict[str, str]] | None:
    """For the JSON result; None if nobody counted them."""
    return None if writes is None else [asdict(write) for write in writes]


def _is_write(event: dict[str, Any]) -> bool:
    by_operator = event.get("userAgent", "").startswith(f"{names.FIELD_MANAGER}/")
    return by_operator and event["verb"] in _WRITES and "dryRun" not in event.get("requestURI", "")


def _write(event: dict[str, Any]) -> Write:
    target = event.get("objectRef") or {}
    resource = "/".join(part for part in (target.get("resource", ""), target.get("subresource", "")) if part)
    return Write(event["verb"], resource, target.get("namespace", ""), target.get("name", ""))
