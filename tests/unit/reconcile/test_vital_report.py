"""status.cv and status.vital, from vitals.

Aspects: numbers that move are told with a change or a full pass only · the worst first · sizes · what is told is what a restart reads back · what is empty is
left out.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from cvstate_operator.api.status import UnreadyStatus
from cvstate_operator.reconcile import vital_report
from cvstate_operator.reconcile.health import Health, health_of
from cvstate_operator.reconcile.outcome import Outcome
from cvstate_operator.reconcile.vital_stage import VitalStage
from cvstate_operator.reconcile.vitals import Signals
from cvstate_operator.vital import signals
from cvstate_operator.vital.facts.progress import Progress
from cvstate_operator.vital.health.lapse import Level
from cvstate_operator.vital.health.lapses import Lapses
from cvstate_operator.vital.health.state import Reason, failed, in_progress
from cvstate_operator.vital.objectives import slo
from cvstate_operator.vital.reading import Gap, Reading, gap
from tests.unit.builders import DEPLOYMENT, ref
from tests.unit.reconcile.test_vital_conditions import NOW, PLAIN
from tests.unit.reconcile.vital_specs import watching

LATER = NOW + timedelta(seconds=30)


def signal(number: int, value: float | Gap, *, now: datetime = NOW, message: str = "no answer") -> tuple[Any, signals.SignalState]:
    """One of many signals, as it is judged."""
    spec = watching({"name": f"s{number:03}", "query": "x", "max": "1"}).vital.signals[0]
    labels = '{pod="' + "p" * 4000 + '"}'
    reading = gap(value, message, asked_at=now) if isinstance(value, Gap) else Reading(now, value, value, taken_at=now, high_series=labels)
    return spec, signals.judge(spec, None, reading, now)


def judged(outcome: Outcome, known: Signals, *, causes: dict[Any, str] | None = None) -> Outcome:
    stage = VitalStage(status={}, now=NOW)
    return replace(outcome, vitals=stage.judge(watching(), outcome, known, pods=(), causes=causes or {}, now=NOW))


def vital(outcome: Outcome, *, previous: dict[str, Any] | None = None, is_full: bool = False) -> dict[str, Any]:
    assert outcome.vitals is not None
    return vital_report.vital(outcome, outcome.vitals, previous=previous or {}, is_full=is_full)


def sick(count: int) -> Outcome:
    """Many objects that are not ready, every fifth failed."""
    lapses, found = Lapses(300.0), {}
    for number in range(count):
        one = ref(f"w{number:04}", of=DEPLOYMENT)
        is_failed = number % 5 == 0
        told = f"{'m' * 4000}\n{number}"
        found[one] = failed(Reason.CRASH_LOOP, told) if is_failed else in_progress(Reason.NOT_READY, told)
        lapses.note(one, found[one], NOW - timedelta(seconds=number))
    counts = lapses.counts({DEPLOYMENT.gvk.group_kind: count})
    return replace(PLAIN, desired=count, health=Health(health_of(found), counts=counts, worst=lapses.worst(), lapses=lapses.open))


# -- numbers that move -------------------------------------------------------------------------------------------------


def test_another_value_alone_is_not_told() -> None:
    before = vital(judged(PLAIN, Signals((signal(1, 0.1),))))
    spec, state = signal(1, 0.1)
    moved = replace(state, value=0.2, taken_at=LATER, series="{x}")
    assert vital(judged(PLAIN, Signals(((spec, moved),))), previous=before) == before


def test_a_full_pass_tells_the_value() -> None:
    before = vital(judged(PLAIN, Signals((signal(1, 0.1),))))
    spec, state = signal(1, 0.1)
    after = vital(judged(PLAIN, Signals(((spec, replace(state, value=0.2, taken_at=LATER)),))), previous=before, is_full=True)
    assert (after["signals"][0]["value"], after["signals"][0]["takenAt"]) == ("0.2", "2026-01-01T12:00:30Z")


def test_with_another_state_everything_is_told() -> None:
    before = vital(judged(PLAIN, Signals((signal(1, 0.1),))))
    after = vital(judged(PLAIN, Signals((signal(1, 7.0, now=LATER),))), previous=before)
    assert (after["signals"][0]["state"], after["signals"][0]["value"]) == ("Breached", "7")


@pytest.mark.parametrize("previous", [{"signals": None}, {"signals": ["x", {}]}, {"signals": [{"name": "s001", "state": "Odd"}]}])
def test_nonsense_in_the_status_is_told_anew(previous: dict[str, Any]) -> None:
    found = judged(PLAIN, Signals((signal(1, 0.1),)))
    assert vital(found, previous=previous) == vital(found)


# -- the worst, and how much -------------------------------------------------------------------------------------------


def test_signals_are_told_the_worst_first_and_twenty_at_most() -> None:
    values: list[float | Gap] = [0.1] * 90 + [Gap.NO_DATA] * 5 + [7.0] * 5
    found = vital(judged(PLAIN, Signals(tuple(signal(number, value) for number, value in enumerate(values)))))
    assert len(found["signals"]) == vital_report.SHOWN
    assert [one["state"] for one in found["signals"][:11]] == ["Breached"] * 5 + ["Unknown"] * 5 + ["Passing"]


def test_objects_are_told_the_worst_first_and_all_are_counted() -> None:
    found = vital(judged(sick(100), Signals()))
    assert len(found["unready"]) == vital_report.UNREADY_SHOWN
    assert {one["state"] for one in found["unready"]} == {"Failed"}
    assert found["objects"] == {"ready": 0, "progressing": 80, "failed": 20}


def test_whatever_goes_wrong_it_stays_small() -> None:
    outcome = sick(2000)
    causes = {one: "c" * 4000 for one, _ in outcome.health.worst}
    known = Signals(tuple(signal(number, Gap.QUERY_FAILED, message="e" * 4000) for number in range(128)))
    found = vital(judged(outcome, known, causes=causes))
    assert len(orjson.dumps(found)) < 32 * 1024
    assert all("\n" not in str(value) for one in found["unready"] for value in one.values())


def test_where_nothing_is_declared_nothing_is_told() -> None:
    assert vital(judged(replace(PLAIN, evaluated=False, kinds=()), Signals())) == {}


# -- what a restart reads ----------------------------------------------------------------------------------------------


def test_signals_are_read_back_as_they_were() -> None:
    known = [signal(1, 0.5), signal(2, 7.0), signal(3, Gap.UNREACHABLE)]
    found = orjson.loads(orjson.dumps(vital(judged(PLAIN, Signals(tuple(known))))))
    back = {state.name: state for one in found["signals"] if (state := signals.from_json(one))}
    assert {state.name: (state.state, state.since, state.value, state.gap) for _, state in known} == {
        name: (state.state, state.since, state.value, state.gap) for name, state in back.items()
    }


def test_slos_are_read_back_as_they_were() -> None:
    spec = watching(slos=[{"name": "a", "objective": "99", "good": "g", "total": "t"}]).vital.slos[0]
    state = slo.SloState("a", slo.State.BURNING, NOW, "burns", slo.State.BURNING, budget_left=0.4, burn_rate=7.0, taken_at=NOW)
    found = orjson.loads(orjson.dumps(vital(judged(PLAIN, Signals((), ((spec, state),))))))
    back = slo.from_json(found["slos"][0])
    assert back is not None
    assert (back.state, back.since, back.budget_left, back.burn_rate) == (slo.State.BURNING, NOW, 0.4, 7.0)


def test_how_far_an_object_is_and_since_when_is_told_and_read_back() -> None:
    one, lapses, again = ref("web", of=DEPLOYMENT), Lapses(300.0), Lapses(300.0)
    rolls = replace(in_progress(Reason.REPLICAS_OUTDATED, "1 of 3"), progress=Progress("7", 1, 6))
    lapses.note(one, rolls, NOW)
    lapses.note(one, replace(rolls, progress=Progress("7", 2, 6)), NOW + timedelta(seconds=100))
    found = vital(judged(replace(PLAIN, health=Health(worst=lapses.worst(), lapses=lapses.open)), Signals()))
    assert (found["unready"][0]["progress"], found["unready"][0]["progressedAt"]) == ("7/2/6", "2026-01-01T12:01:40Z")
    UnreadyStatus.model_validate(found["unready"][0])
    again.recall(orjson.loads(orjson.dumps(found["unready"])))
    again.note(one, replace(rolls, progress=Progress("7", 2, 6)), NOW + timedelta(seconds=350))
    assert again.next_change == NOW + timedelta(seconds=100 + 300)


def test_objects_are_remembered_as_they_were() -> None:
    outcome = sick(5)
    found = orjson.loads(orjson.dumps(vital(judged(outcome, Signals()))))
    lapses = Lapses(300.0)
    lapses.recall(found["unready"])
    one = ref("w0000", of=DEPLOYMENT)
    lapses.note(one, failed(Reason.CRASH_LOOP, "again"), NOW + timedelta(hours=1))
    back = lapses.of(one)
    assert back is not None
    assert (back.since, back.level) == (outcome.health.lapses[one].since, Level.FAILED)


# -- status.cv ---------------------------------------------------------------------------------------------------------


def test_cv_tells_what_is_known_and_nothing_else() -> None:
    well = judged(PLAIN, Signals())
    assert well.vitals is not None
    assert vital_report.cv(well.vitals) == {"score": 100, "confidence": 100, "configuration": 100, "completeness": 100}
    blank = judged(replace(PLAIN, evaluated=False, kinds=()), Signals())
    assert blank.vitals is not None
    assert "score" not in vital_report.cv(blank.vitals)


def test_completeness_is_rounded_down() -> None:
    known = Signals((signal(1, 0.1), signal(2, Gap.NO_DATA), signal(3, 0.1)))
    found = judged(replace(PLAIN, kinds=()), known)
    assert found.vitals is not None
    assert vital_report.cv(found.vitals)["completeness"] == 66


def test_it_has_a_zone() -> None:
    assert datetime.fromisoformat(vital(judged(PLAIN, Signals((signal(1, 0.1),))))["signals"][0]["since"]).tzinfo == UTC
