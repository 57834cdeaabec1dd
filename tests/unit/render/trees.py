"""Git trees made on the spot, hostile ones among them."""

from typing import TypeAlias

import pygit2
from pygit2.enums import FileMode, ObjectType

Tree: TypeAlias = "dict[str, bytes | str | tuple[int, bytes] | Tree]"
"""Names to content (a file), a Tree (a directory) or (mode, content). Bytes that are no UTF-8 stand in names as surrogates."""


def link(target: str) -> tuple[int, bytes]:
    """A symbolic link."""
    return FileMode.LINK, target.encode()


def write(repository: pygit2.Repository, tree: Tree) -> pygit2.Tree:
    """Write a tree as raw bytes, since libgit2's own builder refuses names that other tools let through."""
    entries = []
    for name, value in tree.items():
        if isinstance(value, dict):
            mode, oid = int(FileMode.TREE), write(repository, value).id
        else:
            mode, content = value if isinstance(value, tuple) else (FileMode.BLOB, value)
            oid = repository.create_blob(content.encode() if isinstance(content, str) else content)
        entries.append((name.encode(errors="surrogateescape"), int(mode), oid))
    return write_entries(repository, entries)


def write_entries(repository: pygit2.Repository, entries: list[tuple[bytes, int, pygit2.Oid]]) -> pygit2.Tree:
    """Write a tree of (name, mode, object), which may hold two entries of one name."""
    ordered = sorted(entries, key=lambda entry: entry[0] + b"/" if entry[1] == FileMode.TREE else entry[0])
    raw = b"".join(f"{mode:o}".encode() + b" " + name + b"\0" + oid.raw for name, mode, oid in ordered)
    found = repository[repository.odb.write(ObjectType.TREE, raw)]
    assert isinstance(found, pygit2.Tree)
    return found
