"""Chart: the files of a Helm chart, taken into memory from an export of the commit or from the directory of `cvstate check`.

Helm reads every file of the directory and follows every link, so what it may read is decided here: it gets a copy of these files and nothing else. Charts
packed in `charts/*.tgz` are opened as well, for those who look at templates.
"""

import gzip
import io
import os
import posixpath
import re
import tarfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from cvstate_operator import errors
from cvstate_operator.objects.redaction import one_line
from cvstate_operator.render import export, paths
from cvstate_operator.render.files import DiskFiles, link_escapes

MAX_ARCHIVES: Final = 4
"""Packed charts in one another."""

_PACKED: Final = re.compile(r"(?:charts/[^/]+/)*charts/[^/._][^/]*\.tgz")
"""Where Helm looks for packed charts. Source: Helm, pkg/chart/v2/loader, LoadFiles."""

Change: TypeAlias = Callable[[str, bytes], bytes]
"""Path in the chart and content of a file, to its new content."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one chart may hold, its dependencies included."""

    max_files: int = 20_000
    """Files, those of packed charts included. The largest public charts have some hundred."""
    max_bytes: int = 64 * 2**20
    """Content of all files, and again of everything that is packed. Helm itself stops at 100 MiB."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart as Helm will see it."""

    path: str
    """Its directory in the repository; empty for the repository itself."""
    files: Mapping[str, bytes]
    """Path in the chart to content, sorted. `charts/x.tgz` is one file."""

    def where(self, file: str) -> str:
        """Path of a file in the repository, for people; of the chart itself for an empty one."""
        return one_line(posixpath.normpath(posixpath.join(self.path, file)), 300)

    def write(self, directory: Path) -> None:
        """Write the files below `directory`, which is made."""
        for folder in sorted({"", *(posixpath.dirname(file) for file in self.files)}):
            (directory / folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        for file, content in self.files.items():
            (directory / file).write_bytes(content)

    def changed(self, change: Change, limits: Limits = Limits()) -> "Chart":
        """The chart with `change` done to each file, those in packed charts included; their paths are like `charts/db-1.2.tgz/templates/x.yaml`.

        Raises:
            RenderTooLargeError: packed charts hold more than the limit.
            BuildFailedError: a packed chart cannot be read.
        """
        return Chart(self.path, _Changing(self, change, limits).files(dict(self.files), "", depth=0))


def read(root: Path, path: str, *, limits: Limits = Limits()) -> Chart:
    """Read the chart in directory `path` of the repository `root`.

    Links are followed, `.git` is left out.

    Raises:
        PathNotFoundError: there is no such directory.
        BuildFailedError: there is no Chart.yaml, a link leads nowhere, or a file has a name that no file should have.
        PathEscapesError: the path leads out of the repository.
        SymlinkEscapesError: a link leads out of the repository, into `.git` or in a circle.
        RenderTooLargeError: a limit was reached.
    """
    path = paths.inside(path, f"path {path}")
    reading = _Reading(root, path, limits)
    directory = reading.files.directory(path)
    if directory is None:
        raise errors.PathNotFoundError(f"path {one_line(path or '.')} is not in the commit, or is no directory; correct it, or push it")
    reading.add(directory, "", above=())
    if paths.CHART_FILE not in reading.contents:
        raise errors.BuildFailedError(f"{one_line(path or '.')}: has no Chart.yaml; add it, or set spec.render.type")
    return Chart(path, dict(sorted(reading.contents.items())))


class _Reading:
    """Collects files of a directory and below."""

    def __init__(self, root: Path, path: str, limits: Limits) -> None:
        self.files = DiskFiles(root)
        self.contents: dict[str, bytes] = {}
        self._root = root
        self._path = path
        self._limits = limits
        self._size_bytes = 0

    def add(self, directory: str, prefix: str, *, above: tuple[str, ...]) -> None:
        """Take everything in `directory`, whose links are resolved and which lies in all of `above`."""
        if directory in above:
            raise link_escapes(posixpath.join(self._path, prefix), "leads in a circle")
        with os.scandir(os.fsencode(self._root / directory)) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            if entry.name == b".git":
                continue
            name = export.check_name(entry.name, directory)
            place = posixpath.join(directory, name)
            # Only a link or a directory can lead to a directory; to ask for each file would take longer than all the rest.
            may_be_directory = entry.is_symlink() or entry.is_dir()
            below = self.files.directory(place) if may_be_directory else None
            if below is None:
                self._read(place, f"{prefix}{name}")
            else:
                self.add(below, f"{prefix}{name}/", above=(*above, directory))

    def _read(self, place: str, file: str) -> None:
        content = self.files.read(place)
        if content is None:
            raise errors.BuildFailedError(f"{one_line(place, 200)}: is no file, or a symbolic link that leads nowhere; correct it")
        self._size_bytes += len(content)
        if self._size_bytes > self._limits.max_bytes or len(self.contents) >= self._limits.max_files:
            raise _too_large(self._path, self._limits)
        self.contents[file] = content


class _Changing:
    """One pass over a chart and what is packed in it."""

    def __init__(self, chart: Chart, change: Change, limits: Limits) -> None:
        self._chart = chart
        self._change = change
        self._limits = limits
        self._files = 0
        self._size_bytes = 0

    def files(self, files: dict[str, bytes], prefix: str, *, depth: int) -> dict[str, bytes]:
        return {file: self._file(file, f"{prefix}{file}", content, depth) for file, content in files.items()}

    def _file(self, file: str, where: str, content: bytes, depth: int) -> bytes:
        if not _PACKED.fullmatch(file):
            return self._change(where, content)
        if depth >= MAX_ARCHIVES:
            raise errors.RenderTooLargeError(
                f"{self._chart.where(where)}: more than {MAX_ARCHIVES} packed charts in one another; unpack it"
            )
        before = self._unpack(content, where)
        # The first part of a name is the chart's directory in the archive.
        inner = {name.partition("/")[2]: text for name, text in before.items()}
        after = self.files(inner, f"{where}/", depth=depth + 1)
        return content if after == inner else _pack(after)

    def _unpack(self, content: bytes, where: str) -> dict[str, bytes]:
        room = self._limits.max_bytes - self._size_bytes
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
                plain = stream.read(room + 1)
            if len(plain) > room:
                raise _too_large(self._chart.where(where), self._limits)
            self._size_bytes += len(plain)
            with tarfile.open(fileobj=io.BytesIO(plain), mode="r:") as archive:
                return {self._name(member, where): self._member(archive, member, where) for member in archive if member.isreg()}
        except (OSError, EOFError, zlib.error, tarfile.TarError, ValueError) as exc:
            raise errors.BuildFailedError(f"{self._chart.where(where)}: is no packed chart; run helm dependency build again") from exc

    def _name(self, member: tarfile.TarInfo, where: str) -> str:
        # Helm writes it into a comment above each object, which a newline would end.
        if not member.name.isprintable():
            raise errors.BuildFailedError(f"{self._chart.where(where)}: holds a file with unprintable characters in its name; rename it")
        return member.name

    def _member(self, archive: tarfile.TarFile, member: tarfile.TarInfo, where: str) -> bytes:
        self._files += 1
        # A sparse member is larger than what it takes in the archive.
        if self._files > self._limits.max_files or member.size > self._limits.max_bytes:
            raise _too_large(self._chart.where(where), self._limits)
        stream = archive.extractfile(member)
        return stream.read() if stream else b""


def _pack(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"chart/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def _too_large(where: str, limits: Limits) -> errors.RenderTooLargeError:
    return errors.RenderTooLargeError(
        f"{one_line(where or '.', 200)}: more than {limits.max_files} files or {limits.max_bytes // 2**20} MiB in the chart; keep other files elsewhere"
    )
