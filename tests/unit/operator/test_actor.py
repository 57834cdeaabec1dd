"""The actor of one ClusterState, on a real pipeline with the fakes of its ports.

Aspects: a pass that breaks off, and a fault of our own, are told in the status, and survived · another spec is announced to the other ClusterStates ·
what people write about a ClusterState is acted on at once: an EmergencyStop, an approval, a rejected commit · plans are shown · deletion, with its objects
or without · specs that cannot be carried out · how often it is at work, and tells what · kinds that are not told of any more · signals are asked for beside the passes.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import pytest

from cvstate_operator import errors
from cvstate_operator.api.conditions import ConditionType
from cvstate_operator.operator.actor import HEARD_SECONDS, Actor
from cvstate_operator.operator.teller import Voice
from cvstate_operator.operator.token_bucket import TokenBucket
from cvstate_operator.reconcile import report, teardown_stage
from cvstate_operator.reconcile.outcome import Consent
from cvstate_operator.reconcile.source_stage import News
from cvstate_operator.telemetry.metrics import Standing
from cvstate_operator.vital.reading import Reading
from tests.unit.builders import CONFIG_MAP, DEPLOYMENT, OWNER, body, ref
from tests.unit.reconcile.fake_cluster import FakeCluster
from tests.unit.reconcile.fakes import UID, FakeMeter, FakeReporter, Stage, spec


class Reporter(FakeReporter):
    """One that can be closed."""

    def __init__(self) -> None:
        super().__init__()
        self.plans: list[tuple[Consent, set[str]]] = []
        """What was shown to wait, and which digests are approved, after each pass."""
        self.is_overwritten = False
        self.finalizers: list[bool] = []
        """Whether ours was wanted, each time it was looked at."""

    async def write_plan(self, consent: Consent, *, revision: str, known: Iterable[object], needed: Collection[str]) -> None:
        self.plans.append((consent, set(needed)))

    def seen(self, body: Mapping[str, Any]) -> None:
        return

    async def is_leaving(self) -> bool:
        return True

    async def write_finalizer(self, *, wanted: bool, found: Sequence[str]) -> None:
        self.finalizers.append(wanted)

    async def close(self) -> None:
        return

    def end(self) -> None:
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
        self.worked_at = time.monotonic()

    def stands(self, standing: Standing) -> None:
        self.standings.append(standing)

    def recall(self, history: object) -> None:
        return

    def stepped(self, step: object) -> None:
        return

    def status(self, told: object) -> None:
        return

    def refused(self, *, reason: str) -> None:
        self.counted.append(("refused", reason))

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
    after: Collection[asyncio.Task[None]] = (),
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
        after=after,
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
    assert [event[:2] for event in reporter.events if event[1] != "Applied"] == [("Warning", "Forbidden")]


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


async def test_a_status_that_somebody_else_wrote_is_told_again_by_the_next_pass(stage: Stage, reporter: Reporter, actor: Actor) -> None:
    await until(lambda: reporter.ready().get("status") == "True")
    written = len(reporter.statuses)
    actor.reconsider()
    await until(lambda: len(reporter.plans) > 1)
    assert len(reporter.statuses) == written, "it stands there as it was told"
    reporter.is_overwritten = True
    actor.reconsider()
    await until(lambda: len(reporter.statuses) > written)
    assert reporter.ready()["status"] == "True"


async def test_nothing_begins_before_all_that_the_clusterstate_had_is_at_its_end(stage: Stage, reporter: Reporter, meter: Meter) -> None:
    ends = [asyncio.Event(), asyncio.Event()]
    actor = made(stage, reporter, meter, after=[asyncio.create_task(end.wait()) for end in ends])  # type: ignore[misc]
    for end in ends:
        await asyncio.sleep(0.02)
        assert stage.git.looks == []
        end.set()
    await until(lambda: reporter.ready().get("status") == "True")
    await actor.close(seconds=1)


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


APPROVE: dict[str, Any] = {"drift": {"rules": [{"action": "Approve"}]}}


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


async def test_a_look_that_brings_nothing_to_do_is_taken_up_later_but_keeps_no_other_one_back(
    stage: Stage, actor: Actor, reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    await until(lambda: reporter.ready().get("status") == "True")
    monkeypatch.setattr("cvstate_operator.operator.actor.REVISION_SECONDS", (3600.0, 3600.0))
    looks, written = len(stage.git.looks), len(reporter.statuses)
    actor.look_now()
    await until(lambda: len(stage.git.looks) == looks + 1)
    stage.git.commit(body("a", data={"colour": "blue"}), elsewhere=True)
    actor.look_now()
    await until(lambda: len(stage.git.looks) == looks + 2)
    assert len(reporter.statuses) == written
    stage.git.commit(body("a", data={"colour": "red"}))
    actor.look_now()
    await until(lambda: bool(stage.git.head) and reporter.statuses[-1].get("lastAppliedRevision") == stage.git.head.revision)  # type: ignore[union-attr]


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
    monkeypatch.setattr("cvstate_operator.operator.actor.TOLD_SECONDS", 0.0)
    written = len(reporter.statuses)
    for number in range(1, 5):
        actor.touch(ref("a"))
        await until(lambda number=number: len(told) >= number)  # type: ignore[misc]
    assert len(reporter.statuses) - written <= 1, "a pass for each, but no status"
    await until(lambda: len(reporter.statuses) > written and reporter.statuses[-1]["drift"]["objects"] >= 4)
    assert len(reporter.statuses) - written <= 2


async def test_while_objects_keep_changing_each_is_put_right_at_once_and_all_are_told_together(
    stage: Stage, reporter: Reporter, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drift() -> None:
        stage.cluster.set_field(ref("a"), "data/colour", "red")
        actor.touch(ref("a"))

    def is_right() -> bool:
        return stage.cluster.objects[ref("a")]["data"]["colour"] == "blue"

    await until(lambda: reporter.ready().get("status") == "True")
    told = keeps_changing(monkeypatch)
    monkeypatch.setattr("cvstate_operator.operator.actor.TOLD_SECONDS", 0.5)
    for _ in range(3):
        drift()
        await until(is_right)
    assert told == []
    await until(lambda: len(told) == 1)
    assert [reason for _, reason, _ in reporter.events].count("DriftRepaired") == 1


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


# -- kinds that are not told of any more -------------------------------------------------------------------------------


def healthy(reporter: Reporter) -> tuple[str, str]:
    conditions = reporter.statuses[-1]["conditions"] if reporter.statuses else ()
    return next(((one["status"], one["reason"]) for one in conditions if one["type"] == ConditionType.HEALTHY), ("", ""))


async def test_kinds_that_fall_silent_are_told_at_once_and_so_is_that_they_are_heard_again(
    stage: Stage, reporter: Reporter, actor: Actor
) -> None:
    kind = CONFIG_MAP.gvk.group_kind
    await until(lambda: healthy(reporter)[0] == "True")
    stage.cluster.silent = {kind: errors.NetworkError("the API server cannot be reached")}
    actor.heard({kind})
    await until(lambda: healthy(reporter) == ("Unknown", "TargetUnreachable"))
    stage.cluster.silent = {}
    actor.heard({kind})
    await until(lambda: healthy(reporter)[0] == "True")


async def test_kinds_of_others_that_fall_silent_wake_nobody(stage: Stage, reporter: Reporter, meter: Meter, actor: Actor) -> None:
    await until(lambda: healthy(reporter)[0] == "True")
    await asyncio.sleep(0.3)
    before = len(meter.standings)
    actor.heard({DEPLOYMENT.gvk.group_kind})
    await asyncio.sleep(HEARD_SECONDS[1] + 0.2)
    assert len(meter.standings) == before


# -- signals are asked for beside the passes -----------------------------------------------------------------------------


class Asking:
    """In place of Pipeline.ask: counts, answers when it may, and is due again as soon as the test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, stage: Stage) -> None:
        self.answers = asyncio.Event()
        self.is_news = False
        self.error: Exception | None = None
        self.count = self.passes = 0
        self.at: float | None = 0.0
        run = stage.pipeline.run

        async def ask(spec: object) -> bool:
            self.count += 1
            self.at = None
            await self.answers.wait()
            if self.error:
                raise self.error
            return self.is_news

        async def counted(*arguments: Any, **more: Any) -> Any:
            self.passes += 1
            return await run(*arguments, **more)

        monkeypatch.setattr(stage.pipeline, "ask", ask)
        monkeypatch.setattr(stage.pipeline, "ask_at", lambda spec: self.at)
        monkeypatch.setattr(stage.pipeline, "run", counted)


