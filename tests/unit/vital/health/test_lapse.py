"""Lapses: objects that are not ready, since when, and how that counts.

Aspects: how each answer counts at once and in time · what ends a lapse · a crash loop and a roll-out are told apart · what goes forward is not late · what is down is so soon · what waits
on purpose is not late either · Unknown mends nothing · blind kinds ·
a restart · counts are what counting everything gives · time alone · what is kept is bounded · speed.
"""

import gc
import tracemalloc
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator.objects.identity import GroupKind, ObjectRef
from cvstate_operator.vital import saved
from cvstate_operator.vital.facts import progress
from cvstate_operator.vital.facts.progress import Progress
from cvstate_operator.vital.health import state
from cvstate_operator.vital.health.lapse import IDLE_TEMPLATES, LASTING, SETTLE_SECONDS, HealthCounts, Level
from cvstate_operator.vital.health.lapses import SHOWN, Lapses
from cvstate_operator.vital.health.state import Readiness, Reason, Status

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


@pytest.mark.parametrize("well", [None, READY])
def test_what_is_well_and_settles_is_noted_once(well: Readiness | None) -> None:
    lapses = lived((0, ROLLING), (10, well))
    settling = lapses.of(WEB)
    assert settling
    assert not lapses.note(WEB, well, later(11))
    assert lapses.of(WEB) is settling, "nothing is made anew"
    lapses.note(WEB, well, later(10 + SETTLE_SECONDS))
    assert lapses.of(WEB) is None


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


# -- what goes forward ---------------------------------------------------------------------------------------------


def rolled(updated: int, up: int | None = None, *, template: str = "7", reason: Reason = Reason.REPLICAS_OUTDATED) -> Readiness:
    """What a Deployment of twenty says in the middle of a roll-out; 20 Pods are ready and available unless it is said otherwise."""
    return replace(
        state.in_progress(reason, f"{updated} of 20 replicas are updated"),
        generation=3,
        progress=Progress(template, updated, 40 if up is None else up),
    )


def degraded_at(*seen: tuple[float, Readiness | None]) -> float | None:
    """After how many seconds it was degraded first, looked at also whenever time alone changes something; None: never."""
    lapses, looks = Lapses(AFTER), sorted(seen, key=lambda one: one[0])
    for at, found in looks:
        while (due := lapses.next_change) and due <= later(at):
            lapses.advance(due)
            if level(lapses) in (Level.DEGRADED, Level.FAILED):
                return (due - NOW).total_seconds()
        lapses.note(WEB, found, later(at))
        if level(lapses) in (Level.DEGRADED, Level.FAILED):
            return at
    due = lapses.next_change
    return (due - NOW).total_seconds() if due and lapses.advance(due) and level(lapses) is Level.DEGRADED else None


def test_a_roll_out_that_goes_on_for_twelve_minutes_is_never_degraded() -> None:
    steps = [(36.0 * pod, rolled(pod)) for pod in range(20)]
    assert degraded_at(*steps, (720, READY)) is None


def test_a_scale_up_that_goes_on_for_ten_minutes_is_never_degraded() -> None:
    """An autoscaler asks for twenty at once, and nodes come one by one."""
    steps = [(150.0 * step, rolled(20, 20 + 4 * step, reason=Reason.REPLICAS_NOT_READY)) for step in range(4)]
    assert degraded_at(*steps, (600, READY)) is None
    assert degraded_at(*steps[:3]) == 300 + AFTER


def test_a_roll_out_that_is_stuck_is_degraded_so_long_after_it_went_forward_last() -> None:
    steps = [(60.0 * pod, rolled(pod)) for pod in range(6)]
    assert degraded_at(*steps, (400, rolled(5)), (599, rolled(5))) == 300 + AFTER
    assert degraded_at((0, rolled(0))) == AFTER


