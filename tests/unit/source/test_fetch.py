"""One look of the fetch child, at real repositories: through file:// and, where depth matters, from a real server over http.

Aspects: finding the commit and the directory · doing nothing for a known commit · how much is brought · descent from the last commit · what an earlier
look found · a damaged cache · what a killed fetch left · a cache that cannot be used · signed tags and their names. (C37 of the list of bad input: a tag of a tree, objects that git would not make.)
"""

import fcntl
import os
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import orjson
import pygit2
import pytest
from pygit2.enums import ObjectType

from cvstate_operator import errors
from cvstate_operator.cli.demo.git_server import GitServer, Repository
from cvstate_operator.isolation.room import NO_LIMIT
from cvstate_operator.isolation.task import OutOfRoomError
from cvstate_operator.source import fetch
from tests.support import signing
from tests.support.faulty_git import FaultyGit, hang
from tests.support.signing import SshKey
from tests.support.waiting import until
from tests.unit.source.looks import look

SIGNATURE = pygit2.Signature("a", "a@example.io", 1_767_225_600, 0)
APPS = {"apps/web/a.yaml": "a", "top.yaml": "t"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    with GitServer(tmp_path_factory.mktemp("git")) as running:
        yield running


@pytest.fixture
def upstream(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "upstream")


@pytest.fixture
def served(server: GitServer, tmp_path: Path) -> tuple[Repository, str]:
    """A repository of this test's own on the server, and its URL."""
    name = tmp_path.name
    return server.repository(name), server.url(name)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "r"


def looked(upstream: Repository, cache: Path, **more: Any) -> dict[str, Any]:
    return look(cache, f"file://{upstream.directory}", **more)


def objects(cache: Path) -> set[str]:
    return {str(oid) for oid in pygit2.Repository(str(cache))}


def commits(cache: Path) -> set[str]:
    repository = pygit2.Repository(str(cache))
    return {str(oid) for oid in repository if repository.odb.read_header(oid)[0] == ObjectType.COMMIT}


def _id(upstream: Repository, what: str) -> str:
    return upstream.git("rev-parse", what).strip()


# -- finding -----------------------------------------------------------------------------------------------------------


def test_the_newest_commit_of_a_branch_is_found_with_its_trees(upstream: Repository, cache: Path) -> None:
    upstream.commit({"old.yaml": "o"})
    newest = upstream.commit(APPS)
    assert looked(upstream, cache, path="apps") == {
        "name": "refs/heads/main",
        "short": "main",
        "commit": newest,
        "tag_object": None,
        "tree": _id(upstream, "HEAD^{tree}"),
        "directory": _id(upstream, "HEAD:apps"),
        "committed_at": upstream.git("show", "-s", "--date=format-local:%Y-%m-%dT%H:%M:%S+00:00", "--format=%cd").strip(),
        "signed_by": "",
    }


@pytest.mark.parametrize("options", [("-a", "-m", "x"), ()], ids=["annotated", "lightweight"])
def test_a_tag_stands_for_its_commit(upstream: Repository, cache: Path, options: tuple[str, ...]) -> None:
    tagged = upstream.commit(APPS)
    upstream.git("tag", *options, "v1")
    upstream.commit({"later.yaml": ""})
    found = looked(upstream, cache, ref={"tag": "v1"})
    assert (found["commit"], found["short"]) == (tagged, "v1")
    assert found["tag_object"] == (_id(upstream, "v1") if options else None)


def test_a_tag_of_a_tag_stands_for_the_commit_at_the_end(upstream: Repository, cache: Path) -> None:
    tagged = upstream.commit(APPS)
    upstream.git("tag", "-a", "-m", "x", "v1")
    upstream.git("tag", "-a", "-m", "x", "v1-again", "v1")
    assert looked(upstream, cache, ref={"tag": "v1-again"})["commit"] == tagged


def test_a_ref_outside_branches_and_tags_is_found_by_its_full_name(upstream: Repository, cache: Path) -> None:
    commit = upstream.commit(APPS)
    upstream.git("update-ref", "refs/pull/7/head", commit)
    upstream.commit({"later.yaml": ""})
    found = looked(upstream, cache, ref={"name": "refs/pull/7/head"})
    assert (found["commit"], found["name"], found["short"]) == (commit, "refs/pull/7/head", "refs/pull/7/head")


def test_a_commit_is_found_by_its_id(upstream: Repository, cache: Path) -> None:
    first = upstream.commit(APPS)
    upstream.commit({"later.yaml": ""})
    found = looked(upstream, cache, ref={"commit": first, "branch": "main"})
    assert (found["commit"], found["short"], found["tag_object"]) == (first, "", None)


def test_a_known_commit_is_told_and_nothing_is_brought(upstream: Repository, cache: Path) -> None:
    newest = upstream.commit(APPS)
    assert looked(upstream, cache, known=newest) == {"name": "refs/heads/main", "short": "main", "commit": newest, "tag_object": None}
    assert objects(cache) == set()


@pytest.mark.parametrize(
    ("path", "tree"),
    [
        pytest.param("apps", "HEAD:apps", id="directory"),
        pytest.param("./apps/web/", "HEAD:apps/web", id="with-dot-and-slash"),
        pytest.param("./", "HEAD^{tree}", id="the-root"),
    ],
)
def test_the_directory_is_that_of_the_path(upstream: Repository, cache: Path, path: str, tree: str) -> None:
    upstream.commit(APPS)
    assert looked(upstream, cache, path=path)["directory"] == _id(upstream, tree)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        pytest.param({"ref": {"branch": "nowhere"}}, errors.RefNotFoundError, id="no-such-branch"),
        pytest.param({"ref": {"tag": "main"}}, errors.RefNotFoundError, id="a-branch-is-no-tag"),
        pytest.param({"ref": {"semver": "^1"}}, errors.RefNotFoundError, id="no-version-in-the-range"),
        pytest.param({"ref": {"commit": "0" * 39 + "1"}}, errors.RefNotFoundError, id="no-such-commit"),
        pytest.param({"path": "nowhere"}, errors.PathNotFoundError, id="no-such-path"),
        pytest.param({"path": "top.yaml"}, errors.PathNotFoundError, id="path-of-a-file"),
        pytest.param({"path": "top.yaml/x"}, errors.PathNotFoundError, id="path-through-a-file"),
    ],
)
def test_what_is_not_there_is_named(upstream: Repository, cache: Path, more: dict[str, Any], expected: type[errors.CvstateError]) -> None:
    upstream.commit(APPS)
    for _ in range(2):  # with an empty cache, and with one that was used
        with pytest.raises(expected):
            looked(upstream, cache, **more)


