"""The few requests a start needs: is the server ready, create an object, read one. Tests use `kubectl` or their own client.

Reader: `stack`, which knows the server from before it listens and so expects refused connections.
"""

from __future__ import annotations

import http.client
import json
import ssl
from pathlib import Path
from typing import Any

from tests.cluster.errors import ClusterError

_TIMEOUT_SECONDS = 5.0


class ApiClient:
    """Talks to one API server on loopback as one user, verifying its certificate."""

    def __init__(self, port: int, *, authority: Path, certificate: Path, key: Path) -> None:
        """Load the certificates (PEM files); nothing is connected yet."""
        self._port = port
        self._tls = ssl.create_default_context(cafile=str(authority))
        self._tls.load_cert_chain(str(certificate), str(key))

    def is_ready(self) -> bool:
        """Say whether `/readyz` answers 200. Refused, reset and slow connections mean no."""
        try:
            status, _ = self._request("GET", "/readyz")
        except (OSError, http.client.HTTPException):
            return False
        return status == http.client.OK

    def get(self, path: str) -> Any | None:
        """Return the JSON under a path, or None where there is nothing (404).

        Raises:
            ClusterError: The server answers anything else or not at all.
        """
        status, body = self._answered("GET", path)
        if status == http.client.NOT_FOUND:
            return None
        return self._checked(status, body, f"GET {path}")

    def create(self, path: str, document: Any) -> None:
        """Create an object in the collection under `path`; one that is already there is left alone.

        Raises:
            ClusterError: The server refuses it or does not answer.
        """
        status, body = self._answered("POST", path, document)
        if status != http.client.CONFLICT:
            self._checked(status, body, f"POST {path}")

    def _answered(self, verb: str, path: str, document: Any = None) -> tuple[int, bytes]:
        try:
            return self._request(verb, path, document)
        except (OSError, http.client.HTTPException) as exc:
            raise ClusterError(f"{verb} {path} at port {self._port}: {exc}", remedy="look into kube-apiserver.log") from exc

    def _request(self, verb: str, path: str, document: Any = None) -> tuple[int, bytes]:
        connection = http.client.HTTPSConnection("127.0.0.1", self._port, timeout=_TIMEOUT_SECONDS, context=self._tls)
        headers = {"Accept": "application/json", "Content-Type": "application/json", "User-Agent": "cvstate-test-cluster"}
        try:
            connection.request(verb, path, None if document is None else json.dumps(document), headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    @staticmethod
    def _checked(status: int, body: bytes, request: str) -> Any:
        if status >= http.client.BAD_REQUEST:
            raise ClusterError(f"{request} answered {status}: {body[:300].decode(errors='replace')}", remedy="look into kube-apiserver.log")
        return json.loads(body)
