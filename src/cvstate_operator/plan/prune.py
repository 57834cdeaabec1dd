"""Prune: what becomes of each object that left Git. The decision table; the first row that applies stands.

left Git                                                    →
being deleted already                                       nothing
another owner's, or our label but nothing else of ours      nothing
another one declares it and may, and Git is understood      kept until that one takes it over
a setting or its annotation keeps it                        kept
something is in doubt, about all or about this one          held
a person approved that it goes                              prune
its annotation asks for an approval                         waits
more would go than the limits allow                         waits, with all that would go
everything is sure                                          prune

What is held cannot be approved: a person sees the same wrong picture as we do. What waits can. A prune is put off, not forgotten, while nothing may
be written. What is desired is in no row (S1 of RELIABILITY), and what is not ours never gets into the table (S2).

**Limits.** Two keys, and both must fit: at most `maxDeletes` objects, and at most `maxPercent` percent of our objects, rounded down. One object is
always within the percentage, or else a set of four could never lose one. They are all or nothing: to delete as many as are allowed would only do the
same harm more slowly. Only what would go unasked is counted. A prune within the limits that was cut short stays within them: each delete makes the
rest smaller by more than its allowance.

Input is the live index, the desired set and `spec.prune`; readers are the pipeline, which deletes, and the report. Pure.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from cvstate_operator.api.propagation import PropagationPolicy
from cvstate_operator.api.prune import Prune
from cvstate_operator.objects.identity import GroupKind, ObjectRef
from cvstate_operator.objects.live import Live
from cvstate_operator.objects.ownership import PART_OF_LABEL
from cvstate_operator.plan.changes import Action, Change

AGREEING_SECONDS: Final = 2.0
"""Between the first look that finds an object to be superfluous, or one who declares it to have no right to it, and what is done about that (S3 of RELIABILITY: two observations that
agree)."""
EMPTY: Final = "the commit declares no objects at all; correct spec.source.git.path, delete the ClusterState, or set spec.prune.allowEmpty if it is meant"
"""Why nothing is deleted by an empty commit, and what to do: far more often it is a mistake than a wish."""
UNCERTAIN: Final = (
    f"they carry our marks but not our entry in metadata.managedFields, or belong to a controller; "
    f"delete them yourself, or remove their label {PART_OF_LABEL}"
)
"""Why an object is not deleted that may not be our work, and what to do."""
SWITCHED_OFF: Final = "spec.prune.enabled: false; delete them yourself, or allow it"
PROTECTED: Final = "spec.prune.protectedKinds; delete them yourself, or take their kinds off the list"
ROLLBACK: Final = "Rollback"
"""What `policy` says of an object that a rollback leaves alone."""
ROLLED_BACK: Final = (
    "spec.rollback.excludeKinds, since an older revision was gone back to; delete them yourself, or wait for the next commit"
)
DISABLED: Final = "its annotation cvstate.io/prune: Disabled, or one that means the same; delete them yourself, or remove the annotation"
CONFIRM: Final = "its annotation cvstate.io/prune: Confirm asks for an approval; approve the plan (`cvstate approve NAME -n NAMESPACE`), or delete them yourself"


@dataclass(frozen=True, slots=True)
class PruneGuard:
    """Everything that must be sure before an object may be deleted because it is not in Git (S4 of RELIABILITY)."""

    complete: bool
    """Every file of the newest commit was understood, and every kind is served."""
    fresh: bool
    """The source answered lately enough: there is no newer commit that we should know of."""
    applied: bool
    """Everything desired was applied without a failure in this pass."""
    observed: bool
    """Every kind that may hold members is listed and watched, and the API server told of it lately."""

    @property
    def doubt(self) -> str:
        """Why it is not sure what Git declares, and what to do; empty if it is. Only then is anything let go, be it deleted or not."""
        if not self.complete:
            return "not every file of the commit could be used; mend the problems that are listed"
        if not self.fresh:
            return "there may be a newer commit; mend what condition SourceReady says"
        return ""

    @property
    def objection(self) -> str:
        """Why nothing may be deleted now, and what to do; empty if it may."""
        if self.doubt:
            return self.doubt
        if not self.applied:
            return "not everything is applied yet; mend the problems that are listed, if there are any"
        if not self.observed:
            return (
                "not every kind can be seen; let the operator's user list and watch every kind that is in Git, or was, "
                "or wait until the API server tells of it again"
            )
        return ""


@dataclass(frozen=True, slots=True)
class Kept:
    """Objects that left Git and stay, as it should be."""

    refs: tuple[ObjectRef, ...]
    by: str
    """Which setting, or who, keeps them; and what to do about it."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Objects that left Git and go as soon as a person approves."""

    changes: tuple[Change, ...]
    """In the order they would be deleted; never empty."""
    objection: str
    """What needs the approval, and what to do about it."""


@dataclass(frozen=True, slots=True)
class Pruning:
    """What is to be done with the members that are no longer desired. Each of them is in one of `doomed`, `deferred`, `waiting`, `held` and `kept`."""

    doomed: tuple[Change, ...] = ()
    """To be deleted, in this order."""
    deferred: tuple[Change, ...] = ()
    """To be deleted, in this order, as soon as anything may be written."""
    deferral: str = ""
    """Why nothing may be written now; empty if nothing is deferred."""
    waiting: tuple[Waiting, ...] = ()
    held: tuple[ObjectRef, ...] = ()
    """To be deleted if it were sure that they should be; no approval helps."""
    objection: str = ""
    """What is not sure, and what to do about it; empty if nothing is held."""
    kept: tuple[Kept, ...] = ()
    free: tuple[ObjectRef, ...] = ()
    """Let go, whatever else: another ClusterState may have them."""
    handed_over: tuple[ObjectRef, ...] = ()
    """Of these, the ones that another ClusterState declares."""


