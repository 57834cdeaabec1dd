"""The Git hosts of tests and demo, asked by git, OpenSSH and libgit2 themselves: what our operator is tried on behaves as the real thing does.

Aspects: https, certificates, users · ssh: who may log in, and for what · each fault is one that git notices as well. No cluster is needed.
"""

import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pygit2
import pytest

from cvstate_operator.cli.demo.git_server import GitServer, Repository
from cvstate_operator.cli.demo.ssh_server import SshServer
from tests.support import faulty_git
from tests.support.credentials import Authority, SshIdentity, basic, bearer, server_tls
from tests.support.faulty_git import Fault, FaultyGit
from tests.support.git_hosts import GitClient


@pytest.fixture
def client(tmp_path: Path) -> GitClient:
    return GitClient(tmp_path / "client")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "git" / "a")
    made.commit({"big": "".join(f"line {number}\n" for number in range(50_000))})
    return made


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def test_everybody_may_read_over_http(tmp_path: Path, client: GitClient, repository: Repository):
    with GitServer(tmp_path / "git") as server:
        assert client.clone(server.url("a")).returncode == 0
        assert client.clone(server.url("b")).returncode != 0
        assert {request.scheme for request in server.asked("a")} == {None}
        assert [request.path for request in server.asked("b")] == ["/b/info/refs"]


def test_a_pack_larger_than_any_buffer_comes_whole(tmp_path: Path, client: GitClient, repository: Repository):
    noise = "".join(f"{number * 2654435761 % 2**32:08x}{number * 40503 % 65521:04x}\n" for number in range(400_000))
    repository.commit({"noise": noise})
    with GitServer(tmp_path / "git") as server:
        assert client.clone(server.url("a")).returncode == 0
    assert (client.home / "clone0" / "noise").read_text() == noise


def test_https_needs_the_authority(tmp_path: Path, client: GitClient, repository: Repository, authority: Authority):
    bundle = tmp_path / "ca.crt"
    bundle.write_text(authority.certificate)
    with GitServer(tmp_path / "git", tls=server_tls(authority.issue("127.0.0.1"))) as server:
        assert client.clone(server.url("a"), GIT_SSL_CAINFO=str(bundle)).returncode == 0
        assert "certificate" in client.clone(server.url("a")).stderr
        assert "certificate" in client.clone(server.url("a", host="localhost"), GIT_SSL_CAINFO=str(bundle)).stderr


def test_a_client_certificate_can_be_asked_for(tmp_path: Path, client: GitClient, repository: Repository, authority: Authority):
    bundle, own = tmp_path / "ca.crt", tmp_path / "own"
    bundle.write_text(authority.certificate)
    pair = authority.issue()
    own.write_text(pair.certificate + pair.key)
    with GitServer(tmp_path / "git", tls=server_tls(authority.issue("127.0.0.1"), clients=authority)) as server:
        assert client.clone(server.url("a"), GIT_SSL_CAINFO=str(bundle)).returncode != 0
        assert client.clone(server.url("a"), GIT_SSL_CAINFO=str(bundle), GIT_SSL_CERT=str(own), GIT_SSL_KEY=str(own)).returncode == 0


@pytest.mark.parametrize("wanted", [basic("jane", "secret"), bearer("secret")], ids=["basic", "bearer"])
def test_only_the_right_credentials_are_let_in(tmp_path: Path, client: GitClient, repository: Repository, wanted: str):
    with GitServer(tmp_path / "git", authorization=wanted) as server:
        assert client.clone(server.url("a")).returncode != 0
        assert client.clone(server.url("a"), "-c", f"http.extraHeader=Authorization: {wanted}x").returncode != 0
        assert client.clone(server.url("a"), "-c", f"http.extraHeader=Authorization: {wanted}").returncode == 0
        assert server.requests[-1].scheme == wanted.split()[0]


def test_a_redirect_is_followed_by_git(tmp_path: Path, client: GitClient, repository: Repository):
    with GitServer(tmp_path / "git") as old, GitServer(tmp_path / "git") as new:
        old.redirects["/moved"] = new.url("a")
        assert client.clone(old.url("moved")).returncode == 0
        assert new.asked("a")


# -- ssh -------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def jane() -> SshIdentity:
    return SshIdentity.make()


@pytest.fixture
def host(tmp_path: Path, repository: Repository, jane: SshIdentity) -> Iterator[SshServer]:
    with SshServer(tmp_path / "git", authorized=[jane.public]) as server:
        yield server


