"""A fake of the API server, in memory.

It knows what the pipeline relies on: field ownership and conflicts by server-side apply, resource versions, uids, preconditions, fields that cannot be
changed, CRDs that are served only after they were applied, a status that controllers write, and a watch that tells each change once. tests/integration
holds it to the real one.
"""

import asyncio
import copy
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from cvstate_operator import errors
from cvstate_operator.api.names import FIELD_MANAGER
from cvstate_operator.api.propagation import PropagationPolicy
from cvstate_operator.objects import ownership
from cvstate_operator.objects.identity import ApiResource, GroupKind, Gvk, ObjectRef
from cvstate_operator.objects.manifest import Body, Manifest, Remade
from cvstate_operator.objects.preview import Preview
from cvstate_operator.objects.recipe import Capabilities
from cvstate_operator.plan import adoption
from cvstate_operator.plan.adoption import NameOwner, Terms
from cvstate_operator.plan.changes import Change
from cvstate_operator.plan.crds import declared_resources, is_crd
from cvstate_operator.reconcile.live_index import LiveIndex
from tests.unit.builders import CONFIG_MAP, CRD, DEPLOYMENT, NAMESPACE, SECRET, STATEFUL_SET


def field_tree(value: Any) -> dict[str, Any]:
    """The field set of an applied value; lists are atomic here."""
    if not isinstance(value, Mapping):
        return {}
    return {f"f:{name}": field_tree(below) for name, below in value.items()}


def without(tree: dict[str, Any], path: Sequence[str]) -> dict[str, Any]:
    """The field set but for one field; nodes that would stay empty go too."""
    head, *rest = path
    below = without(tree[head], rest) if rest and tree.get(head) else {}
    return {key: below if key == head else other for key, other in tree.items() if key != head or below}


