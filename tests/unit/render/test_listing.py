"""Which files of a commit are manifests, on real Git trees, hostile ones among them.

Aspects: what is listed · what is never read, and told · symbolic links · limits · only what a commit changed.
"""

from collections.abc import Callable
from pathlib import Path

import pygit2
import pytest
from pygit2.enums import FileMode, ObjectType

from cvstate_operator import errors
from cvstate_operator.render import listing
from cvstate_operator.render.globs import matcher
from cvstate_operator.render.listing import Listing
from tests.unit.render.trees import Tree, link, write, write_entries

SUBMODULE = (int(FileMode.COMMIT), b"")


@pytest.fixture
def repository(tmp_path: Path) -> pygit2.Repository:
    return pygit2.init_repository(str(tmp_path / "r.git"), bare=True)


def compare(
    repository: pygit2.Repository, tree: Tree, before: "Tree | None" = None, *, path: str = "", wanted: Callable[[str], bool] | None = None
) -> Listing:
    """Compare the directories at `path` of two commits."""
    root = write(repository, tree)
    old = write(repository, before) if before is not None else None
    now, then = (side[path] if side is not None and path else side for side in (root, old))
    assert isinstance(now, pygit2.Tree)
    assert isinstance(then, pygit2.Tree | None)
    return listing.compare(root, now, then, path=path, wanted=wanted or matcher((), ()))


def refusals(found: Listing) -> list[tuple[str, str]]:
    return [(path, reason) for path, (reason, _) in found.refused.items()]


# -- what is listed ----------------------------------------------------------------------------------------------------


def test_manifest_files_of_all_directories_are_listed_in_order(repository: pygit2.Repository) -> None:
    tree: Tree = {"b.yaml": "b", "a": {"z.yml": "z", "deep": {"er": {"x.json": "{}"}}}, "a.yaml": "a"}
    found = compare(repository, tree)
    assert list(found.files) == ["a/deep/er/x.json", "a/z.yml", "a.yaml", "b.yaml"]
    assert found == Listing(files=found.files, sizes=found.sizes)
    assert sum(found.sizes.values()) == 5


def test_a_file_is_known_by_its_path_in_the_repository_and_its_blob(repository: pygit2.Repository) -> None:
    found = compare(repository, {"apps": {"a.yaml": "hello"}, "b.yaml": ""}, path="apps")
    assert found.files == {"apps/a.yaml": "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0"}


def test_other_files_are_passed_over(repository: pygit2.Repository) -> None:
    tree: Tree = {
        "README.md": "",
        "values.yaml.gotmpl": "",
        "x.YAML": "",
        "yaml": "",
        ".gitignore": "",
        "run.sh": (FileMode.BLOB_EXECUTABLE, b""),
    }
    assert compare(repository, tree) == Listing()


def test_a_hidden_or_executable_manifest_is_a_manifest(repository: pygit2.Repository) -> None:
    assert list(compare(repository, {".a.yaml": "", "b.yaml": (FileMode.BLOB_EXECUTABLE, b"")}).files) == [".a.yaml", "b.yaml"]


def test_names_of_any_language_are_fine(repository: pygit2.Repository) -> None:
    assert list(compare(repository, {"größe": {"世界 🎉.yaml": ""}}).files) == ["größe/世界 🎉.yaml"]


def test_globs_are_held_against_the_path_below_the_directory(repository: pygit2.Repository) -> None:
    tree: Tree = {"apps": {"web": {"a.yaml": "", "b.yaml": ""}, "apps": {"a.yaml": ""}}}
    assert list(compare(repository, tree, path="apps", wanted=matcher(["web/*"], ["b.*"])).files) == ["apps/web/a.yaml"]


def test_an_empty_directory_has_no_files(repository: pygit2.Repository) -> None:
    assert compare(repository, {}) == Listing()


