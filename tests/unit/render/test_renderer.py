"""The renderer with real child processes.

Aspects: manifests, their bodies and directives · only what a commit changed · bad files hold nothing but themselves · the same commit, the same digests · children that
hang, die or eat memory · tenants by turns · what programs write · a store or repository that is lost.
"""

import asyncio
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pygit2
import pytest

from cvstate_operator import errors
from cvstate_operator.isolation.child import Children, ChildTimeoutError, Limits
from cvstate_operator.isolation.memory import Memory
from cvstate_operator.objects.artifact import Artifact, Rendered
from cvstate_operator.objects.directives import DEFAULT, Directives, Prune
from cvstate_operator.objects.identity import Gvk
from cvstate_operator.objects.manifest import Origin
from cvstate_operator.objects.problem import Problem
from cvstate_operator.objects.recipe import Recipe
from cvstate_operator.render import renderer as module
from cvstate_operator.render.checkout import PARTS
from cvstate_operator.render.program import MAX_OUTPUT_BYTES
from cvstate_operator.render.renderer import Renderer
from cvstate_operator.render.store import Store
from tests.unit.builders import artifact
from tests.unit.render.trees import Tree, link, write

PLAIN = Recipe()


def config_map(name: str, data: str = "x") -> str:
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{a: {data}}}\n"


class Place:
    """A repository, a store and a renderer."""

    def __init__(self, directory: Path, children: Children) -> None:
        self.repository = pygit2.init_repository(str(directory / "r.git"), bare=True)
        self.store = Store(directory / "rendered")
        self.children = children
        self.memory = Memory()
        self.renderer = Renderer(self.store, children, tools={}, memory=self.memory)
        self.answers: list[dict[str, Any]] = []
        run = children.run

        async def noted(*args: Any, **kwargs: Any) -> dict[str, Any]:
            self.answers.append(await run(*args, **kwargs))
            return self.answers[-1]

        children.run = noted  # type: ignore[method-assign]

    def limit_memory(self, limit_bytes: int) -> None:
        """Have the operator and its children live in a container of that size."""
        self.memory = Memory(limit_bytes)
        self.renderer = Renderer(self.store, self.children, tools={}, memory=self.memory)

    def commit(self, tree: Tree, *, path: str = ".") -> Artifact:
        root = write(self.repository, tree)
        directory = root if path == "." else root[path]
        return artifact(str(root.id), repository=self.repository.path, path=path, tree=str(root.id), directory=str(directory.id))

    async def render(self, tree: Tree, recipe: Recipe = PLAIN, *, previous: Rendered | None = None, path: str = ".") -> Rendered:
        return await self.renderer.render(self.commit(tree, path=path), recipe, previous=previous)


@pytest.fixture
def place(tmp_path: Path, children: Children) -> Place:
    return Place(tmp_path, children)


def names(rendered: Rendered) -> list[str]:
    return [manifest.name for manifest in rendered.manifests]


def described(rendered: Rendered) -> list[tuple[Any, ...]]:
    """What a render says, whatever file of the store holds it."""
    return [*((m.ref, m.digest, m.origin) for m in rendered.manifests), *((problem,) for problem in rendered.problems)]


# -- manifests ---------------------------------------------------------------------------------------------------------


async def test_a_manifest_says_what_it_is_and_where_it_stands(place: Place) -> None:
    deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: b, namespace: web}\n"
    rendered = await place.render({"d": {"a.yaml": config_map("a") + "---\n" + deployment}})
    first, second = rendered.manifests
    assert (second.gvk, second.namespace, second.name) == (Gvk("apps", "v1", "Deployment"), "web", "b")
    assert second.origin == Origin("d/a.yaml", 2, 6)
    assert place.renderer.body(first)["data"] == {"a": "x"}
    assert place.renderer.body(second)["metadata"] == {"name": "b", "namespace": "web"}
    assert (rendered.type, rendered.tool, rendered.warnings, rendered.problems) == ("Plain", "", (), ())


async def test_what_manifests_have_in_common_is_kept_once(place: Place) -> None:
    files: Tree = {f"{name}.yaml": config_map(name).replace("}", ", namespace: shop}", 1) for name in ("a", "b")}
    first, second = (await place.render(files)).manifests
    assert first.gvk is second.gvk
    assert first.namespace is second.namespace


