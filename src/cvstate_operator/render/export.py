"""Export: parts of a Git tree as files on disk, for renderers that read files.

Runs in an isolated child. Trees are hostile: libgit2 reads entries that it would refuse to make, two of one name among them. So names are checked here,
files are only ever created, and symbolic links are made after the last file, when nothing is written through them any more.
"""

import os
import stat
import unicodedata
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import pygit2
from pygit2.enums import FileMode

from cvstate_operator import errors
from cvstate_operator.objects.redaction import one_line
from cvstate_operator.render.files import MAX_FILE_BYTES, link_escapes, too_large

MAX_NAME_BYTES: Final = 255
"""Longest file name. Source: Linux, NAME_MAX."""
MAX_PATH_BYTES: Final = 1024
"""Longest path in the repository; leaves room below PATH_MAX for where it is written."""
MAX_LINKS: Final = 40
"""Symbolic links on the way to one file. Source: path_resolution(7)."""
MAX_TARGET_BYTES: Final = 4096
"""Longest target of a symbolic link. Source: Linux, PATH_MAX."""
MAX_KNOWN: Final = 64
"""Directories that are kept in memory while a tree is asked."""

LFS_POINTER: Final = b"version https://git-lfs.github.com/spec/"
LFS_POINTER_BYTES: Final = 1024
"""A pointer is smaller. Source: Git LFS specification."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one export may hold."""

    max_files: int = 100_000
    """Files, directories and links."""
    max_bytes: int = 2**30
    """Content of all files."""
    max_file_bytes: int = MAX_FILE_BYTES
    """Content of one file."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    files: int
    size_bytes: int
    lfs_pointers: tuple[str, ...]
    """Paths of files that only point to content in Git LFS, sorted. Refuse the render if it uses one of them."""


class Found(NamedTuple):
    """Where a path leads in a tree."""

    path: str
    """With links resolved; the empty path is the tree itself."""
    entry: pygit2.Object | None
    """A tree or a blob; None if nothing is there."""
    links: tuple[tuple[str, str], ...]
    """Links that were followed, as (path, target)."""


class TreeFiles:
    """A Git tree as `files.Files`."""

    def __init__(self, repository: pygit2.Repository, tree: pygit2.Tree, *, max_file_bytes: int = MAX_FILE_BYTES) -> None:
        self._repository = repository
        self._tree = tree
        self._max_file_bytes = max_file_bytes
        self._known: dict[pygit2.Oid, pygit2.Tree] = {}
        """Directories that were walked through. libgit2 reads a large one anew each time: 2 ms for 5,000 entries (measured)."""

    def read(self, path: str) -> bytes | None:
        found = self.find(path)
        if not isinstance(found.entry, pygit2.Blob):
            return None
        if self.size_of(found.entry) > self._max_file_bytes:
            raise too_large(found.path, self._max_file_bytes)
        return found.entry.data

    def is_file(self, path: str) -> bool:
        return isinstance(self.find(path).entry, pygit2.Blob)

    def directory(self, path: str) -> str | None:
        found = self.find(path)
        return found.path if isinstance(found.entry, pygit2.Tree) else None

    def size_of(self, blob: pygit2.Object) -> int:
        """Bytes of a blob, without reading it."""
        return int(self._repository.odb.read_header(blob.id)[1])

    def find(self, path: str) -> Found:
        """Follow `path` through the tree, as the kernel would through directories.

        Raises:
            SymlinkEscapesError: a link on the way is absolute, leads out of the repository or into `.git`, or there are too many.
        """
        if len(path) > MAX_TARGET_BYTES:
            return Found(path, None, ())
        trees, names = [self._tree], list[str]()
        links: list[tuple[str, str]] = []
        pending = deque(path.split("/"))
        while pending:
            name = pending.popleft()
            if name in ("", "."):
                continue
            if name == "..":
                if not names:
                    raise link_escapes(links[0][0] if links else path, "leads out of the repository")
                names.pop()
                trees.pop()
                continue
            here = "/".join((*names, name))
            if is_git_directory(name):
                raise link_escapes(links[0][0] if links else path, "leads into .git")
            entry = _entry(trees[-1], name)
            if entry is not None and stat.S_ISLNK(entry.filemode):
                target = self._target(entry, here)
                links.append((here, target))
                if len(links) > MAX_LINKS:
                    raise link_escapes(links[0][0], "leads in a circle")
                pending.extendleft(reversed(target.split("/")))
            elif isinstance(entry, pygit2.Tree):
                names.append(name)
                trees.append(self._keep(entry))
            else:
                is_last = not any(part not in ("", ".") for part in pending)
                return Found("/".join((here, *pending)), entry if is_last else None, tuple(links))
        return Found("/".join(names), trees[-1], tuple(links))

    def _keep(self, tree: pygit2.Tree) -> pygit2.Tree:
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        return self._known.setdefault(tree.id, tree)

    def _target(self, entry: pygit2.Object, path: str) -> str:
        if self.size_of(entry) > MAX_TARGET_BYTES:
            raise link_escapes(path, "leads to a path that is too long")
        try:
            target = entry.read_raw().decode()
        except UnicodeDecodeError:
            raise link_escapes(path, "leads to a path that is no UTF-8") from None
        if target.startswith("/"):
            raise link_escapes(path, "is absolute")
        if "\0" in target or not target:
            raise link_escapes(path, "leads nowhere")
        return target


def export(
    repository: pygit2.Repository, tree: pygit2.Tree, into: Path, directories: Iterable[str], *, limits: Limits = Limits()
) -> Exported:
    """Write `directories` of `tree` below `into`, under their own paths.

    What links in them lead to is written as well, and the links stay links; one that leads to nothing in the tree is kept. Modes are 0600 and 0700.

    Args:
        repository: holds the objects of `tree`.
        tree: the root of the commit.
        into: an empty directory.
        directories: paths relative to `tree`; the empty one is the whole tree. They may lie in each other.
        limits: of everything together.

    Raises:
        PathNotFoundError: a directory is not in the tree.
        BuildFailedError: a submodule, a name that is not allowed, or two entries of one name.
        SymlinkEscapesError: a link leads out of the tree, into `.git`, or in a circle.
        RenderTooLargeError: a limit was reached.
    """
    writing = _Export(TreeFiles(repository, tree), into, limits)
    for directory in sorted(set(directories)):
        writing.add_directory(directory)
    return writing.finish()


class _Export:
    """One export. Keeps what was written by path, so that nothing is written twice."""

    def __init__(self, tree: TreeFiles, into: Path, limits: Limits) -> None:
        self._tree = tree
        self._into = into
        self._limits = limits
        self._written: set[str] = set()
        self._made = {""}
        self._links: dict[str, str] = {}
        self._pending: list[tuple[str, pygit2.Object]] = []
        self._size_bytes = 0
        self._files = 0
        self._lfs_pointers: list[str] = []

    def add_directory(self, path: str) -> None:
        found = self._tree.find(path)
        if not isinstance(found.entry, pygit2.Tree):
            raise errors.PathNotFoundError(f"directory {one_line(path)} is not in the commit; correct the path, or push it")
        self._links.update(found.links)
        self._pending.append((found.path, found.entry))

    def finish(self) -> Exported:
        while self._pending:
            path, entry = self._pending.pop()
            if path in self._written:
                continue
            self._written.add(path)
            for name in path.split("/")[:-1]:
                check_name(name.encode(), path)
            if isinstance(entry, pygit2.Tree):
                self._list(path, entry)
            else:
                self._write(path, entry)
        self._make_links()
        return Exported(self._files, self._size_bytes, tuple(sorted(self._lfs_pointers)))

    def _make_links(self) -> None:
        for path in self._links:
            self._make(os.path.dirname(path))
        for path, target in sorted(self._links.items()):
            try:
                os.symlink(target, self._into / path)
            except FileExistsError:
                raise _two_of_one_name(path) from None

    def _list(self, path: str, tree: pygit2.Tree) -> None:
        """Make a directory, and put its entries among what is to be written."""
        self._make(path)
        names = set()
        for entry in tree:
            name = check_name(entry.raw_name or b"", path)
            inside = f"{path}/{name}" if path else name
            if name in names:
                raise _two_of_one_name(inside)
            names.add(name)
            self._count(inside)
            if entry.filemode == FileMode.COMMIT:
                raise errors.BuildFailedError(f"{one_line(inside)}: is a submodule, which is not followed; copy the files")
            if stat.S_ISLNK(entry.filemode):
                self._follow(inside)
            else:
                self._pending.append((inside, entry))

    def _follow(self, path: str) -> None:
        found = self._tree.find(path)
        self._links.update(found.links)
        if found.entry is not None:
            self._pending.append((found.path, found.entry))

    def _count(self, path: str) -> None:
        self._files += 1
        if self._files > self._limits.max_files:
            raise errors.RenderTooLargeError(f"more than {self._limits.max_files} files to render; choose a narrower path")
        if len(path.encode()) > MAX_PATH_BYTES:
            raise errors.BuildFailedError(f"{one_line(path)}: path longer than {MAX_PATH_BYTES} bytes; shorten it")

    def _write(self, path: str, blob: pygit2.Object) -> None:
        if not isinstance(blob, pygit2.Blob):
            raise errors.BuildFailedError(f"{one_line(path)}: is neither a file nor a directory; remove it")
        size = self._tree.size_of(blob)
        if size > self._limits.max_file_bytes:
            raise too_large(path, self._limits.max_file_bytes)
        self._size_bytes += size
        if self._size_bytes > self._limits.max_bytes:
            raise errors.RenderTooLargeError(f"more than {self._limits.max_bytes // 2**20} MiB to render; choose a narrower path")
        content = blob.data
        if size < LFS_POINTER_BYTES and content.startswith(LFS_POINTER):
            self._lfs_pointers.append(path)
        self._make(os.path.dirname(path))
        with os.fdopen(os.open(self._into / path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
            file.write(content)

    def _make(self, path: str) -> None:
        """Make a directory with those above it."""
        if path not in self._made:
            self._make(os.path.dirname(path))
            os.mkdir(self._into / path, 0o700)
            self._made.add(path)


def _entry(tree: pygit2.Tree, name: str) -> pygit2.Object | None:
    try:
        return tree[name]
    except KeyError:
        return None


def _two_of_one_name(path: str) -> errors.BuildFailedError:
    return errors.BuildFailedError(f"{one_line(path)}: two entries have this name; make the commit anew")


def check_name(raw: bytes, directory: str) -> str:
    """The name of a tree entry.

    Raises:
        BuildFailedError: no name that a file should have: `..`, `.git` in any spelling, control characters, no UTF-8, too long.
    """
    try:
        name = raw.decode()
    except UnicodeDecodeError:
        name = ""
    if (
        name in ("", ".", "..")
        or "/" in name
        or len(raw) > MAX_NAME_BYTES
        or any(unicodedata.category(character) in ("Cc", "Zl", "Zp") for character in name)
        or is_git_directory(name)
    ):
        shown = one_line(raw.decode(errors="backslashreplace"), 80)
        raise errors.BuildFailedError(f"{one_line(directory or '.')}: file name {shown} is not allowed; rename the file")
    return name


def is_git_directory(name: str) -> bool:
    """Whether some system takes `name` for `.git`: in any case, with characters that are ignored, or by its short name.

    Source: git, `path.c`, is_ntfs_dotgit, and `utf8.c`, is_hfs_dotgit.
    """
    visible = "".join(character for character in name if unicodedata.category(character) != "Cf")
    return visible.partition(":")[0].rstrip(". ").casefold() in (".git", "git~1")
