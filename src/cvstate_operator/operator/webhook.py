"""The push webhook: Git servers tell of a push, and exactly the ClusterStates that it concerns look at once instead of at their next interval.

Anybody can ask. Until a delivery is signed with the token of a ClusterState of its repository, it is read within limits, remembered nowhere, and
answered as if the repository were unknown. docs/webhook.md tells users the same.
"""

import asyncio
import hashlib
import itertools
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, TypeVar

from aiohttp import web

from cvstate_operator import errors
from cvstate_operator.api.source import GitRef
from cvstate_operator.objects.redaction import one_line
from cvstate_operator.operator.forwarder import MARK
from cvstate_operator.operator.place import OWN, Place
from cvstate_operator.operator.webhook_limits import Seen, Throttle
from cvstate_operator.source import push
from cvstate_operator.source.push import Delivery, Event
from cvstate_operator.source.repository_key import repository_key

PATH: Final = "/hook"
MAX_BODY: Final = 1 << 20
"""Bytes. A push of 2,048 commits, as many as GitHub lists, is below it if no commit touches many files."""
MAX_HELD: Final = 16 * MAX_BODY
"""Bytes of all bodies being read or checked: sixteen pushes of the largest size at once, or a thousand of usual size."""
MAX_CONNECTIONS: Final = 512
BODY_SECONDS: Final = 10.0
"""How long the headers, and then the body, may take; also how long an idle connection is kept. GitHub and GitLab give up after 10 s themselves."""
MAX_SECRETS: Final = 32
"""Secrets tried for one delivery; above GitHub's 20 webhooks per event."""
MAX_HASHED: Final = 8 * MAX_BODY
"""Bytes hashed for one delivery, so that a body above 256 KiB meets fewer than MAX_SECRETS; 34 ms at the 4.2 ms per MiB measured on a busy core."""
SECRET_SECONDS: Final = 10.0
"""How long a Secret is remembered, so that a flood is no flood for the API server; also how long reading one may take."""
MAX_CACHED_SECRETS: Final = 1024
REFUSAL_SECONDS: Final = 0.1
"""A refusal is answered so long after it came, whatever work was done: reading a Secret of a known repository takes milliseconds and must not show."""
TIMESTAMP_SECONDS: Final = 300.0
"""How far the timestamp of a generic delivery may be from our clock."""
_LARGE: Final = 1 << 16
"""Bytes to read or hash from which the thread is worth its cost (about 0.3 ms of work)."""

_T = TypeVar("_T")

_log = logging.getLogger(__name__)
_http_log = logging.getLogger(f"{__name__}.http")
# aiohttp logs what it could not parse, header values included.
_http_log.disabled = True


class Result(StrEnum):
    """How a request ended: the label `result` of the metric."""

    OK = "ok"
    """Signed; whom it concerns was told, be it nobody."""
    PING = "Ping"
    IGNORED = "Ignored"
    """Signed, but no push."""
    REPLAYED = "Replayed"
    STALE = "Stale"
    """Signed, but too long ago."""
    UNAUTHORIZED = "Unauthorized"
    """Not signed, signed with something else, or of a repository that no ClusterState uses."""
    MALFORMED = "Malformed"
    TOO_LARGE = "TooLarge"
    TOO_SLOW = "TooSlow"
    ENCODED = "Encoded"
    NOT_FOUND = "NotFound"
    METHOD_NOT_ALLOWED = "MethodNotAllowed"
    THROTTLED = "Throttled"
    INTERNAL_ERROR = "InternalError"