@pytest.fixture
def asking(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Asking:
    return Asking(monkeypatch, stage)


async def test_a_slow_answer_delays_no_repair(stage: Stage, asking: Asking, reporter: Reporter, meter: Meter) -> None:
    actor = made(stage, reporter, meter)
    await until(lambda: reporter.ready().get("status") == "True")
    assert asking.count == 1
    stage.cluster.set_field(ref("a"), "data/colour", "red")
    actor.touch(ref("a"))
    await until(lambda: bool(stage.cluster.objects[ref("a")]["data"]["colour"] == "blue"))
    assert asking.count == 1, "while an answer is awaited nothing else is asked"
    await actor.close(seconds=1)


@pytest.mark.parametrize("is_news", [True, False], ids=["news", "no-news"])
async def test_an_answer_is_worth_a_pass_only_if_it_is_news(
    stage: Stage, asking: Asking, reporter: Reporter, meter: Meter, is_news: bool
) -> None:
    actor = made(stage, reporter, meter)
    await until(lambda: reporter.ready().get("status") == "True")
    await asyncio.sleep(0.2)
    passes, asking.is_news = asking.passes, is_news
    asking.answers.set()
    await asyncio.sleep(0.2)
    assert asking.passes - passes == is_news
    await actor.close(seconds=1)


async def test_it_asks_again_when_that_is_due(stage: Stage, asking: Asking, reporter: Reporter, meter: Meter) -> None:
    asking.answers.set()
    actor = made(stage, reporter, meter)
    await until(lambda: reporter.ready().get("status") == "True")
    asking.at = asyncio.get_running_loop().time() + 0.1
    actor.reconsider()
    await until(lambda: asking.count == 2)
    await asyncio.sleep(0.1)
    assert asking.count == 2
    await actor.close(seconds=1)


@pytest.mark.parametrize(
    "fields", [{"metadata": GOING}, {"dependsOn": [{"name": "third", "readyExpr": "dep.status.("}]}], ids=["leaving", "refused"]
)
async def test_while_it_leaves_or_is_refused_nothing_is_asked_and_nothing_is_busy(
    stage: Stage, asking: Asking, reporter: Reporter, meter: Meter, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any]
) -> None:
    steps, step = 0, Actor._step

    async def counted(actor: Actor) -> None:
        nonlocal steps
        steps += 1
        await step(actor)

    monkeypatch.setattr(Actor, "_step", counted)
    actor = made(stage, reporter, meter, **fields)
    await asyncio.sleep(0.2)
    assert (asking.count, steps <= 3) == (0, True)
    await actor.close(seconds=1)


