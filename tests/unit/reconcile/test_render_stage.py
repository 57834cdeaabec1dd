"""The render stage, on fakes of its ports.

Aspects: when a render is made and when not · what it may start from · failures · recipes are read anew · a lost cache.
"""

from typing import Any

import pytest

from cvstate_operator import errors
from cvstate_operator.objects.artifact import Artifact, Rendered
from cvstate_operator.objects.identity import ApiResource, Gvk
from cvstate_operator.objects.recipe import Recipe
from cvstate_operator.reconcile.render_stage import RenderStage
from tests.unit.builders import artifact, rendered
from tests.unit.reconcile.fakes import Stage, spec

CONFIG_MAP = ("ConfigMap", "default", "vars")
WITH_VARIABLES: dict[str, Any] = {"substituteFrom": [{"kind": "ConfigMap", "name": "vars"}]}


class Renders:
    """A render stage with everything around it; remembers what each render started from."""

    def __init__(self) -> None:
        self.around = Stage()
        self.references = self.around.references
        self.clock = self.around.clock
        self.made: list[tuple[str, Recipe, Rendered | None]] = []
        """Commit, recipe and earlier render of each render."""
        self.error: errors.CvstateError | None = None
        self.type = "Plain"
        self.directory: str | None = None
        self.around.git.render = self._render  # type: ignore[method-assign, assignment]
        self.stage = RenderStage(self.around.world, name="state", namespace="default")
        self.spec = spec()

    async def _render(self, of: Artifact, recipe: Recipe, *, previous: Rendered | None, tenant: str) -> Rendered:
        self.made.append((of.commit, recipe, previous))
        if self.error:
            raise self.error
        return rendered(type=self.type, directory=of.directory if self.directory is None else self.directory)

    async def render(self, of: Artifact, *, full: bool = False) -> bool:
        return await self.stage.render(self.spec, of, full=full)


@pytest.fixture
def renders() -> Renders:
    return Renders()


ONE, TWO = artifact("1" * 40), artifact("2" * 40)

# -- when --------------------------------------------------------------------------------------------------------------


async def test_a_commit_is_rendered_once(renders: Renders) -> None:
    assert await renders.render(ONE)
    assert renders.stage.rendered is not None
    assert not await renders.render(ONE)
    assert not await renders.render(ONE, full=True)
    assert len(renders.made) == 1


async def test_a_new_commit_is_rendered_from_what_is_known(renders: Renders) -> None:
    await renders.render(ONE)
    first = renders.stage.rendered
    assert await renders.render(TWO)
    assert [previous for _, _, previous in renders.made] == [None, first]
    assert renders.stage.rendered is not first


async def test_a_commit_that_leaves_the_directory_as_it_was_is_not_rendered(renders: Renders) -> None:
    await renders.render(ONE)
    first = renders.stage.rendered
    assert not await renders.render(artifact("3" * 40, directory=ONE.directory))
    assert renders.stage.rendered is first


@pytest.mark.parametrize(
    ("kind", "directory"),
    [pytest.param("Kustomize", "", id="kustomize"), pytest.param("Helm", "", id="helm"), pytest.param("Plain", "", id="with-links")],
)
async def test_what_may_depend_on_other_directories_is_rendered_with_every_tree(renders: Renders, kind: str, directory: str) -> None:
    renders.type, renders.directory = kind, directory
    await renders.render(ONE)
    assert await renders.render(artifact("3" * 40, directory=ONE.directory))
    assert not await renders.render(artifact("4" * 40, directory=ONE.directory, tree=f"tree-{'3' * 40}"))


@pytest.mark.parametrize("changes", [{"path": "other"}, {"repository": "/other"}])
async def test_another_place_is_rendered_from_nothing(renders: Renders, changes: dict[str, str]) -> None:
    await renders.render(ONE)
    elsewhere = artifact(ONE.commit, **changes)
    assert await renders.render(elsewhere)
    assert renders.made[-1][2] is None


