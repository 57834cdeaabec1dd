"""Git sources: the parent's side of fetching. Never touches what a server sent; that is the child's (`source/fetch.py`)."""

import asyncio
import hashlib
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

from cvstate_operator import errors
from cvstate_operator.api.duration import parse_seconds
from cvstate_operator.api.source import GitRef, GitSource, VerifyMode
from cvstate_operator.isolation.child import Children
from cvstate_operator.isolation.fair import FairSlots, TurnEndedError
from cvstate_operator.isolation.memory import Memory
from cvstate_operator.isolation.room import Room
from cvstate_operator.objects.access import Access
from cvstate_operator.objects.address import AddressPolicy
from cvstate_operator.objects.artifact import Artifact
from cvstate_operator.source.address import check_url
from cvstate_operator.source.attempts import Attempts, HeldUpError
from cvstate_operator.source.cache import GitCache
from cvstate_operator.source.questions import Demand, Line, Look, Want
from cvstate_operator.source.repository_key import repository_key

CONCURRENT_READERS: Final = 4
"""Child processes at a time that only read the cache; each keeps a core busy. A quarter of all, where memory allows few."""
CONCURRENT_PER_HOST: Final = 4
"""Of one namespace, so that one server that hangs does not hold up its other sources. Of all namespaces together half of the slots may ask one host."""
CONCURRENT_PER_NAMESPACE: Final = 8
"""So that one tenant whose servers all hang does not hold up those of others; at most half of all."""
QUICK_SECONDS: Final = 20.0
"""How long a look may keep its slot although others wait for one; most take a second. It is made again where slow ones are."""
SLOW_SECONDS: Final = 120.0
"""How long a slow one may keep theirs although other slow ones wait."""
SLOW_WAIT_SECONDS: Final = 600.0
"""How long a slow one waits at least, however little time its look may take: who gave up sooner would come last again, before those were ended who hold on for
longest (`LONGEST_FACTOR` times SLOW_SECONDS)."""
SLOW_REMEMBERED_SECONDS: Final = 600.0
"""How long it is remembered that a server was slow: then it is asked like any other, or one that was slow once would wait among those that always are."""
REVERIFY_SECONDS: Final = 600.0
"""How often the signature of a commit that is known is checked again: keys expire. It takes a tenth of a second of CPU."""
TIDY_SECONDS: Final = 24 * 3600.0
"""Half of the longest interval that makes sense; a look that is forgotten is only made again."""


