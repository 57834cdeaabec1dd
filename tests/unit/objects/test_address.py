"""Which hosts may be asked, for Git and for Prometheus.

Aspects: names and addresses as they are written · where a name leads · what the owner allows · the option that a message names · private networks. URLs are
in tests/unit/source/test_address.py and tests/unit/telemetry/test_prometheus_client.py.
"""

from ipaddress import ip_address

import pytest

from cvstate_operator import errors
from cvstate_operator.objects.address import AddressPolicy, as_address, check_address, check_host, is_private

STRICT = AddressPolicy()
LOCAL = AddressPolicy(insecure=True)
UNSPECIFIED = "0.0.0.0"  # noqa: S104 - a URL's host, nothing is bound


@pytest.mark.parametrize(
    "host", ["git.example.org", "10.1.2.3", "192.0.2.7", "fd12:3456::1", "prometheus.monitoring", "kubernetes.example.org"]
)
def test_most_hosts_are_fine(host: str) -> None:
    check_host(host, STRICT)


@pytest.mark.parametrize(
    "host",
    ["metadata", "metadata.google.internal", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "169.254.169.254", "224.0.0.1"],
)
@pytest.mark.parametrize("policy", [STRICT, LOCAL], ids=["strict", "local"])
def test_some_are_never_asked(host: str, policy: AddressPolicy) -> None:
    with pytest.raises(errors.URLNotAllowedError):
        check_host(host, policy)


def test_with_a_list_no_other_host_is_asked() -> None:
    policy = AddressPolicy(only=("a.example.org", "metadata"), hosts=("b.example.org",), only_flag="--these")
    check_host("a.example.org", policy)
    check_host("b.example.org", policy)
    with pytest.raises(errors.URLNotAllowedError) as caught:
        check_host("c.example.org", policy)
    assert "--these c.example.org" in caught.value.message
    with pytest.raises(errors.URLNotAllowedError):
        check_host("metadata", policy)
    with pytest.raises(errors.URLNotAllowedError):
        check_address(ip_address("169.254.169.254"), "a.example.org", policy)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_the_operator_s_own_interface_only_where_it_is_allowed(host: str) -> None:
    with pytest.raises(errors.URLNotAllowedError):
        check_host(host, STRICT)
    check_host(host, LOCAL)
    check_host(host, AddressPolicy(hosts=(host,)))


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "127.0.0.1", "::1", UNSPECIFIED, "224.0.0.1", "100.100.100.200"]
)
def test_a_name_is_judged_by_where_it_leads(address: str) -> None:
    with pytest.raises(errors.URLNotAllowedError) as caught:
        check_address(ip_address(address), "innocent.example.org", STRICT)
    assert "innocent.example.org" in caught.value.message
    check_address(ip_address(address), "innocent.example.org", AddressPolicy(hosts=("innocent.example.org",)))


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "10.96.0.1"])
def test_a_refusal_names_the_option_that_would_allow_it(address: str) -> None:
    policy = AddressPolicy(api_server="10.96.0.1", flag="--allow-this")
    with pytest.raises(errors.URLNotAllowedError) as caught:
        check_address(ip_address(address), "h", policy)
    assert "--allow-this h" in caught.value.message


@pytest.mark.parametrize(
    ("host", "is_one"), [("10.0.0.1", True), ("::1", True), ("fe80::1%eth0", True), ("h", False), ("127.1", False), ("", False)]
)
def test_an_address_is_told_from_a_name(host: str, is_one: bool) -> None:
    assert (as_address(host) is not None) is is_one


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.0.0.1", True),
        ("172.31.0.1", True),
        ("192.168.0.1", True),
        ("100.64.0.1", True),
        ("127.0.0.1", True),
        ("fd00::1", True),
        ("::ffff:10.0.0.1", True),
        ("2002:0a00:0001::1", True),
        ("8.8.8.8", False),
        ("172.32.0.1", False),
        ("2001:4860:4860::8888", False),
        ("::ffff:8.8.8.8", False),
        ("2002:0808:0808::1", False),
    ],
)
def test_private_networks_are_those_that_nobody_routes(address: str, expected: bool) -> None:
    assert is_private(ip_address(address)) is expected
