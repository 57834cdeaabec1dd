"""The remedy: what is done about the drifts of one object now. Pure: time is an argument.

Each drift goes down this table until a row holds:

    matched by spec.drift.ignore, or a rule says Ignore    none of ours: not reported, not repaired
    a rule says Alert                                      reported
    a rule says Approve, and nobody agreed                 reported, waits
    another manager holds it, and conflicts is Yield       reported, left to that one
    nothing may be written now                             reported, repaired later
    younger than transientFor                              reported, repaired if it lasts
    its breaker is open                                    reported, probed later
    otherwise                                              repaired

A field that Git does not have goes down the same table; with extraFields Report it is reported and no more, with Remove it is taken away by the last row.
Where a value is as declared but another manager's by now, it is taken back by the last row, and by the others left alone without a word.

The first matching rule of spec.drift.rules decides on severity and action. What is not repaired is left out of the apply that repairs the rest;
if one of those concerns the object as a whole (it is gone, or a value inside a field of ours changed), nothing can be written at all.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from cvstate_operator.api.drift import Drift, DriftAction, ExtraFields
from cvstate_operator.api.duration import parse_seconds
from cvstate_operator.drift import rules
from cvstate_operator.drift.breaker import Breakers, Key
from cvstate_operator.drift.coverage import FieldDrift
from cvstate_operator.drift.ignores import LeftOut
from cvstate_operator.drift.ledger import DriftLedger, Entry, State
from cvstate_operator.drift.rules import Judged
from cvstate_operator.objects.identity import ObjectRef
from cvstate_operator.objects.manifest import Body


@dataclass(frozen=True, slots=True)
class Case:
    """One object that drifted."""

    ref: ObjectRef
    uid: str
    """Empty if the object is gone."""
    body: Body
    """As Git has it."""
    ignored: LeftOut
    """What spec.drift.ignore comes to for it."""
    drifts: Sequence[FieldDrift]
    live: Mapping[str, Any] = field(default_factory=dict)
    """The object as it is; only needed with `extras`."""
    extras: Sequence[FieldDrift] = ()
    """Fields that no declared owner set, as spec.drift.extraFields wants them told."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What decides besides the drift itself."""

    spec: Drift
    yields: bool
    """Whether fields that other managers hold are left to them."""
    is_blocked: bool
    """Whether nothing may be written now."""
    is_approved: Callable[[FieldDrift], bool]
    """Whether a person agreed to the repair of exactly this drift."""


@dataclass(frozen=True, slots=True)
class Remedy:
    """What is done about the drifts of one object."""

    entries: tuple[Entry, ...] = ()
    """Everything that is reported."""
    ignored: tuple[str, ...] = ()
    """JSON pointers of drifts that are nobody's business."""
    again_at: datetime | None = None
    """When one that is held now may be repaired; None if that is not a matter of time."""

    @property
    def repaired(self) -> tuple[FieldDrift, ...]:
        """What an apply puts back now; empty if nothing can be."""
        if not self.entries or "" in self.left_out:
            return ()
        return tuple(drift for drift in self._repairing if not drift.is_extra)

    @property
    def removed(self) -> tuple[FieldDrift, ...]:
        """What is taken away now: fields that Git does not have."""
        return tuple(drift for drift in self._repairing if drift.is_extra) if self.entries else ()

    @property
    def _repairing(self) -> tuple[FieldDrift, ...]:
        return tuple(entry.drift for entry in self.entries if entry.state is State.REPAIRING)

    @property
    def left_out(self) -> tuple[str, ...]:
        """JSON pointers of the fields that the apply must not carry, sorted."""
        return tuple(
            sorted([*self.ignored, *(e.drift.path for e in self.entries if e.state is not State.REPAIRING and not e.drift.is_extra)])
        )


def remedy(case: Case, policy: Policy, ledger: DriftLedger, breakers: Breakers, now: datetime) -> Remedy:
    """Decide on every drift of an object; see the table at the top of this module.

    Args:
        case: the object and its drifts.
        policy: what decides.
        ledger: when each drift was first seen.
        breakers: of all objects; told of each drift, and asked.
        now: UTC.
    """
    entries: list[Entry] = []
    ignored: list[str] = []
    again: list[datetime] = []
    for drift in (*case.drifts, *case.extras):
        body = case.live if drift.is_extra else case.body
        if case.ignored.covers(drift, body):
            continue
        verdict = rules.decide(policy.spec.rules, drift, case.ref, body)
        if verdict.action is DriftAction.IGNORE:
            ignored += [] if drift.is_extra else [drift.path]
            continue
        if drift.is_extra and policy.spec.extra_fields is ExtraFields.REPORT:
            verdict = replace(verdict, action=DriftAction.ALERT)
        first_seen = ledger.first_seen(case.ref, drift.path, now)
        if ledger.wants_another(case.ref, drift):
            breakers.reset(Key.of(case.ref, case.uid, drift.path))
        state, due = _state(Judged(drift, verdict), case, policy, breakers, first_seen=first_seen, now=now)
        if state is not State.REPAIRING and drift.path and drift.live == drift.desired:
            # As declared, but another manager's by now: nothing to report, and not ours to take back.
            ignored.append(drift.path)
            continue
        entries.append(Entry(drift, verdict.severity, verdict.action, state, first_seen))
        again += [due] if due else []
    return Remedy(tuple(entries), tuple(ignored), min(again, default=None))


def _state(
    judged: Judged, case: Case, policy: Policy, breakers: Breakers, *, first_seen: datetime, now: datetime
) -> tuple[State, datetime | None]:
    """What is done about one drift, and when that may change by itself."""
    drift = judged.drift
    if judged.verdict.action is DriftAction.ALERT:
        return State.ALERTED, None
    if judged.verdict.action is DriftAction.APPROVE and not policy.is_approved(drift):
        return State.AWAITING_APPROVAL, None
    if policy.yields and not drift.is_extra and drift.is_held:
        return State.YIELDED, None
    if policy.is_blocked:
        return State.HELD, None
    settles = first_seen + timedelta(seconds=parse_seconds(policy.spec.transient_for))
    if now < settles:
        return State.TRANSIENT, settles
    key = Key.of(case.ref, case.uid, drift.path)
    if not breakers.allows(key, now.timestamp(), drift.manager):
        return State.BREAKER_OPEN, breakers.changes_at(key, now.timestamp())
    return State.REPAIRING, None
