"""The relay between libgit2 and the Git server, against a real server on the loopback interface.

Aspects: answers pass through, also those of old servers · what the server refuses · redirects · who may use the relay · limits · who gets credentials ·
certificates of the server and of the client · where a name leads · Retry-After. (C26, C27, C33, C35 of the list of bad input.)
"""

import re
import socket
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cvstate_operator import errors
from cvstate_operator.objects.address import AddressPolicy
from cvstate_operator.objects.http_credentials import HttpCredentials
from cvstate_operator.source import relay as relay_module
from cvstate_operator.source.relay import MAX_REDIRECTS, Relay
from tests.support.credentials import Authority, KeyPair, bearer, self_signed, server_tls, token

REFS = "/info/refs?service=git-upload-pack"
Answer = Callable[[BaseHTTPRequestHandler], object]


class GitServer:
    """A server that answers as told, and remembers what it was asked."""

    def __init__(self, answer: Answer, port: int) -> None:
        self.answer = answer
        self.url = f"http://127.0.0.1:{port}/repo.git"
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []


@contextmanager
def serving(answer: Answer, *, protocol: str = "HTTP/1.0", tls: ssl.SSLContext | None = None) -> Iterator[GitServer]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = protocol

        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            git.asked.append((self.command, self.path, dict(self.headers), self.rfile.read(length)))
            git.answer(self)

        do_POST = do_GET

        def log_message(self, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """A client that hangs up is what some tests are about."""

    with Server(("127.0.0.1", 0), Handler) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        git = GitServer(answer, server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield git
        finally:
            server.shutdown()
            thread.join()


def content(text: bytes, *, kind: str = "application/x-git", length: bool = False) -> Answer:
    """200 with `text`; as old servers do it without a length, so that the end of the connection is the end of the answer."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", kind)
        if length:
            request.send_header("Content-Length", str(len(text)))
        request.end_headers()
        request.wfile.write(text)

    return answer


def code(status: int, **headers: str) -> Answer:
    """An answer without content."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


def ask(url: str, *, data: bytes | None = None, headers: dict[str, str] | None = None) -> tuple[int, bytes, str]:
    """What the relay answers: status, body and content type."""
    request = urllib.request.Request(url, data=data, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.read(), response.headers["Content-Type"]
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read(), ""


@pytest.mark.parametrize("length", [True, False], ids=["with-a-length", "until-the-connection-ends"])
def test_an_answer_passes_through_whole(length: bool) -> None:
    text = b"0123456789" * 50_000
    with serving(content(text, length=length)) as git, Relay(git.url).serve() as address:
        assert ask(address + REFS) == (200, text, "application/x-git")


def test_an_empty_answer_passes_through() -> None:
    with serving(content(b"")) as git, Relay(git.url).serve() as address:
        assert ask(address + REFS)[:2] == (200, b"")


def test_only_what_git_needs_is_passed_on() -> None:
    with serving(content(b"pack")) as git, Relay(git.url).serve() as address:
        given = {
            "Content-Type": "application/x-git-upload-pack-request",
            "Git-Protocol": "version=2",
            "Authorization": "Basic x",
            "Cookie": "y",
        }
        assert ask(f"{address}/git-upload-pack", data=b"want", headers=given)[1] == b"pack"
    ((method, path, headers, body),) = git.asked
    assert (method, path, body) == ("POST", "/repo.git/git-upload-pack", b"want")
    assert headers["Content-Type"] == "application/x-git-upload-pack-request"
    assert headers["Git-Protocol"] == "version=2"
    assert {"Authorization", "Cookie"}.isdisjoint(headers)


def test_a_body_in_chunks_is_put_together() -> None:
    with serving(content(b"pack")) as git, Relay(git.url).serve() as address:
        request = urllib.request.Request(f"{address}/git-upload-pack", data=iter([b"want ", b"it"]))
        with urllib.request.urlopen(request, timeout=10) as response:
            assert response.read() == b"pack"
    assert git.asked[0][3] == b"want it"


def test_refs_are_asked_for_once() -> None:
    with serving(content(b"refs")) as git, Relay(git.url).serve() as address:
        assert ask(address + REFS) == ask(address + REFS)
    assert len(git.asked) == 1


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(code(401), errors.AuthFailedError, id="unauthorized"),
        pytest.param(code(403), errors.AuthFailedError, id="forbidden"),
        pytest.param(code(404), errors.FetchFailedError, id="not-found"),
        pytest.param(code(410), errors.FetchFailedError, id="gone"),
        pytest.param(code(500), errors.FetchFailedError, id="server-fault"),
        pytest.param(code(204), errors.FetchFailedError, id="no-content"),
        pytest.param(code(302), errors.FetchFailedError, id="redirect-to-nowhere"),
        pytest.param(lambda request: None, errors.FetchFailedError, id="no-answer-at-all"),
        pytest.param(lambda request: request.wfile.write(b"garbage\r\n\r\n"), errors.FetchFailedError, id="no-http"),
    ],
)
def test_what_went_wrong_is_kept_for_the_message(answer: Answer, expected: type[errors.CvstateError]) -> None:
    with serving(answer) as git:
        relay = Relay(git.url)
        with relay.serve() as address:
            assert ask(address + REFS)[0] == 502
    assert type(relay.failure) is expected
    assert "127.0.0.1" in relay.failure.message
    assert relay.failure.message.isprintable()


def test_the_first_failure_is_the_one_that_is_told() -> None:
    with serving(code(401)) as git:
        relay = Relay(git.url)
        with relay.serve() as address:
            ask(address + REFS)
            git.answer = code(500)
            ask(address + REFS)
    assert isinstance(relay.failure, errors.AuthFailedError)


def test_a_server_that_is_not_there_is_a_failure_that_may_pass() -> None:
    with serving(code(500)) as git:
        url = git.url
    relay = Relay(url)
    with relay.serve() as address:
        assert ask(address + REFS)[0] == 502
    assert isinstance(relay.failure, errors.TransientError)
    assert "refused" in relay.failure.message


def test_an_answer_that_breaks_off_is_not_taken_for_whole() -> None:
    def broken(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "100")
        request.end_headers()
        request.wfile.write(b"short")

    with serving(broken) as git:
        relay = Relay(git.url)
        with relay.serve() as address:
            assert ask(address + REFS)[0] == 502
    assert isinstance(relay.failure, errors.FetchFailedError)


def test_a_server_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "READ_SECONDS", 0.05)
    told = threading.Event()
    with serving(lambda request: told.wait(5)) as git:
        relay = Relay(git.url)
        with relay.serve() as address:
            assert ask(address + REFS)[0] == 502
        told.set()
    assert isinstance(relay.failure, errors.FetchTimeoutError)


