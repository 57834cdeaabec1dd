"""Access to a target: its URL and secrets, read from files each time, so that a Secret that is mounted can be exchanged while the operator runs.

Messages name the file and the target, never what stands in it.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from yarl import URL

from cvstate_operator import errors
from cvstate_operator.api.notices import NoticeTarget, NoticeType, url_fault
from cvstate_operator.objects.address import AddressPolicy, as_address, check_host
from cvstate_operator.telemetry.endpoint import check_plain
from cvstate_operator.telemetry.notice_bodies import ALERTS_PATH

MAX_BYTES: Final = 64 * 1024
"""Of one file: a bundle of authorities is the largest, and those of one company are smaller."""
MAX_HEADERS: Final = 16

_HEADER: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}):[ \t]*([\x21-\x7e][\x20-\x7e]*)")
"""Source: RFC 9110 §5.1 and §5.5, without obsolete text."""
_OURS: Final = frozenset({"host", "content-length", "content-type", "transfer-encoding", "connection", "accept-encoding"})
_OUR_PREFIX: Final = "x-cvstate-"


@dataclass(frozen=True, slots=True)
class Access:
    """How a target is reached now."""

    url: URL = field(repr=False)
    """Where to post to."""
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    key: bytes = field(default=b"", repr=False)
    """That requests are signed with; empty: they are not."""
    authority: str = field(default="", repr=False)
    """PEM certificates that the server's must be signed by; empty: the system's."""

    @property
    def origin(self) -> str:
        """Scheme, host and port, for messages: the path may be secret."""
        return str(self.url.origin())


def read(target: NoticeTarget, policy: AddressPolicy) -> Access:
    """Read the files of a target. Blocks as long as reading small files does.

    Raises:
        SettingsError: a file cannot be read, or holds something else than it should.
        URLNotAllowedError: the URL is one that the policy forbids.
    """
    text = _line(target, "urlFile", target.url_file) if target.url_file else target.url or ""
    if fault := url_fault(text, target.type):
        raise _wrong(target, "urlFile" if target.url_file else "url", f"holds a URL that {fault}" if target.url_file else fault)
    headers = _headers(target) if target.headers_file else ()
    key = _line(target, "secretFile", target.secret_file).encode() if target.secret_file else b""
    authority = _text(target, "caFile", target.ca_file) if target.ca_file else ""
    return Access(_checked(text, target, policy, has_secrets=bool(headers or target.url_file)), headers, key, authority)


def _checked(text: str, target: NoticeTarget, policy: AddressPolicy, *, has_secrets: bool) -> URL:
    """The URL, if the operator may post to it; names are judged when they are resolved (`resolver.py`)."""
    try:
        url = URL(text)
        host = (url.raw_host or "").lower().rstrip(".")
        port = url.port
    except (ValueError, TypeError) as exc:
        raise _wrong(
            target, "url", "its host or port cannot be read; write https://HOST:PORT/PATH"
        ) from exc  # its own text repeats the URL
    if not host or not port:
        raise _wrong(target, "url", "names no host, or no port; write https://HOST:PORT/PATH")
    if as_address(host) is None and host.replace(".", "").isdigit():
        # Such as 127.1: clients take them for addresses, and do not have them resolved and judged.
        raise _wrong(target, "url", "has an address that is not written in four parts, as 192.0.2.1")
    check_host(host, policy)
    if url.scheme == "http":
        if has_secrets and not policy.insecure and host not in policy.hosts:
            raise errors.URLNotAllowedError(
                f"notice target {target.name}: http:// would send what is secret in clear; use https://, or allow it by {policy.flag} {host}"
            )
        if (address := as_address(host)) is not None:
            check_plain(address, host, policy)
    return URL(text.rstrip("/") + ALERTS_PATH) if target.type is NoticeType.ALERTMANAGER else url


def _headers(target: NoticeTarget) -> tuple[tuple[str, str], ...]:
    lines = [line.strip() for line in _text(target, "headersFile", target.headers_file or "").splitlines() if line.strip()]
    if len(lines) > MAX_HEADERS:
        raise _wrong(target, "headersFile", f"holds more than {MAX_HEADERS} headers")
    found = []
    for number, line in enumerate(lines, 1):
        match = _HEADER.fullmatch(line)
        if match is None:
            raise _wrong(target, "headersFile", f"line {number} is no header; write it like Authorization: Bearer …")
        name = match[1].lower()
        if name in _OURS or name.startswith(_OUR_PREFIX):
            raise _wrong(target, "headersFile", f"line {number}: {name} is set by the operator itself; leave it out")
        found.append((match[1], match[2]))
    return tuple(found)


def _line(target: NoticeTarget, option: str, path: str) -> str:
    """What stands in a file of one line, without the newline that editors put at its end."""
    text = _text(target, option, path).strip()
    if not text or not text.isprintable():
        raise _wrong(target, option, "is empty, or holds more than one line")
    return text


def _text(target: NoticeTarget, option: str, path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise _wrong(target, option, f"is larger than {MAX_BYTES // 1024} KiB")
        return content.decode()
    except OSError as exc:
        raise _wrong(target, option, f"cannot be read: {exc.strerror or type(exc).__name__}") from exc
    except UnicodeDecodeError as exc:
        raise _wrong(target, option, "is no text in UTF-8") from exc


def _wrong(target: NoticeTarget, option: str, what: str) -> errors.SettingsError:
    return errors.SettingsError(f"notice target {target.name}: {option} {what}")