async def test_a_question_that_is_under_way_when_it_is_refused_is_answered_once_and_no_more(
    stage: Stage, asking: Asking, reporter: Reporter, meter: Meter
) -> None:
    actor = made(stage, reporter, meter)
    await until(lambda: reporter.ready().get("status") == "True")
    asking.is_news, asking.at = True, 0.0
    actor.update(clusterstate(generation=2, dependsOn=[{"name": "third", "readyExpr": "dep.status.("}]))
    await until(lambda: reporter.ready().get("reason") == "InvalidSpec")
    asking.answers.set()
    passes = asking.passes
    await asyncio.sleep(0.2)
    assert (asking.count, asking.passes) == (1, passes)
    await actor.close(seconds=1)


async def test_what_is_being_asked_for_ends_with_it(stage: Stage, asking: Asking, reporter: Reporter, meter: Meter) -> None:
    actor = made(stage, reporter, meter)
    await until(lambda: reporter.ready().get("status") == "True")
    async with asyncio.timeout(2):
        await actor.close(seconds=1)
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("ask ")]


async def test_a_fault_while_asking_breaks_no_pass_off(stage: Stage, asking: Asking, reporter: Reporter, meter: Meter) -> None:
    actor = made(stage, reporter, meter)
    await until(lambda: reporter.ready().get("status") == "True")
    written = len(reporter.statuses)
    asking.error = ZeroDivisionError("nobody foresaw this")
    asking.answers.set()
    await asyncio.sleep(0.3)
    assert [status for status in reporter.statuses[written:] if "InternalError" in str(status["conditions"])] == []
    await actor.close(seconds=1)


