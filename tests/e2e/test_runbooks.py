"""Runbooks followed: for each alert its real fault is made, the alert fires, its runbook leads to the cause and mends it, and the alert ends.

A real cluster with the chart installed by Helm, a real operator in its Pod (`operator_node` says what is as on a node and what is not), a real Prometheus with our rules.
Times of the rules are shortened, and nothing else (`duty`). About ten minutes: `make runbooks`.

What concerns ClusterStates is begun all at once, each with one of its own, and mended one after the other; what concerns the operator comes after that.
"""

import base64
import os
import re
from collections.abc import Iterator

import pytest
import yaml

from cvstate_operator.cli.demo.git_server import GitServer
from tests.cluster.control_plane import Cluster
from tests.conftest import install_crd
from tests.e2e.runbook_faults import (
    APPLIER,
    CROWD,
    READY_SECONDS,
    RIVAL,
    TEAM,
    TOKEN,
    WEBHOOK,
    Team,
    ail,
    begin,
    hanging_webhook,
    is_allowed,
    is_stopped,
    rival,
    starving,
    web,
)
from tests.integration.test_notices import Receiver
from tests.support import charts, tenancy, tenants
from tests.support.api import Api
from tests.support.charts import NAMESPACE, RELEASE
from tests.support.duty import Duty, QuickWatcher
from tests.support.exporter import Exporter
from tests.support.faulty_git import FaultyGit, hang
from tests.support.objects import RBAC, config_map, manifest, text
from tests.support.operator import Operator
from tests.support.operator_node import OperatorNode
from tests.support.waiting import until
from tests.support.world import World

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not os.environ.get("CVSTATE_RUNBOOKS"), reason="ten minutes: make runbooks"),
]

# -- the play --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    directory = tmp_path_factory.mktemp("runbooks")
    authorization = "Basic " + base64.b64encode(f"git:{TOKEN}".encode()).decode()
    with (
        GitServer(directory / "git") as git,
        FaultyGit(directory / "private") as private,
        Exporter() as exporter,
        Receiver() as receiver,
        Cluster.start(quiet=True) as far,
        Cluster.start() as cluster,
        OperatorNode(cluster, directory / "node", namespace=NAMESPACE) as node,
        QuickWatcher(directory / "prometheus", operators=node.targets, exporter=exporter.target) as prometheus,
    ):
        private.authorization = authorization
        api = Api(cluster.admin_kubeconfig)
        charts.make_room(api)
        install_crd(api)
        tenancy.namespace(api, NAMESPACE)
        world = World(cluster, api, git, Operator(cluster.admin_kubeconfig, directory / "none"), name=TEAM)
        tenants.make(api, TEAM, APPLIER, [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}])
        here = ["127.0.0.1"]
        values = {
            **node.values,
            "tenants": [{"namespace": TEAM, "serviceAccounts": [APPLIER]}],
            "config": {
                "allowInsecureSources": True,
                "allowGitHosts": here,
                "allowPrometheusHosts": here,
                "notices": [{"name": "tickets", "type": "Webhook", "url": f"{receiver.url}/hook", "minDuration": "1s"}],
            },
        }
        duty = Duty(world, prometheus, world.repository.directory)
        found = Team(duty, node, exporter, receiver, private, private.repository("mine"), far, values, directory)
        found.install()
        try:
            until("the operator is scraped", lambda: prometheus.ask("cvstate_build_info"), seconds=READY_SECONDS)
        except AssertionError as error:
            raise AssertionError(f"{error}; {cluster.kubectl('get', 'pods,events', '-n', NAMESPACE)}") from None
        begin(found)
        with rival(found):
            ail(found)
            yield found
        assert node.error is None


# -- drift -------------------------------------------------------------------------------------------------------------


def test_critical_drift(team: Team) -> None:
    team.duty.await_told("CvstateCriticalDrift", "rights")
    shown = team.duty.diagnose("CvstateCriticalDrift", "rights")
    assert all(word in shown for word in ("Role", "/rules", "kubectl-edit", "AwaitingApproval"))
    team.duty.mend("CvstateCriticalDrift", "cvstate approve", "rights", more=" --yes")
    team.duty.mend("CvstateCriticalDrift", "cvstate reconcile", "rights")
    team.duty.mend("CvstateCriticalDrift", "cvstate diff", "rights")
    team.duty.await_over("CvstateCriticalDrift", "rights")


def test_drift_that_nobody_attends_to(team: Team) -> None:
    team.duty.await_told("CvstateDriftUnattended", "by-hand")
    shown = team.duty.diagnose("CvstateDriftUnattended", "by-hand")
    assert all(word in shown for word in ("ConfigMap", "/data/k", "kubectl-edit", "AwaitingApproval"))
    team.duty.mend("CvstateDriftUnattended", "cvstate approve", "by-hand", more=" --yes")
    team.duty.mend("CvstateDriftUnattended", "cvstate reconcile", "by-hand")
    team.duty.await_over("CvstateDriftUnattended", "by-hand")


