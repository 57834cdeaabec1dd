"""Fakes of the pipeline's ports: a Git server, a renderer, an API server and a clock that live in memory.

The API server knows what the pipeline relies on: field ownership and conflicts by server-side apply, resource versions, uids, preconditions, fields that
cannot be changed, CRDs that are served only after they were applied, a status that controllers write, and a watch that tells each change once.
tests/integration holds it to the real one.
"""

import asyncio
import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cvstate_operator import errors
from cvstate_operator.api.clusterstate import ClusterStateSpec, parse_spec
from cvstate_operator.api.names import FIELD_MANAGER
from cvstate_operator.api.source import GitSource
from cvstate_operator.objects import directives, ownership
from cvstate_operator.objects.access import Access
from cvstate_operator.objects.artifact import Artifact, Rendered
from cvstate_operator.objects.identity import ApiResource, GroupKind, Gvk, ObjectRef
from cvstate_operator.objects.manifest import Body, BodyRef, Manifest, Origin, Remade
from cvstate_operator.objects.problem import Problem
from cvstate_operator.objects.recipe import Capabilities, Recipe
from cvstate_operator.plan import adoption
from cvstate_operator.plan.adoption import NameOwner, Terms
from cvstate_operator.plan.changes import Action, Change
from cvstate_operator.plan.crds import declared_resources, is_crd
from cvstate_operator.reconcile import events, plan_report, report
from cvstate_operator.reconcile.live_index import LiveIndex
from cvstate_operator.reconcile.outcome import Outcome
from cvstate_operator.reconcile.pipeline import Pipeline
from cvstate_operator.reconcile.ports import Consents, ParentMetadata, World
from cvstate_operator.reconcile.prune_stage import AGREEING_SECONDS
from tests.unit.builders import CONFIG_MAP, CRD, DEPLOYMENT, NAMESPACE, OWNER, SECRET, STATEFUL_SET, artifact, rendered

UID = "7b1f9f1e-5d7c-4d2c-9d55-0c8f5d1f3a10"
"""Of the ClusterState."""


