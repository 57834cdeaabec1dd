"""Nothing is deleted by a commit that could not be read as a whole: the pipeline with the real renderer and real Git trees.

Aspects: every way in which a file can be bad · the problem stays until it is mended, however many commits come · a source that failed as a whole.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pygit2
import pytest

from cvstate_operator.isolation.child import Children
from cvstate_operator.reconcile.outcome import Outcome
from cvstate_operator.render import renderer
from cvstate_operator.render.renderer import Renderer
from cvstate_operator.render.store import Store
from tests.unit.builders import artifact, ref
from tests.unit.reconcile.fakes import Stage, spec
from tests.unit.render.trees import Tree, link, write


def config_map(name: str, data: str = "x") -> str:
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{a: {data}}}\n"


KEPT, DOOMED = config_map("kept"), config_map("doomed")


class RealRender:
    """A ClusterState whose commits are Git trees, rendered by real child processes."""

    def __init__(self, directory: Path, children: Children) -> None:
        self.stage = Stage()
        self.stage.spec = spec(render={"substitute": {"v": "x"}})
        self.repository = pygit2.init_repository(str(directory / "r.git"), bare=True)
        real = Renderer(Store(directory / "rendered"), children, tools={})
        self.stage.git.render = real.render  # type: ignore[method-assign]
        self.stage.git.body = real.body  # type: ignore[method-assign]

    async def commit(self, tree: Tree) -> Outcome:
        root = str(write(self.repository, tree).id)
        self.stage.git.head = artifact(root, repository=self.repository.path, tree=root, directory=root)
        await self.stage.look()
        return await self.stage.settle(await self.stage.run())


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[RealRender]:
    children = Children(tmp_path / "scratch", preload=(renderer.TASK,))
    yield RealRender(tmp_path, children)
    await children.close()


BAD: dict[str, Any] = {
    "yaml": ("bad.yaml", "a: [", "YAMLInvalid"),
    "duplicate-key": ("bad.yaml", "a: 1\na: 2", "DuplicateKey"),
    "not-utf-8": ("bad.yaml", b"\xff\xfe\xfa", "YAMLInvalid"),
    "no-object": ("bad.yaml", "a: b", "BuildFailed"),
    "no-name": ("bad.yaml", "apiVersion: v1\nkind: ConfigMap\n", "BuildFailed"),
    "one-of-two-documents": ("bad.yaml", config_map("half") + "---\nkind: x\n", "BuildFailed"),
    "variable": ("bad.yaml", config_map("v", "${unset}"), "VariableMissing"),
    "encrypted": ("bad.yaml", config_map("e", "'ENC[AES256_GCM,data:eA==,iv:eA==,tag:eA==,type:str]'"), "PolicyViolation"),
    "lfs-pointer": ("bad.yaml", "version https://git-lfs.github.com/spec/v1\n", "BuildFailed"),
    "too-large": ("bad.yaml", "a: " + "x" * (20 * 2**20), "RenderTooLarge"),
    "link-out": ("bad.yaml", link("../x"), "SymlinkEscapes"),
    "link-to-a-directory": ("bad", link("d"), "BuildFailed"),
    "submodule": ("bad", (0o160000, b""), "BuildFailed"),
    "file-name": ("bad\n.yaml", config_map("x"), "BuildFailed"),
    "git-directory": (".git", {"x.yaml": config_map("x")}, "BuildFailed"),
    "unknown-kind": ("bad.yaml", "apiVersion: example.io/v1\nkind: Nothing\nmetadata: {name: a}\n", "KindUnknown"),
    "same-object-twice": ("bad.yaml", config_map("kept", "other"), "DuplicateObject"),
}


@pytest.mark.parametrize("case", BAD)
async def test_a_bad_file_holds_every_delete_until_it_is_mended(state: RealRender, case: str) -> None:
    name, content, reason = BAD[case]
    base: Tree = {"d": {"kept.yaml": KEPT}}
    await state.commit({**base, "doomed.yaml": DOOMED})
    assert {"kept", "doomed"} == state.stage.names()

    outcome = await state.commit({**base, name: content})
    assert reason in [problem.reason for problem in outcome.problems]
    assert ref("doomed") in outcome.pruning.held
    assert "doomed" in state.stage.names()
    assert not outcome.is_converged

    # The next commit is rendered from what is known, and the bad file is not in it.
    outcome = await state.commit({**base, name: content, "new.yaml": config_map("new")})
    assert {"doomed", "kept"} <= state.stage.names()
    assert ref("doomed") in outcome.pruning.held

    outcome = await state.commit({**base, "new.yaml": config_map("new")})
    assert state.stage.names() - {"half"} == {"kept", "new"}
    assert outcome.problems == ()


@pytest.mark.parametrize(
    "tree",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"README.md": "moved away"}, id="no-manifests"),
        pytest.param({"kustomization.yaml": "resources: [d]"}, id="a-program-that-is-not-there"),
        pytest.param({f"{n}": {} for n in range(3)} | {"bad.yaml": "a: ["}, id="only-bad-files"),
    ],
)
async def test_a_source_that_gives_nothing_deletes_nothing(state: RealRender, tree: Tree) -> None:
    await state.commit({"kept.yaml": KEPT, "doomed.yaml": DOOMED})
    outcome = await state.commit(tree)
    assert {"kept", "doomed"} == state.stage.names()
    assert outcome.problems
    assert not outcome.is_converged
