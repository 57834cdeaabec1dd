"""Lapse: one object that is not ready, since when, and how that counts. Rolled, scaled and moved objects are not ready for a while, and nothing is wrong.

Input is the readiness of an object (`readiness`), whenever somebody looked at it, and what the look before came to; `lapses` keeps them. Readers are the score,
the status and the judge of roll-outs. Pure: time is an argument.

| the object is | it counts as |
|---|---|
| Current, or waits for its first Pod | Ready. If it was Degraded or Failed: Degraded, until it was ready for SETTLE_SECONDS |
| InProgress or Terminating | Progressing; Degraded once it did not go forward for `degraded_after`, or if the lapse was so bad before |
| InProgress, and down: it was ready, and no Pod of it is | Progressing; Degraded after SETTLE_SECONDS, or `degraded_after` if that is less |
| InProgress, and waits on purpose | Progressing, for any time, whatever it was before |
| Failed | Failed, at once |
| declared, and not there | Missing |
| Unknown | Unknown; if it was Degraded, Failed or Missing it stays that, and is not known now: a gap mends nothing |

A lapse begins when an object is seen not to be ready, and ends when it was ready for SETTLE_SECONDS. So a crash loop that is ready for ten seconds of each
minute is one lapse and becomes Degraded, while a roll-out of half a minute never does.

The time counts from the last progress, as `progressDeadlineSeconds` of a Deployment does (`facts/progress`): further than ever since the lapse began, the
first that is told, or the end of a wait. Another template begins anew; while no Pod is up, only IDLE_TEMPLATES of them in one lapse do.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from cvstate_operator.objects.redaction import one_line
from cvstate_operator.vital import saved
from cvstate_operator.vital.facts import progress
from cvstate_operator.vital.facts.progress import Progress
from cvstate_operator.vital.health.state import MESSAGE_CHARACTERS, Readiness, Reason, Status

SETTLE_SECONDS: Final = 30.0
"""So long an object must be ready for a lapse to be over. Longer than the pauses of a crash loop at its start (10 s, 20 s; Kubernetes documentation, "Pod
Lifecycle"), and shorter than anybody waits for the end of a roll-out. Later pauses are longer, but by then the Pod is told as Failed (CrashLoop)."""
IDLE_TEMPLATES: Final = 2
"""So many new templates begin anew in one lapse while no Pod is up: who mends a roll-out twice has the time for it, and what is changed for ever is late."""
SETTLE: Final = timedelta(seconds=SETTLE_SECONDS)


class Level(StrEnum):
    """How an object counts; the set is closed, so it may be a metric label."""

    READY = "Ready"
    PROGRESSING = "Progressing"
    """On its way, and not for too long."""
    DEGRADED = "Degraded"
    """Not ready for too long, or not ready for long enough again."""
    FAILED = "Failed"
    """Its controller gave up, or backs off."""
    MISSING = "Missing"
    """Declared, and not there."""
    UNKNOWN = "Unknown"


LASTING: Final = frozenset({Level.DEGRADED, Level.FAILED, Level.MISSING})
"""Levels that are kept while nothing is known."""


@dataclass(frozen=True, slots=True)
class HealthCounts:
    """Declared objects by their level."""

    ready: int = 0
    progressing: int = 0
    degraded: int = 0
    failed: int = 0
    missing: int = 0
    unknown: int = 0
    outdated: int = 0
    """How many of those degraded, failed or missing cannot be seen now: for the confidence."""

    @property
    def total(self) -> int:
        """All of them."""
        return self.ready + self.progressing + self.degraded + self.failed + self.missing + self.unknown

    def count(self, level: Level) -> int:
        """Objects of one level."""
        return int(getattr(self, level.value.lower()))


@dataclass(frozen=True, slots=True)
class Lapse:
    """One object that is not ready, or was not a moment ago."""

    since: datetime
    """When it was first seen not to be ready, UTC; while nothing but Unknown was seen, when that began."""
    level: Level
    status: Status | None
    """What it said last; None: it is not there, or that is not remembered."""
    reason: str
    """A word of state.Reason, or `Missing`."""
    message: str
    """For people; one line."""
    is_known: bool = True
    """Whether the level holds now, and is not one from before a gap."""
    is_seen: bool = True
    """Whether it was seen not to be ready; False while all that is known is that it is Unknown."""
    was_degraded: bool = False
    """Whether it was Degraded or Failed since the lapse began."""
    generation: int | None = None
    """Of the object when it was not ready last; None if that is not known."""
    ready_at: datetime | None = None
    """Since when it is ready again, UTC; None: it is not."""
    progress: Progress | None = None
    """How far it was at best; None if it does not tell."""
    progressed_at: datetime | None = None
    """When it was further than ever last, or had waited, UTC; None: it never told."""
    waited_until: datetime | None = None
    """When it was seen not to wait on purpose any more, UTC; None: it never did, or does now."""
    down_since: datetime | None = None
    """Since when no Pod of it is ready although it was, UTC; None: that is not so. Kept while it is ready again, until the lapse is over."""
    idle_templates: int = 0
    """New templates that began anew while no Pod was up."""

    @property
    def waits(self) -> bool:
        """Whether it waits on purpose (`Readiness.waits`)."""
        return self.reason == Reason.WAITS and self.ready_at is None

    @property
    def is_down(self) -> bool:
        """Whether it is a workload that was ready, and has no ready Pod now (`Readiness.is_down`). Then nothing of it is merely on its way."""
        return self.down_since is not None and self.ready_at is None and self.is_known

    @property
    def late_since(self) -> datetime:
        """From when it counts how long it takes, UTC."""
        return max(self.since, self.progressed_at or self.since)

    def late_at(self, after: timedelta) -> datetime:
        """When it is Degraded if nothing happens, UTC.

        Args:
            after: spec.vital.degradedAfter.
        """
        late_at = self.late_since + after
        return min(late_at, self.down_since + SETTLE) if self.down_since and self.ready_at is None else late_at


def following(before: Lapse | None, found: Readiness | None, now: datetime, *, after: timedelta) -> Lapse | None:
    """The lapse after a look at the object; None if it is over, or never was.

    Args:
        before: until now; None if there was none.
        found: what the object says; None: it lacks nothing.
        now: UTC.
        after: spec.vital.degradedAfter.
    """
    if found is None or found.is_well:
        return recovered(before, now)
    if found.status is Status.UNKNOWN:
        return _unseen(before, found, now)
    is_other = before and found.generation is not None and before.generation not in (None, found.generation)
    if before and before.ready_at and not before.was_degraded and is_other:
        before = None  # it was ready, and is asked for something else now: scaled step by step, it is never late
    since = before.since if before and before.is_seen else now
    told, generation = (found.status, found.reason.value, _line(found.message)), found.generation
    down_since = (before.down_since if before and before.down_since else now) if found.is_down else None
    lapse = Lapse(since, Level.PROGRESSING, *told, generation=generation, down_since=down_since)
    if before:
        done = (before.progress, before.progressed_at, before.waited_until, before.idle_templates)
        lapse = replace(lapse, progress=done[0], progressed_at=done[1], waited_until=done[2], idle_templates=done[3])
    lapse = forward(lapse, found, now)
    if before and before.waits and not found.waits:
        lapse = replace(lapse, progressed_at=now, waited_until=now)
    if found.status is Status.FAILED:
        return replace(lapse, level=Level.FAILED, was_degraded=True)
    if not found.waits and ((before and before.was_degraded) or now >= lapse.late_at(after)):
        return replace(lapse, level=Level.DEGRADED, was_degraded=True)
    return lapse


def forward(lapse: Lapse, found: Readiness, now: datetime) -> Lapse:
    """The lapse with how far the object is by now; the same one if it is no further than before."""
    best, seen = lapse.progress, found.progress
    ahead = progress.further(best, seen)
    if ahead is None:
        return lapse
    idle = lapse.idle_templates + (best is not None and best.template != ahead.template and not ahead.up)
    if idle > IDLE_TEMPLATES and not ahead.up:
        return lapse
    return replace(lapse, progress=ahead, progressed_at=found.progressed_at or now, idle_templates=idle)


def recovered(before: Lapse | None, now: datetime) -> Lapse | None:
    """The lapse of an object that is well now; None if it is over, or never was."""
    if before is None or not before.is_seen:
        return None
    ready_at = before.ready_at or now
    if now - ready_at >= SETTLE:
        return None
    level = Level.DEGRADED if before.was_degraded else Level.READY
    message = f"is ready again, not yet for {SETTLE_SECONDS:g} s" if before.was_degraded else "is ready"
    return replace(before, level=level, status=Status.CURRENT, message=message, is_known=True, ready_at=ready_at)


def _unseen(before: Lapse | None, found: Readiness, now: datetime) -> Lapse:
    level = before.level if before and before.level in LASTING else Level.UNKNOWN
    told = found.reason.value, _line(found.message)
    if before is None:
        return Lapse(now, level, found.status, *told, is_known=False, is_seen=False)
    if before.waits:
        before = replace(before, progressed_at=now, waited_until=now)
    return replace(before, level=level, status=found.status, reason=told[0], message=told[1], is_known=False, ready_at=None)


def recalled(told: Mapping[str, object]) -> Lapse | None:
    """The lapse that an earlier process told of; None if it cannot be read. Of the reason nothing counts but that it waits."""
    level, since = saved.word(Level, told.get("state")), saved.moment(told.get("since"))
    if level is None or since is None or level is Level.READY:
        return None
    reason, was_degraded = (Reason.WAITS.value if told.get("reason") == Reason.WAITS else ""), level in (Level.DEGRADED, Level.FAILED)
    lapse = Lapse(since, level, None, reason, "", is_known=False, is_seen=level is not Level.UNKNOWN, was_degraded=was_degraded)
    done, at = progress.parsed(told.get("progress")), saved.moment(told.get("progressedAt"))
    return replace(lapse, progress=done, progressed_at=at) if at else lapse


def _line(message: str) -> str:
    """One line of a message; that of a Readiness mostly is one, which is told much faster than made."""
    return message if len(message) <= MESSAGE_CHARACTERS and message.isprintable() else one_line(message, MESSAGE_CHARACTERS)
