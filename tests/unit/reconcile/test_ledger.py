"""The ledger.

Aspects: what is due, by events, pauses and appointments · pauses and attempts · how long a failure is young · what is forgotten and when. Drift has a ledger of its own
(tests/unit/drift/test_ledger.py).
"""

import pytest

from cvstate_operator import errors
from cvstate_operator.reconcile.ledger import YOUNG_SECONDS, Ledger
from tests.unit.builders import manifest, ref

A, B, C = ref("a"), ref("b"), ref("c")
SERVER_ERROR = errors.ServerError("HTTP 500")


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


def fail(ledger: Ledger, *, digest: str = "d1", now: float = 0.0, error: errors.CvstateError = SERVER_ERROR) -> float:
    """Fail with A; when it is tried again."""
    return ledger.failed(A, manifest(digest=digest), error, now=now, random=0.5).retry_at


def test_a_touched_object_is_due_once_and_since_its_first_touch(ledger: Ledger) -> None:
    ledger.touch(A, 1.0)
    ledger.touch(A, 2.0)
    assert ledger.take(3.0) == {A: 1.0}
    assert ledger.take(3.0) == {}


def test_a_failed_object_is_due_when_its_pause_is_over(ledger: Ledger) -> None:
    retry_at = fail(ledger)
    assert ledger.take(retry_at - 0.01) == {}
    assert ledger.take(retry_at) == {A: retry_at}


def test_an_object_that_failed_and_was_touched_is_due_since_it_was_touched(ledger: Ledger) -> None:
    retry_at = fail(ledger)
    ledger.touch(A, 0.1)
    assert ledger.take(retry_at) == {A: 0.1}


def test_the_next_retry_is_the_earliest(ledger: Ledger) -> None:
    assert ledger.next_retry() is None
    ledger.failed(B, manifest("b"), errors.ForbiddenError("x"), now=0, random=0.5)
    retry_at = fail(ledger)
    assert ledger.next_retry() == retry_at


def test_pauses_grow_with_each_failure_of_the_same_manifest(ledger: Ledger) -> None:
    assert [fail(ledger), fail(ledger), fail(ledger)] == [0.5, 1, 2]
    assert ledger.failures[A].attempts == 3


@pytest.mark.parametrize(
    ("tries", "now", "is_young"),
    [(1, 0.0, True), (3, YOUNG_SECONDS - 0.1, True), (2, YOUNG_SECONDS, False), (1, 10 * YOUNG_SECONDS, True)],
    ids=["at-once", "within-the-time", "tried-again-after-it", "asked-to-come-back-later"],
)
def test_a_failure_that_may_pass_is_young_for_a_while_and_until_it_was_tried_again(
    ledger: Ledger, tries: int, now: float, is_young: bool
) -> None:
    for _ in range(tries):
        fail(ledger)
    assert ledger.failures[A].is_young(now) is is_young


def test_how_old_a_failure_is_counts_from_the_first_one_of_the_same_manifest(ledger: Ledger) -> None:
    fail(ledger)
    fail(ledger, now=YOUNG_SECONDS)
    assert not ledger.failures[A].is_young(YOUNG_SECONDS)
    fail(ledger, digest="d2", now=YOUNG_SECONDS)
    assert ledger.failures[A].is_young(YOUNG_SECONDS)


def test_what_cannot_pass_by_itself_is_never_young(ledger: Ledger) -> None:
    fail(ledger, error=errors.InvalidError("refused"))
    assert not ledger.failures[A].is_young(0.0)


def test_another_manifest_starts_again_with_a_short_pause(ledger: Ledger) -> None:
    fail(ledger)
    fail(ledger)
    assert fail(ledger, digest="d2") == 0.5


@pytest.mark.parametrize(
    ("digest", "now", "paused"),
    [
        pytest.param("d1", 0.4, True, id="same-manifest-within-the-pause"),
        pytest.param("d1", 0.5, False, id="pause-over"),
        pytest.param("d2", 0.4, False, id="another-manifest"),
    ],
)
def test_a_pause_holds_for_the_manifest_that_failed(ledger: Ledger, digest: str, now: float, paused: bool) -> None:
    fail(ledger)
    assert ledger.is_paused(A, manifest(digest=digest), now) is paused
    assert not ledger.is_paused(B, manifest("b"), now)


