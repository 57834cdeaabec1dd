"""The writer: carries a plan out, object by object, and notes in the ledger how each of them went. Whatever goes wrong with one concerns it alone."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from itertools import groupby
from typing import Any, Final

from cvstate_operator import errors
from cvstate_operator.api.apply import Conflicts
from cvstate_operator.api.change_plan import PlanAction
from cvstate_operator.api.names import FIELD_MANAGER
from cvstate_operator.drift import ignores
from cvstate_operator.drift.conflict_path import pointer_of
from cvstate_operator.drift.extras import removal
from cvstate_operator.drift.matching import is_named
from cvstate_operator.drift.rekeyed import rekeyed
from cvstate_operator.objects import directives
from cvstate_operator.objects.binary import bad_base64
from cvstate_operator.objects.identity import Gvk, ObjectRef
from cvstate_operator.objects.manifest import Body, Manifest
from cvstate_operator.objects.redaction import is_secret, one_line, without_values
from cvstate_operator.plan import adoption, changes, crds, recreate
from cvstate_operator.plan.changes import Action, Change
from cvstate_operator.plan.consent import Item
from cvstate_operator.plan.recreate import Verdict
from cvstate_operator.reconcile.drift_stage import DriftStage, Look
from cvstate_operator.reconcile.ledger import Ledger
from cvstate_operator.reconcile.orders import Orders
from cvstate_operator.reconcile.outcome import Done, Waits
from cvstate_operator.reconcile.ports import World

BREATH_OBJECTS: Final = 4
"""After so many objects others get their turn, in each of the workers: to verify one takes 0.04 ms (measured)."""
ESTABLISH_SECONDS: Final = 20.0
"""How long a pass waits for the kinds of a CRD that it applied. It takes well below a second on an idle API server (measured)."""


class Writer:
    """Writes the objects of one ClusterState."""

    def __init__(
        self,
        world: World,
        ledger: Ledger,
        drift: DriftStage,
        *,
        owner: str,
        name_owner: adoption.NameOwner,
        is_superseded: Callable[[], bool],
    ) -> None:
        """
        Args:
            world: everything outside.
            ledger: told how each object went.
            drift: what is left alone in each.
            owner: ApplySet id.
            name_owner: names other ApplySets for people.
            is_superseded: whether there is a newer commit by now, so that the rest of this one is not begun.
        """
        self._is_superseded = is_superseded
        self._world = world
        self._ledger = ledger
        self._drift = drift
        self._owner = owner
        self._name_owner = name_owner
        self._coming: set[Gvk] = set()
        """Kinds that CRDs bring which were applied in this pass."""
        self._recreates: dict[ObjectRef, Waits] = {}
        self.stopping = False
        """Once set, objects in hand are finished and no others are started."""
        self.was_cut_short = False
        """Whether the last pass left objects alone: it was to stop, an EmergencyStop came, or a newer commit."""
        self.lost_body = False
        """Set when the render store lost a body: only a render makes it again."""
        self.unwritten = 0
        """Changes of the batch in hand that no worker has taken up yet. A worker that waits for its turn to write has taken one up."""

    @property
    def is_cut_short(self) -> bool:
        """Whether no other object is to be begun in this pass; noted."""
        if self.stopping or self._is_superseded():
            self.was_cut_short = True
        return self.was_cut_short

    @property
    def waiting(self) -> tuple[Waits, ...]:
        """Recreates that a person has to agree to."""
        return tuple(waits for ref, waits in self._recreates.items() if ref in self._ledger.failures)

    def fail(self, ref: ObjectRef, manifest: Manifest | None, error: errors.CvstateError) -> None:
        """Note that an object could not be brought to its desired state."""
        clock = self._world.clock
        if is_secret(ref.group_kind):
            error.message = without_values(error.message)
        self._ledger.failed(ref, manifest, error, now=clock.monotonic(), random=clock.random())

    async def apply(self, plan: Sequence[Change], since: Mapping[ObjectRef, float], orders: Orders) -> list[Done]:
        """Carry the plan out, wave by wave, in parallel within a wave; in each wave objects of kinds that are not served yet come last."""
        done: list[Done] = []
        self._coming.clear()
        for _, wave in groupby(sorted(plan, key=lambda change: change.wave), key=lambda change: change.wave):
            served, unserved = _parted(wave, by=self._lacks_kind)
            await self._carry_out(served, since, orders, done)
            if unserved:
                await self._await_kinds(unserved)
                await self._carry_out(unserved, since, orders, done)
        return done

    async def survey(self, held: Sequence[Change], orders: Orders) -> None:
        """Find out how objects differ that may never be written: they are not ours, so that no watch tells of them."""
        queue = iter(held)

        async def work() -> None:
            for change in queue:
                if change.manifest is None or self.stopping:
                    continue
                try:
                    await self._drift.survey(change, self._world.renderer.body(change.manifest), orders)
                except errors.CvstateError as exc:
                    self._explain(exc, change)
                    self.fail(change.ref, change.manifest, exc)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(len(held), self._world.parallel)):
                group.create_task(work())

    async def _carry_out(self, batch: Sequence[Change], since: Mapping[ObjectRef, float], orders: Orders, done: list[Done]) -> None:
        queue = iter(batch)
        self.unwritten = len(batch)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(len(batch), self._world.parallel)):
                    group.create_task(self._work(queue, since, orders, done))
        finally:
            self.unwritten = 0

    def _lacks_kind(self, change: Change) -> bool:
        return change.manifest is not None and self._world.cluster.resource(change.manifest.gvk) is None

    async def _work(self, queue: Iterator[Change], since: Mapping[ObjectRef, float], orders: Orders, done: list[Done]) -> None:
        """One of several that take changes off the same queue until it is empty, or we are to stop."""
        for number, change in enumerate(queue, 1):
            self.unwritten -= 1
            if number % BREATH_OBJECTS == 0:
                await self._world.clock.sleep(0)  # to verify one waits for nothing
            async with self._world.writers:
                if self.is_cut_short:
                    return
                await self._settle(change, since[change.ref], orders, done)

    async def _await_kinds(self, batch: Sequence[Change]) -> None:
        """Watch kinds that came to be served meanwhile; wait for those whose CRD was applied in this pass, unless something else wants attention."""
        cluster, clock = self._world.cluster, self._world.clock
        missing = {change.manifest.gvk for change in batch if change.manifest}
        deadline = clock.monotonic() + ESTABLISH_SECONDS
        pause = 0.05
        await self._discover()
        while any(cluster.resource(gvk) is None for gvk in missing & self._coming):
            if clock.monotonic() >= deadline or self._ledger.touched or self.stopping:
                break
            await clock.sleep(pause)
            pause = min(pause * 2, 1.0)
            await self._discover()
        places = {
            kind: {change.ref.namespace for change in batch if change.ref.group_kind == kind}
            for kind in (gvk.group_kind for gvk in missing)
        }
        await cluster.observe(
            [resource for gvk in missing if (resource := cluster.resource(gvk))], within=lambda kind: places.get(kind, ())
        )

    async def _discover(self) -> None:
        with suppress(errors.CvstateError):
            await self._world.cluster.discover()

    async def _settle(self, change: Change, since: float, orders: Orders, done: list[Done]) -> None:
        """Bring one object to its desired state; whatever goes wrong with it concerns it alone."""
        try:
            try:
                result = await self._write(change, since, orders)
            except errors.ImmutableError as exc:
                result = await self._recreate(change, orders, exc)
        except errors.CvstateError as exc:
            if isinstance(exc, errors.BuildFailedError):
                self.lost_body = True
            else:
                self._explain(exc, change)
            self.fail(change.ref, change.manifest, exc)
            self._world.meter.changed(kind=change.ref.kind, action=change.action.value, result=exc.reason)
        except Exception as exc:
            self._world.reporter.fault(f"a fault of ours while applying {change.ref}", exc)
            self.fail(change.ref, change.manifest, errors.InternalError("a fault of the operator; its log has the details"))
            self._world.meter.changed(kind=change.ref.kind, action=change.action.value, result=errors.InternalError.reason)
        else:
            self._recreates.pop(change.ref, None)
            if change.ref in self._ledger.left:
                pass  # it was there already, and stays as it is
            elif result and result.action is Action.RECREATE:
                self._ledger.forget([change.ref])  # made anew it is no drift
                self._ledger.remaking.add(change.ref)
            elif not self.was_cut_short:
                self._ledger.done(change.ref)
            if result:
                done.append(result)
                self._world.meter.changed(kind=change.ref.kind, action=result.action.value, result="ok")

    def _explain(self, error: errors.CvstateError, change: Change) -> None:
        """Say what only we can know: which value is no base64, which setting would let Git win; and nothing that is secret."""
        assert change.manifest is not None  # prunes go another way  # noqa: S101
        if isinstance(error, errors.FieldConflictError):
            error.message = f"{error.message}; {adoption.remedy(is_ours=change.live is not None)}"
        with suppress(errors.CvstateError):  # without its body there is nothing to add
            body = self._world.renderer.body(change.manifest)
            if is_secret(change.ref.group_kind):
                error.message = without_values(error.message, body)
            if isinstance(error, errors.InvalidError) and not error.field:
                error.field = bad_base64(change.ref.group_kind, body)

    # -- one object ------------------------------------------------------------------------------------------------

    async def _write(self, change: Change, since: float, orders: Orders) -> Done | None:
        """Apply one object; None if it turned out to be as desired already, or is to be left alone."""
        assert change.manifest is not None  # prunes go another way  # noqa: S101
        body = self._world.renderer.body(change.manifest)
        with self._world.tracer.batch("drift"):
            look = await self._drift.look(change, body, orders)
        if look.remedy.again_at:
            self._ledger.defer(change.ref, self._world.clock.monotonic() + self._seconds_until(look.remedy.again_at))
        if change.action in (Action.VERIFY, Action.REPAIR) and not (look.remedy.repaired or look.remedy.removed):
            if not look.remedy.entries and look.is_final and change.live:
                self._world.index.verified(change.ref, change.live)
            return None
        if self._world.stopped():
            # It came in the middle of this pass; the next one tells what it holds.
            self.was_cut_short = True
            return None
        action = Action.REPAIR if change.action is Action.VERIFY else change.action
        live = await self._send(change, body, look, orders)
        if crds.is_crd(change.ref.group_kind):
            self._coming.update(crds.declared_resources([body]))
        if live is None:
            self._ledger.leave(change.ref)
            return None
        seconds = self._world.clock.monotonic() - since
        self._drift.finished(change)
        if action is Action.REPAIR:
            self._world.meter.repaired(seconds=seconds)
        return Done(change.ref, action, (*look.remedy.repaired, *look.remedy.removed), seconds)

    async def _send(self, change: Change, body: Body, look: Look, orders: Orders) -> dict[str, Any] | None:
        """Apply, leaving alone what is to be left alone; what others hold is left to them if the spec says so."""
        assert change.manifest is not None  # prunes go another way  # noqa: S101
        world, live, is_final = self._world, None, look.is_final
        world.index.writing(change.ref)
        try:
            live, is_final = await self._put_right(change, body, look, orders)
        finally:
            resource = world.cluster.resource(change.manifest.gvk)
            world.index.written(change.ref, live, resource, is_final=is_final)
        return live

    async def _put_right(self, change: Change, body: Body, look: Look, orders: Orders) -> tuple[dict[str, Any] | None, bool]:
        """Apply what Git has, and only then take away what it does not have: the other way round a list could be empty for a moment.

        Returns:
            The object as it is then, and whether it needs no other look until a field of ours changes.
        """
        look = await self._with_keys_back(change, body, look)
        needs_apply = change.action in (Action.CREATE, Action.UPDATE) or look.remedy.repaired
        live, is_final = await self._apply(change, body, look, orders) if needs_apply else (dict(look.live or {}), look.is_final)
        if (
            live
            and look.remedy.removed
            and change.live
            and not self._world.stopped()
            and (operations := removal(live, look.remedy.removed))
        ):
            live = await self._world.cluster.edit(change.live.resource, change.ref, operations)
            self._drift.repaired(change, look.remedy.removed)
        return live, is_final

    async def _with_keys_back(self, change: Change, body: Body, look: Look) -> Look:
        """Make list items ours again whose key somebody changed: the apply then replaces them, and does not put ours beside them."""
        if change.live is None or look.live is None or change.action not in (Action.REPAIR, Action.VERIFY):
            return look
        left_alone = look.left_out.managers
        operations = rekeyed(
            body, look.live, look.remedy.repaired, manager=FIELD_MANAGER, left_alone=lambda name: is_named(name, left_alone)
        )
        if not operations:
            return look
        live = await self._world.cluster.edit(change.live.resource, change.ref, operations)
        self._require_go()
        return replace(look, live=live)

    async def _apply(self, change: Change, body: Body, look: Look, orders: Orders) -> tuple[dict[str, Any] | None, bool]:
        repaired = look.remedy.repaired
        try:
            live, is_final = await self._put(change, body, look, orders), look.is_final
        except errors.FieldConflictError as exc:
            pointers = [pointer for name in exc.fields if (pointer := pointer_of(name, body))]
            if not orders.yields or len(pointers) != len(exc.fields):
                raise
            self._require_go()
            yielding = await self._drift.yielding(change, look, pointers)
            live, is_final = await self._put(change, body, yielding, orders), False
            repaired = tuple(drift for drift in repaired if drift.path not in pointers)
            self._ledger.defer(change.ref, self._world.clock.monotonic())  # what was left to others is drift from now on
        if live is not None:
            self._drift.repaired(change, repaired)
        return live, is_final

    async def _put(self, change: Change, body: Body, look: Look, orders: Orders) -> dict[str, Any] | None:
        def remade(live: Mapping[str, Any] | None) -> Body:
            return ignores.without(body, look.left_out, live=live, manager=FIELD_MANAGER)

        spec, wish = orders.spec.apply, change.manifest.directives.apply if change.manifest else None
        terms = adoption.Terms(
            spec.adoption, may_force=spec.conflicts is Conflicts.FORCE, only_if_absent=wish is directives.Apply.IF_NOT_PRESENT
        )
        manifest = change.manifest
        digest = changes.partial_digest(manifest, orders.rules) if manifest and look.left_out else manifest.digest if manifest else ""
        return await self._world.cluster.apply(
            change, remade, live=look.live, owner=self._owner, name_owner=self._name_owner, terms=terms, digest=digest
        )

    async def _recreate(self, change: Change, orders: Orders, error: errors.ImmutableError) -> Done:
        """Delete an object that cannot be changed as Git wants it, if that is allowed; the event that it is gone has it created.

        Raises:
            ImmutableError: it is not allowed, or not yet.
            CvstateError: it could not be deleted.
        """
        assert change.manifest is not None  # prunes go another way  # noqa: S101
        verdict = recreate.decide(orders.spec.apply.recreate, change.manifest, change.live)
        if verdict is Verdict.NEVER or change.live is None:
            raise error
        item = Item(PlanAction.RECREATE, change.ref, change.live.uid, digest=change.manifest.digest)
        if verdict is Verdict.APPROVE and not orders.agreed(item):
            self._explain(error, change)
            self._recreates[change.ref] = Waits(item, error.reason, one_line(error.message))
            error.message = f"{error.message}; it is recreated once that is approved (cvstate approve NAME -n NAMESPACE)"
            raise error
        self._require_go()
        await self._world.cluster.replace(change, self._world.renderer.body(change.manifest))
        return Done(change.ref, Action.RECREATE)

    def _require_go(self) -> None:
        """Ask once more before the next of several requests.

        Raises:
            StaleError: an EmergencyStop came.
        """
        if why := self._world.stopped():
            self.was_cut_short = True
            raise errors.StaleError(f"an EmergencyStop came: {why}")

    def _seconds_until(self, moment: datetime) -> float:
        return max(0.0, (moment - self._world.clock.now()).total_seconds())


def _parted(batch: Iterable[Change], *, by: Callable[[Change], bool]) -> tuple[list[Change], list[Change]]:
    """Those for which `by` is false, and those for which it is true."""
    parts: tuple[list[Change], list[Change]] = ([], [])
    for change in batch:
        parts[by(change)].append(change)
    return parts
