"""The telemetry stage of one ClusterState: what it asks, when, and what it knows then.

Aspects: only what is due is asked for, each at its own pace · answers are judged, and only another judgement is news · what a restart knows · credentials ·
Pods are counted from what is watched · another query, or another server, is another signal · the gate for new revisions · time alone · what must not happen.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cvstate_operator.api.clusterstate import ClusterStateSpec
from cvstate_operator.plan.gates import Block
from cvstate_operator.reconcile import telemetry_stage
from cvstate_operator.reconcile.ports import Server
from cvstate_operator.reconcile.telemetry_stage import TelemetryStage
from cvstate_operator.reconcile.vitals import Signals
from cvstate_operator.vital import saved, signals
from cvstate_operator.vital.objectives import slo, slo_queries
from cvstate_operator.vital.objectives.slo_queries import Answer, BudgetQuery
from cvstate_operator.vital.reading import Gap, Reading, gap
from tests.unit.builders import DEPLOYMENT, OWNER, body, ref
from tests.unit.reconcile.fakes import FakeClock, FakeTelemetry, Stage, spec
from tests.unit.reconcile.vital_specs import ERRORS, GOOD, NAMED, QUERY, SLO, Life, vital, watching


@pytest.fixture
def stage() -> Stage:
    stage = Stage()
    stage.telemetry.values[QUERY] = 0.001
    stage.telemetry.samples[GOOD] = 0.0
    return stage


def made(stage: Stage, status: Mapping[str, Any] | None = None, *, generation: int | None = None) -> TelemetryStage:
    asker = TelemetryStage(stage.world, owner=OWNER, namespace="default", status=status or {}, generation=generation)
    asker.is_placed = True
    return asker


async def asked(stage: Stage, asker: TelemetryStage, of: ClusterStateSpec, *, after: float = 0.0) -> tuple[list[str], bool]:
    """What is asked for when that time is over, and whether it brought news."""
    stage.clock.seconds += after
    stage.telemetry.asked.clear()
    is_news = await asker.ask(of)
    return list(stage.telemetry.asked), is_news


def known(stage: Stage, asker: TelemetryStage, of: ClusterStateSpec) -> Signals:
    return asker.known(of, stage.clock.now())


def signal_state(stage: Stage, asker: TelemetryStage, of: ClusterStateSpec) -> signals.SignalState:
    state = known(stage, asker, of).signals[0][1]
    assert state is not None
    return state


def slo_state(stage: Stage, asker: TelemetryStage, of: ClusterStateSpec) -> slo.SloState:
    state = known(stage, asker, of).slos[0][1]
    assert state is not None
    return state


def told(asker: TelemetryStage, stage: Stage, of: ClusterStateSpec) -> dict[str, Any]:
    """The status that tells what is known."""
    found = known(stage, asker, of)
    return {
        "vital": {
            "signals": [signals.to_json(state) for _, state in found.signals if state],
            "slos": [slo.to_json(state) for _, state in found.slos if state],
        }
    }


# -- when it asks ------------------------------------------------------------------------------------------------------


async def test_without_telemetry_there_is_nothing_to_ask_for(stage: Stage) -> None:
    assert made(stage).ask_at(spec()) is None


async def test_everything_is_asked_for_at_once_and_then_at_its_own_pace(stage: Stage) -> None:
    of = watching({**ERRORS, "interval": "30s"}, {"name": "slow", "query": "slow", "max": "1", "interval": "10m", "staleAfter": "20m"})
    asker = made(stage)
    at = asker.ask_at(of)
    assert at is not None
    assert at <= stage.clock.seconds
    assert (await asked(stage, asker, of))[0] == [QUERY, "slow"]
    assert (await asked(stage, asker, of, after=20))[0] == []
    assert (await asked(stage, asker, of, after=10))[0] == [QUERY]
    assert (await asked(stage, asker, of, after=600))[0] == [QUERY, "slow"]


async def test_it_says_when_the_next_question_is_due_spread_by_a_tenth(stage: Stage) -> None:
    of, asker = watching({**ERRORS, "interval": "100s"}), made(stage)
    await asker.ask(of)
    assert asker.ask_at(of) == pytest.approx(stage.clock.seconds + 100 * (1 - telemetry_stage.SPREAD / 2))


async def test_what_is_due_within_a_second_is_asked_for_together(stage: Stage) -> None:
    of = watching({**ERRORS, "interval": "30s"}, {"name": "b", "query": "b", "max": "1", "interval": "31s"})
    asker = made(stage)
    await asker.ask(of)
    at = asker.ask_at(of)
    assert at is not None
    assert (await asked(stage, asker, of, after=at - stage.clock.seconds))[0] == [QUERY, "b"]


async def test_long_windows_of_an_slo_are_asked_for_less_often(stage: Stage) -> None:
    of, asker = watching(slos=[SLO]), made(stage)
    first, _ = await asked(stage, asker, of)
    assert len(first) > 1
    counts = dict.fromkeys(first, 0)
    for _ in range(20):
        for text in (await asked(stage, asker, of, after=30))[0]:
            counts[text] += 1
    assert max(counts.values()) == 20
    assert min(counts.values()) == 0, "the window of 30 days is asked for twice an hour"


async def test_another_spec_is_asked_for_at_once(stage: Stage) -> None:
    asker = made(stage)
    await asker.ask(watching(ERRORS))
    of = watching({**ERRORS, "query": "another"})
    at = asker.ask_at(of)
    assert at is not None
    assert at <= stage.clock.seconds
    assert (await asked(stage, asker, of))[0] == ["another"]


# -- what it makes of the answers --------------------------------------------------------------------------------------


async def test_nobody_asked_is_not_known_and_has_no_value(stage: Stage) -> None:
    of, asker = watching(ERRORS, slos=[SLO]), made(stage)
    found = known(stage, asker, of)
    assert [state for _, state in (*found.signals, *found.slos)] == [None, None]
    assert [(item.value, item.is_known) for item in found.items] == [(None, False), (None, False)]
    assert [source.gap for source in found.sources] == [Gap.NOT_ASKED, Gap.NOT_ASKED]


async def test_a_value_outside_its_range_is_breached_when_that_lasted(stage: Stage) -> None:
    of, asker = watching({**ERRORS, "for": "1m"}), made(stage)
    stage.telemetry.values[QUERY] = 0.5
    await asker.ask(of)
    assert signal_state(stage, asker, of).state is signals.State.PENDING
    assert known(stage, asker, of).pending
    since = stage.clock.now()
    await asked(stage, asker, of, after=30)
    await asked(stage, asker, of, after=30)
    state = signal_state(stage, asker, of)
    assert (state.state, state.outside_since) == (signals.State.BREACHED, since)
    assert not known(stage, asker, of).pending


async def test_only_another_judgement_is_news_and_no_other_value(stage: Stage) -> None:
    of, asker, news = watching(ERRORS, slos=[SLO]), made(stage), []
    for value in (0.001, 0.002, 0.5, 0.6, Gap.UNREACHABLE, Gap.UNREACHABLE, 0.001):
        stage.telemetry.values[QUERY] = value
        news.append((await asked(stage, asker, of, after=30))[1])
    assert news == [True, False, True, False, True, False, True]


async def test_a_value_that_flaps_for_an_hour_is_told_once_and_its_end_once(stage: Stage) -> None:
    of, asker, news = watching(ERRORS), made(stage), 0
    for number in range(120):
        stage.telemetry.values[QUERY] = 0.001 if number % 2 else 0.5
        news += (await asked(stage, asker, of, after=30))[1]
    assert news == 1
    for _ in range(2):
        news += (await asked(stage, asker, of, after=30))[1]
    assert (news, signal_state(stage, asker, of).state) == (2, signals.State.PASSING)


async def test_another_reason_for_a_gap_is_news(stage: Stage) -> None:
    of, asker = watching(ERRORS), made(stage)
    stage.telemetry.values[QUERY] = Gap.UNREACHABLE
    await asker.ask(of)
    stage.telemetry.values[QUERY] = Gap.REFUSED
    assert (await asked(stage, asker, of, after=30))[1]


@pytest.mark.parametrize("why", [Gap.NO_DATA, Gap.UNREACHABLE, Gap.REFUSED, Gap.NOT_A_NUMBER])
async def test_a_gap_is_unknown_and_keeps_what_was_known(stage: Stage, why: Gap) -> None:
    of, asker = watching(ERRORS), made(stage)
    await asker.ask(of)
    stage.telemetry.values[QUERY] = why
    await asked(stage, asker, of, after=30)
    found = known(stage, asker, of)
    assert signal_state(stage, asker, of).state is signals.State.UNKNOWN
    assert [(item.value, item.is_known) for item in found.items] == [(1.0, False)]
    assert [source.gap for source in found.sources] == [why]


async def test_a_sample_that_is_too_old_is_a_gap(stage: Stage) -> None:
    of, asker = watching({**ERRORS, "staleAfter": "2m"}), made(stage)
    stage.telemetry.age = 121
    await asker.ask(of)
    state = signal_state(stage, asker, of)
    assert (state.state, state.gap) == (signals.State.UNKNOWN, Gap.STALE)


async def test_what_is_not_asked_for_any_more_becomes_too_old(stage: Stage) -> None:
    of, asker = watching({**ERRORS, "staleAfter": "2m"}, slos=[{**SLO, "staleAfter": "2m"}]), made(stage)
    await asker.ask(of)
    change = asker.next_change(of)
    assert change is not None
    assert change > stage.clock.now()
    stage.clock.seconds += 3600
    found = known(stage, asker, of)
    assert [item.is_known for item in found.items] == [False, False]
    assert asker.next_change(of) is None


async def test_the_worst_of_several_series_counts(stage: Stage) -> None:
    of, asker = watching(ERRORS), made(stage)
    stage.telemetry.values[QUERY] = (0.0, 0.4, 0.002)
    await asker.ask(of)
    state = signal_state(stage, asker, of)
    assert (state.state, state.value) == (signals.State.BREACHED, 0.4)


# -- after a restart ---------------------------------------------------------------------------------------------------


async def test_what_was_known_before_a_restart_is_known_until_something_else_is(stage: Stage) -> None:
    of, before = watching(ERRORS, slos=[SLO]), made(stage)
    stage.telemetry.values[QUERY] = 0.5
    await before.ask(of)
    status = told(before, stage, of)
    stage.clock.seconds += 60
    after = made(stage, status)
    assert signal_state(stage, after, of) == signal_state(stage, before, of)
    assert slo_state(stage, after, of).state is slo.State.MET
    assert [item.is_known for item in known(stage, after, of).items] == [True, True]
    stage.telemetry.values[QUERY] = Gap.UNREACHABLE
    await after.ask(of)
    state = signal_state(stage, after, of)
    assert (state.state, state.last_known) == (signals.State.UNKNOWN, signals.State.BREACHED)


async def test_since_survives_a_restart_and_the_same_answer_is_news_only_once(stage: Stage) -> None:
    of, before = watching(ERRORS), made(stage)
    await before.ask(of)
    since = signal_state(stage, before, of).since
    stage.clock.seconds += 60
    after = made(stage, told(before, stage, of))
    assert (await asked(stage, after, of))[1], "who waited for the first answer goes on"
    assert not (await asked(stage, after, of, after=30))[1]
    assert signal_state(stage, after, of).since == since


async def test_what_is_too_old_at_the_start_is_not_known_for_a_moment(stage: Stage) -> None:
    of, before = watching(ERRORS, slos=[SLO]), made(stage)
    await before.ask(of)
    status = told(before, stage, of)
    stage.clock.seconds += 300
    after = made(stage, status)
    assert [(item.value, item.is_known) for item in known(stage, after, of).items] == [(1.0, False), (1.0, False)]
    assert after.next_change(of) is None


async def test_what_is_young_enough_at_the_start_holds_until_it_could_have_been_asked_for(stage: Stage) -> None:
    of, before = watching(ERRORS, slos=[SLO]), made(stage)
    await before.ask(of)
    status = told(before, stage, of)
    stage.clock.seconds += 299
    after, end = made(stage, status), stage.clock.now() + telemetry_stage.RECALLED
    assert after.next_change(of) == end, "a pass tells it then"
    stage.clock.seconds += telemetry_stage.RECALLED.total_seconds() - 1
    assert [(item.value, item.is_known) for item in known(stage, after, of).items] == [(1.0, True), (1.0, True)]
    assert after.next_change(of) == end
    stage.clock.seconds += 1
    assert [(item.value, item.is_known) for item in known(stage, after, of).items] == [(1.0, False), (1.0, False)]
    assert after.next_change(of) is None


async def test_what_was_known_just_before_the_start_gets_too_old_in_its_own_time(stage: Stage) -> None:
    of, before = watching(ERRORS, slos=[SLO]), made(stage)
    await before.ask(of)
    status, taken = told(before, stage, of), stage.clock.now()
    stage.clock.seconds += 60
    after = made(stage, status)
    assert after.next_change(of) == taken + timedelta(minutes=5)
    stage.clock.seconds += 60
    assert [item.is_known for item in known(stage, after, of).items] == [True, True]


async def test_a_pending_signal_that_was_recalled_is_not_breached_before_it_could_have_been_asked_for(stage: Stage) -> None:
    of, before = watching({**ERRORS, "for": "1m"}), made(stage)
    stage.telemetry.values[QUERY] = 0.5
    await before.ask(of)
    status = told(before, stage, of)
    stage.clock.seconds += 50
    after = made(stage, status)
    stage.clock.seconds += telemetry_stage.RECALLED.total_seconds() - 1
    assert signal_state(stage, after, of).state is signals.State.PENDING
    stage.clock.seconds += 1
    assert signal_state(stage, after, of).state is signals.State.BREACHED


@pytest.mark.parametrize(
    "status",
    [
        {"vital": {"signals": ["x", None, {"name": 3}], "slos": [[], {"state": "Met"}]}},
        {"vital": {"signals": [{"name": "errors", "state": "Passing", "since": "0001-01-01T00:00:00Z"}]}},
        {"vital": None},
    ],
)
async def test_nonsense_in_the_status_is_nothing_that_is_known(stage: Stage, status: dict[str, Any]) -> None:
    of, after = watching(ERRORS, slos=[SLO]), made(stage, status)
    assert [item.value for item in known(stage, after, of).items] == [None, None]


# -- credentials, and what is counted here -----------------------------------------------------------------------------


async def test_a_secret_that_is_missing_is_a_refusal_and_indicators_are_read_all_the_same(stage: Stage) -> None:
    stage.telemetry.values["Restarts"] = 0.0
    of = spec(vital=vital(signals=[ERRORS, {"name": "restarts", "indicator": "Restarts", "max": "3"}], slos=[SLO], prometheus=NAMED))
    asker = made(stage)
    assert (await asked(stage, asker, of))[0] == ["Restarts"]
    found = known(stage, asker, of)
    assert [source.gap for source in found.sources] == [Gap.REFUSED, None, Gap.REFUSED]
    assert "prometheus" in signal_state(stage, asker, of).message


async def test_indicators_alone_need_no_secret(stage: Stage) -> None:
    of = spec(vital=vital(signals=[{"name": "restarts", "indicator": "Restarts", "max": "3"}], prometheus=NAMED))
    await made(stage).ask(of)
    assert stage.references.reads == []


async def test_the_secret_is_never_older_than_a_minute(stage: Stage) -> None:
    stage.references.data["Secret", "default", "prometheus"] = {"bearerToken": b"x"}
    of, asker = spec(vital=vital(signals=[ERRORS], slos=[SLO], prometheus=NAMED)), made(stage)
    await asker.ask(of)
    assert set(stage.references.reads) == {("Secret", "prometheus", telemetry_stage.SECRET_SECONDS)}
    assert signal_state(stage, asker, of).state is signals.State.PASSING


async def test_pods_are_counted_from_what_is_watched() -> None:
    stage = Stage()
    await stage.commit(body("web", of=DEPLOYMENT, spec={"replicas": 4}), body("api", of=DEPLOYMENT, spec={"replicas": 4}))
    stage.cluster.bring_up(ref("web", of=DEPLOYMENT))
    of = spec(vital={"signals": [{"name": "pods", "indicator": "PodsReady", "min": "0.9"}]})
    asker = made(stage)
    assert (await asked(stage, asker, of))[0] == [], "nobody else is asked"
    state = signal_state(stage, asker, of)
    assert (state.value, state.state) == (0.5, signals.State.BREACHED)


async def test_nothing_is_counted_in_the_cluster_before_anything_was_placed(stage: Stage) -> None:
    stage.telemetry.values["Restarts"] = 0.0
    of, asker = watching(ERRORS, {"name": "restarts", "indicator": "Restarts", "max": "3"}), made(stage)
    asker.is_placed = False
    assert (await asked(stage, asker, of))[0] == [QUERY]
    asker.is_placed = True
    at = asker.ask_at(of)
    assert at is not None
    assert at <= stage.clock.seconds
    assert (await asked(stage, asker, of))[0] == ["Restarts"]


# -- another spec ------------------------------------------------------------------------------------------------------


async def test_another_query_starts_anew(stage: Stage) -> None:
    asker, of = made(stage), watching({**ERRORS, "for": "5m"})
    stage.telemetry.values |= {QUERY: 0.5, "another": 0.5}
    for _ in range(12):
        await asked(stage, asker, of, after=30)
    assert signal_state(stage, asker, of).state is signals.State.BREACHED
    changed = watching({**ERRORS, "for": "5m", "query": "another"})
    assert known(stage, asker, changed).signals[0][1] is None
    assert (await asked(stage, asker, changed))[1]
    assert signal_state(stage, asker, changed).state is signals.State.PENDING


ELSEWHERE = [
    pytest.param({"url": "http://another:9090"}, id="url"),
    pytest.param(NAMED, id="credentials"),
]


@pytest.mark.parametrize("where", ELSEWHERE)
async def test_what_another_server_said_is_no_answer(stage: Stage, where: Mapping[str, Any]) -> None:
    stage.references.data["Secret", "default", "prometheus"] = {"bearerToken": b"x"}
    asker, of = made(stage), watching(ERRORS, slos=[SLO])
    moved = spec(vital=vital(signals=[ERRORS], slos=[SLO], prometheus=where))
    stage.telemetry.values[QUERY] = 0.5
    await asker.ask(of)
    assert signal_state(stage, asker, of).state is signals.State.BREACHED
    found = known(stage, asker, moved)
    assert [state for _, state in (*found.signals, *found.slos)] == [None, None]
    at = asker.ask_at(moved)
    assert at is not None
    assert at <= stage.clock.seconds
    stage.telemetry.values[QUERY] = 0.001
    texts, is_news = await asked(stage, asker, moved)
    assert (QUERY in texts, len(texts) > 1, is_news) == (True, True, True)
    assert signal_state(stage, asker, moved).state is signals.State.PASSING
    assert known(stage, asker, of).signals[0][1] is None, "and what it said is forgotten"


@pytest.mark.parametrize("where", ELSEWHERE)
async def test_what_the_status_told_of_another_server_is_not_recalled(stage: Stage, where: Mapping[str, Any]) -> None:
    of, before = watching(ERRORS, slos=[SLO]), made(stage)
    await before.ask(of)
    after = made(stage, told(before, stage, of))
    assert [item.is_known for item in known(stage, after, of).items] == [True, True]
    moved = spec(vital=vital(signals=[ERRORS], slos=[SLO], prometheus=where))
    assert [state for _, state in (*known(stage, after, moved).signals, *known(stage, after, moved).slos)] == [None, None]


async def test_what_the_status_told_of_another_spec_is_not_recalled_since_a_name_may_stand_for_another_query(stage: Stage) -> None:
    of, before = watching(ERRORS, slos=[SLO]), made(stage)
    await before.ask(of)
    status = {**told(before, stage, of), "observedGeneration": 3}
    other = watching({**ERRORS, "query": "another"}, slos=[{**SLO, "good": "another"}])
    after = made(stage, status, generation=4)
    assert [state for _, state in (*known(stage, after, other).signals, *known(stage, after, other).slos)] == [None, None]
    at = after.ask_at(other)
    assert at is not None
    assert at <= stage.clock.seconds
    assert [item.is_known for item in known(stage, made(stage, status, generation=3), of).items] == [True, True]


@pytest.mark.parametrize(("generation", "states"), [(1, ["Passing"]), (2, [])], ids=["the same spec", "another spec"])
async def test_after_a_restart_the_status_goes_on_telling_what_it_told_only_if_the_spec_is_the_same(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, generation: int, states: list[str]
) -> None:
    monkeypatch.setattr(telemetry_stage, "FIRST_ANSWERS_SECONDS", 0.01)
    stage.spec = watching(ERRORS)
    await stage.commit(body("a"))
    await stage.ask()
    await Life(stage, await stage.run()).runs()
    assert stage.status["vital"]["signals"][0]["state"] == "Passing"
    stage.telemetry.answers = asyncio.Event()
    stage.restart(status=stage.status, generation=generation)
    await stage.look()
    await stage.run()
    assert [one["state"] for one in stage.status["vital"].get("signals", ())] == states
    assert stage.condition("Healthy")[0] == ("True" if states else "Unknown")


async def test_an_slo_that_held_new_revisions_back_does_so_after_a_restart_with_another_spec_until_it_was_asked_for(stage: Stage) -> None:
    of, before = watching(slos=[SLO]), made(stage)
    stage.telemetry.samples[GOOD] = BURNING
    await before.ask(of)
    after = made(stage, {**told(before, stage, of), "observedGeneration": 3}, generation=4)
    assert "nobody has asked since the start" in text(after.burning(of))
    stage.telemetry.samples[GOOD] = 0.0
    await after.ask(of)
    assert after.burning(of) is None


async def test_an_answer_of_another_server_that_comes_late_is_none(stage: Stage) -> None:
    stage.telemetry = telemetry = Slow(stage.clock, {"slow": 50.0})
    stage.restart()
    load = {"name": "load", "query": "slow", "max": "1"}
    of, moved = watching(load), spec(vital=vital(signals=[load], prometheus={"url": "http://another:9090"}))
    asker = made(stage)
    late = asyncio.create_task(asker.ask(of))
    await asyncio.sleep(0)
    telemetry.may_go_on.set()
    await late
    assert known(stage, asker, moved).signals[0][1] is None


async def test_an_indicator_has_no_server_that_it_is_asked_of(stage: Stage) -> None:
    stage.telemetry.values["Restarts"] = 0.0
    restarts, asker = {"name": "restarts", "indicator": "Restarts", "max": "3"}, made(stage)
    await asker.ask(watching(restarts))
    moved = spec(vital=vital(signals=[restarts], prometheus={"url": "http://another:9090"}))
    assert signal_state(stage, asker, moved).state is signals.State.PASSING


async def test_what_is_not_declared_any_more_is_not_asked_for(stage: Stage) -> None:
    asker = made(stage)
    await asker.ask(watching(ERRORS, slos=[SLO]))
    await asker.ask(spec())
    assert asker.ask_at(spec()) is None
    assert (known(stage, asker, spec()).signals, known(stage, asker, spec()).slos) == ((), ())


# -- the gate ----------------------------------------------------------------------------------------------------------

BURNING = 0.01


def text(block: Block | None) -> str:
    """Why new revisions wait; empty if they do not."""
    return block.message if block else ""


async def test_without_slos_nothing_burns(stage: Stage) -> None:
    assert made(stage).burning(watching(ERRORS)) is None


async def test_until_an_slo_was_asked_for_once_it_holds_new_revisions(stage: Stage) -> None:
    of, asker = watching(slos=[SLO]), made(stage)
    assert "availability" in text(asker.burning(of))
    await asker.ask(of)
    assert asker.burning(of) is None


@pytest.mark.parametrize("why", [Gap.UNREACHABLE, Gap.NO_DATA, Gap.REFUSED])
async def test_an_slo_that_never_was_known_holds_nothing(stage: Stage, why: Gap) -> None:
    of, asker = watching(slos=[SLO]), made(stage)
    stage.telemetry.samples[GOOD] = why
    await asker.ask(of)
    assert asker.burning(of) is None


async def test_a_budget_that_burns_holds_and_says_how_to_let_a_commit_pass(stage: Stage) -> None:
    of, asker = watching(slos=[SLO]), made(stage)
    stage.telemetry.samples[GOOD] = BURNING
    await asker.ask(of)
    assert text(asker.burning(of)).startswith("SLO availability: ")
    assert "--fix" in text(asker.burning(of))


async def test_the_gate_stays_closed_while_nothing_is_known_also_over_a_restart(stage: Stage) -> None:
    of, asker = watching(slos=[SLO]), made(stage)
    stage.telemetry.samples[GOOD] = BURNING
    await asker.ask(of)
    assert text(asker.burning(of))
    status = told(asker, stage, of)
    stage.telemetry.samples[GOOD] = Gap.UNREACHABLE
    for _ in range(40):
        await asked(stage, asker, of, after=60)
    assert slo_state(stage, asker, of).state is slo.State.UNKNOWN
    assert text(asker.burning(of))
    after = made(stage, status)
    assert "nobody has asked since the start" in text(after.burning(of))
    await after.ask(of)
    assert slo_state(stage, after, of).state is slo.State.UNKNOWN
    assert text(after.burning(of))


async def test_the_gate_opens_when_the_budget_lasts_again(stage: Stage) -> None:
    of, asker = watching(slos=[SLO]), made(stage)
    stage.telemetry.samples[GOOD] = BURNING
    await asker.ask(of)
    assert text(asker.burning(of))
    stage.telemetry.samples[GOOD] = 0.0
    for _ in range(62):
        await asked(stage, asker, of, after=30)
    assert asker.burning(of) is None


async def test_a_gate_that_is_off_holds_nothing_and_remembers_nothing(stage: Stage) -> None:
    of, off = watching(slos=[SLO]), watching(slos=[SLO], gates={"errorBudget": "Off"})
    asker = made(stage)
    assert asker.burning(off) is None
    stage.telemetry.samples[GOOD] = BURNING
    await asker.ask(of)
    assert text(asker.burning(of))
    assert asker.burning(off) is None
    stage.telemetry.samples[GOOD] = Gap.NO_DATA
    for _ in range(40):
        await asked(stage, asker, of, after=60)
    assert asker.burning(of) is None


async def test_the_status_alone_tells_what_holds(stage: Stage) -> None:
    of, asker = watching(slos=[SLO]), made(stage)
    await asker.ask(of)
    assert telemetry_stage.burning(of, told(asker, stage, of)) is None
    stage.telemetry.samples[GOOD] = BURNING
    for _ in range(62):
        await asked(stage, asker, of, after=30)
    status = told(asker, stage, of)
    assert text(telemetry_stage.burning(of, status)).startswith("SLO availability: ")
    assert telemetry_stage.burning(watching(ERRORS), status) is None, "it is not declared any more"
    assert telemetry_stage.burning(of, {}) is None


async def test_an_slo_that_is_not_declared_any_more_hides_no_other(stage: Stage) -> None:
    both = watching(slos=[{**SLO, "name": "a"}, {**SLO, "name": "b"}])
    asker = made(stage)
    stage.telemetry.samples[GOOD] = BURNING
    await asker.ask(both)
    assert "SLO b" in text(telemetry_stage.burning(watching(slos=[{**SLO, "name": "b"}]), told(asker, stage, both)))


async def unknown_after_burning(stage: Stage, of: ClusterStateSpec) -> TelemetryStage:
    """It burnt, and then Prometheus went away."""
    asker = made(stage)
    stage.telemetry.samples[GOOD] = BURNING
    await asker.ask(of)
    assert text(asker.burning(of))
    stage.telemetry.samples[GOOD] = Gap.UNREACHABLE
    for _ in range(20):
        await asked(stage, asker, of, after=60)
    assert slo_state(stage, asker, of).state is slo.State.UNKNOWN
    assert text(asker.burning(of))
    return asker


async def test_a_gate_that_is_closed_and_not_known_stays_closed_over_a_restart(stage: Stage) -> None:
    of = watching(slos=[SLO])
    asker = await unknown_after_burning(stage, of)
    after = made(stage, told(asker, stage, of))
    await after.ask(of)
    assert text(after.burning(of))


async def test_the_status_alone_tells_a_gate_that_is_closed_and_not_known(stage: Stage) -> None:
    of = watching(slos=[SLO])
    assert text(telemetry_stage.burning(of, told(await unknown_after_burning(stage, of), stage, of)))


async def test_the_status_alone_tells_nothing_of_an_slo_that_never_was_known(stage: Stage) -> None:
    of, asker = watching(slos=[SLO]), made(stage)
    stage.telemetry.samples[GOOD] = Gap.UNREACHABLE
    await asker.ask(of)
    assert asker.burning(of) is None
    assert telemetry_stage.burning(of, told(asker, stage, of)) is None


# -- what must not happen ----------------------------------------------------------------------------------------------


async def test_the_first_answer_after_a_restart_is_news_since_a_commit_may_wait_for_it(stage: Stage) -> None:
    of, before = watching(slos=[SLO]), made(stage)
    await before.ask(of)
    after = made(stage, told(before, stage, of))
    assert "was not asked for yet" in text(after.burning(of))
    assert (await asked(stage, after, of))[1]


async def test_a_query_that_comes_back_starts_anew(stage: Stage) -> None:
    asker, of, other = made(stage), watching({**ERRORS, "for": "5m"}), watching({**ERRORS, "query": "another"})
    stage.telemetry.values |= {QUERY: 0.5, "another": 0.0}
    for _ in range(12):
        await asked(stage, asker, of, after=30)
    assert signal_state(stage, asker, of).state is signals.State.BREACHED
    await asker.ask(other)
    stage.clock.seconds += 86400
    await asker.ask(other)
    assert known(stage, asker, of).signals[0][1] is None


async def test_a_query_that_is_edited_again_and_again_leaves_nothing_behind(stage: Stage) -> None:
    asker = made(stage)
    for number in range(20):
        await asker.ask(watching({**ERRORS, "query": f"q{number}"}))
    assert len(asker._signals) <= 2


async def test_another_bound_counts_at_once(stage: Stage) -> None:
    asker, strict = made(stage), watching({**ERRORS, "interval": "1h", "staleAfter": "2h"})
    stage.telemetry.values[QUERY] = 0.05
    await asker.ask(strict)
    assert known(stage, asker, strict).items[0].is_breached
    lax = watching({**ERRORS, "interval": "1h", "staleAfter": "2h", "max": "0.1"})
    at = asker.ask_at(lax)
    assert not known(stage, asker, lax).items[0].is_breached or (at is not None and at <= stage.clock.seconds)


class Broken(FakeTelemetry):
    """Has a fault: what its port promises never to do."""

    async def read(self, *_: Any, **__: Any) -> Reading:
        raise ZeroDivisionError("nobody foresaw this")


async def test_a_fault_in_one_question_is_a_gap_and_no_other_answer_is_lost(stage: Stage) -> None:
    stage.telemetry = Broken(stage.clock, samples={GOOD: 0.0})
    stage.restart()
    of, asker = watching(ERRORS, slos=[SLO]), made(stage)
    await asker.ask(of)
    assert [item.is_known for item in known(stage, asker, of).items] == [False, True]
    state = signal_state(stage, asker, of)
    assert state.gap is Gap.QUERY_FAILED
    assert telemetry_stage.OUR_FAULT in state.message
    assert [type(error) for error in stage.reporter.faults] == [ZeroDivisionError]


class HalfAway(FakeTelemetry):
    """Answers only questions about an hour and less, from some time on."""

    is_away = False

    async def answer(self, server: Server, query: BudgetQuery, *, timeout_seconds: float) -> Answer:
        now, ratio = self.clock.now(), {True: 0.0007}
        if self.is_away and query.windows[-1] > 3600:
            return slo_queries.no_answer(query, Gap.UNREACHABLE, "it took too long", asked_at=now)
        series: list[tuple[dict[str, str], float]] = []
        for window in query.windows:
            marks = {slo_queries.WINDOW_LABEL: saved.length_text(window)}
            errors = ratio.get(window > 7200, 0.01)
            series.append(({**marks, slo_queries.SIDE_LABEL: slo_queries.Side.GOOD}, 1e6 * (1 - errors)))
            series.append(({**marks, slo_queries.SIDE_LABEL: slo_queries.Side.TOTAL}, 1e6))
        series.append(({slo_queries.SIDE_LABEL: slo_queries.Side.TAKEN}, now.timestamp()))
        return slo_queries.answer(query, series, asked_at=now)


async def test_an_slo_burns_also_while_its_long_window_is_not_known(stage: Stage) -> None:
    stage.telemetry = telemetry = HalfAway(stage.clock)
    stage.restart()
    of, asker = watching(slos=[SLO]), made(stage)
    await asker.ask(of)
    assert slo_state(stage, asker, of).state is slo.State.BURNING
    telemetry.is_away = True
    for _ in range(180):
        await asked(stage, asker, of, after=30)
        assert slo_state(stage, asker, of).state is slo.State.BURNING


async def test_time_alone_never_changes_something_in_the_past(stage: Stage) -> None:
    stage.telemetry = telemetry = HalfAway(stage.clock)
    stage.restart()
    of, asker = watching(slos=[SLO]), made(stage)
    await asker.ask(of)
    telemetry.is_away = True
    for _ in range(360):
        await asked(stage, asker, of, after=15)
        known(stage, asker, of)
        change = asker.next_change(of)
        assert change is None or change > stage.clock.now()


class Moody(FakeTelemetry):
    """Says each time in other words what is wrong."""

    async def read(self, *_: Any, **__: Any) -> Reading:
        self.asked.append("it")
        return gap(Gap.QUERY_FAILED, f"many-to-many matching: instance=10.0.0.{len(self.asked)}", asked_at=datetime(2026, 1, 1, tzinfo=UTC))


async def test_other_words_for_the_same_gap_are_no_news(stage: Stage) -> None:
    stage.telemetry = Moody(stage.clock)
    stage.restart()
    of, asker = watching(ERRORS), made(stage)
    news = []
    for _ in range(5):
        stage.clock.seconds += 30
        news.append(await asker.ask(of))
    assert news == [True, False, False, False, False]


class Slow(FakeTelemetry):
    """One question is answered when the test says, for example by a query that reads a year."""

    def __init__(self, clock: FakeClock, values: dict[str, float | tuple[float, ...] | Gap]) -> None:
        super().__init__(clock, values)
        self.may_go_on = asyncio.Event()

    async def read(self, server: Server, query: str, **more: Any) -> Reading:
        if query == "slow":
            await self.may_go_on.wait()
        return await super().read(server, query, **more)


async def test_a_slow_answer_keeps_no_other_back(stage: Stage) -> None:
    stage.telemetry = telemetry = Slow(stage.clock, {QUERY: 0.001, "slow": 0.0})
    stage.restart()
    of, asker = watching({"name": "slow", "query": "slow", "max": "1", "timeout": "10m"}, ERRORS), made(stage)
    asking = asyncio.create_task(asker.ask(of))
    for _ in range(20):
        await asyncio.sleep(0)
    found = known(stage, asker, of)
    telemetry.may_go_on.set()
    await asking
    assert [item.is_known for item in found.items] == [False, True]


class OnceBroken(FakeTelemetry):
    """Has one bad moment."""

    is_broken = True

    async def read(self, server: Server, query: str, **more: Any) -> Reading:
        if self.is_broken:
            raise ZeroDivisionError("nobody foresaw this")
        return await super().read(server, query, **more)


async def test_after_a_fault_it_is_asked_again(stage: Stage) -> None:
    stage.telemetry = telemetry = OnceBroken(stage.clock, {QUERY: 0.001})
    stage.restart()
    of, asker = watching(ERRORS), made(stage)
    with contextlib.suppress(ZeroDivisionError):
        await asker.ask(of)
    telemetry.is_broken = False
    stage.clock.seconds += 600
    await asker.ask(of)
    assert known(stage, asker, of).items[0].is_known
