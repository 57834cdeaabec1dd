"""What a command left behind: processes by the environment they inherited, files by the temporary directory they were given."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Room:
    """A temporary directory that a command and everything it starts believe to be the machine's."""

    path: Path

    @property
    def environment(self) -> dict[str, str]:
        """For the command: no cluster but its own, temporary files here."""
        dropped = ("CVSTATE_KUBECONFIG", "XDG_RUNTIME_DIR", "KUBECONFIG")
        return {**{name: value for name, value in os.environ.items() if name not in dropped}, "TMPDIR": str(self.path), "COLUMNS": "120"}

    def processes(self) -> list[str]:
        """Command lines of the processes that live in this room."""
        mark = f"TMPDIR={self.path}".encode()
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    found.append((process / "cmdline").read_text().replace("\0", " "))
            except OSError:
                continue  # it ended meanwhile, or is not ours
        return found

    def files(self) -> list[str]:
        """Names of what stands in the directory."""
        return sorted(path.name for path in self.path.iterdir())


@contextmanager
def room() -> Iterator[Room]:
    """A room; its path is short, since Unix sockets are made in it."""
    path = Path(tempfile.mkdtemp(prefix="e2e-"))
    try:
        yield Room(path)
    finally:
        shutil.rmtree(path, ignore_errors=True)
