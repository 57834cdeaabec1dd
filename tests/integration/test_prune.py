"""Pruning on a real API server: nothing is deleted that is not ours beyond doubt, and what stays is told.

Aspects: copied labels · marks without our entry · moving between ClusterStates, also new ones · ClusterStates in Git · what the user keeps · Secrets that the API server
refuses · CRDs that it refuses · objects that wait for their dependents.
"""

import base64
import json
import threading
import time

import pytest

from cvstate_operator.objects.ownership import PART_OF_LABEL
from tests.support.api import CLUSTER_STATES, Json
from tests.support.objects import config_map, definition, manifest, text
from tests.support.waiting import until
from tests.support.world import World

pytestmark = pytest.mark.integration

CANARY = "hunter2-canary-7Xq"


def label_of(world: World, plural: str, name: str) -> str:
    return world.api.get(world.path(plural, name))["metadata"]["labels"][PART_OF_LABEL]


def applied(world: World, *objects: Json, **spec: object) -> None:
    """Declare and wait until these objects are applied."""
    commit = world.commit({"a.yaml": text(*objects)})
    world.declare(**spec)
    world.wait_applied(commit)


# -- whose it is -------------------------------------------------------------------------------------------------------


def test_an_object_that_copied_the_label_is_no_member_and_stays(world: World):
    applied(world, config_map("a", k="v"))
    owner = label_of(world, "configmaps", "a")
    service = world.api.create(world.path("services"), manifest("Service", "s", spec={"clusterIP": "None"}))
    copies = {
        "by-hand": {},
        "by-controller": {
            "annotations": {"cvstate.io/digest": "copied"},
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Service", "name": "s", "uid": service["metadata"]["uid"], "controller": True}
            ],
        },
    }
    for name, more in copies.items():
        body = config_map(name, k="v")
        body["metadata"].update({"labels": {PART_OF_LABEL: owner}, **more})
        world.api.create(world.path("configmaps"), body)
    world.request()
    world.wait_applied(world.commit({"a.yaml": text(config_map("a", k="w"))}))
    assert all(world.api.get(world.path("configmaps", name)) for name in copies)
    assert world.state()["status"]["inventory"]["objects"] == 1


def test_an_endpoint_slice_of_our_service_stays(world: World):
    """What the EndpointSlice controller does: it copies the labels of the Service."""
    service = manifest("Service", "s", spec={"clusterIP": "None", "ports": [{"port": 80}]})
    applied(world, service)
    slice_ = manifest("EndpointSlice", "s-x", api_version="discovery.k8s.io/v1", addressType="IPv4", endpoints=[], ports=[])
    live = world.api.get(world.path("services", "s"))["metadata"]
    reference = {"apiVersion": "v1", "kind": "Service", "name": "s", "uid": live["uid"], "controller": True}
    slice_["metadata"].update(labels=live["labels"], ownerReferences=[reference])
    # A slice of ours makes the kind one that members may be of.
    own = manifest("EndpointSlice", "own", api_version="discovery.k8s.io/v1", addressType="IPv4", endpoints=[], ports=[])
    world.wait_applied(world.commit({"a.yaml": text(service, own)}))
    path = world.path("endpointslices", group="discovery.k8s.io/v1")
    world.api.create(path, slice_)
    world.request()
    world.wait_applied(world.commit({"b.yaml": text(config_map("b", k="v"))}))
    assert world.api.get(f"{path}/s-x") is not None


def test_a_desired_object_with_a_copied_label_is_adopted_without_force(world: World):
    applied(world, config_map("a", k="v"))
    body = config_map("b", k="theirs")
    body["metadata"]["labels"] = {PART_OF_LABEL: label_of(world, "configmaps", "a")}
    world.api.create(world.path("configmaps"), body)
    world.commit({"b.yaml": text(config_map("b", k="ours"))})
    world.wait_failed("FieldConflict", mentions="data.k")
    assert world.api.get(world.path("configmaps", "b"))["data"] == {"k": "theirs"}


