"""Fakes of the pipeline's ports: a Git server, a renderer, an API server and a clock that live in memory.

The API server knows what the pipeline relies on: field ownership by server-side apply, resource versions, uids, preconditions, CRDs that are served only
after they were applied, and a watch that tells each change once. tests/integration holds it to the real one.
"""

import asyncio
import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cvstate_operator import errors
from cvstate_operator.api.clusterstate import ClusterStateSpec, parse_spec
from cvstate_operator.api.names import FIELD_MANAGER
from cvstate_operator.api.source import GitSource
from cvstate_operator.objects import ownership
from cvstate_operator.objects.access import Access
from cvstate_operator.objects.artifact import Artifact, Rendered
from cvstate_operator.objects.identity import ApiResource, GroupKind, Gvk, ObjectRef
from cvstate_operator.objects.manifest import Body, BodyRef, Manifest, Origin
from cvstate_operator.objects.problem import Problem
from cvstate_operator.objects.recipe import Capabilities, Recipe
from cvstate_operator.plan.adoption import NameOwner
from cvstate_operator.plan.changes import Action, Change
from cvstate_operator.plan.crds import declared_resources, is_crd
from cvstate_operator.reconcile.live_index import LiveIndex
from cvstate_operator.reconcile.outcome import Outcome
from cvstate_operator.reconcile.pipeline import Pipeline
from cvstate_operator.reconcile.ports import ParentMetadata, World
from cvstate_operator.reconcile.source_stage import NO_BASELINE, Baseline
from tests.unit.builders import CONFIG_MAP, CRD, DEPLOYMENT, NAMESPACE, OWNER, SECRET, artifact, rendered


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
    _rendered: dict[str, Rendered] = field(default_factory=dict)
    _bodies: dict[BodyRef, Body] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    """Names of objects whose bodies the store lost; the next render makes them again."""

    def commit(self, *bodies: Body, problems: Sequence[Problem] = ()) -> None:
        """Push a commit that declares exactly these objects, with `problems` of the render."""
        number = len(self._rendered) + 1
        self.head = artifact(f"{number:040}")
        manifests = []
        for index, one in enumerate(bodies):
            meta = one["metadata"]
            where = BodyRef(str(number), index, 1)
            self._bodies[where] = copy.deepcopy(one)
            origin = Origin(f"{meta['name']}.yaml", 1, 1)
            gvk = Gvk.parse(one["apiVersion"], one["kind"])
            manifests.append(Manifest(gvk, meta.get("namespace", ""), meta["name"], repr(one), origin, where))
        self._rendered[self.head.commit] = rendered(*manifests, problems=problems, directory=self.head.directory)

    async def fetch(self, git: GitSource, *, access: Access, known: Artifact | None, baseline: str, max_age: float) -> Artifact:
        self.looks.append({"access": access, "known": known, "baseline": baseline, "max_age": max_age})
        if self.error:
            raise self.error
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