# -- what is never read ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "path"),
    [
        pytest.param({"module": SUBMODULE}, "module", id="submodule"),
        pytest.param({"module.yaml": SUBMODULE}, "module.yaml", id="submodule-with-a-manifest's-name"),
        pytest.param({".git": {"a.yaml": ""}}, ".git", id="git-directory"),
        pytest.param({".GIT": {"a.yaml": ""}}, ".GIT", id="git-directory-in-capitals"),
        pytest.param({"..": {"a.yaml": ""}}, "..", id="parent"),
        pytest.param({".": {"a.yaml": ""}}, ".", id="itself"),
        pytest.param({"a/b": {"a.yaml": ""}}, "a/b", id="slash-in-a-name"),
        pytest.param({"a\nb.yaml": ""}, "a\nb.yaml", id="newline"),
        pytest.param({"\x1b[2J.yaml": ""}, "\x1b[2J.yaml", id="terminal-escape"),
        pytest.param({"a\u202eb.yaml": ""}, "a\u202eb.yaml", id="bidirectional-override"),
        pytest.param({"caf\udce9.yaml": ""}, r"caf\udce9.yaml", id="latin-1"),
        pytest.param({"x" * 1100 + ".yaml": ""}, "x" * 1100 + ".yaml", id="endless-name"),
    ],
)
def test_what_is_never_read_is_told_and_harms_no_other_file(repository: pygit2.Repository, entry: Tree, path: str) -> None:
    found = compare(repository, {**entry, "good.yaml": ""})
    assert list(found.files) == ["good.yaml"]
    assert refusals(found) == [(path, "BuildFailed")]


def test_a_strange_name_that_is_no_manifest_is_passed_over(repository: pygit2.Repository) -> None:
    assert compare(repository, {"a\nb.txt": "", "x" * 1100: ""}) == Listing()


def test_of_two_entries_with_one_name_one_is_read_and_always_the_same(repository: pygit2.Repository) -> None:
    blobs = [repository.create_blob(text) for text in (b"a", b"b")]
    tree = write_entries(repository, [(b"a.yaml", int(FileMode.BLOB), blob) for blob in blobs])
    once, again = (listing.compare(tree, tree, None, path="", wanted=matcher((), ())) for _ in range(2))
    assert once == again
    assert list(once.files) == ["a.yaml"]


# -- symbolic links ----------------------------------------------------------------------------------------------------

NOT_FOLLOWED = "BuildFailed"
ESCAPES = "SymlinkEscapes"


@pytest.mark.parametrize(
    ("tree", "reason", "words"),
    [
        pytest.param({"l.yaml": link("../../etc/passwd")}, ESCAPES, "leads out of the repository", id="out-of-the-tree"),
        pytest.param({"l.yaml": link("/etc/passwd")}, ESCAPES, "leads out of the repository", id="absolute"),
        pytest.param({"l.yaml": link(".git/config")}, ESCAPES, "leads out of the repository", id="into-git"),
        pytest.param({"l.yaml": link("l.yaml")}, ESCAPES, "in a circle", id="itself"),
        pytest.param({"l.yaml": link("m.txt"), "m.txt": link("l.yaml")}, ESCAPES, "in a circle", id="circle"),
        pytest.param({"l.yaml": link("good.yaml")}, NOT_FOLLOWED, "to good.yaml, which is not followed", id="file"),
        pytest.param({"l.yaml": link("m.txt"), "m.txt": link("good.yaml")}, NOT_FOLLOWED, "to good.yaml,", id="link-to-a-link"),
        pytest.param({"l.yaml": link("d/../good.yaml"), "d": {}}, NOT_FOLLOWED, "to good.yaml,", id="there-and-back"),
        pytest.param({"l.yaml": link("nowhere.yaml")}, NOT_FOLLOWED, "not in the repository", id="nowhere"),
        pytest.param({"l.yaml": link("good.yaml/x")}, NOT_FOLLOWED, "not in the repository", id="through-a-file"),
        pytest.param({"l.yaml": link("a\0b")}, NOT_FOLLOWED, "not in the repository", id="zero-byte"),
        pytest.param({"l.yaml": (FileMode.LINK, b"\xff\xfe")}, NOT_FOLLOWED, "not in the repository", id="not-utf-8"),
        pytest.param({"l.yaml": link("x" * 2_000_000)}, NOT_FOLLOWED, "not in the repository", id="endless-target"),
        pytest.param({"l.yaml": link("d"), "d": {}}, NOT_FOLLOWED, "to the directory d,", id="directory-by-a-manifest's-name"),
        pytest.param({"l": link("d"), "d": {}}, NOT_FOLLOWED, "to the directory d,", id="directory"),
        pytest.param({"l": link(".")}, NOT_FOLLOWED, "to the directory .,", id="the-repository-itself"),
        pytest.param({"l": link("../x")}, ESCAPES, "leads out of the repository", id="any-name-out-of-the-tree"),
    ],
)
def test_a_link_is_never_followed_and_told_if_something_may_be_missing(
    repository: pygit2.Repository, tree: Tree, reason: str, words: str
) -> None:
    found = compare(repository, {**tree, "good.yaml": ""})
    assert list(found.files) == ["good.yaml"]
    told = found.refused["l.yaml" if "l.yaml" in tree else "l"]
    assert told[0] == reason
    assert words in told[1]
    assert len(told[1]) < 6000
    assert found.has_links


