"""The metrics of where each ClusterState stands: ready or why not and since when, drift, gates, what waits.

What conditions say is told from the status, whichever way that came about: by a pass, by one that broke off, by a spec that was refused, or by an earlier life of the
operator. So `/metrics` says what `kubectl get` says, but for one: that a new revision is being applied (Ready Unknown, Progressing) is announced in the status alone.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from prometheus_client import CollectorRegistry

from cvstate_operator.api.conditions import ONLY_WHILE_TRUE, ConditionType, by_type
from cvstate_operator.api.drift import Severity
from cvstate_operator.telemetry.condition_numbers import ternary
from cvstate_operator.telemetry.owned_series import OwnedSeries, Owner
from cvstate_operator.telemetry.pass_results import OK
from cvstate_operator.telemetry.vital_metrics import VitalStanding

_WELL: Final = {kind.value: "True" for kind in ConditionType if kind not in ONLY_WHILE_TRUE} | {
    ConditionType.DRIFTED.value: "False",
    ConditionType.STALLED.value: "False",
}
"""What each condition is while all is well. Reconciling is not among them: that work goes on is nothing bad."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a ClusterState stands after a pass."""

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
        self._source_unmet: dict[Owner, float] = {}
        """Since when looks have failed, Unix time; of those whose last one did."""
        self._looked: set[Owner] = set()
        """Those whose source was looked at in this life: nothing that an earlier one told of it counts any more."""
        self.source_seen = own.gauge("source_last_success_timestamp_seconds", "When a look at the Git source last succeeded, Unix time.")
        self.source_failing = own.gauge(
            "source_failing_timestamp_seconds",
            "Since when every look at the Git source has failed, Unix time; reason is why the last one did. Absent while they succeed.",
            "reason",
        )
        self.ready = own.gauge("ready", "1 if the ClusterState is Ready, 0 if it is not, -1 if that is not known.")
        self.ready_reason = own.gauge(
            "ready_reason",
            "1 for the reason of the condition Ready as it is now, also Reconciled; one series for each ClusterState. target is where it acts: "
            "home, the cluster that the operator runs in, or remote.",
            "reason",
            "target",
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

    def tell_look(self, owner: Owner, result: str) -> None:
        """A look at the source ended; `result` is ok or a reason."""
        self._looked.add(owner)
        if result == OK:
            self.own.of(self.source_seen, owner).set_to_current_time()
            self.end_failing(owner)
            return
        since = self._source_unmet.setdefault(owner, time.time())
        self.own.only(self.source_failing, owner, {(result,): since})

    def end_failing(self, owner: Owner) -> None:
        """No look at the source fails any more: one succeeded, or none is made since the spec was refused that names it."""
        self._source_unmet.pop(owner, None)
        self.own.only(self.source_failing, owner, {})

    def tell_status(self, owner: Owner, status: Mapping[str, Any], *, target: str) -> None:
        """What the status says of a ClusterState now, also where no pass came to its end: a spec that was refused, a pass that broke off.

        Args:
            owner: its namespace and name.
            status: `status`; JSON.
            target: HOME or REMOTE.
        """
        conditions = by_type(status.get("conditions"))
        for gauge, kind in ((self.ready, ConditionType.READY), (self.healthy, ConditionType.HEALTHY)):
            self.own.set(gauge, owner, ternary(conditions.get(kind)))
        ready = conditions.get(ConditionType.READY)
        self.own.only(self.ready_reason, owner, {(str(ready.get("reason")), target): 1} if ready else {})
        unmet: dict[tuple[str, ...], float] = {
            (kind, str(one.get("reason"))): _unix(one.get("lastTransitionTime"))
            for kind, one in conditions.items()
            if one.get("status") != _WELL.get(kind, one.get("status"))
        }
        self.own.only(self.unmet, owner, unmet)
        source = conditions.get(ConditionType.SOURCE_READY, {})
        if source.get("status") == "False" and owner not in self._looked:
            # A source that has failed since yesterday has done so after a restart too.
            self._source_unmet.setdefault(owner, _unix(source.get("lastTransitionTime")))

    def forget(self, owner: Owner) -> None:
        """A ClusterState is gone."""
        self.own.forget(owner)
        self._source_unmet.pop(owner, None)
        self._looked.discard(owner)


def _unix(moment: Any) -> float:
    """RFC 3339 as Unix time; now, for what is no time: anybody may have written into the status."""
    try:
        return datetime.fromisoformat(str(moment)).timestamp()
    except ValueError:
        return time.time()
