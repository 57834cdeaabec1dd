"""Findings: problems with a line and a weight, as they travel from the child to the report. Pure."""

from dataclasses import dataclass
from typing import Literal

from cvstate_operator.objects.problem import Problem

Level = Literal["error", "note"]


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing to tell. The fields are those of `status.problems` and `line`."""

    file: str
    """As the user would spell it: below the PATH that was given."""
    line: int
    """1-based; 0 if no line is meant."""
    object: str
    field: str
    reason: str
    message: str
    document: int = 0
    level: Level = "error"
    """A note does not change the exit code."""

    @classmethod
    def of(cls, problem: Problem, *, line: int, level: Level = "error") -> "Finding":
        """The same as a finding."""
        return cls(problem.file, line, problem.object, problem.field, problem.reason, problem.message, problem.document, level)
