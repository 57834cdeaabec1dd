"""The report: from an outcome to what users read: status, conditions, events. Pure; texts are stable between equal outcomes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, TypeVar

import orjson

from cvstate_operator.api.conditions import Condition, ConditionType, Reason, merge
from cvstate_operator.errors import CvstateError, TransientError, VerificationFailedError, WaitingError
from cvstate_operator.objects.identity import ObjectRef
from cvstate_operator.objects.problem import FILE_CHARACTERS, Problem
from cvstate_operator.objects.redaction import one_line, shown
from cvstate_operator.plan.changes import Action
from cvstate_operator.reconcile.outcome import Done, Outcome

_Entry = TypeVar("_Entry", dict[str, Any], str)

LISTED: Final = 20
"""Problems and drifted fields listed in the status; the rest is counted (decision 11: the status does not grow with N)."""
LISTED_BYTES: Final = 16 * 1024
"""Size of either list as JSON: names and paths come from Git and can be long."""
PROBLEM_CHARACTERS: Final = 1000
"""Longest message of a listed problem: what the API server said is cut to 500 before, and a remedy follows it."""
SPELLED_OUT: Final = 3
"""Problems spelled out in the Ready condition's message."""


@dataclass(frozen=True, slots=True)
class Event:
    """One Kubernetes Event to be."""

    kind: str
    """Normal or Warning."""
    reason: str
    message: str


def status(outcome: Outcome, *, previous: Mapping[str, Any], generation: int, handled_at: str | None, now: str) -> dict[str, Any]:
    """The whole status after a pass.

    Args:
        outcome: what the pass found.
        previous: the status as it is in the cluster.
        generation: of the spec that was acted on.
        handled_at: value of the annotation `requestedAt` that this pass answers; None keeps the one handled last.
        now: RFC 3339, for conditions that changed.
    """
    artifact = outcome.artifact
    revision = artifact.revision if artifact else None
    before = previous.get("source") or {}
    fetched_at = _time(artifact.fetched_at) if artifact else ""
    candidates = {
        "observedGeneration": generation,
        "lastHandledReconcileAt": handled_at or previous.get("lastHandledReconcileAt"),
        "conditions": merge(previous.get("conditions") or (), conditions(outcome), generation=generation, now=now),
        "source": {
            "revision": artifact.revision,
            "commitTime": _time(artifact.committed_at),
            "fetchedAt": before.get("fetchedAt", fetched_at) if before.get("revision") == revision else fetched_at,
            "url": outcome.url,
            "ref": artifact.ref,
            "tree": artifact.directory,
            **({"signedBy": artifact.signed_by} if artifact.signed_by else {}),
        }
        if artifact
        else before,
        "lastAttemptedRevision": revision or previous.get("lastAttemptedRevision"),
        "lastAppliedRevision": revision if outcome.is_converged else previous.get("lastAppliedRevision"),
        "lastAppliedFrom": {"url": outcome.url, "ref": artifact.ref, "path": artifact.path, "type": outcome.rendered.type}
        if artifact and outcome.rendered and outcome.is_converged
        else previous.get("lastAppliedFrom"),
        "render": _render(outcome) or previous.get("render"),
        "inventory": {"objects": outcome.members, "digest": outcome.digest} if outcome.evaluated else previous.get("inventory"),
        "drift": _drift(outcome),
        "problems": _listed(_problem(problem) for problem in outcome.problems),
    }
    return {key: value for key, value in candidates.items() if value}


def invalid_spec(error: CvstateError, *, previous: Mapping[str, Any], generation: int, now: str) -> dict[str, Any]:
    """The status of a ClusterState that cannot be carried out: nothing is touched, a human must act."""
    found = (
        Condition(ConditionType.READY, False, error.reason, error.message),
        Condition(ConditionType.STALLED, True, error.reason, error.message),
    )
    kept = {key: value for key, value in previous.items() if key not in ("conditions", "observedGeneration")}
    return {
        **kept,
        "observedGeneration": generation,
        "conditions": merge(previous.get("conditions") or (), found, generation=generation, now=now),
    }