@pytest.mark.parametrize("passphrase", ["", "hush"], ids=["plain", "encrypted"])
def test_libgit2_reads_over_ssh(tmp_path: Path, host: SshServer, repository: Repository, jane: SshIdentity, passphrase: str):
    identity = jane.encrypted(passphrase) if passphrase else jane

    class Callbacks(pygit2.RemoteCallbacks):
        def credentials(self, url: object, user: str | None, allowed: object) -> pygit2.KeypairFromMemory:
            return pygit2.KeypairFromMemory(user, None, identity.private, passphrase)

        def certificate_check(self, certificate: object, valid: bool, host: bytes) -> bool:
            return True

    bare = pygit2.init_repository(str(tmp_path / "bare"), bare=True)
    bare.remotes.create_anonymous(host.url("a")).fetch(["+refs/heads/main:refs/heads/main"], callbacks=Callbacks())
    assert str(bare.references["refs/heads/main"].target) == repository.git("rev-parse", "main").strip()


def test_openssh_reads_what_it_may_and_nothing_else(client: GitClient, host: SshServer, jane: SshIdentity):
    ssh = client.ssh(jane, host.known_hosts)
    assert client.clone(host.url("a"), GIT_SSH_COMMAND=ssh).returncode == 0
    assert client.clone(f"{host.url('a')}.git", GIT_SSH_COMMAND=ssh).returncode == 0
    assert client.git("-C", str(client.home / "clone0"), "push", host.url("a"), "HEAD:refs/heads/x", GIT_SSH_COMMAND=ssh).returncode != 0
    for url in (host.url("b"), host.url("../a"), host.url("a/../../git/a")):
        assert client.clone(url, GIT_SSH_COMMAND=ssh).returncode != 0


@pytest.mark.parametrize(
    "command", ["", "id", "git-upload-pack /", "git-upload-pack 'a' 'b'", "git-receive-pack '/a'", "git-upload-pack '/a"]
)
def test_no_other_command_is_run(client: GitClient, host: SshServer, jane: SshIdentity, command: str):
    words = (*shlex.split(client.ssh(jane, host.known_hosts)), "-T", "-p", str(host.port), "git@127.0.0.1", *filter(None, (command,)))
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=20)
    assert done.returncode == 128
    assert done.stdout == b""
    assert host.commands == [command or None]


def test_a_stranger_is_not_let_in(client: GitClient, host: SshServer):
    stranger = client.ssh(SshIdentity.make(), host.known_hosts)
    assert "Permission denied" in client.clone(host.url("a"), GIT_SSH_COMMAND=stranger).stderr
    assert host.commands == []


def test_openssh_tells_the_host_by_its_key(client: GitClient, host: SshServer, jane: SshIdentity):
    assert "verification failed" in client.clone(host.url("a"), GIT_SSH_COMMAND=client.ssh(jane, "")).stderr
    other = f"[127.0.0.1]:{host.port} {SshIdentity.make().public}"
    assert "IDENTIFICATION HAS CHANGED" in client.clone(host.url("a"), GIT_SSH_COMMAND=client.ssh(jane, other)).stderr


# -- faults -----------------------------------------------------------------------------------------------------------------

NOTICED: dict[str, tuple[Fault, str]] = {
    "pack-cut-short": (faulty_git.truncated, "RPC failed"),
    "pack-corrupt": (faulty_git.corrupt, "inflate"),
    "pack-corrupt-but-sealed": (faulty_git.resealed, "inflate"),
    "pack-with-wrong-checksum": (faulty_git.wrong_checksum, "final sha1 did not match"),
    "commit-not-there": (faulty_git.wrong_hash, "0123456789abcdef"),
    "server-error": (faulty_git.status(500), "500"),
    "redirect-to-a-file": (faulty_git.redirect("file:///etc/passwd?"), "file"),
}


@pytest.mark.parametrize(("fault", "says"), NOTICED.values(), ids=NOTICED.keys())
def test_git_notices_the_fault_too(tmp_path: Path, client: GitClient, repository: Repository, fault: Fault, says: str):
    with FaultyGit(tmp_path / "git") as server:
        assert client.clone(server.url("a"), "-c", "protocol.version=0").returncode == 0
        server.fault = fault
        done = client.clone(server.url("a"), "-c", "protocol.version=0")
    assert done.returncode != 0
    assert says in done.stderr


def test_git_takes_a_friendly_page_for_an_empty_repository(tmp_path: Path, client: GitClient, repository: Repository):
    with FaultyGit(tmp_path / "git") as server:
        server.fault = faulty_git.html
        assert "empty repository" in client.clone(server.url("a")).stderr


@pytest.mark.parametrize("fault", [faulty_git.hang, faulty_git.drip, faulty_git.endless])
def test_git_waits_for_ever(tmp_path: Path, client: GitClient, repository: Repository, fault: Fault):
    with FaultyGit(tmp_path / "git") as server:
        server.fault = fault
        with pytest.raises(subprocess.TimeoutExpired):
            client.git("ls-remote", server.url("a"), seconds=1.0)
