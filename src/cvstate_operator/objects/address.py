"""Addresses: which hosts the operator may talk to.

Whoever may write a ClusterState chooses where the operator connects to, for Git and for Prometheus; so addresses that only the operator itself can reach
are refused: link-local ones (cloud metadata services), its own loopback interface, and the API server. Names are judged by what they resolve to, at the
moment of connecting, so that a name cannot lead elsewhere the second time (DNS rebinding).

What else a URL may say is for each adapter to judge (`source/address.py`, `telemetry/endpoint.py`).
"""

import ipaddress
from dataclasses import dataclass
from typing import Final

from cvstate_operator import errors

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_METADATA_NAMES: Final = ("metadata", "metadata.google.internal", "instance-data", "instance-data.ec2.internal")
"""Names of cloud metadata services (Google, Amazon)."""
_METADATA_ADDRESSES: Final = (
    ipaddress.ip_address("fd00:ec2::254"),
    ipaddress.ip_address("100.100.100.200"),
    ipaddress.ip_address("168.63.129.16"),
    ipaddress.ip_address("192.0.0.192"),
)
"""Metadata services outside the link-local ranges: Amazon by IPv6, Alibaba, Azure, Oracle."""
_API_SERVER_NAMES: Final = ("kubernetes", "kubernetes.default")


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """What the operator's owner allows."""

    files: bool = False
    """file:// URLs."""
    insecure: bool = False
    """http:// URLs, and hosts on the loopback interface."""
    hosts: tuple[str, ...] = ()
    """Hosts that are allowed whatever they resolve to."""
    api_server: str = ""
    """Address of the API server, as the operator itself reaches it; empty if it is not known."""
    flag: str = "--allow-git-host"
    """Option of the operator that allows a host, for messages."""
    only: tuple[str, ...] = ()
    """If there are any: no hosts but these and `hosts` may be asked. What they resolve to is judged as ever."""
    only_flag: str = "--prometheus-host"
    """Option of the operator that adds to `only`, for messages."""


def check_host(host: str, policy: AddressPolicy) -> None:
    """Refuse a host by its name, or by its address if it is one. Where another name leads is judged when it is resolved.

    Args:
        host: in lower case, without a dot at its end and without the brackets of IPv6.
        policy: what the operator's owner allows.

    Raises:
        URLNotAllowedError: it is one that the policy forbids.
    """
    if host in policy.hosts:
        return
    if policy.only and host not in policy.only:
        raise errors.URLNotAllowedError(
            f"{host} is none of the hosts that may be asked; name one of them, or have it added with {policy.only_flag} {host}"
        )
    if host in _METADATA_NAMES or host in _API_SERVER_NAMES or host.startswith("kubernetes.default."):
        raise errors.URLNotAllowedError(f"{host} is no server that may be asked; name another, or allow it by {policy.flag}")
    if host == "localhost" and not policy.insecure:
        raise errors.URLNotAllowedError(_refusal(host, "loopback", policy))
    if (address := as_address(host)) is not None:
        check_address(address, host, policy)


def check_address(address: IPAddress, host: str, policy: AddressPolicy) -> None:
    """Refuse an address that `host` resolved to.

    Raises:
        URLNotAllowedError: link-local, multicast, unspecified or of a metadata service; or loopback, where the policy does not allow it.
    """
    if host in policy.hosts:
        return
    plain = _plain(address)
    if plain.is_loopback:  # before the reserved ones: Python counts ::1 among them
        if not policy.insecure:
            raise errors.URLNotAllowedError(_refusal(host, "loopback", policy))
        return
    if str(plain) == policy.api_server:
        raise errors.URLNotAllowedError(
            f"{host} is the API server, which is not to be asked; name another, or allow it by {policy.flag} {host}"
        )
    if plain.is_link_local or plain in _METADATA_ADDRESSES:
        raise errors.URLNotAllowedError(_refusal(host, "link-local", policy))
    if (
        plain.is_multicast
        or plain.is_reserved
        or getattr(plain, "teredo", None)
        or getattr(plain, "is_site_local", False)
        or (plain.is_unspecified and not policy.insecure)
    ):
        raise errors.URLNotAllowedError(_refusal(host, "special", policy))


def as_address(host: str) -> IPAddress | None:
    """The address that `host` is; None if it is a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def is_private(address: IPAddress) -> bool:
    """Whether packets to it stay in a private network: RFC 1918, RFC 4193, RFC 6598 and the loopback interface."""
    return not _plain(address).is_global


def _plain(address: IPAddress) -> IPAddress:
    """The IPv4 address inside of an IPv6 one that stands for it."""
    return getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None) or address


def _refusal(host: str, kind: str, policy: AddressPolicy) -> str:
    return f"{host} is a {kind} address, which may not be asked; name another host, or allow it by {policy.flag} {host}"
