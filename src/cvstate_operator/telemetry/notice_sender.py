"""The sender: brings notices to one target, in order, as often as it takes, and no more of them at a time than fit.

What waits is kept by incident, so that a target that was away for long is told how things are, and not how they came to be. What it takes to be asked again
(back-off, Retry-After) is as for any server; a request that would be refused again the same way is given up.
"""

import asyncio
import logging
import random
import ssl
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import aiohttp

from cvstate_operator import __version__, errors
from cvstate_operator.api.duration import parse_seconds
from cvstate_operator.api.notices import NoticeTarget, NoticeType
from cvstate_operator.network.resolver import JudgingResolver
from cvstate_operator.objects.address import AddressPolicy
from cvstate_operator.objects.redaction import one_line
from cvstate_operator.plan import backoff
from cvstate_operator.plan.incident_course import Phase
from cvstate_operator.plan.incidents import Key, Notice
from cvstate_operator.telemetry import notice_bodies, notice_files
from cvstate_operator.telemetry.endpoint import judging
from cvstate_operator.telemetry.notice_files import Access

MAX_WAITING: Final = 2000
"""Incidents that wait for one target: two of each of 1,000 ClusterStates. About 2 MB."""
GATHER_SECONDS: Final = 1.0
"""Pause before each request: what happens together is told together, and Slack takes one message a second. Source: Slack, "Rate limits"."""
CHAT_SECONDS: Final = 15.0
"""Shortest time between two messages in a chat: a Git host that fails is noticed by a thousand ClusterStates within a minute, and people want to read of it in a few
messages, not in sixty."""
OK: Final = "ok"
FAILED: Final = "failed"
"""Result of a request that is made again."""
DROPPED: Final = "dropped"
"""Result of notices that are given up: the target will never take them, too many wait, it is a target no more, or the process ends before it took them."""

_log = logging.getLogger(__name__)


