"""A directory as a commit: the trees are Git's own.

Aspects: ids as Git makes them · what is left out · links and modes · paths in it · limits.
"""

import os
import subprocess
from pathlib import Path

import pytest

from cvstate_operator import errors
from cvstate_operator.cli.plan import local


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    (root / "apps" / "web").mkdir(parents=True)
    (root / "apps" / "a.yaml").write_text("a: 1\n")
    (root / "apps" / "web" / "b.yaml").write_bytes(b"b: \xc3\xa9\n")
    (root / "apps-old").write_text("sorts before apps/\n")
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    (root / "link").symlink_to("apps/a.yaml")
    (root / "empty").mkdir()
    return root


def git(directory: Path, *arguments: str) -> str:
    env = {"PATH": os.environ["PATH"], "HOME": str(directory.parent), "GIT_CONFIG_NOSYSTEM": "1"}
    result = subprocess.run(["git", *arguments], cwd=directory, env=env, check=True, capture_output=True, text=True)
    return result.stdout.strip()


def test_the_tree_has_the_id_that_git_gives_it(checkout: Path, tmp_path: Path) -> None:
    found = local.artifact(checkout, "apps", tmp_path / "scratch")
    git(checkout, "init", "-q")
    git(checkout, "add", "-A")
    assert found.tree == git(checkout, "write-tree")
    assert found.directory == git(checkout, "rev-parse", f"{found.tree}:apps")
    # What is in .git is no part of it.
    assert local.artifact(checkout, "apps", tmp_path / "again").tree == found.tree


def test_git_can_read_all_of_it(checkout: Path, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    found = local.artifact(checkout, ".", scratch)
    (scratch / "config").write_text("[core]\n\tbare = true\n\trepositoryformatversion = 0\n")
    git(scratch, "fsck", "--strict", "--no-dangling", found.tree)
    assert git(scratch, "show", f"{found.tree}:apps/web/b.yaml") == "b: é"
    assert found.directory == found.tree


def test_nothing_in_the_directory_changes(checkout: Path, tmp_path: Path) -> None:
    before = sorted((path, path.lstat().st_mtime_ns) for path in checkout.rglob("*"))
    local.artifact(checkout, "apps", tmp_path / "scratch")
    assert sorted((path, path.lstat().st_mtime_ns) for path in checkout.rglob("*")) == before


@pytest.mark.parametrize("path", ["nope", "apps/nope", "apps/a.yaml", "empty"])
def test_a_path_that_is_no_directory_in_it_is_refused(checkout: Path, tmp_path: Path, path: str) -> None:
    with pytest.raises(errors.PathNotFoundError):
        local.artifact(checkout, path, tmp_path / "scratch")


def test_a_file_is_no_directory(checkout: Path, tmp_path: Path) -> None:
    with pytest.raises(errors.PathNotFoundError):
        local.artifact(checkout / "run.sh", "apps", tmp_path / "scratch")


def test_too_much_is_refused_before_it_is_read(checkout: Path, tmp_path: Path) -> None:
    with open(checkout / "huge", "wb") as file:
        file.truncate(local.MAX_BYTES + 1)
    with pytest.raises(errors.RepoTooLargeError):
        local.artifact(checkout, "apps", tmp_path / "scratch")


def test_too_deep_is_refused(tmp_path: Path) -> None:
    deep = tmp_path / "deep"
    (deep / Path(*["d"] * (local.MAX_DEPTH + 2))).mkdir(parents=True)
    with pytest.raises(errors.RepoTooLargeError):
        local.artifact(deep, ".", tmp_path / "scratch")


def test_sockets_and_pipes_are_passed_over(checkout: Path, tmp_path: Path) -> None:
    before = local.artifact(checkout, ".", tmp_path / "scratch").tree
    os.mkfifo(checkout / "pipe")
    assert local.artifact(checkout, ".", tmp_path / "again").tree == before
