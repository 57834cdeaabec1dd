"""Cluster: one target cluster with one identity: what it serves, what it holds of ours, and how to change it.

One PATCH per changed object, no GET and no dry-run on the hot path (decision 3). A create carries a resourceVersion that no object can have: the API
server creates what is absent (201) and answers 409 for what is there, so that nothing of anybody else is touched before it was looked at
(tests/integration/test_cluster.py asks a live server). An update carries the uid, so that an object that was replaced meanwhile is not taken for ours.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from cvstate_operator import errors
from cvstate_operator.api.names import FIELD_MANAGER
from cvstate_operator.kube.client import Client
from cvstate_operator.kube.discovery import Discovery
from cvstate_operator.kube.informer import Sink
from cvstate_operator.kube.watches import Watches
from cvstate_operator.objects import ownership
from cvstate_operator.objects.identity import ApiResource, GroupKind, Gvk
from cvstate_operator.objects.manifest import Body
from cvstate_operator.objects.recipe import Capabilities
from cvstate_operator.plan import adoption
from cvstate_operator.plan.changes import Change

NO_SUCH_VERSION: Final = "1"
"""A resourceVersion that no live object has: etcd's first revision is spent before the API server can write an object."""


class Cluster:
    """See the port of the same name in reconcile/ports.py."""

    def __init__(self, client: Client, sink: Sink) -> None:
        """
        Args:
            client: the API server and who we are there.
            sink: told of every labelled object.
        """
        self._client = client
        self._discovery = Discovery(client)
        self._watches = Watches(client, self._discovery, sink)

    def resource(self, gvk: Gvk) -> ApiResource | None:
        """How a kind is served; None if it is not, as far as is known."""
        return self._discovery.resource(gvk)

    def any_version(self, kind: GroupKind) -> ApiResource | None:
        """Some served version of a kind: the one it is watched in, if it is."""
        return self._watches.version_of(kind) or self._discovery.any_version(*kind)

    async def discover(self) -> None:
        """Ask anew which kinds are served."""
        await self._discovery.refresh()

    def capabilities(self) -> Capabilities:
        """Its version and everything it serves, as of the last discovery."""
        return self._discovery.capabilities()

    async def observe(self, resources: Sequence[ApiResource]) -> Mapping[GroupKind, errors.CvstateError]:
        """Watch these kinds from now on and wait until each was listed; returns those that cannot be seen."""
        return await self._watches.want(resources)

    async def resync(self, kinds: Sequence[GroupKind], *, since: float) -> None:
        """List these kinds again and compare, but for those that were listed after `since`."""
        await self._watches.resync(kinds, since=since)

    async def apply(self, change: Change, body: Body, *, owner: str, name_owner: adoption.NameOwner) -> dict[str, Any]:
        """Carry out a create, update or repair; returns the object as it is afterwards."""
        assert change.manifest is not None  # only prunes have none  # noqa: S101
        resource = self._discovery.resource(change.manifest.gvk) or _missing(change.manifest.gvk)
        path = resource.path(change.ref.namespace, change.ref.name)
        marked = ownership.marked(body, owner=owner, digest=change.manifest.digest, namespace=change.ref.namespace)
        try:
            if change.live:
                return await self._patch(path, marked, {"uid": change.live.uid}, force=True)
            return await self._patch(path, marked, {"resourceVersion": NO_SUCH_VERSION}, force=False)
        except (errors.StaleError, errors.FieldConflictError):
            return await self._apply_to_unknown(path, marked, owner, name_owner)

    async def prune(self, change: Change) -> None:
        """Delete the object if it is still the one we know."""
        assert change.live is not None  # only creates have none  # noqa: S101
        # The version it was last seen in may not be served any more; the object is the same in every one.
        resource = self.any_version(change.ref.group_kind) or change.live.resource
        path = resource.path(change.ref.namespace, change.ref.name)
        await self._client.delete(path, uid=change.live.uid, resource_version=change.live.version)

    async def close(self) -> None:
        """Stop watching."""
        await self._watches.close()

    async def _apply_to_unknown(self, path: str, body: Body, owner: str, name_owner: adoption.NameOwner) -> dict[str, Any]:
        """The object is not what we thought: look, and adopt it, create it, or leave it."""
        live = await self._client.get(path)
        if live is None:
            return await self._patch(path, body, {"resourceVersion": NO_SUCH_VERSION}, force=False)
        force = adoption.may_force(live, owner=owner, manager=FIELD_MANAGER, name_owner=name_owner)
        return await self._patch(path, body, {"uid": live["metadata"]["uid"]}, force=force)

    async def _patch(self, path: str, body: Body, precondition: Mapping[str, str], *, force: bool) -> dict[str, Any]:
        conditional = {**body, "metadata": {**body["metadata"], **precondition}}
        return await self._client.apply(path, conditional, manager=FIELD_MANAGER, force=force)


def _missing(gvk: Gvk) -> ApiResource:
    raise errors.KindUnknownError(
        f"the API server serves no {gvk.kind} in {gvk.api_version}; install its CustomResourceDefinition or correct apiVersion and kind"
    )
