"""The benchmark's end of the line to a crowd of stub clusters, which run in a process of their own; see `bench.stub_clusters`."""

import base64
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import orjson
import yaml

from bench import objects
from bench.stub_clusters import digest
from bench.witness import ROOT, NotReachedError

TOKEN: Final = "bench"  # noqa: S105 - nobody checks it
POLL_SECONDS: Final = 0.2
"""Between two questions what the clusters hold; times are taken by them, so this only delays their end."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one cluster holds, and what it was asked."""

    digest: str
    """`stub_clusters.digest` of it."""
    changed: float
    """When something changed last, CLOCK_MONOTONIC; 0 for never."""
    requests: Mapping[str, int]
    """`PATCH`, `WATCH` … → how many."""


class Stubs:
    """So many clusters for the duration of a `with` block."""

    def __init__(self, alive: int, dead: int, directory: Path) -> None:
        """
        Args:
            alive: clusters that answer.
            dead: clusters that take connections and say nothing.
            directory: for their certificate.
        """
        directory.mkdir()
        self.authority = directory / "ca.pem"
        """Who vouches for them."""
        self._command = (sys.executable, "-m", "bench.stub_clusters", str(alive), str(dead), str(directory))

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            self.__exit__()
            raise NotReachedError("the stub clusters ended; their error is above")
        told = orjson.loads(line)
        self.alive: list[int] = told["alive"]
        self.dead: list[int] = told["dead"]
        self._state = f"http://127.0.0.1:{told['state']}/"
        return self

    def __exit__(self, *exc: object) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.stdout.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def kubeconfig(self, port: int) -> str:
        """Of the cluster at that port."""
        authority = base64.b64encode(self.authority.read_bytes()).decode()
        embedded = {"server": f"https://127.0.0.1:{port}", "certificate-authority-data": authority}
        return yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "stub", "cluster": embedded}],
                "users": [{"name": "bench", "user": {"token": TOKEN}}],
                "contexts": [{"name": "stub", "context": {"cluster": "stub", "user": "bench"}}],
                "current-context": "stub",
            }
        )

    def seen(self) -> list[Seen]:
        """What those that answer hold now."""
        with urllib.request.urlopen(self._state, timeout=60) as answer:
            return [Seen(**found) for found in orjson.loads(answer.read())]

    def wait(self, files: Mapping[str, str], *, seconds: float) -> list[float]:
        """Wait until each that answers holds exactly the ConfigMaps of these files; for each, when its last one changed.

        Raises:
            NotReachedError: not in time; says how many are as declared.
        """
        bodies = objects.parse(files.values()).values()
        wanted = digest({f"{body['metadata']['namespace']}/{body['metadata']['name']}": body["data"] for body in bodies})
        end = time.monotonic() + seconds
        while True:
            found = self.seen()
            right = sum(each.digest == wanted for each in found)
            if right == len(found):
                return [each.changed for each in found]
            if time.monotonic() > end:
                raise NotReachedError(f"after {seconds:.0f} s {right} of {len(found)} clusters are as declared")
            time.sleep(POLL_SECONDS)
