"""ClusterState, `spec.prune`: what happens to objects that left Git."""

from typing import Annotated

from pydantic import Field

from cvstate_operator.api.drift import KindName
from cvstate_operator.api.model import ApiModel
from cvstate_operator.api.propagation import PropagationPolicy


class Prune(ApiModel):
    """What happens to objects that left Git."""

    enabled: bool = Field(True, description="Delete objects that are no longer in Git. Never done after a failed, partial or empty render.")
    max_deletes: Annotated[int, Field(ge=0)] = Field(
        10, description="So many objects may be deleted at once without approval. With more, all of them wait for a StateApproval."
    )
    max_percent: Annotated[int, Field(ge=0, le=100)] = Field(
        20,
        description="So many percent of the objects in the cluster may be deleted at once without approval, but always one. With more, all of them "
        "wait for a StateApproval.",
    )
    allow_empty: bool = Field(
        False,
        description="Prune by a commit that declares no objects at all, too. Default: that is taken for a mistake. Limits hold all the same.",
    )
    protected_kinds: list[KindName] = Field(
        ["Namespace", "PersistentVolumeClaim", "CustomResourceDefinition"],
        description="Kinds that are kept when they leave Git, because other objects or data go with them: Namespace, or with the API group "
        "CephCluster.ceph.rook.io.",
        max_length=64,
    )
    propagation_policy: PropagationPolicy = Field(
        PropagationPolicy.BACKGROUND,
        description="What becomes of the dependents of an object that is deleted, here and by deletionPolicy: as a Deployment's ReplicaSets. "
        "Background: it goes at once, and they go after it. Foreground: it stays until they are gone. Orphan: they stay.",
    )
