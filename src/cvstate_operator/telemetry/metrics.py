"""Metrics: every number we tell about ourselves, with its unit in its name and labels from small fixed sets.

`namespace` and `name` are those of the ClusterState; series of a ClusterState disappear with it. docs/metrics.md lists them all (a test keeps it in step), and
docs/slis.md says which indicator is told by which.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from cvstate_operator import errors
from cvstate_operator.plan.history import Entry
from cvstate_operator.telemetry.exposition import Writer
from cvstate_operator.telemetry.owned_series import Metric
from cvstate_operator.telemetry.pass_results import result_of
from cvstate_operator.telemetry.process_metrics import HOME, ProcessMetrics
from cvstate_operator.telemetry.rollout_metrics import KindWords, RolloutMetrics, Rollouts, Step
from cvstate_operator.telemetry.standing_metrics import Standing, StandingMetrics
from cvstate_operator.telemetry.vital_metrics import VitalMetrics
from cvstate_operator.telemetry.work_metrics import WorkMetrics

__all__ = ["ClusterStateMeter", "Described", "Metrics", "Standing", "Step"]


class Described(NamedTuple):
    """One metric as the reference tells it."""

    name: str
    """Without the suffix `_total` of counters."""
    type: str
    labels: tuple[str, ...]
    meaning: str


class Metrics(ProcessMetrics):
    """All metrics of one process, in a registry of their own."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for every counter, of which nobody asks
        self.registry = CollectorRegistry()
        super().__init__(self.registry)
        self.kinds = KindWords()
        self.work = WorkMetrics(self.registry)
        self.rollouts = RolloutMetrics(self.registry, self.kinds)
        self.standing = StandingMetrics(self.registry)
        self.vital = VitalMetrics(self.registry)
        others = CollectorRegistry()
        others.register(self.process)
        self._writer = Writer(tuple(self._all()), others)

    def described(self) -> tuple[Described, ...]:
        """What each metric of ours is, for the reference."""
        return tuple(Described(m._name, m._type, m._labelnames, m._documentation) for m in self._all())

    def described_process(self) -> tuple[Described, ...]:
        """The same of those that every Prometheus client has; empty where the system has no /proc."""
        return tuple(Described(found.name, found.type, (), found.documentation) for found in self.process.collect())

    def expose(self) -> bytes:
        """The text that Prometheus scrapes; for one thread at a time (`exposition.Exposition`)."""
        return self._writer.write()

    def _all(self) -> Iterator[Metric]:
        return (metric for group in (self, self.work, self.rollouts, self.standing, self.vital) for metric in _metrics_of(group))


class ClusterStateMeter:
    """The metrics of one ClusterState; see the port Meter in reconcile/ports.py."""

    def __init__(self, metrics: Metrics, *, namespace: str, name: str, target: str = HOME) -> None:
        self._metrics = metrics
        self._target = target
        self.worked_at = time.monotonic()
        """When something was last done for it: a pass or look that ended, an object that was written."""
        self._owner = owner = (namespace, name)
        self._rollouts = Rollouts(metrics.rollouts, owner)
        metrics.work.begin(owner)
        metrics.rollouts.begin(owner)

    # -- what happens ------------------------------------------------------------------------------------------------

    def fetched(self, *, result: str, seconds: float) -> None:
        """The source was asked; `result` is ok or a reason."""
        work, standing = self._metrics.work, self._metrics.standing
        work.own.of(work.fetches, self._owner, result).inc()
        work.own.of(work.fetch_seconds, self._owner).observe(seconds)
        standing.tell_look(self._owner, result)
        self.worked_at = time.monotonic()

    def reconciled(self, *, result: str, seconds: float) -> None:
        """A pass ended; `result` is ok, or why the ClusterState is not Ready."""
        work = self._metrics.work
        work.own.of(work.reconciles, self._owner, result).inc()
        work.own.of(work.results, self._owner, result_of(result)).inc()
        work.own.of(work.reconcile_seconds, self._owner).observe(seconds)
        self.worked_at = time.monotonic()

    def refused(self, *, reason: str) -> None:
        """The spec was refused, and no pass was made."""
        work = self._metrics.work
        work.own.of(work.reconciles, self._owner, reason).inc()
        work.own.of(work.results, self._owner, result_of(reason)).inc()
        self._metrics.standing.end_failing(self._owner)
        self.worked_at = time.monotonic()

    def changed(self, *, kind: str, action: str, result: str) -> None:
        """An object was written, or could not be."""
        work = self._metrics.work
        work.own.of(work.changes, self._owner, self._metrics.kinds.of(kind), action, result).inc()
        if result == errors.AdmissionDeniedError.reason:
            work.own.of(work.denials, self._owner).inc()
        self.worked_at = time.monotonic()

    def drifted(self, *, kind: str, severity: str) -> None:
        """A field was found drifted."""
        work = self._metrics.work
        work.own.of(work.drift, self._owner, self._metrics.kinds.of(kind), severity).inc()
        work.own.of(work.drift_events, self._owner, severity).inc()

    def remedied(self, *, action: str, severity: str, seconds: float) -> None:
        """A field that drifted is as declared again, whoever did it."""
        work = self._metrics.work
        work.own.of(work.remedy_seconds, self._owner, action).observe(seconds)
        work.remedy_seconds_by_severity.labels(action, severity).observe(seconds)

    def repaired(self, *, seconds: float) -> None:
        """A drifted object is as desired again, so long after it was noticed."""
        work = self._metrics.work
        work.own.of(work.repair_seconds, self._owner).observe(seconds)

    def budgets(self, *, left: float | None, burn_rate: float | None, exhausted_in: float | None) -> None:
        """The error budgets by the newest answers."""
        self._metrics.vital.tell_budgets(self._owner, left=left, burn_rate=burn_rate, exhausted_in=exhausted_in)

    # -- where it stands ---------------------------------------------------------------------------------------------

    def recall(self, history: Sequence[Entry]) -> None:
        """What an earlier life of the operator told of roll-outs: what ended then is not counted again."""
        self._rollouts.recall(history)

    def stepped(self, step: Step) -> None:
        """What a pass did for its roll-out."""
        self._rollouts.follow(step)

    def stands(self, standing: Standing) -> None:
        """Where the ClusterState stands after a pass."""
        self._metrics.standing.tell(self._owner, standing)
        self._metrics.vital.tell(self._owner, standing.vital)

    def status(self, told: Mapping[str, Any]) -> None:
        """What the status says now, also where no pass came to its end; after `stands`, if there is one."""
        self._metrics.standing.tell_status(self._owner, told, target=self._target)
        self._metrics.vital.tell_status(self._owner, told)

    def close(self) -> None:
        """The ClusterState is gone; so are its series."""
        for group in (self._metrics.work, self._metrics.rollouts, self._metrics.vital):
            group.own.forget(self._owner)
        self._metrics.standing.forget(self._owner)


def _metrics_of(group: object) -> Iterator[Metric]:
    """What a group holds."""
    return (each for each in vars(group).values() if isinstance(each, Counter | Gauge | Histogram))
