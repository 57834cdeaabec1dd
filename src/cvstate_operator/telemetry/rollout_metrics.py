"""The metrics of roll-outs: how they end, how long a change takes from its commit, and how long objects of a kind take.

Input is what each pass tells at its end: the history (`plan/history.py`), what it wrote, and what is not ready. Histograms are of the whole process: one for each
ClusterState would cost more series than all the rest, and quantiles of a few roll-outs a week say nothing.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from prometheus_client import CollectorRegistry, Histogram

from cvstate_operator.objects.identity import GroupKind, ObjectRef
from cvstate_operator.plan.history import Entry, Stage
from cvstate_operator.telemetry.owned_series import OwnedSeries, Owner

LEAD_BUCKETS: Final = (1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 14400.0, 86400.0, 604800.0)
"""Seconds: from what a push takes, by a webhook a second or two, to what a review and a change window take. A quantile is found within its bucket by proportion, so that the first
one has to end where the fastest changes do."""
CONVERGENCE_BUCKETS: Final = (0.05, 0.25, 1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)
"""Seconds: a write takes milliseconds, a roll-out of Pods minutes; 600 is the default progressDeadlineSeconds of a Deployment."""
MAX_KINDS: Final = 150
"""Kinds that are told apart in all metrics of the process; a cluster with a dozen operators uses about a hundred."""
OTHER: Final = "Other"
"""All kinds after these."""

_ENDS: Final = (Stage.HEALTHY, Stage.UNHEALTHY, Stage.SUPERSEDED)


class Way(StrEnum):
    """Where a roll-out leads; a metric label. The words of `spec.windows`."""

    FORWARD = "NewRevision"
    BACK = "Rollback"
    """To a revision that was healthy before."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a pass did for its roll-out, as far as it is counted."""

    history: Sequence[Entry] = ()
    """Newest first."""
    committed_at: datetime | None = None
    """When the commit was made that the pass is about, by its committer date; None if there is none."""
    written: Mapping[ObjectRef, float] = field(default_factory=dict)
    """Objects that were created or updated, and how many seconds after that was due."""
    gone: Collection[ObjectRef] = ()
    """Objects that were deleted."""
    unready: Callable[[], Collection[ObjectRef]] = tuple
    """Objects that are not ready; asked for only while one of those that were written is waited for."""
    blind: Collection[GroupKind] = ()
    """Kinds of which nobody knows how their objects are."""


