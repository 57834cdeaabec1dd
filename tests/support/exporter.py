"""A small exporter for tests: a target that Prometheus scrapes, whose numbers the test steers. It can hang, die and come back."""

import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self

_HANG_SECONDS: Final = 30.0
"""Longest that a scrape is held, should a test forget to go on."""


class Exporter:
    """Serves /metrics on a free port of the loopback interface, from threads of this process."""

    def __init__(self) -> None:
        self._series: dict[str, float] = {}
        self._lock = threading.Lock()
        self._goes_on = threading.Event()
        self._goes_on.set()
        self._server: ThreadingHTTPServer | None = None
        self._port = 0

    @property
    def target(self) -> str:
        """HOST:PORT; stays the same when it dies and comes back."""
        return f"127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self.revive()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.go_on()
        self.die()

    def set(self, name: str, value: float, **labels: str) -> None:
        """Expose a number, or another one in its place; NaN and the infinities are numbers too."""
        with self._lock:
            self._series[_series(name, labels)] = value

    def add(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Count on, from 0 at first."""
        with self._lock:
            key = _series(name, labels)
            self._series[key] = self._series.get(key, 0.0) + amount

    def remove(self, name: str, **labels: str) -> None:
        """Do not expose that series any more."""
        with self._lock:
            del self._series[_series(name, labels)]

    def hang(self) -> None:
        """Answer no scrape until `go_on`."""
        self._goes_on.clear()

    def go_on(self) -> None:
        """Answer again."""
        self._goes_on.set()

    def die(self) -> None:
        """Close the port: connections are refused."""
        server, self._server = self._server, None
        if server:
            server.shutdown()
            server.server_close()

    def revive(self) -> None:
        """Listen again, on the same port."""
        self._server = _Server(("127.0.0.1", self._port), self._handler())
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def _text(self) -> bytes:
        with self._lock:
            lines = [f"{series} {_number(value)}\n" for series, value in self._series.items()]
        return "".join(lines).encode()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        exporter = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                exporter._goes_on.wait(_HANG_SECONDS)
                body = exporter._text()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                """Nothing is logged."""

        return Handler


def _series(name: str, labels: Mapping[str, str]) -> str:
    """A series in the text format; labels of tests need no quoting."""
    inner = ",".join(f'{label}="{value}"' for label, value in sorted(labels.items()))
    return f"{name}{{{inner}}}" if inner else name


def _number(value: float) -> str:
    return repr(float(value)).replace("inf", "Inf").replace("nan", "NaN")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Prometheus hung up in the middle of a scrape, as it does when one takes too long."""
