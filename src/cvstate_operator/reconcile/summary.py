"""The summary of a pass: from what its stages hold to an outcome."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cvstate_operator import errors
from cvstate_operator.objects.artifact import Artifact
from cvstate_operator.objects.identity import ObjectRef
from cvstate_operator.objects.problem import Problem
from cvstate_operator.plan.changes import Action
from cvstate_operator.plan.desired import Desired
from cvstate_operator.plan.prune import EMPTY
from cvstate_operator.reconcile.decide_stage import Decision
from cvstate_operator.reconcile.drift_stage import DriftStage
from cvstate_operator.reconcile.gate_stage import GateStage
from cvstate_operator.reconcile.health import Health
from cvstate_operator.reconcile.ledger import Ledger
from cvstate_operator.reconcile.observe_stage import ObserveStage
from cvstate_operator.reconcile.orders import Orders
from cvstate_operator.reconcile.outcome import Consent, Done, Held, Outcome, Render
from cvstate_operator.reconcile.place_stage import PlaceStage
from cvstate_operator.reconcile.ports import World
from cvstate_operator.reconcile.prune_stage import PruneStage
from cvstate_operator.reconcile.render_stage import RenderStage
from cvstate_operator.reconcile.revision_stage import RevisionStage
from cvstate_operator.reconcile.source_stage import SourceStage
from cvstate_operator.reconcile.writer import Writer

BLIND_SECONDS: Final = 5.0
"""How often it looks whether a kind can be seen again; the informer tries as often. Costs no request of its own."""


@dataclass(frozen=True, slots=True)
class Stages:
    """Everything a pass went through."""

    gates: GateStage
    source: SourceStage
    revision: RevisionStage
    render: RenderStage
    place: PlaceStage
    observe: ObserveStage
    drift: DriftStage
    writer: Writer
    prune: PruneStage
    ledger: Ledger


def summarize(
    stages: Stages,
    orders: Orders,
    world: World,
    *,
    artifact: Artifact | None,
    members: int,
    decision: Decision,
    done: Iterable[Done],
    health: Health,
    missing: Iterable[ObjectRef],
    consent: Consent,
) -> Outcome:
    """Put together what a pass found and did."""
    wanted, rendered, spec, done = stages.place.desired, stages.render.rendered, orders.spec, tuple(done)
    now = world.clock.now()
    problems = _problems(stages, allow_empty=spec.prune.allow_empty)
    evaluated = wanted is not None and stages.render.error is None
    held = _held(stages, orders, decision)
    is_whole = not stages.writer.was_cut_short and all(one.action is not Action.RECREATE for one in done)
    failures = sorted(ref for ref in stages.ledger.failures if wanted and ref in wanted.objects)
    drift = stages.drift.ledger.open
    return Outcome(
        artifact=artifact,
        url=stages.source.url or spec.source.git.url,
        source_error=stages.source.error(spec),
        rendered=Render(rendered.type, rendered.tool, rendered.warnings) if rendered else None,
        evaluated=evaluated,
        digest=wanted.digest if wanted else "",
        desired=len(wanted.objects) if wanted else 0,
        members=members,
        done=tuple(sorted(done, key=lambda d: d.ref)),
        problems=problems,
        is_whole=is_whole,
        is_rolled_out=_is_rolled_out(wanted, held) and evaluated and is_whole and not failures,
        released=stages.revision.released,
        rejected=stages.revision.rejected,
        blocks=orders.gates.blocks,
        warnings=orders.gates.warnings,
        next_pass_at=_next_pass(stages, orders, world, now),
        drift=tuple(sorted(drift.items())),
        failing=tuple(failures),
        unjudged=tuple(ref for ref in failures if ref not in drift),
        missing=tuple(sorted(missing)),
        exempt=tuple(sorted(stages.ledger.exempt | stages.ledger.left)),
        fights=stages.drift.fights(now),
        pruning=stages.prune.pruning,
        pending=tuple(sorted(stages.prune.pending)),
        leaving=stages.prune.leaving,
        held=held,
        consent=consent,
        health=health,
        kinds=tuple(sorted(wanted.kinds)) if wanted else (),
        blind_objects=Counter(ref.group_kind for ref in wanted.objects if ref.group_kind in health.blind)
        if wanted and health.blind
        else {},
        windows=stages.gates.windows,
        history=tuple(stages.revision.history.entries),
        quarantined=dict(stages.revision.quarantined),
    )


def _is_rolled_out(wanted: Desired | None, held: Held) -> bool:
    """Whether nothing of what is desired is held, or could not be read."""
    return wanted is not None and not (wanted.problems or held.creates or held.updates or held.later)


def _problems(stages: Stages, *, allow_empty: bool) -> tuple[Problem, ...]:
    wanted, build_error = stages.place.desired, stages.render.error
    problems = [failure.problem for failure in stages.ledger.failures.values()]
    problems += wanted.problems if wanted else ()
    if build_error:
        passes = isinstance(build_error, errors.TransientError | errors.WaitingError)
        problems.append(Problem("", 0, "", build_error.reason, build_error.message, retryable=passes))
    if wanted and not wanted.objects and not problems and not allow_empty:
        problems.append(Problem("", 0, "", "EmptyRender", EMPTY))
    return tuple(sorted(problems))


def _held(stages: Stages, orders: Orders, decision: Decision) -> Held:
    revision = stages.revision
    return Held(
        artifact=revision.held,
        is_rollback=revision.is_rollback,
        why=revision.quarantine,
        creates=sum(change.action is Action.CREATE for change in decision.held),
        updates=sum(change.action is Action.UPDATE for change in decision.held),
        block=revision.block(orders.gates),
        later=len(decision.later),
        frontier=decision.frontier,
    )


def _next_pass(stages: Stages, orders: Orders, world: World, now: datetime) -> float | None:
    """When something is due by itself, monotonic seconds; None if nothing is."""
    clock = world.clock
    moments = (stages.revision.deadline(orders.spec), orders.until)
    times = (
        stages.ledger.next_retry(),
        clock.monotonic() + BLIND_SECONDS if stages.observe.blind or not stages.observe.seen_all else None,
        stages.place.again_at,
        stages.prune.again_at,
        stages.render.again_at,
        stages.source.stale_at(orders.spec),
        stages.gates.again_at(),
        *(clock.monotonic() + max(0.0, (moment - now).total_seconds()) for moment in moments if moment and moment > now),
    )
    return min((time for time in times if time is not None), default=None)
