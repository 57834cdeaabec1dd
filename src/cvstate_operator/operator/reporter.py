"""The reporter: writes what a pass found onto its ClusterState and tells Kubernetes Events. Adapter of the port of the same name."""

import asyncio
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from cvstate_operator import errors
from cvstate_operator.api import names
from cvstate_operator.kube.client import Client
from cvstate_operator.objects import ownership
from cvstate_operator.objects.redaction import one_line
from cvstate_operator.reconcile.ports import ParentMetadata

MAX_EVENT_MESSAGE: Final = 1000
"""An Event's note may have 1,024 characters (events.k8s.io/v1)."""
FIELD_MANAGER: Final = f"{names.FIELD_MANAGER}-report"
"""Field manager of marks and status. Not that of managed objects: a ClusterState may be one itself, and an apply takes away what it does not name."""
PENDING_EVENTS: Final = 50
"""Events that wait to be written; further ones are dropped, and counted in the log."""

_log = logging.getLogger(__name__)


class KubernetesReporter:
    """Reports on one ClusterState."""

    def __init__(self, client: Client, *, namespace: str, name: str, uid: str) -> None:
        self._client = client
        self._meta = {"namespace": namespace, "name": name, "uid": uid}
        self._path = f"/apis/{names.API_VERSION}/namespaces/{namespace}/{names.CLUSTER_STATES}/{name}"
        self._events: asyncio.Queue[tuple[str, str, str]] = asyncio.Queue(PENDING_EVENTS)
        self._writer = asyncio.create_task(self._write_events(), name=f"events {namespace}/{name}")

    async def write_parent(self, metadata: ParentMetadata) -> None:
        """Put the ApplySet marks on the ClusterState."""
        marks = {
            "labels": {ownership.ID_LABEL: metadata.applyset_id},
            "annotations": {
                ownership.TOOLING_ANNOTATION: f"{names.FIELD_MANAGER}/v1",
                ownership.GROUP_KINDS_ANNOTATION: ownership.format_group_kinds(metadata.group_kinds),
            },
        }
        await self._apply(self._path, {"metadata": {**self._meta, **marks}})

    async def write_status(self, status: Mapping[str, Any]) -> None:
        """Replace the status. A field that the CRD in the cluster does not know yet, in the middle of an upgrade, is dropped; server-side apply would fail."""
        operations: list[dict[str, Any]] = [
            {"op": "test", "path": "/metadata/uid", "value": self._meta["uid"]},
            {"op": "add", "path": "/status", "value": status},
        ]
        await self._client.patch(self._path + "/status", operations, manager=FIELD_MANAGER)

    def fault(self, what: str, error: Exception) -> None:
        """Log an error that nobody foresaw, with where it came from."""
        _log.error(what, exc_info=error, extra={"clusterstate": f"{self._meta['namespace']}/{self._meta['name']}"})

    def event(self, *, kind: str, reason: str, message: str) -> None:
        """Tell people that something happened; written beside everything else."""
        try:
            self._events.put_nowait((kind, reason, message))
        except asyncio.QueueFull:
            _log.warning("event dropped, too many are waiting", extra={"reason": reason})

    async def close(self) -> None:
        """Write the events that wait, then end."""
        try:
            async with asyncio.timeout(2):
                await self._events.join()
        except TimeoutError:
            _log.warning("events dropped at the end", extra={"count": self._events.qsize()})
        self._writer.cancel()
        await asyncio.gather(self._writer, return_exceptions=True)

    async def _apply(self, path: str, body: Mapping[str, Any]) -> None:
        whole = {"apiVersion": names.API_VERSION, "kind": names.CLUSTER_STATE, **body}
        await self._client.apply(path, whole, manager=FIELD_MANAGER, force=True)

    async def _write_events(self) -> None:
        while True:
            kind, reason, message = await self._events.get()
            try:
                await self._client.create(
                    f"/apis/events.k8s.io/v1/namespaces/{self._meta['namespace']}/events", self._event(kind, reason, message)
                )
            except errors.CvstateError as exc:
                _log.warning("event not written", extra={"reason": exc.reason, "error": exc.message, "event": message})
            finally:
                self._events.task_done()

    def _event(self, kind: str, reason: str, message: str) -> dict[str, Any]:
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"generateName": f"{self._meta['name']}-", "namespace": self._meta["namespace"]},
            "eventTime": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "type": kind,
            "reason": reason,
            "action": "Reconcile",
            "note": one_line(message, MAX_EVENT_MESSAGE),
            "regarding": {"apiVersion": names.API_VERSION, "kind": names.CLUSTER_STATE, **self._meta},
            "reportingController": f"{names.GROUP}/{names.FIELD_MANAGER}",
            "reportingInstance": names.FIELD_MANAGER,
        }
