"""The drift ledger.

Aspects: when a drift was first seen, over looks and restarts · what is news · what a repair closes · order.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cvstate_operator.api.drift import DriftAction, Severity
from cvstate_operator.drift.coverage import FieldDrift
from cvstate_operator.drift.ledger import DriftLedger, Entry, State
from tests.unit.builders import ref

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
EARLIER = NOW - timedelta(hours=1)
A, B = ref("a"), ref("b")


def entry(
    path: str = "/x", *, state: State = State.REPAIRING, severity: Severity = Severity.MEDIUM, first_seen: datetime = EARLIER
) -> Entry:
    return Entry(FieldDrift(path, 1, 2, "kubectl", ""), severity, DriftAction.AUTO, state, first_seen)


@pytest.fixture
def ledger() -> DriftLedger:
    return DriftLedger()


def test_a_drift_that_is_news_is_first_seen_now(ledger: DriftLedger) -> None:
    assert ledger.first_seen(A, "/x", NOW) == NOW


def test_a_drift_keeps_its_first_moment_while_it_is_open(ledger: DriftLedger) -> None:
    ledger.note(A, [entry()])
    assert ledger.first_seen(A, "/x", NOW) == EARLIER
    assert (ledger.first_seen(A, "/y", NOW), ledger.first_seen(B, "/x", NOW)) == (NOW, NOW)


def test_a_drift_that_comes_back_is_first_seen_anew(ledger: DriftLedger) -> None:
    ledger.note(A, [entry()])
    ledger.note(A, [])
    assert ledger.first_seen(A, "/x", NOW) == NOW


def test_an_earlier_life_tells_when_a_drift_was_first_seen(ledger: DriftLedger) -> None:
    ledger.recall([{"object": str(A), "path": "/x", "since": "2026-01-01T11:00:00Z"}])
    assert ledger.first_seen(A, "/x", NOW) == EARLIER
    assert ledger.first_seen(A, "/y", NOW) == NOW


def test_a_first_moment_is_never_in_the_future(ledger: DriftLedger) -> None:
    ledger.recall([{"object": str(A), "path": "/x", "since": "2027-01-01T11:00:00Z"}])
    assert ledger.first_seen(A, "/x", NOW) == NOW


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"object": str(A), "path": "/x"},
        {"object": str(A), "path": "/x", "since": "yesterday"},
        {"object": str(A), "path": "/x", "since": 5},
        {"object": None, "path": "/x", "since": "2026-01-01T11:00:00Z"},
        {"object": str(A), "path": "/x", "since": "2026-01-01T11:00:00"},
    ],
)
def test_what_cannot_be_read_of_an_earlier_life_is_left_out(ledger: DriftLedger, told: dict[str, Any]) -> None:
    ledger.recall([told])
    assert ledger.first_seen(A, "/x", NOW) == NOW


def test_a_drift_that_an_earlier_life_knew_and_that_ended_is_first_seen_anew(ledger: DriftLedger) -> None:
    ledger.recall([{"object": str(A), "path": "/x", "since": "2026-01-01T11:00:00Z"}])
    ledger.note(A, [entry()])
    ledger.note(A, [])
    assert ledger.first_seen(A, "/x", NOW) == NOW


@pytest.mark.parametrize("what", ["repaired", "forgotten"])
def test_a_drift_that_an_earlier_life_knew_and_that_was_ended_unseen_is_first_seen_anew(ledger: DriftLedger, what: str) -> None:
    ledger.recall([{"object": str(one), "path": "/x", "since": "2026-01-01T11:00:00Z"} for one in (A, B)])
    if what == "repaired":
        assert ledger.repaired(A) == ()
    else:
        ledger.forget([A])
    assert (ledger.remembers(A, "/x"), ledger.remembers(B, "/x")) == (False, True)
    assert (ledger.first_seen(A, "/x", NOW), ledger.first_seen(B, "/x", NOW)) == (NOW, EARLIER)


def test_only_what_was_not_known_before_is_news(ledger: DriftLedger) -> None:
    x, y = entry("/x"), entry("/y")
    assert ledger.note(A, [x]) == (x,)
    assert ledger.note(A, [x, y]) == (y,)
    assert ledger.note(A, [y]) == ()
    assert ledger.note(A, [x, y]) == (x,)


def test_a_repair_closes_what_was_being_repaired_and_nothing_else(ledger: DriftLedger) -> None:
    mended, waiting = entry("/x"), entry("/y", state=State.AWAITING_APPROVAL)
    ledger.note(A, [mended, waiting])
    assert ledger.repaired(A) == (mended,)
    assert ledger.open == {A: (waiting,)}
    assert ledger.repaired(A) == ()


def test_what_is_forgotten_is_not_open(ledger: DriftLedger) -> None:
    ledger.note(A, [entry()])
    ledger.note(B, [entry()])
    ledger.forget([A, ref("c")])
    assert set(ledger.open) == {B}


def test_what_matters_most_comes_first(ledger: DriftLedger) -> None:
    low, high, other = entry("/a", severity=Severity.LOW), entry("/z", severity=Severity.HIGH), entry("/b", severity=Severity.LOW)
    ledger.note(A, [other, low, high])
    assert ledger.of(A) == (high, low, other)
