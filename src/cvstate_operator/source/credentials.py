"""Credentials for ssh: what a Secret for a Git source holds, read and checked. Used in the fetch child only.

The keys of the Secret are those of Flux: `identity`, `known_hosts`, and `password` for the passphrase. Those for HTTP are read in `objects/http_credentials.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from cvstate_operator import errors
from cvstate_operator.objects.http_credentials import SecretData

MIN_RSA_BITS: Final = 2048
"""Source: NIST SP 800-131A; Flux refuses shorter ones too."""


@dataclass(frozen=True, slots=True)
class SshCredentials:
    """For ssh://."""

    identity: str = field(repr=False)
    """Private key, PEM or OpenSSH."""
    passphrase: str = field(repr=False)
    known_hosts: bytes


def for_ssh(secret: str, data: Mapping[str, bytes]) -> SshCredentials:
    """Read a Secret for an SSH server.

    Raises:
        InvalidSpecError: no Secret, or no identity in it.
        AuthFailedError: the identity is no private key that can be used.
    """
    if not secret:
        raise errors.InvalidSpecError("ssh needs spec.source.git.secretRef: a Secret with the keys identity and known_hosts")
    found = SecretData(secret, data)
    identity, passphrase = found.get("identity"), found.line("password")
    if not identity.strip():
        raise found.wrong("identity", "is missing; ssh needs a private key there")
    try:
        text = identity.decode("ascii")
    except UnicodeDecodeError as exc:
        raise errors.AuthFailedError(found.wrong("identity", "is no private key in PEM or OpenSSH's form").message) from exc
    _check_identity(found, identity, passphrase)
    return SshCredentials(text if text.endswith("\n") else text + "\n", passphrase, found.get("known_hosts"))


def _check_identity(found: SecretData, identity: bytes, passphrase: str) -> None:
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
