"""Transports on a real operator and API server: what a Secret holds is enough to read the repository, what it lacks is named, and none of it ever shows.

Aspects: https and its certificates · user, password, token · ssh, its keys and host keys · a Secret that is missing or mended · redirects · where credentials
must not be found · how often a server is asked. (C27, C30–C35: C31 changed host key, C32 unusable key, C33 certificates, C34 CA bundles of the list of bad input.)
"""

import base64
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from cvstate_operator.cli.demo.git_server import GitServer
from cvstate_operator.cli.demo.ssh_server import SshServer
from tests.support.credentials import Authority, SshIdentity, basic, bearer, self_signed, server_tls, token
from tests.support.faulty_git import FaultyGit, hang
from tests.support.git_hosts import SECRET, follow, give, root, silent_host, tls_for_the_known
from tests.support.objects import config_map, text
from tests.support.waiting import until
from tests.support.world import World

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def commit(world: World) -> str:
    """The commit that is to be applied."""
    return world.commit({"a.yaml": text(config_map("a", k="v"))})


# -- https -------------------------------------------------------------------------------------------------------------------


def test_https_with_the_authority_of_the_secret(world: World, commit: str, authority: Authority):
    give(world, ca_crt=authority.certificate)
    with GitServer(root(world), tls=server_tls(authority.issue("127.0.0.1"))) as server:
        follow(world, server.url(world.name))
        world.wait_applied(commit)


def test_the_name_in_the_certificate_counts(world: World, commit: str, authority: Authority):
    give(world, ca_crt=authority.certificate)
    with GitServer(root(world), tls=server_tls(authority.issue("localhost"))) as server:
        follow(world, server.url(world.name))
        world.wait_failed("TLSInvalid", mentions=f"127.0.0.1:{server.port}", kind="SourceReady")
        follow(world, server.url(world.name, host="localhost"))
        world.wait_applied(commit)


@pytest.mark.parametrize("is_self_signed", [False, True], ids=["of-an-unknown-authority", "self-signed"])
def test_a_certificate_is_refused_until_the_secret_vouches_for_it(world: World, commit: str, authority: Authority, is_self_signed: bool):
    shown = self_signed("127.0.0.1") if is_self_signed else authority.issue("127.0.0.1")
    give(world, username="jane", password=(password := token()))
    with GitServer(root(world), tls=server_tls(shown), authorization=basic("jane", password)) as server:
        follow(world, server.url(world.name))
        world.wait_failed("TLSInvalid", mentions="ca.crt in the Secret", kind="SourceReady")
        assert server.requests == []
        give(world, username="jane", password=password, ca_crt=shown.certificate if is_self_signed else authority.certificate)
        world.wait_applied(commit)


def test_an_expired_certificate_is_refused(world: World, commit: str, authority: Authority):
    give(world, ca_crt=authority.certificate)
    with GitServer(root(world), tls=server_tls(authority.issue("127.0.0.1", valid=-timedelta(hours=1)))) as server:
        follow(world, server.url(world.name))
        world.wait_failed("TLSInvalid", mentions="expired", kind="SourceReady")
        world.wait_failed("TLSInvalid", mentions="expired")


def test_a_server_that_wants_a_client_certificate_gets_it(world: World, commit: str, authority: Authority):
    tls, ours = server_tls(authority.issue("127.0.0.1"), clients=authority), authority.issue()
    give(world, ca_crt=authority.certificate, tls_crt=ours.certificate, tls_key=ours.key)
    with GitServer(root(world), tls=tls) as server:
        follow(world, server.url(world.name))
        world.wait_applied(commit)


def test_a_client_certificate_that_nobody_gave_is_asked_for(world: World, authority: Authority):
    give(world, ca_crt=authority.certificate)
    with tls_for_the_known(server_tls(authority.issue("127.0.0.1"), clients=authority)) as port:
        follow(world, f"https://127.0.0.1:{port}/{world.name}")
        world.wait_failed("TLSInvalid", mentions="client certificate", kind="SourceReady")


