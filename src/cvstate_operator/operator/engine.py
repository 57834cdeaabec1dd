"""The engine: all ClusterStates of one process, their actors, and the cluster they share."""

import asyncio
import logging
import random
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from cvstate_operator import errors
from cvstate_operator.api import names
from cvstate_operator.api.clusterstate import ClusterStateSpec, parse_spec
from cvstate_operator.isolation.child import Children
from cvstate_operator.kube.api_quality import ApiQuality
from cvstate_operator.kube.children import Children as WorkloadChildren
from cvstate_operator.kube.client import Client
from cvstate_operator.kube.cluster import Cluster
from cvstate_operator.kube.connection import api_server_address, in_cluster
from cvstate_operator.kube.pace import Pace
from cvstate_operator.kube.references import References
from cvstate_operator.kube.vitals import ClusterVitals
from cvstate_operator.objects import ownership
from cvstate_operator.objects.address import AddressPolicy
from cvstate_operator.objects.identity import GroupKind, ObjectRef
from cvstate_operator.objects.live import is_newer
from cvstate_operator.operator.actor import Actor
from cvstate_operator.operator.companions import Companions
from cvstate_operator.operator.reporter import KubernetesReporter
from cvstate_operator.operator.telemetry import Telemetry
from cvstate_operator.operator.teller import Voice
from cvstate_operator.operator.token_bucket import TokenBucket
from cvstate_operator.operator.webhook import Subscription
from cvstate_operator.reconcile.live_index import LiveIndex
from cvstate_operator.reconcile.pipeline import Pipeline
from cvstate_operator.reconcile.ports import World
from cvstate_operator.reconcile.stages import Identity
from cvstate_operator.render import tools
from cvstate_operator.render.renderer import Renderer
from cvstate_operator.render.store import Store
from cvstate_operator.settings import Settings
from cvstate_operator.source.cache import GitCache
from cvstate_operator.source.git import GitSources
from cvstate_operator.telemetry.metrics import ClusterStateMeter, Metrics
from cvstate_operator.telemetry.prometheus import PrometheusClient

COLLECT_SECONDS: Final = 3600.0
"""How often the cache is looked through; the first time a minute after the start, when every ClusterState has said what it uses."""
RELIST_SECONDS: Final = 1800.0
"""How often EmergencyStops are listed, beside the watch of them: twice as often as objects are, since one that is not heard of stops nothing."""
FIRST_COLLECT_SECONDS: Final = 60.0
ANNOUNCEMENTS: Final = 10
"""How many ClusterStates may say at once that a pass of theirs is under way; one more each second. Of 1,000 that are applied together few would be read, and each
is a write."""
TASKS: Final = ("cvstate_operator.source.fetch", "cvstate_operator.render.build")
"""What the fork server loads, so that a look at a source costs milliseconds."""

_log = logging.getLogger(__name__)


class SystemClock:
    """The real time and real chance; see the port Clock."""

    def monotonic(self) -> float:
        """Seconds that only go forward, on the event loop's own clock."""
        return time.monotonic()

    def now(self) -> datetime:
        """The time of day, UTC."""
        return datetime.now(UTC)

    def random(self) -> float:
        """From 0 to 1; only spreads retries."""
        return random.random()  # noqa: S311

    async def sleep(self, seconds: float) -> None:
        """Let others work meanwhile."""
        await asyncio.sleep(seconds)


