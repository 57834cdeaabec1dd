"""Dashboards: every query is asked of a real Prometheus that scrapes a real operator.

Aspects: every panel shows something while all is well, but for those that say why they do not · those show something while something is wrong · what is to be
empty while all is well is · the numbers are those of what happened.

The play: one ClusterState with a workload, signals and an SLO is rolled out twice and drifts twice; then others are suspended, lost, blind, stuck, burning and refused, and what drifts is critical.
"""

import math
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from cvstate_operator.cli.demo.git_server import GitServer
from tests.cluster.control_plane import Cluster
from tests.conftest import install_crd
from tests.support.api import Api, Json
from tests.support.dashboards import BOARDS, DOWN, IDS, PANELS, Panel, queries, written
from tests.support.exporter import Exporter
from tests.support.objects import config_map, deployment, manifest, text
from tests.support.operator import Operator
from tests.support.prometheus import Prometheus
from tests.support.waiting import until
from tests.support.world import World

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

SECONDS: Final = 90.0
"""Longest wait for one panel; the cache is measured for the first time a minute after the start."""
SLO: Final[Json] = {"name": "availability", "objective": "20", "burnLimit": "1000"}
"""Of which 80 % may fail, so that nothing is held back by it."""
QUIET: Final = (
    "Conditions that are not as they should be",
    "What may not be written now",
    "Oldest drift",
    "Unmet conditions",
    "Closed gates",
    "Sources that cannot be read",
)
"""Panels that are empty while all is well, whatever happened before."""


def each_panel(which: Callable[[Panel], bool]) -> pytest.MarkDecorator:
    """A test for each of these panels."""
    chosen = [(name, panel) for (_, panel), name in zip(PANELS, IDS, strict=True) if which(panel)]
    return pytest.mark.parametrize("panel", [panel for _, panel in chosen], ids=[name for name, _ in chosen])


def served(which: str) -> Json:
    return {**SLO, "good": f'{which}_total{{code="200"}}', "total": f"{which}_total"}


@dataclass
class Play:
    """Two namespaces, and who watches them."""

    world: World
    """Of what is well."""
    ill: World
    exporter: Exporter
    prometheus: Prometheus

    def shows(self, query: str) -> bool:
        """Whether a query gives a number."""
        return any(math.isfinite(float(one["value"][1])) for one in self.prometheus.ask(query))


def healthy(world: World) -> None:
    """Wait until the condition Healthy says so."""
    try:
        until("it is healthy", lambda: world.condition("Healthy").get("status") == "True", seconds=SECONDS)
    except AssertionError as error:
        raise AssertionError(f"{error}; status: {world.state().get('status')}") from None


def well(play: Play) -> None:
    """Two roll-outs, two drifts, a push that nobody signed; afterwards all is as it should be."""
    world = play.world
    vital = {
        "prometheus": {"url": play.prometheus.url},
        "signals": [
            {"name": "load", "query": "load", "max": "10", "interval": "1s"},
            {"name": "evictions", "indicator": "Evictions", "max": "0"},
        ],
        "slos": [served("served")],
    }
    for replicas in (1, 2):
        commit = world.commit({"all.yaml": text(deployment("web", replicas=replicas), config_map("settings", replicas=str(replicas)))})
        if replicas == 1:
            world.declare(vital=vital)
        world.wait_applied(commit, seconds=60)
        healthy(world)
    path = world.path("configmaps", "settings")
    for value in ("one", "two"):
        world.api.merge(path, {"data": {"replicas": value}}, manager="kubectl-edit")
        until("the drift is repaired", lambda: (world.api.get(path) or {})["data"]["replicas"] == "2")
        # The first repair makes the series, and only the second one is growth.
        play.prometheus.knows("cvstate_drift_repair_duration_seconds_count > 0")
    address = next(line["webhook"] for line in world.operator.lines() if line["message"] == "started")
    with pytest.raises(urllib.error.HTTPError, match="HTTP Error 40"):
        urllib.request.urlopen(urllib.request.Request(address, b'{"repository": {}}', {"Content-Type": "application/json"}), timeout=10)
    until("it is ready", lambda: world.condition().get("status") == "True")


