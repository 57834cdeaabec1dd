"""The vital stage of one ClusterState: joins what is known of its configuration, its health and its telemetry into one score, one confidence and one verdict.

No I/O: what is asked for is asked beside the passes (`telemetry_stage`). Each pass ends here, with the outcome of all that went before it.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from cvstate_operator.api.clusterstate import ClusterStateSpec
from cvstate_operator.api.conditions import ConditionType
from cvstate_operator.api.drift import Severity
from cvstate_operator.api.duration import parse_seconds
from cvstate_operator.errors import TransientError
from cvstate_operator.objects.identity import GroupKind, ObjectRef
from cvstate_operator.objects.problem import Problem
from cvstate_operator.reconcile.configuration import NOTHING, configuration_of, found_of, health_of
from cvstate_operator.reconcile.ledger import YOUNG_SECONDS
from cvstate_operator.reconcile.outcome import Outcome
from cvstate_operator.reconcile.vitals import Signals, Vitals
from cvstate_operator.vital.facts.replicas import Replicas, total
from cvstate_operator.vital.health.lapse import LASTING
from cvstate_operator.vital.verdicts import completeness, score, verdict
from cvstate_operator.vital.verdicts.completeness import Source, SourceKind
from cvstate_operator.vital.verdicts.compliance import Doubt, Fault

SOURCE_PATIENCE_SECONDS: Final = 300.0
"""How long a look at Git may fail before the newest commit counts as unknown: as long as telemetry is believed without a new sample, by default."""
_SOURCE_PATIENCE: Final = timedelta(seconds=SOURCE_PATIENCE_SECONDS)
_YOUNG: Final = timedelta(seconds=YOUNG_SECONDS)


class VitalStage:
    """Not for concurrent use."""

    def __init__(self, *, status: Mapping[str, Any], now: datetime) -> None:
        """`status`: of an earlier life; `now`: UTC."""
        told = next((one for one in status.get("conditions") or () if one.get("type") == ConditionType.ACCEPTED), None)
        self._verdict = verdict.recalled(str(told.get("status")), now) if told else None
        self._was_ready = self._verdict is not None and self._verdict.status is not None
        """Whether everything was there and ready once, or was judged by somebody who could say."""
        self._seen: set[GroupKind] = set()
        """Kinds whose objects were compared once in the life of this process."""
        self._found = NOTHING
        """Of the pass before."""
        self._waits: tuple[int | None, datetime] | None = None
        """The wave that later ones wait for, or None for a dependency, and when that will have been for too long; None if nothing waits to be made."""
        self._left_out: dict[tuple[str, int, str, str], datetime] = {}
        """When each problem was first met that may pass by itself, and is about no desired object."""
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
        passing = self._passing(outcome, now)
        is_stuck = self._is_stuck(outcome, timedelta(seconds=parse_seconds(spec.vital.degraded_after)), now)
        self._found = found_of(outcome, seen=self._seen, passing=passing, before=self._found, is_stuck=is_stuck)
        configuration = configuration_of(outcome, self._found, seen=self._seen, passing=passing)
        configuration = replace(configuration, is_source_fresh=self._is_source_fresh(outcome, now))
        objects = health_of(outcome, self._found)
        found = score.evaluate(configuration, objects, known.items, since=since)
        hidden = {ref: level for ref in outcome.hidden if (level := self._found.level(ref)) in LASTING and level}
        is_made = outcome.is_whole and not outcome.unmade
        self._was_ready |= is_made and not objects.progressing
        self._verdict = verdict.judge(found, spec.vital.acceptance, before=self._verdict, now=now, is_made=is_made and self._was_ready)
        whole = completeness.evaluate([*known.sources, *self._kinds(outcome)])
        return Vitals(known, found, whole, self._verdict, objects, hidden, total(pods), causes, configuration)

    def next_change(self, now: datetime) -> datetime | None:
        """When time alone changes something; None: never."""
        stale_at = self._since[Doubt.SOURCE_STALE] + _SOURCE_PATIENCE if Doubt.SOURCE_STALE in self._since else None
        stuck_at = self._waits[1] if self._waits else None
        passed_at = min((since + _YOUNG for since in self._left_out.values() if since + _YOUNG > now), default=None)
        moments = (stale_at, stuck_at, passed_at, self._verdict.next_change if self._verdict else None)
        return min((at for at in moments if at and at > now), default=None)

    def _is_source_fresh(self, outcome: Outcome, now: datetime) -> bool:
        """Whether the newest commit is known; a server that is away for a moment changes nothing about that."""
        error = outcome.source_error
        return error is None or (isinstance(error, TransientError) and now - self._since[Doubt.SOURCE_STALE] < _SOURCE_PATIENCE)

    def _passing(self, outcome: Outcome, now: datetime) -> Collection[Problem]:
        """What is left out, was met just now, and may pass by itself."""
        met = [problem for problem in outcome.left_out if problem.retryable]
        self._left_out = {_key(problem): self._left_out.get(_key(problem), now) for problem in met}
        return frozenset(problem for problem in met if now - self._left_out[_key(problem)] < _YOUNG)

    def _is_stuck(self, outcome: Outcome, patience: timedelta, now: datetime) -> bool:
        """Whether what is to be made has waited for one and the same wave, or for dependencies, for too long to be on its way still."""
        frontier, unmade = outcome.held.frontier, outcome.unmade
        if not (unmade.dependent or (unmade.later and frontier)):
            self._waits = None
            return False
        wave = frontier.wave if frontier and not unmade.dependent else None
        if self._waits is None or self._waits[0] != wave:
            self._waits = (wave, now + patience)
        return now >= self._waits[1]

    def _kept(self, outcome: Outcome, now: datetime) -> Mapping[str, datetime]:
        """Since when the source and kinds are not as they should be; remembered from one pass to the next."""
        wrong = {str(kind) for kind in outcome.health.blind} | ({Doubt.SOURCE_STALE} if outcome.source_error else set())
        self._since = {name: self._since.get(name, now) for name in wrong}
        return self._since

    def _kinds(self, outcome: Outcome) -> list[Source]:
        """Kinds of which objects are declared, as sources of telemetry."""
        blind = outcome.health.blind
        return [Source(SourceKind.OBJECTS, str(kind), blind.get(kind)) for kind in outcome.kinds]


def _key(problem: Problem) -> tuple[str, int, str, str]:
    """What a problem is about; what the message says may be another thing each time."""
    return problem.file, problem.document, problem.object, problem.reason


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
