"""Metrics: every number we tell about ourselves, with its unit in its name and labels from small fixed sets.

`namespace` and `name` are those of the ClusterState; series of a ClusterState disappear with it. docs/metrics.md lists them all (a test keeps it in step).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import generate_latest

from cvstate_operator import __version__
from cvstate_operator.api.drift import Severity
from cvstate_operator.telemetry.vital_metrics import VitalMetrics, VitalStanding

_OWNER: Final = ("namespace", "name")
_FAST: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_LONG: Final = (0.01, 0.05, 0.25, 1.0, 5.0, 30.0, 300.0, 1800.0, 7200.0, 28800.0, 86400.0, 604800.0)
_SLOW: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class Described(NamedTuple):
    """One metric as the reference tells it."""

    name: str
    """Without the suffix `_total` of counters."""
    type: str
    labels: tuple[str, ...]
    meaning: str


class Metrics:
    """All metrics of one process, in a registry of their own."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for every counter, of which nobody asks
        self.registry = CollectorRegistry()
        registry = self.registry
        self.build = Gauge("cvstate_build_info", "Version of the operator; always 1.", ("version",), registry=registry)
        self.build.labels(__version__).set(1)
        self.reconciles = Counter("cvstate_reconcile_total", "Passes over a ClusterState.", (*_OWNER, "result"), registry=registry)
        self.reconcile_seconds = Histogram(
            "cvstate_reconcile_duration_seconds", "Duration of a pass over a ClusterState.", _OWNER, buckets=_SLOW, registry=registry
        )
        self.fetches = Counter("cvstate_source_fetch_total", "Looks at a Git source.", (*_OWNER, "result"), registry=registry)
        self.fetch_seconds = Histogram(
            "cvstate_source_fetch_duration_seconds", "Duration of a look at a Git source.", _OWNER, buckets=_SLOW, registry=registry
        )
        self.source_seen = Gauge(
            "cvstate_source_last_success_timestamp_seconds",
            "When a look at the Git source last succeeded, Unix time.",
            _OWNER,
            registry=registry,
        )
        self.deliveries = Counter("cvstate_webhook_deliveries_total", "Push notifications received.", ("result",), registry=registry)
        self.cache_bytes = Gauge(
            "cvstate_cache_bytes", "Disk used by the operator's cache, at its last collection.", ("kind",), registry=registry
        )
        self.changes = Counter(
            "cvstate_object_changes_total", "Managed objects written, or not.", (*_OWNER, "kind", "action", "result"), registry=registry
        )
        self.drift = Counter("cvstate_drift_opened_total", "Fields found drifted.", (*_OWNER, "kind", "severity"), registry=registry)
        self.remedy_seconds = Histogram(
            "cvstate_drift_remediation_seconds",
            "From first seeing a field drifted until it is as declared again; action Auto: by us, else by a person or with approval.",
            (*_OWNER, "action"),
            buckets=_LONG,
            registry=registry,
        )
        self.repair_seconds = Histogram(
            "cvstate_drift_repair_duration_seconds",
            "From noticing a drift to the API server's answer that it is repaired.",
            _OWNER,
            buckets=_FAST,
            registry=registry,
        )
        self.ready = Gauge(
            "cvstate_ready", "1 if the ClusterState is Ready, 0 if it is not, -1 if that is not known.", _OWNER, registry=registry
        )
        self.objects = Gauge("cvstate_objects", "Managed objects in the cluster.", _OWNER, registry=registry)
        self.desired = Gauge("cvstate_desired_objects", "Objects that the newest commit declares.", _OWNER, registry=registry)
        self.problems = Gauge(
            "cvstate_problems", "Files, documents and objects that cannot be brought into the cluster.", _OWNER, registry=registry
        )
        self.open_drift = Gauge(
            "cvstate_drift_open_fields", "Fields that drifted and are not repaired.", (*_OWNER, "severity"), registry=registry
        )
        self.drift_since = Gauge(
            "cvstate_drift_oldest_timestamp_seconds",
            "When the oldest drift that is open was first seen, Unix time; absent if there is none.",
            _OWNER,
            registry=registry,
        )
        self.breakers = Gauge(
            "cvstate_drift_breakers_open", "Fields left alone since somebody undoes every repair.", _OWNER, registry=registry
        )
        self.waiting = Gauge("cvstate_plan_waiting", "Changes that wait for approval.", _OWNER, registry=registry)
        self.healthy = Gauge(
            "cvstate_healthy",
            "1 if every object is ready and every signal in its range, 0 if one is not, -1 if that is not known: as the condition Healthy.",
            _OWNER,
            registry=registry,
        )
        self.requests = Counter(
            "cvstate_api_requests_total", "Requests to the API server, watches apart.", ("action", "result"), registry=registry
        )
        self.request_seconds = Histogram(
            "cvstate_api_request_duration_seconds", "Duration of requests to the API server.", ("action",), buckets=_FAST, registry=registry
        )
        self.loop_lag = Histogram(
            "cvstate_event_loop_lag_seconds", "How late the event loop runs a timer.", buckets=_FAST, registry=registry
        )

        self.asked = Counter(
            "cvstate_prometheus_requests_total", "Questions to Prometheus, by what came of them.", ("result",), registry=registry
        )
        self.asked_seconds = Histogram(
            "cvstate_prometheus_request_duration_seconds", "Duration of questions to Prometheus.", buckets=_SLOW, registry=registry
        )
        self.vital = VitalMetrics(registry)
        self._requests_seen: dict[tuple[str, str], tuple[Counter, Histogram]] = {}
        """Series by action and result: to look one up takes as long as to count."""

    def observe_request(self, *, action: str, result: str, seconds: float) -> None:
        """A request to the API server ended."""
        series = self._requests_seen.get((action, result))
        if series is None:
            series = self._requests_seen[action, result] = (self.requests.labels(action, result), self.request_seconds.labels(action))
        counter, histogram = series
        counter.inc()
        histogram.observe(seconds)

    def described(self) -> tuple[Described, ...]:
        """What each metric is, for the reference."""
        metrics = (m for m in (*vars(self).values(), *self.vital.all) if isinstance(m, (Counter, Gauge, Histogram)))
        return tuple(Described(m._name, m._type, m._labelnames, m._documentation) for m in metrics)

    def observe_question(self, result: str, seconds: float) -> None:
        """Prometheus was asked; `result` is success, or why there is no answer."""
        self.asked.labels(result).inc()
        self.asked_seconds.observe(seconds)

    def expose(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self.registry)


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
    vital: VitalStanding = field(default_factory=VitalStanding)