def test_a_directory_behind_two_links_is_not_left_out_unseen(repository: pygit2.Repository) -> None:
    tree: Tree = {"apps": {"l": link("../current/web")}, "current": link("v1"), "v1": {"web": {"a.yaml": ""}}}
    found = compare(repository, tree, path="apps")
    assert "to the directory v1/web," in found.refused["apps/l"][1]


@pytest.mark.parametrize("target", ["README.md", "nowhere"])
def test_a_link_that_is_no_manifest_is_passed_over(repository: pygit2.Repository, target: str) -> None:
    found = compare(repository, {"latest": link(target), "README.md": ""})
    assert (found.files, found.refused) == ({}, {})


def test_a_link_may_lead_out_of_the_path_but_is_judged_by_the_repository(repository: pygit2.Repository) -> None:
    found = compare(repository, {"apps": {"l.yaml": link("../base/a.yaml")}, "base": {"a.yaml": ""}}, path="apps")
    assert found.refused == {"apps/l.yaml": (NOT_FOLLOWED, "is a symbolic link to base/a.yaml, which is not followed; copy the file")}


def test_a_link_that_is_excluded_is_passed_over_unless_it_hides_a_directory(repository: pygit2.Repository) -> None:
    found = compare(repository, {"l.yaml": link("a.yaml"), "a.yaml": ""}, wanted=matcher((), ["l.yaml"]))
    assert (list(found.files), found.refused) == (["a.yaml"], {})


# -- limits ------------------------------------------------------------------------------------------------------------


