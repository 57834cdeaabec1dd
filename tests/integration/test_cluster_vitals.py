"""Cluster vitals on a real cluster, with its controllers, its scheduler and simulated kubelets.

Aspects: restarts of a crash loop · evictions by the API, by a kubelet, and by nobody · Pods that fit nowhere, and how long they waited · nodes that fall silent, and are short of
something · claims · quotas · what may not be read · reads are asked for, shared and forgotten · an API server that goes and comes back, and one that freezes.

Time passes for the operator only as a test says: `Times.later`. The cluster's own time is the real one.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from cvstate_operator.api.vital import Indicator
from cvstate_operator.kube import client as clients
from cvstate_operator.kube import vitals as cluster_vitals
from cvstate_operator.kube.api_quality import ApiQuality
from cvstate_operator.kube.client import Client
from cvstate_operator.kube.connection import connect
from cvstate_operator.kube.vitals import ClusterVitals
from cvstate_operator.vital.reading import Gap, Reading
from tests.cluster.audit import Request
from tests.cluster.control_plane import Cluster
from tests.support.api import Api, Json
from tests.support.objects import RBAC, deployment, manifest

pytestmark = pytest.mark.integration

FATE = "test.cvstate.io/fate"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
NOWHERE = {"no": "such"}
POD_INDICATORS = (Indicator.RESTARTS, Indicator.EVICTIONS, Indicator.PODS_PENDING, Indicator.SCHEDULING_SECONDS)
NAMESPACED = (*POD_INDICATORS, Indicator.VOLUMES_BOUND, Indicator.QUOTA_USED)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster with controllers and two simulated nodes."""
    with Cluster.start(nodes=2) as running:
        yield running


@pytest.fixture(scope="module")
def api(cluster: Cluster) -> Api:
    return Api(cluster.admin_kubeconfig)


class Times:
    """The operator's clock, ahead of the real one."""

    ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def later(self, **span: float) -> None:
        self.ahead += timedelta(**span)


Begin = Callable[..., Awaitable[ClusterVitals]]


@pytest.fixture
def times() -> Times:
    return Times()


@pytest.fixture
async def begin(cluster: Cluster, times: Times) -> AsyncIterator[Begin]:
    """Makes cluster vitals, by default as the operator's user."""
    async with AsyncExitStack() as stack:
        # aiohttp's connections end a moment after it is told to close them (its documentation, "Graceful Shutdown").
        stack.push_async_callback(asyncio.sleep, 0.1)

        async def begun(kubeconfig: Path = cluster.operator_kubeconfig) -> ClusterVitals:
            quality = ApiQuality()
            connection = await connect(kubeconfig)
            stack.push_async_callback(connection.close)
            client = Client(connection, observe=quality.observe_request)
            stack.push_async_callback(client.close)
            vitals = ClusterVitals(client, quality, clock=times)
            stack.push_async_callback(vitals.close)
            return vitals

        yield begun


def namespace(api: Api, name: str) -> frozenset[str]:
    api.create("/api/v1/namespaces", manifest("Namespace", name))
    return frozenset({name})


async def read(vitals: ClusterVitals, indicator: Indicator, names: frozenset[str] = frozenset(), *, owner: str = "shop") -> Reading:
    return await vitals.read(indicator, names, owner=owner, max_age_seconds=0)


async def value(vitals: ClusterVitals, indicator: Indicator, names: frozenset[str] = frozenset()) -> float:
    reading = await read(vitals, indicator, names)
    assert reading.gap is None, reading
    assert reading.high is not None
    return reading.high


async def until(what: str, look: Callable[[], Awaitable[object]], *, seconds: float = 30.0) -> None:
    """Wait until it is true."""
    found: object = None
    try:
        async with asyncio.timeout(seconds):
            while not (found := await look()):
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"not seen within {seconds} s: {what}; last seen: {found!r}") from None


async def reaches(vitals: ClusterVitals, indicator: Indicator, expected: float, names: frozenset[str] = frozenset()) -> None:
    async def look() -> bool:
        return (await read(vitals, indicator, names)).high == expected

    try:
        await until(f"{indicator} is {expected}", look)
    except AssertionError as exc:
        raise AssertionError(f"{exc}: {await read(vitals, indicator, names)}") from None


def pods(api: Api, name: str) -> list[Json]:
    found: list[Json] = api.request("GET", f"/api/v1/namespaces/{name}/pods")[1]["items"]
    return found


def pod(name: str, **spec: Any) -> Json:
    return manifest("Pod", name, spec={"containers": [{"name": "main", "image": "registry.example/app:1"}], **spec})


