"""The directory in which everything of one cluster lives, and the list of clusters there are.

Written by `supervisor`; read by `control_plane` and the command line, also from other processes. A cluster whose supervisor has ended is stale:
its programs ended with the supervisor, and its directory may be removed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster import locations
from tests.cluster.errors import ClusterError
from tests.cluster.processes import Identity

_PREFIX = "cvstate-cluster-"

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
"""A DNS label, as Kubernetes names are (RFC 1123)."""


@dataclass(frozen=True, slots=True)
class Record:
    """What is known about a cluster that is ready.

    Attributes:
        url: Where its API server listens.
        is_quiet: Only etcd and the API server run.
        programs: Each program that was started, also one that has ended since.
    """

    url: str
    is_quiet: bool
    programs: Mapping[str, Identity]


@dataclass(frozen=True, slots=True)
class StateDirectory:
    """One cluster's directory. All paths below it are fixed, so its name is enough to find a cluster."""

    name: str
    path: Path

    @property
    def admin_kubeconfig(self) -> Path:
        """Kubeconfig of a user in the group system:masters."""
        return self.path / "admin.kubeconfig"

    @property
    def operator_kubeconfig(self) -> Path:
        """Kubeconfig of the ordinary user `cvstate-operator`."""
        return self.path / "operator.kubeconfig"

    @property
    def audit_log(self) -> Path:
        """The API server's audit log, one JSON event a line."""
        return self.path / "audit.log"

    @property
    def control_socket(self) -> Path:
        """Where the supervisor takes orders."""
        return self.path / "control.sock"

    def log(self, program: str) -> Path:
        """Return the log file of a program, or of the supervisor."""
        return self.path / f"{program}.log"

    @property
    def supervisor(self) -> Identity | None:
        """The process that holds the cluster's programs; None when it was never written down or has ended."""
        found = _read_json(self.path / "supervisor.json")
        identity = None if found is None else Identity(found["pid"], found["start_ticks"])
        return identity if identity is not None and identity.is_alive else None

    @property
    def is_detached(self) -> bool:
        """Say whether the cluster outlives the process that started it (``up``)."""
        return (self.path / "detached").exists()

    def record(self) -> Record | None:
        """Return what is known about the cluster; None until it is ready."""
        found = _read_json(self.path / "cluster.json")
        if found is None:
            return None
        programs = {name: Identity(each["pid"], each["start_ticks"]) for name, each in found["programs"].items()}
        return Record(url=found["url"], is_quiet=found["quiet"], programs=programs)

    def write_supervisor(self, identity: Identity) -> None:
        """Write down which process holds the cluster."""
        _write_json(self.path / "supervisor.json", _as_json(identity))

    def write_record(self, record: Record) -> None:
        """Write down, at once, what is known about the cluster."""
        programs = {name: _as_json(identity) for name, identity in record.programs.items()}
        _write_json(self.path / "cluster.json", {"url": record.url, "quiet": record.is_quiet, "programs": programs})

    def mark_detached(self) -> None:
        """Write down that the cluster outlives its starter."""
        (self.path / "detached").touch()

    def remove(self) -> None:
        """Remove the directory and all in it; nothing happens when it is gone."""
        shutil.rmtree(self.path, ignore_errors=True)


def at(name: str) -> StateDirectory:
    """Return the directory for a cluster of that name; it need not exist.

    Raises:
        ClusterError: The name is not a DNS label.
    """
    if _NAME.fullmatch(name) is None:
        raise ClusterError(f"{name!r} is not a name for a cluster", remedy="use up to 63 lower-case letters, digits and inner hyphens")
    return StateDirectory(name, locations.runtime_root() / f"{_PREFIX}{name}")


def create(name: str) -> StateDirectory:
    """Create the directory of a new cluster, readable by this user only; a stale one is replaced.

    Raises:
        ClusterError: The name is not valid, a cluster of that name runs, or the folder belongs to someone else.
    """
    directory = at(name)
    if directory.path.exists():
        if directory.path.stat().st_uid != os.getuid():
            raise ClusterError(f"{directory.path} belongs to another user", remedy="choose another name with --name")
        if directory.supervisor is not None:
            raise ClusterError(
                f"a cluster named {name} is running", remedy=f"`python -m tests.cluster down --name {name}`, or choose another name"
            )
        directory.remove()
    directory.path.mkdir(mode=0o700)
    return directory


def listed() -> tuple[StateDirectory, ...]:
    """Return this user's clusters, also stale ones, sorted by name."""
    found = []
    for path in locations.runtime_root().glob(f"{_PREFIX}*"):
        name = path.name.removeprefix(_PREFIX)
        with contextlib.suppress(FileNotFoundError):  # a cluster that goes away while we look
            if _NAME.fullmatch(name) and path.stat().st_uid == os.getuid():
                found.append(StateDirectory(name, path))
    return tuple(sorted(found, key=lambda directory: directory.name))


@contextlib.contextmanager
def lock() -> Iterator[None]:
    """Hold the right to create a cluster, for the moment between looking for a name and taking it.

    The lock is on the runtime folder itself, so no lock file is left behind.
    """
    folder = os.open(locations.runtime_root(), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _as_json(identity: Identity) -> dict[str, int]:
    return {"pid": identity.pid, "start_ticks": identity.start_ticks}


def _read_json(path: Path) -> Any | None:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None


def _write_json(path: Path, document: Any) -> None:
    """Write and rename, so a reader in another process never sees half a file."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(document))
    temporary.rename(path)
