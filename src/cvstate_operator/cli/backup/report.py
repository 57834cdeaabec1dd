"""What `cvstate restore` says at its end: what became of each object of a backup, also of a run that broke off, and how to go on."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cvstate_operator.objects.redaction import one_line


class Outcome(StrEnum):
    """What became of one object of a backup."""

    RESTORED = "restored"
    BEFORE = "restored before"
    """By an earlier run, from this very backup."""
    THERE = "is there"
    """One of that name exists, and was left as it is."""
    RECORD = "not restored"
    """Good for the object that it was made for alone."""
    LEFT_OUT = "left out"
    """What it needs is not there."""
    FAILED = "failed"
    HALF_WAY = "half-way"
    """The run broke off when it was there, and not whole; or may have been."""
    NOT_TRIED = "not tried"
    """The run broke off before its turn."""


_OPEN: Final = frozenset({Outcome.FAILED, Outcome.HALF_WAY, Outcome.NOT_TRIED, Outcome.LEFT_OUT})
"""What another run may bring to an end."""


@dataclass(frozen=True, slots=True)
class Result:
    """One object, and what became of it."""

    kind: str
    object: str
    outcome: Outcome
    message: str = ""


def show(console: Console, results: Sequence[Result], again: str, *, is_dry: bool, needs: Sequence[str]) -> None:
    """What became of everything: counts, each object that was not restored, and how to go on if that is of use.

    Args:
        console: where to.
        results: of all objects.
        again: the command line of this run.
        is_dry: whether nothing was written.
        needs: what has to be there beside it.
    """
    console.print(
        Text(f"{'Would be restored' if is_dry else 'Restored'}: {_counted(results, Outcome.RESTORED) or 'nothing'}."), soft_wrap=True
    )
    if before := _counted(results, Outcome.BEFORE):
        console.print(Text(f"Restored before: {before}."), soft_wrap=True)
    if records := _counted(results, Outcome.RECORD):
        why = "they hold for the ClusterStates of the backup alone; what waits is shown anew, and has to be approved anew"
        console.print(Text(f"Not restored: {records}: {why}."), soft_wrap=True)
    others = [one for one in results if one.outcome not in (Outcome.RESTORED, Outcome.BEFORE, Outcome.RECORD)]
    if others:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in ("KIND", "OBJECT", "OUTCOME"):
            table.add_column(column, no_wrap=True)
        table.add_column("WHY", overflow="fold")
        for one in others:
            style = "red" if one.outcome in (Outcome.FAILED, Outcome.HALF_WAY) else "yellow"
            table.add_row(Text(one.kind), Text(one.object), Text(one.outcome.value, style), Text(one_line(one.message, 1000)))
        console.print(table)
    if any(one.outcome in _OPEN for one in results):
        console.print(Text(f"To go on, run again: {again}"), soft_wrap=True)
    if needs:
        console.print(Text("Have to be there, and are not made by this:"))
        for need in needs:
            console.print(Text(f"  {need}"), soft_wrap=True)


def _counted(results: Sequence[Result], outcome: Outcome) -> str:
    """How many of which kind came to that, as in `2 ClusterStates, 1 EmergencyStop`; empty if nothing did."""
    counts = Counter(one.kind for one in results if one.outcome is outcome)
    return ", ".join(f"{number} {kind}{'s' if number != 1 else ''}" for kind, number in counts.items())
