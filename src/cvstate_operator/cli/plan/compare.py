"""Compare: what the operator would do with every object, by its own decisions (`reconcile/decide_stage.py`, `drift_stage.py`, `plan/prune.py`).

An object that carries the digest of its manifest, and whose fields are all ours, is as declared: that costs no request. Of every other one the API server is
asked by a dry run.
"""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final

from cvstate_operator import errors
from cvstate_operator.api.apply import Conflicts
from cvstate_operator.api.change_plan import PlanAction
from cvstate_operator.api.names import FIELD_MANAGER
from cvstate_operator.api.windows import WindowAction
from cvstate_operator.cli.plan import fields
from cvstate_operator.cli.plan.bench import Bench
from cvstate_operator.cli.plan.result import Entry, Kept
from cvstate_operator.drift import ignores
from cvstate_operator.drift.difference import Difference, FieldChange, differences
from cvstate_operator.drift.ledger import Entry as Drift
from cvstate_operator.drift.ledger import State
from cvstate_operator.objects.identity import ObjectRef
from cvstate_operator.objects.manifest import Body, Manifest
from cvstate_operator.objects.preview import Preview
from cvstate_operator.objects.problem import Problem
from cvstate_operator.objects.redaction import is_secret, one_line, without_values
from cvstate_operator.plan import adoption, prune, recreate
from cvstate_operator.plan.changes import Action, Change
from cvstate_operator.plan.consent import Item
from cvstate_operator.plan.desired import Desired
from cvstate_operator.plan.gates import Gates
from cvstate_operator.plan.history import commit_of
from cvstate_operator.plan.prune import PruneGuard
from cvstate_operator.plan.recreate import Verdict
from cvstate_operator.reconcile import recreation
from cvstate_operator.reconcile.decide_stage import DecideStage
from cvstate_operator.reconcile.drift_stage import DriftStage, Look
from cvstate_operator.reconcile.ledger import Ledger
from cvstate_operator.reconcile.orders import Orders

NAMED: Final = 5
"""Fields that are named in a sentence."""
LOOKS: Final = 3
"""How often an object is looked at that somebody writes meanwhile."""
LONGEST_PAUSE_SECONDS: Final = 5.0
"""A server that asks for a longer one is asked again after this one."""
GRANT: Final = "have it granted, or use another --context"
_REPAIRS: Final = (Action.VERIFY, Action.REPAIR)
_WAITING: Final = {
    State.AWAITING_APPROVAL: "spec.drift.rules ask for an approval; give it with: cvstate approve {where}",
    State.TRANSIENT: "it is younger than spec.drift.transientFor",
    State.BREAKER_OPEN: "somebody undoes every repair, so that it is left alone for a while; once that one is stopped: cvstate reconcile {where} --reset",
    State.HELD: "nothing may be repaired now",
}
"""Drift that is to be repaired, and is not now."""


