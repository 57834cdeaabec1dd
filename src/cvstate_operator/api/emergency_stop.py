"""EmergencyStop: while one exists, nobody writes. Cluster-scoped, so that RBAC can give it to those on duty and to nobody else."""

from pydantic import Field

from cvstate_operator.api.approval import Reason
from cvstate_operator.api.model import ApiModel


class EmergencyStopSpec(ApiModel):
    """Why everything stands still."""

    reason: Reason = Field(description="Why, for those who find everything standing still; every ClusterState repeats it.")
