"""The teller: says what became of one ClusterState, in its status, in Events, in the plan that is shown, in metrics and in the log.

What somebody waits for is told at once; the rest at most once a second, as it is then.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from cvstate_operator import errors
from cvstate_operator.api.conditions import ConditionType, Reason
from cvstate_operator.operator.reporter import KubernetesReporter
from cvstate_operator.operator.token_bucket import TokenBucket
from cvstate_operator.plan.changes import Action
from cvstate_operator.plan.history import History
from cvstate_operator.reconcile import conditions, events, report, wording
from cvstate_operator.reconcile.outcome import Outcome
from cvstate_operator.reconcile.ports import Consents
from cvstate_operator.reconcile.teardown_stage import Departure
from cvstate_operator.reconcile.tracer import NO_TRACES, Tracer
from cvstate_operator.reconcile.vitals import Vitals
from cvstate_operator.telemetry import notices
from cvstate_operator.telemetry.metrics import ClusterStateMeter, Standing, Step
from cvstate_operator.telemetry.vital_metrics import VitalStanding, compared
from cvstate_operator.vital.health.lapse import Level
from cvstate_operator.vital.reading import Gap

STATUS_SECONDS: Final = 1.0
"""Shortest time between two statuses that tell nothing new of a commit or a request: while drift keeps coming it is put right first, and told together."""
PLAN_SECONDS: Final = 1.0
"""Shortest time between two looks at the plan that waits: what changes all the time is shown as it is then."""
UNSHOWN_SECONDS: Final = 10.0
"""Pause before a plan is shown again that could not be."""
_AWAITED: Final = (
    "observedGeneration",
    "lastHandledReconcileAt",
    "lastHandledReleased",
    "lastAttemptedRevision",
    "lastAppliedRevision",
    "quarantined",
)
"""Parts of the status that somebody waits for."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Voice:
    """Where one ClusterState is told of, and how often."""

    reporter: KubernetesReporter
    """Writes its status, its Events and its plan."""
    meter: ClusterStateMeter
    consents: Callable[[], Consents]
    """What people approved and what was shown to them."""
    announcements: TokenBucket
    """How often anybody may say that a pass is under way."""
    tracer: Tracer = NO_TRACES
    """Told of passes and their parts."""
    observe: notices.Observe = notices.unheard
    """Told of every status: people may have to hear of it."""


