"""Consent: what waits for a person, and what happens once somebody agreed.

Aspects: prune over its limits · drift that a rule keeps for a person · recreate of what holds data · expiry · a plan of one ClusterState is none of another's.
"""

from datetime import UTC, datetime, timedelta

from tests.support.objects import config_map, manifest, text
from tests.support.waiting import never, until
from tests.support.world import World


def approve(world: World, digest: str, *, expires: datetime | None = None) -> None:
    spec = {"planDigest": digest, "reason": "tested"}
    if expires:
        spec["expiresAt"] = expires.strftime("%Y-%m-%dT%H:%M:%SZ")
    body = {
        "apiVersion": "cvstate.io/v1alpha1",
        "kind": "StateApproval",
        "metadata": {"generateName": "yes-", "namespace": world.name},
        "spec": spec,
    }
    world.api.create(f"/apis/cvstate.io/v1alpha1/namespaces/{world.name}/stateapprovals", body)


def waiting_plan(world: World) -> dict:
    """The status of the plan that waits, once it is shown as an object too."""

    def look():
        plan = world.state().get("status", {}).get("plan") or {}
        digest = plan.get("digest")
        shown = world.api.get(f"/apis/cvstate.io/v1alpha1/namespaces/{world.name}/clusterstateplans")["items"]
        return plan if digest and any(one["spec"]["digest"] == digest for one in shown) else None

    return until("a plan waits", look)


def many(world: World, count: int) -> dict[str, str]:
    return {f"{number:02}.yaml": text(config_map(f"cm{number}", k="v")) for number in range(count)}


def test_a_prune_over_its_limits_waits_until_somebody_agrees(world: World):
    world.commit(many(world, 10))
    world.declare()
    world.wait_ready()
    mark = world.cluster.audit.mark()
    world.commit({f"{number:02}.yaml": None for number in range(5)})
    plan = waiting_plan(world)
    world.wait_failed("PruneHeld", mentions="5 of 10")
    assert (plan["prune"], plan["held"]) == (5, "PruneHeld")
    assert not [write for write in world.writes(mark) if write.startswith("delete configmaps")]
    approve(world, plan["digest"])
    until("they are gone", lambda: len(world.api.get(world.path("configmaps"))["items"]) == 5 + 0)
    world.wait_ready()
    assert "plan" not in world.state()["status"]


def test_drift_that_a_rule_keeps_for_a_person_waits(world: World):
    world.commit({"a.yaml": text(config_map("a", k="v", free="x"))})
    world.declare(drift={"rules": [{"match": {"paths": ["/data/k"]}, "severity": "High", "action": "Approve"}]})
    world.wait_ready()
    path = world.path("configmaps", "a")
    world.api.merge(path, {"data": {"k": "HACKED", "free": "HACKED"}}, manager="kubectl-edit")
    until("the other field is repaired", lambda: world.api.get(path)["data"]["free"] == "x")
    plan = waiting_plan(world)
    assert world.api.get(path)["data"] == {"k": "HACKED", "free": "x"}
    sample = world.state()["status"]["drift"]["sample"][0]
    assert (sample["state"], sample["severity"], sample["manager"]) == ("AwaitingApproval", "High", "kubectl-edit")
    approve(world, plan["digest"])
    until("it is repaired", lambda: world.api.get(path)["data"]["k"] == "v")
    world.wait_ready()


def test_an_approval_that_expired_approves_nothing(world: World):
    world.commit(many(world, 10))
    world.declare()
    world.wait_ready()
    world.commit({f"{number:02}.yaml": None for number in range(5)})
    plan = waiting_plan(world)
    approve(world, plan["digest"], expires=datetime.now(UTC) - timedelta(seconds=1))
    never("something was deleted", lambda: len(world.api.get(world.path("configmaps"))["items"]) < 10, seconds=4)


def test_a_plan_that_is_not_the_newest_any_more_cannot_be_approved(world: World):
    world.commit(many(world, 12))
    world.declare()
    world.wait_ready()
    world.commit({f"{number:02}.yaml": None for number in range(4)})
    first = waiting_plan(world)
    world.commit({f"{number:02}.yaml": None for number in range(4, 8)})
    second = until("the plan is another one", lambda: (plan := waiting_plan(world))["digest"] != first["digest"] and plan)
    approve(world, first["digest"])
    never("something went", lambda: len(world.api.get(world.path("configmaps"))["items"]) < 12, seconds=4)
    approve(world, second["digest"])
    until("what was agreed to is gone", lambda: len(world.api.get(world.path("configmaps"))["items"]) == 4)


def test_an_immutable_field_is_changed_by_recreating_once_somebody_agreed(world: World):
    body = manifest("StatefulSet", "db", api_version="apps/v1", spec=_stateful("db"))
    world.commit({"db.yaml": text(body)})
    world.declare(apply={"recreate": "IfImmutable"})
    world.wait_ready()
    uid = world.api.get(world.path("statefulsets", "db", group="apps/v1"))["metadata"]["uid"]
    body["spec"]["serviceName"] = "other"
    world.commit({"db.yaml": text(body)})
    plan = waiting_plan(world)
    assert plan["recreate"] == 1
    shown = world.api.get(f"/apis/cvstate.io/v1alpha1/namespaces/{world.name}/clusterstateplans")["items"]
    assert [one["spec"]["items"][0]["changes"] for one in shown] == [["/spec/serviceName: db → other"]]
    assert world.api.get(world.path("statefulsets", "db", group="apps/v1"))["metadata"]["uid"] == uid
    approve(world, plan["digest"])

    def renewed():
        found = world.api.get(world.path("statefulsets", "db", group="apps/v1"))
        return found and found["metadata"]["uid"] != uid and found["spec"]["serviceName"] == "other"

    until("it is made anew", renewed)
    world.wait_ready()


def test_what_holds_no_data_is_recreated_at_once_if_the_spec_says_so(world: World):
    job = _job("once")
    world.commit({"job.yaml": text(job)})
    world.declare(apply={"recreate": "IfImmutable"})
    world.wait_ready()
    job["spec"]["template"]["spec"]["containers"][0]["image"] = "a:2"
    world.commit({"job.yaml": text(job)})

    def renewed():
        found = world.api.get(world.path("jobs", "once", group="batch/v1"))
        return found and found["spec"]["template"]["spec"]["containers"][0]["image"] == "a:2"

    until("it is made anew", renewed)
    world.wait_ready()


def test_nothing_is_deleted_for_a_manifest_that_would_be_refused(world: World):
    job = _job("once")
    world.commit({"job.yaml": text(job)})
    world.declare(apply={"recreate": "IfImmutable"})
    world.wait_ready()
    uid = world.api.get(world.path("jobs", "once", group="batch/v1"))["metadata"]["uid"]
    job["spec"]["template"]["spec"]["containers"][0]["image"] = "a:2"
    job["spec"]["template"]["spec"]["restartPolicy"] = "Always"
    world.commit({"job.yaml": text(job)})
    world.wait_failed("Invalid")
    assert world.api.get(world.path("jobs", "once", group="batch/v1"))["metadata"]["uid"] == uid


def _stateful(name: str) -> dict:
    labels = {"app": name}
    return {
        "serviceName": name,
        "replicas": 0,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "a:1"}]}},
    }


def _job(name: str) -> dict:
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "a:1"}]}
    return manifest("Job", name, api_version="batch/v1", spec={"template": {"spec": pod}})
