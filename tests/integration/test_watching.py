"""Watching, on a real API server: nothing that a connection, a definition or a stranger does makes us blind for long.

Aspects: connections that are cut · what is deleted meanwhile · passes by the timer · versions of one kind · definitions that go and come back · objects that are nested too deep · definitions that are never served.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cvstate_operator.objects.ownership import PART_OF_LABEL
from tests.support import fault_actions as act
from tests.support.api import CLUSTER_STATES, Json
from tests.support.fault_proxy import FaultProxy, Rule
from tests.support.flaky_proxy import FlakyProxy
from tests.support.objects import config_map, definition, deployment, manifest, text
from tests.support.operator import Operator
from tests.support.waiting import never, until
from tests.support.world import World

pytestmark = pytest.mark.integration

REPAIR_SECONDS = 1.0
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def settled(world: World) -> int:
    """Wait until nothing is written for a while; a mark of the audit log from then on."""
    world.request()
    return world.cluster.audit.mark()


def quiet(world: World, since: int, *, seconds: float = 2.0) -> None:
    """Nothing was written, and nothing is for a while."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert world.writes(since) == []
        time.sleep(0.1)


def edited(world: World, path: str, change: Json, is_right: str) -> None:
    """Edit an object, and wait until it is repaired."""
    world.api.merge(path, change, manager="kubectl-edit")
    until("the edit is repaired", lambda: is_right in json.dumps(world.api.get(path)), seconds=REPAIR_SECONDS, every=0.005)


# -- connections ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def proxied(own: World, tmp_path: Path) -> Iterator[tuple[World, FlakyProxy]]:
    """A world whose operator talks to the API server through a proxy."""
    with FlakyProxy(own.cluster.operator_kubeconfig, tmp_path) as proxy:
        own.operator = Operator(proxy.kubeconfig, tmp_path / "proxied")
        with own.operator:
            yield own, proxy


def test_cut_connections_delay_neither_commits_nor_repairs_nor_prunes(proxied: tuple[World, FlakyProxy]):
    world, proxy = proxied
    commit = world.commit({"a.yaml": text(config_map("a", k="1")), "b.yaml": text(config_map("b", k="1"))})
    world.declare()
    world.wait_applied(commit)
    for number in range(2, 5):
        assert proxy.cut() > 0
        commit = world.commit({"a.yaml": text(config_map("a", k=str(number)))})
        world.wait_applied(commit, seconds=10)
    proxy.cut()
    time.sleep(0.3)
    edited(world, world.path("configmaps", "a"), {"data": {"k": "HACKED"}}, '"k": "4"')
    proxy.cut()
    world.wait_applied(world.commit({"b.yaml": None}), seconds=10)
    until("b is pruned", lambda: world.api.get(world.path("configmaps", "b")) is None, seconds=5)


def test_an_edit_while_connections_are_cut_is_not_lost(proxied: tuple[World, FlakyProxy]):
    world, proxy = proxied
    world.declare()
    fields = {f"k{number}": "v" for number in range(5)}
    world.wait_applied(world.commit({"a.yaml": text(config_map("a", **fields))}))
    path = world.path("configmaps", "a")
    for field in fields:
        proxy.cut()
        world.api.merge(path, {"data": {field: "HACKED"}}, manager="kubectl-edit")
        until("it is repaired", lambda: world.api.get(path)["data"] == fields, seconds=15)


@pytest.fixture
def tampered(own: World, tmp_path: Path) -> Iterator[tuple[World, FaultProxy]]:
    """A world whose operator, which runs, talks to the API server through a fault proxy."""
    with FaultProxy(own.cluster.operator_kubeconfig, tmp_path) as proxy:
        own.operator = Operator(proxy.kubeconfig, tmp_path / "tampered")
        with own.operator:
            yield own, proxy


