"""What pruning must do, once more and in another way: every object against every sentence below, slowly.

Written from the invariants in words, not from plan/prune.py; the two share only the values that describe a situation.

    Nothing is touched that Git declares, that is another owner's, that only copied our label, or that is being deleted already.
    While it is not sure what Git declares, nobody gets anything from us; otherwise all that left Git is free, but for what a controller holds.
    What is free and declared by another ClusterState goes to it.
    What the user keeps is kept: by the switch, by its kind, by its annotation.
    Nothing is deleted in doubt: about Git, about the apply, about what is there, or about who made the object. No approval changes that.
    What is approved may go. What asks for an approval waits for one.
    The rest goes together or not at all: it waits if it is more than the count or, being more than one, more than the percentage.
    While writing is not allowed, what would go is put off.
    Higher waves go before lower ones. Within one, admission gates go first, ordinary objects next, then what Pods need to start, and last what other objects live in or are kinds of.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction

from cvstate_operator.objects.identity import ObjectRef
from cvstate_operator.objects.live import Live


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a decision may depend on."""

    owner: str
    cluster: Mapping[ObjectRef, Live]
    declared: frozenset[ObjectRef]
    complete: bool
    fresh: bool
    applied: bool
    observed: bool
    enabled: bool
    max_deletes: int
    max_percent: int
    allow_empty: bool
    protected: tuple[str, ...]
    annotations: Mapping[ObjectRef, str]
    """What is not here is `Enabled`."""
    approvals: frozenset[ObjectRef]
    claims: Mapping[ObjectRef, str]
    closed: str


class Fate(IntEnum):
    """What becomes of an object; of several, the first."""

    UNTOUCHED = 0
    HANDED_OVER = 1
    KEPT_BY_SWITCH = 2
    KEPT_BY_KIND = 3
    KEPT_BY_ANNOTATION = 4
    HELD = 5
    WAITS_FOR_ITSELF = 6
    WAITS_WITH_ALL = 7
    PUT_OFF = 8
    DELETED = 9


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of all; objects that nothing happens to are left out."""

    fates: Mapping[ObjectRef, Fate]
    order: tuple[ObjectRef, ...]
    """Of what is deleted, or put off."""
    free: frozenset[ObjectRef]


def judge(world: Situation) -> Verdict:
    """The sentences above."""
    free = frozenset(ref for ref in world.cluster if _left(world, ref) and _is_understood(world) and not world.cluster[ref].controller)
    fates = {ref: min(_fates(world, ref, free)) for ref in world.cluster}
    unasked = [ref for ref, fate in fates.items() if fate is Fate.DELETED and ref not in world.approvals]
    if _are_too_many(len(unasked), world):
        fates |= dict.fromkeys(unasked, Fate.WAITS_WITH_ALL)
    if world.closed:
        fates |= {ref: Fate.PUT_OFF for ref, fate in fates.items() if fate is Fate.DELETED}
    goes = [ref for ref, fate in fates.items() if fate in (Fate.DELETED, Fate.PUT_OFF)]
    waves = sorted({world.cluster[ref].directives.wave for ref in goes}, reverse=True)
    turns = [(wave, stage) for wave in waves for stage in range(4)]
    order = [ref for turn in turns for ref in sorted(goes) if (world.cluster[ref].directives.wave, _stage(ref)) == turn]
    return Verdict({ref: fate for ref, fate in fates.items() if fate is not Fate.UNTOUCHED}, tuple(order), free)


def _fates(world: Situation, ref: ObjectRef, free: frozenset[ObjectRef]) -> Iterator[Fate]:
    """Every fate there is a sentence for."""
    yield Fate.DELETED
    if not _left(world, ref):
        yield Fate.UNTOUCHED
    if ref in free and ref in world.claims:
        yield Fate.HANDED_OVER
    if not world.enabled:
        yield Fate.KEPT_BY_SWITCH
    if any(entry in (ref.kind, f"{ref.kind}.{ref.group}") for entry in world.protected):
        yield Fate.KEPT_BY_KIND
    annotation = world.annotations.get(ref, "Enabled")
    if annotation == "Disabled":
        yield Fate.KEPT_BY_ANNOTATION
    made_by_us = world.cluster[ref].applied and world.cluster[ref].controller == ""
    if not (_is_understood(world) and world.applied and world.observed and made_by_us):
        yield Fate.HELD
    if annotation not in ("Enabled", "Disabled") and ref not in world.approvals:
        yield Fate.WAITS_FOR_ITSELF


def _is_understood(world: Situation) -> bool:
    return world.complete and world.fresh and (len(world.declared) > 0 or world.allow_empty)


def _is_alive_and_ours(world: Situation, ref: ObjectRef) -> bool:
    one = world.cluster[ref]
    is_copy = not one.applied and (one.digest == "" or one.controller != "")
    return one.owner == world.owner and not is_copy and not one.terminating


def _left(world: Situation, ref: ObjectRef) -> bool:
    return _is_alive_and_ours(world, ref) and ref not in world.declared


def _are_too_many(count: int, world: Situation) -> bool:
    alive = sum(_is_alive_and_ours(world, ref) for ref in world.cluster)
    return count > world.max_deletes or (count > 1 and Fraction(count, alive) > Fraction(world.max_percent, 100))


def _stage(ref: ObjectRef) -> int:
    if ref.group in ("admissionregistration.k8s.io", "apiregistration.k8s.io"):
        return 0
    if ref.kind in ("ConfigMap", "Secret"):
        return 2
    return 3 if (ref.group, ref.kind) in (("", "Namespace"), ("apiextensions.k8s.io", "CustomResourceDefinition")) else 1
