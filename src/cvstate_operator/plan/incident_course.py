"""The course of one incident for one target: when it is opened, updated and resolved. Pure. The rules are told in `plan/incidents.py`."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from cvstate_operator.api.duration import parse_seconds
from cvstate_operator.api.notices import NoticeSeverity, NoticeTarget, NoticeType
from cvstate_operator.plan.troubles import Trouble

FLAP_QUIET_SECONDS: Final = 3600.0
"""How long something has to be well that came back: longer than most causes need to show themselves again."""
CALM_SECONDS: Final = 2 * FLAP_QUIET_SECONDS
"""After so long without trouble on end, what was is forgotten. Longer than FLAP_QUIET_SECONDS, or that would never count."""
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
    repeat_at: datetime | None
    update_at: datetime
    has_flapped: bool
    update_seconds: float = FIRST_UPDATE_SECONDS


class Course:
    """See the module."""

    __slots__ = ("_at", "_changed_at", "_is_raised", "_told", "_was_resolved", "_weight", "policy", "returns", "since")

    def __init__(self, policy: Policy, now: datetime) -> None:
        self.policy = policy
        self.since = now
        """When the trouble began that an open incident tells of, or that may become one."""
        self.returns = 0
        """How often it was resolved and came back lately."""
        self._is_raised = False
        self._changed_at = self._at = now
        self._weight = 0.0
        """Seconds of trouble less those of well-being as of `_at`, from 0 to `policy.min_seconds`."""
        self._told: _Told | None = None
        """None: not open."""
        self._was_resolved = False
        """It was open before, and CALM_SECONDS are not over."""

    @property
    def is_open(self) -> bool:
        """Whether the target was told of trouble, and not yet that it is over."""
        return self._told is not None

    @property
    def changed_at(self) -> datetime:
        """Since when there is trouble, or none."""
        return self._changed_at

    def recall(self, trouble: Trouble, now: datetime, *, is_muted: bool) -> None:
        """Take up trouble that an earlier life saw; if that must have told of it, it is open."""
        self.since = trouble.since or now
        is_old = (now - self.since).total_seconds() >= self.policy.min_seconds + RECALL_SECONDS
        if is_old and self._is_wanted(trouble, is_muted=is_muted):
            self._begin(trouble, now)
            if self._told and self.policy.is_keeping:
                self._told.repeat_at = now

    def move(self, *, is_raised: bool, now: datetime) -> None:
        """Time went on until `now`, from when on there is trouble, or none."""
        passed = max(0.0, (now - self._at).total_seconds())
        self._at = max(now, self._at)
        if self._is_raised:
            self._weight = min(self._weight + passed, self.policy.min_seconds)
        else:
            self._weight = max(self._weight - passed, 0.0)
            if self._was_resolved and self._told is None and self._well_seconds() >= CALM_SECONDS:
                self._was_resolved, self.returns = False, 0
        if is_raised is self._is_raised:
            return
        if is_raised and self._told:
            self._told.has_flapped = True
        elif is_raised and self._weight < _CLOSE_SECONDS:
            self.since = now
        self._is_raised, self._changed_at = is_raised, now

    def tell(self, trouble: Trouble, now: datetime, *, is_muted: bool) -> Phase | None:
        """What is to be told now; None if nothing is. It counts as told."""
        self.move(is_raised=self._is_raised, now=now)
        if (told := self._told) is None:
            return self._open(trouble, now) if self._opens(trouble, is_muted=is_muted) else None
        if not self._is_raised:
            return self._resolve() if self._well_seconds() + _CLOSE_SECONDS >= self._quiet_seconds else None
        if is_muted and not self.policy.is_keeping:
            return None
        is_worse = trouble.severity.rank > told.severity.rank
        is_reminder = told.repeat_at is not None and now >= told.repeat_at
        is_other = self._is_other(trouble, told) and now >= told.update_at
        if not (is_worse or is_reminder or is_other):
            return None
        if is_other:
            told.update_seconds *= 2
        told.severity, told.message = trouble.severity, trouble.message
        told.update_at = now + timedelta(seconds=told.update_seconds)
        told.repeat_at = self._next_repeat(now)
        return Phase.UPDATED

    def next_at(self, trouble: Trouble, *, is_muted: bool) -> datetime | None:
        """When `tell` may have something to say although nothing changes, or there is something to forget; None if never. As of the last `move`."""
        if (told := self._told) is None:
            if not self._is_raised:
                return self._changed_at + timedelta(seconds=CALM_SECONDS if self._was_resolved else self.policy.min_seconds)
            left = self.policy.min_seconds - self._weight
            return self._at + timedelta(seconds=left) if self._is_wanted(trouble, is_muted=is_muted) else None
        if not self._is_raised:
            return self._changed_at + timedelta(seconds=self._quiet_seconds)
        if is_muted and not self.policy.is_keeping:
            return None
        if trouble.severity.rank > told.severity.rank:
            return self._at
        update_at = told.update_at if self._is_other(trouble, told) else None
        return min((at for at in (told.repeat_at, update_at) if at), default=None)

    def is_over(self) -> bool:
        """Whether there is nothing to remember as of the last `move`."""
        return not (self._is_raised or self._told or self._was_resolved or self._weight >= _CLOSE_SECONDS)

    def _is_wanted(self, trouble: Trouble, *, is_muted: bool) -> bool:
        return trouble.severity in self.policy.target.severities and not is_muted

    def _opens(self, trouble: Trouble, *, is_muted: bool) -> bool:
        has_lasted = self._is_raised and self._weight + _CLOSE_SECONDS >= self.policy.min_seconds
        return has_lasted and self._is_wanted(trouble, is_muted=is_muted)

    def _open(self, trouble: Trouble, now: datetime) -> Phase:
        if self._was_resolved:
            self.returns += 1
        self._begin(trouble, now)
        return Phase.OPENED

    def _begin(self, trouble: Trouble, now: datetime) -> None:
        update_at = now + timedelta(seconds=FIRST_UPDATE_SECONDS)
        self._told = _Told(trouble.severity, trouble.message, self._next_repeat(now), update_at, has_flapped=self._was_resolved)

    def _resolve(self) -> Phase:
        self._told, self._was_resolved, self._weight = None, True, 0.0
        return Phase.RESOLVED

    def _is_other(self, trouble: Trouble, told: _Told) -> bool:
        """Whether there is another text that may be told in time: one that flaps changes it all the time."""
        return trouble.message != told.message and not told.has_flapped

    def _well_seconds(self) -> float:
        return 0.0 if self._is_raised else (self._at - self._changed_at).total_seconds()

    @property
    def _quiet_seconds(self) -> float:
        """How long it has to be well until it is over."""
        return max(self.policy.min_seconds, FLAP_QUIET_SECONDS) if self._was_resolved else self.policy.min_seconds

    def _next_repeat(self, now: datetime) -> datetime | None:
        """The first whole multiple of the repeat interval that lies ahead; where alerts are kept not since the trouble began, so that all are told together."""
        pause = self.policy.repeat_seconds
        if not pause:
            return None
        began = _EPOCH if self.policy.is_keeping else self.since
        ahead = began + timedelta(seconds=(max(0.0, (now - began).total_seconds()) // pause + 1) * pause)
        return ahead if ahead > now else ahead + timedelta(seconds=pause)  # fractions of seconds are not exact