def test_a_file_over_the_limit_is_told_and_left_out(repository: pygit2.Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MAX_FILE_BYTES", 10)
    found = compare(repository, {"big.yaml": "x" * 11, "fits.yaml": "x" * 10, "big.bin": "x" * 11})
    assert list(found.files) == ["fits.yaml"]
    assert refusals(found) == [("big.yaml", "RenderTooLarge")]


def test_as_many_files_as_allowed_are_listed(repository: pygit2.Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MAX_FILES", 3)
    assert len(compare(repository, {f"{n}.yaml": "" for n in range(3)}).files) == 3
    with pytest.raises(errors.RenderTooLargeError, match="narrower path"):
        compare(repository, {f"{n}.yaml": "" for n in range(4)})


@pytest.mark.parametrize(
    "tree",
    [
        pytest.param({f"{n}.txt": "" for n in range(6)}, id="files-of-no-interest"),
        pytest.param({f"{n}": {"x": {}} for n in range(3)}, id="empty-directories"),
    ],
)
def test_too_many_entries_end_the_listing(repository: pygit2.Repository, monkeypatch: pytest.MonkeyPatch, tree: Tree) -> None:
    monkeypatch.setattr(listing, "MAX_ENTRIES", 5)
    with pytest.raises(errors.RenderTooLargeError):
        compare(repository, tree)


@pytest.mark.parametrize("leaf", [{"a.yaml": "x"}, {}], ids=["of-files", "of-nothing"])
def test_a_tree_of_trees_is_walked_only_up_to_the_limit(repository: pygit2.Repository, monkeypatch: pytest.MonkeyPatch, leaf: Tree) -> None:
    # Ten directories that hold ten times the same directory, and so on: seven objects, a million entries.
    monkeypatch.setattr(listing, "MAX_ENTRIES", 5000)
    tree = write(repository, leaf)
    for _ in range(6):
        tree = write_entries(repository, [(str(n).encode(), int(FileMode.TREE), tree.id) for n in range(10)])
    with pytest.raises(errors.RenderTooLargeError):
        listing.compare(tree, tree, None, path="", wanted=matcher((), ()))


def test_directories_may_be_only_so_deep(repository: pygit2.Repository) -> None:
    def nested(depth: int) -> pygit2.Tree:
        tree = write(repository, {"a.yaml": ""})
        for _ in range(depth):
            tree = write_entries(repository, [(b"d", int(FileMode.TREE), tree.id)])
        return tree

    deep, deeper = nested(listing.MAX_DEPTH), nested(listing.MAX_DEPTH + 1)
    assert len(listing.compare(deep, deep, None, path="", wanted=matcher((), ())).files) == 1
    with pytest.raises(errors.RenderTooLargeError, match="in one another"):
        listing.compare(deeper, deeper, None, path="", wanted=matcher((), ()))


# -- only what a commit changed ----------------------------------------------------------------------------------------

BEFORE: Tree = {"a": {"x.yaml": "x", "y.yaml": "y"}, "b.yaml": "b", "c": {"z.yaml": "z"}}


@pytest.mark.parametrize(
    ("now", "files", "gone"),
    [
        pytest.param(BEFORE, [], [], id="nothing"),
        pytest.param({**BEFORE, "b.yaml": "B"}, ["b.yaml"], ["b.yaml"], id="changed"),
        pytest.param({**BEFORE, "n.yaml": "b"}, ["n.yaml"], [], id="new"),
        pytest.param({**BEFORE, "a": {"x.yaml": "x"}}, [], ["a/y.yaml"], id="removed"),
        pytest.param({**BEFORE, "c": {"w.yaml": "z"}}, ["c/w.yaml"], ["c/z.yaml"], id="renamed"),
        pytest.param({"a": BEFORE["a"]}, [], ["b.yaml", "c/z.yaml"], id="removed-with-its-directory"),
        pytest.param({**BEFORE, "b.yaml": {"k.yaml": "k"}}, ["b.yaml/k.yaml"], ["b.yaml"], id="a-file-became-a-directory"),
        pytest.param({**BEFORE, "c": (FileMode.BLOB, b"")}, [], ["c/z.yaml"], id="a-directory-became-a-file"),
        pytest.param({**BEFORE, "b.yaml": (FileMode.BLOB_EXECUTABLE, b"b")}, ["b.yaml"], ["b.yaml"], id="another-mode"),
    ],
)
def test_only_what_differs_is_told(repository: pygit2.Repository, now: Tree, files: list[str], gone: list[str]) -> None:
    found = compare(repository, now, BEFORE)
    assert (list(found.files), found.gone, found.refused) == (files, gone, {})


def test_equal_subtrees_are_not_opened(repository: pygit2.Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MAX_ENTRIES", 10)
    many: Tree = {f"{n}.yaml": "" for n in range(100)}
    assert list(compare(repository, {"many": many, "a.yaml": "new"}, {"many": many, "a.yaml": "old"}).files) == ["a.yaml"]


def test_a_file_that_became_a_link_is_gone_and_refused(repository: pygit2.Repository) -> None:
    found = compare(repository, {"a.yaml": link("b.yaml"), "b.yaml": ""}, {"a.yaml": "", "b.yaml": ""})
    assert (found.gone, refusals(found), found.has_links) == (["a.yaml"], [("a.yaml", NOT_FOLLOWED)], True)


def test_without_an_earlier_directory_everything_is_new_and_nothing_gone(repository: pygit2.Repository) -> None:
    found = compare(repository, BEFORE)
    assert (sorted(found.files), found.gone) == (["a/x.yaml", "a/y.yaml", "b.yaml", "c/z.yaml"], [])


def test_a_missing_object_is_told_as_what_git_says(repository: pygit2.Repository) -> None:
    """The caller takes it for a damaged cache."""
    raw = b"100644 a.yaml\0" + bytes(19) + b"\1"
    tree = repository[repository.odb.write(ObjectType.TREE, raw)]
    assert isinstance(tree, pygit2.Tree)
    with pytest.raises((KeyError, pygit2.GitError)):
        listing.compare(tree, tree, None, path="", wanted=matcher((), ()))


# -- what the globs leave out --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("glob", ["vendor", "vendor/", "vendor/**"])
@pytest.mark.parametrize("entry", [SUBMODULE, link("../outside"), link("apps")], ids=["submodule", "link-out", "link-to-a-directory"])
def test_what_is_excluded_is_no_problem_whatever_it_is(repository: pygit2.Repository, glob: str, entry: tuple[int, bytes]) -> None:
    tree: Tree = {"apps": {"a.yaml": ""}, "vendor": entry}
    assert refusals(compare(repository, tree))
    found = compare(repository, tree, wanted=matcher((), [glob]))
    assert (list(found.files), refusals(found)) == (["apps/a.yaml"], [])


def test_what_is_not_included_is_no_problem_either(repository: pygit2.Repository) -> None:
    found = compare(repository, {"apps": {"a.yaml": ""}, "vendor": SUBMODULE}, wanted=matcher(["apps/**"], ()))
    assert (list(found.files), refusals(found)) == (["apps/a.yaml"], [])
