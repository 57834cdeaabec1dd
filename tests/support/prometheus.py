"""A real Prometheus for tests: on a free port of the loopback interface, scraping every second, with a data directory of its own."""

import json
import os
import signal
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self

import yaml

from tests.cluster import builds, ports, processes
from tests.support.credentials import KeyPair
from tests.support.waiting import until

SCRAPE_SECONDS: Final = 1
START_SECONDS: Final = 30.0
"""Longest wait for it to be ready; it takes about half a second on an idle machine (measured)."""
_END_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Door:
    """Who gets in, in the terms of Prometheus' web configuration."""

    tls: KeyPair | None = None
    """Its certificate; None for http."""
    clients: str = ""
    """PEM of the authority that clients' certificates must be signed by; empty: they need none."""
    users: Mapping[str, str] | None = None
    """Names and bcrypt hashes of their passwords; None: everybody gets in."""

    def write(self, directory: Path) -> Path:
        """The file for --web.config.file, with the files that it names."""
        config: dict[str, Any] = {}
        if self.tls:
            config["tls_server_config"] = {"cert_file": "server.crt", "key_file": "server.key"}
            (directory / "server.crt").write_text(self.tls.certificate)
            (directory / "server.key").write_text(self.tls.key)
            if self.clients:
                config["tls_server_config"] |= {"client_auth_type": "RequireAndVerifyClientCert", "client_ca_file": "clients.crt"}
                (directory / "clients.crt").write_text(self.clients)
        if self.users:
            config["basic_auth_users"] = dict(self.users)
        file = directory / "web.yml"
        file.write_text(yaml.safe_dump(config))
        return file


class Prometheus:
    """One server. It may be ended and started again; its port and its data stay."""

    def __init__(
        self,
        directory: Path,
        *,
        targets: Iterable[str] = (),
        scrape: Mapping[str, Any] = MappingProxyType({}),
        door: Door | None = None,
        options: Sequence[str] = (),
    ) -> None:
        """
        Args:
            directory: for its data and files; made.
            targets: HOST:PORT of what it scrapes, each second, at /metrics.
            scrape: how, if not by http: more fields of its scrape configuration.
            door: who gets in; by default everybody, by http.
            options: more options of its command line, as --query.timeout=1s.
        """
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._door = door
        (self.port,) = ports.free(1)
        scrapes = [{"job_name": "app", "static_configs": [{"targets": list(targets)}], **scrape}] if targets else []
        interval = f"{SCRAPE_SECONDS}s"
        config = {
            "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
            "scrape_configs": scrapes,
        }
        (directory / "prometheus.yml").write_text(yaml.safe_dump(config))
        self._options = [
            f"--config.file={directory / 'prometheus.yml'}",
            f"--storage.tsdb.path={directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--scrape.discovery-reload-interval=50ms",  # else the first scrape comes after 5 s
            "--log.level=info",
            *options,
        ]
        if door:
            self._options.append(f"--web.config.file={door.write(directory)}")
        self._process: subprocess.Popen[bytes] | None = None
        self._read = 0
        """Characters of its log that an earlier life wrote."""

    @property
    def url(self) -> str:
        """Address of its HTTP API."""
        return f"{'https' if self._door and self._door.tls else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.end()

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        program = builds.ensure(["prometheus"])["prometheus"]
        command = [str(program), *self._options]
        log = self._directory / "log"
        self._read = len(log.read_text()) if log.exists() else 0
        self._process = processes.start(command, log=log, directory=self._directory, environment=os.environ)
        try:
            until("Prometheus is ready", self._is_ready, seconds=START_SECONDS, every=0.05)
        except BaseException:
            self.end(kill=True)
            raise

    def end(self, *, kill: bool = False) -> None:
        """End it, by SIGTERM or at once; nothing if it does not run."""
        process, self._process = self._process, None
        if process:
            processes.stop((process,), grace_seconds=0.0 if kill else _END_SECONDS)

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """While this lasts it is stopped: it takes connections and answers none (SIGSTOP)."""
        assert self._process, "it was ended"
        os.kill(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._process.pid, signal.SIGCONT)

    def _is_ready(self) -> bool:
        """Its log says so; asking it would need what `Door` wants."""
        assert self._process, "it was ended"
        assert self._process.poll() is None, processes.tail(self._directory / "log")
        return "Server is ready to receive web requests" in (self._directory / "log").read_text()[self._read :]

    def ask(self, query: str) -> list[dict[str, Any]]:
        """What it answers to an instant query, for tests of what the client says; only of one that lets everybody in, by http."""
        address = f"{self.url}/api/v1/query?query={urllib.parse.quote(query)}"
        with urllib.request.urlopen(address, timeout=10) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return found

    def knows(self, query: str) -> None:
        """Wait until a query gives something."""
        until(f"Prometheus knows {query}", lambda: self.ask(query))