class FakeClock:
    """Time that moves only when someone sleeps or says so."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def random(self) -> float:
        return 0.5

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        await asyncio.sleep(0)


@dataclass
class FakeGit:
    """A source and a renderer: commits hold bodies instead of files."""

    head: Artifact | None = None
    error: errors.CvstateError | None = None
    """Raised by the next fetches."""
    build_error: errors.CvstateError | None = None
    """Raised by the next renders."""
    renders: int = 0
    recipes: list[Recipe] = field(default_factory=list)
    """Of each render."""
    looks: list[dict[str, Any]] = field(default_factory=list)
    """What each fetch was asked with."""
    kept: dict[str, Artifact] = field(default_factory=dict)
    """Commits that the cache still has after a restart."""
    forgotten: list[Artifact] = field(default_factory=list)
    pushed: dict[str, Artifact] = field(default_factory=dict)
    """Every commit, by its id; the server still has them."""
    _rendered: dict[str, Rendered] = field(default_factory=dict)
    _bodies: dict[BodyRef, Body] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    """Names of objects whose bodies the store lost; the next render makes them again."""

    def commit(self, *bodies: Body, problems: Sequence[Problem] = ()) -> None:
        """Push a commit that declares exactly these objects, with `problems` of the render."""
        number = len(self._rendered) + 1
        self.head = artifact(f"{number:040}")
        self.pushed[self.head.commit] = self.head
        manifests = []
        for index, one in enumerate(bodies):
            meta = one["metadata"]
            where = BodyRef(str(number), index, 1)
            self._bodies[where] = copy.deepcopy(one)
            origin = Origin(f"{meta['name']}.yaml", 1, 1)
            gvk = Gvk.parse(one["apiVersion"], one["kind"])
            wish = directives.parse(meta.get("annotations"), meta.get("labels"))
            manifests.append(Manifest(gvk, meta.get("namespace", ""), meta["name"], repr(one), origin, where, wish))
        self._rendered[self.head.commit] = rendered(*manifests, problems=problems, directory=self.head.directory)

    async def fetch(self, git: GitSource, *, access: Access, known: Artifact | None, baseline: str, max_age: float) -> Artifact:
        self.looks.append({"access": access, "known": known, "baseline": baseline, "max_age": max_age})
        if self.error:
            raise self.error
        if git.ref.commit in self.pushed:
            return self.pushed[git.ref.commit]
        assert self.head is not None
        return known if known and known.commit == self.head.commit else self.head

    async def recall(self, git: GitSource, *, access: Access, commit: str) -> Artifact:
        if commit not in self.kept:
            raise errors.FetchFailedError("the cached repository lacks what is needed")
        return self.kept[commit]

    def forget(self, artifact: Artifact) -> None:
        self.forgotten.append(artifact)

    async def render(self, artifact: Artifact, recipe: Recipe, *, previous: Rendered | None) -> Rendered:
        self.renders += 1
        self.recipes.append(recipe)
        if self.build_error:
            raise self.build_error
        self.lost.clear()
        return self._rendered[artifact.commit]

    def body(self, manifest: Manifest) -> Body:
        if manifest.name in self.lost:
            raise errors.BuildFailedError("the rendered object was lost from the cache")
        return copy.deepcopy(self._bodies[manifest.body])


@dataclass
class FakeReferences:
    """Secrets and ConfigMaps by (kind, namespace, name)."""

    data: dict[tuple[str, str, str], dict[str, bytes]] = field(default_factory=dict)
    reads: list[tuple[str, str, float]] = field(default_factory=list)
    """Kind, name and max_age of each read."""

    async def read(self, kind: str, namespace: str, name: str, *, max_age: float) -> Mapping[str, bytes]:
        self.reads.append((kind, name, max_age))
        if (kind, namespace, name) not in self.data:
            raise errors.ReferenceMissingError(f"{kind} {namespace}/{name} does not exist; create it")
        return self.data[kind, namespace, name]


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
        self.discover_errors: list[errors.CvstateError] = []
        """What the next discoveries fail with."""
        self.resync_errors: list[errors.CvstateError] = []
        self.before_answer: Callable[[Change], Any] = lambda change: None
        """Called when a write is done but not answered yet; awaited if it gives something to await."""
        self.after_delete: Callable[[], None] = lambda: None
        self.comes_up: Callable[[Body], bool] | None = None
        """Whether the Pods of a workload come up, told at once after each write; None: nobody ever says."""
        self.fixed: dict[str, tuple[str, ...]] = {}
        """By kind: a field that cannot be changed."""
        self.clusterstates: set[str] | None = None
        """ApplySet ids of all ClusterStates; None if that cannot be told."""
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

    async def observe(self, resources: Sequence[ApiResource]) -> Mapping[GroupKind, errors.CvstateError]:
        for resource in resources:
            kind = resource.gvk.group_kind
            if kind not in self._watched and kind not in self.forbidden:
                self._watched.add(kind)
                self._list(resource)
        return {r.gvk.group_kind: self.forbidden[r.gvk.group_kind] for r in resources if r.gvk.group_kind in self.forbidden}

    async def resync(self, kinds: Sequence[GroupKind], *, since: float) -> None:
        if self.resync_errors:
            raise self.resync_errors.pop(0)
        for kind in kinds:
            if kind in self._watched and (resource := self.any_version(kind)):
                self._list(resource)

    async def read(self, resource: ApiResource, ref: ObjectRef) -> dict[str, Any] | None:
        self.reads.append(ref.name)
        return copy.deepcopy(self.objects.get(ref))

    async def owner_exists(self, owner: str) -> bool:
        return self.clusterstates is None or owner in self.clusterstates

    async def apply(
        self, change: Change, remade: Remade, *, live: Mapping[str, Any] | None, owner: str, name_owner: NameOwner, terms: Terms
    ) -> dict[str, Any] | None:
        manifest = change.manifest
        assert manifest is not None
        self.writing += 1
        self.most_writing = max(self.most_writing, self.writing)

        def marked(live: Mapping[str, Any] | None) -> Body:
            return ownership.marked(remade(live), owner=owner, digest=manifest.digest, namespace=change.ref.namespace)

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
        self, change: Change, marked: Remade, live: Mapping[str, Any] | None, *, owner: str, name_owner: NameOwner, terms: Terms
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

    async def edit(self, resource: ApiResource, ref: ObjectRef, operations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        self._maybe_fail(ref.name)
        live = copy.deepcopy(self.objects[ref])
        for operation in operations:
            names = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
            if operation["op"] == "test":
                if value_at(live, names) != operation["value"]:
                    raise errors.InvalidError("the server rejected our request due to an error in our request")
                continue
            assert operation["op"] == "remove", "no other operation is needed yet"
            put_at(live, names, None)
            for entry in live["metadata"]["managedFields"]:
                entry["fieldsV1"] = without(entry["fieldsV1"], [f"f:{name}" for name in names])
        live["metadata"]["managedFields"] = [entry for entry in live["metadata"]["managedFields"] if entry["fieldsV1"]]
        self.writes.append(("edit", ref.name))
        return self._store(ref, live)

    async def replace(self, change: Change, body: Body) -> None:
        self.trials.append(change.ref.name)
        self._maybe_fail(f"{change.ref.name}-trial")
        self._delete_known(change)

    async def prune(self, change: Change) -> None:
        self._delete_known(change)
        self.after_delete()

    def _delete_known(self, change: Change) -> None:
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
        self.delete(change.ref)

    # -- what other people do ------------------------------------------------------------------------------------------

    def set_field(self, ref: ObjectRef, path: str, value: Any, *, manager: str = "kubectl-edit") -> None:
        """Somebody sets a field, by its path of names; the field is theirs from now on. None takes it away."""
        live = copy.deepcopy(self.objects[ref])
        names = path.split("/")
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
        self._store(ref, live)

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

    def terminate(self, ref: ObjectRef) -> None:
        """Somebody deletes an object that has a finalizer."""
        live = copy.deepcopy(self.objects[ref])
        live["metadata"]["deletionTimestamp"] = "2026-01-02T00:00:00Z"
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
        ours = next((e for e in entries if e["manager"] == manager and e["operation"] == "Apply"), {"fieldsV1": {}})
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
        if existing and path in sets and value_at(existing, path) != sets[path]:
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


@dataclass
class FakeReporter:
    """Remembers what is reported."""

    parents: list[ParentMetadata] = field(default_factory=list)
    statuses: list[Mapping[str, Any]] = field(default_factory=list)
    events: list[tuple[str, str, str]] = field(default_factory=list)
    faults: list[Exception] = field(default_factory=list)
    failures: list[errors.CvstateError] = field(default_factory=list)
    """What the next writes fail with."""

    async def write_parent(self, metadata: ParentMetadata) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.parents.append(metadata)

    async def write_status(self, status: Mapping[str, Any]) -> None:
        self.statuses.append(status)

    def fault(self, what: str, error: Exception) -> None:
        self.faults.append(error)

    def event(self, *, kind: str, reason: str, message: str) -> None:
        self.events.append((kind, reason, message))


@dataclass
class FakeMeter:
    """Remembers what is counted."""

    counted: list[tuple[Any, ...]] = field(default_factory=list)

    def fetched(self, *, result: str, seconds: float) -> None:
        self.counted.append(("fetched", result))

    def reconciled(self, *, result: str, seconds: float) -> None:
        self.counted.append(("reconciled", result))

    def changed(self, *, kind: str, action: str, result: str) -> None:
        self.counted.append(("changed", kind, action, result))

    def drifted(self, *, kind: str, severity: str) -> None:
        self.counted.append(("drifted", kind, severity))

    def remedied(self, *, action: str, seconds: float) -> None:
        self.counted.append(("remedied", action, seconds))

    def repaired(self, *, kind: str, seconds: float) -> None:
        self.counted.append(("repaired", kind, seconds))


class Stage:
    """One ClusterState with everything around it."""

    def __init__(self, *, writers: int = 4, known_kinds: frozenset[GroupKind] = frozenset()) -> None:
        self.git = FakeGit()
        self.references = FakeReferences()
        self.clock = FakeClock()
        self.reporter = FakeReporter()
        self.meter = FakeMeter()
        self.index = LiveIndex(self._touched)
        self.cluster = FakeCluster(self.index)
        self.stop_reason = ""
        """Of an EmergencyStop; empty if there is none."""
        self.approvals: list[Body] = []
        self.plans: list[Body] = []
        self.status: dict[str, Any] = {}
        """As the report tells it after each pass."""
        self.events: list[events.Event] = []
        """Of the last pass."""
        self._writers = writers
        self.spec = spec()
        self.restart(known_kinds=known_kinds)

    def restart(self, *, known_kinds: frozenset[GroupKind] = frozenset(), status: Mapping[str, Any] | None = None) -> None:
        """The operator starts anew: it remembers nothing but `status`, and the cluster is as it was."""
        self.index = LiveIndex(self._touched)
        old, self.cluster = self.cluster, FakeCluster(self.index)
        vars(self.cluster).update({k: v for k, v in vars(old).items() if k not in ("index", "_watched")})
        self.cluster.time = lambda: self.clock.now().isoformat().replace("+00:00", "Z")
        self.world = World(
            source=self.git,
            renderer=self.git,
            references=self.references,
            cluster=self.cluster,
            index=self.index,
            reporter=self.reporter,
            meter=self.meter,
            clock=self.clock,
            stopped=lambda: self.stop_reason,
            consents=lambda: Consents(tuple(self.approvals), tuple(self.plans)),
            writers=asyncio.Semaphore(self._writers),
            parallel=8,
        )
        self.pipeline = Pipeline(
            self.world,
            owner=OWNER,
            uid=UID,
            name="state",
            namespace="default",
            name_owner=lambda owner: f"ClusterState {owner}",
            known_kinds=known_kinds,
            status=status or {},
        )

    async def commit(self, *bodies: Body, problems: Sequence[Problem] = ()) -> Outcome:
        """Push a commit, and let it be fetched and applied."""
        self.git.commit(*bodies, problems=problems)
        await self.look()
        return await self.run()

    async def look(self, *, fresh: bool = True) -> bool:
        return await self.pipeline.look(self.spec, fresh=fresh)

    async def run(self, *, full: bool = False) -> Outcome:
        """One pass, and what is told of it."""
        self.cluster.writes.clear()
        outcome = await self.pipeline.run(self.spec, full=full)
        before, now = self.status, self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        self.events = list(events.events(outcome, previous=before))
        self.status = report.status(outcome, previous=before, generation=1, handled_at=None, now=now)
        return outcome

    async def wait(self, outcome: Outcome) -> Outcome:
        """Let the time pass until the pipeline wants to run again by itself, and run."""
        assert outcome.next_pass_at is not None
        assert outcome.next_pass_at > self.clock.seconds, "a pass that is due at once, again and again, keeps the process busy for ever"
        self.clock.seconds = outcome.next_pass_at
        return await self.run()

    async def settle(self, outcome: Outcome) -> Outcome:
        """The second look at what is to be deleted, so much later that it agrees with the first one."""
        if outcome.pending:
            self.clock.seconds += AGREEING_SECONDS
            outcome = await self.run()
        return outcome

    def told(self, **annotations: str) -> None:
        """The ClusterState has these annotations of ours: `rejected`, `released`."""
        named = {f"reconcile.cvstate.io/{name}": value for name, value in annotations.items()}
        self.pipeline.told({"metadata": {"name": "state", "namespace": "default", "uid": UID, "annotations": named}})

    def approve(self, outcome: Outcome, *, expires_at: str | None = None) -> None:
        """The plan of what waits is in the cluster, and somebody approves it."""
        self.plan(outcome)
        digest = outcome.consent.digest
        self.approvals.append(
            {
                "metadata": {"name": f"yes-{len(self.approvals)}", "namespace": "default", "creationTimestamp": self.cluster.time()},
                "spec": {"planDigest": digest, "reason": "looked at it", **({"expiresAt": expires_at} if expires_at else {})},
            }
        )

    def plan(self, outcome: Outcome) -> Body:
        """The plan of what waits is put into the cluster."""
        assert outcome.consent.waits
        owner = {"name": "state", "namespace": "default", "uid": UID}
        body = plan_report.plan_body(outcome.consent, name=f"plan-{len(self.plans)}", revision="", owner=owner)
        self.plans.append(body)
        return body

    def ready(self) -> tuple[str, str]:
        """Status and reason of the condition Ready."""
        return self.condition("Ready")

    def condition(self, kind: str) -> tuple[str, str]:
        """Status and reason of a condition; empty if it is not there."""
        return next(((c["status"], c["reason"]) for c in self.status["conditions"] if c["type"] == kind), ("", ""))

    def message(self, kind: str = "Ready") -> str:
        """What a condition says to people."""
        return next((str(c["message"]) for c in self.status["conditions"] if c["type"] == kind), "")

    def names(self) -> set[str]:
        """Names of the objects in the cluster."""
        return {ref.name for ref in self.cluster.objects}

    def _touched(self, owner: str, ref: ObjectRef) -> None:
        if owner == OWNER:
            self.pipeline.ledger.touch(ref, self.clock.monotonic())


def spec(
    *,
    prune: bool | Mapping[str, Any] = True,
    protected: Sequence[str] = ("Namespace",),
    git: Mapping[str, Any] | None = None,
    **fields: Any,
) -> ClusterStateSpec:
    """A spec as it is used here: no limits of pruning, unless a test is about them."""
    limits = {"enabled": prune, "maxDeletes": 1000, "maxPercent": 100} if isinstance(prune, bool) else dict(prune)
    return parse_spec(
        {
            "source": {"git": {"url": "https://git.example.com/a", **(git or {})}},
            "prune": {"protectedKinds": list(protected), **limits},
            **fields,
        }
    )


def actions(outcome: Outcome) -> dict[str, Action]:
    """What was done to the objects of a pass, by name."""
    return {done.ref.name: done.action for done in outcome.done}


def states(outcome: Outcome) -> dict[str, str]:
    """What is being done about each field that drifted, by its path."""
    return {entry.drift.path: entry.state.value for _, found in outcome.drift for entry in found}


def left(outcome: Outcome) -> Iterable[str]:
    """Names of objects that left Git and are not deleted since something is in doubt."""
    return [ref.name for ref in outcome.pruning.held]
