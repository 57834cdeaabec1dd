"""What may not be written now: the pipeline while a gate is closed.

Aspects: nothing is written, whatever closes the gate · looking and reporting go on · what waited is done when it opens, without another trigger than time
or an event · only the classes that a window names wait · dependencies hold new revisions alone · an EmergencyStop in the middle of a pass.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from cvstate_operator.objects.identity import ApiResource, Gvk
from cvstate_operator.plan.changes import Action
from cvstate_operator.reconcile.gate_stage import DEPENDENCY_SECONDS
from tests.unit.builders import DEPLOYMENT, body, ref
from tests.unit.reconcile.fakes import Stage, actions, spec, states

A, B, C = (body(name, data={"colour": "blue"}) for name in "abc")
A_RED = body("a", data={"colour": "red"})
MORNING = "0 0 * * *"
"""The clock of the fakes starts at 00:16:40 UTC on the first of January 2026."""
ONE_O_CLOCK = (datetime(2026, 1, 1, 1, tzinfo=UTC) - datetime(2026, 1, 1, tzinfo=UTC)).total_seconds()


def suspend(stage: Stage) -> None:
    stage.spec = spec(suspend=True)


def observe(stage: Stage) -> None:
    stage.spec = spec(mode="Observe")


def stop(stage: Stage) -> None:
    stage.stop_reason = "oops"


def close(stage: Stage, *classes: str) -> None:
    window: dict[str, Any] = {"kind": "Deny", "schedule": MORNING, "duration": "1h", "timeZone": "UTC"}
    stage.spec = spec(windows=[{**window, **({"actions": list(classes)} if classes else {})}])


GATES: dict[str, Callable[[Stage], None]] = {"Suspended": suspend, "ObserveOnly": observe, "EmergencyStop": stop, "WindowClosed": close}
gates = pytest.mark.parametrize("reason", GATES)


def reopen(stage: Stage) -> None:
    """Whatever closed it, by a person, or by time."""
    stage.stop_reason = ""
    stage.spec = spec()


@pytest.fixture
async def stage() -> Stage:
    """A ClusterState with A and B applied."""
    stage = Stage()
    await stage.commit(A, B)
    return stage


@gates
async def test_nothing_is_written_behind_a_closed_gate_whatever_is_to_be_done(stage: Stage, reason: str) -> None:
    GATES[reason](stage)
    stage.cluster.set_field(ref("a"), "data/colour", "green")
    outcome = await stage.commit(A_RED, C)
    for full in (False, True):
        stage.clock.seconds += 5
        outcome = await stage.run(full=full)
        assert stage.cluster.writes == []
    assert stage.names() == {"a", "b"}
    assert not outcome.is_converged


@gates
async def test_a_new_commit_is_seen_and_told_and_waits(stage: Stage, reason: str) -> None:
    GATES[reason](stage)
    outcome = await stage.commit(A_RED, B, C)
    assert stage.git.head is not None
    assert outcome.held.artifact is stage.git.head
    assert stage.ready() == ("False", reason)
    assert stage.status["source"]["revision"] == stage.git.head.revision
    assert stage.status["lastAppliedRevision"] != stage.git.head.revision


@gates
async def test_drift_is_seen_and_told_while_it_may_not_be_repaired(stage: Stage, reason: str) -> None:
    GATES[reason](stage)
    stage.cluster.set_field(ref("a"), "data/colour", "green")
    outcome = await stage.run()
    assert states(outcome) == {"/data/colour": "Held"}
    assert stage.condition("Drifted") == ("True", "DriftDetected")
    assert stage.cluster.objects[ref("a")]["data"]["colour"] == "green"


async def test_drift_that_somebody_else_mends_meanwhile_is_closed(stage: Stage) -> None:
    before = stage.cluster.objects[ref("a")]
    suspend(stage)
    stage.cluster.set_field(ref("a"), "data/colour", "green")
    await stage.run()
    stage.cluster.restore(before)
    assert (await stage.run()).drift == ()


@gates
async def test_an_object_that_vanished_is_told_and_stays_away(stage: Stage, reason: str) -> None:
    GATES[reason](stage)
    stage.cluster.delete(ref("a"))
    outcome = await stage.run()
    assert states(outcome) == {"": "Held"}
    assert stage.names() == {"b"}


@gates
async def test_what_waited_is_done_when_the_gate_opens(stage: Stage, reason: str) -> None:
    GATES[reason](stage)
    stage.cluster.set_field(ref("b"), "data/colour", "green")
    await stage.commit(A_RED, B, C)
    reopen(stage)
    outcome = await stage.run()
    assert actions(outcome) == {"a": Action.UPDATE, "b": Action.REPAIR, "c": Action.CREATE}
    assert outcome.is_converged
    assert stage.ready() == ("True", "Reconciled")


@gates
async def test_deletes_wait_too_and_are_made_when_the_gate_opens(stage: Stage, reason: str) -> None:
    outcome = await stage.commit(A_RED)
    GATES[reason](stage)
    outcome = await stage.settle(outcome)
    assert (stage.names(), [change.ref for change in outcome.pruning.deferred]) == ({"a", "b"}, [ref("b")])
    assert stage.ready() == ("False", "PruneHeld")
    reopen(stage)
    await stage.settle(await stage.run())
    assert stage.names() == {"a"}


@pytest.mark.parametrize("bodies", [[A], [A, B]], ids=["only-deletes", "nothing-to-do"])
async def test_a_commit_that_changes_no_object_is_the_one_that_is_worked_with_once_it_is_applied(
    stage: Stage, bodies: list[dict[str, Any]]
) -> None:
    outcome = await stage.settle(await stage.commit(*bodies))
    assert outcome.is_converged
    suspend(stage)
    outcome = await stage.run()
    assert (outcome.held.artifact, outcome.held.creates, outcome.is_converged) == (None, 0, True)


@gates
async def test_a_gate_that_is_closed_from_the_beginning_lets_nothing_be_made(reason: str) -> None:
    stage = Stage()
    GATES[reason](stage)
    outcome = await stage.commit(A, B)
    assert (stage.names(), outcome.held.creates) == (set(), 2)
    assert stage.ready() == ("False", reason)
    reopen(stage)
    assert actions(await stage.run()) == {"a": Action.CREATE, "b": Action.CREATE}


async def test_a_window_opens_by_itself(stage: Stage) -> None:
    close(stage)
    stage.cluster.set_field(ref("b"), "data/colour", "green")
    outcome = await stage.commit(A_RED, B)
    assert outcome.next_pass_at == pytest.approx(ONE_O_CLOCK)
    outcome = await stage.wait(outcome)
    assert actions(outcome) == {"a": Action.UPDATE, "b": Action.REPAIR}


async def test_a_window_closes_by_itself(stage: Stage) -> None:
    stage.spec = spec(windows=[{"kind": "Deny", "schedule": "0 1 * * *", "duration": "1h", "timeZone": "UTC"}])
    outcome = await stage.run()
    outcome = await stage.wait(outcome)
    assert stage.clock.seconds == pytest.approx(ONE_O_CLOCK)
    assert stage.status["window"]["state"] == "Closed"
    stage.cluster.set_field(ref("b"), "data/colour", "green")
    assert (await stage.run()).done == ()


@pytest.mark.parametrize(
    ("closed", "done"),
    [
        pytest.param(["NewRevision"], {"b": Action.REPAIR}, id="new-revisions"),
        pytest.param(["DriftRepair"], {"a": Action.UPDATE, "d": Action.CREATE}, id="repairs"),
        pytest.param(["Prune", "Rollback"], {"a": Action.UPDATE, "d": Action.CREATE, "b": Action.REPAIR}, id="deletes-and-rollbacks"),
    ],
)
async def test_a_window_holds_only_what_it_names(stage: Stage, closed: list[str], done: dict[str, Action]) -> None:
    await stage.commit(A, B, C)
    close(stage, *closed)
    stage.cluster.set_field(ref("b"), "data/colour", "green")
    outcome = await stage.commit(A_RED, B, body("d"))
    assert actions(outcome) == done
    outcome = await stage.settle(outcome)
    assert ("c" in stage.names()) == (closed != ["DriftRepair"])


async def test_while_repairs_wait_an_update_leaves_a_field_alone_that_somebody_changed_while_nobody_looked(stage: Stage) -> None:
    large = body("b", data={"colour": "blue", "size": "large"})
    close(stage, "DriftRepair")
    stage.restart(status=stage.status)
    stage.cluster.set_field(ref("b"), "data/colour", "green")
    stage.git.commit(A, large)
    await stage.look()
    outcome = await stage.run(full=True)
    assert actions(outcome) == {"b": Action.UPDATE}
    assert stage.cluster.objects[ref("b")]["data"] == {"colour": "green", "size": "large"}
    assert stage.condition("Drifted")[0] == "True"


async def test_while_new_revisions_wait_drift_is_repaired_towards_the_one_that_is_applied(stage: Stage) -> None:
    close(stage, "NewRevision")
    await stage.commit(A_RED, B)
    stage.cluster.set_field(ref("a"), "data/colour", "green")
    outcome = await stage.run()
    assert actions(outcome) == {"a": Action.REPAIR}
    assert stage.cluster.objects[ref("a")]["data"]["colour"] == "blue"


async def test_after_a_restart_it_is_still_the_applied_revision_that_drift_is_repaired_towards(stage: Stage) -> None:
    close(stage, "NewRevision")
    await stage.commit(A_RED, B)
    stage.cluster.set_field(ref("a"), "data/colour", "green")
    stage.restart(status=stage.status)
    await stage.look()
    outcome = await stage.run(full=True)
    assert actions(outcome) == {"a": Action.REPAIR}
    assert stage.cluster.objects[ref("a")]["data"]["colour"] == "blue"
    reopen(stage)
    outcome = await stage.run()
    assert actions(outcome) == {"a": Action.UPDATE}


async def test_a_commit_that_is_not_to_be_had_any_more_leaves_everything_as_it_is(stage: Stage) -> None:
    close(stage, "NewRevision")
    await stage.commit(A_RED, C)
    stage.restart(status=stage.status)
    stage.git.pushed.clear()
    await stage.look()
    outcome = await stage.run(full=True)
    assert stage.cluster.writes == []
    assert stage.names() == {"a", "b"}
    assert not outcome.is_rolled_out


async def test_an_emergency_stop_in_the_middle_of_a_pass_ends_it_with_the_object_in_hand() -> None:
    stage = Stage(writers=1)
    stage.cluster.before_answer = lambda change: stop(stage)
    outcome = await stage.commit(A, B, C)
    assert stage.names() == {"a"}
    assert not outcome.is_converged
    stage.cluster.before_answer = lambda change: None
    outcome = await stage.run()
    assert (stage.names(), stage.ready()) == ({"a"}, ("False", "EmergencyStop"))
    reopen(stage)
    assert (await stage.run()).is_converged
    assert stage.names() == {"a", "b", "c"}


async def test_an_emergency_stop_between_two_deletes_keeps_the_rest() -> None:
    stage = Stage()
    await stage.commit(A, B, C)
    stage.cluster.after_delete = lambda: stop(stage)
    await stage.settle(await stage.commit(A))
    assert stage.names() == {"a", "c"}


# -- dependencies ------------------------------------------------------------------------------------------------------

JOB = ApiResource(Gvk("example.io", "v1", "Database"), "databases", True)
DATABASE = body("db", of=JOB)


@pytest.fixture
async def dependent(stage: Stage) -> Stage:
    """A ClusterState that waits for a database, which is there and not ready."""
    stage.cluster.served.add(JOB)
    stage.cluster.put(DATABASE)
    stage.cluster.tell(ref("db", of=JOB), {"conditions": [{"type": "Ready", "status": "False", "message": "starting"}]})
    stage.spec = spec(dependsOn=[{"apiVersion": "example.io/v1", "kind": "Database", "name": "db"}])
    return stage


def is_up(stage: Stage) -> None:
    stage.cluster.tell(ref("db", of=JOB), {"conditions": [{"type": "Ready", "status": "True"}]})


async def test_a_new_revision_waits_for_what_it_depends_on(dependent: Stage) -> None:
    outcome = await dependent.commit(A_RED, B)
    assert (outcome.done, dependent.ready()) == ((), ("False", "DependencyNotReady"))
    assert "starting" in dependent.message()
    assert outcome.next_pass_at == dependent.clock.seconds + DEPENDENCY_SECONDS
    is_up(dependent)
    outcome = await dependent.wait(outcome)
    assert actions(outcome) == {"a": Action.UPDATE}
    assert (outcome.is_converged, outcome.next_pass_at) == (True, None)


async def test_repairs_do_not_wait_for_dependencies(dependent: Stage) -> None:
    await dependent.commit(A_RED, B)
    dependent.cluster.set_field(ref("b"), "data/colour", "green")
    assert actions(await dependent.run()) == {"b": Action.REPAIR}


async def test_deletes_do_not_go_before_the_revision_that_wants_them(dependent: Stage) -> None:
    await dependent.settle(await dependent.commit(A))
    assert dependent.names() == {"a", "b", "db"}


async def test_a_dependency_that_does_not_exist_or_is_of_no_kind_is_waited_for(stage: Stage) -> None:
    stage.spec = spec(dependsOn=[{"apiVersion": "example.io/v1", "kind": "Database", "name": "db"}])
    outcome = await stage.commit(A_RED, B)
    assert stage.ready() == ("False", "DependencyNotReady")
    stage.cluster.served.add(JOB)
    outcome = await stage.wait(outcome)
    assert stage.ready() == ("False", "DependencyNotReady")
    stage.cluster.put(DATABASE)
    assert actions(await stage.wait(outcome)) == {"a": Action.UPDATE}


async def test_once_a_revision_is_applied_its_dependencies_are_not_asked_for_any_more(dependent: Stage) -> None:
    is_up(dependent)
    outcome = await dependent.commit(A_RED, B)
    dependent.cluster.reads.clear()
    for _ in range(3):
        outcome = await dependent.run()
    assert (dependent.cluster.reads, outcome.next_pass_at) == ([], None)


async def test_dependencies_are_read_no_more_often_than_they_are_waited_for(dependent: Stage) -> None:
    await dependent.commit(A_RED, B)
    dependent.cluster.reads.clear()
    for _ in range(20):
        await dependent.run()
    assert dependent.cluster.reads == []


async def test_a_deployment_may_be_depended_on(stage: Stage) -> None:
    stage.cluster.put(body("web", of=DEPLOYMENT, spec={"replicas": 1}))
    stage.spec = spec(dependsOn=[{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}])
    outcome = await stage.commit(A_RED, B)
    assert stage.ready() == ("False", "DependencyNotReady")
    stage.cluster.bring_up(ref("web", of=DEPLOYMENT))
    assert actions(await stage.wait(outcome)) == {"a": Action.UPDATE}
