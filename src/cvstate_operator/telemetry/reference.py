"""The reference of all metrics, docs/metrics.md: made from the metrics themselves by `make docs`, so that it cannot be out of step."""

from collections.abc import Iterable

from cvstate_operator.telemetry.metrics import Described, Metrics
from cvstate_operator.telemetry.rollout_metrics import MAX_KINDS, OTHER

_HEAD = f"""# Metrics

Served at `/metrics`. Made by `make docs` from the code; do not edit. Which of them tells which indicator, and what is asked of it, is in [slis.md](slis.md); alerts are in
[alerts.md](alerts.md).

- `namespace` and `name` are those of the ClusterState; its series vanish with it. Scrape with `honor_labels: true`, or Prometheus renames them.
- `kind` is the Kubernetes kind of managed objects (the first {MAX_KINDS} kinds of the process, then `{OTHER}`), or what the meaning says.
- `result` is `ok` or a word of [reasons.md](reasons.md), or what the meaning says.
- `action` is what is done: to an object, to a drifted field, to the API server, or a class of changes of `spec.windows`.

| metric | type | labels | meaning |
|---|---|---|---|
"""
_PROCESS = """
## Of the process

As every Prometheus client for Python tells them. Children, which fetch and render, are not in them; what the container as a whole uses is told by the kubelet
(`container_cpu_usage_seconds_total`, `container_memory_working_set_bytes`).

| metric | type | labels | meaning |
|---|---|---|---|
"""


def page() -> str:
    """The page as Markdown."""
    metrics = Metrics()
    return _HEAD + _rows(metrics.described()) + _PROCESS + _rows(metrics.described_process())


def _rows(metrics: Iterable[Described]) -> str:
    rows = []
    for metric in metrics:
        name = metric.name + ("_total" if metric.type == "counter" else "")
        labels = ", ".join(f"`{label}`" for label in metric.labels) or "–"
        rows.append(f"| `{name}` | {metric.type} | {labels} | {metric.meaning} |\n")
    return "".join(sorted(rows))


if __name__ == "__main__":
    print(page(), end="")
