"""What the render child makes of a commit, in this process, on real Git trees.

Aspects: which kind of source · plain files, each parsed once · what changed since an earlier render · a damaged store or repository · the same commit gives
the same answer · kustomize and Helm: all or nothing.
"""

import posixpath
from pathlib import Path
from typing import Any

import pygit2
import pytest

from cvstate_operator import errors
from cvstate_operator.render import build, parse
from cvstate_operator.render.store import Store
from tests.unit.render.trees import Tree, link, write

OPTIONS: dict[str, Any] = {"variables": None, "strict": True, "commonLabels": {}, "targetNamespace": ""}


def config_map(name: str, data: str = "x") -> str:
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{a: {data}}}\n"


class Builds:
    """Calls the child's task, and counts what it parses."""

    def __init__(self, directory: Path) -> None:
        self.repository = pygit2.init_repository(str(directory / "r.git"), bare=True)
        self.store = directory / "rendered" / "v"
        self.parsed: list[bytes] = []

    def parse(self, text: bytes, options: parse.Options, **more: Any) -> tuple[dict[str, Any], bytes]:
        self.parsed.append(text)
        return parse.parse(text, options, **more)

    def request(self, tree: Tree, *, path: str = ".", **more: Any) -> dict[str, Any]:
        root = write(self.repository, tree)
        below = posixpath.normpath(path)
        return {
            "repository": self.repository.path,
            "tree": str(root.id),
            "directory": str(root[below].id if below != "." else root.id),
            "path": path,
            "previous": "",
            "type": "Auto",
            "include": [],
            "exclude": [],
            "options": OPTIONS,
            "store": str(self.store),
            "helm": {},
            "tools": {},
            "memory": 2**30,
            "room": 2**30,
            **more,
        }

    def run(self, tree: Tree, **more: Any) -> dict[str, Any]:
        self.parsed.clear()
        return build.handle(self.request(tree, **more))

    def after(self, before: Tree, tree: Tree, **more: Any) -> dict[str, Any]:
        """Run once more, with an earlier tree to compare with."""
        return self.run(tree, previous=str(write(self.repository, before).id), **more)


@pytest.fixture
def builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Builds:
    builds = Builds(tmp_path)
    monkeypatch.setattr("cvstate_operator.render.shares.parse", builds.parse)
    monkeypatch.setenv("HOME", str(tmp_path))
    return builds


def names(answer: dict[str, Any]) -> dict[str, list[str]]:
    """Objects by path."""
    return {path: [row[3] for row in answer["indexes"][key]["objects"]] for path, key in answer["changed"].items()}


# -- kinds -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["kustomization.yaml", "kustomization.yml", "Kustomization"])
def test_a_kustomization_is_recognised_by_its_file(builds: Builds, name: str) -> None:
    with pytest.raises(errors.ToolMissingError, match="kustomize"):
        builds.run({name: "resources: []", "Chart.yaml": ""})


def test_a_chart_is_recognised_by_its_file(builds: Builds) -> None:
    with pytest.raises(errors.ToolMissingError, match="helm"):
        builds.run({"Chart.yaml": "name: a\nversion: 1.0.0\napiVersion: v2"})


@pytest.mark.parametrize("tree", [{"a.yaml": config_map("a")}, {"below": {"kustomization.yaml": "", "Chart.yaml": ""}}, {}])
def test_everything_else_is_plain(builds: Builds, tree: Tree) -> None:
    answer = builds.run(tree)
    assert (answer["type"], answer["tool"], answer["warnings"]) == ("Plain", "", [])


def test_a_type_that_is_demanded_is_not_guessed(builds: Builds) -> None:
    tree: Tree = {"kustomization.yaml": "", "Chart.yaml": ""}
    assert builds.run(tree, type="Plain")["type"] == "Plain"
    with pytest.raises(errors.ToolMissingError, match="helm"):
        builds.run(tree, type="Helm")


def test_only_the_path_decides(builds: Builds) -> None:
    tree: Tree = {"kustomization.yaml": "", "apps": {"a.yaml": config_map("a")}}
    assert names(builds.run(tree, path="apps")) == {"apps/a.yaml": ["a"]}