def test_an_object_whose_managed_fields_were_stripped_is_held_and_named(world: World):
    applied(world, config_map("a", k="v"), config_map("b", k="v"))
    stripped = [{"op": "replace", "path": "/metadata/managedFields", "value": [{}]}]
    # It leaves Git first: a desired object would be repaired at once.
    world.declare(prune={"enabled": False})
    world.wait_applied(world.commit({"a.yaml": text(config_map("a", k="v"))}))
    code, answer = world.api.request("PATCH", world.path("configmaps", "b"), stripped, "application/json-patch+json")
    assert code == 200, answer
    world.declare(prune={"enabled": True})
    condition = world.wait_failed("PruneHeld", mentions=f"ConfigMap/{world.name}/b")
    assert "managedFields" in condition["message"]
    assert PART_OF_LABEL in condition["message"]
    assert world.api.get(world.path("configmaps", "b")) is not None
    world.api.merge(world.path("configmaps", "b"), {"metadata": {"labels": {PART_OF_LABEL: None}}})
    until("it was let go", lambda: world.condition().get("status") == "True")


# -- moving ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["from", "to"])
def test_an_object_moves_between_two_clusterstates_without_being_deleted(world: World, first: str):
    world.repository.commit(
        {"from/a.yaml": text(config_map("moved", k="v"), config_map("stays", k="v")), "to/b.yaml": text(config_map("b"))}
    )
    for name in ("from", "to"):
        world.declare(name, git={"path": name, "interval": "10m"})
    until("both are applied", lambda: all(world.condition(name=name).get("status") == "True" for name in ("from", "to")))
    before = world.api.get(world.path("configmaps", "moved"))["metadata"]
    mark = world.cluster.audit.mark()
    commit = world.repository.commit(
        {"from/a.yaml": text(config_map("stays", k="v")), "to/b.yaml": text(config_map("b"), config_map("moved", k="v"))}
    )
    started = time.monotonic()
    world.trigger(first)
    for name in ("from", "to"):
        world.wait_applied(commit, name)
    assert time.monotonic() - started < 10
    after = world.api.get(world.path("configmaps", "moved"))["metadata"]
    assert after["uid"] == before["uid"]
    assert after["labels"][PART_OF_LABEL] == label_of(world, "configmaps", "b")
    assert world.writes(mark) == [f"patch configmaps {world.name}/moved"]
    until("nothing is told of it any more", lambda: "kept" not in world.condition(name="from")["message"], seconds=5)


def test_two_clusterstates_swap_objects(world: World):
    """Each waits for what the other one still has."""
    objects = {"from": config_map("one", k="v"), "to": config_map("two", k="v")}
    world.repository.commit({f"{name}/a.yaml": text(body, config_map(f"{name}-own")) for name, body in objects.items()})
    for name in objects:
        world.declare(name, git={"path": name, "interval": "10m"})
    until("both are applied", lambda: all(world.condition(name=name).get("status") == "True" for name in objects))
    uids = {name: world.api.get(world.path("configmaps", name))["metadata"]["uid"] for name in ("one", "two")}
    swapped = {"from": objects["to"], "to": objects["from"]}
    commit = world.repository.commit({f"{name}/a.yaml": text(body, config_map(f"{name}-own")) for name, body in swapped.items()})
    world.trigger("from")
    for name in objects:
        world.wait_applied(commit, name)
    assert {name: world.api.get(world.path("configmaps", name))["metadata"]["uid"] for name in ("one", "two")} == uids
    assert label_of(world, "configmaps", "one") == label_of(world, "configmaps", "to-own")


@pytest.mark.parametrize("where", ["parent", "sibling"])
def test_an_object_moves_into_a_clusterstate_that_comes_with_the_same_commit(world: World, where: str):
    def state(name: str) -> Json:
        source = {"git": {"url": world.git.url(world.name), "path": name, "interval": "10m"}}
        return manifest("ClusterState", name, api_version="cvstate.io/v1alpha1", spec={"source": source})

    moved, stays = config_map("moved", k="v"), config_map("stays", k="v")
    world.commit({"a.yaml": text(state("sibling"), config_map("a"), *([moved] if where == "parent" else []))})
    commit = world.repository.commit({"sibling/a.yaml": text(stays, *([moved] if where == "sibling" else []))})
    world.declare(git={"interval": "10m"})
    for name in ("state", "sibling"):
        until(f"{name} is applied", lambda name=name: world.condition(name=name).get("status") == "True")
    uid = world.api.get(world.path("configmaps", "moved"))["metadata"]["uid"]
    files = {
        "apps/a.yaml": text(state("sibling"), state("new"), config_map("a")),
        "sibling/a.yaml": text(stays),
        "new/a.yaml": text(moved),
    }
    mark = world.cluster.audit.mark()
    commit = world.repository.commit(files)
    if where == "sibling":
        world.trigger("sibling")
    else:
        world.trigger()
    for name in ("state", "sibling") if where == "sibling" else ("state",):
        world.wait_applied(commit, name)
    until("the new one is applied", lambda: world.condition(name="new").get("status") == "True")
    assert world.api.get(world.path("configmaps", "moved"))["metadata"]["uid"] == uid
    assert [w for w in world.writes(mark) if w.startswith("delete")] == []