async def test_what_the_store_lost_is_rendered_from_nothing(renders: Renders) -> None:
    await renders.render(ONE)
    renders.stage.lost()
    assert await renders.render(ONE)
    assert renders.made[-1][2] is None


# -- recipes -----------------------------------------------------------------------------------------------------------


async def test_another_recipe_is_noticed_by_a_full_pass_and_rendered_from_nothing(renders: Renders) -> None:
    renders.spec = spec(render=WITH_VARIABLES)
    renders.references.data[CONFIG_MAP] = {"a": b"1"}
    await renders.render(ONE)
    renders.references.data[CONFIG_MAP] = {"a": b"2"}
    assert not await renders.render(ONE)
    assert await renders.render(ONE, full=True)
    assert [recipe.variables for _, recipe, _ in renders.made] == [{"a": "1"}, {"a": "2"}]
    assert renders.made[-1][2] is None


@pytest.mark.parametrize(("kind", "again"), [("Plain", False), ("Kustomize", False), ("Helm", True)])
async def test_a_new_kind_in_the_cluster_matters_to_charts_alone(renders: Renders, kind: str, again: bool) -> None:
    renders.type = kind
    assert await renders.render(ONE)
    renders.around.cluster.served.add(ApiResource(Gvk("example.io", "v1", "Widget"), "widgets", True))
    assert await renders.render(ONE, full=True) is again
    assert ("example.io/v1" in renders.made[-1][1].helm.api_versions) is again


@pytest.mark.parametrize(("kind", "again"), [("Plain", False), ("Helm", True)])
async def test_other_values_of_a_chart_matter_to_charts_alone(renders: Renders, kind: str, again: bool) -> None:
    renders.type = kind
    assert await renders.render(ONE)
    renders.spec = spec(render={"helm": {"values": {"a": 1}}})
    assert await renders.render(ONE, full=True) is again


async def test_references_are_read_anew_by_full_passes_only(renders: Renders) -> None:
    renders.spec = spec(render=WITH_VARIABLES)
    renders.references.data[CONFIG_MAP] = {}
    await renders.render(ONE)
    await renders.render(TWO)
    await renders.render(TWO, full=True)
    assert [max_age for _, _, max_age in renders.references.reads] == [600.0, 600.0, 0.0]


@pytest.mark.parametrize("kind", ["Kustomize", "Helm"])
async def test_plain_files_where_something_else_was_are_refused_until_they_are_meant(renders: Renders, kind: str) -> None:
    renders.type = kind
    await renders.render(ONE)
    renders.type = "Plain"
    assert not await renders.render(TWO)
    assert isinstance(renders.stage.error, errors.BuildFailedError)
    assert "render.type: Plain" in renders.stage.error.message
    assert renders.stage.rendered is not None
    assert renders.stage.rendered.type == kind
    renders.spec = spec(render={"type": "Plain"})
    assert await renders.render(TWO, full=True)


@pytest.mark.parametrize(
    ("former", "is_taken"), [((".", "Helm"), False), ((".", "Plain"), True), (("other", "Helm"), True), (("", ""), True)]
)
async def test_what_was_rendered_before_a_restart_counts_too(renders: Renders, former: tuple[str, str], is_taken: bool) -> None:
    renders.stage = RenderStage(renders.around.world, name="state", namespace="default", former=former)
    assert await renders.render(ONE) is is_taken


# -- failures ----------------------------------------------------------------------------------------------------------


async def test_a_failed_render_leaves_the_last_good_one_in_use(renders: Renders) -> None:
    await renders.render(ONE)
    good = renders.stage.rendered
    renders.error = errors.BuildFailedError("no")
    assert not await renders.render(TWO)
    assert renders.stage.rendered is good
    assert renders.stage.error is renders.error
    renders.error = None
    assert await renders.render(artifact("3" * 40))
    assert renders.made[-1][2] is good
    assert renders.stage.error is None


