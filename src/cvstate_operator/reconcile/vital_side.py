"""The vital side of one ClusterState: health, telemetry, causes, score and judge, as its pipeline asks for them.

ask()    telemetry · causes                              (when they are due; beside everything else)
look()   health of what is in the cluster                (in a pass, before its outcome is put together)
tell()   score ─▶ verdict ─▶ what becomes of the revision (at its end)
"""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from cvstate_operator.api.clusterstate import ClusterStateSpec
from cvstate_operator.api.duration import parse_seconds
from cvstate_operator.errors import CvstateError
from cvstate_operator.objects.identity import GroupKind, ObjectRef
from cvstate_operator.plan.desired import Desired
from cvstate_operator.plan.gates import Block
from cvstate_operator.reconcile.cause_stage import CauseStage
from cvstate_operator.reconcile.health import Health, HealthStage
from cvstate_operator.reconcile.judge_stage import JudgeStage
from cvstate_operator.reconcile.outcome import Outcome
from cvstate_operator.reconcile.ports import World
from cvstate_operator.reconcile.revision_stage import RevisionStage
from cvstate_operator.reconcile.telemetry_stage import TelemetryStage
from cvstate_operator.reconcile.vital_stage import VitalStage
from cvstate_operator.vital.reading import gap_of


class VitalSide:
    """Not for concurrent use, but for `ask`, which may run beside everything else."""

    def __init__(
        self,
        world: World,
        revision: RevisionStage,
        *,
        owner: str,
        namespace: str,
        status: Mapping[str, Any],
        generation: int | None = None,
    ) -> None:
        """
        Args:
            world: everything outside.
            revision: which commit is worked with.
            owner: ApplySet id.
            namespace: of the ClusterState.
            status: of an earlier life of the operator; what was known then is taken up from it.
            generation: of the ClusterState as it is now; None: the one that the status told of.
        """
        self._world = world
        self._revision = revision
        self._owner = owner
        self._health = HealthStage(world.index, owner=owner, status=status)
        self._telemetry = TelemetryStage(world, owner=owner, namespace=namespace, status=status, generation=generation)
        self._causes = CauseStage(world)
        self._vital = VitalStage(status=status, now=world.clock.now())
        self._judge = JudgeStage(revision)
        self._asking: dict[str, asyncio.Task[bool]] = {}
        """Telemetry and causes, while they are asked for: neither waits for the other."""
        self._has_looked = False

    # -- beside the passes -----------------------------------------------------------------------------------------

    def ask_at(self, spec: ClusterStateSpec) -> float | None:
        """When something is to be asked for next, monotonic seconds: at once while an answer is awaited; None if nothing is."""
        return (
            0.0 if self._asking else min((at for at in (self._telemetry.ask_at(spec), self._causes.ask_at) if at is not None), default=None)
        )

    async def ask(self, spec: ClusterStateSpec) -> bool:
        """Ask for everything that is due of signals, SLOs and causes, and wait for an answer; True if a pass would have something new to tell."""
        while True:
            now = self._world.clock.monotonic()
            waits = {"telemetry": self._telemetry.ask_at(spec), "causes": self._causes.ask_at}
            times = {name: at for name, at in waits.items() if at is not None and name not in self._asking}
            for name in [name for name, at in times.items() if at <= now]:
                work = self._telemetry.ask(spec) if name == "telemetry" else self._causes.ask()
                self._asking[name] = asyncio.create_task(work, name=f"ask for {name}")
                del times[name]
            if not self._asking:
                return False
            done, _ = await asyncio.wait(
                self._asking.values(), timeout=min(times.values()) - now if times else None, return_when=asyncio.FIRST_COMPLETED
            )
            if done:
                self._asking = {name: task for name, task in self._asking.items() if task not in done}
                results = [task.result() for task in done]
                return any(results) or self._judge.is_watching

    async def first_answers(self, spec: ClusterStateSpec) -> None:
        """Wait a little for what an earlier process told and is too old by now. To be called after `look`, before the first outcome is told."""
        await self._telemetry.first_answers(spec)

    def stop(self) -> None:
        """Ask no more."""
        self._telemetry.stop()
        for task in self._asking.values():
            task.cancel()
        self._asking.clear()

    # -- in a pass -------------------------------------------------------------------------------------------------

    def burning(self, spec: ClusterStateSpec) -> Block | None:
        """Which SLO holds new revisions back; None if none does."""
        return self._telemetry.burning(spec)

    def begin(self, spec: ClusterStateSpec, wanted: Desired, *, unseen: Mapping[GroupKind, CvstateError]) -> None:
        """The current revision begins, or is taken up after a restart: remember what is wrong already. To be called before its first write.

        Args:
            spec: the ClusterState.
            wanted: what it declares.
            unseen: kinds of which nobody knows how they are, and why.
        """
        if not self._has_looked:
            self.look(spec, wanted, unseen=unseen, missing=())
        if current := self._revision.history.current:
            self._judge.begin(current.started_at, self._health.found, self._telemetry.known(spec, self._world.clock.now()))

    def look(
        self, spec: ClusterStateSpec, wanted: Desired | None, *, unseen: Mapping[GroupKind, CvstateError], missing: Collection[ObjectRef]
    ) -> Health:
        """How what is `wanted` is.

        Args:
            spec: the ClusterState.
            wanted: None for nothing.
            unseen: kinds of which nobody knows how they are, and why.
            missing: desired objects that are not there, although they were.
        """
        health = self._health.judge(
            wanted,
            {kind: gap_of(error) for kind, error in unseen.items()},
            missing=missing,
            degraded_after=parse_seconds(spec.vital.degraded_after),
            now=self._world.clock.now(),
        )
        self._revision.see(health.blind)
        deadline, now = self._revision.deadline(spec), self._world.clock.now()
        self._causes.wants(health, within=(deadline - now).total_seconds() if deadline else None)
        self._telemetry.blind, self._telemetry.is_placed = health.blind, wanted is not None
        self._has_looked = True
        return health

    def tell(self, spec: ClusterStateSpec, outcome: Outcome, *, fault: str) -> Outcome:
        """The outcome with what it comes to, and with what becomes of the revision: it is given up if there is evidence against it.

        Args:
            spec: the ClusterState.
            outcome: of the pass, with the health that `look` found.
            fault: what is wrong with the commit itself, for people; empty if nothing is.
        """
        clock = self._world.clock
        now = clock.now()
        vitals = self._vital.judge(
            spec,
            outcome,
            self._telemetry.known(spec, now),
            pods=self._world.index.readiness.replicas_of(self._owner).values(),
            causes=self._causes.causes,
            now=now,
        )
        is_given_up = self._judge.judge(spec, outcome, vitals, fault=fault, now=now)
        later = [clock.monotonic() + (at - now).total_seconds() for at in self._moments(spec, now)]
        times = [clock.monotonic()] if is_given_up else [*later, *([] if outcome.next_pass_at is None else [outcome.next_pass_at])]
        return replace(
            outcome,
            vitals=vitals,
            history=tuple(self._revision.history.entries),
            quarantined=dict(self._revision.quarantined),
            next_pass_at=min(times, default=None),
        )

    def _moments(self, spec: ClusterStateSpec, now: datetime) -> list[datetime]:
        """When time alone changes something. What is over was judged just now: to name it again would keep the process busy."""
        moments = (self._judge.until, self._health.next_change, self._telemetry.next_change(spec), self._vital.next_change(now))
        return [at for at in moments if at and at > now]
