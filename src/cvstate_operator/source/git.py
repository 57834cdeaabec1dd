"""Git sources: the parent's side of fetching. Never touches what the server sent; that is the child's (`source/fetch.py`)."""

import asyncio
import hashlib
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from cvstate_operator import errors
from cvstate_operator.api.clusterstate import GitRef, GitSource
from cvstate_operator.api.duration import parse_seconds
from cvstate_operator.isolation import child
from cvstate_operator.objects.artifact import Artifact, File
from cvstate_operator.objects.problem import Problem

TASK: Final = "cvstate_operator.source.fetch"
CONCURRENT_FETCHES: Final = 4
"""Child processes at a time; each is mostly waiting for the network."""
DEFAULT_BRANCH: Final = "main"


class GitSources:
    """Fetches from Git into a cache directory."""

    def __init__(self, cache: Path, *, allow_file_urls: bool = False) -> None:
        """
        Args:
            cache: where bare repositories are kept; made if absent.
            allow_file_urls: whether file:// may be read; it can reach whatever the operator's user can.
        """
        self._cache = cache
        self._allow_file_urls = allow_file_urls
        self._slots = asyncio.Semaphore(CONCURRENT_FETCHES)

    async def fetch(self, git: GitSource, *, known: Artifact | None) -> Artifact:
        """The newest commit that `git` points at; `known` itself if nothing is newer.

        Raises:
            TransientError: FetchFailed, FetchTimeout: the repository could not be read now.
            TerminalError: URLNotAllowed, AuthFailed, RefNotFound, PathNotFound, RepoTooLarge, SourceInvalid.
        """
        if urlsplit(git.url).scheme == "file" and not self._allow_file_urls:
            raise errors.URLNotAllowedError("file:// URLs are not allowed; use https://, or start the operator with --allow-file-urls")
        repository = self._cache / hashlib.sha256(git.url.encode()).hexdigest()[:32]
        kind, name = _wanted(git.ref)
        request = {
            "repository": str(repository),
            "url": git.url,
            "ref": {"kind": kind, "name": name},
            "path": git.path,
            "known": known.commit if known and known.repository == str(repository) and known.path == git.path else "",
        }
        answer = await self._run(request, parse_seconds(git.timeout))
        if "tree" not in answer:
            assert known is not None  # the child answers so only for what we know  # noqa: S101
            # The same commit by another ref (a branch became a tag) is another revision, but nothing new.
            revision = _revision(name, kind, answer["commit"])
            return known if revision == known.revision else replace(known, revision=revision)
        return _artifact(answer, repository=str(repository), path=git.path, revision=_revision(name, kind, answer["commit"]))

    async def _run(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        self._cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        limits = child.Limits(wall_seconds=seconds)
        async with self._slots:
            try:
                return await child.run(TASK, request, limits=limits, home=self._cache)
            except child.ChildTimeoutError as exc:
                raise errors.FetchTimeoutError(
                    f"{request['url']} was {exc.message}; raise spec.source.git.timeout if the repository is large"
                ) from exc
            except child.ChildFailedError as exc:
                # Whatever killed the child may lie in the cache: start from nothing next time.
                await asyncio.to_thread(shutil.rmtree, request["repository"], ignore_errors=True)
                raise errors.FetchFailedError(f"reading {request['url']} failed: {exc.message}") from exc


def _wanted(ref: GitRef) -> tuple[str, str]:
    """Kind and name; commit wins over tag, and tag over branch."""
    if ref.commit:
        return "commit", ref.commit
    if ref.tag:
        return "tag", ref.tag
    return "branch", ref.branch or DEFAULT_BRANCH


def _revision(name: str, kind: str, commit: str) -> str:
    """`main@sha1:4c1f…`, or `sha1:4c1f…` for a commit, as Flux spells them."""
    return f"sha1:{commit}" if kind == "commit" else f"{name}@sha1:{commit}"


def _artifact(answer: dict[str, Any], *, repository: str, path: str, revision: str) -> Artifact:
    return Artifact(
        repository=repository,
        path=path,
        revision=revision,
        commit=answer["commit"],
        tree=answer["tree"],
        committed_at=datetime.fromisoformat(answer["committed_at"]),
        fetched_at=datetime.now(UTC),
        files=tuple(File(*entry) for entry in answer["files"]),
        problems=tuple(Problem(file, 0, "", reason, message) for file, reason, message in answer["problems"]),
    )