def test_a_breaker_that_is_open(team: Team) -> None:
    team.duty.await_told("CvstateBreakerOpen", "fight")
    shown = team.duty.diagnose("CvstateBreakerOpen", "fight")
    assert RIVAL in shown
    is_stopped.set()
    team.duty.mend("CvstateBreakerOpen", "cvstate reconcile", "fight")
    until("it is as declared", lambda: (team.api.get(team.world.path("configmaps", "fight")) or {})["data"]["limit"] == "10")
    team.duty.await_over("CvstateBreakerOpen", "fight")


# -- what is to be carried out --------------------------------------------------------------------------------------------


def test_a_plan_that_waits(team: Team) -> None:
    team.duty.await_told("CvstatePlanWaiting", "pending")
    shown = team.duty.diagnose("CvstatePlanWaiting", "pending")
    assert "pending3" in shown
    team.duty.mend("CvstatePlanWaiting", "cvstate approve", "pending", more=" --yes")
    until("they are gone", lambda: team.api.get(team.world.path("configmaps", "pending3")) is None)
    team.duty.await_over("CvstatePlanWaiting", "pending")


def test_a_prune_that_is_held(team: Team) -> None:
    team.duty.await_told("CvstatePruneHeld", "doubt")
    shown = team.duty.diagnose("CvstatePruneHeld", "doubt")
    assert "YAMLInvalid" in shown
    assert "doubt/b.yaml" in shown
    team.world.commit({"doubt/b.yaml": None}, tell=False)
    team.duty.mend("CvstatePruneHeld", "cvstate reconcile", "doubt")
    until("it is gone", lambda: team.api.get(team.world.path("configmaps", "doubt1")) is None)
    team.duty.await_over("CvstatePruneHeld", "doubt")


def test_what_is_not_ready(team: Team) -> None:
    team.duty.await_told("CvstateNotReady", "invalid")
    shown = team.duty.diagnose("CvstateNotReady", "invalid")
    assert all(word in shown for word in ("Invalid", "Service", "99999"))
    team.world.commit({"invalid/a.yaml": text(config_map("invalid", k="v"))}, tell=False)
    team.duty.mend("CvstateNotReady", "cvstate plan", "invalid")
    team.duty.mend("CvstateNotReady", "cvstate reconcile", "invalid")
    team.duty.await_over("CvstateNotReady", "invalid")


def test_what_is_stuck(team: Team) -> None:
    team.duty.await_told("CvstateStuck", "stuck")
    shown = team.duty.diagnose("CvstateStuck", "stuck")
    assert "example.com/backup" in shown
    team.duty.variables |= {"KIND": "configmap", "OBJECT": "held"}
    team.duty.mend("CvstateStuck", "kubectl patch", "stuck")
    team.duty.mend("CvstateStuck", "cvstate reconcile", "stuck")
    team.duty.await_over("CvstateStuck", "stuck")


def test_what_is_unhealthy_and_cannot_be_written(team: Team) -> None:
    team.duty.await_told("CvstateReconcileFailingWithImpact", "impact")
    shown = team.duty.diagnose("CvstateReconcileFailingWithImpact", "impact")
    assert "CrashLoopBackOff" in shown
    assert "99999" in shown
    team.duty.mend("CvstateReconcileFailingWithImpact", "cvstate rollback", "impact", more=" --yes")
    team.duty.await_over("CvstateReconcileFailingWithImpact", "impact")


def test_what_was_rolled_back(team: Team) -> None:
    team.duty.await_told("CvstateRolledBack", "given-up")
    shown = team.duty.diagnose("CvstateRolledBack", "given-up", silent=("cvstate_healthy == 0",))
    assert "Unhealthy" in shown
    assert "given-up" in shown
    team.world.commit({"given-up/a.yaml": text(web("given-up"), config_map("given-up", k="mended"))})
    team.duty.mend("CvstateRolledBack", "kubectl wait", "given-up")
    team.duty.await_over("CvstateRolledBack", "given-up")


# -- health ----------------------------------------------------------------------------------------------------------------


def test_what_is_unhealthy_after_a_change(team: Team) -> None:
    team.duty.await_told("CvstateUnhealthyAfterChange", "after-change")
    shown = team.duty.diagnose("CvstateUnhealthyAfterChange", "after-change")
    assert "CrashLoopBackOff" in shown
    team.duty.mend("CvstateUnhealthyAfterChange", "cvstate rollback", "after-change", more=" --yes")
    team.duty.mend("CvstateUnhealthyAfterChange", "kubectl wait", "after-change")
    team.duty.await_over("CvstateUnhealthyAfterChange", "after-change")


