"""Who writes beside us, for real: the autoscaler of a real controller manager, and the programs that people use.

Aspects: an autoscaler is named where it is left alone by a rule, and has its field where it is ignored · `kubectl scale` and `kubectl edit` are undone and named.
"""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from cvstate_operator.cli.demo.git_server import GitServer
from tests.cluster.control_plane import Cluster
from tests.conftest import install_crd
from tests.support.api import Api, Json
from tests.support.objects import config_map, deployment, manifest, text
from tests.support.operator import Operator
from tests.support.waiting import never, until
from tests.support.world import World

pytestmark = pytest.mark.integration

AUTOSCALER = "kube-controller-manager"
"""Field manager of all controllers of the controller manager."""


@pytest.fixture(scope="module")
def full(git: GitServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A cluster with controllers, and an operator."""
    with Cluster.start(nodes=1) as cluster:
        api = Api(cluster.admin_kubeconfig)
        install_crd(api)
        operator = Operator(cluster.operator_kubeconfig, tmp_path_factory.mktemp("operator"))
        operator.start()
        yield World(cluster, api, git, operator)
        operator.end(signal.SIGTERM)


def replicas(world: World) -> int:
    live = world.api.get(world.path("deployments", "web", group="apps/v1"))
    assert live is not None
    return int(live["spec"]["replicas"])


def drifts(world: World) -> list[Json]:
    found: list[Json] = (world.state()["status"].get("drift") or {}).get("sample") or []
    return found


def test_an_autoscaler_is_named_while_it_is_only_told_and_has_its_field_once_it_is_ignored(full: World):
    """Below its minimum an autoscaler scales without metrics (pkg/controller/podautoscaler, reconcileAutoscaler)."""
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    scaler = manifest(
        "HorizontalPodAutoscaler", "web", api_version="autoscaling/v2", spec={"scaleTargetRef": target, "minReplicas": 3, "maxReplicas": 5}
    )
    full.commit({"a.yaml": text(deployment("web", replicas=1), scaler)})
    full.declare(drift={"rules": [{"match": {"paths": ["/spec/replicas"]}, "action": "Alert"}]})
    until("it is applied", lambda: full.api.get(full.path("deployments", "web", group="apps/v1")))
    until("the autoscaler has scaled", lambda: replicas(full) == 3, seconds=60)
    (told,) = until("the ledger has it", lambda: drifts(full))
    assert (told["path"], told["manager"], told["action"], told["state"]) == ("/spec/replicas", AUTOSCALER, "Alert", "Alerted")
    assert (told["live"], told["desired"]) == ("3", "1")
    full.declare(drift={"ignore": [{"paths": ["/spec/replicas"], "target": {"kind": "Deployment"}}]})
    until("it is no drift any more", lambda: not drifts(full) and full.condition("Drifted").get("status") == "False")
    full.request()
    never("its field is taken from it", lambda: replicas(full) != 3, seconds=2)


def test_what_kubectl_scale_does_is_undone_and_kubectl_named(world: World):
    world.commit({"a.yaml": text(deployment("web", replicas=1))})
    world.declare()
    world.wait_ready()
    world.cluster.kubectl("-n", world.name, "scale", "deployment", "web", "--replicas=7")
    until(
        "it is told", lambda: any("/spec/replicas was 7 instead of 1, written by kubectl" in note for note in world.events("DriftRepaired"))
    )
    assert replicas(world) == 1


def test_what_kubectl_edit_does_is_undone_and_kubectl_edit_named(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i "s/colour: blue/colour: red/" "$1"\n')
    editor.chmod(0o700)
    monkeypatch.setenv("KUBE_EDITOR", str(editor))
    world.commit({"a.yaml": text(config_map("a", colour="blue"))})
    world.declare()
    world.wait_ready()
    world.cluster.kubectl("-n", world.name, "edit", "configmap", "a")
    until(
        "it is told",
        lambda: any("/data/colour was red instead of blue, written by kubectl-edit" in note for note in world.events("DriftRepaired")),
    )
    live = world.api.get(world.path("configmaps", "a"))
    assert live is not None
    assert live["data"]["colour"] == "blue"
