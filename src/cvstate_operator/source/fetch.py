"""Fetch: the child process that talks to a Git server (`isolation/task.py` runs it).

One bare repository per URL and Secret, shared by everything that uses both. The first fetch takes the wanted commit alone; later ones bring what is new
since, so that it can be told whether a commit descends from the one applied last. Nothing is checked out.
"""

import fcntl
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson
import pygit2
from pygit2.enums import FetchPrune

from cvstate_operator import errors
from cvstate_operator.source import credentials, history, ssh
from cvstate_operator.source.address import AddressPolicy
from cvstate_operator.source.refs import Chosen, choose
from cvstate_operator.source.relay import Relay

MAX_REFS: Final = 100_000
"""Most refs of a repository that are looked through."""

_NO_SUCH_OBJECT: Final = ("not our ref", "object not found", "no match for id", "target OID for the reference doesn't exist")
"""What servers and libgit2 1.9 say of a commit that is not there."""


def handle(request: dict[str, Any]) -> dict[str, Any]:
    """Find the commit, fetch it, and judge it.

    Args:
        request: `repository` (directory of the bare repository, made if absent), `url`, `ref` (as in the ClusterState), `selector` (the same for people),
            `path`, `known` (commit that the caller has already, or empty), `baseline` (commit to descend from, or empty), `at` (`{commit, ref, short, tag}`
            that an earlier look found: then the server is not asked; or null), `secret` (name) and `credentials` ({key: text in latin-1}), `verify`
            (`{mode, keys}` or null), `policy` (of `AddressPolicy`).

    Returns:
        `{"commit", "ref", "short", "tag"}`, and, if the commit is not the known one, `tree`, `directory`, `committed_at`, `signed_by`.

    Raises:
        CvstateError: of the source; also if only the server could tell (`at` was given, and more is needed): FetchFailedError.
    """
    with _repository(Path(request["repository"])) as open_repository:
        try:
            return _look(open_repository(), request)
        except (pygit2.GitError, KeyError, ValueError) as exc:
            if request["at"]:
                raise errors.FetchFailedError("the cached repository lacks what is needed") from exc
            # Not the server's doing (that has errors of its own): what is cached is damaged. Once more, from nothing.
            shutil.rmtree(request["repository"], ignore_errors=True)
        try:
            return _look(open_repository(), request)
        except (pygit2.GitError, KeyError, ValueError) as exc:
            raise errors.SourceInvalidError(f"the repository holds an object that cannot be read: {_one_line(exc)}") from exc


def _look(repository: pygit2.Repository, request: dict[str, Any]) -> dict[str, Any]:
    chosen = Chosen(**request["at"]) if request["at"] else _from_server(repository, request)
    found = {"name": chosen.name, "short": chosen.short, "commit": chosen.commit, "tag_object": chosen.tag_object}
    if chosen.commit == request["known"]:
        return found
    commit = repository[chosen.commit]
    if not isinstance(commit, pygit2.Commit):
        raise errors.SourceInvalidError(f"{request['selector']} is no commit; choose a branch, a tag of a commit, or a commit")
    signer = ""
    if request["verify"]:
        # Loaded by the few fetches that need it, not by the fork server: the libraries for keys take 20 MB.
        from cvstate_operator.source.signatures import Keys, verify

        keys = Keys.parse({name: text.encode("latin-1") for name, text in request["verify"]["keys"].items()})
        found_by = verify(
            repository, commit=chosen.commit, tag=chosen.tag_object, mode=request["verify"]["mode"], keys=keys, now=datetime.now(UTC)
        )
        signer = str(found_by)
    if request["baseline"]:
        history.require_descendant(repository, chosen.commit, request["baseline"], selector=request["selector"])
    return {
        **found,
        "tree": str(commit.tree.id),
        "directory": str(_directory(commit.tree, request["path"]).id),
        "committed_at": datetime.fromtimestamp(commit.commit_time, UTC).isoformat(),
        "signed_by": signer,
    }


