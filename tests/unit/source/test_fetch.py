"""What is read of a commit, on real repositories.

Aspects: which files are listed · what is never read · limits · finding the commit and the directory · doing nothing for a known commit.
"""

import zlib
from pathlib import Path
from typing import Any

import pygit2
import pytest
from pygit2.enums import FileMode, ObjectType

from cvstate_operator import errors
from cvstate_operator.source import fetch

SIGNATURE = pygit2.Signature("a", "a@example.io", 1_767_225_600, 0)
Tree = dict[str, Any]
"""Names to bytes (a file), a Tree (a directory) or (mode, bytes)."""


@pytest.fixture
def repository(tmp_path: Path) -> pygit2.Repository:
    return pygit2.init_repository(str(tmp_path / "upstream.git"), bare=True)


def write(repository: pygit2.Repository, tree: Tree) -> pygit2.Oid:
    """Write a tree as raw bytes: libgit2's own builder refuses names that other tools let through."""
    entries = []
    for name, value in tree.items():
        if isinstance(value, dict):
            mode, oid = int(FileMode.TREE), write(repository, value)
        elif isinstance(value, tuple):
            mode, oid = int(value[0]), repository.create_blob(value[1])
        else:
            mode, oid = int(FileMode.BLOB), repository.create_blob(value)
        raw_name = name.encode(errors="surrogateescape")
        entries.append((raw_name + (b"/" if mode == FileMode.TREE else b""), f"{mode:o}".encode() + b" " + raw_name + b"\0" + oid.raw))
    return repository.odb.write(ObjectType.TREE, b"".join(raw for _, raw in sorted(entries)))


def listed(repository: pygit2.Repository, tree: Tree) -> tuple[list[str], list[tuple[str, str]]]:
    root = repository[write(repository, tree)]
    assert isinstance(root, pygit2.Tree)
    files, problems = fetch._list(root, "")
    return [path for path, _, _ in files], [(path, reason) for path, reason, _ in problems]


def commit(repository: pygit2.Repository, tree: Tree, *, ref: str = "refs/heads/main") -> str:
    parents = [repository.references[ref].target] if ref in repository.references else []
    return str(repository.create_commit(ref, SIGNATURE, SIGNATURE, "message", write(repository, tree), parents))


# -- listing -----------------------------------------------------------------------------------------------------------


def test_manifest_files_of_all_directories_are_listed_in_order(repository: pygit2.Repository) -> None:
    tree = {"b.yaml": b"b", "a": {"z.yml": b"z", "deep": {"er": {"x.json": b"{}"}}}, "a.yaml": b"a"}
    assert listed(repository, tree) == (["a.yaml", "a/deep/er/x.json", "a/z.yml", "b.yaml"], [])


def test_a_file_is_known_by_path_blob_and_size(repository: pygit2.Repository) -> None:
    root = repository[write(repository, {"a.yaml": b"hello"})]
    assert isinstance(root, pygit2.Tree)
    assert fetch._list(root, "apps/") == ([("apps/a.yaml", "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0", 5)], [])


def test_other_files_are_passed_over(repository: pygit2.Repository) -> None:
    tree = {
        "README.md": b"",
        "values.yaml.gotmpl": b"",
        "x.YAML": b"",
        "yaml": b"",
        ".gitignore": b"",
        "run.sh": (FileMode.BLOB_EXECUTABLE, b""),
    }
    assert listed(repository, tree) == ([], [])


def test_a_hidden_or_executable_manifest_is_a_manifest(repository: pygit2.Repository) -> None:
    assert listed(repository, {".a.yaml": b"", "b.yaml": (FileMode.BLOB_EXECUTABLE, b"")})[0] == [".a.yaml", "b.yaml"]


