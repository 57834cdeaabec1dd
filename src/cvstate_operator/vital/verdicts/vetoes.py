"""Vetoes: what caps the score, however good the mean is. Input are the counts of configuration and health, and the items; the score reads the answer. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cvstate_operator.vital.health.lapse import HealthCounts, Level
from cvstate_operator.vital.item import Item, ItemKind
from cvstate_operator.vital.verdicts.compliance import Configuration, Fault

NO_CAP: Final = 100


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

OF_FAULTS: Final[Mapping[Fault, VetoReason]] = {
    Fault.CRITICAL_DRIFT: VetoReason.CRITICAL_DRIFT,
    Fault.NOT_APPLIED: VetoReason.NOT_APPLIED,
    Fault.HIGH_DRIFT: VetoReason.HIGH_DRIFT,
}
"""Of objects of the configuration; the others cap nothing."""
OF_LEVELS: Final[Mapping[Level, VetoReason]] = {
    Level.FAILED: VetoReason.OBJECT_FAILED,
    Level.MISSING: VetoReason.OBJECT_MISSING,
    Level.DEGRADED: VetoReason.OBJECT_DEGRADED,
}
"""Of objects by their health; the others cap nothing."""


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


def evaluate(configuration: Configuration, health: HealthCounts, items: Iterable[Item]) -> tuple[Veto, ...]:
    """Every veto that holds, with the names of the items it is about."""
    names: dict[VetoReason, set[str]] = {reason: set() for reason in of_objects(configuration, health)}
    for item in items:
        if reason := of_item(item):
            names.setdefault(reason, set()).add(item.name)
    found = (Veto(reason, tuple(sorted(about))) for reason, about in names.items())
    return tuple(sorted(found, key=lambda veto: (veto.cap, veto.reason)))


def of_objects(configuration: Configuration, health: HealthCounts) -> Iterator[VetoReason]:
    """The vetoes that are about objects."""
    yield from (reason for fault, reason in OF_FAULTS.items() if configuration.count(fault))
    yield from (reason for level, reason in OF_LEVELS.items() if health.count(level))


def item_cap(item: Item) -> int:
    """The highest score that a signal or SLO allows; NO_CAP if it caps nothing."""
    reason = of_item(item)
    return CAPS[reason] if reason else NO_CAP


def of_item(item: Item) -> VetoReason | None:
    """The veto of a signal or SLO; None if it is none."""
    is_slo = item.kind is ItemKind.SLO
    if item.is_breached and item.is_critical:
        return VetoReason.CRITICAL_BREACHED
    if is_slo and item.value == 0:
        return VetoReason.BUDGET_GONE
    if item.is_breached:
        return VetoReason.SLO_BREACHED if is_slo else VetoReason.SIGNAL_BREACHED
    return VetoReason.NEVER_KNOWN if item.value is None else None
