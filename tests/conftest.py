"""Fixtures of integration tests: one quiet control plane, one Git server and one operator for the whole run; a corner of their own for each test."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from cvstate_operator.cli.demo.git_server import GitServer
from tests.cluster.control_plane import Cluster
from tests.support.api import CLUSTER_STATES, Api
from tests.support.operator import Operator
from tests.support.waiting import until
from tests.support.world import World

CRDS = sorted((Path(__file__).parent.parent / "crds").glob("*.yaml"))


def install_crd(api: Api) -> None:
    """Apply the CRDs, and wait until all kinds are served."""
    definitions = [yaml.safe_load(file.read_text()) for file in CRDS]
    for crd in definitions:
        code, answer = api.apply(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{crd['metadata']['name']}", crd)
        assert code < 300, answer
    for plural in (crd["spec"]["names"]["plural"] for crd in definitions):
        until(f"{plural} are served", lambda path=f"/apis/cvstate.io/v1alpha1/{plural}": api.request("GET", path)[0] == 200)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with Cluster.start(quiet=True) as running:
        install_crd(Api(running.admin_kubeconfig))
        yield running


@pytest.fixture(scope="session")
def api(cluster: Cluster) -> Api:
    return Api(cluster.admin_kubeconfig)


@pytest.fixture(scope="session")
def git(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    with GitServer(tmp_path_factory.mktemp("git")) as server:
        yield server


@pytest.fixture(scope="session")
def operator(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    with Operator(cluster.operator_kubeconfig, tmp_path_factory.mktemp("operator")) as running:
        yield running


@pytest.fixture(scope="session")
def second_cluster() -> Iterator[Cluster]:
    """A cluster without a running operator, for tests that start, stop or restrict their own."""
    with Cluster.start(quiet=True) as running:
        yield running


@pytest.fixture
def own(second_cluster: Cluster, git: GitServer, tmp_path: Path) -> Iterator[World]:
    """A corner of the second cluster, with an operator that the test starts itself."""
    api = Api(second_cluster.admin_kubeconfig)
    install_crd(api)
    operator = Operator(second_cluster.operator_kubeconfig, tmp_path / "operator")
    yield World(second_cluster, api, git, operator)
    if operator.is_running:
        operator.end(signal.SIGTERM)
    remove_clusterstates(api)


@pytest.fixture
def world(cluster: Cluster, api: Api, git: GitServer, operator: Operator) -> Iterator[World]:
    yield World(cluster, api, git, operator)
    remove_clusterstates(api)


def remove_clusterstates(api: Api) -> None:
    """Polls of one test must not cost the next ones time."""
    for state in api.request("GET", "/apis/cvstate.io/v1alpha1/clusterstates")[1].get("items", ()):
        api.delete(f"{CLUSTER_STATES.format(state['metadata']['namespace'])}/{state['metadata']['name']}")