class GitSources:
    """Fetches from Git into a cache directory; one look serves everyone who follows the same ref of the same repository."""

    def __init__(
        self, cache: GitCache, children: Children, policy: AddressPolicy, *, memory: Memory | None = None, room: Room | None = None
    ) -> None:
        """
        Args:
            cache: where repositories are kept.
            children: where foreign bytes are read.
            policy: which addresses may be asked.
            memory: what children may have of it; None: what there is, divided.
            room: of the cache directory; None: it has no bound.
        """
        memory = memory or Memory()
        self._cache = cache
        self._policy = policy
        self._told_policy = asdict(policy)
        self._room = room or Room()
        self._attempts = Attempts(cache, children, memory, self._room)
        small = memory.division.fetches
        readers = min(CONCURRENT_READERS, small.at_once // 4)
        at_once = small.at_once - readers - 1  # one is kept for those that are slow
        self._slots = FairSlots(at_once, seconds=QUICK_SECONDS)
        self._slow_slot = FairSlots(1, seconds=SLOW_SECONDS)
        self._readers = FairSlots(readers, seconds=QUICK_SECONDS)
        self._half = max(1, (at_once + 1) // 2)
        self._slow: dict[tuple[str, str], float] = {}
        """By namespace and host: when a look took too long, if the last one did (monotonic seconds)."""
        self._everybody: dict[str, FairSlots] = {}
        """By host: half of the slots at most, whoever asks, so that one that hangs leaves the other half."""
        self._hosts: dict[tuple[str, str], asyncio.Semaphore] = {}
        """By namespace and host: who waits for a host holds up nobody of another namespace."""
        self._namespaces: dict[str, asyncio.Semaphore] = {}
        self._verified: dict[tuple[str, str], tuple[str, float]] = {}
        """By repository, and demand and keys: the commit that was verified last, and when (monotonic seconds)."""
        self._lines: dict[tuple[str, str], Line] = {}
        self._looks: dict[tuple[str, str], Look] = {}

    async def fetch(self, git: GitSource, *, access: Access, known: Artifact | None, baseline: str, max_age: float) -> Artifact:
        """The commit that `git` points at; `known` itself if it is still that one.

        Args:
            git: the source.
            access: credentials and keys.
            known: what the caller has.
            baseline: commit that a new one must descend from; empty for none.
            max_age: seconds; an answer of the server that somebody else got so long ago will do. 0: it must be asked after this call.

        Raises:
            TransientError: FetchFailed, FetchTimeout: the repository could not be read now.
            TerminalError: InvalidSpec, URLNotAllowed, AuthFailed, HostKeyUnknown, RefNotFound, VerificationFailed, RewindRefused, ….
        """
        request = self._request(git, access)
        # Other credentials in the same Secret are another question.
        key = (request["repository"], f"{git.ref.selector} {access.credentials_digest}")
        details = self._details(git, access, request["repository"], known=known, baseline="" if git.allow_rewind else baseline)
        want = Want(asyncio.get_running_loop().time() - max_age, parse_seconds(git.timeout), details, _demand(git, access))
        if not self._is_answered(key, want):
            line = self._lines.setdefault(key, Line())
            line.wants.append(want)
            try:
                await asyncio.sleep(0)  # a push wakes all who follow the ref at once: they stand in line before the first one asks
                async with self._turn(git, line.turns.setdefault(access.namespace, asyncio.Lock())):
                    if not self._is_answered(key, want):
                        await self._ask(key, git, request, want, line.wants, access.namespace)
            finally:
                line.wants.remove(want)
        return self._artifact(git, access, want, known)

    async def recall(self, git: GitSource, *, access: Access, commit: str) -> Artifact:
        """A commit that was fetched in an earlier life, from the cache alone; verified anew.

        Raises:
            CvstateError: it is not there any more, or not acceptable.
        """
        request = self._request(git, access)
        details = self._details(git, access, request["repository"], known=None, baseline="")
        want = Want(0.0, parse_seconds(git.timeout), details, _demand(git, access))
        async with self._reading(git, access.namespace):
            found = await self._attempts.run(
                {**request, "recall": commit, **_told([want])}, parse_seconds(git.timeout), tenant=access.namespace
            )
        want.take(found["look"], found["answers"][0])
        return self._artifact(git, access, want, None)

    def tidy(self) -> None:
        """Forget what nobody asked for lately: locks that nobody holds, and looks that are too old for anybody."""
        old = asyncio.get_running_loop().time() - TIDY_SECONDS
        self._looks = {key: look for key, look in self._looks.items() if max(look.began, look.until) > old}
        self._verified = {key: found for key, found in self._verified.items() if found[1] > old}
        self._lines = {key: line for key, line in self._lines.items() if line.wants}
        self._hosts = {key: slots for key, slots in self._hosts.items() if slots.locked()}
        self._namespaces = {key: slots for key, slots in self._namespaces.items() if slots.locked()}
        self._everybody = {key: slots for key, slots in self._everybody.items() if not slots.is_idle}
        self._slow = {key: at for key, at in self._slow.items() if self._is_slow(key)}
        self._attempts.tidy()

    def forget(self, artifact: Artifact) -> None:
        """The cached repository of an artifact turned out to be damaged: have it made anew by the next fetch."""
        self._looks = {key: look for key, look in self._looks.items() if key[0] != artifact.repository}
        self._cache.discard(artifact.repository)

    @asynccontextmanager
    async def _turn(self, git: GitSource, *locks: AbstractAsyncContextManager[object], least: float = 0.0) -> AsyncIterator[None]:
        """Hold all locks; waiting for them takes no longer than a look itself may, or `least` seconds."""
        seconds = max(parse_seconds(git.timeout), least)
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(seconds):
                    for lock in locks:
                        await stack.enter_async_context(lock)
            except TimeoutError:
                raise HeldUpError(
                    f"reading {git.url} had to wait for other fetches longer than {seconds:.0f} s; it is tried again"
                ) from None
            yield

    @asynccontextmanager
    async def _reading(self, git: GitSource, namespace: str) -> AsyncIterator[None]:
        """Hold what a child needs that only reads the cache."""
        try:
            async with self._turn(git, self._readers.turn(namespace)):
                yield
        except TurnEndedError as exc:
            raise HeldUpError(f"reading {git.url} from the cache was {exc.message}; it is tried again") from exc

    def _is_slow(self, where: tuple[str, str]) -> bool:
        """Whether a look at this host, for this namespace, took too long lately."""
        return self._slow.get(where, -math.inf) > asyncio.get_running_loop().time() - SLOW_REMEMBERED_SECONDS

    def _is_answered(self, key: tuple[str, str], want: Want) -> bool:
        """Whether there is nothing left to ask for: somebody asked for all, or the server's last answer is new enough and says all that is wanted.

        Raises:
            CvstateError: the server's last answer is a failure that concerns everybody.
        """
        look = self._looks.get(key)
        if want.answer is None and look and look.will_do(want):
            if look.error:
                raise look.error
            if look.found["commit"] == want.details["known"]:
                want.take(look.found, {"ok": {}})
        return want.answer is not None

    async def _ask(
        self, key: tuple[str, str], git: GitSource, request: dict[str, Any], want: Want, wants: Sequence[Want], namespace: str
    ) -> None:
        """Have one child answer `want`, and with it all that stand in line and that its look is new enough for."""
        clock = asyncio.get_running_loop()
        look = self._looks.get(key)
        if look and not look.error and look.began >= want.since:
            async with self._reading(git, namespace):
                await self._judge({**request, "at": look.found}, want, [one for one in wants if look.began >= one.since], git, namespace)
            if not want.is_lacking:
                return
            want.answer = None
        where = (namespace, (urlsplit(git.url).hostname or "").lower())
        if not self._is_slow(where):
            began = math.inf
            try:
                async with self._turn(git, *self._ordinary(where)):
                    began = clock.time()
                    if not self._is_answered(key, want):
                        await self._look(key, git, request, want, wants, where)
                    return
            except TurnEndedError:
                # The first of the slots that it holds may have been waiting for the last one for long.
                if clock.time() - began >= QUICK_SECONDS:
                    self._slow[where] = clock.time()
        try:
            async with self._turn(git, self._slow_slot.turn(namespace, request["repository"]), least=SLOW_WAIT_SECONDS):
                if not self._is_answered(key, want):
                    await self._look(key, git, request, want, wants, where)
        except TurnEndedError as exc:
            raise errors.FetchTimeoutError(f"reading {git.url} was {exc.message}; it is tried again") from exc

    def _ordinary(self, where: tuple[str, str]) -> Sequence[AbstractAsyncContextManager[object]]:
        """What a look holds that is not known to be slow."""
        return (
            self._hosts.setdefault(where, asyncio.Semaphore(CONCURRENT_PER_HOST)),
            self._namespaces.setdefault(where[0], asyncio.Semaphore(min(CONCURRENT_PER_NAMESPACE, self._half))),
            self._everybody.setdefault(where[1], FairSlots(self._half, seconds=QUICK_SECONDS)).turn(where[0]),
            self._slots.turn(where[0]),
        )

    async def _look(
        self, key: tuple[str, str], git: GitSource, request: dict[str, Any], want: Want, wants: Sequence[Want], where: tuple[str, str]
    ) -> None:
        """Ask the server, and keep what it said for others; also how long it took."""
        began = (clock := asyncio.get_running_loop()).time()
        try:
            found = await self._judge(request, want, wants, git, where[0])
        except errors.CvstateError as exc:
            if isinstance(exc, HeldUpError):
                raise  # it is this one's own waiting
            if isinstance(exc, errors.FetchTimeoutError):
                self._slow[where] = clock.time()
            # What is wrong with this ClusterState's own keys, path or history is no news for the others.
            if isinstance(exc, errors.TransientError | errors.AuthFailedError | errors.TLSInvalidError | errors.RefNotFoundError):
                self._looks[key] = Look(began, {}, exc, want.patience_seconds)
            raise
        if clock.time() - began < QUICK_SECONDS:
            self._slow.pop(where, None)
        self._looks[key] = Look(began, found, None, want.patience_seconds)

    async def _judge(self, request: dict[str, Any], first: Want, wants: Sequence[Want], git: GitSource, namespace: str) -> dict[str, str]:
        """Let one child answer `first`, and the others who ask the same of signatures: nobody waits for the keys of somebody else, nor falls with them.

        Returns:
            What the server, or an earlier look at it, said.
        """
        asking = [first, *(one for one in wants if one is not first and one.answer is None and one.demand == first.demand)]
        found = await self._attempts.run({**request, **_told(asking)}, parse_seconds(git.timeout), tenant=namespace)
        look: dict[str, str] = found["look"]
        for one, answer in zip(asking, found["answers"], strict=True):
            one.take(look, answer)
            if one is not first and one.is_lacking:
                one.answer = None  # its own turn comes
        return look

    def _request(self, git: GitSource, access: Access) -> dict[str, Any]:
        """What is asked for by everyone who follows the same ref of the same repository."""
        check_url(git.url, self._policy, has_credentials=bool(access.credentials))
        return {
            "repository": str(self._cache.repository(git.url, access.secret)),
            "url": git.url,
            "ref": git.ref.model_dump(exclude_none=True),
            "selector": git.ref.selector,
            "at": None,
            "recall": "",
            "secret": access.secret,
            "credentials": _text(access.credentials),
            "policy": self._told_policy,
        }

    def _details(self, git: GitSource, access: Access, repository: str, *, known: Artifact | None, baseline: str) -> dict[str, Any]:
        """What one of them wants to know."""
        verified_with = _verified_with(git, access)
        same = known and (known.repository, known.path, known.verified_with) == (repository, git.path, verified_with)
        # Another tag of a known commit, or the tag made anew, has a signature of its own.
        same = same and (git.verify is None or (git.verify.mode is VerifyMode.HEAD and self._is_verified(repository, verified_with, known)))
        return {
            "path": git.path,
            "known": known.commit if known and same else "",
            "baseline": baseline,
        }

    def _is_verified(self, repository: str, verified_with: str, known: Artifact | None) -> bool:
        commit, at = self._verified.get((repository, verified_with), ("", 0.0))
        return known is not None and commit == known.commit and asyncio.get_running_loop().time() < at + REVERIFY_SECONDS

    def _artifact(self, git: GitSource, access: Access, want: Want, known: Artifact | None) -> Artifact:
        """What was wanted; `known` itself if it is that.

        Raises:
            CvstateError: the commit is not acceptable.
        """
        look, answer = want.result()
        repository = str(self._cache.repository(git.url, access.secret))
        self._cache.used(repository)
        self._room.used("git", repository)
        revision = f"{look['short']}@sha1:{look['commit']}" if look["short"] else f"sha1:{look['commit']}"
        ref = _followed(git.ref, look["name"])
        if not answer:
            assert known is not None  # the child answers so only for what we know  # noqa: S101
            # The same commit by another ref (a branch became a tag) is another revision, but nothing new.
            return known if (revision, ref) == (known.revision, known.ref) else replace(known, revision=revision, ref=ref)
        found = Artifact(
            repository=repository,
            path=git.path,
            revision=revision,
            ref=ref,
            commit=look["commit"],
            tree=answer["tree"],
            directory=answer["directory"],
            committed_at=datetime.fromisoformat(answer["committed_at"]),
            fetched_at=datetime.now(UTC),
            signed_by=answer["signed_by"],
            verified_with=_verified_with(git, access),
            repository_key=repository_key(git.url),
        )
        if git.verify:
            self._verified[found.repository, found.verified_with] = (found.commit, asyncio.get_running_loop().time())
        return known if known and found == replace(known, fetched_at=found.fetched_at) else found


def _followed(ref: GitRef, name: str) -> str:
    """`branch main` says it all; of a range it has to be told which tag won."""
    return f"{ref.selector} ({name})" if ref.semver and not (ref.commit or ref.name) else ref.selector


def _verified_with(git: GitSource, access: Access) -> str:
    return hashlib.sha256(f"{git.verify.mode} {access.keys_digest}".encode()).hexdigest()[:16] if git.verify else ""


def _demand(git: GitSource, access: Access) -> Demand | None:
    return Demand(git.verify.mode, tuple(sorted(_text(access.keys).items()))) if git.verify else None


def _told(wants: Sequence[Want]) -> dict[str, Any]:
    """What they want, for the child. All ask the same of signatures; a thousand times a large keyring would be more than a child can hold."""
    demand = wants[0].demand
    return {"wants": [one.details for one in wants], "verify": {"mode": demand.mode.value, "keys": dict(demand.keys)} if demand else None}


def _text(data: Mapping[str, bytes]) -> dict[str, str]:
    """Bytes as JSON can carry them."""
    return {name: value.decode("latin-1") for name, value in data.items()}
