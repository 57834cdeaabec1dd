"""Kubeconfig: another cluster's address, and who we are there, as the Secret of a tenant holds them. Read by ourselves, by a list of what is taken.

A kubeconfig can ask whoever reads it to run a program, to send one of his files as a token, to go through somebody's proxy, to trust any server, and to pose as somebody
else. The official client does as it is told (measured: it runs `exec`, and sends any file that `tokenFile` names). Who may write a Secret would so act as the operator;
therefore only values that stand in the kubeconfig itself are taken, and everything else is refused by its name, with what to write in its place.

Only the context that is used is judged, with its cluster and its user; what else the file holds has no effect. Messages name fields by their place, never a value.
Source: Kubernetes API reference, "kubeconfig (v1)"; k8s.io/client-go, tools/clientcmd.
"""

import base64
import binascii
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from cvstate_operator import errors
from cvstate_operator.kube import plain_yaml
from cvstate_operator.kube.plain_yaml import Json
from cvstate_operator.objects.address import AddressPolicy, as_address, check_host

_NO: Final = ("false", "False", "FALSE")

_URL: Final = re.compile(r"https://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?(?P<path>/[A-Za-z0-9._~/-]*)?")
"""So narrow that no two libraries can read it in two ways."""
_NAME: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*")
"""A DNS name. Source: RFC 1035, section 2.3.4 (lengths); with underscores, which occur."""
_NUMBER: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")
"""Names that resolvers take for addresses, as 127.1 or 0x7f000001. Source: WHATWG URL, "ends in a number"."""
_TOKEN: Final = re.compile(r"[!-~]+")
"""What a header can carry. Wider than RFC 6750: Rancher's tokens have a colon."""
_HIGHEST_PORT: Final = 65_535

_FILE: Final = "names a file, which would be one of the operator's"
_EMBED: Final = "embed it (kubectl config view --raw --flatten --minify)"
_PROGRAM: Final = "would run a program beside the operator; give the token of a service account, or a client certificate"
_POSE: Final = "would pose as somebody else; give the credentials of who is meant"
_REFUSED_OF_CLUSTER: Final = {
    "certificate-authority": f"{_FILE}; {_EMBED}",
    "insecure-skip-tls-verify": "would talk to whoever answers; give certificate-authority-data",
    "proxy-url": "would send everything through a server of its choice; give an address that can be reached without it",
}
_REFUSED_OF_USER: Final = {
    "exec": _PROGRAM,
    "auth-provider": _PROGRAM,
    "client-certificate": f"{_FILE}; {_EMBED}",
    "client-key": f"{_FILE}; {_EMBED}",
    "tokenFile": f"{_FILE}; give token",
    "as": _POSE,
    "as-uid": _POSE,
    "as-groups": _POSE,
    "as-user-extra": _POSE,
    "impersonate": _POSE,
    "impersonate-groups": _POSE,
    "impersonate-user-extra": _POSE,
}
_TAKEN_OF_CLUSTER: Final = frozenset({"server", "certificate-authority-data", "tls-server-name"})
_TAKEN_OF_USER: Final = frozenset({"client-certificate-data", "client-key-data", "token", "username", "password"})
_PASSED_OVER: Final = frozenset({"extensions", "disable-compression"})
"""Fields that change nothing of where we go, and who we are there."""


@dataclass(frozen=True, slots=True)
class RemoteCluster:
    """One cluster and one identity there. Two are equal if they lead to the same server as the same user."""

    server: str
    """https://HOST[:PORT][/PREFIX], without a slash at its end. Its host is judged by what it says; where a name leads is for who connects to judge."""
    ca: bytes | None = None
    """PEM certificates that the server's must be signed by; None: the system's."""
    server_name: str = ""
    """Name that the server's certificate must be for; empty: the host of `server`."""
    token: str = field(default="", repr=False)
    client_cert: bytes | None = None
    """PEM, with `client_key`; None for none."""
    client_key: bytes | None = field(default=None, repr=False)
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    where: str = field(default="", compare=False)
    """Where it was read, for messages."""

    @property
    def host(self) -> str:
        """Host of the server, in lower case and without brackets: what `check_address` is asked about."""
        return _host(self.server)

    @property
    def authorization(self) -> str | None:
        """Value of the Authorization header; None if a client certificate speaks for us."""
        if self.token:
            return f"Bearer {self.token}"
        if self.username:
            return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        return None


