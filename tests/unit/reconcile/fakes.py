"""Fakes of the pipeline's ports: a Git server, a renderer and a clock that live in memory; and `Stage`, one ClusterState with all of them around it.

The API server is in fake_cluster.py.
"""

import asyncio
import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cvstate_operator import errors
from cvstate_operator.api.clusterstate import ClusterStateSpec, parse_spec
from cvstate_operator.api.source import GitSource
from cvstate_operator.api.vital import Indicator
from cvstate_operator.objects import directives
from cvstate_operator.objects.access import Access
from cvstate_operator.objects.artifact import Artifact, Rendered
from cvstate_operator.objects.identity import ApiResource, GroupKind, Gvk, ObjectRef
from cvstate_operator.objects.manifest import Body, BodyRef, Manifest, Origin
from cvstate_operator.objects.problem import Problem
from cvstate_operator.objects.recipe import Recipe
from cvstate_operator.plan.changes import Action
from cvstate_operator.plan.desired import Desired
from cvstate_operator.plan.prune import AGREEING_SECONDS
from cvstate_operator.reconcile import events, plan_report, report
from cvstate_operator.reconcile.decide_stage import DecideStage, Decision
from cvstate_operator.reconcile.live_index import LiveIndex
from cvstate_operator.reconcile.outcome import Outcome
from cvstate_operator.reconcile.pipeline import Pipeline
from cvstate_operator.reconcile.ports import Consents, ParentMetadata, Server, World
from cvstate_operator.reconcile.source_stage import News
from cvstate_operator.reconcile.stages import Identity
from cvstate_operator.vital import saved
from cvstate_operator.vital.health.children import Child
from cvstate_operator.vital.objectives import slo_queries
from cvstate_operator.vital.objectives.slo_queries import Answer, BudgetQuery, Side
from cvstate_operator.vital.reading import Gap, Reading, gap
from tests.unit.builders import OWNER, artifact, rendered
from tests.unit.reconcile.fake_cluster import FakeCluster

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
    unbuilt: set[str] = field(default_factory=set)
    """Commits that cannot be rendered."""
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

    def commit(self, *bodies: Body, problems: Sequence[Problem] = (), elsewhere: bool = False) -> None:
        """Push a commit that declares exactly these objects, with `problems` of the render; `elsewhere`: it changed only what is outside of the path."""
        number = len(self._rendered) + 1
        before, self.head = self.head, artifact(f"{number:040}")
        if elsewhere and before:
            self.head = replace(self.head, directory=before.directory)
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
        if git.ref.commit:
            raise errors.FetchFailedError("the server has no such commit")
        assert self.head is not None
        return known if known and known.commit == self.head.commit else self.head

    async def recall(self, git: GitSource, *, access: Access, commit: str) -> Artifact:
        if commit not in self.kept:
            raise errors.FetchFailedError("the cached repository lacks what is needed")
        return self.kept[commit]

    def forget(self, artifact: Artifact) -> None:
        self.forgotten.append(artifact)

    async def render(self, artifact: Artifact, recipe: Recipe, *, previous: Rendered | None, tenant: str) -> Rendered:
        self.renders += 1
        self.recipes.append(recipe)
        if self.build_error:
            raise self.build_error
        if artifact.commit in self.unbuilt:
            raise errors.BuildFailedError("it cannot be built")
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


@dataclass
class FakeReporter:
    """Remembers what is reported."""

    parents: list[ParentMetadata] = field(default_factory=list)
    statuses: list[Mapping[str, Any]] = field(default_factory=list)
    events: list[tuple[str, str, str]] = field(default_factory=list)
    correlation_ids: list[str] = field(default_factory=list)
    """Of each event."""
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

    def event(self, *, kind: str, reason: str, message: str, correlation_id: str = "") -> None:
        self.events.append((kind, reason, message))
        self.correlation_ids.append(correlation_id)


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

    def remedied(self, *, action: str, severity: str, seconds: float) -> None:
        self.counted.append(("remedied", action, seconds))

    def repaired(self, *, seconds: float) -> None:
        self.counted.append(("repaired", seconds))

    def budgets(self, *, left: float | None, burn_rate: float | None, exhausted_in: float | None) -> None:
        self.counted.append(("budgets", left, burn_rate, exhausted_in))


@dataclass
class FakeTelemetry:
    """A Prometheus, and a cluster that is counted, whose answers the test says."""

    clock: FakeClock
    values: dict[str, float | tuple[float, ...] | Gap] = field(default_factory=dict)
    """By query, or by indicator: the value, those of several series, or why there is none. What is not here gives no data."""
    samples: dict[str, float | Mapping[float, float] | Gap] = field(default_factory=dict)
    """For SLOs, by the good query: share of errors in every window, or by its length in seconds where there are any; or why there is none."""
    age: float = 0.0
    """Of the newest sample, seconds."""
    asked: list[str] = field(default_factory=list)
    answers: asyncio.Event | None = None
    """Answers come when this is set; None: at once."""

    async def read(
        self,
        server: Server,
        query: str,
        *,
        timeout_seconds: float,
        max_age_seconds: float,
        stale_after_seconds: float,
    ) -> Reading:
        if self.answers:
            await self.answers.wait()
        return self._reading(query)

    async def indicator(self, indicator: Indicator, namespaces: frozenset[str], *, owner: str, max_age_seconds: float) -> Reading:
        return self._reading(indicator)

    async def answer(self, server: Server, query: BudgetQuery, *, timeout_seconds: float) -> Answer:
        self.asked.append(query.text)
        now = self.clock.now()
        ratio = next((found for good, found in self.samples.items() if good in query.text), Gap.NO_DATA)
        if isinstance(ratio, Gap):
            return slo_queries.no_answer(query, ratio, "no answer", asked_at=now)
        series: list[tuple[dict[str, str], float]] = []
        for window in query.windows:
            marks = {slo_queries.WINDOW_LABEL: saved.length_text(window)}
            share = ratio.get(window, 0.0) if isinstance(ratio, Mapping) else ratio
            series.append(({**marks, slo_queries.SIDE_LABEL: Side.GOOD}, 1e6 * (1 - share)))
            series.append(({**marks, slo_queries.SIDE_LABEL: Side.TOTAL}, 1e6))
        series.append(({slo_queries.SIDE_LABEL: Side.TAKEN}, now.timestamp() - self.age))
        return slo_queries.answer(query, series, asked_at=now)

    def _reading(self, what: str) -> Reading:
        self.asked.append(what)
        now, value = self.clock.now(), self.values.get(what, Gap.NO_DATA)
        if isinstance(value, Gap):
            return gap(value, "no answer", asked_at=now)
        found = value if isinstance(value, tuple) else (value,)
        return Reading(now, min(found), max(found), taken_at=now - timedelta(seconds=self.age))


