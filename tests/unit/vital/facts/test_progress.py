"""How far a workload has come, so that what goes forward is not late.

Aspects: every kind that tells it · what is further than before, and what is not · a new template begins anew · what cannot be read.
"""

from typing import Any

import pytest

from cvstate_operator.vital.facts import progress
from cvstate_operator.vital.facts.progress import REVISION, TEMPLATE_CHARACTERS, Progress
from tests.unit.vital import objects
from tests.unit.vital.objects import live

COUNTS = {"replicas": 5, "updatedReplicas": 3, "readyReplicas": 4, "availableReplicas": 2}
DAEMONS = {"observedGeneration": 7, "updatedNumberScheduled": 3, "numberReady": 4, "numberAvailable": 2}


def rolled(**annotations: Any) -> dict[str, Any]:
    return live("apps/v1", "Deployment", spec={"replicas": 5}, status=COUNTS, annotations=annotations)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(rolled(**{REVISION: "12"}), Progress("12", 3, 6), id="Deployment"),
        pytest.param(rolled(), Progress("", 3, 6), id="Deployment without a revision"),
        pytest.param(live("apps/v1", "Deployment", spec={}), Progress("", 0, 0), id="Deployment, just made"),
        pytest.param(
            live("apps/v1", "StatefulSet", status={**COUNTS, "updateRevision": "db-5d"}), Progress("db-5d", 3, 6), id="StatefulSet"
        ),
        pytest.param(objects.replica_set(readyReplicas=1), Progress("", 2, 3), id="ReplicaSet"),
        pytest.param(objects.replica_set(kind="ReplicationController"), Progress("", 2, 4), id="ReplicationController"),
        pytest.param(live("apps/v1", "DaemonSet", status=DAEMONS), Progress("7", 3, 6), id="DaemonSet"),
        pytest.param(live("batch/v1", "Job", status={"succeeded": 4, "failed": 9, "active": 2}), Progress("", 4, 0), id="Job"),
        pytest.param(
            live("argoproj.io/v1alpha1", "Rollout", status={**COUNTS, "currentPodHash": "6c5"}), Progress("6c5", 3, 6), id="Rollout"
        ),
        pytest.param(live("example.io/v1", "Widget", status=COUNTS), None, id="a kind that nobody knows"),
        pytest.param(live("v1", "ConfigMap"), None, id="ConfigMap"),
        pytest.param(live("apps/v1", "Deployment", status={"updatedReplicas": "3"}), None, id="counts that are none"),
        pytest.param(live("apps/v1", "Deployment", status=[7]), None, id="a status that is none"),
        pytest.param({"apiVersion": "a/b/c", "kind": 7}, None, id="no object"),
    ],
)
def test_each_workload_tells_how_far_it_is(body: Any, expected: Progress | None) -> None:
    assert progress.of(body) == expected


def test_a_name_that_somebody_made_long_takes_no_room() -> None:
    found = progress.of(rolled(**{REVISION: "9" * 100_000}))
    assert found is not None
    assert len(found.template) == TEMPLATE_CHARACTERS


BEST = Progress("7", 3, 6)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(Progress("7", 4, 6), Progress("7", 4, 6), id="updated"),
        pytest.param(Progress("7", 3, 7), Progress("7", 3, 7), id="up"),
        pytest.param(Progress("7", 4, 2), Progress("7", 4, 6), id="updated while others are not up"),
        pytest.param(Progress("7", 3, 6), None, id="the same"),
        pytest.param(Progress("7", 2, 6), None, id="fewer updated"),
        pytest.param(Progress("7", 3, 0), None, id="fewer up"),
        pytest.param(Progress("8", 0, 0), Progress("8", 0, 0), id="another template"),
        pytest.param(None, None, id="not told"),
    ],
)
def test_only_further_than_ever_is_progress(found: Progress | None, expected: Progress | None) -> None:
    assert progress.further(BEST, found) == expected


def test_the_first_that_is_told_is_progress() -> None:
    assert progress.further(None, BEST) == BEST
    assert progress.further(None, None) is None
