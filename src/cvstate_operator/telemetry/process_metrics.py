"""The metrics of the process as a whole: what it asks of others, its share of the work, and what it uses.

Their labels are words that are known beforehand. Those of which an alert or a ratio asks are there from the start, at 0: `increase()` does not see the first
sample of a series, and a ratio without one of its halves is no number. Source: Prometheus documentation, "Instrumentation", "Avoid missing metrics".
"""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from cvstate_operator import __version__, errors

FAST: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Buckets of what takes milliseconds, seconds."""
SLOW: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Buckets of what takes up to minutes, seconds."""

API_FAILURES: Final = tuple(
    error.reason for error in (errors.NetworkError, errors.ServerTimeoutError, errors.ServerError, errors.WebhookUnavailableError)
)
"""Results of requests that are the API server's failure, as in `kube/api_quality.py`: no connection, no answer in time, 5xx. All others are answers."""


class ProcessMetrics:
    """See the module. `process_*` are those of every Prometheus client: CPU, memory, file descriptors; children that fetch and render are not in them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, meaning: str, *results: str) -> Counter:
            made = Counter(f"cvstate_{name}_total", meaning, ("result",), registry=registry)
            for result in results:
                made.labels(result)
            return made

        def gauge(name: str, meaning: str, label: str = "", *words: str) -> Gauge:
            made = Gauge(f"cvstate_{name}", meaning, (label,) if label else (), registry=registry)
            for word in words:
                made.labels(word)
            return made

        self.process = ProcessCollector(registry=registry)
        self.build = gauge("build_info", "Version of the operator; always 1.", "version")
        self.build.labels(__version__).set(1)

        self.members = gauge(
            "members",
            "result live: replicas that share the work, as this one sees them, 0 where it is alone; settled: 1 once this one may take ClusterStates on.",
            "result",
            "live",
            "settled",
        )
        self.owned = gauge("owned_clusterstates", "ClusterStates that this replica carries out.")
        self.queue = gauge(
            "queue_length",
            "What waits for its turn: action look, objects that changed; action write, objects to be written.",
            "action",
            "look",
            "write",
        )
        self.targets = gauge(
            "target_clusters",
            "Clusters that ClusterStates act on by a kubeconfig, by whether they answer.",
            "result",
            "reachable",
            "unreachable",
        )
        self.loop_lag = Histogram(
            "cvstate_event_loop_lag_seconds", "How late the event loop runs a timer.", buckets=FAST, registry=registry
        )
        self.cache_bytes = gauge("cache_bytes", "Disk used by the operator's cache, at its last collection.", "kind")

        self.config_reloads = counter(
            "config_reloads",
            "Changes of the settings file: ok, restart (in effect after one), failed (the old settings stay).",
            "ok",
            "restart",
            "failed",
        )
        self.deliveries = counter("webhook_deliveries", "Push notifications received.")
        self.forwards = counter("webhook_forwards", "Push notifications passed on to other replicas.", "ok", "failed", "dropped")
        self.notices = counter(
            "notices", "Notices of incidents in requests to their targets; failed ones are tried again.", "ok", "failed", "dropped"
        )
        self.traces = counter("traces_exported", "Spans, by whether they were delivered.", "ok", "failed", "dropped")

        self.requests = Counter(
            "cvstate_api_requests_total", "Requests to the API server, watches apart.", ("action", "result"), registry=registry
        )
        self.request_seconds = Histogram(
            "cvstate_api_request_duration_seconds", "Duration of requests to the API server.", ("action",), buckets=FAST, registry=registry
        )
        self._requests_seen: dict[tuple[str, str], tuple[Counter, Histogram]] = {}
        """Series by action and result: to look one up takes as long as to count."""
        self.asked = counter("prometheus_requests", "Questions to Prometheus, by what came of them.")
        self.asked_seconds = Histogram(
            "cvstate_prometheus_request_duration_seconds", "Duration of questions to Prometheus.", buckets=SLOW, registry=registry
        )
        self.waited_seconds = Histogram(
            "cvstate_prometheus_wait_seconds",
            "How long questions to Prometheus that were due waited for their turn, with those that never had one.",
            buckets=SLOW,
            registry=registry,
        )

    def observe_request(self, *, action: str, result: str, seconds: float) -> None:
        """A request to the API server ended."""
        series = self._requests_seen.get((action, result))
        if series is None:
            for failure in API_FAILURES:
                self.requests.labels(action, failure)
            series = self._requests_seen[action, result] = (self.requests.labels(action, result), self.request_seconds.labels(action))
        counter, histogram = series
        counter.inc()
        histogram.observe(seconds)

    def observe_question(self, result: str, seconds: float) -> None:
        """Prometheus was asked; `result` is success, or why there is no answer."""
        self.asked.labels(result).inc()
        self.asked_seconds.observe(seconds)

    def observe_wait(self, seconds: float) -> None:
        """A question to Prometheus waited so long for its turn, or in vain."""
        self.waited_seconds.observe(seconds)
