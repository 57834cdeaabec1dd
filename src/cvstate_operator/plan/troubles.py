"""Troubles: what is wrong with a ClusterState by its status, for those who are told of it (`plan/incidents.py`). Pure.

Read from the status, and not from a pass: it is what people see, and what an earlier life of the operator, or another replica, left behind.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from cvstate_operator.api.conditions import ConditionType, Reason, by_type
from cvstate_operator.api.drift import Severity
from cvstate_operator.api.notices import MuteInWindows, NoticeSeverity
from cvstate_operator.api.windows import WindowAction
from cvstate_operator.errors import FencedError, InternalError, StaleError
from cvstate_operator.objects.redaction import one_line
from cvstate_operator.plan import gates
from cvstate_operator.vital.facts.moments import moment
from cvstate_operator.vital.verdicts.verdict import Reason as Verdict

_WELL: Final = {
    ConditionType.READY: "True",
    ConditionType.SOURCE_READY: "True",
    ConditionType.HEALTHY: "True",
    ConditionType.DRIFTED: "False",
    ConditionType.ACCEPTED: "True",
}
"""Conditions that tell of trouble, in the order in which one is named if several give the same reason; and their status when all is well."""
_UNKNOWN: Final = "Unknown"

_BLIND: Final = frozenset({Reason.TELEMETRY_GAP, Reason.TARGET_UNREACHABLE})
"""Reasons for which Unknown is trouble, not a moment without an answer."""
_UNSETTLED: Final = frozenset(
    {Reason.PROGRESSING, Reason.PROGRESSING_WITH_RETRY, Reason.NOT_EVALUATED, Verdict.SETTLING, FencedError.reason, StaleError.reason}
)
"""Reasons that say nothing yet: what was wrong may still be, what was well too. Also of passes that broke off since somebody else was quicker."""
_WANTED: Final = frozenset(
    {
        gates.Reason.EMERGENCY_STOP,
        gates.Reason.SUSPENDED,
        gates.Reason.OBSERVE_ONLY,
        gates.Reason.WINDOW_CLOSED,
        gates.Reason.SOURCE_CHANGED,
        Reason.WAVE_NOT_READY,
        Reason.DELETING,
    }
)
"""Reasons that are as somebody wants it, or part of an ordinary roll-out."""

_SEVERITIES: Final = {
    Reason.DEGRADED: NoticeSeverity.CRITICAL,
    Reason.SIGNAL_BREACHED: NoticeSeverity.CRITICAL,
    Reason.TARGET_UNREACHABLE: NoticeSeverity.CRITICAL,
    Verdict.CRITICAL_BREACHED: NoticeSeverity.CRITICAL,
    InternalError.reason: NoticeSeverity.CRITICAL,
    Reason.AWAITING_APPROVAL: NoticeSeverity.INFO,
    gates.Reason.DEPENDENCY_NOT_READY: NoticeSeverity.INFO,
}
"""Of the others: Warning."""
_DRIFT_SEVERITIES: Final = {Severity.CRITICAL.value: NoticeSeverity.CRITICAL, Severity.LOW.value: NoticeSeverity.INFO}
_MESSAGE_CHARACTERS: Final = 1000
"""Longest message that is kept of what is unresolved: notices tell no more of it."""
_COVERED_BY: Final = {
    str(Verdict.CRITICAL_BREACHED): str(Reason.SIGNAL_BREACHED),
    str(Reason.DRIFT_DETECTED): str(Reason.BREAKER_OPEN),
}
"""Troubles that are another word for what is told already: what is on the left is left out beside what is on the right."""

_MENDED_BY: Final = {
    str(Reason.DRIFT_DETECTED): frozenset({WindowAction.DRIFT_REPAIR}),
    str(Reason.BREAKER_OPEN): frozenset({WindowAction.DRIFT_REPAIR}),
    str(Reason.AWAITING_APPROVAL): frozenset({WindowAction.NEW_REVISION, WindowAction.DRIFT_REPAIR}),
    str(Reason.PRUNE_HELD): frozenset({WindowAction.PRUNE}),
    str(Reason.ROLLED_BACK): frozenset({WindowAction.NEW_REVISION}),
    str(gates.Reason.QUARANTINED): frozenset({WindowAction.NEW_REVISION}),
    str(gates.Reason.ERROR_BUDGET_BURNING): frozenset({WindowAction.NEW_REVISION}),
    str(gates.Reason.DEPENDENCY_NOT_READY): frozenset({WindowAction.NEW_REVISION}),
}
"""Changes that end a trouble. While all of them are held by windows, nobody can do anything about it."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is wrong."""

    reason: str
    condition: str
    """Type of the condition that says so."""
    severity: NoticeSeverity
    message: str
    since: datetime | None
    """Since when the condition has its status; None if it does not say. It may have had another reason at first."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What a status says of troubles."""

    troubles: Mapping[str, Trouble]
    """By reason."""
    unknown: frozenset[str]
    """Types of conditions that say nothing now: a trouble that one of them told of goes on as it was."""
    blocked: frozenset[str]
    """Classes of changes that windows hold; empty if none are closed."""
    unresolved: Mapping[str, Trouble]
    """By reason: what those conditions told of before, as `unresolved` kept it. For who did not see it then."""
    revision: str
    """That the ClusterState is about; empty if none was read yet."""

    def is_muted(self, reason: str, mute: MuteInWindows) -> bool:
        """Whether a trouble is not to be told of since a window is closed."""
        match mute:
            case MuteInWindows.NOTHING:
                return False
            case MuteInWindows.ALL:
                return bool(self.blocked)
            case MuteInWindows.CHANGES:
                mended = _MENDED_BY.get(reason)
                return mended is not None and self.blocked >= mended


