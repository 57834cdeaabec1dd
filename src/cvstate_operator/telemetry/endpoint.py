"""Endpoints: one Prometheus HTTP API as one ClusterState may ask it, with its credentials (`objects/http_credentials.py`).

Whoever writes a ClusterState chooses the address, so that it may lead anywhere the operator can reach. Beside what `objects/address.py` refuses:

- The path of the API is ours (`/api/v1/query`), with POST; a URL with a query or fragment is refused. So no other address of a server can be asked.
- http:// is how Prometheus is reached within most clusters. It is allowed without credentials, and as long as all addresses of the host are private: on the
  way through a public network, anybody could change the numbers that decide about roll-outs. With credentials, or to a public address, it takes
  https://, or the word of the operator's owner (`AddressPolicy.insecure`, or the host's name in `AddressPolicy.hosts`).
- Redirects are not followed, proxies of the environment are not used.
"""

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field

from yarl import URL

from cvstate_operator import errors
from cvstate_operator.network.resolver import Judge
from cvstate_operator.objects import http_credentials
from cvstate_operator.objects.address import AddressPolicy, IPAddress, as_address, check_address, check_host, is_private
from cvstate_operator.objects.redaction import MASK


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Two are equal if whatever one of them is told may be told to the other."""

    url: str
    """Of the API, without a slash at its end."""
    namespace: str
    """Of those who ask; answers are shared within it only."""
    authorization: str = field(default="", repr=False)
    """Value of the Authorization header; empty for none."""
    authority: str = field(default="", repr=False)
    """PEM certificates that the server's must be signed by; empty: the system's."""
    identity: bytes = field(default=b"", repr=False)
    """Our own certificate and its key, PEM; empty for none."""
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """Texts that nobody may see, should the server repeat them."""

    @property
    def target(self) -> URL:
        """Where questions go."""
        return URL(f"{self.url}/api/v1/query")

    @property
    def origin(self) -> str:
        """Scheme, host and port, for messages."""
        return str(URL(self.url).origin())

    def masked(self, text: str) -> str:
        """What the server said, without our own secrets."""
        for secret in self.secrets:
            text = text.replace(secret, MASK)
        return text


def read(url: str, namespace: str, policy: AddressPolicy, *, secret: str = "", data: Mapping[str, bytes] | None = None) -> Endpoint:
    """The endpoint of a ClusterState.

    Args:
        url: `spec.vital.prometheus.url`.
        namespace: of the ClusterState.
        policy: what the operator's owner allows.
        secret: name of the Secret, for messages.
        data: what the Secret holds, decoded; None or empty for none.

    Raises:
        InvalidURLError: the URL is none.
        URLNotAllowedError: it is one that the policy forbids.
        InvalidSpecError: the Secret holds what does not belong together, or something else than it should.
    """
    found = http_credentials.for_http(secret, data or {})
    identity = found.certificate + b"\n" + found.key if found.key else b""
    _check_url(url, policy, has_credentials=bool(found.authorization))
    return Endpoint(url.rstrip("/"), namespace, found.authorization, found.authority, identity, found.secrets)


def tls(endpoint: Endpoint) -> ssl.SSLContext:
    """How to speak TLS with it: by the system's authorities or the Secret's, with TLS 1.2 or newer, and with our certificate if there is one.

    Raises:
        InvalidSpecError: certificates or key of the Secret cannot be used.
    """
    try:
        context = ssl.create_default_context(cadata=endpoint.authority or None)
    except ssl.SSLError as exc:
        raise errors.InvalidSpecError("ca.crt of the Secret holds no certificate that can be used; correct the Secret") from exc
    if endpoint.identity:
        # OpenSSL reads keys from files alone; this one is in memory, and gone when it is closed (memfd_create(2)).
        with os.fdopen(os.memfd_create("client"), "wb") as file:
            file.write(endpoint.identity)
            file.flush()
            try:
                context.load_cert_chain(f"/proc/self/fd/{file.fileno()}", password=_no_password)
            except (ssl.SSLError, OSError, ValueError) as exc:
                raise errors.InvalidSpecError(
                    "tls.crt and tls.key of the Secret do not fit together, or are no PEM without a password; correct the Secret"
                ) from exc
    return context


def check_plain(address: IPAddress, host: str, policy: AddressPolicy) -> None:
    """Refuse an address that `host` resolved to for http://.

    Raises:
        URLNotAllowedError: it is a public one, and the policy does not allow that.
    """
    if not (policy.insecure or host in policy.hosts or is_private(address)):
        raise errors.URLNotAllowedError(
            f"http:// to {host}, which is a public address, can be changed on its way; use https://, or start the operator with --allow-insecure-sources"
        )


def judging(policy: AddressPolicy, *, is_plain: bool) -> Judge:
    """What says which addresses a host may lead to.

    Args:
        policy: what the operator's owner allows.
        is_plain: for http://, which stays in private networks.
    """

    def judge(address: IPAddress, host: str) -> None:
        check_address(address, host, policy)
        if is_plain:
            check_plain(address, host, policy)

    return judge


def _check_url(url: str, policy: AddressPolicy, *, has_credentials: bool) -> None:
    what = "spec.vital.prometheus.url"
    try:
        parts = URL(url)
        host = (parts.raw_host or "").lower().rstrip(".")
        port = parts.port
    except (ValueError, TypeError) as exc:
        # Its text repeats the URL, and a password may stand in it.
        raise errors.InvalidURLError(f"{what} is no URL: its host or port cannot be read; write https://HOST:PORT") from exc
    if parts.scheme not in ("http", "https"):
        raise errors.InvalidURLError(f"{what} must begin with https:// or http://")
    if parts.raw_user is not None or parts.raw_password is not None:
        raise errors.InvalidURLError(f"{what} holds a user or password, which would be shown; put them into a Secret (secretRef)")
    if "?" in url or "#" in url:
        raise errors.InvalidURLError(f"{what} has a query or fragment; give the address alone, with its path prefix if it has one")
    if as_address(host) is None and host.replace(".", "").isdigit():
        # Such as 127.1 or 2130706433: clients take them for addresses, and do not have them resolved and judged.
        raise errors.InvalidURLError(f"{what} has an address that is not written in four parts, as 192.0.2.1")
    if not host or not port or not url.isprintable() or " " in url:
        raise errors.InvalidURLError(f"{what} names no host, no port, or holds a blank or control character; write https://HOST:PORT")
    if parts.scheme == "http":
        if has_credentials and not policy.insecure and host not in policy.hosts:
            raise errors.URLNotAllowedError(
                f"http:// would send credentials in clear; use https://, or start the operator with --allow-insecure-sources or {policy.flag} {host}"
            )
        if (address := as_address(host)) is not None:
            check_plain(address, host, policy)
    check_host(host, policy)


def _no_password() -> str:
    """Without this, OpenSSL would ask at the terminal."""
    return ""
