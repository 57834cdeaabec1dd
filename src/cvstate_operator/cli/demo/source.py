"""The source: where the demo's repository is served, and what the operator needs to read it.

Everything is on the loopback interface and ends with the demo; the key pairs are made on the spot and are known to nobody else.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cvstate_operator.cli.demo.git_server import GitServer, Repository
from cvstate_operator.cli.demo.wish import Transport
from cvstate_operator.errors import SettingsError

SECRET: Final = "git-auth"  # noqa: S105 - its name
"""The Secret that `spec.source.git.secretRef` names, where the source needs one."""
REPOSITORY: Final = "webshop"


@dataclass(frozen=True, slots=True)
class Source:
    """A repository that is served."""

    transport: Transport
    repository: Repository
    url: str
    secret: Mapping[str, str] = field(default_factory=dict)
    """Entries of the Secret, by the names that the operator reads; empty if anybody may read."""


@contextmanager
def served(transport: Transport, root: Path) -> Iterator[Source]:
    """A new, empty repository below `root`, served for the duration of the block.

    Raises:
        SettingsError: the server's library is not installed.
    """
    if transport is Transport.SSH:
        with _over_ssh(root) as source:
            yield source
    else:
        with GitServer(root) as server:
            yield Source(transport, server.repository(REPOSITORY), server.url(REPOSITORY))


def check(transport: Transport) -> None:
    """See that it can be served here.

    Raises:
        SettingsError: the server's library is not installed.
    """
    if transport is not Transport.SSH:
        return
    try:
        import asyncssh  # noqa: F401 - not a dependency of the package, only of a checkout: of all its parts the demo alone serves SSH
    except ModuleNotFoundError as exc:
        raise SettingsError("--git ssh needs the Python package asyncssh; install it (pip install asyncssh), or use --git http") from exc


@contextmanager
def _over_ssh(root: Path) -> Iterator[Source]:
    check(Transport.SSH)
    import asyncssh

    from cvstate_operator.cli.demo.ssh_server import SshServer

    key = asyncssh.generate_private_key("ssh-ed25519")
    with SshServer(root, authorized=[key.export_public_key().decode()]) as server:
        secret = {"identity": key.export_private_key().decode(), "known_hosts": server.known_hosts}
        yield Source(Transport.SSH, Repository(root / REPOSITORY), server.url(REPOSITORY), secret)
