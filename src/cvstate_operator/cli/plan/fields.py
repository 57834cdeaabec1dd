"""Fields: what changes in one field, as it is shown: masked, on one line, texts of several lines line by line."""

import difflib
from itertools import islice
from typing import Final

from cvstate_operator.cli.plan.result import Field
from cvstate_operator.drift.coverage import FieldDrift
from cvstate_operator.drift.difference import SHOWN_CHARACTERS, FieldChange
from cvstate_operator.objects.identity import GroupKind
from cvstate_operator.objects.redaction import disclosed, is_secret, one_line

SHOWN_LINES: Final = 40
"""Changed lines of one value that are shown."""
LINE_CHARACTERS: Final = 200
COMPARED_LINES: Final = 4000
"""Longer texts are not compared line by line: that takes time with the square of their length."""


def drifted(kind: GroupKind, drift: FieldDrift) -> Field:
    """A drifted field: what is there, and what would be put back."""
    if not drift.path:
        return Field("", "", None, "present" if drift.desired is not None else None, one_line(drift.manager), drift.since)
    return Field(
        drift.path,
        one_line(drift.path, SHOWN_CHARACTERS),
        disclosed(kind, drift.path, drift.live),
        disclosed(kind, drift.path, drift.desired),
        one_line(drift.manager),
        drift.since,
    )


def changed(kind: GroupKind, change: FieldChange) -> Field:
    """A field that an apply would change, masked."""
    return Field(
        change.path,
        change.shown,
        disclosed(kind, change.path, change.before),
        disclosed(kind, change.path, change.after),
        one_line(change.manager),
        change.since,
        () if is_secret(kind) else lines_of(change.before, change.after),
    )


def lines_of(before: object, after: object) -> tuple[str, ...]:
    """What changes in a text of several lines, as `diff -u` shows it, cut to what a person reads; empty if it is no such text."""
    if not (isinstance(before, str) and isinstance(after, str) and "\n" in before + after):
        return ()
    old, new = before.splitlines(), after.splitlines()
    if len(old) + len(new) > COMPARED_LINES:
        return ()
    found = list(islice(difflib.unified_diff(old, new, lineterm="", n=1), 2, None))
    more = len(found) - SHOWN_LINES
    told = tuple(one_line(line, LINE_CHARACTERS) for line in found[:SHOWN_LINES])
    return (*told, f"… and {more} more lines") if more > 0 else told
