"""SSH: how libgit2 is told whom to trust and who we are. Used in the fetch child only.

libgit2 takes known_hosts from one process-wide home directory, and pygit2's default callback accepts any key (measured: it logged in with our private key
though known_hosts had another one); both are seen to here. The process ends with the fetch, so nothing of one source is left for the next.
"""

import base64
import hashlib
import hmac
import ipaddress
import os
import socket
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

import pygit2

from cvstate_operator import errors
from cvstate_operator.source.address import AddressPolicy, check_address
from cvstate_operator.source.credentials import SshCredentials

DEFAULT_PORT: Final = 22
CONNECT_MILLISECONDS: Final = 15_000
READ_MILLISECONDS: Final = 30_000


class SshCallbacks(pygit2.RemoteCallbacks):
    """Answers libgit2's questions for one fetch, and keeps why it had to say no."""

    def __init__(self, url: str, credentials: SshCredentials) -> None:
        super().__init__()
        self._target = urlsplit(url)
        self._credentials = credentials
        self._asked = False
        self.failure: errors.CvstateError | None = None
        """More exact than what libgit2 makes of it."""

    def certificate_check(self, certificate: Any, valid: bool, host: bytes) -> bool:
        """Trust what known_hosts lists, and nothing else. libgit2 asks this once per connection, before it asks for a key."""
        self._asked = False
        if not valid:
            self.failure = _distrust(self._target, self._credentials.known_hosts)
        return bool(valid)

    def credentials(self, url: str, username_from_url: str | None, allowed_types: int) -> Any:
        """Our key, once per connection: a server that asks again did not accept it."""
        if self._asked:
            self.failure = errors.AuthFailedError(
                f"{self._target.hostname} does not accept the key for user {username_from_url or 'git'}; add its public key there, or correct the Secret"
            )
            raise self.failure
        self._asked = True
        user = username_from_url or "git"
        if not allowed_types & pygit2.enums.CredentialType.SSH_MEMORY:
            return pygit2.Username(user)
        return pygit2.KeypairFromMemory(user, None, self._credentials.identity, self._credentials.passphrase)


def prepare(url: str, credentials: SshCredentials, policy: AddressPolicy) -> None:
    """Make this process ready for one SSH server: its known_hosts, time limits, and a look at where the name leads.

    Raises:
        URLNotAllowedError: the name leads where it may not.
        HostKeyUnknownError: there is no known_hosts at all.
        FetchFailedError: the name does not resolve.
    """
    target = urlsplit(url)
    host, port = target.hostname or "", target.port or DEFAULT_PORT
    if not credentials.known_hosts.strip():
        raise errors.HostKeyUnknownError(
            f"the Secret has no known_hosts, so {host} cannot be recognised; add the output of: ssh-keyscan {_port(port)}{host}"
        )
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as exc:
        raise errors.FetchFailedError(f"cannot resolve {host}: {exc.strerror}") from exc
    for *_, address in found:
        check_address(ipaddress.ip_address(str(address[0]).partition("%")[0]), host, policy)
    home = Path(os.environ["HOME"])
    (home / ".ssh").mkdir(mode=0o700, exist_ok=True)
    (home / ".ssh" / "known_hosts").write_bytes(credentials.known_hosts.rstrip() + b"\n")
    pygit2.settings.homedir = str(home)
    pygit2.settings.server_connect_timeout = CONNECT_MILLISECONDS
    pygit2.settings.server_timeout = READ_MILLISECONDS


def _distrust(target: SplitResult, known_hosts: bytes) -> errors.CvstateError:
    host, port = target.hostname or "", target.port or DEFAULT_PORT
    expected = _listed(host, port, known_hosts)
    if expected:
        return errors.HostKeyMismatchError(
            f"{host} shows another host key than known_hosts lists ({', '.join(expected)}); find out why before you replace it"
        )
    return errors.HostKeyUnknownError(f"known_hosts of the Secret does not list {host}; compare, and add: ssh-keyscan {_port(port)}{host}")


def _port(port: int) -> str:
    return f"-p {port} " if port != DEFAULT_PORT else ""


def _listed(host: str, port: int, known_hosts: bytes) -> list[str]:
    """Fingerprints that known_hosts lists for a host. Source: sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"."""
    name = host if port == DEFAULT_PORT else f"[{host}]:{port}"
    found = []
    for line in known_hosts.decode(errors="replace").splitlines():
        fields = line.split()
        if fields and fields[0].startswith("@"):
            fields = fields[1:]
        if len(fields) < 3 or fields[0].startswith("#") or not any(_names(entry, name) for entry in fields[0].split(",")):
            continue
        try:
            digest = hashlib.sha256(base64.b64decode(fields[2])).digest()
        except ValueError:
            continue
        found.append(f"{fields[1]} SHA256:{base64.b64encode(digest).decode().rstrip('=')}")
    return found


def _names(entry: str, name: str) -> bool:
    if not entry.startswith("|1|"):
        return entry == name
    try:
        salt, expected = (base64.b64decode(part) for part in entry[3:].split("|", 1))
    except ValueError:
        return False
    return hmac.compare_digest(hmac.new(salt, name.encode(), hashlib.sha1).digest(), expected)
