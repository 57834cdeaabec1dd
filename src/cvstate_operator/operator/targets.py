"""Targets: the clusters that ClusterStates are about, each as one account sees it.

Everything that a ClusterState reads and writes, but for itself, goes through its target: as the account that it names, in this cluster or in the one of its kubeconfig.
Those of one account and one cluster share a target: its watches, what is known of its objects, and its connections. One that nobody uses any more is closed.

| | who acts in the target cluster | who reads Secrets and ConfigMaps that the spec names |
|---|---|---|
| serviceAccountName | that account, impersonated | that account |
| target.kubeConfig | whoever the kubeconfig says | the account of serviceAccountName |
| neither | the operator itself, if its owner allows that | likewise |
"""

import asyncio
import random
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cvstate_operator import errors
from cvstate_operator.api import names
from cvstate_operator.api.clusterstate import ClusterStateSpec
from cvstate_operator.kube.api_quality import ApiQuality
from cvstate_operator.kube.children import Children as WorkloadChildren
from cvstate_operator.kube.client import Client, Observe
from cvstate_operator.kube.cluster import Cluster
from cvstate_operator.kube.connection import Connection
from cvstate_operator.kube.discovery import Discovery
from cvstate_operator.kube.intake import MAX_SNAPSHOT_BYTES, Intake
from cvstate_operator.kube.pace import Pace
from cvstate_operator.kube.references import References
from cvstate_operator.kube.remote_client import RemoteClient
from cvstate_operator.kube.vitals import ClusterVitals
from cvstate_operator.kube.wire import Fence
from cvstate_operator.objects import ownership
from cvstate_operator.objects.address import AddressPolicy
from cvstate_operator.objects.identity import ApiResource, GroupKind, Gvk, ObjectRef
from cvstate_operator.objects.ownership import OwnerLabels
from cvstate_operator.operator.clock import SystemClock
from cvstate_operator.operator.place import Place, place_of
from cvstate_operator.operator.rights import Rights
from cvstate_operator.operator.telemetry import Telemetry
from cvstate_operator.reconcile.claims import Claims
from cvstate_operator.reconcile.live_index import LiveIndex
from cvstate_operator.settings import Settings
from cvstate_operator.telemetry.prometheus import PrometheusClient

_SYSTEM: Final = "/api/v1/namespaces/kube-system"
"""Its uid is what tells a cluster from all others: it is made with the cluster, and cannot be deleted. Source: OpenTelemetry, resource attribute k8s.cluster.uid."""

HERE: Final = ""
"""Claims of this cluster; those of others go by where their kubeconfig stands."""


@dataclass(slots=True)
class Target:
    """One cluster, as one account sees it."""

    place: Place
    cluster: Cluster
    home: "Home"
    index: LiveIndex
    references: References
    telemetry: Telemetry
    causes: WorkloadChildren
    writers: Pace
    clients: tuple[Client, ...]
    """What it opened, to be closed with it."""
    users: int = 0

    async def close(self) -> None:
        """End its watches and connections."""
        await self.telemetry.close()
        await self.cluster.close()
        for client in self.clients:
            await client.close()


class Home:
    """This cluster, for what a ClusterState depends on: other ClusterStates are read with the operator's own rights, everything else as its account."""

    def __init__(self, client: Client, account: Client, discovery: Discovery) -> None:
        self._client = client
        self._account = account
        self._discovery = discovery

    def resource(self, gvk: Gvk) -> ApiResource | None:
        """See the port."""
        return self._discovery.resource(gvk)

    async def discover(self) -> None:
        """See the port."""
        await self._discovery.refresh()

    async def read(self, resource: ApiResource, ref: ObjectRef) -> dict[str, Any] | None:
        """See the port."""
        client = self._client if resource.gvk.group == names.GROUP else self._account
        return await client.get(resource.path(ref.namespace, ref.name))


@dataclass(frozen=True, slots=True)
class Ears:
    """Who is told of what happens in targets."""

    touched: Callable[[Place, str, ObjectRef], None]
    """An object of an ApplySet changed in a way that matters, as seen from a place."""
    freed: Callable[[str, ObjectRef], None]
    """Another ClusterState would delete an object that this ApplySet declares."""
    hurry: Callable[[str], object]
    """A ClusterState is to ask its source at once."""
    doubtful: Callable[[Place, Collection[GroupKind]], None]
    """Kinds came into doubt at a place, or are heard again."""


