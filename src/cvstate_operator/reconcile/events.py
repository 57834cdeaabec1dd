"""Events: what happened in a pass that a person should know, as Kubernetes Events tell it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cvstate_operator.api.conditions import ConditionType, Reason
from cvstate_operator.drift.ledger import State
from cvstate_operator.objects.redaction import one_line, shown
from cvstate_operator.plan.changes import Action
from cvstate_operator.reconcile import wording
from cvstate_operator.reconcile.conditions import conditions
from cvstate_operator.reconcile.outcome import Done, Outcome
from cvstate_operator.reconcile.report import listed_problems


@dataclass(frozen=True, slots=True)
class Event:
    """One Kubernetes Event to be."""

    kind: str
    """Normal or Warning."""
    reason: str
    message: str


def events(outcome: Outcome, *, previous: Mapping[str, Any]) -> tuple[Event, ...]:
    """What happened in this pass that `previous`, the status before, does not say; nothing if nothing did."""
    return (*_done(outcome), *_problems(outcome, previous), *_drift(outcome, previous), *_standing(outcome, previous))


def _done(outcome: Outcome) -> list[Event]:
    changed = [done for done in outcome.done if done.action is not Action.REPAIR]
    repaired = [done for done in outcome.done if done.action is Action.REPAIR]
    found = [Event("Normal", "Applied", f"{_evidence(outcome)}: {wording.counts(changed)}")] if changed else []
    return [*found, Event("Normal", "DriftRepaired", _repairs(repaired))] if repaired else found


def _problems(outcome: Outcome, previous: Mapping[str, Any]) -> list[Event]:
    before = previous.get("problems") or ()
    fresh = [problem for problem, entry in zip(outcome.problems, listed_problems(outcome), strict=False) if entry not in before]
    found = [Event("Warning", problem.reason, str(problem)) for problem in fresh[: wording.SPELLED_OUT]]
    if outcome.source_error and outcome.source_error.message != _message(previous, ConditionType.SOURCE_READY):
        found.append(Event("Warning", outcome.source_error.reason, outcome.source_error.message))
    return found


def _drift(outcome: Outcome, previous: Mapping[str, Any]) -> list[Event]:
    """Drift that is not repaired by itself, when it is first seen, and fights."""
    before = {(entry.get("object"), entry.get("path")) for entry in (previous.get("drift") or {}).get("sample") or ()}
    fresh = [
        (ref, entry)
        for ref, found in outcome.drift
        for entry in found
        if entry.state is not State.REPAIRING and (str(ref), entry.drift.path) not in before
    ]
    found = []
    known = int((previous.get("drift") or {}).get("fields") or 0)
    if fresh and sum(len(entries) for _, entries in outcome.drift) > known:
        found.append(Event("Warning", Reason.DRIFT_DETECTED, wording.open_drift(outcome)))
    fighting = {(entry.get("object"), entry.get("path")) for entry in previous.get("breakers") or () if entry.get("openedAt")}
    opened = [fight for fight in outcome.fights if fight.breaker.opened_at and (fight.object, fight.key.path) not in fighting]
    return [*found, Event("Warning", Reason.BREAKER_OPEN, wording.fights(outcome))] if opened else found


def _standing(outcome: Outcome, previous: Mapping[str, Any]) -> list[Event]:
    """What keeps the cluster from being as Git says, when that is news."""
    ready = next(condition for condition in conditions(outcome) if condition.type is ConditionType.READY)
    told = outcome.held.is_rollback or outcome.held.is_waiting or outcome.consent.waits or outcome.pruning.held
    if ready.status is not False or not told or outcome.problems or ready.reason == Reason.DRIFT_DETECTED:
        return []
    if ready.message == _message(previous, ConditionType.READY):
        return []
    return [Event("Warning", ready.reason, ready.message)]


def _message(previous: Mapping[str, Any], kind: ConditionType) -> str:
    return str(next((c.get("message", "") for c in previous.get("conditions") or () if c.get("type") == kind), ""))


def _evidence(outcome: Outcome) -> str:
    """Exactly which bytes were applied: commit, tree and render digest."""
    if outcome.artifact is None:
        return ""
    return f"{outcome.artifact.revision} (tree {outcome.artifact.directory[:12]}, objects {outcome.digest[:19]})"


def _repairs(done: Sequence[Done]) -> str:
    first = done[0]
    if first.drift and first.drift[0].path:
        field, kind = first.drift[0], first.ref.group_kind
        what = f"{field.path} was {shown(kind, field.path, field.live)} instead of {shown(kind, field.path, field.desired)}"
        who = f", written by {one_line(field.manager)}" if field.manager else ""
        others = f" and {len(first.drift) - 1} more fields" if len(first.drift) > 1 else ""
    else:
        what = "was missing" if first.drift and first.drift[0].live is None and first.drift[0].desired else "was changed"
        who = others = ""
    more = f"; and {len(done) - 1} more objects" if len(done) > 1 else ""
    return f"{first.ref} {what}{who}{others}; repaired in {first.seconds * 1000:.0f} ms{more}"