def test_a_failed_delete_pauses_too(ledger: Ledger) -> None:
    failure = ledger.failed(A, None, SERVER_ERROR, now=0, random=0.5)
    assert (failure.problem.file, failure.problem.document, failure.digest) == ("", 0, "")
    assert ledger.is_paused(A, None, 0.4)
    assert not ledger.is_paused(A, manifest(), 0.4)


def test_an_object_on_its_way_out_is_looked_at_whenever_something_happens(ledger: Ledger) -> None:
    fail(ledger, error=errors.TerminatingError("x"))
    assert not ledger.is_paused(A, manifest(), 0.1)
    assert ledger.next_retry() == 1


@pytest.mark.parametrize(
    ("error", "retryable"),
    [
        pytest.param(SERVER_ERROR, True, id="transient"),
        pytest.param(errors.NamespaceMissingError("x"), True, id="waiting"),
        pytest.param(errors.InvalidError("x", field="spec.a"), False, id="terminal"),
    ],
)
def test_a_failure_tells_where_and_whether_it_may_pass(ledger: Ledger, error: errors.CvstateError, retryable: bool) -> None:
    m = manifest(file="x.yaml", document=3)
    found = ledger.failed(A, m, error, now=0, random=0.5).problem
    assert (found.file, found.document, found.object, found.reason) == ("x.yaml", 3, "ConfigMap/default/a", error.reason)
    assert found.retryable is retryable
    assert found.field == getattr(error, "field", "")


def test_an_object_with_an_appointment_is_due_then_and_once(ledger: Ledger) -> None:
    ledger.defer(A, 5.0)
    assert ledger.next_retry() == 5.0
    assert ledger.take(4.9) == {}
    assert ledger.take(5.0) == {A: 5.0}
    assert (ledger.take(5.0), ledger.next_retry()) == ({}, None)


def test_a_failure_takes_the_place_of_an_appointment(ledger: Ledger) -> None:
    ledger.defer(A, 100.0)
    retry_at = fail(ledger)
    assert ledger.next_retry() == retry_at
    assert (ledger.take(retry_at), ledger.deferred) == ({A: retry_at}, {})


def test_what_is_done_has_no_failure_and_was_seen(ledger: Ledger) -> None:
    fail(ledger)
    ledger.done(A)
    assert (ledger.failures, ledger.present) == ({}, {A})


def test_what_is_forgotten_leaves_nothing(ledger: Ledger) -> None:
    fail(ledger)
    ledger.done(B)
    ledger.defer(C, 1.0)
    ledger.forget([A, B, C])
    assert (ledger.failures, ledger.present, ledger.deferred) == ({}, set(), {})


def test_only_what_is_desired_is_kept(ledger: Ledger) -> None:
    fail(ledger)
    ledger.defer(B, 1.0)
    ledger.done(C)
    ledger.touch(B, 1.0)
    ledger.keep_only({A: manifest()})
    assert (set(ledger.failures), ledger.deferred, ledger.present) == ({A}, {}, set())
    assert ledger.take(1.0) == {A: 0.5, B: 1.0}


def test_whatever_is_known_of_what_is_not_desired_any_more_is_forgotten(ledger: Ledger) -> None:
    for one in (A, B):
        ledger.failed(one, manifest(), SERVER_ERROR, now=0.0, random=0.5)
        ledger.defer(one, 1.0)
        for noted in (ledger.present, ledger.exempt, ledger.remaking):
            noted.add(one)
    ledger.keep_only({A: manifest()})
    kept = (ledger.failures, ledger.deferred, ledger.present, ledger.exempt, ledger.remaking)
    assert [set(one) for one in kept] == [{A}] * len(kept)


def test_an_event_ends_the_pause_of_what_another_owner_held_and_of_nothing_else(ledger: Ledger) -> None:
    fail(ledger, error=errors.OwnerConflictError("belongs to another"))
    ledger.failed(B, manifest("b"), SERVER_ERROR, now=0.0, random=0.5)
    ledger.touch(A, 0.1)
    ledger.touch(B, 0.1)
    assert not ledger.is_paused(A, manifest(), 0.1)
    assert ledger.is_paused(B, manifest("b"), 0.1)
