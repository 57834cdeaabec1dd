"""The relay: between libgit2 and the Git server, inside the fetch child.

libgit2 (1.9) speaks HTTP to this relay on the loopback interface, and the relay speaks to the server. So TLS, redirects, limits and errors are ours to
decide and to tell exactly: libgit2 has only texts for errors, follows redirects, knows no client certificates, and cannot read an answer whose end is the
end of the connection (RFC 9112 §6.3; it then says "could not read refs", tried with 1.9.7).

The relay lives as long as one fetch, and answers only below a path that nobody can guess.
"""

import http.client
import secrets
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit

from cvstate_operator import errors

MAX_REDIRECTS: Final = 5
"""Hops within one host; git itself follows 20, anywhere."""
READ_SECONDS: Final = 30.0
"""Longest silence of the server; the fetch as a whole has a deadline from outside."""
MAX_PACK_BYTES: Final = 2 * 2**30
"""Most that one fetch may receive."""
CHUNK_BYTES: Final = 64 * 1024

_FORWARDED: Final = ("Accept", "Content-Type", "Content-Encoding", "Git-Protocol")
_ADVERTISEMENT: Final = "/info/refs?service=git-upload-pack"


class Relay:
    """Speaks to one repository on one server."""

    def __init__(self, url: str) -> None:
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
        server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        server.daemon_threads = True
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

            def do_GET(self) -> None:
                relay._answer(self, b"")

            def do_POST(self) -> None:
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
                self._refuse(
                    request, errors.TLSInvalidError(f"the certificate of {self._base.netloc} is not accepted: {exc.verify_message}")
                )
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
            connection = _connect(target)
            connections.callback(connection.close)
            path = target.path + (f"?{target.query}" if target.query else "")
            connection.request(method, path, body=body or None, headers={"User-Agent": "git/2.0 (cvstate-operator)", **headers})
            answer = connections.enter_context(connection.getresponse())
            if answer.status in (301, 302, 303, 307, 308) and (location := answer.getheader("Location")):
                url = _same_host(url, location)
                continue
            self._check(answer.status)
            return answer
        raise errors.FetchFailedError(f"{self._base.geturl()} redirects more than {MAX_REDIRECTS} times; correct spec.source.git.url")

    def _check(self, status: int) -> None:
        url = self._base.geturl()
        if status in (401, 403):
            raise errors.AuthFailedError(f"{url} wants other credentials (HTTP {status})")
        if status in (404, 410):
            raise errors.FetchFailedError(f"there is no repository at {url} (HTTP {status}); correct spec.source.git.url")
        if status != 200:
            raise errors.FetchFailedError(f"{url} answered HTTP {status}")

    def _chunks(self, answer: http.client.HTTPResponse) -> Iterator[bytes]:
        while chunk := answer.read1(CHUNK_BYTES):
            self._received += len(chunk)
            if self._received > MAX_PACK_BYTES:
                raise errors.RepoTooLargeError(f"the server sent more than {MAX_PACK_BYTES // 2**20} MiB; split the repository")
            yield chunk
        if answer.length:  # read1 takes the end of the connection for the end of the answer
            raise http.client.IncompleteRead(b"", answer.length)


def _connect(target: SplitResult) -> http.client.HTTPConnection:
    host, port = target.hostname or "", target.port
    if target.scheme == "https":
        return http.client.HTTPSConnection(host, port, timeout=READ_SECONDS, context=ssl.create_default_context())
    return http.client.HTTPConnection(host, port, timeout=READ_SECONDS)


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