class ClusterStateMeter:
    """The metrics of one ClusterState; see the port Meter in reconcile/ports.py."""

    def __init__(self, metrics: Metrics, *, namespace: str, name: str) -> None:
        self._metrics = metrics
        self._owner = (namespace, name)

    def fetched(self, *, result: str, seconds: float) -> None:
        """The source was asked; `result` is ok or a reason."""
        self._metrics.fetches.labels(*self._owner, result).inc()
        self._metrics.fetch_seconds.labels(*self._owner).observe(seconds)
        if result == "ok":
            self._metrics.source_seen.labels(*self._owner).set_to_current_time()

    def reconciled(self, *, result: str, seconds: float) -> None:
        """A pass ended."""
        self._metrics.reconciles.labels(*self._owner, result).inc()
        self._metrics.reconcile_seconds.labels(*self._owner).observe(seconds)

    def changed(self, *, kind: str, action: str, result: str) -> None:
        """An object was written, or could not be."""
        self._metrics.changes.labels(*self._owner, kind, action, result).inc()

    def drifted(self, *, kind: str, severity: str) -> None:
        """A field was found drifted."""
        self._metrics.drift.labels(*self._owner, kind, severity).inc()

    def remedied(self, *, action: str, seconds: float) -> None:
        """A field that drifted is as declared again, whoever did it."""
        self._metrics.remedy_seconds.labels(*self._owner, action).observe(seconds)

    def repaired(self, *, kind: str, seconds: float) -> None:
        """A drifted object is as desired again, so long after it was noticed."""
        self._metrics.repair_seconds.labels(*self._owner).observe(seconds)

    def budgets(self, *, left: float | None, burn_rate: float | None, exhausted_in: float | None) -> None:
        """The error budgets by the newest answers."""
        self._metrics.vital.tell_budgets(self._owner, left=left, burn_rate=burn_rate, exhausted_in=exhausted_in)

    def stands(self, standing: Standing) -> None:
        """Where the ClusterState stands after a pass."""
        m, owner = self._metrics, self._owner
        m.ready.labels(*owner).set(_ternary(standing.ready))
        m.healthy.labels(*owner).set(_ternary(standing.healthy))
        m.objects.labels(*owner).set(standing.objects)
        m.desired.labels(*owner).set(standing.desired)
        m.problems.labels(*owner).set(standing.problems)
        m.breakers.labels(*owner).set(standing.breakers)
        m.waiting.labels(*owner).set(standing.waiting)
        for severity in Severity:
            m.open_drift.labels(*owner, severity.value).set(standing.drift.get(severity.value, 0))
        if standing.drift_since is not None:
            m.drift_since.labels(*owner).set(standing.drift_since)
        else:
            m.drift_since.remove_by_labels({"namespace": owner[0], "name": owner[1]})
        m.vital.tell(owner, standing.vital)

    def close(self) -> None:
        """The ClusterState is gone; so are its series."""
        m = self._metrics
        namespace, name = self._owner
        owned = (m.reconciles, m.reconcile_seconds, m.fetches, m.fetch_seconds, m.changes, m.drift, m.remedy_seconds, m.repair_seconds)
        gauges = (m.source_seen, m.ready, m.healthy, m.objects, m.desired, m.problems, m.open_drift, m.drift_since, m.breakers, m.waiting)
        for metric in (*owned, *gauges):
            metric.remove_by_labels({"namespace": namespace, "name": name})
        m.vital.forget(self._owner)


def _ternary(value: bool | None) -> int:
    return -1 if value is None else int(value)
