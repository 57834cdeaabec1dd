"""`cvstate rollback` with a running operator: it goes back, says where to, and can be undone.

Aspects: back to the last good revision · --undo · --list · what is refused · annotations of others stay.
"""

from pathlib import Path

import pytest

from cvstate_operator import errors
from cvstate_operator.api import names
from tests.support import commands
from tests.support.api import CLUSTER_STATES
from tests.support.objects import config_map, text
from tests.support.waiting import until
from tests.support.world import World

pytestmark = pytest.mark.integration


def run(world: World, *options: str) -> tuple[int, str]:
    """Exit code and output of the command.

    Raises:
        CvstateError: the error that ends the program with 2.
    """
    return commands.run(world, "rollback", "state", "-n", world.name, *options, columns=200)


def value(world: World) -> str:
    return str(world.api.get(world.path("configmaps", "cm"))["data"]["k"])


def annotations(world: World) -> dict[str, str]:
    return dict(world.state()["metadata"].get("annotations", {}))


@pytest.fixture
def shop(world: World) -> tuple[World, str, str]:
    """Two revisions, both healthy; their commits."""
    good = world.commit({"a.yaml": text(config_map("cm", k="good"))})
    world.declare()
    world.wait_applied(good)
    bad = world.commit({"a.yaml": text(config_map("cm", k="bad"))})
    world.wait_applied(bad)
    until("both are in the history", lambda: len(world.state()["status"].get("history", ())) == 2)
    return world, good, bad


def test_the_operator_goes_back_and_forth_as_told(shop: tuple[World, str, str]):
    world, good, bad = shop
    where = f"{CLUSTER_STATES.format(world.name)}/state"
    world.api.merge(where, {"metadata": {"annotations": {names.REJECTED: "a" * 40, "note": "mine"}}})
    code, output = run(world, "--yes")
    assert code == 0
    assert output.index(bad[:12]) < output.index(good[:12])
    until("the cluster is as it was", lambda: value(world) == "good")
    assert annotations(world)["note"] == "mine"
    assert annotations(world)[names.REJECTED] == f"{'a' * 40},{bad}"
    until("the status says so", lambda: bad in str(world.state()["status"].get("quarantined")))
    assert bad[:12] in run(world, "--list")[1]
    with pytest.raises(errors.NotFoundError, match="already"):
        run(world, "--yes")

    code, output = run(world, "--undo", "--yes")
    assert code == 0
    assert bad[:12] in output
    until("it is applied again", lambda: value(world) == "bad")
    assert annotations(world)[names.REJECTED] == "a" * 40


def test_the_next_commit_is_taken(shop: tuple[World, str, str]):
    world, _, _ = shop
    run(world, "--yes")
    until("the cluster is as it was", lambda: value(world) == "good")
    world.commit({"a.yaml": text(config_map("cm", k="mended"))})
    until("the mend is applied", lambda: value(world) == "mended")


def test_the_history_is_shown(shop: tuple[World, str, str]):
    world, good, bad = shop
    code, output = run(world, "--list")
    assert code == 0
    assert output.index(bad[:12]) < output.index(good[:12])
    assert output.count("Healthy") == 2


def test_without_a_good_revision_nothing_is_done(world: World):
    commit = world.commit({"a.yaml": text(config_map("cm", k="v"))})
    world.declare()
    world.wait_applied(commit)
    with pytest.raises(errors.NotFoundError, match="nothing to go back to"):
        run(world, "--yes")
    assert names.REJECTED not in annotations(world)
    with pytest.raises(errors.NotFoundError, match="nothing is rejected"):
        run(world, "--undo", "--yes")


def test_nobody_is_rolled_back_without_being_asked(shop: tuple[World, str, str], tmp_path: Path):
    world, _, _ = shop
    with pytest.raises(errors.SettingsError, match="--yes"):
        run(world)
    assert names.REJECTED not in annotations(world)
