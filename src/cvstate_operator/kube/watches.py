"""Watches: the informers of one cluster, one per kind and version that somebody wants. No object is told by two of them.

A field set means something only in the version it was applied in, and the API server converts the object for a watch, but not `managedFields`. So an object is told by
the informer of the version that our entry in `managedFields` names; without such an entry, or without that informer, by the oldest informer of its kind. Nearly always
all ClusterStates use one version of a kind, and there is one informer. That an object is gone may be told by any of them: it is true in every version.

What is known of a kind is in doubt as soon as it is for one of its informers (`kube/informer.py`). Nobody has to ask for that: whoever made the watches is told when a
kind comes into doubt, and when it is heard again.

An account that may not list a kind in the whole cluster is one that works in a few namespaces: then each of them has an informer of its own. A namespace in which it may not
list either is `closed`: nothing is known of the objects there, and nothing of the others is in doubt for that. So is an account that loses its rights in the whole cluster:
it is blind for some minutes (`informer.PARDON_SECONDS`), and looks in its namespaces from then on. Whoever needs more namespaces than there is room for is blind for that kind.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

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

MAX_NAMESPACES: Final = 100
"""Namespaces in which one kind is watched for one account and cluster: whoever writes a ClusterState names them, and a watch is a connection of its own, here and at the API
server. Accounts for more have a ClusterRoleBinding as a rule, which takes one watch for a kind."""
MAX_NARROW: Final = 1000
"""Such watches of all kinds together, for one account and cluster: ten kinds in each of a hundred namespaces."""
WIDEN_SECONDS: Final = 3600.0
"""How often an account that may list a kind in some namespaces only is taken to have been given more: one list that is refused."""

Doubtful = Callable[[frozenset[GroupKind]], None]
"""Called with kinds that came into doubt, or are heard again."""
Within = Callable[[GroupKind], Collection[str]]
"""Namespaces in which objects of a kind are, or are to be."""

_log = logging.getLogger(__name__)


class _Watched(NamedTuple):
    """What one informer is for."""

    gvk: Gvk
    namespace: str
    """Empty: everywhere."""


class Watches:
    """See the module. It is the sink of its own informers."""

    def __init__(self, client: Client, discovery: Discovery, sink: Sink, *, doubtful: Doubtful = lambda kinds: None) -> None:
        self._client = client
        self._discovery = discovery
        self._sink = sink
        self._informers: dict[_Watched, Informer] = {}
        """Oldest first."""
        self._wanted_at: dict[_Watched, float] = {}
        self._narrowed_at: dict[GroupKind, float] = {}
        """Kinds that may not be listed everywhere, and when that was found (monotonic seconds)."""
        self._doubtful = doubtful
        self._attending: asyncio.Task[None] | None = None

    def unheard(self) -> Mapping[GroupKind, errors.CvstateError]:
        """Kinds of which nobody knows whether they still are as they were told, and why."""
        doubts = ((watched.gvk.group_kind, informer.doubt) for watched, informer in self._informers.items() if not _is_closed(informer))
        return {kind: doubt for kind, doubt in doubts if doubt}

    def closed(self) -> Mapping[tuple[GroupKind, str], errors.CvstateError]:
        """Kinds and namespaces of an account that sees others of these namespaces, but not that, and why."""
        return {
            (watched.gvk.group_kind, watched.namespace): one.failure
            for watched, one in self._informers.items()
            if _is_closed(one) and one.failure
        }

    @property
    def is_narrow(self) -> bool:
        """Whether there are kinds that may not be listed in the whole cluster."""
        return bool(self._narrowed_at)

    def version_of(self, kind: GroupKind) -> ApiResource | None:
        """The version that a kind is watched in, the oldest informer's first; None if it is not watched."""
        return next((informer.resource for informer in self._of(kind)), None)

    async def want(self, resources: Sequence[ApiResource], *, within: Within = lambda kind: ()) -> Mapping[GroupKind, errors.CvstateError]:
        """Watch these kinds from now on, and wait until each was listed. Returns those that are blind; one that is not served has nothing to be seen.

        Args:
            resources: the kinds.
            within: where to look for an account that may not list a kind everywhere.
        """
        if self._attending is None:
            self._attending = asyncio.create_task(self._attend(), name="attend to watches")
        now = asyncio.get_running_loop().time()
        await self._drop_unserved()
        await self._drop_idle(now - IDLE_SECONDS)
        for resource in resources:
            places = self._places(resource, within, now)
            if not self._crowd(resource, places):
                self._ensure(resource, places, now)
        blind: dict[GroupKind, errors.CvstateError] = {}
        for resource in resources:
            if error := await self._sync(resource, within):
                blind[resource.gvk.group_kind] = error
        return blind

    def _places(self, resource: ApiResource, within: Within, now: float) -> Collection[str]:
        """Namespaces in which a kind is watched; the empty one means everywhere."""
        narrowed_at = self._narrowed_at.get(resource.gvk.group_kind)
        if narrowed_at is None:
            return ("",)
        return sorted(within(resource.gvk.group_kind)) if now < narrowed_at + WIDEN_SECONDS else ("",)

    def _crowd(self, resource: ApiResource, places: Collection[str]) -> errors.CvstateError | None:
        """Why there is no room for watches of a kind in all of these namespaces; None if there is."""
        if "" in places:
            return None
        narrow = [one for one in self._informers if one.namespace]
        new = sum(_Watched(resource.gvk, place) not in self._informers for place in places)
        of_kind = sum(one.gvk == resource.gvk for one in narrow)
        if not new or (of_kind + new <= MAX_NAMESPACES and len(narrow) + new <= MAX_NARROW):
            return None
        return errors.TooManyNamespacesError(
            f"{resource.gvk.kind} would be watched in {of_kind + new} namespaces one by one, and all kinds in {len(narrow) + new}, for an account that may not list it in the "
            f"whole cluster; at most {MAX_NAMESPACES} and {MAX_NARROW} are: let it list and watch {resource.plural} in the whole cluster, or use several accounts"
        )

    def _ensure(self, resource: ApiResource, places: Collection[str], now: float) -> None:
        """Have informers of a kind in these namespaces, if it is served."""
        for place in places:
            watched = _Watched(resource.gvk, place)
            self._wanted_at[watched] = now
            if watched not in self._informers and (served := self._discovery.resource(resource.gvk)):
                self._informers[watched] = Informer(self._client, served, selector=ownership.PART_OF_LABEL, sink=self, namespace=place)

    async def _sync(self, resource: ApiResource, within: Within) -> errors.CvstateError | None:
        """Wait until a kind was listed; why it is blind, None if it is not."""
        now = asyncio.get_running_loop().time()
        kind = resource.gvk.group_kind
        places = self._places(resource, within, now)
        if crowd := self._crowd(resource, places):
            return crowd
        self._ensure(resource, places, now)
        failures = [await self._failure(_Watched(resource.gvk, place)) for place in places]
        if "" not in places:
            # One closed namespace says nothing of the others.
            return failures[0] if failures and all(failures) else next((one for one in failures if one and not _closes(one)), None)
        everywhere = self._informers.get(_Watched(resource.gvk, ""))
        if everywhere is None and kind in self._narrowed_at:
            return await self._sync(
                resource, within
            )  # somebody else, who waited for the same, found that it is to be looked at in namespaces
        if failures[0] is None:
            if self._narrowed_at.pop(kind, None) is not None:
                for watched in [one for one in self._informers if one.gvk.group_kind == kind and one.namespace]:
                    await self._drop(watched)
            return None
        elsewhere = sorted(within(kind)) if resource.namespaced else []
        if everywhere is None or everywhere.is_pardoned or not _refuses(failures[0]) or not elsewhere:
            return failures[0]
        self._narrowed_at[kind] = now
        for watched in [one for one in self._informers if one.gvk.group_kind == kind and not one.namespace]:
            await self._drop(watched)
        return await self._sync(resource, within)

    async def _failure(self, watched: _Watched) -> errors.CvstateError | None:
        """Wait for one informer; why it is blind, None if it is not, or if its kind is not served."""
        informer = self._informers.get(watched)
        if informer is None:
            return None
        try:
            await informer.synced()
        except errors.CvstateError as exc:
            if isinstance(exc, errors.KindUnknownError):
                await self._drop_unserved()
                if self._discovery.resource(watched.gvk) is None:
                    return None
            return exc
        return None

    async def resync(self, kinds: Sequence[GroupKind], *, since: float) -> None:
        """List these kinds again and compare, but for those that were listed after `since` (monotonic seconds).

        Raises:
            CvstateError: a list failed. A kind that is not served does not count.
        """
        lists = (informer.resync(since=since) for kind in kinds for informer in self._of(kind) if not _is_closed(informer))
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
        if home != resource.gvk and self._teller(home, live["metadata"].get("namespace", "")) != resource.gvk:
            return
        self._sink.observed(resource, live)

    def _teller(self, home: Gvk, namespace: str) -> Gvk:
        """The version that an object which was applied in `home` is told in."""
        if any(_Watched(home, place) in self._informers for place in ("", namespace)):
            return home
        return next(
            (
                watched.gvk
                for watched in self._informers
                if watched.gvk.group_kind == home.group_kind and watched.namespace in ("", namespace)
            ),
            home,
        )

    def gone(self, resource: ApiResource, ref: ObjectRef, resource_version: str) -> None:
        """Pass it on."""
        self._sink.gone(resource, ref, resource_version)

    def known(self, resource: ApiResource, namespace: str = "") -> frozenset[ObjectRef]:
        """As the sink says."""
        return self._sink.known(resource, namespace)

    # -- what is not wanted any more -------------------------------------------------------------------------------

    async def _drop_unserved(self) -> None:
        """Forget the kinds that the API server answers 404 for, and their objects; a kind that is served again is watched afresh, without a pause."""
        unserved = [watched for watched, informer in self._informers.items() if isinstance(informer.failure, errors.KindUnknownError)]
        if not unserved:
            return
        for watched in unserved:
            if informer := await self._drop(watched):
                for ref in self._sink.known(informer.resource, watched.namespace):
                    self._sink.gone(informer.resource, ref, "")
        with suppress(errors.CvstateError):
            await self._discovery.refresh()
            # Another version of the kind may be served on; its informer left these objects to the one that is gone.
            await self.resync(sorted({watched.gvk.group_kind for watched in unserved}), since=asyncio.get_running_loop().time())

    async def _drop_idle(self, before: float) -> None:
        """Forget what nobody wanted since `before` and what tells of no object, as when every manifest of a kind moved to another version."""
        self._wanted_at = {watched: at for watched, at in self._wanted_at.items() if at >= before or watched in self._informers}
        for watched, informer in list(self._informers.items()):
            if self._wanted_at[watched] < before and not self._sink.known(informer.resource, watched.namespace):
                await self._drop(watched)

    async def _drop(self, watched: _Watched) -> Informer | None:
        """End an informer; None if others did so while we waited."""
        if informer := self._informers.pop(watched, None):
            await informer.stop()
        return informer

    def _of(self, kind: GroupKind) -> Iterator[Informer]:
        return (informer for watched, informer in list(self._informers.items()) if watched.gvk.group_kind == kind)


def _refuses(error: errors.CvstateError) -> bool:
    """Whether RBAC says no, so that to ask about less may help. Also to the operator that would act as the account: it may be let do so in some namespaces only."""
    return isinstance(error, errors.ForbiddenError)


def _closes(error: errors.CvstateError) -> bool:
    """Whether RBAC says no to the account; that nobody may act as it is another matter."""
    return _refuses(error) and not isinstance(error, errors.ImpersonationRefusedError)


def _is_closed(informer: Informer) -> bool:
    return bool(informer.namespace) and informer.failure is not None and _closes(informer.failure)


def _applied_in(live: Mapping[str, Any]) -> str:
    """The version that we applied an object in; empty if we did not."""
    for entry in live["metadata"].get("managedFields") or ():
        if entry.get("manager") == FIELD_MANAGER and entry.get("operation") == "Apply" and not entry.get("subresource"):
            return str(entry.get("apiVersion", "")).rpartition("/")[2]
    return ""
