"""Endpoints: addresses of Prometheus that may be asked, and the Secrets for them.

Aspects: addresses by what they say · plain http · what the operator's owner allows, and what he lists · Secrets that make no sense · equality: who may share answers.
"""

from ipaddress import ip_address
from typing import Any

import pytest

from cvstate_operator import errors
from cvstate_operator.objects.address import AddressPolicy
from cvstate_operator.telemetry import endpoint
from tests.support.credentials import Authority

STRICT = AddressPolicy(flag="--allow-prometheus-host")
LOCAL = AddressPolicy(insecure=True)
TOKEN = {"bearerToken": b"s3cret"}


@pytest.mark.parametrize(
    ("url", "has_credentials"),
    [
        ("https://prometheus.example.org", True),
        ("https://192.0.2.1:9090/prefix", True),
        ("http://prometheus.monitoring:9090", False),
        ("http://10.0.0.1:9090", False),
        ("http://[fd12::1]:9090", False),
        ("http://100.64.0.1:9090", False),
    ],
)
def test_most_addresses_may_be_asked(url: str, has_credentials: bool) -> None:
    endpoint.read(url, "shop", STRICT, data=TOKEN if has_credentials else {})


@pytest.mark.parametrize(
    ("url", "has_credentials"),
    [
        ("http://prometheus.monitoring:9090", True),
        ("http://8.8.8.8:9090", False),
        ("http://[2001:4860:4860::8888]", False),
        ("http://[64:ff9b::808:808]", False),
        ("http://127.0.0.1:9090", False),
        ("http://localhost:9090", False),
        ("http://127.1:9090", False),
        ("http://2130706433:9090", False),
        ("http://[::1%25lo]:9090", False),
        ("http://[::ffff:127.0.0.1]:9090", False),
        ("http://10.0.0.1 :9090", False),
        ("https://169.254.169.254", False),
        ("https://[fe80::1%25eth0]", False),
        ("https://metadata.google.internal", False),
        ("https://kubernetes.default.svc", False),
        ("https://me:hunter2@h", False),
        ("https://hunter2@h", False),
        ("https://h/?hunter2", False),
        ("https://h/#hunter2", False),
        ("https://h:99999/hunter2", False),
        ("https://[::1/hunter2", False),
        ("ftp://h/hunter2", False),
        ("https://", False),
        ("https:///hunter2", False),
        ("", False),
        ("https://h/hunter2\x1b", False),
    ],
)
def test_some_may_not(url: str, has_credentials: bool) -> None:
    with pytest.raises((errors.InvalidURLError, errors.URLNotAllowedError)) as caught:
        endpoint.read(url, "shop", STRICT, data=TOKEN if has_credentials else {})
    assert caught.value.message.isprintable()
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize("host", ["prometheus.monitoring", "8.8.8.8", "127.0.0.1"])
def test_a_host_that_the_owner_named_is_asked_in_clear(host: str) -> None:
    endpoint.read(f"http://{host}:9090", "shop", AddressPolicy(hosts=(host,)), data=TOKEN)


def test_the_owner_may_allow_credentials_in_clear_everywhere() -> None:
    endpoint.read("http://prometheus.example.org", "shop", LOCAL, data=TOKEN)


ONLY = AddressPolicy(only=("prometheus.monitoring", "169.254.169.254", "10.0.0.1"), hosts=("allowed.example.org",))


@pytest.mark.parametrize(
    "url", ["http://prometheus.monitoring:9090", "https://Prometheus.Monitoring.", "http://10.0.0.1", "https://allowed.example.org"]
)
def test_a_host_of_the_owner_s_list_may_be_asked(url: str) -> None:
    endpoint.read(url, "shop", ONLY)


@pytest.mark.parametrize(
    "url",
    ["https://evil.example.org", "https://prometheus.monitoring.evil.example.org", "http://10.0.0.2", "https://xprometheus.monitoring"],
)
def test_with_a_list_no_other_host_may_be_asked(url: str) -> None:
    with pytest.raises(errors.URLNotAllowedError) as caught:
        endpoint.read(url, "shop", ONLY)
    assert "--prometheus-host" in caught.value.message


