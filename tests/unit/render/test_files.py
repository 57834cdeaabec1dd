"""Files of a directory on disk, as `cvstate check` reads them.

Aspects: reading · directories · symbolic links · limits.
"""

import os
from pathlib import Path

import pytest

from cvstate_operator import errors
from cvstate_operator.render import files as module
from cvstate_operator.render.files import DiskFiles


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    (root / "apps" / "web").mkdir(parents=True)
    (root / ".git").mkdir()
    (root / ".git" / "config").write_text("secret")
    (root / "apps" / "a.yaml").write_bytes(b"a\xff")
    (tmp_path / "outside.yaml").write_text("secret")
    return root


@pytest.fixture
def files(root: Path) -> DiskFiles:
    return DiskFiles(root)


def test_a_file_is_read_as_it_is(files: DiskFiles) -> None:
    assert files.read("apps/a.yaml") == b"a\xff"
    assert files.is_file("apps/a.yaml")


@pytest.mark.parametrize("path", ["nowhere", "apps", "", "apps/a.yaml/x", "a\0b", "x" * 5000])
def test_what_is_no_file_is_none(files: DiskFiles, path: str) -> None:
    assert files.read(path) is None
    assert not files.is_file(path)


@pytest.mark.parametrize(("path", "found"), [("", ""), ("apps", "apps"), ("apps/web", "apps/web"), ("apps/a.yaml", None), ("no", None)])
def test_a_directory_is_told_by_its_path(files: DiskFiles, path: str, found: str | None) -> None:
    assert files.directory(path) == found


def test_links_within_the_repository_are_followed(root: Path, files: DiskFiles) -> None:
    (root / "l.yaml").symlink_to("apps/a.yaml")
    (root / "d").symlink_to("apps/web")
    (root / "absolute").symlink_to(root / "apps")
    assert files.read("l.yaml") == b"a\xff"
    assert files.directory("d") == "apps/web"
    assert files.read("absolute/a.yaml") == b"a\xff"


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("../outside.yaml", "out of the repository"),
        ("/etc/passwd", "out of the repository"),
        ("..", "out of the repository"),
        (".git/config", r"into \.git"),
        ("l", "in a circle"),
    ],
)
def test_a_link_that_leads_elsewhere_is_refused(root: Path, files: DiskFiles, target: str, words: str) -> None:
    (root / "l").symlink_to(target)
    for ask in (files.read, files.is_file, files.directory):
        with pytest.raises(errors.SymlinkEscapesError, match=words):
            ask("l")


@pytest.mark.parametrize("path", ["../outside.yaml", "apps/../../outside.yaml"])
def test_a_path_out_of_the_repository_is_refused(files: DiskFiles, path: str) -> None:
    with pytest.raises(errors.SymlinkEscapesError):
        files.read(path)


def test_a_file_over_the_limit_is_refused(root: Path, files: DiskFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 10)
    (root / "fits").write_bytes(b"x" * 10)
    (root / "big").write_bytes(b"x" * 11)
    assert files.read("fits") == b"x" * 10
    with pytest.raises(errors.RenderTooLargeError):
        files.read("big")


def test_what_is_neither_file_nor_directory_is_none_and_nobody_waits_for_it(root: Path, files: DiskFiles) -> None:
    os.mkfifo(root / "pipe.yaml")
    assert files.read("pipe.yaml") is None
    assert files.directory("pipe.yaml") is None


def test_messages_show_no_control_characters() -> None:
    for error in (module.link_escapes("a\nb", "leads out"), module.too_large("a\nb")):
        assert error.message.isprintable()
