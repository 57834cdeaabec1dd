"""The error budget gate, with a real API server, the real operator and a real Prometheus that counts good and bad requests.

Aspects: what burns is told · new commits wait, repairs do not · a commit that mends it passes · a gate that only warns · a roll-out that burns the budget is given up · restarts,
with and without Prometheus · good requests open the gate, and what waited goes out by itself.

An SLO is asked for every 30 s, so the whole story is told once (`story`), with ClusterStates in namespaces of their own, and the tests look at its pages.
"""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from cvstate_operator.api.names import FIX
from cvstate_operator.cli.demo.git_server import GitServer
from tests.cluster import builds
from tests.cluster.control_plane import Cluster
from tests.conftest import install_crd, remove_clusterstates
from tests.support import telling
from tests.support.api import CLUSTER_STATES, Api, Json
from tests.support.exporter import Exporter
from tests.support.objects import config_map, text
from tests.support.operator import Operator
from tests.support.prometheus import Prometheus
from tests.support.versions import Versions, condition, words
from tests.support.waiting import until
from tests.support.world import World

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

SECONDS: Final = 90.0
"""Longest wait for what takes up to 30 s on an idle machine, as that is how often an SLO is asked for (vital/objectives/burn.py)."""
PAST: Final = 1_000_000
"""Good requests of the days before: 1 % of them is the budget, so that today's errors do not use it up."""
ERRORS: Final = 500
SLO: Final[Json] = {
    "name": "availability",
    "objective": "99",
    "good": 'served_total{code="200"}',
    "total": "served_total",
    "burnLimit": "5",
}


class Service:
    """A service that is watched by one ClusterState in a namespace of its own."""

    def __init__(self, world: World, prometheus: Prometheus) -> None:
        self.world = world
        self._vital = {"prometheus": {"url": prometheus.url}, "slos": [SLO]}

    def declare(self, **spec: Any) -> None:
        self.world.declare(vital=self._vital, **spec)

    def commit(self, value: str, **more: str | None) -> str:
        return self.world.commit({"a.yaml": text(config_map("a", k=value)), **more})

    def annotate(self, name: str, value: str) -> None:
        self.world.api.merge(f"{CLUSTER_STATES.format(self.world.name)}/state", {"metadata": {"annotations": {name: value}}})

    @property
    def value(self) -> str:
        """What is in the cluster; empty for nothing."""
        found = self.world.api.get(self.world.path("configmaps", "a"))
        return str(found["data"]["k"]) if found else ""

    @property
    def status(self) -> Json:
        return dict(self.world.state().get("status", {}))

    @property
    def slo(self) -> dict[str, str]:
        """As the status tells it."""
        told = self.status.get("vital", {}).get("slos") or [{}]
        return dict(told[0])

    def is_in(self, state: str) -> bool:
        return self.slo.get("state") == state

    def is_good(self, commit: str) -> bool:
        return commit in self.status.get("lastGoodRevision", "")

    def has(self, value: str) -> bool:
        return self.value == value

    def is_held(self) -> bool:
        return words(self.status, "Ready") == ("False", "ErrorBudgetBurning")


@dataclass
class Story:
    """What happened, page by page. Statuses are by service."""

    services: Mapping[str, Service]
    versions: Mapping[str, Versions]
    commits: dict[str, str] = field(default_factory=dict)
    """The second of each service."""
    calm: dict[str, Json] = field(default_factory=dict)
    """Before the errors."""
    burning: dict[str, Json] = field(default_factory=dict)
    """While they burn, and commits wait."""
    metrics: dict[str, Mapping[str, float]] = field(default_factory=dict)
    """Of `gated`, by page."""
    texts: dict[str, str] = field(default_factory=dict)
    """What commands printed about `gated` while it waited."""
    restarted: dict[str, Json] = field(default_factory=dict)
    """After a restart without Prometheus, and after one with it."""
    opened: dict[str, Json] = field(default_factory=dict)
    """When good requests had opened the gate."""
    moments: dict[str, float] = field(default_factory=dict)
    is_repaired: bool = False
    """Whether a hand edit was undone while a commit waited."""
    is_fix_heard: bool = False
    """Whether the word of a person was enough to let a commit pass."""


