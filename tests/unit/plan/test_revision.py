"""Which commit is worked with.

Aspects: every row of the table in plan/revision.py · what is never chosen · which commit was given up.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator.plan.revision import Choice, Why, choose, given_up

NEW, OLD, GOOD = "new", "old", "good"


@pytest.mark.parametrize(
    ("accepted", "quarantined", "may_advance", "may_roll_back", "expected"),
    [
        pytest.param(NEW, (), True, True, Choice(NEW, Why.NEWEST), id="accepted-already"),
        pytest.param(NEW, (), False, False, Choice(NEW, Why.NEWEST), id="accepted-already-although-held"),
        pytest.param(OLD, (), True, True, Choice(NEW, Why.NEWEST), id="newer"),
        pytest.param(OLD, (), False, True, Choice(OLD, Why.HELD), id="newer-but-held"),
        pytest.param("", (), True, True, Choice(NEW, Why.NEWEST), id="first"),
        pytest.param("", (), False, True, Choice(NEW, Why.NEWEST), id="first-and-held"),
        pytest.param(NEW, (NEW,), True, True, Choice(GOOD, Why.ROLLED_BACK), id="quarantined"),
        pytest.param(NEW, (NEW,), False, True, Choice(GOOD, Why.ROLLED_BACK), id="quarantined-while-new-revisions-are-held"),
        pytest.param(NEW, (NEW,), True, False, Choice(NEW, Why.HELD), id="quarantined-while-rollbacks-are-held"),
        pytest.param(GOOD, (NEW,), True, False, Choice(GOOD, Why.ROLLED_BACK), id="rolled-back-already"),
        pytest.param(OLD, (NEW,), True, False, Choice(OLD, Why.HELD), id="quarantined-before-it-was-begun"),
        pytest.param(OLD, (NEW, GOOD), True, True, Choice(OLD, Why.HELD), id="the-good-one-quarantined-too"),
    ],
)
def test_each_row_has_its_commit(
    accepted: str, quarantined: tuple[str, ...], may_advance: bool, may_roll_back: bool, expected: Choice
) -> None:
    assert (
        choose(NEW, accepted=accepted, good=GOOD, quarantined=quarantined, may_advance=may_advance, may_roll_back=may_roll_back) == expected
    )


def test_without_a_good_one_there_is_nothing_to_go_back_to() -> None:
    assert choose(NEW, accepted=NEW, good="", quarantined=[NEW], may_advance=True, may_roll_back=True) == Choice(NEW, Why.HELD)


COMMITS = st.sampled_from(["a", "b", "c"])


@given(COMMITS, st.just("") | COMMITS, st.just("") | COMMITS, st.sets(COMMITS), st.booleans(), st.booleans())
def test_no_quarantined_commit_is_taken_up_and_no_new_one_while_it_is_held(
    newest: str, accepted: str, good: str, quarantined: set[str], may_advance: bool, may_roll_back: bool
) -> None:
    found = choose(newest, accepted=accepted, good=good, quarantined=quarantined, may_advance=may_advance, may_roll_back=may_roll_back)
    if found.why is not Why.HELD:
        assert found.commit not in quarantined
    if found.why is Why.NEWEST:
        assert found.commit == newest
        assert may_advance or newest == accepted or not accepted
    if found.why is Why.ROLLED_BACK:
        assert newest in quarantined
        assert may_roll_back or found.commit == accepted


@pytest.mark.parametrize(
    ("begun", "newest", "expected"),
    [
        pytest.param(["bad", GOOD], "bad", "bad", id="about-to-be-rolled-back"),
        pytest.param([GOOD, "bad", GOOD], "bad", "bad", id="rolled-back"),
        pytest.param([GOOD, "bad-2", GOOD, "bad-1", GOOD], "bad-2", "bad-2", id="the-last-of-two"),
        pytest.param([GOOD, "bad", GOOD, OLD], NEW, "bad", id="another-one-is-rejected-since"),
        pytest.param([GOOD], NEW, "", id="rejected-before-it-was-begun"),
        pytest.param([GOOD, OLD], NEW, "", id="rejected-before-it-was-begun-and-what-came-before-is-no-matter"),
        pytest.param([GOOD, GOOD], "bad", "bad", id="dropped-from-a-short-history"),
        pytest.param([GOOD, "bad"], "bad", "bad", id="the-good-one-dropped-from-a-short-history"),
        pytest.param([], NEW, "", id="nothing-is-known"),
    ],
)
def test_what_was_given_up_is_what_was_begun_after_the_good_one(begun: list[str], newest: str, expected: str) -> None:
    assert given_up(begun, good=GOOD, newest=newest) == expected
