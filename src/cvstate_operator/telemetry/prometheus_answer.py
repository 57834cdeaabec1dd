"""Answers of the Prometheus HTTP API, read and bounded; a server may send anything. Readers are the client and whoever judges its series.

Source: Prometheus documentation, "HTTP API", "Format overview" and "Instant queries".
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from cvstate_operator.objects.redaction import one_line
from cvstate_operator.vital.reading import Gap

MAX_SERIES: Final = 1000
"""Series of one answer. Of a query of a spec one counts, the worst: more belong into an aggregation."""
MAX_BYTES: Final = 4 * 2**20
"""Of one answer: 1000 series of 4 KiB each."""
_SAID_CHARACTERS: Final = 200
"""Of the server's own words."""
_ITS_FAULT: Final = frozenset({"bad_data", "execution", "timeout", "canceled"})
"""errorType of what is about the query, in contrast to `internal` and `unavailable`. Source: Prometheus, web/api/v1."""
_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|NaN|[+-]Inf", re.ASCII)
"""A value as Prometheus writes it; its documentation, "Expression query result formats", names what JSON has no numbers for. Python reads much more."""


class NoAnswerError(Exception):
    """There is no answer to a query. The message is one line, says nothing secret, and is the same as long as the cause is."""

    def __init__(self, gap: Gap, message: str) -> None:
        super().__init__(message)
        self.gap = gap
        self.message = message


@dataclass(frozen=True, slots=True)
class Series:
    """One number of an answer."""

    labels: Mapping[str, str]
    """Empty for a scalar; `__name__` is one of them."""
    value: float
    """May be NaN or infinite."""
    at: datetime
    """When the server evaluated the query, UTC, by its own clock."""


def read(status: int, body: bytes) -> tuple[Series, ...]:
    """The series of an answer: those of an instant vector, or one for a scalar.

    Partial data is no data: an answer with warnings (Thanos and Prometheus' own remote read tell so that a store did not answer; PromQL, that the result
    is not what was meant) is a failure. Its `infos` are notes to people who write queries, and are not looked at.

    Raises:
        NoAnswerError: QueryFailed, Refused, TooManySeries; Unreachable for what does not come from this API, or may pass.
    """
    content = _content(body)
    if status != 200 or content is None or content.get("status") != "success":
        raise _failure(status, content)
    data = content.get("data")
    kind: Any = data.get("resultType") if isinstance(data, dict) else None
    result: Any = data.get("result") if isinstance(data, dict) else None
    if kind in ("matrix", "string"):
        what = "a range vector" if kind == "matrix" else "a text"
        raise NoAnswerError(Gap.QUERY_FAILED, f"the query gives {what}, not a number for each series")
    if isinstance(result, list) and kind == "vector" and len(result) > MAX_SERIES:
        raise too_many(f"more than {MAX_SERIES} series")
    if warning := _first(content.get("warnings")):
        raise NoAnswerError(Gap.QUERY_FAILED, f"the server warns, so the numbers may be wrong or not all: {warning}")
    try:
        match kind:
            case "scalar":
                return (_series({}, result),)
            case "vector":
                return tuple(_series(item["metric"], item.get("value"), has_histogram="histogram" in item) for item in result)
    except (TypeError, ValueError, LookupError, AttributeError, OverflowError, OSError):
        pass
    raise NoAnswerError(Gap.UNREACHABLE, "the answer is not that of a Prometheus HTTP API")


def too_many(what: str) -> NoAnswerError:
    """The answer is larger than we take."""
    return NoAnswerError(Gap.TOO_MANY_SERIES, f"the answer has {what}; aggregate, as with max() or min()")


def _content(body: bytes) -> dict[str, Any] | None:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return content if isinstance(content, dict) else None


def _failure(status: int, content: dict[str, Any] | None) -> NoAnswerError:
    said, kind = (_first([content.get("error")]), content.get("errorType")) if content else ("", "")
    if status in (401, 403):
        return NoAnswerError(Gap.REFUSED, f"the server refuses us (HTTP {status}); correct spec.vital.prometheus.secretRef or its Secret")
    if content and content.get("status") == "error" and (kind in _ITS_FAULT or status in (400, 422)):
        return NoAnswerError(Gap.QUERY_FAILED, said or f"the query failed (HTTP {status})")
    if 300 <= status < 400:
        return NoAnswerError(Gap.UNREACHABLE, f"the server redirects (HTTP {status}), which is not followed; give the address itself")
    if status in (200, 404, 405):
        return NoAnswerError(Gap.UNREACHABLE, f"there is no Prometheus HTTP API at this address (HTTP {status}); correct its path")
    return NoAnswerError(Gap.UNREACHABLE, f"the server answered HTTP {status}" + (f": {said}" if said else ""))


def _first(texts: Any) -> str:
    """The first of several texts, for people; empty if there is none."""
    text = texts[0] if isinstance(texts, list) and texts else ""
    return one_line(text.strip(), _SAID_CHARACTERS) if isinstance(text, str) else "(no text)" if text else ""


def _series(labels: Any, pair: Any, *, has_histogram: bool = False) -> Series:
    if pair is None and has_histogram:
        raise NoAnswerError(
            Gap.QUERY_FAILED, "the query gives a histogram, not a number; use histogram_quantile() or another function over it"
        )
    at, value = pair
    if not isinstance(value, str) or not all(isinstance(text, str) for text in labels.values()):
        raise TypeError("labels and values are texts")
    if not _NUMBER.fullmatch(value):
        raise ValueError("no number")
    return Series(labels, float(value), datetime.fromtimestamp(at, UTC))
