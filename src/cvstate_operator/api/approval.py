"""StateApproval: somebody consents to what a ClusterStatePlan shows.

A kind of its own, and not an annotation, so that RBAC can say who may approve. It names a plan by its digest, so nobody approves what was not shown.
The operator reads approvals as they are in the cluster (`plan/consent.py`); this model is their schema, and what `cvstate approve` writes.
"""

from typing import Annotated, Final

from pydantic import ConfigDict, Field

from cvstate_operator.api.change_plan import PlanDigest
from cvstate_operator.api.model import ApiModel, rule

LIFETIME_SECONDS: Final = 24 * 3600
"""How long an approval without `expiresAt` is good: until the same time tomorrow, so that what was forgotten does not surprise anyone next month."""
MAX_REASON: Final = 1000
MOMENT_PATTERN: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$"
"""RFC 3339 with capital letters. The format date-time of the API server lets others pass."""

Reason = Annotated[str, Field(min_length=1, max_length=MAX_REASON, pattern=r"\S")]
"""A sentence for those who ask later."""
Moment = Annotated[str, Field(pattern=MOMENT_PATTERN, max_length=35, json_schema_extra={"format": "date-time"})]
"""A point in time, with its zone."""


class StateApprovalSpec(ApiModel):
    """Consent to a plan. It never changes: to take it back, delete it."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                rule("self == oldSelf", "an approval never changes; delete it to take it back, and create another")
            ]
        }
    )

    plan_digest: PlanDigest = Field(
        description="Digest of the ClusterStatePlan that is approved. Approved is what stands in that plan, nothing that comes up later."
    )
    reason: Reason = Field(description="Why, for those who ask later.")
    expires_at: Moment | None = Field(
        None,
        description="From this moment on it approves nothing any more, as in 2027-01-31T18:00:00Z. Default: 24 hours after it was created.",
    )
