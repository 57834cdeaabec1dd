"""Traces of a real operator, at a small collector that takes nothing that OTLP does not allow.

Aspects: a commit from the look to its writes · the same ids in trace, status, Events and log · a repair · a write that is refused · nothing secret · a collector that
is away, and comes back · the last traces before the end · what is loaded while tracing is off.
"""

import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cvstate_operator.cli.demo.git_server import GitServer
from tests.cluster.control_plane import Cluster
from tests.conftest import install_crd, remove_clusterstates
from tests.support.api import Api
from tests.support.collector import Collector, Trace
from tests.support.objects import config_map, manifest, text
from tests.support.operator import Operator
from tests.support.waiting import until
from tests.support.world import World

pytestmark = pytest.mark.integration

STAGES = {"render", "observe", "plan", "apply", "vital", "report"}
PASSWORD = "correct-horse-battery-staple"


@dataclass
class Traced:
    """A cluster whose operator tells a collector."""

    cluster: Cluster
    api: Api
    git: GitServer
    operator: Operator
    collector: Collector

    def world(self) -> World:
        """A corner of its own."""
        return World(self.cluster, self.api, self.git, self.operator)

    def passes(self, world: World, name: str = "reconcile") -> list[Trace]:
        """Traces of the ClusterState of that corner, by the name of their root."""
        return [
            trace
            for trace in self.collector.traces()
            if trace.root.name == name and trace.root.attributes["cvstate.clusterstate.namespace"] == world.name
        ]

    def of_commit(self, world: World, commit: str) -> Trace:
        """The pass that applied a commit."""

        def found() -> Trace | None:
            told = (trace for trace in self.passes(world) if trace.root.attributes.get("cvstate.commit") == commit)
            return next((trace for trace in told if trace.root.attributes["cvstate.changed"]), None)

        return until(f"the trace of {commit}", found, seconds=30)

    def exported(self) -> dict[str, float]:
        """`cvstate_traces_exported_total` by its results."""
        code, answer = self.operator.http("/metrics")
        assert code == 200
        samples = (sample for family in text_string_to_metric_families(answer) for sample in family.samples)
        return {one.labels["result"]: one.value for one in samples if one.name == "cvstate_traces_exported_total"}


