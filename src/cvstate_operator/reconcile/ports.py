"""Ports: what the pipeline needs of the world, as narrow interfaces. Adapters in source, render, kube and telemetry fill them; tests fill them too."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from cvstate_operator.api.propagation import PropagationPolicy
from cvstate_operator.api.source import GitSource
from cvstate_operator.api.vital import Indicator, Prometheus
from cvstate_operator.errors import CvstateError
from cvstate_operator.objects.access import Access
from cvstate_operator.objects.artifact import Artifact, Rendered
from cvstate_operator.objects.identity import ApiResource, GroupKind, Gvk, ObjectRef
from cvstate_operator.objects.manifest import Body, Manifest, Remade
from cvstate_operator.objects.preview import Preview
from cvstate_operator.objects.recipe import Capabilities, Recipe
from cvstate_operator.plan.adoption import NameOwner, Terms
from cvstate_operator.plan.changes import Change
from cvstate_operator.reconcile.live_index import LiveIndex
from cvstate_operator.reconcile.tracer import NO_TRACES, Tracer
from cvstate_operator.vital.health.children import Child
from cvstate_operator.vital.objectives.slo_queries import Answer, BudgetQuery
from cvstate_operator.vital.reading import Reading


class Source(Protocol):
    """Git."""

    async def fetch(self, git: GitSource, *, access: Access, known: Artifact | None, baseline: str, max_age: float) -> Artifact:
        """The newest commit; `known` itself if that is still the newest.

        Args:
            git: the source.
            access: credentials and keys.
            known: what the caller has.
            baseline: commit that a new one must descend from; empty for none.
            max_age: seconds; what the server said so long ago will do.

        Raises:
            TransientError: the repository could not be read now.
            TerminalError: it could, but not what was asked for.
        """

    async def recall(self, git: GitSource, *, access: Access, commit: str) -> Artifact:
        """A commit that was fetched before, without asking the server.

        Raises:
            CvstateError: it is not kept, or not acceptable.
        """

    def forget(self, artifact: Artifact) -> None:
        """What is kept of an artifact's repository is damaged."""


class Renderer(Protocol):
    """Files to manifests."""

    async def render(self, artifact: Artifact, recipe: Recipe, *, previous: Rendered | None, tenant: str) -> Rendered:
        """Every manifest in the artifact; a bad plain file is a problem in the result and does not stop the others.

        Args:
            artifact: the commit.
            recipe: how.
            previous: an earlier render by the same recipe, so that only what changed is looked at.
            tenant: whose it is; only what belongs to one tenant may share a process.

        Raises:
            BuildFailedError: nothing at all came out.
            CacheLostError: the artifact must be fetched again.
        """

    def body(self, manifest: Manifest) -> Body:
        """The object to apply; the caller may change it."""


class References(Protocol):
    """Secrets and ConfigMaps that specs refer to."""

    async def read(self, kind: str, namespace: str, name: str, *, max_age: float) -> Mapping[str, bytes]:
        """The data of one; may be as old as `max_age` seconds.

        Raises:
            ReferenceMissingError: it does not exist.
            CvstateError: it could not be read.
        """