def test_a_job_is_not_late_while_its_pods_succeed() -> None:
    running = [replace(state.in_progress(Reason.RUNNING, "runs"), progress=Progress("", done, 0)) for done in (0, 1, 2, 2)]
    assert degraded_at(*zip((0.0, 200.0, 400.0, 600.0), running, strict=True)) == 400 + AFTER


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param([rolled(1, 0), rolled(1, 1)], id="ready-and-not"),
        pytest.param([rolled(1, 0), READY], id="with-all-ready-in-between"),
        pytest.param([rolled(3, 5), rolled(3, 6), rolled(3, 4)], id="one-of-several"),
        pytest.param([rolled(2, 40), rolled(1, 40)], id="its-Pods-are-made-anew"),
        pytest.param([rolled(1, 0), SILENT, rolled(1, 1)], id="with-gaps"),
        pytest.param([rolled(1, 0), replace(ROLLING, progress=None), rolled(1, 1)], id="which-it-does-not-always-tell"),
    ],
)
def test_a_crash_loop_whose_pods_come_and_go_is_degraded_in_time(seen: list[Readiness]) -> None:
    steps = [(10.0 * number, seen[number % len(seen)]) for number in range(60)]
    found = degraded_at(*steps)
    assert found is not None
    assert found <= AFTER + 20


def test_a_new_template_in_the_middle_of_a_roll_out_begins_anew() -> None:
    assert degraded_at((0, rolled(15)), (250, rolled(0, template="8")), (500, rolled(1, template="8"))) == 500 + AFTER


def test_another_generation_alone_is_no_progress() -> None:
    """Whoever scales something that cannot start up and down writes one each time."""
    steps = [(30.0 * number, replace(rolled(3 + number % 2, 0), generation=number)) for number in range(20)]
    assert degraded_at(*steps) == 30 + AFTER


def test_what_went_forward_before_its_alarm_is_not_late_though_somebody_looks_later() -> None:
    lapses = Lapses(AFTER)
    lapses.note(WEB, rolled(1), NOW)
    lapses.note(WEB, replace(rolled(2), progressed_at=later(250)), later(AFTER + 5))
    assert (level(lapses), lapses.next_change) == (Level.PROGRESSING, later(250 + AFTER))


def test_progress_that_comes_too_late_mends_nothing() -> None:
    lapses = lived((0, rolled(1)), (AFTER + 100, rolled(2)))
    assert level(lapses) is Level.DEGRADED


def test_what_got_ready_before_its_alarm_is_not_late_though_somebody_looks_later() -> None:
    """As after an outage, or a wake-up some milliseconds late."""
    lapses = Lapses(AFTER)
    lapses.note(WEB, ROLLING, NOW)
    lapses.note(WEB, None, later(AFTER + 0.05))
    assert level(lapses) is Level.READY
    lapses.advance(later(AFTER + 10 * SETTLE_SECONDS))
    assert lapses.open == {}


def test_a_template_that_is_changed_again_and_again_while_no_pod_is_up_is_degraded() -> None:
    steps = [(120.0 * number, rolled(0, 0, template=str(number))) for number in range(60)]
    assert degraded_at(*steps) == 120 * IDLE_TEMPLATES + AFTER
    made = [(at + more, replace(found, progress=Progress(f"{at}", more, 0))) for at, found in steps for more in (0, 1)]
    assert degraded_at(*made) == 120 * IDLE_TEMPLATES + 1 + AFTER, "Pods that are made are no progress either, from then on"
    flips = [(120.0 * number, rolled(0, 0, template="ab"[number % 2])) for number in range(60)]
    assert degraded_at(*flips) == 120 * IDLE_TEMPLATES + AFTER


def test_a_template_that_is_changed_while_pods_are_up_begins_anew_each_time() -> None:
    assert degraded_at(*((200.0 * number, rolled(0, template=str(number))) for number in range(30)), (6000, READY)) is None


def test_a_pod_that_comes_up_after_many_templates_is_progress() -> None:
    steps = [(100.0 * number, rolled(0, 0, template=str(number))) for number in range(5)]
    assert degraded_at(*steps, (450, rolled(0, 1, template="4"))) == 450 + AFTER


def test_when_it_went_forward_last_survives_a_restart() -> None:
    """Also one that comes again every four minutes."""
    lapses = lived((0, rolled(1)), (200, rolled(2)))
    for restarted in (240, 480):
        again = Lapses(AFTER)
        again.recall(told(lapses))
        again.note(WEB, rolled(2), later(restarted))
        lapses = again
    lapse = lapses.of(WEB)
    assert lapse is not None
    assert (lapse.since, lapse.level, lapse.progressed_at, lapses.next_change) == (NOW, Level.PROGRESSING, later(200), later(200 + AFTER))
    assert lapses.advance(later(200 + AFTER)) == (WEB,)


