"""The bound of the cache directory, with a real operator: `cacheBytes`, of which one repository may have a quarter.

Aspects: repositories that together do not fit are all carried out · the directory never holds more · one that is too large is refused, and the others go on.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cvstate_operator.cli.demo.git_server import Repository
from tests.support.beside import beside
from tests.support.objects import config_map, text
from tests.support.operator import Operator
from tests.support.waiting import until
from tests.support.world import World

pytestmark = pytest.mark.integration

CACHE_BYTES = 64 * 2**20
REPOSITORIES = 6
EACH_BYTES = 9 * 2**20
"""All of them are more than the 34 MiB that may be kept."""


class Watch:
    """The most that a directory held, looked at all the time."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.most_bytes = self.looks = 0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look until the end of the `with` statement."""

        def look(is_over: threading.Event) -> None:
            while not is_over.wait(0.01):
                self.most_bytes, self.looks = max(self.most_bytes, used_bytes(self.directory)), self.looks + 1

        with beside(look):
            yield


def used_bytes(directory: Path) -> int:
    """What the files take of a disk, as the kubelet counts: what is only mapped ahead takes none."""
    total = 0
    for where, _, files in os.walk(directory):
        for name in files:
            try:
                total += os.lstat(os.path.join(where, name)).st_blocks * 512
            except OSError:
                continue  # removed in between
    return total


def declare(world: World, name: str, size_bytes: int) -> Repository:
    """A ClusterState `name` with a repository of its own, which holds so many bytes that cannot be compressed."""
    repository = world.git.repository(f"{world.name}-{name}")
    repository.commit({f"apps/{name}.yaml": text(config_map(name)), "blob": ""})
    (repository.directory / "blob").write_bytes(os.urandom(size_bytes))
    repository.git("add", "-A")
    repository.amend()
    world.declare(name, git={"url": world.git.url(f"{world.name}-{name}"), "timeout": "2m"})
    return repository


def test_repositories_that_together_do_not_fit_are_all_carried_out_within_the_bound(own: World, tmp_path: Path):
    cache = tmp_path / "bounded" / "cache"
    own.operator = Operator(own.cluster.operator_kubeconfig, tmp_path / "bounded", "--cache-bytes", "64Mi")
    watch = Watch(cache)
    with own.operator, watch.watching():
        repositories = {f"r{number}": declare(own, f"r{number}", EACH_BYTES) for number in range(REPOSITORIES)}
        commits = {name: repository.git("rev-parse", "HEAD").strip() for name, repository in repositories.items()}
        declare(own, "huge", 25 * 2**20)
        for name, commit in commits.items():
            own.wait_applied(commit, name, seconds=60)
        until("the largest one is refused", lambda: own.condition(name="huge").get("reason") == "RepoTooLarge", seconds=60)
        assert "cacheBytes" in own.condition(name="huge")["message"]
        until("some were removed", lambda: used_bytes(cache) < REPOSITORIES * EACH_BYTES)
        # What was removed is fetched again when it is wanted, and what is too large keeps nobody from that.
        for name, repository in repositories.items():
            commits[name] = repository.commit({f"apps/{name}.yaml": text(config_map(name, k="new"))})
            own.trigger(name)
        for name, commit in commits.items():
            own.wait_applied(commit, name, seconds=60)
    assert watch.looks > 20
    assert watch.most_bytes <= CACHE_BYTES
