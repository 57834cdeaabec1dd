"""Archives of commits: what they hold, what is said of them, and that they are served."""

import hashlib
import io
import tarfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.tools.artifacts import ArtifactServer
from cvstate_operator.cli.demo.git_server import Repository
from tests.support.api import Json


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ArtifactServer]:
    with ArtifactServer(tmp_path / "artifacts") as running:
        yield running


def fetched(artifact: Json) -> bytes:
    with urllib.request.urlopen(artifact["url"], timeout=5) as answer:
        content: bytes = answer.read()
    return content


def files_of(artifact: Json) -> dict[str, str]:
    """Path → text of all that is no directory."""
    with tarfile.open(fileobj=io.BytesIO(fetched(artifact)), mode="r:gz") as archive:
        return {member.name: opened.read().decode() for member in archive if (opened := archive.extractfile(member))}


def test_an_archive_holds_the_files_of_its_commit_and_nothing_else(repository: Repository, server: ArtifactServer) -> None:
    first = server.add(repository, repository.commit({"apps/a.yaml": "one", "README.md": "text"}))
    second = server.add(repository, repository.commit({"apps/a.yaml": "two", "README.md": None}))
    assert files_of(first) == {"apps/a.yaml": "one", "README.md": "text"}
    assert files_of(second) == {"apps/a.yaml": "two"}


def test_what_is_not_committed_is_not_archived(repository: Repository, server: ArtifactServer) -> None:
    commit = repository.commit({"a.yaml": "committed"})
    (repository.directory / "a.yaml").write_text("edited")
    assert files_of(server.add(repository, commit)) == {"a.yaml": "committed"}


def test_an_artifact_names_commit_digest_and_size(repository: Repository, server: ArtifactServer) -> None:
    commit = repository.commit({"a.yaml": "text"})
    artifact = server.add(repository, commit)
    content = fetched(artifact)
    assert artifact["revision"] == f"main@sha1:{commit}"
    assert artifact["digest"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert artifact["size"] == len(content)