def test_what_is_unhealthy(team: Team) -> None:
    team.duty.await_told("CvstateUnhealthy", "unhealthy")
    shown = team.duty.diagnose("CvstateUnhealthy", "unhealthy")
    assert "load" in shown
    team.duty.shell('cvstate rollback "$NAME" -n "$NAMESPACE" --list', name="unhealthy")
    team.duty.mend("CvstateUnhealthy", "cvstate suspend", "unhealthy")
    team.duty.await_over("CvstateUnhealthy", "unhealthy")
    team.duty.mend("CvstateUnhealthy", "cvstate resume", "unhealthy")
    team.duty.await_told("CvstateUnhealthy", "unhealthy")
    team.exporter.set("load", 5)
    team.duty.await_over("CvstateUnhealthy", "unhealthy")


def test_a_gap_in_the_telemetry(team: Team) -> None:
    team.duty.await_told("CvstateTelemetryGap", "gap")
    shown = team.duty.diagnose("CvstateTelemetryGap", "gap")
    assert "NoData" in shown
    team.exporter.set("depth", 5)
    team.duty.mend("CvstateTelemetryGap", "kubectl wait", "gap")
    team.duty.await_over("CvstateTelemetryGap", "gap")


@pytest.mark.parametrize("alert", ["CvstateSloBurning", "CvstateSloBurningSlowly", "CvstateSloBudgetGone"])
def test_an_slo_that_burns(team: Team, alert: str) -> None:
    team.duty.await_told(alert, "burning")
    shown = team.duty.diagnose(alert, "burning")
    assert "availability" in shown


def test_an_slo_that_burns_no_more(team: Team) -> None:
    """Time would thin the errors out; here very many good requests do."""
    team.exporter.add("requests_total", 10_000_000, code="200")
    for alert in ("CvstateSloBurning", "CvstateSloBurningSlowly", "CvstateSloBudgetGone"):
        team.duty.await_over(alert, "burning", seconds=150)


# -- sources ---------------------------------------------------------------------------------------------------------------


def test_a_source_that_is_stale(team: Team) -> None:
    team.duty.await_told("CvstateSourceStale", "stale")
    shown = team.duty.diagnose("CvstateSourceStale", "stale")
    assert "RefNotFound" in shown
    assert "refs/heads/main" in shown
    team.world.repository.git("branch", "release")
    team.duty.mend("CvstateSourceStale", "cvstate reconcile", "stale")
    team.duty.await_over("CvstateSourceStale", "stale")


def test_a_source_that_is_refused(team: Team) -> None:
    assert team.duty.await_told("CvstateSourceRefused", "refused")["labels"]["reason"] == "AuthFailed"
    shown = team.duty.diagnose("CvstateSourceRefused", "refused")
    assert "AuthFailed" in shown
    assert "git-auth" in shown
    team.duty.variables["TOKEN"] = "another token"
    team.private.authorization = "Basic " + base64.b64encode(b"git:another token").decode()
    line = 'kubectl create secret generic git-auth -n "$NAMESPACE" --from-literal'
    team.duty.mend("CvstateSourceRefused", line, "refused")
    team.duty.mend("CvstateSourceRefused", "cvstate reconcile", "refused")
    team.duty.await_over("CvstateSourceRefused", "refused")


# -- the operator ------------------------------------------------------------------------------------------------------------


def test_a_target_that_cannot_be_reached(team: Team) -> None:
    team.duty.await_told("CvstateTargetUnreachable", "far", seconds=150)
    shown = team.duty.diagnose("CvstateTargetUnreachable", "far")
    assert "networkpolicy" in shown or "cvstate-operator" in shown
    team.far.restart("kube-apiserver")
    far = Api(team.far.admin_kubeconfig)
    until("it knows its Roles again", lambda: is_allowed(far))
    config = team.duty.directory / "kubeconfig.yaml"
    config.write_text(yaml.safe_dump(tenancy.config(team.far, tenancy.token(far, TEAM, "deployer"))))
    team.duty.variables["SECRET"] = "far"
    team.duty.mend("CvstateTargetUnreachable", "kubectl create secret", "far")
    team.duty.mend("CvstateTargetUnreachable", "cvstate reconcile", "far")
    team.duty.await_over("CvstateTargetUnreachable", "far")
    config.unlink()


def test_notices_that_fail(team: Team) -> None:
    team.duty.await_told("CvstateNoticesFailing")
    shown = team.duty.diagnose("CvstateNoticesFailing")
    assert "tickets" in shown
    assert "500" in shown
    team.receiver.status = 200
    team.duty.await_over("CvstateNoticesFailing", seconds=150)


