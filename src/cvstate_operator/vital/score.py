"""The score: one number, 0 to 100, for how well the whole is, a second one for how much of that is known, and what pulls them down. docs/score.md tells it to users.

Input are the counts of the configuration (`compliance`) and of health (`lapse`), and the items (signals and SLOs); readers are the verdict, the status and
the metrics. Pure.

    score = (configuration + vital) / 2, rounded down, and at most what the vetoes allow
    vital = mean of health (weight 10) and of the items (their weights)
    health = mean over the declared objects: Ready and Progressing 1, Unknown 0.5, Degraded 0.25, Failed and Missing 0

| at most | while | because |
|---|---|---|
| 49 | a critical item is breached | whoever declared it said so |
| 49 | an object has Critical drift | somebody gave rights away; nothing else makes up for it |
| 70 | an object is Failed or Missing, or could not be applied | it will not mend itself |
| 70 | nothing is left of the error budget of an SLO | users were promised more |
| 80 | an object is Degraded, or has High drift | it needs a look, and may still mend itself |
| 80 | another SLO is breached | users notice it now |
| 95 | another item is breached | all is not well, though it is the least of it |
| 99 | an item was never known | it is left out of the mean, and nobody can say that all is well |

An item that is not known now counts by its last known value: a gap mends nothing, and breaks nothing. That something is not known costs confidence.

    confidence = share of the evidence that is known now, rounded down; at most 49 while a critical item is not known

It is the weighted mean of the configuration (10, as much as of health: `compliance.known_share`), health (10) and the items.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from cvstate_operator.vital import compliance
from cvstate_operator.vital.compliance import Configuration, Doubt, Fault
from cvstate_operator.vital.item import Item, ItemKind
from cvstate_operator.vital.lapse import LASTING, HealthCounts, Level

HEALTH_WEIGHT: Final = 10
"""Of the health of all objects among the items, as api/vital.py promises."""
CONFIGURATION_WEIGHT: Final = 10
"""Of the configuration in the confidence: as much as health, since both are half of what a ClusterState is about."""
CRITICAL_UNKNOWN_CAP: Final = 49
"""Highest confidence while a critical item is not known: less than half, so that no sensible minimum is reached."""
MOST_PULLS: Final = 10

QUARTERS: Final[Mapping[Level, int]] = {
    Level.READY: 4,
    Level.PROGRESSING: 4,
    Level.UNKNOWN: 2,
    Level.DEGRADED: 1,
    Level.FAILED: 0,
    Level.MISSING: 0,
}
"""What an object counts for in health, in quarters: whole numbers, so that a sum of many is exact. Ours."""

_FLOOR_SLACK: Final = 1e-9
"""What a mean may fall short of a whole number by rounding of its parts; far less than any item or object is worth."""

_DIGITS: Final = 9
"""To which means are told apart where things that pull are put in order."""


class VetoReason(StrEnum):
    """Why a score is capped, in one word; the set is closed."""

    CRITICAL_BREACHED = "CriticalBreached"
    CRITICAL_DRIFT = "CriticalDrift"
    NOT_APPLIED = "NotApplied"
    OBJECT_FAILED = "ObjectFailed"
    OBJECT_MISSING = "ObjectMissing"
    BUDGET_GONE = "BudgetGone"
    HIGH_DRIFT = "HighDrift"
    OBJECT_DEGRADED = "ObjectDegraded"
    SLO_BREACHED = "SLOBreached"
    SIGNAL_BREACHED = "SignalBreached"
    NEVER_KNOWN = "NeverKnown"


CAPS: Final[Mapping[VetoReason, int]] = {
    VetoReason.CRITICAL_BREACHED: 49,
    VetoReason.CRITICAL_DRIFT: 49,
    VetoReason.NOT_APPLIED: 70,
    VetoReason.OBJECT_FAILED: 70,
    VetoReason.OBJECT_MISSING: 70,
    VetoReason.BUDGET_GONE: 70,
    VetoReason.HIGH_DRIFT: 80,
    VetoReason.OBJECT_DEGRADED: 80,
    VetoReason.SLO_BREACHED: 80,
    VetoReason.SIGNAL_BREACHED: 95,
    VetoReason.NEVER_KNOWN: 99,
}
"""Highest score while each holds. Ours; 49 is what api/vital.py promises of critical items, and 80 is below the default of acceptance.minScore (90)."""

_FAULT_VETOES: Final[Mapping[Fault, VetoReason]] = {
    Fault.CRITICAL_DRIFT: VetoReason.CRITICAL_DRIFT,
    Fault.NOT_APPLIED: VetoReason.NOT_APPLIED,
    Fault.HIGH_DRIFT: VetoReason.HIGH_DRIFT,
}
_LEVEL_VETOES: Final[Mapping[Level, VetoReason]] = {
    Level.FAILED: VetoReason.OBJECT_FAILED,
    Level.MISSING: VetoReason.OBJECT_MISSING,
    Level.DEGRADED: VetoReason.OBJECT_DEGRADED,
}
_FAULTS_TOLD: Final[Mapping[Fault, str]] = {
    Fault.CRITICAL_DRIFT: "with Critical drift",
    Fault.HIGH_DRIFT: "with High drift",
    Fault.MEDIUM_DRIFT: "with Medium drift",
    Fault.LOW_DRIFT: "with Low drift",
    Fault.NOT_APPLIED: "not applied",
    Fault.HELD: "held back",
    Fault.UNJUDGED: "never compared",
}
_DOUBTS_TOLD: Final[Mapping[Doubt, str]] = {
    Doubt.SOURCE_STALE: "the newest commit is not known",
    Doubt.UNSEEN: "not all objects can be seen now",
}


@dataclass(frozen=True, slots=True)
class Veto:
    """A cap on the score."""

    reason: VetoReason
    names: tuple[str, ...] = ()
    """Items that it is about, sorted; empty if it is about objects."""

    @property
    def cap(self) -> int:
        """The highest score it allows."""
        return CAPS[self.reason]


@dataclass(frozen=True, slots=True)
class Pull:
    """One thing that pulls the score or the confidence down."""

    name: str
    """Name of an item; of parts of configuration and health a word of Fault, Doubt or Level. The names of items have no capitals."""
    kind: ItemKind
    points: int
    """How much higher the score would be with this one made right. 0 if another veto, or the rounding, leaves it where it is."""
    confidence_points: int
    """How much higher the confidence would be with this one known."""
    since: datetime | None
    """When it began, UTC; None if it is not remembered."""
    message: str
    """For people; one line."""


@dataclass(frozen=True, slots=True)
class Score:
    """What is known of the whole."""

    score: int | None
    """0 to 100; None if the objects were never compared with Git. 100 only if all is well."""
    confidence: int
    """0 to 100: how much of the evidence is known now. 100 only if all of it is."""
    configuration: int | None
    """0 to 100; None if the objects were never compared with Git."""
    vital: int | None
    """0 to 100; None if there is neither an object nor an item that was ever known."""
    potential: int | None
    """What the score would be if every object of which nothing is known were well; None as `score`. If it is too low, no doubt can be the reason."""
    vetoes: tuple[Veto, ...] = ()
    """Caps that hold, the lowest first, also those that change nothing."""
    pulls: tuple[Pull, ...] = ()
    """What pulls it down, worst first, MOST_PULLS at most."""

    @property
    def worst(self) -> str:
        """The name of what pulls it down most; empty if all is well and known."""
        return self.pulls[0].name if self.pulls else ""

    @property
    def breached(self) -> tuple[str, ...]:
        """Names of critical items that are breached."""
        return next((veto.names for veto in self.vetoes if veto.reason is VetoReason.CRITICAL_BREACHED), ())


@dataclass(frozen=True, slots=True)
class _State:
    """All that goes in."""

    configuration: Configuration
    health: HealthCounts
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class _Numbers:
    score: int | None
    confidence: int
    configuration: int | None
    vital: int | None
    mean: float
    """The score before rounding and vetoes, 0 to 1: for the order of what pulls."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    """One thing that could be made right, and the state with it made right."""

    name: str
    kind: ItemKind
    message: str
    since: datetime | None
    mended: _State
    cap: int = field(default=100)


def evaluate(
    configuration: Configuration, health: HealthCounts, items: Sequence[Item], *, since: Mapping[str, datetime] | None = None
) -> Score:
    """The score of one ClusterState; never raises, whatever the items hold.

    Args:
        configuration: how the declared objects compare with the cluster.
        health: the declared objects by their level.
        items: signals and SLOs, in any order.
        since: when parts of configuration and health began to be wrong, by a word of Fault, Doubt or Level; what is missing is not remembered.
    """
    state = _State(configuration, health, tuple(_sound(item) for item in items))
    now = _numbers(state)
    pulls = []
    for candidate in _candidates(state, since or {}):
        mended = _numbers(candidate.mended)
        pull = Pull(
            candidate.name,
            candidate.kind,
            (mended.score or 0) - (now.score or 0),
            mended.confidence - now.confidence,
            candidate.since,
            candidate.message,
        )
        pulls.append(
            (-pull.points, candidate.cap, round(now.mean - mended.mean, _DIGITS), -pull.confidence_points, pull.kind, pull.name, pull)
        )
    worst = tuple(pull for *_, pull in sorted(pulls, key=lambda entry: entry[:-1])[:MOST_PULLS])
    potential = _numbers(_without_doubt(state)).score
    return Score(now.score, now.confidence, now.configuration, now.vital, potential, _vetoes(state), worst)


# -- numbers -------------------------------------------------------------------------------------------------------


def _numbers(state: _State) -> _Numbers:
    declared, vital = compliance.share(state.configuration), _vital(state)
    shares = [share for share in (declared, vital) if share is not None]
    mean = math.fsum(shares) / len(shares) if shares else 0.0
    points = [_points(share) for share in shares]
    score = None if declared is None else min(sum(points) // len(points), _cap(state))
    return _Numbers(score, _confidence(state), _maybe_points(declared), _maybe_points(vital), mean)


def _points(share: float) -> int:
    """A share as a whole number, rounded down; 100 only for exactly 1."""
    return 100 if share >= 1 else max(0, min(99, math.floor(100 * share + _FLOOR_SLACK)))


def _maybe_points(share: float | None) -> int | None:
    return None if share is None else _points(share)


def _vital(state: _State) -> float | None:
    """0 to 1, exactly 1 only if all is well; None without anything to judge by."""
    parts = [(item.weight, item.value) for item in state.items if item.value is not None]
    if total := state.health.total:
        parts.append((HEALTH_WEIGHT, sum(quarters * state.health.count(level) for level, quarters in QUARTERS.items()) / (4 * total)))
    if not parts:
        return None
    if all(value >= 1 for _, value in parts):
        return 1.0
    mean = math.fsum(weight * value for weight, value in parts) / sum(weight for weight, _ in parts)
    return min(mean, math.nextafter(1.0, 0.0))


def _confidence(state: _State) -> int:
    health = state.health
    parts = [(item.weight, 1.0 if item.is_known else 0.0) for item in state.items]
    parts.append((CONFIGURATION_WEIGHT, compliance.known_share(state.configuration)))
    if total := health.total:
        parts.append((HEALTH_WEIGHT, max(0.0, (total - health.unknown - health.outdated) / total)))
    known = math.fsum(weight * share for weight, share in parts) / sum(weight for weight, _ in parts)
    points = 100 if all(share >= 1 for _, share in parts) else _points(min(known, math.nextafter(1.0, 0.0)))
    if any(item.is_critical and not item.is_known for item in state.items):
        return min(points, CRITICAL_UNKNOWN_CAP)
    return points


# -- vetoes --------------------------------------------------------------------------------------------------------


def _cap(state: _State) -> int:
    return min((CAPS[reason] for reason, _ in _reasons(state)), default=100)


def _vetoes(state: _State) -> tuple[Veto, ...]:
    names: dict[VetoReason, set[str]] = {}
    for reason, name in _reasons(state):
        names.setdefault(reason, set()).update((name,) if name else ())
    found = (Veto(reason, tuple(sorted(about))) for reason, about in names.items())
    return tuple(sorted(found, key=lambda veto: (veto.cap, veto.reason)))


def _reasons(state: _State) -> Iterator[tuple[VetoReason, str]]:
    """Every veto that holds, with the name of the item it is about; empty for objects."""
    for fault, reason in _FAULT_VETOES.items():
        if state.configuration.count(fault):
            yield reason, ""
    for level, reason in _LEVEL_VETOES.items():
        if state.health.count(level):
            yield reason, ""
    for item in state.items:
        if found := _item_veto(item):
            yield found, item.name


def _item_veto(item: Item) -> VetoReason | None:
    is_slo = item.kind is ItemKind.SLO
    if item.is_breached and item.is_critical:
        return VetoReason.CRITICAL_BREACHED
    if is_slo and item.value == 0:
        return VetoReason.BUDGET_GONE
    if item.is_breached:
        return VetoReason.SLO_BREACHED if is_slo else VetoReason.SIGNAL_BREACHED
    return VetoReason.NEVER_KNOWN if item.value is None else None


# -- what pulls ----------------------------------------------------------------------------------------------------


def _candidates(state: _State, since: Mapping[str, datetime]) -> Iterator[_Candidate]:
    """Everything that is not right, or not known."""
    for position, item in enumerate(state.items):
        if item.value != 1 or item.is_breached or not item.is_known:
            well = replace(item, value=1.0, is_known=True, is_breached=False)
            mended = replace(state, items=(*state.items[:position], well, *state.items[position + 1 :]))
            veto = _item_veto(item)
            yield _Candidate(item.name, item.kind, item.message, item.since, mended, CAPS[veto] if veto else 100)
    configuration, health = state.configuration, state.health
    for fault in Fault:
        if count := configuration.count(fault):
            mended = replace(state, configuration=configuration.without(fault))
            message = f"{count} of {_objects(configuration.desired)} {_FAULTS_TOLD[fault]}"
            cap = CAPS[_FAULT_VETOES[fault]] if fault in _FAULT_VETOES else 100
            yield _Candidate(fault.value, ItemKind.CONFIGURATION, message, since.get(fault.value), mended, cap)
    for doubt in configuration.doubts:
        mended = replace(state, configuration=configuration.certain(doubt))
        yield _Candidate(doubt.value, ItemKind.CONFIGURATION, _DOUBTS_TOLD[doubt], since.get(doubt.value), mended)
    for level, quarters in QUARTERS.items():
        if quarters < 4 and (count := health.count(level)):
            mended = replace(state, health=_well(health, level))
            message = f"{count} of {_objects(health.total)} {level.value}"
            cap = CAPS[_LEVEL_VETOES[level]] if level in _LEVEL_VETOES else 100
            yield _Candidate(level.value, ItemKind.HEALTH, message, since.get(level.value), mended, cap)


def _well(health: HealthCounts, level: Level) -> HealthCounts:
    """The same, with the objects of one level Ready."""
    rest = sum(health.count(each) for each in LASTING if each is not level)
    mended = {level.value.lower(): 0, "ready": health.ready + health.count(level), "outdated": min(health.outdated, rest)}
    return replace(health, **mended)


def _without_doubt(state: _State) -> _State:
    return replace(state, configuration=state.configuration.without(Fault.UNJUDGED), health=_well(state.health, Level.UNKNOWN))


def _objects(count: int) -> str:
    return f"{count} object{'' if count == 1 else 's'}"


def _sound(item: Item) -> Item:
    """The item with a value from 0 to 1 and a weight of at least 1: anything else is a mistake elsewhere, and no reason to raise here."""
    value, weight = item.value, max(1, item.weight)
    if value is None or math.isnan(value):
        return replace(item, value=None, is_known=False, weight=weight)
    return replace(item, value=max(0.0, min(1.0, value)), weight=weight)
