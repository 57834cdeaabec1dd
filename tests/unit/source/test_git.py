"""The parent's side of fetching, with real repositories; the child's work is done in a thread here, and once by a real child process.

Aspects: one look serves everyone who follows the same ref · who does not share · the memo: its age, failures, Retry-After · known, baseline and rewind ·
recall from the cache · forget · more room and memory by steps · what a child that died or hung means · revisions and refs as users see them.
"""

import asyncio
import fcntl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from cvstate_operator import errors
from cvstate_operator.api.source import GitRef, GitSource
from cvstate_operator.cli.demo.git_server import Repository
from cvstate_operator.isolation.child import ChildFailedError, Children, ChildStarvedError, ChildTimeoutError, Limits
from cvstate_operator.isolation.memory import Memory
from cvstate_operator.isolation.room import Room
from cvstate_operator.objects.access import Access
from cvstate_operator.objects.address import AddressPolicy
from cvstate_operator.objects.artifact import Artifact
from cvstate_operator.source import fetch, judge
from cvstate_operator.source.attempts import TASK, HeldUpError
from cvstate_operator.source.cache import GitCache
from cvstate_operator.source.git import CONCURRENT_PER_HOST, CONCURRENT_READERS, GitSources
from cvstate_operator.source.refs import Chosen
from tests.support import signing
from tests.support.signing import SshKey
from tests.unit.source.looks import request_for

