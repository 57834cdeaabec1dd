"""What was never made: told by status, metrics and command line, against a real API server.

Aspects: a first revision that is suspended · a first wave that never comes up · one that may not be made.
"""

from collections.abc import Mapping
from typing import Any

from tests.support import telling
from tests.support.api import CLUSTER_STATES, Json
from tests.support.objects import config_map, deployment, text
from tests.support.waiting import until
from tests.support.world import World


def told(world: World, what: str, **expected: object) -> Json:
    """The status, once `status.cv` tells these numbers."""

    def found() -> Json | None:
        status = world.state().get("status") or {}
        return status if expected.items() <= (status.get("cv") or {}).items() else None

    return until(what, found)


def accepted(status: Mapping[str, Any]) -> tuple[str, str]:
    (found,) = (one for one in status["conditions"] if one["type"] == "Accepted")
    return found["status"], found["reason"]


def test_a_first_revision_that_is_suspended_is_neither_well_nor_acceptable(world: World) -> None:
    world.commit({"a.yaml": text(config_map("a", k="v"), config_map("b", k="v"))})
    world.declare(suspend=True)
    status = told(world, "nothing is there", score=0, confidence=100)
    assert (status["vital"]["objects"], accepted(status)) == ({"ready": 0, "missing": 2}, ("False", "ScoreBelowMinimum"))
    assert world.condition("Healthy")["status"] == "Unknown"
    metrics = telling.metrics(world)
    assert (metrics["cvstate_score"], metrics["cvstate_accepted"], metrics["cvstate_objects_by_health Missing"]) == (0, 0, 2)
    page = telling.status(world)
    assert "2 of 2 objects not applied, 2 of them not there" in page
    assert f"cvstate resume state -n {world.name}" in page
    world.api.merge(f"{CLUSTER_STATES.format(world.name)}/state", {"spec": {"suspend": False}})
    world.wait_ready()
    assert accepted(told(world, "all is well", score=100)) == ("False", "Settling")


def test_later_waves_are_missing_once_the_first_one_took_too_long(world: World) -> None:
    late = config_map("late", k="v")
    late["metadata"]["annotations"] = {"cvstate.io/wave": "1"}
    world.commit({"a.yaml": text(deployment("web"), late)})
    world.declare(vital={"degradedAfter": "4s"})
    before = until("it is on its way", lambda: (world.state().get("status") or {}).get("vital"))
    assert before["objects"] == {"ready": 0, "progressing": 2}
    assert accepted(world.state()["status"]) == ("Unknown", "NotEvaluated")
    status = until("it is too late", lambda: found if "missing" in (found := world.state()["status"])["vital"]["objects"] else None)
    assert (status["vital"]["objects"], accepted(status)[0]) == ({"ready": 0, "degraded": 1, "missing": 1}, "False")


def test_what_may_not_be_made_is_missing_and_told_once(world: World) -> None:
    bad = config_map("bad", k="v")
    bad["data"] = {"k": 1}
    world.commit({"a.yaml": text(config_map("a", k="v"), bad)})
    world.declare()
    status = told(world, "one is refused", score=50)
    assert status["vital"]["objects"] == {"ready": 1, "missing": 1}
    assert [one["name"] for one in status["vital"]["pulls"]] == ["NotApplied"]
