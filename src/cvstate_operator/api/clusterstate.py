"""ClusterState: what a user declares, and what we report.

The CRD is generated from these models (`api/crd.py`), so every description here is read by users in `kubectl explain`. A field exists only if
the code behind it works. The API server enforces the same rules by the generated schema; the models check again, since objects may be older than it.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, ValidationError

from cvstate_operator.api.apply import Apply
from cvstate_operator.api.dependencies import Dependencies
from cvstate_operator.api.drift import Drift
from cvstate_operator.api.duration import Interval
from cvstate_operator.api.gates import GatePolicy
from cvstate_operator.api.mode import Mode
from cvstate_operator.api.model import ApiModel
from cvstate_operator.api.prune import Prune
from cvstate_operator.api.render import Render
from cvstate_operator.api.rollback import Rollback
from cvstate_operator.api.source import Source
from cvstate_operator.api.target import SERVICE_ACCOUNT_PATTERN, Target
from cvstate_operator.api.vital import Vital
from cvstate_operator.api.windows import Windows
from cvstate_operator.errors import InvalidSpecError


class DeletionPolicy(StrEnum):
    """What happens to objects when their ClusterState is deleted."""

    ORPHAN = "Orphan"
    DELETE = "Delete"


class HistoryLimits(ApiModel):
    """How much is remembered."""

    limit: Annotated[int, Field(ge=2, le=50)] = Field(10, description="Revisions in status.history.")


class ClusterStateSpec(ApiModel):
    """What the cluster should look like, and how to get there."""

    suspend: bool = Field(False, description="Write nothing; looking goes on, and drift is reported.")
    mode: Mode = Field(Mode.ENFORCE, description="Enforce: make the cluster match Git. Observe: report differences, and write nothing.")
    interval: Interval = Field(
        "10m",
        description="Full resync: every object is compared again, and kinds are listed that were not for about an hour. "
        "Between resyncs watches report drift at once.",
    )
    service_account_name: Annotated[str, Field(pattern=SERVICE_ACCOUNT_PATTERN, max_length=253)] | None = Field(
        None,
        description="ServiceAccount of this namespace in whose name everything is read and written, and Secrets and ConfigMaps are read that this spec names. "
        "Absent: the operator's default, or, where it allows that, its own rights.",
    )
    source: Source = Field(description="Where the desired state comes from.")
    render: Render = Field(default_factory=Render, description="How files become objects.")
    target: Target = Field(default_factory=Target, description="Which cluster it is about.")
    depends_on: Dependencies = Field([], description="What has to be ready before a new revision is applied. Repairs do not wait.")
    apply: Apply = Field(default_factory=Apply, description="How objects are written, and what is done where others have a say.")
    drift: Drift = Field(default_factory=Drift, description="What is done about fields that are not as declared.")
    prune: Prune = Field(default_factory=Prune, description="What happens to objects that left Git.")
    deletion_policy: DeletionPolicy = Field(
        DeletionPolicy.ORPHAN,
        description="What happens when this ClusterState is deleted. Orphan: objects stay as they are. Delete: they are deleted first, but for "
        "prune.protectedKinds and objects whose annotations keep them.",
    )
    windows: Windows = Field([], description="When changes may be made; outside, they wait. Looking goes on.")
    vital: Vital = Field(default_factory=Vital, description="How the health of what runs is judged.")
    gates: GatePolicy = Field(default_factory=GatePolicy, description="What holds new revisions back.")
    rollback: Rollback | None = Field(None, description="What is done about a revision that does not become healthy. Default: nothing.")
    history: HistoryLimits = Field(default_factory=HistoryLimits, description="How much is remembered.")


def parse_spec(raw: Mapping[str, Any]) -> ClusterStateSpec:
    """Read a spec as it came from the API server.

    Raises:
        InvalidSpecError: names every field that is wrong, and why; values are not repeated, they may be secret.
    """
    try:
        return ClusterStateSpec.model_validate(raw)
    except ValidationError as exc:
        faults = "; ".join(f"spec.{'.'.join(map(str, e['loc']))}: {_say(e)}" for e in exc.errors(include_input=False, include_url=False))
        raise InvalidSpecError(f"{faults}; correct the ClusterState") from exc


def _say(error: Any) -> str:
    if error["type"] == "string_pattern_mismatch":
        return f"does not match {error['ctx']['pattern']}"
    return str(error["msg"]).removeprefix("Value error, ")
