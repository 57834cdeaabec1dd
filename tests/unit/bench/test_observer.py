"""What the observer waits for.

Aspects: the first time counts · an object must be whole · what must go · what was right before does not count again.
"""

from typing import Any

import orjson

from bench.observer import Expectation, State

PATH = "/api/v1/namespaces/a/configmaps/b"
WANTED = {"data": {"k": "1"}}


def shown(expectation: Expectation, *states: tuple[float, int, Any]) -> dict[str, float]:
    """Show it states as (seconds, resourceVersion, body), and return the times."""
    for seconds, version, body in states:
        expectation.see(PATH, State(seconds, version, None if body is None else orjson.dumps(body)), body)
    return expectation.times


def test_the_first_time_counts_that_every_field_is_there():
    expectation = Expectation({PATH: WANTED}, after=0)
    assert shown(expectation, (1.0, 5, {"data": {}}), (2.0, 6, {"data": {"k": "1", "more": "x"}}), (3.0, 7, WANTED)) == {PATH: 2.0}
    assert expectation.is_met


def test_it_is_not_met_while_one_object_is_missing():
    expectation = Expectation({PATH: WANTED, f"{PATH}-2": WANTED}, after=0)
    shown(expectation, (1.0, 5, WANTED))
    assert not expectation.is_met


def test_what_must_go_is_met_when_it_is_gone():
    expectation = Expectation({PATH: None}, after=0)
    assert shown(expectation, (1.0, 5, WANTED), (2.0, 6, None)) == {PATH: 2.0}


def test_what_must_be_there_is_not_met_by_its_absence():
    assert shown(Expectation({PATH: WANTED}, after=0), (1.0, 5, None)) == {}


def test_what_was_right_before_somebody_changed_it_does_not_count():
    expectation = Expectation({PATH: WANTED}, after=6)
    assert shown(expectation, (1.0, 5, WANTED), (2.0, 6, WANTED), (3.0, 7, {"data": {}}), (4.0, 8, WANTED)) == {PATH: 4.0}


def test_what_has_to_be_right_again_must_be_seen_otherwise_first():
    expectation = Expectation({PATH: WANTED}, after=0, again=True)
    assert shown(expectation, (1.0, 5, WANTED), (2.0, 6, WANTED)) == {}
    assert shown(expectation, (3.0, 7, {"data": {}}), (4.0, 8, WANTED)) == {PATH: 4.0}


def test_an_object_that_was_deleted_is_right_again_when_it_is_back():
    expectation = Expectation({PATH: WANTED}, after=0, again=True)
    assert shown(expectation, (1.0, 5, WANTED), (2.0, 6, None), (3.0, 7, WANTED)) == {PATH: 3.0}


def test_objects_nobody_asked_about_are_passed_over():
    assert shown(Expectation({f"{PATH}-2": WANTED}, after=0), (1.0, 5, WANTED)) == {}
