"""known_hosts: which keys are listed for a host. Pure. Source: sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"."""

import base64
import fnmatch
import hashlib
import hmac
from collections.abc import Iterator
from typing import Final, NamedTuple

SSH_PORT: Final = 22
_HASHED: Final = "|1|"


class HostKey(NamedTuple):
    """A public key of a host."""

    type: str
    """`ssh-ed25519`."""
    key: str
    """base64."""

    @property
    def fingerprint(self) -> str:
        """As `ssh-keygen -l` shows it."""
        digest = hashlib.sha256(base64.b64decode(self.key)).digest()
        return f"{self.type} SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


def entry(host: str, port: int) -> str:
    """How known_hosts names a host."""
    return host if port == SSH_PORT else f"[{host}]:{port}"


def listed(known_hosts: bytes, host: str, port: int) -> list[HostKey]:
    """The keys by which a host may be recognised; lines that make no sense are passed over, as ssh does.

    Keys marked `@revoked` are never listed. Nor are those marked `@cert-authority`: libssh2 knows no host certificates.
    """
    name = entry(host, port)
    keys: list[HostKey] = []
    revoked: set[HostKey] = set()
    for mark, patterns, key in _lines(known_hosts):
        if _matches(patterns, name):
            if mark == "@revoked":
                revoked.add(key)
            elif not mark:
                keys.append(key)
    return [key for key in dict.fromkeys(keys) if key not in revoked]


def _lines(known_hosts: bytes) -> Iterator[tuple[str, list[str], HostKey]]:
    for line in known_hosts.decode(errors="replace").splitlines():
        fields = line.split()
        mark = fields.pop(0) if fields and fields[0].startswith("@") else ""
        if len(fields) < 3 or fields[0].startswith("#"):
            continue
        patterns, kind, key = fields[:3]
        try:
            base64.b64decode(key, validate=True)
        except ValueError:
            continue
        yield mark, patterns.split(","), HostKey(kind, key)


def _matches(patterns: list[str], name: str) -> bool:
    if any(pattern.startswith("!") and _matches_one(pattern[1:], name) for pattern in patterns):
        return False
    return any(_matches_one(pattern, name) for pattern in patterns)


def _matches_one(pattern: str, name: str) -> bool:
    if not pattern.startswith(_HASHED):
        # Only * and ? are wild in ssh's patterns; brackets belong to names with ports.
        return fnmatch.fnmatchcase(name.lower(), pattern.lower().replace("[", "[[]"))
    try:
        salt, expected = (base64.b64decode(part, validate=True) for part in pattern.removeprefix(_HASHED).split("|", 1))
    except ValueError:
        return False
    return hmac.compare_digest(hmac.new(salt, name.encode(), hashlib.sha1).digest(), expected)
