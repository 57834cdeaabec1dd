"""The drift stage of one ClusterState: which fields drifted, what is done about each, and what an apply must leave alone. Keeps the ledger and the breakers."""

import hashlib
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import orjson

from cvstate_operator import errors
from cvstate_operator.api.change_plan import PlanAction
from cvstate_operator.api.conditions import Reason
from cvstate_operator.api.drift import Breaker, DriftAction, ExtraFields
from cvstate_operator.api.names import FIELD_MANAGER
from cvstate_operator.api.windows import WindowAction
from cvstate_operator.drift import ignores, rules
from cvstate_operator.drift.breaker import Breakers, Key, Limits
from cvstate_operator.drift.coverage import FieldDrift, field_drifts, value_at
from cvstate_operator.drift.difference import differences
from cvstate_operator.drift.extras import extras
from cvstate_operator.drift.field_set import ownership as field_ownership
from cvstate_operator.drift.ignores import LeftOut
from cvstate_operator.drift.ledger import DriftLedger, Entry, State
from cvstate_operator.drift.matching import is_named, locate
from cvstate_operator.drift.remedy import Case, Policy, Remedy, remedy
from cvstate_operator.objects import ownership
from cvstate_operator.objects.identity import ObjectRef
from cvstate_operator.objects.live import Live
from cvstate_operator.objects.manifest import Body
from cvstate_operator.objects.redaction import is_secret, one_line, shown
from cvstate_operator.plan.changes import Action, Change
from cvstate_operator.plan.consent import Item
from cvstate_operator.reconcile.orders import Orders
from cvstate_operator.reconcile.outcome import Fight, Waits
from cvstate_operator.reconcile.ports import World

NO_REMEDY: Final = Remedy()
NOTHING_LEFT_OUT: Final = LeftOut()
"""What holds of nearly every object, and need not be made for each."""


@dataclass(frozen=True, slots=True)
class Look:
    """What was found about one object that is to be applied."""

    remedy: Remedy = NO_REMEDY
    left_out: LeftOut = NOTHING_LEFT_OUT
    """What the apply leaves alone."""
    live: Mapping[str, Any] | None = None
    """The object it was decided on; None if that did not matter."""
    is_final: bool = True
    """Whether nothing about it needs another look until a field of ours changes."""