def leaves(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of all fields of a field set, as names."""
    for element, below in tree.items():
        here = (*path, element.removeprefix("f:"))
        if below:
            yield from leaves(below, here)
        else:
            yield here


def holds(tree: Mapping[str, Any], path: Sequence[str]) -> bool:
    """Whether a field set has a field, by itself or with all around it."""
    for name in path:
        if f"f:{name}" not in tree:
            return False
        tree = tree[f"f:{name}"]
        if not tree:
            return True
    return True


def value_at(obj: Any, path: Sequence[str]) -> Any:
    """The value of a field; None if it is not there."""
    for name in path:
        obj = obj.get(name) if isinstance(obj, Mapping) else None
    return obj


def put_at(obj: Body, path: Sequence[str], value: Any) -> None:
    """Set a field, with what is missing on the way; with None it goes."""
    *parents, last = path
    for name in parents:
        obj = obj.setdefault(name, {})
    if value is None:
        obj.pop(last, None)
    else:
        obj[last] = copy.deepcopy(value)


class FakeCluster:
    """An API server with its watches."""

    def __init__(self, index: LiveIndex) -> None:
        self.index = index
        self.objects: dict[ObjectRef, Body] = {}
        self.served: set[ApiResource] = {CONFIG_MAP, SECRET, NAMESPACE, DEPLOYMENT, STATEFUL_SET, CRD}
        self.serves_crds = True
        """Whether the kinds of CRDs that are applied come to be served."""
        self.writes: list[tuple[str, str]] = []
        """Every write that came through: verb and name of the object."""
        self.failures: dict[str, list[Exception]] = {}
        """For the object of this name, what the next writes fail with; the last error stays."""
        self.forbidden: dict[GroupKind, errors.CvstateError] = {}
        """Kinds that cannot be listed."""
        self.silent: dict[GroupKind, errors.CvstateError] = {}
        """Kinds of which the API server tells nothing any more; writes go on."""
        self.shut: dict[tuple[GroupKind, str], errors.CvstateError] = {}
        """Kinds in namespaces that the account may not see."""
        self.narrow = False
        """Whether the account sees some namespaces only."""
        self.within: dict[GroupKind, frozenset[str]] = {}
        """Where each kind was to be looked for the last time."""
        self.discover_errors: list[errors.CvstateError] = []
        """What the next discoveries fail with."""
        self.resync_errors: list[errors.CvstateError] = []
        self.resyncs: list[float] = []
        """Since when each list that was asked for had to be (monotonic seconds)."""
        self.before_answer: Callable[[Change], Any] = lambda change: None
        """Called when a write is done but not answered yet; awaited if it gives something to await."""
        self.after_delete: Callable[[], None] = lambda: None
        self.comes_up: Callable[[Body], bool] | None = None
        """Whether the Pods of a workload come up, told at once after each write; None: nobody ever says."""
        self.fixed: dict[str, tuple[str, ...]] = {}
        """By kind: a field that cannot be changed."""
        self.clusterstates: set[str] | None = None
        """ApplySet ids of all ClusterStates; None if that cannot be told."""
        self.propagations: list[tuple[str, PropagationPolicy]] = []
        """Of every object that was deleted: its name, and what was to become of its dependents."""
        self.trials: list[str] = []
        """Names of objects that were created in dry runs."""
        self.reads: list[str] = []
        """Names of objects that were read."""
        self.writing = 0
        self.most_writing = 0
        self._known = set(self.served)
        self._watched: set[GroupKind] = set()
        self._version = 10
        self._uids = 0
        self.time: Callable[[], str] = lambda: "2026-01-02T00:00:00Z"
        """What `managedFields` say of a write that is made now."""

    # -- the port ------------------------------------------------------------------------------------------------------

    def resource(self, gvk: Gvk) -> ApiResource | None:
        return next((resource for resource in self._known if resource.gvk == gvk), None)

    def any_version(self, kind: GroupKind) -> ApiResource | None:
        return next((resource for resource in self._known if resource.gvk.group_kind == kind), None)

    async def discover(self) -> None:
        if self.discover_errors:
            raise self.discover_errors.pop(0)
        self._known = set(self.served)

    def capabilities(self) -> Capabilities:
        return Capabilities("v1.36.0", tuple(sorted({resource.gvk.api_version for resource in self._known})))

    def closed(self) -> Mapping[tuple[GroupKind, str], errors.CvstateError]:
        return self.shut

    @property
    def is_narrow(self) -> bool:
        return self.narrow

    async def observe(
        self, resources: Sequence[ApiResource], *, within: Callable[[GroupKind], Collection[str]]
    ) -> Mapping[GroupKind, errors.CvstateError]:
        self.within.update({resource.gvk.group_kind: frozenset(within(resource.gvk.group_kind)) for resource in resources})
        for resource in resources:
            kind = resource.gvk.group_kind
            if kind not in self._watched and kind not in self.forbidden:
                self._watched.add(kind)
                self._list(resource)
        return {r.gvk.group_kind: self.forbidden[r.gvk.group_kind] for r in resources if r.gvk.group_kind in self.forbidden}

    def unheard(self) -> Mapping[GroupKind, errors.CvstateError]:
        return {**self.silent, **self.forbidden}

    async def resync(self, kinds: Sequence[GroupKind], *, since: float) -> None:
        if self.resync_errors:
            raise self.resync_errors.pop(0)
        self.resyncs.append(since)
        for kind in kinds:
            if kind in self._watched and (resource := self.any_version(kind)):
                self._list(resource)

    async def read(self, resource: ApiResource, ref: ObjectRef) -> dict[str, Any] | None:
        self.reads.append(ref.name)
        return copy.deepcopy(self.objects.get(ref))

    async def owner_exists(self, owner: str, *, asked_by: str) -> bool:
        return self.clusterstates is None or owner in self.clusterstates

    async def apply(
        self,
        change: Change,
        remade: Remade,
        *,
        live: Mapping[str, Any] | None,
        owner: str,
        name_owner: NameOwner,
        terms: Terms,
        digest: str,
    ) -> dict[str, Any] | None:
        manifest = change.manifest
        assert manifest is not None
        self.writing += 1
        self.most_writing = max(self.most_writing, self.writing)

        def marked(live: Mapping[str, Any] | None) -> Body:
            return ownership.marked(remade(live), owner=owner, digest=digest, namespace=change.ref.namespace)

        try:
            await asyncio.sleep(0)
            self._maybe_fail(change.ref.name)
            if self.resource(manifest.gvk) is None:
                raise errors.KindUnknownError("the API server serves no such kind")
            answer = self._adopted(change, marked, live, owner=owner, name_owner=name_owner, terms=terms)
            if answer is None:
                return None
            self.writes.append((change.action.value, change.ref.name))
            if is_crd(change.ref.group_kind) and self.serves_crds:
                self.served |= set(declared_resources([answer]).values())
            self._act(change.ref)
            hold = self.before_answer(change)
            if hold is not None:
                await hold
            return answer
        finally:
            self.writing -= 1

    def _adopted(
        self,
        change: Change,
        marked: Remade,
        live: Mapping[str, Any] | None,
        *,
        owner: str,
        name_owner: NameOwner,
        terms: Terms,
    ) -> Body | None:
        """The dance of kube/cluster.py: write what is known; if it turns out to be something else, look, and ask whose it is."""
        try:
            known = {"uid": change.live.uid} if change.live else {"resourceVersion": "1"}
            return self._patch(change.ref, marked(live if change.live else None), known, force=bool(change.live) and terms.may_force)
        except errors.StaleError:
            pass
        found = copy.deepcopy(self.objects.get(change.ref))
        if found is None:
            return self._patch(change.ref, marked(None), {"resourceVersion": "1"}, force=False)
        if terms.only_if_absent:
            return None
        force = adoption.may_force(found, owner=owner, manager=FIELD_MANAGER, name_owner=name_owner, terms=terms)
        return self._patch(change.ref, marked(found), {"uid": found["metadata"]["uid"]}, force=force)

    async def preview(self, manifest: Manifest, body: Body, *, owner: str) -> Preview:
        live = copy.deepcopy(self.objects.get(manifest.ref))
        sent = ownership.marked(body, owner=owner, digest=manifest.digest, namespace=manifest.namespace)
        try:
            return Preview(live, self._merged(live, sent))
        except errors.CvstateError as error:
            return Preview(live, None, error)

    async def edit(self, resource: ApiResource, ref: ObjectRef, operations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        self._maybe_fail(ref.name)
        live = copy.deepcopy(self.objects[ref])
        for operation in operations:
            names = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
            if operation["op"] == "test":
                if value_at(live, names) != operation["value"]:
                    raise errors.InvalidError("the server rejected our request due to an error in our request")
                continue
            assert operation["op"] in ("add", "replace", "remove"), "no other operation is needed yet"
            self._put(live, names, operation.get("value"), manager=FIELD_MANAGER)
        self.writes.append(("edit", ref.name))
        return self._store(ref, live)

    async def replace(self, change: Change, body: Body) -> None:
        self.trials.append(change.ref.name)
        self._maybe_fail(f"{change.ref.name}-trial")
        self._delete_known(change)

    async def prune(self, change: Change, *, propagation: PropagationPolicy) -> bool:
        self._delete_known(change, propagation)
        self.after_delete()
        return change.ref not in self.objects

    def _delete_known(self, change: Change, propagation: PropagationPolicy = PropagationPolicy.BACKGROUND) -> None:
        assert change.live is not None
        self._maybe_fail(change.ref.name)
        existing = self.objects.get(change.ref)
        if existing is None:
            return
        meta = existing["metadata"]
        if (meta["uid"], meta["resourceVersion"]) != (change.live.uid, change.live.version):
            raise errors.StaleError("the object changed since")
        if (meta.get("labels") or {}).get(ownership.PART_OF_LABEL) != change.live.owner:
            raise errors.StaleError("the object has another owner by now")
        self.writes.append(("delete", change.ref.name))
        self.propagations.append((change.ref.name, propagation))
        if propagation is PropagationPolicy.BACKGROUND:
            self.delete(change.ref)
        else:  # it stays until a garbage collector takes the finalizer away
            self.terminate(change.ref, finalizer="foregroundDeletion" if propagation is PropagationPolicy.FOREGROUND else "orphan")

    # -- what other people do ------------------------------------------------------------------------------------------

    def set_field(self, ref: ObjectRef, path: str, value: Any, *, manager: str = "kubectl-edit") -> None:
        """Somebody sets a field, by its path of names; the field is theirs from now on. None takes it away."""
        live = copy.deepcopy(self.objects[ref])
        self._put(live, path.split("/"), value, manager=manager)
        self._store(ref, live)

    def _put(self, live: Body, names: Sequence[str], value: Any, *, manager: str) -> None:
        """Set a field as a plain update does: it is that manager's from now on, and nobody else's. None takes it away."""
        put_at(live, names, value)
        elements = [f"f:{name}" for name in names]
        entries = live["metadata"]["managedFields"]
        for entry in entries:
            entry["fieldsV1"] = without(entry["fieldsV1"], elements)
        if value is not None:
            theirs: dict[str, Any] = {}
            for element in reversed(elements):
                theirs = {element: theirs}
            entries.append({"manager": manager, "operation": "Update", "fieldsV1": theirs, "time": self.time()})
        live["metadata"]["managedFields"] = [entry for entry in entries if entry["fieldsV1"]]

    def tell(self, ref: ObjectRef, status: Mapping[str, Any], *, manager: str = "controller") -> None:
        """A controller writes the status of an object."""
        live = copy.deepcopy(self.objects[ref])
        live["status"] = copy.deepcopy(dict(status))
        theirs = {
            "manager": manager,
            "operation": "Update",
            "subresource": "status",
            "fieldsV1": field_tree({"status": status}),
            "time": self.time(),
        }
        entries = [entry for entry in live["metadata"]["managedFields"] if entry.get("subresource") != "status"]
        live["metadata"]["managedFields"] = [*entries, theirs]
        self._store(ref, live)

    def bring_up(self, ref: ObjectRef, *, is_up: bool = True) -> None:
        """The controller of a workload has seen it, and its Pods run, or do not."""
        live = self.objects[ref]
        wanted = live.get("spec", {}).get("replicas", 1)
        counts = dict.fromkeys(("readyReplicas", "availableReplicas"), wanted if is_up else 0)
        generation = live["metadata"]["generation"]
        self.tell(ref, {"observedGeneration": generation, "replicas": wanted, "updatedReplicas": wanted, **counts})

    def restore(self, live: Body) -> None:
        """Somebody puts an object back as it was, field managers included."""
        gvk = Gvk.parse(live["apiVersion"], live["kind"])
        self._store(ObjectRef(gvk.group, gvk.kind, live["metadata"].get("namespace", ""), live["metadata"]["name"]), copy.deepcopy(live))

    def put(self, live: Body) -> None:
        """Somebody creates an object."""
        live = copy.deepcopy(live)
        gvk = Gvk.parse(live["apiVersion"], live["kind"])
        ref = ObjectRef(gvk.group, gvk.kind, live["metadata"].get("namespace", ""), live["metadata"]["name"])
        self._store(ref, self._merged(None, live, manager="kubectl"))

    def terminate(self, ref: ObjectRef, finalizer: str = "example.io/wait") -> None:
        """Somebody deletes an object that has a finalizer."""
        live = copy.deepcopy(self.objects[ref])
        live["metadata"].update(deletionTimestamp="2026-01-02T00:00:00Z", finalizers=[finalizer])
        self._store(ref, live)

    def delete(self, ref: ObjectRef) -> None:
        """An object vanishes."""
        live = self.objects.pop(ref)
        self._version += 1
        if ref.group_kind in self._watched:
            self.index.gone(self._resource(live), ref, str(self._version))

    # -- inside --------------------------------------------------------------------------------------------------------

    def _patch(self, ref: ObjectRef, sent: Body, precondition: Mapping[str, str], *, force: bool) -> Body:
        """A server-side apply."""
        existing = self.objects.get(ref)
        wanted = {**sent["metadata"], **precondition}
        there = existing["metadata"] if existing else {}
        if any(key in wanted and (wanted[key] != there.get(key)) and (existing or key == "uid") for key in ("uid", "resourceVersion")):
            raise errors.StaleError("the object is another one")
        return self._store(ref, self._merged(existing, sent, force=force))

    def _merged(self, existing: Body | None, sent: Body, *, manager: str = FIELD_MANAGER, force: bool = True) -> Body:
        managed = {key: value for key, value in sent.items() if key not in ("apiVersion", "kind", "status")}
        managed["metadata"] = {key: value for key, value in sent["metadata"].items() if value and key in ("labels", "annotations")}
        managed = {key: value for key, value in managed.items() if value != {}}
        live = copy.deepcopy(existing) if existing else self._new(sent)
        entries = live["metadata"]["managedFields"]
        ours: Body = next((e for e in entries if e["manager"] == manager and e["operation"] == "Apply"), {"fieldsV1": {}})
        others = [entry for entry in entries if entry is not ours]
        tree = field_tree(managed)
        sets = {path: value_at(managed, path) for path in leaves(tree)}
        self._check(sent["kind"], existing, sets)
        taken = [path for path, value in sets.items() if value_at(live, path) != value]
        contested = [path for path in taken if existing and any(holds(entry["fieldsV1"], path) for entry in others)]
        if contested and not force:
            holders = {e["manager"] for e in others for path in contested if holds(e["fieldsV1"], path)}
            fields = tuple("." + ".".join(path) for path in contested)
            raise errors.FieldConflictError(f"{', '.join(sorted(holders))} holds {', '.join(fields)}", fields=fields)
        for entry in others:
            for path in taken:
                entry["fieldsV1"] = without(entry["fieldsV1"], [f"f:{name}" for name in path])
        for path in leaves(ours["fieldsV1"]):
            if not holds(tree, path) and not any(holds(entry["fieldsV1"], path) for entry in others):
                put_at(live, path, None)
        for path, value in sets.items():
            put_at(live, path, value)
        mine = {"manager": manager, "operation": "Apply", "fieldsV1": tree, "time": self.time()}
        live["metadata"]["managedFields"] = [mine, *(entry for entry in others if entry["fieldsV1"])]
        return live

    def _new(self, sent: Body) -> Body:
        self._uids += 1
        meta = {key: value for key, value in sent["metadata"].items() if key not in ("labels", "annotations", "resourceVersion")}
        return {
            "apiVersion": sent["apiVersion"],
            "kind": sent["kind"],
            "metadata": {**copy.deepcopy(meta), "uid": f"uid-{self._uids}", "generation": 0, "managedFields": []},
        }

    def _check(self, kind: str, existing: Body | None, sets: Mapping[tuple[str, ...], Any]) -> None:
        path = self.fixed.get(kind)
        if existing and path and path in sets and value_at(existing, path) != sets[path]:
            raise errors.ImmutableError("field is immutable", field=".".join(path))

    def _store(self, ref: ObjectRef, live: Body) -> Body:
        self._version += 1
        before, meta = self.objects.get(ref), live["metadata"]
        meta["resourceVersion"] = str(self._version)
        if before is None or before.get("spec") != live.get("spec"):
            meta["generation"] = meta.get("generation", 0) + 1
        self.objects[ref] = live
        if ref.group_kind in self._watched:
            if ownership.PART_OF_LABEL in (meta.get("labels") or {}):
                self.index.observed(self._resource(live), copy.deepcopy(live))
            elif before and ownership.PART_OF_LABEL in (before["metadata"].get("labels") or {}):
                self.index.gone(self._resource(live), ref, str(self._version))
        return copy.deepcopy(live)

    def _act(self, ref: ObjectRef) -> None:
        """The controllers of the cluster do their part."""
        if self.comes_up and ref.kind in ("Deployment", "StatefulSet") and ref in self.objects:
            self.bring_up(ref, is_up=self.comes_up(self.objects[ref]))

    def _list(self, resource: ApiResource) -> None:
        before = self.index.known(resource)
        there = {
            ref: live
            for ref, live in self.objects.items()
            if ref.group_kind == resource.gvk.group_kind and ownership.PART_OF_LABEL in (live["metadata"].get("labels") or {})
        }
        for live in there.values():
            self.index.observed(resource, copy.deepcopy(live))
        for ref in before - there.keys():
            self.index.gone(resource, ref, str(self._version))

    def _resource(self, live: Body) -> ApiResource:
        gvk = Gvk.parse(live["apiVersion"], live["kind"])
        return next(resource for resource in self.served if resource.gvk == gvk)

    def _maybe_fail(self, name: str) -> None:
        if waiting := self.failures.get(name):
            raise waiting.pop(0) if len(waiting) > 1 else waiting[0]
