"""Statuses of two replicas on a real API server: what it says to one that comes late.

Aspects: a late one takes the place of nothing newer · a spec that changed meanwhile is written on top of · no second request as long as nobody else writes · a refused one.
"""

from typing import Any

import pytest

from cvstate_operator import errors
from cvstate_operator.api import names, restoring
from cvstate_operator.kube.client import Client
from cvstate_operator.operator.reporter import KubernetesReporter
from tests.cluster.audit import Request
from tests.support.api import CLUSTER_STATES, Json
from tests.support.ours import ask
from tests.support.world import World

pytestmark = pytest.mark.integration

READY: Json = {
    "type": "Ready",
    "status": "True",
    "reason": "Reconciled",
    "message": "",
    "observedGeneration": 1,
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}


def status(message: str) -> Json:
    return {"observedGeneration": 1, "conditions": [{**READY, "message": message}]}


class Deaf(Client):
    """Whoever does not hear the answers any more: it is fenced, or was killed."""

    async def get(self, *args: Any, **more: Any) -> Any:
        raise errors.FencedError("another replica may be at work")


@pytest.fixture
def path(world: World) -> str:
    """Of a ClusterState that no operator looks at: it is marked as being restored."""
    world.api.create(
        CLUSTER_STATES.format(world.name),
        {
            "apiVersion": names.API_VERSION,
            "kind": names.CLUSTER_STATE,
            "metadata": {"name": "shop", "namespace": world.name, "annotations": {restoring.MARK: "2026-01-01T00:00:00Z"}},
            "spec": {"source": {"git": {"url": "https://git.example.com/shop.git"}}},
        },
    )
    return f"{CLUSTER_STATES.format(world.name)}/shop"


def message(world: World, path: str) -> str:
    found = world.api.get(path)
    assert found is not None
    return str(found["status"]["conditions"][0]["message"])


def requests(world: World, since: int) -> list[Request]:
    return [one for one in world.cluster.audit.requests(since) if one.resource == "clusterstates" and one.name == "shop"]


def test_each_status_costs_one_request_and_one_that_comes_late_is_refused(world: World, path: str):
    async def two_replicas(client: Client) -> None:
        body = await client.get(path)
        assert body is not None
        older, newer = KubernetesReporter(client, body), KubernetesReporter(client, body)
        await newer.write_status(status("first"))
        await newer.write_status(status("second"))
        client.__class__ = Deaf  # the older replica's request is on its way: whatever is answered, it hears nothing more
        with pytest.raises(errors.FencedError):
            await older.write_status(status("late"))
        client.__class__ = Client
        for each in (older, newer):
            each.end()

    mark = world.cluster.audit.mark()
    ask(world.cluster.operator_kubeconfig, two_replicas)
    assert message(world, path) == "second"
    assert [(one.verb, one.code) for one in requests(world, mark) if one.is_write] == [("patch", 200), ("patch", 200), ("patch", 409)]


def test_a_spec_that_changed_meanwhile_is_written_on_top_of(world: World, path: str):
    async def one_replica(client: Client) -> None:
        body = await client.get(path)
        assert body is not None
        reporter = KubernetesReporter(client, body)
        world.api.merge(path, {"spec": {"suspend": True}})
        await reporter.write_status(status("told"))
        reporter.end()

    ask(world.cluster.operator_kubeconfig, one_replica)
    assert message(world, path) == "told"
    assert world.state("shop")["spec"]["suspend"] is True


def test_a_status_that_the_crd_refuses_is_refused_at_once_and_nothing_else_is_asked(world: World, path: str):
    async def one_replica(client: Client) -> None:
        body = await client.get(path)
        assert body is not None
        reporter = KubernetesReporter(client, body)
        with pytest.raises(errors.InvalidError):
            await reporter.write_status({"observedGeneration": "no number"})
        reporter.end()

    mark = world.cluster.audit.mark()
    ask(world.cluster.operator_kubeconfig, one_replica)
    assert [(one.verb, one.code) for one in requests(world, mark) if one.is_write] == [("patch", 422)]
