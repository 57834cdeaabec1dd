"""The target: the cluster that a ClusterState is about, if it is not the one it stands in."""

from typing import Annotated

from pydantic import Field

from cvstate_operator.api.model import NAME_PATTERN, ApiModel

SERVICE_ACCOUNT_PATTERN = NAME_PATTERN
"""Names of service accounts. Source: Kubernetes, ServiceAccount: a DNS subdomain name."""


class KubeConfigReference(ApiModel):
    """A kubeconfig in a Secret of the ClusterState's own namespace."""

    name: Annotated[str, Field(pattern=NAME_PATTERN, max_length=253)] = Field(description="Name of the Secret.")
    key: Annotated[str, Field(pattern=r"^[-._a-zA-Z0-9]+$", min_length=1, max_length=253)] = Field(
        "value", description="Key of it that holds the kubeconfig."
    )


class KubeConfig(ApiModel):
    """Where another cluster is, and who we are there."""

    secret_ref: KubeConfigReference = Field(
        description="A kubeconfig in which everything stands inline: server, certificate-authority-data, and a token or a client certificate. "
        "Programs, files, proxies and impersonation are refused."
    )


class Target(ApiModel):
    """Which cluster."""

    kube_config: KubeConfig | None = Field(None, description="Another cluster. Absent: the one that this ClusterState stands in.")
