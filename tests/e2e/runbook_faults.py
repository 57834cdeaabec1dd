"""Faults for `test_runbooks`: a team with many ClusterStates that are well at first, and everything that then goes wrong with them and with the operator."""

import base64
import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from cvstate_operator.cli.demo.git_server import Repository
from tests.cluster.control_plane import Cluster
from tests.integration.test_notices import Receiver
from tests.support import charts, tenancy
from tests.support.api import Api, Json
from tests.support.beside import beside
from tests.support.charts import NAMESPACE, OPERATOR, RELEASE
from tests.support.duty import Duty
from tests.support.exporter import Exporter
from tests.support.faulty_git import FaultyGit
from tests.support.objects import RBAC, config_map, deployment, manifest, text
from tests.support.operator_node import OperatorNode
from tests.support.waiting import until
from tests.support.world import World

TEAM: Final = "team-a"
APPLIER: Final = "applier"
RIVAL: Final = "quota-controller"
TOKEN: Final = "a token that is good"
CRASHES: Final = {"test.cvstate.io/fate": "crash-loop"}
RULE: Final[Json] = {"verbs": ["get"], "apiGroups": [""], "resources": ["configmaps"]}
WEBHOOK: Final = "policy.example.test"
CROWD: Final = 200
"""ConfigMaps that are written at once: more than there are writers."""
READY_SECONDS: Final = 90.0


@dataclass
class Team:
    """Somebody on duty, and all that can be broken."""

    duty: Duty
    node: OperatorNode
    exporter: Exporter
    receiver: Receiver
    private: FaultyGit
    """Asks for credentials."""
    mine: Repository
    """The repository there."""
    far: Cluster
    values: Json
    home: Path

    @property
    def world(self) -> World:
        return self.duty.world

    @property
    def api(self) -> Api:
        return self.world.api

    def install(self) -> None:
        """Install the chart, or bring back what somebody took of it."""
        command = ("upgrade", "--install", RELEASE, OPERATOR, "--namespace", NAMESPACE, "--reset-values")
        charts.helm(*command, values=self.values, kubeconfig=self.world.cluster.admin_kubeconfig, home=self.home)

    def declare(self, name: str, *, git: Mapping[str, Any] | None = None, **spec: Any) -> None:
        self.world.declare(name, git={"path": f"apps/{name}", "interval": "5s", **(git or {})}, serviceAccountName=APPLIER, **spec)

    def settings(self, change: Mapping[str, Any]) -> None:
        """Change the settings file in the ConfigMap, past the chart and its checks."""
        path = f"/api/v1/namespaces/{NAMESPACE}/configmaps/{RELEASE}"
        found = yaml.safe_load((self.api.get(path) or {})["data"]["config.yaml"])
        self.api.merge(path, {"data": {"config.yaml": yaml.safe_dump({**found, **change})}})


def role(*rules: Json) -> Json:
    return manifest("Role", "reader", api_version=RBAC, rules=list(rules))


def held() -> Json:
    """A ConfigMap that cannot go before its finalizer does."""
    body = config_map("held", k="v")
    body["metadata"]["finalizers"] = ["example.com/backup"]
    return body


def service(name: str) -> Json:
    """One that the API server refuses."""
    return manifest("Service", name, spec={"ports": [{"port": 99999}], "selector": {"app": name}})


def web(name: str, *, crashes: bool = False) -> Json:
    body = deployment(name)
    if crashes:  # not in the selector, which cannot be changed
        body["spec"]["template"]["metadata"]["labels"] = {"app": name, **CRASHES}
    return body


is_stopped = threading.Event()
"""Whether somebody stopped the rival."""


# -- in Git, in the cluster, at servers ---------------------------------------------------------------------------------


def begin(team: Team) -> None:
    """Everything is declared, and well."""
    world = team.world
    for code in ("200", "500"):
        team.exporter.set("requests_total", 0, code=code)
    team.exporter.set("load", 5)
    team.exporter.set("depth", 5)
    team.mine.commit({"apps/a.yaml": text(config_map("refused", k="v"))})
    secret(team, "git-auth", {"username": "git", "password": TOKEN})
    far = Api(team.far.admin_kubeconfig)
    tenancy.namespace(far, TEAM)
    tenancy.account(far, TEAM, "deployer", tenancy.rule(["configmaps"]))
    secret(team, "far", {"value": yaml.safe_dump(tenancy.config(team.far, tenancy.token(far, TEAM, "deployer")))})
    world.commit(
        {
            "fight/a.yaml": text(config_map("fight", limit="10")),
            "rights/a.yaml": text(role(RULE)),
            "by-hand/a.yaml": text(config_map("by-hand", k="v")),
            "pending/a.yaml": text(*(config_map(f"pending{number}", k="v") for number in range(4))),
            "doubt/a.yaml": text(config_map("doubt0", k="v"), config_map("doubt1", k="v")),
            "stale/a.yaml": text(config_map("stale", k="v")),
            "invalid/a.yaml": text(config_map("invalid", k="v")),
            "stuck/a.yaml": text(held(), config_map("stuck", k="v")),
            **{f"{name}/a.yaml": text(web(name)) for name in ("impact", "given-up", "after-change")},
            **{f"{name}/a.yaml": text(config_map(name, k="v")) for name in ("unhealthy", "gap", "burning", "far")},
        }
    )
    world.repository.git("branch", "release")
    prometheus = {"prometheus": {"url": team.duty.prometheus.url}}
    team.declare("fight", drift={"breaker": {"reversals": 3, "within": "30s"}})
    team.declare("rights", drift={"rules": [{"match": {"kinds": ["Role"]}, "action": "Approve"}]})
    team.declare("by-hand", drift={"rules": [{"match": {"kinds": ["ConfigMap"]}, "action": "Approve"}]})
    team.declare("pending", prune={"maxDeletes": 1})
    team.declare("stale", git={"ref": {"branch": "release"}})
    team.declare("refused", git={"url": team.private.url("mine"), "path": "apps", "secretRef": {"name": "git-auth"}})
    team.declare("far", target={"kubeConfig": {"secretRef": {"name": "far"}}})
    for name in ("doubt", "invalid", "stuck"):
        team.declare(name)
    for name in ("impact", "after-change"):
        team.declare(name, vital={"degradedAfter": "3s"})
    team.declare("given-up", rollback={"onUnhealthyFor": "5s"}, vital={"degradedAfter": "3s"})
    team.declare("unhealthy", vital={**prometheus, "signals": [{"name": "load", "query": "load", "max": "10", "interval": "1s"}]})
    team.declare("gap", vital={**prometheus, "signals": [{"name": "depth", "query": "depth", "max": "10", "interval": "1s"}]})
    slo = {"name": "availability", "objective": "90", "window": "1h", "good": 'requests_total{code="200"}', "total": "requests_total"}
    team.declare("burning", vital={**prometheus, "slos": [slo]})
    until("all are well", lambda: len(team.duty.prometheus.ask("cvstate_ready == 1")) == 16, seconds=READY_SECONDS, every=0.5)
    until(
        "all are healthy",
        lambda: len(team.duty.prometheus.ask("clusterstate:cvstate_healthy:max == 1")) == 16,
        seconds=READY_SECONDS,
        every=0.5,
    )


