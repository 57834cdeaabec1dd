"""Parts of a Git tree as files on disk.

Aspects: what is written, and how · symbolic links · names that are refused · submodules and Git LFS · limits · the tree asked without writing it.
"""

import os
import stat
from pathlib import Path

import pygit2
import pytest
from pygit2.enums import FileMode

from cvstate_operator import errors
from cvstate_operator.render import export
from cvstate_operator.render.export import Exported, Limits, TreeFiles
from tests.unit.render.trees import Tree, link, write, write_entries

SUBMODULE = (int(FileMode.COMMIT), b"")
DEFAULT = Limits()


@pytest.fixture
def repository(tmp_path: Path) -> pygit2.Repository:
    return pygit2.init_repository(str(tmp_path / "cache.git"), bare=True)


@pytest.fixture
def into(tmp_path: Path) -> Path:
    directory = tmp_path / "out"
    directory.mkdir()
    return directory


def exported(repository: pygit2.Repository, tree: Tree, into: Path, *directories: str, limits: Limits = DEFAULT) -> Exported:
    return export.export(repository, write(repository, tree), into, directories or ("",), limits=limits)


def files_of(directory: Path) -> dict[str, str]:
    """Paths to content; of a link the target after an arrow."""
    return {
        str(path.relative_to(directory)): f"-> {os.readlink(path)}" if path.is_symlink() else path.read_text()
        for path in sorted(directory.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


# -- what is written ---------------------------------------------------------------------------------------------------


def test_the_named_directories_are_written_under_their_own_paths_and_nothing_else(repository: pygit2.Repository, into: Path) -> None:
    tree: Tree = {"a": {"x.yaml": "1", "deep": {"y": "2"}}, "b": {"c": {"z": "3"}, "other": "4"}, "top": "5"}
    done = exported(repository, tree, into, "a", "b/c")
    assert files_of(into) == {"a/x.yaml": "1", "a/deep/y": "2", "b/c/z": "3"}
    assert done.size_bytes == 3
    assert done.lfs_pointers == ()


def test_the_empty_path_is_the_whole_tree(repository: pygit2.Repository, into: Path) -> None:
    exported(repository, {"a": {"x": "1"}, "y": "2"}, into)
    assert files_of(into) == {"a/x": "1", "y": "2"}


def test_directories_in_each_other_are_written_once(repository: pygit2.Repository, into: Path) -> None:
    done = exported(repository, {"a": {"b": {"x": "12"}}}, into, "a/b", "a", "a/b", "")
    assert files_of(into) == {"a/b/x": "12"}
    assert done.size_bytes == 2


def test_nobody_else_can_read_what_is_written_and_nothing_can_be_run(repository: pygit2.Repository, into: Path) -> None:
    exported(repository, {"a": {"run.sh": (int(FileMode.BLOB_EXECUTABLE), b"#!/bin/sh")}}, into)
    assert stat.S_IMODE((into / "a").stat().st_mode) == 0o700
    assert stat.S_IMODE((into / "a" / "run.sh").stat().st_mode) == 0o600


def test_a_directory_that_is_not_there_is_refused(repository: pygit2.Repository, into: Path) -> None:
    with pytest.raises(errors.PathNotFoundError):
        exported(repository, {"a": {"x": "1"}, "file": "2"}, into, "a", "b")
    with pytest.raises(errors.PathNotFoundError):
        exported(repository, {"a": {"x": "1"}, "file": "2"}, into, "file")


# -- symbolic links ----------------------------------------------------------------------------------------------------


def test_links_stay_links_and_what_they_lead_to_is_written_too(repository: pygit2.Repository, into: Path) -> None:
    tree: Tree = {
        "app": {"file": link("../shared/one/x"), "directory": link("../shared/two"), "near": link("file")},
        "shared": {"one": {"x": "1", "unused": "-"}, "two": {"y": "2"}, "three": {"z": "-"}},
    }
    exported(repository, tree, into, "app")
    assert files_of(into) == {
        "app/file": "-> ../shared/one/x",
        "app/directory": "-> ../shared/two",
        "app/near": "-> file",
        "shared/one/x": "1",
        "shared/two/y": "2",
    }
    assert (into / "app" / "near").read_text() == "1"


def test_a_directory_may_be_named_through_a_link(repository: pygit2.Repository, into: Path) -> None:
    exported(repository, {"current": link("v2"), "v1": {"x": "1"}, "v2": {"x": "2"}}, into, "current")
    assert files_of(into) == {"current": "-> v2", "v2/x": "2"}


def test_a_link_that_leads_to_nothing_in_the_tree_is_kept(repository: pygit2.Repository, into: Path) -> None:
    exported(repository, {"a": {"gone": link("../b/x")}}, into)
    assert files_of(into) == {"a/gone": "-> ../b/x"}


@pytest.mark.parametrize(
    "target",
    [
        pytest.param("/etc/passwd", id="absolute"),
        pytest.param("../../etc/passwd", id="out-of-the-repository"),
        pytest.param("../b/../../x", id="out-by-a-detour"),
        pytest.param("../..", id="above-the-root"),
        pytest.param("../.git/config", id="into-git"),
        pytest.param(".GIT", id="into-git-in-capitals"),
        pytest.param("../.g\u200cit/config", id="into-git-with-an-ignored-character"),
        pytest.param("loop", id="itself"),
        pytest.param("circle", id="circle"),
        pytest.param("up/../../x", id="out-through-another-link"),
        pytest.param("x" * 5000, id="too-long"),
        pytest.param("", id="empty"),
        pytest.param("a\0b", id="null"),
    ],
)
def test_a_link_that_leaves_the_repository_is_refused(repository: pygit2.Repository, into: Path, target: str) -> None:
    circle = {"circle": link("back"), "back": link("circle")} if target == "circle" else {}
    tree: Tree = {"a": {"loop": link(target), "up": link(".."), **circle}, "b": {}}
    with pytest.raises(errors.SymlinkEscapesError) as caught:
        exported(repository, tree, into)
    assert caught.value.message.startswith("a/")
    assert not (into / "a" / "loop").is_symlink()


def test_nothing_is_written_through_a_link_of_the_same_name(repository: pygit2.Repository, into: Path) -> None:
    outside = write(repository, {"x": "payload"})
    blob = repository.create_blob(b"b")
    directory = write(repository, {})
    tree = write_entries(repository, [(b"a", FileMode.LINK, blob), (b"a", FileMode.TREE, outside.id), (b"b", FileMode.TREE, directory.id)])
    with pytest.raises(errors.BuildFailedError):
        export.export(repository, tree, into, [""])
    assert files_of(into) == {}


# -- names -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("..", id="parent"),
        pytest.param(".", id="self"),
        pytest.param(".git", id="git"),
        pytest.param(".GiT", id="git-in-any-case"),
        pytest.param(".g\u200cit", id="git-with-zero-width-non-joiner"),
        pytest.param("\ufeff.git", id="git-with-byte-order-mark"),
        pytest.param(".git. ", id="git-as-windows-reads-it"),
        pytest.param("GIT~1", id="git-by-its-short-name"),
        pytest.param(".git::$INDEX_ALLOCATION", id="git-by-its-stream"),
        pytest.param("a\nb", id="newline"),
        pytest.param("a\x1b[31m", id="terminal-escape"),
        pytest.param("a\u2028b", id="line-separator"),
        pytest.param("\udcff\udcfe", id="no-utf-8"),
        pytest.param("a/b", id="slash"),
        pytest.param("x" * 256, id="256-bytes"),
        pytest.param("ü" * 128, id="256-bytes-of-128-letters"),
        pytest.param("x" * 4096, id="4-KiB"),
    ],
)
@pytest.mark.parametrize("is_directory", [False, True], ids=["file", "directory"])
def test_a_name_that_no_file_should_have_is_refused(repository: pygit2.Repository, into: Path, name: str, is_directory: bool) -> None:
    with pytest.raises(errors.BuildFailedError) as caught:
        exported(repository, {"a": {name: {"x": "1"} if is_directory else "1"}}, into)
    assert caught.value.message.isprintable()
    assert files_of(into) == {}


