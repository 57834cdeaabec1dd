"""The render store: rendered objects on disk, so that memory keeps identity and digest only. One file per content and recipe.

A file is an index as one line of JSON, then the bodies one after the other. Written by the render child, read by the operator.
"""

import contextlib
import os
import tempfile
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

import orjson

STORE_VERSION: Final = "v2"
"""Part of the store's path: what another version of the reader wrote is not used."""
MAX_BYTES: Final = 4 * 2**30
"""Above this, files that no ClusterState uses are removed at once rather than after a day."""
KEEP_SECONDS: Final = 24 * 3600.0
"""How long a file is kept that nobody uses: a rollback within a day parses nothing anew."""
YOUNG_SECONDS: Final = 300.0
"""A file of this age may belong to a render that is not finished yet."""


class Store:
    """One directory of rendered files."""

    def __init__(self, root: Path) -> None:
        self.directory = root / STORE_VERSION

    def has(self, key: str) -> bool:
        """Whether the content was rendered before."""
        return (self.directory / key).exists()

    def write(self, key: str, index: dict[str, Any], bodies: bytes) -> dict[str, Any]:
        """Put one content in: all or nothing, also if two children write the same at once. Returns the index as `index` reads it."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, temporary = tempfile.mkstemp(dir=self.directory, prefix=".")
        with os.fdopen(descriptor, "wb") as file:
            line = orjson.dumps(index) + b"\n"
            file.write(line + bodies)
        os.replace(temporary, self.directory / key)
        return {**index, "start": len(line)}

    def index(self, key: str) -> dict[str, Any]:
        """The index of a content as `parse` made it, with `start`, the offset of its first body.

        Raises:
            OSError, ValueError: it is not there, or damaged.
        """
        with open(self.directory / key, "rb") as file:
            line = file.readline()
        index = orjson.loads(line)
        if not isinstance(index, dict):
            raise ValueError("no index")
        return {**index, "start": len(line)}

    def body(self, key: str, offset: int, length: int) -> Any:
        """One body.

        Raises:
            OSError, ValueError: it is not there, or damaged.
        """
        with open(self.directory / key, "rb") as file:
            file.seek(offset)
            return orjson.loads(file.read(length))

    def discard(self, key: str) -> None:
        """Remove a content that turned out to be damaged; it is rendered again."""
        with contextlib.suppress(OSError):
            (self.directory / key).unlink()

    def collect(self, used: Collection[str], *, max_bytes: int = MAX_BYTES) -> int:
        """Remove what nobody uses and nobody used lately; returns the bytes that are left. Takes a while: not for the event loop."""
        found = []
        with contextlib.suppress(OSError), os.scandir(self.directory) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    facts = entry.stat(follow_symlinks=False)
                    found.append((facts.st_mtime, entry.name, facts.st_size))
        total = sum(size for _, _, size in found)
        now = time.time()
        for written_at, name, size in sorted(found):
            age = now - written_at
            if name not in used and (age > KEEP_SECONDS or (total > max_bytes and age > YOUNG_SECONDS)):
                self.discard(name)
                total -= size
        return total
