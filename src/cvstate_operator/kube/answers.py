"""Answers: taken from what comes over the wire, piece by piece. What comes is parsed by httptools, Node's parser. Pure.

Source: RFC 9112 (HTTP/1.1), section 6.3 (length of a message).
"""

import zlib
from dataclasses import dataclass
from typing import Final

import httptools

MAX_HEAD_BYTES: Final = 64 * 1024
"""Longest head of an answer. Those of the API server have half a kilobyte; Go's own client takes a megabyte."""
FIRST_FINAL: Final = 200
"""Answers below only say to wait. Source: RFC 9110, section 15.2."""
_GZIP: Final = 16 + zlib.MAX_WBITS


class WireError(Exception):
    """The connection broke, or what came is no HTTP; says what."""


@dataclass(slots=True)
class Answer:
    """One answer, whole."""

    status: int
    headers: dict[str, str]
    """Names in lower case; of those that come more than once the last one."""
    body: bytes = b""
    is_last: bool = False
    """Whether the server closes the connection after it."""

    def unpack(self, max_bytes: int = 0) -> bool:
        """Unpack the body if it is packed; False if it would be longer than so many bytes (0: any), and it is left as it is.

        Raises:
            WireError: it is no gzip, although it says so.
        """
        if not self.body or self.headers.get("content-encoding") != "gzip":
            return True
        unpacker = zlib.decompressobj(_GZIP)
        try:
            plain = unpacker.decompress(self.body, max_bytes)
        except zlib.error as exc:
            raise WireError("the answer is no gzip, although it says so") from exc
        if not unpacker.eof:
            if unpacker.unconsumed_tail:
                return False
            raise WireError("the answer is no whole gzip, although it says so")
        self.body = plain
        del self.headers["content-encoding"]
        return True


class Answering:
    """Takes one answer from what comes, piece by piece; what the bytes mean is httptools' to say."""

    def __init__(self, *, max_bytes: int = 0) -> None:
        """`max_bytes`: of the body as it comes; 0: any."""
        self._parser = httptools.HttpResponseParser(self)
        self._max_bytes = max_bytes
        self.body_bytes = 0
        """Of the body, as far as it came; it may be packed."""
        self._is_too_large = False
        self._headers: dict[str, str] = {}
        self._parts: list[bytes] = []
        self._head_bytes = 0
        """Of the head, as far as it came; -1 when it is complete."""
        self._answer: Answer | None = None
        self.is_untouched = True
        """Whether not a single byte came."""

    def feed(self, data: bytes) -> Answer | None:
        """Take what came; the answer if that was the end of it.

        Raises:
            WireError: this is no HTTP/1.1.
        """
        self.is_untouched = False
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as exc:
            raise WireError("the answer is no HTTP/1.1") from exc
        if self._head_bytes >= 0:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                raise WireError("the head of the answer does not end")
        self._check_size()
        return self._answer

    def end(self) -> Answer | None:
        """The connection ended; the answer if that is how it ends."""
        is_open_ended = self._head_bytes < 0 and not {"content-length", "transfer-encoding"} & self._headers.keys()
        if self._answer is None and is_open_ended:
            self.on_message_complete()
            self._check_size()
        return self._answer

    def _check_size(self) -> None:
        if self._is_too_large:
            raise too_large(self._max_bytes)

    # -- what the parser calls -------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Another answer begins: what was before only said to wait (1xx)."""
        if self._answer:
            raise WireError("an answer that nobody asked for")
        self._headers, self._parts, self._head_bytes, self.body_bytes = {}, [], 0, 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1").strip()

    def on_headers_complete(self) -> None:
        """The head is complete."""
        self._head_bytes = -1

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self.body_bytes += len(body)
        self._is_too_large = self._is_too_large or 0 < self._max_bytes < self.body_bytes
        if self._is_too_large:
            self._parts = []  # who keeps the error keeps what its traceback leads to
        else:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        """The answer is complete."""
        status = self._parser.get_status_code()
        if status < FIRST_FINAL or self._is_too_large:
            return
        self._answer = Answer(status, self._headers, b"".join(self._parts), is_last=not self._parser.should_keep_alive())
        self._parts = []


def too_large(max_bytes: int) -> WireError:
    """What is wrong with a body that is longer than that."""
    return WireError(f"the answer is larger than {max_bytes // 2**20} MiB")
