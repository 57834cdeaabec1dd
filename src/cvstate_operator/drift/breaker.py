"""The breaker: ends a fight with another writer over one field, and only that. Pure: time is an argument.

    closed     repairs are made. When a field drifts that was repaired `reversals` times within `within`: open.
    open       no repair; the rival is named. After `half_open_after`: half open.
    half open  one repair may be made, as a probe: probing. The same if the field was found as declared by itself, in open too. A person who asks for a
               reconcile need not wait for it.
    probing    no repair. If the field drifts within `within`: open again. If not: closed, and everything is forgotten.

So a rival who always undoes us sees at most `reversals` writes in any `within`, and after that one for every `half_open_after`.
A repair is one that the API server confirmed: while it is away, or answers with errors, nothing is counted, however often we try. One that was made and
whose answer was lost is missing in the count, so that such a fight ends a little later.

Per object and field, so that a person who edits many fields, or many objects, never opens one. Times are seconds since the epoch, since the
state outlives the process; when the clock is set back, what lies in the future counts as now.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple

from cvstate_operator.api import drift as api
from cvstate_operator.api.drift import MAX_REVERSALS
from cvstate_operator.api.duration import parse_seconds
from cvstate_operator.objects.identity import ObjectRef

RIVAL_CHARACTERS: Final = 128
"""Longest manager name that the API server accepts (apimachinery, validation of managedFields)."""


class State(StrEnum):
    """What may be done about a field."""

    CLOSED = "Closed"
    OPEN = "Open"
    HALF_OPEN = "HalfOpen"
    PROBING = "Probing"


@dataclass(frozen=True, slots=True)
class Limits:
    """When a breaker opens, and when it tries again."""

    reversals: int
    """At least 1."""
    within_seconds: float
    half_open_after_seconds: float

    @classmethod
    def of(cls, spec: api.Breaker) -> "Limits":
        """As a ClusterState says."""
        return cls(spec.reversals, parse_seconds(spec.within), parse_seconds(spec.half_open_after))


class Key(NamedTuple):
    """Which field of which object."""

    object: str
    """Its uid; a new object of the same name starts anew."""
    path: str
    """JSON pointer."""

    @classmethod
    def of(cls, ref: ObjectRef, uid: str, path: str) -> "Key":
        """The key of a drift. An object that somebody deletes again and again has another uid each time, so that fight is known by its name."""
        return cls(uid if path and uid else str(ref), path)


@dataclass(frozen=True, slots=True)
class Breaker:
    """The history of one field, as far as it matters."""

    repairs: tuple[float, ...] = ()
    """When it was repaired while closed, oldest first; no more than `reversals`."""
    opened_at: float | None = None
    probed_at: float | None = None
    """When the probe since then was made; None if it was not yet."""
    rival: str = ""
    """Field manager that undid the last repair; empty if nobody knows."""

    def state(self, now: float, limits: Limits) -> State:
        """What may be done about the field now: a repair in `CLOSED` and `HALF_OPEN` alone."""
        if self.opened_at is None:
            return State.CLOSED
        if self.probed_at is not None:
            return State.PROBING if now < self.probed_at + limits.within_seconds else State.CLOSED
        return State.OPEN if now < self.opened_at + limits.half_open_after_seconds else State.HALF_OPEN

    def drifted(self, now: float, manager: str, limits: Limits) -> "Breaker":
        """The field is not as declared. To say so again without a repair between changes nothing."""
        this = self._at(now, limits)
        match this.state(now, limits):
            case State.CLOSED if len(this.repairs) >= limits.reversals:
                return this._opened(now, manager)
            case State.PROBING:
                return this._opened(now, manager)
            case _:
                return this

    def note(self, repaired_at: float, manager: str, limits: Limits) -> "Breaker":
        """A repair was made, of what `manager` did: the API server said so."""
        this = self._at(repaired_at, limits)
        if this.opened_at is None:
            return replace(this, repairs=(*this.repairs, repaired_at)[-limits.reversals :], rival=manager[:RIVAL_CHARACTERS])
        return replace(this, probed_at=repaired_at)

    def settled(self, now: float, limits: Limits) -> "Breaker":
        """The field is as declared, whoever did it."""
        this = self._at(now, limits)
        return replace(this, probed_at=now) if this.state(now, limits) in (State.OPEN, State.HALF_OPEN) else this

    def is_idle(self, now: float, limits: Limits) -> bool:
        """Whether it is as good as none."""
        return self._at(now, limits) == Breaker()

    def _opened(self, now: float, manager: str) -> "Breaker":
        return Breaker(opened_at=now, rival=manager[:RIVAL_CHARACTERS] or self.rival)

    def _at(self, now: float, limits: Limits) -> "Breaker":
        """Without what is over; no time is in the future."""
        if self.state(now, limits) is State.CLOSED:
            recent = tuple(min(at, now) for at in self.repairs if at > now - limits.within_seconds)
            return Breaker(recent, rival=self.rival if recent else "")
        return replace(self, opened_at=_earlier(self.opened_at, now), probed_at=_earlier(self.probed_at, now))


def _earlier(at: float | None, now: float) -> float | None:
    return None if at is None else min(at, now)


@dataclass(slots=True)
class Breakers:
    """The breakers of one ClusterState. Mutable; owned by one reconciler."""

    limits: Limits
    _fields: dict[Key, Breaker] = field(default_factory=dict)
    _paths: dict[str, set[str]] = field(default_factory=dict)
    """Paths in `_fields`, by object: an object is asked for more often than there is anything to say."""
    _grave: set[Key] = field(default_factory=set)
    """Keys of `_fields` that are or were open, or were repaired more than once; few, while many fields are repaired once."""

    def __post_init__(self) -> None:
        fields, self._fields = self._fields, {}
        for key, breaker in fields.items():
            self._keep(key, breaker)

    def allows(self, key: Key, now: float, manager: str) -> bool:
        """Whether a field that drifted may be repaired now. `manager`: who did it, as far as is known."""
        breaker = self._fields.get(key, Breaker()).drifted(now, manager, self.limits)
        self._keep(key, breaker)
        return breaker.state(now, self.limits) in (State.CLOSED, State.HALF_OPEN)

    def note(self, key: Key, repaired_at: float, manager: str) -> None:
        """The field was repaired: the API server said so. `manager`: who had made it drift, as far as is known."""
        self._keep(key, self._fields.get(key, Breaker()).note(repaired_at, manager, self.limits))

    def settle(self, objects: Collection[str], drifted: Collection[str], now: float) -> None:
        """An object was looked at: its fields other than `drifted` (JSON pointers) are as declared.

        Args:
            objects: its uid and its name, as in keys.
            drifted: paths that drift; with an empty one among them nothing is known of the others.
            now: when.
        """
        if "" in drifted:
            return
        for key in [Key(name, path) for name in objects for path in self._paths.get(name, ()) if path not in drifted]:
            self._keep(key, self._fields[key].settled(now, self.limits))

    def open(self, now: float) -> Mapping[Key, Breaker]:
        """Fields that are left alone, or were probed and have not held long enough yet; sorted by key."""
        return {key: self._fields[key] for key in sorted(self._grave) if self._fields[key].state(now, self.limits) is not State.CLOSED}

    def remembered(self, now: float) -> tuple[tuple[Key, Breaker], ...]:
        """What would be missed after a restart: fields that are left alone or were probed, and those repaired more than once.

        Open ones come first, and of each kind the latest: whoever keeps only some of them loses a few more writes after a restart.
        """
        found = [(key, self._fields[key]._at(now, self.limits)) for key in self._grave]
        found.sort(key=lambda entry: (entry[1].opened_at is None, -_latest(entry[1]), entry[0]))
        return tuple((key, breaker) for key, breaker in found if _is_grave(breaker))

    def changes_at(self, key: Key, now: float) -> datetime | None:
        """When a field that is left alone may be repaired again: its next probe, or the end of one; None if it is not left alone."""
        breaker = self._fields.get(key, Breaker())
        if breaker.opened_at is None:
            return None
        if breaker.probed_at is not None:
            at = min(breaker.probed_at, now) + self.limits.within_seconds
        else:
            at = min(breaker.opened_at, now) + self.limits.half_open_after_seconds
        return datetime.fromtimestamp(at, UTC)

    def knows(self, *objects: str) -> bool:
        """Whether anything is remembered of an object, by its uid or its name."""
        return any(name in self._paths for name in objects)

    def half_open(self, now: float) -> None:
        """A person asked: one repair may be made of each field that is left alone, now."""
        for key in list(self._grave):
            breaker = self._fields[key]
            if breaker.state(now, self.limits) is State.OPEN:
                self._keep(key, replace(breaker, opened_at=now - self.limits.half_open_after_seconds))

    def tidy(self, now: float, objects: Collection[str]) -> None:
        """Forget what is over, and objects other than these (uids and names, as in keys)."""
        for key, breaker in list(self._fields.items()):
            if key.object not in objects or breaker.is_idle(now, self.limits):
                self._keep(key, Breaker())

    def reset(self, key: Key) -> None:
        """A person, or a commit that changes the field, ends the wait."""
        self._keep(key, Breaker())

    @classmethod
    def load(cls, saved: Any, limits: Limits) -> "Breakers":
        """Read a list of what `to_json` gave. Anything else in it is left out: nobody is kept from repairing by what cannot be read."""
        return cls(limits, dict(_read(saved)))

    def _keep(self, key: Key, breaker: Breaker) -> None:
        self._grave.discard(key)
        if breaker != Breaker():
            self._fields[key] = breaker
            self._paths.setdefault(key.object, set()).add(key.path)
            if _is_grave(breaker):
                self._grave.add(key)
        elif self._fields.pop(key, None):
            paths = self._paths[key.object]
            paths.discard(key.path)
            if not paths:
                del self._paths[key.object]


def _is_grave(breaker: Breaker) -> bool:
    """Whether it would be missed after a restart."""
    return breaker.opened_at is not None or len(breaker.repairs) > 1


def _latest(breaker: Breaker) -> float:
    return max((*breaker.repairs, breaker.opened_at or 0.0, breaker.probed_at or 0.0))


def to_json(key: Key, breaker: Breaker) -> dict[str, Any]:
    """One breaker as the status tells it (`BreakerStatus`), but for the name of the object; times to the microsecond."""
    told = {
        "key": key.object,
        "path": key.path,
        "manager": breaker.rival,
        "openedAt": _told(breaker.opened_at),
        "probedAt": _told(breaker.probed_at),
        "repairs": [_told(at) for at in breaker.repairs],
    }
    return {name: value for name, value in told.items() if value or name == "path"}


def _read(saved: Any) -> Iterator[tuple[Key, Breaker]]:
    for entry in saved if isinstance(saved, list) else ():
        match entry:
            case {"key": str(name), "path": str(path)} if isinstance(repairs := entry.get("repairs", []), list):
                try:
                    opened_at, probed_at = _moment(entry.get("openedAt")), _moment(entry.get("probedAt"))
                    times = sorted(at for repair in repairs if (at := _moment(repair)) is not None)
                except (TypeError, ValueError):
                    continue
                rival = str(entry.get("manager") or "")[:RIVAL_CHARACTERS]
                yield Key(name, path), Breaker(tuple(times)[-MAX_REVERSALS:], opened_at, probed_at, rival)


def _told(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _moment(text: Any) -> float | None:
    """Seconds since the epoch.

    Raises:
        TypeError, ValueError: it is no time with a zone.
    """
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("no time zone")
    return moment.timestamp()
