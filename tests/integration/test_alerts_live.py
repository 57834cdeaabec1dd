"""Alerts in a real Prometheus that scrapes the real operator, and their runbooks followed word for word.

Aspects: every rule can be evaluated on what the operator tells · nothing is told while all is well · critical drift is told with its text · its runbook leads to the drift and mends it · then the
alert ends · what each runbook has one look at can be looked at.

An alert that waits for minutes has to wait for a second here; everything else of the rules is as it is installed. The story is told once (`story`), and the tests look at its pages.
"""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from cvstate_operator.cli.demo.git_server import GitServer
from tests.cluster import builds
from tests.cluster.control_plane import Cluster
from tests.conftest import install_crd, remove_clusterstates
from tests.support.alert_rules import ADDRESS, RECORDS, Runbook, runbooks
from tests.support.api import Api, Json
from tests.support.objects import RBAC, config_map, manifest, text
from tests.support.operator import CVSTATE, Operator
from tests.support.waiting import never, until
from tests.support.watcher import Watcher
from tests.support.world import World

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

ALERT: Final = "CvstateCriticalDrift"
RUNBOOKS: Final = {runbook.name: runbook for runbook in runbooks()}
RULE: Final[Json] = {"verbs": ["get"], "apiGroups": [""], "resources": ["configmaps"]}
MORE: Final[Json] = {"verbs": ["*"], "apiGroups": [""], "resources": ["secrets"]}
QUIET_SECONDS: Final = 3.0
"""Three evaluations; what is wrong fires with the second one."""
INSTALLED: Final = "OPERATOR_NAMESPACE"
"""Lines with this are about the Pods of an installation, and there are none here."""


@dataclass
class Story:
    """What happened, page by page."""

    world: World
    prometheus: Watcher
    was_quiet: bool = False
    """Whether nothing fired while all was well."""
    told: list[Json] = field(default_factory=list)
    """The alert, as Alertmanager would get it."""
    rules: list[Json] = field(default_factory=list)
    """As they were evaluated while it fired."""
    looked: dict[str, list[subprocess.CompletedProcess[str]]] = field(default_factory=dict)
    """What lines of runbooks came to, by runbook."""
    ran: dict[str, subprocess.CompletedProcess[str]] = field(default_factory=dict)
    """The same by line: many runbooks begin with the same."""
    mended: subprocess.CompletedProcess[str] | None = None
    rights: list[Json] = field(default_factory=list)
    """Of the Role, in the end."""

    def shell(self, line: str) -> subprocess.CompletedProcess[str]:
        """A line of a runbook, as somebody on duty runs it."""
        programs = [CVSTATE, builds.ensure(["kubectl"])["kubectl"]]
        environment = {
            **os.environ,
            "PATH": os.pathsep.join([*(str(program.parent) for program in programs), os.environ["PATH"]]),
            "KUBECONFIG": str(self.world.cluster.admin_kubeconfig),
            "NAMESPACE": self.world.name,
            "NAME": "state",
            "COLUMNS": "200",
        }
        command = ("bash", "-eu", "-o", "pipefail", "-c", line)
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)

    def look(self, runbook: Runbook) -> None:
        """Follow what a runbook says under Diagnose."""
        lines = [line for line in runbook.lines("Diagnose") if INSTALLED not in line and not line.startswith("NAMESPACE=")]
        self.ran |= {line: self.shell(line) for line in lines if line not in self.ran}
        self.looked[runbook.name] = [self.ran[line] for line in lines]


def role(*rules: Any) -> Json:
    return manifest("Role", "reader", api_version=RBAC, rules=list(rules))


