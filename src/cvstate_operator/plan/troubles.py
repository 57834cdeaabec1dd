"""Troubles: what is wrong with a ClusterState by its status, for those who are told of it (`plan/incidents.py`). Pure.

Read from the status, and not from a pass: it is what people see, and what an earlier life of the operator, or another replica, left behind.
"""

from collections.abc import Iterable, Mapping, Set
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
_OF_DRIFT: Final = {str(Reason.DRIFT_DETECTED): NoticeSeverity.INFO, str(Reason.BREAKER_OPEN): NoticeSeverity.WARNING}
"""Troubles that are as severe as the field that matters most of those that drifted; and how severe at least. A fight is told in place of all drift."""
_HOLDING: Final = frozenset(
    {str(Reason.ROLLED_BACK), *map(str, (gates.Reason.QUARANTINED, gates.Reason.ERROR_BUDGET_BURNING, gates.Reason.DEPENDENCY_NOT_READY))}
)
"""Troubles that keep the newest commit back. Ready tells them only if nothing went wrong; that something did, as a look at Git, ends none of them."""
_MESSAGE_CHARACTERS: Final = 1000
"""Longest message of a trouble: notices tell no more of it."""
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
    """Since when it is wrong for this reason, whole seconds; None if the status does not say."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What a status says of troubles."""

    troubles: Mapping[str, Trouble]
    """By reason."""
    unknown: frozenset[str]
    """Types of conditions that say nothing now; see `is_unknown`."""
    unseen: frozenset[str]
    """Types of conditions that say only that the cluster cannot be reached."""
    blocked: frozenset[str]
    """Classes of changes that windows hold; empty if none are closed."""
    unresolved: Mapping[str, Trouble]
    """By reason: what those conditions told of before, as `unresolved` kept it. For who did not see it then."""
    revision: str
    """That the ClusterState is about; empty if none was read yet."""

    def is_unknown(self, trouble: Trouble) -> bool:
        """Whether nothing is known now of a trouble that was there: it goes on as it was."""
        if trouble.reason in self.troubles:
            return False
        return trouble.condition in self.unknown or (trouble.condition in self.unseen and trouble.reason != Reason.TARGET_UNREACHABLE)

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
    unknown, unseen = set(), set()
    for kind in _WELL:
        condition = conditions.get(kind.value)
        trouble = _trouble(kind, condition) if condition else None
        if condition is None or (trouble is None and _says_nothing(condition)):
            unknown.add(kind.value)
        if trouble and trouble.reason == Reason.TARGET_UNREACHABLE:
            unseen.add(kind.value)
        if trouble and (first := found.setdefault(trouble.reason, trouble)) is not trouble:
            found[trouble.reason] = replace(first, since=_earlier(first.since, trouble.since))
    for trouble in _hidden(status, found):
        found[trouble.reason] = trouble
    found, silent = _recalled(status, found, unknown | unseen)
    for reason, least in _OF_DRIFT.items():
        if trouble := found.get(reason):
            found[reason] = replace(trouble, severity=max(least, _drift_severity(status), key=lambda one: one.rank))
    window = status.get("window") or {}
    return Sight(
        troubles={reason: trouble for reason, trouble in found.items() if _COVERED_BY.get(reason) not in found},
        unknown=frozenset(unknown),
        unseen=frozenset(unseen),
        unresolved=silent,
        blocked=frozenset(window.get("blocks") or ()) if window.get("state") == "Closed" else frozenset(),
        revision=str(status.get("lastAttemptedRevision") or (status.get("source") or {}).get("revision") or ""),
    )


def severities(reason: str) -> frozenset[NoticeSeverity]:
    """All that trouble of this reason may have at one time or another."""
    if least := _OF_DRIFT.get(reason):
        return frozenset(one for one in NoticeSeverity if one.rank >= least.rank)
    return frozenset({_SEVERITIES.get(reason, NoticeSeverity.WARNING)})


