"""Plain YAML and JSON: the parent's side of rendering. Reads only what our own child wrote, never the repository."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from cvstate_operator import errors
from cvstate_operator.isolation import child
from cvstate_operator.objects.artifact import Artifact, File, Rendered
from cvstate_operator.objects.identity import Gvk
from cvstate_operator.objects.manifest import Body, BodyRef, Manifest, Origin
from cvstate_operator.objects.problem import Problem

TASK: Final = "cvstate_operator.render.parse"
STORE_VERSION: Final = "v1"
"""Part of the store's path: bodies written by another version of the reader are not used."""
CONCURRENT_RENDERS: Final = 2
"""Child processes at a time; each keeps a core busy."""
RENDER_SECONDS: Final = 60.0
"""Limit of one render; 5,000 objects take 0.3 s."""


@dataclass(frozen=True, slots=True)
class _Index:
    """What one blob declares, whatever file it stands in."""

    start: int
    """Offset of the first body in the store file."""
    objects: tuple[tuple[Any, ...], ...]
    problems: tuple[tuple[Any, ...], ...]


class PlainRenderer:
    """Manifest files to manifests, through a store on disk."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._store = cache / STORE_VERSION
        self._indexes: dict[str, _Index] = {}
        self._slots = asyncio.Semaphore(CONCURRENT_RENDERS)

    async def render(self, artifact: Artifact) -> Rendered:
        """Every manifest in the artifact; only blobs that were never seen are parsed.

        Raises:
            BuildFailedError: the parser ended without an answer; nothing can be said about any file.
        """
        missing = sorted({file.blob for file in artifact.files if file.blob not in self._indexes})
        if missing:
            missing = await asyncio.to_thread(self._read_stored, missing)
        if missing:
            await self._parse(artifact.repository, missing)
        manifests: list[Manifest] = []
        problems: list[Problem] = []
        for file in artifact.files:
            index = self._indexes[file.blob]
            manifests += _manifests(file, index)
            problems += _problems(file, index)
        return Rendered(tuple(manifests), tuple(problems))

    def body(self, manifest: Manifest) -> Body:
        """The object to apply; the caller may change it.

        Raises:
            BuildFailedError: the store lost it; the next render makes it again.
        """
        where = manifest.body
        try:
            with open(self._store / where.blob, "rb") as file:
                file.seek(where.offset)
                body: Body = orjson.loads(file.read(where.length))
                return body
        except (OSError, orjson.JSONDecodeError) as exc:
            self._indexes.pop(where.blob, None)
            raise errors.BuildFailedError(f"the rendered object was lost from the cache ({type(exc).__name__}); it is made again") from exc

    def _read_stored(self, blobs: Iterable[str]) -> list[str]:
        """Take indexes that an earlier process left; returns the blobs that have none."""
        missing = []
        for blob in blobs:
            try:
                with open(self._store / blob, "rb") as file:
                    line = file.readline()
                self._indexes[blob] = _index(orjson.loads(line), len(line))
            except (OSError, orjson.JSONDecodeError):
                missing.append(blob)
        return missing

    async def _parse(self, repository: str, blobs: list[str]) -> None:
        self._cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        request = {"repository": repository, "store": str(self._store), "blobs": blobs}
        async with self._slots:
            try:
                answer = await child.run(TASK, request, limits=child.Limits(wall_seconds=RENDER_SECONDS), home=self._cache)
            except child.ChildFailedError as exc:
                raise errors.BuildFailedError(f"reading the manifests failed: {exc.message}") from exc
        for blob, raw in answer["indexes"].items():
            self._indexes[blob] = _index(raw, len(orjson.dumps(raw)) + 1)


def _index(raw: dict[str, Any], start: int) -> _Index:
    return _Index(start, tuple(tuple(o) for o in raw["objects"]), tuple(tuple(p) for p in raw["problems"]))


def _manifests(file: File, index: _Index) -> Iterable[Manifest]:
    for api_version, kind, namespace, name, digest, document, line, offset, length in index.objects:
        yield Manifest(
            gvk=Gvk.parse(api_version, kind),
            namespace=namespace,
            name=name,
            digest=digest,
            origin=Origin(file.path, document, line),
            body=BodyRef(file.blob, index.start + offset, length),
        )


def _problems(file: File, index: _Index) -> Iterable[Problem]:
    for document, name, reason, message, field in index.problems:
        yield Problem(file.path, document, name, reason, message, field)
