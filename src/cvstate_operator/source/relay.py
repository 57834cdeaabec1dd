"""The relay: between libgit2 and the Git server, inside the fetch child.

libgit2 (1.9) speaks HTTP to this relay on the loopback interface, and the relay speaks to the server. So TLS, redirects, limits and errors are ours to
decide and to tell exactly: libgit2 has only texts for errors, follows redirects, knows no client certificates, and cannot read an answer whose end is the
end of the connection (RFC 9112 §6.3; it then says "could not read refs", tried with 1.9.7).

The relay lives as long as one fetch, and answers only below a path that nobody can guess.
"""

import http.client
import ipaddress
import os
import secrets
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit

from cvstate_operator import errors
from cvstate_operator.objects.address import AddressPolicy, check_address
from cvstate_operator.objects.http_credentials import HttpCredentials

MAX_REDIRECTS: Final = 5
"""Hops within one host; git itself follows 20, anywhere."""
CONNECT_SECONDS: Final = 15.0
READ_SECONDS: Final = 30.0
"""Longest silence of the server; the fetch as a whole has a deadline from outside."""
MAX_PACK_BYTES: Final = 2 * 2**30
"""Most that one fetch may receive."""
CHUNK_BYTES: Final = 64 * 1024
STACK_BYTES: Final = 512 * 1024
"""Of each thread. The 8 MiB that glibc maps by default would count as memory of this process, half of what it may have."""

_FORWARDED: Final = ("Accept", "Content-Type", "Content-Encoding", "Git-Protocol")
_ADVERTISEMENT: Final = "/info/refs?service=git-upload-pack"


