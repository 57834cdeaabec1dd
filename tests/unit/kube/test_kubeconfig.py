"""Kubeconfigs from the Secrets of tenants.

Aspects: the three ways to say who we are · which context is meant · what would run, read, pose or trust is refused by its name · servers and their addresses · data in
base64 · what does not belong together · no value ever shows · TLS: authorities, client certificates, names · equality.
(C38 and C39 of the list of bad input; C24 and C25 for addresses.)
"""

import base64
import json
import ssl
from typing import Any

import pytest
import yaml

from cvstate_operator import errors
from cvstate_operator.kube import kubeconfig
from cvstate_operator.kube.kubeconfig import RemoteCluster
from cvstate_operator.objects.address import AddressPolicy
from tests.support.credentials import Authority, KeyPair, server_tls

WHERE = "Secret team-a/prod, key value"
STRICT = AddressPolicy()
LOCAL = AddressPolicy(insecure=True)
AUTHORITY = Authority()
PAIR = AUTHORITY.issue()
SERVER = "https://api.prod.example.org:6443"
TOKEN = {"token": "canary-token"}

Fields = dict[str, Any]


def encoded(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def config(*, cluster: Fields | None = None, user: Fields | None = None, **more: Any) -> Fields:
    """A kubeconfig as kubectl writes it; `cluster` is added to a server and its authority, `user` stands alone."""
    whole = {"server": SERVER, "certificate-authority-data": encoded(AUTHORITY.certificate), **(cluster or {})}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "preferences": {},
        "clusters": [{"name": "prod", "cluster": whole}],
        "users": [{"name": "applier", "user": TOKEN if user is None else user}],
        "contexts": [{"name": "prod", "context": {"cluster": "prod", "user": "applier", "namespace": "shop"}}],
        "current-context": "prod",
        **more,
    }


def read(document: Fields, policy: AddressPolicy = STRICT) -> RemoteCluster:
    plain = json.loads(json.dumps(document))  # without shared parts, which YAML would write as aliases
    return kubeconfig.read(yaml.safe_dump(plain).encode(), where=WHERE, policy=policy)


def refusal(document: Fields, policy: AddressPolicy = STRICT) -> errors.CvstateError:
    """Why it is refused; the message holds nothing of what is secret, and says what to do."""
    with pytest.raises((errors.KubeConfigInvalidError, errors.URLNotAllowedError)) as caught:
        read(document, policy)
    message = caught.value.message
    assert message.startswith(f"{WHERE}: ")
    assert message.isprintable()
    assert "; " in message
    assert "canary" not in message
    return caught.value


# -- what is taken -------------------------------------------------------------------------------------------------


def test_a_token_makes_a_bearer_header() -> None:
    found = read(config())
    assert (found.server, found.host, found.authorization) == (SERVER, "api.prod.example.org", "Bearer canary-token")
    assert found.ca == AUTHORITY.certificate.encode()
    assert found.where == WHERE


def test_user_and_password_make_a_basic_header() -> None:
    found = read(config(user={"username": "me", "password": "pä: x"}))
    assert found.authorization == "Basic " + encoded("me:pä: x")


def test_a_client_certificate_speaks_without_a_header() -> None:
    found = read(config(user={"client-certificate-data": encoded(PAIR.certificate), "client-key-data": encoded(PAIR.key)}))
    assert (found.client_cert, found.client_key, found.authorization) == (PAIR.certificate.encode(), PAIR.key.encode(), None)


def test_json_is_a_kubeconfig_too() -> None:
    found = kubeconfig.read(json.dumps(config()).encode(), where=WHERE, policy=STRICT)
    assert found == read(config())


@pytest.mark.parametrize("token", ["kubeconfig-u-abc:0123456789", "eyJh.bGci_-.x", "abcdef.0123456789abcdef"])
def test_tokens_of_many_makers_are_taken(token: str) -> None:
    assert read(config(user={"token": token})).token == token


