"""The left stage of one ClusterState: in a rollback, what the revision declares that was given up. What the rollback leaves alone is compared with that."""

from typing import Final

from cvstate_operator.api.clusterstate import ClusterStateSpec
from cvstate_operator.objects.artifact import Artifact
from cvstate_operator.plan.desired import Desired
from cvstate_operator.reconcile.place_stage import PlaceStage
from cvstate_operator.reconcile.ports import World
from cvstate_operator.reconcile.render_stage import RenderStage

NOTHING: Final = Desired()
"""What is declared where no revision was given up since the good one."""


class LeftStage:
    """Of one ClusterState. Costs a render for each revision that is given up, and nothing without a rollback. Not for concurrent use."""

    def __init__(self, world: World, *, name: str, namespace: str) -> None:
        """
        Args:
            world: everything outside.
            name: of the ClusterState.
            namespace: of the ClusterState.
        """
        self._world = world
        self._name = name
        self._namespace = namespace
        self.clear()

    @property
    def store_keys(self) -> frozenset[str]:
        """What it uses of the render store."""
        return self._render.store_keys

    @property
    def again_at(self) -> float | None:
        """When a render that failed for a passing reason should be tried again, monotonic seconds."""
        return self._render.again_at

    def clear(self) -> None:
        """There is no rollback, or none that leaves anything."""
        self._render = RenderStage(self._world, name=self._name, namespace=self._namespace)
        self._place = PlaceStage(self._world, namespace=self._namespace)

    def lost(self) -> None:
        """Rendered objects turned out to be damaged: make all of them again."""
        self._render.lost()

    async def declared(self, spec: ClusterStateSpec, artifact: Artifact, *, full: bool) -> Desired | None:
        """What the commit declares; None if it cannot be rendered now.

        Raises:
            CacheLostError: the repository must be fetched again first.
            CvstateError: the API server could not be asked which kinds it serves.
        """
        await self._render.render(spec, artifact, full=full)
        if self._render.rendered is None or self._render.commit != artifact.commit:
            return None
        await self._place.place(spec, self._render.rendered, full=full)
        return self._place.desired