class FakeCluster:
    """An API server with its watches."""

    def __init__(self, index: LiveIndex) -> None:
        self.index = index
        self.objects: dict[ObjectRef, Body] = {}
        self.served: set[ApiResource] = {CONFIG_MAP, SECRET, NAMESPACE, DEPLOYMENT, CRD}
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
        self.writing = 0
        self.most_writing = 0
        self._known = set(self.served)
        self._watched: set[GroupKind] = set()
        self._version = 10
        self._uids = 0

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

    async def apply(self, change: Change, body: Body, *, owner: str, name_owner: NameOwner) -> dict[str, Any]:
        assert change.manifest is not None
        self.writing += 1
        self.most_writing = max(self.most_writing, self.writing)
        try:
            await asyncio.sleep(0)
            self._maybe_fail(change.ref.name)
            resource = self.resource(change.manifest.gvk)
            if resource is None:
                raise errors.KindUnknownError("the API server serves no such kind")
            existing = self.objects.get(change.ref)
            if (change.live.uid if change.live else None) != (existing["metadata"]["uid"] if existing else None):
                raise errors.StaleError("the object is another one")
            sent = ownership.marked(body, owner=owner, digest=change.manifest.digest, namespace=change.ref.namespace)
            answer = self._store(change.ref, self._merged(existing, sent))
            self.writes.append((change.action.value, change.ref.name))
            if is_crd(change.ref.group_kind) and self.serves_crds:
                self.served |= set(declared_resources([sent]).values())
            hold = self.before_answer(change)
            if hold is not None:
                await hold
            return answer
        finally:
            self.writing -= 1

    async def prune(self, change: Change) -> None:
        assert change.live is not None
        self._maybe_fail(change.ref.name)
        existing = self.objects.get(change.ref)
        if existing is None:
            return
        if (existing["metadata"]["uid"], existing["metadata"]["resourceVersion"]) != (change.live.uid, change.live.version):
            raise errors.StaleError("the object changed since")
        self.writes.append(("delete", change.ref.name))
        self.delete(change.ref)
        self.after_delete()

    # -- what other people do ------------------------------------------------------------------------------------------

    def edit(self, ref: ObjectRef, path: str, value: Any, *, manager: str = "kubectl-edit") -> None:
        """Somebody sets a field, by its path of names; the field is theirs from now on."""
        live = copy.deepcopy(self.objects[ref])
        *parents, last = path.split("/")
        target: Any = live
        for name in parents:
            target = target[name]
        target[last] = value
        for entry in live["metadata"]["managedFields"]:
            entry["fieldsV1"] = without(entry["fieldsV1"], [f"f:{name}" for name in path.split("/")])
        theirs: dict[str, Any] = {}
        for name in reversed([*parents, last]):
            theirs = {f"f:{name}": theirs}
        live["metadata"]["managedFields"].append(
            {"manager": manager, "operation": "Update", "fieldsV1": theirs, "time": "2026-01-02T00:00:00Z"}
        )
        self._store(ref, live)

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

    def _merged(self, existing: Body | None, sent: Body, *, manager: str = FIELD_MANAGER) -> Body:
        managed = {key: value for key, value in sent.items() if key not in ("apiVersion", "kind")}
        managed["metadata"] = {key: value for key, value in sent["metadata"].items() if key in ("labels", "annotations")}
        ours = {"manager": manager, "operation": "Apply", "fieldsV1": field_tree(managed), "time": "2026-01-01T00:00:00Z"}
        if existing:
            uid = existing["metadata"]["uid"]
        else:
            self._uids += 1
            uid = f"uid-{self._uids}"
        return {**copy.deepcopy(sent), "metadata": {**sent["metadata"], "uid": uid, "managedFields": [ours]}}

    def _store(self, ref: ObjectRef, live: Body) -> Body:
        self._version += 1
        live["metadata"]["resourceVersion"] = str(self._version)
        self.objects[ref] = live
        if ref.group_kind in self._watched and ownership.PART_OF_LABEL in (live["metadata"].get("labels") or {}):
            self.index.observed(self._resource(live), copy.deepcopy(live))
        return copy.deepcopy(live)

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

    def drifted(self, *, kind: str, fields: int) -> None:
        self.counted.append(("drifted", kind, fields))

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
        self._writers = writers
        self.spec = spec()
        self.restart(known_kinds=known_kinds)

    def restart(self, *, known_kinds: frozenset[GroupKind] = frozenset(), baseline: Baseline = NO_BASELINE) -> None:
        """The operator starts anew: it remembers nothing, and the cluster is as it was."""
        self.index = LiveIndex(self._touched)
        old, self.cluster = self.cluster, FakeCluster(self.index)
        vars(self.cluster).update({k: v for k, v in vars(old).items() if k not in ("index", "_watched")})
        self.world = World(
            source=self.git,
            renderer=self.git,
            references=self.references,
            cluster=self.cluster,
            index=self.index,
            reporter=self.reporter,
            meter=self.meter,
            clock=self.clock,
            writers=asyncio.Semaphore(self._writers),
            parallel=8,
        )
        self.pipeline = Pipeline(
            self.world,
            owner=OWNER,
            name="state",
            namespace="default",
            name_owner=lambda owner: f"ClusterState {owner}",
            known_kinds=known_kinds,
            baseline=baseline,
        )

    async def commit(self, *bodies: Body, problems: Sequence[Problem] = ()) -> Outcome:
        """Push a commit, and let it be fetched and applied."""
        self.git.commit(*bodies, problems=problems)
        await self.look()
        return await self.run()

    async def look(self, *, fresh: bool = True) -> bool:
        return await self.pipeline.look(self.spec, fresh=fresh)

    async def run(self, *, full: bool = False) -> Outcome:
        """One pass."""
        self.cluster.writes.clear()
        return await self.pipeline.run(self.spec, full=full)

    async def wait(self, outcome: Outcome) -> Outcome:
        """Let the time pass until the pipeline wants to run again by itself, and run."""
        assert outcome.next_pass_at is not None
        assert outcome.next_pass_at > self.clock.seconds, "a pass that is due at once, again and again, keeps the process busy for ever"
        self.clock.seconds = outcome.next_pass_at
        return await self.run()

    def names(self) -> set[str]:
        """Names of the objects in the cluster."""
        return {ref.name for ref in self.cluster.objects}

    def _touched(self, owner: str, ref: ObjectRef) -> None:
        if owner == OWNER:
            self.pipeline.ledger.touch(ref, self.clock.monotonic())


def spec(
    *,
    prune: bool = True,
    protected: Sequence[str] = ("Namespace",),
    git: Mapping[str, Any] | None = None,
    render: Mapping[str, Any] | None = None,
) -> ClusterStateSpec:
    """A spec as it is used here."""
    return parse_spec(
        {
            "source": {"git": {"url": "https://git.example.com/a", **(git or {})}},
            "render": dict(render or {}),
            "prune": {"enabled": prune, "protectedKinds": list(protected)},
        }
    )


def actions(outcome: Outcome) -> dict[str, Action]:
    """What was done to the objects of a pass, by name."""
    return {done.ref.name: done.action for done in outcome.done}
