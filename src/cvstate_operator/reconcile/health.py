"""Health: how the members of one ClusterState are, as a value: what each says of itself (`vital/health/readiness`), and since when (`vital/health/lapse`)."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from cvstate_operator.objects.identity import GroupKind, ObjectRef
from cvstate_operator.plan.desired import Desired
from cvstate_operator.reconcile.live_index import LiveIndex
from cvstate_operator.vital.health.lapse import HealthCounts, Lapse, Level
from cvstate_operator.vital.health.lapses import Lapses
from cvstate_operator.vital.health.state import Readiness, Status
from cvstate_operator.vital.reading import Gap


@dataclass(frozen=True)
class Health:
    """Of all desired objects."""

    unready: tuple[tuple[ObjectRef, Readiness], ...] = ()
    """Objects that are not ready, failed ones first."""

    blind: Mapping[GroupKind, Gap] = field(default_factory=dict)
    """Kinds that cannot be seen now, so that nothing is known of their objects; and why."""

    counts: HealthCounts = field(default_factory=HealthCounts)
    """Desired objects that were applied, by how they count."""

    worst: tuple[tuple[ObjectRef, Lapse], ...] = ()
    """The worst objects that do not count as ready."""

    lapses: Mapping[ObjectRef, Lapse] = field(default_factory=dict)
    """Every object that is not ready, or was not a moment ago. Changes with the next judgement."""

    oldest: Mapping[Level, datetime] = field(default_factory=dict)
    """Since when there are objects of a level."""

    is_down: bool = False
    """Whether a workload that was ready has no ready Pod now."""

    @property
    def holds_up(self) -> bool:
        """Whether an object is known not to be as ready as it has to be."""
        return bool(self._waited_for)

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
        return tuple(found for found in self.unready if found[1].holds_up and found[0].group_kind not in self.blind)


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
        self._noted: Mapping[ObjectRef, Readiness] = {}
        """What those that are not ready said of themselves the last time."""
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
        self,
        wanted: Desired | None,
        blind: Mapping[GroupKind, Gap],
        *,
        missing: Collection[ObjectRef],
        degraded_after: float,
        now: datetime,
    ) -> Health:
        """How what is `wanted` is.

        Args:
            wanted: None for nothing.
            blind: kinds that cannot be seen, and why.
            missing: desired objects that are not there, although they were.
            degraded_after: seconds; spec.vital.degradedAfter.
            now: UTC.
        """
        if degraded_after != self._degraded_after:
            self._degraded_after = degraded_after
            self._lapses.reconfigure(degraded_after)
        version = (self._index.readiness.version_of(self._owner), self._index.membership_of(self._owner))
        gone = frozenset(missing)
        is_other = version != self._version or wanted is not self._wanted or blind != self._found.blind or gone != self._missing
        worst_first = self._found.unready
        if is_other:
            desired = wanted.objects if wanted else {}
            unready = {ref: found for ref, found in self._index.readiness.unready_of(self._owner).items() if ref in desired}
            if wanted is not self._wanted or gone != self._missing or self._version is None or version[1] != self._version[1]:
                absent = Counter(ref.group_kind for ref in self._index.absent(self._owner, desired) if ref not in gone)
                self._declared = Counter(wanted.numbers) - absent if wanted else {}
            self._version, self._wanted, self._missing = version, wanted, gone
            self._note(desired, unready, now)
            if wanted is not None and not blind:
                self._lapses.settle()
            worst_first = health_of(unready)
        # Only now: what went forward since the last look was not late.
        if self._lapses.advance(now, blind=blind) or is_other:
            counts = self._lapses.counts(self._declared, blind=frozenset(blind))
            lapses, is_down = self._lapses, self._lapses.is_down(blind=blind)
            self._found = Health(worst_first, blind, counts, lapses.worst(), lapses.open, lapses.oldest(), is_down)
        return self._found

    def _note(self, desired: Collection[ObjectRef], unready: Mapping[ObjectRef, Readiness], now: datetime) -> None:
        """Only what says something else than the last time: to note what is so already would cost as much as all the rest, with many that are not ready."""
        before, self._noted = self._noted, {ref: found for ref, found in unready.items() if ref not in self._missing}
        self._lapses.forget([ref for ref in self._lapses.open if ref not in desired])
        for ref in self._missing:
            if ref in desired:
                self._lapses.note_missing(ref, now)
        for ref in [ref for ref in self._lapses.open if ref not in unready and ref not in self._missing]:
            self._lapses.note(ref, None, now)
        for ref, found in self._noted.items():
            if before.get(ref) is not found:
                self._lapses.note(ref, found, now)
