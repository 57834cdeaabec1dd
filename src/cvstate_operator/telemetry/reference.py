"""The reference of all metrics, docs/metrics.md: made from the metrics themselves by `make docs`, so that it cannot be out of step."""

from cvstate_operator.telemetry.metrics import Metrics

_HEAD = """# Metrics

Served at `/metrics`. Made by `make docs` from the code; do not edit.

`namespace` and `name` are those of the ClusterState; its series vanish with it. `kind` is the Kubernetes kind of managed objects, `result` is `ok` or a word of
[reasons.md](reasons.md).

| metric | type | labels | meaning |
|---|---|---|---|
"""


def page() -> str:
    """The page as Markdown."""
    rows = []
    for metric in Metrics().described():
        name = metric.name + ("_total" if metric.type == "counter" else "")
        labels = ", ".join(f"`{label}`" for label in metric.labels) or "–"
        rows.append(f"| `{name}` | {metric.type} | {labels} | {metric.meaning} |\n")
    return _HEAD + "".join(sorted(rows))


if __name__ == "__main__":
    print(page(), end="")
