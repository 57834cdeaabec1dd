"""Whom libgit2 trusts over SSH and who we are, against a real SSH server on the loopback interface.

Aspects: a look with a key, plain or encrypted · hosts that known_hosts does not list, or lists with another key · each form of known_hosts · keys that
the server does not accept · where a name leads · what is missing. (C26, C30, C31 of the list of bad input.)
"""

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pygit2
import pytest
from pygit2.enums import CredentialType

from cvstate_operator import errors
from cvstate_operator.cli.demo.git_server import Repository
from cvstate_operator.cli.demo.ssh_server import SshServer
from cvstate_operator.objects.address import AddressPolicy
from cvstate_operator.source import ssh
from cvstate_operator.source.credentials import SshCredentials
from tests.support.credentials import SshIdentity, token
from tests.unit.source.looks import POLICY, look

US = SshIdentity.make()
STRANGER = SshIdentity.make()
_BOTH = CredentialType.SSH_KEY | CredentialType.SSH_MEMORY


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("git")
    Repository(root / "r").commit({"a.yaml": "a"})
    return root


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[SshServer]:
    with SshServer(root, authorized=[US.public]) as running:
        yield running


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, as a fetch child has it; libgit2 gets its old one back."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(pygit2.settings, "homedir", pygit2.settings.homedir)
    return home


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "r"


def asked(
    server: SshServer, cache: Path, *, name: str = "r", known_hosts: str | None = None, identity: str = US.private, **more: Any
) -> Any:
    """A look at a repository of the server, with a Secret."""
    data = {"identity": identity, "known_hosts": server.known_hosts if known_hosts is None else known_hosts, **more}
    return look(cache, server.url(name), secret="team/ssh", credentials=data)


def known(identity: SshIdentity, host: str) -> str:
    return f"{host} {identity.public}\n"


# -- a look --------------------------------------------------------------------------------------------------------------


def test_a_listed_host_is_asked_for_nothing_but_the_repository(server: SshServer, root: Path, cache: Path) -> None:
    before = len(server.commands)
    found = asked(server, cache)
    assert found["commit"] == (root / "r/.git/refs/heads/main").read_text().strip()
    assert set(server.commands[before:]) == {"git-upload-pack '/r'"}


def test_an_encrypted_key_is_opened_by_the_password(server: SshServer, cache: Path) -> None:
    assert asked(server, cache, identity=US.encrypted("open sesame").private, password="open sesame")["commit"]


def test_only_what_is_new_is_brought(root: Path, server: SshServer, cache: Path) -> None:
    upstream = Repository(root / "grows")
    known_commit = upstream.commit({"a.yaml": "a"})
    asked(server, cache, name="grows")
    newest = upstream.commit({"b.yaml": "b"})
    data = {"identity": US.private, "known_hosts": server.known_hosts}
    found = look(cache, server.url("grows"), secret="team/ssh", credentials=data, baseline=known_commit)
    assert found["commit"] == newest
    assert len(list(cache.glob("objects/pack/*.pack"))) == 2


def test_a_repository_that_is_not_there_is_a_failure_that_may_pass(server: SshServer, cache: Path) -> None:
    with pytest.raises(errors.FetchFailedError):
        asked(server, cache, name="none")


def test_a_server_that_is_not_there_is_a_failure_that_may_pass(root: Path, cache: Path) -> None:
    with SshServer(root, authorized=[US.public]) as gone:
        pass
    with pytest.raises(errors.FetchFailedError):
        asked(gone, cache)


# -- whom we trust ---------------------------------------------------------------------------------------------------------


def test_a_host_that_is_not_listed_gets_no_key_of_ours(server: SshServer, cache: Path) -> None:
    before = len(server.commands)
    with pytest.raises(errors.HostKeyUnknownError) as caught:
        asked(server, cache, known_hosts=known(STRANGER, "git.example.org"))
    assert f"ssh-keyscan -p {server.port} 127.0.0.1" in caught.value.message
    assert len(server.commands) == before


def test_a_host_that_shows_another_key_gets_no_key_of_ours(server: SshServer, cache: Path) -> None:
    before = len(server.commands)
    with pytest.raises(errors.HostKeyMismatchError) as caught:
        asked(server, cache, known_hosts=known(STRANGER, f"[127.0.0.1]:{server.port}"))
    assert "ssh-ed25519 SHA256:" in caught.value.message
    assert len(server.commands) == before


def test_one_good_line_among_others_is_enough(server: SshServer, cache: Path) -> None:
    lines = f"# hosts\n\n{known(STRANGER, 'other.example.org')}{server.known_hosts}\n{known(STRANGER, '[127.0.0.1]:1')}"
    assert asked(server, cache, known_hosts=lines)["commit"]


