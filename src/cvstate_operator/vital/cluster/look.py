"""A look: what one read of the cluster found, and as of when; or why it found nothing. Adapters make looks, indicators join them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeAlias, TypeVar

from cvstate_operator.vital.reading import Gap

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Seen(Generic[Found]):
    """The read worked."""

    found: Found
    as_of: datetime
    """UTC; when this was so for sure."""


@dataclass(frozen=True, slots=True)
class Unseen:
    """It did not: nothing is known, which is not nothing."""

    why: Gap
    message: str
    """For people; one line."""
    as_of: datetime | None = None
    """When it was known last, UTC; None if it never was."""


Look: TypeAlias = Seen[Found] | Unseen
