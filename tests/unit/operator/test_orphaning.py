"""A ClusterState that is being deleted together with its objects, at which nobody gets any more.

Aspects: it waits, in case somebody gets at them again · then it goes without them, and says so · also after a restart, when not even what is served can be asked.
"""

import pytest

from cvstate_operator import errors
from cvstate_operator.operator import actor as actors
from cvstate_operator.reconcile import teardown_stage
from cvstate_operator.reconcile.teardown_stage import Departure
from tests.unit.builders import CONFIG_MAP, body, ref
from tests.unit.operator.test_actor import Meter, Reporter, made, until
from tests.unit.reconcile.fakes import Stage

GOING = {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["cvstate.io/finalizer"]}


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actors, "ORPHAN_SECONDS", 0.2)
    monkeypatch.setattr(actors, "AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(teardown_stage, "AGREEING_SECONDS", 0.0)


@pytest.fixture
async def stage() -> Stage:
    """A life of the operator that begins after the objects were made."""
    stage = Stage()
    await stage.commit(body("a", data={"colour": "blue"}))
    stage.restart(known_kinds=frozenset({CONFIG_MAP.gvk.group_kind}), status=stage.status)
    stage.cluster._known.clear()
    return stage


@pytest.mark.parametrize(
    "error",
    [errors.TargetUnreachableError("the cluster cannot be reached"), errors.ReferenceMissingError("Secret team/prod does not exist")],
    ids=lambda error: error.reason,
)
async def test_after_a_restart_it_goes_without_objects_that_nobody_gets_at(stage: Stage, error: errors.CvstateError) -> None:
    stage.cluster.discover_errors = [error] * 1000
    reporter, meter = Reporter(), Meter()
    going = made(stage, reporter, meter, metadata=GOING, deletionPolicy="Delete")
    try:
        await until(lambda: bool(reporter.ready()))
        assert (reporter.ready()["reason"], error.message in reporter.ready()["message"]) == ("Deleting", True)
        assert reporter.finalizers == [], "somebody may get at them again"
        await until(lambda: reporter.finalizers == [False])
        assert [(kind, reason) for kind, reason, *_ in reporter.events] == [("Warning", "Orphaned")]
        assert stage.names() == {"a"}
    finally:
        await going.close(seconds=1)


async def test_who_gets_at_them_in_time_deletes_them(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actors, "ORPHAN_SECONDS", 300.0)
    stage.cluster.discover_errors = [errors.TargetUnreachableError("the cluster cannot be reached")] * 3
    reporter, meter = Reporter(), Meter()
    going = made(stage, reporter, meter, metadata=GOING, deletionPolicy="Delete")
    try:
        await until(lambda: reporter.finalizers == [False])
        assert (stage.names(), reporter.events) == (set(), [])
    finally:
        await going.close(seconds=1)


@pytest.mark.parametrize("breaking", ["tear_down", "is_leaving"])
async def test_attempts_that_break_off_are_no_refusals_however_long_it_goes_on(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, breaking: str
) -> None:
    """That objects are left behind cannot be undone: a refusal, five minutes of an API server that throttles and one more refusal are no reason."""
    monkeypatch.setattr(actors, "ORPHAN_SECONDS", 0.05)
    monkeypatch.setattr(actors.backoff, "pause_seconds", lambda *_, **__: 0.1)
    reporter, meter = Reporter(), Meter()
    going = made(stage, reporter, meter, metadata=GOING, deletionPolicy="Delete")
    refused, tried = Departure((ref("a"),), "RBAC", 0, is_refused=True), 0

    async def attempt(*_: object) -> Departure | bool:
        nonlocal tried
        tried += 1
        if tried % 2:
            return refused if breaking == "tear_down" else True
        raise errors.ThrottledError("later")

    async def refuse(*_: object) -> Departure:
        return refused

    monkeypatch.setattr(going._pipeline, "tear_down", attempt if breaking == "tear_down" else refuse)
    if breaking == "is_leaving":
        monkeypatch.setattr(reporter, "is_leaving", attempt)
    try:
        await until(lambda: tried >= 7)
        assert (reporter.finalizers, reporter.events) == ([], [])
    finally:
        await going.close(seconds=1)
