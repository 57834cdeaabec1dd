"""Directories of clusters: who may take a name, what is stale, and processes that cannot be mistaken for others."""

from __future__ import annotations

import os
import signal
import stat
from pathlib import Path

import pytest

from tests.cluster import kubeconfig, ports, processes, state
from tests.cluster.certificates import Authority
from tests.cluster.control_plane import EXTERNAL_VARIABLE, Cluster, take_down
from tests.cluster.errors import ClusterError
from tests.cluster.processes import Identity
from tests.cluster.state import Record


@pytest.fixture(autouse=True)
def runtime_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Keep these tests away from clusters that run on this machine."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


def me() -> Identity:
    found = processes.identify(os.getpid())
    assert found is not None
    return found


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a/b", "..", "a" * 64])
def test_a_name_must_be_a_dns_label(name: str) -> None:
    with pytest.raises(ClusterError):
        state.at(name)


def test_a_directory_is_private_to_its_user() -> None:
    assert stat.S_IMODE(state.create("a").path.stat().st_mode) == 0o700


def test_a_running_clusters_name_is_taken() -> None:
    state.create("a").write_supervisor(me())
    with pytest.raises(ClusterError):
        state.create("a")


def test_a_stale_directory_is_replaced() -> None:
    stale = state.create("a")
    stale.write_supervisor(Identity(os.getpid(), me().start_ticks - 1))
    (stale.path / "left").touch()
    assert not (state.create("a").path / "left").exists()


def test_a_process_that_reuses_an_id_is_not_signalled() -> None:
    impostor = Identity(os.getpid(), me().start_ticks - 1)
    assert not impostor.is_alive
    assert not impostor.signal(signal.SIGKILL)


def test_down_removes_a_stale_directory_and_says_that_nothing_ran() -> None:
    stale = state.create("a")
    stale.write_supervisor(Identity(os.getpid(), me().start_ticks - 1))
    assert take_down(stale) is False
    assert state.listed() == ()


def test_a_record_is_read_back_as_written() -> None:
    directory = state.create("a")
    assert directory.record() is None
    record = Record(url="https://127.0.0.1:1", is_quiet=True, programs={"etcd": me()})
    directory.write_record(record)
    assert directory.record() == record


def test_clusters_are_listed_by_name(runtime_root: Path) -> None:
    for name in ("b", "a"):
        state.create(name)
    (runtime_root / "other").mkdir()
    assert [directory.name for directory in state.listed()] == ["a", "b"]


def test_ports_differ_and_lie_below_those_of_outgoing_connections() -> None:
    chosen = ports.free(20)
    assert len(set(chosen)) == 20
    assert all(20_000 <= port < 32_768 or port < ports._ephemeral_start() for port in chosen)


def test_an_existing_cluster_is_used_and_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    authority = Authority("test")
    text = kubeconfig.render(
        url="https://10.0.0.1:6443", cluster="c", authority=authority.certificate, user="u", client=authority.client("u")
    )
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    monkeypatch.setenv(EXTERNAL_VARIABLE, str(path))
    with Cluster.start() as cluster:
        assert (cluster.url, cluster.audit_log, dict(cluster.pids)) == ("https://10.0.0.1:6443", None, {})
        assert cluster.admin_kubeconfig == cluster.operator_kubeconfig == path
        for breaking in (cluster.restart_api_server, lambda: cluster.pause("etcd"), lambda: cluster.audit):
            with pytest.raises(ClusterError):
                breaking()
    assert path.exists()


def test_a_broken_kubeconfig_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(EXTERNAL_VARIABLE, str(tmp_path / "absent"))
    with pytest.raises(ClusterError) as caught:
        Cluster.start()
    assert "absent" in caught.value.message


def test_attaching_to_a_cluster_that_does_not_run_is_refused() -> None:
    with pytest.raises(ClusterError):
        Cluster.attach("nothing")
