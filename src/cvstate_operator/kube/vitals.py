"""Cluster vitals: the adapter that counts `api.vital.Indicator` in one cluster, for every ClusterState that declares one. What is found is judged by vital/cluster/indicators.py.

Nothing is read unless it is asked for, and then only in the namespaces that are asked for; what nobody asks for any more is forgotten. All who ask share what is read.

| indicators | what is read | how |
|---|---|---|
| Restarts, Evictions, PodsPending, SchedulingSeconds | Pods of the namespace | a list once, then a watch; one for the four of them |
| NodesReady, NodesUnderPressure | nodes | a list once, then a watch |
| NodesReady | Leases of nodes | a list each time: they change every ten seconds, and a watch would tell each change |
| VolumesBound, QuotaUsed | claims, quotas of the namespace | a list each time: they are few, and a watch for each would be a connection for each |
| APIErrors, APISeconds | nothing: our own requests are counted | a request for the version when there were none |
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, Generic, TypeVar

from cvstate_operator.api.vital import Indicator
from cvstate_operator.kube.api_quality import ApiQuality
from cvstate_operator.kube.client import Client
from cvstate_operator.kube.informer import SILENCE_SECONDS
from cvstate_operator.kube.shared_read import SharedRead, unseen
from cvstate_operator.kube.vital_watch import Tally, VitalWatch
from cvstate_operator.vital.cluster import indicators
from cvstate_operator.vital.cluster.holdings import Claims, QuotaUse, claims, quota_use
from cvstate_operator.vital.cluster.look import Found, Look, Seen, Unseen
from cvstate_operator.vital.cluster.node_facts import Heartbeats, NodeFacts, NodeTally
from cvstate_operator.vital.cluster.pod_tally import PodCounts, PodTally
from cvstate_operator.vital.reading import Gap, Reading

PARALLEL_READS: Final = 4
"""Lists of what is small under way at a time."""
PARALLEL_LISTS: Final = 2
"""Lists that a watch begins with under way at a time: their pages are large."""
MAX_NAMESPACES: Final = 128
"""Namespaces whose Pods are followed at a time; each takes a connection, here and in the API server."""
MAX_NAMESPACES_EACH: Final = 16
"""Of them for one ClusterState, so that none can use them all up."""
KEEP_SECONDS: Final = 600.0
"""How long something is followed, or kept, after somebody asked for it last; longer if he asks more seldom."""
SWEEP_SECONDS: Final = 60.0

_NODES: Final = "/api/v1/nodes"
_VERSION: Final = "/version"
"""May be read by whoever the API server knows (ClusterRole system:public-info-viewer), and costs next to nothing."""
_LEASES: Final = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"


_Kept = TypeVar("_Kept", bound=Tally)


@dataclass(frozen=True, slots=True)
class _Followed(Generic[_Kept]):
    tally: _Kept
    watch: VitalWatch


class ClusterVitals:
    """See the module. Belongs to one event loop."""

    def __init__(self, client: Client, quality: ApiQuality, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """
        Args:
            client: of the API server; its requests are told to `quality`.
            quality: counts them.
            clock: UTC.
        """
        self._client = client
        self._quality = quality
        self._clock = clock
        self._read_gate = asyncio.Semaphore(PARALLEL_READS)
        self._list_gate = asyncio.Semaphore(PARALLEL_LISTS)
        # All by path.
        self._pods: dict[str, _Followed[PodTally]] = {}
        self._nodes: dict[str, _Followed[NodeTally]] = {}
        self._reads: dict[str, SharedRead[Any]] = {}
        self._keep_until: dict[str, float] = {}
        """Monotonic seconds."""
        self._held: dict[str, frozenset[str]] = {}
        """Pods that each ClusterState has followed."""
        self._ending: set[asyncio.Task[Any]] = set()
        self._sweeper: asyncio.TimerHandle | None = None

    async def read(self, indicator: Indicator, namespaces: frozenset[str], *, owner: str, max_age_seconds: float) -> Reading:
        """Count an indicator. Whatever the cluster does is told as a gap in the reading, never raised.

        It takes as long as a list of the Pods of a namespace, the first time, and as the client's deadline if no answer comes. Who gives up ends nothing: what is under
        way goes on for who asks next.

        Args:
            indicator: any but PodsReady, which needs no read: `indicators.pods_ready`.
            namespaces: in which the ClusterState has objects.
            owner: its ApplySet id.
            max_age_seconds: how old a list may be that others brought. It may be older where an answer took the API server long (`shared_read.REST`); the reading tells.

        Raises:
            ValueError: it is PodsReady.
        """
        match indicator:
            case Indicator.PODS_READY:
                raise ValueError("PodsReady is counted by the workloads of a ClusterState")
            case Indicator.RESTARTS | Indicator.EVICTIONS | Indicator.PODS_PENDING | Indicator.SCHEDULING_SECONDS:
                return _OF_PODS[indicator](await self._pod_counts(owner, namespaces, max_age_seconds), now=self._clock())
            case Indicator.NODES_READY:
                nodes, leases = await asyncio.gather(self._node_facts(max_age_seconds), self._heartbeats(max_age_seconds))
                return indicators.nodes_ready(nodes, leases, now=self._clock())
            case Indicator.NODES_UNDER_PRESSURE:
                return indicators.nodes_under_pressure(await self._node_facts(max_age_seconds), now=self._clock())
            case Indicator.VOLUMES_BOUND:
                claims_found = await self._lists(namespaces, "persistentvolumeclaims", self._claims, max_age_seconds)
                return indicators.volumes_bound(claims_found, now=self._clock())
            case Indicator.QUOTA_USED:
                quotas_found = await self._lists(namespaces, "resourcequotas", self._quotas, max_age_seconds)
                return indicators.quota_used(quotas_found, now=self._clock())
            case Indicator.API_ERRORS | Indicator.API_SECONDS:
                if self._quality.idle_seconds > max_age_seconds:
                    await self._shared(_VERSION, lambda: self._client.get(_VERSION), max_age_seconds)
                now = self._clock()
                judge = indicators.api_errors if indicator is Indicator.API_ERRORS else indicators.api_seconds
                return judge(self._quality.requests(now), now=now)

    async def close(self) -> None:
        """End everything that is under way."""
        if self._sweeper:
            self._sweeper.cancel()
        for path in tuple(self._keep_until):
            self._forget(path)
        await asyncio.gather(*self._ending, return_exceptions=True)

    # -- what is followed ------------------------------------------------------------------------------------------

    async def _pod_counts(self, owner: str, namespaces: frozenset[str], max_age: float) -> Mapping[str, Look[PodCounts]]:
        paths = {name: _in(name, "pods") for name in sorted(namespaces)}
        is_too_many = len(paths) > MAX_NAMESPACES_EACH
        self._hold(owner, frozenset() if is_too_many else frozenset(paths.values()))
        if is_too_many or len(self._pods.keys() | set(paths.values())) > MAX_NAMESPACES:
            count, whom = (MAX_NAMESPACES_EACH, "a ClusterState") if is_too_many else (MAX_NAMESPACES, "all ClusterStates")
            return dict.fromkeys(paths, Unseen(Gap.TOO_MANY_SERIES, f"Pods are followed in {count} namespaces of {whom} at most"))
        followed = {name: self._follow(self._pods, path, PodTally, max_age) for name, path in paths.items()}
        await asyncio.gather(*(each.watch.settled() for each in followed.values()))
        now = self._clock()
        return {name: _look(each.watch, each.tally.counts, now, max_age) for name, each in followed.items()}

    def _hold(self, owner: str, paths: frozenset[str]) -> None:
        """What a ClusterState asked for before is kept while that is within its share: its only object may just be made anew. Else it is let go of."""
        before = self._held.get(owner, frozenset())
        self._held[owner] = paths if len(before | paths) > MAX_NAMESPACES_EACH else before | paths
        for path in before.difference(*self._held.values()) & self._pods.keys():
            self._forget(path)

    async def _node_facts(self, max_age: float) -> Look[tuple[NodeFacts, ...]]:
        followed = self._follow(self._nodes, _NODES, NodeTally, max_age)
        await followed.watch.settled()
        return _look(followed.watch, lambda _: followed.tally.nodes(), self._clock(), max_age)

    def _follow(self, kept: dict[str, _Followed[_Kept]], path: str, make: Callable[[], _Kept], max_age: float) -> _Followed[_Kept]:
        self._keep(path, max_age)
        if path not in kept:
            tally = make()
            kept[path] = _Followed(tally, VitalWatch(self._client, path, tally, gate=self._list_gate, clock=self._clock))
        return kept[path]

    # -- what is listed --------------------------------------------------------------------------------------------

    async def _lists(
        self, namespaces: frozenset[str], plural: str, read: Callable[[str], Awaitable[Found]], max_age: float
    ) -> Mapping[str, Look[Found]]:
        paths = {name: _in(name, plural) for name in sorted(namespaces)}
        looks = await asyncio.gather(*(self._shared(path, partial(read, path), max_age) for path in paths.values()))
        return dict(zip(paths, looks, strict=True))

    async def _heartbeats(self, max_age: float) -> Look[Mapping[str, datetime]]:
        beats = Heartbeats()  # kept with the read, if there is none yet
        return await self._shared(_LEASES, lambda: self._leases(beats), max_age)

    async def _shared(self, path: str, read: Callable[[], Awaitable[Found]], max_age: float) -> Look[Found]:
        self._keep(path, max_age)
        if path not in self._reads:
            self._reads[path] = SharedRead(read, gate=self._read_gate, clock=self._clock)
        found: Look[Found] = await self._reads[path].look(max_age_seconds=max_age)
        return found

    async def _claims(self, path: str) -> Claims:
        found = Claims()
        async for page in self._client.pages(path):
            found = claims(page["items"], found)
        return found

    async def _quotas(self, path: str) -> tuple[QuotaUse, ...]:
        return tuple([use async for page in self._client.pages(path) for item in page["items"] if (use := quota_use(item))])

    async def _leases(self, beats: Heartbeats) -> Mapping[str, datetime]:
        renewals: dict[str, str] = {}
        async for page in self._client.pages(_LEASES):
            for lease in page["items"]:
                renewals[lease["metadata"]["name"]] = str((lease.get("spec") or {}).get("renewTime") or "")
        return beats.looked(renewals, self._clock())

    # -- what nobody asks for any more -----------------------------------------------------------------------------

    def _keep(self, path: str, max_age: float) -> None:
        loop = asyncio.get_running_loop()
        self._keep_until[path] = max(self._keep_until.get(path, 0.0), loop.time() + max(KEEP_SECONDS, 3 * max_age))
        if self._sweeper is None:
            self._sweeper = loop.call_later(SWEEP_SECONDS, self._sweep)

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        for path in [path for path, until in self._keep_until.items() if until < loop.time()]:
            self._forget(path)
        self._held = {owner: kept for owner, paths in self._held.items() if (kept := paths & self._pods.keys())}
        self._sweeper = loop.call_later(SWEEP_SECONDS, self._sweep) if self._keep_until else None

    def _forget(self, path: str) -> None:
        del self._keep_until[path]
        followed, read = self._pods.pop(path, None) or self._nodes.pop(path, None), self._reads.pop(path, None)
        for task in (followed.watch.cancel() if followed else None, read.cancel() if read else None):
            if task:
                self._ending.add(task)
                task.add_done_callback(self._ending.discard)


_OF_PODS: Final = {
    Indicator.RESTARTS: indicators.restarts,
    Indicator.EVICTIONS: indicators.evictions,
    Indicator.PODS_PENDING: indicators.pods_pending,
    Indicator.SCHEDULING_SECONDS: indicators.scheduling_seconds,
}


def _in(namespace: str, plural: str) -> str:
    return f"/api/v1/namespaces/{namespace}/{plural}"


def _look(watch: VitalWatch, find: Callable[[datetime], Found], now: datetime, max_age: float) -> Look[Found]:
    """What a tally holds, if it is still known to be so; a stream is not doubted for as long as it may be silent."""
    as_of = watch.as_of(now)
    if as_of is not None and now - as_of <= timedelta(seconds=max(max_age, SILENCE_SECONDS)):
        return Seen(find(as_of), as_of)
    if watch.failure:
        return unseen(watch.failure, as_of=as_of)
    return Unseen(Gap.STALE, "the API server has told nothing for too long", as_of)