def broken(error: CvstateError, *, previous: Mapping[str, Any], generation: int, now: str) -> dict[str, Any]:
    """The status after a pass that an error ended half-way: what else it said before may still be so, but Ready is not."""
    kept = [
        Condition(ConditionType(c["type"]), {"True": True, "False": False}.get(c["status"]), c["reason"], c["message"])
        for c in previous.get("conditions") or ()
        if c["type"] in (ConditionType.SOURCE_READY, ConditionType.SOURCE_VERIFIED, ConditionType.DRIFTED)
    ]
    message = f"the last pass was not finished and is repeated: {error.message}"
    found = (
        *kept,
        Condition(ConditionType.READY, False, error.reason, message),
        Condition(ConditionType.RECONCILING, True, Reason.PROGRESSING_WITH_RETRY, message),
    )
    return {
        **previous,
        "observedGeneration": generation,
        "conditions": merge(previous.get("conditions") or (), found, generation=generation, now=now),
    }


def progressing(previous: Mapping[str, Any], *, generation: int, message: str, now: str) -> dict[str, Any]:
    """The status while a new spec or revision is worked on: Ready is not known to be true any more."""
    kept = [
        Condition(ConditionType(c["type"]), {"True": True, "False": False}.get(c["status"]), c["reason"], c["message"])
        for c in previous.get("conditions") or ()
        if c["type"] in (ConditionType.SOURCE_READY, ConditionType.SOURCE_VERIFIED, ConditionType.DRIFTED)
    ]
    found = (
        *kept,
        Condition(ConditionType.READY, None, Reason.PROGRESSING, message),
        Condition(ConditionType.RECONCILING, True, Reason.PROGRESSING, message),
    )
    return {
        **previous,
        "observedGeneration": generation,
        "conditions": merge(previous.get("conditions") or (), found, generation=generation, now=now),
    }


def conditions(outcome: Outcome) -> tuple[Condition, ...]:
    """Everything that is true after a pass."""
    ready = _ready(outcome)
    must_act = ready.status is False and not _passes_by_itself(outcome)
    retrying = ready.status is False and not must_act
    return (
        ready,
        _source(outcome),
        *_verified(outcome),
        _drifted(outcome),
        Condition(ConditionType.RECONCILING, retrying or ready.status is None, Reason.PROGRESSING_WITH_RETRY, ready.message),
        Condition(ConditionType.STALLED, must_act, ready.reason, ready.message),
    )


def events(outcome: Outcome, *, previous: Mapping[str, Any]) -> tuple[Event, ...]:
    """What happened in this pass that a person should know; nothing if nothing did."""
    found = []
    changed = [done for done in outcome.done if done.action is not Action.REPAIR]
    repaired = [done for done in outcome.done if done.action is Action.REPAIR]
    if changed:
        found.append(Event("Normal", "Applied", f"{_evidence(outcome)}: {_counts(changed)}"))
    if repaired:
        found.append(Event("Normal", "DriftRepaired", _repairs(repaired)))
    listed = _listed(_problem(problem) for problem in outcome.problems)
    before = previous.get("problems") or ()
    fresh = [problem for problem, entry in zip(outcome.problems, listed, strict=False) if entry not in before]
    found += [Event("Warning", p.reason, str(p)) for p in fresh[:SPELLED_OUT]]
    if outcome.source_error and outcome.source_error.message != _message(previous, ConditionType.SOURCE_READY):
        found.append(Event("Warning", outcome.source_error.reason, outcome.source_error.message))
    if outcome.unpruned and _held(outcome) not in _message(previous, ConditionType.READY):
        found.append(Event("Warning", Reason.PRUNE_HELD, _held(outcome)))
    return tuple(found)


