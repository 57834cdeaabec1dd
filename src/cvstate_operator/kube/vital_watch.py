"""A vital watch: every object of one collection, listed once and then followed, told to a tally that keeps a few numbers. Nothing else is kept.

Unlike an informer it holds no objects, is not bound to our label, and lives only as long as somebody asks. A cluster in which nothing happens costs nothing but a bookmark
a minute. The rules of the stream are those of the informer (kube/informer.py): it goes on from the version that it brought last, is believed while it says something,
and begins anew with a list when that version expired, or when it fell silent twice.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from cvstate_operator import errors
from cvstate_operator.kube.client import Client
from cvstate_operator.kube.informer import OPENING_SECONDS, SILENCE_SECONDS, WATCH_SECONDS, patience
from cvstate_operator.plan.backoff import LONGEST_ASKED_SECONDS

PAGE_OBJECTS: Final = 100
"""Objects of a list that are in memory at a time: such a page of Pods is about a megabyte of JSON, and several times that as Python values. Larger
pages save the API server nothing (measured)."""
BREATH_OBJECTS: Final = 25
"""After so many objects of a list others get their turn."""
RETRY_SECONDS: Final = (0.1, 30.0)
"""First and longest pause before it is tried again. Signals are asked for every 30 s by default."""

_log = logging.getLogger(__name__)


class Tally(Protocol):
    """Who keeps the numbers. Calls are synchronous and quick; `now` is UTC."""

    def begin(self, now: datetime, *, known_until: datetime | None) -> None:
        """A list begins; every change until `known_until` was told, None if none was."""

    def seen(self, live: Mapping[str, Any], now: datetime) -> None:
        """An object is there, in this state."""

    def gone(self, live: Mapping[str, Any], now: datetime) -> None:
        """It is not there any more; this is what it was last."""

    def listed(self, now: datetime) -> None:
        """The list is complete; what it did not tell is gone."""


class VitalWatch:
    """See the module."""

    def __init__(self, client: Client, path: str, tally: Tally, *, gate: asyncio.Semaphore, clock: Callable[[], datetime]) -> None:
        """
        Args:
            client: of the API server.
            path: of the collection, for example /api/v1/namespaces/shop/pods.
            tally: is told everything.
            gate: how many lists may be under way at a time.
            clock: UTC.
        """
        self._client = client
        self._path = path
        self._tally = tally
        self._gate = gate
        self._clock = clock
        self._version = ""
        self._known_until: datetime | None = None
        self._is_open = False
        self._silences = 0
        self._guard: asyncio.Timeout | None = None
        self._settled = asyncio.Event()
        self.failure: errors.CvstateError | None = None
        """Why it is not followed now; None while it is, or while that is not known."""
        self._task = asyncio.create_task(self._run(), name=f"vital watch {path}")

    async def settled(self) -> None:
        """Wait until it was listed, or could not be."""
        await self._settled.wait()

    def as_of(self, now: datetime) -> datetime | None:
        """When what the tally holds was so for sure: now, while the stream is believed; None if it was never listed."""
        if self._known_until is None:
            return None
        is_believed = self._is_open and now - self._known_until < timedelta(seconds=SILENCE_SECONDS)
        return now if is_believed else min(now, self._known_until)

    def cancel(self) -> asyncio.Task[None]:
        """End it; its task, to be waited for."""
        self._task.cancel()
        return self._task

    async def _run(self) -> None:
        pause, longest = RETRY_SECONDS
        while True:
            asked = 0.0
            try:
                if not self._version:
                    await self._list()
                pause = RETRY_SECONDS[0]
                await self._watch()
            except errors.StaleError:
                self._version = ""
            except errors.CvstateError as exc:
                asked = exc.retry_after_seconds or 0.0 if isinstance(exc, errors.TransientError) else 0.0
                self._fail(exc)
            except Exception:  # a stream must never end silently, whatever is sent
                _log.exception("a vital watch failed in a way that nobody foresaw", extra={"path": self._path})
                self._version = ""
                self._fail(errors.InternalError("the operator failed at reading it; its log has the details"))
            await asyncio.sleep(max(pause * random.uniform(0.8, 1.2), min(asked, LONGEST_ASKED_SECONDS)))  # noqa: S311 - jitter
            pause = min(pause * 2, longest)

    def _fail(self, error: errors.CvstateError) -> None:
        self.failure = error
        self._settled.set()

    async def _list(self) -> None:
        version, count = "", 0
        async with self._gate:
            begun = self._clock()
            self._tally.begin(begun, known_until=self._known_until)
            async for page in self._client.pages(self._path, params={"limit": str(PAGE_OBJECTS)}):
                version = page["metadata"]["resourceVersion"]
                for item in page["items"]:
                    self._tally.seen(item, begun)
                    count += 1
                    if count % BREATH_OBJECTS == 0:
                        await asyncio.sleep(0)
            self._tally.listed(begun)
        self._version, self._known_until = version, begun
        self.failure = None
        self._settled.set()

    async def _watch(self) -> None:
        params = {
            "resourceVersion": self._version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(random.randint(*WATCH_SECONDS)),  # noqa: S311 - jitter
        }
        try:
            async with asyncio.timeout(OPENING_SECONDS) as self._guard:
                async for event in self._client.watch(self._path, params=params, opened=self._opened):
                    self._hear(event)
        except TimeoutError as exc:
            if not self._is_open:
                raise errors.ServerTimeoutError(f"the API server did not answer a watch of {self._path}") from exc
            self._silences += 1
            if self._silences > 1:
                self._version = ""
        finally:
            self._is_open = False

    def _opened(self) -> None:
        self._is_open = True
        self.failure = None
        self._wait()

    def _hear(self, event: Mapping[str, Any]) -> None:
        live, now = event["object"], self._clock()
        match event["type"]:
            case "ADDED" | "MODIFIED":
                self._tally.seen(live, now)
            case "DELETED":
                self._tally.gone(live, now)
            case "BOOKMARK":
                self._silences = 0
        self._version = live["metadata"]["resourceVersion"]
        self._wait()

    def _wait(self) -> None:
        assert self._guard is not None  # noqa: S101 - there is a stream
        self._known_until = self._clock()
        self._guard.reschedule(asyncio.get_running_loop().time() + patience(self._silences))
