"""The corpus of bad input on the real operator and a real API server: each case ends in its named reason in time, nothing is lost, and it heals.

Aspects: bad commits · bad specs · the same specs, should they come from an older API server · every number of the list has its test.
"""

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pygit2
import pytest
from pygit2.enums import FileMode, ObjectType

from cvstate_operator.api.clusterstate import parse_spec
from cvstate_operator.errors import InvalidSpecError
from tests.corpus.commits import COMMITS, SOUND, BadCommit
from tests.corpus.specs import SPECS
from tests.support.api import CLUSTER_STATES
from tests.support.objects import config_map, text
from tests.support.waiting import until
from tests.support.world import World
from tests.unit.render.trees import Tree, write, write_entries

pytestmark = pytest.mark.integration

SECONDS = 30.0
"""Longest until a bad commit is told. On a quiet machine it takes well below two seconds, but for the few that meet a limit of their own."""
HEALED_SECONDS = 75.0
"""Longest until a good commit is applied after it: a look or a render of the bad one may be under way until its own limit, a minute."""


def commit_tree(world: World, tree: Tree, beside: Tree) -> str:
    """Commit raw bytes as main: `tree` at the path, `beside` beside it; names may be such as git itself would refuse."""
    repository = pygit2.Repository(str(world.repository.directory))
    entries = [(b"apps", int(FileMode.TREE), _write(repository, tree).id)]
    entries += [
        (name.encode(), int(FileMode.TREE), write(repository, below).id) for name, below in beside.items() if isinstance(below, dict)
    ]
    root = write_entries(repository, entries)
    parent = repository.references["refs/heads/main"].target
    who = b"Jane <jane@example.org> 1700000000 +0000"
    raw = b"tree %b\nparent %b\nauthor %b\ncommitter %b\n\nbad\n" % (str(root.id).encode(), str(parent).encode(), who, who)
    commit = repository.odb.write(ObjectType.COMMIT, raw)
    repository.references.create("refs/heads/main", commit, force=True)
    for name in sorted(world._declared):
        world.trigger(name)
    return str(commit)


def _write(repository: pygit2.Repository, tree: Tree) -> pygit2.Tree:
    """As `trees.write`, with submodules."""
    plain: Tree = {name: value for name, value in tree.items() if not (isinstance(value, tuple) and value[0] == FileMode.COMMIT)}
    found = write(repository, plain)
    modules = [(name.encode(), int(FileMode.COMMIT), pygit2.Oid(hex="1" * 40)) for name in tree.keys() - plain.keys()]
    return write_entries(repository, [*((e.raw_name or b"", int(e.filemode), e.id) for e in found), *modules]) if modules else found


def declare(world: World, spec: Mapping[str, Any]) -> None:
    more = dict(spec)
    git: dict[str, Any] = {}
    if more.pop("verify", False):
        key = b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJwzkHFGxbVRjxZuHzSMUPKLzJVGGIN3z7BOcJuoxVIa jane"
        world.api.create(
            world.path("secrets"),
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": {"a.sshpub": key.decode()}},
        )
        git = {"verify": {"secretRef": {"name": "keys"}}}
    world.declare(git=git, **more)


def told(world: World, case: BadCommit) -> str | None:
    """The message about the case, once it is there."""
    state = world.state().get("status", {})
    ready = world.condition()
    if ready.get("status") != "False":
        return None
    if ready["reason"] == case.reason:
        return str(ready["message"])
    return next(
        (f"{p.get('file', '')} {p.get('field', '')} {p['message']}" for p in state.get("problems", ()) if p["reason"] == case.reason), None
    )


@pytest.mark.parametrize("case", COMMITS.values(), ids=COMMITS.keys())
def test_a_bad_commit_ends_in_its_reason_and_nothing_is_lost(world: World, case: BadCommit, record_property):
    sound = {"sound.yaml": SOUND, "gone.yaml": text(config_map("gone", k="v"))}
    if not case.refused:
        world.declare()
        world.wait_applied(world.commit(sound))
        if case.spec:
            declare(world, case.spec)
    before = {name: world.api.get(world.path("configmaps", name)) for name in ("sound", "gone")}
    tree = case.tree() if callable(case.tree) else case.tree
    if case.refused:
        world.commit(sound)
        declare(world, case.spec)
    started = time.monotonic()
    commit_tree(world, tree if case.whole else {"sound.yaml": SOUND, **tree}, case.beside)
    message = until(f"{case.reason} is told", lambda: told(world, case), seconds=SECONDS)
    record_property("seconds", round(time.monotonic() - started, 2))
    for words in case.mentions:
        assert words in message
    assert world.operator.is_running
    for name, live in before.items():
        found = world.api.get(world.path("configmaps", name))
        assert (found or {}).get("metadata", {}).get("uid") == (live or {}).get("metadata", {}).get("uid"), f"{name} is as it was"
    if case.refused:
        assert before["sound"] is None, "nothing of it was ever applied"
        return
    commit_tree(world, {"sound.yaml": SOUND}, {})
    declare(world, {})
    try:
        until("it heals", lambda: world.condition().get("status") == "True", seconds=HEALED_SECONDS)
    except AssertionError as error:
        raise AssertionError(f"{error}; status: {world.state().get('status')}") from None
    assert world.api.get(world.path("configmaps", "gone")) is None, "what left Git goes once everything is understood"


@pytest.mark.parametrize(("spec", "mentions"), SPECS.values(), ids=SPECS.keys())
def test_the_api_server_refuses_a_bad_spec(world: World, spec: dict[str, Any], mentions: str):
    body = {"apiVersion": "cvstate.io/v1alpha1", "kind": "ClusterState", "metadata": {"name": "bad"}, "spec": spec}
    code, answer = world.api.request("POST", CLUSTER_STATES.format(world.name) + "?fieldValidation=Strict", body)
    if "applyset" in str(spec):
        assert code == 201, "only the operator can tell"
        world.wait_failed("InvalidSpec", "bad", mentions="applyset.kubernetes.io")
        return
    assert code in (400, 422), answer
    assert mentions in answer["message"]
    assert "hunter2" not in world.operator.log.read_text()


@pytest.mark.parametrize(
    "spec", [spec for name, (spec, _) in SPECS.items() if name != "unknown-field"], ids=[n for n in SPECS if n != "unknown-field"]
)
def test_the_operator_refuses_it_too(spec: dict[str, Any]):
    with pytest.raises(InvalidSpecError) as caught:
        parse_spec(spec)
    assert "hunter2" not in str(caught.value)


def test_every_number_of_the_list_has_its_test():
    """C12 has no form here: Git holds no archives and no hard links. C38 and C39 are of kubeconfigs, which no field takes yet."""
    sources = "".join(path.read_text() for path in Path(__file__).parents[1].rglob("*.py"))
    named = set(re.findall(r"\bC(\d\d)\b", sources)) | {key[1:3] for key in (*COMMITS, *SPECS)}
    wanted = {f"{number:02}" for number in range(1, 58)} - {"12", "38", "39"}
    missing = sorted(wanted - named)
    assert not missing, f"without a test: {missing}"
