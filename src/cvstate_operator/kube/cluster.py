"""Cluster: one target cluster with one identity: what it serves, what it holds of ours, and how to change it.

One PATCH per changed object, no GET and no dry-run on the hot path. A create carries a resourceVersion that no object can have: the API
server creates what is absent (201) and answers 409 for what is there, so that nothing of anybody else is touched before it was looked at
(tests/integration/test_cluster.py asks a live server). An update carries the uid, so that an object that was replaced meanwhile is not taken for ours.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from cvstate_operator import errors
from cvstate_operator.api import names
from cvstate_operator.api.names import FIELD_MANAGER
from cvstate_operator.api.propagation import PropagationPolicy
from cvstate_operator.kube import nesting
from cvstate_operator.kube.client import Client
from cvstate_operator.kube.discovery import Discovery
from cvstate_operator.kube.informer import Sink
from cvstate_operator.kube.watches import Doubtful, Watches, Within
from cvstate_operator.objects import ownership
from cvstate_operator.objects.identity import ApiResource, GroupKind, Gvk, ObjectRef
from cvstate_operator.objects.manifest import Body, Manifest, Remade
from cvstate_operator.objects.ownership import OwnerLabels
from cvstate_operator.objects.preview import Preview
from cvstate_operator.objects.recipe import Capabilities
from cvstate_operator.plan import adoption, takeover
from cvstate_operator.plan.changes import Change

NO_SUCH_VERSION: Final = "1"
"""A resourceVersion that no live object has: etcd's first revision is spent before the API server can write an object."""


TRIAL_NAME: Final = 40
"""Characters of a name that its trial keeps: most kinds allow 63 (RFC 1123 labels)."""
_OWNERS: Final = f"/apis/{names.API_VERSION}/{names.CLUSTER_STATES}"


