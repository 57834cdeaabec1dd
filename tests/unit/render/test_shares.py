"""Dividing the parsing of many files among processes.

Aspects: what is worth it · each share is a file of its own in the store, and together they hold all · a fork that fails, or is killed, costs nothing but time.
"""

import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

import pygit2
import pytest

from cvstate_operator.cli.demo.git_server import Repository
from cvstate_operator.render import shares
from cvstate_operator.render.parse import Options, parse
from cvstate_operator.render.store import Store

FILES = 30


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def repository(tmp_path: Path) -> pygit2.Repository:
    upstream = Repository(tmp_path / "upstream")
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: n{}\n"
    upstream.commit({f"{number}.yaml": text.format(number) for number in range(FILES)})
    return pygit2.Repository(str(upstream.directory))


@pytest.fixture
def blobs(repository: pygit2.Repository) -> Mapping[str, str]:
    return {str(entry.id): str(entry.id) for entry in repository.head.peel(pygit2.Commit).tree}


def names(store: Store, indexes: shares.Indexes) -> set[str]:
    """Of all objects, as the store gives them back."""
    return {
        store.body(index["file"], index["start"] + offset, length)["metadata"]["name"]
        for index in indexes.values()
        for *_, offset, length in index["objects"]
    }


@pytest.mark.parametrize(
    ("sizes", "cores", "expected"),
    [
        ([], 8, 1),
        ([shares.MIN_BYTES], 8, 1),
        ([shares.MIN_BYTES] * 10, 8, 4),
        ([10**8] * 9, 2, 2),
        ([10**8] * 9, 1, 1),
        ([10**8] * 2, 8, 2),
    ],
)
def test_only_much_is_divided_and_among_no_more_processes_than_cores(
    monkeypatch: pytest.MonkeyPatch, sizes: Sequence[int], cores: int, expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)))
    assert shares.count(sizes) == expected


@pytest.mark.parametrize("number", [1, 2, 4, FILES, FILES + 5])
def test_shares_hold_all_together(repository: pygit2.Repository, blobs: Mapping[str, str], store: Store, number: int) -> None:
    indexes = shares.parse_all(repository, blobs, Options(), store, shares=number)
    assert indexes.keys() == blobs.keys()
    assert names(store, indexes) == {f"n{number}" for number in range(FILES)}
    assert len({index["file"] for index in indexes.values()}) == min(number, FILES)
    assert store.find(list(blobs)[:1]) or number < FILES, "what is alone in a file is found by its key"


def test_nothing_is_no_work(repository: pygit2.Repository, store: Store) -> None:
    assert shares.parse_all(repository, {}, Options(), store, shares=1) == {}


@pytest.mark.parametrize("how", ["error", "killed"])
def test_what_a_fork_could_not_do_is_done_without_it(
    repository: pygit2.Repository, blobs: Mapping[str, str], store: Store, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    here = os.getpid()

    def fragile(text: bytes, options: Options) -> object:
        if os.getpid() != here:
            if how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise MemoryError
        return parse(text, options)

    monkeypatch.setattr("cvstate_operator.render.shares.parse", fragile)
    indexes = shares.parse_all(repository, blobs, Options(), store, shares=3)
    assert names(store, indexes) == {f"n{number}" for number in range(FILES)}
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
