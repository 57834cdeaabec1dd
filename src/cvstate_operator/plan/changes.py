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

What is in the cluster but not desired is the business of plan/prune.py.
"""

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
    RECREATE = "recreate"
    """The object is deleted and made anew, since a field would have to change that cannot."""
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
    def wave(self) -> tuple[int, Wave]:
        """When its turn is: the number that its annotation gives it, and the stage of its kind; pruning goes backwards."""
        told = self.manifest or self.live
        return (told.directives.wave if told else 0), wave(self.ref.group_kind)


class Hold(StrEnum):
    """Why nothing is done with an object although something should be."""

    OWNER_CONFLICT = "OwnerConflict"
    TERMINATING = "Terminating"


def decide(
    ref: ObjectRef, manifest: Manifest, live: Live | None, *, owner: str, was_applied: bool, is_free: bool = False, rules: str = ""
) -> Change | Hold | None:
    """The table, for one desired object; None if nothing is to be done.

    Args:
        ref: the object.
        manifest: what it should be.
        live: what it is; None if no object with an owner label is known.
        owner: our ApplySet id.
        was_applied: whether this very manifest was applied before by this process; then an absent object vanished, and is not new.
        is_free: whether its owner, if it is another, let it go.
        rules: by which fields are left out of an apply, as in `partial_digest`.
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
    if live.digest not in (manifest.digest, partial_digest(manifest, rules)):
        return Change(ref, Action.UPDATE, manifest, live)
    if live.baseline is None:
        return Change(ref, Action.VERIFY, manifest, live)
    if live.fingerprint != live.baseline:
        return Change(ref, Action.REPAIR, manifest, live)
    return None


def partial_digest(manifest: Manifest, rules: str) -> str:
    """What an object carries in place of its manifest's digest if fields were left out of its apply: when the rules change, it is applied again."""
    return f"{manifest.digest}+{rules}"
