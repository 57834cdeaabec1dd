"""The health of one ClusterState, as its pipeline asks for it again and again.

Aspects: which objects count · what changed in the cluster is told by the next question, and nothing is put together anew without a change · since when, and how
it counts: on its way, degraded, missing, not seen · restarts.
"""

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any

import pytest

from cvstate_operator.objects.identity import GroupKind, ObjectRef
from cvstate_operator.reconcile import health
from cvstate_operator.reconcile.health import Health, HealthStage
from cvstate_operator.vital.health.lapse import SETTLE_SECONDS, HealthCounts, Level
from cvstate_operator.vital.reading import Gap
from tests.unit.builders import DEPLOYMENT, OWNER, body, ref
from tests.unit.reconcile.fakes import Stage

WEB, API = ref("web", of=DEPLOYMENT), ref("api", of=DEPLOYMENT)


@pytest.fixture
async def stage() -> Stage:
    stage = Stage()
    await stage.commit(body("web", of=DEPLOYMENT, spec={"replicas": 1}), body("api", of=DEPLOYMENT, spec={"replicas": 1}), body("a"))
    return stage


def judged(stage: Stage, watcher: HealthStage) -> list[str]:
    return [ref.name for ref, _ in judge(stage, watcher).unready]


def judge(
    stage: Stage,
    watcher: HealthStage,
    *,
    blind: Mapping[GroupKind, Gap] | None = None,
    missing: Collection[ObjectRef] = (),
    after: float = 300.0,
) -> Health:
    return watcher.judge(stage.pipeline._stages.place.desired, blind or {}, missing=missing, degraded_after=after, now=stage.clock.now())


async def test_what_changes_in_the_cluster_is_told_by_the_next_question(stage: Stage) -> None:
    watcher = HealthStage(stage.index, owner=OWNER)
    assert judged(stage, watcher) == ["api", "web"]
    stage.cluster.bring_up(WEB)
    assert judged(stage, watcher) == ["api"]
    stage.cluster.delete(API)
    assert judged(stage, watcher) == []
    stage.cluster.bring_up(WEB, is_up=False)
    assert judged(stage, watcher) == ["web"]


async def test_only_what_is_wanted_counts(stage: Stage) -> None:
    watcher = HealthStage(stage.index, owner=OWNER)
    assert judged(stage, watcher) == ["api", "web"]
    await stage.commit(body("web", of=DEPLOYMENT, spec={"replicas": 1}))
    assert judged(stage, watcher) == ["web"]
    assert not judge(stage, HealthStage(stage.index, owner="another")).unready


async def test_a_kind_that_cannot_be_seen_any_more_is_told(stage: Stage) -> None:
    watcher = HealthStage(stage.index, owner=OWNER)
    assert not judge(stage, watcher).blind
    assert judge(stage, watcher, blind={DEPLOYMENT.gvk.group_kind: Gap.UNREACHABLE}).blind


