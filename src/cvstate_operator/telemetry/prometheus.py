"""Prometheus: asks instant queries over HTTP, for signals and SLOs. What comes back is series, or a reading with how fresh the data behind it is.

Equal questions of the same endpoint are asked once: who comes while one is on its way waits for its answer, and who comes shortly after gets it too.
An endpoint has credentials and a namespace in it (`endpoint.py`), so nobody gets what was answered to somebody else's credentials.

Everything is bounded: time, bytes, series, connections, lookups of names, and questions in flight (`question_turns.py`), so that nobody's server holds up others.
"""

import asyncio
import ssl
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import Final, Self

import aiohttp

from cvstate_operator import __version__, errors
from cvstate_operator.isolation.fair import TurnEndedError
from cvstate_operator.network.lookups import Lookups
from cvstate_operator.network.resolver import JudgingResolver
from cvstate_operator.objects.address import AddressPolicy
from cvstate_operator.objects.redaction import one_line
from cvstate_operator.telemetry import endpoint, fresh_reading, prometheus_answer
from cvstate_operator.telemetry.endpoint import Endpoint, judging
from cvstate_operator.telemetry.prometheus_answer import MAX_BYTES, MAX_SERIES, NoAnswerError, Series
from cvstate_operator.telemetry.question_turns import HELD_SECONDS, IN_FLIGHT, Turns
from cvstate_operator.vital.language import promql
from cvstate_operator.vital.reading import Gap, Reading, gap

LOOKUPS: Final = 32
"""Names that are looked up at a time, in all: one for each question."""
LOOKUPS_PER_NAMESPACE: Final = 4
"""As of remote clusters. A thread waits for a silent name server for half a minute, also if its question has ended: eight such namespaces take all."""
SHARED_SECONDS: Final = 5.0
"""An answer that somebody else got so long ago will do: shorter than any usual interval of signals."""
RETRY_SECONDS: Final = 0.5
"""After which a refused connection is tried once more: longer than a Pod needs to be replaced behind its Service."""

_CHUNK_BYTES: Final = 64 * 1024
_SERVER_SHARE: Final = 0.9
"""Of our time is what the server may take, so that it can tell that it took too long."""
_KEPT_ANSWERS: Final = 512
_KEPT_CHARACTERS: Final = 16 * 1024
"""Of labels: larger answers are not kept for those who come after."""
_SERIES_CHARACTERS: Final = 100
"""What a series counts for without its labels."""
_TLS_CONTEXTS: Final = 64
_asker: ContextVar[str] = ContextVar("asker")
"""Namespace of the question that a task asks."""


@dataclass(frozen=True, slots=True)
class _Answer:
    series: tuple[Series, ...]
    asked: float
    """When, loop time."""


_Question = tuple[Endpoint, str, float]


