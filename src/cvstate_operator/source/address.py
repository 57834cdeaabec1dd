"""Addresses: which URLs and hosts the operator may talk to. Pure.

Whoever may write a ClusterState chooses where the operator connects to; so addresses that only the operator itself can reach are refused: link-local ones
(cloud metadata services), its own loopback interface, and the API server. Names are judged by what they resolve to, at the moment of connecting, so that
a name cannot lead elsewhere the second time (DNS rebinding).
"""

import ipaddress
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from cvstate_operator import errors

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


def check_url(url: str, policy: AddressPolicy, *, has_credentials: bool) -> None:
    """Refuse a URL by what it says.

    Raises:
        InvalidURLError: it is none.
        URLNotAllowedError: it is one that the policy forbids.
    """
    try:
        parts = urlsplit(url)
        host, _ = (parts.hostname or "").lower().rstrip("."), parts.port
    except ValueError as exc:
        # Python's text repeats the URL, and a password may stand in it.
        raise errors.InvalidURLError("spec.source.git.url is no URL: its host or port cannot be read; write https://HOST/PATH") from exc
    if parts.scheme == "file":
        if not policy.files:
            raise errors.URLNotAllowedError("file:// URLs are not allowed; use https://, or start the operator with --allow-file-urls")
        return
    if parts.scheme not in ("https", "ssh", "http"):
        raise errors.InvalidURLError("spec.source.git.url must begin with https:// or ssh://")
    if parts.password is not None or (parts.username is not None and parts.scheme != "ssh"):
        raise errors.InvalidURLError(
            "spec.source.git.url holds a user or password, which would be shown; put them into a Secret (secretRef)"
        )
    if not host or host.startswith("-") or parts.path.startswith("/-"):
        raise errors.InvalidURLError("spec.source.git.url names no host, or one that begins with '-'; write https://HOST/PATH")
    if host in policy.hosts:
        return
    if parts.scheme == "http" and not policy.insecure:
        what = "would send credentials in clear" if has_credentials else "can be changed on its way"
        raise errors.URLNotAllowedError(f"http:// {what}; use https://, or start the operator with --allow-insecure-sources")
    if host in _METADATA_NAMES or host in _API_SERVER_NAMES or host.startswith("kubernetes.default."):
        raise errors.URLNotAllowedError(f"{host} is not a Git server that may be asked; name another, or allow it by --allow-git-host")
    if host == "localhost" and not policy.insecure:
        raise errors.URLNotAllowedError(_refusal(host, "loopback"))
    try:
        check_address(ipaddress.ip_address(host), host, policy)
    except ValueError:
        return  # a name; judged when it is resolved


def check_address(address: ipaddress.IPv4Address | ipaddress.IPv6Address, host: str, policy: AddressPolicy) -> None:
    """Refuse an address that `host` resolved to.

    Raises:
        URLNotAllowedError: link-local, multicast, unspecified or of a metadata service; or loopback, where the policy does not allow it.
    """
    if host in policy.hosts:
        return
    plain = getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None) or address
    if plain.is_loopback:  # before the reserved ones: Python counts ::1 among them
        if not policy.insecure:
            raise errors.URLNotAllowedError(_refusal(host, "loopback"))
        return
    if str(plain) == policy.api_server:
        raise errors.URLNotAllowedError(
            f"{host} is the API server, which is no Git server; name another, or allow it by --allow-git-host {host}"
        )
    if plain.is_link_local or plain in _METADATA_ADDRESSES:
        raise errors.URLNotAllowedError(_refusal(host, "link-local"))
    if (
        plain.is_multicast
        or plain.is_reserved
        or getattr(plain, "teredo", None)
        or getattr(plain, "is_site_local", False)
        or (plain.is_unspecified and not policy.insecure)
    ):
        raise errors.URLNotAllowedError(_refusal(host, "special"))


def _refusal(host: str, kind: str) -> str:
    return f"{host} is a {kind} address, which may not be asked; name another host, or allow it by --allow-git-host {host}"
