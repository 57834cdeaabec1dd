"""The metrics of vital state: score, confidence, health, signals, SLOs. Series of a ClusterState are there only for what it declares, and disappear with it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from prometheus_client import CollectorRegistry, Gauge

from cvstate_operator.api.conditions import ConditionType, by_type
from cvstate_operator.telemetry.condition_numbers import ternary
from cvstate_operator.telemetry.owned_series import OwnedSeries, Owner
from cvstate_operator.vital.verdicts.compliance import Configuration, Fault

AS_DECLARED: Final = "AsDeclared"
"""What objects count as that no fault is known of."""


@dataclass(frozen=True, slots=True)
class VitalStanding:
    """How well what a ClusterState runs is doing, beside what its status says in `cv` and in the condition Accepted; None is not known."""

    compared: Mapping[str, int] = field(default_factory=dict)
    """Declared objects by how they compare with Git: AsDeclared, or a `Fault` of `vital/verdicts/compliance.py`; empty as long as nothing was compared."""
    completeness: float | None = None
    missing: Mapping[str, int] = field(default_factory=dict)
    """Sources of telemetry that tell nothing, by reason."""
    objects: Mapping[str, int] = field(default_factory=dict)
    """Declared objects by how they count."""
    signals: Mapping[str, int] = field(default_factory=dict)
    """By state."""
    slos: Mapping[str, int] = field(default_factory=dict)
    """By state."""
    indicators: Mapping[str, float] = field(default_factory=dict)
    """Last values of the indicators that signals name (`api/vital.py`, Indicator); only of those that are known now."""
    pods_ready: float | None = None
    """0 to 1."""
    budget_left: float | None = None
    """Of the SLO with the least, 1 is all of it."""
    burn_rate: float | None = None
    """Of the SLO with the highest, in the last hour."""
    exhausted_in: float | None = None
    """Seconds, of the SLO that is used up first."""


def compared(configuration: Configuration) -> Mapping[str, int]:
    """Declared objects by how they compare with Git, for `VitalStanding.compared`; all of them together are those that Git declares."""
    if not configuration.is_evaluated:
        return {}
    counts = {fault.value: configuration.count(fault) for fault in Fault} | {Fault.HELD.value: max(0, configuration.held)}
    found = {word: number for word, number in counts.items() if number}
    return {AS_DECLARED: max(0, configuration.desired - sum(found.values())), **found}


class VitalMetrics:
    """Of all ClusterStates of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.own = own = OwnedSeries(registry)
        self.score = own.gauge("score", "How well the whole is, 0 to 100, as status.cv.score; absent as long as nothing was compared.")
        self.confidence = own.gauge("confidence", "How much of the evidence for the score is there now, 0 to 100, as status.cv.confidence.")
        self.configuration = own.gauge("configuration_score", "How far the cluster is as Git declares, 0 to 100.")
        self.vital = own.gauge("vital_score", "How well what runs is doing, 0 to 100.")
        self.compared = own.gauge(
            "objects_by_configuration",
            "Declared objects by how they compare with Git, each by its worst: AsDeclared; LowDrift, MediumDrift, HighDrift, CriticalDrift; "
            "Held; NotApplied; Unjudged. Those that cannot be seen count as they were found last.",
            "result",
        )
        self.accepted = own.gauge(
            "accepted", "1 if the whole is acceptable by spec.vital.acceptance, 0 if it is not, -1 if that is not known."
        )
        self.completeness = own.gauge(
            "telemetry_completeness_ratio", "Sources of telemetry that tell something, of those that are expected to, 0 to 1."
        )
        self.missing = own.gauge("telemetry_missing_sources", "Sources of telemetry that tell nothing now, by why.", "reason")
        self.objects = own.gauge(
            "objects_by_health", "Declared objects by how they count: Ready, Progressing, Degraded, Failed, Missing, Unknown.", "result"
        )
        self.signals = own.gauge("signals", "Signals by state: Passing, Pending, Breached, Unknown; NotAsked at the start.", "result")
        self.slos = own.gauge(
            "slos", "Service level objectives by state: Met, Burning, Exhausted, Unknown; NotAsked at the start.", "result"
        )
        self.indicators = own.gauge(
            "indicator",
            "What the operator counts in the cluster for signals that name an indicator, which is the kind; units as in indicators.md. "
            "Absent while it is not known.",
            "kind",
        )
        self.pods_ready = own.gauge(
            "pods_ready_ratio", "Ready Pods of those that the workloads of the ClusterState ask for, 0 to 1; absent without workloads."
        )
        self.budget_left = own.gauge(
            "slo_error_budget_remaining_ratio",
            "Of the SLO with the least: the share of its error budget that is left; below 0 it is overdrawn.",
        )
        self.burn_rate = own.gauge(
            "slo_burn_rate_ratio",
            "Of the SLO with the highest: how many times faster than evenly its error budget was used up in the last hour.",
        )
        self.exhausted_in = own.gauge(
            "slo_error_budget_exhaustion_seconds",
            "When the first error budget is used up if it burns on as in the last hour; absent if none is.",
        )

    def tell(self, owner: Owner, standing: VitalStanding) -> None:
        """Where a ClusterState stands; `owner` is its namespace and name."""
        self.own.set(self.completeness, owner, standing.completeness)
        self.own.set(self.pods_ready, owner, standing.pods_ready)
        self.tell_budgets(owner, left=standing.budget_left, burn_rate=standing.burn_rate, exhausted_in=standing.exhausted_in)
        counted = {
            self.compared: standing.compared,
            self.missing: standing.missing,
            self.objects: standing.objects,
            self.signals: standing.signals,
            self.slos: standing.slos,
        }
        for gauge, counts in counted.items():
            self.own.counts(gauge, owner, counts)
        self.own.only(self.indicators, owner, {(word,): value for word, value in standing.indicators.items()})

    def tell_status(self, owner: Owner, status: Mapping[str, Any]) -> None:
        """Score, confidence and verdict as the status says them, and nothing of what it does not say any more: see `standing_metrics`.

        Args:
            owner: namespace and name of the ClusterState.
            status: `status`; JSON.
        """
        cv = status.get("cv") or {}
        for gauge, part in ((self.score, "score"), (self.configuration, "configuration"), (self.vital, "vital")):
            self.own.set(gauge, owner, cv.get(part))
        self.own.set(self.confidence, owner, cv.get("confidence", 0))
        self.own.set(self.accepted, owner, ternary(by_type(status.get("conditions")).get(ConditionType.ACCEPTED)))
        if "configuration" not in cv:
            self.own.only(self.compared, owner, {})
        if "completeness" not in cv:
            self.own.set(self.completeness, owner, None)
            self.own.only(self.missing, owner, {})

    def tell_budgets(self, owner: Owner, *, left: float | None, burn_rate: float | None, exhausted_in: float | None) -> None:
        """The error budgets of a ClusterState, which move with every answer."""
        self.own.set(self.budget_left, owner, left)
        self.own.set(self.burn_rate, owner, burn_rate)
        self.own.set(self.exhausted_in, owner, exhausted_in)

    def forget(self, owner: Owner) -> None:
        """A ClusterState is gone."""
        self.own.forget(owner)

    @property
    def all(self) -> Iterator[Gauge]:
        """Every metric."""
        return (each for each in vars(self).values() if isinstance(each, Gauge))
