"""The report: from an outcome to the status. Pure; equal outcomes give equal statuses."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from itertools import islice
from types import MappingProxyType
from typing import Any, Final, TypeVar

import orjson

from cvstate_operator.api.change_plan import PlanAction
from cvstate_operator.api.conditions import Condition, ConditionType, Reason, merge
from cvstate_operator.api.windows import WindowAction
from cvstate_operator.drift.breaker import to_json
from cvstate_operator.drift.ledger import Entry, State
from cvstate_operator.errors import CvstateError, TargetUnreachableError
from cvstate_operator.objects.identity import ObjectRef
from cvstate_operator.objects.problem import FILE_CHARACTERS, Problem
from cvstate_operator.objects.redaction import one_line, shown
from cvstate_operator.plan import history, troubles
from cvstate_operator.reconcile import exchange, vital_report, wording
from cvstate_operator.reconcile.conditions import conditions, holding, obstacles
from cvstate_operator.reconcile.outcome import Held, Outcome
from cvstate_operator.reconcile.teardown_stage import Departure

_Entry = TypeVar("_Entry", dict[str, Any], str)

LISTED: Final = 20
"""Problems and drifted fields listed in the status; the rest is counted, so that the status does not grow with their number."""
LISTED_BYTES: Final = 12 * 1024
"""Size of any one list as JSON: names and paths come from Git and can be long. Three lists, the claims, seven conditions and the history stay below 64 KiB."""
QUARANTINE_CHARACTERS: Final = 500
"""Longest reason that is told of a revision that is not applied."""
EVIDENCE_SHOWN: Final = 3
"""Revisions of which it is told what spoke against them."""
EVIDENCE_CHARACTERS: Final = 300
_LASTING: Final = (
    ConditionType.SOURCE_READY,
    ConditionType.SOURCE_VERIFIED,
    ConditionType.DRIFTED,
    ConditionType.HEALTHY,
    ConditionType.TELEMETRY_COMPLETE,
    ConditionType.ACCEPTED,
)
_OF_TARGET: Final = (ConditionType.DRIFTED, ConditionType.HEALTHY, ConditionType.ACCEPTED)
"""Those that say something of the target cluster."""
PROBLEM_CHARACTERS: Final = 1000
"""Longest message of a listed problem: what the API server said is cut to 500 before, and a remedy follows it."""


def status(
    outcome: Outcome, *, previous: Mapping[str, Any], generation: int, handled_at: str | None, now: str, is_full: bool = True
) -> dict[str, Any]:
    """The whole status after a pass.

    Args:
        outcome: what the pass found.
        previous: the status as it is in the cluster.
        generation: of the spec that was acted on.
        handled_at: value of the annotation `requestedAt` that this pass answers; None keeps the one handled last.
        now: RFC 3339, for conditions that changed.
        is_full: whether numbers that move all the time are told anew.
    """
    candidates = {
        "observedGeneration": generation,
        "lastHandledReconcileAt": handled_at or previous.get("lastHandledReconcileAt"),
        "source": _source(outcome, previous.get("source") or {}),
        **_revisions(outcome, previous),
        "plan": _plan(outcome),
        "window": _window(outcome),
        **_vitals(outcome, previous, is_full=is_full),
        "drift": _drift(outcome),
        "breakers": _listed({"object": fight.object, **to_json(fight.key, fight.breaker)} for fight in outcome.fights),
        "claims": exchange.listed(outcome.claims) if outcome.is_compared else previous.get("claims"),
        "problems": listed_problems(outcome),
    }
    found = {key: value for key, value in candidates.items() if value}
    held = {
        str(reason): message for reason, message in reversed(tuple(holding(outcome)))
    }  # of two of one reason the first one counts, as in Ready
    return _told(previous, found, conditions(outcome), generation=generation, now=now, held=held, is_judged=outcome.evaluated)


def invalid_spec(error: CvstateError, *, previous: Mapping[str, Any], generation: int, now: str) -> dict[str, Any]:
    """The status of a ClusterState that cannot be carried out: nothing is touched, a human must act."""
    found = (
        Condition(ConditionType.READY, False, error.reason, error.message),
        Condition(ConditionType.STALLED, True, error.reason, error.message),
    )
    kept = {**_doubtful(previous), "observedGeneration": generation}
    return _told(previous, kept, found, generation=generation, now=now, is_judged=False)


def leaving(departure: Departure, *, previous: Mapping[str, Any], generation: int, now: str) -> dict[str, Any]:
    """The status of a ClusterState that is being deleted while its objects go first."""
    left = f"{wording.plural(len(departure.left), 'object')} to be deleted first ({wording.named(departure.left)})"
    message = f"{left}; waiting for {departure.why}. To leave them where they are, set spec.deletionPolicy: Orphan"
    ready = Condition(ConditionType.READY, False, Reason.DELETING, message)
    return _underway(_doubtful(previous), ready, Reason.DELETING, (), generation=generation, now=now, is_judged=True)


def broken(error: CvstateError, *, previous: Mapping[str, Any], generation: int, now: str) -> dict[str, Any]:
    """The status after a pass that an error ended half-way: what else it said before may still be so, but Ready is not."""
    message = f"the last pass was not finished and is repeated: {error.message}"
    ready = Condition(ConditionType.READY, False, error.reason, message)
    kept = _lasting(previous)
    if isinstance(error, TargetUnreachableError):
        # What was found out there may be otherwise by now, and nobody can look.
        kept = [Condition(c.type, None, error.reason, error.message) if c.type in _OF_TARGET else c for c in kept]
        previous = _doubtful(previous)
    return _underway(previous, ready, Reason.PROGRESSING_WITH_RETRY, kept, generation=generation, now=now)


def progressing(previous: Mapping[str, Any], *, generation: int, message: str, now: str) -> dict[str, Any]:
    """The status while a new spec or revision is worked on: Ready is not known to be true any more."""
    ready = Condition(ConditionType.READY, None, Reason.PROGRESSING, message)
    return _underway(previous, ready, Reason.PROGRESSING, _lasting(previous), generation=generation, now=now)


def _underway(
    previous: Mapping[str, Any],
    ready: Condition,
    reason: str,
    kept: Iterable[Condition],
    *,
    generation: int,
    now: str,
    is_judged: bool = False,
) -> dict[str, Any]:
    """The status before, with another Ready and whatever of the conditions is `kept`, while work goes on for that `reason`."""
    found = (*kept, ready, Condition(ConditionType.RECONCILING, True, reason, ready.message))
    rest = {**previous, "observedGeneration": generation}
    return _told(previous, rest, found, generation=generation, now=now, is_judged=is_judged)


def _told(
    previous: Mapping[str, Any],
    rest: Mapping[str, Any],
    found: Iterable[Condition],
    *,
    generation: int,
    now: str,
    held: Mapping[str, str] = MappingProxyType({}),
    is_judged: bool,
) -> dict[str, Any]:
    """A status, whole: `rest` is all of it but its conditions, and what is wrong beside them (`troubles.unresolved`)."""
    merged = merge(previous.get("conditions") or (), found, generation=generation, now=now)
    status = {**{key: value for key, value in rest.items() if key != "unresolved"}, "conditions": merged}
    unresolved = _listed(troubles.unresolved(previous, status, holding=held, is_judged=is_judged, now=now))
    return {**status, "unresolved": unresolved} if unresolved else status


def _doubtful(previous: Mapping[str, Any]) -> dict[str, Any]:
    """The status before, of which nothing can be relied on any more: the score is the one known last, and the confidence 0."""
    return {**previous, "cv": {**previous["cv"], "confidence": 0}} if previous.get("cv") else dict(previous)


def _lasting(previous: Mapping[str, Any]) -> list[Condition]:
    """Conditions that a pass says nothing new about until it ends."""
    return [
        Condition(ConditionType(c["type"]), {"True": True, "False": False}.get(c["status"]), c["reason"], c["message"])
        for c in previous.get("conditions") or ()
        if c["type"] in _LASTING
    ]


# -- parts of the status -------------------------------------------------------------------------------------------


def _source(outcome: Outcome, before: Mapping[str, Any]) -> Mapping[str, Any]:
    """The newest commit that was found, with the time at which it first was; as before if none is known."""
    artifact = outcome.held.artifact or outcome.artifact
    if artifact is None:
        return before
    fetched_at = _time(artifact.fetched_at)
    return {
        "revision": artifact.revision,
        "commitTime": _time(artifact.committed_at),
        "fetchedAt": before.get("fetchedAt", fetched_at) if before.get("revision") == artifact.revision else fetched_at,
        "url": outcome.url,
        "ref": artifact.ref,
        "tree": artifact.directory,
        **({"signedBy": artifact.signed_by} if artifact.signed_by else {}),
    }


def _revisions(outcome: Outcome, previous: Mapping[str, Any]) -> dict[str, Any]:
    """What became of revisions; what this pass did not come to stays as it was."""
    applied = outcome.artifact if outcome.is_rolled_out else None
    return {
        "lastAttemptedRevision": outcome.history[0].revision if outcome.history else previous.get("lastAttemptedRevision"),
        "lastAppliedRevision": applied.revision if applied else previous.get("lastAppliedRevision"),
        "lastAppliedFrom": {"url": outcome.url, "ref": applied.ref, "path": applied.path, "type": outcome.rendered.type}
        if applied and outcome.rendered
        else previous.get("lastAppliedFrom"),
        "render": _render(outcome) or previous.get("render"),
        "inventory": {"objects": outcome.members, "digest": outcome.digest} if outcome.evaluated else previous.get("inventory"),
        "lastGoodRevision": _good(outcome) or previous.get("lastGoodRevision"),
        "lastHandledReleased": outcome.released,
        "quarantined": [_quarantine(outcome, commit) for commit in sorted(outcome.quarantined)],
        "history": _histories(outcome.history),
    }


def _vitals(outcome: Outcome, previous: Mapping[str, Any], *, is_full: bool) -> dict[str, Any]:
    """How well what runs is doing; as before if it was not judged."""
    if (vitals := outcome.vitals) is None:
        return {"cv": previous.get("cv"), "vital": previous.get("vital")}
    before = previous.get("vital") or {}
    return {"cv": vital_report.cv(vitals), "vital": vital_report.vital(outcome, vitals, previous=before, is_full=is_full)}


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


def _drift(outcome: Outcome) -> dict[str, Any] | None:
    if not outcome.drift:
        return None
    entries = [(ref, entry) for ref, found in outcome.drift for entry in found]
    entries.sort(key=lambda one: (-one[1].severity.rank, one[0], one[1].drift.path))
    return {
        "objects": len(outcome.drift),
        "fields": len(entries),
        "highest": entries[0][1].severity.value,
        "since": _time(min(entry.first_seen for _, entry in entries)),
        "sample": _listed(_sample(ref, entry) for ref, entry in entries),
    }


def _sample(ref: ObjectRef, entry: Entry) -> dict[str, Any]:
    drift, kind = entry.drift, ref.group_kind
    told = {
        "live": shown(kind, drift.path, drift.live) if drift.path and drift.live is not None else None,
        "desired": shown(kind, drift.path, drift.desired) if drift.path and drift.desired is not None else None,
        "manager": one_line(drift.manager) or None,
        "writtenAt": drift.since or None,
    }
    return {
        "object": str(ref),
        "path": drift.path,
        **{key: value for key, value in told.items() if value is not None},
        "since": _time(entry.first_seen),
        "severity": entry.severity.value,
        "action": entry.action.value,
        "state": entry.state.value,
    }


def _plan(outcome: Outcome) -> dict[str, Any] | None:
    """What waits, and why."""
    held, pruning, waits = outcome.held, outcome.pruning, outcome.consent.waits
    told = {
        "digest": outcome.consent.digest,
        "create": held.creates,
        "update": held.updates + held.later,
        "recreate": sum(one.item.action is PlanAction.RECREATE for one in waits),
        "prune": sum(len(found.changes) for found in pruning.waiting) + len(pruning.deferred) + len(pruning.held),
        "repair": sum(entry.state in (State.AWAITING_APPROVAL, State.HELD) for _, found in outcome.drift for entry in found),
    }
    found = {key: value for key, value in told.items() if value}
    if not found:
        return None
    return {**found, "held": _held_by(outcome)}


def _held_by(outcome: Outcome) -> str:
    """Why the first of what waits does; Ready may be about something else."""
    held, repairs = outcome.held, outcome.blocks.get(WindowAction.DRIFT_REPAIR)
    if held.block and (held.creates or held.updates):
        return held.block.reason
    # A commit that is not worked with, and drift, keep nothing else from being written.
    others = replace(outcome, held=Held(later=held.later, frontier=held.frontier), drift=())
    return next((reason for reason, _ in obstacles(others)), repairs.reason if repairs else Reason.DRIFT_DETECTED)


def _quarantine(outcome: Outcome, commit: str) -> dict[str, Any]:
    told = {"revision": f"sha1:{commit}", "message": one_line(outcome.quarantined[commit], QUARANTINE_CHARACTERS)}
    return {**told, "rejected": True} if commit in outcome.rejected else told


def _window(outcome: Outcome) -> dict[str, Any] | None:
    if outcome.windows is None:
        return None
    blocked, change = outcome.windows.blocked, outcome.windows.next_change
    told = {
        "state": "Closed" if blocked else "Open",
        "blocks": [action.value for action in blocked],
        "nextChange": _time(change) if change else None,
    }
    return {key: value for key, value in told.items() if value}


def _histories(entries: Iterable[history.Entry]) -> list[dict[str, Any]]:
    """Every revision; what spoke against one only of the newest few."""
    found = [_begun(entry) for entry in entries]
    for late in [entry for entry in found if "evidence" in entry][EVIDENCE_SHOWN:]:
        del late["evidence"]
    return found


def _begun(entry: history.Entry) -> dict[str, Any]:
    told = {
        "revision": entry.revision,
        "digest": entry.digest or None,
        "outcome": entry.stage.value,
        "startedAt": _exact(entry.started_at),
        "durationSeconds": None if entry.seconds is None else round(entry.seconds, 3),
        "correlationID": entry.correlation_id or None,
        "evidence": [one_line(line, EVIDENCE_CHARACTERS) for line in entry.evidence] or None,
    }
    return {key: value for key, value in told.items() if value is not None}


def _good(outcome: Outcome) -> str:
    return next((entry.revision for entry in outcome.history if entry.stage is history.Stage.HEALTHY), "")


def listed_problems(outcome: Outcome) -> list[dict[str, Any]]:
    """The problems that the status lists: the first ones, as many as there is room for."""
    return _listed(_problem(problem) for problem in outcome.problems)


def _listed(entries: Iterable[_Entry]) -> list[_Entry]:
    """The first entries, as many as there is room for."""
    found, room = [], LISTED_BYTES
    for entry in islice(entries, LISTED):
        room -= len(orjson.dumps(entry))
        if room < 0:
            break
        found.append(entry)
    return found


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


def _time(moment: Any) -> str:
    return str(moment.strftime("%Y-%m-%dT%H:%M:%SZ"))


def _exact(moment: datetime) -> str:
    """With its microseconds: durations are told from it."""
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
