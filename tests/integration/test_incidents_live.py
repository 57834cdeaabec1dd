"""Incidents of other tools, told again to ours: pruning, deletion, and an API server that is not well. docs/incidents.md has them all, with links.

Aspects: deletes that are refused · objects and kinds that are gone already · claims that were bound · rights that are gone · an operator that is gone ·
a deletion that is long over · streams that cannot be opened · kinds of strangers that cannot be read · failures that pass by themselves.
"""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import accounts
from tests.support import fault_actions as act
from tests.support.api import CLUSTER_STATES, Json
from tests.support.fault_proxy import FaultProxy, Rule
from tests.support.objects import config_map, definition, manifest, text
from tests.support.operator import Operator
from tests.support.waiting import never, until
from tests.support.world import World

pytestmark = pytest.mark.integration

STATES = "/apis/cvstate.io/v1alpha1/clusterstates"
POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolic"


def data(world: World, name: str) -> Json | None:
    """What a ConfigMap holds; None if it is not there."""
    found = world.api.get(world.path("configmaps", name))
    return found and found["data"]


def settled(world: World, *objects: Json, **spec: object) -> None:
    """Declare these objects, and wait until they are applied."""
    commit = world.commit({"all.yaml": text(*objects)})
    world.declare(**spec)
    world.wait_applied(commit)


def state_path(world: World) -> str:
    return f"{CLUSTER_STATES.format(world.name)}/state"


def gone(world: World) -> bool:
    """Whether the ClusterState is no longer there."""
    return world.api.get(state_path(world)) is None


# -- pruning -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def deletes_refused(own: World) -> Iterator[None]:
    """A policy that lets nobody delete ConfigMaps labelled `keep`, while the test does not take it away."""
    about = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["DELETE"], "resources": ["configmaps"], "scope": "Namespaced"}
    match = {"resourceRules": [about], "objectSelector": {"matchLabels": {"keep": own.name}}}
    spec = {"failurePolicy": "Fail", "matchConstraints": match, "validations": [{"expression": "false", "message": "kept by policy"}]}
    version = "admissionregistration.k8s.io/v1"
    own.api.create(f"{POLICIES}ies", manifest("ValidatingAdmissionPolicy", own.name, api_version=version, spec=spec))
    spec = {"policyName": own.name, "validationActions": ["Deny"]}
    own.api.create(f"{POLICIES}ybindings", manifest("ValidatingAdmissionPolicyBinding", own.name, api_version=version, spec=spec))
    probe = own.path("configmaps", "probe")
    own.api.create(own.path("configmaps"), {**config_map("probe"), **manifest("ConfigMap", "probe", labels={"keep": own.name})})
    until("the policy is in force", lambda: own.api.request("DELETE", f"{probe}?dryRun=All")[0] == 422)
    yield
    own.api.delete(f"{POLICIES}ybindings/{own.name}")
    own.api.delete(f"{POLICIES}ies/{own.name}")


@pytest.mark.usefixtures("deletes_refused")
def test_an_object_whose_delete_was_refused_stays_known_and_goes_later(own: World):
    """kustomize-controller#1664: an object whose delete a webhook refused was dropped from the inventory, and stayed for ever."""
    kept = manifest("ConfigMap", "kept", labels={"keep": own.name}, data={"k": "v"})
    own.operator.start()
    settled(own, config_map("a", k="v"), kept)
    own.commit({"all.yaml": text(config_map("a", k="v"))})
    own.wait_failed("AdmissionDenied", mentions=f"ConfigMap/{own.name}/kept")
    own.wait_failed("AdmissionDenied", mentions="kept by policy")
    own.commit({"all.yaml": text(config_map("a", k="w"))})
    until("later commits are applied", lambda: data(own, "a") == {"k": "w"})
    own.operator.end(signal.SIGKILL)
    own.operator.start()
    own.request()
    own.wait_failed("AdmissionDenied", mentions=f"ConfigMap/{own.name}/kept")
    assert data(own, "kept") == {"k": "v"}
    own.api.delete(f"{POLICIES}ybindings/{own.name}")
    until("the policy is away", lambda: own.api.request("DELETE", own.path("configmaps", "kept") + "?dryRun=All")[0] == 200)
    own.request()
    until("it goes without another commit", lambda: data(own, "kept") is None)
    until("it is Ready", lambda: own.condition().get("status") == "True")