@dataclass
class FakeCauses:
    """Says of every workload the same."""

    children: tuple[Child, ...] = ()
    error: errors.CvstateError | None = None
    asked: list[ObjectRef] = field(default_factory=list)

    async def explain(self, resource: ApiResource, ref: ObjectRef) -> tuple[Child, ...]:
        self.asked.append(ref)
        if self.error:
            raise self.error
        return self.children


class Stage:
    """One ClusterState with everything around it."""

    def __init__(self, *, writers: int = 4, known_kinds: frozenset[GroupKind] = frozenset()) -> None:
        self.git = FakeGit()
        self.references = FakeReferences()
        self.clock = FakeClock()
        self.reporter = FakeReporter()
        self.meter = FakeMeter()
        self.telemetry = FakeTelemetry(self.clock)
        self.causes = FakeCauses()
        self.elsewhere: set[str] = set()
        """ApplySets of ClusterStates that another replica has."""
        self.powerless: set[str] = set()
        """ApplySets of ClusterStates whose account may write nothing."""
        self.asked: list[tuple[str, str]] = []
        """Whose rights were asked for, and the name of the object."""
        self.index = LiveIndex(self._touched, now=self.clock.now, is_elsewhere=self.elsewhere.__contains__)
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

    async def _may_have(self, owner: str, resource: ApiResource, ref: ObjectRef) -> bool:
        self.asked.append((owner, ref.name))
        return owner not in self.powerless

    def restart(
        self,
        *,
        known_kinds: frozenset[GroupKind] = frozenset(),
        known_namespaces: frozenset[str] = frozenset(),
        status: Mapping[str, Any] | None = None,
        generation: int | None = None,
    ) -> None:
        """The operator starts anew: it remembers nothing but `status`, and the cluster is as it was. `generation`: of the ClusterState by now."""
        self.index = LiveIndex(self._touched, now=self.clock.now, is_elsewhere=self.elsewhere.__contains__)
        old, self.cluster = self.cluster, FakeCluster(self.index)
        vars(self.cluster).update({k: v for k, v in vars(old).items() if k not in ("index", "_watched")})
        self.cluster.time = lambda: self.clock.now().isoformat().replace("+00:00", "Z")
        self.world = World(
            source=self.git,
            renderer=self.git,
            references=self.references,
            cluster=self.cluster,
            home=self.cluster,
            index=self.index,
            telemetry=self.telemetry,
            causes=self.causes,
            reporter=self.reporter,
            meter=self.meter,
            clock=self.clock,
            stopped=lambda: self.stop_reason,
            consents=lambda: Consents(tuple(self.approvals), tuple(self.plans)),
            is_elsewhere=self.elsewhere.__contains__,
            may_have=self._may_have,
            writers=asyncio.Semaphore(self._writers),
            parallel=8,
        )
        self.teller = events.Teller(status or {})
        self.pipeline = Pipeline(
            self.world,
            who=Identity(OWNER, UID, "state", "default"),
            name_owner=lambda owner: f"ClusterState {owner}",
            known_kinds=known_kinds,
            known_namespaces=known_namespaces,
            status=status or {},
            generation=generation,
        )

    async def commit(self, *bodies: Body, problems: Sequence[Problem] = ()) -> Outcome:
        """Push a commit, and let it be fetched and applied."""
        self.git.commit(*bodies, problems=problems)
        await self.look()
        return await self.run()

    async def look(self, *, fresh: bool = True) -> News:
        return await self.pipeline.look(self.spec, fresh=fresh)

    async def run(self, *, full: bool = False, reset: bool = False) -> Outcome:
        """One pass, and what is told of it; `reset`: a person wants another try."""
        self.cluster.writes.clear()
        outcome = await self.pipeline.run(self.spec, full=full, reset=reset)
        before, now = self.status, self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        self.events = list(self.teller.tell(outcome))
        self.status = report.status(outcome, previous=before, generation=1, handled_at=None, now=now)
        return outcome

    async def ask(self) -> bool:
        """Signals, SLOs and causes that are due are asked for."""
        return await self.pipeline.ask(self.spec)

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
        """The ClusterState has these annotations of ours: `rejected`, `released`, `fix`."""
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


async def decide_anew(stage: DecideStage, wanted: Desired, *refs: ObjectRef) -> Decision:
    """Decide on these objects, with nothing that would hold them back."""
    return await stage.decide(
        wanted,
        refs,
        lambda ref: None,
        rules="",
        block=None,
        is_accepted=True,
        pending=(),
        left_as_is=lambda ref: False,
        retry_all=True,
    )