POLICY = AddressPolicy(files=True, insecure=True)
FETCHES = Memory().division.fetches.at_once
Work = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class InProcess(Children):
    """Does the task in a thread of this process, and remembers what it was asked."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.limits: list[Limits] = []
        self.at_once = 0
        self.most_at_once = 0
        self.work: Work = self.really

    async def run(self, task: str, request: dict[str, Any], *, limits: Limits) -> dict[str, Any]:
        assert task == TASK
        self.requests.append(request)
        self.limits.append(limits)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await self.work(request)
        finally:
            self.at_once -= 1

    @staticmethod
    async def really(request: dict[str, Any]) -> dict[str, Any]:
        return await asyncio.to_thread(fetch.handle, request)

    @property
    def asked(self) -> int:
        """How often a server was asked, rather than the cache alone."""
        return sum(not request["at"] for request in self.requests)


@pytest.fixture
def upstream(tmp_path: Path) -> Repository:
    repository = Repository(tmp_path / "upstream")
    repository.commit({"apps/a.yaml": "a", "b.yaml": "b"})
    return repository


@pytest.fixture
def children() -> InProcess:
    return InProcess()


@pytest.fixture
def cache(tmp_path: Path) -> GitCache:
    return GitCache(tmp_path / "cache")


@pytest.fixture
def sources(cache: GitCache, children: InProcess) -> GitSources:
    return GitSources(cache, children, POLICY)


def source(upstream: Repository, **more: Any) -> GitSource:
    return GitSource.model_validate({"url": f"file://{upstream.directory}", **more})


async def fetched(
    sources: GitSources,
    git: GitSource,
    *,
    access: Access | None = None,
    known: Artifact | None = None,
    baseline: str = "",
    max_age: float = 0,
) -> Artifact:
    return await sources.fetch(git, access=access or Access(), known=known, baseline=baseline, max_age=max_age)


@contextmanager
def locked(repository: str) -> Iterator[None]:
    """As a child locks a repository that it works in."""
    with open(f"{repository}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def fails(error: Exception) -> Work:
    async def work(request: dict[str, Any]) -> dict[str, Any]:
        raise error

    return work


# -- one look for many ---------------------------------------------------------------------------------------------------


async def test_two_who_follow_the_same_ref_at_once_share_one_look(upstream: Repository, sources: GitSources, children: InProcess) -> None:
    first, second = await asyncio.gather(
        fetched(sources, source(upstream), max_age=60), fetched(sources, source(upstream, path="apps"), max_age=60)
    )
    assert children.asked == 1
    assert children.most_at_once == 1
    assert first.commit == second.commit
    assert first.directory != second.directory


async def test_a_hundred_share_one_look(upstream: Repository, sources: GitSources, children: InProcess) -> None:
    found = await asyncio.gather(*(fetched(sources, source(upstream), max_age=60) for _ in range(100)))
    assert children.asked == 1
    assert len({artifact.commit for artifact in found}) == 1


async def test_a_push_costs_one_child_however_many_follow(upstream: Repository, sources: GitSources, children: InProcess) -> None:
    upstream.commit({f"teams/{number}/a.yaml": str(number) for number in range(50)})
    gits = [source(upstream, path=f"teams/{number}") for number in range(50)]
    found = await asyncio.gather(*(fetched(sources, git) for git in gits))
    assert (len(children.requests), children.asked) == (1, 1)
    assert len({artifact.directory for artifact in found}) == 50
    assert [artifact.path for artifact in found] == [git.path for git in gits]


async def test_a_push_to_many_namespaces_costs_as_many_children_as_may_ask_at_once(
    upstream: Repository, sources: GitSources, children: InProcess
) -> None:
    spaces = [f"team-{number}" for number in range(30) for _ in range(5)]
    found = await asyncio.gather(*(fetched(sources, source(upstream), access=Access(namespace=space)) for space in spaces))
    assert len({artifact.commit for artifact in found}) == 1
    assert children.asked <= FETCHES


async def test_those_that_come_while_the_server_is_asked_are_answered_together(
    upstream: Repository, sources: GitSources, children: InProcess
) -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def wait(request: dict[str, Any]) -> dict[str, Any]:
        begun.set()
        await go.wait()
        return await children.really(request)

    children.work = wait
    first = asyncio.ensure_future(fetched(sources, source(upstream)))
    await begun.wait()
    others = [asyncio.ensure_future(fetched(sources, source(upstream))) for _ in range(20)]
    await asyncio.sleep(0)
    go.set()
    await asyncio.gather(first, *others)
    assert [len(request["wants"]) for request in children.requests] == [1, 20]


async def test_a_poll_that_finds_nothing_new_costs_one_child_for_all(
    upstream: Repository, sources: GitSources, children: InProcess
) -> None:
    known = await asyncio.gather(*(fetched(sources, source(upstream), max_age=60) for _ in range(20)))
    children.requests.clear()
    again = await asyncio.gather(*(fetched(sources, source(upstream), known=one) for one in known))
    assert len(children.requests) == 1
    assert all(before is after for before, after in zip(known, again, strict=True))
    children.requests.clear()
    assert all(await asyncio.gather(*(fetched(sources, source(upstream), known=one, max_age=60) for one in known)))
    assert not children.requests


async def test_what_is_wrong_for_one_is_not_wrong_for_those_who_ask_with_him(
    tmp_path: Path, upstream: Repository, sources: GitSources, children: InProcess
) -> None:
    key, other = SshKey.make(tmp_path / "keys"), SshKey.make(tmp_path / "keys")
    signing.commit(upstream, key)
    stranger = "1" * 40
    verify = {"verify": {"mode": "HEAD", "secretRef": {"name": "keys"}}}
    found = await asyncio.gather(
        fetched(sources, source(upstream)),
        fetched(sources, source(upstream, path="none")),
        fetched(sources, source(upstream, **verify), access=Access(keys={key.entry: key.public})),
        fetched(sources, source(upstream, **verify), access=Access(keys={other.entry: other.public})),
        fetched(sources, source(upstream, path="apps")),
        return_exceptions=True,
    )
    assert [type(one).__name__ for one in found] == ["Artifact", "PathNotFoundError", "Artifact", "VerificationFailedError", "Artifact"]
    assert len(children.requests) == 3, "those who ask the same of signatures, together"
    with pytest.raises(errors.RewindRefusedError):
        await fetched(sources, source(upstream), baseline=stranger)


async def test_a_signature_is_looked_at_once_for_all_who_ask_by_the_same_keys(
    tmp_path: Path, upstream: Repository, sources: GitSources, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = SshKey.make(tmp_path / "key")
    signing.commit(upstream, key)
    looks: list[str] = []

    def signer(repository: object, chosen: Chosen, *more: object) -> str:
        looks.append(chosen.commit)
        return "somebody"

    monkeypatch.setattr(judge, "_signer", signer)
    git = source(upstream, verify={"mode": "HEAD", "secretRef": {"name": "keys"}})
    found = await asyncio.gather(*(fetched(sources, git, access=Access(keys={key.entry: key.public})) for _ in range(10)))
    assert {artifact.signed_by for artifact in found} == {"somebody"}
    assert len(looks) == 1


async def test_a_keyring_is_told_once_however_many_ask_by_it(upstream: Repository, sources: GitSources, children: InProcess) -> None:
    keyring, other = {"a.asc": b"x" * 100_000}, {"b.asc": b"y"}
    git = source(upstream, verify={"mode": "HEAD", "secretRef": {"name": "keys"}})
    asking = (fetched(sources, git, access=Access(keys=keys)) for keys in (keyring, *[dict(keyring)] * 50, other))
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert all(isinstance(one, errors.InvalidSpecError) for one in found), "no such keys can be read"
    assert max(len(orjson.dumps(request)) for request in children.requests) < 2 * 100_000
    assert [len(request["wants"]) for request in children.requests] == [51, 1]


async def test_each_is_judged_by_his_own_history(upstream: Repository, sources: GitSources, children: InProcess) -> None:
    old = upstream.git("rev-parse", "HEAD").strip()
    newest = upstream.commit({"n.yaml": "1"})
    baselines = ("", old, "1" * 40)
    first, second, third = await asyncio.gather(
        *(fetched(sources, source(upstream), baseline=baseline) for baseline in baselines), return_exceptions=True
    )
    assert [getattr(one, "commit", "") for one in (first, second)] == [newest, newest]
    assert isinstance(third, errors.RewindRefusedError)


async def test_who_is_cancelled_while_he_asks_for_all_leaves_the_others_their_answer(
    upstream: Repository, sources: GitSources, children: InProcess
) -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def wait(request: dict[str, Any]) -> dict[str, Any]:
        begun.set()
        await go.wait()
        return await children.really(request)

    children.work = wait
    first, *others = [asyncio.ensure_future(fetched(sources, source(upstream))) for _ in range(4)]
    await begun.wait()
    first.cancel()
    go.set()
    found = await asyncio.gather(*others)
    assert len({artifact.commit for artifact in found}) == 1
    assert first.cancelled()


@pytest.mark.parametrize(
    ("more", "access"),
    [
        pytest.param({}, Access("team/auth", {"username": b"u", "password": b"p"}), id="another-secret"),
        pytest.param({"ref": {"tag": "v1"}}, Access(), id="another-ref"),
    ],
)
async def test_others_ask_for_themselves(
    upstream: Repository, sources: GitSources, children: InProcess, more: dict[str, Any], access: Access
) -> None:
    upstream.git("tag", "v1")
    await fetched(sources, source(upstream), max_age=60)
    await fetched(sources, source(upstream, **more), access=access, max_age=60)
    assert children.asked == 2


async def test_another_secret_means_another_repository_on_disk(upstream: Repository, sources: GitSources, children: InProcess) -> None:
    one = await fetched(sources, source(upstream), access=Access("a/auth"))
    other = await fetched(sources, source(upstream), access=Access("b/auth"))
    assert one.repository != other.repository


async def test_few_children_ask_one_host_at_a_time(tmp_path: Path, sources: GitSources, children: InProcess) -> None:
    go = asyncio.Event()

    async def wait(request: dict[str, Any]) -> dict[str, Any]:
        await go.wait()
        raise errors.FetchFailedError("enough")

    children.work = wait
    urls = [f"https://h{host}.example.org/r{number}" for host in range(2) for number in range(10)]
    tasks = [asyncio.ensure_future(fetched(sources, GitSource.model_validate({"url": url}))) for url in urls]
    for _ in range(10):
        await asyncio.sleep(0)
    assert children.at_once == 2 * CONCURRENT_PER_HOST
    go.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert children.most_at_once <= FETCHES


async def test_one_tenant_whose_servers_hang_holds_up_nobody_else(sources: GitSources, children: InProcess) -> None:
    go = asyncio.Event()

    async def wait(request: dict[str, Any]) -> dict[str, Any]:
        if "evil" in request["url"]:
            await go.wait()
        raise errors.FetchFailedError("asked")

    children.work = wait
    urls = [f"https://h{number}.evil.example.org/r" for number in range(2 * FETCHES)]
    hung = [
        asyncio.ensure_future(fetched(sources, GitSource.model_validate({"url": url}), access=Access(namespace="evil"))) for url in urls
    ]
    for _ in range(10):
        await asyncio.sleep(0)
    with pytest.raises(errors.FetchFailedError, match="asked"):
        await fetched(sources, GitSource.model_validate({"url": "https://h0.example.org/r"}), access=Access(namespace="good"))
    go.set()
    await asyncio.gather(*hung, return_exceptions=True)


class Hanging:
    """Servers whose name has `silent` never answer; others say no at once."""

    def __init__(self, children: InProcess) -> None:
        self.go = asyncio.Event()
        children.work = self._work

    async def _work(self, request: dict[str, Any]) -> dict[str, Any]:
        if "silent" in request["url"]:
            await self.go.wait()
        raise errors.FetchFailedError("asked")


async def ask(sources: GitSources, host: str, namespace: str, number: int = 0, *, within: str = "5s") -> None:
    git = GitSource.model_validate({"url": f"https://{host}.example.org/r{number}", "timeout": within})
    await fetched(sources, git, access=Access(namespace=namespace))


async def test_a_silent_host_that_several_tenants_ask_leaves_slots_to_others(cache: GitCache, children: InProcess) -> None:
    sources, hanging = GitSources(cache, children, POLICY, memory=Memory(2**30)), Hanging(children)
    hung = [asyncio.ensure_future(ask(sources, "silent", namespace, number)) for namespace in "ab" for number in range(12)]
    await asyncio.sleep(0.01)
    async with asyncio.timeout(2):
        with pytest.raises(errors.FetchFailedError, match="asked"):
            await ask(sources, "good", "c")
    hanging.go.set()
    await asyncio.gather(*hung, return_exceptions=True)


async def test_many_silent_hosts_of_several_tenants_hold_up_nobody_for_long(
    cache: GitCache, children: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cvstate_operator.source.git.QUICK_SECONDS", 0.05)
    sources, hanging = GitSources(cache, children, POLICY, memory=Memory(2**30)), Hanging(children)
    hung = [asyncio.ensure_future(ask(sources, f"silent-{namespace}{number}", namespace)) for namespace in "abdefg" for number in range(4)]
    await asyncio.sleep(0.01)
    async with asyncio.timeout(2):
        with pytest.raises(errors.FetchFailedError, match="asked"):
            await ask(sources, "good", "c")
    assert sources._slow
    hanging.go.set()
    await asyncio.gather(*hung, return_exceptions=True)


async def test_a_tenant_whose_looks_all_hang_holds_up_nobody_who_follows_the_same_ref(cache: GitCache, children: InProcess) -> None:
    sources, hanging = GitSources(cache, children, POLICY, memory=Memory(2**30)), Hanging(children)
    hung = [asyncio.ensure_future(ask(sources, f"silent-{number}", "evil", number)) for number in range(8)]
    await asyncio.sleep(0.01)
    hung.append(asyncio.ensure_future(ask(sources, "public", "evil")))  # it is first in line, and has no slot
    await asyncio.sleep(0.01)
    async with asyncio.timeout(2):
        with pytest.raises(errors.FetchFailedError, match="asked"):
            await ask(sources, "public", "good")
    hanging.go.set()
    await asyncio.gather(*hung, return_exceptions=True)


async def test_who_only_had_to_wait_for_others_is_not_slow(sources: GitSources, children: InProcess) -> None:
    """Else a server that was never asked would wait among those that always are slow."""

    async def work(request: dict[str, Any]) -> dict[str, Any]:
        raise ChildStarvedError("too little")

    children.work = work
    async with sources._attempts._memory.fetch_alone.turn("another"):
        with pytest.raises(HeldUpError, match="other fetches that need much memory"):
            await ask(sources, "large", "a", within="50ms")
    assert not sources._slow


async def test_what_was_slow_is_asked_like_any_other_after_a_while(
    sources: GitSources, children: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    children.work = fails(ChildTimeoutError("ended"))
    with pytest.raises(errors.FetchTimeoutError):
        await ask(sources, "once", "a")
    children.work = fails(errors.FetchFailedError("asked"))
    async with sources._slow_slot.turn("another"):
        waits = asyncio.ensure_future(ask(sources, "once", "a"))
        assert not (await asyncio.wait({waits}, timeout=0.05))[0], "it is slow"
        waits.cancel()
        monkeypatch.setattr("cvstate_operator.source.git.SLOW_REMEMBERED_SECONDS", 0.0)
        with pytest.raises(errors.FetchFailedError, match="asked"):
            await ask(sources, "once", "a")
        sources.tidy()
        assert not sources._slow


async def test_a_tenant_whose_caches_are_locked_holds_up_nobody_who_reads_his_own(
    upstream: Repository, cache: GitCache, children: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cvstate_operator.source.git.QUICK_SECONDS", 0.05)
    sources = GitSources(cache, children, POLICY)
    commit, locked = (await fetched(sources, source(upstream))).commit, "1" * 40

    async def work(request: dict[str, Any]) -> dict[str, Any]:
        if request["recall"] == locked:
            await asyncio.sleep(3600)
        return await children.really(request)

    children.work = work
    stuck = [
        asyncio.ensure_future(sources.recall(source(upstream), access=Access(namespace="evil"), commit=locked))
        for _ in range(2 * CONCURRENT_READERS)
    ]
    await asyncio.sleep(0.01)
    async with asyncio.timeout(2):
        assert (await sources.recall(source(upstream), access=Access(namespace="good"), commit=commit)).commit == commit
    for one in stuck:
        one.cancel()
    ended = await asyncio.gather(*stuck, return_exceptions=True)
    assert any(isinstance(one, HeldUpError) for one in ended)


async def test_waiting_for_others_takes_no_longer_than_a_look_may(sources: GitSources, children: InProcess) -> None:
    go = asyncio.Event()

    async def wait(request: dict[str, Any]) -> dict[str, Any]:
        await go.wait()
        raise errors.FetchFailedError("asked")

    children.work = wait
    git = GitSource.model_validate({"url": "https://h.example.org/r", "timeout": "50ms"})
    first = asyncio.ensure_future(fetched(sources, git.model_copy(update={"timeout": "30s"})))
    await asyncio.sleep(0)
    with pytest.raises(errors.FetchTimeoutError, match="had to wait"):
        await fetched(sources, git)
    go.set()
    await asyncio.gather(first, return_exceptions=True)


async def test_who_gives_a_look_no_time_leaves_those_in_line_theirs(upstream: Repository, sources: GitSources, children: InProcess) -> None:
    async def in_time(request: dict[str, Any]) -> dict[str, Any]:
        if children.limits[-1].wall_seconds < 1:
            raise ChildTimeoutError("not finished")
        return await children.really(request)

    children.work = in_time
    hasty, patient = await asyncio.gather(
        fetched(sources, source(upstream, timeout="1ms")), fetched(sources, source(upstream)), return_exceptions=True
    )
    assert isinstance(hasty, errors.FetchTimeoutError)
    assert isinstance(patient, Artifact)


async def test_not_all_read_the_cache_at_once(upstream: Repository, cache: GitCache, children: InProcess) -> None:
    before = await fetched(GitSources(cache, children, POLICY), source(upstream))
    sources = GitSources(cache, children, POLICY)
    children.most_at_once = 0
    await asyncio.gather(*(sources.recall(source(upstream), access=Access(), commit=before.commit) for _ in range(20)))
    assert children.most_at_once == CONCURRENT_READERS


# -- the memo ------------------------------------------------------------------------------------------------------------


async def test_with_age_zero_the_server_is_asked_again(upstream: Repository, sources: GitSources, children: InProcess) -> None:
    await fetched(sources, source(upstream), max_age=60)
    newest = upstream.commit({"c.yaml": "c"})
    assert (await fetched(sources, source(upstream), max_age=60)).commit != newest
    assert (await fetched(sources, source(upstream), max_age=0)).commit == newest
    assert (await fetched(sources, source(upstream), max_age=60)).commit == newest
    assert children.asked == 2


async def test_a_memo_that_the_cache_cannot_serve_asks_the_server(
    upstream: Repository, sources: GitSources, children: InProcess, cache: GitCache
) -> None:
    first = await fetched(sources, source(upstream), max_age=60)
    cache.discard(first.repository)
    assert (await fetched(sources, source(upstream), max_age=60)).commit == first.commit
    assert children.asked == 2


@pytest.mark.parametrize(
    ("error", "is_shared"),
    [
        pytest.param(errors.FetchFailedError("down"), True, id="server-down"),
        pytest.param(errors.AuthFailedError("no"), True, id="credentials"),
        pytest.param(errors.RefNotFoundError("no"), True, id="no-such-ref"),
        pytest.param(errors.PathNotFoundError("no"), False, id="path-of-one"),
        pytest.param(errors.VerificationFailedError("no"), False, id="keys-of-one"),
        pytest.param(errors.RewindRefusedError("no"), False, id="history-of-one"),
        pytest.param(errors.FetchTimeoutError("late"), True, id="server-silent"),
    ],
)
async def test_a_failure_is_shared_if_it_is_no_one_s_own(
    upstream: Repository, sources: GitSources, children: InProcess, error: errors.CvstateError, is_shared: bool
) -> None:
    children.work = fails(error)
    for _ in range(2):
        with pytest.raises(type(error)):
            await fetched(sources, source(upstream), max_age=60)
    assert children.asked == (1 if is_shared else 2)
    children.work = children.really
    assert await fetched(sources, source(upstream), max_age=0)


async def test_a_server_that_asks_for_a_pause_is_left_alone(upstream: Repository, sources: GitSources, children: InProcess) -> None:
    children.work = fails(errors.FetchFailedError("busy", retry_after_seconds=60))
    for _ in range(3):
        with pytest.raises(errors.FetchFailedError):
            await fetched(sources, source(upstream), max_age=0)
    assert children.asked == 1


# -- known and baseline ---------------------------------------------------------------------------------------------------


async def test_what_is_known_comes_back_as_it_is(upstream: Repository, sources: GitSources, children: InProcess) -> None:
    known = await fetched(sources, source(upstream))
    assert await fetched(sources, source(upstream), known=known) is known
    assert children.requests[-1]["wants"][0]["known"] == known.commit


async def test_the_same_commit_by_another_ref_is_another_revision_of_the_same(upstream: Repository, sources: GitSources) -> None:
    known = await fetched(sources, source(upstream))
    upstream.git("tag", "v1")
    found = await fetched(sources, source(upstream, ref={"tag": "v1"}), known=known)
    assert found == replace(known, revision=f"v1@sha1:{known.commit}", ref="tag v1")


async def test_another_path_of_a_known_commit_is_looked_at(upstream: Repository, sources: GitSources) -> None:
    known = await fetched(sources, source(upstream))
    found = await fetched(sources, source(upstream, path="apps"), known=known)
    assert (found.commit, found.path) == (known.commit, "apps")
    assert found.directory != known.directory


async def test_a_known_commit_is_verified_once_that_is_asked_for(tmp_path: Path, upstream: Repository, sources: GitSources) -> None:
    known = await fetched(sources, source(upstream))
    key, other = SshKey.make(tmp_path / "keys"), SshKey.make(tmp_path / "keys")
    git = source(upstream, verify={"mode": "HEAD", "secretRef": {"name": "keys"}})
    with pytest.raises(errors.VerificationFailedError):
        await fetched(sources, git, access=Access(keys={key.entry: key.public}), known=known)
    signing.commit(upstream, key)
    signed = await fetched(sources, git, access=Access(keys={key.entry: key.public}), known=known)
    assert key.fingerprint in signed.signed_by
    with pytest.raises(errors.VerificationFailedError):
        await fetched(sources, git, access=Access(keys={other.entry: other.public}), known=signed)


async def test_another_tag_of_a_known_commit_needs_its_own_signature(tmp_path: Path, upstream: Repository, sources: GitSources) -> None:
    key = SshKey.make(tmp_path / "key")
    access = Access(keys={key.entry: key.public})
    signing.tag(upstream, key, "v1.0.0")
    upstream.git("-c", "tag.gpgSign=false", "tag", "-a", "-m", "unsigned", "v2.0.0")
    verify = {"mode": "Tag", "secretRef": {"name": "keys"}}
    signed = await fetched(sources, source(upstream, ref={"tag": "v1.0.0"}, verify=verify), access=access)
    assert await fetched(sources, source(upstream, ref={"tag": "v1.0.0"}, verify=verify), access=access, known=signed) is signed
    with pytest.raises(errors.VerificationFailedError):
        await fetched(sources, source(upstream, ref={"tag": "v2.0.0"}, verify=verify), access=access, known=signed)


async def test_a_known_signature_is_checked_again_now_and_then(
    tmp_path: Path, upstream: Repository, sources: GitSources, children: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys expire."""
    key = SshKey.make(tmp_path / "key")
    signing.commit(upstream, key)
    access = Access(keys={key.entry: key.public})
    git = source(upstream, verify={"mode": "HEAD", "secretRef": {"name": "keys"}})
    known = await fetched(sources, git, access=access)
    assert await fetched(sources, git, access=access, known=known) is known
    assert children.requests[-1]["wants"][0]["known"] == known.commit
    monkeypatch.setattr("cvstate_operator.source.git.REVERIFY_SECONDS", 0.0)
    assert await fetched(sources, git, access=access, known=known) is known
    assert children.requests[-1]["wants"][0]["known"] == ""


