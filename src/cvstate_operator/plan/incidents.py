"""Incidents: which trouble of which ClusterState is told to whom, and when. Pure: time is an argument, and what is to be sent comes out as notices.

An incident has a key: a ClusterState and a reason. For each target its course (`plan/incident_course.py`) is

    well ─ in trouble for minDuration, all in all ─▶ opened ─ worse, other text, reminder ─▶ updated ─ well for a while ─▶ resolved

- **Minimum duration.** Time in trouble counts up, time in which it is well counts down. So trouble that comes and goes is told if it prevails, and one look in
  sixty that fails is not.
- **Flapping.** It is over once it was well for minDuration on end. If it was resolved once during the day before it came back, it is over only after
  FLAP_QUIET_SECONDS; if twice, only after DAY_SECONDS. While it comes and goes its reminders are summaries, DAY_SECONDS apart. So in any stretch of a
  day an incident makes at most five messages, whatever the rhythm: among six that open and resolve it in turn there would be one that opens it after two
  ends, and one that resolves it less than a day later. Two things come on top: that the severity rose, and, once a day at most, that trouble which
  flapped lasts for LASTING_SECONDS on end, which is no flap any more.
- **Updates.** A higher severity is told at once. Another text is told after FIRST_UPDATE_SECONDS, and then each time after twice as long; not of an
  incident that flaps. Reminders come at whole multiples of the repeat interval since the trouble began, so that a restart moves none; since it was
  opened, if that was over an hour later.
- **Windows.** What is muted while a change window is closed is neither opened nor updated; when the window opens, what still lasts is told.
- **A gap is no end.** Conditions that say nothing change nothing: while they do, time counts neither as trouble nor as well-being.
- **After a restart**, or when another replica takes over, the status tells what there was: trouble that is older than minDuration and RECALL_SECONDS was told by
  whoever was here before, and is reminded of when that is due. Younger trouble is told after minDuration: the one before may not have come to it. But if it
  is older than minDuration, or muted, it may be that it was told; so when it ends that is told, whether it was opened here or not. What a condition told of
  before it came to say nothing stands in `status.unresolved` (`plan/troubles.py`), and counts as if the condition said so still; and how old a trouble is, if its
  condition has had the same status for longer.
- **Receivers that keep alerts** (Alertmanager) are told of everything that is open every KEEP_SECONDS, also while it is well but not over, and after a restart at
  once of all that is older than minDuration: they know themselves what is new to them.
"""

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from cvstate_operator.api.notices import NoticeSeverity, NoticeTarget
from cvstate_operator.plan import troubles
from cvstate_operator.plan.incident_course import Course, Phase, Policy
from cvstate_operator.plan.troubles import Sight, Trouble

_LEAST_ROOM: Final = 256
"""Below this it does not matter how much of the heap is outdated."""


