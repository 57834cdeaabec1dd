"""ClusterState, the status: what we report. Read by users in `kubectl explain clusterstate.status`."""

from typing import Annotated

from pydantic import Field

from cvstate_operator.api.model import ApiModel


class ConditionStatus(ApiModel):
    """One condition (metav1.Condition)."""

    type: str = Field(description="Ready, SourceReady, SourceVerified, Drifted, Healthy; Reconciling and Stalled only while True.")
    status: Annotated[str, Field(json_schema_extra={"enum": ["True", "False", "Unknown"]})] = Field(description="True, False or Unknown.")
    reason: str = Field(description="One fixed CamelCase word, explained in docs/reasons.md.")
    message: str = Field(description="For people: what, where, and what to do.")
    observed_generation: int | None = Field(None, description="Generation of the spec this speaks of.")
    last_transition_time: Annotated[str, Field(json_schema_extra={"format": "date-time"})] = Field(
        description="When the status last changed."
    )


class SourceStatus(ApiModel):
    """The newest commit that was read."""

    revision: str = Field(description="Ref and commit, as in main@sha1:4c1f….")
    commit_time: str = Field(description="When the commit was made.")
    fetched_at: str = Field(description="When this commit was first fetched.")
    url: str | None = Field(None, description="Where it came from.")
    ref: str | None = Field(None, description="What was followed, and which ref that was: 'semver ^1.2 (refs/tags/v1.2.7)'.")
    tree: str | None = Field(None, description="Git's id of the directory that was read: equal ids, equal bytes.")
    signed_by: str | None = Field(None, description="Whose signature was verified; absent if none was asked for.")


class DriftSample(ApiModel):
    """One field that is not as declared."""

    object: str = Field(description="The object, as in apps/Deployment/web/api.")
    path: str = Field(description="JSON pointer of the field; empty for the object as a whole.")
    live: str | None = Field(None, description="What is there; absent if it is gone, masked in Secrets.")
    desired: str | None = Field(None, description="What Git declares; masked in Secrets.")
    manager: str | None = Field(None, description="Field manager that wrote it; absent if that is not known.")
    written_at: str | None = Field(None, description="When that manager wrote it.")
    since: str = Field(description="When the operator first saw it.")
    severity: str = Field(description="Low, Medium, High or Critical.")
    action: str = Field(description="Auto, Alert or Approve: what spec.drift.rules say.")
    state: str = Field(
        description="What is being done: Repairing, Transient, Alerted, AwaitingApproval, BreakerOpen, Yielded or Held; see docs/drift.md."
    )


class DriftStatus(ApiModel):
    """Drift that is open, that is found and not repaired."""

    objects: int = Field(description="Objects with drift.")
    fields: int = Field(description="Fields that drifted.")
    highest: str = Field(description="The highest severity among them.")
    since: str = Field(description="When the oldest of them was first seen.")
    sample: list[DriftSample] = Field(description="The first few, those that matter most first.", max_length=20)


class BreakerStatus(ApiModel):
    """A field that was repaired more than once lately, since somebody undoes it. So that a restart forgets no fight."""

    object: str = Field(description="The object, as in apps/Deployment/web/api.")
    key: str = Field(description="Its uid, or its name if the object itself is deleted again and again.")
    path: str = Field(description="JSON pointer of the field.")
    manager: str | None = Field(None, description="Field manager that undoes the repairs.")
    opened_at: str | None = Field(None, description="Since when the field is left alone; absent if it is still repaired.")
    probed_at: str | None = Field(None, description="When it was repaired once more since, to see whether that lasts.")
    repairs: list[str] | None = Field(None, description="When it was repaired.", max_length=20)


