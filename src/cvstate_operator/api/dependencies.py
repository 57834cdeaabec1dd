"""ClusterState, `spec.dependsOn`: what has to be ready before anything is applied."""

from typing import Annotated, Final

from pydantic import AfterValidator, Field

from cvstate_operator.api.model import ApiModel
from cvstate_operator.api.names import API_VERSION, CLUSTER_STATE

MAX_DEPENDENCIES: Final = 32
"""Each is read before every apply; a longer chain is better told as one ClusterState after the other."""
MAX_EXPRESSION: Final = 4096

API_VERSION_PATTERN: Final = r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
KIND_PATTERN: Final = r"^[A-Z][A-Za-z0-9]{0,62}$"
_NAME: Final = r"^[A-Za-z0-9]([A-Za-z0-9._:-]{0,251}[A-Za-z0-9])?$"
"""Wider than DNS names: those of RBAC hold colons (`system:node`). Nothing that a URL path reads otherwise."""


class Dependency(ApiModel):
    """One object that has to be ready first."""

    api_version: Annotated[str, Field(pattern=API_VERSION_PATTERN, max_length=317)] = Field(
        API_VERSION, description="Its apiVersion, for example apps/v1. Default: that of ClusterState."
    )
    kind: Annotated[str, Field(pattern=KIND_PATTERN, max_length=63)] = Field(
        CLUSTER_STATE, description="Its kind, for example Deployment. Default: ClusterState."
    )
    name: Annotated[str, Field(pattern=_NAME, max_length=253)] = Field(
        description="Its name. It is looked for in the namespace of this ClusterState and in no other; of kinds without namespaces anywhere."
    )
    ready_expr: Annotated[str, Field(max_length=MAX_EXPRESSION)] = Field(
        "",
        description="Condition in CEL that says when it is ready, in place of the usual rules, for example dep.status.phase == 'Ready'. Variables: "
        "dep, the object; self, this ClusterState. A field that is missing means: not ready.",
    )

    @property
    def is_cluster_state(self) -> bool:
        """Whether it is of our own kind, in whatever version."""
        return self.kind == CLUSTER_STATE and self.api_version.partition("/")[0] == API_VERSION.partition("/")[0]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def _check_unique(dependencies: list[Dependency]) -> list[Dependency]:
    seen = set()
    for each in dependencies:
        key = (each.api_version, each.kind, each.name)
        if key in seen:
            raise ValueError(f"names {each} twice")
        seen.add(key)
    return dependencies


Dependencies = Annotated[
    list[Dependency],
    Field(
        max_length=MAX_DEPENDENCIES,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["apiVersion", "kind", "name"]},
    ),
    AfterValidator(_check_unique),
]
"""`spec.dependsOn`. As an associative list, so that the API server itself refuses two entries for one object."""
