"""Git hosts that tests ask over every transport, and a client to compare ours with: git itself, with OpenSSH."""

import getpass
import os
import shlex
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from cvstate_operator.cli.demo.ssh_server import SshServer
from tests.support.credentials import SshIdentity, secret
from tests.support.waiting import until
from tests.support.world import World

SECRET: Final = "git-auth"
SSHD: Final = "/usr/sbin/sshd"
SSH_HOSTS: Final = ("asyncssh", "sshd") if Path(SSHD).exists() else ("asyncssh",)
"""Servers to try; OpenSSH's own only where it is installed."""

_SSHD_CONFIG: Final = """\
ListenAddress 127.0.0.1:{port}
HostKey {directory}/host_key
AuthorizedKeysFile {directory}/authorized_keys
ForceCommand {directory}/serve
AcceptEnv GIT_PROTOCOL
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
PermitTTY no
DisableForwarding yes
PidFile none
"""
_FORCED: Final = """\
#!/bin/sh
# sshd runs this whatever the client asks for. Only a directory right below the root is read.
name=${{SSH_ORIGINAL_COMMAND#"git-upload-pack '/"}}
if [ "git-upload-pack '/$name" = "$SSH_ORIGINAL_COMMAND" ]; then
  name=${{name%"'"}}
  name=${{name%.git}}
  case "$name" in
    "" | .* | *[!A-Za-z0-9_.-]*) ;;
    *) [ -d "{root}/$name/.git" ] && exec git -c 'safe.directory=*' upload-pack --strict "{root}/$name/.git" ;;
  esac
fi
echo "only git-upload-pack of a repository is served here" >&2
exit 128
"""


def root(world: World) -> Path:
    """Where this test's repository lies, for one more server of it."""
    return world.repository.directory.parent


def give(world: World, **data: str) -> None:
    """Make or replace this test's Secret; `ca_crt="…"` becomes `ca.crt`, as do `tls_crt` and `tls_key`."""
    dotted = {name.replace("_crt", ".crt").replace("_key", ".key"): value for name, value in data.items()}
    code, answer = world.api.apply(world.path("secrets", SECRET), secret(SECRET, dotted))
    assert code < 300, answer


def follow(world: World, url: str, *, secret: str | None = SECRET, timeout: str = "10s") -> None:
    """Declare the ClusterState on that address, with the credentials of a Secret."""
    reference = {"secretRef": {"name": secret}} if secret else {}
    world.declare(git={"url": url, "timeout": timeout, **reference})


class Sshd:
    """OpenSSH's own server, run by this user for this user; it serves what `SshServer` serves."""

    def __init__(self, root: Path, directory: Path, *, authorized: Iterable[str]) -> None:
        """
        Args:
            root: where the repositories are.
            directory: for its files; made.
            authorized: public keys that may log in, as lines of authorized_keys(5).
        """
        directory.mkdir(mode=0o700)
        self._directory = directory
        self._host = SshIdentity.make()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        files = {"host_key": self._host.private, "authorized_keys": "\n".join(authorized), "serve": _FORCED.format(root=root)}
        for name, content in files.items():
            (directory / name).touch(mode=0o700 if name == "serve" else 0o600)
            (directory / name).write_text(content)
        (directory / "config").write_text(_SSHD_CONFIG.format(port=self.port, directory=directory))

    def __enter__(self) -> Self:
        with (self._directory / "log").open("wb") as log:
            self._process = subprocess.Popen((SSHD, "-D", "-e", "-f", self._directory / "config"), stdout=log, stderr=log)
        until("sshd listens", lambda: "listening" in (self._directory / "log").read_text() or self._process.poll() is not None)
        assert self._process.poll() is None, (self._directory / "log").read_text()
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.terminate()
        self._process.wait(10)

    def url(self, name: str) -> str:
        """Where a repository is served."""
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}/{name}"

    @property
    def known_hosts(self) -> str:
        """The line of known_hosts(5) by which this server is recognised."""
        return f"[127.0.0.1]:{self.port} {self._host.public}\n"


def ssh_host(kind: str, root: Path, directory: Path, *, authorized: Iterable[str]) -> SshServer | Sshd:
    """A server of one of SSH_HOSTS; `directory` is for its files."""
    return Sshd(root, directory, authorized=authorized) if kind == "sshd" else SshServer(root, authorized=authorized)


@contextmanager
def silent_host() -> Iterator[str]:
    """A host that takes connections and says nothing; gives an ssh address on it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"ssh://git@127.0.0.1:{listening.getsockname()[1]}/none"


@contextmanager
def tls_for_the_known(tls: ssl.SSLContext) -> Iterator[int]:
    """A TLS server that greets nobody without a client certificate; gives its port. It says why it hangs up, which asyncio's TLS (3.11) does not."""

    def greet(listening: socket.socket) -> None:
        while True:
            try:
                plain, _ = listening.accept()
            except OSError:
                return  # closed
            with tls.wrap_socket(plain, server_side=True, do_handshake_on_connect=False) as secure:
                with suppress(OSError):
                    secure.do_handshake()
                with suppress(OSError):  # a reset, which bytes that nobody read would make of the end, would swallow the alert
                    secure.shutdown(socket.SHUT_WR)
                    secure.settimeout(2)
                    while secure.recv(4096):
                        pass

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=greet, args=(listening,), name="tls server")
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


@dataclass(frozen=True)
class GitClient:
    """The real git and the real ssh, which know nothing of this machine's user.

    Attributes:
        home: directory of their files; made if absent.
    """

    home: Path

    def clone(self, url: str, *options: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Clone into a new directory below home; options come before the command."""
        target = self.home / f"clone{len(list(self.home.glob('clone*')))}"
        return self.git(*options, "clone", "-q", url, str(target), **env)

    def git(self, *words: str, seconds: float = 20.0, **env: str) -> subprocess.CompletedProcess[str]:
        """Run git with an environment of its own.

        Raises:
            subprocess.TimeoutExpired: not done in time.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        ours = {"PATH": os.environ["PATH"], "HOME": str(self.home), "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_SYSTEM": os.devnull}
        return subprocess.run(("git", *words), env={**ours, **env}, capture_output=True, text=True, timeout=seconds)

    def ssh(self, identity: SshIdentity, known_hosts: str) -> str:
        """A command line of OpenSSH, for GIT_SSH_COMMAND, that trusts these hosts alone and asks nobody."""
        self.home.mkdir(parents=True, exist_ok=True)
        key, hosts = self.home / "id", self.home / "known_hosts"
        key.touch(mode=0o600)
        key.write_text(identity.private)
        hosts.write_text(known_hosts)
        options = {"IdentitiesOnly": "yes", "UserKnownHostsFile": hosts, "StrictHostKeyChecking": "yes", "BatchMode": "yes"}
        return shlex.join(("ssh", "-F", "none", "-i", str(key), *(f"-o{name}={value}" for name, value in options.items())))
