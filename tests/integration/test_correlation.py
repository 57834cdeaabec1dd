"""One id per roll-out, by which a person finds all that belongs to it.

Aspects: the status, the Events and the log lines of a roll-out have the same id · the status says what the revision declares.
"""

import pytest

from tests.support.api import Json
from tests.support.objects import config_map, text
from tests.support.waiting import until
from tests.support.world import World

pytestmark = pytest.mark.integration


def applied_events(world: World) -> list[Json]:
    found = world.api.get(f"/apis/events.k8s.io/v1/namespaces/{world.name}/events") or {"items": []}
    return [event for event in found["items"] if event["reason"] == "Applied"]


def test_a_roll_out_is_found_by_one_id_in_status_events_and_log(world: World):
    world.wait_applied(_committed(world, "v"))
    world.wait_applied(_committed(world, "w"))
    history = world.state()["status"]["history"]
    ids = [entry["correlationID"] for entry in history]
    assert (len(history), len(set(ids))) == (2, 2)
    events = until("both are told", lambda: len(found := applied_events(world)) == 2 and found)
    assert {event["metadata"]["annotations"]["cvstate.io/correlation-id"] for event in events} == set(ids)
    assert history[0]["digest"] == world.state()["status"]["inventory"]["digest"] != history[1]["digest"]
    mine = [
        line for line in world.operator.lines() if line.get("clusterstate") == f"{world.name}/state" and line.get("reason") == "Applied"
    ]
    assert [line["correlation_id"] for line in mine] == list(reversed(ids))


def _committed(world: World, value: str) -> str:
    commit = world.commit({"a.yaml": text(config_map("a", k=value))})
    world.declare()
    return commit
