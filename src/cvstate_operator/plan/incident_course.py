"""The course of one incident for one target: when it is opened, updated and resolved. Pure. The rules are told in `plan/incidents.py`."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from cvstate_operator.api.duration import parse_seconds
from cvstate_operator.api.notices import NoticeSeverity, NoticeTarget, NoticeType
from cvstate_operator.plan import troubles
from cvstate_operator.plan.troubles import Trouble

FLAP_QUIET_SECONDS: Final = 3600.0
"""How long something has to be well that came back once within a day: longer than most causes need to show themselves again."""
DAY_SECONDS: Final = 86400.0
"""How long something has to be well that came back twice within a day, how long an end is remembered, and the pause between two summaries of what
flaps. All three are the same time, so that in no stretch of that length more than five notices tell of begins, ends and summaries."""
LASTING_SECONDS: Final = 3 * FLAP_QUIET_SECONDS
"""Trouble on end for so long is no flap: neither one of a job that runs every hour, nor one of every second hour."""
FIRST_UPDATE_SECONDS: Final = 600.0
"""Shortest time until another text is told: counts in it move with every pass."""
RECALL_SECONDS: Final = 900.0
"""How long nobody may have been here: a Pod that is lost with its node is replaced after 5 minutes (tolerationSeconds), and has to be fetched and started."""
KEEP_SECONDS: Final = 60.0
"""How often receivers that keep alerts are told of them, as Prometheus does (--rules.alert.resend-delay=1m)."""

_CLOSE_SECONDS: Final = 0.001
"""Sums of fractions of seconds are not exact."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Phase(StrEnum):
    """What a notice says of its incident."""

    OPENED = "opened"
    UPDATED = "updated"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Policy:
    """What one target wants to be told, in numbers."""

    target: NoticeTarget
    min_seconds: float
    """Trouble that an incident takes to be opened."""
    repeat_seconds: float
    """0: no reminders."""
    is_keeping: bool
    """Whether the receiver keeps alerts for itself, and forgets those that it is not told of any more."""

    @classmethod
    def of(cls, target: NoticeTarget) -> "Policy":
        """The policy of a target from the settings."""
        is_keeping = target.type is NoticeType.ALERTMANAGER
        repeat = KEEP_SECONDS if is_keeping else parse_seconds(target.repeat_interval)
        return cls(target, parse_seconds(target.min_duration), repeat, is_keeping)


@dataclass(slots=True)
class _Told:
    """What a target knows of an incident that is open."""

    severity: NoticeSeverity
    message: str
    at: datetime
    """When it was told last."""
    began: datetime
    """What reminders are counted from."""
    repeat_at: datetime | None
    update_at: datetime
    has_flapped: bool
    """It came and went since it was opened, or came back lately."""
    update_seconds: float = FIRST_UPDATE_SECONDS


