"""Names that users and other tools see: API group, labels, annotations, field manager."""

from typing import Final

GROUP: Final = "cvstate.io"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

CLUSTER_STATE: Final = "ClusterState"
CLUSTER_STATES: Final = "clusterstates"
STATE_APPROVAL: Final = "StateApproval"
STATE_APPROVALS: Final = "stateapprovals"
CLUSTER_STATE_PLAN: Final = "ClusterStatePlan"
CLUSTER_STATE_PLANS: Final = "clusterstateplans"
EMERGENCY_STOP: Final = "EmergencyStop"
EMERGENCY_STOPS: Final = "emergencystops"

FIELD_MANAGER: Final = "cvstate-operator"
"""Field manager of every write to managed objects."""

REQUESTED_AT: Final = "reconcile.cvstate.io/requestedAt"
RESET_AT: Final = "reconcile.cvstate.io/resetAt"
"""Annotation on a ClusterState: any new value asks for a full reconcile now."""

REJECTED: Final = "reconcile.cvstate.io/rejected"
"""Annotation on a ClusterState: commits, separated by commas, that are not applied; the last good one is, instead (`cvstate rollback`)."""
RELEASED: Final = "reconcile.cvstate.io/released"
"""Annotation on a ClusterState: commits, separated by commas, that were quarantined and are given another try (`cvstate rollback --undo`)."""
FIX: Final = "reconcile.cvstate.io/fix"
"""Annotation on a ClusterState: commits, separated by commas, that mend what burns, and that the error budget gate lets pass (`cvstate approve --fix`)."""
FINALIZER: Final = f"{GROUP}/finalizer"
"""On ClusterStates whose objects are to be deleted first."""

CORRELATION_ID: Final = f"{GROUP}/correlation-id"
"""Annotation on Events: the roll-out that was under way, or done last; `status.history` says of which revision."""

DIGEST: Final = "cvstate.io/digest"
"""Annotation on managed objects: digest of the manifest we applied last. After a restart it tells without a write which objects are up to date."""

CLAIMED_BY: Final = f"{GROUP}/claimed-by"
"""Annotation on a managed object: id of the ApplySet that declares it, too, and that another replica of the operator has. It gets the object when its owner would delete it."""
