"""Names that are resolved and judged.

Aspects: each address of a name, by the rules of who asks: Prometheus over http and https, remote clusters · many that ask together · a connector that
serves many · a name server that fails.
"""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from cvstate_operator import errors
from cvstate_operator.kube import remote
from cvstate_operator.kube.kubeconfig import RemoteCluster
from cvstate_operator.network.lookups import Lookups
from cvstate_operator.network.resolver import Judge, JudgingResolver
from cvstate_operator.objects.address import AddressPolicy
from cvstate_operator.telemetry import endpoint

NAME = "innocent.example.org"
STRICT = AddressPolicy(flag="--allow-prometheus-host")
LOCAL = AddressPolicy(insecure=True)
ALLOWED = AddressPolicy(hosts=(NAME,))


def plain(policy: AddressPolicy) -> Judge:
    """Of Prometheus by http://."""
    return endpoint.judging(policy, is_plain=True)


def secret(policy: AddressPolicy) -> Judge:
    """Of Prometheus by https://."""
    return endpoint.judging(policy, is_plain=False)


def leading_to(*addresses: str) -> Any:
    """What the system says of every name."""
    found = [(socket.AF_INET6 if ":" in each else socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, 80)) for each in addresses]
    return lambda *asked: found


@pytest.fixture
def shared() -> Iterator[Lookups]:
    found = Lookups(4, each=4)
    yield found
    found.close()