class DriftStage:
    """Not for concurrent use on one object."""

    def __init__(self, world: World, *, owner: str, status: Mapping[str, Any]) -> None:
        """
        Args:
            world: everything outside.
            owner: ApplySet id.
            status: of an earlier life; first moments and breakers are taken over from it.
        """
        self._world = world
        self._owner = owner
        self._waits: dict[ObjectRef, tuple[Waits, ...]] = {}
        self.ledger = DriftLedger()
        self.ledger.recall((status.get("drift") or {}).get("sample") or ())
        self._names: dict[str, str] = {
            str(entry.get("key")): str(entry.get("object")) for entry in status.get("breakers") or () if isinstance(entry, Mapping)
        }
        """Of objects with breakers, by their keys."""
        self.breakers = Breakers.load(status.get("breakers"), Limits.of(Breaker()))

    # -- looking ---------------------------------------------------------------------------------------------------

    async def look(self, change: Change, body: Body, orders: Orders) -> Look:
        """Find out how a desired object drifted, and what is done about it.

        Raises:
            CvstateError: the live object could not be read.
        """
        assert change.manifest is not None  # prunes are not looked at  # noqa: S101
        self.breakers.limits = orders.limits
        ignored = self._ignored(change.ref, body, orders)
        if change.live is None:
            if change.action is Action.CREATE and not self.breakers.knows(str(change.ref)):
                self._forget((change.ref,))
                return Look(left_out=ignored, is_final=self._may_rest(orders) and not ignored.managers)
            return await self._look_at_absent(change, body, ignored, orders)
        needs_no_look = not ignored and orders.is_plain and not self._is_held(change)
        if change.action is Action.UPDATE and needs_no_look and (change.live.is_settled or not self._is_blocked(change, orders)):
            return Look(is_final=self._may_rest(orders))
        live = await self._live(change)
        drifts = self._drifts(change, body, live)
        if not orders.is_plain or self._is_blocked(change, orders):
            drifts = await self._as_spelled(change, body, drifts)
        return self._judge(change, body, ignored, drifts, orders, live=live)

    async def survey(self, change: Change, body: Body, orders: Orders) -> None:
        """Find out by a dry run how an object differs that may not be written, and may not even be ours.

        Raises:
            CvstateError: it could not be read, or the API server would not take it as Git has it.
        """
        assert change.manifest is not None  # prunes are not looked at  # noqa: S101
        found = await self._world.cluster.preview(change.manifest, body, owner=self._owner)
        if found.error:
            raise found.error
        drifts: tuple[FieldDrift, ...] = (FieldDrift("", "present", None, "", ""),)
        if found.live is not None and found.planned is not None:
            told = differences(found.live, found.planned, manager=FIELD_MANAGER)
            drifts = tuple(FieldDrift(c.path, c.after, c.before, c.manager, c.since) for c in told.changes)
        now, spelled = self._world.clock.now(), found.planned or body
        ignored = self._ignored(change.ref, body, orders)
        entries = []
        for drift in drifts:
            verdict = rules.decide(orders.spec.drift.rules, drift, change.ref, spelled)
            if verdict.action is not DriftAction.IGNORE and not ignored.covers(drift, spelled):
                first_seen = self.ledger.first_seen(change.ref, drift.path, now)
                entries.append(Entry(drift, verdict.severity, verdict.action, State.HELD, first_seen))
        # A dry run tells nothing of fields that Git does not declare.
        self._note(change.ref, entries, drifts, is_compared=lambda drift: found.live is not None and not drift.is_extra)

    @staticmethod
    def _ignored(ref: ObjectRef, body: Body, orders: Orders) -> LeftOut:
        """What the ignores of the spec come to for an object."""
        declared = orders.spec.drift.ignore
        return ignores.select(declared, ref, body["metadata"].get("labels") or {}) if declared else NOTHING_LEFT_OUT

    async def _as_spelled(self, change: Change, body: Body, drifts: tuple[FieldDrift, ...]) -> tuple[FieldDrift, ...]:
        """The same, where a value is as declared in other words: `1` for `1000m`. Only the API server can tell, by a dry run.

        Needed for drift that is not repaired: a repair would end it either way.
        """
        assert change.manifest is not None  # prunes are not looked at  # noqa: S101
        if not any(drift.is_held and drift.live != drift.desired for drift in drifts):
            return drifts
        found = await self._world.cluster.preview(change.manifest, body, owner=self._owner)
        if found.planned is None:
            return drifts
        places = [locate(drift.path, body) for drift in drifts]
        return tuple(
            replace(drift, desired=drift.live) if drift.is_held and value_at(found.planned, place) == drift.live else drift
            for drift, place in zip(drifts, places, strict=True)
        )

    async def _look_at_absent(self, change: Change, body: Body, ignored: LeftOut, orders: Orders) -> Look:
        """An object that is not there, or is there and lost our label, which looks the same from afar."""
        assert change.manifest is not None  # prunes are not looked at  # noqa: S101
        resource = self._world.cluster.resource(change.manifest.gvk)
        if change.action is not Action.REPAIR or resource is None:
            return self._judge(change, body, ignored, (), orders, live=None)
        live = await self._world.cluster.read(resource, change.ref)
        drifts = self._drifts(change, body, live) if live else (FieldDrift("", "present", None, "", ""),)
        return self._judge(change, body, ignored, drifts, orders, live=live)

    async def yielding(self, change: Change, look: Look, pointers: Iterable[str]) -> Look:
        """The same, with fields left out that others turned out to hold.

        Raises:
            CvstateError: the live object could not be read.
        """
        live = await self._world.cluster.read(change.live.resource, change.ref) if change.live else None
        return replace(look, left_out=look.left_out.with_fields(pointers), live=live, is_final=False)

    def _judge(
        self,
        change: Change,
        body: Body,
        ignored: LeftOut,
        drifts: tuple[FieldDrift, ...],
        orders: Orders,
        *,
        live: Mapping[str, Any] | None,
    ) -> Look:
        now = self._world.clock.now()
        uid = change.live.uid if change.live else ""
        extra = self._extras(body, live, ignored, orders)
        found = remedy(
            Case(change.ref, uid, body, ignored, drifts, live or {}, extra), self._policy(change, orders), self.ledger, self.breakers, now
        )
        self.breakers.settle({uid, str(change.ref)} - {""}, [drift.path for drift in (*drifts, *extra)], now.timestamp())
        self._waits.pop(change.ref, None)
        if waits := tuple(
            Waits(item_of(change, entry.drift, first_seen=entry.first_seen), Reason.AWAITING_APPROVAL, told(change.ref, entry.drift))
            for entry in found.entries
            if entry.state is State.AWAITING_APPROVAL
        ):
            self._waits[change.ref] = waits
        sees_extras = not self._may_rest(orders)

        def is_compared(drift: FieldDrift) -> bool:
            return live is not None and (not drift.is_extra or (sees_extras and not is_named(drift.manager, ignored.managers)))

        self._note(change.ref, found.entries, (*drifts, *extra), is_compared=is_compared)
        is_final = self._may_rest(orders) and len(found.repaired) == len(found.entries) and not found.ignored and not ignored.managers
        return Look(found, ignored.with_fields(found.left_out) if found.left_out else ignored, live, is_final)

    def _note(
        self, ref: ObjectRef, entries: Sequence[Entry], drifts: Iterable[FieldDrift], *, is_compared: Callable[[FieldDrift], bool]
    ) -> None:
        """Remember `entries` as all that is open of an object, and count what is new.

        What was open has ended where the field was compared and is as declared, whoever holds it now. It has not where it still differs, or nobody looks at it any more, and is
        merely ignored from now on. Nor has it when the object is gone: then it goes the way of the absence, and ends when the object is made anew.
        """
        before = self.ledger.of(ref)
        if absence := next((entry for entry in entries if entry.drift.is_absence), None):
            entries = [*entries, *(replace(entry, state=absence.state) for entry in before if entry.drift.path)]
        differing = {drift.path for drift in drifts if not drift.path or drift.live != drift.desired}
        open_paths = {entry.drift.path for entry in entries}
        for entry in before:
            if entry.drift.path not in differing | open_paths and is_compared(entry.drift):
                self._close(entry)
        for entry in self.ledger.note(ref, entries):
            self._world.meter.drifted(kind=ref.kind, severity=entry.severity.value)

    @staticmethod
    def _may_rest(orders: Orders) -> bool:
        """Whether nothing but our own fields matters, so that an object need not be looked at as long as these stay."""
        return orders.spec.drift.extra_fields is ExtraFields.IGNORE

    def _extras(self, body: Body, live: Mapping[str, Any] | None, ignored: LeftOut, orders: Orders) -> tuple[FieldDrift, ...]:
        if live is None or self._may_rest(orders):
            return ()
        return extras(body, live, manager=FIELD_MANAGER, left_alone=lambda manager: is_named(manager, ignored.managers))

    def _policy(self, change: Change, orders: Orders) -> Policy:
        now = self._world.clock.now()

        def agreed(drift: FieldDrift) -> bool:
            return orders.agreed(item_of(change, drift, first_seen=self.ledger.first_seen(change.ref, drift.path, now)))

        return Policy(orders.spec.drift, orders.yields, self._is_blocked(change, orders), agreed)

    @staticmethod
    def _is_blocked(change: Change, orders: Orders) -> bool:
        """Whether the object may not be repaired now."""
        wishes = [told.directives for told in (change.manifest, change.live) if told]
        return orders.block(WindowAction.DRIFT_REPAIR) is not None or not all(wish.reconcile for wish in wishes)

    def _is_held(self, change: Change) -> bool:
        return bool(self.ledger.of(change.ref)) or (change.live is not None and self.breakers.knows(change.live.uid))

    async def _live(self, change: Change) -> Mapping[str, Any]:
        assert change.live is not None  # or there would be nothing to read  # noqa: S101
        if change.live.snapshot is not None:
            live: Mapping[str, Any] = orjson.loads(change.live.snapshot)
            return live
        read = await self._world.cluster.read(change.live.resource, change.ref)
        if read is None:
            raise errors.StaleError("the object is gone; it is looked at again")
        return read

    def _drifts(self, change: Change, body: Body, live: Mapping[str, Any]) -> tuple[FieldDrift, ...]:
        assert change.manifest is not None  # noqa: S101
        sent = ownership.marked(body, owner=self._owner, digest=change.manifest.digest, namespace=change.ref.namespace)
        found = field_drifts(sent, live, field_ownership(live, FIELD_MANAGER).ours, manager=FIELD_MANAGER)
        if change.action is Action.UPDATE:
            # What nobody holds is what the new manifest brings.
            return tuple(drift for drift in found if drift.is_held and drift.live != drift.desired)
        if found or change.action is not Action.REPAIR:
            return found
        # Our values changed although we still hold every field: someone wrote below a field that we own as a whole.
        return (FieldDrift("", None, None, _last_writer(live), ""),)

    def remembers_loss(self, ref: ObjectRef) -> bool:
        """Whether an earlier process told that the object is gone, or that somebody deletes it again and again."""
        return self.ledger.remembers(ref, "") or self.breakers.knows(str(ref))

    # -- what becomes of it ----------------------------------------------------------------------------------------

    def repaired(self, change: Change, drifts: Iterable[FieldDrift]) -> None:
        """The API server says that these fields are put right."""
        for drift in drifts:
            key = Key.of(change.ref, change.live.uid if change.live else "", drift.path)
            self._names[key.object] = str(change.ref)
            self.breakers.note(key, self._world.clock.now().timestamp(), drift.manager)

    def finished(self, change: Change) -> None:
        """Everything that was to be repaired of the object is."""
        for entry in self.ledger.repaired(change.ref):
            self._close(entry)

    def calm(self, ref: ObjectRef, live: Live | None) -> None:
        """The object is as declared, whoever did it."""
        for entry in self.ledger.of(ref):
            self._close(entry)
        self._forget((ref,))
        if live and self.breakers.knows(live.uid, str(ref)):
            self.breakers.settle({live.uid, str(ref)}, (), self._world.clock.now().timestamp())

    def half_open(self) -> None:
        """Try once more what is left alone since somebody undoes every repair."""
        self.breakers.half_open(self._world.clock.now().timestamp())

    def keep_only(self, desired: Container[ObjectRef]) -> None:
        """Forget everything about objects that are no longer desired."""
        self._forget([ref for ref in (*self.ledger.open, *self._waits) if ref not in desired])

    def _forget(self, refs: Iterable[ObjectRef]) -> None:
        self.ledger.forget(refs)
        for ref in refs:
            self._waits.pop(ref, None)

    # -- what is told ----------------------------------------------------------------------------------------------

    @property
    def missing(self) -> frozenset[ObjectRef]:
        """Desired objects that are not there, although they were."""
        return frozenset(ref for ref, found in self.ledger.open.items() if any(entry.drift.is_absence for entry in found))

    @property
    def waiting(self) -> tuple[Waits, ...]:
        """Repairs that a person has to agree to."""
        return tuple(one for found in self._waits.values() for one in found)

    def fights(self, now: datetime) -> tuple[Fight, ...]:
        """Everything worth remembering of repairs that were undone: more than one, or a field that is left alone."""
        return tuple(
            Fight(key, self._names.get(key.object, key.object), breaker) for key, breaker in self.breakers.remembered(now.timestamp())
        )

    def tidy(self, desired: Iterable[ObjectRef]) -> None:
        """Forget repairs that are long past, and objects that are not desired any more."""
        known: set[str] = set()
        for ref in desired if self._names else ():
            live = self._world.index.get(ref)
            known.update((str(ref), live.uid) if live else (str(ref),))
        self.breakers.tidy(self._world.clock.now().timestamp(), known)
        self._names = {name: told for name, told in self._names.items() if self.breakers.knows(name)}

    def _close(self, entry: Entry) -> None:
        seconds = (self._world.clock.now() - entry.first_seen).total_seconds()
        self._world.meter.remedied(action=entry.action.value, severity=entry.severity.value, seconds=max(0.0, seconds))