class Relay:
    """Speaks to one repository on one server."""

    def __init__(self, url: str, credentials: HttpCredentials | None = None, policy: AddressPolicy | None = None) -> None:
        """
        Args:
            url: of the repository.
            credentials: sent to its host, and to no other.
            policy: where it may lead; by default anywhere but to link-local addresses.
        """
        self._credentials = credentials or HttpCredentials()
        self._policy = policy or AddressPolicy(insecure=True)
        self._base = urlsplit(url.rstrip("/"))
        self._secret = secrets.token_urlsafe(16)
        self._lock = threading.Lock()
        self._received = 0
        self._advertisement: tuple[str, bytes] | None = None
        self.failure: errors.CvstateError | None = None
        """Why the server could not be used; more exact than what libgit2 makes of it."""

    @contextmanager
    def serve(self) -> Iterator[str]:
        """Run the relay; gives the URL that libgit2 is to use."""
        server = _Server(("127.0.0.1", 0), self._handler())
        threading.stack_size(STACK_BYTES)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/{self._secret}"
        finally:
            server.shutdown()
            server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        relay = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Head and body of an answer in one segment, and none held back for the acknowledgement of another: 40 ms (Linux' delayed ACK, measured).
            wbufsize = CHUNK_BYTES
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                relay._answer(self, b"")

            def do_POST(self) -> None:
                # libgit2 holds the body back until the head is acknowledged.
                self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
                relay._answer(self, _request_body(self))

            def log_message(self, *args: object) -> None:
                """Nothing is logged; errors are told through `failure`."""

        return Handler

    def _answer(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        prefix = f"/{self._secret}"
        if not request.path.startswith(prefix + "/"):
            request.send_error(404)
            return
        with self._lock:
            try:
                self._pass_on(request, request.path.removeprefix(prefix), body)
            except errors.CvstateError as exc:
                self._refuse(request, exc)
            except ssl.SSLCertVerificationError as exc:
                hint = "renew it, use the name it was made for, or give its authority as ca.crt in the Secret"
                what = f"the certificate of {self._base.netloc} is not accepted: {exc.verify_message}; {hint}"
                self._refuse(request, errors.TLSInvalidError(what))
            except ssl.SSLError as exc:
                what = f"no secure connection to {self._base.netloc}: {exc.reason or 'TLS failed'}; does it speak TLS, and want a client certificate?"
                self._refuse(request, errors.TLSInvalidError(what))
            except TimeoutError:
                self._refuse(request, errors.FetchTimeoutError(f"{self._base.netloc} did not answer in time"))
            except (OSError, http.client.HTTPException) as exc:
                self._refuse(request, errors.FetchFailedError(f"cannot read {self._base.geturl()}: {_why(exc)}"))

    def _refuse(self, request: BaseHTTPRequestHandler, error: errors.CvstateError) -> None:
        self.failure = self.failure or error
        request.close_connection = True
        # 502 stands for all of them: libgit2 must neither ask for credentials nor retry.
        request.send_error(502)

    def _pass_on(self, request: BaseHTTPRequestHandler, rest: str, body: bytes) -> None:
        if rest == _ADVERTISEMENT and self._advertisement:
            _reply(request, self._advertisement[0], iter((self._advertisement[1],)))
            return
        headers = {name: value for name in _FORWARDED if (value := request.headers.get(name))}
        with ExitStack() as connections:
            answer = self._ask(request.command, self._base.geturl() + rest, headers, body, connections)
            kind = answer.getheader("Content-Type", "application/octet-stream")
            if rest == _ADVERTISEMENT:
                # libgit2 asks twice, once to list and once to fetch.
                self._advertisement = (kind, b"".join(self._chunks(answer)))
                _reply(request, kind, iter((self._advertisement[1],)))
            else:
                _reply(request, kind, self._chunks(answer))

    def _ask(self, method: str, url: str, headers: dict[str, str], body: bytes, connections: ExitStack) -> http.client.HTTPResponse:
        for _ in range(MAX_REDIRECTS + 1):
            target = urlsplit(url)
            connection = self._connect(target)
            connections.callback(connection.close)
            path = target.path + (f"?{target.query}" if target.query else "")
            ours = {"User-Agent": "git/2.0 (cvstate-operator)"}
            if self._credentials.authorization:
                ours["Authorization"] = self._credentials.authorization
            connection.request(method, path, body=body or None, headers={**ours, **headers})
            answer = connections.enter_context(connection.getresponse())
            if answer.status in (301, 302, 303, 307, 308) and (location := answer.getheader("Location")):
                url = _same_host(url, location)
                continue
            self._check(answer)
            return answer
        raise errors.FetchFailedError(f"{self._base.geturl()} redirects more than {MAX_REDIRECTS} times; correct spec.source.git.url")

    def _check(self, answer: http.client.HTTPResponse) -> None:
        url, status = self._base.geturl(), answer.status
        pause = _seconds(answer.getheader("Retry-After"))
        if status == 429 or (status in (403, 503) and pause is not None):
            raise errors.FetchFailedError(f"{url} asks for fewer requests (HTTP {status})", retry_after_seconds=pause)
        if status in (401, 403):
            what = "does not accept the credentials of the Secret" if self._credentials.authorization else "wants credentials"
            raise errors.AuthFailedError(f"{url} {what} (HTTP {status}); correct spec.source.git.secretRef or its Secret")
        if status in (404, 410):
            raise errors.FetchFailedError(
                f"there is no repository at {url} (HTTP {status}), or none that these credentials may see; correct spec.source.git.url"
            )
        if status != 200:
            raise errors.FetchFailedError(f"{url} answered HTTP {status}")

    def _connect(self, target: SplitResult) -> http.client.HTTPConnection:
        """A connection to an address that may be asked; names are resolved once, so that what was judged is what is asked."""
        host = target.hostname or ""
        port = target.port or (443 if target.scheme == "https" else 80)
        plain = self._open(host, port)
        if target.scheme != "https":
            connection = http.client.HTTPConnection(host, port)
            connection.sock = plain
            return connection
        try:
            secure = self._tls().wrap_socket(plain, server_hostname=host)
        except BaseException:
            plain.close()
            raise
        connection = http.client.HTTPSConnection(host, port)
        connection.sock = secure
        return connection

    def _open(self, host: str, port: int) -> socket.socket:
        failure: OSError | None = None
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            check_address(ipaddress.ip_address(str(address[0]).partition("%")[0]), host, self._policy)
            opened = socket.socket(family, kind, protocol)
            try:
                opened.settimeout(CONNECT_SECONDS)
                opened.connect(address)
            except OSError as exc:
                opened.close()
                failure = exc
                continue
            opened.settimeout(READ_SECONDS)
            return opened
        raise failure or OSError(f"{host} has no address")

    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=self._credentials.authority or None)
        if self._credentials.certificate:
            # OpenSSL reads keys from files alone; this process has a home of its own, which goes with it.
            files = Path(os.environ["HOME"], "client.crt"), Path(os.environ["HOME"], "client.key")
            for file, content in zip(files, (self._credentials.certificate, self._credentials.key), strict=True):
                file.touch(mode=0o600)
                file.write_bytes(content)
            try:
                context.load_cert_chain(*files)
            except (ssl.SSLError, OSError) as exc:
                raise errors.AuthFailedError(
                    "tls.crt and tls.key of the Secret do not fit together, or are no PEM; correct the Secret"
                ) from exc
        return context

    def _chunks(self, answer: http.client.HTTPResponse) -> Iterator[bytes]:
        while chunk := answer.read1(CHUNK_BYTES):
            self._received += len(chunk)
            if self._received > MAX_PACK_BYTES:
                raise errors.RepoTooLargeError(f"the server sent more than {MAX_PACK_BYTES // 2**20} MiB; split the repository")
            yield chunk
        if answer.length:  # read1 takes the end of the connection for the end of the answer
            raise http.client.IncompleteRead(b"", answer.length)


def _seconds(text: str | None) -> float | None:
    """Retry-After, in seconds or as a date (RFC 9110 §10.2.3); None if absent or neither."""
    if text and text.isdecimal():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text or "") - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def _same_host(url: str, location: str) -> str:
    """Where a redirect leads, if that is the same host by the same or a safer way. Another host would be one that the user never named."""
    old, new = urlsplit(url), urlsplit(urljoin(url, location))
    upgraded = old.scheme == "http" and new.scheme == "https"
    same_port = (old.port or old.scheme) == (new.port or new.scheme)
    if new.scheme not in ("http", "https") or new.hostname != old.hostname or not (upgraded or (new.scheme == old.scheme and same_port)):
        where = f"{new.scheme}://{new.hostname}"
        raise errors.FetchFailedError(
            f"{old.scheme}://{old.netloc} redirects to {where}, which is not followed; give that URL in spec.source.git.url"
        )
    return new.geturl()


def _request_body(request: BaseHTTPRequestHandler) -> bytes:
    if request.headers.get("Transfer-Encoding", "").lower() != "chunked":
        return request.rfile.read(int(request.headers.get("Content-Length") or 0))
    parts = []
    while size := int(request.rfile.readline().split(b";")[0], 16):
        parts.append(request.rfile.read(size))
        request.rfile.readline()
    request.rfile.readline()
    return b"".join(parts)


def _reply(request: BaseHTTPRequestHandler, kind: str, chunks: Iterator[bytes]) -> None:
    chunks = chain((next(chunks, b""),), chunks)  # a server that fails at once fails before the head of the answer is out
    request.send_response(200)
    request.send_header("Content-Type", kind)
    request.send_header("Transfer-Encoding", "chunked")
    request.end_headers()
    for chunk in filter(None, chunks):
        request.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
    request.wfile.write(b"0\r\n\r\n")


def _why(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:200]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """libgit2 hung up; it, or `Relay.failure`, says why."""
