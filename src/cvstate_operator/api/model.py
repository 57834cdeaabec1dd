"""What all models of the API share."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict

NAME_PATTERN = r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"
"""Name of an object. Source: Kubernetes, DNS subdomain names (RFC 1123)."""


class ApiModel(BaseModel):
    """Base of everything in the API: camelCase outside, immutable inside, unknown fields tolerated (rolling upgrades)."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")


class LocalReference(ApiModel):
    """An object in the ClusterState's own namespace."""

    name: Annotated[str, Field(pattern=NAME_PATTERN, max_length=253)] = Field(description="Its name.")


def rule(expression: str, message: str) -> JsonDict:
    """One CEL rule of the CRD (x-kubernetes-validations)."""
    return {"rule": expression, "message": message}
