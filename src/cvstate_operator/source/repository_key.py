"""Repository keys: two URLs with one key mean the same repository. Compared literally, as host and path; nothing here is a pattern."""

import re
from typing import Final
from urllib.parse import urlsplit

MAX_URL: Final = 2048
"""Longest URL looked at, in characters; as `spec.source.git.url`."""

_DEFAULT_PORTS: Final = {"http": 80, "https": 443, "ssh": 22, "git": 9418}
_BLANK_OR_CONTROL: Final = re.compile(r"[\x00-\x20\x7f]")
_SCP_LIKE: Final = re.compile(r"(?:[^@/:]+@)?(?P<host>\[[0-9A-Fa-f:.]+\]|[^@/:\[\]]+):(?!//)(?P<path>.+)")
"""`git@host:org/repo`. Source: git-clone(1), "GIT URLS"."""


def repository_key(url: str) -> str:
    """`host[:port]/path` of a Git URL; empty if it is none.

    Scheme, user, default port, a trailing slash and `.git` do not count, so the https and the ssh address of a repository have one key. The host is
    in lower case. The path stays as it is written: servers differ on whether its case counts. A file:// URL has its path alone.
    """
    if len(url) > MAX_URL or _BLANK_OR_CONTROL.search(url):
        return ""
    if "://" not in url:
        scp = _SCP_LIKE.fullmatch(url)
        return _join(scp["host"].lower(), scp["path"]) if scp else ""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return ""
    if parts.query or parts.fragment or not (host or parts.scheme == "file"):
        return ""
    host = f"[{host}]" if ":" in host else host
    return _join(host if port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f"{host}:{port}", parts.path)


def _join(host: str, path: str) -> str:
    path = path.strip("/").removesuffix(".git").rstrip("/")
    return f"{host}/{path}" if path else ""
