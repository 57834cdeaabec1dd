"""Whether a commit descends from the one that was applied last.

Aspects: descent · equal commits · what is not there · going back and aside, in the words of the message · the ends of a cached history.
"""

from pathlib import Path

import pygit2
import pytest
from pygit2.enums import ObjectType

from cvstate_operator import errors
from cvstate_operator.source import history

SIGNATURE = pygit2.Signature("a", "a@example.io", 1_767_225_600, 0)
ABSENT = "0" * 39 + "1"


class Repo:
    """A bare repository whose commits are named by letters."""

    def __init__(self, directory: Path) -> None:
        self.git = pygit2.init_repository(str(directory), bare=True)
        self._tree = self.git.odb.write(ObjectType.TREE, b"")

    def commit(self, message: str, *parents: str) -> str:
        return str(self.git.create_commit(None, SIGNATURE, SIGNATURE, message, self._tree, list(parents)))


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo(tmp_path / "r")


def require(repo: Repo, commit: str, baseline: str) -> None:
    history.require_descendant(repo.git, commit, baseline, selector="branch main")


def test_a_descendant_passes_however_far_and_through_merges(repo: Repo) -> None:
    first = repo.commit("a")
    side = repo.commit("side")
    last = first
    for number in range(20):
        last = repo.commit(str(number), last)
    require(repo, repo.commit("merge", side, last), first)
    require(repo, repo.commit("merge", last, side), side)


def test_the_same_commit_passes_even_if_it_is_not_there(repo: Repo) -> None:
    require(repo, ABSENT, ABSENT)


def test_going_back_is_told_as_such(repo: Repo) -> None:
    first = repo.commit("a")
    second = repo.commit("b", first)
    with pytest.raises(errors.RewindRefusedError) as caught:
        require(repo, first, second)
    assert "an older commit" in caught.value.message
    assert all(word in caught.value.message for word in ("branch main", first[:12], second[:12], "allowRewind"))


def test_going_aside_is_told_without_a_guess(repo: Repo) -> None:
    first = repo.commit("a")
    one, other = repo.commit("b", first), repo.commit("c", first)
    with pytest.raises(errors.RewindRefusedError, match="does not descend"):
        require(repo, one, other)


@pytest.mark.parametrize("missing", ["commit", "baseline"])
def test_what_is_not_there_does_not_pass(repo: Repo, missing: str) -> None:
    there = repo.commit("a")
    commit, baseline = (ABSENT, there) if missing == "commit" else (there, ABSENT)
    with pytest.raises(errors.RewindRefusedError):
        require(repo, commit, baseline)


def test_in_a_whole_history_everything_can_be_told(repo: Repo) -> None:
    first = repo.commit("a")
    assert history.is_decidable(repo.git, first, ABSENT)
    assert not history.is_decidable(repo.git, ABSENT, first)
    assert history.is_decidable(repo.git, ABSENT, ABSENT)


def test_in_a_shallow_history_only_a_connection_tells_something(repo: Repo) -> None:
    first = repo.commit("a")
    second = repo.commit("b", first)
    cut = repo.commit("c", second)
    last = repo.commit("d", cut)
    Path(repo.git.path, "shallow").write_text(f"{cut}\n")
    git = pygit2.Repository(repo.git.path)
    assert history.is_decidable(git, last, cut)
    assert history.is_decidable(git, cut, last)
    assert not history.is_decidable(git, last, first)
    assert not history.is_decidable(git, last, ABSENT)


def test_a_history_with_a_hole_is_a_fault_and_no_rewind(repo: Repo) -> None:
    first = repo.commit("a")
    hole = repo.commit("b", first)
    last = repo.commit("c", hole)
    Path(repo.git.path, "objects", hole[:2], hole[2:]).unlink()
    with pytest.raises((KeyError, pygit2.GitError)):
        history.require_descendant(pygit2.Repository(repo.git.path), last, first, selector="branch main")


def test_a_sound_cache_has_its_ends(repo: Repo) -> None:
    history.require_ends(repo.git)
    commit = repo.commit("a")
    repo.git.references.create("refs/cvstate/heads/main", commit)
    Path(repo.git.path, "shallow").write_text(f"{commit}\n")
    history.require_ends(repo.git)


@pytest.mark.parametrize("shallow", [f"{ABSENT}\n", "garbage\n", "\x00\n"], ids=["lost", "garbage", "zeros"])
def test_a_boundary_that_cannot_be_read_is_a_fault(repo: Repo, shallow: str) -> None:
    Path(repo.git.path, "shallow").write_text(shallow)
    with pytest.raises((KeyError, ValueError, pygit2.GitError)):
        history.require_ends(repo.git)


def test_a_ref_to_what_was_lost_is_a_fault(repo: Repo) -> None:
    place = Path(repo.git.path, "refs", "cvstate", "heads", "main")
    place.parent.mkdir(parents=True)
    place.write_text(f"{ABSENT}\n")
    with pytest.raises((KeyError, ValueError, pygit2.GitError)):
        history.require_ends(repo.git)