async def test_a_rewind_is_refused_and_taken_once_allowed(upstream: Repository, sources: GitSources) -> None:
    first = await fetched(sources, source(upstream))
    baseline = upstream.commit({"c.yaml": "c"})
    known = await fetched(sources, source(upstream), known=first, baseline=first.commit)
    assert known.commit == baseline
    upstream.git("reset", "-q", "--hard", "HEAD~1")
    with pytest.raises(errors.RewindRefusedError):
        await fetched(sources, source(upstream), known=known, baseline=baseline)
    allowed = await fetched(sources, source(upstream, allowRewind=True), known=known, baseline=baseline)
    assert allowed.commit == first.commit


# -- recall and forget ----------------------------------------------------------------------------------------------------


async def test_an_earlier_commit_is_recalled_without_the_server(upstream: Repository, cache: GitCache, children: InProcess) -> None:
    before = await fetched(GitSources(cache, children, POLICY), source(upstream, path="apps"))
    upstream.directory.rename(upstream.directory.with_name("gone"))
    found = await GitSources(cache, children, POLICY).recall(source(upstream, path="apps"), access=Access(), commit=before.commit)
    assert (found.commit, found.tree, found.directory) == (before.commit, before.tree, before.directory)
    assert found.revision == before.revision == f"main@sha1:{before.commit}"


