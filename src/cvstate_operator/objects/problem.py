"""Problems: what stands between one file or object and the cluster, said so that a person can mend it.

A problem is a result, not an exception: one bad document never stops its neighbours. Written by render, plan and apply; read by status,
events, logs and metrics, which all use the same `reason`.
"""

from dataclasses import dataclass
from typing import Final

from cvstate_operator.objects.redaction import one_line

FILE_CHARACTERS: Final = 200
"""What is shown of a path, which may have 4 KiB."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong, where, and what to do about it."""

    file: str
    """Path in the repository; empty if the problem is not in a file."""
    document: int
    """1-based number of the YAML document in `file`; 0 if none is meant."""
    object: str
    """`apps/Deployment/web/api`; empty if the document names none."""
    reason: str
    """One of the fixed words of `errors.py` or `render`."""
    message: str
    """One line with what is wrong and what to do; no secret in it."""
    field: str = ""
    """Path of the field, if one is to blame."""
    retryable: bool = False
    """True if the same input may succeed later without a change in Git."""

    def __str__(self) -> str:
        """One line that names file, document and object as far as they are known."""
        where = one_line(self.file, FILE_CHARACTERS) + (f" document {self.document}" if self.document else "")
        what = " ".join(part for part in (where, f"({self.object})" if self.object and where else self.object) if part)
        return f"{what}: {self.message}" if what else self.message
