"""`cvstate plan` against a real API server, beside a running operator.

Aspects: nothing to do · create, update, recreate, prune, problems · Secrets · what is held, and by what · other refs, paths and directories · it writes nothing ·
rights of the person · what comes with the commit · output for programs and for pull requests.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cvstate_operator import errors
from cvstate_operator.cli.main import app
from tests.support import accounts
from tests.support.objects import config_map, deployment, manifest, text
from tests.support.waiting import until
from tests.support.world import World

pytestmark = pytest.mark.integration


def plan(world: World, *options: str, name: str = "state", user: Path | None = None) -> tuple[int, dict[str, Any]]:
    """Exit code and JSON of the command.

    Raises:
        CvstateError: the error that ends the program with 2.
    """
    code, output = shown(world, "-o", "json", *options, name=name, user=user)
    return code, json.loads(output)


def shown(world: World, *options: str, name: str = "state", user: Path | None = None) -> tuple[int, str]:
    kubeconfig = str(user or world.cluster.admin_kubeconfig)
    arguments = ["plan", name, "-n", world.name, "--kubeconfig", kubeconfig, *options]
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, arguments)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def actions(found: dict[str, Any]) -> dict[str, str]:
    return {change["object"]: change["action"] for change in found["changes"]}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def shop(world: World) -> World:
    """Applied: two ConfigMaps, a Deployment and a Secret."""
    secret = manifest("Secret", "s", stringData={"password": "correct horse"})
    world.commit({"a.yaml": text(config_map("cm", k="v"), deployment("d", replicas=2), secret), "old.yaml": text(config_map("old", k="v"))})
    world.declare()
    world.wait_applied(world.repository.git("rev-parse", "HEAD").strip())
    return world


def on_branch(world: World, files: dict[str, str | None], branch: str = "feature") -> str:
    """Commit to another branch; main stays."""
    git = world.repository.git
    git("checkout", "-q", "-B", branch, "main")
    commit = world.repository.commit({f"apps/{name}": content for name, content in files.items()})
    git("checkout", "-q", "main")
    return commit


def test_a_cluster_that_is_as_declared_needs_nothing_and_is_asked_no_dry_run(shop: World):
    mark = shop.cluster.audit.mark()
    code, found = plan(shop)
    assert (code, found["changes"], found["problems"], found["objects"]) == (0, [], [], 4)
    assert not [r for r in shop.cluster.audit.requests(mark) if "dryRun" in getattr(r, "uri", "")]
    assert "Nothing to do" in shown(shop)[1]


def test_a_branch_is_compared_object_by_object_and_field_by_field(shop: World):
    secret = manifest("Secret", "s", stringData={"password": "battery staple"})
    files = {"a.yaml": text(config_map("cm", k="new"), deployment("d", replicas=3), secret, config_map("more", a="b")), "old.yaml": None}
    on_branch(shop, files)
    code, found = plan(shop, "--branch", "feature")
    assert code == 1
    assert actions(found) == {
        f"ConfigMap/{shop.name}/cm": "update",
        f"ConfigMap/{shop.name}/more": "create",
        f"ConfigMap/{shop.name}/old": "prune",
        f"Secret/{shop.name}/s": "update",
        f"apps/Deployment/{shop.name}/d": "update",
    }
    fields = {(c["object"].split("/")[-1], f["shown"]): (f.get("before"), f.get("after")) for c in found["changes"] for f in c["fields"]}
    assert fields == {("cm", "/data/k"): ("v", "new"), ("d", "/spec/replicas"): ("2", "3"), ("s", "/data/password"): ("***", "***")}
    output = shown(shop, "--branch", "feature")[1]
    assert "battery" not in output
    assert "/spec/replicas" in output


def test_a_plan_writes_nothing(shop: World):
    on_branch(shop, {"a.yaml": text(config_map("cm", k="new"), config_map("more", a="b"))})
    until("the operator is at rest", lambda: shop.condition()["status"] == "True")
    mark = shop.cluster.audit.mark()
    before = shop.api.get(shop.path("configmaps", "cm"))["metadata"]["resourceVersion"]
    plan(shop, "--branch", "feature")
    assert shop.api.get(shop.path("configmaps", "cm"))["metadata"]["resourceVersion"] == before
    assert shop.api.get(shop.path("configmaps", "more")) is None
    assert shop.writes(mark) == []
