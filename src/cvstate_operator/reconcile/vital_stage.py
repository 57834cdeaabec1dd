"""The vital stage of one ClusterState: joins what is known of its configuration, its health and its telemetry into one score, one confidence and one verdict.

No I/O: what is asked for is asked beside the passes (`telemetry_stage`). Each pass ends here, with the outcome of all that went before it.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from cvstate_operator.api.change_plan import PlanAction
from cvstate_operator.api.clusterstate import ClusterStateSpec
from cvstate_operator.api.conditions import ConditionType
from cvstate_operator.api.drift import Severity
from cvstate_operator.errors import TransientError
from cvstate_operator.objects.identity import GroupKind, ObjectRef
from cvstate_operator.reconcile.outcome import Outcome
from cvstate_operator.reconcile.vitals import Signals, Vitals
from cvstate_operator.vital import completeness, score, verdict
from cvstate_operator.vital.completeness import Source, SourceKind
from cvstate_operator.vital.compliance import Configuration, Doubt, Fault
from cvstate_operator.vital.reading import Gap
from cvstate_operator.vital.replicas import Replicas, total

SOURCE_PATIENCE_SECONDS: Final = 300.0
"""How long a look at Git may fail before the newest commit counts as unknown: as long as telemetry is believed without a new sample, by default."""
_SOURCE_PATIENCE: Final = timedelta(seconds=SOURCE_PATIENCE_SECONDS)


class VitalStage:
    """Not for concurrent use."""

    def __init__(self, *, status: Mapping[str, Any], now: datetime) -> None:
        """`status`: of an earlier life; `now`: UTC."""
        told = next((one for one in status.get("conditions") or () if one.get("type") == ConditionType.ACCEPTED), None)
        self._verdict = verdict.recalled(str(told.get("status")), now) if told else None
        self._seen: set[GroupKind] = set()
        """Kinds whose objects were compared once in the life of this process."""
        self._since: dict[str, datetime] = {}
        """When the source, and the kinds that cannot be seen, began to be so."""

    def judge(
        self,
        spec: ClusterStateSpec,
        outcome: Outcome,
        known: Signals,
        *,
        pods: Iterable[Replicas],
        causes: Mapping[ObjectRef, str],
        now: datetime,
    ) -> Vitals:
        """What an outcome comes to, together with what is known of signals and SLOs.

        Args:
            spec: the ClusterState.
            outcome: of the pass.
            known: of signals and SLOs.
            pods: of each workload.
            causes: why objects are not ready.
            now: UTC.
        """
        health = outcome.health
        since: dict[str, datetime] = {level.value: at for level, at in health.oldest.items()}
        since.update(_drifted_since(outcome))
        since.update(self._kept(outcome, now))
        self._seen.update(kind for kind in outcome.kinds if outcome.is_compared and kind not in health.blind)
        configuration = replace(configuration_of(outcome, seen=self._seen), is_source_fresh=self._is_source_fresh(outcome, now))
        found = score.evaluate(configuration, health.counts, known.items, since=since)
        self._verdict = verdict.judge(found, spec.vital.acceptance, before=self._verdict, now=now)
        whole = completeness.evaluate([*known.sources, *self._kinds(outcome)])
        return Vitals(known, found, whole, self._verdict, total(pods), causes)

    def next_change(self, now: datetime) -> datetime | None:
        """When time alone changes something; None: never."""
        stale_at = self._since[Doubt.SOURCE_STALE] + _SOURCE_PATIENCE if Doubt.SOURCE_STALE in self._since else None
        moments = (stale_at, self._verdict.next_change if self._verdict else None)
        return min((at for at in moments if at and at > now), default=None)

    def _is_source_fresh(self, outcome: Outcome, now: datetime) -> bool:
        """Whether the newest commit is known; a server that is away for a moment changes nothing about that."""
        error = outcome.source_error
        return error is None or (isinstance(error, TransientError) and now - self._since[Doubt.SOURCE_STALE] < _SOURCE_PATIENCE)

    def _kept(self, outcome: Outcome, now: datetime) -> Mapping[str, datetime]:
        """Since when the source and kinds are not as they should be; remembered from one pass to the next."""
        wrong = {str(kind) for kind in outcome.health.blind} | ({Doubt.SOURCE_STALE} if outcome.source_error else set())
        self._since = {name: self._since.get(name, now) for name in wrong}
        return self._since

    def _kinds(self, outcome: Outcome) -> list[Source]:
        """Kinds of which objects are declared, as sources of telemetry."""
        blind = outcome.health.blind
        return [
            Source(SourceKind.OBJECTS, str(kind), Gap.REFUSED, self._since[str(kind)])
            if kind in blind
            else Source(SourceKind.OBJECTS, str(kind))
            for kind in outcome.kinds
        ]


def configuration_of(outcome: Outcome, *, seen: Collection[GroupKind] = ()) -> Configuration:
    """How the declared objects compare with the cluster: each counts once, by the worst that is known of it.

    Args:
        outcome: of the pass.
        seen: kinds that were compared before; of what cannot be seen now, the others never were.
    """
    failed = {*outcome.missing, *outcome.failing}
    drift = {ref: max((entry.severity for entry in found), key=_rank) for ref, found in outcome.drift if ref not in failed}
    held, pruning = outcome.held, outcome.pruning
    waiting = held.creates + held.updates + held.later + len(held.left) + len(pruning.held) + len(pruning.deferred)
    waiting += sum(len(one.changes) for one in pruning.waiting)
    waiting += sum(one.item.action is PlanAction.RECREATE for one in outcome.consent.waits)
    rest = max(0, outcome.desired - len(drift) - len(failed))
    return Configuration(
        desired=outcome.desired + _unreadable(outcome),
        drift=Counter(drift.values()),
        failed=len(failed) + _unreadable(outcome),
        held=min(waiting, rest),
        unjudged=min(rest, sum(number for kind, number in outcome.blind_objects.items() if kind not in seen)),
        unseen=sum(number for kind, number in outcome.blind_objects.items() if kind in seen),
        is_evaluated=outcome.is_compared,
    )


def _unreadable(outcome: Outcome) -> int:
    """Files and documents that could not be read: what they declare is not there, and nobody knows how much that is."""
    return sum(not problem.object for problem in outcome.problems)


def _drifted_since(outcome: Outcome) -> dict[str, datetime]:
    """Since when there is drift of each severity."""
    names = {
        Severity.CRITICAL: Fault.CRITICAL_DRIFT,
        Severity.HIGH: Fault.HIGH_DRIFT,
        Severity.MEDIUM: Fault.MEDIUM_DRIFT,
        Severity.LOW: Fault.LOW_DRIFT,
    }
    found: dict[str, datetime] = {}
    for _, entries in outcome.drift:
        for entry in entries:
            name = names[entry.severity].value
            found[name] = min(entry.first_seen, found.get(name, entry.first_seen))
    return found


def _rank(severity: Severity) -> int:
    return severity.rank