def test_plain_http_on_a_tls_port_is_told(world: World, commit: str):
    follow(world, world.git.url(world.name).replace("http://", "https://"), secret=None)
    world.wait_failed("TLSInvalid", mentions="does it speak TLS", kind="SourceReady")


# -- users -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["Basic", "Bearer"])
def test_wrong_credentials_are_told_and_a_mended_secret_is_noticed(world: World, commit: str, authority: Authority, kind: str):
    right, wrong = token(), token()
    wanted = basic("jane", right) if kind == "Basic" else bearer(right)

    def hand(value: str) -> None:
        keys = {"username": "jane", "password": value} if kind == "Basic" else {"bearerToken": value}
        give(world, ca_crt=authority.certificate, **keys)

    hand(wrong)
    with GitServer(root(world), tls=server_tls(authority.issue("127.0.0.1")), authorization=wanted) as server:
        follow(world, server.url(world.name))
        world.wait_failed("AuthFailed", mentions="does not accept the credentials", kind="SourceReady")
        assert wrong not in world.wait_failed("AuthFailed", mentions="spec.source.git.secretRef")["message"]
        hand(right)
        world.wait_applied(commit)
        assert {request.scheme for request in server.requests} == {kind}


def test_a_server_that_wants_credentials_that_nobody_gave_is_told(world: World, commit: str):
    with GitServer(root(world), authorization=basic("jane", "secret")) as server:
        follow(world, server.url(world.name), secret=None)
        world.wait_failed("AuthFailed", mentions="wants credentials", kind="SourceReady")


def test_what_was_applied_stays_when_the_credentials_expire(world: World, commit: str):
    give(world, bearerToken=(old := token()))
    with GitServer(root(world), authorization=bearer(old)) as server:
        follow(world, server.url(world.name))
        world.wait_applied(commit)
        mark = world.cluster.audit.mark()
        server.authorization = bearer(new := token())
        world.wait_failed("AuthFailed", kind="SourceReady")
        assert world.writes(mark) == []
        world.api.merge(world.path("configmaps", "a"), {"data": {"k": "drifted"}}, manager="somebody")
        until("the drift is repaired", lambda: (world.api.get(world.path("configmaps", "a")) or {}).get("data") == {"k": "v"})
        give(world, bearerToken=new)
        until("the source is read again", lambda: world.condition("SourceReady").get("status") == "True")


def test_a_missing_secret_is_named_and_awaited(world: World, commit: str):
    with GitServer(root(world), authorization=bearer(value := token())) as server:
        follow(world, server.url(world.name))
        world.wait_failed("ReferenceMissing", mentions=f"{world.name}/{SECRET}", kind="SourceReady")
        assert server.requests == []
        give(world, bearerToken=value)
        world.wait_applied(commit)


BAD_SECRETS: dict[str, tuple[dict[str, str], str]] = {
    "password-without-user": ({"password": "x"}, "key username"),
    "user-without-password": ({"username": "x"}, "key password"),
    "token-and-password": ({"username": "x", "password": "x", "bearerToken": "x"}, "key bearerToken"),
    "token-of-two-lines": ({"bearerToken": "a\r\nX-Evil: b"}, "key bearerToken"),
    "authority-that-is-none": ({"ca_crt": "nonsense"}, "key ca.crt"),
    "authority-that-is-empty": ({"ca_crt": ""}, "key ca.crt"),
    "authority-with-its-key": ({"ca_crt": "-----BEGIN PRIVATE KEY-----\n"}, "key ca.crt holds a private key"),
    "certificate-without-key": ({"tls_crt": "nonsense"}, "key tls.key"),
}


@pytest.mark.parametrize(("data", "named"), BAD_SECRETS.values(), ids=BAD_SECRETS.keys())
def test_a_secret_that_cannot_be_meant_is_told_by_key(world: World, commit: str, data: dict[str, str], named: str):
    give(world, **data)
    with GitServer(root(world)) as server:
        follow(world, server.url(world.name))
        world.wait_failed("InvalidSpec", mentions=named, kind="SourceReady")
        assert server.requests == []