class PlanStatus(ApiModel):
    """What is in Git but not in the cluster, or the other way round, because it may not be written now."""

    digest: str | None = Field(
        None, description="Of everything that waits for approval; what a StateApproval names. Absent if nothing does."
    )
    create: int | None = Field(None, description="Objects to be created.")
    update: int | None = Field(None, description="Objects to be updated.")
    recreate: int | None = Field(None, description="Objects to be deleted and created anew.")
    prune: int | None = Field(None, description="Objects to be deleted.")
    repair: int | None = Field(None, description="Fields to be put back.")
    held: str = Field(description="Why it waits: one fixed CamelCase word, explained in docs/reasons.md.")


class WindowStatus(ApiModel):
    """What spec.windows say now."""

    state: str = Field(description="Open or Closed: whether every kind of change may be made.")
    blocks: list[str] | None = Field(None, description="Changes that may not be made now.", max_length=4)
    next_change: str | None = Field(None, description="When that changes.")


class QuarantineStatus(ApiModel):
    """A revision that is not applied again."""

    revision: str = Field(description="The revision.")
    message: str = Field(description="What was wrong with it.")
    rejected: bool | None = Field(None, description="True if a person rejected it by annotation; that holds as long as the annotation.")


class HistoryEntry(ApiModel):
    """A revision that was begun."""

    revision: str = Field(description="Ref and commit, as in main@sha1:4c1f….")
    digest: str | None = Field(
        None, description="Digest of its desired objects, as in status.inventory: equal digests, equal desired state."
    )
    outcome: str = Field(description="Applying, Applied, Healthy, Unhealthy (it was given up) or Superseded (a newer one was begun first).")
    started_at: str = Field(description="When its first object was written.")
    duration_seconds: float | None = Field(None, description="From then to its outcome; absent while it is being applied.")
    correlation_id: str | None = Field(
        None,
        alias="correlationID",
        description="Names this roll-out: the operator's log lines have it as correlation_id, its Events as annotation cvstate.io/correlation-id.",
    )
    evidence: list[str] | None = Field(None, description="If it was given up: what spoke against it.", max_length=10)


class ProblemStatus(ApiModel):
    """One file, document or object that could not be brought into the cluster."""

    reason: str = Field(description="One fixed CamelCase word, explained in docs/reasons.md.")
    message: str = Field(description="What is wrong, and what to do.")
    file: str | None = Field(None, description="Path in the repository.")
    document: int | None = Field(None, description="Number of the YAML document in the file, from 1.")
    object: str | None = Field(None, description="The object, as in apps/Deployment/web/api.")
    field: str | None = Field(None, description="Path of the field to blame.")


class AppliedFrom(ApiModel):
    """What was followed to the revision that was applied last."""

    url: str = Field(description="Address of the repository.")
    ref: str = Field(description="What was followed, and which ref that was: 'branch main', 'semver ^1.2 (refs/tags/v1.2.7)'.")
    path: str = Field(description="Directory in the repository.")
    type: str = Field(description="Plain, Kustomize or Helm.")


class RenderStatus(ApiModel):
    """How the newest commit was rendered."""

    type: str = Field(description="Plain, Kustomize or Helm.")
    digest: str = Field(description="Digest of the rendered objects: equal commits and inputs, equal digests.")
    tool: str | None = Field(None, description="Program and version that rendered it; absent for Plain.")
    warnings: list[str] | None = Field(None, description="What the render left out or would have done otherwise elsewhere.", max_length=20)


class InventoryStatus(ApiModel):
    """The objects that belong to this ClusterState; they carry the ApplySet label."""

    objects: int = Field(description="How many there are in the cluster.")
    digest: str = Field(description="Digest of the desired objects: equal digests, equal desired state.")


class CvStatus(ApiModel):
    """How things stand, in numbers; docs/score.md explains each."""

    score: int | None = Field(
        None, description="0 to 100; 100 means that everything is as it should be. Absent: nothing was evaluated yet."
    )
    confidence: int = Field(description="0 to 100: how much of the evidence is there now.")
    configuration: int | None = Field(None, description="0 to 100: how far the cluster is what Git declares.")
    vital: int | None = Field(None, description="0 to 100: how well what runs is doing.")
    completeness: int | None = Field(None, description="Percentage of the expected telemetry that is received. Absent: none is expected.")
    worst: str | None = Field(None, description="What pulls the score down most; absent if nothing does.")


