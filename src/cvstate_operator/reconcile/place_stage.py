"""The place stage of one ClusterState: manifests become desired objects, each in its kind and namespace."""

from collections.abc import Sequence

from cvstate_operator import errors
from cvstate_operator.api.clusterstate import ClusterStateSpec
from cvstate_operator.drift.rules import is_kind
from cvstate_operator.objects.artifact import Rendered
from cvstate_operator.objects.identity import ApiResource, Gvk, ObjectRef
from cvstate_operator.plan import backoff, crds, desired
from cvstate_operator.plan.desired import Desired
from cvstate_operator.reconcile import inputs
from cvstate_operator.reconcile.ports import World


class PlaceStage:
    """Not for concurrent use."""

    def __init__(self, world: World, *, namespace: str) -> None:
        self._world = world
        self._namespace = namespace
        self._placed: Rendered | None = None
        self._attempt = 0
        self._declared: Desired | None = None
        """What was placed last."""
        self._whole: frozenset[ObjectRef] | None = None
        """What the last commit declared of which everything could be used, while something of the newest cannot; None while all can."""
        self._left: tuple[tuple[str, ...], Desired | None] | None = None
        """Kinds that a rollback leaves, and what the revision declares that was given up; None without a rollback."""
        self.desired: Desired | None = None
        """What should be in the cluster; None until something was placed."""
        self.again_at: float | None = None
        """When to look again whether a kind is served by now, monotonic seconds; None if none is missing."""

    async def place(self, spec: ClusterStateSpec, rendered: Rendered, *, full: bool) -> bool:
        """Place what was rendered; True if the desired objects are new.

        Raises:
            CvstateError: the API server could not be asked which kinds it serves.
        """
        is_due = self.again_at is not None and (full or self._world.clock.monotonic() >= self.again_at)
        if rendered is self._placed and not is_due:
            return False
        # Unset until it is placed: a pass that ends here by an error is repeated from the placing on.
        self._placed = None
        await self._place(spec, rendered)
        self._placed = rendered
        self._settle()
        return True

    @property
    def hidden(self) -> frozenset[ObjectRef]:
        """Objects that were declared before something could not be used, and that may stand in that."""
        return self._whole.difference(self._declared.objects) if self._whole and self._declared else frozenset()

    def leave(self, kinds: Sequence[str], given_up: Desired | None) -> bool:
        """A rollback leaves objects of these kinds as `given_up` declares them, None if that is not known; True if that is new."""
        return self._leave((tuple(kinds), given_up))

    def leave_nothing(self) -> bool:
        """There is no rollback; True if that is new."""
        return self._leave(None)

    def _leave(self, left: tuple[tuple[str, ...], Desired | None] | None) -> bool:
        before, self._left = self._left, left
        is_same = before is left or (before is not None and left is not None and before[0] == left[0] and before[1] is left[1])
        if not is_same:
            self._settle()
        return not is_same

    def _settle(self) -> None:
        if self._declared is None or self._left is None:
            self.desired = self._declared
            return
        kinds, given_up = self._left

        def leaves(ref: ObjectRef) -> bool:
            return any(is_kind(ref, kind) for kind in kinds)

        self.desired = desired.leave(self._declared, given_up, leaves)

    async def _place(self, spec: ClusterStateSpec, rendered: Rendered) -> None:
        cluster = self._world.cluster
        gvks = {m.gvk for m in rendered.manifests}
        definitions = {gvk for gvk in gvks if crds.is_crd(gvk.group_kind)}
        declared = crds.declared_resources(self._world.renderer.body(m) for m in rendered.manifests if definitions and m.gvk in definitions)

        def resolve(gvk: Gvk) -> ApiResource | None:
            return cluster.resource(gvk) or declared.get(gvk)

        if any(resolve(gvk) is None for gvk in gvks):
            await cluster.discover()
        namespace = inputs.release_namespace(spec, self._namespace) if rendered.type == "Helm" else self._namespace
        before = self._declared
        self._declared = found = desired.place(
            rendered.manifests, rendered.problems, resolve=resolve, namespace=namespace, target_namespace=spec.render.target_namespace
        )
        if not found.problems:
            self._whole = None
        elif self._whole is None and before is not None:
            self._whole = frozenset(before.objects)
        await self._world.clock.sleep(0)
        unknown = any(problem.reason == errors.KindUnknownError.reason for problem in found.problems)
        self._attempt = self._attempt + 1 if unknown else 0
        clock = self._world.clock
        pause = backoff.pause_seconds(errors.KindUnknownError(""), self._attempt, random=clock.random()) if unknown else 0.0
        self.again_at = clock.monotonic() + pause if unknown else None