def _ready(outcome: Outcome) -> Condition:
    if outcome.problems:
        return Condition(ConditionType.READY, False, _common_reason(outcome.problems), _problems(outcome))
    if outcome.source_error:
        return Condition(ConditionType.READY, False, outcome.source_error.reason, outcome.source_error.message)
    if not outcome.evaluated:
        return Condition(ConditionType.READY, None, Reason.PROGRESSING, "the source was not read yet")
    if outcome.drift:
        return Condition(ConditionType.READY, False, Reason.DRIFT_DETECTED, _open_drift(outcome))
    if outcome.unpruned:
        return Condition(ConditionType.READY, False, Reason.PRUNE_HELD, _held(outcome))
    if outcome.pending:
        return Condition(ConditionType.READY, None, Reason.PROGRESSING, f"{_left_git(outcome.pending)} and will be deleted")
    revision = outcome.artifact.revision if outcome.artifact else ""
    kept = "".join(f"; {_left_git(kept.refs)}, kept by {kept.by}" for kept in outcome.kept)
    return Condition(
        ConditionType.READY,
        True,
        Reason.RECONCILED,
        f"{_plural(outcome.desired, 'object')} {'matches' if outcome.desired == 1 else 'match'} {revision}{kept}",
    )


def _source(outcome: Outcome) -> Condition:
    if error := outcome.source_error:
        return Condition(ConditionType.SOURCE_READY, False, error.reason, error.message)
    if outcome.artifact:
        return Condition(ConditionType.SOURCE_READY, True, Reason.FETCHED, f"newest commit is {outcome.artifact.revision}")
    return Condition(ConditionType.SOURCE_READY, None, Reason.PROGRESSING, "the source was not read yet")


def _verified(outcome: Outcome) -> tuple[Condition, ...]:
    """Of the newest commit; only where signatures are asked for."""
    if isinstance(outcome.source_error, VerificationFailedError):
        return (Condition(ConditionType.SOURCE_VERIFIED, False, outcome.source_error.verdict, outcome.source_error.message),)
    if outcome.artifact and outcome.artifact.signed_by:
        message = f"{outcome.artifact.revision} is signed by {outcome.artifact.signed_by}"
        return (Condition(ConditionType.SOURCE_VERIFIED, True, Reason.VERIFIED, message),)
    return ()


def _drifted(outcome: Outcome) -> Condition:
    if not outcome.evaluated:
        return Condition(ConditionType.DRIFTED, None, Reason.NOT_EVALUATED, "desired and live state were not compared yet")
    if outcome.drift:
        return Condition(ConditionType.DRIFTED, True, Reason.DRIFT_DETECTED, _open_drift(outcome))
    return Condition(ConditionType.DRIFTED, False, Reason.NO_DRIFT_DETECTED, "every declared field is as declared")


def _passes_by_itself(outcome: Outcome) -> bool:
    if outcome.problems:
        return any(problem.retryable for problem in outcome.problems)
    return (
        outcome.source_error is None or isinstance(outcome.source_error, TransientError | WaitingError) if not outcome.unpruned else False
    )


def _common_reason(problems: Iterable[Problem]) -> str:
    reasons = {problem.reason for problem in problems}
    return reasons.pop() if len(reasons) == 1 else Reason.APPLY_FAILED


def _problems(outcome: Outcome) -> str:
    spelled = "; ".join(str(problem) for problem in outcome.problems[:SPELLED_OUT])
    more = len(outcome.problems) - SPELLED_OUT
    held = f"; {_held(outcome)}" if outcome.unpruned else ""
    return f"{_plural(len(outcome.problems), 'problem')}: {spelled}" + (f"; and {more} more in status.problems" if more > 0 else "") + held


def _held(outcome: Outcome) -> str:
    return f"{_left_git(outcome.unpruned)}, but not the cluster, since {outcome.objection}"


