"""Previews: what the API server says an apply would do, before it is done. Nothing is written for one."""

from dataclasses import dataclass, field

from cvstate_operator.errors import CvstateError, ImmutableError
from cvstate_operator.objects.manifest import Body


@dataclass(frozen=True, slots=True)
class Preview:
    """One object as it is, and as it would be. Values of Secrets are not masked."""

    live: Body | None = field(repr=False)
    """None if there is no such object: it would be created."""
    planned: Body | None = field(repr=False)
    """With defaults, and what webhooks make of it; None if the API server refuses the apply."""
    error: CvstateError | None = None
    """Why it refuses; None if it does not."""

    @property
    def needs_recreate(self) -> bool:
        """Whether a field would have to change that is fixed at creation: only a new object could have it."""
        return isinstance(self.error, ImmutableError)
