"""Incidents of other tools, told again to ours: what was called healthy unseen, and numbers that nobody had measured. docs/incidents.md has them all, with links.

Aspects: a first commit that cannot be rendered · a Prometheus that hangs and comes back · an objective without a single sample.

Other incidents of that sort are told by the tests of what they are about: lost telemetry, faults of what runs, judged roll-outs, error budgets.
"""

from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.support import telling
from tests.support.api import Json
from tests.support.exporter import Exporter
from tests.support.objects import config_map, text
from tests.support.prometheus import Prometheus
from tests.support.versions import Version, Versions, words
from tests.support.waiting import until
from tests.support.world import World

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

SECONDS: Final = 60.0
"""Longest wait for what takes some seconds on an idle machine."""
REPAIR_SECONDS: Final = 2.0
"""A repair takes some milliseconds; an answer that hangs is given up after longer than this."""
TIMEOUT: Final = "3s"


@pytest.fixture
def exporter() -> Iterator[Exporter]:
    with Exporter() as running:
        yield running


@pytest.fixture
def prometheus(exporter: Exporter, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with Prometheus(tmp_path_factory.mktemp("prometheus"), targets=[exporter.target]) as running:
        yield running


@pytest.fixture
def versions(world: World) -> Iterator[Versions]:
    with Versions(world.api, world.name) as recorded:
        yield recorded


def status(world: World) -> Json:
    return dict(world.state().get("status", {}))


def judged(world: World, where: str) -> dict[str, Any]:
    """What the status tells of the only signal, or SLO; empty if nothing."""
    return dict(next(iter(status(world).get("vital", {}).get(where) or ()), {}))


def ever(versions: list[Version], kind: str) -> set[str]:
    """Everything that a condition ever was."""
    return {one.condition(kind).get("status", "") for one in versions}


def test_a_first_commit_that_cannot_be_rendered_is_never_called_healthy(world: World, versions: Versions) -> None:
    """argo-cd#4558 and #9745: the manifests of a new application could not be made, nothing was deployed, and it was called Healthy."""
    world.commit({"kustomization.yaml": "resources: [gone.yaml]\n"})
    world.declare()
    world.wait_failed("BuildFailed", mentions="gone.yaml")
    world.request()
    found = versions.of("state")
    assert "True" not in ever(found, "Healthy") | ever(found, "Accepted")
    assert "score" not in status(world)["cv"]
    assert "none yet" in telling.status(world)
    world.wait_applied(world.commit({"kustomization.yaml": "resources: [a.yaml]\n", "a.yaml": text(config_map("a", k="v"))}))
    until("it is healthy", lambda: words(status(world), "Healthy") == ("True", "Healthy"), seconds=SECONDS)
    assert status(world)["cv"]["score"] == 100


def test_a_prometheus_that_hangs_costs_the_confidence_and_delays_no_repair(
    world: World, versions: Versions, exporter: Exporter, prometheus: Prometheus
) -> None:
    """keda#965: Prometheus could not be asked, and when it came back without data the number was 0: what should have run was scaled down at once."""
    exporter.set("load", 5)
    prometheus.knows("load")
    load = {"name": "load", "query": "load", "min": "1", "interval": "1s", "timeout": TIMEOUT}
    world.commit({"a.yaml": text(config_map("a", k="v"))})
    world.declare(vital={"prometheus": {"url": prometheus.url}, "signals": [load]})
    until("it is known", lambda: judged(world, "signals").get("state") == "Passing", seconds=SECONDS)
    with prometheus.hanging():
        until("the gap is told", lambda: judged(world, "signals")["state"] == "Unknown", seconds=SECONDS)
        told, cv = judged(world, "signals"), status(world)["cv"]
        assert (told["gap"], told["lastKnown"], told["value"]) == ("Unreachable", "Passing", "5")
        assert words(status(world), "Healthy") == ("Unknown", "TelemetryGap")
        assert (cv["score"], cv["confidence"] < 100) == (100, True)
        path = world.path("configmaps", "a")
        world.api.merge(path, {"data": {"k": "edited"}})
        until("it is repaired", lambda: (world.api.get(path) or {})["data"] == {"k": "v"}, seconds=REPAIR_SECONDS)
    until("it is known again", lambda: judged(world, "signals")["state"] == "Passing", seconds=SECONDS)
    told_ever = [one for found in versions.of("state") for one in found.status.get("vital", {}).get("signals", ())]
    assert {one["value"] for one in told_ever if "value" in one} == {"5"}, "it was never 0"


def test_an_objective_without_a_single_sample_is_not_known_and_never_met(world: World, versions: Versions, prometheus: Prometheus) -> None:
    """service-level-operator#19: an objective whose numbers did not exist, or were not sent any more, was shown as met at 100 %."""
    slo = {"name": "availability", "objective": "99", "good": 'served_total{code="200"}', "total": "served_total"}
    world.commit({"a.yaml": text(config_map("a", k="v"))})
    world.declare(vital={"prometheus": {"url": prometheus.url}, "slos": [slo]})
    until("the gap is told", lambda: judged(world, "slos").get("gap") == "NoData", seconds=SECONDS)
    assert words(status(world), "Healthy") == ("Unknown", "TelemetryGap")
    assert status(world)["cv"]["confidence"] < 100
    found = versions.of("state")
    assert "True" not in ever(found, "Healthy")
    assert {one["state"] for version in found for one in version.status.get("vital", {}).get("slos", ())} == {"Unknown"}
    assert "nothing, it never had data" in telling.status(world)