def test_numbers_are_passwords_as_they_are_written() -> None:
    text = yaml.safe_dump(config(user={"username": "me", "password": "x"})).replace("password: x", "password: 0123")
    assert kubeconfig.read(text.encode(), where=WHERE, policy=STRICT).password == "0123"


def test_a_newline_at_the_end_of_a_value_is_a_slip() -> None:
    assert read(config(user={"token": "abc\n"})).token == "abc"


def test_base64_may_be_wrapped_into_lines() -> None:
    wrapped = base64.encodebytes(AUTHORITY.certificate.encode()).decode()
    assert "\n" in wrapped.strip()
    assert read(config(cluster={"certificate-authority-data": wrapped})).ca == AUTHORITY.certificate.encode()


def test_without_an_authority_the_system_s_are_asked() -> None:
    assert read(config(cluster={"certificate-authority-data": ""})).ca is None


def test_nothing_secret_is_in_the_repr() -> None:
    certificate = {"client-certificate-data": encoded(PAIR.certificate), "client-key-data": encoded(PAIR.key)}
    for user in (TOKEN, {"username": "canary-user", "password": "canary-password"}, certificate):
        shown = repr(read(config(user=user)))
        assert "canary" not in shown
        assert "PRIVATE" not in shown


def test_what_leads_to_the_same_server_as_the_same_user_is_equal() -> None:
    first, second = read(config()), kubeconfig.read(yaml.safe_dump(config()).encode(), where="elsewhere", policy=STRICT)
    assert first == second
    assert hash(first) == hash(second)
    assert first != read(config(user={"token": "other"}))


# -- which context is meant ----------------------------------------------------------------------------------------

BAD_USER = {"name": "other", "user": {"exec": {"command": "canary"}}}


def test_the_only_context_need_not_be_named() -> None:
    assert read(config(**{"current-context": ""})) == read(config())


def test_the_current_context_decides_and_what_others_hold_has_no_effect() -> None:
    document = config()
    document["users"].insert(0, BAD_USER)
    document["contexts"].insert(0, {"name": "other", "context": {"cluster": "prod", "user": "other"}})
    assert read(document) == read(config())
    document["current-context"] = "other"
    assert "users[0].user.exec" in refusal(document).message


CONTEXT = {"name": "prod", "context": {"cluster": "prod", "user": "applier"}}


@pytest.mark.parametrize(
    ("change", "mentions"),
    [
        pytest.param({"current-context": "", "contexts": [CONTEXT, {**CONTEXT, "name": "b"}]}, "2 contexts", id="two-and-none-is-current"),
        pytest.param({"current-context": "", "contexts": []}, "0 contexts", id="no-context"),
        pytest.param({"current-context": "canary"}, "current-context names none", id="a-context-that-is-not-there"),
        pytest.param({"contexts": [CONTEXT, CONTEXT]}, "2 times", id="two-of-one-name"),
        pytest.param({"contexts": [{"name": "prod", "context": {"cluster": "prod"}}]}, "contexts[0].context.user", id="without-a-user"),
        pytest.param(
            {"contexts": [{"name": "prod", "context": {"user": "applier"}}]}, "contexts[0].context.cluster", id="without-a-cluster"
        ),
        pytest.param({"clusters": None}, "none of the clusters", id="no-clusters"),
        pytest.param({"users": []}, "none of the users", id="no-users"),
        pytest.param({"users": {"applier": TOKEN}}, "users is no list", id="a-map-of-users"),
        pytest.param({"users": [TOKEN]}, "none of the users", id="users-without-names"),
        pytest.param({"users": ["canary"]}, "none of the users", id="users-that-are-texts"),
    ],
)
def test_what_does_not_lead_to_one_cluster_and_one_user_is_refused(change: Fields, mentions: str) -> None:
    assert mentions in refusal(config(**change)).message