async def test_directives_come_through_the_store(place: Place) -> None:
    kept = config_map("kept").replace("{name: kept}", "{name: kept, annotations: {cvstate.io/prune: disabled, cvstate.io/wave: '-2'}}")
    tree: Tree = {"a.yaml": config_map("a") + "---\n" + kept + "---\n" + config_map("c")}
    first = await place.render(tree)
    again = await Renderer(place.store, place.children, tools={}).render(place.commit(tree), PLAIN, previous=None)
    for rendered in (first, again):
        found = [manifest.directives for manifest in rendered.manifests]
        assert found[1] == Directives(prune=Prune.DISABLED, delete_with_parent=False, wave=-2)
        assert found[0] is found[2] is DEFAULT


async def test_a_directive_that_is_not_known_is_a_problem_with_its_place(place: Place) -> None:
    bad = config_map("b").replace("{name: b}", "{name: b, annotations: {cvstate.io/prune: maybe}}")
    rendered = await place.render({"d": {"a.yaml": config_map("a") + "---\n" + bad}})
    assert names(rendered) == ["a"]
    message = "annotation cvstate.io/prune: 'maybe' is not one of Enabled, Disabled, Confirm"
    assert rendered.problems == (Problem("d/a.yaml", 2, "ConfigMap/b", "Invalid", message, "metadata.annotations[cvstate.io/prune]"),)


async def test_a_body_may_be_changed_by_who_asked_for_it(place: Place) -> None:
    (manifest,) = (await place.render({"a.yaml": config_map("a")})).manifests
    place.renderer.body(manifest)["data"]["a"] = "changed"
    assert place.renderer.body(manifest)["data"]["a"] == "x"


async def test_the_recipe_reaches_the_child(place: Place) -> None:
    tree: Tree = {"a.yaml": config_map("a", "${v}"), "b.yaml": config_map("b"), "c.yaml": config_map("c")}
    recipe = Recipe(include=("[ab].yaml",), exclude=("b.*",), variables={"v": "filled"}, common_labels={"team": "x"})
    (manifest,) = (await place.render(tree, recipe)).manifests
    body = place.renderer.body(manifest)
    assert (body["data"], body["metadata"]["labels"]) == ({"a": "filled"}, {"team": "x"})


async def test_a_directory_without_manifests_gives_nothing_and_is_no_error(place: Place) -> None:
    rendered = await place.render({"README.md": ""})
    assert (rendered.manifests, rendered.problems) == ((), ())


# -- only what a commit changed ----------------------------------------------------------------------------------------


async def test_after_a_commit_only_its_files_are_told_by_the_child(place: Place) -> None:
    tree: Tree = {f"{n:03}.yaml": config_map(f"m{n}") for n in range(100)}
    first = await place.render(tree)
    now: Tree = {**tree, "000.yaml": config_map("m0", "changed"), "d": {"new.yaml": config_map("new")}}
    del now["001.yaml"]
    second = await place.render(now, previous=first)
    assert list(place.answers[-1]["changed"]) == ["000.yaml", "d/new.yaml"]
    assert len(place.answers[-1]["indexes"]) == 2
    assert names(second) == ["m0", *(f"m{n}" for n in range(2, 100)), "new"]
    assert all(second.pieces[path] is first.pieces[path] for path in first.pieces if path not in ("000.yaml", "001.yaml"))
    assert place.renderer.body(second.manifests[0])["data"] == {"a": "changed"}


async def test_step_by_step_and_at_once_lead_to_the_same(place: Place) -> None:
    steps: list[Tree] = [
        {"a.yaml": config_map("a"), "bad.yaml": "a: ["},
        {"a.yaml": config_map("a"), "bad.yaml": config_map("good")},
        {"a.yaml": link("bad.yaml"), "bad.yaml": config_map("good")},
        {"a.yaml": {"x.yaml": config_map("x")}, "bad.yaml": "a: 1\na: 2"},
        {"l": link("d"), "d": {"y.yaml": config_map("y1")}},
        {"l": link("d"), "d": config_map("no manifest any more")},
        {"l.yaml": link("d"), "d": config_map("no manifest any more")},
    ]
    rendered = None
    for tree in steps:
        rendered = await place.render(tree, previous=rendered)
        assert described(rendered) == described(await place.render(tree))


async def test_a_problem_goes_with_the_file_that_had_it(place: Place) -> None:
    first = await place.render({"a.yaml": "a: [", "l.yaml": link("a.yaml"), "m": (0o160000, b"")})
    assert [problem.file for problem in first.problems] == ["a.yaml", "l.yaml", "m"]
    second = await place.render({"a.yaml": config_map("a")}, previous=first)
    assert (names(second), second.problems) == (["a"], ())


