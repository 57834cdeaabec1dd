"""Judge: whether one commit is acceptable, and where the directories are that are wanted of it. Used in the fetch child only.

Any number of ClusterStates may ask about the same commit at once; what they have in common is found once.
"""

from datetime import UTC, datetime
from typing import Any, Final

import pygit2

from cvstate_operator import errors
from cvstate_operator.source import history
from cvstate_operator.source.refs import Chosen

TAGS: Final = "refs/tags/"


class Judge:
    """Of one commit, for one `fetch.handle`."""

    def __init__(self, repository: pygit2.Repository, chosen: Chosen, request: dict[str, Any]) -> None:
        """
        Args:
            repository: that holds the commit.
            chosen: the commit, and which ref led to it.
            request: as `fetch.handle` gets it.
        """
        self._repository, self._chosen, self._request = repository, chosen, request
        self._signer: str | errors.CvstateError | None = None
        """None until it was looked for, which takes a tenth of a second."""
        self._by_baseline: dict[str, errors.CvstateError | None] = {}
        """Why the commit may not follow; None if it may."""
        self._parents: dict[str, pygit2.Tree] = {}
        """By path. To find one among a thousand subdirectories takes 0.16 ms if the parent has to be read, and a microsecond if not (measured)."""

    def answer(self, want: dict[str, Any], *, is_brought: bool) -> dict[str, Any]:
        """Nothing if the commit is known, else where it is and who signed it.

        Args:
            want: one of `request["wants"]`.
            is_brought: what its baseline needs of the history was fetched.

        Raises:
            CvstateError: FetchFailed (`lacking`), SourceInvalid, PathNotFound, VerificationFailed, RewindRefused.
            KeyError, ValueError, pygit2.GitError: something cannot be read.
        """
        repository, chosen, baseline = self._repository, self._chosen, want["baseline"]
        if chosen.commit == want["known"]:
            return {}
        is_judged = is_brought or baseline in self._by_baseline
        if baseline and not is_judged and not history.is_decidable(repository, chosen.commit, baseline):
            raise lacking()
        commit = repository[chosen.commit]
        if not isinstance(commit, pygit2.Commit):
            raise errors.SourceInvalidError(f"{self._request['selector']} is no commit; choose a branch, a tag of a commit, or a commit")
        made = datetime.fromtimestamp(commit.commit_time, UTC)
        signed_by = self._signed_by(made) if self._request["verify"] else ""
        if baseline:
            self._require_descendant(baseline)
        return {
            "tree": str(commit.tree.id),
            "directory": str(self._directory(commit.tree, want["path"]).id),
            "committed_at": made.isoformat(),
            "signed_by": signed_by,
        }

    def _require_descendant(self, baseline: str) -> None:
        if baseline not in self._by_baseline:
            try:
                history.require_descendant(self._repository, self._chosen.commit, baseline, selector=self._request["selector"])
                self._by_baseline[baseline] = None
            except errors.RewindRefusedError as exc:
                self._by_baseline[baseline] = exc
        if refused := self._by_baseline[baseline]:
            raise refused

    def _signed_by(self, made: datetime) -> str:
        if self._signer is None:
            # What was applied once stays the last good state although its key expired since; it is judged as of then.
            now = made if self._request["recall"] else datetime.now(UTC)
            try:
                self._signer = _signer(self._repository, self._chosen, self._request["verify"], now)
            except errors.CvstateError as exc:
                self._signer = exc
        if isinstance(self._signer, errors.CvstateError):
            raise self._signer
        return self._signer

    def _directory(self, tree: pygit2.Tree, path: str) -> pygit2.Tree:
        *parents, last = [part for part in path.split("/") if part not in ("", ".")] or [""]
        here = ""
        for name in parents:
            here = f"{here}/{name}"
            if here not in self._parents:
                self._parents[here] = _entered(self._repository, tree, name, path=path)
            tree = self._parents[here]
        return _entered(self._repository, tree, last, path=path) if last else tree


def lacking() -> errors.FetchFailedError:
    """Only the server could tell."""
    return errors.FetchFailedError("the cached repository lacks what is needed")


def _entered(repository: pygit2.Repository, tree: pygit2.Tree, name: str, *, path: str) -> pygit2.Tree:
    try:
        entry = tree[name]
    except KeyError:
        raise errors.PathNotFoundError(f"path {path} is not in the commit; correct spec.source.git.path, or push it") from None
    if not isinstance(entry, pygit2.Tree):
        raise errors.PathNotFoundError(f"path {path} is no directory; give the directory that holds the manifests")
    return repository[entry.id].peel(pygit2.Tree)  # read here, so that one that is missing is not taken for a path that is


def _signer(repository: pygit2.Repository, chosen: Chosen, wanted: dict[str, Any], now: datetime) -> str:
    # Loaded by the few fetches that need it, not by the fork server: the libraries for keys take 20 MB.
    from cvstate_operator.source.signatures import Keys, verify

    keys = Keys.parse({name: text.encode("latin-1") for name, text in wanted["keys"].items()})
    if chosen.tag_object:
        repository.read(chosen.tag_object)  # one that is damaged here is no fault of its signature
    # A ref outside refs/tags/ has no tag's name, so that a signed tag of another name cannot be passed off under it.
    tag_name = chosen.name.removeprefix(TAGS)
    signer = verify(repository, commit=chosen.commit, tag=chosen.tag_object, mode=wanted["mode"], keys=keys, now=now, tag_name=tag_name)
    return str(signer)
