"""Pieces of PromQL that several dashboards use.

A ClusterState belongs to one replica at a time. While another takes it over nobody tells of it for one to three minutes, and graphs have a gap: the old series end with
their last scrape. Where a replica hangs, both may tell for a moment: gauges are therefore reduced to one for each ClusterState first (`each`), and counters are added
up, which is right at any time.
"""

from typing import Final

OF: Final = 'namespace=~"$namespace"'
"""The ClusterStates of the chosen namespaces."""
ONE: Final = 'namespace="$namespace",name="$name"'
"""The chosen one."""
PROCESS: Final = ""
"""Metrics that belong to no ClusterState."""


def selector(metric: str, of: str = OF, **labels: str) -> str:
    """A metric with matchers: `result="ok"`, `result="~ok|failed"` for one of several, `result="!ok"` for any other."""
    signs = {"~": "=~", "!": "!="}
    told = (f'{label}{signs.get(value[:1], "=")}"{value[1:] if value[:1] in signs else value}"' for label, value in labels.items())
    matchers = ",".join(filter(None, (of, *told)))
    return f"{metric}{{{matchers}}}" if matchers else metric


def each(metric: str, *by: str, of: str = OF, **labels: str) -> str:
    """A gauge of ClusterStates, without what tells replicas apart."""
    return f"max by ({', '.join(('namespace', 'name', *by))}) ({selector(metric, of, **labels)})"


def grown(metric: str, *by: str, of: str = OF, window: str = "$__range", **labels: str) -> str:
    """By how much counters grew in a time, added up."""
    return f"sum{_by(by)}(increase({selector(metric, of, **labels)}[{window}]))"


def rate(metric: str, *by: str, of: str = OF, **labels: str) -> str:
    """How fast counters grow, in a second, added up."""
    return f"sum{_by(by)}(rate({selector(metric, of, **labels)}[$__rate_interval]))"


def per_minute(metric: str, *by: str, of: str = OF, **labels: str) -> str:
    """The same in a minute: what happens every few seconds or minutes reads better so."""
    return f"60 * {rate(metric, *by, of=of, **labels)}"


def quantile(rank: float, histogram: str, *by: str, of: str = PROCESS, window: str = "$__rate_interval", **labels: str) -> str:
    """A quantile of a histogram; nothing, and not NaN, where nothing was counted."""
    buckets = f"sum by ({', '.join(('le', *by))}) (rate({selector(f'{histogram}_bucket', of, **labels)}[{window}]))"
    return f"histogram_quantile({rank}, {buckets}) >= 0"


def mean(histogram: str, *by: str, of: str = PROCESS, window: str = "$__range", **labels: str) -> str:
    """The mean of a histogram in a time; nothing, and neither 0 nor NaN, where nothing was counted."""
    total, count = (grown(f"{histogram}_{part}", *by, of=of, window=window, **labels) for part in ("sum", "count"))
    return share(total, count)


def share(part: str, whole: str) -> str:
    """A ratio; nothing, and not NaN, where the whole is 0."""
    return f"{part} / ({whole} > 0)"


def counted(condition: str) -> str:
    """How many series fulfil a condition; 0 and not nothing if none does."""
    return f"count({condition}) or vector(0)"


def _by(labels: tuple[str, ...]) -> str:
    return f" by ({', '.join(labels)}) " if labels else ""