def secret(team: Team, name: str, data: Mapping[str, str]) -> None:
    code, answer = team.api.apply(f"{team.world.path('secrets')}/{name}", manifest("Secret", name, stringData=dict(data)))
    assert code < 300, answer


def ail(team: Team) -> None:
    """What goes wrong in Git, in the cluster, at servers, in what is measured."""
    world = team.world
    team.far.kill("kube-apiserver")
    team.private.authorization = "Basic another"
    team.receiver.status = 500
    world.repository.git("branch", "-D", "release")
    world.api.merge(
        world.path("roles", "reader", group=RBAC), {"rules": [RULE, {**RULE, "resources": ["secrets"]}]}, manager="kubectl-edit"
    )
    world.api.merge(world.path("configmaps", "by-hand"), {"data": {"k": "by hand"}}, manager="kubectl-edit")
    team.exporter.set("load", 50)
    team.exporter.remove("depth")
    for code, count in {"200": 100, "500": 900}.items():
        team.exporter.add("requests_total", count, code=code)
    world.commit(
        {
            "pending/a.yaml": text(config_map("pending0", k="v")),
            "doubt/a.yaml": text(config_map("doubt0", k="v")),
            "doubt/b.yaml": "this: [is no YAML",
            "invalid/a.yaml": text(config_map("invalid", k="v"), service("invalid")),
            "stuck/a.yaml": text(config_map("stuck", k="v")),
            "impact/a.yaml": text(web("impact", crashes=True), service("impact")),
            "given-up/a.yaml": text(web("given-up", crashes=True)),
            "after-change/a.yaml": text(web("after-change", crashes=True)),
        }
    )


@contextmanager
def rival(team: Team) -> Iterator[None]:
    """Another controller wants another limit; it ends when somebody stops it: `is_stopped`."""
    is_stopped.clear()
    path = team.world.path("configmaps", "fight")

    def fight(is_over: threading.Event) -> None:
        while not is_over.wait(1.0):
            if (team.api.get(path) or {}).get("data", {}).get("limit") == "10":
                team.api.merge(path, {"data": {"limit": "99"}}, manager=RIVAL)

    with beside(fight, is_over=is_stopped):
        yield


# -- of the operator ----------------------------------------------------------------------------------------------------


def is_allowed(far: Api) -> bool:
    """Whether the account of the kubeconfig may do its work there."""
    asked = {"namespace": TEAM, "verb": "watch", "resource": "configmaps"}
    spec = {"user": f"system:serviceaccount:{TEAM}:deployer", "resourceAttributes": asked}
    review = manifest("SubjectAccessReview", "", api_version="authorization.k8s.io/v1", spec=spec)
    return bool(far.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", review)["status"]["allowed"])


@contextmanager
def hanging_webhook(team: Team) -> Iterator[None]:
    """An admission webhook that takes connections and never answers is asked for each ConfigMap."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        hook = {
            "name": WEBHOOK,
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "timeoutSeconds": 2,
            "clientConfig": {
                "url": f"https://127.0.0.1:{server.getsockname()[1]}/validate",
                "caBundle": base64.b64encode(team.api.authority.encode()).decode(),
            },
            "rules": [
                {
                    "apiGroups": [""],
                    "apiVersions": ["v1"],
                    "operations": ["CREATE", "UPDATE"],
                    "resources": ["configmaps"],
                    "scope": "Namespaced",
                }
            ],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": TEAM}},
        }
        path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
        team.api.create(
            path, manifest("ValidatingWebhookConfiguration", WEBHOOK, api_version="admissionregistration.k8s.io/v1", webhooks=[hook])
        )
        try:
            yield
        finally:
            team.api.delete(f"{path}/{WEBHOOK}")


@contextmanager
def starving(node: OperatorNode) -> Iterator[None]:
    """The operators are stopped again and again, longer than timers may be late."""

    def starve(is_over: threading.Event) -> None:
        while not is_over.is_set():
            for number, pause in ((signal.SIGSTOP, 1.6), (signal.SIGCONT, 0.2)):
                for pid in node.pids:
                    os.kill(pid, number)
                is_over.wait(pause)
        for pid in node.pids:
            os.kill(pid, signal.SIGCONT)

    with beside(starve):
        yield
