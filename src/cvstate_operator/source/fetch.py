"""Fetch: the child process that talks to a Git server (`isolation/task.py` runs it).

One bare repository per URL and Secret, shared by everything that uses both. The first fetch takes the wanted commit alone; later ones bring what is new
since, so that it can be told whether a commit descends from the one applied last. Nothing is checked out.

libgit2 does not say whether the server or the cached repository is to blame that a fetch failed, and a damaged one would fail for ever. So what fails with
the cached one is tried once more with an empty one; that one stays only if it gave an answer.
"""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pygit2
from pygit2.enums import FetchPrune

from cvstate_operator import errors
from cvstate_operator.isolation.task import OutOfRoomError, raise_if_short
from cvstate_operator.objects import http_credentials
from cvstate_operator.objects.address import AddressPolicy
from cvstate_operator.objects.redaction import one_line
from cvstate_operator.source import bare, credentials, history, ssh
from cvstate_operator.source.bare import LIBGIT2_ERRORS
from cvstate_operator.source.judge import TAGS, Judge, lacking
from cvstate_operator.source.receipt import Receipt
from cvstate_operator.source.refs import Chosen, choose
from cvstate_operator.source.relay import Relay

MAX_REFS: Final = 100_000
"""Most refs of a repository that are looked through."""

_NO_SUCH_OBJECT: Final = ("not our ref", "object not found", "no match for id", "target OID for the reference doesn't exist")
"""What servers and libgit2 1.9 say of a commit that is not there."""
_FILE_ERRORS: Final = (errno.EACCES, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOSPC, errno.EROFS)
"""Faults of a disk; libgit2 tells them only by the text of strerror(3)."""
_CACHED_REFS: Final = "refs/cvstate/"


def handle(request: dict[str, Any]) -> dict[str, Any]:
    """Find the commit, fetch it, and judge it for everyone who asks.

    Args:
        request: `repository` (directory of the bare repository, made if absent), `url`, `ref` (as in the ClusterState), `selector` (the same for people),
            `at` (`{name, short, commit, tag_object}` that an earlier look found: then the server is not asked; or null), `recall` (commit that is wanted
            from the cache, or empty: likewise), `secret` (name) and `credentials` ({key: text in latin-1}), `verify` (`{mode, keys}` or null), `policy` (of
            `AddressPolicy`), `room` (bytes that may be written), `refused` (commits that are known to need more than there can be), and `wants`, one for each who
            asks: `path`, `known` (commit that he has already, or empty), `baseline` (commit to descend from, or empty). The first one's baseline says how
            much history is brought.

    Returns:
        `look`: `{name, short, commit, tag_object}`; `answers`, one for each want: `{"error": …}` (`errors.to_data`), or `{"ok": …}` with `tree`, `directory`,
        `committed_at` and `signed_by`, or with nothing if the commit is the known one. FetchFailedError in an answer: only the server could tell, by a
        request in which this want comes first.

    Raises:
        CvstateError: of the source as such. FetchFailedError also if the cache cannot be used.
        MemoryError, OutOfRoomError: more would have to be read or written than this process may.
    """
    directory = Path(request["repository"])
    try:
        with bare.locked(directory):
            return _found(directory, request)
    except OSError as exc:
        if _is_too_large_a_file(exc):
            raise OutOfRoomError from exc
        # The network has errors of its own by now; what is left are files.
        what = "give its volume more room, or make it writable"
        why = f"{exc.strerror}: {exc.filename}" if exc.strerror else str(exc)
        raise errors.FetchFailedError(f"the operator's Git cache cannot be used: {one_line(why)}; {what}") from exc


def _found(directory: Path, request: dict[str, Any]) -> dict[str, Any]:
    """One look; if it fails with a cached repository, a second one with an empty one, which takes the place of the other."""
    if request["at"] or request["recall"]:
        try:
            repository = bare.open_swept(directory)
            chosen = Chosen(**request["at"]) if request["at"] else _recalled(repository, request)
        except LIBGIT2_ERRORS as exc:
            raise_if_short(exc)
            raise lacking() from exc
        return _answers(repository, chosen, request, fault=lambda error: lacking())
    if not directory.exists():
        return _from_nothing(directory, request)
    try:
        repository = bare.open_swept(directory)
        return _answers(repository, _from_server(repository, request), request, fault=None)
    except LIBGIT2_ERRORS as exc:
        raise_if_short(exc)
        if _is_too_large_a_file(exc):
            raise OutOfRoomError from exc
        return _made_anew(directory, request)