def ailing(play: Play) -> None:
    """Something of everything that can be wrong."""
    world, where = play.ill, {"prometheus": {"url": play.prometheus.url}}
    nowhere: dict[str, Any] = deployment("nowhere")
    nowhere["spec"]["template"]["spec"]["nodeSelector"] = {"there": "is-none"}
    refused = manifest("Service", "refused", spec={"ports": [{"port": 99999}], "selector": {"a": "b"}})
    world.commit(
        {
            "held/a.yaml": text(config_map("held", k="v")),
            "blind/a.yaml": text(config_map("blind", k="v")),
            "stuck/a.yaml": text(nowhere, refused),
            "ours/a.yaml": text(config_map("ours", k="v")),
            "theirs/a.yaml": text(config_map("theirs", k="v")),
        }
    )
    world.declare("held", git={"path": "apps/held"})
    world.wait_ready("held")
    world.declare("held", git={"path": "apps/held"}, suspend=True)
    until("nothing is written any more", lambda: play.shows('cvstate_gate_closed{name="held",reason="Suspended"}'))
    world.api.merge(world.path("configmaps", "held"), {"data": {"k": "changed"}}, manager="kubectl-edit")
    world.declare(
        "circle", git={"path": "apps/held"}, dependsOn=[{"apiVersion": "cvstate.io/v1alpha1", "kind": "ClusterState", "name": "circle"}]
    )
    for name, action in {"ours": "Auto", "theirs": "Alert"}.items():
        world.declare(name, git={"path": f"apps/{name}"}, drift={"rules": [{"match": {}, "severity": "Critical", "action": action}]})
        world.wait_ready(name)
        world.api.merge(world.path("configmaps", name), {"data": {"k": "changed"}}, manager="kubectl-edit")
    until("it waits for a person", lambda: world.condition("Drifted", "theirs").get("status") == "True")
    world.api.merge(world.path("configmaps", "theirs"), {"data": {"k": "v"}}, manager="kubectl-edit")
    world.declare("lost", git={"path": "apps/lost"})
    world.wait_failed("PathNotFound", "lost")
    world.declare("stuck", git={"path": "apps/stuck"})
    world.wait_failed("Invalid", "stuck")
    signals = [{"name": "load", "query": "nobody_measures_this", "max": "10", "interval": "1s"}]
    world.declare("blind", git={"path": "apps/blind"}, vital={**where, "signals": signals, "slos": [served("failing")]})


@pytest.fixture(scope="module")
def play(git: GitServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Play]:
    directory: Path = tmp_path_factory.mktemp("dashboards")
    with Cluster.start(nodes=2) as cluster, Exporter() as exporter:
        api = Api(cluster.admin_kubeconfig)
        install_crd(api)
        exporter.set("load", 5)
        for which in ("served", "failing"):
            for code in ("200", "500"):
                exporter.set(f"{which}_total", 0, code=code)
        with Operator(cluster.operator_kubeconfig, directory / "operator", "--webhook-listen", "127.0.0.1:0") as operator:
            address = next(line["http"] for line in operator.lines() if line["message"] == "started").removeprefix("http://")
            with Prometheus(directory / "prometheus", targets=[exporter.target, address]) as prometheus:
                prometheus.knows("cvstate_build_info and on () load and on () served_total and on () failing_total")
                for which, (good, bad) in {"served": (1000, 1), "failing": (40, 60)}.items():
                    exporter.add(f"{which}_total", good, code="200")
                    exporter.add(f"{which}_total", bad, code="500")
                    # The budget of the whole window is asked for every half hour, and has to be known the first time.
                    prometheus.knows(f'increase({which}_total{{code="500"}}[5m]) > 0')
                play = Play(World(cluster, api, git, operator), World(cluster, api, git, operator), exporter, prometheus)
                well(play)
                yield play


def number(play: Play, query: str) -> float:
    """The one number that a query gives; NaN if it gives none."""
    found = play.prometheus.ask(query)
    assert len(found) <= 1, found
    return float(found[0]["value"][1]) if found else math.nan


@pytest.fixture(scope="module")
def ill(play: Play) -> Play:
    ailing(play)
    return play


@each_panel(lambda panel: not panel.empty)
def test_a_panel_shows_something_while_all_is_well(play: Play, panel: Panel) -> None:
    for query in queries(panel):
        until(query, lambda query=query: play.shows(query), seconds=SECONDS, every=0.2)


@pytest.mark.parametrize("board", BOARDS)
def test_a_tile_shows_the_same_as_its_query_while_an_operator_is_scraped(play: Play, board: str) -> None:
    for title, query in written(board):
        until(f"{title} is answered", lambda query=query: all(one["value"][1] != str(DOWN) for one in play.prometheus.ask(query)))


def test_every_tile_and_table_says_that_the_operator_is_down_while_none_is_scraped(tmp_path: Path) -> None:
    with Prometheus(tmp_path / "alone") as prometheus:
        for board in BOARDS:
            for title, query in written(board):
                assert [one["value"][1] for one in prometheus.ask(query)] == [str(DOWN)], title


@each_panel(lambda panel: panel.title in QUIET)
def test_what_tells_of_trouble_is_empty_while_there_is_none(play: Play, panel: Panel) -> None:
    for query in queries(panel):
        until(f"nothing for {query}", lambda query=query: not play.shows(query), seconds=SECONDS, every=0.2)


