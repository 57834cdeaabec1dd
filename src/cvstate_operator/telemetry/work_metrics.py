"""The metrics of what was done for ClusterStates: looks at sources, passes, writes, drift and its end."""

from typing import Final

from prometheus_client import CollectorRegistry, Histogram

from cvstate_operator.api.drift import DriftAction, Severity
from cvstate_operator.telemetry.owned_series import OwnedSeries, Owner
from cvstate_operator.telemetry.pass_results import PassResult

LOOK_BUCKETS: Final = (0.1, 0.5, 2.5, 10.0, 60.0)
"""Seconds; of a look at a Git server. Few, since each bucket is a series for each ClusterState."""
PASS_BUCKETS: Final = (0.05, 0.25, 1.0, 5.0, 30.0, 300.0)
"""Seconds; of a pass over a ClusterState."""
REPAIR_BUCKETS: Final = (0.025, 0.1, 0.5, 2.5, 10.0)
"""Seconds; of a repair, which takes tens of milliseconds on an idle API server."""
REMEDY_BUCKETS: Final = (1.0, 10.0, 60.0, 300.0, 3600.0, 86400.0)
"""Seconds; 300 is the starting target for critical drift."""
REMEDIES: Final = (DriftAction.AUTO, DriftAction.ALERT, DriftAction.APPROVE)
"""What is done about drift that is told; of what is ignored nothing is told."""


class WorkMetrics:
    """Of all ClusterStates of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.own = own = OwnedSeries(registry)
        self.fetches = own.counter("source_fetch", "Looks at a Git source.", "result")
        self.fetch_seconds = own.histogram("source_fetch_duration", "Duration of a look at a Git source.", LOOK_BUCKETS)
        self.reconciles = own.counter(
            "reconcile", "Passes over a ClusterState, and specs that were refused, by their outcome: ok, or why it is not Ready.", "result"
        )
        self.results = own.counter(
            "reconcile_results",
            "The same by whose move it is next: Succeeded; Waiting, for a person or a gate; Invalid, what was refused by checking it; "
            "Transient and Persistent failures.",
            "result",
        )
        self.reconcile_seconds = own.histogram("reconcile_duration", "Duration of a pass over a ClusterState.", PASS_BUCKETS)
        self.changes = own.counter("object_changes", "Managed objects written, or not.", "kind", "action", "result")
        self.denials = own.counter("policy_denials", "Writes that admission refused: a webhook, or a ValidatingAdmissionPolicy.")
        self.drift = own.counter("drift_opened", "Fields found drifted.", "kind", "severity")
        self.drift_events = own.counter(
            "drift_events",
            "The same, all kinds together; each severity is there from the beginning, so that increase() sees the first.",
            "severity",
        )
        self.remedy_seconds = own.histogram(
            "drift_remediation",
            "From first seeing a field drifted until it is as declared again; action Auto: by us, else by a person or with approval.",
            REMEDY_BUCKETS,
            "action",
        )
        self.remedy_seconds_by_severity = Histogram(
            "cvstate_drift_remediation_by_severity_seconds",
            "The same by severity, all ClusterStates together.",
            ("action", "severity"),
            buckets=REMEDY_BUCKETS,
            registry=registry,
        )
        self.repair_seconds = own.histogram(
            "drift_repair_duration", "From noticing a drift to the API server's answer that it is repaired.", REPAIR_BUCKETS
        )
        for action in REMEDIES:
            for severity in Severity:
                self.remedy_seconds_by_severity.labels(action, severity)

    def begin(self, owner: Owner) -> None:
        """A ClusterState came: what ratios and `increase()` ask of is there from the beginning."""
        self.own.of(self.denials, owner)
        for result in PassResult:
            self.own.of(self.results, owner, result)
        for severity in Severity:
            self.own.of(self.drift_events, owner, severity)