def test_a_tag_of_a_tree_is_no_commit(upstream: Repository, cache: Path) -> None:
    upstream.commit(APPS)
    upstream.git("tag", "-a", "-m", "x", "tree", "HEAD^{tree}")
    with pytest.raises(errors.SourceInvalidError):
        looked(upstream, cache, ref={"tag": "tree"})


@pytest.mark.parametrize("ref", [{"branch": "main"}, {"commit": "0" * 39 + "1"}], ids=["branch", "commit"])
def test_a_repository_that_is_not_there_is_a_failure_that_may_pass(tmp_path: Path, cache: Path, ref: dict[str, str]) -> None:
    with pytest.raises(errors.FetchFailedError):
        look(cache, f"file://{tmp_path}/none", ref=ref)


def test_an_empty_repository_has_no_main(upstream: Repository, cache: Path) -> None:
    with pytest.raises(errors.RefNotFoundError):
        looked(upstream, cache)


def test_an_object_that_git_would_not_make_is_the_source_s_fault(served: tuple[Repository, str], cache: Path) -> None:
    upstream, url = served
    upstream.commit(APPS)
    tree = signing.write(upstream, "tree", b"40000 apps\0" + bytes.fromhex(signing.write(upstream, "tree", b"garbage")))
    bad = signing.write(upstream, "commit", f"tree {tree}\nauthor a <a> 1 +0000\ncommitter a <a> 1 +0000\n\nx\n".encode())
    upstream.git("update-ref", "refs/heads/main", bad)
    with pytest.raises(errors.CvstateError) as caught:
        look(cache, url, path="apps")
    assert isinstance(caught.value, errors.SourceInvalidError | errors.FetchFailedError)
    assert caught.value.message.isprintable()


