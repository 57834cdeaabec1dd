"""Names that users and other tools see: API group, labels, annotations, field manager."""

from typing import Final

GROUP: Final = "cvstate.io"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

CLUSTER_STATE: Final = "ClusterState"
CLUSTER_STATES: Final = "clusterstates"

FIELD_MANAGER: Final = "cvstate-operator"
"""Field manager of every write to managed objects (decision 3)."""

REQUESTED_AT: Final = "reconcile.cvstate.io/requestedAt"
"""Annotation on a ClusterState: any new value asks for a full reconcile now."""

DIGEST: Final = "cvstate.io/digest"
"""Annotation on managed objects: digest of the manifest we applied last. After a restart it tells without a write which objects are up to date."""
