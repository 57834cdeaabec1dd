"""`cvstate backup`, without a cluster.

Aspects: what is listed · what is left out · the file: whole or not at all, for nobody else, and none without ClusterStates, or of half a restore · what is told beside it.
"""

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from cvstate_operator import errors
from cvstate_operator.api import names, restoring
from cvstate_operator.cli.backup import command, document

app = typer.Typer()
app.command()(command.backup)


def item(name: str, namespace: str = "", **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **({"namespace": namespace} if namespace else {}), "uid": name, **more}, "spec": {}}


class Server:
    """Lists, by path."""

    def __init__(self, lists: dict[str, list[Any]]) -> None:
        self._lists = lists
        self.asked: list[str] = []

    async def pages(self, path: str) -> AsyncIterator[dict[str, Any]]:
        self.asked.append(path)
        found = self._lists[path.removeprefix(f"/apis/{names.API_VERSION}/")]
        for start in range(0, len(found), 2) or (0,):
            page = found[start : start + 2]
            if page and isinstance(page[0], Exception):
                raise page[0]
            yield {"items": page}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    made = Server(
        {
            "emergencystops": [item("stop")],
            "clusterstates": [item(name, "team-a") for name in ("a", "b", "c")],
            "clusterstateplans": [],
            "stateapprovals": [item("yes", "team-b", creationTimestamp="2026-11-21T12:00:00Z")],
            "namespaces/team-a/clusterstates": [item("a", "team-a")],
            "namespaces/team-a/clusterstateplans": [],
            "namespaces/team-a/stateapprovals": [],
        }
    )
    monkeypatch.setattr(command, "with_client", lambda kubeconfig, context, work: asyncio.run(work(made)))
    return made


def run(*options: str) -> Any:
    result = CliRunner().invoke(app, list(options))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_everything_of_ours_is_written(server: Server) -> None:
    result = run()
    found = document.read(result.stdout, where="it")
    assert [(one["kind"], one["metadata"]["name"]) for one in found] == [
        ("EmergencyStop", "stop"),
        ("ClusterState", "a"),
        ("ClusterState", "b"),
        ("ClusterState", "c"),
        ("StateApproval", "yes"),
    ]
    assert result.stderr.startswith("Written: 1 EmergencyStop, 3 ClusterStates, 1 StateApproval.")


def test_of_one_namespace_nothing_is_asked_that_is_in_none(server: Server) -> None:
    found = document.read(run("-n", "team-a").stdout, where="it")
    assert [one["metadata"]["name"] for one in found] == ["a"]
    assert all("/namespaces/team-a/" in path for path in server.asked)


def test_what_is_being_deleted_is_left_out_and_told(server: Server) -> None:
    server._lists["clusterstates"][0]["metadata"]["deletionTimestamp"] = "2026-11-21T12:00:00Z"
    result = run()
    assert [one["metadata"]["name"] for one in document.read(result.stdout, where="it") if one["kind"] == "ClusterState"] == ["b", "c"]
    assert "Left out: 1 that is being deleted." in result.stderr


def test_what_has_to_be_kept_elsewhere_is_named(server: Server) -> None:
    server._lists["clusterstates"][1]["spec"] = {"source": {"git": {"secretRef": {"name": "git-auth"}}}}
    assert "  Secret team-a/git-auth" in run().stderr.splitlines()