class Engine:
    """Owns the actors. Events about ClusterStates come in by `observed` and `deleted`."""

    def __init__(self, settings: Settings, client: Client, metrics: Metrics, pace: Pace, quality: ApiQuality) -> None:
        self._settings = settings
        self._client = client
        self._metrics = metrics
        self._index = LiveIndex(self._touched, now=SystemClock().now)
        self._index.claims.hurry = self.look_now
        self._cluster = Cluster(client, self._index, doubtful=self._heard)
        self._children = Children(settings.cache / "children", preload=TASKS)
        self._git_cache = GitCache(settings.cache / "git")
        self._store = Store(settings.cache / "rendered")
        insecure = settings.allow_insecure_sources
        policy = AddressPolicy(
            files=settings.allow_file_urls,
            insecure=not in_cluster() if insecure is None else insecure,
            hosts=settings.allow_git_hosts,
            api_server=api_server_address(),
        )
        self._source = GitSources(self._git_cache, self._children, policy)
        self._renderer = Renderer(self._store, self._children, tools=tools.find())
        self._references = References(client)
        asked = replace(policy, hosts=settings.allow_prometheus_hosts, flag="--allow-prometheus-host", only=settings.prometheus_hosts)
        prometheus = PrometheusClient(asked, observe=metrics.observe_question, waited=metrics.observe_wait)
        self._telemetry = Telemetry(prometheus, ClusterVitals(client, quality), asked)
        self._causes = WorkloadChildren(client)
        self._collector: asyncio.Task[None] | None = None
        self._relister: asyncio.Task[None] | None = None
        self._pace = pace
        self._companions = Companions(self._reconsider)
        self._actors: dict[str, Actor] = {}
        """By ApplySet id."""
        self._names: dict[str, str] = {}
        """ApplySet id to `ClusterState namespace/name`."""
        self._edges: dict[str, dict[str, tuple[str, ...]]] = {}
        """By namespace and name: names of the ClusterStates that each depends on."""
        self._subscriptions: dict[str, Subscription] = {}
        """By ApplySet id: those that take part in the push webhook."""
        self._noted: dict[str, int | None] = {}
        """By ApplySet id: the generation whose spec was noted."""
        self._closing: set[asyncio.Task[None]] = set()
        self._announcements = TokenBucket(burst=ANNOUNCEMENTS, per_second=1, now=time.monotonic())

    async def start(self) -> None:
        """Learn what the API server serves.

        Raises:
            CvstateError: it cannot be asked.
        """
        await self._children.warm()
        await self._cluster.discover()
        await self._companions.load(self._client)
        self._collector = asyncio.create_task(self._collect(), name="collect the cache")
        self._relister = asyncio.create_task(self._relist(), name="list companions")

    @property
    def fault(self) -> str:
        """What keeps every ClusterState from being carried out; empty if nothing does."""
        return self._children.fault

    def subscriptions(self) -> Collection[Subscription]:
        """Who wants to be told of pushes. Anybody can have this asked, so nothing is worked out here."""
        return self._subscriptions.values()

    async def webhook_token(self, subscription: Subscription) -> bytes | None:
        """The token of a subscription's Secret; None if there is none."""
        try:
            data = await self._references.read("Secret", subscription.namespace, subscription.secret_name, max_age=0.0)
        except errors.ReferenceMissingError:
            return None
        return data.get("token")

    def look_now(self, owner: str) -> None:
        """Have one ClusterState ask its source at once."""
        if actor := self._actors.get(owner):
            actor.look_now()

    @property
    def companions(self) -> Companions:
        """What is known of the kinds that go with ClusterStates."""
        return self._companions

    def _reconsider(self, namespace: str) -> None:
        """What may be written in a namespace, or everywhere if it is empty, may have changed."""
        for actor in self._actors.values():
            if namespace in ("", actor.namespace):
                actor.reconsider()

    def observed(self, body: Mapping[str, Any]) -> None:
        """A ClusterState exists in this state."""
        meta = body["metadata"]
        owner = _owner(meta)
        actor = self._actors.get(owner)
        if actor and actor.uid != meta["uid"] and not is_newer(meta["resourceVersion"], actor.version):
            return  # of a namesake that is gone: events about two objects come in any order
        if meta.get("deletionTimestamp") and names.FINALIZER not in (meta.get("finalizers") or ()):
            self.deleted(body)
            return
        if actor and actor.uid == meta["uid"]:
            actor.update(body)
        else:
            self._drop(body)
            self._index.claims.join(owner, time.monotonic())
            self._actors[owner] = self._make(owner, body)
            self._names[owner] = f"{names.CLUSTER_STATE} {meta['namespace']}/{meta['name']}"
        if owner not in self._noted or self._noted[owner] != meta.get("generation"):
            self._noted[owner] = meta.get("generation")
            self._note(owner, meta, _parsed(body))

    def _note(self, owner: str, meta: Mapping[str, Any], spec: ClusterStateSpec | None) -> None:
        """Remember what others ask of a new spec: which pushes concern it, and what it depends on.

        If its dependencies are news, others may be in a circle with it, or not any more.
        """
        if spec and spec.source.git.webhook:
            git, secret = spec.source.git, spec.source.git.webhook.secret_ref.name
            self._subscriptions[owner] = Subscription(owner, meta["namespace"], meta["name"], git.url, git.ref, secret)
        else:
            self._subscriptions.pop(owner, None)
        edges = tuple(one.name for one in spec.depends_on if one.is_cluster_state) if spec else ()
        known = self._edges.setdefault(meta["namespace"], {})
        if known.get(meta["name"], ()) != edges:
            known[meta["name"]] = edges
            self._reconsider(meta["namespace"])

    def deleted(self, body: Mapping[str, Any]) -> None:
        """A ClusterState is gone, or going; its objects stay (they are orphaned)."""
        actor = self._actors.get(_owner(body["metadata"]))
        if actor is None or actor.uid == body["metadata"]["uid"]:
            self._drop(body)

    def _drop(self, body: Mapping[str, Any]) -> None:
        """Forget whatever ClusterState has this name."""
        owner = _owner(body["metadata"])
        self._names.pop(owner, None)
        self._subscriptions.pop(owner, None)
        self._noted.pop(owner, None)
        self._edges.get(body["metadata"]["namespace"], {}).pop(body["metadata"]["name"], None)
        self._index.claims.leave(owner)
        if actor := self._actors.pop(owner, None):
            task = asyncio.create_task(actor.close(seconds=self._settings.shutdown_seconds))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Finish the objects in hand, then stop."""
        for task in (self._collector, self._relister):
            if task:
                task.cancel()
        closing = [actor.close(seconds=self._settings.shutdown_seconds) for actor in self._actors.values()]
        for result in await asyncio.gather(*closing, *self._closing, return_exceptions=True):
            if isinstance(result, BaseException):
                _log.error("a ClusterState did not end well", exc_info=result)
        await self._telemetry.close()
        await self._cluster.close()
        await self._children.close()

    async def _relist(self) -> None:
        """Look now and then whether the EmergencyStops are those that events told of."""
        while True:
            await asyncio.sleep(RELIST_SECONDS)
            try:
                await self._companions.load(self._client)
            except errors.CvstateError as exc:
                _log.warning("EmergencyStops not listed", extra={"reason": exc.reason, "error": exc.message})

    async def _collect(self) -> None:
        pause = FIRST_COLLECT_SECONDS
        while True:
            await asyncio.sleep(pause)
            pause = COLLECT_SECONDS
            self._source.tidy()
            used = frozenset().union(*(actor.store_keys for actor in self._actors.values()))
            try:
                left = {
                    "git": await asyncio.to_thread(self._git_cache.collect),
                    "rendered": await asyncio.to_thread(self._store.collect, used),
                }
            except OSError as exc:
                _log.warning("the cache could not be looked through", extra={"error": str(exc)})
                continue
            for kind, size in left.items():
                self._metrics.cache_bytes.labels(kind).set(size)

    def _make(self, owner: str, body: Mapping[str, Any]) -> Actor:
        meta = body["metadata"]
        meter = ClusterStateMeter(self._metrics, namespace=meta["namespace"], name=meta["name"])
        reporter = KubernetesReporter(self._client, namespace=meta["namespace"], name=meta["name"], uid=meta["uid"])
        self._edges.setdefault(meta["namespace"], {})
        consents = partial(self._companions.consents, meta["namespace"], meta["uid"])
        world = World(
            source=self._source,
            renderer=self._renderer,
            references=self._references,
            cluster=self._cluster,
            index=self._index,
            telemetry=self._telemetry,
            causes=self._causes,
            reporter=reporter,
            meter=meter,
            clock=SystemClock(),
            stopped=self._companions.stopped,
            consents=consents,
            writers=self._pace,
            parallel=self._settings.writers,
        )
        marked = (meta.get("annotations") or {}).get(ownership.GROUP_KINDS_ANNOTATION, "")
        pipeline = Pipeline(
            world,
            who=Identity(owner, meta["uid"], meta["name"], meta["namespace"]),
            name_owner=self._name_owner,
            known_kinds=ownership.parse_group_kinds(marked) if (meta.get("labels") or {}).get(ownership.ID_LABEL) == owner else frozenset(),
            status=body.get("status") or {},
            generation=meta.get("generation"),
        )
        return Actor(
            body,
            pipeline=pipeline,
            voice=Voice(reporter, meter, consents, self._announcements),
            edges=self._edges[meta["namespace"]],
        )

    def _touched(self, owner: str, ref: ObjectRef) -> None:
        if actor := self._actors.get(owner):
            actor.touch(ref)

    def _heard(self, kinds: Collection[GroupKind]) -> None:
        for actor in self._actors.values():
            actor.heard(kinds)

    def _name_owner(self, owner: str) -> str:
        return self._names.get(owner) or f"ApplySet {owner}"


def _parsed(body: Mapping[str, Any]) -> ClusterStateSpec | None:
    """What a ClusterState says; None if it cannot be meant."""
    try:
        return parse_spec(body.get("spec") or {})
    except errors.InvalidSpecError:
        return None


def _owner(meta: Mapping[str, Any]) -> str:
    return ownership.applyset_id(name=meta["name"], namespace=meta["namespace"], kind=names.CLUSTER_STATE, group=names.GROUP)
