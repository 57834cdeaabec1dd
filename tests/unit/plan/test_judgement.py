"""What becomes of a revision that was begun.

Aspects: ready and watched is good · what got worse is a breach with its evidence · what was wrong before is nobody's fault, and never good · Unknown is
neither · what waits on purpose · an excuse ends · time: deadline, watch, patience · a restart · what is told is bounded · the same answer whenever one asks.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator.objects.identity import GroupKind, ObjectRef
from cvstate_operator.plan import judgement
from cvstate_operator.plan.judgement import MOST_EVIDENCE, PATIENCE_SECONDS, Judgement, Sight, State, Watch
from cvstate_operator.vital.health.lapse import Lapse, Level
from cvstate_operator.vital.health.state import Reason, Status
from cvstate_operator.vital.item import Item, ItemKind

BEGUN = datetime(2026, 1, 1, 12, tzinfo=UTC)
DEADLINE = 300.0
WATCHED = 600.0

WEB = ObjectRef("apps", "Deployment", "shop", "web")
API = ObjectRef("apps", "Deployment", "shop", "api")
DEPLOYMENT = GroupKind("apps", "Deployment")


def after(seconds: float) -> datetime:
    return BEGUN + timedelta(seconds=seconds)


def lapse(level: Level, since: float = 1.0, **more: Any) -> Lapse:
    given = {"status": Status.IN_PROGRESS, "reason": "ReplicasNotReady", "message": f"is {level}"}
    return Lapse(after(since), level, **{**given, **more})


def item(name: str = "error-rate", **more: Any) -> Item:
    """A signal that passes."""
    given = {"kind": ItemKind.SIGNAL, "weight": 1, "value": 1.0, "is_known": True, "is_critical": False, "is_breached": False}
    return Item(name=name, message="should be <= 0.01", **{**given, **more})


PASSING = item()
BREACHED = item(value=0.0, is_breached=True, since=after(60))
SILENT = item(is_known=False)
APPLIED = Sight(True, items=(PASSING,))


def judge(
    sight: Sight,
    seconds: float,
    *,
    watch: Watch | None = None,
    deadline: float | None = DEADLINE,
    watch_for: float = WATCHED,
) -> Judgement:
    """So many seconds after it was begun, when all was well."""
    before = watch or judgement.begin(BEGUN, {}, [PASSING])
    due = None if deadline is None else after(deadline)
    return judgement.judge(before, sight, deadline=due, late_after_seconds=DEADLINE, watch_for_seconds=watch_for, now=after(seconds))


def story(*sights: tuple[float, Sight], watch: Watch | None = None, **more: Any) -> Judgement:
    """What is said in the end of what was seen at these times."""
    found = None
    for seconds, sight in sights:
        found = judge(sight, seconds, watch=watch, **more)
        watch = found.watch
    assert found is not None
    return found


# -- good ----------------------------------------------------------------------------------------------------------


def test_a_revision_is_good_once_it_was_ready_and_well_for_as_long_as_it_is_watched() -> None:
    found = story((5, replace(APPLIED, is_applied=False)), (20, APPLIED))
    assert (found.state, found.until, found.evidence) == (State.WATCHING, after(20 + WATCHED), ())
    assert story((19 + WATCHED, APPLIED), watch=found.watch).state is State.WATCHING
    assert story((20 + WATCHED, APPLIED), watch=found.watch).state is State.GOOD


def test_without_a_watch_ready_is_good() -> None:
    for sight in (APPLIED, Sight(True), Sight(True, items=(SILENT,))):
        assert judge(sight, 20, watch_for=0).state is State.GOOD


def test_a_signal_that_never_was_known_does_not_keep_a_revision_from_being_good() -> None:
    watch = judgement.begin(BEGUN, {}, [SILENT])
    assert story((0, Sight(True, items=(SILENT,))), (WATCHED, Sight(True, items=(SILENT,))), watch=watch).state is State.GOOD


def test_an_object_that_was_ready_for_a_moment_only_is_not_yet_good() -> None:
    settling = Sight(True, lapses={WEB: lapse(Level.DEGRADED, ready_at=after(295))})
    found = judge(settling, DEADLINE + 1, watch_for=0)
    assert found.state is State.WATCHING
    assert story((DEADLINE + 30, Sight(True)), watch=found.watch, watch_for=0).state is State.GOOD


def test_an_object_that_is_scaled_during_the_watch_only_has_to_end_it_ready() -> None:
    scaled = replace(APPLIED, lapses={WEB: lapse(Level.PROGRESSING)})
    found = story((20, APPLIED), (20 + WATCHED, scaled))
    assert (found.state, [each.subject for each in found.evidence]) == (State.WATCHING, [str(WEB)])
    assert story((30 + WATCHED, APPLIED), watch=found.watch).state is State.GOOD


def test_what_is_not_applied_any_more_is_not_good_and_not_the_fault_of_the_revision() -> None:
    found = story((20, APPLIED), (20 + WATCHED, replace(APPLIED, is_applied=False, fault="a webhook refuses a repair")))
    assert (found.state, found.text) == (State.WATCHING, "revision: is not applied")


# -- breached ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("watch_for", [0.0, WATCHED])
def test_a_signal_that_is_breached_while_it_is_rolled_out_is_a_breach_at_once(watch_for: float) -> None:
    sight = Sight(False, items=(BREACHED,), values={(ItemKind.SIGNAL, "error-rate"): "0.2"})
    found = judge(sight, 61, watch_for=watch_for)
    assert found.state is State.BREACHED
    assert found.text == "signal error-rate: should be <= 0.01 (is 0.2)"
    (line,) = found.evidence
    assert (line.value, line.since) == ("0.2", after(60))


def test_an_slo_that_burns_during_the_watch_is_a_breach_at_once() -> None:
    met = item("availability", kind=ItemKind.SLO)
    burns = replace(met, value=0.5, is_breached=True)
    found = story((20, replace(APPLIED, items=(PASSING, met))), (400, replace(APPLIED, items=(PASSING, burns))))
    assert (found.state, found.text) == (State.BREACHED, "SLO availability: should be <= 0.01")


def test_a_breach_is_one_though_the_telemetry_is_gone_meanwhile() -> None:
    assert judge(replace(APPLIED, items=(replace(BREACHED, is_known=False),)), 70).state is State.BREACHED


@pytest.mark.parametrize("level", [Level.PROGRESSING, Level.DEGRADED, Level.FAILED, Level.MISSING])
def test_an_object_that_is_not_ready_in_time_is_a_breach(level: Level) -> None:
    sight = Sight(True, lapses={WEB: lapse(level)})
    early = judge(sight, DEADLINE - 1)
    assert (early.state, early.until) == (State.WATCHING, after(DEADLINE))
    late = judge(sight, DEADLINE)
    assert (late.state, late.text) == (State.BREACHED, f"apps/Deployment/shop/web: is {level}")


def test_what_cannot_be_applied_in_time_is_a_breach() -> None:
    sight = Sight(False, "spec.selector: field is immutable")
    assert judge(sight, DEADLINE - 1).state is State.WATCHING
    assert judge(sight, DEADLINE).text == "revision: spec.selector: field is immutable"


def test_a_fault_does_not_count_once_everything_is_applied() -> None:
    watch = judgement.begin(BEGUN, {WEB: lapse(Level.FAILED, -60)}, [])
    sight = Sight(True, "a leftover cannot be pruned", {WEB: lapse(Level.FAILED, -60)})
    assert judge(sight, DEADLINE, watch=watch).state is State.WATCHING


def test_an_object_that_fails_during_the_watch_is_a_breach() -> None:
    found = story((20, APPLIED), (500, replace(APPLIED, lapses={WEB: lapse(Level.DEGRADED, 200)})))
    assert found.state is State.BREACHED


@pytest.mark.parametrize("deadline", [None, DEADLINE])
def test_a_revision_that_cannot_be_gone_back_from_takes_as_long_as_it_takes(deadline: float | None) -> None:
    found = judge(Sight(True, lapses={WEB: lapse(Level.FAILED)}), 10_000, deadline=deadline)
    assert found.state is (State.BREACHED if deadline else State.WATCHING)
    assert found.until is None


def test_all_that_is_wrong_is_told_sorted_and_not_without_end() -> None:
    lapses = {WEB._replace(name=f"w{number:02}"): lapse(Level.FAILED) for number in reversed(range(40))}
    found = judge(Sight(True, lapses=lapses), DEADLINE)
    assert [each.subject for each in found.evidence] == [f"apps/Deployment/shop/w{number:02}" for number in range(MOST_EVIDENCE)]


# -- what was wrong before -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [Level.DEGRADED, Level.FAILED])
def test_an_object_that_was_bad_before_is_not_blamed_and_not_good_either(level: Level) -> None:
    watch = judgement.begin(BEGUN, {WEB: lapse(level, -60)}, [])
    sight = Sight(True, lapses={WEB: lapse(level, -60)})
    assert judge(sight, DEADLINE, watch=watch).state is State.WATCHING
    found = judge(sight, DEADLINE + PATIENCE_SECONDS, watch=watch)
    assert (found.state, found.text) == (State.UNJUDGED, f"apps/Deployment/shop/web: is {level} (as before)")


def test_an_object_that_was_bad_before_does_not_excuse_another() -> None:
    watch = judgement.begin(BEGUN, {WEB: lapse(Level.FAILED, -60)}, [])
    found = judge(Sight(True, lapses={WEB: lapse(Level.FAILED, -60), API: lapse(Level.FAILED)}), DEADLINE, watch=watch)
    assert (found.state, [each.subject for each in found.evidence]) == (State.BREACHED, [str(API)])


def test_an_object_that_was_just_rolled_before_is_no_excuse() -> None:
    before: Mapping[ObjectRef, Lapse] = {WEB: lapse(Level.PROGRESSING, -60), API: lapse(Level.MISSING, -60)}
    watch = judgement.begin(BEGUN, before, [])
    found = judge(Sight(True, lapses=before), DEADLINE, watch=watch)
    assert (found.state, len(found.evidence)) == (State.BREACHED, 2)


def test_a_revision_that_mends_what_was_bad_is_good() -> None:
    watch = judgement.begin(BEGUN, {WEB: lapse(Level.FAILED, -60)}, [replace(BREACHED, since=after(-60))])
    assert story((20, APPLIED), (20 + WATCHED, APPLIED), watch=watch).state is State.GOOD


def test_a_signal_that_was_breached_before_is_not_blamed_and_not_good_either() -> None:
    before = replace(BREACHED, since=after(-60))
    watch = judgement.begin(BEGUN, {}, [before])
    sight = replace(APPLIED, items=(before,))
    found = story((20, sight), (20 + WATCHED, sight), watch=watch)
    assert found.state is State.WATCHING
    found = story((20 + WATCHED + PATIENCE_SECONDS, sight), watch=found.watch)
    assert (found.state, found.text) == (State.UNJUDGED, "signal error-rate: should be <= 0.01 (as before)")


def test_a_signal_that_was_about_to_be_breached_is_not_blamed() -> None:
    watch = judgement.begin(BEGUN, {}, [PASSING], pending=[(ItemKind.SIGNAL, "error-rate")])
    assert judge(replace(APPLIED, items=(BREACHED,)), 70, watch=watch).state is State.WATCHING


def test_a_signal_and_an_slo_of_the_same_name_are_not_one() -> None:
    watch = judgement.begin(BEGUN, {}, [replace(BREACHED, since=after(-60)), item(kind=ItemKind.SLO)])
    burns = replace(BREACHED, kind=ItemKind.SLO)
    assert judge(replace(APPLIED, items=(burns,)), 70, watch=watch).state is State.BREACHED


def test_after_a_restart_what_began_later_is_no_excuse() -> None:
    lapses = {WEB: lapse(Level.FAILED, 30), API: lapse(Level.FAILED, -30)}
    items = [BREACHED, item("old", is_breached=True, since=after(-30)), item("unknown", is_breached=True, is_known=False, since=after(30))]
    watch = judgement.begin(BEGUN, lapses, items)
    assert watch.objects == {API}
    assert watch.breached == {(ItemKind.SIGNAL, "old"), (ItemKind.SIGNAL, "unknown")}


# -- an excuse ends ------------------------------------------------------------------------------------------------


BAD_BEFORE = replace(BREACHED, since=after(-60))


def recovered(taken: float = 30, **more: Any) -> Sight:
    """All is ready, and the signal was measured then, and is well."""
    return replace(APPLIED, taken={(ItemKind.SIGNAL, "error-rate"): after(taken)}, **more)


def test_a_signal_that_was_breached_before_and_is_well_since_is_this_revision_s_if_it_is_breached_again() -> None:
    watch = judgement.begin(BEGUN, {}, [BAD_BEFORE])
    found = story((20, replace(APPLIED, items=(BAD_BEFORE,))), (40, recovered()), watch=watch)
    assert found.watch.breached == frozenset()
    again = judge(replace(APPLIED, items=(replace(BREACHED, since=after(300)),)), 300, watch=found.watch)
    assert (again.state, again.text) == (State.BREACHED, "signal error-rate: should be <= 0.01")


@pytest.mark.parametrize(
    "sight",
    [
        pytest.param(recovered(taken=10), id="measured-before-everything-was-ready"),
        pytest.param(recovered(pending=frozenset({(ItemKind.SIGNAL, "error-rate")})), id="about-to-be-breached"),
        pytest.param(replace(recovered(), items=(SILENT,)), id="not-known"),
        pytest.param(replace(recovered(), items=(BAD_BEFORE,)), id="still-breached"),
    ],
)
def test_an_excuse_lasts_until_it_is_known_to_be_well(sight: Sight) -> None:
    watch = judgement.begin(BEGUN, {}, [BAD_BEFORE])
    found = story((20, replace(APPLIED, items=(BAD_BEFORE,))), (40, sight), watch=watch)
    assert found.watch.breached == {(ItemKind.SIGNAL, "error-rate")}
    assert judge(replace(APPLIED, items=(BREACHED,)), 300, watch=found.watch).state is State.WATCHING


def test_what_is_well_for_a_moment_before_everything_is_ready_keeps_its_excuse() -> None:
    watch = judgement.begin(BEGUN, {}, [BAD_BEFORE])
    rolling = recovered(lapses={WEB: lapse(Level.PROGRESSING)})
    found = story((20, rolling), (40, rolling), (60, replace(rolling, items=(BREACHED,))), watch=watch)
    assert found.state is State.WATCHING


def test_an_object_that_was_bad_before_and_became_ready_is_this_revision_s_if_it_fails_again() -> None:
    watch = judgement.begin(BEGUN, {WEB: lapse(Level.FAILED, -60)}, [])
    found = story((20, APPLIED), watch=watch)
    assert found.watch.objects == frozenset()
    again = replace(APPLIED, lapses={WEB: lapse(Level.FAILED, 400)})
    assert judge(again, 400, watch=found.watch).text == f"{WEB}: is Failed"


# -- what waits on purpose -----------------------------------------------------------------------------------------


WAITS = lapse(Level.PROGRESSING, 10, status=Status.IN_PROGRESS, reason=Reason.WAITS.value)
HOURS = 10 * 3600.0


def test_a_canary_that_waits_for_a_person_is_waited_for_and_never_given_up() -> None:
    waiting = replace(APPLIED, lapses={WEB: WAITS})
    found = story((30, waiting), (DEADLINE, waiting), (HOURS, waiting))
    assert (found.state, found.until, found.text) == (State.WATCHING, None, f"{WEB}: is Progressing")
    assert story((HOURS + 60, APPLIED), (HOURS + 60 + WATCHED, APPLIED), watch=found.watch).state is State.GOOD


def test_one_that_waited_has_its_time_afterwards() -> None:
    waiting = replace(APPLIED, lapses={WEB: WAITS})
    going = replace(APPLIED, lapses={WEB: lapse(Level.PROGRESSING, 10, waited_until=after(HOURS))})
    found = story((30, waiting), (HOURS, waiting), (HOURS + 1, going))
    assert (found.state, found.until) == (State.WATCHING, after(HOURS + DEADLINE))
    assert story((HOURS + DEADLINE, going), watch=found.watch).state is State.BREACHED
    assert story((HOURS + DEADLINE, waiting), watch=found.watch).state is State.WATCHING, "at its next step"


def test_what_comes_after_one_that_waited_has_its_time_too() -> None:
    held = Sight(False, lapses={WEB: WAITS})
    made = Sight(True, lapses={API: lapse(Level.PROGRESSING, HOURS)})
    found = story((30, held), (HOURS, held), (HOURS + 1, made))
    assert (found.state, found.until) == (State.WATCHING, after(HOURS + DEADLINE))
    assert story((HOURS + DEADLINE, made), watch=found.watch).text == f"{API}: is Progressing"


def test_what_could_not_be_seen_after_a_wait_has_its_time_once_it_is_seen() -> None:
    stuck = replace(APPLIED, lapses={WEB: lapse(Level.PROGRESSING, waited_until=after(3600))}, seen_since={DEPLOYMENT: after(4000)})
    waited = Watch(has_waited=True)
    assert judge(stuck, 4000 + DEADLINE - 1, watch=waited).state is State.WATCHING
    assert judge(stuck, 4000 + DEADLINE, watch=waited).state is State.BREACHED
    assert judge(replace(stuck, seen_since={}), 4000, watch=waited).state is State.BREACHED


def test_what_is_broken_beside_one_that_waits_is_given_up_in_time() -> None:
    sight = replace(APPLIED, lapses={WEB: WAITS, API: lapse(Level.FAILED, 0)})
    found = story((30, sight), (DEADLINE, sight))
    assert (found.state, found.text) == (State.BREACHED, f"{API}: is Failed")


def test_a_signal_that_is_breached_while_one_waits_gives_it_up_at_once() -> None:
    assert judge(replace(APPLIED, lapses={WEB: WAITS}, items=(BREACHED,)), 70).state is State.BREACHED


def test_one_that_waits_during_the_watch_is_neither_good_nor_bad() -> None:
    waiting = replace(APPLIED, lapses={WEB: WAITS})
    found = story((20, APPLIED), (HOURS, waiting))
    assert (found.state, found.until) == (State.WATCHING, None)


def test_what_could_not_be_judged_stays_so_though_something_waits() -> None:
    dark = replace(APPLIED, items=(SILENT,))
    found = story((20, APPLIED), (20 + WATCHED + PATIENCE_SECONDS, dark), (HOURS, replace(dark, lapses={WEB: WAITS})))
    assert found.state is State.UNJUDGED


# -- Unknown -------------------------------------------------------------------------------------------------------


def test_a_signal_that_is_lost_makes_a_revision_neither_good_nor_bad() -> None:
    dark = replace(APPLIED, items=(SILENT,))
    found = story((20, APPLIED), (20 + WATCHED, dark))
    assert (found.state, found.until) == (State.WATCHING, after(20 + WATCHED + PATIENCE_SECONDS))
    lost = story((20 + WATCHED + PATIENCE_SECONDS, dark), watch=found.watch)
    assert (lost.state, lost.until, lost.text) == (State.UNJUDGED, None, "signal error-rate: should be <= 0.01 (not known now)")
    assert story((30 + WATCHED, APPLIED), watch=found.watch).state is State.GOOD


def test_a_signal_that_became_known_during_the_roll_out_counts_as_known() -> None:
    watch = judgement.begin(BEGUN, {}, [SILENT])
    found = story((20, APPLIED), (20 + WATCHED, replace(APPLIED, items=(SILENT,))), watch=watch)
    assert found.state is State.WATCHING


@pytest.mark.parametrize(
    "sight",
    [
        pytest.param(Sight(True, lapses={WEB: lapse(Level.UNKNOWN, is_known=False)}), id="object"),
        pytest.param(Sight(True, lapses={WEB: lapse(Level.DEGRADED, is_known=False)}), id="object-that-was-degraded"),
        pytest.param(Sight(True, blind=frozenset({DEPLOYMENT})), id="kind"),
        pytest.param(Sight(True, lapses={WEB: lapse(Level.FAILED)}, blind=frozenset({DEPLOYMENT})), id="object-of-such-a-kind"),
    ],
)
@pytest.mark.parametrize("watch_for", [0.0, WATCHED])
def test_objects_that_cannot_be_seen_are_waited_for(sight: Sight, watch_for: float) -> None:
    hours = 20 * PATIENCE_SECONDS
    dark = story((DEADLINE, sight), (hours, sight), watch_for=watch_for)
    assert (dark.state, dark.until, bool(dark.evidence)) == (State.WATCHING, None, True)
    failed = Sight(True, lapses={WEB: lapse(Level.FAILED)})
    assert judge(failed, hours, watch=dark.watch, watch_for=watch_for).state is State.BREACHED
    assert story((hours, APPLIED), (hours + watch_for, APPLIED), watch=dark.watch, watch_for=watch_for).state is State.GOOD


def test_what_only_waits_to_be_applied_is_not_given_up() -> None:
    found = judge(Sight(False), DEADLINE + PATIENCE_SECONDS)
    assert (found.state, found.until, found.text) == (State.WATCHING, None, "revision: is not applied")


def test_what_is_unjudged_is_not_given_up_later_and_good_once_nothing_is_in_doubt() -> None:
    dark = replace(APPLIED, items=(SILENT,))
    late = 20 + WATCHED + PATIENCE_SECONDS
    found = story((20, APPLIED), (late, dark))
    assert found.state is State.UNJUDGED
    worse = Sight(True, items=(BREACHED,), lapses={WEB: lapse(Level.FAILED)})
    found = story((late + 60, worse), watch=found.watch)
    assert (found.state, len(found.evidence)) == (State.UNJUDGED, 2)
    assert story((late + 90, APPLIED), watch=found.watch).state is State.GOOD


# -- always --------------------------------------------------------------------------------------------------------

SIGHTS = st.builds(
    Sight,
    st.booleans(),
    st.sampled_from(["", "is refused"]),
    st.dictionaries(
        st.sampled_from([WEB, API]),
        st.builds(
            lapse,
            st.sampled_from(Level),
            st.sampled_from([-9.0, 9.0]),
            is_known=st.booleans(),
            ready_at=st.sampled_from([None, after(1)]),
            reason=st.sampled_from(["NotReady", "Waits"]),
            waited_until=st.sampled_from([None, after(400)]),
        ),
    ),
    st.sampled_from([frozenset[GroupKind](), frozenset({DEPLOYMENT})]),
    st.lists(
        st.builds(
            item,
            st.sampled_from("ab"),
            kind=st.sampled_from([ItemKind.SIGNAL, ItemKind.SLO]),
            is_known=st.booleans(),
            is_breached=st.booleans(),
            since=st.sampled_from([None, after(-9), after(9)]),
        ),
        max_size=3,
    ),
)


@given(
    SIGHTS,
    st.lists(st.tuples(st.floats(0, 900), SIGHTS), min_size=1, max_size=6),
    st.sampled_from([None, DEADLINE]),
    st.sampled_from([0.0, WATCHED]),
)
def test_whatever_is_seen_good_is_well_a_breach_has_evidence_and_a_wait_has_an_end(
    before: Sight, steps: list[tuple[float, Sight]], deadline: float | None, watch_for: float
) -> None:
    watch = judgement.begin(BEGUN, before.lapses, before.items)
    seconds = 0.0
    for pause, sight in steps:
        seconds += pause
        found = judge(sight, seconds, watch=watch, deadline=deadline, watch_for=watch_for)
        watch = found.watch
        assert judge(sight, seconds, watch=watch, deadline=deadline, watch_for=watch_for) == found
        if found.state is State.GOOD:
            assert sight.is_applied
            assert not sight.blind
            assert all(each.level is Level.READY for each in sight.lapses.values())
            assert not watch_for or not any(each.is_breached for each in sight.items)
        elif found.state is State.WATCHING:
            assert found.until is None or found.until > after(seconds)
            is_unseen = not sight.is_applied or sight.blind or any(each.waits or not each.is_known for each in sight.lapses.values())
            assert found.until or is_unseen or (deadline is None and watch.ready_at is None)
        else:
            assert found.evidence
            assert found.until is None
