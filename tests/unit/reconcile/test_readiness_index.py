"""What members say of themselves, as the live index keeps it.

Aspects: only what is not ready is kept · how far it was at best, and when · workloads and their Pods · other rules make answers doubtful · whoever asks learns whether something is different ·
ApplySets do not mix · what is gone is forgotten.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cvstate_operator.api.vital import HealthExpr
from cvstate_operator.reconcile.readiness_index import ReadinessIndex
from cvstate_operator.vital.facts.progress import Progress
from cvstate_operator.vital.facts.replicas import Replicas
from cvstate_operator.vital.health.custom_health import Rules
from cvstate_operator.vital.health.state import Status
from tests.unit.builders import DEPLOYMENT, OWNER, RIVAL, WIDGET, body, ref

WEB, A, GEAR = ref("web", of=DEPLOYMENT), ref("a"), ref("gear", of=WIDGET)
RULES = Rules.of([HealthExpr(api_version="example.io/v1", kind="Widget", current="self.status.phase == 'Ready'")])


def deployment(ready: int, *, replicas: int = 3) -> dict[str, Any]:
    live = body("web", of=DEPLOYMENT, spec={"replicas": replicas})
    live["metadata"]["generation"] = 1
    counts = {"replicas": replicas, "updatedReplicas": replicas, "readyReplicas": ready, "availableReplicas": ready}
    return {**live, "status": {"observedGeneration": 1, **counts}}


def widget(phase: str) -> dict[str, Any]:
    return {**body("gear", of=WIDGET), "status": {"phase": phase}}


@pytest.fixture
def index() -> ReadinessIndex:
    return ReadinessIndex()


def test_one_that_is_ready_is_not_kept(index: ReadinessIndex) -> None:
    assert not index.judge(A, OWNER, body("a"))
    assert (index.unready(A, OWNER), dict(index.unready_of(OWNER)), index.version_of(OWNER)) == (None, {}, 0)


def test_one_that_is_not_ready_is_kept_until_it_is(index: ReadinessIndex) -> None:
    assert index.judge(WEB, OWNER, deployment(1))
    found = index.unready(WEB, OWNER)
    assert found is not None
    assert found.status is Status.IN_PROGRESS
    assert index.judge(WEB, OWNER, deployment(3))
    assert index.unready(WEB, OWNER) is None


def test_one_whose_kind_has_a_status_and_that_has_none_is_unknown(index: ReadinessIndex) -> None:
    assert not index.judge(GEAR, OWNER, body("gear", of=WIDGET))
    assert index.judge(GEAR, OWNER, body("gear", of=WIDGET), has_status=True)
    found = index.unready(GEAR, OWNER)
    assert found is not None
    assert found.status is Status.UNKNOWN
    assert index.judge(GEAR, OWNER, widget("Ready"), has_status=True)
    assert index.unready(GEAR, OWNER) is None


def test_a_workload_that_was_ready_and_has_no_ready_pod_left_is_down_and_that_is_news(index: ReadinessIndex) -> None:
    index.judge(WEB, OWNER, deployment(3))
    index.judge(WEB, OWNER, deployment(1))
    assert index.judge(WEB, OWNER, deployment(0))
    assert is_down(index)
    assert not index.judge(WEB, OWNER, deployment(0))
    assert is_down(index), "as long as it lasts"
    assert index.judge(WEB, OWNER, deployment(1))
    assert not is_down(index)


def test_a_workload_that_was_never_ready_is_not_down(index: ReadinessIndex) -> None:
    index.judge(WEB, OWNER, deployment(1))
    index.judge(WEB, OWNER, deployment(0))
    assert not is_down(index)


def test_one_that_was_deleted_is_new_when_it_comes_again(index: ReadinessIndex) -> None:
    index.judge(WEB, OWNER, deployment(3))
    index.forget(WEB, OWNER)
    index.judge(WEB, OWNER, deployment(0))
    assert not is_down(index)
    assert index._standing.keys() == {OWNER}
    index.forget(WEB, OWNER)
    assert not index._standing


def is_down(index: ReadinessIndex) -> bool:
    found = index.unready(WEB, OWNER)
    assert found is not None
    return found.is_down


def test_the_same_answer_in_other_words_is_no_news_and_yet_another_version(index: ReadinessIndex) -> None:
    index.judge(WEB, OWNER, deployment(1))
    before = index.version_of(OWNER)
    assert not index.judge(WEB, OWNER, deployment(2))
    assert index.version_of(OWNER) > before


def test_how_far_it_was_at_best_is_kept_with_the_time_of_that() -> None:
    moments = [datetime(2026, 1, 1, 12, tzinfo=UTC) + timedelta(minutes=minute) for minute in range(6)]
    times = iter(moments)
    index, seen = ReadinessIndex(lambda: next(times)), []
    for ready in (0, 1, 0, 1, 2, 1):
        index.judge(WEB, OWNER, deployment(ready))
        found = index.unready(WEB, OWNER)
        assert found is not None
        seen.append((found.progress, found.progressed_at))
    first, second, third = Progress("", 3, 0), Progress("", 3, 2), Progress("", 3, 4)
    assert seen == [(first, moments[0]), *3 * [(second, moments[1])], *2 * [(third, moments[4])]]


def test_what_was_not_seen_by_its_controller_yet_does_not_tell_how_far_it_is(index: ReadinessIndex) -> None:
    index.judge(WEB, OWNER, {**deployment(1), "status": {**deployment(1)["status"], "observedGeneration": 0}})
    found = index.unready(WEB, OWNER)
    assert found is not None
    assert found.progress is None


def test_pods_of_workloads_are_counted(index: ReadinessIndex) -> None:
    index.judge(WEB, OWNER, deployment(1))
    assert dict(index.replicas_of(OWNER)) == {WEB: Replicas(3, 1)}
    before = index.version_of(OWNER)
    index.judge(WEB, OWNER, deployment(3))
    assert dict(index.replicas_of(OWNER)) == {WEB: Replicas(3, 3)}
    assert index.version_of(OWNER) > before


def test_a_workload_that_asks_for_no_pods_has_none(index: ReadinessIndex) -> None:
    index.judge(WEB, OWNER, deployment(0, replicas=0))
    assert sum(one.desired for one in index.replicas_of(OWNER).values()) == 0


def test_what_is_gone_is_forgotten(index: ReadinessIndex) -> None:
    index.judge(WEB, OWNER, deployment(1))
    before = index.version_of(OWNER)
    assert index.forget(WEB, OWNER)
    assert index.version_of(OWNER) != before
    assert (dict(index.unready_of(OWNER)), dict(index.replicas_of(OWNER))) == ({}, {})
    assert not index.forget(WEB, OWNER)


def test_applysets_do_not_mix(index: ReadinessIndex) -> None:
    index.judge(WEB, OWNER, deployment(1))
    assert dict(index.unready_of(RIVAL)) == {}
    assert index.version_of(RIVAL) == 0
    index.forget(WEB, RIVAL)
    assert WEB in index.unready_of(OWNER)


@pytest.mark.parametrize(
    "live",
    [
        {},
        {"apiVersion": 3, "kind": []},
        {**body("web", of=DEPLOYMENT), "status": "up"},
        {**body("web", of=DEPLOYMENT), "spec": {"replicas": "x"}},
    ],
)
def test_nonsense_is_never_ready_and_never_raises(index: ReadinessIndex, live: dict[str, Any]) -> None:
    index.judge(WEB, OWNER, live)
    assert index.unready(WEB, OWNER) is not None


def test_an_applyset_of_which_nothing_is_left_leaves_nothing_behind(index: ReadinessIndex) -> None:
    for number in range(100):
        index.judge(WEB, f"applyset-{number}", deployment(1))
        index.forget(WEB, f"applyset-{number}")
    assert len(index._unready) + len(index._replicas) + len(index._versions) == 0


def test_an_applyset_that_comes_back_never_has_a_version_that_it_had(index: ReadinessIndex) -> None:
    versions = []
    for _ in range(3):
        index.judge(WEB, OWNER, deployment(1))
        versions.append(index.version_of(OWNER))
        index.forget(WEB, OWNER)
    assert len(set(versions)) == 3


# -- rules -------------------------------------------------------------------------------------------------------------


def test_rules_of_the_spec_judge_their_kind(index: ReadinessIndex) -> None:
    assert index.judge_by(OWNER, RULES, ()) == frozenset()
    assert index.judge(GEAR, OWNER, widget("Pending"))
    assert index.judge(GEAR, OWNER, widget("Ready"))
    assert not index.judge(GEAR, RIVAL, widget("Pending")), "they are of one ClusterState alone"


def test_other_rules_make_the_members_of_their_kind_doubtful_until_they_are_heard_of_again(index: ReadinessIndex) -> None:
    index.judge(GEAR, OWNER, widget("Pending"))
    assert index.judge_by(OWNER, RULES, (GEAR, WEB)) == {WIDGET.gvk.group_kind}
    assert (index.is_doubted(GEAR), index.is_doubted(WEB)) == (True, False)
    assert index.judge(GEAR, OWNER, widget("Pending"))
    assert not index.is_doubted(GEAR)
    assert index.judge_by(OWNER, RULES, (GEAR, WEB)) == frozenset()


def test_one_that_is_gone_is_not_doubted(index: ReadinessIndex) -> None:
    index.judge_by(OWNER, RULES, (GEAR,))
    index.forget(GEAR, OWNER)
    assert not index.is_doubted(GEAR)


def test_without_rules_again_the_kind_is_judged_as_always(index: ReadinessIndex) -> None:
    index.judge_by(OWNER, RULES, ())
    index.judge(GEAR, OWNER, widget("Pending"))
    assert index.judge_by(OWNER, {}, (GEAR,)) == {WIDGET.gvk.group_kind}
    assert index.judge(GEAR, OWNER, widget("Pending"))
    assert index.unready(GEAR, OWNER) is None
