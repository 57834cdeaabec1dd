"""What a Secret for a Git source holds, by the keys that Flux gives them.

Aspects: user and password · token · authorities and client certificates, by both names · SSH keys, encrypted or not · keys that are missing, wrong or do
not fit · no value ever shows. (C32 and C34 of the list of bad input.)
"""

import base64
from collections.abc import Mapping

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from cvstate_operator import errors
from cvstate_operator.objects.http_credentials import HttpCredentials, for_http
from cvstate_operator.source.credentials import MIN_RSA_BITS, SshCredentials, for_ssh
from tests.support.credentials import Authority, SshIdentity, basic, bearer, token

NAME = "git-auth"
AUTHORITY = Authority()
PAIR = AUTHORITY.issue()
IDENTITY = SshIdentity.make()


def http(**data: str | bytes) -> HttpCredentials:
    return for_http(NAME, _data(data))


def ssh(**data: str | bytes) -> SshCredentials:
    return for_ssh(NAME, _data(data))


def _data(data: Mapping[str, str | bytes]) -> dict[str, bytes]:
    """`ca_crt="…"` becomes `ca.crt`."""
    dotted = {name.replace("_crt", ".crt").replace("_key", ".key").replace("_pub", ".pub"): value for name, value in data.items()}
    return {name: value.encode() if isinstance(value, str) else value for name, value in dotted.items()}


def refusal(kind: type[errors.CvstateError], read: object, key: str, **data: str | bytes) -> str:
    """The message of a refusal, which names the Secret and the key, and none of the values."""
    with pytest.raises(kind) as caught:
        (http if read is http else ssh)(**data)
    message: str = caught.value.message
    assert f"Secret {NAME}: key {key} " in message
    assert message.isprintable()
    for value in _data(data).values():
        lines = [line for line in value.decode("latin-1").splitlines() if len(line) > 3]
        assert not any(line in message for line in lines)
    return message


# -- http --------------------------------------------------------------------------------------------------------------


def test_no_secret_is_no_credentials() -> None:
    assert for_http("", {}) == HttpCredentials()


def test_user_and_password_make_a_basic_header() -> None:
    assert http(username="me", password="pässword: x").authorization == basic("me", "pässword: x")


def test_a_token_makes_a_bearer_header() -> None:
    assert http(bearerToken="abc.DEF-1_~+/==").authorization == bearer("abc.DEF-1_~+/==")


def test_a_user_beside_a_token_is_passed_over() -> None:
    assert http(bearerToken="abc", username="me").authorization == bearer("abc")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_newline_at_the_end_of_a_value_is_a_slip(end: str) -> None:
    assert http(username=f"me{end}", password=f"secret{end}").authorization == basic("me", "secret")
    assert http(bearerToken=f"abc{end}").authorization == bearer("abc")


@pytest.mark.parametrize(
    ("key", "data"),
    [
        pytest.param("password", {"username": "canary-user"}, id="user-alone"),
        pytest.param("username", {"password": "canary-password"}, id="password-alone"),
        pytest.param("password", {"username": "canary-user", "password": ""}, id="empty-password"),
        pytest.param(
            "bearerToken",
            {"bearerToken": "canary-token", "username": "canary-user", "password": "canary-password"},
            id="token-and-password",
        ),
        pytest.param("bearerToken", {"bearerToken": "canary\r\nX-Evil: 1"}, id="header-injection"),
        pytest.param("password", {"username": "canary-user", "password": "canary-1\ncanary-2"}, id="two-lines"),
        pytest.param("username", {"username": b"canary\xff", "password": "canary-password"}, id="no-utf-8"),
        pytest.param("username", {"username": "canary:user", "password": "canary-password"}, id="colon-in-user"),
        pytest.param("bearerToken", {"bearerToken": "Bearer canary-token"}, id="token-with-its-scheme"),
        pytest.param("bearerToken", {"bearerToken": "cänary-token"}, id="token-beyond-ascii"),
        pytest.param("ca.crt", {"ca_crt": "canary-certificate"}, id="no-certificate"),
        pytest.param("ca.crt", {"ca_crt": ""}, id="empty-authority"),
        pytest.param("caFile", {"caFile": "canary-certificate"}, id="no-certificate-by-the-older-name"),
        pytest.param("ca.crt", {"ca_crt": PAIR.key}, id="a-private-key-as-authority"),
        pytest.param("ca.crt", {"ca_crt": PAIR.certificate + PAIR.key}, id="a-private-key-beside-the-authority"),
        pytest.param("tls.key", {"tls_crt": PAIR.certificate}, id="certificate-alone"),
        pytest.param("tls.crt", {"tls_key": PAIR.key}, id="key-alone"),
    ],
)
def test_what_does_not_fit_is_told_by_its_key(key: str, data: dict[str, str | bytes]) -> None:
    refusal(errors.InvalidSpecError, http, key, **data)