def read(status: Mapping[str, Any]) -> Sight:
    """What is wrong by `status`, as it stands in the cluster or is about to; an empty one says nothing."""
    conditions = by_type(status.get("conditions"))
    found: dict[str, Trouble] = {}
    unknown = set()
    for kind in _WELL:
        condition = conditions.get(kind.value)
        trouble = _trouble(kind, condition) if condition else None
        if condition is None or (trouble is None and _says_nothing(condition)):
            unknown.add(kind.value)
        if trouble and (first := found.setdefault(trouble.reason, trouble)) is not trouble:
            found[trouble.reason] = replace(first, since=_earlier(first.since, trouble.since))
    for trouble in _hidden(status, found):
        found[trouble.reason] = trouble
    if drift := found.get(Reason.DRIFT_DETECTED):
        found[drift.reason] = replace(drift, severity=_drift_severity(status))
    window = status.get("window") or {}
    return Sight(
        troubles={reason: trouble for reason, trouble in found.items() if _COVERED_BY.get(reason) not in found},
        unknown=frozenset(unknown),
        unresolved=_unresolved(status, frozenset(unknown), found),
        blocked=frozenset(window.get("blocks") or ()) if window.get("state") == "Closed" else frozenset(),
        revision=str(status.get("lastAttemptedRevision") or (status.get("source") or {}).get("revision") or ""),
    )


def severities(reason: str) -> frozenset[NoticeSeverity]:
    """All that trouble of this reason may have at one time or another."""
    if reason == Reason.DRIFT_DETECTED:
        return frozenset(NoticeSeverity)
    return frozenset({_SEVERITIES.get(reason, NoticeSeverity.WARNING)})


def unresolved(before: Mapping[str, Any], conditions: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """`status.unresolved`: what conditions told of that say nothing now, so that the end of it can be told whoever is here then; empty if there is none.

    Args:
        before: the status before.
        conditions: of the status that is about to be written.
    """
    now = by_type(conditions)
    if all(kind.value in now and not _says_nothing(now[kind.value]) for kind in _WELL):
        return []  # as it is most of the time
    then, sight = read(before), read({"conditions": conditions})
    found = {reason: one for reason, one in {**then.unresolved, **then.troubles}.items() if one.condition in sight.unknown and one.since}
    return [
        {
            "type": one.condition,
            "reason": reason,
            "severity": one.severity.value,
            "message": one_line(one.message, _MESSAGE_CHARACTERS),
            "since": one.since.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        for reason, one in sorted(found.items())
        if one.since and reason not in sight.troubles
    ]


def _unresolved(status: Mapping[str, Any], unknown: Set[str], found: Mapping[str, Trouble]) -> dict[str, Trouble]:
    """As `unresolved` kept it. What a condition says something of by now counts no more, nor what is told by another one."""
    told = (
        Trouble(one["reason"], one["type"], NoticeSeverity(one["severity"]), one["message"], moment(one["since"]))
        for one in status.get("unresolved") or ()
    )
    return {one.reason: one for one in told if one.condition in unknown and one.reason not in found}


def _trouble(kind: ConditionType, condition: Mapping[str, Any]) -> Trouble | None:
    """What a condition says is wrong; None if it says that all is well, or nothing."""
    status, reason = condition.get("status"), str(condition.get("reason") or "")
    if status == _WELL[kind] or (status == _UNKNOWN and reason not in _BLIND) or reason in _UNSETTLED or reason in _WANTED:
        return None
    severity = _SEVERITIES.get(reason, NoticeSeverity.WARNING)
    return Trouble(reason, kind.value, severity, str(condition.get("message") or ""), moment(condition.get("lastTransitionTime")))


def _says_nothing(condition: Mapping[str, Any]) -> bool:
    return condition.get("status") == _UNKNOWN or condition.get("reason") in _UNSETTLED


def _hidden(status: Mapping[str, Any], found: Mapping[str, Trouble]) -> Iterable[Trouble]:
    """Troubles that Ready does not name since something else matters more. They are not over."""
    plan = status.get("plan") or {}
    held = plan.get("held")
    if held in (Reason.AWAITING_APPROVAL, Reason.PRUNE_HELD) and held not in found:
        told = ", ".join(f"{plan[kind]} to {kind}" for kind in ("create", "update", "recreate", "prune", "repair") if plan.get(kind))
        yield Trouble(str(held), ConditionType.READY.value, _SEVERITIES.get(held, NoticeSeverity.WARNING), f"waiting: {told}", None)
    is_fight = any(one.get("openedAt") for one in status.get("breakers") or ())
    if is_fight and Reason.BREAKER_OPEN not in found and (drift := found.get(Reason.DRIFT_DETECTED)):
        yield replace(drift, reason=str(Reason.BREAKER_OPEN))


def _drift_severity(status: Mapping[str, Any]) -> NoticeSeverity:
    """By the highest severity of a field that drifted."""
    return _DRIFT_SEVERITIES.get((status.get("drift") or {}).get("highest", ""), NoticeSeverity.WARNING)


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((at for at in (one, other) if at is not None), default=None)