def test_a_clusterstate_that_was_deleted_while_nothing_was_heard_of_it_is_noticed(tampered: tuple[World, FaultProxy]):
    """After a watch has expired, the list that follows tells of what there is, and not of what was deleted meanwhile: its objects went on being repaired."""
    world, proxy = tampered
    commit = world.commit({"a.yaml": text(config_map("a", k="v"))})
    world.declare()
    world.wait_applied(commit)
    path, watched = world.path("configmaps", "a"), "/clusterstates$"
    proxy.rules = (Rule(act.Silence(), path=watched),)
    proxy.cut()
    until("its watch is deaf", lambda: proxy.rules[0].hits)
    state = f"{CLUSTER_STATES.format(world.name)}/state"
    world.api.delete(state)
    until("it is gone", lambda: world.api.get(state) is None)
    number, proxy.rules = len(proxy.requests), (Rule(act.Expire(), path=watched, count=1),)
    proxy.cut()
    until("it is listed, and watched from there", lambda: sum(seen.is_watch for seen in proxy.since(number, path=watched)) >= 2)
    world.api.merge(path, {"data": {"k": "edited"}})
    never("what nobody declares any more is repaired", lambda: world.api.get(path)["data"] != {"k": "edited"}, seconds=3)


# -- passes by the timer -------------------------------------------------------------------------------------------------


def passes(world: World) -> float:
    """How many passes over the ClusterStates of this world there were."""
    page = world.operator.http("/metrics")[1]
    mine = [line for line in page.splitlines() if line.startswith("cvstate_reconcile_total{") and f'namespace="{world.name}"' in line]
    return sum(float(line.rpartition(" ")[2]) for line in mine)


def test_full_passes_rely_on_watches_that_are_alive_and_list_nothing(world: World):
    world.declare(interval="1s")
    world.wait_applied(world.commit({"a.yaml": text(config_map("a", k="1"))}))
    since, before = settled(world), passes(world)
    until("there were more", lambda: passes(world) >= before + 3, seconds=20)
    asked = world.cluster.audit.requests(since, user="cvstate-operator")
    assert [request.uri for request in asked if request.verb == "list" and request.resource == "configmaps"] == []


# -- versions ------------------------------------------------------------------------------------------------------------