# -- plain files -------------------------------------------------------------------------------------------------------


def test_every_file_is_told_with_its_objects(builds: Builds) -> None:
    answer = builds.run({"a.yaml": config_map("a") + "---\n" + config_map("b"), "d": {"c.json": '{"kind": "x"}'}, "README.md": ""})
    assert names(answer) == {"a.yaml": ["a", "b"], "d/c.json": []}
    assert [row[2] for row in answer["indexes"][answer["changed"]["d/c.json"]]["problems"]] == ["BuildFailed"]
    assert (answer["complete"], answer["comparable"], answer["gone"], answer["refused"]) == (True, True, [], {})


@pytest.mark.parametrize("path", ["apps", "apps/", "./apps", "./apps/"])
def test_a_path_may_be_spelled_as_one_likes(builds: Builds, path: str) -> None:
    assert names(builds.run({"apps": {"a.yaml": config_map("a")}}, path=path)) == {"apps/a.yaml": ["a"]}


def test_globs_choose_files(builds: Builds) -> None:
    tree: Tree = {"a.yaml": config_map("a"), "b.yaml": config_map("b"), "d": {"c.yaml": config_map("c")}}
    assert names(builds.run(tree, include=["*.yaml"], exclude=["d/*", "b.*"])) == {"a.yaml": ["a"]}


def test_a_bad_file_harms_no_other(builds: Builds) -> None:
    tree: Tree = {
        "a.yaml": config_map("a"),
        "bad.yaml": "a: [",
        "lfs.yaml": "version https://git-lfs.github.com/spec/v1\n",
        "module": (0o160000, b""),
    }
    answer = builds.run(tree)
    assert names(answer) == {"a.yaml": ["a"], "bad.yaml": [], "lfs.yaml": []}
    problems = {path: [row[2] for row in answer["indexes"][key]["problems"]] for path, key in answer["changed"].items()}
    assert problems == {"a.yaml": [], "bad.yaml": ["YAMLInvalid"], "lfs.yaml": ["BuildFailed"]}
    assert answer["refused"].keys() == {"module"}


def test_equal_files_are_parsed_once(builds: Builds) -> None:
    answer = builds.run({f"{n}.yaml": config_map("a") for n in range(5)})
    assert len(builds.parsed) == len(answer["indexes"]) == 1
    assert len(answer["changed"]) == 5


def test_another_recipe_is_another_content(builds: Builds) -> None:
    tree: Tree = {"a.yaml": config_map("a", "${v}")}
    plain = builds.run(tree)
    for value in ("1", "2"):
        filled = builds.run(tree, options={**OPTIONS, "variables": {"v": value}})
        assert len(builds.parsed) == 1
        assert filled["changed"] != plain["changed"]
    builds.run(tree)
    assert builds.parsed == []


def test_a_commit_without_files_is_told_as_such(builds: Builds) -> None:
    answer = builds.run({"README.md": ""})
    assert (answer["changed"], answer["complete"]) == ({}, True)
    assert not builds.store.exists()


# -- what changed ------------------------------------------------------------------------------------------------------

BEFORE: Tree = {"a.yaml": config_map("a"), "b.yaml": config_map("b"), "d": {"c.yaml": config_map("c")}}


def test_only_changed_files_are_parsed_and_told(builds: Builds) -> None:
    builds.run(BEFORE)
    now: Tree = {**BEFORE, "a.yaml": config_map("A"), "n.yaml": config_map("new"), "d": {}}
    answer = builds.after(BEFORE, now)
    assert names(answer) == {"a.yaml": ["A"], "n.yaml": ["new"]}
    assert (sorted(answer["gone"]), answer["complete"]) == (["a.yaml", "d/c.yaml"], False)
    assert len(builds.parsed) == 2


def test_a_moved_file_is_not_parsed_again(builds: Builds) -> None:
    builds.run(BEFORE)
    builds.run({"a.yaml": config_map("a")})
    answer = builds.after(BEFORE, {"moved": BEFORE})
    assert len(answer["changed"]) == 3
    assert len(builds.parsed) <= 2  # of few files, only those that came alone are looked for


