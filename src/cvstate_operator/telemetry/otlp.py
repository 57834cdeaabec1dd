"""OTLP: sends finished traces to a collector, by OTLP/HTTP in its JSON encoding. `traces.py` gives them, `operator/app.py` opens and closes it.

Nobody waits for it. A trace is encoded when it is over, which costs some microseconds a span; what waits to be sent is bounded in bytes, and what finds no room is
dropped and counted. The rest is one task: requests one at a time, repeated with back-off while the collector is away.

By hand, and not by the OpenTelemetry SDK (measured with 1.45.2, in a process that has loaded the operator): that takes 75 µs of the one core that repairs for each span, made
and encoded, against 24 µs here, and 39 µs against 6 for a span of a quiet trace, which is most of them; 2.6 MB against 0.3; a thread of its own; and eight packages, protobuf among them. Which
traces are worth sending would have to be decided outside of it all the same. The encoding is a stable specification, and what is sent can be read by its protobuf definitions.

Source: https://opentelemetry.io/docs/specs/otlp/, with the numbers of https://opentelemetry.io/docs/specs/otel/trace/sdk/#batching-processor where it has any.
"""

import asyncio
import logging
import random
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

import aiohttp
import orjson
from yarl import URL

from cvstate_operator import __version__, errors
from cvstate_operator.objects.redaction import one_line
from cvstate_operator.telemetry.collector import Destination
from cvstate_operator.telemetry.spans import MAX_TEXT, Finished, Link, Value

LINGER_SECONDS: Final = 5.0
"""How long a trace waits for others to be sent with; the batching processor's own default."""
BATCH_BYTES: Final = 512 * 1024
"""About which size a request has: 512 spans, the batching processor's default, of 1 KiB. A single trace may be larger; collectors take 20 MiB."""
WAITING_BYTES: Final = 4 * 1024 * 1024
"""How much may wait; the batching processor's default is 2,048 spans. More would only grow while a collector is away."""
REQUEST_SECONDS: Final = 10.0
"""For one request; OTEL_EXPORTER_OTLP_TIMEOUT's default."""
ATTEMPTS: Final = 6
"""After half a minute of refusals, or a minute and a half without answers, a batch is given up: newer ones are worth more."""
FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 30.0
"""Also of a Retry-After."""
JITTER: Final = 0.2
"""Share by which a pause may be shorter or longer: several replicas have the same collector."""

_RETRYABLE: Final = frozenset({429, 502, 503, 504})
"""All others must not be repeated (OTLP, Retryable Response Codes)."""
_ANSWER_BYTES: Final = 64 * 1024
_GRPC_PORT: Final = 4317
_SAMPLED: Final = 1
"""W3C trace flags."""
_ERROR: Final = 2
"""trace.proto, Status.STATUS_CODE_ERROR."""

_log = logging.getLogger(__name__)

Observe = Callable[[str, int], None]
"""Told what became of so many spans: `ok`; `failed`, since the collector refused them or was away for too long; `dropped`, for want of room, or of time at the
end."""


class _Waiting(NamedTuple):
    """One trace, encoded."""

    data: bytes
    """Its spans, separated by commas."""
    spans: int
    """How many."""


class _Answer(NamedTuple):
    """What the collector said to one request."""

    why: str = ""
    """What went wrong, for people; empty if nothing did."""
    is_final: bool = True
    """Whether it is of no use to repeat the request."""
    refused: int | None = 0
    """So many of the spans were not taken; None: none of them was taken."""
    retry_after: float | None = None
    """Seconds that the collector asks for."""


