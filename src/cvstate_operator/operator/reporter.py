"""The reporter: writes what a pass found onto its ClusterState and tells Kubernetes Events. Adapter of the port of the same name."""

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from cvstate_operator import errors
from cvstate_operator.api import names
from cvstate_operator.api.change_plan import plan_name
from cvstate_operator.kube.client import Client
from cvstate_operator.objects import ownership
from cvstate_operator.objects.live import is_newer
from cvstate_operator.operator.event_writer import EventWriter
from cvstate_operator.reconcile.outcome import Consent
from cvstate_operator.reconcile.plan_report import plan_body
from cvstate_operator.reconcile.ports import ParentMetadata

FIELD_MANAGER: Final = f"{names.FIELD_MANAGER}-report"
"""Field manager of marks and status. Not that of managed objects: a ClusterState may be one itself, and an apply takes away what it does not name."""

STATUS_TRIES: Final = 3
"""How often in a row a status is written that others are quicker than: whoever writes the ClusterState more often than that is waited for."""

_log = logging.getLogger(__name__)


class KubernetesReporter:
    """Reports on one ClusterState. What it writes there it writes one after the other, each on top of the newest state that it knows."""

    def __init__(self, client: Client, body: Mapping[str, Any]) -> None:
        """
        Args:
            client: the API server.
            body: the ClusterState, as it is now.
        """
        self._client = client
        self._meta = {key: body["metadata"][key] for key in ("namespace", "name", "uid")}
        self._path = f"/apis/{names.API_VERSION}/namespaces/{self._meta['namespace']}/{names.CLUSTER_STATES}/{self._meta['name']}"
        self._events = EventWriter(client, {"apiVersion": names.API_VERSION, "kind": names.CLUSTER_STATE, **self._meta})
        self._version: str = body["metadata"]["resourceVersion"]
        """Of the newest state that is known, by events and by the answers to what is written here."""
        self._found: Any = body.get("status")
        """The status in that state."""
        self._told = self._found
        """The status that was written last, as the API server keeps it."""
        self._turn = asyncio.Lock()

    def seen(self, body: Mapping[str, Any]) -> None:
        """The ClusterState is in this state, or was."""
        if is_newer(body["metadata"]["resourceVersion"], self._version):
            self._version, self._found = body["metadata"]["resourceVersion"], body.get("status")

    @property
    def is_overwritten(self) -> bool:
        """Whether somebody else wrote the status since it was written here: by hand, or a replica that had the ClusterState before and whose write came late."""
        return bool(self._found != self._told)

    async def write_parent(self, metadata: ParentMetadata) -> None:
        """Put the ApplySet marks on the ClusterState."""
        marks = {
            "labels": {ownership.ID_LABEL: metadata.applyset_id},
            "annotations": {
                ownership.TOOLING_ANNOTATION: f"{names.FIELD_MANAGER}/v1",
                ownership.GROUP_KINDS_ANNOTATION: ownership.format_group_kinds(metadata.group_kinds),
                **({ownership.NAMESPACES_ANNOTATION: ownership.format_namespaces(metadata.namespaces)} if metadata.namespaces else {}),
            },
        }
        await self._apply(self._path, {"metadata": {**self._meta, **marks}})

    async def write_plan(self, consent: Consent, *, revision: str, known: Iterable[object], needed: Collection[str]) -> None:
        """Show what waits for a person as a ClusterStatePlan, and take away those that nobody needs any more.

        Args:
            consent: what waits.
            revision: of the commit it comes from.
            known: the ClusterStatePlans of this ClusterState, as they are in the cluster.
            needed: digests that are approved: their plans stay.
        """
        plans = {str(plan["metadata"]["name"]): plan for plan in known if isinstance(plan, Mapping)}
        folder = f"/apis/{names.API_VERSION}/namespaces/{self._meta['namespace']}/{names.CLUSTER_STATE_PLANS}"
        current = plan_name(self._meta["name"], consent.digest) if consent.digest else ""
        if current and current not in plans:
            body = plan_body(consent, name=current, revision=revision, owner=self._meta)
            with suppress(errors.StaleError):  # somebody just made it: an earlier pass whose answer was lost
                await self._client.create(folder, body)
        for name, plan in plans.items():
            if name != current and (plan.get("spec") or {}).get("digest") not in needed:
                meta = plan["metadata"]
                with suppress(errors.StaleError):
                    await self._client.delete(f"{folder}/{name}", uid=meta["uid"], resource_version=meta["resourceVersion"])

    async def is_leaving(self) -> bool:
        """Whether the API server itself says that this very ClusterState is being deleted; an event may be old, and another may have its name by now."""
        live = await self._client.get(self._path)
        meta = live["metadata"] if live else {}
        return meta.get("uid") == self._meta["uid"] and "deletionTimestamp" in meta

    async def write_finalizer(self, *, wanted: bool, found: Sequence[str]) -> None:
        """Put our finalizer on the ClusterState, or take it away; nothing if it is as wanted. `found`: the finalizers it has."""
        if wanted == (names.FINALIZER in found):
            return
        others = [name for name in found if name != names.FINALIZER]
        operations: list[dict[str, Any]] = [
            {"op": "test", "path": "/metadata/uid", "value": self._meta["uid"]},
            {"op": "test", "path": "/metadata/finalizers", "value": list(found) or None},
            {"op": "add", "path": "/metadata/finalizers", "value": [*others, names.FINALIZER] if wanted else others},
        ]
        try:
            async with self._turn:
                self.seen(await self._client.patch(self._path, operations, manager=FIELD_MANAGER))
        except errors.InvalidError as exc:  # by RFC 6902 a `test` that fails; the API server says 422
            raise errors.StaleError("the ClusterState changed since the last event about it") from exc

    async def write_status(self, status: Mapping[str, Any]) -> None:
        """Replace the status. A field that the CRD in the cluster does not know yet, in the middle of an upgrade, is dropped; server-side apply would fail.

        It names the state that it is written on top of: one that arrives late, when another replica has the ClusterState, takes the place of nothing newer.

        Raises:
            NotFoundError: the ClusterState is gone.
            StaleError: others changed it again and again meanwhile.
            CvstateError: the status could not be written.
        """
        async with self._turn:
            for tries in range(STATUS_TRIES):
                if tries:
                    await self._look()
                try:
                    live = await self._put_status(status)
                except errors.NotFoundError:
                    raise
                except errors.StaleError:
                    if tries + 1 == STATUS_TRIES:
                        raise
                else:
                    self.seen(live)
                    self._told = live.get("status")
                    return

    async def _put_status(self, status: Mapping[str, Any]) -> Mapping[str, Any]:
        operations: list[dict[str, Any]] = [
            {"op": "test", "path": "/metadata/uid", "value": self._meta["uid"]},
            # Answered by 409 if it is another one by now; a `test` that fails is a 422, as is a status that the CRD refuses.
            {"op": "replace", "path": "/metadata/resourceVersion", "value": self._version},
            {"op": "add", "path": "/status", "value": status},
        ]
        return await self._client.patch(self._path + "/status", operations, manager=FIELD_MANAGER)

    async def _look(self) -> None:
        """See how the ClusterState is now.

        Raises:
            NotFoundError: it is gone.
        """
        live = await self._client.get(self._path)
        if live is None or live["metadata"]["uid"] != self._meta["uid"]:
            raise errors.NotFoundError(f"ClusterState {self._meta['namespace']}/{self._meta['name']} is gone")
        self.seen(live)

    def fault(self, what: str, error: Exception) -> None:
        """Log an error that nobody foresaw, with where it came from."""
        _log.error(what, exc_info=error, extra={"clusterstate": f"{self._meta['namespace']}/{self._meta['name']}"})

    def event(self, *, kind: str, reason: str, message: str, correlation_id: str = "") -> None:
        """Tell people that something happened; written beside everything else."""
        self._events.tell(kind=kind, reason=reason, note=message, correlation_id=correlation_id)

    async def close(self) -> None:
        """Write the events that wait, as far as there is time. May be cut off; `end` has to follow."""
        await self._events.close()

    def end(self) -> None:
        """Write no events any more."""
        self._events.end()

    async def _apply(self, path: str, body: Mapping[str, Any]) -> None:
        whole = {"apiVersion": names.API_VERSION, "kind": names.CLUSTER_STATE, **body}
        async with self._turn:
            self.seen(await self._client.apply(path, whole, manager=FIELD_MANAGER, force=True))