@pytest.fixture(scope="module")
def story(second_cluster: Cluster, git: GitServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    api = Api(second_cluster.admin_kubeconfig)
    install_crd(api)
    directory = tmp_path_factory.mktemp("alerts")
    with Operator(second_cluster.operator_kubeconfig, directory / "operator") as operator:
        target = next(line["http"] for line in operator.lines() if line["message"] == "started").removeprefix("http://")
        with Watcher(directory / "prometheus", target) as prometheus:
            told = Story(World(second_cluster, api, git, operator), prometheus)
            tell(told)
            yield told
    remove_clusterstates(api)


def tell(story: Story) -> None:
    """All is well; somebody gives a Role more rights; who is on duty follows the runbook."""
    world, prometheus = story.world, story.prometheus
    path = world.path("roles", "reader", group=RBAC)
    commit = world.commit({"all.yaml": text(role(RULE), config_map("settings", k="v"))})
    world.declare(drift={"rules": [{"match": {"kinds": ["Role"]}, "action": "Approve"}]})
    world.wait_applied(commit)
    prometheus.knows(f'clusterstate:cvstate_ready_reason:max{{namespace="{world.name}",reason="Reconciled"}}')
    prometheus.knows("sum(increase(cvstate_source_fetch_total[30m])) > 0")  # before, nothing shows that anything is done
    try:
        until("all is quiet", lambda: not prometheus.alerts(), seconds=60, every=0.2)
        never("an alert", prometheus.alerts, seconds=QUIET_SECONDS)
    except AssertionError as error:
        raise AssertionError(f"{error}; {prometheus.alerts()}") from None
    story.was_quiet = True

    world.api.merge(path, {"rules": [RULE, MORE]}, manager="kubectl-edit")
    story.told = until("the alert fires", lambda: prometheus.alerts(ALERT))
    story.rules = prometheus.rules()
    for runbook in RUNBOOKS.values():
        story.look(runbook)
    (approve,) = (line for line in RUNBOOKS[ALERT].lines("Mend") if line.startswith("cvstate approve"))
    story.mended = story.shell(f"{approve} --yes")
    until("the alert ends", lambda: not prometheus.alerts(ALERT))
    story.rights = (world.api.get(path) or {})["rules"]


def test_every_rule_can_be_evaluated_on_what_the_operator_tells(story: Story) -> None:
    assert {rule["name"]: rule.get("lastError", "") for rule in story.rules if rule["health"] != "ok"} == {}


def test_what_is_recorded_of_clusterstates_is_there(story: Story) -> None:
    """Series that need a fault or an SLO are not; a rule that gives nothing although it should would not be an error to Prometheus."""
    for name in (
        "cvstate:clusterstates:count",
        "cvstate:reconcile_failing:ratio",
        "cvstate:reconcile_budget:remaining_ratio",
        "cvstate:api_requests:rate5m",
    ):
        assert name in RECORDS
        assert story.prometheus.ask(name), name


def test_nothing_is_told_while_all_is_well(story: Story) -> None:
    assert story.was_quiet


def test_critical_drift_is_told_with_who_it_concerns_and_where_to_read_on(story: Story) -> None:
    (alert,) = story.told
    assert alert["labels"] == {"alertname": ALERT, "severity": "page", "area": "drift", "namespace": story.world.name, "name": "state"}
    assert f"{story.world.name}/state" in alert["annotations"]["summary"]
    assert alert["annotations"]["runbook_url"] == ADDRESS.format(ALERT)


def test_the_runbook_leads_to_the_field_and_its_writer(story: Story) -> None:
    shown = "".join(found.stdout for found in story.looked[ALERT])
    assert "Role" in shown
    assert "/rules" in shown
    assert "kubectl-edit" in shown
    assert "AwaitingApproval" in shown


def test_the_runbook_mends_it_and_the_alert_ends(story: Story) -> None:
    assert story.mended
    assert story.mended.returncode == 0, story.mended.stderr
    assert story.rights == [RULE]


@pytest.mark.parametrize("name", RUNBOOKS)
def test_what_a_runbook_looks_at_can_be_looked_at(story: Story, name: str) -> None:
    for found in story.looked[name]:
        assert found.returncode == 0, (found.args[-1], found.stdout, found.stderr)


@pytest.mark.parametrize("name", RUNBOOKS)
def test_what_a_runbook_asks_prometheus_is_answered(story: Story, name: str) -> None:
    """An error would be raised; an answer may be empty while all is well."""
    for query in RUNBOOKS[name].queries():
        story.prometheus.ask(query)
