"""The renderer: the parent's side of rendering. Reads only what our own child wrote, never the repository."""

import asyncio
import contextlib
import hashlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from typing import Any, Final

import orjson

from cvstate_operator import errors
from cvstate_operator.isolation.child import ChildFailedError, Children, ChildStarvedError, ChildTimeoutError, Limits
from cvstate_operator.isolation.fair import FairSlots
from cvstate_operator.isolation.memory import Memory
from cvstate_operator.isolation.room import Room, RoomLackError
from cvstate_operator.objects.artifact import Artifact, Piece, Rendered
from cvstate_operator.objects.directives import DEFAULT, Directives
from cvstate_operator.objects.identity import Gvk
from cvstate_operator.objects.manifest import Body, BodyRef, Manifest, Origin, digest_of
from cvstate_operator.objects.problem import Problem
from cvstate_operator.objects.recipe import Recipe
from cvstate_operator.render.batches import Answer, Batches
from cvstate_operator.render.journal import LASTING_SECONDS, Journal
from cvstate_operator.render.store import Store
from cvstate_operator.render.turns import Turns

TASK: Final = "cvstate_operator.render.build"
FILE_BYTES: Final = 4 * 2**30
"""Largest file that a render may write, however much room there is."""
SLOW_SECONDS: Final = 5.0
"""What took so long the last time waits for its turn among its like, one at a time and tenants by turns, and holds up nobody else."""
REMEMBERED_SECONDS: Final = 3600.0
"""How long it is remembered that a source is slow or large: it may be smaller by now, or gone."""
KINDS_SHARED: Final = 1024
"""Kinds that manifests share, rather than have one each (250 bytes); a hostile repository cannot make us keep more."""
WALL_SECONDS: Final = 60.0
"""Longest that one render may take; 5,000 plain objects take half a second."""


