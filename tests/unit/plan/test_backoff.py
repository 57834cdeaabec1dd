"""Back-off.

Aspects: pauses by kind of error · they grow to a limit · Retry-After is the least · retries are spread.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator import errors
from cvstate_operator.plan.backoff import JITTER, LONGEST_ASKED_SECONDS, LONGEST_SECONDS, pause_seconds

MIDDLE = 0.5
"""The random number that changes nothing."""

KINDS = (errors.ServerError, errors.QuotaExceededError, errors.KindUnknownError, errors.ForbiddenError, errors.CvstateError)
an_error = st.sampled_from(KINDS).map(lambda kind: kind("x"))
an_attempt = st.integers(1, 10_000)
chance = st.floats(0, 1)


@pytest.mark.parametrize(
    ("error", "pauses"),
    [
        pytest.param(errors.ServerError("x"), [0.5, 1, 2, 4, 8, 16, 32, 60, 60], id="transient"),
        pytest.param(errors.KindUnknownError("x"), [1, 2, 4, 8, 16, 32, 60, 60, 60], id="waiting"),
        pytest.param(errors.ForbiddenError("x"), [30, 60, 120, 240, 480, 600, 600, 600, 600], id="terminal"),
        pytest.param(errors.QuotaExceededError("x"), [10, 20, 40, 60, 60, 60, 60, 60, 60], id="quota"),
    ],
)
def test_pauses_double_up_to_a_limit(error: errors.CvstateError, pauses: list[float]) -> None:
    assert [pause_seconds(error, attempt, random=MIDDLE) for attempt in range(1, 10)] == pauses


@given(an_error, an_attempt)
def test_a_later_attempt_never_waits_less(error: errors.CvstateError, attempt: int) -> None:
    assert pause_seconds(error, attempt + 1, random=MIDDLE) >= pause_seconds(error, attempt, random=MIDDLE)


@given(an_error, an_attempt, chance)
def test_a_pause_is_within_the_jitter_around_the_middle_one(error: errors.CvstateError, attempt: int, random: float) -> None:
    middle = pause_seconds(error, attempt, random=MIDDLE)
    pause = pause_seconds(error, attempt, random=random)
    assert middle * (1 - JITTER) <= pause <= middle * (1 + JITTER)
    assert 0 < pause <= max(LONGEST_SECONDS.values()) * (1 + JITTER)


@given(an_attempt, chance, st.floats(0, 3600))
def test_what_the_server_asked_for_is_honoured_within_reason(attempt: int, random: float, asked: float) -> None:
    error = errors.ThrottledError("x", retry_after_seconds=asked)
    pause = pause_seconds(error, attempt, random=random)
    assert pause >= min(asked, LONGEST_ASKED_SECONDS)
    assert pause >= pause_seconds(errors.ThrottledError("x"), attempt, random=random)
