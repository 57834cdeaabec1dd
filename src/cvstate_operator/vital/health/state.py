"""State: what can be said of the readiness of one object. Every rule of this package answers with these words."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from cvstate_operator.objects.redaction import one_line
from cvstate_operator.vital.facts import progress
from cvstate_operator.vital.facts.progress import Progress

MESSAGE_CHARACTERS: Final = 300
"""Longest message of a readiness: what a controller says of a quota or a certificate is longer than a value."""


class Status(StrEnum):
    """How far an object is on its way to what its spec asks for.

    Source: sigs.k8s.io/cli-utils, pkg/kstatus/README.md, "Statuses". NotFound is missing: who has no object need not ask.
    """

    CURRENT = "Current"
    """It is as asked for, until something changes."""
    IN_PROGRESS = "InProgress"
    """Not yet. It may need nothing but time; whether it took too long is for the caller to say."""
    FAILED = "Failed"
    """Its controller gave up, or tried more than once and backs off."""
    TERMINATING = "Terminating"
    """It is being deleted."""
    UNKNOWN = "Unknown"
    """It cannot be told. Never to be taken for Current."""


class Reason(StrEnum):
    """Why, in one word; the set is closed, so it may be a metric label."""

    # Current
    READY = "Ready"
    COMPLETED = "Completed"
    """It was to end, and ended well."""
    SUSPENDED = "Suspended"
    """Its spec says that it shall not run now."""
    PAUSED = "Paused"
    """Its spec holds the roll-out back; what runs is well."""
    NO_ADDRESS = "NoAddress"
    """An Ingress without an address, which many controllers never write."""
    NO_STATUS = "NoStatus"
    """Nothing is told about it, as of a ConfigMap."""
    NO_KNOWN_CONDITION = "NoKnownCondition"
    """It has a status, but nothing in it that we know how to read."""

    # InProgress
    NOT_OBSERVED = "NotObserved"
    """Its controller did not see the newest spec yet. Unknown where nobody can tell whether there is a controller that says so."""
    RECONCILING = "Reconciling"
    NOT_READY = "NotReady"
    PENDING = "Pending"
    """Somebody else has to act first: a scheduler, a provisioner, a load balancer."""
    REPLICAS_MISSING = "ReplicasMissing"
    REPLICA_FAILURE = "ReplicaFailure"
    """Pods cannot be made: quota, admission."""
    REPLICAS_OUTDATED = "ReplicasOutdated"
    REPLICAS_NOT_READY = "ReplicasNotReady"
    REPLICAS_NOT_AVAILABLE = "ReplicasNotAvailable"
    """Ready, but not for `minReadySeconds` yet."""
    REPLICAS_SURPLUS = "ReplicasSurplus"
    """Old Pods are still there."""
    UNSCHEDULABLE = "Unschedulable"
    CONTAINER_WAITING = "ContainerWaiting"
    RUNNING = "Running"
    """It is to end, and has not yet."""
    AWAITS_CONSUMER = "AwaitsConsumer"
    """A claim for which nobody asked a provisioner. Never let a Pod wait for it: the claim may wait for the Pod."""
    WAITS = "Waits"
    """It is held back on purpose, by a step, a check or a person, and goes on when that lets it: however long that takes, nothing is wrong."""
    RESIZING = "Resizing"
    METRICS_MISSING = "MetricsMissing"
    TARGET_MISSING = "TargetMissing"

    # Failed
    STALLED = "Stalled"
    PROGRESS_DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"
    CRASH_LOOP = "CrashLoop"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    POD_FAILED = "PodFailed"
    JOB_FAILED = "JobFailed"
    VOLUME_LOST = "VolumeLost"
    VOLUME_CHANGE_FAILED = "VolumeChangeFailed"
    SPEC_REFUSED = "SpecRefused"
    """Its controller cannot work with the spec."""
    FAILURE_REPORTED = "FailureReported"
    """The `failed` expression of its kind holds."""

    # Terminating
    DELETING = "Deleting"

    # Unknown
    HEARTBEAT_LOST = "HeartbeatLost"
    """The kubelet that would tell is silent."""
    MALFORMED = "Malformed"
    """A field has not the type that it should have."""
    EXPRESSION_FAILED = "ExpressionFailed"
    """An expression of its kind gives no answer: a type does not fit, or it may take too long."""
    NO_EXPRESSION_HOLDS = "NoExpressionHolds"
    """It is in a state that the expressions of its kind do not speak of."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """What one live object says of itself."""

    status: Status
    reason: Reason
    message: str
    """For people: what is there and what is missing. One line, as `readiness` returns it."""
    generation: int | None = field(default=None, compare=False)
    """Of the object that says so, as `readiness` returns it; None if it has none."""
    progress: Progress | None = field(default=None, compare=False)
    """While InProgress: how far it is, after `following` how far it was at best; None if it does not tell."""
    progressed_at: datetime | None = field(default=None, compare=False)
    """When it went forward last, UTC; None if nobody saw it more than once, or looked at a clock."""
    is_down: bool = field(default=False, compare=False)
    """Whether it is a workload that was ready, and has no ready Pod left (`facts/standing`). `readiness` does not know that of one object alone."""

    @property
    def is_well(self) -> bool:
        """Whether nothing is wrong with it: it is as asked for, or a claim that waits for its first Pod."""
        return self.status is Status.CURRENT or self.reason is Reason.AWAITS_CONSUMER

    @property
    def holds_up(self) -> bool:
        """Whether what comes after it has to wait. A claim that waits for its first Pod does not: that Pod may come after it.

        Nor does one of which nobody can tell whether a controller looks at it: there may be none, and the wait would have no end.
        """
        return not self.is_well and not (self.status is Status.UNKNOWN and self.reason is Reason.NOT_OBSERVED)

    @property
    def waits(self) -> bool:
        """Whether it waits on purpose: it is not ready, and not late either."""
        return self.reason is Reason.WAITS

    def following(self, before: "Readiness | None", now: datetime | None) -> "Readiness":
        """The same, with how far the object was at best since it is not ready.

        Args:
            before: what it said then, itself made so; None if it was ready.
            now: when it says this, UTC; None if nobody looked at a clock.
        """
        best = before.progress if before else None
        if ahead := progress.further(best, self.progress):
            return replace(self, progress=ahead, progressed_at=now)
        return replace(self, progress=best, progressed_at=before.progressed_at) if before and best else self


def current(reason: Reason, message: str) -> Readiness:
    """As asked for."""
    return Readiness(Status.CURRENT, reason, message)


def in_progress(reason: Reason, message: str) -> Readiness:
    """Not there yet."""
    return Readiness(Status.IN_PROGRESS, reason, message)


def failed(reason: Reason, message: str) -> Readiness:
    """Given up, or backing off."""
    return Readiness(Status.FAILED, reason, message)


def unknown(reason: Reason, message: str) -> Readiness:
    """Cannot be told."""
    return Readiness(Status.UNKNOWN, reason, message)


def told(found: Readiness, live: Mapping[str, Any]) -> Readiness:
    """What was found, fit to be told: in one line, and of which generation of the object it speaks. Never raises."""
    meta = live.get("metadata") if isinstance(live, Mapping) else None
    generation = meta.get("generation") if isinstance(meta, Mapping) else None
    known = generation if isinstance(generation, int) and not isinstance(generation, bool) else None
    is_under_way = found.status is Status.IN_PROGRESS and found.reason is not Reason.NOT_OBSERVED  # what was counted before does not tell
    done = progress.of(live) if is_under_way else None
    return replace(found, message=one_line(found.message, MESSAGE_CHARACTERS), generation=known, progress=done)
