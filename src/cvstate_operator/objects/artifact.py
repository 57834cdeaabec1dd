"""Artifacts: one commit as far as it is needed, and what its files declare. Written by source and render."""

from dataclasses import dataclass
from datetime import datetime

from cvstate_operator.objects.manifest import Manifest
from cvstate_operator.objects.problem import Problem


@dataclass(frozen=True, slots=True)
class File:
    """One file of a commit."""

    path: str
    blob: str
    """Git object id of its content: equal ids, equal bytes."""
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Artifact:
    """One commit as far as it is needed: which files stand below the path."""

    repository: str
    """Directory of the bare repository that holds the blobs."""
    path: str
    """Directory in the commit, as the ClusterState spells it."""
    revision: str
    """`main@sha1:4c1f…`."""
    commit: str
    tree: str
    """Git object id of the directory at the path: equal ids, equal content."""
    committed_at: datetime
    fetched_at: datetime
    files: tuple[File, ...]
    """Manifest files, sorted by path."""
    problems: tuple[Problem, ...]
    """Entries that are never read: links, submodules, files that are too large."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """What the files of an artifact declare."""

    manifests: tuple[Manifest, ...]
    problems: tuple[Problem, ...]