@pytest.mark.parametrize("name", ["ca_crt", "caFile"])
def test_an_authority_is_read_by_both_names(name: str) -> None:
    assert http(**{name: AUTHORITY.certificate}).authority == AUTHORITY.certificate


def test_several_authorities_may_stand_in_one_key() -> None:
    assert http(ca_crt=AUTHORITY.certificate + Authority().certificate).authority.count("BEGIN CERTIFICATE") == 2


@pytest.mark.parametrize(("certificate", "key"), [("tls_crt", "tls_key"), ("certFile", "keyFile"), ("tls_crt", "keyFile")])
def test_a_client_certificate_is_read_by_both_names(certificate: str, key: str) -> None:
    found = http(**{certificate: PAIR.certificate, key: PAIR.key})
    assert (found.certificate, found.key) == (PAIR.certificate.encode(), PAIR.key.encode())


def test_the_newer_name_wins() -> None:
    assert http(ca_crt=AUTHORITY.certificate, caFile=Authority().certificate).authority == AUTHORITY.certificate


def test_keys_of_other_uses_are_passed_over() -> None:
    assert http(identity=IDENTITY.private, known_hosts="h ssh-ed25519 AAAA", token="x") == HttpCredentials()


def test_no_value_shows_in_the_text_of_credentials() -> None:
    canary = token()
    shown = repr((http(username="me", password=canary), http(bearerToken=canary), http(tls_crt=PAIR.certificate, tls_key=PAIR.key)))
    shown += repr(ssh(identity=IDENTITY.private, known_hosts="h"))
    hidden = [canary, base64.b64encode(f"me:{canary}".encode()).decode(), PAIR.key.splitlines()[1], IDENTITY.private.splitlines()[1]]
    assert not [value for value in hidden if value in shown]


# -- ssh ---------------------------------------------------------------------------------------------------------------


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
    assert "password is wrong" in refusal(errors.AuthFailedError, ssh, "identity", identity=private, password="guess-canary")
    assert "into key password" in refusal(errors.AuthFailedError, ssh, "identity", identity=private)


def test_without_a_secret_ssh_says_what_to_make() -> None:
    with pytest.raises(errors.InvalidSpecError, match="identity and known_hosts"):
        for_ssh("", {})


@pytest.mark.parametrize(
    "data", [{}, {"identity": " \n"}, {"username": "canary-user", "password": "canary-password"}], ids=["none", "blank", "for-http"]
)
def test_a_missing_identity_is_told(data: dict[str, str]) -> None:
    refusal(errors.InvalidSpecError, ssh, "identity", **data)


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
    assert words in refusal(errors.AuthFailedError, ssh, "identity", identity=identity)


def test_a_password_for_a_key_that_is_open_is_told() -> None:
    assert "not encrypted" in refusal(errors.AuthFailedError, ssh, "identity", identity=IDENTITY.private, password="canary-password")


def test_known_hosts_may_be_missing_here_and_is_asked_for_at_the_host() -> None:
    assert ssh(identity=IDENTITY.private).known_hosts == b""