async def test_a_commit_that_its_branch_has_left_is_recalled_by_its_id(upstream: Repository, cache: GitCache, children: InProcess) -> None:
    before = await fetched(GitSources(cache, children, POLICY), source(upstream))
    upstream.commit({"c.yaml": "c"})
    await fetched(GitSources(cache, children, POLICY), source(upstream), baseline=before.commit)
    found = await GitSources(cache, children, POLICY).recall(source(upstream), access=Access(), commit=before.commit)
    assert found.revision == f"sha1:{before.commit}"


async def test_a_signed_tag_is_recalled_with_its_signature(
    tmp_path: Path, upstream: Repository, cache: GitCache, children: InProcess
) -> None:
    key = SshKey.make(tmp_path / "key")
    signing.tag(upstream, key, "v1.0.0")
    access = Access(keys={key.entry: key.public})
    git = source(upstream, ref={"semver": "^1.0"}, verify={"mode": "Tag", "secretRef": {"name": "keys"}})
    before = await fetched(GitSources(cache, children, POLICY), git, access=access)
    found = await GitSources(cache, children, POLICY).recall(git, access=access, commit=before.commit)
    assert found == replace(before, fetched_at=found.fetched_at)
    assert key.fingerprint in found.signed_by


async def test_a_tag_that_was_refused_does_not_hide_the_one_that_was_applied(
    tmp_path: Path, upstream: Repository, cache: GitCache, children: InProcess
) -> None:
    key = SshKey.make(tmp_path / "key")
    access = Access(keys={key.entry: key.public})
    git = source(upstream, ref={"semver": "^1.0"}, verify={"mode": "Tag", "secretRef": {"name": "keys"}})
    signing.tag(upstream, key, "v1.0.0")
    before = await fetched(GitSources(cache, children, POLICY), git, access=access)
    upstream.commit({"c.yaml": "c"})
    upstream.git("-c", "tag.gpgSign=false", "tag", "-f", "-a", "-m", "moved", "v1.0.0")
    upstream.git("-c", "tag.gpgSign=false", "tag", "-a", "-m", "newer", "v1.1.0")
    for ref in ({"semver": "^1.0"}, {"tag": "v1.0.0"}):
        with pytest.raises(errors.VerificationFailedError):
            await fetched(GitSources(cache, children, POLICY), git.model_copy(update={"ref": GitRef.model_validate(ref)}), access=access)
    found = await GitSources(cache, children, POLICY).recall(git, access=access, commit=before.commit)
    assert found == replace(before, fetched_at=found.fetched_at)


