"""The operator as a process: start, stop, restart, rights, outages, and what it serves over HTTP.

Aspects: SIGTERM and SIGKILL half-way · restart · rights · the API server away · no CRD yet · wrong settings · metrics and probes.
"""

import json
import signal
import subprocess

import pytest
import yaml

from tests.cluster import builds
from tests.conftest import install_crd
from tests.integration.test_reconcile import mixed
from tests.support.operator import Operator
from tests.support.waiting import until
from tests.support.world import World, config_map, manifest, text

pytestmark = pytest.mark.integration


def members(world: World) -> int:
    return sum(1 for w in world.writes(0) if w.startswith("patch") and f"{world.name}/o" in w)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_stopped_half_way_it_goes_on_where_it_was(own: World, number: int):
    count = 600
    commit = own.commit(mixed(count, own.name))
    own.operator.start()
    own.declare()
    until("some objects are written", lambda: members(own) > 50, every=0.01)
    code = own.operator.end(number, seconds=10)
    assert code == (0 if number == signal.SIGTERM else -signal.SIGKILL)
    before = members(own)
    assert before < count, "it was stopped half-way"
    if number == signal.SIGTERM:
        lasting = [
            r for r in own.cluster.audit.requests(0, user="cvstate-operator") if r.namespace == own.name and r.code >= 400 and r.is_write
        ]
        assert lasting == [], "every object in hand was finished"
    own.operator.start()
    own.wait_applied(commit, seconds=40)
    assert members(own) <= count + 16, "only what was not answered any more is written again"


def test_a_restart_writes_nothing_and_repairs_what_happened_meanwhile(own: World):
    commit = own.commit({**mixed(60, own.name), "cm.yaml": text(config_map("cm", k="v"), config_map("dead", k="v"))})
    own.operator.start()
    own.declare()
    own.wait_applied(commit)
    own.operator.end(signal.SIGKILL)
    mark = own.cluster.audit.mark()
    own.operator.start()
    own.request()
    assert own.writes(mark) == []
    own.operator.end(signal.SIGTERM)
    own.api.merge(own.path("configmaps", "cm"), {"data": {"k": "HACKED"}}, manager="kubectl-edit")
    own.api.delete(own.path("configmaps", "dead"))
    own.repository.commit({"apps/f0000.yaml": None})
    mark = own.cluster.audit.mark()
    own.operator.start()
    until("the edit is repaired", lambda: own.api.get(own.path("configmaps", "cm"))["data"]["k"] == "v")
    until("the deleted object is back", lambda: own.api.get(own.path("configmaps", "dead")))
    until("what left Git meanwhile is pruned", lambda: own.api.get(own.path("configmaps", "o0")) is None)
    own.request()
    writes = own.writes(mark)
    assert sorted(w for w in writes if w.startswith("patch")) == [f"patch configmaps {own.name}/cm", f"patch configmaps {own.name}/dead"]
    assert sum(w.startswith("delete") for w in writes) == 50