class Teller:
    """See the module. Not for concurrent use."""

    def __init__(self, status: Mapping[str, Any], voice: Voice, *, about: Callable[[], Mapping[str, str]]) -> None:
        """
        Args:
            status: as it is in the cluster.
            voice: where it is told.
            about: fields of every log line.
        """
        self._voice = voice
        self._reporter = voice.reporter
        self._about = about
        self._events = events.Teller(status)
        self.status: dict[str, Any] = dict(status)
        """As it was written last."""
        self._newest = self.status
        """As it should be written since the last pass, failure or announcement. Differs while it waits for its turn (STATUS_SECONDS), or the API server takes no
        writes. Whatever is told next follows from this, and not from what was before."""
        voice.meter.recall(History.read(status).entries)
        if status:  # what an earlier life told is what is known until the first pass ends; of a new one nothing is
            voice.meter.status(status)
        voice.observe(status)
        self._written_at = float("-inf")
        self._plan_digest, self._plan_shown_at = "", float("-inf")
        self.is_gone = False
        """The API server says that there is no such ClusterState."""

    async def tell(
        self, outcome: Outcome, *, generation: int, handled_at: str | None, correlation_id: str, seconds: float, is_full: bool
    ) -> float | None:
        """Tell what a pass came to; when another one is due to tell the rest, monotonic seconds, None if all was told.

        Args:
            outcome: of the pass.
            generation: of the spec that was carried out.
            handled_at: the request that was answered last.
            correlation_id: of the roll-out; empty if there is none.
            seconds: that the pass took.
            is_full: whether every object was looked at.
        """
        for event in self._events.tell(outcome):
            self._reporter.event(kind=event.kind, reason=event.reason, message=event.message, correlation_id=correlation_id)
            level = logging.INFO if event.kind == "Normal" else logging.WARNING
            revision = outcome.artifact.revision if outcome.artifact else ""
            _log.log(level, event.message, extra={**self._about(), "reason": event.reason, "revision": revision})
        found = {one.type: one for one in conditions.conditions(outcome)}
        ready = found[ConditionType.READY]
        self._voice.meter.reconciled(result="ok" if ready.status else ready.reason, seconds=seconds)
        self._voice.meter.stands(_standing(outcome))
        self._voice.meter.stepped(_step(outcome))
        status = report.status(
            outcome, previous=self._newest, generation=generation, handled_at=handled_at, now=_rfc3339(), is_full=is_full
        )
        self._newest = status
        self._voice.meter.status(status)
        self._voice.observe(status, correlation_id=correlation_id)
        due = [await self._write_in_turn(status), await self._show_plan(outcome)]
        return min((at for at in due if at is not None), default=None)

    async def announce(self, news: str, *, generation: int) -> bool:
        """Say what is under way; False if others have their turn now. If it cannot be written, the work goes on all the same."""
        if self._voice.announcements.take(_now()):
            return False
        # Metrics go on saying what the last pass came to: an alert that waits half an hour would else begin anew with each commit.
        self._newest = report.progressing(self._newest, generation=generation, message=news, now=_rfc3339())
        try:
            await self._write(self._newest)
        except errors.CvstateError as exc:
            _log.warning("status not written", extra={**self._about(), "reason": exc.reason, "error": exc.message})
        return True

    async def tell_broken(self, error: errors.CvstateError, *, generation: int) -> None:
        """Say why a pass could not be finished; as far as the API server takes it."""
        self._tell_failure(error)
        try:
            await self._tell_now(report.broken(error, previous=self._newest, generation=generation, now=_rfc3339()))
        except Exception as exc:  # the loop must go on, and tries again
            _log.warning("status not written", extra={**self._about(), "error": str(exc)})

    async def tell_refused(self, error: errors.InvalidSpecError, *, generation: int) -> None:
        """Say what is wrong with a spec."""
        self._voice.meter.refused(reason=error.reason)
        self._tell_failure(error)
        await self._tell_now(report.invalid_spec(error, previous=self._newest, generation=generation, now=_rfc3339()))

    async def tell_leaving(self, departure: Departure, *, generation: int) -> None:
        """Say what is left of a ClusterState that is being deleted."""
        await self._tell_now(report.leaving(departure, previous=self._newest, generation=generation, now=_rfc3339()))

    def tell_orphaned(self, departure: Departure) -> None:
        """Say which objects of a ClusterState are left where they are, since nobody may delete them."""
        message = f"{wording.plural(len(departure.left), 'object')} left where they are ({wording.named(departure.left)}): {departure.why}"
        self._reporter.event(kind="Warning", reason=Reason.ORPHANED.value, message=message)
        _log.warning(message, extra={**self._about(), "reason": Reason.ORPHANED.value})

    async def close(self) -> None:
        """Tell what is not written yet: fights that a status tells of would begin anew in the next life. May be cut off; `end` has to follow."""
        try:
            if self._newest != self.status and not self.is_gone:
                await self._reporter.write_status(self._newest)
            await self._reporter.close()
        except errors.CvstateError as exc:  # the ClusterState may be gone by now, or the API server away
            _log.info("last status or Events not written", extra={**self._about(), "reason": exc.reason, "error": exc.message})

    def end(self) -> None:
        """Tell nothing any more, wherever it is."""
        self._reporter.end()
        self._voice.meter.close()

    async def _write_in_turn(self, status: dict[str, Any]) -> float | None:
        """Write a status, or keep it for a moment: if one was written just now, and nobody waits for what is new in this one."""
        turn = self._written_at + STATUS_SECONDS
        if self._is_told(status) or _now() >= turn or any(status.get(part) != self.status.get(part) for part in _AWAITED):
            await self._write(status)
            return None
        return turn

    async def _show_plan(self, outcome: Outcome) -> float | None:
        """Show what waits; taken away only by a pass that saw everything, so that a source that fails for a while takes nothing from anybody's screen."""
        if not outcome.evaluated or outcome.source_error:
            return None
        if outcome.consent.digest != self._plan_digest:
            if _now() < self._plan_shown_at + PLAN_SECONDS:
                return self._plan_shown_at + PLAN_SECONDS
            self._plan_digest, self._plan_shown_at = outcome.consent.digest, _now()
        told = self._voice.consents()
        needed = {digest for approval in told.approvals if (digest := _digest_of(approval))}
        revision = outcome.artifact.revision if outcome.artifact else ""
        try:
            await self._reporter.write_plan(outcome.consent, revision=revision, known=told.plans, needed=needed)
        except errors.CvstateError as exc:
            _log.warning("plan not shown", extra={**self._about(), "reason": exc.reason, "error": exc.message})
            return _now() + UNSHOWN_SECONDS
        return None

    def _tell_failure(self, error: errors.CvstateError) -> None:
        for event in self._events.failed(error):
            correlation_id = self._about().get("correlation_id", "")
            self._reporter.event(kind=event.kind, reason=event.reason, message=event.message, correlation_id=correlation_id)

    async def _tell_now(self, status: dict[str, Any]) -> None:
        """A status that no pass came to: what it says is measured and told too."""
        self._newest = status
        self._voice.meter.status(status)
        self._voice.observe(status)
        await self._write(status)

    async def _write(self, status: dict[str, Any]) -> None:
        """Write the status if it differs from the one in the cluster."""
        if self._is_told(status):
            return
        try:
            await self._reporter.write_status(status)
        except errors.NotFoundError:
            _log.warning("the ClusterState is gone, although no event said so", extra={**self._about()})
            self.is_gone = True
            return
        self.status, self._written_at = status, _now()

    def _is_told(self, status: Mapping[str, Any]) -> bool:
        """Whether the cluster has this status already."""
        return status == self.status and not self._reporter.is_overwritten