async def test_what_is_not_in_the_cache_is_not_recalled(upstream: Repository, sources: GitSources) -> None:
    with pytest.raises(errors.FetchFailedError):
        await sources.recall(source(upstream), access=Access(), commit="1" * 40)


async def test_what_is_recalled_is_verified_anew(tmp_path: Path, upstream: Repository, sources: GitSources) -> None:
    before = await fetched(sources, source(upstream))
    key = SshKey.make(tmp_path / "key")
    git = source(upstream, verify={"mode": "HEAD", "secretRef": {"name": "keys"}})
    with pytest.raises(errors.VerificationFailedError):
        await sources.recall(git, access=Access(keys={key.entry: key.public}), commit=before.commit)


async def test_what_is_forgotten_is_fetched_again(upstream: Repository, sources: GitSources, children: InProcess) -> None:
    artifact = await fetched(sources, source(upstream), max_age=60)
    sources.forget(artifact)
    assert not Path(artifact.repository).exists()
    again = await fetched(sources, source(upstream), max_age=60)
    assert (again.commit, children.asked) == (artifact.commit, 2)
    assert Path(again.repository).exists()


async def test_forgetting_one_repository_keeps_the_others(
    tmp_path: Path, upstream: Repository, sources: GitSources, children: InProcess
) -> None:
    other = Repository(tmp_path / "other")
    other.commit({"x.yaml": ""})
    artifact = await fetched(sources, source(upstream), max_age=60)
    await fetched(sources, source(other), max_age=60)
    sources.forget(artifact)
    await fetched(sources, source(other), max_age=60)
    assert children.asked == 2


