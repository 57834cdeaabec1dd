"""The Pod tally: what is kept of the Pods of one namespace, so that restarts, evictions and waits for a node are counted without keeping a Pod.

Input: each Pod once when they are listed, then every change of one, in order, as a watch tells it. Output: `PodCounts`.

| kept | for | how long |
|---|---|---|
| uid, name and time of creation | each Pod that waits for a node | until it has one, or is gone |
| uid and number of restarts | each Pod that restarted | until it is gone |
| restarts, longest wait | each minute | an hour, ten minutes |
| uid | each Pod that was evicted | an hour |

Times in objects are whole seconds, so a wait is told to the second. Windows are kept in minutes, so they are up to a minute shorter than they say.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from cvstate_operator.vital.facts.conditions import TRUE
from cvstate_operator.vital.facts.fields import Fields, MalformedError
from cvstate_operator.vital.facts.moments import moment

HOUR_MINUTES: Final = 60
"""Restarts and evictions count for so long."""
WAIT_MINUTES: Final = 10
"""Waits for a node count for so long."""
PENDING_SECONDS: Final = 60.0
"""A Pod that waited longer for a node is pending: new nodes take minutes, the scheduler milliseconds."""
MAX_EVICTED: Final = 10_000
"""Evictions of one hour that are told apart in a namespace; more are not counted."""

_EVICTED: Final = "Evicted"
"""`status.reason` of a Pod that a kubelet evicted (kubelet, eviction manager). Its owner may replace and delete it within seconds."""
_EVICTIONS: Final = ("EvictionByEvictionAPI", "DeletionByTaintManager")
"""Reasons of the condition DisruptionTarget that are evictions; the others are preemption, garbage collection and a kubelet that shuts down.
Source: Kubernetes documentation, "Disruptions", "Pod disruption conditions"; "Taint based Evictions"."""


@dataclass(frozen=True, slots=True)
class PodCounts:
    """What happened to the Pods of a namespace lately, and what they wait for now."""

    restarts: int = 0
    """Of containers, in the last hour."""
    restarted: str = ""
    """The Pod of the last of them; empty if there is none."""
    evictions: int = 0
    """In the last hour."""
    evicted: str = ""
    """The Pod of the last of them."""
    pending: int = 0
    """Pods that have been waiting for a node for longer than PENDING_SECONDS."""
    longest_pending: str = ""
    """The one that waits longest."""
    longest_wait_seconds: float = 0.0
    """For a node, in the last ten minutes, whether it came or not; 0 if no Pod had to wait."""
    longest_waiting: str = ""
    """The Pod that waited so long."""


@dataclass(frozen=True, slots=True)
class PodFacts:
    """One Pod, reduced to what is counted."""

    uid: str
    name: str
    created_at: datetime
    is_waiting: bool
    """The scheduler is to find a node for it. A Pod with scheduling gates is not given to the scheduler yet, so it does not wait."""
    scheduled_at: datetime | None
    restarts: int
    """Of all containers, those that initialise too."""
    containers: tuple[tuple[int, datetime | None], ...]
    """Restarts of each container that restarted, and when the last one was, if that is told."""
    is_evicted: bool
    evicted_at: datetime | None
    """By the condition DisruptionTarget, else when a condition of it last changed; None if neither is told."""


def pod_facts(live: Mapping[str, Any], *, is_gone: bool = False) -> PodFacts | None:
    """Reduce a Pod; None if it cannot be read, which no API server sends.

    Args:
        live: as the API server gave it.
        is_gone: whether it does not exist any more, and this is what it was last.
    """
    try:
        return _facts(Fields.of(live), is_gone=is_gone)
    except MalformedError:
        return None


def _facts(pod: Fields, *, is_gone: bool) -> PodFacts | None:
    meta, spec, status = pod.below("metadata"), pod.below("spec"), pod.below("status")
    created_at = moment(meta.text("creationTimestamp"))
    if created_at is None:
        return None
    is_leaving = is_gone or meta.has("deletionTimestamp")
    changed: dict[str, datetime | None] = {}
    scheduled_at, is_disrupted = None, False
    for one in status.items("conditions"):
        kind, at, is_true = one.text("type"), moment(one.text("lastTransitionTime")), one.text("status") == TRUE
        changed[kind] = at
        if kind == "PodScheduled" and is_true:
            scheduled_at = at
        elif kind == "DisruptionTarget" and is_true:
            is_disrupted = one.text("reason") in _EVICTIONS
    containers = tuple(_restarts(status))
    has_ended = status.text("phase") in ("Succeeded", "Failed")
    return PodFacts(
        uid=meta.text("uid"),
        name=meta.text("name"),
        created_at=created_at,
        is_waiting=not (spec.has("nodeName") or spec.items("schedulingGates") or has_ended or is_leaving),
        scheduled_at=scheduled_at,
        restarts=sum(count for count, _ in containers),
        containers=containers,
        is_evicted=(has_ended and status.text("reason") == _EVICTED) or (is_disrupted and is_leaving),
        evicted_at=changed.get("DisruptionTarget") or max((at for at in changed.values() if at), default=None),
    )


def _restarts(status: Fields) -> Iterator[tuple[int, datetime | None]]:
    for name in ("initContainerStatuses", "containerStatuses"):
        for container in status.items(name):
            if count := container.count("restartCount"):
                yield count, moment(container.below("lastState").below("terminated").text("finishedAt"))


class PodTally:
    """See the module."""

    def __init__(self) -> None:
        self._waiting: dict[str, tuple[str, datetime]] = {}
        """Name and time of creation by uid."""
        self._restarted: dict[str, int] = {}
        """Restarts by uid, where there are any."""
        self._restarts: dict[int, tuple[int, str]] = {}
        """Their number, and the Pod of the last of them, by minute."""
        self._waits: dict[int, tuple[float, str]] = {}
        """Longest wait that ended, seconds, and the Pod, by minute."""
        self._evicted: dict[str, tuple[datetime, str]] = {}
        """When, and the name, by uid."""
        self._listed: set[str] | None = None
        """Uids that a list told so far; None while none is under way."""
        self._is_gap = True
        """Whether what happened in the last hour is not known in whole: at first, and after a long silence."""

    # -- what a list and a watch tell ------------------------------------------------------------------------------

    def begin(self, now: datetime, *, known_until: datetime | None) -> None:
        """A list begins.

        Args:
            now: UTC.
            known_until: until when every change was told; None if nothing was told yet.
        """
        self._listed = set()
        self._is_gap = known_until is None or known_until < now - timedelta(minutes=HOUR_MINUTES)

    def listed(self, now: datetime) -> None:
        """The list is complete: Pods that were not in it are gone."""
        seen = self._listed or set()
        for uid in self._waiting.keys() - seen:
            self._stop_waiting(uid, now)
        self._restarted = {uid: count for uid, count in self._restarted.items() if uid in seen}
        self._listed = None

    def seen(self, live: Mapping[str, Any], now: datetime) -> None:
        """A Pod is there, in this state."""
        pod = pod_facts(live)
        if pod is None:
            return
        if self._listed is not None:
            self._listed.add(pod.uid)
        self._take(pod, now)
        if pod.is_waiting:
            self._waiting[pod.uid] = (pod.name, pod.created_at)
        elif pod.scheduled_at:
            self._waiting.pop(pod.uid, None)
            self._waited(pod.name, pod.scheduled_at - pod.created_at, pod.scheduled_at)
        else:
            self._stop_waiting(pod.uid, now)

    def gone(self, live: Mapping[str, Any], now: datetime) -> None:
        """A Pod is not there any more; this is what it was last."""
        pod = pod_facts(live, is_gone=True)
        if pod is None:
            return
        self._take(pod, now)
        self._restarted.pop(pod.uid, None)
        self._stop_waiting(pod.uid, now)

    def _take(self, pod: PodFacts, now: datetime) -> None:
        """Count what is new of its restarts and its eviction."""
        if pod.restarts:
            news = pod.restarts - self._restarted.get(pod.uid, 0)
            if self._is_gap and self._listed is not None:
                news = min(news, _certain(pod, now))
            if news > 0:
                minute = _minute(self._when(pod, now))
                self._restarts[minute] = (self._restarts.get(minute, (0, ""))[0] + news, pod.name)
            self._restarted[pod.uid] = pod.restarts
        if pod.is_evicted and pod.uid not in self._evicted and len(self._evicted) < MAX_EVICTED:
            at = min(pod.evicted_at or now, now)
            if _minute(at) > _minute(now) - HOUR_MINUTES:  # else somebody tidies up
                self._evicted[pod.uid] = (at, pod.name)

    def _when(self, pod: PodFacts, now: datetime) -> datetime:
        """When it restarted: now if that is news, else when it says. A node's clock is not ours."""
        told = [at for _, at in pod.containers if at]
        return min(max(told), now) if told and self._listed is not None else now

    def _stop_waiting(self, uid: str, now: datetime) -> None:
        if held := self._waiting.pop(uid, None):
            name, created_at = held
            self._waited(name, now - created_at, now)

    def _waited(self, name: str, wait: timedelta, until: datetime) -> None:
        seconds, minute = wait.total_seconds(), _minute(until)
        if seconds > self._waits.get(minute, (0.0, ""))[0]:
            self._waits[minute] = (seconds, name)

    # -- what is counted -------------------------------------------------------------------------------------------

    def counts(self, now: datetime) -> PodCounts:
        """What holds at `now`; what is too old to count is dropped."""
        hour, ten_minutes = _minute(now) - HOUR_MINUTES, _minute(now) - WAIT_MINUTES
        self._restarts = {minute: each for minute, each in self._restarts.items() if minute > hour}
        self._waits = {minute: wait for minute, wait in self._waits.items() if minute > ten_minutes}
        self._evicted = {uid: each for uid, each in self._evicted.items() if _minute(each[0]) > hour}
        waiting = [((now - created_at).total_seconds(), name) for name, created_at in self._waiting.values()]
        pending = [each for each in waiting if each[0] > PENDING_SECONDS]
        longest = max((*self._waits.values(), *(each for each in waiting if each[0] > 0)), default=(0.0, ""))
        return PodCounts(
            restarts=sum(count for count, _ in self._restarts.values()),
            restarted=self._restarts[max(self._restarts)][1] if self._restarts else "",
            evictions=len(self._evicted),
            evicted=max(self._evicted.values())[1] if self._evicted else "",
            pending=len(pending),
            longest_pending=max(pending)[1] if pending else "",
            longest_wait_seconds=longest[0],
            longest_waiting=longest[1],
        )


def _certain(pod: PodFacts, now: datetime) -> int:
    """How many of a Pod's restarts were in the last hour for sure, if it was not watched: all if it is younger, else the last one of each container."""
    since = now - timedelta(minutes=HOUR_MINUTES)
    if pod.created_at > since:
        return pod.restarts
    return sum(1 for _, at in pod.containers if at and at > since)


def _minute(at: datetime) -> int:
    return int(at.timestamp()) // 60