class Exporter:
    """One for the process. To be used in one event loop: `start`, `offer` as often as wanted, `close`."""

    def __init__(
        self,
        target: Destination,
        *,
        about: Mapping[str, str],
        observe: Observe,
        linger_seconds: float = LINGER_SECONDS,
        waiting_bytes: int = WAITING_BYTES,
        rest: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """
        Args:
            target: where traces go.
            about: attributes of the process, as of `collector.resource`.
            observe: told what became of them.
            linger_seconds: how long a trace waits for others.
            waiting_bytes: how much may wait.
            rest: waits for so many seconds before a request is repeated.
        """
        self._target = target
        self._observe = observe
        self._linger_seconds = linger_seconds
        self._waiting_bytes = waiting_bytes
        self._rest = rest
        self._head = _head(about)
        self._waiting: deque[_Waiting] = deque()
        self._bytes = 0
        """Of what waits."""
        self._anything = asyncio.Event()
        self._enough = asyncio.Event()
        """Set when a request is worth sending at once."""
        self._is_closing = False
        self._is_failing = False
        self._session: aiohttp.ClientSession | None = None
        self._secure: ssl.SSLContext | bool = True
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to send.

        Raises:
            SettingsError: the file with the collector's authorities cannot be used.
        """
        if self._target.authorities:
            try:
                self._secure = ssl.create_default_context(cafile=self._target.authorities)
            except OSError as exc:  # ssl.SSLError is one, too
                raise errors.SettingsError(
                    f"OTEL_EXPORTER_OTLP_CERTIFICATE: {one_line(self._target.authorities)} holds no certificates that can be read"
                ) from exc
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": f"cvstate-operator/{__version__}", "Content-Type": "application/json", **self._target.headers},
            trust_env=False,
        )
        self._task = asyncio.create_task(self._run(), name="export traces")

    def offer(self, spans: Sequence[Finished]) -> None:
        """Take the spans of one trace to be sent; they are dropped if there is no room. Neither waits nor raises."""
        data = b",".join(map(encode, spans))
        if self._is_closing or self._bytes + len(data) > self._waiting_bytes:
            self._observe("dropped", len(spans))
            return
        self._waiting.append(_Waiting(data, len(spans)))
        self._bytes += len(data)
        self._anything.set()
        if self._bytes >= BATCH_BYTES:
            self._enough.set()

    async def close(self, *, seconds: float) -> None:
        """Send what waits, as far as there is time; what comes now is dropped."""
        self._is_closing = True
        self._anything.set()
        self._enough.set()
        if self._task:
            await asyncio.wait({self._task}, timeout=seconds)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._waiting:
            self._observe("dropped", sum(one.spans for one in self._waiting))
            _log.warning("traces dropped at the end", extra={"count": len(self._waiting)})
            self._waiting.clear()
        if self._session:
            await self._session.close()

    async def _run(self) -> None:
        while self._waiting or not self._is_closing:
            await self._anything.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._linger_seconds):
                    await self._enough.wait()
            if batch := self._take():
                try:
                    await self._deliver(batch)
                except Exception:  # later traces may get through
                    _log.exception("internal error while sending traces")

    def _take(self) -> list[_Waiting]:
        """What goes into one request: at least one trace if any waits."""
        batch: list[_Waiting] = []
        size = 0
        while self._waiting and (not batch or size + len(self._waiting[0].data) <= BATCH_BYTES):
            batch.append(self._waiting.popleft())
            size += len(batch[-1].data)
        self._bytes -= size
        if not self._is_closing:
            if not self._waiting:
                self._anything.clear()
            if self._bytes < BATCH_BYTES:
                self._enough.clear()
        return batch

    async def _deliver(self, batch: Sequence[_Waiting]) -> None:
        """Send one request until the collector takes or refuses it, or it is given up."""
        body = b"".join((self._head, b",".join(one.data for one in batch), b"]}]}]}"))
        number = sum(one.spans for one in batch)
        is_told = False
        try:
            for attempt in range(ATTEMPTS):
                answer = await self._post(body)
                self._say(answer.why)
                if answer.is_final or attempt + 1 == ATTEMPTS:
                    break
                await self._rest(_pause(attempt, answer.retry_after))
            failed = number if answer.refused is None else min(answer.refused, number)
            self._observe("ok", number - failed)
            self._observe("failed", failed)
            is_told = True
        finally:
            if not is_told:  # we are ended meanwhile
                self._observe("dropped", number)

    def _say(self, why: str) -> None:
        """Tell once that traces do not get through, and once that they do again; `why` is empty if they do."""
        if bool(why) == self._is_failing:
            return
        self._is_failing = bool(why)
        if why:
            _log.warning("traces are not taken", extra={"collector": self._target.origin, "error": why})
        else:
            _log.info("traces are taken again", extra={"collector": self._target.origin})

    async def _post(self, body: bytes) -> _Answer:
        assert self._session is not None  # nothing is sent before `start`  # noqa: S101
        url = URL(self._target.url, encoded=True)
        hint = "; this is usually the port of gRPC, that of HTTP is 4318" if url.port == _GRPC_PORT else ""
        try:
            async with self._session.post(url, data=body, ssl=self._secure, allow_redirects=False) as response:
                return _judged(response.status, response.headers.get("Retry-After"), await _read(response), hint)
        except TimeoutError:
            return _Answer(f"no answer within {REQUEST_SECONDS:g} s{hint}", is_final=False, refused=None)
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            return _Answer(f"cannot be reached: {type(exc).__name__}{hint}", is_final=False, refused=None)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The beginning of an answer's body; the rest of an endless one is not waited for."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > _ANSWER_BYTES:
            response.close()
            break
    return bytes(body)


def encode(span: Finished) -> bytes:
    """A span as the JSON object that OTLP wants: ids in hexadecimal, times and integers as decimal text, enumerations as numbers."""
    found: dict[str, Any] = {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        "flags": _SAMPLED,
        "name": span.name,
        "kind": int(span.kind),
        "startTimeUnixNano": str(span.started),
        "endTimeUnixNano": str(span.ended),
        "attributes": [{"key": key, "value": _value(value)} for key, value in span.attributes.items()],
    }
    if span.parent_id:
        found["parentSpanId"] = span.parent_id
    if span.links:
        found["links"] = [_link(link) for link in span.links]
    if span.error is not None:
        found["status"] = {"code": _ERROR, "message": one_line(span.error, MAX_TEXT)}
    return orjson.dumps(found)


def _pause(attempt: int, retry_after: float | None) -> float:
    """Seconds before the next attempt; `attempt` counts from 0."""
    pause = FIRST_PAUSE_SECONDS * 2.0**attempt * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - jitter
    return min(max(pause, retry_after or 0.0), LONGEST_PAUSE_SECONDS)


def _link(link: Link) -> dict[str, Any]:
    return {"traceId": link.trace_id, "spanId": link.span_id, "flags": _SAMPLED}


def _value(value: Value) -> dict[str, Any]:
    match value:
        case bool():  # before int, which it is, too
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case str():
            return {"stringValue": one_line(value, MAX_TEXT)}


def _head(about: Mapping[str, str]) -> bytes:
    """Everything of a request that comes before its spans."""
    process = orjson.dumps({"attributes": [{"key": key, "value": _value(value)} for key, value in about.items()]})
    scope = orjson.dumps({"name": "cvstate_operator", "version": __version__})
    return b'{"resourceSpans":[{"resource":' + process + b',"scopeSpans":[{"scope":' + scope + b',"spans":['


def _judged(status: int, retry_after: str | None, body: bytes, hint: str) -> _Answer:
    """What a collector's answer means."""
    if status in _RETRYABLE:
        seconds = float(retry_after) if retry_after and retry_after.isascii() and retry_after.isdigit() else None
        return _Answer(f"HTTP {status}", is_final=False, refused=None, retry_after=seconds)
    if not 200 <= status < 300:
        return _Answer(f"HTTP {status}{hint}", refused=None)
    lost, message = _rejected(body)
    return _Answer(f"{lost} spans refused: {message}", refused=lost) if lost else _Answer()


def _rejected(body: bytes) -> tuple[int, str]:
    """How many spans a collector refused that took the others, and why. What is no such answer says nothing of the kind."""
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        return 0, ""
    match told:
        case {"partialSuccess": {"rejectedSpans": int() | str() as number, **rest}}:
            text = str(number)
            count = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0
            return count, one_line(str(rest.get("errorMessage") or ""))
    return 0, ""