def test_what_somebody_deleted_before_it_left_git_is_no_failure(world: World):
    """argo-cd#5872: an object that was deleted by hand before it left Git made the sync fail, since it was not found."""
    settled(
        world, config_map("a", k="v"), config_map("b", k="v"), drift={"rules": [{"match": {"kinds": ["ConfigMap"]}, "action": "Alert"}]}
    )
    world.api.delete(world.path("configmaps", "b"))
    until("it is missed", lambda: world.condition("Drifted").get("status") == "True")
    world.wait_applied(world.commit({"all.yaml": text(config_map("a", k="v"))}))
    assert world.condition("Drifted")["status"] == "False"


def test_an_object_whose_kind_went_first_is_no_failure(world: World):
    """kustomize-controller#90: custom resources could not be pruned once their CRD was gone, and every later reconcile failed."""
    group = f"{world.name}.incident.test"
    crd = definition(group, "Widget")
    world.cluster.kubectl("apply", "-f", "-", input=json.dumps(crd))
    world.cluster.kubectl("wait", "--for=condition=Established", f"crd/{crd['metadata']['name']}", "--timeout=20s")
    widget = manifest("Widget", "w", api_version=f"{group}/v1", spec={"size": 1})
    settled(world, config_map("a", k="v"), config_map("b", k="v"), widget)
    world.cluster.kubectl("delete", "crd", crd["metadata"]["name"])
    world.wait_applied(world.commit({"all.yaml": text(config_map("a", k="w"))}))
    until("the rest is pruned", lambda: data(world, "b") is None)