def test_two_clusterstates_whose_paths_are_swapped_swap_their_objects(world: World):
    world.repository.commit({"one/a.yaml": text(config_map("one", k="v")), "two/a.yaml": text(config_map("two", k="v"))})
    paths = {"from": "one", "to": "two"}
    for name, path in paths.items():
        world.declare(name, git={"path": path, "interval": "10m"})
    until("both are applied", lambda: all(world.condition(name=name).get("status") == "True" for name in paths))
    uids = {name: world.api.get(world.path("configmaps", name))["metadata"]["uid"] for name in ("one", "two")}
    owners = {name: label_of(world, "configmaps", name) for name in ("one", "two")}
    world.declare("from", git={"path": "two", "interval": "10m"})
    world.declare("to", git={"path": "one", "interval": "10m"})
    until("they are swapped", lambda: label_of(world, "configmaps", "one") == owners["two"])
    until("both are applied", lambda: all(world.condition(name=name).get("status") == "True" for name in paths))
    assert label_of(world, "configmaps", "two") == owners["one"]
    assert {name: world.api.get(world.path("configmaps", name))["metadata"]["uid"] for name in ("one", "two")} == uids


def test_what_is_held_back_is_not_taken_over(world: World):
    """A file that cannot be read is no consent to give up what it declared."""
    world.repository.commit(
        {"from/a.yaml": text(config_map("moved", k="v")), "from/c.yaml": text(config_map("c")), "to/b.yaml": text(config_map("b"))}
    )
    for name in ("from", "to"):
        world.declare(name, git={"path": name})
    until("both are applied", lambda: all(world.condition(name=name).get("status") == "True" for name in ("from", "to")))
    owner = label_of(world, "configmaps", "moved")
    world.repository.commit({"from/a.yaml": "a: [", "to/b.yaml": text(config_map("b"), config_map("moved", k="v"))})
    for name in ("from", "to"):
        world.request(name)
    world.wait_failed("OwnerConflict", "to", mentions=f"ClusterState {world.name}/from")
    world.wait_failed("YAMLInvalid", "from")
    assert label_of(world, "configmaps", "moved") == owner


# -- ClusterStates in Git ----------------------------------------------------------------------------------------------


def test_a_clusterstate_may_stand_in_the_git_of_another(world: World):
    source = {"git": {"url": world.git.url(world.name), "path": "child", "interval": "1s"}}
    child = manifest("ClusterState", "child", api_version="cvstate.io/v1alpha1", spec={"source": source})
    world.repository.commit({"child/c.yaml": text(config_map("grandchild", k="v"))})
    applied(world, child, config_map("a", k="v"))
    until("the child is ready", lambda: world.condition(name="child").get("status") == "True")
    assert world.api.get(world.path("configmaps", "grandchild"))["data"] == {"k": "v"}
    mark = world.cluster.audit.mark()
    world.request()
    world.request("child")
    found = world.cluster.audit.requests(mark, user="cvstate-operator")
    marks = [r for r in found if r.is_write and r.resource == "clusterstates" and not r.subresource]
    assert marks == [], "parent and child do not undo each other's writes"
    assert world.condition(name="state")["status"] == world.condition(name="child")["status"] == "True"
    world.wait_applied(world.commit({"a.yaml": text(config_map("a", k="v"))}))
    assert world.api.get(f"{CLUSTER_STATES.format(world.name)}/child") is None
    assert world.api.get(world.path("configmaps", "grandchild")) is not None, "its objects are orphaned"


# -- what the user keeps -----------------------------------------------------------------------------------------------


def test_what_the_user_keeps_is_told_and_is_no_failure(world: World):
    applied(world, config_map("a", k="v"), config_map("b", k="v"), prune={"enabled": False})
    world.wait_applied(world.commit({"a.yaml": text(config_map("a", k="v"))}))
    message = world.condition()["message"]
    assert f"1 object left Git (ConfigMap/{world.name}/b), kept by spec.prune.enabled: false; delete them yourself" in message
    assert world.api.get(world.path("configmaps", "b")) is not None
    world.api.delete(world.path("configmaps", "b"))
    until("it is no longer told", lambda: "kept" not in world.condition()["message"])


