"""The bench: the operator's own source, renderer and stages, put together for one command of one person, with that person's rights.

What `operator/engine.py` is to the operator. Nothing here writes to the cluster.
"""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from cvstate_operator import errors
from cvstate_operator.api import names
from cvstate_operator.api.clusterstate import ClusterStateSpec, parse_spec
from cvstate_operator.api.source import GitRef
from cvstate_operator.api.vital import Indicator
from cvstate_operator.cli import budget_gate, lookup
from cvstate_operator.cli.plan import local
from cvstate_operator.isolation.child import Children
from cvstate_operator.kube import nesting
from cvstate_operator.kube.client import Client
from cvstate_operator.kube.cluster import Cluster
from cvstate_operator.kube.connection import api_server_address, in_cluster
from cvstate_operator.kube.references import References
from cvstate_operator.objects import ownership
from cvstate_operator.objects.address import AddressPolicy
from cvstate_operator.objects.artifact import Artifact
from cvstate_operator.objects.identity import ApiResource, GroupKind, ObjectRef
from cvstate_operator.objects.manifest import Body
from cvstate_operator.operator.clock import SystemClock
from cvstate_operator.operator.companions import Companions
from cvstate_operator.operator.engine import TASKS
from cvstate_operator.plan.desired import Desired
from cvstate_operator.reconcile import inputs, telemetry_stage
from cvstate_operator.reconcile.consent_stage import ConsentStage
from cvstate_operator.reconcile.gate_stage import GateStage
from cvstate_operator.reconcile.live_index import LiveIndex
from cvstate_operator.reconcile.orders import Orders
from cvstate_operator.reconcile.place_stage import PlaceStage
from cvstate_operator.reconcile.ports import ParentMetadata, Server, World
from cvstate_operator.reconcile.render_stage import RenderStage
from cvstate_operator.reconcile.source_stage import baseline_of
from cvstate_operator.render import tools
from cvstate_operator.render.renderer import Renderer
from cvstate_operator.render.store import Store
from cvstate_operator.settings import default_cache
from cvstate_operator.source.cache import GitCache
from cvstate_operator.source.git import GitSources
from cvstate_operator.telemetry.metrics import ClusterStateMeter, Metrics
from cvstate_operator.vital.health.children import Child
from cvstate_operator.vital.objectives import slo_queries
from cvstate_operator.vital.objectives.slo_queries import Answer, BudgetQuery
from cvstate_operator.vital.reading import Gap, Reading, gap

PARALLEL: Final = 8
"""Objects looked at at a time: half of what the operator writes at a time, so that it is not held up."""
SHORT_COMMIT: Final = 12
"""Characters of a commit that are told where another one stands in full."""
_CACHE: Final = "plan"

_Item = TypeVar("_Item")

Tell = Callable[[str, int, int], None]
"""Told what is going on, and how much of how much is done; 0 of 0 if that is not known."""


