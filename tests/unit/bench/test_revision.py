"""Which commit is measured: its name, and whether files differ from it; what the benchmark writes itself is no difference."""

from pathlib import Path

import pytest

from bench import revision
from cvstate_operator.cli.demo.git_server import Repository


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """One with a commit, in place of ours."""
    made = Repository(tmp_path / "repository")
    made.commit({"code.py": "a", "docs/benchmark.md": "a"})
    monkeypatch.setattr(revision, "ROOT", made.directory)
    return made


def test_a_clean_commit_is_named(repository: Repository):
    assert repository.git("rev-parse", "HEAD").startswith(revision.current())
    assert revision.current()


def test_changed_files_are_told(repository: Repository):
    (repository.directory / "code.py").write_text("b")
    assert revision.current().endswith(revision.DIRTY)


def test_a_report_that_was_written_is_no_change(repository: Repository):
    (repository.directory / "docs/benchmark.md").write_text("b")
    assert not revision.current().endswith(revision.DIRTY)


def test_outside_of_a_repository_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(revision, "ROOT", tmp_path)
    assert revision.current() == ""
