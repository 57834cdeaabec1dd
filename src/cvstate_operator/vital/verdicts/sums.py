"""Sums: what the parts of the score come to, added up once, so that what one of them made right would change is told without adding all up again.

Input are the counts of configuration and health, and the items; the score makes its numbers of them, for now and for each thing that could be made right. Pure.
"""

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cvstate_operator.vital.health.lapse import HealthCounts, Level
from cvstate_operator.vital.item import Item
from cvstate_operator.vital.verdicts import compliance, vetoes
from cvstate_operator.vital.verdicts.compliance import Configuration
from cvstate_operator.vital.verdicts.vetoes import CAPS, NO_CAP

HEALTH_WEIGHT: Final = 10
"""Of the health of all objects among the items, as api/vital.py promises."""
CONFIGURATION_WEIGHT: Final = 10
"""Of the configuration in the confidence: as much as health, since both are half of what a ClusterState is about."""
CRITICAL_UNKNOWN_CAP: Final = 49
"""Highest confidence while a critical item is not known: less than half, so that no sensible minimum is reached."""

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


@dataclass(frozen=True, slots=True)
class Objects:
    """What configuration and health come to."""

    declared: float | None
    """Share that is as declared, 0 to 1; None if nothing was ever compared."""
    is_counted: bool
    """Whether there is any object of which health could be told."""
    well: float
    """Health, 0 to 1; exactly 1 only if all is well."""
    known: float
    """How much is known now, added up by weight: of the configuration, and of health if there is any."""
    is_known: bool
    """Whether all of it is known now."""
    cap: int
    """The highest score that it allows."""

    @classmethod
    def of(cls, configuration: Configuration, health: HealthCounts) -> "Objects":
        """Added up from the counts."""
        total = health.total
        quarters = sum(worth * health.count(level) for level, worth in QUARTERS.items())
        known = [compliance.known_share(configuration)]
        if total:
            known.append(max(0.0, (total - health.unknown - health.outdated) / total))
        return cls(
            compliance.share(configuration),
            total > 0,
            quarters / (4 * total) if total else 1.0,
            CONFIGURATION_WEIGHT * known[0] + HEALTH_WEIGHT * sum(known[1:]),
            all(share >= 1 for share in known),
            min((CAPS[reason] for reason in vetoes.of_objects(configuration, health)), default=NO_CAP),
        )

    @property
    def weight(self) -> int:
        """Of all of it in the confidence."""
        return CONFIGURATION_WEIGHT + (HEALTH_WEIGHT if self.is_counted else 0)


@dataclass(frozen=True, slots=True)
class Items:
    """What all items come to, added up: what one of them made right would change is told without adding up the others again."""

    value: float
    """Sum of weight times value, of the items that were ever known."""
    weight: int
    """Of these."""
    flawed: int
    """How many of these have a value below 1."""
    asked: int
    """Weight of all."""
    known: int
    """Weight of those that are known now."""
    doubts: int
    """How many are not known now."""
    critical_doubts: int
    caps: tuple[int, int]
    """The two lowest."""

    @classmethod
    def of(cls, items: Sequence[Item]) -> "Items":
        """Added up; values are from 0 to 1, weights at least 1."""
        ever = [(item.weight, item.value) for item in items if item.value is not None]
        unknown = [item for item in items if not item.is_known]
        asked = sum(item.weight for item in items)
        lowest = sorted([*heapq.nsmallest(2, map(vetoes.item_cap, items)), NO_CAP, NO_CAP])
        return cls(
            math.fsum(weight * value for weight, value in ever),
            sum(weight for weight, _ in ever),
            sum(value < 1 for _, value in ever),
            asked,
            asked - sum(item.weight for item in unknown),
            len(unknown),
            sum(item.is_critical for item in unknown),
            (lowest[0], lowest[1]),
        )

    def mended(self, item: Item) -> "Items":
        """The same with one of them at its best, and known."""
        weight, value, is_unknown = item.weight, item.value, not item.is_known
        lowest, second = self.caps
        return Items(
            math.fsum((self.value, weight, 0.0 if value is None else -weight * value)),
            self.weight + (weight if value is None else 0),
            self.flawed - (value is not None and value < 1),
            self.asked,
            self.known + (weight if is_unknown else 0),
            self.doubts - is_unknown,
            self.critical_doubts - (is_unknown and item.is_critical),
            (second if vetoes.item_cap(item) == lowest else lowest, NO_CAP),
        )


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers of the score; None where there is nothing to tell them from."""

    score: int | None
    confidence: int
    configuration: int | None
    vital: int | None
    mean: float
    """The score before rounding and vetoes, 0 to 1: for the order of what pulls."""


def numbers(objects: Objects, items: Items) -> Numbers:
    """All numbers of the score, rounded and capped."""
    declared, vital = objects.declared, _vital(objects, items)
    shares = [share for share in (declared, vital) if share is not None]
    mean = math.fsum(shares) / len(shares) if shares else 0.0
    points = [_points(share) for share in shares]
    score = None if declared is None else min(sum(points) // len(points), objects.cap, items.caps[0])
    return Numbers(score, _confidence(objects, items), _maybe_points(declared), _maybe_points(vital), mean)


def _points(share: float) -> int:
    """A share as a whole number, rounded down; 100 only for exactly 1."""
    return 100 if share >= 1 else max(0, min(99, math.floor(100 * share + _FLOOR_SLACK)))


def _maybe_points(share: float | None) -> int | None:
    return None if share is None else _points(share)


def _vital(objects: Objects, items: Items) -> float | None:
    """0 to 1, exactly 1 only if all is well; None without anything to judge by."""
    weight = items.weight + (HEALTH_WEIGHT if objects.is_counted else 0)
    if not weight:
        return None
    if not items.flawed and objects.well >= 1:
        return 1.0
    mean = math.fsum((items.value, HEALTH_WEIGHT * objects.well if objects.is_counted else 0.0)) / weight
    return min(mean, math.nextafter(1.0, 0.0))


def _confidence(objects: Objects, items: Items) -> int:
    known = math.fsum((items.known, objects.known)) / (items.asked + objects.weight)
    points = 100 if objects.is_known and not items.doubts else _points(min(known, math.nextafter(1.0, 0.0)))
    return min(points, CRITICAL_UNKNOWN_CAP) if items.critical_doubts else points
