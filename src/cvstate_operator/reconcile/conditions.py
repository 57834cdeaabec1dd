"""Conditions: what is true after a pass, as users and `kubectl wait` read it. Pure."""

from collections.abc import Iterable

from cvstate_operator.api.conditions import Condition, ConditionType, Reason
from cvstate_operator.api.windows import WindowAction
from cvstate_operator.drift.ledger import State
from cvstate_operator.errors import TransientError, VerificationFailedError, WaitingError
from cvstate_operator.objects.problem import Problem
from cvstate_operator.plan import gates
from cvstate_operator.plan.gates import Block
from cvstate_operator.reconcile import vital_conditions, wording
from cvstate_operator.reconcile.outcome import Outcome

_AS_DECLARED = "everything else is as declared"


def conditions(outcome: Outcome) -> tuple[Condition, ...]:
    """Everything that is true after a pass."""
    ready = _ready(outcome)
    must_act = ready.status is False and not _passes_by_itself(outcome, ready.reason)
    retrying = ready.status is False and not must_act
    stalled = wording.fights(outcome) if ready.reason == Reason.BREAKER_OPEN else ready.message
    return (
        ready,
        _source(outcome),
        *_verified(outcome),
        _drifted(outcome),
        *vital_conditions.conditions(outcome),
        Condition(ConditionType.RECONCILING, retrying or ready.status is None, Reason.PROGRESSING_WITH_RETRY, ready.message),
        Condition(ConditionType.STALLED, must_act, ready.reason, stalled),
    )


def _ready(outcome: Outcome) -> Condition:
    """The first thing that keeps the cluster from being what the newest commit declares."""
    if outcome.problems:
        return Condition(ConditionType.READY, False, _common_reason(outcome.problems), wording.problems(outcome))
    if outcome.source_error:
        return Condition(ConditionType.READY, False, outcome.source_error.reason, outcome.source_error.message)
    if not outcome.evaluated:
        return Condition(ConditionType.READY, None, Reason.PROGRESSING, "the source was not read yet")
    for reason, message in obstacles(outcome):
        return Condition(ConditionType.READY, False, reason, message)
    if not outcome.is_whole:
        return Condition(
            ConditionType.READY, None, Reason.PROGRESSING, "the pass was not finished, or an object is being made anew; it goes on"
        )
    if outcome.pending:
        return Condition(ConditionType.READY, None, Reason.PROGRESSING, f"{wording.left_git(outcome.pending)} and will be deleted")
    if outcome.leaving:
        ref, since = outcome.leaving[0]
        more = f", and {len(outcome.leaving) - 1} more" if len(outcome.leaving) > 1 else ""
        return Condition(ConditionType.READY, None, Reason.PROGRESSING, f"{ref} left Git and is being deleted {since}{more}")
    if not outcome.is_converged:
        return Condition(ConditionType.READY, None, Reason.PROGRESSING, "not everything is as in Git yet; it goes on")
    if outcome.blind_objects:
        return Condition(ConditionType.READY, None, *vital_conditions.hidden_kinds(outcome, outcome.blind_objects))
    revision = outcome.artifact.revision if outcome.artifact else ""
    kept = "".join(f"; {wording.left_git(kept.refs)}, kept by {kept.by}" for kept in outcome.pruning.kept)
    matching = outcome.desired - len(outcome.exempt)
    objects = f"{wording.plural(matching, 'object')} {'matches' if matching == 1 else 'match'}"
    return Condition(ConditionType.READY, True, Reason.RECONCILED, f"{objects} {revision}{wording.exempt(outcome)}{kept}")


def obstacles(outcome: Outcome) -> Iterable[tuple[str, str]]:
    """What stands in the way although nothing went wrong, that which matters most first: reason and message."""
    yield from holding(outcome)
    if outcome.consent.waits:
        if shut := _shut(outcome):
            # An approval alone would change nothing.
            yield shut.reason, f"{wording.waiting(outcome)}; {shut.message}"
        yield (Reason.PRUNE_HELD if outcome.pruning.waiting else Reason.AWAITING_APPROVAL), wording.waiting(outcome)
    if outcome.held.later:
        yield Reason.WAVE_NOT_READY, wording.waves(outcome)
    if outcome.pruning.held:
        yield Reason.PRUNE_HELD, wording.unpruned(outcome)
    if outcome.drift:
        is_fight = any(entry.state is State.BREAKER_OPEN for _, found in outcome.drift for entry in found)
        message = f"{wording.open_drift(outcome)}; {wording.fights(outcome)}" if is_fight else wording.open_drift(outcome)
        yield (Reason.BREAKER_OPEN if is_fight else Reason.DRIFT_DETECTED), message
    if outcome.pruning.deferred:
        refs = [change.ref for change in outcome.pruning.deferred]
        yield Reason.PRUNE_HELD, f"{wording.left_git(refs)}, and will be deleted later: {outcome.pruning.deferral}"