# -- redirects ---------------------------------------------------------------------------------------------------------


def redirect(location: str, *, status: int = 302) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        if request.path.startswith("/moved/"):
            content(b"found")(request)
        else:
            code(status, Location=location)(request)

    return answer


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_on_the_same_host_is_followed(status: int) -> None:
    with serving(redirect("/moved/repo.git", status=status)) as git, Relay(git.url).serve() as address:
        assert ask(address + REFS)[:2] == (200, b"found")


@pytest.mark.parametrize(
    "location",
    [
        pytest.param("http://localhost:1/repo.git", id="another-host"),
        pytest.param("http://127.0.0.1:1/repo.git", id="another-port"),
        pytest.param("//169.254.169.254/latest/meta-data", id="another-host-without-a-scheme"),
        pytest.param("file:///etc/passwd", id="a-file"),
        pytest.param("ftp://127.0.0.1/x", id="another-scheme"),
    ],
)
def test_a_redirect_to_anywhere_else_is_refused_by_name(location: str) -> None:
    with serving(redirect(location)) as git:
        relay = Relay(git.url)
        with relay.serve() as address:
            assert ask(address + REFS)[0] == 502
    assert isinstance(relay.failure, errors.FetchFailedError)
    assert "redirects to" in relay.failure.message


def test_redirects_come_to_an_end() -> None:
    with serving(lambda request: code(302, Location=request.path + "x")(request)) as git:
        relay = Relay(git.url)
        with relay.serve() as address:
            assert ask(address + REFS)[0] == 502
    assert len(git.asked) == MAX_REDIRECTS + 1
    assert isinstance(relay.failure, errors.FetchFailedError)
    assert "redirects more than" in relay.failure.message


