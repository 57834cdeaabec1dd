"""What `cvstate plan` found: plain values, masked already. Made by `compare.py`, shown by `report.py`."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cvstate_operator.objects.identity import ObjectRef
from cvstate_operator.objects.problem import Problem
from cvstate_operator.plan.changes import Action
from cvstate_operator.plan.gates import Block


@dataclass(frozen=True, slots=True)
class Field:
    """One field that would be written."""

    path: str
    """JSON pointer; empty for the object as a whole."""
    shown: str
    """The same for people: list items by their key."""
    before: Any
    """JSON value that is there, masked in Secrets; None if nothing is."""
    after: Any
    """What would be there; None if nothing would."""
    manager: str = ""
    """Who holds it now; empty if nobody does, or that is not known."""
    since: str = ""
    """When that manager last wrote, RFC 3339."""
    lines: tuple[str, ...] = ()
    """Of a text of several lines what changes in it, as `diff -u` shows it; empty for any other value."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One object that would be written."""

    ref: ObjectRef
    action: Action
    fields: tuple[Field, ...] = ()
    more: int = 0
    """How many fields there are beyond these."""
    held: str = ""
    """Why it would not be written now, and what to do; empty if it would."""
    note: str = ""
    """What else should be known."""
    file: str = ""
    document: int = 0


@dataclass(frozen=True, slots=True)
class Kept:
    """Objects that left Git and stay."""

    refs: tuple[ObjectRef, ...]
    by: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything."""

    state: str
    """`namespace/name` of the ClusterState."""
    ref: str
    """What was followed: `branch main`, `directory .`."""
    revision: str
    objects: int
    """How many are declared."""
    entries: tuple[Entry, ...] = ()
    """In the order they would be written."""
    kept: tuple[Kept, ...] = ()
    problems: tuple[Problem, ...] = ()
    """What could not be done."""
    gates: tuple[tuple[Block, tuple[str, ...]], ...] = ()
    """What is closed, and for which classes of changes."""
    warnings: tuple[str, ...] = field(default=())
    """What somebody should know though nothing is wrong."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.entries and not self.problems

    @property
    def counts(self) -> Mapping[str, int]:
        """Objects by action; those that would have to wait are in it."""
        found = Counter(entry.action.value for entry in self.entries)
        return {action.value: found[action.value] for action in _TOLD}

    @property
    def held(self) -> int:
        """Objects that would have to wait."""
        return sum(bool(entry.held) for entry in self.entries)


_TOLD = (Action.CREATE, Action.UPDATE, Action.REPAIR, Action.RECREATE, Action.PRUNE)