def unresolved(
    before: Mapping[str, Any], after: Mapping[str, Any], *, holding: Mapping[str, str], is_judged: bool, now: str
) -> list[dict[str, str]]:
    """`status.unresolved`: what is wrong beside what the conditions tell, the worst first; and since when, where they do not say. Empty if there is nothing.

    So whoever is here later knows what was told already, and can tell the end of it:

    - what a condition told of that says nothing now, or nothing but that the cluster cannot be reached;
    - what keeps the newest commit back while Ready tells of something else;
    - since when a condition has its reason, if that is not when it came to its status; the same of what other parts of the status tell.

    Args:
        before: the status before.
        after: the status that is about to be written, without `unresolved`.
        holding: what keeps the newest commit back: message by reason. Other reasons than those that Ready may hide are passed over.
        is_judged: whether that is all; else what there was before goes on.
        now: RFC 3339, for what was not known before.
    """
    sight = read(after)
    if not (sight.troubles or sight.unknown or holding):
        return []  # as it is most of the time
    then, at = read(before), moment(now)
    known = {**then.unresolved, **then.troubles}
    silent = {reason: one for reason, one in known.items() if sight.is_unknown(one) or (reason in _HOLDING and not is_judged)} | {
        reason: Trouble(reason, ConditionType.READY.value, _SEVERITIES.get(reason, NoticeSeverity.WARNING), _short(message), at)
        for reason, message in holding.items()
        if reason in _HOLDING
    }
    found = []
    for reason, one in sorted({**silent, **sight.troubles}.items(), key=lambda item: (-item[1].severity.rank, item[0])):
        since = (known[reason].since if reason in known else None) or at
        if since is None or (reason in sight.troubles and since == one.since):
            continue
        found.append(
            {
                "type": one.condition,
                "reason": reason,
                "severity": one.severity.value,
                "message": "" if reason in sight.troubles else one.message,  # no text stands in a status twice
                "since": since.strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
        )
    return found


def _recalled(status: Mapping[str, Any], found: Mapping[str, Trouble], unknown: Set[str]) -> tuple[dict[str, Trouble], dict[str, Trouble]]:
    """What was `found`, by what `unresolved` kept: with what Ready hides, and since when each of them is there; and what conditions told of that are `unknown` now."""
    told, silent = dict(found), {}
    for one in status.get("unresolved") or ():
        reason, since = one["reason"], moment(one["since"])
        if reason in found:
            told[reason] = replace(found[reason], since=since)
            continue
        trouble = Trouble(reason, one["type"], NoticeSeverity(one["severity"]), one["message"], since)
        if one["type"] in unknown:
            silent[reason] = trouble
        elif reason in _HOLDING:
            told[reason] = trouble
    return told, silent


def _trouble(kind: ConditionType, condition: Mapping[str, Any]) -> Trouble | None:
    """What a condition says is wrong; None if it says that all is well, or nothing."""
    status, reason = condition.get("status"), str(condition.get("reason") or "")
    if status == _WELL[kind] or (status == _UNKNOWN and reason not in _BLIND) or reason in _UNSETTLED or reason in _WANTED:
        return None
    severity = _SEVERITIES.get(reason, NoticeSeverity.WARNING)
    return Trouble(reason, kind.value, severity, _short(str(condition.get("message") or "")), moment(condition.get("lastTransitionTime")))


def _short(message: str) -> str:
    return one_line(message, _MESSAGE_CHARACTERS)


def _says_nothing(condition: Mapping[str, Any]) -> bool:
    return condition.get("status") == _UNKNOWN or condition.get("reason") in _UNSETTLED


def _hidden(status: Mapping[str, Any], found: Mapping[str, Trouble]) -> Iterable[Trouble]:
    """Troubles that Ready does not name since something else matters more, as far as other parts of the status tell of them. They are not over."""
    plan = status.get("plan") or {}
    held = plan.get("held")
    if held in (Reason.AWAITING_APPROVAL, Reason.PRUNE_HELD) and held not in found:
        told = ", ".join(f"{plan[kind]} to {kind}" for kind in ("create", "update", "recreate", "prune", "repair") if plan.get(kind))
        yield Trouble(str(held), ConditionType.READY.value, _SEVERITIES.get(held, NoticeSeverity.WARNING), f"waiting: {told}", None)
    if fight := found.get(Reason.BREAKER_OPEN):
        yield replace(fight, condition=ConditionType.DRIFTED.value)  # when that says nothing, nothing is known of the fight either
    elif any(one.get("openedAt") for one in status.get("breakers") or ()) and (drift := found.get(Reason.DRIFT_DETECTED)):
        yield replace(drift, reason=str(Reason.BREAKER_OPEN), since=None)


def _drift_severity(status: Mapping[str, Any]) -> NoticeSeverity:
    """By the highest severity of a field that drifted."""
    return _DRIFT_SEVERITIES.get((status.get("drift") or {}).get("highest", ""), NoticeSeverity.WARNING)


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((at for at in (one, other) if at is not None), default=None)
