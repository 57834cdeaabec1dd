"""Metrics: every number we tell about ourselves, with its unit in its name and labels from small fixed sets.

`namespace` and `name` are those of the ClusterState; series of a ClusterState disappear with it. docs/metrics.md lists them all (a test keeps it in step).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import generate_latest

from cvstate_operator import __version__
from cvstate_operator.api.drift import Severity
from cvstate_operator.telemetry.vital_metrics import VitalMetrics, VitalStanding

_Metric = Counter | Gauge | Histogram

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


class WorkMetrics:
    """What was done for ClusterStates: looks at sources, passes, writes, drift and its end."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(f"cvstate_{name}_total", meaning, (*_OWNER, *labels), registry=registry)

        def histogram(name: str, meaning: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"cvstate_{name}_seconds", meaning, (*_OWNER, *labels), buckets=buckets, registry=registry)

        self.fetches = counter("source_fetch", "Looks at a Git source.", "result")
        self.fetch_seconds = histogram("source_fetch_duration", "Duration of a look at a Git source.", _SLOW)
        self.reconciles = counter("reconcile", "Passes over a ClusterState.", "result")
        self.reconcile_seconds = histogram("reconcile_duration", "Duration of a pass over a ClusterState.", _SLOW)
        self.changes = counter("object_changes", "Managed objects written, or not.", "kind", "action", "result")
        self.drift = counter("drift_opened", "Fields found drifted.", "kind", "severity")
        self.remedy_seconds = histogram(
            "drift_remediation",
            "From first seeing a field drifted until it is as declared again; action Auto: by us, else by a person or with approval.",
            _LONG,
            "action",
        )
        self.repair_seconds = histogram(
            "drift_repair_duration", "From noticing a drift to the API server's answer that it is repaired.", _FAST
        )

    def forget(self, owner: tuple[str, str]) -> None:
        """A ClusterState is gone; `owner` is its namespace and name."""
        _forget(_metrics_of(self), owner)


class StandingMetrics:
    """Where each ClusterState stands."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, meaning: str, *labels: str) -> Gauge:
            return Gauge(f"cvstate_{name}", meaning, (*_OWNER, *labels), registry=registry)

        self.source_seen = gauge("source_last_success_timestamp_seconds", "When a look at the Git source last succeeded, Unix time.")
        self.ready = gauge("ready", "1 if the ClusterState is Ready, 0 if it is not, -1 if that is not known.")
        self.healthy = gauge(
            "healthy",
            "1 if every object is ready and every signal in its range, 0 if one is not, -1 if that is not known: as the condition Healthy.",
        )
        self.objects = gauge("objects", "Managed objects in the cluster.")
        self.desired = gauge("desired_objects", "Objects that the newest commit declares.")
        self.problems = gauge("problems", "Files, documents and objects that cannot be brought into the cluster.")
        self.open_drift = gauge("drift_open_fields", "Fields that drifted and are not repaired.", "severity")
        self.drift_since = gauge(
            "drift_oldest_timestamp_seconds", "When the oldest drift that is open was first seen, Unix time; absent if there is none."
        )
        self.breakers = gauge("drift_breakers_open", "Fields left alone since somebody undoes every repair.")
        self.waiting = gauge("plan_waiting", "Changes that wait for approval.")

    def tell(self, owner: tuple[str, str], standing: Standing) -> None:
        """Where a ClusterState stands; `owner` is its namespace and name."""
        self.ready.labels(*owner).set(_ternary(standing.ready))
        self.healthy.labels(*owner).set(_ternary(standing.healthy))
        self.objects.labels(*owner).set(standing.objects)
        self.desired.labels(*owner).set(standing.desired)
        self.problems.labels(*owner).set(standing.problems)
        self.breakers.labels(*owner).set(standing.breakers)
        self.waiting.labels(*owner).set(standing.waiting)
        for severity in Severity:
            self.open_drift.labels(*owner, severity.value).set(standing.drift.get(severity.value, 0))
        if standing.drift_since is not None:
            self.drift_since.labels(*owner).set(standing.drift_since)
        else:
            _forget((self.drift_since,), owner)

    def forget(self, owner: tuple[str, str]) -> None:
        """A ClusterState is gone."""
        _forget(_metrics_of(self), owner)


class Metrics:
    """All metrics of one process, in a registry of their own."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for every counter, of which nobody asks
        self.registry = CollectorRegistry()
        registry = self.registry
        self.work = WorkMetrics(registry)
        self.standing = StandingMetrics(registry)
        self.vital = VitalMetrics(registry)

        self.build = Gauge("cvstate_build_info", "Version of the operator; always 1.", ("version",), registry=registry)
        self.build.labels(__version__).set(1)
        self.deliveries = Counter("cvstate_webhook_deliveries_total", "Push notifications received.", ("result",), registry=registry)
        self.cache_bytes = Gauge(
            "cvstate_cache_bytes", "Disk used by the operator's cache, at its last collection.", ("kind",), registry=registry
        )
        self.loop_lag = Histogram(
            "cvstate_event_loop_lag_seconds", "How late the event loop runs a timer.", buckets=_FAST, registry=registry
        )
        self.requests = Counter(
            "cvstate_api_requests_total", "Requests to the API server, watches apart.", ("action", "result"), registry=registry
        )
        self.request_seconds = Histogram(
            "cvstate_api_request_duration_seconds", "Duration of requests to the API server.", ("action",), buckets=_FAST, registry=registry
        )
        self._requests_seen: dict[tuple[str, str], tuple[Counter, Histogram]] = {}
        """Series by action and result: to look one up takes as long as to count."""
        self.asked = Counter(
            "cvstate_prometheus_requests_total", "Questions to Prometheus, by what came of them.", ("result",), registry=registry
        )
        self.asked_seconds = Histogram(
            "cvstate_prometheus_request_duration_seconds", "Duration of questions to Prometheus.", buckets=_SLOW, registry=registry
        )
        self.waited_seconds = Histogram(
            "cvstate_prometheus_wait_seconds",
            "How long questions to Prometheus that were due waited for their turn, with those that never had one.",
            buckets=_SLOW,
            registry=registry,
        )

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
        metrics = (metric for group in (self, self.work, self.standing, self.vital) for metric in _metrics_of(group))
        return tuple(Described(m._name, m._type, m._labelnames, m._documentation) for m in metrics)

    def observe_question(self, result: str, seconds: float) -> None:
        """Prometheus was asked; `result` is success, or why there is no answer."""
        self.asked.labels(result).inc()
        self.asked_seconds.observe(seconds)

    def observe_wait(self, seconds: float) -> None:
        """A question to Prometheus waited so long for its turn, or in vain."""
        self.waited_seconds.observe(seconds)

    def expose(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self.registry)