class PullStatus(ApiModel):
    """One thing that pulls the score down."""

    name: str = Field(description="A signal, an SLO, health or configuration.")
    points: int = Field(description="By how much the score would rise if this alone were well.")
    since: str | None = Field(None, description="Since when.")
    message: str = Field(description="What is wrong.")


class ObjectCounts(ApiModel):
    """Declared objects by how they are."""

    ready: int = Field(description="As asked for.")
    progressing: int | None = Field(None, description="On their way.")
    degraded: int | None = Field(None, description="Not ready for too long.")
    failed: int | None = Field(None, description="Given up by their controller, or backing off.")
    missing: int | None = Field(None, description="Not there, although they were.")
    unknown: int | None = Field(None, description="Nothing can be said of them now.")


class UnreadyStatus(ApiModel):
    """One object that is not ready."""

    object: str = Field(description="The object, as in apps/Deployment/web/api.")
    state: str = Field(description="Failed, Missing, Degraded, Unknown or Progressing.")
    reason: str = Field(description="One fixed CamelCase word, explained in docs/health.md.")
    message: str = Field(description="What is there, and what is missing.")
    since: str = Field(description="Since when.")
    progress: str | None = Field(
        None, description="How far it was at best: template, Pods of it, and Pods that are ready or available. For a restart."
    )
    progressed_at: str | None = Field(None, description="When it went forward last.")
    cause: str | None = Field(None, description="Which Pod and container of it, and why.")


class SignalStatus(ApiModel):
    """One signal of spec.vital.signals. Its value is as of the last change, or of the last full resync."""

    name: str = Field(description="Its name.")
    state: str = Field(description="Passing, Pending, Breached or Unknown.")
    value: str | None = Field(None, description="The last one that is known.")
    bound: str = Field(description="What it has to be.")
    since: str = Field(description="Since when it is in this state.")
    taken_at: str | None = Field(None, description="When the newest sample behind the value was taken.")
    outside_since: str | None = Field(None, description="Since when it is outside its range.")
    inside_since: str | None = Field(None, description="While Breached: since when it is inside its range again.")
    last_known: str | None = Field(None, description="While Unknown: what it was before.")
    gap: str | None = Field(None, description="Why it is Unknown, in one word.")
    series: str | None = Field(None, description="Labels of the worst of its series.")
    message: str = Field(description="For people.")


class SloStatus(ApiModel):
    """One service level objective of spec.vital.slos. Its numbers are as of the last change, or of the last full resync."""

    name: str = Field(description="Its name.")
    state: str = Field(description="Met, Burning, Exhausted or Unknown.")
    objective: str | None = Field(None, description="Percentage of good events.")
    budget_left: str | None = Field(None, description="Share of the error budget that is left: 1 is all of it, below 0 it is overdrawn.")
    burn_rate: str | None = Field(None, description="How many times faster than evenly the budget was used up in the last hour.")
    exhausted_in: str | None = Field(None, description="When it would be gone at that rate.")
    since: str = Field(description="Since when it is in this state.")
    taken_at: str | None = Field(None, description="When the newest sample behind it was taken.")
    level: str | None = Field(None, description="Page or Ticket: how loudly the burn rates ask for somebody, by the SRE workbook.")
    last_known: str | None = Field(None, description="While Unknown: what it was before.")
    gap: str | None = Field(None, description="Why it is Unknown, in one word.")
    message: str = Field(description="For people.")