def test_a_claim_that_was_bound_is_never_made_anew(world: World):
    """flux2#4392: with `force: true` a bound PersistentVolumeClaim looked different from Git in an immutable field, and was deleted by every reconcile."""
    spec = {"accessModes": ["ReadWriteOnce"], "storageClassName": "fast", "resources": {"requests": {"storage": "1Gi"}}}
    claim = manifest("PersistentVolumeClaim", "data", spec=spec)
    settled(world, claim, config_map("a", k="v"), apply={"recreate": "IfImmutable", "wait": False})
    path = world.path("persistentvolumeclaims", "data")
    uid = world.api.get(path)["metadata"]["uid"]
    bound = {"metadata": {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}}, "spec": {"volumeName": "pv-1"}}
    world.api.merge(path, bound, manager="kube-controller-manager")
    world.api.merge(f"{path}/status", {"status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}}, manager="kube-controller-manager")
    mark = world.cluster.audit.mark()
    world.request()
    world.wait_applied(world.commit({"all.yaml": text(claim, config_map("a", k="w"))}))
    assert world.writes(mark) == [f"patch configmaps {world.name}/a"]
    other = manifest("PersistentVolumeClaim", "data", spec={**spec, "storageClassName": "slow"})
    world.commit({"all.yaml": text(other, config_map("a", k="x"))})
    until("its change waits for a person", lambda: (world.state()["status"].get("plan") or {}).get("recreate") == 1)
    world.request()
    assert world.api.get(path)["metadata"]["uid"] == uid


# -- deletion ----------------------------------------------------------------------------------------------------------------

RIGHTS: list[Json] = [
    {"apiGroups": ["cvstate.io"], "resources": ["clusterstates", "clusterstates/status", "clusterstateplans"], "verbs": ["*"]},
    {"apiGroups": ["cvstate.io"], "resources": ["stateapprovals", "emergencystops"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create"]},
    {"apiGroups": ["apiextensions.k8s.io"], "resources": ["customresourcedefinitions"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "list", "watch"]},
]
CONFIG_MAPS: Json = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"]}


def test_without_rights_a_deletion_says_what_is_missing_and_lets_go_when_told(own: World, tmp_path: Path):
    """flux2#997, helm-controller#270: the service account went before the object that used it, which could never be deleted, nor could its namespace."""
    user = accounts.kubeconfig(own, accounts.token(own, "tenant"), tmp_path / "tenant.kubeconfig")
    accounts.grant(own, "tenant", [*RIGHTS, CONFIG_MAPS])
    own.operator = Operator(user, tmp_path / "tenant")
    with own.operator:
        settled(own, config_map("a", k="v"), deletionPolicy="Delete")
        until("it carries our finalizer", lambda: own.state()["metadata"].get("finalizers"))
        accounts.grant(own, "tenant", RIGHTS)
        own.api.delete(state_path(own))
        until(
            "it says what is missing",
            lambda: "configmaps" in own.condition().get("message", "") and own.condition()["reason"] == "Deleting",
        )
        assert "cannot" in own.condition()["message"]
        own.api.merge(state_path(own), {"spec": {"deletionPolicy": "Orphan"}})
        until("it is let go", lambda: gone(own))
        assert data(own, "a") == {"k": "v"}


def test_without_an_operator_a_clusterstate_can_be_deleted(own: World):
    """ray#21684 with kopf: a namespace could not be deleted once the operator in it was gone, since its finalizer stayed on the objects."""
    own.operator.start()
    settled(own, config_map("a", k="v"))
    own.operator.end(signal.SIGKILL)
    own.api.delete(state_path(own))
    assert gone(own)


@pytest.fixture
def proxied(own: World, tmp_path: Path) -> Iterator[tuple[World, FaultProxy]]:
    """A world whose operator, which runs, talks to the API server through a fault proxy."""
    with FaultProxy(own.cluster.operator_kubeconfig, tmp_path) as proxy:
        own.operator = Operator(proxy.kubeconfig, tmp_path / "proxied")
        with own.operator:
            yield own, proxy


def test_a_deletion_that_is_long_over_deletes_nothing_of_its_successor(proxied: tuple[World, FaultProxy]):
    """cassandra-operator#402, found by Sieve; kubernetes#59848: after a restart a stale list told of the deletion of an earlier object of the same name,
    and the claims of the one that was there now were deleted."""
    own, proxy = proxied
    settled(own, config_map("a", k="v"), config_map("b", k="v"), deletionPolicy="Delete")
    until("it carries our finalizer", lambda: own.state()["metadata"].get("finalizers"))
    own.api.merge(own.path("configmaps", "a"), {"metadata": {"finalizers": ["example.test/hold"]}})
    own.api.delete(state_path(own))
    until("it is being deleted", lambda: own.condition().get("reason") == "Deleting")
    past = proxy.ask(STATES)
    assert b"deletionTimestamp" in past
    own.api.merge(own.path("configmaps", "a"), {"metadata": {"finalizers": None}})
    until("the first one is gone", lambda: gone(own))
    own.declare(deletionPolicy="Delete")
    own.wait_ready()
    until("it carries our finalizer", lambda: own.state()["metadata"].get("finalizers"))
    uids = {name: own.api.get(own.path("configmaps", name))["metadata"]["uid"] for name in "ab"}
    own.operator.end(signal.SIGKILL)
    proxy.rules = (Rule(act.Replay({STATES: past})), Rule(act.Silence(), path=f"{STATES}$"))
    mark = own.cluster.audit.mark()
    own.operator.start()
    until("the past was told", lambda: proxy.rules[0].hits and proxy.rules[1].hits)
    never("it deletes", lambda: [write for write in own.writes(mark) if write.startswith("delete")], seconds=3)
    proxy.calm()
    own.request()
    assert not [write for write in own.writes(mark) if write.startswith("delete")]
    assert {name: own.api.get(own.path("configmaps", name))["metadata"]["uid"] for name in "ab"} == uids
    assert "deletionTimestamp" not in own.state()["metadata"]


# -- an API server that is not well ------------------------------------------------------------------------------------------


def test_a_stream_that_could_not_be_opened_again_and_again_is_opened_in_the_end(proxied: tuple[World, FaultProxy]):
    """kopf#996 and #787: connections were reset while a watch was opened, and after some attempts no event was seen until a restart."""
    own, proxy = proxied
    settled(own, config_map("a", k="v"))
    proxy.rules = (Rule(act.Reset(), path="/(clusterstates|configmaps)$", method="GET", count=12),)
    proxy.cut()
    until("it was refused often", lambda: proxy.rules[0].hits >= 12, seconds=60)
    own.api.merge(own.path("configmaps", "a"), {"data": {"k": "edited"}})
    until("an edit is repaired", lambda: data(own, "a") == {"k": "v"}, seconds=30)
    own.declare(render={"commonLabels": {"seen": "yes"}})
    until("a new spec is seen", lambda: own.api.get(own.path("configmaps", "a"))["metadata"]["labels"].get("seen") == "yes", seconds=30)


def broken_conversion(own: World) -> Iterator[None]:
    """A CRD of strangers whose stored version can only be read by a webhook that is away."""
    crd = definition("stranger.test", "Thing")
    crd["spec"]["versions"].append({**crd["spec"]["versions"][0], "name": "v2", "storage": False})
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{crd['metadata']['name']}"
    own.cluster.kubectl("apply", "-f", "-", input=json.dumps(crd))
    own.cluster.kubectl("wait", "--for=condition=Established", f"crd/{crd['metadata']['name']}", "--timeout=20s")
    own.api.create(own.path("things", group="stranger.test/v1"), manifest("Thing", "t", api_version="stranger.test/v1"))
    webhook = {"clientConfig": {"url": "https://127.0.0.1:1/convert"}, "conversionReviewVersions": ["v1"]}
    own.api.merge(path, {"spec": {"conversion": {"strategy": "Webhook", "webhook": webhook}}})
    until("it cannot be read", lambda: own.api.request("GET", own.path("things", group="stranger.test/v2"))[0] in (429, 500))
    yield
    own.api.merge(path, {"spec": {"conversion": {"strategy": "None", "webhook": None}}})  # or else it could not be deleted
    own.api.delete(path)


def broken_service(own: World) -> Iterator[None]:
    """An aggregated API whose server is away, as metrics-server often is."""
    spec = {"group": "metrics.k8s.io", "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 100}
    spec |= {"insecureSkipTLSVerify": True, "service": {"name": "metrics-server", "namespace": own.name}}
    version = "apiregistration.k8s.io/v1"
    own.api.create(f"/apis/{version}/apiservices", manifest("APIService", "v1beta1.metrics.k8s.io", api_version=version, spec=spec))
    until("it does not answer", lambda: own.api.request("GET", "/apis/metrics.k8s.io/v1beta1")[0] == 503)
    yield
    own.api.delete(f"/apis/{version}/apiservices/v1beta1.metrics.k8s.io")


@pytest.fixture(params=[broken_conversion, broken_service], ids=["conversion", "aggregated"])
def broken_stranger(own: World, request: pytest.FixtureRequest) -> Iterator[None]:
    """Somebody else's API that cannot be read."""
    yield from request.param(own)


@pytest.mark.usefixtures("broken_stranger")
def test_an_api_of_strangers_that_cannot_be_read_holds_nothing_up(own: World):
    """argo-cd#4155 and #524: an API that nobody in Git used could not be listed or discovered, and nothing was reconciled any more."""
    own.operator.start()
    settled(own, config_map("a", k="v"), config_map("b", k="v"))
    own.api.merge(own.path("configmaps", "a"), {"data": {"k": "edited"}})
    until("an edit is repaired", lambda: data(own, "a") == {"k": "v"})
    own.wait_applied(own.commit({"all.yaml": text(config_map("a", k="w"))}))
    assert data(own, "b") is None, "what left Git is pruned"
    own.request()
    assert own.condition()["status"] == "True"


def test_after_a_failure_drift_is_still_repaired_and_the_failure_passes_by_itself(world: World):
    """argo-cd#18442: after one failed sync nothing was healed any more until the next commit."""
    extra = f"{world.name}-later"
    world.commit({"all.yaml": text(config_map("a", k="v"), manifest("ConfigMap", "x", namespace=extra, data={"k": "v"}))})
    world.declare()
    world.wait_failed("NamespaceMissing", mentions=extra)
    world.api.merge(world.path("configmaps", "a"), {"data": {"k": "edited"}})
    until("an edit is repaired", lambda: data(world, "a") == {"k": "v"}, seconds=5)
    world.api.create("/api/v1/namespaces", manifest("Namespace", extra))
    until("the rest is applied", lambda: world.api.get(world.path("configmaps", "x", namespace=extra)), seconds=40)
    until("it is Ready", lambda: world.condition().get("status") == "True")