def test_what_is_in_doubt_is_held_with_a_remedy(world: World):
    applied(world, config_map("a", k="v"), config_map("b", k="v"))
    world.commit({"a.yaml": text(config_map("a", k="v")), "bad.yaml": "a: ["})
    condition = world.wait_failed("YAMLInvalid", mentions=f"ConfigMap/{world.name}/b")
    assert "mend the problems that are listed" in condition["message"]
    assert world.api.get(world.path("configmaps", "b")) is not None


def test_an_object_that_changes_while_it_is_pruned_is_gone_before_ready_is_true(world: World):
    applied(world, config_map("a", k="v"), config_map("b", k="v"))
    path, stop = world.path("configmaps", "b"), threading.Event()

    def meddle() -> None:
        count = 0
        while not stop.is_set():
            count += 1
            world.api.request("PATCH", path, {"metadata": {"annotations": {"x": str(count)}}}, "application/merge-patch+json")

    meddlers = [threading.Thread(target=meddle) for _ in range(4)]
    for meddler in meddlers:
        meddler.start()
    try:
        commit = world.commit({"a.yaml": text(config_map("a", k="v"))})
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            status = world.state()["status"]
            ready = next(each["status"] for each in status["conditions"] if each["type"] == "Ready")
            if ready == "True" and commit in status["lastAppliedRevision"]:
                assert world.api.get(path) is None
    finally:
        stop.set()
        for meddler in meddlers:
            meddler.join()
    world.wait_applied(commit)
    assert world.api.get(path) is None


# -- Secrets -----------------------------------------------------------------------------------------------------------

PLAIN_POLICY = "admissionregistration.k8s.io/v1"


def repeat_values(world: World) -> None:
    """A policy that repeats what a Secret holds, or held."""
    about = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE", "UPDATE", "DELETE"],
        "resources": ["secrets"],
        "scope": "Namespaced",
    }
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "resourceRules": [about],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": world.name}},
            "objectSelector": {"matchLabels": {"policy": "repeat"}},
        },
        "validations": [
            {
                "expression": "false",
                "messageExpression": "'refused: ' + string(object == null ? oldObject.data.password : object.data.password)"
                " + ' is weak, ' + (oldObject == null ? '' : string(oldObject.data.password)) + ' was better'",
            }
        ],
    }
    policies = f"/apis/{PLAIN_POLICY}/validatingadmissionpolic"
    world.api.create(f"{policies}ies", manifest("ValidatingAdmissionPolicy", world.name, api_version=PLAIN_POLICY, spec=spec))
    spec = {"policyName": world.name, "validationActions": ["Deny"]}
    world.api.create(f"{policies}ybindings", manifest("ValidatingAdmissionPolicyBinding", world.name, api_version=PLAIN_POLICY, spec=spec))
    probe = manifest("Secret", "probe", labels={"policy": "repeat"}, data={"password": base64.b64encode(b"probe").decode()})
    until("the policy is in force", lambda: world.api.request("POST", f"{world.path('secrets')}?dryRun=All", probe)[0] == 422)


def test_no_value_of_a_secret_is_told_whatever_the_api_server_says(world: World):
    encoded = base64.b64encode(CANARY.encode()).decode()
    repeat_values(world)
    world.api.create(world.path("secrets"), {**manifest("Secret", "fixed", data={"password": encoded}), "immutable": True})
    secrets = {
        "list": {"data": {"password": [CANARY]}},
        "object": {"data": {"password": {"nested": CANARY}}},
        "number": {"data": {"password": 736251983}},
        "map": {"data": CANARY},
        "items": {"data": [CANARY]},
        "base64": {"data": {"password": f"{CANARY}!"}},
        "type": {"type": [CANARY]},
        "unknown": {"dataa": CANARY},
        "key": {"data": {"bad key/": encoded}},
        "docker": {"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": encoded}},
        "tls": {"type": "kubernetes.io/tls", "data": {"tls.crt": encoded}},
        "string": {"stringData": {"password": [CANARY]}},
        "fixed": {"data": {"password": base64.b64encode(f"{CANARY}-new".encode()).decode()}},
        "policy": {"metadata": {"name": "policy", "labels": {"policy": "repeat"}}, "data": {"password": encoded}},
    }
    files = {f"{name}.yaml": text({**manifest("Secret", name), **body}) for name, body in secrets.items()}
    world.commit({**files, "a.yaml": text(config_map("a", k="v"))})
    world.declare()
    until("every one is refused", lambda: len(world.state().get("status", {}).get("problems", ())) == len(secrets))
    until("an Event tells it", lambda: world.api.get(f"/apis/events.k8s.io/v1/namespaces/{world.name}/events")["items"])
    world.request()
    told = {
        "status": json.dumps(world.state()["status"]),
        "events": json.dumps(world.api.get(f"/apis/events.k8s.io/v1/namespaces/{world.name}/events")),
        "log": world.operator.log.read_text(),
        "metrics": world.operator.http("/metrics")[1],
    }
    for where, what in told.items():
        for value in (CANARY, encoded, encoded[:-4], "736251983"):
            assert value not in what, (where, value)
    problems = {p["object"].rpartition("/")[2]: p for p in world.state()["status"]["problems"]}
    assert problems["base64"]["reason"] == "Invalid"
    assert problems["base64"]["field"] == "data.password"
    assert "password" in problems["list"]["field"]
    assert problems["unknown"]["field"] == "dataa"
    assert "AdmissionDenied" in problems["policy"]["reason"]


