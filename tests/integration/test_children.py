"""Why workloads of a real cluster are not ready, as their Pods tell it.

Aspects: crash loops, images, no node, all well · each kind of workload, and kinds without Pods · Pods of others with the same labels · how many requests it takes ·
rights · looks at the same time · an API server that does not answer.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import yaml

from cvstate_operator import errors
from cvstate_operator.kube import children as adapter
from cvstate_operator.kube.children import Children
from cvstate_operator.kube.client import Client
from cvstate_operator.kube.connection import connect
from cvstate_operator.objects.identity import ApiResource, Gvk, ObjectRef
from cvstate_operator.vital.health.children import Child
from tests.cluster.control_plane import Cluster
from tests.cluster.stack import OPERATOR_USER
from tests.support.api import Api, Json
from tests.support.objects import RBAC, deployment, manifest
from tests.support.waiting import until

pytestmark = pytest.mark.integration

CORE = "/api/v1/namespaces/default"
APPS = "/apis/apps/v1/namespaces/default"
BATCH = "/apis/batch/v1/namespaces/default"
FATE = "test.cvstate.io/fate"
PLURALS = {"Deployment": "deployments", "ReplicaSet": "replicasets", "StatefulSet": "statefulsets", "DaemonSet": "daemonsets"}


@pytest.fixture(scope="module")
def full() -> Iterator[Cluster]:
    """A cluster with controllers and simulated nodes."""
    with Cluster.start(nodes=2) as running:
        yield running


@pytest.fixture(scope="module")
def api(full: Cluster) -> Api:
    return Api(full.admin_kubeconfig)


@pytest.fixture
async def client(full: Cluster) -> AsyncIterator[Client]:
    connection = await connect(full.operator_kubeconfig)
    found = Client(connection, observe=lambda **_: None)
    yield found
    await found.close()
    await connection.close()


def resource(kind: str) -> ApiResource:
    match kind:
        case "Job" | "CronJob":
            return ApiResource(Gvk("batch", "v1", kind), f"{kind.lower()}s", True)
        case "Pod" | "Service" | "ReplicationController":
            return ApiResource(Gvk("", "v1", kind), f"{kind.lower()}s", True)
        case _:
            return ApiResource(Gvk("apps", "v1", kind), PLURALS[kind], True)


def ref(kind: str, name: str) -> ObjectRef:
    return ObjectRef(resource(kind).gvk.group, kind, "default", name)


async def explained(client: Client, kind: str, name: str) -> tuple[Child, ...]:
    return await Children(client).explain(resource(kind), ref(kind, name))


def pods(api: Api, app: str) -> list[Json]:
    return list(api.request("GET", f"{CORE}/pods?labelSelector=app%3D{app}")[1]["items"])


def wait_for_pods(api: Api, app: str, count: int, phase: str) -> list[Json]:
    def look() -> list[Json] | None:
        found = pods(api, app)
        return found if [pod["status"].get("phase") for pod in found] == [phase] * count else None

    return until(f"{count} Pods of {app} are {phase}", look, seconds=60, every=0.1)


def was_refused(found: list[Json]) -> bool:
    """Whether the scheduler found no node for one of them."""
    return any(one["type"] == "PodScheduled" and one["status"] == "False" for pod in found for one in pod["status"].get("conditions", ()))


def template(name: str, *, fate: str = "", **spec: object) -> Json:
    labels = {"app": name, **({FATE: fate} if fate else {})}
    return {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "registry.example/app:1"}], **spec}}


def selecting(name: str, **spec: object) -> Json:
    return {"selector": {"matchLabels": {"app": name}}, "template": template(name), **spec}


async def test_a_crashing_deployment_is_explained_by_its_containers(api: Api, client: Client) -> None:
    body = deployment("crash", replicas=3)
    body["spec"]["template"]["metadata"]["labels"][FATE] = "crash-loop"
    api.create(f"{APPS}/deployments", body)
    made = wait_for_pods(api, "crash", 3, "Running")
    (found,) = await explained(client, "Deployment", "crash")
    assert (found.reason, found.container, found.pods, found.of, found.restarts) == ("CrashLoopBackOff", "main", 3, 3, 3)
    assert found.ref in {f"Pod default/{pod['metadata']['name']}" for pod in made}
    assert found.since is not None
    assert found.ended_at is not None
    assert "exit code 1 (Error)" in found.text


async def test_an_image_that_cannot_be_pulled_is_told_with_what_the_kubelet_says(api: Api, client: Client) -> None:
    api.create(f"{APPS}/deployments", deployment("pull", replicas=2))
    first, _ = wait_for_pods(api, "pull", 2, "Running")
    waits = {"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "registry.example/app:1"'}}
    spoil(api, first, {"name": "main", "image": "x", "imageID": "", "ready": False, "restartCount": 0, "state": waits})
    (found,) = await explained(client, "Deployment", "pull")
    assert (found.reason, found.container, found.pods, found.of) == ("ImagePullBackOff", "main", 1, 2)
    assert 'Back-off pulling image "registry.example/app:1"' in found.message


def spoil(api: Api, pod: Json, container: Json) -> None:
    """Have the kubelet of a simulated node tell that a container is not ready."""
    status = {"conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady"}], "containerStatuses": [container]}
    path = f"{CORE}/pods/{pod['metadata']['name']}/status"
    assert api.request("PATCH", path, {"status": status}, "application/strategic-merge-patch+json")[0] == 200


async def test_pods_that_fit_nowhere_are_told_in_the_words_of_the_scheduler(api: Api, client: Client) -> None:
    spec = selecting("nowhere", replicas=1, serviceName="nowhere")
    spec["template"]["spec"]["nodeSelector"] = {"no": "such"}
    api.create(f"{APPS}/statefulsets", manifest("StatefulSet", "nowhere", api_version="apps/v1", spec=spec))

    until("the scheduler looked", lambda: was_refused(pods(api, "nowhere")), seconds=60)
    (found,) = await explained(client, "StatefulSet", "nowhere")
    assert (found.reason, found.container, found.ref) == ("Unschedulable", "", "Pod default/nowhere-0")
    assert "0/2 nodes are available" in found.message


async def test_of_a_healthy_workload_nothing_is_told_though_it_has_pods(api: Api, client: Client) -> None:
    spec = selecting("well")
    spec["template"]["spec"]["tolerations"] = [{"operator": "Exists"}]
    made = api.create(f"{APPS}/daemonsets", manifest("DaemonSet", "well", api_version="apps/v1", spec=spec))
    wait_for_pods(api, "well", 2, "Running")
    assert await explained(client, "DaemonSet", "well") == ()
    assert len(await Children(client).below(resource("DaemonSet"), ref("DaemonSet", "well"), made)) == 2


def owned_by(owner: Json) -> list[Json]:
    """ownerReferences of what this controller made."""
    meta = owner["metadata"]
    return [{"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": meta["name"], "uid": meta["uid"], "controller": True}]


async def test_jobs_and_the_jobs_of_cron_jobs_have_their_pods(api: Api, client: Client) -> None:
    task = template("task", restartPolicy="Never", nodeSelector={"no": "such"})
    spec = {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": task}}}
    cron = api.create(f"{BATCH}/cronjobs", manifest("CronJob", "cron", api_version="batch/v1", spec=spec))
    run = manifest("Job", "cron-1", api_version="batch/v1", spec={"template": task})
    run["metadata"]["ownerReferences"] = owned_by(cron)
    job = api.create(f"{BATCH}/jobs", run)
    until("the scheduler looked", lambda: was_refused(pods(api, "task")), seconds=60)
    active = {"apiVersion": "batch/v1", "kind": "Job", "name": "cron-1", "namespace": "default", "uid": job["metadata"]["uid"]}
    api.merge(f"{BATCH}/cronjobs/cron/status", {"status": {"active": [active]}})
    (of_job,) = await explained(client, "Job", "cron-1")
    assert of_job.reason == "Unschedulable"
    assert await explained(client, "CronJob", "cron") == (of_job,)


async def test_a_replication_controller_and_a_single_pod_are_looked_at_too(api: Api, client: Client) -> None:
    """No controller of such works here, so its Pod is made by hand."""
    spec = {"replicas": 1, "selector": {"app": "old"}, "template": template("old")}
    owner = api.create(f"{CORE}/replicationcontrollers", manifest("ReplicationController", "old", spec=spec))
    pod = template("old", fate="crash-loop")
    pod["metadata"] |= {"name": "old-1", "ownerReferences": owned_by(owner)}
    api.create(f"{CORE}/pods", pod)
    wait_for_pods(api, "old", 1, "Running")
    found = await explained(client, "ReplicationController", "old")
    assert [child.reason for child in found] == ["CrashLoopBackOff"]
    assert await explained(client, "Pod", "old-1") == found


async def test_pods_of_others_with_the_same_labels_are_not_counted(api: Api, client: Client) -> None:
    mine = deployment("mine", app="shared")
    theirs = deployment("theirs", replicas=2, app="shared")
    theirs["spec"]["template"]["metadata"]["labels"][FATE] = "crash-loop"
    single = template("shared", nodeSelector={"no": "such"})
    single["metadata"]["name"] = "single"
    for path, body in ((f"{APPS}/deployments", mine), (f"{APPS}/deployments", theirs), (f"{CORE}/pods", single)):
        api.create(path, body)
    until("all are there", lambda: len(pods(api, "shared")) == 4, seconds=60)
    until("they run", lambda: sum(pod["status"].get("phase") == "Running" for pod in pods(api, "shared")) == 3, seconds=60)
    below = await Children(client).below(resource("Deployment"), ref("Deployment", "mine"))
    assert [pod["metadata"]["ownerReferences"][0]["name"].rpartition("-")[0] for pod in below] == ["mine"]
    assert await explained(client, "Deployment", "mine") == ()
    assert [child.pods for child in await explained(client, "Deployment", "theirs")] == [2]


async def test_kinds_without_pods_and_what_is_gone_have_none(full: Cluster, client: Client) -> None:
    mark = full.audit.mark()
    assert await explained(client, "Service", "kubernetes") == ()
    assert not full.audit.requests(mark, user=OPERATOR_USER)
    assert await explained(client, "Deployment", "never-was") == ()


async def test_a_look_takes_one_list_and_who_asks_meanwhile_shares_it(full: Cluster, api: Api, client: Client) -> None:
    live = api.create(f"{APPS}/deployments", deployment("asked"))
    children, mark = Children(client), full.audit.mark()
    found = await asyncio.gather(*(children.below(resource("Deployment"), ref("Deployment", "asked"), live) for _ in range(20)))
    assert all(one == found[0] for one in found)
    await children.explain(resource("Deployment"), ref("Deployment", "asked"))
    until("all is in the audit log", lambda: len(full.audit.requests(mark, user=OPERATOR_USER)) >= 3)
    assert [(one.verb, one.resource) for one in full.audit.requests(mark, user=OPERATOR_USER)] == [
        ("list", "pods"),
        ("get", "deployments"),
        ("list", "pods"),
    ]


async def test_of_very_many_pods_some_are_looked_at_and_the_text_says_so(api: Api, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    body = deployment("many", replicas=5)
    body["spec"]["template"]["metadata"]["labels"][FATE] = "crash-loop"
    api.create(f"{APPS}/deployments", body)
    wait_for_pods(api, "many", 5, "Running")
    monkeypatch.setattr(adapter, "LIMIT", 3)
    (found,) = await explained(client, "Deployment", "many")
    assert "3 of the first 3 Pods" in found.text


def reader(full: Cluster, api: Api, file: Path) -> Path:
    """Kubeconfig of somebody who may read Deployments, and nothing else."""
    rules = [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"]}]
    subject = {"kind": "ServiceAccount", "name": "reader", "namespace": "default"}
    reference = {"apiGroup": RBAC.partition("/")[0], "kind": "Role", "name": "reader"}
    access = f"/apis/{RBAC}/namespaces/default"
    api.create(f"{access}/roles", manifest("Role", "reader", api_version=RBAC, rules=rules))
    api.create(f"{access}/rolebindings", manifest("RoleBinding", "reader", api_version=RBAC, roleRef=reference, subjects=[subject]))
    api.create(f"{CORE}/serviceaccounts", manifest("ServiceAccount", "reader"))
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = api.create(f"{CORE}/serviceaccounts/reader/token", request)["status"]["token"]
    config = yaml.safe_load(full.operator_kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    file.write_text(yaml.safe_dump(config))
    return file


async def test_without_the_right_to_list_pods_the_error_says_what_is_needed(full: Cluster, api: Api, tmp_path: Path) -> None:
    api.create(f"{APPS}/deployments", deployment("guarded"))
    connection = await connect(reader(full, api, tmp_path / "reader"))
    client = Client(connection, observe=lambda **_: None)
    try:
        with pytest.raises(errors.ForbiddenError, match="list pods in namespace default"):
            await explained(client, "Deployment", "guarded")
    finally:
        await client.close()
        await connection.close()


async def test_an_api_server_that_does_not_answer_keeps_nobody_waiting(
    full: Cluster, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "LOOK_SECONDS", 0.5)
    full.pause("kube-apiserver")
    try:
        with pytest.raises(errors.ServerTimeoutError):
            await explained(client, "Deployment", "asked")
    finally:
        full.resume("kube-apiserver")
