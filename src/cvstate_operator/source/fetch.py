"""Fetch: the child process that talks to a Git server (`isolation/task.py` runs it).

One bare repository per URL, shared by everything that uses the URL; only the commit that is wanted is fetched, without history where the transport
can. Nothing is checked out: the answer lists the blobs below the path.
"""

import fcntl
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pygit2
from pygit2.enums import FetchPrune, FileMode

from cvstate_operator import errors
from cvstate_operator.source.relay import Relay

MANIFEST_SUFFIXES: Final = (".yaml", ".yml", ".json")
MAX_FILES: Final = 100_000
"""Most manifest files of one ClusterState."""
MAX_FILE_BYTES: Final = 20 * 2**20
"""Largest manifest file; the API server takes objects of 1.5 MiB, and a file may hold many."""
MAX_TREE_ENTRIES: Final = 1_000_000
"""Most entries walked below the path, manifests or not."""
MAX_NAME_BYTES: Final = 1024

_NO_SUCH_OBJECT: Final = ("not our ref", "object not found", "no match for id", "target OID for the reference doesn't exist")
"""What servers and libgit2 1.9 say of a commit that is not there."""

_WHOLE_HISTORY: Final = 2**31 - 1
"""Depth that turns a shallow repository into a whole one (git-fetch(1), --unshallow)."""


def handle(request: dict[str, Any]) -> dict[str, Any]:
    """Find the commit and list its files.

    Args:
        request: `repository` (directory of the bare repository, made if absent), `url`, `ref` (kind `branch`, `tag` or `commit`, and name), `path`,
            `known` (commit that the caller has listed already, or empty).

    Returns:
        `{"commit"}` alone if it is the known one; else also `tree`, `committed_at`, `files` [[path, blob, size]] sorted, and `problems`.
    """
    with _repository(Path(request["repository"])) as repository:
        commit_id = _find(repository, request["url"], request["ref"], known=request["known"])
        if commit_id == request["known"]:
            return {"commit": commit_id}
        commit = repository[commit_id]
        if not isinstance(commit, pygit2.Commit):
            raise errors.SourceInvalidError(f"{request['ref']['name']} is no commit; choose a branch, a tag of a commit, or a commit")
        tree = _directory(commit.tree, request["path"])
        files, problems = _list(tree, "" if request["path"] in (".", "./") else request["path"].strip("/").removeprefix("./") + "/")
        return {
            "commit": commit_id,
            "tree": str(tree.id),
            "committed_at": datetime.fromtimestamp(commit.commit_time, UTC).isoformat(),
            "files": files,
            "problems": problems,
        }


