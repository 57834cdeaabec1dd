"""Attempts: one look at a repository by a child that has little room and memory at first, and more if that does not do.

So many can look at the same time, one that is large is brought all the same, and one that is too large is refused before it takes the place of others.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from cvstate_operator import errors
from cvstate_operator.isolation.child import ChildFailedError, Children, ChildStarvedError, ChildTimeoutError, Limits
from cvstate_operator.isolation.fair import TurnEndedError
from cvstate_operator.isolation.memory import Memory
from cvstate_operator.isolation.room import FETCH_GROWTH, Room, RoomLackError
from cvstate_operator.source.cache import GitCache

TASK: Final = "cvstate_operator.source.fetch"
FILE_BYTES: Final = 4 * 2**30
"""Largest file of a repository, however much room there is."""
REMEMBERED_SECONDS: Final = 3600.0
"""How long it is remembered what a repository needed, and which commit was too large: it may be smaller by now, or there may be more room."""
REFUSED_COMMITS: Final = 16
"""Of so many commits of one repository it is remembered that they were too large: as many refs of a large one can be followed without fetching any of them again."""


class HeldUpError(errors.FetchTimeoutError):
    """It had to wait for what others had: nothing is said of its server."""


@dataclass(slots=True)
class _Attempt:
    """One look, with all its children."""

    request: dict[str, Any]
    seconds: float
    tenant: str
    awaits: str = ""
    """What it waits for, for people; empty while a child works."""

    @property
    def repository(self) -> str:
        return str(self.request["repository"])


@dataclass(frozen=True, slots=True)
class _Needs:
    """What was learnt of a repository."""

    at: float
    """When (monotonic seconds)."""
    is_large: bool = False
    """It did not do with a small share of the memory."""
    room_bytes: int = 0
    """What it was lent last; 0 if what is lent at first did."""
    refused: Mapping[str, float] = field(default_factory=dict)
    """Commits for which the most was not enough, and when that was; the latest comes last."""


class Attempts:
    """Of one process."""

    def __init__(self, cache: GitCache, children: Children, memory: Memory, room: Room) -> None:
        """
        Args:
            cache: where repositories are kept.
            children: where foreign bytes are read.
            memory: what children may have of it.
            room: of the cache directory.
        """
        self._cache = cache
        self._children = children
        self._memory = memory
        self._room = room
        self._needs: dict[str, _Needs] = {}
        """By repository; of those that do with little nothing."""

    async def run(self, request: dict[str, Any], seconds: float, *, tenant: str = "") -> dict[str, Any]:
        """What the child answers (`fetch.handle`).

        Args:
            request: for the child, but for `room` and `refused`.
            seconds: that all attempts together may take, with what they wait for.
            tenant: for whom; what only one may have at a time tenants have by turns.

        Raises:
            HeldUpError: it was not done in time, and had to wait for others.
            CvstateError: FetchTimeout, FetchFailed, RepoTooLarge, and what the child says.
        """
        attempt, url = _Attempt(request, seconds, tenant), request["url"]
        try:
            async with asyncio.timeout(seconds):
                if request["at"] or request["recall"]:
                    with self._room.reading(attempt.repository):
                        found = await self._child(attempt, self._room.first_bytes)
                    self._room.hold(attempt.repository)
                    return found
                return await self._lent(attempt)
        except (ChildTimeoutError, TimeoutError) as exc:
            if attempt.awaits:
                why = f"reading {url} had to wait for {attempt.awaits} longer than {seconds:.0f} s; it is tried again"
                raise HeldUpError(why) from exc
            hint = "raise spec.source.git.timeout if the repository is large"
            raise errors.FetchTimeoutError(f"reading {url} was not finished within {seconds:.0f} s; {hint}") from exc
        except TurnEndedError as exc:
            raise HeldUpError(f"reading {url}, which takes much memory or room, was {exc.message}; it is tried again") from exc
        except RoomLackError as exc:
            raise errors.FetchFailedError(f"the operator's cache has no room for {url}: {exc.message}; give it more (cacheBytes)") from exc
        except ChildStarvedError as exc:
            if exc.lacks:
                raise _too_large(url, exc, self._room.most_bytes) from exc
            raise self._broken(request, exc) from exc
        except ChildFailedError as exc:
            raise self._broken(request, exc) from exc

    def tidy(self) -> None:
        """Forget what was learnt too long ago."""
        self._needs = {repository: needs for repository in self._needs if (needs := self._needed(repository)) != _Needs(0.0)}

    def _broken(self, request: Mapping[str, Any], error: ChildFailedError) -> errors.FetchFailedError:
        """Whatever ended the child may lie in the cache: start from nothing next time."""
        self._cache.discard(request["repository"])
        return errors.FetchFailedError(f"reading {request['url']} failed: {error.message}")

    async def _lent(self, attempt: _Attempt) -> dict[str, Any]:
        """Ask the server, with little room at first; with more if that does not do, as long as there is."""
        await self._room.open()
        repository, most, first = attempt.repository, self._room.most_bytes, self._room.first_bytes
        # One that is not there, or was refused, needs as much as it did before.
        room_bytes = first if self._room.has("git", repository) else self._needed(repository).room_bytes or first
        if self._needed(repository).refused:
            room_bytes = first  # a look tells whether it is another commit by now
        is_anew = False
        with self._room.reading(repository):
            while True:
                # What is there already counts: a repository that grows by every push has a bound too.
                left = max(0, most - self._room.size_bytes("git", repository))
                try:
                    return await self._borrowed(attempt, min(room_bytes, left))
                except ChildStarvedError as exc:
                    if exc.lacks != "room" or exc.of in self._needed(repository).refused:
                        raise
                    if left <= room_bytes:
                        if is_anew or left == most:
                            self._refuse(repository, exc.of)
                            raise
                        is_anew = True
                        await self._make_anew(attempt)
                        continue
                # A last step that is hardly larger than the one before would be a waste.
                room_bytes = room_bytes * FETCH_GROWTH if room_bytes * FETCH_GROWTH * 2 <= most else most
                self._learn(repository, room_bytes=room_bytes)

    async def _make_anew(self, attempt: _Attempt) -> None:
        """Remove a repository that is full: what it holds may be old commits.

        Raises:
            FetchFailedError: somebody is at work in it.
        """
        repository = attempt.repository
        if self._room.readers(repository) > 1 or not await asyncio.to_thread(self._cache.discard, repository):
            raise errors.FetchFailedError(
                f"the cache of {attempt.request['url']} is full, and in use; it is made anew as soon as it is not"
            )
        await self._room.note("git", repository)

    async def _borrowed(self, attempt: _Attempt, room_bytes: int) -> dict[str, Any]:
        """Ask the server with so much room."""
        repository = attempt.repository
        attempt.awaits = "room in the operator's cache"
        async with self._room.lend(room_bytes, path=repository, tenant=attempt.tenant):
            try:
                found = await self._child(attempt, room_bytes)
            except (ChildFailedError, asyncio.CancelledError):
                await self._room.note("git", repository)  # half of it may be there
                raise
            # Most looks bring nothing: then nobody is about to read, and nothing has another size.
            if any(answer.get("ok", {}).get("tree") for answer in found["answers"]):
                await self._room.note("git", repository)
                self._room.hold(repository)
                await self._room.settle()
            return found

    async def _child(self, attempt: _Attempt, room_bytes: int) -> dict[str, Any]:
        """One child, or a second one that may have much memory if the first did not do with little."""
        needs, division = self._needed(attempt.repository), self._memory.division
        told, file_bytes = {**attempt.request, "room": room_bytes, "refused": list(needs.refused)}, min(room_bytes, FILE_BYTES)
        attempt.awaits = ""
        if not needs.is_large:
            try:
                return await self._children.run(TASK, told, limits=Limits(attempt.seconds, division.fetches.size_bytes, file_bytes))
            except ChildStarvedError as exc:
                if exc.lacks == "room":
                    raise
            self._learn(attempt.repository, is_large=True)
        attempt.awaits = "other fetches that need much memory"
        async with self._memory.fetch_alone.turn(attempt.tenant, attempt.repository):
            attempt.awaits = ""
            limits = Limits(attempt.seconds, division.fetch_alone_bytes, file_bytes, is_most=True)
            return await self._children.run(TASK, told, limits=limits)

    def _needed(self, repository: str) -> _Needs:
        """What is known of it and not too old."""
        old = asyncio.get_running_loop().time() - REMEMBERED_SECONDS
        needs = self._needs.get(repository, _Needs(0.0))
        refused = {commit: at for commit, at in needs.refused.items() if at > old}
        return replace(needs, refused=refused) if needs.at > old else _Needs(0.0, refused=refused)

    def _learn(self, repository: str, *, is_large: bool = False, room_bytes: int = 0) -> None:
        before = self._needed(repository)
        self._needs[repository] = replace(
            before,
            at=before.at or asyncio.get_running_loop().time(),
            is_large=is_large or before.is_large,
            room_bytes=room_bytes or before.room_bytes,
        )

    def _refuse(self, repository: str, commit: str) -> None:
        """Not to be fetched again soon; one whose name the child did not live to tell is."""
        if commit:
            before = self._needed(repository)
            latest = {**before.refused, commit: asyncio.get_running_loop().time()}
            self._needs[repository] = replace(before, refused=dict(list(latest.items())[-REFUSED_COMMITS:]))


def _too_large(url: str, error: ChildStarvedError, most_bytes: int) -> errors.RepoTooLargeError:
    if error.lacks == "room":
        return errors.RepoTooLargeError(
            f"{url} needs more than {most_bytes // 2**20} MiB, the most that one repository may have of the operator's cache (cacheBytes); "
            "split the repository, or give the operator more room"
        )
    return errors.RepoTooLargeError(
        f"reading {url} needs more memory than one fetch may have; split the repository, or give the operator more"
    )