# -- how much is brought ------------------------------------------------------------------------------------------------


def test_the_first_look_brings_one_commit_alone(served: tuple[Repository, str], cache: Path) -> None:
    upstream, url = served
    for number in range(5):
        newest = upstream.commit({f"{number}.yaml": str(number)})
    look(cache, url)
    assert commits(cache) == {newest}
    assert len(objects(cache)) == 1 + 1 + 5


def test_a_later_look_brings_only_what_is_new(served: tuple[Repository, str], cache: Path) -> None:
    upstream, url = served
    upstream.commit({f"{number}.yaml": str(number) * 1000 for number in range(50)})
    known = look(cache, url)["commit"]
    before, packs = objects(cache), set(cache.glob("objects/pack/*.pack"))
    (cache / "still-the-same").touch()
    between = upstream.commit({"new.yaml": "1"})
    newest = upstream.commit({"new.yaml": "2"})
    assert look(cache, url, known=known, baseline=known)["commit"] == newest
    assert commits(cache) == {known, between, newest}
    assert len(objects(cache) - before) == 6, "two commits, trees and blobs"
    (pack,) = set(cache.glob("objects/pack/*.pack")) - packs
    assert pack.stat().st_size < 2_000
    assert (cache / "still-the-same").exists()


def test_what_is_there_already_is_not_asked_for_again(served: tuple[Repository, str], server: GitServer, cache: Path) -> None:
    upstream, url = served
    upstream.commit(APPS)
    look(cache, url)
    asked = len(server.requests)
    look(cache, url)
    assert [request.method for request in server.requests[asked:]] == ["GET"]


def test_a_commit_that_no_ref_points_at_is_brought_alone_where_the_server_gives_it(served: tuple[Repository, str], cache: Path) -> None:
    upstream, url = served
    first = upstream.commit(APPS)
    upstream.commit({"later.yaml": ""})
    assert look(cache, url, ref={"commit": first})["commit"] == first
    assert commits(cache) == {first}


def test_a_commit_that_the_server_does_not_give_by_id_is_found_among_everything(served: tuple[Repository, str], cache: Path) -> None:
    upstream, url = served
    upstream.git("config", "uploadpack.allowReachableSHA1InWant", "false")
    first = upstream.commit(APPS)
    second = upstream.commit({"later.yaml": ""})
    assert look(cache, url, ref={"commit": first})["commit"] == first
    assert commits(cache) == {first, second}


def test_a_commit_that_is_nowhere_is_no_ref_over_http_either(served: tuple[Repository, str], cache: Path) -> None:
    upstream, url = served
    upstream.commit(APPS)
    for _ in range(2):
        with pytest.raises(errors.RefNotFoundError):
            look(cache, url, ref={"commit": "0" * 39 + "1"})


def test_too_many_refs_are_refused(upstream: Repository, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "MAX_REFS", 3)
    upstream.commit(APPS)
    for name in "abcd":
        upstream.git("branch", name)
    with pytest.raises(errors.RepoTooLargeError):
        looked(upstream, cache)


# -- descent -----------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["file", "http"])
def anywhere(request: pytest.FixtureRequest, upstream: Repository) -> tuple[Repository, str]:
    """A repository and its URL, over each transport."""
    if request.param == "file":
        return upstream, f"file://{upstream.directory}"
    found: tuple[Repository, str] = request.getfixturevalue("served")
    return found


def _back(upstream: Repository) -> None:
    upstream.git("reset", "-q", "--hard", "HEAD~1")


def _aside(upstream: Repository) -> None:
    _back(upstream)
    upstream.commit({"aside.yaml": ""})


def _unrelated(upstream: Repository) -> None:
    upstream.git("checkout", "-q", "--orphan", "other")
    upstream.commit({"other.yaml": ""})
    upstream.git("branch", "-M", "main")


def test_a_descendant_is_taken(anywhere: tuple[Repository, str], cache: Path) -> None:
    upstream, url = anywhere
    baseline = upstream.commit(APPS)
    look(cache, url)
    for number in range(3):
        newest = upstream.commit({"x.yaml": str(number)})
    assert look(cache, url, baseline=baseline)["commit"] == newest


