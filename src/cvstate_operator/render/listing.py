"""Listing: which files of a commit are manifests. Used in the render child only; reads trees from Git's object database, nothing is checked out.

Two trees are compared from the top, and equal subtrees are skipped: after a commit the work is what it changed.
"""

import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import pygit2
from pygit2.enums import FileMode

from cvstate_operator import errors
from cvstate_operator.objects.redaction import one_line
from cvstate_operator.render.globs import MANIFEST_SUFFIXES

MAX_FILES: Final = 100_000
"""Most manifest files of one ClusterState."""
MAX_FILE_BYTES: Final = 20 * 2**20
"""Largest manifest file; the API server takes objects of 1.5 MiB, and a file may hold many."""
MAX_ENTRIES: Final = 1_000_000
"""Most entries looked at below the path, manifests or not."""
MAX_DEPTH: Final = 64
"""Most directories in one another."""
MAX_NAME_BYTES: Final = 1024
MAX_LINKS: Final = 16
"""Most symbolic links in a row; Linux follows 40."""
MAX_TARGET_BYTES: Final = 4096
"""Longest target of a symbolic link: PATH_MAX of Linux."""


@dataclass(slots=True)
class Listing:
    """What is new below the path, since an earlier tree."""

    files: dict[str, str] = field(default_factory=dict)
    """Path in the repository to blob id, of files that are new or changed."""
    refused: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Path to reason and message, of new or changed entries that are never read."""
    gone: list[str] = field(default_factory=list)
    """Paths that are not there any more, or are something else now."""
    sizes: dict[str, int] = field(default_factory=dict)
    """Blob id to bytes, of all `files`."""
    has_links: bool = False
    """Whether one of the new or changed entries is a symbolic link."""


def compare(root: pygit2.Tree, tree: pygit2.Tree, before: pygit2.Tree | None, *, path: str, wanted: Callable[[str], bool]) -> Listing:
    """List what differs between two trees.

    Args:
        root: the whole commit; where symbolic links are judged.
        tree: the directory at the path.
        before: the directory as it was; None: there was none.
        path: of the directory; empty for the repository's own.
        wanted: whether a file is a manifest to read, by its path relative to the directory.

    Raises:
        RenderTooLargeError: too many entries, or too deep.
    """
    found = Listing()
    prefix = f"{path}/" if path else ""
    for number, (where, entry, former) in enumerate(_differences(tree, before)):
        if number >= MAX_ENTRIES or len(found.files) >= MAX_FILES:
            raise errors.RenderTooLargeError(
                f"more than {MAX_FILES} manifest files or {MAX_ENTRIES} entries below the path; choose a narrower path"
            )
        if entry is None and former is None:
            continue
        shown = (prefix + where).encode(errors="backslashreplace").decode()
        if former is not None:
            found.gone.append(shown)
        if entry is None:
            continue
        found.has_links |= entry.filemode == FileMode.LINK
        is_wanted = wanted(where)
        # What may stand for a directory matters if a manifest in it would.
        matters = is_wanted or wanted(f"{where}/_.yaml")
        if matters and (objection := _objection(root, entry, prefix + where, is_wanted)):
            found.refused[shown] = objection
        elif is_wanted and isinstance(entry, pygit2.Blob) and entry.filemode != FileMode.LINK:
            if entry.size > MAX_FILE_BYTES:
                found.refused[shown] = ("RenderTooLarge", f"larger than {MAX_FILE_BYTES // 2**20} MiB; split the file")
            else:
                found.files[shown] = str(entry.id)
                found.sizes[str(entry.id)] = entry.size
    return found


def _differences(
    tree: pygit2.Tree | None, before: pygit2.Tree | None, prefix: str = "", depth: int = 0
) -> Iterator[tuple[str, pygit2.Object | None, pygit2.Object | None]]:
    """(path, entry now, entry before) of everything that differs; None for what is not there. A directory counts, but has neither."""
    if depth > MAX_DEPTH:
        raise errors.RenderTooLargeError(f"{prefix}: more than {MAX_DEPTH} directories in one another")
    now = {(entry.name or ""): entry for entry in tree or ()}
    then = {(entry.name or ""): entry for entry in before or ()}
    for name in sorted({*now, *then}):
        new, old = now.get(name), then.get(name)
        if new is not None and old is not None and new.id == old.id and new.filemode == old.filemode:
            continue
        subtree, former = (side if isinstance(side, pygit2.Tree) and _is_plain(name) else None for side in (new, old))
        if subtree is not None or former is not None:
            yield f"{prefix}{name}", None, None
            yield from _differences(subtree, former, f"{prefix}{name}/", depth + 1)
        file, gone = (None if isinstance(side, pygit2.Tree) and _is_plain(name) else side for side in (new, old))
        if file is not None or gone is not None:
            yield f"{prefix}{name}", file, gone


def _is_plain(name: str) -> bool:
    """Whether a name is one that may stand in a path. libgit2 reads trees with `..` and `.git` that it would refuse to make (tried)."""
    return name not in ("", ".", "..") and "/" not in name and name.lower() != ".git" and name.isprintable()


def _objection(root: pygit2.Tree, entry: pygit2.Object, path: str, is_wanted: bool) -> tuple[str, str] | None:
    """Reason and message if an entry must not be read; None also for what is of no interest."""
    name = entry.name or ""
    mode = entry.filemode
    if mode == FileMode.BLOB and not name.endswith(MANIFEST_SUFFIXES):
        return None
    if not _is_plain(name) or len(path.encode(errors="replace")) > MAX_NAME_BYTES:
        return "BuildFailed", "file name not allowed; rename it"
    if mode == FileMode.COMMIT:
        return (
            "BuildFailed",
            "is a submodule, which is not followed; copy the files, or give the other repository a ClusterState of its own",
        )
    if stat.S_ISLNK(mode):
        return _judge_link(root, path, is_wanted)
    return None


def _judge_link(root: pygit2.Tree, path: str, is_wanted: bool) -> tuple[str, str] | None:
    """A link is never followed, but what it would leave out unseen is told: any directory, and a file that is a manifest by the link's name."""
    try:
        where, target = _follow(root, path)
    except errors.SymlinkEscapesError as exc:
        return exc.reason, f"{exc.message}; commit the file itself"
    if isinstance(target, pygit2.Tree):
        hint = "copy the files, or name that directory as the path"
        return "BuildFailed", f"is a symbolic link to the directory {one_line(where)}, which is not followed; {hint}"
    if not is_wanted:
        return None
    if target is None:
        return "BuildFailed", "is a symbolic link to something that is not in the repository; commit the file itself"
    return "BuildFailed", f"is a symbolic link to {one_line(where)}, which is not followed; copy the file"


