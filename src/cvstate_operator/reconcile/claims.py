"""Claims: which objects ClusterStates declare, and which they let go. So an object moves from one to another without being deleted.

Each ClusterState of this process says what it declares before it writes, and what it let go before it deletes. Until it says so, and of those that other replicas have, its
`status.claims` tell what it declares of others. Two that read the same ref of a repository wait for each other for a moment: the one that learns of a commit first does not
yet know what the other will declare. Whether whoever declares an object may write it is not known here: who would delete it asks (`World.may_have`). No I/O, no clock.

Invariant: while anybody declares an object, or may still come to declare it, nobody deletes it. The latter is a ClusterState that is new, that was given another spec, that stands
in the Git of another and was not created yet, that was just taken up after a restart, or that has not come to the same commit. That wait is bounded: one that never comes keeps
nothing alive.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

from cvstate_operator.api.names import CLUSTER_STATE, GROUP
from cvstate_operator.objects.artifact import Artifact
from cvstate_operator.objects.identity import GroupKind, ObjectRef
from cvstate_operator.objects.ownership import applyset_id
from cvstate_operator.reconcile import exchange

CATCH_UP_SECONDS: Final = 10.0
"""How long nothing is deleted because another ClusterState may come to declare it."""
RETURN_SECONDS: Final = 600.0
"""The same for one that had come to a commit before it was taken up, here or by another replica, and that reads the same ref: it comes again, but may have to clone and to render
anew."""
NOWHERE: Final = ("", "")
"""Repository and ref of a ClusterState of which they are not known."""

_KIND: Final = GroupKind(GROUP, CLUSTER_STATE)


@dataclass(slots=True)
class _Claimant:
    asked: float
    """When it was last asked to declare anything else (monotonic seconds): it joined, or its spec changed."""
    is_here: bool = True
    """Whether this process has it."""
    wanted: Collection[ObjectRef] = ()
    """What it said here that it declares."""
    told: Collection[str] = ()
    """What it claims by its status (`exchange.listed`); empty as soon as it speaks for itself."""
    free: frozenset[ObjectRef] = frozenset()
    source: tuple[str, str] = NOWHERE
    """Repository and ref."""
    commit: str = ""
    """The commit that it declares; empty if it did not answer yet what it was asked."""
    since: float = 0.0
    """When it came to that commit (monotonic seconds)."""
    returns: bool = False
    """Whether it had come to a commit once, here or elsewhere, so that it will again."""
    left_at: str = ""
    """Of one that was here: the commit that `wanted` is of."""
    children: frozenset[str] = frozenset()
    """ApplySet ids of the ClusterStates among `wanted`."""
    hurried: str = ""
    """The commit it was last hurried to."""
    patience: float = CATCH_UP_SECONDS
    """How long it may take to come to a commit, seconds."""
    returns_until: float = 0.0
    """Of one of another replica: until when it may have to begin anew there, since its replica may be another one (monotonic seconds)."""


_NOBODY: Final = _Claimant(0.0)


@dataclass(slots=True)
class Claims:
    """See the module."""

    hurry: Callable[[str], object] = lambda owner: None
    """Have a ClusterState look at its source."""
    freed: Callable[[str, ObjectRef], None] = lambda owner, ref: None
    """Tell a ClusterState that another one would delete an object that it declares; or, if it would delete it itself, that another one declares it now."""
    state: int = 0
    """Another number whenever anything that is asked here may be answered otherwise than before."""
    _claimants: dict[str, _Claimant] = field(default_factory=dict)
    """By ApplySet id."""
    _newest: dict[tuple[str, str], tuple[str, float]] = field(default_factory=dict)
    """By repository and ref: the commit that a ClusterState came to last, and when the first one did (monotonic seconds)."""

    def join(self, owner: str, now: float, *, source: tuple[str, str] = NOWHERE, told: Collection[str] = (), returns: bool = False) -> None:
        """This process has a ClusterState from now on. Until it says what it declares, what it declared before stands: what it said here, and what its status tells.

        Args:
            owner: its ApplySet id.
            now: monotonic seconds.
            source: repository and ref that it follows, as far as that is known.
            told: what its status claims.
            returns: whether it had come to a commit already, be it here or elsewhere.
        """
        self.state += 1
        known = self._claimants.get(owner, _NOBODY)
        self._claimants[owner] = _Claimant(
            now,
            wanted=known.wanted,
            told=frozenset(told),
            source=source,
            returns=returns,
            patience=RETURN_SECONDS if returns else CATCH_UP_SECONDS,
        )
        self._forget(known.source)

    def change(self, owner: str, now: float) -> None:
        """The spec of a ClusterState is another one; until it says what it declares by that, what it declared before stands."""
        self.state += 1
        if claimant := self._claimants.get(owner):
            claimant.asked, claimant.commit, claimant.patience = now, "", CATCH_UP_SECONDS

    @property
    def is_used(self) -> bool:
        """Whether there is any ClusterState."""
        return bool(self._claimants)

    def knows(self, owner: str) -> bool:
        """Whether there is a ClusterState with this ApplySet id, here or of another replica."""
        return owner in self._claimants

    def move_away(self, owner: str, now: float) -> None:
        """Another replica has a ClusterState from now on: what it declared here stands until its status tells of that commit, or of a later one."""
        self.state += 1
        known = self._claimants.get(owner, _NOBODY)
        self._claimants[owner] = _Claimant(
            now,
            is_here=False,
            wanted=frozenset(known.wanted),
            told=known.told,
            source=known.source,
            returns=known.returns,
            left_at=known.commit,
            patience=RETURN_SECONDS if known.returns else CATCH_UP_SECONDS,
            returns_until=now + RETURN_SECONDS,
        )

    def move_about(self, now: float) -> None:
        """Other replicas came or went: what they have may be another one's by now, and has to begin anew there."""
        for one in self._claimants.values():
            if not one.is_here:
                one.returns_until = now + RETURN_SECONDS

    def elsewhere(
        self, owner: str, source: tuple[str, str], commit: str, now: float, *, looks_each: float = 0.0, told: Collection[str] = ()
    ) -> None:
        """There is a ClusterState that another replica has; by its status it is known how far it has come, and what it declares of others.

        Args:
            owner: its ApplySet id.
            source: repository and ref that it follows.
            commit: that it has come to; empty if its spec is newer than that.
            now: monotonic seconds.
            looks_each: how often it looks at the repository by itself, seconds: nobody here can hurry it.
            told: what its status claims.
        """
        self.state += 1
        # Of one that was not heard of before: it began anew when this process did, if both replicas were replaced.
        known = self._claimants.setdefault(owner, _Claimant(now, is_here=False, returns_until=now + RETURN_SECONDS))
        before, told_before = known.source, known.told
        if known.commit and not commit:
            known.asked = now
        known.is_here, known.patience, known.told = False, CATCH_UP_SECONDS + looks_each, frozenset(told)
        known.returns = known.returns or bool(commit)
        if commit and known.commit not in ("", commit):
            known.returns_until = 0.0  # it is at work there
        if (known.source, known.commit) != (source, commit):
            known.source, known.commit, known.since = source, commit, now
            # Which commit is the newest, those say who were there: this one may tell of its last one, with a spec that is newer.
            if commit and source not in self._newest:
                self._newest[source] = (commit, now)
            self._forget(before)
        if not self._stands(known):
            known.wanted = ()
        self._tell_of(owner, told_before)

    def _stands(self, one: _Claimant) -> bool:
        """Whether what a ClusterState said here last is newer than its status: another replica has it, which is not heard of yet, or is behind those here who read the same ref."""
        if one.is_here or not one.commit:
            return True
        left_at = (one.source, one.left_at)
        return one.left_at not in ("", one.commit) and any(
            other.is_here and (other.source, other.commit) == left_at for other in self._claimants.values()
        )

    def _tell_of(self, owner: str, before: Collection[str]) -> None:
        """Tell those here that wait for it, before they delete an object, that another one claims it now."""
        told = self._claimants[owner].told
        if told == before:
            return
        for giver, one in self._claimants.items():
            for ref in one.free if giver != owner else ():
                if exchange.is_listed(ref, told) and not exchange.is_listed(ref, before):
                    self.freed(giver, ref)

    def leave(self, owner: str) -> None:
        """The ClusterState is gone; its objects are orphaned."""
        self.state += 1
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
        if claimant.told or refs is not claimant.wanted or (artifact and artifact.commit != claimant.commit):
            self.state += 1
        claimant.told = ()
        if refs is not claimant.wanted:
            claimant.wanted = refs
            claimant.children = frozenset(_applyset(ref) for ref in refs if ref.group_kind == _KIND)
        if artifact is None or artifact.commit == claimant.commit:
            return
        # Not where it is kept: whoever reads the same repository with another Secret has a directory of his own.
        before, claimant.source = claimant.source, (artifact.repository_key or artifact.repository, artifact.ref)
        claimant.commit, claimant.since, claimant.patience, claimant.returns = artifact.commit, now, CATCH_UP_SECONDS, True
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
        """Who declares the object, sorted, as far as they said so or their status does."""
        return tuple(sorted(owner for owner, one in self._claimants.items() if self._declares(one, ref)))

    def among(self, refs: Collection[ObjectRef], *, but: str) -> dict[ObjectRef, tuple[str, ...]]:
        """The same for many objects at once, of those that anybody else than `but` declares. Costs by what is declared rather than by objects times ClusterStates."""
        found: dict[ObjectRef, list[str]] = {}
        for owner in sorted(self._claimants.keys() - {but}) if refs else ():
            one = self._claimants[owner]
            wanted = one.wanted if self._stands(one) else ()
            fewer, more = (refs, wanted) if len(refs) < len(wanted) else (wanted, refs)
            declared = {ref for ref in fewer if ref in more}
            if one.told:
                declared.update(ref for ref in refs if exchange.is_listed(ref, one.told))
            for ref in declared:
                found.setdefault(ref, []).append(owner)
        return {ref: tuple(owners) for ref, owners in found.items()}

    def _declares(self, one: _Claimant, ref: ObjectRef) -> bool:
        return (ref in one.wanted and self._stands(one)) or exchange.is_listed(ref, one.told)

    def may_come(self, owner: str, since: float, now: float) -> bool:
        """Whether a ClusterState that marked an object may not have been able to say so yet, `since` somebody would delete that (monotonic seconds): its status is written
        at the end of a pass. One that is gone, or that speaks for itself here, has nothing more to say."""
        one = self._claimants.get(owner)
        return one is not None and not (one.is_here and one.commit) and now < since + one.patience

    def catch_up(self, owner: str, now: float) -> bool:
        """Whether another ClusterState may soon come to declare what `owner` lets go; those that read the same repository are hurried."""
        ours = self._claimants.get(owner) or _Claimant(now)
        newest, since = self._newest.get(ours.source, ("", 0.0))
        waiting = any(self._is_expecting(claimant, now) for claimant in self._claimants.values())
        for name, other in self._claimants.items():
            if name == owner:
                continue
            if not other.commit:
                waiting = waiting or now < other.asked + (other.patience if other.source == ours.source else CATCH_UP_SECONDS)
            elif (
                other.source == ours.source
                and other.commit != newest
                and now < max(since + other.patience, min(since + RETURN_SECONDS, other.returns_until))
            ):
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