def test_a_hashed_line_counts_as_a_plain_one(server: SshServer, cache: Path, tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    file.write_text(server.known_hosts)
    subprocess.run(("ssh-keygen", "-q", "-H", "-f", file), check=True, capture_output=True)
    assert file.read_text().startswith("|1|")
    assert asked(server, cache, known_hosts=file.read_text())["commit"]


@pytest.mark.parametrize("known_hosts", ["", " \n"])
def test_without_known_hosts_nobody_is_recognised(server: SshServer, cache: Path, known_hosts: str) -> None:
    with pytest.raises(errors.HostKeyUnknownError, match="ssh-keyscan"):
        asked(server, cache, known_hosts=known_hosts)


@pytest.mark.parametrize("known_hosts", ["garbage", "[127.0.0.1]:1 ssh-ed25519 !!!", "|1|x|y ssh-ed25519 AAAA", "\x00\xff\x1b[2J"])
def test_known_hosts_that_cannot_be_read_recognise_nobody(server: SshServer, cache: Path, known_hosts: str) -> None:
    with pytest.raises(errors.CvstateError) as caught:
        asked(server, cache, known_hosts=known_hosts)
    assert isinstance(caught.value, errors.HostKeyUnknownError)
    assert caught.value.message.isprintable()


def test_a_revoked_key_recognises_nobody(server: SshServer, cache: Path) -> None:
    with pytest.raises(errors.HostKeyUnknownError):
        asked(server, cache, known_hosts=f"{server.known_hosts}\n@revoked * {server.known_hosts.split(' ', 1)[1]}")


# -- who we are ------------------------------------------------------------------------------------------------------------


def test_a_key_that_the_server_does_not_accept_is_told_without_the_key(server: SshServer, cache: Path) -> None:
    canary = token()
    with pytest.raises(errors.AuthFailedError) as caught:
        asked(server, cache, identity=STRANGER.encrypted(canary).private, password=canary)
    assert "127.0.0.1 does not accept the key for user git" in caught.value.message
    assert canary not in caught.value.message


def test_a_server_that_asks_twice_on_one_connection_is_not_answered_twice() -> None:
    callbacks = ssh.SshCallbacks("ssh://me@h.example.org/r", SshCredentials(US.private, "", b""), 2**40)
    assert isinstance(callbacks.credentials("ssh://h", "me", _BOTH), pygit2.KeypairFromMemory)
    with pytest.raises(errors.AuthFailedError):
        callbacks.credentials("ssh://h", "me", _BOTH)
    assert isinstance(callbacks.failure, errors.AuthFailedError)


def test_each_connection_may_ask_once() -> None:
    callbacks = ssh.SshCallbacks("ssh://me@h.example.org/r", SshCredentials(US.private, "", b""), 2**40)
    for _ in range(2):
        assert callbacks.certificate_check(None, True, b"h.example.org")
        assert callbacks.credentials("ssh://h", "me", _BOTH)
    assert callbacks.failure is None


# -- where it leads --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1", "127.0.0.1"])
def test_a_name_that_leads_where_it_may_not_is_refused_before_connecting(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: [(0, 0, 0, "", ("192.0.2.1", 22)), (0, 0, 0, "", (address, 22))])
    with pytest.raises(errors.URLNotAllowedError):
        ssh.prepare("ssh://git@innocent.example.org/r", SshCredentials(US.private, "", known(STRANGER, "*").encode()), AddressPolicy())


def test_the_address_that_was_judged_is_the_one_that_is_asked(server: SshServer, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """C26: a name that leads elsewhere the second time gets nothing from it."""
    addresses = iter(["127.0.0.1", "192.0.2.1", "192.0.2.1"])
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: [(0, 0, 0, "", (next(addresses), server.port))])
    data = {"identity": US.private, "known_hosts": known(STRANGER, "git.example.org")}
    url = server.url("r").replace("127.0.0.1", "git.example.org")
    with pytest.raises(errors.HostKeyMismatchError, match=r"git\.example\.org shows another"):
        look(cache, url, secret="team/ssh", credentials={**data, "known_hosts": known(STRANGER, f"[git.example.org]:{server.port}")})
    addresses = iter(["127.0.0.1", "192.0.2.1", "192.0.2.1"])
    listed = server.known_hosts.replace("127.0.0.1", "git.example.org")
    assert look(cache, url, secret="team/ssh", credentials={**data, "known_hosts": listed})["commit"]


def test_of_several_addresses_the_first_that_answers_is_taken(server: SshServer, monkeypatch: pytest.MonkeyPatch) -> None:
    really = socket.getaddrinfo
    found = [*really("127.0.0.9", server.port, type=socket.SOCK_STREAM), *really("127.0.0.1", server.port, type=socket.SOCK_STREAM)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *args, **kwargs: found if "git" in host else really(host, *args, **kwargs))
    credentials = SshCredentials(US.private, "", known(STRANGER, "*").encode())
    url = ssh.prepare(f"ssh://git@git.example.org:{server.port}/r", credentials, POLICY)
    assert url == f"ssh://git@127.0.0.1:{server.port}/r"


def test_a_name_that_leads_nowhere_is_a_failure_that_may_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(errors.FetchFailedError, match="cannot resolve"):
        ssh.prepare("ssh://git@gone.example.org/r", SshCredentials(US.private, "", known(STRANGER, "*").encode()), POLICY)


def test_no_key_is_ever_written_to_a_file(server: SshServer, cache: Path, home: Path) -> None:
    asked(server, cache)
    written = [path for path in (*home.rglob("*"), *cache.rglob("*")) if path.is_file()]
    assert home / ".ssh" / "known_hosts" in written
    assert not [path for path in written if b"PRIVATE KEY" in path.read_bytes()]
