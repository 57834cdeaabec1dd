"""Answers of Prometheus to the queries of an SLO, as the counters of a service would give them."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cvstate_operator.api.vital import Slo
from cvstate_operator.vital import saved
from cvstate_operator.vital.objectives import slo_queries
from cvstate_operator.vital.objectives.slo_queries import SIDE_LABEL, WINDOW_LABEL, Answer, BudgetQuery
from cvstate_operator.vital.reading import Gap

START = datetime(2026, 11, 20, 14, 0, 0, tzinfo=UTC)
EVENTS = 100_000.0


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def near(expected: Any, **how: Any) -> Any:
    """As pytest.approx, of no type: it may stand in a tuple that is compared with one of numbers."""
    return pytest.approx(expected, **how)


def slo(**fields: Any) -> Slo:
    """99.9 % over 30 days, of two counters."""
    told: dict[str, Any] = {"name": "availability", "objective": "99.9", "good": "good_total", "total": "all_total"}
    return Slo.model_validate(told | fields)


def sloth(**fields: Any) -> Slo:
    return Slo.model_validate({"name": "availability", "series": {"sloth": "shop-requests"}} | fields)


def pyrra(**fields: Any) -> Slo:
    return Slo.model_validate({"name": "availability", "series": {"pyrra": "shop-requests"}} | fields)


def counted(
    query: BudgetQuery,
    ratios: Mapping[str, float],
    seconds: float = 0,
    *,
    events: float = EVENTS,
    age: float | None = 15,
    leave: set[str] | None = None,
) -> Answer:
    """One answer: the error ratio of each window, by its text (`*` for the others), out of so many events.

    Args:
        query: The question.
        ratios: By window, as `5m`.
        seconds: When it was asked, after the start.
        events: In each window.
        age: Of the newest sample, seconds; None: there is none.
        leave: What the answer lacks: `good`, `total`, or one of them in a window: `5m good`.
    """
    leave = leave or set()
    series: list[tuple[dict[str, str], float]] = []
    for window in map(saved.length_text, query.windows):
        good = events * (1 - ratios.get(window, ratios.get("*", 0.0)))
        for side, value in (("good", good), ("total", events)):
            if side not in leave and f"{window} {side}" not in leave:
                series.append(({WINDOW_LABEL: window, SIDE_LABEL: side}, value))
    if query.has_newest and age is not None:
        series.append(({SIDE_LABEL: "taken"}, at(seconds - age).timestamp()))
    return slo_queries.answer(query, series, asked_at=at(seconds))


def all_counted(of: Slo, ratios: Mapping[str, float], seconds: float = 0, **how: Any) -> list[Answer]:
    """Answers to all queries."""
    return [counted(query, ratios, seconds, **how) for query in slo_queries.queries(of)]


def none_of(of: Slo, why: Gap = Gap.UNREACHABLE, seconds: float = 0) -> list[Answer]:
    """No answer to any query."""
    return [slo_queries.no_answer(query, why, "connection refused", asked_at=at(seconds)) for query in slo_queries.queries(of)]


def kept(of: Slo, ratios: Mapping[str, float], facts: Mapping[str, float], seconds: float = 0) -> Answer:
    """The answer of Sloth's or Pyrra's series: error ratios by window, and what belongs to no window (`objective`, `seconds`, `availability`)."""
    (query,) = slo_queries.queries(of)
    series = [({WINDOW_LABEL: window, SIDE_LABEL: "errors"}, ratio) for window, ratio in ratios.items()]
    series += [({SIDE_LABEL: side}, value) for side, value in ({"taken": at(seconds - 15).timestamp()} | dict(facts)).items()]
    return slo_queries.answer(query, series, asked_at=at(seconds))