@pytest.mark.parametrize(
    ("addresses", "judge", "is_refused"),
    [
        (["10.0.0.1"], plain(STRICT), False),
        (["10.0.0.1", "fd00::1"], plain(STRICT), False),
        (["8.8.8.8"], secret(STRICT), False),
        (["8.8.8.8"], plain(STRICT), True),
        (["8.8.8.8"], plain(LOCAL), False),
        (["10.0.0.1", "8.8.8.8"], plain(STRICT), True),
        (["10.0.0.1", "169.254.169.254"], secret(STRICT), True),
        (["127.0.0.1"], secret(STRICT), True),
        (["127.0.0.1"], secret(LOCAL), False),
        (["fe80::1%1"], secret(LOCAL), True),
        (["10.96.0.1"], secret(AddressPolicy(api_server="10.96.0.1")), True),
        (["169.254.169.254"], plain(ALLOWED), False),
        (["169.254.169.254"], plain(AddressPolicy(only=(NAME,))), True),
        (["10.0.0.1"], plain(AddressPolicy(only=(NAME,))), False),
        (["8.8.8.8", "10.0.0.1"], remote.judging(STRICT), False),
        (["8.8.8.8", "169.254.169.254"], remote.judging(STRICT), True),
        (["127.0.0.1"], remote.judging(STRICT), True),
        (["::1"], remote.judging(STRICT), True),
        (["10.96.0.1"], remote.judging(AddressPolicy(api_server="10.96.0.1")), True),
    ],
)
async def test_a_name_is_resolved_and_each_of_its_addresses_judged(
    addresses: list[str], judge: Judge, is_refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", leading_to(*addresses))
    resolver = JudgingResolver(judge)
    try:
        if is_refused:
            for ask in (resolver.resolve, resolver.addresses):
                with pytest.raises(errors.URLNotAllowedError):
                    await ask("Innocent.Example.ORG.", 80)
        else:
            assert [each["host"] for each in await resolver.resolve("Innocent.Example.ORG.", 80)] == addresses
            assert await resolver.addresses("Innocent.Example.ORG.", 80) == addresses
    finally:
        await resolver.close()


async def test_the_server_of_a_kubeconfig_is_refused_without_an_option_that_would_allow_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", leading_to("169.254.169.254"))
    resolver = JudgingResolver(remote.judging(STRICT))
    with pytest.raises(errors.URLNotAllowedError, match="correct the server of the kubeconfig") as caught:
        await resolver.addresses(NAME, 443)
    assert STRICT.flag not in caught.value.message
    await resolver.close()


async def test_those_who_ask_together_hold_up_one_thread_and_later_ones_ask_anew(shared: Lookups, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, asked = threading.Event(), list[str]()

    def slow(host: str, *rest: object) -> Any:
        asked.append(host)
        go_on.wait(10)
        return leading_to("10.0.0.1")()

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    resolver = JudgingResolver(secret(STRICT), lookups=shared)
    waiting = [asyncio.create_task(resolver.addresses(NAME, 443)) for _ in range(20)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    go_on.set()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert (asked, found[1:]) == ([NAME], [["10.0.0.1"]] * 19)
    await resolver.addresses(NAME, 443)
    assert asked == [NAME, NAME]
    await resolver.close()
    assert await shared.find(NAME, socket.AF_UNSPEC), "threads of others go on"


async def test_those_who_share_lookups_share_answers_and_judge_by_themselves(shared: Lookups, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[str]()

    def local(host: str, *rest: object) -> Any:
        asked.append(host)
        return leading_to("127.0.0.1")()

    monkeypatch.setattr(socket, "getaddrinfo", local)
    lax, strict = (JudgingResolver(secret(policy), lookups=shared, tenant=policy.flag) for policy in (LOCAL, STRICT))
    found = await asyncio.gather(lax.addresses(NAME, 443), strict.addresses(NAME, 6443), return_exceptions=True)
    assert (asked, found[0]) == ([NAME], ["127.0.0.1"])
    assert isinstance(found[1], errors.URLNotAllowedError)


async def test_remote_clusters_of_one_tenant_leave_name_servers_to_those_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    silent, asked = threading.Event(), list[str]()

    def slow(host: str, *rest: object) -> Any:
        asked.append(host)
        if host != NAME:
            silent.wait(10)
        return leading_to("10.0.0.1")()

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    monkeypatch.setattr(remote, "_LOOKUPS", Lookups(4, each=1))
    ways = [remote.connect(RemoteCluster(f"https://n{number}.silent"), STRICT, tenant="evil") for number in range(12)]
    good = remote.connect(RemoteCluster(f"https://{NAME}"), STRICT, tenant="good")
    assert good.resolve is not None
    waiting = [asyncio.ensure_future(way.resolve(f"n{number}.silent", 443)) for number, way in enumerate(ways) if way.resolve]
    async with asyncio.timeout(5):
        await asyncio.sleep(0)
        assert await good.resolve(NAME, 443) == ["10.0.0.1"]
    assert sorted(asked) == [NAME, "n0.silent"]
    silent.set()
    await asyncio.gather(*waiting)
    for way in (*ways, good):
        await way.close()


async def test_where_one_connector_serves_many_each_has_its_own_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    silent, asked = threading.Event(), list[str]()

    def slow(host: str, *rest: object) -> Any:
        asked.append(host)
        if host != NAME:
            silent.wait(10)
        return leading_to("10.0.0.1")()

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    who: ContextVar[str] = ContextVar("who")
    lookups = Lookups(4, each=1)
    resolver = JudgingResolver(secret(STRICT), lookups=lookups, tenant=who)

    async def resolve(tenant: str, host: str) -> str:
        who.set(tenant)
        return (await resolver.resolve(host, 443))[0]["host"]

    waiting = [asyncio.create_task(resolve("evil", f"n{number}.silent")) for number in range(12)]
    async with asyncio.timeout(5):
        await asyncio.sleep(0)
        assert await asyncio.create_task(resolve("good", NAME)) == "10.0.0.1"
    assert sorted(asked) == [NAME, "n0.silent"]
    silent.set()
    await asyncio.gather(*waiting)
    lookups.close()


async def test_an_address_is_judged_too() -> None:
    resolver = JudgingResolver(secret(STRICT))
    with pytest.raises(errors.URLNotAllowedError):
        await resolver.addresses("127.0.0.1", 443)
    await resolver.close()


async def test_a_name_without_an_address_is_told_as_the_system_tells_it(shared: Lookups, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(*asked: object) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    resolver = JudgingResolver(secret(STRICT), lookups=shared)
    with pytest.raises(OSError, match="no such name"):
        await resolver.resolve(NAME, 443)
    await resolver.close()