class Targets:
    """Of one process."""

    def __init__(
        self,
        settings: Settings,
        client: Client,
        connection: Connection,
        *,
        ears: Ears,
        pace: Pace,
        quality: ApiQuality,
        prometheus: PrometheusClient,
        addresses: AddressPolicy,
        prometheus_addresses: AddressPolicy,
        observe: Observe,
        observe_remote: Observe,
        fence: Fence,
        is_required: bool,
        is_elsewhere: Callable[[str], bool],
    ) -> None:
        """
        Args:
            settings: of the operator.
            client: of this cluster, with the operator's own rights.
            connection: that it uses.
            ears: who is told.
            pace: how many objects of this cluster are written at a time.
            quality: counts the requests of this cluster.
            prometheus: shared by all.
            addresses: which remote API servers may be asked.
            prometheus_addresses: which Prometheus may be.
            observe: told of every request to this cluster in the name of accounts.
            observe_remote: told of every request to another one.
            fence: as of any client.
            is_required: whether ClusterStates have to name an account.
            is_elsewhere: whether another replica has the ClusterState of an ApplySet id.
        """
        self._settings = settings
        self._client = client
        self._connection = connection
        self._ears = ears
        self._pace = pace
        self._quality = quality
        self._prometheus = prometheus
        self._addresses = addresses
        self._prometheus_addresses = prometheus_addresses
        self._observe = observe
        self._observe_remote = observe_remote
        self._fence = fence
        self._is_required = is_required
        self._is_elsewhere = is_elsewhere
        self.discovery = Discovery(client)
        """What this cluster serves; asked by the operator itself, for all accounts."""
        self._hub = ownership.hub_of(settings.cluster_id) if settings.cluster_id else ""
        """What this cluster is called in labels in others; empty as long as that is not known."""
        self._unnamed = "it was not asked for yet"
        """Why it is not known."""
        self.rights = Rights(self._account, client)
        """What accounts may write in this cluster."""
        self._targets: dict[Place, Target] = {}
        self._claims: dict[str, Claims] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Learn what this cluster serves, and what tells it from others.

        Raises:
            CvstateError: it cannot be asked. That it does not let us see the latter is the fault of those alone who act in other clusters.
        """
        await self.discovery.refresh()
        if self._hub:
            return
        try:
            found = await self._client.get(_SYSTEM)
        except errors.ForbiddenError as exc:
            self._unnamed = exc.message.rpartition("; ")[0]
            return
        if found:
            self._hub = ownership.hub_of(found["metadata"]["uid"])
        else:
            self._unnamed = "this cluster has no namespace kube-system"

    def place(self, spec: ClusterStateSpec, namespace: str) -> Place:
        """Where a ClusterState acts, and as whom.

        Raises:
            ServiceAccountRequiredError: it has to name an account.
        """
        return place_of(spec, namespace, default_account=self._settings.default_service_account, is_required=self._is_required)

    def take(self, place: Place) -> Target:
        """The target of one more user; opened if nobody had it."""
        target = self._targets.get(place)
        if target is None:
            target = self._targets[place] = self._open(place)
        target.users += 1
        return target

    def leave(self, target: Target) -> None:
        """One user less; the last one closes it."""
        target.users -= 1
        if not target.users and self._targets.get(target.place) is target:
            del self._targets[target.place]
            self._forget_claims()
            task = asyncio.create_task(target.close(), name="close a target")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def gone(self, owner: str, *, but: Claims | None = None) -> None:
        """A ClusterState has no say any more in what is deleted, in any cluster `but` the one of these claims."""
        for claims in self._claims.values():
            if claims is not but:
                claims.leave(owner)
        self._forget_claims()

    def _forget_claims(self) -> None:
        """Drop those of clusters that no ClusterState is about any more."""
        used = {place.kubeconfig or HERE for place in self._targets}
        self._claims = {cluster: claims for cluster, claims in self._claims.items() if claims.is_used or cluster in used}

    def of_cluster(self, place: Place) -> Claims:
        """Who declares which objects of the cluster of a place: all who act there share it, whoever they act as."""
        cluster = place.kubeconfig or HERE
        if cluster not in self._claims:
            self._claims[cluster] = Claims(hurry=self._ears.hurry, freed=self._ears.freed)
        return self._claims[cluster]

    def move_about(self, now: float) -> None:
        """Other replicas came or went (monotonic seconds)."""
        for claims in self._claims.values():
            claims.move_about(now)

    @property
    def waiting(self) -> int:
        """Objects that wait for their turn to be written, in all clusters."""
        return self._pace.waiting + sum(
            target.writers.waiting for target in tuple(self._targets.values()) if target.writers is not self._pace
        )

    def remote(self) -> Mapping[bool, int]:
        """How many remote clusters there are, by whether they can be reached now."""
        found = [
            not target.cluster.unheard() and target.cluster.capabilities().kube_version != ""
            for target in self._targets.values()
            if target.place.kubeconfig
        ]
        return {True: sum(found), False: len(found) - sum(found)}

    def tidy(self) -> None:
        """Forget Secrets and ConfigMaps that were read too long ago. To be called now and then: where nothing is read, nothing else does."""
        for target in self._targets.values():
            target.references.tidy()

    async def close(self) -> None:
        """Close everything."""
        closing = (target.close() for target in self._targets.values())
        await asyncio.gather(*closing, *self._closing, self.rights.close(), return_exceptions=True)
        self._targets.clear()

    # -- opening ---------------------------------------------------------------------------------------------------

    def _open(self, place: Place) -> Target:
        account = self._account(place.account)
        opened = () if account is self._client else (account,)
        references = References(account)
        pace, client, quality = self._pace, account, self._quality
        if place.kubeconfig:
            pace = Pace(initial=self._settings.writers, limit=self._settings.writers, clock=time.monotonic, random=random.random)
            quality = ApiQuality()
            client = self._remote(place, references, pace, quality)
            opened = (*opened, client)
        labels = OwnerLabels(self._hub) if place.kubeconfig else ownership.HOME
        index = LiveIndex(
            lambda owner, ref: self._ears.touched(place, owner, ref),
            now=SystemClock().now,
            claims=self.of_cluster(place),
            labels=labels,
            is_elsewhere=self._is_elsewhere,
            snapshot_bytes=MAX_SNAPSHOT_BYTES if place.kubeconfig else None,
        )
        cluster = Cluster(
            client,
            Intake(index) if place.kubeconfig else index,
            doubtful=lambda kinds: self._ears.doubtful(place, kinds),
            discovery=None if place.kubeconfig else self.discovery,
            owners=client if place.kubeconfig else self._client,
            labels=labels,
        )
        return Target(
            place,
            cluster,
            Home(self._client, account, self.discovery),
            index,
            references,
            Telemetry(self._prometheus, ClusterVitals(client, quality), self._prometheus_addresses),
            WorkloadChildren(client),
            pace,
            opened,
        )

    def _account(self, account: str) -> Client:
        """A client of this cluster in the name of an account."""
        if not account:
            return self._client
        namespace, _, name = account.partition("/")
        user = f"system:serviceaccount:{namespace}:{name}"
        return Client(self._connection, observe=self._observe, pace=self._pace, act_as=user, fence=self._fence)

    def _remote(self, place: Place, references: References, pace: Pace, quality: ApiQuality) -> RemoteClient:
        """A client of the cluster of a kubeconfig, read with the rights of the account."""
        namespace, name, key = place.kubeconfig.split("/", 2)

        async def read(max_age: float) -> bytes:
            if not self._hub:
                raise errors.ForbiddenError(
                    f"nothing tells this cluster's objects in others from those of a namesake: {self._unnamed}; let the operator get namespace kube-system, or give "
                    "it --cluster-id, and start it again"
                )
            data = await references.read("Secret", namespace, name, max_age=max_age)
            if key not in data:
                raise errors.ReferenceMissingError(
                    f"Secret {namespace}/{name} has no key {key}; add it, or correct spec.target.kubeConfig.secretRef.key"
                )
            return data[key]

        def observe(*, action: str, result: str, seconds: float) -> None:
            self._observe_remote(action=action, result=result, seconds=seconds)
            quality.observe_request(action=action, result=result, seconds=seconds)

        return RemoteClient(
            read,
            where=f"Secret {namespace}/{name}, key {key}",
            policy=self._addresses,
            observe=observe,
            pace=pace,
            fence=self._fence,
            tenant=namespace,
            user_agent=self._connection.user_agent,
        )