# -- ssh ---------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def jane() -> SshIdentity:
    return SshIdentity.make()


@pytest.fixture
def host(world: World, jane: SshIdentity) -> Iterator[SshServer]:
    with SshServer(root(world), authorized=[jane.public]) as server:
        yield server


def test_ssh_with_a_key_and_known_hosts(world: World, commit: str, host: SshServer, jane: SshIdentity):
    give(world, identity=jane.private, known_hosts=host.known_hosts, **{"identity.pub": jane.public})
    follow(world, host.url(world.name))
    world.wait_applied(commit)
    world.wait_applied(world.commit({"b.yaml": text(config_map("b", k="v"))}))


def test_ssh_with_an_encrypted_key(world: World, commit: str, host: SshServer, jane: SshIdentity):
    locked = jane.encrypted("hush")
    give(world, identity=locked.private, known_hosts=host.known_hosts, password="wrong")
    follow(world, host.url(world.name))
    world.wait_failed("AuthFailed", mentions="password", kind="SourceReady")
    give(world, identity=locked.private, known_hosts=host.known_hosts, password="hush")
    world.wait_applied(commit)


@pytest.mark.parametrize("known", ["", "elsewhere {key}"], ids=["absent", "another-host"])
def test_an_unknown_host_is_never_logged_in_to(world: World, commit: str, host: SshServer, jane: SshIdentity, known: str):
    key = host.known_hosts.split(" ", 1)[1]
    give(world, identity=jane.private, known_hosts=known.format(key=key))
    follow(world, host.url(world.name))
    world.wait_failed("HostKeyUnknown", mentions="ssh-keyscan", kind="SourceReady")
    assert host.commands == []
    give(world, identity=jane.private, known_hosts=host.known_hosts)
    world.wait_applied(commit)


def test_a_host_whose_key_changed_is_never_logged_in_to(world: World, commit: str, jane: SshIdentity):
    with SshServer(root(world), authorized=[jane.public]) as first:
        give(world, identity=jane.private, known_hosts=first.known_hosts)
        follow(world, first.url(world.name))
        world.wait_applied(commit)
    with SshServer(root(world), authorized=[jane.public], port=first.port) as second:
        world.wait_failed("HostKeyMismatch", mentions="another host key", kind="SourceReady")
        assert second.commands == []
        give(world, identity=jane.private, known_hosts=second.known_hosts)
        until("the source is read again", lambda: world.condition("SourceReady").get("status") == "True")


def test_a_key_that_the_host_does_not_know_is_told(world: World, commit: str, host: SshServer, jane: SshIdentity):
    give(world, identity=SshIdentity.make().private, known_hosts=host.known_hosts)
    follow(world, host.url(world.name))
    world.wait_failed("AuthFailed", mentions="does not accept the key", kind="SourceReady")
    assert host.commands == []
    give(world, identity=jane.private, known_hosts=host.known_hosts)
    world.wait_applied(commit)


def weak() -> str:
    """A key that is easily broken."""
    key = rsa.generate_private_key(65537, 1024)  # noqa: S505 - that it is weak is the point
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


UNUSABLE: dict[str, tuple[Callable[[], str], str]] = {
    "nonsense": (lambda: "nonsense", "is no private key"),
    "public": (lambda: SshIdentity.make().public, "is a public key"),
    "encrypted": (lambda: SshIdentity.make().encrypted("hush").private, "is encrypted"),
    "rsa-1024": (weak, "is too weak"),
}


