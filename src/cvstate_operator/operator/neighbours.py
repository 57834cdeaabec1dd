"""Neighbours: how far ClusterStates of other replicas have come, and what they declare and cannot have, by their specs and statuses.

So nothing is deleted here that one of them is about to declare, or declares and may not ask for, since it is suspended or behind a gate.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cvstate_operator.api.clusterstate import ClusterStateSpec
from cvstate_operator.api.duration import parse_seconds
from cvstate_operator.operator.place import Place
from cvstate_operator.operator.targets import Targets
from cvstate_operator.plan.history import commit_of
from cvstate_operator.reconcile import report

LONGEST_WAIT_SECONDS: Final = 600.0
"""How long at most nothing is deleted because a ClusterState of another replica, which looks more seldom than that, has not come to the commit."""


@dataclass(frozen=True, slots=True)
class _Source:
    """What a spec says of where its objects come from, and where they go to."""

    place: Place
    repository: str
    selector: str
    looks_each: float
    """How often it looks by itself, seconds."""


class Neighbours:
    """Of one process."""

    def __init__(self, targets: Targets, *, repository: Callable[[str, str], Path]) -> None:
        """
        Args:
            targets: where ClusterStates act.
            repository: where the repository of a URL and a Secret (`namespace/name`, or empty) is kept.
        """
        self._targets = targets
        self._repository = repository
        self._sources: dict[str, _Source] = {}
        """By ApplySet id."""

    def knows(self, owner: str) -> bool:
        """Whether the spec of a ClusterState was read."""
        return owner in self._sources

    def forget(self, owner: str) -> None:
        """The ClusterState is gone, or ours."""
        self._sources.pop(owner, None)

    def read(self, owner: str, spec: ClusterStateSpec, namespace: str, place: Place) -> None:
        """The spec of a ClusterState is this one; it may have been about another cluster before, and has no say there any more."""
        git, secret = spec.source.git, spec.source.git.secret_ref
        repository = self._repository(git.url, f"{namespace}/{secret.name}" if secret else "")
        looks = min(parse_seconds(git.interval), LONGEST_WAIT_SECONDS)
        self._sources[owner] = _Source(place, str(repository), git.ref.selector, looks)
        self._targets.gone(owner, but=self._targets.of_cluster(place))

    def hear(self, owner: str, body: Mapping[str, Any]) -> None:
        """A ClusterState whose spec was read is as `body` says now."""
        source, status = self._sources[owner], body.get("status") or {}
        followed = str((status.get("source") or {}).get("ref") or source.selector)
        is_answered = status.get("observedGeneration") == body["metadata"].get("generation")
        commit = commit_of(str(status.get("lastAttemptedRevision") or "")) if is_answered else ""
        # One that is being deleted declares nothing any more, whatever its status said last.
        problems = () if body["metadata"].get("deletionTimestamp") else status.get("problems") or ()
        self._targets.of_cluster(source.place).elsewhere(
            owner,
            (source.repository, followed),
            commit,
            time.monotonic(),
            looks_each=source.looks_each,
            told=[str(one["object"]) for one in problems if one.get("object")],
            is_cut=report.is_cut(problems),
        )
