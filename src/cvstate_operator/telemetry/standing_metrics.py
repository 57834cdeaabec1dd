"""The metrics of where each ClusterState stands: ready or why not and since when, drift, gates, what waits."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from prometheus_client import CollectorRegistry

from cvstate_operator.api.conditions import ONLY_WHILE_TRUE, ConditionType
from cvstate_operator.api.drift import Severity
from cvstate_operator.telemetry.owned_series import OwnedSeries, Owner
from cvstate_operator.telemetry.vital_metrics import VitalStanding

_WELL: Final = {kind.value: "True" for kind in ConditionType if kind not in ONLY_WHILE_TRUE} | {
    ConditionType.DRIFTED.value: "False",
    ConditionType.STALLED.value: "False",
}
"""What each condition is while all is well. Reconciling is not among them: that work goes on is nothing bad."""
_NUMBERS: Final = {"True": 1, "False": 0}


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a ClusterState stands after a pass."""

    ready: bool | None
    healthy: bool | None
    """None: not known."""
    objects: int
    desired: int
    problems: int
    drift: Mapping[str, int]
    """Open fields by severity."""
    drift_since: float | None
    """When the oldest was first seen, Unix time; None if there is none."""
    breakers: int
    waiting: int
    leaving: int = 0
    """Objects that left Git, and wait to be deleted: by an approval, a guard, a gate."""
    closed: Mapping[str, str] = field(default_factory=dict)
    """Classes of changes (`api/windows.py`, WindowAction) that may not be made now, and why (`plan/gates.py`, Reason)."""
    vital: VitalStanding = field(default_factory=VitalStanding)


class StandingMetrics:
    """Of all ClusterStates of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.own = own = OwnedSeries(registry)
        self.source_seen = own.gauge("source_last_success_timestamp_seconds", "When a look at the Git source last succeeded, Unix time.")
        self.ready = own.gauge("ready", "1 if the ClusterState is Ready, 0 if it is not, -1 if that is not known.")
        self.ready_reason = own.gauge(
            "ready_reason",
            "1 for the reason of the condition Ready as it is now, also Reconciled; one series for each ClusterState.",
            "reason",
        )
        self.unmet = own.gauge(
            "condition_unmet_timestamp_seconds",
            "Since when a condition is not as it is while all is well, Unix time; kind is its type, reason why. Absent while it is.",
            "kind",
            "reason",
        )
        self.healthy = own.gauge(
            "healthy",
            "1 if every object is ready and every signal in its range, 0 if one is not, -1 if that is not known: as the condition Healthy.",
        )
        self.objects = own.gauge("objects", "Managed objects in the cluster.")
        self.desired = own.gauge("desired_objects", "Objects that the newest commit declares.")
        self.problems = own.gauge("problems", "Files, documents and objects that cannot be brought into the cluster.")
        self.open_drift = own.gauge("drift_open_fields", "Fields that drifted and are not repaired.", "severity")
        self.drift_since = own.gauge(
            "drift_oldest_timestamp_seconds", "When the oldest drift that is open was first seen, Unix time; absent if there is none."
        )
        self.breakers = own.gauge("drift_breakers_open", "Fields left alone since somebody undoes every repair.")
        self.waiting = own.gauge("plan_waiting", "Changes that wait for approval.")
        self.leaving = own.gauge("prune_waiting", "Objects that left Git, and are kept until somebody approves, or what holds them ends.")
        self.closed = own.gauge(
            "gate_closed",
            "1 for a class of changes that may not be made now (action NewRevision, DriftRepair, Prune, Rollback), by why; absent if it may.",
            "action",
            "reason",
        )

    def tell(self, owner: Owner, standing: Standing) -> None:
        """Where a ClusterState stands after a pass."""
        own = self.own
        own.set(self.ready, owner, _ternary(standing.ready))
        own.set(self.healthy, owner, _ternary(standing.healthy))
        own.set(self.objects, owner, standing.objects)
        own.set(self.desired, owner, standing.desired)
        own.set(self.problems, owner, standing.problems)
        own.set(self.breakers, owner, standing.breakers)
        own.set(self.waiting, owner, standing.waiting)
        own.set(self.leaving, owner, standing.leaving)
        own.set(self.drift_since, owner, standing.drift_since)
        for severity in Severity:
            own.of(self.open_drift, owner, severity.value).set(standing.drift.get(severity.value, 0))
        own.only(self.closed, owner, dict.fromkeys(standing.closed.items(), 1))

    def tell_conditions(self, owner: Owner, conditions: Iterable[Mapping[str, Any]]) -> None:
        """What the status says of a ClusterState now, also where no pass came to its end: a spec that was refused, a pass that broke off.

        Args:
            owner: its namespace and name.
            conditions: `status.conditions`; JSON.
        """
        by_type = {str(one.get("type")): one for one in conditions}
        numbers = {
            kind: _NUMBERS.get(str(by_type.get(kind, {}).get("status")), -1) for kind in (ConditionType.READY, ConditionType.HEALTHY)
        }
        self.own.set(self.ready, owner, numbers[ConditionType.READY])
        if numbers[ConditionType.HEALTHY] != 1:
            # A status keeps what it said before where a pass broke off: that all is well, only a pass that came to its end may say (`tell`).
            self.own.set(self.healthy, owner, numbers[ConditionType.HEALTHY])
        ready = by_type.get(ConditionType.READY)
        self.own.only(self.ready_reason, owner, {(str(ready.get("reason")),): 1} if ready else {})
        unmet: dict[tuple[str, ...], float] = {
            (kind, str(one.get("reason"))): _unix(one.get("lastTransitionTime"))
            for kind, one in by_type.items()
            if one.get("status") != _WELL.get(kind, one.get("status"))
        }
        self.own.only(self.unmet, owner, unmet)


def _unix(moment: Any) -> float:
    """RFC 3339 as Unix time; now, for what is no time: anybody may have written into the status."""
    try:
        return datetime.fromisoformat(str(moment)).timestamp()
    except ValueError:
        return time.time()


def _ternary(value: bool | None) -> int:
    return -1 if value is None else int(value)
