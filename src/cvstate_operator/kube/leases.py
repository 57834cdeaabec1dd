"""Leases: how replicas tell each other that they are there. What is concluded from them is in `plan/membership.py`; nothing is decided here.

Each request has a deadline of its own, far below that of the client, so that one that hangs leaves time for others before the fence.
A renewal is a JSON patch that first tests whose Lease it is, in one request: it neither needs the newest resourceVersion nor can it revive what is another's.
Source: coordination.k8s.io/v1; RFC 6902, section 4.6 (test).
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Final, TypeVar

from cvstate_operator import errors
from cvstate_operator.api import names
from cvstate_operator.kube.client import Client
from cvstate_operator.plan.membership import EXPIRY_SECONDS, Lease

LEASE_REQUEST_SECONDS: Final = 2.0
"""Deadline of one request: five of them pass before the fence. An API server that takes longer for a Lease cannot carry writes either."""
GROUP_LABEL: Final = f"{names.GROUP}/group"
"""Replicas with the same value share the work."""
COMPONENT_LABEL: Final = "app.kubernetes.io/component"
COMPONENT: Final = "member"
WEBHOOK_ANNOTATION: Final = f"{names.GROUP}/webhook"
"""Base URL of the member's webhook, for the other members."""

Result = TypeVar("Result")

_NO_NAME: Final = re.compile(r"[^a-z0-9]+")


class Leases:
    """The Leases of one namespace, with the operator's own rights: get, list, create, patch and delete of leases.coordination.k8s.io."""

    def __init__(self, client: Client, *, namespace: str, now: Callable[[], datetime]) -> None:
        """
        Args:
            client: acts in nobody else's name, and has no pace: a Lease must not wait behind other writes, nor may its slowness slow them down.
            namespace: where the Leases are.
            now: the time of day, UTC; written for people, never read.
        """
        self._client = client
        self._namespace = namespace
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._now = now

    async def look(self, group: str) -> tuple[Lease, ...]:
        """All Leases of a group as they were at one moment after this was asked, not from a cache that may be behind.

        Raises:
            CvstateError: they cannot be told.
        """
        return await _in_time(self._list(group), f"list the Leases of {group}")

    async def _list(self, group: str) -> tuple[Lease, ...]:
        found: list[Lease] = []
        selector = f"{GROUP_LABEL}={group},{COMPONENT_LABEL}={COMPONENT}"
        async for page in self._client.pages(self._path, params={"labelSelector": selector}):
            found.extend(_lease(item) for item in page["items"])
        return tuple(found)

    async def take(self, *, member: str, group: str, webhook: str) -> Lease:
        """Make the Lease of a member, or find the one that an earlier try made without our hearing of it.

        Raises:
            SettingsError: somebody else holds a Lease of this name.
            NamespaceMissingError: the namespace is not there.
            CvstateError: it cannot be made now.
        """
        name = name_of(member, group)
        now = _time(self._now())
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": name,
                "namespace": self._namespace,
                "labels": {GROUP_LABEL: group, COMPONENT_LABEL: COMPONENT},
                "annotations": {WEBHOOK_ANNOTATION: webhook},
            },
            "spec": {"holderIdentity": member, "leaseDurationSeconds": int(EXPIRY_SECONDS), "acquireTime": now, "renewTime": now},
        }
        try:
            return _lease(await _in_time(self._client.create(self._path, body), f"create the Lease {name}"))
        except errors.StaleError:
            found = await _in_time(self._client.get(f"{self._path}/{name}"), f"read the Lease {name}")
        lease = _lease(found) if found else None
        if lease and lease.holder != member:
            raise errors.SettingsError(f"the Lease {name} is held by {lease.holder or 'nobody'}; delete it unless another process needs it")
        # It was made some time ago; how long others count on it is counted from its last change.
        renewed = await self.renew(lease) if lease else None
        if renewed is None:
            raise errors.StaleError(f"the Lease {name} was deleted while it was made")
        return renewed

    async def renew(self, lease: Lease) -> Lease | None:
        """Say that its holder is still there; the Lease as it is now, None if it is gone or in other hands.

        Raises:
            CvstateError: it cannot be renewed now, or it is not known whether it was.
        """
        return await self._change(lease, [{"op": "add", "path": "/spec/renewTime", "value": _time(self._now())}])

    async def release(self, lease: Lease) -> Lease | None:
        """Say that its holder writes no more, for others to take over at once; the Lease as it is now, None if it was not its holder's any more.

        Raises:
            CvstateError: it cannot be changed now.
        """
        # As client-go's leader election does on release: nobody holds it, and it lasts for a second.
        free = (("/spec/holderIdentity", ""), ("/spec/leaseDurationSeconds", 1), ("/spec/renewTime", _time(self._now())))
        return await self._change(lease, [{"op": "add", "path": path, "value": value} for path, value in free])

    async def delete(self, lease: Lease) -> None:
        """Delete it as it was seen; one that is gone is fine.

        Raises:
            StaleError: it changed since.
            CvstateError: it cannot be deleted now.
        """
        deleting = self._client.delete(f"{self._path}/{lease.name}", uid=lease.uid, resource_version=lease.version)
        await _in_time(deleting, f"delete the Lease {lease.name}")

    async def _change(self, lease: Lease, operations: list[Mapping[str, Any]]) -> Lease | None:
        tests = [
            {"op": "test", "path": "/metadata/uid", "value": lease.uid},
            {"op": "test", "path": "/spec/holderIdentity", "value": lease.holder},
        ]
        path = f"{self._path}/{lease.name}"
        patching = self._client.patch(path, [*tests, *operations], manager=names.FIELD_MANAGER)
        try:
            return _lease(await _in_time(patching, f"patch the Lease {lease.name}"))
        except errors.NotFoundError:
            return None
        except errors.InvalidError:
            # A test that fails is answered by 422, as other things are.
            found = await _in_time(self._client.get(path), f"read the Lease {lease.name}")
            if found and (_lease(found).uid, _lease(found).holder) == (lease.uid, lease.holder):
                raise
            return None


def name_of(member: str, group: str) -> str:
    """Name of a member's Lease; what no name may hold becomes a hyphen. Source: RFC 1123, section 2.1, as Kubernetes has it."""
    return _NO_NAME.sub("-", f"{group}-{member}".lower()).strip("-")


def _lease(body: Mapping[str, Any]) -> Lease:
    meta, spec = body["metadata"], body.get("spec") or {}
    return Lease(
        name=str(meta["name"]),
        uid=str(meta["uid"]),
        version=str(meta["resourceVersion"]),
        holder=str(spec.get("holderIdentity") or ""),
        webhook=str((meta.get("annotations") or {}).get(WEBHOOK_ANNOTATION) or ""),
    )


def _time(now: datetime) -> str:
    """As MicroTime has it: UTC with six digits. Source: apimachinery, RFC3339Micro."""
    return now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


async def _in_time(work: Awaitable[Result], what: str) -> Result:
    try:
        async with asyncio.timeout(LEASE_REQUEST_SECONDS):
            answer = await work
    except TimeoutError as exc:
        raise errors.ServerTimeoutError(f"the API server did not {what} within {LEASE_REQUEST_SECONDS:.0f} s") from exc
    return answer
