"""The judge of replicas: which logs of writes show that two of them wrote the same at a time, and which do not."""

from datetime import UTC, datetime, timedelta

import pytest

from cvstate_operator.plan.membership import FENCE_SECONDS
from tests.support.shards import Write, overlaps

BEGUN = datetime(2026, 5, 4, 12, tzinfo=UTC)


def write(member: str, at: float, seconds: float = 0.01, *, state: str = "shop") -> Write:
    return Write(state, member, BEGUN + timedelta(seconds=at), BEGUN + timedelta(seconds=at + seconds), "patch", 200)


ONE_AFTER_THE_OTHER = [write("a", 0), write("a", 1), write("b", 15), write("b", 16), write("a", 40), write("c", 41)]
"""The last two are quick: a left in good order."""


@pytest.mark.parametrize(
    "log",
    [
        pytest.param([], id="nothing"),
        pytest.param(ONE_AFTER_THE_OTHER, id="handed over, and back"),
        pytest.param([write("a", 0, 5), write("a", 1), write("a", 2, 9)], id="one writes several at a time"),
        pytest.param([write("a", 0, 2), write("b", 2)], id="the other begins when the answer is there"),
        pytest.param([write("a", 0, 9), write("b", 1, state="other")], id="two of them, and two ClusterStates"),
    ],
)
def test_what_was_written_by_one_at_a_time_is_no_overlap(log: list[Write]):
    assert overlaps(log) == []


@pytest.mark.parametrize(
    "planted",
    [
        pytest.param([write("a", 100, 3), write("b", 101)], id="the next one"),
        pytest.param([write("a", 100, 9), write("a", 101), write("b", 105)], id="one that was begun before the last"),
        pytest.param([write("a", 100, 60), write("b", 115), write("b", 116)], id="a long one, and all after it"),
        pytest.param([write("a", 100, 60), write("b", 160.5), write("c", 120)], id="a third one"),
        pytest.param([write("a", 100, 60), write("a", 101, 1), write("b", 130)], id="the longest counts, not the newest"),
        pytest.param([write("a", 100), write("b", 101), write("a", 102)], id="by turns"),
        pytest.param([write("a", 100), write("a", 101), write("b", 105), write("b", 106), write("a", 108)], id="back too soon"),
    ],
)
def test_an_overlap_is_found_among_others(planted: list[Write]):
    log = sorted([*ONE_AFTER_THE_OTHER, *planted], key=lambda one: one.at)
    assert overlaps(log)


def test_each_write_that_a_long_one_overlaps_is_told():
    found = overlaps([write("a", 0, 60), write("b", 20), write("b", 21), write("c", 40)])
    assert [line.split(" came before ")[0].split()[-1] for line in found if "answered" in line] == ["b", "b", "c"]


def test_the_same_is_no_overlap_after_the_fence():
    assert overlaps([write("a", 0), write("b", 1), write("a", FENCE_SECONDS)]) == []
    assert overlaps([write("a", 0), write("b", 1), write("a", FENCE_SECONDS - 0.1)])