class Cluster(Protocol):
    """The target cluster."""

    def resource(self, gvk: Gvk) -> ApiResource | None:
        """How a kind is served; None if it is not, as far as is known."""

    def any_version(self, kind: GroupKind) -> ApiResource | None:
        """Some served version of a kind."""

    async def discover(self) -> None:
        """Ask anew which kinds are served."""

    def capabilities(self) -> Capabilities:
        """Its version and everything it serves, as of the last time it was asked."""

    async def observe(
        self, resources: Sequence[ApiResource], *, within: Callable[[GroupKind], Collection[str]]
    ) -> Mapping[GroupKind, CvstateError]:
        """Watch these kinds from now on, and wait until each was listed once. Returns those that cannot be seen, with the reason.

        Args:
            resources: the kinds.
            within: the namespaces in which objects of a kind are, or are to be: nowhere else is looked by an account that may not look everywhere.
        """

    def closed(self) -> Mapping[tuple[GroupKind, str], CvstateError]:
        """Kinds in namespaces that the account may not see, where it sees others, and why."""

    @property
    def is_narrow(self) -> bool:
        """Whether the account sees some namespaces only."""

    def unheard(self) -> Mapping[GroupKind, CvstateError]:
        """Kinds of which the API server has told nothing for too long, and why: nobody knows whether they still are as the index says. The refused ones are among them."""

    async def resync(self, kinds: Sequence[GroupKind], *, since: float) -> None:
        """List these kinds again and compare, but for those that were listed after `since` (monotonic seconds).

        Raises:
            CvstateError: a list failed.
        """

    async def read(self, resource: ApiResource, ref: ObjectRef) -> dict[str, Any] | None:
        """One object as it is now; None if it does not exist.

        Raises:
            CvstateError: it could not be read.
        """

    async def owner_exists(self, owner: str, *, asked_by: str) -> bool:
        """Whether there is a ClusterState, other than the one with the ApplySet id `asked_by`, that an object with this owner belongs to; True if that cannot be told."""

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
        """Carry out a create, update or repair; the object as it is afterwards, None if it was there and the terms leave it as it is.

        Args:
            change: which object, and what is known of it.
            remade: makes the body to send to the object as it turns out to be.
            live: the object, if the body depends on it.
            owner: ApplySet id.
            name_owner: names other ApplySets for people.
            terms: what is done where others have a say.
            digest: to be left on the object.

        Raises:
            CvstateError: it was not applied.
        """

    async def preview(self, manifest: Manifest, body: Body, *, owner: str) -> Preview:
        """What an apply would do; nothing is written.

        Raises:
            CvstateError: the object could not be read.
        """

    async def edit(self, resource: ApiResource, ref: ObjectRef, operations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Change an object by a JSON patch (RFC 6902); the object as it is afterwards.

        Raises:
            CvstateError: it was not changed.
        """

    async def replace(self, change: Change, body: Body) -> None:
        """Delete the object, if it is still the one we know and the API server would take `body` in its place.

        Raises:
            CvstateError: it was not deleted.
        """

    async def prune(self, change: Change, *, propagation: PropagationPolicy) -> bool:
        """Delete the object if it is still the one we know, and still ours, as the API server itself says; False if finalizers keep it for now.

        Raises:
            CvstateError: it was not deleted.
        """


class Home(Protocol):
    """The cluster that the ClusterState itself is in, for what it depends on; the target is another one if its spec says so."""

    def resource(self, gvk: Gvk) -> ApiResource | None:
        """How a kind is served; None if it is not, as far as is known."""

    async def discover(self) -> None:
        """Ask anew which kinds are served."""

    async def read(self, resource: ApiResource, ref: ObjectRef) -> dict[str, Any] | None:
        """One object as it is now; None if it does not exist.

        Raises:
            CvstateError: it could not be read.
        """


@dataclass(frozen=True, slots=True)
class Consents:
    """What people wrote about plans, as it is in the cluster: JSON that anybody may have written."""

    approvals: Sequence[object] = ()
    """StateApprovals of the ClusterState's namespace."""
    plans: Sequence[object] = ()
    """ClusterStatePlans of the ClusterState."""


@dataclass(frozen=True, slots=True)
class ParentMetadata:
    """What an ApplySet parent carries (KEP-3659)."""

    applyset_id: str
    group_kinds: frozenset[GroupKind]
    """Every kind that members may be of; written before the first object of a new kind is."""
    namespaces: frozenset[str] = frozenset()
    """Namespaces besides that of the ClusterState that members may be in, if its account has to look for them one by one; else nobody asks."""


class Reporter(Protocol):
    """Where results go."""

    async def write_parent(self, metadata: ParentMetadata) -> None:
        """Put the ApplySet marks on the ClusterState."""

    async def write_status(self, status: Mapping[str, Any]) -> None:
        """Replace the status."""

    def fault(self, what: str, error: Exception) -> None:
        """Tell the people who build this of an error that nobody foresaw."""

    def event(self, *, kind: str, reason: str, message: str) -> None:
        """Tell people that something happened; `kind` is Normal or Warning."""


@dataclass(frozen=True, slots=True)
class Server:
    """A Prometheus, as one ClusterState may ask it."""

    prometheus: Prometheus
    secret: Mapping[str, bytes] = field(repr=False)
    """The data of the Secret that it names; empty if it names none."""
    namespace: str
    """Of the ClusterState; answers are shared within it only."""


class Telemetry(Protocol):
    """Where signals and SLOs are asked for. Nothing here raises: what cannot be had is a gap."""

    async def read(
        self,
        server: Server,
        query: str,
        *,
        timeout_seconds: float,
        max_age_seconds: float,
        stale_after_seconds: float,
    ) -> Reading:
        """A query's lowest and highest value.

        Args:
            server: where to ask.
            query: PromQL.
            timeout_seconds: for the answer.
            max_age_seconds: an answer that others got so long ago will do.
            stale_after_seconds: data whose newest sample is older is no data.
        """

    async def answer(self, server: Server, query: BudgetQuery, *, timeout_seconds: float) -> Answer:
        """What Prometheus says of an SLO."""

    async def indicator(self, indicator: Indicator, namespaces: frozenset[str], *, owner: str, max_age_seconds: float) -> Reading:
        """What is counted in the cluster for the ClusterState with this ApplySet id, as old as `max_age_seconds` at most; any indicator but PodsReady."""


class Causes(Protocol):
    """Why workloads are not ready."""

    async def explain(self, resource: ApiResource, ref: ObjectRef) -> Sequence[Child]:
        """What is wrong with the Pods of a workload, worst first; empty if nothing is, or if it has none.

        Raises:
            CvstateError: they could not be looked at.
        """


class Clock(Protocol):
    """Time and chance, so that the pipeline itself has none."""

    def monotonic(self) -> float:
        """Seconds that only go forward."""

    def now(self) -> datetime:
        """The time of day, UTC."""

    def random(self) -> float:
        """From 0 to 1."""

    async def sleep(self, seconds: float) -> None:
        """Let others work meanwhile."""


class Meter(Protocol):
    """What is counted of one ClusterState."""

    def fetched(self, *, result: str, seconds: float) -> None:
        """The source was asked; `result` is ok or a reason."""

    def reconciled(self, *, result: str, seconds: float) -> None:
        """A pass ended."""

    def changed(self, *, kind: str, action: str, result: str) -> None:
        """An object was written, or could not be."""

    def drifted(self, *, kind: str, severity: str) -> None:
        """A field was found drifted."""

    def remedied(self, *, action: str, severity: str, seconds: float) -> None:
        """A field that drifted is as declared again, whoever did it, so long after it was first seen."""

    def repaired(self, *, seconds: float) -> None:
        """A drifted object is as desired again, so long after it was noticed."""

    def budgets(self, *, left: float | None, burn_rate: float | None, exhausted_in: float | None) -> None:
        """The error budgets by the newest answers: the least that is left, the highest burn rate, and the seconds until the first is used up."""


@dataclass(frozen=True, slots=True)
class World:
    """Everything outside the pipeline."""

    source: Source
    renderer: Renderer
    references: References
    cluster: Cluster
    home: Home
    index: LiveIndex
    telemetry: Telemetry
    causes: Causes
    reporter: Reporter
    meter: Meter
    clock: Clock
    stopped: Callable[[], str]
    """Why nothing may be written in the whole cluster; empty if it may. Asked before each write."""
    consents: Callable[[], Consents]
    """What people agreed to."""
    is_elsewhere: Callable[[str], bool]
    """Whether an ApplySet is a ClusterState's that another replica of the operator has."""
    may_have: Callable[[str, ApiResource, ObjectRef], Awaitable[bool]]
    """Whether the ClusterState of an ApplySet id may write an object, as the account that it names: only then is the object kept for it. True if that cannot be told now."""
    writers: AbstractAsyncContextManager[object]
    """Limits how many objects are written at a time, over all ClusterStates of the process."""
    parallel: int
    """How many of one ClusterState at most."""
    tracer: Tracer = NO_TRACES
    """Told of the parts of passes and looks."""
