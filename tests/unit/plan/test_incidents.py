"""Incidents.

Aspects: opened, updated, resolved · minimum duration · flapping: few messages whatever the rhythm · updates and reminders · windows · gaps · what an earlier life
told · receivers that keep alerts · who is told of what · the end of a ClusterState · other targets · what is kept in memory.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cvstate_operator.api.notices import NoticeTarget, parse_targets
from cvstate_operator.plan.incident_course import (
    FIRST_UPDATE_SECONDS,
    KEEP_SECONDS,
    LASTING_SECONDS,
    RECALL_SECONDS,
    Phase,
)
from cvstate_operator.plan.incidents import Incidents, Notice
from cvstate_operator.plan.troubles import unresolved
from cvstate_operator.telemetry.notice_bodies import KEPT_SECONDS
from tests.unit.plan.test_troubles import status

START = datetime(2026, 5, 1, tzinfo=UTC)
MINUTE = 60.0
HOUR = 3600.0
DAY = 86400.0
FAILED = ("SourceReady", "False", "FetchFailed")
OPENED, UPDATED, RESOLVED = Phase.OPENED, Phase.UPDATED, Phase.RESOLVED


def target(name: str = "ops", kind: str = "Webhook", **more: Any) -> NoticeTarget:
    (found,) = parse_targets([{"name": name, "type": kind, "url": "https://example.com", **more}])
    return found


def wrong(*told: tuple[str, str, str], text: str = "", since: float = 0.0, **more: Any) -> dict[str, Any]:
    """A status with trouble whose conditions have been as they are since then, seconds after START."""
    found = status(*(told or (FAILED,)), **more)
    for condition in found["conditions"]:
        condition["lastTransitionTime"] = _stamp(since)
        condition["message"] = text or condition["message"]
    return found


def then(
    before: dict[str, Any], now: float, *told: tuple[str, str, str], holding: Mapping[str, str] | None = None, **more: Any
) -> dict[str, Any]:
    """The status that follows on another, as the operator writes it at this time: conditions of another status have it since then."""
    found = wrong(*told, since=now, **more) if told else status(**more)
    known = {one["type"]: one for one in before["conditions"]}
    for condition in found["conditions"]:
        if condition["status"] == known[condition["type"]]["status"]:
            condition["lastTransitionTime"] = known[condition["type"]]["lastTransitionTime"]
    return {**found, "unresolved": unresolved(before, found, holding=holding or {}, is_judged=True, now=_stamp(now))}


def _at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def _stamp(seconds: float) -> str:
    """As a status has it."""
    return _at(seconds).strftime("%Y-%m-%dT%H:%M:%SZ")


class Life:
    """One life of the operator: time goes on, statuses are told, and notices come out at the very moment that they are due."""

    def __init__(self, *targets: NoticeTarget, at: float = 0.0, first: dict[str, Any] | None = None) -> None:
        self.incidents = Incidents(targets or (target(),))
        self.now = at
        self.sent: list[tuple[float, Notice]] = []
        self.tell(first if first is not None else {})

    def tell(self, told: dict[str, Any], name: str = "web") -> None:
        self.incidents.observe("shop", name, told, now=_at(self.now))
        self.take()

    def take(self) -> None:
        while (at := self.incidents.next_at) is not None and at <= _at(self.now):
            self.sent += [(self.now, notice) for notice in self.incidents.due(_at(self.now))]

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while (at := self.incidents.next_at) is not None and (at - START).total_seconds() <= end:
            self.now = max(self.now, (at - START).total_seconds())
            self.take()
        self.now = end

    def trouble(self, seconds: float, told: dict[str, Any] | None = None) -> None:
        self.tell(told or wrong(since=self.now))
        self.wait(seconds)

    def well(self, seconds: float) -> None:
        self.tell(status())
        self.wait(seconds)

    @property
    def open(self) -> int:
        """Courses of incidents that were told and are not over."""
        known = (one for some in self.incidents._known.values() for one in some.values())
        return sum(course.is_open for one in known for course in one.courses.values())

    @property
    def phases(self) -> list[Phase]:
        return [notice.phase for _, notice in self.sent]

    @property
    def times(self) -> list[float]:
        return [at for at, _ in self.sent]


# -- opened, resolved ---------------------------------------------------------------------------------------------------


def test_trouble_that_lasts_is_opened_after_its_minimum_duration_and_resolved_after_as_much_well_being() -> None:
    life = Life()
    life.wait(10)
    life.trouble(HOUR)
    life.well(HOUR)
    assert (life.phases, life.times) == ([OPENED, RESOLVED], [70.0, 10 + HOUR + 60])
    opened, resolved = (notice for _, notice in life.sent)
    assert str(opened.key) == "shop/web/FetchFailed"
    assert (opened.started_at, opened.ended_at) == (_at(10), None)
    assert (resolved.started_at, resolved.ended_at) == (_at(10), _at(10 + HOUR))


def test_trouble_that_is_over_before_its_minimum_duration_is_told_to_nobody() -> None:
    life = Life()
    life.trouble(59)
    life.well(DAY)
    assert life.phases == []


def test_without_a_minimum_duration_everything_is_told_at_once() -> None:
    life = Life(target(minDuration="0s"))
    life.trouble(5)
    life.well(5)
    assert (life.phases, life.times) == ([OPENED, RESOLVED], [0.0, 5.0])


def test_each_reason_is_an_incident_of_its_own() -> None:
    life = Life()
    life.trouble(HOUR, wrong(FAILED, ("Healthy", "False", "Degraded")))
    life.trouble(HOUR, wrong(("Healthy", "False", "Degraded")))
    assert [(notice.key.reason, notice.phase) for _, notice in life.sent] == [
        ("Degraded", OPENED),
        ("FetchFailed", OPENED),
        ("FetchFailed", RESOLVED),
    ]


def test_each_clusterstate_has_incidents_of_its_own() -> None:
    life = Life()
    for name in ("a", "b"):
        life.tell({}, name)
        life.tell(wrong(), name)
    life.wait(HOUR)
    life.tell(status(), "a")
    life.wait(HOUR)
    assert [(notice.key.name, notice.phase) for _, notice in life.sent] == [("a", OPENED), ("b", OPENED), ("a", RESOLVED)]


# -- flapping -----------------------------------------------------------------------------------------------------------


def test_one_look_in_sixty_that_fails_is_not_told() -> None:
    life = Life()
    for _ in range(1000):
        life.trouble(1)
        life.well(59)
    assert life.phases == []


def test_trouble_that_prevails_is_told_although_it_comes_and_goes() -> None:
    life = Life()
    for _ in range(1000):
        life.trouble(50)
        life.well(10)
    assert life.phases == [OPENED]
    assert life.times[0] < 2 * MINUTE


@pytest.mark.parametrize("bad", [1.0, 30.0, 61.0, 80.0])
@pytest.mark.parametrize("good", [1.0, 5.0])
def test_a_thousand_flaps_in_a_day_are_five_messages_at_most(bad: float, good: float) -> None:
    life = Life()
    for _ in range(1000):
        life.trouble(bad)
        life.well(good)
    life.wait(2 * DAY)
    assert len(life.sent) <= 5
    if bad > good:
        assert (life.phases[0], life.phases[-1]) == (OPENED, RESOLVED)


def test_what_comes_back_is_opened_anew_and_then_taken_for_one_incident() -> None:
    life = Life()
    for _ in range(1000):
        life.trouble(2 * MINUTE)
        life.well(2 * MINUTE)
    assert life.phases[:3] == [OPENED, RESOLVED, OPENED]
    assert set(life.phases[3:]) <= {UPDATED}
    assert len(life.phases[3:]) <= 1000 * 4 * MINUTE / DAY
    life.well(HOUR)
    assert life.phases[-1] is RESOLVED
    assert life.sent[2][1].returns == 1


def rhythms(longest_bad: float, longest_good: float) -> st.SearchStrategy[list[tuple[float, float]]]:
    """Rhythms of trouble and well-being, repeated to 1,000 flaps."""
    rhythm = st.lists(st.tuples(st.floats(1, longest_bad), st.floats(1, longest_good)), min_size=1, max_size=20)
    return rhythm.map(lambda some: (some * 1000)[:1000])


def most_in_a_day(times: Sequence[float]) -> int:
    """How many of these fall into one stretch of 24 hours, at most."""
    return max((bisect_left(times, at + DAY) - number for number, at in enumerate(times)), default=0)


def flapped(least: str, rhythm: Iterable[tuple[float, float]], *, has_texts: bool = False) -> Life:
    life = Life(target(minDuration=least))
    for number, (bad, good) in enumerate(rhythm):
        life.trouble(bad, wrong(text=f"attempt {number}" if has_texts else "", since=life.now))
        life.well(good)
    life.wait(2 * DAY)
    return life


@settings(max_examples=40)  # each is a thousand flaps
@given(rhythms(2 * HOUR, 2 * HOUR), st.sampled_from(["0s", "1m", "10m"]), st.booleans())
@example([(2 * MINUTE, 58 * MINUTE)] * 1000, "1m", True)
@example([(2 * MINUTE, HOUR + 2 * MINUTE)] * 1000, "1m", True)
@example([(2 * HOUR, 2 * HOUR)] * 1000, "0s", True)
@example([(1.0, 1.0)] * 1000, "0s", True)
@example([(9 * MINUTE, 9 * MINUTE - 1)] * 1000, "10m", False)
def test_a_thousand_flaps_in_any_rhythm_are_five_messages_a_day_at_most(
    rhythm: Sequence[tuple[float, float]], least: str, has_texts: bool
) -> None:
    life = flapped(least, rhythm, has_texts=has_texts)
    assert most_in_a_day(life.times) <= 5
    assert life.phases.count(OPENED) == life.phases.count(RESOLVED) <= 3
    assert life.open == 0


@settings(max_examples=40)
@given(rhythms(LASTING_SECONDS - 1, 3 * DAY), st.sampled_from(["0s", "1m", "1h"]))
@example([(5 * MINUTE, 13 * HOUR)] * 1000, "1m")
@example([(5 * MINUTE, DAY + MINUTE), (5 * MINUTE, 5 * MINUTE)] * 500, "1m")
def test_whatever_comes_and_goes_makes_five_messages_a_day_at_most(rhythm: Sequence[tuple[float, float]], least: str) -> None:
    assert most_in_a_day(flapped(least, rhythm[:200]).times) <= 5


@settings(max_examples=40)
@given(rhythms(3 * DAY, 3 * DAY))
@example([(5 * MINUTE, 2 * HOUR)] * 3 + [(DAY, 1.0)] * 97)
@example([(5 * MINUTE, 2 * HOUR)] * 3 + [(LASTING_SECONDS, 1.0)] * 97)
def test_trouble_that_flapped_and_lasts_at_last_makes_one_message_more(rhythm: Sequence[tuple[float, float]]) -> None:
    assert most_in_a_day(flapped("1m", rhythm[:100]).times) <= 6


def test_an_hourly_job_that_fails_each_time_is_told_three_times_and_then_once_a_day() -> None:
    life = Life()
    for _ in range(10 * 24):
        life.trouble(5 * MINUTE)
        life.well(2 * HOUR)
    assert life.phases[:5] == [OPENED, RESOLVED, OPENED, RESOLVED, OPENED]
    summaries = life.sent[5:]
    assert {notice.phase for _, notice in summaries} == {UPDATED}
    assert len(summaries) == pytest.approx(life.now / DAY, abs=2)
    assert all(later - earlier >= DAY for earlier, later in pairwise(at for at, _ in life.sent[4:]))
    assert life.sent[4][1].returns == 2
    assert summaries[-1][1].flaps == pytest.approx(10 * 24, abs=12), "each of them counts, told or not"


def test_what_flapped_is_over_after_a_day_and_a_new_incident_is_told_at_once() -> None:
    life = Life()
    for _ in range(20):
        life.trouble(5 * MINUTE)
        life.well(2 * HOUR)
    life.well(DAY)
    assert life.phases[-1] is RESOLVED
    assert life.sent[-1][1].ended_at == _at(20 * (5 * MINUTE + 2 * HOUR) - 2 * HOUR)
    life.wait(HOUR)
    began = life.now
    life.trouble(HOUR)
    assert (life.phases[-1], life.times[-1]) == (OPENED, began + MINUTE)
    life.well(2 * DAY)
    life.trouble(2 * MINUTE)
    life.well(2 * MINUTE)
    assert life.phases[-2:] == [OPENED, RESOLVED], "all is forgotten"
    assert (life.sent[-2][1].returns, life.sent[-2][1].flaps) == (0, 0)


def test_that_trouble_which_flapped_lasts_is_told_before_the_day_is_over() -> None:
    life = Life()
    for _ in range(5):
        life.trouble(5 * MINUTE)
        life.well(2 * HOUR)
    told, began = len(life.sent), life.now
    life.trouble(12 * HOUR, wrong(text="it does not come up any more"))
    assert life.times[told:] == [began + LASTING_SECONDS]
    assert life.sent[told][1].message == "it does not come up any more"
    life.wait(3 * DAY)
    assert life.times[told + 1 :] == [began + LASTING_SECONDS + day * DAY for day in (1, 2, 3)], "from then on it is one that lasts"


@given(st.lists(st.tuples(st.floats(0, LASTING_SECONDS - 1), st.floats(0, 30 * HOUR)), max_size=30))
def test_messages_of_an_incident_come_in_order_and_end_with_how_it_is(rhythm: Sequence[tuple[float, float]]) -> None:
    life = Life(target(repeatInterval="0s"))
    for bad, good in rhythm:
        life.trouble(bad)
        life.well(good)
    life.wait(2 * DAY)
    assert life.phases == [OPENED, RESOLVED] * (len(life.phases) // 2)
    assert life.open == 0


def test_after_a_day_of_well_being_an_incident_is_a_new_one() -> None:
    life = Life()
    life.trouble(HOUR)
    life.well(DAY + 2 * MINUTE)
    life.trouble(HOUR)
    life.well(2 * MINUTE)
    assert life.phases == [OPENED, RESOLVED, OPENED, RESOLVED]
    assert life.sent[2][1].returns == 0


# -- updates and reminders ----------------------------------------------------------------------------------------------


def test_a_higher_severity_is_told_at_once_and_a_lower_one_is_not() -> None:
    life = Life()
    drift = ("Drifted", "True", "DriftDetected")
    life.trouble(2 * MINUTE, wrong(drift, drift={"highest": "High"}))
    life.trouble(MINUTE, wrong(drift, drift={"highest": "Critical"}))
    life.trouble(HOUR, wrong(drift, drift={"highest": "Low"}))
    assert (life.phases, life.times) == ([OPENED, UPDATED], [60.0, 120.0])
    assert life.sent[1][1].severity.value == "Critical"


def test_another_text_is_told_more_and_more_rarely() -> None:
    life = Life()
    for number in range(int(8 * HOUR / 10)):
        life.trouble(10, wrong(text=f"{number} fields drifted"))
    assert set(life.phases[1:]) == {UPDATED}
    gaps = [later - earlier for earlier, later in pairwise(life.times)]
    assert gaps[0] >= FIRST_UPDATE_SECONDS
    assert all(later >= 2 * earlier - 10 for earlier, later in pairwise(gaps))


def test_a_text_that_stays_is_told_again_only_as_a_reminder() -> None:
    life = Life(target(repeatInterval="6h"))
    life.trouble(DAY - 1)
    assert (life.phases, life.times) == ([OPENED, UPDATED, UPDATED, UPDATED], [60.0, 6 * HOUR, 12 * HOUR, 18 * HOUR])


def test_without_a_repeat_interval_there_are_no_reminders() -> None:
    life = Life(target(repeatInterval="0s"))
    life.trouble(30 * DAY)
    assert life.phases == [OPENED]


# -- windows and gaps ---------------------------------------------------------------------------------------------------


def test_what_a_closed_window_holds_is_told_when_it_opens_if_it_still_is() -> None:
    life = Life()
    drift, closed = ("Drifted", "True", "DriftDetected"), {"state": "Closed", "blocks": ["DriftRepair"]}
    life.trouble(10 * HOUR, wrong(drift, window=closed))
    assert life.phases == []
    life.trouble(HOUR, wrong(drift, window={"state": "Open"}))
    assert (life.phases, life.times) == ([OPENED], [10 * HOUR])
    assert life.sent[0][1].started_at == START


def test_what_began_and_ended_while_a_window_was_closed_is_told_to_nobody() -> None:
    life = Life(target(muteInWindows="All"))
    life.trouble(10 * HOUR, wrong(window={"state": "Closed", "blocks": ["Prune"]}))
    life.well(DAY)
    assert life.phases == []


def test_a_closed_window_holds_no_resolved_back_and_no_incident_of_health() -> None:
    life = Life(target(muteInWindows="All"), target("page"))
    closed = {"state": "Closed", "blocks": ["NewRevision", "DriftRepair", "Prune", "Rollback"]}
    degraded = ("Healthy", "False", "Degraded")
    life.trouble(HOUR, wrong(degraded))
    life.trouble(2 * DAY, wrong(degraded, window=closed))
    life.tell(status(window=closed))
    life.wait(HOUR)
    assert [notice.phase for _, notice in life.sent if notice.target == "ops"] == [OPENED, RESOLVED]
    assert [notice.phase for _, notice in life.sent if notice.target == "page"] == [OPENED, UPDATED, UPDATED, RESOLVED]


@pytest.mark.parametrize("gap", [("SourceReady", "Unknown", "Progressing"), ("SourceReady", "Unknown", "NotEvaluated")])
def test_a_condition_that_says_nothing_ends_nothing(gap: tuple[str, str, str]) -> None:
    life = Life()
    life.trouble(HOUR)
    life.trouble(HOUR, status(gap))
    life.trouble(HOUR)
    assert life.phases == [OPENED]
    life.trouble(HOUR, status(gap))
    life.well(HOUR)
    assert life.phases == [OPENED, RESOLVED]


def test_a_condition_that_says_nothing_begins_nothing() -> None:
    life = Life()
    life.trouble(DAY, status(("SourceReady", "Unknown", "Progressing")))
    assert life.phases == []


SILENT = ("Healthy", "False", "Progressing")
DEGRADED = ("Healthy", "False", "Degraded")


@pytest.mark.parametrize("least", ["0s", "1m", "1h"])
def test_trouble_of_a_moment_before_a_gap_is_none_of_its_length(least: str) -> None:
    life = Life(target(minDuration=least))
    if least != "0s":
        life.trouble(5, wrong(DEGRADED))
    life.trouble(DAY, status(SILENT))
    life.well(HOUR)
    assert life.phases == []
    assert life.incidents._known == {("shop", "web"): {}}


def test_time_in_trouble_before_and_after_a_gap_counts_and_that_in_it_does_not() -> None:
    life = Life()
    life.trouble(40, wrong(DEGRADED))
    life.trouble(HOUR, status(SILENT))
    life.trouble(HOUR, wrong(DEGRADED))
    assert (life.phases, life.times) == ([OPENED], [HOUR + 60])
    assert life.sent[0][1].started_at == START


def test_time_of_well_being_before_and_after_a_gap_counts_and_that_in_it_does_not() -> None:
    life = Life()
    life.trouble(HOUR, wrong(DEGRADED))
    life.well(40)
    life.trouble(HOUR, status(SILENT))
    assert life.phases == [OPENED]
    life.well(HOUR)
    assert (life.phases, life.times[-1]) == ([OPENED, RESOLVED], 2 * HOUR + 60)
    assert life.sent[-1][1].ended_at == _at(HOUR), "when it was seen to be well"


def test_what_may_be_told_only_after_a_window_is_not_opened_in_a_gap() -> None:
    life = Life(target(muteInWindows="All"))
    life.trouble(HOUR, wrong(DEGRADED, window={"state": "Closed", "blocks": ["Prune"]}))
    life.trouble(HOUR, status(SILENT))
    assert life.phases == []
    life.trouble(HOUR, wrong(DEGRADED))
    assert (life.phases, life.times) == ([OPENED], [2 * HOUR])


def test_an_open_incident_is_reminded_of_in_a_gap() -> None:
    life = Life(target(repeatInterval="6h"))
    life.trouble(HOUR, wrong(DEGRADED))
    life.trouble(6 * HOUR, status(SILENT))
    assert (life.phases, life.times) == ([OPENED, UPDATED], [60.0, 6 * HOUR])


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.sampled_from(["bad", "well", "gap"]), st.floats(1, 6 * HOUR)), max_size=60), st.sampled_from(["0s", "1m", "1h"])
)
def test_whatever_comes_and_goes_with_gaps_makes_five_messages_a_day_at_most_and_ends(
    rhythm: Sequence[tuple[str, float]], least: str
) -> None:
    life = Life(target(minDuration=least, repeatInterval="0s"))
    told = {"bad": wrong(DEGRADED), "well": status(), "gap": status(SILENT)}
    for how, seconds in rhythm:
        life.trouble(min(seconds, LASTING_SECONDS / 4), told[how])
    life.well(2 * DAY)
    assert most_in_a_day(life.times) <= 5
    assert life.phases == [OPENED, RESOLVED] * (len(life.phases) // 2)
    assert (life.open, life.incidents._known) == (0, {("shop", "web"): {}})


def test_what_was_wrong_in_a_cluster_that_cannot_be_reached_any_more_is_not_over_and_that_ends_with_it() -> None:
    life = Life()
    life.trouble(HOUR, wrong(DEGRADED))
    life.trouble(HOUR, wrong(("Healthy", "Unknown", "TargetUnreachable"), since=life.now))
    life.trouble(HOUR, wrong(("Healthy", "Unknown", "TelemetryGap"), since=life.now))
    assert [(at, notice.key.reason, notice.phase) for at, notice in life.sent] == [
        (60.0, "Degraded", OPENED),
        (HOUR + 60, "TargetUnreachable", OPENED),
        (2 * HOUR + 60, "Degraded", RESOLVED),
        (2 * HOUR + 60, "TargetUnreachable", RESOLVED),
        (2 * HOUR + 60, "TelemetryGap", OPENED),
    ]


# -- what is told in place of something else ------------------------------------------------------------------------------


DRIFT = ("Drifted", "True", "DriftDetected")
FIGHT = {"breakers": [{"object": "a", "openedAt": "2026-05-01T00:05:00Z"}]}
CRITICAL = {"drift": {"highest": "Critical"}}
ENDS_AND_BEGINS = (("DriftDetected", RESOLVED), ("BreakerOpen", OPENED))


@pytest.mark.parametrize("kind", ["Webhook", "Alertmanager"])
def test_critical_drift_goes_on_as_a_fight_for_who_hears_of_nothing_less(kind: str) -> None:
    life = Life(target(kind=kind, severities=["Critical"]))
    drifts = wrong(DRIFT, ("Ready", "False", "DriftDetected"), **CRITICAL)
    life.trouble(5 * MINUTE, drifts)
    life.trouble(HOUR, then(drifts, life.now, DRIFT, ("Ready", "False", "BreakerOpen"), **CRITICAL, **FIGHT))
    told = {notice.key.reason: (notice.phase, notice.severity.value) for _, notice in life.sent}
    assert told["DriftDetected"] == (RESOLVED, "Critical")
    assert told["BreakerOpen"][0] is not RESOLVED
    assert told["BreakerOpen"][1] == "Critical"
    (over, opened) = (next(at for at, one in life.sent if (one.key.reason, one.phase) == what) for what in ENDS_AND_BEGINS)
    assert opened <= over, "at no time there is nothing"


def test_a_fight_over_a_field_that_becomes_critical_is_told_at_once() -> None:
    life = Life()
    fight = (DRIFT, ("Ready", "False", "BreakerOpen"))
    life.trouble(HOUR, wrong(*fight, drift={"highest": "High"}, **FIGHT))
    life.trouble(HOUR, wrong(*fight, **CRITICAL, **FIGHT))
    assert [(at, notice.phase, notice.severity.value) for at, notice in life.sent] == [
        (60.0, OPENED, "Warning"),
        (HOUR, UPDATED, "Critical"),
    ]


@pytest.mark.parametrize("reason", ["RolledBack", "Quarantined", "ErrorBudgetBurning", "DependencyNotReady"])
def test_what_keeps_a_commit_back_is_not_over_while_git_is_away(reason: str) -> None:
    life = Life()
    before = wrong(("Ready", "False", reason))
    life.trouble(HOUR, before)
    away = then(before, life.now, ("Ready", "False", "FetchFailed"), FAILED, holding={reason: "Ready is False"})
    life.trouble(10 * MINUTE, away)
    back = then(away, life.now, ("Ready", "False", reason))
    life.trouble(10 * MINUTE, back)
    told = [(notice.key.reason, notice.phase) for _, notice in life.sent]
    assert told == [(reason, OPENED), ("FetchFailed", OPENED), ("FetchFailed", RESOLVED)]
    life.trouble(HOUR, then(back, life.now))
    assert [(at, notice.key.reason, notice.returns) for at, notice in life.sent[3:]] == [(HOUR + 21 * MINUTE, reason, 0)], (
        "it never came back"
    )


# -- earlier lives ------------------------------------------------------------------------------------------------------


def test_a_restart_opens_nothing_that_was_told_before() -> None:
    life = Life(at=10 * HOUR, first=wrong())
    life.trouble(13 * HOUR)
    assert life.phases == []
    life.wait(2 * HOUR)
    assert (life.phases, life.times) == ([UPDATED], [DAY])
    life.well(HOUR)
    assert life.phases == [UPDATED, RESOLVED]
    assert life.sent[-1][1].started_at == START


def test_restarts_move_no_reminder() -> None:
    times: list[float] = []
    for hour in range(1, 72):
        life = Life(at=hour * HOUR, first=wrong())
        life.wait(HOUR)
        times += life.times
    assert times == [DAY, 2 * DAY, 3 * DAY]


def test_a_roll_out_that_is_announced_after_a_restart_makes_an_incident_no_younger() -> None:
    life = Life(at=10 * HOUR, first=wrong(("Ready", "False", "ApplyFailed")))
    life.trouble(MINUTE / 2, status(("Ready", "Unknown", "Progressing")))
    life.trouble(HOUR, wrong(("Ready", "False", "ApplyFailed"), since=10 * HOUR + MINUTE / 2))
    assert life.phases == []


def test_trouble_that_nobody_may_have_told_of_is_opened_although_it_began_before() -> None:
    life = Life(at=RECALL_SECONDS, first=wrong())
    life.wait(HOUR)
    assert (life.phases, life.times) == ([OPENED], [RECALL_SECONDS + MINUTE])
    assert life.sent[0][1].started_at == START


def test_an_operator_that_restarts_all_the_time_does_not_open_again_and_again() -> None:
    sent = 0
    for number in range(20):
        life = Life(at=number * 30.0, first=wrong())
        life.wait(29)
        sent += len(life.sent)
    assert sent == 0


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(("Healthy", "False", "SignalBreached"), DEGRADED, id="worse"),
        pytest.param(("Ready", "False", "AwaitingApproval"), ("Ready", "False", "AuthFailed"), id="another-matter"),
    ],
)
def test_a_trouble_that_took_the_place_of_an_old_one_shortly_before_a_restart_is_opened(
    before: tuple[str, str, str], after: tuple[str, str, str]
) -> None:
    old = wrong(before)
    found = then(old, 2 * DAY, after)
    life = Life(at=2 * DAY + 30, first=found)
    life.tell(then(found, life.now + 1, after))
    life.wait(23 * HOUR)
    assert [(at, notice.key.reason, notice.phase) for at, notice in life.sent] == [(2 * DAY + 90, after[2], OPENED)]
    assert life.sent[0][1].started_at == _at(2 * DAY), "the same as without the restart"


def test_what_ready_hides_is_opened_once_however_often_the_operator_restarts() -> None:
    plan = {"held": "PruneHeld", "prune": 12}
    found, sent = then(status(), 0, ("Ready", "False", "ApplyFailed"), plan=plan), []
    for hour in range(1, 12):
        life = Life(at=hour * HOUR, first=found)
        found = then(found, life.now, ("Ready", "False", "ApplyFailed"), plan=plan)
        life.trouble(HOUR / 2, found)
        sent += [notice.key.reason for _, notice in life.sent]
    assert sent == []


def test_an_incident_has_the_same_begin_before_and_after_a_restart() -> None:
    before, found = Life(), then(status(), 10, DEGRADED)
    before.wait(10.4)
    before.trouble(2 * MINUTE, found)
    after = Life(at=before.now, first=found)
    after.wait(HOUR)
    assert [notice.started_at for _, notice in (*before.sent, *after.sent)] == [_at(10)] * 2


def test_an_incident_that_ended_while_nobody_was_here_is_resolved() -> None:
    life = Life(at=10 * HOUR, first=wrong())
    life.well(HOUR)
    assert life.phases == [RESOLVED]


@pytest.mark.parametrize("kind", ["Webhook", "Slack", "Alertmanager"])
def test_what_was_opened_shortly_before_a_restart_is_resolved(kind: str) -> None:
    to = target(kind=kind, minDuration="5m")
    before = Life(to)
    before.trouble(8 * MINUTE)
    assert before.phases[0] is OPENED
    after = Life(to, at=8 * MINUTE, first=wrong())
    after.trouble(2 * MINUTE)
    after.well(HOUR)
    assert (after.phases[-1], after.times[-1]) == (RESOLVED, 15 * MINUTE)
    assert after.phases.count(RESOLVED) == 1
    assert (after.sent[-1][1].started_at, after.sent[-1][1].ended_at) == (START, _at(10 * MINUTE))


@pytest.mark.parametrize(
    "gap", [("Healthy", "Unknown", "Progressing"), ("Healthy", "False", "Progressing"), ("Healthy", "Unknown", "NotEvaluated")]
)
@pytest.mark.parametrize("age", [10 * MINUTE, 10 * HOUR])
def test_what_was_opened_before_a_roll_out_and_a_restart_in_it_is_resolved(gap: tuple[str, str, str], age: float) -> None:
    degraded = wrong(("Healthy", "False", "Degraded"), text="crash loop")
    before = Life()
    before.trouble(age, degraded)
    assert before.phases == [OPENED]
    after = Life(at=age, first=then(degraded, age, gap))
    after.wait(30)
    after.well(HOUR)
    assert after.phases == [RESOLVED]
    (_, resolved) = after.sent[0]
    assert (str(resolved.key), resolved.message, resolved.severity.value) == ("shop/web/Degraded", "crash loop", "Critical")


def test_what_was_opened_before_a_roll_out_is_not_opened_again_by_a_restart_in_it() -> None:
    degraded = wrong(("Healthy", "False", "Degraded"))
    life = Life(at=10 * HOUR, first=then(degraded, 10 * HOUR, ("Healthy", "Unknown", "Progressing")))
    life.wait(MINUTE)
    life.trouble(HOUR, wrong(("Healthy", "False", "Degraded"), since=life.now))
    assert life.phases == []


def test_what_was_opened_before_a_window_closed_is_resolved_after_a_restart_while_it_was() -> None:
    drift = ("Drifted", "True", "DriftDetected")
    before = Life()
    before.trouble(HOUR, wrong(drift, window={"state": "Open"}))
    assert before.phases == [OPENED]
    held = wrong(drift, window={"state": "Closed", "blocks": ["DriftRepair"]})
    after = Life(at=2.5 * HOUR, first=held)
    after.wait(HOUR)
    assert after.phases == [], "the window is closed still"
    after.well(HOUR)
    assert after.phases == [RESOLVED]


def test_drift_that_became_less_severe_than_a_target_wants_is_resolved_after_a_restart() -> None:
    drift = ("Drifted", "True", "DriftDetected")
    life = Life(target(severities=["Critical"]), at=HOUR, first=wrong(drift, drift={"highest": "High"}))
    life.well(HOUR)
    assert life.phases == [RESOLVED]


@pytest.mark.parametrize(
    ("to", "age"),
    [
        pytest.param(target(severities=["Info"]), HOUR, id="of-a-severity-that-it-never-has"),
        pytest.param(target(minDuration="5m"), 4 * MINUTE, id="younger-than-it-has-to-be"),
        pytest.param(target(namespaces=["team-a"]), HOUR, id="of-another-namespace"),
    ],
)
def test_after_a_restart_no_end_is_told_of_what_cannot_have_been_told(to: NoticeTarget, age: float) -> None:
    life = Life(to, at=age, first=wrong())
    life.well(HOUR)
    assert life.sent == []


def test_what_may_have_been_told_is_over_with_its_clusterstate_and_forgotten() -> None:
    life = Life(at=2 * MINUTE, first=wrong())
    life.incidents.forget("shop", "web", is_gone=True, now=_at(life.now))
    life.take()
    assert life.phases == [RESOLVED]
    ended = Life(at=2 * MINUTE, first=wrong())
    ended.well(2 * DAY)
    assert (ended.phases, ended.incidents.next_at, ended.incidents._known) == ([RESOLVED], None, {("shop", "web"): {}})


@settings(max_examples=25)
@given(rhythms(2 * HOUR, 2 * HOUR), st.sampled_from(["0s", "1m", "10m"]), st.floats(0, DAY))
@example([(2 * MINUTE, 58 * MINUTE)] * 1000, "1m", 5 * MINUTE)
@example([(30.0, 2 * MINUTE), (2 * MINUTE, 2 * MINUTE)] * 500, "1m", 5 * MINUTE)
def test_after_a_restart_too_whatever_comes_and_goes_makes_five_messages_a_day_at_most(
    rhythm: Sequence[tuple[float, float]], least: str, age: float
) -> None:
    life = Life(target(minDuration=least), at=age, first=wrong())
    for bad, good in rhythm[:100]:
        life.trouble(bad)
        life.well(good)
    life.wait(2 * DAY)
    assert most_in_a_day(life.times) <= 5
    assert life.open == 0


# -- Alertmanager -------------------------------------------------------------------------------------------------------


def test_a_receiver_that_keeps_alerts_is_told_of_them_every_minute_all_together() -> None:
    life = Life(target(kind="Alertmanager"))
    life.tell({}, "other")
    life.wait(10)
    life.tell(wrong(since=10))
    life.wait(13)
    life.tell(wrong(since=23), "other")
    life.wait(MINUTE * 5 - 23 + 1)
    later = [at for at, notice in life.sent if notice.phase is UPDATED]
    assert later == [120.0, 120.0, 180.0, 180.0, 240.0, 240.0, 300.0, 300.0]
    assert {notice.started_at for _, notice in life.sent} == {_at(10), _at(23)}
    life.well(2 * MINUTE)
    assert [notice.key.name for _, notice in life.sent if notice.phase is RESOLVED] == ["web"]


def test_after_a_restart_a_receiver_that_keeps_alerts_is_told_at_once() -> None:
    life = Life(target(kind="Alertmanager"), at=10 * HOUR, first=wrong())
    assert (life.phases, life.times) == ([UPDATED], [10 * HOUR])
    life.wait(KEEP_SECONDS)
    assert life.phases == [UPDATED, UPDATED]


@pytest.mark.parametrize("least", ["1m", "15m", "1h"])
def test_whatever_happens_a_receiver_that_keeps_alerts_hears_of_an_open_one_before_it_ends_there(least: str) -> None:
    """It ends four minutes after it was sent last: also while it is well but not over, in a closed window, and over restarts."""
    kept = target(kind="Alertmanager", minDuration=least, muteInWindows="All")
    closed = {"state": "Closed", "blocks": ["DriftRepair"]}
    life = Life(kept)
    life.trouble(HOUR)
    opened, began = life.sent[0][0], life.now
    for number in range(3):
        life.well(2 * MINUTE if least == "1m" else 14 * MINUTE)
        life.trouble(2 * HOUR, wrong(since=life.now, **({"window": closed} if number == 1 else {})))
    moments, later = life.times, Life(kept, at=life.now + 20, first=wrong(since=began))
    later.wait(DAY)
    moments += later.times
    assert moments[0] == opened
    silent = [at for at, following in pairwise(moments) if following - at > KEPT_SECONDS]
    ends = [at for at, notice in life.sent if notice.phase is RESOLVED]
    assert silent in ([], ends), "who is told of its end need not be told again until it is back"
    later.well(2 * HOUR)
    assert later.phases[-1] is RESOLVED


@pytest.mark.parametrize(("age", "is_open"), [(14 * MINUTE, False), (16 * MINUTE, True)])
def test_after_a_restart_an_alert_older_than_its_minimum_duration_goes_on_at_once(age: float, is_open: bool) -> None:
    life = Life(target(kind="Alertmanager", minDuration="15m"), at=age, first=wrong())
    assert bool(life.sent) is is_open


def test_an_alert_that_is_open_goes_on_while_a_window_is_closed() -> None:
    life = Life(target(kind="Alertmanager", muteInWindows="All"))
    life.trouble(2 * MINUTE)
    life.trouble(2 * MINUTE, wrong(window={"state": "Closed", "blocks": ["Prune"]}))
    assert life.phases == [OPENED, UPDATED, UPDATED, UPDATED]


# -- targets ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "is_told"),
    [
        pytest.param({"severities": ["Warning"]}, True, id="its-severity"),
        pytest.param({"severities": ["Critical", "Info"]}, False, id="another-severity"),
        pytest.param({"namespaces": ["sh*"]}, True, id="its-namespace"),
        pytest.param({"namespaces": ["team-a"]}, False, id="another-namespace"),
    ],
)
def test_a_target_is_told_what_it_wants(more: dict[str, Any], is_told: bool) -> None:
    life = Life(target(**more))
    life.trouble(DAY)
    life.well(HOUR)
    assert bool(life.sent) is is_told


def test_a_target_that_wants_nothing_of_it_keeps_no_other_from_hearing_of_its_end() -> None:
    life = Life(target(minDuration="1h"), target("other", severities=["Info"]))
    life.trouble(2 * HOUR)
    life.well(2 * HOUR)
    assert (life.phases, life.times) == ([OPENED, RESOLVED], [HOUR, 3 * HOUR])


def test_an_incident_that_grows_into_a_severity_is_opened_then() -> None:
    life = Life(target(severities=["Critical"]))
    drift = ("Drifted", "True", "DriftDetected")
    life.trouble(HOUR, wrong(drift, drift={"highest": "High"}))
    life.trouble(HOUR, wrong(drift, drift={"highest": "Critical"}))
    assert (life.phases, life.times) == ([OPENED], [HOUR])


def test_targets_are_told_each_in_its_own_time() -> None:
    life = Life(target(), target("late", minDuration="1h"))
    life.trouble(2 * HOUR)
    life.well(2 * HOUR)
    assert [(notice.target, at) for at, notice in life.sent] == [
        ("ops", 60.0),
        ("late", HOUR),
        ("ops", 2 * HOUR + 60),
        ("late", 3 * HOUR),
    ]


def test_other_targets_are_told_of_what_lasts_and_the_same_ones_nothing_twice() -> None:
    life = Life(target(), target("old"))
    life.trouble(HOUR)
    life.incidents.replace((target(repeatInterval="12h"), target("new")), _at(life.now))
    life.wait(HOUR)
    assert [(notice.target, notice.phase) for _, notice in life.sent] == [("old", OPENED), ("ops", OPENED), ("new", OPENED)]
    life.well(HOUR)
    assert sorted(notice.target for _, notice in life.sent if notice.phase is RESOLVED) == ["new", "ops"]


# -- the end ------------------------------------------------------------------------------------------------------------


def test_incidents_of_a_clusterstate_that_is_deleted_are_over() -> None:
    life = Life()
    life.trouble(HOUR)
    life.incidents.forget("shop", "web", is_gone=True, now=_at(life.now))
    life.take()
    assert (life.phases, life.times[-1]) == ([OPENED, RESOLVED], HOUR)
    life.wait(DAY)
    assert life.phases == [OPENED, RESOLVED]


def test_a_clusterstate_that_goes_to_another_replica_is_not_resolved_here_nor_opened_there() -> None:
    here = Life()
    here.trouble(HOUR)
    here.incidents.forget("shop", "web", is_gone=False, now=_at(here.now))
    here.wait(DAY)
    there = Life(at=HOUR, first=wrong())
    there.wait(HOUR)
    assert (here.phases, there.phases) == ([OPENED], [])


def test_one_that_was_never_seen_can_be_forgotten() -> None:
    life = Life()
    life.incidents.forget("shop", "nobody", is_gone=True, now=START)
    life.wait(DAY)
    assert life.sent == []


# -- memory -------------------------------------------------------------------------------------------------------------


def due_entries(incidents: Incidents) -> int:
    return len(incidents._due)


def test_nothing_is_remembered_of_what_is_long_over() -> None:
    life = Life()
    for _ in range(3):
        life.trouble(HOUR)
        life.well(2 * DAY)
    life.wait(DAY)
    assert (life.incidents.next_at, life.open) == (None, 0)
    assert life.incidents._known == {("shop", "web"): {}}


def test_flaps_leave_nothing_behind() -> None:
    life = Life(target(repeatInterval="8784h"))
    for number in range(20_000):
        life.tell(wrong() if number % 2 else status())
        life.now += 1
    assert due_entries(life.incidents) < 1000


def notices_at_once(names: Iterable[str]) -> list[Notice]:
    life = Life()
    for name in names:
        life.tell({}, name)
        life.tell(wrong(), name)
    life.wait(MINUTE)
    return [notice for _, notice in life.sent]


def test_many_incidents_come_sorted() -> None:
    found = notices_at_once(["c", "a", "b"])
    assert [notice.key.name for notice in found] == ["a", "b", "c"]
