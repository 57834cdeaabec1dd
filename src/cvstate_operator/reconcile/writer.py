"""The writer: carries a plan out, object by object, and notes in the ledger how each of them went. Whatever goes wrong with one concerns it alone."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from typing import Any, Final

import orjson

from cvstate_operator import errors
from cvstate_operator.api.names import FIELD_MANAGER
from cvstate_operator.drift.coverage import FieldDrift, field_drifts
from cvstate_operator.drift.field_set import ownership as field_ownership
from cvstate_operator.objects import ownership
from cvstate_operator.objects.binary import bad_base64
from cvstate_operator.objects.identity import Gvk, ObjectRef
from cvstate_operator.objects.manifest import Body, Manifest
from cvstate_operator.objects.redaction import is_secret, without_values
from cvstate_operator.plan import adoption, backoff, crds
from cvstate_operator.plan.changes import Action, Change
from cvstate_operator.reconcile.ledger import Ledger
from cvstate_operator.reconcile.outcome import Done
from cvstate_operator.reconcile.ports import World

BREATH_OBJECTS: Final = 4
"""After so many objects others get their turn, in each of the workers: to verify one takes 0.04 ms (measured)."""
ESTABLISH_SECONDS: Final = 20.0
"""How long a pass waits for the kinds of a CRD that it applied. It takes well below a second on an idle API server (measured)."""


class Writer:
    """Writes the objects of one ClusterState."""

    def __init__(self, world: World, ledger: Ledger, *, owner: str, name_owner: adoption.NameOwner) -> None:
        self._world = world
        self._ledger = ledger
        self._owner = owner
        self._name_owner = name_owner
        self._coming: set[Gvk] = set()
        """Kinds that CRDs bring which were applied in this pass."""
        self.stopping = False
        """Once set, objects in hand are finished and no others are started."""
        self.lost_body = False
        """Set when the render store lost a body: only a render makes it again."""
        self.prune_again_at: float | None = None
        """When to look again at an object that changed while it was to be deleted, monotonic seconds."""

    def fail(self, ref: ObjectRef, manifest: Manifest | None, error: errors.CvstateError) -> None:
        """Note that an object could not be brought to its desired state."""
        clock = self._world.clock
        if is_secret(ref.group_kind):
            error.message = without_values(error.message)
        self._ledger.failed(ref, manifest, error, now=clock.monotonic(), random=clock.random())

    def note_drift(self, change: Change) -> None:
        """Note the drift of an object that is to be repaired later."""
        assert change.manifest is not None  # only prunes have none  # noqa: S101
        with suppress(errors.CvstateError):  # without its body the fields cannot be named; the repair will say why
            self._ledger.drift[change.ref] = self._drift(change, self._world.renderer.body(change.manifest))

    # -- apply -----------------------------------------------------------------------------------------------------

    async def apply(self, plan: Sequence[Change], since: Mapping[ObjectRef, float]) -> list[Done]:
        """Carry the plan out, wave by wave, in parallel within a wave; in each wave objects of kinds that are not served yet come last."""
        done: list[Done] = []
        self._coming.clear()
        for _, wave in groupby(sorted(plan, key=lambda change: change.wave), key=lambda change: change.wave):
            batch = list(wave)
            served, unserved = _parted(batch, by=self._lacks_kind)
            await self._carry_out(served, since, done)
            if unserved:
                await self._await_kinds(unserved)
                await self._carry_out(unserved, since, done)
        return done

    async def _carry_out(self, batch: Sequence[Change], since: Mapping[ObjectRef, float], done: list[Done]) -> None:
        queue = iter(batch)
        async with asyncio.TaskGroup() as group:
            for _ in range(min(len(batch), self._world.parallel)):
                group.create_task(self._work(queue, since, done))

    def _lacks_kind(self, change: Change) -> bool:
        return change.manifest is not None and self._world.cluster.resource(change.manifest.gvk) is None

    async def _work(self, queue: Iterator[Change], since: Mapping[ObjectRef, float], done: list[Done]) -> None:
        """One of several that take changes off the same queue until it is empty, or we are to stop."""
        for number, change in enumerate(queue, 1):
            if number % BREATH_OBJECTS == 0:
                await self._world.clock.sleep(0)  # to verify one waits for nothing
            async with self._world.writers:
                if self.stopping:
                    return
                await self._settle(change, since[change.ref], done)

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
        await cluster.observe([resource for gvk in missing if (resource := cluster.resource(gvk))])

    async def _discover(self) -> None:
        with suppress(errors.CvstateError):
            await self._world.cluster.discover()

    async def _settle(self, change: Change, since: float, done: list[Done]) -> None:
        """Bring one object to its desired state; whatever goes wrong with it concerns it alone."""
        try:
            result = await self._write(change, since)
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
            self._ledger.done(change.ref)
            if result:
                done.append(result)
                self._world.meter.changed(kind=change.ref.kind, action=result.action.value, result="ok")

    def _explain(self, error: errors.CvstateError, change: Change) -> None:
        """Say what only we can know: which value is no base64; and nothing that is secret."""
        assert change.manifest is not None  # prunes go another way  # noqa: S101
        with suppress(errors.CvstateError):  # without its body there is nothing to add
            body = self._world.renderer.body(change.manifest)
            if is_secret(change.ref.group_kind):
                error.message = without_values(error.message, body)
            if isinstance(error, errors.InvalidError) and not error.field:
                error.field = bad_base64(change.ref.group_kind, body)

    async def _write(self, change: Change, since: float) -> Done | None:
        """Apply one object; None if it turned out to be as desired already."""
        assert change.manifest is not None  # prunes go another way  # noqa: S101
        world = self._world
        body = world.renderer.body(change.manifest)
        action, drift = change.action, self._drift(change, body)
        if action is Action.VERIFY:
            if not drift:
                assert change.live is not None  # or there would be nothing to verify  # noqa: S101
                world.index.verified(change.ref, change.live)
                return None
            action = Action.REPAIR
        if action is Action.REPAIR:
            self._ledger.drift[change.ref] = drift
            world.meter.drifted(kind=change.ref.kind, fields=len(drift))
        live = None
        world.index.writing(change.ref)
        try:
            live = await world.cluster.apply(change, body, owner=self._owner, name_owner=self._name_owner)
        finally:
            resource = world.cluster.resource(change.manifest.gvk)
            world.index.written(change.ref, live, resource)
        if crds.is_crd(change.ref.group_kind):
            self._coming.update(crds.declared_resources([body]))
        seconds = world.clock.monotonic() - since
        if action is Action.REPAIR:
            self._ledger.repaired(change.ref, world.clock.monotonic())
            world.meter.repaired(kind=change.ref.kind, seconds=seconds)
        return Done(change.ref, action, drift, seconds)

    def _drift(self, change: Change, body: Body) -> tuple[FieldDrift, ...]:
        """The fields that drifted; empty if none did. An object that is gone counts as one field with an empty path."""
        if change.action is Action.REPAIR and change.live is None:
            return (FieldDrift("", "present", None, "", ""),)
        if change.action not in (Action.VERIFY, Action.REPAIR) or change.live is None or change.live.snapshot is None:
            return ()
        assert change.manifest is not None  # noqa: S101
        live = orjson.loads(change.live.snapshot)
        sent = ownership.marked(body, owner=self._owner, digest=change.manifest.digest, namespace=change.ref.namespace)
        found = field_drifts(sent, live, field_ownership(live, FIELD_MANAGER).ours, manager=FIELD_MANAGER)
        if found or change.action is Action.VERIFY:
            return found
        # Our values changed although we still hold every field: someone wrote below a field that we own as a whole.
        return (FieldDrift("", None, None, _last_writer(live), ""),)

    # -- delete ----------------------------------------------------------------------------------------------------

    async def delete(self, change: Change) -> Done | None:
        """Delete one object; None if it is still there. One that changed since we looked is decided on anew, soon or when the event about it came."""
        world = self._world
        result = "ok"
        try:
            await world.cluster.prune(change)
        except errors.StaleError as exc:
            result = exc.reason
            self._ledger.forget([change.ref])
            self.prune_again_at = world.clock.monotonic() + backoff.pause_seconds(exc, 1, random=world.clock.random())
        except errors.CvstateError as exc:
            result = exc.reason
            self.fail(change.ref, None, exc)
        world.meter.changed(kind=change.ref.kind, action=Action.PRUNE.value, result=result)
        if result != "ok":
            return None
        self._ledger.forget([change.ref])
        return Done(change.ref, Action.PRUNE)


def _parted(batch: Iterable[Change], *, by: Callable[[Change], bool]) -> tuple[list[Change], list[Change]]:
    """Those for which `by` is false, and those for which it is true."""
    parts: tuple[list[Change], list[Change]] = ([], [])
    for change in batch:
        parts[by(change)].append(change)
    return parts


def _last_writer(live: Mapping[str, Any]) -> str:
    entries = live["metadata"]["managedFields"]
    others = [e for e in entries if e.get("manager") != FIELD_MANAGER and e.get("subresource") != "status"]
    newest: dict[str, Any] = max(others, key=lambda e: e.get("time", ""), default={})
    return str(newest.get("manager", ""))