def _left_git(refs: Sequence[ObjectRef]) -> str:
    names = ", ".join(str(ref) for ref in refs[:SPELLED_OUT])
    more = len(refs) - SPELLED_OUT
    return f"{_plural(len(refs), 'object')} left Git ({names}{f' and {more} more' if more > 0 else ''})"


def _open_drift(outcome: Outcome) -> str:
    fields = sum(len(drift) for _, drift in outcome.drift)
    first, drift = outcome.drift[0]
    path = drift[0].path if drift else ""
    return f"{_plural(fields, 'field')} of {_plural(len(outcome.drift), 'object')} drifted, first {first}{f' {path}' if path else ''}"


def _render(outcome: Outcome) -> dict[str, Any] | None:
    if outcome.rendered is None or not outcome.evaluated:
        return None
    entry = {
        "type": outcome.rendered.type,
        "digest": outcome.digest,
        "tool": outcome.rendered.tool,
        "warnings": _listed(one_line(warning, PROBLEM_CHARACTERS) for warning in outcome.rendered.warnings),
    }
    return {key: value for key, value in entry.items() if value}


def _evidence(outcome: Outcome) -> str:
    """Exactly which bytes were applied: commit, tree and render digest."""
    if outcome.artifact is None:
        return ""
    return f"{outcome.artifact.revision} (tree {outcome.artifact.directory[:12]}, objects {outcome.digest[:19]})"


def _drift(outcome: Outcome) -> dict[str, Any] | None:
    if not outcome.drift:
        return None
    sample = ({"object": str(ref), "path": f.path, "manager": f.manager} for ref, drift in outcome.drift for f in drift)
    return {"objects": len(outcome.drift), "fields": sum(len(d) for _, d in outcome.drift), "sample": _listed(sample)}


def _listed(entries: Iterable[_Entry]) -> list[_Entry]:
    """The first entries, as many as there is room for."""
    found, room = [], LISTED_BYTES
    for entry in islice(entries, LISTED):
        room -= len(orjson.dumps(entry))
        if room < 0:
            break
        found.append(entry)
    return found


def _counts(done: Iterable[Done]) -> str:
    words = {Action.CREATE: "created", Action.UPDATE: "updated", Action.PRUNE: "pruned"}
    tally: dict[str, int] = {}
    for item in done:
        tally[words[item.action]] = tally.get(words[item.action], 0) + 1
    return ", ".join(f"{count} {word}" for word, count in sorted(tally.items()))


def _repairs(done: list[Done]) -> str:
    first = done[0]
    if first.drift and first.drift[0].path:
        field = first.drift[0]
        kind = first.ref.group_kind
        what = f"{field.path} was {shown(kind, field.path, field.live)} instead of {shown(kind, field.path, field.desired)}"
        who = f", written by {one_line(field.manager)}" if field.manager else ""
        others = f" and {len(first.drift) - 1} more fields" if len(first.drift) > 1 else ""
    else:
        what, who, others = (
            ("was missing" if first.drift and first.drift[0].live is None and first.drift[0].desired else "was changed"),
            "",
            "",
        )
    more = f"; and {len(done) - 1} more objects" if len(done) > 1 else ""
    return f"{first.ref} {what}{who}{others}; repaired in {first.seconds * 1000:.0f} ms{more}"


def _problem(problem: Problem) -> dict[str, Any]:
    entry = {
        "reason": problem.reason,
        "message": one_line(problem.message, PROBLEM_CHARACTERS),
        "file": one_line(problem.file, FILE_CHARACTERS),
        "document": problem.document,
        "object": problem.object,
        "field": problem.field,
    }
    return {key: value for key, value in entry.items() if value}


def _message(previous: Mapping[str, Any], kind: ConditionType) -> str:
    return str(next((c.get("message", "") for c in previous.get("conditions") or () if c.get("type") == kind), ""))


def _plural(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _time(moment: Any) -> str:
    return str(moment.strftime("%Y-%m-%dT%H:%M:%SZ"))