def _recalled(repository: pygit2.Repository, request: dict[str, Any]) -> Chosen:
    """The commit of an earlier life, by a ref that led to it. Of tags that were moved since, the objects are kept (`_keep`)."""
    wanted = request["recall"]
    heads: dict[str, str] = {}
    for ref in repository.references.iterator():
        target = repository[ref.target]
        if isinstance(target, pygit2.Tag) and str(ref.peel(pygit2.Commit).id) == wanted:
            heads[TAGS + str(target.name)] = str(target.id)
            heads[f"{TAGS}{target.name}^{{}}"] = wanted
        elif str(ref.target) == wanted:
            heads.setdefault(ref.name.replace(_CACHED_REFS, "refs/", 1), wanted)
    try:
        return choose(request["ref"], heads, url=request["url"])
    except errors.RefNotFoundError:
        return Chosen(wanted, "", wanted, None)


def _made_anew(directory: Path, request: dict[str, Any]) -> dict[str, Any]:
    fresh = directory.with_suffix(".new")
    bare.remove(fresh)
    try:
        found = _from_nothing(fresh, request)
        bare.remove(directory)
        fresh.rename(directory)
        return found
    finally:
        bare.remove(fresh)


def _from_nothing(directory: Path, request: dict[str, Any]) -> dict[str, Any]:
    """One look with an empty repository: what fails now is the server's doing, or that of who pushed."""
    repository = bare.open_swept(directory)
    try:
        chosen = _from_server(repository, request)
    except LIBGIT2_ERRORS as exc:
        raise_if_short(exc)
        raise _translate(exc, request) from exc
    return _answers(repository, chosen, request, fault=_unreadable)


def _unreadable(error: Exception) -> errors.SourceInvalidError:
    return errors.SourceInvalidError(f"the repository holds an object that cannot be read: {one_line(str(error))}")


def _answers(
    repository: pygit2.Repository, chosen: Chosen, request: dict[str, Any], *, fault: Callable[[Exception], errors.CvstateError] | None
) -> dict[str, Any]:
    """What everyone who asks is told of a commit. What libgit2 stumbles over is a `fault` of that answer alone; None: it is raised."""
    judge = Judge(repository, chosen, request)
    answers: list[dict[str, Any]] = []
    for number, want in enumerate(request["wants"]):
        try:
            answers.append({"ok": judge.answer(want, is_brought=number == 0 and not (request["at"] or request["recall"]))})
        except errors.CvstateError as exc:
            answers.append({"error": errors.to_data(exc)})
        except LIBGIT2_ERRORS as exc:
            raise_if_short(exc)
            if fault is None:
                raise
            answers.append({"error": errors.to_data(fault(exc))})
    look = {"name": chosen.name, "short": chosen.short, "commit": chosen.commit, "tag_object": chosen.tag_object}
    return {"look": look, "answers": answers}


# -- the server ---------------------------------------------------------------------------------------------------------


def _from_server(repository: pygit2.Repository, request: dict[str, Any]) -> Chosen:
    """What the ref points at on the server, with its objects in `repository`."""
    url = request["url"]
    secret = {name: text.encode("latin-1") for name, text in request["credentials"].items()}
    policy = AddressPolicy(**{**request["policy"], "hosts": tuple(request["policy"]["hosts"])})
    if url.startswith("file://"):
        return _Server(repository, url, request, callbacks=Receipt(request["room"])).fetch()
    if url.startswith("ssh://"):
        identity = credentials.for_ssh(request["secret"], secret)
        address = ssh.prepare(url, identity, policy)
        callbacks = ssh.SshCallbacks(url, identity, request["room"])
        try:
            return _Server(repository, address, request, callbacks=callbacks).fetch()
        except (errors.CvstateError, *LIBGIT2_ERRORS) as exc:
            raise callbacks.failure or exc from None
    relay = Relay(url, http_credentials.for_http(request["secret"], secret), policy)
    with relay.serve() as address:
        try:
            return _Server(repository, address, request, callbacks=Receipt(request["room"])).fetch()
        except (errors.CvstateError, *LIBGIT2_ERRORS) as exc:
            raise relay.failure or exc from None


