"""Roll-outs that signals judge, with a real API server, the real operator and a real Prometheus.

Aspects: a signal that a revision breaches gives it up at once, with the evidence · the next commit is taken · what was breached before is nobody's fault · data that is lost
meanwhile decides nothing · a breach after the watch · a canary that waits for a person is waited for, and no longer than it waits.
"""

from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.support import telling
from tests.support.api import CLUSTER_STATES, Json
from tests.support.exporter import Exporter
from tests.support.objects import config_map, definition, manifest, text
from tests.support.prometheus import Prometheus
from tests.support.versions import words
from tests.support.waiting import never, until
from tests.support.world import World

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

SECONDS: Final = 60.0
"""Longest wait for what takes some seconds on an idle machine."""
ANSWERS_SECONDS: Final = 6.0
"""In so long every signal was asked for anew (telemetry.prometheus, SHARED_SECONDS), and judged."""


class Shop:
    """A ClusterState of one object, judged by its error rate."""

    def __init__(self, world: World, exporter: Exporter, prometheus: Prometheus) -> None:
        self.world = world
        self.prometheus = prometheus
        self._exporter = exporter
        self.errors(0.01)
        prometheus.knows(self._query)

    @property
    def _query(self) -> str:
        return f'error_ratio{{shop="{self.world.name}"}}'

    def errors(self, ratio: float) -> None:
        """What the exporter tells from now on."""
        self._exporter.set("error_ratio", ratio, shop=self.world.name)

    def declare(self, *, interval: str = "1s", **spec: Any) -> None:
        rate = {"name": "error-rate", "query": self._query, "max": "0.05", "interval": interval}
        self.world.declare(vital={"prometheus": {"url": self.prometheus.url}, "signals": [rate]}, **spec)

    def begin(self, *, interval: str = "1s", **rollback: str) -> str:
        """The first revision, which is good, and from now on what is done about bad ones; its commit."""
        first = self.commit("1")
        self.declare(interval=interval)
        until("the first revision is good", lambda: first in self.status.get("lastGoodRevision", ""), seconds=SECONDS)
        until("the signal is known", lambda: self.state == "Passing", seconds=SECONDS)
        self.declare(interval=interval, rollback=rollback)
        generation = self.world.state()["metadata"]["generation"]
        until("that is known", lambda: self.status.get("observedGeneration") == generation, seconds=SECONDS)
        return first

    def commit(self, value: str) -> str:
        return self.world.commit({"a.yaml": text(config_map("a", k=value))})

    def wait_applied(self, commit: str) -> None:
        self.world.wait_applied(commit, seconds=SECONDS)

    @property
    def value(self) -> str:
        """What is in the cluster."""
        found = self.world.api.get(self.world.path("configmaps", "a"))
        return str(found["data"]["k"]) if found else ""

    def other_than(self, value: str) -> Json:
        """What says that this value was given up: another one in the cluster, or what is quarantined; empty if nothing does."""
        found, quarantined = self.value, self.status.get("quarantined")
        return ({"value": found} if found != value else {}) | ({"quarantined": quarantined} if quarantined else {})

    @property
    def status(self) -> Json:
        return dict(self.world.state().get("status", {}))

    @property
    def state(self) -> str:
        """Of the signal."""
        told = self.status.get("vital", {}).get("signals") or [{}]
        return str(told[0].get("state"))

    def entry(self, commit: str) -> Json:
        """Of a revision in the history."""
        return next(one for one in self.status["history"] if commit in one["revision"])


@pytest.fixture(scope="module")
def exporter() -> Iterator[Exporter]:
    with Exporter() as running:
        yield running


