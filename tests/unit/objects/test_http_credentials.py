"""What a Secret for an HTTP server holds, by the keys that Flux gives them: for Git, and for Prometheus.

Aspects: user and password · token · authorities and client certificates, by both names · keys that are missing, wrong or do not fit · no value ever shows.
(C34 of the list of bad input.)
"""

import base64

import pytest

from cvstate_operator import errors
from cvstate_operator.objects.http_credentials import HttpCredentials, for_http
from tests.support.credentials import Authority, SshIdentity, basic, bearer, token
from tests.unit.objects.secrets import data_of, message_of

NAME = "git-auth"
AUTHORITY = Authority()
PAIR = AUTHORITY.issue()
IDENTITY = SshIdentity.make()


def http(**data: str | bytes) -> HttpCredentials:
    return for_http(NAME, data_of(data))


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
    with pytest.raises(errors.InvalidSpecError) as caught:
        http(**data)
    message_of(caught.value, name=NAME, key=key, data=data)


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
    hidden = [canary, base64.b64encode(f"me:{canary}".encode()).decode(), PAIR.key.splitlines()[1]]
    assert not [value for value in hidden if value in shown]
