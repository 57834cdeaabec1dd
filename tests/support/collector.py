"""A small OTLP/HTTP collector for tests: takes traces in the JSON encoding, strictly, and remembers them. It can refuse, hang up, die and come back.

What is no correct request is answered 400, as a collector does, and remembered as a fault. Source: opentelemetry-proto, docs/specification.md ("JSON Protobuf
Encoding") and trace.proto.
"""

import json
import re
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self

_SPAN_KEYS: Final = {
    "traceId", "spanId", "parentSpanId", "flags", "name", "kind", "startTimeUnixNano", "endTimeUnixNano", "attributes", "links", "status"
}  # fmt: skip
_VALUES: Final = {"stringValue": str, "boolValue": bool, "intValue": str, "doubleValue": (int, float)}
_NANOSECONDS: Final = re.compile(r"[1-9][0-9]{0,19}")


@dataclass(frozen=True)
class Seen:
    """One span, as it came."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    """Empty: a root."""
    started: int
    ended: int
    """Nanoseconds since 1970."""
    attributes: Mapping[str, Any]
    links: tuple[tuple[str, str], ...]
    """Trace id and span id."""
    error: str | None
    """None: its status is not that of an error."""
    resource: Mapping[str, Any]


def read(body: bytes) -> list[Seen]:
    """The spans of a request.

    Raises:
        AssertionError: the specification does not allow it.
    """
    request = json.loads(body)
    assert set(request) == {"resourceSpans"}
    found = []
    for of_resource in request["resourceSpans"]:
        assert set(of_resource) == {"resource", "scopeSpans"}
        resource = _attributes(of_resource["resource"]["attributes"])
        for of_scope in of_resource["scopeSpans"]:
            assert set(of_scope) == {"scope", "spans"}
            assert of_scope["scope"]["name"]
            assert of_scope["spans"], "a request without spans should not be sent"
            found += [_span(span, resource) for span in of_scope["spans"]]
    return found


class Collector:
    """Serves POST /v1/traces on a free port of the loopback interface, from threads of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spans: list[Seen] = []
        self._answer: tuple[int, Mapping[str, str], bytes] = (200, {}, b"{}")
        self._server: _Server | None = None
        self._port = 0
        self.headers: list[Mapping[str, str]] = []
        """Of each request."""
        self.faults: list[str] = []
        """What was wrong with requests."""

    @property
    def url(self) -> str:
        """What --otlp-endpoint wants; stays the same when it dies and comes back."""
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self.revive()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.die()

    @property
    def spans(self) -> list[Seen]:
        """Everything that was taken so far."""
        with self._lock:
            return list(self._spans)

    def traces(self) -> list["Trace"]:
        """The same, by trace, in the order of their roots' beginnings; of a trace without a root nothing."""
        spans = self.spans
        roots = sorted((span for span in spans if not span.parent_id), key=lambda span: span.started)
        return [Trace(root, tuple(span for span in spans if span.trace_id == root.trace_id and span is not root)) for root in roots]

    def answer(self, status: int = 200, body: bytes = b"{}", **headers: str) -> None:
        """Answer like this from now on; only what is answered 200 counts as taken."""
        with self._lock:
            self._answer = status, headers, body

    def die(self) -> None:
        """Close the port, and the connections that are kept open: new ones are refused."""
        server, self._server = self._server, None
        if server:
            server.shutdown()
            server.server_close()
            server.hang_up()

    def revive(self) -> None:
        """Listen again, on the same port."""
        self._server = _Server(("127.0.0.1", self._port), self._handler())
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def _take(self, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        with self._lock:
            self.headers.append(dict(headers))
            try:
                assert path == "/v1/traces", path
                assert headers.get("Content-Type") == "application/json"
                found = read(body)
            except (AssertionError, ValueError, KeyError, TypeError) as error:
                self.faults.append(f"{type(error).__name__}: {error}")
                return 400, {}, b"{}"
            if self._answer[0] == 200:
                self._spans += found
            return self._answer

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, headers, answer = collector._take(self.path, dict(self.headers), body)
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", "Content-Length": str(len(answer)), **headers}.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *args: Any) -> None:
                """Nothing is logged."""

        return Handler


@dataclass(frozen=True)
class Trace:
    """A root and everything below it."""

    root: Seen
    others: tuple[Seen, ...] = field(default=())

    def named(self, name: str) -> list[Seen]:
        """The spans of that name, the root's too."""
        return [span for span in (self.root, *self.others) if span.name == name]

    def within(self, name: str, parent: str) -> Seen:
        """The only span of that name below the only one of the parent's name."""
        (above,) = self.named(parent)
        (found,) = [span for span in self.named(name) if span.parent_id == above.span_id]
        return found

    def assert_whole(self) -> None:
        """Every span has its parent in the trace, and lies within the time of the root."""
        ids = {span.span_id for span in (self.root, *self.others)}
        assert len(ids) == 1 + len(self.others), "two spans have one id"
        for span in self.others:
            assert span.parent_id in ids, f"{span.name} has lost its parent"
            assert self.root.started <= span.started <= span.ended <= self.root.ended, span.name


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._connections: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """Close every connection, whatever is under way on it."""
        for connection in list(self._connections):
            with suppress(OSError):  # it just ended by itself
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """The other end hung up, as an operator does that is killed."""


def _span(told: Mapping[str, Any], resource: Mapping[str, Any]) -> Seen:
    assert set(told) <= _SPAN_KEYS, set(told) - _SPAN_KEYS
    assert isinstance(told["name"], str)
    assert told["name"]
    assert type(told["kind"]) is int
    assert 1 <= told["kind"] <= 5
    started, ended = _nanoseconds(told["startTimeUnixNano"]), _nanoseconds(told["endTimeUnixNano"])
    assert started <= ended, f"{told['name']} ends before it begins"
    status = told.get("status", {})
    assert status.get("code", 0) in (0, 2)
    return Seen(
        told["name"],
        told["kind"],
        _id(told["traceId"], 32),
        _id(told["spanId"], 16),
        _id(told["parentSpanId"], 16) if "parentSpanId" in told else "",
        started,
        ended,
        _attributes(told.get("attributes", [])),
        tuple((_id(link["traceId"], 32), _id(link["spanId"], 16)) for link in told.get("links", [])),
        status["message"] if status.get("code") == 2 else None,
        resource,
    )


def _attributes(told: list[Mapping[str, Any]]) -> dict[str, Any]:
    found = {}
    for pair in told:
        assert set(pair) == {"key", "value"}
        ((kind, value),) = pair["value"].items()
        assert isinstance(value, _VALUES[kind]), pair
        assert pair["key"] not in found, f"{pair['key']} comes twice"
        found[pair["key"]] = int(value) if kind == "intValue" else value
    return found


def _id(text: object, length: int) -> str:
    assert isinstance(text, str)
    assert re.fullmatch(f"[0-9a-f]{{{length}}}", text), text
    assert int(text, 16), "an id of zeros means none"
    return text


def _nanoseconds(text: object) -> int:
    assert isinstance(text, str)
    assert _NANOSECONDS.fullmatch(text), text
    return int(text)
