"""SSH: how libgit2 is told whom to trust, where to connect and who we are. Used in the fetch child only.

libgit2 takes known_hosts from one process-wide home directory, and pygit2's default callback accepts any key (measured: it logged in with our private key
though known_hosts had another one); both are seen to here. It also resolves names itself; so it is given the address that was judged, and a known_hosts
with the keys of the name for that address. The process ends with the fetch, so nothing of one source is left for the next.
"""

import ipaddress
import os
import socket
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

import pygit2

from cvstate_operator import errors
from cvstate_operator.objects.address import AddressPolicy, check_address
from cvstate_operator.source import known_hosts
from cvstate_operator.source.credentials import SshCredentials
from cvstate_operator.source.receipt import Receipt

CONNECT_MILLISECONDS: Final = 15_000
READ_MILLISECONDS: Final = 30_000


class SshCallbacks(Receipt):
    """Answers libgit2's questions for one fetch, and keeps why it had to say no."""

    def __init__(self, url: str, credentials: SshCredentials, most_bytes: int) -> None:
        super().__init__(most_bytes)
        self._target = urlsplit(url)
        self._credentials = credentials
        self._asked = False
        self.failure: errors.CvstateError | None = None
        """More exact than what libgit2 makes of it."""

    def certificate_check(self, certificate: Any, valid: bool, host: bytes) -> bool:
        """Trust what known_hosts lists, and nothing else. libgit2 asks this once per connection, before it asks for a key."""
        self._asked = False
        if not valid:
            self.failure = _mismatch(self._target, self._credentials.known_hosts)
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


def prepare(url: str, credentials: SshCredentials, policy: AddressPolicy) -> str:
    """Make this process ready for one SSH server: its known_hosts and time limits; returns the URL for libgit2, with an address for the name.

    Raises:
        URLNotAllowedError: the name leads where it may not.
        HostKeyUnknownError: known_hosts does not list the host; then it is not spoken to.
        FetchFailedError: the name does not resolve, or nobody answers there.
    """
    target = urlsplit(url)
    host, port = target.hostname or "", target.port or known_hosts.SSH_PORT
    keys = known_hosts.listed(credentials.known_hosts, host, port)
    if not keys:
        what = f"known_hosts of the Secret does not list {host}" if credentials.known_hosts.strip() else "the Secret has no known_hosts"
        scan = f"ssh-keyscan {f'-p {port} ' if port != known_hosts.SSH_PORT else ''}{host}"
        raise errors.HostKeyUnknownError(f"{what}, so the host cannot be recognised; compare with its owner, and add the output of: {scan}")
    address = _address(host, port, policy)
    lines = "".join(f"{known_hosts.entry(address, port)} {key.type} {key.key}\n" for key in keys)
    home = Path(os.environ["HOME"])
    (home / ".ssh").mkdir(mode=0o700, exist_ok=True)
    (home / ".ssh" / "known_hosts").write_text(lines)
    pygit2.settings.homedir = str(home)
    pygit2.settings.server_connect_timeout = CONNECT_MILLISECONDS
    pygit2.settings.server_timeout = READ_MILLISECONDS
    user = f"{target.username}@" if target.username else ""
    return f"ssh://{user}{f'[{address}]' if ':' in address else address}:{port}{target.path}"


def _address(host: str, port: int, policy: AddressPolicy) -> str:
    """The address to connect to: all that the name has are judged, and the first that answers is taken."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as exc:
        raise errors.FetchFailedError(f"cannot resolve {host}: {exc.strerror}") from exc
    for *_, address in found:
        check_address(ipaddress.ip_address(str(address[0]).partition("%")[0]), host, policy)
    failure = None
    for *_, address in found:
        if len(found) == 1:
            break
        try:
            socket.create_connection((str(address[0]), port), CONNECT_MILLISECONDS / 1000 / len(found)).close()
            break
        except OSError as exc:
            failure = exc
    else:
        raise errors.FetchFailedError(f"no address of {host} answers: {failure}")
    return str(address[0])


def _mismatch(target: SplitResult, hosts: bytes) -> errors.HostKeyMismatchError:
    host = target.hostname or ""
    expected = ", ".join(key.fingerprint for key in known_hosts.listed(hosts, host, target.port or known_hosts.SSH_PORT))
    return errors.HostKeyMismatchError(
        f"{host} shows another host key than known_hosts lists ({expected}); find out why before you replace it"
    )
