"""TLS of the HTTP server: certificate and key out of a directory, as a Secret of type kubernetes.io/tls is mounted, and out of it again when they change.

Whoever renews certificates exchanges the Secret; the kubelet brings it within a minute or so. Connections that are open keep what they began with.
"""

import asyncio
import logging
import os
import ssl
from pathlib import Path
from typing import Final

from cvstate_operator import errors

CERTIFICATE: Final = "tls.crt"
KEY: Final = "tls.key"
"""Names of the files. Source: Kubernetes, "TLS Secrets"."""
POLL_SECONDS: Final = 10.0
"""Pause between looks at the files."""

_log = logging.getLogger(__name__)


class ServingTls:
    """Belongs to one event loop."""

    def __init__(self, directory: Path) -> None:
        """
        Args:
            directory: with `tls.crt`, the certificate with those between it and its authority, and `tls.key`, its key without a password.

        Raises:
            SettingsError: they cannot be used.
        """
        self._directory = directory
        self._loaded = self._read()
        self._current = _context(self._loaded, directory)
        """Has the certificate that is in use, and no other: a context keeps one for each type of key, and would go on with the one before."""
        self._fault = ""
        """Why what is there now cannot be used; empty: it is in use."""
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        """What the server speaks TLS by; the same one for as long as it runs. It has no certificate of its own."""
        self.context.sni_callback = self._hand_over

    async def run(self) -> None:
        """Look at the files now and then; never ends. What cannot be used is logged, and what was there before goes on."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            self.look()

    def look(self) -> None:
        """Take up what changed, if it can be used."""
        try:
            found = self._read()
            is_new = found != self._loaded
            if is_new:
                self._current = _context(found, self._directory)
        except errors.SettingsError as exc:
            if exc.message != self._fault:
                _log.error("certificate refused, the one before stays", extra={"error": exc.message})
            self._fault = exc.message
            return
        self._loaded, self._fault = found, ""
        if is_new:
            _log.info("certificate read", extra={"directory": str(self._directory)})

    def _hand_over(self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, context: ssl.SSLContext) -> None:
        """OpenSSL asks when a connection begins, before it takes a certificate; `name` is None where a client asks for an address."""
        connection.context = self._current

    def _read(self) -> bytes:
        try:
            return b"\n".join((self._directory / name).read_bytes() for name in (CERTIFICATE, KEY))
        except OSError as exc:
            raise errors.SettingsError(
                f"{exc.filename} cannot be read: {exc.strerror}; mount a Secret of type kubernetes.io/tls, or leave --tls-directory out"
            ) from exc


def _context(pair: bytes, directory: Path) -> ssl.SSLContext:
    """A context with this certificate.

    Raises:
        SettingsError: it cannot be used.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    # OpenSSL reads files alone; this one is in memory, so that both come from one look, and gone when it is closed (memfd_create(2)).
    with os.fdopen(os.memfd_create("serving"), "wb") as file:
        file.write(pair)
        file.flush()
        try:
            context.load_cert_chain(f"/proc/self/fd/{file.fileno()}", password=_no_password)
        except (ssl.SSLError, OSError, ValueError) as exc:
            raise errors.SettingsError(
                f"{CERTIFICATE} and {KEY} in {directory} do not fit together, or are no PEM without a password; correct the Secret"
            ) from exc
    return context


def _no_password() -> str:
    """Without this, OpenSSL would ask at the terminal."""
    return ""