@pytest.mark.parametrize("then", ["deleted", "changed"])
def test_no_value_that_only_the_cluster_holds_is_told(world: World, then: str):
    """What Git declares can be masked by value; what stands in the cluster cannot."""
    labels, path = {"policy": "repeat"}, world.path("secrets", "s")
    secret = manifest("Secret", "s", labels=labels, data={"password": base64.b64encode(b"from Git").decode()})
    applied(world, config_map("a", k="v"), secret, prune={"enabled": False})
    live = base64.b64encode(CANARY.encode()).decode()
    # Out of Git while it is changed: else the change would be repaired.
    world.wait_applied(world.commit({"a.yaml": text(config_map("a", k="v"))}))
    world.api.merge(path, {"data": {"password": live}})
    repeat_values(world)
    if then == "changed":
        world.commit({"a.yaml": text(config_map("a", k="v"), secret)})
    world.declare(prune={"enabled": True})
    message = world.wait_failed("AdmissionDenied", mentions=f"Secret/{world.name}/s")["message"]
    assert f"'{world.name}'" in message, "the policy is named"
    until("it is told", lambda: world.events("AdmissionDenied"))
    for told in (message, world.operator.log.read_text(), str(world.events("AdmissionDenied"))):
        assert CANARY not in told
        assert live not in told


# -- CRDs --------------------------------------------------------------------------------------------------------------


def test_a_crd_that_is_refused_holds_up_no_repair(world: World):
    crd = definition(f"{world.name}.example.test", "Widget")
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["type"] = "nonsense"
    widget = manifest("Widget", "w", api_version=f"{world.name}.example.test/v1", spec={})
    fields = {f"k{number}": "v" for number in range(4)}
    world.commit({"a.yaml": text(config_map("a", **fields)), "b.yaml": text(crd, widget)})
    world.declare()
    world.wait_failed("ApplyFailed", mentions="Widget")
    for field in fields:
        world.api.merge(world.path("configmaps", "a"), {"data": {field: "red"}})
        started = time.monotonic()
        until("it is repaired", lambda: world.api.get(world.path("configmaps", "a"))["data"] == fields)
        assert time.monotonic() - started < 5, "a pass that waits for a kind takes twenty seconds"
        time.sleep(0.4)


# -- dependents --------------------------------------------------------------------------------------------------------


def test_an_object_that_waits_for_its_dependents_is_told_until_it_is_gone(world: World):
    """No garbage collector runs here: what was deleted in the foreground stays until its finalizer is taken away by hand."""
    at_once = config_map("c", k="v")
    at_once["metadata"]["annotations"] = {"argocd.argoproj.io/sync-options": "PrunePropagationPolicy=background"}
    applied(world, config_map("a", k="v"), config_map("b", k="v"), at_once, prune={"maxPercent": 100, "propagationPolicy": "Foreground"})
    mark = world.cluster.audit.mark()
    world.commit({"a.yaml": text(config_map("a", k="v"))})
    until("it is told what keeps it", lambda: "foregroundDeletion" in world.condition()["message"])
    left = world.api.get(world.path("configmaps", "b"))["metadata"]
    assert ("deletionTimestamp" in left, left["finalizers"]) == (True, ["foregroundDeletion"])
    assert world.api.get(world.path("configmaps", "c")) is None
    world.request()
    assert (world.condition()["status"], world.condition()["reason"]) == ("Unknown", "Progressing")
    assert sorted(world.writes(mark)) == [f"delete configmaps {world.name}/{name}" for name in ("b", "c")]
    world.api.merge(world.path("configmaps", "b"), {"metadata": {"finalizers": None}})
    world.wait_ready()
