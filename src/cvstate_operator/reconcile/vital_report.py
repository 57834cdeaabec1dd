"""The vital report: `status.cv` and `status.vital`. Pure; equal vitals give equal reports.

Numbers that move all the time (values, budgets, rates) are told as of the last change of a state, or of the last full resync: else the status of every ClusterState
would be written twice a minute. Metrics tell them as they are.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from cvstate_operator.objects.redaction import one_line
from cvstate_operator.reconcile.outcome import Outcome
from cvstate_operator.reconcile.vitals import Vitals
from cvstate_operator.vital import saved, signals
from cvstate_operator.vital.health.lapse import Lapse, Level
from cvstate_operator.vital.objectives import slo

SHOWN: Final = 20
"""Signals and SLOs that are told, the worst first."""
UNREADY_SHOWN: Final = 10
UNREADY_CHARACTERS: Final = 300
"""Longest message, and longest cause, of an object that is not ready."""
PROGRESS_CHARACTERS: Final = 96
"""A template and two numbers (`facts/progress`)."""
_MOVING: Final = ("value", "takenAt", "series", "budgetLeft", "burnRate", "exhaustedIn")
"""What is told anew only together with something else."""
_WORST: Final = ("Breached", "Exhausted", "Burning", "Unknown", "Pending", "Passing", "Met")


def cv(vitals: Vitals) -> dict[str, Any]:
    """`status.cv`."""
    score, ratio = vitals.score, vitals.completeness.ratio
    told = {
        "score": score.score,
        "confidence": score.confidence,
        "configuration": score.configuration,
        "vital": score.vital,
        "completeness": None if ratio is None else int(100 * ratio),
        "worst": score.worst or None,
    }
    return {key: value for key, value in told.items() if value is not None}


def vital(outcome: Outcome, vitals: Vitals, *, previous: Mapping[str, Any], is_full: bool) -> dict[str, Any]:
    """`status.vital`.

    Args:
        outcome: of the pass.
        vitals: what it comes to.
        previous: what was told last.
        is_full: whether everything is told anew.
    """
    found = {
        "objects": _counts(outcome, vitals),
        "unready": [_unready(str(ref), lapse, vitals.causes.get(ref, "")) for ref, lapse in outcome.health.worst[:UNREADY_SHOWN]],
        "signals": _told((signals.to_json(state) for _, state in vitals.known.signals if state), previous.get("signals"), is_full=is_full),
        "slos": _told((slo.to_json(state) for _, state in vitals.known.slos if state), previous.get("slos"), is_full=is_full),
        "pulls": [
            saved.without_empty({"name": pull.name, "message": one_line(pull.message, UNREADY_CHARACTERS)})
            | ({"since": saved.moment_text(pull.since)} if pull.since else {})
            | {"points": pull.points}
            for pull in vitals.score.pulls
        ],
    }
    return {key: value for key, value in found.items() if value}


def _counts(outcome: Outcome, vitals: Vitals) -> dict[str, int]:
    counts = vitals.objects
    told = {"ready": counts.ready, **{level.value.lower(): counts.count(level) for level in Level if level is not Level.READY}}
    return {name: number for name, number in told.items() if number or name == "ready"} if outcome.is_compared else {}


def _unready(name: str, lapse: Lapse, cause: str) -> dict[str, str]:
    return saved.without_empty(
        {
            "object": name,
            "state": lapse.level,
            "reason": lapse.reason or "Unknown",
            "message": one_line(lapse.message, UNREADY_CHARACTERS) or "not looked at since the start",
            "since": saved.moment_text(lapse.since),
            "progress": one_line(lapse.progress.text, PROGRESS_CHARACTERS) if lapse.progress else None,
            "progressedAt": saved.moment_text(lapse.progressed_at) if lapse.progressed_at else None,
            "cause": one_line(cause, UNREADY_CHARACTERS),
        }
    )


def _told(entries: Iterable[dict[str, str]], previous: Any, *, is_full: bool) -> list[dict[str, str]]:
    """The worst entries; one of which nothing but numbers changed stays as it was told."""
    before = {one.get("name"): one for one in previous or () if isinstance(one, Mapping)}
    kept = [old if not is_full and (old := before.get(one["name"])) and _is_same(one, old) else one for one in entries]
    return [dict(one) for one in sorted(kept, key=lambda one: (_WORST.index(one["state"]), one["name"]))[:SHOWN]]


def _is_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return {k: v for k, v in one.items() if k not in _MOVING} == {k: v for k, v in other.items() if k not in _MOVING}
