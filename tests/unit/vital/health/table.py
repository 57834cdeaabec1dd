"""Rows of a decision table: a live object, and what is to be said of it."""

from typing import Any

import pytest

from cvstate_operator.vital.health.readiness import readiness
from cvstate_operator.vital.health.state import Reason, Status

CURRENT = Status.CURRENT
IN_PROGRESS = Status.IN_PROGRESS
FAILED = Status.FAILED
TERMINATING = Status.TERMINATING
UNKNOWN = Status.UNKNOWN


def row(name: str, obj: Any, status: Status, reason: Reason, told: str = "") -> Any:
    """One row; `told` is a part of the message."""
    return pytest.param(obj, status, reason, told, id=name.replace(" ", "-"))


def check(obj: Any, status: Status, reason: Reason, told: str) -> None:
    found = readiness(obj)
    assert (found.status, found.reason) == (status, reason), found.message
    assert told in found.message
    assert found.message
    assert found.message.isprintable()