class Bench:
    """One ClusterState on one cluster. An asynchronous context manager."""

    def __init__(self, client: Client, state: Body, tell: Tell) -> None:
        """
        Args:
            client: the API server, and who the person is there.
            state: the ClusterState.
            tell: told of progress.

        Raises:
            InvalidSpecError: the ClusterState cannot work.
        """
        meta = state["metadata"]
        self.state = state
        self.namespace, self.name, self.uid = str(meta["namespace"]), str(meta["name"]), str(meta["uid"])
        self.status: Mapping[str, Any] = state.get("status") or {}
        self.spec: ClusterStateSpec = parse_spec(state.get("spec") or {})
        self.owner = ownership.applyset_id(name=self.name, namespace=self.namespace, kind=names.CLUSTER_STATE, group=names.GROUP)
        self.tell = tell
        self.index = LiveIndex(lambda owner, ref: None)
        self.cluster = Cluster(client, self.index, owners=client)
        self.unseen: dict[GroupKind, errors.CvstateError] = {}
        """Kinds whose objects may not be listed, and why."""
        self._client = client
        self._scratch = tempfile.TemporaryDirectory(prefix="cvstate-plan-")
        scratch, cache = Path(self._scratch.name), default_cache().with_name(_CACHE)
        self._children = Children(scratch / "children", preload=TASKS)
        self._git_cache = GitCache(cache / "git")
        # Outside of a Pod nobody but this person decides which addresses may be asked.
        policy = AddressPolicy(files=not in_cluster(), insecure=not in_cluster(), api_server=api_server_address())
        self._companions = Companions(lambda namespace: None)
        self._names: dict[str, str] = {}
        self.world = World(
            source=GitSources(self._git_cache, self._children, policy),
            renderer=Renderer(Store(scratch / "rendered"), self._children, tools=tools.find()),
            references=_OwnRights(References(client)),
            cluster=self.cluster,
            home=self.cluster,
            index=self.index,
            telemetry=_NotAsked(),
            causes=_NotAsked(),
            reporter=_Silent(),
            meter=ClusterStateMeter(Metrics(), namespace=self.namespace, name=self.name),
            clock=SystemClock(),
            stopped=self._companions.stopped,
            consents=lambda: self._companions.consents(self.namespace, self.uid),
            is_elsewhere=lambda owner: False,
            may_have=_nobody_may,
            writers=_no_limit(),
            parallel=PARALLEL,
        )

    async def __aenter__(self) -> Self:
        self.tell("asking the cluster", 0, 0)
        await asyncio.gather(self.cluster.discover(), self._load_companions(), self._load_names())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        await self._children.close()
        await self.cluster.close()
        with suppress(OSError):
            await asyncio.to_thread(self._git_cache.collect)
        self._scratch.cleanup()

    def name_owner(self, owner: str) -> str:
        """An ApplySet for people."""
        return self._names.get(owner) or f"ApplySet {owner}"

    # -- what is wanted --------------------------------------------------------------------------------------------

    async def fetched(self, spec: ClusterStateSpec) -> Artifact:
        """The newest commit of the source, refused as the operator would refuse it.

        Raises:
            CvstateError: it cannot be read, or is not acceptable.
        """
        git, baseline = spec.source.git, baseline_of(self.status)
        self.tell(f"fetching {git.url}", 0, 0)
        access = await inputs.access(self.world.references, git, self.namespace, max_age=0.0)
        follows_on = (baseline.url, baseline.selector) == (git.url, git.ref.selector) and not git.ref.commit
        return await self.world.source.fetch(git, access=access, known=None, baseline=baseline.commit if follows_on else "", max_age=0.0)

    async def at_commit(self, spec: ClusterStateSpec, commit: str) -> Artifact:
        """That very commit: from the cache, or else from the server.

        Raises:
            CvstateError: it is not to be had any more.
        """
        git = spec.source.git
        self.tell(f"fetching {git.url}", 0, 0)
        access = await inputs.access(self.world.references, git, self.namespace, max_age=0.0)
        try:
            return await self.world.source.recall(git, access=access, commit=commit)
        except errors.CvstateError:
            pass
        newest = await self.world.source.fetch(git, access=access, known=None, baseline="", max_age=0.0)
        if newest.commit == commit:
            return newest
        exactly = git.model_copy(update={"ref": GitRef(commit=commit)})
        try:
            return await self.world.source.fetch(exactly, access=access, known=None, baseline="", max_age=0.0)
        except errors.RefNotFoundError as exc:
            raise errors.RefNotFoundError(
                f"commit {commit}, which is applied, is no longer in {git.url}: {git.ref.selector} is at {newest.commit[:SHORT_COMMIT]} and does not lead "
                "to it, so Git was rewound; push it again, or have the rewound history applied by spec.source.git.allowRewind"
            ) from exc

    async def local(self, spec: ClusterStateSpec, directory: Path) -> Artifact:
        """A directory of this machine in the place of a commit."""
        self.tell(f"reading {directory}", 0, 0)
        return await asyncio.to_thread(local.artifact, directory, spec.source.git.path, Path(self._scratch.name) / "local")

    async def desired(self, spec: ClusterStateSpec, artifact: Artifact) -> tuple[Desired, tuple[str, ...]]:
        """What the commit declares, rendered and placed as the operator does it, and what the render has to say.

        Raises:
            CvstateError: nothing came out of the render.
        """
        self.tell(f"rendering {artifact.revision}", 0, 0)
        baseline = baseline_of(self.status)
        render = RenderStage(self.world, name=self.name, namespace=self.namespace, former=(baseline.path, baseline.type))
        await render.render(spec, artifact, full=True)
        if render.error or render.rendered is None:
            raise render.error or errors.InternalError("the render came to nothing; report this")
        place = PlaceStage(self.world, namespace=self.namespace)
        await place.place(spec, render.rendered, full=True)
        return place.desired or Desired(), render.rendered.warnings

    async def orders(self, spec: ClusterStateSpec, commit: str) -> Orders:
        """What may be written now of a commit; empty if that is not known."""
        stage = GateStage(self.world, namespace=self.namespace)
        stage.this = self.state
        burning = None if budget_gate.passes(self.state, commit) else telemetry_stage.burning(spec, self.status)
        gates, _ = await stage.judge(spec, is_settled=False, burning=burning)
        return Orders(spec, gates, ConsentStage(self.world, uid=self.uid, namespace=self.namespace).agreed())

    # -- what is there ---------------------------------------------------------------------------------------------

    async def observe(self, wanted: Desired, *, with_members: bool = True) -> None:
        """Learn what is in the cluster of all kinds that members are or may be of; one LIST for each kind.

        Args:
            wanted: the desired objects.
            with_members: kinds of which nothing is desired as well; what left Git may be of them.

        Raises:
            CvstateError: the API server does not answer.
        """
        resources = {resource for gvk in wanted.resources if (resource := self.cluster.resource(gvk))}
        seen = {resource.gvk.group_kind for resource in resources}
        marked = (self.state["metadata"].get("annotations") or {}).get(ownership.GROUP_KINDS_ANNOTATION, "")
        for kind in ownership.parse_group_kinds(marked) - seen if with_members else ():
            if resource := self.cluster.any_version(kind):
                resources.add(resource)
        await self.each("listing", sorted(resources), self._list)

    async def each(self, what: str, items: Collection[_Item], work: Callable[[_Item], Awaitable[None]]) -> None:
        """Do the work on every item, a few at a time, and tell how far it is.

        Raises:
            CvstateError: the first one that `work` raises; the rest is left undone.
        """
        queue, done = iter(items), 0

        async def take() -> None:
            nonlocal done
            for item in queue:
                await work(item)
                done += 1
                self.tell(what, done, len(items))

        self.tell(what, 0, len(items))
        workers = [asyncio.ensure_future(take()) for _ in range(min(PARALLEL, len(items)))]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def look(self, resource: ApiResource, ref: ObjectRef) -> Body | None:
        """One object as it is now; what is known of it is brought up to date.

        Raises:
            CvstateError: it cannot be read.
        """
        live = await self.cluster.read(resource, ref)
        if live and ownership.PART_OF_LABEL in (live["metadata"].get("labels") or {}):
            self.index.observed(resource, live)
        elif live is None and (known := self.index.get(ref)):
            self.index.gone(known.resource, ref, f"{int(known.version) + 1}" if known.version.isdecimal() else "")
        return live

    async def _list(self, resource: ApiResource) -> None:
        try:
            async for page in self._client.pages(resource.path(), params={"labelSelector": ownership.PART_OF_LABEL}):
                for item in page.get("items", ()):
                    # Items of a list do not say what they are.
                    typed = {"apiVersion": resource.gvk.api_version, "kind": resource.gvk.kind, **item}
                    self.index.observed(resource, nesting.cut(typed))
        except errors.ForbiddenError as exc:
            self.unseen[resource.gvk.group_kind] = exc

    async def _load_companions(self) -> None:
        """EmergencyStops and approvals, as far as this person may see them."""
        scope = f"/namespaces/{self.namespace}"
        for plural, seen, where in (
            (names.EMERGENCY_STOPS, self._companions.stop_seen, ""),
            (names.STATE_APPROVALS, self._companions.approval_seen, scope),
            (names.CLUSTER_STATE_PLANS, self._companions.plan_seen, scope),
        ):
            with suppress(errors.ForbiddenError, errors.KindUnknownError):
                async for page in self._client.pages(f"/apis/{names.API_VERSION}{where}/{plural}"):
                    for item in page.get("items", ()):
                        seen(item, gone=False)

    async def _load_names(self) -> None:
        """ClusterStates by their ApplySet ids, as far as this person may see them."""
        with suppress(errors.ForbiddenError):
            async for page in self._client.pages(lookup.path(names.CLUSTER_STATES)):
                for item in page.get("items", ()):
                    meta = item["metadata"]
                    own = ownership.applyset_id(name=meta["name"], namespace=meta["namespace"], kind=names.CLUSTER_STATE, group=names.GROUP)
                    self._names[own] = f"{names.CLUSTER_STATE} {meta['namespace']}/{meta['name']}"


