"""The observe stage of one ClusterState: every kind that members are or may be of is watched, and those that cannot be seen are known.

Watches tell everything; lists are for what a watch may have lost without anybody noticing: a proxy that drops events, a fault in the API server's cache. What a person
asks for is listed at once. A pass by the timer compares every object with what is in memory, and lists a kind about once an hour, for all ClusterStates together. It
may rely on the watch since a stream that breaks is resumed without a gap, one that says nothing is found in little more than a minute, and while there is none lists
count for some minutes only (`kube/informer.py`). After a list that failed every pass lists until one succeeds.

To act by what is in memory, and to say that it is so, are two things. Objects are written by all that is not `blind`, since each write is conditional. Whatever is
`unseen` is told as not known, counts for nothing in health, score and verdict, and nothing is deleted by it.
"""

from collections.abc import Callable, Mapping
from typing import Final

from cvstate_operator import errors
from cvstate_operator.objects.identity import GroupKind, ObjectRef
from cvstate_operator.objects.ownership import ID_LABEL
from cvstate_operator.plan.desired import Desired
from cvstate_operator.reconcile.ports import ParentMetadata, World

LIST_SECONDS: Final = 3600.0
"""How often a kind is listed while its watch is alive. Kubernetes has no rule: client-go never lists again by itself, Config Sync applies everything hourly, Argo CD lists
every 10 minutes."""


def tolerated_age(interval: float) -> float:
    """How old a list may be for a pass by the timer, seconds: half an interval less than the last such pass within LIST_SECONDS of the list.

    Half an interval, since passes are spread by chance and another ClusterState may have listed the kind between two of ours. With an interval of more than half of
    LIST_SECONDS it is half the interval.

    Args:
        interval: from one such pass to the next, seconds.
    """
    return (max(1, LIST_SECONDS // interval) - 0.5) * interval


class ObserveStage:
    """Not for concurrent use."""

    def __init__(
        self,
        world: World,
        *,
        owner: str,
        namespace: str = "",
        known_kinds: frozenset[GroupKind],
        known_namespaces: frozenset[str] = frozenset(),
    ) -> None:
        """
        Args:
            world: everything outside.
            owner: ApplySet id.
            namespace: of the ClusterState.
            known_kinds: kinds that members may be of, from before this process.
            known_namespaces: other namespaces that members may be in, from before this process.
        """
        self._world = world
        self._owner = owner
        self._home = frozenset({namespace})
        self._namespaces = known_namespaces
        """Besides its own; as noted on the ClusterState."""
        self._marked: frozenset[GroupKind] | None = known_kinds or None
        self._is_unmarked = False
        self.blind: Mapping[GroupKind, errors.CvstateError] = {}
        """Kinds that cannot be seen, and why."""
        self.closed: Mapping[tuple[GroupKind, str], errors.CvstateError] = {}
        """Kinds in namespaces that the account may not see, and why: their objects are not written, and nothing is deleted while there are any. The kinds are seen elsewhere."""
        self.seen_all = True
        """Whether the last resync that was asked for succeeded."""
        self.kinds: frozenset[GroupKind] = frozenset()
        """What members are or may be of."""

    @property
    def unseen(self) -> Mapping[GroupKind, errors.CvstateError]:
        """Kinds of which nobody knows how they are now, and why: the blind ones, and those that the API server tells nothing of any more."""
        unheard = self._world.cluster.unheard()
        return {**{kind: error for kind, error in unheard.items() if kind in self.kinds}, **self.blind}

    def error_of(self, ref: ObjectRef) -> errors.CvstateError | None:
        """Why an object cannot be seen; None if it can."""
        return self.blind.get(ref.group_kind) or (self.closed.get((ref.group_kind, ref.namespace)) if self.closed else None)

    def told(self, labels: Mapping[str, str]) -> None:
        """The ClusterState has these labels; if somebody took its mark away, it is written again."""
        if self._marked is not None and labels.get(ID_LABEL) != self._owner:
            self._is_unmarked = True

    async def observe(self, wanted: Desired, *, resync_before: float | None) -> frozenset[GroupKind]:
        """Watch what members are or may be of; returns kinds that can be seen again.

        Args:
            wanted: the desired objects.
            resync_before: list again what was listed before that (monotonic seconds); None for nothing.
        """
        kinds = wanted.kinds
        possible = self.kinds = kinds | (self._marked or frozenset())
        cluster = self._world.cluster
        await self._mark(possible, wanted)
        if resync_before is not None and any(cluster.any_version(kind) is None for kind in possible - kinds):
            await cluster.discover()
        # Each version that a manifest uses is watched on its own: drift shows only in the version that was applied.
        served = [resource for gvk in wanted.resources if (resource := cluster.resource(gvk))]
        former = [resource for kind in possible - kinds if (resource := cluster.any_version(kind))]
        before, self.blind = frozenset(self.blind), dict(await cluster.observe([*served, *former], within=self._within(wanted)))
        # One that is not wanted any more is kept for a while; it closes nothing.
        self.closed = {
            (kind, namespace): error
            for (kind, namespace), error in cluster.closed().items()
            if kind not in self.blind and namespace in wanted.namespaces.get(kind, ())
        }
        if former or (cluster.is_narrow and self._lacks_namespaces(wanted)):
            held = {ref.group_kind for ref in self._world.index.members(self._owner)}
            seen = {kind for resource in former if cluster.any_version(kind := resource.gvk.group_kind)} - self.blind.keys()
            await self._mark(possible - (seen - held), wanted)
        if resync_before is not None:
            try:
                await cluster.resync(sorted({r.gvk.group_kind for r in (*served, *former)}), since=resync_before)
                self.seen_all = True
            except errors.CvstateError:
                # What the watches told still stands, but nothing may be deleted by it until a resync succeeds.
                self.seen_all = False
        return before - self.blind.keys()

    def _within(self, wanted: Desired) -> Callable[[GroupKind], frozenset[str]]:
        """Where objects of a kind are, or are to be. Of a kind that is not declared any more there may be some wherever there may be any."""

        def within(kind: GroupKind) -> frozenset[str]:
            # Worked out only if somebody asks: it costs with the number of objects, and an account that may look everywhere is never asked about.
            return self._namespaces | self._home | self._world.index.namespaces(self._owner) | wanted.namespaces.get(kind, frozenset())

        return within

    def _lacks_namespaces(self, wanted: Desired) -> bool:
        """Whether objects are declared in namespaces that are not noted yet."""
        return any(not names <= self._namespaces | self._home for names in wanted.namespaces.values())

    async def _mark(self, kinds: frozenset[GroupKind], wanted: Desired) -> None:
        """Write down which kinds members may be of, and where they may be if they have to be looked for one namespace at a time, for whoever comes after us.

        It is written before there are any, and after there were the last. Namespaces are only added: a list that is too long costs a watch or two.
        """
        is_new_place = self._world.cluster.is_narrow and self._lacks_namespaces(wanted)
        if kinds != self._marked or self._is_unmarked or is_new_place:
            self._is_unmarked = False
            if is_new_place:
                self._namespaces = self._namespaces.union(*wanted.namespaces.values()) - self._home
            await self._world.reporter.write_parent(ParentMetadata(self._owner, kinds, self._namespaces))
            self._marked = kinds
