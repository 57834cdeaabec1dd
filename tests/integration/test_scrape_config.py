"""Every way to scrape that we recommend: a real Prometheus scrapes the real operator by the very configuration that the Prometheus operator makes of the chart's monitors, or that
docs/alerts.md gives, and evaluates every rule.

Aspects: the monitors select the chart's own Pods and Services · namespace and name are those of the ClusterState · every rule can be evaluated · what the recording rules and alerts
say names the ClusterState · what the operator says of itself names the process.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from cvstate_operator.cli.demo.git_server import GitServer
from tests.cluster.control_plane import Cluster
from tests.conftest import install_crd, remove_clusterstates
from tests.support import charts, scraping
from tests.support.alert_rules import ROOT
from tests.support.api import Api, Json
from tests.support.objects import RBAC, manifest, text
from tests.support.operator import Operator
from tests.support.waiting import until
from tests.support.watcher import Watcher
from tests.support.world import World

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

ALERT: Final = "CvstateCriticalDrift"
RULE: Final[Json] = {"verbs": ["get"], "apiGroups": [""], "resources": ["configmaps"]}
MORE: Final[Json] = {"verbs": ["*"], "apiGroups": [""], "resources": ["secrets"]}


def rendered(home: Path, monitor: str) -> list[Json]:
    """The chart with this monitor."""
    return charts.rendered(charts.OPERATOR, {"monitoring": {monitor: {"enabled": True}}}, home=home)


def by_pods(home: Path, address: str) -> Json:
    objects = rendered(home, "podMonitor")
    return scraping.found(scraping.by_pod_monitor(charts.one(objects, "PodMonitor")), address, scraping.of_pods(objects))


def by_service(home: Path, address: str) -> Json:
    objects = rendered(home, "serviceMonitor")
    return scraping.found(scraping.by_service_monitor(charts.one(objects, "ServiceMonitor")), address, scraping.of_service(objects))


def by_hand(home: Path, address: str) -> Json:
    """As docs/alerts.md writes it for those without the Prometheus operator."""
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "alerts.md").read_text(), flags=re.DOTALL)
    (job,) = next(found["scrape_configs"] for found in map(yaml.safe_load, blocks) if "scrape_configs" in found)
    return scraping.found(job, address, scraping.of_pods(rendered(home, "podMonitor")))


WAYS: Final[dict[str, Callable[[Path, str], Json]]] = {"PodMonitor": by_pods, "ServiceMonitor": by_service, "by hand": by_hand}


@pytest.fixture(scope="module")
def world(second_cluster: Cluster, git: GitServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A ClusterState whose Role somebody gave more rights, which waits for an approval to be put right."""
    api = Api(second_cluster.admin_kubeconfig)
    install_crd(api)
    with Operator(second_cluster.operator_kubeconfig, tmp_path_factory.mktemp("operator")) as operator:
        world = World(second_cluster, api, git, operator)
        world.commit({"all.yaml": text(manifest("Role", "reader", api_version=RBAC, rules=[RULE]))})
        world.declare(drift={"rules": [{"match": {"kinds": ["Role"]}, "action": "Approve"}]})
        until("it is ready", lambda: world.condition().get("status") == "True")
        world.api.merge(world.path("roles", "reader", group=RBAC), {"rules": [RULE, MORE]}, manager="kubectl-edit")
        until("the drift is noticed", lambda: world.condition("Drifted").get("status") == "True")
        yield world
    remove_clusterstates(api)


@pytest.fixture(scope="module", params=WAYS)
def prometheus(request: pytest.FixtureRequest, world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watcher]:
    directory = tmp_path_factory.mktemp("prometheus")
    address = next(line["http"] for line in world.operator.lines() if line["message"] == "started").removeprefix("http://")
    watcher = Watcher(directory / "data")
    watcher.scrape([WAYS[request.param](directory, address)])
    with watcher:
        watcher.knows("cvstate:clusterstates:count")
        yield watcher


def labels(prometheus: Watcher, query: str) -> dict[str, Any]:
    """Of the one series that a query gives."""
    (found,) = prometheus.ask(query)
    return dict(found["metric"])


def test_namespace_and_name_are_those_of_the_clusterstate(prometheus: Watcher, world: World) -> None:
    told = labels(prometheus, "cvstate_ready")
    assert (told["namespace"], told["name"]) == (world.name, "state")
    assert prometheus.ask('{exported_namespace!=""}') == []
    assert labels(prometheus, "clusterstate:cvstate_ready_reason:max")["namespace"] == world.name


def test_what_the_operator_says_of_itself_names_the_process(prometheus: Watcher) -> None:
    told = labels(prometheus, "cvstate_build_info")
    assert told["job"]
    assert told["instance"]


def test_every_rule_can_be_evaluated(prometheus: Watcher) -> None:
    until("all rules were evaluated", lambda: all(rule["health"] != "unknown" for rule in prometheus.rules()))
    assert {rule["name"]: rule.get("lastError") for rule in prometheus.rules() if rule["health"] != "ok"} == {}


def test_an_alert_names_the_clusterstate(prometheus: Watcher, world: World) -> None:
    (alert,) = until("the alert fires", lambda: prometheus.alerts(ALERT))
    assert alert["labels"] == {"alertname": ALERT, "severity": "page", "area": "drift", "namespace": world.name, "name": "state"}


def test_nothing_that_is_not_so_is_told(prometheus: Watcher, world: World) -> None:
    """A label that is not the one that a rule means would make `unless` and `and` match nothing."""
    until("the alert fires", lambda: prometheus.alerts(ALERT))
    assert {one["labels"]["alertname"] for one in prometheus.alerts()} <= {ALERT, "CvstatePlanWaiting"}
