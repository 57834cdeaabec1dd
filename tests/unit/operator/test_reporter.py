"""What is written onto a ClusterState. Aspects: a status is written on top of the newest state that is known · others are quicker · it is gone · somebody else wrote the status.

That a real API server answers so: tests/integration/test_late_status.py.
"""

import asyncio
import copy
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest

from cvstate_operator import errors
from cvstate_operator.operator.reporter import STATUS_TRIES, KubernetesReporter
from cvstate_operator.reconcile.ports import ParentMetadata
from tests.unit.builders import OWNER

Json = dict[str, Any]


class OneObject:
    """An API server with one ClusterState."""

    def __init__(self) -> None:
        self.live: Json | None = {"metadata": {"namespace": "team", "name": "shop", "uid": "u", "resourceVersion": "9"}, "status": {"a": 1}}
        self.requests: list[str] = []
        self.before_write: list[Json] = []
        """What others change before the next writes arrive, one for each."""

    @property
    def state(self) -> Json:
        assert self.live is not None
        return self.live

    def change(self, changes: Mapping[str, Any]) -> Json:
        """As anybody does; the object as it is then."""
        version = str(int(self.state["metadata"]["resourceVersion"]) + 1)
        self.live = {**self.state, **changes, "metadata": {**self.state["metadata"], "resourceVersion": version}}
        return copy.deepcopy(self.live)

    async def get(self, path: str) -> Json | None:
        self.requests.append("get")
        return copy.deepcopy(self.live)

    async def patch(self, path: str, operations: Sequence[Mapping[str, Any]], *, manager: str) -> Json:
        self.requests.append("patch")
        await asyncio.sleep(0)
        if self.before_write:
            self.change(self.before_write.pop(0))
        if self.live is None:
            raise errors.NotFoundError("gone")
        values = {each["path"]: each["value"] for each in operations}
        if values["/metadata/resourceVersion"] != self.state["metadata"]["resourceVersion"]:
            raise errors.StaleError("the object has been modified")
        return self.change({"status": values["/status"]})

    async def apply(self, path: str, body: Mapping[str, Any], *, manager: str, force: bool) -> Json:
        self.requests.append("apply")
        await asyncio.sleep(0)
        return self.change({})


@pytest.fixture
def server() -> OneObject:
    return OneObject()


@pytest.fixture
async def reporter(server: OneObject) -> AsyncIterator[KubernetesReporter]:
    made = KubernetesReporter(server, copy.deepcopy(server.state))  # type: ignore[arg-type]
    yield made
    made.end()


async def test_what_is_written_one_after_the_other_costs_one_request_each(server: OneObject, reporter: KubernetesReporter) -> None:
    await reporter.write_status({"a": 2})
    await reporter.write_parent(ParentMetadata(OWNER, frozenset()))
    await asyncio.gather(reporter.write_parent(ParentMetadata(OWNER, frozenset())), reporter.write_status({"a": 3}))
    assert server.requests == ["patch", "apply", "apply", "patch"]
    assert server.state["status"] == {"a": 3}


async def test_a_spec_that_an_event_told_of_costs_no_more(server: OneObject, reporter: KubernetesReporter) -> None:
    reporter.seen(server.change({"spec": {"suspend": True}}))
    await reporter.write_status({"a": 2})
    assert (server.requests, server.state["spec"]) == (["patch"], {"suspend": True})


async def test_an_old_event_makes_nobody_forget_what_is_newer(server: OneObject, reporter: KubernetesReporter) -> None:
    old = copy.deepcopy(server.state)
    await reporter.write_status({"a": 2})
    reporter.seen(old)
    await reporter.write_status({"a": 3})
    assert (server.requests, reporter.is_overwritten) == (["patch", "patch"], False)


async def test_whoever_was_quicker_is_looked_at_and_the_status_written_on_top_of_that(
    server: OneObject, reporter: KubernetesReporter
) -> None:
    server.before_write = [{"spec": {"suspend": True}}]
    await reporter.write_status({"a": 2})
    assert server.requests == ["patch", "get", "patch"]
    assert (server.state["spec"], server.state["status"]) == ({"suspend": True}, {"a": 2})


async def test_a_status_that_comes_late_takes_the_place_of_nothing_newer(server: OneObject, reporter: KubernetesReporter) -> None:
    """Its replica is gone, or fenced, when it hears of that."""
    late = asyncio.create_task(reporter.write_status({"a": "of the older replica"}))
    while not server.requests:
        await asyncio.sleep(0)
    server.change({"status": {"a": "of the newer one"}})
    while "get" not in server.requests:
        await asyncio.sleep(0)
    late.cancel()
    await asyncio.gather(late, return_exceptions=True)
    assert server.state["status"] == {"a": "of the newer one"}


async def test_somebody_who_is_quicker_each_time_is_waited_for(server: OneObject, reporter: KubernetesReporter) -> None:
    server.before_write = [{"spec": {"number": number}} for number in range(STATUS_TRIES)]
    with pytest.raises(errors.StaleError):
        await reporter.write_status({"a": 2})
    assert server.requests.count("patch") == STATUS_TRIES
    assert server.state["status"] == {"a": 1}


@pytest.mark.parametrize("is_made_anew", [False, True], ids=["gone", "made anew"])
async def test_the_status_of_one_that_is_gone_is_given_to_no_namesake(
    server: OneObject, reporter: KubernetesReporter, is_made_anew: bool
) -> None:
    another = {**server.state, "metadata": {**server.state["metadata"], "uid": "another", "resourceVersion": "20"}}
    server.live = another if is_made_anew else None
    with pytest.raises(errors.NotFoundError):
        await reporter.write_status({"a": 2})
    assert server.live is (another if is_made_anew else None)


async def test_a_status_of_somebody_else_is_noticed_and_what_the_server_leaves_out_of_ours_is_not(
    server: OneObject, reporter: KubernetesReporter
) -> None:
    await reporter.write_status({"a": 2})
    reporter.seen(server.change({"spec": {"suspend": True}}))
    assert not reporter.is_overwritten
    reporter.seen(server.change({"status": {"a": "of a replica that had it before"}}))
    assert reporter.is_overwritten
    await reporter.write_status({"a": 2})
    assert not reporter.is_overwritten
