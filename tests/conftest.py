"""Fixtures of integration tests: one quiet control plane, one Git server and one operator for the whole run; a corner of their own for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from cvstate_operator.cli.demo.git_server import GitServer
from tests.cluster.control_plane import Cluster
from tests.support.api import Api
from tests.support.operator import Operator
from tests.support.waiting import until
from tests.support.world import World

CRD = Path(__file__).parent.parent / "crds" / "clusterstates.cvstate.io.yaml"


def install_crd(api: Api) -> None:
    """Apply the CRD, and wait until the kind is served."""
    crd = yaml.safe_load(CRD.read_text())
    code, answer = api.apply(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{crd['metadata']['name']}", crd)
    assert code < 300, answer
    until("ClusterStates are served", lambda: api.request("GET", "/apis/cvstate.io/v1alpha1/clusterstates")[0] == 200)


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


@pytest.fixture
def world(cluster: Cluster, api: Api, git: GitServer, operator: Operator) -> World:
    return World(cluster, api, git, operator)
