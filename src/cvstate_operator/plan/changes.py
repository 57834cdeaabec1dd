"""Changes: what to do with each object, or why not. The decision table of the engine.

desired   live                                      →
yes       absent                                    create
yes       owned by another, which let it go         update (take it over)
yes       owned by another                          hold: OwnerConflict
yes       being deleted                             hold: Terminating
yes       our label, but nothing else of ours       update (look first: the label may be a copy)
yes       applied from another manifest             update (revision)
yes       applied from this manifest, unverified    verify
yes       a field of ours differs                   update (drift)
yes       as applied                                nothing
no        ours, another ClusterState declares it    keep until that one takes it over
no        ours, a setting keeps it                  keep
no        ours, and everything is sure              prune
no        ours, and something is in doubt           hold: PruneHeld
no        our label, but nothing else of ours       nothing
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cvstate_operator.objects.identity import ObjectRef
from cvstate_operator.objects.live import Live
from cvstate_operator.objects.manifest import Manifest
from cvstate_operator.objects.ordering import Wave, wave
from cvstate_operator.objects.ownership import PART_OF_LABEL


class Action(StrEnum):
    """What is done to an object; also the `action` label of metrics."""

    CREATE = "create"
    UPDATE = "update"
    """A newer manifest is applied."""
    REPAIR = "repair"
    """The same manifest is applied again, because a field of ours changed or the object vanished."""
    VERIFY = "verify"
    """Nothing is written yet: compare our field set with the manifest first."""
    PRUNE = "prune"


@dataclass(frozen=True, slots=True)
class Change:
    """One object and what to do with it."""

    ref: ObjectRef
    action: Action
    manifest: Manifest | None
    """None for a prune."""
    live: Live | None
    """None for a create."""

    @property
    def wave(self) -> Wave:
        """The stage it belongs to."""
        return wave(self.ref.group_kind)


class Hold(StrEnum):
    """Why nothing is done with an object although something should be."""

    OWNER_CONFLICT = "OwnerConflict"
    TERMINATING = "Terminating"


def decide(
    ref: ObjectRef, manifest: Manifest, live: Live | None, *, owner: str, was_applied: bool, is_free: bool = False
) -> Change | Hold | None:
    """The upper part of the table, for one desired object; None if nothing is to be done.

    Args:
        ref: the object.
        manifest: what it should be.
        live: what it is; None if no object with an owner label is known.
        owner: our ApplySet id.
        was_applied: whether this very manifest was applied before by this process; then an absent object vanished, and is not new.
        is_free: whether its owner, if it is another, let it go.
    """
    if live is None:
        return Change(ref, Action.REPAIR if was_applied else Action.CREATE, manifest, None)
    if live.owner != owner and not is_free:
        return Hold.OWNER_CONFLICT
    if live.terminating:
        return Hold.TERMINATING
    if not live.is_member:
        return Change(ref, Action.UPDATE, manifest, None)
    if live.owner != owner:
        return Change(ref, Action.UPDATE, manifest, live)
    if live.digest != manifest.digest:
        return Change(ref, Action.UPDATE, manifest, live)
    if live.baseline is None:
        return Change(ref, Action.VERIFY, manifest, live)
    if live.fingerprint != live.baseline:
        return Change(ref, Action.REPAIR, manifest, live)
    return None


@dataclass(frozen=True, slots=True)
class PruneGuard:
    """Everything that must be sure before an object may be deleted because it is not in Git (invariants S1, S4 of RELIABILITY)."""

    complete: bool
    """Every file of the newest commit was understood, and every kind is served."""
    empty: bool
    """The commit declares nothing at all: far more often a mistake than a wish."""
    applied: bool
    """Everything desired was applied without a failure in this pass."""
    observed: bool
    """Every kind that may hold members is listed and watched."""

    @property
    def doubt(self) -> str:
        """Why it is not sure what Git declares, and what to do; empty if it is. Only then is anything let go, be it deleted or not."""
        if self.empty:
            return "the commit declares no objects at all; correct spec.source.git.path, or delete the ClusterState"
        if not self.complete:
            return "not every file of the commit could be used; mend the problems that are listed"
        return ""

    @property
    def objection(self) -> str:
        """Why nothing may be deleted now, and what to do; empty if it may."""
        if self.doubt:
            return self.doubt
        if not self.applied:
            return "not everything could be applied; mend the problems that are listed"
        if not self.observed:
            return "not every kind can be seen; let the operator's user list and watch every kind that is in Git, or was"
        return ""


UNCERTAIN: Final = (
    f"they carry our marks but not our entry in metadata.managedFields, or belong to a controller; "
    f"delete them yourself, or remove their label {PART_OF_LABEL}"
)
"""Why an object is not deleted that may not be our work, and what to do."""
SWITCHED_OFF: Final = "spec.prune.enabled: false; delete them yourself, or allow it"
PROTECTED: Final = "spec.prune.protectedKinds; delete them yourself, or take their kinds off the list"


@dataclass(frozen=True, slots=True)
class Kept:
    """Objects that left Git and stay, as it should be."""

    refs: tuple[ObjectRef, ...]
    by: str
    """Which setting, or who, keeps them; and what to do about it."""


@dataclass(frozen=True, slots=True)
class Pruning:
    """What is to be done with the members that are no longer desired."""

    doomed: tuple[Change, ...] = ()
    """To be deleted, in this order."""
    held: tuple[ObjectRef, ...] = ()
    """To be deleted if it were sure that they should be."""
    objection: str = ""
    """What is not sure, and what to do about it."""
    kept: tuple[Kept, ...] = ()
    free: tuple[ObjectRef, ...] = ()
    """Let go, whatever else: another ClusterState may have them."""
    handed_over: tuple[ObjectRef, ...] = ()
    """Of these, the ones that another ClusterState declares."""


def leftovers(members: Mapping[ObjectRef, Live], desired: Iterable[ObjectRef]) -> tuple[Change, ...]:
    """Members that are no longer desired and not yet on their way out, last wave first: admission webhooks before what they point at,
    Namespaces and CRDs at the very end.
    """
    gone = set(members) - set(desired)
    changes = [Change(ref, Action.PRUNE, None, members[ref]) for ref in gone if not members[ref].terminating]
    return tuple(sorted(changes, key=lambda change: (-change.wave, change.ref)))


def prune(
    surplus: Iterable[Change], guard: PruneGuard, *, enabled: bool, protected_kinds: Collection[str], claimant: Callable[[ObjectRef], str]
) -> Pruning:
    """The lower part of the table, for all that `leftovers` found.

    Args:
        surplus: what is left over.
        guard: what is sure.
        enabled: whether the user wants anything to be deleted.
        protected_kinds: kinds that the user wants to be kept.
        claimant: names another ClusterState that declares an object; empty if there is none.
    """
    objection = guard.objection
    doomed: list[Change] = []
    held: list[ObjectRef] = []
    protected: list[ObjectRef] = []
    free: list[ObjectRef] = []
    claimed: dict[str, list[ObjectRef]] = {}
    for change in surplus:
        is_free = not guard.doubt and not (change.live and change.live.controller)
        if is_free:
            free.append(change.ref)
        if is_free and (name := claimant(change.ref)):
            claimed.setdefault(name, []).append(change.ref)
        elif not enabled or change.ref.kind in protected_kinds:
            protected.append(change.ref)
        elif objection or not (change.live and change.live.is_certain):
            held.append(change.ref)
        else:
            doomed.append(change)
    kept = [Kept(tuple(refs), f"{name}, which declares them now and takes them over") for name, refs in sorted(claimed.items())]
    if protected:
        kept.append(Kept(tuple(protected), PROTECTED if enabled else SWITCHED_OFF))
    return Pruning(
        tuple(doomed),
        tuple(held),
        (objection or UNCERTAIN) if held else "",
        tuple(kept),
        tuple(free),
        tuple(ref for refs in claimed.values() for ref in refs),
    )