class Comparison:
    """One run over everything that is declared."""

    def __init__(self, bench: Bench, wanted: Desired, orders: Orders, *, only: Collection[ObjectRef] | None = None) -> None:
        """
        Args:
            bench: with everything observed.
            wanted: what is declared.
            orders: what may be done now.
            only: look at these of the declared objects; None for all.
        """
        self._only = wanted.objects.keys() if only is None else only
        self._bench = bench
        self._where = f"{bench.name} -n {bench.namespace}"
        self._wanted = wanted
        self._orders = orders
        self._when_written = _once_open(orders)
        self._ledger = Ledger()
        if is_applied(bench.status, wanted):
            self._ledger.present.update(wanted.objects)
        self._drift = DriftStage(bench.world, owner=bench.owner, status=bench.status)
        self._decide = DecideStage(
            bench.world,
            self._ledger,
            self._drift,
            self._fail,
            owner=bench.owner,
            name_owner=bench.name_owner,
            status=bench.status,
            is_dry=True,
        )
        self._entries: list[tuple[Change, Entry]] = []

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What could not be done, sorted."""
        return tuple(sorted([*self._wanted.problems, *(failure.problem for failure in self._ledger.failures.values())]))

    @property
    def exempt(self) -> Collection[ObjectRef]:
        """Objects that are left as they are, since their annotations ask for it; known after `changes`."""
        return self._ledger.exempt

    async def changes(self) -> list[Change]:
        """What is to be looked at, by what is known of it; objects that cannot be helped are problems from now on.

        Raises:
            CvstateError: the API server does not answer.
        """
        await self._look_at_unlisted()
        decided = await self._decide.decide(
            self._wanted,
            [ref for ref in self._wanted.objects if ref in self._only and ref not in self._ledger.failures],
            lambda ref: None,
            rules=self._orders.rules,
            block=None,
            is_accepted=True,
            pending=(),
            left_as_is=lambda ref: False,
            retry_all=True,
        )
        return decided.plan

    async def look(self, change: Change, orders: Orders | None = None) -> tuple[Body, Look]:
        """The body of an object, and how it drifted; `orders` if it is judged by others.

        Raises:
            CvstateError: it cannot be read.
        """
        body, own = self._body(change), self._when_written if change.action is Action.UPDATE else self._orders
        return body, await self._drift.look(change, body, orders or own)

    async def survey(self, change: Change) -> tuple[Drift, ...]:
        """Every difference of an object that may not be written, and may not even be ours, by a dry run.

        Raises:
            CvstateError: it cannot be read, or the API server would not take it as Git has it.
        """
        await self._drift.survey(change, self._body(change), self._orders)
        return self._drift.ledger.of(change.ref)

    def _body(self, change: Change) -> Body:
        assert change.manifest is not None  # what is desired has one  # noqa: S101
        return self._bench.world.renderer.body(change.manifest)

    async def preview(self, change: Change, body: Body, look: Look) -> Preview:
        """What the API server says of the apply.

        Raises:
            CvstateError: it cannot be asked.
        """
        assert change.manifest is not None  # noqa: S101
        sent = ignores.without(body, look.left_out, live=look.live, manager=FIELD_MANAGER)
        try:
            return await self._bench.cluster.preview(change.manifest, sent, owner=self._bench.owner)
        except errors.NamespaceMissingError as exc:
            # Of a Namespace itself the API server says so, too.
            return Preview(None, None, exc)

    async def entries(self) -> list[Entry]:
        """Every object that would be created, changed or put back, in the order of their waves; the rest are problems.

        Raises:
            CvstateError: the API server does not answer.
        """
        changes = await self.changes()
        await self._bench.each("comparing", changes, self._judge)
        found = sorted(self._entries, key=lambda one: (one[0].wave, one[0].ref))
        return [entry for _, entry in found]

    # -- one object ------------------------------------------------------------------------------------------------

    async def _judge(self, change: Change) -> None:
        try:
            entry = await self._entry(change)
        except (errors.NetworkError, errors.UnauthorizedError):
            raise
        except errors.ForbiddenError as exc:
            told = exc.message.partition(";")[0]
            self._fail(change.ref, change.manifest, errors.ForbiddenError(f"your user may not try it: {told}; {GRANT}"))
        except errors.CvstateError as exc:
            self._fail(change.ref, change.manifest, exc)
        else:
            if entry:
                self._entries.append((change, entry))

    async def _entry(self, change: Change) -> Entry | None:
        """What would be done with one object; None for nothing."""
        for attempt in range(LOOKS):
            body, look = await self.look(change)
            if change.action in _REPAIRS and ((repair := self._repair(change, look)) is None or repair.held or change.live):
                return repair
            if note := self._not_asked(change):
                return self._told(change, Entry(change.ref, Action.CREATE, note=note))
            preview = await self.preview(change, body, look)
            if isinstance(preview.error, errors.NamespaceMissingError) and self._brings_namespace(change.ref):
                note = "its namespace comes with this commit; the API server could not be asked" if change.ref.namespace else ""
                return self._told(change, Entry(change.ref, Action.CREATE, note=note))
            if not isinstance(preview.error, errors.StaleError | errors.ThrottledError) or attempt == LOOKS - 1:
                break
            await asyncio.sleep(min(preview.error.retry_after_seconds or 0.0, LONGEST_PAUSE_SECONDS))
            change = await self._again(change)
        return self._previewed(change, body, look, preview)

    async def _again(self, change: Change) -> Change:
        """The same after another look at the object."""
        assert change.manifest is not None  # noqa: S101
        resource = self._bench.cluster.resource(change.manifest.gvk)
        if resource:
            await self._bench.look(resource, change.ref)
        return replace(change, live=self._bench.index.get(change.ref))

    def _repair(self, change: Change, look: Look) -> Entry | None:
        """Fields that are put back. What is only reported is the business of `cvstate diff`."""
        found = [entry for entry in look.remedy.entries if entry.state is State.REPAIRING or entry.state in _WAITING]
        if not found:
            return None
        told = tuple(fields.drifted(change.ref.group_kind, entry.drift) for entry in found)
        waits = {entry.state for entry in found}
        held = "" if look.remedy.repaired or look.remedy.removed else self._waits(waits)
        if State.HELD in waits and (block := self._orders.block(WindowAction.DRIFT_REPAIR)):
            held = block.message
        return self._told(change, Entry(change.ref, Action.REPAIR, told, held=held))

    def _waits(self, states: Collection[State]) -> str:
        """Why drift is not repaired now."""
        return "; ".join(text.format(where=self._where) for state, text in _WAITING.items() if state in states)

    @property
    def _approve(self) -> str:
        return f"cvstate approve {self._where}"

    def _not_asked(self, change: Change) -> str:
        """Why the API server cannot be asked about an object yet; empty if it can."""
        assert change.manifest is not None  # noqa: S101
        if self._bench.cluster.resource(change.manifest.gvk) is None:
            return "its kind comes with this commit; the API server could not be asked"
        return ""

    def _brings_namespace(self, ref: ObjectRef) -> bool:
        return ref.kind == "Namespace" or ObjectRef("", "Namespace", "", ref.namespace) in self._wanted.objects

    def _previewed(self, change: Change, body: Body, look: Look, preview: Preview) -> Entry | None:
        """What would be done, by the API server's answer.

        Raises:
            CvstateError: it would be refused, by the API server or by ourselves.
        """
        assert change.manifest is not None  # noqa: S101
        may_force = self._may_force(change, preview)
        if preview.error and not preview.needs_recreate:
            raise self._discreet(preview.error, change.ref, body)
        if preview.error or preview.planned is None:
            return self._recreated(change, preview, body)
        if preview.live is None and change.action is Action.REPAIR:
            return self._repair(change, look)
        if preview.live is None:
            return self._told(change, Entry(change.ref, Action.CREATE))
        difference = differences(preview.live, preview.planned, manager=FIELD_MANAGER)
        return self._updated(change, look, difference, () if may_force else self._taken(change, difference))

    def _updated(self, change: Change, look: Look, difference: Difference, taken: Collection[FieldChange]) -> Entry:
        """An object that gets another manifest; `taken` are fields that are left to others."""
        kind = change.ref.group_kind
        notes = ["it is there already, and is adopted"] if change.live is None else []
        if look.remedy.left_out:
            notes.append(f"left as they are by spec.drift: {', '.join(look.remedy.left_out[:NAMED])}")
        if taken:
            notes.append(f"left to who holds them by spec.apply.conflicts: {', '.join(one.shown for one in list(taken)[:NAMED])}")
        if change.live and (difference.only_marks or not difference):
            notes.append("no field of it changes, only the digest that it is marked with")
        changes = () if difference.only_marks else difference.changes
        told = [fields.changed(kind, one) for one in changes if one not in taken]
        told += [fields.drifted(kind, drift) for drift in look.remedy.removed]
        return self._told(change, Entry(change.ref, Action.UPDATE, tuple(told), difference.more, note="; ".join(notes)))

    def _may_force(self, change: Change, preview: Preview) -> bool:
        """Whether values of others may be overwritten.

        Raises:
            OwnerConflictError: the object is somebody else's.
        """
        spec = self._orders.spec.apply
        may_force = spec.conflicts is Conflicts.FORCE
        if change.live or preview.live is None:
            return may_force
        terms = adoption.Terms(spec.adoption, may_force=may_force)
        bench = self._bench
        return adoption.may_force(preview.live, owner=bench.owner, manager=FIELD_MANAGER, name_owner=bench.name_owner, terms=terms)

    def _taken(self, change: Change, difference: Difference) -> tuple[FieldChange, ...]:
        """Fields that would be left to others: the dry run was forced, and the operator would not force.

        Raises:
            FieldConflictError: they would not be left to them.
        """
        held = tuple(one for one in difference.changes if one.before is not None and one.manager not in ("", FIELD_MANAGER))
        if held and not self._orders.yields:
            who = "; ".join(sorted({f"{one.shown}: {one_line(one.manager)}" for one in held})[:NAMED])
            raise errors.FieldConflictError(
                f"others hold fields that Git declares with other values ({who}); {adoption.remedy(is_ours=change.live is not None)}",
                fields=tuple(one.shown for one in held),
            )
        return held

    def _recreated(self, change: Change, preview: Preview, body: Body) -> Entry:
        """An object that cannot be changed as Git wants it.

        Raises:
            ImmutableError: it may not be recreated.
        """
        assert preview.error is not None  # noqa: S101
        assert change.manifest is not None  # noqa: S101
        error = self._discreet(preview.error, change.ref, body)
        verdict = recreate.decide(self._orders.spec.apply.recreate, change.manifest, change.live)
        if verdict is Verdict.NEVER or change.live is None or preview.live is None:
            raise error
        item = Item(PlanAction.RECREATE, change.ref, change.live.uid, digest=change.manifest.digest)
        waits = verdict is Verdict.APPROVE and not self._orders.agreed(item)
        held = f"would wait for approval; give it with: {self._approve}" if waits else ""
        difference = recreation.declared(preview.live, body)
        told = tuple(fields.changed(change.ref.group_kind, one) for one in difference.changes)
        return self._told(change, Entry(change.ref, Action.RECREATE, told, difference.more, held=held, note=error.message))

    def _told(self, change: Change, entry: Entry) -> Entry:
        """With what is known from elsewhere: where it stands in Git, and what holds it up."""
        origin = change.manifest.origin if change.manifest else None
        block = self._orders.block(WindowAction.NEW_REVISION) if entry.action is not Action.REPAIR else None
        return replace(
            entry,
            held=block.message if block else entry.held,
            file=origin.file if origin else "",
            document=origin.document if origin else 0,
        )

    def _discreet(self, error: errors.CvstateError, ref: ObjectRef, body: Body) -> errors.CvstateError:
        if is_secret(ref.group_kind):
            error.message = without_values(error.message, body)
        return error

    def _fail(self, ref: ObjectRef, manifest: Manifest | None, error: errors.CvstateError) -> None:
        if is_secret(ref.group_kind):
            error.message = without_values(error.message)
        self._ledger.failed(ref, manifest, error, now=0.0, random=0.0)

    async def _look_at_unlisted(self) -> None:
        """Objects of kinds that this person may not list, one by one."""
        unlisted = [
            (ref, manifest) for ref, manifest in self._wanted.objects.items() if ref in self._only and ref.group_kind in self._bench.unseen
        ]

        async def one(item: tuple[ObjectRef, Manifest]) -> None:
            ref, manifest = item
            resource = self._bench.cluster.resource(manifest.gvk)
            try:
                if resource:
                    await self._bench.look(resource, ref)
            except errors.ForbiddenError as exc:
                self._fail(ref, manifest, errors.ForbiddenError(f"your user may not read it: {exc.message.partition(';')[0]}; {GRANT}"))

        await self._bench.each("reading", unlisted, one)

    # -- what left Git ---------------------------------------------------------------------------------------------

    def pruned(self) -> tuple[list[Entry], tuple[Kept, ...]]:
        """What would be deleted, and what left Git and stays."""
        bench, orders = self._bench, self._orders
        block = orders.block(WindowAction.PRUNE)
        # What this person may not do or see, the operator may.
        failed = any(failure.problem.reason != errors.ForbiddenError.reason for failure in self._ledger.failures.values())
        guard = PruneGuard(complete=not self._wanted.problems, fresh=True, applied=not failed, observed=True)
        pruning = prune.decide(
            bench.index.members(bench.owner),
            self._wanted.objects,
            guard,
            owner=bench.owner,
            spec=orders.spec.prune,
            claimant=lambda ref: "",
            policy=lambda change: change.live.directives.prune.value if change.live else "",
            approved=lambda change: orders.agreed(Item(PlanAction.PRUNE, change.ref, change.live.uid if change.live else "")),
            deferral=block.message if block else "",
        )
        entries = [Entry(change.ref, Action.PRUNE) for change in pruning.doomed]
        entries += [Entry(change.ref, Action.PRUNE, held=pruning.deferral) for change in pruning.deferred]
        entries += [
            Entry(change.ref, Action.PRUNE, held=f"would wait for approval: {waiting.objection}")
            for waiting in pruning.waiting
            for change in waiting.changes
        ]
        entries += [Entry(ref, Action.PRUNE, held=pruning.objection) for ref in pruning.held]
        return entries, tuple(Kept(kept.refs, kept.by) for kept in pruning.kept)


def _once_open(orders: Orders) -> Orders:
    """As of when new manifests may be applied: what holds them and repairs alike is over then."""
    blocks = dict(orders.gates.blocks)
    if blocks.get(WindowAction.DRIFT_REPAIR) == blocks.get(WindowAction.NEW_REVISION):
        blocks.pop(WindowAction.DRIFT_REPAIR, None)
    return replace(orders, gates=Gates(blocks))


def is_applied(status: Mapping[str, object], wanted: Desired) -> bool:
    """Whether these objects were all in the cluster once, as the operator says: what is absent of them vanished, and is not new."""
    inventory, applied = status.get("inventory"), commit_of(str(status.get("lastAppliedRevision") or ""))
    # The digest is of what is worked with, which may not be in the cluster yet.
    is_whole = bool(applied) and applied == commit_of(str(status.get("lastAttemptedRevision") or ""))
    return is_whole and isinstance(inventory, Mapping) and inventory.get("digest") == wanted.digest
