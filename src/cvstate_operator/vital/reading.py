"""Reading: one answer to the question how something is, or why there is none. Never a guess: what could not be read has no value.

Adapters make readings (Prometheus, the cluster); signals and SLOs judge them.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from cvstate_operator import errors


class Gap(StrEnum):
    """Why there is no value, in one word; the set is closed, so it may be a metric label."""

    NOT_ASKED = "NotAsked"
    """Nobody has asked yet."""
    NO_DATA = "NoData"
    """The answer is empty: no series, or none with a sample."""
    NOT_A_NUMBER = "NotANumber"
    """The answer is NaN or infinite: nothing was divided by nothing."""
    STALE = "Stale"
    """The newest sample is older than it may be."""
    UNREACHABLE = "Unreachable"
    """No connection, no answer in time, or an error in place of one that may pass."""
    REFUSED = "Refused"
    """Credentials are missing or wrong, or we may not read it."""
    QUERY_FAILED = "QueryFailed"
    """The question makes no sense, or takes the server too much."""
    TOO_MANY_SERIES = "TooManySeries"
    """The answer has more series than we take."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What was answered. Of several series the lowest and the highest value are kept; of one both are the same."""

    asked_at: datetime
    """UTC."""
    low: float | None = None
    """Finite; None if there is no value, as `high` then."""
    high: float | None = None
    taken_at: datetime | None = None
    """When the newest sample behind the value was taken, UTC; the time of asking for what is counted at that moment. None without a value, if it is not known."""
    low_series: str = ""
    """Which series is the lowest, as {instance="a"}; empty if there is one only."""
    high_series: str = ""
    gap: Gap | None = None
    """Why there is no value; None if there is one."""
    message: str = ""
    """What was wrong, for people; one line, nothing secret."""


def gap(why: Gap, message: str, *, asked_at: datetime, taken_at: datetime | None = None) -> Reading:
    """No value, and why."""
    return Reading(asked_at, taken_at=taken_at, gap=why, message=message)


def gap_of(error: errors.CvstateError) -> Gap:
    """What an error of the API server means to who wanted to know something."""
    match error:
        case errors.ForbiddenError() | errors.UnauthorizedError():
            return Gap.REFUSED
        case errors.NotFoundError():
            return Gap.NO_DATA
        case errors.TransientError():
            return Gap.UNREACHABLE
    return Gap.QUERY_FAILED