@pytest.mark.parametrize(
    "name", [".gitignore", ".gitmodules", ".github", "git", "grün.yaml", "a b", "x" * 255, "日本", "a\u200db", ".helmignore"]
)
def test_other_names_are_written_as_they_are(repository: pygit2.Repository, into: Path, name: str) -> None:
    exported(repository, {name: "1"}, into)
    assert files_of(into) == {name: "1"}


def test_a_path_longer_than_a_kilobyte_is_refused(repository: pygit2.Repository, into: Path) -> None:
    tree: Tree = {"x": "1"}
    for _ in range(5):
        tree = {"d" * 250: tree}
    with pytest.raises(errors.BuildFailedError):
        exported(repository, tree, into)


# -- submodules and Git LFS --------------------------------------------------------------------------------------------


def test_a_submodule_in_an_exported_directory_is_refused_by_name(repository: pygit2.Repository, into: Path) -> None:
    with pytest.raises(errors.BuildFailedError) as caught:
        exported(repository, {"a": {"vendor": SUBMODULE}}, into)
    assert "a/vendor" in caught.value.message


def test_a_submodule_elsewhere_does_not_matter(repository: pygit2.Repository, into: Path) -> None:
    exported(repository, {"a": {"x": "1"}, "vendor": SUBMODULE}, into, "a")
    assert files_of(into) == {"a/x": "1"}