@pytest.mark.parametrize("error", [errors.BuildFailedError("no"), errors.RenderTimeoutError("slow"), errors.ToolMissingError("helm")])
async def test_what_cannot_succeed_waits_for_a_commit_or_a_full_pass(renders: Renders, error: errors.CvstateError) -> None:
    renders.error = error
    await renders.render(ONE)
    assert renders.stage.again_at is None
    for _ in range(3):
        renders.clock.seconds += 1000
        assert not await renders.render(ONE)
    assert len(renders.made) == 1
    await renders.render(ONE, full=True)
    assert len(renders.made) == 2


async def test_the_same_inputs_that_failed_are_tried_again_ever_more_rarely_however_often_one_asks(renders: Renders) -> None:
    """A chart that loops takes a minute of CPU each time."""
    renders.error = errors.RenderTimeoutError("no")
    for _ in range(600):
        await renders.render(ONE, full=True)
        renders.clock.seconds += 5
    assert len(renders.made) <= 10
    renders.spec = spec(render={"helm": {"values": {"a": 1}}})
    before = len(renders.made)
    await renders.render(ONE, full=True)
    assert len(renders.made) == before + 1


async def test_going_back_to_the_good_commit_ends_the_error_without_a_render(renders: Renders) -> None:
    await renders.render(ONE)
    renders.error = errors.BuildFailedError("no")
    await renders.render(TWO)
    back = artifact(ONE.commit)
    assert not await renders.render(back)
    assert renders.stage.error is None
    assert len(renders.made) == 2


async def test_a_missing_reference_is_looked_for_again_and_again_with_growing_pauses(renders: Renders) -> None:
    renders.spec = spec(render=WITH_VARIABLES)
    pauses = []
    for _ in range(4):
        await renders.render(ONE)
        assert isinstance(renders.stage.error, errors.ReferenceMissingError)
        assert renders.stage.again_at is not None
        reads = len(renders.references.reads)
        assert not await renders.render(ONE)
        assert len(renders.references.reads) == reads
        pauses.append(renders.stage.again_at - renders.clock.seconds)
        renders.clock.seconds = renders.stage.again_at
    assert pauses == sorted(set(pauses))
    renders.references.data[CONFIG_MAP] = {"a": b"1"}
    assert await renders.render(ONE)
    assert (renders.stage.error, renders.stage.again_at) == (None, None)


async def test_what_was_missing_is_not_taken_from_what_is_kept(renders: Renders) -> None:
    renders.spec = spec(render=WITH_VARIABLES)
    await renders.render(ONE)
    assert renders.stage.again_at is not None
    renders.clock.seconds = renders.stage.again_at
    await renders.render(ONE)
    assert [max_age for _, _, max_age in renders.references.reads] == [600.0, 0.0]


async def test_pauses_begin_anew_after_a_success(renders: Renders) -> None:
    renders.spec = spec(render=WITH_VARIABLES)
    first = []
    for commit in ("1", "2"):
        renders.references.data.clear()
        await renders.render(artifact(commit * 40))
        assert renders.stage.again_at is not None
        first.append(renders.stage.again_at - renders.clock.seconds)
        renders.references.data[CONFIG_MAP] = {}
        await renders.render(artifact(commit * 40), full=True)
    assert first[0] == first[1]


async def test_a_lost_cache_is_not_a_failed_render(renders: Renders) -> None:
    await renders.render(ONE)
    renders.error = errors.CacheLostError("damaged")
    with pytest.raises(errors.CacheLostError):
        await renders.render(TWO)
    assert renders.stage.error is None
    renders.error = None
    assert await renders.render(TWO)


async def test_a_fault_of_our_own_is_not_taken_for_the_commits(renders: Renders, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fault(*args: Any, **kwargs: Any) -> Rendered:
        raise ZeroDivisionError

    monkeypatch.setattr(renders.around.git, "render", fault)
    with pytest.raises(ZeroDivisionError):
        await renders.render(ONE)