def scaler(name: str, version: str) -> Json:
    cpu = {
        "v1": {"targetCPUUtilizationPercentage": 80},
        "v2": {"metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]},
    }
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    spec = {"minReplicas": 1, "maxReplicas": 3, "scaleTargetRef": target, **cpu[version]}
    return manifest("HorizontalPodAutoscaler", name, api_version=f"autoscaling/{version}", spec=spec)


def check_scaler(world: World, name: str) -> None:
    """A foreign change is none of ours, and a drift is repaired."""
    path = world.path("horizontalpodautoscalers", name, group="autoscaling/v2")
    since = settled(world)
    for number in range(3):
        world.api.merge(path, {"metadata": {"annotations": {"foreign": str(number)}}})
    quiet(world, since)
    edited(world, path, {"spec": {"maxReplicas": 9}}, '"maxReplicas": 3')
    assert len(world.writes(since)) == 1
    assert world.condition()["status"] == "True"


@pytest.mark.parametrize(("before", "after"), [("v1", "v2"), ("v2", "v1")])
def test_an_object_that_moves_to_another_version_in_git_drifts_only_when_it_does(world: World, before: str, after: str):
    world.declare()
    world.wait_applied(world.commit({"a.yaml": text(scaler("a", before))}))
    check_scaler(world, "a")
    world.wait_applied(world.commit({"a.yaml": text(scaler("a", after))}))
    check_scaler(world, "a")


def test_two_versions_of_one_kind_in_one_commit_do_not_disturb_each_other(world: World):
    world.declare()
    world.wait_applied(world.commit({"a.yaml": text(scaler("one", "v1"), scaler("two", "v2"))}))
    check_scaler(world, "one")
    check_scaler(world, "two")
    world.wait_applied(world.commit({"a.yaml": text(scaler("one", "v1"))}))
    until("two is pruned", lambda: world.api.get(world.path("horizontalpodautoscalers", "two", group="autoscaling/v2")) is None)


def test_a_restart_among_two_versions_writes_nothing(own: World):
    own.operator.start()
    own.declare()
    own.wait_applied(own.commit({"a.yaml": text(scaler("one", "v1"), scaler("two", "v2"))}))
    since = settled(own)
    own.operator.end(15)
    own.operator.start()
    own.request()
    quiet(own, since)
    check_scaler(own, "one")
    check_scaler(own, "two")


# -- definitions that go and come back -------------------------------------------------------------------------------------


def widgets(world: World, kind: str = "Widget") -> Json:
    return definition(f"{world.name}.watch.test", kind)


def widget(world: World, name: str, **spec: object) -> Json:
    return manifest("Widget", name, api_version=f"{world.name}.watch.test/v1", spec=spec)


def install(world: World, crd: Json) -> None:
    """Apply a definition, and wait until its kind is served."""
    world.cluster.kubectl("apply", "-f", "-", input=json.dumps(crd))
    world.cluster.kubectl("wait", "--for=condition=Established", f"crd/{crd['metadata']['name']}", "--timeout=20s")


def uninstall(world: World, crd: Json) -> None:
    world.cluster.kubectl("delete", "crd", crd["metadata"]["name"])


def test_a_definition_that_is_deleted_holds_no_prune_of_other_kinds(world: World):
    install(world, widgets(world))
    world.declare()
    world.wait_applied(
        world.commit({"a.yaml": text(config_map("a")), "b.yaml": text(config_map("b")), "w.yaml": text(widget(world, "w", a=1))})
    )
    world.wait_applied(world.commit({"w.yaml": None}))
    uninstall(world, widgets(world))
    world.wait_applied(world.commit({"b.yaml": None}))
    until("b is pruned", lambda: world.api.get(world.path("configmaps", "b")) is None, seconds=5)
    world.request()
    assert world.condition()["status"] == "True"


def test_a_definition_that_is_installed_again_is_used_and_watched_again(world: World):
    crd = widgets(world)
    path = world.path("widgets", "w", group=f"{world.name}.watch.test/v1")
    install(world, crd)
    world.declare()
    world.wait_applied(world.commit({"a.yaml": text(config_map("a")), "w.yaml": text(widget(world, "w", a=1))}))
    uninstall(world, crd)
    world.wait_failed("KindUnknown", mentions="Widget")
    install(world, crd)
    until("the widget is back", lambda: world.api.get(path), seconds=15)
    until("it is Ready", lambda: world.condition().get("status") == "True", seconds=15)
    edited(world, path, {"spec": {"a": 2}}, '"a": 1')


# -- strangers -------------------------------------------------------------------------------------------------------------


def nested(levels: int) -> str:
    """JSON of an object in an object and so on; the standard library cannot write it."""
    return '{"x":' * levels + "1" + "}" * levels


@pytest.mark.parametrize("levels", [300, 1100, 3000])
def test_an_object_that_is_nested_too_deep_blinds_us_for_nothing(world: World, levels: int):
    install(world, widgets(world))
    world.declare()
    world.wait_applied(world.commit({"w.yaml": text(widget(world, "w", a=1))}))
    hostile = manifest("Widget", "hostile", api_version=f"{world.name}.watch.test/v1", labels={PART_OF_LABEL: "nobody"})
    body = json.dumps({**hostile, "spec": "SPEC"}).replace('"SPEC"', nested(levels))
    world.cluster.kubectl("create", "--raw", world.path("widgets", group=f"{world.name}.watch.test/v1"), "-f", "-", input=body)
    path = world.path("widgets", "w", group=f"{world.name}.watch.test/v1")
    edited(world, path, {"spec": {"a": 2}}, '"a": 1')
    world.wait_applied(world.commit({"w.yaml": text(widget(world, "w", a=1), widget(world, "v", a=1))}), seconds=10)
    world.wait_applied(world.commit({"w.yaml": text(widget(world, "w", a=1))}), seconds=10)
    until("v is pruned", lambda: world.api.get(world.path("widgets", "v", group=f"{world.name}.watch.test/v1")) is None, seconds=5)


# -- definitions that are never served ---------------------------------------------------------------------------------------


def test_a_definition_that_is_never_served_does_not_delay_other_repairs(world: World):
    install(world, widgets(world))
    broken = widgets(world, "Gadget")
    broken["spec"]["names"]["shortNames"] = []
    broken["spec"]["names"]["listKind"] = "WidgetList"  # taken by the other one, so its names are never accepted
    gadget = manifest("Gadget", "g", api_version=f"{world.name}.watch.test/v1")
    world.commit({"a.yaml": text(config_map("a", k="v"), deployment("d")), "g.yaml": text(broken, gadget)})
    world.declare()
    until("the rest is applied", lambda: world.api.get(world.path("deployments", "d", group="apps/v1")), seconds=5)
    for _ in range(3):
        edited(world, world.path("configmaps", "a"), {"data": {"k": "HACKED"}}, '"k": "v"')
        time.sleep(2)
    world.wait_failed("KindUnknown", mentions="Gadget")
