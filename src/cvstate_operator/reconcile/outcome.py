"""Outcome: what one pass found and did, as a value. The pipeline makes it, the report tells it."""

from dataclasses import dataclass

from cvstate_operator.drift.coverage import FieldDrift
from cvstate_operator.errors import CvstateError
from cvstate_operator.objects.artifact import Artifact
from cvstate_operator.objects.identity import ObjectRef
from cvstate_operator.objects.problem import Problem
from cvstate_operator.plan.changes import Action, Kept


@dataclass(frozen=True, slots=True)
class Done:
    """One object that was changed."""

    ref: ObjectRef
    action: Action
    drift: tuple[FieldDrift, ...] = ()
    """For a repair: the fields; empty if the object as a whole was missing."""
    seconds: float = 0.0
    """For a repair: from the event to the API server's answer."""


@dataclass(frozen=True, slots=True)
class Render:
    """How the newest commit was rendered."""

    type: str
    tool: str
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One pass over one ClusterState."""

    artifact: Artifact | None
    """The commit that the pass is about; None if none could be read yet."""
    url: str
    """Of the source."""
    source_error: CvstateError | None
    """Why the last look at the source failed."""
    rendered: Render | None
    """How what is desired was rendered; None if nothing was yet."""
    evaluated: bool
    """Whether desired and live state were compared; False as long as there is no artifact, or no render of it."""
    digest: str
    desired: int
    """Number of desired objects."""
    members: int
    """Number of objects in the cluster that belong to this ClusterState."""
    done: tuple[Done, ...]
    problems: tuple[Problem, ...]
    """Everything that stands in the way, sorted by file."""
    drift: tuple[tuple[ObjectRef, tuple[FieldDrift, ...]], ...]
    """Drift that is still open."""
    unpruned: tuple[ObjectRef, ...]
    """Objects that left Git and are kept, since it is not sure that they should be deleted."""
    objection: str
    """What is not sure, and what to do about it."""
    next_pass_at: float | None
    """When the pipeline wants to run again by itself, monotonic seconds; None if only on a trigger."""
    pending: tuple[ObjectRef, ...] = ()
    """Objects that left Git and are about to be deleted."""
    kept: tuple[Kept, ...] = ()
    """Objects that left Git and stay, as the user wants it."""

    @property
    def is_applied(self) -> bool:
        """The cluster holds exactly what the commit declares, be it the newest or not."""
        return self.evaluated and not (self.problems or self.drift or self.unpruned or self.pending)

    @property
    def is_converged(self) -> bool:
        """The cluster holds exactly what the newest commit declares."""
        return self.is_applied and not self.source_error