def _standing(outcome: Outcome) -> Standing:
    entries = [entry for _, found in outcome.drift for entry in found]
    return Standing(
        objects=outcome.members,
        desired=outcome.desired,
        problems=len(outcome.problems),
        drift=Counter(entry.severity.value for entry in entries),
        drift_since=min((entry.first_seen.timestamp() for entry in entries), default=None),
        breakers=sum(fight.breaker.opened_at is not None for fight in outcome.fights),
        waiting=len(outcome.consent.waits),
        leaving=len(outcome.pruning.held) + len(outcome.pruning.deferred) + sum(len(one.changes) for one in outcome.pruning.waiting),
        closed={action.value: block.reason.value for action, block in outcome.blocks.items() if not block.is_brief},
        vital=_vital(outcome.vitals) if outcome.vitals else VitalStanding(),
    )


def _step(outcome: Outcome) -> Step:
    health = outcome.health
    return Step(
        history=outcome.history,
        committed_at=outcome.artifact.committed_at if outcome.artifact else None,
        written={one.ref: one.seconds for one in outcome.done if one.action in (Action.CREATE, Action.UPDATE)},
        gone=[one.ref for one in outcome.done if one.action is Action.PRUNE],
        unready=lambda: [*outcome.missing, *(ref for ref, found in health.unready if found.holds_up)],
        blind=tuple(health.blind),
    )


def _vital(vitals: Vitals) -> VitalStanding:
    counts, pods = vitals.objects, vitals.pods
    budgets = [state for _, state in vitals.known.slos if state]
    return VitalStanding(
        compared=compared(vitals.compared),
        completeness=vitals.completeness.ratio,
        missing=Counter(one.gap.value for one in vitals.completeness.missing if one.gap),
        objects={level.value: number for level in Level if (number := counts.count(level))},
        signals=Counter(state.state.value if state else Gap.NOT_ASKED.value for _, state in vitals.known.signals),
        slos=Counter(state.state.value if state else Gap.NOT_ASKED.value for _, state in vitals.known.slos),
        indicators={
            spec.indicator.value: state.value
            for spec, state in vitals.known.signals
            if spec.indicator and state and state.gap is None and state.value is not None
        },
        pods_ready=pods.ready / pods.desired if pods.desired else None,
        budget_left=min((state.budget_left for state in budgets if state.budget_left is not None), default=None),
        burn_rate=max((state.burn_rate for state in budgets if state.burn_rate is not None), default=None),
        exhausted_in=min((state.exhausted_in for state in budgets if state.exhausted_in is not None), default=None),
    )


def _digest_of(approval: Any) -> str:
    """The plan that a StateApproval names; empty if it names none."""
    spec = approval.get("spec") if isinstance(approval, Mapping) else None
    digest = spec.get("planDigest") if isinstance(spec, Mapping) else None
    return digest if isinstance(digest, str) else ""


def _now() -> float:
    return asyncio.get_running_loop().time()


def _rfc3339() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