class PrometheusClient:
    """One for the process. To be used in one event loop, and closed at its end."""

    def __init__(
        self,
        policy: AddressPolicy,
        *,
        observe: Callable[[str, float], None] = lambda result, seconds: None,
        waited: Callable[[float], None] = lambda seconds: None,
        shared_seconds: float = SHARED_SECONDS,
    ) -> None:
        """
        Args:
            policy: which hosts may be asked.
            observe: told of every request: `success` or the word of its Gap, and how many seconds it took.
            waited: told of every question for how many seconds it waited for its turn, whether it had one or not.
            shared_seconds: how old an answer may be that somebody else got; 0: only questions on their way are shared.
        """
        self._policy = policy
        self._observe = observe
        self._waited = waited
        self._shared_seconds = shared_seconds
        self._sessions: dict[str, aiohttp.ClientSession] = {}
        self._lookups = Lookups(LOOKUPS, each=LOOKUPS_PER_NAMESPACE)
        self._tls: dict[tuple[str, bytes], ssl.SSLContext] = {}
        self._turns = Turns()
        self._asking: dict[_Question, asyncio.Task[_Answer]] = {}
        self._kept: dict[_Question, _Answer] = {}
        self._is_closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """End what is on its way, and all connections. Whoever asks later gets no answer."""
        self._is_closed = True
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()
        self._lookups.close()

    async def ask(self, where: Endpoint, query: str, *, timeout_seconds: float) -> tuple[Series, ...]:
        """The series that a query gives now, in the server's order; one without labels for a scalar. Empty if there are none.

        Args:
            where: whom to ask.
            query: PromQL that gives a scalar or an instant vector.
            timeout_seconds: for everything: waiting for others, connecting, evaluation, transfer.

        Raises:
            NoAnswerError: with the gap that a reading has without it.
        """
        return (await self._shared(where, query, timeout_seconds, SHARED_SECONDS)).series

    async def read(
        self,
        where: Endpoint,
        query: str,
        *,
        timeout_seconds: float,
        stale_after_seconds: float,
        now: datetime,
        max_age_seconds: float = SHARED_SECONDS,
    ) -> Reading:
        """A query's lowest and highest value, and when the data behind it was taken (`fresh_reading` tells how that is judged). It never raises.

        Args:
            where: whom to ask.
            query: PromQL that gives a scalar or an instant vector.
            timeout_seconds: for everything; as much again where series ended, and it is searched for when.
            stale_after_seconds: data whose newest sample is older is no data.
            max_age_seconds: an answer that others got so long ago will do, if it is still kept.
            now: the time, UTC; ages are told by the server's clock, and counted back from here.
        """
        entered = asyncio.get_running_loop().time()
        try:
            fresh = promql.freshness(query)
        except promql.PromqlError as exc:
            return gap(Gap.QUERY_FAILED, f"the query is no PromQL: {exc}", asked_at=now)
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(self._attempt(where, query, timeout_seconds, max_age_seconds))
            telling = group.create_task(self._attempt(where, fresh.living, timeout_seconds, max_age_seconds)) if fresh else None
        found, told = asking.result(), telling.result() if telling else None
        if isinstance(found, NoAnswerError):
            return gap(found.gap, found.message, asked_at=now)
        if fresh and found.series and isinstance(told, _Answer) and len(told.series) < fresh.selectors:
            told = await self._attempt(where, fresh.newest, timeout_seconds, max_age_seconds)
        if isinstance(told, NoAnswerError):
            return gap(told.gap, f"how old the data is cannot be told: {told.message}", asked_at=now)
        began = min(found.asked, told.asked) if told else found.asked
        asked_at = now + timedelta(seconds=began - entered)  # earlier if somebody else asked
        return fresh_reading.judge(found.series, told.series if told else None, stale_after_seconds=stale_after_seconds, asked_at=asked_at)

    async def _attempt(self, where: Endpoint, query: str, timeout_seconds: float, max_age: float) -> _Answer | NoAnswerError:
        try:
            return await self._shared(where, query, timeout_seconds, max_age)
        except NoAnswerError as exc:
            return exc

    async def _shared(self, where: Endpoint, query: str, timeout_seconds: float, max_age: float) -> _Answer:
        """The answer to a question that others may have asked too. Whoever gives up waiting leaves the question to the others."""
        if self._is_closed:
            raise NoAnswerError(Gap.UNREACHABLE, "the operator ends")
        question = (where, query, timeout_seconds)
        oldest = asyncio.get_running_loop().time() - min(self._shared_seconds, max_age)
        if (kept := self._kept.get(question)) and kept.asked > oldest:
            return kept
        task = self._asking.get(question)
        if task is None:
            task = self._asking[question] = asyncio.create_task(self._ask(where, query, timeout_seconds))
            task.add_done_callback(lambda done: self._answered(question, done))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():  # by `close`, not by who waits here
                raise NoAnswerError(Gap.UNREACHABLE, "the operator ends") from None
            raise

    def _answered(self, question: _Question, task: asyncio.Task[_Answer]) -> None:
        del self._asking[question]
        if task.cancelled() or task.exception() is not None or self._shared_seconds <= 0:
            return
        answer = task.result()
        oldest = answer.asked - self._shared_seconds
        while self._kept and (first := next(iter(self._kept))) and self._kept[first].asked <= oldest:
            del self._kept[first]
        if len(self._kept) < _KEPT_ANSWERS and _characters(answer.series) <= _KEPT_CHARACTERS:
            self._kept.pop(question, None)
            self._kept[question] = answer  # at the end: the oldest come first

    async def _ask(self, where: Endpoint, query: str, timeout_seconds: float) -> _Answer:
        """One question, when it is its turn. A task of its own, so that what it asks in its context is its alone."""
        _asker.set(where.namespace)
        loop = asyncio.get_running_loop()
        asked = loop.time()
        deadline = asked + timeout_seconds
        began: float | None = None
        try:
            async with asyncio.timeout_at(deadline), self._turns.turn(where.namespace, where.origin):
                began = loop.time()
                self._waited(began - asked)
                series = await self._request(where, query, deadline)
                self._observe("success", loop.time() - began)
                return _Answer(series, began)
        except TimeoutError:
            what = f"{where.origin} {'did not answer' if began is not None else 'had no turn'} within {timeout_seconds:g} s"
            why = "" if began is not None else ": it, or all servers of its namespace together, are asked too much at a time"
            failure = NoAnswerError(Gap.UNREACHABLE, what + why)
        except TurnEndedError:
            failure = NoAnswerError(Gap.UNREACHABLE, f"{where.origin} did not answer within {HELD_SECONDS:g} s, and others waited")
        except errors.CvstateError as exc:
            failure = NoAnswerError(Gap.REFUSED, exc.message)
        except NoAnswerError as exc:
            failure = NoAnswerError(exc.gap, where.masked(exc.message))
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            failure = NoAnswerError(Gap.UNREACHABLE, f"{where.origin} {_why(exc)}")
        if began is not None:
            self._observe(failure.gap, loop.time() - began)
        else:
            self._waited(loop.time() - asked)
        raise failure

    async def _request(self, where: Endpoint, query: str, deadline: float) -> tuple[Series, ...]:
        """Asks, and once more if the connection was not accepted, or was dead already: a Pod may just have been replaced."""
        try:
            return await self._post(where, query, deadline)
        except (aiohttp.ClientConnectorError, aiohttp.ServerDisconnectedError, ConnectionError) as exc:
            if isinstance(exc, aiohttp.ClientConnectorError) and not isinstance(exc.os_error, ConnectionError):
                raise
        await asyncio.sleep(RETRY_SECONDS)
        return await self._post(where, query, deadline)

    async def _post(self, where: Endpoint, query: str, deadline: float) -> tuple[Series, ...]:
        remaining = deadline - asyncio.get_running_loop().time()
        form = {"query": query, "timeout": f"{max(remaining * _SERVER_SHARE, 0.001):.3f}", "limit": str(MAX_SERIES + 1)}
        headers = {"Authorization": where.authorization} if where.authorization else {}
        target = where.target
        secure = self._context(where) if target.scheme == "https" else True
        async with self._session(target.scheme).post(target, data=form, headers=headers, ssl=secure, allow_redirects=False) as response:
            if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                raise NoAnswerError(Gap.UNREACHABLE, "the answer is compressed, which was not asked for")
            body = bytearray()
            async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
                body += chunk
                if len(body) > MAX_BYTES:
                    response.close()
                    raise prometheus_answer.too_many(f"more than {MAX_BYTES // 2**20} MiB")
            return prometheus_answer.read(response.status, bytes(body))

    def _session(self, scheme: str) -> aiohttp.ClientSession:
        """One for http and one for https, for they resolve names by different rules."""
        if scheme not in self._sessions:
            resolver = JudgingResolver(judging(self._policy, is_plain=scheme == "http"), lookups=self._lookups, tenant=_asker)
            self._sessions[scheme] = aiohttp.ClientSession(
                # Without its cache aiohttp looks a name up in the task that connects, and not in that of the first of all who wait for it.
                connector=aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False, limit=IN_FLIGHT),
                timeout=aiohttp.ClientTimeout(total=None),  # each question has its own deadline
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": f"cvstate-operator/{__version__}", "Accept": "application/json", "Accept-Encoding": "identity"},
                auto_decompress=False,
                trust_env=False,
            )
        return self._sessions[scheme]

    def _context(self, where: Endpoint) -> ssl.SSLContext:
        """Kept, so that connections are; aiohttp gives a connection only to who has the same context."""
        key = (where.authority, where.identity)
        if (context := self._tls.get(key)) is None:
            if len(self._tls) >= _TLS_CONTEXTS:
                del self._tls[next(iter(self._tls))]
            context = self._tls[key] = endpoint.tls(where)
        return context


