"""The renderer: the parent's side of rendering. Reads only what our own child wrote, never the repository."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from typing import Any, Final

from cvstate_operator import errors
from cvstate_operator.isolation.child import ChildFailedError, Children, ChildTimeoutError, Limits
from cvstate_operator.objects.artifact import Artifact, Piece, Rendered
from cvstate_operator.objects.directives import DEFAULT, Directives
from cvstate_operator.objects.identity import Gvk
from cvstate_operator.objects.manifest import Body, BodyRef, Manifest, Origin, digest_of
from cvstate_operator.objects.problem import Problem
from cvstate_operator.objects.recipe import Recipe
from cvstate_operator.render.batches import Answer, Batches
from cvstate_operator.render.store import Store

TASK: Final = "cvstate_operator.render.build"
CONCURRENT_RENDERS: Final = 4
"""Child processes at a time; each keeps a core busy."""
SLOW_SECONDS: Final = 5.0
"""What took so long the last time waits for its turn among its like, one at a time, and holds up nobody else."""
KINDS_SHARED: Final = 1024
"""Kinds that manifests share, rather than have one each (250 bytes); a hostile repository cannot make us keep more."""
LIMITS: Final = Limits(wall_seconds=60.0, memory_bytes=4 * 2**30)
"""Of one render; 5,000 plain objects take half a second. The address space is what Go programs reserve, not what they use."""


class Renderer:
    """Commits to manifests, through a store on disk."""

    def __init__(self, store: Store, children: Children, *, tools: Mapping[str, str]) -> None:
        """
        Args:
            store: where rendered objects are kept.
            children: where foreign bytes are read.
            tools: `kustomize` and `helm`, and where the programs are; those that are not installed are absent.
        """
        self._store = store
        self._children = children
        self._tools = dict(tools)
        self._slots = asyncio.Semaphore(CONCURRENT_RENDERS)
        self._batches = Batches(self._together, self._slots, at_once=CONCURRENT_RENDERS)
        self._slow_slot = asyncio.Semaphore(1)
        self._slow: set[tuple[str, str]] = set()
        """Repository and path of sources whose last render was slow."""

    async def render(self, artifact: Artifact, recipe: Recipe, *, previous: Rendered | None, tenant: str = "") -> Rendered:
        """Every manifest in the artifact.

        Args:
            artifact: the commit.
            recipe: how.
            previous: an earlier render by the same recipe: only what changed since is looked at.
            tenant: whose it is; only what belongs to one tenant shares a child.

        Raises:
            BuildFailedError: nothing can be said about any file.
            CacheLostError: the repository must be fetched again.
        """
        answer = await self._run(artifact, self._request(artifact, recipe, previous.directory if previous else ""), tenant)
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
        }

    async def _run(self, artifact: Artifact, request: dict[str, Any], tenant: str) -> Mapping[str, Any]:
        source, answer = _source(request), None
        if source not in self._slow:
            answer = await self._batches.run((artifact.repository, tenant), request)
        if answer is None:
            async with self._slow_slot if source in self._slow else self._slots:
                return await self._alone(request)
        if error := answer.get("error"):
            raise errors.from_data(error)
        ok: Mapping[str, Any] = answer["ok"]
        return ok

    async def _together(self, requests: Sequence[Mapping[str, Any]]) -> Sequence[Answer]:
        """One child for all. What it did not live to answer has to be done alone."""
        try:
            if len(requests) == 1:
                return [{"ok": await self._alone(requests[0])}]
            answer = await self._children.run(TASK, {"batch": requests}, limits=LIMITS)
        except ChildFailedError:
            return [None] * len(requests)
        return [one or None for one in answer["answers"]]

    async def _alone(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        clock = asyncio.get_running_loop()
        began = clock.time()
        try:
            return await self._children.run(TASK, dict(request), limits=LIMITS)
        except ChildTimeoutError as exc:
            raise errors.RenderTimeoutError(f"rendering {request['path']} was {exc.message}") from exc
        except ChildFailedError as exc:
            raise errors.BuildFailedError(f"rendering {request['path']} failed: {exc.message}") from exc
        finally:
            (self._slow.add if clock.time() - began > SLOW_SECONDS else self._slow.discard)(_source(request))


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