async def ready(api: Api, name: str, count: int) -> None:
    """Wait until so many Pods are Ready."""

    async def look() -> bool:
        conditions = [c for one in pods(api, name) for c in one["status"].get("conditions", ()) if c["type"] == "Ready"]
        return [c["status"] for c in conditions].count("True") == count

    await until(f"{count} Pods are ready", look)


# -- Pods ----------------------------------------------------------------------------------------------------------------


async def test_restarts_of_a_crash_loop_are_counted_as_they_happen_and_at_the_first_look(api: Api, begin: Begin):
    names = namespace(api, "crashing")
    vitals = await begin()
    assert await value(vitals, Indicator.RESTARTS, names) == 0
    body = deployment("crash", replicas=2)
    body["spec"]["template"]["metadata"]["labels"][FATE] = "crash-loop"
    api.create("/apis/apps/v1/namespaces/crashing/deployments", body)
    await reaches(vitals, Indicator.RESTARTS, 6, names)  # three of each, by the simulated kubelet

    one = pods(api, "crashing")[0]
    again = [{**status, "restartCount": 4} for status in one["status"]["containerStatuses"]]
    api.merge(f"/api/v1/namespaces/crashing/pods/{one['metadata']['name']}/status", {"status": {"containerStatuses": again}})
    await reaches(vitals, Indicator.RESTARTS, 7, names)
    reading = await read(vitals, Indicator.RESTARTS, names)
    assert reading.high_series == f'{{namespace="crashing",pod="{one["metadata"]["name"]}"}}'
    assert await value(await begin(), Indicator.RESTARTS, names) == 7


async def test_evictions_are_counted_also_when_the_pod_is_gone_and_deletes_are_not(api: Api, begin: Begin):
    names = namespace(api, "evicting")
    root = "/api/v1/namespaces/evicting/pods"
    vitals = await begin()
    for name in ("by-api", "by-kubelet", "by-hand"):
        api.create(root, pod(name))
    await ready(api, "evicting", 3)
    assert await value(vitals, Indicator.EVICTIONS, names) == 0

    api.delete(f"{root}/by-hand")
    api.create(f"{root}/by-api/eviction", manifest("Eviction", "by-api", api_version="policy/v1"))
    await reaches(vitals, Indicator.EVICTIONS, 1, names)
    api.merge(f"{root}/by-kubelet/status", {"status": {"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory."}})
    await reaches(vitals, Indicator.EVICTIONS, 2, names)
    assert await value(await begin(), Indicator.EVICTIONS, names) == 1  # of the one that is still there
    api.delete(f"{root}/by-kubelet")

    async def is_empty() -> bool:
        return not pods(api, "evicting")

    await until("all are gone", is_empty)
    assert await value(vitals, Indicator.EVICTIONS, names) == 2


async def test_a_pod_that_fits_nowhere_is_pending_after_a_minute_and_its_wait_is_told_when_it_ends(api: Api, begin: Begin, times: Times):
    names = namespace(api, "pending")
    root = "/api/v1/namespaces/pending/pods"
    vitals = await begin()
    api.create(root, pod("fits"))
    api.create(root, pod("waits", nodeSelector={"room": "yes"}))
    await ready(api, "pending", 1)
    assert await value(vitals, Indicator.PODS_PENDING, names) == 0
    times.later(seconds=61)
    await reaches(vitals, Indicator.PODS_PENDING, 1, names)
    assert (await read(vitals, Indicator.PODS_PENDING, names)).high_series == '{namespace="pending",pod="waits"}'
    assert await value(vitals, Indicator.SCHEDULING_SECONDS, names) >= 61

    times.later(seconds=-61)
    await asyncio.sleep(2)  # times in objects are whole seconds
    node = api.request("GET", "/api/v1/nodes")[1]["items"][0]["metadata"]["name"]
    api.merge(f"/api/v1/nodes/{node}", {"metadata": {"labels": {"room": "yes"}}})
    await ready(api, "pending", 2)
    waited = api.get(f"{root}/waits") or {}
    scheduled = next(c["lastTransitionTime"] for c in waited["status"]["conditions"] if c["type"] == "PodScheduled")
    seconds = (datetime.fromisoformat(scheduled) - datetime.fromisoformat(waited["metadata"]["creationTimestamp"])).total_seconds()
    assert seconds >= 1
    await reaches(vitals, Indicator.SCHEDULING_SECONDS, seconds, names)
    assert await value(await begin(), Indicator.SCHEDULING_SECONDS, names) == seconds
    assert await value(vitals, Indicator.PODS_PENDING, names) == 0


