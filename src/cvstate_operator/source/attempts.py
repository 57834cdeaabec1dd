"""Attempts: one look at a repository by a child that has little room and memory at first, and more if that does not do.

So many can look at the same time, one that is large is brought all the same, and one that is too large is refused before it takes the place of others.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from cvstate_operator import errors
from cvstate_operator.isolation.child import ChildFailedError, Children, ChildStarvedError, ChildTimeoutError, Limits
from cvstate_operator.isolation.memory import Memory
from cvstate_operator.isolation.room import FETCH_GROWTH, Room, RoomLackError
from cvstate_operator.source.cache import GitCache

TASK: Final = "cvstate_operator.source.fetch"
FILE_BYTES: Final = 4 * 2**30
"""Largest file of a repository, however much room there is."""


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
        self._large: set[str] = set()
        """Repositories that did not do with a small share of the memory."""
        self._rooms: dict[str, int] = {}
        """Room that repositories needed, bytes, of those that did not do with what is lent at first."""

    async def run(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """What the child answers (`fetch.handle`).

        Args:
            request: for the child, but for `room`.
            seconds: that all attempts together may take, with what they wait for.

        Raises:
            CvstateError: FetchTimeout, FetchFailed, RepoTooLarge, and what the child says.
        """
        try:
            async with asyncio.timeout(seconds):
                if request["at"] or request["recall"]:
                    with self._room.reading(request["repository"]):
                        found = await self._child(request, seconds, self._room.first_bytes)
                    self._room.hold(request["repository"])
                    return found
                return await self._lent(request, seconds)
        except (ChildTimeoutError, TimeoutError) as exc:
            hint = "raise spec.source.git.timeout if the repository is large"
            raise errors.FetchTimeoutError(f"reading {request['url']} was not finished within {seconds:.0f} s; {hint}") from exc
        except RoomLackError as exc:
            raise errors.FetchFailedError(
                f"the operator's cache has no room for {request['url']}: {exc.message}; give it more (cacheBytes)"
            ) from exc
        except ChildStarvedError as exc:
            if exc.lacks:
                raise _too_large(request["url"], exc, self._room.most_bytes) from exc
            raise self._broken(request, exc) from exc
        except ChildFailedError as exc:
            raise self._broken(request, exc) from exc

    def _broken(self, request: Mapping[str, Any], error: ChildFailedError) -> errors.FetchFailedError:
        """Whatever ended the child may lie in the cache: start from nothing next time."""
        self._cache.discard(request["repository"])
        return errors.FetchFailedError(f"reading {request['url']} failed: {error.message}")

    async def _lent(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Ask the server, with little room at first; with more if that does not do, as long as there is."""
        repository, most = request["repository"], self._room.most_bytes
        # One that is not there, or was refused, needs as much as it did before.
        room_bytes = self._room.first_bytes if self._room.has("git", repository) else self._rooms.get(repository, self._room.first_bytes)
        while True:
            async with self._room.lend(room_bytes):
                with self._room.reading(repository):
                    try:
                        found = await self._child(request, seconds, room_bytes)
                    except ChildStarvedError as exc:
                        await self._room.note("git", repository)
                        if room_bytes == most or exc.lacks != "room":
                            raise
                    except (ChildFailedError, asyncio.CancelledError):
                        await self._room.note("git", repository)  # half of it may be there
                        raise
                    else:
                        # Most looks bring nothing: then nobody is about to read, and nothing has another size.
                        if any(answer.get("ok", {}).get("tree") for answer in found["answers"]):
                            await self._room.note("git", repository)
                            self._room.hold(repository)
                        return found
            # A last step that is hardly larger than the one before would be a waste.
            room_bytes = room_bytes * FETCH_GROWTH if room_bytes * FETCH_GROWTH * 2 <= most else most
            self._rooms[repository] = room_bytes

    async def _child(self, request: dict[str, Any], seconds: float, room_bytes: int) -> dict[str, Any]:
        """One child, or a second one that may have much memory if the first did not do with little."""
        told, file_bytes = {**request, "room": room_bytes}, min(room_bytes, FILE_BYTES)
        if request["repository"] not in self._large:
            try:
                return await self._children.run(TASK, told, limits=Limits(seconds, self._memory.division.fetches.size_bytes, file_bytes))
            except ChildStarvedError as exc:
                if exc.lacks == "room":
                    raise
            self._large.add(request["repository"])
        async with self._memory.alone:
            return await self._children.run(TASK, told, limits=Limits(seconds, self._memory.division.alone_bytes, file_bytes, is_most=True))


def _too_large(url: str, error: ChildStarvedError, most_bytes: int) -> errors.RepoTooLargeError:
    if error.lacks == "room":
        return errors.RepoTooLargeError(
            f"{url} needs more than {most_bytes // 2**20} MiB, the most that one repository may have of the operator's cache (cacheBytes); "
            "split the repository, or give the operator more room"
        )
    return errors.RepoTooLargeError(
        f"reading {url} needs more memory than one fetch may have; split the repository, or give the operator more"
    )
