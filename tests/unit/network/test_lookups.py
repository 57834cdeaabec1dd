"""Names that the system is asked for.

Aspects: an address waits for nothing · all who ask for a name together hold up one thread, whoever they are · one tenant leaves threads to others · who waits too long is
told so · a turn ends with its thread · nothing is kept of a tenant.
"""

import asyncio
import gc
import socket
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cvstate_operator.network import lookups
from cvstate_operator.network.lookups import Found, Lookups

ANY = socket.AF_UNSPEC
HERE = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 0))


class NameServer:
    """Answers names that end with `.example.org` at once, and all others when it is told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.speaks = threading.Event()

    def getaddrinfo(self, host: str, *rest: object) -> list[Any]:
        self.asked.append(host)
        if not host.endswith(".example.org"):
            self.speaks.wait(10)
        return [HERE]

    async def until_asked(self, number: int) -> None:
        async with asyncio.timeout(5):
            while len(self.asked) < number:
                await asyncio.sleep(0.001)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> NameServer:
    found = NameServer()
    monkeypatch.setattr(socket, "getaddrinfo", found.getaddrinfo)
    monkeypatch.setattr(lookups, "WAIT_SECONDS", 0.05)
    return found


@pytest.fixture
async def names(server: NameServer) -> AsyncIterator[Lookups]:
    found = Lookups(4, each=2)
    yield found
    await all_answered(found, server)
    found.close()


def asking(names: Lookups, *hosts: str, tenant: str) -> list[asyncio.Task[Any]]:
    return [asyncio.create_task(names.find(host, ANY, tenant=tenant)) for host in hosts]


async def all_held_up(names: Lookups, server: NameServer) -> list[asyncio.Task[Any]]:
    waiting = asking(names, "a.silent", "b.silent", tenant="evil") + asking(names, "c.silent", "d.silent", tenant="worse")
    await server.until_asked(4)
    return waiting


async def all_answered(names: Lookups, server: NameServer) -> None:
    server.speaks.set()
    async with asyncio.timeout(5):
        while names._asking:
            await asyncio.sleep(0.001)


@pytest.mark.parametrize(
    ("host", "family", "address"),
    [("10.0.0.1", ANY, "10.0.0.1"), ("fd00::1", ANY, "fd00::1"), ("fe80::1%1", socket.AF_INET6, "fe80::1")],
)
async def test_an_address_waits_for_no_name_server(
    names: Lookups, server: NameServer, host: str, family: socket.AddressFamily, address: str
) -> None:
    await all_held_up(names, server)
    kind = socket.AF_INET6 if ":" in host else socket.AF_INET
    assert await names.find(host, family, tenant="evil") == (Found(address, kind, socket.IPPROTO_TCP),)


async def test_an_address_of_another_family_is_none(names: Lookups) -> None:
    with pytest.raises(OSError, match="another family"):
        await names.find("10.0.0.1", socket.AF_INET6)


async def test_one_tenant_leaves_threads_to_others(names: Lookups, server: NameServer) -> None:
    asking(names, *(f"n{number}.silent" for number in range(20)), tenant="evil")
    await server.until_asked(2)
    assert [found.address for found in await names.find("api.example.org", ANY, tenant="good")] == ["10.0.0.1"]
    assert server.asked == ["n0.silent", "n1.silent", "api.example.org"]


@pytest.mark.parametrize(("tenant", "whose"), [("good", "of other tenants"), ("evil", "of the same tenant")])
async def test_who_waits_too_long_for_a_turn_is_told_so_and_whose_names_hold_it_up(
    names: Lookups, server: NameServer, tenant: str, whose: str
) -> None:
    await all_held_up(names, server)
    with pytest.raises(OSError, match=f"{whose} .* name servers do not answer"):
        await names.find("api.example.org", ANY, tenant=tenant)
    assert "api.example.org" not in server.asked


async def test_tenants_that_ask_for_the_same_name_hold_up_one_thread(names: Lookups, server: NameServer) -> None:
    waiting = [task for number in range(20) for task in asking(names, "Silent", tenant=f"team-{number}")]
    await server.until_asked(1)
    server.speaks.set()
    assert len(await asyncio.gather(*waiting)) == 20
    assert server.asked == ["Silent"]


async def test_nobody_waits_with_a_name_that_waits_for_the_turn_of_another_tenant(names: Lookups, server: NameServer) -> None:
    waiting = asking(names, "a.silent", "b.silent", "api.example.org", tenant="evil")
    await server.until_asked(2)
    assert await names.find("api.example.org", ANY, tenant="good")
    assert isinstance((await asyncio.gather(waiting[2], return_exceptions=True))[0], OSError), "its own tenant has no turn left"


async def test_a_turn_is_kept_until_the_thread_is_free_although_whoever_asked_gave_up(names: Lookups, server: NameServer) -> None:
    for task in await all_held_up(names, server):
        task.cancel()
    with pytest.raises(OSError, match="name servers do not answer"):
        await names.find("api.example.org", ANY, tenant="good")
    await all_answered(names, server)
    assert await names.find("api.example.org", ANY, tenant="good")


async def test_nothing_is_kept_of_a_tenant_that_asks_no_more(names: Lookups) -> None:
    for number in range(50):
        await names.find("api.example.org", ANY, tenant=f"team-{number}")
    gc.collect()
    assert (len(names._tenants), len(names._asking)) == (0, 0)


async def test_a_name_that_no_host_can_have_is_told_as_one_that_does_not_exist() -> None:
    found = Lookups(1, each=1)
    with pytest.raises(socket.gaierror):
        await found.find("a" * 64 + ".example.org", ANY)
    found.close()