@contextmanager
def _repository(directory: Path) -> Iterator[Callable[[], pygit2.Repository]]:
    """The bare repository, locked: two fetches into it go one after the other. One that cannot be opened is made anew."""
    directory.parent.mkdir(parents=True, exist_ok=True, mode=0o700)

    def open_repository() -> pygit2.Repository:
        try:
            return pygit2.Repository(str(directory))
        except pygit2.GitError:
            shutil.rmtree(directory, ignore_errors=True)
            return pygit2.init_repository(str(directory), bare=True)

    with open(directory.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield open_repository


# -- the server ---------------------------------------------------------------------------------------------------------


def _from_server(repository: pygit2.Repository, request: dict[str, Any]) -> Chosen:
    """What the ref points at on the server, with its objects in `repository`."""
    url = request["url"]
    secret = {name: text.encode("latin-1") for name, text in request["credentials"].items()}
    policy = AddressPolicy(**{**request["policy"], "hosts": tuple(request["policy"]["hosts"])})
    if url.startswith("file://"):
        return _Server(repository, url, request).fetch()
    if url.startswith("ssh://"):
        identity = credentials.for_ssh(request["secret"], secret)
        ssh.prepare(url, identity, policy)
        callbacks = ssh.SshCallbacks(url, identity)
        try:
            return _Server(repository, url, request, callbacks=callbacks).fetch()
        except errors.CvstateError as exc:
            raise callbacks.failure or exc from None
    relay = Relay(url, credentials.for_http(request["secret"], secret), policy)
    with relay.serve() as address:
        try:
            return _Server(repository, address, request).fetch()
        except errors.CvstateError as exc:
            raise relay.failure or exc from None


class _Server:
    """One look at a server through libgit2."""

    def __init__(
        self, repository: pygit2.Repository, address: str, request: dict[str, Any], callbacks: pygit2.RemoteCallbacks | None = None
    ) -> None:
        self._repository = repository
        self._address = address
        self._request = request
        self._callbacks = callbacks

    def fetch(self) -> Chosen:
        """Find the ref and bring its commit, with as much history as is needed."""
        commit = self._request["ref"].get("commit")
        try:
            return self._fetch_commit(commit) if commit else self._fetch_ref()
        except (pygit2.GitError, KeyError, ValueError) as exc:
            raise self._translate(exc) from exc

    def _fetch_ref(self) -> Chosen:
        heads = {}
        for head in self._remote().list_heads(callbacks=self._callbacks):
            heads[head.name or ""] = str(head.oid)
            if len(heads) > MAX_REFS:
                raise errors.RepoTooLargeError(f"the repository has more than {MAX_REFS} refs; follow one that has fewer")
        chosen = choose(self._request["ref"], heads, url=self._request["url"])
        if chosen.commit == self._request["known"]:
            return chosen
        wanted = [chosen.commit, *((chosen.tag_object,) if chosen.tag_object else ())]
        if not all(oid in self._repository for oid in wanted) or not self._has_history(chosen.commit):
            self._fetch([f"+{chosen.name}:{chosen.name.replace('refs/', 'refs/cvstate/', 1)}"], commit=chosen.commit)
        return chosen

    def _fetch_commit(self, commit: str) -> Chosen:
        if commit not in self._repository or not self._has_history(commit):
            try:
                self._fetch([f"+{commit}:refs/cvstate/commits/{commit}"], commit=commit)
            except (pygit2.GitError, KeyError):
                # Git's default is to give only what a ref points at; so everything that refs reach.
                everything = ["+refs/heads/*:refs/cvstate/heads/*", "+refs/tags/*:refs/cvstate/tags/*"]
                self._bring(everything, depth=history.WHOLE)
        return Chosen(commit, "", str(self._repository[commit].id), None)

    def _fetch(self, refspecs: list[str], *, commit: str) -> None:
        baseline = self._request["baseline"]
        if baseline and baseline != commit:
            if baseline not in self._repository:
                self._fetch_baseline(baseline)
            self._bring(refspecs, depth=history.SINCE_KNOWN)
        else:
            self._bring(refspecs, depth=1)

    def _fetch_baseline(self, baseline: str) -> None:
        """The commit applied last, where the cache was lost. A server that no longer has it, or does not give it, leaves the question to the whole history."""
        try:
            self._bring([f"+{baseline}:refs/cvstate/commits/{baseline}"], depth=1)
        except (pygit2.GitError, KeyError):
            return

    def _has_history(self, commit: str) -> bool:
        baseline = self._request["baseline"]
        return not baseline or baseline == commit or history.is_connected(self._repository, commit, baseline)

    def _bring(self, refspecs: list[str], *, depth: int) -> None:
        # libgit2 cannot fetch a shallow history from a local directory; then it is a whole one.
        is_local = self._address.startswith("file://")
        self._remote().fetch(refspecs, depth=0 if is_local else depth, prune=FetchPrune.NO_PRUNE, callbacks=self._callbacks)

    def _remote(self) -> pygit2.Remote:
        return self._repository.remotes.create_anonymous(self._address)

    def _translate(self, error: Exception) -> errors.CvstateError:
        """One of our errors for what libgit2 said; what went wrong on the way to the server, relay and callbacks know better."""
        url, text = self._request["url"], str(error)
        if isinstance(error, KeyError) or any(words in text for words in _NO_SUCH_OBJECT):
            return errors.RefNotFoundError(f"{self._request['selector']} is not in {url}; correct spec.source.git.ref, or push it")
        return errors.FetchFailedError(f"cannot read {url}: {_one_line(error)}")


# -- the commit ---------------------------------------------------------------------------------------------------------


def _directory(tree: pygit2.Tree, path: str) -> pygit2.Tree:
    for part in path.split("/"):
        if part in ("", "."):
            continue
        try:
            entry = tree[part]
        except KeyError:
            raise errors.PathNotFoundError(f"path {path} is not in the commit; correct spec.source.git.path, or push it") from None
        if not isinstance(entry, pygit2.Tree):
            raise errors.PathNotFoundError(f"path {path} is no directory; give the directory that holds the manifests")
        tree = entry
    return tree


def _one_line(error: Exception) -> str:
    return orjson.dumps(" ".join(str(error).split())[:200]).decode().strip('"')
