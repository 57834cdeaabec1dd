"""ClusterStatePlan: what waits for consent. Written by the operator, one per digest that waits; read by whoever approves, in `kubectl` or `cvstate`.

What a digest and a fingerprint are is defined in `plan/consent.py`.
"""

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from cvstate_operator.api.model import NAME_PATTERN, ApiModel, rule

DIGEST_PATTERN: Final = r"^sha256:[0-9a-f]{64}$"
"""Digest of a plan."""
FINGERPRINT_CHARACTERS: Final = 16
"""12 bytes in base64url (RFC 4648, section 5), which needs no padding."""
MAX_FINGERPRINTS: Final = 20_000
"""More would take the object past a third of a megabyte; etcd takes 1.5 MB."""
MAX_ITEMS: Final = 100
"""More than a person reads before saying yes; `total` counts all."""
MAX_DETAIL: Final = 300
MAX_CHANGES: Final = 5
"""Fields of a recreate that are told; more are counted. 100 items of them stay below 200 KB."""
MAX_CHANGE: Final = 300
"""Longest line that tells one."""

_SHORT_DIGEST: Final = 12
"""Hex digits of the digest in the name of a plan."""
_MAX_NAME: Final = 253
"""Longest name of an object. Source: Kubernetes, DNS subdomain names."""

PlanDigest = Annotated[str, Field(pattern=DIGEST_PATTERN, max_length=71)]
Count = Annotated[int, Field(ge=0)]

_FIXED: Final = {"x-kubernetes-validations": [rule("self == oldSelf", "a plan stands for one digest and never becomes another")]}


def plan_name(cluster_state: str, digest: str) -> str:
    """Name of the plan with this digest: `shop-4c1f03a9be12`, after the ClusterState, which is cut if it is very long."""
    short = digest.removeprefix("sha256:")[:_SHORT_DIGEST]
    return f"{cluster_state[: _MAX_NAME - 1 - _SHORT_DIGEST].rstrip('-.')}-{short}"


class PlanAction(StrEnum):
    """What would be done with an object."""

    PRUNE = "Prune"
    """It left Git and would be deleted."""
    RECREATE = "Recreate"
    """It would be deleted and created anew, since a field cannot be changed in place."""
    DRIFT = "Drift"
    """A field would be put back."""


class PlanItem(ApiModel):
    """One write that waits."""

    action: PlanAction = Field(
        description="Prune: it left Git and would be deleted. Recreate: it would be deleted and created anew. Drift: a field would be put back."
    )
    object: Annotated[str, Field(max_length=1000)] = Field(description="The object, as in apps/Deployment/web/api.")
    path: Annotated[str, Field(max_length=2000)] | None = Field(None, description="JSON pointer of the field; only with Drift.")
    reason: Annotated[str, Field(max_length=100)] = Field(
        description="Why it waits: one fixed CamelCase word, explained in docs/reasons.md."
    )
    detail: Annotated[str, Field(max_length=MAX_DETAIL)] | None = Field(
        None, description="For people: from which value to which, and who wrote it. Values of Secrets are masked."
    )
    changes: list[Annotated[str, Field(max_length=MAX_CHANGE)]] | None = Field(
        None,
        description="For people, only with Recreate: the first 5 fields that Git declares otherwise, and how many more there are. As of when the plan was made.",
        max_length=MAX_CHANGES + 1,
    )


class PlanCounts(ApiModel):
    """How many writes wait, by what they do."""

    prune: Count = Field(0, description="Objects that would be deleted.")
    recreate: Count = Field(0, description="Objects that would be deleted and created anew.")
    drift: Count = Field(0, description="Fields that would be put back.")


class ClusterStatePlanSpec(ApiModel):
    """What waits for consent."""

    cluster_state: Annotated[str, Field(pattern=NAME_PATTERN, max_length=253, json_schema_extra=_FIXED)] = Field(
        description="Name of the ClusterState, in the same namespace."
    )
    digest: Annotated[PlanDigest, Field(json_schema_extra=_FIXED)] = Field(
        description="What a StateApproval names in spec.planDigest. The same writes have the same digest, in whatever order they were found."
    )
    revision: Annotated[str, Field(max_length=1000)] | None = Field(None, description="The commit they come from, as in main@sha1:4c1f….")
    counts: PlanCounts = Field(default_factory=PlanCounts, description="How many writes wait, by what they do.")
    items: list[PlanItem] = Field([], description="The first 100 of them.", max_length=MAX_ITEMS)
    total: Count = Field(description="How many there are.")
    fingerprints: Annotated[
        str,
        Field(
            pattern=rf"^([A-Za-z0-9_-]{{{FINGERPRINT_CHARACTERS}}})*$",
            max_length=MAX_FINGERPRINTS * FINGERPRINT_CHARACTERS,
            json_schema_extra=_FIXED,
        ),
    ] = Field(
        description="Fingerprints of all writes, 16 characters each, without anything between them. By them an approval stays good for the writes "
        "that were approved when others are done or come up. Empty if there are more than 20,000; then an approval is good only while nothing changes."
    )