# -- who may use it, and how much ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/wrong/info/refs", "/../", ""])
def test_without_the_secret_nothing_is_passed_on(path: str) -> None:
    with serving(content(b"secret")) as git, Relay(git.url).serve() as address:
        origin = re.match(r"http://127\.0\.0\.1:\d+", address)
        assert origin is not None
        assert ask(origin[0] + path)[0] == 404
        assert ask(address + "x" + REFS)[0] == 404
    assert git.asked == []


def test_two_relays_have_different_secrets() -> None:
    with Relay("http://127.0.0.1:1/a").serve() as first, Relay("http://127.0.0.1:1/a").serve() as second:
        assert first.rpartition("/")[2] != second.rpartition("/")[2]


def test_a_server_cannot_send_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "MAX_PACK_BYTES", 100_000)
    with serving(content(b"x" * 200_000)) as git:
        relay = Relay(git.url)
        with relay.serve() as address:
            assert ask(address + REFS)[0] == 502
    assert isinstance(relay.failure, errors.RepoTooLargeError)


# -- credentials --------------------------------------------------------------------------------------------------------


def test_credentials_go_to_the_server_and_not_into_the_relay_s_address() -> None:
    canary = token()
    with serving(content(b"refs")) as git, Relay(git.url, HttpCredentials(bearer(canary))).serve() as address:
        assert ask(address + REFS)[0] == 200
        assert canary not in address
    assert git.asked[0][2]["Authorization"] == bearer(canary)


def test_credentials_follow_a_redirect_on_the_same_host() -> None:
    with serving(redirect("/moved/repo.git")) as git, Relay(git.url, HttpCredentials(bearer("t"))).serve() as address:
        assert ask(address + REFS)[0] == 200
    assert [headers.get("Authorization") for _, _, headers, _ in git.asked] == [bearer("t")] * 2


def test_credentials_never_follow_a_redirect_to_another_host() -> None:
    with serving(content(b"refs")) as other, serving(redirect(other.url.replace("127.0.0.1", "localhost"))) as git:
        relay = Relay(git.url, HttpCredentials(bearer("t")))
        with relay.serve() as address:
            assert ask(address + REFS)[0] == 502
    assert other.asked == []


@pytest.mark.parametrize(
    ("credentials", "words"), [(HttpCredentials(bearer("canary")), "does not accept"), (HttpCredentials(), "wants credentials")]
)
def test_a_refusal_says_whether_credentials_were_sent(credentials: HttpCredentials, words: str) -> None:
    with serving(code(401)) as git:
        relay = Relay(git.url, credentials)
        with relay.serve() as address:
            ask(address + REFS)
    assert relay.failure
    assert words in relay.failure.message
    assert "canary" not in relay.failure.message


@pytest.mark.parametrize("scheme", ["Negotiate", "Basic", "X-Odd realm=a", ""])
def test_credentials_that_are_refused_are_sent_once_whatever_the_server_wants(scheme: str) -> None:
    """C35."""
    with serving(code(401, **{"WWW-Authenticate": scheme})) as git:
        failure = failure_of(git.url, HttpCredentials(bearer("canary")))
    assert isinstance(failure, errors.AuthFailedError)
    assert len(git.asked) == 1


# -- TLS ----------------------------------------------------------------------------------------------------------------

AUTHORITY = Authority()
SERVER = AUTHORITY.issue("127.0.0.1", "localhost")