def test_the_list_allows_no_address_that_is_never_asked() -> None:
    with pytest.raises(errors.URLNotAllowedError) as caught:
        endpoint.read("https://169.254.169.254", "shop", ONLY)
    assert "link-local" in caught.value.message


def test_questions_go_below_the_prefix() -> None:
    assert str(endpoint.read("https://h:9090/a/b/", "shop", STRICT).target) == "https://h:9090/a/b/api/v1/query"


@pytest.mark.parametrize("address", ["8.8.8.8", "::ffff:8.8.8.8", "2001:4860:4860::8888"])
def test_plain_http_stays_in_private_networks(address: str) -> None:
    with pytest.raises(errors.URLNotAllowedError) as caught:
        endpoint.check_plain(ip_address(address), "innocent.example.org", STRICT)
    assert "innocent.example.org" in caught.value.message
    endpoint.check_plain(ip_address("10.1.2.3"), "innocent.example.org", STRICT)
    endpoint.check_plain(ip_address(address), "innocent.example.org", LOCAL)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"username": b"me"}, "key password is missing"),
        ({"password": b"hunter2"}, "key username is missing"),
        ({"username": b"m:e", "password": b"hunter2"}, "colon"),
        ({"username": b"me", "password": b"hunter2", "bearerToken": b"t"}, "beside"),
        ({"bearerToken": b"Bearer hunter2"}, "without the word Bearer"),
        ({"bearerToken": b"hunter2\r\nX: y"}, "control character"),
        ({"bearerToken": b"\xff"}, "not UTF-8"),
        ({"ca.crt": b"hunter2"}, "no PEM certificate"),
        ({"ca.crt": b""}, "no PEM certificate"),
        ({"ca.crt": b"-----BEGIN PRIVATE KEY-----"}, "private key"),
        ({"tls.crt": b"hunter2"}, "key tls.key is missing"),
        ({"tls.key": b"hunter2"}, "key tls.crt is missing"),
    ],
)
def test_a_secret_that_makes_no_sense_is_told_without_its_values(data: dict[str, bytes], words: str) -> None:
    with pytest.raises(errors.InvalidSpecError) as caught:
        endpoint.read("https://h", "shop", LOCAL, secret="prom-auth", data=data)
    assert words in caught.value.message
    assert "prom-auth" in caught.value.message
    assert "hunter2" not in caught.value.message


ASKING: list[dict[str, Any]] = [
    {},
    {"url": "https://h/prefix"},
    {"namespace": "another"},
    {"data": {"bearerToken": b"one"}},
    {"data": {"bearerToken": b"two"}},
    {"data": {"username": b"me", "password": b"one"}},
    {"data": {"username": b"me", "password": b"two"}},
    {"data": {"ca.crt": Authority().certificate.encode()}},
    {"data": {"tls.crt": b"one", "tls.key": b"one"}},
    {"data": {"tls.crt": b"one", "tls.key": b"two"}},
]


def asking(given: dict[str, Any]) -> endpoint.Endpoint:
    settled = {"url": "https://h", "namespace": "shop", "data": {}} | given
    return endpoint.read(settled["url"], settled["namespace"], STRICT, data=settled["data"])


def test_only_those_who_may_see_the_same_are_equal() -> None:
    assert len({asking(given) for given in ASKING}) == len(ASKING)
    assert all(asking(given) == asking(given) for given in ASKING)


@pytest.mark.parametrize("data", [TOKEN, {"username": b"me", "password": b"s3cret"}, {"tls.crt": b"s3cret", "tls.key": b"s3cret"}])
def test_an_endpoint_does_not_show_its_secrets(data: dict[str, bytes]) -> None:
    assert "s3cret" not in repr(asking({"data": data}))