# -- nodes ---------------------------------------------------------------------------------------------------------------


def lease(renewed: datetime) -> Json:
    spec = {"holderIdentity": "a kubelet of ours", "leaseDurationSeconds": 3600, "renewTime": renewed.isoformat(timespec="microseconds")}
    return manifest("Lease", "ours", api_version="coordination.k8s.io/v1", spec=spec)


async def test_a_node_whose_heartbeat_stops_is_not_ready_whatever_its_status_says(api: Api, begin: Begin):
    api.apply(f"{LEASES}/ours", lease(datetime.now(UTC)))  # before the node, so that nobody else takes it for his own
    api.create("/api/v1/nodes", manifest("Node", "ours"))
    vitals = await begin()
    try:
        conditions = [{"type": "Ready", "status": "True", "reason": "Test"}, {"type": "MemoryPressure", "status": "False"}]
        api.merge("/api/v1/nodes/ours/status", {"status": {"conditions": conditions}})
        await reaches(vitals, Indicator.NODES_READY, 1.0)
        assert await value(vitals, Indicator.NODES_UNDER_PRESSURE) == 0

        api.apply(f"{LEASES}/ours", lease(datetime.now(UTC) - timedelta(seconds=90)))
        assert await value(await begin(), Indicator.NODES_READY) == pytest.approx(2 / 3)
        assert (await read(await begin(), Indicator.NODES_READY)).low_series == '{node="ours"}'

        conditions[1]["status"] = "True"
        api.merge("/api/v1/nodes/ours/status", {"status": {"conditions": conditions}})
        await reaches(vitals, Indicator.NODES_UNDER_PRESSURE, 1)
        assert (await read(vitals, Indicator.NODES_UNDER_PRESSURE)).high_series == '{node="ours",condition="MemoryPressure"}'
    finally:
        api.delete("/api/v1/nodes/ours")
    await reaches(vitals, Indicator.NODES_READY, 1.0)


async def test_nodes_without_leases_are_not_ready_when_their_kubelets_stop_though_nobody_changes_their_status(
    cluster: Cluster, api: Api, begin: Begin, times: Times
):
    vitals = await begin()
    await reaches(vitals, Indicator.NODES_READY, 1.0)
    cluster.pause("kwok")
    try:
        times.later(seconds=361)  # the simulated kubelets write a node's status, and no Lease
        assert await value(await begin(), Indicator.NODES_READY) == 0.0
        nodes = api.request("GET", "/api/v1/nodes")[1]["items"]
        assert {c["status"] for node in nodes for c in node["status"]["conditions"] if c["type"] == "Ready"} == {"True"}
    finally:
        cluster.resume("kwok")
    times.later(seconds=-361)
    await reaches(vitals, Indicator.NODES_READY, 1.0)


# -- what namespaces were given ------------------------------------------------------------------------------------------


def claim(name: str, **spec: Any) -> Json:
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "by-hand"}
    return manifest("PersistentVolumeClaim", name, spec={**wanted, **spec})


async def test_claims_count_as_they_are_bound(api: Api, begin: Begin):
    names = namespace(api, "claiming")
    vitals = await begin()
    assert (await read(vitals, Indicator.VOLUMES_BOUND, names)).gap is Gap.NO_DATA
    api.create("/api/v1/namespaces/claiming/persistentvolumeclaims", claim("data"))
    api.create("/api/v1/namespaces/claiming/persistentvolumeclaims", claim("logs"))
    await reaches(vitals, Indicator.VOLUMES_BOUND, 0.0, names)
    # No volume controller runs here; this is what it writes.
    api.merge("/api/v1/namespaces/claiming/persistentvolumeclaims/data/status", {"status": {"phase": "Bound"}})
    await reaches(vitals, Indicator.VOLUMES_BOUND, 0.5, names)
    reading = await read(vitals, Indicator.VOLUMES_BOUND, names)
    assert reading.low_series == '{namespace="claiming",persistentvolumeclaim="logs"}'


async def test_a_quota_fills_and_empties(api: Api, begin: Begin):
    names = namespace(api, "limited")
    vitals = await begin()
    assert (await read(vitals, Indicator.QUOTA_USED, names)).gap is Gap.NO_DATA
    limits = {"hard": {"pods": "4", "requests.memory": "1Gi", "services.loadbalancers": "0"}}
    api.create("/api/v1/namespaces/limited/resourcequotas", manifest("ResourceQuota", "team", spec=limits))
    await reaches(vitals, Indicator.QUOTA_USED, 0.0, names)
    path = "/apis/apps/v1/namespaces/limited/deployments"
    api.create(path, deployment("web", replicas=2))
    await reaches(vitals, Indicator.QUOTA_USED, 0.5, names)
    api.merge(f"{path}/web", {"spec": {"replicas": 6}})
    await reaches(vitals, Indicator.QUOTA_USED, 1.0, names)
    assert (await read(vitals, Indicator.QUOTA_USED, names)).high_series == '{namespace="limited",resourcequota="team",resource="pods"}'
    api.merge(f"{path}/web", {"spec": {"replicas": 0}})
    await reaches(vitals, Indicator.QUOTA_USED, 0.0, names)