def restricted_kubeconfig(own: World, directory):
    """A kubeconfig of a ServiceAccount that may do what the operator needs, but nothing with Secrets."""
    everything = {"apiGroups": ["", "cvstate.io", "events.k8s.io", "apiextensions.k8s.io"], "verbs": ["*"]}
    resources = ["configmaps", "clusterstates", "clusterstates/status", "events", "customresourcedefinitions", "namespaces"]
    rbac = "rbac.authorization.k8s.io"
    own.api.create(own.path("serviceaccounts"), manifest("ServiceAccount", "restricted"))
    role = manifest("ClusterRole", own.name, api_version=f"{rbac}/v1", rules=[{**everything, "resources": resources}])
    own.api.create(f"/apis/{rbac}/v1/clusterroles", role)
    binding = manifest(
        "ClusterRoleBinding",
        own.name,
        api_version=f"{rbac}/v1",
        roleRef={"apiGroup": rbac, "kind": "ClusterRole", "name": own.name},
        subjects=[{"kind": "ServiceAccount", "name": "restricted", "namespace": own.name}],
    )
    own.api.create(f"/apis/{rbac}/v1/clusterrolebindings", binding)
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": []}}
    token = own.api.create(own.path("serviceaccounts", "restricted/token"), request)["status"]["token"]
    config = yaml.safe_load(own.cluster.operator_kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    file = directory / "restricted.kubeconfig"
    file.write_text(yaml.safe_dump(config))
    return file


def test_a_kind_that_may_not_be_touched_stops_only_itself(own: World, tmp_path):
    own.operator = Operator(restricted_kubeconfig(own, tmp_path), tmp_path / "restricted")
    with own.operator:
        own.commit({"a.yaml": text(config_map("a", k="v")), "s.yaml": text(manifest("Secret", "s", data={}))})
        own.declare()
        condition = own.wait_failed("Forbidden", mentions="apps/s.yaml document 1")
        assert "secrets" in condition["message"]
        assert "grant it" in condition["message"]
        assert own.api.get(own.path("configmaps", "a")) is not None
        own.commit({"a.yaml": None, "b.yaml": text(config_map("b", k="v"))})
        until("the rest goes on", lambda: own.api.get(own.path("configmaps", "b")))
        own.wait_failed("Forbidden", mentions="left Git but not the cluster")
        assert own.api.get(own.path("configmaps", "a")) is not None, "nothing is pruned while a kind cannot be seen"


def test_an_operator_that_starts_before_the_crd_works_once_it_is_there(own: World):
    own.api.delete("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/clusterstates.cvstate.io")
    until("the kind is gone", lambda: own.api.request("GET", "/apis/cvstate.io/v1alpha1/clusterstates")[0] == 404)
    own.operator.start()
    install_crd(own.api)
    commit = own.commit({"a.yaml": text(config_map("a", k="v"))})
    own.declare()
    own.wait_applied(commit)


def test_drift_is_repaired_after_the_api_server_was_away(own: World):
    commit = own.commit({"a.yaml": text(config_map("a", k="v"))})
    own.operator.start()
    own.declare()
    own.wait_applied(commit)
    own.cluster.restart_api_server()
    own.api.merge(own.path("configmaps", "a"), {"data": {"k": "HACKED"}})
    until("repaired", lambda: own.api.get(own.path("configmaps", "a"))["data"]["k"] == "v", seconds=40)
    assert own.operator.is_running


def test_metrics_pass_promtool_and_vanish_with_the_clusterstate(own: World):
    promtool = builds.ensure(["promtool"])["promtool"]
    own.operator.start()
    own.declare()
    own.wait_applied(own.commit({"a.yaml": text(config_map("a", k="v"))}))
    own.api.merge(own.path("configmaps", "a"), {"data": {"k": "HACKED"}})
    series = f'cvstate_drift_opened_total{{kind="ConfigMap",name="state",namespace="{own.name}"}} 1.0'
    until("the drift is counted", lambda: series in own.operator.http("/metrics")[1])
    code, page = own.operator.http("/metrics")
    assert code == 200
    checked = subprocess.run((promtool, "check", "metrics"), input=page, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert own.operator.http("/healthz") == (200, "ok\n")
    assert own.operator.http("/readyz") == (200, "ok\n")
    own.api.delete(f"/apis/cvstate.io/v1alpha1/namespaces/{own.name}/clusterstates/state")
    until("its series are gone", lambda: f'namespace="{own.name}"' not in own.operator.http("/metrics")[1])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        pytest.param(("--kubeconfig", "/nowhere"), "cannot read the cluster configuration", id="no-kubeconfig"),
        pytest.param(("--listen", "nonsense"), "write HOST:PORT", id="bad-address"),
        pytest.param(("--listen", "203.0.113.1:80"), "choose another address with --listen", id="address-not-ours"),
        pytest.param(("--context", "nope"), "cannot read the cluster configuration", id="no-such-context"),
    ],
)
def test_wrong_settings_end_with_one_line_and_exit_code_2(own: World, options, says: str):
    own.operator._command = (*own.operator._command, *options)
    own.operator.start(wait=False)
    assert own.operator.wait() == 2
    last = own.operator.lines()[-1]["message"]
    assert last.startswith("cvstate: ")
    assert says in last
    assert "Traceback" not in own.operator.log.read_text()


def test_the_log_is_json_and_names_clusterstate_revision_and_reason(own: World):
    own.operator.start()
    own.declare()
    commit = own.commit({"a.yaml": text(config_map("a", k="v"))})
    own.wait_applied(commit)
    lines = [json.loads(line) for line in own.operator.log.read_text().splitlines()]
    applied = next(line for line in lines if line.get("reason") == "Applied")
    assert applied["clusterstate"] == f"{own.name}/state"
    assert applied["revision"] == f"main@sha1:{commit}"
    assert applied["level"] == "info"
