"""The operator process: connects, starts kopf for our own kind, serves HTTP, and stops in order."""

import asyncio
import logging
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any, Final

import kopf
from kopf._cogs.structs.references import Insights
from kopf._core.reactor.observation import process_discovered_resource_event

from cvstate_operator import __version__, errors
from cvstate_operator.api import names
from cvstate_operator.kube.api_quality import ApiQuality
from cvstate_operator.kube.client import Client
from cvstate_operator.kube.connection import USER_AGENT, Connection, connect
from cvstate_operator.kube.informer import SILENCE_SECONDS, WATCH_SECONDS
from cvstate_operator.kube.leases import Leases
from cvstate_operator.kube.pace import Pace
from cvstate_operator.operator import stream
from cvstate_operator.operator.clock import SystemClock
from cvstate_operator.operator.engine import Engine
from cvstate_operator.operator.forwarder import Forwarder
from cvstate_operator.operator.http import HttpServer
from cvstate_operator.operator.members import Alone, Members, Replicas, new_member, since_boot
from cvstate_operator.operator.reload import Reload
from cvstate_operator.operator.stream import Handler
from cvstate_operator.operator.unkept import Unkept
from cvstate_operator.operator.webhook import PATH as WEBHOOK_PATH
from cvstate_operator.operator.webhook import WebhookServer
from cvstate_operator.settings import Settings
from cvstate_operator.telemetry.metrics import Metrics
from cvstate_operator.telemetry.process_metrics import REMOTE
from cvstate_operator.telemetry.traces import Traces, called

if TYPE_CHECKING:
    from cvstate_operator.telemetry.otlp import Exporter

LAG_PROBE_SECONDS: Final = 0.5
CONNECT_PAUSE_SECONDS: Final = 2.0
SERVED_PROBE_SECONDS: Final = 1.0
"""How often to look whether our kind is served, while it is not watched."""

LOGIN_FIRST_SECONDS: Final = 0.5
LOGIN_LONGEST_SECONDS: Final = 30.0
LOGIN_QUIET_SECONDS: Final = 120.0
"""After so long without being asked the history of logins is forgotten."""
KOPF_END_SECONDS: Final = 5.0
"""How long kopf's tasks may take to end."""

KOPF_RETRY_SECONDS: Final = (1.0, 10.0)
"""First and longest pause before kopf repeats a request that failed."""
TRACES_END_SECONDS: Final = 2.0
"""How long the last traces may take to be sent, after everything else."""

_log = logging.getLogger(__name__)


class Patience:
    """Pauses between the requests of kopf's watches, seconds, without an end.

    By itself kopf gives up after nine requests, and with it the process. An API server that was away for longer than that answers 403 in its first
    seconds, until it has read its roles (measured): the ninth request is one of those now and then.
    """

    def __iter__(self) -> Iterator[float]:
        pause, longest = KOPF_RETRY_SECONDS
        while True:
            yield pause * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
            pause = min(pause * 2, longest)