@pytest.mark.parametrize("data", [b"", b"canary", b"- canary", b"[" * 50_000, b"a: &a [*a]", b"\xff", b"x" * (2**20 + 1), b"a: [canary"])
def test_what_is_no_kubeconfig_is_refused(data: bytes) -> None:
    with pytest.raises(errors.KubeConfigInvalidError) as caught:
        kubeconfig.read(data, where=WHERE, policy=STRICT)
    assert caught.value.message.startswith(f"{WHERE}: ")
    assert "canary" not in caught.value.message


# -- what is not done ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("exec", {"command": "canary", "apiVersion": "client.authentication.k8s.io/v1"}),
        ("auth-provider", {"name": "canary"}),
        ("client-certificate", "/canary/tls.crt"),
        ("client-key", "/canary/tls.key"),
        ("tokenFile", "/var/run/secrets/kubernetes.io/serviceaccount/token"),
        ("as", "system:admin"),
        ("as-uid", "canary"),
        ("as-groups", ["system:masters"]),
        ("as-user-extra", {"scopes": ["canary"]}),
        ("impersonate", "system:admin"),
        ("impersonate-groups", ["system:masters"]),
    ],
)
def test_what_a_user_may_not_ask_for_is_told_by_its_name(key: str, value: Any) -> None:
    refused = refusal(config(user={**TOKEN, key: value}))
    assert refused.reason == "KubeConfigInvalid"
    assert f"users[0].user.{key} is not allowed" in refused.message


@pytest.mark.parametrize(
    ("key", "value"),
    [("certificate-authority", "/canary/ca.crt"), ("insecure-skip-tls-verify", True), ("proxy-url", "http://canary:3128")],
)
def test_what_a_cluster_may_not_ask_for_is_told_by_its_name(key: str, value: Any) -> None:
    refused = refusal(config(cluster={key: value}))
    assert refused.reason == "KubeConfigInvalid"
    assert f"clusters[0].cluster.{key} is not allowed" in refused.message


@pytest.mark.parametrize(("part", "path"), [("cluster", "clusters[0].cluster"), ("user", "users[0].user")])
@pytest.mark.parametrize("key", ["canary-field", "Exec", "tokenfile", "<<"])
def test_what_nobody_knows_is_refused_and_not_repeated(part: str, path: str, key: str) -> None:
    fields = {"cluster": {key: "x"}} if part == "cluster" else {"user": {**TOKEN, key: "x"}}
    assert f"{path} has a field that is not known" in refusal(config(**fields)).message


def test_what_is_refused_may_stand_there_empty() -> None:
    cluster = {"insecure-skip-tls-verify": False, "certificate-authority": "", "proxy-url": None, "extensions": [{"name": "x"}]}
    document = config(cluster={**cluster, "disable-compression": True}, user={**TOKEN, "exec": None, "tokenFile": "", "as-groups": []})
    assert read(document) == read(config())


# -- the server ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("server", "host"),
    [
        ("https://api.example.org", "api.example.org"),
        ("https://API.example.org./", "api.example.org"),
        ("https://10.0.0.1:6443", "10.0.0.1"),
        ("https://[fd12::1]:6443", "fd12::1"),
        ("https://rancher.example.org/k8s/clusters/c-m-x1", "rancher.example.org"),
        ("https://prod_api.example.org", "prod_api.example.org"),
    ],
)
def test_plain_servers_are_taken(server: str, host: str) -> None:
    found = read(config(cluster={"server": server}))
    assert (found.server, found.host) == (server.rstrip("/"), host)


@pytest.mark.parametrize(
    "server",
    [
        "",
        "http://api.example.org",
        "api.example.org:6443",
        "https://",
        "https:///canary",
        "https://me:canary@api.example.org",
        "https://canary@api.example.org",
        "https://api.example.org?canary",
        "https://api.example.org#canary",
        "https://api.example.org:0",
        "https://api.example.org:65536",
        "https://api.example.org:canary",
        "https://api.example.org\\canary",
        "https://api.example.org /canary",
        "https://-api.example.org",
        "https://api..example.org",
        f"https://{'a' * 64}.example.org",
        f"https://{'a.' * 127}org",
        "https://127.1",
        "https://2130706433",
        "https://0x7f000001",
        "https://0177.0.0.1",
        "https://127.0.0.0x1",
        "https://[fe80::1%25eth0]",
        "https://[::1",
        "https://ünïcode.example.org",
        "unix:///canary.sock",
        "file:///canary",
    ],
)
def test_what_is_no_plain_https_server_is_refused(server: str) -> None:
    refused = refusal(config(cluster={"server": server}), LOCAL)
    assert refused.reason == "KubeConfigInvalid"
    assert "clusters[0].cluster.server" in refused.message


