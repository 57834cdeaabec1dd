"""Who renders together: the scheduler alone, and with real children.

Aspects: who comes while all are busy is done together, by repository and tenant, at most MOST · repositories and tenants take turns · who does not wait any more is passed over · what has to be done alone is
told so · a batch gives everyone his own manifests and his own error · one that fails spoils nothing for those beside it · another tenant shares nothing.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from cvstate_operator import errors
from cvstate_operator.isolation.child import ChildFailedError, Children, Limits
from cvstate_operator.isolation.fair import FairSlots
from cvstate_operator.objects.artifact import Rendered
from cvstate_operator.objects.recipe import Recipe
from cvstate_operator.render import batches
from cvstate_operator.render.batches import Answer, Batches
from tests.unit.render.test_renderer import Place, config_map
from tests.unit.render.trees import Tree

WHERE = ("tenant", "repository")


class Serving:
    """Notes who came together; answers each with its own request, when it may."""

    def __init__(self) -> None:
        self.together: list[list[Any]] = []
        self.go = asyncio.Event()

    async def __call__(self, requests: Sequence[Mapping[str, Any]]) -> Sequence[Answer]:
        self.together.append([request["n"] for request in requests])
        await self.go.wait()
        return [None if request["n"] == "alone" else request for request in requests]


@pytest.fixture
def serving() -> Serving:
    return Serving()


@pytest.fixture
def one(serving: Serving) -> Batches:
    """With one slot."""
    return Batches(serving, FairSlots(1), at_once=1)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_who_comes_while_all_are_busy_is_done_together(serving: Serving, one: Batches) -> None:
    first = asyncio.ensure_future(one.run(*WHERE, {"n": 0}))
    await settle()
    others = [asyncio.ensure_future(one.run(*WHERE, {"n": number})) for number in range(1, batches.MOST + 3)]
    await settle()
    serving.go.set()
    assert await asyncio.gather(first, *others) == [{"n": number} for number in range(batches.MOST + 3)]
    assert [len(group) for group in serving.together] == [1, batches.MOST, 2]


async def test_repositories_take_turns_and_share_nothing(serving: Serving, one: Batches) -> None:
    asking = [
        asyncio.ensure_future(one.run("t", repository, {"n": repository + str(number)})) for repository in "ab" for number in range(40)
    ]
    serving.go.set()
    await asyncio.gather(*asking)
    assert [(group[0][0], len(group)) for group in serving.together] == [("a", 32), ("b", 32), ("a", 8), ("b", 8)]


async def test_tenants_take_turns_however_many_repositories_one_has(serving: Serving, one: Batches) -> None:
    asking = [asyncio.ensure_future(one.run("many", f"r{number}", {"n": f"many{number}"})) for number in range(5)]
    await settle()
    asking += [asyncio.ensure_future(one.run("one", "r", {"n": "one"}))]
    await settle()
    serving.go.set()
    await asyncio.gather(*asking)
    assert [group[0] for group in serving.together] == ["many0", "one", "many1", "many2", "many3", "many4"]


async def test_who_has_nothing_left_to_ask_is_forgotten(serving: Serving, one: Batches) -> None:
    serving.go.set()
    await asyncio.gather(*(one.run(tenant, "r", {"n": tenant}) for tenant in "abc"))
    await settle()
    assert not one._tenants


async def test_who_does_not_wait_any_more_is_passed_over(serving: Serving, one: Batches) -> None:
    busy = asyncio.ensure_future(one.run(*WHERE, {"n": "busy"}))
    await settle()
    gone, left = (asyncio.ensure_future(one.run(*WHERE, {"n": name})) for name in ("gone", "left"))
    other = asyncio.ensure_future(one.run("other", "", {"n": "other"}))
    await settle()
    for task in (gone, other):
        task.cancel()
    await settle()
    serving.go.set()
    await asyncio.gather(busy, left)
    assert not any("gone" in group for group in serving.together)
    assert ["other"] not in serving.together


async def test_a_few_are_divided_among_the_places_that_are_free(serving: Serving) -> None:
    four = Batches(serving, FairSlots(4), at_once=4)
    asking = [asyncio.ensure_future(four.run(*WHERE, {"n": number})) for number in range(8)]
    serving.go.set()
    await asyncio.gather(*asking)
    assert [len(group) for group in serving.together] == [2, 2, 1, 1, 1, 1]


async def test_a_free_place_is_used_again(serving: Serving, one: Batches) -> None:
    serving.go.set()
    for number in range(5):
        assert await one.run(*WHERE, {"n": number}) == {"n": number}
    assert serving.together == [[0], [1], [2], [3], [4]]


async def test_what_has_to_be_done_alone_is_told_so(serving: Serving, one: Batches) -> None:
    serving.go.set()
    assert await one.run(*WHERE, {"n": "alone"}) is None


async def test_whatever_goes_wrong_nobody_is_left_without_an_answer() -> None:
    async def broken(requests: Sequence[Mapping[str, Any]]) -> Sequence[Answer]:
        if requests[0]["n"] == "short":
            return []
        raise OSError("no more files may be opened")

    few = Batches(broken, FairSlots(1), at_once=1)
    async with asyncio.timeout(5):
        found = await asyncio.gather(*(few.run("", name, {"n": name}) for name in ("a", "short", "b")), return_exceptions=True)
        assert [type(one).__name__ for one in found] == ["OSError", "ValueError", "OSError"]
        with pytest.raises(OSError, match="no more files"):
            await few.run(*WHERE, {"n": "later"})


# -- with real children --------------------------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path: Path, children: Children) -> Place:
    place = Place(tmp_path, children)
    place.renderer._slots = FairSlots(1)
    place.renderer._batches = Batches(place.renderer._together, place.renderer._slots, at_once=1)
    return place


async def rendered(place: Place, *texts: str, tenants: Sequence[str] = ("",)) -> list[Rendered | BaseException]:
    """Each text as a directory of one commit, all rendered at once."""
    tree: Tree = {f"d{number}": {"a.yaml": text} for number, text in enumerate(texts)}
    tree |= {"chart": {"Chart.yaml": "apiVersion: v2\nname: c\nversion: 1.0.0\n"}}
    paths = [f"d{number}" if text else "chart" for number, text in enumerate(texts)]
    artifacts = [place.commit(tree, path=path) for path in paths]
    renders = (
        place.renderer.render(artifact, Recipe(), previous=None, tenant=tenants[number % len(tenants)])
        for number, artifact in enumerate(artifacts)
    )
    return await asyncio.gather(*renders, return_exceptions=True)


def names(found: Sequence[Rendered | BaseException]) -> list[list[str] | str]:
    return [[manifest.name for manifest in one.manifests] if isinstance(one, Rendered) else type(one).__name__ for one in found]


async def test_a_batch_gives_everyone_what_is_his(place: Place) -> None:
    found = await rendered(place, *(config_map(f"n{number}") for number in range(6)))
    assert names(found) == [[f"n{number}"] for number in range(6)]
    assert len(place.answers) == 1
    for one in found:
        assert isinstance(one, Rendered)
        assert place.renderer.body(one.manifests[0])["metadata"]["name"] == one.manifests[0].name


async def test_what_is_wrong_for_one_is_wrong_for_nobody_else(place: Place) -> None:
    """The third is a chart, which Helm would have to render: it is done alone, and there is no Helm here."""
    found = await rendered(place, config_map("a"), "not: [yaml", "", config_map("d"))
    assert names(found) == [["a"], [], "ToolMissingError", ["d"]]
    assert isinstance(found[1], Rendered)
    assert found[1].problems


async def test_another_tenant_shares_no_child(place: Place) -> None:
    found = await rendered(place, *(config_map(f"n{number}") for number in range(8)), tenants=("a", "b"))
    assert names(found) == [[f"n{number}"] for number in range(8)]
    assert [len(answer["answers"]) for answer in place.answers] == [4, 4]


async def test_where_a_child_dies_each_is_done_alone(place: Place) -> None:
    run = place.children.run

    async def fragile(task: str, request: dict[str, Any], *, limits: Limits) -> dict[str, Any]:
        if "batch" in request:
            raise ChildFailedError("killed")
        return await run(task, request, limits=limits)

    place.children.run = fragile  # type: ignore[method-assign]
    assert names(await rendered(place, *(config_map(f"n{number}") for number in range(4)))) == [[f"n{number}"] for number in range(4)]


async def test_a_batch_takes_up_no_more_after_its_time(place: Place, tmp_path: Path) -> None:
    from cvstate_operator.render import build

    requests = []
    run = place.children.run

    async def noted(task: str, request: dict[str, Any], *, limits: Limits) -> dict[str, Any]:
        requests.append(request)
        return await run(task, request, limits=limits)

    place.children.run = noted  # type: ignore[method-assign]
    await rendered(place, config_map("a"), config_map("b"), config_map("c"))
    batch = next(request for request in requests if "batch" in request)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "BATCH_SECONDS", 0.0)
        assert build.handle(batch) == {"answers": [{}, {}, {}]}
    assert all(answer["ok"] for answer in build.handle(batch)["answers"])
    lost = {"batch": [{**one, "repository": str(tmp_path / "none")} for one in batch["batch"]]}
    assert {answer["error"]["type"] for answer in build.handle(lost)["answers"]} == {errors.CacheLostError.__name__}