def test_after_a_restart_nothing_is_parsed_again(builds: Builds) -> None:
    many: Tree = {f"{n:03}.yaml": config_map(f"m{n}") for n in range(200)}
    first = builds.run(many)
    assert len(builds.parsed) == 200
    again = builds.run(many)
    assert builds.parsed == []
    assert again == first
    builds.run({**many, "new.yaml": config_map("new")})
    assert len(builds.parsed) == 1


def test_an_unknown_earlier_tree_means_all_of_it_is_told(builds: Builds) -> None:
    answer = builds.run(BEFORE, previous="1" * 40)
    assert (len(answer["changed"]), answer["complete"]) == (3, True)


def test_a_directory_that_holds_a_link_is_looked_at_as_a_whole_next_time(builds: Builds) -> None:
    assert not builds.run({**BEFORE, "latest": link("d")})["comparable"]
    assert not builds.after(BEFORE, {**BEFORE, "latest": link("README.md")})["comparable"]
    assert builds.after(BEFORE, BEFORE)["comparable"]


@pytest.mark.parametrize("name", ["kustomization.yaml", "Chart.yaml"])
def test_a_plain_directory_may_become_something_else(builds: Builds, name: str) -> None:
    builds.run(BEFORE)
    with pytest.raises(errors.ToolMissingError):
        builds.after(BEFORE, {**BEFORE, name: ""})


# -- damage ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 200])
@pytest.mark.parametrize("damage", [b"", b"garbage", None], ids=["empty", "garbage", "truncated"])
def test_a_damaged_store_is_made_anew(builds: Builds, number: int, damage: bytes | None) -> None:
    many: Tree = {f"{n:03}.yaml": config_map(f"m{n}") for n in range(number)}
    first = builds.run(many)
    for path in Store(builds.store.parent).directory.iterdir():
        path.write_bytes(path.read_bytes()[:-5] if damage is None else damage)
    assert builds.run(many) == first
    assert len(builds.parsed) == number


@pytest.mark.parametrize("what", ["tree", "directory"])
@pytest.mark.parametrize("kind", ["missing", "of-a-file"])
def test_a_repository_that_lacks_objects_is_a_lost_cache(builds: Builds, what: str, kind: str) -> None:
    wrong = "1" * 40 if kind == "missing" else str(builds.repository.create_blob(b""))
    with pytest.raises(errors.CacheLostError):
        build.handle({**builds.request(BEFORE), what: wrong})


def test_a_repository_that_is_gone_is_a_lost_cache(builds: Builds, tmp_path: Path) -> None:
    with pytest.raises(errors.CacheLostError):
        builds.run(BEFORE, repository=str(tmp_path / "nowhere"))


