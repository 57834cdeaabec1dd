"""Reads the API server's audit log: which requests arrived since a mark, and from whom.

Input: the log of a cluster started by `control_plane`, level Metadata, one line per request (`stack.AUDIT_POLICY`). The line of a request is written
before a short answer ends, so a test may read right after its own request; others may see what it changed before the line is there, and `mark` waits for that.
"""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

REST_SECONDS = 0.02
"""A log that does not grow for so long has caught up: a line comes within a few milliseconds on an idle machine (measured)."""
REST_LIMIT_SECONDS = 0.5

WRITE_VERBS = frozenset({"create", "update", "patch", "delete", "deletecollection"})
"""Verbs that change objects. Source: Kubernetes documentation, "Authorization overview", request verbs."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request as the API server saw it.

    Attributes:
        verb: The Kubernetes verb, for example ``list``; for paths without resources the lower-case HTTP method.
        resource: Plural name, for example ``deployments``; empty for paths without resources.
        subresource: For example ``status``; empty for none.
        namespace: Empty for cluster-scoped objects and for lists over all namespaces.
        name: Empty for lists, and for creates: there the name is in the body, which is not logged.
        user: Who asked.
        user_agent: What the client calls itself; empty if nothing.
        code: The HTTP status of the answer; 0 when there was none.
        is_dry_run: The URL says ``dryRun``. A delete may say it in its body instead, which is not visible here.
        timestamp: When the request arrived, in UTC, microseconds.
        duration_seconds: From its arrival to the log line: to the end of the answer, for a watch to its start.
        uri: Path and query.
    """

    verb: str
    resource: str
    subresource: str
    namespace: str
    name: str
    user: str
    user_agent: str
    code: int
    is_dry_run: bool
    timestamp: datetime.datetime
    duration_seconds: float
    uri: str

    @property
    def is_write(self) -> bool:
        """Say whether the request was meant to change an object; one that was refused counts too."""
        return self.verb in WRITE_VERBS and not self.is_dry_run and self.resource not in _REVIEWS


_REVIEWS = frozenset(
    {
        "selfsubjectaccessreviews",
        "selfsubjectrulesreviews",
        "selfsubjectreviews",
        "subjectaccessreviews",
        "localsubjectaccessreviews",
        "tokenreviews",
    }
)
"""Questions that are asked by creating an object which is never stored. Source: Kubernetes API reference, groups authorization and authentication."""


class Audit:
    """A reader of one audit log. It keeps nothing, so several may read the same log."""

    def __init__(self, path: Path) -> None:
        """Prepare to read this file, which may not exist yet."""
        self._path = path

    def mark(self) -> int:
        """Return the place in the log, in bytes, after the requests answered so far.

        The API server writes a line after it has answered, so the log is given a moment to come to rest; a busy one is not waited for.
        """
        deadline, before = time.monotonic() + REST_LIMIT_SECONDS, -1
        while (size := self._size()) != before and time.monotonic() < deadline:
            before = size
            time.sleep(REST_SECONDS)
        return size

    def _size(self) -> int:
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return 0

    def requests(self, since: int = 0, *, user: str | None = None) -> list[Request]:
        """Return the requests logged after a mark, in the order their answers ended.

        Args:
            since: What `mark` returned; 0 for all.
            user: Only this user's requests; None for everyone's, the control plane's own included.
        """
        try:
            with self._path.open("rb") as log:
                log.seek(since)
                data = log.read()
        except FileNotFoundError:
            return []
        found = (parse(line) for line in complete_lines(data))
        return [request for request in found if user is None or request.user == user]


def count_writes(requests: Iterable[Request]) -> int:
    """Return how many of the requests were meant to change an object: dry runs and access reviews do not count."""
    return sum(request.is_write for request in requests)


def complete_lines(data: bytes) -> list[bytes]:
    """Return the lines that end with a newline; the server may be in the middle of writing the last one."""
    whole, _, _ = data.rpartition(b"\n")
    return [line for line in whole.split(b"\n") if line]


def parse(line: bytes) -> Request:
    """Return the request that a line of the log describes.

    Source: Kubernetes API reference, `audit.k8s.io/v1`, Event.
    """
    event: Mapping[str, Any] = json.loads(line)
    target: Mapping[str, str] = event.get("objectRef") or {}
    arrived = datetime.datetime.fromisoformat(event["requestReceivedTimestamp"])
    logged = datetime.datetime.fromisoformat(event["stageTimestamp"])
    uri = str(event.get("requestURI", ""))
    return Request(
        verb=event["verb"],
        resource=target.get("resource", ""),
        subresource=target.get("subresource", ""),
        namespace=target.get("namespace", ""),
        name=target.get("name", ""),
        user=(event.get("user") or {}).get("username", ""),
        user_agent=event.get("userAgent", ""),
        code=(event.get("responseStatus") or {}).get("code", 0),
        is_dry_run="dryRun" in parse_qs(urlsplit(uri).query),
        timestamp=arrived,
        duration_seconds=(logged - arrived).total_seconds(),
        uri=uri,
    )
