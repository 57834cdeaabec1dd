"""What the demo finds out, as values: made by `steps`, shown by `screen`, written as JSON by `command`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Seen:
    """A step that happened as it should."""

    summary: str
    """One line of about 40 characters."""
    seconds: float
    """The time that matters in this step."""
    detail: str = ""
    """What else was seen, for the closing table."""
    measures: Mapping[str, Any] = field(default_factory=dict)
    """Everything measured, JSON data; keys carry the unit."""
    is_left_out: bool = False
    """Nothing was done, since this machine lacks something; the summary says what."""

    @property
    def took(self) -> str:
        """The time for people; a dash if nothing was done."""
        return "–" if self.is_left_out else duration(self.seconds)


class NotSeenError(Exception):
    """A step that did not happen in time."""

    def __init__(self, *, expected: str, found: str, tail: tuple[str, ...] = ()) -> None:
        super().__init__(f"expected: {expected}; seen: {found}")
        self.expected = expected
        self.found = found
        self.tail = tail
        """The last lines of the operator's log, if it ended."""


def duration(seconds: float) -> str:
    """For people: milliseconds below a second.

    >>> duration(0.0314), duration(4.25), duration(75)
    ('31 ms', '4.2 s', '75 s')
    """
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds:.0f} s"
