"""ClusterState, the status: what we report. Read by users in `kubectl explain clusterstate.status`."""

from typing import Annotated

from pydantic import Field

from cvstate_operator.api.model import ApiModel


class ConditionStatus(ApiModel):
    """One condition (metav1.Condition)."""

    type: str = Field(description="Ready, SourceReady, SourceVerified, Drifted; Reconciling and Stalled only while True.")
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
    path: str = Field(description="JSON pointer of the field.")
    manager: str = Field(description="Field manager that wrote it.")


class DriftStatus(ApiModel):
    """Drift that is open, that is found and not repaired yet."""

    objects: int = Field(description="Objects with drift.")
    fields: int = Field(description="Fields that drifted.")
    sample: list[DriftSample] = Field(description="The first few.", max_length=20)


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


class ClusterStateStatus(ApiModel):
    """What is, as far as we know."""

    observed_generation: int | None = Field(None, description="Generation of the spec that was last acted on.")
    last_handled_reconcile_at: str | None = Field(
        None, description="The value of the annotation reconcile.cvstate.io/requestedAt that was last handled."
    )
    conditions: list[ConditionStatus] | None = Field(
        None, description="What is true now.", json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
    )
    source: SourceStatus | None = Field(None, description="The newest commit that was read.")
    last_attempted_revision: str | None = Field(None, description="The revision that was last tried.")
    last_applied_revision: str | None = Field(None, description="The revision that was last applied without a problem.")
    last_applied_from: AppliedFrom | None = Field(
        None,
        description="Where that revision came from: only of the same URL and ref can a newer one be a rewind, of the same path another kind of source.",
    )
    render: RenderStatus | None = Field(None, description="How the newest commit was rendered.")
    inventory: InventoryStatus | None = Field(None, description="The objects that belong to this ClusterState.")
    drift: DriftStatus | None = Field(None, description="Drift that is open now; absent if there is none.")
    problems: list[ProblemStatus] | None = Field(
        None, description="What could not be done, sorted by file; Ready counts them all.", max_length=20
    )
