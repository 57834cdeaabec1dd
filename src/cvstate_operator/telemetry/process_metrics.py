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

_UNAUTHORIZED: Final = errors.UnauthorizedError.reason
_NO_ANSWERS: Final = frozenset((*API_FAILURES, "Cancelled"))
"""Results that do not tell whether the API server knows us: it did not answer, or failed, or we did not wait."""

HOME: Final = "home"
"""Label `target`: the cluster that the operator runs in, whoever it acts as there."""
REMOTE: Final = "remote"
"""Label `target`: a cluster of a kubeconfig. It belongs to others, so its outages are none of the operator's."""


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
            "result live: replicas that share the work, as this one sees them, 0 where it is alone; "
            "settled: 1 while this one carries its ClusterStates out, 0 until it may and while it has lost touch.",
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
        self.overdue = gauge(
            "overdue_seconds",
            "For how long nothing was done for the ClusterState that has waited longest for what is due, by this replica; 0 if nothing is due.",
        )
        self.loop_lag = Histogram(
            "cvstate_event_loop_lag_seconds", "How late the event loop runs a timer.", buckets=FAST, registry=registry
        )
        self.cache_bytes = gauge("cache_bytes", "Disk used by the operator's cache, without what renders at work write.", "kind")

        self.config_reloads = counter(
            "config_reloads",
            "Changes of the settings file: ok, restart (in effect after one), failed (the old settings stay).",
            "ok",
            "restart",
            "failed",
        )
        # Names and meaning as of Prometheus' own (prometheus_config_last_reload_successful), for which people have rules already.
        self.config_is_loaded = gauge(
            "config_last_reload_successful",
            "1 if the settings are those of the file as it is, 0 if the file was refused when it was read last.",
        )
        self.config_loaded_at = gauge(
            "config_last_reload_success_timestamp_seconds",
            "When the settings were last taken up, at the start or from a changed file, Unix time.",
        )
        self.config_is_loaded.set(1)
        self.config_loaded_at.set_to_current_time()
        self.deliveries = counter("webhook_deliveries", "Push notifications received.")
        self.forwards = counter("webhook_forwards", "Push notifications passed on to other replicas.", "ok", "failed", "dropped")
        self.notices = counter(
            "notices", "Notices of incidents in requests to their targets; failed ones are tried again.", "ok", "failed", "dropped"
        )
        self.traces = counter("traces_exported", "Spans, by whether they were delivered.", "ok", "failed", "dropped")

        self.requests = Counter(
            "cvstate_api_requests_total",
            "Requests to API servers, watches apart; target home: of the cluster that the operator runs in, remote: of one of a kubeconfig.",
            ("action", "result", "target"),
            registry=registry,
        )
        self.request_seconds = Histogram(
            "cvstate_api_request_duration_seconds",
            "Duration of requests to API servers.",
            ("action", "target"),
            buckets=FAST,
            registry=registry,
        )
        self._requests_seen: dict[tuple[str, str, str], tuple[Counter, Histogram]] = {}
        """Series by action, result and target: to look one up takes as long as to count."""
        self.unauthorized = gauge(
            "api_unauthorized_timestamp_seconds",
            "Since when the API server of the cluster that the operator runs in has answered 401 and nothing else, Unix time; absent while it knows us.",
            "target",
        )
        self._is_unauthorized = False
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

    def observe_request(self, *, action: str, result: str, seconds: float, target: str = HOME) -> None:
        """A request to an API server ended; `target` is HOME or REMOTE."""
        series = self._requests_seen.get((action, result, target))
        if series is None:
            for failure in API_FAILURES:
                self.requests.labels(action, failure, target)
            series = self._requests_seen[action, result, target] = (
                self.requests.labels(action, result, target),
                self.request_seconds.labels(action, target),
            )
        counter, histogram = series
        counter.inc()
        histogram.observe(seconds)
        if target == HOME and (result == _UNAUTHORIZED) != self._is_unauthorized and result not in _NO_ANSWERS:
            self._note_unauthorized(is_refused=result == _UNAUTHORIZED)

    def _note_unauthorized(self, *, is_refused: bool) -> None:
        """The API server begins to refuse our credentials, or knows them again."""
        self._is_unauthorized = is_refused
        if is_refused:
            self.unauthorized.labels(HOME).set_to_current_time()
        else:
            self.unauthorized.remove(HOME)

    def observe_reload(self, result: str) -> None:
        """The settings file changed and was read: ok, restart or failed."""
        self.config_reloads.labels(result).inc()
        self.config_is_loaded.set(int(result != "failed"))
        if result != "failed":
            self.config_loaded_at.set_to_current_time()

    def observe_question(self, result: str, seconds: float) -> None:
        """Prometheus was asked; `result` is success, or why there is no answer."""
        self.asked.labels(result).inc()
        self.asked_seconds.observe(seconds)

    def observe_wait(self, seconds: float) -> None:
        """A question to Prometheus waited so long for its turn, or in vain."""
        self.waited_seconds.observe(seconds)
