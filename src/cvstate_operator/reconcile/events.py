"""Events: what happened in a pass that a person should know, as Kubernetes Events tell it. No I/O, no clock.

The status is no measure of what was told: between two passes it may say that one is under way, or went wrong. So what was told last is remembered here.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cvstate_operator.api.conditions import ConditionType, Reason, by_type
from cvstate_operator.drift.ledger import State
from cvstate_operator.errors import CvstateError, InvalidSpecError
from cvstate_operator.objects.redaction import one_line, shown
from cvstate_operator.plan.changes import Action
from cvstate_operator.reconcile import wording
from cvstate_operator.reconcile.conditions import obstacles
from cvstate_operator.reconcile.outcome import Done, Outcome
from cvstate_operator.reconcile.report import listed_problems
from cvstate_operator.reconcile.vital_conditions import healthy


@dataclass(frozen=True, slots=True)
class Event:
    """One Kubernetes Event to be."""

    kind: str
    """Normal or Warning."""
    reason: str
    message: str


class Teller:
    """Tells what each pass of one ClusterState brings that is new. Mutable; lives as long as the ClusterState does in this process."""

    def __init__(self, status: Mapping[str, Any]) -> None:
        """`status`: of an earlier life; what it says was told then."""
        drift = status.get("drift") or {}
        self._problems: Sequence[Mapping[str, Any]] = status.get("problems") or ()
        self._source = _message(status, ConditionType.SOURCE_READY)
        self._drift = {(str(entry.get("object")), str(entry.get("path"))) for entry in drift.get("sample") or ()}
        self._fields = int(drift.get("fields") or 0)
        self._fights = {(str(e.get("object")), str(e.get("path"))) for e in status.get("breakers") or () if e.get("openedAt")}
        self._standing = _message(status, ConditionType.READY)
        self._warned: frozenset[str] = frozenset()
        self._health = _bad(status)
        """Reason and message of what was told as bad last; empty if all is well."""
        self._failure = _failure(status)
        """Reason of what the last pass ended with, and what is wrong with a spec; empty if it came to its end."""

    def tell(self, outcome: Outcome) -> tuple[Event, ...]:
        """What happened in this pass that was not told before; nothing if nothing did."""
        self._failure = "", ""
        return (
            *_done(outcome),
            *self._new_problems(outcome),
            *self._new_drift(outcome),
            *self._new_fights(outcome),
            *self._new_standing(outcome),
            *self._new_warnings(outcome),
            *self._new_health(outcome),
        )

    def failed(self, error: CvstateError) -> Iterator[Event]:
        """A pass ended with an error, or was not begun since the spec makes no sense: told when that is news, not each time it is tried again."""
        # Of another request that fails for the same reason nobody has to hear; of another mistake in the spec whoever just corrected one does.
        found = error.reason, error.message if isinstance(error, InvalidSpecError) else ""
        before, self._failure = self._failure, found
        if found != before:
            yield Event("Warning", error.reason, error.message)

    def _new_problems(self, outcome: Outcome) -> Iterator[Event]:
        listed, before = listed_problems(outcome), self._problems
        fresh = [problem for problem, entry in zip(outcome.problems, listed, strict=False) if entry not in before]
        self._problems = listed
        for problem in fresh[: wording.SPELLED_OUT]:
            yield Event("Warning", problem.reason, str(problem))
        error, told = outcome.source_error, self._source
        self._source = error.message if error else ""
        if error and error.message != told:
            yield Event("Warning", error.reason, error.message)

    def _new_drift(self, outcome: Outcome) -> Iterator[Event]:
        """Drift that is not repaired by itself, when it is first seen. A fight is told by itself."""
        entries = [(str(ref), entry) for ref, found in outcome.drift for entry in found]
        quiet = (State.REPAIRING, State.BREAKER_OPEN)
        is_new = any(entry.state not in quiet and (name, entry.drift.path) not in self._drift for name, entry in entries)
        is_more = len(entries) > self._fields
        self._drift, self._fields = {(name, entry.drift.path) for name, entry in entries}, len(entries)
        if is_new and is_more:
            yield Event("Warning", Reason.DRIFT_DETECTED, wording.open_drift(outcome))

    def _new_fights(self, outcome: Outcome) -> Iterator[Event]:
        before = self._fights
        self._fights = {(fight.object, fight.key.path) for fight in outcome.fights if fight.breaker.opened_at is not None}
        if self._fights - before:
            yield Event("Warning", Reason.BREAKER_OPEN, wording.fights(outcome))

    def _new_standing(self, outcome: Outcome) -> Iterator[Event]:
        """What keeps the cluster from being as Git says although nothing went wrong."""
        if outcome.problems or outcome.source_error or not outcome.evaluated:
            return  # it may stand there all the same, behind what went wrong
        if outcome.held.block and outcome.held.block.is_brief:
            return
        told = outcome.held.is_rollback or outcome.held.is_waiting or outcome.consent.waits or outcome.pruning.held
        before, (reason, self._standing) = self._standing, next(iter(obstacles(outcome)), ("", "")) if told else ("", "")
        if self._standing and self._standing != before:
            yield Event("Warning", reason, self._standing)

    def _new_warnings(self, outcome: Outcome) -> Iterator[Event]:
        """Gates that only warn, when they close."""
        found = {block.reason: block for block in reversed(outcome.warnings)}
        before, self._warned = self._warned, frozenset(found)
        for reason, block in found.items():
            if reason not in before:
                yield Event("Warning", block.reason, f"{block.message}; spec.gates only warns, so nothing waits")

    def _new_health(self, outcome: Outcome) -> Iterator[Event]:
        """Objects and signals that went bad, and that it is over. What is on its way is no news."""
        found, (before, told) = healthy(outcome), self._health
        if found.status is False and found.reason != Reason.PROGRESSING:
            if found.reason != before:
                self._health = found.reason, found.message
                yield Event("Warning", found.reason, found.message)
        elif found.status is True and before:
            self._health = "", ""
            yield Event("Normal", Reason.HEALTHY, f"healthy again; before: {told}")


def _done(outcome: Outcome) -> list[Event]:
    changed = [done for done in outcome.done if done.action is not Action.REPAIR]
    repaired = [done for done in outcome.done if done.action is Action.REPAIR]
    found = [Event("Normal", "Applied", f"{_evidence(outcome)}: {wording.counts(changed)}")] if changed else []
    return [*found, Event("Normal", "DriftRepaired", _repairs(repaired))] if repaired else found


def _bad(previous: Mapping[str, Any]) -> tuple[str, str]:
    """Reason and message of the condition Healthy, if it was False; empty if it was not, or if something was only on its way."""
    found: Mapping[str, Any] = next((c for c in previous.get("conditions") or () if c.get("type") == ConditionType.HEALTHY), {})
    is_bad = found.get("status") == "False" and found.get("reason") != Reason.PROGRESSING
    return (str(found.get("reason", "")), str(found.get("message", ""))) if is_bad else ("", "")


def _failure(previous: Mapping[str, Any]) -> tuple[str, str]:
    """What a pass of an earlier life ended with, as `Teller.failed` remembers it."""
    found = by_type(previous.get("conditions"))
    stalled, reconciling = found.get(ConditionType.STALLED, {}), found.get(ConditionType.RECONCILING, {})
    if stalled.get("status") == "True":
        return str(stalled.get("reason", "")), str(stalled.get("message", ""))
    is_repeated = reconciling.get("reason") == Reason.PROGRESSING_WITH_RETRY
    return (str(found.get(ConditionType.READY, {}).get("reason", "")), "") if is_repeated else ("", "")


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
    besides = len({one.ref for one in done} - {first.ref})
    more = f"; and {wording.plural(besides, 'more object')}" if besides else ""
    return f"{first.ref} {what}{who}{others}; repaired in {first.seconds * 1000:.0f} ms{more}"
