"""What an outcome says of the configuration, and of the health of objects that were never made: as values, and in passes of the pipeline.

Aspects: each fault counts once, by its worst · what waits, and what left Git · what was never made: behind a gate, in a later wave, in mode Observe · failures that
are young · what cannot be read hides nothing that was wrong · what cannot be seen · more that is wrong is never better.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator import errors
from cvstate_operator.api.change_plan import PlanAction
from cvstate_operator.api.drift import DriftAction, Severity
from cvstate_operator.drift.coverage import FieldDrift
from cvstate_operator.drift.ledger import Entry, State
from cvstate_operator.objects.identity import ObjectRef
from cvstate_operator.objects.problem import Problem
from cvstate_operator.plan.changes import Action, Change
from cvstate_operator.plan.consent import Item
from cvstate_operator.plan.prune import Pruning, Waiting
from cvstate_operator.reconcile.configuration import Found, configuration_of, found_of, health_of
from cvstate_operator.reconcile.health import Health
from cvstate_operator.reconcile.ledger import YOUNG_SECONDS
from cvstate_operator.reconcile.outcome import Consent, Held, Outcome, Unmade, Waits
from cvstate_operator.vital.health.lapse import HealthCounts, Lapse, Level
from cvstate_operator.vital.verdicts import compliance, score
from cvstate_operator.vital.verdicts.compliance import Configuration, Doubt, Fault
from tests.unit.builders import CONFIG_MAP, DEPLOYMENT, WIDGET, body, live, problem, ref
from tests.unit.reconcile.fakes import Stage, spec
from tests.unit.reconcile.vital_specs import SLO, Life, converged, watching

KIND = CONFIG_MAP.gvk.group_kind
NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
A, B = ref("a"), ref("b")
UNREADABLE = replace(problem(), object="")


def made(**changes: Any) -> Outcome:
    """Ten objects, all as declared."""
    return replace(converged(10, health=Health(counts=HealthCounts(ready=10)), kinds=(KIND,)), **changes)


def entry(severity: Severity) -> Entry:
    return Entry(FieldDrift("/data/x", "a", "b", "kubectl", ""), severity, DriftAction.AUTO, State.REPAIRING, NOW)


def drifted(one: ObjectRef, *severities: Severity) -> tuple[tuple[ObjectRef, tuple[Entry, ...]], ...]:
    return ((one, tuple(entry(severity) for severity in severities)),)


def pruned(name: str) -> Change:
    return Change(ref(name), Action.PRUNE, None, live())


def counted(outcome: Outcome, **known: Any) -> Configuration:
    """The configuration of one pass."""
    about = {name: known[name] for name in ("seen", "passing") if name in known}
    return configuration_of(outcome, found_of(outcome, **known), **about)


# -- each by its worst ---------------------------------------------------------------------------------------------------


def test_where_all_is_as_declared_nothing_is_wrong() -> None:
    found = counted(made())
    assert (compliance.share(found), found.doubts) == (1.0, ())


@pytest.mark.parametrize("severity", list(Severity))
def test_drift_counts_by_its_severity(severity: Severity) -> None:
    assert counted(made(drift=drifted(A, severity))).drift == {severity: 1}


def test_an_object_counts_once_by_its_worst_field() -> None:
    assert counted(made(drift=drifted(A, Severity.LOW, Severity.CRITICAL, Severity.MEDIUM))).drift == {Severity.CRITICAL: 1}


def test_what_is_missing_is_not_applied_and_no_drift_besides() -> None:
    found = counted(made(missing=(A,), drift=drifted(A, Severity.HIGH)))
    assert (found.failed, dict(found.drift)) == (1, {})


def test_what_could_not_be_applied_is_not_applied() -> None:
    assert counted(made(failing=(A, B))).failed == 2
    assert counted(made(unjudged=(A, B))).failed == 0, "nothing was tried"


@pytest.mark.parametrize("also", ["failing", "missing"])
def test_critical_drift_whose_repair_fails_is_critical_drift_still(also: str) -> None:
    changes: dict[str, Any] = {also: (A,)}
    found = counted(made(drift=drifted(A, Severity.CRITICAL), **changes))
    assert (found.count(Fault.CRITICAL_DRIFT), found.failed) == (1, 0)


def test_the_problem_of_an_object_is_not_counted_besides_the_object() -> None:
    found = counted(made(problems=(problem(),), failing=(ref("1"),)))
    assert (found.desired, found.failed) == (10, 1)


# -- what waits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"held": Held(updates=2, waiting=(A, B))},
        {"held": Held(left=(A, B))},
        {"unmade": Unmade(coming=(A, B))},
        {"unmade": Unmade(later=(A, B))},
        {"unmade": Unmade(dependent=(A, B))},
        {"unmade": Unmade(unwatched=(A, B))},
        {"failing": (A, B), "passing": (A, B)},
        {"consent": Consent(tuple(Waits(Item(PlanAction.RECREATE, one, "uid"), "why") for one in (A, B)))},
    ],
    ids=["updates", "left", "coming", "later", "dependent", "unwatched", "passing", "recreate"],
)
def test_what_waits_is_held(changes: dict[str, Any]) -> None:
    found = counted(made(**changes))
    assert (found.held, found.failed, found.leaving) == (2, 0, 0)


@pytest.mark.parametrize(
    "pruning",
    [
        Pruning(deferred=(pruned("x"), pruned("y"))),
        Pruning(waiting=(Waiting((pruned("x"), pruned("y")), "limits"),)),
        Pruning(held=(ref("x"), ref("y")), objection="not sure"),
    ],
    ids=["deferred", "waiting", "held"],
)
def test_what_left_git_and_is_still_there_is_held_and_told_apart_from_what_is_declared(pruning: Pruning) -> None:
    found = counted(made(pruning=pruning))
    assert (found.held, found.leaving, found.count(Fault.HELD)) == (0, 2, 2)
    (pull,) = score.evaluate(found, HealthCounts(ready=10), []).pulls
    assert pull.message == "2 objects that left Git are still there"


def test_deletes_and_updates_that_wait_are_counted_each() -> None:
    outcome = made(held=Held(waiting=(A,)), pruning=Pruning(held=(ref("x"),), objection="not sure"))
    (pull,) = score.evaluate(counted(outcome), HealthCounts(ready=10), []).pulls
    assert pull.message == "1 of 10 objects held back; 1 object that left Git is still there"


def test_however_many_deletes_wait_they_cost_no_more_than_if_everything_waited() -> None:
    many = tuple(pruned(f"x{number}") for number in range(500))
    assert compliance.share(counted(made(pruning=Pruning(deferred=many)))) == pytest.approx(0.9)
    assert compliance.share(counted(made(desired=0, pruning=Pruning(deferred=many)))) == pytest.approx(0.9)


# -- what was never made -------------------------------------------------------------------------------------------------


def test_what_a_gate_keeps_from_being_made_is_neither_applied_nor_there() -> None:
    outcome = made(unmade=Unmade(held=(A, B)), health=Health(counts=HealthCounts(ready=8)))
    found = found_of(outcome)
    assert health_of(outcome, found) == HealthCounts(ready=8, missing=2)
    assert (configuration_of(outcome, found).failed, configuration_of(outcome, found).absent) == (2, 2)


@pytest.mark.parametrize(("is_stuck", "health"), [(False, HealthCounts(8, progressing=2)), (True, HealthCounts(8, missing=2))])
def test_what_later_waves_bring_is_on_its_way_until_it_took_too_long(is_stuck: bool, health: HealthCounts) -> None:
    outcome = made(unmade=Unmade(later=(A, B)), health=Health(counts=HealthCounts(ready=8)))
    found = found_of(outcome, is_stuck=is_stuck)
    assert health_of(outcome, found) == health
    assert configuration_of(outcome, found).count(Fault.NOT_APPLIED if is_stuck else Fault.HELD) == 2


def test_what_is_not_there_pulls_once_and_by_all_that_it_costs() -> None:
    outcome = made(unmade=Unmade(held=(A,)), health=Health(counts=HealthCounts(ready=9)))
    found = found_of(outcome)
    told = score.evaluate(configuration_of(outcome, found), health_of(outcome, found), [])
    assert [(pull.name, pull.points, pull.message) for pull in told.pulls] == [
        ("NotApplied", 30, "1 of 10 objects not applied, 1 of them not there")
    ]


# -- what cannot be read -------------------------------------------------------------------------------------------------


def test_a_file_that_cannot_be_read_declares_something_that_is_not_there() -> None:
    found = counted(made(left_out=(UNREADABLE,)))
    assert (found.desired, found.failed) == (11, 1)


@pytest.mark.parametrize("severity", list(Severity))
def test_what_is_hidden_by_a_file_counts_as_it_was_found_last(severity: Severity) -> None:
    before = found_of(made(drift=drifted(A, severity)))
    now = made(desired=9, hidden=(A,), left_out=(UNREADABLE,))
    found = found_of(now, before=before)
    assert found_of(now, before=found) == found, "for as long as it is hidden"
    assert configuration_of(now, found).drift == {severity: 1}
    assert configuration_of(now, found).desired == 11


def test_an_object_that_is_left_out_by_its_name_is_counted_once() -> None:
    now = made(desired=9, hidden=(A,), left_out=(replace(problem(), object=str(A)),))
    found = counted(now)
    assert (found.desired, found.failed) == (10, 1)


def test_what_may_stand_in_a_file_that_cannot_be_read_did_not_leave_git() -> None:
    outcome = made(desired=9, hidden=(A,), left_out=(UNREADABLE,), pruning=Pruning(held=(A, ref("x")), objection="not sure"))
    assert counted(outcome).leaving == 1


@pytest.mark.parametrize(("is_young", "expected"), [(True, (0, 1)), (False, (1, 0))], ids=["young", "lasting"])
def test_what_is_left_out_just_now_and_may_pass_by_itself_waits(is_young: bool, expected: tuple[int, int]) -> None:
    passing = replace(UNREADABLE, retryable=True)
    found = counted(made(left_out=(passing,)), passing=frozenset({passing}) if is_young else frozenset())
    assert (found.failed, found.held) == expected


# -- what cannot be seen -------------------------------------------------------------------------------------------------


def test_what_was_compared_once_and_cannot_be_seen_now_is_a_doubt() -> None:
    found = counted(made(blind_objects={KIND: 3}), seen={KIND})
    assert (found.doubts, compliance.share(found)) == ((Doubt.UNSEEN,), 1.0)


def test_what_never_was_compared_is_not_taken_for_as_declared() -> None:
    found = counted(made(blind_objects={KIND: 3}))
    assert (found.unjudged, found.doubts) == (3, ())


def test_without_a_comparison_nothing_is_said() -> None:
    assert compliance.share(counted(made(evaluated=False, kinds=()))) is None


def test_while_a_newer_commit_cannot_be_rendered_what_is_in_force_is_judged() -> None:
    assert compliance.share(counted(made(evaluated=False))) == 1.0


# -- worse is never better -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class One:
    """A declared object, as the test wants it."""

    drift: Severity | None = None
    level: Level = Level.READY
    unmade: str = ""
    """A field of Unmade; empty: it was made."""
    is_failing: bool = False
    is_passing: bool = False
    is_missing: bool = False
    is_waiting: bool = False
    is_hidden: bool = False


LEVELS = [Level.READY, Level.PROGRESSING, Level.DEGRADED, Level.FAILED]
"""Of objects that are there and seen."""


def ref_of(number: int) -> ObjectRef:
    return ref(f"o{number}", of=(CONFIG_MAP, DEPLOYMENT)[number % 2])


def outcome_of(objects: list[One], *, unreadable: int = 0) -> Outcome:
    """As a pass over these objects would tell it; what is hidden is told by its name alone."""
    told = {ref_of(number): one for number, one in enumerate(objects) if not one.is_hidden}
    hidden = tuple(ref_of(number) for number, one in enumerate(objects) if one.is_hidden)

    def those(holds: Callable[[One], bool]) -> tuple[ObjectRef, ...]:
        return tuple(one for one, state in told.items() if holds(state))

    levels = {one: Level.MISSING if state.is_missing else state.level for one, state in told.items() if not state.unmade}
    counts = HealthCounts(**{level.value.lower(): sum(each is level for each in levels.values()) for level in Level})
    lapses = {one: Lapse(NOW, level, None, "", "") for one, level in levels.items() if level is not Level.READY}
    return converged(
        len(told),
        kinds=(KIND, DEPLOYMENT.gvk.group_kind),
        drift=tuple((one, (entry(state.drift),)) for one, state in told.items() if state.drift),
        failing=those(lambda state: state.is_failing),
        passing=those(lambda state: state.is_failing and state.is_passing),
        missing=those(lambda state: state.is_missing),
        unmade=Unmade(
            held=those(lambda state: state.unmade == "held"),
            coming=those(lambda state: state.unmade == "coming"),
            later=those(lambda state: state.unmade == "later"),
            dependent=those(lambda state: state.unmade == "dependent"),
        ),
        held=Held(waiting=those(lambda state: state.is_waiting and not state.is_failing and not state.is_missing)),
        health=Health(counts=counts, lapses=lapses),
        hidden=hidden,
        left_out=tuple(Problem(f"{number}.yaml", 1, "", "NotYAML", "is no YAML") for number in range(max(unreadable, bool(hidden)))),
    )


def scored(outcome: Outcome, found: Found) -> score.Score:
    return score.evaluate(configuration_of(outcome, found), health_of(outcome, found), [])


MADE = st.builds(
    One,
    drift=st.none() | st.sampled_from(Severity),
    level=st.sampled_from(LEVELS),
    is_failing=st.booleans(),
    is_passing=st.booleans(),
    is_missing=st.booleans(),
    is_waiting=st.booleans(),
)
UNMADE = st.builds(One, unmade=st.sampled_from(["held", "coming", "later", "dependent"]))
DRIFTED = st.builds(One, drift=st.sampled_from(Severity))
OBJECTS = st.builds(
    lambda wrong, well: [*wrong, *[One()] * well], st.lists(MADE | UNMADE | DRIFTED, min_size=1, max_size=6), st.sampled_from([0, 1, 5, 40])
)
"""A few with something wrong, and others: a lonely one that is wrong everywhere caps nothing."""


def worse(one: One) -> list[One]:
    """The same object, worse in one way."""
    if one.unmade:
        return [replace(one, unmade="held")]
    found = [replace(one, is_failing=True, is_passing=False), replace(one, is_missing=True), replace(one, is_waiting=True)]
    found += [replace(one, is_failing=True, is_passing=one.is_passing or not one.is_failing)]
    severities = [None, *Severity]
    found += [replace(one, drift=each) for each in severities[severities.index(one.drift) + 1 :]]
    found += [replace(one, level=each) for each in LEVELS[LEVELS.index(one.level) + 1 :]]
    return found


@given(st.data(), OBJECTS, st.booleans(), st.integers(0, 2))
def test_an_object_that_gets_worse_never_raises_the_score(data: st.DataObject, objects: list[One], is_stuck: bool, unreadable: int) -> None:
    number = data.draw(st.integers(0, min(6, len(objects) - 1)))
    after = [*objects[:number], data.draw(st.sampled_from(worse(objects[number]))), *objects[number + 1 :]]
    one, other = (outcome_of(each, unreadable=unreadable) for each in (objects, after))
    before = scored(one, found_of(one, is_stuck=is_stuck)).score
    now = scored(other, found_of(other, is_stuck=is_stuck)).score
    assert before is not None
    assert now is not None
    assert now <= before


@given(OBJECTS)
def test_waves_that_are_stuck_never_raise_the_score(objects: list[One]) -> None:
    outcome = outcome_of(objects)
    on_their_way, stuck = (scored(outcome, found_of(outcome, is_stuck=is_stuck)).score or 0 for is_stuck in (False, True))
    assert stuck <= on_their_way


@given(st.data(), OBJECTS, st.booleans())
def test_a_file_that_becomes_unreadable_never_raises_the_score(data: st.DataObject, objects: list[One], is_stuck: bool) -> None:
    """One file after another, with any of the objects in each."""
    outcome = outcome_of(objects)
    found = found_of(outcome, is_stuck=is_stuck)
    scores = [scored(outcome, found).score or 0]
    now = objects
    for _ in range(3):
        hides = data.draw(st.lists(st.booleans(), min_size=len(now), max_size=len(now)))
        now = [replace(one, is_hidden=one.is_hidden or hide) for one, hide in zip(now, hides, strict=True)]
        outcome = outcome_of(now, unreadable=1)
        found = found_of(outcome, before=found, is_stuck=is_stuck)
        scores.append(scored(outcome, found).score or 0)
    assert scores == sorted(scores, reverse=True)


# -- in passes: what was never made --------------------------------------------------------------------------------------


def named(stage: Stage) -> dict[str, Any]:
    return {pull["name"]: pull for pull in stage.status["vital"].get("pulls", ())}


def told(stage: Stage) -> int:
    return int(stage.status["cv"]["score"])


CLOSED: dict[str, dict[str, Any]] = {
    "suspended": {"suspend": True},
    "a dependency that does not exist": {"dependsOn": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "nowhere"}]},
    "a closed window": {"windows": [{"kind": "Deny", "schedule": "0 0 * * *", "duration": "1h", "timeZone": "UTC"}]},
}


@pytest.mark.parametrize("fields", CLOSED.values(), ids=CLOSED)
async def test_where_nothing_was_ever_made_nothing_is_well_nor_acceptable(fields: dict[str, Any]) -> None:
    stage = Stage()
    stage.spec = spec(**fields)
    life = Life(stage, await stage.commit(body("a"), body("b")))
    await life.goes_on(400)
    assert stage.status["cv"]["score"] == stage.status["cv"]["configuration"] == stage.status["cv"]["vital"] == 0
    assert stage.status["vital"]["objects"] == {"ready": 0, "missing": 2}
    assert list(named(stage)) == ["NotApplied"], "and not Missing besides"
    assert stage.condition("Healthy") == ("Unknown", "NotEvaluated")
    assert stage.condition("Accepted") == ("False", "ScoreBelowMinimum")
    stage.spec = spec()
    await life.runs()
    await life.goes_on(90)
    assert (told(stage), stage.condition("Accepted")[0]) == (100, "True")


DEPENDENT: dict[str, Any] = {"dependsOn": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "nowhere"}]}


async def test_a_first_revision_that_waits_for_a_dependency_is_on_its_way_and_then_acceptable_at_once() -> None:
    stage = Stage()
    stage.spec = spec(**DEPENDENT)
    life = Life(stage, await stage.commit(body("a"), body("b")))
    assert stage.status["vital"]["objects"] == {"ready": 0, "progressing": 2}
    words = {stage.condition("Accepted")}
    await life.goes_on(280)
    words.add(stage.condition("Accepted"))
    assert (words, told(stage), list(named(stage))) == ({("Unknown", "NotEvaluated")}, 95, ["Held"])
    assert stage.condition("Healthy") == ("Unknown", "NotEvaluated")
    stage.spec = spec()
    await life.runs()
    assert (told(stage), stage.condition("Accepted")) == (100, ("True", "RequirementsMet"))


async def test_a_dependency_that_never_comes_makes_missing_what_waits_for_it_when_its_time_is_over() -> None:
    stage = Stage()
    stage.spec = spec(**DEPENDENT, vital={"degradedAfter": "2m"})
    life = Life(stage, await stage.commit(body("a"), body("b")))
    await life.goes_on(115)
    assert stage.status["vital"]["objects"]["progressing"] == 2
    await life.goes_on(10)
    assert stage.status["vital"]["objects"] == {"ready": 0, "missing": 2}
    assert (told(stage), stage.condition("Accepted")) == (0, ("False", "ScoreBelowMinimum"))


@pytest.mark.parametrize("fields", [CLOSED["suspended"], CLOSED["a closed window"]], ids=["suspended", "a closed window"])
async def test_a_gate_that_a_person_closes_makes_it_missing_at_once_also_beside_a_dependency(fields: dict[str, Any]) -> None:
    stage = Stage()
    stage.spec = spec(**DEPENDENT, **fields)
    await stage.commit(body("a"), body("b"))
    assert stage.status["vital"]["objects"] == {"ready": 0, "missing": 2}


async def test_a_dependency_that_goes_in_the_middle_of_a_revision_makes_nothing_missing_and_suspend_does() -> None:
    stage = Stage()
    await stage.commit(body("a"))
    life = Life(stage, await stage.commit(body("a"), WEB, *LATE))
    stage.spec = spec(**DEPENDENT)
    await life.runs()
    assert "missing" not in stage.status["vital"]["objects"]
    stage.spec = spec(suspend=True)
    await life.runs()
    assert stage.status["vital"]["objects"]["missing"] == 3


async def test_not_even_whoever_asks_for_nothing_accepts_what_does_not_exist() -> None:
    stage = Stage()
    stage.spec = spec(suspend=True, vital={"acceptance": {"minScore": 0, "minConfidence": 0}})
    await stage.commit(body("a"))
    assert stage.condition("Accepted") == ("Unknown", "NotEvaluated")


async def test_an_update_that_is_held_costs_little_and_is_acceptable() -> None:
    stage = Stage()
    await stage.commit(*(body(name, data={"x": "1"}) for name in "abcd"))
    stage.spec = spec(suspend=True)
    stage.git.commit(*(body(name, data={"x": "2"}) for name in "abcd"), body("new"))
    await stage.look()
    await stage.run()
    assert (told(stage), stage.condition("Accepted")[0]) == (100, "True"), "what is in force is as the revision before declares"


def wave(number: int, one: dict[str, Any]) -> dict[str, Any]:
    return {**one, "metadata": {**one["metadata"], "annotations": {"cvstate.io/wave": str(number)}}}


WEB = wave(0, body("web", of=DEPLOYMENT, spec={"replicas": 1}))
LATE = tuple(wave(1, body(name)) for name in ("b", "c", "d"))


async def test_a_first_wave_that_is_stuck_is_nothing_to_accept_and_what_comes_later_is_missing_in_the_end() -> None:
    stage = Stage()
    life = Life(stage, await stage.commit(WEB, *LATE))
    assert stage.status["vital"]["objects"] == {"ready": 0, "progressing": 4}
    words = {stage.condition("Accepted")[0]}
    for _ in range(70):
        await life.goes_on(5)
        words.add(stage.condition("Accepted")[0])
    assert words == {"Unknown", "False"}
    assert stage.status["vital"]["objects"] == {"ready": 0, "degraded": 1, "missing": 3}
    assert named(stage)["NotApplied"]["message"] == "3 of 4 objects not applied, 3 of them not there"
    assert "Missing" not in named(stage)


async def test_a_first_roll_out_in_waves_is_never_called_unacceptable() -> None:
    stage = Stage()
    life = Life(stage, await stage.commit(WEB, *LATE))
    words = [stage.condition("Accepted")[0]]
    scores = [told(stage)]
    await life.goes_on(3, step=1)
    stage.cluster.bring_up(ref("web", of=DEPLOYMENT))
    await life.runs()
    words.append(stage.condition("Accepted")[0])
    assert (words, min(scores) >= 90, told(stage)) == (["Unknown", "True"], True, 100)


async def test_a_roll_out_that_brings_more_in_a_later_wave_does_not_end_what_was_acceptable() -> None:
    stage = Stage()
    stage.cluster.comes_up = lambda live: True
    life = Life(stage, await stage.commit(WEB, LATE[0]))
    assert stage.condition("Accepted")[0] == "True"
    stage.cluster.comes_up = lambda live: False
    await life.commits(wave(0, body("web", of=DEPLOYMENT, spec={"replicas": 2})), *LATE)
    words = {stage.condition("Accepted")[0]}
    for _ in range(12):
        await life.goes_on(10)
        words.add(stage.condition("Accepted")[0])
    assert words == {"True"}
    assert "Held" in named(stage)


async def test_waves_that_are_stuck_are_told_when_their_time_is_over_without_another_trigger() -> None:
    stage = Stage()
    stage.spec = spec(vital={"degradedAfter": "2m"})
    stage.cluster.failures["web"] = [errors.InvalidError("refused")]
    outcome = await stage.commit(WEB, *LATE)
    life = Life(stage, outcome)
    await life.goes_on(115)
    assert stage.status["vital"]["objects"]["progressing"] == 3
    await life.goes_on(10)
    assert stage.status["vital"]["objects"] == {"ready": 0, "missing": 4}


async def test_a_gate_that_is_closed_for_seconds_makes_nothing_missing() -> None:
    stage = Stage()
    stage.spec = watching(slos=[SLO], gates={"errorBudget": "Hold"})
    outcome = await stage.commit(body("a"))
    assert outcome.held.block is not None
    assert outcome.held.block.is_brief
    assert stage.status["vital"]["objects"] == {"ready": 0, "progressing": 1}
    assert stage.condition("Accepted")[0] == "Unknown"


async def test_in_observe_mode_what_is_there_and_not_ours_is_unknown_and_what_is_not_is_missing() -> None:
    stage = Stage()
    stage.cluster.put({**body("a", data={"x": "1"}), "metadata": {"name": "a", "namespace": "default", "uid": "u", "resourceVersion": "1"}})
    stage.spec = spec(mode="Observe")
    await stage.commit(body("a", data={"x": "1"}), body("b"))
    assert stage.status["vital"]["objects"] == {"ready": 0, "missing": 1, "unknown": 1}
    assert stage.condition("Accepted")[0] != "True"


async def test_what_cannot_be_made_is_missing_and_told_once() -> None:
    stage = Stage()
    stage.cluster.failures["b"] = [errors.InvalidError("refused")]
    await stage.commit(body("a"), body("b"))
    assert stage.status["vital"]["objects"] == {"ready": 1, "missing": 1}
    assert list(named(stage)) == ["NotApplied"]


# -- in passes: what fails just now --------------------------------------------------------------------------------------

MANY = tuple(body(name, data={"x": "1"}) for name in "abcdefghij")


async def running() -> Life:
    stage = Stage()
    life = Life(stage, await stage.commit(*MANY))
    await life.goes_on(90)
    assert (told(stage), stage.condition("Accepted")[0]) == (100, "True")
    return life


async def test_an_error_of_the_api_server_that_passes_does_not_cost_what_is_acceptable() -> None:
    life = await running()
    life.stage.cluster.failures["a"] = [errors.ServerError("HTTP 500")] * 4
    await life.commits(body("a", data={"x": "2"}), *MANY[1:])
    words = {life.stage.condition("Accepted")[0]}
    assert "Held" in named(life.stage)
    for _ in range(10):
        await life.goes_on(4, step=1)
        words.add(life.stage.condition("Accepted")[0])
    assert words == {"True"}


async def test_one_that_lasts_does() -> None:
    life = await running()
    life.stage.cluster.failures["a"] = [errors.ServerError("HTTP 500")] * 100
    await life.commits(body("a", data={"x": "2"}), *MANY[1:])
    await life.goes_on(YOUNG_SECONDS - 10)
    assert told(life.stage) > 90
    await life.goes_on(100)
    assert (told(life.stage), life.stage.condition("Accepted")) == (70, ("False", "ScoreBelowMinimum"))


async def test_what_the_api_server_refuses_is_not_applied_at_once() -> None:
    life = await running()
    life.stage.cluster.failures["a"] = [errors.InvalidError("refused")]
    await life.commits(body("a", data={"x": "2"}), *MANY[1:])
    assert (told(life.stage), life.stage.condition("Accepted")) == (70, ("False", "ScoreBelowMinimum"))


async def test_a_render_that_fails_just_now_and_may_pass_waits_and_no_longer() -> None:
    life = await running()
    life.stage.git.build_error = errors.ReferenceMissingError("Secret default/x does not exist")
    await life.commits(*MANY[:9], body("j", data={"x": "2"}))
    await life.goes_on(YOUNG_SECONDS - 10)
    assert life.stage.condition("Accepted")[0] == "True"
    await life.goes_on(20)
    assert life.stage.condition("Accepted") == ("False", "ScoreBelowMinimum")


async def test_a_kind_that_nobody_serves_is_not_applied_unless_it_comes_soon() -> None:
    life = await running()
    assert life.stage.cluster.resource(WIDGET.gvk) is None
    await life.commits(*MANY, body("w", of=WIDGET))
    assert life.stage.condition("Accepted")[0] == "True"
    await life.goes_on(YOUNG_SECONDS + 10)
    assert life.stage.condition("Accepted")[0] == "False"


# -- in passes: what cannot be read --------------------------------------------------------------------------------------


async def test_critical_drift_stays_what_it_is_when_its_file_cannot_be_read_any_more() -> None:
    life = await running()
    stage = life.stage
    stage.spec = spec(drift={"rules": [{"kinds": ["ConfigMap"], "action": "Alert", "severity": "Critical"}]})
    stage.cluster.set_field(A, "data/x", "evil")
    await life.runs()
    assert told(stage) == 49
    stage.git.commit(*MANY[1:], problems=[UNREADABLE])
    await stage.look()
    await life.runs()
    assert told(stage) == 49
    assert "CriticalDrift" in named(stage)
    await life.commits(*MANY[1:])
    await life.goes_on(5)
    assert "CriticalDrift" not in named(stage), "now it left Git for sure"


async def test_failed_objects_stay_what_they_are_when_their_file_cannot_be_read_any_more() -> None:
    stage = Stage()
    stage.cluster.comes_up = lambda live: True
    workloads = [body(f"w{number}", of=DEPLOYMENT, spec={"replicas": 1}) for number in range(5)]
    life = Life(stage, await stage.commit(body("a"), *workloads))
    await life.goes_on(90)
    for number in range(5):
        stage.cluster.bring_up(ref(f"w{number}", of=DEPLOYMENT), is_up=False)
    await life.runs()
    await life.goes_on(400)
    before = told(stage)
    stage.git.commit(body("a"), problems=[UNREADABLE])
    await stage.look()
    await life.runs()
    assert told(stage) <= before
    assert stage.status["vital"]["objects"]["degraded"] == 5
