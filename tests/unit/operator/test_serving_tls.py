"""The HTTP server by TLS, over real connections on the loopback interface.

Aspects: what a client sees · a certificate that is exchanged counts for new connections, and open ones go on, whatever type of key either has, and for
who asks for an address too · what cannot be used changes nothing and is told once · what is wrong at
the start · old protocols · plain HTTP without a directory.
"""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest

from cvstate_operator.errors import SettingsError
from cvstate_operator.operator import serving_tls
from cvstate_operator.operator.http import HttpServer
from cvstate_operator.operator.serving_tls import ServingTls
from cvstate_operator.telemetry.metrics import Metrics
from tests.support.credentials import Authority, KeyPair

NAME = "cvstate-operator.cvstate-system.svc"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def write(directory: Path, pair: KeyPair) -> None:
    directory.mkdir(exist_ok=True)
    (directory / "tls.crt").write_text(pair.certificate)
    (directory / "tls.key").write_text(pair.key)


@pytest.fixture
def directory(tmp_path: Path, authority: Authority) -> Path:
    write(tmp_path / "tls", authority.issue(NAME))
    return tmp_path / "tls"


@asynccontextmanager
async def serving(directory: Path | None) -> AsyncIterator[str]:
    server = HttpServer(Metrics(), alive=lambda: "", ready=lambda: "")
    try:
        yield await server.start("127.0.0.1:0", directory)
    finally:
        await server.close()


@asynccontextmanager
async def client(authority: Authority) -> AsyncIterator[aiohttp.ClientSession]:
    context = ssl.create_default_context(cadata=authority.certificate)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        yield session


async def shown(address: str, authority: Authority, *, name: str = NAME, **limits: ssl.TLSVersion) -> tuple[int, str]:
    """Serial number of the certificate that a new connection is shown, and its protocol. Who asks for an address names no server (RFC 6066, 3)."""
    context = ssl.create_default_context(cadata=authority.certificate)
    for limit, version in limits.items():
        setattr(context, limit, version)
    host, _, port = address.removeprefix("https://").rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port), ssl=context, server_hostname=name)
    told, protocol = writer.get_extra_info("peercert"), writer.get_extra_info("ssl_object").version()
    writer.close()
    return int(told["serialNumber"], 16), protocol


async def test_metrics_and_probes_are_served_by_https(directory: Path, authority: Authority) -> None:
    async with serving(directory) as address, client(authority) as session:
        assert address.startswith("https://127.0.0.1:")
        for path in ("/metrics", "/healthz", "/readyz"):
            async with session.get(f"{address}{path}", server_hostname=NAME) as answer:
                assert answer.status == 200
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await session.get(f"{address}/metrics", server_hostname="another.name")


async def test_without_a_directory_it_is_plain_http() -> None:
    async with serving(None) as address, aiohttp.ClientSession() as session, session.get(f"{address}/healthz") as answer:
        assert (address.partition(":")[0], answer.status) == ("http", 200)


async def test_protocols_of_before_tls_1_2_are_refused(directory: Path, authority: Authority) -> None:
    async with serving(directory) as address:
        assert (await shown(address, authority, maximum_version=ssl.TLSVersion.TLSv1_2))[1] == "TLSv1.2"
        assert (await shown(address, authority))[1] == "TLSv1.3"
        host, _, port = address.removeprefix("https://").rpartition(":")
        old = ssl.create_default_context(cadata=authority.certificate)
        old.set_ciphers("DEFAULT:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection(host, int(port), ssl=old, server_hostname=NAME)


@pytest.mark.parametrize("name", [NAME, "127.0.0.1"], ids=["by-name", "by-address"])
@pytest.mark.parametrize("before_is_rsa", [False, True], ids=["from-ec", "from-rsa"])
@pytest.mark.parametrize("after_is_rsa", [False, True], ids=["to-ec", "to-rsa"])
async def test_an_exchanged_certificate_counts_from_then_on_and_open_connections_go_on(
    directory: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch, name: str, *, before_is_rsa: bool, after_is_rsa: bool
) -> None:
    monkeypatch.setattr(serving_tls, "POLL_SECONDS", 0.01)
    write(directory, authority.issue(NAME, "127.0.0.1", rsa_key=before_is_rsa))
    async with serving(directory) as address, client(authority) as session:
        first = await shown(address, authority, name=name)
        async with session.get(f"{address}/healthz", server_hostname=NAME) as answer:
            await answer.read()
        write(directory, authority.issue(NAME, "127.0.0.1", rsa_key=after_is_rsa))
        async with asyncio.timeout(5):
            while await shown(address, authority, name=name) == first:
                await asyncio.sleep(0.01)
        async with session.get(f"{address}/healthz", server_hostname=NAME) as answer:
            assert answer.status == 200


def half(directory: Path, authority: Authority) -> None:
    """As if somebody exchanged one file of two."""
    (directory / "tls.crt").write_text(authority.issue(NAME).certificate)


def garbage(directory: Path, authority: Authority) -> None:
    (directory / "tls.key").write_text("hunter2")


def gone(directory: Path, authority: Authority) -> None:
    (directory / "tls.key").unlink()


SPOILED = pytest.mark.parametrize("spoil", [half, garbage, gone])


@SPOILED
async def test_what_cannot_be_used_changes_nothing_and_what_comes_after_it_counts(
    directory: Path, authority: Authority, spoil: Callable[[Path, Authority], None], caplog: pytest.LogCaptureFixture
) -> None:
    serving_now = ServingTls(directory)

    async def seen() -> int:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=serving_now.context)
        async with server:
            return (await shown("https://{}:{}".format(*server.sockets[0].getsockname()), authority))[0]

    first = await seen()
    spoil(directory, authority)
    with caplog.at_level(logging.ERROR):
        serving_now.look()
    assert await seen() == first
    assert [record.message for record in caplog.records] == ["certificate refused, the one before stays"]
    assert "hunter2" not in caplog.text
    write(directory, authority.issue(NAME))
    serving_now.look()
    assert await seen() != first


@SPOILED
def test_the_same_fault_is_told_once(
    directory: Path, authority: Authority, spoil: Callable[[Path, Authority], None], caplog: pytest.LogCaptureFixture
) -> None:
    serving_now = ServingTls(directory)
    spoil(directory, authority)
    for _ in range(3):
        serving_now.look()
    assert [record.levelname for record in caplog.records] == ["ERROR"]


@SPOILED
def test_at_the_start_it_is_an_error_that_names_the_place(
    directory: Path, authority: Authority, spoil: Callable[[Path, Authority], None]
) -> None:
    spoil(directory, authority)
    with pytest.raises(SettingsError) as caught:
        ServingTls(directory)
    assert str(directory) in caught.value.message
    assert "hunter2" not in caught.value.message


def test_an_expired_certificate_is_served_all_the_same(directory: Path, authority: Authority) -> None:
    # Who asks judges it. Without metrics nobody would see that anything is wrong at all.
    write(directory, authority.issue(NAME, valid=timedelta(days=-1)))
    assert ServingTls(directory).context
