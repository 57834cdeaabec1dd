"""Spans that are over, as values. `traces.py` makes them, `otlp.py` sends them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

MAX_TEXT: Final = 1000
"""Longest text of an attribute or status, characters."""

Value = str | bool | int | float


class Kind(IntEnum):
    """What a span is to others; the numbers are those of OTLP (trace.proto, SpanKind)."""

    INTERNAL = 1
    CLIENT = 3
    """Requests to another program."""


class Link(NamedTuple):
    """Another span, hexadecimal."""

    trace_id: str
    span_id: str


@dataclass(frozen=True, slots=True)
class Finished:
    """A span that is over."""

    name: str
    kind: Kind
    trace_id: str
    """32 hexadecimal digits."""
    span_id: str
    """16 hexadecimal digits."""
    parent_id: str
    """Empty: it is the root of its trace."""
    started: int
    """Nanoseconds since 1970, UTC."""
    ended: int
    """Never before `started`."""
    attributes: Mapping[str, Value]
    links: tuple[Link, ...] = ()
    error: str | None = None
    """What went wrong, for people; None if nothing did."""


Send = Callable[[Sequence[Finished]], None]
"""Takes the spans of one trace, the root first. It must neither wait nor raise."""
