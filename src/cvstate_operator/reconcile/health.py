"""Health: how the members of one ClusterState are, as a value. Here it means the readiness of each object by itself (`vital`)."""

from collections.abc import Mapping
from dataclasses import dataclass

from cvstate_operator.objects.identity import GroupKind, ObjectRef
from cvstate_operator.vital.state import Readiness, Status


@dataclass(frozen=True, slots=True)
class Health:
    """Of all desired objects."""

    unready: tuple[tuple[ObjectRef, Readiness], ...] = ()
    """Objects that are not ready, failed ones first."""

    blind: frozenset[GroupKind] = frozenset()
    """Kinds that cannot be seen now, so that nothing is known of their objects."""

    @property
    def holds_up(self) -> bool:
        """Whether an object is known not to be as ready as it has to be."""
        return any(readiness.holds_up for _, readiness in self.unready)

    @property
    def is_healthy(self) -> bool:
        """Whether everything is known to be as ready as it has to be."""
        return not self.blind and not self.holds_up

    @property
    def failed(self) -> int:
        """Objects whose controllers gave up."""
        return sum(readiness.status is Status.FAILED for _, readiness in self.unready)

    @property
    def text(self) -> str:
        """The worst one and how many there are, for people; empty if all are ready."""
        worst = next(((ref, readiness) for ref, readiness in self.unready if readiness.holds_up), None)
        if worst is None:
            return ""
        count = sum(readiness.holds_up for _, readiness in self.unready)
        more = f" (and {count - 1} more)" if count > 1 else ""
        return f"{worst[0]}: {worst[1].message}{more}"


def health_of(unready: Mapping[ObjectRef, Readiness], *, blind: frozenset[GroupKind]) -> Health:
    """Put those that are worst first."""
    rank = {Status.FAILED: 0, Status.UNKNOWN: 1, Status.TERMINATING: 2, Status.IN_PROGRESS: 3, Status.CURRENT: 4}
    return Health(tuple(sorted(unready.items(), key=lambda item: (rank[item[1].status], item[0]))), blind)