class Key(NamedTuple):
    """One incident."""

    namespace: str
    name: str
    """Of the ClusterState."""
    reason: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}/{self.reason}"


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to be told to one target."""

    target: str
    """Name of the target."""
    phase: Phase
    key: Key
    severity: NoticeSeverity
    message: str
    """What is wrong, or was last; one line."""
    started_at: datetime
    """When the trouble began."""
    ended_at: datetime | None
    """Since when it is well; None of what is not resolved."""
    at: datetime
    """When it was decided to tell it."""
    returns: int = 0
    """How often the incident was resolved and came back within a day; twice or more: it flaps."""
    flaps: int = 0
    """How often trouble began again since the incident was first opened, told or not; counted until it was resolved for a day."""
    revision: str = ""
    """That the ClusterState was about; empty if none was read."""
    correlation_id: str = ""
    """Of the roll-out that was under way; empty if there was none."""


class _Incident:
    """One incident, for all targets."""

    __slots__ = ("correlation_id", "courses", "due_at", "is_known", "is_raised", "revision", "sight", "trouble")

    def __init__(self, trouble: Trouble, sight: Sight) -> None:
        self.trouble = trouble
        """As it was seen last."""
        self.sight = sight
        """What the status says now."""
        self.is_raised = self.is_known = True
        """Whether there is trouble, or was when its condition said something last; and whether that says something now."""
        self.revision = self.correlation_id = ""
        self.courses: dict[str, Course] = {}
        """By name of the target."""
        self.due_at: datetime | None = None
        """When to look at it again."""

    def is_muted(self, course: Course) -> bool:
        """Whether a closed window keeps it from being told."""
        return self.sight.is_muted(self.trouble.reason, course.policy.target.mute_in_windows)

    def move(self, policies: Iterable[Policy], now: datetime, *, is_recalled: bool) -> None:
        """Bring the courses up to date, and make those that are missing."""
        courses = {}
        for policy in policies:
            name = policy.target.name
            course = courses[name] = self.courses.get(name) or Course(policy, now)
            course.policy = policy
            course.move(is_raised=self.is_raised, now=now, since=self.trouble.since, is_known=self.is_known)
            if is_recalled and self.is_raised:
                course.recall(self.trouble, now, is_muted=self.is_muted(course))
        self.courses = courses

    def next_at(self) -> datetime | None:
        """When one of its courses is due; None if none is by itself."""
        moments = (course.next_at(self.trouble, is_muted=self.is_muted(course)) for course in self.courses.values())
        return min((at for at in moments if at), default=None)

    def notice(self, phase: Phase, course: Course, key: Key, now: datetime) -> Notice:
        """What is to be sent."""
        return Notice(
            target=course.policy.target.name,
            phase=phase,
            key=key,
            severity=self.trouble.severity,
            message=self.trouble.message,
            started_at=course.since,
            ended_at=course.changed_at if phase is Phase.RESOLVED else None,
            at=now,
            returns=course.returns,
            flaps=course.flaps,
            revision=self.revision,
            correlation_id=self.correlation_id,
        )


class Incidents:
    """All incidents that this process looks after. Not for concurrent use; nothing here waits."""

    def __init__(self, targets: Iterable[NoticeTarget] = ()) -> None:
        """
        Args:
            targets: who is told; their names differ.
        """
        self._policies = tuple(map(Policy.of, targets))
        self._known: dict[tuple[str, str], dict[str, _Incident]] = {}
        """By namespace and name of the ClusterState, and by reason; without any if nothing is wrong with it."""
        self._due: list[tuple[datetime, Key]] = []
        """A heap; some of it is outdated: `_Incident.due_at` counts."""
        self._room = _LEAST_ROOM
        """Entries of the heap at which the outdated ones are thrown out."""
        self._ended: list[Notice] = []
        """Of ClusterStates that are gone."""

    @property
    def next_at(self) -> datetime | None:
        """When to ask `due` again; None if nothing is to come by itself. It may be too early, never too late."""
        if self._ended:
            return self._ended[0].at
        return self._due[0][0] if self._due else None

    def observe(self, namespace: str, name: str, status: Mapping[str, Any], *, correlation_id: str = "", now: datetime) -> None:
        """Take note of a ClusterState's status; the first one of each is what an earlier life left behind.

        Args:
            namespace: of the ClusterState.
            name: of the ClusterState.
            status: as it stands in the cluster, or is about to; empty if it has none yet.
            correlation_id: of the roll-out that is under way; empty if there is none.
            now: UTC.
        """
        sight = troubles.read(status)
        is_first = (namespace, name) not in self._known
        incidents = self._known.setdefault((namespace, name), {})
        if is_first:
            incidents.update({reason: _Incident(trouble, sight) for reason, trouble in sight.unresolved.items()})
        for reason, trouble in sight.troubles.items():
            incident = incidents.setdefault(reason, _Incident(trouble, sight))
            incident.trouble, incident.is_raised = trouble, True
            incident.revision = sight.revision
            incident.correlation_id = correlation_id or incident.correlation_id
        for reason, incident in list(incidents.items()):
            incident.sight = sight
            incident.is_known = not sight.is_unknown(incident.trouble)
            if incident.is_known:
                incident.is_raised = reason in sight.troubles
            self._move(Key(namespace, name, reason), incident, now, is_recalled=is_first)

    def forget(self, namespace: str, name: str, *, is_gone: bool, now: datetime) -> None:
        """A ClusterState is looked after no more; nothing if it was not.

        Args:
            namespace: of the ClusterState.
            name: of the ClusterState.
            is_gone: whether there is none any more, so that its incidents are over; else another replica looks after it, or a later life.
            now: UTC.
        """
        for reason, incident in self._known.pop((namespace, name), {}).items():
            for course in incident.courses.values() if is_gone else ():
                if course.is_open:
                    course.move(is_raised=False, now=now)
                    self._ended.append(incident.notice(Phase.RESOLVED, course, Key(namespace, name, reason), now))

    def replace(self, targets: Iterable[NoticeTarget], now: datetime) -> None:
        """There are other targets from now on. What one of the same name was told stays told; a new one is told of what lasts, after its minDuration."""
        self._policies = tuple(map(Policy.of, targets))
        for key, incident in self._all():
            self._move(key, incident, now, is_recalled=False)

    def open_at(self, target: str) -> int:
        """How many incidents the target of this name was told of, or may have been, that are not over."""
        courses = (incident.courses.get(target) for _, incident in self._all())
        return sum(course is not None and course.is_open for course in courses)

    def due(self, now: datetime) -> tuple[Notice, ...]:
        """What is to be told now, sorted by target and incident. It counts as told."""
        found, self._ended = self._ended, []
        while self._due and self._due[0][0] <= now:
            at, key = heapq.heappop(self._due)
            incident = self._known.get((key.namespace, key.name), {}).get(key.reason)
            if incident is None or incident.due_at != at:
                continue
            for course in incident.courses.values():
                if phase := course.tell(incident.trouble, now, is_muted=incident.is_muted(course)):
                    found.append(incident.notice(phase, course, key, now))
            self._plan(key, incident)
        wanted = {policy.target.name for policy in self._policies}
        return tuple(sorted((one for one in found if one.target in wanted), key=lambda one: (one.target, one.key)))

    def _all(self) -> Iterator[tuple[Key, _Incident]]:
        for (namespace, name), incidents in list(self._known.items()):
            for reason, incident in list(incidents.items()):
                yield Key(namespace, name, reason), incident

    def _move(self, key: Key, incident: _Incident, now: datetime, *, is_recalled: bool) -> None:
        incident.move((one for one in self._policies if one.target.takes(key.namespace)), now, is_recalled=is_recalled)
        self._plan(key, incident)

    def _plan(self, key: Key, incident: _Incident) -> None:
        """Note when an incident is to be looked at again, or forget it."""
        if not incident.is_raised and all(course.is_over() for course in incident.courses.values()):
            del self._known[key.namespace, key.name][key.reason]
            return
        due_at = incident.next_at()
        if due_at is not None and due_at != incident.due_at:
            heapq.heappush(self._due, (due_at, key))
        incident.due_at = due_at
        if len(self._due) > self._room:
            self._due = [(one.due_at, key) for key, one in self._all() if one.due_at is not None]
            heapq.heapify(self._due)
            self._room = 2 * len(self._due) + _LEAST_ROOM