class _Server:
    """One look at a server through libgit2. What libgit2 raises of fetching passes through; the cached repository may be the reason."""

    def __init__(self, repository: pygit2.Repository, address: str, request: dict[str, Any], callbacks: Receipt) -> None:
        self._repository = repository
        self._address = address
        self._request = request
        self._callbacks = callbacks
        self._wanted = ""
        """The commit that is being brought."""

    def fetch(self) -> Chosen:
        """Find the ref and bring its commit, with as much history as is needed."""
        commit = self._request["ref"].get("commit")
        try:
            return self._fetch_commit(commit) if commit else self._fetch_ref()
        except OutOfRoomError as exc:
            exc.of = self._wanted
            raise

    def _require_hope(self, commit: str) -> None:
        """Bring nothing of a commit that did not fit into the most that there is."""
        self._wanted = commit
        if commit in self._request["refused"]:
            raise OutOfRoomError("it was too large before")

    def _fetch_ref(self) -> Chosen:
        chosen = choose(self._request["ref"], self._heads(), url=self._request["url"])
        if all(want["known"] == chosen.commit for want in self._request["wants"]):
            return chosen
        wanted = [chosen.commit, *((chosen.tag_object,) if chosen.tag_object else ())]
        if not all(oid in self._repository for oid in wanted) or not self._is_decidable(chosen.commit):
            self._require_hope(chosen.commit)
            self._fetch([f"+{chosen.name}:{chosen.name.replace('refs/', _CACHED_REFS, 1)}"], commit=chosen.commit)
            self._keep(chosen.tag_object)
        return chosen

    def _keep(self, tag_object: str | None) -> None:
        """Give a tag's object a ref of its own: a tag of the same name that is refused must not hide the one that was applied."""
        if tag_object:
            self._repository.references.create(f"{_CACHED_REFS}objects/{tag_object}", tag_object, force=True)

    def _heads(self) -> dict[str, str]:
        heads = {}
        try:
            for head in self._remote().list_heads(callbacks=self._callbacks):
                heads[head.name or ""] = str(head.oid)
                if len(heads) > MAX_REFS:
                    raise errors.RepoTooLargeError(f"the repository has more than {MAX_REFS} refs; follow one that has fewer")
        except LIBGIT2_ERRORS as exc:  # nothing of the cached repository is in this
            raise_if_short(exc)
            raise errors.FetchFailedError(f"cannot read {self._request['url']}: {one_line(str(exc))}") from exc
        return heads

    def _fetch_commit(self, commit: str) -> Chosen:
        if commit not in self._repository or not self._is_decidable(commit):
            self._require_hope(commit)
            try:
                self._fetch([f"+{commit}:{_CACHED_REFS}commits/{commit}"], commit=commit)
            except (pygit2.GitError, KeyError):
                # Git's default is to give only what a ref points at; so everything that refs reach.
                everything = [f"+refs/heads/*:{_CACHED_REFS}heads/*", f"+refs/tags/*:{_CACHED_REFS}tags/*"]
                self._bring(everything, depth=history.WHOLE)
                if commit not in self._repository:
                    raise _ref_not_found(self._request) from None
        return Chosen(commit, "", commit, None)

    def _fetch(self, refspecs: list[str], *, commit: str) -> None:
        history.require_ends(self._repository)
        baseline = self._request["wants"][0]["baseline"]
        if baseline and baseline != commit:
            if baseline not in self._repository:
                self._fetch_baseline(baseline)
            self._bring(refspecs, depth=history.SINCE_KNOWN)
            if not self._is_decidable(commit):
                self._bring(refspecs, depth=history.WHOLE)
        else:
            self._bring(refspecs, depth=1)

    def _fetch_baseline(self, baseline: str) -> None:
        """The commit applied last, where the cache was lost. A server that no longer has it, or does not give it, leaves the question to the whole history."""
        try:
            self._bring([f"+{baseline}:{_CACHED_REFS}commits/{baseline}"], depth=1)
        except (pygit2.GitError, KeyError):
            return

    def _is_decidable(self, commit: str) -> bool:
        baseline = self._request["wants"][0]["baseline"]
        return not baseline or history.is_decidable(self._repository, commit, baseline)

    def _bring(self, refspecs: list[str], *, depth: int) -> None:
        # libgit2 cannot fetch a shallow history from a local directory; then it is a whole one.
        is_local = self._address.startswith("file://")
        self._callbacks.begin()
        self._remote().fetch(refspecs, depth=0 if is_local else depth, prune=FetchPrune.NO_PRUNE, callbacks=self._callbacks)

    def _remote(self) -> pygit2.Remote:
        return self._repository.remotes.create_anonymous(self._address)


def _translate(error: Exception, request: dict[str, Any]) -> errors.CvstateError | OSError:
    """One of our errors for what libgit2 said of an attempt from nothing; what went wrong on the way to the server, relay and callbacks know better."""
    text = str(error)
    if any(os.strerror(number) in text for number in _FILE_ERRORS):
        return OSError(text)
    if isinstance(error, KeyError) or any(words in text for words in _NO_SUCH_OBJECT):
        return _ref_not_found(request)
    return errors.FetchFailedError(f"cannot read {request['url']}: {one_line(text)}")


def _is_too_large_a_file(error: Exception) -> bool:
    """Whether a file met the limit of this process; libgit2 tells it only by the text of strerror(3)."""
    return getattr(error, "errno", None) == errno.EFBIG or os.strerror(errno.EFBIG) in str(error)


def _ref_not_found(request: dict[str, Any]) -> errors.RefNotFoundError:
    return errors.RefNotFoundError(f"{request['selector']} is not in {request['url']}; correct spec.source.git.ref, or push it")
