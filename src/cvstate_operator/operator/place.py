"""The place: in which cluster a ClusterState acts, and as whom."""

from typing import Final, NamedTuple

from cvstate_operator import errors
from cvstate_operator.api.clusterstate import ClusterStateSpec


class Place(NamedTuple):
    """Which cluster, and as whom."""

    account: str = ""
    """`namespace/name` of a ServiceAccount of this cluster; empty: the operator's own rights."""
    kubeconfig: str = ""
    """`namespace/name/key` of the Secret with the kubeconfig; empty: this cluster."""


OWN: Final = Place()
"""This cluster, with the operator's own rights."""


def place_of(spec: ClusterStateSpec, namespace: str, *, default_account: str, is_required: bool) -> Place:
    """Where a ClusterState acts, and as whom.

    Args:
        spec: of the ClusterState.
        namespace: of the ClusterState.
        default_account: name of the account of those that name none; empty for none.
        is_required: whether the operator's own rights are nobody else's.

    Raises:
        ServiceAccountRequiredError: no account is named, and one is required.
    """
    account = spec.service_account_name or default_account
    if is_required and not account:
        raise errors.ServiceAccountRequiredError(
            "spec.serviceAccountName is missing, and this operator lends its own rights to nobody; name a ServiceAccount of this namespace that may do what "
            "the manifests ask for (docs/tenancy.md)"
        )
    remote = spec.target.kube_config
    return Place(
        f"{namespace}/{account}" if account else "",
        f"{namespace}/{remote.secret_ref.name}/{remote.secret_ref.key}" if remote else "",
    )