class Sender:
    """One for each target. To be used in one event loop, and closed at its end."""

    def __init__(
        self,
        target: NoticeTarget,
        policy: AddressPolicy,
        *,
        count: Callable[[str, int], None],
        gather_seconds: float = GATHER_SECONDS,
        chat_seconds: float = CHAT_SECONDS,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """
        Args:
            target: where notices go.
            policy: which hosts may be asked.
            count: told of every request: OK, FAILED or DROPPED, and of how many notices.
            gather_seconds: pause before each request.
            chat_seconds: shortest time between two requests to a chat.
            now: the time of day, UTC.
        """
        self.target = target
        """May be replaced by another one of its name."""
        self._policy = policy
        self._count = count
        self._gather_seconds = gather_seconds
        self._chat_seconds = chat_seconds
        self._chatted_at = float("-inf")
        """When a chat was told last, loop time."""
        self._now = now
        self._waiting: dict[Key, Notice] = {}
        """What was heard of last comes last."""
        self._doubtful: set[Key] = set()
        """Of these, the ones that the target may know of although no answer said so."""
        self._more = asyncio.Event()
        self._sending = asyncio.Lock()
        self._failures = 0
        """Requests in a row that failed."""
        self._said = ""
        """Reason of the last failure that was logged."""
        self._session: tuple[str, aiohttp.ClientSession, JudgingResolver] | None = None
        self._tls: tuple[str, ssl.SSLContext] | None = None
        self._task = asyncio.create_task(self._run(), name=f"notices to {target.name}")

    def offer(self, notices: Iterable[Notice]) -> None:
        """Have notices sent, soon; never blocks. If too many wait, new ones are given up."""
        dropped = 0
        for notice in notices:
            before = self._waiting.pop(notice.key, None)
            if before is None and len(self._waiting) >= MAX_WAITING:
                dropped += 1
            elif merged := _merged(before, notice, is_doubtful=notice.key in self._doubtful):
                self._waiting[notice.key] = merged
        if dropped:
            self._count(DROPPED, dropped)
            _log.error("notices given up: too many wait", extra={**self._about, "number": dropped})
        if self._waiting:
            self._more.set()

    async def close(self, *, seconds: float) -> None:
        """Send what waits, as far as there is time, and end. What waits then still is given up: a later life takes it for told, and nothing keeps it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                async with self._sending:  # what is on its way would else be sent twice
                    self._task.cancel()
                while self._waiting and not await self._step():
                    pass
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if self._waiting:
            self._count(DROPPED, len(self._waiting))
            _log.warning("ended with notices that were not sent", extra={**self._about, "number": len(self._waiting)})
        await self._disconnect()

    @property
    def _about(self) -> dict[str, str]:
        return {"target": self.target.name, "type": self.target.type.value}

    async def _run(self) -> None:
        while True:
            await self._more.wait()
            await asyncio.sleep(self._pause())
            try:
                pause = await self._step()
            except Exception:  # one target, or one notice, must not end all that follow
                _log.exception("internal error while sending notices, trying again", extra=self._about)
                pause = backoff.LONGEST_SECONDS[errors.TransientError]
            await asyncio.sleep(pause)

    def _pause(self) -> float:
        """Seconds in which more may come together before the next request."""
        if self.target.type is not NoticeType.SLACK:
            return self._gather_seconds
        return max(self._gather_seconds, self._chatted_at + self._chat_seconds - asyncio.get_running_loop().time())

    async def _step(self) -> float:
        """Send some of what waits; how many seconds to wait before the next request: 0, unless this one failed."""
        async with self._sending:
            batch = list(self._waiting.values())[: notice_bodies.most(self.target.type)]
            if not batch:
                self._more.clear()
                return 0.0
            try:
                await self._send(batch)
            except errors.InvalidError as exc:
                self._count(DROPPED, len(batch))
                _log.error(
                    "notices given up: the target does not take them", extra={**self._about, "error": exc.message, "number": len(batch)}
                )
            except errors.CvstateError as exc:
                return self._failed(exc, len(batch))
            else:
                self._count(OK, len(batch))
                self._chatted_at = asyncio.get_running_loop().time()
                if self._said:
                    _log.info("notices are taken again", extra=self._about)
            self._failures, self._said = 0, ""
            self._done(batch)
            return 0.0

    def _failed(self, error: errors.CvstateError, number: int) -> float:
        """A request failed that is to be repeated; after how many seconds. Logged once for each kind of failure in a row."""
        self._failures += 1
        self._count(FAILED, number)
        if error.reason != self._said:
            self._said = error.reason
            fault = {"reason": error.reason, "error": error.message, "waiting": len(self._waiting)}
            _log.warning("notices not sent, trying again", extra={**self._about, **fault})
        return backoff.pause_seconds(error, self._failures, random=random.random())  # noqa: S311 - jitter

    def _done(self, batch: Iterable[Notice]) -> None:
        """Nothing of this waits any more, but for what came in place of it meanwhile."""
        for notice in batch:
            self._doubtful.discard(notice.key)
            if self._waiting.get(notice.key) is notice:
                del self._waiting[notice.key]
        if not self._waiting:
            self._more.clear()

    async def _send(self, batch: list[Notice]) -> None:
        """One request.

        Raises:
            InvalidError: the target refuses this content, so that it would again.
            CvstateError: anything else that went wrong; to be tried again.
        """
        news = {notice.key for notice in batch} - self._doubtful
        self._doubtful |= news  # before anything is waited for: what comes meanwhile must not take a notice away that is on its way
        try:
            access = await asyncio.to_thread(notice_files.read, self.target, self._policy)
        except errors.CvstateError:
            self._doubtful -= news
            raise
        content = notice_bodies.body(self.target, batch, self._now())
        headers = {"Content-Type": "application/json", **dict(access.headers)}
        if access.key:
            headers[notice_bodies.SIGNATURE_HEADER] = notice_bodies.signature(access.key, content)
        try:
            async with asyncio.timeout(parse_seconds(self.target.timeout)):
                session = await self._connected(access)
                secure = self._context(access) if access.url.scheme == "https" else True
                async with session.post(access.url, data=content, headers=headers, ssl=secure, allow_redirects=False) as response:
                    # What else it says is of no use, and may repeat what is secret.
                    status, retry_after = response.status, response.headers.get("Retry-After")
        except TimeoutError as exc:
            raise errors.ServerTimeoutError(f"{access.origin} did not answer within {self.target.timeout}") from exc
        except errors.CvstateError:
            self._doubtful -= news  # the address may not be asked
            raise
        except aiohttp.ClientConnectorError as exc:
            self._doubtful -= news  # there was no connection, so nothing came there
            raise errors.NetworkError(f"{access.origin} {_why(exc)}") from exc
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            raise errors.NetworkError(f"{access.origin} closed the connection, or does not speak HTTP as it should") from exc
        if fault := _fault(status, retry_after, access.origin, self._now()):
            raise fault

    async def _connected(self, access: Access) -> aiohttp.ClientSession:
        """Kept, so that connections are; http and https resolve names by different rules."""
        if self._session and self._session[0] == access.url.scheme:
            return self._session[1]
        await self._disconnect()
        resolver = JudgingResolver(judging(self._policy, is_plain=access.url.scheme == "http"))
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False, limit=1),
            timeout=aiohttp.ClientTimeout(total=None),  # each request has its own deadline
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": f"cvstate-operator/{__version__}"},
            trust_env=False,
        )
        self._session = access.url.scheme, session, resolver
        return session

    async def _disconnect(self) -> None:
        if self._session:
            _, session, resolver = self._session
            self._session = None
            await session.close()
            await resolver.close()

    def _context(self, access: Access) -> ssl.SSLContext:
        """Kept as long as the authority is the same; aiohttp gives a connection only to who has the same context.

        Raises:
            SettingsError: the authority's certificates cannot be used.
        """
        if self._tls is None or self._tls[0] != access.authority:
            try:
                context = ssl.create_default_context(cadata=access.authority or None)
            except ssl.SSLError as exc:
                raise errors.SettingsError(f"notice target {self.target.name}: caFile holds no certificate that can be used") from exc
            self._tls = access.authority, context
        return self._tls[1]


def _merged(before: Notice | None, after: Notice, *, is_doubtful: bool) -> Notice | None:
    """What is to be sent in place of two notices of one incident; None if nothing is, since the target knows of neither its begin nor its end."""
    if before is None or before.phase is not Phase.OPENED or is_doubtful:
        return after
    match after.phase:
        case Phase.RESOLVED:
            return None
        case Phase.UPDATED:
            # Its target never heard of it: that is how it is opened, as it is now.
            return replace(after, phase=Phase.OPENED)
        case Phase.OPENED:
            return after


def _fault(status: int, retry_after: str | None, origin: str, now: datetime) -> errors.CvstateError | None:
    """What a status means; None for success. What the content is to blame for is an InvalidError."""
    seconds = _seconds(retry_after, now)
    match status:
        case _ if 200 <= status < 300:
            return None
        case 408 | 425:
            return errors.ServerTimeoutError(f"{origin} answered HTTP {status}", retry_after_seconds=seconds)
        case 429:
            return errors.ThrottledError(f"{origin} asks for fewer requests (HTTP 429)", retry_after_seconds=seconds)
        case 400 | 413 | 422:
            return errors.InvalidError(f"{origin} does not take this content (HTTP {status}); is the target's type right?")
        case _ if status >= 500:
            return errors.ServerError(f"{origin} answered HTTP {status}", retry_after_seconds=seconds)
        case _ if 300 <= status < 400:
            return errors.InvalidURLError(f"{origin} redirects (HTTP {status}), which is not followed; give the address itself")
        case 401 | 403:
            return errors.AuthFailedError(f"{origin} refuses us (HTTP {status}); correct the URL or headersFile")
        case _:
            return errors.InvalidURLError(f"{origin} has nothing at this address (HTTP {status}); correct the URL")


def _seconds(retry_after: str | None, now: datetime) -> float | None:
    """Seconds that a Retry-After header asks for: a number, or a date (RFC 9110 §10.2.3); None for anything else."""
    if retry_after is None:
        return None
    if retry_after.isascii() and retry_after.isdecimal() and len(retry_after) <= 9:
        return float(retry_after)
    try:
        moment = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max(0.0, (moment.astimezone(UTC) - now).total_seconds())


def _why(error: aiohttp.ClientConnectorError) -> str:
    """Why there is no connection, in words that are the same each time."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return "shows a certificate that is not accepted; give its authority as caFile, or renew it"
        case aiohttp.ClientConnectorDNSError():
            return f"has a name that was not resolved: {one_line(error.os_error.strerror or 'no address')}"
        case aiohttp.ClientConnectorSSLError():
            return "speaks no TLS that we can use"
        case _:
            return "cannot be reached"
