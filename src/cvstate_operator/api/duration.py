"""Durations in Go's syntax: `300ms`, `90s`, `10m`, `1h30m`.

Source: Go package time, ParseDuration, as metav1.Duration reads it. Negative durations, and units above hours, do not exist here.
"""

import re
from datetime import timedelta
from functools import lru_cache
from typing import Annotated, Final

from pydantic import AfterValidator, Field
from pydantic.config import JsonDict

PATTERN: Final = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"
"""The same pattern stands in the CRD, so that the API server refuses `5m5` and `1y` itself (RELIABILITY C55)."""

_UNIT_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")

MAX_SECONDS: Final = 366 * 24 * 3600.0
"""A year: longer intervals are mistakes, and Go's own limit (292 years) overflows timers elsewhere."""


MIN_INTERVAL_SECONDS: Final = 1.0
MAX_TIMEOUT_SECONDS: Final = 600.0


def parse_seconds(text: str) -> float:
    """Seconds of a Go duration.

    Raises:
        ValueError: not a duration, or longer than a year.
    """
    if not re.fullmatch(PATTERN, text):
        raise ValueError("is no duration; write it like 30s, 10m or 1h30m")
    seconds = sum(float(number) * _UNIT_SECONDS[unit] for number, unit in _PART.findall(text))
    if seconds > MAX_SECONDS:
        raise ValueError("is longer than a year")
    return seconds


@lru_cache(maxsize=1024)
def span(text: str) -> timedelta:
    """A Go duration as a length of time; those of a spec are asked for again and again, and kept.

    Raises:
        ValueError: as `parse_seconds`.
    """
    return timedelta(seconds=parse_seconds(text))


def _check(text: str) -> str:
    if not parse_seconds(text):
        raise ValueError("must be longer than zero")
    return text


_RULE: Final[JsonDict] = {"rule": "duration(self) > duration('0s')", "message": "must be longer than zero"}

Duration = Annotated[
    str, Field(pattern=PATTERN, max_length=32, json_schema_extra={"x-kubernetes-validations": [_RULE]}), AfterValidator(_check)
]
"""A pydantic field type: a Go duration, kept as the user wrote it; `parse_seconds` reads it."""


def _check_lasting(text: str) -> str:
    parse_seconds(text)
    return text


LastingFor = Annotated[str, Field(pattern=PATTERN, max_length=32), AfterValidator(_check_lasting)]
"""A Go duration that may be zero."""


def _check_interval(text: str) -> str:
    if parse_seconds(text) < MIN_INTERVAL_SECONDS:
        raise ValueError("must be one second or longer")
    return text


_INTERVAL_RULE: Final[JsonDict] = {"rule": "duration(self) >= duration('1s')", "message": "must be one second or longer"}

Interval = Annotated[
    str,
    Field(pattern=PATTERN, max_length=32, json_schema_extra={"x-kubernetes-validations": [_INTERVAL_RULE]}),
    AfterValidator(_check_interval),
]
"""A Go duration between repetitions: short ones would keep the operator and the server busy with nothing else."""


def _check_timeout(text: str) -> str:
    if not 0 < parse_seconds(text) <= MAX_TIMEOUT_SECONDS:
        raise ValueError("must be longer than zero, and 10m or shorter")
    return text


_TIMEOUT_RULE: Final[JsonDict] = {
    "rule": "duration(self) > duration('0s') && duration(self) <= duration('10m')",
    "message": "must be longer than zero, and 10m or shorter",
}

Timeout = Annotated[
    str,
    Field(pattern=PATTERN, max_length=32, json_schema_extra={"x-kubernetes-validations": [_TIMEOUT_RULE]}),
    AfterValidator(_check_timeout),
]
"""A Go duration for which something may keep others waiting."""


def human(seconds: float) -> str:
    """A duration for people: `0.43 s`, `12 s`, `3 m 20 s`, `2 h 5 m`, `4 d 3 h`."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    whole = round(seconds)
    units = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
    parts = []
    for name, size in units:
        count, whole = divmod(whole, size)
        if count:
            parts.append(f"{count} {name}")
    return " ".join(parts[:2])
