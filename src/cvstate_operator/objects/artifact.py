"""Artifacts: one commit as far as it is needed, and what its files declare. Written by source and render."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import chain

from cvstate_operator.objects.manifest import Manifest
from cvstate_operator.objects.problem import Problem


@dataclass(frozen=True, slots=True)
class Artifact:
    """One commit, fetched and verified."""

    repository: str
    """Directory of the bare repository that holds it."""
    path: str
    """Directory in the commit, as the ClusterState spells it."""
    revision: str
    """`main@sha1:4c1f…`."""
    ref: str
    """What was followed, and where it led: `branch main`, `semver ^1.2 (refs/tags/v1.2.7)`."""
    commit: str
    tree: str
    """Git object id of the whole commit's tree."""
    directory: str
    """Git object id of the directory at the path: equal ids, equal content."""
    committed_at: datetime
    fetched_at: datetime
    signed_by: str = ""
    """Whose signature was verified; empty if none was asked for."""
    verified_with: str = ""
    """Digest of the demand and the keys that it was verified with."""
    repository_key: str = ""
    """Which repository it is of, whatever it was read with (`source/repository_key.py`); empty if its URL has no such key."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What one file declares; of kustomize and Helm, what the whole render gave."""

    key: str
    """Name of the file in the render store that holds it; empty if it has no content."""
    manifests: tuple[Manifest, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class Rendered:
    """What the files of an artifact declare."""

    pieces: Mapping[str, Piece]
    """By path in the repository, sorted."""
    type: str = "Plain"
    """Plain, Kustomize or Helm."""
    tool: str = ""
    """Program and version that did it; empty for Plain."""
    warnings: tuple[str, ...] = ()
    """What was left out on purpose, for people."""
    directory: str = ""
    """Git object id of the directory that was rendered; empty if what lies outside of it had a say (kustomize, Helm, symbolic links)."""

    @cached_property
    def manifests(self) -> tuple[Manifest, ...]:
        """All of them, by file."""
        return tuple(chain.from_iterable(piece.manifests for piece in self.pieces.values()))

    @cached_property
    def problems(self) -> tuple[Problem, ...]:
        """Everything that could not be made sense of, by file."""
        return tuple(chain.from_iterable([piece.problems for piece in self.pieces.values() if piece.problems]))
