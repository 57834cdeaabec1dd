"""Real clusters: they start side by side, do what a cluster does, can be broken on purpose, and leave nothing behind however they end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.cluster import audit, builds, locations, processes, state
from tests.cluster.control_plane import EXTERNAL_VARIABLE, Cluster
from tests.cluster.errors import ClusterError
from tests.cluster.stack import OPERATOR_USER

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(60, func_only=True),  # building programs in a fixture may take minutes
    pytest.mark.usefixtures("_programs"),
]

CONFIG_MAP = '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "%s"}}'


@pytest.fixture(autouse=True)
def _own_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests are about clusters of our own, whatever the caller wants for others."""
    monkeypatch.delenv(EXTERNAL_VARIABLE, raising=False)


@pytest.fixture(scope="module")
def quiet(_programs: None) -> Iterator[Cluster]:
    """One quiet cluster for the tests that do not end it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(EXTERNAL_VARIABLE, raising=False)
        with Cluster.start(quiet=True) as cluster:
            yield cluster


def mentions(folder: Path) -> list[int]:
    """Return the ids of all processes whose command line names a folder: a cluster's programs."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(folder).encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def is_gone(cluster_directory: Path) -> bool:
    return not cluster_directory.exists() and not mentions(cluster_directory)


def command_line(*arguments: str, runtime: Path, code: int = 0) -> str:
    """Run ``python -m tests.cluster`` with its clusters in a folder of their own and return what it prints."""
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(runtime)}
    command = [sys.executable, "-m", "tests.cluster", *arguments]
    done = subprocess.run(command, cwd=locations.PROJECT_ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout


def test_clusters_run_side_by_side_outlive_the_threads_that_started_them_and_leave_nothing() -> None:
    with ThreadPoolExecutor() as threads:
        first, second = threads.map(lambda _: Cluster.start(quiet=True), range(2))
    folders = [cluster.admin_kubeconfig.parent for cluster in (first, second)]
    with first, second:
        assert first.url != second.url
        assert set(first.pids) == set(second.pids) == {"etcd", "kube-apiserver"}
        first.kubectl("create", "namespace", "only-in-first")
        assert "only-in-first" in first.kubectl("get", "namespaces")
        assert "only-in-first" not in second.kubectl("get", "namespaces")
        assert all(mentions(folder) for folder in folders)
    assert all(is_gone(folder) for folder in folders)


def test_nothing_is_left_when_the_owner_is_killed() -> None:
    script = (
        "import time; from tests.cluster.control_plane import Cluster\n"
        "cluster = Cluster.start(quiet=True); print(cluster.admin_kubeconfig.parent, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], cwd=locations.PROJECT_ROOT, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        folder = Path(owner.stdout.readline().strip())
        assert mentions(folder)
        owner.kill()
    assert processes.wait_until(lambda: is_gone(folder), seconds=5)


def test_programs_end_when_the_supervisor_is_killed() -> None:
    with Cluster.start(quiet=True) as cluster:
        directory = state.at(cluster.name)
        assert directory.supervisor is not None
        directory.supervisor.signal(signal.SIGKILL)
        assert processes.wait_until(lambda: not mentions(directory.path), seconds=5)
    assert not directory.path.exists()


def test_up_and_down_from_a_shell(tmp_path: Path) -> None:
    facts = json.loads(command_line("up", "--name", "shell", "--quiet", "--json", runtime=tmp_path))
    folder = tmp_path / "cvstate-cluster-shell"
    try:
        assert not facts["was-running"]
        assert facts["audit-log"] == str(folder / "audit.log")
        again = command_line("up", "--name", "shell", "--quiet", runtime=tmp_path)
        assert again.splitlines() == [f"{key}: {facts[key]}" for key in ("admin-kubeconfig", "operator-kubeconfig", "audit-log")]
        assert command_line("kubeconfig", "--name", "shell", "--user", "operator", runtime=tmp_path).strip() == facts["operator-kubeconfig"]
        assert "kube-apiserver" in command_line("status", runtime=tmp_path)
    finally:
        down = command_line("down", "--all", runtime=tmp_path)
    assert down == "shell: stopped\n"
    assert is_gone(folder)
    command_line("down", "--name", "shell", runtime=tmp_path, code=2)


def test_an_ordinary_user_creates_an_object_and_the_audit_log_shows_who(quiet: Cluster) -> None:
    mark = quiet.audit.mark()
    quiet.kubectl("create", "-f", "-", f"--kubeconfig={quiet.operator_kubeconfig}", input=CONFIG_MAP % "mine")
    requests = quiet.audit.requests(mark, user=OPERATOR_USER)
    assert [(request.verb, request.resource, request.code) for request in requests if request.is_write] == [("create", "configmaps", 201)]
    assert audit.count_writes(quiet.audit.requests(mark, user="admin")) == 0
    assert all("kubectl" in request.user_agent for request in requests)


def test_a_watch_is_one_request(quiet: Cluster) -> None:
    mark = quiet.audit.mark()
    quiet.kubectl("get", "--raw", "/api/v1/configmaps?watch=1&timeoutSeconds=1")
    assert [request.verb for request in quiet.audit.requests(mark, user="admin")] == ["watch"]


def test_the_operators_user_is_ordinary(quiet: Cluster) -> None:
    found = json.loads(quiet.kubectl("auth", "whoami", "-o", "json", f"--kubeconfig={quiet.operator_kubeconfig}"))
    assert found["status"]["userInfo"]["username"] == OPERATOR_USER
    assert found["status"]["userInfo"]["groups"] == ["system:authenticated"]


def test_objects_outlive_a_restart_of_the_api_server(quiet: Cluster) -> None:
    quiet.kubectl("create", "-f", "-", input=CONFIG_MAP % "kept")
    before = quiet.pids["kube-apiserver"]
    mark = quiet.audit.mark()
    quiet.restart_api_server()
    assert quiet.pids["kube-apiserver"] != before
    assert "kept" in quiet.kubectl("get", "configmap", "kept")
    assert quiet.audit.requests(mark, user="admin")


def test_a_paused_store_stops_answers_until_it_is_resumed(quiet: Cluster) -> None:
    quiet.pause("etcd")
    try:
        with pytest.raises(ClusterError):
            quiet.kubectl("create", "namespace", "never", "--request-timeout=1s")
    finally:
        quiet.resume("etcd")
    assert "default" in quiet.kubectl("get", "namespaces", "--request-timeout=10s")


def test_a_killed_program_stays_down_until_it_is_restarted(quiet: Cluster) -> None:
    quiet.kill("etcd")
    assert processes.wait_until(lambda: set(quiet.pids) == {"kube-apiserver"}, seconds=2)
    with pytest.raises(ClusterError):
        quiet.pause("etcd")
    quiet.restart("etcd")
    assert "default" in quiet.kubectl("get", "namespaces")


def test_a_program_that_does_not_start_is_named_with_its_log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "etcd"
    broken.write_text("#!/bin/sh\necho the disk is on fire >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setenv(builds.ASSETS_VARIABLE, str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with pytest.raises(ClusterError) as caught:
        Cluster.start(quiet=True)
    assert "etcd ended with code 3" in caught.value.message
    assert "the disk is on fire" in caught.value.message
    assert state.listed() == ()


def test_a_deployment_becomes_available_on_simulated_nodes_and_can_be_made_to_fail() -> None:
    with Cluster.start() as cluster:
        cluster.kubectl("create", "namespace", "shop")
        cluster.kubectl("create", "deployment", "web", "--image=web", "--replicas=3", "--namespace=shop")
        cluster.kubectl("wait", "--for=condition=Available", "deployment/web", "--timeout=30s", "--namespace=shop")
        assert cluster.kubectl("get", "pods", "-o", "name", "--namespace=shop").count("pod/") == 3

        template = {"metadata": {"labels": {"test.cvstate.io/fate": "crash-loop"}}}
        fate = {"spec": {"strategy": {"type": "Recreate", "rollingUpdate": None}, "template": template}}
        cluster.kubectl("patch", "deployment", "web", "--namespace=shop", "--patch", json.dumps(fate))
        cluster.kubectl("wait", "--for=condition=Available=False", "deployment/web", "--timeout=30s", "--namespace=shop")
        looping = "--for=jsonpath={.status.containerStatuses[0].state.waiting.reason}=CrashLoopBackOff"
        cluster.kubectl("wait", looping, "pod", "--all", "--timeout=30s", "--namespace=shop")

        cluster.kubectl("delete", "namespace", "shop", "--timeout=30s")
        assert "shop" not in cluster.kubectl("get", "namespaces", "-o", "name")


def test_a_node_that_is_not_simulated_and_its_pods_are_left_alone() -> None:
    with Cluster.start(nodes=1) as cluster:
        cluster.kubectl("apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "mine"}}))
        for name, node in (("left-alone", "mine"), ("simulated", "node-0")):
            spec = {"nodeName": node, "containers": [{"name": "web", "image": "web"}]}
            body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
            cluster.kubectl("apply", "-f", "-", input=json.dumps(body))
        cluster.kubectl("wait", "--for=condition=Ready", "pod/simulated", "--timeout=30s")
        assert cluster.kubectl("get", "pod", "left-alone", "-o", "jsonpath={.status.phase}") == "Pending"
        assert cluster.kubectl("get", "node", "mine", "-o", "jsonpath={.status.allocatable}") == ""
