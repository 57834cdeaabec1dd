"""Conditions of a ClusterState: their types, and how one list becomes the next.

Source: metav1.Condition (Kubernetes API conventions, "Typical status properties"); kstatus for the polarity of Reconciling and Stalled, which are
only present while True.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

MAX_MESSAGE: Final = 3000
"""Longest message; metav1.Condition allows 32,768, a person reads less, and the status as a whole stays below 64 KiB."""


class ConditionType(StrEnum):
    """Types of conditions."""

    READY = "Ready"
    """The cluster matches the newest commit as far as we can tell now."""
    SOURCE_READY = "SourceReady"
    """The newest commit could be read."""
    SOURCE_VERIFIED = "SourceVerified"
    """The newest commit is signed as spec.source.git.verify demands; absent if it demands nothing."""
    DRIFTED = "Drifted"
    """Some field is not as Git declares it, and is not repaired yet."""
    HEALTHY = "Healthy"
    """Every object is ready, as far as each says of itself, and every signal is in its range."""
    TELEMETRY_COMPLETE = "TelemetryComplete"
    """Everything that is expected to tell something tells it; absent if nothing is."""
    ACCEPTED = "Accepted"
    """The whole is acceptable, as spec.vital.acceptance says."""
    RECONCILING = "Reconciling"
    """Work is going on."""
    STALLED = "Stalled"
    """A human must act."""


ONLY_WHILE_TRUE: Final = frozenset({ConditionType.RECONCILING, ConditionType.STALLED})


class Reason(StrEnum):
    """Reasons that are no error; errors bring their own (`errors.py`)."""

    RECONCILED = "Reconciled"
    """Everything is applied."""
    PROGRESSING = "Progressing"
    PROGRESSING_WITH_RETRY = "ProgressingWithRetry"
    """Something failed that may pass; it is tried again by itself."""
    FETCHED = "Fetched"
    VERIFIED = "Verified"
    DRIFT_DETECTED = "DriftDetected"
    NO_DRIFT_DETECTED = "NoDriftDetected"
    NOT_EVALUATED = "NotEvaluated"
    """There is nothing to tell yet: nothing was compared, or the objects cannot be seen."""
    APPLY_FAILED = "ApplyFailed"
    """Objects could not be applied, for more than one reason."""
    PRUNE_HELD = "PruneHeld"
    """Objects left Git but are kept, because it is not certain that they should go, or nobody approved it."""
    AWAITING_APPROVAL = "AwaitingApproval"
    """Changes wait for a StateApproval."""
    BREAKER_OPEN = "BreakerOpen"
    """Somebody undoes every repair of a field; it is left alone for a while."""
    ROLLED_BACK = "RolledBack"
    """The newest revision is quarantined, and the last good one is applied instead."""
    WAVE_NOT_READY = "WaveNotReady"
    """Objects of a later wave wait until those of an earlier one are ready."""
    DELETING = "Deleting"
    """The ClusterState is being deleted, and its objects go first."""
    ORPHANED = "Orphaned"
    """The ClusterState is gone, and its objects are not: its account may not delete them."""
    HEALTHY = "Healthy"
    """Every object is ready."""
    DEGRADED = "Degraded"
    """An object is not ready for too long, its controller gave up, or it is not there."""
    SIGNAL_BREACHED = "SignalBreached"
    """A signal is outside its range, or an SLO burns."""
    TELEMETRY_GAP = "TelemetryGap"
    """A signal, an SLO or a kind tells nothing now."""
    TARGET_UNREACHABLE = "TargetUnreachable"
    """The API server tells nothing of any object now."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One observation, without its time of change."""

    type: ConditionType
    status: bool | None
    """None is Unknown."""
    reason: str
    message: str = ""

    @property
    def word(self) -> str:
        """`True`, `False` or `Unknown`, as the API spells them."""
        return {True: "True", False: "False", None: "Unknown"}[self.status]


def by_type(conditions: Iterable[Mapping[str, Any]] | None) -> dict[str, Mapping[str, Any]]:
    """Conditions as a status holds them, by their type; empty for None."""
    return {str(one.get("type")): one for one in conditions or ()}


def merge(previous: Iterable[dict[str, Any]], current: Iterable[Condition], *, generation: int, now: str) -> list[dict[str, Any]]:
    """The list of conditions to write: `current`, sorted by type, each keeping its transition time while its status stays.

    Conditions that are not True and only make sense while True are left out, and so is whatever `previous` held besides.

    Args:
        previous: conditions as the status holds them now.
        current: what is true now, at most one of each type.
        generation: `metadata.generation` of the spec that was observed.
        now: RFC 3339, seconds.
    """
    before = by_type(previous)
    merged = []
    for condition in sorted(current, key=lambda c: c.type):
        if condition.type in ONLY_WHILE_TRUE and condition.status is not True:
            continue
        old = before.get(condition.type.value, {})
        changed_at = old.get("lastTransitionTime", now) if old.get("status") == condition.word else now
        merged.append(
            {
                "type": condition.type.value,
                "status": condition.word,
                "reason": condition.reason,
                "message": condition.message[:MAX_MESSAGE],
                "observedGeneration": generation,
                "lastTransitionTime": changed_at,
            }
        )
    return merged