def holding(outcome: Outcome) -> Iterable[tuple[str, str]]:
    """Of these, what keeps the newest commit back."""
    if outcome.held.is_rollback:
        yield Reason.ROLLED_BACK, wording.rolled_back(outcome)
    elif outcome.held.why and outcome.held.block:
        yield outcome.held.block.reason, outcome.held.block.message
    if outcome.held.is_waiting and outcome.held.block:
        yield outcome.held.block.reason, wording.held(outcome)


def _shut(outcome: Outcome) -> Block | None:
    """What keeps everything from being written until a person ends it; None if nothing does."""
    found = {outcome.blocks.get(action) for action in WindowAction}
    block = found.pop()
    return block if block and not found and block.reason not in gates.PASSING else None


def _source(outcome: Outcome) -> Condition:
    if error := outcome.source_error:
        return Condition(ConditionType.SOURCE_READY, False, error.reason, error.message)
    newest = outcome.held.artifact or outcome.artifact
    if newest:
        return Condition(ConditionType.SOURCE_READY, True, Reason.FETCHED, f"newest commit is {newest.revision}")
    return Condition(ConditionType.SOURCE_READY, None, Reason.PROGRESSING, "the source was not read yet")


def _verified(outcome: Outcome) -> tuple[Condition, ...]:
    """Of the newest commit; only where signatures are asked for."""
    if isinstance(outcome.source_error, VerificationFailedError):
        return (Condition(ConditionType.SOURCE_VERIFIED, False, outcome.source_error.verdict, outcome.source_error.message),)
    newest = outcome.held.artifact or outcome.artifact
    if newest and newest.signed_by:
        message = f"{newest.revision} is signed by {newest.signed_by}"
        return (Condition(ConditionType.SOURCE_VERIFIED, True, Reason.VERIFIED, message),)
    return ()


def _drifted(outcome: Outcome) -> Condition:
    if not outcome.evaluated:
        return Condition(ConditionType.DRIFTED, None, Reason.NOT_EVALUATED, "desired and live state were not compared yet")
    if outcome.drift:
        fights = wording.fights(outcome)
        return Condition(
            ConditionType.DRIFTED, True, Reason.DRIFT_DETECTED, wording.open_drift(outcome) + (f"; {fights}" if fights else "")
        )
    if outcome.held.creates or outcome.held.updates:
        return Condition(ConditionType.DRIFTED, None, Reason.NOT_EVALUATED, f"not compared yet: {wording.held(outcome)}")
    # What could not be applied since its kind cannot be seen is among the unjudged already.
    unheard = outcome.blind_objects.keys() - {ref.group_kind for ref in outcome.unjudged}
    reason, hidden = vital_conditions.hidden_kinds(outcome, unheard) if unheard else (Reason.NOT_EVALUATED, "")
    if outcome.held.uncompared:
        left = f"not compared, since what they were applied from is not at hand: {wording.named(outcome.held.uncompared)}"
        return Condition(ConditionType.DRIFTED, None, Reason.NOT_EVALUATED, f"{left}; {hidden or _AS_DECLARED}")
    if outcome.unjudged:
        told = f"nothing can be said of {wording.plural(len(outcome.unjudged), 'object')} ({wording.named(outcome.unjudged)}), see status.problems"
        return Condition(ConditionType.DRIFTED, None, Reason.NOT_EVALUATED, f"{told}; {hidden or _AS_DECLARED}")
    if hidden:
        return Condition(ConditionType.DRIFTED, None, reason, hidden)
    return Condition(
        ConditionType.DRIFTED, False, Reason.NO_DRIFT_DETECTED, f"every declared field is as declared{wording.exempt(outcome)}"
    )


def _passes_by_itself(outcome: Outcome, reason: str) -> bool:
    """Whether what stands in the way may pass without a person."""
    if outcome.problems:
        return any(problem.retryable for problem in outcome.problems)
    if outcome.source_error:
        return isinstance(outcome.source_error, TransientError | WaitingError) and not outcome.pruning.held
    if reason == Reason.DRIFT_DETECTED:
        states = {entry.state for _, found in outcome.drift for entry in found}
        return bool(states & {State.REPAIRING, State.TRANSIENT}) or (State.HELD in states and _opens(outcome, WindowAction.DRIFT_REPAIR))
    if reason == Reason.PRUNE_HELD:
        return not outcome.pruning.waiting and not outcome.pruning.held and _opens(outcome, WindowAction.PRUNE)
    return reason in gates.PASSING or reason == Reason.WAVE_NOT_READY


def _opens(outcome: Outcome, action: WindowAction) -> bool:
    """Whether a gate is closed that opens by itself."""
    block = outcome.blocks.get(action)
    return block is not None and block.reason in gates.PASSING


def _common_reason(problems: Iterable[Problem]) -> str:
    reasons = {problem.reason for problem in problems}
    return reasons.pop() if len(reasons) == 1 else Reason.APPLY_FAILED
