"""docs/slis.md: indicators, and how they are asked for.

Aspects: every query is PromQL about metrics and labels that exist · every indicator of the project is named · the words for results of passes are those of the code.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import promql_parser
import pytest

from cvstate_operator.telemetry.pass_results import PassResult
from tests.support.exposed import parts, unknown

PAGE = (Path(__file__).parents[2] / "docs" / "slis.md").read_text()
INDICATORS = (
    "configuration compliance",
    "reconcile success",
    "transient and persistent",
    "drift events",
    "drift rate",
    "telemetry completeness",
    "deployment success",
    "mean time to reconcile",
    "secret sync lag",
    "policy denial rate",
    "audit completeness",
    "API error rate",
    "convergence time",
    "remediation latency",
    "automatic remediation",
    "errors by type",
    "controller CPU",
    "controller memory",
    "queue length",
    "change lead time",
    "Pod ready ratio",
    "evictions",
    "control-plane errors",
    "error budgets",
)


def queries() -> Iterator[str]:
    """What stands in the columns of queries, as it would be typed."""
    for row in re.findall(r"^\|.*\|$", PAGE, re.MULTILINE):
        for code in re.findall(r"`([^`]+)`", row):
            if "cvstate_" in code:
                yield code.replace("\\|", "|")


@pytest.mark.parametrize("query", sorted(set(queries())))
def test_a_query_asks_of_what_exists(query: str) -> None:
    assert promql_parser.parse(query)
    assert unknown(query) == []
    assert parts(query)


@pytest.mark.parametrize("indicator", INDICATORS)
def test_an_indicator_is_named(indicator: str) -> None:
    rows = [row for row in PAGE.splitlines() if row.startswith("| ")]
    assert any(indicator in row for row in rows)


@pytest.mark.parametrize("result", PassResult)
def test_each_result_of_passes_is_explained(result: PassResult) -> None:
    assert f"| `{result}` |" in PAGE


def test_what_cannot_be_told_is_said_and_has_no_metric() -> None:
    left_out = PAGE.partition("## Not told yet")[2].partition("\n## ")[0]
    assert "secret sync lag" in left_out
    assert "cvstate_" not in left_out