async def test_a_render_of_an_earlier_tree_that_the_repository_lost_is_not_relied_on(place: Place) -> None:
    first = await place.render({"a.yaml": config_map("a"), "b.yaml": config_map("b")})
    forgotten = Rendered(first.pieces, directory="1" * 40)
    assert names(await place.render({"b.yaml": config_map("b")}, previous=forgotten)) == ["b"]


# -- bad files ---------------------------------------------------------------------------------------------------------


async def test_a_bad_file_is_a_problem_and_its_neighbours_are_rendered(place: Place) -> None:
    tree: Tree = {
        "bad.yaml": "a: [",
        "encrypted.yaml": config_map("e", "'ENC[AES256_GCM,data:eA==,iv:eA==,tag:eA==,type:str]'"),
        "good.yaml": config_map("good"),
        "half.yaml": config_map("half") + "---\nkind: ConfigMap\n",
        "lfs.yaml": "version https://git-lfs.github.com/spec/v1\n",
        "link.yaml": link("../outside"),
    }
    rendered = await place.render(tree)
    assert names(rendered) == ["good", "half"]
    assert [(problem.file, problem.document, problem.reason) for problem in rendered.problems] == [
        ("bad.yaml", 1, "YAMLInvalid"),
        ("encrypted.yaml", 1, "PolicyViolation"),
        ("half.yaml", 2, "BuildFailed"),
        ("lfs.yaml", 0, "BuildFailed"),
        ("link.yaml", 0, "SymlinkEscapes"),
    ]


async def test_a_problem_that_was_known_before_is_still_told(place: Place) -> None:
    tree: Tree = {"bad.yaml": "a: [", "link.yaml": link("../outside"), "good.yaml": config_map("good")}
    first = await place.render(tree)
    second = await place.render({**tree, "good.yaml": config_map("better")}, previous=first)
    assert second.problems == first.problems
    assert len(second.problems) == 2


@pytest.mark.parametrize("kind", ["Kustomize", "Helm"])
async def test_without_its_program_nothing_is_rendered(place: Place, kind: str) -> None:
    with pytest.raises(errors.ToolMissingError):
        await place.render({"a.yaml": config_map("a")}, Recipe(type=kind))


async def test_a_program_that_makes_nothing_has_failed(place: Place, children: Children) -> None:
    async def nothing(*args: Any, **kwargs: Any) -> dict[str, Any]:
        index = {"file": "f", "start": 0, "objects": [], "directives": [], "problems": []}
        told = {"changed": {"k.yaml": "key"}, "indexes": {"key": index}, "refused": {}, "gone": []}
        return {**told, "type": "Helm", "tool": "helm 4", "warnings": [], "complete": True, "comparable": False}

    children.run = nothing  # type: ignore[method-assign]
    with pytest.raises(errors.BuildFailedError, match="helm 4 made no objects"):
        await place.render({})


# -- the same commit, the same digests ---------------------------------------------------------------------------------


async def test_equal_commits_give_equal_renders_anywhere_and_any_time(tmp_path: Path, children: Children) -> None:
    tree: Tree = {"b.yaml": config_map("b"), "a": {"a.yaml": config_map("a")}, "bad.yaml": "a: [", "c.yaml": config_map("c")}
    found = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        place = Place(tmp_path / name, children)
        rendered = await place.render(tree)
        again = await place.render(tree)
        assert again == rendered
        found.append(described(rendered))
    assert found[0] == found[1]


async def test_the_digest_of_an_object_does_not_depend_on_its_file(place: Place) -> None:
    one = await place.render({"a.yaml": config_map("a") + "---\n" + config_map("b")})
    two = await place.render(
        {"y.yaml": config_map("b"), "z.json": '{"kind":"ConfigMap","data":{"a":"x"},"metadata":{"name":"a"},"apiVersion":"v1"}'}
    )
    assert {m.ref: m.digest for m in one.manifests} == {m.ref: m.digest for m in two.manifests}


async def test_renders_at_the_same_time_do_not_disturb_each_other(place: Place) -> None:
    tree: Tree = {f"{n:03}.yaml": config_map(f"m{n}") for n in range(200)}
    found = await asyncio.gather(*(place.render(tree) for _ in range(6)))
    assert all(rendered == found[0] for rendered in found)
    assert place.renderer.body(found[0].manifests[199])["metadata"]["name"] == "m199"


# -- children ----------------------------------------------------------------------------------------------------------

LARGE: Tree = {f"{n}.yaml": "---\n".join(config_map(f"m{n}-{i}") for i in range(1000)) for n in range(20)}