def test_a_file_whose_blob_is_missing_is_a_lost_cache(builds: Builds) -> None:
    request = builds.request({"a.yaml": config_map("a")})
    blob = str(builds.repository.create_blob(config_map("a").encode()))
    (Path(builds.repository.path) / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(errors.CacheLostError):
        build.handle(request)


def test_the_same_commit_gives_the_same_answer_in_any_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        answers.append(Builds(tmp_path / name).run({**BEFORE, "bad.yaml": "a: ["}))
    assert answers[0] == answers[1]


# -- kustomize and Helm ------------------------------------------------------------------------------------------------


class Builder:
    """In place of an official program."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.version = "1"
        self.runs = 0

    def tool(self, tools: Any) -> str:
        return f"kustomize {self.version}"

    def build(self, *args: Any) -> tuple[bytes, list[str]]:
        self.runs += 1
        return self.text.encode(), ["a hook was left out"]


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> Builder:
    builder = Builder(config_map("a") + "---\n" + config_map("b"))
    monkeypatch.setattr(build, "_builder", lambda kind: builder)
    return builder


KUSTOMIZATION: Tree = {"k": {"kustomization.yaml": ""}, "base": {"x": ""}}


@pytest.mark.parametrize(("path", "file"), [("k", "k/kustomization.yaml"), ("./k/", "k/kustomization.yaml")])
def test_all_that_the_program_made_is_one_content_at_the_kustomization(builds: Builds, builder: Builder, path: str, file: str) -> None:
    answer = builds.run(KUSTOMIZATION, path=path)
    assert names(answer) == {file: ["a", "b"]}
    assert (answer["type"], answer["tool"], answer["warnings"]) == ("Kustomize", "kustomize 1", ["a hook was left out"])
    assert (answer["complete"], answer["comparable"]) == (True, False)


def test_a_hidden_directory_keeps_its_dot(builds: Builds, builder: Builder) -> None:
    assert list(builds.run({".k": {"Chart.yaml": ""}}, path=".k")["changed"]) == [".k/Chart.yaml"]


def test_the_program_runs_again_only_if_something_differs(builds: Builds, builder: Builder) -> None:
    first = builds.run(KUSTOMIZATION, path="k")
    assert builds.run(KUSTOMIZATION, path="k") == first
    assert builder.runs == 1
    # A base may lie anywhere in the repository.
    builds.run({**KUSTOMIZATION, "base": {"x": "other"}}, path="k")
    assert builder.runs == 2
    builder.version = "2"
    builds.run(KUSTOMIZATION, path="k")
    assert builder.runs == 3
    builds.run(KUSTOMIZATION, path="k", options={**OPTIONS, "commonLabels": {"team": "x"}})
    assert builder.runs == 4


def test_values_matter_to_helm_alone(builds: Builds, builder: Builder) -> None:
    for values in ({"a": 1}, {"a": 2}):
        builds.run(KUSTOMIZATION, path="k", helm=values)
    assert builder.runs == 1
    for values in ({"a": 1}, {"a": 2}):
        builds.run({"Chart.yaml": ""}, helm=values)
    assert builder.runs == 3


@pytest.mark.parametrize(
    ("bad", "expected", "words"),
    [
        ("a: [", errors.BuildFailedError, "cannot be used: line 6"),
        (config_map("c", "${v}"), errors.VariableMissingError, "ConfigMap/c"),
        ("kind: Deployment", errors.BuildFailedError, "Deployment apiVersion"),
        (
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, annotations: {cvstate.io/prune: maybe}}",
            errors.BuildFailedError,
            "ConfigMap/c metadata.annotations[cvstate.io/prune] annotation cvstate.io/prune: 'maybe' is not one of Enabled, Disabled, Confirm",
        ),
    ],
)
def test_one_bad_object_is_the_end_of_all(
    builds: Builds, builder: Builder, bad: str, expected: type[errors.CvstateError], words: str
) -> None:
    builder.text = config_map("a") + "---\n" + bad
    with pytest.raises(expected) as caught:
        builds.run(KUSTOMIZATION, path="k", options={**OPTIONS, "variables": {}})
    assert type(caught.value) is expected
    assert words in caught.value.message
    assert caught.value.message.isprintable()
    assert not any(builds.store.parent.glob("*/*"))


def test_what_a_chart_may_have_from_a_secret_is_not_shown(builds: Builds, builder: Builder) -> None:
    builder.text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, annotations: {cvstate.io/wave: s3cret}}"
    with pytest.raises(errors.BuildFailedError) as caught:
        builds.run({"Chart.yaml": ""}, helm={"values_documents": [["valuesFrom", "wave: s3cret"]]})
    assert "ConfigMap/c metadata.annotations[cvstate.io/wave]" in caught.value.message
    assert "s3cret" not in caught.value.message


def test_the_error_tells_how_many_more_there_are(builds: Builds, builder: Builder) -> None:
    builder.text = "kind: A\n---\nkind: B\n---\nkind: C\n"
    with pytest.raises(errors.BuildFailedError, match=r"\(and 2 more\)"):
        builds.run(KUSTOMIZATION, path="k")


def test_a_failing_program_is_an_error(builds: Builds, builder: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> None:
        raise errors.RemoteBaseRefusedError("a remote base")

    monkeypatch.setattr(builder, "build", fail)
    with pytest.raises(errors.RemoteBaseRefusedError):
        builds.run(KUSTOMIZATION, path="k")
