"""Watches: the informers of one cluster, one per kind and version that somebody wants. No object is told by two of them.

A field set means something only in the version it was applied in, and the API server converts the object for a watch, but not `managedFields`. So an object is told by
the informer of the version that our entry in `managedFields` names; without such an entry, or without that informer, by the oldest informer of its kind. Nearly always
all ClusterStates use one version of a kind, and there is one informer. That an object is gone may be told by any of them: it is true in every version.

What is known of a kind is in doubt as soon as it is for one of its informers (`kube/informer.py`). Nobody has to ask for that: whoever made the watches is told when a
kind comes into doubt, and when it is heard again.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from cvstate_operator import errors
from cvstate_operator.api.names import FIELD_MANAGER
from cvstate_operator.kube.client import Client
from cvstate_operator.kube.discovery import Discovery
from cvstate_operator.kube.informer import Informer, Sink
from cvstate_operator.objects import ownership
from cvstate_operator.objects.identity import ApiResource, GroupKind, Gvk, ObjectRef

IDLE_SECONDS: Final = 600.0
"""How long an informer that has nothing to tell is kept after somebody wanted it last: longer than any pass takes from its look to its last write."""
LOOK_SECONDS: Final = (5.0, 1.0)
"""How often it is looked whether the API server still tells of every kind, and while it does not of some. A look at a hundred kinds takes 0.2 ms (measured)."""

Doubtful = Callable[[frozenset[GroupKind]], None]
"""Called with kinds that came into doubt, or are heard again."""

_log = logging.getLogger(__name__)


class Watches:
    """See the module. It is the sink of its own informers."""

    def __init__(self, client: Client, discovery: Discovery, sink: Sink, *, doubtful: Doubtful = lambda kinds: None) -> None:
        self._client = client
        self._discovery = discovery
        self._sink = sink
        self._informers: dict[Gvk, Informer] = {}
        """Oldest first."""
        self._wanted_at: dict[Gvk, float] = {}
        self._doubtful = doubtful
        self._attending: asyncio.Task[None] | None = None

    def unheard(self) -> Mapping[GroupKind, errors.CvstateError]:
        """Kinds of which nobody knows whether they still are as they were told, and why."""
        doubts = ((gvk.group_kind, informer.doubt) for gvk, informer in self._informers.items())
        return {kind: doubt for kind, doubt in doubts if doubt}

    def version_of(self, kind: GroupKind) -> ApiResource | None:
        """The version that a kind is watched in, the oldest informer's first; None if it is not watched."""
        return next((informer.resource for informer in self._of(kind)), None)

    async def want(self, resources: Sequence[ApiResource]) -> Mapping[GroupKind, errors.CvstateError]:
        """Watch these kinds from now on, and wait until each was listed. Returns those that are blind; one that is not served has nothing to be seen."""
        if self._attending is None:
            self._attending = asyncio.create_task(self._attend(), name="attend to watches")
        now = asyncio.get_running_loop().time()
        wanted = {resource.gvk: resource for resource in resources}
        self._wanted_at.update(dict.fromkeys(wanted, now))
        await self._drop_unserved()
        await self._drop_idle(now - IDLE_SECONDS)
        for gvk in wanted:
            if gvk not in self._informers and (resource := self._discovery.resource(gvk)):
                self._informers[gvk] = Informer(self._client, resource, selector=ownership.PART_OF_LABEL, sink=self)
        blind: dict[GroupKind, errors.CvstateError] = {}
        for informer in [self._informers[gvk] for gvk in wanted if gvk in self._informers]:
            try:
                await informer.synced()
            except errors.CvstateError as exc:
                if isinstance(exc, errors.KindUnknownError):
                    await self._drop_unserved()
                    if self._discovery.resource(informer.resource.gvk) is None:
                        continue
                blind[informer.resource.gvk.group_kind] = exc
        return blind

    async def resync(self, kinds: Sequence[GroupKind], *, since: float) -> None:
        """List these kinds again and compare, but for those that were listed after `since` (monotonic seconds).

        Raises:
            CvstateError: a list failed. A kind that is not served does not count.
        """
        lists = (informer.resync(since=since) for kind in kinds for informer in self._of(kind))
        for result in await asyncio.gather(*lists, return_exceptions=True):
            if isinstance(result, BaseException) and not isinstance(result, errors.KindUnknownError):
                raise result

    async def close(self) -> None:
        """Stop watching."""
        if self._attending:
            self._attending.cancel()
        await asyncio.gather(*(informer.stop() for informer in self._informers.values()))

    async def _attend(self) -> None:
        calm, alert = LOOK_SECONDS
        before: frozenset[GroupKind] = frozenset()
        while True:
            await asyncio.sleep(alert if before else calm)
            found = frozenset(self.unheard())
            if changed := found ^ before:
                before = found
                try:
                    self._doubtful(changed)
                except Exception:  # whoever is told, the next time it must be told again
                    _log.exception("nobody could be told that kinds came into doubt, or are heard again")

    # -- what the informers tell -----------------------------------------------------------------------------------

    def observed(self, resource: ApiResource, live: dict[str, Any]) -> None:
        """Pass on what the informer says whose object it is."""
        home = resource.gvk._replace(version=_applied_in(live))
        teller = home if home in self._informers else next((informer.resource.gvk for informer in self._of(home.group_kind)), resource.gvk)
        if teller == resource.gvk:
            self._sink.observed(resource, live)

    def gone(self, resource: ApiResource, ref: ObjectRef, resource_version: str) -> None:
        """Pass it on."""
        self._sink.gone(resource, ref, resource_version)

    def known(self, resource: ApiResource) -> frozenset[ObjectRef]:
        """As the sink says."""
        return self._sink.known(resource)

    # -- what is not wanted any more -------------------------------------------------------------------------------

    async def _drop_unserved(self) -> None:
        """Forget the kinds that the API server answers 404 for, and their objects; a kind that is served again is watched afresh, without a pause."""
        unserved = [informer for informer in self._informers.values() if isinstance(informer.failure, errors.KindUnknownError)]
        if not unserved:
            return
        for informer in unserved:
            await self._drop(informer)
            for ref in self._sink.known(informer.resource):
                self._sink.gone(informer.resource, ref, "")
        with suppress(errors.CvstateError):
            await self._discovery.refresh()
            # Another version of the kind may be served on; its informer left these objects to the one that is gone.
            await self.resync([informer.resource.gvk.group_kind for informer in unserved], since=asyncio.get_running_loop().time())

    async def _drop_idle(self, before: float) -> None:
        """Forget what nobody wanted since `before` and what tells of no object, as when every manifest of a kind moved to another version."""
        for gvk, informer in list(self._informers.items()):
            if self._wanted_at[gvk] < before and not self._sink.known(informer.resource):
                await self._drop(informer)

    async def _drop(self, informer: Informer) -> None:
        # Others may drop it while we wait.
        self._informers.pop(informer.resource.gvk, None)
        await informer.stop()

    def _of(self, kind: GroupKind) -> Iterator[Informer]:
        return (informer for gvk, informer in self._informers.items() if gvk.group_kind == kind)


def _applied_in(live: Mapping[str, Any]) -> str:
    """The version that we applied an object in; empty if we did not."""
    for entry in live["metadata"].get("managedFields") or ():
        if entry.get("manager") == FIELD_MANAGER and entry.get("operation") == "Apply" and not entry.get("subresource"):
            return str(entry.get("apiVersion", "")).rpartition("/")[2]
    return ""