@pytest.mark.parametrize("given_by_id", [True, False], ids=["baseline-is-given-by-id", "baseline-is-not-given"])
def test_a_descendant_is_taken_though_the_cache_was_lost(served: tuple[Repository, str], cache: Path, given_by_id: bool) -> None:
    upstream, url = served
    upstream.git("config", "uploadpack.allowReachableSHA1InWant", str(given_by_id).lower())
    upstream.commit(APPS)
    baseline = upstream.commit({"x.yaml": "1"})
    newest = upstream.commit({"x.yaml": "2"})
    assert look(cache, url, baseline=baseline)["commit"] == newest
    assert (len(commits(cache)) == 2) == given_by_id


def test_a_boundary_that_another_look_drew_is_no_rewind(served: tuple[Repository, str], cache: Path) -> None:
    """Two ClusterStates share the repository: one follows prod, the other came later and follows main, whose newest commit alone was brought."""
    upstream, url = served
    baseline = upstream.commit(APPS)
    upstream.git("branch", "prod")
    look(cache, url, ref={"branch": "prod"})
    for number in range(3):
        newest = upstream.commit({"x.yaml": str(number)})
    look(cache, url)
    upstream.git("branch", "-f", "prod", "main")
    assert look(cache, url, ref={"branch": "prod"}, baseline=baseline)["commit"] == newest


def test_after_a_lost_cache_who_looks_first_does_not_matter(served: tuple[Repository, str], cache: Path) -> None:
    upstream, url = served
    commits = [upstream.commit({"x.yaml": str(number)}) for number in range(4)]
    look(cache, url, baseline=commits[3])
    assert look(cache, url, baseline=commits[0])["commit"] == commits[3]


def test_what_another_found_is_not_judged_beyond_the_boundary(served: tuple[Repository, str], cache: Path) -> None:
    upstream, url = served
    commits = [upstream.commit({"x.yaml": str(number)}) for number in range(4)]
    found = look(cache, url)
    at = {name: found[name] for name in ("name", "short", "commit", "tag_object")}
    with pytest.raises(errors.FetchFailedError, match="lacks what is needed"):
        look(cache, url, at=at, baseline=commits[0])


@pytest.mark.parametrize("rewrite", [_back, _aside, _unrelated])
def test_beyond_the_boundary_a_rewind_is_still_one(
    served: tuple[Repository, str], cache: Path, rewrite: Callable[[Repository], None]
) -> None:
    upstream, url = served
    upstream.commit(APPS)
    baseline = upstream.commit({"x.yaml": "1"})
    rewrite(upstream)
    look(cache, url)
    with pytest.raises(errors.RewindRefusedError):
        look(cache, url, baseline=baseline)


def test_the_baseline_itself_descends_from_itself(anywhere: tuple[Repository, str], cache: Path) -> None:
    upstream, url = anywhere
    newest = upstream.commit(APPS)
    assert look(cache, url, baseline=newest)["commit"] == newest


@pytest.mark.parametrize(
    "rewrite",
    [pytest.param(_back, id="back"), pytest.param(_aside, id="aside"), pytest.param(_unrelated, id="unrelated")],
)
@pytest.mark.parametrize("has_cache", [True, False], ids=["with-cache", "cache-lost"])
def test_a_rewritten_history_is_refused_until_it_is_allowed(
    anywhere: tuple[Repository, str], cache: Path, rewrite: Callable[[Repository], None], has_cache: bool
) -> None:
    upstream, url = anywhere
    upstream.commit(APPS)
    baseline = upstream.commit({"x.yaml": "1"})
    if has_cache:
        look(cache, url)
    rewrite(upstream)
    for _ in range(2):
        with pytest.raises(errors.RewindRefusedError):
            look(cache, url, baseline=baseline)
    assert look(cache, url, baseline="")["commit"] == _id(upstream, "main")


# -- from what an earlier look found -------------------------------------------------------------------------------------