class _OwnRights:
    """References, read with the rights of the person at the command line."""

    def __init__(self, references: References) -> None:
        self._references = references

    async def read(self, kind: str, namespace: str, name: str, *, max_age: float) -> Mapping[str, bytes]:
        """See the port References."""
        try:
            return await self._references.read(kind, namespace, name, max_age=max_age)
        except errors.ForbiddenError as exc:
            raise errors.ForbiddenError(
                f"your user may not read {kind} {namespace}/{name}, which the ClusterState refers to; have it granted, or use another --context"
            ) from exc


class _Silent:
    """A reporter that tells nobody, since a command writes nothing."""

    async def write_parent(self, metadata: ParentMetadata) -> None:
        """Nothing."""

    async def write_status(self, status: Mapping[str, Any]) -> None:
        """Nothing."""

    def fault(self, what: str, error: Exception) -> None:
        """Nothing."""

    def event(self, *, kind: str, reason: str, message: str) -> None:
        """Nothing."""


class _NotAsked:
    """Telemetry and causes: a command asks for none, the operator did."""

    async def read(
        self,
        server: Server,
        query: str,
        *,
        timeout_seconds: float,
        max_age_seconds: float,
        stale_after_seconds: float,
    ) -> Reading:
        """Nothing."""
        return gap(Gap.NOT_ASKED, "not asked", asked_at=datetime.now(UTC))

    async def answer(self, server: Server, query: BudgetQuery, *, timeout_seconds: float) -> Answer:
        """Nothing."""
        return slo_queries.no_answer(query, Gap.NOT_ASKED, "not asked", asked_at=datetime.now(UTC))

    async def indicator(self, indicator: Indicator, namespaces: frozenset[str], *, owner: str, max_age_seconds: float) -> Reading:
        """Nothing."""
        return gap(Gap.NOT_ASKED, "not asked", asked_at=datetime.now(UTC))

    async def explain(self, resource: ApiResource, ref: ObjectRef) -> Sequence[Child]:
        """Nothing."""
        return ()


async def _nobody_may(owner: str, resource: ApiResource, ref: ObjectRef) -> bool:
    """What other ClusterStates declare is not known here, so nobody asks."""
    return False


def _no_limit() -> AbstractAsyncContextManager[object]:
    return nullcontext()