async def test_without_a_change_nothing_is_put_together_anew(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    watcher = HealthStage(stage.index, owner=OWNER)
    assert judged(stage, watcher) == ["api", "web"]
    monkeypatch.setattr(health, "health_of", None)
    stage.cluster.set_field(ref("a"), "/data", {"colour": "red"})
    await stage.run()
    assert judged(stage, watcher) == ["api", "web"]


# -- how it counts -----------------------------------------------------------------------------------------------------


def counts(found: Health) -> HealthCounts:
    return found.counts


async def test_what_is_on_its_way_is_degraded_when_that_takes_too_long(stage: Stage) -> None:
    watcher = HealthStage(stage.index, owner=OWNER)
    began = stage.clock.now()
    assert counts(judge(stage, watcher)) == HealthCounts(ready=1, progressing=2)
    assert watcher.next_change == began + timedelta(seconds=300)
    stage.clock.seconds += 299
    assert counts(judge(stage, watcher)).progressing == 2
    stage.clock.seconds += 1
    found = judge(stage, watcher)
    assert counts(found) == HealthCounts(ready=1, degraded=2)
    assert found.oldest == {Level.DEGRADED: began}
    assert watcher.next_change is None


async def test_what_goes_forward_is_not_late_though_nobody_looks_meanwhile(stage: Stage) -> None:
    """Its counts are no reason for a pass, so the next look is the one at which it would be degraded."""
    watcher = HealthStage(stage.index, owner=OWNER)
    stage.cluster.bring_up(API)

    def rolls(updated: int) -> None:
        generation = stage.cluster.objects[WEB]["metadata"]["generation"]
        counts = {"replicas": 20, "updatedReplicas": updated, "readyReplicas": 20, "availableReplicas": 20}
        stage.cluster.tell(WEB, {"observedGeneration": generation, **counts})

    stage.cluster.set_field(WEB, "spec/replicas", 20)
    rolls(0)
    judge(stage, watcher)
    for updated in range(1, 15):
        stage.clock.seconds += 50
        rolls(updated)
        due = watcher.next_change
        if due and due <= stage.clock.now():
            assert counts(judge(stage, watcher)).degraded == 0
    last = stage.clock.now()
    assert counts(judge(stage, watcher)).degraded == 0
    assert watcher.next_change == last + timedelta(seconds=300)
    stage.clock.seconds += 300
    assert counts(judge(stage, watcher)).degraded == 1


async def test_another_degraded_after_counts_at_once(stage: Stage) -> None:
    watcher = HealthStage(stage.index, owner=OWNER)
    judge(stage, watcher)
    stage.clock.seconds += 60
    assert counts(judge(stage, watcher, after=30.0)).degraded == 2


async def test_a_workload_that_is_scaled_for_a_moment_is_never_degraded(stage: Stage) -> None:
    watcher = HealthStage(stage.index, owner=OWNER)
    for one in (WEB, API):
        stage.cluster.bring_up(one)
    assert counts(judge(stage, watcher)) == HealthCounts(ready=3)
    for _ in range(20):
        stage.cluster.bring_up(WEB, is_up=False)
        stage.clock.seconds += 20
        assert counts(judge(stage, watcher)).degraded == 0
        stage.cluster.bring_up(WEB)
        judge(stage, watcher)
        stage.clock.seconds += SETTLE_SECONDS
        assert counts(judge(stage, watcher)) == HealthCounts(ready=3)


async def test_one_that_is_ready_for_seconds_only_is_one_lapse(stage: Stage) -> None:
    watcher = HealthStage(stage.index, owner=OWNER)
    began = stage.clock.now()
    for _ in range(6):
        stage.cluster.bring_up(WEB, is_up=False)
        judge(stage, watcher)
        stage.clock.seconds += 50
        stage.cluster.bring_up(WEB)
        judge(stage, watcher)
        stage.clock.seconds += 10
    found = judge(stage, watcher)
    assert (found.lapses[WEB].since, found.lapses[WEB].was_degraded) == (began, True)


async def test_what_is_missing_is_missing_at_once_and_ready_when_it_is_back(stage: Stage) -> None:
    watcher = HealthStage(stage.index, owner=OWNER)
    gone = ref("a")
    stage.cluster.delete(gone)
    found = judge(stage, watcher, missing=[gone])
    assert (counts(found).missing, counts(found).total, found.worst[0][0]) == (1, 3, gone)
    stage.cluster.put(body("a"))
    await stage.run()
    judge(stage, watcher)
    stage.clock.seconds += SETTLE_SECONDS
    assert counts(judge(stage, watcher)).missing == 0


async def test_what_cannot_be_seen_is_unknown_and_never_ready(stage: Stage) -> None:
    watcher = HealthStage(stage.index, owner=OWNER)
    for one in (WEB, API):
        stage.cluster.bring_up(one)
    found = judge(stage, watcher, blind={DEPLOYMENT.gvk.group_kind: Gap.UNREACHABLE})
    assert counts(found) == HealthCounts(ready=1, unknown=2)
    assert found.blind


async def test_one_that_was_degraded_stays_so_while_it_cannot_be_seen(stage: Stage) -> None:
    watcher = HealthStage(stage.index, owner=OWNER)
    judge(stage, watcher)
    stage.clock.seconds += 300
    judge(stage, watcher)
    found = judge(stage, watcher, blind={DEPLOYMENT.gvk.group_kind: Gap.UNREACHABLE})
    assert counts(found) == HealthCounts(ready=1, degraded=2, outdated=2)


async def test_what_is_not_declared_any_more_is_forgotten(stage: Stage) -> None:
    watcher = HealthStage(stage.index, owner=OWNER)
    judge(stage, watcher)
    await stage.commit(body("a"))
    found = judge(stage, watcher)
    assert (dict(found.lapses), watcher.next_change) == ({}, None)


# -- restarts ----------------------------------------------------------------------------------------------------------


def remembered(stage: Stage) -> Mapping[str, Any]:
    return stage.status


async def test_since_when_an_object_is_not_ready_survives_a_restart(stage: Stage) -> None:
    stage.clock.seconds += 250
    await stage.run(full=True)
    watcher = HealthStage(stage.index, owner=OWNER, status=remembered(stage))
    assert counts(judge(stage, watcher)).progressing == 2
    stage.clock.seconds += 50
    assert counts(judge(stage, watcher)).degraded == 2


async def test_nonsense_in_the_status_is_nothing_that_is_remembered(stage: Stage) -> None:
    told = {"vital": {"unready": [{"object": str(WEB), "state": "Failed", "since": "never"}, {"object": 3}, {"state": "Ready"}]}}
    watcher = HealthStage(stage.index, owner=OWNER, status=told)
    assert counts(judge(stage, watcher)) == HealthCounts(ready=1, progressing=2)


async def test_what_was_ready_after_a_restart_begins_anew_when_it_is_not_ready_later(stage: Stage) -> None:
    stage.clock.seconds += 400
    await stage.run(full=True)
    watcher = HealthStage(stage.index, owner=OWNER, status=remembered(stage))
    for one in (WEB, API):
        stage.cluster.bring_up(one)
    judge(stage, watcher)
    stage.clock.seconds += 86400
    judge(stage, watcher)
    stage.cluster.bring_up(WEB, is_up=False)
    assert counts(judge(stage, watcher)) == HealthCounts(ready=2, progressing=1)


async def test_what_cannot_be_seen_does_not_become_degraded_by_time_alone(stage: Stage) -> None:
    watcher = HealthStage(stage.index, owner=OWNER)
    judge(stage, watcher)
    blind = {DEPLOYMENT.gvk.group_kind: Gap.UNREACHABLE}
    judge(stage, watcher, blind=blind)
    stage.clock.seconds += 600
    assert counts(judge(stage, watcher, blind=blind)) == HealthCounts(ready=1, unknown=2)


# -- what is down --------------------------------------------------------------------------------------------------


async def test_the_only_workload_that_was_ready_and_has_nothing_left_is_down_at_once_and_degraded_soon(stage: Stage) -> None:
    watcher = HealthStage(stage.index, owner=OWNER)
    stage.cluster.bring_up(WEB)
    stage.cluster.bring_up(API)
    assert not judge(stage, watcher).is_down
    stage.cluster.bring_up(WEB, is_up=False)
    found = judge(stage, watcher)
    assert (found.is_down, found.counts) == (True, HealthCounts(ready=2, progressing=1))
    assert not judge(stage, watcher, blind={DEPLOYMENT.gvk.group_kind: Gap.UNREACHABLE}).is_down
    stage.clock.seconds += SETTLE_SECONDS
    found = judge(stage, watcher)
    assert (found.is_down, found.counts) == (True, HealthCounts(ready=2, degraded=1))
    stage.cluster.bring_up(WEB)
    assert not judge(stage, watcher).is_down


async def test_a_new_revision_of_a_workload_that_was_ready_is_not_down(stage: Stage) -> None:
    watcher = HealthStage(stage.index, owner=OWNER)
    stage.cluster.bring_up(WEB)
    stage.cluster.bring_up(API)
    judge(stage, watcher)
    await stage.commit(body("web", of=DEPLOYMENT, spec={"replicas": 1, "image": "web:2"}), body("a"))
    stage.cluster.bring_up(WEB, is_up=False)
    assert not judge(stage, watcher).is_down
    stage.clock.seconds += 2 * SETTLE_SECONDS
    assert judge(stage, watcher).counts == HealthCounts(ready=1, progressing=1)


async def test_what_gets_ready_while_its_kind_cannot_be_seen_was_not_late(stage: Stage) -> None:
    watcher = HealthStage(stage.index, owner=OWNER)
    stage.cluster.bring_up(API)
    judge(stage, watcher)
    stage.clock.seconds += 400
    judge(stage, watcher, blind={DEPLOYMENT.gvk.group_kind: Gap.UNREACHABLE})
    stage.cluster.bring_up(WEB)
    assert judge(stage, watcher).counts == HealthCounts(ready=3)
