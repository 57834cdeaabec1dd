"""Connection: where the API server is and who we are, from a kubeconfig or from the Pod's service account.

The official client reads both (exec plugins included); watches go through one aiohttp connector of ours, shared with kopf, and everything else through `wire.py`.
No proxy is used: aiohttp looks the environment's variables up for each request, which cost three times the request itself (measured, 0.46 against 0.13 CPU-s per 1000).
"""

import asyncio
import os
import ssl
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import yaml
from kubernetes.aio import config as kube_config
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import incluster_config
from kubernetes.aio.config.kube_config import _cleanup_temp_files as _forget_files

from cvstate_operator import __version__
from cvstate_operator.errors import SettingsError

USER_AGENT: Final = f"cvstate-operator/{__version__}"
TOKEN_REFRESH_SECONDS: Final = 60.0
"""How long a token of an exec plugin is used before the plugin is asked again; the official client's own refresh interval."""
KEEPALIVE_SECONDS: Final = 75.0
"""Idle connections are kept a little longer than the API server's slowest bookmark interval."""

Authorize = Callable[[], Awaitable[str | None]]
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Addresses that a host and port may be connected at; raises for those that may not."""


@dataclass(frozen=True, slots=True)
class Bound:
    """How much of the memory answers of a server may take, whoever chose it."""

    max_bytes: int
    """Of the longest answer that is taken, also when it is unpacked."""
    small_bytes: int
    """An answer that is longer waits for `large` before more of it is taken."""
    large: Callable[[], AbstractAsyncContextManager[None]]
    """Held while such an answer is taken, and until it is handed out."""


@dataclass(frozen=True, slots=True)
class Connection:
    """An open way to one API server."""

    server: str
    """Base URL without a slash at the end."""
    connector: aiohttp.TCPConnector
    authorize: Authorize
    """Gives the value of the Authorization header, or None if a client certificate speaks for us."""
    tls: ssl.SSLContext | None = None
    """How to speak TLS with it; None where the URL asks for none."""
    resolve: Resolve | None = None
    """Where the host of `server` may be connected to; None: wherever the system says."""
    user_agent: str = USER_AGENT
    """Says which process asks: the API server's audit log tells replicas apart by it."""
    bound: Bound | None = None
    """Of answers; None: they may be as large as they like, as those of our own API server."""

    def session(self, *, act_as: str = "") -> aiohttp.ClientSession:
        """A new session on the shared connector; closing it leaves the connector open.

        Args:
            act_as: user in whose name everything is asked for (`impersonate`); empty: our own.
        """

        async def authorization(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
            if value := await self.authorize():
                request.headers["Authorization"] = value
            try:
                return await handler(request)
            except AttributeError as exc:
                if not session.closed:
                    raise
                # kopf closes its session when credentials were refused, and aiohttp stumbles over one that is closed while it connects.
                raise aiohttp.ClientConnectionError("the session was closed") from exc

        session = aiohttp.ClientSession(
            connector=self.connector,
            connector_owner=False,
            trust_env=False,
            middlewares=(authorization,),
            headers={"User-Agent": self.user_agent, **impersonate(act_as)},
        )
        return session

    async def close(self) -> None:
        """Close every connection."""
        await self.connector.close()


def impersonate(user: str) -> dict[str, str]:
    """The header by which the API server takes a request as that of another user; none if `user` is empty.

    Of a service account it adds the groups itself if none are named. Source: Kubernetes, "User impersonation"; kube-apiserver 1.36, endpoints/filters/impersonation.
    """
    return {"Impersonate-User": user} if user else {}


async def connect(kubeconfig: Path | None = None, context: str | None = None, *, user_agent: str = USER_AGENT) -> Connection:
    """Find the API server: `kubeconfig` if given, else the Pod's service account, else $KUBECONFIG or ~/.kube/config.

    Raises:
        SettingsError: no usable configuration; says which files were tried and what to do.
    """
    configuration = Configuration()
    # Key material that stands inline in a kubeconfig passes through files, since OpenSSL reads nothing else; they are gone when this returns.
    with tempfile.TemporaryDirectory(prefix="cvstate-") as scratch:
        try:
            await _load(configuration, kubeconfig, context, scratch)
            context_ssl = _tls(configuration)
        except (kube_config.ConfigException, OSError, ssl.SSLError, yaml.YAMLError, KeyError, TypeError) as exc:
            where = kubeconfig or "the service account, $KUBECONFIG or ~/.kube/config"
            raise SettingsError(
                f"cannot read the cluster configuration from {where}: {' '.join(str(exc).split())}; give a working file with --kubeconfig"
            ) from exc
        finally:
            # The official client remembers its files by content, also after they are gone: a second connection would look for them.
            _forget_files()  # type: ignore[no-untyped-call]
    connector = aiohttp.TCPConnector(limit=0, ssl=context_ssl, keepalive_timeout=KEEPALIVE_SECONDS)
    return Connection(
        configuration.host.rstrip("/"),
        connector,
        lambda: configuration.get_api_key_with_prefix("BearerToken"),
        tls=context_ssl,
        user_agent=user_agent,
    )


def in_cluster() -> bool:
    """Whether this process runs in a Pod with a service account."""
    return incluster_config.SERVICE_HOST_ENV_NAME in os.environ and Path(incluster_config.SERVICE_TOKEN_FILENAME).exists()


def api_server_address() -> str:
    """Where a Pod reaches the API server, as the kubelet tells it; empty outside of one."""
    return os.environ.get(incluster_config.SERVICE_HOST_ENV_NAME, "")


async def _load(configuration: Configuration, kubeconfig: Path | None, context: str | None, scratch: str) -> None:
    if kubeconfig is None and in_cluster():
        kube_config.load_incluster_config(  # type: ignore[no-untyped-call]
            client_configuration=configuration
        )
        return
    file = str(kubeconfig) if kubeconfig else None
    loader: Any = await kube_config.load_kube_config(  # type: ignore[no-untyped-call]
        config_file=file, context=context, client_configuration=configuration, persist_config=False, temp_file_path=scratch
    )
    if "exec" in (loader._user or {}):
        configuration.refresh_api_key_hook = _exec_refresher(loader)  # type: ignore[assignment]


def _exec_refresher(loader: Any) -> Callable[[Configuration], Awaitable[None]]:
    due = asyncio.get_running_loop().time() + TOKEN_REFRESH_SECONDS
    lock = asyncio.Lock()

    async def refresh(configuration: Configuration) -> None:
        nonlocal due
        now = asyncio.get_running_loop().time()
        if now < due:
            return
        async with lock:
            if now >= due:
                await loader.load_from_exec_plugin()
                configuration.api_key["BearerToken"] = loader.token
                due = now + TOKEN_REFRESH_SECONDS

    return refresh


def _tls(configuration: Configuration) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, keyfile=configuration.key_file)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