class KindWords:
    """Kinds as label values: the first MAX_KINDS that come, and one word for all others, whatever anybody commits."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def of(self, kind: str) -> str:
        """The word for a kind."""
        if kind not in self._known:
            if len(self._known) >= MAX_KINDS:
                return OTHER
            self._known.add(kind)
        return kind


class RolloutMetrics:
    """Of all ClusterStates of one process."""

    def __init__(self, registry: CollectorRegistry, kinds: KindWords) -> None:
        self.own = OwnedSeries(registry)
        self._kinds = kinds
        self.rollouts = self.own.counter(
            "rollouts",
            "Roll-outs that ended: Healthy, Unhealthy (given up), Superseded (by a newer one before it was healthy); "
            "action NewRevision, or Rollback to one that was healthy before.",
            "action",
            "result",
        )
        self.began = self.own.gauge(
            "rollout_began_timestamp_seconds", "When the roll-out began that is not healthy yet, Unix time; absent if there is none."
        )
        self.last_lead = self.own.gauge(
            "last_change_lead_time_seconds", "From the last commit that became healthy to then; absent if none did since the start."
        )
        self.lead_seconds = Histogram(
            "cvstate_change_lead_time_seconds",
            "From a commit, by its committer date, until the cluster is as it declares and healthy; all ClusterStates together.",
            buckets=LEAD_BUCKETS,
            registry=registry,
        )
        self.convergence_seconds = Histogram(
            "cvstate_convergence_seconds",
            "From finding that an object is not as a commit declares until it is, and is ready; all ClusterStates together.",
            ("kind",),
            buckets=CONVERGENCE_BUCKETS,
            registry=registry,
        )

    def begin(self, owner: Owner) -> None:
        """A ClusterState came: `increase()` is to see the end of its first roll-out."""
        for stage in _ENDS:
            self.own.of(self.rollouts, owner, Way.FORWARD, stage)

    def end(self, owner: Owner, entry: Entry, way: Way, *, committed_at: datetime | None) -> None:
        """A roll-out ended; `committed_at` is when its commit was made, None if that is not known."""
        self.own.of(self.rollouts, owner, way, entry.stage).inc()
        if entry.stage is Stage.HEALTHY and way is Way.FORWARD and committed_at and entry.seconds is not None:
            # A committer's clock may be ahead of ours.
            seconds = max(0.0, (entry.started_at - committed_at).total_seconds() + entry.seconds)
            self.lead_seconds.observe(seconds)
            self.own.of(self.last_lead, owner).set(seconds)

    def converged(self, kind: str, seconds: float) -> None:
        """An object of this kind is as declared, and ready."""
        self.convergence_seconds.labels(self._kinds.of(kind)).observe(seconds)


class Rollouts:
    """The roll-outs of one ClusterState, as one pass after the other tells of them."""

    def __init__(self, metrics: RolloutMetrics, owner: Owner, *, clock: Callable[[], float] = time.monotonic) -> None:
        """
        Args:
            metrics: where they are counted.
            owner: the ClusterState.
            clock: monotonic seconds.
        """
        self._metrics = metrics
        self._owner = owner
        self._clock = clock
        self._known: dict[tuple[str, datetime], Stage] | None = None
        """Stages by commit and beginning; None: nothing was told yet."""
        self._due: dict[ObjectRef, float] = {}
        """Objects that were written and are not ready yet: since when they were to be, by the clock."""

    def recall(self, history: Sequence[Entry]) -> None:
        """What an earlier life told; what ended then is not counted again."""
        self._known = {_key(entry): entry.stage for entry in history}

    def follow(self, step: Step) -> None:
        """Count what ended with this pass."""
        if self._known is None:
            self.recall(step.history)
        else:
            self._note_ends(step, self._known)
        current = step.history[0] if step.history else None
        is_under_way = current is not None and current.stage not in _ENDS
        self._metrics.own.set(self._metrics.began, self._owner, current.started_at.timestamp() if current and is_under_way else None)
        self._note_objects(step)

    def _note_ends(self, step: Step, known: Mapping[tuple[str, datetime], Stage]) -> None:
        for place, entry in enumerate(step.history):
            earlier = step.history[place + 1 :]
            if entry.stage not in _ENDS or known.get(_key(entry)) is entry.stage or _says_the_same(entry, earlier):
                continue
            way = Way.BACK if any(one.commit == entry.commit and one.stage is Stage.HEALTHY for one in earlier) else Way.FORWARD
            self._metrics.end(self._owner, entry, way, committed_at=step.committed_at if place == 0 else None)
        self.recall(step.history)

    def _note_objects(self, step: Step) -> None:
        now = self._clock()
        for ref in step.gone:
            self._due.pop(ref, None)
        self._due.update((ref, now - seconds) for ref, seconds in step.written.items())
        if not self._due:
            return
        unready, blind = frozenset(step.unready()), frozenset(step.blind)
        for ref in [ref for ref in self._due if ref not in unready and ref.group_kind not in blind]:
            self._metrics.converged(ref.kind, now - self._due.pop(ref))


def _key(entry: Entry) -> tuple[str, datetime]:
    return entry.commit, entry.started_at


def _says_the_same(entry: Entry, earlier: Sequence[Entry]) -> bool:
    """Whether it declares what was healthy before it, so that nothing was rolled out."""
    return bool(entry.digest and earlier and earlier[0].digest == entry.digest and entry.seconds == 0.0)