def read(data: bytes, *, where: str, policy: AddressPolicy) -> RemoteCluster:
    """The cluster and the user of a kubeconfig's current context, or of its only one.

    Args:
        data: the kubeconfig, YAML or JSON.
        where: it was found, for messages: `Secret team-a/prod, key value`.
        policy: which addresses may be asked. Its option that allows a host is not told: a server of a kubeconfig has none.

    Raises:
        KubeConfigInvalidError: it is no kubeconfig that can be used, or asks for what is not done.
        URLNotAllowedError: its server is one that the policy forbids.
    """
    cluster, user = _chosen(_document(data, where), where)
    _refuse(cluster, _REFUSED_OF_CLUSTER, _TAKEN_OF_CLUSTER)
    _refuse(user, _REFUSED_OF_USER, _TAKEN_OF_USER)
    token, username, password, certificate, key = _credentials(user)
    return RemoteCluster(
        server=_server(cluster, policy),
        ca=_certificates(cluster, "certificate-authority-data"),
        server_name=_server_name(cluster),
        token=token,
        client_cert=certificate,
        client_key=key,
        username=username,
        password=password,
        where=where,
    )


def tls(cluster: RemoteCluster) -> ssl.SSLContext:
    """How to speak TLS with it: TLS 1.2 or newer, the server always verified, with our certificate if there is one.

    Raises:
        KubeConfigInvalidError: its certificates or its key cannot be used.
    """
    context = _Tls(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.server_name = cluster.server_name
    if cluster.ca is None:
        context.load_default_certs()
    else:
        authorities = cluster.ca.decode("ascii", "ignore")  # between certificates a bundle may hold names, in any script
        try:
            context.load_verify_locations(cadata=authorities)
        except ssl.SSLError as exc:
            raise _wrong(cluster.where, "certificate-authority-data holds no certificate that can be used; correct the Secret") from exc
    if cluster.client_cert and cluster.client_key:
        _load_pair(context, cluster.client_cert, cluster.client_key, cluster.where)
    return context


class _Tls(ssl.SSLContext):
    """A context that knows what name to ask for, so that whoever connects need not: `tls-server-name` may differ from the host that is dialled."""

    server_name: str = ""

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """See ssl.SSLContext; what asyncio and uvloop call for each connection."""
        return super().wrap_bio(incoming, outgoing, server_side, self.server_name or server_hostname, session)


def _load_pair(context: ssl.SSLContext, certificate: bytes, key: bytes, where: str) -> None:
    """OpenSSL reads keys from files alone; this one is in memory, and gone when it is closed (memfd_create(2))."""
    with os.fdopen(os.memfd_create("client"), "wb") as file:
        file.write(certificate + b"\n" + key)
        file.flush()
        try:
            context.load_cert_chain(f"/proc/self/fd/{file.fileno()}", password=_no_password)
        except (ssl.SSLError, OSError, ValueError) as exc:
            what = "client-certificate-data and client-key-data do not fit together, or are no PEM without a password; correct the Secret"
            raise _wrong(where, what) from exc


def _no_password() -> str:
    """Without this, OpenSSL would ask at the terminal."""
    return ""


# -- what of it is meant -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Part:
    """One map of the kubeconfig, and how to complain about it."""

    where: str
    path: str
    """Its place: `users[0].user`."""
    fields: Mapping[str, Json]

    def wrong(self, key: str, what: str) -> errors.KubeConfigInvalidError:
        """The complaint about one field."""
        return _wrong(self.where, f"{self.path}.{key} {what}")

    def text(self, key: str) -> str:
        """A text of one line; empty if there is none. A newline at its end is a slip of block scalars."""
        value = self.fields.get(key)
        if value is not None and not isinstance(value, str):
            raise self.wrong(key, "is no text; write one value there")
        text = (value or "").rstrip("\r\n")
        if not text.isprintable():
            raise self.wrong(key, "holds a line break or control character; write it on one line")
        return text

    def data(self, key: str) -> bytes | None:
        """What a text in base64 stands for; None if there is none."""
        value = self.fields.get(key)
        if value is not None and not isinstance(value, str):
            raise self.wrong(key, "is no text; write one value there")
        try:
            return base64.b64decode("".join((value or "").split()), validate=True) or None
        except (binascii.Error, ValueError) as exc:
            raise self.wrong(key, "is no base64; encode the PEM text (base64 -w0)") from exc


def _chosen(document: Mapping[str, Json], where: str) -> tuple[_Part, _Part]:
    """Cluster and user of the context that is meant."""
    name = document.get("current-context")
    contexts = _entries(document, "contexts", "context", where)
    if name:
        context = _named(contexts, name, "current-context", "contexts", where)
    elif len(contexts) == 1:
        (context,) = (part for _, part in contexts)
    else:
        raise _wrong(where, f"there is no current-context, and {len(contexts)} contexts; name the one that is meant in current-context")
    parts = []
    for key, plural in (("cluster", "clusters"), ("user", "users")):
        found = _entries(document, plural, key, where)
        parts.append(_named(found, context.fields.get(key), f"{context.path}.{key}", plural, where))
    cluster, user = parts
    return cluster, user


def _entries(document: Mapping[str, Json], plural: str, key: str, where: str) -> list[tuple[Json, _Part]]:
    """Each entry of one of the three lists: its name, and what it holds."""
    listed = document.get(plural)
    if listed is None:
        return []
    if not isinstance(listed, list):
        raise _wrong(where, f"{plural} is no list; write a kubeconfig as kubectl does (kubectl config view --raw --flatten --minify)")
    found: list[tuple[Json, _Part]] = []
    for number, entry in enumerate(listed):
        fields = entry.get(key) if isinstance(entry, dict) else None
        if isinstance(entry, dict) and isinstance(fields, dict):
            found.append((entry.get("name"), _Part(where, f"{plural}[{number}].{key}", fields)))
    return found


def _named(entries: list[tuple[Json, _Part]], name: Json, said_in: str, plural: str, where: str) -> _Part:
    """The entry of that name. client-go refuses two of one name as well."""
    found = [part for each, part in entries if each == name and name]
    if not found:
        raise _wrong(where, f"{said_in} names none of the {plural}; correct the name, or add what is missing")
    if len(found) > 1:
        raise _wrong(where, f"{plural} has the name that {said_in} means {len(found)} times; keep one of them")
    return found[0]


def _refuse(part: _Part, refused: Mapping[str, str], taken: frozenset[str]) -> None:
    """Refuse every field that asks for what is not done, and every one that nobody here knows."""
    for key, value in part.fields.items():
        if key in taken or key in _PASSED_OVER or not value or value in _NO:
            continue
        if why := refused.get(key):
            raise part.wrong(key, f"is not allowed: it {why}")
        # Not told by its name: what nobody knows may be a value that stands in the wrong place.
        known = ", ".join(sorted(taken))
        raise _wrong(part.where, f"{part.path} has a field that is not known here; keep only these: {known}")


def _credentials(user: _Part) -> tuple[str, str, str, bytes | None, bytes | None]:
    """Token, user name, password, certificate and key; exactly one of the three ways to say who we are."""
    token, username, password = user.text("token"), user.text("username"), user.text("password")
    certificate, key = _certificates(user, "client-certificate-data"), user.data("client-key-data")
    if token and not _TOKEN.fullmatch(token):
        raise user.wrong("token", "holds a character that no header can carry; give the bare token")
    if ":" in username:
        raise user.wrong("username", "holds a colon, which HTTP cannot carry there (RFC 7617); give another user")
    if bool(username) != bool(password):
        raise user.wrong("password" if username else "username", "is missing or empty; username and password go together")
    if bool(certificate) != bool(key):
        missing = "client-key-data" if certificate else "client-certificate-data"
        raise user.wrong(missing, "is missing or empty; certificate and key go together")
    ways = [name for name, value in (("token", token), ("client-certificate-data", certificate), ("username", username)) if value]
    if not ways:
        raise _wrong(user.where, f"{user.path} says nothing of who we are; give a token, a client certificate, or username and password")
    if len(ways) > 1:
        raise user.wrong(ways[1], f"stands beside {ways[0]}; keep one of them")
    return token, username, password, certificate, key


def _certificates(part: _Part, key: str) -> bytes | None:
    """PEM certificates; None for none."""
    data = part.data(key)
    if data is None:
        return None
    from cryptography import x509  # loaded by the few that need it

    if b"PRIVATE KEY" in data:
        raise part.wrong(key, "holds a private key; put certificates there, and keep the key secret")
    try:
        if not x509.load_pem_x509_certificates(data):
            raise ValueError
    except ValueError as exc:
        raise part.wrong(key, "holds no PEM certificate; encode a file of PEM certificates (base64 -w0)") from exc
    return data


def _server(cluster: _Part, policy: AddressPolicy) -> str:
    url = cluster.text("server")
    if not url:
        raise cluster.wrong("server", "is missing or empty; write https://HOST:PORT")
    if "@" in url:
        raise cluster.wrong("server", "holds a user or password; put them into username and password of the user")
    if not url.startswith("https://"):
        raise cluster.wrong("server", "must begin with https://; write https://HOST:PORT")
    found = _URL.fullmatch(url)
    host = _host(url) if found else ""
    is_address = as_address(host) is not None
    if not found or not (is_address or (_NAME.fullmatch(host) and not _NUMBER.fullmatch(host))):
        raise cluster.wrong(
            "server", "is no plain URL; write https://HOST:PORT, an address in four parts as 192.0.2.1, without query and fragment"
        )
    if found["port"] and not 0 < int(found["port"]) <= _HIGHEST_PORT:
        raise cluster.wrong("server", f"has a port that is none; ports go from 1 to {_HIGHEST_PORT}")
    try:
        check_host(host, policy)
    except errors.URLNotAllowedError as exc:
        why = exc.message.partition(";")[0]
        raise errors.URLNotAllowedError(
            f"{cluster.where}: {cluster.path}.server: {why}; give the address by which other machines reach that cluster"
        ) from exc
    return url.rstrip("/")


def _server_name(cluster: _Part) -> str:
    name = cluster.text("tls-server-name").lower()
    if name and as_address(name) is None and not _NAME.fullmatch(name):
        raise cluster.wrong("tls-server-name", "is no name of a host; write the name that is in the server's certificate")
    return name


def _host(url: str) -> str:
    """Host of a URL that `_URL` takes."""
    found = _URL.fullmatch(url)
    return found["host"].lower().strip("[]").rstrip(".") if found else ""


def _document(data: bytes, where: str) -> Mapping[str, Json]:
    try:
        document = plain_yaml.read(data)
    except plain_yaml.PlainYamlError as exc:
        raise _wrong(where, str(exc)) from exc
    if not isinstance(document, dict):
        raise _wrong(where, "it is empty, or no map; write a kubeconfig as kubectl does (kubectl config view --raw --flatten --minify)")
    return document


def _wrong(where: str, what: str) -> errors.KubeConfigInvalidError:
    return errors.KubeConfigInvalidError(f"{where}: {what}")