# -- children -------------------------------------------------------------------------------------------------------------


async def test_a_child_that_died_costs_the_cache_and_is_a_failure_that_may_pass(
    upstream: Repository, sources: GitSources, children: InProcess
) -> None:
    artifact = await fetched(sources, source(upstream))
    children.work = fails(ChildFailedError("the child process ended with signal SIGBUS"))
    with pytest.raises(errors.FetchFailedError):
        await fetched(sources, source(upstream))
    assert not Path(artifact.repository).exists()
    children.work = children.really
    assert (await fetched(sources, source(upstream))).commit == artifact.commit


async def test_a_child_that_ran_out_of_time_keeps_the_cache(upstream: Repository, sources: GitSources, children: InProcess) -> None:
    artifact = await fetched(sources, source(upstream))
    children.work = fails(ChildTimeoutError("not finished within 1 s"))
    with pytest.raises(errors.FetchTimeoutError, match=r"spec\.source\.git\.timeout"):
        await fetched(sources, source(upstream))
    assert Path(artifact.repository).exists()


async def test_the_time_of_the_source_is_that_of_the_child(upstream: Repository, sources: GitSources, children: InProcess) -> None:
    await fetched(sources, source(upstream, timeout="7s"))
    assert children.limits[0].wall_seconds == 7


async def test_a_url_that_is_not_allowed_starts_no_child(sources: GitSources, children: InProcess) -> None:
    with pytest.raises(errors.URLNotAllowedError):
        await fetched(sources, GitSource.model_validate({"url": "https://169.254.169.254/r"}))
    assert children.requests == []


