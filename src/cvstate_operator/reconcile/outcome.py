"""Outcome: what one pass found and did, as a value. The pipeline makes it, the report tells it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cvstate_operator.api.windows import WindowAction
from cvstate_operator.drift.breaker import Breaker, Key
from cvstate_operator.drift.coverage import FieldDrift
from cvstate_operator.drift.ledger import Entry
from cvstate_operator.errors import CvstateError
from cvstate_operator.objects.artifact import Artifact
from cvstate_operator.objects.identity import GroupKind, ObjectRef
from cvstate_operator.objects.problem import Problem
from cvstate_operator.plan.changes import Action
from cvstate_operator.plan.consent import Item
from cvstate_operator.plan.gates import Block
from cvstate_operator.plan.history import Entry as Begun
from cvstate_operator.plan.prune import Pruning
from cvstate_operator.plan.waves import Frontier
from cvstate_operator.plan.windows import WindowState
from cvstate_operator.reconcile.health import Health
from cvstate_operator.reconcile.vitals import Vitals


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
class Waits:
    """One write that waits for a person."""

    item: Item
    reason: str
    """Why it may not be made without one, for people."""
    detail: str = ""
    """What it would do, for people; nothing secret."""
    changes: tuple[str, ...] = ()
    """Of a recreate: the first fields that it would change, one a line, for people; nothing secret."""


@dataclass(frozen=True, slots=True)
class Consent:
    """Everything that waits for a person."""

    waits: tuple[Waits, ...] = ()
    digest: str = ""
    """Of all of them; empty if nothing waits."""


@dataclass(frozen=True, slots=True)
class Held:
    """New manifests that are not applied now."""

    artifact: Artifact | None = None
    """The newest commit, if an older one is worked with; None if it is the newest."""
    is_rollback: bool = False
    """Whether that is because the newest is quarantined."""
    why: str = ""
    """What was wrong with the newest commit, if it is quarantined."""
    creates: int = 0
    updates: int = 0
    block: Block | None = None
    """What keeps new manifests from being applied; None if nothing does."""
    later: int = 0
    """Objects of later waves."""
    frontier: Frontier | None = None
    """What those wait for."""
    left: tuple[ObjectRef, ...] = ()
    """Of a rollback: objects that stay as the revision declares them that was given up."""
    left_at: str = ""
    """That revision; empty if none was begun since the one that was gone back to."""
    uncompared: tuple[ObjectRef, ...] = ()
    """Of a rollback: objects that are left as they are, since it is not known what they were applied from."""
    waiting: tuple[ObjectRef, ...] = ()
    """Objects that are there, and whose newer manifest waits for a gate or a wave; without those that failed."""

    @property
    def is_waiting(self) -> bool:
        """Whether anything in Git is not in the cluster because of this."""
        return bool(self.block and (self.artifact or self.creates or self.updates)) or bool(self.later)


@dataclass(frozen=True, slots=True)
class Unmade:
    """Desired objects that were never made, as far as can be seen. None of them is in `Outcome.missing`, which were there once."""

    held: tuple[ObjectRef, ...] = ()
    """A gate holds them."""
    failing: tuple[ObjectRef, ...] = ()
    """They cannot be made, and not only since just now."""
    coming: tuple[ObjectRef, ...] = ()
    """Nothing is wrong yet: a gate that is closed for seconds holds them, or a try failed just now."""
    later: tuple[ObjectRef, ...] = ()
    """Of later waves."""
    dependent: tuple[ObjectRef, ...] = ()
    """A dependency that is not ready holds them (`spec.dependsOn`)."""
    unwatched: tuple[ObjectRef, ...] = ()
    """In mode Observe: they are there and not ours, so that nothing tells how they are."""

    def __bool__(self) -> bool:
        return bool(self.held or self.failing or self.coming or self.later or self.dependent or self.unwatched)


@dataclass(frozen=True, slots=True)
class Fight:
    """A field that somebody else keeps changing, and that is left alone for a while."""

    key: Key
    object: str
    """The object, for people."""
    breaker: Breaker


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
    next_pass_at: float | None
    """When the pipeline wants to run again by itself, monotonic seconds; None if only on a trigger."""
    is_whole: bool = True
    """Whether everything was done that could be; False if the pass was cut short, or an object was deleted only to be made anew."""
    is_rolled_out: bool = True
    """Whether every object is written as the commit declares it. Whatever drifts since, or is still to be deleted, does not matter."""
    drift: tuple[tuple[ObjectRef, tuple[Entry, ...]], ...] = ()
    """Drift that is open."""
    unjudged: tuple[ObjectRef, ...] = ()
    """Desired objects of which nothing can be said: they could not be applied, and no drift of them is known."""
    failing: tuple[ObjectRef, ...] = ()
    """Desired objects that could not be applied."""
    passing: tuple[ObjectRef, ...] = ()
    """Of these, the ones that failed just now for a reason that may pass by itself."""
    unmade: Unmade = field(default_factory=Unmade)
    left_out: tuple[Problem, ...] = ()
    """Of `problems`, what is about no desired object: files that cannot be read, objects that cannot be told apart or placed, a commit that cannot be rendered."""
    hidden: tuple[ObjectRef, ...] = ()
    """Objects that the last commit declared of which everything could be used, and that may stand in what is left out; not among the desired ones."""
    missing: tuple[ObjectRef, ...] = ()
    """Desired objects that are not there, although they were."""
    exempt: tuple[ObjectRef, ...] = ()
    """Desired objects that are left as they are, since their annotations ask for it."""
    fights: tuple[Fight, ...] = ()
    """Everything that is remembered of repairs that were undone, also of fields that are repaired all the same."""
    pruning: Pruning = field(default_factory=Pruning)
    """What becomes of objects that left Git."""
    pending: tuple[ObjectRef, ...] = ()
    """Of these, the ones that are about to be deleted."""
    leaving: tuple[tuple[ObjectRef, str], ...] = ()
    """Objects that left Git and are being deleted: since when, and what keeps them, for people."""
    claims: tuple[ObjectRef, ...] = ()
    """Desired objects that another ApplySet has."""
    held: Held = field(default_factory=Held)
    consent: Consent = field(default_factory=Consent)
    health: Health = field(default_factory=Health)
    kinds: tuple[GroupKind, ...] = ()
    """Of what is desired, sorted."""
    blind_objects: Mapping[GroupKind, int] = field(default_factory=dict)
    """Desired objects of kinds that cannot be seen, by kind."""
    vitals: Vitals | None = None
    """What all of this comes to; None as long as nobody judged it."""
    windows: WindowState | None = None
    """What spec.windows say; None if there are none."""
    history: tuple[Begun, ...] = ()
    quarantined: Mapping[str, str] = field(default_factory=dict)
    rejected: frozenset[str] = frozenset()
    """Of these, commits that a person rejected."""
    blocks: Mapping[WindowAction, Block] = field(default_factory=dict)
    """What may not be written now, and why."""
    warnings: tuple[Block, ...] = ()
    """What would hold the newest commit back, if spec.gates did not only warn; empty if it is begun already."""
    released: str = ""
    """Value of the annotation that releases commits, as it was last acted on."""

    @property
    def figures(self) -> dict[str, str | int | None]:
        """What a trace tells of the pass."""
        return {
            "commit": self.artifact.commit if self.artifact else None,
            "revision": self.artifact.revision if self.artifact else None,
            "objects": self.desired,
            "changed": len(self.done),
            "drifted": len(self.drift),
            "problems": len(self.problems),
        }

    @property
    def is_compared(self) -> bool:
        """Whether desired and live objects are known; also while a newer commit cannot be rendered, and an older one is in force."""
        return self.evaluated or bool(self.kinds)

    @property
    def is_converged(self) -> bool:
        """Whether the cluster is exactly as the newest commit declares, as far as can be told: the only ground to say Ready."""
        pruning = self.pruning
        return (
            self.evaluated
            and self.is_rolled_out
            and not (self.source_error or self.held.artifact or self.problems or self.drift or self.consent.waits)
            and not (self.pending or self.leaving or pruning.held or pruning.waiting or pruning.deferred)
        )
