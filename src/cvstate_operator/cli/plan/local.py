"""Local: a directory of this machine as a commit, for `plan --file`, so that it is rendered exactly as a commit is.

A bare repository with one tree is made in a scratch directory, in Git's own format: loose objects, which are few lines to write. Source: Git,
"gitformat-loose" and "gitrepository-layout". What is in the directory is not changed.
"""

import hashlib
import os
import stat
import zlib
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from cvstate_operator import errors
from cvstate_operator.objects.artifact import Artifact
from cvstate_operator.objects.redaction import one_line

MAX_FILES: Final = 100_000
MAX_BYTES: Final = 2**30
"""Of all files together; the operator takes repositories of this order."""
MAX_DEPTH: Final = 100
_GIT: Final = ".git"
_TREE: Final = "40000"


class _Entry(NamedTuple):
    """One line of a tree."""

    name: bytes
    mode: str
    id: bytes

    @property
    def order(self) -> bytes:
        """Git sorts a directory as if its name ended in a slash."""
        return self.name + (b"/" if self.mode == _TREE else b"")


def artifact(directory: Path, path: str, scratch: Path) -> Artifact:
    """The directory as a commit.

    Args:
        directory: the repository's root.
        path: directory in it, as in `spec.source.git.path`.
        scratch: an empty directory that outlives the artifact.

    Raises:
        PathNotFoundError: there is no such directory.
        RepoTooLargeError: it holds too much.
        SourceInvalidError: a file cannot be read.
    """
    if not directory.is_dir():
        raise errors.PathNotFoundError(f"{one_line(str(directory), 200)} is no directory; correct --file")
    writer = _Writer(scratch)
    try:
        root = writer.tree(directory, depth=0)
    except OSError as exc:
        raise errors.SourceInvalidError(f"{one_line(str(exc.filename), 200)} cannot be read: {exc.strerror}") from exc
    found = root
    for part in Path(path).parts:
        found = writer.trees.get((found, part), b"")
    if not found:
        raise errors.PathNotFoundError(
            f"there is no directory {one_line(path, 200)} in {one_line(str(directory), 200)}; correct --path or --file"
        )
    now = datetime.now(UTC)
    shown = one_line(os.path.normpath(directory), 200)
    return Artifact(
        repository=str(scratch),
        path=path,
        revision=f"local:{shown}",
        ref=f"directory {shown}",
        commit="",
        tree=root.hex(),
        directory=found.hex(),
        committed_at=now,
        fetched_at=now,
    )


class _Writer:
    """Writes one bare repository."""

    def __init__(self, repository: Path) -> None:
        self._objects = repository / "objects"
        self._files = 0
        self._bytes = 0
        self.trees: dict[tuple[bytes, str], bytes] = {}
        """Directories by the tree that holds them, and their name."""
        self._objects.mkdir(parents=True)
        (repository / "refs").mkdir()
        (repository / "HEAD").write_text("ref: refs/heads/main\n")

    def tree(self, directory: Path, *, depth: int) -> bytes:
        """Write a directory with all that is in it; returns its id."""
        if depth > MAX_DEPTH:
            raise errors.RepoTooLargeError(f"{one_line(str(directory), 200)} is deeper than {MAX_DEPTH} directories; choose another --file")
        with os.scandir(directory) as found:
            entries = [entry for child in found if child.name != _GIT for entry in self._entries(child, depth)]
        own = self._write("tree", b"".join(f"{e.mode} ".encode() + e.name + b"\0" + e.id for e in sorted(entries, key=lambda e: e.order)))
        self.trees.update({(own, os.fsdecode(e.name)): e.id for e in entries if e.mode == _TREE})
        return own

    def _entries(self, child: "os.DirEntry[str]", depth: int) -> Iterable[_Entry]:
        """What a tree says of one file; nothing of sockets, devices and empty directories, as Git does."""
        name = os.fsencode(child.name)
        if child.is_symlink():
            yield _Entry(name, "120000", self._blob(os.fsencode(os.readlink(child.path)), child.path))
        elif child.is_dir(follow_symlinks=False):
            below = self.tree(Path(child.path), depth=depth + 1)
            if below != _EMPTY_TREE:
                yield _Entry(name, _TREE, below)
        elif child.is_file(follow_symlinks=False):
            about = child.stat(follow_symlinks=False)
            self._bytes += about.st_size
            self._check(child.path)
            yield _Entry(
                name, "100755" if about.st_mode & stat.S_IXUSR else "100644", self._blob(Path(child.path).read_bytes(), child.path)
            )

    def _blob(self, content: bytes, path: str) -> bytes:
        self._files += 1
        self._check(path)
        return self._write("blob", content)

    def _check(self, path: str) -> None:
        if self._files > MAX_FILES or self._bytes > MAX_BYTES:
            raise errors.RepoTooLargeError(
                f"there are more than {MAX_FILES} files or {MAX_BYTES // 2**20} MiB (at {one_line(path, 200)}); choose a smaller --file"
            )

    def _write(self, kind: str, content: bytes) -> bytes:
        whole = f"{kind} {len(content)}\0".encode() + content
        own = hashlib.sha1(whole, usedforsecurity=False)
        target = self._objects / own.hexdigest()[:2] / own.hexdigest()[2:]
        if not target.exists():
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(zlib.compress(whole, 1))
        return own.digest()


_EMPTY_TREE: Final = hashlib.sha1(b"tree 0\0", usedforsecurity=False).digest()
