"""The render store: rendered objects on disk, so that memory keeps identity and digest only. One file for all that one process of a render made
anew.

A file is the bodies one after the other, then the keys of the contents they belong to as JSON, then their indexes as JSON, then a trailer with the lengths of
both. A file for each content would be simpler, but making one costs 0.3 ms, a third of a second for a thousand (measured). Written and searched by the render
child; the operator reads bodies.
"""

import contextlib
import hashlib
import os
import re
import shutil
import struct
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

import orjson

from cvstate_operator.isolation.keeper import Kept
from cvstate_operator.isolation.task import OutOfRoomError

STORE_VERSION: Final = "v4"
"""Part of the store's path: what another version of the reader wrote is not used."""
KEEP_SECONDS: Final = 24 * 3600.0
"""How long a file is kept that nobody uses: a rollback within a day parses nothing anew."""
SPARED_SECONDS: Final = 60.0
"""How long a file is spared after its render, until the ClusterState says that it uses it."""
YOUNG_SECONDS: Final = 300.0
"""A file of this age may belong to a render that is not finished yet; a render takes a minute at most."""
MANY: Final = 64
"""So many contents are worth a search in the files of others; to parse fewer takes less than to look."""
MAX_SEARCHED: Final = 64
"""Most files that are searched, the newest first; of 5,000 contents each the keys take 2 ms a file."""

_BUNDLE: Final = "bundle-"
_TRAILER: Final = struct.Struct(">8sQQ")
_MARK: Final = b"cvstate3"
_VERSIONS: Final = re.compile(r"v[0-9]+")


