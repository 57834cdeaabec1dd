"""What a Secret for a Git source over ssh holds, by the keys that Flux gives them. What one for HTTP holds: tests/unit/objects/test_http_credentials.py.

Aspects: SSH keys, encrypted or not · keys that are missing, wrong or do not fit · no value ever shows. (C32 of the list of bad input.)
"""

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from cvstate_operator import errors
from cvstate_operator.source.credentials import MIN_RSA_BITS, SshCredentials, for_ssh
from tests.support.credentials import Authority, SshIdentity
from tests.unit.objects.secrets import data_of, message_of

NAME = "git-auth"
AUTHORITY = Authority()
IDENTITY = SshIdentity.make()


def ssh(**data: str | bytes) -> SshCredentials:
    return for_ssh(NAME, data_of(data))


def refusal(kind: type[errors.CvstateError], key: str, **data: str | bytes) -> str:
    """The message of a refusal, which shows no value."""
    with pytest.raises(kind) as caught:
        ssh(**data)
    return message_of(caught.value, name=NAME, key=key, data=data)


def test_no_value_shows_in_the_text_of_credentials() -> None:
    shown = repr(ssh(identity=IDENTITY.private, known_hosts="h"))
    assert IDENTITY.private.splitlines()[1] not in shown


def _pem(key: PrivateKeyTypes, password: bytes | None = None) -> str:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption).decode()


def _traditional(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    ).decode()


KEYS = {
    "ed25519-openssh": IDENTITY.private,
    "ed25519-pem": _pem(ed25519.Ed25519PrivateKey.generate()),
    "ecdsa": _traditional(ec.generate_private_key(ec.SECP256R1())),
    "rsa-2048": _traditional(rsa.generate_private_key(65537, 2048)),
}


@pytest.mark.parametrize("private", KEYS.values(), ids=KEYS)
def test_a_private_key_is_read_in_each_form(private: str) -> None:
    found = ssh(identity=private, identity_pub="ssh-ed25519 AAAA", known_hosts="h ssh-ed25519 AAAA")
    assert (found.identity, found.passphrase, found.known_hosts) == (private, "", b"h ssh-ed25519 AAAA")


def test_a_key_whose_last_newline_was_lost_gets_it_back() -> None:
    assert ssh(identity=IDENTITY.private.rstrip("\n")).identity == IDENTITY.private


@pytest.mark.parametrize("form", ["openssh", "pkcs8"])
def test_the_password_opens_an_encrypted_key(form: str) -> None:
    private = IDENTITY.encrypted("open sesame").private if form == "openssh" else _pem(ed25519.Ed25519PrivateKey.generate(), b"open sesame")
    assert ssh(identity=private, password="open sesame\n").passphrase == "open sesame"
    assert "password is wrong" in refusal(errors.AuthFailedError, "identity", identity=private, password="guess-canary")
    assert "into key password" in refusal(errors.AuthFailedError, "identity", identity=private)


def test_without_a_secret_ssh_says_what_to_make() -> None:
    with pytest.raises(errors.InvalidSpecError, match="identity and known_hosts"):
        for_ssh("", {})


@pytest.mark.parametrize(
    "data", [{}, {"identity": " \n"}, {"username": "canary-user", "password": "canary-password"}], ids=["none", "blank", "for-http"]
)
def test_a_missing_identity_is_told(data: dict[str, str]) -> None:
    refusal(errors.InvalidSpecError, "identity", **data)


@pytest.mark.parametrize(
    ("identity", "words"),
    [
        pytest.param(IDENTITY.public, "public key", id="public-openssh"),
        pytest.param("canary-no-key", "no private key", id="garbage"),
        pytest.param(IDENTITY.private[:120] + "\n-----END OPENSSH PRIVATE KEY-----\n", "no private key", id="cut"),
        pytest.param(b"\xff\xfe" + IDENTITY.private.encode(), "no private key", id="no-text"),
        pytest.param(AUTHORITY.certificate, "no private key", id="certificate"),
        pytest.param(_pem(rsa.generate_private_key(65537, MIN_RSA_BITS - 1024)), "too weak", id="short-rsa"),
        pytest.param(_pem(dsa.generate_private_key(2048)), "too weak", id="dsa"),
    ],
)
def test_an_identity_that_cannot_be_used_is_told_why(identity: str | bytes, words: str) -> None:
    assert words in refusal(errors.AuthFailedError, "identity", identity=identity)


def test_a_password_for_a_key_that_is_open_is_told() -> None:
    assert "not encrypted" in refusal(errors.AuthFailedError, "identity", identity=IDENTITY.private, password="canary-password")


def test_known_hosts_may_be_missing_here_and_is_asked_for_at_the_host() -> None:
    assert ssh(identity=IDENTITY.private).known_hosts == b""
