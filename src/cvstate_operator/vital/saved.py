"""Saved: how numbers, times and lengths of a judgement are written into the status, and read back after a restart.

Signals and SLOs write and read their judgements with this. What is read may have been changed by anyone who may write the status: it is checked, and
nothing here raises.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, Generic, TypeVar

from cvstate_operator.objects.redaction import one_line
from cvstate_operator.vital.facts import moments
from cvstate_operator.vital.reading import Gap

MAX_NAME: Final = 63
"""Characters of a name. Source: api.vital, SignalName."""
MAX_MESSAGE: Final = 256
"""Characters of a message: a line on a screen."""
MAX_SERIES: Final = 128
"""Characters of the labels of a series: enough for the few that tell it from the others."""

_PLAIN_FROM: Final = 1e-9
_PLAIN_BELOW: Final = 1e15
"""Numbers between these are written without an exponent."""
_MAX_NUMBER_TEXT: Final = 32
_FIRST_YEAR: Final = 2000
_LAST_YEAR: Final = 2200
"""Times outside are nobody's, and near the ends of the calendar sums of times overflow."""

_UNITS: Final = (("w", 604800), ("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
_SECONDS: Final = dict(_UNITS) | {"y": 365 * 86400}
_LENGTH: Final = re.compile(r"([0-9]{1,9}(?:y|w|d|h|m|s))+")
_PART: Final = re.compile(r"([0-9]{1,9})([ywdhms])")

Word = TypeVar("Word", bound=StrEnum)


def number_text(value: float) -> str:
    """A finite number as decimal text with at most six significant digits: `0.004`; with an exponent if it is very large or small: `1e+300`."""
    if not value:
        return "0"
    if _PLAIN_FROM <= abs(value) < _PLAIN_BELOW:
        short = f"{value:.6g}"
        return f"{float(short):.15f}".rstrip("0").rstrip(".") if "e" in short else short
    return f"{value:.6g}"


def number(text: Any) -> float | None:
    """The finite number that `number_text` wrote; None if it is anything else."""
    if not isinstance(text, str) or len(text) > _MAX_NUMBER_TEXT:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def moment_text(at: datetime) -> str:
    """A time as Kubernetes writes it, to the second, UTC: `2026-11-20T14:03:07Z`. Source: API conventions, metav1.Time."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: Any) -> datetime | None:
    """The time, UTC; None if it is none, has no zone, or is not of our centuries."""
    at = moments.moment(text) if isinstance(text, str) and len(text) <= _MAX_NUMBER_TEXT else None
    return at if at and _FIRST_YEAR <= at.year < _LAST_YEAR else None


def length_text(seconds: float, parts: int | None = None) -> str:
    """A length of time in Prometheus' notation, in days and below: `30d`, `1d12h`; `0s` if it is less than a second.

    Args:
        seconds: 0 or more; fractions are left out.
        parts: How many units at most: `3d4h` for 2. All of them if None.

    Source: Prometheus documentation, "Querying basics", time durations: units from large to small, whole numbers.
    """
    whole, told = int(seconds), []
    for unit, size in _UNITS[1:]:
        count, whole = divmod(whole, size)
        if count:
            told.append(f"{count}{unit}")
    return "".join(told[:parts]) or "0s"


def length(text: Any) -> float | None:
    """Seconds of a length of time in Prometheus' notation, as `5m`, `1h4m`, `4w`; None if it is none."""
    if not isinstance(text, str) or len(text) > _MAX_NUMBER_TEXT or not _LENGTH.fullmatch(text):
        return None
    return float(sum(int(count) * _SECONDS[unit] for count, unit in _PART.findall(text)))


def line(text: Any, limit: int) -> str:
    """A line of text; empty if it is no text."""
    return one_line(text, limit) if isinstance(text, str) else ""


def word(kind: type[Word], text: Any) -> Word | None:
    """One of a closed set of words; None if it is none of them."""
    try:
        return kind(text) if isinstance(text, str) else None
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Head(Generic[Word]):
    """What the judgements of signals and SLOs have in common."""

    name: str
    state: Word
    since: datetime
    message: str
    last_known: Word | None
    """The state, or the one before it became unknown; None if there never was one."""
    taken_at: datetime | None
    gap: Gap | None
    """Why nothing is known; None if something is."""


def head(told: Any, states: type[Word], *, unknown: Word) -> Head[Word] | None:
    """What a judgement of the status begins with; None if it is none, or contradicts itself.

    Args:
        told: what stands in the status.
        states: the words for what it may be.
        unknown: the one of them that nothing is known by.
    """
    if not isinstance(told, Mapping):
        return None
    name, state, since = line(told.get("name"), MAX_NAME), word(states, told.get("state")), moment(told.get("since"))
    if not name or state is None or since is None:
        return None
    last_known = word(states, told.get("lastKnown")) if state is unknown else state
    gap = word(Gap, told.get("gap"))
    if last_known is unknown or (state is unknown) is (gap is None):
        return None
    return Head(name, state, since, line(told.get("message"), MAX_MESSAGE), last_known, moment(told.get("takenAt")), gap)


def without_empty(told: Mapping[str, str | None]) -> dict[str, str]:
    """Only what is told: an empty field of the status says nothing."""
    return {name: str(text) for name, text in told.items() if text}
