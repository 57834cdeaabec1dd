"""What the operator exposes, and which queries it can answer: so that dashboards, rules and pages name no metric and no label that does not exist."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import promql_parser

from cvstate_operator.telemetry.metrics import Metrics

OF_PROMETHEUS: Final = frozenset({"instance", "job"})
"""Labels that a scrape adds."""


def _labels() -> Mapping[str, frozenset[str]]:
    metrics = Metrics()
    found: dict[str, frozenset[str]] = {}
    for one in (*metrics.described(), *metrics.described_process()):
        labels = frozenset(one.labels)
        match one.type:
            case "counter":
                found[f"{one.name}_total"] = labels
            case "histogram":
                found |= {f"{one.name}_sum": labels, f"{one.name}_count": labels, f"{one.name}_bucket": labels | {"le"}}
            case _:
                found[one.name] = labels
    return found


LABELS: Final = _labels()
"""Labels of every series that the operator exposes, by its name."""


def parts(query: str) -> list[Any]:
    """The selectors of a query: `name`, and `matchers.matchers`."""
    return _of_type(promql_parser.parse(query), promql_parser.VectorSelector)


def aggregations(query: str) -> list[Any]:
    """The aggregations of a query, the outermost first."""
    return _of_type(promql_parser.parse(query), promql_parser.AggregateExpr)


def unknown(query: str) -> list[str]:
    """What a query asks of that does not exist: metrics, labels of metrics, labels that nothing is left of to add up by; empty if all exist."""
    return [
        *(one.name for one in parts(query) if one.name not in LABELS),
        *(
            f"{one.name}{{{matcher.name}}}"
            for one in parts(query)
            for matcher in one.matchers.matchers
            if matcher.name not in LABELS.get(one.name, {matcher.name}) | OF_PROMETHEUS
        ),
        *(f"by ({label})" for one in aggregations(query) if one.modifier for label in _not_below(one)),
    ]


def _not_below(aggregation: Any) -> Iterator[str]:
    """Labels of its modifier that nothing below it has."""
    known = OF_PROMETHEUS.union(*(LABELS.get(one.name, frozenset()) for one in _of_type(aggregation.expr, promql_parser.VectorSelector)))
    return (label for label in aggregation.modifier.labels if label not in known)


def _of_type(tree: Any, kind: type) -> list[Any]:
    found: list[Any] = []
    promql_parser.walk(tree, found.append)
    return [node for node in found if isinstance(node, kind)]
