"""The roster: which ClusterStates there are, which of them this replica has, and their actors.

Every replica hears of every ClusterState. What another one has is remembered as far as it concerns ours: its name, what it depends on, which pushes it waits for, and how far it has
come. Which is whose `members.py` says; where and as whom one acts, its spec.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from cvstate_operator import errors
from cvstate_operator.api import names, restoring
from cvstate_operator.api.clusterstate import ClusterStateSpec, parse_spec
from cvstate_operator.kube.client import Client
from cvstate_operator.objects import ownership
from cvstate_operator.objects.identity import ApiResource, GroupKind, ObjectRef
from cvstate_operator.objects.live import is_newer
from cvstate_operator.operator.actor import Actor
from cvstate_operator.operator.members import Replicas
from cvstate_operator.operator.neighbours import Neighbours
from cvstate_operator.operator.place import OWN, Place
from cvstate_operator.operator.targets import Target, Targets
from cvstate_operator.operator.webhook import Subscription

SHARE_AGAIN_SECONDS: Final = 1.0
"""Pause before ClusterStates are listed again that could not be."""
TAKE_UP_AGAIN_SECONDS: Final = 30.0
"""Pause before one is tried again that could not be taken up, though it was listed: a fault of ours, which only another state of it may pass by."""
_GROUP_VERSION: Final = f"/apis/{names.API_VERSION}"

_log = logging.getLogger(__name__)


class Ended(Protocol):
    """Told of a ClusterState that is looked after here no more."""

    def __call__(self, namespace: str, name: str, *, is_gone: bool) -> None: ...


Make = Callable[[str, Mapping[str, Any], Target], Actor]
"""Makes the actor of an ApplySet id, for a ClusterState as it is, in a target."""


class Roster:
    """Of one process. Events about ClusterStates come in by `observed` and `deleted`."""

    def __init__(
        self,
        client: Client,
        targets: Targets,
        replicas: Replicas,
        *,
        make: Make,
        repository: Callable[[str, str], Path],
        close_seconds: float,
        namespaces: Collection[str] = (),
        ended: Ended = lambda namespace, name, *, is_gone: None,
    ) -> None:
        """
        Args:
            client: lists ClusterStates.
            targets: where they act.
            replicas: whose they are.
            make: makes actors.
            repository: where the repository of a URL and a Secret (`namespace/name`, or empty) is kept.
            close_seconds: how long an actor may take to end.
            namespaces: whose ClusterStates concern this process, and which it may list alone; empty for all.
            ended: told of each ClusterState that is looked after here no more: whether there is none any more, or another replica has it.
        """
        self._client = client
        self._targets = targets
        self._replicas = replicas
        self._make = make
        self._neighbours = Neighbours(targets, repository=repository)
        self._close_seconds = close_seconds
        self._lists = [f"{_GROUP_VERSION}/namespaces/{one}/{names.CLUSTER_STATES}" for one in namespaces] or [
            f"{_GROUP_VERSION}/{names.CLUSTER_STATES}"
        ]
        """Paths by which all of them are listed."""
        self._ended = ended
        self._sharing: asyncio.Task[None] | None = None
        self._share_again = False
        self._is_closing = False
        self._actors: dict[str, Actor] = {}
        """By ApplySet id."""
        self._placed: dict[str, Target] = {}
        """By ApplySet id of an actor: where it acts."""
        self._others: dict[str, tuple[str, str]] = {}
        """By ApplySet id: uid and resourceVersion of ClusterStates that other replicas have, as they were last."""
        self._names: dict[str, str] = {}
        """ApplySet id to `ClusterState namespace/name`."""
        self.edges: dict[str, dict[str, tuple[str, ...]]] = {}
        """By namespace and name: names of the ClusterStates that each depends on."""
        self.subscriptions: dict[str, Subscription] = {}
        """By ApplySet id: those that take part in the push webhook."""
        self._noted: dict[str, tuple[str, int | None]] = {}
        """By ApplySet id: uid and generation whose spec was noted; without one while it is being restored."""
        self.closing: dict[str, dict[asyncio.Task[None], Actor]] = {}
        """By ApplySet id: the actors that it had, as long as they are not at their end, each with what ends it."""

    @property
    def actors(self) -> Sequence[Actor]:
        """Of the ClusterStates that this replica has."""
        return tuple(self._actors.values())

    def is_elsewhere(self, owner: str) -> bool:
        """Whether an ApplySet is a ClusterState's that another replica has."""
        return owner in self._others

    async def may_have(self, giver: str, owner: str, resource: ApiResource, ref: ObjectRef) -> bool:
        """Whether a ClusterState may write an object of one that this replica has (`giver`), as the account that it names."""
        target = self._placed.get(giver)
        return target is None or await self._neighbours.may_have(owner, target.place, resource, ref)

    def name_of(self, owner: str) -> str:
        """An ApplySet for people: `ClusterState default/shop`, or its id if nobody knows it."""
        return self._names.get(owner) or ownership.told(owner)

    def permit(self, spec: ClusterStateSpec, namespace: str) -> None:
        """See whether the operator's owner allows what a spec asks for.

        Raises:
            ServiceAccountRequiredError: it has to name an account.
        """
        self._targets.place(spec, namespace)

    def _is_permitted(self, spec: ClusterStateSpec, namespace: str) -> bool:
        try:
            self.permit(spec, namespace)
        except errors.InvalidSpecError:
            return False
        return True

    # -- what happens to ClusterStates -----------------------------------------------------------------------------

    def observed(self, body: Mapping[str, Any]) -> None:
        """A ClusterState exists in this state."""
        meta = body["metadata"]
        owner = _owner(meta)
        actor = self._actors.get(owner)
        uid, version = (actor.uid, actor.version) if actor else self._others.get(owner, ("", ""))
        if uid not in ("", meta["uid"]) and not is_newer(meta["resourceVersion"], version):
            return  # of a namesake that is gone: events about two objects come in any order
        if actor and actor.uid == meta["uid"] and meta["resourceVersion"] != version and not is_newer(meta["resourceVersion"], version):
            return  # what a list told already, when the ClusterState was taken up
        if meta.get("deletionTimestamp") and names.FINALIZER not in (meta.get("finalizers") or ()):
            self.deleted(body)
            return
        if restoring.is_marked(body) and not (actor and actor.uid == meta["uid"]):
            is_news = self._noted.get(owner) != (meta["uid"], None)
            self._drop(body)  # of the same name, if there was one: this one is looked at when it is whole
            self._noted[owner] = meta["uid"], None
            if is_news and self._replicas.is_mine(owner):
                about = {"clusterstate": f"{meta['namespace']}/{meta['name']}", "annotation": restoring.MARK}
                _log.info("not looked at while it is being restored; if cvstate restore broke off, run it again", extra=about)
            return
        self._names[owner] = f"{names.CLUSTER_STATE} {meta['namespace']}/{meta['name']}"
        is_news = self._noted.get(owner) != (meta["uid"], meta.get("generation"))
        spec = _parsed(body) if is_news else None
        if not self._replicas.is_mine(owner) or (self._is_closing and actor is None):
            self._others[owner] = meta["uid"], meta["resourceVersion"]
            if actor:
                self._hand_over(owner)
            if spec := spec or (None if self._neighbours.knows(owner) else _parsed(body)):
                self._neighbours.read(owner, spec, meta["namespace"], self._place(spec, meta["namespace"]))
            self._neighbours.hear(owner, body)
        elif actor and actor.uid == meta["uid"] and not (is_news and self._place(spec, meta["namespace"]) != self._placed[owner].place):
            actor.update(body)
        elif not self._is_closing:  # or else what it has is ending, and whoever takes over begins
            self._begin(owner, body, spec if is_news else _parsed(body))
        if is_news:
            self._noted[owner] = meta["uid"], meta.get("generation")
            self._note(owner, meta, spec)

    def _begin(self, owner: str, body: Mapping[str, Any], spec: ClusterStateSpec | None) -> None:
        """Take a ClusterState up: a new one, one that is to act elsewhere from now on, or one that another replica had."""
        known = self._others.pop(owner, ("", ""))[0]
        if had := self._actors.get(owner):
            known = had.uid
            self._end(owner, seconds=self._close_seconds)
        place = self._place(spec, body["metadata"]["namespace"])
        self._neighbours.join(owner, body, spec, place, is_known=known == body["metadata"]["uid"])
        target = self._targets.take(place)
        try:
            self._actors[owner] = self._make(owner, body, target)
        except BaseException:
            self._targets.leave(target)
            raise
        self._placed[owner] = target

    def _place(self, spec: ClusterStateSpec | None, namespace: str) -> Place:
        """Where a ClusterState acts. One whose spec cannot be carried out acts nowhere: what it says is told, and nothing more."""
        try:
            return self._targets.place(spec, namespace) if spec else OWN
        except errors.ServiceAccountRequiredError:
            return OWN

    def _note(self, owner: str, meta: Mapping[str, Any], spec: ClusterStateSpec | None) -> None:
        """Remember what others ask of a new spec: which pushes concern it, what it depends on, and as whom it acts.

        If its dependencies are news, others may be in a circle with it, or not any more.
        """
        is_permitted = spec is not None and self._is_permitted(spec, meta["namespace"])
        if spec:
            self._neighbours.act(owner, self._place(spec, meta["namespace"]) if is_permitted else None)
        if spec and spec.source.git.webhook and is_permitted:
            git, secret = spec.source.git, spec.source.git.webhook.secret_ref.name
            place = self._place(spec, meta["namespace"])._replace(kubeconfig="")
            self.subscriptions[owner] = Subscription(owner, meta["namespace"], meta["name"], git.url, git.ref, secret, place)
        else:
            self.subscriptions.pop(owner, None)
        edges = tuple(one.name for one in spec.depends_on if one.is_cluster_state) if spec else ()
        known = self.edges.setdefault(meta["namespace"], {})
        if known.get(meta["name"], ()) != edges:
            known[meta["name"]] = edges
            self.reconsider(meta["namespace"])

    def deleted(self, body: Mapping[str, Any]) -> None:
        """A ClusterState is gone, or going; its objects stay (they are orphaned)."""
        owner = _owner(body["metadata"])
        actor = self._actors.get(owner)
        uid = actor.uid if actor else self._others.get(owner, ("", ""))[0]
        if uid in ("", body["metadata"]["uid"]):
            self._drop(body)

    def _drop(self, body: Mapping[str, Any]) -> None:
        """Forget whatever ClusterState has this name."""
        owner = _owner(body["metadata"])
        self._names.pop(owner, None)
        self.subscriptions.pop(owner, None)
        self._noted.pop(owner, None)
        self._others.pop(owner, None)
        self._neighbours.forget(owner)
        self.edges.get(body["metadata"]["namespace"], {}).pop(body["metadata"]["name"], None)
        self._targets.gone(owner)
        if owner in self._actors and not self._is_closing:  # or else it is ending already
            self._end(owner, seconds=self._close_seconds, is_gone=True)

    def _end(self, owner: str, *, seconds: float, is_gone: bool = False) -> None:
        """End an actor beside everything else; its target stays open until it is at its end."""
        actor, target = self._actors.pop(owner), self._placed.pop(owner)

        async def end() -> None:
            try:
                await actor.close(seconds=seconds)
            finally:
                self._targets.leave(target)
                if owner not in self._actors:  # it may have been taken up again, to act elsewhere
                    self._ended(actor.namespace, actor.name, is_gone=is_gone)

        task = asyncio.create_task(end(), name=f"end {actor.namespace}/{actor.name}")
        self.closing.setdefault(owner, {})[task] = actor
        task.add_done_callback(lambda done: self._at_end(owner, done))

    def _at_end(self, owner: str, task: asyncio.Task[None]) -> None:
        del self.closing[owner][task]
        if not self.closing[owner]:
            del self.closing[owner]

    # -- the share of this replica ---------------------------------------------------------------------------------

    def shares_changed(self) -> None:
        """Other ClusterStates may belong to this replica than before: what belongs to others now is given up at once, what they had is taken up beside everything else.

        Raises:
            InternalError: some could not be given up, and are still at work here; all others were. To be called again.
        """
        self._targets.move_about(time.monotonic())
        left = []
        for owner in [owner for owner in {*self._actors, *self.closing} if not self._replicas.is_mine(owner)]:
            try:
                self._hand_over(owner)
            except Exception:  # others take over the rest as well, whatever is the matter with this one
                _log.exception("a ClusterState could not be handed over", extra={"clusterstate": self.name_of(owner)})
                left.append(self.name_of(owner))
        if not self._is_closing:
            self._share_again = True
            if self._sharing is None or self._sharing.done():
                self._sharing = asyncio.create_task(self._share(), name="share the work")
        if left:
            raise errors.InternalError(f"not handed over: {', '.join(sorted(left))}")

    async def _share(self) -> None:
        """Take up what others had."""
        while self._share_again:
            self._share_again = False
            if not any(self._replicas.is_mine(owner) for owner in self._others):
                continue
            if pauses := [pause for path in self._lists if (pause := await self._take_up_listed(path)) is not None]:
                await asyncio.sleep(min(pauses))
                self._share_again = True

    async def _take_up_listed(self, path: str) -> float | None:
        """Take up what is ours of one list; in how many seconds that is to be tried again, None if it was done."""
        pause = None
        try:
            # As they are now, in one request: who had them wrote their status to the end, and no event may have told yet.
            async for page in self._client.pages(path):
                for item in page.get("items", ()):
                    if not self._take_up({"apiVersion": names.API_VERSION, "kind": names.CLUSTER_STATE, **item}):
                        pause = TAKE_UP_AGAIN_SECONDS
        except errors.CvstateError as exc:
            _log.warning("ClusterStates not listed, trying again", extra={"path": path, "reason": exc.reason, "error": exc.message})
            return SHARE_AGAIN_SECONDS
        except Exception:  # whatever it is: nobody else would take up what is ours
            _log.exception("ClusterStates not listed, trying again", extra={"path": path})
            return TAKE_UP_AGAIN_SECONDS
        return pause

    def _take_up(self, body: Mapping[str, Any]) -> bool:
        """Begin with a ClusterState that another replica had, if it is ours now; False if that failed."""
        owner = _owner(body["metadata"])
        if owner not in self._others or not self._replicas.is_mine(owner):
            return True
        try:
            self.observed(body)
        except Exception:  # one that cannot be taken up must not stop the others
            _log.exception("a ClusterState could not be taken up", extra={"clusterstate": self.name_of(owner)})
            self._others[owner] = body["metadata"]["uid"], ""
            return False
        return True

    def _hand_over(self, owner: str) -> None:
        """Let another replica have a ClusterState: the objects in hand are finished, in less time than it waits, also by those that were ending before."""
        seconds = min(self._replicas.hand_over_seconds(owner), self._close_seconds)
        for ending in self.closing.get(owner, {}).values():
            ending.hasten(seconds=seconds)
        actor = self._actors.get(owner)
        if actor is None:
            return
        if self._is_closing:  # it is ending as well, with all the others
            actor.hasten(seconds=seconds)
            return
        self._others.setdefault(owner, (actor.uid, actor.version))
        # Until an event tells how far it is there: it may declare what we would delete.
        self._targets.of_cluster(self._placed[owner].place).move_away(owner, time.monotonic())
        self._end(owner, seconds=seconds)

    async def close(self) -> None:
        """Finish the objects in hand of all, and end them; nothing is taken up any more. A second call does nothing."""
        if self._is_closing:
            return
        self._is_closing = True
        if self._sharing:
            self._sharing.cancel()
        closing = [actor.close(seconds=self._close_seconds) for actor in self._actors.values()]
        ending = [task for tasks in self.closing.values() for task in tasks]
        for result in await asyncio.gather(*closing, *ending, return_exceptions=True):
            if isinstance(result, BaseException):
                _log.error("a ClusterState did not end well", exc_info=result)

    # -- what happens to their objects -----------------------------------------------------------------------------

    def look_now(self, owner: str) -> bool:
        """Have one ClusterState ask its source at once; False if another replica has it, or nobody."""
        if actor := self._actors.get(owner):
            actor.look_now()
        return actor is not None

    def touched(self, place: Place, owner: str, ref: ObjectRef) -> None:
        """An object of an ApplySet changed in a way that matters, as seen from a place."""
        # Others see the object from where they are.
        if (actor := self._actors.get(owner)) and self._placed[owner].place == place:
            actor.touch(ref)

    def freed(self, owner: str, ref: ObjectRef) -> None:
        """Another ClusterState would delete an object that this ApplySet declares."""
        if actor := self._actors.get(owner):
            actor.touch(ref)

    def heard(self, place: Place, kinds: Collection[GroupKind]) -> None:
        """Kinds came into doubt at a place, or are heard again."""
        for owner, actor in self._actors.items():
            if self._placed[owner].place == place:
                actor.heard(kinds)

    def reconsider(self, namespace: str) -> None:
        """What may be written in a namespace, or everywhere if it is empty, may have changed."""
        for actor in self._actors.values():
            if namespace in ("", actor.namespace):
                actor.reconsider()


def _parsed(body: Mapping[str, Any]) -> ClusterStateSpec | None:
    """What a ClusterState says; None if it cannot be meant."""
    try:
        return parse_spec(body.get("spec") or {})
    except errors.InvalidSpecError:
        return None


def _owner(meta: Mapping[str, Any]) -> str:
    return ownership.applyset_id(name=meta["name"], namespace=meta["namespace"], kind=names.CLUSTER_STATE, group=names.GROUP)
