"""Health: how the members of one ClusterState are, as a value: what each says of itself (`vital/readiness`), and since when (`vital/lapse`)."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from cvstate_operator.objects.identity import GroupKind, ObjectRef
from cvstate_operator.plan.desired import Desired
from cvstate_operator.reconcile.live_index import LiveIndex
from cvstate_operator.vital.lapse import HealthCounts, Lapse, Lapses, Level
from cvstate_operator.vital.state import Readiness, Status


@dataclass(frozen=True)
class Health:
    """Of all desired objects."""

    unready: tuple[tuple[ObjectRef, Readiness], ...] = ()
    """Objects that are not ready, failed ones first."""

    blind: frozenset[GroupKind] = frozenset()
    """Kinds that cannot be seen now, so that nothing is known of their objects."""

    counts: HealthCounts = field(default_factory=HealthCounts)
    """Desired objects that were applied, by how they count."""

    worst: tuple[tuple[ObjectRef, Lapse], ...] = ()
    """The worst objects that do not count as ready."""

    lapses: Mapping[ObjectRef, Lapse] = field(default_factory=dict)
    """Every object that is not ready, or was not a moment ago. Changes with the next judgement."""

    oldest: Mapping[Level, datetime] = field(default_factory=dict)
    """Since when there are objects of a level."""

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


def health_of(unready: Mapping[ObjectRef, Readiness]) -> tuple[tuple[ObjectRef, Readiness], ...]:
    """Objects that are not ready, those that are worst first."""
    rank = {Status.FAILED: 0, Status.UNKNOWN: 1, Status.TERMINATING: 2, Status.IN_PROGRESS: 3, Status.CURRENT: 4}
    return tuple(sorted(unready.items(), key=lambda item: (rank[item[1].status], item[0])))


class HealthStage:
    """Knows the health of one ClusterState. It is put together anew only if something about it may be different: with many objects that are not ready that
    would take longer than all else in a pass over one drifted object."""

    def __init__(self, index: LiveIndex, *, owner: str, status: Mapping[str, Any] | None = None) -> None:
        """
        Args:
            index: what is in the cluster.
            owner: ApplySet id.
            status: of an earlier life; since when objects are not ready is taken up from it.
        """
        self._index = index
        self._owner = owner
        self._wanted: Desired | None = None
        self._version: tuple[int, int] | None = None
        """Of what members say, and of who they are."""
        self._missing: frozenset[ObjectRef] = frozenset()
        self._declared: Mapping[GroupKind, int] = {}
        """Desired objects that are there, or were, by kind."""
        self._found = Health()
        self._degraded_after = 0.0
        self._lapses = Lapses(0.0)
        self._lapses.recall(((status or {}).get("vital") or {}).get("unready") or ())

    @property
    def found(self) -> Health:
        """As it was judged last."""
        return self._found

    @property
    def next_change(self) -> datetime | None:
        """When time alone makes an object count otherwise; None: never."""
        return self._lapses.next_change

    def judge(
        self, wanted: Desired | None, blind: frozenset[GroupKind], *, missing: Collection[ObjectRef], degraded_after: float, now: datetime
    ) -> Health:
        """How what is `wanted` is.

        Args:
            wanted: None for nothing.
            blind: kinds that cannot be seen.
            missing: desired objects that are not there, although they were.
            degraded_after: seconds; spec.vital.degradedAfter.
            now: UTC.
        """
        if degraded_after != self._degraded_after:
            self._degraded_after = degraded_after
            self._lapses.reconfigure(degraded_after)
        is_later = bool(self._lapses.advance(now, blind=blind))
        version = (self._index.readiness.version_of(self._owner), self._index.membership_of(self._owner))
        gone = frozenset(missing)
        if version != self._version or wanted is not self._wanted or blind != self._found.blind or gone != self._missing or is_later:
            desired = wanted.objects if wanted else {}
            unready = {ref: found for ref, found in self._index.readiness.unready_of(self._owner).items() if ref in desired}
            if wanted is not self._wanted or gone != self._missing or self._version is None or version[1] != self._version[1]:
                self._declared = Counter(ref.group_kind for ref in self._index.present(self._owner, desired, or_in=gone))
            self._version, self._wanted, self._missing = version, wanted, gone
            self._note(desired, unready, now)
            if wanted is not None and not blind:
                self._lapses.settle()
            counts = self._lapses.counts(self._declared, blind=blind)
            self._found = Health(health_of(unready), blind, counts, self._lapses.worst(), self._lapses.open, self._lapses.oldest())
        return self._found

    def _note(self, desired: Collection[ObjectRef], unready: Mapping[ObjectRef, Readiness], now: datetime) -> None:
        self._lapses.forget([ref for ref in self._lapses.open if ref not in desired])
        for ref in self._missing:
            if ref in desired:
                self._lapses.note_missing(ref, now)
        for ref in {**dict.fromkeys(self._lapses.open), **unready}:
            if ref not in self._missing:
                self._lapses.note(ref, unready.get(ref), now)
