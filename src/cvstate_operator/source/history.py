"""History: whether a commit descends from the one that was applied last. Used in the fetch child only.

Git promises immutable commits, not immutable refs: a force-push, a moved tag, or a mirror that lags make a ref go back or aside. Peers apply whatever the
ref says then; we refuse unless spec.source.git.allowRewind says otherwise.
"""

from pathlib import Path
from typing import Final

import pygit2

from cvstate_operator import errors

WHOLE: Final = 2**31 - 1
"""Depth that turns a shallow repository into a whole one. Source: git-fetch(1), --unshallow."""
SINCE_KNOWN: Final = 0
"""Depth that leaves the shallow boundary where it is and brings everything since (libgit2's GIT_FETCH_DEPTH_FULL; measured with 1.9: of 30 commits, only
the new ones came)."""


def require_ends(repository: pygit2.Repository) -> None:
    """Read the commits where the cached history begins and ends.

    A fetch builds on them: the server leaves out what they stand for. Were one of them lost, a descendant would look like a rewind.

    Raises:
        KeyError, ValueError, pygit2.GitError: one of them cannot be read.
    """
    for reference in repository.references.iterator():
        repository[reference.target]
    shallow = Path(repository.path, "shallow")
    for line in shallow.read_text(errors="replace").splitlines() if shallow.exists() else ():
        repository[line]


def is_decidable(repository: pygit2.Repository, commit: str, baseline: str) -> bool:
    """Whether `repository` holds enough to say whether `commit` descends from `baseline`.

    In a shallow history only a connection that is there says something. Somebody else who follows another ref of the same repository, or came first after
    the cache was lost, may have drawn its boundary between the two.
    """
    if commit == baseline:
        return True
    if commit not in repository:
        return False
    if not repository.is_shallow:
        return True
    return baseline in repository and bool(repository.descendant_of(commit, baseline) or repository.descendant_of(baseline, commit))


def require_descendant(repository: pygit2.Repository, commit: str, baseline: str, *, selector: str) -> None:
    """Refuse a commit that does not descend from `baseline`; equal commits pass.

    Raises:
        RewindRefusedError: it does not.
    """
    is_known = commit in repository and baseline in repository
    if commit == baseline or (is_known and repository.descendant_of(commit, baseline)):
        return
    back = is_known and repository.descendant_of(baseline, commit)
    how = "an older commit" if back else "which does not descend from it"
    raise errors.RewindRefusedError(
        f"{selector} went from {baseline[:12]} to {commit[:12]}, {how}; what was applied stays. Restore the history, or set spec.source.git.allowRewind: true"
    )
