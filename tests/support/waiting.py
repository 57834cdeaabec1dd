"""Waiting for what has to become true, with a deadline."""

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def until(what: str, look: Callable[[], Found | None], *, seconds: float = 20.0, every: float = 0.02) -> Found:
    """Call `look` until it gives something true, and return that.

    Raises:
        AssertionError: it did not in time; the message says what was waited for and what was seen last.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"not seen within {seconds} s: {what}; last seen: {found!r}"
        time.sleep(every)


def never(what: str, look: Callable[[], object], *, seconds: float, every: float = 0.1) -> None:
    """Watch for a while that something does not happen.

    Raises:
        AssertionError: it did.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        assert not found, f"{what}: {found!r}"
        time.sleep(every)
