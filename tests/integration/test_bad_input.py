"""Bad input on a real API server: told by file, document, object, field and remedy; the rest of the commit is applied; nothing is lost; it heals.

Aspects: bad files · objects that the API server refuses · bad sources · missing rights · specs that the API server itself refuses.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.support.objects import config_map, deployment, manifest, text
from tests.support.waiting import until
from tests.support.world import World

pytestmark = pytest.mark.integration

BAD = "zz-bad.yaml"


@dataclass(frozen=True)
class Case:
    """One bad file and what has to be said about it."""

    content: str
    reason: str
    mentions: tuple[str, ...]
    field: str = ""


def bomb() -> str:
    levels = "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9))
    return "a: &a [x,x,x,x,x,x,x,x,x]\n" + levels


CASES = {
    "unparsable": Case(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x\n", "YAMLInvalid", ("document 1", "line 3", "correct the syntax")
    ),
    "fifty-thousand-brackets": Case("[" * 50_000, "YAMLTooDeep", ("nested deeper than 100",)),
    "alias-bomb": Case(bomb(), "YAMLAliasLimit", ("write the values out",)),
    "duplicate-key": Case(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata:\n  a: '1'\n  a: '2'\n", "DuplicateKey", ("'a'", "line 5", "line 6")
    ),
    "no-name": Case(
        text({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"labels": {}}}), "BuildFailed", ("add metadata.name",), "metadata.name"
    ),
    "no-kind": Case("hello: world\n", "BuildFailed", ("has no apiVersion",), "apiVersion"),
    "scalar": Case("hello\n", "BuildFailed", ("is a string, not an object",)),
    "label-not-a-string": Case(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, labels: {a: 1}}\n", "BuildFailed", ("put it in quotes",), "metadata.labels.a"
    ),
    "git-lfs-pointer": Case("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "BuildFailed", ("Git LFS pointer",)),
    "twice-in-two-files": Case(text(config_map("good0", k="other")), "DuplicateObject", ("good.yaml document 1", BAD, "keep one")),
    "unknown-kind": Case(
        text(manifest("Nope", "x", api_version="example.io/v9")), "KindUnknown", ("example.io/v9", "CustomResourceDefinition"), "kind"
    ),
    "wrong-field-type": Case(
        text(manifest("Service", "x", spec={"ports": "notalist"})), "Invalid", ("Service/", "expected list"), "spec.ports"
    ),
    "unknown-field": Case(text(manifest("Service", "x", spec={"prots": []})), "Invalid", ("prots",), "spec.prots"),
    "bad-name": Case(text(config_map("Not_A_Name", k="v")), "Invalid", ("Not_A_Name",), "metadata.name"),
    "number-in-data": Case(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {port: 8080}\n", "Invalid", ("quotes",), "data.port"
    ),
    "namespace-not-there": Case(
        text(manifest("ConfigMap", "x", namespace="nowhere-at-all")), "NamespaceMissing", ("nowhere-at-all", "add it to Git")
    ),
    "namespaced-cluster-object": Case(
        text(manifest("ClusterRole", "x", api_version="rbac.authorization.k8s.io/v1", namespace="default")),
        "Invalid",
        ("cluster-scoped",),
        "metadata.namespace",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_bad_file_is_told_and_stops_nothing_else(world: World, case: Case):
    good = {"good.yaml": text(*(config_map(f"good{i}", k="v") for i in range(3)))}
    world.declare()
    world.wait_applied(world.commit({**good, "gone.yaml": text(config_map("gone", k="v"))}))
    world.commit({BAD: case.content, "new.yaml": text(config_map("new", k="v")), "gone.yaml": None})
    condition = world.wait_failed(case.reason, mentions=BAD)
    for words in case.mentions:
        assert words in condition["message"]
    problem = next(p for p in world.state()["status"]["problems"] if p["reason"] == case.reason)
    assert problem["file"] == f"apps/{BAD}"
    assert problem.get("field", "") == case.field
    until("an Event tells it", lambda: any(BAD in note for note in world.events(case.reason)))
    assert any(line.get("reason") == case.reason and BAD in line["message"] for line in world.operator.lines())
    assert world.api.get(world.path("configmaps", "new")) is not None, "the rest is applied"
    assert world.api.get(world.path("configmaps", "good0")) is not None, "nothing is lost"
    assert world.api.get(world.path("configmaps", "gone")) is not None, "nothing is pruned by a commit that is not understood"

    world.wait_applied(world.commit({BAD: None}))
    assert world.api.get(world.path("configmaps", "gone")) is None, "what left Git goes once everything is understood"


def test_an_immutable_field_is_told_with_its_remedy(world: World):
    world.declare()
    world.wait_applied(world.commit({"a.yaml": text(deployment("d"))}))
    other = deployment("d")
    other["spec"]["selector"]["matchLabels"] = other["spec"]["template"]["metadata"]["labels"] = {"app": "other"}
    world.commit({"a.yaml": text(other)})
    condition = world.wait_failed("Immutable", mentions="set the old value in Git, or let the object be made anew")
    assert "spec.selector" in condition["message"]


def add_link(world: World) -> None:
    (world.repository.directory / "apps" / "link.yaml").symlink_to("/etc/passwd")


def add_submodule(world: World) -> None:
    commit = world.repository.git("rev-parse", "HEAD").strip()
    world.repository.git("update-index", "--add", "--cacheinfo", f"160000,{commit},apps/vendored")


@pytest.mark.parametrize(
    ("add", "reason", "says"),
    [(add_link, "SymlinkEscapes", "symbolic link"), (add_submodule, "BuildFailed", "submodule")],
    ids=["symlink", "submodule"],
)
def test_links_and_submodules_are_refused_by_name(world: World, add: Callable[[World], None], reason: str, says: str):
    world.declare()
    world.wait_applied(world.commit({"a.yaml": text(config_map("a", k="v"))}))
    add(world)
    world.repository.git(*(("add", "-A") if add is add_link else ("status",)))
    world.repository.git("commit", "-q", "-m", "odd")
    world.wait_failed(reason, mentions=says)
    assert world.api.get(world.path("configmaps", "a")) is not None


@pytest.mark.parametrize(
    ("source", "reason", "mentions"),
    [
        pytest.param({"url": "http://127.0.0.1:9/none"}, "FetchFailed", "Connection refused", id="unreachable"),
        pytest.param({"url": "http://127.0.0.1:{port}/none"}, "FetchFailed", "there is no repository", id="no-repository"),
        pytest.param({"ref": {"branch": "nope"}}, "RefNotFound", "branch nope is not in", id="missing-branch"),
        pytest.param({"ref": {"tag": "v9"}}, "RefNotFound", "tag v9 is not in", id="missing-tag"),
        pytest.param({"ref": {"commit": "0" * 40}}, "RefNotFound", "0" * 40, id="missing-commit"),
        pytest.param({"path": "no/such"}, "PathNotFound", "correct spec.source.git.path", id="missing-path"),
        pytest.param({"path": "apps/a.yaml"}, "PathNotFound", "is no directory", id="path-is-a-file"),
        pytest.param({"url": "file:///etc"}, "URLNotAllowed", "--allow-file-urls", id="file-url"),
        pytest.param({"path": "empty"}, "EmptyRender", "declares no objects", id="empty-path"),
    ],
)
def test_a_bad_source_is_told_and_leaves_the_cluster_as_it_is(world: World, source, reason: str, mentions: str):
    world.repository.commit({"empty/README": "nothing here", "apps/a.yaml": text(config_map("a", k="v"))})
    commit = world.repository.git("rev-parse", "HEAD").strip()
    world.declare()
    world.wait_applied(commit)
    mark = world.cluster.audit.mark()
    bad = {key: value.format(port=world.git.port) if isinstance(value, str) else value for key, value in source.items()}
    world.declare(git=bad)
    world.wait_failed(reason, mentions=mentions)
    if reason != "EmptyRender":
        world.wait_failed(reason, mentions=mentions, kind="SourceReady")
    until("an Event tells it", lambda: any(mentions in note for note in world.events(reason)))
    assert world.writes(mark) == []
    world.declare()
    world.wait_applied(commit)
    assert world.writes(mark) == []


SPECS = {
    "password-in-url": ({"url": "https://user:secret@git.example/x"}, "spec.source.git.url"),
    "path-out-of-the-repository": ({"url": "https://git.example/x", "path": "a/../../etc"}, "path must stay inside the repository"),
    "absolute-path": ({"url": "https://git.example/x", "path": "/etc"}, "spec.source.git.path"),
    "year-interval": ({"url": "https://git.example/x", "interval": "1y"}, "spec.source.git.interval"),
    "range-as-branch": ({"url": "https://git.example/x", "ref": {"branch": "main..dev"}}, "valid Git names"),
    "option-as-branch": ({"url": "https://git.example/x", "ref": {"branch": "-x"}}, "spec.source.git.ref.branch"),
    "short-commit": ({"url": "https://git.example/x", "ref": {"commit": "abc"}}, "spec.source.git.ref.commit"),
    "ext-transport": ({"url": "ext::sh -c id"}, "spec.source.git.url"),
    "no-url": ({}, "spec.source.git.url"),
}


@pytest.mark.parametrize(("source", "named"), SPECS.values(), ids=SPECS.keys())
def test_the_api_server_itself_refuses_a_spec_that_cannot_work(world: World, source, named: str):
    body = manifest("ClusterState", "bad", api_version="cvstate.io/v1alpha1", spec={"source": {"git": source}})
    code, answer = world.api.request("POST", f"/apis/cvstate.io/v1alpha1/namespaces/{world.name}/clusterstates", body)
    assert code == 422
    assert named in answer["message"]