async def test_signals_are_asked_for_and_what_they_say_comes_into_the_status(stage: Stage, reporter: Reporter, meter: Meter) -> None:
    stage.telemetry.values["errors"] = 0.5
    vital = {"prometheus": {"url": "http://prometheus:9090"}, "signals": [{"name": "errors", "query": "errors", "max": "0.01"}]}
    # The fake's clock stands still: what is due by it is asked for once.
    stage.clock.monotonic = asyncio.get_running_loop().time  # type: ignore[method-assign]
    actor = made(stage, reporter, meter, vital=vital)
    await until(lambda: bool(reporter.statuses) and bool((reporter.statuses[-1].get("vital") or {}).get("signals")))
    assert reporter.statuses[-1]["vital"]["signals"][0]["state"] == "Breached"
    assert meter.standings[-1].vital.signals == {"Breached": 1}
    assert stage.telemetry.asked == ["errors"]
    await actor.close(seconds=1)


async def test_a_cause_that_takes_long_keeps_no_news_of_signals_back(
    stage: Stage, reporter: Reporter, meter: Meter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cvstate_operator.reconcile.cause_stage.PROGRESS_SECONDS", 0.01)
    may_go_on = asyncio.Event()

    async def explain(*_: object) -> tuple[()]:
        await may_go_on.wait()
        return ()

    monkeypatch.setattr(stage.causes, "explain", explain)
    stage.git.commit(body("web", of=DEPLOYMENT, spec={"replicas": 1}))
    stage.telemetry.values["errors"] = 0.001
    vital = {
        "prometheus": {"url": "http://prometheus:9090"},
        "signals": [{"name": "errors", "query": "errors", "max": "0.01", "interval": "1s"}],
    }
    stage.clock.monotonic = asyncio.get_running_loop().time  # type: ignore[method-assign]
    actor = made(stage, reporter, meter, vital=vital)
    try:
        await until(lambda: bool(reporter.statuses) and reporter.statuses[-1].get("vital", {}).get("unready"))
        await asyncio.sleep(0.5)
        asked = len(stage.telemetry.asked)
        async with asyncio.timeout(2.5):
            while len(stage.telemetry.asked) < asked + 2:
                await asyncio.sleep(0.05)
    finally:
        may_go_on.set()
        await actor.close(seconds=1)


async def questions(stage: Stage, actor: Callable[[dict[str, Any]], Actor], *, interval: str, seconds: float) -> int:
    """How often a signal is asked for in that time while another one is awaited."""
    may_go_on, asked = asyncio.Event(), 0

    async def read(server: object, query: str, **_: object) -> Reading:
        nonlocal asked
        if query == "slow":
            await may_go_on.wait()
        asked += query == "fast"
        return Reading(stage.clock.now(), 0.0, 0.0, taken_at=stage.clock.now())

    stage.telemetry.read = read  # type: ignore[method-assign]
    stage.clock.monotonic = asyncio.get_running_loop().time  # type: ignore[method-assign]
    slow = {"name": "slow", "query": "slow", "max": "1", "interval": interval, "timeout": "10m"}
    fast = {"name": "fast", "query": "fast", "max": "1", "interval": interval}
    at_work = actor({"prometheus": {"url": "http://prometheus:9090"}, "signals": [slow, fast]})
    await asyncio.sleep(seconds)
    found = asked
    may_go_on.set()
    await at_work.close(seconds=1)
    return found


async def test_a_slow_answer_keeps_no_other_question_back(stage: Stage, reporter: Reporter, meter: Meter) -> None:
    assert await questions(stage, lambda vital: made(stage, reporter, meter, vital=vital), interval="2s", seconds=3.5) >= 2


async def test_a_slow_answer_makes_no_other_question_more_frequent(stage: Stage, reporter: Reporter, meter: Meter) -> None:
    assert await questions(stage, lambda vital: made(stage, reporter, meter, vital=vital), interval="1s", seconds=1.5) <= 3
