"""A spec that asks something else of its source. Aspects: what was read by the older spec is not begun · what was begun stays · the next look decides."""

from typing import Any

import pytest

from cvstate_operator.api.clusterstate import ClusterStateSpec, parse_spec
from tests.unit.builders import body
from tests.unit.reconcile.fakes import Stage

BLUE, RED = body("a", data={"colour": "blue"}), body("a", data={"colour": "red"})
SIGNED = {"verify": {"mode": "HEAD", "secretRef": {"name": "keys"}}}


def asking(**git: Any) -> ClusterStateSpec:
    return parse_spec({"source": {"git": {"url": "https://git.example/x", **git}}})


def colour(stage: Stage) -> str:
    (found,) = stage.cluster.objects.values()
    return str(found["data"]["colour"])


@pytest.fixture
async def stage() -> Stage:
    """Blue is applied; red is read, and not applied yet."""
    stage = Stage()
    stage.references.data["Secret", "default", "keys"] = {"jane.asc": b"a key"}
    stage.spec = asking()
    await stage.commit(BLUE)
    stage.git.commit(RED)
    await stage.look()
    return stage


@pytest.mark.parametrize(
    "git", [SIGNED, {"path": "apps"}, {"ref": {"branch": "prod"}}, {"url": "https://git.example/y"}], ids=lambda git: "+".join(git)
)
async def test_a_commit_that_was_read_by_another_spec_is_not_begun(stage: Stage, git: dict[str, Any]) -> None:
    stage.spec = asking(**git)
    outcome = await stage.run(full=True)
    assert (colour(stage), outcome.done) == ("blue", ())
    assert stage.ready() == ("False", "SourceChanged")
    assert stage.condition("Reconciling")[0] == "True", "the look that follows every change of the spec ends it"
    assert [event.reason for event in stage.events] == [], "it lasts a moment"
    await stage.look()
    await stage.run()
    assert (colour(stage), stage.ready()) == ("red", ("True", "Reconciled"))


async def test_what_was_begun_is_repaired_meanwhile(stage: Stage) -> None:
    stage.spec = asking(**SIGNED)
    stage.cluster.set_field(next(iter(stage.cluster.objects)), "data/colour", "green")
    await stage.run()
    assert colour(stage) == "blue"


async def test_another_interval_is_no_other_source(stage: Stage) -> None:
    stage.spec = asking(interval="5m", timeout="30s")
    await stage.run()
    assert colour(stage) == "red"


async def test_after_a_restart_nothing_is_begun_before_the_source_was_read(stage: Stage) -> None:
    stage.restart(status=stage.status)
    outcome = await stage.run(full=True)
    assert (colour(stage), outcome.done) == ("blue", ())