async def run(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT.

    Raises:
        SettingsError: the operator is set up wrong.
        UnauthorizedError: the API server does not know us.
        CvstateError: kopf ended by itself; a supervisor should start us again.
    """
    member = new_member()
    connection = await connect(settings.kubeconfig, settings.context, user_agent=f"{USER_AGENT} ({member})")
    try:
        await _Process(settings, connection, member).run()
    finally:
        await connection.close()
        await _end_others()


class _Process:
    """The parts of one run, and how they hang together."""

    def __init__(self, settings: Settings, connection: Connection, member: str) -> None:
        self._settings = settings
        self._connection = connection
        self._metrics = Metrics()
        self._member = member
        pace = Pace(initial=settings.writers, limit=settings.writers, clock=time.monotonic, random=random.random)
        self._quality = ApiQuality()
        # Not kept from writing by the fence that it is there to keep up, nor slowed down by what others write.
        self._lease_client = Client(connection, observe=self._observe)
        self._replicas: Replicas = Alone(member)
        if settings.lease_namespace:
            leases = Leases(self._lease_client, namespace=settings.lease_namespace, now=SystemClock().now)
            self._replicas = Members(
                leases, member=member, group=settings.group, advertise=settings.advertise, changed=self._shares_changed, clock=since_boot
            )
        self._client = Client(connection, observe=self._observe, pace=pace, fence=self._replicas.fenced)
        self._engine = Engine(
            settings,
            self._client,
            connection,
            self._metrics,
            pace=pace,
            quality=self._quality,
            observe=self._observe,
            observe_remote=self._observe_remote,
            replicas=self._replicas,
        )
        self._http = HttpServer(self._metrics, alive=self._alive, ready=self._ready)
        self._reload = Reload(
            settings,
            apply=lambda new: self._engine.notices.replace(new.notices),
            observe=self._metrics.observe_reload,
        )
        self._forwarder = Forwarder(
            lambda: self._replicas.peers, path=WEBHOOK_PATH, count=lambda result: self._metrics.forwards.labels(result).inc()
        )
        self._webhook = WebhookServer(
            subscriptions=self._engine.roster.subscriptions.values,
            trigger=self._engine.roster.look_now,
            secret=self._engine.webhook_token,
            observe=lambda result, provider: self._metrics.deliveries.labels(result).inc(),
            forward=self._forwarder.forward,
        )
        self._has_settled = False
        self._stop = asyncio.Event()
        self._stop_kopf = asyncio.Event()
        self._watching = asyncio.Event()
        self._kopf: asyncio.Task[None] | None = None
        self._logins = 0
        """How often in short succession kopf asked for credentials anew."""
        self._logged_in_at = float("-inf")

    def _observe(self, *, action: str, result: str, seconds: float) -> None:
        """A request to the API server of the cluster that we run in ended."""
        self._metrics.observe_request(action=action, result=result, seconds=seconds)
        called("kubernetes", action, result=result, seconds=seconds)
        self._quality.observe_request(action=action, result=result, seconds=seconds)

    def _observe_remote(self, *, action: str, result: str, seconds: float) -> None:
        """A request to the API server of another cluster ended; its failures say nothing of ours."""
        self._metrics.observe_request(action=action, result=result, seconds=seconds, target=REMOTE)
        called("kubernetes", action, result=result, seconds=seconds)

    def _shares_changed(self) -> None:
        """Another replica came or went, or we lost touch with the others."""
        state = self._replicas.state
        self._metrics.members.labels("live").set(state.members)
        self._metrics.members.labels("settled").set(int(state.is_able))
        self._engine.roster.shares_changed()

    async def run(self) -> None:
        self._handle_signals()
        lag = asyncio.create_task(self._probe_lag())
        reload = asyncio.create_task(self._reload.run(), name="settings file")
        exporter = None
        try:
            exporter = self._trace()
            address = await self._http.start(self._settings.listen, self._settings.tls_directory)
            told = {"version": __version__, "server": self._connection.server, "http": address}
            if self._settings.webhook_listen:
                told["webhook"] = f"http://{await self._webhook.start(self._settings.webhook_listen)}{WEBHOOK_PATH}"
            _log.info("started", extra=told)
            if await self._connect():
                await self._serve()
        finally:
            lag.cancel()
            reload.cancel()
            await self._webhook.close()
            await self._forwarder.close()
            await self._http.close()
            await self._client.close()
            await self._replicas.leave()  # did so already, but for a process that was told to stop while it joined
            await self._lease_client.close()
            if exporter:
                await exporter.close(seconds=TRACES_END_SECONDS)
            _log.info("stopped")

    def _trace(self) -> "Exporter | None":
        """Have passes told to the collector that the settings name; None if they name none. Then nothing of it is even loaded."""
        if not self._settings.otlp_endpoint:
            return None
        from cvstate_operator.telemetry import collector
        from cvstate_operator.telemetry.otlp import Exporter

        exporter = Exporter(
            collector.destination(self._settings.otlp_endpoint, os.environ),
            about=collector.resource(os.environ, instance=self._member),
            observe=lambda result, spans: self._metrics.traces.labels(result).inc(spans),
        )
        exporter.start()
        self._engine.traces = Traces(exporter.offer)
        return exporter

    async def _connect(self) -> bool:
        """Wait for the API server; False if we are to stop before it answers."""
        is_started = False
        while not self._stop.is_set():
            try:
                if not is_started:
                    await self._engine.start()
                    is_started = True
                await self._replicas.join()
                return True
            except errors.TransientError as exc:
                _log.warning("waiting for the API server", extra={"reason": exc.reason, "error": exc.message})
            await _wait_for(self._stop, CONNECT_PAUSE_SECONDS)
        return False

    async def _serve(self) -> None:
        self._kopf = asyncio.create_task(self._run_kopf(), name="kopf")
        stopped = asyncio.create_task(self._stop.wait())
        await asyncio.wait({self._kopf, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        _log.info("stopping: finishing the objects in hand")
        self._engine.ending()
        await self._engine.roster.close()
        await self._replicas.leave()  # as soon as nothing is written any more: others take over from here
        await self._engine.close()
        # What is in hand is finished while the ClusterStates are still watched: kopf goes last.
        self._stop_kopf.set()
        why = ""
        try:
            await self._kopf
        except Exception as exc:
            _log.exception("the watch of ClusterStates broke")
            why = f" ({type(exc).__name__})"
        if not self._stop.is_set():
            raise errors.CvstateError(f"the watch of ClusterStates ended by itself{why}; start the operator again")

    async def _run_kopf(self) -> None:
        registry = kopf.OperatorRegistry()
        settings = kopf.OperatorSettings()
        settings.posting.enabled = False
        settings.watching.server_timeout = random.randint(*WATCH_SECONDS)  # noqa: S311 - jitter
        settings.watching.inactivity_timeout = SILENCE_SECONDS
        settings.networking.error_backoffs = Patience()
        settings.persistence.finalizer = f"kopf.{names.GROUP}/unused"  # ours is put and taken away by ourselves
        settings.persistence.diffbase_storage = Unkept()

        @kopf.on.login(registry=registry)
        async def login(**_: Any) -> kopf.AiohttpSession:
            # kopf asks again for each request that was answered 401, at once: without a pause it would ask thousands of times a second (measured).
            await self._pause_login()
            # A session of its own on our connector: kopf closes the one it is given.
            return kopf.AiohttpSession(
                server=self._connection.server, aiohttp_session=self._connection.session(), default_namespace="default"
            )

        roster, companions = self._engine.roster, self._engine.companions
        told: dict[str, Handler] = {
            names.CLUSTER_STATES: lambda event: (roster.deleted if event["type"] == "DELETED" else roster.observed)(event["object"]),
            names.STATE_APPROVALS: _teller(companions.approval_seen),
            names.CLUSTER_STATE_PLANS: _teller(companions.plan_seen),
            names.EMERGENCY_STOPS: _teller(companions.stop_seen),
        }
        for plural, handler in told.items():
            kopf.on.event(names.GROUP, names.VERSION, plural, registry=registry, id=plural)(_told_by_kopf(handler))
        stream.hand_on(told)

        insights = Insights()
        tasks = await kopf.spawn_tasks(
            registry=registry,
            settings=settings,
            insights=insights,
            standalone=True,
            clusterwide=not self._settings.namespaces,
            namespaces=self._settings.namespaces,
            stop_flag=self._stop_kopf,
        )
        # kopf has put its own signal handlers, which would not wait for objects in hand.
        self._handle_signals()
        self._watching.set()

        async def rescan() -> None:
            changed: Any = {"type": "MODIFIED", "object": {"spec": {"group": names.GROUP}}}
            await process_discovered_resource_event(raw_event=changed, settings=settings, registry=registry, insights=insights)

        notice = asyncio.create_task(self._notice_our_kind(insights, rescan), name="notice our kind")
        try:
            await _run_until_one_ends(tasks)
        finally:
            notice.cancel()

    async def _pause_login(self) -> None:
        """Wait the longer, the more often kopf's credentials were refused lately."""
        now = time.monotonic()
        self._logins = self._logins + 1 if now < self._logged_in_at + LOGIN_QUIET_SECONDS else 0
        self._logged_in_at = now
        if self._logins:
            await asyncio.sleep(min(LOGIN_FIRST_SECONDS * 2.0 ** (self._logins - 1), LOGIN_LONGEST_SECONDS) * random.uniform(0.8, 1.2))  # noqa: S311

    async def _notice_our_kind(self, insights: Insights, rescan: Callable[[], Awaitable[None]]) -> None:
        """Have kopf look again while it does not watch our kind although it is served.

        kopf looks only when a CRD changes, and the API server may begin to serve the kind a little after the last change of its CRD (measured: one in
        three times). Without this, an operator that was installed together with its CRD could stay idle for ever.
        """
        while True:
            await asyncio.sleep(SERVED_PROBE_SECONDS)
            if any(resource.plural == names.CLUSTER_STATES for resource in insights.watched_resources):
                continue
            try:
                served = await self._client.get(f"/apis/{names.API_VERSION}") or {}
                if any(resource.get("name") == names.CLUSTER_STATES for resource in served.get("resources", ())):
                    await rescan()
            except errors.CvstateError:
                continue  # not served, or the API server is away
            except Exception:  # whatever it was, the next look may succeed
                _log.exception("internal error while looking for the ClusterState kind, trying again")

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)

    def _alive(self) -> str:
        return "the watch of ClusterStates ended" if self._kopf and self._kopf.done() else self._replicas.broken

    def _ready(self) -> str:
        if self._stop.is_set():
            return "stopping"
        if not self._watching.is_set():
            return "not watching ClusterStates yet"
        # A rollout replaces the next replica only when this one can do its share. Later a fence is no reason: nobody is helped by a webhook that cannot be reached.
        self._has_settled = self._has_settled or self._replicas.state.settled
        return self._engine.fault or ("" if self._has_settled else self._replicas.state.fenced)

    async def _probe_lag(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LAG_PROBE_SECONDS
            await asyncio.sleep(LAG_PROBE_SECONDS)
            self._metrics.loop_lag.observe(max(0.0, loop.time() - due))
            for is_reachable, number in self._engine.remote_clusters.items():
                self._metrics.targets.labels("reachable" if is_reachable else "unreachable").set(number)


def _teller(seen: Callable[..., None]) -> Handler:
    return lambda event: seen(event["object"], gone=event["type"] == "DELETED")


def _told_by_kopf(handler: Handler) -> Any:
    """What has kopf watch a kind; it is told by the stream."""

    async def tell(event: Any, **_: Any) -> None:
        handler(event)

    return tell


async def _end_others() -> None:
    """End what is left of kopf's tasks; if some do not end, the process does, since nothing else is left for it to do."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    _, left = await asyncio.wait(others, timeout=KOPF_END_SECONDS) if others else ((), ())
    if left:
        _log.error("ended by force: some tasks do not end", extra={"tasks": ", ".join(sorted(task.get_name() for task in left))})
        logging.shutdown()
        os._exit(1)


async def _run_until_one_ends(tasks: Collection[asyncio.Task[None]]) -> None:
    """Run kopf's tasks until one of them ends, by a fault or because it was told to; then end the others.

    kopf's own `run_tasks` besides cancels whatever else runs in the process, ours too, and waits for that without end.
    """
    done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others, timeout=KOPF_END_SECONDS)
    for task in done:
        task.result()


async def _wait_for(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
