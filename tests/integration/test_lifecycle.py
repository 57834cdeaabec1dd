"""The operator as a process: start, stop, restart, rights, outages, and what it serves over HTTP.

Aspects: SIGTERM and SIGKILL half-way · restart · rights · the API server away · no CRD yet · wrong settings · metrics and probes.
"""

import json
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from cvstate_operator import errors
from cvstate_operator.kube.client import Client
from tests.cluster import builds
from tests.conftest import install_crd
from tests.support import accounts, ours
from tests.support.api import Api, Json
from tests.support.objects import RBAC, config_map, manifest, mixed, text
from tests.support.operator import Operator
from tests.support.waiting import until
from tests.support.world import World

pytestmark = pytest.mark.integration


KINDS = {"configmaps": "", "services": "", "deployments": "apps/v1", "roles": RBAC}
"""Where the objects of `mixed` are."""


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
    asked = [r for r in own.cluster.audit.requests(0, user="cvstate-operator") if r.namespace == own.name and r.resource in KINDS]
    answered = {r.name for r in asked if r.code == 201}
    there = [o for plural, group in KINDS.items() for o in own.api.get(own.path(plural, group=group))["items"]]
    live = {o["metadata"]["name"] for o in there if o["metadata"]["name"].startswith("o")}
    assert answered <= live <= {r.name for r in asked if r.verb == "patch"}
    if number == signal.SIGTERM:
        assert live == answered
    own.operator.start()
    own.wait_applied(commit, seconds=40)
    assert members(own) <= count + 16, "only what was not answered any more is written again"


def test_a_restart_writes_nothing_and_repairs_what_happened_meanwhile(own: World):
    commit = own.commit({**mixed(60, own.name), "cm.yaml": text(config_map("cm", k="v"), config_map("dead", k="v"))})
    own.operator.start()
    own.declare(prune={"maxDeletes": 50, "maxPercent": 100})
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