def _follow(root: pygit2.Tree, path: str) -> tuple[str, pygit2.Object | None]:
    """Where a path leads if all links are followed, and what is there: as the kernel would, name by name.

    Raises:
        SymlinkEscapesError: out of the repository, into `.git` or in a circle.
    """
    todo, done, trees, links = path.split("/")[::-1], list[str](), [root], 0
    while todo:
        name = todo.pop()
        if name in ("", "."):
            continue
        if name.lower() == ".git" or (name == ".." and not done):
            raise errors.SymlinkEscapesError("is a symbolic link that leads out of the repository")
        if name == "..":
            done.pop()
            trees.pop()
            continue
        entry = _entry(trees[-1], name)
        if isinstance(entry, pygit2.Tree):
            done.append(name)
            trees.append(entry)
        elif entry is not None and stat.S_ISLNK(entry.filemode):
            links += 1
            target = _target(entry)
            if links > MAX_LINKS:
                raise errors.SymlinkEscapesError("is a symbolic link that leads in a circle")
            if target.startswith("/"):
                raise errors.SymlinkEscapesError("is a symbolic link that leads out of the repository")
            todo += target.split("/")[::-1]
        else:
            return "/".join([*done, name]), None if todo else entry
    return "/".join(done) or ".", trees[-1]


def _target(link: pygit2.Object) -> str:
    return link.data[:MAX_TARGET_BYTES].decode(errors="replace") if isinstance(link, pygit2.Blob) else ""


def _entry(tree: pygit2.Tree, name: str) -> pygit2.Object | None:
    try:
        return tree[name]
    except (KeyError, ValueError):  # ValueError: a zero byte in the name
        return None