@pytest.mark.parametrize(
    ("query", "value"),
    [
        pytest.param('sum(cvstate_rollouts_total{action="NewRevision",result="Healthy"})', 2, id="two roll-outs became healthy"),
        pytest.param("sum(cvstate_rollouts_total)", 2, id="and no other"),
        pytest.param("cvstate_change_lead_time_seconds_count", 2, id="both have a lead time"),
        pytest.param('cvstate_convergence_seconds_count{kind="Deployment"}', 2, id="the Deployment converged twice"),
        pytest.param('cvstate_convergence_seconds_count{kind="ConfigMap"}', 2, id="so did the ConfigMap, and its repairs are none"),
        pytest.param("sum(cvstate_drift_events_total)", 2, id="two fields drifted"),
        pytest.param('sum(cvstate_drift_remediation_by_severity_seconds_count{action="Auto"})', 2, id="both were ended by us"),
        pytest.param('sum(cvstate_objects_by_configuration{result="AsDeclared"})', 2, id="both objects are as declared"),
        pytest.param("sum(cvstate_objects_by_configuration)", 2, id="and there are no others"),
        pytest.param('sum(cvstate_reconcile_results_total{result=~"Persistent|Invalid"})', 0, id="no pass failed for good"),
        pytest.param("sum(cvstate_policy_denials_total)", 0, id="nothing was denied"),
        pytest.param('cvstate_ready_reason{reason="Reconciled"}', 1, id="it is ready, and says why"),
        pytest.param('cvstate_indicator{kind="Evictions"}', 0, id="no Pod was evicted"),
        pytest.param("cvstate_owned_clusterstates", 1, id="there is one"),
    ],
)
def test_the_numbers_are_those_of_what_happened(play: Play, query: str, value: float) -> None:
    until(f"{query} is {value}", lambda: number(play, query) == value, seconds=10)


def test_lead_time_is_no_shorter_than_the_roll_out(play: Play) -> None:
    assert 0 < number(play, "cvstate_last_change_lead_time_seconds") < SECONDS
    assert number(play, 'cvstate_convergence_seconds_sum{kind="Deployment"}') > number(
        play, 'cvstate_convergence_seconds_sum{kind="ConfigMap"}'
    )


@each_panel(lambda panel: bool(panel.empty))
def test_what_is_empty_while_all_is_well_shows_what_is_wrong(ill: Play, panel: Panel) -> None:
    for query in queries(panel):
        until(query, lambda query=query: ill.shows(query), seconds=SECONDS, every=0.2)


def names(play: Play, query: str) -> set[str]:
    """The ClusterStates that a query tells of."""
    return {one["metric"]["name"] for one in play.prometheus.ask(query)}


def shown(title: str) -> str:
    """The query of a tile of the executive dashboard."""
    (panel,) = (panel for board, panel in PANELS if (board, panel.kind, panel.title) == ("executive", "stat", title))
    return queries(panel)[0]


def test_what_nobody_can_know_is_no_score_of_0_and_counts_as_not_known(ill: Play) -> None:
    """A spec that was refused from the beginning, and one whose directory was never there, have no score and confidence 0."""
    until("it is told", lambda: names(ill, "cvstate_confidence == 0") == {"circle", "lost"}, seconds=SECONDS)
    assert names(ill, "cvstate_score") & {"circle", "lost"} == set()
    for title, by in {"Lowest score": "min", "Mean score": "avg"}.items():
        until(title, lambda title=title, by=by: number(ill, shown(title)) == number(ill, f"{by}(cvstate_score)") > 0)
    assert {"circle", "lost"} <= names(ill, "cvstate_accepted == -1")
    until("they are counted", lambda: number(ill, shown("Not known")) == len(names(ill, "cvstate_accepted == -1")))


def test_what_is_wrong_is_told_with_its_reason(ill: Play) -> None:
    expected = {
        ("lost", "SourceReady", "PathNotFound"),
        ("held", "Drifted", "DriftDetected"),
        ("blind", "Healthy", "TelemetryGap"),
    }

    def told() -> set[tuple[str, str, str]]:
        found = ill.prometheus.ask("cvstate_condition_unmet_timestamp_seconds")
        return {(one["metric"]["name"], one["metric"]["kind"], one["metric"]["reason"]) for one in found}

    until(f"{expected} are told", lambda: expected <= told(), seconds=SECONDS)


def test_a_spec_that_is_refused_is_not_ready_and_counts_apart(ill: Play) -> None:
    until("it is told", lambda: number(ill, 'cvstate_ready_reason{name="circle",reason="InvalidSpec"}') == 1)
    assert number(ill, 'cvstate_ready{name="circle"}') == 0
    assert number(ill, 'cvstate_reconcile_results_total{name="circle",result="Invalid"}') >= 1
