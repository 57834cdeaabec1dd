"""Claims: which objects the ClusterStates of this process declare, and which they let go. So an object moves from one to another without being deleted.

Each ClusterState says what it declares before it writes, and what it let go before it deletes. Two that read the same ref of a repository wait for each other
for a moment: the one that learns of a commit first does not yet know what the other will declare. No I/O, no clock.

Invariant: while anybody may still come to declare an object, nobody deletes it. That is a ClusterState that is new, that was given another spec, that stands
in the Git of another and was not created yet, or that has not come to the same commit. The wait is bounded: one that never comes keeps nothing alive.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

from cvstate_operator.api.names import CLUSTER_STATE, GROUP
from cvstate_operator.objects.artifact import Artifact
from cvstate_operator.objects.identity import GroupKind, ObjectRef
from cvstate_operator.objects.ownership import applyset_id

CATCH_UP_SECONDS: Final = 10.0
"""How long nothing is deleted because another ClusterState may come to declare it."""

_KIND: Final = GroupKind(GROUP, CLUSTER_STATE)


@dataclass(slots=True)
class _Claimant:
    asked: float
    """When it was last asked to declare anything else (monotonic seconds): it joined, or its spec changed."""
    wanted: Collection[ObjectRef] = ()
    free: frozenset[ObjectRef] = frozenset()
    source: tuple[str, str] = ("", "")
    """Repository and ref."""
    commit: str = ""
    """The commit that `wanted` is of; empty if it did not answer yet what it was asked."""
    since: float = 0.0
    """When it came to that commit (monotonic seconds)."""
    children: frozenset[str] = frozenset()
    """ApplySet ids of the ClusterStates among `wanted`."""
    hurried: str = ""
    """The commit it was last hurried to."""
    patience: float = CATCH_UP_SECONDS
    """How long it may take to come to a commit, seconds."""
    told: Collection[str] = ()
    """Objects that it declares, by its status: those that it has a problem with, as `kind/namespace/name`. Only of one that another replica has."""
    is_cut: bool = False
    """Whether there may be more of them than the status has room for."""


_NOBODY: Final = _Claimant(0.0)


@dataclass(slots=True)
class Claims:
    """See the module."""

    hurry: Callable[[str], object] = lambda owner: None
    """Have a ClusterState look at its source."""
    freed: Callable[[str, ObjectRef], None] = lambda owner, ref: None
    """Tell a ClusterState that another one would delete an object that it declares."""
    _claimants: dict[str, _Claimant] = field(default_factory=dict)
    """By ApplySet id."""
    _newest: dict[tuple[str, str], tuple[str, float]] = field(default_factory=dict)
    """By repository and ref: the commit that a ClusterState came to last, and when the first one did (monotonic seconds)."""

    def join(self, owner: str, now: float) -> None:
        """There is a ClusterState; what it declares is not known yet."""
        known = self._claimants.get(owner, _NOBODY)
        self._claimants[owner] = _Claimant(now)
        self._forget(known.source)

    def change(self, owner: str, now: float) -> None:
        """The spec of a ClusterState is another one; until it says what it declares by that, what it declared before stands."""
        if claimant := self._claimants.get(owner):
            claimant.asked, claimant.commit = now, ""

    @property
    def is_used(self) -> bool:
        """Whether there is any ClusterState."""
        return bool(self._claimants)

    def move_away(self, owner: str, now: float) -> None:
        """Another replica has a ClusterState from now on: what it declared here stands until its status is heard of."""
        known = self._claimants.get(owner, _NOBODY)
        self._claimants[owner] = _Claimant(now, frozenset(known.wanted))
        self._forget(known.source)

    def elsewhere(
        self,
        owner: str,
        source: tuple[str, str],
        commit: str,
        now: float,
        *,
        looks_each: float = 0.0,
        told: Collection[str] = (),
        is_cut: bool = False,
    ) -> None:
        """There is a ClusterState that another replica has; by its status it is known how far it has come, and which objects it declares and cannot have.

        Args:
            owner: its ApplySet id.
            source: repository and ref that it follows.
            commit: that it has come to; empty if its spec is newer than that.
            now: monotonic seconds.
            looks_each: how often it looks at the repository by itself, seconds: nobody here can hurry it.
            told: the objects that it has a problem with, as `apps/Deployment/web/api`: one that may not write, and so marks nothing, declares them all the same.
            is_cut: whether there may be more of them.
        """
        known = self._claimants.get(owner)
        before = (known or _NOBODY).source
        if known is None or (known.commit and not commit):
            known = self._claimants[owner] = _Claimant(now)
        known.patience = CATCH_UP_SECONDS + looks_each
        known.wanted, known.told, known.is_cut = (), frozenset(told), is_cut
        if (known.source, known.commit) == (source, commit):
            return
        known.source, known.commit, known.since = source, commit, now
        # Which commit is the newest, those say who were there: this one may tell of its last one, with a spec that is newer.
        if commit and source not in self._newest:
            self._newest[source] = (commit, now)
        self._forget(before)

    def leave(self, owner: str) -> None:
        """The ClusterState is gone; its objects are orphaned."""
        if known := self._claimants.pop(owner, None):
            self._forget(known.source)

    def want(self, owner: str, refs: Collection[ObjectRef], artifact: Artifact | None, now: float) -> None:
        """A ClusterState declares exactly these objects; one that is gone, or never joined, has no say.

        Args:
            owner: its ApplySet id.
            refs: kept as it is, not copied.
            artifact: the commit that declares them; None if a newer one could not be rendered.
            now: monotonic seconds.
        """
        claimant = self._claimants.get(owner)
        if claimant is None:
            return
        if refs is not claimant.wanted:
            claimant.wanted = refs
            claimant.children = frozenset(_applyset(ref) for ref in refs if ref.group_kind == _KIND)
        if artifact is None or artifact.commit == claimant.commit:
            return
        before, claimant.source = claimant.source, (artifact.repository, artifact.ref)
        claimant.commit, claimant.since = artifact.commit, now
        if self._newest.get(claimant.source, ("", 0.0))[0] != artifact.commit:
            self._newest[claimant.source] = (artifact.commit, now)
        self._forget(before)

    def let_go(self, owner: str, refs: Iterable[ObjectRef]) -> None:
        """A ClusterState would delete exactly these objects; others may have them."""
        if claimant := self._claimants.get(owner):
            claimant.free = frozenset(refs)

    def is_free(self, ref: ObjectRef, owner: str) -> bool:
        """Whether `owner` let the object go."""
        claimant = self._claimants.get(owner)
        return claimant is not None and ref in claimant.free and ref not in claimant.wanted

    def claimants(self, ref: ObjectRef) -> tuple[str, ...]:
        """Who declares the object, sorted; of those that another replica has, those whose status tells of it."""
        return tuple(sorted(owner for owner, one in self._claimants.items() if ref in one.wanted or (one.told and str(ref) in one.told)))

    def opaque(self, owner: str) -> str:
        """A ClusterState of another replica that reads the same ref and may declare objects that its status has no room for; empty if there is none."""
        source = self._claimants.get(owner, _NOBODY).source
        # After a restart one that is being deleted has read nothing yet: then anybody may declare what it has.
        found = (name for name, one in self._claimants.items() if name != owner and one.is_cut and source in (("", ""), one.source))
        return min(found, default="")

    def catch_up(self, owner: str, now: float) -> bool:
        """Whether another ClusterState may soon come to declare what `owner` lets go; those that read the same repository are hurried."""
        ours = self._claimants.get(owner) or _Claimant(now)
        newest, since = self._newest.get(ours.source, ("", 0.0))
        waiting = any(self._is_expecting(claimant, now) for claimant in self._claimants.values())
        for name, other in self._claimants.items():
            if name == owner:
                continue
            if not other.commit:
                waiting = waiting or now < other.asked + other.patience
            elif other.source == ours.source and other.commit != newest and now < since + other.patience:
                waiting = True
                if other.hurried != newest:
                    other.hurried = newest
                    self.hurry(name)
        return waiting

    def _forget(self, source: tuple[str, str]) -> None:
        """Forget which commit of a ref is the newest, if nobody follows it any more."""
        if source in self._newest and not any(claimant.source == source for claimant in self._claimants.values()):
            del self._newest[source]

    def _is_expecting(self, parent: _Claimant, now: float) -> bool:
        """Whether a ClusterState among what it declares does not exist yet."""
        return now < parent.since + CATCH_UP_SECONDS and not parent.children <= self._claimants.keys()


def _applyset(state: ObjectRef) -> str:
    return applyset_id(name=state.name, namespace=state.namespace, kind=CLUSTER_STATE, group=GROUP)