SHA1_AUTHORITY = """\
-----BEGIN CERTIFICATE-----
MIIBfjCCASWgAwIBAgIUcQWLyWZJSWwLgcI5B3Qx1T2SlgwwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJYXV0aG9yaXR5MCAXDTI2MTEyMTExNDEyOVoYDzIxMjYxMDI4
MTE0MTI5WjAUMRIwEAYDVQQDDAlhdXRob3JpdHkwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAATKhLSAmBG6igetnkKhcbwuj4jF+JfxlIrM1oWlRnnDLh+s4oE5wT0X
S05O1VSKDh2HW7FIDIHc6Ak3Byt5LMYRo1MwUTAdBgNVHQ4EFgQUwFU4tcvdpHsi
LVwp/Fm6XBXsytUwHwYDVR0jBBgwFoAUwFU4tcvdpHsiLVwp/Fm6XBXsytUwDwYD
VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNHADBEAiAwgqZjQI6VER7bViJIYIi2
UUln7vOsKzbYZBfb3XNpCQIgWvrEi2CzHZje7tDsstRaGPaLQL808mBzinGrGG+7
8Lw=
-----END CERTIFICATE-----
"""
SHA1_SERVER = KeyPair(
    """\
-----BEGIN CERTIFICATE-----
MIIBmzCCAUGgAwIBAgIUaaqFH0j+RbBizMfIQvnjaqInCwUwCQYHKoZIzj0EATAU
MRIwEAYDVQQDDAlhdXRob3JpdHkwIBcNMjYxMTIxMTE0MTI5WhgPMjEyNjEwMjgx
MTQxMjlaMBExDzANBgNVBAMMBnNlcnZlcjBZMBMGByqGSM49AgEGCCqGSM49AwEH
A0IABCxO0jB2am4gmIH0i7T+Mna7jZ6Ndx/lY4dhmEUF6YNP+2QVVCiTxLcRci3q
AAOLV3TqCwjf71UIirL3jjDeOvKjczBxMA8GA1UdEQQIMAaHBH8AAAEwEwYDVR0l
BAwwCgYIKwYBBQUHAwEwCQYDVR0TBAIwADAdBgNVHQ4EFgQUzcaNhsXsoG/uRscL
l7/W2akNKYcwHwYDVR0jBBgwFoAUwFU4tcvdpHsiLVwp/Fm6XBXsytUwCQYHKoZI
zj0EAQNJADBGAiEAs4Zj8OmK/LJti+usCZN3DMy7JSqE7KSbXCg3dXapRXICIQDQ
FK1oKgZuJDjpBmDD0DY3eCDoEDXkKmo74dY8W7t7Ow==
-----END CERTIFICATE-----
""",
    """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgEIWGOtjDyELaz7Fo
xjYXEmyXGwF4bRYkp/dowH33CYOhRANCAAQsTtIwdmpuIJiB9Iu0/jJ2u42ejXcf
5WOHYZhFBemDT/tkFVQok8S3EXIt6gADi1d06gsI3+9VCIqy944w3jry
-----END PRIVATE KEY-----
""",
)
"""A certificate for 127.0.0.1 signed with SHA-1, by openssl(1), until 2126: no library makes one any more. Of no use to anybody else."""


@contextmanager
def secured(tls: ssl.SSLContext) -> Iterator[str]:
    """A server behind TLS; gives the URL of its repository."""
    with serving(content(b"refs", length=True), tls=tls) as git:
        yield git.url.replace("http://", "https://")


def failure_of(url: str, credentials: HttpCredentials | None = None, policy: AddressPolicy | None = None) -> errors.CvstateError | None:
    relay = Relay(url, credentials, policy)
    with relay.serve() as address:
        ask(address + REFS)
    return relay.failure


def test_a_certificate_of_the_given_authority_is_accepted() -> None:
    with secured(server_tls(SERVER)) as url:
        assert failure_of(url, HttpCredentials(authority=AUTHORITY.certificate)) is None


