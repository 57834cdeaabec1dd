"""`cvstate backup` and `cvstate restore` between two clusters.

Aspects: into an empty cluster: what was quarantined stays so, also under a running operator, and nothing foreign is touched · into the cluster it came from: nothing is
written again · an EmergencyStop and a suspension stay · Secrets stay where they are, and are named · what lacks a namespace · a restore that is killed · nothing by a
dry run · rights.
"""

import base64
import copy
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cvstate_operator import errors
from cvstate_operator.api import names, restoring
from tests.cluster.control_plane import Cluster
from tests.conftest import install_crd, remove_clusterstates
from tests.integration.test_rollback import healthy, image, web
from tests.integration.test_waves import roll_out
from tests.support import accounts, commands
from tests.support.api import CLUSTER_STATES, Api, Json
from tests.support.objects import config_map, manifest, text
from tests.support.operator import Operator
from tests.support.waiting import never, until
from tests.support.world import World

pytestmark = pytest.mark.integration

STOPS = "/apis/cvstate.io/v1alpha1/emergencystops"
Elsewhere = Callable[[World], World]


@pytest.fixture(scope="module")
def empty() -> Iterator[Cluster]:
    """A cluster in which nothing of ours is, but the CRDs."""
    with Cluster.start(quiet=True) as running:
        install_crd(Api(running.admin_kubeconfig))
        yield running


@pytest.fixture
def elsewhere(empty: Cluster, tmp_path: Path) -> Iterator[Elsewhere]:
    """The same corner of the empty cluster, with an operator of its own that the test starts."""
    begun: list[Operator] = []

    def make(world: World) -> World:
        found = copy.copy(world)
        found.cluster, found.api = empty, Api(empty.admin_kubeconfig)
        found.operator = Operator(empty.operator_kubeconfig, tmp_path / "elsewhere")
        found.api.create("/api/v1/namespaces", manifest("Namespace", world.name))
        begun.append(found.operator)
        return found

    yield make
    for operator in begun:
        operator.__exit__()
    api = Api(empty.admin_kubeconfig)
    for stop in api.request("GET", STOPS)[1]["items"]:
        api.delete(f"{STOPS}/{stop['metadata']['name']}")
    remove_clusterstates(api)


def backup(world: World, file: Path, *options: str) -> str:
    """The file that is written."""
    code, _ = commands.run(world, "backup", "-n", world.name, "-o", str(file), *options)
    assert code == 0
    return file.read_text()


def restore(world: World, file: Path, *options: str) -> tuple[int, str]:
    return commands.run(world, "restore", str(file), *options)


@pytest.fixture
def quarantined(own: World) -> tuple[World, str, str]:
    """A world that went back from its newest commit; the good one and the bad one."""
    own.operator.start()
    good = healthy(own, rollback={"onUnhealthyFor": "2s"})
    bad = own.commit({"a.yaml": web("bad:1")})
    until("the bad one is applied", lambda: image(own) == "bad:1")
    own.wait_failed("RolledBack", mentions=bad)
    return own, good, bad


# -- into an empty cluster -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("runs_before", [True, False], ids=["operator-runs", "operator-comes-later"])
def test_what_was_quarantined_stays_so_in_an_empty_cluster(
    quarantined: tuple[World, str, str], elsewhere: Elsewhere, tmp_path: Path, runs_before: bool
):
    world, good, bad = quarantined
    history = world.state()["status"]["history"]
    backup(world, tmp_path / "b.yaml")
    there = elsewhere(world)
    there.api.create(there.path("configmaps"), config_map("foreign", k="v"))
    if runs_before:
        there.operator.start()
    code, output = restore(there, tmp_path / "b.yaml")
    assert (code, output.splitlines()[0]) == (0, "Restored: 1 ClusterState.")
    if not runs_before:
        there.operator.start()
    until("the good one is made", lambda: there.api.get(there.path("deployments", "web", group="apps/v1")))
    assert image(there) == "good:1"
    roll_out(there, "web")
    ready = there.wait_failed("RolledBack", mentions=bad)
    assert good in ready["message"]
    there.request()
    never("the bad one comes", lambda: image(there) == "bad:1", seconds=2)
    status = there.state()["status"]
    assert bad in status["quarantined"][0]["revision"]
    older = [(entry["revision"], entry["outcome"]) for entry in history[1:]]
    assert [(entry["revision"], entry["outcome"]) for entry in status["history"]][-len(older) :] == older
    assert good in status["lastGoodRevision"]
    assert not there.state()["spec"].get("suspend")
    assert names.GROUP + "/restoring" not in there.state()["metadata"].get("annotations", {})
    assert there.api.get(there.path("configmaps", "foreign")) is not None
    writes = there.writes(0)
    assert not [write for write in writes if write.startswith("delete") and there.name in write]

    better = there.commit({"a.yaml": web("better:1")})
    until("the next commit is taken", lambda: image(there) == "better:1")
    assert better


