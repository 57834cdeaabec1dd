"""How well the API server answers, over five minutes, in a time of our own.

Aspects: no requests · what counts as a failure · the 99 % and how exact they are · what is older than five minutes · silence · a clock that begins anywhere.
"""

import math
import random
from datetime import UTC, datetime, timedelta

import pytest

from cvstate_operator.kube.api_quality import SLOT_SECONDS, SLOTS, STEPS, ApiQuality

NOW = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)
WINDOW = SLOT_SECONDS * SLOTS


class Clock:
    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def observed(quality: ApiQuality, *results: str, seconds: float = 0.01) -> None:
    for result in results:
        quality.observe_request(action="get", result=result, seconds=seconds)


def test_without_requests_nothing_is_known():
    quality = ApiQuality(clock=Clock())
    found = quality.requests(NOW)
    assert (found.total, found.failed, found.seconds, found.newest_at) == (0, 0, None, None)
    assert quality.idle_seconds == math.inf


@pytest.mark.parametrize("result", ["NetworkError", "TargetUnreachable", "Timeout", "ServerError", "WebhookUnavailable"])
def test_what_the_api_server_failed_is_counted(result: str):
    quality = ApiQuality(clock=Clock())
    observed(quality, "ok", "ok", "ok", result)
    assert (quality.requests(NOW).total, quality.requests(NOW).failed) == (4, 1)


@pytest.mark.parametrize("result", ["ok", "NotFound", "Stale", "Forbidden", "Invalid", "Throttled", "AdmissionDenied"])
def test_an_answer_is_no_failure_whatever_it_says(result: str):
    quality = ApiQuality(clock=Clock())
    observed(quality, result)
    assert (quality.requests(NOW).total, quality.requests(NOW).failed) == (1, 0)


def test_what_we_gave_up_ourselves_is_no_request():
    quality = ApiQuality(clock=Clock())
    observed(quality, "Cancelled", seconds=9.0)
    assert quality.requests(NOW).total == 0


def test_a_refused_connection_is_no_quick_answer():
    quality = ApiQuality(clock=Clock())
    observed(quality, "ok", seconds=0.5)
    observed(quality, *["NetworkError"] * 1000, seconds=0.0001)
    found = quality.requests(NOW)
    assert found.seconds == pytest.approx(0.5)
    assert found.failed == 1000
    alone = ApiQuality(clock=Clock())
    observed(alone, "NetworkError")
    assert alone.requests(NOW).seconds is None


def test_an_answer_that_did_not_come_in_time_counts_with_the_time_it_was_waited_for():
    quality = ApiQuality(clock=Clock())
    observed(quality, *["ok"] * 50, seconds=0.01)
    observed(quality, "Timeout", seconds=15.0)
    assert quality.requests(NOW).seconds == 15.0


def test_one_slow_answer_in_a_hundred_is_within_the_one_per_cent():
    quality = ApiQuality(clock=Clock())
    observed(quality, *["ok"] * 99, seconds=0.01)
    observed(quality, "ok", seconds=10.0)
    assert 0.01 <= (quality.requests(NOW).seconds or 0) <= 0.011
    observed(quality, "ok", seconds=10.0)
    assert (quality.requests(NOW).seconds or 0) == 10.0


def test_the_99_percent_are_never_told_too_short_and_a_tenth_too_long_at_most():
    chance = random.Random(7)
    for _ in range(20):
        quality = ApiQuality(clock=Clock())
        durations = sorted(min(STEPS[-1], chance.lognormvariate(-4, 1.5)) for _ in range(chance.randint(1, 400)))
        for seconds in durations:
            observed(quality, "ok", seconds=seconds)
        exact = durations[math.ceil(len(durations) * 0.99) - 1]
        assert exact <= (quality.requests(NOW).seconds or 0) <= max(exact * 1.1, STEPS[0])


def test_an_answer_longer_than_all_steps_is_told_as_it_is():
    quality = ApiQuality(clock=Clock())
    observed(quality, "ok", seconds=300.0)
    assert quality.requests(NOW).seconds == 300.0


@pytest.mark.parametrize("begin", [0.0, 7.5, 123_456_789.25])
def test_what_is_older_than_five_minutes_is_forgotten(begin: float):
    clock = Clock(begin)
    quality = ApiQuality(clock=clock)
    observed(quality, "ServerError", seconds=5.0)
    clock.now = begin + WINDOW - SLOT_SECONDS - 1
    observed(quality, "ok")
    assert (quality.requests(NOW).total, quality.requests(NOW).failed) == (2, 1)
    clock.now = begin + WINDOW
    found = quality.requests(NOW)
    assert (found.total, found.failed) == (1, 0)
    assert (found.seconds or 0) < 0.02
    clock.now = begin + 3 * WINDOW
    assert quality.requests(NOW).total == 0
    assert quality.requests(NOW).newest_at is None


def test_a_slot_is_used_anew_in_the_next_round():
    clock = Clock(1.0)
    quality = ApiQuality(clock=clock)
    for step in range(5 * SLOTS):
        clock.now = 1.0 + step * SLOT_SECONDS
        observed(quality, "ok", "ServerError")
        assert quality.requests(NOW).total == 2 * min(step + 1, SLOTS)
        assert quality.requests(NOW).failed == min(step + 1, SLOTS)


def test_silence_shows_as_the_age_of_the_newest_request():
    clock = Clock(100.0)
    quality = ApiQuality(clock=clock)
    observed(quality, "ok")
    clock.now += 42.0
    assert quality.idle_seconds == 42.0
    assert quality.requests(NOW).newest_at == NOW - timedelta(seconds=42)
