"""The metrics of vital state: score, confidence, health, signals, SLOs. Series of a ClusterState are there only for what it declares, and disappear with it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CollectorRegistry, Gauge

_OWNER: Final = ("namespace", "name")


@dataclass(frozen=True, slots=True)
class VitalStanding:
    """How well what a ClusterState runs is doing; None is not known."""

    score: int | None = None
    confidence: int = 0
    configuration: int | None = None
    vital: int | None = None
    accepted: bool | None = None
    completeness: float | None = None
    missing: Mapping[str, int] = field(default_factory=dict)
    """Sources of telemetry that tell nothing, by reason."""
    objects: Mapping[str, int] = field(default_factory=dict)
    """Declared objects by how they count."""
    signals: Mapping[str, int] = field(default_factory=dict)
    """By state."""
    slos: Mapping[str, int] = field(default_factory=dict)
    """By state."""
    pods_ready: float | None = None
    """0 to 1."""
    budget_left: float | None = None
    """Of the SLO with the least, 1 is all of it."""
    burn_rate: float | None = None
    """Of the SLO with the highest, in the last hour."""
    exhausted_in: float | None = None
    """Seconds, of the SLO that is used up first."""


class VitalMetrics:
    """Of all ClusterStates of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, meaning: str, *labels: str) -> Gauge:
            return Gauge(f"cvstate_{name}", meaning, (*_OWNER, *labels), registry=registry)

        self.score = gauge("score", "How well the whole is, 0 to 100, as status.cv.score; absent as long as nothing was compared.")
        self.confidence = gauge("confidence", "How much of the evidence for the score is there now, 0 to 100, as status.cv.confidence.")
        self.configuration = gauge("configuration_score", "How far the cluster is as Git declares, 0 to 100.")
        self.vital = gauge("vital_score", "How well what runs is doing, 0 to 100.")
        self.accepted = gauge("accepted", "1 if the whole is acceptable by spec.vital.acceptance, 0 if it is not, -1 if that is not known.")
        self.completeness = gauge(
            "telemetry_completeness_ratio", "Sources of telemetry that tell something, of those that are expected to, 0 to 1."
        )
        self.missing = gauge("telemetry_missing_sources", "Sources of telemetry that tell nothing now, by why.", "reason")
        self.objects = gauge(
            "objects_by_health", "Declared objects by how they count: Ready, Progressing, Degraded, Failed, Missing, Unknown.", "result"
        )
        self.signals = gauge("signals", "Signals by state: Passing, Pending, Breached, Unknown; NotAsked at the start.", "result")
        self.slos = gauge("slos", "Service level objectives by state: Met, Burning, Exhausted, Unknown; NotAsked at the start.", "result")
        self.pods_ready = gauge(
            "pods_ready_ratio", "Ready Pods of those that the workloads of the ClusterState ask for, 0 to 1; absent without workloads."
        )
        self.budget_left = gauge(
            "slo_error_budget_remaining_ratio",
            "Of the SLO with the least: the share of its error budget that is left; below 0 it is overdrawn.",
        )
        self.burn_rate = gauge(
            "slo_burn_rate_ratio",
            "Of the SLO with the highest: how many times faster than evenly its error budget was used up in the last hour.",
        )
        self.exhausted_in = gauge(
            "slo_error_budget_exhaustion_seconds",
            "When the first error budget is used up if it burns on as in the last hour; absent if none is.",
        )

        self._told: dict[tuple[Gauge, str, str], set[str]] = {}
        """Words that were told of, by metric and ClusterState."""
        self._set_once: set[tuple[Gauge, str, str]] = set()
        """Metrics that have a value, by ClusterState. To look for one among all series takes as long as there are series."""

    def tell(self, owner: tuple[str, str], standing: VitalStanding) -> None:
        """Where a ClusterState stands; `owner` is its namespace and name."""
        numbers = {
            self.score: standing.score,
            self.confidence: standing.confidence,
            self.configuration: standing.configuration,
            self.vital: standing.vital,
            self.accepted: -1 if standing.accepted is None else int(standing.accepted),
            self.completeness: standing.completeness,
            self.pods_ready: standing.pods_ready,
            self.budget_left: standing.budget_left,
            self.burn_rate: standing.burn_rate,
            self.exhausted_in: standing.exhausted_in,
        }
        for gauge, value in numbers.items():
            self._set(gauge, owner, value)
        counted = {self.missing: standing.missing, self.objects: standing.objects, self.signals: standing.signals, self.slos: standing.slos}
        for gauge, counts in counted.items():
            told = self._told.setdefault((gauge, *owner), set())
            told.update(counts)
            for word in told:  # what is not counted any more is none, and not as many as it was
                gauge.labels(*owner, word).set(counts.get(word, 0))

    def tell_budgets(self, owner: tuple[str, str], *, left: float | None, burn_rate: float | None, exhausted_in: float | None) -> None:
        """The error budgets of a ClusterState, which move with every answer."""
        self._set(self.budget_left, owner, left)
        self._set(self.burn_rate, owner, burn_rate)
        self._set(self.exhausted_in, owner, exhausted_in)

    def _set(self, gauge: Gauge, owner: tuple[str, str], value: float | None) -> None:
        if value is not None:
            self._set_once.add((gauge, *owner))
            gauge.labels(*owner).set(value)
        elif (gauge, *owner) in self._set_once:
            self._set_once.discard((gauge, *owner))
            gauge.remove(*owner)

    def forget(self, owner: tuple[str, str]) -> None:
        """A ClusterState is gone."""
        for gauge in self.all:
            gauge.remove_by_labels(_named(owner))
            self._told.pop((gauge, *owner), None)
            self._set_once.discard((gauge, *owner))

    @property
    def all(self) -> Iterator[Gauge]:
        """Every metric."""
        return (each for each in vars(self).values() if isinstance(each, Gauge))


def _named(owner: tuple[str, str]) -> dict[str, str]:
    return dict(zip(_OWNER, owner, strict=True))