EATER: Tree = {
    "a.yaml": "apiVersion: v1\nkind: Eater\nmetadata: {name: a}\nspec:\n" + "".join(f"- {number:0110}x\n" for number in range(150_000))
}
"""A file as large as one may be, of many values: more than 64 MiB are needed to read it."""


async def test_a_render_that_takes_too_long_is_stopped(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    await place.render({})
    monkeypatch.setattr(module, "WALL_SECONDS", 0.1)
    started = time.monotonic()
    with pytest.raises(errors.RenderTimeoutError, match=r"rendering \. was not finished within"):
        await place.render(LARGE)
    assert time.monotonic() - started < 5
    monkeypatch.undo()
    assert names(await place.render({"a.yaml": config_map("a")})) == ["a"]


async def test_a_render_that_eats_too_much_memory_is_refused_and_tried_alone_before(place: Place) -> None:
    place.limit_memory(300 * 2**20)
    asked: list[Limits] = []
    run = place.children.run

    async def noted(*args: Any, **kwargs: Any) -> dict[str, Any]:
        asked.append(kwargs["limits"])
        return await run(*args, **kwargs)

    place.children.run = noted  # type: ignore[method-assign]
    with pytest.raises(errors.RenderTooLargeError, match="needs more memory than one render may have"):
        await place.render(EATER)
    small, alone = place.memory.division.renders.size_bytes, place.memory.division.render_alone_bytes
    assert [(limits.memory_bytes, limits.is_most) for limits in asked] == [(small, False), (alone, True)]
    asked.clear()
    with pytest.raises(errors.RenderTooLargeError):
        await place.render(EATER)
    assert [limits.is_most for limits in asked] == [True]  # it is known by now
    assert names(await place.render({"b": {"a.yaml": config_map("a")}}, path="b")) == ["a"]


async def test_what_does_not_do_with_little_memory_gets_more(place: Place) -> None:
    place.limit_memory(2**30)
    (manifest,) = (await place.render(EATER)).manifests
    assert len(place.renderer.body(manifest)["spec"]) == 150_000
    assert place.renderer._large


def descendants(pid: int) -> list[int]:
    try:
        children = [int(number) for number in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return [found for child in children for found in (*descendants(child), child)]


async def test_a_render_that_is_killed_fails_and_leaves_nothing_half_done(place: Place) -> None:
    await place.render({})
    before = set(descendants(os.getpid()))
    task = asyncio.create_task(place.render(LARGE))
    async with asyncio.timeout(10):
        while not (born := set(descendants(os.getpid())) - before):
            await asyncio.sleep(0.005)
    for pid in born:
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(errors.BuildFailedError, match="SIGKILL"):
        await task
    assert not [name for name in (os.listdir(place.store.directory) if place.store.directory.exists() else ()) if name[0] != "."]
    assert len((await place.render(LARGE)).manifests) == 20_000


async def test_what_was_slow_waits_among_its_like_and_holds_up_nobody(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLOW_SECONDS", 0.0)
    await place.render({"a.yaml": config_map("a")})
    assert len(place.renderer._slow) == 1
    async with place.renderer._slow_slot.turn(""):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await place.render({"a.yaml": config_map("b")})
    monkeypatch.setattr(module, "SLOW_SECONDS", 60.0)
    await place.render({"a.yaml": config_map("b")})
    assert not place.renderer._slow


@pytest.fixture
def served(place: Place) -> list[str]:
    """The paths that children are asked for, in order, in a container as the chart's; all of them hang until their time is over."""
    place.limit_memory(2**30)
    order: list[str] = []

    async def hang(task: str, request: dict[str, Any], *, limits: Limits) -> dict[str, Any]:
        if "batch" not in request:
            order.append(request["path"])
        await asyncio.sleep(0.01)
        raise ChildTimeoutError("not finished in time")

    place.children.run = hang  # type: ignore[method-assign]
    return order


@pytest.mark.parametrize("slow_seconds", [0.0, 60.0], ids=["known to be slow", "not known to be slow"])
async def test_a_tenant_whose_renders_all_hang_is_waited_for_once_by_another(
    place: Place, served: list[str], monkeypatch: pytest.MonkeyPatch, slow_seconds: float
) -> None:
    monkeypatch.setattr(module, "SLOW_SECONDS", slow_seconds)
    hanging = {name: place.commit({name: {"a.yaml": name}}, path=name) for name in (*(f"many{number}" for number in range(6)), "one")}

    async def render(name: str) -> None:
        with pytest.raises(errors.RenderTimeoutError):
            await place.renderer.render(hanging[name], PLAIN, previous=None, tenant=name.rstrip("012345"))

    if slow_seconds == 0:
        await asyncio.gather(*map(render, hanging))
        assert len(place.renderer._slow) == 7
    served.clear()
    first = [asyncio.create_task(render(name)) for name in hanging if name != "one"]
    while len(served) < 2:  # its batch hung, and each of them is tried alone
        await asyncio.sleep(0)
    await asyncio.gather(*first, render("one"))
    assert served.index("one") == 2
    assert len(served) == 7


# -- programs ----------------------------------------------------------------------------------------------------------

OBJECT = f"---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m}}\ndata:\n  a: |\n{('    ' + 'x' * 99 + chr(10)) * 1000}"
"""About 100 KiB."""


def kustomize(place: Place, directory: Path, *, size_bytes: int) -> None:
    """Install a program in place of kustomize that writes so much."""
    program, output = directory / "kustomize", directory / "output"
    output.write_text("".join(OBJECT.replace("name: m", f"name: m{number}") for number in range(size_bytes // len(OBJECT))))
    program.write_text(f'#!/bin/sh\n[ "$1" = version ] && echo v0 || exec /bin/cat {output}\n')
    program.chmod(0o700)
    place.renderer._tools["kustomize"] = str(program)


KUSTOMIZATION: Tree = {"kustomization.yaml": "resources: []\n"}


async def test_what_a_program_writes_need_not_fit_into_what_is_left_while_it_runs(place: Place, tmp_path: Path) -> None:
    """With the chart's memory: a small render has 8 MiB then, and one that has much 40."""
    place.limit_memory(2**30)
    kustomize(place, tmp_path, size_bytes=10 * 2**20)
    assert len((await place.render(KUSTOMIZATION)).manifests) == 10 * 2**20 // len(OBJECT)
    assert not place.renderer._large


async def test_a_program_writes_no_more_than_there_is_room_for(place: Place, tmp_path: Path) -> None:
    kustomize(place, tmp_path, size_bytes=2 * 2**20)
    place.renderer._room_bytes = PARTS * 2**20
    with pytest.raises(errors.RenderTooLargeError, match="more room than one render may have"):
        await place.render(KUSTOMIZATION)
    place.renderer._room_bytes = 2 * PARTS * 2**20
    assert (await place.render(KUSTOMIZATION)).manifests


async def test_a_program_writes_no_more_than_is_read(place: Place, tmp_path: Path) -> None:
    kustomize(place, tmp_path, size_bytes=MAX_OUTPUT_BYTES - 2**18)
    assert (await place.render(KUSTOMIZATION)).manifests
    kustomize(place, tmp_path, size_bytes=MAX_OUTPUT_BYTES + 2**20)
    with pytest.raises(errors.RenderTooLargeError, match="kustomize wrote more than 20 MiB; split the source"):
        await place.render({**KUSTOMIZATION, "b.yaml": ""})


# -- what is lost ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["removed", "garbage", "another-value"])
async def test_a_body_that_was_lost_is_told_and_made_again(place: Place, damage: str) -> None:
    tree: Tree = {"a.yaml": config_map("a")}
    rendered = await place.render(tree)
    path = place.store.directory / rendered.pieces["a.yaml"].key
    if damage == "removed":
        path.unlink()
    else:
        path.write_bytes(b"?" * 1000 if damage == "garbage" else path.read_bytes().replace(b'"a":"x"', b'"a":"y"'))
    with pytest.raises(errors.BuildFailedError, match="lost from the cache"):
        place.renderer.body(rendered.manifests[0])
    again = await place.render(tree)
    assert place.renderer.body(again.manifests[0])["data"] == {"a": "x"}


async def test_a_store_that_vanishes_is_made_anew(place: Place) -> None:
    first = await place.render({"a.yaml": config_map("a")})
    shutil.rmtree(place.store.directory)
    second = await place.render({"a.yaml": config_map("a")})
    assert second == first
    assert place.renderer.body(second.manifests[0])["metadata"] == {"name": "a"}


async def test_a_repository_that_vanishes_has_to_be_fetched_again(place: Place) -> None:
    found = place.commit({"a.yaml": config_map("a")})
    shutil.rmtree(place.repository.path)
    with pytest.raises(errors.CacheLostError):
        await place.renderer.render(found, Recipe(), previous=None)


async def test_a_store_that_cannot_be_written_is_a_failed_build(place: Place) -> None:
    place.store.directory.parent.mkdir()
    place.store.directory.write_text("a file in its place")
    with pytest.raises(errors.BuildFailedError, match=r"rendering \. failed"):
        await place.render({"a.yaml": config_map("a")})