class Cluster:
    """See the port of the same name in reconcile/ports.py."""

    def __init__(
        self,
        client: Client,
        sink: Sink,
        *,
        doubtful: Doubtful = lambda kinds: None,
        discovery: Discovery | None = None,
        owners: Client | None = None,
        labels: OwnerLabels = ownership.HOME,
    ) -> None:
        """
        Args:
            client: the API server and who we are there.
            sink: told of every labelled object.
            doubtful: told of kinds for which `unheard` has another answer.
            discovery: what the API server serves, if others ask it too; None: asked for here.
            owners: who may list ClusterStates there; None: nobody, so that every ApplySet that is met has an owner.
            labels: how it says whose an object is.
        """
        self._client = client
        self._labels = labels
        self._owners = owners
        self._discovery = discovery or Discovery(client)
        self._watches = Watches(client, self._discovery, sink, doubtful=doubtful)

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

    async def observe(self, resources: Sequence[ApiResource], *, within: Within) -> Mapping[GroupKind, errors.CvstateError]:
        """Watch these kinds from now on and wait until each was listed; returns those that cannot be seen."""
        return await self._watches.want(resources, within=within)

    def closed(self) -> Mapping[tuple[GroupKind, str], errors.CvstateError]:
        """Kinds in namespaces that the account may not see, where it sees others, and why."""
        return self._watches.closed()

    @property
    def is_narrow(self) -> bool:
        """Whether the account sees some namespaces only."""
        return self._watches.is_narrow

    def unheard(self) -> Mapping[GroupKind, errors.CvstateError]:
        """Kinds of which nobody knows whether they still are as they were told, and why."""
        return self._watches.unheard()

    async def resync(self, kinds: Sequence[GroupKind], *, since: float) -> None:
        """List these kinds again and compare, but for those that were listed after `since`."""
        await self._watches.resync(kinds, since=since)

    async def read(self, resource: ApiResource, ref: ObjectRef) -> dict[str, Any] | None:
        """One object as it is now; None if it does not exist."""
        return await self._client.get(resource.path(ref.namespace, ref.name))

    async def apply(
        self,
        change: Change,
        remade: Remade,
        *,
        live: Mapping[str, Any] | None,
        owner: str,
        name_owner: adoption.NameOwner,
        terms: adoption.Terms,
        digest: str,
    ) -> dict[str, Any] | None:
        """Carry out a create, update or repair; returns the object as it is afterwards, None if it was there and is left as it is."""
        assert change.manifest is not None  # only prunes have none  # noqa: S101
        manifest = change.manifest
        resource = self._discovery.resource(manifest.gvk) or _missing(manifest.gvk)
        path = resource.path(change.ref.namespace, change.ref.name)
        label = self._labels.write(owner)

        def marked(live: Mapping[str, Any] | None) -> Body:
            return ownership.marked(remade(live), owner=label, digest=digest, namespace=change.ref.namespace)

        found = dict(live) if live and not change.live else None
        if found is None:
            try:
                if change.live:
                    condition = {"uid": change.live.uid}
                    if change.live.owner != owner:
                        condition["resourceVersion"] = change.live.version  # whoever has it may give it to somebody else meanwhile
                    return await self._patch(path, marked(live), condition, force=terms.may_force)
                return await self._patch(path, marked(None), {"resourceVersion": NO_SUCH_VERSION}, force=False)
            except errors.StaleError:
                pass
            except errors.FieldConflictError:
                if change.live:
                    raise
            # The object is not what we thought: look, and adopt it, create it, or leave it.
            found = await self._client.get(path)
        if found is None:
            return await self._patch(path, marked(None), {"resourceVersion": NO_SUCH_VERSION}, force=False)
        if terms.only_if_absent:
            return None
        force = adoption.may_force(
            found, owner=label, manager=FIELD_MANAGER, name_owner=lambda label: name_owner(self._labels.read(label)), terms=terms
        )
        body, condition = marked(found), {"uid": found["metadata"]["uid"]}
        if takeover.is_from_client(found):
            planned, force = await self._trial(path, body, found, force=force)
            if fields := takeover.taken_over(found, planned, manager=FIELD_MANAGER):
                handed = await self._client.patch(path, takeover.handover(found, fields), manager=FIELD_MANAGER)
                body = marked(handed)
                condition["resourceVersion"] = handed["metadata"]["resourceVersion"]
        return await self._patch(path, body, condition, force=force)

    async def _trial(self, path: str, body: Body, found: Mapping[str, Any], *, force: bool) -> tuple[dict[str, Any], bool]:
        """What an apply to an object of client-side apply would make of it, and whether it may be forced.

        The API server compares values as they are spelled: what the same file brought is a conflict where it keeps `0.1` as `100m`. An apply that
        changes no value takes nothing from anybody.

        Raises:
            FieldConflictError: somebody holds another value, and it may not be forced.
        """
        condition = {key: found["metadata"][key] for key in ("uid", "resourceVersion")}
        try:
            return await self._patch(path, body, condition, force=force, dry_run=True), force
        except errors.FieldConflictError:
            planned = await self._patch(path, body, condition, force=True, dry_run=True)
            if not takeover.keeps_values(found, planned):
                raise
        return planned, True

    async def edit(self, resource: ApiResource, ref: ObjectRef, operations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Change an object by a JSON patch; the object as it is afterwards."""
        return await self._client.patch(resource.path(ref.namespace, ref.name), operations, manager=FIELD_MANAGER)

    async def owner_exists(self, owner: str, *, asked_by: str) -> bool:
        """Whether there is a ClusterState, other than `asked_by`, that an object with this owner belongs to; True if that cannot be told.

        Of those in other clusters it never can. In a remote cluster it is asked about one label alone: the one that `asked_by` wrote before labels told their hub, which
        is that of a ClusterState of the same namespace and name in that cluster as well.
        """
        label = self._labels.write(owner)
        if self._owners is None or ownership.has_hub(label) or (self._labels.hub and not self._labels.is_former(owner, asked_by)):
            return True
        try:
            if self._labels.hub:
                await self._discovery.refresh()  # a namesake may have come since, together with its kind
                if not self._discovery.any_version(names.GROUP, names.CLUSTER_STATE):
                    return False
            async for page in self._owners.pages(_OWNERS):
                # By name: the label that says the id may be gone from one that is there.
                if any(_applyset(item["metadata"]) == label for item in page.get("items", ())):
                    return True
        except errors.CvstateError:
            return True
        return False

    async def replace(self, change: Change, body: Body) -> None:
        """Delete the object, if it is still the one we know and the API server would take `body` in its place."""
        assert change.manifest is not None  # only what is desired is replaced  # noqa: S101
        resource = self._discovery.resource(change.manifest.gvk) or _missing(change.manifest.gvk)
        # A create under another name, of which nothing is kept: the old object is not deleted for one that is then refused.
        trial = {**body, "metadata": {**body["metadata"], "name": f"{change.ref.name[:TRIAL_NAME]}-trial"}}
        await self._client.create(resource.path(change.ref.namespace), trial, dry_run=True)
        await self._delete(change)

    async def prune(self, change: Change, *, propagation: PropagationPolicy) -> bool:
        """Delete the object if it is still the one we know, and still ours; False if finalizers keep it for now."""
        return await self._delete(change, propagation)

    async def _delete(self, change: Change, propagation: PropagationPolicy = PropagationPolicy.BACKGROUND) -> bool:
        """Look at the object as it is now, and delete exactly that; False if finalizers keep it for now."""
        assert change.live is not None  # only creates have none  # noqa: S101
        # The version it was last seen in may not be served any more; the object is the same in every one.
        resource = self.any_version(change.ref.group_kind) or change.live.resource
        path = resource.path(change.ref.namespace, change.ref.name)
        live = await self._client.get(path)
        if live is None:
            return True
        meta = live["metadata"]
        if (meta["uid"], meta["resourceVersion"]) != (change.live.uid, change.live.version):
            raise errors.StaleError("the object changed since it was decided to delete it; it is looked at again")
        if (meta.get("labels") or {}).get(ownership.PART_OF_LABEL) != self._labels.write(change.live.owner):
            raise errors.StaleError("the object has another owner by now; it is looked at again")
        return await self._client.delete(path, uid=meta["uid"], resource_version=meta["resourceVersion"], propagation=propagation)

    async def preview(self, manifest: Manifest, body: Body, *, owner: str) -> Preview:
        """What an apply would do: a GET and a dry run of the very state that was read; nothing is written.

        The dry run is forced. Whether the object may be taken from another owner is not asked here (plan/adoption.py).

        Args:
            manifest: the desired object.
            body: its body; not changed. With live values in it (drift/ignores.py) it says of which resourceVersion they are.
            owner: ApplySet id.

        Returns:
            The preview. A refused apply is an error in it; StaleError means that somebody wrote meanwhile: ask again.

        Raises:
            KindUnknownError: the kind is not served.
            CvstateError: the object could not be read.
        """
        resource = self._discovery.resource(manifest.gvk) or _missing(manifest.gvk)
        path = resource.path(manifest.namespace, manifest.name)
        live = nesting.cut(await self._client.get(path))
        meta = live["metadata"] if live else {"resourceVersion": NO_SUCH_VERSION}
        precondition = {key: meta[key] for key in ("resourceVersion", "uid") if key in meta and key not in body["metadata"]}
        marked = ownership.marked(body, owner=self._labels.write(owner), digest=manifest.digest, namespace=manifest.namespace)
        try:
            planned = await self._patch(path, marked, precondition, force=True, dry_run=True)
        except errors.CvstateError as exc:
            return Preview(live, None, exc)
        return Preview(live, nesting.cut(planned))

    async def close(self) -> None:
        """Stop watching."""
        await self._watches.close()

    async def _patch(self, path: str, body: Body, precondition: Mapping[str, str], *, force: bool, dry_run: bool = False) -> dict[str, Any]:
        conditional = {**body, "metadata": {**body["metadata"], **precondition}}
        return await self._client.apply(path, conditional, manager=FIELD_MANAGER, force=force, dry_run=dry_run)


def _applyset(meta: Mapping[str, Any]) -> str:
    return ownership.applyset_id(name=meta["name"], namespace=meta["namespace"], kind=names.CLUSTER_STATE, group=names.GROUP)


def _missing(gvk: Gvk) -> ApiResource:
    raise errors.KindUnknownError(
        f"the API server serves no {gvk.kind} in {gvk.api_version}; install its CustomResourceDefinition or correct apiVersion and kind"
    )