def test_what_waited_for_its_drift_rule_is_made_at_once_where_it_never_was(own: World, elsewhere: Elsewhere, tmp_path: Path):
    """A status that told of objects would make all that an empty cluster lacks look like deleted by hand, and wait for approval here."""
    own.operator.start()
    commit = own.commit({"a.yaml": text(config_map("a", k="v"))})
    own.declare(drift={"rules": [{"match": {"kinds": ["ConfigMap"]}, "severity": "High", "action": "Approve"}]})
    own.wait_applied(commit)
    backup(own, tmp_path / "b.yaml")
    there = elsewhere(own)
    there.operator.start()
    assert restore(there, tmp_path / "b.yaml")[0] == 0
    there.wait_applied(commit)
    assert there.api.get(there.path("configmaps", "a"))["data"] == {"k": "v"}


def test_what_stood_still_stands_still(own: World, elsewhere: Elsewhere, tmp_path: Path):
    own.operator.start()
    own.commit({"a.yaml": text(config_map("a", k="v"))})
    own.declare("moving")
    own.declare("resting", suspend=True)
    own.wait_ready("moving")
    own.api.create(
        STOPS, {"apiVersion": names.API_VERSION, "kind": "EmergencyStop", "metadata": {"name": "stop"}, "spec": {"reason": "INC-42"}}
    )
    try:
        assert commands.run(own, "backup", "-o", str(tmp_path / "b.yaml"))[0] == 0
    finally:
        own.api.delete(f"{STOPS}/stop")
    there = elsewhere(own)
    there.operator.start()
    assert restore(there, tmp_path / "b.yaml", "-n", own.name)[0] == 0, "EmergencyStops are in no namespace"
    until("what moved moves", lambda: there.api.get(there.path("configmaps", "a")))
    assert there.state("resting")["spec"]["suspend"] is True

    there.api.delete(f"{CLUSTER_STATES.format(there.name)}/moving")
    there.api.delete(there.path("configmaps", "a"))
    code, output = restore(there, tmp_path / "b.yaml")
    assert (code, *output.splitlines()[:2]) == (0, "Restored: 1 EmergencyStop, 1 ClusterState.", "Restored before: 1 ClusterState.")
    there.wait_failed("EmergencyStop", "moving", mentions="INC-42")
    assert there.api.get(there.path("configmaps", "a")) is None


def test_with_suspend_it_is_looked_at_before_anything_is_written(own: World, elsewhere: Elsewhere, tmp_path: Path):
    own.operator.start()
    own.declare()
    commit = own.commit({"a.yaml": text(config_map("a", k="v"))})
    own.wait_applied(commit)
    backup(own, tmp_path / "b.yaml")
    there = elsewhere(own)
    there.operator.start()
    assert restore(there, tmp_path / "b.yaml", "--suspend")[0] == 0
    there.wait_failed("Suspended")
    assert there.api.get(there.path("configmaps", "a")) is None
    assert commands.run(there, "resume", "state", "-n", there.name)[0] == 0
    there.wait_applied(commit)


# -- into the cluster it came from -----------------------------------------------------------------------------------


def test_a_clusterstate_that_was_deleted_by_mistake_takes_its_objects_over_as_they_are(own: World, tmp_path: Path):
    own.operator.start()
    commit = own.commit({"a.yaml": text(config_map("a", k="v"), config_map("b", k="v"))})
    own.declare()
    own.wait_applied(commit)
    backup(own, tmp_path / "b.yaml")
    own.api.delete(f"{CLUSTER_STATES.format(own.name)}/state")
    mark = own.cluster.audit.mark()
    assert restore(own, tmp_path / "b.yaml")[0] == 0
    own.wait_applied(commit)
    own.request()
    assert own.writes(mark) == []
    own.commit({"a.yaml": text(config_map("a", k="v"))})
    until("what leaves Git is pruned as ever", lambda: own.api.get(own.path("configmaps", "b")) is None)


# -- what is in it ---------------------------------------------------------------------------------------------------


def test_no_secret_leaves_the_cluster_and_each_is_named(own: World, tmp_path: Path):
    secret = base64.b64encode(b"hunter2").decode()
    own.api.create(own.path("secrets"), manifest("Secret", "vars", data={"password": secret}))
    own.operator.start()
    own.commit({"a.yaml": text(config_map("a", k="${password}"))})
    own.declare(render={"substituteFrom": [{"kind": "Secret", "name": "vars"}]})
    own.wait_ready()
    content = backup(own, tmp_path / "b.yaml")
    assert "hunter2" not in content
    assert secret not in content
    assert f"# Not in here, and needed: Secret {own.name}/vars" in content.splitlines()


