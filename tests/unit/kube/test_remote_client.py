"""The client of a remote cluster.

Aspects: its kubeconfig is read when it is needed and again when it is old · a changed one takes effect, soon where the cluster refuses the old one · what cannot be reached or
read is told as that · what the kubeconfig may not say is refused before anything is sent · who answers more than was asked for is not listened to.
"""

import asyncio
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from cvstate_operator import errors
from cvstate_operator.kube import remote, remote_client
from cvstate_operator.kube.client import PAGE_OBJECTS
from cvstate_operator.kube.connection import Connection
from cvstate_operator.kube.kubeconfig import RemoteCluster
from cvstate_operator.kube.remote_client import RemoteClient
from cvstate_operator.network.resolver import JudgingResolver
from cvstate_operator.objects.address import AddressPolicy

POLICY = AddressPolicy(insecure=True)


class Api:
    """A remote API server that answers each GET with who asked; plain HTTP, since TLS is `kubeconfig.tls`'s."""

    def __init__(self) -> None:
        self.url = ""
        self.tokens: list[str] = []
        self.status = 200
        self.accepts = ""
        """The only token that is not refused; empty: any."""
        self.page: Any = None
        """What lists are answered; None: as any GET."""

    async def answer(self, request: web.Request) -> web.Response:
        self.tokens.append(request.headers.get("Authorization", ""))
        if self.accepts and self.tokens[-1] != f"Bearer {self.accepts}":
            return web.json_response({}, status=401)
        return web.json_response(self.page or {"path": request.path}, status=self.status)


@pytest.fixture
async def api() -> Any:
    made = Api()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


class Secret:
    """What the Secret holds: a token, for these tests."""

    def __init__(self) -> None:
        self.token = b"first"
        self.reads = 0
        self.ages: list[float] = []
        """How old each answer might have been."""
        self.error: errors.CvstateError | None = None

    async def read(self, max_age: float) -> bytes:
        self.reads += 1
        self.ages.append(max_age)
        if self.error:
            raise self.error
        return self.token


def made(api: Api, secret: Secret, monkeypatch: pytest.MonkeyPatch, **more: Any) -> RemoteClient:
    """A client whose kubeconfig is the token alone."""

    def read(data: bytes, *, where: str, policy: AddressPolicy) -> RemoteCluster:
        if data == b"bad":
            raise errors.KubeConfigInvalidError(f"{where}: bad")
        return RemoteCluster(api.url, token=data.decode(), where=where)

    def connect(cluster: RemoteCluster, policy: AddressPolicy, *, tenant: str, user_agent: str) -> Connection:
        async def authorize() -> str | None:
            return cluster.authorization

        resolver = JudgingResolver(remote.judging(policy))
        connector = aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False)
        return Connection(cluster.server, connector, authorize, user_agent=user_agent, resolve=resolver.addresses)

    monkeypatch.setattr(remote_client.kubeconfig, "read", read)
    monkeypatch.setattr(remote_client.remote, "connect", connect)
    return RemoteClient(
        secret.read, where="Secret team/prod, key value", policy=more.pop("policy", POLICY), observe=lambda **_: None, **more
    )