def test_a_server_of_two_lines_is_refused() -> None:
    assert "clusters[0].cluster.server" in refusal(config(cluster={"server": "https://a.example.org\r\nHost: canary"})).message


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "[::ffff:169.254.169.254]",
        "[fd00:ec2::254]",
        "100.100.100.200",
        "metadata.google.internal",
        "kubernetes",
        "kubernetes.default.svc",
        "KUBERNETES.default.svc.cluster.local.",
        "127.0.0.1",
        "[::1]",
        "localhost",
        "0.0.0.0",  # noqa: S104 - a URL's host, nothing is bound
    ],
)
def test_servers_that_only_the_operator_reaches_are_refused(host: str) -> None:
    refused = refusal(config(cluster={"server": f"https://{host}:6443"}))
    assert refused.reason == "URLNotAllowed"
    assert "clusters[0].cluster.server" in refused.message
    assert "--allow" not in refused.message, "no option allows such a server"


def test_the_operator_s_own_api_server_is_refused_by_its_address() -> None:
    policy = AddressPolicy(api_server="10.96.0.1")
    assert refusal(config(cluster={"server": "https://10.96.0.1"}), policy).reason == "URLNotAllowed"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_somebody_s_own_operator_may_go_to_his_own_machine(host: str) -> None:
    assert read(config(cluster={"server": f"https://{host}:6443"}), LOCAL).server == f"https://{host}:6443"


@pytest.mark.parametrize("name", ["canary name", "canary/x", ".canary", "-canary", "a" * 64, "*.canary"])
def test_a_server_name_that_is_none_is_refused(name: str) -> None:
    assert "clusters[0].cluster.tls-server-name" in refusal(config(cluster={"tls-server-name": name})).message


# -- credentials ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "mentions"),
    [
        pytest.param({}, "says nothing of who we are", id="nobody"),
        pytest.param({"token": ""}, "says nothing of who we are", id="empty-token"),
        pytest.param({"token": "canary token"}, "users[0].user.token", id="token-with-a-blank"),
        pytest.param({"token": "canary\r\nX-Evil: 1"}, "users[0].user.token", id="header-injection"),
        pytest.param({"token": "cänary"}, "users[0].user.token", id="token-beyond-ascii"),
        pytest.param({"token": ["canary"]}, "users[0].user.token is no text", id="a-list-as-token"),
        pytest.param({"username": "canary-user"}, "users[0].user.password", id="user-alone"),
        pytest.param({"password": "canary-password"}, "users[0].user.username", id="password-alone"),
        pytest.param({"username": "canary:user", "password": "x"}, "users[0].user.username", id="colon-in-user"),
        pytest.param({**TOKEN, "username": "canary-user", "password": "canary"}, "stands beside token", id="token-and-password"),
        pytest.param({"client-certificate-data": encoded(PAIR.certificate)}, "client-key-data is missing", id="certificate-alone"),
        pytest.param({"client-key-data": encoded(PAIR.key)}, "client-certificate-data is missing", id="key-alone"),
        pytest.param({"client-certificate-data": "canary!", "client-key-data": "eA=="}, "is no base64", id="no-base64"),
        pytest.param({"client-certificate-data": PAIR.certificate, "client-key-data": "eA=="}, "is no base64", id="pem-without-base64"),
        pytest.param(
            {"client-certificate-data": encoded("canary"), "client-key-data": "eA=="}, "holds no PEM certificate", id="no-certificate"
        ),
        pytest.param(
            {"client-certificate-data": encoded(PAIR.key), "client-key-data": "eA=="}, "holds a private key", id="key-as-certificate"
        ),
        pytest.param(
            {**TOKEN, "client-certificate-data": encoded(PAIR.certificate), "client-key-data": encoded(PAIR.key)},
            "client-certificate-data stands beside token",
            id="token-and-certificate",
        ),
    ],
)
def test_one_way_to_say_who_we_are_is_wanted_and_whole(user: Fields, mentions: str) -> None:
    refused = refusal(config(user=user))
    assert mentions in refused.message
    assert "BEGIN" not in refused.message


