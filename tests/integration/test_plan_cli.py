"""`cvstate plan` against a real API server, beside a running operator.

Aspects: nothing to do · create, update, recreate, prune, problems · Secrets · what is held, and by what · other refs, paths and directories · it writes nothing ·
rights of the person · what comes with the commit · output for programs and for pull requests.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from cvstate_operator import errors
from cvstate_operator.api.names import REJECTED
from tests.cluster import builds, programs
from tests.support import accounts, commands
from tests.support.api import CLUSTER_STATES
from tests.support.objects import config_map, definition, deployment, manifest, text
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
    cache = {"XDG_CACHE_HOME": str(world.operator.log.parent / "cli")}
    return commands.run(world, "plan", name, "-n", world.name, *options, user=user, columns=200, environment=cache)


def actions(found: dict[str, Any]) -> dict[str, str]:
    return {change["object"]: change["action"] for change in found["changes"]}


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
    assert not [request for request in shop.cluster.audit.requests(mark) if request.is_dry_run]
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
    assert fields == {("cm", "/data/k"): ("v", "new"), ("d", "/spec/replicas"): (2, 3), ("s", "/data/password"): ("***", "***")}
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


# -- what would become of an object ------------------------------------------------------------------------------------


def test_what_cannot_be_changed_is_a_problem_or_made_anew_as_the_spec_says(shop: World):
    on_branch(shop, {"a.yaml": shop.repository.git("show", "main:apps/a.yaml").replace("app: d", "app: other")})
    code, found = plan(shop, "--branch", "feature")
    assert (code, [p["reason"] for p in found["problems"]]) == (1, ["Immutable"])
    shop.declare(apply={"recreate": "Approve"})
    code, found = plan(shop, "--branch", "feature")
    (change,) = found["changes"]
    assert (code, change["action"], change["object"]) == (1, "recreate", f"apps/Deployment/{shop.name}/d")
    assert "approval" in change["held"]
    assert {"/spec/selector/matchLabels/app"} <= {f["path"] for f in change["fields"]}
    assert "Invalid value" not in change["note"]
    shop.declare(apply={"recreate": "IfImmutable"})
    (change,) = plan(shop, "--branch", "feature")[1]["changes"]
    assert "held" not in change


def test_too_large_a_prune_would_wait_and_what_is_protected_stays(shop: World):
    claim = manifest(
        "PersistentVolumeClaim", "data", spec={"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    )
    commit = shop.commit({"many.yaml": text(claim, *(config_map(f"c{i}", k="v") for i in range(5)))})
    shop.wait_applied(commit)
    on_branch(shop, {"many.yaml": None})
    code, found = plan(shop, "--branch", "feature")
    pruned = [change for change in found["changes"] if change["action"] == "prune"]
    assert (code, len(pruned)) == (1, 5)
    assert all("would wait for approval" in change["held"] and "maxPercent" in change["held"] for change in pruned)
    assert [kept["object"] for kept in found["kept"]] == [f"PersistentVolumeClaim/{shop.name}/data"]
    assert found["counts"]["held"] == 5
    # The reason is told once.
    assert shown(shop, "--branch", "feature")[1].count("maxPercent (") == 1


def test_an_object_of_somebody_else_is_a_problem_and_an_unowned_one_is_adopted(shop: World):
    theirs = config_map("theirs", k="v")
    theirs["metadata"]["annotations"] = {"meta.helm.sh/release-name": "other"}
    shop.api.create(shop.path("configmaps"), theirs)
    shop.api.create(shop.path("configmaps"), config_map("nobodys", k="v"))
    shop.api.create(shop.path("configmaps"), config_map("clash", k="theirs"))
    on_branch(shop, {"b.yaml": text(config_map("theirs", k="w"), config_map("nobodys", k="v", more="x"), config_map("clash", k="ours"))})
    _, found = plan(shop, "--branch", "feature")
    reasons = {problem["object"].split("/")[-1]: problem["reason"] for problem in found["problems"]}
    assert reasons == {"theirs": "OwnerConflict", "clash": "FieldConflict"}
    (change,) = [change for change in found["changes"] if change["object"].endswith("nobodys")]
    assert (change["action"], [field["path"] for field in change["fields"]]) == ("update", ["/data/more"])
    assert "adopted" in change["note"]


@pytest.mark.parametrize(
    ("conflicts", "is_taken", "problems"), [("Force", True, []), ("Abort", False, ["FieldConflict"]), ("Yield", False, [])]
)
def test_fields_that_others_hold_go_the_way_of_the_spec(shop: World, conflicts: str, is_taken: bool, problems: list[str]):
    # Suspended, or the operator would take the field back.
    shop.declare(apply={"conflicts": conflicts}, suspend=True)
    until("it is seen", lambda: shop.state()["status"]["observedGeneration"] == shop.state()["metadata"]["generation"])
    shop.api.merge(shop.path("configmaps", "cm"), {"data": {"k": "theirs"}}, manager="rival")
    on_branch(shop, {"a.yaml": shop.repository.git("show", "main:apps/a.yaml").replace("k: v", "k: new")})
    _, found = plan(shop, "--branch", "feature")
    assert ("/data/k" in [field["path"] for change in found["changes"] for field in change["fields"]]) is is_taken
    assert [problem["reason"] for problem in found["problems"]] == problems


def test_young_drift_is_left_as_it_is_by_an_update_too(shop: World):
    shop.declare(drift={"transientFor": "1h"})
    until("it is seen", lambda: shop.state()["status"]["observedGeneration"] == shop.state()["metadata"]["generation"])
    shop.api.merge(shop.path("configmaps", "cm"), {"data": {"k": "theirs"}}, manager="rival")
    on_branch(shop, {"a.yaml": shop.repository.git("show", "main:apps/a.yaml").replace("k: v", "k: new")})
    (change,) = plan(shop, "--branch", "feature")[1]["changes"]
    assert [field["path"] for field in change["fields"]] == []
    assert "left as they are by spec.drift: /data/k" in change["note"]


def test_what_comes_with_the_commit_needs_no_cluster_that_has_it(shop: World):
    group = f"{shop.name}.example.com"
    objects = (
        manifest("Namespace", f"{shop.name}-new"),
        config_map("in-new", k="v"),
        definition(group, "Widget"),
        manifest("Widget", "w", api_version=f"{group}/v1", spec={"size": 1}),
    )
    objects[1]["metadata"]["namespace"] = f"{shop.name}-new"
    on_branch(shop, {"new.yaml": text(*objects)})
    _, found = plan(shop, "--branch", "feature")
    assert found["problems"] == []
    assert set(actions(found).values()) == {"create"}
    notes = {change["object"].split("/")[-1]: change.get("note", "") for change in found["changes"]}
    assert "namespace comes with this commit" in notes["in-new"]
    assert "kind comes with this commit" in notes["w"]


def test_what_git_cannot_mean_is_a_problem_with_its_place(shop: World):
    on_branch(
        shop, {"bad.yaml": "kind: Foo\napiVersion: v9\nmetadata: {name: x}\n---\n" + text(manifest("Service", "s", spec={"ports": 3}))}
    )
    code, found = plan(shop, "--branch", "feature")
    assert code == 1
    assert [(p["file"], p["document"], p["reason"]) for p in found["problems"]] == [
        ("apps/bad.yaml", 1, "KindUnknown"),
        ("apps/bad.yaml", 2, "Invalid"),
    ]


# -- what holds it ------------------------------------------------------------------------------------------------------


def test_gates_are_told_and_hold_what_they_close(shop: World):
    on_branch(shop, {"a.yaml": shop.repository.git("show", "main:apps/a.yaml").replace("k: v", "k: new")})
    always = {"kind": "Deny", "schedule": "0 0 * * *", "duration": "48h", "actions": ["NewRevision"]}
    shop.declare(windows=[always])
    _, found = plan(shop, "--branch", "feature")
    assert [(gate["reason"], gate["actions"]) for gate in found["gates"]] == [("WindowClosed", ["NewRevision"])]
    assert all("closed" in change["held"] for change in found["changes"])
    shop.declare(windows=[always], suspend=True)
    _, found = plan(shop, "--branch", "feature")
    assert [gate["reason"] for gate in found["gates"]] == ["Suspended"]
    output = shown(shop, "--branch", "feature")[1]
    assert output.count("spec.suspend") == 1


def test_drift_that_is_repaired_is_told_with_its_writer(shop: World):
    shop.declare(suspend=True)
    until("it is seen", lambda: shop.state()["status"]["observedGeneration"] == shop.state()["metadata"]["generation"])
    shop.api.merge(shop.path("configmaps", "cm"), {"data": {"k": "HACKED"}}, manager="kubectl-edit")
    _, found = plan(shop)
    (change,) = found["changes"]
    assert change["action"] == "repair"
    assert [(f["path"], f["before"], f["after"], f["manager"]) for f in change["fields"]] == [("/data/k", "HACKED", "v", "kubectl-edit")]


def test_extra_fields_that_would_be_taken_away_are_told(shop: World):
    shop.declare(drift={"extraFields": "Remove"}, suspend=True)
    until("it is seen", lambda: shop.state()["status"]["observedGeneration"] == shop.state()["metadata"]["generation"])
    shop.api.merge(shop.path("configmaps", "cm"), {"data": {"foreign": "x"}}, manager="kubectl-edit")
    (change,) = plan(shop)[1]["changes"]
    assert [(field["path"], field["before"], field.get("after")) for field in change["fields"]] == [("/data/foreign", "x", None)]
    assert "spec.suspend" in change["held"]


def test_an_object_that_vanished_is_put_back(shop: World):
    shop.declare(suspend=True)
    until("it is seen", lambda: shop.state()["status"]["observedGeneration"] == shop.state()["metadata"]["generation"])
    shop.api.delete(shop.path("configmaps", "cm"))
    (change,) = plan(shop)[1]["changes"]
    assert (change["action"], change["object"]) == ("repair", f"ConfigMap/{shop.name}/cm")
    assert "spec.suspend" in change["held"]
    assert "is gone" in shown(shop)[1]


def test_ignored_fields_are_no_change(shop: World):
    shop.declare(drift={"ignore": [{"paths": ["/spec/replicas"]}]})
    on_branch(shop, {"a.yaml": shop.repository.git("show", "main:apps/a.yaml").replace("replicas: 2", "replicas: 5")})
    _, found = plan(shop, "--branch", "feature")
    assert [field["path"] for change in found["changes"] for field in change["fields"]] == []


# -- refs, directories, rights --------------------------------------------------------------------------------------------


def test_tags_and_commits_and_paths_can_be_asked_for(shop: World):
    commit = on_branch(shop, {"a.yaml": text(config_map("cm", k="tagged"))})
    shop.repository.git("tag", "v1.2.3", commit)
    shop.repository.commit({"other/x.yaml": text(config_map("x", k="v"))})
    for options in (("--tag", "v1.2.3"), ("--semver", "^1.0"), ("--commit", commit)):
        _, found = plan(shop, *options)
        assert commit in found["revision"]
        assert actions(found)[f"ConfigMap/{shop.name}/cm"] == "update"
    _, found = plan(shop, "--path", "other")
    assert actions(found)[f"ConfigMap/{shop.name}/x"] == "create"
    with pytest.raises(errors.RefNotFoundError):
        plan(shop, "--branch", "nope")


def test_a_directory_stands_in_for_git(shop: World, tmp_path: Path):
    apps = tmp_path / "checkout" / "apps"
    apps.mkdir(parents=True)
    (tmp_path / "checkout" / ".git").mkdir()
    (tmp_path / "checkout" / ".git" / "config").write_text("not YAML: [")
    for name in ("a.yaml", "old.yaml"):
        (apps / name).write_text(shop.repository.git("show", f"main:apps/{name}"))
    code, found = plan(shop, "--file", str(tmp_path / "checkout"))
    assert (code, found["changes"], found["objects"]) == (0, [], 4)
    (apps / "a.yaml").write_text((apps / "a.yaml").read_text().replace("k: v", "k: local"))
    code, found = plan(shop, "--file", str(tmp_path / "checkout"))
    assert (code, actions(found)) == (1, {f"ConfigMap/{shop.name}/cm": "update"})
    assert found["revision"].startswith("local:")


def test_a_kustomization_of_a_directory_reaches_its_bases(shop: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CVSTATE_TOOLS", os.pathsep.join(str(path.parent) for path in builds.ensure(programs.RENDERERS).values()))
    for name, content in {
        "apps/kustomization.yaml": "resources: [../base]\nnamePrefix: my-\n",
        "base/kustomization.yaml": "resources: [cm.yaml]\n",
        "base/cm.yaml": text(config_map("based", k="v")),
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    _, found = plan(shop, "--file", str(tmp_path))
    assert actions(found)[f"ConfigMap/{shop.name}/my-based"] == "create"


def test_a_secret_that_the_person_may_not_read_is_said_plainly(shop: World, tmp_path: Path):
    shop.api.create(shop.path("secrets"), manifest("Secret", "vars", stringData={"a": "b"}))
    shop.declare(render={"substituteFrom": [{"kind": "Secret", "name": "vars"}]})
    user = accounts.kubeconfig(shop, accounts.token(shop, "reader"), tmp_path / "user")
    accounts.grant(shop, "reader", [{"apiGroups": ["cvstate.io"], "resources": ["clusterstates"], "verbs": ["get"]}])
    with pytest.raises(errors.ForbiddenError, match=f"your user may not read Secret {shop.name}/vars"):
        plan(shop, user=user)


def test_with_few_rights_a_plan_says_what_it_cannot_see(shop: World, tmp_path: Path):
    user = accounts.kubeconfig(shop, accounts.token(shop, "writer"), tmp_path / "user")
    rules = [
        {"apiGroups": ["cvstate.io"], "resources": ["clusterstates"], "verbs": ["get"]},
        {"apiGroups": ["", "apps"], "resources": ["configmaps", "deployments"], "verbs": ["get", "patch", "create"]},
    ]
    accounts.grant(shop, "writer", rules)
    on_branch(shop, {"a.yaml": shop.repository.git("show", "main:apps/a.yaml").replace("k: v", "k: new")})
    _, found = plan(shop, "--branch", "feature", user=user)
    assert actions(found) == {f"ConfigMap/{shop.name}/cm": "update"}
    (problem,) = found["problems"]
    assert (problem["object"], problem["reason"]) == (f"Secret/{shop.name}/s", "Forbidden")
    assert "your user may not read it" in problem["message"]
    assert any("may not list" in warning for warning in found["warnings"])


# -- output ----------------------------------------------------------------------------------------------------------------


def test_markdown_is_a_table_with_details_and_tells_no_secret(shop: World):
    secret = manifest("Secret", "s", stringData={"password": "battery staple"})
    on_branch(shop, {"a.yaml": text(config_map("cm", k="a | b\n```\n<b>@all"), deployment("d", replicas=3), secret)})
    code, output = shown(shop, "--branch", "feature", "-o", "markdown")
    assert code == 1
    assert f"| update | `apps/Deployment/{shop.name}/d` | 1 | `apps/a.yaml` |" in output
    assert "<details><summary>update" in output
    assert "- 2\n+ 3" in output
    assert "battery" not in output
    # The value's own backticks do not end the block.
    assert "````diff" in output


def test_a_rejected_commit_is_told_as_such(shop: World):
    commit = on_branch(shop, {"a.yaml": text(config_map("cm", k="bad"))})
    shop.api.merge(f"{CLUSTER_STATES.format(shop.name)}/state", {"metadata": {"annotations": {REJECTED: commit}}})
    _, found = plan(shop, "--branch", "feature")
    assert any("rejected" in warning for warning in found["warnings"])