def _characters(series: tuple[Series, ...]) -> int:
    """About as much as they need in memory."""
    return sum(_SERIES_CHARACTERS + sum(len(name) + len(value) for name, value in one.labels.items()) for one in series)


def _why(error: Exception) -> str:
    """What went wrong with a connection, in words that are the same each time."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            cause = error.certificate_error
            said = getattr(cause, "verify_message", "") or str(cause)
            return f"shows a certificate that is not accepted: {one_line(said)}; give its authority as ca.crt in the Secret, or renew it"
        case aiohttp.ClientConnectorDNSError():
            # In the system's words, or those of `network/lookups.py`: it may be the name servers of others that do not answer.
            return f"has a name that was not resolved: {one_line(error.os_error.strerror or 'no address')}"
        case aiohttp.ClientSSLError() | ssl.SSLError():
            cause = getattr(error, "os_error", error)
            return f"speaks no TLS that we can use: {one_line(getattr(cause, 'reason', '') or 'TLS failed')}; does it want a client certificate?"
        case aiohttp.ClientConnectorError() if isinstance(error.os_error, ConnectionRefusedError):
            return "refuses the connection"
        case aiohttp.ClientConnectorError():
            return f"cannot be reached: {one_line(error.os_error.strerror or 'no connection')}"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientPayloadError() | OSError():
            return "closed the connection before the answer was whole"
        case _:
            return "does not speak HTTP as it should"