_ACCEPTED: Final = (202, {"accepted": True})
_ANSWERS: Final[Mapping[Result, tuple[int, Mapping[str, Any]]]] = {
    Result.OK: _ACCEPTED,
    Result.IGNORED: _ACCEPTED,
    Result.REPLAYED: _ACCEPTED,
    Result.STALE: _ACCEPTED,
    Result.PING: (200, {"pong": True}),
    Result.UNAUTHORIZED: (401, {"error": "not signed with the webhook token of a ClusterState of this repository"}),
    Result.MALFORMED: (400, {"error": "the request cannot be read"}),
    Result.TOO_LARGE: (413, {"error": f"the body is larger than {MAX_BODY} bytes"}),
    Result.TOO_SLOW: (408, {"error": f"the body took longer than {BODY_SECONDS:.0f} s"}),
    Result.ENCODED: (415, {"error": "the body must not be compressed"}),
    Result.NOT_FOUND: (404, {"error": f"deliver to {PATH}"}),
    Result.METHOD_NOT_ALLOWED: (405, {"error": "deliver with POST"}),
    Result.THROTTLED: (429, {"error": "too many deliveries"}),
    Result.INTERNAL_ERROR: (500, {"error": "internal error"}),
}
_CLOSING: Final = frozenset({Result.TOO_LARGE, Result.TOO_SLOW, Result.ENCODED, Result.THROTTLED})
"""Answers given before the body was read to its end."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """One ClusterState that wants to be told."""

    owner: str
    """Its ApplySet id, what `trigger` is called with."""
    namespace: str
    name: str
    url: str
    ref: GitRef
    secret_name: str
    """Secret in `namespace` with the key `token`."""
    place: Place = OWN
    """As whom it is read."""


@dataclass(frozen=True, slots=True)
class _Verdict:
    result: Result
    provider: str = "unknown"
    retry_after: int = 0
    """Seconds; 0: not told."""
    detail: str = ""
    """What is wrong, if the fixed text is not enough."""


Secret = Callable[[Subscription], Awaitable[bytes | None]]
"""Reads the token of a subscription's Secret, as bytes; None: there is none. May raise CvstateError."""
Observe = Callable[[str, str], None]
"""Counts a request: its result (`Result`), and the provider, or `unknown` if it was refused before that was known."""


