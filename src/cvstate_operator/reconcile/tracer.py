"""The port Tracer: where the parts of a pass are told of, with how long each of them took. `telemetry/traces.py` fills it; while nobody does it costs nothing.

A part is entered by `with`. What is begun within it, also by tasks that are started there, is a part of it.
"""

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Final, Protocol, Self

from cvstate_operator.errors import CvstateError

Value = str | bool | int | float


class Span(Protocol):
    """One part, while it lasts."""

    def __enter__(self) -> Self:
        """It begins."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """It is over; an error is noted and goes on."""

    def set(self, **attributes: Value | None) -> None:
        """Tell more of it; None: nothing of that name is known. Nothing secret."""

    def fail(self, error: CvstateError) -> None:
        """It did not come to what it was for."""

    def keep(self) -> None:
        """Something happened that somebody may want to look at."""


class Tracer(Protocol):
    """Of one ClusterState."""

    def span(self, name: str, **attributes: Value | None) -> Span:
        """A part of what is under way, or the beginning of something new if nothing is.

        Args:
            name: a word from a small set.
            attributes: as of `Span.set`.
        """

    def batch(self, name: str) -> AbstractContextManager[object]:
        """One of many small parts of the same name, of which only the number and the time are told."""


class _NoSpan:
    """Nothing is told of it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Nobody was told that it began."""

    def set(self, **attributes: Value | None) -> None:
        """Nobody asks."""

    def fail(self, error: CvstateError) -> None:
        """Nobody asks."""

    def keep(self) -> None:
        """Nobody asks."""


class _NoTraces:
    """One span for everything: to make one takes longer than to enter it."""

    _span: Final = _NoSpan()

    def span(self, name: str, **attributes: Value | None) -> Span:
        return self._span

    def batch(self, name: str) -> AbstractContextManager[object]:
        return self._span


NO_TRACES: Final[Tracer] = _NoTraces()
"""Tracing is off."""
