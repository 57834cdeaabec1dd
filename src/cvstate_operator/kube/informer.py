"""An informer: keeps a sink in step with the labelled objects of one kind, in one version, by a list and a watch.

What holds at any moment:

1. One stream tells everything in order. It begins at a list; a stream that closes or breaks goes on from the last resource version it brought, so that nothing is
   lost. Only an expired version (410), or one that the API server never had, makes it begin anew.
2. A list beside the stream (`resync`) only adds what the stream lost. It never tells an object again that the stream told as gone meanwhile, nor moves the stream.
3. A kind is blind (`failure`) until it was listed and its watch answered once, and when the API server refuses either (401, 403, 404). It is not blind because its
   stream is being resumed: what is known stays true enough to act on, since every write is conditional on what it was planned for. But nobody may say that it is
   so now: whoever heard nothing for SILENCE_SECONDS and ANSWER_SECONDS is in `doubt`.
4. A stream is believed while it says something. The API server sends a bookmark a minute: that everything up to a version was told. A stream without a word for
   SILENCE_SECONDS is resumed where it was: a dead connection is found so. If it stays silent, a list beside it tells what it may have lost, and asks the API server
   for its newest version, from which bookmarks go on. Whoever sends no bookmarks is asked more and more seldom, an hour apart in the end.
   Until it fails to be resumed there is no doubt about such a stream. To agree to a watch is a word only if it is kept to: a stream that ends at once in good order,
   as a proxy that answers for the API server ends it, has told nothing, and a list beside it has to. A list that fails is trouble, as a stream that breaks.
5. An object that cannot be understood is left out, with a line in the log. It blinds us for nothing but itself.

What a stream that says something may have lost all the same (a proxy that drops events, a fault in the API server's cache) only a list finds; `resync` decides how
old the last one may be. An API server that was restored from a backup has lower versions than the stream: it opens it and says nothing until it has caught up, not
even bookmarks (measured). The list that follows on the silence then counts although its version is older, and the stream goes on from there.

Unmanaged objects cost nothing: the API server does not send them.
Source: Kubernetes API concepts, "Efficient detection of changes" and "Watch bookmarks".
"""

import asyncio
import logging
import random
from collections.abc import Mapping
from typing import Any, Final, Protocol

from cvstate_operator import errors
from cvstate_operator.kube import nesting
from cvstate_operator.kube.client import Client
from cvstate_operator.objects.identity import ApiResource, ObjectRef
from cvstate_operator.plan.backoff import LONGEST_ASKED_SECONDS

WATCH_SECONDS: Final = (21_600, 43_200)
"""The server is asked to end a watch after a random time in this range, so that streams do not all restart together. It grants any time it is asked for; whoever
asks for none gets 30–60 minutes (kube-apiserver, --min-request-timeout). client-go asks for 5–10 minutes."""
OPENING_SECONDS: Final = 15.0
"""How long the server may take to agree to a watch: as long as any answer (REQUEST_SECONDS of `client`)."""
SILENCE_SECONDS: Final = 70.0
"""How long a stream may be without a word. Bookmarks come 59.1 to 61.2 s apart (measured, five kinds on an idle server); a frozen API server keeps streams open."""
ANSWER_SECONDS: Final = 20.0
"""How long it may take after that, or after a stream broke, until the API server is heard again, before what it told is in doubt: OPENING_SECONDS, with a pause before."""
LONGEST_SILENCE_SECONDS: Final = 3600.0
"""The same, at last, for a server that sends no bookmarks."""
DOUBTFUL_SECONDS: Final = 300.0
"""A list that is older does not count while the stream is down or silent: half of the interval that a ClusterState has by default."""
RETRY_SECONDS: Final = (0.05, 5.0)
"""First and longest pause before a stream is resumed. The longest is the time after which drift is noticed at last when an API server was away."""
REFUSED_SECONDS: Final = 60.0
"""The same where the API server says that the account may not: in a moment it may, when it has just begun and reads its roles; else only when somebody grants it."""
PARDON_SECONDS: Final = 180.0
"""How long whoever could see a kind and is refused is taken to be refused for a moment. An API server that has just begun answers 403 until it has read its roles: for some
seconds (measured), and longer where it reads thousands of them."""
HEALTHY_SECONDS: Final = 5.0
"""A stream that was open so long was a good one: the next pause is the first one again. A stream may be agreed to, and end at once with an error."""
MAX_GONE: Final = 20_000
"""Deletions of one kind that a list of it may outlast: 700 a second for half a minute. A remote cluster may tell of any number, and each is kept in mind."""
MAX_LEFT_OUT: Final = 100
"""Objects that are told of in the log, of those that cannot be understood: where there are more, something else is wrong than with the objects."""
BREATH_OBJECTS: Final = 50
"""After so many objects of a list others get their turn: to understand one takes 0.1 ms (measured)."""
PATIENCE_SECONDS: Final = 5.0
"""How long a kind that cannot be listed at first counts as not ready rather than as not to be seen, and how long a list that fails is tried again. The API server
answers 429 "storage is (re)initializing" for about half a second after a CRD is established (measured)."""

