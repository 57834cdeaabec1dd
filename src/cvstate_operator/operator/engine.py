"""The engine: all ClusterStates of one process, their actors, and the cluster they share."""

import asyncio
import logging
import time
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from cvstate_operator import errors
from cvstate_operator.isolation.child import Children
from cvstate_operator.isolation.memory import Memory
from cvstate_operator.isolation.room import Room
from cvstate_operator.kube.api_quality import ApiQuality
from cvstate_operator.kube.client import Client, Observe
from cvstate_operator.kube.connection import Connection, api_server_address, in_cluster
from cvstate_operator.kube.pace import Pace
from cvstate_operator.objects import ownership
from cvstate_operator.operator import addresses
from cvstate_operator.operator.actor import Actor
from cvstate_operator.operator.clock import SystemClock
from cvstate_operator.operator.companions import Companions
from cvstate_operator.operator.members import Replicas
from cvstate_operator.operator.reporter import KubernetesReporter
from cvstate_operator.operator.roster import Roster
from cvstate_operator.operator.targets import Ears, Target, Targets
from cvstate_operator.operator.teller import Voice
from cvstate_operator.operator.token_bucket import TokenBucket
from cvstate_operator.operator.webhook import Subscription
from cvstate_operator.reconcile.pipeline import Pipeline
from cvstate_operator.reconcile.ports import World
from cvstate_operator.reconcile.stages import Identity
from cvstate_operator.reconcile.tracer import NO_TRACES
from cvstate_operator.render import tools
from cvstate_operator.render.journal import Journal
from cvstate_operator.render.renderer import Renderer
from cvstate_operator.render.store import Shelf, Store
from cvstate_operator.settings import Settings
from cvstate_operator.source.cache import GitCache
from cvstate_operator.source.git import GitSources
from cvstate_operator.telemetry.metrics import ClusterStateMeter, Metrics
from cvstate_operator.telemetry.notices import Notices
from cvstate_operator.telemetry.process_metrics import HOME, REMOTE
from cvstate_operator.telemetry.prometheus import PrometheusClient
from cvstate_operator.telemetry.traces import Traces, called

COLLECT_SECONDS: Final = 3600.0
"""How often the cache is looked through; the first time a minute after the start, when every ClusterState has said what it uses."""
RELIST_SECONDS: Final = 1800.0
"""How often EmergencyStops are listed, beside the watch of them: twice as often as objects are, since one that is not heard of stops nothing."""
FIRST_COLLECT_SECONDS: Final = 60.0
NOTICES_END_SECONDS: Final = 2.0
"""What messages that are due have to be sent at the end: one request, as a rule."""
ANNOUNCEMENTS: Final = 10
"""How many ClusterStates may say at once that a pass of theirs is under way; one more each second. Of 1,000 that are applied together few would be read, and each
is a write."""
TASKS: Final = ("cvstate_operator.source.fetch", "cvstate_operator.render.build")
"""What the fork server loads, so that a look at a source costs milliseconds."""

_log = logging.getLogger(__name__)


