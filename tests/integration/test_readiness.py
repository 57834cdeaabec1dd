"""Readiness of real objects, as the controllers of a real cluster write them.

Aspects: a roll-out from unseen to complete · Pods that crash, and that fit nowhere · Jobs · autoscalers in both versions · what a cluster is made of.
"""

from collections.abc import Iterator

import pytest

from cvstate_operator.vital.health.readiness import readiness
from cvstate_operator.vital.health.state import Readiness, Reason, Status
from tests.cluster.control_plane import Cluster
from tests.support.api import Api, Json
from tests.support.objects import definition, deployment, manifest
from tests.support.waiting import until

pytestmark = pytest.mark.integration

NAMESPACE = "/api/v1/namespaces/default"
APPS = "/apis/apps/v1/namespaces/default"
BATCH = "/apis/batch/v1/namespaces/default"
SCALING = "/apis/autoscaling/{}/namespaces/default/horizontalpodautoscalers"
FATE = "test.cvstate.io/fate"


@pytest.fixture(scope="module")
def full() -> Iterator[Api]:
    """A cluster with controllers and simulated nodes."""
    with Cluster.start(nodes=2) as running:
        yield Api(running.admin_kubeconfig)


def judged(api: Api, path: str) -> Readiness:
    found = api.get(path)
    assert found is not None
    return readiness(found)


def wait(api: Api, path: str, status: Status, reason: Reason) -> Readiness:
    """Wait until the object is judged so."""

    def look() -> Readiness | None:
        found = judged(api, path)
        return found if (found.status, found.reason) == (status, reason) else None

    return until(f"{path} is {status}, {reason}", look, seconds=60, every=0.1)


def pod_template(name: str, **spec: object) -> Json:
    return {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "main", "image": "registry.example/app:1"}], **spec}}


def test_a_roll_out_goes_from_unseen_over_in_progress_to_current(full: Api):
    made = full.create(f"{APPS}/deployments", deployment("web", replicas=3))
    assert readiness(made).reason is Reason.NOT_OBSERVED
    assert wait(full, f"{APPS}/deployments/web", Status.CURRENT, Reason.READY).message == "3 of 3 replicas are ready"

    change = {"spec": {"template": {"metadata": {"labels": {"version": "2"}}}}}
    changed = full.merge(f"{APPS}/deployments/web", change)
    assert readiness(changed).reason is Reason.NOT_OBSERVED
    wait(full, f"{APPS}/deployments/web", Status.CURRENT, Reason.READY)

    full.merge(f"{APPS}/deployments/web", {"spec": {"replicas": 0}})
    assert wait(full, f"{APPS}/deployments/web", Status.CURRENT, Reason.READY).message == "no replicas are asked for"


def test_a_crashing_deployment_misses_its_deadline(full: Api):
    body = deployment("crash", replicas=2)
    body["spec"]["template"]["metadata"]["labels"][FATE] = "crash-loop"
    body["spec"]["progressDeadlineSeconds"] = 3
    full.create(f"{APPS}/deployments", body)
    wait(full, f"{APPS}/deployments/crash", Status.FAILED, Reason.PROGRESS_DEADLINE_EXCEEDED)
    pods = full.request("GET", f"{NAMESPACE}/pods?labelSelector=app%3Dcrash")[1]["items"]
    assert {readiness({"apiVersion": "v1", "kind": "Pod", **pod}).reason for pod in pods} == {Reason.CRASH_LOOP}


def test_a_paused_deployment_with_its_pods_is_current_though_not_updated(full: Api):
    full.create(f"{APPS}/deployments", deployment("held", replicas=2))
    wait(full, f"{APPS}/deployments/held", Status.CURRENT, Reason.READY)
    full.merge(f"{APPS}/deployments/held", {"spec": {"paused": True, "template": {"metadata": {"labels": {"version": "2"}}}}})
    assert wait(full, f"{APPS}/deployments/held", Status.CURRENT, Reason.PAUSED).message == "is paused; 0 of 2 replicas are updated"


@pytest.mark.parametrize("strategy", ["RollingUpdate", "OnDelete"])
def test_a_stateful_set_rolls_out_or_waits_for_hands(full: Api, strategy: str):
    name = f"db-{strategy.lower()}"
    spec = {"replicas": 2, "serviceName": name, "selector": {"matchLabels": {"app": name}}, "template": pod_template(name)}
    full.create(
        f"{APPS}/statefulsets", manifest("StatefulSet", name, api_version="apps/v1", spec=spec | {"updateStrategy": {"type": strategy}})
    )
    path = f"{APPS}/statefulsets/{name}"
    wait(full, path, Status.CURRENT, Reason.READY)
    full.merge(path, {"spec": {"template": {"metadata": {"labels": {"version": "2"}}}}})
    wait(full, path, Status.CURRENT, Reason.READY)
    status = (full.get(path) or {})["status"]
    assert (status["updateRevision"] == status["currentRevision"]) == (strategy == "RollingUpdate")