_log = logging.getLogger(__name__)


class Sink(Protocol):
    """Who wants to know. Calls are synchronous and must be quick."""

    def observed(self, resource: ApiResource, live: dict[str, Any]) -> None:
        """The object is in the cluster, in this state."""

    def gone(self, resource: ApiResource, ref: ObjectRef, resource_version: str) -> None:
        """The object is no longer selected: deleted, or its label was removed. `resource_version` is empty if that is not known."""

    def known(self, resource: ApiResource, namespace: str = "") -> frozenset[ObjectRef]:
        """Objects that were last observed as this kind in this version, and are not gone; those of one namespace if there is one."""


def patience(silences: int) -> float:
    """How long a stream may be without a word after so many that fell silent, seconds.

    The second one may take as long as the first: bookmarks begin only when the API server has a newer version of the kind than the stream began at.
    """
    return min(SILENCE_SECONDS * 2.0 ** max(0, min(silences, 32) - 1), LONGEST_SILENCE_SECONDS)


class Informer:
    """See the module."""

    def __init__(self, client: Client, resource: ApiResource, *, selector: str, sink: Sink, namespace: str = "") -> None:
        """
        Args:
            client: the API server, and who we are there.
            resource: what to watch.
            selector: labels of the objects.
            sink: is told.
            namespace: only objects in it; empty: in all, and those of cluster-scoped kinds.
        """
        self._client = client
        self.resource = resource
        self.namespace = namespace
        self._path = resource.path(namespace)
        self._selector = selector
        self._sink = sink
        self._version = ""
        """Where the stream goes on; empty if it must begin at a list."""
        self._listing = asyncio.Lock()
        self._listed_at = 0.0
        """When the last complete list was begun (monotonic seconds)."""
        self._gone_meanwhile: set[ObjectRef] = set()
        """What the stream told as gone while a list was under way; forgotten when it is complete, or the next one begins."""
        self._left_out: set[ObjectRef] = set()
        self._settled = asyncio.Event()
        self.failure: errors.CvstateError | None = None
        """Why the kind is blind; None while it is not, or while it is not known yet."""
        self._guard: asyncio.Timeout | None = None
        """Ends the stream when it was silent for too long."""
        self._is_open = False
        self._silences = 0
        """How many streams fell silent since the last bookmark."""
        self._is_doubted = False
        """A list has to tell what the stream did not, before it is resumed."""
        self._heard_at = self._opened_at = _now()
        self._due = 0.0
        """When a stream that was kept to should have said something (monotonic seconds)."""
        self._trouble: errors.CvstateError | None = None
        """What went wrong last."""
        self._trouble_at = 0.0
        """When the first thing went wrong since something was heard."""
        self._refused_at: float | None = None
        """When the account was refused first since it might watch; None if it was not."""
        self._task = asyncio.create_task(self._run(), name=f"informer {resource.plural}")

    @property
    def heard_at(self) -> float:
        """When the API server said something of the kind last (monotonic seconds): an event, a bookmark, a whole list, or that it agrees to a watch and keeps to it."""
        return max(self._heard_at, self._opened_at) if self._is_kept else self._heard_at

    @property
    def _is_kept(self) -> bool:
        return self._is_open and _now() - self._opened_at >= HEALTHY_SECONDS

    @property
    def _missed_at(self) -> float:
        """From when on the next word is missed (monotonic seconds). A stream that was only agreed to puts it off by nothing."""
        return max(self._due, self._opened_at + patience(self._silences)) if self._is_kept else self._due

    @property
    def doubt(self) -> errors.CvstateError | None:
        """Why nobody knows whether the kind still is as it was told; None while that is believed, and for a kind that is not served: there is nothing to be known."""
        if self.failure:
            return None if isinstance(self.failure, errors.KindUnknownError) else self.failure
        heard_at = self.heard_at
        trouble, due = (self._trouble, min(self._missed_at, self._trouble_at)) if self._trouble_at > heard_at else (None, self._missed_at)
        if _now() < max(heard_at + SILENCE_SECONDS, due) + ANSWER_SECONDS:
            return None
        return trouble or errors.ServerTimeoutError(f"the API server has told nothing of {self._path} for too long")

    @property
    def is_pardoned(self) -> bool:
        """Whether a refusal may still be one for a moment, by an API server that has just begun: the kind could be listed before, and has been refused for less than
        PARDON_SECONDS."""
        return self._listed_at > 0.0 and (self._refused_at is None or _now() < self._refused_at + PARDON_SECONDS)

    async def synced(self) -> None:
        """Wait until the kind was listed and is watched, or could not be.

        Raises:
            CvstateError: the kind is blind now; the informer goes on trying.
        """
        await self._settled.wait()
        if self.failure:
            raise self.failure

    async def resync(self, *, since: float) -> None:
        """List again and compare, unless the last list is newer than `since` (monotonic seconds): finds what a lost event would have told.

        A list older than DOUBTFUL_SECONDS does not count if there is no stream to believe.

        Raises:
            CvstateError: the list failed; what was known stays known.
        """
        if not self._is_open or self._silences:
            since = max(since, _now() - DOUBTFUL_SECONDS)
        patient_until = _now() + PATIENCE_SECONDS
        pause = RETRY_SECONDS[0]
        while True:
            try:
                async with self._listing:
                    if self._listed_at < since:
                        await self._list()
                return
            except errors.TransientError as exc:
                asked = _asked(exc)
                if _now() + max(pause, asked) > patient_until:
                    self._meet(exc)
                    raise
            except errors.CvstateError as exc:
                self._meet(exc)
                # Who may not list may not watch either: what is open stays open, so it has to be asked for anew to be refused.
                self._end_stream()
                raise
            await asyncio.sleep(max(_spread(pause), asked))
            pause *= 2

    async def stop(self) -> None:
        """End the stream. Whoever waits for the first list is told that there will be none."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if not self._settled.is_set():
            self._settle(errors.NetworkError(f"the watch of {self._path} was ended before it had begun"))

    # -- the stream ------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        pause = RETRY_SECONDS[0]
        patient_until = _now() + PATIENCE_SECONDS
        while True:
            begun, asked, longest = _now(), 0.0, RETRY_SECONDS[1]
            try:
                if not self._version or self._is_doubted:
                    async with self._listing:
                        self._version = await self._begin()
                await self._watch()
            except errors.StaleError:
                self._version = ""
            except errors.CvstateError as exc:
                asked = _asked(exc)
                longest = REFUSED_SECONDS if isinstance(exc, errors.ForbiddenError) else longest
                self._meet(exc)
                if not isinstance(exc, errors.TransientError) or (not self._settled.is_set() and _now() >= patient_until):
                    self._settle(exc)
            except Exception:  # a stream must never end silently, whatever is sent
                _log.exception("a watch failed in a way that nobody foresaw", extra={"resource": self.resource.plural})
                self._version = ""
                self._settle(errors.InternalError(f"{self.resource.gvk.kind} cannot be watched; the operator's log has the details"))
            pause = RETRY_SECONDS[0] if _now() - begun >= HEALTHY_SECONDS else pause
            await asyncio.sleep(max(_spread(pause), asked))
            pause = min(pause * 2, longest)

    async def _begin(self) -> str:
        """List; returns the version that the stream goes on from: the one it had, unless it had none, or one that the API server has not reached."""
        version = await self._list(after=self._version)
        self._is_doubted = False
        return self._version if self._version and not _went_back(version, self._version) else version

    async def _watch(self) -> None:
        """Pass on what the stream tells, until it ends, or falls silent. After one that ended before it told anything there has to be a list now and then.

        Raises:
            CvstateError: it broke, or was not opened.
        """
        params = {
            "labelSelector": self._selector,
            "resourceVersion": self._version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(random.randint(*WATCH_SECONDS)),  # noqa: S311 - jitter
        }
        begun = _now()
        try:
            async with asyncio.timeout(OPENING_SECONDS) as self._guard:
                async for event in self._client.watch(self._path, params=params, opened=self._opened):
                    self._hear(event)
            if not self._is_kept and self._heard_at < begun:
                self._is_doubted = begun - self._listed_at >= SILENCE_SECONDS
        except TimeoutError as exc:
            if not self._is_open:
                raise errors.ServerTimeoutError(f"the API server did not answer a watch of {self._path}") from exc
            self._silences += 1
            self._is_doubted = self._silences > 1
        finally:
            self._heard_at, self._due, self._is_open = self.heard_at, self._missed_at, False

    def _meet(self, error: errors.CvstateError) -> None:
        """Something went wrong."""
        if self._trouble_at <= self.heard_at:
            self._trouble_at = _now()
        self._trouble = error
        if isinstance(error, errors.ForbiddenError) and self._refused_at is None:
            self._refused_at = _now()

    def _opened(self) -> None:
        self._is_open, self._opened_at, self._refused_at = True, _now(), None
        self._wait()
        self._settle(None)

    def _wait(self) -> float:
        """The stream may be silent from now on for as long as it is believed; returns until when."""
        assert self._guard is not None  # noqa: S101 - there is a stream
        until = _now() + patience(self._silences)
        self._guard.reschedule(until)
        return until

    def _end_stream(self) -> None:
        if self._is_open and self._guard and not self._guard.expired():
            self._is_open = False
            self._guard.reschedule(_now())

    def _hear(self, event: Mapping[str, Any]) -> None:
        live = event["object"]
        match event["type"]:
            case "ADDED" | "MODIFIED":
                self._tell(live)
            case "DELETED":
                ref = self._ref(live)
                self._sink.gone(self.resource, ref, live["metadata"]["resourceVersion"])
                self._left_out.discard(ref)
                if self._listing.locked() and len(self._gone_meanwhile) < MAX_GONE:
                    self._gone_meanwhile.add(ref)
            case "BOOKMARK":
                self._silences = 0
        self._version = live["metadata"]["resourceVersion"]
        self._heard_at = _now()
        self._due = self._wait()

    async def _list(self, *, after: str = "") -> str:
        """Tell everything that is there, and what is not any more; returns the version that the list is of.

        Args:
            after: the version that the list should be of or newer. If it is older, the cluster was put back: what is known of its objects never was.
        """
        begun = _now()
        self._gone_meanwhile = set()
        seen: set[ObjectRef] = set()
        version = ""
        before = self._sink.known(self.resource, self.namespace)
        async for page in self._client.pages(self._path, params={"labelSelector": self._selector}):
            version = page["metadata"]["resourceVersion"]
            is_put_back = _went_back(version, after)
            for number, item in enumerate(page["items"], 1):
                if number % BREATH_OBJECTS == 0:
                    await asyncio.sleep(0)
                if len(self._gone_meanwhile) >= MAX_GONE:
                    raise errors.NetworkError(f"{MAX_GONE} objects were deleted while {self._path} was listed; it is listed again")
                # Items of a list carry no apiVersion and kind of their own.
                item.setdefault("apiVersion", self.resource.gvk.api_version)
                item.setdefault("kind", self.resource.gvk.kind)
                ref = self._ref(item)
                seen.add(ref)
                if is_put_back:
                    self._sink.gone(self.resource, ref, "")
                if ref not in self._gone_meanwhile:
                    self._tell(item)
            await asyncio.sleep(0)
        for ref in before - seen:
            self._sink.gone(self.resource, ref, "" if _went_back(version, after) else version)
        self._gone_meanwhile = set()
        self._listed_at = begun
        self._heard_at = max(self._heard_at, begun)
        return version

    def _tell(self, live: dict[str, Any]) -> None:
        try:
            try:
                self._sink.observed(self.resource, live)
            except (TypeError, RecursionError):
                self._sink.observed(self.resource, nesting.cut(live))
        except errors.TargetUnreachableError:  # no object is at fault, but who tells of it (kube/intake.py)
            raise
        except Exception as exc:  # what strangers put into an object may be wrong in ways that nobody foresaw
            ref = self._ref(live)
            if ref not in self._left_out and len(self._left_out) < MAX_LEFT_OUT:
                self._left_out.add(ref)
                _log.error("an object is left out: it cannot be understood", exc_info=exc, extra={"object": str(ref)})

    def _ref(self, live: dict[str, Any]) -> ObjectRef:
        meta = live["metadata"]
        return ObjectRef(self.resource.gvk.group, self.resource.gvk.kind, meta.get("namespace", ""), meta["name"])

    def _settle(self, failure: errors.CvstateError | None) -> None:
        self.failure = failure
        self._settled.set()


def _now() -> float:
    return asyncio.get_running_loop().time()


def _went_back(version: str, before: str) -> bool:
    """Whether a version is older than one that the same API server gave before; False if that cannot be told."""
    return version.isdecimal() and before.isdecimal() and int(version) < int(before)


def _asked(error: errors.CvstateError) -> float:
    """How long the API server asks us to wait, seconds, a little more so that not all come back together; 0 if it does not."""
    seconds = error.retry_after_seconds if isinstance(error, errors.TransientError) else None
    return min(seconds or 0.0, LONGEST_ASKED_SECONDS) * random.uniform(1.0, 1.2)  # noqa: S311 - jitter


def _spread(pause: float) -> float:
    return pause * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
