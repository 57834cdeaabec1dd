"""What an operator tells its own cluster by, on objects in others.

Aspects: the uid of kube-system, asked for once · what its owner says instead · where nothing tells it, nothing is sent to other clusters, and all else goes on ·
what is kept of a target is bounded where a tenant chose the server, and tidied up.
"""

import base64
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest

from cvstate_operator import errors
from cvstate_operator.kube import kubeconfig, references, remote
from cvstate_operator.kube.api_quality import ApiQuality
from cvstate_operator.kube.connection import Connection
from cvstate_operator.kube.pace import Pace
from cvstate_operator.objects.address import AddressPolicy
from cvstate_operator.objects.ownership import HOME, OwnerLabels, hub_of
from cvstate_operator.operator.place import OWN, Place
from cvstate_operator.operator.targets import Ears, Targets
from cvstate_operator.settings import Settings
from cvstate_operator.telemetry.prometheus import PrometheusClient
from tests.unit.builders import CONFIG_MAP, applied, ref

SYSTEM = "/api/v1/namespaces/kube-system"
REMOTE = Place("team/applier", "team/prod/value")


class Api:
    """This cluster's API server: it serves nothing, and has a namespace."""

    def __init__(self, answer: dict[str, Any] | errors.CvstateError | None) -> None:
        self.answer = answer
        self.asked: list[str] = []

    async def get(self, path: str, **_: Any) -> dict[str, Any] | None:
        self.asked.append(path)
        if path != SYSTEM:
            return None
        if isinstance(self.answer, errors.CvstateError):
            raise self.answer
        return self.answer


Make = Callable[..., Targets]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    async def authorize() -> str | None:
        return None

    def nobody(*_: Any, **__: Any) -> None:
        return None

    async with aiohttp.TCPConnector() as connector:
        connection = Connection("https://127.0.0.1:1", connector, authorize)
        yield lambda api, **settings: Targets(
            Settings(**settings),
            api,
            connection,
            ears=Ears(touched=nobody, freed=nobody, hurry=nobody, doubtful=nobody),
            pace=Pace(initial=1, limit=1, clock=time.monotonic, random=lambda: 0.0),
            quality=ApiQuality(),
            prometheus=PrometheusClient(AddressPolicy(), observe=nobody),
            addresses=AddressPolicy(),
            prometheus_addresses=AddressPolicy(),
            observe=nobody,
            observe_remote=nobody,
            fence=lambda: "",
            is_required=True,
            is_elsewhere=lambda owner: False,
        )


async def test_it_goes_by_the_uid_of_kube_system(make: Make) -> None:
    api = Api({"metadata": {"uid": "9f2c1c5e"}})
    targets = make(api)
    await targets.start()
    assert targets.take(REMOTE).index.labels == OwnerLabels(hub_of("9f2c1c5e"))
    assert targets.take(OWN).index.labels == HOME
    await targets.close()


async def test_its_owner_s_word_counts_and_nobody_is_asked(make: Make) -> None:
    api = Api({"metadata": {"uid": "9f2c1c5e"}})
    targets = make(api, cluster_id="the one that is lost")
    await targets.start()
    assert targets.take(REMOTE).index.labels == OwnerLabels(hub_of("the one that is lost"))
    assert SYSTEM not in api.asked
    await targets.close()


@pytest.mark.parametrize("answer", [errors.ForbiddenError("user x cannot get namespaces; grant it"), None], ids=["forbidden", "missing"])
async def test_where_nothing_tells_it_nothing_is_sent_elsewhere(make: Make, answer: errors.CvstateError | None) -> None:
    targets = make(Api(answer))
    await targets.start()
    with pytest.raises(errors.ForbiddenError, match="--cluster-id"):
        await targets.take(REMOTE).cluster.discover()
    await targets.close()


async def test_an_api_server_that_is_away_is_waited_for(make: Make) -> None:
    with pytest.raises(errors.NetworkError):
        await make(Api(errors.NetworkError("away"))).start()


async def test_secrets_that_nobody_reads_any_more_are_forgotten(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    class Home(Api):
        async def get(self, path: str, **_: Any) -> dict[str, Any] | None:
            return {"data": {}}

    targets = make(Home(None))
    target = targets.take(OWN)
    await target.references.read("Secret", "team", "key", max_age=60.0)
    targets.tidy()
    assert len(target.references._kept) == 1
    monkeypatch.setattr(references, "KEPT_SECONDS", -1.0)
    targets.tidy()
    assert target.references._kept == {}
    await targets.close()


async def test_clusters_of_one_namespace_share_its_turns_at_name_servers(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    class Home(Api):
        async def get(self, path: str, **_: Any) -> dict[str, Any] | None:
            return await super().get(path) or {"data": {"value": base64.b64encode(b"kubeconfig").decode()}}

    tenants = list[str]()

    def connect(*_: Any, tenant: str, **__: Any) -> Connection:
        tenants.append(tenant)
        raise errors.NetworkError("enough")

    monkeypatch.setattr(kubeconfig, "read", lambda *_, **__: None)
    monkeypatch.setattr(remote, "connect", connect)
    targets = make(Home({"metadata": {"uid": "9f2c1c5e"}}))
    await targets.start()
    monkeypatch.setattr(targets, "_account", lambda account: targets._client)
    with pytest.raises(errors.NetworkError):
        await targets.take(REMOTE).cluster.discover()
    assert tenants == ["team"]
    await targets.close()


async def test_only_a_server_that_a_tenant_chose_has_bounded_room(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cvstate_operator.operator.targets.MAX_SNAPSHOT_BYTES", 0)
    targets = make(Api({"metadata": {"uid": "9f2c1c5e"}}))
    for place, is_kept in ((OWN, True), (REMOTE, False)):
        index = targets.take(place).index
        index.observed(CONFIG_MAP, applied())
        live = index.get(ref("a"))
        assert live is not None
        assert (live.snapshot is not None) is is_kept
    await targets.close()
