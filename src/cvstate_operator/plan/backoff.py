"""Back-off: when a failed object is tried again. Per object, never per ClusterState."""

from typing import Final

from cvstate_operator.errors import CvstateError, QuotaExceededError, TerminalError, TransientError, WaitingError

FIRST_SECONDS: Final = {TransientError: 0.5, WaitingError: 1.0, TerminalError: 30.0}
"""First pause by what kind of error it was. A terminal error is repeated too, rarely: its cause may lie outside the object (RBAC, a webhook)."""
LONGEST_SECONDS: Final = {TransientError: 60.0, WaitingError: 60.0, TerminalError: 600.0}
QUOTA_FIRST_SECONDS: Final = 10.0
"""Quotas change by people or by other workloads ending: no use in asking soon."""
LONGEST_ASKED_SECONDS: Final = 600.0
"""Longest Retry-After that is believed; the API server itself asks for 1 (kubernetes#117734)."""
JITTER: Final = 0.2
"""Share by which a pause may be shorter or longer, so that retries do not come together (RELIABILITY S10: at least 10 %)."""


def pause_seconds(error: CvstateError, attempt: int, *, random: float) -> float:
    """How long to wait before the next try: doubled at each attempt, never shorter than Retry-After.

    Args:
        error: what happened.
        attempt: failed tries so far, from 1.
        random: a number from 0 to 1.
    """
    kind = next((k for k in FIRST_SECONDS if isinstance(error, k)), TransientError)
    first = QUOTA_FIRST_SECONDS if isinstance(error, QuotaExceededError) else FIRST_SECONDS[kind]
    pause = min(first * 2.0 ** min(attempt - 1, 30), LONGEST_SECONDS[kind])
    pause *= 1 + JITTER * (2 * random - 1)
    asked = error.retry_after_seconds if isinstance(error, TransientError) else None
    return max(pause, min(asked or 0.0, LONGEST_ASKED_SECONDS) * (1 + JITTER * random))
