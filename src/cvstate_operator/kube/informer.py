"""Informers: one label-selected list and watch per kind, for the whole process.

Events come in as they happen; after a broken watch it is resumed from the last resource version, after an expired one (410) the kind is listed
again and what is missing from the list is told as gone. Unmanaged objects cost nothing: the API server does not send them.
Source: Kubernetes API concepts, "Efficient detection of changes".
"""

import asyncio
import logging
import random
from typing import Any, Final, Protocol

from cvstate_operator import errors
from cvstate_operator.kube.client import Client
from cvstate_operator.objects.identity import ApiResource, ObjectRef

WATCH_SECONDS: Final = (240, 300)
"""The server is asked to end a watch after a random time in this range, so that streams do not all restart together; client-go uses 5–10 minutes."""
RETRY_SECONDS: Final = (0.1, 30.0)
"""First and longest pause after a failed list or watch."""
PATIENCE_SECONDS: Final = 5.0
"""How long a kind that cannot be listed at first counts as not ready rather than as not to be seen. The API server answers 429 "storage is
(re)initializing" for about half a second after a CRD is established (measured)."""


_log = logging.getLogger(__name__)


class Sink(Protocol):
    """Who wants to know. Calls are synchronous and must be quick."""

    def observed(self, resource: ApiResource, live: dict[str, Any]) -> None:
        """The object is in the cluster, in this state."""

    def gone(self, resource: ApiResource, ref: ObjectRef, resource_version: str) -> None:
        """The object is no longer selected: deleted, or its label was removed. `resource_version` is empty if it was missing from a list."""

    def known(self, resource: ApiResource) -> frozenset[ObjectRef]:
        """Objects of this kind that were observed and are not gone."""


class Informer:
    """Keeps a sink informed of one kind."""

    def __init__(self, client: Client, resource: ApiResource, *, selector: str, sink: Sink) -> None:
        self._client = client
        self.resource = resource
        self._selector = selector
        self._sink = sink
        self._version = ""
        self._listed_at = 0.0
        self._patient_until = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        self._settled = asyncio.Event()
        self.failure: errors.CvstateError | None = None
        """Why the kind cannot be seen at the moment; None while it can."""
        self._task = asyncio.create_task(self._run(), name=f"informer {resource.plural}")

    async def synced(self) -> None:
        """Wait until the kind was listed once, or could not be.

        Raises:
            CvstateError: it cannot be listed now; the informer goes on trying.
        """
        await self._settled.wait()
        if self.failure:
            raise self.failure

    async def resync(self, *, since: float) -> None:
        """List again and compare, unless the last list is newer than `since` (monotonic seconds): finds what a lost event would have told.

        Raises:
            CvstateError: the list failed; what was known stays known.
        """
        if self._listed_at < since:
            await self._list()

    async def stop(self) -> None:
        """End the watch."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        pause, longest = RETRY_SECONDS
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._watch()
                pause = RETRY_SECONDS[0]
            except errors.StaleError:
                self._version = ""
            except (errors.CvstateError, ValueError, KeyError, TypeError) as exc:
                # What the API server sent, or what we make of it, may be wrong in ways nobody foresaw; a watch must not end silently.
                failure = exc if isinstance(exc, errors.CvstateError) else self._unforeseen(exc)
                if not self._is_starting(failure):
                    self._set_failure(failure)
                await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - jitter
                pause = min(pause * 2, longest)

    def _unforeseen(self, error: Exception) -> errors.CvstateError:
        _log.error("an object could not be understood", exc_info=error, extra={"resource": self.resource.plural})
        self._version = ""
        return errors.InternalError(f"a {self.resource.gvk.kind} could not be understood; the operator's log has the details")

    def _is_starting(self, error: errors.CvstateError) -> bool:
        young = asyncio.get_running_loop().time() < self._patient_until
        return young and not self._settled.is_set() and isinstance(error, errors.TransientError)

    async def _list(self) -> None:
        seen: set[ObjectRef] = set()
        version = ""
        self._listed_at = asyncio.get_running_loop().time()
        before = self._sink.known(self.resource)
        async for page in self._client.pages(self.resource.path(), params={"labelSelector": self._selector}):
            version = page["metadata"]["resourceVersion"]
            for item in page["items"]:
                # Items of a list carry no apiVersion and kind of their own.
                item.setdefault("apiVersion", self.resource.gvk.api_version)
                item.setdefault("kind", self.resource.gvk.kind)
                seen.add(self._ref(item))
                self._sink.observed(self.resource, item)
            await asyncio.sleep(0)
        for ref in before - seen:
            self._sink.gone(self.resource, ref, version)
        self._version = version
        self._set_failure(None)

    async def _watch(self) -> None:
        params = {
            "labelSelector": self._selector,
            "resourceVersion": self._version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(random.randint(*WATCH_SECONDS)),  # noqa: S311 - jitter
        }
        async for event in self._client.watch(self.resource.path(), params=params):
            live = event["object"]
            self._version = live["metadata"]["resourceVersion"]
            self._set_failure(None)
            match event["type"]:
                case "ADDED" | "MODIFIED":
                    self._sink.observed(self.resource, live)
                case "DELETED":
                    self._sink.gone(self.resource, self._ref(live), self._version)

    def _ref(self, live: dict[str, Any]) -> ObjectRef:
        meta = live["metadata"]
        return ObjectRef(self.resource.gvk.group, self.resource.gvk.kind, meta.get("namespace", ""), meta["name"])

    def _set_failure(self, failure: errors.CvstateError | None) -> None:
        self.failure = failure
        self._settled.set()
