"""The gate stage of one ClusterState: what may be written in this pass, as told by the spec, the time, other objects and an EmergencyStop."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from cvstate_operator import errors
from cvstate_operator.api.clusterstate import ClusterStateSpec
from cvstate_operator.api.dependencies import Dependency
from cvstate_operator.objects.identity import Gvk, ObjectRef
from cvstate_operator.plan import dependencies, gates, windows
from cvstate_operator.plan.gates import Block, Gates
from cvstate_operator.plan.windows import WindowState
from cvstate_operator.reconcile.ports import World

DEPENDENCY_SECONDS: Final = 5.0
"""How often a dependency is looked at that is not ready: one GET each."""


class GateStage:
    """Not for concurrent use."""

    def __init__(self, world: World, *, namespace: str) -> None:
        self._world = world
        self._namespace = namespace
        self.this: Mapping[str, Any] = {}
        """The ClusterState as the API server gave it last."""
        self._before: object = None
        self._revision = ""
        self._waits_for = ""
        self._looked_at: float | None = None
        self.windows: WindowState | None = None
        """What spec.windows say; None if there are none."""

    async def judge(
        self, spec: ClusterStateSpec, *, revision: str = "", is_settled: bool, is_unread: bool = False, burning: Block | None = None
    ) -> tuple[Gates, bool]:
        """Which gates are closed, and whether they are others than in the pass before.

        Args:
            spec: the ClusterState.
            revision: the newest one of the source, which is to be applied.
            is_settled: whether no new revision is to be applied, so that dependencies do not matter.
            is_unread: whether the source was not read since its spec changed.
            burning: the SLO that holds it back; None if none does.
        """
        self.windows = windows.state(spec.windows, self._world.clock.now()) if spec.windows else None
        self._revision = revision
        await self._ask(spec, is_settled=is_settled)
        found = gates.judge(
            stop=self._world.stopped(),
            suspend=spec.suspend,
            mode=spec.mode,
            windows=self.windows,
            waits_for=self._waits_for,
            is_unread=is_unread,
            burning=burning,
            policy=spec.gates,
        )
        now = {action: block.reason for action, block in found.blocks.items()}
        is_other, self._before = self._before is not None and now != self._before, now
        return found, is_other

    def again_at(self) -> float | None:
        """When a gate may open or close by itself, monotonic seconds; None if that is not known."""
        clock = self._world.clock
        times = [self._looked_at + DEPENDENCY_SECONDS] if self._waits_for and self._looked_at is not None else []
        if self.windows and self.windows.next_change:
            times.append(clock.monotonic() + _seconds(clock.now(), self.windows.next_change))
        return min(times, default=None)

    async def _ask(self, spec: ClusterStateSpec, *, is_settled: bool) -> None:
        """Look at the dependencies, if that matters and was not done just now."""
        now = self._world.clock.monotonic()
        if is_settled or not spec.depends_on:
            self._waits_for, self._looked_at = "", None
            return
        if self._waits_for and self._looked_at is not None and now < self._looked_at + DEPENDENCY_SECONDS:
            return
        self._looked_at, self._waits_for = now, ""
        for dependency in spec.depends_on:
            if why := await self._lacks(dependency):
                self._waits_for = why
                return

    async def _lacks(self, dependency: Dependency) -> str:
        """What a dependency lacks to be ready, for people; empty if nothing."""
        cluster, gvk = self._world.home, Gvk.parse(dependency.api_version, dependency.kind)
        resource = cluster.resource(gvk)
        if resource is None:
            await cluster.discover()
            resource = cluster.resource(gvk)
        live = None
        if resource:
            ref = ObjectRef(gvk.group, gvk.kind, self._namespace if resource.namespaced else "", dependency.name)
            try:
                live = await cluster.read(resource, ref)
            except errors.CvstateError as exc:
                return f"{ref} cannot be read: {exc.message}"
        waits = dependencies.judge(dependency, live, self.this, revision=self._revision)
        return waits.message if waits else ""


def _seconds(now: datetime, then: datetime) -> float:
    return max(0.0, (then - now).total_seconds())