@pytest.mark.parametrize("data", ["canary!", encoded("canary"), encoded(PAIR.certificate + PAIR.key), AUTHORITY.certificate])
def test_an_authority_that_is_none_is_refused(data: str) -> None:
    assert "clusters[0].cluster.certificate-authority-data" in refusal(config(cluster={"certificate-authority-data": data})).message


# -- TLS -----------------------------------------------------------------------------------------------------------


def handshake(cluster: RemoteCluster, server: ssl.SSLContext, host: str) -> ssl.SSLObject:
    """Shake hands in memory; the client's side of it."""
    context = kubeconfig.tls(cluster)
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(to_client, to_server, server_hostname=host)
    peer = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(10):
        done = 0
        for side in (client, peer):
            try:
                side.do_handshake()
                done += 1
            except ssl.SSLWantReadError:
                continue
        if done == 2:
            return client
    raise AssertionError("the handshake does not end")


def remote(*, authority: Authority = AUTHORITY, pair: KeyPair | None = None, server_name: str = "") -> RemoteCluster:
    certificate, key = (pair.certificate.encode(), pair.key.encode()) if pair else (None, None)
    return RemoteCluster(
        SERVER, authority.certificate.encode(), server_name, client_cert=certificate, client_key=key, token="" if pair else "x", where=WHERE
    )


def test_a_server_of_the_authority_is_trusted() -> None:
    assert handshake(remote(), server_tls(AUTHORITY.issue("api.example.org")), "api.example.org").getpeercert()


@pytest.mark.parametrize(
    ("authority", "name"),
    [
        pytest.param(Authority(), "api.example.org", id="of-another-authority"),
        pytest.param(AUTHORITY, "other.example.org", id="of-another-name"),
    ],
)
def test_any_other_server_is_not(authority: Authority, name: str) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(remote(), server_tls(authority.issue(name)), "api.example.org")


def test_a_server_is_asked_for_the_name_that_the_kubeconfig_gives() -> None:
    server = server_tls(AUTHORITY.issue("inner.example.org"))
    assert handshake(remote(server_name="inner.example.org"), server, "192.0.2.1").getpeercert()
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(remote(server_name="other.example.org"), server, "inner.example.org")


def test_a_client_certificate_is_shown_and_leaves_no_file(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    server = server_tls(AUTHORITY.issue("api.example.org"), clients=AUTHORITY)
    assert handshake(remote(pair=PAIR), server, "api.example.org").getpeercert()
    assert not list(tmp_path.iterdir())


def test_who_shows_no_certificate_where_one_is_wanted_is_not_let_in() -> None:
    server = server_tls(AUTHORITY.issue("api.example.org"), clients=AUTHORITY)
    with pytest.raises(ssl.SSLError):
        handshake(remote(), server, "api.example.org")


def test_a_certificate_and_the_key_of_another_are_refused() -> None:
    mixed = KeyPair(PAIR.certificate, AUTHORITY.issue().key)
    with pytest.raises(errors.KubeConfigInvalidError) as caught:
        kubeconfig.tls(remote(pair=mixed))
    assert caught.value.message.startswith(f"{WHERE}: ")
    assert "BEGIN" not in caught.value.message


def test_old_tls_is_not_spoken() -> None:
    assert kubeconfig.tls(remote()).minimum_version == ssl.TLSVersion.TLSv1_2