@pytest.fixture(scope="module")
def traced(second_cluster: Cluster, git: GitServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    """The environment tells what no option does: headers, and in which cluster this is."""
    api = Api(second_cluster.admin_kubeconfig)
    install_crd(api)
    with Collector() as collector, pytest.MonkeyPatch.context() as environment:
        environment.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=shop")
        environment.setenv("OTEL_RESOURCE_ATTRIBUTES", "k8s.cluster.name=test")
        directory = tmp_path_factory.mktemp("traced")
        operator = Operator(second_cluster.operator_kubeconfig, directory, "--otlp-endpoint", collector.url)
        with operator:
            yield Traced(second_cluster, api, git, operator, collector)
            remove_clusterstates(api)
        assert not collector.faults


def commit(world: World, value: str, count: int = 3) -> str:
    """Commit so many ConfigMaps, and wait until they are applied."""
    made = world.commit({"all.yaml": text(*(config_map(f"c{number}", k=value) for number in range(count)))})
    world.declare()
    world.wait_applied(made)
    return made


def test_a_commit_is_followed_from_the_look_at_the_source_to_its_writes(traced: Traced) -> None:
    world = traced.world()
    made = commit(world, "v")
    trace = traced.of_commit(world, made)
    trace.assert_whole()
    assert {span.name for span in trace.others} >= STAGES
    (apply,) = trace.named("apply")
    writes = trace.within("kubernetes apply", "apply")
    assert (apply.attributes["cvstate.objects"], apply.attributes["cvstate.changed"]) == (3, 3)
    assert (writes.kind, writes.attributes["cvstate.count"]) == (3, 3)
    assert 0 < writes.attributes["cvstate.busy_seconds"] <= 3 * (writes.ended - writes.started) / 1e9
    assert trace.root.resource["k8s.cluster.name"] == "test"
    assert traced.collector.headers[0]["x-tenant"] == "shop"
    looks = {(look.root.trace_id, look.root.span_id): look for look in traced.passes(world, "source")}
    causes = [looks[link] for link in trace.root.links if link in looks]
    assert [look.root.attributes["cvstate.commit"] for look in causes] == [made]
    assert causes[0].root.attributes["vcs.repository.url.full"] == world.git.url(world.name)
    assert causes[0].root.ended <= trace.root.started


def test_trace_status_event_and_log_name_a_roll_out_by_the_same_ids(traced: Traced) -> None:
    world = traced.world()
    made = commit(world, "v")
    trace = traced.of_commit(world, made)
    state = world.state()
    (entry,) = state["status"]["history"]
    for span in (trace.root, *trace.others):
        told = {key.removeprefix("cvstate."): value for key, value in span.attributes.items()}
        assert (told["commit"], told["correlation_id"], told["clusterstate.uid"]) == (
            made,
            entry["correlationID"],
            state["metadata"]["uid"],
        )
    (line,) = [one for one in world.operator.lines() if one.get("uid") == state["metadata"]["uid"] and one.get("reason") == "Applied"]
    (report,) = trace.named("report")
    assert (line["trace_id"], line["span_id"]) == (report.trace_id, report.span_id)
    assert (line["correlation_id"], line["revision"]) == (entry["correlationID"], entry["revision"])
    events = until("it is told", lambda: (world.api.get(world.path("events", group="events.k8s.io/v1")) or {}).get("items"))
    (event,) = [one for one in events if one["reason"] == "Applied"]
    assert event["metadata"]["annotations"]["cvstate.io/correlation-id"] == entry["correlationID"]


def test_a_repair_has_a_trace_of_its_own(traced: Traced) -> None:
    world = traced.world()
    applied = traced.of_commit(world, commit(world, "v"))
    world.api.merge(world.path("configmaps", "c1"), {"data": {"k": "w"}}, manager="somebody")

    def repair() -> Trace | None:
        later = (trace for trace in traced.passes(world, "repair") if trace.root.started > applied.root.ended)
        return next((trace for trace in later if trace.root.attributes["cvstate.changed"]), None)

    trace = until("the trace of the repair", repair, seconds=30)
    trace.assert_whole()
    (plan,) = trace.named("plan")
    drift = trace.within("drift", "apply")
    assert (plan.attributes["cvstate.objects"], drift.attributes["cvstate.count"]) == (1, 1)
    link = trace.root.trace_id, trace.root.span_id
    told = until("the pass that tells of it", lambda: next((one for one in traced.passes(world) if link in one.root.links), None))
    assert told.root.attributes["cvstate.changed"] == 1


def test_a_write_that_is_refused_is_an_error_of_its_batch(traced: Traced) -> None:
    world = traced.world()
    bad = manifest("ConfigMap", "bad", labels={"team": "no label value!"}, data={"k": "v"})
    world.commit({"all.yaml": text(config_map("good", k="v"), bad)})
    world.declare()
    world.wait_failed("Invalid")

    def failed() -> Trace | None:
        return next((trace for trace in traced.passes(world) if any(span.error for span in trace.others)), None)

    trace = until("the trace of the failure", failed, seconds=30)
    writes = trace.within("kubernetes apply", "apply")
    assert (writes.attributes["cvstate.errors"], writes.attributes["error.type"]) == (1, "Invalid")
    assert trace.root.error is None, "one bad object is no failure of the pass"


def test_what_a_secret_holds_is_in_no_trace(traced: Traced) -> None:
    world = traced.world()
    secret = manifest("Secret", "s", stringData={"password": PASSWORD})
    made = world.commit({"all.yaml": text(secret)})
    world.declare()
    world.wait_applied(made)
    world.api.merge(world.path("secrets", "s"), {"stringData": {"password": f"another {PASSWORD}"}})
    until("it is repaired", lambda: world.events("DriftRepaired"))
    broken = manifest("Secret", "t", type="kubernetes.io/tls", stringData={"tls.key": PASSWORD})
    world.commit({"all.yaml": text(secret, broken)})
    world.wait_failed("Invalid")
    until("it is told", lambda: any(span.error for trace in traced.passes(world) for span in trace.others), seconds=30)
    assert sum(bool(trace.root.attributes["cvstate.changed"]) for trace in traced.passes(world)) >= 2, "the first apply and the repair"
    assert PASSWORD not in repr(traced.collector.spans)


def test_a_collector_that_is_away_holds_nothing_up_and_gets_what_was_kept(traced: Traced) -> None:
    world = traced.world()
    commit(world, "v")
    taken = traced.exported()["ok"]
    traced.collector.die()
    try:
        made = commit(world, "w")
        until("it is noticed", lambda: any(line["message"] == "traces are not taken" for line in world.operator.lines()), seconds=30)
    finally:
        traced.collector.revive()
    traced.of_commit(world, made).assert_whole()
    until("it is noticed again", lambda: any(line["message"] == "traces are taken again" for line in world.operator.lines()))
    assert traced.exported()["ok"] > taken
    assert traced.exported()["dropped"] == 0


def test_the_last_traces_are_sent_before_the_end(traced: Traced) -> None:
    world = traced.world()
    made = commit(world, "v")
    try:
        assert traced.operator.end(signal.SIGTERM) == 0
        told = [trace.root.attributes.get("cvstate.commit") for trace in traced.passes(world)]
        assert made in told
    finally:
        traced.operator.start()


def test_nothing_of_tracing_is_loaded_while_it_is_off() -> None:
    program = "import sys; from cvstate_operator.operator import app; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60).stdout.split()
    assert "cvstate_operator.telemetry.metrics" in found
    assert not {"cvstate_operator.telemetry.otlp", "cvstate_operator.telemetry.collector"} & set(found)