class Engine:
    """Makes everything, and lets it go in order."""

    def __init__(
        self,
        settings: Settings,
        client: Client,
        connection: Connection,
        metrics: Metrics,
        *,
        pace: Pace,
        quality: ApiQuality,
        observe: Observe,
        observe_remote: Observe,
        replicas: Replicas,
    ) -> None:
        """
        Args:
            settings: of the operator.
            client: of the cluster it is in, with its own rights.
            connection: that it uses.
            metrics: of the process.
            pace: how many objects of this cluster are written at a time.
            quality: counts the requests to it.
            observe: told of every request to this cluster.
            observe_remote: told of every request to another one.
            replicas: who shares the work.
        """
        self._settings = settings
        self._client = client
        self._metrics = metrics
        self.traces: Traces | None = None
        """Where passes are told of; None: tracing is off. To be set before the first ClusterState comes."""
        self._replicas = replicas
        self._children = Children(settings.cache / "children", preload=TASKS)
        self._git_cache = GitCache(settings.cache / "git")
        self._store = Store(settings.cache / "rendered")
        self._room = Room(settings.cache_bytes, {"git": self._git_cache, "rendered": Shelf(self._store, used=self._used)})
        self.memory = Memory(settings.memory_bytes)
        """What renders and fetches may have."""
        self._journal = Journal(settings.cache / "journal")
        required = settings.require_service_account
        allowed = addresses.allowed(settings, in_pod=in_cluster(), api_server=api_server_address())
        self._source = GitSources(self._git_cache, self._children, allowed.git, memory=self.memory, room=self._room)
        self._renderer = Renderer(
            self._store, self._children, tools=tools.find(), memory=self.memory, room=self._room, journal=self._journal
        )
        self._prometheus = PrometheusClient(allowed.prometheus, observe=self._asked, waited=metrics.observe_wait)
        self._targets = Targets(
            settings,
            client,
            connection,
            ears=Ears(
                touched=lambda place, owner, ref: self.roster.touched(place, owner, ref),
                freed=lambda owner, ref: self.roster.freed(owner, ref),
                hurry=lambda owner: self.roster.look_now(owner),
                doubtful=lambda place, kinds: self.roster.heard(place, kinds),
            ),
            pace=pace,
            quality=quality,
            prometheus=self._prometheus,
            addresses=allowed.clusters,
            prometheus_addresses=allowed.prometheus,
            observe=observe,
            observe_remote=observe_remote,
            fence=replicas.fenced,
            is_required=in_cluster() if required is None else required,
            is_elsewhere=lambda owner: self.roster.is_elsewhere(owner),
        )
        self.notices = Notices(settings.notices, allowed.notices, count=lambda result, number: metrics.notices.labels(result).inc(number))
        """Who is told of incidents."""
        self._collector: asyncio.Task[None] | None = None
        self._relister: asyncio.Task[None] | None = None
        self._companions = Companions(lambda namespace: self.roster.reconsider(namespace))
        self.roster = Roster(
            client,
            self._targets,
            replicas,
            make=self._make,
            repository=self._git_cache.repository,
            close_seconds=settings.shutdown_seconds,
            namespaces=settings.namespaces,
            ended=self.notices.forget,
        )
        """Which ClusterStates there are, and their actors."""
        self._announcements = TokenBucket(burst=ANNOUNCEMENTS, per_second=1, now=time.monotonic())
        # Asked whenever metrics are written out, in another thread.
        metrics.queue.labels("write").set_function(lambda: self._targets.waiting + sum(actor.unwritten for actor in self.roster.actors))
        metrics.queue.labels("look").set_function(lambda: sum(actor.backlog for actor in self.roster.actors))
        for kind in ("git", "rendered"):
            metrics.cache_bytes.labels(kind).set_function(partial(self._room.used_bytes, kind))
        metrics.owned.set_function(lambda: len(self.roster.actors))
        metrics.overdue.set_function(lambda: max((actor.overdue_seconds for actor in self.roster.actors), default=0.0))

    async def start(self) -> None:
        """Learn what the API server serves.

        Raises:
            CvstateError: it cannot be asked.
        """
        self.notices.start()
        await self._children.warm()
        await self._targets.start()
        await self._companions.load(self._client)
        self._collector = asyncio.create_task(self._collect(), name="collect the cache")
        self._relister = asyncio.create_task(self._relist(), name="list companions")

    @property
    def fault(self) -> str:
        """What keeps every ClusterState from being carried out; empty if nothing does."""
        return self._children.fault

    @property
    def remote_clusters(self) -> Mapping[bool, int]:
        """How many target clusters there are besides this one, by whether they can be reached now."""
        return self._targets.remote()

    async def webhook_token(self, subscription: Subscription) -> bytes | None:
        """The token of a subscription's Secret; None if there is none."""
        # Also that of one that another replica has: a delivery is passed on only if it is signed.
        target = self._targets.take(subscription.place)
        try:
            data = await target.references.read("Secret", subscription.namespace, subscription.secret_name, max_age=0.0)
        except errors.ReferenceMissingError:
            return None
        finally:
            self._targets.leave(target)
        return data.get("token")

    @property
    def companions(self) -> Companions:
        """What is known of the kinds that go with ClusterStates."""
        return self._companions

    def ending(self) -> None:
        """The process was asked to end: should it be killed before it does, no render is to blame."""
        self._journal.close()

    async def close(self) -> None:
        """Finish the objects in hand, then stop."""
        for task in (self._collector, self._relister):
            if task:
                task.cancel()
        await self.roster.close()
        await self.notices.close(seconds=NOTICES_END_SECONDS)
        await self._targets.close()
        await self._prometheus.close()
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
            self._renderer.tidy()
            self._targets.tidy()
            used = self._used()
            try:
                await asyncio.to_thread(self._git_cache.collect, max_bytes=self._room.max_bytes)
                await asyncio.to_thread(self._store.collect, used)
                await self._room.survey()
            except OSError as exc:
                _log.warning("the cache could not be looked through", extra={"error": str(exc)})

    def _used(self) -> frozenset[str]:
        """Files of the render store that ClusterStates use now."""
        return frozenset().union(*(actor.store_keys for actor in self.roster.actors))

    def _asked(self, result: str, seconds: float) -> None:
        """A question to Prometheus ended."""
        self._metrics.observe_question(result, seconds)
        called("prometheus", "query", result=result, seconds=seconds)

    def _make(self, owner: str, body: Mapping[str, Any], target: Target) -> Actor:
        meta = body["metadata"]
        cluster = REMOTE if target.place.kubeconfig else HOME
        meter = ClusterStateMeter(self._metrics, namespace=meta["namespace"], name=meta["name"], target=cluster)
        reporter = KubernetesReporter(self._client, body)
        edges = self.roster.edges.setdefault(meta["namespace"], {})
        consents = partial(self._companions.consents, meta["namespace"], meta["uid"])
        tracer = NO_TRACES
        if self.traces:
            place = target.place
            tracer = self.traces.of(
                namespace=meta["namespace"], name=meta["name"], uid=meta["uid"], account=place.account, target=place.kubeconfig
            )
        world = World(
            source=self._source,
            renderer=self._renderer,
            references=target.references,
            cluster=target.cluster,
            home=target.home,
            index=target.index,
            telemetry=target.telemetry,
            causes=target.causes,
            reporter=reporter,
            meter=meter,
            clock=SystemClock(),
            stopped=self._companions.stopped,
            consents=consents,
            is_elsewhere=self.roster.is_elsewhere,
            may_have=partial(self.roster.may_have, owner),
            writers=target.writers,
            parallel=self._settings.writers,
            tracer=tracer,
        )
        annotations = meta.get("annotations") or {}
        is_marked = (meta.get("labels") or {}).get(ownership.ID_LABEL) == owner
        pipeline = Pipeline(
            world,
            who=Identity(owner, meta["uid"], meta["name"], meta["namespace"]),
            name_owner=self.roster.name_of,
            known_kinds=ownership.parse_group_kinds(annotations.get(ownership.GROUP_KINDS_ANNOTATION, "")) if is_marked else frozenset(),
            known_namespaces=ownership.parse_namespaces(annotations.get(ownership.NAMESPACES_ANNOTATION, "")) if is_marked else frozenset(),
            status=body.get("status") or {},
            generation=meta.get("generation"),
        )
        return Actor(
            body,
            pipeline=pipeline,
            voice=Voice(
                reporter, meter, consents, self._announcements, tracer, partial(self.notices.observe, meta["namespace"], meta["name"])
            ),
            edges=edges,
            permit=lambda spec: self.roster.permit(spec, meta["namespace"]),
            after=tuple(self.roster.closing.get(owner, ())),
        )