# -- what may not be read ------------------------------------------------------------------------------------------------


def account(cluster: Cluster, api: Api, name: str, directory: Path, *rules: Json) -> Path:
    """Kubeconfig of a service account that may do this and nothing else."""
    api.create("/api/v1/namespaces/default/serviceaccounts", manifest("ServiceAccount", name))
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = api.create(f"/api/v1/namespaces/default/serviceaccounts/{name}/token", request)["status"]["token"]
    api.create(f"/apis/{RBAC}/clusterroles", manifest("ClusterRole", name, api_version=RBAC, rules=list(rules)))
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    subjects = [{"kind": "ServiceAccount", "name": name, "namespace": "default"}]
    binding = manifest("ClusterRoleBinding", name, api_version=RBAC, roleRef=reference, subjects=subjects)
    api.create(f"/apis/{RBAC}/clusterrolebindings", binding)
    config = yaml.safe_load(cluster.operator_kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    file = directory / f"{name}.kubeconfig"
    file.write_text(yaml.safe_dump(config))
    return file


async def test_what_may_not_be_read_is_refused_and_never_zero(cluster: Cluster, api: Api, begin: Begin, tmp_path: Path):
    vitals = await begin(account(cluster, api, "nobody", tmp_path))
    for indicator in (*NAMESPACED, Indicator.NODES_READY, Indicator.NODES_UNDER_PRESSURE):
        reading = await read(vitals, indicator, frozenset({"default"}))
        assert (reading.gap, reading.low, reading.high) == (Gap.REFUSED, None, None), indicator
        assert "cannot list resource" in reading.message
    assert (await read(vitals, Indicator.API_ERRORS)).high == 0.0  # a refusal is an answer


async def test_without_leases_the_status_of_nodes_has_to_do(cluster: Cluster, api: Api, begin: Begin, tmp_path: Path):
    rules = {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list", "watch"]}
    vitals = await begin(account(cluster, api, "no-leases", tmp_path, rules))
    await reaches(vitals, Indicator.NODES_READY, 1.0)


# -- what it costs -------------------------------------------------------------------------------------------------------


async def test_only_what_is_asked_for_is_read_and_once_for_all_who_ask(cluster: Cluster, api: Api, begin: Begin):
    names = namespace(api, "shared") | namespace(api, "shared-too")
    mark = cluster.audit.mark()

    def asked() -> list[Request]:
        cluster.audit.mark()
        return cluster.audit.requests(mark, user="cvstate-operator")

    vitals = await begin()
    assert asked() == []
    await asyncio.gather(*(vitals.read(indicator, names, owner="shop", max_age_seconds=30) for indicator in POD_INDICATORS * 5))
    watches = [("watch", "pods", "shared"), ("watch", "pods", "shared-too")]
    lists = [("list", "pods", "shared"), ("list", "pods", "shared-too")]

    async def is_watched() -> bool:
        return sorted((one.verb, one.resource, one.namespace) for one in asked()) == [*lists, *watches]

    await until("two lists and two watches", is_watched)
    await asyncio.gather(*(vitals.read(Indicator.QUOTA_USED, names, owner="shop", max_age_seconds=30) for _ in range(10)))
    await vitals.read(Indicator.QUOTA_USED, frozenset({"shared"}), owner="shop", max_age_seconds=30)
    await vitals.read(Indicator.API_SECONDS, names, owner="shop", max_age_seconds=30)
    found = sorted((one.verb, one.resource, one.namespace) for one in asked())
    assert found == sorted([*lists, *watches, ("list", "resourcequotas", "shared"), ("list", "resourcequotas", "shared-too")])


async def test_what_nobody_asks_for_any_more_is_forgotten(api: Api, begin: Begin, monkeypatch: pytest.MonkeyPatch):
    names = namespace(api, "left")
    monkeypatch.setattr(cluster_vitals, "KEEP_SECONDS", 1.0)
    monkeypatch.setattr(cluster_vitals, "SWEEP_SECONDS", 0.2)
    vitals = await begin()
    await value(vitals, Indicator.RESTARTS, names)
    streams = {task for task in asyncio.all_tasks() if task.get_name().startswith("vital watch")}
    assert len(streams) == 1
    _, running = await asyncio.wait(streams, timeout=10)
    assert not running
    assert await value(vitals, Indicator.RESTARTS, names) == 0  # and begins anew for who asks again


async def test_too_many_namespaces_are_not_followed_in_part(api: Api, begin: Begin, monkeypatch: pytest.MonkeyPatch):
    one, more = namespace(api, "one"), namespace(api, "one-more")
    monkeypatch.setattr(cluster_vitals, "MAX_NAMESPACES", 1)
    vitals = await begin()
    assert (await read(vitals, Indicator.RESTARTS, one | more)).gap is Gap.TOO_MANY_SERIES
    assert await value(vitals, Indicator.RESTARTS, one) == 0  # so there is room for others
    assert (await read(vitals, Indicator.RESTARTS, more, owner="another")).gap is Gap.TOO_MANY_SERIES
    assert await value(vitals, Indicator.RESTARTS, one) == 0


async def test_an_idle_operator_asks_the_api_server_how_it_is(begin: Begin):
    vitals = await begin()
    assert await value(vitals, Indicator.API_ERRORS) == 0.0
    assert 0 < await value(vitals, Indicator.API_SECONDS) < 15


async def test_an_api_server_that_is_away_is_told_and_nothing_is_lost_when_it_is_back(
    cluster: Cluster, api: Api, begin: Begin, times: Times
):
    names = namespace(api, "cut-off")
    root = "/api/v1/namespaces/cut-off/pods"
    api.create(root, pod("web"))
    await ready(api, "cut-off", 1)
    vitals = await begin()
    assert await value(vitals, Indicator.RESTARTS, names) == 0
    assert (await read(vitals, Indicator.QUOTA_USED, names)).gap is Gap.NO_DATA
    cluster.kill("kube-apiserver")
    try:

        async def is_unreachable() -> bool:
            return (await read(vitals, Indicator.QUOTA_USED, names)).gap is Gap.UNREACHABLE

        await until("quotas cannot be read", is_unreachable)
        assert 0 < await value(vitals, Indicator.API_ERRORS) < 1
        known = await read(vitals, Indicator.RESTARTS, names)
        assert known.high == 0  # it is known since a moment ago, and says so
        assert known.taken_at is not None
        assert known.taken_at < times()
        times.later(seconds=80)
        lost = await read(vitals, Indicator.RESTARTS, names)
        assert (lost.gap, lost.low, lost.taken_at) == (Gap.UNREACHABLE, None, known.taken_at)
        nodes = await read(await begin(), Indicator.NODES_READY)
        assert (nodes.gap, nodes.taken_at) == (Gap.UNREACHABLE, None)
    finally:
        cluster.restart("kube-apiserver")
    times.later(seconds=-80)
    statuses = [{"name": "main", "image": "registry.example/app:1", "imageID": "", "ready": True, "restartCount": 2}]
    api.merge(f"{root}/web/status", {"status": {"containerStatuses": statuses}})
    await reaches(vitals, Indicator.RESTARTS, 2, names)


async def test_a_frozen_api_server_is_told_and_keeps_nobody_waiting_who_gives_up(
    cluster: Cluster, api: Api, begin: Begin, times: Times, monkeypatch: pytest.MonkeyPatch
):
    names = namespace(api, "frozen")
    monkeypatch.setattr(clients, "REQUEST_SECONDS", 1.0)
    vitals = await begin()
    assert await value(vitals, Indicator.RESTARTS, names) == 0
    cluster.pause("kube-apiserver")
    try:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await read(vitals, Indicator.QUOTA_USED, names)
        assert (await read(vitals, Indicator.QUOTA_USED, names)).gap is Gap.UNREACHABLE
        assert await value(vitals, Indicator.API_ERRORS) > 0
        assert await value(vitals, Indicator.RESTARTS, names) == 0
        times.later(seconds=80)
        silent = await read(vitals, Indicator.RESTARTS, names)
        assert silent.gap in (Gap.STALE, Gap.UNREACHABLE)  # by whether its watch was open before
        assert silent.high is None
    finally:
        cluster.resume("kube-apiserver")
    times.later(seconds=-80)
    await reaches(vitals, Indicator.RESTARTS, 0, names)

    async def is_answered() -> bool:
        return (await read(vitals, Indicator.QUOTA_USED, names)).gap is Gap.NO_DATA

    await until("quotas are read again", is_answered)