def test_what_went_forward_while_nobody_was_there_is_not_late() -> None:
    lapses = Lapses(AFTER)
    lapses.recall(told(lived((0, rolled(1)))))
    lapses.note(WEB, rolled(9), later(3 * AFTER))
    assert (level(lapses), lapses.next_change) == (Level.PROGRESSING, later(4 * AFTER))


def test_of_one_that_did_not_say_how_far_it_was_the_first_look_after_a_restart_is_progress() -> None:
    lapses = Lapses(AFTER)
    lapses.recall(told(lived((0, ROLLING))))
    lapses.note(WEB, rolled(3), later(2 * AFTER))
    lapse = lapses.of(WEB)
    assert lapse is not None
    assert (lapse.since, lapse.level, lapses.next_change) == (NOW, Level.PROGRESSING, later(3 * AFTER))


@pytest.mark.parametrize("text", [None, 7, "", "7", "7/1", "7/1/-1", "7/1/x", "7/1/12345678901", "x" * 65 + "/1/1", "7/١/١"])
def test_a_progress_that_cannot_be_read_is_none(text: Any) -> None:
    assert progress.parsed(text) is None


@given(st.builds(Progress, st.text("ab-/7", max_size=64), st.integers(0, 2**31), st.integers(0, 2**32)))
def test_a_progress_is_read_back_as_it_was(found: Progress) -> None:
    assert progress.parsed(found.text) == found


def test_what_was_degraded_before_a_restart_stays_so_though_it_tells_how_far_it_is() -> None:
    lapses = Lapses(AFTER)
    lapses.recall(told(lived((0, rolled(1)), (AFTER, rolled(1)))))
    lapses.note(WEB, rolled(1), later(AFTER + 10))
    assert level(lapses) is Level.DEGRADED


# -- what is down ---------------------------------------------------------------------------------------------------

DOWN = replace(ROLLING, message="0 of 3 replicas are ready", is_down=True)


def test_one_that_is_down_is_degraded_after_a_short_while() -> None:
    lapses = lived((0, DOWN))
    lapse = lapses.of(WEB)
    assert lapse is not None
    assert (lapse.level, lapse.is_down, lapses.is_down()) == (Level.PROGRESSING, True, True)
    assert lapses.next_change == later(SETTLE_SECONDS)
    assert lapses.advance(later(SETTLE_SECONDS)) == (WEB,)
    assert level(lapses) is Level.DEGRADED


def test_one_that_is_down_is_not_given_more_time_than_others() -> None:
    lapses = Lapses(5.0)
    lapses.note(WEB, DOWN, NOW)
    assert lapses.next_change == later(5)


def test_one_that_goes_down_in_the_middle_of_a_lapse_has_its_short_while_from_then_on() -> None:
    assert degraded_at((0, ROLLING), (100, DOWN), (120, DOWN)) == 100 + SETTLE_SECONDS
    assert degraded_at((0, ROLLING), (AFTER - 10, DOWN)) == AFTER


def test_one_that_has_a_pod_again_has_its_full_time() -> None:
    assert degraded_at((0, DOWN), (20, ROLLING)) == AFTER
    late = Lapses(AFTER)
    late.note(WEB, DOWN, NOW)
    late.note(WEB, ROLLING, later(SETTLE_SECONDS + 0.05))
    assert (level(late), late.is_down(), late.next_change) == (Level.PROGRESSING, False, later(AFTER))


def test_one_that_says_the_same_and_is_down_now_is_down() -> None:
    lapses = lived((0, replace(DOWN, is_down=False)), (10, DOWN))
    assert lapses.next_change == later(10 + SETTLE_SECONDS)


def test_one_that_is_ready_for_a_moment_and_down_again_is_degraded_in_time() -> None:
    assert degraded_at((0, DOWN), (15, READY), (20, DOWN)) == SETTLE_SECONDS