def test_what_an_earlier_look_found_is_judged_without_the_server(upstream: Repository, cache: Path) -> None:
    upstream.commit(APPS)
    found = looked(upstream, cache)
    at = {name: found[name] for name in ("name", "short", "commit", "tag_object")}
    again = look(cache, "file:///nowhere", at=at, path="apps")
    assert (again["commit"], again["directory"]) == (found["commit"], _id(upstream, "HEAD:apps"))


@pytest.mark.parametrize("is_cached", [True, False], ids=["another-commit", "no-cache"])
def test_what_the_cache_lacks_only_the_server_could_tell(upstream: Repository, cache: Path, is_cached: bool) -> None:
    upstream.commit(APPS)
    if is_cached:
        looked(upstream, cache)
    at = {"name": "refs/heads/main", "short": "main", "commit": "0" * 39 + "1", "tag_object": None}
    with pytest.raises(errors.FetchFailedError):
        looked(upstream, cache, at=at)


# -- a damaged cache -----------------------------------------------------------------------------------------------------


def _as_after_a_restart(cache: Path) -> Path:
    """The same repository elsewhere: libgit2 keeps files that it has open for the life of a process, and a fetch child is a new one."""
    return Path(shutil.copytree(cache, cache.with_name(f"{cache.name}-again")))


def _read_whole(cache: Path, tree: str) -> int:
    """How many files are below a tree; each was read."""
    repository = pygit2.Repository(str(cache))
    entries = list(repository[tree].peel(pygit2.Tree))
    return sum(
        _read_whole(cache, str(entry.id)) if isinstance(entry, pygit2.Tree) else len(repository.read(entry.id)) // 2 for entry in entries
    )


