"""Readiness of what keeps a number of Pods.

Aspects: roll-outs from unseen to complete · deadline, quota · what is held back by the spec · scaling, also to zero · surplus · partitions and revisions.
"""

import pytest

from cvstate_operator.vital.health.state import Reason
from tests.unit.vital import objects
from tests.unit.vital.health.table import CURRENT, FAILED, IN_PROGRESS, check, row
from tests.unit.vital.objects import condition, daemon_set, deployment, live, replica_set, stateful_set

UNAVAILABLE = condition("Available", "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
UPDATING = condition("Progressing", "True", "ReplicaSetUpdated", 'ReplicaSet "web-5d" is progressing.')
HELD = condition("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused")

DEPLOYMENTS = [
    row("complete", deployment(), CURRENT, Reason.READY, "3 of 3 replicas are ready"),
    row("no status yet", live("apps/v1", "Deployment", spec={"replicas": 3}, generation=1), IN_PROGRESS, Reason.NOT_OBSERVED),
    row("empty status", live("apps/v1", "Deployment", spec={}, status={}, generation=1), IN_PROGRESS, Reason.NOT_OBSERVED),
    row("zero replicas nobody saw", live("apps/v1", "Deployment", spec={"replicas": 0}, status={}), IN_PROGRESS, Reason.NOT_OBSERVED),
    row("newer spec", deployment(observed=3), IN_PROGRESS, Reason.NOT_OBSERVED, "generation 4"),
    row("observed is ahead of a restored object", deployment(observed=9), IN_PROGRESS, Reason.NOT_OBSERVED),
    row("no Pods", deployment(UPDATING, replicas=0, updatedReplicas=0, readyReplicas=0, availableReplicas=0), IN_PROGRESS, Reason.REPLICAS_MISSING, "0 of 3"),
    row("Pods not ready", deployment(UPDATING, UNAVAILABLE, readyReplicas=1, availableReplicas=1), IN_PROGRESS, Reason.REPLICAS_NOT_READY, "1 of 3 replicas are ready"),
    row("ready too short", deployment(UPDATING, availableReplicas=2), IN_PROGRESS, Reason.REPLICAS_NOT_AVAILABLE, "2 of 3 replicas are available"),
    row("old Pods serve still", deployment(UPDATING, replicas=4, updatedReplicas=1), IN_PROGRESS, Reason.REPLICAS_OUTDATED, "1 of 3 replicas are updated"),
    row("surplus old Pods", deployment(UPDATING, replicas=4), IN_PROGRESS, Reason.REPLICAS_SURPLUS, "4 replicas are there, and 3 are wanted"),
    row("deadline passed", deployment(objects.DEADLINE, updatedReplicas=1), FAILED, Reason.PROGRESS_DEADLINE_EXCEEDED, "timed out"),
    row("deadline of an older generation", deployment(objects.DEADLINE, observed=3), IN_PROGRESS, Reason.NOT_OBSERVED),
    row("a Pod fell over later", deployment(readyReplicas=2, availableReplicas=2), IN_PROGRESS, Reason.REPLICAS_NOT_READY),
    row("quota at the start", deployment(UPDATING, objects.QUOTA, replicas=1, updatedReplicas=1), IN_PROGRESS, Reason.REPLICA_FAILURE, "exceeded quota"),
    row("quota in a roll-out", deployment(UPDATING, objects.QUOTA, updatedReplicas=0), IN_PROGRESS, Reason.REPLICA_FAILURE, "0 of 3 replicas are updated: "),
    row("quota that did not matter", deployment(objects.QUOTA), CURRENT, Reason.READY),
    row("scaled to zero", deployment(wanted=0, replicas=0, updatedReplicas=0, readyReplicas=0, availableReplicas=0), CURRENT, Reason.READY, "no replicas"),
    row("scaling to zero", deployment(wanted=0), IN_PROGRESS, Reason.REPLICAS_SURPLUS),
    row("scaling up", deployment(wanted=5), IN_PROGRESS, Reason.REPLICAS_MISSING, "3 of 5"),
    row("one replica by default", deployment(wanted=None, replicas=1, updatedReplicas=1, readyReplicas=1, availableReplicas=1), CURRENT, Reason.READY, "1 of 1"),
    row("without deadline there is no condition", deployment(condition("Available", "True", "MinimumReplicasAvailable")), CURRENT, Reason.READY),
    row("paused in the middle", deployment(HELD, paused=True, replicas=4, updatedReplicas=1), CURRENT, Reason.PAUSED, "1 of 3 replicas are updated"),
    row("paused when complete", deployment(HELD, paused=True), CURRENT, Reason.PAUSED),
    row("paused before any Pod", deployment(HELD, paused=True, replicas=0, updatedReplicas=0, readyReplicas=0, availableReplicas=0), IN_PROGRESS, Reason.REPLICAS_MISSING),
    row("paused and not ready", deployment(HELD, paused=True, readyReplicas=2, availableReplicas=2), IN_PROGRESS, Reason.REPLICAS_NOT_READY),
]  # fmt: skip

REPLICA_SETS = [
    row(f"{kind} {name}", replica_set(*entries, kind=kind, **counts), status, reason, told)
    for kind in ("ReplicaSet", "ReplicationController")
    for name, entries, counts, status, reason, told in (
        ("complete", (), {}, CURRENT, Reason.READY, "2 of 2 replicas are ready"),
        ("Pods missing", (), {"replicas": 1}, IN_PROGRESS, Reason.REPLICAS_MISSING, "1 of 2"),
        ("quota", (objects.QUOTA,), {"replicas": 1}, IN_PROGRESS, Reason.REPLICA_FAILURE, "exceeded quota"),
        ("not ready", (), {"readyReplicas": 0, "availableReplicas": 0}, IN_PROGRESS, Reason.REPLICAS_NOT_READY, "0 of 2"),
        ("ready too short", (), {"availableReplicas": 1}, IN_PROGRESS, Reason.REPLICAS_NOT_AVAILABLE, "1 of 2"),
        ("scaling down", (), {"wanted": 1}, IN_PROGRESS, Reason.REPLICAS_SURPLUS, "2 replicas are there, and 1 are wanted"),
        ("adopted Pods without labels", (), {"fullyLabeledReplicas": 0}, CURRENT, Reason.READY, ""),
    )
] + [
    row("ReplicaSet nobody saw", live("apps/v1", "ReplicaSet", spec={"replicas": 0}, status={"replicas": 0}, generation=1), IN_PROGRESS, Reason.NOT_OBSERVED),
    row("ReplicationController nobody saw", live("v1", "ReplicationController", spec={"replicas": 0}, generation=1), IN_PROGRESS, Reason.NOT_OBSERVED),
]  # fmt: skip

ON_DELETE = {"type": "OnDelete"}
FROM_TWO = {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}
FROM_NINE = {"type": "RollingUpdate", "rollingUpdate": {"partition": 9}}

STATEFUL_SETS = [
    row("complete", stateful_set(), CURRENT, Reason.READY, "3 of 3"),
    row("no status yet", live("apps/v1", "StatefulSet", spec={"replicas": 3}, generation=1), IN_PROGRESS, Reason.NOT_OBSERVED),
    row("first of three", stateful_set(replicas=1, readyReplicas=0, availableReplicas=0, currentReplicas=1), IN_PROGRESS, Reason.REPLICAS_MISSING, "1 of 3"),
    row("not ready", stateful_set(readyReplicas=2, availableReplicas=2), IN_PROGRESS, Reason.REPLICAS_NOT_READY, "2 of 3"),
    row("ready too short", stateful_set(availableReplicas=2), IN_PROGRESS, Reason.REPLICAS_NOT_AVAILABLE),
    row("rolling", stateful_set(new="web-b", updatedReplicas=1, currentReplicas=2), IN_PROGRESS, Reason.REPLICAS_OUTDATED, "1 of 3"),
    row("rolling without a strategy", stateful_set(strategy={}, new="web-b", updatedReplicas=0), IN_PROGRESS, Reason.REPLICAS_OUTDATED),
    row("all updated, revision about to be taken over", stateful_set(new="web-b", currentReplicas=0), CURRENT, Reason.READY),
    row("done, updates no longer counted", stateful_set(updatedReplicas=0), CURRENT, Reason.READY),
    row("down to the partition", stateful_set(strategy=FROM_TWO, new="web-b", updatedReplicas=1, currentReplicas=2), CURRENT, Reason.READY),
    row("not yet down to the partition", stateful_set(strategy=FROM_TWO, new="web-b", updatedReplicas=0), IN_PROGRESS, Reason.REPLICAS_OUTDATED, "0 of 1"),
    row("partition beyond all Pods", stateful_set(strategy=FROM_NINE, new="web-b", updatedReplicas=0), CURRENT, Reason.READY),
    row("partition, one not ready", stateful_set(strategy=FROM_TWO, new="web-b", updatedReplicas=1, readyReplicas=2), IN_PROGRESS, Reason.REPLICAS_NOT_READY),
    row("update on delete", stateful_set(strategy=ON_DELETE, new="web-b", updatedReplicas=0), CURRENT, Reason.READY),
    row("update on delete, none ready", stateful_set(strategy=ON_DELETE, readyReplicas=0, availableReplicas=0), IN_PROGRESS, Reason.REPLICAS_NOT_READY),
    row("scaling down", stateful_set(wanted=1), IN_PROGRESS, Reason.REPLICAS_SURPLUS),
    row("scaled to zero", stateful_set(wanted=0, replicas=0, readyReplicas=0, availableReplicas=0, updatedReplicas=0), CURRENT, Reason.READY, "no replicas"),
]  # fmt: skip

DAEMON_SETS = [
    row("complete", daemon_set(), CURRENT, Reason.READY, "5 of 5"),
    row("no status yet", live("apps/v1", "DaemonSet", spec={}, generation=1), IN_PROGRESS, Reason.NOT_OBSERVED),
    row("a node without Pod", daemon_set(currentNumberScheduled=4), IN_PROGRESS, Reason.REPLICAS_MISSING, "4 of 5"),
    row("rolling", daemon_set(updatedNumberScheduled=2), IN_PROGRESS, Reason.REPLICAS_OUTDATED, "2 of 5"),
    row("not ready", daemon_set(numberReady=4, numberAvailable=4), IN_PROGRESS, Reason.REPLICAS_NOT_READY, "4 of 5"),
    row("ready too short", daemon_set(numberAvailable=4), IN_PROGRESS, Reason.REPLICAS_NOT_AVAILABLE),
    row("update on delete", daemon_set(strategy="OnDelete", updatedNumberScheduled=0), CURRENT, Reason.READY),
    row("Pods where none should be", daemon_set(numberMisscheduled=2, currentNumberScheduled=6), CURRENT, Reason.READY),
    row("no node fits", daemon_set(**dict.fromkeys(("desiredNumberScheduled", "currentNumberScheduled", "updatedNumberScheduled", "numberReady", "numberAvailable"), 0)), CURRENT, Reason.READY, "no replicas"),
]  # fmt: skip


@pytest.mark.parametrize(("obj", "status", "reason", "told"), DEPLOYMENTS)
def test_a_deployment_is_current_when_its_roll_out_is_complete(obj, status, reason, told):
    check(obj, status, reason, told)


@pytest.mark.parametrize(("obj", "status", "reason", "told"), REPLICA_SETS)
def test_a_replica_set_is_current_when_as_many_pods_as_wanted_are_available(obj, status, reason, told):
    check(obj, status, reason, told)


@pytest.mark.parametrize(("obj", "status", "reason", "told"), STATEFUL_SETS)
def test_a_stateful_set_is_current_when_all_are_ready_and_those_behind_the_partition_updated(obj, status, reason, told):
    check(obj, status, reason, told)


@pytest.mark.parametrize(("obj", "status", "reason", "told"), DAEMON_SETS)
def test_a_daemon_set_is_current_when_every_node_has_its_pod(obj, status, reason, told):
    check(obj, status, reason, told)