@pytest.mark.parametrize(("identity", "says"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_a_key_that_cannot_be_used_is_told_before_the_host_is_asked(
    world: World, commit: str, host: SshServer, identity: Callable[[], str], says: str
):
    give(world, identity=identity(), known_hosts=host.known_hosts)
    follow(world, host.url(world.name))
    world.wait_failed("AuthFailed", mentions=f"key identity {says}", kind="SourceReady")
    assert host.commands == []


def test_ssh_without_a_secret_is_told(world: World, commit: str, host: SshServer):
    follow(world, host.url(world.name), secret=None)
    world.wait_failed("InvalidSpec", mentions="secretRef", kind="SourceReady")


def test_a_repository_that_is_not_on_the_host_is_told(world: World, commit: str, host: SshServer, jane: SshIdentity):
    give(world, identity=jane.private, known_hosts=host.known_hosts)
    follow(world, host.url("none"))
    world.wait_failed("FetchFailed", mentions=host.url("none"), kind="SourceReady")


# -- other hosts -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"], ids=["another-port", "another-name"])
def test_credentials_never_go_where_a_redirect_leads(world: World, commit: str, host: str):
    give(world, bearerToken=(value := token()))
    with GitServer(root(world), authorization=bearer(value)) as named, GitServer(root(world)) as other:
        named.redirects[f"/{world.name}"] = other.url(world.name, host=host)
        follow(world, named.url(world.name))
        world.wait_failed("FetchFailed", mentions="redirects to", kind="SourceReady")
        assert other.requests == []
        assert named.requests
        del named.redirects[f"/{world.name}"]
        world.wait_applied(commit)


def test_a_redirect_never_leaves_tls(world: World, commit: str, authority: Authority):
    give(world, bearerToken=(value := token()), ca_crt=authority.certificate)
    with GitServer(root(world), tls=server_tls(authority.issue("127.0.0.1"))) as safe, GitServer(root(world)) as clear:
        safe.redirects[f"/{world.name}"] = clear.url(world.name)
        follow(world, safe.url(world.name))
        world.wait_failed("FetchFailed", mentions="redirects to http://127.0.0.1", kind="SourceReady")
        assert clear.requests == []
    assert value not in world.condition("SourceReady")["message"]


def test_a_redirect_within_the_host_is_followed(world: World, commit: str):
    give(world, bearerToken=(value := token()))
    with GitServer(root(world), authorization=bearer(value)) as server:
        server.redirects["/old"] = f"/{world.name}"
        follow(world, server.url("old"))
        world.wait_applied(commit)
        assert {request.scheme for request in server.asked(world.name)} == {"Bearer"}


def test_two_of_one_repository_fetch_once(world: World):
    commit = world.repository.commit({f"{name}/a.yaml": text(config_map(name, k="v")) for name in ("first", "second")})
    give(world, bearerToken=(value := token()))
    with GitServer(root(world), authorization=bearer(value)) as server:
        source = {"url": server.url(world.name), "secretRef": {"name": SECRET}, "interval": "1h"}
        world.declare("first", git={**source, "path": "first"})
        world.wait_applied(commit, "first")
        packs = [request for request in server.requests if request.method == "POST"]
        assert packs
        world.declare("second", git={**source, "path": "second"})
        world.wait_applied(commit, "second")
        assert [request for request in server.requests if request.method == "POST"] == packs


# -- nothing shows -----------------------------------------------------------------------------------------------------------


def spellings(value: str) -> tuple[str, ...]:
    """How a secret may appear: as it is, in base64 as in a Secret, and as the header that it makes."""
    return (value, base64.b64encode(value.encode()).decode(), basic("jane", value).split()[1])


def found(text: str, secrets: tuple[str, ...]) -> list[str]:
    return [secret for secret in secrets if secret in text]


def operator_processes(world: World) -> list[Path]:
    """The operator and everything that it started, as directories of /proc."""
    parents = {}
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            parents[directory.name] = (directory / "stat").read_text().rpartition(")")[2].split()[1]
            if f"--cache\0{world.operator.log.parent}/" in (directory / "cmdline").read_text():
                wanted = {directory.name}
        except OSError:
            continue  # gone meanwhile
    while more := {child for child, parent in parents.items() if parent in wanted} - wanted:
        wanted |= more
    return [Path("/proc", name) for name in sorted(wanted)]


def shown_by_processes(world: World) -> str:
    """What `ps` shows anybody of the operator and its children, and what their environment holds."""
    shown = []
    for process in operator_processes(world):
        for file in ("cmdline", "environ"):
            try:
                shown.append((process / file).read_bytes().decode(errors="replace"))
            except OSError:
                continue  # gone meanwhile
    return "\n".join(shown)


def shown_by_the_api(world: World) -> str:
    """Every object in this test's namespace but Secrets."""
    shown = []
    groups = ["api/v1", *(g["preferredVersion"]["groupVersion"] for g in world.api.request("GET", "/apis")[1]["groups"])]
    for group in groups:
        prefix = group if group == "api/v1" else f"apis/{group}"
        for resource in world.api.request("GET", f"/{prefix}")[1].get("resources", ()):
            if resource["namespaced"] and "list" in resource["verbs"] and resource["name"] != "secrets":
                shown.append(json.dumps(world.api.request("GET", f"/{prefix}/namespaces/{world.name}/{resource['name']}")[1]))
    assert {"ClusterStateList", "EventList", "ConfigMapList"} <= {json.loads(entry).get("kind") for entry in shown}
    return "\n".join(shown)


def shown_on_disk(world: World) -> str:
    """What is left in the operator's cache."""
    files = (file for file in (world.operator.log.parent / "cache").rglob("*") if file.is_file())
    return "\n".join(file.read_bytes().decode("latin-1") for file in files)


def assert_nothing_shows(world: World, secrets: tuple[str, ...]) -> None:
    assert found(json.dumps(world.api.get(world.path("secrets", SECRET))), secrets)  # so that we would find it elsewhere
    assert found(world.operator.log.read_text(), secrets) == []
    assert found(world.operator.http("/metrics")[1], secrets) == []
    assert found(shown_by_the_api(world), secrets) == []


@pytest.mark.parametrize("kind", ["password", "bearerToken"])
def test_a_password_or_token_shows_nowhere(world: World, commit: str, kind: str):
    value = token()
    give(world, **({"username": "jane", "password": value} if kind == "password" else {"bearerToken": value}))
    secrets = spellings(value)
    with FaultyGit(root(world)) as server:
        server.fault = hang
        follow(world, server.url(world.name), timeout="3s")
        until("the fetch is under way", lambda: server.requests and len(operator_processes(world)) >= 3)
        shown = shown_by_processes(world)
        assert "--kubeconfig" in shown
        assert found(shown, secrets) == []
        world.wait_failed("FetchTimeout", kind="SourceReady")
        server.fault, server.authorization = None, bearer("another")
        world.wait_failed("AuthFailed", kind="SourceReady")
        assert_nothing_shows(world, secrets)
        server.authorization = basic("jane", value) if kind == "password" else bearer(value)
        world.wait_applied(commit)
        assert_nothing_shows(world, secrets)
    assert found(shown_on_disk(world), secrets) == []


def test_a_key_and_its_passphrase_show_nowhere(world: World, commit: str, host: SshServer, jane: SshIdentity):
    passphrase = token()
    locked = jane.encrypted(passphrase)
    secrets = (*spellings(passphrase), *locked.private.splitlines()[1:4], *jane.private.splitlines()[1:4])
    give(world, identity=locked.private, known_hosts=f"* {host.known_hosts.split(' ', 1)[1]}", password=passphrase)
    with silent_host() as url:
        follow(world, url, timeout="3s")
        until("the fetch is under way", lambda: len(operator_processes(world)) >= 3)
        assert found(shown_by_processes(world), secrets) == []
        world.wait_failed("FetchTimeout", kind="SourceReady")
    follow(world, host.url(world.name))
    world.wait_applied(commit)
    assert_nothing_shows(world, secrets)
    assert found(shown_on_disk(world), secrets) == []
