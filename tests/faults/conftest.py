"""Fixtures of the fault tests: a control plane of their own whose audit log holds bodies, and a proxy before it."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from cvstate_operator.cli.demo.git_server import GitServer
from tests.cluster.control_plane import Cluster
from tests.cluster.stack import OPERATOR_USER
from tests.conftest import install_crd
from tests.faults.runs import Ground, Run, some
from tests.support.api import Api
from tests.support.fault_proxy import FaultProxy

AUDIT_POLICY = f"""\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
    verbs: [watch]
    omitStages: [RequestReceived, ResponseComplete]
  - level: Metadata
    verbs: [list]
  - level: Metadata
    nonResourceURLs: ["*"]
  - level: RequestResponse
    users: [{OPERATOR_USER}]
  - level: Metadata
"""
"""What the operator writes and looks at, with bodies. Source: Kubernetes documentation, "Auditing"."""


@pytest.fixture(scope="session")
def fault_cluster() -> Iterator[Cluster]:
    with Cluster.start(quiet=True) as running:
        log = running.audit_log
        assert log is not None
        (log.parent / "audit-policy.yaml").write_text(AUDIT_POLICY)
        running.restart_api_server()
        install_crd(Api(running.admin_kubeconfig))
        yield running


@pytest.fixture(scope="session")
def ground(fault_cluster: Cluster, git: GitServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """Everything the runs share, with one operator for those that do not end theirs."""
    folder: Path = tmp_path_factory.mktemp("faults")
    with FaultProxy(fault_cluster.operator_kubeconfig, folder) as proxy:
        made = Ground(fault_cluster, Api(fault_cluster.admin_kubeconfig), git, proxy, folder)
        yield made
        for operator in made.operators:
            if operator.is_running:
                operator.end(signal.SIGKILL)


@pytest.fixture
def run(ground: Ground) -> Iterator[Run]:
    made = Run(ground)
    yield made
    made.end()


@pytest.fixture
def fresh(ground: Ground) -> None:
    """An operator whose streams were not cut before: each cut makes it wait longer until the next stream has lasted for a while."""
    ground.operator().end(signal.SIGKILL)


@pytest.fixture
def installed(run: Run) -> Run:
    """All of `some` is there, and nothing is under way."""
    run.wish(some())
    run.declare()
    run.converge()
    run.world.request()
    return run
