"""`cvstate restore`, without a cluster.

Aspects: the order · a ClusterState is whole before anybody acts on it · what is there already · a restore that broke off, at any request and in any way · what lacks
something · a CRD that is too old · a dry run · exit codes.
"""

import asyncio
import copy
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from cvstate_operator import errors
from cvstate_operator.api import names, restoring
from cvstate_operator.cli.backup import document, restore

app = typer.Typer()
app.command()(restore.restore)

ROOT = f"/apis/{names.API_VERSION}"
STATUS = {"lastGoodRevision": "main@sha1:" + "a" * 40}


class Server:
    """Keeps objects as an API server does, as far as restore can tell; every write is noted, dry runs apart."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.namespaces = {"team-a"}
        self.unknown_fields: set[str] = set()
        self.writes: list[str] = []
        self.broken: dict[str, Exception] = {}
        """By beginning of a write, what it ends in."""
        self.breaks_at: tuple[int, BaseException, bool] | None = None
        """How many writes are made before one ends in that, and whether that one is made."""

    async def get(self, path: str) -> Any:
        return copy.deepcopy(self.objects.get(path))

    async def create(self, path: str, body: Any, *, dry_run: bool = False) -> Any:
        where = f"{path}/{body['metadata']['name']}"
        namespace = body["metadata"].get("namespace")
        if namespace and namespace not in self.namespaces:
            raise errors.NamespaceMissingError(f"namespace {namespace} does not exist")
        if where in self.objects:
            raise errors.StaleError("already exists")
        made = copy.deepcopy(body)
        made["metadata"]["uid"] = f"uid of {body['metadata']['name']}"
        made["spec"] = {key: value for key, value in made["spec"].items() if key not in self.unknown_fields}
        if not dry_run:
            with self._writing(f"create {body['kind']} {body['metadata']['name']}"):
                self.objects[where] = made
        return copy.deepcopy(made)

    async def patch(self, path: str, operations: Any, *, manager: str) -> Any:
        assert manager == "cvstate-cli"
        found = self.objects[path.removesuffix("/status")]
        name = found["metadata"]["name"]
        with self._writing(f"status {name}" if path.endswith("/status") else f"patch {name}"):
            self._carry_out(found, operations)
        return copy.deepcopy(found)

    def _carry_out(self, found: dict[str, Any], operations: Any) -> None:
        assert operations[0] == {"op": "test", "path": "/metadata/uid", "value": found["metadata"]["uid"]}
        for one in operations[1:]:
            *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in one["path"].split("/")[1:]]
            node = found
            for part in parents:
                node = node[part]
            if one["op"] == "remove":
                del node[last]
            else:
                node[last] = one["value"]

    @contextmanager
    def _writing(self, write: str) -> Iterator[None]:
        for start, error in self.broken.items():
            if write.startswith(start):
                raise error
        how = self.breaks_at if self.breaks_at and self.breaks_at[0] == len(self.writes) else None
        if how and not how[2]:
            raise how[1]
        self.writes.append(write)
        yield
        if how:
            raise how[1]

    def state(self, name: str) -> dict[str, Any]:
        return self.objects[f"{ROOT}/namespaces/team-a/clusterstates/{name}"]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    made = Server()
    monkeypatch.setattr(restore, "with_client", lambda kubeconfig, context, work: asyncio.run(work(made)))
    return made


def one(kind: str, name: str, spec: Any = None, *, namespace: str = "team-a", **more: Any) -> dict[str, Any]:
    meta = {"name": name, **({} if kind == names.EMERGENCY_STOP else {"namespace": namespace})}
    return {"apiVersion": names.API_VERSION, "kind": kind, "metadata": meta, "spec": spec or {}, **more}


STOP = one(names.EMERGENCY_STOP, "stop", {"reason": "INC-42"})
SHOP = one(names.CLUSTER_STATE, "shop", {"source": {"git": {"url": "u", "secretRef": {"name": "auth"}}}}, status=STATUS)
PAUSED = one(names.CLUSTER_STATE, "paused", {"suspend": True})
PLAN = one(names.CLUSTER_STATE_PLAN, "shop-1", {"clusterState": "shop"})
YES = one(names.STATE_APPROVAL, "yes", {"planDigest": "d", "expiresAt": "2999-01-01T00:00:00Z"})


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """Restores these documents; the result of the command."""

    def restored(documents: Any, *options: str) -> Any:
        file = tmp_path / "b.yaml"
        file.write_text(document.written(documents, about="x"))
        result = CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(file), *options])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return restored


# -- the order -------------------------------------------------------------------------------------------------------


def test_what_stops_writes_comes_first_and_nothing_goes_on_before_all_is_there(server: Server, run: Any) -> None:
    result = run([YES, PLAN, SHOP, PAUSED, STOP])
    assert result.exit_code == 0, result.output
    assert server.writes == [
        "create EmergencyStop stop",
        "create ClusterState paused",
        "create ClusterState shop",
        "status shop",
        "patch paused",
        "patch shop",
    ]


def test_until_it_goes_on_a_clusterstate_is_suspended_and_not_looked_at(server: Server, run: Any) -> None:
    server.broken["patch"] = errors.ServerError("away")
    run([SHOP])
    state = server.state("shop")
    assert restoring.is_marked(state)
    assert state["spec"]["suspend"] is True
    assert state["status"] == STATUS


def test_at_the_end_it_is_as_it_was(server: Server, run: Any) -> None:
    run([SHOP, PAUSED])
    assert "suspend" not in server.state("shop")["spec"]
    assert server.state("paused")["spec"]["suspend"] is True
    assert not any(restoring.is_marked(server.state(name)) for name in ("shop", "paused"))
    assert server.state("shop")["status"] == STATUS


def test_with_suspend_it_is_looked_at_and_nothing_is_written(server: Server, run: Any) -> None:
    assert run([SHOP], "--suspend").exit_code == 0
    assert server.state("shop")["spec"]["suspend"] is True
    assert not restoring.is_marked(server.state("shop"))


# -- what does not go as wished --------------------------------------------------------------------------------------


def test_what_is_there_is_left_as_it_is(server: Server, run: Any) -> None:
    run([SHOP])
    server.writes.clear()
    other = {**SHOP, "spec": {"source": {"git": {"url": "another"}}}}
    result = run([other, STOP])
    assert result.exit_code == 1
    assert server.writes == ["create EmergencyStop stop"]
    assert "is there" in result.stdout
    assert "To go on" not in result.stdout, "it would be the same again"


def test_what_a_restore_of_another_backup_left_half_way_is_not_mixed_with_this_one(server: Server, run: Any) -> None:
    server.broken["patch"] = errors.ServerError("etcd")
    run([SHOP])
    server.broken.clear()
    result = run([{**SHOP, "status": {"lastGoodRevision": "main@sha1:" + "b" * 40}}])
    assert result.exit_code == 2
    assert "another restore" in result.stdout
    assert server.state("shop")["status"] == STATUS
    assert restoring.is_marked(server.state("shop"))


WHOLE = [STOP, PAUSED, SHOP, *(one(names.CLUSTER_STATE, f"s{number}", {"interval": "1m"}, status=STATUS) for number in range(3)), PLAN]
WRITES = 1 + 3 * 4 + 2


class Killed(BaseException):
    """Nothing is done after it, as after SIGKILL."""


@pytest.mark.parametrize("after", range(WRITES))
@pytest.mark.parametrize(
    ("error", "is_made"),
    [
        pytest.param(errors.NetworkError("away"), False, id="away"),
        pytest.param(errors.ServerTimeoutError("no answer"), True, id="no-answer"),
        pytest.param(errors.ServerError("etcd"), False, id="refused"),
        pytest.param(Killed(), True, id="killed"),
    ],
)
def test_a_restore_that_broke_off_anywhere_is_run_again_and_comes_to_the_same_end(
    server: Server, run: Any, after: int, error: BaseException, is_made: bool
) -> None:
    assert run(WHOLE).exit_code == 0
    wanted, wanted_writes = copy.deepcopy(server.objects), len(server.writes)
    assert wanted_writes == WRITES
    server.objects.clear()
    server.writes.clear()
    server.breaks_at = after, error, is_made
    with suppress(errors.CvstateError, Killed):
        assert run(WHOLE).exit_code == 2
    begun = [path.rpartition("/")[2] for path, body in server.objects.items() if body["kind"] == names.CLUSTER_STATE]
    unfinished = [name for name in begun if restoring.is_marked(server.state(name))]
    assert all(server.state(name)["spec"]["suspend"] for name in unfinished), "nothing of it is carried out"
    server.breaks_at = None
    again = run(WHOLE)
    assert (again.exit_code, server.objects) == (0, wanted)
    assert run(WHOLE).exit_code == 0
    assert run(WHOLE).stdout.startswith("Restored: nothing.\nRestored before: 1 EmergencyStop, 5 ClusterStates.")
    assert server.objects == wanted


def test_of_a_restore_that_broke_off_is_said_what_became_of_each_object_and_how_to_go_on(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "b.yaml"
    file.write_text(document.written(WHOLE, about="x"))
    server.breaks_at = 6, errors.NetworkError("away"), False  # stop, paused, s0 with its status, s1 with its
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(file), "-n", "team-a", "--suspend"])
    assert isinstance(result.exception, errors.NetworkError)
    lines = result.stdout.splitlines()
    assert lines[0] == "Restored: nothing."
    told = {words[1]: " ".join(words[2:]) for line in lines if (words := line.split()) and words[0] == "ClusterState"}
    half = "half-way it is there, suspended, and not looked at until it is restored again"
    assert {name: told[f"team-a/{name}"] for name in ("paused", "s0", "s1")} == dict.fromkeys(("paused", "s0", "s1"), half)
    assert told["team-a/s2"].startswith("half-way the restore broke off while it was made")
    assert told["team-a/shop"] == "not tried the restore broke off before"
    assert f"To go on, run again: cvstate restore {file} --namespace=team-a --suspend" in lines


def test_what_an_earlier_run_left_half_way_is_told_as_such_by_a_run_that_breaks_off_too(server: Server, tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(document.written([SHOP], about="x"))
    for _ in range(2):
        server.broken = {"status shop": errors.NetworkError("away")}
        result = CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(tmp_path / "b.yaml")])
        assert isinstance(result.exception, errors.NetworkError)
        assert "half-way" in result.stdout


def test_without_an_api_server_nothing_is_said_of_objects(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: Any, **__: Any) -> Any:
        raise errors.NetworkError("away")

    monkeypatch.setattr(server, "create", away)
    (tmp_path / "b.yaml").write_text(document.written([STOP, SHOP], about="x"))
    assert CliRunner().invoke(app, [str(tmp_path / "b.yaml")]).stdout == ""


def test_what_was_approved_in_another_cluster_is_not_approved_in_this_one(server: Server, run: Any) -> None:
    result = run([SHOP, PLAN, YES])
    assert result.exit_code == 0
    assert "Not restored: 1 ClusterStatePlan, 1 StateApproval: " in result.stdout
    assert not any("Plan" in write or "Approval" in write for write in server.writes)


def test_a_restore_that_broke_off_is_finished_by_another(server: Server, run: Any) -> None:
    server.broken["patch shop"] = errors.ServerError("etcd")
    result = run([SHOP])
    assert result.exit_code == 2
    assert "not looked at until it is restored again" in result.stdout
    server.broken.clear()
    assert run([SHOP]).exit_code == 0
    assert not restoring.is_marked(server.state("shop"))
    assert server.state("shop")["status"] == STATUS


def test_a_status_that_may_not_be_written_leaves_it_suspended(server: Server, run: Any) -> None:
    server.broken["status"] = errors.ForbiddenError("no")
    result = run([PAUSED, SHOP])
    assert result.exit_code == 2
    assert "may not patch clusterstates/status" in result.stdout
    assert restoring.is_marked(server.state("shop"))
    assert not restoring.is_marked(server.state("paused")), "the rest is restored"


def test_without_its_namespace_all_that_is_in_it_is_left_out_and_the_rest_restored(server: Server, run: Any) -> None:
    away = [one(names.CLUSTER_STATE, name, namespace="team-z") for name in ("a", "b")]
    result = run([*away, SHOP])
    assert result.exit_code == 1
    assert result.stdout.count("there is no namespace team-z; create it") == 2
    assert not restoring.is_marked(server.state("shop"))


def test_a_field_that_the_crd_does_not_know_stops_it_before_anything_is_made_without_it(server: Server, run: Any) -> None:
    server.unknown_fields = {"serviceAccountName"}
    guarded = one(names.CLUSTER_STATE, "guarded", {"serviceAccountName": "applier"})
    with pytest.raises(errors.KindUnknownError, match=r"spec\.serviceAccountName of team-a/guarded"):
        run([guarded])
    assert server.writes == []


def test_of_a_run_that_broke_off_is_told_what_was_done(server: Server, tmp_path: Path) -> None:
    server.broken["create ClusterState"] = errors.NetworkError("away")
    (tmp_path / "b.yaml").write_text(document.written([STOP, SHOP], about="x"))
    result = CliRunner().invoke(app, [str(tmp_path / "b.yaml")])
    assert isinstance(result.exception, errors.NetworkError)
    assert result.stdout.startswith("Restored: 1 EmergencyStop.")


# -- options ---------------------------------------------------------------------------------------------------------


def test_a_dry_run_writes_nothing_and_tells_the_same(server: Server, run: Any) -> None:
    result = run([STOP, SHOP, PLAN, YES, one(names.CLUSTER_STATE, "a", namespace="team-z")], "--dry-run")
    assert (result.exit_code, server.writes) == (1, [])
    assert result.stdout.startswith("Would be restored: 1 EmergencyStop, 1 ClusterState.")
    assert "team-z" in result.stdout


def test_what_has_to_be_there_is_named(server: Server, run: Any) -> None:
    assert "  Secret team-a/auth" in run([SHOP]).stdout.splitlines()


def test_one_namespace_can_be_chosen(server: Server, run: Any) -> None:
    server.namespaces.add("team-b")
    run([STOP, SHOP, one(names.CLUSTER_STATE, "b", namespace="team-b")], "-n", "team-b")
    assert server.writes == ["create ClusterState b", "patch b"]
    with pytest.raises(errors.SettingsError, match="nothing in namespace team-c"):
        run([SHOP], "-n", "team-c")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [str(tmp_path / "absent.yaml")])
    assert isinstance(result.exception, errors.SettingsError)
    assert "absent.yaml" in result.exception.message


def test_it_can_come_through_a_pipe(server: Server) -> None:
    result = CliRunner().invoke(app, ["-"], input=document.written([SHOP], about="x"))
    assert result.exit_code == 0, result.output
    assert server.state("shop")["status"] == STATUS


# -- fields that were left out ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "theirs", "lost"),
    [
        pytest.param({"a": 1}, {"a": 1, "b": 2}, "", id="a default more"),
        pytest.param({"a": {"b": 1}}, {"a": {}}, "spec.a.b", id="below"),
        pytest.param({"a": [{"b": 1}, {"c": 1}]}, {"a": [{"b": 1}, {}]}, "spec.a[1].c", id="in a list"),
        pytest.param({"a": [1, 2]}, {"a": [1]}, "spec.a", id="a shorter list"),
        pytest.param({"a": {"b": 1}}, {"a": None}, "spec.a", id="nothing in place of a mapping"),
        pytest.param({"a": "text"}, {"a": "text"}, "", id="the same"),
        pytest.param({}, None, "spec", id="no spec"),
        pytest.param({"a": []}, {"a": []}, "", id="an empty list"),
    ],
)
def test_the_first_field_that_is_lacking_is_found(ours: Any, theirs: Any, lost: str) -> None:
    assert restore.left_out(ours, theirs, "spec") == lost