async def test_a_real_child_process_brings_the_same(tmp_path: Path, upstream: Repository, sources: GitSources) -> None:
    real = Children(tmp_path / "scratch", preload=[TASK])
    try:
        found = await fetched(GitSources(GitCache(tmp_path / "real"), real, POLICY), source(upstream), access=Access("a/b", {"x": b"\xff"}))
    finally:
        await real.close()
    expected = await fetched(sources, source(upstream))
    assert found == replace(expected, repository=found.repository, fetched_at=found.fetched_at)


# -- what users see -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ref", "revision", "followed"),
    [
        ({}, "main@sha1:{}", "branch main"),
        ({"tag": "v1.2.0"}, "v1.2.0@sha1:{}", "tag v1.2.0"),
        ({"semver": "^1"}, "v1.2.0@sha1:{}", "semver ^1 (refs/tags/v1.2.0)"),
        ({"name": "refs/heads/main"}, "refs/heads/main@sha1:{}", "name refs/heads/main"),
        ({"commit": "{}", "semver": "^1"}, "sha1:{}", "commit {}"),
    ],
    ids=["branch", "tag", "semver", "name", "commit"],
)
async def test_a_revision_says_what_was_followed_and_where_it_led(
    upstream: Repository, sources: GitSources, ref: dict[str, str], revision: str, followed: str
) -> None:
    upstream.git("tag", "v1.2.0")
    commit = upstream.git("rev-parse", "HEAD").strip()
    found = await fetched(sources, source(upstream, ref={kind: value.format(commit) for kind, value in ref.items()}))
    assert (found.revision, found.ref) == (revision.format(commit), followed.format(commit))


# -- room and memory ---------------------------------------------------------------------------------------------------


def bounded(cache: GitCache, children: InProcess) -> GitSources:
    """In a cache that keeps 12,800 bytes: a fetch is lent 100 at first, and 6,400 at most."""
    return GitSources(cache, children, POLICY, room=Room(24_000, {"git": cache}))


async def test_a_repository_that_does_not_fit_gets_more_room_by_steps(upstream: Repository, cache: GitCache, children: InProcess) -> None:
    async def work(request: dict[str, Any]) -> dict[str, Any]:
        if request["room"] < 1000:
            raise ChildStarvedError("too little", lacks="room")
        return await children.really({**request, "room": 2**40})

    children.work = work
    sources = bounded(cache, children)
    assert await fetched(sources, source(upstream))
    assert [request["room"] for request in children.requests] == [100, 400, 1600]
    assert [limits.file_bytes for limits in children.limits] == [100, 400, 1600]
    cache.discard(children.requests[0]["repository"])
    await sources._room.survey()
    assert await fetched(sources, source(upstream))
    assert children.requests[-1]["room"] == 1600  # what it needed is known
    assert len(children.requests) == 4


async def test_a_repository_that_is_too_large_is_refused_and_keeps_nothing_from_the_others(
    upstream: Repository, cache: GitCache, children: InProcess, tmp_path: Path
) -> None:
    other = Repository(tmp_path / "other")
    other.commit({"a.yaml": "a"})

    async def work(request: dict[str, Any]) -> dict[str, Any]:
        if request["url"] == f"file://{other.directory}":
            raise ChildStarvedError("too little", lacks="room")
        return await children.really({**request, "room": 2**40})

    children.work = work
    sources = bounded(cache, children)
    with pytest.raises(errors.RepoTooLargeError, match="cacheBytes"):
        await fetched(sources, source(other))
    assert await fetched(sources, source(upstream))


async def test_a_commit_that_was_too_large_evicts_nobody_again_and_another_one_is_tried(
    upstream: Repository, cache: GitCache, children: InProcess
) -> None:
    too_large = "1" * 40

    async def work(request: dict[str, Any]) -> dict[str, Any]:
        if too_large:
            raise ChildStarvedError("too little", lacks="room", of=too_large)
        return await children.really({**request, "room": 2**40})

    children.work = work
    sources = bounded(cache, children)
    for _ in range(2):
        with pytest.raises(errors.RepoTooLargeError):
            await fetched(sources, source(upstream))
    assert [request["room"] for request in children.requests] == [100, 400, 1600, 6400, 100]
    assert children.requests[-1]["refused"] == [too_large]
    first, too_large = too_large, "2" * 40
    with pytest.raises(errors.RepoTooLargeError):
        await fetched(sources, source(upstream))
    assert [request["room"] for request in children.requests[5:]] == [100, 400, 1600, 6400]
    too_large = first  # two refs of one repository
    with pytest.raises(errors.RepoTooLargeError):
        await fetched(sources, source(upstream))
    assert [request["room"] for request in children.requests[9:]] == [100]
    assert children.requests[-1]["refused"] == ["1" * 40, "2" * 40]
    too_large = ""
    assert await fetched(sources, source(upstream))


async def test_a_repository_that_grows_by_every_push_is_made_anew_at_its_bound(
    upstream: Repository, cache: GitCache, children: InProcess
) -> None:
    room = Room(2**20, {"git": cache})
    sources = GitSources(cache, children, POLICY, room=room)
    first = await fetched(sources, source(upstream))
    Path(first.repository, "objects", "grown").write_bytes(b"x" * room.most_bytes)
    await room.note("git", first.repository)
    newest = upstream.commit({"n.yaml": "1"})

    async def work(request: dict[str, Any]) -> dict[str, Any]:
        if request["room"] < room.first_bytes:
            raise ChildStarvedError("too little", lacks="room")
        return await children.really({**request, "room": 2**40})

    children.work = work
    assert (await fetched(sources, source(upstream))).commit == newest
    assert room.used_bytes("git") < room.most_bytes


