"""How the demo signs its commits.

Aspects: git itself verifies what was signed; commits before are unsigned, those after are signed without more ado; what the operator reads in the public
key; a machine that cannot sign says why.
"""

from datetime import UTC, datetime
from pathlib import Path

import pygit2
import pytest

from cvstate_operator.cli.demo import signing
from cvstate_operator.cli.demo.git_server import Repository
from cvstate_operator.cli.demo.signing import SigningKey
from cvstate_operator.errors import VerificationFailedError
from cvstate_operator.source import signatures
from cvstate_operator.source.signatures import Keys


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return SigningKey.make(tmp_path / "keys")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "git")


def verify(repository: Repository, commit: str, key: SigningKey) -> str:
    """Who signed, as the operator sees it."""
    keys = Keys.parse({"jane.sshpub": key.public.encode()})
    git = pygit2.Repository(str(repository.directory))
    return str(signatures.verify(git, commit=commit, tag=None, mode="HEAD", keys=keys, now=datetime.now(UTC)))


def test_amended_commit_holds_the_same_files_and_is_signed(repository: Repository, key: SigningKey) -> None:
    unsigned = repository.commit({"a": "1"}, "pay")
    with pytest.raises(VerificationFailedError) as refusal:
        verify(repository, unsigned, key)
    assert refusal.value.verdict == "SignatureMissing"
    repository.sign_with(key.private)
    signed = repository.amend()
    assert verify(repository, signed, key) == f"ssh:{key.fingerprint} ({signing.OWNER})"
    assert repository.git("rev-parse", f"{signed}^{{tree}}") == repository.git("rev-parse", f"{unsigned}^{{tree}}")
    assert repository.git("log", "-1", "--format=%s").strip() == "pay"


def test_commits_after_the_first_signed_one_are_signed_too(repository: Repository, key: SigningKey) -> None:
    repository.sign_with(key.private)
    commit = repository.commit({"a": "1"})
    assert key.fingerprint in verify(repository, commit, key)


def test_key_is_for_its_owner_alone(key: SigningKey) -> None:
    assert key.private.stat().st_mode & 0o077 == 0
    assert key.private.parent.stat().st_mode & 0o077 == 0


def test_machine_with_git_and_ssh_keygen_can_sign() -> None:
    assert signing.hindrance() == ""


def test_machine_without_ssh_keygen_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "ssh-keygen is not on PATH; install" in signing.hindrance()


@pytest.mark.parametrize(("version", "can"), [("2.30.2", False), ("2.34.0", True), ("2.39.5 (Apple Git-154)", True), ("3.0.1", True)])
def test_git_that_is_too_old_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, can: bool) -> None:
    for name in ("git", "ssh-keygen"):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\necho 'git version {version}'\n")
        program.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ("2.34 or newer" not in signing.hindrance()) is can