class Course:
    """See the module."""

    __slots__ = (
        "_at",
        "_changed_at",
        "_ends",
        "_is_known",
        "_is_raised",
        "_lasted_at",
        "_may_be_told",
        "_told",
        "_weight",
        "_well_from",
        "flaps",
        "policy",
        "returns",
        "since",
    )

    def __init__(self, policy: Policy, now: datetime) -> None:
        self.policy = policy
        self.since = now
        """When the trouble began that an open incident tells of, or that may become one."""
        self.returns = 0
        """How often it was resolved and came back within a day."""
        self.flaps = 0
        """How often trouble began again since it was first opened, told or not."""
        self._is_raised, self._is_known = False, True
        self._changed_at = self._at = now
        self._well_from = now
        """While there is no trouble: since when, later by the time in which nothing was known of it."""
        self._weight = 0.0
        """Seconds of trouble less those of well-being as of `_at`, from 0 to `policy.min_seconds`."""
        self._told: _Told | None = None
        """None: not open."""
        self._may_be_told = False
        """An earlier life may have told of it, and nobody knows: it is not told as open, but its end is. Not together with `_told`."""
        self._ends: tuple[datetime, ...] = ()
        """When it was resolved during the last day."""
        self._lasted_at: datetime | None = None
        """When it was told last that what flapped lasts."""

    @property
    def is_open(self) -> bool:
        """Whether the target was told of trouble, or may have been, and not yet that it is over."""
        return self._told is not None or self._may_be_told

    @property
    def changed_at(self) -> datetime:
        """Since when there is trouble, or none."""
        return self._changed_at

    def recall(self, trouble: Trouble, now: datetime, *, is_muted: bool) -> None:
        """Take up trouble that an earlier life saw. If that must have told of it, it is open; if it may have (before it could end, before a window closed,
        when it was more severe), at least its end is told: an end that nobody waits for does no harm, and one that is lacking is never made up for."""
        self.since = trouble.since or now
        unsure = 0.0 if self.policy.is_keeping else RECALL_SECONDS  # who keeps alerts knows what was told; a pause would end them there
        age = (now - self.since).total_seconds()
        if age >= self.policy.min_seconds + unsure and self._is_wanted(trouble, is_muted=is_muted):
            self._begin(trouble, now, reminded_from=self.since)
            if self._told and self.policy.is_keeping:
                self._told.repeat_at = now
        elif trouble.since is None or age >= self.policy.min_seconds:
            self._may_be_told = not troubles.severities(trouble.reason).isdisjoint(self.policy.target.severities)

    def move(self, *, is_raised: bool, now: datetime, since: datetime | None = None, is_known: bool = True) -> None:
        """Time went on until `now`, from when on there is trouble, or none.

        Args:
            is_raised: whether there is trouble, or was when something was known last.
            now: UTC.
            since: when the trouble began by the status; None if it does not say.
            is_known: whether the condition says something from now on. While it does not, time counts neither for trouble nor for its end.
        """
        passed = max(0.0, (now - self._at).total_seconds())
        self._at = max(now, self._at)
        if not self._is_known:
            self._well_from += timedelta(seconds=passed)
        elif self._is_raised:
            self._weight = min(self._weight + passed, self.policy.min_seconds)
        else:
            self._weight = max(self._weight - passed, 0.0)
        if self._ends:
            self._ends = tuple(end for end in self._ends if (now - end).total_seconds() < DAY_SECONDS)
        elif not self.is_open:
            self.flaps, self._lasted_at = 0, None
        self._is_known = is_known
        if is_raised is self._is_raised:
            return
        if is_raised:
            self._begin_again(min(now, since or now))
        self._is_raised, self._changed_at, self._well_from = is_raised, now, now

    def tell(self, trouble: Trouble, now: datetime, *, is_muted: bool) -> Phase | None:
        """What is to be told now; None if nothing is. It counts as told."""
        self.move(is_raised=self._is_raised, now=now, is_known=self._is_known)
        if self.is_open and (over_at := self._over_at()) and (over_at - now).total_seconds() <= _CLOSE_SECONDS:
            return self._resolve(now)
        if (told := self._told) is None:
            return self._open(trouble, now) if self._opens(trouble, is_muted=is_muted) else None
        is_reminder = told.repeat_at is not None and now >= told.repeat_at
        if not (self.policy.is_keeping and is_reminder):
            if is_muted or not self._is_raised:
                return None
            is_worse = trouble.severity.rank > told.severity.rank
            is_other = self._is_other(trouble, told) and now >= told.update_at
            lasts_at = self._lasts_at(told)
            is_lasting = lasts_at is not None and now >= lasts_at
            if not (is_worse or is_reminder or is_other or is_lasting):
                return None
            if is_other:
                told.update_seconds *= 2
            if is_lasting:
                self._lasted_at, told.began, told.has_flapped = now, now, False
        told.severity, told.message, told.at = trouble.severity, trouble.message, now
        told.update_at = now + timedelta(seconds=told.update_seconds)
        told.repeat_at = self._next_repeat(now, told)
        return Phase.UPDATED

    def next_at(self, trouble: Trouble, *, is_muted: bool) -> datetime | None:
        """When `tell` may have something to say although nothing changes, or there is something to forget; None if never. As of the last `move`."""
        if self.is_over():
            return None
        if (told := self._told) is None:
            if not self._is_raised and self._may_be_told:
                return self._over_at()
            if not self._is_raised:
                forgotten = [end + timedelta(seconds=DAY_SECONDS) for end in self._ends[-1:]]
                fades = [self._well_from + timedelta(seconds=self.policy.min_seconds)] if self._is_known else []
                return max([*forgotten, *fades], default=None)
            left = self.policy.min_seconds - self._weight
            return self._at + timedelta(seconds=left) if self._is_known and self._is_wanted(trouble, is_muted=is_muted) else None
        kept_at = told.repeat_at if self.policy.is_keeping else None
        if not self._is_raised:
            return _earliest(self._over_at(), kept_at)
        if is_muted:
            return kept_at
        if trouble.severity.rank > told.severity.rank:
            return self._at
        return _earliest(told.repeat_at, told.update_at if self._is_other(trouble, told) else None, self._lasts_at(told))

    def is_over(self) -> bool:
        """Whether there is nothing to remember as of the last `move`."""
        return not (self._is_raised or self.is_open or self._ends or self._weight >= _CLOSE_SECONDS)

    def _is_wanted(self, trouble: Trouble, *, is_muted: bool) -> bool:
        return trouble.severity in self.policy.target.severities and not is_muted

    def _opens(self, trouble: Trouble, *, is_muted: bool) -> bool:
        has_lasted = self._is_raised and self._is_known and self._weight + _CLOSE_SECONDS >= self.policy.min_seconds
        return has_lasted and self._is_wanted(trouble, is_muted=is_muted)

    def _open(self, trouble: Trouble, now: datetime) -> Phase:
        self.returns = len(self._ends)
        is_late = (now - self.since).total_seconds() > FLAP_QUIET_SECONDS
        self._begin(trouble, now, reminded_from=now if is_late else self.since)
        return Phase.OPENED

    def _begin(self, trouble: Trouble, now: datetime, *, reminded_from: datetime) -> None:
        update_at = now + timedelta(seconds=FIRST_UPDATE_SECONDS)
        self._told = _Told(trouble.severity, trouble.message, now, reminded_from, None, update_at, has_flapped=bool(self._ends))
        self._told.repeat_at = self._next_repeat(now, self._told)
        self._may_be_told = False

    def _begin_again(self, since: datetime) -> None:
        """There is trouble again, or for the first time."""
        if self.is_open or self._ends:
            self.flaps += 1
        if told := self._told:
            told.has_flapped = True
            if told.repeat_at is not None and not self.policy.is_keeping:
                told.repeat_at = max(told.repeat_at, self._next_repeat(told.at, told) or told.repeat_at)
        elif self._weight < _CLOSE_SECONDS and not self._may_be_told:
            self.since = since

    def _resolve(self, now: datetime) -> Phase:
        self._told, self._may_be_told, self._weight = None, False, 0.0
        self._ends = (*self._ends, now)
        return Phase.RESOLVED

    def _is_other(self, trouble: Trouble, told: _Told) -> bool:
        """Whether there is another text that may be told in time: one that flaps changes it all the time."""
        return trouble.message != told.message and not told.has_flapped

    def _lasts_at(self, told: _Told) -> datetime | None:
        """When it is to be told that what flapped before is there to stay: nobody heard of trouble since it was one of many. None if never."""
        if not (told.has_flapped and self._is_raised and self._is_known) or self._changed_at <= told.at:
            return None
        at = self._changed_at + timedelta(seconds=LASTING_SECONDS)
        return max(at, self._lasted_at + timedelta(seconds=DAY_SECONDS)) if self._lasted_at else at

    def _over_at(self) -> datetime | None:
        """When it is over if there is no trouble until then; None while there is some, or nothing is known."""
        return self._well_from + timedelta(seconds=self._quiet_seconds) if self._is_known and not self._is_raised else None

    @property
    def _quiet_seconds(self) -> float:
        """How long it has to be well until it is over."""
        return max(self.policy.min_seconds, (0.0, FLAP_QUIET_SECONDS, DAY_SECONDS)[min(self.returns, 2)])

    def _next_repeat(self, now: datetime, told: _Told) -> datetime | None:
        """When to remind of it. Of what flaps a day after it was told, as a summary; of what goes on at the first whole multiple of the repeat interval
        that lies ahead, since it was opened, or, if that was soon after the trouble began, since then: a restart knows of no other moment. Where alerts
        are kept at the same moment for all."""
        pause = self.policy.repeat_seconds
        if not pause:
            return None
        if self.policy.is_keeping:
            return _multiple(_EPOCH, pause, now)
        if told.has_flapped:
            return now + timedelta(seconds=max(pause, DAY_SECONDS))
        return _multiple(told.began, pause, now)


def _multiple(began: datetime, pause: float, now: datetime) -> datetime:
    """The first whole multiple of `pause` seconds since `began` that lies ahead of `now`."""
    ahead = began + timedelta(seconds=(max(0.0, (now - began).total_seconds()) // pause + 1) * pause)
    return ahead if ahead > now else ahead + timedelta(seconds=pause)  # fractions of seconds are not exact


def _earliest(*moments: datetime | None) -> datetime | None:
    return min((at for at in moments if at), default=None)
