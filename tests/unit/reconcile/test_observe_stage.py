"""The observe stage: how often kinds are listed by the timer.

Aspects: an hour between lists · longer intervals · passes that come early or late · several ClusterStates.
"""

import random
from itertools import pairwise

import pytest

from cvstate_operator.reconcile.observe_stage import LIST_SECONDS, tolerated_age

MINUTE = 60.0


def lists(intervals: list[float], *, hours: int, seed: int = 1) -> list[float]:
    """When one kind is listed that so many ClusterStates use, each with passes that come up to 10 % early or late; seconds."""
    dice = random.Random(seed)
    passes = [(interval * dice.random(), number) for number, interval in enumerate(intervals)]
    found = [0.0]
    while min(passes)[0] < hours * LIST_SECONDS:
        at, number = min(passes)
        interval = intervals[number]
        if at - found[-1] > tolerated_age(interval):
            found.append(at)
        passes[number] = (at + interval * dice.uniform(0.9, 1.1), number)
    return found


@pytest.mark.parametrize(
    ("interval", "age"),
    [(1, 59.5), (10, 55), (25, 37.5), (40, 20), (60, 30), (120, 60)],
    ids=["a minute", "the default", "twice an hour", "more than half an hour", "an hour", "two hours"],
)
def test_the_last_pass_within_the_hour_lists(interval: float, age: float) -> None:
    assert tolerated_age(interval * MINUTE) == age * MINUTE


@pytest.mark.parametrize("interval", [1, 7, 10, 30, 40, 59, 60])
def test_a_kind_is_listed_within_an_hour_and_a_tenth_of_a_pass_that_listed_it(interval: float) -> None:
    _, *found = lists([interval * MINUTE], hours=100)
    assert max(later - earlier for earlier, later in pairwise(found)) <= 1.1 * LIST_SECONDS


@pytest.mark.parametrize("interval", [1, 10, 30, 40, 60])
def test_a_list_between_two_passes_delays_the_next_one_by_little_more_than_half_an_interval(interval: float) -> None:
    firsts = [lists([interval * MINUTE], hours=3, seed=seed)[1] for seed in range(50)]
    assert max(firsts) <= LIST_SECONDS + 0.6 * interval * MINUTE


@pytest.mark.parametrize("interval", [1, 10, 30, 60])
def test_an_interval_of_up_to_an_hour_costs_a_list_an_hour(interval: float) -> None:
    assert len(lists([interval * MINUTE], hours=100)) <= 112


def test_an_interval_of_more_than_an_hour_lists_at_each_pass() -> None:
    assert 32 <= len(lists([180 * MINUTE], hours=100)) <= 36


def test_many_clusterstates_share_a_list_an_hour() -> None:
    assert len(lists([10 * MINUTE] * 200, hours=100)) <= 112
