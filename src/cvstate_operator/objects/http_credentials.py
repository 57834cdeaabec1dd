"""Credentials for HTTP servers, Git's and Prometheus': what a Secret holds, read and checked.

The keys of the Secret are those of Flux, so that its users can keep their Secrets: `username` and `password`, or `bearerToken`; `ca.crt`, `tls.crt`, `tls.key` (and
Flux's older names for the last three: `caFile`, `certFile`, `keyFile`). Messages name the Secret and the key, never a value.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from cvstate_operator import errors
from cvstate_operator.objects.redaction import SHORTEST_VALUE

_TOKEN: Final = re.compile(r"(?:[A-Za-z0-9._~+/-]+=*)?")
"""Source: RFC 6750 §2.1, b64token."""
_OLDER_NAMES: Final = {"ca.crt": "caFile", "tls.crt": "certFile", "tls.key": "keyFile"}


@dataclass(frozen=True, slots=True)
class HttpCredentials:
    """For https:// and http://."""

    authorization: str = field(default="", repr=False)
    """Value of the Authorization header; empty for none."""
    authority: str = ""
    """PEM certificates that the server's must be signed by; empty: the system's."""
    certificate: bytes = b""
    """Our own, PEM; empty for none."""
    key: bytes = field(default=b"", repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False, compare=False)
    """Texts that nobody may see, should the server repeat them."""


def for_http(secret: str, data: Mapping[str, bytes]) -> HttpCredentials:
    """Read a Secret for an HTTP server.

    Raises:
        InvalidSpecError: keys that do not belong together, or that hold something else than they should.
    """
    found = SecretData(secret, data)
    token, user, password = found.line("bearerToken"), found.line("username"), found.line("password")
    if not _TOKEN.fullmatch(token):
        raise found.wrong("bearerToken", "holds a character that no token has; it is the bare token, without the word Bearer")
    if ":" in user:
        raise found.wrong("username", "holds a colon, which HTTP cannot carry there (RFC 7617); the password has a key of its own")
    if token and password:
        raise found.wrong("bearerToken", "stands beside password; keep one of them")
    if bool(user) != bool(password) and not token:
        raise found.wrong("password" if user else "username", "is missing or empty; username and password go together")
    authorization, secrets = (f"Bearer {token}", (token,)) if token else ("", ())
    if password:
        both = base64.b64encode(f"{user}:{password}".encode()).decode()
        authorization, secrets = f"Basic {both}", (both, *((password,) if len(password) >= SHORTEST_VALUE else ()))
    certificate, key = found.get("tls.crt"), found.get("tls.key")
    if bool(certificate) != bool(key):
        raise found.wrong("tls.key" if certificate else "tls.crt", "is missing; a client certificate needs both tls.crt and tls.key")
    return HttpCredentials(authorization, found.certificates("ca.crt"), certificate, key, secrets)


class SecretData:
    """Data of one Secret, and how to complain about it."""

    def __init__(self, name: str, data: Mapping[str, bytes]) -> None:
        """`name` is told in messages, `data` is decoded."""
        self._name = name
        self._data = data

    def get(self, key: str) -> bytes:
        """A value, also by its older name; empty if there is none."""
        return self._data.get(key) or self._data.get(_OLDER_NAMES.get(key, ""), b"")

    def line(self, key: str) -> str:
        """A value that travels in a header: one line of text. A newline at its end is a slip of `kubectl create --from-file`."""
        try:
            text = self.get(key).decode().rstrip("\r\n")
        except UnicodeDecodeError as exc:
            raise self.wrong(key, "is not UTF-8 text") from exc
        if not text.isprintable():
            raise self.wrong(key, "holds a line break or control character")
        return text

    def certificates(self, key: str) -> str:
        """PEM certificates; empty for none."""
        if key not in self._data and _OLDER_NAMES.get(key) not in self._data:
            return ""
        from cryptography import x509  # loaded by the few that need it

        raw = self.get(key)
        if b"PRIVATE KEY" in raw:
            raise self.wrong(key, "holds a private key; put certificates there, and keep the key secret")
        try:
            if not x509.load_pem_x509_certificates(raw):
                raise ValueError
        except ValueError as exc:
            raise self.wrong(key, "holds no PEM certificate") from exc
        return raw.decode("ascii", "replace")

    def wrong(self, key: str, what: str) -> errors.InvalidSpecError:
        """The complaint about one key."""
        return errors.InvalidSpecError(f"Secret {self._name}: key {self._spelled(key)} {what}")

    def _spelled(self, key: str) -> str:
        """The key as the Secret has it."""
        older = _OLDER_NAMES.get(key, "")
        return older if older in self._data and not self._data.get(key) else key