def test_the_file_is_for_nobody_else_and_replaces_an_older_one(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "b.yaml"
    file.write_text("old")
    result = run("-o", str(file))
    assert result.stdout == ""
    assert len(document.read(file.read_text(), where="it")) == 5
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_a_link_stays_one_and_a_pipe_is_written_to(server: Server, tmp_path: Path) -> None:
    file, link, pipe = tmp_path / "b.yaml", tmp_path / "latest", tmp_path / "pipe"
    file.write_text("old")
    link.symlink_to(file)
    run("-o", str(link))
    assert link.is_symlink()
    assert len(document.read(file.read_text(), where="it")) == 5
    os.mkfifo(pipe)
    with os.fdopen(os.open(pipe, os.O_RDWR), "rb") as reader:
        run("-o", str(pipe))
        assert reader.read(8) == b"# Backup"
    assert pipe.is_fifo()


def test_half_a_backup_is_none(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "b.yaml"
    file.write_text("old")
    server._lists["stateapprovals"] = [errors.ForbiddenError("no")]
    with pytest.raises(errors.ForbiddenError, match=r"may not list stateapprovals"):
        run("-o", str(file))
    assert file.read_text() == "old"


@pytest.mark.parametrize("plural", ["emergencystops", "clusterstates", "clusterstateplans", "stateapprovals"])
@pytest.mark.parametrize(
    "error", [errors.ForbiddenError("no"), errors.NetworkError("away"), errors.StaleError("compacted")], ids=["forbidden", "away", "late"]
)
def test_what_cannot_be_read_to_its_end_replaces_no_older_backup(server: Server, tmp_path: Path, plural: str, error: Exception) -> None:
    file = tmp_path / "b.yaml"
    file.write_text("old")
    server._lists[plural] = [item("first", "team-a"), item("second", "team-a"), error]
    with pytest.raises(type(error)):
        run("-o", str(file))
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def leaving(server: Server) -> None:
    for one in server._lists["clusterstates"]:
        one["metadata"]["deletionTimestamp"] = "2026-11-21T12:00:00Z"


@pytest.mark.parametrize(
    ("empty", "told"),
    [
        pytest.param(lambda server: server._lists["clusterstates"].clear(), "the cluster has no ClusterState, so that", id="none"),
        pytest.param(leaving, "the cluster has no ClusterState but 3 that are being deleted, so that", id="all-are-being-deleted"),
    ],
)
def test_a_backup_without_clusterstates_replaces_no_older_one(server: Server, tmp_path: Path, empty: Any, told: str) -> None:
    file = tmp_path / "b.yaml"
    file.write_text("old")
    empty(server)
    with pytest.raises(errors.SettingsError) as caught:
        run("-o", str(file))
    assert told in caught.value.message
    assert f"{file} was left as it is" in caught.value.message
    assert "--allow-empty" in caught.value.message
    assert file.read_text() == "old"
    with pytest.raises(errors.SettingsError):
        run()
    run("-o", str(file), "--allow-empty")
    assert [one["kind"] for one in document.read(file.read_text(), where="it")] == ["EmergencyStop", "StateApproval"]


def half_restored(server: Server, *names: str) -> None:
    for one in server._lists["clusterstates"]:
        if one["metadata"]["name"] in names:
            one["metadata"]["annotations"] = {restoring.MARK: "sha256:0"}
            one["spec"]["suspend"] = True


def test_a_backup_while_a_restore_is_half_way_replaces_no_older_one(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "b.yaml"
    file.write_text("old")
    half_restored(server, "a", "c")
    with pytest.raises(errors.SettingsError) as caught:
        run("-o", str(file))
    assert "half-way: team-a/a, team-a/c; so no backup was written" in caught.value.message
    assert f"{file} was left as it is" in caught.value.message
    assert file.read_text() == "old"
    with pytest.raises(errors.SettingsError, match="--allow-half-restored"):
        run("--allow-empty")
    run("-o", str(file), "--allow-half-restored")
    found = {one["metadata"]["name"]: one for one in document.read(file.read_text(), where="it")}
    assert [found[name]["spec"].get("suspend") for name in "abc"] == [True, None, True]
    assert not any(restoring.is_marked(one) for one in found.values())


def test_what_is_half_restored_elsewhere_or_being_deleted_holds_no_backup_up(server: Server) -> None:
    half_restored(server, "a")
    run("-n", "team-a")
    server._lists["clusterstates"][0]["metadata"]["deletionTimestamp"] = "2026-11-21T12:00:00Z"
    run()


def test_many_that_are_half_restored_are_counted(server: Server) -> None:
    server._lists["clusterstates"] = [item(f"n{number:02}", "team-a", annotations={restoring.MARK: "x"}) for number in range(12)]
    with pytest.raises(errors.SettingsError, match=r"team-a/n09 and 2 more;"):
        run()


def test_a_disk_that_is_full_leaves_the_older_backup_as_it_was(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "b.yaml"
    file.write_text("old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(errors.SettingsError, match="No space left"):
        run("-o", str(file))
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_that_cannot_be_written_is_told(server: Server, tmp_path: Path) -> None:
    with pytest.raises(errors.SettingsError, match=r"absent/b\.yaml"):
        run("-o", str(tmp_path / "absent" / "b.yaml"))