def _packs_cut(cache: Path) -> None:
    for pack in cache.glob("objects/pack/*.pack"):
        pack.chmod(0o600)
        os.truncate(pack, pack.stat().st_size // 2)


def _packs_emptied(cache: Path) -> None:
    for pack in cache.glob("objects/pack/*.pack"):
        pack.chmod(0o600)
        os.truncate(pack, 0)


def _packs_spoilt(cache: Path) -> None:
    for pack in cache.glob("objects/pack/*.pack"):
        _spoil(pack)


def _spoil(pack: Path) -> None:
    pack.chmod(0o600)
    raw = pack.read_bytes()
    # Head and hash stay, or libgit2 would not even open it.
    pack.write_bytes(raw[:12] + bytes(byte ^ 0xFF for byte in raw[12:-20]) + raw[-20:])


def _removed(pattern: str) -> Callable[[Path], None]:
    def remove(cache: Path) -> None:
        for path in list(cache.glob(pattern)):
            path.unlink()

    return remove


def _written(name: str, content: bytes) -> Callable[[Path], None]:
    def write(cache: Path) -> None:
        (cache / name).write_bytes(content)

    return write


def _all_but_refs(cache: Path) -> None:
    for path in cache.glob("objects/pack/*"):
        path.unlink()


DAMAGES = pytest.mark.parametrize(
    "damage",
    [
        pytest.param(_packs_cut, id="packs-cut"),
        pytest.param(_packs_emptied, id="packs-emptied"),
        pytest.param(_packs_spoilt, id="packs-spoilt"),
        pytest.param(_removed("objects/pack/*.pack"), id="packs-gone"),
        pytest.param(_removed("objects/pack/*.idx"), id="indexes-gone"),
        pytest.param(_all_but_refs, id="objects-gone"),
        pytest.param(_removed("HEAD"), id="head-gone"),
        pytest.param(_written("HEAD", b"\x00\xffgarbage"), id="head-garbage"),
        pytest.param(_written("config", b"[[[\x00garbage"), id="config-garbage"),
        pytest.param(_written("refs/cvstate/heads/main", b"garbage"), id="ref-garbage"),
        pytest.param(_written("packed-refs", b"garbage"), id="packed-refs-garbage"),
        pytest.param(_written("shallow", b"garbage"), id="shallow-garbage"),
    ],
)


@DAMAGES
def test_a_damaged_cache_is_made_anew(anywhere: tuple[Repository, str], cache: Path, damage: Callable[[Path], None]) -> None:
    upstream, url = anywhere
    upstream.commit(APPS)
    baseline = look(cache, url)["commit"]
    cache = _as_after_a_restart(cache)
    damage(cache)
    newest = upstream.commit({"top.yaml": "changed"})
    found = look(cache, url, baseline=baseline)
    assert found["commit"] == newest
    assert _read_whole(_as_after_a_restart(cache), found["directory"]) == 2
    assert not cache.with_suffix(".new").exists()


@DAMAGES
def test_a_cache_that_lost_a_commit_it_should_have_is_made_anew(upstream: Repository, cache: Path, damage: Callable[[Path], None]) -> None:
    newest = upstream.commit({"top.yaml": "t"})
    looked(upstream, cache)
    cache = _as_after_a_restart(cache)
    damage(cache)
    found = looked(upstream, cache)
    assert found["commit"] == newest
    assert _read_whole(_as_after_a_restart(cache), found["directory"]) == 1


def test_a_repository_above_the_cache_is_not_taken_for_it(tmp_path: Path, upstream: Repository) -> None:
    upstream.commit(APPS)
    above = Repository(tmp_path / "work")
    cache = above.directory / "cache" / "r"
    cache.mkdir(parents=True)
    looked(upstream, cache)
    assert (cache / "HEAD").exists()
    assert above.git("for-each-ref") == ""


def test_a_failing_server_does_not_cost_the_cache(served: tuple[Repository, str], cache: Path) -> None:
    upstream, url = served
    upstream.commit(APPS)
    known = look(cache, url)["commit"]
    broken = Path(upstream.directory, ".git/objects")
    newest = upstream.commit({"x.yaml": ""})
    (broken / newest[:2] / newest[2:]).chmod(0o600)
    (broken / newest[:2] / newest[2:]).write_bytes(b"garbage")
    with pytest.raises(errors.CvstateError):
        look(cache, url, baseline=known)
    assert known in commits(cache)
    assert not cache.with_suffix(".new").exists()


# -- after a killed fetch -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "HEAD.lock",
        "config.lock",
        "shallow.lock",
        "packed-refs.lock",
        "FETCH_HEAD.lock",
        "refs/cvstate/heads/main.lock",
        "objects/pack/pack_git2_a1b2c3d4",
        "objects/pack/tmp_pack_a1b2c3",
        "objects/pack/pack-0123.idx.lock",
        "objects/pack/pack-0123.keep",
    ],
)
def test_what_a_killed_fetch_left_is_swept_and_hinders_nobody(upstream: Repository, cache: Path, name: str) -> None:
    baseline = upstream.commit(APPS)
    looked(upstream, cache)
    (cache / "still-the-same").touch()
    (cache / name).write_bytes(b"half")
    newest = upstream.commit({"x.yaml": "1"})
    assert looked(upstream, cache, baseline=baseline)["commit"] == newest
    assert not (cache / name).exists()
    assert (cache / "still-the-same").exists(), "nothing was made anew for it"


def test_a_branch_whose_name_looks_like_a_leftover_is_kept(upstream: Repository, cache: Path) -> None:
    newest = upstream.commit(APPS)
    upstream.git("branch", "tmp_git2_x")
    looked(upstream, cache, ref={"branch": "tmp_git2_x"})
    looked(upstream, cache)
    assert (cache / "refs/cvstate/heads/tmp_git2_x").read_text().strip() == newest


def test_a_fetch_that_was_really_killed_is_done_again(tmp_path: Path, cache: Path) -> None:
    with FaultyGit(tmp_path / "git") as server:
        upstream = server.repository("r")
        newest = upstream.commit(APPS)
        server.fault = hang
        request: dict[str, Any] = {}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fetch, "handle", lambda given: request.update(given) or {"look": {}, "answers": [{"ok": {}}]})
            look(cache, server.url("r"))
        program = "import sys, orjson; from cvstate_operator.source import fetch; fetch.handle(orjson.loads(sys.stdin.buffer.read()))"
        with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE) as child:
            assert child.stdin
            child.stdin.write(orjson.dumps(request))
            child.stdin.close()
            until("the server was asked", lambda: server.requests)
            child.kill()
        server.fault = None
        assert look(cache, server.url("r"))["commit"] == newest


