"""The event writer: tells Kubernetes Events about one ClusterState, beside everything else.

The first one is written at once. What comes within a second after that is written together, one Event for each reason: at 20 drifts a second an Event
for each would be as many writes as the repairs themselves.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from cvstate_operator import errors
from cvstate_operator.api import names
from cvstate_operator.kube.client import Client
from cvstate_operator.objects.redaction import one_line

MAX_NOTE: Final = 1000
"""An Event's note may have 1,024 characters (events.k8s.io/v1)."""
PENDING: Final = 1000
"""What waits to be written; what comes then is dropped, with a line in the log."""
TOGETHER_SECONDS: Final = 1.0
"""How long after an Event others are held back, to be told together."""
SPELLED_OUT: Final = 3
"""Notes of one reason that are spelled out; the rest is counted."""
CLOSING_SECONDS: Final = 2.0
"""How long what waits may take at the end."""

_log = logging.getLogger(__name__)


class _Told(NamedTuple):
    kind: str
    reason: str
    correlation_id: str
    note: str
    at: str


class EventWriter:
    """Writes about one object."""

    def __init__(self, client: Client, regarding: Mapping[str, str]) -> None:
        """
        Args:
            client: the API server.
            regarding: apiVersion, kind, namespace, name and uid of the object.
        """
        self._client = client
        self._regarding = regarding
        self._told: asyncio.Queue[_Told] = asyncio.Queue(PENDING)
        self._is_closing = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name=f"events {regarding['namespace']}/{regarding['name']}")

    def tell(self, *, kind: str, reason: str, note: str, correlation_id: str = "") -> None:
        """Something happened that people should know. `kind`: Normal or Warning."""
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        try:
            self._told.put_nowait(_Told(kind, reason, correlation_id, note, now))
        except asyncio.QueueFull:
            _log.warning("event dropped, too many are waiting", extra={"reason": reason})

    async def close(self) -> None:
        """Write what waits, as far as there is time. May be cut off; `end` has to follow."""
        self._is_closing.set()
        try:
            async with asyncio.timeout(CLOSING_SECONDS):
                await self._told.join()
        except TimeoutError:
            _log.warning("events dropped at the end", extra={"count": self._told.qsize()})

    def end(self) -> None:
        """Write nothing any more."""
        self._task.cancel()

    async def _run(self) -> None:
        while True:
            batch = [await self._told.get()]
            while not self._told.empty():
                batch.append(self._told.get_nowait())
            groups: dict[tuple[str, str, str], list[_Told]] = {}
            for one in batch:
                groups.setdefault(one[:3], []).append(one)
            for group in groups.values():
                await self._write(group)
            for _ in batch:
                self._told.task_done()
            try:
                async with asyncio.timeout(TOGETHER_SECONDS):
                    await self._is_closing.wait()
            except TimeoutError:
                continue

    async def _write(self, group: Sequence[_Told]) -> None:
        event = self._event(group[0], together([one.note for one in group]))
        try:
            await self._client.create(f"/apis/events.k8s.io/v1/namespaces/{self._regarding['namespace']}/events", event)
        except errors.CvstateError as exc:
            _log.warning("event not written", extra={"reason": exc.reason, "error": exc.message, "event": event["note"]})

    def _event(self, told: _Told, note: str) -> dict[str, Any]:
        marks = {"annotations": {names.CORRELATION_ID: told.correlation_id}} if told.correlation_id else {}
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"generateName": f"{self._regarding['name']}-", "namespace": self._regarding["namespace"], **marks},
            "eventTime": told.at,
            "type": told.kind,
            "reason": told.reason,
            "action": "Reconcile",
            "note": one_line(note, MAX_NOTE),
            "regarding": dict(self._regarding),
            "reportingController": f"{names.GROUP}/{names.FIELD_MANAGER}",
            "reportingInstance": names.FIELD_MANAGER,
        }


def together(notes: Sequence[str]) -> str:
    """Several notes as one: the first few, and how many more there are."""
    told = list(dict.fromkeys(notes))
    more = len(told) - SPELLED_OUT
    return " | ".join(told[:SPELLED_OUT]) + (f" | and {more} more within {TOGETHER_SECONDS:.0f} s" if more > 0 else "")
