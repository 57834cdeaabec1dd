"""Credentials: what a Secret for a Git source holds, read and checked. Used in the fetch child only.

The keys of the Secret are those of Flux, so that its users can keep their Secrets: `username` and `password`, `bearerToken`, `identity`, `known_hosts`,
`ca.crt`, `tls.crt`, `tls.key` (and Flux's older names for the last three: `caFile`, `certFile`, `keyFile`). Messages name the Secret and the key, never a value.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from cvstate_operator import errors

MIN_RSA_BITS: Final = 2048
"""Source: NIST SP 800-131A; Flux refuses shorter ones too."""
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


@dataclass(frozen=True, slots=True)
class SshCredentials:
    """For ssh://."""

    identity: str = field(repr=False)
    """Private key, PEM or OpenSSH."""
    passphrase: str = field(repr=False)
    known_hosts: bytes


def for_http(secret: str, data: Mapping[str, bytes]) -> HttpCredentials:
    """Read a Secret for an HTTP server.

    Raises:
        InvalidSpecError: keys that do not belong together, or that hold something else than they should.
    """
    found = _Secret(secret, data)
    token, user, password = found.line("bearerToken"), found.line("username"), found.line("password")
    if not _TOKEN.fullmatch(token):
        raise found.wrong("bearerToken", "holds a character that no token has; it is the bare token, without the word Bearer")
    if ":" in user:
        raise found.wrong("username", "holds a colon, which HTTP cannot carry there (RFC 7617); the password has a key of its own")
    if token and password:
        raise found.wrong("bearerToken", "stands beside password; keep one of them")
    if bool(user) != bool(password) and not token:
        raise found.wrong("password" if user else "username", "is missing or empty; username and password go together")
    authorization = f"Bearer {token}" if token else ""
    if password:
        authorization = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    certificate, key = found.get("tls.crt"), found.get("tls.key")
    if bool(certificate) != bool(key):
        raise found.wrong("tls.key" if certificate else "tls.crt", "is missing; a client certificate needs both tls.crt and tls.key")
    return HttpCredentials(authorization, found.certificates("ca.crt"), certificate, key)


def for_ssh(secret: str, data: Mapping[str, bytes]) -> SshCredentials:
    """Read a Secret for an SSH server.

    Raises:
        InvalidSpecError: no Secret, or no identity in it.
        AuthFailedError: the identity is no private key that can be used.
    """
    if not secret:
        raise errors.InvalidSpecError("ssh needs spec.source.git.secretRef: a Secret with the keys identity and known_hosts")
    found = _Secret(secret, data)
    identity, passphrase = found.get("identity"), found.line("password")
    if not identity.strip():
        raise found.wrong("identity", "is missing; ssh needs a private key there")
    try:
        text = identity.decode("ascii")
    except UnicodeDecodeError as exc:
        raise errors.AuthFailedError(found.wrong("identity", "is no private key in PEM or OpenSSH's form").message) from exc
    _check_identity(found, identity, passphrase)
    return SshCredentials(text if text.endswith("\n") else text + "\n", passphrase, found.get("known_hosts"))


class _Secret:
    """Data of one Secret, and how to complain about it."""

    def __init__(self, name: str, data: Mapping[str, bytes]) -> None:
        self._name = name
        self._data = data

    def get(self, key: str) -> bytes:
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
        return errors.InvalidSpecError(f"Secret {self._name}: key {self._spelled(key)} {what}")

    def _spelled(self, key: str) -> str:
        """The key as the Secret has it."""
        older = _OLDER_NAMES.get(key, "")
        return older if older in self._data and not self._data.get(key) else key


def _check_identity(found: _Secret, identity: bytes, passphrase: str) -> None:
    """libssh2 only says that a key did not work; this says why."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import dsa, rsa

    try:
        key = _load(identity, passphrase.encode() or None)
    except TypeError as exc:  # encrypted without a passphrase, or the other way round
        why = "is not encrypted, yet there is a password" if passphrase else "is encrypted; put its passphrase into key password"
        raise errors.AuthFailedError(f"{found.wrong('identity', why).message}") from exc
    except (ValueError, UnsupportedAlgorithm) as exc:
        why = (
            "is a public key; the private one belongs there"
            if identity.startswith((b"ssh-", b"ecdsa-"))
            else "is no private key that can be read"
        )
        raise errors.AuthFailedError(found.wrong("identity", f"{why}, or password is wrong").message) from exc
    if isinstance(key, dsa.DSAPrivateKey) or (isinstance(key, rsa.RSAPrivateKey) and key.key_size < MIN_RSA_BITS):
        raise errors.AuthFailedError(
            found.wrong("identity", f"is too weak; make an ed25519 key, or RSA of {MIN_RSA_BITS} bits or more").message
        )


def _load(identity: bytes, passphrase: bytes | None) -> object:
    from cryptography.hazmat.primitives import serialization

    if b"BEGIN OPENSSH PRIVATE KEY" in identity:
        return serialization.load_ssh_private_key(identity, passphrase)
    return serialization.load_pem_private_key(identity, passphrase)
