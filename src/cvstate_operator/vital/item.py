"""Item: what the score and the confidence read of anything that is judged, whatever it is: a signal, an SLO, the health of the objects, the configuration.

Signals and SLOs make their own; the score makes those of health and configuration. The score reads nothing else.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ItemKind(StrEnum):
    """What was judged; the set is closed, so it may be a metric label."""

    SIGNAL = "Signal"
    SLO = "SLO"
    HEALTH = "Health"
    CONFIGURATION = "Configuration"


@dataclass(frozen=True, slots=True)
class Item:
    """One judgement, as a share of what is well."""

    name: str
    """As in spec: the name of the signal or of the SLO."""
    kind: ItemKind
    weight: int
    """Its share among the items, 1 to 100."""
    value: float | None
    """0 is as bad as it gets, 1 is all well: the last known one, however old. None: never known."""
    is_known: bool
    """Whether `value` holds now. False: the telemetry has a gap, and `value` is what was known before it. An item that is not known is never skipped."""
    is_critical: bool
    """It alone keeps the score below 50 while it is breached."""
    is_breached: bool
    """By the last known judgement, however old: a gap ends no breach."""
    message: str
    """For people: what should be, or is not; one line, without times and without numbers that change."""
    since: datetime | None = None
    """When this judgement began, UTC; None: it is not remembered."""
