"""Lapses: objects that are not ready, since when, and how that counts.

Aspects: how each answer counts at once and in time · what ends a lapse · a crash loop and a roll-out are told apart · Unknown mends nothing · blind kinds ·
a restart · counts are what counting everything gives · time alone · what is kept is bounded · speed.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator.objects.identity import GroupKind, ObjectRef
from cvstate_operator.vital import saved, state
from cvstate_operator.vital.lapse import LASTING, SETTLE_SECONDS, SHOWN, HealthCounts, Lapses, Level
from cvstate_operator.vital.state import Readiness, Reason, Status

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
AFTER = 300.0

DEPLOYMENT = GroupKind("apps", "Deployment")
WEB = ObjectRef("apps", "Deployment", "shop", "web")
CLAIM = ObjectRef("", "PersistentVolumeClaim", "shop", "data")

READY = state.current(Reason.READY, "is ready")
ROLLING = state.in_progress(Reason.REPLICAS_NOT_READY, "2 of 3 Pods are ready")
CRASHED = state.failed(Reason.CRASH_LOOP, "container main crashes")
GOING = Readiness(Status.TERMINATING, Reason.DELETING, "is being deleted")
SILENT = state.unknown(Reason.HEARTBEAT_LOST, "its kubelet is silent")
UNUSED = state.in_progress(Reason.AWAITS_CONSUMER, "waits for its first Pod")


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def lived(*seen: tuple[float, Readiness | None], of: ObjectRef = WEB) -> Lapses:
    """What an object said, and when, in seconds; time passes in between."""
    lapses = Lapses(AFTER)
    for seconds, found in seen:
        lapses.advance(later(seconds))
        lapses.note(of, found, later(seconds))
    return lapses


def level(lapses: Lapses, ref: ObjectRef = WEB) -> Level:
    lapse = lapses.of(ref)
    return lapse.level if lapse else Level.READY


def counted(lapses: Lapses, objects: int = 1, **more: Any) -> dict[str, int]:
    """Counts that are not zero, of so many Deployments."""
    counts = lapses.counts({DEPLOYMENT: objects}, **more)
    assert counts.total == objects
    return {name: getattr(counts, name) for name in HealthCounts.__dataclass_fields__ if getattr(counts, name)}


# -- how it counts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "at_once", "in_time"),
    [
        pytest.param(None, Level.READY, Level.READY, id="lacks-nothing"),
        pytest.param(READY, Level.READY, Level.READY, id="Current"),
        pytest.param(UNUSED, Level.READY, Level.READY, id="a-claim-that-waits-for-its-Pod"),
        pytest.param(ROLLING, Level.PROGRESSING, Level.DEGRADED, id="InProgress"),
        pytest.param(GOING, Level.PROGRESSING, Level.DEGRADED, id="Terminating"),
        pytest.param(CRASHED, Level.FAILED, Level.FAILED, id="Failed"),
        pytest.param(SILENT, Level.UNKNOWN, Level.UNKNOWN, id="Unknown"),
    ],
)
def test_an_answer_counts_at_once_and_in_time(found: Readiness | None, at_once: Level, in_time: Level) -> None:
    lapses = lived((0, found))
    assert level(lapses) is at_once
    lapses.advance(later(AFTER - 1))
    assert level(lapses) is at_once
    assert lapses.advance(later(AFTER)) == ((WEB,) if in_time is not at_once else ())
    assert level(lapses) is in_time
    assert counted(lapses) == {in_time.value.lower(): 1}


def test_an_object_that_is_missing_counts_so_until_it_is_there() -> None:
    lapses = Lapses(AFTER)
    assert lapses.note_missing(WEB, NOW)
    lapses.advance(later(10 * AFTER))
    assert counted(lapses) == {"missing": 1}
    lapses.note(WEB, READY, later(10 * AFTER))
    assert counted(lapses) == {"ready": 1}


def test_an_object_that_was_deleted_and_is_made_again_is_progressing() -> None:
    lapses = Lapses(AFTER)
    lapses.note_missing(WEB, NOW)
    lapses.note(WEB, ROLLING, later(1))
    assert level(lapses) is Level.PROGRESSING
    lapses.advance(later(AFTER))
    assert level(lapses) is Level.DEGRADED


def test_with_no_time_to_spare_everything_is_degraded_at_once() -> None:
    lapses = Lapses(0.0)
    lapses.note(WEB, ROLLING, NOW)
    assert level(lapses) is Level.DEGRADED


def test_a_lapse_tells_since_when_and_whether_it_ever_was_ready() -> None:
    lapses = Lapses(AFTER)
    lapses.note(WEB, ROLLING, NOW)
    lapses.note(WEB, CRASHED, later(9))
    lapse = lapses.of(WEB)
    assert lapse is not None
    assert (lapse.since, lapse.reason, lapse.message) == (NOW, "CrashLoop", "container main crashes")


# -- what ends it --------------------------------------------------------------------------------------------------


def test_a_roll_out_that_ends_in_time_is_never_degraded() -> None:
    lapses = lived((0, ROLLING), (200, ROLLING), (290, READY))
    assert level(lapses) is Level.READY
    lapses.advance(later(AFTER + 1))
    assert level(lapses) is Level.READY
    lapses.advance(later(290 + SETTLE_SECONDS))
    assert lapses.open == {}


def test_a_crash_loop_that_is_ready_for_ten_seconds_of_each_minute_becomes_degraded_and_stays_so() -> None:
    lapses = Lapses(AFTER)
    seen = []
    for minute in range(10):
        for second, found in ((0, ROLLING), (50, READY)):
            at = 60 * minute + second
            lapses.advance(later(at))
            lapses.note(WEB, found, later(at))
            seen.append((at, level(lapses)))
    assert {found for at, found in seen if at < AFTER} == {Level.PROGRESSING, Level.READY}
    assert {found for at, found in seen if at >= AFTER} == {Level.DEGRADED}


def test_roll_outs_with_a_rest_between_them_are_lapses_of_their_own() -> None:
    lapses = Lapses(AFTER)
    for step in range(20):
        for at, found in ((100 * step, ROLLING), (100 * step + 60, READY)):
            lapses.advance(later(at))
            lapses.note(WEB, found, later(at))
            assert level(lapses) in (Level.PROGRESSING, Level.READY)


def test_what_was_degraded_is_ready_only_once_it_was_so_for_a_while() -> None:
    lapses = lived((0, CRASHED), (10, READY))
    assert level(lapses) is Level.DEGRADED
    assert lapses.next_change == later(10 + SETTLE_SECONDS)
    assert lapses.advance(later(9 + SETTLE_SECONDS)) == ()
    assert lapses.advance(later(10 + SETTLE_SECONDS)) == (WEB,)
    assert lapses.of(WEB) is None
    assert lapses.next_change is None


def test_what_failed_is_degraded_until_its_lapse_is_over() -> None:
    lapses = lived((0, CRASHED), (5, ROLLING))
    assert level(lapses) is Level.DEGRADED
    lapses.note(WEB, CRASHED, later(8))
    assert level(lapses) is Level.FAILED


def test_a_lapse_that_was_over_before_the_next_one_is_not_that_one() -> None:
    """Whether or not somebody let time pass in between."""
    lapses = Lapses(AFTER)
    for at, found in ((0, ROLLING), (10, READY), (AFTER, ROLLING)):
        lapses.note(WEB, found, later(at))
    lapse = lapses.of(WEB)
    assert lapse is not None
    assert (lapse.level, lapse.since) == (Level.PROGRESSING, later(AFTER))


def test_being_looked_at_again_does_not_begin_the_rest_anew() -> None:
    lapses = lived((0, CRASHED), (10, READY), (20, READY), (10 + SETTLE_SECONDS, READY))
    assert lapses.open == {}


# -- Unknown -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [CRASHED, None], ids=["Failed", "Missing"])
def test_a_gap_mends_nothing(bad: Readiness | None) -> None:
    lapses = Lapses(AFTER)
    if bad:
        lapses.note(WEB, bad, NOW)
    else:
        lapses.note_missing(WEB, NOW)
    before = level(lapses)
    assert lapses.note(WEB, SILENT, later(5))
    assert counted(lapses) == {before.value.lower(): 1, "outdated": 1}
    lapses.advance(later(10 * AFTER))
    assert level(lapses) is before


def test_unknown_alone_is_no_lapse() -> None:
    lapses = lived((0, SILENT), (10 * AFTER, ROLLING))
    assert level(lapses) is Level.PROGRESSING
    lapse = lapses.of(WEB)
    assert lapse is not None
    assert lapse.since == later(10 * AFTER)
    assert lived((0, SILENT), (10 * AFTER, READY)).open == {}


def test_a_lapse_goes_on_behind_a_gap() -> None:
    lapses = lived((0, ROLLING), (10, SILENT), (AFTER, ROLLING))
    assert level(lapses) is Level.DEGRADED


def test_ready_before_a_gap_does_not_count_after_it() -> None:
    lapses = lived((0, CRASHED), (5, READY), (6, SILENT), (40, READY))
    assert level(lapses) is Level.DEGRADED


def test_objects_of_a_kind_that_cannot_be_seen_are_unknown_but_for_the_bad_ones() -> None:
    lapses = lived((0, CRASHED))
    lapses.note(WEB._replace(name="api"), ROLLING, NOW)
    lapses.note(CLAIM, ROLLING, NOW)
    declared = {DEPLOYMENT: 5, CLAIM.group_kind: 2}
    assert lapses.counts(declared) == HealthCounts(ready=4, progressing=2, failed=1)
    blind = lapses.counts(declared, blind=frozenset({DEPLOYMENT}))
    assert blind == HealthCounts(ready=1, progressing=1, failed=1, unknown=4, outdated=1)


# -- a restart -----------------------------------------------------------------------------------------------------


def told(lapses: Lapses) -> list[dict[str, str]]:
    """As the status tells them."""
    return [{"object": str(ref), "state": lapse.level, "since": saved.moment_text(lapse.since)} for ref, lapse in lapses.worst()]


def test_since_survives_a_restart() -> None:
    lapses = Lapses(AFTER)
    lapses.recall(told(lived((0, ROLLING))))
    lapses.note(WEB, ROLLING, later(AFTER))
    lapse = lapses.of(WEB)
    assert lapse is not None
    assert (lapse.since, lapse.level) == (NOW, Level.DEGRADED)


@pytest.mark.parametrize("bad", [CRASHED, None], ids=["Failed", "Missing"])
def test_what_was_bad_before_a_restart_stays_so_while_it_is_not_known(bad: Readiness | None) -> None:
    before = lived((0, bad)) if bad else Lapses(AFTER)
    if not bad:
        before.note_missing(WEB, NOW)
    after = Lapses(AFTER)
    after.recall(told(before))
    after.note(WEB, SILENT, later(10))
    assert level(after) is level(before)


def test_what_was_degraded_before_a_restart_has_to_be_ready_for_a_while() -> None:
    lapses = Lapses(AFTER)
    lapses.recall(told(lived((0, CRASHED))))
    lapses.note(WEB, READY, later(100))
    assert level(lapses) is Level.DEGRADED
    lapses.advance(later(100 + SETTLE_SECONDS))
    assert lapses.open == {}


def test_what_was_only_unknown_before_a_restart_was_no_lapse() -> None:
    for found, expected in ((READY, None), (ROLLING, later(AFTER))):
        lapses = Lapses(AFTER)
        lapses.recall(told(lived((0, SILENT))))
        lapses.note(WEB, found, later(AFTER))
        lapse = lapses.of(WEB)
        assert (lapse.since if lapse else None) == expected


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"object": 7, "state": "Failed", "since": "2026-01-01T12:00:00Z"},
        {"object": str(WEB), "state": "Glorious", "since": "2026-01-01T12:00:00Z"},
        {"object": str(WEB), "state": "Ready", "since": "2026-01-01T12:00:00Z"},
        {"object": str(WEB), "state": "Failed", "since": "yesterday"},
        {"object": str(WEB), "state": "Failed", "since": "2026-01-01T12:00:00"},
        {"object": str(WEB), "state": "Failed", "since": "0001-01-01T00:00:00+23:59"},
        {"object": str(WEB), "state": ["Failed"], "since": {}},
    ],
)
def test_what_cannot_be_read_is_forgotten(entry: dict[str, Any]) -> None:
    lapses = Lapses(AFTER)
    lapses.recall([entry])
    lapses.note(WEB, ROLLING, NOW)
    lapse = lapses.of(WEB)
    assert lapse is not None
    assert (lapse.since, lapse.level) == (NOW, Level.PROGRESSING)


def test_a_since_in_the_future_is_now() -> None:
    lapses = Lapses(AFTER)
    lapses.recall([{"object": str(WEB), "state": "Progressing", "since": "2099-01-01T00:00:00Z"}])
    lapses.note(WEB, ROLLING, NOW)
    lapse = lapses.of(WEB)
    assert lapse is not None
    assert lapse.since == NOW


# -- what is told --------------------------------------------------------------------------------------------------


def test_the_worst_come_first_and_of_these_the_oldest() -> None:
    lapses = Lapses(AFTER)
    for second, (name, found) in enumerate({"rolls": ROLLING, "late": CRASHED, "later": CRASHED, "silent": SILENT}.items()):
        lapses.note(WEB._replace(name=name), found, later(second))
    lapses.note_missing(WEB._replace(name="gone"), NOW)
    assert [ref.name for ref, _ in lapses.worst()] == ["late", "later", "gone", "silent", "rolls"]
    assert [ref.name for ref, _ in lapses.worst(2)] == ["late", "later"]
    assert lapses.oldest() == {Level.PROGRESSING: NOW, Level.FAILED: later(1), Level.UNKNOWN: later(3), Level.MISSING: NOW}


def test_only_so_many_are_told() -> None:
    lapses = Lapses(AFTER)
    for number in range(3 * SHOWN):
        lapses.note(WEB._replace(name=f"w{number}"), CRASHED, NOW)
    assert len(lapses.worst()) == SHOWN


def test_a_message_cannot_break_the_line() -> None:
    lapses = lived((0, state.failed(Reason.CRASH_LOOP, "a\nb\x1b[31m" + "x" * 5000)))
    lapse = lapses.of(WEB)
    assert lapse is not None
    assert lapse.message.isprintable()
    assert len(lapse.message) == state.MESSAGE_CHARACTERS


def test_an_object_that_is_not_declared_any_more_is_forgotten() -> None:
    lapses = lived((0, CRASHED))
    lapses.recall([{"object": str(CLAIM), "state": "Failed", "since": "2026-01-01T12:00:00Z"}])
    lapses.forget([WEB, CLAIM])
    lapses.note(CLAIM, ROLLING, later(1))
    assert (lapses.of(WEB), level(lapses, CLAIM), lapses.next_change) == (None, Level.PROGRESSING, later(1 + AFTER))


def test_another_time_to_spare_holds_for_what_progresses_now() -> None:
    lapses = lived((0, ROLLING))
    lapses.reconfigure(60.0)
    assert lapses.next_change == later(60)
    assert lapses.advance(later(60)) == (WEB,)
    lapses.reconfigure(AFTER)
    assert level(lapses) is Level.DEGRADED


# -- as a whole ----------------------------------------------------------------------------------------------------

SEEN = st.tuples(
    st.integers(0, 3), st.floats(0, 200), st.sampled_from([READY, ROLLING, CRASHED, SILENT, GOING, None, "missing", "forget", "nothing"])
)


def counted_one_by_one(lapses: Lapses, objects: int) -> HealthCounts:
    found = Counter(lapse.level for lapse in lapses.open.values())
    outdated = sum(lapse.level in LASTING and not lapse.is_known for lapse in lapses.open.values())
    bad = sum(number for each, number in found.items() if each is not Level.READY)
    numbers = {each.value.lower(): found[each] for each in Level if each is not Level.READY}
    return HealthCounts(ready=objects - bad, outdated=outdated, **numbers)


@given(st.lists(SEEN, max_size=40))
def test_after_any_story_counts_are_right_and_time_passes_alike_in_any_steps(story: Iterable[tuple[int, float, Any]]) -> None:
    watched, asked = Lapses(AFTER), Lapses(AFTER)
    now = NOW
    for number, seconds, found in story:
        ref = WEB._replace(name=f"w{number}")
        while (due := watched.next_change) and due <= now + timedelta(seconds=seconds):
            watched.advance(due)
        now += timedelta(seconds=seconds)
        watched.advance(now)
        asked.advance(now)
        for lapses in (watched, asked):
            if found == "missing":
                lapses.note_missing(ref, now)
            elif found == "forget":
                lapses.forget([ref])
            elif found != "nothing":
                lapses.note(ref, found, now)
            assert lapses.counts({DEPLOYMENT: 4}) == counted_one_by_one(lapses, 4)
            assert lapses.next_change is None or lapses.next_change > now
    assert watched.open == asked.open


def test_what_goes_back_and_forth_does_not_pile_up() -> None:
    lapses = Lapses(1_000_000.0)
    for step in range(20_000):
        lapses.note(WEB, (ROLLING, READY)[step % 2], later(step))
    assert len(lapses._alarms) < 200


def test_ten_thousand_objects_are_counted_and_told_in_no_time() -> None:
    """Ten times what it takes on one core of 2.5 GHz, so that a busy machine does not fail it."""
    refs = [WEB._replace(name=f"w{number}") for number in range(10_000)]
    lapses = Lapses(AFTER)
    began = perf_counter()
    for ref in refs:
        lapses.note(ref, ROLLING, NOW)
    noted = perf_counter() - began
    began = perf_counter()
    lapses.counts({DEPLOYMENT: 10_000})
    lapses.worst()
    assert noted / len(refs) < 100e-6
    assert perf_counter() - began < 0.5
