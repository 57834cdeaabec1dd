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

import heapq
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from cvstate_operator.vital.health.lapse import LASTING, HealthCounts, Level
from cvstate_operator.vital.item import Item, ItemKind
from cvstate_operator.vital.verdicts import sums, vetoes
from cvstate_operator.vital.verdicts.compliance import Configuration, Doubt, Fault
from cvstate_operator.vital.verdicts.sums import QUARTERS, Items, Numbers, Objects
from cvstate_operator.vital.verdicts.vetoes import CAPS, NO_CAP, OF_FAULTS, OF_LEVELS, Veto, VetoReason

MOST_PULLS: Final = 10

_DIGITS: Final = 9
"""To which means are told apart where things that pull are put in order."""


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
class _Candidate:
    """One thing that could be made right, and what all comes to then."""

    name: str
    kind: ItemKind
    message: str
    since: datetime | None
    mended: Numbers
    cap: int = field(default=NO_CAP)


def evaluate(
    configuration: Configuration, health: HealthCounts, items: Sequence[Item], *, since: Mapping[str, datetime] | None = None
) -> Score:
    """The score of one ClusterState; never raises, whatever the items hold. Takes time in proportion to the number of items.

    Args:
        configuration: how the declared objects compare with the cluster.
        health: the declared objects by their level.
        items: signals and SLOs, in any order.
        since: when parts of configuration and health began to be wrong, by a word of Fault, Doubt or Level; what is missing is not remembered.
    """
    items = [_sound(item) for item in items]
    added = Items.of(items)
    objects = Objects.of(configuration, health)
    now = sums.numbers(objects, added)
    pulls = []
    for candidate in (*_item_candidates(items, objects, added), *_object_candidates(configuration, health, added, since or {})):
        mended = candidate.mended
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
    worst = tuple(pull for *_, pull in heapq.nsmallest(MOST_PULLS, pulls, key=lambda entry: entry[:-1]))
    without_doubt = Objects.of(configuration.without(Fault.UNJUDGED), _well(health, Level.UNKNOWN, health.unknown))
    potential = sums.numbers(without_doubt, added).score
    return Score(now.score, now.confidence, now.configuration, now.vital, potential, vetoes.evaluate(configuration, health, items), worst)


# -- what pulls ----------------------------------------------------------------------------------------------------


def _item_candidates(items: Iterable[Item], objects: Objects, added: Items) -> Iterator[_Candidate]:
    """Signals and SLOs that are not right, or not known."""
    for item in items:
        if item.value != 1 or item.is_breached or not item.is_known:
            yield _Candidate(
                item.name, item.kind, item.message, item.since, sums.numbers(objects, added.mended(item)), vetoes.item_cap(item)
            )


def _object_candidates(
    configuration: Configuration, health: HealthCounts, added: Items, since: Mapping[str, datetime]
) -> Iterator[_Candidate]:
    """What is not right, or not known, of the configuration and of health."""

    def made(name: str, kind: ItemKind, message: str, mended: tuple[Configuration, HealthCounts], veto: VetoReason | None) -> _Candidate:
        numbers = sums.numbers(Objects.of(*mended), added)
        return _Candidate(name, kind, message, since.get(name), numbers, CAPS[veto] if veto else NO_CAP)

    absent = min(max(0, configuration.absent), configuration.count(Fault.NOT_APPLIED), max(0, health.missing))
    for fault in Fault:
        if configuration.count(fault):
            # What is not there is told once: made, it is neither missing nor not applied.
            others = _well(health, Level.MISSING, absent) if fault is Fault.NOT_APPLIED else health
            mended = configuration.without(fault), others
            yield made(fault.value, ItemKind.CONFIGURATION, _told(configuration, fault, absent), mended, OF_FAULTS.get(fault))
    for doubt in configuration.doubts:
        yield made(doubt.value, ItemKind.CONFIGURATION, _DOUBTS_TOLD[doubt], (configuration.certain(doubt), health), None)
    for level, quarters in QUARTERS.items():
        count = health.count(level) - (absent if level is Level.MISSING else 0)
        if quarters < 4 and count:
            message = f"{count} of {_objects(health.total)} {level.value}"
            yield made(level.value, ItemKind.HEALTH, message, (configuration, _well(health, level, count)), OF_LEVELS.get(level))


def _told(configuration: Configuration, fault: Fault, absent: int) -> str:
    """How many objects have a fault, for people; what left Git is none of the declared objects."""
    count = configuration.count(fault)
    if fault is Fault.HELD and (leaving := max(0, configuration.leaving)):
        held = f"{count - leaving} of {_objects(configuration.desired)} {_FAULTS_TOLD[fault]}" if count > leaving else ""
        return "; ".join(filter(None, (held, f"{_objects(leaving)} that left Git {'is' if leaving == 1 else 'are'} still there")))
    there = f", {absent} of them not there" if fault is Fault.NOT_APPLIED and absent else ""
    return f"{count} of {_objects(configuration.desired)} {_FAULTS_TOLD[fault]}{there}"


def _well(health: HealthCounts, level: Level, count: int) -> HealthCounts:
    """The same, with so many objects of one level Ready."""
    left = health.count(level) - count
    rest = left + sum(health.count(each) for each in LASTING if each is not level)
    mended = {level.value.lower(): left, "ready": health.ready + count, "outdated": min(health.outdated, rest)}
    return replace(health, **mended)


def _objects(count: int) -> str:
    return f"{count} object{'' if count == 1 else 's'}"


def _sound(item: Item) -> Item:
    """The item with a value from 0 to 1 and a weight of at least 1: anything else is a mistake elsewhere, and no reason to raise here."""
    value, weight = item.value, max(1, item.weight)
    if value is None or math.isnan(value):
        return replace(item, value=None, is_known=False, weight=weight)
    return replace(item, value=max(0.0, min(1.0, value)), weight=weight)
