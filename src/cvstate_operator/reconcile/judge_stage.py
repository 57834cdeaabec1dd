"""The judge stage of one ClusterState: watches the revision that was begun last, and says whether it is good, or is to be given up, and on which evidence."""

from datetime import datetime

from cvstate_operator.api.clusterstate import ClusterStateSpec
from cvstate_operator.api.duration import parse_seconds
from cvstate_operator.plan import judgement
from cvstate_operator.plan.history import Stage
from cvstate_operator.plan.judgement import Sight, State, Watch
from cvstate_operator.reconcile.health import Health
from cvstate_operator.reconcile.outcome import Outcome
from cvstate_operator.reconcile.revision_stage import RevisionStage
from cvstate_operator.reconcile.vitals import Signals, Vitals

_OPEN = frozenset({Stage.APPLYING, Stage.APPLIED, Stage.SUPERSEDED})
"""Revisions of which nothing is said for good yet."""


class JudgeStage:
    """Not for concurrent use."""

    def __init__(self, revision: RevisionStage) -> None:
        self._revision = revision
        self._watch = Watch()
        self.is_watching = False
        """Whether every answer about signals and SLOs may decide about the revision."""
        self.until: datetime | None = None
        """When time alone may change what is said of it; None: never."""

    def judge(self, spec: ClusterStateSpec, outcome: Outcome, vitals: Vitals, *, fault: str, now: datetime) -> bool:
        """Note what becomes of the revision; True if it is given up.

        Args:
            spec: the ClusterState.
            outcome: of the pass.
            vitals: what it comes to.
            fault: what is wrong with the commit itself, for people; empty if nothing is, or nothing that can be told from trouble around it.
            now: UTC.
        """
        self.until, self.is_watching = None, False
        current = self._revision.history.current
        if current is None or current.stage not in _OPEN:
            return False
        health, known = outcome.health, vitals.known
        blind, items, pending = frozenset(health.blind), known.items, known.pending
        seen_since = self._revision.seen_since
        sight = Sight(outcome.is_rolled_out, fault, health.lapses, blind, seen_since, items, pending, known.taken, known.values)
        late_after = parse_seconds(spec.rollback.on_unhealthy_for) if spec.rollback else 0.0
        watch_for = parse_seconds(spec.rollback.watch_for) if spec.rollback else 0.0
        deadline = self._revision.deadline(spec)
        found = judgement.judge(self._watch, sight, deadline=deadline, late_after_seconds=late_after, watch_for_seconds=watch_for, now=now)
        self._watch, self.until = found.watch, found.until
        self.is_watching = found.state is State.WATCHING and bool(watch_for)
        if outcome.is_rolled_out:
            self._revision.applied(healthy=found.state is State.GOOD)
        return found.state is State.BREACHED and self._revision.give_up(spec, found.evidence, vitals.causes)

    def begin(self, started_at: datetime, health: Health, known: Signals) -> None:
        """A roll-out begins, or is taken up after a restart: remember what is wrong already.

        Args:
            started_at: when it was begun, UTC.
            health: as it is before the first write.
            known: of signals and SLOs.
        """
        self._watch = judgement.begin(started_at, health.lapses, known.items, pending=known.pending)
