"""Changes: what to do with each object, or why not. The decision table of the engine.

desired   live                                      →
yes       absent                                    create
yes       owned by another                          hold: OwnerConflict
yes       being deleted                             hold: Terminating
yes       applied from another manifest             update (revision)
yes       applied from this manifest, unverified    verify
yes       a field of ours differs                   update (drift)
yes       as applied                                nothing
no        ours, and pruning is allowed              prune
no        ours, and pruning is not allowed          hold: PruneHeld
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from cvstate_operator.objects.identity import ObjectRef
from cvstate_operator.objects.live import Live
from cvstate_operator.objects.manifest import Manifest
from cvstate_operator.objects.ordering import Wave, wave


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


def decide(ref: ObjectRef, manifest: Manifest, live: Live | None, *, owner: str, was_applied: bool) -> Change | Hold | None:
    """The upper part of the table, for one desired object; None if nothing is to be done.

    Args:
        ref: the object.
        manifest: what it should be.
        live: what it is; None if no object with an owner label is known.
        owner: our ApplySet id.
        was_applied: whether this very manifest was applied before by this process; then an absent object vanished, and is not new.
    """
    if live is None:
        return Change(ref, Action.REPAIR if was_applied else Action.CREATE, manifest, None)
    if live.owner != owner:
        return Hold.OWNER_CONFLICT
    if live.terminating:
        return Hold.TERMINATING
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

    enabled: bool
    complete: bool
    """Every file of the newest commit was understood, and every kind is served."""
    empty: bool
    """The commit declares nothing at all: far more often a mistake than a wish."""
    applied: bool
    """Everything desired was applied without a failure in this pass."""
    observed: bool
    """Every kind that may hold members is listed and watched."""

    @property
    def objection(self) -> str:
        """Why nothing may be pruned now; empty if it may."""
        if not self.enabled:
            return "pruning is switched off (spec.prune.enabled)"
        if self.empty:
            return "the commit declares no objects at all"
        if not self.complete:
            return "not every file of the commit could be used"
        if not self.applied:
            return "not everything could be applied"
        if not self.observed:
            return "not every kind can be seen"
        return ""


def leftovers(members: Mapping[ObjectRef, Live], desired: Iterable[ObjectRef]) -> tuple[Change, ...]:
    """Members that are no longer desired and not yet on their way out, last wave first: admission webhooks before what they point at,
    Namespaces and CRDs at the very end.
    """
    gone = set(members) - set(desired)
    changes = [Change(ref, Action.PRUNE, None, members[ref]) for ref in gone if not members[ref].terminating]
    return tuple(sorted(changes, key=lambda change: (-change.wave, change.ref)))