@pytest.mark.parametrize(
    ("pair", "authority"),
    [
        pytest.param(SERVER, "", id="unknown-authority"),
        pytest.param(SERVER, Authority().certificate, id="another-authority"),
        pytest.param(self_signed("127.0.0.1"), "", id="self-signed"),
        pytest.param(AUTHORITY.issue("git.example.org"), AUTHORITY.certificate, id="another-name"),
        pytest.param(AUTHORITY.issue("127.0.0.1", valid=-timedelta(hours=1)), AUTHORITY.certificate, id="expired"),
        pytest.param(SHA1_SERVER, SHA1_AUTHORITY, id="signed-with-sha1"),
    ],
)
def test_a_certificate_that_does_not_fit_is_refused_and_gets_no_credentials(pair: KeyPair, authority: str) -> None:
    with secured(server_tls(pair)) as url:
        failure = failure_of(url, HttpCredentials(bearer("canary"), authority))
    assert isinstance(failure, errors.TLSInvalidError)
    assert "canary" not in failure.message
    assert failure.message.isprintable()


def test_a_client_certificate_is_shown_where_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    client = AUTHORITY.issue()
    given = HttpCredentials("", AUTHORITY.certificate, client.certificate.encode(), client.key.encode())
    with secured(server_tls(SERVER, clients=AUTHORITY)) as url:
        assert failure_of(url, given) is None
    assert {oct(path.stat().st_mode & 0o777) for path in tmp_path.iterdir()} == {"0o600"}


@pytest.mark.parametrize("key", [AUTHORITY.issue().key, "no key"], ids=["of-another-certificate", "garbage"])
def test_a_client_key_that_does_not_fit_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with secured(server_tls(SERVER)) as url:
        failure = failure_of(url, HttpCredentials("", AUTHORITY.certificate, AUTHORITY.issue().certificate.encode(), key.encode()))
    assert isinstance(failure, errors.AuthFailedError)
    assert "tls.key" in failure.message


def test_a_server_without_tls_is_told_so() -> None:
    with serving(content(b"refs")) as git:
        assert isinstance(failure_of(git.url.replace("http://", "https://")), errors.TLSInvalidError)


# -- where it leads ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["169.254.169.254", "127.0.0.1", "::ffff:169.254.169.254"])
def test_a_name_is_judged_by_where_it_leads_when_connecting(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    tried = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **more: [(2, 1, 6, "", (address, 80))])
    monkeypatch.setattr(socket, "socket", lambda *args: tried.append(args))
    relay = Relay("http://innocent.example.org/r", policy=AddressPolicy())
    with pytest.raises(errors.URLNotAllowedError):
        relay._open("innocent.example.org", 80)
    assert tried == []


# -- a pause -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("17", 17.0), ("0", 0.0), ("Wed, 21 Oct 2020 07:28:00 GMT", 0.0), ("soon", None), ("-1", None), ("1e9", None), ("", None)],
)
def test_a_pause_that_the_server_asks_for_is_passed_on(value: str, seconds: float | None) -> None:
    with serving(code(429, **{"Retry-After": value})) as git:
        failure = failure_of(git.url)
    assert isinstance(failure, errors.FetchFailedError)
    assert failure.retry_after_seconds == seconds


def test_a_pause_may_be_asked_for_by_a_date() -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    with serving(code(429, **{"Retry-After": until})) as git:
        failure = failure_of(git.url)
    assert isinstance(failure, errors.FetchFailedError)
    assert failure.retry_after_seconds is not None
    assert 50 < failure.retry_after_seconds <= 60


@pytest.mark.parametrize("status", [403, 503])
def test_a_limit_of_requests_is_told_as_such_whatever_its_code(status: int) -> None:
    """GitHub answers 403 with Retry-After."""
    with serving(code(status, **{"Retry-After": "7"})) as git:
        failure = failure_of(git.url, HttpCredentials(bearer("t")))
    assert isinstance(failure, errors.FetchFailedError)
    assert failure.retry_after_seconds == 7