@contextmanager
def _repository(directory: Path) -> Iterator[pygit2.Repository]:
    """The bare repository, locked: two fetches of one URL go one after the other. One that cannot be read is made anew."""
    directory.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(directory.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            repository = pygit2.Repository(str(directory))
        except pygit2.GitError:
            repository = pygit2.init_repository(str(directory), bare=True)
        yield repository


def _find(repository: pygit2.Repository, url: str, ref: dict[str, str], *, known: str) -> str:
    """Commit id that `ref` points at on the server, with its objects in `repository`."""
    if url.startswith("file://"):
        return _find_at(repository, url, url, ref, known=known)
    relay = Relay(url)
    with relay.serve() as address:
        try:
            return _find_at(repository, address, url, ref, known=known)
        except errors.CvstateError as exc:
            raise relay.failure or exc from None


def _find_at(repository: pygit2.Repository, address: str, url: str, ref: dict[str, str], *, known: str) -> str:
    """The same, at the address that libgit2 is to use; `url` is the one to name in messages."""
    kind, name = ref["kind"], ref["name"]
    try:
        remote = repository.remotes.create_anonymous(address)
        if kind == "commit":
            if name not in repository:
                _fetch_commit(remote, repository, name)
            return str(repository[name].id)
        full = f"refs/{'heads' if kind == 'branch' else 'tags'}/{name}"
        heads = {head.name: str(head.oid) for head in remote.list_heads()}
        if full not in heads:
            raise errors.RefNotFoundError(f"{kind} {name} is not in {url}; correct spec.source.git.ref, or push it")
        local = full.replace("refs/", "refs/cvstate/", 1)
        target = heads.get(full + "^{}", heads[full])
        if target != known:
            _fetch(remote, f"+{full}:{local}")
            return str(repository.references[local].peel(pygit2.Commit).id)
        return target
    except (pygit2.GitError, KeyError, ValueError) as exc:
        raise _translate(exc, url, f"{kind} {name}") from exc


def _fetch_commit(remote: pygit2.Remote, repository: pygit2.Repository, commit: str) -> None:
    """Fetch one commit; where the server gives only what a ref points at (git's default), everything that refs reach."""
    try:
        _fetch(remote, f"+{commit}:refs/cvstate/commits/{commit}")
    except (pygit2.GitError, KeyError):
        everything = ["+refs/heads/*:refs/cvstate/heads/*", "+refs/tags/*:refs/cvstate/tags/*"]
        _fetch_all(remote, everything, depth=_WHOLE_HISTORY)


def _fetch(remote: pygit2.Remote, refspec: str) -> None:
    _fetch_all(remote, [refspec], depth=1)


def _fetch_all(remote: pygit2.Remote, refspecs: list[str], *, depth: int) -> None:
    # libgit2 cannot fetch a shallow history from a local directory; 0 is a whole one.
    is_local = (remote.url or "").startswith("file://")
    remote.fetch(refspecs, depth=0 if is_local else depth, prune=FetchPrune.NO_PRUNE)


def _translate(error: Exception, url: str, wanted: str) -> errors.CvstateError:
    """One of our errors for what libgit2 said about the repository; what went wrong on the way there, the relay knows."""
    text = str(error)
    if isinstance(error, KeyError) or any(words in text for words in _NO_SUCH_OBJECT):
        return errors.RefNotFoundError(f"{wanted} is not in {url}; correct spec.source.git.ref, or push it")
    return errors.FetchFailedError(f"cannot read {url}: {' '.join(text.split())[:200]}")


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


def _list(root: pygit2.Tree, prefix: str) -> tuple[list[tuple[str, str, int]], list[tuple[str, str, str]]]:
    """Manifest files below `root` as (path, blob id, bytes), and what cannot be read as (path, reason, message); both sorted by path."""
    files: list[tuple[str, str, int]] = []
    problems: list[tuple[str, str, str]] = []
    pending = [(prefix, root)]
    walked = 0
    while pending:
        where, tree = pending.pop()
        for entry in tree:
            walked += 1
            if walked > MAX_TREE_ENTRIES or len(files) > MAX_FILES:
                raise errors.RepoTooLargeError(
                    f"more than {MAX_FILES} manifest files or {MAX_TREE_ENTRIES} entries below the path; choose a narrower path"
                )
            name = entry.name or ""
            path = where + name
            if objection := _objection(name, path, entry.filemode):
                problems.append((path.encode(errors="backslashreplace").decode(), *objection))
            elif isinstance(entry, pygit2.Tree):
                pending.append((path + "/", entry))
            elif isinstance(entry, pygit2.Blob) and name.endswith(MANIFEST_SUFFIXES):
                if entry.size > MAX_FILE_BYTES:
                    problems.append((path, "RenderTooLarge", f"larger than {MAX_FILE_BYTES // 2**20} MiB; split the file"))
                else:
                    files.append((path, str(entry.id), entry.size))
    return sorted(files), sorted(problems)


def _objection(name: str, path: str, mode: int) -> tuple[str, str] | None:
    """Reason and message if an entry must not be read. libgit2 reads trees with `..` and `.git` that it would refuse to make (tried)."""
    if mode == FileMode.BLOB and not name.endswith(MANIFEST_SUFFIXES):
        return None
    if (
        name in ("", ".", "..")
        or "/" in name
        or name.lower() == ".git"
        or not name.isprintable()
        or len(path.encode(errors="replace")) > MAX_NAME_BYTES
    ):
        return "SourceInvalid", "file name not allowed; rename it"
    if mode == FileMode.COMMIT:
        return (
            "SourceInvalid",
            "is a submodule, which is not followed; copy the files, or give the other repository a ClusterState of its own",
        )
    if stat.S_ISLNK(mode) and name.endswith(MANIFEST_SUFFIXES):
        return "SourceInvalid", "is a symbolic link, which is never followed; copy the file"
    return None