class Renderer:
    """Commits to manifests, through a store on disk."""

    def __init__(
        self,
        store: Store,
        children: Children,
        *,
        tools: Mapping[str, str],
        memory: Memory | None = None,
        room: Room | None = None,
        journal: Journal | None = None,
    ) -> None:
        """
        Args:
            store: where rendered objects are kept.
            children: where foreign bytes are read.
            tools: `kustomize` and `helm`, and where the programs are; those that are not installed are absent.
            memory: what children may have of it; None: what there is, divided.
            room: of the cache directory; None: it has no bound.
            journal: of renders that are under way; None for a process that nobody would start again.
        """
        self._store = store
        self._children = children
        self._tools = dict(tools)
        self._memory = memory or Memory()
        self._room = room or Room()
        self._journal = journal
        small = self._memory.division.renders
        self._room_bytes = self._room.work_bytes // (small.at_once + 1)
        # One of the small ones is kept for those that are slow.
        self._slots = FairSlots(small.at_once - 1)
        self._batches = Batches(self._together, self._slots, at_once=small.at_once - 1)
        self._slow_slot = FairSlots(1)
        self._slow: dict[tuple[str, str], float] = {}
        """Repository and path of sources whose last render was slow, and when that was (monotonic seconds)."""
        self._large: dict[tuple[str, str], float] = {}
        """Repository and path of sources that did not do with a small share of the memory, and when that was."""
        self._turns = Turns()

    async def render(self, artifact: Artifact, recipe: Recipe, *, previous: Rendered | None, tenant: str = "") -> Rendered:
        """Every manifest in the artifact.

        Args:
            artifact: the commit.
            recipe: how.
            previous: an earlier render by the same recipe: only what changed since is looked at.
            tenant: whose it is; only what belongs to one tenant shares a child.

        Raises:
            BuildFailedError: nothing can be said about any file.
            RenderTooLargeError: it needs more memory or room than there is, or the process died of it.
            CacheLostError: the repository must be fetched again.
        """
        try:
            self._room.require()
        except RoomLackError as exc:
            raise errors.RenderTooLargeError(
                f"{artifact.path} cannot be rendered: {exc.message}; give the operator more room (cacheBytes)"
            ) from exc
        with self._room.reading(artifact.repository):
            answer = await self._run(artifact, self._request(artifact, recipe, previous.directory if previous else ""), tenant)
        await self._keep(answer)
        # Beside the event loop: of 5,000 objects it takes 40 ms.
        pieces = await asyncio.to_thread(_merged, {} if previous is None or answer["complete"] else previous.pieces, answer)
        if not any(piece.manifests for piece in pieces.values()) and answer["type"] != "Plain":
            raise errors.BuildFailedError(f"{answer['tool']} made no objects of {artifact.path}; nothing was applied or pruned")
        return Rendered(
            pieces,
            type=answer["type"],
            tool=answer["tool"],
            warnings=tuple(answer["warnings"]),
            directory=artifact.directory if answer["comparable"] else "",
        )

    def tidy(self) -> None:
        """Forget which sources were slow or large for so long that it may be otherwise."""
        old = asyncio.get_running_loop().time() - REMEMBERED_SECONDS
        self._slow = {source: at for source, at in self._slow.items() if at > old}
        self._large = {source: at for source, at in self._large.items() if at > old}

    def body(self, manifest: Manifest) -> Body:
        """The object to apply; the caller may change it.

        Raises:
            BuildFailedError: the store lost it, or holds something else there; the next render makes it again.
        """
        where = manifest.body
        try:
            body: Body = self._store.body(where.key, where.offset, where.length)
            if digest_of(body) != manifest.digest:
                raise ValueError("another body")
            return body
        except (OSError, TypeError, ValueError) as exc:
            self._store.discard(where.key)
            raise errors.BuildFailedError(f"the rendered object was lost from the cache ({type(exc).__name__}); it is made again") from exc

    def _request(self, artifact: Artifact, recipe: Recipe, previous: str) -> dict[str, Any]:
        return {
            "repository": artifact.repository,
            "tree": artifact.tree,
            "directory": artifact.directory,
            "path": artifact.path,
            "previous": previous,
            "type": recipe.type,
            "include": recipe.include,
            "exclude": recipe.exclude,
            "options": {
                "variables": recipe.variables,
                "strict": recipe.strict,
                "commonLabels": recipe.common_labels,
                "targetNamespace": recipe.target_namespace,
            },
            "store": str(self._store.directory),
            "helm": asdict(recipe.helm),
            "tools": self._tools,
            "memory": self._memory.division.renders.size_bytes,
            "room": self._room_bytes,
        }

    async def _keep(self, answer: Mapping[str, Any]) -> None:
        """Have what was written counted, and older things go for it."""
        for name in {index["file"] for index in answer["indexes"].values()}:
            await self._room.note("rendered", str(self._store.directory / name))
        await self._room.settle()

    async def _run(self, artifact: Artifact, request: dict[str, Any], tenant: str) -> Mapping[str, Any]:
        if self._journal and self._journal.is_suspect(key := _key(request)):
            if seconds := self._journal.refused_seconds(key):
                raise _fatal(request, seconds)
            return await self._last(request, tenant)
        answer = None
        if not self._is_special(_source(request)):
            async with self._turns.ordinary():
                answer = await self._batches.run(tenant, artifact.repository, request)
        if answer is None:
            return await self._alone(request, tenant)
        if error := answer.get("error"):
            raise errors.from_data(error)
        ok: Mapping[str, Any] = answer["ok"]
        return ok

    def _is_special(self, source: tuple[str, str]) -> bool:
        """Whether it shares no child with others."""
        return source in self._slow or source in self._large

    async def _together(self, requests: Sequence[Mapping[str, Any]]) -> Sequence[Answer]:
        """One child for all. What it did not live to answer has to be done alone."""
        try:
            if len(requests) == 1:
                return [{"ok": await self._small(requests[0])}]
            answer = await self._child(requests, {"batch": requests}, self._memory.division.renders.size_bytes)
        except ChildStarvedError:
            return [None] * len(requests)
        except ChildFailedError as exc:
            if len(requests) == 1:
                raise _failed(requests[0], exc) from exc
            return [None] * len(requests)
        return [one or None for one in answer["answers"]]

    async def _alone(self, request: Mapping[str, Any], tenant: str) -> Mapping[str, Any]:
        """By a child of its own: a small one, or if that does not do the one that may have much memory. Tenants have turns at each, and none keeps one longer than
        a render may take (`WALL_SECONDS`).

        What others may hold for long is waited for outside of the turn, or a suspect would have to wait for all who wait for it, and everybody for the suspect.
        """
        try:
            if _source(request) not in self._large:
                try:
                    if _source(request) in self._slow:
                        async with self._slow_slot.turn(tenant), self._turns.ordinary():
                            return await self._small(request)
                    async with self._turns.ordinary(), self._slots.turn(tenant):
                        return await self._small(request)
                except ChildStarvedError as exc:
                    if exc.lacks == "room":
                        raise
            async with self._memory.render_alone.turn(tenant), self._turns.ordinary():
                return await self._much(request)
        except ChildFailedError as exc:
            raise _failed(request, exc) from exc

    async def _last(self, request: Mapping[str, Any], tenant: str) -> Mapping[str, Any]:
        """A suspect, while nothing else is rendered. It has the memory of the large one from the start: who held that would wait for the end of this."""
        try:
            async with self._memory.render_alone.turn(tenant), self._turns.alone():
                if _source(request) not in self._large:
                    try:
                        return await self._small(request)
                    except ChildStarvedError as exc:
                        if exc.lacks == "room":
                            raise
                return await self._much(request)
        except ChildFailedError as exc:
            raise _failed(request, exc) from exc

    async def _much(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """By the child that may have much memory."""
        return await self._child([request], request, self._memory.division.render_alone_bytes, is_most=True)

    async def _small(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """By a child that has little memory; it is remembered if that does not do."""
        try:
            return await self._child([request], request, self._memory.division.renders.size_bytes)
        except ChildStarvedError as exc:
            if exc.lacks != "room":
                self._large[_source(request)] = asyncio.get_running_loop().time()
            raise

    async def _child(
        self, renders: Sequence[Mapping[str, Any]], request: Mapping[str, Any], memory_bytes: int, *, is_most: bool = False
    ) -> Mapping[str, Any]:
        """By a child that may have so much memory."""
        clock = asyncio.get_running_loop()
        began = clock.time()
        limits = Limits(WALL_SECONDS, memory_bytes, min(self._room_bytes, FILE_BYTES), is_most=is_most)
        under_way = self._journal.under_way([_key(one) for one in renders]) if self._journal else contextlib.nullcontext(lambda: None)
        try:
            with under_way as lasts:
                timer = clock.call_later(LASTING_SECONDS, lasts)
                try:
                    return await self._children.run(TASK, {**request, "memory": memory_bytes}, limits=limits)
                finally:
                    timer.cancel()
        finally:
            if len(renders) == 1:
                self._slow.pop(_source(renders[0]), None)
                if clock.time() - began > SLOW_SECONDS:
                    self._slow[_source(renders[0])] = clock.time()


def _failed(request: Mapping[str, Any], error: ChildFailedError) -> errors.BuildFailedError:
    """What it means that a child failed, though it had all that it may have."""
    if isinstance(error, ChildTimeoutError):
        return errors.RenderTimeoutError(f"rendering {request['path']} was {error.message}")
    if isinstance(error, ChildStarvedError) and error.lacks:
        most = "memory than one render may have" if error.lacks == "memory" else "room than one render may have (cacheBytes)"
        return errors.RenderTooLargeError(
            f"rendering {request['path']} needs more {most} ({error.message}); split the source, or give the operator more"
        )
    return errors.BuildFailedError(f"rendering {request['path']} failed: {error.message}")


def _fatal(request: Mapping[str, Any], seconds: float) -> errors.RenderTooLargeError:
    return errors.RenderTooLargeError(
        f"the operator's process died each time that {request['path']} was rendered; it is not tried again before another commit or spec, or for "
        f"{-(-seconds // 3600):.0f} h; make the source smaller, or give the operator more memory"
    )


def _key(request: Mapping[str, Any]) -> str:
    """What is rendered, and how: another commit or another recipe has another key. A digest, since there may be secrets in a recipe."""
    told = {name: value for name, value in request.items() if name not in ("previous", "store", "tools", "memory", "room")}
    return hashlib.sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]


def _source(request: Mapping[str, Any]) -> tuple[str, str]:
    return request["repository"], request["path"]


def _merged(known: Mapping[str, Piece], answer: Mapping[str, Any]) -> dict[str, Piece]:
    """What is known by path, with what the child told of it, sorted."""
    pieces = dict(known)
    for path in answer["gone"]:
        pieces.pop(path, None)
    for path, key in answer["changed"].items():
        pieces[path] = _piece(path, answer["indexes"][key])
    for path, (reason, message) in answer["refused"].items():
        pieces[path] = Piece("", (), (Problem(path, 0, "", reason, message),))
    return dict(sorted(pieces.items()))


def _piece(path: str, index: Mapping[str, Any]) -> Piece:
    asked = {number: Directives.from_json(told) for number, told in index["directives"]}
    manifests = tuple(
        Manifest(
            gvk=_gvk(api_version, kind),
            # The live index shares them.
            namespace=sys.intern(namespace),
            name=name,
            digest=sys.intern(digest),
            origin=Origin(path, document, line),
            body=BodyRef(index["file"], index["start"] + offset, length),
            directives=asked.get(number, DEFAULT),
        )
        for number, (api_version, kind, namespace, name, digest, document, line, offset, length) in enumerate(index["objects"])
    )
    problems = tuple(Problem(path, document, name, reason, message, field) for document, name, reason, message, field in index["problems"])
    return Piece(index["file"], manifests, problems)


@lru_cache(maxsize=KINDS_SHARED)
def _gvk(api_version: str, kind: str) -> Gvk:
    return Gvk.parse(api_version, kind)