async def test_a_kubeconfig_is_read_when_it_is_needed_and_not_for_every_request(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = Secret()
    client = made(api, secret, monkeypatch)
    assert secret.reads == 0
    for _ in range(3):
        assert await client.get("/version") == {"path": "/version"}
    assert (secret.reads, api.tokens) == (1, ["Bearer first"] * 3)
    await client.close()


async def test_a_new_token_takes_effect_when_the_old_one_was_looked_at_long_ago(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = Secret()
    client = made(api, secret, monkeypatch)
    await client.get("/version")
    secret.token = b"second"
    await client.get("/version")
    monkeypatch.setattr(remote_client, "READ_SECONDS", 0.0)
    await client.get("/version")
    assert api.tokens == ["Bearer first", "Bearer first", "Bearer second"]
    await client.close()


async def test_a_token_that_is_refused_is_looked_up_at_once(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = Secret()
    client = made(api, secret, monkeypatch)
    await client.get("/version")
    api.status, secret.token = 401, b"second"
    with pytest.raises(errors.UnauthorizedError):
        await client.get("/version")
    api.status = 200
    await client.get("/version")
    assert api.tokens[-1] == "Bearer second"
    await client.close()


async def watched(client: RemoteClient) -> None:
    async for _ in client.watch("/api/v1/pods", params={}):
        pass


async def test_a_token_that_a_watch_is_refused_with_is_looked_up_at_once_too(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = Secret()
    client = made(api, secret, monkeypatch)
    await client.get("/version")
    api.accepts, secret.token = "second", b"second"
    with pytest.raises(errors.UnauthorizedError):
        await watched(client)
    await watched(client)
    assert api.tokens[-1] == "Bearer second"
    await client.close()


async def test_what_others_read_of_the_secret_lately_does_not_do_after_a_refusal(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = Secret()
    client = made(api, secret, monkeypatch)
    api.accepts = "second"
    for _ in range(2):
        with pytest.raises(errors.UnauthorizedError):
            await client.get("/version")
    assert secret.ages == [remote_client.READ_SECONDS / 2, 0.0]
    await client.close()


async def test_who_is_refused_again_and_again_asks_for_the_secret_now_and_then(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = Secret()
    client = made(api, secret, monkeypatch)
    api.accepts = "second"
    for _ in range(20):
        with pytest.raises(errors.UnauthorizedError):
            await client.get("/version")
    assert secret.reads == 2, "once for the first request, once for the first refusal"
    secret.token = b"second"
    monkeypatch.setattr(remote_client, "AGAIN_SECONDS", 0.0)
    await client.get("/version")
    assert secret.reads == 3
    await client.close()


async def test_a_secret_that_cannot_be_read_is_not_asked_for_by_each_request(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = Secret()
    secret.error = errors.ReferenceMissingError("no such Secret")
    client = made(api, secret, monkeypatch)
    for _ in range(20):
        with pytest.raises(errors.ReferenceMissingError):
            await client.get("/version")
    assert secret.reads == 1
    secret.error = None
    client._read_at -= remote_client.AGAIN_SECONDS
    await client.get("/version")
    assert (secret.reads, api.tokens) == (2, ["Bearer first"])
    await client.close()


@pytest.mark.parametrize(
    "page",
    [
        pytest.param({"metadata": {}, "items": [{}] * (PAGE_OBJECTS + 1)}, id="more-than-was-asked-for"),
        pytest.param({"metadata": {}, "items": 5}, id="no-list"),
        pytest.param({"metadata": [], "items": []}, id="no-metadata"),
        pytest.param([1], id="no-object"),
    ],
)
async def test_a_list_that_is_not_what_was_asked_for_is_refused(api: Api, monkeypatch: pytest.MonkeyPatch, page: Any) -> None:
    client = made(api, Secret(), monkeypatch)
    api.page = page
    with pytest.raises(errors.TargetUnreachableError):
        [found async for found in client.pages("/api/v1/pods")]
    api.page = {"metadata": {}, "items": [{}] * PAGE_OBJECTS}
    assert len([found async for found in client.pages("/api/v1/pods")]) == 1
    await client.close()


async def test_a_cluster_that_does_not_answer_is_told_with_where_its_kubeconfig_stands(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    api.url = "http://127.0.0.1:1"
    client = made(api, Secret(), monkeypatch)
    with pytest.raises(errors.TargetUnreachableError, match="the cluster of Secret team/prod, key value cannot be reached"):
        await client.get("/version")
    with pytest.raises(errors.TargetUnreachableError):
        async for _ in client.watch("/api/v1/pods", params={}):
            pass
    await client.close()


@pytest.mark.parametrize("error", [errors.ReferenceMissingError("no such Secret"), errors.ForbiddenError("may not read it")])
async def test_a_secret_that_cannot_be_read_is_told_as_that(api: Api, monkeypatch: pytest.MonkeyPatch, error: errors.CvstateError) -> None:
    secret = Secret()
    secret.error = error
    client = made(api, secret, monkeypatch)
    with pytest.raises(type(error)):
        await client.get("/version")
    assert api.tokens == []
    await client.close()


async def test_a_kubeconfig_that_is_refused_sends_nothing_and_leaves_the_old_one_alone(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = Secret()
    client = made(api, secret, monkeypatch)
    await client.get("/version")
    secret.token = b"bad"
    monkeypatch.setattr(remote_client, "READ_SECONDS", 0.0)
    with pytest.raises(errors.KubeConfigInvalidError):
        await client.get("/version")
    assert len(api.tokens) == 1
    await client.close()


async def test_an_address_that_may_not_be_asked_is_not_connected_to(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    api.url = api.url.replace("127.0.0.1", "localhost")  # an address is judged when the kubeconfig is read
    client = made(api, Secret(), monkeypatch, policy=AddressPolicy())
    with pytest.raises(errors.URLNotAllowedError):
        await client.get("/version")
    with pytest.raises((errors.URLNotAllowedError, errors.TargetUnreachableError)):
        async for _ in client.watch("/api/v1/pods", params={}):
            pass
    assert api.tokens == []
    await client.close()


async def test_a_replica_that_is_fenced_sends_nothing_that_writes(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    client = made(api, Secret(), monkeypatch, fence=lambda: "lost touch")
    assert await client.get("/version")
    with pytest.raises(errors.FencedError, match="lost touch"):
        await client.create("/api/v1/pods", {})
    assert len(api.tokens) == 1
    await client.close()


async def test_many_that_begin_together_read_the_kubeconfig_once(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = Secret()
    client = made(api, secret, monkeypatch)
    await asyncio.gather(*(client.get("/version") for _ in range(10)))
    assert secret.reads == 1
    await client.close()