def test_a_daemon_set_is_current_with_a_pod_on_every_node(full: Api):
    spec = {"selector": {"matchLabels": {"app": "agent"}}, "template": pod_template("agent", tolerations=[{"operator": "Exists"}])}
    full.create(f"{APPS}/daemonsets", manifest("DaemonSet", "agent", api_version="apps/v1", spec=spec))
    assert wait(full, f"{APPS}/daemonsets/agent", Status.CURRENT, Reason.READY).message == "2 of 2 replicas are ready"


def test_a_pod_that_fits_nowhere_is_unschedulable(full: Api):
    pod = manifest("Pod", "nowhere", **pod_template("nowhere", nodeSelector={"no": "such"}))
    full.create(f"{NAMESPACE}/pods", {**pod, "metadata": {"name": "nowhere"}})
    assert "node" in wait(full, f"{NAMESPACE}/pods/nowhere", Status.IN_PROGRESS, Reason.UNSCHEDULABLE).message


def test_a_job_is_suspended_and_runs_to_its_end_once_resumed(full: Api):
    spec = {"completions": 2, "suspend": True, "template": pod_template("task", restartPolicy="Never")}
    full.create(f"{BATCH}/jobs", manifest("Job", "task", api_version="batch/v1", spec=spec))
    wait(full, f"{BATCH}/jobs/task", Status.CURRENT, Reason.SUSPENDED)
    full.merge(f"{BATCH}/jobs/task", {"spec": {"suspend": False}})
    wait(full, f"{BATCH}/jobs/task", Status.CURRENT, Reason.COMPLETED)


def test_an_autoscaler_without_target_is_judged_alike_in_both_versions(full: Api):
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "missing"}
    spec = {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 3}
    full.create(SCALING.format("v2"), manifest("HorizontalPodAutoscaler", "hpa", api_version="autoscaling/v2", spec=spec))
    new = wait(full, f"{SCALING.format('v2')}/hpa", Status.IN_PROGRESS, Reason.TARGET_MISSING)
    assert judged(full, f"{SCALING.format('v1')}/hpa") == new


def test_a_disruption_budget_is_current_once_computed(full: Api):
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "nobody"}}}
    path = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
    full.create(path, manifest("PodDisruptionBudget", "pdb", api_version="policy/v1", spec=spec))
    wait(full, f"{path}/pdb", Status.CURRENT, Reason.READY)


def test_a_claim_without_provisioner_says_that_it_may_wait_for_a_pod(full: Api):
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    full.create(f"{NAMESPACE}/persistentvolumeclaims", manifest("PersistentVolumeClaim", "data", spec=spec))
    wait(full, f"{NAMESPACE}/persistentvolumeclaims/data", Status.IN_PROGRESS, Reason.AWAITS_CONSUMER)


def test_a_definition_is_current_once_served_and_failed_if_another_has_its_names(full: Api):
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    full.create(path, definition("example.io", "Readied"))
    wait(full, f"{path}/readieds.example.io", Status.CURRENT, Reason.READY)
    rival = definition("example.io", "Rival")
    rival["spec"]["names"]["kind"] = "Readied"
    full.create(path, rival)
    assert "Readied" in wait(full, f"{path}/rivals.example.io", Status.FAILED, Reason.SPEC_REFUSED).message


def test_what_the_cluster_made_itself_is_current(full: Api):
    wait(full, "/api/v1/namespaces/default", Status.CURRENT, Reason.READY)
    wait(full, "/apis/apiregistration.k8s.io/v1/apiservices/v1.apps", Status.CURRENT, Reason.READY)
    wait(full, f"{NAMESPACE}/services/kubernetes", Status.CURRENT, Reason.READY)
    wait(full, "/apis/networking.k8s.io/v1/servicecidrs/kubernetes", Status.CURRENT, Reason.READY)
    for node in full.request("GET", "/api/v1/nodes")[1]["items"]:
        wait(full, f"/api/v1/nodes/{node['metadata']['name']}", Status.CURRENT, Reason.READY)


def test_a_namespace_that_goes_is_terminating_and_tells_what_holds_it(full: Api):
    full.create("/api/v1/namespaces", manifest("Namespace", "going", namespace=None))
    hold = {"metadata": {"finalizers": ["example.io/hold"]}}
    full.merge("/api/v1/namespaces/going", hold)
    full.delete("/api/v1/namespaces/going")
    assert "example.io/hold" in wait(full, "/api/v1/namespaces/going", Status.TERMINATING, Reason.DELETING).message
    full.merge("/api/v1/namespaces/going", {"metadata": {"finalizers": []}})