@pytest.mark.parametrize(
    ("entry", "path"),
    [
        pytest.param({"a.yaml": (FileMode.LINK, b"../../etc/passwd")}, "a.yaml", id="link-out-of-the-tree"),
        pytest.param({"a.yaml": (FileMode.LINK, b"good.yaml")}, "a.yaml", id="link-within-the-tree"),
        pytest.param({"module": (FileMode.COMMIT, b"")}, "module", id="submodule"),
        pytest.param({"module.yaml": (FileMode.COMMIT, b"")}, "module.yaml", id="submodule-with-a-manifest's-name"),
        pytest.param({".git": {"a.yaml": b""}}, ".git", id="git-directory"),
        pytest.param({".GIT": {"a.yaml": b""}}, ".GIT", id="git-directory-in-capitals"),
        pytest.param({"..": {"a.yaml": b""}}, "..", id="parent"),
        pytest.param({".": {"a.yaml": b""}}, ".", id="itself"),
        pytest.param({"a\nb.yaml": b""}, "a\nb.yaml", id="newline"),
        pytest.param({"\x1b[2J.yaml": b""}, "\x1b[2J.yaml", id="terminal-escape"),
        pytest.param({"a\u202eb.yaml": b""}, "a\u202eb.yaml", id="bidirectional-override"),
        pytest.param({"caf\udce9.yaml": b""}, r"caf\udce9.yaml", id="latin-1"),
        pytest.param({"x" * 1100 + ".yaml": b""}, "x" * 1100 + ".yaml", id="endless-name"),
    ],
)
def test_what_is_never_read_is_told_and_harms_no_other_file(repository: pygit2.Repository, entry: Tree, path: str) -> None:
    files, problems = listed(repository, {**entry, "good.yaml": b""})
    assert files == ["good.yaml"]
    assert problems == [(path, "SourceInvalid")]


def test_a_link_that_is_no_manifest_is_passed_over(repository: pygit2.Repository) -> None:
    assert listed(repository, {"latest": (FileMode.LINK, b"v1")}) == ([], [])


def test_names_of_any_language_are_fine(repository: pygit2.Repository) -> None:
    assert listed(repository, {"größe": {"世界 🎉.yaml": b""}}) == (["größe/世界 🎉.yaml"], [])


def test_a_file_over_the_limit_is_told_and_left_out(repository: pygit2.Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "MAX_FILE_BYTES", 10)
    assert listed(repository, {"big.yaml": b"x" * 11, "fits.yaml": b"x" * 10, "big.bin": b"x" * 11}) == (
        ["fits.yaml"],
        [("big.yaml", "RenderTooLarge")],
    )