def test_one_that_is_ready_again_in_time_was_never_degraded() -> None:
    lapses = lived((0, DOWN), (25, READY))
    assert (level(lapses), lapses.is_down()) == (Level.READY, False)
    lapses.advance(later(25 + SETTLE_SECONDS))
    assert lapses.open == {}


def test_whether_one_is_down_is_not_known_of_a_kind_that_cannot_be_seen() -> None:
    lapses = lived((0, DOWN))
    assert not lapses.is_down(blind={DEPLOYMENT})
    lapses.note(WEB, SILENT, later(1))
    assert not lapses.is_down()


# -- what waits on purpose -----------------------------------------------------------------------------------------

WAITS = state.in_progress(Reason.WAITS, "waits on purpose: phase is Paused: CanaryPauseStep")
STEP = state.in_progress(Reason.NOT_READY, "phase is Progressing")


def test_what_waits_on_purpose_is_progressing_for_any_time() -> None:
    lapses = lived((0, WAITS))
    assert (level(lapses), lapses.next_change) == (Level.PROGRESSING, None)
    lapses.advance(later(1000 * AFTER))
    assert counted(lapses) == {"progressing": 1}


def test_the_time_of_a_wait_does_not_count_afterwards() -> None:
    lapses = lived((0, STEP), (60, WAITS), (50 * AFTER, STEP))
    lapse = lapses.of(WEB)
    assert lapse is not None
    assert (lapse.since, lapse.level, lapse.waited_until) == (NOW, Level.PROGRESSING, later(50 * AFTER))
    assert lapses.next_change == later(51 * AFTER)


def test_a_step_that_took_too_long_is_forgiven_once_its_controller_goes_on_to_wait() -> None:
    lapses = lived((0, STEP), (AFTER, STEP), (AFTER + 60, WAITS))
    assert level(lapses) is Level.PROGRESSING


def test_one_that_waited_may_still_fail() -> None:
    assert level(lived((0, WAITS), (50 * AFTER, CRASHED))) is Level.FAILED


def test_a_wait_ends_with_a_gap_too() -> None:
    lapses = lived((0, WAITS), (50 * AFTER, SILENT), (50 * AFTER + 10, STEP))
    assert (level(lapses), lapses.next_change) == (Level.PROGRESSING, later(51 * AFTER))


def test_what_waited_before_a_restart_has_its_time_after_it() -> None:
    lapses = Lapses(AFTER)
    lapses.recall(told(lived((0, WAITS))))
    lapses.note(WEB, STEP, later(50 * AFTER))
    assert (level(lapses), lapses.next_change) == (Level.PROGRESSING, later(51 * AFTER))


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
    return [
        {"object": str(ref), "state": lapse.level, "reason": lapse.reason, "since": saved.moment_text(lapse.since)}
        | ({"progress": lapse.progress.text} if lapse.progress else {})
        | ({"progressedAt": saved.moment_text(lapse.progressed_at)} if lapse.progressed_at else {})
        for ref, lapse in lapses.worst()
    ]


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
        "Failed",
    ],
)
def test_what_cannot_be_read_is_forgotten(entry: Any) -> None:
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
    st.integers(0, 3),
    st.floats(0, 200),
    st.sampled_from(
        [
            READY,
            ROLLING,
            rolled(1),
            rolled(2, 3),
            rolled(0, 0, template="8"),
            DOWN,
            WAITS,
            CRASHED,
            SILENT,
            GOING,
            None,
            "missing",
            "forget",
            "nothing",
        ]
    ),
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


def test_what_is_kept_of_one_that_is_on_its_way_is_small() -> None:
    """Of the lapse itself: what the object says, and its name, are kept by the readiness index."""
    refs = [WEB._replace(name=f"w{number}") for number in range(1_000)]
    said = [replace(rolled(300 + number), progressed_at=NOW) for number in range(len(refs))]
    lapses = Lapses(AFTER)
    gc.collect()
    tracemalloc.start()
    for ref, found in zip(refs, said, strict=True):
        lapses.note(ref, found, NOW)
    gc.collect()
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    print(f"{size / len(refs):.0f} bytes for each")
    assert size / len(refs) <= 512


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