def decide(
    live: Mapping[ObjectRef, Live],
    desired: Collection[ObjectRef],
    guard: PruneGuard,
    *,
    owner: str,
    spec: Prune,
    claimant: Callable[[ObjectRef], str],
    policy: Callable[[Change], str],
    approved: Callable[[Change], bool],
    deferral: str = "",
) -> Pruning:
    """The table, for all that is in the cluster.

    Args:
        live: what is known of objects with an owner label; other owners' are left out here.
        desired: all that the newest commit declares.
        guard: what is sure.
        owner: our ApplySet id.
        spec: what the user wants.
        claimant: names another ClusterState that declares an object, and may write it; empty if there is none.
        policy: `Enabled`, `Disabled` or `Confirm`, as the object's annotation says, or `ROLLBACK`; anything else asks for an approval, too.
        approved: whether a person approved that this very change is made.
        deferral: why nothing may be written now, as a closed window; empty if it may.
    """
    ours = members(live, owner)
    doubt = guard.doubt or ("" if desired or spec.allow_empty else EMPTY)
    objection = doubt or guard.objection
    surplus = leftovers(ours, desired)
    free = () if doubt else tuple(change.ref for change in surplus if not ours[change.ref].controller)
    claims = {ref: name for ref in free if (name := claimant(ref))}
    # One row of the table after the other.
    claimed, rest = _sieve(surplus, lambda change: _taken_over(claims.get(change.ref, "")))
    kept, rest = _sieve(rest, lambda change: _keeper(change.ref.group_kind, spec, policy(change)))
    held, rest = _sieve(rest, lambda change: objection or ("" if ours[change.ref].is_certain else UNCERTAIN))
    to_confirm, rest = _sieve(rest, lambda change: "" if approved(change) or policy(change) == "Enabled" else CONFIRM)
    excess = _excess(sum(not approved(change) for change in rest), len(ours), spec)
    too_many, rest = _sieve(rest, lambda change: "" if approved(change) else excess)
    return Pruning(
        doomed=() if deferral else rest,
        deferred=rest if deferral else (),
        deferral=deferral if rest else "",
        waiting=tuple(Waiting(found, why) for why, found in (*to_confirm.items(), *too_many.items())),
        held=tuple(change.ref for found in held.values() for change in found),
        objection="; ".join(held),
        kept=tuple(Kept(tuple(change.ref for change in found), by) for by, found in (*sorted(claimed.items()), *sorted(kept.items()))),
        free=free,
        handed_over=tuple(claims),
    )


def members(live: Mapping[ObjectRef, Live], owner: str) -> dict[ObjectRef, Live]:
    """Objects of this owner that are there to stay as far as the API server knows. A label alone may be a copy (`Live.is_member`)."""
    return {ref: one for ref, one in live.items() if one.owner == owner and one.is_member and not one.terminating}


def propagation(live: Live, spec: Prune) -> PropagationPolicy:
    """What becomes of the dependents of an object that is deleted: as its annotation says, or else the spec."""
    return live.directives.propagation or spec.propagation_policy


def leftovers(members: Mapping[ObjectRef, Live], desired: Iterable[ObjectRef]) -> list[Change]:
    """Members that are no longer desired, last wave first: admission webhooks before what they point at, Namespaces and CRDs at the very end."""
    return _in_order(Change(ref, Action.PRUNE, None, members[ref]) for ref in members.keys() - set(desired))


def _sieve(changes: Iterable[Change], why_not: Callable[[Change], str]) -> tuple[dict[str, tuple[Change, ...]], tuple[Change, ...]]:
    """Those that may not go, by the reason, and the rest; both in their order."""
    caught: dict[str, list[Change]] = {}
    rest = []
    for change in changes:
        if reason := why_not(change):
            caught.setdefault(reason, []).append(change)
        else:
            rest.append(change)
    return {reason: tuple(found) for reason, found in caught.items()}, tuple(rest)


def _in_order(changes: Iterable[Change]) -> list[Change]:
    by_ref = sorted(changes, key=lambda change: change.ref)
    return sorted(by_ref, key=lambda change: change.wave, reverse=True)


def _taken_over(name: str) -> str:
    return f"{name}, which declares them now and takes them over" if name else ""


def _keeper(kind: GroupKind, spec: Prune, wish: str) -> str:
    """Which setting keeps an object; empty if none does."""
    if wish == ROLLBACK:
        return ROLLED_BACK
    if not spec.enabled:
        return SWITCHED_OFF
    if kind.kind in spec.protected_kinds or str(kind) in spec.protected_kinds:
        return PROTECTED
    return DISABLED if wish == "Disabled" else ""


def _excess(count: int, of: int, spec: Prune) -> str:
    """Why `count` of `of` members are too many to go unasked, and what to do; empty if they are not."""
    by_percent = max(1, of * spec.max_percent // 100)
    limits = {}
    if count > spec.max_deletes:
        limits["spec.prune.maxDeletes"] = f"allows {spec.max_deletes}"
    if count > by_percent:
        limits["spec.prune.maxPercent"] = f"({spec.max_percent} %) allows {by_percent}"
    if not limits:
        return ""
    exceeded = " and ".join(f"{name} {allows}" for name, allows in limits.items())
    return f"{count} of {of} objects would go at once, but {exceeded}; approve the plan (`cvstate approve NAME -n NAMESPACE`), or raise {' and '.join(limits)}"