def item_of(change: Change, drift: FieldDrift, *, first_seen: datetime) -> Item:
    """The repair of one drift, as people agree to it.

    Known by when it was first seen, so that consent is for this time only: the next edit waits anew. Not by when it was written, for that time moves with
    whatever the same writer does to the object.
    """
    assert change.manifest is not None  # prunes do not drift  # noqa: S101
    live = change.live
    if live and is_secret(change.ref.group_kind):
        value = live.version
    else:
        value = hashlib.sha256(orjson.dumps(drift.live, option=orjson.OPT_SORT_KEYS)).hexdigest()
    return Item(
        PlanAction.DRIFT,
        change.ref,
        live.uid if live else "",
        digest=change.manifest.digest,
        path=drift.path,
        since=first_seen.isoformat(timespec="seconds"),
        value=value,
    )


def told(ref: ObjectRef, drift: FieldDrift) -> str:
    """One drift for people; nothing secret."""
    if not drift.path:
        return "is gone" if drift.desired else "changed inside a field of ours"
    kind = ref.group_kind
    who = f", written by {one_line(drift.manager)}" if drift.manager else ""
    return f"is {shown(kind, drift.path, drift.live)} instead of {shown(kind, drift.path, drift.desired)}{who}"


def _last_writer(live: Mapping[str, Any]) -> str:
    entries = live["metadata"]["managedFields"]
    others = [e for e in entries if e.get("manager") != FIELD_MANAGER and e.get("subresource") != "status"]
    newest: dict[str, Any] = max(others, key=lambda e: e.get("time", ""), default={})
    return str(newest.get("manager", ""))