@pytest.mark.parametrize("by", ["a child", "a render"])
async def test_a_repository_at_its_bound_that_others_are_at_work_in_is_not_called_too_large(
    upstream: Repository, cache: GitCache, children: InProcess, by: str
) -> None:
    room = Room(2**20, {"git": cache})
    sources = GitSources(cache, children, POLICY, room=room)
    repository = (await fetched(sources, source(upstream))).repository
    Path(repository, "objects", "grown").write_bytes(b"x" * room.most_bytes)
    await room.note("git", repository)
    newest = upstream.commit({"n.yaml": "1"})

    async def work(request: dict[str, Any]) -> dict[str, Any]:
        if Path(repository, "objects", "grown").exists():
            raise ChildStarvedError("too little", lacks="room", of=newest)
        return await children.really({**request, "room": 2**40})

    children.work = work
    with room.reading(repository) if by == "a render" else locked(repository):
        with pytest.raises(errors.FetchFailedError, match="full, and in use"):
            await fetched(sources, source(upstream))
        assert Path(repository).exists()
    assert (await fetched(sources, source(upstream))).commit == newest


async def test_who_waits_for_memory_is_told_so(upstream: Repository, cache: GitCache, children: InProcess) -> None:
    memory = Memory(2**30)
    sources = GitSources(cache, children, POLICY, memory=memory)
    children.work = fails(ChildStarvedError("out of memory", lacks="memory"))
    async with memory.fetch_alone.turn("other"):
        with pytest.raises(errors.FetchTimeoutError, match="had to wait for other fetches that need much memory"):
            await fetched(sources, source(upstream, timeout="50ms"))


async def test_a_large_fetch_of_one_gives_way_to_that_of_another(
    upstream: Repository, tmp_path: Path, cache: GitCache, children: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cvstate_operator.isolation.memory.ALONE_SECONDS", 0.05)
    other = Repository(tmp_path / "other")
    other.commit({"a.yaml": "a"})
    begun = asyncio.Event()

    async def work(request: dict[str, Any]) -> dict[str, Any]:
        if not children.limits[-1].is_most:
            raise ChildStarvedError("out of memory", lacks="memory")
        if request["url"] == f"file://{upstream.directory}":
            begun.set()
            await asyncio.sleep(60)
        return await children.really(request)

    children.work = work
    sources = GitSources(cache, children, POLICY, memory=Memory(2**30))
    slow = asyncio.ensure_future(fetched(sources, source(upstream), access=Access(namespace="slow")))
    await begun.wait()
    async with asyncio.timeout(5):
        assert await fetched(sources, source(other), access=Access(namespace="good"))
    with pytest.raises(errors.FetchTimeoutError, match="others waited"):
        await slow


async def test_what_was_learnt_of_repositories_is_forgotten(
    upstream: Repository, cache: GitCache, children: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = GitSources(cache, children, POLICY)
    children.work = fails(ChildStarvedError("out of memory", lacks="memory"))
    with pytest.raises(errors.RepoTooLargeError):
        await fetched(sources, source(upstream))
    sources.tidy()
    assert sources._attempts._needs
    monkeypatch.setattr("cvstate_operator.source.attempts.REMEMBERED_SECONDS", 0.0)
    sources.tidy()
    assert not sources._attempts._needs


async def test_a_repository_of_many_refs_gets_the_memory_that_it_takes(upstream: Repository, tmp_path: Path, cache: GitCache) -> None:
    many_refs(upstream)
    real = Children(tmp_path / "scratch", preload=[TASK])
    limits = Limits(30, 16 * 2**20)
    try:
        with pytest.raises(ChildStarvedError) as caught:
            await real.run(TASK, request_for(f"file://{upstream.directory}", tmp_path / "alone"), limits=limits)
        assert caught.value.lacks == "memory"
        assert await fetched(GitSources(cache, real, POLICY, memory=Memory(2**30)), source(upstream))
    finally:
        await real.close()


def many_refs(upstream: Repository, number: int = 60_000) -> None:
    head = upstream.git("rev-parse", "HEAD").strip()
    lines = "".join(f"{head} refs/heads/b{one:06}\n" for one in range(number))
    (upstream.directory / ".git" / "packed-refs").write_text(f"# pack-refs with: peeled fully-peeled sorted \n{lines}")


async def test_a_repository_that_needs_much_memory_gets_it_alone_from_then_on(
    upstream: Repository, cache: GitCache, children: InProcess
) -> None:
    sources = GitSources(cache, children, POLICY)

    async def work(request: dict[str, Any]) -> dict[str, Any]:
        if not children.limits[-1].is_most:
            raise ChildStarvedError("out of memory", lacks="memory")
        return await children.really(request)

    children.work = work
    await fetched(sources, source(upstream))
    await fetched(sources, source(upstream))
    assert [limits.is_most for limits in children.limits] == [False, True, True]


async def test_a_repository_that_needs_more_memory_than_there_is_is_refused(
    upstream: Repository, cache: GitCache, children: InProcess
) -> None:
    async def work(request: dict[str, Any]) -> dict[str, Any]:
        raise ChildStarvedError("out of memory", lacks="memory")

    children.work = work
    with pytest.raises(errors.RepoTooLargeError, match="memory"):
        await fetched(GitSources(cache, children, POLICY), source(upstream))


async def test_a_look_that_brings_nothing_spares_no_repository(upstream: Repository, cache: GitCache, children: InProcess) -> None:
    room = Room(2**30, {"git": cache})
    sources = GitSources(cache, children, POLICY, room=room)
    first = await fetched(sources, source(upstream))
    assert room.used_bytes("git") > 0
    assert room._held
    room._held.clear()
    assert await fetched(sources, source(upstream), known=first) is first
    assert not room._held
