"""What the outcome of a pass says of the configuration: each declared object counts once, by the worst that is known of it. Pure; `vital_stage` scores it.

| a declared object | counts as |
|---|---|
| has Critical drift, whatever else | CriticalDrift |
| cannot be applied, is missing, or was never made | NotApplied |
| was never made and comes in a moment, or failed just now, or is there and waits | Held, or by its drift |
| has other drift | by its worst field |

A file that cannot be read hides what it declares. It counts as one more object that is not applied, and objects that may stand in it count as they were found
last. So nothing gets better by becoming unreadable.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from cvstate_operator.api.change_plan import PlanAction
from cvstate_operator.api.drift import Severity
from cvstate_operator.objects.identity import GroupKind, ObjectRef
from cvstate_operator.objects.problem import Problem
from cvstate_operator.reconcile.outcome import Outcome
from cvstate_operator.vital.health.lapse import LASTING, HealthCounts, Level
from cvstate_operator.vital.verdicts.compliance import Configuration, Fault

_DRIFTS = {
    Severity.CRITICAL: Fault.CRITICAL_DRIFT,
    Severity.HIGH: Fault.HIGH_DRIFT,
    Severity.MEDIUM: Fault.MEDIUM_DRIFT,
    Severity.LOW: Fault.LOW_DRIFT,
}
_ORDER = (
    Fault.HELD,
    Fault.LOW_DRIFT,
    Fault.MEDIUM_DRIFT,
    Fault.UNJUDGED,
    Fault.HIGH_DRIFT,
    Fault.NOT_APPLIED,
    Fault.CRITICAL_DRIFT,
)
"""From what costs least to what caps the score lowest."""


@dataclass(frozen=True, slots=True)
class Found:
    """What was found wrong with declared objects, one by one; of all others nothing is."""

    faults: Mapping[ObjectRef, Fault] = field(default_factory=dict)
    levels: Mapping[ObjectRef, Level] = field(default_factory=dict)
    """Of objects that do not count as Ready."""
    unjudged: frozenset[GroupKind] = frozenset()
    """Kinds of which no object was ever compared."""
    blind: frozenset[GroupKind] = frozenset()
    """Kinds that could not be seen."""
    uncounted: frozenset[ObjectRef] = frozenset()
    """Objects that are left as they are, so that their health need not be known."""

    def fault(self, ref: ObjectRef) -> Fault | None:
        """What is wrong with the configuration of an object; None if nothing is."""
        return self.faults.get(ref) or (Fault.UNJUDGED if self.unjudged and ref.group_kind in self.unjudged else None)

    def level(self, ref: ObjectRef) -> Level | None:
        """How an object counts in health; None if it does not."""
        if found := self.levels.get(ref):
            return found
        if ref in self.uncounted:
            return None
        return Level.UNKNOWN if self.blind and ref.group_kind in self.blind else Level.READY


NOTHING = Found()


def found_of(
    outcome: Outcome,
    *,
    seen: Collection[GroupKind] = (),
    passing: Collection[Problem] = (),
    before: Found = NOTHING,
    is_stuck: bool = False,
) -> Found:
    """What a pass found wrong.

    Args:
        outcome: of the pass.
        seen: kinds that were compared before.
        passing: of what is left out, what was met just now and may pass by itself.
        before: what the pass before found; it is all that is known of objects that are hidden now.
        is_stuck: whether what waits for an earlier wave or a dependency has waited for too long to be on its way still.
    """
    hidden_faults = {ref: fault for ref in outcome.hidden if (fault := before.fault(ref))}
    named = _named(outcome)
    for problem in outcome.left_out:
        if ref := named.get(problem.object):
            hidden_faults[ref] = _worse(hidden_faults.get(ref), Fault.HELD if problem in passing else Fault.NOT_APPLIED)
    hidden_levels = {ref: level for ref in outcome.hidden if (level := before.level(ref)) is not Level.READY and level}
    return Found(
        {**_faults(outcome, is_stuck=is_stuck), **hidden_faults},
        {**_levels(outcome, is_stuck=is_stuck), **hidden_levels},
        frozenset(kind for kind in outcome.blind_objects if kind not in seen),
        frozenset(outcome.health.blind),
        frozenset(outcome.exempt) | {ref for ref in outcome.hidden if before.level(ref) is None},
    )


def configuration_of(
    outcome: Outcome, found: Found, *, seen: Collection[GroupKind] = (), passing: Collection[Problem] = ()
) -> Configuration:
    """How the declared objects compare with the cluster.

    Args:
        outcome: of the pass.
        found: what it found wrong with each.
        seen: kinds that were compared before; of what cannot be seen now, the others never were.
        passing: of what is left out, what was met just now and may pass by itself.
    """
    counts, pruning, hidden = Counter(found.faults.values()), outcome.pruning, frozenset(outcome.hidden)
    named = _named(outcome)
    more = [problem for problem in outcome.left_out if problem.object not in named]
    unreadable = sum(problem not in passing for problem in more)
    desired, faults = (number + len(more) for number in (outcome.desired + len(hidden), len(found.faults)))
    never_seen = sum(number for kind, number in outcome.blind_objects.items() if kind not in seen)
    leaving = sum(ref not in hidden for ref in pruning.held) + len(pruning.deferred) + sum(len(one.changes) for one in pruning.waiting)
    return Configuration(
        desired=desired,
        drift={severity: counts[fault] for severity, fault in _DRIFTS.items() if counts[fault]},
        failed=counts[Fault.NOT_APPLIED] + unreadable,
        held=counts[Fault.HELD] + len(more) - unreadable,
        unjudged=counts[Fault.UNJUDGED] + min(max(0, desired - faults), never_seen),
        unseen=sum(number for kind, number in outcome.blind_objects.items() if kind in seen),
        leaving=leaving,
        absent=sum(level is Level.MISSING and found.faults.get(ref) is Fault.NOT_APPLIED for ref, level in found.levels.items()),
        is_evaluated=outcome.is_compared,
    )


def health_of(outcome: Outcome, found: Found) -> HealthCounts:
    """The declared objects by their level: those that are watched, those that were never made, and those that a file hides that cannot be read."""
    unmade, hidden = outcome.unmade, outcome.hidden
    if not (unmade or hidden):
        return outcome.health.counts
    refs = (*unmade.held, *unmade.failing, *unmade.coming, *unmade.later, *unmade.dependent, *unmade.unwatched)
    more = Counter([found.levels[ref] for ref in refs])
    more.update(level for ref in hidden if (level := found.level(ref)))
    outdated = sum(level in LASTING for ref in hidden if (level := found.level(ref)))
    counts = outcome.health.counts
    levels = {level.value.lower(): counts.count(level) + more[level] for level in Level}
    return HealthCounts(**levels, outdated=counts.outdated + outdated)


def _faults(outcome: Outcome, *, is_stuck: bool) -> dict[ObjectRef, Fault]:
    """The worst of each object: what is put in later is worse."""
    held, unmade, passing = outcome.held, outcome.unmade, frozenset(outcome.passing)
    recreates = [one.item.ref for one in outcome.consent.waits if one.item.action is PlanAction.RECREATE]
    on_their_way = (*unmade.later, *unmade.dependent)
    waiting = (*held.waiting, *held.left, *unmade.coming, *on_their_way, *unmade.unwatched, *recreates, *outcome.passing)
    found = dict.fromkeys(waiting, Fault.HELD)
    found.update((ref, _DRIFTS[max((entry.severity for entry in entries), key=_rank)]) for ref, entries in outcome.drift)
    failing = [ref for ref in outcome.failing if ref not in passing]
    for ref in (*outcome.missing, *failing, *unmade.held, *unmade.failing, *(on_their_way if is_stuck else ())):
        found[ref] = _worse(found.get(ref), Fault.NOT_APPLIED)
    return found


def _levels(outcome: Outcome, *, is_stuck: bool) -> dict[ObjectRef, Level]:
    """How objects count in health that do not count as Ready."""
    unmade, blind = outcome.unmade, outcome.health.blind
    found: dict[ObjectRef, Level] = {ref: lapse.level for ref, lapse in outcome.health.lapses.items() if lapse.level is not Level.READY}
    if blind:
        found = {ref: level if level in LASTING or ref.group_kind not in blind else Level.UNKNOWN for ref, level in found.items()}
    found.update(dict.fromkeys((*unmade.held, *unmade.failing), Level.MISSING))
    found.update(dict.fromkeys((*unmade.later, *unmade.dependent), Level.MISSING if is_stuck else Level.PROGRESSING))
    found.update(dict.fromkeys(unmade.coming, Level.PROGRESSING))
    found.update(dict.fromkeys(unmade.unwatched, Level.UNKNOWN))
    return found


def _named(outcome: Outcome) -> Mapping[str, ObjectRef]:
    """Hidden objects by their names, if any problem names one."""
    return {str(ref): ref for ref in outcome.hidden} if any(problem.object for problem in outcome.left_out) else {}


def _worse(one: Fault | None, other: Fault) -> Fault:
    return other if one is None else max(one, other, key=_ORDER.index)


def _rank(severity: Severity) -> int:
    return severity.rank
