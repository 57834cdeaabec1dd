"""The actor of one ClusterState, on a real pipeline with the fakes of its ports.

Aspects: a pass that breaks off, and a fault of our own, are told in the status, and survived · another spec is announced to the other ClusterStates ·
what people write about a ClusterState is acted on at once: an EmergencyStop, an approval, a rejected commit · plans are shown · deletion, with its objects
or without · specs that cannot be carried out · how often it is at work, and tells what.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import pytest

from cvstate_operator import errors
from cvstate_operator.api.conditions import ConditionType
from cvstate_operator.operator.actor import Actor
from cvstate_operator.operator.teller import Voice
from cvstate_operator.operator.token_bucket import TokenBucket
from cvstate_operator.reconcile import report, teardown_stage
from cvstate_operator.reconcile.outcome import Consent
from cvstate_operator.reconcile.source_stage import News
from cvstate_operator.telemetry.metrics import Standing
from tests.unit.builders import OWNER, body, ref
from tests.unit.reconcile.fake_cluster import FakeCluster
from tests.unit.reconcile.fakes import UID, FakeMeter, FakeReporter, Stage, spec


class Reporter(FakeReporter):
    """One that can be closed."""

    def __init__(self) -> None:
        super().__init__()
        self.plans: list[tuple[Consent, set[str]]] = []
        """What was shown to wait, and which digests are approved, after each pass."""
        self.finalizers: list[bool] = []
        """Whether ours was wanted, each time it was looked at."""

    async def write_plan(self, consent: Consent, *, revision: str, known: Iterable[object], needed: Collection[str]) -> None:
        self.plans.append((consent, set(needed)))

    async def is_leaving(self) -> bool:
        return True

    async def write_finalizer(self, *, wanted: bool, found: Sequence[str]) -> None:
        self.finalizers.append(wanted)

    async def close(self) -> None:
        return

    def ready(self) -> dict[str, Any]:
        """The Ready condition that was written last."""
        conditions = self.statuses[-1]["conditions"] if self.statuses else ()
        return next((c for c in conditions if c["type"] == ConditionType.READY), {})


class Meter(FakeMeter):
    """One that takes what an actor counts as well."""

    def __init__(self) -> None:
        super().__init__()
        self.standings: list[Standing] = []

    def stands(self, standing: Standing) -> None:
        self.standings.append(standing)

    def close(self) -> None:
        return


def clusterstate(*, generation: int = 1, metadata: Mapping[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    metadata = {"name": "state", "namespace": "default", "uid": UID, "resourceVersion": "1", "generation": generation, **(metadata or {})}
    return {"metadata": metadata, "spec": spec(**fields).model_dump(by_alias=True, exclude_none=True, mode="json")}


async def until(claim: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not claim():
            await asyncio.sleep(0.005)


@pytest.fixture
def stage() -> Stage:
    stage = Stage()
    stage.git.commit(body("a", data={"colour": "blue"}))
    stage.index.claims.join(OWNER, stage.clock.monotonic())
    return stage


@pytest.fixture
def reporter() -> Reporter:
    return Reporter()


@pytest.fixture
def meter() -> Meter:
    return Meter()


def made(
    stage: Stage,
    reporter: Reporter,
    meter: Meter,
    *,
    edges: Mapping[str, Collection[str]] | None = None,
    announcements: TokenBucket | None = None,
    **fields: Any,
) -> Actor:
    return Actor(
        clusterstate(**fields),
        pipeline=stage.pipeline,
        voice=Voice(
            reporter,  # type: ignore[arg-type]
            meter,  # type: ignore[arg-type]
            stage.world.consents,
            announcements or TokenBucket(burst=1, per_second=1, now=0),
        ),
        edges=edges or {},
    )


@pytest.fixture
async def actor(stage: Stage, reporter: Reporter, meter: Meter) -> AsyncIterator[Actor]:
    actor = made(stage, reporter, meter)
    yield actor
    await actor.close(seconds=1)


async def test_a_pass_that_breaks_off_is_told(stage: Stage, reporter: Reporter, actor: Actor) -> None:
    stage.reporter.failures = [errors.ForbiddenError("may not patch ClusterStates; grant it")]
    await until(lambda: reporter.ready().get("reason") == "Forbidden")
    assert "may not patch ClusterStates" in reporter.ready()["message"]
    assert reporter.ready()["status"] == "False"


async def test_a_roll_out_can_be_followed_by_one_id_through_status_events_and_log(
    stage: Stage, reporter: Reporter, actor: Actor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="cvstate_operator.operator")
    seen: list[str] = []
    while len(seen) < 2:
        if seen:
            stage.git.commit(body("a", data={"colour": "red"}))
            actor.look_now()
        await until(lambda: bool(reporter.statuses) and len(reporter.statuses[-1].get("history", ())) == len(seen) + 1)
        seen.append(reporter.statuses[-1]["history"][0]["correlationID"])
    assert len(set(seen)) == 2
    assert reporter.correlation_ids == seen
    assert [record.correlation_id for record in caplog.records if getattr(record, "reason", "") == "Applied"] == seen  # type: ignore[attr-defined]


async def test_a_fault_of_our_own_is_told_and_does_not_stop_it(stage: Stage, reporter: Reporter, actor: Actor) -> None:
    await until(lambda: reporter.ready().get("status") == "True")
    stage.git.error = ZeroDivisionError("nobody foresaw this")  # type: ignore[assignment]
    actor.look_now()
    await until(lambda: reporter.ready().get("reason") == "InternalError")
    assert reporter.ready()["status"] == "False"
    assert "nobody foresaw this" not in reporter.ready()["message"], "the log has the details"
    stage.git.error = None
    stage.git.commit(body("a", data={"colour": "blue"}), body("b", data={"colour": "red"}))
    actor.look_now()
    await until(lambda: reporter.ready().get("status") == "True" and "b" in stage.names())


async def test_another_spec_has_the_others_wait_until_it_is_answered(stage: Stage, reporter: Reporter, actor: Actor) -> None:
    await until(lambda: reporter.ready().get("status") == "True")
    claims, now = stage.index.claims, stage.clock.monotonic()
    assert not claims.catch_up("another", now)
    actor.update(clusterstate(generation=2))
    assert claims.catch_up("another", now)
    await until(lambda: not claims.catch_up("another", now))


# -- what people write about it ----------------------------------------------------------------------------------------


async def test_an_emergency_stop_is_told_and_ends_without_another_trigger(stage: Stage, reporter: Reporter, actor: Actor) -> None:
    await until(lambda: reporter.ready().get("status") == "True")
    stage.stop_reason = "red button"
    actor.reconsider()
    stage.cluster.delete(ref("a"))
    actor.touch(ref("a"))
    await until(lambda: reporter.ready().get("status") == "False")
    assert stage.names() == set()
    stage.stop_reason = ""
    actor.reconsider()
    await until(lambda: reporter.ready().get("status") == "True")
    assert stage.names() == {"a"}


APPROVE = {"drift": {"rules": [{"action": "Approve"}]}}


async def test_what_waits_is_shown_and_is_done_when_it_is_approved(stage: Stage, reporter: Reporter, meter: Meter) -> None:
    actor = made(stage, reporter, meter, **APPROVE)
    await until(lambda: reporter.ready().get("status") == "True")
    stage.cluster.set_field(ref("a"), "data/colour", "red")
    actor.touch(ref("a"))
    await until(lambda: reporter.ready().get("reason") == "AwaitingApproval")
    await until(lambda: bool(reporter.plans[-1][0].waits))
    consent = reporter.plans[-1][0]
    assert [one.item.path for one in consent.waits] == ["/data/colour"]
    assert meter.standings[-1].waiting == 1
    metadata = {"name": "yes", "namespace": "default", "creationTimestamp": stage.cluster.time()}
    stage.approvals.append({"metadata": metadata, "spec": {"planDigest": consent.digest}})
    actor.reconsider()
    await until(lambda: reporter.ready().get("status") == "True")
    assert stage.cluster.objects[ref("a")]["data"]["colour"] == "blue"
    await until(lambda: reporter.plans[-1] == (Consent(), {consent.digest}))
    await actor.close(seconds=1)


async def test_a_commit_that_is_rejected_by_annotation_is_left_at_once(stage: Stage, reporter: Reporter, actor: Actor) -> None:
    await until(lambda: reporter.ready().get("status") == "True")
    stage.git.commit(body("a", data={"colour": "red"}))
    actor.look_now()
    await until(lambda: bool(stage.cluster.objects[ref("a")]["data"]["colour"] == "red"))
    assert stage.git.head is not None
    actor.update(clusterstate(metadata={"annotations": {"reconcile.cvstate.io/rejected": stage.git.head.commit}}))
    await until(lambda: reporter.ready().get("reason") == "RolledBack")
    assert stage.cluster.objects[ref("a")]["data"]["colour"] == "blue"


async def test_what_comes_while_the_last_object_of_a_pass_is_written_is_not_forgotten(
    stage: Stage, reporter: Reporter, actor: Actor
) -> None:
    await until(lambda: reporter.ready().get("status") == "True")
    stage.git.commit(body("a", data={"colour": "red"}))
    rejected = clusterstate(metadata={"annotations": {"reconcile.cvstate.io/rejected": stage.git.head.commit if stage.git.head else ""}})
    stage.cluster.before_answer = lambda change: actor.update(rejected)
    actor.look_now()
    await until(lambda: reporter.ready().get("reason") == "RolledBack")


# -- its end -----------------------------------------------------------------------------------------------------------

GOING = {"deletionTimestamp": "2026-01-02T00:00:00Z", "finalizers": ["cvstate.io/finalizer"]}


async def test_our_finalizer_is_wanted_only_where_objects_go_first(stage: Stage, reporter: Reporter, actor: Actor) -> None:
    await until(lambda: reporter.ready().get("status") == "True")
    assert set(reporter.finalizers) == {False}
    actor.update(clusterstate(generation=2, deletionPolicy="Delete"))
    await until(lambda: reporter.finalizers[-1])


async def test_with_deletion_policy_delete_its_objects_go_first(
    stage: Stage, reporter: Reporter, meter: Meter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teardown_stage, "AGREEING_SECONDS", 0.0)
    actor = made(stage, reporter, meter, deletionPolicy="Delete")
    await until(lambda: reporter.ready().get("status") == "True")
    actor.update(clusterstate(metadata=GOING, deletionPolicy="Delete"))
    await until(lambda: stage.names() == set())
    assert reporter.finalizers[-1] is True
    actor.reconsider()  # the event that the object is gone
    await until(lambda: reporter.finalizers[-1] is False)
    await actor.close(seconds=1)


@pytest.mark.parametrize("fields", [{}, {"deletionPolicy": "Delete", "mode": "Observe"}], ids=["orphan", "observe"])
async def test_otherwise_its_objects_stay(stage: Stage, reporter: Reporter, meter: Meter, fields: dict[str, Any]) -> None:
    await stage.commit(body("a", data={"colour": "blue"}))
    actor = made(stage, reporter, meter, metadata=GOING, **fields)
    await until(lambda: reporter.finalizers[-1:] == [False])
    assert stage.names() == {"a"}
    await actor.close(seconds=1)


# -- specs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        pytest.param({"dependsOn": [{"name": "other"}]}, "state -> other -> state", id="circle"),
        pytest.param({"dependsOn": [{"name": "third", "readyExpr": "dep.status.("}]}, "readyExpr", id="expression"),
    ],
)
async def test_a_spec_that_cannot_be_carried_out_is_told_and_touches_nothing(
    stage: Stage, reporter: Reporter, meter: Meter, fields: dict[str, Any], words: str
) -> None:
    edges = {"state": [one["name"] for one in fields["dependsOn"]], "other": ["state"]}
    actor = made(stage, reporter, meter, edges=edges, **fields)
    await until(lambda: reporter.ready().get("reason") == "InvalidSpec")
    assert words in reporter.ready()["message"]
    assert stage.names() == set()
    await actor.close(seconds=1)


# -- what is told while it is under way ----------------------------------------------------------------------------------


@pytest.mark.parametrize("allowed", [1, 0], ids=["its-turn", "too-many-others"])
async def test_a_long_pass_is_announced_unless_too_many_others_are(
    stage: Stage, reporter: Reporter, meter: Meter, monkeypatch: pytest.MonkeyPatch, allowed: int
) -> None:
    apply = FakeCluster.apply

    async def slowly(cluster: FakeCluster, *arguments: Any, **more: Any) -> dict[str, Any] | None:
        await asyncio.sleep(0.2)
        return await apply(cluster, *arguments, **more)

    monkeypatch.setattr(FakeCluster, "apply", slowly)
    monkeypatch.setattr("cvstate_operator.operator.actor.PROGRESS_SECONDS", 0.05)
    actor = made(stage, reporter, meter, announcements=TokenBucket(burst=allowed, per_second=1e-6, now=0))
    await until(lambda: reporter.ready().get("status") == "True")
    await actor.close(seconds=5)
    reasons = [next(c["reason"] for c in status["conditions"] if c["type"] == ConditionType.READY) for status in reporter.statuses]
    assert ("Progressing" in reasons) is bool(allowed), reasons


async def test_a_commit_that_changes_nothing_here_is_noted_a_moment_later(
    stage: Stage, actor: Actor, reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    await until(lambda: reporter.ready().get("status") == "True")
    written = len(reporter.statuses)
    monkeypatch.setattr("cvstate_operator.operator.actor.REVISION_SECONDS", (0.1, 0.2))
    stage.git.commit(body("a", data={"colour": "blue"}), elsewhere=True)
    actor.look_now()
    await asyncio.sleep(0.05)
    assert len(reporter.statuses) == written
    await until(lambda: len(reporter.statuses) > written)
    assert stage.git.head
    assert reporter.statuses[-1]["lastAppliedRevision"] == stage.git.head.revision


# -- how often it is at work ---------------------------------------------------------------------------------------------


async def test_it_rests_while_its_first_look_lasts(stage: Stage, reporter: Reporter, meter: Meter, monkeypatch: pytest.MonkeyPatch) -> None:
    steps, step, may_go_on = 0, Actor._step, asyncio.Event()

    async def counted(actor: Actor) -> None:
        nonlocal steps
        steps += 1
        await step(actor)

    async def look(*_: Any, **__: Any) -> News:
        await may_go_on.wait()
        return News.NONE

    monkeypatch.setattr(Actor, "_step", counted)
    monkeypatch.setattr(stage.pipeline, "look", look)
    actor = made(stage, reporter, meter)
    await asyncio.sleep(0.1)
    assert 1 <= steps <= 3
    may_go_on.set()
    await actor.close(seconds=1)


def keeps_changing(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """From now on no two statuses are the same; all that were put together."""
    told: list[dict[str, Any]] = []
    status = report.status

    def changing(*arguments: Any, **more: Any) -> dict[str, Any]:
        told.append({**status(*arguments, **more), "drift": {"objects": len(told) + 1}})
        return told[-1]

    monkeypatch.setattr(report, "status", changing)
    return told


async def test_what_keeps_changing_is_told_once_in_a_while(
    stage: Stage, reporter: Reporter, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    await until(lambda: reporter.ready().get("status") == "True")
    told = keeps_changing(monkeypatch)
    monkeypatch.setattr("cvstate_operator.operator.teller.STATUS_SECONDS", 0.3)
    written = len(reporter.statuses)
    for number in range(1, 5):
        actor.touch(ref("a"))
        await until(lambda number=number: len(told) >= number)  # type: ignore[misc]
    assert len(reporter.statuses) - written <= 1, "a pass for each, but no status"
    await until(lambda: len(reporter.statuses) > written and reporter.statuses[-1]["drift"]["objects"] >= 4)
    assert len(reporter.statuses) - written <= 2


async def test_a_status_that_waits_for_its_turn_is_not_lost_at_the_end(
    stage: Stage, reporter: Reporter, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    await until(lambda: reporter.ready().get("status") == "True")
    told = keeps_changing(monkeypatch)
    monkeypatch.setattr("cvstate_operator.operator.teller.STATUS_SECONDS", 3600.0)
    actor.touch(ref("a"))
    await until(lambda: len(told) == 1)
    assert "drift" not in reporter.statuses[-1]
    await actor.close(seconds=1)
    assert reporter.statuses[-1]["drift"] == {"objects": 1}


async def test_what_somebody_waits_for_is_told_at_once(
    stage: Stage, reporter: Reporter, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cvstate_operator.operator.teller.STATUS_SECONDS", 3600.0)
    await until(lambda: reporter.ready().get("status") == "True")
    stage.git.commit(body("a", data={"colour": "red"}))
    actor.look_now()
    await until(lambda: bool(stage.git.head) and reporter.statuses[-1].get("lastAppliedRevision") == stage.git.head.revision)  # type: ignore[union-attr]