class ClusterStateMeter:
    """The metrics of one ClusterState; see the port Meter in reconcile/ports.py."""

    def __init__(self, metrics: Metrics, *, namespace: str, name: str) -> None:
        self._metrics = metrics
        self._owner = (namespace, name)

    def fetched(self, *, result: str, seconds: float) -> None:
        """The source was asked; `result` is ok or a reason."""
        self._metrics.work.fetches.labels(*self._owner, result).inc()
        self._metrics.work.fetch_seconds.labels(*self._owner).observe(seconds)
        if result == "ok":
            self._metrics.standing.source_seen.labels(*self._owner).set_to_current_time()

    def reconciled(self, *, result: str, seconds: float) -> None:
        """A pass ended."""
        self._metrics.work.reconciles.labels(*self._owner, result).inc()
        self._metrics.work.reconcile_seconds.labels(*self._owner).observe(seconds)

    def changed(self, *, kind: str, action: str, result: str) -> None:
        """An object was written, or could not be."""
        self._metrics.work.changes.labels(*self._owner, kind, action, result).inc()

    def drifted(self, *, kind: str, severity: str) -> None:
        """A field was found drifted."""
        self._metrics.work.drift.labels(*self._owner, kind, severity).inc()

    def remedied(self, *, action: str, seconds: float) -> None:
        """A field that drifted is as declared again, whoever did it."""
        self._metrics.work.remedy_seconds.labels(*self._owner, action).observe(seconds)

    def repaired(self, *, kind: str, seconds: float) -> None:
        """A drifted object is as desired again, so long after it was noticed."""
        self._metrics.work.repair_seconds.labels(*self._owner).observe(seconds)

    def budgets(self, *, left: float | None, burn_rate: float | None, exhausted_in: float | None) -> None:
        """The error budgets by the newest answers."""
        self._metrics.vital.tell_budgets(self._owner, left=left, burn_rate=burn_rate, exhausted_in=exhausted_in)

    def stands(self, standing: Standing) -> None:
        """Where the ClusterState stands after a pass."""
        self._metrics.standing.tell(self._owner, standing)
        self._metrics.vital.tell(self._owner, standing.vital)

    def close(self) -> None:
        """The ClusterState is gone; so are its series."""
        for group in (self._metrics.work, self._metrics.standing, self._metrics.vital):
            group.forget(self._owner)


def _metrics_of(group: object) -> Iterator[_Metric]:
    """What a group holds."""
    return (each for each in vars(group).values() if isinstance(each, _Metric))


def _forget(metrics: Iterable[_Metric], owner: tuple[str, str]) -> None:
    for metric in metrics:
        metric.remove_by_labels(dict(zip(_OWNER, owner, strict=True)))


def _ternary(value: bool | None) -> int:
    return -1 if value is None else int(value)
