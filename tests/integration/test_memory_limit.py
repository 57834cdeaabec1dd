"""A container whose memory is short, with the kernel's own accounts: a cgroup of version 1 or 2 that this test makes.

Aspects: renders and fetches that eat all they get, side by side, are refused and nothing is killed by the kernel · the others go on.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import builds

pytestmark = pytest.mark.integration

LIMIT_BYTES = 512 * 2**20
_V1, _V2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")


class Container:
    """A memory cgroup."""

    def __init__(self, directory: Path, *, limit: str, kills: str) -> None:
        self.directory = directory
        self._limit, self._kills = directory / limit, directory / kills
        directory.mkdir()
        self._limit.write_text(str(LIMIT_BYTES))

    def kills(self) -> int:
        """Processes that the kernel ended for want of memory."""
        return next(int(line.split()[1]) for line in self._kills.read_text().splitlines() if line.startswith("oom_kill "))

    def enter(self) -> None:
        """Put this process in."""
        (self.directory / "cgroup.procs").write_text(str(os.getpid()))


@pytest.fixture
def container() -> Iterator[Container]:
    name = f"cvstate-test-{os.getpid()}"
    try:
        if (_V1 / "memory.limit_in_bytes").exists():
            made = Container(_V1 / name, limit="memory.limit_in_bytes", kills="memory.oom_control")
        else:
            made = Container(_V2 / name, limit="memory.max", kills="memory.events")
    except OSError as exc:
        with contextlib.suppress(OSError):
            (_V2 / name).rmdir()
        pytest.skip(f"no memory cgroup can be made here: {exc.strerror}")
    yield made
    made.directory.rmdir()


def test_renders_that_eat_all_they_get_are_refused_and_nothing_is_killed(container: Container, tmp_path: Path):
    tools = {name: str(path) for name, path in builds.ensure(["helm", "kustomize"]).items()}
    command = [sys.executable, "-m", "tests.integration.test_memory_limit", str(tmp_path), json.dumps(tools)]
    done = subprocess.run(command, preexec_fn=container.enter, stdout=subprocess.PIPE, timeout=120, check=False)
    assert container.kills() == 0
    assert done.returncode == 0
    told = json.loads(done.stdout)
    assert told.pop("plain") == told.pop("kustomize") == "ok"
    assert set(told.values()) == {"RenderTooLarge"}


# -- in the container --------------------------------------------------------------------------------------------------

HELM_EATER = '{{- $x := repeat 400000000 "x" }}{{- $y := repeat 400000000 "y" }}\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: {{ len (cat $x $y) | quote }}}\n'
YAML_EATER = "apiVersion: v1\nkind: Eater\nmetadata: {name: a}\nspec:\n" + "".join(f"- {number:0110}x\n" for number in range(150_000))
"""A file as large as one may be, of many values: more than 128 MiB are needed to read it."""
PLAIN = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
TREE = {
    **{
        f"helm{number}": {"Chart.yaml": "apiVersion: v2\nname: c\nversion: 1.0.0\n", "templates": {"a.yaml": HELM_EATER}}
        for number in range(3)
    },
    **{f"yaml{number}": {"a.yaml": YAML_EATER} for number in range(2)},
    "plain": {"a.yaml": PLAIN},
    "kustomize": {"kustomization.yaml": "resources: [a.yaml]\n", "a.yaml": PLAIN},
}


async def render_all(directory: Path, tools: dict[str, str]) -> dict[str, str]:
    """Render every directory of the tree at the same time; what became of each."""
    import pygit2

    from cvstate_operator import errors
    from cvstate_operator.isolation.child import Children
    from cvstate_operator.isolation.memory import Memory
    from cvstate_operator.objects.recipe import HelmRecipe, Recipe
    from cvstate_operator.render.renderer import TASK, Renderer
    from cvstate_operator.render.store import Store
    from tests.unit.builders import artifact
    from tests.unit.render.trees import write

    repository = pygit2.init_repository(str(directory / "r.git"), bare=True)
    root = write(repository, TREE)
    children = Children(directory / "scratch", preload=(TASK,))
    renderer = Renderer(Store(directory / "rendered"), children, tools=tools, memory=Memory(LIMIT_BYTES))

    async def render(name: str) -> tuple[str, str]:
        made = artifact(str(root.id), repository=repository.path, path=name, tree=str(root.id), directory=str(root[name].id))
        try:
            await renderer.render(made, Recipe(helm=HelmRecipe(release_name="r", namespace="n")), previous=None)
        except errors.BuildFailedError as exc:
            print(name, exc, file=sys.stderr)
            return name, exc.reason
        return name, "ok"

    try:
        return dict(await asyncio.gather(*map(render, TREE)))
    finally:
        await children.close()


if __name__ == "__main__":
    print(json.dumps(asyncio.run(render_all(Path(sys.argv[1]), json.loads(sys.argv[2])))))