def test_an_operator_that_does_nothing(team: Team) -> None:
    """A Git server takes a look and never answers it, and the ClusterState lets it have ten minutes."""
    team.private.fault = hang
    team.declare("hangs", git={"url": team.private.url("mine"), "path": "apps", "secretRef": {"name": "git-auth"}, "timeout": "10m"})
    team.duty.await_told("CvstateNotReconciling")
    shown = team.duty.diagnose("CvstateNotReconciling")
    assert "hangs" in shown
    team.private.fault = None
    team.duty.mend("CvstateNotReconciling", "kubectl rollout restart")
    team.duty.await_over("CvstateNotReconciling", seconds=150)


def test_an_emergency_stop(team: Team) -> None:
    team.duty.shell('cvstate stop --reason "a trial" --yes')
    team.duty.await_told("CvstateEmergencyStop")
    shown = team.duty.diagnose("CvstateEmergencyStop")
    assert "a trial" in shown
    team.duty.mend("CvstateEmergencyStop", "cvstate plan", "gap")
    team.duty.mend("CvstateEmergencyStop", "cvstate diff", "gap")
    team.duty.mend("CvstateEmergencyStop", "cvstate stop --release")
    team.duty.await_over("CvstateEmergencyStop")


def test_an_api_server_that_does_not_do_its_part(team: Team) -> None:
    """One fault, four alerts: writes take long and fail, so objects wait, and nothing can be carried out."""
    alerts = ("CvstateQueueNotEmptied", "CvstateApiErrors", "CvstateReconcileBudgetBurning", "CvstateReconcileBudgetBurningSlowly")
    with hanging_webhook(team):
        team.world.commit({"crowd/a.yaml": text(*(config_map(f"crowd{number}", k="v") for number in range(CROWD)))}, tell=False)
        team.declare("crowd")
        for alert in alerts:
            team.duty.await_told(alert)
            shown = team.duty.diagnose(alert)
            assert alert != "CvstateApiErrors" or WEBHOOK in shown
    for alert in alerts:
        team.duty.await_over(alert, seconds=150)


def test_settings_that_are_wrong(team: Team) -> None:
    team.settings({"logLevel": "loud"})
    team.duty.await_told("CvstateConfigReloadFailed")
    shown = team.duty.diagnose("CvstateConfigReloadFailed")
    assert "loud is none of" in shown


def test_an_operator_that_is_down(team: Team) -> None:
    """The Pod is made anew while its settings are wrong, as a node that is drained does it."""
    team.duty.shell(f"kubectl delete pods -n {NAMESPACE} -l app.kubernetes.io/name=cvstate-operator")
    team.duty.await_told("CvstateOperatorDown")
    until("it crashes again", lambda: "CrashLoopBackOff" in team.duty.shell(f"kubectl get pods -n {NAMESPACE}"), every=0.5)
    shown = team.duty.diagnose("CvstateOperatorDown")
    assert "loud is none of" in shown
    team.settings({"logLevel": "info"})
    team.duty.mend("CvstateOperatorDown", "kubectl rollout restart")
    team.duty.mend("CvstateOperatorDown", "kubectl rollout status")
    team.duty.await_over("CvstateOperatorDown")
    team.duty.await_over("CvstateConfigReloadFailed")


def test_credentials_of_the_operator_that_are_worthless(team: Team) -> None:
    path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts"
    account = team.api.get(f"{path}/{RELEASE}") or {}
    team.api.delete(f"{path}/{RELEASE}")
    team.api.create(path, manifest("ServiceAccount", RELEASE, labels=account["metadata"]["labels"]))
    team.duty.await_told("CvstateApiUnauthorized")
    shown = team.duty.diagnose("CvstateApiUnauthorized")
    assert RELEASE in shown
    team.duty.mend("CvstateApiUnauthorized", "kubectl rollout restart")
    team.duty.await_over("CvstateApiUnauthorized", seconds=150)


def test_replicas_that_do_not_settle(team: Team) -> None:
    until(
        "there is one, and it has settled",
        lambda: team.duty.prometheus.ask('cvstate_members{result="settled"} == 1'),
        seconds=READY_SECONDS,
    )
    team.api.delete(f"/apis/{RBAC}/namespaces/{NAMESPACE}/roles/{RELEASE}-members")
    team.duty.await_told("CvstateReplicasUnsettled")
    shown = team.duty.diagnose("CvstateReplicasUnsettled")
    assert re.search(r"^no\b", shown, re.MULTILINE)
    team.install()
    team.duty.await_over("CvstateReplicasUnsettled")


def test_an_event_loop_that_is_late(team: Team) -> None:
    """The process is stopped again and again, as one is that gets too little CPU."""
    with starving(team.node):
        team.duty.await_told("CvstateEventLoopLag")
        team.duty.diagnose("CvstateEventLoopLag", without=("kubectl top",))  # there is no metrics-server
    team.duty.mend("CvstateEventLoopLag", "kubectl rollout status")
    team.duty.await_over("CvstateEventLoopLag")