class VitalStatus(ApiModel):
    """How well what runs is doing."""

    objects: ObjectCounts | None = Field(None, description="Declared objects by how they are.")
    unready: list[UnreadyStatus] | None = Field(None, description="Objects that are not ready, the worst first.", max_length=20)
    signals: list[SignalStatus] | None = Field(None, description="Signals, the worst first.", max_length=20)
    slos: list[SloStatus] | None = Field(None, description="Service level objectives, the worst first.", max_length=20)
    pulls: list[PullStatus] | None = Field(None, description="What pulls the score down, the worst first.", max_length=10)


class UnresolvedStatus(ApiModel):
    """What is wrong, or was before its condition came to say nothing."""

    type: str = Field(description="The condition that it belongs to.")
    reason: str = Field(description="One fixed CamelCase word, explained in docs/reasons.md.")
    severity: Annotated[str, Field(json_schema_extra={"enum": ["Info", "Warning", "Critical"]})] = Field(
        description="Info, Warning or Critical, as notices tell it."
    )
    message: str = Field(description="What is wrong, cut to 1,000 characters; empty if the rest of the status tells it.")
    since: str = Field(description="Since when, for this reason.")


class ClusterStateStatus(ApiModel):
    """What is, as far as we know."""

    observed_generation: int | None = Field(None, description="Generation of the spec that was last acted on.")
    last_handled_reconcile_at: str | None = Field(
        None, description="The value of the annotation reconcile.cvstate.io/requestedAt that was last handled."
    )
    last_handled_released: str | None = Field(
        None, description="The value of the annotation reconcile.cvstate.io/released that was last handled."
    )
    conditions: list[ConditionStatus] | None = Field(
        None, description="What is true now.", json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
    )
    unresolved: list[UnresolvedStatus] | None = Field(
        None,
        description="What is wrong beside what conditions tell: what they told of before they came to say nothing, as during a roll-out; "
        "what Ready does not name since something else matters more; and since when they have their reasons, if not since their last transition. "
        "For notices, and for those that come after a restart.",
        max_length=20,
    )
    source: SourceStatus | None = Field(None, description="The newest commit that was read.")
    last_attempted_revision: str | None = Field(None, description="The revision that was last tried.")
    last_applied_revision: str | None = Field(
        None, description="The revision of which every object was written last. Prunes and drift do not count."
    )
    last_applied_from: AppliedFrom | None = Field(
        None,
        description="Where that revision came from: only of the same URL and ref can a newer one be a rewind, of the same path another kind of source.",
    )
    render: RenderStatus | None = Field(None, description="How the newest commit was rendered.")
    inventory: InventoryStatus | None = Field(None, description="The objects that belong to this ClusterState.")
    last_good_revision: str | None = Field(None, description="The revision that was applied and healthy last; where a rollback goes.")
    quarantined: list[QuarantineStatus] | None = Field(None, description="Revisions that are not applied again.", max_length=20)
    plan: PlanStatus | None = Field(None, description="Changes that wait; absent if none do.")
    window: WindowStatus | None = Field(None, description="What spec.windows say now; absent if there are none.")
    cv: CvStatus | None = Field(None, description="How things stand, in numbers.")
    vital: VitalStatus | None = Field(None, description="How well what runs is doing.")
    drift: DriftStatus | None = Field(None, description="Drift that is open now; absent if there is none.")
    breakers: list[BreakerStatus] | None = Field(None, description="Fights over fields; absent if there are none.", max_length=20)
    history: list[HistoryEntry] | None = Field(None, description="Revisions that were begun, newest first.", max_length=51)
    claims: list[str] | None = Field(
        None,
        description=(
            "Objects in Git that another ClusterState or ApplySet has, as in apps/Deployment/web/api; where they are too many, their kinds, as in apps/Deployment/web/*. "
            "Who has one of them does not delete it."
        ),
        max_length=2000,
    )
    problems: list[ProblemStatus] | None = Field(
        None, description="What could not be done, sorted by file; Ready counts them all.", max_length=20
    )
