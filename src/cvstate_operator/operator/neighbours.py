"""Neighbours: what is known of a ClusterState by its spec and status, as long as it does not speak for itself here: how far it has come, what it declares of others, and as whom
it acts. Of those of other replicas that is all there is; of our own it is what was before this process had them.

So nothing is deleted here that one of them is about to declare, or declares and may not ask for, since it is suspended or behind a gate.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cvstate_operator.api.clusterstate import ClusterStateSpec
from cvstate_operator.api.duration import parse_seconds
from cvstate_operator.objects.identity import ApiResource, ObjectRef
from cvstate_operator.operator.place import OWN, Place
from cvstate_operator.operator.targets import Targets
from cvstate_operator.plan.history import commit_of
from cvstate_operator.reconcile.claims import NOWHERE
from cvstate_operator.source.repository_key import repository_key

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

    def followed(self, status: Mapping[str, Any]) -> tuple[str, str]:
        """Repository and ref that it follows; which ref that is, the status says."""
        return self.repository, str((status.get("source") or {}).get("ref") or self.selector)


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
        """By ApplySet id: of those of other replicas."""
        self._places: dict[str, Place | None] = {}
        """By ApplySet id: where each ClusterState acts, and as whom, by its last spec that could be read; None: nowhere, since nobody may act like that."""

    def knows(self, owner: str) -> bool:
        """Whether the spec of a ClusterState was read."""
        return owner in self._sources

    def forget(self, owner: str) -> None:
        """The ClusterState is gone."""
        self._sources.pop(owner, None)
        self._places.pop(owner, None)

    def read(self, owner: str, spec: ClusterStateSpec, namespace: str, place: Place) -> None:
        """The spec of a ClusterState is this one; it may have been about another cluster before, and has no say there any more."""
        self._sources[owner] = self._source(spec, namespace, place)
        self._targets.gone(owner, but=self._targets.of_cluster(place))

    def hear(self, owner: str, body: Mapping[str, Any]) -> None:
        """A ClusterState of another replica is as `body` says now. One whose spec was never read here counts as one of this cluster: what it claimed stands."""
        status = body.get("status") or {}
        if (source := self._sources.get(owner)) is None:
            self._targets.of_cluster(OWN).elsewhere(owner, NOWHERE, "", time.monotonic(), told=_claims(body))
            return
        is_answered = status.get("observedGeneration") == body["metadata"].get("generation")
        commit = commit_of(str(status.get("lastAttemptedRevision") or "")) if is_answered else ""
        self._targets.of_cluster(source.place).elsewhere(
            owner, source.followed(status), commit, time.monotonic(), looks_each=source.looks_each, told=_claims(body)
        )

    def join(self, owner: str, body: Mapping[str, Any], spec: ClusterStateSpec | None, place: Place, *, is_known: bool) -> None:
        """This replica has a ClusterState from now on.

        Args:
            owner: its ApplySet id.
            body: as it is now; its status is of whoever had it before.
            spec: None if it cannot be carried out.
            place: where it acts from now on.
            is_known: whether it is the very one that was known before; if so, what it said here stands until it says something else, in the same cluster.
        """
        self._sources.pop(owner, None)
        claims, status = self._targets.of_cluster(place), body.get("status") or {}
        self._targets.gone(owner, but=claims if is_known else None)
        source = self._source(spec, body["metadata"]["namespace"], place).followed(status) if spec else NOWHERE
        returns = bool(status.get("lastAttemptedRevision"))
        self._targets.of_cluster(place).join(owner, time.monotonic(), source=source, told=_claims(body), returns=returns)

    def act(self, owner: str, place: Place | None) -> None:
        """Where a ClusterState acts, and as whom; None: nowhere, since nobody may act like that."""
        self._places[owner] = place

    async def may_have(self, owner: str, giver: Place, resource: ApiResource, ref: ObjectRef) -> bool:
        """Whether a ClusterState may write an object that another one has, as the account that it names; True if that cannot be told.

        Args:
            owner: its ApplySet id.
            giver: where the other one acts.
            resource: how the kind is served.
            ref: the object.
        """
        # If no spec of it was ever read here, what its status claims it claimed by one that could be read, and it can claim no more until there is one again.
        if owner not in self._places:
            return True
        if (place := self._places[owner]) is None:
            return False
        # Who acts in another cluster does so by one kubeconfig with all whose claims count there, and who acts as the operator itself may what it may.
        if place == giver or place.kubeconfig or not place.account:
            return True
        return await self._targets.rights.may_patch(place.account, resource, ref)

    def _source(self, spec: ClusterStateSpec, namespace: str, place: Place) -> _Source:
        git, secret = spec.source.git, spec.source.git.secret_ref
        repository = repository_key(git.url) or str(self._repository(git.url, f"{namespace}/{secret.name}" if secret else ""))
        return _Source(place, repository, git.ref.selector, min(parse_seconds(git.interval), LONGEST_WAIT_SECONDS))


def _claims(body: Mapping[str, Any]) -> list[str]:
    """What the status claims; one that is being deleted declares nothing any more, whatever its status said last."""
    if body["metadata"].get("deletionTimestamp"):
        return []
    return [str(one) for one in (body.get("status") or {}).get("claims") or ()]