def test_who_needs_more_history_than_was_brought_for_the_first_is_told_to_come_first(tmp_path: Path, cache: Path) -> None:
    with FaultyGit(tmp_path / "git") as server:
        upstream = server.repository("r")
        old, newest = upstream.commit(APPS), upstream.commit({"b.yaml": "b"})
        requests: list[dict[str, Any]] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fetch, "handle", lambda given: requests.append(given) or {"look": {}, "answers": [{"ok": {}}]})  # type: ignore[func-returns-value]
            look(cache, server.url("r"))
            look(cache, server.url("r"), baseline=old)
        alone, later = (request["wants"][0] for request in requests)
        together = fetch.handle({**requests[0], "wants": [alone, later]})
        assert together["look"]["commit"] == newest
        assert [answer.get("error", {}).get("type") for answer in together["answers"]] == [None, "FetchFailedError"]
        first = fetch.handle({**requests[0], "wants": [later, alone]})
        assert [answer["ok"]["tree"] for answer in first["answers"]] == [together["answers"][0]["ok"]["tree"]] * 2


def test_a_look_waits_for_another_into_the_same_repository(upstream: Repository, cache: Path) -> None:
    upstream.commit(APPS)
    looked(upstream, cache)
    done = threading.Event()

    def work() -> None:
        looked(upstream, cache)
        done.set()

    with open(cache.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        thread = threading.Thread(target=work)
        thread.start()
        assert not done.wait(0.1)
    assert done.wait(10)
    thread.join()


# -- a cache that cannot be used ------------------------------------------------------------------------------------------


@contextmanager
def largest_file(size_bytes: int) -> Iterator[None]:
    """No file may grow beyond that, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _unusable(url: str, cache: Path) -> None:
    with pytest.raises(errors.FetchFailedError) as caught:
        look(cache, url)
    assert "Git cache cannot be used" in caught.value.message
    assert "volume" in caught.value.message
    assert "\n" not in caught.value.message


def test_a_cache_in_the_place_of_a_file_is_told(upstream: Repository, tmp_path: Path) -> None:
    upstream.commit(APPS)
    (tmp_path / "file").write_text("")
    _unusable(f"file://{upstream.directory}", tmp_path / "file" / "r")


def test_a_cache_where_nothing_can_be_made_is_told(upstream: Repository) -> None:
    upstream.commit(APPS)
    _unusable(f"file://{upstream.directory}", Path("/proc/self/cache/r"))


@pytest.mark.parametrize("by", ["count", "file"])
def test_more_than_there_is_room_for_is_told_and_works_again_with_room(anywhere: tuple[Repository, str], cache: Path, by: str) -> None:
    upstream, url = anywhere
    upstream.commit({"random.yaml": os.urandom(50_000).hex()})
    with largest_file(20_000) if by == "file" else nullcontext(), pytest.raises(OutOfRoomError):
        look(cache, url, room=20_000 if by == "count" else NO_LIMIT)
    assert not list(cache.glob("objects/pack/*"))  # nothing is left that would take the room
    newest = upstream.commit({"x.yaml": ""})
    assert look(cache, url)["commit"] == newest


def test_news_for_which_there_is_no_room_is_told_and_leaves_what_it_has(anywhere: tuple[Repository, str], cache: Path) -> None:
    upstream, url = anywhere
    known = upstream.commit(APPS)
    look(cache, url)
    upstream.commit({"random.yaml": os.urandom(50_000).hex()})
    with pytest.raises(OutOfRoomError):
        look(cache, url, room=20_000)
    assert known in commits(cache)


def test_all_that_one_look_brings_is_counted_together(served: tuple[Repository, str], cache: Path) -> None:
    upstream, url = served
    first = upstream.commit({"random.yaml": os.urandom(15_000).hex()})
    upstream.commit({"random.yaml": os.urandom(15_000).hex()})
    more = {"baseline": first}  # it is fetched too, since the cache does not have it
    with pytest.raises(OutOfRoomError):
        look(cache, url, room=25_000, **more)
    assert look(cache, url, room=60_000, **more)["commit"]


def test_a_file_in_the_place_of_the_repository_is_replaced(upstream: Repository, cache: Path) -> None:
    newest = upstream.commit(APPS)
    cache.parent.mkdir()
    cache.write_text("no repository")
    assert looked(upstream, cache)["commit"] == newest


# -- signed tags ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def signer(tmp_path: Path) -> SshKey:
    return SshKey.make(tmp_path / "key")


def _verify(key: SshKey, mode: str = "Tag") -> dict[str, Any]:
    return {"mode": mode, "keys": {key.entry: key.public.decode("latin-1")}}


@pytest.mark.parametrize("ref", [{"tag": "v1.0"}, {"name": "refs/tags/v1.0"}], ids=["by-tag", "by-name"])
def test_a_signed_tag_is_accepted_under_its_own_name(upstream: Repository, cache: Path, signer: SshKey, ref: dict[str, str]) -> None:
    upstream.commit(APPS)
    signing.tag(upstream, signer, "v1.0")
    assert looked(upstream, cache, ref=ref, verify=_verify(signer))["signed_by"].startswith("ssh:SHA256:")


@pytest.mark.parametrize(
    "ref",
    [{"tag": "v2.0.0"}, {"name": "refs/tags/v2.0.0"}, {"semver": ">=2"}, {"name": "refs/heads/release"}, {"name": "refs/other/v1.0.0"}],
    ids=["by-tag", "by-name", "by-range", "as-a-branch", "elsewhere"],
)
@pytest.mark.parametrize("mode", ["Tag", "TagAndHEAD"])
def test_a_signed_tag_is_not_accepted_under_another_name(
    upstream: Repository, cache: Path, signer: SshKey, ref: dict[str, str], mode: str
) -> None:
    signing.commit(upstream, signer)
    tag = signing.tag(upstream, signer, "v1.0.0")
    for name in ("refs/tags/v2.0.0", "refs/heads/release", "refs/other/v1.0.0"):
        place = upstream.directory / ".git" / name
        place.parent.mkdir(exist_ok=True)
        place.write_text(f"{tag}\n")
    with pytest.raises(errors.VerificationFailedError) as caught:
        looked(upstream, cache, ref=ref, verify=_verify(signer, mode))
    assert caught.value.verdict == "SignatureInvalid"
    assert looked(upstream, cache, ref={"tag": "v1.0.0"}, verify=_verify(signer, mode))["signed_by"]


@pytest.mark.parametrize("ref", [{"branch": "main"}, {"tag": "light"}], ids=["branch", "lightweight-tag"])
def test_a_tag_mode_wants_an_annotated_tag(upstream: Repository, cache: Path, signer: SshKey, ref: dict[str, str]) -> None:
    signing.commit(upstream, signer)
    upstream.git("tag", "light")
    with pytest.raises(errors.VerificationFailedError) as caught:
        looked(upstream, cache, ref=ref, verify=_verify(signer))
    assert caught.value.verdict == "SignatureMissing"


@pytest.mark.parametrize("by_another_look", [False, True], ids=["asked-for", "found-by-another-look"])
def test_a_tag_object_that_is_damaged_in_the_cache_is_no_wrong_signature(
    upstream: Repository, cache: Path, signer: SshKey, by_another_look: bool
) -> None:
    upstream.commit(APPS)
    signing.tag(upstream, signer, "v1.0")
    found = looked(upstream, cache, ref={"tag": "v1.0"}, verify=_verify(signer))
    cache = _as_after_a_restart(cache)
    _garble(cache, found["tag_object"])
    if by_another_look:
        with pytest.raises(errors.FetchFailedError):
            looked(upstream, cache, at={name: found[name] for name in ("name", "short", "commit", "tag_object")}, verify=_verify(signer))
    assert looked(upstream, cache, ref={"tag": "v1.0"}, verify=_verify(signer))["signed_by"]


def _garble(cache: Path, object_id: str) -> None:
    """Spoil one object of a cache, and no other."""
    for pack in cache.glob("objects/pack/*.pack"):
        pack = pack.rename(cache / pack.name)
        with pack.open("rb") as packed:
            subprocess.run(("git", "--git-dir", cache, "unpack-objects", "-q"), stdin=packed, check=True)
    loose = cache / "objects" / object_id[:2] / object_id[2:]
    loose.chmod(0o600)
    loose.write_bytes(b"garbage")
