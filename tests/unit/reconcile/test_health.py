"""The health of one ClusterState, as its pipeline asks for it again and again.

Aspects: which objects count · what changed in the cluster is told by the next question, and nothing is put together anew without a change.
"""

import pytest

from cvstate_operator.reconcile import health
from cvstate_operator.reconcile.health import HealthStage
from tests.unit.builders import DEPLOYMENT, OWNER, body, ref
from tests.unit.reconcile.fakes import Stage

WEB, API = ref("web", of=DEPLOYMENT), ref("api", of=DEPLOYMENT)


@pytest.fixture
async def stage() -> Stage:
    stage = Stage()
    await stage.commit(body("web", of=DEPLOYMENT, spec={"replicas": 1}), body("api", of=DEPLOYMENT, spec={"replicas": 1}), body("a"))
    return stage


def judged(stage: Stage, watcher: HealthStage) -> list[str]:
    wanted = stage.pipeline._place.desired
    return [ref.name for ref, _ in watcher.judge(wanted, frozenset()).unready]


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
    assert not HealthStage(stage.index, owner="another").judge(stage.pipeline._place.desired, frozenset()).unready


async def test_a_kind_that_cannot_be_seen_any_more_is_told(stage: Stage) -> None:
    watcher, wanted = HealthStage(stage.index, owner=OWNER), stage.pipeline._place.desired
    assert not watcher.judge(wanted, frozenset()).blind
    assert watcher.judge(wanted, frozenset({DEPLOYMENT.gvk.group_kind})).blind


async def test_without_a_change_nothing_is_put_together_anew(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    watcher = HealthStage(stage.index, owner=OWNER)
    assert judged(stage, watcher) == ["api", "web"]
    monkeypatch.setattr(health, "health_of", None)
    stage.cluster.set_field(ref("a"), "/data", {"colour": "red"})
    await stage.run()
    assert judged(stage, watcher) == ["api", "web"]
