"""Owned series: metrics whose series belong to ClusterStates, found again and taken away without a search.

prometheus-client looks through every series of a metric to remove those of one owner. With 1,000 ClusterStates that is done 1,000 times when the process ends.
"""

from collections.abc import Mapping
from typing import Final, TypeAlias, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

Metric: TypeAlias = Counter | Gauge | Histogram
Owner: TypeAlias = tuple[str, str]
"""Namespace and name of a ClusterState."""

OWNER: Final = ("namespace", "name")
"""The labels of every metric made here; others follow them."""

_AnyMetric = TypeVar("_AnyMetric", Counter, Gauge, Histogram)


class OwnedSeries:
    """Makes such metrics, and knows their series. For one thread; `/metrics` may be written out by another."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._metrics: list[Metric] = []
        self._labels: dict[Owner, dict[Metric, set[tuple[str, ...]]]] = {}
        """What follows the owner in the labels of its series; metrics without further labels are not in here."""

    def counter(self, name: str, meaning: str, *labels: str) -> Counter:
        """`cvstate_<name>_total`."""
        return self._kept(Counter(f"cvstate_{name}_total", meaning, (*OWNER, *labels), registry=self._registry))

    def gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        """`cvstate_<name>`."""
        return self._kept(Gauge(f"cvstate_{name}", meaning, (*OWNER, *labels), registry=self._registry))

    def histogram(self, name: str, meaning: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        """`cvstate_<name>_seconds`."""
        return self._kept(Histogram(f"cvstate_{name}_seconds", meaning, (*OWNER, *labels), buckets=buckets, registry=self._registry))

    def of(self, metric: _AnyMetric, owner: Owner, *labels: str) -> _AnyMetric:
        """One series; made if it is not there. It is not to be kept: a predecessor of the same name may still take it away."""
        if labels:
            self._labels.setdefault(owner, {}).setdefault(metric, set()).add(labels)
        return metric.labels(*owner, *labels)

    def set(self, gauge: Gauge, owner: Owner, value: float | None) -> None:
        """The value of a gauge without further labels; None: it is not known, and has no series."""
        if value is None:
            gauge.remove(*owner)
        else:
            gauge.labels(*owner).set(value)

    def only(self, gauge: Gauge, owner: Owner, values: Mapping[tuple[str, ...], float]) -> None:
        """The values of a gauge by its further labels; what is not among them has no series any more."""
        known = self._labels.setdefault(owner, {}).setdefault(gauge, set())
        for labels in known.difference(values):
            gauge.remove(*owner, *labels)
        known.intersection_update(values)
        for labels, value in values.items():
            self.of(gauge, owner, *labels).set(value)

    def counts(self, gauge: Gauge, owner: Owner, counts: Mapping[str, int]) -> None:
        """The values of a gauge by its one further label; what was counted once and is not any more is 0."""
        known = self._labels.get(owner, {}).get(gauge, set())
        for word in {word for (word,) in known}.union(counts):
            self.of(gauge, owner, word).set(counts.get(word, 0))

    def forget(self, owner: Owner) -> None:
        """A ClusterState is gone; so are its series."""
        told = self._labels.pop(owner, {})
        for metric in self._metrics:
            if len(metric._labelnames) == len(OWNER):
                metric.remove(*owner)
            for labels in told.get(metric, ()):
                metric.remove(*owner, *labels)

    def _kept(self, metric: _AnyMetric) -> _AnyMetric:
        self._metrics.append(metric)
        return metric
