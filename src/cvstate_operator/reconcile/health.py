"""Health: how the members of one ClusterState are, as a value. Here it means the readiness of each object by itself (`vital`)."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from cvstate_operator.objects.identity import GroupKind, ObjectRef
from cvstate_operator.plan.desired import Desired
from cvstate_operator.reconcile.live_index import LiveIndex
from cvstate_operator.vital.state import Readiness, Status


@dataclass(frozen=True)
class Health:
    """Of all desired objects."""

    unready: tuple[tuple[ObjectRef, Readiness], ...] = ()
    """Objects that are not ready, failed ones first."""

    blind: frozenset[GroupKind] = frozenset()
    """Kinds that cannot be seen now, so that nothing is known of their objects."""

    @property
    def holds_up(self) -> bool:
        """Whether an object is known not to be as ready as it has to be."""
        return bool(self._waited_for)

    @property
    def is_healthy(self) -> bool:
        """Whether everything is known to be as ready as it has to be."""
        return not self.blind and not self.holds_up

    @cached_property
    def failed(self) -> int:
        """Objects whose controllers gave up."""
        return sum(readiness.status is Status.FAILED for _, readiness in self.unready)

    @cached_property
    def text(self) -> str:
        """The worst one and how many there are, for people; empty if all are ready."""
        if not self._waited_for:
            return ""
        ref, readiness = self._waited_for[0]
        count = len(self._waited_for)
        more = f" (and {count - 1} more)" if count > 1 else ""
        return f"{ref}: {readiness.message}{more}"

    @cached_property
    def _waited_for(self) -> tuple[tuple[ObjectRef, Readiness], ...]:
        return tuple(found for found in self.unready if found[1].holds_up)


def health_of(unready: Mapping[ObjectRef, Readiness], *, blind: frozenset[GroupKind]) -> Health:
    """Put those that are worst first."""
    rank = {Status.FAILED: 0, Status.UNKNOWN: 1, Status.TERMINATING: 2, Status.IN_PROGRESS: 3, Status.CURRENT: 4}
    return Health(tuple(sorted(unready.items(), key=lambda item: (rank[item[1].status], item[0]))), blind)


class HealthStage:
    """Knows the health of one ClusterState. It is put together anew only if something about it may be different: with many objects that are not ready that
    would take longer than all else in a pass over one drifted object."""

    def __init__(self, index: LiveIndex, *, owner: str) -> None:
        """
        Args:
            index: what is in the cluster.
            owner: ApplySet id.
        """
        self._index = index
        self._owner = owner
        self._wanted: Desired | None = None
        self._version: object = None
        self._found = Health()

    def judge(self, wanted: Desired | None, blind: frozenset[GroupKind]) -> Health:
        """How what is `wanted` is; None for nothing. `blind`: kinds that cannot be seen."""
        version = self._index.unready_version
        if version != self._version or wanted is not self._wanted or blind != self._found.blind:
            self._version, self._wanted = version, wanted
            desired = wanted.objects if wanted else {}
            unready = self._index.unready_of(self._owner)
            self._found = health_of({ref: found for ref, found in unready.items() if ref in desired}, blind=blind)
        return self._found
