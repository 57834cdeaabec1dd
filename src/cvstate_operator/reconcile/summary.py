"""The summary of a pass: from what its stages hold to an outcome."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from cvstate_operator import errors
from cvstate_operator.objects.artifact import Artifact
from cvstate_operator.objects.identity import ObjectRef
from cvstate_operator.objects.problem import Problem
from cvstate_operator.plan.changes import Action, Change
from cvstate_operator.plan.desired import Desired
from cvstate_operator.plan.gates import Reason
from cvstate_operator.plan.prune import EMPTY
from cvstate_operator.reconcile.decide_stage import Decision
from cvstate_operator.reconcile.health import Health
from cvstate_operator.reconcile.orders import Orders
from cvstate_operator.reconcile.outcome import Done, Held, Outcome, Render, Unmade
from cvstate_operator.reconcile.ports import World
from cvstate_operator.reconcile.stages import Stages

BLIND_SECONDS: Final = 5.0
"""How often it looks whether a kind can be seen again; the informer tries as often. Costs no request of its own."""


_OTHERS: Final = frozenset({errors.OwnerConflictError.reason, errors.FieldConflictError.reason})
"""Why objects cannot be made ours that are there."""


@dataclass(frozen=True, slots=True)
class Pass:
    """What a pass was about, and what it came to."""

    artifact: Artifact | None
    decision: Decision
    done: tuple[Done, ...]
    health: Health
    missing: frozenset[ObjectRef]
    """Desired objects that are not there, although they were."""


def summarize(stages: Stages, orders: Orders, world: World, found: Pass, *, members: int) -> Outcome:
    """Put together what a pass found and did."""
    wanted, rendered, spec = stages.place.desired, stages.render.rendered, orders.spec
    now, missing, health = world.clock.now(), found.missing, found.health
    left_out = _left_out(stages, allow_empty=spec.prune.allow_empty)
    evaluated = wanted is not None and stages.render.error is None
    held = _held(stages, orders, world, found)
    is_whole = not stages.writer.was_cut_short and all(one.action is not Action.RECREATE for one in found.done)
    failures = sorted(ref for ref in stages.ledger.failures if wanted and ref in wanted.objects)
    drift = stages.drift.ledger.open
    return Outcome(
        artifact=found.artifact,
        url=stages.source.url or spec.source.git.url,
        source_error=stages.source.error(spec),
        rendered=Render(rendered.type, rendered.tool, rendered.warnings) if rendered else None,
        evaluated=evaluated,
        digest=wanted.digest if wanted else "",
        desired=len(wanted.objects) if wanted else 0,
        members=members,
        done=tuple(sorted(found.done, key=lambda d: d.ref)),
        problems=tuple(sorted([*(failure.problem for failure in stages.ledger.failures.values()), *left_out])),
        left_out=left_out,
        hidden=tuple(sorted(stages.place.hidden.difference(wanted.objects))) if wanted else (),
        is_whole=is_whole,
        is_rolled_out=_is_rolled_out(wanted, held) and evaluated and is_whole and not failures,
        released=stages.revision.released,
        rejected=stages.revision.rejected,
        blocks=orders.gates.blocks,
        warnings=orders.gates.warnings,
        next_pass_at=_next_pass(stages, orders, world, now),
        drift=tuple(sorted(drift.items())),
        failing=tuple(failures),
        passing=tuple(ref for ref in failures if stages.ledger.failures[ref].is_young(world.clock.monotonic())),
        unmade=_unmade(stages, world, found, held, failing=failures),
        unjudged=tuple(ref for ref in failures if ref not in drift),
        missing=tuple(sorted(missing)),
        exempt=tuple(sorted(stages.ledger.exempt | stages.ledger.left)),
        fights=stages.drift.fights(now),
        pruning=stages.prune.pruning,
        pending=tuple(sorted(stages.prune.pending)),
        leaving=stages.prune.leaving,
        claims=stages.decide.claims,
        held=held,
        consent=stages.consent.collect((*stages.drift.waiting, *stages.recreations.told(stages.writer.waiting), *stages.prune.waiting)),
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


def _left_out(stages: Stages, *, allow_empty: bool) -> tuple[Problem, ...]:
    """Problems that are about no desired object."""
    wanted, build_error = stages.place.desired, stages.render.error
    problems = list(wanted.problems) if wanted else []
    if build_error:
        passes = isinstance(build_error, errors.TransientError | errors.WaitingError)
        problems.append(Problem("", 0, "", build_error.reason, build_error.message, retryable=passes))
    if wanted and not wanted.objects and not problems and not stages.ledger.failures and not allow_empty:
        problems.append(Problem("", 0, "", "EmptyRender", EMPTY))
    return tuple(problems)


def _unmade(stages: Stages, world: World, found: Pass, held: Held, *, failing: Collection[ObjectRef]) -> Unmade:
    """Desired objects that were never made, by what they wait for."""
    failures, now = stages.ledger.failures, world.clock.monotonic()
    waiting = _refs(found.decision.held, Action.CREATE, besides=(found.missing, failures))
    later = _refs(found.decision.later, Action.CREATE, besides=(found.missing, failures))
    absent = [
        ref
        for ref in failing
        if world.index.get(ref) is None
        and ref not in found.missing
        and ref.group_kind not in found.health.blind
        and failures[ref].problem.reason not in _OTHERS
    ]
    coming = tuple(ref for ref in absent if failures[ref].is_young(now))
    unmade = Unmade(failing=tuple(ref for ref in absent if not failures[ref].is_young(now)), coming=coming, later=later)
    if held.block and held.block.is_brief:
        return replace(unmade, coming=(*coming, *waiting))
    if held.block and held.block.reason is Reason.DEPENDENCY_NOT_READY:
        return replace(unmade, dependent=waiting)
    # In mode Observe it is looked whether they are there: those that are not are missing, or failed.
    is_watched = not (held.block and held.block.reason is Reason.OBSERVE_ONLY)
    return replace(unmade, held=waiting) if is_watched else replace(unmade, unwatched=waiting)


def _refs(changes: Iterable[Change], action: Action, *, besides: Iterable[Collection[ObjectRef]]) -> tuple[ObjectRef, ...]:
    """Objects that something is to be done to, but for those that more is known of already."""
    known = tuple(besides)
    return tuple(change.ref for change in changes if change.action is action and not any(change.ref in some for some in known))


def _held(stages: Stages, orders: Orders, world: World, found: Pass) -> Held:
    revision, decision = stages.revision, found.decision
    return Held(
        artifact=revision.held,
        is_rollback=revision.is_rollback,
        why=revision.quarantine,
        creates=sum(change.action is Action.CREATE for change in decision.held),
        updates=sum(change.action is Action.UPDATE for change in decision.held),
        block=revision.block(orders.gates),
        later=len(decision.later),
        frontier=decision.frontier,
        waiting=_refs((*decision.held, *decision.later), Action.UPDATE, besides=(found.missing, stages.ledger.failures)),
        left=_left_newer(stages, world),
        left_at=revision.given_up_revision,
        uncompared=tuple(sorted(stages.decide.uncompared)),
    )


def _left_newer(stages: Stages, world: World) -> tuple[ObjectRef, ...]:
    """Objects that are, or are to be made, as the revision declares them that was given up."""
    wanted, uncompared = stages.place.desired, stages.decide.uncompared
    if wanted is None:
        return ()
    return tuple(sorted(ref for ref in wanted.left if wanted.is_left(ref, world.index.get(ref)) and ref not in uncompared))


def _next_pass(stages: Stages, orders: Orders, world: World, now: datetime) -> float | None:
    """When something is due by itself, monotonic seconds; None if nothing is."""
    clock = world.clock
    moments = (stages.revision.deadline(orders.spec), orders.until)
    # What is due already was not asked for in this pass, since no commit is known: the next commit brings another pass.
    retries = (stages.left.again_at, stages.revision.recall_at if stages.revision.is_rollback else None)
    times = (
        *(at for at in retries if at and at > clock.monotonic()),
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


def fault(stages: Stages, outcome: Outcome) -> str:
    """What is wrong with the commit itself, for people; empty if nothing is, or nothing that can be told from trouble around it."""
    waiting = {str(one.item.ref) for one in stages.writer.waiting}
    lasting = (problem for problem in outcome.problems if not problem.retryable and problem.object not in waiting)
    return next((problem.message for problem in lasting), "")
