"""The render stage of one ClusterState: the newest commit as manifests, by a recipe that is read anew with each full resync."""

from cvstate_operator import errors
from cvstate_operator.api.clusterstate import ClusterStateSpec
from cvstate_operator.api.duration import parse_seconds
from cvstate_operator.objects.artifact import Artifact, Rendered
from cvstate_operator.objects.recipe import Recipe
from cvstate_operator.plan import backoff
from cvstate_operator.reconcile import inputs
from cvstate_operator.reconcile.ports import World


class RenderStage:
    """Not for concurrent use."""

    def __init__(self, world: World, *, name: str, namespace: str, former: tuple[str, str] = ("", "")) -> None:
        """
        Args:
            world: everything outside.
            name: of the ClusterState.
            namespace: of the ClusterState.
            former: path and kind of the render that was applied last, from before this process.
        """
        self._world = world
        self._former = former
        self._name = name
        self._namespace = namespace
        self._made_of: tuple[Artifact, Recipe] | None = None
        self._failed_for: tuple[Artifact, Recipe | None] | None = None
        """What the last render failed for; without a recipe if that could not be read."""
        self._not_before = 0.0
        """The same inputs that failed are not tried again before, whoever asks (monotonic seconds)."""
        self._attempt = 0
        self.rendered: Rendered | None = None
        """The last render that succeeded; stays in use while a newer one fails."""
        self.error: errors.CvstateError | None = None
        """Why the newest commit could not be rendered."""
        self.again_at: float | None = None
        """When a render that failed for a passing reason should be tried again, monotonic seconds."""

    @property
    def commit(self) -> str:
        """What `rendered` is of; empty if it has to be made again."""
        return self._made_of[0].commit if self._made_of else ""

    @property
    def store_keys(self) -> frozenset[str]:
        """What `rendered` uses of the render store."""
        return frozenset(piece.key for piece in self.rendered.pieces.values()) if self.rendered else frozenset()

    async def render(self, spec: ClusterStateSpec, artifact: Artifact, *, full: bool) -> bool:
        """Bring `rendered` up to date; True if it is another one now.

        Raises:
            CacheLostError: the repository must be fetched again first.
        """
        due = self.again_at is not None and self._world.clock.monotonic() >= self.again_at
        tried = (self._made_of, self._failed_for)
        if not (full or due) and any(what is not None and what[0] is artifact for what in tried):
            return False
        recipe = None
        try:
            recipe = await self._recipe(spec, anew=full or due)
            if self._failed_for == (artifact, recipe) and self._world.clock.monotonic() < self._not_before:
                return False
            if self._is_up_to_date(artifact, recipe):
                self._made_of = (artifact, recipe)
                self._succeed()
                return False
            previous = self.rendered if self._is_comparable(artifact, recipe) else None
            rendered = await self._world.renderer.render(artifact, recipe, previous=previous, tenant=self._namespace)
            self._require_kind(artifact, recipe, rendered)
            self.rendered = rendered
        except errors.CacheLostError:
            raise
        except errors.CvstateError as exc:
            self._fail(artifact, recipe, exc)
            return False
        self._made_of, self._former = (artifact, recipe), (artifact.path, rendered.type)
        self._succeed()
        return True

    def is_made_of(self, artifact: Artifact) -> bool:
        """Whether an artifact holds what `rendered` was made of; by the commit alone, whatever the recipe is by now.

        A kustomization, a chart or a link may use other directories than its own; plain YAML does not, and says so in `Rendered.directory`.
        """
        if self._made_of is None or self.rendered is None:
            return False
        before = self._made_of[0]
        is_there = (before.repository, before.path) == (artifact.repository, artifact.path)
        return is_there and (before.tree == artifact.tree or self.rendered.directory == artifact.directory)

    def lost(self) -> None:
        """Rendered objects turned out to be damaged: make all of them again."""
        self._made_of = None

    def _require_kind(self, artifact: Artifact, recipe: Recipe, rendered: Rendered) -> None:
        """Refuse plain files where a kustomization or a chart was: with its file gone, patches and templates would be taken for objects, and the rest pruned."""
        path, kind = self._former
        if recipe.type == "Auto" and rendered.type == "Plain" and kind not in ("", "Plain") and path == artifact.path:
            raise errors.BuildFailedError(
                f"path {path} was rendered by {kind}, and the file that says so is gone; nothing was applied or pruned. "
                "Restore it, or set spec.render.type: Plain"
            )

    async def _recipe(self, spec: ClusterStateSpec, *, anew: bool) -> Recipe:
        """How to render, read `anew` where it may have changed without a word."""
        cluster = self._world.cluster
        if anew and self.rendered and self.rendered.type == "Helm":
            await cluster.discover()
        return await inputs.recipe(
            self._world.references,
            spec,
            name=self._name,
            namespace=self._namespace,
            capabilities=cluster.capabilities(),
            max_age=0.0 if anew else parse_seconds(spec.interval),
        )

    def _is_comparable(self, artifact: Artifact, recipe: Recipe) -> bool:
        """What changed since the last render can be told only within one directory of one repository."""
        if self._made_of is None or self.rendered is None:
            return False
        before, kind = self._made_of[0], self.rendered.type
        if self._made_of[1].bearing_on(kind) != recipe.bearing_on(kind):
            return False
        return (before.repository, before.path) == (artifact.repository, artifact.path)

    def _is_up_to_date(self, artifact: Artifact, recipe: Recipe) -> bool:
        return self._is_comparable(artifact, recipe) and self.is_made_of(artifact)

    def _succeed(self) -> None:
        self.error = self._failed_for = self.again_at = None
        self._attempt = 0

    def _fail(self, artifact: Artifact, recipe: Recipe | None, error: errors.CvstateError) -> None:
        self.error, self._failed_for = error, (artifact, recipe)
        self._attempt += 1
        passes = isinstance(error, errors.TransientError | errors.WaitingError)
        clock = self._world.clock
        self._not_before = clock.monotonic() + backoff.pause_seconds(error, self._attempt, random=clock.random())
        self.again_at = self._not_before if passes else None
