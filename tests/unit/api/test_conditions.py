"""Conditions.

Aspects: transition times · conditions that exist only while True · order · length · what others wrote.
"""

from typing import Any

import pytest

from cvstate_operator.api.conditions import MAX_MESSAGE, Condition, ConditionType, merge

THEN, NOW = "2026-01-01T00:00:00Z", "2026-02-02T00:00:00Z"


def before(kind: str, status: str) -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": "Old", "message": "old", "observedGeneration": 1, "lastTransitionTime": THEN}


def merged(previous: list[dict[str, Any]], *current: Condition) -> list[dict[str, Any]]:
    return merge(previous, current, generation=2, now=NOW)


@pytest.mark.parametrize(
    ("previous", "status", "since"),
    [
        pytest.param([], True, NOW, id="new"),
        pytest.param([before("Ready", "True")], True, THEN, id="unchanged"),
        pytest.param([before("Ready", "True")], False, NOW, id="became-false"),
        pytest.param([before("Ready", "False")], None, NOW, id="became-unknown"),
        pytest.param([before("Ready", "Unknown")], None, THEN, id="still-unknown"),
        pytest.param([before("Drifted", "True")], True, NOW, id="only-another-type"),
        pytest.param([{"type": "Ready", "status": "True"}], True, NOW, id="unchanged-without-a-time"),
    ],
)
def test_the_transition_time_moves_only_with_the_status(previous: list[dict[str, Any]], status: bool | None, since: str) -> None:
    (found,) = merged(previous, Condition(ConditionType.READY, status, "New", "new"))
    assert found["lastTransitionTime"] == since
    assert (found["reason"], found["message"], found["observedGeneration"]) == ("New", "new", 2)


@pytest.mark.parametrize(("status", "word"), [(True, "True"), (False, "False"), (None, "Unknown")])
def test_a_status_is_spelled_as_the_api_spells_it(status: bool | None, word: str) -> None:
    (found,) = merged([], Condition(ConditionType.READY, status, "R"))
    assert found["status"] == word


@pytest.mark.parametrize("kind", [ConditionType.RECONCILING, ConditionType.STALLED])
@pytest.mark.parametrize("status", [False, None])
def test_reconciling_and_stalled_are_absent_unless_true(kind: ConditionType, status: bool | None) -> None:
    assert merged([before(kind.value, "True")], Condition(kind, status, "R")) == []
    assert [c["type"] for c in merged([], Condition(kind, True, "R"))] == [kind.value]


def test_conditions_are_sorted_by_type_and_nothing_else_is_kept() -> None:
    found = merged(
        [before("Ancient", "True")],
        Condition(ConditionType.SOURCE_READY, True, "R"),
        Condition(ConditionType.DRIFTED, False, "R"),
        Condition(ConditionType.READY, True, "R"),
    )
    assert [c["type"] for c in found] == ["Drifted", "Ready", "SourceReady"]


def test_a_long_message_is_cut() -> None:
    (found,) = merged([], Condition(ConditionType.READY, False, "R", "x" * 100_000))
    assert len(found["message"]) == MAX_MESSAGE


def test_the_same_conditions_merged_again_stay_the_same() -> None:
    once = merged([], Condition(ConditionType.READY, True, "R", "m"), Condition(ConditionType.STALLED, True, "R", "m"))
    again = merge(
        once,
        [Condition(ConditionType.READY, True, "R", "m"), Condition(ConditionType.STALLED, True, "R", "m")],
        generation=2,
        now="2027-01-01T00:00:00Z",
    )
    assert again == once