class Store:
    """One directory of rendered files."""

    def __init__(self, root: Path, *, most_bytes: int | None = None) -> None:
        """
        Args:
            root: the directory; made if absent.
            most_bytes: of each file that is written; None: as many as there are.
        """
        self.directory = root / STORE_VERSION
        self.most_bytes = most_bytes
        self._place = f"{self.directory}/"
        """The same, to put a name behind: a body is read for each object that is applied, and to join paths takes as long as to read it."""

    def write(self) -> "Writing":
        """Begin a file; in a `with` statement, at whose end it is there: whole or not at all, also if two children write the same at once."""
        return Writing(self.directory, self.most_bytes)

    def divided(self, number: int) -> "Store":
        """The same store for each of so many processes that write at the same time: the files of all of them are bounded as one would be."""
        return Store(self.directory.parent, most_bytes=None if self.most_bytes is None else self.most_bytes // number)

    def find(self, keys: Collection[str]) -> dict[str, dict[str, Any]]:
        """The indexes of those contents that were rendered before, each as it was given to `Writing.add`, with `file` and `start`.

        Files that turn out to be damaged are removed. Of few keys (`MANY`), those are not found that came with many others.
        """
        found: dict[str, dict[str, Any]] = {}
        is_many = len(keys) >= MANY
        # To ask for thousands of files that are not there takes longer than to list those that are.
        there = self._files() if is_many else {}
        for key in keys:
            if not is_many or key in there:
                found.update(self._search(key, {key}))
        missing = set(keys) - found.keys()
        bundles = sorted((name for name in there if name.startswith(_BUNDLE)), key=lambda name: (there[name], name), reverse=True)
        for name in bundles[:MAX_SEARCHED]:
            if len(missing) < MANY:
                break
            found.update(self._search(name, missing))
            missing -= found.keys()
        return found

    def body(self, file: str, offset: int, length: int) -> Any:
        """One body.

        Raises:
            OSError, ValueError: it is not there, or damaged.
        """
        descriptor = os.open(self._place + file, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return orjson.loads(os.pread(descriptor, length, offset))
        finally:
            os.close(descriptor)

    def discard(self, file: str) -> None:
        """Remove a file that turned out to be damaged; what it held is rendered again."""
        with contextlib.suppress(OSError):
            (self.directory / file).unlink()

    def collect(self, used: Collection[str]) -> int:
        """Remove what nobody uses and nobody used lately, and what other versions left; returns the bytes that are left.

        Takes a while: not for the event loop.
        """
        self._remove_other_versions()
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
            is_left_behind = name.startswith(".")  # by a child that was killed while it wrote
            if name not in used and (age > KEEP_SECONDS or (age > YOUNG_SECONDS and is_left_behind)):
                self.discard(name)
                total -= size
        return total

    def _files(self) -> dict[str, int]:
        """Name to time of writing."""
        found = {}
        with contextlib.suppress(OSError), os.scandir(self.directory) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    found[entry.name] = entry.stat(follow_symlinks=False).st_mtime_ns
        return found

    def _search(self, file: str, wanted: Collection[str]) -> dict[str, dict[str, Any]]:
        try:
            with open(self.directory / file, "rb") as opened:
                found = {key: {**index, "file": file} for key, index in _read(opened, wanted).items()}
                if found:
                    os.utime(opened.fileno())  # what is used again goes last
                return found
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError):  # the last two: JSON of another shape
            self.discard(file)
            return {}

    def _remove_other_versions(self) -> None:
        with contextlib.suppress(OSError), os.scandir(self.directory.parent) as entries:
            for entry in entries:
                if entry.name != STORE_VERSION and _VERSIONS.fullmatch(entry.name):
                    shutil.rmtree(entry.path, ignore_errors=True)


class Shelf:
    """What a store keeps, as `Room` looks after it."""

    def __init__(self, store: Store, *, used: Callable[[], Collection[str]]) -> None:
        """
        Args:
            store: whose files they are.
            used: names of the files that ClusterStates use now.
        """
        self._store = store
        self._used = used
        self._young: dict[str, float] = {}
        """Path to when it was measured last (monotonic seconds): who rendered it is about to say that it is used."""

    def kept(self) -> Mapping[str, Kept]:
        """Every file, by path."""
        found = {}
        with contextlib.suppress(OSError), os.scandir(self._store.directory) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue  # in the making, of the room for renders; one that is left behind `collect` removes
                with contextlib.suppress(OSError):
                    facts = entry.stat(follow_symlinks=False)
                    found[entry.path] = Kept(facts.st_size, facts.st_mtime)
        return found

    def measure(self, path: str) -> Kept | None:
        """One file."""
        try:
            facts = os.lstat(path)
        except OSError:
            self._young.pop(path, None)
            return None
        self._young[path] = time.monotonic()
        return Kept(facts.st_size, facts.st_mtime)

    def remove(self, path: str) -> None:
        """Remove a file; what it held is rendered again."""
        self._store.discard(os.path.basename(path))

    def spared(self) -> Collection[str]:
        """Files that are used, or are about to be."""
        now = time.monotonic()
        self._young = {path: at for path, at in self._young.items() if now < at + SPARED_SECONDS}
        return {*self._young, *(f"{self._store.directory}/{name}" for name in self._used())}


class Writing:
    """One file in the making. Bodies go to disk as they come, so that memory holds their indexes only."""

    def __init__(self, directory: Path, most_bytes: int | None) -> None:
        self._directory = directory
        self._most_bytes = most_bytes
        self._file: IO[bytes] | None = None
        self._temporary = ""
        self._indexes: dict[str, dict[str, Any]] = {}
        self._length = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._file is None:
            return
        with self._file as file:
            if kind is None:
                parts = [orjson.dumps(list(self._indexes)), orjson.dumps(self._indexes)]
                file.write(b"".join(parts) + _TRAILER.pack(_MARK, *map(len, parts)))
        if kind is None:
            os.replace(self._temporary, self._directory / self.name)
        else:
            os.unlink(self._temporary)

    def __contains__(self, key: str) -> bool:
        return key in self._indexes

    def add(self, key: str, index: dict[str, Any], bodies: bytes) -> None:
        """Put one content in, as `parse` made it.

        Raises:
            OutOfRoomError: the file would be larger than it may be; keys and indexes on top of that are a small part of it.
        """
        if self._most_bytes is not None and self._length + len(bodies) > self._most_bytes:
            raise OutOfRoomError(f"more than {self._most_bytes // 2**20} MiB of objects")
        if self._file is None:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor, self._temporary = tempfile.mkstemp(dir=self._directory, prefix=".")
            self._file = os.fdopen(descriptor, "wb")
        self._indexes[key] = {**index, "start": self._length}
        self._file.write(bodies)
        self._length += len(bodies)

    @property
    def indexes(self) -> dict[str, dict[str, Any]]:
        """What was put in, as `Store.find` tells it."""
        name = self.name
        return {key: {**index, "file": name} for key, index in self._indexes.items()}

    @property
    def name(self) -> str:
        """Of the file: by what is in it. One content alone is found by its key."""
        if len(self._indexes) == 1:
            return next(iter(self._indexes))
        return _BUNDLE + hashlib.blake2b("\n".join(self._indexes).encode(), digest_size=16).hexdigest()


def _read(file: IO[bytes], wanted: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The indexes of those contents that the file holds.

    Raises:
        OSError, ValueError: it is damaged.
    """
    size = os.fstat(file.fileno()).st_size
    file.seek(max(0, size - _TRAILER.size))
    trailer = file.read(_TRAILER.size)
    if len(trailer) < _TRAILER.size:
        raise ValueError("too short")
    mark, keys_length, indexes_length = _TRAILER.unpack(trailer)
    begin = size - _TRAILER.size - keys_length - indexes_length
    if mark != _MARK or begin < 0:
        raise ValueError("no trailer")
    file.seek(begin)
    keys = set(orjson.loads(file.read(keys_length)))
    here = [key for key in wanted if key in keys]
    if not here:
        return {}
    indexes = orjson.loads(file.read(indexes_length))
    return {key: {**indexes[key]} for key in here}