@pytest.fixture(scope="module")
def prometheus(exporter: Exporter, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with Prometheus(tmp_path_factory.mktemp("prometheus"), targets=[exporter.target]) as running:
        yield running


@pytest.fixture
def shop(world: World, exporter: Exporter, prometheus: Prometheus) -> Shop:
    return Shop(world, exporter, prometheus)


def test_a_revision_that_breaches_a_signal_is_given_up_at_once_and_the_next_one_is_taken(shop: Shop) -> None:
    first = shop.begin(onUnhealthyFor="60s", watchFor="30s")
    bad = shop.commit("2")
    shop.wait_applied(bad)
    shop.errors(0.5)
    until("the first one is back", lambda: shop.value == "1", seconds=SECONDS)
    ready = shop.world.wait_failed("RolledBack", mentions=bad)
    assert first in ready["message"]
    assert "signal error-rate" in ready["message"]
    status = shop.status
    (quarantined,) = status["quarantined"]
    assert bad in quarantined["revision"]
    assert quarantined["message"].startswith("worse since it was begun: signal error-rate"), "not at its deadline"
    given_up = shop.entry(bad)
    assert given_up["outcome"] == "Unhealthy"
    assert given_up["evidence"] == ["signal error-rate: should be <= 0.05 and is not (is 0.5)"]
    assert [entry["outcome"] for entry in status["history"]][1:] == ["Unhealthy", "Healthy"]
    told = until("it is told", lambda: shop.world.events("RolledBack"))
    assert any(bad in one and "error-rate" in one for one in told)
    found = telling.status(shop.world)
    for word in ("Unhealthy", "Quarantined", bad[:12], "error-rate", "0.5"):
        assert word in found

    third = shop.commit("3")
    shop.wait_applied(third)  # The object alone would not do: the status that clears what was quarantined is written after it.
    assert shop.state == "Breached"
    never("it is blamed for what was there", lambda: shop.other_than("3"), seconds=ANSWERS_SECONDS)
    assert shop.entry(third)["outcome"] == "Applied"
    shop.errors(0.01)
    until("it is healthy", lambda: words(shop.status, "Healthy") == ("True", "Healthy"), seconds=SECONDS)


def test_what_was_breached_before_is_not_blamed_on_a_revision_nor_is_it_called_good_meanwhile(shop: Shop) -> None:
    first = shop.begin(onUnhealthyFor="5s", watchFor="2s")
    shop.errors(0.5)
    until("the signal is breached", lambda: shop.state == "Breached", seconds=SECONDS)
    second = shop.commit("2")
    shop.wait_applied(second)
    never("it is given up", lambda: shop.other_than("2"), seconds=ANSWERS_SECONDS)
    assert first in shop.status["lastGoodRevision"]
    assert shop.entry(second)["outcome"] == "Applied"
    shop.errors(0.01)
    until("it is good", lambda: second in shop.status["lastGoodRevision"], seconds=SECONDS)
    assert shop.entry(second)["outcome"] == "Healthy"


def test_data_that_is_lost_while_a_revision_is_watched_decides_nothing(shop: Shop) -> None:
    first = shop.begin(onUnhealthyFor="5s", watchFor="10s")
    shop.prometheus.end(kill=True)
    try:
        # The newest answer holds for some seconds: the gap comes in the middle of the watch.
        second = shop.commit("2")
        shop.wait_applied(second)
        until("the gap is told", lambda: shop.state == "Unknown", seconds=SECONDS)
        never("anything is decided", lambda: shop.value != "2" or shop.entry(second)["outcome"] != "Applied", seconds=10)
        assert first in shop.status["lastGoodRevision"]
        assert words(shop.status, "Healthy") == ("Unknown", "TelemetryGap")
    finally:
        shop.prometheus.start()
    until("it is good", lambda: second in shop.status["lastGoodRevision"], seconds=SECONDS)


def test_a_breach_after_the_watch_is_told_and_rolls_nothing_back(shop: Shop) -> None:
    shop.begin(onUnhealthyFor="5s", watchFor="1s")
    second = shop.commit("2")
    until("it is good", lambda: second in shop.status["lastGoodRevision"], seconds=SECONDS)
    shop.errors(0.5)
    until("it is told", lambda: words(shop.status, "Healthy") == ("False", "SignalBreached"), seconds=SECONDS)
    never("it is rolled back", lambda: shop.other_than("2"), seconds=2)


def test_a_revision_is_not_good_before_a_signal_was_measured_after_it_went_out(shop: Shop) -> None:
    shop.begin(onUnhealthyFor="60s", watchFor="2s", interval="20s")
    shop.errors(0.5)
    second = shop.commit("2")
    shop.wait_applied(second)
    until("it is judged", lambda: shop.entry(second)["outcome"] not in ("Applying", "Applied"), seconds=SECONDS)
    assert shop.entry(second)["outcome"] == "Unhealthy"


class Canary:
    """A ClusterState of a Rollout, and a ConfigMap in the wave after it. The test is the controller of the Rollout."""

    def __init__(self, world: World) -> None:
        self.world = world
        kind = definition("argoproj.io", "Rollout")
        kind["spec"]["versions"][0].update(name="v1alpha1", subresources={"status": {}})
        world.api.apply(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{kind['metadata']['name']}", kind)
        until("Rollouts are served", lambda: world.api.request("GET", "/apis/argoproj.io/v1alpha1/rollouts")[0] == 200)

    def declare(self, **spec: Any) -> None:
        self.world.declare(vital={"degradedAfter": "2s"}, **spec)
        generation = self.world.state()["metadata"]["generation"]
        until("that is known", lambda: self.status.get("observedGeneration") == generation, seconds=SECONDS)

    def commit(self, version: str) -> str:
        rollout = manifest("Rollout", "shop", api_version="argoproj.io/v1alpha1", spec={"replicas": 2, "version": version})
        later = config_map("later", k=version)
        later["metadata"]["annotations"] = {"cvstate.io/wave": "1"}
        commit = self.world.commit({"shop.yaml": text(rollout, later)})
        if self.world.api.get(CLUSTER_STATES.format(self.world.name) + "/state"):
            self.wait_written(version)
        return commit

    def wait_written(self, version: str) -> None:
        until("it is written", lambda: (self.world.api.get(self._path) or {"spec": {}})["spec"].get("version") == version, seconds=SECONDS)

    def says(self, phase: str, **status: Any) -> None:
        """The controller of the Rollout says this of its newest spec."""
        generation = (self.world.api.get(self._path) or {})["metadata"]["generation"]
        told = {"observedGeneration": str(generation), "phase": phase, "message": None, "pauseConditions": None, **status}
        self.world.api.merge(f"{self._path}/status", {"status": told})

    @property
    def _path(self) -> str:
        return self.world.path("rollouts", "shop", group="argoproj.io/v1alpha1")

    @property
    def later(self) -> str:
        """What is in the wave after it."""
        return str((self.world.api.get(self.world.path("configmaps", "later")) or {"data": {}})["data"].get("k"))

    def other_than(self, value: str) -> Json:
        """What says that this value was given up: another one in the cluster, or what is quarantined; empty if nothing does."""
        found, quarantined = self.value, self.status.get("quarantined")
        return ({"value": found} if found != value else {}) | ({"quarantined": quarantined} if quarantined else {})

    @property
    def status(self) -> Json:
        return dict(self.world.state().get("status", {}))

    @property
    def unready(self) -> Json:
        """What the status says of it; empty if it is ready."""
        return next(iter(self.status.get("vital", {}).get("unready") or ()), {})


def test_a_canary_that_waits_for_a_person_is_waited_for_and_one_that_fails_is_given_up(world: World) -> None:
    canary = Canary(world)
    first = canary.commit("1")
    world.declare()
    canary.wait_written("1")
    canary.says("Healthy")
    until("the first revision is good", lambda: first in canary.status.get("lastGoodRevision", ""), seconds=SECONDS)
    canary.declare(rollback={"onUnhealthyFor": "6s"})

    second = canary.commit("2")
    canary.says("Paused", message="CanaryPauseStep", pauseConditions=[{"reason": "CanaryPauseStep", "startTime": "2026-01-01T12:00:00Z"}])
    until("it is told", lambda: canary.unready.get("reason") == "Waits", seconds=SECONDS)
    assert canary.unready["message"] == "waits on purpose: phase is Paused: CanaryPauseStep"
    never(
        "it is given up, Degraded, or not waited for",
        lambda: "quarantined" in canary.status or canary.unready.get("state") != "Progressing" or canary.later != "1",
        seconds=12,
    )
    assert words(canary.status, "Healthy") == ("False", "Progressing")
    canary.says("Healthy")
    until("it is good", lambda: second in canary.status.get("lastGoodRevision", ""), seconds=SECONDS)
    assert canary.later == "2"

    third = canary.commit("3")
    canary.says("Paused", message="BlueGreenPause", pauseConditions=[{"reason": "BlueGreenPause", "startTime": "2026-01-01T12:00:00Z"}])
    until("it is told", lambda: canary.unready.get("reason") == "Waits", seconds=SECONDS)
    canary.says("Degraded", message="RolloutAborted: a person aborted it")
    until("the second one is back", lambda: canary.world.condition()["reason"] == "RolledBack", seconds=SECONDS)
    canary.wait_written("2")
    (quarantined,) = canary.status["quarantined"]
    assert third in quarantined["revision"]
    assert "RolloutAborted" in quarantined["message"]