CONFIG_MAPS_ONLY = [
    {"apiGroups": ["cvstate.io"], "resources": ["clusterstates", "clusterstates/status", "clusterstateplans"], "verbs": ["*"]},
    {"apiGroups": ["cvstate.io"], "resources": ["stateapprovals", "emergencystops"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create"]},
    {"apiGroups": ["apiextensions.k8s.io"], "resources": ["customresourcedefinitions"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"]},
]
SECRETS = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["*"]}


def test_a_kind_that_may_not_be_touched_stops_only_itself_and_heals_with_its_right(own: World, tmp_path):
    user = accounts.kubeconfig(own, accounts.token(own, "restricted"), tmp_path / "restricted.kubeconfig")
    accounts.grant(own, "restricted", CONFIG_MAPS_ONLY)
    own.operator = Operator(user, tmp_path / "restricted")
    with own.operator:
        own.commit({"a.yaml": text(config_map("a", k="v")), "s.yaml": text(manifest("Secret", "s", data={}))})
        own.declare()
        condition = own.wait_failed("Forbidden", mentions="apps/s.yaml document 1")
        words = ("cannot list resource", "secrets", "grant it")
        assert all(word in condition["message"] for word in words)
        until("an Event tells it", lambda: any(all(word in note for word in words) for note in own.events("Forbidden")))
        assert any(line.get("reason") == "Forbidden" and all(word in line["message"] for word in words) for line in own.operator.lines())
        assert own.api.get(own.path("configmaps", "a")) is not None
        own.commit({"a.yaml": None, "b.yaml": text(config_map("b", k="v"))})
        until("the rest goes on", lambda: own.api.get(own.path("configmaps", "b")))
        own.wait_failed("Forbidden", mentions="left Git")
        assert own.api.get(own.path("configmaps", "a")) is not None, "nothing is pruned while a kind cannot be seen"

        accounts.grant(own, "restricted", [*CONFIG_MAPS_ONLY, SECRETS])
        own.wait_applied(own.commit({"c.yaml": text(config_map("c", k="v"))}))
        assert own.api.get(own.path("secrets", "s")) is not None
        assert own.api.get(own.path("configmaps", "a")) is None


def test_a_right_to_see_without_the_right_to_write_is_told_as_well(own: World, tmp_path):
    user = accounts.kubeconfig(own, accounts.token(own, "reader"), tmp_path / "reader.kubeconfig")
    accounts.grant(own, "reader", [*CONFIG_MAPS_ONLY, {**SECRETS, "verbs": ["get", "list", "watch"]}])
    own.operator = Operator(user, tmp_path / "reader")
    with own.operator:
        own.commit({"a.yaml": text(config_map("a", k="v")), "s.yaml": text(manifest("Secret", "s", data={}))})
        own.declare()
        condition = own.wait_failed("Forbidden", mentions="apps/s.yaml document 1")
        assert "cannot patch resource" in condition["message"]
        assert own.api.get(own.path("configmaps", "a")) is not None


def remove_crd(api: Api) -> None:
    api.delete("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/clusterstates.cvstate.io")
    until("the kind is gone", lambda: api.request("GET", "/apis/cvstate.io/v1alpha1/clusterstates")[0] == 404)


def test_an_operator_that_starts_before_the_crd_works_once_it_is_there(own: World):
    """Several times: when the CRD is established and when discovery tells of it are two moments, in no fixed order."""
    remove_crd(own.api)
    own.operator.start()
    for attempt in range(4):
        install_crd(own.api)
        commit = own.commit({"a.yaml": text(config_map("a", k=f"v{attempt}"))}, tell=False)
        own.declare()
        own.wait_applied(commit)
        assert own.api.get(own.path("configmaps", "a"))["data"] == {"k": f"v{attempt}"}
        remove_crd(own.api)
    install_crd(own.api)


def test_drift_is_repaired_after_the_api_server_was_away(own: World):
    commit = own.commit({"a.yaml": text(config_map("a", k="v"))})
    own.operator.start()
    own.declare()
    own.wait_applied(commit)
    # What happens to other kinds makes the operator's last version of ConfigMaps older than what the API server remembers after a restart.
    for i in range(5):
        own.api.create(own.path("secrets"), manifest("Secret", f"noise{i}"))
    mark = own.cluster.audit.mark()
    own.cluster.restart_api_server()
    own.api.merge(own.path("configmaps", "a"), {"data": {"k": "HACKED"}})
    until("repaired", lambda: own.api.get(own.path("configmaps", "a"))["data"]["k"] == "v", seconds=40)
    requests = own.cluster.audit.requests(mark, user="cvstate-operator")
    assert own.operator.is_running
    assert any(r.verb == "list" and r.resource == "configmaps" for r in requests), "the gap is closed by a new list"
    assert own.writes(mark) == [f"patch configmaps {own.name}/a"]

    async def watch_from_the_beginning(client: Client) -> list[Json]:
        query = {"resourceVersion": "1", "timeoutSeconds": "2"}
        return [event async for event in client.watch(own.path("configmaps"), params=query)]

    with pytest.raises(errors.StaleError):
        ours.ask(own.cluster.operator_kubeconfig, watch_from_the_beginning)


def test_metrics_pass_promtool_and_vanish_with_the_clusterstate(own: World):
    promtool = builds.ensure(["promtool"])["promtool"]
    own.operator.start()
    own.declare()
    own.wait_applied(own.commit({"a.yaml": text(config_map("a", k="v"))}))
    own.api.merge(own.path("configmaps", "a"), {"data": {"k": "HACKED"}})
    series = f'cvstate_drift_opened_total{{kind="ConfigMap",name="state",namespace="{own.name}",severity="Medium"}} 1.0'
    until("the drift is counted", lambda: series in own.operator.http("/metrics")[1])
    code, page = own.operator.http("/metrics")
    assert code == 200
    checked = subprocess.run((promtool, "check", "metrics"), input=page, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert own.operator.http("/healthz") == (200, "ok\n")
    assert own.operator.http("/readyz") == (200, "ok\n")
    own.api.delete(f"/apis/cvstate.io/v1alpha1/namespaces/{own.name}/clusterstates/state")
    until("its series are gone", lambda: f'namespace="{own.name}"' not in own.operator.http("/metrics")[1])


def taken_port(own: World, directory: Path) -> Sequence[str]:
    return "--listen", f"127.0.0.1:{own.git.port}"


def broken_kubeconfig(own: World, directory: Path) -> Sequence[str]:
    file = directory / "broken"
    file.write_text("clusters: [")
    return "--kubeconfig", str(file)


def empty_kubeconfig(own: World, directory: Path) -> Sequence[str]:
    file = directory / "empty"
    file.write_text("")
    return "--kubeconfig", str(file)


def strange_token(own: World, directory: Path) -> Sequence[str]:
    return "--kubeconfig", str(accounts.kubeconfig(own, "no-such-token", directory / "stranger"))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        pytest.param(taken_port, "choose another address with --listen", id="port-taken"),
        pytest.param(broken_kubeconfig, "is no kubeconfig", id="broken-kubeconfig"),
        pytest.param(empty_kubeconfig, "is no kubeconfig", id="empty-kubeconfig"),
        pytest.param(strange_token, "does not accept our credentials", id="strange-token"),
        pytest.param(("--kubeconfig", "/nowhere"), "cannot read the kubeconfig /nowhere", id="no-kubeconfig"),
        pytest.param(("--listen", "nonsense"), "write HOST:PORT", id="bad-address"),
        pytest.param(("--listen", "203.0.113.1:80"), "choose another address with --listen", id="address-not-ours"),
        pytest.param(("--context", "nope"), "has no context nope", id="no-such-context"),
    ],
)
def test_wrong_settings_end_with_one_line_and_exit_code_2(own: World, tmp_path, options, says: str):
    more = options(own, tmp_path) if callable(options) else options
    operator = Operator(own.cluster.operator_kubeconfig, tmp_path / "wrong", *more)
    operator.start(wait=False)
    assert operator.wait() == 2
    plain = [line["message"] for line in operator.lines() if set(line) == {"message"}]
    assert len(plain) == 1, "one line for people, the rest is JSON"
    assert plain[0].startswith("cvstate: ")
    assert says in plain[0]
    assert "Traceback" not in operator.log.read_text()


def test_file_urls_are_read_where_the_operator_allows_them(own: World, tmp_path):
    own.operator = Operator(own.cluster.operator_kubeconfig, tmp_path / "files", "--allow-file-urls")
    with own.operator:
        commit = own.commit({"a.yaml": text(config_map("a", k="v"))})
        own.declare(git={"url": f"file://{own.repository.directory}"})
        own.wait_applied(commit)
    assert own.api.get(own.path("configmaps", "a")) is not None


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
    own.commit({"bad.yaml": "["})
    own.wait_failed("YAMLInvalid")
    lines = [json.loads(line) for line in own.operator.log.read_text().splitlines()]
    told = next(line for line in lines if line.get("reason") == "YAMLInvalid")
    assert told["clusterstate"] == f"{own.name}/state"
    assert told["revision"].startswith("main@sha1:")
    assert told["level"] == "warning"
    assert "apps/bad.yaml" in told["message"]
