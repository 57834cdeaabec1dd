"""Revision: which commit the cluster is to be brought to now.

    newest commit is                    rollback     new revisions    →
    the accepted one                    –            –                it
    another, quarantined                allowed      –                the last good one, as a rollback
    another, quarantined                held         –                the accepted one
    another                             –            allowed          it; from now on it is the accepted one
    another, and one is on trial        allowed      held             the last good one, as a rollback, once that one is quarantined
    another                             –            held             the accepted one, if there is one; else the newest, of which nothing is written

On trial is the commit that was begun last while an error budget burns: newer ones wait, and it may be what burns.

The accepted commit is the one that was begun to be applied last. While new revisions are held, drift is repaired towards it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Why(StrEnum):
    """Why this commit and no other."""

    NEWEST = "Newest"
    HELD = "Held"
    """A newer one may not be applied now."""
    ROLLED_BACK = "RolledBack"
    """The newest one is quarantined; or it is held, and the one that was begun before it is quarantined."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A commit to work with."""

    commit: str
    why: Why


def choose(
    newest: str, *, accepted: str, good: str, quarantined: Collection[str], may_advance: bool, may_roll_back: bool, on_trial: str = ""
) -> Choice:
    """Pick a commit; see the table at the top of this module.

    Args:
        newest: the newest acceptable commit of the source.
        accepted: the commit that was begun last; empty if none was.
        good: the last commit that became healthy; empty if none did.
        quarantined: commits that did not become healthy in time, or that a person rejected.
        may_advance: whether new revisions may be applied now.
        may_roll_back: whether a rollback may be made now.
        on_trial: the commit that was begun last, if a newer one is held only since an error budget burns; empty otherwise.
    """
    if newest in quarantined:
        if good and good not in quarantined and (may_roll_back or accepted == good):
            return Choice(good, Why.ROLLED_BACK)
        return Choice(accepted or newest, Why.HELD)
    if newest == accepted or may_advance or not accepted:
        return Choice(newest, Why.NEWEST)
    if on_trial in quarantined and good and good not in quarantined and (may_roll_back or accepted == good):
        return Choice(good, Why.ROLLED_BACK)
    return Choice(accepted, Why.HELD)


def given_up(begun: Sequence[str], *, good: str, newest: str) -> str:
    """The commit that was begun last and given up for `good`: what a rollback leaves alone is as that one has it. Empty if none was begun since.

    Args:
        begun: the history, newest first; rollbacks are in it like everything else.
        good: the commit that is gone back to.
        newest: the newest commit of the source, which is quarantined.
    """
    again = next((number for number, commit in enumerate(begun) if commit != good), len(begun))
    if again > 1:
        return newest  # begun twice in a row: a short history dropped what was between
    later = list(begun[again:])
    is_later = again == 0 or good in later or later[:1] == [newest]
    return later[0] if later and is_later else ""