def test_a_dry_run_has_the_api_server_check_everything_and_makes_nothing(own: World, elsewhere: Elsewhere, tmp_path: Path):
    own.declare()
    backup(own, tmp_path / "b.yaml")
    there = elsewhere(own)
    assert restore(there, tmp_path / "b.yaml", "--dry-run") == (0, "Would be restored: 1 ClusterState.\n")
    assert there.api.get(f"{CLUSTER_STATES.format(there.name)}/state") is None
    spoilt = tmp_path / "spoilt.yaml"
    spoilt.write_text((tmp_path / "b.yaml").read_text().replace("interval: 1s", "interval: soon"))
    code, output = restore(there, spoilt, "--dry-run")
    assert code == 2
    assert "interval" in output


def test_what_lacks_its_namespace_is_left_out_and_restored_later(own: World, empty: Cluster, tmp_path: Path):
    own.declare()
    backup(own, tmp_path / "b.yaml")
    code, output = commands.run(own, "restore", str(tmp_path / "b.yaml"), user=empty.admin_kubeconfig)
    assert code == 1
    assert f"there is no namespace {own.name}; create it, and restore again" in output


@pytest.mark.parametrize("made", [1, 4])
def test_a_restore_that_is_killed_is_run_again_and_comes_to_its_end(own: World, elsewhere: Elsewhere, tmp_path: Path, made: int):
    """Whatever the moment, nothing is carried out of what is half-way, and the second run needs no other help."""
    names_of = [f"state{number}" for number in range(6)]
    commit = own.commit({f"{name}/a.yaml": text(config_map(name, k="v")) for name in names_of})
    for name in names_of:
        own.declare(name, git={"path": f"apps/{name}"})
    backup(own, tmp_path / "b.yaml")
    there = elsewhere(own)
    there.operator.start()
    program = "from cvstate_operator.cli.main import main; main()"
    command = [sys.executable, "-c", program, "restore", str(tmp_path / "b.yaml"), "--kubeconfig", str(there.cluster.admin_kubeconfig)]
    everything = CLUSTER_STATES.format(there.name)

    def found() -> list[Json]:
        return there.api.request("GET", everything)[1]["items"]

    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while len(found()) < made and process.poll() is None:
            pass
        process.kill()
    half = [one for one in found() if restoring.is_marked(one)]
    assert half, "it was killed too late to show anything"
    assert all(one["spec"]["suspend"] for one in half)
    code, output = commands.run(there, "status", "-n", there.name)
    assert code == 1
    assert output.count("half restored") == len(half)
    with pytest.raises(errors.SettingsError, match="half restored"):
        commands.run(there, "resume", half[0]["metadata"]["name"], "-n", there.name)
    # Only of what is half-way: a restore that was faster than the kill made the first ones whole, and those are applied.
    waiting = [one["metadata"]["name"] for one in half]
    never("anything is made of it", lambda: [name for name in waiting if there.api.get(there.path("configmaps", name))], seconds=1)
    assert restore(there, tmp_path / "b.yaml")[0] == 0
    for name in names_of:
        there.wait_applied(commit, name)
        assert there.api.get(there.path("configmaps", name))
    assert not any(one["spec"].get("suspend") or restoring.is_marked(one) for one in found())
    assert restore(there, tmp_path / "b.yaml") == (0, "Restored: nothing.\nRestored before: 6 ClusterStates.\n")


def test_a_field_that_an_older_crd_does_not_know_is_not_lost_in_silence(own: World, tmp_path: Path):
    own.declare()
    file = tmp_path / "b.yaml"
    backup(own, file)
    file.write_text(file.read_text().replace("spec:\n", "spec:\n  fieldOfTheFuture: yes\n"))
    own.api.delete(f"{CLUSTER_STATES.format(own.name)}/state")
    with pytest.raises(errors.KindUnknownError, match=r"spec\.fieldOfTheFuture"):
        restore(own, file)
    assert own.api.get(f"{CLUSTER_STATES.format(own.name)}/state") is None


def test_who_may_not_is_told_what_is_lacking(own: World, tmp_path: Path):
    own.declare()
    user = accounts.kubeconfig(own, accounts.token(own, "nobody"), tmp_path / "nobody.kubeconfig")
    with pytest.raises(errors.ForbiddenError, match="may not list clusterstates"):
        commands.run(own, "backup", "-n", own.name, user=user)
