"""An informer: keeps a sink in step with the labelled objects of one kind, in one version, by a list and a watch.

What holds at any moment:

1. One stream tells everything in order. It begins at a list; a stream that closes or breaks goes on from the last resource version it brought, so that nothing is
   lost. Only an expired version (410) makes it begin anew.
2. A list beside the stream (`resync`) only adds what the stream lost. It never tells an object again that the stream told as gone meanwhile, nor moves the stream.
3. A kind is blind (`failure`) until it was listed and its watch answered once, and when the API server refuses either (401, 403, 404). It is not blind because its
   stream is being resumed: what is known stays true enough to act on, since every write is conditional on what it was planned for.
4. An object that cannot be understood is left out, with a line in the log. It blinds us for nothing but itself.

Unmanaged objects cost nothing: the API server does not send them.
Source: Kubernetes API concepts, "Efficient detection of changes".
"""

import asyncio
import logging
import random
from typing import Any, Final, Protocol

from cvstate_operator import errors
from cvstate_operator.kube import nesting
from cvstate_operator.kube.client import Client
from cvstate_operator.objects.identity import ApiResource, ObjectRef
from cvstate_operator.plan.backoff import LONGEST_ASKED_SECONDS

WATCH_SECONDS: Final = (240, 300)
"""The server is asked to end a watch after a random time in this range, so that streams do not all restart together; client-go uses 5–10 minutes."""
RETRY_SECONDS: Final = (0.05, 5.0)
"""First and longest pause before a stream is resumed. The longest is the time after which drift is noticed at last when an API server was away."""
HEALTHY_SECONDS: Final = 5.0
"""A stream that was open so long was a good one: the next pause is the first one again."""
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

    def known(self, resource: ApiResource) -> frozenset[ObjectRef]:
        """Objects that were last observed as this kind in this version, and are not gone."""


class Informer:
    """See the module."""

    def __init__(self, client: Client, resource: ApiResource, *, selector: str, sink: Sink) -> None:
        self._client = client
        self.resource = resource
        self._selector = selector
        self._sink = sink
        self._version = ""
        """Where the stream goes on; empty if it must begin at a list."""
        self._listing = asyncio.Lock()
        self._listed_at = 0.0
        """When the last complete list was begun (monotonic seconds)."""
        self._gone_meanwhile: set[ObjectRef] = set()
        """What the stream told as gone since the last list was begun."""
        self._left_out: set[ObjectRef] = set()
        self._settled = asyncio.Event()
        self.failure: errors.CvstateError | None = None
        """Why the kind is blind; None while it is not, or while it is not known yet."""
        self._task = asyncio.create_task(self._run(), name=f"informer {resource.plural}")

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

        Raises:
            CvstateError: the list failed; what was known stays known.
        """
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
                    raise
            await asyncio.sleep(max(_spread(pause), asked))
            pause *= 2

    async def stop(self) -> None:
        """End the stream."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    # -- the stream ------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        pause, longest = RETRY_SECONDS
        patient_until = _now() + PATIENCE_SECONDS
        while True:
            begun, asked = _now(), 0.0
            try:
                if not self._version:
                    async with self._listing:
                        self._version = await self._list()
                await self._watch()
            except errors.StaleError:
                self._version = ""
            except errors.CvstateError as exc:
                asked = _asked(exc)
                if not isinstance(exc, errors.TransientError) or (not self._settled.is_set() and _now() >= patient_until):
                    self._settle(exc)
            except Exception:  # a stream must never end silently, whatever is sent
                _log.exception("a watch failed in a way that nobody foresaw", extra={"resource": self.resource.plural})
                self._version = ""
                self._settle(errors.InternalError(f"{self.resource.gvk.kind} cannot be watched; the operator's log has the details"))
            pause = RETRY_SECONDS[0] if _now() - begun >= HEALTHY_SECONDS else pause
            await asyncio.sleep(max(_spread(pause), asked))
            pause = min(pause * 2, longest)

    async def _watch(self) -> None:
        params = {
            "labelSelector": self._selector,
            "resourceVersion": self._version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(random.randint(*WATCH_SECONDS)),  # noqa: S311 - jitter
        }
        async for event in self._client.watch(self.resource.path(), params=params, opened=lambda: self._settle(None)):
            live = event["object"]
            match event["type"]:
                case "ADDED" | "MODIFIED":
                    self._tell(live)
                case "DELETED":
                    ref = self._ref(live)
                    self._gone_meanwhile.add(ref)
                    self._left_out.discard(ref)
                    self._sink.gone(self.resource, ref, live["metadata"]["resourceVersion"])
            self._version = live["metadata"]["resourceVersion"]

    async def _list(self) -> str:
        """Tell everything that is there, and what is not any more; returns the version that the list is of."""
        begun = _now()
        self._gone_meanwhile = set()
        seen: set[ObjectRef] = set()
        version = ""
        before = self._sink.known(self.resource)
        async for page in self._client.pages(self.resource.path(), params={"labelSelector": self._selector}):
            version = page["metadata"]["resourceVersion"]
            for number, item in enumerate(page["items"], 1):
                if number % BREATH_OBJECTS == 0:
                    await asyncio.sleep(0)
                # Items of a list carry no apiVersion and kind of their own.
                item.setdefault("apiVersion", self.resource.gvk.api_version)
                item.setdefault("kind", self.resource.gvk.kind)
                ref = self._ref(item)
                seen.add(ref)
                if ref not in self._gone_meanwhile:
                    self._tell(item)
            await asyncio.sleep(0)
        for ref in before - seen:
            self._sink.gone(self.resource, ref, version)
        self._listed_at = begun
        return version

    def _tell(self, live: dict[str, Any]) -> None:
        try:
            try:
                self._sink.observed(self.resource, live)
            except (TypeError, RecursionError):
                self._sink.observed(self.resource, nesting.cut(live))
        except Exception as exc:  # what strangers put into an object may be wrong in ways that nobody foresaw
            ref = self._ref(live)
            if ref not in self._left_out:
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


def _asked(error: errors.CvstateError) -> float:
    """How long the API server asks us to wait, seconds, a little more so that not all come back together; 0 if it does not."""
    seconds = error.retry_after_seconds if isinstance(error, errors.TransientError) else None
    return min(seconds or 0.0, LONGEST_ASKED_SECONDS) * random.uniform(1.0, 1.2)  # noqa: S311 - jitter


def _spread(pause: float) -> float:
    return pause * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