class WebhookServer:
    """Serves `POST /hook` until closed.

    Args:
        subscriptions: who wants to be told now; asked at every delivery.
        trigger: tells one owner to look at its source now. It may be called often; the owner makes one look of many calls. False if another replica has it.
        forward: passes a delivery on to the other replicas, with these headers.
        secret: reads a token.
        observe: counts every request.
        clock: seconds that only go forward; for the limits.
        now: unix seconds; for signed timestamps.
    """

    def __init__(
        self,
        *,
        subscriptions: Callable[[], Iterable[Subscription]],
        trigger: Callable[[str], bool],
        secret: Secret,
        observe: Observe,
        forward: Callable[[Mapping[str, str], bytes], None] = lambda headers, body: None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._subscriptions = subscriptions
        self._trigger = trigger
        self._forward = forward
        self._tokens = _Tokens(secret, clock)
        self._observe = observe
        self._now = now
        self._throttle = Throttle(clock)
        self._seen = Seen(clock)
        self._held = 0
        """Bytes of the bodies in hand."""
        # One thread of its own: whatever is sent, it takes at most one core, the event loop goes on, and nobody else waits for a thread.
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="webhook")
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        # A compressed body is refused, so nothing may inflate it first.
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=_http_log,
            auto_decompress=False,
            keepalive_timeout=BODY_SECONDS,
            lingering_time=1.0,
            shutdown_timeout=1.0,
        )
        self._listener: asyncio.Server | None = None

    async def start(self, listen: str) -> str:
        """Bind and serve; returns the address as HOST:PORT.

        Raises:
            SettingsError: the address is taken or is no address.
        """
        host, port = _address(listen)
        await self._runner.setup()
        try:
            self._listener = await asyncio.get_running_loop().create_server(self._connected, host, port, backlog=128)
        except OSError as exc:
            await self._runner.cleanup()
            raise errors.SettingsError(f"the webhook cannot listen on {one_line(listen)}: {exc.strerror}; choose another address") from exc
        host, port = self._listener.sockets[0].getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def close(self) -> None:
        """Stop serving; who is being answered has a second."""
        if self._listener:
            self._listener.close()
        await self._runner.cleanup()
        self._worker.shutdown(wait=False, cancel_futures=True)

    def _connected(self) -> asyncio.BaseProtocol:
        server = self._runner.server
        return server() if server and len(server.connections) < MAX_CONNECTIONS else _HangUp()

    async def _serve(self, request: web.Request) -> web.Response:
        came = asyncio.get_running_loop().time()
        try:
            verdict = await self._judge(request)
        except Exception:
            _log.exception("internal error in the push webhook")
            verdict = _Verdict(Result.INTERNAL_ERROR)
        self._observe(verdict.result.value, verdict.provider)
        _log.debug("push webhook answered", extra={"result": verdict.result.value, "provider": verdict.provider, "remote": request.remote})
        if verdict.result is Result.UNAUTHORIZED:
            await asyncio.sleep(came + REFUSAL_SECONDS - asyncio.get_running_loop().time())
        return _answer(verdict)

    async def _judge(self, request: web.Request) -> _Verdict:
        if seconds := self._throttle.take(request.remote):
            return _Verdict(Result.THROTTLED, retry_after=seconds)
        if request.path.rstrip("/") != PATH:
            return _Verdict(Result.NOT_FOUND)
        if request.method != "POST":
            return _Verdict(Result.METHOD_NOT_ALLOWED)
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            return _Verdict(Result.ENCODED)
        body = bytearray()
        try:
            return await self._read(request, body) or await self._deliver(request.headers, bytes(body))
        finally:
            self._held -= len(body)

    async def _read(self, request: web.Request, body: bytearray) -> _Verdict | None:
        """Fill `body`; the verdict if that cannot be done. Every byte counts as held, also if this fails half-way."""
        if (request.content_length or 0) > MAX_BODY:
            return _Verdict(Result.TOO_LARGE)
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for chunk in request.content.iter_any():
                    if len(body) + len(chunk) > MAX_BODY:
                        return _Verdict(Result.TOO_LARGE)
                    if self._held + len(chunk) > MAX_HELD:
                        return _Verdict(Result.THROTTLED, retry_after=1)
                    body += chunk
                    self._held += len(chunk)
        except TimeoutError:
            return _Verdict(Result.TOO_SLOW)
        except (ConnectionError, web.RequestPayloadError):
            return _Verdict(Result.MALFORMED)
        return None

    async def _deliver(self, headers: Mapping[str, str], body: bytes) -> _Verdict:
        try:
            delivery = await self._work(len(body), lambda: push.parse(headers, body))
        except push.MalformedDeliveryError as exc:
            return _Verdict(Result.MALFORMED, detail=str(exc))
        provider = delivery.provider.value
        if delivery.event is Event.PING and not delivery.urls:
            # The ping of an organisation's webhook names no repository, so there is no token to check it with; and nothing follows from it.
            return _Verdict(Result.PING, provider)
        subscribed = self._subscribed(delivery)
        signers = await self._signers(delivery, subscribed)
        if not signers:
            return _Verdict(Result.UNAUTHORIZED, provider)
        if delivery.event is Event.PING:
            return _Verdict(Result.PING, provider)
        if delivery.event is Event.OTHER:
            return _Verdict(Result.IGNORED, provider)
        if delivery.timestamp is not None and abs(self._now() - delivery.timestamp) > TIMESTAMP_SECONDS:
            return _Verdict(Result.STALE, provider)
        if not self._seen.add(delivery.fingerprint):
            return _Verdict(Result.REPLAYED, provider)
        are_here = self._tell(delivery, [one for one in subscribed if (one.namespace, one.secret_name) in signers])
        if not are_here and MARK not in headers:
            self._forward(push.passed_on(delivery, headers), body)
        return _Verdict(Result.OK, provider)

    def _subscribed(self, delivery: Delivery) -> list[Subscription]:
        keys = {repository_key(url) for url in delivery.urls}
        return [one for one in self._subscriptions() if _subscribed_key(one.url) in keys]

    async def _signers(self, delivery: Delivery, subscribed: Sequence[Subscription]) -> frozenset[tuple[str, str]]:
        """The Secrets, as (namespace, name), whose token the delivery is signed with."""
        to_try = _to_try(subscribed, limit=MAX_HASHED // max(1, len(delivery.message)))
        tokens = await asyncio.gather(*(self._tokens.read(one) for one in to_try))
        # Who names an unknown repository waits for a hash too.
        found = tokens or [(("", ""), _NOBODYS_TOKEN)]

        def check() -> frozenset[tuple[str, str]]:
            return frozenset([which for which, token in found if delivery.is_signed_with(token)])

        signed = await self._work(len(delivery.message) * len(found), check)
        return signed if tokens else frozenset()

    async def _work(self, size: int, work: Callable[[], _T]) -> _T:
        """Do it here, or in the thread if it is about many bytes."""
        return await asyncio.get_running_loop().run_in_executor(self._worker, work) if size > _LARGE else work()

    def _tell(self, delivery: Delivery, signed: Iterable[Subscription]) -> bool:
        """Tell whom it concerns; whether all of them are here."""
        are_here = True
        for one in signed:
            if push.concerns(one.ref, delivery.ref):
                clusterstate = f"{one.namespace}/{one.name}"
                if self._trigger(one.owner):
                    _log.info(
                        "push delivered", extra={"clusterstate": clusterstate, "ref": one_line(delivery.ref), "commit": delivery.commit}
                    )
                else:
                    are_here = False
        return are_here


class _Tokens:
    """Tokens, each remembered for SECRET_SECONDS, also that there is none."""

    def __init__(self, secret: Secret, clock: Callable[[], float]) -> None:
        self._secret = secret
        self._clock = clock
        self._known: OrderedDict[tuple[str, str], tuple[float, bytes]] = OrderedDict()
        """Until when, and the token; empty: none."""

    async def read(self, one: Subscription) -> tuple[tuple[str, str], bytes]:
        """The Secret as (namespace, name), and its token; empty if there is none or it cannot be read now."""
        which = (one.namespace, one.secret_name)
        until, token = self._known.get(which, (0.0, b""))
        if until > self._clock():
            return which, token
        token = await self._ask(one)
        self._known[which] = (self._clock() + SECRET_SECONDS, token)
        self._known.move_to_end(which)
        if len(self._known) > MAX_CACHED_SECRETS:
            self._known.popitem(last=False)
        return which, token

    async def _ask(self, one: Subscription) -> bytes:
        with suppress(TimeoutError):
            async with asyncio.timeout(SECRET_SECONDS):
                try:
                    return await self._secret(one) or b""
                except errors.CvstateError as exc:
                    fault = {"clusterstate": f"{one.namespace}/{one.name}", "reason": exc.reason, "error": exc.message}
                    _log.warning("webhook token not read", extra=fault)
        return b""


class _HangUp(asyncio.Protocol):
    """What a connection too many meets."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        transport.close()


_NOBODYS_TOKEN: Final = hashlib.sha256(secrets.token_bytes()).digest()


@lru_cache(maxsize=8192)
def _subscribed_key(url: str) -> str:
    return repository_key(url)


def _to_try(subscribed: Iterable[Subscription], *, limit: int) -> list[Subscription]:
    """One subscription per Secret, at most `limit` and MAX_SECRETS; namespaces take turns, so that none can crowd out the others."""
    by_namespace: dict[str, dict[str, Subscription]] = {}
    for one in sorted(subscribed, key=lambda one: (one.namespace, one.secret_name, one.name)):
        by_namespace.setdefault(one.namespace, {}).setdefault(one.secret_name, one)
    rounds = itertools.zip_longest(*(by_secret.values() for by_secret in by_namespace.values()))
    return [one for turn in rounds for one in turn if one is not None][: min(limit, MAX_SECRETS)]


def _answer(verdict: _Verdict) -> web.Response:
    status, body = _ANSWERS[verdict.result]
    response = web.json_response({"error": verdict.detail} if verdict.detail else body, status=status)
    if verdict.retry_after:
        response.headers["Retry-After"] = str(verdict.retry_after)
    if verdict.result is Result.METHOD_NOT_ALLOWED:
        response.headers["Allow"] = "POST"
    if verdict.result in _CLOSING:
        response.force_close()
    return response


def _address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or not 0 <= int(port) <= 65535:
        raise errors.SettingsError(f"{one_line(listen)!r} is no address for the webhook; write HOST:PORT, for example 0.0.0.0:9292")
    return host.strip("[]"), int(port)