def put_past(directory: Path) -> None:
    """Good requests of three days ago, as blocks of the database."""
    now = time.time()
    lines = [f'served_total{{code="200"}} {PAST * hour // 24} {now - 3 * 86400 + hour * 3600:.3f}' for hour in (0, 8, 16, 24)]
    (directory / "past.txt").write_text("\n".join(["# TYPE served counter", *lines, "# EOF", ""]))
    program = builds.ensure(["promtool"])["promtool"]
    command = (program, "tsdb", "create-blocks-from", "openmetrics", directory / "past.txt", directory / "data")
    subprocess.run(command, check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def story(second_cluster: Cluster, git: GitServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    api = Api(second_cluster.admin_kubeconfig)
    install_crd(api)
    directory = tmp_path_factory.mktemp("budget")
    (directory / "prometheus").mkdir()
    put_past(directory / "prometheus")
    with ExitStack() as stack:
        exporter = stack.enter_context(Exporter())
        exporter.set("served_total", 0, code="200")
        exporter.set("served_total", 0, code="500")
        prometheus = stack.enter_context(Prometheus(directory / "prometheus", targets=[exporter.target]))
        prometheus.knows('increase(served_total{job="app"}[1m])')
        exporter.add("served_total", 100, code="200")
        prometheus.knows('increase(served_total{job="app"}[1m]) > 50')
        operator = stack.enter_context(Operator(second_cluster.operator_kubeconfig, directory / "operator"))
        names = ("gated", "fixed", "warned", "judged", "fresh")
        services = {name: Service(World(second_cluster, api, git, operator), prometheus) for name in names}
        versions = {name: stack.enter_context(Versions(api, one.world.name)) for name, one in services.items()}
        told = Story(services, versions)
        begin(told)
        burn(told, exporter)
        wait_in_line(told)
        restart(told, operator, prometheus)
        mend(told, exporter)
        yield told
        remove_clusterstates(api)


def is_seen(look: Callable[[], bool], *, seconds: float) -> bool:
    """Whether something becomes true in time."""
    deadline = time.monotonic() + seconds
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def begin(story: Story) -> None:
    """All is well; a second revision of `judged` goes out."""
    specs: dict[str, dict[str, Any]] = {
        "gated": {},
        "fixed": {},
        "warned": {"gates": {"errorBudget": "Warn"}},
        "judged": {"rollback": {"onUnhealthyFor": "5m", "watchFor": "5m"}},
    }
    first = {name: story.services[name].commit("1", **{"b.yaml": text(config_map("b", k="1"))}) for name in specs}
    for name in specs:
        story.services[name].declare(**({} if name == "judged" else specs[name]))
    for name, commit in first.items():
        until(f"{name} is good", partial(story.services[name].is_good, commit), seconds=SECONDS)
        until(f"{name} is met", partial(story.services[name].is_in, "Met"), seconds=SECONDS)
    judged = story.services["judged"]
    judged.declare(**specs["judged"])
    story.commits["judged"] = judged.commit("2")
    judged.world.wait_applied(story.commits["judged"], seconds=SECONDS)
    story.calm = {name: story.services[name].status for name in specs}
    story.metrics["calm"] = telling.metrics(story.services["gated"].world)


def burn(story: Story, exporter: Exporter) -> None:
    """Errors come; `judged` has brought them."""
    exporter.add("served_total", ERRORS, code="500")
    for name in ("gated", "fixed", "warned"):
        until(f"{name} burns", partial(story.services[name].is_in, "Burning"), seconds=SECONDS)
    until("the roll-out is given up", partial(story.services["judged"].has, "1"), seconds=SECONDS)


def wait_in_line(story: Story) -> None:
    """Commits come, and one of them is let through."""
    gated, fixed, warned, fresh = (story.services[name] for name in ("gated", "fixed", "warned", "fresh"))
    story.commits |= {name: story.services[name].commit("2", **{"b.yaml": None}) for name in ("gated", "fixed", "warned")}
    story.commits["fresh"] = fresh.commit("2")
    fresh.declare()
    for name in ("gated", "fixed", "fresh"):
        until(f"{name} waits", story.services[name].is_held, seconds=SECONDS)
    warned.world.wait_applied(story.commits["warned"], seconds=SECONDS)
    gated.world.api.merge(gated.world.path("configmaps", "a"), {"data": {"k": "HACKED"}}, manager="kubectl-edit")
    story.is_repaired = is_seen(partial(gated.has, "1"), seconds=SECONDS)
    fixed.annotate(FIX, "a" * 40)
    fixed.world.request()
    story.burning = {name: one.status for name, one in story.services.items()}
    story.metrics["burning"] = telling.metrics(gated.world)
    story.texts["status"] = telling.status(gated.world)
    story.texts["kubectl"] = gated.world.cluster.kubectl("get", "cst", "-n", gated.world.name, "-o", "wide")
    fixed.annotate(FIX, f"{'a' * 40},{story.commits['fixed']}")
    story.is_fix_heard = is_seen(partial(fixed.has, "2"), seconds=10)
    until("the fix goes out", partial(fixed.has, "2"), seconds=SECONDS)
    fixed.world.wait_applied(story.commits["fixed"], seconds=SECONDS)


def restart(story: Story, operator: Operator, prometheus: Prometheus) -> None:
    """The operator ends and starts again: first while Prometheus is away, then with it."""
    gated = story.services["gated"]
    operator.end(signal.SIGKILL)
    prometheus.end(kill=True)
    operator.start()
    gated.world.request()
    until("the gap is told", partial(gated.is_in, "Unknown"), seconds=SECONDS)
    story.restarted["without"] = gated.status
    operator.end(signal.SIGKILL)
    prometheus.start()
    operator.start()
    gated.world.request()
    until("it is known again", partial(gated.is_in, "Burning"), seconds=SECONDS)
    story.restarted["with"] = gated.status
    story.metrics["restarted"] = telling.metrics(gated.world)


def mend(story: Story, exporter: Exporter) -> None:
    """Good requests come."""
    story.moments["mended"] = time.monotonic()
    exporter.add("served_total", 100 * ERRORS, code="200")
    for name in ("gated", "fresh"):
        until(f"{name} goes out", partial(story.services[name].has, "2"), seconds=SECONDS)
        story.services[name].world.wait_applied(story.commits[name], seconds=SECONDS)
    story.opened = {name: one.status for name, one in story.services.items()}
    story.metrics["opened"] = telling.metrics(story.services["gated"].world)


# -- what burns ----------------------------------------------------------------------------------------------------


def test_a_budget_that_lasts_is_met_and_holds_nothing(story: Story) -> None:
    (told,) = story.calm["gated"]["vital"]["slos"]
    assert (told["state"], told["objective"], told["budgetLeft"], told["burnRate"]) == ("Met", "99", "1", "0")
    assert story.calm["gated"]["cv"]["score"] == 100
    found = story.metrics["calm"]
    assert (found["cvstate_slo_error_budget_remaining_ratio"], found["cvstate_slo_burn_rate_ratio"], found["cvstate_slos Met"]) == (1, 0, 1)
    assert "cvstate_slo_error_budget_exhaustion_seconds" not in found


def test_what_burns_is_told_by_numbers_conditions_and_metrics(story: Story) -> None:
    status, found = story.burning["gated"], story.metrics["burning"]
    (told,) = status["vital"]["slos"]
    assert (told["state"], told["level"]) == ("Burning", "Page")
    assert 0.9 < float(told["budgetLeft"]) <= 1
    assert 50 < float(told["burnRate"]) < 100  # of 100 good ones and 500 errors, by an objective of 99 %
    assert told["exhaustedIn"]
    assert words(status, "Healthy") == ("False", "SignalBreached")
    assert "availability" in condition(status, "Healthy")["message"]
    assert status["cv"]["score"] <= 80
    assert words(status, "Accepted") == ("False", "ScoreBelowMinimum")
    assert found["cvstate_score"] == status["cv"]["score"]
    assert found["cvstate_slos Burning"] == 1
    assert found.get("cvstate_slos Met", 0) == 0
    assert 0.9 < found["cvstate_slo_error_budget_remaining_ratio"] <= 1
    assert 50 < found["cvstate_slo_burn_rate_ratio"] < 100
    assert 3600 < found["cvstate_slo_error_budget_exhaustion_seconds"] < 86400


# -- what waits ----------------------------------------------------------------------------------------------------


def test_a_new_commit_waits_and_says_for_what(story: Story) -> None:
    status = story.burning["gated"]
    ready = condition(status, "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "ErrorBudgetBurning")
    for word in ("availability", "approve", "--fix", "waits"):
        assert word in ready["message"]
    assert story.commits["gated"] in status["source"]["revision"]
    assert story.commits["gated"] not in status["lastAttemptedRevision"]
    assert any("availability" in told for told in story.services["gated"].world.events("ErrorBudgetBurning"))


def test_commands_say_that_it_waits(story: Story) -> None:
    for word in ("ErrorBudgetBurning", "availability", "approve", "--fix", story.commits["gated"][:12]):
        assert word in story.texts["status"]
    row = story.texts["kubectl"].splitlines()[1]
    assert row.split()[1] == "False"
    assert "availability" in row


def test_the_first_commit_of_a_cluster_state_waits_too_with_its_plan(story: Story) -> None:
    status = story.burning["fresh"]
    assert words(status, "Ready") == ("False", "ErrorBudgetBurning")
    assert status["plan"] == {"create": 1, "held": "ErrorBudgetBurning"}
    for one in story.versions["fresh"].of("state"):
        assert one.at > story.moments["mended"] or "lastAppliedRevision" not in one.status, one


def test_nothing_of_what_waits_is_written_or_pruned_before_the_gate_opens(story: Story) -> None:
    commit = story.commits["gated"]
    for one in story.versions["gated"].of("state"):
        assert one.at > story.moments["mended"] or commit not in one.status.get("lastAttemptedRevision", ""), one


def test_a_hand_edit_is_undone_while_the_gate_is_closed(story: Story) -> None:
    assert story.is_repaired


def test_a_commit_that_a_person_lets_pass_goes_out_while_it_burns(story: Story) -> None:
    """Exactly that one: a word for another commit lets nothing pass."""
    assert words(story.burning["fixed"], "Ready") == ("False", "ErrorBudgetBurning")
    passed = [one for one in story.versions["fixed"].of("state") if story.commits["fixed"] in one.status.get("lastAppliedRevision", "")]
    assert passed[0].at < story.moments["mended"]
    assert passed[0].status["vital"]["slos"][0]["state"] == "Burning"


def test_a_commit_passes_as_soon_as_a_person_says_so(story: Story) -> None:
    assert story.is_fix_heard


def test_a_gate_that_only_warns_holds_nothing_and_says_so(story: Story) -> None:
    status = story.burning["warned"]
    assert words(status, "Ready")[0] == "True"
    assert words(status, "Healthy") == ("False", "SignalBreached")
    assert any("only warns" in told for told in story.services["warned"].world.events("ErrorBudgetBurning"))


def test_a_revision_that_burns_the_budget_is_given_up_with_the_evidence(story: Story) -> None:
    status, commit = story.burning["judged"], story.commits["judged"]
    (quarantined,) = status["quarantined"]
    assert commit in quarantined["revision"]
    (evidence,) = next(one for one in status["history"] if commit in one["revision"])["evidence"]
    assert evidence.startswith("SLO availability: the error budget burns more than 5 times faster")
    assert "(is burn rate " in evidence
    assert words(status, "Ready") == ("False", "RolledBack")


# -- restarts ------------------------------------------------------------------------------------------------------


def test_a_restart_without_prometheus_keeps_the_gate_closed(story: Story) -> None:
    before, status = story.burning["gated"], story.restarted["without"]
    (was,), (told,) = before["vital"]["slos"], status["vital"]["slos"]
    assert (told["state"], told["lastKnown"], told["gap"]) == ("Unknown", "Burning", "Unreachable")
    assert told["budgetLeft"] == was["budgetLeft"]
    assert words(status, "Ready") == ("False", "ErrorBudgetBurning")
    assert words(status, "TelemetryComplete")[0] == "False"
    assert words(status, "Healthy") == ("False", "SignalBreached")
    assert status["cv"]["score"] == before["cv"]["score"]
    assert status["cv"]["confidence"] < before["cv"]["confidence"]


def test_the_budget_is_read_from_prometheus_after_a_restart(story: Story) -> None:
    (told,) = story.restarted["with"]["vital"]["slos"]
    left = 1 - ERRORS / (PAST * 0.01)
    assert float(told["budgetLeft"]) == pytest.approx(left, abs=0.02)  # Prometheus extrapolates
    assert story.metrics["restarted"]["cvstate_slo_error_budget_remaining_ratio"] == pytest.approx(left, abs=0.02)
    assert words(story.restarted["with"], "Ready") == ("False", "ErrorBudgetBurning")


# -- the end -------------------------------------------------------------------------------------------------------


def test_the_gate_opens_by_itself_and_what_waited_goes_out(story: Story) -> None:
    for name in ("gated", "fresh"):
        status = story.opened[name]
        assert words(status, "Ready")[0] == "True"
        assert story.commits[name] in status["lastAppliedRevision"]
        assert "plan" not in status
        (told,) = status["vital"]["slos"]
        assert told["state"] == "Met"
        assert "lastHandledReconcileAt" in status or name == "fresh"
    world = story.services["gated"].world
    assert world.api.get(world.path("configmaps", "b")) is None
    assert story.metrics["opened"]["cvstate_slos Met"] == 1
    assert story.metrics["opened"]["cvstate_slo_burn_rate_ratio"] < 5
    assert story.metrics["opened"]["cvstate_slo_error_budget_remaining_ratio"] > 0.9


def test_what_was_given_up_stays_so_when_the_gate_opens(story: Story) -> None:
    assert story.services["judged"].value == "1"
    assert story.commits["judged"] in story.opened["judged"]["quarantined"][0]["revision"]