@pytest.mark.parametrize("limit", ["MAX_FILES", "MAX_TREE_ENTRIES"])
def test_too_many_entries_end_the_listing(repository: pygit2.Repository, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setattr(fetch, limit, 3)
    with pytest.raises(errors.RepoTooLargeError):
        listed(repository, {f"{n}.yaml": b"" for n in range(5)})


def test_a_tree_of_trees_is_walked_only_up_to_the_limit(repository: pygit2.Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    # Ten directories that hold ten times the same directory, and so on: few objects, 10^6 entries.
    monkeypatch.setattr(fetch, "MAX_TREE_ENTRIES", 5000)
    tree: Tree = {"a.yaml": b""}
    oid = write(repository, tree)
    for _ in range(6):
        raw = b"".join(b"40000 " + str(n).encode() + b"\0" + oid.raw for n in range(10))
        oid = repository.odb.write(ObjectType.TREE, raw)
    root = repository[oid]
    assert isinstance(root, pygit2.Tree)
    with pytest.raises(errors.RepoTooLargeError):
        fetch._list(root, "")


# -- finding -----------------------------------------------------------------------------------------------------------

APPS = {"apps": {"web": {"a.yaml": b"a"}}, "top.yaml": b"t"}


def handled(repository: pygit2.Repository, *, kind: str = "branch", name: str = "main", path: str = ".", known: str = "") -> dict[str, Any]:
    upstream = Path(repository.path)
    return fetch.handle(
        {
            "repository": str(upstream.parent / "cache" / "r"),
            "url": f"file://{upstream}",
            "ref": {"kind": kind, "name": name},
            "path": path,
            "known": known,
        }
    )


def test_the_newest_commit_of_a_branch_is_found(repository: pygit2.Repository) -> None:
    commit(repository, {})
    newest = commit(repository, APPS)
    answer = handled(repository)
    assert (answer["commit"], answer["committed_at"]) == (newest, "2026-01-01T00:00:00+00:00")
    assert [path for path, _, _ in answer["files"]] == ["apps/web/a.yaml", "top.yaml"]
    assert answer["problems"] == []


@pytest.mark.parametrize("annotated", [True, False], ids=["annotated", "lightweight"])
def test_a_tag_stands_for_its_commit(repository: pygit2.Repository, annotated: bool) -> None:
    tagged = commit(repository, APPS)
    if annotated:
        repository.create_tag("v1", pygit2.Oid(hex=tagged), ObjectType.COMMIT, SIGNATURE, "message")
    else:
        repository.references.create("refs/tags/v1", tagged)
    commit(repository, {})
    assert handled(repository, kind="tag", name="v1")["commit"] == tagged
    assert handled(repository, kind="tag", name="v1", known=tagged) == {"commit": tagged}


def test_a_commit_is_found_by_its_id(repository: pygit2.Repository) -> None:
    first = commit(repository, APPS)
    commit(repository, {})
    assert handled(repository, kind="commit", name=first)["commit"] == first


def test_a_known_commit_is_not_listed_again(repository: pygit2.Repository) -> None:
    newest = commit(repository, APPS)
    assert handled(repository, known=newest) == {"commit": newest}


def test_a_new_commit_is_seen_after_a_known_one(repository: pygit2.Repository) -> None:
    known = handled(repository, known=commit(repository, {}))["commit"]
    newest = commit(repository, APPS)
    assert handled(repository, known=known)["commit"] == newest


def test_a_branch_that_was_rewound_is_followed(repository: pygit2.Repository) -> None:
    first, second = commit(repository, {}), commit(repository, APPS)
    assert handled(repository)["commit"] == second
    repository.references["refs/heads/main"].set_target(first)
    assert handled(repository, known=second)["commit"] == first


@pytest.mark.parametrize(
    ("path", "files"),
    [
        pytest.param("apps", ["apps/web/a.yaml"], id="directory"),
        pytest.param("apps/web", ["apps/web/a.yaml"], id="deeper"),
        pytest.param("./apps/", ["apps/web/a.yaml"], id="with-dot-and-slash"),
        pytest.param("./", ["apps/web/a.yaml", "top.yaml"], id="the-root"),
    ],
)
def test_files_are_named_from_the_root_of_the_repository(repository: pygit2.Repository, path: str, files: list[str]) -> None:
    commit(repository, APPS)
    assert [name for name, _, _ in handled(repository, path=path)["files"]] == files


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        pytest.param({"name": "nowhere"}, errors.RefNotFoundError, id="no-such-branch"),
        pytest.param({"kind": "tag", "name": "main"}, errors.RefNotFoundError, id="a-branch-is-no-tag"),
        pytest.param({"kind": "commit", "name": "0" * 39 + "1"}, errors.RefNotFoundError, id="no-such-commit"),
        pytest.param({"path": "nowhere"}, errors.PathNotFoundError, id="no-such-path"),
        pytest.param({"path": "top.yaml"}, errors.PathNotFoundError, id="path-of-a-file"),
        pytest.param({"path": "top.yaml/x"}, errors.PathNotFoundError, id="path-through-a-file"),
    ],
)
def test_what_is_not_there_is_named(repository: pygit2.Repository, request_: dict[str, str], expected: type[errors.CvstateError]) -> None:
    commit(repository, APPS)
    with pytest.raises(expected):
        handled(repository, **request_)


def test_a_tag_of_a_tree_is_no_commit(repository: pygit2.Repository) -> None:
    commit(repository, {})
    repository.create_tag("tree", write(repository, APPS), ObjectType.TREE, SIGNATURE, "message")
    with pytest.raises(errors.CvstateError):
        handled(repository, kind="tag", name="tree")


def test_a_repository_that_is_not_there_is_a_failure_that_may_pass(tmp_path: Path) -> None:
    request = {
        "repository": str(tmp_path / "c"),
        "url": f"file://{tmp_path}/none",
        "ref": {"kind": "branch", "name": "main"},
        "path": ".",
        "known": "",
    }
    with pytest.raises(errors.FetchFailedError):
        fetch.handle(request)


def test_a_broken_cache_is_made_anew(repository: pygit2.Repository) -> None:
    newest = commit(repository, APPS)
    cache = Path(repository.path).parent / "cache" / "r"
    cache.mkdir(parents=True)
    (cache / "HEAD").write_bytes(zlib.compress(b"garbage"))
    assert handled(repository)["commit"] == newest
