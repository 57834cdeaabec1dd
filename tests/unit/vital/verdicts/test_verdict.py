"""The verdict: whether the whole is acceptable.

Aspects: the table, row by row · doubt is Unknown, a bad score is False · left at once, met again after a while · a restart · the message · what was never made.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cvstate_operator.api.vital import Acceptance
from cvstate_operator.vital.health.lapse import HealthCounts
from cvstate_operator.vital.item import Item, ItemKind
from cvstate_operator.vital.verdicts import score, verdict
from cvstate_operator.vital.verdicts.compliance import Configuration
from cvstate_operator.vital.verdicts.score import Score
from cvstate_operator.vital.verdicts.verdict import SETTLE_SECONDS, Reason, Verdict

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
USUAL = Acceptance()


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def signal(value: float | None = 1.0, **more: Any) -> Item:
    given = {"is_known": value is not None, "is_critical": False, "is_breached": False, "message": "is fine"}
    return Item("error-rate", ItemKind.SIGNAL, 10, value, **{**given, **more})


def scored(*items: Item, declared: Configuration | None = None, health: HealthCounts | None = None) -> Score:
    return score.evaluate(declared or Configuration(10), health or HealthCounts(ready=10), items)


GOOD = scored()
BAD = scored(signal(0.0, is_breached=True))
DARK = scored(signal(is_known=False))
BLIND = scored(declared=Configuration(10, unseen=10), health=HealthCounts(unknown=10))


@pytest.mark.parametrize(
    ("found", "acceptance", "status", "reason"),
    [
        pytest.param(GOOD, USUAL, True, Reason.REQUIREMENTS_MET, id="all-met"),
        pytest.param(scored(declared=Configuration(10, is_evaluated=False)), USUAL, None, Reason.NOT_EVALUATED, id="nothing-compared-yet"),
        pytest.param(BAD, USUAL, False, Reason.SCORE_BELOW_MINIMUM, id="too-low"),
        pytest.param(BAD, Acceptance(min_score=75), True, Reason.REQUIREMENTS_MET, id="low-and-low-enough-a-minimum"),
        pytest.param(DARK, USUAL, None, Reason.CONFIDENCE_BELOW_MINIMUM, id="not-known-enough"),
        pytest.param(DARK, Acceptance(min_confidence=60), True, Reason.REQUIREMENTS_MET, id="as-much-as-is-asked-for-is-known"),
        pytest.param(
            scored(health=HealthCounts(ready=6, unknown=4)),
            Acceptance(min_score=95),
            False,
            Reason.SCORE_BELOW_MINIMUM,
            id="too-low-and-enough-is-known",
        ),
        pytest.param(BLIND, USUAL, None, Reason.CONFIDENCE_BELOW_MINIMUM, id="too-low-only-since-nothing-is-known"),
        pytest.param(
            scored(signal(0.0, is_breached=True, is_known=False)),
            USUAL,
            False,
            Reason.SCORE_BELOW_MINIMUM,
            id="bad-and-a-gap-mends-nothing",
        ),
        pytest.param(
            scored(signal(is_known=False), health=HealthCounts(failed=9, unknown=1)),
            USUAL,
            False,
            Reason.SCORE_BELOW_MINIMUM,
            id="bad-whatever-is-not-known",
        ),
        pytest.param(
            scored(signal(0.0, is_breached=True, is_critical=True)),
            Acceptance(min_score=0, min_confidence=0),
            False,
            Reason.CRITICAL_BREACHED,
            id="critical-whatever-the-minimum",
        ),
        pytest.param(
            scored(signal(is_known=False, is_critical=True)), USUAL, None, Reason.CONFIDENCE_BELOW_MINIMUM, id="critical-and-not-known"
        ),
    ],
)
def test_the_first_row_that_holds_decides(found: Score, acceptance: Acceptance, status: bool | None, reason: Reason) -> None:
    told = verdict.judge(found, acceptance, before=None, now=NOW)
    assert (told.status, told.reason) == (status, reason)


def test_it_is_left_at_once_and_met_again_only_after_a_while() -> None:
    told = verdict.judge(GOOD, USUAL, before=None, now=NOW)
    told = verdict.judge(BAD, USUAL, before=told, now=later(1))
    assert (told.status, told.next_change) == (False, None)
    told = verdict.judge(GOOD, USUAL, before=told, now=later(2))
    assert (told.status, told.reason, told.next_change) == (False, Reason.SETTLING, later(2 + SETTLE_SECONDS))
    told = verdict.judge(GOOD, USUAL, before=told, now=later(1 + SETTLE_SECONDS))
    assert told.reason is Reason.SETTLING
    told = verdict.judge(GOOD, USUAL, before=told, now=later(2 + SETTLE_SECONDS))
    assert (told.status, told.reason, told.next_change) == (True, Reason.REQUIREMENTS_MET, None)


def test_what_goes_up_and_down_is_not_met() -> None:
    told: Verdict | None = None
    for step in range(20):
        told = verdict.judge(BAD if step % 2 == 0 else GOOD, USUAL, before=told, now=later(step * 45))
        assert told.status is False


def test_after_doubt_it_stays_unknown_until_it_settled() -> None:
    doubtful = verdict.judge(DARK, USUAL, before=None, now=NOW)
    told = verdict.judge(GOOD, USUAL, before=doubtful, now=later(1))
    assert (told.status, told.reason) == (None, Reason.SETTLING)


def test_the_first_comparison_needs_not_settle() -> None:
    first = verdict.judge(scored(declared=Configuration(10, is_evaluated=False)), USUAL, before=verdict.recalled("True", NOW), now=NOW)
    assert first.status is None
    assert verdict.judge(GOOD, USUAL, before=first, now=later(1)).status is True


@pytest.mark.parametrize(
    ("word", "status", "reason"),
    [
        pytest.param("True", True, Reason.REQUIREMENTS_MET, id="was-acceptable"),
        pytest.param("False", False, Reason.SETTLING, id="was-not"),
        pytest.param("Unknown", None, Reason.SETTLING, id="was-not-known"),
        pytest.param("", True, Reason.REQUIREMENTS_MET, id="was-never-told"),
        pytest.param("true; rm", True, Reason.REQUIREMENTS_MET, id="no-word-of-ours"),
    ],
)
def test_over_a_restart_it_goes_on_from_its_condition(word: str, status: bool | None, reason: Reason) -> None:
    told = verdict.judge(GOOD, USUAL, before=verdict.recalled(word, NOW), now=later(5))
    assert (told.status, told.reason) == (status, reason)


def test_a_clock_that_was_set_back_only_takes_longer() -> None:
    told = verdict.judge(BAD, USUAL, before=None, now=NOW)
    told = verdict.judge(GOOD, USUAL, before=told, now=later(1))
    assert verdict.judge(GOOD, USUAL, before=told, now=later(-3600)).reason is Reason.SETTLING


def test_the_message_names_what_pulls_and_not_its_value() -> None:
    assert verdict.judge(BAD, USUAL, before=None, now=NOW).message == "the score is below 90: error-rate"
    assert verdict.judge(DARK, USUAL, before=None, now=NOW).message == "the confidence is below 80: error-rate"
    critical = scored(signal(0.0, is_breached=True, is_critical=True))
    assert verdict.judge(critical, USUAL, before=None, now=NOW).message == "critical and breached: error-rate"
    assert verdict.judge(GOOD, USUAL, before=None, now=NOW).message == "the score is at least 90 and the confidence at least 80"


# -- what was never made -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "status", "reason"),
    [
        pytest.param(None, None, Reason.NOT_EVALUATED, id="never-judged"),
        pytest.param(verdict.recalled("Unknown", NOW), None, Reason.SETTLING, id="unknown"),
        pytest.param(verdict.recalled("False", NOW), False, Reason.SETTLING, id="unacceptable"),
        pytest.param(verdict.recalled("True", NOW), True, Reason.REQUIREMENTS_MET, id="acceptable"),
    ],
)
def test_what_was_not_made_yet_makes_nothing_acceptable_and_ends_nothing_that_is(
    before: Verdict | None, status: bool | None, reason: Reason
) -> None:
    found = verdict.judge(GOOD, USUAL, before=before, now=NOW, is_made=False)
    assert (found.status, found.reason, found.next_change) == (status, reason, None)


def test_a_bad_score_is_told_before_what_was_not_made_yet() -> None:
    found = verdict.judge(BAD, USUAL, before=None, now=NOW, is_made=False)
    assert (found.status, found.reason) == (False, Reason.SCORE_BELOW_MINIMUM)


def test_once_all_is_made_nothing_has_to_settle_but_what_was_bad_before() -> None:
    for first, status in ((None, True), (verdict.recalled("False", NOW), False)):
        before = verdict.judge(GOOD, USUAL, before=first, now=NOW, is_made=False)
        now = verdict.judge(GOOD, USUAL, before=before, now=NOW)
        assert now.status is status
        assert verdict.judge(GOOD, USUAL, before=now, now=later(SETTLE_SECONDS)).status is True