def test_pointers_to_git_lfs_are_written_and_told(repository: pygit2.Repository, into: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n"
    done = exported(
        repository, {"b": {"big.bin": pointer}, "a.bin": pointer, "doc.md": "see " + pointer, "long": pointer + "x" * 1024}, into
    )
    assert done.lfs_pointers == ("a.bin", "b/big.bin")
    assert (into / "a.bin").read_text() == pointer


# -- limits ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "is_enough"),
    [
        (Limits(max_files=4), True),
        (Limits(max_files=3), False),
        (Limits(max_bytes=12), True),
        (Limits(max_bytes=11), False),
        (Limits(max_file_bytes=6), True),
        (Limits(max_file_bytes=5), False),
    ],
)
def test_what_is_more_than_a_limit_is_refused(repository: pygit2.Repository, into: Path, limits: Limits, is_enough: bool) -> None:
    tree: Tree = {"a": {"x": "123456", "y": "123456"}, "link": link("a/x")}
    if is_enough:
        assert exported(repository, tree, into, limits=limits).files == 4
        return
    with pytest.raises(errors.RenderTooLargeError):
        exported(repository, tree, into, limits=limits)


def test_a_tree_that_holds_itself_many_times_ends_at_the_limit(repository: pygit2.Repository, into: Path) -> None:
    tree: Tree = {"x": "1"}
    bomb = write(repository, tree)
    for _ in range(12):
        bomb = write_entries(repository, [(f"d{i}".encode(), FileMode.TREE, bomb.id) for i in range(10)])
    with pytest.raises(errors.RenderTooLargeError):
        export.export(repository, bomb, into, [""], limits=Limits(max_files=1000))


# -- asking the tree ---------------------------------------------------------------------------------------------------


def test_a_tree_is_asked_like_a_directory(repository: pygit2.Repository) -> None:
    tree = write(repository, {"a": {"x": "1", "l": link("../b")}, "b": {"y": "2"}, "vendor": SUBMODULE})
    files = TreeFiles(repository, tree)
    assert files.read("a/l/y") == b"2"
    assert files.is_file("a/x")
    assert files.directory("a/l") == "b"
    assert files.directory("") == ""
    assert (files.read("a"), files.directory("a/x"), files.is_file("a/x/z"), files.directory("vendor")) == (None, None, False, None)


def test_a_file_beyond_the_limit_is_not_read(repository: pygit2.Repository) -> None:
    files = TreeFiles(repository, write(repository, {"x": "123"}), max_file_bytes=2)
    with pytest.raises(errors.RenderTooLargeError):
        files.read("x")
